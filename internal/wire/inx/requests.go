package inx

// The full names of the methods.
const (
	service                     = "/inx.INX/"
	ReadNodeStatus              = service + "ReadNodeStatus"
	ReadNodeConfiguration       = service + "ReadNodeConfiguration"
	ReadProtocolParameters      = service + "ReadProtocolParameters"
	ReadMilestone               = service + "ReadMilestone"
	ListenToConfirmedMilestones = service + "ListenToConfirmedMilestones"
	ReadMilestoneCone           = service + "ReadMilestoneCone"
	ReadMilestoneConeMetadata   = service + "ReadMilestoneConeMetadata"
	ReadBlock                   = service + "ReadBlock"
	ReadBlockMetadata           = service + "ReadBlockMetadata"
)

// AppendWrapped appends a message that holds one byte string: BlockId, MilestoneId, RawBlock, RawMilestone.
func AppendWrapped(b, v []byte) []byte { return appendBytes(b, 1, v) }

// ParseWrapped decodes a message that holds one byte string. It never returns nil without an error.
func ParseWrapped(raw []byte) ([]byte, error) {
	left := maxElements
	return unwrap(raw, &left)
}

// MilestoneRequest asks about one milestone.
type MilestoneRequest struct {
	Index uint32 // 0: the one with ID
	ID    []byte // nil: not given
}

// Append appends the message.
func (m *MilestoneRequest) Append(b []byte) []byte {
	return appendWrapped(appendNumber(b, 1, m.Index), 2, m.ID)
}

// ParseMilestoneRequest decodes a MilestoneRequest.
func ParseMilestoneRequest(raw []byte) (*MilestoneRequest, error) {
	m := &MilestoneRequest{}
	err := parse(raw, func(f field) (err error) {
		switch f.id {
		case 1:
			m.Index, err = f.number()
		case 2:
			m.ID, err = f.wrapped()
		}
		return err
	})
	return m, err
}

// RangeRequest asks for milestones in order, a MilestoneRangeRequest.
type RangeRequest struct {
	Start uint32 // 0: only what comes from now on
	End   uint32 // inclusive; 0: no end
}

// Append appends the message.
func (m *RangeRequest) Append(b []byte) []byte {
	return appendNumber(appendNumber(b, 1, m.Start), 2, m.End)
}

// ParseRangeRequest decodes a MilestoneRangeRequest.
func ParseRangeRequest(raw []byte) (*RangeRequest, error) {
	m := &RangeRequest{}
	err := parse(raw, func(f field) (err error) {
		switch f.id {
		case 1:
			m.Start, err = f.number()
		case 2:
			m.End, err = f.number()
		}
		return err
	})
	return m, err
}
