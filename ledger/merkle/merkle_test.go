package merkle

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"testing"

	"golang.org/x/crypto/blake2b"

	"permanode/ledger"
)

func newBLAKE2b() hash.Hash {
	h, _ := blake2b.New256(nil)
	return h
}

func someIDs(n int) []ledger.ID {
	ids := make([]ledger.ID, n)
	for i := range ids {
		sum := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
		ids[i] = ledger.NewID(sum[:])
	}
	return ids
}

// reference is the definition, word for word.
func reference(ids []ledger.ID) []byte {
	h := newBLAKE2b()
	switch len(ids) {
	case 0:
	case 1:
		h.Write([]byte{0})
		h.Write(ids[0].Bytes())
	default:
		k := 1
		for k*2 < len(ids) {
			k *= 2
		}
		h.Write([]byte{1})
		h.Write(reference(ids[:k]))
		h.Write(reference(ids[k:]))
	}
	return h.Sum(nil)
}

func TestRootAndPath(t *testing.T) {
	for n := range 140 {
		ids := someIDs(n)
		want := reference(ids)
		if got := Root(newBLAKE2b, ids); !bytes.Equal(got, want) {
			t.Fatalf("root of %d ids = %x, want %x", n, got, want)
		}
		for i := range n {
			path := Path(newBLAKE2b, ids, i)
			if got := Walk(newBLAKE2b, ids[i], path); !bytes.Equal(got, want) {
				t.Fatalf("path of %d in %d leads to %x, want %x", i, n, got, want)
			}
			if len(path) > 0 {
				path[0].Left = !path[0].Left
				if bytes.Equal(Walk(newBLAKE2b, ids[i], path), want) {
					t.Fatalf("path of %d in %d with its first side changed still leads to the root", i, n)
				}
				path[0].Hash = path[0].Hash[1:]
				if Walk(newBLAKE2b, ids[i], path) != nil {
					t.Fatal("a short hash is accepted")
				}
			}
		}
	}
}

func TestEmptyRoot(t *testing.T) {
	const want = "\x0e\x57\x51\xc0\x26\xe5\x43\xb2\xe8\xab\x2e\xb0\x60\x99\xda\xa1\xd1\xe5\xdf\x47\x77\x8f\x77\x87\xfa\xab\x45\xcd\xf1\x2f\xe3\xa8"
	if got := string(Root(newBLAKE2b, nil)); got != want {
		t.Errorf("root of nothing = %x, want %x", got, want)
	}
}

func BenchmarkRoot(b *testing.B) {
	ids := someIDs(250)
	b.ReportAllocs()
	for b.Loop() {
		Root(newBLAKE2b, ids)
	}
}
