package trail

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"permanode/internal/durable"
)

// ErrNoDay says that the trail has no lines of a day.
var ErrNoDay = errors.New("the access trail has no lines of that day")

// Day is the lines of one day that were on disk when it was opened.
type Day struct {
	io.Reader
	Size int64
	f    *os.File
}

// Close ends the reading.
func (d *Day) Close() error { return d.f.Close() }

// Newest is the day whose file is written now. Lines of earlier days stand there too after a clock was set back, and where
// it is a later day than a clock says, those of today. "" where there is no line.
func (t *Trail) Newest() string { return strings.TrimSuffix(t.Head().File, daySuffix) }

// CheckDay judges a day as [Trail.Day] takes it: 2026-11-26, in UTC.
func CheckDay(day string) error {
	if _, ok := dayOf(day + daySuffix); !ok {
		return fmt.Errorf("%.40q is no day: write it like %s", day, time.DateOnly)
	}
	return nil
}

// Day opens the lines of a day, as bytes of its file: whole lines only. It fails with [ErrNoDay] if there are none.
func (t *Trail) Day(day string) (*Day, error) {
	if err := CheckDay(day); err != nil {
		return nil, err
	}
	name := day + daySuffix
	f, err := durable.Open(filepath.Join(t.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoDay, day)
	} else if err != nil {
		return nil, fmt.Errorf("access trail: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	size := info.Size()
	if h := t.Head(); h.File == name { // behind it a batch may be half written
		size = h.Bytes
	}
	return &Day{io.NewSectionReader(f, 0, size), size, f}, nil
}
