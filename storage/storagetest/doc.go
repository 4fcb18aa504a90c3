// Package storagetest is the suite that every engine of the store passes, and what it needs: a toy era
// with cheap hashes whose cones have everything that real ones have (states, conflicts, moves, postings of
// many kinds, state rows, postings of the unit itself), a generator of networks from a seed, and a model of
// the store in memory to compare with.
//
// The toy era is no test double of a real one: it is a whole [ledger.Codec] with its own rules, so that
// cones can be proven again from what is stored.
package storagetest
