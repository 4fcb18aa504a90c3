package iotanode

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"permanode/ingest"
	"permanode/internal/ranges"
	"permanode/internal/replay/iotareplay"
	"permanode/ledger/ledgertest"
)

// A node writes its files in place: a partial one is an error for now, and never an answer. Files that come later
// are seen, other names do not matter.
func TestDirWhileItIsWrittenVector(t *testing.T) {
	chain := miniChain(t)
	dir := t.TempDir()
	d, err := OpenDir(Config{Address: dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if _, err := d.Info(ctx); err == nil || errors.Is(err, ingest.ErrUnknown) {
		t.Errorf("an empty folder: %v", err)
	}
	for _, name := range []string{"readme.txt", "07.chk", "-1.chk", "+3.chk", "1.chk.tmp", ".chk", "99999999999999999999.chk", "a.chk", "1e3.chk"} {
		writeFile(t, filepath.Join(dir, name), []byte("nothing"))
	}
	if err := os.Mkdir(filepath.Join(dir, "50.chk"), 0o755); err != nil {
		t.Fatal(err)
	}
	for seq := chain.First(); seq <= chain.Last(); seq++ {
		if _, _, err := d.Cone(ctx, seq); !errors.Is(err, ingest.ErrUnknown) {
			t.Fatalf("checkpoint %d before it is there: %v", seq, err)
		}
		path := filepath.Join(dir, strings.TrimPrefix(checkpointPath(seq), "/"))
		whole := append([]byte{1}, chain.File(seq)...)
		for _, part := range []int{0, 1, len(whole) / 3, len(whole) - 1} {
			writeFile(t, path, whole[:part])
			head, herr := d.Head(ctx, seq)
			_, raws, err := d.Cone(ctx, seq)
			if err == nil || herr == nil || head != nil || raws != nil || errors.Is(err, ingest.ErrUnknown) {
				t.Fatalf("%d of %d bytes: %v, %v", part, len(whole), herr, err)
			}
		}
		writeFile(t, path, whole)
		wantCone(t, d, chain, seq)
		if info, err := d.Info(ctx); err != nil || info.Newest != seq || info.Oldest != chain.First() {
			t.Fatalf("%+v, %v", info, err)
		}
	}
}

func TestDirRefusesVector(t *testing.T) {
	chain := miniChain(t)
	dir := t.TempDir()
	ctx := context.Background()
	if err := syscall.Mkfifo(filepath.Join(dir, "3.chk"), 0o644); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "4.chk"), storeOf(t, chain, nil, iotareplay.Batch{First: 0, Last: 3})["0.chk"])
	writeFile(t, filepath.Join(dir, "5.chk"), make([]byte, 2<<20))
	d, err := OpenDir(Config{Address: dir, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for seq, say := range map[uint64]string{3: "a named pipe, not a file", 4: "MANIFEST", 5: "at most"} {
		if _, _, err := d.Cone(ctx, seq); err == nil || !contains(err, say) {
			t.Errorf("checkpoint %d: %v", seq, err)
		}
	}
	for name, address := range map[string]string{
		"missing": filepath.Join(dir, "none"), "a pipe": filepath.Join(dir, "3.chk"), "a batch": filepath.Join(dir, "4.chk"),
	} {
		if _, err := OpenDir(Config{Address: address}); err == nil {
			t.Errorf("%s was opened", name)
		}
	}
	// A file under another number is handed over as it is: the proof names the lie.
	writeFile(t, filepath.Join(dir, "6.chk"), chain.File(1))
	head, err := d.Head(ctx, 6)
	if err != nil || seqOf(head) != 1 {
		t.Errorf("%v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := d.Head(ended, 6); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := d.Info(ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Holes between the files are known.
func TestDirWithHolesVector(t *testing.T) {
	chain := miniChain(t)
	dir := t.TempDir()
	for _, seq := range []uint64{1, 2, 5, 9, 10} {
		writeFile(t, filepath.Join(dir, strings.TrimPrefix(checkpointPath(seq), "/")), chain.File(seq))
	}
	d, err := OpenDir(Config{Address: dir})
	if err != nil {
		t.Fatal(err)
	}
	info, err := d.Info(context.Background())
	if err != nil || info.Oldest != 1 || info.Newest != 10 || !slices.Equal(info.Missing, []ranges.Range{{Lo: 3, Hi: 4}, {Lo: 6, Hi: 8}}) {
		t.Errorf("%+v, %v", info, err)
	}
	if _, err := d.Head(context.Background(), 3); !errors.Is(err, ingest.ErrUnknown) {
		t.Errorf("in a hole: %v", err)
	}
}

// A single file is a source of one checkpoint.
func TestSingleFileVector(t *testing.T) {
	chain := miniChain(t)
	path := filepath.Join(t.TempDir(), "whatever.bin")
	writeFile(t, path, chain.File(4))
	d, err := OpenDir(Config{Address: path})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := d.Info(context.Background()); err != nil || info.Oldest != 4 || info.Newest != 4 {
		t.Errorf("%+v, %v", info, err)
	}
	wantCone(t, d, chain, 4)
	if _, err := d.Head(context.Background(), 5); !errors.Is(err, ingest.ErrUnknown) {
		t.Errorf("another number: %v", err)
	}
}

// TestTrustLacksMemberVector: checkpoint 0 has the signatures of some members only, so a committee without one of the
// others passes there; the checkpoint that closes the epoch tells.
func TestTrustLacksMemberVector(t *testing.T) {
	for _, dir := range ledgertest.Paths(t, "rebased/checkpoints/*/committee_epoch0.json") {
		dir = filepath.Dir(dir)
		refused := false
		for lacking := range 4 {
			folder := t.TempDir()
			if err := os.CopyFS(folder, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(folder, committeeFile)
			var file map[string]any
			raw, err := os.ReadFile(name)
			if err == nil {
				err = json.Unmarshal(raw, &file)
			}
			if err != nil {
				t.Fatal(err)
			}
			all, ok := file["validators"].([]any)
			if !ok || lacking >= len(all) {
				continue
			}
			file["validators"] = slices.Delete(slices.Clone(all), lacking, lacking+1)
			if raw, err = json.Marshal(file); err == nil {
				err = os.WriteFile(name, raw, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			d, err := OpenDir(Config{Address: folder})
			if err != nil {
				t.Fatal(err)
			}
			if _, lines, err := d.Trust(t.Context()); err == nil {
				t.Errorf("%s without member %d: %q", dir, lacking, lines)
			} else if strings.Contains(err.Error(), "did not certify checkpoint") && !strings.Contains(err.Error(), "checkpoint 0:") {
				refused = true
			}
		}
		if !refused {
			t.Errorf("%s: no committee passed checkpoint 0 and fell at the closing one", dir)
		}
	}
}
