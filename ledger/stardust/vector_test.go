package stardust

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/ledger/ledgertest"
)

type hexa = ledgertest.Hex

type blockVector struct {
	Name    string          `json:"name"`
	Expect  string          `json:"expect"`
	BlockID hexa            `json:"blockId"`
	Raw     hexa            `json:"raw"`
	JSON    json.RawMessage `json:"json"`
}

type outputVector struct {
	ID     hexa            `json:"outputId"`
	Block  hexa            `json:"blockId"`
	Booked uint32          `json:"milestoneIndexBooked"`
	Time   uint32          `json:"milestoneTimestampBooked"`
	Raw    hexa            `json:"raw"`
	Output json.RawMessage `json:"output"` // or
	JSON   json.RawMessage `json:"json"`
	Owner  string          `json:"ownerAddress"`
}

func (v *outputVector) check(t *testing.T) {
	t.Helper()
	text := v.Output
	if text == nil {
		text = v.JSON
	}
	o := checkOutput(t, v.ID.String(), v.Raw, text)
	if o == nil || v.Owner == "" {
		return
	}
	hrp, owner, err := ParseBech32(v.Owner)
	if err != nil || owner.Bech32(hrp) != v.Owner {
		t.Errorf("%s: owner %s: %v", v.ID, v.Owner, err)
	}
	if !slices.ContainsFunc(o.Conditions, func(c Condition) bool { return c.Address == owner }) {
		t.Errorf("%s: %s is in no unlock condition", v.ID, v.Owner)
	}
}

// knownRules holds the built-in trust files of public networks, by network name.
func knownRules(t *testing.T) map[string]*Rules {
	t.Helper()
	files, err := filepath.Glob("../../testdata/trust/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no trust files (%v)", err)
	}
	all := map[string]*Rules{}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		trust, err := Codec{}.ParseTrust(raw)
		if err != nil {
			t.Fatal(err)
		}
		all[trust.Name] = trust.Rules.(*Rules)
	}
	return all
}

// knownParameters returns the protocol parameters of a public network, nil for another.
func knownParameters(t *testing.T, network string) *Parameters {
	t.Helper()
	rules := knownRules(t)[network]
	if rules == nil {
		return nil
	}
	p := rules.Parameters()
	return &p
}

// TestMalformedVector demands the stated reason of each refusal: from the parser, or from the rules
// that need parameters.
func TestMalformedVector(t *testing.T) {
	type file struct {
		Parameters    hexa          `json:"protocolParameters"`
		Rejected      []blockVector `json:"rejected"`
		Accepted      []blockVector `json:"accepted"`
		ProtocolRules []blockVector `json:"protocolRules"`
	}
	for _, f := range ledgertest.Files[file](t, "stardust/malformed*.json") {
		params, err := ParseParameters(f.Data.Parameters)
		if err != nil {
			t.Fatal(err)
		}
		refused := func(v blockVector, parses bool) {
			b, err := ParseBlock(v.Raw)
			if err == nil {
				err = CheckBlock(b, params)
			} else if parses {
				t.Errorf("%s: %v, but it must parse", v.Name, err)
			}
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || !errors.Is(err, ledger.ErrSyntax) || string(syntax.Reason) != v.Expect {
				t.Errorf("%s: %v, want the reason %q", v.Name, err, v.Expect)
			} else if syntax.Offset < 0 || syntax.Offset > int64(len(v.Raw)) || syntax.Detail == "" {
				t.Errorf("%s: offset %d of %d bytes, detail %q", v.Name, syntax.Offset, len(v.Raw), syntax.Detail)
			}
		}
		for _, v := range f.Data.Rejected {
			refused(v, false)
		}
		for _, v := range f.Data.ProtocolRules {
			refused(v, true)
		}
		for _, v := range f.Data.Accepted {
			if b := checkRaw(t, v.Name, v.Raw, v.BlockID, v.JSON); b != nil {
				if err := CheckBlock(b, params); err != nil {
					t.Errorf("%s: %v", v.Name, err)
				}
			}
		}
	}
}

