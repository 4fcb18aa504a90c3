// Package iotareplay answers as what holds checkpoints of a Rebased network would: a node over gRPC, its older REST
// API and JSON-RPC, a checkpoint store and a live store. It serves a [Chain], recorded or generated; the demo and
// the tests use the same code. It checks nothing: what it serves is believed by nobody.
//
// A [Trick] lets the gRPC node break off, fall silent, leave out or lie; [Wire] does the same to a connection; for
// the HTTP faces package replay has faults.
package iotareplay
