//go:build !race

package api_test

const underRace = false // tests with large counts take smaller ones
