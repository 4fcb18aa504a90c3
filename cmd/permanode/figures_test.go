package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"

	"permanode/ledger"
	"permanode/ledger/stardust"
)

// BenchmarkFigures measures each stage beside its floor and prints the table of docs/performance.md (make figures):
// on the recording, and on as many generated records as FIGURES_RECORDS says, 100000 if it says nothing. Floor and
// ours work on the same bytes, keys and signatures, or the benchmark fails. It measures once, whatever b.N.
func BenchmarkFigures(b *testing.B) {
	if figuresDone {
		return
	}
	figuresDone = true
	debug.SetGCPercent(collectAfter) // as the program does, for floors too
	records := 100_000
	if n, err := strconv.Atoi(os.Getenv("FIGURES_RECORDS")); err == nil && n >= 1000 {
		records = n
	}
	sizes := []int{records / 100, records / 10, records}
	if records < 1_000_000 {
		sizes = sizes[1:]
	}
	made := madeSets(b, sizes...)
	f := &figures{b: b}
	f.stages.add("records", "work", "floor, CPU a record", "ours, CPU a record", "ours, records a CPU-second", "rounds", "speed of the floor reached, CPU", "the same by wall clock", "goal")
	f.whole.add("records", "memory:", "CPU a record", "of the stages' sum", "goal", "wall clock × cores / CPU", "goal", "records a second", "largest resident set", "largest heap", "bytes a record on disk", "raw bytes a record")
	f.measure(recordedSet(b, "stardust"))
	for _, s := range made {
		f.measure(s)
	}
	fmt.Printf("\n%d cores, %s\n\n", runtime.GOMAXPROCS(0), runtime.Version())
	f.stages.write(os.Stdout)
	fmt.Println()
	f.whole.write(os.Stdout)
	fmt.Println()
}

var figuresDone bool

// figuresMemory is what every store and catch-up may use: little, so that caches are full early.
const figuresMemory = 256 << 20

type figures struct {
	b             *testing.B
	stages, whole sheet
}

func (f *figures) measure(s *dataset) {
	b, name := f.b, fmt.Sprintf("%s: %d", s.name, s.records)
	st := f.prove(s)
	f.stages.duelRow("prove; one signature at a time", name, &st.single, st.records, 0.8)
	f.stages.duelRow("prove; batches, the better floor", name, &st.batch, st.records, 0.8)
	f.stages.duelRow("commit, durable, all postings", name, &st.commit, st.records, 0.8)

	rounds := max(1, 3*segmentRecords/s.records)
	var read cost
	for range rounds {
		c := timed(func() {
			if err := readSource(s, stardust.Codec{}); err != nil {
				b.Fatal(err)
			}
		})
		read = read.add(c)
	}
	perRecord := func(c cost, n int) float64 { return c.cpu.Seconds() / float64(n) }
	sum := perRecord(read, rounds*s.records) + perRecord(total(st.batch.ours), st.records) +
		perRecord(total(st.lookUps), st.records) + perRecord(total(st.commit.ours), st.records) + perRecord(total(st.ends), st.records)
	var data string
	var runs []collected
	for i := range max(1, min(5, 3*segmentRecords/s.records)) {
		data = filepath.Join(b.TempDir(), fmt.Sprint("data", i))
		runs = append(runs, collectInChild(b, s, figuresMemory, data))
	}
	f.wholeRow(s, name, runs, sum, diskUse(b, data))
	d := f.check(s, data)
	f.stages.duelRow("check --full", name, d, s.records*len(d.ours), 0.8)
}

func (f *figures) wholeRow(s *dataset, name string, runs []collected, sum float64, disk int64) {
	n := float64(s.records)
	var cpus, walls []float64
	var peak, heap uint64
	for _, r := range runs {
		cpus, walls = append(cpus, r.CPU.Seconds()), append(walls, r.Wall.Seconds())
		peak, heap = max(peak, r.Peak), max(heap, r.Heap)
	}
	cpu, wall := median(cpus), median(walls)
	ofSum, ofCPU := cpu/n/sum, wall*float64(runtime.GOMAXPROCS(0))/cpu
	f.whole.add(name, fmt.Sprintf("%d MiB", figuresMemory>>20), fmt.Sprintf("%.1f µs", 1e6*cpu/n),
		fmt.Sprintf("%.0f %% of %.1f µs", 100*ofSum, 1e6*sum), verdict(ofSum <= 1.1, "≤ 110 %"),
		fmt.Sprintf("%.0f %%", 100*ofCPU), verdict(ofCPU <= 1.15, "≤ 115 %"), fmt.Sprintf("%.0f", n/wall),
		fmt.Sprintf("%d MiB", peak>>20), fmt.Sprintf("%d MiB", heap>>20),
		fmt.Sprintf("%.0f", float64(disk)/n), fmt.Sprintf("%.0f", float64(s.blocks+s.headers+s.auths)/n))
}

