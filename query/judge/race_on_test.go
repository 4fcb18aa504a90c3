//go:build race

package judge_test

// underRace makes campaigns shorter: the detector slows them down ten times, and looks for other faults.
const underRace = true
