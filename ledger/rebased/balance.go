package rebased

import (
	"context"
	"encoding/hex"
	"fmt"
	"iter"

	"permanode/ledger"
)

// Beside returns nothing: a ledger that is held begins empty, with checkpoint 0, and no coin's owner changes by time
// alone.
func (c Codec) Beside(ctx context.Context, t ledger.Trust, owner string, seq uint64, _ int64, _ []ledger.Key,
	state func(context.Context, [][]byte) ([][]byte, error),
) ([]ledger.Holding, error) {
	rows, err := state(ctx, [][]byte{[]byte(heldKey)})
	if err == nil && rows[0] == nil {
		err = fmt.Errorf("%w from checkpoint 0 on", ledger.ErrNoLedger)
	}
	if err != nil {
		return nil, fmt.Errorf("balance of %s at checkpoint %d: %w", c.FormatOwner(owner, t), seq, err)
	}
	return nil, nil
}

// Expiries yields nothing: no coin's owner changes by time alone.
func (Codec) Expiries(context.Context, ledger.Trust, string, uint64, []ledger.Key, func(context.Context, [][]byte) ([][]byte, error)) iter.Seq2[ledger.Expiry, error] {
	return func(func(ledger.Expiry, error) bool) {}
}

// FormatOwner writes an address in full.
func (Codec) FormatOwner(owner string, _ ledger.Trust) string {
	return "0x" + hex.EncodeToString([]byte(owner))
}

// FormatAsset returns the type T of Coin<T>, which is the asset.
func (Codec) FormatAsset(asset string) string { return asset }

// ParseAsset reads the type T of Coin<T> in any spelling.
func (Codec) ParseAsset(text string) (string, bool) {
	t, err := ParseType(text)
	if err != nil || t.Type != TypeStruct {
		return "", false
	}
	return assetOf(&t), true
}
