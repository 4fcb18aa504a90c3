package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"permanode/query"
	"permanode/query/client"
)

// serverFlags name a running service that is asked instead of reading its directory.
type serverFlags struct {
	server, keyFile, caFile string
}

// envKeyFile names the file with the secret of an access key. The secret itself is in no flag and no variable: other
// users of the machine see both.
const envKeyFile = "PERMANODE_KEY_FILE"

// addServer adds --server to a command that can ask a running service.
func (d *dataFlags) addServer(c *cobra.Command) {
	d.asks = true
	c.Flags().StringVar(&d.server, "server", "", "address of a running service to ask, such as http://127.0.0.1:8080 (instead of --data or --config)")
	c.Flags().StringVar(&d.keyFile, "key-file", "", "file with the secret of an access key for --server (or "+envKeyFile+")")
	c.Flags().StringVar(&d.caFile, "ca-file", "", "certificates that --server is trusted by, PEM (default: those of the system)")
}

// remote returns a client of the service that --server names, nil if it names none.
func (p *program) remote(d *dataFlags) (*client.Client, error) {
	switch {
	case d.server == "" && (d.keyFile != "" || d.caFile != ""):
		return nil, usagef("name the service with --server", "--key-file and --ca-file are for a service, and none is named")
	case d.server == "":
		return nil, nil
	case d.data != "" || d.config != "":
		return nil, usagef("leave all but one out", "--server, --data and --config each name an archive")
	}
	if d.network != "" {
		if err := checkName(d.network); err != nil {
			return nil, usagef("permanode coverage lists the networks", "--network %q %w", d.network, err)
		}
	}
	var options []client.Option
	keyFile := d.keyFile
	if keyFile == "" {
		keyFile = os.Getenv(envKeyFile)
	}
	if keyFile != "" {
		options = append(options, client.WithKeyFile(keyFile))
	}
	if d.caFile != "" {
		options = append(options, client.WithCAFile(d.caFile))
	}
	c, err := client.New(d.server, options...)
	switch {
	case errors.Is(err, client.ErrAddress):
		return nil, usagef("write it like http://127.0.0.1:8080", "--server %q is no address of a service", redact(d.server))
	case err != nil:
		return nil, usagef("permanode key new makes a key; --ca-file takes PEM", "--server: %w", err)
	}
	if c.Exposed() {
		p.say("warning: the key goes to %s unencrypted: use https where others could listen", c.Base())
	}
	return c, nil
}

// coverageFrom is coverage, asked of a running service.
func (p *program) coverageFrom(ctx context.Context, c *client.Client, d *dataFlags) error {
	names := []string{d.network}
	if d.network == "" {
		all, err := c.Networks(ctx)
		if err != nil {
			return err
		}
		names = nil
		for _, n := range all {
			names = append(names, n.Network)
		}
	}
	for _, name := range names {
		cov, err := c.Coverage(ctx, name)
		if err != nil {
			return err
		}
		if err := p.printCoverage(cov, d.json); err != nil {
			return err
		}
	}
	return p.sayEmpty(len(names))
}

// statusFrom is status, asked of a running service.
func (p *program) statusFrom(ctx context.Context, c *client.Client, d *dataFlags) error {
	got, err := c.Status(ctx)
	if err != nil {
		return err
	}
	var known []string
	shown := 0
	for _, s := range got.Networks {
		known = append(known, s.Network)
		if d.network != "" && d.network != s.Network {
			continue
		}
		shown++
		if err := p.printStatus(&networkStatus{Status: s}, d.json, s.Live != nil); err != nil {
			return err
		}
	}
	if d.network != "" && shown == 0 {
		return &query.UnknownNetworkError{Name: d.network, Known: known}
	}
	return p.sayEmpty(len(got.Networks))
}

// getFrom is get, asked of a running service.
func (p *program) getFrom(ctx context.Context, c *client.Client, id string, g *getFlags) error {
	if g.one() {
		return p.getOne(ctx, c, id, g)
	}
	for place, err := range c.Places(ctx, id, g.network) {
		if err != nil {
			return err
		}
		if err := p.printPlace(ctx, c, place, g); err != nil {
			return err
		}
	}
	return nil
}

// getOne prints the one place of an identifier in the form that g asks for.
func (p *program) getOne(ctx context.Context, c *client.Client, id string, g *getFlags) error {
	href := ""
	for place, err := range c.Places(ctx, id, g.network) {
		if err != nil {
			return err
		}
		if href != "" {
			return severalPlaces(id)
		}
		href = place.Href
	}
	if g.format != "" {
		return p.printBytes(c.AtBytes(ctx, href, client.JSON))
	}
	body, err := c.AtBytes(ctx, href, client.Raw)
	if err != nil {
		return err
	}
	return p.printf("%s", body)
}

func (p *program) printPlace(ctx context.Context, c *client.Client, place query.Place, g *getFlags) error {
	record, unit, err := c.At(ctx, place.Href)
	if err != nil {
		return err
	}
	hit := query.Hit{As: place.As, Roles: place.Roles}
	if unit != nil {
		if g.json {
			return p.printJSON(unit)
		}
		return p.printf("%s", unitText(*unit, hit))
	}
	linked := linkedRecord{Record: *record, Continues: place.Continues, ContinuedBy: place.ContinuedBy}
	if g.json {
		return p.printJSON(linked)
	}
	return p.printf("%s", recordText(linked, hit))
}

// serverSearch searches in a running service.
type serverSearch struct{ *client.Client }

func (s serverSearch) question(f *searchFlags, text string) client.Question {
	q := client.Question{Query: text, Network: f.network, Oldest: f.order == "oldest", Limit: f.limit, Cursor: f.cursor, Facets: f.facets}
	if f.all {
		q.Limit = 0
	}
	return q
}

func (s serverSearch) each(ctx context.Context, f *searchFlags, text string, do func(query.Item) error) (sum client.Summary, err error) {
	for item, err := range s.Search(ctx, s.question(f, text), &sum) {
		if err == nil {
			err = do(item)
		}
		if err != nil {
			return sum, err
		}
	}
	return sum, nil
}

func (s serverSearch) record(ctx context.Context, item query.Item) (query.Record, error) {
	r, _, err := s.At(ctx, item.Href)
	if err != nil || r == nil {
		return query.Record{}, errors.Join(err, fmt.Errorf("%s is no record", item.Href))
	}
	return *r, nil
}

func (s serverSearch) explain(ctx context.Context, f *searchFlags, text string) (json.RawMessage, error) {
	tree, err := s.Explain(ctx, s.question(f, text))
	return bytes.TrimSpace(tree), err
}

// exportFrom is export, asked of a running service.
func (p *program) exportFrom(ctx context.Context, c *client.Client, e client.Export, out string) error {
	m := p.meter("rows")
	defer m.end()
	e.Progress = func(rows uint64) { m.report(rows, rows, "") }
	var done query.Exported
	err := p.writeTo(out, func(w io.Writer) (err error) {
		done, err = c.Export(ctx, e, w)
		return err
	})
	m.end()
	return p.exported(e.Format, e.Query, done, err)
}
