package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"permanode/internal/durable"
)

// quarantine keeps what was refused, for a person to look at: pairs of files
// <dir>/<network>/<seq or id>.<code>.json and .bin. It is bounded in bytes: the oldest pairs go first,
// and dropped.json counts them. It is no part of the truth, so nothing waits for it to be durable. It is
// safe for concurrent use.
type quarantine struct {
	dir   string // of one network; "" keeps nothing
	limit int64

	mu sync.Mutex
}

// refused is what the .json file of a pair says.
type refused struct {
	Network string    `json:"network"`
	Unit    uint64    `json:"unit,omitempty"`
	ID      string    `json:"id,omitempty"`
	Source  string    `json:"source"`
	Code    string    `json:"code"`
	Reason  string    `json:"reason"`
	Time    time.Time `json:"time"`
	Bytes   int       `json:"bytes"`
}

// put writes one pair. The same thing again replaces it.
func (q *quarantine) put(r refused, raw []byte) error {
	if q.dir == "" {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := os.MkdirAll(q.dir, 0o755); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	name := r.ID
	if name == "" {
		name = fmt.Sprint(r.Unit)
	}
	base := filepath.Join(q.dir, name+"."+safeName(r.Code))
	r.Bytes = len(raw)
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	if int64(len(raw)+len(text)) > q.limit {
		return q.count(1)
	}
	// The .json last: a pair without one is the rest of a crash.
	if err := writeOver(base+".bin", raw); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	if err := writeOver(base+".json", text); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	return q.trim()
}

// writeOver writes a file anew.
func writeOver(name string, text []byte) error {
	f, err := durable.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// safeName keeps a code from being a path.
func safeName(code string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(code))
}

type kept struct {
	base string
	size int64
	at   time.Time
}

// trim removes the oldest pairs until the rest fits.
func (q *quarantine) trim() error {
	entries, err := os.ReadDir(q.dir)
	if err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	pairs := map[string]*kept{}
	var total int64
	for _, e := range entries {
		st, err := e.Info()
		base, ok := strings.CutSuffix(e.Name(), filepath.Ext(e.Name()))
		if err != nil || !ok || e.Name() == droppedFile {
			continue
		}
		if pairs[base] == nil {
			pairs[base] = &kept{base: filepath.Join(q.dir, base), at: st.ModTime()}
		}
		pairs[base].size += st.Size()
		total += st.Size()
	}
	if total <= q.limit {
		return nil
	}
	byAge := make([]*kept, 0, len(pairs))
	for _, k := range pairs {
		byAge = append(byAge, k)
	}
	slices.SortFunc(byAge, func(a, b *kept) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return strings.Compare(a.base, b.base)
	})
	dropped := 0
	for _, k := range byAge {
		if total <= q.limit {
			break
		}
		for _, ext := range []string{".json", ".bin"} {
			if err := os.Remove(k.base + ext); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("quarantine: %w", err)
			}
		}
		total -= k.size
		dropped++
	}
	return q.count(dropped)
}

const droppedFile = "dropped.json"

// count adds n to the number of pairs that were dropped.
func (q *quarantine) count(n int) error {
	path := filepath.Join(q.dir, droppedFile)
	var c struct {
		Dropped int `json:"dropped"`
	}
	if old, err := durable.ReadFile(path, 4096); err == nil {
		if err := json.Unmarshal(old, &c); err != nil {
			c.Dropped = 0 // a damaged count begins again: it is only a hint
		}
	}
	c.Dropped += n
	text, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	if err := writeOver(path, text); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	return nil
}
