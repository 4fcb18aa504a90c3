package stardusttest

import (
	"fmt"

	"permanode/ledger/stardust"
)

var (
	tags = []string{
		"", "INVOICE", "invoice", "HORNET Spammer", "sensor-node", "\x00", "a\x00b", "\x00\x01\x02\xff",
		"a tag that is exactly sixty-four bytes long, which is the most....",
	}
	texts = []string{
		"", "hello world", "net 30 days", "für", "權利的事情很有威力", "こんにちは、世界", "a\x00b end", "\xff\xfe no text",
		`{"device":"dev-00017","t":21.5}`, `{"id":1322146843034914816,"n":18446744073709551615,"x":1e400}`,
		`{"amount":1,"amount":2}`, `{"standard":"IRC27","name":123}`, `[1,2]`, `{"cut":`, "\xef\xbb\xbf" + `{"a":1}`,
	}
)

// tag returns a tag of at least that many bytes.
func (n *Network) tag(least int) []byte {
	if n.opts.Tag != nil {
		if t := n.opts.Tag(n.rng); len(t) >= least && len(t) <= stardust.MaxTagLen {
			return t
		}
	}
	for {
		if t := tags[n.rng.IntN(len(tags))]; len(t) >= least && len(t) <= stardust.MaxTagLen {
			return []byte(t)
		}
	}
}

// text returns what somebody wrote: mostly short, never empty in a feature.
func (n *Network) text() []byte {
	if n.opts.Text != nil {
		if t := n.opts.Text(n.rng); len(t) > 0 {
			return t
		}
	}
	t := texts[n.rng.IntN(len(texts))]
	return fmt.Appendf(nil, "%s %d", t, n.rng.IntN(1_000_000))
}

// data returns the payload of a block without transaction: seldom none, seldom a large one.
func (n *Network) data() stardust.Payload {
	switch p := n.rng.IntN(100); {
	case p < 8:
		return nil
	case p < 10:
		return &stardust.TaggedData{Tag: n.tag(0)}
	case p < 12:
		return &stardust.TaggedData{Tag: n.tag(0), Data: n.bytes(8<<10 + n.rng.IntN(20<<10))}
	}
	return &stardust.TaggedData{Tag: n.tag(0), Data: n.text()}
}
