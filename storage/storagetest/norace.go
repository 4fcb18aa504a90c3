//go:build !race

package storagetest

// BulkCones is the number of cones of the bulk test.
const BulkCones = 100_000
