package hornet2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"permanode/ingest"
	"permanode/internal/wire/inx"
	"permanode/ledger"
)

// fewClaims is up to how many records are asked about one by one, without looking at their unit's whole cone.
const fewClaims = 8

// Claims returns the node's metadata of the blocks that it knows: of those that unit seq confirmed from the metadata
// of its cone, of others one by one.
func (n *INX) Claims(ctx context.Context, seq uint64, ids []ledger.ID) (*ledger.NodeClaims, error) {
	claims := &ledger.NodeClaims{Source: n.name, Records: make(map[ledger.ID]ledger.Claimed, len(ids))}
	rest, known := n.said.take(seq, ids, claims.Records)
	if !known && len(rest) > fewClaims {
		all, err := n.coneClaims(ctx, seq)
		switch {
		case err == nil:
			n.said.put(seq, all)
			rest, _ = n.said.take(seq, rest, claims.Records)
		case !errors.Is(err, ingest.ErrUnknown) && !errors.Is(err, ingest.ErrPruned) && !errors.Is(err, ingest.ErrCannot):
			return claims, fmt.Errorf("%s: metadata of unit %d: %w", n.name, seq, err)
		}
	}
	found := make([]*ledger.Claimed, len(rest))
	err := n.each(ctx, rest, func(ctx context.Context, i int) (err error) {
		found[i], err = n.claim(ctx, rest[i])
		return err
	})
	for i, c := range found {
		if c != nil {
			claims.Records[rest[i]] = *c
		}
	}
	return claims, err
}

// coneClaims returns the metadata of all that unit seq confirmed.
func (n *INX) coneClaims(ctx context.Context, seq uint64) (map[ledger.ID]ledger.Claimed, error) {
	question, err := askFor(seq)
	if err != nil {
		return nil, err
	}
	all, size := map[ledger.ID]ledger.Claimed{}, int64(0)
	err = n.stream(ctx, inx.ReadMilestoneConeMetadata, question, func(message []byte) error {
		m, err := inx.ParseMetadata(message)
		if err != nil {
			return err
		}
		if len(m.ID) != 32 {
			return fmt.Errorf("a block with an id of %d bytes", len(m.ID))
		}
		if size += blockCost; size > n.most {
			return fmt.Errorf("the cone has more than %d records", len(all))
		}
		c, err := claimed(m)
		if err == nil {
			all[ledger.NewID(m.ID)] = *c
		}
		return err
	})
	return all, n.sorry(ctx, seq, err)
}

// claim returns the metadata of one block, nil if the node does not know it.
func (n *INX) claim(ctx context.Context, id ledger.ID) (*ledger.Claimed, error) {
	raw, err := n.unary(ctx, inx.ReadBlockMetadata, inx.AppendWrapped(nil, id.Bytes()), maxMetadata)
	if errors.Is(err, ingest.ErrUnknown) {
		return nil, nil
	}
	var m *inx.Metadata
	if err == nil {
		m, err = inx.ParseMetadata(raw)
	}
	if err == nil && !bytes.Equal(m.ID, id.Bytes()) {
		err = errors.New("the answer is about another block")
	}
	var c *ledger.Claimed
	if err == nil {
		c, err = claimed(m)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: metadata of block %s: %w", n.name, id, err)
	}
	return c, nil
}

// claimed turns metadata into a claim. Zero means no transaction in a block that was confirmed, and nothing in others.
func claimed(m *inx.Metadata) (*ledger.Claimed, error) {
	if m.Referenced == 0 {
		return &ledger.Claimed{}, nil
	}
	c := &ledger.Claimed{Referenced: uint64(m.Referenced), Place: uint64(m.Place) + 1}
	switch m.State {
	case inx.NoTransaction:
		c.State = ledger.NoTransaction
	case inx.Included:
		c.State = ledger.Applied
	case inx.Conflicting:
		c.State = ledger.Conflicting
	default:
		return nil, fmt.Errorf("block %x: unknown inclusion state %d", m.ID, m.State)
	}
	if m.Reason > 255 {
		return nil, fmt.Errorf("block %x: conflict reason %d is beyond the protocol's range", m.ID, m.Reason)
	}
	c.Reason = uint16(m.Reason)
	return c, nil
}

// claimShelf keeps the claims about the records of the unit asked about last: a collector asks in portions. A claim is
// given once: what is asked for again is read again, since the first answer may have been a lie. It is safe for
// concurrent use.
type claimShelf struct {
	mu   sync.Mutex // guards what follows
	seq  uint64
	left map[ledger.ID]ledger.Claimed // nil if nothing is kept
}

func (s *claimShelf) put(seq uint64, all map[ledger.ID]ledger.Claimed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq, s.left = seq, all
}

// take moves the claims about ids to out and returns the ids that are not among those of unit seq, and whether that is
// known.
func (s *claimShelf) take(seq uint64, ids []ledger.ID, out map[ledger.ID]ledger.Claimed) (rest []ledger.ID, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left == nil || s.seq != seq {
		return ids, false
	}
	for _, id := range ids {
		c, ok := s.left[id]
		if !ok {
			rest = append(rest, id)
			continue
		}
		out[id] = c
		delete(s.left, id)
	}
	if len(s.left) == 0 {
		s.left = nil
	}
	return rest, true
}
