package iota

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// Frame is a message as bytes: what goes over the wire.
type Frame []byte

// Codec sends and receives frames as they are. It is safe for concurrent use.
type Codec struct{}

var _ encoding.CodecV2 = Codec{}

// Name is that of the protobuf codec, since the frames are protobuf.
func (Codec) Name() string { return "proto" }

// Marshal takes a Frame.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(Frame)
	if !ok {
		return nil, fmt.Errorf("a %T is sent, a frame was expected", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(f)}, nil
}

// Unmarshal fills a *Frame with a copy.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*Frame)
	if !ok {
		return fmt.Errorf("a %T is received, a frame was expected", v)
	}
	*f = data.Materialize()
	return nil
}
