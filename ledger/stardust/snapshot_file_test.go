package stardust

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"permanode/ledger/ledgertest"
)

// snapshotParts is all of a snapshot file.
type snapshotParts struct {
	header      SnapshotHeader
	outputs     []*SnapshotOutput
	differences []*SnapshotDifference
	seps        []Hash
}

// readSnapshot reads all parts and writes them again.
func readSnapshot(raw []byte) (p snapshotParts, again []byte, err error) {
	s, err := ReadSnapshot(bytes.NewReader(raw))
	if err != nil {
		return p, nil, err
	}
	p.header = s.Header
	again = AppendSnapshotHeader(nil, &p.header)
	for o, err := range s.Outputs() {
		if err != nil {
			return p, nil, err
		}
		p.outputs = append(p.outputs, o)
		again = AppendSnapshotOutput(again, o)
	}
	for d, err := range s.Differences() {
		if err != nil {
			return p, nil, err
		}
		p.differences = append(p.differences, d)
		again = AppendSnapshotDifference(again, d)
	}
	for id, err := range s.SEPs() {
		if err != nil {
			return p, nil, err
		}
		p.seps = append(p.seps, id)
		again = append(again, id[:]...)
	}
	return p, again, nil
}

// genesisSnapshot returns the bytes of a recording's full snapshot file.
func genesisSnapshot(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(ledgertest.Recording(t, name), "genesis_snapshot.bin"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestSnapshotOfRecordings(t *testing.T) {
	for _, name := range []string{"stardust", "stardust-migration"} {
		raw := genesisSnapshot(t, name)
		p, again, err := readSnapshot(raw)
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("%s: %v, or re-encoding differs", name, err)
		}
		params, err := ParseParameters(p.header.Parameters.Params)
		if err != nil {
			t.Fatal(err)
		}
		sum := p.header.Treasury.Amount
		for _, o := range p.outputs {
			sum += o.Output.Amount
		}
		if sum != params.Supply {
			t.Errorf("%s: outputs and treasury are %d, the supply is %d", name, sum, params.Supply)
		}
	}
}

// Every cut of a snapshot file is an error, and so is a byte more.
func TestSnapshotCut(t *testing.T) {
	raw := genesisSnapshot(t, "stardust")
	for n := range raw {
		_, _, err := readSnapshot(raw[:n])
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Reason != ReasonTruncated || syntax.Offset > int64(n) {
			t.Fatalf("cut to %d of %d bytes: %v", n, len(raw), err)
		}
	}
	_, _, err := readSnapshot(append(bytes.Clone(raw), 0))
	var syntax *SyntaxError
	if !errors.As(err, &syntax) || syntax.Reason != ReasonTrailing || syntax.Offset != int64(len(raw)) {
		t.Errorf("one byte more: %v", err)
	}
}

// Parts that nobody asks for are read all the same: the solid entry points come out right.
func TestSnapshotSkips(t *testing.T) {
	raw := genesisSnapshot(t, "stardust")
	want, _, err := readSnapshot(raw)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ReadSnapshot(iotest.OneByteReader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	for range s.Outputs() {
		break
	}
	var seps []Hash
	for id, err := range s.SEPs() {
		if err != nil {
			t.Fatal(err)
		}
		seps = append(seps, id)
	}
	if len(seps) != len(want.seps) || len(seps) == 0 || seps[0] != want.seps[0] {
		t.Errorf("solid entry points %x, want %x", seps, want.seps)
	}
}

// A reader that fails is no malformed file.
func TestSnapshotReadError(t *testing.T) {
	raw := genesisSnapshot(t, "stardust")
	broken := errors.New("disk gone")
	s, err := ReadSnapshot(io.MultiReader(bytes.NewReader(raw[:200]), iotest.ErrReader(broken)))
	if err != nil {
		t.Fatal(err)
	}
	var last error
	for _, err := range s.SEPs() {
		last = err
	}
	if !errors.Is(last, broken) {
		t.Errorf("error %v, want %v", last, broken)
	}
}

// Counts and lengths that announce far more than there is must not be believed.
func TestSnapshotAllocations(t *testing.T) {
	raw := genesisSnapshot(t, "stardust")
	s, err := ReadSnapshot(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	h := s.Header
	h.Outputs, h.Differences, h.SEPs = 1<<63, 1<<31, 1<<15
	lie := append(AppendSnapshotHeader(nil, &h), raw[len(AppendSnapshotHeader(nil, &s.Header)):]...)
	used := bytesAllocated(func() {
		if _, _, err := readSnapshot(lie); err == nil {
			t.Error("read without an error")
		}
	})
	if used > 1<<18 {
		t.Errorf("%d bytes allocated for a file of %d", used, len(lie))
	}
	h = SnapshotHeader{Differences: 1}
	lie = AppendSnapshotHeader(nil, &h)
	lie = le.AppendUint32(lie, 1<<31) // length of the difference
	lie = le.AppendUint32(lie, 1<<31) // length of its milestone
	used = bytesAllocated(func() {
		if _, _, err := readSnapshot(lie); err == nil {
			t.Error("read without an error")
		}
	})
	if used > 1<<18 {
		t.Errorf("%d bytes allocated for a file of %d", used, len(lie))
	}
}

// smallSnapshot returns a delta file of one difference, and where that begins.
func smallSnapshot() (raw []byte, difference int) {
	m := &Milestone{Index: 2, Version: 2, Parents: []Hash{{}}, Signatures: []Signature{{}}}
	d := SnapshotDifference{Payload: AppendPayload(nil, m), Milestone: m}
	o := plainOutput(5)
	d.Created = []SnapshotOutput{{Booked: 2, Output: &o}}
	d.Consumed = []SnapshotSpent{{SnapshotOutput: d.Created[0], By: Hash{7}}}
	h := SnapshotHeader{Target: 2, Differences: 1, SEPs: 1}
	difference = len(AppendSnapshotHeader(nil, &h))
	h.SEPOffset = uint64(difference + len(AppendSnapshotDifference(nil, &d)))
	raw = AppendSnapshotDifference(AppendSnapshotHeader(nil, &h), &d)
	return append(raw, make([]byte, 32)...), difference
}

// Every length, count and constant of a snapshot file is compared with what is there.
func TestSnapshotFields(t *testing.T) {
	good, at := smallSnapshot()
	p, again, err := readSnapshot(good)
	if err != nil || !bytes.Equal(again, good) || p.differences[0].Consumed[0].By != (Hash{7}) {
		t.Fatalf("good file: %v", err)
	}
	payload := at + 8 + len(p.differences[0].Payload)
	for where, want := range map[int]Reason{
		0:           ReasonSnapshotField, // version
		1:           ReasonSnapshotField, // kind
		2 + 4 + 36:  ReasonLength,        // offset of the solid entry points
		at:          ReasonLength,        // length of the difference
		at + 6:      ReasonSize,          // length of its milestone
		payload + 2: ReasonLength,        // outputs created
		at + 8:      ReasonPayloadType,   // of the milestone
	} {
		raw := bytes.Clone(good)
		raw[where] += 3
		if _, _, err := readSnapshot(raw); reasonOf(t, err) != want {
			t.Errorf("byte %d changed: %v, want %q", where, err, want)
		}
	}
}
