package stardust_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strconv"
	"testing"

	"permanode/ledger"
	"permanode/ledger/ledgertest"
	"permanode/ledger/stardust"
)

// outputVector is an output as vectors write it.
type outputVector struct {
	OutputID ledgertest.Hex `json:"outputId"`
	BlockID  ledgertest.Hex `json:"blockId"`
	Booked   uint32         `json:"milestoneIndexBooked"`
	Time     uint32         `json:"milestoneTimestampBooked"`
	Raw      ledgertest.Hex `json:"raw"`
}

type blockVector struct {
	Raw    ledgertest.Hex `json:"raw"`
	ID     ledgertest.Hex `json:"blockId"`
	State  string         `json:"ledgerInclusionState"`
	Reason uint16         `json:"conflictReason"`
	Name   string         `json:"name"`
}

type rangeVector struct {
	PublicKey  ledgertest.Hex `json:"publicKey"`
	PublicKey2 ledgertest.Hex `json:"public_key"`
	Start, End uint64
}

func ranges(vs []rangeVector) (out []stardust.KeyRange) {
	for _, v := range vs {
		out = append(out, stardust.KeyRange{Key: [32]byte(append(v.PublicKey, v.PublicKey2...)), Start: v.Start, End: v.End})
	}
	return out
}

type milestoneVector struct {
	Index      uint64         `json:"index"`
	Payload    ledgertest.Hex `json:"milestonePayloadRaw"`
	Cone       []blockVector  `json:"cone"`
	Created    []outputVector `json:"created"`
	Consumed   []outputVector `json:"consumed"`
	Parameters ledgertest.Hex `json:"protocolParameters"`
	Treasury   struct {
		Amount      string         `json:"amount"`
		MilestoneID ledgertest.Hex `json:"milestoneId"`
	} `json:"treasury"`
}

// networkVector is a whole network.
type networkVector struct {
	Genesis    []outputVector    `json:"genesisOutputs"`
	Parameters ledgertest.Hex    `json:"genesisProtocolParameters"`
	Treasury   string            `json:"genesisTreasury"`
	Count      int               `json:"milestonePublicKeyCount"`
	Ranges     []rangeVector     `json:"publicKeyRanges"`
	Milestones []milestoneVector `json:"milestones"`
	Final      []outputVector    `json:"finalUnspentOutputs"`
}

