package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"permanode/ingest"
	"permanode/query"
	"permanode/storage"
)

const statusHelp = `Says in sentences what the archive holds, what is missing, how far the index is, and what collecting met. With
--config it also asks the feeds how far the network is, and says how far the archive lies behind.

While a service holds the directory, ask the service: --server http://127.0.0.1:8080 says also what it is doing, and how
each of its sources and feeds does.`

// sourceTime is how long status waits for a node.
const sourceTime = 5 * time.Second

// networkStatus is one network in `status --json`.
type networkStatus struct {
	query.Status
	Sources []sourceStatus `json:"sources"` // asked now; empty without --config
}

type sourceStatus struct {
	Name     string `json:"name"`
	Software string `json:"software"`
	Newest   uint64 `json:"newest"`
	Lag      uint64 `json:"lag"` // units that it has and the archive has not
	Problem  string `json:"problem"`
}

func (p *program) statusCommand() *cobra.Command {
	var d dataFlags
	c := &cobra.Command{
		Use: "status", Short: "Say what the archive holds and how far it is", Long: statusHelp, Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			remote, err := p.remote(&d)
			if err != nil {
				return err
			}
			if remote != nil {
				defer remote.Close()
				return p.statusFrom(c.Context(), remote, &d)
			}
			return p.status(c.Context(), &d)
		},
	}
	d.add(c, true)
	d.addServer(c)
	return c
}

func (p *program) status(ctx context.Context, d *dataFlags) error {
	var conf *config
	if d.config != "" {
		var err error
		if conf, err = p.loadConfig(d.config); err != nil {
			return err
		}
	}
	return p.readIndexed(ctx, d, func(a *query.Archive, networks []query.Network) error {
		for _, n := range networks {
			s, err := a.Status(ctx, n)
			if err != nil {
				return err
			}
			out := &networkStatus{Status: s}
			if conf != nil {
				out.askSources(ctx, n, conf)
			}
			if err := p.printStatus(out, d.json, conf != nil); err != nil {
				return err
			}
		}
		return p.sayEmpty(len(networks))
	})
}

// sayEmpty tells why nothing is printed.
func (p *program) sayEmpty(networks int) error {
	if networks == 0 {
		p.say("the archive holds no network yet")
	}
	return nil
}

func (p *program) printStatus(s *networkStatus, asJSON, asked bool) error {
	if !asJSON {
		return p.printf("%s", statusText(s, asked))
	}
	if s.Sources == nil {
		s.Sources = []sourceStatus{}
	}
	return p.printJSON(s)
}

// askSources asks the feeds of the network how far it is.
func (s *networkStatus) askSources(ctx context.Context, n query.Network, conf *config) {
	at := slices.IndexFunc(conf.Networks, func(c networkConfig) bool { return c.Name == n.Name })
	if at < 0 {
		return
	}
	for _, f := range conf.Networks[at].Feeds {
		if feedTypes[f.Type].bell {
			continue // nobody listens to it now
		}
		s.Sources = append(s.Sources, askSource(ctx, f, n.Identity, s.Newest))
	}
}

func askSource(ctx context.Context, f feedConfig, identity string, held *uint64) sourceStatus {
	out := sourceStatus{Name: f.Name}
	f.timeout = sourceTime
	node, err := feedTypes[f.Type].open(ctx, f)
	if err != nil {
		out.Problem = err.Error()
		return out
	}
	defer func() { _ = node.close() }()
	info, err := node.Info(ctx)
	if err == nil && (info.Identity != "" && info.Identity != identity || !strings.HasPrefix(identity, info.Begin)) {
		err = &ingest.OtherNetworkError{Source: f.Name, Got: cmp.Or(info.Identity, info.Begin), Want: identity, Name: info.Name}
	}
	if err != nil {
		out.Problem = err.Error()
		return out
	}
	out.Software, out.Newest = info.Software, info.Newest
	switch {
	case held == nil:
		out.Lag = info.Newest
	case info.Newest > *held:
		out.Lag = info.Newest - *held
	}
	return out
}

