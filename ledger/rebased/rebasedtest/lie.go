package rebasedtest

import (
	"bytes"
	"encoding/binary"
	"slices"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"

	"permanode/ledger/rebased"
)

// A Lie is a checkpoint that is not true in one way.
type Lie struct {
	Name string
	// Codes are those that it can be refused with: "mismatch" stands for bytes that nobody asked for, "syntax" for
	// bytes that are malformed, "missing" for a record that is not there.
	Codes []string
	tell  func(n *Network, c *Checkpoint) *Told
}

// Told is a lie as a source tells it.
type Told struct {
	Head []byte
	Raws [][]byte
}

// Tell returns the lie told of c, which stays as it is; nil where it cannot be told of it. Each call may differ.
func (l *Lie) Tell(n *Network, c *Checkpoint) *Told { return l.tell(n, c.clone()) }

func told(c *Checkpoint) *Told { return &Told{c.Head(), c.Raws()} }

// UnitLies are about the checkpoint itself and its certificate (T-L4, T-L6): many of them only key holders can tell.
var UnitLies = []Lie{
	{"quorum minus one", []string{"unit.threshold"}, func(n *Network, c *Checkpoint) *Told {
		c.signers = n.tooFew(c.committee)
		if len(c.signers) == 0 {
			return nil
		}
		c.certify()
		return told(c)
	}},
	{"nobody signed", []string{"unit.signers"}, func(_ *Network, c *Checkpoint) *Told {
		c.cert.Signers = rebased.AppendSigners(nil, nil)
		return told(c)
	}},
	{"a signer repeated", []string{"unit.signers"}, func(n *Network, c *Checkpoint) *Told {
		i := n.lies.IntN(len(c.signers))
		c.cert.Signers = rebased.AppendSigners(nil, slices.Insert(slices.Clone(c.signers), i, c.signers[i]))
		return told(c)
	}},
	{"signers out of order", []string{"unit.signers"}, func(_ *Network, c *Checkpoint) *Told {
		if len(c.signers) < 2 {
			return nil
		}
		list := slices.Clone(c.signers)
		slices.Reverse(list)
		c.cert.Signers = rebased.AppendSigners(nil, list)
		return told(c)
	}},
	{"signer beyond the committee", []string{"unit.signers"}, func(n *Network, c *Checkpoint) *Told {
		c.cert.Signers = rebased.AppendSigners(nil, append(slices.Clone(c.signers), len(c.committee.keys)+n.lies.IntN(60000)))
		return told(c)
	}},
	{"bitmap with more behind", []string{"unit.signers"}, func(_ *Network, c *Checkpoint) *Told {
		c.cert.Signers = append(c.cert.Signers, 0)
		return told(c)
	}},
	{"bitmap cut", []string{"unit.signers"}, func(n *Network, c *Checkpoint) *Told {
		c.cert.Signers = c.cert.Signers[:n.lies.IntN(len(c.cert.Signers))]
		return told(c)
	}},
	{"signer added", []string{"unit.signature"}, func(n *Network, c *Checkpoint) *Told {
		i := n.lies.IntN(len(c.committee.keys))
		if slices.Contains(c.signers, i) {
			return nil
		}
		list := append(slices.Clone(c.signers), i)
		slices.Sort(list)
		c.cert.Signers = rebased.AppendSigners(nil, list)
		return told(c)
	}},
	{"signer exchanged", []string{"unit.signature", "unit.threshold"}, func(n *Network, c *Checkpoint) *Told {
		i := n.lies.IntN(len(c.committee.keys))
		if slices.Contains(c.signers, i) {
			return nil
		}
		list := slices.Clone(c.signers)
		list[n.lies.IntN(len(list))] = i
		slices.Sort(list)
		c.cert.Signers = rebased.AppendSigners(nil, list)
		return told(c)
	}},
	{"certificate of another epoch", []string{"unit.epoch"}, func(n *Network, c *Checkpoint) *Told {
		c.cert.Epoch += 1 + n.lies.Uint64N(3)
		return told(c)
	}},
	{"summary of the next epoch", []string{"unit.epoch"}, func(_ *Network, c *Checkpoint) *Told {
		if c.Summary.Seq == 0 {
			return nil
		}
		c.Summary.Epoch++
		c.certify()
		return told(c)
	}},
	{"another committee signs", []string{"unit.signature"}, func(n *Network, c *Checkpoint) *Told {
		stranger := n.strangers()
		c.cert.Signature = stranger.sign(c.signers, rebased.SigningMessage(c.header(), c.Summary.Epoch))
		return told(c)
	}},
	{"committee swapped at the end of an epoch", []string{"unit.signature"}, func(n *Network, c *Checkpoint) *Told {
		if c.Summary.EndOfEpoch == nil {
			return nil
		}
		stranger := n.strangers()
		c.Summary.EndOfEpoch.Committee = stranger.members()
		return told(c)
	}},
	{"power moved at the end of an epoch", []string{"unit.signature"}, func(n *Network, c *Checkpoint) *Told {
		if c.Summary.EndOfEpoch == nil {
			return nil
		}
		c.Summary.EndOfEpoch.Committee[n.lies.IntN(len(c.committee.keys))].Power += 1 + n.lies.Uint64N(5000)
		return told(c)
	}},
	{"end of the epoch left out", []string{"unit.signature"}, func(_ *Network, c *Checkpoint) *Told {
		if c.Summary.EndOfEpoch == nil {
			return nil
		}
		c.Summary.EndOfEpoch = nil
		return told(c)
	}},
	{"committee that cannot be", []string{"committee.bad"}, func(n *Network, c *Checkpoint) *Told {
		if c.Summary.EndOfEpoch == nil {
			return nil
		}
		list := c.Summary.EndOfEpoch.Committee
		i := n.lies.IntN(len(list))
		switch n.lies.IntN(6) {
		case 0:
			list = nil
		case 1:
			list = append(list, list[len(list)-1]) // a key twice
		case 2:
			if len(list) < 2 {
				return nil
			}
			slices.Reverse(list)
		case 3:
			list[i].Key = [96]byte{0: 0xc0} // the identity
		case 4:
			list[i].Power = 1<<64 - 1
			if len(list) < 2 {
				return nil
			}
		case 5:
			list[i].Key = n.wrongKey()
		}
		c.Summary.EndOfEpoch.Committee = list
		c.certify()
		return told(c)
	}},
	{"signature off the curve", []string{"unit.signature"}, func(n *Network, c *Checkpoint) *Told {
		c.cert.Signature = n.point(func(p *bls.G1Affine, err error) bool { return err != nil && !p.IsOnCurve() })
		return told(c)
	}},
	{"signature outside of the group", []string{"unit.signature"}, func(n *Network, c *Checkpoint) *Told {
		c.cert.Signature = n.point(func(p *bls.G1Affine, err error) bool { return err != nil && p.IsOnCurve() })
		return told(c)
	}},
	{"signature is the identity", []string{"unit.signature"}, func(_ *Network, c *Checkpoint) *Told {
		c.cert.Signature = [48]byte{0: 0xc0}
		return told(c)
	}},
	{"signature is another point", []string{"unit.signature"}, func(n *Network, c *Checkpoint) *Told {
		c.cert.Signature = c.committee.sign(c.signers, n.lie(40))
		return told(c)
	}},
	{"signature is the other root", []string{"unit.signature"}, func(_ *Network, c *Checkpoint) *Told {
		c.cert.Signature[0] ^= 0x20
		return told(c)
	}},
	{"a bit of the signature", []string{"unit.signature"}, func(n *Network, c *Checkpoint) *Told {
		c.cert.Signature[n.lies.IntN(48)] ^= 1 << n.lies.IntN(8)
		return told(c)
	}},
	{"no epoch behind the signed summary", []string{"unit.signature"}, func(_ *Network, c *Checkpoint) *Told {
		msg := rebased.SigningMessage(c.header(), c.Summary.Epoch)
		c.cert.Signature = c.committee.sign(c.signers, msg[:len(msg)-8])
		return told(c)
	}},
	{"another intent", []string{"unit.signature"}, func(n *Network, c *Checkpoint) *Told {
		msg := rebased.SigningMessage(c.header(), c.Summary.Epoch)
		msg[n.lies.IntN(3)]++
		c.cert.Signature = c.committee.sign(c.signers, msg)
		return told(c)
	}},
	{"the digest signed", []string{"unit.signature"}, func(_ *Network, c *Checkpoint) *Told {
		d := c.digest()
		c.cert.Signature = c.committee.sign(c.signers, rebased.SigningMessage(d[:], c.Summary.Epoch))
		return told(c)
	}},
	{"time falls", []string{"unit.time"}, func(n *Network, c *Checkpoint) *Told {
		if c.Summary.Seq == 0 {
			return nil
		}
		c.Summary.TimeMs -= 3*interval + n.lies.Uint64N(1000)
		c.certify()
		return told(c)
	}},
	{"another predecessor", []string{"unit.prev"}, func(n *Network, c *Checkpoint) *Told {
		if c.Summary.Seq == 0 {
			return nil
		}
		d := rebased.Digest(n.lie(32))
		c.Summary.Previous = &d
		c.certify()
		return told(c)
	}},
	{"no predecessor", []string{"unit.prev"}, func(_ *Network, c *Checkpoint) *Told {
		if c.Summary.Seq == 0 {
			return nil
		}
		c.Summary.Previous = nil
		c.certify()
		return told(c)
	}},
	{"number skipped", []string{"unit.seq"}, func(n *Network, c *Checkpoint) *Told {
		if c.Summary.Seq == 0 {
			return nil
		}
		c.Summary.Seq += 1 + n.lies.Uint64N(3)
		c.certify()
		return told(c)
	}},
	{"total wrong", []string{"unit.total"}, func(n *Network, c *Checkpoint) *Told {
		c.Summary.Total += 1 + n.lies.Uint64N(9)
		if c.Summary.Seq == 0 {
			return nil // then it is another network's
		}
		c.certify()
		return told(c)
	}},
	{"another genesis", []string{"unit.genesis"}, func(_ *Network, c *Checkpoint) *Told {
		if c.Summary.Seq != 0 {
			return nil
		}
		c.Summary.TimeMs++
		c.certify()
		return told(c)
	}},
	{"a field of the summary", []string{"unit.signature", "unit.time", "unit.genesis"}, func(n *Network, c *Checkpoint) *Told {
		switch s := &c.Summary; n.lies.IntN(4) {
		case 0:
			s.TimeMs++
		case 1:
			s.Gas.Storage++
		case 2:
			s.Specific = append(slices.Clone(s.Specific), 1)
		case 3:
			s.Commitments = append(s.Commitments, rebased.Commitment{})
		}
		return told(c)
	}},
	{"list swapped", []string{"unit.list"}, func(n *Network, c *Checkpoint) *Told {
		if len(c.Records) < 2 {
			return nil
		}
		i := 1 + n.lies.IntN(len(c.Records)-1)
		c.Records[i-1], c.Records[i] = c.Records[i], c.Records[i-1]
		return told(c)
	}},
	{"list shortened", []string{"unit.list"}, func(_ *Network, c *Checkpoint) *Told {
		c.Records = c.Records[:len(c.Records)-1]
		return told(c)
	}},
	{"list names a transaction twice", []string{"syntax", "unit.list", "unit.genesis"}, func(_ *Network, c *Checkpoint) *Told {
		c.Records = append(c.Records, c.Records[0])
		c.Summary.Total++
		c.seal()
		return told(c)
	}},
	{"signature in the list", []string{"unit.list"}, func(n *Network, c *Checkpoint) *Told {
		i := n.lies.IntN(len(c.Records))
		if len(c.Records[i].Listed) == 0 {
			return nil
		}
		c.Records[i].Listed = n.flipOne(c.Records[i].Listed)
		return told(c)
	}},
}

