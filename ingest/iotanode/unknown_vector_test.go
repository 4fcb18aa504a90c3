package iotanode

import (
	"path/filepath"
	"testing"

	"permanode/internal/replay/iotareplay"
	"permanode/ledger"
	"permanode/ledger/ledgertest"
	"permanode/ledger/rebased"
)

// A transaction of a form that this version cannot read comes to the same bytes from a file, where its digest says
// where it ends, and from a node, which frames it.
func TestUnknownSameFromEverywhereVector(t *testing.T) {
	type variant struct {
		Type string `json:"type"`
		BCS  []byte `json:"bcs_b64"`
	}
	chain, tried := miniChain(t), 0
	for _, v := range ledgertest.Load[variant](t, "rebased/unknown_variants.json", "vectors") {
		if v.Type != "TransactionData" {
			continue
		}
		tried++
		chk := withTransaction(t, chain.File(chain.Last()), v.BCS)
		altered, err := iotareplay.New([][]byte{chk}, nil)
		if err != nil {
			t.Fatal(err)
		}
		node, dir := iotareplay.NewNode(altered), t.TempDir()
		writeFile(t, filepath.Join(dir, checkpointPath(chain.Last())), chk)
		d, err := OpenDir(Config{Address: dir})
		if err != nil {
			t.Fatal(err)
		}
		wantCone(t, d, altered, altered.Last())
		wantCone(t, serveGRPC(t, node, Config{}), altered, altered.Last())
	}
	if tried == 0 {
		t.Error("no transaction of an unknown form")
	}
}

// withTransaction puts other TransactionData into a checkpoint, as its first transaction. The contents are those of
// the summary; nobody signed it.
func withTransaction(t *testing.T, chk, data []byte) []byte {
	t.Helper()
	c, err := splitFile(chk)
	if err != nil {
		t.Fatal(err)
	}
	certified, contents, _, err := rebased.ParseHead(c.head)
	if err != nil {
		t.Fatal(err)
	}
	contents.Transactions[0].Transaction = rebased.TransactionDigest(data)
	list := rebased.AppendContents(nil, contents)
	certified.Summary.Content = rebased.ContentsDigest(list)
	head := append(append(rebased.AppendSummary(nil, &certified.Summary), certified.Auth...), list...)
	parts, err := rebased.ParseRaw(c.raws[0])
	if err != nil {
		t.Fatal(err)
	}
	signed, err := rebased.ParseSenderSigned(parts[0].Raw)
	if err != nil {
		t.Fatal(err)
	}
	parts[0] = ledger.Part{Kind: ledger.PartObject, Raw: rebased.AppendSenderSigned(nil, data, signed.Signatures)}
	raws := append([][]byte{rebased.AppendRaw(nil, parts)}, c.raws[1:]...)
	out, err := rebased.JoinCheckpoint(head, raws)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
