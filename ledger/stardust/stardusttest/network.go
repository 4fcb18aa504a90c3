// Package stardusttest makes Stardust networks that can sign: a genesis snapshot, its trust file, and
// milestones with cones of any size, all a pure function of a seed. The recordings hold no private
// keys; so whatever only a key holder can do, honest or not, comes from here. Tests and benchmarks
// import it and nothing else does.
//
// A network knows what becomes of each block because it made it so, not by asking the code under test.
package stardusttest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"

	"permanode/ledger"
	"permanode/ledger/stardust"
)

// Options shape a network. The zero value is a small network of the recorded mix.
type Options struct {
	Seed     uint64
	Name     string // of the network, "stardusttest" if empty
	Blocks   int    // of a cone, beside the block of the milestone before; 20 if 0
	KeyCount int    // signatures a milestone needs; 2 if 0
	Rotation uint32 // milestone from which another key signs; 10 if 0. Ranges overlap for 3 milestones
	Receipts uint32 // every so many milestones one carries a receipt; 7 if 0
	Change   uint32 // milestone that announces other protocol parameters; 9 if 0
	Leases   int    // of 100 transactions so many make or take an output that expires; some hold all of 2^256-1 tokens
	Uneven   bool   // such outputs expire between milestones too
	History  bool   // keep what snapshot files of any milestone need
	// Text and Tag, if set, give what people write; a tag of no use here, and an empty text, are made otherwise.
	Text, Tag func(*rand.Rand) []byte
	Interval  uint32  // seconds from one milestone to the next; 10 if 0
	Corpus    *Corpus // traffic to search in, instead of the recorded mix; nil if none
}

const (
	accounts     = 64
	genesisCoins = 512
	supply       = 2_779_530_283_277_761
	treasury     = 1_000_000_000_000
	genesisTime  = 1_700_000_000
	second       = 10 // Interval if none is given
)

// Network makes one milestone after the other. It belongs to one goroutine.
type Network struct {
	opts       Options
	rng, lies  *rand.Rand
	parameters stardust.Parameters
	networkID  uint64
	signers    []signer
	accounts   []account

	genesis  []coin
	treasury stardust.TreasuryTx // milestone that made it, amount left

	index    uint32
	previous stardust.Hash
	block    []byte // of the milestone before, nil at first
	recent   []stardust.Hash
	wallet   wallet
	corpus   *corpus // nil without
	history  history
}

// signer is a coordinator key.
type signer struct {
	key        ed25519.PrivateKey
	start, end uint32
}

func (s *signer) public() [32]byte { return [32]byte(s.key.Public().(ed25519.PublicKey)) }

func (s *signer) applies(index uint32) bool {
	return s.start <= index && (s.end == 0 || index <= s.end)
}

// account owns outputs.
type account struct {
	key     ed25519.PrivateKey
	public  [32]byte
	address stardust.Address
}

// New returns a network before its first milestone.
func New(o Options) *Network {
	o.Name = orDefault(o.Name, "stardusttest")
	o.Blocks = orDefault(o.Blocks, 20)
	o.KeyCount = orDefault(o.KeyCount, 2)
	o.Rotation = orDefault(o.Rotation, 10)
	o.Receipts = orDefault(o.Receipts, 7)
	o.Change = orDefault(o.Change, 9)
	o.Interval = orDefault(o.Interval, second)
	n := &Network{
		opts: o, rng: rand.New(rand.NewPCG(o.Seed, 0x57a2d057)), lies: rand.New(rand.NewPCG(o.Seed, 0x11e5)),
		parameters: stardust.Parameters{
			Version: 2, Network: o.Name, HRP: "tst", MinPoWScore: 10, BelowMaxDepth: 15,
			VByteCost: 100, FactorData: 1, FactorKey: 10, Supply: supply,
		},
		treasury: stardust.TreasuryTx{Amount: treasury},
	}
	n.networkID = n.parameters.NetworkID()
	for i := range o.KeyCount + 2 { // the last one signs nothing honest: it makes other sets possible
		s := signer{key: n.key("coordinator", i)}
		switch i {
		case o.KeyCount - 1:
			s.end = o.Rotation + 2
		case o.KeyCount:
			s.start = o.Rotation
		}
		n.signers = append(n.signers, s)
	}
	for i := range accounts {
		a := account{key: n.key("account", i)}
		a.public = [32]byte(a.key.Public().(ed25519.PublicKey))
		h := stardust.H(a.public[:])
		copy(a.address[1:], h[:])
		n.accounts = append(n.accounts, a)
	}
	n.mint()
	n.corpus = newCorpus(n)
	return n
}

