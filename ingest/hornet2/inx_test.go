package hornet2

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"permanode/ingest"
	"permanode/internal/replay"
	"permanode/internal/wire/inx"
	"permanode/ledger"
	"permanode/ledger/ledgertest"
	"permanode/ledger/stardust"
)

// inxNode is a replayed node with INX on a free port, which it keeps when it is started again.
type inxNode struct {
	*replay.Node
	*replay.INX
	t      *testing.T
	at     string
	server *replay.INXServer
}

func newINXNode(t *testing.T, name string) *inxNode {
	t.Helper()
	n := &inxNode{Node: testNode(t, name), t: t, at: "127.0.0.1:0"}
	var err error
	if n.INX, err = replay.NewINX(n.Node); err != nil {
		t.Fatal(err)
	}
	n.start()
	t.Cleanup(n.stop)
	return n
}

func (n *inxNode) start() {
	n.t.Helper()
	var err error
	if n.server, err = n.Serve(n.at); err != nil {
		n.t.Fatal(err)
	}
	n.at = n.server.Addr()
}

func (n *inxNode) stop() { n.server.Stop() }

func (n *inxNode) source(c INXConfig) *INX {
	n.t.Helper()
	c.Address = "inx://" + n.at
	s, err := NewINX(c)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			n.t.Error(err)
		}
	})
	return s
}

