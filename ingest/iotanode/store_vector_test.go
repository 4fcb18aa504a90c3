package iotanode

import (
	"bytes"
	"context"
	"crypto/sha3"
	"encoding/binary"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"

	"permanode/ingest"
	"permanode/internal/ranges"
	"permanode/internal/replay/iotareplay"
)

func storeOf(t testing.TB, c *iotareplay.Chain, change func(string, uint64, []byte) []byte, batches ...iotareplay.Batch) iotareplay.Store {
	t.Helper()
	s, err := iotareplay.StoreOf(c, batches, change)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// openFiles opens a store in a folder and the same store over HTTP.
func openFiles(t testing.TB, files iotareplay.Store) map[string]*Store {
	t.Helper()
	dir := t.TempDir()
	if err := files.Write(dir); err != nil {
		t.Fatal(err)
	}
	out := map[string]*Store{}
	for name, address := range map[string]string{"folder": dir, "HTTP": serve(t, files)} {
		s, err := OpenStore(context.Background(), Config{Address: address})
		out[name] = closing(t, s, err)
	}
	return out
}

// FR-14: overlaps and holes are named before anything is read; equal copies are one; different copies can be had
// both, each with its file's name; what lies in a hole is unknown.
func TestOverlapsAndHolesVector(t *testing.T) {
	chain := miniChain(t)
	odd := chain.First() + 4
	change := func(file string, seq uint64, chk []byte) []byte {
		if file == "3.chk" && seq == odd {
			chk[len(chk)-1] ^= 1
		}
		return chk
	}
	files := storeOf(t, chain, change, iotareplay.Batch{First: 0, Last: 5, Packed: true},
		iotareplay.Batch{First: 3, Last: 7}, iotareplay.Batch{First: 10, Last: 12, Packed: true}, iotareplay.Batch{First: 12, Last: chain.Last()})
	ctx := context.Background()
	for name, s := range openFiles(t, files) {
		t.Run(name, func(t *testing.T) {
			report, err := s.Report(ctx)
			want := []string{
				"overlap: checkpoints 3 to 5 are in 0.chk and in 3.chk", "hole: checkpoints 8 to 9 are in no file",
				"overlap: checkpoints 12 to 12 are in 10.chk and in 12.chk",
			}
			if err != nil || !slices.Equal(report, want) {
				t.Errorf("report %q, %v", report, err)
			}
			info, err := s.Info(ctx)
			if err != nil || info.Oldest != 0 || info.Newest != chain.Last() || !slices.Equal(info.Missing, []ranges.Range{{Lo: 8, Hi: 9}}) {
				t.Errorf("%+v, %v", info, err)
			}
			for seq := chain.First(); seq <= chain.Last(); seq++ {
				if seq != 8 && seq != 9 && seq != odd {
					wantCone(t, s, chain, seq)
					continue
				}
				if _, _, err := s.Cone(ctx, seq); !errors.Is(err, ingest.ErrUnknown) || seq == odd && !contains(err, "0.chk and 3.chk differ") {
					t.Errorf("checkpoint %d: %v", seq, err)
				}
			}
			copies, err := s.Copies(ctx)
			names := []string{"/0.chk", "/3.chk", "/10.chk", "/12.chk"}
			if err != nil || len(copies) != len(names) {
				t.Fatalf("%d copies, %v", len(copies), err)
			}
			for i, c := range copies {
				if !strings.HasSuffix(c.Name(), names[i]) {
					t.Errorf("copy %d is called %s", i, c.Name())
				}
				for seq := chain.First(); seq <= chain.Last(); seq++ {
					if _, _, err := c.Cone(ctx, seq); (seq != odd || i > 1) && !errors.Is(err, ingest.ErrUnknown) {
						t.Errorf("%s: checkpoint %d: %v", c.Name(), seq, err)
					}
				}
			}
			if got := copies[1].Copies(); !slices.Equal(got, []ranges.Range{{Lo: 3, Hi: 5}}) {
				t.Errorf("copies of %v", got)
			}
			wantCone(t, copies[0], chain, odd)
			head, raws, err := copies[1].Cone(ctx, odd)
			other, oerr := splitFile(change("3.chk", odd, bytes.Clone(chain.File(odd))))
			if err != nil || oerr != nil {
				t.Fatal(err, oerr)
			}
			compare(t, odd, &cone{head, raws}, other)
		})
	}
}

// A damaged file is named, and not read over and over; where another file has its checkpoints, they come from there.
func TestDamagedFileVector(t *testing.T) {
	chain := miniChain(t)
	files := storeOf(t, chain, nil, iotareplay.Batch{First: 0, Last: 5, Packed: true}, iotareplay.Batch{First: 3, Last: chain.Last()})
	files["0.chk"][20] ^= 1
	ctx := context.Background()
	for name, s := range openFiles(t, files) {
		_, _, err := s.Cone(ctx, 2)
		if sum := new(SumError); !errors.As(err, &sum) || sum.File != "0.chk" || sum.Hint() == "" || errors.Is(err, ingest.ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
		if len(s.bad) != 1 {
			t.Errorf("%s: the file is read again at once", name)
		}
		wantCone(t, s, chain, 3)
		wantCone(t, s, chain, 6)
		copies, err := s.Copies(ctx)
		if err != nil || len(copies) != 2 {
			t.Fatalf("%d copies, %v", len(copies), err)
		}
		if _, _, err := copies[0].Cone(ctx, 3); !errors.As(err, new(*SumError)) {
			t.Errorf("%s: the damaged file as a copy: %v", name, err)
		}
		if _, _, err := copies[1].Cone(ctx, 3); !errors.Is(err, ingest.ErrUnknown) {
			t.Errorf("%s: the good file as a copy: %v", name, err)
		}
	}
}

// cutting breaks each answer for a file after some of its bytes.
type cutting struct {
	http.Handler
	after int
	asked atomic.Int64
}

func (c *cutting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, ".chk") {
		c.Handler.ServeHTTP(w, r)
		return
	}
	c.asked.Add(1)
	c.Handler.ServeHTTP(&cutWriter{w, c.after}, r)
}

type cutWriter struct {
	http.ResponseWriter
	left int
}

func (w *cutWriter) Write(p []byte) (int, error) {
	if len(p) > w.left {
		_, _ = w.ResponseWriter.Write(p[:w.left])
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	w.left -= len(p)
	return w.ResponseWriter.Write(p)
}

// A file whose transfer is cut is loaded on from there, as long as each piece brings something.
func TestCutTransferVector(t *testing.T) {
	chain := miniChain(t)
	padded := func(_ string, seq uint64, chk []byte) []byte {
		if seq == 13 {
			return make([]byte, 300<<10)
		}
		return chk
	}
	files := storeOf(t, chain, padded, iotareplay.Batch{First: 0, Last: chain.Last()})
	size := len(files["0.chk"])
	noRanges := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("Range")
			h.ServeHTTP(w, r)
		})
	}
	for name, c := range map[string]struct {
		h    http.Handler
		cut  int
		want int64
		ok   bool
	}{
		"in pieces":            {files, size/3 + 1, 3, true},
		"pieces too small":     {files, 1000, 1, false},
		"too many pieces":      {files, leastPerTimeout, saveTries, size <= saveTries*leastPerTimeout},
		"a server that cannot": {noRanges(files), size - 10, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			cut := &cutting{Handler: c.h, after: c.cut}
			s, err := OpenStore(context.Background(), Config{Address: serve(t, cut)})
			closing(t, s, err)
			_, _, err = s.Cone(context.Background(), 0)
			if c.ok {
				if err != nil {
					t.Fatal(err)
				}
				wantCone(t, s, chain, 0)
			} else if err == nil || errors.Is(err, ingest.ErrUnknown) {
				t.Errorf("%v", err)
			}
			if got := cut.asked.Load(); got > c.want || c.ok && got < 2 {
				t.Errorf("asked %d times", got)
			}
		})
	}
}

