// Package stardust is the Stardust era (protocol version 2): parse, identify, order, apply, check.
// It does no I/O and knows no clock.
//
// Integers are little-endian. A block id is BLAKE2b-256 of the block's bytes exactly as received,
// so bytes are kept and never re-encoded. The id of a unit is BLAKE2b-256 of the milestone's
// essence: the signatures and the block around it are no part of it, because anybody can make others.
//
//	block := version u8 | n u8 | n parents 32 B | payloadLen u32 | payload | nonce u64
//
// Parse functions take untrusted bytes: they never panic, allocate at most a small multiple of
// len(raw), and fail with an error that wraps [ledger.ErrSyntax] and gives the byte offset.
// Source: TIP-18 (outputs), TIP-20 (transaction), TIP-23 (tag), TIP-24 (block), TIP-29 (milestone),
// TIP-34 (receipts), TIP-35 (snapshots).
package stardust
