package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"permanode/ingest"
	"permanode/internal/race"
	"permanode/ledger"
	"permanode/ledger/rebased"
	"permanode/ledger/rebased/rebasedtest"
	"permanode/storage"
)

// The catalogue of lies over an era with certificates and lists (T-L4, T-L6, T-L7 of the generator; T-L1, T-L3 are
// among these), told at the live edge, in a tail, inside of a segment that one certificate attests, and where an epoch
// ends. Nothing forged is stored, whoever lies is named with a code that the lie states, and the honest rest is there.

// noteCodes are the codes of notes that a lie may lead to; none if nobody can tell that it was one.
func noteCodes(l *rebasedtest.Lie) (out []string) {
	for _, c := range l.Codes {
		switch c {
		case "mismatch":
			c = "record.mismatch"
		case "syntax":
			c = "malformed"
		case "missing":
			continue
		}
		out = append(out, c)
	}
	return out
}

// lie is one lie about one unit.
type lie struct {
	*rebasedtest.Lie
	*rebasedtest.Told
	unit bool // about the unit itself, not only about records
}

// invent returns a lie about unit seq, of the whole catalogue or of one part.
func (c *chain) invent(rng *rand.Rand, seq uint64, lists ...[]rebasedtest.Lie) lie {
	for {
		list := lists[rng.IntN(len(lists))]
		l := &list[rng.IntN(len(list))]
		if told := l.Tell(c.net, c.made[seq]); told != nil {
			return lie{l, told, &list[0] == &rebasedtest.UnitLies[0]}
		}
	}
}

// links reports whether only the unit before refutes the lie: at the beginning of a span there is none.
func (l *lie) links() bool {
	return slices.ContainsFunc(l.Codes, func(c string) bool {
		return c == "unit.time" || c == "unit.prev" || c == "unit.total" || c == "unit.epoch"
	})
}

// signed reports whether a quorum signs the lie.
func (l *lie) signed() bool { return strings.HasSuffix(l.Name, "listed so") }

// onceLiar tells one lie about each unit, once, and the truth from then on.
type onceLiar struct {
	*chainNode
	mu   sync.Mutex
	lies map[uint64]lie // not told yet
}

func (o *onceLiar) Head(ctx context.Context, seq uint64) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if l, ok := o.lies[seq]; ok && seq <= o.tip {
		if l.unit {
			delete(o.lies, seq)
		}
		return l.Told.Head, nil
	}
	return o.chainNode.Head(ctx, seq)
}

func (o *onceLiar) Cone(ctx context.Context, seq uint64) ([]byte, [][]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if l, ok := o.lies[seq]; ok {
		delete(o.lies, seq)
		return l.Told.Head, l.Raws, nil
	}
	return o.chainNode.Cone(ctx, seq)
}

// checkTold compares what was noted about source with the lies that it told: each is there with a code of its own.
func (r *rig) checkTold(source string, lies map[uint64]lie) {
	r.t.Helper()
	noted := map[uint64][]string{}
	for _, kind := range []storage.NoteKind{storage.NoteRefused, storage.NoteEquivocation} {
		for _, n := range r.notes(kind) {
			if n.Source == source {
				noted[n.Seq] = append(noted[n.Seq], n.Code)
			} else if kind == storage.NoteRefused {
				r.t.Errorf("%s is refused at unit %d as %s: %s", n.Source, n.Seq, n.Code, n.Text)
			}
		}
	}
	for seq, l := range lies {
		codes := noteCodes(l.Lie)
		if !l.unit { // where the honest head was taken, records of the lying one are strangers
			codes = append(codes, "record.mismatch")
		}
		for _, got := range noted[seq] {
			if !slices.Contains(codes, got) && got != "unit.equivocation" {
				r.t.Errorf("unit %d, %s: noted as %s, want one of %v", seq, l.Name, got, codes)
			}
		}
		if len(noted[seq]) == 0 && len(noteCodes(l.Lie)) > 0 {
			r.t.Errorf("unit %d, %s: not noted", seq, l.Name)
		}
		delete(noted, seq)
		_, next := lies[seq+1]
		if only := slices.Compact(noted[seq+1]); !next && slices.Equal(only, []string{"unit.prev"}) { // it does not go with the lie
			delete(noted, seq+1)
		}
	}
	if len(noted) > 0 {
		r.t.Errorf("notes about units without a lie: %v", noted)
	}
}

