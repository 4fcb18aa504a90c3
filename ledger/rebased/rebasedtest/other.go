package rebasedtest

import "slices"

// Rewrapped returns the head of c with the certificate of another quorum: the same unit. Nil where no other one is
// found.
func (n *Network) Rewrapped(c *Checkpoint) []byte {
	d := c.clone()
	for range 20 {
		d.signers = d.signers[:0:0]
		for _, i := range n.lies.Perm(len(d.committee.keys)) {
			if d.committee.power(d.signers) < d.committee.quorum() {
				d.signers = append(d.signers, i)
			}
		}
		slices.Sort(d.signers)
		if !slices.Equal(d.signers, c.signers) {
			d.certify()
			return d.Head()
		}
	}
	return nil
}

// Other returns the head of another checkpoint with the number and the records of c, which a quorum signed too; nil
// for checkpoint 0.
func (n *Network) Other(c *Checkpoint) []byte {
	if c.Summary.Seq == 0 {
		return nil
	}
	d := c.clone()
	d.Summary.Gas.Storage += 1 + n.lies.Uint64N(1000)
	d.certify()
	return d.Head()
}

// NextOf returns the next checkpoint, with so many transactions of users in it.
func (n *Network) NextOf(transactions int) *Checkpoint {
	was := n.opts.Transactions
	defer func() { n.opts.Transactions = was }()
	n.opts.Transactions = transactions
	return n.Next()
}
