package ingest_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"permanode/ingest"
	"permanode/ingest/archive"
	"permanode/ingest/hornet2"
	"permanode/internal/race"
	"permanode/internal/replay"
	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/ledger/ledgertest"
	"permanode/ledger/stardust"
	"permanode/storage"
	"permanode/storage/pebblestore"
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
	} `json:"blocks"`
	Created  []ledgertest.Hex `json:"createdOutputs"`
	Consumed []ledgertest.Hex `json:"consumedOutputs"`
}

var nodeStates = map[string]ledger.State{
	"included": ledger.Applied, "conflicting": ledger.Conflicting, "noTransaction": ledger.NoTransaction,
}

// part is what readTruth gives of the longer recording; under the race detector up to unit n alone.
func part(t testing.TB, n uint64) []truth {
	t.Helper()
	all := readTruth(t, "stardust")
	if race.Enabled {
		all = all[:n]
	}
	return all
}

func readTruth(t testing.TB, name string) (all []truth) {
	t.Helper()
	f, err := os.Open(filepath.Join(ledgertest.Recording(t, name), "truth.jsonl.gz"))
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
		var v truth
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	return all
}

// rig is a store and all that a collector needs beside sources.
type rig struct {
	t     testing.TB
	dir   string
	trust ledger.Trust
	codec ledger.Codec
	db    *pebblestore.DB
	store storage.Writer
}

func trustOf(t testing.TB, name string) ledger.Trust {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(ledgertest.Recording(t, name), "trust.json"))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := stardust.Codec{}.ParseTrust(raw)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

func newRig(t testing.TB, trust ledger.Trust) *rig {
	t.Helper()
	codec, ok := eras.Codec(trust.Era)
	if !ok {
		t.Fatalf("no codec of era %q", trust.Era)
	}
	return newRigOf(t, trust, codec)
}

// newRigOf makes a rig with a codec of one's own.
func newRigOf(t testing.TB, trust ledger.Trust, codec ledger.Codec) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), trust: trust, codec: codec}
	r.open()
	t.Cleanup(r.close)
	return r
}

