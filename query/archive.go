package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"permanode/ledger"
	"permanode/storage"
)

// What an asker can be told beside the errors of storage.
var (
	// ErrNotID says that a text is no identifier in any of the networks asked: the text is wrong, not the archive.
	ErrNotID = errors.New("not an identifier of any known form")
	// ErrBadCursor says that a cursor was cut, made up, or given by another question.
	ErrBadCursor = errors.New("cursor does not belong to this question")
)

// Archive joins what a store holds with what each era can say of it. It is safe for concurrent use.
type Archive struct {
	store  storage.Reader
	codec  func(ledger.Era) (ledger.Codec, bool)
	index  Index // nil: there is none
	bounds Bounds

	unread sync.Map // ledger.NetID: *unread

	mu     sync.Mutex // guards trusts
	trusts map[string]ledger.Trust
}

// New returns an Archive over store. codec gives the rules of each era.
func New(store storage.Reader, codec func(ledger.Era) (ledger.Codec, bool)) *Archive {
	return &Archive{store: store, codec: codec, bounds: usualBounds, trusts: map[string]ledger.Trust{}}
}

// Network is a network of the archive with the rules that read it.
type Network struct {
	ledger.Network
	Codec ledger.Codec
	Rules ledger.Trust // the trust file in force, parsed
}

// UnknownNetworkError reports a network name that the archive does not hold.
type UnknownNetworkError struct {
	Name  string
	Known []string // sorted
}

// Unwrap makes it a storage.ErrNotFound.
func (e *UnknownNetworkError) Unwrap() error { return storage.ErrNotFound }

func (e *UnknownNetworkError) Error() string {
	if len(e.Known) == 0 {
		return fmt.Sprintf("network %s is not in the archive, which holds no network yet", Quote(e.Name))
	}
	return fmt.Sprintf("network %s is not in the archive, which holds %s", Quote(e.Name), strings.Join(e.Known, ", "))
}

// Hint is the next step.
func (e *UnknownNetworkError) Hint() string {
	if len(e.Known) == 0 {
		return "fill the archive with: permanode ingest --data DIR --trust FILE --from SOURCE"
	}
	return "name one of " + strings.Join(e.Known, ", ")
}

// Networks returns all networks, by name.
func (a *Archive) Networks(ctx context.Context) ([]Network, error) {
	rows, err := a.store.Networks(ctx)
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	out := make([]Network, 0, len(rows))
	for _, row := range rows {
		n, err := a.open(row)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b Network) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Select returns the network of that name, or all if name is empty. It fails with *UnknownNetworkError.
func (a *Archive) Select(ctx context.Context, name string) ([]Network, error) {
	all, err := a.Networks(ctx)
	if err != nil || name == "" {
		return all, err
	}
	known := make([]string, 0, len(all))
	for _, n := range all {
		if n.Name == name {
			return []Network{n}, nil
		}
		known = append(known, n.Name)
	}
	return nil, &UnknownNetworkError{Name: name, Known: known}
}

// open finds the rules of a network. Trust files are parsed once: they are asked for with every record.
func (a *Archive) open(row ledger.Network) (Network, error) {
	codec, ok := a.codec(row.Era)
	if !ok {
		return Network{}, fmt.Errorf("network %s is of the era %s, which this program does not know: use a newer permanode", row.Name, row.Era)
	}
	key := string(row.Era) + "\x00" + string(row.Trust)
	a.mu.Lock()
	defer a.mu.Unlock()
	trust, ok := a.trusts[key]
	if !ok {
		var err error
		if trust, err = codec.ParseTrust(row.Trust); err != nil {
			return Network{}, fmt.Errorf("stored trust file of network %s: %w", row.Name, err)
		}
		a.trusts[key] = trust
	}
	return Network{Network: row, Codec: codec, Rules: trust}, nil
}

// at returns n with the rules in force at unit seq.
func (a *Archive) at(ctx context.Context, n Network, seq uint64) (Network, error) {
	rules, err := n.Codec.TrustAt(ctx, n.Rules, seq, func(ctx context.Context, keys [][]byte) ([][]byte, error) {
		return a.store.State(ctx, n.ID, keys)
	})
	if err != nil {
		return n, fmt.Errorf("rules of %s at unit %d: %w", n.Name, seq, err)
	}
	n.Rules = rules
	return n, nil
}

// timeText writes POSIX milliseconds as RFC 3339 in UTC, with a fraction only where there is one.
func timeText(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339Nano) }

// Quote shows a stranger's text in a message: on one line, what cannot be printed escaped, and not all of it.
func Quote(s string) string {
	const most = 80
	if len(s) <= most {
		return strconv.Quote(s)
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return fmt.Sprintf("%s… (%d bytes)", strconv.Quote(s[:cut]), len(s))
}
