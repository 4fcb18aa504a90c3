// Package index answers questions for words and combinations: a follower of the store that keeps, for each record,
// the words and JSON values that a person may search for and the exact keys under which the store has posted it.
// It holds nothing that the store does not: it can be deleted at any time and is made again from committed cones.
//
// It lives in a folder, one below it for each network and version of the mapping:
//
//	<network>/<mapping version>/hot            the shard that is written
//	<network>/<mapping version>/<lo>-<hi>      a closed one: units lo to hi, not all of them need be there
//	<network>/<mapping version>/<lo>-<hi>/manifest.json
//
// A shard is an index of Bleve's scorch. A document is a record, or what a unit did itself; its id is the ordinal.
// The set of units that a shard holds is stored in it, in the batch that brought the last document of a unit, so
// what a shard says to hold and what it holds never differ. When the hot shard has enough documents it is closed
// at the border of a unit: merged to one segment, listed with hashes in its manifest, and read-only from then on.
//
// Answers are exact. Boolean questions are answered by the bitmaps of scorch's segments; whatever the terms cannot
// tell (whether words stand side by side) is checked in the record itself. A shard that cannot answer is named in
// the answer, and its units are not among those that the answer says to have searched.
package index
