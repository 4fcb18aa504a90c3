package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"permanode/index/lang"
	"permanode/query"
	"permanode/query/client"
	"permanode/storage"
)

const searchHelp = `Finds records by what is in them: words, phrases and JSON values in their texts, tags, addresses, kinds, times.

  permanode search invoice '"net 30"' tag:ACME after:2026-01-01 NOT state:conflicting
  permanode search 'data.device=dev-00017 OR sens*'

One bare word is taken for whatever it can be: an id, an address, a tag or a word; the answer says for what. docs/query.md
describes the language. The newest come first, --limit of them; --all shows every hit. With --json each hit is one object
a line, with network, seq, pos and id. How many match, and what was searched, is said on standard error.

Exit status: 0 all that is asked was searched; 2 no query, with a hint; 4 the answer is incomplete: a gap, or the index
lies behind; 5 no such network.`

type searchFlags struct {
	dataFlags
	limit         int
	cursor, order string
	all, explain  bool
	facets        []string
}

func (p *program) searchCommand() *cobra.Command {
	f := searchFlags{order: "newest", limit: 20}
	c := &cobra.Command{
		Use: "search QUERY", Short: "Find records by words, tags, addresses, values and times", Long: searchHelp,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.check(args); err != nil {
				return err
			}
			text := strings.Join(args, " ")
			remote, err := p.remote(&f.dataFlags)
			if err != nil {
				return err
			}
			if remote != nil {
				defer remote.Close()
				return p.search(c.Context(), serverSearch{remote}, &f, text)
			}
			return p.readIndexed(c.Context(), &f.dataFlags, func(a *query.Archive, networks []query.Network) error {
				return p.search(c.Context(), &ownArchive{a, networks}, &f, text)
			})
		},
	}
	f.add(c, true)
	f.addServer(c)
	c.Flags().IntVar(&f.limit, "limit", f.limit, "most hits to show")
	c.Flags().BoolVar(&f.all, "all", false, "show every hit")
	c.Flags().StringVar(&f.cursor, "cursor", "", "go on behind the page that ended with this cursor")
	c.Flags().StringVar(&f.order, "order", f.order, "newest or oldest first")
	c.Flags().StringSliceVar(&f.facets, "facets", nil, "also count the most frequent values of: "+strings.Join(query.FacetNames, ", "))
	c.Flags().BoolVar(&f.explain, "explain", false, "say how the query is understood, and search nothing")
	return c
}

func (f *searchFlags) check(args []string) error {
	switch {
	case len(args) == 0:
		return usagef("for example: permanode search invoice; an empty query, '', means everything", "search takes a query")
	case f.limit < 1:
		return usagef("for example --limit 100, or --all", "--limit %d is no number of hits", f.limit)
	case f.order != "newest" && f.order != "oldest":
		return usagef("use newest or oldest", "--order %q is no order", f.order)
	}
	return nil
}

// searcher answers queries: the archive in a directory, or a running service.
type searcher interface {
	// each calls do for every hit that f wants, in order.
	each(ctx context.Context, f *searchFlags, text string, do func(query.Item) error) (client.Summary, error)
	// record returns all that can be read of a hit that is a record.
	record(ctx context.Context, item query.Item) (query.Record, error)
	// explain returns how a query is understood, as JSON.
	explain(ctx context.Context, f *searchFlags, text string) (json.RawMessage, error)
}

func (p *program) search(ctx context.Context, in searcher, f *searchFlags, text string) error {
	if f.explain {
		tree, err := in.explain(ctx, f, text)
		if err != nil {
			return err
		}
		return p.printf("%s\n", tree)
	}
	shown := uint64(0)
	look := newSnippets(text)
	got, err := in.each(ctx, f, text, func(item query.Item) error {
		shown++
		if f.json {
			return p.printJSON(item)
		}
		if item.Kind == lang.UnitKind { // what a unit did itself is no record
			return p.printf("%s", itemText(item, nil, look))
		}
		r, err := in.record(ctx, item)
		if err != nil {
			return err
		}
		return p.printf("%s", itemText(item, &r, look))
	})
	if err != nil {
		return err
	}
	if err := p.printFacets(f, got.Facets); err != nil {
		return err
	}
	for _, line := range summaryLines(&got, shown) {
		p.say("%s", plain(line))
	}
	if !got.Complete {
		return &incompleteSearch{got.Total.Why}
	}
	return nil
}

// incompleteSearch reports an answer that does not cover all that was asked.
type incompleteSearch struct{ why string }

func (e *incompleteSearch) Error() string { return "the answer is incomplete: " + e.why }
func (e *incompleteSearch) Unwrap() error { return storage.ErrIncomplete }

// Hint is the next step.
func (e *incompleteSearch) Hint() string { return incompleteHint(e.why) }

