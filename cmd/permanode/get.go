package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"permanode/ledger"
	"permanode/query"
)

const getHelp = `Finds what an identifier names: a record, transaction, unit or output id, or anything else that the era's
own tools show, in the form they show it, over all networks or the one named.

Prints each place with what can be read of the record; --json prints the same, one object a line. --format json prints
the node's own JSON form, --raw the exact received bytes; both need the identifier to name one record.
Exit status: 0 found; 2 not an identifier; 3 the stored bytes are damaged; 5 not in the archive, with what was searched.`

type getFlags struct {
	dataFlags
	raw    bool
	format string
}

// one reports whether a form is asked for that only one place has.
func (g *getFlags) one() bool { return g.raw || g.format != "" }

func severalPlaces(id string) error {
	return usagef("permanode get without it lists them; ask for one by its own id, or name its --network",
		"%q has more than one place, and --raw and --format json print one", id)
}

func (p *program) getCommand() *cobra.Command {
	var g getFlags
	c := &cobra.Command{
		Use: "get ID", Short: "Print what the archive holds under an identifier", Long: getHelp,
		Args: oneArg("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			if g.format != "" && g.format != "json" {
				return usagef("use --format json, or leave it out", "--format %q is no form of a record", g.format)
			}
			if g.raw && g.format != "" || g.json && (g.raw || g.format != "") {
				return usagef("leave all but one out", "--raw, --format and --json ask for different forms")
			}
			remote, err := p.remote(&g.dataFlags)
			if err != nil {
				return err
			}
			if remote != nil {
				defer remote.Close()
				return p.getFrom(c.Context(), remote, args[0], &g)
			}
			return p.read(c, &g.dataFlags, func(a *query.Archive, networks []query.Network) error {
				return p.get(c.Context(), a, networks, args[0], &g)
			})
		},
	}
	g.add(c, true)
	g.addServer(c)
	c.Flags().BoolVar(&g.raw, "raw", false, "the exact received bytes")
	c.Flags().StringVar(&g.format, "format", "", "json: the node's own JSON form")
	return c
}

func (p *program) get(ctx context.Context, a *query.Archive, networks []query.Network, id string, g *getFlags) error {
	const page = 1000
	for cursor := ""; ; {
		found, err := a.Find(ctx, networks, id, cursor, page)
		if err != nil {
			return err
		}
		if g.one() && (len(found.Hits) != 1 || found.Next != "") {
			return severalPlaces(id)
		}
		for _, hit := range found.Hits {
			if err := p.printHit(ctx, a, hit, g); err != nil {
				return err
			}
		}
		if cursor = found.Next; cursor == "" {
			return nil
		}
	}
}

// printHit prints one place in the form that g asks for.
func (p *program) printHit(ctx context.Context, a *query.Archive, hit query.Hit, g *getFlags) error {
	n := hit.Network
	if hit.Ord.Pos == ledger.UnitPos {
		shown, unit, _, err := a.Unit(ctx, n, hit.Ord.Seq)
		if err != nil {
			return err
		}
		switch {
		case g.raw:
			return p.printf("%s", n.Codec.Head(unit))
		case g.format != "":
			return p.printBytes(n.Codec.UnitJSON(unit))
		case g.json:
			return p.printJSON(shown)
		}
		return p.printf("%s", unitText(shown, hit))
	}
	r, err := a.Record(ctx, n, hit.Ord)
	if err != nil {
		return err
	}
	switch {
	case g.raw:
		return p.printf("%s", r.Parts[0].Raw)
	case g.format != "":
		return p.printBytes(n.Codec.JSON(&r))
	}
	described, err := a.Describe(ctx, n, &r)
	if err != nil {
		return err
	}
	out := linkedRecord{Record: described}
	if out.Continues, out.ContinuedBy, err = a.Links(ctx, hit); err != nil {
		return err
	}
	if g.json {
		return p.printJSON(out)
	}
	return p.printf("%s", recordText(out, hit))
}

func (p *program) printBytes(body []byte, err error) error {
	if err != nil {
		return err
	}
	return p.printf("%s\n", body)
}

