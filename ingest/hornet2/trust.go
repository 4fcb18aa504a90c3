package hornet2

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"permanode/ingest"
	"permanode/ledger/stardust"
)

// oldestTries is how many units above pruningIndex are tried: the node may be pruning.
const oldestTries = 32

// Trust makes a trust file from what the node says of its network and the signers seen in its oldest and
// newest milestone: this API names no keys. snapshot is the SHA-256, hex, of snapshot files, if any. The
// result is UNCHECKED: whoever uses it compares the keys with the network's operator first.
func (s *Source) Trust(ctx context.Context, snapshot []string) ([]byte, error) {
	body, err := s.get(ctx, "/info", text, maxInfo)
	if err != nil {
		return nil, err
	}
	var i info
	if err := json.Unmarshal(body, &i); err != nil {
		return nil, fmt.Errorf("%s: /info: %w", s.name, err)
	}
	newest, err := s.Head(ctx, i.Status.Confirmed.Index)
	if err != nil {
		return nil, fmt.Errorf("newest milestone: %w", err)
	}
	oldest, err := s.oldest(ctx, i.Status.Pruning, i.Status.Confirmed.Index)
	if err != nil {
		return nil, fmt.Errorf("oldest milestone: %w", err)
	}
	raw, err := stardust.TrustFromNode(body, snapshot, oldest, newest)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	return raw, nil
}

func (s *Source) oldest(ctx context.Context, pruned, newest uint64) (head []byte, err error) {
	for seq := pruned + 1; seq <= newest && seq <= pruned+oldestTries; seq++ {
		head, err = s.Head(ctx, seq)
		if !errors.Is(err, ingest.ErrUnknown) && !errors.Is(err, ingest.ErrPruned) {
			return head, err
		}
	}
	if err == nil {
		err = ingest.ErrUnknown
	}
	return nil, err
}
