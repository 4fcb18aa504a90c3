package pebblestore

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"permanode/ledger"
	"permanode/storage"
)

// manifest reads the manifest of a committed unit.
func (v *view) manifest(seq uint64) ([]storage.Digest, error) {
	key := keySeq(tabManifest, v.network.ID, seq)
	val, err := v.get(key)
	if err != nil {
		return nil, v.lost(key, err)
	}
	m, err := decodeManifest(val)
	if err != nil {
		return nil, v.d.badRow(key, err)
	}
	return m, nil
}

// parts compares records that have more bytes than their id covers with the manifest of their unit. It reads that
// at the first such record. One unit, records in order from the first or a single one.
type parts struct {
	v    *view
	rest []storage.Digest // from the record that comes next; nil before the manifest is read
	next uint32           // pos of that record
}

// check fails with a *CorruptError where rec is not what the manifest lists.
func (p *parts) check(rec *ledger.Record, key []byte) error {
	if len(rec.Parts) == 1 {
		return nil
	}
	if p.rest == nil {
		m, err := p.v.manifest(rec.Ord.Seq)
		if err != nil {
			return err
		}
		for len(m) > 0 && m[0].Part != ledger.PartObject {
			m = m[1:]
		}
		p.rest = m
	}
	for ; p.next < rec.Ord.Pos && len(p.rest) > 0; p.next++ {
		p.skip()
	}
	if len(p.rest) < len(rec.Parts) {
		return p.v.d.badRow(key, errors.New("the manifest of its unit does not list its parts"))
	}
	for i, part := range rec.Parts {
		d := &p.rest[i]
		if d.ID != rec.ID || d.Part != part.Kind || int(d.Len) != len(part.Raw) || d.SHA256 != sha256.Sum256(part.Raw) {
			return p.v.d.badRow(key, fmt.Errorf("part %d differs from what the manifest of its unit lists", i))
		}
	}
	p.skip()
	p.next++
	return nil
}

// skip leaves the entries of one record.
func (p *parts) skip() {
	for n := 1; ; n++ {
		if n >= len(p.rest) || p.rest[n].Part == ledger.PartObject {
			p.rest = p.rest[min(n, len(p.rest)):]
			return
		}
	}
}

// checkList compares a unit's list, which its id does not cover, with its manifest.
func (v *view) checkList(u *ledger.Unit, m []storage.Digest) error {
	if u.List == nil {
		return nil
	}
	if len(m) < 2 || m[1].Part != ledger.PartList || int(m[1].Len) != len(u.List) || m[1].SHA256 != sha256.Sum256(u.List) {
		return v.d.badRow(keySeq(tabUnit, v.network.ID, u.Seq), errors.New("its list differs from what its manifest lists"))
	}
	return nil
}

// lost turns a missing row of a committed unit into damage.
func (v *view) lost(key []byte, err error) error {
	if errors.Is(err, pebble.ErrNotFound) {
		return v.d.badRow(key, errMissing)
	}
	return err
}
