// Package frame sends and receives gRPC messages as the bytes that they are on the wire: the packages beside it
// read and write them. It does no I/O.
package frame

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// Bytes is a message as it goes over the wire.
type Bytes []byte

// Codec sends and receives messages as they are. It is safe for concurrent use.
type Codec struct{}

var _ encoding.CodecV2 = Codec{}

// Name is that of the protobuf codec, since the messages are protobuf.
func (Codec) Name() string { return "proto" }

// Marshal takes Bytes.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(Bytes)
	if !ok {
		return nil, fmt.Errorf("a %T is sent, bytes were expected", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(f)}, nil
}

// Unmarshal fills *Bytes with a copy.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*Bytes)
	if !ok {
		return fmt.Errorf("a %T is received, bytes were expected", v)
	}
	*f = data.Materialize()
	return nil
}
