package trail

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// killDir names the environment variable that makes this test binary a service that writes until it is killed.
const killDir = "PERMANODE_TEST_TRAIL_KILL"

// load writes lines as fast as it can and prints each: "sync ID" after a synchronous one is on disk, "async ID MS" before
// an other is queued, with the time.
func load(dir string) {
	tr, err := Open(dir, quiet)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("ready")
	print := make(chan string, 100)
	for g := range 4 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), g, i)
				if g == 0 {
					print <- fmt.Sprintf("async %s %d", id, time.Now().UnixMilli())
					if err := tr.Append(Event{RequestID: id}); err != nil {
						print <- "error " + err.Error()
					}
					time.Sleep(100 * time.Microsecond) // a rate, not a wait
					continue
				}
				if err := tr.AppendSync(context.Background(), Event{Event: Begin, RequestID: id}); err != nil {
					print <- "error " + err.Error()
					continue
				}
				print <- "sync " + id
			}
		}()
	}
	for text := range print {
		fmt.Println(text)
	}
}

// A killed service loses no synchronous line, and of the others at most what came in the last second. The next start
// leaves a chain without faults, whatever the kill left.
func TestKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "access")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	want := map[string]bool{}
	const rounds = 6
	for range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		queued := map[string]int64{}
		in := bufio.NewScanner(out)
		for in.Scan() {
			if in.Text() == "ready" {
				time.AfterFunc(time.Duration(random.IntN(1500))*time.Millisecond, func() { _ = cmd.Process.Kill() })
			}
			word, rest, _ := strings.Cut(in.Text(), " ")
			switch word {
			case "sync":
				want[rest] = true
			case "async":
				id, ms, _ := strings.Cut(rest, " ")
				queued[id], _ = strconv.ParseInt(ms, 10, 64)
			case "error":
				t.Fatal(rest)
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the service was not killed")
		}
		newest := int64(0)
		for _, at := range queued {
			newest = max(newest, at)
		}
		for id, at := range queued {
			if at < newest-1000 {
				want[id] = true
			}
		}
	}
	tr := mustOpen(t, dir, onDisk(&clock{at: time.Now()}))
	mustClose(t, tr)
	sum := wantGood(t, dir)
	if sum.Kills != rounds {
		t.Errorf("the trail shows %d kills, want %d", sum.Kills, rounds)
	}
	for _, l := range read(t, dir) {
		if id, ok := l["request_id"].(string); ok {
			delete(want, id)
		}
	}
	for id := range want {
		t.Errorf("line %s is not there", id)
	}
	t.Logf("%d lines over %d kills", sum.Lines, sum.Kills)
}
