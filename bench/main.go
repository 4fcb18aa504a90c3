package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &bench{ctx: ctx}
	flag.IntVar(&b.records, "records", 200_000, "records to make")
	flag.IntVar(&b.questions, "questions", 200, "questions of each sort")
	flag.Uint64Var(&b.seed, "seed", 1, "of the network and the questions")
	load := flag.Bool("load-sqlite", false, "only load the cone file ARG1 into the SQLite file ARG2: what this program starts itself with")
	flag.BoolVar(&b.export, "export", false, "compare exports, and nothing else")
	flag.Parse()
	var err error
	if *load {
		err = loadSQLite(flag.Arg(0), flag.Arg(1))
	} else {
		err = b.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type bench struct {
	ctx                context.Context
	records, questions int
	seed               uint64
	export             bool
	dir                string
	corpus             *corpus
	loads              table
}

// spent is what a load took.
type spent struct {
	cpu, wall time.Duration
	peak      int64 // bytes
}

func (b *bench) run() (err error) {
	if b.dir, err = os.MkdirTemp("", "permanode-bench-*"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := os.Chmod(b.dir, 0o755); err != nil { // the database's user passes through
		return err
	}
	if b.corpus, err = makeCorpus(b.dir, b.records, b.seed); err != nil {
		return fmt.Errorf("make the corpus: %w", err)
	}
	fmt.Printf("%d records, %d bytes of blocks, seed %d; %d cores, %s\n\n", b.corpus.records, b.corpus.bytes, b.seed, runtime.GOMAXPROCS(0), runtime.Version())
	if b.export {
		return b.exports()
	}
	b.loads.add("load", "CPU a record", "records a CPU-second", "wall clock", "largest resident set", "bytes a record on disk")
	var engines []engine
	defer func() {
		for _, e := range engines {
			err = errors.Join(err, e.close())
		}
	}()
	for _, open := range []func() (engine, error){b.ours, b.sqlite, b.postgres} {
		e, err := open()
		if err != nil {
			return err
		}
		engines = append(engines, e)
	}
	b.loads.print()
	if err := b.ask(engines); err != nil {
		return err
	}
	return b.whileIngesting()
}

// child runs a command to its end and says what it took.
func (b *bench) child(name string, args ...string) (spent, error) {
	return b.childTo("", name, args...)
}

// childTo is child with a file for what the command writes.
func (b *bench) childTo(file, name string, args ...string) (s spent, err error) {
	c := exec.CommandContext(b.ctx, name, args...)
	var said strings.Builder
	c.Stdout, c.Stderr = &said, &said
	if file != "" {
		f, err := os.Create(file)
		if err != nil {
			return s, err
		}
		defer f.Close()
		c.Stdout = f
	}
	begin := time.Now()
	if err := c.Run(); err != nil {
		return s, fmt.Errorf("%s: %w: %s", filepath.Base(name), err, said.String())
	}
	s.wall, s.cpu = time.Since(begin), c.ProcessState.UserTime()+c.ProcessState.SystemTime()
	if u, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
		s.peak = u.Maxrss << 10
	}
	return s, nil
}

func (b *bench) loaded(label string, s spent, bytes int64) {
	n := float64(b.corpus.records)
	peak := "–"
	if s.peak > 0 {
		peak = fmt.Sprintf("%d MiB", s.peak>>20)
	}
	b.loads.add(label, fmt.Sprintf("%.1f µs", s.cpu.Seconds()/n*1e6), fmt.Sprintf("%.0f", n/s.cpu.Seconds()), fmt.Sprintf("%.1f s", s.wall.Seconds()), peak,
		fmt.Sprintf("%.0f", float64(bytes)/n))
}

func (b *bench) sqlite() (engine, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(b.dir, "bench.sqlite")
	s, err := b.child(self, "-load-sqlite", b.corpus.cones, file)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	b.loaded("SQLite + FTS5, verifies nothing", s, info.Size())
	return sqliteEngine(file)
}

func (b *bench) postgres() (engine, error) {
	dir := filepath.Join(b.dir, "postgres")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	p, err := startPostgres(b.ctx, dir)
	if err != nil {
		return nil, err
	}
	self := cpuOfSelf()
	server, begin := p.cpu(), time.Now()
	before, err := size(filepath.Join(p.dir, "base"))
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	if err := p.load(b.ctx, b.corpus.cones); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	after, err := size(filepath.Join(p.dir, "base"))
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	b.loaded("PostgreSQL 15, verifies nothing (client and server)", spent{cpu: p.cpu() - server + cpuOfSelf() - self, wall: time.Since(begin)}, after-before)
	e, err := p.engine()
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return &served{e, p}, nil
}

// served is an engine with its server.
type served struct {
	*sqlEngine
	server *postgres
}

func (s *served) close() error { return errors.Join(s.sqlEngine.close(), s.server.stop()) }

func cpuOfSelf() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const warmUp = 20

// ask puts the same questions to all engines in turn, and fails where they do not agree.
func (b *bench) ask(engines []engine) error {
	all, err := makeQuestions(b.corpus, b.questions+warmUp, b.seed)
	if err != nil {
		return err
	}
	var t table
	head := []string{"question", "hits, mean"}
	for _, e := range engines {
		head = append(head, e.name()+", p50 / p95 / p99 ms")
	}
	t.add(head...)
	for sort, list := range all {
		times := make([][]time.Duration, len(engines))
		var hits int64
		for i := range list {
			var first answer
			for k := range engines {
				e := (i + k) % len(engines) // each of them begins as often as the others
				begin := time.Now()
				a, err := engines[e].ask(&list[i])
				if err != nil {
					return fmt.Errorf("%s: %s: %w", engines[e].name(), askedNames[sort], err)
				}
				if i >= warmUp {
					times[e] = append(times[e], time.Since(begin))
				}
				if k == 0 {
					first = a
					hits += a.total
				} else if err := a.same(first); err != nil {
					return fmt.Errorf("%s, question %d (%+v): %s and %s do not agree: %w",
						askedNames[sort], i, list[i], engines[e].name(), engines[i%len(engines)].name(), err)
				}
			}
		}
		row := []string{askedNames[sort], fmt.Sprint(hits / int64(len(list)))}
		for _, d := range times {
			row = append(row, quantiles(d))
		}
		t.add(row...)
	}
	t.print()
	return nil
}

func quantiles(d []time.Duration) string {
	slices.Sort(d)
	at := func(q float64) float64 { return d[int(math.Ceil(q*float64(len(d))))-1].Seconds() * 1e3 }
	return fmt.Sprintf("%.2f / %.2f / %.2f", at(0.5), at(0.95), at(0.99))
}

// table prints as Markdown.
type table [][]string

func (t *table) add(cells ...string) { *t = append(*t, cells) }

func (t *table) print() {
	for i, row := range *t {
		fmt.Printf("| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Println(strings.Repeat("|---", len(row)) + "|")
		}
	}
	fmt.Println()
}
