package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"permanode/internal/durable"
	"permanode/internal/replay"
)

// snapshotFile is the name of the ledger before the first unit.
const snapshotFile = "genesis_snapshot.bin"

// Folder is a recording folder. It is safe for concurrent use.
type Folder struct {
	dir string
	rec *replay.Recording
}

// OpenFolder reads the recording in dir once and keeps an index of it. An error names the file, and the
// line where one is damaged.
func OpenFolder(dir string) (*Folder, error) {
	rec, err := replay.OpenRecording(files{os.DirFS(dir)})
	if err != nil {
		return nil, fmt.Errorf("recording %s: %w", dir, err)
	}
	return &Folder{dir: dir, rec: rec}, nil
}

// files opens the files of a file system, and nothing else.
type files struct{ fs.FS }

func (f files) Open(name string) (fs.File, error) {
	info, err := fs.Stat(f.FS, name)
	if err == nil {
		err = durable.Regular(name, info.Mode())
	}
	if err != nil {
		return nil, err
	}
	return f.FS.Open(name)
}

// IsFolder reports whether dir looks like a recording folder.
func IsFolder(dir string) bool {
	for _, name := range []string{"network.json", "rest.jsonl.gz"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || !st.Mode().IsRegular() {
			return false
		}
	}
	return true
}

// Transport answers requests as the recorded node, in this process; the host in the address does not
// matter. The tip is the last unit that the recording vouches for, else the last whole cone.
func (f *Folder) Transport() http.RoundTripper { return replay.Transport(replay.NewNode(f.rec)) }

// Parameters returns network.json: what the recording says of its network, its keys included.
func (f *Folder) Parameters() []byte { return f.rec.Parameters }

// Snapshot returns the path of the folder's own snapshot file, "" if it has none.
func (f *Folder) Snapshot() (string, error) {
	path := filepath.Join(f.dir, snapshotFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	return path, nil
}

// Close frees the index.
func (f *Folder) Close() error { return f.rec.Close() }
