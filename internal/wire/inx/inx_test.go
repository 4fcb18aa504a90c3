package inx

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"permanode/ledger/ledgertest"
)

// answers are the decoders of what each call answers; each returns the message encoded again.
var answers = map[string]func(raw []byte) ([]byte, error){
	"ReadNodeStatus":              func(b []byte) ([]byte, error) { m, err := ParseStatus(b); return m.Append(nil), err },
	"ReadNodeConfiguration":       func(b []byte) ([]byte, error) { m, err := ParseConfiguration(b); return m.Append(nil), err },
	"ReadProtocolParameters":      func(b []byte) ([]byte, error) { m, err := ParseParameters(b); return m.Append(nil), err },
	"ReadMilestone":               func(b []byte) ([]byte, error) { m, err := ParseMilestone(b); return m.Append(nil), err },
	"ListenToConfirmedMilestones": func(b []byte) ([]byte, error) { m, err := ParseConfirmed(b); return m.Append(nil), err },
	"ReadMilestoneCone":           func(b []byte) ([]byte, error) { m, err := ParseBlock(b); return m.Append(nil), err },
	"ReadMilestoneConeMetadata":   func(b []byte) ([]byte, error) { m, err := ParseMetadata(b); return m.Append(nil), err },
	"ReadBlock":                   func(b []byte) ([]byte, error) { m, err := ParseWrapped(b); return AppendWrapped(nil, m), err },
	"ReadBlockMetadata":           func(b []byte) ([]byte, error) { m, err := ParseMetadata(b); return m.Append(nil), err },
}

// vectors is inx-*.json: requests by message and name; the messages of an answer by call and argument, which are
// text, a list, nothing, or an error.
type vectors struct {
	Requests struct {
		Milestone map[string]string `json:"MilestoneRequest"`
		Range     map[string]string `json:"MilestoneRangeRequest"`
		BlockID   map[string]string `json:"BlockId"`
	} `json:"requests"`
	Calls map[string]json.RawMessage `json:"calls"`
}

