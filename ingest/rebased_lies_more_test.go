package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"permanode/ingest"
	"permanode/ledger/rebased/rebasedtest"
	"permanode/storage"
)

// with returns a node that gives other heads for some units.
func (c *chain) with(name string, heads map[uint64][]byte) *chainNode {
	n := c.node(name)
	n.lie = func(seq uint64, honest reply) reply {
		if h, ok := heads[seq]; ok {
			honest.head = h
		}
		return honest
	}
	return n
}

// collectRange collects from lieStart on in a bubble and hands the store to judge.
func (c *chain) collectRange(t *testing.T, sources []ingest.Source, judge func(r *rig, col *ingest.Collector, err error)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, c.trust)
		cfg := r.config(sources...)
		cfg.Start = lieStart
		col := r.collector(cfg)
		judge(r, col, col.CatchUp(context.Background()))
	})
}

// T-L5, known before commit: both units of each number are kept as notes, and the one that the next unit builds on is
// taken, also where it elects who signs the next one.
func TestRebasedLiesTwoUnits(t *testing.T) {
	c := placedChain(t, seed(t))
	heads := map[uint64][]byte{}
	for seq := uint64(lieStart + 1); seq < lieTip; seq++ {
		heads[seq] = c.net.Other(c.made[seq])
	}
	for _, first := range []bool{true, false} {
		sources := []ingest.Source{c.node("a"), c.with("b", heads)}
		if first {
			sources[0], sources[1] = sources[1], sources[0]
		}
		c.collectRange(t, sources, func(r *rig, _ *ingest.Collector, err error) {
			if err != nil {
				t.Fatal(err)
			}
			r.checkFiles(c.files, lieStart, lieTip, c.attestedOrOwn(lieStart, lieTip))
			stand := map[string]bool{}
			for _, n := range r.notes(storage.NoteEquivocation) {
				stand[fmt.Sprint(n.Seq, string(n.Evidence))] = true
			}
			for seq, head := range heads {
				if !stand[fmt.Sprint(seq, string(head))] || !stand[fmt.Sprint(seq, string(c.heads[seq]))] {
					t.Fatalf("unit %d: not both units stand", seq)
				}
			}
			r.checkFull()
		})
	}
	// The last unit alone: nothing tells yet which one counts.
	last := map[uint64][]byte{lieTip: c.net.Other(c.made[lieTip])}
	c.collectRange(t, []ingest.Source{c.node("a"), c.with("b", last)}, func(r *rig, _ *ingest.Collector, err error) {
		if !errors.Is(err, storage.ErrIncomplete) || !strings.Contains(err.Error(), "different units were signed") {
			t.Errorf("error %v", err)
		}
		r.checkFiles(c.files, lieStart, lieTip-1, c.attestedOrOwn(lieStart, lieTip-1))
	})
}

// T-L5, the committed one loses: the network stops with both units noted, again after a restart, until the operator
// decides.
func TestRebasedLiesCommittedUnitLoses(t *testing.T) {
	s := seed(t)
	for _, seq := range []uint64{lieClosing, 65} {
		c := placedChain(t, s+seq)
		lost := map[uint64][]byte{seq: c.net.Other(c.made[seq])}
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, c.trust)
			config := func(sources ...ingest.Source) ingest.Config {
				cfg := r.config(sources...)
				cfg.Start = lieStart
				return cfg
			}
			first := c.with("first", lost)
			c.setTip(seq)
			if err := r.collector(config(first)).CatchUp(context.Background()); err != nil {
				t.Fatal(err)
			}
			c.setTip(lieTip)
			for range 2 {
				err := r.collector(config(c.node("second"))).Run(context.Background())
				var typed *ingest.EquivocationError
				if !errors.As(err, &typed) || typed.Seq != seq || typed.Other != c.unit(seq).ID || typed.Source != "second" {
					t.Fatalf("unit %d: %v", seq, err)
				}
				if !r.equivocates(seq) || r.coverage().Spans[0].Hi != seq {
					t.Fatalf("unit %d: coverage %+v", seq, r.coverage())
				}
			}
			ours, _, err := r.store.Unit(context.Background(), r.store.Net(), seq)
			if err != nil {
				t.Fatal(err)
			}
			if err := ingest.Decide(context.Background(), r.store, r.codec, seq, ours.ID, time.Now()); err != nil {
				t.Fatal(err)
			}
			err = r.collector(config(c.node("second"))).CatchUp(context.Background())
			if !errors.Is(err, storage.ErrIncomplete) || !strings.Contains(err.Error(), "the operator decided") {
				t.Errorf("after the decision: %v", err)
			}
		})
	}
}

