package hornet2

import (
	"context"
	"errors"
	"fmt"

	"permanode/ingest"
	"permanode/internal/wire/inx"
	"permanode/ledger/stardust"
)

// Trust makes a trust file from what the node is configured with: the coordinator's keys with their ranges, how many
// must sign, and the protocol parameters in force at the oldest milestone that it still has. Its newest milestone must
// be signed accordingly. snapshot is the SHA-256, hex, of snapshot files, if any. The result is UNCHECKED: whoever uses
// it compares the keys with the network's operator first.
func (n *INX) Trust(ctx context.Context, snapshot []string) ([]byte, error) {
	raw, err := n.trust(ctx, snapshot)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.name, err)
	}
	return raw, nil
}

func (n *INX) trust(ctx context.Context, snapshot []string) ([]byte, error) {
	raw, err := n.unary(ctx, inx.ReadNodeConfiguration, nil, maxInfo)
	if err != nil {
		return nil, fmt.Errorf("node configuration: %w", err)
	}
	c, err := inx.ParseConfiguration(raw)
	if err != nil {
		return nil, fmt.Errorf("node configuration: %w", err)
	}
	s, _, err := n.status(ctx)
	if err != nil {
		return nil, fmt.Errorf("node status: %w", err)
	}
	params, err := n.parameters(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("protocol parameters: %w", err)
	}
	spec := stardust.TrustSpec{Parameters: params, KeyCount: int(min(c.KeyCount, 256)), Snapshot: snapshot}
	for i := range c.Ranges {
		r := &c.Ranges[i]
		if len(r.Key) != 32 {
			return nil, fmt.Errorf("node configuration: a public key has %d bytes; 32 are expected", len(r.Key))
		}
		spec.Keys = append(spec.Keys, stardust.KeyRange{Key: [32]byte(r.Key), Start: uint64(r.Start), End: uint64(r.End)})
	}
	newest, err := n.head(ctx, uint64(s.Confirmed.Info.Index))
	if err != nil {
		return nil, fmt.Errorf("newest milestone: %w", err)
	}
	return stardust.TrustFromConfiguration(spec, newest)
}

// parameters returns those in force at the oldest milestone that the node has. A node that cannot say so any more gives
// the current ones.
func (n *INX) parameters(ctx context.Context, s *inx.Status) ([]byte, error) {
	question, err := askFor(prunedTo(s) + 1)
	if err != nil {
		return s.Parameters.Params, nil
	}
	raw, err := n.unary(ctx, inx.ReadProtocolParameters, question, maxInfo)
	if errors.Is(err, ingest.ErrUnknown) || errors.Is(err, ingest.ErrCannot) {
		return s.Parameters.Params, nil
	}
	if err != nil {
		return nil, err
	}
	p, err := inx.ParseParameters(raw)
	if err != nil {
		return nil, err
	}
	return p.Params, nil
}
