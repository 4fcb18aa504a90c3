package api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/mr-tron/base58"

	"permanode/ledger"
	"permanode/query"
	"permanode/query/querytest"
	"permanode/storage"
)

// Every payload that is posted is given by its hash, in the eras' own networks, tagged data, metadata and arguments alike.
func TestPayloadsOfNetworks(t *testing.T) {
	l, s := querytest.NewLedger(t, 12), querytest.NewStated(t, 3)
	for range 12 {
		s.Next(t)
	}
	check := func(a *query.Archive, store storage.Reader) {
		n := querytest.Must(a.Networks(t.Context()))[0]
		found := 0
		for key, err := range store.Keys(t.Context(), n.ID, ledger.Key{Kind: ledger.KeyPayload}, "") {
			if err != nil {
				t.Fatal(err)
			}
			c, err := a.Payload(t.Context(), []query.Network{n}, hex.EncodeToString([]byte(key.Val)))
			if sum := sha256.Sum256(c.Raw); err != nil || string(sum[:]) != key.Val || c.SHA256 != sum || c.Network != n.Name {
				t.Fatalf("payload %x of %s: %v", key.Val, n.Name, err)
			}
			found++
		}
		if found < 10 {
			t.Errorf("%s has %d payloads: it tries too little", n.Name, found)
		}
	}
	check(l.Archive, l.Store)
	check(s.Archive, s.Db)
}

// vault holds payloads of its own making: "-||" and the payload.
func vault(payloads ...string) *querytest.Memory {
	m := querytest.NewMemory()
	m.Add("n", []storage.Span{{Lo: 1, Hi: 1}}, nil)
	c := m.Held[1][1]
	c.Records = nil
	for i, p := range payloads {
		r := querytest.ToyRecord(1, uint32(i), []byte("-||"+p))
		sum := sha256.Sum256([]byte(p))
		r.Posts = append(r.Posts, ledger.Posting{Key: ledger.Key{Kind: ledger.KeyPayload, Val: string(sum[:])}, Role: ledger.RoleMention})
		c.Records = append(c.Records, r)
	}
	return m
}

// Content of no bytes is no payload, wherever payloads are counted, listed, exported and looked up: so no name leads nowhere.
func TestNoPayload(t *testing.T) {
	h := querytest.ServiceOf(vault("", "something"))
	for i, want := range []int{0, 1} {
		id := "0x" + hex.EncodeToString([]byte(querytest.ToyRecord(1, uint32(i), []byte("-||"+[]string{"", "something"}[i])).ID.Key()))
		got := querytest.Get(t, h, "/v1/networks/n/records/"+id)
		var r query.Record
		if err := json.Unmarshal(got.Body, &r); err != nil || got.Status != 200 || len(r.Payloads) != want {
			t.Errorf("record %d: %d, %d payloads, want %d: %v %s", i, got.Status, len(r.Payloads), want, err, got.Body)
		}
	}
	table := querytest.Must(csv.NewReader(bytes.NewReader(querytest.Get(t, h, "/v1/export?format=csv&network=n").Body)).ReadAll())
	count, raw := slices.Index(table[0], "payloads"), slices.Index(table[0], "payload_hex")
	if len(table) != 3 || table[1][count] != "0" || table[1][raw] != "" || table[2][count] != "1" || table[2][raw] == "" {
		t.Errorf("the table is %q", table)
	}
	sum := sha256.Sum256(nil)
	got := querytest.Get(t, h, "/v1/payloads/"+hex.EncodeToString(sum[:]))
	if got.Status != 404 || !strings.Contains(string(got.Body), "no bytes, which are no payload") {
		t.Errorf("the hash of nothing: %d %s", got.Status, got.Body)
	}
}