func (n *networkVector) trust(t testing.TB) []byte {
	t.Helper()
	raw, err := stardust.NewTrust(stardust.TrustSpec{Parameters: n.Parameters, KeyCount: n.Count, Keys: ranges(n.Ranges)})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// genesis writes the network's first snapshot.
func (n *networkVector) genesis(t testing.TB) []byte {
	t.Helper()
	amount, err := strconv.ParseUint(n.Treasury, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	raw := stardust.AppendSnapshotHeader(nil, &stardust.SnapshotHeader{
		Full: true, TargetTime: n.Genesis[0].Time, Treasury: stardust.TreasuryTx{Amount: amount},
		Parameters: &stardust.ParameterChange{Version: n.Parameters[0], Params: n.Parameters},
		Outputs:    uint64(len(n.Genesis)), SEPs: 1,
	})
	for _, o := range n.Genesis {
		out, err := stardust.ParseOutput(o.Raw)
		if err != nil {
			t.Fatal(err)
		}
		raw = stardust.AppendSnapshotOutput(raw, &stardust.SnapshotOutput{
			ID: stardust.OutputID(o.OutputID), Block: stardust.Hash(o.BlockID), Booked: o.Booked, Time: o.Time, Output: out,
		})
	}
	return append(raw, make([]byte, 32)...)
}

// archive returns an empty archive whose source has all blocks.
func (n *networkVector) archive(t testing.TB) *archive {
	t.Helper()
	a := newArchive(t, n.trust(t))
	for _, m := range n.Milestones {
		for _, b := range m.Cone {
			a.serve(b.Raw)
		}
	}
	a.claims = func(seq uint64, _ []ledger.ID) *ledger.NodeClaims {
		c := &ledger.NodeClaims{Records: map[ledger.ID]ledger.Claimed{}}
		for _, m := range n.Milestones {
			for _, b := range m.Cone {
				c.Records[ledger.NewID(b.ID)] = ledger.Claimed{Referenced: m.Index, State: nodeStates[b.State], Reason: b.Reason}
			}
		}
		return c
	}
	return a
}

func compareCone(t testing.TB, c *ledger.Cone, blocks []blockVector) {
	t.Helper()
	if len(c.Records) != len(blocks) {
		t.Fatalf("unit %d has %d records, want %d", c.Unit.Seq, len(c.Records), len(blocks))
	}
	for i, b := range blocks {
		r := &c.Records[i]
		if !bytes.Equal(r.ID.Bytes(), b.ID) || r.State != nodeStates[b.State] || r.Reason != b.Reason {
			t.Errorf("unit %d pos %d (%s): %s %s %d, want %x %s %d", c.Unit.Seq, i, b.Name, r.ID, r.State, r.Reason, []byte(b.ID), b.State, b.Reason)
		}
	}
}

func outputIDs(vs []outputVector) (ids []string) {
	for _, v := range vs {
		ids = append(ids, hex.EncodeToString(v.OutputID))
	}
	slices.Sort(ids)
	return ids
}

func compareOutputs(t testing.TB, c *ledger.Cone, created, consumed []outputVector) {
	t.Helper()
	if got, want := outputsOf(c, ledger.RoleReceive), outputIDs(created); !slices.Equal(got, want) {
		t.Errorf("unit %d creates %v, want %v", c.Unit.Seq, got, want)
	}
	if got, want := outputsOf(c, ledger.RoleSpend), outputIDs(consumed); !slices.Equal(got, want) {
		t.Errorf("unit %d consumes %v, want %v", c.Unit.Seq, got, want)
	}
}

func (m *milestoneVector) compare(t testing.TB, a *archive, c *ledger.Cone, held bool) {
	t.Helper()
	compareCone(t, c, m.Cone)
	compareOutputs(t, c, m.Created, m.Consumed)
	treasury, amount, parameters, err := stardust.Totals(a.state[string(stardust.TotalsKey(m.Index))], uint32(m.Index))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(parameters, m.Parameters) {
		t.Errorf("unit %d: parameters %x, want %x", m.Index, parameters, []byte(m.Parameters))
	}
	if !held {
		return
	}
	if strconv.FormatUint(amount, 10) != m.Treasury.Amount || !bytes.Equal(treasury[:], m.Treasury.MilestoneID) {
		t.Errorf("unit %d: treasury %x with %d, want %x with %s", m.Index, treasury, amount, []byte(m.Treasury.MilestoneID), m.Treasury.Amount)
	}
	for _, o := range m.Created {
		row := a.state[string(stardust.OutputKey(stardust.OutputID(o.OutputID)))]
		if !bytes.HasSuffix(row, o.Raw) || binary.BigEndian.Uint32(row[8:]) != o.Time || !bytes.Equal(row[12:44], o.BlockID) {
			t.Errorf("unit %d: output %x stands as %x", m.Index, []byte(o.OutputID), row)
		}
	}
}

func TestNetworkVector(t *testing.T) {
	for _, f := range ledgertest.Files[networkVector](t, "stardust/private-net-*.json") {
		n := f.Data
		for _, held := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s held %t", f.Name, held), func(t *testing.T) {
				a := n.archive(t)
				if held {
					if err := a.open(bytes.NewReader(n.genesis(t))); err != nil {
						t.Fatal(err)
					}
				}
				for _, m := range n.Milestones {
					c, err := a.add(m.Payload)
					if err != nil {
						t.Fatal(err)
					}
					m.compare(t, a, c, held)
				}
				a.again(t)
				if held {
					compareUnspent(t, a, n.Final)
				}
			})
		}
	}
}

func compareUnspent(t testing.TB, a *archive, want []outputVector) {
	t.Helper()
	var got []string
	for _, id := range stardust.Unspent(a.state, 1<<32) {
		got = append(got, hex.EncodeToString([]byte(id)))
	}
	if ids := outputIDs(want); !slices.Equal(got, ids) {
		t.Errorf("unspent at the end: %v, want %v", got, ids)
	}
}

// snapshotVector is a snapshot file of a network of the same folder.
type snapshotVector struct {
	Raw      ledgertest.Hex   `json:"raw"`
	Target   uint64           `json:"targetMilestoneIndex"`
	TargetID ledgertest.Hex   `json:"targetMilestoneId"`
	FullID   ledgertest.Hex   `json:"fullSnapshotTargetMilestoneId"`
	SEPs     []ledgertest.Hex `json:"seps"`
	Type     int              `json:"type"`
}

