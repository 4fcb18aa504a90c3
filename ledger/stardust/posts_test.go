package stardust_test

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/hdevalence/ed25519consensus"

	"permanode/ledger"
	"permanode/ledger/stardust"
	"permanode/ledger/stardust/stardusttest"
)

// sums adds up what postings say about owners.
type sums map[ledger.Key]ledger.Amount

func (s sums) add(k ledger.Key, a ledger.Amount) {
	if sum := s[k].Add(a); sum.Sign() != 0 {
		s[k] = sum
	} else {
		delete(s, k)
	}
}

func (s sums) posts(list []ledger.Posting) {
	for _, p := range list {
		s.add(p.Key, p.Value)
	}
}

// checkPosts checks what holds of every list of postings.
func checkPosts(t *testing.T, list []ledger.Posting) {
	t.Helper()
	for i, p := range list {
		if p.Role == 0 {
			t.Errorf("posting %v without a role", p.Key)
		}
		if i > 0 {
			q := list[i-1].Key
			if q.Kind > p.Key.Kind || q.Kind == p.Key.Kind && q.Val >= p.Key.Val {
				t.Errorf("postings %v and %v are not in order, or twice", q, p.Key)
			}
		}
		if p.Value.Sign() != 0 && p.Key.Kind != ledger.KeyAddress && p.Key.Kind != ledger.KeyToken {
			t.Errorf("posting %v has a value", p.Key)
		}
	}
}

// balances compares the ledger at a unit's end with its beginning and all postings since.
func balances(t *testing.T, a *archive, since uint64) {
	t.Helper()
	posts := sums{}
	for k, v := range stardust.Balances(a.state, since) {
		posts.add(k, v)
	}
	for _, c := range a.cones {
		for i := range c.Records {
			checkPosts(t, c.Records[i].Posts)
			posts.posts(c.Records[i].Posts)
		}
		checkPosts(t, c.Posts)
		posts.posts(c.Posts)
		want := stardust.Balances(a.state, c.Unit.Seq)
		if len(posts) != len(want) {
			t.Fatalf("unit %d: postings give %d balances, the ledger %d", c.Unit.Seq, len(posts), len(want))
		}
		for k, v := range want {
			if !posts[k].Equal(v) {
				t.Fatalf("unit %d: postings give %s for %x, the ledger holds %s", c.Unit.Seq, posts[k], k.Val, v)
			}
		}
	}
}

// TestBalances: at every unit of a ledger the values of all postings so far are the balances, of coins
// and of tokens; so are all moves.
func TestBalances(t *testing.T) {
	for _, name := range recordings {
		r := readRecording(t, name)
		a := r.archive(t)
		if err := a.open(bytes.NewReader(r.snapshot)); err != nil {
			t.Fatal(err)
		}
		for _, m := range r.truth[:min(len(r.truth), 40)] {
			if _, err := a.add(r.heads[m.Milestone]); err != nil {
				t.Fatal(err)
			}
		}
		balances(t, a, 0)
	}
	n, a := openNetwork(t, stardusttest.Options{Seed: 21, Blocks: 40}, true)
	for range 20 {
		c := n.Next()
		a.serve(c.Raws...)
		if _, err := a.add(c.Head); err != nil {
			t.Fatal(err)
		}
	}
	balances(t, a, 0)
}

// TestNoValuesByClaims: where no ledger is held nobody knows who owned what.
func TestNoValuesByClaims(t *testing.T) {
	n, a := openNetwork(t, stardusttest.Options{Seed: 22, Blocks: 30, Receipts: 2}, false)
	for range 4 {
		want := n.Next()
		a.serve(want.Raws...)
		a.claims = func(uint64, []ledger.ID) *ledger.NodeClaims { return want.Claims() }
		c, err := a.add(want.Head)
		if err != nil {
			t.Fatal(err)
		}
		lists := [][]ledger.Posting{c.Posts}
		for i := range c.Records {
			lists = append(lists, c.Records[i].Posts)
			if c.Records[i].Moves != nil {
				t.Errorf("record %s moves something", c.Records[i].ID)
			}
			checkRecord(t, &c.Records[i])
		}
		if c.Moves != nil || (want.Milestone.Receipt != nil) != (len(c.Posts) > 0) {
			t.Errorf("unit %d: %d moves, %d postings of the receipt", c.Unit.Seq, len(c.Moves), len(c.Posts))
		}
		for _, list := range lists {
			checkPosts(t, list)
			for _, p := range list {
				if p.Value.Sign() != 0 {
					t.Errorf("unit %d: %v has the value %s", c.Unit.Seq, p.Key, p.Value)
				}
			}
		}
	}
}

// roles returns how a record stands to its keys of one kind.
func roles(r *ledger.Record, kind ledger.KeyKind) map[string]ledger.Role {
	out := map[string]ledger.Role{}
	for _, p := range r.Posts {
		if p.Key.Kind == kind {
			out[p.Key.Val] = p.Role
		}
	}
	return out
}

