package rebased

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"

	"permanode/ledger"
)

// Committee is the validators of one epoch, checked: it can verify certificates. It is immutable and safe for
// concurrent use.
type Committee struct {
	Epoch   uint64
	Members []Validator // ascending by key
	Quorum  uint64      // least voting power that certifies

	points []bls.G2Affine // of Members: decoded, in the subgroup, none the identity
	all    bls.G2Jac      // their sum
}

// NewCommittee checks the members of an epoch's committee (spec 11): at least one, ascending by the bytes of their
// keys, no key twice, powers that add up to more than 0 and less than 2^64, and each key a point of the subgroup
// that is not the identity. That takes about 0.3 ms a member. Errors wrap [ledger.ErrSyntax] and name the member.
func NewCommittee(epoch uint64, members []Validator) (*Committee, error) {
	c := &Committee{Epoch: epoch, Members: members, points: make([]bls.G2Affine, len(members))}
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w committee of epoch %d: %s", ledger.ErrSyntax, epoch, fmt.Sprintf(format, args...))
	}
	var total uint64
	for i := range members {
		m := &members[i]
		if i > 0 {
			switch bytes.Compare(members[i-1].Key[:], m.Key[:]) {
			case 0:
				return nil, bad("members %d and %d have the same key", i-1, i)
			case 1:
				return nil, bad("the key of member %d stands behind that of member %d", i-1, i)
			}
		}
		sum, carry := bits.Add64(total, m.Power, 0)
		if carry != 0 {
			return nil, bad("the voting powers add up to more than 64 bits hold")
		}
		total = sum
	}
	if total == 0 {
		return nil, bad("no voting power")
	}
	for i := range members {
		if _, err := c.points[i].SetBytes(members[i].Key[:]); err != nil {
			return nil, bad("key of member %d: %v", i, err)
		}
		if c.points[i].IsInfinity() {
			return nil, bad("key of member %d is the identity", i)
		}
		c.all.AddMixed(&c.points[i])
	}
	c.Quorum = quorum(total)
	return c, nil
}

// quorum is the least voting power of more than two thirds of total, as the nodes count: 6,667 of 10,000.
func quorum(total uint64) uint64 { return (total-1)/3*2 + 1 }

// key returns the sum of the keys of signers, which ascend. Where most signed it takes the others from the sum of all.
func (c *Committee) key(signers []int) (key bls.G2Affine) {
	var sum bls.G2Jac
	if 2*len(signers) < len(c.points) {
		for _, i := range signers {
			sum.AddMixed(&c.points[i])
		}
		return *key.FromJacobian(&sum)
	}
	sum.Set(&c.all)
	next := 0
	for i := range c.points {
		if next < len(signers) && signers[next] == i {
			next++
			continue
		}
		var absent bls.G2Affine
		sum.AddMixed(absent.Neg(&c.points[i]))
	}
	return *key.FromJacobian(&sum)
}

// maxCommittees bounds a cache: a committee of 100 members holds 30 kB.
const maxCommittees = 64

// committees remembers checked committees, since decoding keys costs as much as many certificates. It is safe for
// concurrent use; the oldest goes first.
type committees struct {
	mu    sync.Mutex
	known map[[32]byte]*Committee
	order [][32]byte // ascending by age
}

// get returns the checked committee of an epoch.
func (c *committees) get(epoch uint64, members []Validator) (*Committee, error) {
	key := committeeHash(epoch, members)
	c.mu.Lock()
	have := c.known[key]
	c.mu.Unlock()
	if have != nil {
		return have, nil
	}
	fresh, err := NewCommittee(epoch, members)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if have := c.known[key]; have != nil {
		return have, nil // another goroutine was faster
	}
	if c.known == nil {
		c.known = make(map[[32]byte]*Committee)
	}
	if len(c.order) == maxCommittees {
		delete(c.known, c.order[0])
		c.order = append(c.order[:0], c.order[1:]...)
	}
	c.known[key], c.order = fresh, append(c.order, key)
	return fresh, nil
}

func committeeHash(epoch uint64, members []Validator) (key [32]byte) {
	h := sha256.New()
	var b [8]byte
	put := func(v uint64) {
		binary.LittleEndian.PutUint64(b[:], v)
		h.Write(b[:])
	}
	put(epoch)
	for i := range members {
		h.Write(members[i].Key[:])
		put(members[i].Power)
	}
	h.Sum(key[:0])
	return key
}
