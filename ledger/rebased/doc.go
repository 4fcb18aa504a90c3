// Package rebased is the era of the Move-based IOTA network, called Rebased: parse, identify, check. It does no
// I/O and knows no clock.
//
// Everything on the wire is BCS (package bcs): little-endian integers, ULEB128 lengths and variant numbers, one
// encoding a value. A digest is BLAKE2b-256 over an ASCII salt that names the type and the value's bytes exactly
// as received, so bytes are kept and never re-encoded. The unit is the checkpoint; its id is the digest of its
// summary, and a committee's certificate signs the summary's bytes. The summary commits to the list of
// transactions and effects, effects commit to events and written objects.
//
//	head   := CertifiedCheckpointSummary | CheckpointContents
//	raw    := parts; part := kind u8 | length u32 big-endian | bytes   (see [ParseRaw])
//	.chk   := head | vec<CheckpointTransaction>                        (see [SplitCheckpoint])
//
// Parse functions take untrusted bytes: they never panic, allocate at most 16·len(raw) + 8 MiB, and fail
// with an error that wraps [ledger.ErrSyntax] and gives the byte offset. A variant that this version does not know
// gives an [*UnknownError] that names type and tag: the bytes may be true all the same. Parsed values share the
// memory of what was parsed.
//
// Source: the public types of iotaledger/iota and iotaledger/iota-rust-sdk.
package rebased
