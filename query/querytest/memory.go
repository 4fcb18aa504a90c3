package querytest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"

	"permanode/internal/ranges"
	"permanode/ledger"
	"permanode/ledger/jsonleaf"
	"permanode/storage"
)

// toy is a small era: ids are SHA-256, shown as 0x hex; an address is any text "addr1…"; the bytes of a record are
// "tag|address|text", and tag "-" means none.
type Toy struct{ ledger.Codec }

// Links knows no other era.
func (Toy) Links(ledger.Key, *ledger.Record) (later, earlier []ledger.Key) { return nil, nil }

func (Toy) FormatID(id ledger.ID) string { return "0x" + id.String() }

func (Toy) KindName(k uint8) string {
	if k > 1 {
		return ""
	}
	return [...]string{"none", "data"}[k]
}
func (Toy) Head(u ledger.Unit) []byte { return u.Header }

// Misread knows that addresses of another network begin with addr2, and that hex of about the right length is cut.
func (Toy) Misread(text string, _ ledger.Trust) error {
	digits := strings.TrimPrefix(text, "0x")
	switch {
	case strings.HasPrefix(text, "addr2"):
		return errors.New("addr2 is the prefix of another network")
	case len(digits) > 39 && len(digits) != 64 && strings.Trim(digits, "0123456789abcdef") == "":
		return fmt.Errorf("an id has 64 hex digits, not %d", len(digits))
	}
	return nil
}

func (Toy) FormatOwner(owner string, _ ledger.Trust) string { return owner }
func (Toy) FormatAsset(asset string) string                 { return asset }

// Beside says that no ledger is held.
func (Toy) Beside(context.Context, ledger.Trust, string, uint64, int64, []ledger.Key, func(context.Context, [][]byte) ([][]byte, error)) ([]ledger.Holding, error) {
	return nil, ledger.ErrNoLedger
}

// Expiries says the same.
func (Toy) Expiries(context.Context, ledger.Trust, string, uint64, []ledger.Key, func(context.Context, [][]byte) ([][]byte, error)) iter.Seq2[ledger.Expiry, error] {
	return func(yield func(ledger.Expiry, error) bool) { yield(ledger.Expiry{}, ledger.ErrNoLedger) }
}

func (Toy) ParseAsset(text string) (string, bool) { return text, strings.HasPrefix(text, "0x") }

func (Toy) ParseTrust(raw []byte) (ledger.Trust, error) {
	if string(raw) == "damaged" {
		return ledger.Trust{}, ledger.ErrTrust
	}
	return ledger.Trust{Era: "toy", Raw: raw}, nil
}

func (Toy) Facts(r *ledger.Record, _ ledger.Trust) (f ledger.Facts, err error) {
	parts := strings.SplitN(string(r.Parts[0].Raw), "|", 3)
	if len(parts) != 3 {
		return f, errors.New("not three fields")
	}
	if parts[0] != "-" {
		f.Tags = [][]byte{[]byte(parts[0])}
	}
	if parts[1] != "" {
		f.Addresses = []string{parts[1]}
	}
	f.Texts = []string{parts[2]}
	f.Leaves = append(jsonleaf.Read([]byte(parts[2])), ledger.Leaf{Path: "n", Value: "1e400"})
	f.Tokens = []ledger.Token{{ID: "0x01", Amount: ledger.Coins(1 << 63).Add(ledger.Coins(1 << 63))}}
	f.Payloads = []ledger.Span{{Off: len(parts[0]) + len(parts[1]) + 2, Len: len(parts[2])}}
	return f, nil
}

// Outline is the part of Facts that its contract names.
func (t Toy) Outline(r *ledger.Record, trust ledger.Trust) (ledger.Facts, error) {
	f, err := t.Facts(r, trust)
	return ledger.Facts{Undecoded: f.Undecoded, Tags: f.Tags, Addresses: f.Addresses, Payloads: f.Payloads}, err
}

func (Toy) JSON(r *ledger.Record) ([]byte, error) {
	return json.Marshal(map[string]string{"toy": string(r.Parts[0].Raw)})
}