// TestPostings looks at the postings of every block of a network beside what the block itself says.
func TestPostings(t *testing.T) {
	n, a := openNetwork(t, stardusttest.Options{Seed: 23, Blocks: 80}, true)
	payloads := 0
	for range 12 {
		made := n.Next()
		a.serve(made.Raws...)
		c, err := a.add(made.Head)
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.Records {
			payloads += checkRecord(t, &c.Records[i])
		}
	}
	if payloads == 0 {
		t.Error("no payload has a key")
	}
}

func checkRecord(t *testing.T, r *ledger.Record) (payloads int) {
	t.Helper()
	b, err := stardust.ParseBlock(r.Parts[0].Raw)
	if err != nil {
		t.Fatal(err)
	}
	if len(roles(r, ledger.KeyRecord)) != 1 || roles(r, ledger.KeyRecord)[r.ID.Key()] == 0 {
		t.Errorf("record %s has no posting of its own", r.ID)
	}
	parents := roles(r, ledger.KeyParent)
	for _, p := range b.Parents {
		if parents[string(p[:])] == 0 {
			t.Errorf("record %s: parent %x is missing", r.ID, p)
		}
	}
	if len(parents) != len(b.Parents) {
		t.Errorf("record %s: %d parents, want %d", r.ID, len(parents), len(b.Parents))
	}
	note, _ := b.Payload.(*stardust.TaggedData)
	tx, isTx := b.Payload.(*stardust.Transaction)
	if isTx {
		note = tx.Payload
		checkTransaction(t, r, tx)
	}
	if note != nil && roles(r, ledger.KeyTag)[string(note.Tag)] == 0 {
		t.Errorf("record %s: tag %q is missing", r.ID, note.Tag)
	}
	return checkPayloads(t, r)
}

// checkPayloads compares the payloads that facts name, each of which has its hash as a key, with the keys.
func checkPayloads(t *testing.T, r *ledger.Record) int {
	t.Helper()
	f, err := stardust.Codec{}.Facts(r, testTrust(t))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]ledger.Role{}
	for _, p := range f.Payloads {
		if sum := sha256.Sum256(r.Parts[0].Raw[p.Off : p.Off+p.Len]); p.Len > 0 {
			want[string(sum[:])] = ledger.RoleMention
		}
	}
	if got := roles(r, ledger.KeyPayload); !maps.Equal(got, want) {
		t.Errorf("record %s: payload keys %x, facts name %x", r.ID, got, want)
	}
	return len(want)
}

func checkTransaction(t *testing.T, r *ledger.Record, tx *stardust.Transaction) {
	t.Helper()
	if len(roles(r, ledger.KeyTransaction)) != 1 || roles(r, ledger.KeyTransaction)[string(tx.ID[:])] == 0 {
		t.Errorf("record %s: its transaction is missing", r.ID)
	}
	outputs, addresses := roles(r, ledger.KeyOutput), roles(r, ledger.KeyAddress)
	spend, receive := ledger.RoleMention, ledger.RoleMention
	if r.State == ledger.Applied {
		spend, receive = ledger.RoleSpend, ledger.RoleReceive
	} else if r.Moves != nil {
		t.Errorf("record %s moves something and is %s", r.ID, r.State)
	}
	for _, in := range tx.Inputs {
		if outputs[string(in[:])] != spend {
			t.Errorf("record %s: input %x has role %d", r.ID, in, outputs[string(in[:])])
		}
	}
	objects := roles(r, ledger.KeyObject)
	for i := range tx.Outputs {
		o := &tx.Outputs[i]
		id := string(tx.ID[:]) + string([]byte{byte(i), 0})
		if outputs[id] != receive {
			t.Errorf("record %s: output %d has role %d", r.ID, i, outputs[id])
		}
		owner := o.Conditions[0].Address
		if addresses[string(owner[:])]&receive == 0 {
			t.Errorf("record %s: owner of output %d is missing", r.ID, i)
		}
		for _, c := range o.Conditions {
			returns := c.Type == stardust.ConditionStorageReturn || c.Type == stardust.ConditionExpiration
			if c.Type != stardust.ConditionTimelock && addresses[string(c.Address[:])]&ledger.RoleMention == 0 ||
				returns && addresses[string(c.Address[:])]&ledger.RoleReturn == 0 {
				t.Errorf("record %s: address of condition %d is missing", r.ID, c.Type)
			}
		}
		for _, f := range slices.Concat(o.Features, o.Immutable) {
			switch f.Type {
			case stardust.FeatureTag:
				if roles(r, ledger.KeyTag)[string(f.Data)] == 0 {
					t.Errorf("record %s: tag %q of output %d is missing", r.ID, f.Data, i)
				}
			case stardust.FeatureSender, stardust.FeatureIssuer:
				if addresses[string(f.Address[:])]&ledger.RoleMention == 0 {
					t.Errorf("record %s: address of feature %d is missing", r.ID, f.Type)
				}
			}
		}
		if key := objectKey(o, id); key != "" && objects[key] == 0 {
			t.Errorf("record %s: object %x is missing among %x", r.ID, key, objects)
		}
	}
	for _, u := range tx.Unlocks {
		h := stardust.H(u.Key[:])
		role := addresses["\x00"+string(h[:])]
		if u.Type == stardust.UnlockSignature && r.State == ledger.Applied && role&(ledger.RoleSign|ledger.RoleSpend) != ledger.RoleSign|ledger.RoleSpend {
			t.Errorf("record %s: the signer has role %d", r.ID, role)
		}
	}
	if len(tx.Unlocks) == 1 && r.Reason == uint16(stardust.ConflictSignature) && r.Basis == ledger.ByRoot {
		h := stardust.H(tx.Unlocks[0].Key[:])
		want := ed25519consensus.Verify(tx.Unlocks[0].Key[:], tx.Signing[:], tx.Unlocks[0].Sig[:])
		if got := addresses["\x00"+string(h[:])]&ledger.RoleSign != 0; got != want {
			t.Errorf("record %s: signed: %t, want %t", r.ID, got, want)
		}
	}
}

