package replay

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"

	"permanode/ledger"
)

// Topics of inx-mqtt 1.0.0 that a Broker publishes. Source: TIP-28.
const (
	topicLatest     = "milestone-info/latest"
	topicConfirmed  = "milestone-info/confirmed"
	topicMilestones = "milestones"
	topicBlocks     = "blocks"
	topicReferenced = "block-metadata/referenced"
	topicTipScores  = "tip-score-updates" // asked for by anybody, it doubles the one before for everybody
)

// talk is what one run has to say.
type talk struct {
	*brokerRun
	rng   *rand.Rand
	last  uint64 // the tip up to which all was published
	early int    // records of the unit after it that were published already
}

// publish follows the node's tip, which was tip when moved was made, until ctx ends.
func (r *brokerRun) publish(ctx context.Context, tip uint64, moved <-chan struct{}) {
	t := &talk{brokerRun: r, rng: rand.New(rand.NewPCG(r.b.cfg.Seed, tip)), last: tip}
	for {
		select {
		case <-ctx.Done():
			return
		case topic := <-r.asked:
			if topic == topicLatest || topic == topicConfirmed {
				t.say(topic, t.info(t.last))
			}
		case <-moved:
			tip, _, moved = r.b.node.span()
			for t.last < tip {
				t.unit(t.last + 1)
			}
			t.last = tip // it may have gone backwards
			t.told()
		}
	}
}

// told says that all of the tip was published.
func (t *talk) told() {
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	t.b.done = t.last
	close(t.b.moves)
	t.b.moves = make(chan struct{})
}

// unit publishes all that belongs to unit seq, and perhaps some records of the next one: what comes in is published
// before it is confirmed. The order within a topic is kept; between topics there is none.
func (t *talk) unit(seq uint64) {
	ids := t.cone(seq)
	streams := [][]Message{t.infos(topicLatest, seq), t.infos(topicConfirmed, seq), t.milestone(seq), t.metadata(ids)}
	next := t.cone(seq + 1)
	early := t.rng.IntN(len(next) + 1)
	streams = append(streams, append(t.records(ids[min(t.early, len(ids)):]), t.records(next[:early])...))
	t.last, t.early = seq, early
	for len(streams) > 0 {
		i := t.rng.IntN(len(streams))
		if len(streams[i]) == 0 {
			streams = append(streams[:i], streams[i+1:]...)
			continue
		}
		m := streams[i][0]
		streams[i] = streams[i][1:]
		t.say(m.Topic, m.Payload)
	}
}

// say publishes one message to those who asked for it.
func (t *talk) say(topic string, payload []byte) {
	t.b.mu.Lock()
	muted := t.b.muted
	t.b.mu.Unlock()
	if payload == nil || muted || !t.wanted(topic) {
		return
	}
	all := []Message{{topic, payload}}
	if trick := t.b.cfg.Trick; trick != nil {
		all = trick(all[0], t.rng)
	}
	for _, m := range all {
		_ = t.server.Publish(m.Topic, m.Payload, false, 2) // to whom it may concern
	}
}

func (t *talk) infos(topic string, seq uint64) []Message {
	return []Message{{topic, t.info(seq)}}
}

// info is the current state of the node, nil if the recording does not tell.
func (t *talk) info(seq uint64) []byte {
	m, err := t.b.node.rec.milestone(seq)
	if m == nil || err != nil { // a spool that cannot be read any more; the REST side says so
		return nil
	}
	return fmt.Appendf(nil, `{"index":%d,"timestamp":%d,"milestoneId":"0x%x"}`, m.Info.Index, m.Info.Time, m.Info.ID)
}

func (t *talk) milestone(seq uint64) []Message {
	m, err := t.b.node.rec.milestone(seq)
	if m == nil || err != nil {
		return nil
	}
	return []Message{{topicMilestones, m.Raw}}
}

// cone returns the records of a unit of the recording.
func (t *talk) cone(seq uint64) []ledger.ID {
	c, err := t.b.node.rec.cones()
	if err != nil {
		return nil
	}
	return c.units[seq]
}

func (t *talk) records(ids []ledger.ID) (out []Message) {
	if !t.wanted(topicBlocks) {
		return nil
	}
	for _, id := range ids {
		if raw, err := t.b.node.rec.block([32]byte(id.Bytes())); err == nil && raw != nil {
			out = append(out, Message{topicBlocks, raw})
		}
	}
	return out
}

func (t *talk) metadata(ids []ledger.ID) (out []Message) {
	if !t.wanted(topicReferenced) {
		return nil
	}
	times := 1
	if t.wanted(topicTipScores) {
		times = 2
	}
	for _, id := range ids {
		if raw := t.b.node.rec.referenced(id); raw != nil {
			for range times {
				out = append(out, Message{topicReferenced, raw})
			}
		}
	}
	return out
}

// referenced is what the node said of a record, as MQTT says it; nil if it was not recorded.
func (r *Recording) referenced(id ledger.ID) []byte {
	p, ok := r.routes[routeKey(http.MethodGet, blockPath+"0x"+id.String()+"/metadata", "")]
	if !ok || p.status != http.StatusOK {
		return nil
	}
	body, err := r.read(p, 0)
	if err == nil {
		body, err = editObject(body, func(v map[string]any) {
			v["parentBlockIds"] = v["parents"]
			delete(v, "parents")
		})
	}
	if err != nil {
		return nil
	}
	return body
}

// Play publishes a recorded conversation in its order, as fast as it can be read: lines of JSON with topic and hex,
// others are skipped. It returns how many messages were published.
func (b *Broker) Play(ctx context.Context, conversation io.Reader) (n int, err error) {
	r := b.run()
	if r == nil {
		return 0, errors.New("play a conversation: the broker is stopped")
	}
	lines := bufio.NewReaderSize(conversation, 1<<16)
	var buf []byte
	for number := 1; ; number++ {
		line, err := readLine(lines, buf[:0])
		buf = line
		if err != nil && !errors.Is(err, io.EOF) {
			return n, fmt.Errorf("conversation line %d: %w", number, err)
		}
		said, badLine := r.repeat(line)
		if badLine != nil {
			return n, fmt.Errorf("conversation line %d: %w", number, badLine)
		}
		n += said
		if err != nil {
			return n, ctx.Err()
		}
		if ctx.Err() != nil {
			return n, ctx.Err()
		}
	}
}

// repeat publishes one line of a conversation.
func (r *brokerRun) repeat(line []byte) (said int, err error) {
	if strings.TrimSpace(string(line)) == "" {
		return 0, nil
	}
	var m struct {
		Topic string `json:"topic"`
		Hex   string `json:"hex"`
	}
	if err := json.Unmarshal(line, &m); err != nil {
		return 0, fmt.Errorf("%w: %w", err, ErrRecording)
	}
	if m.Topic == "" || !r.wanted(m.Topic) {
		return 0, nil
	}
	payload, err := hex.DecodeString(m.Hex)
	if err != nil {
		return 0, fmt.Errorf("hex: %w: %w", err, ErrRecording)
	}
	return 1, r.server.Publish(m.Topic, payload, false, 2)
}