// T-L8: "not found" for what exists, heads and records.
func TestRebasedLiesNotFound(t *testing.T) {
	s := seed(t)
	c := placedChain(t, s)
	rng := rand.New(rand.NewPCG(s, 7))
	hidden := map[uint64]bool{}
	for seq := uint64(lieStart); seq <= lieTip; seq++ {
		hidden[seq] = rng.IntN(2) == 0
	}
	hidden[61] = true
	liar := func(cones bool) ingest.Source {
		n := c.node("liar")
		n.lie = func(seq uint64, honest reply) reply {
			switch {
			case hidden[seq] && cones:
				return reply{head: honest.head}
			case hidden[seq]:
				return reply{err: ingest.ErrUnknown}
			}
			return honest
		}
		return n
	}
	for _, cones := range []bool{false, true} {
		c.collectRange(t, []ingest.Source{liar(cones), c.node("honest")}, func(r *rig, _ *ingest.Collector, err error) {
			if err != nil {
				t.Fatal(err)
			}
			r.checkFiles(c.files, lieStart, lieTip, c.attestedOrOwn(lieStart, lieTip))
		})
		c.collectRange(t, []ingest.Source{liar(cones)}, func(r *rig, _ *ingest.Collector, err error) {
			cov := r.coverage()
			if !errors.Is(err, storage.ErrIncomplete) || len(cov.Gaps) != 1 || cov.Gaps[0].Reason == "" || !hidden[cov.Gaps[0].From] {
				t.Errorf("%v, coverage %+v", err, cov)
			}
			if len(cov.Spans) > 0 && !cov.Spans[0].Empty() {
				r.checkFull()
			}
		})
	}
}

// T-L9: a node of another network is named, whether it says so or not, and nothing of it is taken.
func TestRebasedLiesOtherNetwork(t *testing.T) {
	s := seed(t)
	c := newChain(t, rebasedtest.Options{Seed: s, Transactions: 1}, 3)
	other := newChain(t, rebasedtest.Options{Seed: s + 1, Transactions: 1}, 3)
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, c.trust)
		var typed *ingest.OtherNetworkError
		if err := r.collector(r.config(other.node("other"))).CatchUp(context.Background()); !errors.As(err, &typed) || typed.Source != "other" {
			t.Errorf("it says so: %v", err)
		}
		liar := other.under(t, c.net.Trust()).node("liar")
		if err := r.collector(r.config(liar)).CatchUp(context.Background()); !errors.Is(err, storage.ErrIncomplete) {
			t.Errorf("it does not say so: %v", err)
		}
		if n := r.refusals(); n["liar unit.genesis"] == 0 || n["other source.other-network"] == 0 {
			t.Errorf("refused %v", n)
		}
		if err := r.collector(r.config(liar, other.node("other"), c.node("honest"))).CatchUp(context.Background()); err != nil {
			t.Fatal(err)
		}
		r.checkFiles(c.files, 0, 2, nil)
	})
}

// T-L11: two sources of three tell the same lie. Signatures count, not heads.
func TestRebasedLiesOfMany(t *testing.T) {
	s := seed(t)
	rng := rand.New(rand.NewPCG(s, 8))
	for range rounds(1, 60) {
		c := placedChain(t, rng.Uint64())
		for _, seq := range []uint64{54, lieClosing, 65} {
			l := c.invent(rng, seq, rebasedtest.UnitLies, rebasedtest.RecordLies)
			sources := []ingest.Source{c.liarAt("liar", seq, l), c.liarAt("liar's friend", seq, l), c.node("honest")}
			c.collectRange(t, sources, func(r *rig, _ *ingest.Collector, err error) {
				if err != nil {
					t.Fatalf("unit %d, %s: %v", seq, l.Name, err)
				}
				r.checkFiles(c.files, lieStart, lieTip, c.attestedOrOwn(lieStart, lieTip))
				for _, n := range r.notes(storage.NoteRefused) {
					if n.Source == "honest" {
						t.Errorf("unit %d, %s: the honest source is refused: %s", seq, l.Name, n.Text)
					}
				}
			})
		}
	}
}

// T-L13: another quorum's certificate of the same content is the same unit: a note, and nothing else.
func TestRebasedLiesRewrapped(t *testing.T) {
	c := placedChain(t, seed(t))
	heads := map[uint64][]byte{}
	for seq := uint64(lieStart); seq <= lieTip; seq++ {
		if h := c.net.Rewrapped(c.made[seq]); h != nil {
			heads[seq] = h
		}
	}
	if len(heads) < 5 {
		t.Fatalf("%d mutants", len(heads))
	}
	c.collectRange(t, []ingest.Source{c.node("a"), c.with("b", heads)}, func(r *rig, col *ingest.Collector, err error) {
		if err != nil {
			t.Fatal(err)
		}
		r.checkFiles(c.files, lieStart, lieTip, c.attestedOrOwn(lieStart, lieTip))
		if k := r.noteKinds(); k[storage.NoteRewrapped] != len(heads) || len(k) != 1 {
			t.Errorf("%d re-wrapped units, notes %v", len(heads), k)
		}
		if s := col.Status().Sources; s[0].Lies+s[1].Lies != 0 {
			t.Errorf("sources %+v", s)
		}
		r.checkFull()
	})
	t.Logf("%d mutants", len(heads))
}

