package hornet2

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/sync/errgroup"

	"permanode/ingest"
	"permanode/ledger"
)

const (
	base = "/api/core/v2"
	raw  = "application/vnd.iota.serializer-v1"
	text = "application/json"

	// What an honest answer can hold at most, in bytes. A milestone is carried by a block.
	maxBlock    = 32 << 10
	maxUnit     = 32 << 10
	maxMetadata = 16 << 10
	maxInfo     = 1 << 20

	defaultParallel = 8
	defaultTimeout  = 10 * time.Second
)

// Config says which node to ask, and how.
type Config struct {
	Name      string            // for notes and status; "" is the address without credentials
	URL       string            // http or https; user and password are sent as basic authentication
	Parallel  int               // requests at a time; 0 means 8
	Timeout   time.Duration     // for one whole answer; 0 means 10 s
	Transport http.RoundTripper // nil means the network
}

// Source is one node. It is safe for concurrent use.
type Source struct {
	name    string
	url     *url.URL
	client  *http.Client
	timeout time.Duration
	slots   chan struct{} // one token a request under way
	pruning pruning
}

// New returns the node at c.URL. It does not connect. An error names what is wrong with the address,
// without the credentials in it.
func New(c Config) (*Source, error) {
	u, err := parseURL(c.URL)
	if err != nil {
		return nil, err
	}
	s := &Source{name: c.Name, url: u, timeout: c.Timeout}
	if s.name == "" {
		s.name = u.Scheme + "://" + u.Host + u.Path
	}
	if s.timeout <= 0 {
		s.timeout = defaultTimeout
	}
	if c.Parallel <= 0 {
		c.Parallel = defaultParallel
	}
	s.slots = make(chan struct{}, c.Parallel)
	s.client = ingest.NewClient(c.Parallel, c.Transport)
	return s, nil
}

func parseURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, errors.New("a node's address is not a URL; write http://HOST:PORT or https://HOST:PORT")
	case u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "":
		return nil, fmt.Errorf("node %q: the address does not begin with http:// or https://", u.Redacted())
	case u.Hostname() == "":
		return nil, fmt.Errorf("node %q: the address names no host", u.Redacted())
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("node %q: an address has no ? and no #", u.Scheme+"://"+u.Host+u.Path)
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	u.Path = strings.TrimSuffix(u.Path, base)
	u.RawPath = ""
	return u, nil
}

// Name returns the name for notes and status.
func (s *Source) Name() string { return s.name }

// Close drops idle connections.
func (s *Source) Close() { s.client.CloseIdleConnections() }

// info is what an archive needs of /info.
type info struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Status  struct {
		Confirmed struct {
			Index uint64 `json:"index"`
		} `json:"confirmedMilestone"`
		Pruning uint64 `json:"pruningIndex"`
	} `json:"status"`
	Protocol protocol `json:"protocol"`
}

func (s *Source) info(ctx context.Context) (info, error) {
	var i info
	body, err := s.get(ctx, "/info", text, maxInfo)
	if err != nil {
		return i, err
	}
	if err := json.Unmarshal(body, &i); err != nil {
		return i, fmt.Errorf("%s: /info: %w", s.name, err)
	}
	if i.Protocol.NetworkName == "" {
		return i, fmt.Errorf("%s: /info names no network: not a node of this era", s.name)
	}
	if i.Status.Confirmed.Index > ledger.MaxSeq || i.Status.Pruning > ledger.MaxSeq {
		return i, fmt.Errorf("%s: /info names units beyond the protocol's range", s.name)
	}
	s.pruning.saw(i.Status.Pruning)
	return i, nil
}

// Info asks the node for its network and range. The newest unit is its confirmed milestone.
func (s *Source) Info(ctx context.Context) (ingest.Info, error) {
	i, err := s.info(ctx)
	if err != nil {
		return ingest.Info{}, err
	}
	return ingest.Info{
		Identity: i.Protocol.identity(), Name: i.Protocol.NetworkName,
		Software: strings.TrimSpace(i.Name + " " + i.Version),
		Oldest:   i.Status.Pruning + 1, Newest: i.Status.Confirmed.Index,
	}, nil
}

// Head returns the raw milestone payload of unit seq. Unknown and pruned ones are told apart.
func (s *Source) Head(ctx context.Context, seq uint64) ([]byte, error) {
	body, err := s.get(ctx, fmt.Sprintf("/milestones/by-index/%d", seq), raw, maxUnit)
	if errors.Is(err, ingest.ErrUnknown) && s.pruning.has(seq, func() error { _, err := s.info(ctx); return err }) {
		return nil, fmt.Errorf("%s: unit %d: %w", s.name, seq, ingest.ErrPruned)
	}
	return body, err
}

// Fetch returns the raw blocks that the node has. With an error it returns what came before.
func (s *Source) Fetch(ctx context.Context, ids []ledger.ID) ([][]byte, error) {
	found := make([][]byte, len(ids))
	err := s.each(ctx, ids, func(ctx context.Context, i int) error {
		body, err := s.get(ctx, "/blocks/0x"+ids[i].String(), raw, maxBlock)
		if errors.Is(err, ingest.ErrUnknown) {
			return nil
		}
		found[i] = body
		return err
	})
	out := found[:0]
	for _, b := range found {
		if b != nil {
			out = append(out, b)
		}
	}
	return out, err
}

