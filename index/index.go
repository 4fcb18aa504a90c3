package index

import (
	"context"
	"iter"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

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
type Index struct{}

// Open opens the index in dir. Shards that cannot be opened are no error: Status and answers name them.
func Open(dir string, o Options) (*Index, error) { panic("soon") }

// Close ends the index. Nothing that Sync returned for is lost.
func (x *Index) Close() error { panic("soon") }

// Follower returns the one writer of a network. It implements follow.Reporter too.
func (x *Index) Follower(n ledger.Network) (follow.Follower, error) { panic("soon") }

// Done returns the units of net that are in the index.
func (x *Index) Done(ctx context.Context, net ledger.NetID) (ranges.Set, error) { panic("soon") }

// Status returns how the index of net stands.
func (x *Index) Status(net ledger.NetID) Status { panic("soon") }

// Collect registers the metrics of all networks.
func (x *Index) Collect(r prometheus.Registerer) error { panic("soon") }

// Search answers a request. A fault of a shard is no error: the answer names it.
func (x *Index) Search(ctx context.Context, req Request) (Result, error) { panic("soon") }

// Rebuild makes the index of a network again from the store, beside the old one, and puts it in its place. It
// goes on where an earlier call was interrupted. progress may be nil.
func (x *Index) Rebuild(ctx context.Context, n ledger.Network, progress func(done, total uint64)) error {
	panic("soon")
}

// Check compares the index of a network with the store: files with their manifests, documents with records. full
// compares all documents, else a sample of each shard.
func (x *Index) Check(ctx context.Context, n ledger.Network, full bool) iter.Seq2[Finding, error] {
	panic("soon")
}
