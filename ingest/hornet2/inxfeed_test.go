package hornet2

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"permanode/ingest"
	"permanode/internal/replay"
	"permanode/internal/wire/inx"
)

// listenINX runs the feed of s until stop is called or the test ends.
func listenINX(t *testing.T, s *INX) (feed ingest.Feed, h *heard, stop func()) {
	t.Helper()
	feed, h = s.Feed(), &heard{}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	put := func([]byte) { t.Error("a block from a feed of none") }
	go func() { ended <- feed.Run(ctx, put, h.ring) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Run ends with %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Run does not end")
		}
		if feed.Status().Connected {
			t.Error("connected after its end")
		}
	})
	t.Cleanup(stop)
	return feed, h, stop
}

func (h *heard) all() []uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.rings)
}

// within waits until ok, which is asked again and again.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// The feed rings with what is there when it comes, then with each milestone, also when the tip jumps, and after the
// node was away.
func TestINXFeedRings(t *testing.T) {
	n := newINXNode(t, "stardust")
	n.SetTip(10)
	feed, h, stop := listenINX(t, n.source(INXConfig{Name: "node-a"}))
	within(t, "the first ring", func() bool { return h.last() == 10 })
	n.SetTip(11)
	n.SetTip(20)
	within(t, "the tip", func() bool { return h.last() == 20 })
	if got := h.all(); !slices.Equal(got, []uint64{10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}) {
		t.Errorf("rings %v", got)
	}
	s := feed.Status()
	if s.Name != "node-a" || feed.Name() != "node-a" || s.Address != "inx://"+n.at || !s.Connected || s.Last != 20 || s.Messages != 11 || s.Dropped != 0 || s.Reconnects != 0 {
		t.Errorf("%+v", s)
	}
	// The node ends, goes on in the dark, and comes back three milestones behind.
	n.stop()
	within(t, "the end", func() bool { return !feed.Status().Connected })
	if s := feed.Status(); s.Problem == "" {
		t.Errorf("%+v", s)
	}
	n.SetTip(17)
	n.start()
	within(t, "the node's return", func() bool { return h.last() == 17 })
	n.SetTip(25)
	within(t, "the tip", func() bool { return h.last() == 25 })
	got := h.all()
	if got = got[11:]; !slices.Equal(got, []uint64{17, 18, 19, 20, 21, 22, 23, 24, 25}) {
		t.Errorf("rings %v", got)
	}
	if s := feed.Status(); s.Reconnects == 0 || !s.Connected || s.Last != 25 {
		t.Errorf("%+v", s)
	}
	stop()
}

// A feed that begins before its node is there.
func TestINXFeedWaitsForItsNode(t *testing.T) {
	n := newINXNode(t, "stardust-migration")
	n.stop()
	feed, h, _ := listenINX(t, n.source(INXConfig{}))
	within(t, "a problem", func() bool { return strings.Contains(feed.Status().Problem, "refused") })
	n.start()
	within(t, "a ring", func() bool { return h.last() == n.Tip() })
	if s := feed.Status(); !s.Connected || s.Reconnects != 0 {
		t.Errorf("%+v", s)
	}
}

// A connection that is half open is noticed within some timeouts, and so is a stream that stalls while the node goes
// on: what was confirmed meanwhile is rung at once.
func TestINXFeedSilence(t *testing.T) {
	n := newINXNode(t, "stardust-migration")
	n.SetTip(5)
	feed, h, _ := listenINX(t, n.source(INXConfig{Timeout: 50 * time.Millisecond}))
	within(t, "a ring", func() bool { return h.last() == 5 })
	n.server.Freeze()
	within(t, "the silence", func() bool { return !feed.Status().Connected })
	n.stop()
	n.SetTip(8)
	n.start()
	within(t, "a ring", func() bool { return h.last() == 8 })

	// A node that confirms nothing for a while is asked, and stays connected.
	before := feed.Status().Reconnects
	time.AfterFunc(300*time.Millisecond, func() { n.SetTip(9) })
	within(t, "a ring", func() bool { return h.last() == 9 })
	if s := feed.Status(); s.Reconnects != before {
		t.Errorf("%+v", s)
	}

	// The stream stalls and the node goes on.
	n.SetFaults(1, replay.INXRule{Method: inx.ListenToConfirmedMilestones, Do: func(a *replay.INXAnswer, _ *rand.Rand) {
		a.Messages, a.Stall = nil, true
	}})
	n.SetTip(12)
	within(t, "a ring in spite of it", func() bool { return h.last() == 12 })
	within(t, "another connection", func() bool { return feed.Status().Reconnects > before })
	n.SetFaults(1)
	n.SetTip(15)
	within(t, "a ring", func() bool { return h.last() == 15 && feed.Status().Connected })
}

// Broken messages and refusals are no rings, are counted, and end nothing.
func TestINXFeedBrokenMessages(t *testing.T) {
	n := newINXNode(t, "stardust-migration")
	n.SetTip(5)
	feed, h, _ := listenINX(t, n.source(INXConfig{Timeout: 500 * time.Millisecond}))
	within(t, "a ring", func() bool { return h.last() == 5 })
	dropped := uint64(0)
	for tip, message := range [][]byte{{}, {0xff}, {0x0a, 0}, (&inx.Confirmed{Milestone: &inx.Milestone{Info: &inx.MilestoneInfo{}}}).Append(nil)} {
		n.SetFaults(1, replay.INXRule{Method: inx.ListenToConfirmedMilestones, Do: func(a *replay.INXAnswer, _ *rand.Rand) {
			a.Messages = [][]byte{message}
		}})
		n.SetTip(6 + uint64(tip))
		dropped++
		within(t, "a dropped message", func() bool { return feed.Status().Dropped == dropped })
	}
	if s := feed.Status(); h.last() != 5 || s.Problem == "" || !s.Connected {
		t.Errorf("rings %v, %+v", h.all(), s)
	}
	for _, do := range []replay.INXFault{replay.INXRefuse(codes.InvalidArgument), replay.INXEnd, replay.INXCut} {
		n.SetFaults(1, replay.INXRule{Method: inx.ListenToConfirmedMilestones, Do: func(a *replay.INXAnswer, rng *rand.Rand) {
			do(a, rng)
			a.Messages = nil
			if a.Err == nil {
				a.Err = errors.New("over")
			}
		}})
		before := feed.Status().Reconnects
		n.SetTip(n.Tip() + 1)
		within(t, "another connection", func() bool { return feed.Status().Reconnects > before })
	}
	n.SetFaults(1)
	n.SetTip(30)
	within(t, "the tip", func() bool { return h.last() == 30 })
}
