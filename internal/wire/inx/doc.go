// Package inx holds the messages of the gRPC service inx.INX of a Hornet 2 node that an archive speaks, client and
// server side. It does no I/O and knows nothing of what the bytes inside mean.
//
// inx.proto beside this file documents the fields. The code is written by hand over protowire: the few messages need
// no generator, and decoding can then share memory with the message and be bounded. Fields of other numbers are
// skipped, so that newer nodes are understood. Encoding writes fields in ascending order and leaves out what is zero,
// as proto3 does, so one value has one encoding; an inner message that is there and empty is written.
//
// Decoders take untrusted bytes: they never panic, and allocate at most one small struct for each element that the
// message really holds, of which there are at most 1,024. Decoded byte strings are parts of the message, not copies.
package inx
