package iotanode

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"permanode/internal/replay/iotareplay"
	"permanode/ledger"
	"permanode/ledger/ledgertest"
	"permanode/ledger/rebased"
)

// trustVector is the trust file of the constructed network.
func trustVector(t *testing.T) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "testdata", "proof-vectors", "rebased", "trust.json"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// A folder, and a node on either API, come to the trust file of the vectors, byte for byte, and say what they
// checked.
func TestTrustVector(t *testing.T) {
	want := trustVector(t)
	if os.Getenv("PERMANODE_VECTORS") != "" { // another chain: what its committee file gives
		want = committeeVector(t)
	}
	chain := miniChain(t)
	node := iotareplay.NewNode(chain)
	ctx := context.Background()
	d, err := OpenDir(Config{Address: vectorDir(t, "rebased/checkpoints/*/committee_epoch0.json")})
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewREST(Config{Address: serve(t, both(node))})
	closing(t, r, err)
	for name, from := range map[string]func(context.Context) ([]byte, []string, error){
		"folder": d.Trust, "gRPC": serveGRPC(t, node, Config{}).Trust, "REST": r.Trust,
	} {
		raw, lines, err := from(ctx)
		if err != nil || !bytes.Equal(raw, want) {
			t.Errorf("%s: %v\n got %s\nwant %s", name, err, raw, want)
		}
		if text := strings.Join(lines, "\n"); !strings.Contains(text, "checked: this committee certified checkpoint 0") || strings.Contains(text, "not checked") {
			t.Errorf("%s says %s", name, text)
		}
	}
}

// What could not be checked is said, and what was checked and is not so is an error.
func TestTrustUncheckedVector(t *testing.T) {
	chain := miniChain(t)
	dir := vectorDir(t, "rebased/checkpoints/*/committee_epoch0.json")
	ctx := context.Background()
	alone := t.TempDir()
	raw, err := os.ReadFile(filepath.Join(dir, committeeFile))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(alone, committeeFile), raw)
	d, err := OpenDir(Config{Address: alone})
	if err != nil {
		t.Fatal(err)
	}
	_, lines, err := d.Trust(ctx)
	if err != nil || !strings.Contains(strings.Join(lines, "\n"), "not checked") {
		t.Errorf("a folder without checkpoint 0: %q, %v", lines, err)
	}
	writeFile(t, filepath.Join(alone, "0.chk"), chain.File(chain.Last()))
	if _, _, err := d.Trust(ctx); err == nil {
		t.Error("another checkpoint passes for number 0")
	}
	flipped := bytes.Clone(chain.File(0))
	flipped[16]++ // network_total_transactions
	writeFile(t, filepath.Join(alone, "0.chk"), flipped)
	if _, _, err := d.Trust(ctx); err == nil || !strings.Contains(err.Error(), "digest") {
		t.Errorf("an altered checkpoint 0: %v", err)
	}
	// A node of this network that names another committee.
	other := bytes.Clone(raw)
	spec, err := rebased.ParseCommitteeFile(other)
	if err != nil {
		t.Fatal(err)
	}
	var chks [][]byte
	for seq := chain.First(); seq <= chain.Last(); seq++ {
		chks = append(chks, chain.File(seq))
	}
	liar, err := iotareplay.New(chks, chain.Committee(1))
	if err != nil {
		t.Fatal(err)
	}
	node := iotareplay.NewNode(liar)
	r, err := NewREST(Config{Address: serve(t, both(node))})
	closing(t, r, err)
	for name, from := range map[string]func(context.Context) ([]byte, []string, error){
		"gRPC": serveGRPC(t, node, Config{}).Trust, "REST": r.Trust,
	} {
		if _, _, err := from(ctx); err == nil || !strings.Contains(err.Error(), "did not certify") {
			t.Errorf("%s with the committee of epoch 1: %v", name, err)
		}
	}
	// A node that has pruned checkpoint 0 can only be believed or not.
	honest, err := iotareplay.New(chks, spec.Members)
	if err != nil {
		t.Fatal(err)
	}
	pruned := iotareplay.NewNode(honest)
	pruned.SetLowest(chain.Last())
	rest, err := NewREST(Config{Address: serve(t, both(pruned))})
	closing(t, rest, err)
	for name, from := range map[string]func(context.Context) ([]byte, []string, error){
		"gRPC": serveGRPC(t, pruned, Config{}).Trust, "REST": rest.Trust,
	} {
		if _, lines, err := from(ctx); err != nil || !strings.Contains(strings.Join(lines, "\n"), "not checked") {
			t.Errorf("%s, pruned: %q, %v", name, lines, err)
		}
	}
}

// A folder without a committee file is told what is missing: the constructed system state has no known form.
func TestTrustWithoutCommitteeVector(t *testing.T) {
	chain := miniChain(t)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "0.chk"), chain.File(0))
	for _, path := range []string{dir, filepath.Join(dir, "0.chk")} {
		d, err := OpenDir(Config{Address: path})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := d.Trust(context.Background()); err == nil || !strings.Contains(err.Error(), committeeFile) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// The system state of a real genesis gives a committee that can be one.
func TestGenesisCommitteeVector(t *testing.T) {
	for _, path := range ledgertest.Paths(t, "rebased/transactions_genesis_*.bcs") {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := rebased.ParseTransactionData(raw)
		if err != nil {
			t.Fatal(err)
		}
		genesis, ok := data.Kind.(*rebased.Genesis)
		if !ok {
			t.Fatalf("%s is a %T", path, data.Kind)
		}
		parts := []ledger.Part{{Kind: ledger.PartObject, Raw: raw}, {Kind: ledger.PartEffects}}
		for _, o := range genesis.Objects {
			object := rebased.Object{Data: o.Data, Owner: o.Owner}
			parts = append(parts, ledger.Part{Kind: ledger.PartOutput, Raw: rebased.AppendObject(nil, &object)})
		}
		members, err := genesisCommittee([][]byte{rebased.AppendRaw(nil, parts)})
		if err != nil {
			t.Fatal(err)
		}
		var total uint64
		for _, m := range members {
			total += m.Power
		}
		if total != 10_000 || len(members) == 0 {
			t.Errorf("%d members with the power %d", len(members), total)
		}
		// NewTrust orders them and checks that every key is a point of the subgroup.
		if _, err := rebased.NewTrust(rebased.TrustSpec{Members: members}); err != nil {
			t.Error(err)
		}
	}
}

// committeeVector makes a trust file of the committee file alone.
func committeeVector(t *testing.T) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(vectorDir(t, "rebased/checkpoints/*/committee_epoch0.json"), committeeFile))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := rebased.ParseCommitteeFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err = rebased.NewTrust(spec); err != nil {
		t.Fatal(err)
	}
	return raw
}
