package main

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"permanode/query/trail"
)

// Whatever the program opens in its data directory, by its config or by a flag must be a file: what is none is named in an
// error at once. A pipe is the worst of them, since to open it waits for somebody who writes.
func TestNoFile(t *testing.T) {
	recording := filepath.Join(recordings(t), "stardust")
	trust := filepath.Join(recording, "trust.json")
	whole := filepath.Join(t.TempDir(), "data")
	commanded(t, 0, "ingest", "--data", whole, "--trust", trust, "--from", recording, "--network", "tangle")
	tr, err := trail.Open(filepath.Join(whole, accessFolder), trail.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		pipe  string // in the folder of the case; * is one
		in    string // a file of the case
		text  string
		args  string
		after func(dir string) error // before the command
	}{
		{name: "config", pipe: "p", args: "status --config p"},
		{name: "trust of a config", pipe: "p", in: "c.yaml", text: "data_dir: data\nnetworks: [{name: a, era: stardust, trust: p, feeds: [{name: n, type: hornet2-rest, url: 'http://127.0.0.1:9'}]}]\n", args: "run --config c.yaml"},
		{name: "trust", pipe: "p", args: "trust show p"},
		{name: "keys", pipe: "p", in: "c.yaml", text: noFileConfig + "api: {listen: '127.0.0.1:0', keys_file: p}\n", args: "run --config c.yaml"},
		{name: "new key", pipe: "p", args: "key new --name n --role reader --file p"},
		{name: "certificate", pipe: "p", in: "c.yaml", text: noFileConfig + "api: {listen: '127.0.0.1:0', tls_cert: p, tls_key: c.yaml}\n", args: "run --config c.yaml"},
		{name: "its key", pipe: "p", in: "c.yaml", text: noFileConfig + "api: {listen: '127.0.0.1:0', tls_cert: c.yaml, tls_key: p}\n", args: "run --config c.yaml"},
		{name: "key of a client", pipe: "p", args: "status --server http://127.0.0.1:9 --key-file p"},
		{name: "authority of a client", pipe: "p", args: "status --server https://127.0.0.1:9 --ca-file p"},
		{name: "cones", pipe: "p", args: "ingest --data new --trust " + trust + " --from p"},
		{name: "snapshot", pipe: "p", args: "ingest --data new --trust " + trust + " --from " + recording + " --network a --snapshot p"},
		{name: "snapshot of a recording", pipe: "rec/genesis_snapshot.bin", args: "ingest --data new --trust " + trust + " --from rec --network a", after: func(dir string) error {
			for _, n := range []string{"network.json", "rest.jsonl.gz"} {
				if err := os.Symlink(filepath.Join(recording, n), filepath.Join(dir, "rec", n)); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "SUMS", pipe: "data/SUMS", args: "status --data data"},
		{name: "SUMS, checked", pipe: "data/SUMS", args: "check --data data"},
		{name: "SUMS, the trail", pipe: "data/SUMS", args: "check --access --data data"},
		{name: "SUMS, copied", pipe: "data/SUMS", args: "copy --from data --to new"},
		{name: "LOCK", pipe: "data/LOCK", args: "status --data data"},
		{name: "log of the store", pipe: "data/*.log", args: "status --data data"},
		{name: "log of the store after a kill", pipe: "data/*.log", args: "status --data data", after: killedThere},
		{name: "manifest of the store", pipe: "data/MANIFEST-*", args: "check --data data"},
		{name: "manifest of the store after a kill", pipe: "data/MANIFEST-*", args: "check --data data", after: killedThere},
		{name: "options of the store after a kill", pipe: "data/OPTIONS-*", args: "check --data data", after: killedThere},
		{name: "table of the store", pipe: "data/*.sst", args: "check --full --data data"},
		{name: "table of the store after a kill", pipe: "data/*.sst", args: "check --full --data data", after: killedThere},
		{name: "HEAD", pipe: "data/access/HEAD", args: "check --access --data data"},
		{name: "day", pipe: "data/access/*.ndjson", args: "check --access --data data"},
		{name: "list of the index", pipe: "data/index/*/*/hot/root.bolt", args: "check --index --data data"},
		{name: "segment of the index", pipe: "data/index/*/*/hot/*.zap", args: "check --index --data data"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if strings.HasPrefix(c.pipe, "data/") {
				if err := os.CopyFS(filepath.Join(dir, "data"), os.DirFS(whole)); err != nil {
					t.Fatal(err)
				}
			}
			pipe := filepath.Join(dir, c.pipe)
			if found, err := filepath.Glob(pipe); err == nil && len(found) > 0 {
				pipe = found[len(found)-1]
				if err := os.Remove(pipe); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.MkdirAll(filepath.Dir(pipe), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			if c.in != "" {
				if err := os.WriteFile(filepath.Join(dir, c.in), []byte(c.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if c.after != nil {
				if err := c.after(dir); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, "permanode", strings.Fields(c.args)...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			switch text := string(out); {
			case ctx.Err() != nil:
				t.Errorf("it waits\n%s", text)
			case err == nil:
				t.Errorf("it took the pipe for a file\n%s", text)
			case !strings.Contains(text, filepath.Base(pipe)) || !refusal.MatchString(text) || strings.Contains(text, "goroutine "):
				t.Errorf("%v\n%s", err, text)
			}
		})
	}
}

var refusal = regexp.MustCompile("it is a named pipe, not a file|is no (plain )?file|is neither a file nor a folder")

const noFileConfig = "data_dir: new\nnetworks: [{name: a, era: stardust, trust: shimmer, feeds: [{name: n, type: hornet2-rest, url: 'http://127.0.0.1:9'}]}]\n"

// killedThere makes the data directory one that was not stopped cleanly.
func killedThere(dir string) error { return os.Remove(filepath.Join(dir, "data", "SUMS")) }
