package rebased

import (
	"encoding/binary"
	"strconv"

	"permanode/ledger"
)

// The era's state, key -> value. Rows are written once and never changed.
//
//	ledger                                -> nothing: checkpoint 0 is here, and all that follows; so the ledger is held
//	committee/<epoch, decimal>            -> BCS of the committee, as a closing summary has it
//	coin/ object id 32 B | version u64 BE -> owner 32 B | balance u64 LE | asset, text: only where the ledger is held
const (
	heldKey         = "ledger"
	committeePrefix = "committee/"
	coinPrefix      = "coin/"
)

func committeeKey(epoch uint64) []byte { return strconv.AppendUint([]byte(committeePrefix), epoch, 10) }

func coinKey(id ObjectID, version uint64) []byte {
	b := make([]byte, 0, len(coinPrefix)+len(id)+8)
	return binary.BigEndian.AppendUint64(append(append(b, coinPrefix...), id[:]...), version)
}

// coin is one version of a coin object that an address owns.
type coin struct {
	owner   Address
	asset   string // "" is the base coin, else the canonical text of T in Coin<T>
	balance uint64
}

// coinView returns one version of a coin, as sealed so far; false for what is no coin of an address. A nil view is
// that of a span that does not hold the ledger: nothing moves and nothing has a value.
type coinView func(id ObjectID, version uint64) (coin, bool)

func (c *coin) encode() []byte {
	b := make([]byte, 0, len(c.owner)+8+len(c.asset))
	b = binary.LittleEndian.AppendUint64(append(b, c.owner[:]...), c.balance)
	return append(b, c.asset...)
}

func decodeCoin(b []byte) (c coin, ok bool) {
	if len(b) < len(c.owner)+8 {
		return c, false
	}
	n := copy(c.owner[:], b)
	c.balance, c.asset = binary.LittleEndian.Uint64(b[n:]), string(b[n+8:])
	return c, true
}

// closingChange returns the committee that a closing summary gives; false for others.
func closingChange(s *Summary) (ledger.Change, bool) {
	if s.EndOfEpoch == nil {
		return ledger.Change{}, false
	}
	return ledger.Change{Key: committeeKey(s.Epoch + 1), Val: AppendValidators(nil, s.EndOfEpoch.Committee)}, true
}
