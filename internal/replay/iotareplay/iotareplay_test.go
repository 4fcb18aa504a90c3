package iotareplay

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"permanode/internal/wire/iota"
	"permanode/ledger/ledgertest"
	"permanode/ledger/rebased"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T) *Chain {
	t.Helper()
	c, err := Open(os.DirFS(filepath.Dir(ledgertest.Paths(t, "rebased/checkpoints/*/committee_epoch0.json")[0])))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The messages of a checkpoint are those of the vectors, which another program made, byte for byte; and what they
// say, joined, is the checkpoint's file.
func TestMessagesVector(t *testing.T) {
	c := open(t)
	type streams struct {
		Streams []struct {
			Seq      uint64   `json:"sequence_number"`
			Messages [][]byte `json:"messages_b64"`
			Sum      string   `json:"reassembled_checkpoint_data_sha256"`
		} `json:"streams"`
	}
	for _, file := range ledgertest.Files[streams](t, "rebased/grpc_messages.json") {
		for _, s := range file.Data.Streams {
			first, err := iota.ParseCheckpointData(s.Messages[1])
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.unit(s.Seq).messages(iota.WholeMask(), 64<<20, len(first.Transactions))
			if err != nil || len(got) != len(s.Messages) {
				t.Fatalf("checkpoint %d: %d messages, %v", s.Seq, len(got), err)
			}
			for i := range got {
				if !bytes.Equal(got[i], s.Messages[i]) {
					t.Errorf("checkpoint %d, message %d:\n got %x\nwant %x", s.Seq, i, got[i], s.Messages[i])
				}
			}
			if sum := sha256.Sum256(c.File(s.Seq)); hex.EncodeToString(sum[:]) != s.Sum {
				t.Errorf("checkpoint %d: sum %x", s.Seq, sum)
			}
			if got := c.joined(t, s.Messages); !bytes.Equal(got, c.File(s.Seq)) {
				t.Errorf("checkpoint %d: joined messages are not its file", s.Seq)
			}
		}
	}
}

// joined makes a file of the messages of a checkpoint.
func (c *Chain) joined(t *testing.T, messages [][]byte) []byte {
	t.Helper()
	var head []byte
	var raws [][]byte
	for _, m := range messages {
		d, err := iota.ParseCheckpointData(m)
		if err != nil {
			t.Fatal(err)
		}
		if d.Checkpoint != nil {
			head = bytes.Join([][]byte{d.Checkpoint.Summary, d.Checkpoint.Signature, d.Checkpoint.Contents}, nil)
		}
		for _, tx := range d.Transactions {
			raws = append(raws, rebased.Pieces{
				Transaction: tx.Data, Signatures: tx.Signatures, Effects: tx.Effects, Events: tx.Events, Inputs: tx.Inputs, Outputs: tx.Outputs,
			}.Raw())
		}
	}
	out, err := rebased.JoinCheckpoint(head, raws)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestServiceInfoVector(t *testing.T) {
	type responses struct {
		Responses []struct {
			RPC     string `json:"rpc"`
			Message []byte `json:"message_b64"`
		} `json:"responses"`
	}
	n := NewNode(open(t))
	for _, file := range ledgertest.Files[responses](t, "rebased/grpc_messages.json") {
		for _, r := range file.Data.Responses {
			if got := n.info(); r.RPC == "GetServiceInfo" && !bytes.Equal(got, r.Message) {
				t.Errorf("got %x, want %x", got, r.Message)
			}
		}
	}
}

// The committee over JSON-RPC is that of the vectors.
func TestJSONRPCVector(t *testing.T) {
	type exchanges struct {
		Exchanges []struct {
			Request  json.RawMessage `json:"request"`
			Response json.RawMessage `json:"response"`
		} `json:"exchanges"`
	}
	h, asked := NewNode(open(t)).JSONRPC(), 0
	for _, file := range ledgertest.Files[exchanges](t, "rebased/jsonrpc_constructed.json") {
		for _, e := range file.Data.Exchanges {
			var q struct {
				Method string `json:"method"`
			}
			if err := json.Unmarshal(e.Request, &q); err != nil {
				t.Fatal(err)
			}
			switch q.Method {
			case "iota_getChainIdentifier", "iota_getLatestCheckpointSequenceNumber", "iotax_getCommitteeInfo":
			default:
				continue
			}
			asked++
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(e.Request)))
			if got, want := canonical(t, w.Body.Bytes()), canonical(t, e.Response); got != want {
				t.Errorf("%s:\n got %s\nwant %s", q.Method, got, want)
			}
		}
	}
	if asked == 0 {
		t.Error("no exchange of the vectors was asked for")
	}
}

func canonical(t *testing.T, raw []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// Transactions of an unknown form are served too: their digests say where they end.
func TestUnknownVariantsVector(t *testing.T) {
	type variant struct {
		Type string `json:"type"`
		BCS  []byte `json:"bcs_b64"`
	}
	c, tried := open(t), 0
	for _, v := range ledgertest.Load[variant](t, "rebased/unknown_variants.json", "vectors") {
		if v.Type != "TransactionData" {
			continue
		}
		tried++
		u := c.units[len(c.units)-1]
		certified, contents, _, err := rebased.ParseHead(u.head)
		if err != nil {
			t.Fatal(err)
		}
		contents.Transactions[0].Transaction = rebased.TransactionDigest(v.BCS)
		list := rebased.AppendContents(nil, contents)
		certified.Summary.Content = rebased.ContentsDigest(list)
		head := append(append(rebased.AppendSummary(nil, &certified.Summary), certified.Auth...), list...)
		old, err := transaction(u.raws[0], rebased.Digest{})
		if err != nil {
			t.Fatal(err)
		}
		raws := append([][]byte{rebased.Pieces{
			Transaction: v.BCS, Signatures: old.Signatures, Effects: old.Effects, Events: old.Events, Inputs: old.Inputs, Outputs: old.Outputs,
		}.Raw()}, u.raws[1:]...)
		chk, err := rebased.JoinCheckpoint(head, raws)
		if err != nil {
			t.Fatal(err)
		}
		altered, err := New([][]byte{chk}, nil)
		if err != nil {
			t.Fatal(err)
		}
		messages, err := altered.units[0].messages(iota.WholeMask(), 1<<20, 10)
		if err != nil {
			t.Fatal(err)
		}
		if got := altered.joined(t, messages); !bytes.Equal(got, chk) {
			t.Errorf("joined messages are not the file")
		}
	}
	if tried == 0 {
		t.Error("no transaction of an unknown form")
	}
}

func TestChainRefuses(t *testing.T) {
	c := open(t)
	if _, err := New([][]byte{c.File(2), c.File(4)}, nil); err == nil || !strings.Contains(err.Error(), "3 is missing") {
		t.Errorf("a chain with a hole: %v", err)
	}
	if _, err := New(nil, nil); err == nil {
		t.Error("a chain of nothing")
	}
	if _, err := New([][]byte{{1, 2, 3}}, nil); err == nil {
		t.Error("a chain of garbage")
	}
	if _, err := StoreOf(c, []Batch{{First: 0, Last: 1000}}, nil); err == nil {
		t.Error("a store of checkpoints that are not there")
	}
	if c.File(1000) != nil || c.Committee(1000) != nil || c.Identity() == "" {
		t.Error("what is not there is found")
	}
}
