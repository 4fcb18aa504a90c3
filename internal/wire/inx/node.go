package inx

import "google.golang.org/protobuf/encoding/protowire"

// KeyRange says from which to which milestone a coordinator key applies, both included; End 0 is open.
type KeyRange struct {
	Key        []byte
	Start, End uint32
}

// BaseToken is how a network writes its coin. Nothing depends on it.
type BaseToken struct {
	Name, Ticker, Unit, Subunit string
	Decimals                    uint32
	MetricPrefix                bool
}

// Configuration is what a node was configured with, a NodeConfiguration.
type Configuration struct {
	KeyCount uint32     // least number of keys that sign a milestone
	Ranges   []KeyRange // in the node's order
	Token    *BaseToken // nil: not said
	Versions []uint32   // protocol versions that the node supports
}

// Append appends the message.
func (m *Configuration) Append(b []byte) []byte {
	b = appendNumber(b, 1, m.KeyCount)
	for i := range m.Ranges {
		r := &m.Ranges[i]
		b = appendMessage(b, 2, appendNumber(appendNumber(appendBytes(nil, 1, r.Key), 2, r.Start), 3, r.End))
	}
	if m.Token != nil {
		b = appendMessage(b, 3, m.Token.append(nil))
	}
	var packed []byte
	for _, v := range m.Versions {
		packed = protowire.AppendVarint(packed, uint64(v))
	}
	return appendBytes(b, 4, packed)
}

func (t *BaseToken) append(b []byte) []byte {
	b = appendText(appendText(b, 1, t.Name), 2, t.Ticker)
	b = appendText(appendText(b, 3, t.Unit), 4, t.Subunit)
	return appendFlag(appendNumber(b, 5, t.Decimals), 6, t.MetricPrefix)
}

// ParseConfiguration decodes a NodeConfiguration.
func ParseConfiguration(raw []byte) (*Configuration, error) {
	m := &Configuration{}
	err := parse(raw, func(f field) (err error) {
		switch f.id {
		case 1:
			m.KeyCount, err = f.number()
		case 2:
			err = m.addRange(f)
		case 3:
			m.Token = &BaseToken{}
			err = f.message(m.Token.take)
		case 4:
			m.Versions, err = f.numbers(m.Versions)
		}
		return err
	})
	return m, err
}

func (m *Configuration) addRange(f field) error {
	if err := f.element(); err != nil {
		return err
	}
	var r KeyRange
	err := f.message(func(f field) (err error) {
		switch f.id {
		case 1:
			r.Key, err = f.bytes()
		case 2:
			r.Start, err = f.number()
		case 3:
			r.End, err = f.number()
		}
		return err
	})
	m.Ranges = append(m.Ranges, r)
	return err
}

func (t *BaseToken) take(f field) (err error) {
	switch f.id {
	case 1:
		t.Name, err = f.text()
	case 2:
		t.Ticker, err = f.text()
	case 3:
		t.Unit, err = f.text()
	case 4:
		t.Subunit, err = f.text()
	case 5:
		t.Decimals, err = f.number()
	case 6:
		t.MetricPrefix, err = f.flag()
	}
	return err
}

// Parameters are a RawProtocolParameters: binary protocol parameters and their version.
type Parameters struct {
	Version uint32
	Params  []byte
}

// Append appends the message.
func (m *Parameters) Append(b []byte) []byte {
	return appendBytes(appendNumber(b, 1, m.Version), 2, m.Params)
}

// ParseParameters decodes a RawProtocolParameters.
func ParseParameters(raw []byte) (*Parameters, error) {
	m := &Parameters{}
	return m, parse(raw, m.take)
}

func (m *Parameters) take(f field) (err error) {
	switch f.id {
	case 1:
		m.Version, err = f.number()
	case 2:
		m.Params, err = f.bytes()
	}
	return err
}

// Status is what a node says of itself, a NodeStatus.
type Status struct {
	Healthy, Synced, AlmostSynced bool
	Latest, Confirmed             *Milestone  // nil: not said
	Parameters                    *Parameters // in force at the confirmed milestone; nil: not said

	// The newest milestones that are gone from the tangle, the milestones and the ledger.
	TanglePruned, MilestonesPruned, LedgerPruned uint32

	LedgerIndex uint32
}

// Append appends the message.
func (m *Status) Append(b []byte) []byte {
	b = appendFlag(appendFlag(appendFlag(b, 1, m.Healthy), 2, m.Synced), 3, m.AlmostSynced)
	if m.Latest != nil {
		b = appendMessage(b, 4, m.Latest.Append(nil))
	}
	if m.Confirmed != nil {
		b = appendMessage(b, 5, m.Confirmed.Append(nil))
	}
	if m.Parameters != nil {
		b = appendMessage(b, 6, m.Parameters.Append(nil))
	}
	b = appendNumber(appendNumber(b, 7, m.TanglePruned), 8, m.MilestonesPruned)
	return appendNumber(appendNumber(b, 9, m.LedgerPruned), 10, m.LedgerIndex)
}

// ParseStatus decodes a NodeStatus.
func ParseStatus(raw []byte) (*Status, error) {
	m := &Status{}
	err := parse(raw, func(f field) (err error) {
		switch f.id {
		case 1:
			m.Healthy, err = f.flag()
		case 2:
			m.Synced, err = f.flag()
		case 3:
			m.AlmostSynced, err = f.flag()
		case 4:
			m.Latest = &Milestone{}
			err = f.message(m.Latest.take)
		case 5:
			m.Confirmed = &Milestone{}
			err = f.message(m.Confirmed.take)
		case 6:
			m.Parameters = &Parameters{}
			err = f.message(m.Parameters.take)
		case 7:
			m.TanglePruned, err = f.number()
		case 8:
			m.MilestonesPruned, err = f.number()
		case 9:
			m.LedgerPruned, err = f.number()
		case 10:
			m.LedgerIndex, err = f.number()
		}
		return err
	})
	return m, err
}
