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

const statusHelp = `Says in sentences what the archive holds, what is missing, and what collecting met. With --config it also asks
the feeds how far the network is, and says how far the archive lies behind.

While a service holds the directory this command cannot open it: it says so and how to ask the service (exit 1).`

// sourceTime is how long status waits for a node.
const sourceTime = 5 * time.Second

// networkStatus is one network in `status --json`.
type networkStatus struct {
	query.Coverage
	Newest  *uint64                     `json:"newest_held"` // null: nothing yet
	Time    *string                     `json:"newest_time"` // signed time of that unit
	States  string                      `json:"states"`      // "replayed", "claimed" or "none"
	Notes   map[storage.NoteKind]uint64 `json:"notes"`       // how often collecting met something
	Sources []sourceStatus              `json:"sources"`     // asked now; empty without --config
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
			return p.status(c.Context(), c, &d)
		},
	}
	d.add(c, true)
	return c
}

func (p *program) status(ctx context.Context, c *cobra.Command, d *dataFlags) error {
	var conf *config
	if d.config != "" {
		var err error
		if conf, err = p.loadConfig(d.config); err != nil {
			return err
		}
	}
	return p.readStore(c, d, func(store storage.Reader, a *query.Archive, networks []query.Network) error {
		for _, n := range networks {
			s, err := describeStatus(ctx, store, a, n, conf)
			if err != nil {
				return err
			}
			if d.json {
				err = p.printJSON(s)
			} else {
				err = p.printf("%s", statusText(s, conf != nil))
			}
			if err != nil {
				return err
			}
		}
		if len(networks) == 0 {
			p.say("the archive holds no network yet")
		}
		return nil
	})
}

func describeStatus(ctx context.Context, store storage.Reader, a *query.Archive, n query.Network, conf *config) (*networkStatus, error) {
	cov, err := a.Coverage(ctx, n)
	if err != nil {
		return nil, err
	}
	s := &networkStatus{Coverage: cov, States: "none", Notes: map[storage.NoteKind]uint64{}, Sources: []sourceStatus{}}
	if len(cov.Ranges) > 0 {
		last := cov.Ranges[len(cov.Ranges)-1].To
		u, _, _, err := a.Unit(ctx, n, last)
		if err != nil {
			return nil, err
		}
		s.Newest, s.Time, s.States = &u.Seq, &u.Time, statesWord[u.States]
	}
	for note, err := range store.Notes(ctx, n.ID) {
		if err != nil {
			return nil, fmt.Errorf("notes of %s: %w", n.Name, err)
		}
		s.Notes[note.Kind]++
	}
	if conf != nil {
		s.askSources(ctx, n, conf)
	}
	return s, nil
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

// statesWord and statesText say how the states of records were decided.
var (
	statesWord = map[string]string{"claims": "claimed", "replay": "replayed", "stated": "stated"}
	statesText = map[string]string{
		"claimed":  "claimed by nodes and proven by the signed roots; conflict reasons are unproven",
		"replayed": "decided by replay of the ledger",
		"stated":   "as the records say, signed with the unit",
	}
)

func statusText(s *networkStatus, asked bool) string {
	var t table
	fmt.Fprintf(&t, "%s (%s)\n", s.Network, s.Era)
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
	for _, src := range s.Sources {
		t.line("source", "%s", src.sentence())
	}
	if !asked {
		t.line("tip", "not asked: --config FILE names the feeds to ask")
	}
	for _, kind := range []storage.NoteKind{storage.NoteEquivocation, storage.NoteRefused, storage.NoteClaim, storage.NoteRewrapped, storage.NoteUndecoded} {
		if n := s.Notes[kind]; n > 0 {
			t.line("met", "%d times: %s", n, noteText[kind])
		}
	}
	return t.String()
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