func orDefault[T comparable](v, otherwise T) T {
	var none T
	if v == none {
		return otherwise
	}
	return v
}

func (n *Network) key(what string, i int) ed25519.PrivateKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "%s %d %s %d", n.opts.Name, n.opts.Seed, what, i))
	return ed25519.NewKeyFromSeed(seed[:])
}

// mint makes the outputs of genesis, which hold all but the treasury.
func (n *Network) mint() {
	left := uint64(supply - treasury)
	for i := range genesisCoins {
		amount := uint64((supply - treasury) / genesisCoins)
		if i == genesisCoins-1 {
			amount = left
		}
		left -= amount
		var id stardust.OutputID
		h := stardust.H(fmt.Appendf(nil, "genesis %d", i))
		copy(id[:], h[:])
		n.genesis = append(n.genesis, coin{id: id, out: plain(amount, n.accounts[i%accounts].address), owner: i % accounts})
	}
	n.wallet.free = slices.Clone(n.genesis)
}

// Snapshot returns the full snapshot file of genesis.
func (n *Network) Snapshot() []byte {
	raw := stardust.AppendParameters(nil, n.first())
	out := stardust.AppendSnapshotHeader(nil, &stardust.SnapshotHeader{
		Full: true, TargetTime: genesisTime, Treasury: stardust.TreasuryTx{Amount: treasury},
		Parameters: &stardust.ParameterChange{Version: 2, Params: raw}, Outputs: genesisCoins, SEPs: 1,
	})
	for _, c := range n.genesis {
		out = stardust.AppendSnapshotOutput(out, &stardust.SnapshotOutput{ID: c.id, Time: genesisTime, Output: c.out})
	}
	return append(out, make([]byte, 32)...)
}

// first returns the parameters of genesis.
func (n *Network) first() *stardust.Parameters {
	p := n.parameters
	p.VByteCost = 100
	return &p
}

// Trust returns the network's trust file, with its snapshot.
func (n *Network) Trust() []byte {
	sum := sha256.Sum256(n.Snapshot())
	spec := stardust.TrustSpec{
		Parameters: stardust.AppendParameters(nil, n.first()), KeyCount: n.opts.KeyCount,
		Snapshot: []string{hex.EncodeToString(sum[:])},
	}
	for i := range n.signers {
		s := &n.signers[i]
		spec.Keys = append(spec.Keys, stardust.KeyRange{Key: s.public(), Start: uint64(s.start), End: uint64(s.end)})
	}
	raw, err := stardust.NewTrust(spec)
	if err != nil {
		panic(err) // the network is ours: only a fault of this package can bring this
	}
	return raw
}

// Outcome is what becomes of a block.
type Outcome struct {
	State  ledger.State
	Reason uint16
}

// Cone is one milestone with all that it confirms.
type Cone struct {
	Head      []byte // the milestone payload, as a source gives it
	Milestone *stardust.Milestone
	Block     []byte // that carries Head: a record of the next cone

	Raws              [][]byte // blocks in white-flag order
	IDs               []ledger.ID
	Outcomes          []Outcome
	Created, Consumed []ledger.ID // outputs, in that order
}

// Claims returns what an honest node says of the cone.
func (c *Cone) Claims() *ledger.NodeClaims {
	out := &ledger.NodeClaims{Source: "stardusttest", Records: make(map[ledger.ID]ledger.Claimed, len(c.IDs))}
	for i, id := range c.IDs {
		out.Records[id] = ledger.Claimed{
			Referenced: uint64(c.Milestone.Index), State: c.Outcomes[i].State, Reason: c.Outcomes[i].Reason,
		}
	}
	return out
}

// Next makes the next milestone. What it returned before it does not keep.
func (n *Network) Next() *Cone {
	n.index++
	b := n.begin()
	for b.made < n.opts.Blocks {
		b.step()
	}
	return b.confirm()
}

// Cones makes the next count milestones.
func (n *Network) Cones(count int) []*Cone {
	out := make([]*Cone, count)
	for i := range out {
		out[i] = n.Next()
	}
	return out
}

// time returns when the milestone being made confirms.
func (n *Network) time() uint32 { return genesisTime + n.opts.Interval*n.index }

func ledgerID(h stardust.Hash) ledger.ID { return ledger.NewID(h[:]) }

func (n *Network) bytes(count int) []byte {
	b := make([]byte, 0, count+8)
	for len(b) < count {
		b = binary.LittleEndian.AppendUint64(b, n.rng.Uint64())
	}
	return b[:count]
}