// RecordLies are about what a good checkpoint lists (T-L7).
var RecordLies = []Lie{
	recordLie("transaction altered", []string{"mismatch", "syntax"}, func(n *Network, r *Record) bool {
		r.Data = n.flip(r.Data)
		return true
	}),
	recordLie("effects altered", []string{"mismatch", "syntax"}, func(n *Network, r *Record) bool {
		r.Effects = n.flip(r.Effects)
		return true
	}),
	recordLie("events altered", []string{"record.events"}, func(n *Network, r *Record) bool {
		if r.Events == nil {
			return false
		}
		r.Events = n.flip(r.Events)
		return true
	}),
	recordLie("events left out", []string{"record.events"}, func(_ *Network, r *Record) bool {
		was := r.Events
		r.Events = nil
		return was != nil
	}),
	recordLie("events made up", []string{"record.events"}, func(n *Network, r *Record) bool {
		if r.Events != nil {
			return false
		}
		r.Events = rebased.AppendEvents(nil, []rebased.Event{{Package: rebased.Address(n.lie(32)), Module: "m", Type: notarization}})
		return true
	}),
	recordLie("object altered", []string{"record.objects"}, func(n *Network, r *Record) bool {
		if len(r.Outputs) == 0 {
			return false
		}
		r.Outputs = n.flipOne(r.Outputs)
		return true
	}),
	recordLie("input object altered", []string{"record.objects"}, func(n *Network, r *Record) bool {
		if len(r.Inputs) == 0 {
			return false
		}
		r.Inputs = n.flipOne(r.Inputs)
		return true
	}),
	recordLie("object left out", []string{"record.objects"}, func(n *Network, r *Record) bool {
		if len(r.Outputs) == 0 || r.Kind != rebased.KindProgrammable {
			return false
		}
		i := n.lies.IntN(len(r.Outputs))
		r.Outputs = slices.Delete(r.Outputs, i, i+1)
		return true
	}),
	recordLie("object twice", []string{"record.objects"}, func(n *Network, r *Record) bool {
		if len(r.Outputs) == 0 {
			return false
		}
		r.Outputs = append(r.Outputs, r.Outputs[n.lies.IntN(len(r.Outputs))])
		return true
	}),
	recordLie("object as it was", []string{"record.objects"}, func(_ *Network, r *Record) bool {
		if len(r.Outputs) == 0 || len(r.Inputs) == 0 {
			return false
		}
		r.Outputs = append(r.Outputs[1:], r.Inputs[0])
		return true
	}),
	recordLie("signature altered", []string{"record.signatures"}, func(n *Network, r *Record) bool {
		r.Signatures = n.flipOne(r.Signatures)
		return true
	}),
	recordLie("signature left out", []string{"record.signatures"}, func(_ *Network, r *Record) bool {
		r.Signatures = r.Signatures[1:]
		return true
	}),
	recordLie("signature twice", []string{"record.signatures"}, func(_ *Network, r *Record) bool {
		r.Signatures = append(r.Signatures, r.Signatures[0])
		return true
	}),
	recordLie("signature of another user", []string{"record.signatures"}, func(n *Network, r *Record) bool {
		a := n.accounts[n.lies.IntN(5)]
		if r.Kind != rebased.KindProgrammable || a.address == r.Sender || a.address == r.Payer {
			return false
		}
		r.Signatures = [][]byte{a.sign(rebased.SigningDigest(r.Data))}
		return true
	}),
	listedLie("bad signature, listed so", []string{"record.signatures"}, func(n *Network, r *Record) bool {
		if r.Kind != rebased.KindProgrammable || r.Signatures[0][0] > rebased.FlagSecp256r1 {
			return false
		}
		r.Signatures = slices.Clone(r.Signatures)
		sig := bytes.Clone(r.Signatures[0])
		sig[1+n.lies.IntN(len(sig)-1)] ^= 1 << n.lies.IntN(8)
		r.Signatures[0], r.Listed = sig, slices.Clone(r.Signatures)
		r.Listed[0] = sig
		return true
	}),
	listedLie("nobody signed, listed so", []string{"record.signatures"}, func(_ *Network, r *Record) bool {
		r.Signatures, r.Listed = nil, nil
		return r.Kind == rebased.KindProgrammable
	}),
	listedLie("effects of another epoch, listed so", []string{"record.epoch"}, func(_ *Network, r *Record) bool {
		e, err := rebased.ParseEffects(r.Effects)
		if err != nil {
			return false
		}
		e.Epoch++
		r.Effects = rebased.AppendEffects(nil, e)
		return true
	}),
	listedLie("effects of another transaction, listed so", []string{"record.effects"}, func(n *Network, r *Record) bool {
		e, err := rebased.ParseEffects(r.Effects)
		if err != nil {
			return false
		}
		e.Transaction = rebased.Digest(n.lie(32))
		r.Effects = rebased.AppendEffects(nil, e)
		return true
	}),
	{"record left out", []string{"missing"}, func(n *Network, c *Checkpoint) *Told {
		t := told(c)
		i := n.lies.IntN(len(t.Raws))
		t.Raws = slices.Delete(t.Raws, i, i+1)
		return t
	}},
	{"record of another checkpoint", []string{"mismatch"}, func(n *Network, c *Checkpoint) *Told {
		t := told(c)
		other := c.Records[0].clone()
		other.Data = binary.LittleEndian.AppendUint64(slices.Clone(other.Data[:len(other.Data)-1]), n.lies.Uint64())
		d, err := rebased.ParseTransactionData(c.Records[0].Data)
		if err != nil {
			return nil
		}
		d.Gas.Budget += 1 + n.lies.Uint64N(1000)
		other.Data = rebased.AppendTransactionData(nil, d)
		t.Raws = append(t.Raws, other.Raw())
		return t
	}},
}