// A certificate of a wrong signature below an attested unit: from a lone source it is stored as it came, and the unit
// names who proves it; beside an honest source the true one is stored and the liar named.
func TestRebasedLiesNeedlessCertificate(t *testing.T) {
	c := placedChain(t, seed(t))
	const seq = 56
	l := c.lieNamed(t, seq, "another committee signs")
	c.collectRange(t, []ingest.Source{c.liarAt("liar", seq, l)}, func(r *rig, _ *ingest.Collector, err error) {
		if err != nil {
			t.Fatal(err)
		}
		r.checkOtherCertificate(c, seq, l)
		if by := r.stored(seq, seq)[0].Unit.AttestedBy; by != c.unit(lieClosing).ID {
			t.Errorf("attested by %s", by)
		}
	})
	synctest.Test(t, func(t *testing.T) { c.besideHonest(t, l.Name, seq, l) })
	// At the live edge it is refused.
	c.setTip(seq)
	c.collectRange(t, []ingest.Source{c.liarAt("liar", seq, l)}, func(r *rig, _ *ingest.Collector, err error) {
		if !errors.Is(err, storage.ErrIncomplete) || r.refusals()["liar unit.signature"] != 1 {
			t.Errorf("%v, refused %v", err, r.refusals())
		}
	})
}

func (c *chain) lieNamed(t *testing.T, seq uint64, name string) lie {
	t.Helper()
	for i := range rebasedtest.UnitLies {
		if l := &rebasedtest.UnitLies[i]; l.Name == name {
			return lie{l, l.Tell(c.net, c.made[seq]), true}
		}
	}
	t.Fatalf("no lie %q", name)
	return lie{}
}

// Whatever faults three nodes have, however often the service is stopped and started, what is committed is true all
// the time, and an honest node completes it.
func TestRebasedFaultChaos(t *testing.T) {
	s := seed(t)
	for i := range rounds(4, 300) {
		rng := rand.New(rand.NewPCG(s, uint64(i)))
		const units = 75
		c := newChain(t, rebasedtest.Options{Seed: s + uint64(i), Transactions: 1, Epoch: 20, Unknown: 7}, units)
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, c.trust)
			var nodes []ingest.Source
			for k := range 3 {
				nodes = append(nodes, c.spoiled(fmt.Sprint("node-", k), rand.New(rand.NewPCG(s, uint64(100*i+k)))))
			}
			for range 4 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rng.IntN(20_000))*time.Millisecond)
				if err := r.collector(r.config(nodes...)).Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("round %d: %v", i, err)
				}
				cancel()
				if cov := r.coverage(); len(cov.Spans) > 0 && !cov.Spans[0].Empty() {
					r.checkFiles(c.files, 0, cov.Spans[0].Hi, anybody)
				}
			}
			if err := r.collector(r.config(append(nodes, c.node("honest"))...)).CatchUp(context.Background()); err != nil {
				t.Fatalf("round %d: %v", i, err)
			}
			r.checkFiles(c.files, 0, units-1, anybody)
			if gaps := r.coverage().Gaps; len(gaps) != 0 {
				t.Errorf("round %d: gaps %+v", i, gaps)
			}
			r.checkFull()
		})
	}
}

// spoiled is a node with random faults. It tells no lie that a quorum signs: that ends the network, as it should.
func (c *chain) spoiled(name string, rng *rand.Rand) ingest.Source {
	n := c.node(name)
	draws := make(chan *rand.Rand, 1) // one at a time
	draws <- rng
	n.lie = func(seq uint64, honest reply) reply {
		rng := <-draws
		defer func() { draws <- rng }()
		switch rng.IntN(12) {
		case 0:
			return reply{err: ingest.ErrUnknown}
		case 1:
			return reply{err: errors.New("the connection broke")}
		case 2:
			time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
		case 3:
			other := rng.IntN(len(c.heads))
			return reply{head: c.heads[other], raws: c.raws[other]}
		case 4:
			return reply{head: bitTurned(honest.head, rng), raws: honest.raws}
		case 5:
			raws := append([][]byte{}, honest.raws...)
			at := rng.IntN(len(raws))
			raws[at] = bitTurned(raws[at], rng)
			return reply{head: honest.head, raws: raws}
		}
		return honest
	}
	return n
}

func bitTurned(b []byte, rng *rand.Rand) []byte {
	b = append([]byte{}, b...)
	b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
	return b
}
