package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"permanode/index"
	"permanode/ingest"
	"permanode/ledger/eras"
	"permanode/query"
	"permanode/query/access"
	"permanode/query/api"
	"permanode/storage/pebblestore"
)

const levelError = slog.LevelError

// ports looks whether the addresses are free.
func (d *doctor) ports(ctx context.Context) (rows []diagnosis) {
	for _, at := range []struct{ key, addr string }{{"api.listen", d.conf.API.Listen}, {"metrics.listen", d.conf.Metrics.Listen}} {
		if at.addr == "" {
			continue
		}
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", at.addr)
		if err != nil {
			rows = append(rows, fail(at.key, "end the other program, or choose another address; ss -ltnp names it", "%s cannot be listened at: %v", at.addr, err))
			continue
		}
		_ = ln.Close()
		rows = append(rows, ok(at.key, "%s is free", at.addr))
	}
	return rows
}

const (
	certFail = 3 * 24 * time.Hour
	certWarn = 30 * 24 * time.Hour
)

// access looks at keys and certificate.
func (d *doctor) access() (rows []diagnosis) {
	conf := d.conf.API
	if conf.KeysFile == "" {
		rows = append(rows, ok("keys", "none: only this machine is answered"))
	} else if keys, err := access.LoadKeys(conf.KeysFile); err != nil {
		rows = append(rows, fail("keys", "do what it says; permanode config validate reads it again", "%v", firstLineOf(err)))
	} else if w := keys.Warnings(); len(w) > 0 {
		rows = append(rows, warn("keys", "chmod 600 "+conf.KeysFile, "%s", strings.Join(w, "; ")))
	} else {
		rows = append(rows, ok("keys", "%s", countText(keys.Len(), "key")))
	}
	if conf.TLSCert == "" {
		if !api.IsLoopback(conf.Listen) {
			rows = append(rows, warn("certificate", "name api.tls_cert and api.tls_key, or let a proxy in front do TLS", "none: keys and answers travel in the clear"))
		}
		return rows
	}
	cert, err := loadCertificate(conf.TLSCert, conf.TLSKey)
	if err != nil {
		return append(rows, fail("certificate", "name a certificate and its own key, both in PEM", "%v", err))
	}
	rows = append(rows, d.certificateRow(cert.current.Load().Leaf))
	if info, err := os.Stat(conf.TLSKey); err == nil && info.Mode().Perm()&0o077 != 0 {
		rows = append(rows, warn("certificate key", "chmod 600 "+conf.TLSKey, "%s can be read by others", conf.TLSKey))
	}
	return rows
}

func (d *doctor) certificateRow(leaf *x509.Certificate) diagnosis {
	const part, next = "certificate", "renew it, then systemctl reload permanode"
	left, day := leaf.NotAfter.Sub(d.now()), leaf.NotAfter.UTC().Format(time.DateOnly)
	switch {
	case left <= 0:
		return fail(part, next, "it ended on %s", day)
	case d.now().Before(leaf.NotBefore):
		return fail(part, "look at the clock, or wait", "it begins on %s", leaf.NotBefore.UTC().Format(time.DateOnly))
	case left < certFail:
		return fail(part, next, "it ends on %s", day)
	case left < certWarn:
		return warn(part, next, "it ends on %s", day)
	}
	return ok(part, "it is good until %s", day)
}

// trust looks at the trust files: whoever can write one decides what is believed.
func (d *doctor) trust() (rows []diagnosis) {
	for _, n := range d.conf.Networks {
		part := "trust of " + n.Name
		if slices.Contains(eras.BuiltInNames(), n.Trust) {
			rows = append(rows, ok(part, "%s, built in", n.Trust))
			continue
		}
		info, err := os.Stat(n.Trust)
		if err == nil {
			_, err = readTrust(n.Trust)
		}
		switch {
		case err != nil:
			rows = append(rows, fail(part, "permanode trust init makes one", "%v", firstLineOf(err)))
		case info.Mode().Perm()&0o022 != 0:
			rows = append(rows, fail(part, "chmod go-w "+n.Trust+"; compare it: permanode trust show", "%s can be written by others, who could decide what is believed", n.Trust))
		default:
			rows = append(rows, ok(part, "%s, last changed %s", n.Trust, info.ModTime().UTC().Format(time.DateOnly)))
		}
	}
	return rows
}

