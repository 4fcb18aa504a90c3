// Package ledger holds the words that every room of permanode shares: ids, ordinals,
// amounts, records, cones, and the [Codec] contract that an era fulfils.
//
// It knows no era and does no I/O; it has no clock and starts no goroutine. An era is one
// protocol generation of the IOTA ledger; its package below this one implements [Codec].
// Whatever a unit confirms travels as a [Cone], whole or not at all.
//
// Values of these types are immutable once handed on: nobody changes the bytes of a part,
// header or key that somebody else made.
package ledger
