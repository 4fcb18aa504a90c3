package iotanode

import (
	"errors"
	"fmt"

	"permanode/ledger"
	"permanode/ledger/rebased"
	"permanode/ledger/rebased/bcs"
)

// errNoState says that the committee cannot be read out of a checkpoint 0.
var errNoState = errors.New("no system state of a known form in checkpoint 0")

// The types of the system state, short form: a field of the object 0x5 holds it.
const (
	stateModule = "iota_system_state_inner"
	stateV1     = "IotaSystemStateV1"
	stateV2     = "IotaSystemStateV2"
)

// genesisCommittee reads the committee of epoch 0 out of the objects that checkpoint 0 wrote: the validators in
// the system state, with their authority keys and voting power. Errors wrap [errNoState].
func genesisCommittee(raws [][]byte) ([]rebased.Validator, error) {
	for _, raw := range raws {
		parts, err := rebased.ParseRaw(raw)
		if err != nil {
			return nil, err
		}
		for _, p := range parts {
			if p.Kind != ledger.PartOutput {
				continue
			}
			o, err := rebased.ParseObject(p.Raw)
			if err != nil || o.Data.Move == nil {
				continue
			}
			if found, ok, err := stateCommittee(o.Data.Move); ok || err != nil {
				return found, err
			}
		}
	}
	return nil, errNoState
}

// stateCommittee reads the committee if the object is Field<u64, IotaSystemState>; ok says whether it is.
func stateCommittee(o *rebased.MoveObject) (_ []rebased.Validator, ok bool, _ error) {
	field := o.Type.Other
	if field == nil || field.Module != "dynamic_field" || field.Name != "Field" || len(field.Args) != 2 || field.Args[1].Struct == nil {
		return nil, false, nil
	}
	state := field.Args[1].Struct
	if state.Address != (rebased.Address{31: 3}) || state.Module != stateModule {
		return nil, false, nil
	}
	if state.Name != stateV1 && state.Name != stateV2 {
		return nil, true, fmt.Errorf("%w: it is a %s", errNoState, state.Name)
	}
	r := bcs.NewReader(o.Contents)
	r.Fixed(32 + 8) // id of the field, its key: the version
	// epoch, protocol_version, system_state_version; treasury cap: id and supply
	r.Fixed(3*8 + 32 + 8)
	members := readValidatorSet(r, state.Name == stateV2)
	if err := r.Err(); err != nil {
		return nil, true, fmt.Errorf("%w: %s: %w", errNoState, state.Name, err)
	}
	if len(members) == 0 {
		return nil, true, fmt.Errorf("%w: it names no validators", errNoState)
	}
	return members, true, nil
}

// readValidatorSet reads the beginning of a ValidatorSet: those who vote in the current epoch. Version 2 names
// them by their places among the active ones.
func readValidatorSet(r *bcs.Reader, v2 bool) []rebased.Validator {
	r.U64() // total_stake
	active := bcs.List(r, leastValidator, readValidator)
	if !v2 || r.Err() != nil {
		return active
	}
	var members []rebased.Validator
	for _, at := range bcs.List(r, 8, (*bcs.Reader).U64) {
		if at >= uint64(len(active)) {
			r.Fail(fmt.Sprintf("committee member %d of %d validators", at, len(active)))
			return nil
		}
		members = append(members, active[at])
	}
	return members
}

// leastValidator is the least size of a ValidatorV1.
const leastValidator = 400

// readValidator reads a ValidatorV1 whole, since the next one follows at once, and returns what votes.
func readValidator(r *bcs.Reader) (v rebased.Validator) {
	// Metadata: address; authority, network and protocol key, proof of possession.
	r.Fixed(32)
	if key := r.Bytes(); len(key) == len(v.Key) {
		copy(v.Key[:], key)
	} else {
		r.Fail(fmt.Sprintf("an authority key of %d bytes", len(key)))
	}
	skipTexts(r, 3)
	// name, description, image_url, project_url, net_address, p2p_address, primary_address
	skipTexts(r, 7)
	// The same keys and addresses for the next epoch, each if it is to change: 4 and 3.
	for range 7 {
		if r.Option() {
			skipTexts(r, 1)
		}
	}
	skipBag(r)
	v.Power = r.U64()
	r.Fixed(32 + 8) // operation_cap_id, gas_price
	skipPool(r)
	r.Fixed(4 * 8) // commission_rate, next_epoch_stake, next_epoch_gas_price, next_epoch_commission_rate
	skipBag(r)
	return v
}

func skipTexts(r *bcs.Reader, n int) {
	for range n {
		r.Bytes()
	}
}

// skipBag passes over a Bag or Table: id and size.
func skipBag(r *bcs.Reader) { r.Fixed(32 + 8) }

// skipPool passes over a StakingPoolV1.
func skipPool(r *bcs.Reader) {
	r.Fixed(32) // id
	for range 2 {
		if r.Option() { // activation_epoch, deactivation_epoch
			r.U64()
		}
	}
	r.Fixed(3 * 8) // iota_balance, rewards_pool, pool_token_balance
	skipBag(r)     // exchange_rates
	r.Fixed(3 * 8) // pending_stake, pending_total_iota_withdraw, pending_pool_token_withdraw
	skipBag(r)
}