func TestShimmerVector(t *testing.T) {
	type file struct {
		Network  string          `json:"network"`
		ID       hexa            `json:"milestoneId"`
		Payload  hexa            `json:"payloadRaw"`
		JSON     json.RawMessage `json:"payload"`
		Essence  hexa            `json:"essenceRaw"`
		Block    hexa            `json:"block"`
		BlockID  hexa            `json:"blockId"`
		Cone     []blockVector   `json:"cone"`
		Consumed []outputVector  `json:"consumed"`
		Created  []outputVector  `json:"created"`
	}
	for _, f := range ledgertest.Files[file](t, "stardust/shimmer-[0-9]*.json") {
		v := f.Data
		m := checkMilestoneRaw(t, f.Name, v.Payload, v.ID, v.JSON)
		if m == nil {
			continue
		}
		if !bytes.Equal(m.Header, v.Essence) {
			t.Errorf("%s: essence %x, want %x", f.Name, m.Header, v.Essence)
		}
		if block, err := MilestoneBlock(v.Payload); err != nil || !bytes.Equal(block, v.Block) {
			t.Errorf("%s: rebuilt block %x (%v), want %x", f.Name, block, err, v.Block)
		}
		checkRaw(t, f.Name, v.Block, v.BlockID, nil)
		checkCone(t, v.Cone, knownParameters(t, v.Network))
		for _, o := range append(v.Consumed, v.Created...) {
			o.check(t)
		}
	}
}

// checkCone checks blocks against the parameters in force, nil for none.
func checkCone(t *testing.T, cone []blockVector, p *Parameters) {
	t.Helper()
	for _, v := range cone {
		b := checkRaw(t, v.BlockID.String(), v.Raw, v.BlockID, v.JSON)
		if b == nil || p == nil {
			continue
		}
		if err := CheckBlock(b, p); err != nil {
			t.Errorf("%s: %v", v.BlockID, err)
		}
	}
}

func TestConeVector(t *testing.T) {
	shimmer := knownParameters(t, "shimmer")
	for _, part := range []struct{ pattern, key string }{
		{"stardust/shimmer-cone-*.json", "cone"},
		{"stardust-shimmer/blocks-*.json", "blocks"},
		{"stardust-shimmer/decoded-blocks*.json", ""},
	} {
		t.Run(path.Base(part.pattern), func(t *testing.T) {
			checkCone(t, ledgertest.Load[blockVector](t, part.pattern, part.key), shimmer)
		})
	}
}

func TestMilestonesVector(t *testing.T) {
	type milestone struct {
		ID           hexa            `json:"milestoneId"`
		Payload      hexa            `json:"payloadRaw"`
		JSON         json.RawMessage `json:"payloadJson"`
		Blocks       []blockVector   `json:"blocks"`
		Transactions []struct {
			BlockID hexa `json:"blockId"`
			ID      hexa `json:"transactionId"`
			Essence hexa `json:"essenceHash"`
		} `json:"transactions"`
		Created  []outputVector `json:"createdOutputs"`
		Consumed []outputVector `json:"consumedOutputs"`
	}
	shimmer := knownParameters(t, "shimmer")
	for _, v := range ledgertest.Load[milestone](t, "stardust-shimmer/milestones-*.json", "milestones") {
		checkMilestoneRaw(t, v.ID.String(), v.Payload, v.ID, v.JSON)
		checkCone(t, v.Blocks, shimmer)
		blocks := map[string]hexa{}
		for _, b := range v.Blocks {
			blocks[string(b.BlockID)] = b.Raw
		}
		for _, want := range v.Transactions {
			b, err := ParseBlock(blocks[string(want.BlockID)])
			if err != nil {
				t.Fatal(err)
			}
			if tx := b.Payload.(*Transaction); !bytes.Equal(tx.ID[:], want.ID) || !bytes.Equal(tx.Signing[:], want.Essence) {
				t.Errorf("%s: transaction %x signs %x, want %s and %s", want.BlockID, tx.ID, tx.Signing, want.ID, want.Essence)
			}
		}
		for _, o := range append(v.Created, v.Consumed...) {
			o.check(t)
		}
	}
}