// bomb is a batch of n zero bytes in few packed ones, with a right sum.
func bomb(t *testing.T, n int, options ...zstd.EOption) []byte {
	t.Helper()
	var packed bytes.Buffer
	z, err := zstd.NewWriter(&packed, append(options, zstd.WithEncoderConcurrency(1))...)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1<<20)
	for ; n > 0; n -= len(block) {
		if _, err := z.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return append([]byte{0, 0, 0xbe, 0xef, 0, 1}, packed.Bytes()...)
}

// manifestOf is the MANIFEST of one file.
func manifestOf(file []byte, start, end uint64) []byte {
	m := []byte{0, 1}
	m = binary.LittleEndian.AppendUint64(m, end)
	m = append(m, 1)
	m = binary.LittleEndian.AppendUint64(m, start)
	m = binary.LittleEndian.AppendUint64(m, end)
	sum := sha3.Sum256(file)
	m = append(m, sum[:]...)
	return sealed("\x00\x00\xfa\xce", m)
}

func sealed(magic string, blob []byte) []byte {
	raw := append(binary.AppendUvarint([]byte(magic), uint64(len(blob))), 1)
	raw = append(raw, blob...)
	sum := sha3.Sum256(raw)
	return append(raw, sum[:]...)
}

// Files of a store that are not what they should be are refused by name, in bounded memory.
func TestBadBatchesVector(t *testing.T) {
	chain := miniChain(t)
	good := storeOf(t, chain, nil, iotareplay.Batch{First: 0, Last: 2})["0.chk"]
	with := func(at int, b byte) []byte {
		out := bytes.Clone(good)
		out[at] = b
		return out
	}
	blob := func(head ...byte) []byte { return append([]byte{0, 0, 0xbe, 0xef, 0, 0}, head...) }
	for name, c := range map[string]struct {
		file []byte
		say  string
	}{
		"empty":            {nil, "no batch"},
		"other magic":      {with(3, 0xee), "begins with"},
		"other format":     {with(4, 1), "storage format"},
		"other packing":    {with(5, 2), "compression"},
		"not zstd":         {with(5, 1), "zstd"},
		"other encoding":   {with(8, 2), "encoding"},
		"cut":              {good[:len(good)-1], "ends early"},
		"too long":         {append(bytes.Clone(good), 0), "more than"},
		"blob of 4 GiB":    {blob(0xff, 0xff, 0xff, 0xff, 0x0f, 1), "a blob of"},
		"blob of 2 GiB":    {blob(0xff, 0xff, 0xff, 0xff, 0x07, 1), "ends early"},
		"no length":        {blob(0xff), "no beginning"},
		"bomb of 256 MiB":  {bomb(t, 256<<20), "unpack to more"},
		"window of 64 MiB": {bomb(t, 65<<20, zstd.WithWindowSize(64<<20)), "zstd"},
	} {
		t.Run(name, func(t *testing.T) {
			files := iotareplay.Store{"0.chk": c.file, manifestName: manifestOf(c.file, 0, 3)}
			for from, s := range openFiles(t, files) {
				before := heap()
				_, _, err := s.Cone(context.Background(), 0)
				if err == nil || !strings.Contains(err.Error(), c.say) || !strings.Contains(err.Error(), "0.chk") || errors.Is(err, ingest.ErrUnknown) {
					t.Errorf("%s: %v", from, err)
				}
				if after := heap(); after > before+64<<20 {
					t.Errorf("%s: heap grew from %d to %d bytes", from, before, after)
				}
			}
		})
	}
}

