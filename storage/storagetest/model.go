package storagetest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"permanode/internal/ranges"
	"permanode/ledger"
	"permanode/storage"
)

// Model is one network of a store as its contract says it must be, in memory and without any cleverness.
type Model struct {
	Spans []storage.Span
	Gaps  map[uint64]string // unit -> reason
	Cones map[uint64]*ledger.Cone
	Rows  map[string][]byte
	Noted map[string]storage.Note
}

// NewModel returns an empty network.
func NewModel() *Model {
	return &Model{Gaps: map[uint64]string{}, Cones: map[uint64]*ledger.Cone{}, Rows: map[string][]byte{}, Noted: map[string]storage.Note{}}
}

// Clone returns a copy that shares cones.
func (m *Model) Clone() *Model {
	return &Model{slices.Clone(m.Spans), maps.Clone(m.Gaps), maps.Clone(m.Cones), maps.Clone(m.Rows), maps.Clone(m.Noted)}
}

// Open begins a span.
func (m *Model) Open(s storage.Span, start iter.Seq2[ledger.Change, error]) {
	s.Hi = s.Lo - 1
	m.Spans = append(m.Spans, s)
	slices.SortFunc(m.Spans, func(a, b storage.Span) int { return cmp.Compare(a.Lo, b.Lo) })
	for c := range start {
		m.Rows[string(c.Key)] = c.Val
	}
}

// Commit stores a cone that continues a span.
func (m *Model) Commit(c *ledger.Cone) {
	seq := c.Unit.Seq
	if m.Cones[seq] != nil {
		return
	}
	for i := range m.Spans {
		if m.Spans[i].Hi+1 == seq {
			m.Spans[i].Hi = seq
			break
		}
	}
	m.Cones[seq] = c
	delete(m.Gaps, seq)
	for _, ch := range c.Changes {
		m.Rows[string(ch.Key)] = ch.Val
	}
}

// Note stores a note.
func (m *Model) Note(n storage.Note) {
	if n.Kind == storage.NoteGap {
		for seq := n.Seq; seq <= n.To; seq++ {
			if m.Cones[seq] == nil {
				m.Gaps[seq] = n.Text
			}
		}
		return
	}
	k := fmt.Sprintf("%016x %s %s %s", n.Seq, n.Unit, n.Kind, n.Source)
	if _, ok := m.Noted[k]; !ok {
		m.Noted[k] = n
	}
}

// Coverage joins neighbouring gaps of one reason.
func (m *Model) Coverage() storage.Coverage {
	c := storage.Coverage{Spans: m.Spans}
	for _, seq := range slices.Sorted(maps.Keys(m.Gaps)) {
		if n := len(c.Gaps); n > 0 && c.Gaps[n-1].To+1 == seq && c.Gaps[n-1].Reason == m.Gaps[seq] {
			c.Gaps[n-1].To = seq
			continue
		}
		c.Gaps = append(c.Gaps, storage.Gap{From: seq, To: seq, Reason: m.Gaps[seq]})
	}
	return c
}

// Seqs returns the committed units, oldest first.
func (m *Model) Seqs() []uint64 { return slices.Sorted(maps.Keys(m.Cones)) }

// Postings returns every posting there is, by key, then place.
func (m *Model) Postings() (out []storage.Found) {
	for _, c := range m.Cones {
		at := ledger.Ord{Seq: c.Unit.Seq, Pos: ledger.UnitPos}
		out = append(out, storage.Found{Key: ledger.Key{Kind: ledger.KeyUnit, Val: c.Unit.ID.Key()}, Ord: at, Role: ledger.RoleMention})
		add := func(posts []ledger.Posting, o ledger.Ord) {
			for _, p := range posts {
				out = append(out, storage.Found{Key: p.Key, Ord: o, Role: p.Role, Value: p.Value})
			}
		}
		add(c.Posts, at)
		for i := range c.Records {
			add(c.Records[i].Posts, c.Records[i].Ord)
		}
	}
	slices.SortFunc(out, func(a, b storage.Found) int {
		return cmp.Or(cmp.Compare(a.Key.Kind, b.Key.Kind), cmp.Compare(a.Key.Val, b.Key.Val), a.Ord.Compare(b.Ord))
	})
	return out
}