func (r *rig) open() {
	r.t.Helper()
	var err error
	if r.db, err = pebblestore.Open(filepath.Join(r.dir, "data"), pebblestore.Options{Codec: r.codecs, Memory: 64 << 20}); err != nil {
		r.t.Fatal(err)
	}
	if r.store, err = r.db.Writer(context.Background(), ledger.Network{Name: "net", Era: r.trust.Era, Identity: r.trust.Identity, Trust: r.trust.Raw}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) codecs(era ledger.Era) (ledger.Codec, bool) { return r.codec, era == r.trust.Era }

func (r *rig) close() {
	if r.db == nil {
		return
	}
	if err := errors.Join(r.store.Close(), r.db.Close()); err != nil {
		r.t.Error(err)
	}
	r.db = nil
}

// config returns a collector's configuration over this store.
func (r *rig) config(sources ...ingest.Source) ingest.Config {
	return ingest.Config{
		Network: "net", Codec: r.codec, Trust: r.trust, Store: r.store, Sources: sources,
		Quarantine: filepath.Join(r.dir, "quarantine"), Poll: 20 * time.Millisecond, Memory: 64 << 20,
	}
}

func (r *rig) collector(cfg ingest.Config) *ingest.Collector {
	r.t.Helper()
	c, err := ingest.New(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func folder(t testing.TB, dir string) *archive.Folder {
	t.Helper()
	f, err := archive.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// source returns the node behind a transport or an address.
func source(t testing.TB, c hornet2.Config) *hornet2.Source {
	t.Helper()
	if c.URL == "" {
		c.URL = "http://recording.invalid"
	}
	s, err := hornet2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// opened holds the recordings, each read once: that is most of what a test costs.
var opened = struct {
	sync.Mutex
	recs map[string]*replay.Recording
}{recs: map[string]*replay.Recording{}}

// node serves a recording.
func node(t testing.TB, name string) *replay.Node {
	t.Helper()
	opened.Lock()
	defer opened.Unlock()
	rec := opened.recs[name]
	if rec == nil {
		var err error
		if rec, err = replay.OpenRecording(os.DirFS(ledgertest.Recording(t, name))); err != nil {
			t.Fatal(err)
		}
		opened.recs[name] = rec
	}
	return replay.NewNode(rec)
}

// serve listens on loopback.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = nil
	srv.Start()
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return srv.URL
}

func snapshotOf(t testing.TB, name string) string {
	return filepath.Join(ledgertest.Recording(t, name), "genesis_snapshot.bin")
}

// check compares everything that is stored with the truth.
func (r *rig) check(all []truth, held bool) {
	r.t.Helper()
	ctx := context.Background()
	cov, err := r.store.Coverage(ctx, r.store.Net())
	if err != nil {
		r.t.Fatal(err)
	}
	first, last := all[0].Milestone, all[len(all)-1].Milestone
	if len(cov.Spans) != 1 || cov.Spans[0].Lo != first || cov.Spans[0].Hi != last || cov.Spans[0].Held != held || len(cov.Gaps) != 0 {
		r.t.Fatalf("coverage %+v, want one span %d to %d, held %v, no gap", cov, first, last, held)
	}
	i := 0
	for cone, err := range r.store.Cones(ctx, r.store.Net(), first, last) {
		if err != nil {
			r.t.Fatal(err)
		}
		if err := same(cone, &all[i], held); err != nil {
			r.t.Fatalf("unit %d: %v", cone.Unit.Seq, err)
		}
		i++
	}
	if i != len(all) {
		r.t.Fatalf("%d units stored, want %d", i, len(all))
	}
}

func same(cone *ledger.Cone, want *truth, held bool) error {
	u := &cone.Unit
	if u.Seq != want.Milestone || u.ID != ledger.NewID(want.MilestoneID) || u.TimeMs != want.Timestamp*1000 {
		return fmt.Errorf("unit %d %s at %d", u.Seq, u.ID, u.TimeMs)
	}
	if len(cone.Records) != len(want.Blocks) {
		return fmt.Errorf("%d records, want %d", len(cone.Records), len(want.Blocks))
	}
	for i := range cone.Records {
		rec, b := &cone.Records[i], &want.Blocks[i]
		if rec.ID != ledger.NewID(b.BlockID) || rec.State != nodeStates[b.State] || rec.Reason != b.ConflictReason || rec.Ord != (ledger.Ord{Seq: u.Seq, Pos: uint32(i)}) {
			return fmt.Errorf("place %d holds %s %s %d, want %x %s %d", i, rec.ID, rec.State, rec.Reason, b.BlockID, b.State, b.ConflictReason)
		}
		if proven := rec.Basis == ledger.ByRoot; proven != (held || rec.State != ledger.Conflicting) {
			return fmt.Errorf("record %s %s has the basis %s", rec.ID, rec.State, rec.Basis)
		}
	}
	if got, want := outputs(cone, ledger.RoleReceive), sorted(want.Created); !slices.Equal(got, want) {
		return fmt.Errorf("created %v, want %v", got, want)
	}
	if got, want := outputs(cone, ledger.RoleSpend), sorted(want.Consumed); !slices.Equal(got, want) {
		return fmt.Errorf("consumed %v, want %v", got, want)
	}
	return nil
}

func outputs(c *ledger.Cone, role ledger.Role) []string {
	var ids []string
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
	return slices.Compact(ids)
}

func sorted(ids []ledgertest.Hex) []string {
	var out []string
	for _, id := range ids {
		out = append(out, strings.TrimPrefix(id.String(), "0x"))
	}
	slices.Sort(out)
	return out
}

// noteKinds counts the stored notes.
func (r *rig) noteKinds() map[storage.NoteKind]int {
	r.t.Helper()
	out := map[storage.NoteKind]int{}
	for n, err := range r.store.Notes(context.Background(), r.store.Net()) {
		if err != nil {
			r.t.Fatal(err)
		}
		out[n.Kind]++
	}
	return out
}

// noClaims is a source that must not be asked for claims.
type noClaims struct {
	ingest.Source
	t testing.TB
}

func (n noClaims) Claims(context.Context, uint64, []ledger.ID) (*ledger.NodeClaims, error) {
	n.t.Error("a source was asked for claims although a ledger is held")
	return nil, errors.New("not to be asked")
}