// Cone cannot be answered: this API has no cone.
func (s *Source) Cone(context.Context, uint64) ([]byte, [][]byte, error) {
	return nil, nil, ingest.ErrCannot
}

// metadata is what a node claims of a block.
type metadata struct {
	BlockID    string  `json:"blockId"`
	Referenced uint64  `json:"referencedByMilestoneIndex"`
	State      string  `json:"ledgerInclusionState"`
	Reason     uint16  `json:"conflictReason"`
	Place      *uint32 `json:"whiteFlagIndex"`
}

// Claims returns the node's metadata of the blocks that it knows.
func (s *Source) Claims(ctx context.Context, _ uint64, ids []ledger.ID) (*ledger.NodeClaims, error) {
	found := make([]*ledger.Claimed, len(ids))
	err := s.each(ctx, ids, func(ctx context.Context, i int) error {
		path := "/blocks/0x" + ids[i].String() + "/metadata"
		body, err := s.get(ctx, path, text, maxMetadata)
		if errors.Is(err, ingest.ErrUnknown) {
			return nil
		}
		if err != nil {
			return err
		}
		var m metadata
		if err := json.Unmarshal(body, &m); err != nil {
			return fmt.Errorf("%s: %s: %w", s.name, path, err)
		}
		if !strings.EqualFold(m.BlockID, "0x"+ids[i].String()) {
			return fmt.Errorf("%s: %s: the answer is about another block", s.name, path)
		}
		found[i], err = m.claimed()
		return err
	})
	claims := &ledger.NodeClaims{Source: s.name, Records: make(map[ledger.ID]ledger.Claimed, len(ids))}
	for i, c := range found {
		if c != nil {
			claims.Records[ids[i]] = *c
		}
	}
	return claims, err
}

func (m metadata) claimed() (*ledger.Claimed, error) {
	c := &ledger.Claimed{Referenced: m.Referenced, Reason: m.Reason}
	if m.Place != nil {
		c.Place = uint64(*m.Place) + 1
	}
	switch m.State {
	case "included":
		c.State = ledger.Applied
	case "conflicting":
		c.State = ledger.Conflicting
	case "noTransaction":
		c.State = ledger.NoTransaction
	case "": // not confirmed
	default:
		return nil, fmt.Errorf("block %s: unknown inclusion state %q", m.BlockID, m.State)
	}
	return c, nil
}

// each calls one for every id, as many at a time as the node may be asked, until one fails.
func (s *Source) each(ctx context.Context, ids []ledger.ID, one func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(cap(s.slots))
	for i := range ids {
		g.Go(func() error { return one(ctx, i) })
	}
	return g.Wait()
}

// get returns the whole body of a 200 answer of the type that was asked for, at most limit bytes of it,
// within the deadline. 404 is ErrUnknown; anything else is a transport error.
func (s *Source) get(ctx context.Context, path, accept string, limit int64) (body []byte, err error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %s: %w", s.name, path, err)
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url.String()+base+path, nil)
	if err != nil {
		return nil, bare(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, bare(err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound:
		// Read to the end, so that the connection can be used again.
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4<<10))
		return nil, ingest.ErrUnknown
	case resp.StatusCode != http.StatusOK:
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4<<10))
		return nil, fmt.Errorf("the node answers %d", resp.StatusCode)
	case resp.Header.Get("Content-Encoding") != "":
		return nil, errors.New("the answer is packed although that was not asked for")
	case resp.ContentLength > limit:
		return nil, fmt.Errorf("the answer has %d bytes, at most %d are possible", resp.ContentLength, limit)
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != accept {
		return nil, fmt.Errorf("the answer is %.60q, %s was asked for", resp.Header.Get("Content-Type"), accept)
	}
	body, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("the answer ends after %d bytes: %w", len(body), err)
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("the answer has more than %d bytes", limit)
	}
	return body, nil
}

// bare takes the address, which may hold credentials, out of an error of net/http.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// protocol is the node's parameters, as /info and network.json have them.
type protocol struct {
	Version       uint8  `json:"version"`
	NetworkName   string `json:"networkName"`
	HRP           string `json:"bech32Hrp"`
	MinPoWScore   uint32 `json:"minPowScore"`
	BelowMaxDepth uint8  `json:"belowMaxDepth"`
	Rent          struct {
		VByteCost  uint32 `json:"vByteCost"`
		FactorData uint8  `json:"vByteFactorData"`
		FactorKey  uint8  `json:"vByteFactorKey"`
	} `json:"rentStructure"`
	Supply string `json:"tokenSupply"`
}

// identity is the network id: the first 8 bytes of BLAKE2b-256 of the name, little-endian, as decimal.
// Source: TIP-20, "Network ID".
func (p protocol) identity() string {
	sum := blake2b.Sum256([]byte(p.NetworkName))
	var id uint64
	for i := range 8 {
		id |= uint64(sum[i]) << (8 * i)
	}
	return fmt.Sprint(id)
}
