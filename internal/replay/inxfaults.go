package replay

import (
	"math/rand/v2"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"permanode/internal/wire/inx"
)

// INXAnswer is what a node is about to send for one call; of a live stream, for one unit. A fault changes it.
type INXAnswer struct {
	Method   string   // as in package inx
	Seq      uint64   // of the unit asked about, 0 in calls about none
	Messages [][]byte // in order
	Err      error    // the gRPC status that ends the call, once the messages are sent; nil is an orderly end
	Stall    bool     // once the messages are sent nothing more is, and the call does not end

	// Trickle, if it is set, gives one more message after the other until the client has enough.
	Trickle func() []byte

	// Other returns the honest messages for the same question about another unit.
	Other func(seq uint64) [][]byte
}

// INXFault makes a node late, broken or a liar. rng is the fault's own.
type INXFault func(a *INXAnswer, rng *rand.Rand)

// INXRule says which answers suffer a fault.
type INXRule struct {
	Method string  // as in package inx; "" is every method
	Seq    uint64  // only about this unit; 0 is every answer
	P      float64 // share of the matching answers; 0 means all
	Do     INXFault
}

func (r *INXRule) fits(a *INXAnswer) bool {
	return (r.Method == "" || r.Method == a.Method) && (r.Seq == 0 || r.Seq == a.Seq)
}

// part keeps the first messages, up to a random one.
func part(a *INXAnswer, rng *rand.Rand) { a.Messages = a.Messages[:rng.IntN(len(a.Messages)+1)] }

// INXCut breaks off: the call fails as when the node ends.
func INXCut(a *INXAnswer, rng *rand.Rand) {
	part(a, rng)
	a.Err = status.Error(codes.Unavailable, "error reading from server: EOF")
}

// INXEnd ends in the middle as if that were all. Unary calls fail then.
func INXEnd(a *INXAnswer, rng *rand.Rand) { part(a, rng) }

// INXStall falls silent in the middle.
func INXStall(a *INXAnswer, rng *rand.Rand) {
	part(a, rng)
	a.Stall = true
}

// INXRefuse answers with a status and nothing else.
func INXRefuse(code codes.Code) INXFault {
	return func(a *INXAnswer, _ *rand.Rand) {
		a.Messages, a.Err = nil, status.Error(code, code.String())
	}
}

// INXShuffle sends the messages in another order.
func INXShuffle(a *INXAnswer, rng *rand.Rand) {
	a.Messages = slices.Clone(a.Messages)
	rng.Shuffle(len(a.Messages), func(i, j int) { a.Messages[i], a.Messages[j] = a.Messages[j], a.Messages[i] })
}

// INXDrop leaves a message out.
func INXDrop(a *INXAnswer, rng *rand.Rand) {
	if n := len(a.Messages); n > 0 {
		i := rng.IntN(n)
		a.Messages = slices.Delete(slices.Clone(a.Messages), i, i+1)
	}
}

// INXDouble sends a message twice.
func INXDouble(a *INXAnswer, rng *rand.Rand) {
	if n := len(a.Messages); n > 0 {
		a.Messages = slices.Insert(slices.Clone(a.Messages), rng.IntN(n+1), a.Messages[rng.IntN(n)])
	}
}

// INXForeign puts a message of another unit's answer among the messages.
func INXForeign(unit func(seq uint64) uint64) INXFault {
	return func(a *INXAnswer, rng *rand.Rand) {
		if other := a.Other(unit(a.Seq)); len(other) > 0 {
			a.Messages = slices.Insert(slices.Clone(a.Messages), rng.IntN(len(a.Messages)+1), other[rng.IntN(len(other))])
		}
	}
}

// INXInstead answers about another unit.
func INXInstead(unit func(seq uint64) uint64) INXFault {
	return func(a *INXAnswer, _ *rand.Rand) {
		if other := a.Other(unit(a.Seq)); len(other) > 0 {
			a.Messages = other
		}
	}
}

// INXFlip changes one random bit of a message.
func INXFlip(a *INXAnswer, rng *rand.Rand) {
	change(a, rng, func(m []byte) []byte {
		if len(m) > 0 {
			m[rng.IntN(len(m))] ^= 1 << rng.IntN(8)
		}
		return m
	})
}

// INXFlipBlock changes one random bit of a block inside its message.
func INXFlipBlock(a *INXAnswer, rng *rand.Rand) {
	change(a, rng, func(m []byte) []byte {
		b, err := inx.ParseBlock(m)
		if err != nil || len(b.Raw) == 0 {
			return m
		}
		b.Raw[rng.IntN(len(b.Raw))] ^= 1 << rng.IntN(8)
		return b.Append(nil)
	})
}

func change(a *INXAnswer, rng *rand.Rand, do func(m []byte) []byte) {
	if n := len(a.Messages); n > 0 {
		i := rng.IntN(n)
		a.Messages = slices.Clone(a.Messages)
		a.Messages[i] = do(slices.Clone(a.Messages[i]))
	}
}

// INXMetadata edits the metadata in all messages that hold some.
func INXMetadata(edit func(m *inx.Metadata, rng *rand.Rand)) INXFault {
	return func(a *INXAnswer, rng *rand.Rand) {
		a.Messages = slices.Clone(a.Messages)
		for i, message := range a.Messages {
			switch a.Method {
			case inx.ReadMilestoneCone:
				if b, err := inx.ParseBlock(message); err == nil && b.Metadata != nil {
					edit(b.Metadata, rng)
					a.Messages[i] = b.Append(nil)
				}
			case inx.ReadMilestoneConeMetadata, inx.ReadBlockMetadata:
				if m, err := inx.ParseMetadata(message); err == nil {
					edit(m, rng)
					a.Messages[i] = m.Append(nil)
				}
			}
		}
	}
}

// INXStatus edits what the node says of itself.
func INXStatus(edit func(s *inx.Status)) INXRule {
	return INXRule{Method: inx.ReadNodeStatus, Do: func(a *INXAnswer, _ *rand.Rand) {
		for i, message := range a.Messages {
			if s, err := inx.ParseStatus(message); err == nil {
				edit(s)
				a.Messages = slices.Clone(a.Messages)
				a.Messages[i] = s.Append(nil)
			}
		}
	}}
}
