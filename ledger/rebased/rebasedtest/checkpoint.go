package rebasedtest

import (
	"slices"

	"permanode/ledger/rebased"
)

// Checkpoint is one checkpoint in pieces: whoever holds the keys can put them together in another way.
type Checkpoint struct {
	Summary rebased.Summary
	Records []Record

	committee *committee // of its epoch
	signers   []int
	cert      rebased.Certificate
}

// checkpoint closes a checkpoint and goes on to the next.
func (n *Network) checkpoint(records []Record) *Checkpoint {
	n.total += uint64(len(records))
	c := &Checkpoint{Records: records, committee: &n.committees[n.epoch], Summary: rebased.Summary{
		Epoch: n.epoch, Seq: n.seq, Total: n.total, Previous: n.previous, TimeMs: n.time, Specific: []byte{0, 0},
		Gas: rebased.GasCost{Computation: 1000 * n.seq, ComputationBurned: 1000 * n.seq, Storage: 5, StorageRebate: 3, NonRefundable: 1},
	}}
	c.signers = n.quorumOf(c.committee)
	if (n.seq+1)%n.opts.Epoch == 0 {
		n.committees = append(n.committees, n.elect())
		c.committee = &n.committees[n.epoch]
		next := &n.committees[n.epoch+1]
		c.Summary.EndOfEpoch = &rebased.EndOfEpochData{
			Committee: next.members(), ProtocolVersion: 30, SupplyChange: -5,
			Commitments: []rebased.Commitment{{Digest: rebased.Digest(n.bytes(32))}},
		}
		n.epoch++
	}
	c.seal()
	digest := c.digest()
	n.previous = &digest
	n.seq++
	n.time += interval
	return c
}

// Contents returns the contents that list the records.
func (c *Checkpoint) Contents() []byte {
	var list rebased.Contents
	for i := range c.Records {
		r := &c.Records[i]
		list.Transactions = append(list.Transactions, rebased.ExecutionDigests{Transaction: r.Digest(), Effects: rebased.EffectsDigest(r.Effects)})
		list.Signatures = append(list.Signatures, r.Listed)
	}
	return rebased.AppendContents(nil, &list)
}

// seal has the summary name the contents, and signs it.
func (c *Checkpoint) seal() {
	c.Summary.Content = rebased.ContentsDigest(c.Contents())
	c.certify()
}

// certify signs the summary by the signers, whoever they are.
func (c *Checkpoint) certify() {
	epoch := c.Summary.Epoch
	c.cert = rebased.Certificate{
		Epoch: epoch, Signers: rebased.AppendSigners(nil, c.signers),
		Signature: c.committee.sign(c.signers, rebased.SigningMessage(c.header(), epoch)),
	}
}

func (c *Checkpoint) header() []byte { return rebased.AppendSummary(nil, &c.Summary) }

func (c *Checkpoint) digest() rebased.Digest { return rebased.CheckpointDigest(c.header()) }

// Head returns the certified summary and the contents.
func (c *Checkpoint) Head() []byte {
	return slices.Concat(c.header(), rebased.AppendCertificate(nil, &c.cert), c.Contents())
}

// Raws returns the records as sources give them.
func (c *Checkpoint) Raws() (out [][]byte) {
	for i := range c.Records {
		out = append(out, c.Records[i].Raw())
	}
	return out
}

// File returns the checkpoint file, bare.
func (c *Checkpoint) File() []byte {
	raw, err := rebased.JoinCheckpoint(c.Head(), c.Raws())
	if err != nil {
		panic(err) // its own raws
	}
	return raw
}

// clone returns a copy whose pieces can be replaced; bytes are shared.
func (c *Checkpoint) clone() *Checkpoint {
	d := *c
	if e := c.Summary.EndOfEpoch; e != nil {
		end := *e
		end.Committee = slices.Clone(e.Committee)
		d.Summary.EndOfEpoch = &end
	}
	d.Records = make([]Record, len(c.Records))
	for i := range c.Records {
		d.Records[i] = c.Records[i].clone()
	}
	return &d
}
