package query_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"permanode/internal/ranges"
	"permanode/ledger"
	"permanode/storage"
)

// toy is a small era: ids are SHA-256, shown as 0x hex; an address is any text "addr1…"; the bytes of a record are
// "tag|address|text", and tag "-" means none.
type toy struct{ ledger.Codec }

// Links knows no other era.
func (toy) Links(ledger.Key, *ledger.Record) (later, earlier []ledger.Key) { return nil, nil }

func (toy) FormatID(id ledger.ID) string { return "0x" + id.String() }

func (toy) KindName(k uint8) string   { return [...]string{"none", "data"}[k] }
func (toy) Head(u ledger.Unit) []byte { return u.Header }

func (toy) ParseTrust(raw []byte) (ledger.Trust, error) {
	if string(raw) == "damaged" {
		return ledger.Trust{}, ledger.ErrTrust
	}
	return ledger.Trust{Era: "toy", Raw: raw}, nil
}

func (toy) Facts(r *ledger.Record, _ ledger.Trust) (f ledger.Facts, err error) {
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
	f.Leaves = []ledger.Leaf{{Path: "n", Value: "1e400"}}
	f.Tokens = []ledger.Token{{ID: "0x01", Amount: ledger.Coins(1 << 63).Add(ledger.Coins(1 << 63))}}
	f.Payloads = []ledger.Span{{Off: len(parts[0]) + len(parts[1]) + 2, Len: len(parts[2])}}
	return f, nil
}

func (toy) JSON(r *ledger.Record) ([]byte, error) {
	return json.Marshal(map[string]string{"toy": string(r.Parts[0].Raw)})
}

func (toy) UnitJSON(u ledger.Unit) ([]byte, error) {
	return fmt.Appendf(nil, `{"index":%d}`, u.Seq), nil
}

// TrustAt returns t: nothing changes here.
func (toy) TrustAt(_ context.Context, t ledger.Trust, _ uint64, _ func(context.Context, [][]byte) ([][]byte, error)) (ledger.Trust, error) {
	return t, nil
}

