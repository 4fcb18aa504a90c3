package iotanode

import (
	"bytes"
	"context"
	"crypto/sha3"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"permanode/ledger/ledgertest"
	"permanode/ledger/rebased"
	"permanode/ledger/rebased/bcs"
)

// A manifest is read or refused; what is read answers every question about its ranges.
func FuzzManifest(f *testing.F) {
	for _, pattern := range []string{"rebased/store/historical/MANIFEST", "rebased/store/archive/MANIFEST"} {
		for _, path := range ledgertest.Paths(f, pattern) {
			raw, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw[:len(raw)-32])
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := sha3.Sum256(body) // else nothing but the sum would ever be looked at
		raw := append(bytes.Clone(body), sum[:]...)
		m, err := ParseManifest(raw)
		if err != nil {
			if !errors.Is(err, ErrManifest) {
				t.Fatalf("untyped error: %v", err)
			}
			return
		}
		if len(m.Report()) > maxReport+1 {
			t.Fatal("an endless report")
		}
		lo, hi := m.span()
		for i, file := range m.Files {
			if file.Start < lo || file.End-1 > hi {
				t.Fatalf("file %d lies outside of the span", i)
			}
			if held := m.holding(file.Start); len(held) == 0 || held[len(held)-1] != i {
				t.Fatalf("file %d is not among those that hold its first checkpoint: %v", i, held)
			}
		}
		for _, hole := range m.holes() {
			if len(m.holding(hole.Lo)) > 0 || len(m.holding(hole.Hi)) > 0 {
				t.Fatalf("hole %v is held", hole)
			}
		}
	})
}

// A batch is opened or refused; what is opened gives each of its checkpoints.
func FuzzBatch(f *testing.F) {
	// Small ones: the fuzzer minimizes what it finds, which takes it long with kilobytes.
	plain := []byte("\x01\x01a\x02\x01bc")
	z, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append([]byte(batchMagic+"\x00\x00"), plain...), uint8(1))
	f.Add(z.EncodeAll(plain, []byte(batchMagic+"\x00\x01")), uint8(1))
	if err := z.Close(); err != nil {
		f.Fatal(err)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw []byte, n uint8) {
		file := File{Start: 7, End: 8 + uint64(n%16), SHA3: sha3.Sum256(raw)}
		content, err := temp(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := content.Write(raw); err != nil {
			t.Fatal(err)
		}
		b, err := openBatch(context.Background(), file, content, dir)
		if err != nil {
			if !strings.Contains(err.Error(), "7.chk") {
				t.Fatalf("an error without the file's name: %v", err)
			}
			return
		}
		for seq := file.Start; seq < file.End; seq++ {
			if _, err := b.read(seq, 1<<20); err != nil {
				t.Fatalf("checkpoint %d: %v", seq, err)
			}
		}
		if err := b.close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A blob is cut out of bytes as it was made.
func FuzzBlob(f *testing.F) {
	f.Add([]byte{3, 1, 'a', 'b', 'c', 'd'})
	f.Add([]byte{0x80, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		data, n, err := cutBlob(b)
		if err != nil {
			return
		}
		if n > len(b) || n < len(data)+2 || !bytes.Equal(b[n-len(data):n], data) {
			t.Fatalf("%d of %d bytes, %d of data", n, len(b), len(data))
		}
	})
}

// A file name is a number, or none: never two names for one checkpoint.
func FuzzFileName(f *testing.F) {
	for _, name := range []string{"0.chk", "17.chk", "007.chk", "+1.chk", "1.CHK", "18446744073709551615.chk", "18446744073709551616.chk"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if seq, ok := fileSeq(name); ok && strconv.FormatUint(seq, 10)+".chk" != name {
			t.Fatalf("%q is taken for %d", name, seq)
		}
	})
}

// Answers of JSON-RPC and the system state of a genesis come from strangers.
func FuzzCommittee(f *testing.F) {
	for _, path := range ledgertest.Paths(f, "rebased/checkpoints/*/committee_epoch0.json") {
		raw, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(`{"result":` + string(raw) + `}`))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if members, err := parseCommittee(raw, 0); err == nil && len(members) > len(raw) {
			t.Fatal("members out of nothing")
		}
		state := rebased.MoveObject{Contents: raw, Type: rebased.MoveObjectType{Other: stateField(stateV2)}}
		r := bcs.NewReader(raw)
		if members, _, err := stateCommittee(&state); err == nil && len(members)*8 > r.Remaining() {
			t.Fatal("members out of nothing")
		}
	})
}

// stateField is the type of the object that holds the system state.
func stateField(name string) *rebased.StructTag {
	return &rebased.StructTag{Address: rebased.Address{31: 2}, Module: "dynamic_field", Name: "Field", Args: []rebased.TypeTag{
		{Type: rebased.TypeU64},
		{Type: rebased.TypeStruct, Struct: &rebased.StructTag{Address: rebased.Address{31: 3}, Module: stateModule, Name: name}},
	}}
}
