package stardust

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
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
	for e, err := range expiringOutputs(ctx, ids, state) {
		if err != nil {
			return nil, fmt.Errorf("balance of %s at unit %d: %w", Codec{}.FormatOwner(owner, t), seq, err)
		}
		if row, there := e.asOf(seq + 1); there && row.spent == unspent {
			sum.expired(Address([]byte(owner)), e.out, timeMs)
		}
	}
	return sum.list(), nil
}

// Expiries yields the outputs of owner, or that return to it, whose owner time changes.
func (Codec) Expiries(ctx context.Context, t ledger.Trust, owner string, seq uint64, expiring []ledger.Key,
	state func(context.Context, [][]byte) ([][]byte, error),
) iter.Seq2[ledger.Expiry, error] {
	return func(yield func(ledger.Expiry, error) bool) {
		h, err := openingOf(ctx, owner, seq, state)
		var ids []OutputID
		if err == nil {
			ids, err = expiringIDs(owner, h.expiring, expiring)
		}
		if err != nil {
			yield(ledger.Expiry{}, fmt.Errorf("what expires of %s at unit %d: %w", Codec{}.FormatOwner(owner, t), seq, err))
			return
		}
		for e, err := range expiringOutputs(ctx, ids, state) {
			if err != nil {
				yield(ledger.Expiry{}, fmt.Errorf("what expires of %s at unit %d: %w", Codec{}.FormatOwner(owner, t), seq, err))
				return
			}
			if !yield(e.expiry(), nil) {
				return
			}
		}
	}
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

// expired moves what an output holds if its owner is another one by then than its postings say.
func (s sums) expired(a Address, o *Output, timeMs int64) {
	first, last := o.owner(), o.ownerAt(timeMs/1000)
	if first == last {
		return
	}
	if first == a {
		s.output(o, -1)
	}
	if last == a {
		s.output(o, 1)
	}
}

// expiringOutput is an output that can expire, as the newest state has it.
type expiringOutput struct {
	id OutputID
	outputRow
	out *Output
}

// expiringOutputs reads outputs that can expire, in the order of ids.
func expiringOutputs(ctx context.Context, ids []OutputID, state func(context.Context, [][]byte) ([][]byte, error)) iter.Seq2[*expiringOutput, error] {
	return func(yield func(*expiringOutput, error) bool) {
		for len(ids) > 0 {
			batch := ids[:min(len(ids), besideBatch)]
			ids = ids[len(batch):]
			keys := make([][]byte, len(batch))
			for i := range batch {
				keys[i] = outputKey(batch[i])
			}
			rows, err := state(ctx, keys)
			if err != nil {
				yield(nil, err)
				return
			}
			for i, raw := range rows {
				e, err := newExpiringOutput(batch[i], raw)
				if !yield(e, err) || err != nil {
					return
				}
			}
		}
	}
}

func newExpiringOutput(id OutputID, raw []byte) (*expiringOutput, error) {
	if raw == nil {
		return nil, fmt.Errorf("%w: output %x, which can expire, is missing", errState, id)
	}
	row, err := decodeOutputRow(raw)
	if err != nil {
		return nil, fmt.Errorf("output %x: %w", id, err)
	}
	o, err := ParseOutput(row.raw)
	if err == nil && o.expiresBetween() == nil {
		err = errors.New("it cannot expire")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: output %x: %w", errState, id, err)
	}
	return &expiringOutput{id, row, o}, nil
}

func (e *expiringOutput) expiry() ledger.Expiry {
	between := e.out.expiresBetween()
	at, made := int64(e.out.condition(ConditionExpiration).Time), int64(e.booked)
	holds := sums{}
	holds.output(e.out, 1)
	x := ledger.Expiry{
		Output: string(e.id[:]), From: string(between[0][:]), To: string(between[1][:]),
		TimeMs: max(at, made) * 1000, Made: e.created, AtOnce: at <= made, Holds: holds.list(),
	}
	if e.spent != unspent {
		x.Spent, x.IsSpent = e.spent, true
	}
	return x
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

// ParseAsset reads a native token's id as hex of either case, with 0x or without.
func (Codec) ParseAsset(text string) (string, bool) {
	raw, err := hex.DecodeString(strings.TrimPrefix(strings.ToLower(text), "0x"))
	return string(raw), err == nil && len(raw) == len(FoundryID{})
}
