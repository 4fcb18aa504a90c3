package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"permanode/index"
	"permanode/ingest"
	"permanode/ingest/archive"
	"permanode/internal/follow"
	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/ledger/stardust"
	"permanode/query"
	"permanode/storage/pebblestore"
)

const ourMemory = 1 << 30 // of the archive, all in

// program builds permanode.
func (b *bench) program() (string, error) {
	program := filepath.Join(b.dir, "permanode")
	root, err := exec.CommandContext(b.ctx, "go", "list", "-m", "-f", "{{.Dir}}", "permanode").Output()
	if err != nil {
		return "", fmt.Errorf("where permanode is: %w", err)
	}
	build := exec.CommandContext(b.ctx, "go", "build", "-trimpath", "-o", program, "./cmd/permanode")
	build.Dir = strings.TrimSpace(string(root))
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build permanode: %w: %s", err, out)
	}
	return program, nil
}

// ours ingests with the program itself: prove, store and index.
func (b *bench) ours() (engine, error) {
	program, err := b.program()
	if err != nil {
		return nil, err
	}
	data := filepath.Join(b.dir, "archive")
	s, err := b.child(program, "ingest", "--data", data, "--trust", b.corpus.trust, "--from", b.corpus.cones, "--snapshot", b.corpus.snapshot)
	if err != nil {
		return nil, err
	}
	all, err := size(data)
	if err != nil {
		return nil, err
	}
	words, err := size(filepath.Join(data, "index"))
	if err != nil {
		return nil, err
	}
	b.loaded("permanode: proves, stores, indexes", s, all)
	b.loads.add("of that: the index", "", "", "", "", fmt.Sprintf("%.0f", float64(words)/float64(b.corpus.records)))
	return openOurs(b.ctx, data, true)
}

// ourEngine asks an archive in this process.
type ourEngine struct {
	ctx     context.Context
	db      *pebblestore.DB
	index   *index.Index
	archive *query.Archive
	all     []query.Network
}

func openOurs(ctx context.Context, data string, readOnly bool) (_ *ourEngine, err error) {
	e := &ourEngine{ctx: ctx}
	if e.db, err = pebblestore.Open(data, pebblestore.Options{Codec: eras.Codec, Memory: ourMemory * 3 / 4, ReadOnly: readOnly}); err != nil {
		return nil, err
	}
	if e.index, err = index.Open(filepath.Join(data, "index"), index.Options{ReadOnly: readOnly, Store: e.db, Codec: eras.Codec, Memory: ourMemory / 8}); err != nil {
		return nil, errors.Join(err, e.db.Close())
	}
	e.archive = query.New(e.db, eras.Codec)
	e.archive.UseIndex(e.index)
	if readOnly {
		e.all, err = e.archive.Networks(ctx)
	}
	return e, err
}

func (e *ourEngine) name() string { return "permanode" }
func (e *ourEngine) close() error { return errors.Join(e.index.Close(), e.db.Close()) }

func ourText(q *question) (text string, facets []string) {
	date := func(s int64) string { return time.Unix(s, 0).UTC().Format(time.DateOnly) }
	switch q.kind {
	case askID:
		return fmt.Sprintf("id:0x%x", q.id), nil
	case askTag:
		return "tag:" + q.tag, nil
	case askAddress:
		return "addr:" + addressText(q.address), nil
	case askPhrase:
		return `"` + strings.Join(q.words, " ") + `"`, nil
	case askRange:
		return fmt.Sprintf("%s after:%s before:%s", strings.Join(q.words, " "), date(q.after), date(q.before)), nil
	}
	return "text:" + q.words[0], []string{index.FacetTag, index.FacetKind, index.FacetState}
}

func (e *ourEngine) ask(q *question) (a answer, err error) {
	text, facets := ourText(q)
	r, err := e.archive.Search(e.ctx, query.SearchRequest{Networks: e.all, Query: text, Limit: 10, Facets: facets})
	switch {
	case err != nil:
		return a, err
	case r.Total.Relation != "exact":
		return a, fmt.Errorf("%s: the total is a %s: %s", text, r.Total.Relation, r.Total.Why)
	}
	a.total = int64(r.Total.Value)
	for _, h := range r.Hits {
		a.ords = append(a.ords, int64(h.Ord.Seq<<24)|int64(h.Ord.Pos))
	}
	for _, name := range facets {
		var counts []int64
		for _, v := range r.Facets[name].Values[:min(10, len(r.Facets[name].Values))] {
			counts = append(counts, int64(v.Count))
		}
		a.facets = append(a.facets, counts)
	}
	return a, nil
}

// whileIngesting asks an archive that ingests and indexes the corpus in this process, as fast as it can, on the same
// cores.
func (b *bench) whileIngesting() (err error) {
	e, err := openOurs(b.ctx, filepath.Join(b.dir, "live"), false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	raw, err := os.ReadFile(b.corpus.trust)
	if err != nil {
		return err
	}
	trust, err := stardust.Codec{}.ParseTrust(raw)
	if err != nil {
		return err
	}
	w, err := e.db.Writer(b.ctx, ledger.Network{Name: "corpus", Era: trust.Era, Identity: trust.Identity, Trust: trust.Raw})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	source, err := archive.OpenCones(b.corpus.cones, stardust.Codec{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	collector, err := ingest.New(ingest.Config{
		Network: "corpus", Codec: stardust.Codec{}, Trust: trust, Store: w, Sources: []ingest.Source{source},
		Snapshot: []string{b.corpus.snapshot}, Memory: ourMemory / 4,
	})
	if err != nil {
		return err
	}
	if e.all, err = e.archive.Networks(b.ctx); err != nil {
		return err
	}
	follower, err := e.index.Follower(e.all[0].Network)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(b.ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	begin := time.Now()
	g.Go(func() error {
		defer stop()
		return collector.CatchUp(ctx)
	})
	g.Go(func() error {
		if err := follow.Run(ctx, e.db, w.Net(), follower); !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	})
	times, err := b.askWhile(ctx, e)
	if err = errors.Join(err, g.Wait()); err != nil {
		return err
	}
	wall := time.Since(begin)
	var t table
	t.add("question, while everything is ingested and indexed", "asked", "p50 / p95 / p99 ms")
	for sort, d := range times {
		if len(d) > 0 {
			t.add(askedNames[sort], fmt.Sprint(len(d)), quantiles(d))
		}
	}
	fmt.Printf("Ingest ran at %.0f records a second beside %d questions in a row.\n\n", float64(b.corpus.records)/wall.Seconds(), len(times[0])*int(askSorts))
	t.print()
	return nil
}

// askWhile asks one question after the other until ctx ends. Totals are lower bounds then, since the index is behind.
func (b *bench) askWhile(ctx context.Context, e *ourEngine) (times [askSorts][]time.Duration, err error) {
	all, err := makeQuestions(b.corpus, b.questions, b.seed+1)
	if err != nil {
		return times, err
	}
	for i := 0; ctx.Err() == nil; i++ {
		for sort, list := range all {
			text, facets := ourText(&list[i%len(list)])
			begin := time.Now()
			_, err := e.archive.Search(ctx, query.SearchRequest{Networks: e.all, Query: text, Limit: 10, Facets: facets})
			if ctx.Err() != nil {
				break
			}
			if err != nil {
				return times, fmt.Errorf("%s: %w", text, err)
			}
			times[sort] = append(times[sort], time.Since(begin))
		}
	}
	return times, nil
}