// TestSnapshotVector opens the network at each snapshot, compares the ledger with that of a run from
// genesis, and goes on from there to the end.
func TestSnapshotVector(t *testing.T) {
	files := ledgertest.Load[snapshotVector](t, "stardust/snapshots-*.json", "snapshots")
	for _, f := range ledgertest.Files[networkVector](t, "stardust/private-net-*.json") {
		n := f.Data
		whole := n.archive(t)
		if err := whole.open(bytes.NewReader(n.genesis(t))); err != nil {
			t.Fatal(err)
		}
		for _, m := range n.Milestones {
			if _, err := whole.add(m.Payload); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range files {
			t.Run(fmt.Sprintf("type %d target %d", s.Type, s.Target), func(t *testing.T) {
				parts := []io.ReadSeeker{bytes.NewReader(s.Raw)}
				if s.Type == 1 {
					i := slices.IndexFunc(files, func(v snapshotVector) bool { return v.Type == 0 && bytes.Equal(v.TargetID, s.FullID) })
					if i < 0 {
						t.Fatal("no full file for a delta file")
					}
					parts = []io.ReadSeeker{bytes.NewReader(files[i].Raw), parts[0]}
				}
				a := n.archive(t)
				if err := a.open(parts...); err != nil {
					t.Fatal(err)
				}
				if a.start.Seq != s.Target {
					t.Fatalf("the snapshot leads to %d, want %d", a.start.Seq, s.Target)
				}
				if got, want := stardust.Unspent(a.state, s.Target), stardust.Unspent(whole.state, s.Target); !slices.Equal(got, want) {
					t.Errorf("the ledger at %d holds %d outputs, want %d", s.Target, len(got), len(want))
				}
				for _, id := range s.SEPs {
					carries := bytes.Equal(id, n.blockOf(t, s.Target)) // a record of the next cone
					if (a.state[string(stardust.EntryKey(id))] == nil) != carries {
						t.Errorf("entry point %s: %t", id, !carries)
					}
				}
				goOn(t, a, whole, &n, s.Target)
			})
		}
	}
}

// blockOf returns the id of the block that carries milestone index, nil at genesis.
func (n *networkVector) blockOf(t testing.TB, index uint64) []byte {
	t.Helper()
	for _, m := range n.Milestones {
		if m.Index == index {
			raw, err := stardust.MilestoneBlock(m.Payload)
			if err != nil {
				t.Fatal(err)
			}
			id := stardust.H(raw)
			return id[:]
		}
	}
	return nil
}

// goOn proves what follows a snapshot at target. A node with that snapshot lacks all older blocks, and
// the files do not list all that the next cones refer to.
func goOn(t testing.TB, a, whole *archive, n *networkVector, target uint64) {
	t.Helper()
	a.edges = true
	for _, m := range n.Milestones {
		if m.Index <= target {
			for _, b := range m.Cone {
				delete(a.blocks, ledger.NewID(b.ID))
			}
		}
	}
	for _, m := range n.Milestones {
		if m.Index <= target {
			continue
		}
		c, err := a.add(m.Payload)
		if err != nil {
			t.Fatal(err)
		}
		m.compare(t, a, c, true)
		seq := m.Index
		if got, want := stardust.Unspent(a.state, seq), stardust.Unspent(whole.state, seq); !slices.Equal(got, want) {
			t.Errorf("the ledger at %d differs from that of a run from genesis", seq)
		}
	}
	a.again(t)
}

// realCone is a cone of a public network.
type realCone struct {
	Network string         `json:"network"`
	Index   uint64         `json:"index"`
	Payload ledgertest.Hex `json:"payloadRaw"`
	Count   int            `json:"milestonePublicKeyCount"`
	Ranges  []rangeVector  `json:"publicKeyRanges"`
	Cone    []blockVector  `json:"cone"`
	Created []outputVector `json:"created"`
	Spent   []outputVector `json:"consumed"`
}

type parametersVector struct {
	JSON struct {
		NetworkName string `json:"networkName"`
	} `json:"json"`
	Raw ledgertest.Hex `json:"raw"`
}

func parametersOf(t testing.TB, network string) []byte {
	t.Helper()
	for _, p := range ledgertest.Load[parametersVector](t, "stardust/networks.json", "protocolParameters") {
		if p.JSON.NetworkName == network {
			return p.Raw
		}
	}
	t.Fatalf("no parameters of %s", network)
	return nil
}

// byClaims returns an archive that begins at a cone of a public network.
func (r *realCone) byClaims(t testing.TB) *archive {
	t.Helper()
	trust, err := stardust.NewTrust(stardust.TrustSpec{Parameters: parametersOf(t, r.Network), KeyCount: r.Count, Keys: ranges(r.Ranges)})
	if err != nil {
		t.Fatal(err)
	}
	a := newArchive(t, trust)
	a.edges = true
	words := &ledger.NodeClaims{Records: map[ledger.ID]ledger.Claimed{}}
	for _, b := range r.Cone {
		a.serve(b.Raw)
		words.Records[ledger.NewID(b.ID)] = ledger.Claimed{State: nodeStates[b.State], Reason: b.Reason}
	}
	a.claims = func(uint64, []ledger.ID) *ledger.NodeClaims { return words }
	return a
}

func TestPublicNetworkVector(t *testing.T) {
	for _, f := range ledgertest.Files[realCone](t, "stardust/shimmer-[0-9]*.json") {
		r := f.Data
		t.Run(f.Name, func(t *testing.T) {
			a := r.byClaims(t)
			c, err := a.add(r.Payload)
			if err != nil {
				t.Fatal(err)
			}
			compareCone(t, c, r.Cone)
			compareOutputs(t, c, r.Created, r.Spent)
			a.again(t)
		})
	}
}

// chainVector is consecutive milestones of a public network.
type chainVector struct {
	Network struct {
		Name string `json:"networkName"`
	} `json:"network"`
	Count      int           `json:"milestonePublicKeyCount"`
	Ranges     []rangeVector `json:"milestoneKeyRanges"`
	Milestones []struct {
		Index   uint64         `json:"index"`
		Payload ledgertest.Hex `json:"payloadRaw"`
		Blocks  []blockVector  `json:"blocks"`
		Created []outputVector `json:"createdOutputs"`
		Spent   []outputVector `json:"consumedOutputs"`
	} `json:"milestones"`
}

func TestConsecutiveVector(t *testing.T) {
	for _, f := range ledgertest.Files[chainVector](t, "stardust-shimmer/milestones-*.json") {
		all := realCone{Network: f.Data.Network.Name, Count: f.Data.Count, Ranges: f.Data.Ranges}
		for _, m := range f.Data.Milestones {
			all.Cone = append(all.Cone, m.Blocks...)
		}
		a := all.byClaims(t)
		for _, m := range f.Data.Milestones {
			c, err := a.add(m.Payload)
			if err != nil {
				t.Fatal(err)
			}
			compareCone(t, c, m.Blocks)
			compareOutputs(t, c, m.Created, m.Spent)
		}
		a.again(t)
	}
}

// TestTipsVector walks real cones whose milestone was not kept: one of our own, over the same tips and
// roots, stands in.
func TestTipsVector(t *testing.T) {
	type cone struct {
		realCone
		Inclusion ledgertest.Hex   `json:"inclusionMerkleRootComputed"`
		Applied   ledgertest.Hex   `json:"appliedMerkleRootComputed"`
		Tips      []ledgertest.Hex `json:"tips"`
	}
	for _, f := range ledgertest.Files[cone](t, "stardust/shimmer-cone-*.json") {
		r := f.Data
		m := &stardust.Milestone{
			Index: uint32(r.Index), Timestamp: 1, Version: 2,
			Inclusion: stardust.Hash(r.Inclusion), Applied: stardust.Hash(r.Applied),
		}
		for _, id := range r.Tips {
			m.Parents = append(m.Parents, stardust.Hash(id))
		}
		for _, b := range r.Cone { // the block of the milestone before is one of them
			if p, err := stardust.ParseBlock(b.Raw); err != nil {
				t.Fatal(err)
			} else if before, ok := p.Payload.(*stardust.Milestone); ok {
				m.Previous = before.ID
			}
		}
		key := ed25519.NewKeyFromSeed(make([]byte, 32))
		m.ID = stardust.H(stardust.AppendMilestoneEssence(nil, m))
		s := stardust.Signature{Key: [32]byte(key.Public().(ed25519.PublicKey)), Sig: [64]byte(ed25519.Sign(key, m.ID[:]))}
		m.Signatures = []stardust.Signature{s}
		r.Count, r.Ranges = 1, []rangeVector{{PublicKey: s.Key[:]}}
		c, err := r.byClaims(t).add(stardust.AppendPayload(nil, m))
		if err != nil {
			t.Fatal(err)
		}
		compareCone(t, c, r.Cone)
	}
}
