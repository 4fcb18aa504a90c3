package api

import (
	"encoding/binary"
	"errors"
	"time"

	"golang.org/x/time/rate"
)

// Frames of every kind that a client may send: pings, pongs and empty parts cost work as well.
const (
	frameRate  = 100 // a second
	frameBurst = 1000
)

// errFrames says that a client sent too many of them.
var errFrames = errors.New("query: too many frames")

// frameCount finds the heads of frames (RFC 6455, section 5.2) in what a client sends, and counts them.
type frameCount struct {
	head  [14]byte
	have  int    // bytes of head
	body  uint64 // bytes of the frame that come yet
	limit *rate.Limiter
}

func newFrameCount() *frameCount { return &frameCount{limit: rate.NewLimiter(frameRate, frameBurst)} }

// take fails if b has one frame too many.
func (f *frameCount) take(b []byte) error {
	n := 0
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
	if !f.limit.AllowN(time.Now(), n) {
		return errFrames
	}
	return nil
}

// size is the length of a head, as far as it is known.
func (f *frameCount) size() int {
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

func (f *frameCount) length() uint64 {
	switch n := f.head[1] & 0x7f; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		return binary.BigEndian.Uint64(f.head[2:])
	default:
		return uint64(n)
	}
}
