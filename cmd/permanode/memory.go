package main

import (
	"os"
	"runtime/debug"
)

// collectAfter is by how many percent the heap grows between two collections of garbage, while there is room. Most of
// what a cone needs is garbage when it is committed: collecting less often takes a tenth off the CPU of a catch-up.
const collectAfter = 400

// leastHeap is what a small memory: must not go below: the collector would work all the time.
const leastHeap = 64 << 20

// useMemory makes the garbage collector keep to the memory that the operator gives: it works as seldom as it may, and
// harder as the limit comes near. GOGC and GOMEMLIMIT in the environment stand.
func useMemory(n byteSize) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAfter)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(max(int64(n)/16*heapSixteenths, leastHeap))
	}
}
