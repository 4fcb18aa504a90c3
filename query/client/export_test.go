package client

import (
	"context"
	"time"
)

// Counting makes c count what it would wait instead of waiting.
func Counting(c *Client, waited func(time.Duration)) *Client {
	c.wait = func(ctx context.Context, d time.Duration) error {
		waited(d)
		return ctx.Err()
	}
	return c
}

// Bounded makes c take answers of at most n bytes.
func Bounded(c *Client, n int64) *Client {
	c.most = n
	return c
}
