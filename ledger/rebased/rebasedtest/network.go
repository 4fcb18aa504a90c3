// Package rebasedtest makes Rebased networks that can sign: genesis with migrated outputs, committees that change,
// users of every signature scheme, coins with balances that add up, notarizations, audit trails, failures, and what
// the network does itself, all a pure function of a seed. Vectors hold only a few checkpoints; whatever only a key
// holder can do, honest or not, comes from here. Tests and benchmarks import it and nothing else does.
//
// A network knows what becomes of each record because it made it so, not by asking the code under test. It uses the
// encoders and digests of package rebased, which the vectors prove.
package rebasedtest

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"strconv"

	"permanode/ledger/rebased"
)

// Options shape a network. The zero value is a small network of everything but forms of the future.
type Options struct {
	Seed         uint64
	Transactions int        // of users in a checkpoint; 6 if 0, none if negative
	Validators   int        // in a committee; 4 if 0
	Epoch        uint64     // checkpoints of an epoch; 8 if 0
	Unknown      uint64     // every so many checkpoints hold a record of a form that nobody knows; 0: none
	Migrated     [][34]byte // Stardust outputs that became coins in checkpoint 0
	// Text and Tag, if set, give what people write: valid UTF-8. An empty one is made otherwise.
	Text, Tag func(*rand.Rand) string
}

const (
	accounts    = 21
	genesisCoin = 1_000_000_000_000_000
	genesisTime = 1_747_000_000_000
	interval    = 200 // ms from one checkpoint to the next
)

// Network makes one checkpoint after the other. It belongs to one goroutine.
type Network struct {
	opts       Options
	rng, lies  *rand.Rand
	validators []validator
	committees []committee // by epoch
	accounts   []*account
	genesis    rebased.Digest
	waiting    *Checkpoint // checkpoint 0, until it is asked for

	seq, epoch, total, time uint64
	previous                *rebased.Digest
	system                  map[rebased.ObjectID]*object
	closing                 int // epochs closed

	balances map[holding]uint64
}

// holding is what an address owns of an asset: "" is the base coin, else the text of T in Coin<T>.
type holding struct {
	Owner rebased.Address
	Asset string
}

// New returns a network before its checkpoint 0.
func New(o Options) *Network {
	o.Transactions = orDefault(o.Transactions, 6)
	o.Validators = orDefault(o.Validators, 4)
	o.Epoch = orDefault(o.Epoch, 8)
	n := &Network{
		opts: o, rng: rand.New(rand.NewPCG(o.Seed, 0x4eba5ed)), lies: rand.New(rand.NewPCG(o.Seed, 0x11e5)),
		time: genesisTime, system: map[rebased.ObjectID]*object{}, balances: map[holding]uint64{},
	}
	for i := range o.Validators + 3 {
		n.validators = append(n.validators, newValidator(o.Seed, i))
	}
	n.committees = append(n.committees, n.elect())
	for i := range accounts {
		n.accounts = append(n.accounts, newAccount(o.Seed, i))
	}
	n.waiting = n.checkpoint(n.genesisRecords())
	n.genesis = *n.previous
	return n
}

func orDefault[T comparable](v, otherwise T) T {
	var none T
	if v == none {
		return otherwise
	}
	return v
}

// Trust returns the network's trust file.
func (n *Network) Trust() []byte {
	raw, err := rebased.NewTrust(rebased.TrustSpec{Genesis: n.genesis, Epoch: 0, Members: n.committees[0].members()})
	if err != nil {
		panic(err) // a network of this package is honest
	}
	return raw
}

// CommitteeFile returns committee_epoch0.json as it lies beside checkpoint files.
func (n *Network) CommitteeFile() []byte {
	file := struct {
		Epoch      string      `json:"epoch"`
		Genesis    string      `json:"genesis_checkpoint_digest"`
		Validators [][2]string `json:"validators"`
	}{Epoch: "0", Genesis: n.genesis.String()}
	for _, m := range n.committees[0].members() {
		key := base64.StdEncoding.EncodeToString(m.Key[:])
		file.Validators = append(file.Validators, [2]string{key, strconv.FormatUint(m.Power, 10)})
	}
	raw, err := json.Marshal(file)
	if err != nil {
		panic(err) // strings only
	}
	return raw
}

// Balance returns what an address owns of an asset after the last checkpoint: "" is the base coin, else the text of T
// in Coin<T>. Coins inside of other objects are nobody's.
func (n *Network) Balance(owner rebased.Address, asset string) uint64 {
	return n.balances[holding{owner, asset}]
}

// Addresses returns the network's users.
func (n *Network) Addresses() (out []rebased.Address) {
	for _, a := range n.accounts {
		out = append(out, a.address)
	}
	return out
}

// Assets returns what their coins are of.
func (n *Network) Assets() []string { return []string{"", tokenTag.String()} }

// Next returns the next checkpoint, which is good.
func (n *Network) Next() *Checkpoint {
	if c := n.waiting; c != nil {
		n.waiting = nil
		return c
	}
	n.time += interval * n.rng.Uint64N(2) // times repeat
	records := []Record{n.prologue()}
	if n.rng.IntN(3) == 0 {
		records = append(records, n.randomness())
	}
	if n.rng.IntN(7) == 0 {
		records = append(records, n.authenticator())
	}
	for range max(0, n.opts.Transactions) {
		records = append(records, n.user())
	}
	if n.opts.Unknown > 0 && n.seq%n.opts.Unknown == 0 {
		records = append(records, n.unknown())
	}
	if (n.seq+1)%n.opts.Epoch == 0 {
		records = append(records, n.endOfEpoch())
	}
	return n.checkpoint(records)
}

func (n *Network) bytes(size int) []byte {
	b := make([]byte, size+8)
	for i := 0; i < size; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], n.rng.Uint64())
	}
	return b[:size:size]
}

func (n *Network) account() *account { return n.accounts[n.rng.IntN(len(n.accounts))] }
