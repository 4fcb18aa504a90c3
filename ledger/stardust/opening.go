package stardust

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/big"
	"slices"

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
	for _, id := range slices.SortedFunc(maps.Keys(h.tokens), func(a, b FoundryID) int { return bytes.Compare(a[:], b[:]) }) {
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

// gatheredOutputs bounds the outputs whose owners are gathered in one pass over a snapshot, on average: about 200 bytes
// an address. Of a snapshot that holds more each pass gathers the addresses of one group.
var gatheredOutputs uint64 = 1 << 19

// groups returns how many passes the snapshot's outputs take.
func (w *writer) groups() uint64 {
	return 1 + (w.l.outputs+uint64(len(w.l.changed)))/gatheredOutputs
}

// gathering adds up what the addresses of one group hold.
type gathering struct {
	group, groups uint64
	owners        map[Address]*holding
}

func newGathering(group, groups uint64) *gathering {
	return &gathering{group: group, groups: groups, owners: make(map[Address]*holding)}
}

// of returns the holding of a, nil if it is of another group. Addresses are hashes, so the groups are of one size.
func (g *gathering) of(a Address) *holding {
	if binary.BigEndian.Uint64(a[1:])%g.groups != g.group {
		return nil
	}
	h := g.owners[a]
	if h == nil {
		h = new(holding)
		g.owners[a] = h
	}
	return h
}

// add takes an output of the snapshot. That the amounts are not more than 64 bits was checked when it was written.
func (g *gathering) add(o *loaded) error {
	if o.spent != 0 {
		return nil
	}
	if h := g.of(o.Output.owner()); h != nil {
		h.amount += o.Output.Amount
		h.tokens = addTokens(h.tokens, o.Output.Tokens)
	}
	for _, a := range o.Output.expiresBetween() {
		if h := g.of(a); h != nil {
			h.expiring = append(h.expiring, o.ID)
		}
	}
	return nil
}

// write hands the rows on, by address.
func (g *gathering) write(w *writer) {
	for _, a := range slices.SortedFunc(maps.Keys(g.owners), func(a, b Address) int { return bytes.Compare(a[:], b[:]) }) {
		if w.stopped {
			return
		}
		h := g.owners[a]
		slices.SortFunc(h.expiring, func(a, b OutputID) int { return bytes.Compare(a[:], b[:]) })
		w.put(ledger.Change{Key: openingKey(string(a[:])), Val: h.encode()})
	}
}

func (h *holding) sums() sums {
	s := sums{"": ledger.Coins(h.amount)}
	for id, sum := range h.tokens {
		s[string(id[:])] = ledger.BigAmount(sum)
	}
	return s
}