func TestINXAddress(t *testing.T) {
	for given, want := range map[string]string{
		"inx://127.0.0.1:9029": "127.0.0.1:9029", "127.0.0.1:9029": "127.0.0.1:9029", "inx://node.example": "node.example:9029",
		"node.example": "node.example:9029", "inx://[::1]:19029/": "[::1]:19029", "[::1]:9029": "[::1]:9029", "localhost:1": "localhost:1",
	} {
		s, err := NewINX(INXConfig{Address: given})
		if err != nil {
			t.Errorf("%s: %v", given, err)
			continue
		}
		if s.addr != want || s.Name() != "inx://"+want {
			t.Errorf("%s: %s at %s, want %s", given, s.Name(), s.addr, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{
		"", "inx://", "inx:127.0.0.1:9029", "http://127.0.0.1:9029", "grpc://node.example", "inx://node.example:port", "inx://node.example:0",
		"inx://node.example:70000", "inx://node.example/path", "inx://node.example?q=secret", "inx://user:secret@node.example", "inx://secret@node.example",
		"secret@node.example:9029", "ftp://secret@node.example", "inx://node.example#secret", "inx://node.example/\x7f",
	} {
		_, err := NewINX(INXConfig{Address: bad})
		if err == nil {
			t.Errorf("%q was taken", bad)
		} else if strings.Contains(err.Error(), "secret@") || !strings.Contains(err.Error(), "inx://HOST:PORT") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// What INX gives is what the same node gives over REST.
func TestINXGivesWhatRESTGives(t *testing.T) {
	n := newINXNode(t, "stardust")
	s, ctx := n.source(INXConfig{Name: "node-a"}), context.Background()
	rest := testSource(t, n.Node, Config{})
	got, err := s.Info(ctx)
	want, restErr := rest.Info(ctx)
	if err != nil || restErr != nil || got.Identity != want.Identity || got.Name != want.Name || got.Oldest != want.Oldest || got.Newest != want.Newest {
		t.Errorf("info %+v, %v, want %+v, %v", got, err, want, restErr)
	}
	if s.Name() != "node-a" {
		t.Errorf("name %q", s.Name())
	}
	codec, records := stardust.Codec{}, 0
	for seq := uint64(1); seq <= 115; seq++ {
		head, raws, err := s.Cone(ctx, seq)
		if err != nil {
			t.Fatal(err)
		}
		wantHead, err := rest.Head(ctx, seq)
		if err != nil || !bytes.Equal(head, wantHead) {
			t.Fatalf("head of unit %d: %x, %v", seq, head, err)
		}
		var ids []ledger.ID
		for _, r := range codec.Identify(raws) {
			ids = append(ids, r.ID)
		}
		records += len(ids)
		said, err := s.Claims(ctx, seq, ids)
		if err != nil {
			t.Fatal(err)
		}
		wantSaid, err := rest.Claims(ctx, seq, ids)
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range ids {
			if c := said.Records[id]; c != wantSaid.Records[id] || c.Place != uint64(i+1) || c.Referenced != seq {
				t.Errorf("unit %d, record %d: %+v, want %+v", seq, i, c, wantSaid.Records[id])
			}
		}
		if seq%10 == 0 {
			fetched, err := s.Fetch(ctx, append(ids, ledger.NewID(bytes.Repeat([]byte{9}, 32))))
			if err != nil || !slices.EqualFunc(fetched, raws, bytes.Equal) {
				t.Errorf("unit %d: %d of %d records fetched, %v", seq, len(fetched), len(raws), err)
			}
		}
	}
	if records != 2568 {
		t.Errorf("%d records", records)
	}
}

// Claims about records of other units come one by one: who confirmed them, nothing where nobody did.
func TestINXClaimsElsewhere(t *testing.T) {
	n := newINXNode(t, "stardust")
	s, ctx := n.source(INXConfig{}), context.Background()
	_, raws, err := s.Cone(ctx, 60)
	if err != nil {
		t.Fatal(err)
	}
	early, unknown, entry := stardust.Codec{}.Identify(raws)[0].ID, ledger.NewID(bytes.Repeat([]byte{9}, 32)), ledger.NewID(make([]byte, 32))
	said, err := s.Claims(ctx, 61, []ledger.ID{early, unknown, entry})
	if err != nil || said.Records[early].Referenced != 60 || len(said.Records) != 2 || said.Records[entry] != (ledger.Claimed{}) {
		t.Errorf("%+v, %v", said, err)
	}
	n.SetTip(59)
	if said, err = s.Claims(ctx, 61, []ledger.ID{early}); err != nil || said.Records[early] != (ledger.Claimed{}) {
		t.Errorf("%+v, %v", said, err)
	}
	// A unit whose cone is not to be had: its records are asked about alone.
	var ids []ledger.ID
	for range 2 * fewClaims {
		ids = append(ids, unknown)
	}
	if said, err = s.Claims(ctx, 500, append(ids, entry)); err != nil || len(said.Records) != 1 {
		t.Errorf("%+v, %v", said, err)
	}
}

// A second question about the same records is asked anew: the first answer may have been a lie.
func TestINXClaimsAreGivenOnce(t *testing.T) {
	n := newINXNode(t, "stardust")
	s, ctx := n.source(INXConfig{}), context.Background()
	_, raws, err := s.Cone(ctx, 50)
	if err != nil {
		t.Fatal(err)
	}
	var ids []ledger.ID
	for _, r := range (stardust.Codec{}).Identify(raws) {
		ids = append(ids, r.ID)
	}
	n.SetFaults(1, replay.INXRule{Do: replay.INXMetadata(func(m *inx.Metadata, _ *rand.Rand) { m.State = inx.Conflicting })})
	for i, want := range []bool{true, false} {
		for lo := 0; lo < len(ids); lo += 10 {
			part := ids[lo:min(lo+10, len(ids))]
			said, err := s.Claims(ctx, 50, part)
			if err != nil || len(said.Records) != len(part) {
				t.Fatalf("%d claims, %v", len(said.Records), err)
			}
			all := true
			for _, c := range said.Records {
				all = all && c.State == ledger.Conflicting
			}
			if len(part) == 10 && all != want {
				t.Errorf("round %d, records %d: all conflicting is %v", i, lo, all)
			}
			n.SetFaults(1)
		}
	}
}

func TestINXUnknownAndPruned(t *testing.T) {
	n := newINXNode(t, "stardust")
	s, ctx := n.source(INXConfig{}), context.Background()
	n.SetTip(80)
	n.SetPruned(40)
	for seq, want := range map[uint64]error{
		0: ingest.ErrUnknown, 1: ingest.ErrPruned, 40: ingest.ErrPruned, 41: nil, 80: nil, 81: ingest.ErrUnknown, 1 << 31: ingest.ErrUnknown,
		1<<32 + 50: ingest.ErrUnknown, ledger.MaxSeq: ingest.ErrUnknown,
	} {
		if _, err := s.Head(ctx, seq); !errors.Is(err, want) {
			t.Errorf("head of unit %d: %v, want %v", seq, err, want)
		}
		if _, _, err := s.Cone(ctx, seq); !errors.Is(err, want) {
			t.Errorf("cone of unit %d: %v, want %v", seq, err, want)
		}
	}
	if i, err := s.Info(ctx); err != nil || i.Oldest != 41 || i.Newest != 80 {
		t.Errorf("%+v, %v", i, err)
	}
	// A unit that the node knows and has not confirmed yet: the milestone is there, the cone is an invalid argument.
	n.SetFaults(1, replay.INXRule{Method: inx.ReadMilestoneCone, Do: replay.INXRefuse(codes.InvalidArgument)})
	if _, _, err := s.Cone(ctx, 80); !errors.Is(err, ingest.ErrUnknown) {
		t.Errorf("cone that is not confirmed yet: %v", err)
	}
	// It prunes while we are connected.
	n.SetFaults(1)
	n.SetPruned(60)
	s.pruning.asked.Store(0)
	if _, err := s.Head(ctx, 50); !errors.Is(err, ingest.ErrPruned) {
		t.Errorf("pruned since: %v", err)
	}
	for name, edit := range map[string]func(*inx.Status){
		"no milestone": func(s *inx.Status) { s.Confirmed = nil }, "no number": func(s *inx.Status) { s.Confirmed.Info = nil },
		"no parameters": func(s *inx.Status) { s.Parameters = nil }, "bad parameters": func(s *inx.Status) { s.Parameters.Params = []byte{2, 9} },
	} {
		n.SetFaults(1, replay.INXStatus(edit))
		if _, err := s.Info(ctx); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	// Milestones can be pruned beyond the tangle: then no unit of those can be had whole.
	n.SetFaults(1, replay.INXStatus(func(s *inx.Status) { s.MilestonesPruned = 70 }))
	if i, err := s.Info(ctx); err != nil || i.Oldest != 71 {
		t.Errorf("%+v, %v", i, err)
	}
}

// Answers that break the protocol are errors of transport, never taken, never a panic.
func TestINXBrokenAnswers(t *testing.T) {
	n := newINXNode(t, "stardust")
	s, ctx := n.source(INXConfig{Timeout: 150 * time.Millisecond}), context.Background()
	big := func(a *replay.INXAnswer, _ *rand.Rand) { a.Messages = [][]byte{make([]byte, 2<<20)} }
	none := func(a *replay.INXAnswer, _ *rand.Rand) { a.Messages = [][]byte{{}} }
	junk := func(a *replay.INXAnswer, _ *rand.Rand) { a.Messages = [][]byte{{0x0a, 0xff}} }
	endless := func(a *replay.INXAnswer, _ *rand.Rand) {
		for len(a.Messages) > 0 && len(a.Messages) < 100_000 {
			a.Messages = append(a.Messages, a.Messages...)
		}
	}
	_, raws, err := s.Cone(ctx, 30)
	if err != nil {
		t.Fatal(err)
	}
	id := stardust.Codec{}.Identify(raws)[0].ID
	for name, do := range map[string]replay.INXFault{
		"big": big, "no content": none, "junk": junk, "cut": replay.INXCut, "internal": replay.INXRefuse(codes.Internal), "stall": replay.INXStall,
		"nothing": func(a *replay.INXAnswer, _ *rand.Rand) { a.Messages = nil },
	} {
		n.SetFaults(1, replay.INXRule{Do: do})
		check := func(what string, err error) {
			t.Helper()
			if err == nil || errors.Is(err, ingest.ErrUnknown) || errors.Is(err, ingest.ErrPruned) || errors.Is(err, ingest.ErrCannot) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		_, err := s.Info(ctx)
		check("info", err)
		_, err = s.Head(ctx, 30)
		check("head", err)
		_, err = s.Trust(ctx, nil)
		check("trust", err)
		if got, err := s.Fetch(ctx, []ledger.ID{id}); name == "no content" { // empty bytes are no block: whoever asked finds out
			if err != nil || len(got) != 1 || len(got[0]) != 0 {
				t.Errorf("%s: fetch: %x, %v", name, got, err)
			}
		} else {
			check("fetch", err)
		}
		_, err = s.Claims(ctx, 30, []ledger.ID{id})
		check("claims", err)
		n.SetFaults(1, replay.INXRule{Method: inx.ReadMilestoneCone, Do: do}, replay.INXRule{Method: inx.ReadMilestoneConeMetadata, Do: do})
		if name == "nothing" {
			continue // an empty cone: whoever asked finds out
		}
		_, _, err = s.Cone(ctx, 30)
		check("cone", err)
		_, err = s.Claims(ctx, 30, slices.Repeat([]ledger.ID{id}, 2*fewClaims))
		check("claims of a cone", err)
	}
	n.SetFaults(1, replay.INXRule{Method: inx.ReadMilestoneCone, Do: endless})
	small := n.source(INXConfig{MaxBytes: 1 << 20})
	if _, _, err := small.Cone(ctx, 30); err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("endless cone: %v", err)
	}
	// About another block than the one asked about.
	n.SetFaults(1, replay.INXRule{Method: inx.ReadBlockMetadata, Do: replay.INXMetadata(func(m *inx.Metadata, _ *rand.Rand) { m.ID[0] ^= 1 })})
	if _, err := s.Claims(ctx, 30, []ledger.ID{id}); err == nil || !strings.Contains(err.Error(), "another block") {
		t.Errorf("claims about another block: %v", err)
	}
	n.SetFaults(1, replay.INXRule{Method: inx.ReadBlockMetadata, Do: replay.INXMetadata(func(m *inx.Metadata, _ *rand.Rand) { m.State = 3 })})
	if _, err := s.Claims(ctx, 30, []ledger.ID{id}); err == nil || !strings.Contains(err.Error(), "inclusion state 3") {
		t.Errorf("claims of an unknown state: %v", err)
	}
}

// A node without one of the calls is asked in other ways.
func TestINXWithoutACall(t *testing.T) {
	n := newINXNode(t, "stardust")
	s, ctx := n.source(INXConfig{}), context.Background()
	_, raws, err := s.Cone(ctx, 30)
	if err != nil {
		t.Fatal(err)
	}
	var ids []ledger.ID
	for _, r := range (stardust.Codec{}).Identify(raws) {
		ids = append(ids, r.ID)
	}
	without := func(method string) {
		n.SetFaults(1, replay.INXRule{Method: method, Do: replay.INXRefuse(codes.Unimplemented)})
	}
	without(inx.ReadMilestoneCone)
	if _, _, err := s.Cone(ctx, 30); !errors.Is(err, ingest.ErrCannot) {
		t.Errorf("cone: %v", err)
	}
	without(inx.ReadMilestoneConeMetadata)
	if said, err := s.Claims(ctx, 30, ids); err != nil || len(said.Records) != len(ids) || len(ids) <= fewClaims {
		t.Errorf("%d claims about %d records, %v", len(said.Records), len(ids), err)
	}
	without(inx.ReadProtocolParameters)
	if _, err := s.Trust(ctx, nil); err != nil {
		t.Errorf("trust: %v", err)
	}
}

// A server that sends without end, each message in time, and all together far too slowly: no bound on sizes stops it in
// time.
func TestINXTrickle(t *testing.T) {
	n := newINXNode(t, "stardust-migration")
	s := n.source(INXConfig{Timeout: 200 * time.Millisecond})
	n.SetFaults(1, replay.INXRule{Method: inx.ReadMilestoneCone, Do: func(a *replay.INXAnswer, _ *rand.Rand) {
		message := a.Messages[0]
		a.Messages = nil
		a.Trickle = func() []byte {
			time.Sleep(20 * time.Millisecond)
			return message
		}
	}})
	began := time.Now()
	_, _, err := s.Cone(context.Background(), 2)
	if spent := time.Since(began); !errors.Is(err, errSilent) || spent > 5*time.Second {
		t.Errorf("after %s: %v", spent, err)
	}
}

// Half-open connections end with the timeout, and the next call finds the node on a new one.
func TestINXHalfOpen(t *testing.T) {
	n := newINXNode(t, "stardust-migration")
	s, ctx := n.source(INXConfig{Timeout: 100 * time.Millisecond}), context.Background()
	if _, _, err := s.Cone(ctx, 3); err != nil {
		t.Fatal(err)
	}
	n.server.Freeze()
	if _, _, err := s.Cone(ctx, 3); err == nil {
		t.Error("an answer through a frozen connection")
	}
	n.stop()
	n.start()
	for end := time.Now().Add(20 * time.Second); ; {
		if _, _, err := s.Cone(ctx, 3); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatalf("never again: %v", err)
		}
	}
}

// A half-open connection is given up too when nobody waits for the timeout, because other sources answer faster. One
// that answers is kept, whoever leaves.
func TestINXHalfOpenAndHurried(t *testing.T) {
	n := newINXNode(t, "stardust-migration")
	s := n.source(INXConfig{Timeout: 100 * time.Millisecond})
	hurried := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		if _, err := s.Info(ctx); err == nil {
			t.Error("an answer in a hurry")
		}
	}
	if _, err := s.Info(context.Background()); err != nil {
		t.Fatal(err)
	}
	first := s.begin()
	n.SetFaults(1, replay.INXRule{Method: inx.ReadNodeStatus, Do: replay.INXStall})
	for range 20 { // 200 ms in all
		hurried()
		if _, err := s.Head(context.Background(), 3); err != nil {
			t.Fatal(err)
		}
	}
	if s.begin() != first {
		t.Error("a connection that answers was given up")
	}
	n.server.Freeze()
	for end := time.Now().Add(20 * time.Second); s.begin() == first; hurried() {
		if time.Now().After(end) {
			t.Fatal("the frozen connection is kept")
		}
	}
}

// More questions at a time than a server takes streams, and callers that leave.
func TestINXManyQuestions(t *testing.T) {
	n := newINXNode(t, "stardust")
	s := n.source(INXConfig{Parallel: 100})
	if cap(s.calls) != maxCalls {
		t.Errorf("%d calls at a time", cap(s.calls))
	}
	var wg sync.WaitGroup
	for seq := uint64(1); seq <= 115; seq++ {
		wg.Go(func() {
			if _, _, err := s.Cone(context.Background(), seq); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	n.SetFaults(1, replay.INXRule{Do: replay.INXStall})
	ctx, cancel := context.WithCancel(context.Background())
	for range 3 * maxCalls {
		wg.Go(func() {
			if _, _, err := s.Cone(ctx, 30); !errors.Is(err, context.Canceled) {
				t.Errorf("a caller that left gets %v", err)
			}
		})
	}
	for len(s.calls) < maxCalls {
		runtime.Gosched()
	}
	cancel()
	wg.Wait()
	n.SetFaults(1)
	if _, err := s.Info(context.Background()); err != nil {
		t.Error(err)
	}
}

// A server that never answers, one that is none, and none at all.
func TestINXNobody(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := lis.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") // the client may be gone
				_ = c.Close()
			})
		}
	})
	for _, addr := range []string{lis.Addr().String(), "127.0.0.1:1"} {
		s, err := NewINX(INXConfig{Address: addr, Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Info(context.Background()); err == nil || errors.Is(err, ingest.ErrUnknown) {
			t.Errorf("%s: %v", addr, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := lis.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

// The trust file from a node's configuration is that of the recording's own parameters.
func TestINXTrust(t *testing.T) {
	for _, name := range []string{"stardust", "stardust-migration"} {
		want, err := os.ReadFile(filepath.Join(ledgertest.Recording(t, name), "trust.json"))
		if err != nil {
			t.Fatal(err)
		}
		known, err := stardust.Codec{}.ParseTrust(want)
		if err != nil {
			t.Fatal(err)
		}
		n := newINXNode(t, name)
		s, ctx := n.source(INXConfig{}), context.Background()
		got, err := s.Trust(ctx, known.Snapshot)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\n got %s\nwant %s", name, err, got, want)
		}
		// A node that has pruned still knows its keys.
		n.SetPruned(20)
		if got, err = s.Trust(ctx, known.Snapshot); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s, pruned: %v\n got %s\nwant %s", name, err, got, want)
		}
		n.SetFaults(1, replay.INXRule{Method: inx.ReadProtocolParameters, Do: replay.INXRefuse(codes.NotFound)})
		if got, err = s.Trust(ctx, known.Snapshot); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s, without parameters of then: %v\n got %s\nwant %s", name, err, got, want)
		}
		for what, edit := range map[string]func(c *inx.Configuration){
			"the configured keys did not sign": func(c *inx.Configuration) {
				for i := range c.Ranges {
					c.Ranges[i].Key = bytes.Repeat([]byte{byte(i)}, 32)
				}
			},
			"did not sign":  func(c *inx.Configuration) { c.KeyCount = 100 },
			"has 31 bytes":  func(c *inx.Configuration) { c.Ranges[0].Key = c.Ranges[0].Key[1:] },
			"1 to 255 keys": func(c *inx.Configuration) { c.KeyCount = 0 },
			"lies before start": func(c *inx.Configuration) {
				c.Ranges = append(c.Ranges, inx.KeyRange{Key: make([]byte, 32), Start: 9, End: 3})
			},
		} {
			n.SetFaults(1, replay.INXRule{Method: inx.ReadNodeConfiguration, Do: func(a *replay.INXAnswer, _ *rand.Rand) {
				c, err := inx.ParseConfiguration(a.Messages[0])
				if err != nil {
					t.Error(err)
					return
				}
				edit(c)
				a.Messages = [][]byte{c.Append(nil)}
			}})
			if _, err := s.Trust(ctx, nil); err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("%s: %q: %v", name, what, err)
			}
		}
	}
}
