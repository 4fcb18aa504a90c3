//go:build cgo

package main

// heapSixteenths is the heap's part of memory:. With cgo the store's block cache and memtables lie outside of it, which
// are four and five sixteenths at most.
const heapSixteenths = 7
