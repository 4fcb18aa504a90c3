package judge_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/storage"
	"permanode/storage/pebblestore"
)

// archive is a data directory with all its networks, and what the judge knows of it.
type archive struct {
	dir   string
	db    *pebblestore.DB
	world *world
	feeds []*feedable
}

func (a *archive) storeDir() string { return filepath.Join(a.dir, "store") }

// sizes of the generated networks: units, and records of each.
type size struct{ units, blocks, transactions, thin int }

var (
	ciSize      = size{units: 24, blocks: 14, transactions: 6, thin: 520}
	tortureSize = size{units: 60, blocks: 30, transactions: 12, thin: 1500}
)

// newArchive makes an archive of several lineages: a recording, chains of vectors, and generated networks that follow
// each other. Nothing of the generated ones is committed yet. Names are such that the order of lineages, of eras
// and of names all differ.
func newArchive(ctx context.Context, t testing.TB, seed uint64, s size) *archive {
	t.Helper()
	a := &archive{dir: t.TempDir()}
	a.db = openStore(t, a.storeDir())
	t.Cleanup(func() { a.close(t) })
	recorded := record(ctx, t, a.db, "stardust", "hornet")
	a.feeds = generated(t, seed, s)
	for _, f := range a.feeds {
		f.open(ctx, t, a.db)
	}
	var err error
	if a.world, err = worldOver(ctx, a.db, a.feeds, recorded); err != nil {
		t.Fatal(err)
	}
	return a
}

// worldOver knows the networks of a store; feeds has those of them that were generated.
func worldOver(ctx context.Context, store storage.Reader, feeds []*feedable, recorded []byte) (*world, error) {
	rows, err := store.Networks(ctx)
	if err != nil {
		return nil, err
	}
	w := &world{}
	for _, row := range rows {
		n := &net{name: row.Name, follows: row.Follows, id: row.ID, row: row, era: chain{}}
		if at := slices.IndexFunc(feeds, func(f *feedable) bool { return f.row.Name == row.Name }); at < 0 {
			n.era = newTangle(recorded)
		} else if feeds[at].snapshot != nil {
			n.era = newTangle(feeds[at].snapshot)
		}
		w.nets = append(w.nets, n)
	}
	w.sort()
	return w, nil
}

// generated makes the networks that are fed unit by unit.
func generated(t testing.TB, seed uint64, s size) []*feedable {
	t.Helper()
	return append(vectorNets(t),
		stardustNet(t, "zeta", "", seed, s.blocks, s.units, 30_000),
		rebasedNet(t, "alpha", "zeta", seed+1, s.transactions, s.units, [][34]byte{{1, 2, 3}, {4}}),
		stardustNet(t, "beta", "", seed+2, s.blocks, s.units, 10),
		stardustNet(t, "beta-next", "beta", seed+3, s.blocks, s.units/2, 7),
		rebasedNet(t, "aaa-last", "beta-next", seed+4, s.transactions, s.units/2, nil),
		stardustNet(t, "thin", "", seed+5, 1, s.thin, 3600), // of more units than are looked at one by one
	)
}

func (a *archive) close(t testing.TB) {
	if a.db == nil {
		return
	}
	var errs []error
	for _, f := range a.feeds {
		errs = append(errs, f.w.Close())
	}
	if err := errors.Join(append(errs, a.db.Close())...); err != nil {
		t.Error(err)
	}
	a.db = nil
}

// sort brings networks into the order of answers, newest first: lineages by the name of their first network, inside
// one whoever follows comes first (DESIGN 5).
func (w *world) sort() {
	byName := map[string]*net{}
	for _, n := range w.nets {
		byName[n.name] = n
	}
	root := func(n *net) (name string, depth int) {
		for ; n.follows != "" && byName[n.follows] != nil; n = byName[n.follows] {
			depth++
		}
		return n.name, depth
	}
	slices.SortFunc(w.nets, func(x, y *net) int {
		a, i := root(x)
		b, k := root(y)
		if a != b {
			return strings.Compare(a, b)
		}
		return k - i
	})
}

