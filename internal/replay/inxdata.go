package replay

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/crypto/blake2b"

	"permanode/internal/wire/inx"
	"permanode/ledger"
)

// network is what network.json says of a node's configuration. Names are compared without case.
type network struct {
	Parameters struct {
		Version       uint8  `json:"version"`
		NetworkName   string `json:"networkName"`
		Bech32HRP     string `json:"bech32Hrp"`
		MinPoWScore   uint32 `json:"minPowScore"`
		BelowMaxDepth uint8  `json:"belowMaxDepth"`
		Rent          struct {
			VByteCost       uint32 `json:"vByteCost"`
			VByteFactorData uint8  `json:"vByteFactorData"`
			VByteFactorKey  uint8  `json:"vByteFactorKey"`
		} `json:"rentStructure"`
		Supply string `json:"tokenSupply"`
	} `json:"protocolParameters"`
	Count  uint32 `json:"milestonePublicKeyCount"`
	Ranges []struct {
		Key        string `json:"key"`
		Start, End uint32
	} `json:"publicKeyRanges"`
	Token *struct {
		Name         string `json:"name"`
		Ticker       string `json:"tickerSymbol"`
		Unit         string `json:"unit"`
		Subunit      string `json:"subunit"`
		Decimals     uint32 `json:"decimals"`
		MetricPrefix bool   `json:"useMetricPrefix"`
	} `json:"baseToken"`
}

// configuration and parameters of a recording, as its node would send them.
func (r *Recording) configuration() (*inx.Configuration, *inx.Parameters, error) {
	var n network
	if err := json.Unmarshal(r.Parameters, &n); err != nil {
		return nil, nil, fmt.Errorf("%s: %w: %w", parametersFile, err, ErrRecording)
	}
	c := &inx.Configuration{KeyCount: n.Count, Versions: []uint32{uint32(n.Parameters.Version)}}
	for _, k := range n.Ranges {
		key, err := hex.DecodeString(strings.TrimPrefix(k.Key, "0x"))
		if err != nil {
			return nil, nil, fmt.Errorf("%s: public key %q: %w: %w", parametersFile, k.Key, err, ErrRecording)
		}
		c.Ranges = append(c.Ranges, inx.KeyRange{Key: key, Start: k.Start, End: k.End})
	}
	if t := n.Token; t != nil {
		c.Token = &inx.BaseToken{Name: t.Name, Ticker: t.Ticker, Unit: t.Unit, Subunit: t.Subunit, Decimals: t.Decimals, MetricPrefix: t.MetricPrefix}
	}
	params, err := n.binary()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w: %w", parametersFile, err, ErrRecording)
	}
	return c, &inx.Parameters{Version: uint32(n.Parameters.Version), Params: params}, nil
}

// binary writes the protocol parameters as milestones and nodes carry them.
func (n *network) binary() ([]byte, error) {
	p := &n.Parameters
	supply, err := strconv.ParseUint(p.Supply, 10, 64)
	if err != nil || len(p.NetworkName) > 255 || len(p.Bech32HRP) > 255 {
		return nil, fmt.Errorf("supply %q, name %q or prefix %q cannot be", p.Supply, p.NetworkName, p.Bech32HRP)
	}
	b := append([]byte{p.Version, byte(len(p.NetworkName))}, p.NetworkName...)
	b = append(append(b, byte(len(p.Bech32HRP))), p.Bech32HRP...)
	b = binary.LittleEndian.AppendUint32(b, p.MinPoWScore)
	b = binary.LittleEndian.AppendUint32(append(b, p.BelowMaxDepth), p.Rent.VByteCost)
	return binary.LittleEndian.AppendUint64(append(b, p.Rent.VByteFactorData, p.Rent.VByteFactorKey), supply), nil
}

// unitDigest returns the id of a raw unit: the hash of its essence, which is all but type and signatures.
func unitDigest(raw []byte) (id [32]byte, ok bool) {
	end := unitParentsOffset + 1 + 32*len(parents(raw, unitParentsOffset)) + 2*32
	length := func(size int) int { // of what follows a length of size bytes at end
		if end < 0 || end+size > len(raw) {
			return len(raw)
		}
		var b [4]byte
		copy(b[:], raw[end:end+size])
		return int(min(binary.LittleEndian.Uint32(b[:]), uint32(len(raw))))
	}
	end += 2 + length(2) // metadata
	options := length(1)
	end++
	for range options {
		kind := length(1)
		end++
		switch kind {
		case 0: // receipt: migrated at, final, funds, treasury transaction
			end += 4 + 1
			end += 2 + (49+33+8)*length(2)
			end += 4 + length(4)
		case 1: // parameters: target, version, bytes
			end += 4 + 1
			end += 2 + length(2)
		default:
			return id, false
		}
		if end > len(raw) {
			return id, false
		}
	}
	if end > len(raw) || end < unitParentsOffset {
		return id, false
	}
	return blake2b.Sum256(raw[4:end]), true
}

