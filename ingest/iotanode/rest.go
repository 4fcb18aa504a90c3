package iotanode

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"sync"

	"github.com/mr-tron/base58"

	"permanode/ingest"
)

const (
	restBase = "/api/v1"
	bcsType  = "application/bcs"

	// What the answers of a node say of it, whatever was asked.
	headerChainID = "X-Iota-Chain-Id"
	headerChain   = "X-Iota-Chain"
	headerHeight  = "X-Iota-Checkpoint-Height"
	headerLowest  = "X-Iota-Lowest-Available-Checkpoint"
	headerObjects = "X-Iota-Lowest-Available-Checkpoint-Objects"
	headerServer  = "X-Iota-Server"
)

// maxSummary is a certified summary with a committee of four thousand members.
const maxSummary = 512 << 10

// REST is a node's REST API, which nodes before release 1.21 have. It is safe for concurrent use.
type REST struct {
	whole
	cfg Config
	web *web

	mu   sync.Mutex // guards what follows
	said nodeInfo
}

// nodeInfo is what a node says of itself, on either API.
type nodeInfo struct {
	identity, begin string
	chain, server   string
	height          *uint64
	lowest          uint64 // of whole checkpoints: with objects
}

func (n nodeInfo) info() ingest.Info {
	i := ingest.Info{Identity: n.identity, Begin: n.begin, Name: n.chain, Software: n.server, Oldest: n.lowest}
	if n.height != nil {
		i.Newest = *n.height
	}
	return i
}

// NewREST returns the node at c.Address, an http(s) URL. It does not connect.
func NewREST(c Config) (*REST, error) {
	c = c.withDefaults()
	w, err := newWeb(c, restBase)
	if err != nil {
		return nil, err
	}
	r := &REST{cfg: c, web: w}
	w.headers = r.hear
	r.name, r.shelf.limit, r.load = w.name, c.Window, r.read
	return r, nil
}

// Close drops idle connections.
func (r *REST) Close() error {
	r.web.close()
	return nil
}

// hear keeps what an answer says of the node.
func (r *REST) hear(h http.Header) {
	height, err := strconv.ParseUint(h.Get(headerHeight), 10, 64)
	if err != nil {
		return // some proxy speaks
	}
	n := nodeInfo{chain: h.Get(headerChain), server: h.Get(headerServer), height: &height}
	n.identity, n.begin = chainID(h.Get(headerChainID))
	for _, name := range []string{headerLowest, headerObjects} {
		if v, err := strconv.ParseUint(h.Get(name), 10, 64); err == nil {
			n.lowest = max(n.lowest, v)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = n
}

var shortChainID = regexp.MustCompile(`^[0-9a-f]{8}$`)

// chainID reads a chain id: the digest of checkpoint 0 as base58, or the hex of its first 4 bytes.
func chainID(text string) (identity, begin string) {
	if shortChainID.MatchString(text) {
		return "", text
	}
	if digest, err := base58.Decode(text); err == nil && len(digest) == 32 {
		return hex.EncodeToString(digest), ""
	}
	return "", ""
}

func (r *REST) heard() nodeInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said
}

// Info asks for checkpoint 0: whatever the answer, its headers say what the node has.
func (r *REST) Info(ctx context.Context) (ingest.Info, error) {
	r.mu.Lock()
	r.said = nodeInfo{}
	r.mu.Unlock()
	_, err := r.web.get(ctx, "/checkpoints/0", bcsType, maxSummary)
	if err != nil && !errors.Is(err, ingest.ErrUnknown) && !errors.Is(err, ingest.ErrPruned) {
		return ingest.Info{}, fmt.Errorf("%s: %w", r.name, err)
	}
	n := r.heard()
	if n.height == nil {
		return ingest.Info{}, fmt.Errorf("%s: the answer has no header %s: not a node of this era", r.name, headerHeight)
	}
	return n.info(), nil
}

func (r *REST) read(ctx context.Context, seq uint64) (*cone, error) {
	raw, err := r.web.get(ctx, fmt.Sprintf("/checkpoints/%d/full", seq), bcsType, r.cfg.limit(seq))
	if errors.Is(err, ingest.ErrUnknown) && seq < r.heard().lowest {
		return nil, ingest.ErrPruned
	}
	if err != nil {
		return nil, err
	}
	return splitFile(raw)
}
