// Package query answers questions about an archive ([Archive]): the commands ask it by Go calls, everybody else over HTTP by
// package query/api. Both get the same objects.
//
// It reads through storage.Reader and [Index] only, so it shows what is committed and proven and nothing else, and
// it never writes. It knows no era: ids, kinds and facts come from the network's ledger.Codec.
//
// A query ([Archive.Search], docs/query.md) is parsed once, checked against all networks that are searched, and bound in
// each: what its terms mean there. The planner then takes the cheapest way: postings of exact keys, such postings with
// each record looked at, or the index. The ways agree in hits, order and totals. An answer is over the units that were
// held when the question came; it says which those are, what is missing, and whether its total is exact.
//
// A stream ([Streams]) gives what is held and then what comes, each record once, in order, to any number of clients at their
// own pace; whoever carries it brings a [Sink].
//
// JSON is snake_case; ids are written as the era's own API writes them; amounts are decimal strings; times
// are RFC 3339 in UTC; both ends of a range belong to it.
package query
