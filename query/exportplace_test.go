package query_test

import (
	"encoding/csv"
	"errors"
	"fmt"
	"strings"
	"testing"

	"permanode/query"
	"permanode/query/querytest"
	"permanode/storage"
)

// An export goes on behind what is held, and behind nothing else: a place that no row can have would leave out, or give
// again, what nobody meant.
func TestExportGoesOnBehindRowsAlone(t *testing.T) {
	m := querytest.Sample() // a: 1-10 and 14-20, without 11-12 (a gap), 13 (between two spans) and 21 (wanted)
	a := query.New(m, querytest.Codecs)
	for _, q := range []string{"", "tag:t0"} {
		for _, c := range []struct {
			after, says string
		}{
			{"a/9/4", ""},
			{"a/9/5", "unit 9 of a has 5 records"},
			{"a/5/16777214", "unit 5 of a has 1 records, the first at 0"},
			{"a/5", ""}, // the unit itself, behind its records
			{"a/20", ""},
			{"a/0/0", "unit 0 of a is outside coverage"},
			{"a/0", "unit 0 of a is outside coverage"},
			{"a/11/0", "every source has pruned it"},
			{"a/13", "it lies between two spans"},
			{"a/21/0", "no source has it"},
			{"a/22/0", "outside coverage; the archive holds a: units 1-10 and 14-20"},
			{"a/1095216660479/0", "outside coverage"},
			{"b/2/0", "outside coverage"},
			{"b/5", "outside coverage"},
		} {
			_, _, err := querytest.Exported(t, a, query.ExportRequest{Query: q, Format: query.NDJSON, After: c.after})
			if errors.Is(err, storage.ErrIncomplete) {
				err = nil // over a gap, which is no matter of the place
			}
			var place *query.PlaceError
			switch {
			case c.says == "" && err != nil:
				t.Errorf("%q behind %s: %v", q, c.after, err)
			case c.says != "" && (!errors.As(err, &place) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.after)):
				t.Errorf("%q behind %s: %v", q, c.after, err)
			}
		}
	}
}

// What was missing and came, or came behind all else, is a place from then on; what was one stays one.
func TestExportPlacesStay(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	for _, seq := range []uint64{1, 2, 4} {
		l.AddUnit(id, seq, int64(seq)*1000, "T||one", "T||two")
	}
	l.CatchUp()
	a := l.Indexed()
	behind := func(after string, rows uint64) {
		t.Helper()
		for _, q := range []string{"", "tag:T", "text:one OR text:two"} {
			_, done, err := querytest.Exported(t, a, query.ExportRequest{Query: q, Format: query.CSV, After: after})
			if err != nil && !errors.Is(err, storage.ErrIncomplete) || done.Rows != rows {
				t.Errorf("%q behind %s: %d rows, want %d, %v", q, after, done.Rows, rows, err)
			}
		}
	}
	behind("n/2/1", 2)
	for _, after := range []string{"n/3/0", "n/5/0"} {
		if _, _, err := querytest.Exported(t, a, query.ExportRequest{Format: query.CSV, After: after}); !errors.As(err, new(*query.PlaceError)) {
			t.Errorf("behind %s: %v", after, err)
		}
	}
	l.AddUnit(id, 3, 3000, "T||one", "T||two") // the gap is filled
	l.AddUnit(id, 5, 5000, "T||one")
	l.CatchUp()
	behind("n/2/1", 5)
	behind("n/3/0", 4)
	behind("n/4/1", 1)
	behind("n/5/0", 0)
}

// Rows that are made a few tasks at once, and in pieces where they are large, come in their order, each once.
func TestExportInPieces(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	var want []string
	for seq := uint64(1); seq <= 12; seq++ {
		var raws []string
		for pos := range 1 + 20*int(seq%3) {
			text := "T|addr1A|short"
			if seq%4 == 1 {
				text = "T|addr1A|" + strings.Repeat("=long", 1<<16)
			}
			raws = append(raws, text)
			want = append(want, fmt.Sprintf("n,%d,%d", seq, pos))
		}
		l.AddUnit(id, seq, int64(seq)*1000, raws...)
	}
	a := l.Plain()
	for _, q := range []string{"", "tag:T"} {
		out, done, err := querytest.Exported(t, a, query.ExportRequest{Query: q, Format: query.CSV})
		if err != nil || done.Rows != uint64(len(want)) {
			t.Fatalf("%q: %d rows, %v", q, done.Rows, err)
		}
		rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range rows[1:] {
			if got := strings.Join(row[:3], ","); got != want[i] {
				t.Fatalf("%q: row %d is %s, want %s", q, i, got, want[i])
			}
		}
	}
}
