package api

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// CheckpointState is how far the checkpoint of a service is. It is the answer of /v1/checkpoint.
type CheckpointState struct {
	State    string        `json:"state"`    // "none", "making", "ready" or "failed"
	Dir      string        `json:"dir"`      // on the service's machine; "" unless ready
	Files    int           `json:"files"`    // in it
	Bytes    int64         `json:"bytes"`    // of these files
	MadeAt   *string       `json:"made_at"`  // RFC 3339, UTC; null unless ready
	Networks []NetworkUnit `json:"networks"` // what it holds; never null
	Problem  string        `json:"problem"`  // why the last attempt failed; "" if it did not
}

// NetworkUnit names the newest unit of a network.
type NetworkUnit struct {
	Network string `json:"network"`
	Newest  uint64 `json:"newest"`
}

// The states of a checkpoint.
const (
	CheckpointNone   = "none"
	CheckpointMaking = "making"
	CheckpointReady  = "ready"
	CheckpointFailed = "failed"
)

// ErrCheckpointInUse says that the last checkpoint is still being copied, or another one is being made.
var ErrCheckpointInUse = errors.New("the checkpoint is in use")

// Checkpointer makes checkpoints of the store: directories that a backup copies while the service goes on. It is safe
// for concurrent use.
type Checkpointer interface {
	// Begin begins to make one in place of the last and returns a channel that is closed when that ended. While one is
	// being made it returns that one's. It fails with ErrCheckpointInUse while the last one is being copied.
	Begin() (<-chan struct{}, error)
	// State says how far it is. It does not block.
	State() CheckpointState
	// Release removes the last one, which costs room on disk. It fails with ErrCheckpointInUse.
	Release() error
}

// checkpointWait is how long a call waits for the checkpoint, which is ready at once unless much has to be hashed.
const checkpointWait = 20 * time.Second

func (a *service) checkpoints(q *request) (Checkpointer, error) {
	if len(q.body) > 0 {
		return nil, problem("unexpected-body", "this call takes no body")
	}
	if a.Checkpoints == nil {
		return nil, problem("no-checkpoint", "this service makes no checkpoints of its store")
	}
	return a.Checkpoints, nil
}

// makeCheckpoint begins a checkpoint and waits a while for it.
func (a *service) makeCheckpoint(ctx context.Context, q *request) (writer, error) {
	c, err := a.checkpoints(q)
	if err != nil {
		return nil, err
	}
	made, err := c.Begin()
	if err != nil {
		return nil, checkpointProblem(err)
	}
	wait := time.NewTimer(checkpointWait)
	defer wait.Stop()
	select {
	case <-made:
	case <-wait.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return sendCheckpoint(c.State())
}

func (a *service) checkpoint(_ context.Context, q *request) (writer, error) {
	c, err := a.checkpoints(q)
	if err != nil {
		return nil, err
	}
	return sendJSON(http.StatusOK, c.State(), nil)
}

func (a *service) releaseCheckpoint(_ context.Context, q *request) (writer, error) {
	c, err := a.checkpoints(q)
	if err != nil {
		return nil, err
	}
	if err := c.Release(); err != nil {
		return nil, checkpointProblem(err)
	}
	return sendJSON(http.StatusOK, c.State(), nil)
}

func sendCheckpoint(s CheckpointState) (writer, error) {
	switch s.State {
	case CheckpointFailed:
		return nil, problem("checkpoint-failed", "%s; correct that and ask again", s.Problem)
	case CheckpointMaking:
		return sendJSON(http.StatusAccepted, s, nil)
	}
	return sendJSON(http.StatusOK, s, nil)
}

func checkpointProblem(err error) error {
	if errors.Is(err, ErrCheckpointInUse) {
		return problem("checkpoint-in-use", "%v: ask again when the copy has ended", err)
	}
	return err
}
