package query

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"

	"permanode/index/lang"
	"permanode/index/text"
	"permanode/ledger"
)

// binding reads queries for some networks of an archive.
type binding struct {
	a        *Archive
	all      []Network // of the archive
	selected []Network
	known    map[reading][]ledger.Key
}

// reading is a text that a network may read as an identifier.
type reading struct {
	net  ledger.NetID
	text string
}

// identifiers is Archive.identifiers, once for each text.
func (b *binding) identifiers(ctx context.Context, n Network, text string) ([]ledger.Key, error) {
	at := reading{n.ID, text}
	if keys, ok := b.known[at]; ok {
		return keys, nil
	}
	keys, err := b.a.identifiers(ctx, n, text)
	if err == nil {
		b.known[at] = keys
	}
	return keys, err
}

// keyFields are the kinds of keys that each field asks for; id: asks for all.
var keyFields = map[string][]ledger.KeyKind{
	"addr": {ledger.KeyAddress}, "object": {ledger.KeyObject}, "type": {ledger.KeyType}, "event": {ledger.KeyEvent},
	"function": {ledger.KeyFunction},
}

// read parses a query, takes the word of a search box for what it is, and refuses what no network can mean.
func (b *binding) read(ctx context.Context, query string) (lang.Node, []Taken, error) {
	if word, ok := lang.Box(query); ok {
		if n, taken, err := b.box(ctx, word); n != nil || err != nil {
			return n, taken, err
		}
	}
	n, err := lang.Parse(query)
	if err != nil {
		return nil, nil, err
	}
	return n, nil, b.check(ctx, n)
}

// check refuses the terms of n that have no meaning in any of the networks.
func (b *binding) check(ctx context.Context, n lang.Node) error {
	switch n := n.(type) {
	case lang.And:
		for _, p := range n {
			if err := b.check(ctx, p); err != nil {
				return err
			}
		}
	case lang.Or:
		return b.check(ctx, lang.And(n))
	case lang.Not:
		return b.check(ctx, n.Of)
	case lang.Ident:
		return b.checkIdent(ctx, n)
	case lang.Word:
		return b.checkWord(n)
	case lang.Text:
		if len(text.Words(n.Text)) == 0 {
			return &QueryError{
				At: n.At, What: fmt.Sprintf("%s holds no word: no letter and no digit", Quote(n.Text)),
				Fix: "ask for a tag as tag:…, or for words",
			}
		}
	}
	return nil
}

// checkIdent refuses an identifier that no network reads as what its field asks for.
func (b *binding) checkIdent(ctx context.Context, n lang.Ident) error {
	if n.Field == "tag" || len(b.selected) == 0 {
		return nil
	}
	var other []ledger.Key
	for _, net := range b.selected {
		keys, err := b.identifiers(ctx, net, n.Text)
		if err != nil {
			return err
		}
		if len(ofField(keys, n.Field)) > 0 {
			return nil
		}
		other = append(other, keys...)
	}
	what := map[string]string{"id": "identifier", "addr": "address"}[n.Field]
	if what == "" {
		what = n.Field
	}
	refused := &QueryError{At: n.At, What: fmt.Sprintf("%s is no %s of %s", Quote(n.Text), what, networkNames(b.selected))}
	if len(other) > 0 {
		refused.What += fmt.Sprintf(", but may name another thing there (%s)", strings.Join(kindsOf(other), ", "))
		refused.Fix = "ask with id: for whatever it names"
		return refused
	}
	if why := b.misread(n.Text); why != nil {
		refused.What += ": " + why.Error()
	}
	refused.Fix = "check its prefix, length and letters"
	elsewhere, err := b.readElsewhere(ctx, n.Text)
	if elsewhere != "" {
		refused.Fix = "it is one of network " + elsewhere + ": search there"
	}
	if err != nil {
		return err
	}
	return refused
}

// readElsewhere returns the network, of those that are not searched, that reads text as an identifier.
func (b *binding) readElsewhere(ctx context.Context, text string) (string, error) {
	for _, n := range b.all {
		if slices.ContainsFunc(b.selected, func(s Network) bool { return s.Name == n.Name }) {
			continue
		}
		keys, err := b.identifiers(ctx, n, text)
		if err != nil || len(keys) > 0 {
			return n.Name, err
		}
	}
	return "", nil
}

// misread returns why text, which no network reads, resembles an identifier all the same; nil if it does not.
func (b *binding) misread(text string) error {
	for _, n := range b.selected {
		if err := n.Codec.Misread(text, n.Rules); err != nil {
			return err
		}
	}
	return nil
}

