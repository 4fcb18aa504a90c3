package stardust

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/ledger/ledgertest"
	"permanode/ledger/merkle"
)

// proofNode is a proof of inclusion as inx-poi writes it: an inner node has a left and mostly a right
// part, a leaf a hash or a value (spec section 10).
type proofNode struct {
	L     *proofNode `json:"l,omitempty"`
	R     *proofNode `json:"r,omitempty"`
	Hash  *hexBytes  `json:"h,omitempty"`
	Value *hexBytes  `json:"value,omitempty"`
}

// root returns the hash to which the nodes lead; values collects the ids that they hold.
func (n *proofNode) root(values *[]Hash) (Hash, error) {
	switch {
	case n.Hash != nil && n.L == nil && n.R == nil && n.Value == nil && len(*n.Hash) == 32:
		return Hash(*n.Hash), nil
	case n.Value != nil && n.L == nil && n.R == nil && n.Hash == nil && len(*n.Value) == 32:
		*values = append(*values, Hash(*n.Value))
		return H(append([]byte{0}, *n.Value...)), nil
	case n.L == nil || n.Hash != nil || n.Value != nil:
		return Hash{}, errors.New("malformed node")
	}
	l, err := n.L.root(values)
	if err != nil || n.R == nil {
		return l, err
	}
	r, err := n.R.root(values)
	return H(append(append([]byte{1}, l[:]...), r[:]...)), err
}

type proofRequest struct {
	Milestone json.RawMessage `json:"milestone"`
	Block     json.RawMessage `json:"block"`
	Proof     *proofNode      `json:"proof"`
}

// verify judges a proof for one of the two roots, by trusted keys.
func (q *proofRequest) verify(root string, rules *Rules) error {
	b, err := blockFromJSON(q.Block)
	if err != nil {
		return err
	}
	m, err := milestoneFromJSON(q.Milestone)
	if err != nil {
		return err
	}
	var values []Hash
	top, err := q.Proof.root(&values)
	if err != nil {
		return err
	}
	want := map[string]Hash{"inclusionMerkleRoot": m.Inclusion, "appliedMerkleRoot": m.Applied}[root]
	if id := H(AppendBlock(nil, b)); !slices.Contains(values, id) {
		return fmt.Errorf("block %x is no value of the proof", id)
	}
	if top != want {
		return fmt.Errorf("the path leads to %x, not to %x", top, want)
	}
	slices.SortFunc(m.Signatures, func(a, b Signature) int { return slices.Compare(a.Key[:], b.Key[:]) })
	return rules.attest(m, func(code, format string, args ...any) error {
		return &ledger.Forged{Seq: uint64(m.Index), Code: code, Why: fmt.Sprintf(format, args...)}
	})
}

// hashes returns the bytes of every node, to tamper with.
func (n *proofNode) hashes(dst []*hexBytes) []*hexBytes {
	switch {
	case n == nil:
		return dst
	case n.Hash != nil:
		return append(dst, n.Hash)
	case n.Value != nil:
		return append(dst, n.Value)
	}
	return n.R.hashes(n.L.hashes(dst))
}

// judge demands the verdict, and that no hash of a good proof can be changed.
func (q *proofRequest) judge(t *testing.T, name, root string, rules *Rules, valid bool) {
	t.Helper()
	err := q.verify(root, rules)
	if (err == nil) != valid {
		t.Errorf("%s: verdict %v, want valid = %v", name, err, valid)
	}
	if err != nil {
		return
	}
	for i, h := range q.Proof.hashes(nil) {
		(*h)[i%32] ^= 1 << (i % 8)
		if q.verify(root, rules) == nil {
			t.Errorf("%s: valid with hash %d changed", name, i)
		}
		(*h)[i%32] ^= 1 << (i % 8)
	}
	m, err := milestoneFromJSON(q.Milestone)
	if err != nil {
		t.Fatal(err)
	}
	late := proofRequest{Block: q.Block, Proof: q.Proof}
	m.Timestamp++
	late.Milestone = PayloadJSON(m)
	if late.verify(root, rules) == nil {
		t.Errorf("%s: valid with another timestamp", name)
	}
	m.Timestamp--
	m.Signatures = m.Signatures[:rules.KeyCount-1]
	late.Milestone = PayloadJSON(m)
	if late.verify(root, rules) == nil {
		t.Errorf("%s: valid with %d of %d signatures", name, len(m.Signatures), rules.KeyCount)
	}
}

// keysOf builds rules from keys that apply to all milestones.
func keysOf(count int, keys ...string) *Rules {
	r := &Rules{KeyCount: count}
	for _, k := range keys {
		b, _ := hex.DecodeString(strings.TrimPrefix(k, "0x"))
		r.Keys = append(r.Keys, KeyRange{Key: [32]byte(b)})
	}
	return r
}

var keyPattern = regexp.MustCompile(`0x[0-9a-f]{64}`)

func TestProofVector(t *testing.T) {
	type vector struct {
		Name    string       `json:"name"`
		Root    string       `json:"root"`
		Network string       `json:"network"`
		ID      hexa         `json:"blockId"`
		Valid   bool         `json:"valid"`
		Request proofRequest `json:"request"`
	}
	rules := knownRules(t)
	for _, v := range ledgertest.Load[vector](t, "stardust/poi*.json", "vectors") {
		r := rules[v.Network]
		if r == nil { // the text names the keys, all of which are needed
			keys := keyPattern.FindAllString(v.Network, -1)
			r = keysOf(len(keys), keys...)
		}
		v.Request.judge(t, v.Name, v.Root, r, v.Valid)
	}
}

