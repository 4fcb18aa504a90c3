package stardust

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"permanode/ledger/ledgertest"
)

// sameJSON compares two JSON texts as values: same keys, numbers by their text, order of keys free.
func sameJSON(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if g, w := jsonValue(t, got), jsonValue(t, want); !reflect.DeepEqual(g, w) {
		t.Errorf("%s: JSON differs\n got %s\nwant %s", what, got, want)
	}
}

func jsonValue(t testing.TB, text []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("no JSON: %v: %s", err, text)
	}
	return v
}

// checkRaw parses a block strictly and compares what comes back with its bytes, id and JSON; the last
// two may be empty.
func checkRaw(t testing.TB, what string, raw, id, text []byte) *Block {
	t.Helper()
	b, err := ParseBlock(raw)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return nil
	}
	if got := AppendBlock(nil, b); !bytes.Equal(got, raw) {
		t.Errorf("%s: re-encoding differs\n got %x\nwant %x", what, got, raw)
	}
	found := Identify(raw)
	if found.Err != nil || len(found.Parents) != len(b.Parents) {
		t.Errorf("%s: identified as %s with %d parents (%v)", what, found.ID, len(found.Parents), found.Err)
		return b
	}
	for i := range b.Parents {
		if !bytes.Equal(found.Parents[i].Bytes(), b.Parents[i][:]) {
			t.Errorf("%s: parent %d is %s, want %x", what, i, found.Parents[i], b.Parents[i])
		}
	}
	if len(id) > 0 && !bytes.Equal(found.ID.Bytes(), id) {
		t.Errorf("%s: id %s, want %x", what, found.ID, id)
	}
	sameJSON(t, what+", JSON read and written", BlockJSON(b), BlockJSON(readBlock(t, what, BlockJSON(b), raw)))
	if len(text) > 0 {
		sameJSON(t, what, BlockJSON(b), text)
		readBlock(t, what, text, raw)
	}
	return b
}

// readBlock reads JSON, which must give the same bytes.
func readBlock(t testing.TB, what string, text, raw []byte) *Block {
	t.Helper()
	b, err := blockFromJSON(text)
	if err != nil {
		t.Fatalf("%s: from JSON: %v", what, err)
	}
	if got := AppendBlock(nil, b); !bytes.Equal(got, raw) {
		t.Errorf("%s: from JSON to bytes\n got %x\nwant %x", what, got, raw)
	}
	return b
}

// checkOutput parses an output and compares bytes and JSON.
func checkOutput(t testing.TB, what string, raw, text []byte) *Output {
	t.Helper()
	o, err := ParseOutput(raw)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return nil
	}
	if got := AppendOutput(nil, o); !bytes.Equal(got, raw) || !bytes.Equal(o.Raw, raw) {
		t.Errorf("%s: re-encoding differs\n got %x\nwant %x", what, got, raw)
	}
	if len(text) > 0 {
		sameJSON(t, what, OutputJSON(o), text)
	}
	return o
}

// checkMilestoneRaw parses a milestone payload and compares id and JSON; both may be empty.
func checkMilestoneRaw(t testing.TB, what string, raw, id, text []byte) *Milestone {
	t.Helper()
	m, err := ParseMilestone(raw)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return nil
	}
	if got := AppendPayload(nil, m); !bytes.Equal(got, raw) {
		t.Errorf("%s: re-encoding differs\n got %x\nwant %x", what, got, raw)
	}
	if got := MilestonePayload(m.Header, m.Auth); !bytes.Equal(got, raw) {
		t.Errorf("%s: header and auth joined\n got %x\nwant %x", what, got, raw)
	}
	if len(id) > 0 && !bytes.Equal(m.ID[:], id) {
		t.Errorf("%s: id %x, want %x", what, m.ID, id)
	}
	if len(text) > 0 {
		sameJSON(t, what, PayloadJSON(m), text)
	}
	return m
}

// exchange is one request and answer of a recording or of rest-*.json.
type exchange struct {
	Method      string          `json:"method"`
	Path        string          `json:"path"`
	Accept      string          `json:"accept"`
	Status      int             `json:"status"`
	ContentType string          `json:"contentType"`
	Body        string          `json:"body"`
	BodyHex     *ledgertest.Hex `json:"bodyHex"`
}

// recorded returns the requests and answers of a recording.
func recorded(t testing.TB, name string) (all []exchange) {
	t.Helper()
	f, err := os.Open(filepath.Join(ledgertest.Recording(t, name), "rest.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var x exchange
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			t.Fatal(err)
		}
		all = append(all, x)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
