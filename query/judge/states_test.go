package judge_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"permanode/internal/follow"
	"permanode/ledger"
	"permanode/query"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("PERMANODE_JUDGE_CHILD"); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// The same questions have the same answers in every state of an archive.
func TestJudge(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Hour)
	defer cancel()
	seed := seedOf(t)
	oracle := newArchive(ctx, t, seed, sizeOf())
	oracle.feedAll(ctx, t)
	a := newArchive(ctx, t, seed, sizeOf())
	for _, f := range a.feeds {
		if _, err := f.feed(ctx, len(f.heads)/2); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.world.catchUp(ctx, a.db); err != nil {
		t.Fatal(err)
	}
	in := func(state string, of *query.Archive, n int, change func(*judge)) {
		j := &judge{t: t, a: of, world: a.world, seed: seed, state: state, indexed: true}
		if change != nil {
			change(j)
		}
		j.run(ctx, questions(n))
	}
	in("postings alone", sees(a.db, nil), 100, func(j *judge) { j.indexed, j.growing = false, true })

	small := openIndex(t, filepath.Join(a.dir, "small"), a.db, 70)
	writers := followers(t, small, a.world)
	catchUp(ctx, t, a.db, writers)
	in("small shards", sees(a.db, small), 150, nil)

	stop := a.grow(ctx, t, writers)
	in("during ingest", sees(a.db, small), 200, func(j *judge) { j.growing, j.world = true, oracle.world })
	stop()
	if err := a.world.catchUp(ctx, a.db); err != nil {
		t.Fatal(err)
	}
	catchUp(ctx, t, a.db, writers)
	in("small shards, more of them", sees(a.db, small), 200, nil)
	for _, n := range a.world.nets {
		t.Logf("%s: %d shards", n.name, small.Status(n.id).Shards)
	}
	for _, n := range a.world.nets {
		if err := small.Rebuild(ctx, n.row, nil); err != nil {
			t.Fatal(err)
		}
	}
	in("rebuilt", sees(a.db, small), 150, nil)
	if err := small.Close(); err != nil {
		t.Fatal(err)
	}

	big := openIndex(t, filepath.Join(a.dir, "big"), a.db, 0)
	catchUp(ctx, t, a.db, followers(t, big, a.world))
	in("one shard", sees(a.db, big), 100, nil)
	if err := big.Close(); err != nil {
		t.Fatal(err)
	}

	again := openIndex(t, filepath.Join(a.dir, "small"), a.db, 70)
	in("reopened", sees(a.db, again), 100, nil)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

// grow commits the rest of the networks, unit by unit, with the index behind it, until it is stopped; stopping
// commits what is left at once.
func (a *archive) grow(ctx context.Context, t testing.TB, writers map[ledger.NetID]follow.Follower) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	for net, f := range writers {
		all.Go(func() {
			if err := follow.Run(ctx, a.db, net, f); !errors.Is(err, context.Canceled) {
				t.Errorf("index: %v", err)
			}
		})
	}
	hurry := make(chan struct{})
	var feeding sync.WaitGroup
	for i, f := range a.feeds {
		feeding.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 3))
			for {
				fed, err := f.feed(ctx, 1)
				if err != nil {
					t.Errorf("%s: %v", f.row.Name, err)
				}
				if fed == 0 {
					return
				}
				select {
				case <-hurry:
				case <-time.After(time.Duration(r.IntN(400)) * time.Millisecond):
				}
			}
		})
	}
	return func() {
		close(hurry)
		feeding.Wait()
		cancel()
		all.Wait()
	}
}

// A walk over pages while units arrive loses no hit that was there when it began, repeats none, and is in order.
func TestWalk(t *testing.T) {
	ctx := context.Background()
	seed := seedOf(t)
	a := newArchive(ctx, t, seed, size{units: 30, blocks: 6, transactions: 3, thin: 9})
	oracle := newArchive(ctx, t, seed, size{units: 30, blocks: 6, transactions: 3, thin: 9})
	oracle.feedAll(ctx, t)
	for _, f := range a.feeds {
		if _, err := f.feed(ctx, len(f.heads)/3); err != nil {
			t.Fatal(err)
		}
	}
	x := openIndex(t, filepath.Join(a.dir, "index"), a.db, 70)
	writers := followers(t, x, a.world)
	catchUp(ctx, t, a.db, writers)
	j := &judge{t: t, a: sees(a.db, x), world: oracle.world, seed: seed}
	asker := newAsker(rand.New(rand.NewPCG(seed, 4)), oracle.world.nets)
	stop := a.grow(ctx, t, writers)
	for range 40 {
		q := j.ask(asker, asker.query())
		if q.err == nil {
			if err := j.walk(ctx, q, asker.r); err != nil {
				t.Errorf("%v: %v", q, err)
			}
		}
	}
	stop()
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}

