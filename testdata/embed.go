// Package testdata carries what permanode demo serves, so that the binary needs nothing beside it. The
// other files here are read by tests from disk.
package testdata

import "embed"

// Recordings holds recordings/stardust, what one real Hornet 2.0.1 node of a private tangle served, and
// vectors/rebased/checkpoints/mininet-a, a constructed Rebased network.
//
//go:embed recordings/stardust/network.json recordings/stardust/genesis_snapshot.bin recordings/stardust/rest.jsonl.gz
//go:embed vectors/rebased/checkpoints/mininet-a/*.chk vectors/rebased/checkpoints/mininet-a/committee_epoch0.json
var Recordings embed.FS
