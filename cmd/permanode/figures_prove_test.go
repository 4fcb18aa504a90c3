package main

import (
	"context"
	"maps"
	"os"
	"testing"

	"github.com/hdevalence/ed25519consensus"
	"golang.org/x/crypto/blake2b"

	"permanode/ledger"
	"permanode/ledger/stardust"
	"permanode/storage"
)

// segment is one round's cones with what a floor needs of them.
type segment struct {
	cones   []*storage.RawCone
	raws    [][]byte // blocks and milestone essences
	sigs    []signed
	records int
	bytes   int // of raws
}

func newSegment(b *testing.B, cones []*storage.RawCone) *segment {
	b.Helper()
	s := &segment{cones: cones}
	for _, c := range cones {
		s.raws = append(s.raws, c.Unit.Header)
		for i := range c.Records {
			s.raws = append(s.raws, c.Records[i].Parts[0].Raw)
		}
		s.records += len(c.Records)
		s.sigs = append(s.sigs, signatures(b, c)...)
	}
	for _, raw := range s.raws {
		s.bytes += len(raw)
	}
	return s
}

// done is what a run says it did.
type done struct{ bytes, hashes, signatures, good int }

// hashAll is the floor's BLAKE2b.
func hashAll(raws [][]byte) (d done) {
	var x byte
	for _, raw := range raws {
		h := blake2b.Sum256(raw)
		x ^= h[0]
		d.bytes += len(raw)
		d.hashes++
	}
	keep = x
	return d
}

// keep keeps the compiler from dropping what nobody looks at.
var keep byte

// singly is the floor that checks one signature after the other.
func singly(s *segment) done {
	d := hashAll(s.raws)
	d.signatures, d.good = len(s.sigs), verifySingly(s.sigs)
	return d
}

func verifySingly(sigs []signed) (good int) {
	for i := range sigs {
		if ed25519consensus.Verify(sigs[i].key[:], sigs[i].digest[:], sigs[i].sig[:]) {
			good++
		}
	}
	return good
}

// inBatches is the floor that checks signatures together, as ours does.
func inBatches(s *segment) done {
	d := hashAll(s.raws)
	d.signatures, d.good = len(s.sigs), verifyInBatches(s.sigs)
	return d
}

// floorBatch is the best size of a batch for what the recordings and the generator bring, found by trial.
const floorBatch = 32

func verifyInBatches(sigs []signed) (good int) {
	for len(sigs) > 0 {
		n := min(len(sigs), floorBatch)
		good += verifyBatch(sigs[:n])
		sigs = sigs[n:]
	}
	return good
}

func verifyBatch(sigs []signed) int {
	if len(sigs) == 1 {
		return verifySingly(sigs)
	}
	v := ed25519consensus.NewPreallocatedBatchVerifier(len(sigs))
	for i := range sigs {
		v.Add(sigs[i].key[:], sigs[i].digest[:], sigs[i].sig[:])
	}
	if v.Verify() {
		return len(sigs)
	}
	return verifyBatch(sigs[:len(sigs)/2]) + verifyBatch(sigs[len(sigs)/2:])
}

// prover proves cone after cone through the contract alone, over a ledger in memory.
type prover struct {
	codec ledger.Codec
	trust ledger.Trust
	start *ledger.Unit
	prev  *ledger.Unit
	state map[string][]byte
	units map[ledger.ID]uint64

	// written by the segment under way, until it is kept
	newState map[string][]byte
	newUnits map[ledger.ID]uint64
}

func newProver(b *testing.B, s *dataset) *prover {
	b.Helper()
	p := &prover{codec: stardust.Codec{}, trust: s.trust, state: map[string][]byte{}, units: map[ledger.ID]uint64{}}
	f, err := os.Open(s.snapshot)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	snap, err := p.codec.Snapshot(p.trust, f)
	if err != nil {
		b.Fatal(err)
	}
	for c, err := range snap.Changes {
		if err != nil {
			b.Fatal(err)
		}
		p.state[string(c.Key)] = c.Val
	}
	p.start = &ledger.Unit{Seq: snap.Seq, ID: snap.Unit, TimeMs: snap.TimeMs}
	return p
}

// keep makes the last segment's end the beginning of the next.
func (p *prover) keep(cones []*ledger.Cone) {
	maps.Copy(p.state, p.newState)
	maps.Copy(p.units, p.newUnits)
	u := cones[len(cones)-1].Unit
	p.prev = &u
}