// incompleteHint says how what is missing comes: into the archive, or into its index.
func incompleteHint(why string) string {
	if strings.Contains(why, "index") {
		return "the index goes on while run or ingest runs; permanode index rebuild makes it again where it is damaged"
	}
	return "a gap closes when a source has the unit: run ingest again with another --from"
}

// summaryLines say how many hits there are and what was searched, for a person.
func summaryLines(s *client.Summary, shown uint64) (out []string) {
	for _, t := range s.Taken {
		out = append(out, fmt.Sprintf("taken for: %s (%s)", t.As, t.Query))
	}
	total := fmt.Sprintf("%d match", s.Total.Value)
	switch {
	case s.Total.Value == 0:
		total = "no record matches"
	case s.Total.Value == 1:
		total = "1 matches"
	}
	if s.Total.Relation != "exact" {
		total = "at least " + total
		if s.Total.Value == 0 {
			total = "no record matches in what was searched"
		}
	}
	if s.NextCursor != nil {
		total += fmt.Sprintf(", %d shown: --all shows all of them, --cursor %s the next", shown, *s.NextCursor)
	}
	out = append(out, total)
	for _, e := range s.Coverage {
		verb := "searched"
		if !e.Complete {
			verb = "held of" // what of it was not searched is told with the error
		}
		out = append(out, fmt.Sprintf("%s %s: %s", verb, e.Network, e.Sentence()))
	}
	return out
}

func (p *program) printFacets(f *searchFlags, facets map[string]query.Facets) error {
	if len(f.facets) == 0 {
		return nil
	}
	if f.json {
		return p.printJSON(struct {
			Facets map[string]query.Facets `json:"facets"`
		}{facets})
	}
	for _, name := range f.facets {
		var t table
		fmt.Fprintf(&t, "%s\n", name)
		others := facets[name].Other
		for i, v := range facets[name].Values {
			if i >= shownValues {
				others += v.Count
				continue
			}
			t.line(fmt.Sprint(v.Count), "%s", shownTag(name, v.Value))
		}
		if others > 0 {
			t.line(fmt.Sprint(others), "others")
		}
		if !facets[name].Exact {
			t.line("", "these are lower bounds: not all values could be counted")
		}
		if err := p.printf("%s", t.String()); err != nil {
			return err
		}
	}
	return nil
}

// shownValues is how many values of a facet a person is shown; --json has all that were counted.
const shownValues = 12

func shownTag(facet, value string) string {
	if facet == "tag" {
		return tagText(value)
	}
	return value
}

// ownArchive searches in a directory.
type ownArchive struct {
	archive  *query.Archive
	networks []query.Network
}

func (o *ownArchive) request(f *searchFlags, text string) query.SearchRequest {
	req := query.SearchRequest{Networks: o.networks, Query: text, Cursor: f.cursor, Limit: f.limit, Facets: f.facets}
	if f.order == "oldest" {
		req.Order = query.OldestFirst
	}
	return req
}

func (o *ownArchive) each(ctx context.Context, f *searchFlags, text string, do func(query.Item) error) (client.Summary, error) {
	req := o.request(f, text)
	if f.all {
		got, err := o.archive.Each(ctx, req, do)
		out := summaryOf(got)
		out.NextCursor = nil // that of the first page
		return out, err
	}
	got, err := o.archive.Search(ctx, req)
	if err != nil {
		return client.Summary{}, err
	}
	items, err := o.archive.Items(ctx, got.Hits)
	if err != nil {
		return client.Summary{}, err
	}
	for _, item := range items {
		if err := do(item); err != nil {
			return client.Summary{}, err
		}
	}
	return summaryOf(got), nil
}

func summaryOf(got query.SearchResult) client.Summary {
	s := client.Summary{Query: got.Query, Taken: got.Taken, Total: got.Total, Coverage: got.Searched, Complete: got.Complete, Facets: got.Facets}
	if got.Next != "" {
		s.NextCursor = &got.Next
	}
	return s
}

func (o *ownArchive) record(ctx context.Context, item query.Item) (query.Record, error) {
	at := slices.IndexFunc(o.networks, func(n query.Network) bool { return n.Name == item.Network })
	if at < 0 {
		return query.Record{}, fmt.Errorf("network %s: %w", item.Network, storage.ErrNotFound)
	}
	r, err := o.archive.Resource(ctx, o.networks[at], item.ID)
	if err != nil {
		return query.Record{}, err
	}
	return o.archive.Describe(ctx, o.networks[at], &r)
}

func (o *ownArchive) explain(ctx context.Context, f *searchFlags, text string) (json.RawMessage, error) {
	e, err := o.archive.Explain(ctx, o.request(f, text))
	if err != nil {
		return nil, err
	}
	return json.Marshal(e)
}
