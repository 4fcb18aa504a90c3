package iotanode

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"strconv"

	"permanode/ingest"
	"permanode/internal/wire/iota"
	"permanode/ledger/rebased"
)

// maxCommittee bounds an answer that names a committee: ten thousand members.
const maxCommittee = 4 << 20

// draft is a trust file that is being made.
type draft struct {
	spec      rebased.TrustSpec
	committee *rebased.Committee
	raw       []byte
	lines     []string // what must be compared by hand, and what was checked
}

// newDraft makes the file, and begins the list with what no source can prove: that this is the network that the
// operator means. from says who names the committee.
func newDraft(spec rebased.TrustSpec, from string) (*draft, error) {
	raw, err := rebased.NewTrust(spec)
	if err != nil {
		return nil, fmt.Errorf("the committee of %s: %w", from, err)
	}
	t, err := rebased.Codec{}.ParseTrust(raw)
	if err != nil {
		return nil, err
	}
	rules, ok := t.Rules.(*rebased.Rules)
	if !ok {
		return nil, errors.New("a trust file without a committee")
	}
	d := &draft{spec: spec, committee: rules.Committee, raw: raw}
	d.say("network: genesis checkpoint %s (chain id %s)", spec.Genesis, rebased.ChainID(spec.Genesis))
	d.say("committee of epoch %d, %d members, named by %s", spec.Epoch, len(spec.Members), from)
	return d, nil
}

func (d *draft) say(format string, args ...any) {
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// verify checks that the committee certified the checkpoint of head or certified summary, and that the digest is
// the network's if it is checkpoint 0.
func (d *draft) verify(c *rebased.Certified) error {
	if digest := rebased.CheckpointDigest(c.Header); c.Summary.Seq == 0 && digest != d.spec.Genesis {
		return fmt.Errorf("checkpoint 0 has the digest %s, the network is said to be %s", digest, d.spec.Genesis)
	}
	if err := d.committee.Verify(c); err != nil {
		return fmt.Errorf("the committee did not certify checkpoint %d: %w", c.Summary.Seq, err)
	}
	d.say("checked: this committee certified checkpoint %d", c.Summary.Seq)
	return nil
}

// unchecked says that the committee could not be compared with checkpoint 0.
func (d *draft) unchecked(why error) {
	d.say("not checked: whether this committee certified checkpoint 0 (%v)", why)
}

// certifiedOf reads a head.
func certifiedOf(head []byte) (*rebased.Certified, error) {
	c, _, _, err := rebased.ParseHead(head)
	return c, err
}

// Trust makes a trust file out of a folder or a file: from committee_epoch0.json if that is there, else from the
// system state in checkpoint 0. Where checkpoint 0 is there, the committee must have certified it. lines say what
// must be compared by hand, and what was checked.
func (d *Dir) Trust(ctx context.Context) (raw []byte, lines []string, err error) {
	folder := d.path
	if d.only != nil {
		folder = filepath.Dir(d.path)
	}
	spec, err := readCommittee(folder)
	named := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%s: %w", d.name, err)
	}
	genesis, err := d.read(ctx, 0)
	if err != nil && !named {
		return nil, nil, fmt.Errorf("%s: neither %s nor checkpoint 0 can be read: %w", d.name, committeeFile, err)
	}
	if err != nil && !errors.Is(err, ingest.ErrUnknown) {
		return nil, nil, d.wrap(0, err)
	}
	var made *draft
	if named {
		made, err = newDraft(spec, committeeFile)
	} else {
		made, err = fromGenesis(genesis)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", d.name, err)
	}
	switch {
	case genesis == nil:
		made.unchecked(errors.New("it is not in the folder"))
	case spec.Epoch != 0:
		made.unchecked(errors.New("the committee is of a later epoch"))
	default:
		c, err := certifiedOf(genesis.head)
		if err == nil {
			err = made.verify(c)
		}
		if err == nil {
			err = d.closing(ctx, made)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", d.name, err)
		}
	}
	return made.raw, made.lines, nil
}