func (Toy) UnitJSON(u ledger.Unit) ([]byte, error) {
	return fmt.Appendf(nil, `{"index":%d}`, u.Seq), nil
}

// TrustAt returns t: nothing changes here.
func (Toy) TrustAt(_ context.Context, t ledger.Trust, _ uint64, _ func(context.Context, [][]byte) ([][]byte, error)) (ledger.Trust, error) {
	return t, nil
}

func (Toy) Recognise(text string, _ ledger.Trust) []ledger.Key {
	if strings.HasPrefix(text, "addr1") {
		return []ledger.Key{{Kind: ledger.KeyAddress, Val: text}}
	}
	raw, err := hex.DecodeString(strings.TrimPrefix(strings.ToLower(text), "0x"))
	if err != nil || len(raw) != 32 {
		return nil
	}
	return []ledger.Key{
		{Kind: ledger.KeyRecord, Val: string(raw)}, {Kind: ledger.KeyTransaction, Val: string(raw)}, {Kind: ledger.KeyUnit, Val: string(raw)},
	}
}

func Codecs(e ledger.Era) (ledger.Codec, bool) { return Toy{}, e == "toy" }

// memory is a store in memory. fail is returned by every read of the record at failAt.
type Memory struct {
	storage.Reader
	Nets   []ledger.Network
	Cover  map[ledger.NetID]storage.Coverage
	Held   map[ledger.NetID]map[uint64]*ledger.Cone
	FailAt ledger.Ord
	Fail   error
	Read   atomic.Uint64 // cones given
}

func NewMemory() *Memory {
	return &Memory{Cover: map[ledger.NetID]storage.Coverage{}, Held: map[ledger.NetID]map[uint64]*ledger.Cone{}}
}

// add makes a network of the units lo to hi; unit n holds n%5+1 records.
func (m *Memory) Add(name string, spans []storage.Span, gaps []storage.Gap) {
	id := ledger.NetID(len(m.Nets) + 1)
	m.Nets = append(m.Nets, ledger.Network{ID: id, Name: name, Era: "toy", Identity: name, Trust: []byte("t")})
	m.Cover[id] = storage.Coverage{Spans: spans, Gaps: gaps}
	m.Held[id] = map[uint64]*ledger.Cone{}
	for seq := range m.Cover[id].Set().All() {
		m.Held[id][seq] = ToyCone(id, seq)
	}
}

func ToyCone(net ledger.NetID, seq uint64) *ledger.Cone {
	header := fmt.Appendf(nil, "unit %d", seq)
	c := &ledger.Cone{Net: net, Unit: ledger.Unit{Seq: seq, ID: HashID(header), Header: header, TimeMs: 1637899290000 + int64(seq)*1000}}
	for pos := range uint32(seq%5 + 1) {
		raw := fmt.Appendf(nil, "t%d|addr1%d|text %d <&> \x00", pos, pos%2, seq)
		if pos == 1 {
			raw = fmt.Appendf(nil, "-||plain %d", seq)
		}
		r := ToyRecord(seq, pos, raw)
		if pos == 3 { // found by two readings
			r.Posts = append(r.Posts, ledger.Posting{Key: ledger.Key{Kind: ledger.KeyTransaction, Val: r.ID.Key()}, Role: ledger.RoleMention})
		}
		c.Records = append(c.Records, r)
	}
	return c
}

// toyRecord makes a record of raw with the postings that its bytes give.
func ToyRecord(seq uint64, pos uint32, raw []byte) ledger.Record {
	r := ledger.Record{
		Ord: ledger.Ord{Seq: seq, Pos: pos}, ID: HashID(raw), Kind: uint8(pos % 2), State: ledger.State(pos%3 + 1),
		Reason: uint16(pos), Basis: ledger.ByRoot, Parts: []ledger.Part{{Kind: ledger.PartObject, Raw: raw}},
	}
	f, _ := Toy{}.Facts(&r, ledger.Trust{})
	post := func(kind ledger.KeyKind, val string) {
		r.Posts = append(r.Posts, ledger.Posting{Key: ledger.Key{Kind: kind, Val: val}, Role: ledger.RoleMention | ledger.RoleReceive, Value: ledger.Coins(seq)})
	}
	post(ledger.KeyRecord, r.ID.Key())
	for _, tag := range f.Tags {
		post(ledger.KeyTag, string(tag))
	}
	for _, a := range f.Addresses {
		post(ledger.KeyAddress, a)
	}
	return r
}

