package replay_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"permanode/internal/replay"
	"permanode/internal/wire/frame"
	"permanode/internal/wire/inx"
	"permanode/ledger/ledgertest"
)

// inxNode serves a recording over INX.
func inxNode(t *testing.T, name string) (*replay.Node, *replay.INX, *replay.INXServer) {
	t.Helper()
	rec, err := replay.OpenRecording(os.DirFS(ledgertest.Recording(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	node := replay.NewNode(rec)
	x, err := replay.NewINX(node)
	if err != nil {
		t.Fatal(err)
	}
	s, err := x.Serve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		if err := rec.Close(); err != nil {
			t.Error(err)
		}
	})
	return node, x, s
}

func dial(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(frame.Codec{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // some tests close it first
	return conn
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// ask makes a call and returns the messages of its answer.
func ask(ctx context.Context, conn *grpc.ClientConn, method string, question []byte) (messages [][]byte, err error) {
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	if err == nil {
		err = s.SendMsg(frame.Bytes(question))
	}
	if err == nil {
		err = s.CloseSend()
	}
	for err == nil {
		var m frame.Bytes
		if err = s.RecvMsg(&m); err == nil {
			messages = append(messages, m)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return messages, err
}

func about(seq uint64) []byte {
	return (&inx.MilestoneRequest{Index: uint32(seq)}).Append(nil)
}

// jsonLines calls do with every line of a file, which may be packed.
func jsonLines[T any](t *testing.T, name string, do func(line T)) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if filepath.Ext(name) == ".gz" {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line T
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		do(line)
	}
	if lines.Err() != nil {
		t.Fatal(lines.Err())
	}
}

func sumOf(messages [][]byte) string {
	h := sha256.New()
	for _, m := range messages {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(m))))
		h.Write(m)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// What is served over INX, made from what the node said over REST, is byte for byte what the node itself sent over
// INX when it was recorded. Of the larger recording the digests of that are kept.
func TestINXSendsWhatTheNodeSent(t *testing.T) {
	type line struct {
		RPC       string          `json:"rpc"`
		Event     string          `json:"ev"`
		Milestone uint64          `json:"milestone"`
		Hex       *ledgertest.Hex `json:"hex"`
	}
	t.Run("stardust-migration", func(t *testing.T) {
		dir := ledgertest.Recording(t, "stardust-migration")
		_, _, s := inxNode(t, "stardust-migration")
		conn, ctx := dial(t, s.Addr()), limited(t)
		var want [][]byte
		units, seq := 0, uint64(0)
		jsonLines(t, filepath.Join(dir, "inx-cones.jsonl.gz"), func(l line) {
			switch {
			case l.Event == "begin":
				seq, want = l.Milestone, nil
			case l.Hex != nil:
				want = append(want, *l.Hex)
			default:
				units++
				got, err := ask(ctx, conn, inx.ReadMilestoneCone, about(seq))
				if err != nil || sumOf(got) != sumOf(want) {
					t.Errorf("cone of unit %d: %d messages, want %d, %v", seq, len(got), len(want), err)
				}
			}
		})
		var stream, config [][]byte
		jsonLines(t, filepath.Join(dir, "inx.jsonl.gz"), func(l line) {
			switch l.RPC {
			case "ListenToConfirmedMilestones":
				stream = append(stream, *l.Hex)
			case "ReadNodeConfiguration":
				config = append(config, *l.Hex)
			}
		})
		first, err := inx.ParseConfirmed(stream[0])
		if err != nil {
			t.Fatal(err)
		}
		last, err := inx.ParseConfirmed(stream[len(stream)-1])
		if err != nil {
			t.Fatal(err)
		}
		req := inx.RangeRequest{Start: first.Milestone.Info.Index, End: min(last.Milestone.Info.Index, 32)}
		got, err := ask(ctx, conn, inx.ListenToConfirmedMilestones, req.Append(nil))
		if err != nil || len(got) != int(req.End-req.Start+1) || sumOf(got) != sumOf(stream[:len(got)]) {
			t.Errorf("%d confirmed milestones, want %d to %d, %v", len(got), req.Start, req.End, err)
		}
		if got, err = ask(ctx, conn, inx.ReadNodeConfiguration, nil); err != nil || sumOf(got) != sumOf(config) {
			t.Errorf("configuration\n got %x\nwant %x\n%v", got, config, err)
		}
		if units == 0 || len(stream) == 0 || len(config) == 0 {
			t.Errorf("%d units, %d milestones, %d configurations recorded", units, len(stream), len(config))
		}
	})
	t.Run("stardust", func(t *testing.T) {
		_, _, s := inxNode(t, "stardust")
		conn, ctx, units := dial(t, s.Addr()), limited(t), 0
		jsonLines(t, filepath.Join(ledgertest.Recording(t, "stardust"), "inx-cones.sha256.jsonl"), func(l struct {
			Milestone uint64 `json:"milestone"`
			Messages  int    `json:"messages"`
			SHA256    string `json:"sha256"`
		},
		) {
			units++
			got, err := ask(ctx, conn, inx.ReadMilestoneCone, about(l.Milestone))
			if err != nil || len(got) != l.Messages || sumOf(got) != l.SHA256 {
				t.Errorf("cone of unit %d: %d messages, want %d, %v", l.Milestone, len(got), l.Messages, err)
			}
			metadata, err := ask(ctx, conn, inx.ReadMilestoneConeMetadata, about(l.Milestone))
			if err != nil || len(metadata) != len(got) {
				t.Errorf("metadata of unit %d: %d messages, want %d, %v", l.Milestone, len(metadata), len(got), err)
			}
			for i := range metadata {
				if b, err := inx.ParseBlock(got[i]); err != nil || !bytes.Equal(b.Metadata.Append(nil), metadata[i]) {
					t.Errorf("unit %d, block %d: metadata %x, %v", l.Milestone, i, metadata[i], err)
				}
			}
		})
		if units == 0 {
			t.Error("no digests")
		}
	})
}

func wantCode(t *testing.T, what string, err error, code codes.Code) {
	t.Helper()
	if status.Code(err) != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

// The answers about what is not there, and the other ways to ask.
func TestINXAnswers(t *testing.T) {
	node, _, s := inxNode(t, "stardust-migration")
	conn, ctx := dial(t, s.Addr()), limited(t)
	got, err := ask(ctx, conn, inx.ReadMilestone, about(5))
	if err != nil || len(got) != 1 {
		t.Fatalf("%d messages, %v", len(got), err)
	}
	five, err := inx.ParseMilestone(got[0])
	if err != nil || five.Info.Index != 5 || five.Info.Time == 0 {
		t.Fatalf("%+v, %v", five, err)
	}
	byID, err := ask(ctx, conn, inx.ReadMilestone, (&inx.MilestoneRequest{ID: five.Info.ID}).Append(nil))
	if err != nil || sumOf(byID) != sumOf(got) {
		t.Errorf("by id: %x, %v", byID, err)
	}
	entry, err := ask(ctx, conn, inx.ReadBlockMetadata, inx.AppendWrapped(nil, make([]byte, 32)))
	if err != nil || len(entry) != 1 {
		t.Fatalf("entry point: %x, %v", entry, err)
	}
	if m, err := inx.ParseMetadata(entry[0]); err != nil || !m.Solid || m.Parents != nil || m.Referenced != 0 {
		t.Errorf("entry point: %+v, %v", m, err)
	}
	cone, err := ask(ctx, conn, inx.ReadMilestoneCone, about(3))
	if err != nil || len(cone) == 0 {
		t.Fatalf("%d messages, %v", len(cone), err)
	}
	b, err := inx.ParseBlock(cone[0])
	if err != nil {
		t.Fatal(err)
	}
	id := inx.AppendWrapped(nil, b.Metadata.ID)
	if got, err = ask(ctx, conn, inx.ReadBlock, id); err != nil || sumOf(got) != sumOf([][]byte{inx.AppendWrapped(nil, b.Raw)}) {
		t.Errorf("block: %x, %v", got, err)
	}
	if got, err = ask(ctx, conn, inx.ReadBlockMetadata, id); err != nil || sumOf(got) != sumOf([][]byte{b.Metadata.Append(nil)}) {
		t.Errorf("metadata: %x, %v", got, err)
	}
	for what, method := range map[string]string{"milestone": inx.ReadMilestone, "cone": inx.ReadMilestoneCone, "metadata": inx.ReadMilestoneConeMetadata} {
		_, err = ask(ctx, conn, method, about(1000))
		wantCode(t, what+" beyond the tip", err, codes.NotFound)
		_, err = ask(ctx, conn, method, (&inx.MilestoneRequest{ID: make([]byte, 32)}).Append(nil))
		wantCode(t, what+" of an unknown id", err, codes.NotFound)
	}
	_, err = ask(ctx, conn, inx.ReadBlock, inx.AppendWrapped(nil, bytes.Repeat([]byte{7}, 32)))
	wantCode(t, "unknown block", err, codes.NotFound)
	_, err = ask(ctx, conn, inx.ReadMilestone, []byte{8})
	wantCode(t, "malformed", err, codes.InvalidArgument)
	_, err = ask(ctx, conn, "/inx.INX/SubmitBlock", nil)
	wantCode(t, "another call", err, codes.Unimplemented)

	node.SetTip(2)
	if got, err = ask(ctx, conn, inx.ReadBlockMetadata, id); err != nil || len(got) != 1 {
		t.Fatal(err)
	}
	if m, err := inx.ParseMetadata(got[0]); err != nil || m.Referenced != 0 || !m.Solid || len(m.Parents) == 0 {
		t.Errorf("metadata before the block was confirmed: %+v, %v", m, err)
	}
	node.SetTip(30)
	node.SetPruned(3)
	_, err = ask(ctx, conn, inx.ReadMilestoneCone, about(3))
	wantCode(t, "pruned cone", err, codes.NotFound)
	_, err = ask(ctx, conn, inx.ReadBlock, id)
	wantCode(t, "pruned block", err, codes.NotFound)
	_, err = ask(ctx, conn, inx.ListenToConfirmedMilestones, (&inx.RangeRequest{Start: 3}).Append(nil))
	wantCode(t, "pruned range", err, codes.InvalidArgument)
	got, err = ask(ctx, conn, inx.ReadNodeStatus, nil)
	if err != nil || len(got) != 1 {
		t.Fatal(err)
	}
	st, err := inx.ParseStatus(got[0])
	if err != nil || st.TanglePruned != 3 || st.Confirmed.Info.Index != 30 || len(st.Confirmed.Raw) == 0 || st.LedgerIndex != 30 {
		t.Errorf("%+v, %v", st, err)
	}
}

// follow opens a stream and returns what receives the number of its next milestone.
func follow(ctx context.Context, t *testing.T, conn *grpc.ClientConn, req inx.RangeRequest) func() uint32 {
	t.Helper()
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, inx.ListenToConfirmedMilestones)
	if err == nil {
		err = errors.Join(s.SendMsg(frame.Bytes(req.Append(nil))), s.CloseSend())
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() uint32 {
		t.Helper()
		var raw frame.Bytes
		if err := s.RecvMsg(&raw); err != nil {
			if status.Code(err) != codes.Unavailable && !errors.Is(err, io.EOF) {
				t.Errorf("stream ends with %v", err)
			}
			return 0
		}
		m, err := inx.ParseConfirmed(raw)
		if err != nil {
			t.Fatal(err)
		}
		return m.Milestone.Info.Index
	}
}

// A stream brings what is there and goes on with the tip, without a gap, also when that jumps or goes back. It ends
// with the node.
func TestINXFollowsTheTip(t *testing.T) {
	node, _, s := inxNode(t, "stardust-migration")
	node.SetTip(5)
	conn, ctx := dial(t, s.Addr()), limited(t)
	next := follow(ctx, t, conn, inx.RangeRequest{Start: 4})
	live := make(chan uint32)
	for want := uint32(4); want <= 5; want++ {
		if got := next(); got != want {
			t.Fatalf("milestone %d, want %d", got, want)
		}
	}
	go func() {
		defer close(live)
		for got := next(); got != 0; got = next() {
			live <- got
		}
	}()
	node.SetTip(3)
	node.SetTip(6)
	node.SetTip(9)
	for want := uint32(6); want <= 9; want++ {
		if got := <-live; got != want {
			t.Fatalf("milestone %d, want %d", got, want)
		}
	}
	bounded := follow(ctx, t, conn, inx.RangeRequest{Start: 8, End: 9})
	if a, b, c := bounded(), bounded(), bounded(); a != 8 || b != 9 || c != 0 {
		t.Errorf("bounded range gives %d, %d, %d", a, b, c)
	}
	s.Stop()
	if got, ok := <-live; ok {
		t.Errorf("milestone %d from a node that is not there", got)
	}
}

// A frozen server keeps its connections and is silent, also towards new clients.
func TestINXFreezes(t *testing.T) {
	_, _, s := inxNode(t, "stardust-migration")
	conn, ctx := dial(t, s.Addr()), limited(t)
	if _, err := ask(ctx, conn, inx.ReadMilestone, about(1)); err != nil {
		t.Fatal(err)
	}
	s.Freeze()
	for _, c := range []*grpc.ClientConn{conn, dial(t, s.Addr())} {
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		_, err := ask(short, c, inx.ReadMilestone, about(1))
		wantCode(t, "frozen", err, codes.DeadlineExceeded)
		cancel()
	}
}

// Every fault does what it says, to the messages of one answer.
func TestINXFaults(t *testing.T) {
	_, x, s := inxNode(t, "stardust")
	conn, ctx := dial(t, s.Addr()), limited(t)
	const seq = 20
	honest, err := ask(ctx, conn, inx.ReadMilestoneCone, about(seq))
	if err != nil || len(honest) < 5 {
		t.Fatalf("%d messages, %v", len(honest), err)
	}
	same := func(a, b [][]byte) (n int) { // messages of a that are in b
		in := map[string]bool{}
		for _, m := range b {
			in[string(m)] = true
		}
		for _, m := range a {
			if in[string(m)] {
				n++
			}
		}
		return n
	}
	n := len(honest)
	down := func(seq uint64) uint64 { return seq - 1 }
	for name, v := range map[string]struct {
		do   replay.INXFault
		good func(got [][]byte, err error) bool
	}{
		"cut": {replay.INXCut, func(got [][]byte, err error) bool {
			return status.Code(err) == codes.Unavailable && same(got, honest) == len(got)
		}},
		"end":      {replay.INXEnd, func(got [][]byte, err error) bool { return err == nil && len(got) <= n }},
		"refuse":   {replay.INXRefuse(codes.Internal), func(got [][]byte, err error) bool { return status.Code(err) == codes.Internal && got == nil }},
		"shuffle":  {replay.INXShuffle, func(got [][]byte, _ error) bool { return same(got, honest) == n && sumOf(got) != sumOf(honest) }},
		"drop":     {replay.INXDrop, func(got [][]byte, _ error) bool { return same(got, honest) == n-1 && len(got) == n-1 }},
		"double":   {replay.INXDouble, func(got [][]byte, _ error) bool { return same(got, honest) == n+1 && len(got) == n+1 }},
		"foreign":  {replay.INXForeign(down), func(got [][]byte, _ error) bool { return same(got, honest) == n && len(got) == n+1 }},
		"instead":  {replay.INXInstead(down), func(got [][]byte, _ error) bool { return same(got, honest) == 0 && len(got) > 0 }},
		"flip":     {replay.INXFlip, func(got [][]byte, _ error) bool { return same(got, honest) == n-1 && len(got) == n }},
		"flip raw": {replay.INXFlipBlock, func(got [][]byte, _ error) bool { return same(got, honest) == n-1 && len(got) == n }},
		"stall": {replay.INXStall, func(got [][]byte, err error) bool {
			return status.Code(err) == codes.DeadlineExceeded && same(got, honest) == len(got)
		}},
	} {
		x.SetFaults(1, replay.INXRule{Method: inx.ReadMilestoneCone, Seq: seq, Do: v.do})
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		if got, err := ask(short, conn, inx.ReadMilestoneCone, about(seq)); !v.good(got, err) {
			t.Errorf("%s: %d messages of %d, %d of them honest, %v", name, len(got), n, same(got, honest), err)
		}
		cancel()
		if got, err := ask(ctx, conn, inx.ReadMilestoneCone, about(seq+1)); err != nil || len(got) == 0 {
			t.Errorf("%s: another unit suffers too: %v", name, err)
		}
	}
}