// statesText says how the states of records were decided.
var statesText = map[string]string{
	"claims": "claimed by nodes and proven by the signed roots; conflict reasons are unproven",
	"replay": "decided by replay of the ledger",
	"stated": "as the records say, signed with the unit",
}

func statusText(s *networkStatus, asked bool) string {
	var t table
	fmt.Fprintf(&t, "%s (%s)\n", plain(s.Network), plain(s.Era))
	if s.Newest == nil {
		t.line("holds", "nothing yet")
	}
	for _, r := range s.Ranges {
		t.line("holds", "units %d to %d without a hole", r.From, r.To)
	}
	if s.Newest != nil {
		t.line("", "%d records, %s; the newest unit was signed at %s", s.Records, sizeText(s.Bytes), *s.Time)
		t.line("states", "%s", statesText[s.States])
	}
	for _, g := range s.Gaps {
		t.line("missing", "units %d to %d: %s", g.From, g.To, g.Reason)
	}
	if s.Live != nil {
		liveLines(&t, s.Live)
	}
	for _, src := range s.Sources {
		t.line("source", "%s", src.sentence())
	}
	if !asked {
		t.line("tip", "not asked: --config FILE names the feeds to ask")
	}
	t.line("index", "%s", indexSentence(s.Index))
	for _, kind := range []storage.NoteKind{storage.NoteEquivocation, storage.NoteRefused, storage.NoteClaim, storage.NoteRewrapped, storage.NoteUndecoded} {
		if n := s.Notes[string(kind)]; n > 0 {
			t.line("met", "%d times: %s", n, noteText[kind])
		}
	}
	return t.String()
}

// liveLines say what a running service does.
func liveLines(t *table, l *query.Live) {
	t.line("now", "%s", l.Sentence)
	if l.Pending > 0 {
		t.line("", "%d later units are here already and wait for it", l.Pending)
	}
	for _, src := range l.Sources {
		switch {
		case src.OK:
			t.line("source", "%s (%s) is at unit %d", src.Name, src.Software, src.Newest)
		case src.Problem != "":
			t.line("source", "%s does not answer: %s", src.Name, src.Problem)
		default:
			t.line("source", "%s was not asked yet", src.Name)
		}
	}
	for _, f := range l.Feeds {
		t.line("feed", "%s", f.Sentence)
	}
}

// indexSentence says how far the index is.
func indexSentence(x *query.IndexStatus) string {
	switch {
	case x == nil:
		return "none is kept (index.text: false): exact questions are answered still"
	case x.Problem != "":
		return "does not go on: " + x.Problem
	case x.Lag > 0:
		return fmt.Sprintf("%d units behind the store; a search says so", x.Lag)
	case x.Docs == 0:
		return "nothing to index yet"
	}
	return fmt.Sprintf("up to date: %d documents, %s", x.Docs, sizeText(x.Bytes))
}

func (s *sourceStatus) sentence() string {
	switch {
	case s.Problem != "":
		return fmt.Sprintf("%s does not answer usefully: %s", s.Name, s.Problem)
	case s.Lag == 0:
		return fmt.Sprintf("%s (%s) is at unit %d: nothing is behind", s.Name, s.Software, s.Newest)
	}
	return fmt.Sprintf("%s (%s) is at unit %d: the archive lies %d behind", s.Name, s.Software, s.Newest, s.Lag)
}

var noteText = map[storage.NoteKind]string{
	storage.NoteEquivocation: "two different units signed with one number",
	storage.NoteRefused:      "content that is not true; it was refused",
	storage.NoteClaim:        "a node's claim that the proof contradicts",
	storage.NoteUndecoded:    "a unit with records that the version which stored it could not read whole; check --repair reads them again",
	storage.NoteRewrapped:    "a known unit in another container or with other signatures; harmless",
}