func TestPrivateNetVector(t *testing.T) {
	type milestone struct {
		ID         hexa            `json:"milestoneId"`
		Payload    hexa            `json:"milestonePayloadRaw"`
		Block      hexa            `json:"milestoneBlockRaw"`
		BlockID    hexa            `json:"milestoneBlockId"`
		BlockJSON  json.RawMessage `json:"milestoneBlockJson"`
		Parameters hexa            `json:"protocolParameters"`
		Cone       []blockVector   `json:"cone"`
		Created    []outputVector  `json:"created"`
		Consumed   []outputVector  `json:"consumed"`
	}
	type file struct {
		Name       string         `json:"networkName"`
		ID         json.Number    `json:"networkId"`
		Parameters hexa           `json:"genesisProtocolParameters"`
		Genesis    []outputVector `json:"genesisOutputs"`
		Final      []outputVector `json:"finalUnspentOutputs"`
		Milestones []milestone    `json:"milestones"`
		HRP        string         `json:"bech32Hrp"`
		Accounts   []struct {
			Address hexa   `json:"address"`
			Bech32  string `json:"bech32"`
			Key     hexa   `json:"publicKey"`
		} `json:"accounts"`
	}
	for _, f := range ledgertest.Files[file](t, "stardust/private-net-*.json") {
		v := f.Data
		genesis, err := ParseParameters(v.Parameters)
		if err != nil {
			t.Fatal(err)
		}
		if got := json.Number(decimalText(genesis.NetworkID())); got != v.ID || genesis.Network != v.Name || genesis.HRP != v.HRP {
			t.Errorf("%s: parameters of %s (%s), %s", f.Name, genesis.Network, got, genesis.HRP)
		}
		for _, a := range v.Accounts {
			h := H(a.Key)
			if got := chainAddress(AddressEd25519, h).Bech32(v.HRP); got != a.Bech32 || !bytes.Equal(h[:], a.Address[len(a.Address)-32:]) {
				t.Errorf("key %s: address %s, want %s", a.Key, got, a.Bech32)
			}
		}
		for _, o := range append(v.Genesis, v.Final...) {
			o.check(t)
		}
		for _, m := range v.Milestones {
			params, err := ParseParameters(m.Parameters)
			if err != nil {
				t.Fatal(err)
			}
			checkMilestoneRaw(t, m.ID.String(), m.Payload, m.ID, nil)
			checkCone(t, append(m.Cone, blockVector{BlockID: m.BlockID, Raw: m.Block, JSON: m.BlockJSON}), params)
			if block, err := MilestoneBlock(m.Payload); err != nil || !bytes.Equal(block, m.Block) {
				t.Errorf("%s: rebuilt block %x (%v)", m.ID, block, err)
			}
			for _, o := range append(m.Created, m.Consumed...) {
				o.check(t)
			}
		}
	}
}

