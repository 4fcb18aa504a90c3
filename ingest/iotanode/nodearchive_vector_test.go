package iotanode

import (
	"bytes"
	"context"
	"crypto/sha3"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"permanode/ledger/ledgertest"
	"permanode/ledger/rebased"
)

// A node archive is read as far as its manifest, and refused as a source. What its files hold is what the
// checkpoints say.
func TestNodeArchiveVector(t *testing.T) {
	chain := miniChain(t)
	for _, path := range ledgertest.Paths(t, "rebased/store/archive/MANIFEST") {
		dir := filepath.Dir(path)
		if _, err := OpenStore(context.Background(), Config{Address: dir}); !errors.Is(err, ErrManifest) || !strings.Contains(err.Error(), "node archive") {
			t.Errorf("opened as a store: %v", err)
		}
		if _, err := IsStore(dir); err == nil || !strings.Contains(err.Error(), "node archive") {
			t.Errorf("taken for a store: %v", err)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		a, err := parseArchive(raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range ledgertest.Files[storeExpected](t, "rebased/store/expected.json") {
			want := file.Data.Archive
			if a.Next != want.Next || a.Epoch != want.Epoch || len(a.Files) != len(want.Files) {
				t.Fatalf("%+v, want %+v", a, want)
			}
			for i, f := range want.Files {
				got, kind := a.Files[i], []string{"CheckpointContent", "CheckpointSummary"}[a.Files[i].Type]
				if kind != f.Type || got.Epoch != f.Epoch || got.Start != f.Start || got.End != f.End || hex.EncodeToString(got.SHA3[:]) != f.SHA3 {
					t.Errorf("%+v, want %+v", got, f)
				}
				content, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(f.File)))
				if err != nil {
					t.Fatal(err)
				}
				if sha3.Sum256(content) != got.SHA3 {
					t.Errorf("%s has another sum", f.File)
				}
				blobs := archiveBlobs(t, content)
				if uint64(len(blobs)) != f.End-f.Start {
					t.Fatalf("%s holds %d blobs", f.File, len(blobs))
				}
				for k, blob := range blobs {
					checkArchived(t, chain.File(f.Start+uint64(k)), got.Type, blob)
				}
			}
		}
	}
}

// checkArchived compares what an archive says of a checkpoint with the checkpoint.
func checkArchived(t *testing.T, chk []byte, kind uint32, blob []byte) {
	t.Helper()
	c, err := splitFile(chk)
	if err != nil {
		t.Fatal(err)
	}
	if kind == archiveSummaries {
		if !bytes.HasPrefix(c.head, blob) {
			t.Errorf("checkpoint %d: its summary differs", seqOf(c.head))
		}
		return
	}
	for i, raw := range c.raws { // each envelope and its effects stand in the contents, one after the other
		parts, err := rebased.ParseRaw(raw)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(blob, append(bytes.Clone(parts[0].Raw), parts[1].Raw...)) {
			t.Errorf("checkpoint %d: transaction %d differs", seqOf(c.head), i)
		}
	}
}

// archiveBlobs unpacks a file of a node archive, which has the form of a batch but another magic.
func archiveBlobs(t *testing.T, content []byte) (out [][]byte) {
	t.Helper()
	body := content[batchHeader:]
	if content[5] == 1 {
		z, err := zstd.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		if body, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	for len(body) > 0 {
		data, n, err := cutBlob(body)
		if err != nil {
			t.Fatal(fmt.Errorf("blob %d: %w", len(out), err))
		}
		out, body = append(out, data), body[n:]
	}
	return out
}
