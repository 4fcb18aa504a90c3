package iota

// The full names of the methods.
const (
	service           = "/iota.grpc.v1.ledger_service.LedgerService/"
	GetHealth         = service + "GetHealth"
	GetServiceInfo    = service + "GetServiceInfo"
	GetCheckpoint     = service + "GetCheckpoint"
	StreamCheckpoints = service + "StreamCheckpoints"
	GetEpoch          = service + "GetEpoch"
)

// WholeMask returns the read mask for everything that the proof of a checkpoint needs.
func WholeMask() []string {
	return append(HeadMask(),
		"transactions.transaction.bcs", "transactions.signatures", "transactions.effects.bcs",
		"transactions.events.events.bcs", "transactions.input_objects.bcs", "transactions.output_objects.bcs")
}

// HeadMask returns the read mask for summary, certificate and contents.
func HeadMask() []string {
	return []string{"checkpoint.summary.bcs", "checkpoint.signature", "checkpoint.contents.bcs"}
}

// ServiceInfo is what a node says of itself. nil fields were not said.
type ServiceInfo struct {
	ChainID       []byte // digest of checkpoint 0, 32 bytes
	Chain         string // readable name
	Epoch         *uint64
	Height        *uint64 // newest executed checkpoint
	Lowest        *uint64 // oldest checkpoint whose transactions are available
	LowestObjects *uint64 // oldest checkpoint whose objects are available
	Server        string
}

// Append appends the message.
func (m *ServiceInfo) Append(b []byte) []byte {
	b = appendWrapped(b, 1, 1, m.ChainID)
	b = appendText(b, 2, m.Chain)
	b = appendNumber(b, 3, m.Epoch)
	b = appendNumber(b, 4, m.Height)
	b = appendNumber(b, 6, m.Lowest)
	b = appendNumber(b, 7, m.LowestObjects)
	return appendText(b, 8, m.Server)
}

// ParseServiceInfo decodes a GetServiceInfoResponse.
func ParseServiceInfo(raw []byte) (*ServiceInfo, error) {
	m := &ServiceInfo{}
	err := parse(raw, func(f field) (err error) {
		var text []byte
		switch f.id {
		case 1:
			m.ChainID, err = f.inner(1)
		case 2:
			text, err = f.bytes()
			m.Chain = string(text)
		case 3:
			m.Epoch, err = f.number()
		case 4:
			m.Height, err = f.number()
		case 6:
			m.Lowest, err = f.number()
		case 7:
			m.LowestObjects, err = f.number()
		case 8:
			text, err = f.bytes()
			m.Server = string(text)
		}
		return err
	})
	return m, err
}

// Health is a GetHealthResponse.
type Health struct{ Height *uint64 } // newest executed checkpoint

// Append appends the message.
func (m *Health) Append(b []byte) []byte { return appendNumber(b, 1, m.Height) }

// CheckpointRequest asks for one checkpoint: the newest, or that of a number. A request by digest is
// not used here.
type CheckpointRequest struct {
	Latest     bool
	Seq        *uint64
	Mask       []string
	MaxMessage *uint64 // bytes
}

// Append appends the message.
func (m *CheckpointRequest) Append(b []byte) []byte {
	if m.Latest {
		one := uint64(1)
		b = appendNumber(b, 1, &one)
	}
	b = appendNumber(b, 2, m.Seq)
	b = appendMask(b, 4, m.Mask)
	return appendNumber(b, 7, m.MaxMessage)
}

// ParseCheckpointRequest decodes a GetCheckpointRequest.
func ParseCheckpointRequest(raw []byte) (*CheckpointRequest, error) {
	m := &CheckpointRequest{}
	err := parse(raw, func(f field) (err error) {
		switch f.id {
		case 1:
			var v *uint64
			if v, err = f.number(); err == nil {
				m.Latest = *v != 0
			}
		case 2:
			m.Seq, err = f.number()
		case 4:
			m.Mask, err = f.mask()
		case 7:
			m.MaxMessage, err = f.number()
		}
		return err
	})
	return m, err
}

// StreamRequest asks for checkpoints in order.
type StreamRequest struct {
	Start, End *uint64 // nil: from the newest; without end. End is inclusive
	Mask       []string
	MaxMessage *uint64 // bytes
}

