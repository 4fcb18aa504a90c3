package rebased_test

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/ledger/ledgertest"
	"permanode/ledger/rebased"
)

// chain seals checkpoints one by one, and keeps their state as a store would.
type chain struct {
	t     testing.TB
	trust ledger.Trust
	held  bool
	prev  *ledger.Unit
	state map[string][]byte
}

func newChain(t testing.TB, trust ledger.Trust, held bool) *chain {
	return &chain{t: t, trust: trust, held: held, state: map[string][]byte{}}
}

func (c *chain) start() ledger.Start {
	return ledger.Start{
		Trust: c.trust, Prev: c.prev, Held: c.held,
		Known: func(context.Context, []ledger.ID) ([]bool, error) { panic("this era asks for no records") },
		State: func(_ context.Context, keys [][]byte) ([][]byte, error) {
			out := make([][]byte, len(keys))
			for i, k := range keys {
				out[i] = c.state[string(k)]
			}
			return out, nil
		},
	}
}

// prove does what a collector does with one unit; nothing is kept.
func (c *chain) prove(head []byte, raws [][]byte) (*ledger.Cone, error) {
	return c.proveAt(c.start(), head, raws)
}

func (c *chain) proveAt(at ledger.Start, head []byte, raws [][]byte) (*ledger.Cone, error) {
	ctx, codec := context.Background(), rebased.Codec{}
	asm, err := codec.Begin(ctx, head, at)
	if err != nil {
		return nil, err
	}
	ids := codec.Identify(raws)
	slices.Reverse(ids) // order does not matter
	if err := asm.Put(ids...); err != nil {
		return nil, err
	}
	want, err := asm.Want(ctx, 1<<20)
	if err != nil {
		return nil, err
	}
	if len(want) > 0 {
		return nil, missingError(len(want))
	}
	p := codec.Prepare(asm.Members())
	view := ledger.View{}
	for _, k := range asm.StateKeys(p) {
		view[string(k)] = c.state[string(k)]
	}
	return asm.Seal(p, view, nil)
}

type missingError int

func (e missingError) Error() string { return strconv.Itoa(int(e)) + " records are missing" }

// seal proves a unit and keeps its state.
func (c *chain) seal(head []byte, raws [][]byte) *ledger.Cone {
	c.t.Helper()
	cone, err := c.prove(head, raws)
	if err != nil {
		c.t.Fatal(err)
	}
	c.keep(cone)
	return cone
}

func (c *chain) keep(cone *ledger.Cone) {
	for _, ch := range cone.Changes {
		if old, ok := c.state[string(ch.Key)]; ok || ch.Old != nil {
			c.t.Errorf("unit %d writes state %q again: %x after %x", cone.Unit.Seq, ch.Key, ch.Val, old)
		}
		c.state[string(ch.Key)] = ch.Val
	}
	c.prev = &cone.Unit
}

// folder is a chain of the vectors: checkpoint files and the committee beside them.
type folder struct {
	name  string
	trust ledger.Trust
	chks  [][]byte // ascending by number
}

func folders(t testing.TB) (out []folder) {
	t.Helper()
	for _, path := range ledgertest.Paths(t, "rebased/checkpoints/*/committee_epoch0.json") {
		f := folder{name: filepath.Base(filepath.Dir(path))}
		spec, err := rebased.ParseCommitteeFile(readFile(t, path))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := rebased.NewTrust(spec)
		if err != nil {
			t.Fatal(err)
		}
		if f.trust, err = (rebased.Codec{}).ParseTrust(raw); err != nil {
			t.Fatal(err)
		}
		names, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*.chk"))
		if err != nil {
			t.Fatal(err)
		}
		bySeq := map[int][]byte{}
		for _, name := range names {
			seq, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(name), ".chk"))
			if err != nil {
				t.Fatalf("%s is no checkpoint's name", name)
			}
			bySeq[seq] = readFile(t, name)
		}
		for _, seq := range slices.Sorted(maps.Keys(bySeq)) {
			f.chks = append(f.chks, bySeq[seq])
		}
		out = append(out, f)
	}
	return out
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// splitFile divides a checkpoint file.
func splitFile(t testing.TB, chk []byte) (head []byte, raws [][]byte) {
	t.Helper()
	head, raws, err := rebased.SplitCheckpoint(chk)
	if err != nil {
		t.Fatal(err)
	}
	return head, raws
}

