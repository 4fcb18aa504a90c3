package iotareplay

import (
	"fmt"
	"strings"

	"permanode/internal/wire/iota"
	"permanode/ledger"
	"permanode/ledger/rebased"
	"permanode/ledger/rebased/bcs"
)

// transaction is a raw as a gRPC message.
func transaction(raw []byte, digest rebased.Digest) (*iota.Transaction, error) {
	parts, err := rebased.ParseRaw(raw)
	if err != nil {
		return nil, err
	}
	t := &iota.Transaction{Signatures: [][]byte{}, Inputs: [][]byte{}, Outputs: [][]byte{}}
	for _, p := range parts {
		switch p.Kind {
		case ledger.PartObject:
			if err := envelope(t, p.Raw, digest); err != nil {
				return nil, err
			}
		case ledger.PartEffects:
			t.Effects = p.Raw
		case ledger.PartEvents:
			events, err := rebased.ParseEvents(p.Raw)
			if err != nil {
				return nil, err
			}
			for _, e := range events {
				t.Events = append(t.Events, rebased.AppendEvent(nil, e))
			}
		case ledger.PartInput:
			t.Inputs = append(t.Inputs, p.Raw)
		case ledger.PartOutput:
			t.Outputs = append(t.Outputs, p.Raw)
		default:
			return nil, fmt.Errorf("a part of kind %d cannot be framed", p.Kind)
		}
	}
	return t, nil
}

// envelope takes TransactionData and signatures out of a SenderSignedTransaction. Where the data is of a form that
// cannot be read, its digest says where it ends.
func envelope(t *iota.Transaction, raw []byte, digest rebased.Digest) error {
	const intent = 3
	signed, err := rebased.ParseSenderSigned(raw)
	if err == nil {
		t.Data = signed.Raw
		for _, s := range signed.Signatures {
			t.Signatures = append(t.Signatures, bcs.AppendBytes(nil, s))
		}
		return nil
	}
	for n := intent + 1; n <= len(raw); n++ {
		if rebased.TransactionDigest(raw[intent:n]) != digest {
			continue
		}
		t.Data = raw[intent:n]
		r := bcs.NewReader(raw[n:])
		for range r.Len(1) {
			t.Signatures = append(t.Signatures, bcs.AppendBytes(nil, r.Bytes()))
		}
		return r.End()
	}
	return err
}

// messages returns the messages of one checkpoint, as far as the read mask wants them: its head, its transactions
// in chunks of at most perMessage and limit bytes, its end.
func (u *unit) messages(mask []string, limit, perMessage int) ([][]byte, error) {
	certified, contents, list, err := rebased.ParseHead(u.head)
	if err != nil {
		return nil, err
	}
	head := iota.Checkpoint{Seq: &u.summary.Seq, Summary: certified.Header}
	if wants(mask, "checkpoint.contents") {
		head.Contents = list
	}
	if wants(mask, "checkpoint.signature") {
		head.Signature = certified.Auth
	}
	out := [][]byte{(&iota.CheckpointData{Checkpoint: &head}).Append(nil)}
	if wants(mask, "transactions") {
		chunk, size := []iota.Transaction{}, 0
		flush := func() {
			if len(chunk) > 0 {
				out = append(out, (&iota.CheckpointData{Transactions: chunk}).Append(nil))
				chunk, size = chunk[:0], 0
			}
		}
		for i, raw := range u.raws {
			t, err := transaction(raw, contents.Transactions[i].Transaction)
			if err != nil {
				return nil, fmt.Errorf("transaction %d of checkpoint %d: %w", i, u.summary.Seq, err)
			}
			n := t.Size()
			if size+n > limit || len(chunk) == perMessage {
				flush()
			}
			chunk, size = append(chunk, *t), size+n
		}
		flush()
	}
	return append(out, (&iota.CheckpointData{End: &u.summary.Seq}).Append(nil)), nil
}

// wants reports whether a mask names something at or below path. Without a mask only the summary is wanted.
func wants(mask []string, path string) bool {
	for _, m := range mask {
		if m == path || strings.HasPrefix(m, path+".") || strings.HasPrefix(path, m+".") {
			return true
		}
	}
	return false
}
