// Package pebblestore is the embedded engine of the store: one Pebble database in one directory, for
// any number of networks.
//
// Every row is a pure function of a cone, so storing one twice is harmless. A unit is visible once
// its span row is durable; all reads are filtered by a copy of the coverage in memory, which moves
// after a commit that the disk confirmed and never before. Keys are listed in keys.go and described in
// docs/format/store.md.
//
// Two traps of Pebble shape this package. A write or sync that fails must not be followed by further
// writes, and must not take the process down: the gate between Pebble and the file system sees the first
// failure, freezes the directory as a crash would, and keeps Pebble alive for reads ([storage.ErrStopped]
// until the directory is opened again). And a bit that flips in a write-ahead log can hide the newest
// units without a trace: so a clean stop empties the log and writes SUMS, the list of all files with
// their hashes, which the next opening compares.
//
// The package knows no era: codecs are handed in, to re-hash what is read.
package pebblestore
