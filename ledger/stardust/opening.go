package stardust

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"permanode/ledger"
)

// openingKey returns the key of what owner held when the span was opened; "" is that of the mark that such rows exist.
func openingKey(owner string) []byte { return append([]byte{stateOpening}, owner...) }

// holding is what one address held when the span was opened, as its outputs say that were not spent. Of those that
// expire the address that they belong to at first holds the amounts; they are listed for it and for the one that they
// go to.
type holding struct {
	amount   uint64
	tokens   map[FoundryID]*big.Int
	expiring []OutputID // ascending
}

func (h *holding) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, h.amount)
	b = binary.BigEndian.AppendUint32(b, uint32(len(h.tokens)))
	for _, id := range slices.SortedFunc(maps.Keys(h.tokens), func(a, b FoundryID) int { return strings.Compare(string(a[:]), string(b[:])) }) {
		sum := h.tokens[id].Bytes()
		b = append(append(append(b, id[:]...), byte(len(sum))), sum...)
	}
	for i := range h.expiring {
		b = append(b, h.expiring[i][:]...)
	}
	return b
}

func decodeHolding(b []byte) (h holding, err error) {
	bad := fmt.Errorf("%w: opening balance of %d bytes", errState, len(b))
	if len(b) < 12 {
		return h, bad
	}
	h.amount = binary.BigEndian.Uint64(b)
	n := binary.BigEndian.Uint32(b[8:])
	for b = b[12:]; n > 0; n-- {
		var id FoundryID
		if len(b) < len(id)+1 || len(b) < len(id)+1+int(b[len(id)]) {
			return h, bad
		}
		b = b[copy(id[:], b):]
		size := 1 + int(b[0])
		if h.tokens == nil {
			h.tokens = make(map[FoundryID]*big.Int)
		}
		h.tokens[id] = new(big.Int).SetBytes(b[1:size])
		b = b[size:]
	}
	if len(b)%len(OutputID{}) != 0 {
		return h, bad
	}
	for ; len(b) > 0; b = b[len(OutputID{}):] {
		h.expiring = append(h.expiring, OutputID(b))
	}
	return h, nil
}

func (h *holding) sums() sums {
	s := sums{"": ledger.Coins(h.amount)}
	for id, sum := range h.tokens {
		s[string(id[:])] = ledger.BigAmount(sum)
	}
	return s
}
