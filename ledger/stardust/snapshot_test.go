package stardust_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"permanode/ledger"
	"permanode/ledger/stardust"
	"permanode/ledger/stardust/stardusttest"
)

// TestSnapshotsOfMadeNetworks opens a network in its middle by files of all shapes, compares the ledger
// and the parameters with those of a run from genesis, and goes on with what a node with that snapshot
// still has.
func TestSnapshotsOfMadeNetworks(t *testing.T) {
	const length = 24
	o := stardusttest.Options{Seed: 11, Blocks: 25, History: true}
	n, whole := openNetwork(t, o, true)
	cones := n.Cones(length)
	for _, c := range cones {
		whole.serve(c.Raws...)
		if _, err := whole.add(c.Head); err != nil {
			t.Fatal(err)
		}
	}
	early := stardusttest.New(o) // the same network, seen at milestone 12
	early.Cones(12)
	bare := stardusttest.New(o)
	bare.Cones(8)
	for _, c := range []struct {
		target uint32
		files  [][]byte
	}{
		{0, [][]byte{n.Full(0, 30)}},
		{6, [][]byte{n.Full(6, 30)}},   // a parameter change and receipts are rolled back
		{10, [][]byte{n.Full(10, 30)}}, // announced at 9 for 14
		{13, [][]byte{n.Full(13, 30)}},
		{23, [][]byte{n.Full(23, 30)}},
		{12, [][]byte{early.Full(12, 30)}}, // nothing to roll back
		{8, [][]byte{bare.Full(8, 0)}},     // nor any difference: which block carries 8 is not known
		{20, [][]byte{early.Full(12, 30), n.Delta(12, 20)}},
		{18, [][]byte{early.Full(5, 30), n.Delta(5, 18)}},
		{16, [][]byte{n.Snapshot(), n.Delta(0, 16)}},
	} {
		t.Run(fmt.Sprintf("%d files to %d", len(c.files), c.target), func(t *testing.T) {
			a := newArchive(t, n.Trust())
			var files []io.ReadSeeker
			for _, f := range c.files {
				files = append(files, bytes.NewReader(f))
			}
			if err := a.open(files...); err != nil {
				t.Fatal(err)
			}
			if got, want := stardust.Unspent(a.state, uint64(c.target)), stardust.Unspent(whole.state, uint64(c.target)); !slices.Equal(got, want) {
				t.Fatalf("%d outputs, want %d", len(got), len(want))
			}
			spentInside := map[string]bool{}
			if len(c.files) == 2 {
				spentInside = spentBy(t, c.files[1])
			}
			for _, made := range cones[c.target:] {
				cone := *made
				cone.Outcomes = slices.Clone(made.Outcomes)
				a.serve(cone.Raws...)
				got, err := a.add(cone.Head)
				if err != nil {
					t.Fatal(err)
				}
				forgotten(t, got, &cone, spentInside)
				compareMade(t, got, &cone, true)
				seq := got.Unit.Seq
				gt, ga, gp, err := stardust.Totals(a.state[string(stardust.TotalsKey(seq))], uint32(seq))
				if err != nil {
					t.Fatal(err)
				}
				wt, wa, wp, err := stardust.Totals(whole.state[string(stardust.TotalsKey(seq))], uint32(seq))
				if err != nil {
					t.Fatal(err)
				}
				if gt != wt || ga != wa || !bytes.Equal(gp, wp) {
					t.Fatalf("totals at %d differ from those of a run from genesis", seq)
				}
			}
			a.again(t)
		})
	}
}

// forgotten allows for what nobody behind a snapshot can know: an input that was spent before it was
// never seen (spec section 9.2). What a delta file spends itself is known.
func forgotten(t *testing.T, got *ledger.Cone, want *stardusttest.Cone, known map[string]bool) {
	t.Helper()
	for i := range got.Records {
		r := &got.Records[i]
		if i >= len(want.Outcomes) || r.Reason != uint16(stardust.ConflictUnknownInput) || want.Outcomes[i].Reason != uint16(stardust.ConflictSpent) {
			continue
		}
		want.Outcomes[i].Reason = r.Reason
		for id := range roles(r, ledger.KeyOutput) {
			if known[id] {
				t.Errorf("record %s consumes %x, which the delta file spends, for reason %d", r.ID, id, r.Reason)
			}
		}
	}
}

