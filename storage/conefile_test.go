package storage

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"testing"

	"permanode/ledger"
)

// someCones makes cones of random bytes: the file format does not care what is in them.
func someCones(seed uint64, n int) []*ledger.Cone {
	rng := rand.New(rand.NewPCG(seed, 1))
	blob := func(max int) []byte {
		b := make([]byte, rng.IntN(max)+1)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	cones := make([]*ledger.Cone, n)
	for i := range cones {
		c := &ledger.Cone{Unit: ledger.Unit{Seq: uint64(i) + 7, Header: blob(300), Auth: blob(200)}}
		if i%3 == 1 {
			c.Unit.List = blob(100)
		}
		for range rng.IntN(5) {
			r := ledger.Record{State: ledger.State(rng.IntN(5) + 1), Reason: uint16(rng.IntN(300)), Basis: ledger.ByRoot, Self: rng.IntN(2) == 0}
			for range rng.IntN(3) + 1 {
				r.Parts = append(r.Parts, ledger.Part{Kind: ledger.PartKind(rng.IntN(6) + 1), Raw: blob(2000)})
			}
			c.Records = append(c.Records, r)
		}
		cones[i] = c
	}
	return cones
}

func coneFile(t testing.TB, cones []*ledger.Cone) []byte {
	var buf bytes.Buffer
	w, err := NewConeWriter(&buf, "toy", "identity of it")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cones {
		if err := w.Write(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// readCones reads a file through and returns its cones and how it ended; nil is a whole file.
func readCones(raw []byte) (cones []*RawCone, at []int64, err error) {
	r, err := NewConeReader(bytes.NewReader(raw))
	if err != nil {
		return nil, nil, err
	}
	for {
		off := r.Offset()
		c, err := r.Next()
		if err == io.EOF {
			return cones, at, nil
		} else if err != nil {
			return cones, at, err
		}
		cones, at = append(cones, c), append(at, off)
	}
}

func TestConeFile(t *testing.T) {
	want := someCones(1, 20)
	raw := coneFile(t, want)
	got, at, err := readCones(raw)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d cones, %v", len(got), err)
	}
	for i, c := range got {
		if !reflect.DeepEqual(c.Unit, want[i].Unit) || !reflect.DeepEqual(c.Records, want[i].Records) {
			t.Errorf("cone %d differs", i)
		}
		direct, err := ReadConeAt(bytes.NewReader(raw), at[i])
		if err != nil || !reflect.DeepEqual(direct, c) {
			t.Errorf("cone %d read at its offset: %v", i, err)
		}
	}
}

// TestConeFileDamage flips every bit and cuts at every byte: nothing passes as whole.
func TestConeFileDamage(t *testing.T) {
	raw := coneFile(t, someCones(2, 2))
	if len(raw) > 20_000 {
		raw = coneFile(t, someCones(5, 1))
	}
	for i := range raw {
		bit := byte(1) << (i % 8)
		raw[i] ^= bit
		if _, _, err := readCones(raw); !errors.Is(err, ledger.ErrSyntax) {
			t.Fatalf("bit flip at byte %d: %v", i, err)
		}
		raw[i] ^= bit
		if _, _, err := readCones(raw[:i]); !errors.Is(err, ledger.ErrSyntax) {
			t.Fatalf("cut at byte %d: %v", i, err)
		}
	}
	if _, _, err := readCones(append(bytes.Clone(raw), 0)); !errors.Is(err, ledger.ErrSyntax) {
		t.Errorf("a byte behind the end: %v", err)
	}
}

func FuzzConeFile(f *testing.F) {
	f.Add(coneFile(f, someCones(3, 2)))
	f.Add([]byte(coneMagic + "\x01\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		cones, _, err := readCones(raw)
		if err != nil {
			if !errors.Is(err, ledger.ErrSyntax) {
				t.Fatalf("untyped error: %v", err)
			}
			return
		}
		r, _ := NewConeReader(bytes.NewReader(raw))
		var buf bytes.Buffer
		w, err := NewConeWriter(&buf, r.Era, r.Identity)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cones {
			if err := w.Write(&ledger.Cone{Unit: c.Unit, Records: c.Records}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(buf.Bytes(), raw) {
			t.Error("what was read is written otherwise")
		}
	})
}
