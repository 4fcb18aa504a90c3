package hornet2

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"permanode/ingest"
	"permanode/internal/wire/inx"
	"permanode/ledger"
	"permanode/ledger/stardust"
)

const (
	inxPort        = "9029"
	inxScheme      = "inx"
	defaultMaxCone = 256 << 20
	// defaultCalls and maxCalls bound the calls under way: a server takes 10 streams on a connection.
	defaultCalls = 6
	maxCalls     = 8
	// blockCost is what a record of a cone counts beside its bytes.
	blockCost = 256
)

// INXConfig says which node to ask over INX, and how.
type INXConfig struct {
	Name     string        // for notes and status; "" is the address
	Address  string        // inx://HOST:PORT or HOST:PORT; without a port 9029
	Parallel int           // calls at a time; 0 means 6, and 8 is the most
	Timeout  time.Duration // for one answer, and for one sign of life of a longer one; 0 means 10 s
	MaxBytes int64         // largest cone; 0 means 256 MiB
}

// INX is the INX interface of a node: gRPC without TLS, meant for the node's own machine. It gives whole cones. It is
// safe for concurrent use.
type INX struct {
	name    string
	addr    string // host:port
	timeout time.Duration
	most    int64
	calls   chan struct{} // one token a call under way
	pruning pruning
	said    claimShelf

	mu     sync.Mutex // guards what follows
	conn   *grpc.ClientConn
	closed bool
	silent time.Time // since when calls on conn wait and nothing at all came; zero if none does
}

// NewINX returns the node at c.Address. It does not connect.
func NewINX(c INXConfig) (*INX, error) {
	addr, err := parseINX(c.Address)
	if err != nil {
		return nil, err
	}
	n := &INX{name: c.Name, addr: addr, timeout: c.Timeout, most: c.MaxBytes}
	if n.name == "" {
		n.name = inxScheme + "://" + addr
	}
	if n.timeout <= 0 {
		n.timeout = defaultTimeout
	}
	if n.most <= 0 {
		n.most = defaultMaxCone
	}
	if c.Parallel <= 0 {
		c.Parallel = defaultCalls
	}
	n.calls = make(chan struct{}, min(c.Parallel, maxCalls))
	if n.conn, err = dialINX(addr); err != nil {
		return nil, fmt.Errorf("%s: %w", n.name, err)
	}
	return n, nil
}

