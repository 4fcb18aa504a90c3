package querytest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"permanode/index"
	"permanode/internal/follow"
	"permanode/ledger"
	"permanode/query"
	"permanode/storage"
)

// library is an archive of toy records, written out in the tests, with an index.
type library struct {
	*Memory
	t     *testing.T
	Index *index.Index
}

func NewLibrary(t *testing.T) *library {
	l := &library{Memory: NewMemory(), t: t}
	var err error
	if l.Index, err = index.Open(t.TempDir(), index.Options{Store: l.Memory, Codec: Codecs, ShardDocs: 40}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Index.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// network makes a network without units.
func (l *library) AddNetwork(name, follows string) ledger.NetID {
	l.Add(name, nil, nil)
	id := ledger.NetID(len(l.Nets))
	l.Nets[id-1].Follows = follows
	return id
}

// unit commits a unit of records, each "tag|address|text", signed at ms.
func (l *library) AddUnit(id ledger.NetID, seq uint64, ms int64, raws ...string) {
	header := fmt.Appendf(nil, "unit %d of %d", seq, id)
	c := &ledger.Cone{Net: id, Unit: ledger.Unit{Seq: seq, ID: HashID(header), Header: header, TimeMs: ms}}
	for i, raw := range raws {
		c.Records = append(c.Records, ToyRecord(seq, uint32(i), []byte(raw)))
	}
	l.Commit(id, c)
}

func (l *library) Commit(id ledger.NetID, c *ledger.Cone) {
	l.Held[id][c.Unit.Seq] = c
	cov := l.Cover[id]
	if n := len(cov.Spans); n > 0 && cov.Spans[n-1].Hi+1 == c.Unit.Seq {
		spans := slices.Clone(cov.Spans)
		spans[n-1].Hi = c.Unit.Seq
		cov.Spans = spans
	} else {
		cov.Spans = append(slices.Clone(cov.Spans), storage.Span{Lo: c.Unit.Seq, Hi: c.Unit.Seq})
	}
	l.Cover[id] = cov
}

// catchUp brings the index up to date.
func (l *library) CatchUp() {
	l.t.Helper()
	for _, n := range l.Nets {
		f, err := l.Index.Follower(n)
		if err == nil {
			err = follow.CatchUp(context.Background(), l.Memory, n.ID, f)
		}
		if err != nil {
			l.t.Fatal(err)
		}
	}
}

// indexed answers with the index, plain without.
func (l *library) Indexed() *query.Archive {
	a := query.New(l.Memory, Codecs)
	a.UseIndex(l.Index)
	return a
}

func (l *library) Plain() *query.Archive { return query.New(l.Memory, Codecs) }

const Day = 86_400_000

func Must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Exported is what the same export writes without HTTP.
func Exported(t *testing.T, a *query.Archive, req query.ExportRequest) (string, query.Exported, error) {
	t.Helper()
	if req.Networks == nil {
		req.Networks = Must(a.Networks(t.Context()))
	}
	var out strings.Builder
	done, err := a.Export(t.Context(), req, &out, Idle)
	return out.String(), done, err
}