// TestSnapshotsThatLie: one thing wrong in files that are well formed.
func TestSnapshotsThatLie(t *testing.T) {
	n := stardusttest.New(stardusttest.Options{Seed: 12, Blocks: 10, History: true})
	cones := n.Cones(12)
	other := stardusttest.New(stardusttest.Options{Seed: 13, Blocks: 10, History: true})
	other.Cones(12)
	full := n.Full(8, 30)
	flip := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[(at+len(b))%len(b)] ^= 1
		return b
	}
	delta := n.Delta(8, 11)
	// another milestone of that index, as well signed: only the chain of ids tells
	forked := func(file []byte, index uint32) []byte {
		i := slices.IndexFunc(stardusttest.Lies, func(l stardusttest.Lie) bool { return l.Name == "other content" })
		return withPayload(t, file, index, n.Tell(stardusttest.Lies[i], cones[index-1]))
	}
	for name, c := range map[string]struct {
		files [][]byte
		code  string // "": any error
	}{
		"target id":                 {[][]byte{flip(full, 14)}, "snapshot.target"},
		"treasury":                  {[][]byte{flip(full, 14+32+4+32)}, "ledger.supply"},
		"ledger index":              {[][]byte{flip(full, 14+32)}, "unit.seq"},
		"cut":                       {[][]byte{full[:len(full)-1]}, ""},
		"one byte more":             {[][]byte{append(bytes.Clone(full), 0)}, ""},
		"a delta file alone":        {[][]byte{delta}, ""},
		"two full files":            {[][]byte{full, full}, ""},
		"another network":           {[][]byte{other.Full(8, 30)}, "unit.key"},
		"delta of another network":  {[][]byte{full, other.Delta(8, 11)}, "snapshot.target"},
		"delta of another target":   {[][]byte{full, n.Delta(9, 11)}, "snapshot.target"},
		"delta to another time":     {[][]byte{full, flip(delta, 6)}, "snapshot.index"},
		"delta with another lead":   {[][]byte{full, flip(delta, 2)}, "snapshot.index"},
		"fork in a delta file":      {[][]byte{full, forked(delta, 9)}, "unit.prev"},
		"fork above the target":     {[][]byte{forked(full, 10)}, "unit.prev"},
		"fork at the target":        {[][]byte{forked(full, 8)}, "unit.prev"},
		"fork at the end":           {[][]byte{forked(n.Full(12, 3), 12)}, "snapshot.target"},
		"no file":                   {nil, ""},
		"a later output is swapped": {[][]byte{swapAmounts(t, full)}, "ledger.supply"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArchive(t, n.Trust())
			var files []io.ReadSeeker
			for _, f := range c.files {
				files = append(files, bytes.NewReader(f))
			}
			err := a.open(files...)
			var f *ledger.Forged
			if err == nil || c.code != "" && (!errors.As(err, &f) || f.Code != c.code) {
				t.Errorf("error %v, want %q", err, c.code)
			}
		})
	}
}

// swapAmounts makes the first output of a full file hold one coin more.
func swapAmounts(t *testing.T, full []byte) []byte {
	t.Helper()
	f, err := stardust.ReadSnapshot(bytes.NewReader(full))
	if err != nil {
		t.Fatal(err)
	}
	for o, err := range f.Outputs() {
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(full, append(o.ID[:], o.Block[:]...))
		out := bytes.Clone(full)
		out[at+34+32+4+4+4+1] ^= 1 // lowest byte of the amount
		return out
	}
	t.Fatal("no output")
	return nil
}

// withPayload replaces the milestone of one difference.
func withPayload(t *testing.T, file []byte, index uint32, payload []byte) []byte {
	t.Helper()
	f, err := stardust.ReadSnapshot(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	head := f.Header
	var body []byte
	for o, err := range f.Outputs() {
		if err != nil {
			t.Fatal(err)
		}
		body = stardust.AppendSnapshotOutput(body, o)
	}
	for d, err := range f.Differences() {
		if err != nil {
			t.Fatal(err)
		}
		if d.Milestone.Index == index {
			d.Payload = payload
		}
		body = stardust.AppendSnapshotDifference(body, d)
	}
	head.SEPOffset = uint64(len(stardust.AppendSnapshotHeader(nil, &head)) + len(body))
	body = append(stardust.AppendSnapshotHeader(nil, &head), body...)
	for id, err := range f.SEPs() {
		if err != nil {
			t.Fatal(err)
		}
		body = append(body, id[:]...)
	}
	return body
}

// spentBy returns the outputs that a snapshot file's differences consume.
func spentBy(t *testing.T, file []byte) map[string]bool {
	t.Helper()
	f, err := stardust.ReadSnapshot(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for d, err := range f.Differences() {
		if err != nil {
			t.Fatal(err)
		}
		for i := range d.Consumed {
			out[string(d.Consumed[i].ID[:])] = true
		}
	}
	return out
}
