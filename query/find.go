package query

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"permanode/index/lang"
	"permanode/ledger"
	"permanode/storage"
)

// Why something is not there.
const (
	WhyNeverSeen       = "never-seen"       // no committed unit holds it
	WhyOutsideCoverage = "outside-coverage" // the unit lies before, behind or outside what is collected
	WhyInGap           = "in-gap"           // the unit is wanted and missing
)

// AbsentError reports something that the archive does not hold, and what it did look through.
type AbsentError struct {
	What     string // "unit 4711 of shimmer"
	Why      string // WhyNeverSeen, …
	Reason   string // of the gap
	Searched []Extent
}

// Unwrap makes it a storage.ErrNotFound.
func (e *AbsentError) Unwrap() error { return storage.ErrNotFound }

func (e *AbsentError) Error() string {
	var asked []string
	for _, x := range e.Searched {
		asked = append(asked, fmt.Sprintf("%s: %s", x.Network, x.Sentence()))
	}
	held := strings.Join(asked, "; ")
	if held == "" {
		held = "no network"
	}
	switch e.Why {
	case WhyInGap:
		return fmt.Sprintf("%s is missing here: %s; the archive holds %s", e.What, e.Reason, held)
	case WhyOutsideCoverage:
		return fmt.Sprintf("%s is outside coverage; the archive holds %s", e.What, held)
	}
	return fmt.Sprintf("%s is in no unit that the archive holds (%s)", e.What, held)
}

// Hint is the next step.
func (e *AbsentError) Hint() string {
	switch e.Why {
	case WhyInGap:
		return "the gap closes as soon as a source has the unit: add a source, or ask again later"
	case WhyOutsideCoverage:
		return "ask for a unit inside coverage, or collect more"
	}
	return "it may lie in a unit that is not collected: compare the coverage"
}

func absentUnit(n Network, seq uint64, e Extent) error {
	absent := &AbsentError{What: fmt.Sprintf("unit %d of %s", seq, n.Name), Why: WhyOutsideCoverage, Searched: []Extent{e}}
	for _, g := range e.Gaps {
		if g.From <= seq && seq <= g.To {
			absent.Why, absent.Reason = WhyInGap, g.Reason
		}
	}
	return absent
}

// Hit is one place that answers an identifier. Ord.Pos is ledger.UnitPos where the unit itself does.
type Hit struct {
	Network Network
	Ord     ledger.Ord
	Key     ledger.Key
	As      string   // what the identifier is there: "record", "transaction", "unit", "output", …
	Roles   []string // how the record stands to it: "mention", "spend", "receive", "sign", "return"

	named []lang.Keys // of a search: what its query names; As, Key and Roles are told by Items
}

var kindNames = map[ledger.KeyKind]string{
	ledger.KeyRecord: "record", ledger.KeyTransaction: "transaction", ledger.KeyBundle: "bundle", ledger.KeyTag: "tag",
	ledger.KeyAddress: "address", ledger.KeyParent: "parent", ledger.KeyOutput: "output", ledger.KeyObject: "object",
	ledger.KeyPayload: "payload", ledger.KeyUnit: "unit", ledger.KeyToken: "token",
	ledger.KeyType: "type", ledger.KeyEvent: "event", ledger.KeyFunction: "function", ledger.KeySuccessor: "output",
}

var roleNames = []string{"mention", "spend", "receive", "sign", "return", "send", "pay"}

