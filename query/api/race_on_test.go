//go:build race

package api_test

const underRace = true // tests with large counts take smaller ones
