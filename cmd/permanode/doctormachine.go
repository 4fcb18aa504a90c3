package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// machine is what doctor reads of the machine.
type machine struct {
	now    func() time.Time
	usage  func(dir string) (vfs.DiskUsage, error)
	probe  func(dir string) (time.Duration, error) // how long a byte takes to be on disk
	files  func() (uint64, error)                  // file handles that a process may have
	memTop func() (uint64, error)                  // bytes that all processes of this one's group may have
}

func thisMachine() machine {
	return machine{now: time.Now, usage: vfs.Default.GetDiskUsage, probe: probeDisk, files: fileLimit, memTop: memoryTop}
}

// nearest returns the directory, or the nearest one above it that is there.
func nearest(dir string) string {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "."
	}
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

const (
	daysFail, daysWarn = 3, 30
	slowSync           = 200 * time.Millisecond
)

func (d *doctor) disk() diagnosis {
	const part, next = "disk", "make room, or move data_dir to a larger disk: permanode copy --from DIR --to OTHER"
	u, err := d.usage(nearest(d.dir))
	if err != nil {
		return fail(part, "look at the disk and at the log of the machine", "%s: %v", d.dir, err)
	}
	text := fmt.Sprintf("%s free of %s", sizeText(u.AvailBytes), sizeText(u.TotalBytes))
	days := -1.0
	if d.perDay > 0 {
		days = float64(u.AvailBytes) / d.perDay
		text += fmt.Sprintf("; the archive grew by %s a day of its ledger: enough for %.0f days", sizeText(uint64(d.perDay)), days)
	}
	switch {
	case u.AvailBytes < diskFloor || days >= 0 && days < daysFail:
		return fail(part, next, "%s", text)
	case u.TotalBytes > 0 && u.AvailBytes < u.TotalBytes/20 || days >= 0 && days < daysWarn:
		return warn(part, next, "%s", text)
	}
	return ok(part, "%s", text)
}

func (d *doctor) writable() diagnosis {
	const part = "disk writes"
	dir := nearest(d.dir)
	took, err := d.probe(dir)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fail(part, "run doctor as the user of the service; if it is that, chown the directory to it", "%s cannot be written: %v", dir, err)
	case err != nil:
		return fail(part, "look at the disk: is it full, mounted read-only, failing? dmesg says more", "%s: %v", dir, err)
	case took > slowSync:
		return warn(part, "each commit waits as long: an SSD of its own, or fewer writers beside it", "a synced write took %s", took.Round(time.Millisecond))
	}
	return ok(part, "a synced write took %s", took.Round(time.Microsecond))
}

// probeDisk writes a byte into a file of its own, syncs it, and removes the file.
func probeDisk(dir string) (took time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".permanode-doctor-*")
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	_, err = f.Write([]byte{1})
	if err == nil {
		err = f.Sync()
	}
	took = time.Since(begin)
	return took, errors.Join(err, f.Close(), os.Remove(f.Name()))
}

// needFiles is what a service may have open: tables, connections, shards of the index, nodes.
const needFiles, wantFiles = 4096, 16384

func (d *doctor) handles() diagnosis {
	const part, next = "file handles", "raise it where the service is started: LimitNOFILE=65536 in its unit, ulimit -n 65536 in a shell"
	n, err := d.files()
	switch {
	case err != nil:
		return warn(part, next, "%v", err)
	case n < needFiles:
		return fail(part, next, "a process started here may have %d open; the service needs up to %d", n, needFiles)
	case n < wantFiles:
		return warn(part, next, "a process started here may have %d open; %d are better for a large archive with many clients", n, wantFiles)
	}
	return ok(part, "a process started here may have %d open", n)
}

func (d *doctor) ram() diagnosis {
	const part, next = "memory", "lower memory: in the config; half of what there is leaves room for what the caches do not count"
	top, err := d.memTop()
	switch {
	case err != nil:
		return warn(part, "see to it that memory: is at most half of what there is", "%v", err)
	case uint64(d.memory) > top/10*9:
		return fail(part, next, "memory: is %s, and there are %s", sizeText(uint64(d.memory)), sizeText(top))
	case uint64(d.memory) > top/10*6:
		return warn(part, next, "memory: is %s, and there are %s", sizeText(uint64(d.memory)), sizeText(top))
	}
	return ok(part, "memory: is %s, and there are %s", sizeText(uint64(d.memory)), sizeText(top))
}

// memoryTop returns the machine's memory, or the limit of this process's control group where that is less.
func memoryTop() (uint64, error) {
	top, err := memTotal("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	return min(top, groupLimit("/proc/self/cgroup", "/sys/fs/cgroup")), nil
}

func memTotal(file string) (uint64, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, fmt.Errorf("how much memory there is cannot be read: %w", err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, found := strings.CutPrefix(lines.Text(), "MemTotal:"); found {
			n, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 54)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("how much memory there is does not stand in %s", file)
}

// groupLimit returns the least memory.max of the control groups that a process is in, the largest number if there is none.
func groupLimit(self, root string) uint64 {
	top := ^uint64(0)
	raw, err := os.ReadFile(self)
	if err != nil {
		return top
	}
	_, path, _ := strings.Cut(strings.TrimSpace(string(raw)), "0::")
	path, _, _ = strings.Cut(path, "\n")
	for dir := filepath.Clean("/" + path); ; dir = filepath.Dir(dir) {
		if raw, err := os.ReadFile(filepath.Join(root, dir, "memory.max")); err == nil {
			if n, err := strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 64); err == nil { // else "max"
				top = min(top, n)
			}
		}
		if dir == "/" {
			return top
		}
	}
}

// clockRow compares the clock with the newest signed time: what is signed is not in the future.
func (d *doctor) clockRow(network string, signed time.Time) diagnosis {
	part := "clock"
	ahead := signed.Sub(d.now()).Round(time.Second)
	switch {
	case ahead > time.Minute:
		return fail(part, "set the clock: timedatectl set-ntp true", "it is %s behind the signed time of the newest unit of %s", ahead, network)
	case ahead > 5*time.Second:
		return warn(part, "set the clock: timedatectl set-ntp true", "it is %s behind the signed time of the newest unit of %s", ahead, network)
	}
	return ok(part, "it is not behind the newest unit of %s, signed at %s", network, signed.UTC().Format(time.RFC3339))
}

// refused says how much was refused: bytes that a source told and that were not true.
func (d *doctor) refused() diagnosis {
	const part = "quarantine"
	n, size := 0, uint64(0)
	err := filepath.WalkDir(quarantine(d.dir), func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if info, err := e.Info(); err == nil && strings.HasSuffix(e.Name(), ".json") {
			n, size = n+1, size+uint64(info.Size())
		} else if err == nil {
			size += uint64(info.Size())
		}
		return nil
	})
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && n == 0:
		return ok(part, "nothing was refused")
	case err != nil:
		return warn(part, "run doctor as the user of the service", "%v", err)
	}
	return warn(part, "read the .json files in "+quarantine(d.dir)+": each says which source told what; move them away when they are understood", "%s something was refused, %s in all", countText(n, "time"), sizeText(size))
}

// leftovers names what costs room and is of no use any more.
func (d *doctor) leftovers(held bool) diagnosis {
	const part = "leftovers"
	if _, err := os.Stat(filepath.Join(d.dir, "checkpoint")); err == nil && !held {
		return warn(part, "it goes when the service starts", "a checkpoint of an earlier run lies in %s and may hold room", d.dir)
	}
	return ok(part, "none")
}

func firstLineOf(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
