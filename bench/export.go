package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const exportMemory = "256MiB" // of the service that exports

// exports compares an export over HTTP with COPY of PostgreSQL and with sqlite3 -csv. Both get the very rows of the export
// in one table, every cell as the text or number that the export writes: they read and write, and decode nothing.
func (b *bench) exports() error {
	data := filepath.Join(b.dir, "archive")
	program, err := b.program()
	if err != nil {
		return err
	}
	ingest := []string{"ingest", "--data", data, "--trust", b.corpus.trust, "--from", b.corpus.cones, "--snapshot", b.corpus.snapshot}
	if err := os.Setenv("PERMANODE_INDEX_TEXT", "false"); err != nil { // an export of everything needs none
		return err
	}
	if _, err := b.child(program, ingest...); err != nil {
		return err
	}
	s, err := b.serve(program, data)
	if err != nil {
		return err
	}
	t := table{}
	t.add("export of all rows", "rows", "MiB", "wall clock", "rows a second", "rows a CPU-second", "largest resident set")
	rows := filepath.Join(b.dir, "rows.csv")
	err = s.measure(&t, rows)
	if err = errors.Join(err, s.stop()); err != nil {
		return err
	}
	want, err := readTable(rows)
	if err != nil {
		return err
	}
	if err := b.exportSQLite(&t, rows, want); err != nil {
		return err
	}
	if err := b.exportPostgres(&t, rows, want); err != nil {
		return err
	}
	t.print()
	return nil
}

// service is permanode run.
type service struct {
	ctx  context.Context
	cmd  *exec.Cmd
	url  string
	logs bytes.Buffer
}

func (b *bench) serve(program, data string) (*service, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		return nil, err
	}
	config := filepath.Join(b.dir, "config.yaml")
	text := fmt.Sprintf("data_dir: %s\nmemory: %s\nnetworks:\n  - name: corpus\n    era: stardust\n    trust: %s\n    snapshot: %s\n    feeds:\n      - {name: none, type: hornet2-rest, url: \"http://127.0.0.1:1\"}\nindex: {text: false}\napi: {listen: %q}\nmetrics: {listen: \"\"}\n",
		data, exportMemory, b.corpus.trust, b.corpus.snapshot, addr)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	s := &service{ctx: b.ctx, url: "http://" + addr}
	s.cmd = exec.CommandContext(b.ctx, program, "run", "--config", config)
	s.cmd.Stdout, s.cmd.Stderr = &s.logs, &s.logs
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		res, err := http.Get(s.url + "/v1/networks/corpus/coverage")
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return s, nil
			}
		}
		if time.Now().After(end) {
			return nil, errors.Join(fmt.Errorf("the service is not ready: %w", err), s.stop(), errors.New(s.logs.String()))
		}
	}
}

func (s *service) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.cmd.Wait()
}

// measure exports everything in both formats, and the last tenth of it, and keeps the table in file.
func (s *service) measure(t *table, file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	units, err := s.units()
	if err != nil {
		return err
	}
	for _, e := range []struct {
		label, query string
		to           io.Writer
	}{
		{"permanode, CSV, the last tenth", fmt.Sprintf("format=csv&after=corpus/%d", units-units/10), io.Discard},
		{"permanode, CSV", "format=csv", f},
		{"permanode, NDJSON", "format=ndjson", io.Discard},
	} {
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.cmd.Process.Pid), []byte("5"), 0o600); err != nil { // counts the peak anew
			return err
		}
		before, begin := s.cpu(), time.Now()
		rows, bytes, err := s.get("/v1/export?"+e.query, e.to)
		if err != nil {
			return fmt.Errorf("%s: %w", e.label, err)
		}
		exported(t, e.label, rows, bytes, spent{s.cpu() - before, time.Since(begin), s.peak()})
	}
	return f.Close()
}

// units returns the number of the newest unit.
func (s *service) units() (uint64, error) {
	res, err := http.Get(s.url + "/v1/networks/corpus/coverage")
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var coverage struct {
		Ranges []struct{ To uint64 }
	}
	if err := json.NewDecoder(res.Body).Decode(&coverage); err != nil || len(coverage.Ranges) != 1 {
		return 0, fmt.Errorf("coverage %+v: %w", coverage, err)
	}
	return coverage.Ranges[0].To, nil
}