// checkWord refuses words that are not of their list.
func (b *binding) checkWord(n lang.Word) error {
	var known []string
	switch n.Field {
	case "kind":
		known = append(known, lang.UnitKind)
		for _, net := range b.selected {
			for _, name := range kindNamesOf(net.Codec) {
				if !slices.Contains(known, name) {
					known = append(known, name)
				}
			}
		}
	case "state":
		for s := ledger.State(1); s.String() != ""; s++ {
			known = append(known, s.String())
		}
	case "network":
		for _, net := range b.all {
			known = append(known, net.Name)
		}
	}
	if slices.Contains(known, n.Value) {
		return nil
	}
	slices.Sort(known)
	fix := "the archive holds none yet"
	if len(known) > 0 {
		fix = "there are " + strings.Join(known, ", ")
	}
	return &QueryError{At: n.At, What: fmt.Sprintf("there is no %s %s", n.Field, Quote(n.Value)), Fix: fix}
}

// kindNamesOf returns the words for the kinds of an era's records, by number.
func kindNamesOf(c ledger.Codec) (names []string) {
	for k := range math.MaxUint8 + 1 {
		if name := c.KindName(uint8(k)); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// ofField returns those of keys that a field asks for.
func ofField(keys []ledger.Key, field string) []ledger.Key {
	kinds, some := keyFields[field]
	if !some {
		return keys
	}
	var out []ledger.Key
	for _, k := range keys {
		if slices.Contains(kinds, k.Kind) {
			out = append(out, k)
		}
	}
	return out
}

// kindsOf returns the words for the kinds of keys, each once, in order.
func kindsOf(keys []ledger.Key) (names []string) {
	for _, k := range keys {
		if name := kindNames[k.Kind]; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// box takes a bare word for an identifier, and for a tag where it is hex; else for a tag or a word. nil: it is for
// Parse to say what is wrong with it.
func (b *binding) box(ctx context.Context, word string) (lang.Node, []Taken, error) {
	tag := lang.Ident{Field: "tag", Text: word}
	digits, isHex := lang.CutHex(word)
	_, notPairs := hex.DecodeString(digits)
	isTag := !isHex || notPairs == nil
	tagTaken := Taken{"tag", tag.String()}
	names, err := b.taken(ctx, word)
	if err != nil {
		return nil, nil, err
	}
	if len(names) > 0 {
		id := lang.Ident{Field: "id", Text: word}
		var taken []Taken
		for _, name := range names {
			taken = append(taken, Taken{name, id.String()})
		}
		if isHex && isTag {
			return lang.Or{id, tag}, append(taken, tagTaken), nil
		}
		return id, taken, nil
	}
	if why := b.misread(word); why != nil {
		return nil, nil, &QueryError{What: fmt.Sprintf("%s is no identifier of %s: %v", Quote(word), networkNames(b.selected), why), Fix: "check its prefix, length and letters; in quotes it is searched for as a word"}
	}
	words := lang.Text{Text: word}
	wordsTaken := Taken{"words", "text:" + word}
	switch {
	case strings.Contains(word, ":"):
		return nil, nil, nil
	case !isTag:
		return words, []Taken{wordsTaken}, nil
	case isHex, len(text.Words(word)) == 0:
		return tag, []Taken{tagTaken}, nil
	case notPairs == nil: // some nodes write tags in hex without 0x
		asHex := lang.Ident{Field: "tag", Text: "0x" + word}
		return lang.Or{tag, asHex, words}, []Taken{tagTaken, {"tag", asHex.String()}, wordsTaken}, nil
	}
	return lang.Or{tag, words}, []Taken{tagTaken, wordsTaken}, nil
}

// taken returns what word identifies: the kinds under which something is held, else all that it can be.
func (b *binding) taken(ctx context.Context, word string) (names []string, err error) {
	var can, is []ledger.Key
	for _, n := range b.selected {
		keys, err := b.identifiers(ctx, n, word)
		if err != nil {
			return nil, err
		}
		can = append(can, keys...)
		for _, k := range keys {
			count, err := b.a.store.Count(ctx, n.ID, k, 0, ledger.MaxSeq)
			if err != nil {
				return nil, fmt.Errorf("look up %s in %s: %w", Quote(word), n.Name, err)
			}
			if count > 0 {
				is = append(is, k)
			}
		}
	}
	if len(is) > 0 {
		return kindsOf(is), nil
	}
	return kindsOf(can), nil
}
