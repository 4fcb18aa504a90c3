package check

import (
	"bytes"
	"fmt"
	"slices"

	"permanode/ledger"
)

// compare reports where stored rows differ from what was proven.
func (w *window) compare(stored, proven *ledger.Cone) {
	seq := stored.Unit.Seq
	differ := func(what string, o ledger.Ord, why string) {
		w.add(Finding{Network: w.n.Name, What: what, Seq: seq, Key: o.String(), Why: why})
	}
	at := ledger.Ord{Seq: seq, Pos: ledger.UnitPos}
	if !sameUnit(stored.Unit, proven.Unit) {
		differ("unit", at, "the unit's row says otherwise than its signed bytes")
	}
	if !sameMoves(stored.Moves, proven.Moves) || !samePosts(stored.Posts, proven.Posts) {
		differ("unit", at, "the unit's own moves or postings are not those that its bytes give")
	}
	for i := range proven.Records {
		if why := recordDiffers(&stored.Records[i], &proven.Records[i]); why != "" {
			differ("record", proven.Records[i].Ord, why)
		}
	}
}

// readsMore reports whether records that were stored without being read whole are read better now.
func readsMore(stored, proven *ledger.Cone) bool {
	for i := range proven.Records {
		s, p := &stored.Records[i], &proven.Records[i]
		if s.Undecoded && s.ID == p.ID && (!p.Undecoded || len(p.Parts) != len(s.Parts) || recordDiffers(s, p) != "") {
			return true
		}
	}
	return false
}

// gains reports whether stored lacks nothing but moves, or values of postings, that its records have by what a repair
// brought to light before them.
func gains(stored, proven *ledger.Cone) bool {
	more := false
	for i := range proven.Records {
		s, p := &stored.Records[i], proven.Records[i]
		if recordDiffers(s, &p) == "" {
			continue
		}
		more = true
		moves, posts := p.Moves, p.Posts
		p.Moves, p.Posts = s.Moves, s.Posts
		if recordDiffers(s, &p) != "" || !within(s.Moves, moves, sameMove) || !within(s.Posts, posts, samePlace) {
			return false
		}
	}
	return more
}

// within reports whether all of part are in whole.
func within[T any](part, whole []T, same func(x, y T) bool) bool {
	for _, x := range part {
		if !slices.ContainsFunc(whole, func(y T) bool { return same(x, y) }) {
			return false
		}
	}
	return true
}

func sameMove(x, y ledger.Move) bool {
	return x.Owner == y.Owner && x.Asset == y.Asset && x.Output == y.Output && x.Amount.Equal(y.Amount)
}

func samePlace(x, y ledger.Posting) bool { return x.Key == y.Key && x.Role == y.Role }

// sameUnit compares what the row states: header and auth are where it came from.
func sameUnit(a, b ledger.Unit) bool {
	return a.Seq == b.Seq && a.ID == b.ID && a.Prev == b.Prev && a.TimeMs == b.TimeMs && a.AttestedBy == b.AttestedBy && bytes.Equal(a.Header, b.Header) && bytes.Equal(a.Auth, b.Auth) &&
		(a.List == nil) == (b.List == nil) && bytes.Equal(a.List, b.List)
}

func recordDiffers(a, b *ledger.Record) string {
	switch {
	case a.ID != b.ID:
		return fmt.Sprintf("record %s stands here, the era's order has %s", a.ID, b.ID)
	case a.State != b.State || a.Reason != b.Reason:
		return fmt.Sprintf("its row says %s, reason %d; it is %s, reason %d", a.State, a.Reason, b.State, b.Reason)
	case a.Undecoded != b.Undecoded:
		return fmt.Sprintf("its row says that it could not be read whole: %v; that is %v", a.Undecoded, b.Undecoded)
	case a.Kind != b.Kind || a.Basis != b.Basis || a.Self != b.Self || a.Ord != b.Ord:
		return fmt.Sprintf("its row says kind %d, basis %s; it is kind %d, basis %s", a.Kind, a.Basis, b.Kind, b.Basis)
	case !sameMoves(a.Moves, b.Moves):
		return "its moves are not those that its bytes give"
	case !samePosts(a.Posts, b.Posts):
		return "its postings are not those that its bytes give"
	}
	return ""
}

func sameMoves(a, b []ledger.Move) bool {
	return slices.EqualFunc(a, b, sameMove)
}

func samePosts(a, b []ledger.Posting) bool {
	return slices.EqualFunc(a, b, func(x, y ledger.Posting) bool {
		return x.Key == y.Key && x.Role == y.Role && x.Value.Equal(y.Value)
	})
}