// lookup selects from sorted postings as Lookup must.
func lookup(postings []storage.Found, key ledger.Key, scan storage.Scan) (out []storage.Found) {
	i, _ := slices.BinarySearchFunc(postings, key, func(p storage.Found, k ledger.Key) int {
		return cmp.Or(cmp.Compare(p.Key.Kind, k.Kind), cmp.Compare(p.Key.Val, k.Val))
	})
	for _, p := range postings[i:] {
		if p.Key.Kind != key.Kind || p.Key.Val != key.Val && !(scan.Prefix && strings.HasPrefix(p.Key.Val, key.Val)) {
			break
		}
		if !p.Ord.Less(scan.Lo) && (scan.Hi == ledger.Ord{} || !scan.Hi.Less(p.Ord)) {
			out = append(out, p)
		}
	}
	if scan.Reverse {
		slices.Reverse(out)
	}
	if a := scan.After; a != nil {
		out = slices.DeleteFunc(out, func(p storage.Found) bool {
			c := cmp.Or(cmp.Compare(p.Key.Val, a.Val), p.Ord.Compare(a.Ord))
			return c == 0 || (c > 0) == scan.Reverse
		})
	}
	return out
}

// distinct returns the keys of sorted postings as Keys must.
func distinct(postings []storage.Found, prefix ledger.Key, after string) (out []ledger.Key) {
	for _, p := range lookup(postings, prefix, storage.Scan{Prefix: true}) {
		if (after == "" || p.Key.Val > after) && (len(out) == 0 || out[len(out)-1] != p.Key) {
			out = append(out, p.Key)
		}
	}
	return out
}

// Check returns the first difference between the model and what r says of net; nil if there is none. A
// sample above 0 looks at that many units and keys only, spread evenly.
func (m *Model) Check(ctx context.Context, r storage.Reader, net ledger.NetID, sample int) error {
	cov, err := r.Coverage(ctx, net)
	if err != nil {
		return err
	}
	if want := m.Coverage(); !sameCoverage(cov, want) {
		return fmt.Errorf("coverage is %+v, want %+v", cov, want)
	}
	for _, check := range []func(context.Context, storage.Reader, ledger.NetID, int) error{m.checkUnits, m.checkCones, m.checkKeys, m.checkState, m.checkNotes} {
		if err := check(ctx, r, net, sample); err != nil {
			return err
		}
	}
	return nil
}

func sameCoverage(a, b storage.Coverage) bool {
	return slices.Equal(a.Gaps, b.Gaps) && slices.EqualFunc(a.Spans, b.Spans, func(x, y storage.Span) bool {
		return x.Lo == y.Lo && x.Hi == y.Hi && x.Held == y.Held && x.PrevID == y.PrevID && x.PrevTime == y.PrevTime && slices.Equal(x.Snapshot, y.Snapshot)
	})
}

// some returns a part of all, spread evenly.
func some[T any](all []T, n int) (out []T) {
	if n <= 0 || len(all) <= n {
		return all
	}
	for i := range n {
		out = append(out, all[i*len(all)/n])
	}
	return append(out, all[len(all)-1])
}

func (m *Model) checkUnits(ctx context.Context, r storage.Reader, net ledger.NetID, sample int) error {
	for _, seq := range some(m.Seqs(), sample) {
		want := m.Cones[seq]
		u, digests, err := r.Unit(ctx, net, seq)
		if err != nil {
			return fmt.Errorf("unit %d: %w", seq, err)
		}
		if err := sameUnit(u, want.Unit); err != nil {
			return err
		}
		if err := sameManifest(digests, want); err != nil {
			return fmt.Errorf("manifest of unit %d: %w", seq, err)
		}
		for i := range want.Records {
			rec, err := r.Record(ctx, net, want.Records[i].Ord)
			if err != nil {
				return err
			}
			if err := sameRecord(&rec, &want.Records[i]); err != nil {
				return err
			}
		}
		times, err := r.SeqAt(ctx, net, u.TimeMs, u.TimeMs+1)
		if err != nil {
			return err
		}
		if !times.Has(seq) {
			return fmt.Errorf("unit %d is not found by its time %d", seq, u.TimeMs)
		}
	}
	return m.checkRanges(ctx, r, net, sample)
}