// objectKey is the key of an output's chain, "" if it has none.
func objectKey(o *stardust.Output, id string) string {
	chain := string(o.ChainID[:])
	if o.ChainID == (stardust.Hash{}) {
		h := stardust.H([]byte(id))
		chain = string(h[:])
	}
	switch o.Type {
	case stardust.OutputAlias:
		return "\x08" + chain
	case stardust.OutputNFT:
		return "\x10" + chain
	case stardust.OutputFoundry:
		f := o.Foundry()
		return string(f[:])
	}
	return ""
}

// TestHugeCone: a chain of a great many blocks, each naming eight, is walked without a deep stack, and
// in memory that is a small multiple of its bytes.
func TestHugeCone(t *testing.T) {
	count := 100_000
	if testing.Short() {
		count = 10_000
	}
	n, a := openNetwork(t, stardusttest.Options{Seed: 24, Blocks: 3}, true)
	c := n.Next()
	a.serve(c.Raws...)
	if _, err := a.add(c.Head); err != nil {
		t.Fatal(err)
	}
	huge := n.Huge(count)
	size := 0
	for _, raw := range huge.Raws {
		size += len(raw)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	if err := proveWhole(a, huge); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if made := after.TotalAlloc - before.TotalAlloc; made > 30*uint64(size) {
		t.Errorf("a cone of %d bytes took %d bytes", size, made)
	}
	if got := len(a.placed); got != len(c.Raws)+len(huge.Raws) {
		t.Errorf("%d records", got)
	}
}

// TestAcceptedParameters: a block may be made by parameters that were in force when it could be.
func TestAcceptedParameters(t *testing.T) {
	from := []uint32{0, 100, 110, 500}
	for seq, want := range map[uint32][]uint32{
		1: {0}, 99: {0}, 100: {1, 0}, 109: {1, 0}, 110: {2, 1, 0}, 114: {2, 1, 0}, 115: {2, 1}, 124: {2, 1}, 125: {2}, 499: {2}, 500: {3, 2},
	} {
		if got := stardust.Accepted(from, 15, seq); !slices.Equal(got, want) {
			t.Errorf("at %d: %v, want %v", seq, got, want)
		}
	}
}

// TestStrictBlocksInCones: a block that breaks the rules of the parameters in force is refused, even if
// a key holder signed it in, and so is one that does not parse.
func TestStrictBlocksInCones(t *testing.T) {
	for name, block := range map[string]*stardust.Block{
		"protocol version": {Version: 3, Parents: []stardust.Hash{{}}},
		"network id": {Version: 2, Parents: []stardust.Hash{{}}, Payload: &stardust.Transaction{
			NetworkID: 1, Inputs: []stardust.OutputID{{1}}, Unlocks: []stardust.Unlock{{}},
			Outputs: []stardust.Output{basicOut(1e9, ed('A'))},
		}},
		"unlock count": {Version: 2, Parents: []stardust.Hash{{}}, Payload: &stardust.Transaction{
			Inputs: []stardust.OutputID{{1}}, Outputs: []stardust.Output{basicOut(1e9, ed('A'))},
		}},
	} {
		n, a := openNetwork(t, stardusttest.Options{Seed: 25}, true)
		raw := stardust.AppendBlock(nil, block)
		id := stardust.H(raw)
		m := *n.Next().Milestone
		m.Parents = []stardust.Hash{id}
		m.Inclusion, m.Applied = stardust.InclusionRoot([]ledger.ID{ledger.NewID(id[:])}), stardust.InclusionRoot(nil)
		a.serve(raw)
		_, err := a.add(n.Sign(&m))
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
