package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/blevesearch/bleve/v2/index/scorch"
	index "github.com/blevesearch/bleve_index_api"
	segment "github.com/blevesearch/scorch_segment_api/v2"

	"permanode/index/lang"
	"permanode/internal/follow"
	"permanode/internal/ranges"
	"permanode/ledger"
	"permanode/storage"
)

// Options says how an index is opened.
type Options struct {
	ReadOnly  bool // leaves the folder as it is; one that is not there is an empty index
	Store     storage.Reader
	Codec     func(ledger.Era) (ledger.Codec, bool)
	Memory    int64        // bytes that the index may use beside the shard that is written, 0 for 256 MiB
	ShardDocs int          // documents of a shard, 0 for 2,000,000
	Log       *slog.Logger // nil drops it
}

// Request is one question to one network.
type Request struct {
	Net      ledger.NetID
	Query    lang.Node // bound: of All, None, And, Or, Not, Keys, Units, State, Kind, OfUnit, Text, Leaf
	Newest   bool      // newest first, else oldest first
	After    ledger.Ord
	HasAfter bool // only hits behind After in that order
	Limit    int  // most ordinals; 0 for counts alone
	Count    bool // Total is wanted
	Facets   []string
	FacetTop int // terms of a facet, 0 for 10
}

// Result answers a Request.
type Result struct {
	Ords     []ledger.Ord
	Total    uint64     // hits in Searched, whatever After and Limit; only if Count was set
	Exact    bool       // Total is exact; else a lower bound
	More     bool       // hits lie behind the last of Ords
	Searched ranges.Set // the units that were in the index for this answer
	Problems []string   // shards that could not answer: their units are not in Searched
	Facets   map[string]FacetCounts
}

// The facets.
const (
	FacetTag      = "tag" // Value is the tag's bytes
	FacetKind     = "kind"
	FacetState    = "state"
	FacetDay      = "day" // YYYY-MM-DD, UTC, of the unit's signed time
	FacetType     = "type"
	FacetEvent    = "event"
	FacetFunction = "function"
)

// FacetCounts are the most frequent values of a facet among all hits, most frequent first, then by value.
type FacetCounts struct {
	Terms []FacetTerm
	Other uint64 // sum of the counts of all other values
	Exact bool
}

// FacetTerm is a value and the number of hits that have it.
type FacetTerm struct {
	Value string
	Count uint64
}

// Status is how the index of a network stands.
type Status struct {
	Done   ranges.Set // units in the index
	Shards int        // the one that is written included
	Docs   uint64
	Bytes  uint64 // on disk
	// Problem says why the index does not go on, or which shard cannot be read; "" if all is well.
	Problem string
}

// Finding is one fault that Check found.
type Finding struct {
	Shard string // folder, relative to the index
	Text  string
}

// Index is open. It is safe for concurrent use.
type Index struct {
	dir    string
	opts   Options
	queue  *index.AnalysisQueue
	tables *tables
	counts *counts

	mu       sync.Mutex
	networks map[ledger.NetID]*network
	closed   bool
	searches sync.WaitGroup // and whatever else reads shards
}

const (
	defaultMemory    = 256 << 20
	defaultShardDocs = 2_000_000
)

// Open opens the index in dir. Shards that cannot be opened are no error: Status and answers name them.
func Open(dir string, o Options) (*Index, error) {
	if o.Memory <= 0 {
		o.Memory = defaultMemory
	}
	if o.ShardDocs <= 0 {
		o.ShardDocs = defaultShardDocs
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	workers := runtime.GOMAXPROCS(0)
	if o.ReadOnly {
		workers = 0
	}
	return &Index{
		dir: dir, opts: o, queue: index.NewAnalysisQueue(workers),
		tables: newTables(o.Memory * 3 / 4), counts: newCounts(o.Memory / 4), networks: map[ledger.NetID]*network{},
	}, nil
}

// Close ends the index. Nothing that Sync returned for is lost.
func (x *Index) Close() (err error) {
	x.mu.Lock()
	if x.closed {
		x.mu.Unlock()
		return nil
	}
	x.closed = true
	x.mu.Unlock()
	x.searches.Wait()
	for _, n := range x.networks {
		n.write.Lock()
		err = errors.Join(err, n.set.close())
		n.write.Unlock()
	}
	x.queue.Close()
	return err
}

// network is the index of one network.
type network struct {
	ledger.Network
	dir     string // of all its versions
	reading *reading

	write  sync.Mutex // held by whoever changes the set
	writer *writer    // nil until something is followed

	mu      sync.Mutex
	set     *set
	trouble error     // why following does not go on
	warned  time.Time // when an error of scorch's goroutines was logged
}

func (n *network) current() *set {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.set
}

// enter returns the network and holds the index open until searches.Done is called.
func (x *Index) enter(ctx context.Context, net ledger.NetID) (*network, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return nil, errClosed
	}
	n, ok := x.networks[net]
	if !ok {
		all, err := x.opts.Store.Networks(ctx)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(all, func(n ledger.Network) bool { return n.ID == net })
		if i < 0 {
			return nil, fmt.Errorf("network %d: %w", net, storage.ErrNotFound)
		}
		if n, err = x.openNetwork(all[i]); err != nil {
			return nil, fmt.Errorf("index of %s: %w", all[i].Name, err)
		}
		x.networks[net] = n
	}
	x.searches.Add(1)
	return n, nil
}