// A hash finds its payload in every dress; one that is malformed is no hash (FR-20).
func TestPayloadNames(t *testing.T) {
	const text = "the payload"
	h := querytest.ServiceOf(vault("another", text))
	sum := sha256.Sum256([]byte(text))
	digits := hex.EncodeToString(sum[:])
	cid := append([]byte("\x01\x55\x12\x20"), sum[:]...)
	good := []string{
		digits, strings.ToUpper(digits), "0x" + digits, "0X" + strings.ToUpper(digits), "sha256:" + digits, "SHA256:0x" + digits, "z" + base58.Encode(cid), "f" + hex.EncodeToString(cid),
		"b" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(cid)),
	}
	for _, name := range good {
		got := querytest.Get(t, h, "/v1/payloads/"+name)
		if got.Status != 200 || string(got.Body) != text || got.Header.Get("ETag") != `"`+digits+`"` || got.Header.Get("Content-Disposition") != `attachment; filename="`+digits+`.bin"` ||
			got.Header.Get("Content-Type") != "application/octet-stream" || got.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(got.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v %s", name, got.Status, got.Header, got.Body)
		}
	}
	dag := "b" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(append([]byte("\x01\x70\x12\x20"), sum[:]...)))
	for name, want := range map[string]string{
		digits[:63]: "bad-id", digits + "0": "bad-id", digits[:63] + "g": "bad-id", "sha256:" + digits[:62]: "bad-id", good[8][:57]: "bad-id", good[8] + "aaaaaaaa": "bad-id", "hello": "bad-id",
		"0x": "bad-id", "sha256:": "bad-id", "bafk2bzacea" + strings.Repeat("a", 51): "bad-id", strings.Repeat("f", 4000): "bad-id",
		strings.Repeat("ab", 32): "not-found", "sha256:" + strings.Repeat("ab", 32): "not-found", dag: "not-found", "Qm" + base58.Encode(append([]byte("\x12\x20"), sum[:]...))[2:]: "not-found",
		digits + "?network=n": "", digits + "?network=m": "unknown-network", digits + "?as=text": "bad-parameter",
	} {
		got := querytest.Get(t, h, "/v1/payloads/"+name)
		kind := ""
		if got.Status != 200 {
			kind = strings.TrimPrefix(fmt.Sprint(got.Json(t)["type"]), "urn:permanode:problem:")
		}
		if kind != want || kind == "not-found" && got.Json(t)["coverage"] == nil {
			t.Errorf("%s: %s, want %s: %s", name, kind, want, got.Body)
		}
	}
	if got := querytest.Get(t, h, "/v1/payloads/"+dag); !strings.Contains(string(got.Body), "tree of blocks") || !strings.Contains(string(got.Body), "cannot be resolved here") {
		t.Errorf("%s", got.Body)
	}
}

