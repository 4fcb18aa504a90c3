//go:build race

package replay_test

// raceDetector makes tests run over less: everything is some ten times slower.
const raceDetector = true