func load(t testing.TB) []ledgertest.File[vectors] {
	return ledgertest.Files[vectors](t, "stardust/inx-*.json")
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// messages returns the messages of a recorded answer, and whether it was an error.
func messages(t testing.TB, answer json.RawMessage) (raws [][]byte, failed bool) {
	t.Helper()
	var one string
	var list []string
	switch {
	case json.Unmarshal(answer, &one) == nil && one != "":
		list = []string{one}
	case json.Unmarshal(answer, &list) != nil:
		return nil, true
	}
	for _, text := range list {
		raws = append(raws, unhex(t, text))
	}
	return raws, false
}

// What a node sent is read and written again without the loss of a byte.
func TestAnswersVector(t *testing.T) {
	read := map[string]int{}
	for _, file := range load(t) {
		for name, answer := range file.Data.Calls {
			call, _, _ := strings.Cut(name, " ")
			again, ok := answers[call]
			if !ok {
				continue
			}
			raws, failed := messages(t, answer)
			if failed {
				continue
			}
			for i, raw := range raws {
				got, err := again(raw)
				if err != nil || !bytes.Equal(got, raw) {
					t.Errorf("%s, message %d: %v\n got %x\nwant %x", name, i, err, got, raw)
				}
				read[call]++
			}
		}
	}
	if read["ReadMilestoneCone"] == 0 || read["ReadBlockMetadata"] == 0 {
		t.Errorf("messages read: %v", read)
	}
}

// Requests are as the vectors have them, told by their names: "index 4", "id of 4", "2..5", "3..".
func TestRequestsVector(t *testing.T) {
	for _, file := range load(t) {
		for name, text := range file.Data.Requests.Milestone {
			raw := unhex(t, text)
			m, err := ParseMilestoneRequest(raw)
			if err != nil || !bytes.Equal(m.Append(nil), raw) {
				t.Errorf("%s: %+v, %v", name, m, err)
			}
			if index, ok := strings.CutPrefix(name, "index "); ok && (strconv.FormatUint(uint64(m.Index), 10) != index || m.ID != nil) {
				t.Errorf("%s: %+v", name, m)
			} else if !ok && (m.Index != 0 || len(m.ID) != 32) {
				t.Errorf("%s: %+v", name, m)
			}
		}
		for name, text := range file.Data.Requests.Range {
			raw := unhex(t, text)
			m, err := ParseRangeRequest(raw)
			if err != nil || !bytes.Equal(m.Append(nil), raw) {
				t.Errorf("%s: %+v, %v", name, m, err)
			}
			number := func(v uint32) string { return strings.TrimPrefix(strconv.FormatUint(uint64(v), 10), "0") }
			if got := number(m.Start) + ".." + number(m.End); got != name {
				t.Errorf("%s is read as %s", name, got)
			}
		}
		for name, text := range file.Data.Requests.BlockID {
			raw := unhex(t, text)
			id, err := ParseWrapped(raw)
			if err != nil || len(id) != 32 || !bytes.Equal(AppendWrapped(nil, id), raw) {
				t.Errorf("%s: %x, %v", name, id, err)
			}
		}
	}
}

// The metadata of a cone tells what the cone's blocks come with, and ReadBlock gives the same bytes.
func TestConesVector(t *testing.T) {
	for _, file := range load(t) {
		for name, answer := range file.Data.Calls {
			index, ok := strings.CutPrefix(name, "ReadMilestoneCone index ")
			if !ok {
				continue
			}
			blocks, failed := messages(t, answer)
			metadata, _ := messages(t, file.Data.Calls["ReadMilestoneConeMetadata index "+index])
			if failed || len(blocks) != len(metadata) {
				if !failed {
					t.Errorf("%s: %d blocks, metadata of %d", name, len(blocks), len(metadata))
				}
				continue
			}
			for i, raw := range blocks {
				b, err := ParseBlock(raw)
				if err != nil || !bytes.Equal(b.Metadata.Append(nil), metadata[i]) || b.Metadata.Place != uint32(i) ||
					strconv.FormatUint(uint64(b.Metadata.Referenced), 10) != index || len(b.Raw) == 0 {
					t.Errorf("%s, block %d: %+v, %v", name, i, b, err)
				}
			}
		}
	}
}

// recorded calls do with each line of the INX recordings.
func recorded(t testing.TB, do func(file, rpc string, raw []byte)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.Dir(ledgertest.Recording(t, "stardust")), "*", "inx*.jsonl.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(z); lines.Scan(); {
			var line struct {
				RPC string          `json:"rpc"`
				Hex *ledgertest.Hex `json:"hex"`
			}
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if line.Hex != nil {
				do(name, line.RPC, *line.Hex)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What a real node sent while it was recorded is read and written again without the loss of a byte.
func TestRecordings(t *testing.T) {
	read := map[string]int{}
	recorded(t, func(file, rpc string, raw []byte) {
		again, ok := answers[rpc]
		if !ok {
			return
		}
		got, err := again(raw)
		if err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%s: %s: %v\n got %x\nwant %x", file, rpc, err, got, raw)
		}
		read[rpc]++
	})
	for _, rpc := range []string{"ReadNodeStatus", "ReadNodeConfiguration", "ListenToConfirmedMilestones", "ReadMilestoneCone"} {
		if read[rpc] == 0 {
			t.Errorf("no %s: %v", rpc, read)
		}
	}
}

func TestUnknownFieldsAreSkipped(t *testing.T) {
	raw := (&Metadata{Place: 7}).Append([]byte{
		0xa2, 0x06, 3, 'n', 'e', 'w', // field 100, bytes
		0xa8, 0x06, 1, // field 101, varint
		0xb5, 0x06, 1, 2, 3, 4, // field 102, fixed 32
		0xb9, 0x06, 1, 2, 3, 4, 5, 6, 7, 8, // field 103, fixed 64
	})
	m, err := ParseMetadata(raw)
	if err != nil || m.Place != 7 {
		t.Errorf("%+v, %v", m, err)
	}
}

// What is there and empty is not what is not there.
func TestPresence(t *testing.T) {
	for _, m := range []*Milestone{{}, {Info: &MilestoneInfo{}}, {Info: &MilestoneInfo{ID: []byte{}}, Raw: []byte{}}} {
		got, err := ParseMilestone(m.Append(nil))
		if err != nil || (got.Info == nil) != (m.Info == nil) || (got.Raw == nil) != (m.Raw == nil) ||
			got.Info != nil && (got.Info.ID == nil) != (m.Info.ID == nil) {
			t.Errorf("%+v became %+v, %v", m, got, err)
		}
	}
	// Numbers that are not packed, as some encoders write them.
	c, err := ParseConfiguration([]byte{0x20, 2, 0x22, 2, 3, 4})
	if err != nil || len(c.Versions) != 3 || c.Versions[2] != 4 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestMalformed(t *testing.T) {
	for name, raw := range map[string][]byte{
		"cut tag":              {0x80},
		"cut length":           {0x0a, 0x80},
		"length beyond":        {0x0a, 5, 1, 2},
		"number for message":   {0x08, 1},
		"message for number":   {0x32, 0},
		"id that is a number":  {0x0a, 2, 8, 1},
		"field number 0":       {0x00, 1},
		"group without end":    {0x0b, 1},
		"overlong varint":      {0x30, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"more than 32 bits":    {0x30, 0xff, 0xff, 0xff, 0xff, 0x1f},
		"state below zero":     {0x40, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
		"too many parents":     bytes.Repeat([]byte{0x12, 0}, maxElements+1),
		"message for a parent": {0x12, 3, 0x0a, 5, 1},
	} {
		if _, err := ParseMetadata(raw); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseConfiguration(bytes.Repeat([]byte{0x12, 0}, maxElements+1)); !errors.Is(err, ErrMessage) {
		t.Errorf("too many keys: %v", err)
	}
	if _, err := ParseConfiguration(appendMessage(nil, 4, make([]byte, maxElements+1))); !errors.Is(err, ErrMessage) {
		t.Errorf("too many versions: %v", err)
	}
	if _, err := ParseConfiguration([]byte{0x22, 1, 0x80}); !errors.Is(err, ErrMessage) {
		t.Errorf("cut version: %v", err)
	}
}

// A message of nothing but empty elements must not become larger in memory.
func TestElementsAreBounded(t *testing.T) {
	raw := bytes.Repeat([]byte{0x12, 0}, 1<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := ParseMetadata(raw)
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, ErrMessage) || allocated > 1<<20 {
		t.Errorf("%d bytes allocated for a message of %d: %v", allocated, len(raw), err)
	}
}

// Whatever parses is encoded, and parses again to the same.
func FuzzMessages(f *testing.F) {
	for _, file := range load(f) {
		for _, answer := range file.Data.Calls {
			raws, _ := messages(f, answer)
			for _, raw := range raws {
				if len(raw) < 120 { // the fuzzer minimizes what it finds, which takes it long with kilobytes
					f.Add(raw)
				}
			}
		}
		for _, text := range file.Data.Requests.Milestone {
			f.Add(unhex(f, text))
		}
	}
	recorded(f, func(_, rpc string, raw []byte) {
		if rpc == "ReadNodeConfiguration" {
			f.Add(raw)
		}
	})
	all := map[string]func([]byte) ([]byte, error){
		"MilestoneRequest": func(b []byte) ([]byte, error) { m, err := ParseMilestoneRequest(b); return m.Append(nil), err },
		"RangeRequest":     func(b []byte) ([]byte, error) { m, err := ParseRangeRequest(b); return m.Append(nil), err },
	}
	for name, again := range answers {
		all[name] = again
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for name, again := range all {
			once, err := again(raw)
			if err != nil {
				if !errors.Is(err, ErrMessage) {
					t.Fatalf("%s: untyped error: %v", name, err)
				}
				continue
			}
			if twice, err := again(once); err != nil || !bytes.Equal(twice, once) {
				t.Fatalf("%s: read again: %v\n got %x\nwant %x", name, err, twice, once)
			}
		}
	})
}
