package iota

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// CheckpointData is one message of a stream: exactly one of its fields is set, or none if the payload is of
// a kind that this version does not know.
type CheckpointData struct {
	Checkpoint   *Checkpoint
	Transactions []Transaction // not nil, though perhaps empty, if the payload is transactions
	Progress     *uint64
	End          *uint64 // number of the checkpoint that is now complete
}

// Checkpoint is the head of a checkpoint, as BCS.
type Checkpoint struct {
	Seq       *uint64
	Summary   []byte
	Contents  []byte
	Signature []byte // AuthorityQuorumSignInfo
}

// Transaction is one executed transaction, as BCS. nil fields were not said.
type Transaction struct {
	Data       []byte   // TransactionData
	Signatures [][]byte // BCS of byte strings, one a user signature
	Effects    []byte
	Events     [][]byte // BCS of each event; nil if the message has no events
	Checkpoint *uint64
	Inputs     [][]byte
	Outputs    [][]byte
}

// Append appends the message.
func (m *CheckpointData) Append(b []byte) []byte {
	switch {
	case m.Checkpoint != nil:
		return appendMessage(b, 1, m.Checkpoint.append)
	case m.Transactions != nil:
		return appendMessage(b, 2, func(b []byte) []byte {
			for i := range m.Transactions {
				b = appendMessage(b, 1, m.Transactions[i].append)
			}
			return b
		})
	case m.Progress != nil:
		return appendMessage(b, 4, func(b []byte) []byte { return appendNumber(b, 1, m.Progress) })
	case m.End != nil:
		return appendMessage(b, 5, func(b []byte) []byte { return appendNumber(b, 1, m.End) })
	}
	return b
}

// appendBCS appends a message field whose field 2 is BcsData, the form of everything that has a digest.
func appendBCS(b []byte, id protowire.Number, v []byte) []byte {
	if v == nil {
		return b
	}
	return appendMessage(b, id, func(b []byte) []byte { return appendWrapped(b, 2, 1, v) })
}

func (m *Checkpoint) append(b []byte) []byte {
	b = appendNumber(b, 1, m.Seq)
	b = appendBCS(b, 2, m.Summary)
	b = appendBCS(b, 3, m.Contents)
	if m.Signature != nil {
		b = appendMessage(b, 4, func(b []byte) []byte { return appendWrapped(b, 1, 1, m.Signature) })
	}
	return b
}

func (m *Transaction) append(b []byte) []byte {
	b = appendBCS(b, 1, m.Data)
	b = appendList(b, 2, 1, m.Signatures)
	b = appendBCS(b, 3, m.Effects)
	if m.Events != nil {
		b = appendMessage(b, 4, func(b []byte) []byte { return appendList(b, 2, 1, m.Events) })
	}
	b = appendNumber(b, 5, m.Checkpoint)
	b = appendList(b, 7, 2, m.Inputs)
	return appendList(b, 8, 2, m.Outputs)
}

// appendList appends a message field that holds a list of messages, each with BcsData as its field bcs.
func appendList(b []byte, id, bcs protowire.Number, list [][]byte) []byte {
	if list == nil {
		return b
	}
	return appendMessage(b, id, func(b []byte) []byte {
		for _, v := range list {
			b = appendMessage(b, 1, func(b []byte) []byte { return appendWrapped(b, bcs, 1, v) })
		}
		return b
	})
}

// Size returns the length of the transaction in a message, for cutting chunks.
func (m *Transaction) Size() int { return len(m.append(nil)) + 8 }

// ParseCheckpointData decodes one message of a stream.
func ParseCheckpointData(raw []byte) (*CheckpointData, error) {
	m := &CheckpointData{}
	kinds := 0
	err := parse(raw, func(f field) (err error) {
		switch f.id {
		case 1:
			m.Checkpoint = &Checkpoint{}
			err = m.Checkpoint.parse(f)
		case 2:
			m.Transactions, err = parseTransactions(f)
		case 4:
			m.Progress, err = lastNumber(f)
		case 5:
			m.End, err = lastNumber(f)
		default:
			return nil
		}
		kinds++
		return err
	})
	if err == nil && kinds > 1 {
		err = fmt.Errorf("%w: %d payloads in one message", ErrMessage, kinds)
	}
	return m, err
}

// lastNumber reads field 1 of the message in f; one that is left out is 0.
func lastNumber(f field) (*uint64, error) {
	n := new(uint64)
	msg, err := f.bytes()
	if err != nil {
		return nil, err
	}
	err = each(msg, f.left, func(g field) (err error) {
		if g.id == 1 {
			n, err = g.number()
		}
		return err
	})
	return n, err
}

// bcs reads a message whose field 2 is BcsData.
func (f field) bcs() (found []byte, err error) {
	msg, err := f.bytes()
	if err != nil {
		return nil, err
	}
	err = each(msg, f.left, func(g field) (err error) {
		if g.id == 2 {
			found, err = g.inner(1)
		}
		return err
	})
	return found, err
}

func (m *Checkpoint) parse(f field) error {
	msg, err := f.bytes()
	if err != nil {
		return err
	}
	return each(msg, f.left, func(g field) (err error) {
		switch g.id {
		case 1:
			m.Seq, err = g.number()
		case 2:
			m.Summary, err = g.bcs()
		case 3:
			m.Contents, err = g.bcs()
		case 4:
			err = g.list(1, func(h field) (err error) {
				m.Signature, err = h.inner(1)
				return err
			})
		}
		return err
	})
}

func parseTransactions(f field) ([]Transaction, error) {
	list := []Transaction{}
	err := f.list(1, func(g field) error {
		msg, err := g.bytes()
		if err != nil {
			return err
		}
		if err := g.spend(transactionCost); err != nil {
			return err
		}
		var t Transaction
		if err := each(msg, g.left, t.take); err != nil {
			return err
		}
		list = append(list, t)
		return nil
	})
	return list, err
}

func (m *Transaction) take(f field) (err error) {
	switch f.id {
	case 1:
		m.Data, err = f.bcs()
	case 2:
		m.Signatures, err = f.bcsList(1, m.Signatures)
	case 3:
		m.Effects, err = f.bcs()
	case 4:
		if m.Events == nil {
			m.Events = [][]byte{}
		}
		err = f.list(2, func(g field) (err error) {
			m.Events, err = g.bcsList(1, m.Events)
			return err
		})
	case 5:
		m.Checkpoint, err = f.number()
	case 7:
		m.Inputs, err = f.bcsList(2, m.Inputs)
	case 8:
		m.Outputs, err = f.bcsList(2, m.Outputs)
	}
	return err
}

// bcsList reads a message that holds a list of messages, each with BcsData as its field bcs. An element
// without bytes is an error: nothing may be left out unseen.
func (f field) bcsList(bcs protowire.Number, list [][]byte) ([][]byte, error) {
	if list == nil {
		list = [][]byte{}
	}
	err := f.list(1, func(g field) error {
		var found []byte
		msg, err := g.bytes()
		if err != nil {
			return err
		}
		err = each(msg, g.left, func(h field) (err error) {
			if h.id == bcs {
				found, err = h.inner(1)
			}
			return err
		})
		if err == nil && found == nil {
			err = fmt.Errorf("%w: element %d of a list in field %d has no bytes", ErrMessage, len(list), f.id)
		}
		list = append(list, found)
		return err
	})
	return list, err
}