// recordLie alters one record of a good checkpoint.
func recordLie(name string, codes []string, tell func(n *Network, r *Record) bool) Lie {
	return Lie{name, codes, func(n *Network, c *Checkpoint) *Told {
		i := n.lies.IntN(len(c.Records))
		r := &c.Records[i]
		head := c.Head()
		if r.Opaque || !tell(n, r) {
			return nil
		}
		return &Told{head, c.Raws()}
	}}
}

// listedLie alters one record, and has a quorum sign that.
func listedLie(name string, codes []string, tell func(n *Network, r *Record) bool) Lie {
	return Lie{name, codes, func(n *Network, c *Checkpoint) *Told {
		i := n.lies.IntN(len(c.Records))
		r := &c.Records[i]
		if r.Opaque || c.Summary.Seq == 0 || !tell(n, r) {
			return nil
		}
		c.seal()
		return told(c)
	}}
}

// tooFew returns signers, ascending, who lack little for a quorum; none where one member has it.
func (n *Network) tooFew(c *committee) (signers []int) {
	for _, i := range n.lies.Perm(len(c.keys)) {
		if more := append(slices.Clone(signers), i); c.power(more) < c.quorum() {
			signers = more
		}
	}
	slices.Sort(signers)
	return signers
}

// strangers are as many validators as a committee has, none of them the network's.
func (n *Network) strangers() (c committee) {
	for i := range n.opts.Validators {
		c.keys = append(c.keys, newValidator(^n.opts.Seed, i))
		c.powers = append(c.powers, 2500)
	}
	slices.SortFunc(c.keys, func(a, b validator) int { return bytes.Compare(a.public[:], b.public[:]) })
	return c
}

// point draws compressed points until one is as wanted. err is the decoder's.
func (n *Network) point(wanted func(p *bls.G1Affine, err error) bool) (out [48]byte) {
	for {
		copy(out[:], n.lie(48))
		out[0] = 0x80 | out[0]&0x1f&0x0f
		var p bls.G1Affine
		if _, err := p.SetBytes(out[:]); wanted(&p, err) {
			return out
		}
	}
}

// wrongKey is a compressed point that is no validator's key: off the curve, or outside of the group. It stands behind
// all good ones.
func (n *Network) wrongKey() (out [96]byte) {
	copy(out[:], n.lie(96))
	out[0] = 0x80 | out[0]&0x0f
	return out
}

func (n *Network) lie(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(n.lies.Uint32())
	}
	return b
}

// flip turns one bit.
func (n *Network) flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[n.lies.IntN(len(b))] ^= 1 << n.lies.IntN(8)
	return b
}

// flipOne turns one bit of one of list.
func (n *Network) flipOne(list [][]byte) [][]byte {
	list = slices.Clone(list)
	i := n.lies.IntN(len(list))
	list[i] = n.flip(list[i])
	return list
}
