//go:build race

package main

// underRace makes campaigns shorter: the detector slows them down ten times.
const underRace = true