func (w *world) catchUp(ctx context.Context, store storage.Reader) error {
	for _, n := range w.nets {
		if err := n.catchUp(ctx, store); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	return nil
}

// feedAll commits all that is left.
func (a *archive) feedAll(ctx context.Context, t testing.TB) {
	t.Helper()
	for _, f := range a.feeds {
		if _, err := f.feed(ctx, 1<<30); err != nil {
			t.Fatalf("%s: %v", f.row.Name, err)
		}
	}
	if err := a.world.catchUp(ctx, a.db); err != nil {
		t.Fatal(err)
	}
}

func seedOf(t testing.TB) uint64 {
	seed := uint64(20261126)
	if s := os.Getenv("PERMANODE_SEED"); s != "" {
		if _, err := fmt.Sscan(s, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("PERMANODE_SEED=%d", seed)
	return seed
}

var torture = os.Getenv("PERMANODE_TORTURE") != ""

func sizeOf() size {
	if torture {
		return tortureSize
	}
	return ciSize
}

var sortsOfKeys = map[ledger.KeyKind]string{
	ledger.KeyRecord: "record", ledger.KeyTransaction: "transaction", ledger.KeyTag: "tag", ledger.KeyAddress: "addr",
	ledger.KeyOutput: "output", ledger.KeyObject: "object", ledger.KeyPayload: "payload", ledger.KeyType: "type",
	ledger.KeyEvent: "event", ledger.KeyFunction: "function",
}

// Each record is posted under the names that its bytes and the ledger give it, and under no other.
func TestPostings(t *testing.T) {
	ctx := context.Background()
	a := newArchive(ctx, t, seedOf(t), sizeOf())
	a.feedAll(ctx, t)
	for _, n := range a.world.nets {
		wrong := 0
		docs := map[ledger.Ord]*doc{}
		for _, d := range n.docs {
			docs[ledger.Ord{Seq: d.seq, Pos: d.pos}] = d
		}
		compare := func(o ledger.Ord, id string, posts []ledger.Posting) {
			got := map[name]bool{}
			for _, p := range posts {
				if sort, ok := sortsOfKeys[p.Key.Kind]; ok {
					got[name{sort, p.Key.Val}] = true
				}
			}
			d := docs[o]
			if d == nil {
				t.Errorf("%s: %v is no document for the judge, and has postings", n.name, o)
				return
			}
			want := maps.Clone(d.names)
			maps.DeleteFunc(want, func(of name, _ bool) bool { return of.sort == "unit" })
			if maps.Equal(got, want) && (id == "" || id == d.id) {
				return
			}
			if wrong++; wrong > 5 {
				return
			}
			t.Errorf("%s: %v %s", n.name, o, id)
			for of := range got {
				if !want[of] {
					t.Errorf("  posted and not in the bytes: %s %s", of.sort, n.era.write(n, of))
				}
			}
			for of := range want {
				if !got[of] {
					t.Errorf("  not posted: %s %s", of.sort, n.era.write(n, of))
				}
			}
		}
		lo, hi := n.docs[0].seq, n.docs[len(n.docs)-1].seq
		records := 0
		for _, d := range n.docs {
			if d.idle {
				delete(docs, ledger.Ord{Seq: d.seq, Pos: d.pos})
			}
		}
		for c, err := range a.db.Cones(ctx, n.id, lo, hi) {
			if err != nil {
				t.Fatal(err)
			}
			for i := range c.Records {
				compare(c.Records[i].Ord, "", c.Records[i].Posts)
				records++
			}
			if len(c.Posts) > 0 {
				compare(ledger.Ord{Seq: c.Unit.Seq, Pos: ledger.UnitPos}, "", c.Posts)
				records++
			}
		}
		if records != len(docs) {
			t.Errorf("%s: %d records and acts of units, the judge has %d", n.name, records, len(docs))
		}
		t.Logf("%s: %d documents", n.name, len(docs))
	}
}