// Append appends the message.
func (m *StreamRequest) Append(b []byte) []byte {
	b = appendNumber(b, 1, m.Start)
	b = appendNumber(b, 2, m.End)
	b = appendMask(b, 3, m.Mask)
	return appendNumber(b, 8, m.MaxMessage)
}

// ParseStreamRequest decodes a StreamCheckpointsRequest.
func ParseStreamRequest(raw []byte) (*StreamRequest, error) {
	m := &StreamRequest{}
	err := parse(raw, func(f field) (err error) {
		switch f.id {
		case 1:
			m.Start, err = f.number()
		case 2:
			m.End, err = f.number()
		case 3:
			m.Mask, err = f.mask()
		case 8:
			m.MaxMessage, err = f.number()
		}
		return err
	})
	return m, err
}

// InfoRequest is a GetServiceInfoRequest.
type InfoRequest struct{ Mask []string }

// Append appends the message.
func (m *InfoRequest) Append(b []byte) []byte { return appendMask(b, 1, m.Mask) }

// EpochRequest asks for the committee of an epoch, nil for the current one.
type EpochRequest struct {
	Epoch *uint64
	Mask  []string
}

// Append appends the message.
func (m *EpochRequest) Append(b []byte) []byte {
	return appendMask(appendNumber(b, 1, m.Epoch), 2, m.Mask)
}

// ParseEpochRequest decodes a GetEpochRequest.
func ParseEpochRequest(raw []byte) (*EpochRequest, error) {
	m := &EpochRequest{}
	err := parse(raw, func(f field) (err error) {
		switch f.id {
		case 1:
			m.Epoch, err = f.number()
		case 2:
			m.Mask, err = f.mask()
		}
		return err
	})
	return m, err
}

// Epoch is a GetEpochResponse: the committee of an epoch, and its checkpoints.
type Epoch struct {
	Epoch       *uint64
	Members     []Member // in the order of the message
	First, Last *uint64  // checkpoints; Last is nil for the current epoch
}

// Member is one validator of a committee.
type Member struct {
	Key    []byte
	Weight uint64
}

// Append appends the message.
func (m *Epoch) Append(b []byte) []byte {
	return appendMessage(b, 1, func(b []byte) []byte {
		b = appendNumber(b, 1, m.Epoch)
		if m.Members != nil {
			b = appendMessage(b, 2, m.appendCommittee)
		}
		b = appendNumber(b, 4, m.First)
		return appendNumber(b, 5, m.Last)
	})
}

func (m *Epoch) appendCommittee(b []byte) []byte {
	b = appendNumber(b, 1, m.Epoch)
	return appendMessage(b, 2, func(b []byte) []byte {
		for i := range m.Members {
			b = appendMessage(b, 1, func(b []byte) []byte {
				return appendNumber(appendBytes(b, 1, m.Members[i].Key), 2, &m.Members[i].Weight)
			})
		}
		return b
	})
}

// ParseEpoch decodes a GetEpochResponse.
func ParseEpoch(raw []byte) (*Epoch, error) {
	m := &Epoch{}
	err := parse(raw, func(f field) error {
		if f.id != 1 {
			return nil
		}
		epoch, err := f.bytes()
		if err != nil {
			return err
		}
		return each(epoch, f.left, m.take)
	})
	return m, err
}

func (m *Epoch) take(f field) (err error) {
	switch f.id {
	case 1:
		m.Epoch, err = f.number()
	case 2:
		err = f.list(2, func(members field) error { return members.list(1, m.takeMember) })
	case 4:
		m.First, err = f.number()
	case 5:
		m.Last, err = f.number()
	}
	return err
}

func (m *Epoch) takeMember(f field) error {
	var v Member
	raw, err := f.bytes()
	if err != nil {
		return err
	}
	err = each(raw, f.left, func(g field) (err error) {
		switch g.id {
		case 1:
			v.Key, err = g.bytes()
		case 2:
			var w *uint64
			if w, err = g.number(); err == nil {
				v.Weight = *w
			}
		}
		return err
	})
	m.Members = append(m.Members, v)
	return err
}