func roles(r ledger.Role) []string {
	names := []string{}
	for i, name := range roleNames {
		if r&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// Found is one page of places, in the order of (network name, ordinal).
type Found struct {
	Hits     []Hit
	Next     string   // cursor of the next page; "" at the end
	Total    Total    // an upper bound where several readings of the identifier have answers
	Searched []Extent // one a network asked
}

// Find returns the places that answer the identifier text in the given networks: at most limit behind cursor. It fails
// with ErrNotID if no network's era reads the text as an identifier, and with *AbsentError if none holds it.
func (a *Archive) Find(ctx context.Context, networks []Network, text, cursor string, limit int) (Found, error) {
	q := question("find", text, networkNames(networks))
	at, err := parseCursor(cursor, sortOldestFirst, q)
	if err != nil {
		return Found{}, err
	}
	out := Found{Total: Total{Relation: Exact}}
	readings := 0
	for _, n := range networks {
		e, err := a.Extent(ctx, n)
		if err != nil {
			return Found{}, err
		}
		out.Searched = append(out.Searched, e)
		keys, err := a.identifiers(ctx, n, text)
		if err != nil {
			return Found{}, err
		}
		readings += len(keys)
		matched := 0
		for _, key := range keys {
			count, err := a.store.Count(ctx, n.ID, key, 0, ledger.MaxSeq)
			if err != nil {
				return Found{}, fmt.Errorf("look up %s in %s: %w", Quote(text), n.Name, err)
			}
			if count > 0 {
				matched++
			}
			out.Total.Value += count
		}
		if matched > 1 {
			out.Total.Relation = UpperBound
		}
		if len(out.Hits) <= limit && n.Name >= at.network {
			hits, err := a.placesOf(ctx, n, keys, at.from(n.Name), limit+1-len(out.Hits))
			if err != nil {
				return Found{}, fmt.Errorf("look up %s in %s: %w", Quote(text), n.Name, err)
			}
			out.Hits = append(out.Hits, hits...)
		}
	}
	switch {
	case readings == 0 && len(networks) > 0:
		return out, fmt.Errorf("%s: %w of %s", Quote(text), ErrNotID, networkNames(networks))
	case out.Total.Value == 0:
		return out, &AbsentError{What: Quote(text), Why: WhyNeverSeen, Searched: out.Searched}
	}
	if len(out.Hits) > limit {
		out.Hits = out.Hits[:limit]
		last := out.Hits[limit-1]
		out.Next = place{last.Network.Name, last.Ord}.cursor(sortOldestFirst, q)
	}
	return out, nil
}

func networkNames(networks []Network) string {
	var names []string
	for _, n := range networks {
		names = append(names, n.Name)
	}
	return strings.Join(names, ", ")
}

// identifiers returns the readings of text in n, by the rules it began with and by those of its newest unit,
// without repetition.
func (a *Archive) identifiers(ctx context.Context, n Network, text string) (keys []ledger.Key, err error) {
	coverage, err := a.store.Coverage(ctx, n.ID)
	if err != nil {
		return nil, fmt.Errorf("coverage of %s: %w", n.Name, err)
	}
	rules := []ledger.Trust{n.Rules}
	if units := coverage.Set().Ranges(); len(units) > 0 {
		newest, err := a.at(ctx, n, units[len(units)-1].Hi)
		if err != nil {
			return nil, err
		}
		rules = append(rules, newest.Rules)
	}
	for _, r := range rules {
		for _, key := range n.Codec.Recognise(text, r) {
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	return keys, nil
}

// placesOf returns the first limit places of any of keys from lo on, each place once.
func (a *Archive) placesOf(ctx context.Context, n Network, keys []ledger.Key, lo ledger.Ord, limit int) ([]Hit, error) {
	var all []Hit
	for _, key := range keys {
		taken := 0
		for f, err := range a.store.Lookup(ctx, n.ID, key, storage.Scan{Lo: lo}) {
			if err != nil {
				return nil, err
			}
			all = append(all, Hit{Network: n, Ord: f.Ord, Key: f.Key, As: kindNames[key.Kind], Roles: roles(f.Role)})
			if taken++; taken == limit {
				break
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Hit) int { return a.Ord.Compare(b.Ord) })
	all = slices.CompactFunc(all, func(a, b Hit) bool { return a.Ord == b.Ord })
	return all[:min(limit, len(all))], nil
}

// Resource returns the one record of n that text names by its own id. It fails with ErrNotID or *AbsentError.
func (a *Archive) Resource(ctx context.Context, n Network, text string) (ledger.Record, error) {
	keys, err := a.identifiers(ctx, n, text)
	if err != nil {
		return ledger.Record{}, err
	}
	if len(keys) == 0 {
		return ledger.Record{}, fmt.Errorf("%s: %w of %s", Quote(text), ErrNotID, n.Name)
	}
	record := false
	for _, key := range keys {
		if key.Kind != ledger.KeyRecord {
			continue
		}
		record = true
		for f, err := range a.store.Lookup(ctx, n.ID, key, storage.Scan{}) {
			if err != nil {
				return ledger.Record{}, fmt.Errorf("look up %s in %s: %w", Quote(text), n.Name, err)
			}
			return a.Record(ctx, n, f.Ord)
		}
	}
	if !record {
		return ledger.Record{}, fmt.Errorf("%s is the identifier of a kind that GET /v1/records/{id} finds (%s), and %w of a record",
			Quote(text), kindNames[keys[0].Kind], ErrNotID)
	}
	e, err := a.Extent(ctx, n)
	if err != nil {
		return ledger.Record{}, err
	}
	return ledger.Record{}, &AbsentError{What: "record " + Quote(text), Why: WhyNeverSeen, Searched: []Extent{e}}
}

// IsAbsent reports whether err says that something is not in the archive, and gives the facts.
func IsAbsent(err error) (*AbsentError, bool) {
	var absent *AbsentError
	ok := errors.As(err, &absent)
	return absent, ok
}

// ordFloor returns the ordinal behind o.
func ordFloor(o ledger.Ord) ledger.Ord {
	b := o.Bytes()
	var next [ledger.OrdLen]byte
	binary.BigEndian.PutUint64(next[:], binary.BigEndian.Uint64(b[:])+1)
	return ledger.OrdFrom(next[:])
}
