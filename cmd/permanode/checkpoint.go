package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"permanode/query/api"
	"permanode/storage/pebblestore"
)

// checkpointer makes checkpoints of the store of a service, one at a time. What it starts ends with its context; close waits for that.
type checkpointer struct {
	ctx context.Context
	db  interface {
		Checkpoint(ctx context.Context) (pebblestore.Checkpoint, error)
		DropCheckpoint() error
	}

	mu    sync.Mutex
	state api.CheckpointState
	done  chan struct{} // of the one that is being made; nil: none is
	work  sync.WaitGroup
}

var _ api.Checkpointer = (*checkpointer)(nil)

func newCheckpointer(ctx context.Context, db *pebblestore.DB) *checkpointer {
	return &checkpointer{ctx: ctx, db: db, state: noCheckpoint()}
}

func noCheckpoint() api.CheckpointState {
	return api.CheckpointState{State: api.CheckpointNone, Networks: []api.NetworkUnit{}}
}

// Begin implements api.Checkpointer.
func (c *checkpointer) Begin() (<-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done != nil {
		return c.done, nil
	}
	if err := c.ctx.Err(); err != nil {
		return nil, err
	}
	if err := c.db.DropCheckpoint(); errors.Is(err, pebblestore.ErrInUse) {
		return nil, api.ErrCheckpointInUse // whatever else is wrong with it ends the making too
	}
	done := make(chan struct{})
	c.state = noCheckpoint()
	c.state.State, c.done = api.CheckpointMaking, done
	c.work.Go(func() {
		made, err := c.db.Checkpoint(c.ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.state, c.done = checkpointState(made, err), nil
		close(done)
	})
	return done, nil
}

func checkpointState(made pebblestore.Checkpoint, err error) api.CheckpointState {
	s := noCheckpoint()
	if err != nil {
		s.State, s.Problem = api.CheckpointFailed, err.Error()
		return s
	}
	at := time.Now().UTC().Format(time.RFC3339)
	s.State, s.Dir, s.Files, s.Bytes, s.MadeAt = api.CheckpointReady, made.Dir, made.Files, made.Bytes, &at
	for _, u := range made.Units {
		s.Networks = append(s.Networks, api.NetworkUnit{Network: u.Network, Newest: u.Seq})
	}
	return s
}

// State implements api.Checkpointer.
func (c *checkpointer) State() api.CheckpointState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Release implements api.Checkpointer.
func (c *checkpointer) Release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done != nil {
		return api.ErrCheckpointInUse
	}
	err := c.db.DropCheckpoint()
	if errors.Is(err, pebblestore.ErrInUse) {
		return api.ErrCheckpointInUse
	}
	if err == nil {
		c.state = noCheckpoint()
	}
	return err
}

// close waits for a checkpoint that is being made; its context has ended.
func (c *checkpointer) close() { c.work.Wait() }