// milestone returns a unit as a node sends it, nil if the recording has not got it.
func (r *Recording) milestone(seq uint64) (*inx.Milestone, error) {
	p, ok := r.units[seq]
	if !ok {
		return nil, nil
	}
	raw, err := r.read(p, 0)
	if err != nil {
		return nil, err
	}
	id, ok := unitDigest(raw)
	if !ok {
		return nil, fmt.Errorf("unit %d of the recording is none: %w", seq, ErrRecording)
	}
	info := &inx.MilestoneInfo{ID: id[:], Index: uint32(seq), Time: binary.LittleEndian.Uint32(raw[unitTimeOffset:])}
	return &inx.Milestone{Info: info, Raw: raw}, nil
}

// block returns a raw record, nil if the recording has not got it.
func (r *Recording) block(id [32]byte) ([]byte, error) {
	p, ok := r.blocks[id]
	if !ok {
		return nil, nil
	}
	return r.read(p, 0)
}

// inxMetadata returns what the node said of a record over REST, as it says it over INX; nil if it was not asked.
func (r *Recording) inxMetadata(id [32]byte) (*inx.Metadata, error) {
	if _, ok := r.entry[id]; ok {
		return &inx.Metadata{ID: id[:], Solid: true}, nil
	}
	p, ok := r.routes[routeKey(http.MethodGet, blockPath+"0x"+hex.EncodeToString(id[:])+"/metadata", "")]
	if !ok || p.status != http.StatusOK {
		return nil, nil
	}
	body, err := r.read(p, 0)
	if err != nil {
		return nil, err
	}
	var m struct {
		Parents    []string `json:"parents"`
		Solid      bool     `json:"isSolid"`
		Promote    bool     `json:"shouldPromote"`
		Reattach   bool     `json:"shouldReattach"`
		Referenced uint32   `json:"referencedByMilestoneIndex"`
		Milestone  uint32   `json:"milestoneIndex"`
		State      string   `json:"ledgerInclusionState"`
		Reason     uint32   `json:"conflictReason"`
		Place      uint32   `json:"whiteFlagIndex"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("metadata of block %x: %w: %w", id, err, ErrRecording)
	}
	out := &inx.Metadata{
		ID: id[:], Solid: m.Solid, Promote: m.Promote, Reattach: m.Reattach, Referenced: m.Referenced, Milestone: m.Milestone,
		State: inxStates[m.State], Reason: m.Reason, Place: m.Place,
	}
	for _, text := range m.Parents {
		parent, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
		if err != nil {
			return nil, fmt.Errorf("metadata of block %x: parent %q: %w: %w", id, text, err, ErrRecording)
		}
		out.Parents = append(out.Parents, parent)
	}
	return out, nil
}

var inxStates = map[string]uint32{"noTransaction": inx.NoTransaction, "included": inx.Included, "conflicting": inx.Conflicting}

// cone returns the messages of a unit's cone: blocks with their metadata, or the metadata alone.
func (r *Recording) cone(seq uint64, whole bool) (messages [][]byte, err error) {
	c, err := r.cones()
	if err != nil {
		return nil, err
	}
	for _, id := range c.units[seq] {
		message, err := r.member(id, whole)
		if err != nil {
			return nil, err
		}
		messages = append(messages, message)
	}
	return messages, nil
}

func (r *Recording) member(id ledger.ID, whole bool) ([]byte, error) {
	m, err := r.inxMetadata([32]byte(id.Bytes()))
	if err == nil && m == nil {
		err = fmt.Errorf("the recording has no metadata of block %s", id)
	}
	if err != nil || !whole {
		return m.Append(nil), err
	}
	raw, err := r.block([32]byte(id.Bytes()))
	return (&inx.Block{Metadata: m, Raw: raw}).Append(nil), err
}
