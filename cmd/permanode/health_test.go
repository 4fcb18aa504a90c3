package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"permanode/ledger/eras"
	"permanode/query/api"
	"permanode/storage/pebblestore"
)

func TestDiskHealth(t *testing.T) {
	d := newDiskState(t.TempDir())
	if c := d.health(); c.Ready {
		t.Errorf("before it was looked at: %+v", c)
	}
	for _, c := range []struct {
		name  string
		usage vfs.DiskUsage
		err   error
		ready bool
		text  string
	}{
		{"room", vfs.DiskUsage{AvailBytes: 2 << 30, TotalBytes: 4 << 30}, nil, true, "2.0 GiB free of 4.0 GiB"},
		{"full", vfs.DiskUsage{AvailBytes: 1<<30 - 1, TotalBytes: 4 << 30}, nil, false, "make room"},
		{"broken", vfs.DiskUsage{}, syscall.EIO, false, "input/output error"},
	} {
		d.usage = func(string) (vfs.DiskUsage, error) { return c.usage, c.err }
		d.measure()
		if got := d.health(); got.Ready != c.ready || !strings.Contains(got.Detail, c.text) || got.Name != "disk" {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	old := *d.last.Load()
	old.err, old.at = nil, time.Now().Add(-time.Hour)
	d.last.Store(&old)
	if c := d.health(); c.Ready || !strings.Contains(c.Detail, "it hangs") {
		t.Errorf("a disk that hangs: %+v", c)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d.watch(ctx) // measures once more, and returns
	if d.last.Load().at.Before(time.Now().Add(-time.Minute)) {
		t.Error("watch did not look")
	}
}

// TestStoreHealth breaks the disk under a store that is written.
func TestStoreHealth(t *testing.T) {
	var broken sync.Map
	faulty := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if _, on := broken.Load("now"); on && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return syscall.ENOSPC
		}
		return nil
	}))
	db, err := pebblestore.Open("data", pebblestore.Options{Codec: eras.Codec, FS: faulty, Memory: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	s := &service{log: slog.New(slog.DiscardHandler), db: db}
	if c := s.storeHealth(); !c.Ready {
		t.Errorf("a good store: %+v", c)
	}
	if err := db.Alive(t.Context()); err != nil {
		t.Error(err)
	}
	trust, err := readTrust(filepath.Join(recordings(t), "stardust", "trust.json"))
	if err != nil {
		t.Fatal(err)
	}
	broken.Store("now", true)
	if w, err := openWriter(t.Context(), db, "tangle", "", trust); err == nil {
		t.Error("a full disk took a network", w.Close())
	}
	if c := s.storeHealth(); c.Ready || !strings.Contains(c.Detail, "no space left") || !strings.Contains(c.Detail, "then restart") {
		t.Errorf("a store that stopped: %+v", c)
	}
	if !strings.Contains(s.sentence(), "no space left") {
		t.Errorf("the service manager is told: %s", s.sentence())
	}
	if err := db.Alive(t.Context()); err != nil {
		t.Errorf("a store that is read lives: %v", err)
	}
	_ = db.Close() // as it was left
}

// fakeStore makes checkpoints as a test wants.
type fakeStore struct {
	begun, end chan struct{}
	inUse      bool
	err        error
}

func (f *fakeStore) Checkpoint(ctx context.Context) (pebblestore.Checkpoint, error) {
	f.begun <- struct{}{}
	select {
	case <-f.end:
	case <-ctx.Done():
		return pebblestore.Checkpoint{}, ctx.Err()
	}
	return pebblestore.Checkpoint{Dir: "d", Files: 1, Units: []pebblestore.LastUnit{{Network: "n", Seq: 4}}}, f.err
}

func (f *fakeStore) DropCheckpoint() error {
	if f.inUse {
		return pebblestore.ErrInUse
	}
	return nil
}

func TestCheckpointer(t *testing.T) {
	store := &fakeStore{begun: make(chan struct{}, 1), end: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	c := &checkpointer{ctx: ctx, db: store, state: noCheckpoint()}
	expect := func(state string) {
		t.Helper()
		if got := c.State(); got.State != state || got.Networks == nil {
			t.Errorf("%+v, want %s", got, state)
		}
	}
	expect(api.CheckpointNone)
	made, err := c.Begin()
	if err != nil {
		t.Fatal(err)
	}
	<-store.begun
	expect(api.CheckpointMaking)
	if again, err := c.Begin(); err != nil || again != made {
		t.Errorf("a second one began another: %v", err)
	}
	if err := c.Release(); !errors.Is(err, api.ErrCheckpointInUse) {
		t.Errorf("released while it is made: %v", err)
	}
	store.end <- struct{}{}
	<-made
	expect(api.CheckpointReady)
	store.inUse = true
	if _, err := c.Begin(); !errors.Is(err, api.ErrCheckpointInUse) {
		t.Errorf("another one while it is copied: %v", err)
	}
	if err := c.Release(); !errors.Is(err, api.ErrCheckpointInUse) {
		t.Errorf("released while it is copied: %v", err)
	}
	expect(api.CheckpointReady)
	store.inUse = false
	if err := c.Release(); err != nil {
		t.Error(err)
	}
	expect(api.CheckpointNone)
	store.err = syscall.ENOSPC
	store.end <- struct{}{}
	if made, err = c.Begin(); err != nil {
		t.Fatal(err)
	}
	<-made
	<-store.begun
	expect(api.CheckpointFailed)
	if !strings.Contains(c.State().Problem, "no space left") {
		t.Errorf("%+v", c.State())
	}
	if made, err = c.Begin(); err != nil {
		t.Fatal(err)
	}
	<-store.begun
	cancel() // the service stops
	<-made
	c.close()
	if _, err := c.Begin(); !errors.Is(err, context.Canceled) {
		t.Errorf("one begun after the end: %v", err)
	}
}
