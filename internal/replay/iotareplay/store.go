package iotareplay

import (
	"bytes"
	"crypto/sha3"
	"encoding/binary"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"permanode/ledger/rebased/bcs"
)

// Batch is one file of a store: the checkpoints First to Last, packed with zstd or not.
type Batch struct {
	First, Last uint64
	Packed      bool
}

// Store is the files of a checkpoint store, by name. It serves them over HTTP.
type Store map[string][]byte

// StoreOf returns the store with the given batches of c, and its MANIFEST. Batches may overlap and leave holes.
// change may alter the bytes of a checkpoint in one file, before the sums are made; nil alters none.
func StoreOf(c *Chain, batches []Batch, change func(file string, seq uint64, chk []byte) []byte) (Store, error) {
	s := Store{}
	manifest := append([]byte{}, 0, 1) // V1, archive version
	list := []byte{}
	var next uint64
	for _, b := range batches {
		name := strconv.FormatUint(b.First, 10) + ".chk"
		body := []byte{}
		for seq := b.First; seq <= b.Last; seq++ {
			chk := c.File(seq)
			if chk == nil {
				return nil, fmt.Errorf("the chain has no checkpoint %d", seq)
			}
			if change != nil {
				chk = change(name, seq, bytes.Clone(chk))
			}
			body = appendBlob(body, chk)
		}
		file := append([]byte{0, 0, 0xbe, 0xef, 0}, packed(b.Packed))
		if b.Packed {
			z, err := zstd.NewWriter(nil)
			if err != nil {
				return nil, err
			}
			body = z.EncodeAll(body, nil)
			if err := z.Close(); err != nil {
				return nil, err
			}
		}
		s[name] = append(file, body...)
		sum := sha3.Sum256(s[name])
		list = binary.LittleEndian.AppendUint64(list, b.First)
		list = binary.LittleEndian.AppendUint64(list, b.Last+1)
		list = append(list, sum[:]...)
		next = max(next, b.Last+1)
	}
	manifest = binary.LittleEndian.AppendUint64(manifest, next)
	manifest = append(bcs.AppendULEB(manifest, uint32(len(batches))), list...)
	raw := appendBlob([]byte{0, 0, 0xfa, 0xce}, manifest)
	sum := sha3.Sum256(raw)
	s["MANIFEST"] = append(raw, sum[:]...)
	return s, nil
}

func packed(yes bool) byte {
	if yes {
		return 1
	}
	return 0
}

// appendBlob appends length, encoding byte and data.
func appendBlob(dst, data []byte) []byte {
	return append(append(binary.AppendUvarint(dst, uint64(len(data))), 1), data...)
}

// ServeHTTP serves the files.
func (s Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	body, ok := s[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
}

// Write writes the files to dir.
func (s Store) Write(dir string) error {
	for name, body := range s {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o644); err != nil {
			return err
		}
	}
	return nil
}
