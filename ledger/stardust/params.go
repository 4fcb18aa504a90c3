package stardust

import "unicode/utf8"

// ParseParameters reads binary protocol parameters (spec section 3.4). Errors are *SyntaxError.
func ParseParameters(raw []byte) (*Parameters, error) {
	r := reader{b: raw, what: "protocol parameters"}
	p := &Parameters{
		Version:       r.u8(),
		Network:       r.text("network name"),
		HRP:           r.text("address prefix"),
		MinPoWScore:   r.u32(),
		BelowMaxDepth: r.u8(),
		VByteCost:     r.u32(),
		FactorData:    r.u8(),
		FactorKey:     r.u8(),
		Supply:        r.u64(),
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return p, nil
}

func (r *reader) text(what string) string {
	at := r.off
	b := r.take(int(r.u8()))
	if !utf8.Valid(b) {
		r.fail(ReasonText, at, "the %s is no UTF-8 text", what)
	}
	return string(b)
}

// NetworkID returns the number that transactions carry: the first 8 bytes of the hash of the
// network's name (spec section 1).
func (p *Parameters) NetworkID() uint64 { return NetworkID(p.Network) }

// NetworkID returns the id of the network with that name.
func NetworkID(name string) uint64 {
	h := H([]byte(name))
	return le.Uint64(h[:])
}
