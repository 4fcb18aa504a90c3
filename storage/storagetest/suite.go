package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"permanode/ledger"
	"permanode/storage"
)

// Store is an open engine.
type Store interface {
	storage.Reader
	Writer(ctx context.Context, n ledger.Network) (storage.Writer, error)
	Close() error
}

// Engine is one place where an engine keeps its data. Open opens it; the suite closes it and opens it
// again.
type Engine interface {
	Open() (Store, error)
}

// Run runs the suite. New returns an engine with an empty place that is gone when the test ends, and at
// least 64 MiB of memory.
func Run(t *testing.T, fresh func(t *testing.T) Engine) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, e Engine)
	}{
		{"Methods", testMethods},
		{"Claims", testClaims},
		{"Replay", testReplay},
		{"Writers", testWriters},
		{"Networks", testNetworks},
		{"Spans", testSpans},
		{"Gaps", testGaps},
		{"Opening", testOpening},
		{"Notes", testNotes},
		{"Large", testLarge},
		{"Refused", testRefused},
		{"Repair", testRepair},
		{"Tallies", testTallies},
		{"Changed", testChanged},
		{"Contexts", testContexts},
		{"Closed", testClosed},
		{"Random", testRandom},
		{"Bulk", testBulk},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, fresh(t)) })
	}
}

// run is one network in one engine, and its model.
type run struct {
	t *testing.T
	e Engine
	s Store
	w storage.Writer
	g *Gen
	m *Model
}

