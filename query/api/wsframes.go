package api

import (
	"context"
	"encoding/binary"

	"golang.org/x/time/rate"
)

// Frames of every kind that a client may send: pings, pongs and empty parts cost work as well.
const (
	frameRate  = 100 // a second
	frameBurst = 1000
)

// framePace finds the heads of frames (RFC 6455, section 5.2) in what a client sends, and holds back its reader where
// there are too many: the client waits, since the time at which it sent them is not known here.
type framePace struct {
	ctx   context.Context // of the socket
	limit *rate.Limiter

	head [14]byte
	have int    // bytes of head
	body uint64 // bytes of the frame that come yet
}

func newFramePace(ctx context.Context) *framePace {
	return &framePace{ctx: ctx, limit: rate.NewLimiter(frameRate, frameBurst)}
}

// take waits until the frames of b may be read, or the socket ends.
func (f *framePace) take(b []byte) {
	for n := f.count(b); n > 0; n -= frameBurst {
		_ = f.limit.WaitN(f.ctx, min(n, frameBurst))
	}
}

// count returns how many frames begin in b.
func (f *framePace) count(b []byte) (n int) {
	for len(b) > 0 {
		if f.body > 0 {
			skip := min(f.body, uint64(len(b)))
			b, f.body = b[skip:], f.body-skip
			continue
		}
		f.head[f.have] = b[0]
		f.have, b = f.have+1, b[1:]
		if f.have == f.size() {
			n++
			f.body, f.have = f.length(), 0
		}
	}
	return n
}

// size is the length of a head, as far as it is known.
func (f *framePace) size() int {
	if f.have < 2 {
		return 2
	}
	n := 2
	switch f.head[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if f.head[1]&0x80 != 0 {
		n += 4
	}
	return n
}

func (f *framePace) length() uint64 {
	switch n := f.head[1] & 0x7f; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		return binary.BigEndian.Uint64(f.head[2:])
	default:
		return uint64(n)
	}
}
