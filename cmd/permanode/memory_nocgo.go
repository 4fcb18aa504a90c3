//go:build !cgo

package main

// heapSixteenths is the heap's part of memory:, the store's caches included; the rest is for what is no heap.
const heapSixteenths = 14
