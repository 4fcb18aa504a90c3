package iotanode

import (
	"fmt"
)

// The kinds of files of a node archive.
const (
	archiveContents  = 0 // epoch_<n>/<start>.chk: FullCheckpointContents
	archiveSummaries = 1 // epoch_<n>/<start>.sum: CertifiedCheckpointSummary
)

// nodeArchive is the MANIFEST of a node's state archive: summaries, transactions and effects, but no events and no
// objects.
type nodeArchive struct {
	Next, Epoch uint64
	Files       []archiveFile
}

type archiveFile struct {
	Type       uint32
	Epoch      uint64
	Start, End uint64
	SHA3       [32]byte
}

// parseArchive reads the MANIFEST of a node archive: the envelope of [ParseManifest] with the magic 00C0FFEE, around
// V1 { archive_version u8, next u64, vec<{ type, epoch, start, end u64, sha3 [32] }>, epoch u64 }.
func parseArchive(raw []byte) (*nodeArchive, error) {
	r, err := openManifest(raw, archiveMagic)
	if err != nil {
		return nil, err
	}
	a := &nodeArchive{}
	version := r.U8()
	a.Next = r.U64()
	n := r.Len(57)
	a.Files = make([]archiveFile, 0, n)
	for range n {
		f := archiveFile{Type: r.Variant("FileType", archiveSummaries+1), Epoch: r.U64(), Start: r.U64(), End: r.U64()}
		copy(f.SHA3[:], r.Fixed(32))
		a.Files = append(a.Files, f)
	}
	a.Epoch = r.U64()
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if version != 1 {
		return nil, fmt.Errorf("%w: archive version %d, this program reads 1", ErrManifest, version)
	}
	return a, nil
}

// refuseArchive says why a node archive is no source.
func refuseArchive(raw []byte) error {
	a, err := parseArchive(raw)
	if err != nil {
		return fmt.Errorf("a node archive, and damaged: %w", err)
	}
	contents := 0
	for _, f := range a.Files {
		if f.Type == archiveContents {
			contents++
		}
	}
	return fmt.Errorf("%w: it is that of a node archive (checkpoints before %d, %d files of contents), which has no events and no objects "+
		"and cannot be a source: name the network's checkpoint store (…/ingestion/historical)", ErrManifest, a.Next, contents)
}
