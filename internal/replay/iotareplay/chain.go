package iotareplay

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"permanode/ledger/rebased"
)

// Chain is consecutive checkpoints. It does not change any more and is safe for concurrent use.
type Chain struct {
	first uint64
	units []unit
	zero  []rebased.Validator // committee of epoch 0, nil if it is not known
}

// unit is one checkpoint.
type unit struct {
	chk     []byte // bare BCS of the CheckpointData
	head    []byte
	raws    [][]byte
	summary rebased.Summary
	digest  rebased.Digest
}

// New returns the chain of the given checkpoint files, bare or with the byte 01 before them, in any order.
// committee is that of epoch 0, nil if it is not known.
func New(chks [][]byte, committee []rebased.Validator) (*Chain, error) {
	c := &Chain{zero: committee}
	for i, chk := range chks {
		u, err := read(chk)
		if err != nil {
			return nil, fmt.Errorf("file %d of a chain: %w", i, err)
		}
		c.units = append(c.units, u)
	}
	slices.SortFunc(c.units, func(a, b unit) int {
		if a.summary.Seq < b.summary.Seq {
			return -1
		}
		return 1
	})
	if len(c.units) == 0 {
		return nil, errors.New("a chain of no checkpoints")
	}
	c.first = c.units[0].summary.Seq
	for i := range c.units {
		if c.units[i].summary.Seq != c.first+uint64(i) {
			return nil, fmt.Errorf("checkpoint %d is missing in the chain", c.first+uint64(i))
		}
	}
	return c, nil
}

func read(chk []byte) (unit, error) {
	head, raws, err := rebased.SplitCheckpoint(chk)
	if err != nil {
		return unit{}, err
	}
	u := unit{head: head, raws: raws}
	certified, _, _, err := rebased.ParseHead(head)
	if err != nil {
		return unit{}, err
	}
	u.summary, u.digest = certified.Summary, rebased.CheckpointDigest(certified.Header)
	u.chk, err = rebased.JoinCheckpoint(head, raws)
	return u, err
}

// Open reads a chain from the files <number>.chk of a folder, and the committee of epoch 0 from
// committee_epoch0.json beside them.
func Open(dir fs.FS) (*Chain, error) {
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return nil, err
	}
	var chks [][]byte
	for _, e := range entries {
		number, ok := strings.CutSuffix(e.Name(), ".chk")
		if _, err := strconv.ParseUint(number, 10, 64); !ok || err != nil {
			continue
		}
		chk, err := fs.ReadFile(dir, e.Name())
		if err != nil {
			return nil, err
		}
		chks = append(chks, chk)
	}
	var committee []rebased.Validator
	if raw, err := fs.ReadFile(dir, "committee_epoch0.json"); err == nil {
		spec, err := rebased.ParseCommitteeFile(raw)
		if err != nil {
			return nil, err
		}
		committee = spec.Members
	}
	return New(chks, committee)
}

// First and Last are the numbers of the chain's ends.
func (c *Chain) First() uint64 { return c.first }

// Last is the number of the newest checkpoint.
func (c *Chain) Last() uint64 { return c.first + uint64(len(c.units)) - 1 }

// File returns the bare BCS of checkpoint seq, nil if the chain has none.
func (c *Chain) File(seq uint64) []byte {
	if u := c.unit(seq); u != nil {
		return u.chk
	}
	return nil
}

func (c *Chain) unit(seq uint64) *unit {
	if seq < c.first || seq > c.Last() {
		return nil
	}
	return &c.units[seq-c.first]
}

// Identity returns the digest of checkpoint 0 as hex, "" if the chain begins later.
func (c *Chain) Identity() string {
	if c.first != 0 {
		return ""
	}
	return hex.EncodeToString(c.units[0].digest[:])
}

// genesis is what a node names its network by: the digest of the first checkpoint, where the chain has no other.
func (c *Chain) genesis() []byte { return c.units[0].digest[:] }

// Committee returns the committee of an epoch, nil if the chain does not know it.
func (c *Chain) Committee(epoch uint64) []rebased.Validator {
	if epoch == 0 {
		return c.zero
	}
	for i := range c.units {
		if s := &c.units[i].summary; s.Epoch == epoch-1 && s.EndOfEpoch != nil {
			return s.EndOfEpoch.Committee
		}
	}
	return nil
}

// epochRange returns the checkpoints of an epoch; open says that it has not ended.
func (c *Chain) epochRange(epoch uint64) (first, last uint64, open, ok bool) {
	open = true
	for i := range c.units {
		s := &c.units[i].summary
		if s.Epoch != epoch {
			continue
		}
		if !ok {
			first, ok = s.Seq, true
		}
		last, open = s.Seq, s.EndOfEpoch == nil
	}
	return first, last, open, ok
}