// get reads an export and checks that it is whole.
func (s *service) get(path string, to io.Writer) (rows, bytes int64, err error) {
	req, err := http.NewRequestWithContext(s.ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return 0, 0, err
	}
	req.Header.Set("Accept-Encoding", "identity")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer res.Body.Close()
	if bytes, err = io.Copy(to, res.Body); err != nil {
		return 0, bytes, err
	}
	rows, err = strconv.ParseInt(res.Trailer.Get("X-Rows"), 10, 64)
	return rows, bytes, err
}

func (s *service) cpu() time.Duration {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * time.Second / 100
}

// peak returns the largest resident set since it was cleared.
func (s *service) peak() int64 {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	_, line, _ := strings.Cut(string(raw), "VmHWM:")
	kib, _ := strconv.ParseInt(strings.Fields(line)[0], 10, 64)
	return kib << 10
}

func exported(t *table, label string, rows, bytes int64, s spent) {
	peak := "–"
	if s.peak > 0 {
		peak = fmt.Sprintf("%d MiB", s.peak>>20)
	}
	t.add(label, fmt.Sprint(rows), fmt.Sprint(bytes>>20), fmt.Sprintf("%.1f s", s.wall.Seconds()), fmt.Sprintf("%.0f", float64(rows)/s.wall.Seconds()),
		fmt.Sprintf("%.0f", float64(rows)/s.cpu.Seconds()), peak)
}

// tableSum is what a table in CSV holds, whatever its quotes, line ends and order.
type tableSum struct {
	rows int64
	sum  uint64
}

func readTable(file string) (s tableSum, err error) {
	f, err := os.Open(file)
	if err != nil {
		return s, err
	}
	defer f.Close()
	r := csv.NewReader(bufio.NewReaderSize(f, 1<<20))
	r.ReuseRecord = true
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			s.rows--
			return s, nil
		}
		if err != nil {
			return s, err
		}
		s.rows++
		sum := fnv.New64a()
		for _, c := range cells {
			_, _ = sum.Write(append([]byte(c), 0))
		}
		s.sum += sum.Sum64()
	}
}

const rowTable = `CREATE TABLE row(network text, seq bigint, pos int, id text, state text, reason int, basis text, kind text, time_utc text,
	tag text, tag_hex text, addresses text, sha256 text, payloads int, payload text, payload_hex text, undecoded text)`

// same reads what a peer wrote, and fails if it is another table.
func same(name, file string, want tableSum) (bytes int64, err error) {
	got, err := readTable(file)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	if got != want {
		return 0, fmt.Errorf("%s wrote another table: %+v, not %+v", name, got, want)
	}
	info, err := os.Stat(file)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (b *bench) exportSQLite(t *table, rows string, want tableSum) error {
	db, out := filepath.Join(b.dir, "rows.sqlite"), filepath.Join(b.dir, "sqlite.csv")
	if _, err := b.child("sqlite3", db, rowTable+";", ".mode csv", ".import --csv --skip 1 "+rows+" row"); err != nil {
		return err
	}
	s, err := b.childTo(out, "sqlite3", "-csv", "-header", db, "SELECT * FROM row")
	if err != nil {
		return err
	}
	bytes, err := same("sqlite3 -csv", out, want)
	if err != nil {
		return err
	}
	exported(t, "sqlite3 -csv, to a file", want.rows, bytes, s)
	return nil
}

func (b *bench) exportPostgres(t *table, rows string, want tableSum) (err error) {
	dir, out := filepath.Join(b.dir, "rows-postgres"), filepath.Join(b.dir, "postgres.csv")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	p, err := startPostgres(b.ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	copyIn := "\\copy row FROM '" + rows + "' (FORMAT csv, HEADER true)"
	if _, err := b.child("psql", "-q", "-h", p.sock, "-U", "postgres", "-c", rowTable, "-c", copyIn, "-c", "VACUUM ANALYZE row"); err != nil {
		return err
	}
	before := p.cpu()
	s, err := b.childTo(out, "psql", "-q", "-h", p.sock, "-U", "postgres", "-c", "COPY row TO STDOUT (FORMAT csv, HEADER true)")
	if err != nil {
		return err
	}
	s.cpu, s.peak = s.cpu+p.cpu()-before, 0
	bytes, err := same("COPY", out, want)
	if err != nil {
		return err
	}
	exported(t, "COPY … TO STDOUT of PostgreSQL 15 by psql, to a file", want.rows, bytes, s)
	return nil
}