// checkRanges asks for times and totals of ranges that begin and end at any two units.
func (m *Model) checkRanges(ctx context.Context, r storage.Reader, net ledger.NetID, sample int) error {
	seqs := m.Seqs()
	if len(seqs) == 0 {
		seqs = []uint64{5}
	}
	for i, seq := range append(some(seqs, min(max(sample, 0), 40)), 0) {
		lo, hi := seq, seqs[(i*7919)%len(seqs)]
		if i%5 == 0 {
			lo, hi = 0, ledger.MaxSeq
		}
		from, to := int64(-1<<62), int64(1<<62)
		if a, b := m.Cones[lo], m.Cones[hi]; a != nil && b != nil {
			from, to = min(a.Unit.TimeMs, b.Unit.TimeMs), max(a.Unit.TimeMs, b.Unit.TimeMs)
		}
		if err := m.checkRange(ctx, r, net, min(lo, hi), max(lo, hi), from, to); err != nil {
			return err
		}
	}
	return nil
}

func (m *Model) checkRange(ctx context.Context, r storage.Reader, net ledger.NetID, lo, hi uint64, from, to int64) error {
	var set ranges.Set
	var records, bytes uint64
	for seq, c := range m.Cones {
		if from <= c.Unit.TimeMs && c.Unit.TimeMs < to {
			set.Add(seq, seq)
		}
		if lo <= seq && seq <= hi {
			records += uint64(len(c.Records))
			for _, rec := range c.Records {
				for _, p := range rec.Parts {
					bytes += uint64(len(p.Raw))
				}
			}
		}
	}
	got, err := r.SeqAt(ctx, net, from, to)
	if err != nil {
		return err
	}
	if !slices.Equal(got.Ranges(), set.Ranges()) {
		return fmt.Errorf("units signed from %d to before %d: %v, want %v", from, to, got.Ranges(), set.Ranges())
	}
	gotRecords, gotBytes, err := r.Totals(ctx, net, lo, hi)
	if err != nil {
		return err
	}
	if gotRecords != records || gotBytes != bytes {
		return fmt.Errorf("units %d to %d hold %d records, %d bytes, want %d, %d", lo, hi, gotRecords, gotBytes, records, bytes)
	}
	return nil
}

func sameUnit(a, b ledger.Unit) error {
	if a.Seq != b.Seq || a.ID != b.ID || a.Prev != b.Prev || a.TimeMs != b.TimeMs || !bytes.Equal(a.Header, b.Header) ||
		!bytes.Equal(a.Auth, b.Auth) || !bytes.Equal(a.List, b.List) || (a.List == nil) != (b.List == nil) {
		return fmt.Errorf("unit %d is %+v, want %+v", b.Seq, a, b)
	}
	return nil
}

func sameManifest(got []storage.Digest, c *ledger.Cone) error {
	want := []storage.Digest{{ID: c.Unit.ID, Part: ledger.PartHeader, Len: uint32(len(c.Unit.Header)), SHA256: sha256.Sum256(c.Unit.Header)}}
	if c.Unit.List != nil {
		want = append(want, storage.Digest{ID: c.Unit.ID, Part: ledger.PartList, Len: uint32(len(c.Unit.List)), SHA256: sha256.Sum256(c.Unit.List)})
	}
	for _, r := range c.Records {
		for _, p := range r.Parts {
			want = append(want, storage.Digest{ID: r.ID, Part: p.Kind, Len: uint32(len(p.Raw)), SHA256: sha256.Sum256(p.Raw), Applied: r.State == ledger.Applied, Self: r.Self})
		}
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("%d digests differ from the %d that the cone gives", len(got), len(want))
	}
	return nil
}

