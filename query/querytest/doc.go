// Package querytest has the archives that tests of query and of its API ask: records of a toy era that are written out in
// the tests, with or without an index ([Memory], [Library]), and generated networks of real eras with what their ledger must
// be ([Ledger], [Stated]). Tests alone import it.
package querytest
