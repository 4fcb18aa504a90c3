package stardust

import (
	"testing"

	"golang.org/x/crypto/blake2b"
)

// recordedBlocks returns the blocks of the recorded mix, with their size.
func recordedBlocks(b *testing.B) (raws [][]byte, size int64) {
	seen := map[string]bool{}
	for _, x := range recorded(b, "stardust") {
		if x.Status == 200 && x.BodyHex != nil && len(x.Path) == len("/api/core/v2/blocks/0x")+64 && !seen[x.Path] {
			seen[x.Path] = true
			raws, size = append(raws, *x.BodyHex), size+int64(len(*x.BodyHex))
		}
	}
	return raws, size
}

// BenchmarkHash is the floor of [BenchmarkIdentify] and a part of that of proving a cone.
func BenchmarkHash(b *testing.B) {
	raws, size := recordedBlocks(b)
	b.SetBytes(size)
	for b.Loop() {
		for _, raw := range raws {
			_ = blake2b.Sum256(raw)
		}
	}
}

func BenchmarkIdentify(b *testing.B) {
	raws, size := recordedBlocks(b)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		for _, raw := range raws {
			if Identify(raw).Err != nil {
				b.Fatal("not identified")
			}
		}
	}
}

func BenchmarkParseBlock(b *testing.B) {
	raws, size := recordedBlocks(b)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		for _, raw := range raws {
			if _, err := ParseBlock(raw); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkBlockJSON(b *testing.B) {
	raws, size := recordedBlocks(b)
	b.SetBytes(size)
	for b.Loop() {
		for _, raw := range raws {
			block, err := ParseBlock(raw)
			if err != nil {
				b.Fatal(err)
			}
			_ = BlockJSON(block)
		}
	}
}
