//go:build !race

package query_test

const underRace = false // tests with large counts take smaller ones
