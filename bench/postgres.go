package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
)

const postgresTables = `
CREATE TABLE record(ord bigint PRIMARY KEY, id bytea, tag text, kind int, state int, time bigint, raw bytea, words tsvector);
CREATE INDEX ON record(id);
CREATE INDEX ON record(tag, ord);
CREATE INDEX ON record(time);
CREATE INDEX ON record USING gin(words);
CREATE TABLE address(addr bytea, ord bigint, PRIMARY KEY(addr, ord));`

// postgres is a server of its own, on a socket in its folder.
type postgres struct {
	dir  string
	as   *syscall.Credential // it refuses to run as root
	cmd  *exec.Cmd
	sock string
}

const postgresBin = "/usr/lib/postgresql/15/bin"

func startPostgres(ctx context.Context, dir string) (p *postgres, err error) {
	p = &postgres{dir: filepath.Join(dir, "data"), sock: dir}
	if os.Getuid() == 0 {
		if p.as, err = credential("postgres"); err != nil {
			return nil, err
		}
		if err := os.Chown(dir, int(p.as.Uid), int(p.as.Gid)); err != nil {
			return nil, err
		}
	}
	if out, err := p.program(ctx, "initdb", "-D", p.dir, "-A", "trust", "-E", "UTF8", "--locale=C").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	p.cmd = p.program(ctx, "postgres", "-D", p.dir, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=on",
		"-c", "synchronous_commit=on", "-c", "shared_buffers=256MB", "-c", "work_mem=64MB", "-c", "max_wal_size=2GB")
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGINT) }
	p.cmd.WaitDelay = 30 * time.Second
	var logs bytes.Buffer
	p.cmd.Stderr = &logs
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		conn, err := pgx.Connect(ctx, p.address())
		if err == nil {
			return p, conn.Close(ctx)
		}
		if time.Now().After(end) {
			return nil, errors.Join(fmt.Errorf("PostgreSQL does not answer: %w: %s", err, logs.String()), p.stop())
		}
	}
}

func credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

func (p *postgres) program(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, filepath.Join(postgresBin, name), args...)
	c.Dir, c.SysProcAttr = p.sock, &syscall.SysProcAttr{Credential: p.as}
	return c
}

func (p *postgres) address() string { return "host=" + p.sock + " user=postgres dbname=postgres" }

func (p *postgres) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	return p.cmd.Wait()
}

// cpu returns the CPU time of the server and all its processes, those that have ended too.
func (p *postgres) cpu() (total time.Duration) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0
	}
	for _, file := range stats {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue // it ended
		}
		f := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil || pid != p.cmd.Process.Pid && f[1] != strconv.Itoa(p.cmd.Process.Pid) {
			continue
		}
		fields := f[11:13] // utime, stime
		if pid == p.cmd.Process.Pid {
			fields = f[11:15] // and those of children that ended
		}
		for _, text := range fields {
			ticks, err := strconv.ParseInt(text, 10, 64)
			if err == nil {
				total += time.Duration(ticks) * time.Second / 100
			}
		}
	}
	return total
}

// load copies the documents in, one durable transaction a thousand.
func (p *postgres) load(ctx context.Context, cones string) (err error) {
	conn, err := pgx.Connect(ctx, p.address())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	if _, err := conn.Exec(ctx, postgresTables+"CREATE UNLOGGED TABLE incoming(ord bigint, id bytea, tag text, kind int, state int, time bigint, raw bytea, text text);"); err != nil {
		return err
	}
	var records, addrs [][]any
	flush := func() error {
		tx, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"incoming"}, []string{"ord", "id", "tag", "kind", "state", "time", "raw", "text"}, pgx.CopyFromRows(records))
		if err == nil {
			_, err = tx.Exec(ctx, "INSERT INTO record SELECT ord, id, tag, kind, state, time, raw, to_tsvector('simple', text) FROM incoming")
		}
		if err == nil {
			_, err = tx.Exec(ctx, "TRUNCATE incoming")
		}
		if err == nil {
			_, err = tx.CopyFrom(ctx, pgx.Identifier{"address"}, []string{"addr", "ord"}, pgx.CopyFromRows(addrs))
		}
		if err != nil {
			return errors.Join(err, tx.Rollback(ctx))
		}
		records, addrs = nil, nil
		return tx.Commit(ctx)
	}
	err = documents(cones, func(d *document) error {
		records = append(records, []any{d.ord, d.id[:], d.tag, d.kind, d.state, d.time, d.raw, d.text})
		seen := map[string]bool{}
		for _, a := range d.addresses {
			if !seen[string(a)] {
				seen[string(a)] = true
				addrs = append(addrs, []any{a, d.ord})
			}
		}
		if len(records) == 1000 {
			return flush()
		}
		return nil
	})
	if err == nil && len(records) > 0 {
		err = flush()
	}
	if err == nil {
		_, err = conn.Exec(ctx, "VACUUM ANALYZE")
	}
	return err
}

func (p *postgres) engine() (*sqlEngine, error) {
	db, err := sql.Open("pgx", p.address())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return &sqlEngine{
		label: "PostgreSQL 15", db: db, stmts: map[string]*sql.Stmt{}, mark: func(i int) string { return fmt.Sprint("$", i) },
		match: "words @@ to_tsquery('simple', %s)", from: "record", key: "record.ord",
		words: func(q *question) string {
			if q.kind == askPhrase {
				return strings.Join(q.words, " <-> ")
			}
			return strings.Join(q.words, " & ")
		},
	}, nil
}

// size returns the bytes of all files below dir.
func size(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		n += info.Size()
		return nil
	})
	return n, err
}