// At the live edge a lone node lies once about every unit, each time in another way.
func TestRebasedLiesAtTheEdge(t *testing.T) {
	for name, lists := range map[string][][]rebasedtest.Lie{
		"units": {rebasedtest.UnitLies}, "records": {rebasedtest.RecordLies},
	} {
		t.Run(name, func(t *testing.T) {
			s := seed(t)
			rng := rand.New(rand.NewPCG(s, 1))
			units := uint64(lieUnits(60, 1100))
			c := newChain(t, rebasedtest.Options{Seed: s, Transactions: 3, Epoch: 9}, int(units))
			liar := &onceLiar{chainNode: c.node("liar"), lies: map[uint64]lie{}}
			all := map[uint64]lie{}
			for seq := range units {
				liar.lies[seq] = c.invent(rng, seq, lists...)
				all[seq] = liar.lies[seq]
			}
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, c.trust)
				for tip := range units {
					c.setTip(tip)
					cfg := r.config(liar)
					cfg.Start = 0
					if err := r.collector(cfg).CatchUp(context.Background()); err != nil {
						t.Fatalf("unit %d, %s: %v", tip, all[tip].Name, err)
					}
				}
				r.checkFiles(c.files, 0, units-1, nil)
				r.checkTold("liar", all)
			})
			if len(liar.lies) > 0 {
				t.Errorf("%d lies were not told", len(liar.lies))
			}
			t.Logf("%d mutants", len(all))
		})
	}
}

// liarAt lies about one unit, always in the same way.
func (c *chain) liarAt(name string, seq uint64, l lie) *chainNode {
	n := c.node(name)
	n.lie = func(s uint64, honest reply) reply {
		if s == seq {
			return reply{head: l.Told.Head, raws: l.Raws}
		}
		return honest
	}
	return n
}

// The places of a chain that begins at 52: a segment whose rest, 52 to 63, is attested by its closing checkpoint 59
// and its end 63, and a tail up to 67.
const (
	lieStart, lieClosing, lieEnd, lieTip = 52, 59, 63, 67
)

var liePlaces = map[string]uint64{
	"first": lieStart, "middle": 55, "before closing": 58, "closing": lieClosing, "after closing": 60,
	"end of segment": lieEnd, "tail": 65, "edge": lieTip,
}

func placedChain(t *testing.T, s uint64) *chain {
	return newChain(t, rebasedtest.Options{Seed: s, Transactions: 2, Epoch: lieClosing + 1}, lieTip+1)
}

// rounds is how often a test over many mutants is repeated.
func rounds(ci, torture int) int {
	if race.Enabled {
		return 1
	}
	return lieUnits(ci, torture)
}

// Beside an honest source, and alone, at every place.
func TestRebasedLiesAtPlaces(t *testing.T) {
	s := seed(t)
	rng := rand.New(rand.NewPCG(s, 2))
	mutants := 0
	for range rounds(1, 70) {
		c := placedChain(t, rng.Uint64())
		for place, seq := range liePlaces {
			if race.Enabled && place != "middle" {
				continue // one is enough to find races
			}
			for _, list := range [][]rebasedtest.Lie{rebasedtest.UnitLies, rebasedtest.RecordLies} {
				l := c.invent(rng, seq, list)
				for seq == lieStart && l.links() {
					l = c.invent(rng, seq, list)
				}
				name := fmt.Sprintf("%s: %s", place, l.Name)
				synctest.Test(t, func(t *testing.T) { c.besideHonest(t, name, seq, l) })
				synctest.Test(t, func(t *testing.T) { c.liarAlone(t, name, seq, l) })
				mutants += 2
			}
		}
	}
	t.Logf("%d mutants", mutants)
}

// besideHonest has a liar and an honest node; the liar comes first.
func (c *chain) besideHonest(t *testing.T, name string, seq uint64, l lie) {
	r := newRig(t, c.trust)
	cfg := r.config(c.liarAt("liar", seq, l), c.node("honest"))
	cfg.Start = lieStart
	err := r.collector(cfg).CatchUp(context.Background())
	tip := uint64(lieTip)
	if r.equivocates(seq) && seq == tip && errors.Is(err, storage.ErrIncomplete) && strings.Contains(err.Error(), "different units") {
		tip-- // both are signed and continue the unit before: the next one decides
	} else if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	r.checkFiles(c.files, lieStart, tip, c.attestedOrOwn(lieStart, tip))
	r.checkTold("liar", map[uint64]lie{seq: l})
	if t.Failed() {
		t.Fatalf("that was %s", name)
	}
}

// equivocates reports whether two signed units of that number are noted.
func (r *rig) equivocates(seq uint64) bool {
	return slices.ContainsFunc(r.notes(storage.NoteEquivocation), func(n storage.Note) bool { return n.Seq == seq })
}