// table gathers lines "name  value".
type table struct{ strings.Builder }

func (t *table) line(name, format string, args ...any) {
	fmt.Fprintf(t, "  %-10s %s\n", name, plain(fmt.Sprintf(format, args...)))
}

func unitText(u query.Unit, hit query.Hit) string {
	var t table
	fmt.Fprintf(&t, "%s unit %d (%s)\n", plain(u.Network), u.Seq, asText(hit))
	t.line("id", "%s", u.ID)
	if u.PreviousID != nil {
		t.line("previous", "%s", *u.PreviousID)
	}
	t.line("time", "%s", u.Time)
	t.line("records", "%d, %s", u.Records, sizeText(u.Bytes))
	switch u.States {
	case "stated":
		t.line("states", "as the records say, signed with the unit")
	case "replay":
		t.line("states", "decided by replay of the ledger")
	default:
		t.line("states", "claimed by a node, proven by the unit's root")
	}
	if u.AttestedBy != nil {
		t.line("signed", "by way of unit %s, whose signatures prove it", *u.AttestedBy)
	}
	return t.String()
}

func asText(hit query.Hit) string {
	if len(hit.Roles) == 0 || hit.As == "record" || hit.As == "unit" {
		return "found as " + plain(hit.As)
	}
	return plain(fmt.Sprintf("found as %s: %s", hit.As, strings.Join(hit.Roles, ", ")))
}

// linkedRecord is a record with what the thing that it was found by was or became in another network.
type linkedRecord struct {
	query.Record
	Continues   []query.Link `json:"continues,omitempty"`
	ContinuedBy []query.Link `json:"continued_by,omitempty"`
}

func linkText(l query.Link) string {
	if l.Basis == query.BasisRule {
		return fmt.Sprintf("%s %s (by rule: that is its id if nothing else happened to it; it is not in the archive)", l.As, l.ID)
	}
	return fmt.Sprintf("%s %s of %s, unit %d pos %d (observation: both stand in the archive)", l.As, l.ID, l.Network, *l.Seq, *l.Pos)
}

func recordText(r linkedRecord, hit query.Hit) string {
	var t table
	fmt.Fprintf(&t, "%s unit %d pos %d (%s)\n", plain(r.Network), r.Seq, r.Pos, asText(hit))
	t.line("id", "%s", r.ID)
	for _, l := range r.Continues {
		t.line("continues", "%s", linkText(l))
	}
	for _, l := range r.ContinuedBy {
		t.line("becomes", "%s", linkText(l))
	}
	t.line("unit", "%s", r.UnitID)
	t.line("time", "%s", r.Time)
	t.line("kind", "%s, %d bytes, SHA-256 %s", r.Kind, r.SizeBytes, r.SHA256)
	state := r.State
	if r.Reason != nil {
		state += fmt.Sprintf(", reason %d", *r.Reason)
	}
	t.line("state", "%s (by %s)", state, r.Basis)
	if r.Undecoded != nil {
		t.line("UNREAD", "not all of it could be read: %s; its bytes are kept: --raw prints them", r.Undecoded.Reason)
	}
	for _, x := range r.Tags {
		t.line("tag", "%s", x)
	}
	for _, x := range r.Facets {
		t.line(x.Name, "%s", x.Value)
	}
	for _, m := range r.Moves {
		asset := m.Asset
		if asset == "" {
			asset = "the base coin"
		}
		t.line("moves", "%s of %s: %s", m.Amount, asset, m.Owner)
	}
	for _, x := range r.Addresses {
		t.line("address", "%s", x)
	}
	for _, x := range r.Objects {
		t.line("object", "%s", x)
	}
	for _, x := range r.Tokens {
		t.line("token", "%s of %s", x.Amount, x.ID)
	}
	for _, x := range r.Payloads {
		t.line("payload", "%d bytes at %d, SHA-256 %s", x.SizeBytes, x.OffsetBytes, x.SHA256)
	}
	for _, x := range r.Texts {
		t.line("text", "%s", x)
	}
	for _, x := range r.Leaves {
		t.line("json", "%s = %s", x.Path, x.Value)
	}
	return t.String()
}
