package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"permanode/ledger"
	"permanode/ledger/rebased"
	"permanode/ledger/stardust"
	"permanode/query"
)

// demoCount counts what the archive holds of a network and had to prove for it.
type demoCount struct {
	units, records, signatures, outputs, gaps, bytes uint64
	failed, committees, events                       uint64
	example                                          string // id of a record worth a look
	unit                                             uint64 // and its unit
}

// add reads the whole archive of n.
func (c *demoCount) add(ctx context.Context, a *query.Archive, n query.Network, count func(query.Network, *demoCount, *ledger.Cone) error) error {
	e, err := a.Extent(ctx, n)
	if err != nil {
		return err
	}
	for _, g := range e.Gaps {
		c.gaps += g.To - g.From + 1
	}
	return a.Cones(ctx, []query.Network{n}, func(_ query.Network, cone *ledger.Cone) error {
		c.units++
		c.records += uint64(len(cone.Records))
		for i := range cone.Records {
			for _, p := range cone.Records[i].Parts {
				c.bytes += uint64(len(p.Raw))
			}
		}
		return count(n, c, cone)
	}, func(uint64, uint64) {})
}

func countStardust(n query.Network, c *demoCount, cone *ledger.Cone) error {
	m, err := stardust.ParseMilestone(n.Codec.Head(cone.Unit))
	if err != nil {
		return fmt.Errorf("unit %d: %w", cone.Unit.Seq, err)
	}
	c.signatures += uint64(len(m.Signatures))
	for i := range cone.Records {
		r := &cone.Records[i]
		block, err := stardust.ParseBlock(r.Parts[0].Raw)
		if err != nil {
			return fmt.Errorf("record %s: %w", n.Codec.FormatID(r.ID), err)
		}
		tx, ok := block.Payload.(*stardust.Transaction)
		if !ok {
			continue
		}
		for i := range tx.Unlocks {
			if tx.Unlocks[i].Type == stardust.UnlockSignature {
				c.signatures++
			}
		}
		if r.State == ledger.Applied {
			c.outputs += uint64(len(tx.Outputs))
			c.example, c.unit = n.Codec.FormatID(r.ID), r.Ord.Seq
		}
	}
	return nil
}

func countRebased(n query.Network, c *demoCount, cone *ledger.Cone) error {
	s, err := rebased.ParseSummary(cone.Unit.Header)
	if err != nil {
		return fmt.Errorf("unit %d: %w", cone.Unit.Seq, err)
	}
	if s.EndOfEpoch != nil {
		c.committees++
	}
	for i := range cone.Records {
		r := &cone.Records[i]
		tx, err := rebased.ParseSenderSigned(r.Parts[0].Raw)
		if err != nil {
			return fmt.Errorf("record %s: %w", n.Codec.FormatID(r.ID), err)
		}
		if r.State == ledger.ExecutedFailure {
			c.failed++
		}
		if tx.Data.Sender != (rebased.Address{}) {
			c.signatures += uint64(len(tx.Signatures))
		}
		for _, p := range r.Parts {
			switch p.Kind {
			case ledger.PartOutput:
				c.outputs++
			case ledger.PartEvents:
				c.events++
				c.example, c.unit = n.Codec.FormatID(r.ID), r.Ord.Seq
			}
		}
	}
	return nil
}

// demoPlaces is where the demo can be reached.
type demoPlaces struct{ api, plug, metrics, dir string }

func (p *program) demoReport(ctx context.Context, a *query.Archive, nets []*demoNet, at demoPlaces) error {
	try := ""
	for _, net := range nets {
		selected, err := a.Select(ctx, net.Network)
		if err != nil {
			return err
		}
		n := selected[0]
		var c demoCount
		if err := c.add(ctx, a, n, net.count); err != nil {
			return err
		}
		if err := p.printf("%s\n", c.text(n, net)); err != nil {
			return err
		}
		more, err := c.commands(ctx, a, n, net, at)
		if err != nil {
			return err
		}
		try += more
	}
	return p.printf(`Try, in another terminal:
%s  curl http://%s/metrics
%s
The API answers at http://%s until Ctrl-C. The archive stays in %s; then also: %s check --full --data %s
`, try, at.metrics, plugText(nets, at.plug), at.api, at.dir, os.Args[0], at.dir)
}

