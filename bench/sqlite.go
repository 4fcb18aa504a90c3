package main

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"

	_ "github.com/mattn/go-sqlite3"
)

const sqliteSchema = `
CREATE TABLE record(ord INTEGER PRIMARY KEY, id BLOB, tag TEXT, kind INT, state INT, time INT, raw BLOB);
CREATE INDEX record_id ON record(id);
CREATE INDEX record_tag ON record(tag, ord);
CREATE INDEX record_time ON record(time);
CREATE TABLE address(addr BLOB, ord INT, PRIMARY KEY(addr, ord)) WITHOUT ROWID;
CREATE VIRTUAL TABLE fts USING fts5(text, content='', columnsize=0);`

func openSQLite(file string) (*sql.DB, error) {
	db, err := sql.Open("sqlite3", "file:"+file+"?_journal_mode=WAL&_synchronous=FULL&_cache_size=-65536")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// loadSQLite is the loader that verifies nothing: one durable transaction a thousand blocks.
func loadSQLite(cones, file string) (err error) {
	db, err := openSQLite(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.Exec(sqliteSchema); err != nil {
		return err
	}
	var tx *sql.Tx
	var record, address, fts *sql.Stmt
	begin := func() (err error) {
		if tx, err = db.Begin(); err != nil {
			return err
		}
		if record, err = tx.Prepare("INSERT INTO record VALUES(?,?,?,?,?,?,?)"); err != nil {
			return err
		}
		if address, err = tx.Prepare("INSERT OR IGNORE INTO address VALUES(?,?)"); err != nil {
			return err
		}
		fts, err = tx.Prepare("INSERT INTO fts(rowid, text) VALUES(?,?)")
		return err
	}
	if err := begin(); err != nil {
		return err
	}
	n := 0
	err = documents(cones, func(d *document) error {
		if _, err := record.Exec(d.ord, d.id[:], d.tag, d.kind, d.state, d.time, d.raw); err != nil {
			return err
		}
		for _, a := range d.addresses {
			if _, err := address.Exec(a, d.ord); err != nil {
				return err
			}
		}
		if d.text != "" {
			if _, err := fts.Exec(d.ord, d.text); err != nil {
				return err
			}
		}
		if n++; n%1000 != 0 {
			return nil
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		return begin()
	})
	if err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if _, err := db.Exec("INSERT INTO fts(fts) VALUES('optimize')"); err != nil {
		return err
	}
	_, err = db.Exec("PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}

// sqlEngine answers questions in SQL.
type sqlEngine struct {
	label string
	db    *sql.DB
	stmts map[string]*sql.Stmt
	mark  func(i int) string // the i-th placeholder, from 1
	match string             // condition that a text matches the placeholder %s
	from  string             // tables that match needs
	key   string             // the place in them
	words func(q *question) string
}

func sqliteEngine(file string) (*sqlEngine, error) {
	if _, err := os.Stat(file); err != nil {
		return nil, err
	}
	db, err := openSQLite(file)
	return &sqlEngine{
		label: "SQLite FTS5", db: db, stmts: map[string]*sql.Stmt{}, mark: func(int) string { return "?" },
		match: "fts MATCH %s", from: "fts", key: "fts.rowid",
		words: func(q *question) string {
			if q.kind == askPhrase {
				return `"` + strings.Join(q.words, " ") + `"`
			}
			return strings.Join(q.words, " AND ")
		},
	}, err
}

func (e *sqlEngine) name() string { return e.label }
func (e *sqlEngine) close() error { return e.db.Close() }

func (e *sqlEngine) query(text string, args ...any) (*sql.Rows, error) {
	st := e.stmts[text]
	if st == nil {
		var err error
		if st, err = e.db.Prepare(text); err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
		e.stmts[text] = st
	}
	return st.Query(args...)
}

// where returns the tables and the condition of a question.
func (e *sqlEngine) where(q *question) (from, key, cond string, args []any) {
	switch q.kind {
	case askID:
		return "record", "ord", "id = " + e.mark(1), []any{q.id[:]}
	case askTag:
		return "record", "ord", "tag = " + e.mark(1), []any{q.tag}
	case askAddress:
		return "address", "ord", "addr = " + e.mark(1), []any{q.address}
	}
	cond, args = fmt.Sprintf(e.match, e.mark(1)), []any{e.words(q)}
	from, key = e.from, e.key
	if q.kind == askRange || q.kind == askFacets {
		if from != "record" {
			from += " JOIN record ON record.ord = " + key
		}
	}
	if q.kind == askRange {
		cond += fmt.Sprintf(" AND time >= %s AND time < %s", e.mark(2), e.mark(3))
		args = append(args, q.after, q.before)
	}
	return from, key, cond, args
}

func (e *sqlEngine) ask(q *question) (a answer, err error) {
	from, key, cond, args := e.where(q)
	rows, err := e.query(fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY %s DESC LIMIT 10", key, from, cond, key), args...)
	if err != nil {
		return a, err
	}
	for rows.Next() {
		var ord int64
		if err := rows.Scan(&ord); err != nil {
			return a, errors.Join(err, rows.Close())
		}
		a.ords = append(a.ords, ord)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return a, err
	}
	if rows, err = e.query(fmt.Sprintf("SELECT count(*) FROM %s WHERE %s", from, cond), args...); err != nil {
		return a, err
	}
	for rows.Next() {
		if err := rows.Scan(&a.total); err != nil {
			return a, errors.Join(err, rows.Close())
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || q.kind != askFacets {
		return a, err
	}
	for _, facet := range []string{"tag", "kind", "state"} {
		counts, err := e.facet(facet, from, cond, args)
		if err != nil {
			return a, err
		}
		a.facets = append(a.facets, counts)
	}
	return a, nil
}

// facet returns the counts of the ten most frequent values, greatest first.
func (e *sqlEngine) facet(field, from, cond string, args []any) (counts []int64, err error) {
	rows, err := e.query(fmt.Sprintf("SELECT count(*) AS n FROM %s WHERE %s GROUP BY %s ORDER BY n DESC LIMIT 10", from, cond, field), args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		counts = append(counts, n)
	}
	return counts, rows.Err()
}