// closingMost bounds how many checkpoints are read for the one that closes the first epoch.
const closingMost = 4096

// closing checks that the committee certified the checkpoint that closes its epoch, where the folder holds all up to
// that one: a committee that lacks a member may well have the signatures of checkpoint 0.
func (d *Dir) closing(ctx context.Context, made *draft) error {
	for seq := uint64(0); seq < closingMost && d.only == nil; seq++ {
		read, err := d.read(ctx, seq)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			break
		}
		c, err := certifiedOf(read.head)
		if err != nil || c.Summary.Epoch != made.spec.Epoch {
			break
		}
		if c.Summary.EndOfEpoch != nil {
			return made.verify(c)
		}
	}
	made.say("not checked: the checkpoint that closes epoch %d, which is not among the first ones here", made.spec.Epoch)
	return nil
}

// fromGenesis makes a draft of nothing but checkpoint 0.
func fromGenesis(genesis *cone) (*draft, error) {
	c, err := certifiedOf(genesis.head)
	if err != nil {
		return nil, err
	}
	if c.Summary.Seq != 0 {
		return nil, fmt.Errorf("a trust file begins with checkpoint 0, this is number %d", c.Summary.Seq)
	}
	members, err := genesisCommittee(genesis.raws)
	if err != nil {
		return nil, fmt.Errorf("the committee of epoch 0 cannot be read out of checkpoint 0, and %s is not beside it: %w", committeeFile, err)
	}
	return newDraft(rebased.TrustSpec{Genesis: rebased.CheckpointDigest(c.Header), Members: members}, "the system state in checkpoint 0")
}

// Trust makes a trust file out of what the node says: its chain id and the committee of epoch 0. Where the node
// still has checkpoint 0, or the last one of epoch 0, the committee must have certified it.
func (g *GRPC) Trust(ctx context.Context) (raw []byte, lines []string, err error) {
	d, last, err := g.draft(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", g.name, err)
	}
	for _, seq := range []*uint64{new(uint64), last} {
		if seq == nil {
			continue
		}
		c, err := g.one(ctx, *seq, iota.HeadMask())
		if err != nil {
			d.say("not checked: whether this committee certified checkpoint %d (%v)", *seq, err)
			continue
		}
		certified, err := certifiedOf(c.head)
		if err == nil {
			err = d.verify(certified)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", g.name, err)
		}
	}
	return d.raw, d.lines, nil
}

func (g *GRPC) draft(ctx context.Context) (_ *draft, last *uint64, err error) {
	if _, err := g.serviceInfo(ctx); err != nil {
		return nil, nil, err
	}
	req := iota.EpochRequest{Epoch: new(uint64), Mask: []string{"epoch", "committee", "first_checkpoint", "last_checkpoint"}}
	raw, err := g.unary(ctx, iota.GetEpoch, req.Append(nil))
	if err != nil {
		return nil, nil, fmt.Errorf("committee of epoch 0: %w", err)
	}
	e, err := iota.ParseEpoch(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("committee of epoch 0: %w", err)
	}
	spec := rebased.TrustSpec{}
	if _, err := hex.Decode(spec.Genesis[:], []byte(g.heard().identity)); err != nil {
		return nil, nil, err
	}
	for i, m := range e.Members {
		v := rebased.Validator{Power: m.Weight}
		if len(m.Key) != len(v.Key) {
			return nil, nil, fmt.Errorf("committee of epoch 0: the key of member %d has %d bytes", i, len(m.Key))
		}
		copy(v.Key[:], m.Key)
		spec.Members = append(spec.Members, v)
	}
	d, err := newDraft(spec, "the node")
	return d, e.Last, err
}