func (toy) Recognise(text string, _ ledger.Trust) []ledger.Key {
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

func codecs(e ledger.Era) (ledger.Codec, bool) { return toy{}, e == "toy" }

// memory is a store in memory. fail is returned by every read of the record at failAt.
type memory struct {
	storage.Reader
	nets   []ledger.Network
	cover  map[ledger.NetID]storage.Coverage
	cones  map[ledger.NetID]map[uint64]*ledger.Cone
	failAt ledger.Ord
	fail   error
}

func newMemory() *memory {
	return &memory{cover: map[ledger.NetID]storage.Coverage{}, cones: map[ledger.NetID]map[uint64]*ledger.Cone{}}
}

// add makes a network of the units lo to hi; unit n holds n%5+1 records.
func (m *memory) add(name string, spans []storage.Span, gaps []storage.Gap) {
	id := ledger.NetID(len(m.nets) + 1)
	m.nets = append(m.nets, ledger.Network{ID: id, Name: name, Era: "toy", Identity: name, Trust: []byte("t")})
	m.cover[id] = storage.Coverage{Spans: spans, Gaps: gaps}
	m.cones[id] = map[uint64]*ledger.Cone{}
	for seq := range m.cover[id].Set().All() {
		m.cones[id][seq] = toyCone(id, seq)
	}
}

func toyCone(net ledger.NetID, seq uint64) *ledger.Cone {
	header := fmt.Appendf(nil, "unit %d", seq)
	c := &ledger.Cone{Net: net, Unit: ledger.Unit{Seq: seq, ID: hashID(header), Header: header, TimeMs: 1637899290000 + int64(seq)*1000}}
	for pos := range uint32(seq%5 + 1) {
		raw := fmt.Appendf(nil, "t%d|addr1%d|text %d <&> \x00", pos, pos%2, seq)
		if pos == 1 {
			raw = fmt.Appendf(nil, "-||plain %d", seq)
		}
		c.Records = append(c.Records, ledger.Record{
			Ord: ledger.Ord{Seq: seq, Pos: pos}, ID: hashID(raw), Kind: uint8(pos % 2), State: ledger.State(pos%3 + 1),
			Reason: uint16(pos), Basis: ledger.ByRoot, Parts: []ledger.Part{{Kind: ledger.PartObject, Raw: raw}},
		})
	}
	return c
}

func hashID(raw []byte) ledger.ID {
	sum := sha256.Sum256(raw)
	return ledger.NewID(sum[:])
}

func (m *memory) Networks(context.Context) ([]ledger.Network, error) { return m.nets, nil }

func (m *memory) Coverage(_ context.Context, net ledger.NetID) (storage.Coverage, error) {
	return m.cover[net], nil
}

func (m *memory) Unit(_ context.Context, net ledger.NetID, seq uint64) (ledger.Unit, []storage.Digest, error) {
	c := m.cones[net][seq]
	if c == nil {
		return ledger.Unit{}, nil, storage.ErrNotFound
	}
	manifest := []storage.Digest{{Part: ledger.PartHeader, Len: uint32(len(c.Unit.Header))}}
	for _, r := range c.Records {
		manifest = append(manifest, storage.Digest{Part: ledger.PartObject, Len: uint32(len(r.Parts[0].Raw))})
	}
	return c.Unit, manifest, nil
}

func (m *memory) Record(ctx context.Context, net ledger.NetID, ord ledger.Ord) (ledger.Record, error) {
	if m.fail != nil && ord == m.failAt {
		return ledger.Record{}, m.fail
	}
	c := m.cones[net][ord.Seq]
	if c == nil || int(ord.Pos) >= len(c.Records) {
		return ledger.Record{}, storage.ErrNotFound
	}
	return c.Records[ord.Pos], ctx.Err()
}

func (m *memory) Cones(ctx context.Context, net ledger.NetID, lo, hi uint64) iter.Seq2[*ledger.Cone, error] {
	return func(yield func(*ledger.Cone, error) bool) {
		for seq := range ranges.Of(ranges.Range{Lo: lo, Hi: hi}).All() {
			if m.fail != nil && m.failAt.Seq == seq {
				yield(nil, m.fail)
				return
			}
			if ctx.Err() != nil || !yield(m.cones[net][seq], nil) {
				return
			}
		}
	}
}

func (m *memory) Lookup(_ context.Context, net ledger.NetID, key ledger.Key, scan storage.Scan) iter.Seq2[storage.Found, error] {
	return func(yield func(storage.Found, error) bool) {
		for _, f := range m.postings(net, key) {
			if !f.Ord.Less(scan.Lo) && !yield(f, nil) {
				return
			}
		}
	}
}

func (m *memory) Count(_ context.Context, net ledger.NetID, key ledger.Key, _, _ uint64) (uint64, error) {
	return uint64(len(m.postings(net, key))), nil
}

func (m *memory) postings(net ledger.NetID, key ledger.Key) (all []storage.Found) {
	for seq, c := range m.cones[net] {
		if key.Kind == ledger.KeyUnit && c.Unit.ID.Key() == key.Val {
			all = append(all, storage.Found{Key: key, Ord: ledger.Ord{Seq: seq, Pos: ledger.UnitPos}, Role: ledger.RoleMention})
		}
		for _, r := range c.Records {
			f, _ := toy{}.Facts(&r, ledger.Trust{})
			if key.Kind == ledger.KeyTransaction && r.ID.Key() == key.Val && r.Ord.Pos == 3 { // found by two readings
				all = append(all, storage.Found{Key: key, Ord: r.Ord, Role: ledger.RoleMention})
			}
			if key.Kind == ledger.KeyRecord && r.ID.Key() == key.Val || key.Kind == ledger.KeyAddress && slices.Contains(f.Addresses, key.Val) {
				all = append(all, storage.Found{Key: key, Ord: r.Ord, Role: ledger.RoleMention | ledger.RoleReceive})
			}
		}
	}
	slices.SortFunc(all, func(a, b storage.Found) int { return a.Ord.Compare(b.Ord) })
	return all
}