func decimalText(v uint64) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func TestOutputVector(t *testing.T) {
	type vector struct {
		outputVector
		Name         string      `json:"name"`
		VirtualBytes uint64      `json:"virtualBytes"`
		Cost         uint32      `json:"vByteCost"`
		Deposit      json.Number `json:"minStorageDeposit"`
		Hash         hexa        `json:"hash"`
		ChainID      hexa        `json:"chainId"`
		ChainAddress string      `json:"chainAddress"`
		TokenID      hexa        `json:"tokenId"`
	}
	for _, v := range ledgertest.Load[vector](t, "stardust/outputs*.json", "vectors") {
		o := checkOutput(t, v.Name, v.Raw, v.JSON)
		if o == nil {
			continue
		}
		if h := H(v.Raw); !bytes.Equal(h[:], v.Hash) {
			t.Errorf("%s: hash %x, want %s", v.Name, h, v.Hash)
		}
		p := Parameters{FactorData: 1, FactorKey: 10, VByteCost: v.Cost}
		if got := p.VirtualBytes(len(v.Raw)); got != v.VirtualBytes {
			t.Errorf("%s: %d virtual bytes, want %d", v.Name, got, v.VirtualBytes)
		}
		if got := json.Number(decimalText(p.MinDeposit(len(v.Raw)))); got != v.Deposit {
			t.Errorf("%s: deposit %s, want %s", v.Name, got, v.Deposit)
		}
		if o.Type == OutputFoundry {
			if id := o.Foundry(); !bytes.Equal(id[:], v.ChainID) || len(v.TokenID) > 0 && !bytes.Equal(id[:], v.TokenID) {
				t.Errorf("%s: foundry id %x, want %s", v.Name, id, v.ChainID)
			}
			continue
		}
		if v.ChainAddress == "" {
			continue
		}
		id := o.ChainID
		if equalZero(id[:]) {
			id = H(v.ID)
		}
		kind := map[byte]byte{OutputAlias: AddressAlias, OutputNFT: AddressNFT}[o.Type]
		hrp, _, _ := strings.Cut(v.ChainAddress, "1")
		if got := chainAddress(kind, id).Bech32(hrp); !bytes.Equal(id[:], v.ChainID) || got != v.ChainAddress {
			t.Errorf("%s: chain %x at %s, want %s at %s", v.Name, id, got, v.ChainID, v.ChainAddress)
		}
	}
}

func TestParametersVector(t *testing.T) {
	type vector struct {
		Raw  hexa `json:"raw"`
		ID   json.Number
		JSON struct {
			Version       byte   `json:"version"`
			Network       string `json:"networkName"`
			HRP           string `json:"bech32Hrp"`
			MinPoWScore   uint32 `json:"minPowScore"`
			BelowMaxDepth byte   `json:"belowMaxDepth"`
			Rent          struct {
				Cost uint32 `json:"vByteCost"`
				Data byte   `json:"vByteFactorData"`
				Key  byte   `json:"vByteFactorKey"`
			} `json:"rentStructure"`
			Supply uint64 `json:"tokenSupply,string"`
		} `json:"json"`
		NetworkID json.Number `json:"networkId"`
	}
	for _, v := range ledgertest.Load[vector](t, "stardust/networks*.json", "protocolParameters") {
		p, err := ParseParameters(v.Raw)
		if err != nil {
			t.Fatal(err)
		}
		j := v.JSON
		want := Parameters{
			j.Version, j.Network, j.HRP, j.MinPoWScore, j.BelowMaxDepth,
			j.Rent.Cost, j.Rent.Data, j.Rent.Key, j.Supply,
		}
		if *p != want {
			t.Errorf("parameters %+v, want %+v", *p, want)
		}
		if got := AppendParameters(nil, p); !bytes.Equal(got, v.Raw) {
			t.Errorf("%s: re-encoding differs\n got %x\nwant %s", p.Network, got, v.Raw)
		}
		if got := json.Number(decimalText(p.NetworkID())); got != v.NetworkID {
			t.Errorf("%s: network id %s, want %s", p.Network, got, v.NetworkID)
		}
	}
}