// parseINX returns host:port of an address.
func parseINX(address string) (string, error) {
	const how = "write inx://HOST:PORT"
	if !strings.Contains(address, "://") {
		address = inxScheme + "://" + address
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return "", errors.New("an INX address is not HOST:PORT; " + how)
	case u.User != nil:
		return "", errors.New("an INX address holds a user or password, and INX knows neither; " + how)
	case u.Scheme != inxScheme || u.Opaque != "":
		return "", fmt.Errorf("INX address %q does not begin with inx://; %s", u.Redacted(), how)
	case u.Hostname() == "":
		return "", fmt.Errorf("INX address %q names no host; %s", u.Redacted(), how)
	case strings.Contains(u.Hostname(), ":") && net.ParseIP(u.Hostname()) == nil:
		return "", fmt.Errorf("INX address %q names no host; %s", u.Redacted(), how)
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("INX address %q has something behind the port; %s", u.Redacted(), how)
	}
	port := u.Port()
	if port == "" {
		port = inxPort
	}
	if v, err := strconv.ParseUint(port, 10, 16); err != nil || v == 0 {
		return "", fmt.Errorf("INX address %q has the port %q; %s with a port of 1 to 65535", u.Redacted(), port, how)
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// Name returns the name for notes and status.
func (n *INX) Name() string { return n.name }

// Close ends the connection. Calls under way fail.
func (n *INX) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	return n.conn.Close()
}

// Info asks the node for its network and range. The newest unit is its confirmed milestone. INX tells no version.
func (n *INX) Info(ctx context.Context) (ingest.Info, error) {
	s, p, err := n.status(ctx)
	if err != nil {
		return ingest.Info{}, fmt.Errorf("%s: node status: %w", n.name, err)
	}
	return ingest.Info{
		Identity: strconv.FormatUint(p.NetworkID(), 10), Name: p.Network, Software: "INX node",
		Oldest: prunedTo(s) + 1, Newest: uint64(s.Confirmed.Info.Index),
	}, nil
}

// prunedTo returns the newest unit that the node cannot give whole any more.
func prunedTo(s *inx.Status) uint64 { return uint64(max(s.TanglePruned, s.MilestonesPruned)) }

// status returns what the node says of itself: Confirmed.Info is not nil.
func (n *INX) status(ctx context.Context) (*inx.Status, *stardust.Parameters, error) {
	raw, err := n.unary(ctx, inx.ReadNodeStatus, nil, maxInfo)
	if err != nil {
		return nil, nil, err
	}
	s, err := inx.ParseStatus(raw)
	if err != nil {
		return nil, nil, err
	}
	if s.Confirmed == nil || s.Confirmed.Info == nil || s.Parameters == nil {
		return nil, nil, errors.New("the answer names no confirmed milestone or no protocol parameters")
	}
	p, err := stardust.ParseParameters(s.Parameters.Params)
	if err != nil {
		return nil, nil, err
	}
	n.pruning.saw(prunedTo(s))
	return s, p, nil
}

// Head returns the milestone payload of unit seq. Unknown and pruned ones are told apart.
func (n *INX) Head(ctx context.Context, seq uint64) ([]byte, error) {
	head, err := n.head(ctx, seq)
	if err != nil {
		return nil, fmt.Errorf("%s: unit %d: %w", n.name, seq, err)
	}
	return head, nil
}

func (n *INX) head(ctx context.Context, seq uint64) ([]byte, error) {
	question, err := askFor(seq)
	if err != nil {
		return nil, err
	}
	raw, err := n.unary(ctx, inx.ReadMilestone, question, maxUnit+frameExtra)
	if err != nil {
		return nil, n.sorry(ctx, seq, err)
	}
	m, err := inx.ParseMilestone(raw)
	if err == nil && m.Raw == nil {
		err = errors.New("the answer holds no milestone")
	}
	if err != nil {
		return nil, err
	}
	return m.Raw, nil
}

// askFor returns the question about unit seq. Index 0 would ask for an id.
func askFor(seq uint64) ([]byte, error) {
	if seq == 0 || seq > math.MaxUint32 {
		return nil, ingest.ErrUnknown
	}
	return (&inx.MilestoneRequest{Index: uint32(seq)}).Append(nil), nil
}

// sorry tells pruned units from unknown ones: the node answers the same about both.
func (n *INX) sorry(ctx context.Context, seq uint64, err error) error {
	ask := func() error { _, _, err := n.status(ctx); return err }
	if errors.Is(err, ingest.ErrUnknown) && n.pruning.has(seq, ask) {
		return ingest.ErrPruned
	}
	return err
}

// Cone returns unit seq whole: its milestone payload, and its blocks in the node's order, which is white-flag order.
func (n *INX) Cone(ctx context.Context, seq uint64) ([]byte, [][]byte, error) {
	head, err := n.Head(ctx, seq)
	if err != nil {
		return nil, nil, err
	}
	question, err := askFor(seq)
	if err != nil {
		return nil, nil, err
	}
	var raws [][]byte
	size := int64(len(head))
	err = n.stream(ctx, inx.ReadMilestoneCone, question, func(message []byte) error {
		b, err := inx.ParseBlock(message)
		switch {
		case err != nil:
			return err
		case b.Raw == nil:
			return errors.New("a message holds no block")
		}
		if size += int64(len(b.Raw)) + blockCost; size > n.most {
			return fmt.Errorf("the cone has more than %d bytes; give more memory", n.most)
		}
		raws = append(raws, b.Raw)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: cone of unit %d: %w", n.name, seq, n.sorry(ctx, seq, err))
	}
	return head, raws, nil
}

// Fetch returns the raw blocks that the node has. With an error it returns what came before.
func (n *INX) Fetch(ctx context.Context, ids []ledger.ID) ([][]byte, error) {
	found := make([][]byte, len(ids))
	err := n.each(ctx, ids, func(ctx context.Context, i int) error {
		raw, err := n.unary(ctx, inx.ReadBlock, inx.AppendWrapped(nil, ids[i].Bytes()), maxBlock+frameExtra)
		if errors.Is(err, ingest.ErrUnknown) {
			return nil
		}
		if err == nil {
			raw, err = inx.ParseWrapped(raw)
		}
		if err != nil {
			return fmt.Errorf("%s: block %s: %w", n.name, ids[i], err)
		}
		found[i] = raw
		return nil
	})
	out := found[:0]
	for _, b := range found {
		if b != nil {
			out = append(out, b)
		}
	}
	return out, err
}

// each calls one for every id, as many at a time as the node may be asked, until one fails.
func (n *INX) each(ctx context.Context, ids []ledger.ID, one func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(cap(n.calls))
	for i := range ids {
		g.Go(func() error { return one(ctx, i) })
	}
	return g.Wait()
}
