// Package iotanode asks what holds checkpoints of a Rebased network: a node over gRPC ([GRPC]) or its older REST
// API ([REST]), a directory that a node writes ([Dir]), and checkpoint stores with their manifest, in a folder or
// over HTTP ([Store]). It believes nothing and proves nothing; it bounds what it reads, in bytes and in time, and
// refuses whatever does not have the form that was asked for.
//
// All of them give whole cones. A head is the certified summary and the contents list, a raw is one transaction
// in framed parts (package rebased); so the same checkpoint comes to the same bytes wherever it is from.
//
// Habits that are met here: files are written in place, so one that does not read to its end is asked again
// later; .chk files come bare, with the byte 01 before them, or as batches; numbers below
// lowest_available_checkpoint are pruned; manifests have overlaps and holes, which are named before anything is
// read ([Store.Report]); JSON-RPC has no certificates and is nothing but a hint for a trust file.
package iotanode
