// Package replay answers as a node would: from a recording of one, or from a generated network.
// The demo, the tests and recording folders as sources all use the same code. It checks nothing:
// what it serves is believed by nobody.
//
// A recording is a folder with network.json (parameters), genesis_snapshot.bin (the ledger before
// the first unit) and rest.jsonl.gz: one exchange a line, with method, path, accept, status,
// contentType and body (text) or bodyHex (binary). The routes are those of the REST core API v2 of
// TIP-25: a unit is /api/core/v2/milestones/by-index/{seq}, a record /api/core/v2/blocks/{id}.
//
// [Broker] publishes over MQTT what a node confirms, and [INX] streams it.
//
// [Faults] makes such a node late, broken or a liar.
package replay
