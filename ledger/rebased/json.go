package rebased

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"

	"permanode/ledger"
	"permanode/ledger/canonical"
)

// jsonText builds the node's JSON form: u64 as decimal text, bytes as 0x hex, signatures in base64, an enum's value
// as {"Variant": content} or "Variant", tuples as arrays, absent options as null.
type jsonText struct {
	b     []byte
	comma bool // the next key or element needs one before it
}

func (j *jsonText) sep() {
	if j.comma {
		j.b = append(j.b, ',')
	}
	j.comma = true
}

func (j *jsonText) open(c byte) {
	j.sep()
	j.b, j.comma = append(j.b, c), false
}

func (j *jsonText) close(c byte) { j.b, j.comma = append(j.b, c), true }

func (j *jsonText) key(k string) *jsonText {
	j.str(k)
	j.b, j.comma = append(j.b, ':'), false
	return j
}

func (j *jsonText) str(s string) {
	j.sep()
	j.b = canonical.String(s).Append(j.b)
}

func (j *jsonText) raw(s string) {
	j.sep()
	j.b = append(j.b, s...)
}

func (j *jsonText) null() { j.raw("null") }

func (j *jsonText) num(v uint64) {
	j.sep()
	j.b = strconv.AppendUint(j.b, v, 10)
}

func (j *jsonText) bool(v bool) {
	j.sep()
	j.b = strconv.AppendBool(j.b, v)
}

func (j *jsonText) decimal(v uint64) {
	j.sep()
	j.b = append(strconv.AppendUint(append(j.b, '"'), v, 10), '"')
}

func (j *jsonText) hex(v []byte) {
	j.sep()
	j.b = append(hex.AppendEncode(append(j.b, `"0x`...), v), '"')
}

func (j *jsonText) base64(v []byte) {
	j.sep()
	j.b = append(base64.StdEncoding.AppendEncode(append(j.b, '"'), v), '"')
}

func (j *jsonText) address(a Address) { j.hex(a[:]) }

func (j *jsonText) digest(d Digest) { j.str(d.String()) }

// variant writes {"name": what content writes}.
func (j *jsonText) variant(name string, content func()) {
	j.open('{')
	j.key(name)
	content()
	j.close('}')
}

// jsonList writes an array of the elements.
func jsonList[T any](j *jsonText, list []T, element func(T)) {
	j.open('[')
	for _, v := range list {
		element(v)
	}
	j.close(']')
}

// jsonOpt writes null, or the value.
func jsonOpt[T any](j *jsonText, v *T, value func(T)) {
	if v == nil {
		j.null()
	} else {
		value(*v)
	}
}

// UnitJSON returns the JSON form of a checkpoint without its records: summary, certificate and contents. What this
// version cannot read appears as {"undecoded": why, "bcs": hex}.
func UnitJSON(header, auth, list []byte) []byte {
	var j jsonText
	j.open('{')
	j.key("checkpoint_summary").open('{')
	s, err := ParseSummary(header)
	if j.key("data"); err != nil {
		j.undecoded(header, err)
	} else {
		j.summary(s)
	}
	cert, err := ParseCertificate(auth)
	if j.key("auth_signature"); err != nil {
		j.undecoded(auth, err)
	} else {
		j.certificate(cert)
	}
	j.close('}')
	c, err := ParseContents(list)
	if j.key("checkpoint_contents"); err != nil {
		j.undecoded(list, err)
	} else {
		j.contents(c)
	}
	j.close('}')
	return j.b
}

// RecordJSON returns the JSON form of a record: the element of a checkpoint's transactions. Input objects appear if
// parts has them. A part that this version cannot read appears as {"undecoded": why, "bcs": hex}; bytes that it
// cannot even split, as "rest" in that form.
func RecordJSON(parts []ledger.Part) []byte {
	var j jsonText
	j.open('{')
	j.key("transaction")
	jsonParts(&j, parts, ledger.PartObject, ParseSenderSigned, j.envelope, false)
	j.key("effects")
	jsonParts(&j, parts, ledger.PartEffects, ParseEffects, j.effects, false)
	j.key("events")
	jsonParts(&j, parts, ledger.PartEvents, func(raw []byte) (*[]Event, error) { return all(raw, readEvents) }, func(e *[]Event) { j.events(*e) }, false)
	if hasPart(parts, ledger.PartInput) {
		j.key("input_objects")
		jsonParts(&j, parts, ledger.PartInput, ParseObject, j.object, true)
	}
	j.key("output_objects")
	jsonParts(&j, parts, ledger.PartOutput, ParseObject, j.object, true)
	for _, p := range parts {
		if p.Kind == ledger.PartRest {
			j.key("rest")
			j.undecoded(p.Raw, errRest)
		}
	}
	j.close('}')
	return j.b
}