// feeds asks every feed: whether it answers, is of the right network, and how far it is.
func (d *doctor) feeds(ctx context.Context, archive archiveState) (rows []diagnosis) {
	type one struct {
		network, identity string
		feedConfig
	}
	var all []one
	for _, n := range d.conf.Networks {
		trust, err := readTrust(n.Trust)
		if err != nil {
			continue // said above
		}
		for _, f := range n.Feeds {
			all = append(all, one{n.Name, trust.Identity, f})
		}
	}
	rows = each(ctx, all, func(ctx context.Context, o one) diagnosis {
		part := "feed " + o.Name
		if feedTypes[o.Type].bell {
			return bellRow(ctx, part, o.URL)
		}
		var held *uint64
		if last, found := archive.last[o.network]; found {
			held = &last
		}
		s := askSource(ctx, o.feedConfig, o.identity, held)
		if s.Problem != "" {
			return warn(part, "is the node up, reachable, and of this network? it is asked again and again; others serve meanwhile", "%s: %s", o.network, s.Problem)
		}
		at := fmt.Sprintf("%s: %s is at unit %d", o.network, cmp.Or(s.Software, "a source"), s.Newest)
		if archive.last != nil { // a service that holds the archive may keep to itself where that stands
			at += fmt.Sprintf(", %d ahead of the archive", s.Lag)
		}
		return ok(part, "%s", at)
	})
	for _, n := range d.conf.Networks { // a network that no source answers for is not collected
		asked, dead := 0, 0
		for i, o := range all {
			if o.network == n.Name && !feedTypes[o.Type].bell {
				asked++
				if rows[i].Level != rowOK {
					dead++
				}
			}
		}
		for i, o := range all {
			if o.network == n.Name && asked == dead && rows[i].Level == rowWarn && !feedTypes[o.Type].bell {
				rows[i].Level = rowFail
				rows[i].Next = "no source of " + n.Name + " answers: start the node, correct its url, or add another feed"
			}
		}
	}
	return append(rows, each(ctx, slices.DeleteFunc(slices.Clone(all), func(o one) bool { return !strings.HasPrefix(o.URL, "http") }),
		func(ctx context.Context, o one) diagnosis { return d.dateRow(ctx, o.Name, o.URL) })...)
}

// bellRow looks whether somebody listens there.
func bellRow(ctx context.Context, part, address string) diagnosis {
	u, err := url.Parse(address)
	if err == nil {
		port := cmp.Or(u.Port(), map[string]string{"ws": "80", "wss": "443", "tcp": "1883", "mqtt": "1883", "ssl": "8883"}[u.Scheme])
		var c net.Conn
		if c, err = new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port)); err == nil {
			_ = c.Close()
			return ok(part, "somebody listens at %s", u.Host)
		}
	}
	return warn(part, "is MQTT switched on at the node? without it new units are noticed later, none is lost", "%v", err)
}

// dateRow compares the clock with the date that a node's answer carries.
func (d *doctor) dateRow(ctx context.Context, name, address string) diagnosis {
	const part, next = "clock", "set the clocks of this machine and of the node: timedatectl set-ntp true"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return ok(part, "%s was not asked", name)
	}
	begin := d.now()
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return ok(part, "%s does not say what time it is there", name) // that it does not answer stands above
	}
	defer res.Body.Close()
	date, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		return ok(part, "%s does not say what time it is there", name)
	}
	off := date.Sub(begin.Add(d.now().Sub(begin) / 2)).Round(time.Second)
	switch {
	case off.Abs() > time.Minute:
		return fail(part, next, "it differs from that of %s by %s", name, off)
	case off.Abs() > 5*time.Second:
		return warn(part, next, "it differs from that of %s by %s", name, off)
	}
	return ok(part, "it agrees with that of %s", name)
}

// stored looks into an archive that nobody holds.
func (d *doctor) stored(ctx context.Context, db *pebblestore.DB, out *archiveState) (rows []diagnosis) {
	rows = append(rows, d.sums(db))
	out.last = map[string]uint64{}
	a := query.New(db, eras.Codec)
	x, indexRows := d.index(db)
	if x != nil {
		defer func() { _ = x.Close() }() // it was read only
		a.UseIndex(x)
	}
	networks, err := a.Networks(ctx)
	if err != nil {
		return append(rows, fail("store", "permanode check --data "+d.dir, "%v", err))
	}
	for _, n := range networks {
		s, err := a.Status(ctx, n)
		if err != nil {
			rows = append(rows, fail("coverage", "permanode check --data "+d.dir, "%s: %v", n.Name, firstLineOf(err)))
			continue
		}
		rows = append(rows, coverageRow(s))
		if s.Newest != nil {
			out.last[n.Name] = *s.Newest
			if t, err := time.Parse(time.RFC3339, *s.Time); err == nil {
				rows = append(rows, d.clockRow(n.Name, t))
			}
			d.grows(func(seq uint64) (query.Unit, error) { u, _, _, err := a.Unit(ctx, n, seq); return u, err }, s)
		}
		if s.Index != nil {
			indexRows = append(indexRows, indexRow(n.Name, s.Index))
		}
		rows = append(rows, d.sameTrust(n)...)
	}
	return append(rows, indexRows...)
}

