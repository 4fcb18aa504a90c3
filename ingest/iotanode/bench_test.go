package iotanode

import (
	"context"
	"path/filepath"
	"testing"

	"permanode/ingest"
	"permanode/internal/replay/iotareplay"
)

// BenchmarkCatchUp reads the constructed chain from each kind of source, heads first; "split" is the floor: the same
// files split from memory.
func BenchmarkCatchUp(b *testing.B) {
	chain := miniChain(b)
	node := iotareplay.NewNode(chain)
	dir := b.TempDir()
	var size int64
	for seq := chain.First(); seq <= chain.Last(); seq++ {
		writeFile(b, filepath.Join(dir, checkpointPath(seq)), chain.File(seq))
		size += int64(len(chain.File(seq)))
	}
	files := storeOf(b, chain, nil, iotareplay.Batch{First: chain.First(), Last: chain.Last(), Packed: true})
	d, err := OpenDir(Config{Address: dir})
	sources := map[string]ingest.Source{"dir": closing(b, d, err)}
	for name, s := range openFiles(b, files) {
		sources["store-"+name] = s
	}
	r, err := NewREST(Config{Address: serve(b, node.REST())})
	sources["rest"] = closing(b, r, err)
	sources["grpc"] = serveGRPC(b, node, Config{})
	ctx := context.Background()
	perSecond := func(b *testing.B) {
		b.SetBytes(size)
		b.ReportMetric(float64(b.N)*float64(chain.Last()-chain.First()+1)/b.Elapsed().Seconds(), "checkpoints/s")
	}
	b.Run("split", func(b *testing.B) {
		for b.Loop() {
			for seq := chain.First(); seq <= chain.Last(); seq++ {
				if _, err := splitFile(chain.File(seq)); err != nil {
					b.Fatal(err)
				}
			}
		}
		perSecond(b)
	})
	for _, name := range []string{"dir", "store-folder", "store-HTTP", "rest", "grpc"} {
		s := sources[name]
		b.Run(name, func(b *testing.B) {
			if _, err := s.Info(ctx); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				for seq := chain.First(); seq <= chain.Last(); seq++ {
					if _, err := s.Head(ctx, seq); err != nil {
						b.Fatal(err)
					}
				}
				for seq := chain.First(); seq <= chain.Last(); seq++ {
					if _, _, err := s.Cone(ctx, seq); err != nil {
						b.Fatal(err)
					}
				}
			}
			perSecond(b)
		})
	}
}
