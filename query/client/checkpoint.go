package client

import (
	"context"
	"net/http"
	"time"

	"permanode/query/api"
)

// checkpointPoll is how often a checkpoint that takes long is asked for.
const checkpointPoll = time.Second

// Checkpoint has the service make a checkpoint of its store and waits until it is ready. Its directory lies on the
// machine of the service. It needs the role operator. ReleaseCheckpoint gives its room back.
func (c *Client) Checkpoint(ctx context.Context) (out api.CheckpointState, err error) {
	const path = "/v1/checkpoint"
	if out, err = c.post(ctx, path); err != nil {
		return out, err
	}
	for out.State == api.CheckpointMaking {
		if err := c.wait(ctx, checkpointPoll); err != nil {
			return out, err
		}
		if err := c.getJSON(ctx, path, nil, &out, func() bool { return out.State != "" }); err != nil {
			return out, err
		}
	}
	if out.State != api.CheckpointReady {
		return c.post(ctx, path) // says why, as a problem
	}
	return out, nil
}

// ReleaseCheckpoint removes the checkpoint of the service.
func (c *Client) ReleaseCheckpoint(ctx context.Context) error {
	_, err := c.post(ctx, "/v1/checkpoint/release")
	return err
}

// post calls what takes no body.
func (c *Client) post(ctx context.Context, path string) (out api.CheckpointState, err error) {
	body, err := c.whole(ctx, call{path: path, accept: mediaJSON, body: []byte{}, acts: true, also: http.StatusAccepted})
	if err != nil {
		return out, err
	}
	return out, c.decode(path, body, &out, func() bool { return out.State != "" })
}