func TestProofShimmerVector(t *testing.T) {
	type vector struct {
		Endpoint string       `json:"endpoint"`
		Response proofRequest `json:"response"`
		Validate struct{ Valid bool }
	}
	rules := knownRules(t)["shimmer"]
	for _, v := range ledgertest.Load[vector](t, "stardust-shimmer/poi-proofs-*.json", "") {
		root := "inclusionMerkleRoot"
		if strings.Contains(v.Endpoint, "/applied-block/") {
			root = "appliedMerkleRoot"
		}
		v.Response.judge(t, v.Endpoint, root, rules, v.Validate.Valid)
	}
}

// The example's keys stand in no other file: its signatures are judged by their own.
func TestProofExampleVector(t *testing.T) {
	type file struct {
		ID       hexa         `json:"milestoneId"`
		BlockID  hexa         `json:"blockId"`
		Raw      hexa         `json:"blockRaw"`
		Request  proofRequest `json:"request"`
		Validate struct{ Valid bool }
		Answer   struct{ Valid bool } `json:"validateResponse"`
	}
	for _, f := range ledgertest.Files[file](t, "stardust-shimmer/poi-example-*.json") {
		checkRaw(t, f.Name, f.Data.Raw, f.Data.BlockID, f.Data.Request.Block)
		m, err := milestoneFromJSON(f.Data.Request.Milestone)
		if err != nil || !slices.Equal(m.ID[:], f.Data.ID) {
			t.Fatalf("%s: milestone %x (%v), want %s", f.Name, m.ID, err, f.Data.ID)
		}
		rules := &Rules{KeyCount: len(m.Signatures)}
		for _, s := range m.Signatures {
			rules.Keys = append(rules.Keys, KeyRange{Key: s.Key})
		}
		f.Data.Request.judge(t, f.Name, "inclusionMerkleRoot", rules, f.Data.Answer.Valid)
	}
}

func TestProofsOfRecording(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(ledgertest.Recording(t, "stardust"), "network.json"))
	if err != nil {
		t.Fatal(err)
	}
	var network struct {
		Count int `json:"milestonePublicKeyCount"`
		Keys  []struct {
			Key        string
			Start, End uint64
		} `json:"publicKeyRanges"`
	}
	if err := json.Unmarshal(raw, &network); err != nil {
		t.Fatal(err)
	}
	rules := &Rules{KeyCount: network.Count}
	for _, k := range network.Keys {
		rules.Keys = append(rules.Keys, KeyRange{keysOf(0, k.Key).Keys[0].Key, k.Start, k.End})
	}
	proofs := 0
	for _, x := range recorded(t, "stardust") {
		if !strings.HasPrefix(x.Path, "/api/poi/v1/create/") || x.Status != 200 {
			continue
		}
		var q proofRequest
		if err := json.Unmarshal([]byte(x.Body), &q); err != nil {
			t.Fatal(err)
		}
		q.judge(t, x.Path, "inclusionMerkleRoot", rules, true)
		proofs++
	}
	if proofs == 0 {
		t.Error("the recording holds no proofs")
	}
}

// TestMerkleVector: roots and paths over plain ids.
func TestMerkleVector(t *testing.T) {
	type vector struct {
		Name  string       `json:"name"`
		IDs   []hexa       `json:"ids"`
		Root  hexa         `json:"root"`
		Paths []*proofNode `json:"paths"`
	}
	for _, v := range ledgertest.Load[vector](t, "chrysalis/merkle*.json", "vectors") {
		ids := make([]ledger.ID, len(v.IDs))
		for i, id := range v.IDs {
			ids[i] = ledger.NewID(id)
		}
		if root := InclusionRoot(ids); !slices.Equal(root[:], v.Root) {
			t.Errorf("%s: root %x, want %s", v.Name, root, v.Root)
		}
		for i := range ids {
			if root := merkle.Walk(newBLAKE2b, ids[i], merkle.Path(newBLAKE2b, ids, i)); !slices.Equal(root, v.Root) {
				t.Errorf("%s: the path of id %d leads to %x", v.Name, i, root)
			}
		}
		for i, p := range v.Paths {
			var values []Hash
			if root, err := p.root(&values); err != nil || !slices.Equal(root[:], v.Root) || len(values) == 0 {
				t.Errorf("%s: path %d leads to %x (%v)", v.Name, i, root, err)
			}
		}
	}
}

// TestEd25519Vector: signatures by the rules of ZIP-215, alone and in a batch with good ones.
func TestEd25519Vector(t *testing.T) {
	type vector struct {
		Key     hexa `json:"publicKey"`
		Message hexa `json:"message"`
		Sig     hexa `json:"signature"`
		Address hexa `json:"address"`
		Valid   bool `json:"signatureValid"`
		OfKey   bool `json:"addressOfKey"`
	}
	all := ledgertest.Load[vector](t, "chrysalis/ed25519*.json", "vectors")
	alone, batch := make([]bool, len(all)), make([]bool, len(all))
	var todo []signature
	for i, v := range all {
		verify([]signature{{v.Key, v.Message, v.Sig, &alone[i]}})
		todo = append(todo, signature{v.Key, v.Message, v.Sig, &batch[i]})
	}
	verify(todo)
	for i, v := range all {
		if alone[i] != v.Valid || batch[i] != v.Valid {
			t.Errorf("signature %d: %v alone, %v in a batch, want %v", i, alone[i], batch[i], v.Valid)
		}
		if h := H(v.Key); slices.Equal(append([]byte{AddressEd25519}, h[:]...), v.Address) != v.OfKey {
			t.Errorf("key %d: address of the key is %x, the vector has %s (%v)", i, h, v.Address, v.OfKey)
		}
	}
}