// pieceRecords is how many records the collector prepares at a time, of several cones if they are small.
const pieceRecords = 128

// walked is a closed cone.
type walked struct {
	asm     ledger.Assembly
	members []ledger.Identified
}

// run proves a segment as the collector does while it catches up, and returns its cones and the keys of the state
// that each needed.
func (p *prover) run(s *segment) (cones []*ledger.Cone, keys [][][]byte, err error) {
	p.newState, p.newUnits = map[string][]byte{}, map[ledger.ID]uint64{}
	prev := p.prev
	var waiting []walked
	var members []ledger.Identified
	for i, raw := range s.cones {
		at := ledger.Start{Trust: p.trust, Prev: prev, Held: true, Known: p.known, State: p.read}
		if prev == nil {
			at.Snapshot = p.start
		}
		w, err := p.walk(raw, at)
		if err != nil {
			return nil, nil, err
		}
		u := w.asm.Unit()
		prev, waiting, members = &u, append(waiting, w), append(members, w.members...)
		if len(members) < pieceRecords && i < len(s.cones)-1 {
			continue
		}
		ready := make([]ledger.Prepared, 0, len(members))
		for len(members) > 0 {
			n := min(len(members), pieceRecords)
			ready, members = append(ready, p.codec.Prepare(members[:n])...), members[n:]
		}
		for _, w := range waiting {
			c, k, err := p.seal(w, ready[:len(w.members)])
			if err != nil {
				return nil, nil, err
			}
			ready = ready[len(w.members):]
			cones, keys = append(cones, c), append(keys, k)
		}
		waiting, members = nil, nil
	}
	return cones, keys, nil
}

func (p *prover) walk(raw *storage.RawCone, at ledger.Start) (w walked, err error) {
	ctx := context.Background()
	raws := make([][]byte, len(raw.Records))
	for i := range raws {
		raws[i] = raw.Records[i].Parts[0].Raw
	}
	ids := p.codec.Identify(raws)
	byID := make(map[ledger.ID]int, len(ids))
	for i := range ids {
		byID[ids[i].ID] = i
	}
	if w.asm, err = p.codec.Begin(ctx, p.codec.Head(raw.Unit), at); err != nil {
		return w, err
	}
	for {
		want, err := w.asm.Want(ctx, 256)
		if err != nil {
			return w, err
		}
		if len(want) == 0 {
			break
		}
		for _, id := range want {
			if err := w.asm.Put(ids[byID[id]]); err != nil {
				return w, err
			}
		}
	}
	w.members = w.asm.Members()
	for i := range w.members {
		p.newUnits[w.members[i].ID] = raw.Unit.Seq
	}
	return w, nil
}

func (p *prover) seal(w walked, ready []ledger.Prepared) (*ledger.Cone, [][]byte, error) {
	keys := w.asm.StateKeys(ready)
	vals, _ := p.read(context.Background(), keys)
	view := make(ledger.View, len(keys))
	for i, k := range keys {
		view[string(k)] = vals[i]
	}
	c, err := w.asm.Seal(ready, view, nil)
	if err != nil {
		return nil, nil, err
	}
	for _, ch := range c.Changes {
		p.newState[string(ch.Key)] = ch.Val
	}
	return c, keys, nil
}

func (p *prover) known(_ context.Context, ids []ledger.ID) ([]bool, error) {
	out := make([]bool, len(ids))
	for i, id := range ids {
		_, fresh := p.newUnits[id]
		_, old := p.units[id]
		out[i] = fresh || old
	}
	return out, nil
}

func (p *prover) read(_ context.Context, keys [][]byte) ([][]byte, error) {
	out := make([][]byte, len(keys))
	for i, k := range keys {
		v, ok := p.newState[string(k)]
		if !ok {
			v = p.state[string(k)]
		}
		out[i] = v
	}
	return out, nil
}

// workedOn returns what a run of ours worked on, read from what it made.
func workedOn(b *testing.B, cones []*ledger.Cone) (d done) {
	b.Helper()
	for _, c := range cones {
		d.bytes += c.Bytes() - len(c.Unit.Auth)
		d.hashes += 1 + len(c.Records)
		d.signatures += len(signatures(b, &storage.RawCone{Unit: c.Unit, Records: c.Records}))
	}
	return d
}