// chainIndex is what an index.json says of a chain.
type chainIndex struct {
	Checkpoints []struct {
		Seq    json.Number `json:"sequence_number"`
		Digest string      `json:"digest"`
		Epoch  json.Number `json:"epoch"`
	} `json:"checkpoints"`
	Transactions []struct {
		Digest string      `json:"digest"`
		Seq    json.Number `json:"checkpoint"`
		Kind   string      `json:"kind"`
		Status string      `json:"status"`
	} `json:"transactions"`
}

// TestChainVector seals whole chains, with and without their ledger, and compares order, ids, kinds and states.
func TestChainVector(t *testing.T) {
	for _, f := range folders(t) {
		for _, held := range []bool{false, true} {
			c := newChain(t, f.trust, held)
			var cones []*ledger.Cone
			for _, chk := range f.chks {
				head, raws := splitFile(t, chk)
				cones = append(cones, c.seal(head, raws))
			}
			for _, path := range ledgertest.Paths(t, "rebased/checkpoints/"+f.name+"/index.json") {
				var index chainIndex
				if err := json.Unmarshal(readFile(t, path), &index); err != nil {
					t.Fatal(err)
				}
				compareChain(t, cones, &index)
			}
			c.reprove(cones)
		}
	}
}

func compareChain(t *testing.T, cones []*ledger.Cone, index *chainIndex) {
	t.Helper()
	codec := rebased.Codec{}
	for i, cp := range index.Checkpoints {
		u := cones[i].Unit
		if got := codec.FormatID(u.ID); got != cp.Digest || strconv.FormatUint(u.Seq, 10) != cp.Seq.String() {
			t.Errorf("checkpoint %d is %s, want %s %s", u.Seq, got, cp.Seq, cp.Digest)
		}
	}
	n := 0
	for _, c := range cones {
		for i := range c.Records {
			r, want := &c.Records[i], index.Transactions[n]
			n++
			state := "executed-" + strings.ToLower(want.Status)
			if got := codec.FormatID(r.ID); got != want.Digest || strconv.FormatUint(r.Ord.Seq, 10) != want.Seq.String() ||
				r.Ord.Pos != uint32(i) || codec.KindName(r.Kind) != want.Kind ||
				r.State.String() != state || r.Basis != ledger.ByRoot || r.Undecoded {
				t.Errorf("record %v %s %s %s, want %+v", r.Ord, got, codec.KindName(r.Kind), r.State, want)
			}
			if id, err := codec.ID(r); err != nil || id != r.ID {
				t.Errorf("record %v hashes to %v, %v", r.Ord, id, err)
			}
		}
	}
	if n != len(index.Transactions) {
		t.Errorf("%d records, want %d", n, len(index.Transactions))
	}
}

// reprove seals stored cones again from what is stored of them: the same must come out.
func (c *chain) reprove(cones []*ledger.Cone) {
	c.t.Helper()
	codec := rebased.Codec{}
	again := newChain(c.t, c.trust, c.held)
	for _, cone := range cones {
		raws := make([][]byte, len(cone.Records))
		for i := range cone.Records {
			raws[i] = codec.Raw(&cone.Records[i])
		}
		got := again.seal(codec.Head(cone.Unit), raws)
		if !reflect.DeepEqual(got, cone) {
			c.t.Errorf("unit %d is proven again as another cone\n got %+v\nwant %+v", cone.Unit.Seq, got, cone)
		}
	}
	if !reflect.DeepEqual(again.state, c.state) {
		c.t.Error("the state after a second proof is another one")
	}
}

// TestAttestVector: whole chains, and each part of them, are attested by few certificates, and sealed with them.
func TestAttestVector(t *testing.T) {
	for _, f := range folders(t) {
		c := newChain(t, f.trust, false)
		var heads [][]byte
		for _, chk := range f.chks {
			head, _ := splitFile(t, chk)
			heads = append(heads, head)
		}
		for i, chk := range f.chks {
			at := c.start()
			list, err := rebased.Codec{}.Attest(context.Background(), heads[i:], at)
			if err != nil {
				t.Fatal(err)
			}
			at.Attested = list[0]
			head, raws := splitFile(t, chk)
			cone, err := c.proveAt(at, head, raws)
			if err != nil {
				t.Fatal(err)
			}
			own := list[0].By == cone.Unit.ID
			if list[0].Unit != cone.Unit.ID || own != cone.Unit.AttestedBy.IsZero() || !own && cone.Unit.AttestedBy != list[0].By {
				t.Errorf("unit at %d is attested by %s, the attestation is %+v", i, cone.Unit.AttestedBy, list[0])
			}
			c.keep(cone)
		}
	}
}