// Parts of a payload are those of its bytes (RFC 9110, section 14).
func TestPayloadRanges(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	body := make([]byte, 5000)
	for i := range body {
		body[i] = byte(r.Uint32())
	}
	h := querytest.ServiceOf(vault(string(body)))
	sum := sha256.Sum256(body)
	url := "/v1/payloads/" + hex.EncodeToString(sum[:])
	ask := func(method string, headers ...string) querytest.Answer {
		t.Helper()
		req := querytest.HttpGet(url)
		req.Method = method
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		return querytest.Do(t, h, req)
	}
	for range 200 {
		from := r.IntN(len(body))
		to := from + r.IntN(len(body))
		text, want := fmt.Sprintf("bytes=%d-%d", from, to), body[from:min(to+1, len(body))]
		switch {
		case r.IntN(4) == 0:
			text, want = fmt.Sprintf("bytes=%d-", from), body[from:]
		case r.IntN(4) == 0:
			text, want = fmt.Sprintf("bytes=-%d", from+1), body[len(body)-from-1:]
		}
		if got := ask("GET", "Range", text); got.Status != 206 || !bytes.Equal(got.Body, want) || got.Header.Get("ETag") == "" || got.Header.Get("Content-Encoding") != "" {
			t.Fatalf("%s: %d, %d bytes, want %d", text, got.Status, len(got.Body), len(want))
		}
	}
	tag := `"` + hex.EncodeToString(sum[:]) + `"`
	for _, c := range []struct {
		method  string
		headers []string
		status  int
		size    int
	}{
		{"GET", []string{"Range", "bytes=5000-"}, 416, -1},
		{"GET", []string{"Range", "bytes=-0"}, 416, -1},
		{"GET", []string{"Range", "bytes=9-3"}, 416, -1},
		{"GET", []string{"Range", "bytes=x"}, 416, -1},
		{"GET", []string{"Range", "bytes=" + strings.Repeat("9", 300) + "-"}, 416, -1},
		{"GET", []string{"Range", "bytes=5-" + strings.Repeat("9", 300)}, 206, 4995},
		{"GET", []string{"Range", "bytes=9223372036854775808-"}, 416, -1},
		{"GET", []string{"Range", "bytes=9223372036854775808-9223372036854775809"}, 416, -1},
		{"GET", []string{"Range", "bytes=4990-9223372036854775808"}, 206, 10},
		{"GET", []string{"Range", "bytes=0-18446744073709551616"}, 206, 5000},
		{"GET", []string{"Range", "bytes=-18446744073709551616"}, 206, 5000},
		{"GET", []string{"Range", "bytes=" + strings.Repeat("0", 30) + "1-" + strings.Repeat("0", 30) + "2"}, 206, 2},
		{"GET", []string{"Range", "bytes=" + strings.Repeat("0", 30) + "-1"}, 206, 2},
		{"GET", []string{"Range", "bytes=5"}, 416, -1},
		{"GET", []string{"Range", "lines=1-2"}, 200, 5000},
		{"GET", []string{"Range", "bytes=0-0,-1", "If-Range", tag}, 206, -1},
		{"GET", []string{"Range", "bytes=0-9", "If-Range", tag}, 206, 10},
		{"GET", []string{"Range", "bytes=0-9", "If-Range", `"other"`}, 200, 5000},
		{"GET", []string{"Range", "bytes=0-9", "If-Range", "W/" + tag}, 200, 5000},
		{"HEAD", nil, 200, 0},
		{"HEAD", []string{"Range", "bytes=0-9"}, 200, 0},
		{"GET", []string{"If-None-Match", tag}, 304, 0},
		{"GET", []string{"If-None-Match", "*"}, 304, 0},
		{"GET", []string{"If-None-Match", tag, "Accept-Encoding", "gzip, identity;q=0"}, 304, 0},
		{"GET", []string{"If-None-Match", tag, "Accept-Encoding", "zstd;q=1.0, *;q=0"}, 304, 0},
		{"GET", []string{"If-None-Match", "*", "Accept-Encoding", "gzip, identity;q=0", "Range", "bytes=0-9"}, 304, 0},
		{"HEAD", []string{"If-None-Match", tag, "Accept-Encoding", "gzip, identity;q=0"}, 304, 0},
		{"GET", []string{"If-None-Match", `"other"`}, 200, 5000},
		{"GET", []string{"If-Match", tag}, 200, 5000},
		{"GET", []string{"If-Match", `"other"`}, 412, -1},
		{"GET", []string{"Range", "bytes=0-9", "Accept-Encoding", "gzip, zstd"}, 206, 10},
		{"GET", []string{"Accept-Encoding", "gzip, zstd"}, 200, 5000},
		{"GET", []string{"Range", "bytes=" + strings.TrimSuffix(strings.Repeat("0-,", 1000), ",")}, 200, 5000}, // more than all of it
	} {
		got := ask(c.method, c.headers...)
		if got.Status != c.status || c.size >= 0 && len(got.Body) != c.size {
			t.Errorf("%s %v: %d, %d bytes: %.100s", c.method, c.headers, got.Status, len(got.Body), got.Body)
		}
		if c.status == 200 && c.method == "HEAD" && got.Header.Get("Content-Length") != "5000" || c.status == 416 && got.Header.Get("Content-Range") != "bytes */5000" {
			t.Errorf("%s %v: %v", c.method, c.headers, got.Header)
		}
		if c.status == 304 && (!strings.HasPrefix(got.Header.Get("ETag"), tag[:len(tag)-1]) || got.Header.Get("Content-Encoding") != "" || !strings.Contains(got.Header.Get("Cache-Control"), "immutable")) {
			t.Errorf("%s %v: %v", c.method, c.headers, got.Header)
		}
		if c.status >= 400 && (got.Header.Get("Content-Type") != "application/problem+json" || got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("ETag") != "") {
			t.Errorf("%s %v: %v %s", c.method, c.headers, got.Header, got.Body)
		}
	}
	got := ask("GET", "Range", "bytes=0-9,100-149,-5")
	media, params, err := mime.ParseMediaType(got.Header.Get("Content-Type"))
	if err != nil || got.Status != 206 || media != "multipart/byteranges" {
		t.Fatalf("%d %v", got.Status, got.Header)
	}
	parts := multipart.NewReader(bytes.NewReader(got.Body), params["boundary"])
	for _, want := range [][]byte{body[:10], body[100:150], body[4995:]} {
		p, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		if part := querytest.Must(io.ReadAll(p)); !bytes.Equal(part, want) {
			t.Errorf("%v is %x, want %x", p.Header, part, want)
		}
	}
}

// A damaged record is passed over where another one has the payload, and is never served.
func TestPayloadOfDamagedRecord(t *testing.T) {
	m := vault("same", "other", "lost")
	twin := m.Held[1][1].Records[0]
	twin.Ord.Pos = 3
	m.Held[1][1].Records = append(m.Held[1][1].Records, twin)
	m.FailAt, m.Fail = ledger.Ord{Seq: 1, Pos: 0}, fmt.Errorf("record: %w", storage.ErrCorrupt)
	url := func(text string) string { return fmt.Sprintf("/v1/payloads/%x", sha256.Sum256([]byte(text))) }
	if got := querytest.Get(t, querytest.ServiceOf(m), url("same")); got.Status != http.StatusOK || string(got.Body) != "same" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	m.FailAt.Pos = 1
	if got := querytest.Get(t, querytest.ServiceOf(m), url("other")); got.Status != 500 || got.Json(t)["type"] != "urn:permanode:problem:corrupt" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	m.FailAt.Pos = 9
	m.Held[1][1].Records[2].Parts[0].Raw = []byte("-||something else")
	if got := querytest.Get(t, querytest.ServiceOf(m), url("lost")); got.Status != 500 || got.Json(t)["type"] != "urn:permanode:problem:corrupt" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	m.FailAt.Pos, m.Fail = 0, errors.New("the disk is gone")
	if got := querytest.Get(t, querytest.ServiceOf(m), url("same")); got.Status != 500 || got.Json(t)["type"] != "urn:permanode:problem:internal" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}