func (x *Index) openNetwork(of ledger.Network) (*network, error) {
	codec, ok := x.opts.Codec(of.Era)
	if !ok {
		return nil, fmt.Errorf("this version does not know the era %q", of.Era)
	}
	trust, err := codec.ParseTrust(of.Trust)
	if err != nil {
		return nil, err
	}
	n := &network{Network: of, dir: filepath.Join(x.dir, of.Name), reading: &reading{codec: codec, trust: trust}}
	n.reading.state = func(ctx context.Context, keys [][]byte) ([][]byte, error) {
		return x.opts.Store.State(ctx, of.ID, keys)
	}
	if !x.opts.ReadOnly {
		if err := n.tidy(); err != nil {
			return nil, err
		}
	}
	n.set, err = openSet(n.folder(), of.Identity, x.opts.ReadOnly, x.queue, n.warn(x.opts.Log))
	return n, err
}

// folder holds the shards of this mapping.
func (n *network) folder() string { return filepath.Join(n.dir, mappingVersion()) }

// quiet is how long nothing is logged after scorch's goroutines had an error: they try again and again.
const quiet = time.Minute

// warn returns what hears of shards that are damaged and of errors in scorch's own goroutines.
func (n *network) warn(log *slog.Logger) func(error) {
	return func(err error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		var again *scorch.ScorchError
		if errors.As(err, &again) {
			if time.Since(n.warned) < quiet {
				return
			}
			n.warned = time.Now()
		}
		log.Warn("index", "net", n.Name, "err", err)
	}
}

// Done returns the units of net that are in the index.
func (x *Index) Done(ctx context.Context, net ledger.NetID) (ranges.Set, error) {
	n, err := x.enter(ctx, net)
	if err != nil {
		return ranges.Set{}, err
	}
	defer x.searches.Done()
	return n.current().done(), nil
}

// Status returns how the index of net stands.
func (x *Index) Status(net ledger.NetID) Status {
	n, err := x.enter(context.Background(), net)
	if err != nil {
		return Status{Problem: err.Error()}
	}
	defer x.searches.Done()
	var st Status
	views, faults := n.current().read()
	for _, v := range views {
		for _, r := range v.done.Ranges() {
			st.Done.Add(r.Lo, r.Hi)
		}
		st.Shards++
		st.Docs += v.docs()
		st.Bytes += v.size()
		v.close()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case len(faults) > 0 && errors.Is(faults[0].err, errUnwritable):
		st.Problem = fmt.Sprintf("%v; it goes on by itself when that is mended", faults[0].err)
	case len(faults) > 0:
		st.Problem = fmt.Sprintf("shard %s: %v; permanode index rebuild makes it again", faults[0].name, faults[0].err)
	case n.trouble != nil:
		st.Problem = n.trouble.Error()
	}
	return st
}

// Follower returns the one writer of a network. It implements follow.Reporter too.
func (x *Index) Follower(n ledger.Network) (follow.Follower, error) {
	if x.opts.ReadOnly {
		return nil, errors.New("the index is open for reading alone")
	}
	return &follower{x, n.ID}, nil
}

// merged forgets what is known of segments of a shard that are not among live.
func (x *Index) merged(sh *shard, live map[segment.Segment]bool) {
	x.tables.keep(sh, live)
	x.counts.keep(sh, live)
}

// follower is the writer of a network.
type follower struct {
	x   *Index
	net ledger.NetID
}

// Name says what follows.
func (f *follower) Name() string { return "index" }

// Done returns the units that are durable in the index.
func (f *follower) Done(ctx context.Context, net ledger.NetID) (ranges.Set, error) {
	return f.x.Done(ctx, net)
}

// Follow takes a cone.
func (f *follower) Follow(ctx context.Context, c *ledger.Cone) error {
	return f.writing(ctx, func(w *writer) error { return w.follow(ctx, c) })
}

// Sync writes what Follow took.
func (f *follower) Sync(ctx context.Context) error {
	return f.writing(ctx, func(w *writer) error { return w.sync(ctx) })
}

// Report keeps why following does not go on.
func (f *follower) Report(err error) {
	n, enterErr := f.x.enter(context.Background(), f.net)
	if enterErr != nil {
		return
	}
	defer f.x.searches.Done()
	n.mu.Lock()
	n.trouble = err
	n.mu.Unlock()
}

func (f *follower) writing(ctx context.Context, do func(*writer) error) error {
	n, err := f.x.enter(ctx, f.net)
	if err != nil {
		return err
	}
	defer f.x.searches.Done()
	n.write.Lock()
	defer n.write.Unlock()
	if n.writer == nil {
		if err := n.current().revive(); err != nil {
			return err
		}
		if n.writer, err = newWriter(n.current(), n.reading, f.x.merged, f.x.opts.ShardDocs); err != nil {
			n.writer = nil
			return err
		}
	}
	if err = do(n.writer); err != nil {
		n.writer = nil // the next one begins with what is durable
	}
	return err
}