// commands are what a stranger can try with a network.
func (c *demoCount) commands(ctx context.Context, a *query.Archive, n query.Network, net *demoNet, at demoPlaces) (string, error) {
	server := "http://" + at.api
	base := fmt.Sprintf("%s/v1/networks/%s", server, n.Name)
	text := fmt.Sprintf("  curl %s/coverage\n  curl %s/records/%s\n  curl '%s/units/%d/records?limit=3'\n", base, base, c.example, base, c.unit)
	if net.node == nil {
		return text, nil
	}
	r, err := a.Resource(ctx, n, c.example)
	if err != nil {
		return "", err
	}
	shown, err := a.Describe(ctx, n, &r)
	if err != nil {
		return "", err
	}
	signed, err := time.Parse(time.RFC3339, shown.Time)
	if err != nil {
		return "", err
	}
	for _, q := range demoQueries {
		text += fmt.Sprintf("  %s search --server %s --limit 3 %s   # %s\n", os.Args[0], server, q.query, q.what)
	}
	text += fmt.Sprintf("  %s status --server %s   # how it stands: the node goes on meanwhile\n", os.Args[0], server)
	if len(shown.Addresses) > 0 {
		day := signed.AddDate(0, 0, 1).Format(time.DateOnly)
		text += fmt.Sprintf("  curl '%s/v1/addresses/%s?at=%s&limit=1'   # what it held that day\n", server, shown.Addresses[0], day)
	}
	return text, nil
}

// demoQueries find something in the recording. They are written for a shell.
var demoQueries = []struct{ query, what string }{
	{"battery", "a word"},
	{`'"clearing container"'`, "a phrase"},
	{"tag:INVOICE", "a tag"},
	{"'請求書 currency=CHF NOT state:conflicting'", "a piece of a text without spaces, and a JSON value"},
}

// plugText tells of the node that goes on, and of its plug.
func plugText(nets []*demoNet, at string) (text string) {
	for _, n := range nets {
		if n.node == nil {
			continue
		}
		tip := n.node.node.Tip()
		text += fmt.Sprintf("  curl -X POST http://%s/plug/out   # pull the plug of the node: %s\n  curl -X POST http://%s/plug/in    # and put it in again\n",
			at, n.node.names(), at)
		if tip < n.node.last {
			text += fmt.Sprintf("The node of %s is at milestone %d and confirms one more every %s, up to %d.\n", n.Network, tip, n.node.pace, n.node.last)
		} else {
			text += fmt.Sprintf("The recording of %s is all here: it ends at milestone %d. An empty --data shows how it goes on.\n", n.Network, n.node.last)
		}
	}
	return text
}

func (c *demoCount) text(n query.Network, net *demoNet) string {
	speed := "nothing new: all of it was here already"
	if net.pulled > 0 {
		speed = fmt.Sprintf("%.0f records per second (%d in %s, over the wire)", float64(net.pulled)/net.took.Seconds(), net.pulled, net.took.Round(1e6))
	}
	var t table
	fmt.Fprintf(&t, "%s (%s): proven from raw bytes, nothing believed\n", n.Name, n.Era)
	if n.Rules.States {
		t.line("checkpoints", "%d, each with its certificate or under a later one's", c.units)
		t.line("committees", "%d learned from the ledger", c.committees)
		t.line("transactions", "%d, %d of them failed", c.records, c.failed)
		t.line("signatures", "%d of users checked", c.signatures)
		t.line("objects", "%d written, %d transactions with events: compared with the signed effects", c.outputs, c.events)
	} else {
		t.line("milestones", "%d", c.units)
		t.line("blocks", "%d", c.records)
		t.line("signatures", "%d checked", c.signatures)
		t.line("roots", "%d recomputed", 2*c.units)
		t.line("outputs", "%d created; unspent + treasury = supply at every milestone", c.outputs)
	}
	t.line("gaps", "%d", c.gaps)
	t.line("bytes", "%d (%s)", c.bytes, sizeText(c.bytes))
	t.line("speed", "%s", speed)
	return t.String()
}
