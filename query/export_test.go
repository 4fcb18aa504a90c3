package query_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/query"
	"permanode/storage"
)

func export(ctx context.Context, m *memory, w interface{ Write([]byte) (int, error) }) error {
	a := query.New(m, codecs)
	networks, err := a.Networks(ctx)
	if err != nil {
		return err
	}
	return a.ExportNDJSON(ctx, networks, w, func(uint64, uint64, uint64) {})
}

func TestExportShape(t *testing.T) {
	m := newMemory()
	m.add("net-1", []storage.Span{{Lo: 1, Hi: 1}}, nil)
	var out bytes.Buffer
	if err := export(t.Context(), m, &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(out.String(), "\n")
	sum := func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
	records := toyCone(1, 1).Records
	want := []string{
		`{"network":"net-1","seq":1,"pos":0,"id":"` + idOf(1, 0) + `","state":"applied","reason":null,"basis":"root","kind":"none","time":"2021-11-26T04:01:31Z","tag":"0x7430","addresses":["addr10"],"sha256":"` + sum(string(records[0].Parts[0].Raw)) + `"}` + "\n",
		`{"network":"net-1","seq":1,"pos":1,"id":"` + idOf(1, 1) + `","state":"conflicting","reason":1,"basis":"root","kind":"data","time":"2021-11-26T04:01:31Z","tag":null,"addresses":[],"sha256":"` + sum(string(records[1].Parts[0].Raw)) + `"}` + "\n",
	}
	want = append(want, fmt.Sprintf(`{"_end":true,"rows":2,"sha256":"%s"}`+"\n", sum(want[0]+want[1])), "")
	for i := range want {
		if i >= len(lines) || lines[i] != want[i] {
			t.Errorf("line %d:\n got %s\nwant %s", i, lines[i], want[i])
		}
	}
}

func TestExportOrderAndGaps(t *testing.T) {
	var out bytes.Buffer
	err := export(t.Context(), sample(), &out)
	if !errors.Is(err, storage.ErrIncomplete) || !strings.Contains(err.Error(), "a lacks units 11-12 (every source has pruned it)") {
		t.Errorf("err = %v", err)
	}
	var last string
	rows := 0
	for line := range strings.Lines(out.String()) {
		var v struct {
			End      bool `json:"_end"`
			Rows     int
			Network  string
			Seq, Pos uint64
		}
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		if v.End {
			if v.Rows != rows {
				t.Errorf("rows = %d, want %d", v.Rows, rows)
			}
			last = "end"
			continue
		}
		rows++
		at := fmt.Sprintf("%s %06d %06d", v.Network, v.Seq, v.Pos)
		if at <= last {
			t.Errorf("%s comes behind %s", at, last)
		}
		last = at
	}
	if last != "end" {
		t.Error("a finished export ends with its last line, also with gaps")
	}
}

// An export that breaks off has no last line: at a damaged unit, a writer that fails, a cancelled context.
func TestExportUnfinished(t *testing.T) {
	m := sample()
	m.failAt, m.fail = ledger.Ord{Seq: 15}, &storage.CorruptError{Key: "k", Why: "damage"}
	var out bytes.Buffer
	if err := export(t.Context(), m, &out); !errors.Is(err, storage.ErrCorrupt) || !strings.Contains(err.Error(), "of a") {
		t.Errorf("err = %v", err)
	}
	if strings.Contains(out.String(), "_end") {
		t.Error("an unfinished export has the last line")
	}
	whole := new(bytes.Buffer)
	_ = export(t.Context(), sample(), whole)
	for _, room := range []int{0, 1, whole.Len() / 2, whole.Len() - 1} {
		short := &narrow{room: room}
		if err := export(t.Context(), sample(), short); !errors.Is(err, errFull) {
			t.Errorf("room %d: err = %v", room, err)
		}
		if !bytes.HasPrefix(whole.Bytes(), short.Bytes()) {
			t.Errorf("room %d: other bytes", room)
		}
	}
}

var errFull = errors.New("no room")

// narrow takes room bytes and then fails.
type narrow struct {
	bytes.Buffer
	room int
}

func (n *narrow) Write(b []byte) (int, error) {
	take := min(len(b), n.room-n.Len())
	n.Buffer.Write(b[:take])
	if take < len(b) {
		return take, errFull
	}
	return take, nil
}
