package ingest_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"permanode/internal/race"
	"permanode/ledger"
	"permanode/ledger/rebased/rebasedtest"
	"permanode/storage"
)

// Records of forms that nobody knows yet, in checkpoint files, where they are found by their digests, and from sources
// that frame them: coverage goes on, the records are marked, each unit with one is noted, and the archive proves again.
func TestRebasedUndecoded(t *testing.T) {
	const every = 3
	units := uint64(72)
	if race.Enabled {
		units = 24
	}
	c := newChain(t, rebasedtest.Options{Seed: 11, Transactions: 2, Epoch: 20, Unknown: every}, int(units))
	framed := newFiles(t, "framed", c.net.Trust())
	opaque, held := 0, 0
	for _, made := range c.made {
		framed.heads, framed.raws = append(framed.heads, made.Head()), append(framed.raws, made.Raws())
		for i := range made.Records {
			if made.Records[i].Opaque {
				opaque++
			}
		}
	}
	framed.tip = units - 1
	fromFiles, _ := c.byHand(t, 0, units-1)
	fromFrames, _ := framed.byHand(t, 0, units-1)
	if !reflect.DeepEqual(fromFiles, fromFrames) {
		t.Error("records of unknown forms differ by where they came from")
	}
	for name, f := range map[string]*files{"files": c.files, "framed": framed} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, f.trust)
			if err := r.collector(r.config(f.node("node"))).CatchUp(testContext(t)); err != nil {
				t.Fatal(err)
			}
			r.checkFiles(f, 0, units-1, f.attested(0, units-1))
			r.checkMade(c, 0, units-1)
			noted := map[uint64]bool{}
			for _, n := range r.notes(storage.NoteUndecoded) {
				noted[n.Seq] = true
				if n.Code != "record.undecoded" || !strings.Contains(n.Text, "1 of its") {
					t.Errorf("note %+v", n)
				}
			}
			for _, cone := range r.stored(0, units-1) {
				marked := 0
				for i := range cone.Records {
					rec := &cone.Records[i]
					if !rec.Undecoded {
						continue
					}
					marked++
					facts, err := r.codec.Facts(rec, f.trust)
					if err != nil || facts.Undecoded == "" {
						t.Errorf("record %s: no reason why it could not be read (%v)", rec.Ord, err)
					}
				}
				held += marked
				if noted[cone.Unit.Seq] != (marked > 0) {
					t.Errorf("unit %d has %d such records, noted %v", cone.Unit.Seq, marked, noted[cone.Unit.Seq])
				}
			}
			if report := r.checkFull(); report.Undecoded != uint64(opaque) || report.Better != 0 || report.Proven != units {
				t.Errorf("check %+v, want %d undecoded records", report, opaque)
			}
		})
	}
	if held != 2*opaque || opaque < int(units)/every-1 {
		t.Errorf("%d records are marked, %d were made", held, 2*opaque)
	}
}

// mute takes units, and then no note any more: as if the program were killed behind a commit.
type mute struct {
	storage.Writer
	committed bool
}

var errKilled = errors.New("killed")

func (m *mute) Commit(ctx context.Context, cones []*ledger.Cone) error {
	m.committed = true
	return m.Writer.Commit(ctx, cones)
}

func (m *mute) Note(ctx context.Context, n storage.Note) error {
	if m.committed {
		return errKilled
	}
	return m.Writer.Note(ctx, n)
}

// Who answers for balances relies on the notes: they are there as soon as the unit is, whenever the program ends.
func TestUndecodedIsNotedFirst(t *testing.T) {
	c := newChain(t, rebasedtest.Options{Seed: 12, Transactions: 2, Epoch: 20, Unknown: 1}, 8)
	r := newRig(t, c.trust)
	for tries := 0; ; tries++ {
		cfg := r.config(c.node("node"))
		cfg.Store = &mute{Writer: r.store}
		err := r.collector(cfg).CatchUp(testContext(t))
		noted := map[uint64]bool{}
		for _, n := range r.notes(storage.NoteUndecoded) {
			noted[n.Seq] = true
		}
		some := 0
		for seq := range r.coverage().Set().All() {
			for _, cone := range r.stored(seq, seq) {
				if slices.ContainsFunc(cone.Records, func(rec ledger.Record) bool { return rec.Undecoded }) {
					if some++; !noted[seq] {
						t.Errorf("unit %d has such records, and no note", seq)
					}
				}
			}
		}
		if err == nil && some > 0 {
			return
		}
		if err != nil && !errors.Is(err, errKilled) || tries > 8 {
			t.Fatalf("%d units with such records, %v", some, err)
		}
	}
}
