package index

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"permanode/internal/durable"
	"permanode/internal/ranges"
)

// manifestName lists the files of a closed shard. A folder with a name of two numbers and without it is damaged.
const manifestName = "manifest.json"

// errDamaged says that files are not what was written: the shard can only be made again.
var errDamaged = errors.New("damaged")

// manifest is what a closed shard must be.
type manifest struct {
	Format   int            `json:"format"`
	Mapping  string         `json:"mapping"`
	Identity string         `json:"identity"` // of the network
	Segment  string         `json:"segment"`  // format of the segment files
	Docs     uint64         `json:"docs"`
	Units    []manifestSpan `json:"units"`
	Files    []manifestFile `json:"files"`
}

type manifestSpan struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

type manifestFile struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// describe hashes the files of dir and makes them durable.
func describe(dir string) (files []manifestFile, err error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		f, err := os.OpenFile(filepath.Join(dir, n.Name()), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		h := sha256.New()
		size, err := io.Copy(h, f)
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			return nil, err
		}
		files = append(files, manifestFile{n.Name(), size, hex.EncodeToString(h.Sum(nil))})
	}
	return files, durable.SyncDir(dir)
}

// write writes the manifest of dir, durably.
func (m *manifest) write(dir string) error {
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, manifestName), append(raw, '\n'), 0o644)
}

// maxManifest bounds what is read of a manifest: some hundred thousand ranges of units.
const maxManifest = 32 << 20

// readManifest reads the manifest of dir and compares the sizes of the files.
func readManifest(dir string) (*manifest, error) {
	f, err := os.Open(filepath.Join(dir, manifestName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no %s", errDamaged, manifestName)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m := &manifest{}
	if err := json.NewDecoder(io.LimitReader(f, maxManifest)).Decode(m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errDamaged, manifestName, err)
	}
	if m.Format != 1 || m.Mapping != mappingVersion() || len(m.Files) == 0 {
		return nil, fmt.Errorf("%w: %s is of another version", errDamaged, manifestName)
	}
	for _, file := range m.Files {
		info, err := os.Stat(filepath.Join(dir, filepath.Base(file.Name)))
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil, fmt.Errorf("%w: %s is missing", errDamaged, file.Name)
		case err != nil:
			return nil, err
		case info.Size() != file.Size:
			return nil, fmt.Errorf("%w: %s has %d bytes, not %d", errDamaged, file.Name, info.Size(), file.Size)
		}
	}
	return m, nil
}

// verify compares the hashes of files of at most so many bytes.
func (m *manifest) verify(dir string, most int64) error {
	for _, file := range m.Files {
		if file.Size > most {
			continue
		}
		f, err := os.Open(filepath.Join(dir, filepath.Base(file.Name)))
		if err != nil {
			return err
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != file.SHA256 {
			return fmt.Errorf("%w: %s is not what was written: its SHA-256 is %s, not %s", errDamaged, file.Name, got, file.SHA256)
		}
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		known := func(f manifestFile) bool { return f.Name == n.Name() }
		if n.Name() != manifestName && !slices.ContainsFunc(m.Files, known) {
			return fmt.Errorf("%w: %s was not written", errDamaged, n.Name())
		}
	}
	return nil
}

func (m *manifest) bytes() (n int64) {
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

func (m *manifest) units() (s ranges.Set) {
	for _, u := range m.Units {
		s.Add(u.From, u.To)
	}
	return s
}

func spansOf(s ranges.Set) (out []manifestSpan) {
	for _, r := range s.Ranges() {
		out = append(out, manifestSpan{r.Lo, r.Hi})
	}
	return out
}