func TestBadManifests(t *testing.T) {
	body := func(version byte, next uint64, files ...[2]uint64) []byte {
		m := binary.LittleEndian.AppendUint64([]byte{0, version}, next)
		m = append(m, byte(len(files)))
		for _, f := range files {
			m = binary.LittleEndian.AppendUint64(m, f[0])
			m = binary.LittleEndian.AppendUint64(m, f[1])
			m = append(m, make([]byte, 32)...)
		}
		return sealed("\x00\x00\xfa\xce", m)
	}
	good := body(1, 10, [2]uint64{5, 10}, [2]uint64{0, 5})
	m, err := ParseManifest(good)
	if err != nil || len(m.Report()) > 0 || m.Files[0].Start != 0 {
		t.Fatalf("%+v, %v", m, err)
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)-40] ^= 1 // in the sum of a file, which can be anything
	for name, raw := range map[string][]byte{
		"empty": {}, "cut": good[:len(good)-1], "flipped": flipped,
		"other magic":      sealed("\x00\x00\xfa\xcf", good[6:20]),
		"other version":    body(2, 10, [2]uint64{0, 10}),
		"ends before":      body(1, 10, [2]uint64{10, 5}),
		"empty range":      body(1, 10, [2]uint64{5, 5}),
		"too long a range": body(1, 10, [2]uint64{0, 1 << 40}),
		"listed twice":     body(1, 10, [2]uint64{0, 5}, [2]uint64{0, 6}),
		"count too large":  sealed("\x00\x00\xfa\xce", append(binary.LittleEndian.AppendUint64([]byte{0, 1}, 1), 0xff, 0xff, 0xff, 0x07)),
		"other variant":    sealed("\x00\x00\xfa\xce", []byte{1, 1}),
		"more behind":      sealed("\x00\x00\xfa\xce", append(good[6:len(good)-32:len(good)-32], 0)),
	} {
		if _, err := ParseManifest(raw); !errors.Is(err, ErrManifest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if report := must(ParseManifest(body(1, 12, [2]uint64{0, 10}))).Report(); len(report) != 1 || !strings.HasPrefix(report[0], "end:") {
		t.Errorf("an end that is not there: %q", report)
	}
	many := make([][2]uint64, 120)
	for i := range many {
		many[i] = [2]uint64{uint64(i), 1000}
	}
	if report := must(ParseManifest(body(1, 1000, many...))).Report(); len(report) != maxReport+1 {
		t.Errorf("%d lines", len(report))
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Nothing of what is unpacked stays behind, not even while it is in use.
func TestNoTempFilesVector(t *testing.T) {
	chain := miniChain(t)
	dir, tmp := t.TempDir(), t.TempDir()
	files := storeOf(t, chain, nil, iotareplay.Batch{First: 0, Last: chain.Last(), Packed: true})
	if err := files.Write(dir); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{dir, serve(t, files)} {
		s, err := OpenStore(context.Background(), Config{Address: address, TempDir: tmp})
		closing(t, s, err)
		wantCone(t, s, chain, 0)
		if left, err := filepath.Glob(filepath.Join(tmp, "*")); err != nil || len(left) > 0 {
			t.Errorf("%q is left, %v", left, err)
		}
	}
	none, err := OpenStore(context.Background(), Config{Address: dir, TempDir: filepath.Join(tmp, "missing")})
	closing(t, none, err)
	if _, _, err := none.Cone(context.Background(), 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no temporary folder: %v", err)
	}
}
