package stardust_test

import (
	"context"
	"testing"

	"github.com/hdevalence/ed25519consensus"
	"golang.org/x/crypto/blake2b"

	"permanode/ledger"
	"permanode/ledger/stardust"
	"permanode/ledger/stardust/stardusttest"
)

// benchNetwork makes cones of the recorded mix, and what a floor needs of them: signed digests with
// keys and signatures.
func benchNetwork(b *testing.B, cones, blocks int) (*archive, []*stardusttest.Cone, []signed) {
	b.Helper()
	n, a := openNetwork(b, stardusttest.Options{Seed: 1, Blocks: blocks}, true)
	all := n.Cones(cones)
	var sigs []signed
	for _, c := range all {
		a.serve(c.Raws...)
		for i := range c.Milestone.Signatures {
			s := &c.Milestone.Signatures[i]
			sigs = append(sigs, signed{s.Key, c.Milestone.ID, s.Sig})
		}
		for _, raw := range c.Raws {
			sigs = append(sigs, unlockSignatures(b, raw)...)
		}
	}
	return a, all, sigs
}

type signed struct {
	key    [32]byte
	digest [32]byte
	sig    [64]byte
}

func unlockSignatures(b *testing.B, raw []byte) (out []signed) {
	block, err := stardust.ParseBlock(raw)
	if err != nil {
		b.Fatal(err)
	}
	if t, ok := block.Payload.(*stardust.Transaction); ok {
		for i := range t.Unlocks {
			if u := &t.Unlocks[i]; u.Type == stardust.UnlockSignature {
				out = append(out, signed{u.Key, t.Signing, u.Sig})
			}
		}
	}
	return out
}

func reportWork(b *testing.B, cones []*stardusttest.Cone, sigs int) {
	var blocks, size int
	for _, c := range cones {
		blocks += len(c.Raws)
		for _, raw := range c.Raws {
			size += len(raw)
		}
	}
	b.SetBytes(int64(size))
	b.ReportMetric(float64(size), "bytes")
	b.ReportMetric(float64(sigs), "signatures")
	b.ReportMetric(float64(blocks)*float64(b.N)/b.Elapsed().Seconds(), "blocks/s")
}

const benchCones, benchBlocks = 40, 100

// BenchmarkProveFloor is raw BLAKE2b of the blocks and raw Ed25519 of their signatures.
func BenchmarkProveFloor(b *testing.B) {
	_, cones, sigs := benchNetwork(b, benchCones, benchBlocks)
	b.ReportAllocs()
	for b.Loop() {
		var x byte
		for _, c := range cones {
			for _, raw := range c.Raws {
				h := blake2b.Sum256(raw)
				x ^= h[0]
			}
		}
		good := 0
		for i := range sigs {
			if ed25519consensus.Verify(sigs[i].key[:], sigs[i].digest[:], sigs[i].sig[:]) {
				good++
			}
		}
		if good == 0 {
			b.Fatal("no signature is good", x)
		}
	}
	reportWork(b, cones, len(sigs))
}

// BenchmarkProve proves the same cones: ids, walk, order, unlock signatures, ledger, roots.
func BenchmarkProve(b *testing.B) {
	a, cones, sigs := benchNetwork(b, benchCones, benchBlocks)
	b.ReportAllocs()
	for b.Loop() {
		fresh := newArchive(b, a.trust.Raw)
		fresh.state, fresh.held, fresh.start = cloneState(a.state), true, a.start
		for _, c := range cones {
			if err := proveWhole(fresh, c); err != nil {
				b.Fatal(err)
			}
		}
	}
	reportWork(b, cones, len(sigs))
}

func cloneState(m map[string][]byte) map[string][]byte {
	out := make(map[string][]byte, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// proveWhole proves a cone whose blocks lie in a cache by id, as a collector has them.
func proveWhole(a *archive, c *stardusttest.Cone) error {
	ctx := context.Background()
	ids := a.codec.Identify(c.Raws)
	cache := make(map[ledger.ID]int, len(ids))
	for i := range ids {
		cache[ids[i].ID] = i
	}
	as, err := a.codec.Begin(ctx, c.Head, a.startOf(0))
	if err != nil {
		return err
	}
	for {
		want, err := as.Want(ctx, 1000)
		if err != nil {
			return err
		}
		if len(want) == 0 {
			break
		}
		for _, id := range want {
			if err := as.Put(ids[cache[id]]); err != nil {
				return err
			}
		}
	}
	cone, err := a.seal(as)
	if err != nil {
		return err
	}
	for i := range cone.Records {
		a.placed[cone.Records[i].ID] = cone.Unit.Seq
	}
	for _, ch := range cone.Changes {
		a.state[string(ch.Key)] = ch.Val
	}
	u := cone.Unit
	a.prev = &u
	return nil
}