func sameRecord(a, b *ledger.Record) error {
	same := a.Ord == b.Ord && a.ID == b.ID && a.Kind == b.Kind && a.State == b.State && a.Reason == b.Reason && a.Basis == b.Basis && a.Self == b.Self &&
		slices.EqualFunc(a.Parts, b.Parts, func(x, y ledger.Part) bool { return x.Kind == y.Kind && bytes.Equal(x.Raw, y.Raw) }) &&
		sameMoves(a.Moves, b.Moves) && samePosts(a.Posts, b.Posts)
	if !same {
		return fmt.Errorf("record %s is %+v, want %+v", b.Ord, *a, *b)
	}
	return nil
}

func sameMoves(a, b []ledger.Move) bool {
	return slices.EqualFunc(a, b, func(x, y ledger.Move) bool {
		return x.Owner == y.Owner && x.Asset == y.Asset && x.Output == y.Output && x.Amount.Equal(y.Amount)
	})
}

func samePosts(a, b []ledger.Posting) bool {
	return slices.EqualFunc(a, b, func(x, y ledger.Posting) bool {
		return x.Key == y.Key && x.Role == y.Role && x.Value.Equal(y.Value)
	})
}

// SameCone returns how two cones differ, without their changes.
func SameCone(a, b *ledger.Cone) error {
	if err := sameUnit(a.Unit, b.Unit); err != nil {
		return err
	}
	if a.Net != b.Net || len(a.Records) != len(b.Records) || !sameMoves(a.Moves, b.Moves) || !samePosts(a.Posts, b.Posts) {
		return fmt.Errorf("cone %d differs", b.Unit.Seq)
	}
	for i := range a.Records {
		if err := sameRecord(&a.Records[i], &b.Records[i]); err != nil {
			return err
		}
	}
	return nil
}

func (m *Model) checkCones(ctx context.Context, r storage.Reader, net ledger.NetID, sample int) error {
	for _, s := range m.Spans {
		if s.Hi == s.Lo-1 {
			continue
		}
		lo := s.Lo
		if sample > 0 && s.Hi-lo >= uint64(sample) {
			lo = s.Hi - uint64(sample)
		}
		next := lo
		for c, err := range r.Cones(ctx, net, lo, s.Hi) {
			if err != nil {
				return fmt.Errorf("cones %d to %d: %w", lo, s.Hi, err)
			}
			if err := SameCone(c, m.Cones[next]); err != nil {
				return err
			}
			next++
		}
		if next != s.Hi+1 {
			return fmt.Errorf("cones %d to %d end before %d", lo, s.Hi, next)
		}
	}
	return nil
}

func (m *Model) checkKeys(ctx context.Context, r storage.Reader, net ledger.NetID, sample int) error {
	all := m.Postings()
	keys := []ledger.Key{{Kind: ledger.KeyTag, Val: "nothing has this tag"}}
	for _, p := range all {
		if p.Key != keys[len(keys)-1] {
			keys = append(keys, p.Key)
		}
	}
	seqs := m.Seqs()
	for i, key := range some(keys, sample) {
		scan := storage.Scan{Reverse: i&1 != 0, Prefix: i&2 != 0}
		if i&4 != 0 && len(seqs) > 0 {
			scan.Lo = ledger.Ord{Seq: seqs[(i*7)%len(seqs)], Pos: 1}
			scan.Hi = ledger.Ord{Seq: scan.Lo.Seq + uint64(i%50), Pos: uint32(i % 3)}
		}
		if scan.Prefix && len(key.Val) > 0 && i&8 != 0 {
			key.Val = key.Val[:i%len(key.Val)]
		}
		if err := checkKey(ctx, r, net, all, key, scan); err != nil {
			return err
		}
		if within := lookup(all, key, scan); len(within) > 0 {
			scan.After = &storage.Place{Val: within[(i/3)%len(within)].Key.Val, Ord: within[(i/3)%len(within)].Ord}
			if err := checkKey(ctx, r, net, all, key, scan); err != nil {
				return err
			}
		}
		if err := checkDistinct(ctx, r, net, all, ledger.Key{Kind: key.Kind, Val: key.Val[:i%(len(key.Val)+1)]}, key.Val[:i/2%(len(key.Val)+1)]); err != nil {
			return err
		}
	}
	return nil
}

