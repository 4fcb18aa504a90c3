package inx

// MilestoneInfo names a milestone.
type MilestoneInfo struct {
	ID    []byte // nil: not said
	Index uint32
	Time  uint32 // seconds
}

// Milestone is a milestone and its payload.
type Milestone struct {
	Info *MilestoneInfo // nil: not said
	Raw  []byte         // the payload with its type; nil where the node has it no more
}

// Append appends the message.
func (m *Milestone) Append(b []byte) []byte {
	if i := m.Info; i != nil {
		b = appendMessage(b, 1, appendNumber(appendNumber(appendWrapped(nil, 1, i.ID), 2, i.Index), 3, i.Time))
	}
	return appendWrapped(b, 2, m.Raw)
}

// ParseMilestone decodes a Milestone.
func ParseMilestone(raw []byte) (*Milestone, error) {
	m := &Milestone{}
	return m, parse(raw, m.take)
}

func (m *Milestone) take(f field) (err error) {
	switch f.id {
	case 1:
		m.Info = &MilestoneInfo{}
		err = f.message(m.Info.take)
	case 2:
		m.Raw, err = f.wrapped()
	}
	return err
}

func (i *MilestoneInfo) take(f field) (err error) {
	switch f.id {
	case 1:
		i.ID, err = f.wrapped()
	case 2:
		i.Index, err = f.number()
	case 3:
		i.Time, err = f.number()
	}
	return err
}

// Confirmed is a confirmed milestone, a MilestoneAndProtocolParameters.
type Confirmed struct {
	Milestone  *Milestone  // nil: not said
	Parameters *Parameters // in force at this milestone; nil: not said
}

// Append appends the message.
func (m *Confirmed) Append(b []byte) []byte {
	if m.Milestone != nil {
		b = appendMessage(b, 1, m.Milestone.Append(nil))
	}
	if m.Parameters != nil {
		b = appendMessage(b, 2, m.Parameters.Append(nil))
	}
	return b
}

// ParseConfirmed decodes a MilestoneAndProtocolParameters.
func ParseConfirmed(raw []byte) (*Confirmed, error) {
	m := &Confirmed{}
	err := parse(raw, func(f field) error {
		switch f.id {
		case 1:
			m.Milestone = &Milestone{}
			return f.message(m.Milestone.take)
		case 2:
			m.Parameters = &Parameters{}
			return f.message(m.Parameters.take)
		}
		return nil
	})
	return m, err
}

// The ledger inclusion states of a block.
const (
	NoTransaction uint32 = 0
	Included      uint32 = 1
	Conflicting   uint32 = 2
)

// Metadata is what a node says of a block, a BlockMetadata. Of a solid entry point it says ID and Solid only.
type Metadata struct {
	ID         []byte // nil: not said
	Parents    [][]byte
	Solid      bool
	Promote    bool
	Reattach   bool
	Referenced uint32 // milestone that confirmed it; 0: none did
	Milestone  uint32 // index of the milestone that the block carries, if it does
	State      uint32
	Reason     uint32 // of a conflict
	Place      uint32 // white-flag index, from 0
}

// Append appends the message.
func (m *Metadata) Append(b []byte) []byte {
	b = appendWrapped(b, 1, m.ID)
	for _, p := range m.Parents {
		b = appendMessage(b, 2, AppendWrapped(nil, p))
	}
	b = appendFlag(appendFlag(appendFlag(b, 3, m.Solid), 4, m.Promote), 5, m.Reattach)
	b = appendNumber(appendNumber(b, 6, m.Referenced), 7, m.Milestone)
	return appendNumber(appendNumber(appendNumber(b, 8, m.State), 9, m.Reason), 10, m.Place)
}

// ParseMetadata decodes a BlockMetadata.
func ParseMetadata(raw []byte) (*Metadata, error) {
	m := &Metadata{}
	return m, parse(raw, m.take)
}

func (m *Metadata) take(f field) (err error) {
	switch f.id {
	case 1:
		m.ID, err = f.wrapped()
	case 2:
		var p []byte
		if err = f.element(); err == nil {
			p, err = f.wrapped()
			m.Parents = append(m.Parents, p)
		}
	case 3:
		m.Solid, err = f.flag()
	case 4:
		m.Promote, err = f.flag()
	case 5:
		m.Reattach, err = f.flag()
	case 6:
		m.Referenced, err = f.number()
	case 7:
		m.Milestone, err = f.number()
	case 8:
		m.State, err = f.number()
	case 9:
		m.Reason, err = f.number()
	case 10:
		m.Place, err = f.number()
	}
	return err
}

// Block is a record of a cone, a BlockWithMetadata.
type Block struct {
	Metadata *Metadata // nil: not said
	Raw      []byte    // nil: not said
}

// Append appends the message.
func (m *Block) Append(b []byte) []byte {
	if m.Metadata != nil {
		b = appendMessage(b, 1, m.Metadata.Append(nil))
	}
	return appendWrapped(b, 2, m.Raw)
}

// ParseBlock decodes a BlockWithMetadata.
func ParseBlock(raw []byte) (*Block, error) {
	m := &Block{}
	err := parse(raw, func(f field) (err error) {
		switch f.id {
		case 1:
			m.Metadata = &Metadata{}
			err = f.message(m.Metadata.take)
		case 2:
			m.Raw, err = f.wrapped()
		}
		return err
	})
	return m, err
}