func HashID(raw []byte) ledger.ID {
	sum := sha256.Sum256(raw)
	return ledger.NewID(sum[:])
}

func (m *Memory) Networks(context.Context) ([]ledger.Network, error) { return m.Nets, nil }

func (m *Memory) Coverage(_ context.Context, net ledger.NetID) (storage.Coverage, error) {
	return m.Cover[net], nil
}

func (m *Memory) Unit(_ context.Context, net ledger.NetID, seq uint64) (ledger.Unit, []storage.Digest, error) {
	c := m.Held[net][seq]
	if c == nil {
		return ledger.Unit{}, nil, storage.ErrNotFound
	}
	manifest := []storage.Digest{{Part: ledger.PartHeader, Len: uint32(len(c.Unit.Header))}}
	for _, r := range c.Records {
		manifest = append(manifest, storage.Digest{Part: ledger.PartObject, Len: uint32(len(r.Parts[0].Raw))})
	}
	return c.Unit, manifest, nil
}

func (m *Memory) Record(ctx context.Context, net ledger.NetID, ord ledger.Ord) (ledger.Record, error) {
	if m.Fail != nil && ord == m.FailAt {
		return ledger.Record{}, m.Fail
	}
	c := m.Held[net][ord.Seq]
	if c == nil || int(ord.Pos) >= len(c.Records) {
		return ledger.Record{}, storage.ErrNotFound
	}
	return c.Records[ord.Pos], ctx.Err()
}

func (m *Memory) Cones(ctx context.Context, net ledger.NetID, lo, hi uint64) iter.Seq2[*ledger.Cone, error] {
	return func(yield func(*ledger.Cone, error) bool) {
		for seq := range ranges.Of(ranges.Range{Lo: lo, Hi: hi}).All() {
			if m.Fail != nil && m.FailAt.Seq == seq {
				yield(nil, m.Fail)
				return
			}
			if m.Read.Add(1); ctx.Err() != nil || !yield(m.Held[net][seq], nil) {
				return
			}
		}
	}
}

func (m *Memory) Lookup(_ context.Context, net ledger.NetID, key ledger.Key, scan storage.Scan) iter.Seq2[storage.Found, error] {
	return func(yield func(storage.Found, error) bool) {
		for _, f := range m.postings(net, key, scan) {
			if !yield(f, nil) {
				return
			}
		}
	}
}

func (m *Memory) Count(_ context.Context, net ledger.NetID, key ledger.Key, lo, hi uint64) (uint64, error) {
	return uint64(len(m.postings(net, key, between(lo, hi)))), nil
}

func (m *Memory) Sum(_ context.Context, net ledger.NetID, key ledger.Key, lo, hi uint64) (sum ledger.Amount, err error) {
	for _, f := range m.postings(net, key, between(lo, hi)) {
		sum = sum.Add(f.Value)
	}
	return sum, nil
}

func between(lo, hi uint64) storage.Scan {
	return storage.Scan{Lo: ledger.Ord{Seq: lo}, Hi: ledger.Ord{Seq: hi, Pos: ledger.UnitPos}}
}

func (m *Memory) Keys(_ context.Context, net ledger.NetID, prefix ledger.Key, after string) iter.Seq2[ledger.Key, error] {
	return func(yield func(ledger.Key, error) bool) {
		var last *ledger.Key
		for _, f := range m.postings(net, prefix, storage.Scan{Prefix: true}) {
			if last != nil && *last == f.Key || after != "" && f.Key.Val <= after {
				continue
			}
			last = &f.Key
			if !yield(f.Key, nil) {
				return
			}
		}
	}
}