// liarAlone has the liar only: coverage ends before the lie, with a gap that says why.
func (c *chain) liarAlone(t *testing.T, name string, seq uint64, l lie) {
	r := newRig(t, c.trust)
	cfg := r.config(c.liarAt("liar", seq, l))
	cfg.Start = lieStart
	err := r.collector(cfg).CatchUp(context.Background())
	if l.Name == "record of another checkpoint" { // one too many: the unit itself is whole
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r.checkFiles(c.files, lieStart, lieTip, c.attestedOrOwn(lieStart, lieTip))
		return
	}
	if err == nil && c.onlyCertificate(seq, l) {
		r.checkOtherCertificate(c, seq, l)
		return
	}
	if !errors.Is(err, storage.ErrIncomplete) {
		t.Fatalf("%s: alone: %v", name, err)
	}
	cov := r.coverage()
	if seq > lieStart {
		told, err := rebased.Codec{}.Unit(l.Told.Head)
		by := c.attestedOrOwn(lieStart, seq-1)
		r.checkFiles(c.files, lieStart, seq-1, func(seq uint64, id ledger.ID) error {
			if err == nil && id == told.ID && l.signed() {
				return nil // signed by a quorum, though what it lists is not so
			}
			return by(seq, id)
		})
		r.checkFull()
	} else if len(cov.Spans) > 0 && !cov.Spans[0].Empty() {
		t.Errorf("coverage %+v", cov)
	}
	if len(cov.Gaps) != 1 || cov.Gaps[0].From != seq || cov.Gaps[0].Reason == "" {
		t.Errorf("gaps %+v, want one from %d", cov.Gaps, seq)
	}
	r.checkTold("liar", map[uint64]lie{seq: l})
	if t.Failed() {
		t.Fatalf("that was %s, alone", name)
	}
}

// onlyCertificate reports whether a lie about unit seq is a signature of the right form that a later unit of the segment
// makes needless.
func (c *chain) onlyCertificate(seq uint64, l lie) bool {
	u, err := rebased.Codec{}.Unit(l.Told.Head)
	return err == nil && c.attested(lieStart, lieEnd)(seq, ledger.ID{}) != nil && u.ID == c.unit(seq).ID &&
		slices.Contains(l.Codes, "unit.signature")
}

func (f *files) unit(seq uint64) ledger.Unit {
	u, err := rebased.Codec{}.Unit(f.heads[seq])
	if err != nil {
		panic(err) // it was split before
	}
	return u
}

// checkOtherCertificate: the certificate of unit seq is stored as it was received, the unit names who attests it, and
// nothing else differs.
func (r *rig) checkOtherCertificate(c *chain, seq uint64, l lie) {
	r.t.Helper()
	cone := r.stored(seq, seq)[0]
	told, err := rebased.Codec{}.Unit(l.Told.Head)
	if err != nil {
		r.t.Fatal(err)
	}
	if !bytes.Equal(cone.Unit.Auth, told.Auth) || cone.Unit.AttestedBy.IsZero() {
		r.t.Errorf("unit %d is stored with another certificate than came, or by its own: %+v", seq, cone.Unit)
	}
	want, state := c.byHandBut(r.t, lieStart, lieTip, seq, l.Told.Head)
	by := c.attested(lieStart, lieTip)
	for i, got := range r.stored(lieStart, lieTip) {
		if err := sameAsByHand(got, want[i], r.store.Net(), by); err != nil {
			r.t.Fatalf("unit %d: %v", got.Unit.Seq, err)
		}
	}
	r.checkState(state)
	r.checkFull()
}

// attestedOrOwn allows what is attested of units lo to hi in one go, and units whose own certificate was checked: a lie
// in a segment has its units judged one by one.
func (c *chain) attestedOrOwn(lo, hi uint64) func(uint64, ledger.ID) error {
	by := c.attested(lo, lieEnd)
	return func(seq uint64, id ledger.ID) error {
		if id.IsZero() {
			return nil
		}
		return by(seq, id)
	}
}

// Several liars give another head for every unit of a segment at once, before one certificate attests it.
func TestRebasedLiesInSegment(t *testing.T) {
	s := seed(t)
	rng := rand.New(rand.NewPCG(s, 3))
	mutants := 0
	for range rounds(1, 35) {
		c := placedChain(t, rng.Uint64())
		lies := [3]map[uint64]lie{}
		sources := []ingest.Source{}
		for i := range lies {
			lies[i] = map[uint64]lie{}
			for seq := uint64(lieStart); seq <= lieEnd; seq++ {
				lies[i][seq] = c.invent(rng, seq, rebasedtest.UnitLies)
			}
			n := c.node(fmt.Sprint("liar-", i))
			n.lie = func(seq uint64, honest reply) reply {
				if l, ok := lies[i][seq]; ok {
					return reply{head: l.Told.Head, raws: l.Raws}
				}
				return honest
			}
			sources = append(sources, n)
			mutants += len(lies[i])
		}
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, c.trust)
			cfg := r.config(append(sources, c.node("honest"))...)
			cfg.Start = lieStart
			if err := r.collector(cfg).CatchUp(context.Background()); err != nil {
				t.Fatal(err)
			}
			r.checkFiles(c.files, lieStart, lieTip, c.attestedOrOwn(lieStart, lieTip))
			for _, n := range r.notes(storage.NoteRefused) {
				var i int
				if _, err := fmt.Sscanf(n.Source, "liar-%d", &i); err != nil {
					t.Fatalf("%s is refused at unit %d as %s: %s", n.Source, n.Seq, n.Code, n.Text)
				}
				if l := lies[i][n.Seq]; !slices.Contains(noteCodes(l.Lie), n.Code) {
					t.Errorf("unit %d, %s: noted as %s", n.Seq, l.Name, n.Code)
				}
			}
			r.checkFull()
		})
	}
	t.Logf("%d mutants", mutants)
}