// staged is what the stages of a catch-up took, one at a time.
type staged struct {
	single, batch, commit duel
	lookUps               []cost // what a cone needs of the store
	ends                  []cost // opening and closing a store
	records               int    // in all rounds together
}

// prove proves and commits s, segment by segment, beside the floors. A small set is proven several times.
func (f *figures) prove(s *dataset) *staged {
	b, st := f.b, &staged{}
	passes := max(1, min(5, 5*segmentRecords/s.records))
	for range passes {
		dir := b.TempDir()
		tap := newLogTap()
		spare := openEngine(b, filepath.Join(dir, "spare"), s, tap) // tells beforehand what ours will write
		var ours *engine
		open := timed(func() { ours = openEngine(b, filepath.Join(dir, "ours"), s, nil) })
		floor := openRaw(b, filepath.Join(dir, "floor"))
		if err := floor.write(tap.take(b)); err != nil {
			b.Fatal(err)
		}
		p := newProver(b, s)
		for raw := range s.segments(b) {
			seg := newSegment(b, raw)
			cones := f.proveSegment(st, p, seg, ours)
			f.commitSegment(st, cones, spare, ours, floor, tap)
			st.records += seg.records
		}
		spare.close(b)
		st.ends = append(st.ends, open.add(timed(func() { ours.close(b) })))
		if err := errors.Join(floor.db.Flush(), floor.db.Close()); err != nil {
			b.Fatal(err)
		}
		sameOptions(b, ours.dir, floor.dir)
		if o, fl := contentOf(b, ours.dir), contentOf(b, floor.dir); o != fl {
			b.Fatalf("ours wrote %+v, the floor %+v", o, fl)
		}
		if err := os.RemoveAll(dir); err != nil {
			b.Fatal(err)
		}
	}
	return st
}

func (f *figures) proveSegment(st *staged, p *prover, seg *segment, ours *engine) (cones []*ledger.Cone) {
	b := f.b
	var one, many done
	var keys [][][]byte
	run := func() {
		var err error
		if cones, keys, err = p.run(seg); err != nil {
			b.Fatal(err)
		}
	}
	st.single.floor = append(st.single.floor, timed(func() { one = singly(seg) }))
	st.batch.round(func() { many = inBatches(seg) }, run)
	st.single.ours = append(st.single.ours, st.batch.ours[len(st.batch.ours)-1])
	mine := workedOn(b, cones)
	mine.good = many.good // whether ours found the same good ones, the roots say
	if one != many || one != mine {
		b.Fatalf("the floors worked on %+v and %+v, ours on %+v", one, many, mine)
	}
	for _, c := range cones {
		c.Net = ours.w.Net()
	}
	st.lookUps = append(st.lookUps, timed(func() {
		for i := range cones {
			if err := ours.lookUp(cones[i], keys[i]); err != nil {
				b.Fatal(err)
			}
		}
	}))
	p.keep(cones)
	return cones
}

func (f *figures) commitSegment(st *staged, cones []*ledger.Cone, spare, ours *engine, floor *rawStore, tap *logTap) {
	b := f.b
	batches := commits(cones)
	if err := spare.commit(batches); err != nil {
		b.Fatal(err)
	}
	written := tap.take(b)
	st.commit.round(func() {
		if err := floor.write(written); err != nil {
			b.Fatal(err)
		}
	}, func() {
		if err := ours.commit(batches); err != nil {
			b.Fatal(err)
		}
	})
}

// check runs check --full beside its floor over the store in data.
func (f *figures) check(s *dataset, data string) *duel {
	b, d := f.b, &duel{}
	floor := newCheckFloor(b, s, data)
	var sigs int
	for i := range floor.units {
		sigs += len(floor.units[i].sigs)
	}
	for range max(2, min(7, 5*segmentRecords/s.records)) {
		d.round(func() {
			if err := floor.run(); err != nil {
				b.Fatal(err)
			}
		}, func() {
			r, err := checkOurs(data)
			if err != nil || r.Proven != uint64(s.units) {
				b.Fatalf("check --full: %+v, %v", r, err)
			}
			if raw := int64(r.Bytes); int(r.Records) != s.records || raw != s.blocks {
				b.Fatalf("check --full hashed %d records, %d bytes; %d records, %d bytes are there", r.Records, raw, s.records, s.blocks)
			}
		})
		if got := floor.hashes.Load(); got != int64(s.records+s.units) || floor.bytes.Load() != s.blocks+s.headers {
			b.Fatalf("the floor hashed %d records and units, %d bytes; %d, %d bytes are there", got, floor.bytes.Load(), s.records+s.units, s.blocks+s.headers)
		}
	}
	return d
}