func start(t *testing.T, e Engine, seed uint64, shape Shape) *run {
	t.Helper()
	r := &run{t: t, e: e, g: NewGen(seed, shape), m: NewModel()}
	r.open()
	t.Cleanup(func() {
		if err := r.s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if err := r.w.Open(t.Context(), r.g.Span(), r.g.Opening()); err != nil {
		t.Fatal(err)
	}
	r.m.Open(r.g.Span(), r.g.Opening())
	return r
}

func (r *run) open() {
	r.t.Helper()
	var err error
	if r.s, err = r.e.Open(); err != nil {
		r.t.Fatal(err)
	}
	if r.w, err = r.s.Writer(context.Background(), r.g.Network()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *run) reopen() {
	r.t.Helper()
	if err := errors.Join(r.w.Close(), r.s.Close()); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

// next makes n cones.
func (r *run) next(n int) (cones []*ledger.Cone) {
	for range n {
		cones = append(cones, r.g.Next(r.w.Net()))
	}
	return cones
}

func (r *run) commit(cones ...*ledger.Cone) {
	r.t.Helper()
	if err := r.w.Commit(context.Background(), cones); err != nil {
		r.t.Fatal(err)
	}
	for _, c := range cones {
		r.m.Commit(c)
	}
}

func (r *run) check(sample int) {
	r.t.Helper()
	if err := r.m.Check(context.Background(), r.s, r.w.Net(), sample); err != nil {
		r.t.Fatal(err)
	}
}

func testMethods(t *testing.T, e Engine) {
	r := start(t, e, 1, Shape{})
	r.check(0)
	for range 20 {
		r.commit(r.next(3)...)
	}
	r.check(0)
	r.reopen()
	r.check(0)
	r.commit(r.next(5)...)
	r.check(0)
	absent(t, r)
}

// absent asks for what is not there.
func absent(t *testing.T, r *run) {
	ctx, net := t.Context(), r.w.Net()
	hi := r.m.Spans[0].Hi
	if _, _, err := r.s.Unit(ctx, net, hi+1); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("unit behind the end: %v", err)
	}
	past := ledger.Ord{Seq: hi, Pos: uint32(len(r.m.Cones[hi].Records))}
	for _, o := range []ledger.Ord{past, {Seq: hi, Pos: ledger.UnitPos}, {Seq: hi + 1}, {Seq: ledger.MaxSeq + 1}, {}} {
		if _, err := r.s.Record(ctx, net, o); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("record %s: %v", o, err)
		}
	}
	if _, err := r.s.Coverage(ctx, net+1); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("coverage of a network that is not there: %v", err)
	}
	if err := firstError(r.s.Cones(ctx, net, 1, hi+1)); !errors.Is(err, storage.ErrIncomplete) {
		t.Errorf("cones past the end: %v", err)
	}
	if set, err := r.s.SeqAt(ctx, net, 5, 5); err != nil || set.Len() != 0 {
		t.Errorf("no time at all: %v, %v", set, err)
	}
}

// testRepair stores units as a version would that could not read some records, then repairs them.
func testRepair(t *testing.T, e Engine) {
	r := start(t, e, 8, Shape{})
	ctx, whole := t.Context(), r.next(6)
	for _, c := range whole {
		poor := *c
		poor.Records = slices.Clone(c.Records)
		for i := range poor.Records {
			rec := &poor.Records[i]
			rec.Undecoded, rec.State, rec.Moves = true, ledger.Executed, nil
			rec.Posts = append(rec.Posts[:min(1, len(rec.Posts)):1], ledger.Posting{Key: ledger.Key{Kind: ledger.KeyTag, Val: "a guess"}, Role: ledger.RoleMention})
		}
		if err := r.w.Repair(ctx, c); !errors.Is(err, storage.ErrNotFound) {
			t.Fatalf("repair of unit %d that is not there: %v", c.Unit.Seq, err)
		}
		if err := r.w.Commit(ctx, []*ledger.Cone{&poor}); err != nil {
			t.Fatal(err)
		}
		for i := range poor.Records {
			if got, err := r.s.Record(ctx, r.w.Net(), poor.Records[i].Ord); err != nil || !got.Undecoded {
				t.Fatalf("a record that was not read whole comes back as %v, %v", got.Undecoded, err)
			}
		}
	}
	last := *whole[len(whole)-1]
	last.Records = append(slices.Clone(last.Records), ledger.Record{
		Ord: ledger.Ord{Seq: last.Unit.Seq, Pos: uint32(len(last.Records))}, ID: last.Unit.ID, Parts: []ledger.Part{{Kind: ledger.PartObject, Raw: []byte{1}}},
	})
	if err := r.w.Repair(ctx, &last); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("repair with a record more: %v", err)
	}
	for range 2 { // twice is as once
		for _, c := range whole {
			if err := r.w.Repair(ctx, c); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range whole {
		r.m.Commit(c)
	}
	r.check(0)
	r.reopen()
	r.check(0)
	r.commit(r.next(3)...)
	r.check(0)
}

func firstError[T any](s iter.Seq2[T, error]) error {
	for _, err := range s {
		if err != nil {
			return err
		}
	}
	return nil
}

func testClaims(t *testing.T, e Engine) {
	r := start(t, e, 2, Shape{Claims: true, Lo: 1000})
	r.commit(r.next(30)...)
	r.check(0)
	r.reopen()
	r.check(0)
}

func testReplay(t *testing.T, e Engine) {
	r := start(t, e, 3, Shape{})
	cones := r.next(10)
	r.commit(cones[:6]...)
	r.commit(cones[2:8]...)
	r.commit(cones[:3]...)
	r.reopen()
	r.commit(cones...)
	r.check(0)
	other := NewGen(99, Shape{})
	for range 11 {
		c := other.Next(r.w.Net())
		if err := r.w.Commit(t.Context(), []*ledger.Cone{c}); c.Unit.Seq <= 10 && !errors.Is(err, storage.ErrConflict) {
			t.Errorf("another unit %d: %v", c.Unit.Seq, err)
		}
		if c.Unit.Seq == 11 {
			r.m.Commit(c) // the store does not prove links: that was done before
		}
	}
	r.check(0)
}

func testWriters(t *testing.T, e Engine) {
	r := start(t, e, 4, Shape{})
	n := r.g.Network()
	if _, err := r.s.Writer(t.Context(), n); err == nil {
		t.Error("a second writer of one network was let in")
	}
	r.commit(r.next(2)...)
	if err := r.w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.w.Commit(t.Context(), r.next(1)); err == nil {
		t.Error("a closed writer committed")
	}
	r.g = NewGen(4, Shape{})
	r.next(2)
	for _, bad := range []ledger.Network{
		{Name: n.Name, Era: "other", Identity: n.Identity, Trust: n.Trust},
		{Name: n.Name, Era: n.Era, Identity: "other", Trust: n.Trust},
		{Name: "", Era: n.Era, Identity: n.Identity},
		{Name: "-begins-with-a-dash", Era: n.Era, Identity: n.Identity},
		{Name: "a b", Era: n.Era, Identity: n.Identity},
	} {
		if _, err := r.s.Writer(t.Context(), bad); err == nil {
			t.Errorf("network %+v was let in", bad)
		}
	}
	n.Trust = []byte("toy toy, newer")
	w, err := r.s.Writer(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	r.w = w
	all, err := r.s.Networks(t.Context())
	if err != nil || len(all) != 1 || !bytes.Equal(all[0].Trust, n.Trust) || all[0].ID != w.Net() {
		t.Errorf("networks: %+v, %v", all, err)
	}
	r.commit(r.next(2)...)
	r.check(0)
}

func testNetworks(t *testing.T, e Engine) {
	a := start(t, e, 5, Shape{Name: "a"})
	a.commit(a.next(5)...)
	b := &run{t: t, e: e, s: a.s, g: NewGen(6, Shape{Name: "b", Lo: 3}), m: NewModel()}
	var err error
	if b.w, err = a.s.Writer(t.Context(), b.g.Network()); err != nil {
		t.Fatal(err)
	}
	if a.w.Net() == b.w.Net() {
		t.Fatal("two networks have one number")
	}
	if err := b.w.Open(t.Context(), b.g.Span(), b.g.Opening()); err != nil {
		t.Fatal(err)
	}
	b.m.Open(b.g.Span(), b.g.Opening())
	for range 10 {
		a.commit(a.next(1)...)
		b.commit(b.next(2)...)
	}
	a.check(0)
	b.check(0)
	numbers := [2]ledger.NetID{a.w.Net(), b.w.Net()}
	a.reopen()
	b.s = a.s
	if b.w, err = b.s.Writer(t.Context(), b.g.Network()); err != nil {
		t.Fatal(err)
	}
	if numbers != [2]ledger.NetID{a.w.Net(), b.w.Net()} {
		t.Error("numbers changed")
	}
	a.check(0)
	b.check(0)
}

func testSpans(t *testing.T, e Engine) {
	r := start(t, e, 7, Shape{Claims: true})
	cones := r.next(40)
	ctx := t.Context()
	second := storage.Span{Lo: 21, Snapshot: []string{"aa", "bb"}, PrevID: cones[19].Unit.ID, PrevTime: cones[19].Unit.TimeMs}
	if err := r.w.Commit(ctx, cones[20:21]); err == nil {
		t.Fatal("a cone that continues no span was taken")
	}
	for range 2 {
		if err := r.w.Open(ctx, second, nil); err != nil {
			t.Fatal(err)
		}
	}
	r.m.Open(second, func(func(ledger.Change, error) bool) {})
	r.check(0)
	r.commit(cones[20:25]...)
	r.commit(cones[:5]...)
	r.check(0)
	changed := second
	changed.Held = true
	for _, bad := range []storage.Span{changed, {Lo: 23}, {Lo: 3}, {Lo: ledger.MaxSeq + 1}} {
		if err := r.w.Open(ctx, bad, nil); err == nil {
			t.Errorf("span %+v was opened", bad)
		}
	}
	if err := r.w.Commit(ctx, []*ledger.Cone{cones[5], cones[7]}); err == nil {
		t.Error("cones that are not consecutive were taken")
	}
	if err := r.w.Commit(ctx, cones[6:7]); err == nil {
		t.Error("a cone behind a gap was taken")
	}
	if err := firstError(r.s.Cones(ctx, r.w.Net(), 4, 22)); !errors.Is(err, storage.ErrIncomplete) {
		t.Errorf("cones over a gap: %v", err)
	}
	r.reopen()
	r.check(0)
	r.commit(cones[5:30]...) // closes the gap, runs through the second span and continues it
	r.check(0)
	for c, err := range r.s.Cones(ctx, r.w.Net(), 1, 30) {
		if err != nil {
			t.Fatal(err)
		}
		if err := SameCone(c, r.m.Cones[c.Unit.Seq]); err != nil {
			t.Fatal(err)
		}
	}
}

func testGaps(t *testing.T, e Engine) {
	r := start(t, e, 8, Shape{})
	cones := r.next(20)
	note := func(lo, hi uint64, why string) {
		t.Helper()
		n := storage.Note{Net: r.w.Net(), Kind: storage.NoteGap, Seq: lo, To: hi, Text: why}
		if err := r.w.Note(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		r.m.Note(n)
		r.check(0)
	}
	r.commit(cones[:4]...)
	note(3, 9, "pruned")
	note(12, 15, "pruned")
	note(7, 13, "lost")
	note(16, 16, "pruned")
	note(16, 16, "pruned")
	note(1, 2, "covered")
	note(30, 30, "far")
	r.reopen()
	r.check(0)
	for _, c := range cones[4:] {
		r.commit(c)
		r.check(0)
	}
	if err := r.w.Note(t.Context(), storage.Note{Kind: storage.NoteGap, Seq: 9, To: 8}); err == nil {
		t.Error("a gap that ends before it begins was taken")
	}
}

// testOpening breaks openings off and opens again, with another ledger.
func testOpening(t *testing.T, e Engine) {
	r := &run{t: t, e: e, g: NewGen(9, Shape{}), m: NewModel()}
	r.open()
	defer func() { _ = r.s.Close() }()
	broken := errors.New("the snapshot ends here")
	bad := func(yield func(ledger.Change, error) bool) {
		for i := range 100 {
			if !yield(ledger.Change{Key: fmt.Appendf(nil, "left over %d", i), Val: bytes.Repeat([]byte{1}, 200_000)}, nil) {
				return
			}
		}
		yield(ledger.Change{}, broken)
	}
	if err := r.w.Open(t.Context(), r.g.Span(), bad); !errors.Is(err, broken) {
		t.Fatalf("broken opening: %v", err)
	}
	r.check(0)
	look := func(want string) {
		t.Helper()
		rows, err := r.s.State(t.Context(), r.w.Net(), [][]byte{[]byte("left over 1"), []byte("empty")})
		if err != nil || rows[0] != nil || fmt.Sprintf("%t %q", rows[1] != nil, rows[1]) != want {
			t.Fatalf("state after a broken opening: %q, %v, want %s", rows, err, want)
		}
	}
	look(`false ""`)
	r.reopen()
	look(`false ""`)
	empty := func(yield func(ledger.Change, error) bool) {
		for c := range r.g.Opening() {
			if !yield(c, nil) {
				return
			}
		}
		yield(ledger.Change{Key: []byte("empty"), Val: []byte{}}, nil)
	}
	for range 2 {
		if err := r.w.Open(t.Context(), r.g.Span(), empty); err != nil {
			t.Fatal(err)
		}
	}
	r.m.Open(r.g.Span(), empty)
	look(`true ""`)
	r.commit(r.next(10)...)
	r.reopen()
	r.check(0)
	if err := r.w.Open(t.Context(), storage.Span{Lo: 50, Held: true}, r.g.Opening()); err == nil {
		t.Error("a second ledger was laid over the first")
	}
	r.check(0)
}

func testNotes(t *testing.T, e Engine) {
	r := start(t, e, 10, Shape{})
	r.commit(r.next(3)...)
	id := r.m.Cones[2].Unit.ID
	for _, n := range []storage.Note{
		{Kind: storage.NoteEquivocation, Seq: 2, To: 2, Unit: id, Source: "a", Evidence: []byte("head a"), TimeMs: 5, Text: "one"},
		{Kind: storage.NoteEquivocation, Seq: 2, To: 2, Unit: hashID([]byte("b")), Source: "a", Evidence: []byte("head b"), TimeMs: 6},
		{Kind: storage.NoteEquivocation, Seq: 2, To: 2, Unit: id, Source: "a", Evidence: []byte("again"), TimeMs: 7},
		{Kind: storage.NoteEquivocation, Seq: 2, To: 2, Unit: id, Source: "b", Evidence: []byte{}},
		{Kind: storage.NoteRefused, Seq: 2, To: 2, Unit: id, Source: "a", Code: "unit.signature"},
		{Kind: storage.NoteClaim, Seq: 9, To: 9, Source: "a\x00b", Code: "x"},
		{Kind: storage.NoteClaim, Seq: 9, To: 9, Source: "a", Code: "y"},
		{Kind: storage.NoteRewrapped, Seq: ledger.MaxSeq, To: ledger.MaxSeq, TimeMs: -1},
	} {
		n.Net = r.w.Net()
		if err := r.w.Note(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		r.m.Note(n)
		r.check(0)
	}
	r.reopen()
	r.check(0)
}

// testLarge commits cones of many chunks between small ones.
func testLarge(t *testing.T, e Engine) {
	r := start(t, e, 11, Shape{MaxRecords: 40, MaxPayload: 60_000})
	for range 8 {
		r.commit(r.next(12)...)
	}
	r.check(20)
	r.reopen()
	r.check(20)
}

func testRefused(t *testing.T, e Engine) {
	r := start(t, e, 12, Shape{})
	r.commit(r.next(3)...)
	fresh := func() *ledger.Cone {
		g := NewGen(12, Shape{})
		var c *ledger.Cone
		for c == nil || c.Unit.Seq < 4 || len(c.Records) < 2 {
			if c != nil && c.Unit.Seq > 3 {
				r.commit(c)
			}
			c = g.Next(r.w.Net())
		}
		return c
	}
	for name, spoil := range map[string]func(c *ledger.Cone){
		"network":   func(c *ledger.Cone) { c.Net++ },
		"seq":       func(c *ledger.Cone) { c.Unit.Seq = ledger.MaxSeq + 1 },
		"order":     func(c *ledger.Cone) { c.Records[0], c.Records[1] = c.Records[1], c.Records[0] },
		"unit id":   func(c *ledger.Cone) { c.Unit.ID = ledger.ID{} },
		"record id": func(c *ledger.Cone) { c.Records[0].ID = ledger.ID{} },
		"parts":     func(c *ledger.Cone) { c.Records[1].Parts = nil },
	} {
		c := fresh()
		spoil(c)
		if err := r.w.Commit(t.Context(), []*ledger.Cone{c}); err == nil {
			t.Errorf("a cone with a wrong %s was taken", name)
		}
	}
	big := fresh()
	big.Records[0].Parts = []ledger.Part{{Kind: ledger.PartObject, Raw: make([]byte, 1<<30)}}
	err := r.w.Commit(t.Context(), []*ledger.Cone{big})
	var hint interface{ Hint() string }
	if !errors.Is(err, storage.ErrTooLarge) || !errors.As(err, &hint) || hint.Hint() == "" {
		t.Errorf("a cone of 1 GiB: %v", err)
	}
	r.check(0)
	r.commit(fresh())
	r.check(0)
}

func testChanged(t *testing.T, e Engine) {
	r := start(t, e, 13, Shape{})
	is := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	cones := r.next(2)
	c := r.s.Changed(r.w.Net())
	if is(c) {
		t.Fatal("changed before a change")
	}
	r.commit(cones[0])
	if !is(c) {
		t.Error("a commit woke nobody")
	}
	c = r.s.Changed(r.w.Net())
	r.commit(cones[0])
	if is(c) {
		t.Error("a replay is no change")
	}
	if err := r.w.Note(t.Context(), storage.Note{Kind: storage.NoteGap, Seq: 5, To: 6, Text: "x"}); err != nil {
		t.Fatal(err)
	}
	if !is(c) {
		t.Error("a note woke nobody")
	}
}

func testContexts(t *testing.T, e Engine) {
	r := start(t, e, 14, Shape{})
	r.commit(r.next(20)...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	net := r.w.Net()
	_, errNets := r.s.Networks(ctx)
	_, errCov := r.s.Coverage(ctx, net)
	_, _, errUnit := r.s.Unit(ctx, net, 1)
	_, errRec := r.s.Record(ctx, net, ledger.Ord{Seq: 1})
	_, errCount := r.s.Count(ctx, net, ledger.Key{}, 0, 9)
	_, errSum := r.s.Sum(ctx, net, ledger.Key{}, 0, 9)
	_, errState := r.s.State(ctx, net, nil)
	_, errTime := r.s.SeqAt(ctx, net, 0, 9)
	_, _, errTotals := r.s.Totals(ctx, net, 0, 9)
	for i, err := range []error{
		errNets, errCov, errUnit, errRec, errCount, errSum, errState, errTime, errTotals,
		firstError(r.s.Cones(ctx, net, 1, 5)), firstError(r.s.Notes(ctx, net)),
		firstError(r.s.Lookup(ctx, net, ledger.Key{Kind: ledger.KeyTag}, storage.Scan{Prefix: true})), firstError(r.s.Keys(ctx, net, ledger.Key{Kind: ledger.KeyTag}, "")),
		r.w.Commit(ctx, r.next(1)), r.w.Note(ctx, storage.Note{Kind: storage.NoteClaim}), r.w.Open(ctx, storage.Span{Lo: 90}, nil),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("method %d with a context that is done: %v", i, err)
		}
	}
	n := 0
	for range r.s.Lookup(t.Context(), net, ledger.Key{Kind: ledger.KeyTag}, storage.Scan{Prefix: true}) {
		if n++; n == 3 {
			break
		}
	}
	r.check(0)
}

func testClosed(t *testing.T, e Engine) {
	r := start(t, e, 15, Shape{})
	cones := r.next(3)
	r.commit(cones[:2]...)
	c := r.s.Changed(r.w.Net())
	for cone, err := range r.s.Cones(t.Context(), r.w.Net(), 1, 2) { // a read inside a read
		if _, _, e2 := r.s.Unit(t.Context(), r.w.Net(), cone.Unit.Seq); err != nil || e2 != nil {
			t.Fatal(err, e2)
		}
	}
	if err := r.s.Close(); err != nil {
		t.Fatal(err)
	}
	<-c // the end wakes followers
	ctx, net := context.Background(), r.w.Net()
	_, errCov := r.s.Coverage(ctx, net)
	_, _, errUnit := r.s.Unit(ctx, net, 1)
	for i, err := range []error{errCov, errUnit, firstError(r.s.Cones(ctx, net, 1, 1)), r.w.Commit(ctx, cones[2:]), r.w.Note(ctx, storage.Note{Kind: storage.NoteClaim})} {
		if err == nil {
			t.Errorf("method %d of a closed store works", i)
		}
	}
	if err := r.s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	r.open()
	r.check(0)
}