// sums says whether the last stop was a clean one.
func (d *doctor) sums(db *pebblestore.DB) diagnosis {
	if db.Clean() {
		return ok("store", "stopped cleanly; its files are as they were left")
	}
	return warn("store", "permanode check --data "+d.dir+" before the next start: it recovers the directory, reads all of it, and stops it cleanly", "it was not stopped cleanly: nothing acknowledged is lost, but nothing says what its files should be")
}

// index opens the index for reading, nil if that cannot be done, which the rows explain.
func (d *doctor) index(db *pebblestore.DB) (*index.Index, []diagnosis) {
	const next = "permanode run or index rebuild makes it; it is no part of the archive"
	if d.conf != nil && !d.conf.Index.Text {
		return nil, []diagnosis{ok("index", "none is kept: index.text is false")}
	}
	if !hasIndex(d.dir) {
		return nil, []diagnosis{warn("index", next, "there is none yet")}
	}
	x, err := openIndex(d.dir, db, d.memory, true, d.p.logger(levelError))
	if err != nil {
		return nil, []diagnosis{fail("index", next, "%v", firstLineOf(err))}
	}
	return x, nil
}

func indexRow(network string, s *query.IndexStatus) diagnosis {
	part := "index of " + network
	switch {
	case s.Problem != "":
		return fail(part, "permanode index rebuild", "%s", indexSentence(s))
	case s.Lag > 0:
		return warn(part, "the next run goes on with it", "%s", indexSentence(s))
	}
	return ok(part, "%s", indexSentence(s))
}

func coverageRow(s query.Status) diagnosis {
	part := "coverage of " + s.Network
	switch {
	case len(s.Gaps) > 0:
		g := s.Gaps[0]
		return warn(part, "add a feed that still has it; permanode coverage lists all", "%s; the first: units %d to %d: %s", countText(len(s.Gaps), "gap"), g.From, g.To, g.Reason)
	case s.Newest == nil:
		return ok(part, "nothing yet")
	}
	return ok(part, "%d records up to unit %d, without a hole", s.Records, *s.Newest)
}

// sameTrust compares the trust file of the config with the one that the archive was written with.
func (d *doctor) sameTrust(n query.Network) []diagnosis {
	if d.conf == nil {
		return nil
	}
	at := slices.IndexFunc(d.conf.Networks, func(c networkConfig) bool { return c.Name == n.Name })
	if at < 0 {
		return []diagnosis{warn("network "+n.Name, "add it to networks: if it should go on", "it is in the archive and not in the config: it is served and not collected")}
	}
	trust, err := readTrust(d.conf.Networks[at].Trust)
	if err == nil && trust.Identity != n.Identity {
		return []diagnosis{fail("trust of "+n.Name, "name the trust file that the archive was begun with, or give the network another name", "%v", &ingest.OtherNetworkError{Source: d.conf.Networks[at].Trust, Got: trust.Identity, Want: n.Identity, Name: trust.Name})}
	}
	return nil
}

// grows works out how many bytes a day of the ledger takes on disk, where the archive is longer than a day.
func (d *doctor) grows(first func(seq uint64) (query.Unit, error), s query.Status) {
	if d.dir == "" || s.Newest == nil || len(s.Ranges) == 0 {
		return
	}
	unit, err := first(s.Ranges[0].From)
	if err != nil {
		return // what cannot be read is told elsewhere
	}
	begin, err := time.Parse(time.RFC3339, unit.Time)
	end, err2 := time.Parse(time.RFC3339, *s.Time)
	if err != nil || err2 != nil || end.Sub(begin) < 24*time.Hour {
		return
	}
	if d.size == 0 {
		d.size = dirSize(d.dir)
	}
	d.days = max(d.days, end.Sub(begin).Hours()/24)
	d.perDay = float64(d.size) / d.days
}

// dirSize adds up the files below a directory; a hard link counts once in each place.
func dirSize(dir string) (size uint64) {
	_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return nil // what cannot be read is not counted
		}
		if e.IsDir() && path == filepath.Join(dir, "checkpoint") {
			return filepath.SkipDir
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			size += uint64(info.Size())
		}
		return nil
	})
	return size
}