// Trust makes a trust file out of what the node says: checkpoint 0 from its REST API, and the committee of epoch 0
// from its JSON-RPC API at the same address. The committee must have certified checkpoint 0, if the node still
// has it.
func (r *REST) Trust(ctx context.Context) (raw []byte, lines []string, err error) {
	d, err := r.draft(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", r.name, err)
	}
	return d.raw, d.lines, nil
}

func (r *REST) draft(ctx context.Context) (*draft, error) {
	members, err := r.committee(ctx, 0)
	if err != nil {
		return nil, fmt.Errorf("committee of epoch 0: %w", err)
	}
	summary, err := r.web.get(ctx, "/checkpoints/0", bcsType, maxSummary)
	said := r.heard().identity
	switch {
	case err == nil:
		c, err := rebased.ParseCertified(summary)
		if err != nil {
			return nil, fmt.Errorf("checkpoint 0: %w", err)
		}
		spec := rebased.TrustSpec{Genesis: rebased.CheckpointDigest(c.Header), Members: members}
		if said != "" && said != hex.EncodeToString(spec.Genesis[:]) {
			return nil, fmt.Errorf("the digest of checkpoint 0 is %s, the node says that its network is %s", spec.Genesis, said)
		}
		d, err := newDraft(spec, "the node's JSON-RPC")
		if err != nil {
			return nil, err
		}
		return d, d.verify(c)
	case said == "":
		return nil, fmt.Errorf("checkpoint 0, whose digest names the network: %w", err)
	}
	spec := rebased.TrustSpec{Members: members}
	if _, err := hex.Decode(spec.Genesis[:], []byte(said)); err != nil {
		return nil, err
	}
	d, derr := newDraft(spec, "the node's JSON-RPC")
	if derr == nil {
		d.unchecked(err)
	}
	return d, derr
}

// committee asks JSON-RPC for the committee of an epoch: a hint, which a certificate has to confirm.
func (r *REST) committee(ctx context.Context, epoch uint64) ([]rebased.Validator, error) {
	question, err := json.Marshal(map[string]any{
		"jsonrpc": "2.0", "id": 1, "method": "iotax_getCommitteeInfo", "params": []string{strconv.FormatUint(epoch, 10)},
	})
	if err != nil {
		return nil, err
	}
	root := *r.web
	base := *r.web.base
	base.Path = base.Path[:len(base.Path)-len(restBase)]
	root.base, root.headers = &base, nil
	body, err := root.call(ctx, http.MethodPost, "/", "application/json", question, maxCommittee)
	if err != nil {
		return nil, err
	}
	return parseCommittee(body, epoch)
}

// parseCommittee reads the answer of iotax_getCommitteeInfo.
func parseCommittee(body []byte, epoch uint64) ([]rebased.Validator, error) {
	var answer struct {
		Result *struct {
			Epoch      string      `json:"epoch"`
			Validators [][2]string `json:"validators"`
		} `json:"result"`
		Error *struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("iotax_getCommitteeInfo: %w", err)
	}
	switch {
	case answer.Error != nil:
		return nil, fmt.Errorf("iotax_getCommitteeInfo: the node answers %.200q", answer.Error.Message)
	case answer.Result == nil || answer.Result.Epoch != strconv.FormatUint(epoch, 10):
		return nil, fmt.Errorf("iotax_getCommitteeInfo: the answer is not about epoch %d", epoch)
	}
	var out []rebased.Validator
	for i, member := range answer.Result.Validators {
		var v rebased.Validator
		key, err := base64.StdEncoding.DecodeString(member[0])
		if err == nil && len(key) != len(v.Key) {
			err = fmt.Errorf("it has %d bytes", len(key))
		}
		if err != nil {
			return nil, fmt.Errorf("iotax_getCommitteeInfo: key of validator %d: %w", i, err)
		}
		copy(v.Key[:], key)
		if v.Power, err = strconv.ParseUint(member[1], 10, 64); err != nil {
			return nil, fmt.Errorf("iotax_getCommitteeInfo: power of validator %d: %w", i, err)
		}
		out = append(out, v)
	}
	return out, nil
}
