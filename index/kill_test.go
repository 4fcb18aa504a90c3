package index

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"permanode/storage"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // the workers that the library starts for its own indexes, which benchmarks make
}

// childDir names, in the environment, the folder in which a process that is to be killed makes an index.
const childDir = "PERMANODE_INDEX_TEST_CHILD"

// child indexes what TestKill's store holds, and says after each unit that it did.
func child(dir string) {
	_, s := filled(3, killUnits)
	x, err := Open(dir, Options{Store: s, Codec: fakeCodecs, ShardDocs: 40})
	if err != nil {
		panic(err)
	}
	f, err := x.Follower(fakeNetwork())
	if err != nil {
		panic(err)
	}
	for seq := uint64(1); seq <= killUnits; seq++ {
		if err := errors.Join(f.Follow(context.Background(), s.cones[seq]), f.Sync(context.Background())); err != nil {
			panic(err)
		}
		fmt.Println(seq)
	}
}

const killUnits = 150

// TestKill: a process that is killed at any moment leaves what it said to have done, and another goes on to the same.
func TestKill(t *testing.T) {
	kills := 6
	if os.Getenv("PERMANODE_TORTURE") != "" {
		kills = 200
	}
	r, s := filled(3, killUnits)
	dir := t.TempDir()
	for range kills {
		said := killed(t, r, dir)
		x := opened(t, dir, s, 40)
		done, err := x.Done(context.Background(), fakeNet)
		if err != nil || !done.Covers(1, said) {
			t.Fatalf("killed after unit %d: done %v, %v", said, done, err)
		}
		for range 5 {
			judge(t, r, x, s, done)
		}
		for f, err := range x.Check(context.Background(), fakeNetwork(), true) {
			if !errors.Is(err, storage.ErrIncomplete) {
				t.Errorf("killed after unit %d: check: %+v %v", said, f, err)
			}
		}
		if said > killUnits*2/3 {
			catchUp(t, x, s)
			sound(t, r, x, s)
			closed(t, x)
			dir = t.TempDir()
			continue
		}
		closed(t, x)
	}
}

// killed runs child for a while and returns the last unit that it said to have done, 0 for none.
func killed(t *testing.T, r *rand.Rand, dir string) (said uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, os.Args[0])
	c.Env = append(os.Environ(), childDir+"="+dir)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := r.IntN(60)
	for in := bufio.NewScanner(out); in.Scan(); lines-- {
		if said, err = strconv.ParseUint(in.Text(), 10, 64); err != nil {
			t.Fatalf("the child says %q", in.Text())
		}
		if lines == 0 {
			// Not at once: between two lines is where the work is done.
			time.AfterFunc(time.Duration(r.IntN(30))*time.Millisecond, func() { _ = c.Process.Kill() })
		}
	}
	_ = c.Wait() // it was killed
	return said
}
