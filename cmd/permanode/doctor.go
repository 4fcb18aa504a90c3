package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"permanode/query"
	"permanode/query/client"
	"permanode/storage"
	"permanode/storage/pebblestore"
)

const doctorHelp = `Looks at everything that a service needs, and says of each part whether it is well and, if not, what to do: disk, clock,
file handles, memory, ports, keys, certificate, trust files, feeds, the archive, its index, what was refused. It changes
nothing. While a service holds the archive, the service is asked instead, at --server or at api.listen of the config.

--server alone asks a running service which of its parts are ready; with --live only whether it answers, for the health
check of a container.

Exit status: 0 all is well, or there are warnings only; 1 something is wrong; 2 wrong command line or config.`

// doctorTime is how long one part may take to answer.
const doctorTime = 10 * time.Second

// The levels of a diagnosis.
const (
	rowOK   = "ok"
	rowWarn = "warn"
	rowFail = "fail"
)

// diagnosis is one thing that doctor looked at.
type diagnosis struct {
	Part  string `json:"part"`
	Level string `json:"level"` // ok, warn or fail
	Text  string `json:"text"`  // what was found
	Next  string `json:"next"`  // what to do; "" if all is well
}

func ok(part, format string, args ...any) diagnosis {
	return diagnosis{Part: part, Level: rowOK, Text: fmt.Sprintf(format, args...)}
}

func warn(part, next, format string, args ...any) diagnosis {
	return diagnosis{part, rowWarn, fmt.Sprintf(format, args...), next}
}

func fail(part, next, format string, args ...any) diagnosis {
	return diagnosis{part, rowFail, fmt.Sprintf(format, args...), next}
}

// doctor is what is looked at, and the machine that it is looked at on: tests replace that.
type doctor struct {
	p      *program
	data   dataFlags
	conf   *config // nil: only a directory is known
	dir    string
	memory byteSize
	live   bool
	machine

	perDay, days float64 // bytes that the archive grows by a day of its ledger, 0 if not known; and over how many days
	size         uint64  // of the archive
}

func (p *program) doctorCommand() *cobra.Command {
	d := doctor{p: p, machine: thisMachine()}
	asJSON := false
	c := &cobra.Command{
		Use: "doctor --config FILE | --data DIR | --server URL", Short: "Look at everything that the service needs, and say what to do", Long: doctorHelp, Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			rows, err := d.look(c.Context())
			if err != nil {
				return err
			}
			return p.printRows(rows, asJSON)
		},
	}
	c.Flags().StringVar(&d.data.data, "data", "", "directory of the archive")
	c.Flags().StringVar(&d.data.config, "config", "", "config file of the service")
	d.data.addServer(c)
	c.Flags().BoolVar(&d.live, "live", false, "with --server: only whether it answers")
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return c
}

// printRows prints what was found, and fails if something is wrong.
func (p *program) printRows(rows []diagnosis, asJSON bool) error {
	bad, worth, width := 0, 0, 0
	for _, r := range rows {
		width = max(width, len(r.Part))
	}
	for _, r := range rows {
		switch r.Level {
		case rowFail:
			bad++
		case rowWarn:
			worth++
		}
		var err error
		if asJSON {
			err = p.printJSON(r)
		} else {
			err = p.printf("%-4s  %-*s  %s\n", r.Level, width, r.Part, plain(r.Text))
			if err == nil && r.Next != "" {
				err = p.printf("      %*s  next: %s\n", width, "", plain(r.Next))
			}
		}
		if err != nil {
			return err
		}
	}
	if bad > 0 {
		return &sickError{bad, worth}
	}
	return nil
}

// sickError says that doctor found something.
type sickError struct{ bad, worth int }

func (e *sickError) Error() string {
	return fmt.Sprintf("%s wrong, %s", countText(e.bad, "thing"), countText(e.worth, "warning"))
}

// Hint is the next step.
func (e *sickError) Hint() string { return "each line that begins with fail is followed by what to do" }

// look runs all checks that apply. Their order is that of the output.
func (d *doctor) look(ctx context.Context) ([]diagnosis, error) {
	if d.live && d.data.server == "" {
		return nil, usagef("name the service with --server", "--live asks a service, and none is named")
	}
	if d.data.server != "" {
		remote, err := d.p.remote(&d.data)
		if err != nil {
			return nil, err
		}
		defer remote.Close()
		rows, _ := d.askService(ctx, remote, d.live)
		return rows, nil
	}
	var err error
	if d.dir, d.memory, err = d.data.where(); err != nil {
		return nil, err
	}
	if d.data.config != "" {
		if d.conf, err = readConfig(d.data.config); err != nil {
			return nil, err
		}
		d.p.warnEnvironment()
		if err := d.conf.problems().others().err(d.data.config); err != nil {
			return nil, err
		}
	}
	if err := d.p.noFile(d.dir); err != nil {
		return nil, err
	}
	archive, err := d.archive(ctx)
	if err != nil {
		return nil, err
	}
	rows := d.machineRows()
	if d.conf != nil {
		if !archive.held {
			rows = append(rows, d.ports(ctx)...)
		}
		rows = append(rows, d.access()...)
		rows = append(rows, d.trust()...)
		rows = append(rows, d.feeds(ctx, archive)...)
	}
	return append(rows, archive.rows...), nil
}

