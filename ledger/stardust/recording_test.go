package stardust_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/ledger/ledgertest"
	"permanode/ledger/stardust"
)

var recordings = []string{"stardust", "stardust-migration"}

// truth is one line of a recording's truth file.
type truth struct {
	Milestone   uint64         `json:"milestone"`
	MilestoneID ledgertest.Hex `json:"milestoneId"`
	Timestamp   int64          `json:"timestamp"`
	Blocks      []struct {
		BlockID        ledgertest.Hex `json:"blockId"`
		State          string         `json:"state"`
		ConflictReason uint16         `json:"conflictReason"`
		TransactionID  ledgertest.Hex `json:"transactionId"`
	} `json:"blocks"`
	Created  []ledgertest.Hex `json:"createdOutputs"`
	Consumed []ledgertest.Hex `json:"consumedOutputs"`
}

var nodeStates = map[string]ledger.State{
	"included": ledger.Applied, "conflicting": ledger.Conflicting, "noTransaction": ledger.NoTransaction,
}

// jsonLines decodes a gzip file of JSON lines.
func jsonLines[T any](t testing.TB, name string) (all []T) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(z)
	s.Buffer(nil, 1<<24)
	for s.Scan() {
		var v T
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, v)
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	return all
}

// recording is a folder as an archive sees it.
type recording struct {
	dir      string
	trust    []byte
	snapshot []byte
	heads    map[uint64][]byte
	blocks   [][]byte
	truth    []truth
}

func readRecording(t testing.TB, name string) *recording {
	t.Helper()
	r := &recording{dir: ledgertest.Recording(t, name), heads: map[uint64][]byte{}}
	var err error
	if r.trust, err = os.ReadFile(filepath.Join(r.dir, "trust.json")); err != nil {
		t.Fatal(err)
	}
	if r.snapshot, err = os.ReadFile(filepath.Join(r.dir, "genesis_snapshot.bin")); err != nil {
		t.Fatal(err)
	}
	type call struct {
		Path    string `json:"path"`
		Accept  string `json:"accept"`
		Status  int    `json:"status"`
		BodyHex string `json:"bodyHex"`
	}
	for _, c := range jsonLines[call](t, filepath.Join(r.dir, "rest.jsonl.gz")) {
		if c.Status != 200 || c.Accept == "" {
			continue
		}
		raw, err := hex.DecodeString(c.BodyHex)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case strings.Contains(c.Path, "/milestones/by-index/"):
			u, err := stardust.Codec{}.Unit(raw)
			if err != nil {
				t.Fatal(err)
			}
			r.heads[u.Seq] = raw
		case strings.Contains(c.Path, "/blocks/"):
			r.blocks = append(r.blocks, raw)
		}
	}
	r.truth = jsonLines[truth](t, filepath.Join(r.dir, "truth.jsonl.gz"))
	return r
}

// archive returns an empty archive with the recording as its source.
func (r *recording) archive(t testing.TB) *archive {
	t.Helper()
	a := newArchive(t, r.trust)
	a.serve(r.blocks...)
	return a
}

func (r *recording) claims(seq uint64, _ []ledger.ID) *ledger.NodeClaims {
	c := &ledger.NodeClaims{Source: "truth", Records: map[ledger.ID]ledger.Claimed{}}
	for _, m := range r.truth {
		if m.Milestone != seq {
			continue
		}
		for _, b := range m.Blocks {
			c.Records[ledger.NewID(b.BlockID)] = ledger.Claimed{Referenced: seq, State: nodeStates[b.State], Reason: b.ConflictReason}
		}
	}
	return c
}

// outputsOf returns the output ids that postings of a cone name with that role, ascending.
func outputsOf(c *ledger.Cone, role ledger.Role) (ids []string) {
	add := func(posts []ledger.Posting) {
		for _, p := range posts {
			if p.Key.Kind == ledger.KeyOutput && p.Role&role != 0 {
				ids = append(ids, hex.EncodeToString([]byte(p.Key.Val)))
			}
		}
	}
	for i := range c.Records {
		add(c.Records[i].Posts)
	}
	add(c.Posts)
	slices.Sort(ids)
	return ids
}

func hexes(in []ledgertest.Hex) (out []string) {
	for _, h := range in {
		out = append(out, hex.EncodeToString(h))
	}
	slices.Sort(out)
	return out
}

func (r *recording) compare(t *testing.T, c *ledger.Cone, m truth, held bool) {
	t.Helper()
	if !bytes.Equal(c.Unit.ID.Bytes(), m.MilestoneID) || c.Unit.Seq != m.Milestone || c.Unit.TimeMs != m.Timestamp*1000 {
		t.Fatalf("unit %d is %s at %d", m.Milestone, c.Unit.ID, c.Unit.TimeMs)
	}
	if len(c.Records) != len(m.Blocks) {
		t.Fatalf("unit %d has %d records, want %d", m.Milestone, len(c.Records), len(m.Blocks))
	}
	for i, b := range m.Blocks {
		rec := c.Records[i]
		basis := ledger.ByRoot
		if b.State == "conflicting" && !held {
			basis = ledger.ByClaim
		}
		if !bytes.Equal(rec.ID.Bytes(), b.BlockID) || rec.State != nodeStates[b.State] || rec.Reason != b.ConflictReason ||
			rec.Basis != basis || rec.Ord != (ledger.Ord{Seq: m.Milestone, Pos: uint32(i)}) {
			t.Errorf("unit %d pos %d: %s %s reason %d by %s, want %x %s %d", m.Milestone, i, rec.ID, rec.State, rec.Reason, rec.Basis, []byte(b.BlockID), b.State, b.ConflictReason)
		}
	}
	if got, want := outputsOf(c, ledger.RoleReceive), hexes(m.Created); !slices.Equal(got, want) {
		t.Errorf("unit %d creates %v, want %v", m.Milestone, got, want)
	}
	if got, want := outputsOf(c, ledger.RoleSpend), hexes(m.Consumed); !slices.Equal(got, want) {
		t.Errorf("unit %d consumes %v, want %v", m.Milestone, got, want)
	}
}

// TestRecordings proves both recordings with their ledger, where asking for claims fails, and by claims,
// and compares all with what the node said.
func TestRecordings(t *testing.T) {
	for _, name := range recordings {
		r := readRecording(t, name)
		for _, held := range []bool{true, false} {
			t.Run(name+map[bool]string{true: " ledger", false: " claims"}[held], func(t *testing.T) {
				a := r.archive(t)
				a.claims = func(uint64, []ledger.ID) *ledger.NodeClaims {
					t.Fatal("claims were asked for where a ledger is held")
					return nil
				}
				if held {
					if err := a.open(bytes.NewReader(r.snapshot)); err != nil {
						t.Fatal(err)
					}
				} else {
					a.claims = r.claims
				}
				for _, m := range r.truth {
					c, err := a.add(r.heads[m.Milestone])
					if err != nil {
						t.Fatal(err)
					}
					r.compare(t, c, m, held)
				}
				a.again(t)
			})
		}
	}
}

func TestTrustOfRecordings(t *testing.T) {
	for _, name := range recordings {
		r := readRecording(t, name)
		network, err := os.ReadFile(filepath.Join(r.dir, "network.json"))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(r.snapshot)
		got, err := stardust.TrustFromRecording(network, hex.EncodeToString(sum[:]))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, r.trust) {
			t.Errorf("%s: trust file\n got %s\nwant %s", name, got, r.trust)
		}
	}
}