func TestSnapshotVector(t *testing.T) {
	type treasury struct {
		Amount json.Number `json:"amount"`
		ID     hexa        `json:"milestoneId"`
	}
	type vector struct {
		Type       int            `json:"type"`
		Raw        hexa           `json:"raw"`
		Indexes    []uint32       `json:"diffIndexes"`
		Ledger     uint32         `json:"ledgerMilestoneIndex"`
		Outputs    []outputVector `json:"outputs"`
		SEPs       []hexa         `json:"seps"`
		TargetID   hexa           `json:"targetMilestoneId"`
		FullTarget hexa           `json:"fullSnapshotTargetMilestoneId"`
		Target     uint32         `json:"targetMilestoneIndex"`
		Time       uint32         `json:"targetMilestoneTimestamp"`
		Treasury   *treasury      `json:"treasury"`
		Offset     uint64         `json:"sepFileOffset"`
	}
	for i, v := range ledgertest.Load[vector](t, "stardust/snapshots-*.json", "snapshots") {
		p, again, err := readSnapshot(v.Raw)
		if err != nil {
			t.Errorf("snapshot %d: %v", i, err)
			continue
		}
		if !bytes.Equal(again, v.Raw) {
			t.Errorf("snapshot %d: re-encoding differs", i)
		}
		h := p.header
		id := v.TargetID
		if v.Type == 1 {
			id = v.FullTarget
		}
		if h.Full != (v.Type == 0) || h.Target != v.Target || h.TargetTime != v.Time || h.Ledger != v.Ledger ||
			h.SEPOffset != v.Offset || !bytes.Equal(h.TargetID[:], id) {
			t.Errorf("snapshot %d: header %+v", i, h)
		}
		if w := v.Treasury; w != nil && (!bytes.Equal(h.Treasury.Input[:], w.ID) || json.Number(decimalText(h.Treasury.Amount)) != w.Amount) {
			t.Errorf("snapshot %d: treasury %+v, want %+v", i, h.Treasury, *w)
		}
		if len(p.seps) != len(v.SEPs) || len(p.outputs) != len(v.Outputs) || len(p.differences) != len(v.Indexes) {
			t.Errorf("snapshot %d: %d seps, %d outputs, %d differences", i, len(p.seps), len(p.outputs), len(p.differences))
			continue
		}
		for k, id := range v.SEPs {
			if !bytes.Equal(p.seps[k][:], id) {
				t.Errorf("snapshot %d: sep %d is %x, want %s", i, k, p.seps[k], id)
			}
		}
		for k, want := range v.Outputs {
			got := p.outputs[k]
			if !bytes.Equal(got.ID[:], want.ID) || !bytes.Equal(got.Block[:], want.Block) || got.Booked != want.Booked ||
				got.Time != want.Time || !bytes.Equal(got.Output.Raw, want.Raw) {
				t.Errorf("snapshot %d: output %d is %+v, want %+v", i, k, got, want)
			}
			sameJSON(t, want.ID.String(), OutputJSON(got.Output), want.Output)
		}
		for k, d := range p.differences {
			if first, last := v.Indexes[0], v.Indexes[len(v.Indexes)-1]; k == 0 && d.Milestone.Index != first ||
				k == len(p.differences)-1 && d.Milestone.Index != last {
				t.Errorf("snapshot %d: difference %d is of milestone %d", i, k, d.Milestone.Index)
			}
		}
	}
}

func TestBech32Vector(t *testing.T) {
	type valid struct {
		HRP    string `json:"hrp"`
		Raw    hexa   `json:"raw"`
		Bech32 string `json:"bech32"`
	}
	for _, v := range ledgertest.Load[valid](t, "stardust/bech32*.json", "valid") {
		if got := Address(v.Raw).Bech32(v.HRP); got != v.Bech32 {
			t.Errorf("%s: written as %s, want %s", v.Raw, got, v.Bech32)
		}
		for _, text := range []string{v.Bech32, strings.ToUpper(v.Bech32)} {
			if hrp, a, err := ParseBech32(text); err != nil || hrp != v.HRP || !bytes.Equal(a[:], v.Raw) {
				t.Errorf("%s: read as %s %x (%v)", text, hrp, a, err)
			}
		}
	}
	type invalid struct{ Text, Why string }
	for _, v := range ledgertest.Load[invalid](t, "stardust/bech32*.json", "invalid") {
		_, _, err := ParseBech32(v.Text)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || !strings.Contains(v.Why, string(syntax.Reason)) {
			t.Errorf("%s: %v, want the reason %q", v.Text, err, v.Why)
		}
	}
}