// machineRows are those about the disk and the machine.
func (d *doctor) machineRows() []diagnosis {
	return []diagnosis{d.disk(), d.writable(), d.handles(), d.ram()}
}

// archiveState is what became known of the archive.
type archiveState struct {
	rows []diagnosis
	held bool              // by a service
	last map[string]uint64 // newest unit of each network; nil: not known
}

// archive opens the archive for reading, or asks the service that holds it.
func (d *doctor) archive(ctx context.Context) (archiveState, error) {
	var out archiveState
	db, err := d.p.open(d.dir, max(d.memory/8, minMemory), true, d.p.logger(levelError))
	var half *pebblestore.UnfinishedCopyError
	var format *pebblestore.FormatError
	switch {
	case err == nil:
		defer func() { _ = db.Close() }() // it was read only
		out.rows = d.stored(ctx, db, &out)
	case errors.Is(err, storage.ErrLocked):
		out.held = true
		out.rows, out.last = d.heldBy(ctx)
	case errors.Is(err, storage.ErrNoData):
		out.last = map[string]uint64{}
		out.rows = []diagnosis{ok("store", "nothing is stored in %s yet: run and ingest make it", d.dir)}
	case errors.As(err, &half):
		out.rows = []diagnosis{fail("store", half.Hint(), "%v", err)}
	case errors.As(err, &format):
		out.rows = []diagnosis{fail("store", format.Hint(), "%v", err)}
	case errors.Is(err, storage.ErrCorrupt):
		out.rows = []diagnosis{fail("store", "permanode check --data "+d.dir+" lists the damage; restore it: permanode copy --from BACKUP --to DIR", "%v", firstLineOf(err))}
	case errors.Is(err, os.ErrPermission):
		out.rows = []diagnosis{fail("store", "run doctor as the user of the service, or as root", "%v", err)}
	default:
		out.rows = []diagnosis{fail("store", "look at the disk and at the log of the machine", "%v", firstLineOf(err))}
	}
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	out.rows = append(out.rows, d.refused(), d.leftovers(out.held))
	return out, nil
}

// heldBy asks the service that holds the directory, if the config says where it answers, also for the newest unit of each
// network.
func (d *doctor) heldBy(ctx context.Context) ([]diagnosis, map[string]uint64) {
	at := "http://127.0.0.1:8080"
	if d.conf != nil {
		scheme := "http"
		if d.conf.API.TLSCert != "" {
			scheme = "https"
		}
		at = (&url.URL{Scheme: scheme, Host: dialable(d.conf.API.Listen)}).String()
	}
	flags := dataFlags{serverFlags: d.data.serverFlags}
	flags.server = at
	remote, err := d.p.remote(&flags)
	if err != nil {
		return []diagnosis{warn("service", "name it: permanode doctor --server URL", "a service holds the archive, and %s is no address of one: %v", at, err)}, nil
	}
	defer remote.Close()
	return d.askService(ctx, remote, false)
}

// dialable turns an address to listen at into one to ask.
func dialable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// askService asks a running service about itself. last is the newest unit of each network, nil if it does not say.
func (d *doctor) askService(ctx context.Context, c *client.Client, liveOnly bool) (rows []diagnosis, last map[string]uint64) {
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	ready, err := c.Ready(ctx)
	if err != nil {
		return []diagnosis{fail("service", "is it running there? systemctl status permanode, or its log, says why not", "%v", err)}, nil
	}
	if rows = append(rows, ok("service", "%s answers", c.Base())); liveOnly {
		return rows, nil
	}
	for _, part := range ready.Components {
		if part.Ready {
			rows = append(rows, ok(part.Name, "%s", part.Detail))
		} else {
			rows = append(rows, fail(part.Name, `docs/operations.md, "Parts of /readyz", says what to do`, "%s", part.Detail))
		}
	}
	status, err := c.Status(ctx)
	var refused *client.Problem
	switch {
	case errors.As(err, &refused) && (refused.Kind() == "unauthorized" || refused.Kind() == "forbidden"):
		return append(rows, warn("coverage", "give it one of role reader: --key-file FILE", "the service answers with a key only, so its gaps were not looked at")), nil
	case err != nil:
		return append(rows, fail("coverage", "look into the log of the service", "%v", err)), nil
	}
	last = map[string]uint64{}
	for _, n := range status.Networks {
		if n.Newest != nil {
			last[n.Network] = *n.Newest
		}
		rows = append(rows, coverageRow(n))
		d.grows(func(seq uint64) (query.Unit, error) { return c.Unit(ctx, n.Network, seq) }, n)
		if n.Time != nil {
			if t, err := time.Parse(time.RFC3339, *n.Time); err == nil {
				rows = append(rows, d.clockRow(n.Network, t))
			}
		}
	}
	return rows, last
}

// each runs f for all at once, a few at a time, and keeps their order.
func each[T any](ctx context.Context, all []T, f func(context.Context, T) diagnosis) []diagnosis {
	rows := make([]diagnosis, len(all))
	var g errgroup.Group
	g.SetLimit(8)
	for i, one := range all {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, doctorTime)
			defer cancel()
			rows[i] = f(ctx, one)
			return nil
		})
	}
	_ = g.Wait()
	return rows
}
