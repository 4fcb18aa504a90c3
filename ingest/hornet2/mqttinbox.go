package hornet2

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"permanode/ingest"
)

// The topics that are asked for, of TIP-28. Only exact names make the broker publish.
const (
	topicConfirmed  = "milestone-info/confirmed"
	topicMilestones = "milestones"
	topicBlocks     = "blocks"
)

var topics = []string{topicConfirmed, topicMilestones, topicBlocks}

const (
	maxInfoMessage   = 4 << 10 // real ones have some 120 bytes
	milestonePayload = 7       // type of a milestone payload; the index follows. TIP-29
	queuedBlocks     = 8192    // at most; QueueBytes is the other bound
)

// inbox takes messages as fast as they come, so that the broker drops none for us, and hands them on as fast as
// they are taken: blocks from a bounded queue, which drops when it is full, and only the newest ring.
type inbox struct {
	meter *ingest.FeedMeter
	limit int64
	heard atomic.Uint64 // messages that had their topic's form
	alive chan struct{} // holds one, when a message came

	blocks chan []byte
	queued atomic.Int64 // bytes in blocks
	unit   atomic.Uint64
	bell   chan struct{} // holds one, when unit was set
}

func newInbox(meter *ingest.FeedMeter, limit int64) *inbox {
	return &inbox{
		meter: meter, limit: limit, alive: make(chan struct{}, 1), blocks: make(chan []byte, queuedBlocks), bell: make(chan struct{}, 1),
	}
}

// take judges one message and never blocks.
func (in *inbox) take(topic string, payload []byte) {
	in.meter.Message(len(payload))
	var err error
	switch topic {
	case topicBlocks:
		err = in.block(payload)
	case topicConfirmed, topicMilestones:
		var seq uint64
		if seq, err = unitOf(topic, payload); err == nil {
			in.unit.Store(seq)
			signal(in.bell)
		}
	default:
		err = fmt.Errorf("a message of a topic that nobody asked for: %.40q", topic)
	}
	if err != nil {
		in.meter.Drop(err.Error())
		return
	}
	in.heard.Add(1)
	signal(in.alive)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (in *inbox) block(raw []byte) error {
	size := int64(len(raw))
	switch {
	case size == 0 || size > maxBlock:
		return fmt.Errorf("a block of %d bytes; 1 to %d are possible", size, maxBlock)
	case in.queued.Load()+size > in.limit:
		return errBehind
	}
	select {
	case in.blocks <- bytes.Clone(raw):
		in.queued.Add(size)
		return nil
	default:
		return errBehind
	}
}

// errBehind is why blocks are dropped that came whole; they are fetched when they are needed.
var errBehind = errors.New("blocks came faster than they could be taken")

// unitOf reads the number of a milestone from a message that rings.
func unitOf(topic string, payload []byte) (seq uint64, err error) {
	var index uint32
	if topic == topicMilestones {
		if len(payload) < 8 || len(payload) > maxUnit || binary.LittleEndian.Uint32(payload) != milestonePayload {
			return 0, fmt.Errorf("%d bytes that are no milestone", len(payload))
		}
		index = binary.LittleEndian.Uint32(payload[4:])
	} else {
		var m struct {
			Index *uint32 `json:"index"`
		}
		if len(payload) > maxInfoMessage || json.Unmarshal(payload, &m) != nil || m.Index == nil {
			return 0, fmt.Errorf("%d bytes that are no milestone info", len(payload))
		}
		index = *m.Index
	}
	if index == 0 {
		return 0, errors.New("milestone 0, which cannot be")
	}
	return uint64(index), nil
}

// deliver hands blocks on until ctx ends.
func (in *inbox) deliver(ctx context.Context, put func(raw []byte)) error {
	for {
		select {
		case raw := <-in.blocks:
			in.queued.Add(-int64(len(raw)))
			put(raw)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// toll rings until ctx ends.
func (in *inbox) toll(ctx context.Context, ring func(seq uint64)) error {
	for {
		select {
		case <-in.bell:
			seq := in.unit.Load()
			in.meter.Rang(seq)
			ring(seq)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// listen waits until ctx ends or no message came for the time of silence.
func (in *inbox) listen(ctx context.Context, silence time.Duration) error {
	t := time.NewTimer(silence)
	defer t.Stop()
	for {
		select {
		case <-in.alive:
			t.Reset(silence)
		case <-t.C:
			return fmt.Errorf("%w for %s", errSilence, silence)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
