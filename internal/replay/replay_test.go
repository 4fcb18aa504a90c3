package replay_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"permanode/internal/race"
	"permanode/internal/replay"
	"permanode/ledger/ledgertest"
)

var recordings = []string{"stardust", "stardust-migration"}

func open(t *testing.T, fsys fstest.MapFS) *replay.Recording {
	t.Helper()
	rec, err := replay.OpenRecording(fsys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rec.Close(); err != nil {
			t.Error(err)
		}
	})
	return rec
}

// lines returns the exchanges of a recording and its parameters.
func lines(t *testing.T, name string) (all []string, network []byte) {
	t.Helper()
	network, err := os.ReadFile(filepath.Join(ledgertest.Recording(t, name), "network.json"))
	if err != nil {
		t.Fatal(err)
	}
	return unpacked(t, name, "rest.jsonl.gz"), network
}

// unpacked returns the lines of a file of a recording.
func unpacked(t *testing.T, name, file string) []string {
	t.Helper()
	f, err := os.Open(filepath.Join(ledgertest.Recording(t, name), file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
}

func pack(t *testing.T, lines []string, network []byte) fstest.MapFS {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for _, l := range lines {
		if _, err := io.WriteString(z, l); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{"network.json": {Data: network}, "rest.jsonl.gz": {Data: b.Bytes()}}
}

func withoutLast(t *testing.T, network []byte) []byte {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(network, &v); err != nil {
		t.Fatal(err)
	}
	delete(v, "lastMilestone")
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func get(h http.Handler, path, accept string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Every recorded exchange but /info is answered as it was recorded.
func TestNodeAnswersAsRecorded(t *testing.T) {
	for _, name := range recordings {
		if race.Enabled && name == "stardust" {
			continue
		}
		all, network := lines(t, name)
		node := replay.NewNode(open(t, pack(t, all, network)))
		for _, l := range all {
			var e struct {
				Path, Accept, Body, BodyHex, ContentType string
				Status                                   int
			}
			if err := json.Unmarshal([]byte(l), &e); err != nil {
				t.Fatal(err)
			}
			if e.Path == "/api/core/v2/info" {
				continue
			}
			w := get(node, e.Path, e.Accept)
			body := w.Body.String()
			if e.BodyHex != "" {
				body = fmt.Sprintf("%x", body)
			}
			if w.Code != e.Status || w.Header().Get("Content-Type") != e.ContentType || body != e.Body+e.BodyHex {
				t.Fatalf("%s (%s): %d %s %.80q, recorded %d %s %.80q", e.Path, e.Accept, w.Code, w.Header().Get("Content-Type"), body, e.Status, e.ContentType, e.Body+e.BodyHex)
			}
		}
	}
}

func tipOf(t *testing.T, node http.Handler) (index, pruned uint64) {
	t.Helper()
	var info struct {
		Status struct {
			ConfirmedMilestone struct{ Index uint64 }
			LatestMilestone    struct{ Index uint64 }
			PruningIndex       uint64
		}
		Protocol struct{ TokenSupply string }
	}
	if err := json.Unmarshal(get(node, "/api/core/v2/info", "").Body.Bytes(), &info); err != nil {
		t.Fatal(err)
	}
	if info.Status.ConfirmedMilestone != info.Status.LatestMilestone || info.Protocol.TokenSupply == "" {
		t.Errorf("info %+v", info)
	}
	return info.Status.ConfirmedMilestone.Index, info.Status.PruningIndex
}

func TestTipMoves(t *testing.T) {
	all, network := lines(t, some())
	rec := open(t, pack(t, all, network))
	node := replay.NewNode(rec)
	for _, tip := range []uint64{rec.Last, 7, 8, rec.Last + 5} {
		node.SetTip(tip)
		want := min(tip, rec.Last)
		if got, _ := tipOf(t, node); got != want {
			t.Errorf("tip %d, want %d", got, want)
		}
		if w := get(node, fmt.Sprintf("/api/core/v2/milestones/by-index/%d", want), replay.Raw); w.Code != 200 {
			t.Errorf("unit %d: %d", want, w.Code)
		}
		for _, path := range []string{"", "/utxo-changes"} {
			if w := get(node, fmt.Sprintf("/api/core/v2/milestones/by-index/%d%s", want+1, path), replay.Raw); w.Code != 404 || !strings.Contains(w.Body.String(), `"code":"404"`) {
				t.Errorf("unit %d%s: %d %s", want+1, path, w.Code, w.Body)
			}
		}
	}
}

// some returns the larger recording, under the race detector the smaller one.
func some() string {
	if race.Enabled {
		return "stardust-migration"
	}
	return "stardust"
}

// Without a stated end the newest unit is the last one whose whole cone is there.
func TestLastWholeCone(t *testing.T) {
	all, network := lines(t, some())
	last := open(t, pack(t, all, network)).Last
	network = withoutLast(t, network)
	if rec := open(t, pack(t, all, network)); rec.Last != last {
		t.Errorf("whole recording: last %d, stated %d", rec.Last, last)
	}
	// The block that carries the unit before the last is in the cone of the last and of no earlier one.
	carried := fmt.Sprintf("07000000%02x000000", last-1)
	var cut []string
	for _, l := range all {
		if !strings.Contains(l, `"bodyHex":"02`) || !strings.Contains(l, carried) {
			cut = append(cut, l)
		}
	}
	if len(cut) != len(all)-1 {
		t.Fatalf("%d lines cut", len(all)-len(cut))
	}
	if rec := open(t, pack(t, cut, network)); rec.Last != last-1 {
		t.Errorf("without a block of the last cone: last %d", rec.Last)
	}
}

// A recording that begins in the middle says that what lies before is pruned.
func TestBeginsInTheMiddle(t *testing.T) {
	all, network := lines(t, some())
	network = bytes.Replace(network, []byte(`"firstMilestone": 1`), []byte(`"firstMilestone": 20`), 1)
	rec := open(t, pack(t, all, network))
	node := replay.NewNode(rec)
	if tip, pruned := tipOf(t, node); tip != rec.Last || pruned != 19 {
		t.Errorf("tip %d, pruned %d", tip, pruned)
	}
	if w := get(node, "/api/core/v2/milestones/by-index/19", replay.Raw); w.Code != 404 {
		t.Errorf("unit 19: %d", w.Code)
	}
}

func TestDamagedRecording(t *testing.T) {
	all, network := lines(t, "stardust-migration")
	good := pack(t, all, network)
	packed := good["rest.jsonl.gz"].Data
	line := func(n int, text string) fstest.MapFS {
		bad := append([]string{}, all...)
		bad[n-1] = text + "\n"
		return pack(t, bad, network)
	}
	flip := bytes.Clone(packed)
	flip[len(flip)/2] ^= 0x10
	for name, c := range map[string]struct {
		fs   fstest.MapFS
		want string
	}{
		"no network.json":    {fstest.MapFS{"rest.jsonl.gz": good["rest.jsonl.gz"]}, "network.json"},
		"no rest.jsonl.gz":   {fstest.MapFS{"network.json": good["network.json"]}, "rest.jsonl.gz"},
		"network.json empty": {fstest.MapFS{"network.json": {}, "rest.jsonl.gz": good["rest.jsonl.gz"]}, "network.json"},
		"not gzip":           {fstest.MapFS{"network.json": good["network.json"], "rest.jsonl.gz": {Data: []byte("plain")}}, "rest.jsonl.gz"},
		"cut":                {fstest.MapFS{"network.json": good["network.json"], "rest.jsonl.gz": {Data: packed[:len(packed)/2]}}, "rest.jsonl.gz line "},
		"flipped":            {fstest.MapFS{"network.json": good["network.json"], "rest.jsonl.gz": {Data: flip}}, "rest.jsonl.gz line "},
		"not JSON":           {line(17, "{"), "rest.jsonl.gz line 17:"},
		"odd hex":            {line(18, `{"method":"GET","path":"/x","status":200,"bodyHex":"0"}`), "rest.jsonl.gz line 18: bodyHex"},
		"no exchange":        {line(19, `{}`), "rest.jsonl.gz line 19:"},
		"empty":              {pack(t, nil, network), "no raw unit"},
		"range turned":       {pack(t, all, []byte(`{"firstMilestone":9,"lastMilestone":8}`)), "network.json"},
	} {
		_, err := replay.OpenRecording(c.fs)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		} else if !errors.Is(err, replay.ErrRecording) && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: untyped: %v", name, err)
		}
	}
}
