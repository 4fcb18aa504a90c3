// Package race tells tests whether they run under the race detector. It makes everything some ten times slower, and what it
// finds lies in interleavings, not in volume: campaigns take smaller counts there, and what is done one after the other is
// left to the run without it, which takes the full counts. Both runs are parts of `make test`.
package race