func checkDistinct(ctx context.Context, r storage.Reader, net ledger.NetID, all []storage.Found, prefix ledger.Key, after string) error {
	var got []ledger.Key
	for k, err := range r.Keys(ctx, net, prefix, after) {
		if err != nil {
			return fmt.Errorf("keys %d %q after %q: %w", prefix.Kind, prefix.Val, after, err)
		}
		got = append(got, k)
	}
	if want := distinct(all, prefix, after); !slices.Equal(got, want) {
		return fmt.Errorf("keys %d %q after %q: %q, want %q", prefix.Kind, prefix.Val, after, got, want)
	}
	return nil
}

func checkKey(ctx context.Context, r storage.Reader, net ledger.NetID, all []storage.Found, key ledger.Key, scan storage.Scan) error {
	want := lookup(all, key, scan)
	n := 0
	for f, err := range r.Lookup(ctx, net, key, scan) {
		if err != nil {
			return fmt.Errorf("lookup %d %q: %w", key.Kind, key.Val, err)
		}
		if n == len(want) || f.Key != want[n].Key || f.Ord != want[n].Ord || f.Role != want[n].Role || !f.Value.Equal(want[n].Value) {
			return fmt.Errorf("lookup %d %q %+v: answer %d is %+v, want all of %v", key.Kind, key.Val, scan, n, f, want)
		}
		n++
	}
	if n != len(want) {
		return fmt.Errorf("lookup %d %q %+v: %d answers, want %d", key.Kind, key.Val, scan, n, len(want))
	}
	lo, hi := scan.Lo.Seq, scan.Hi.Seq
	if scan.Hi == (ledger.Ord{}) {
		hi = ledger.MaxSeq
	}
	var sum ledger.Amount
	within := lookup(all, key, storage.Scan{Lo: ledger.Ord{Seq: lo}, Hi: ledger.Ord{Seq: hi, Pos: ledger.UnitPos}})
	for _, p := range within {
		sum = sum.Add(p.Value)
	}
	if got, err := r.Count(ctx, net, key, lo, hi); err != nil || got != uint64(len(within)) {
		return fmt.Errorf("count %d %q in %d..%d is %d (%w), want %d", key.Kind, key.Val, lo, hi, got, err, len(within))
	}
	if got, err := r.Sum(ctx, net, key, lo, hi); err != nil || !got.Equal(sum) {
		return fmt.Errorf("sum %d %q in %d..%d is %s (%w), want %s", key.Kind, key.Val, lo, hi, got, err, sum)
	}
	return nil
}

func (m *Model) checkState(ctx context.Context, r storage.Reader, net ledger.NetID, sample int) error {
	keys := [][]byte{[]byte("no such row")}
	for _, k := range some(slices.Sorted(maps.Keys(m.Rows)), sample) {
		keys = append(keys, []byte(k))
	}
	got, err := r.State(ctx, net, keys)
	if err != nil {
		return err
	}
	for i, k := range keys {
		want, ok := m.Rows[string(k)]
		if !bytes.Equal(got[i], want) || (got[i] != nil) != ok {
			return fmt.Errorf("state %x is %x, want %x", k, got[i], want)
		}
	}
	return nil
}

func (m *Model) checkNotes(ctx context.Context, r storage.Reader, net ledger.NetID, _ int) error {
	n := 0
	for note, err := range r.Notes(ctx, net) {
		if err != nil {
			return err
		}
		want, ok := m.Noted[fmt.Sprintf("%016x %s %s %s", note.Seq, note.Unit, note.Kind, note.Source)]
		want.Net = net
		if !ok || !bytes.Equal(note.Evidence, want.Evidence) || note.Text != want.Text || note.Code != want.Code || note.TimeMs != want.TimeMs || note.To != want.To {
			return fmt.Errorf("note is %+v, want %+v", note, want)
		}
		n++
	}
	if n != len(m.Noted) {
		return fmt.Errorf("%d notes, want %d", n, len(m.Noted))
	}
	return nil
}