func (m *Memory) SeqAt(_ context.Context, net ledger.NetID, fromMs, toMs int64) (set ranges.Set, err error) {
	for seq := range m.Cover[net].Set().All() {
		if at := m.Held[net][seq].Unit.TimeMs; fromMs <= at && at < toMs {
			set.Add(seq, seq)
		}
	}
	return set, nil
}

func (m *Memory) Totals(_ context.Context, net ledger.NetID, lo, hi uint64) (records, bytes uint64, err error) {
	for seq := lo; seq <= hi; seq++ {
		for _, r := range m.Held[net][seq].Records {
			records++
			bytes += uint64(len(r.Parts[0].Raw))
		}
	}
	return records, bytes, nil
}

// State holds nothing.
func (m *Memory) State(_ context.Context, _ ledger.NetID, keys [][]byte) ([][]byte, error) {
	return make([][]byte, len(keys)), nil
}

// Notes are of units with records that cannot be read whole.
func (m *Memory) Notes(_ context.Context, net ledger.NetID) iter.Seq2[storage.Note, error] {
	return func(yield func(storage.Note, error) bool) {
		for seq := range m.Cover[net].Set().All() {
			note := storage.Note{Net: net, Kind: storage.NoteUndecoded, Seq: seq, To: seq}
			if unread := func(r ledger.Record) bool { return r.Undecoded }; slices.ContainsFunc(m.Held[net][seq].Records, unread) && !yield(note, nil) {
				return
			}
		}
	}
}

// postings looks at every record that is in coverage.
func (m *Memory) postings(net ledger.NetID, key ledger.Key, scan storage.Scan) (all []storage.Found) {
	add := func(p ledger.Posting, ord ledger.Ord) {
		same := p.Key == key || scan.Prefix && p.Key.Kind == key.Kind && strings.HasPrefix(p.Key.Val, key.Val)
		if same && !ord.Less(scan.Lo) && (scan.Hi == ledger.Ord{} || !scan.Hi.Less(ord)) {
			all = append(all, storage.Found{Key: p.Key, Ord: ord, Role: p.Role, Value: p.Value})
		}
	}
	for seq := range m.Cover[net].Set().All() {
		c, own := m.Held[net][seq], ledger.Ord{Seq: seq, Pos: ledger.UnitPos}
		add(ledger.Posting{Key: ledger.Key{Kind: ledger.KeyUnit, Val: c.Unit.ID.Key()}, Role: ledger.RoleMention}, own)
		for _, p := range c.Posts {
			add(p, own)
		}
		for _, r := range c.Records {
			for _, p := range r.Posts {
				add(p, r.Ord)
			}
		}
	}
	compare := func(a, b storage.Found) int {
		return cmp.Or(strings.Compare(a.Key.Val, b.Key.Val), a.Ord.Compare(b.Ord))
	}
	slices.SortFunc(all, compare)
	if scan.After != nil {
		at := storage.Found{Key: ledger.Key{Val: scan.After.Val}, Ord: scan.After.Ord}
		all = slices.DeleteFunc(all, func(f storage.Found) bool {
			return !scan.Reverse && compare(f, at) <= 0 || scan.Reverse && compare(f, at) >= 0
		})
	}
	if scan.Reverse {
		slices.Reverse(all)
	}
	return all
}

// Changed never tells.
func (m *Memory) Changed(ledger.NetID) <-chan struct{} { return nil }

// sample holds network a with units 1-10 and 14-20, a stated gap 11-12, a silent hole 13, and 21 wanted; and network b
// with the same records in units 3-4.
func Sample() *Memory {
	m := NewMemory()
	m.Add("b", []storage.Span{{Lo: 3, Hi: 4, Held: true}}, nil)
	m.Add("a", []storage.Span{{Lo: 1, Hi: 10}, {Lo: 14, Hi: 20}},
		[]storage.Gap{{From: 11, To: 12, Reason: "every source has pruned it"}, {From: 21, To: 21, Reason: "no source has it"}})
	return m
}

func IdOf(seq uint64, pos int) string { return "0x" + ToyCone(1, seq).Records[pos].ID.String() }
