package stardust

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"permanode/ledger"
)

// besideBatch is how many outputs are read and held at a time.
const besideBatch = 256

// Beside returns what owner had in the snapshot that opened the span, and what outputs that are expired at timeMs and
// not spent at the end of unit seq give it, or take. Their nominal owner's postings still hold them.
func (Codec) Beside(ctx context.Context, t ledger.Trust, owner string, seq uint64, timeMs int64, expiring []ledger.Key,
	state func(context.Context, [][]byte) ([][]byte, error),
) ([]ledger.Holding, error) {
	if len(owner) != len(Address{}) {
		return nil, fmt.Errorf("balance at unit %d: an owner has %d bytes, not %d", seq, len(Address{}), len(owner))
	}
	h, err := openingOf(ctx, owner, seq, state)
	if err != nil {
		return nil, fmt.Errorf("balance of %s at unit %d: %w", Codec{}.FormatOwner(owner, t), seq, err)
	}
	ids, err := expiringIDs(owner, h.expiring, expiring)
	if err != nil {
		return nil, err
	}
	sum := h.sums()
	for len(ids) > 0 {
		n := min(len(ids), besideBatch)
		if err := sum.expired(ctx, Address([]byte(owner)), ids[:n], seq, timeMs, state); err != nil {
			return nil, fmt.Errorf("balance of %s at unit %d: %w", Codec{}.FormatOwner(owner, t), seq, err)
		}
		ids = ids[n:]
	}
	return sum.list(), nil
}

// openingOf reads what owner had when the span was opened, once it is certain that a ledger is held at unit seq.
func openingOf(ctx context.Context, owner string, seq uint64, state func(context.Context, [][]byte) ([][]byte, error)) (holding, error) {
	rows, err := state(ctx, [][]byte{totalsKey(seq), openingKey(""), openingKey(owner)})
	if err != nil {
		return holding{}, err
	}
	if rows[0] == nil {
		return holding{}, fmt.Errorf("%w at this unit", ledger.ErrNoLedger)
	}
	now, err := decodeTotals(rows[0])
	if err != nil {
		return holding{}, err
	}
	if !now.held || rows[1] == nil {
		return holding{}, fmt.Errorf("%w: the span was opened without a snapshot", ledger.ErrNoLedger)
	}
	if rows[2] == nil {
		return holding{}, nil
	}
	return decodeHolding(rows[2])
}

// expiringIDs joins the outputs of the snapshot with those of the keys, each once.
func expiringIDs(owner string, opening []OutputID, keys []ledger.Key) ([]OutputID, error) {
	ids := slices.Clone(opening)
	for _, k := range keys {
		id, ok := strings.CutPrefix(k.Val, owner)
		if !ok || k.Kind != ledger.KeyExpiry || len(id) != len(OutputID{}) {
			return nil, fmt.Errorf("key %d %x names no output of owner %x that can expire", k.Kind, k.Val, owner)
		}
		ids = append(ids, OutputID([]byte(id)))
	}
	slices.SortFunc(ids, func(a, b OutputID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(ids), nil
}

// sums are amounts by asset.
type sums map[string]ledger.Amount

func (s sums) list() []ledger.Holding {
	var out []ledger.Holding
	for asset, amount := range s {
		if amount.Sign() != 0 {
			out = append(out, ledger.Holding{Asset: asset, Amount: amount})
		}
	}
	slices.SortFunc(out, func(a, b ledger.Holding) int { return strings.Compare(a.Asset, b.Asset) })
	return out
}

// output adds what an output holds, or takes it off where sign is -1.
func (s sums) output(o *Output, sign int) {
	s[""] = s[""].Add(signed(ledger.Coins(o.Amount), sign))
	for i := range o.Tokens {
		asset := string(o.Tokens[i].ID[:])
		s[asset] = s[asset].Add(signed(ledger.BigAmount(o.Tokens[i].Amount), sign))
	}
}

// expired moves those of the outputs ids whose owner is another one by then than their postings say.
func (s sums) expired(ctx context.Context, a Address, ids []OutputID, seq uint64, timeMs int64,
	state func(context.Context, [][]byte) ([][]byte, error),
) error {
	keys := make([][]byte, len(ids))
	for i := range ids {
		keys[i] = outputKey(ids[i])
	}
	rows, err := state(ctx, keys)
	if err != nil {
		return err
	}
	for i, raw := range rows {
		if raw == nil {
			return fmt.Errorf("%w: output %x, which can expire, is missing", errState, ids[i])
		}
		row, err := decodeOutputRow(raw)
		if err != nil {
			return fmt.Errorf("output %x: %w", ids[i], err)
		}
		row, there := row.asOf(seq + 1)
		if !there || row.spent != unspent {
			continue
		}
		o, err := ParseOutput(row.raw)
		if err != nil {
			return fmt.Errorf("%w: output %x: %w", errState, ids[i], err)
		}
		first, last := o.owner(), o.ownerAt(timeMs/1000)
		if first == last {
			continue
		}
		if first == a {
			s.output(o, -1)
		}
		if last == a {
			s.output(o, 1)
		}
	}
	return nil
}

// FormatOwner writes an address in bech32 with the network's prefix, as hex where t is of another era.
func (Codec) FormatOwner(owner string, t ledger.Trust) string {
	rules, ok := t.Rules.(*Rules)
	if !ok || len(owner) != len(Address{}) {
		return hexText([]byte(owner))
	}
	return Address([]byte(owner)).Bech32(rules.genesis.HRP)
}

// FormatAsset writes a native token's id as hex.
func (Codec) FormatAsset(asset string) string {
	if asset == "" {
		return ""
	}
	return hexText([]byte(asset))
}
