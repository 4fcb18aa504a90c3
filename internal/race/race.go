// Package race tells tests whether they run under the race detector. It makes everything some ten times slower, and what it
// finds lies in interleavings, not in volume: campaigns take smaller counts there, and what is done one after the other is
// left to the run without it, which takes the full counts. Both runs are parts of `make test`.
package race

// Fewer returns how often something is to be tried that is tried n times without the race detector: under it, a tenth of that.
func Fewer(n int) int {
	if Enabled {
		return (n + 9) / 10
	}
	return n
}
