package stardust

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"permanode/ledger/ledgertest"
)

// TestRecordedAnswers holds the parsers and the JSON form against what real nodes answered.
func TestRecordedAnswers(t *testing.T) {
	for _, name := range []string{"stardust", "stardust-migration"} {
		blocks, milestones, outputs, receipts := checkExchanges(t, recorded(t, name))
		t.Logf("%s: %d blocks, %d milestones, %d outputs, %d receipts", name, blocks, milestones, outputs, receipts)
		if blocks == 0 || milestones == 0 || outputs == 0 || receipts == 0 && name == "stardust-migration" {
			t.Errorf("%s: a kind of answer is missing", name)
		}
	}
}

// TestRESTVector reads every body that shows an object of the ledger, and writes it again.
func TestRESTVector(t *testing.T) {
	checkExchanges(t, ledgertest.Load[exchange](t, "stardust/rest-*.json", "exchanges"))
}

// checkExchanges compares the node's answers with each other (JSON beside bytes of one path) and with
// the id in the path.
func checkExchanges(t *testing.T, all []exchange) (blocks, milestones, outputs, receipts int) {
	t.Helper()
	raws := map[string]hexa{}
	for _, x := range all {
		if x.Status == 200 && x.BodyHex != nil {
			raws[x.Path] = *x.BodyHex
		}
	}
	for _, x := range all {
		_, route, ok := strings.Cut(x.Path, "/api/core/v2/")
		if x.Status != 200 || !ok {
			continue
		}
		raw := raws[x.Path]
		body := []byte(x.Body)
		switch part := strings.Split(route, "/"); {
		case part[0] == "blocks" && len(part) == 2, strings.HasSuffix(route, "/included-block"):
			var id hexa
			if part[0] == "blocks" {
				id = unhex(t, part[1])
			}
			if x.BodyHex != nil {
				checkRaw(t, x.Path, raw, id, nil)
			} else {
				b := checkRaw(t, x.Path, AppendBlock(nil, mustBlock(t, x.Path, body)), id, body)
				if raw != nil && b != nil && !bytes.Equal(AppendBlock(nil, b), raw) {
					t.Errorf("%s: JSON and bytes of one block differ", x.Path)
				}
			}
			blocks++
		case part[0] == "milestones" && part[len(part)-1] != "utxo-changes":
			var id hexa
			if part[1] != "by-index" {
				id = unhex(t, part[1])
			}
			if x.BodyHex != nil {
				checkMilestoneRaw(t, x.Path, raw, id, nil)
			} else {
				m, err := milestoneFromJSON(body)
				if err != nil {
					t.Fatalf("%s: %v", x.Path, err)
				}
				payload := AppendPayload(nil, m)
				if raw != nil && !bytes.Equal(payload, raw) {
					t.Errorf("%s: JSON and bytes of one milestone differ", x.Path)
				}
				checkMilestoneRaw(t, x.Path, payload, id, body)
			}
			milestones++
		case part[0] == "outputs" && len(part) == 2 && x.BodyHex == nil:
			var answer struct{ Output json.RawMessage }
			var j outputJSON
			if err := errors.Join(json.Unmarshal(body, &answer), json.Unmarshal(answer.Output, &j)); err != nil {
				t.Fatalf("%s: %v", x.Path, err)
			}
			o, err := j.output()
			if err != nil {
				t.Fatalf("%s: %v", x.Path, err)
			}
			enc := AppendOutput(nil, o)
			if raw != nil && !bytes.Equal(enc, raw) {
				t.Errorf("%s: JSON and bytes of one output differ", x.Path)
			}
			checkOutput(t, x.Path, enc, answer.Output)
			outputs++
		case part[0] == "receipts":
			receipts += checkReceipts(t, x.Path, body)
		}
	}
	return blocks, milestones, outputs, receipts
}

func checkReceipts(t *testing.T, what string, body []byte) int {
	t.Helper()
	var answer struct {
		Receipts []struct{ Receipt json.RawMessage }
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	for _, x := range answer.Receipts {
		var j optionJSON
		var m Milestone
		if err := errors.Join(json.Unmarshal(x.Receipt, &j), j.into(&m)); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		v, err := ParseReceipt(AppendReceipt(nil, m.Receipt))
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		sameJSON(t, what, ReceiptJSON(v), x.Receipt)
	}
	return len(answer.Receipts)
}

func mustBlock(t *testing.T, what string, text []byte) *Block {
	t.Helper()
	b, err := blockFromJSON(text)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return b
}

func unhex(t *testing.T, text string) hexa {
	t.Helper()
	var b hexBytes
	if err := b.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return hexa(b)
}

// TestAnswersVector: what the answers for a permanode name exists in the cones.
func TestAnswersVector(t *testing.T) {
	type milestone struct {
		Index  uint32        `json:"index"`
		Blocks []blockVector `json:"blocks"`
	}
	created, consumed := map[uint32]map[string]bool{}, map[uint32]map[string]bool{}
	types := map[string]uint32{}
	for _, m := range ledgertest.Load[milestone](t, "stardust-shimmer/milestones-*.json", "milestones") {
		created[m.Index], consumed[m.Index] = map[string]bool{}, map[string]bool{}
		for _, v := range m.Blocks {
			b, err := ParseBlock(v.Raw)
			if err != nil {
				t.Fatal(err)
			}
			if b.Payload != nil {
				types[v.BlockID.String()] = b.Payload.Type()
			}
			tx, ok := b.Payload.(*Transaction)
			if !ok {
				continue
			}
			for i := range tx.Outputs {
				created[m.Index][hexa(le.AppendUint16(tx.ID[:], uint16(i))).String()] = true
			}
			for _, id := range tx.Inputs {
				consumed[m.Index][hexa(id[:]).String()] = true
			}
		}
	}
	type answer struct {
		Index    uint32   `json:"index"`
		Created  []string `json:"createdOutputs"`
		Consumed []string `json:"consumedOutputs"`
		Blocks   []struct {
			ID   string `json:"blockId"`
			Type uint32 `json:"payloadType"`
		} `json:"blocks"`
		Items []json.RawMessage `json:"items"`
	}
	type update struct {
		Address string `json:"address"`
	}
	for _, f := range ledgertest.Files[map[string]json.RawMessage](t, "stardust-shimmer/api-golden*.json") {
		for route, body := range f.Data {
			var v answer
			if err := json.Unmarshal(body, &v); err != nil {
				t.Fatal(err)
			}
			for _, id := range v.Created {
				if !created[v.Index][id] {
					t.Errorf("%s: created %s is an output of no transaction", route, id)
				}
			}
			for _, id := range v.Consumed {
				if !consumed[v.Index][id] {
					t.Errorf("%s: consumed %s is an input of no transaction", route, id)
				}
			}
			for _, b := range v.Blocks {
				if types[b.ID] != b.Type {
					t.Errorf("%s: block %s has payload type %d, want %d", route, b.ID, types[b.ID], b.Type)
				}
			}
			for _, item := range v.Items {
				var u update
				if err := json.Unmarshal(item, &u); err != nil || u.Address == "" {
					continue
				}
				if hrp, a, err := ParseBech32(u.Address); err != nil || a.Bech32(hrp) != u.Address {
					t.Errorf("%s: address %s: %v", route, u.Address, err)
				}
			}
		}
	}
}