// walk goes through all pages.
func (j *judge) walk(ctx context.Context, q *one, r *rand.Rand) error {
	networks, err := j.a.Networks(ctx)
	if err != nil {
		return err
	}
	req := query.SearchRequest{Query: q.query, Order: q.order}
	for _, n := range networks {
		for _, have := range q.nets {
			if n.Name == have.name {
				req.Networks = append(req.Networks, n)
			}
		}
	}
	at := 0 // in q.want: the place behind the last hit
	must := map[*doc]bool{}
	for page := 0; ; page++ {
		req.Limit = 1 + r.IntN(60)
		got, err := j.a.Search(ctx, req)
		if done, err := j.fails(q, err); done {
			return err
		}
		if page == 0 {
			for _, d := range within(q, got) {
				must[d] = true
			}
		}
		for _, hit := range got.Hits {
			for ; at < len(q.want); at++ {
				d := q.want[at]
				if d.net.name == hit.Network.Name && d.seq == hit.Ord.Seq && d.pos == hit.Ord.Pos {
					break
				}
				if must[d] {
					return fmt.Errorf("page %d: %v was there from the beginning and is lost", page, d)
				}
			}
			if at == len(q.want) {
				return fmt.Errorf("page %d: %s %v is no hit, or comes twice, or out of order", page, hit.Network.Name, hit.Ord)
			}
			at++
		}
		if req.Cursor = got.Next; req.Cursor == "" {
			break
		}
	}
	for ; at < len(q.want); at++ {
		if must[q.want[at]] {
			return fmt.Errorf("%v was there from the beginning and is lost at the end", q.want[at])
		}
	}
	return nil
}

// child feeds an archive and its index until it is killed. It says each unit.
func child(dir string) {
	// The tests' own helpers stop by t.Fatal; here a panic does.
	t := &dying{dir: dir}
	ctx := context.Background()
	var seed uint64
	if _, err := fmt.Sscan(os.Getenv("PERMANODE_SEED"), &seed); err != nil {
		panic(err)
	}
	a := newArchive(ctx, t, seed, sizeOf())
	x := openIndex(t, filepath.Join(dir, "index"), a.db, 40)
	writers := followers(t, x, a.world)
	for round := 0; ; round++ {
		fed := 0
		for _, f := range a.feeds {
			n, err := f.feed(ctx, 1)
			if err != nil {
				panic(err)
			}
			fed += n
		}
		catchUp(ctx, t, a.db, writers)
		fmt.Println("unit", round)
		if fed == 0 {
			select {} // to be killed
		}
	}
}

// dying is a testing.TB for a process that will be killed.
type dying struct {
	testing.TB
	dir string
}

func (d *dying) Helper()                      {}
func (d *dying) Logf(string, ...any)          {}
func (d *dying) TempDir() string              { return d.dir }
func (d *dying) Cleanup(func())               {}
func (d *dying) Fatal(args ...any)            { panic(fmt.Sprint(args...)) }
func (d *dying) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }
func (d *dying) Errorf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }

// What was killed in the middle of ingest and indexing answers right once it has caught up.
func TestKill(t *testing.T) {
	ctx := context.Background()
	seed := seedOf(t)
	rounds := 1
	if torture {
		rounds = 20
	}
	for round := range rounds {
		dir := t.TempDir()
		r := rand.New(rand.NewPCG(seed, uint64(round)))
		said := 3 + r.IntN(sizeOf().units-4)
		kill(t, dir, seed, said, time.Duration(r.IntN(100))*time.Millisecond)
		db := openStore(t, filepath.Join(dir, "store"))
		w, err := worldOver(ctx, db, generated(t, seed, sizeOf()), genesisOf(t, "stardust"))
		if err == nil {
			err = w.catchUp(ctx, db)
		}
		if err != nil {
			t.Fatal(err)
		}
		x := openIndex(t, filepath.Join(dir, "index"), db, 40)
		for _, n := range w.nets {
			done, err := x.Done(ctx, n.id)
			if err != nil {
				t.Fatal(err)
			}
			held := n.docs[len(n.docs)-1].seq - n.docs[0].seq + 1
			if durable := min(uint64(said), held); done.Len() < durable {
				t.Errorf("%s: of %d units that were in the index before the kill there are %v", n.name, durable, done.Ranges())
			}
		}
		j := &judge{t: t, a: sees(db, x), world: w, seed: seed + uint64(round), state: "killed, behind", indexed: true, growing: true}
		j.run(ctx, questions(60)/rounds)
		catchUp(ctx, t, db, followers(t, x, w))
		j = &judge{t: t, a: sees(db, x), world: w, seed: seed + uint64(round), state: "killed, caught up", indexed: true}
		j.run(ctx, questions(100)/rounds)
		if err := errors.Join(x.Close(), db.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// kill runs a child until it has said so many units, and a moment more.
func kill(t *testing.T, dir string, seed uint64, units int, more time.Duration) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "PERMANODE_JUDGE_CHILD="+dir, fmt.Sprintf("PERMANODE_SEED=%d", seed))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for range units {
		if !lines.Scan() {
			t.Error("the child ended by itself")
			break
		}
	}
	time.Sleep(more) // so that the kill comes anywhere between two units
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // killed
}
