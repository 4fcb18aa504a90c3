//go:build race

package query_test

const underRace = true // tests with large counts take smaller ones
