package trail

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"permanode/internal/durable"
)

// Head is the newest line that is on disk.
type Head struct {
	Seq    uint64 `json:"seq"`
	SHA256 string `json:"sha256"`
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"` // where the line ends in the file
}

// noHead is the head before line 1. It is noted too, so that HEAD is there wherever a line is.
var noHead = Head{SHA256: zeroHash}

func (h Head) state() state { return state{h.Seq, h.SHA256} }

func (h Head) encode() ([]byte, error) {
	raw, err := json.Marshal(h)
	return append(raw, '\n'), err
}

func (h Head) String() string {
	if h == noHead {
		return "no line"
	}
	return fmt.Sprintf("line %d", h.Seq)
}

// readHead returns the head that was noted; there is false if none was. It takes exactly what writeHead writes.
func readHead(dir string) (h Head, there bool, err error) {
	raw, err := readSmall(filepath.Join(dir, headFile))
	if errors.Is(err, fs.ErrNotExist) {
		return h, false, nil
	}
	if err != nil {
		return h, false, err
	}
	if err := json.Unmarshal(raw, &h); err != nil {
		return Head{}, true, fmt.Errorf("%s is no JSON object: %w", headFile, err)
	}
	if _, ok := dayOf(h.File); h != noHead && (!ok || h.Seq == 0 || len(h.SHA256) != len(zeroHash) || h.Bytes < 1) {
		return Head{}, true, fmt.Errorf("%s names no line", headFile)
	}
	if want, err := h.encode(); err != nil || !bytes.Equal(raw, want) {
		return Head{}, true, fmt.Errorf("%s is not written as the service writes it", headFile)
	}
	return h, true, nil
}

func readSmall(name string) ([]byte, error) {
	f, err := durable.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 4096))
}

// writeHead notes h. It comes after the sync of the line, so that it never names one that is not there.
func writeHead(dir string, h Head) error {
	raw, err := h.encode()
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, headFile), raw, 0o600)
}

// behind judges the lines behind the one that HEAD names. A service notes HEAD after each batch and begins no other one
// before that, and the first batch of each is its start line alone. So a kill leaves behind HEAD one batch at most, which is
// in one file and no longer than a queue and ends the run if it ends with a stop, and then a start line for each start that
// was killed at once. Whatever else is there was written while HEAD went on: it was put back.
type behind struct {
	file   string // of the batch
	lines  int    // of it
	begins bool   // only starts can follow
}

// behindHead returns what judges the lines behind a line of that event; "" is the place before line 1.
func behindHead(event string) behind { return behind{begins: event == "" || event == stop} }

// takes reports whether a kill can leave the next line there.
func (b *behind) takes(file, event string) bool {
	switch {
	case event == start:
		b.begins = true
		return true
	case b.begins || b.file != "" && b.file != file:
		return false
	}
	b.file, b.begins = file, event == stop
	if event != lost { // these are as many as tries to write failed
		b.lines++
	}
	return b.lines <= maxQueue+2 // a count of refused calls and a stop need no room
}
