package replay_test

import (
	"encoding/binary"
	"fmt"
	"hash"
	"slices"
	"testing"
	"testing/fstest"

	"golang.org/x/crypto/blake2b"

	"permanode/internal/replay"
	"permanode/ledger"
	"permanode/ledger/merkle"
)

type digest = [32]byte

func newBLAKE2b() hash.Hash {
	h, _ := blake2b.New256(nil)
	return h
}

// rawBlock is a block of no payload, as far as a walk reads it.
func rawBlock(nonce byte, parents ...digest) (raw []byte, id digest) {
	raw = append(raw, 2, byte(len(parents)))
	for _, p := range parents {
		raw = append(raw, p[:]...)
	}
	raw = append(raw, 0, 0, 0, 0, nonce, 0, 0, 0, 0, 0, 0, 0)
	return raw, blake2b.Sum256(raw)
}

// rawUnit is a milestone as far as a walk reads it, whose root is over cone.
func rawUnit(seq uint32, parent digest, cone ...digest) []byte {
	raw := binary.LittleEndian.AppendUint32([]byte{7, 0, 0, 0}, seq)
	raw = append(raw, make([]byte, 4+1+32)...)
	raw = append(append(raw, 1), parent[:]...)
	var ids []ledger.ID
	for _, id := range cone {
		ids = append(ids, ledger.NewID(id[:]))
	}
	return append(raw, merkle.Root(newBLAKE2b, ids)...)
}

func exchange(path string, raw []byte) string {
	return fmt.Sprintf(`{"method":"GET","path":%q,"accept":%q,"status":200,"contentType":%q,"bodyHex":"%x"}`+"\n", path, replay.Raw, replay.Raw, raw)
}

// A recording that begins in the middle: records before it are named as parents by later cones, and are not there, or are
// there as entry points of its snapshot. Neither makes a cone less whole.
func TestLastWholeConeInTheMiddle(t *testing.T) {
	early := digest{1}
	entryRaw, entry := rawBlock(9, digest{2})
	aRaw, a := rawBlock(1, early)
	bRaw, b := rawBlock(2, a, early)
	cRaw, c := rawBlock(3, b, entry)
	dRaw, d := rawBlock(4, c)
	eRaw, e := rawBlock(5, d)
	all := map[string][]byte{}
	for seq, u := range map[uint32][]byte{5: rawUnit(5, a, a), 6: rawUnit(6, b, b), 7: rawUnit(7, c, c), 8: rawUnit(8, e, d, e)} {
		all[fmt.Sprintf("/api/core/v2/milestones/by-index/%d", seq)] = u
	}
	for id, raw := range map[digest][]byte{a: aRaw, b: bRaw, c: cRaw, d: dRaw, e: eRaw, entry: entryRaw} {
		all[fmt.Sprintf("/api/core/v2/blocks/0x%x", id)] = raw
	}
	snapshot := make([]byte, 90)
	snapshot = append(snapshot, 3, 0, 1, 2, 3)                            // parameters of three bytes
	snapshot = append(snapshot, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0) // no outputs, no differences, one entry point
	snapshot = append(snapshot, entry[:]...)

	for _, v := range []struct {
		name    string
		missing digest
		want    uint64
	}{{"all there", digest{}, 8}, {"a record of the last cone is missing", d, 7}, {"the tip is missing", e, 7}} {
		var lines []string
		for path, raw := range all {
			if v.missing == (digest{}) || path != fmt.Sprintf("/api/core/v2/blocks/0x%x", v.missing) {
				lines = append(lines, exchange(path, raw))
			}
		}
		slices.Sort(lines)
		fsys := pack(t, lines, []byte(`{"protocolParameters":{}}`))
		fsys["genesis_snapshot.bin"] = &fstest.MapFile{Data: snapshot}
		if rec := open(t, fsys); rec.First != 5 || rec.Last != v.want {
			t.Errorf("%s: units %d to %d, want 5 to %d", v.name, rec.First, rec.Last, v.want)
		}
	}
}
