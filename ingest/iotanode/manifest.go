package iotanode

import (
	"bytes"
	"cmp"
	"crypto/sha3"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"

	"permanode/ledger/rebased/bcs"
)

// The first four bytes of the files of stores.
const (
	manifestMagic = "\x00\x00\xfa\xce" // MANIFEST of a checkpoint store
	batchMagic    = "\x00\x00\xbe\xef" // batch of checkpoints
	archiveMagic  = "\x00\xc0\xff\xee" // MANIFEST of a node archive
)

const (
	manifestName = "MANIFEST"
	// maxManifest holds 1.3 million files, which is decades of a network at the usual thousand checkpoints a file.
	maxManifest   = 64 << 20
	maxBatchCount = 1 << 22 // checkpoints in one file: four days and more
)

// ErrManifest is wrapped by errors about the bytes of a MANIFEST.
var ErrManifest = errors.New("malformed manifest")

// A File is one batch that a manifest names: the checkpoints Start to End-1.
type File struct {
	Start, End uint64
	SHA3       [32]byte // SHA3-256 of the file as stored
}

// Name returns the file's name in the store.
func (f File) Name() string { return strconv.FormatUint(f.Start, 10) + ".chk" }

// A Manifest is the list of a checkpoint store's files, ordered by Start.
type Manifest struct {
	Next  uint64 // number of the first checkpoint that is not in the store yet
	Files []File

	reach []uint64 // of each file: the largest End up to it
}

// ParseManifest reads a MANIFEST:
//
//	0000FACE | blob(BCS of 0 V1 { archive_version u8, next u64, vec<{ start u64, end u64, sha3 [32] }> }) | SHA3-256
//
// The sum covers all that is before it. Errors wrap [ErrManifest]. Ranges may overlap and leave holes
// ([Manifest.Report]); an empty one, or two files of one name, are errors.
func ParseManifest(raw []byte) (*Manifest, error) {
	if bytes.HasPrefix(raw, []byte(archiveMagic)) {
		return nil, refuseArchive(raw)
	}
	r, err := openManifest(raw, manifestMagic)
	if err != nil {
		return nil, err
	}
	m := &Manifest{}
	version := r.U8()
	m.Next = r.U64()
	n := r.Len(48)
	m.Files = make([]File, 0, n)
	for range n {
		f := File{Start: r.U64(), End: r.U64()}
		copy(f.SHA3[:], r.Fixed(32))
		m.Files = append(m.Files, f)
	}
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if version != 1 {
		return nil, fmt.Errorf("%w: archive version %d, this program reads 1", ErrManifest, version)
	}
	slices.SortFunc(m.Files, func(a, b File) int { return cmp.Compare(a.Start, b.Start) })
	for i, f := range m.Files {
		switch {
		case f.End <= f.Start:
			return nil, fmt.Errorf("%w: file %s ends at checkpoint %d, before it begins", ErrManifest, f.Name(), f.End)
		case f.End-f.Start > maxBatchCount:
			return nil, fmt.Errorf("%w: file %s holds %d checkpoints, at most %d are taken", ErrManifest, f.Name(), f.End-f.Start, maxBatchCount)
		case i > 0 && f.Start == m.Files[i-1].Start:
			return nil, fmt.Errorf("%w: file %s is listed twice", ErrManifest, f.Name())
		}
		m.reach = append(m.reach, f.End)
		if i > 0 {
			m.reach[i] = max(f.End, m.reach[i-1])
		}
	}
	return m, nil
}

// openManifest checks envelope and sum, and returns a reader behind the variant number V1.
func openManifest(raw []byte, magic string) (*bcs.Reader, error) {
	const sum = 32
	switch {
	case len(raw) < len(magic)+sum:
		return nil, fmt.Errorf("%w: %d bytes", ErrManifest, len(raw))
	case !bytes.HasPrefix(raw, []byte(magic)):
		return nil, fmt.Errorf("%w: it begins with %x, not with %x", ErrManifest, raw[:len(magic)], magic)
	}
	body := raw[:len(raw)-sum]
	if got := sha3.Sum256(body); !bytes.Equal(got[:], raw[len(body):]) {
		return nil, fmt.Errorf("%w: its SHA3-256 is %x, it says %x", ErrManifest, got, raw[len(body):])
	}
	blob, n, err := cutBlob(body[len(magic):])
	if err != nil || n != len(body)-len(magic) {
		return nil, fmt.Errorf("%w: it does not hold exactly one blob (%v)", ErrManifest, err)
	}
	r := bcs.NewReader(blob)
	r.Variant("manifest", 1)
	return r, nil
}

// cutBlob reads a blob, varint length | encoding byte | data, at the beginning of b, and returns its data and its
// whole length.
func cutBlob(b []byte) (data []byte, n int, err error) {
	length, n := binary.Uvarint(b)
	switch {
	case n <= 0:
		return nil, 0, errors.New("a blob without length")
	case len(b) < n+1 || uint64(len(b)-n-1) < length:
		return nil, 0, fmt.Errorf("a blob of %d bytes with %d bytes left", length, len(b)-n)
	case b[n] != blobBCS:
		return nil, 0, fmt.Errorf("a blob of the unknown encoding %d", b[n])
	}
	n++
	return b[n : n+int(length)], n + int(length), nil
}

// blobBCS is the encoding byte of a blob.
const blobBCS = 1

// Report says what is odd about the ranges: overlaps, holes, and an end that is not where the manifest says; one
// sentence each, in the order of the checkpoints. None for an orderly one.
func (m *Manifest) Report() (out []string) {
	for i, f := range m.Files {
		if i > 0 && f.Start > m.reach[i-1] {
			out = append(out, fmt.Sprintf("hole: checkpoints %d to %d are in no file", m.reach[i-1], f.Start-1))
		}
		for j := i - 1; j >= 0 && m.reach[j] > f.Start; j-- {
			if o := m.Files[j]; o.End > f.Start {
				out = append(out, fmt.Sprintf("overlap: checkpoints %d to %d are in %s and in %s",
					f.Start, min(o.End, f.End)-1, o.Name(), f.Name()))
			}
			if len(out) >= maxReport {
				return append(out, "and more")
			}
		}
	}
	if _, hi := m.span(); len(m.Files) > 0 && m.Next != hi+1 {
		out = append(out, fmt.Sprintf("end: the manifest says that checkpoint %d is the next to come, its files end with %d", m.Next, hi))
	}
	return out
}

// maxReport bounds a report: a manifest may be nothing but overlaps.
const maxReport = 100

// holding returns the files that hold checkpoint seq, in the manifest's order.
func (m *Manifest) holding(seq uint64) (out []int) {
	above := sort.Search(len(m.Files), func(i int) bool { return m.Files[i].Start > seq })
	for i := above - 1; i >= 0 && m.reach[i] > seq; i-- {
		if m.Files[i].End > seq {
			out = append(out, i)
		}
	}
	slices.Reverse(out)
	return out
}

// span returns the first and the last checkpoint of all files.
func (m *Manifest) span() (lo, hi uint64) {
	if len(m.Files) == 0 {
		return 0, 0
	}
	return m.Files[0].Start, m.reach[len(m.reach)-1] - 1
}
