// Package testdata carries the recording that permanode demo serves, so that the binary needs
// nothing beside it. The other files here are read by tests from disk.
package testdata

import "embed"

// Recordings holds recordings/stardust: what one real Hornet 2.0.1 node of a private tangle served.
//
//go:embed recordings/stardust/network.json recordings/stardust/genesis_snapshot.bin recordings/stardust/rest.jsonl.gz
var Recordings embed.FS
