// Package lang is the query language: text in, a tree out. It is pure: it knows the words of the language and
// nothing of networks, eras, stores or indexes. docs/query.md is its reference.
package lang

import (
	"permanode/internal/ranges"
	"permanode/ledger"
)

// A Node is a query, or a part of one. String gives the canonical text: parsing it gives an equal tree.
type Node interface{ String() string }

// All matches every record.
type All struct{}

// None matches no record. Parse never gives it; [Bind] does, where a network cannot hold what was asked.
type None struct{}

// And matches what all of its two or more parts match.
type And []Node

// Or matches what any of its two or more parts matches.
type Or []Node

// Not matches what Of does not.
type Not struct{ Of Node }

// Ident is a question for something that has an exact key.
type Ident struct {
	Field  string // "tag", "addr", "id", "object", "type", "event", "function"
	Text   string // as typed, without quotes
	Quoted bool   // was in quotes: a tag in quotes is text even if it begins with 0x
	Prefix bool   // ended in *: tags alone
	At     int    // byte offset in the query
}

// Text is a question for words: one word, or adjacent ones (a phrase). How a text falls into words is the business of
// who answers, the same for what is stored and for what is asked.
type Text struct {
	Text   string // as typed, without quotes and without the closing *
	Quoted bool
	Prefix bool // ended in *: the last word is the beginning of one
	At     int
}

// Leaf is a question for a scalar of a JSON text.
type Leaf struct {
	Path, Value string
	Prefix      bool // Value ended in *: the beginning of one; empty: any value
	At          int
}

// Word is a question for a word of a closed list.
type Word struct {
	Field string // "kind", "state", "network"
	Value string
	At    int
}

// Span is a question for a range of unit numbers, both ends included.
type Span struct {
	From, To uint64
	At       int
}

// Time is a question for the signed time of the unit: FromMs <= time < ToMs, POSIX milliseconds.
type Time struct {
	FromMs, ToMs int64 // math.MinInt64 and math.MaxInt64 where that end is open
	At           int
}

// Keys is what an Ident means in one network: any of these keys. Bind makes it.
type Keys struct {
	Of     []ledger.Key // one or more
	Prefix bool         // and every key that begins with one of them
}

// Units is what a Span or Time means in one network. Bind makes it.
type Units struct{ Set ranges.Set }

// State is what a Word "state" means. Bind makes it.
type State struct{ Of ledger.State }

// Kind is what a Word "kind" means in one network: the numbers of that era's kinds with this name. Bind makes it.
type Kind struct{ Of []uint8 }

// UnitKind is the word that kind: takes for what a unit did itself, without a record.
const UnitKind = "unit"

// OfUnit is what kind:unit means: what units did themselves. Bind makes it.
type OfUnit struct{}