// jsonParts writes the parts of a kind: an array of them, or the one there is, or null.
func jsonParts[T any](j *jsonText, parts []ledger.Part, kind ledger.PartKind, parse func([]byte) (*T, error), write func(*T), many bool) {
	if many {
		j.open('[')
		defer j.close(']')
	}
	for _, p := range parts {
		if p.Kind != kind {
			continue
		}
		if v, err := parse(p.Raw); err != nil {
			j.undecoded(p.Raw, err)
		} else {
			write(v)
		}
		if !many {
			return
		}
	}
	if !many {
		j.null()
	}
}

func hasPart(parts []ledger.Part, kind ledger.PartKind) bool {
	for _, p := range parts {
		if p.Kind == kind {
			return true
		}
	}
	return false
}

func (j *jsonText) undecoded(raw []byte, why error) {
	j.open('{')
	j.key("undecoded").str(why.Error())
	j.key("bcs").hex(raw)
	j.close('}')
}

// envelope writes a TransactionEnvelope: the vector of one, and the envelope's own empty signature.
func (j *jsonText) envelope(s *SenderSigned) {
	j.open('{')
	j.key("data").open('[')
	j.open('{')
	j.key("intent_message").open('{')
	j.key("intent").open('{')
	j.key("scope").num(uint64(s.Intent[0]))
	j.key("version").num(uint64(s.Intent[1]))
	j.key("app_id").num(uint64(s.Intent[2]))
	j.close('}')
	j.key("value").transactionData(&s.Data)
	j.close('}')
	jsonList(j.key("tx_signatures"), s.Signatures, j.base64)
	j.close('}')
	j.close(']')
	j.key("auth_signature").raw("{}")
	j.close('}')
}

func (j *jsonText) summary(s *Summary) {
	j.open('{')
	j.key("epoch").decimal(s.Epoch)
	j.key("sequence_number").decimal(s.Seq)
	j.key("network_total_transactions").decimal(s.Total)
	j.key("content_digest").digest(s.Content)
	jsonOpt(j.key("previous_digest"), s.Previous, j.digest)
	j.key("epoch_rolling_gas_cost_summary").gasCost(s.Gas)
	j.key("timestamp_ms").decimal(s.TimeMs)
	jsonList(j.key("checkpoint_commitments"), s.Commitments, j.commitment)
	jsonOpt(j.key("end_of_epoch_data"), s.EndOfEpoch, j.endOfEpochData)
	j.key("version_specific_data").hex(s.Specific)
	j.close('}')
}

func (j *jsonText) gasCost(g GasCost) {
	j.open('{')
	j.key("computationCost").decimal(g.Computation)
	j.key("computationCostBurned").decimal(g.ComputationBurned)
	j.key("storageCost").decimal(g.Storage)
	j.key("storageRebate").decimal(g.StorageRebate)
	j.key("nonRefundableStorageFee").decimal(g.NonRefundable)
	j.close('}')
}

func (j *jsonText) commitment(c Commitment) {
	j.variant("ECMHLiveObjectSetDigest", func() { j.variant("digest", func() { j.digest(c.Digest) }) })
}

func (j *jsonText) endOfEpochData(e EndOfEpochData) {
	j.open('{')
	jsonList(j.key("nextEpochCommittee"), e.Committee, func(v Validator) {
		j.open('[')
		j.base64(v.Key[:])
		j.decimal(v.Power)
		j.close(']')
	})
	j.key("nextEpochProtocolVersion").decimal(e.ProtocolVersion)
	jsonList(j.key("epochCommitments"), e.Commitments, j.commitment)
	j.key("epochSupplyChange").str(strconv.FormatInt(e.SupplyChange, 10))
	j.close('}')
}

func (j *jsonText) certificate(c *Certificate) {
	j.open('{')
	j.key("epoch").decimal(c.Epoch)
	j.key("signature").hex(c.Signature[:])
	j.key("signers_map").hex(c.Signers)
	j.close('}')
}

func (j *jsonText) contents(c *Contents) {
	j.variant("V1", func() {
		j.open('{')
		jsonList(j.key("transactions"), c.Transactions, func(d ExecutionDigests) {
			j.open('{')
			j.key("transaction").digest(d.Transaction)
			j.key("effects").digest(d.Effects)
			j.close('}')
		})
		jsonList(j.key("user_signatures"), c.Signatures, func(s [][]byte) { jsonList(j, s, j.base64) })
		j.close('}')
	})
}
