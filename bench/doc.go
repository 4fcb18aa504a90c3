// Command bench compares the archive with what people would use instead: a loader into SQLite with FTS5 that verifies
// nothing, PostgreSQL, and raw Bleve. It is a module of its own, so that the product carries no peer.
//
//	cd bench && go run -tags sqlite_fts5 . -records 200000
//
// It makes a signed network to search in (stardusttest.Corpus, by seed), loads the same blocks into every engine and
// asks all of them the same questions. An answer is the ten newest places and the exact total; where two engines do not
// agree the run fails. With -export it compares an export of all rows over HTTP with COPY and sqlite3 -csv instead.
//
// It needs a C compiler (SQLite) and the programs of PostgreSQL 15 and SQLite; nothing leaves the machine.
package main
