package storage

import (
	"crypto/sha256"

	"permanode/ledger"
)

// Manifest returns the manifest of a cone: header, list if any, then every part of every record in order.
func Manifest(c *ledger.Cone) []Digest {
	m := make([]Digest, 0, len(c.Records)+2)
	m = append(m, digest(c.Unit.ID, ledger.PartHeader, c.Unit.Header))
	if c.Unit.List != nil {
		m = append(m, digest(c.Unit.ID, ledger.PartList, c.Unit.List))
	}
	for i := range c.Records {
		r := &c.Records[i]
		for _, p := range r.Parts {
			d := digest(r.ID, p.Kind, p.Raw)
			d.Applied, d.Self = r.State == ledger.Applied, r.Self
			m = append(m, d)
		}
	}
	return m
}

func digest(id ledger.ID, kind ledger.PartKind, raw []byte) Digest {
	return Digest{ID: id, Part: kind, Len: uint32(len(raw)), SHA256: sha256.Sum256(raw)}
}

// FileFault is a file of a store's directory that is not as the last clean stop left it, or a part of it
// that cannot be read.
type FileFault struct {
	Name string   // relative to the directory
	Why  string   // one line
	Hit  []string // rows that cannot be read, in words; none where all can be
}
