package iotanode

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha3"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"permanode/internal/durable"
)

// Bounds of a batch file. It lies on disk, packed and unpacked; memory holds the place of each checkpoint.
const (
	maxBatchFile = 4 << 30 // as stored
	maxUnpacked  = 16 << 30
	// A batch may unpack to maxRatio times its size and unpackGrace more. Honest ones come to 5 to 20.
	maxRatio    = 100
	unpackGrace = 64 << 20
	maxZstd     = 32 << 20 // window of the decoder: up to level 19 it is 8 MiB
)

const batchHeader = 6 // magic, storage format, compression

// batch is one batch file, ready for reading at any place. Its file has no name any more where it was unpacked.
type batch struct {
	File
	file *os.File
	at   []int64 // where the data of each checkpoint begins
	size []uint32
}

// read returns the bytes of checkpoint seq, at most limit.
func (b *batch) read(seq uint64, limit int64) ([]byte, error) {
	i := seq - b.Start
	if int64(b.size[i]) > limit {
		return nil, tooLarge(int64(b.size[i]), limit)
	}
	raw := make([]byte, b.size[i])
	if _, err := b.file.ReadAt(raw, b.at[i]); err != nil {
		return nil, err
	}
	return raw, nil
}

func (b *batch) close() error { return b.file.Close() }

// temp returns a file without a name: nothing is left behind, however the process ends.
func temp(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "permanode-batch-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// openBatch checks the file that content holds against the manifest, unpacks it if need be, and finds its
// checkpoints. The batch owns content then; on error content is closed.
func openBatch(ctx context.Context, f File, content *os.File, tempDir string) (_ *batch, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("file %s: %w", f.Name(), err), content.Close())
		}
	}()
	size, err := checkSum(ctx, f, content)
	if err != nil {
		return nil, err
	}
	var head [batchHeader]byte
	if _, err := content.ReadAt(head[:], 0); err != nil {
		return nil, fmt.Errorf("%d bytes are no batch", size)
	}
	switch {
	case string(head[:4]) != batchMagic:
		return nil, fmt.Errorf("it begins with %x, a batch with %x", head[:4], batchMagic)
	case head[4] != 0:
		return nil, fmt.Errorf("storage format %d, this program reads 0", head[4])
	case head[5] > 1:
		return nil, fmt.Errorf("compression %d, this program reads 0 and 1", head[5])
	}
	body := io.NewSectionReader(content, batchHeader, size-batchHeader)
	b := &batch{File: f, file: content}
	if head[5] == 0 {
		return b, b.index(ctx, body, batchHeader)
	}
	plain, err := temp(tempDir)
	if err != nil {
		return nil, err
	}
	if err := unpack(ctx, plain, body, size); err != nil {
		return nil, errors.Join(err, plain.Close())
	}
	b.file = plain
	if err := b.index(ctx, io.NewSectionReader(plain, 0, maxUnpacked), 0); err != nil {
		return nil, errors.Join(err, plain.Close())
	}
	return b, content.Close()
}

// checkSum compares the content with the manifest's digest and returns its size.
func checkSum(ctx context.Context, f File, content *os.File) (int64, error) {
	st, err := content.Stat()
	if err != nil {
		return 0, err
	}
	if st.Size() > maxBatchFile {
		return 0, tooLarge(st.Size(), maxBatchFile)
	}
	h := sha3.New256()
	if _, err := copyContext(ctx, h, io.NewSectionReader(content, 0, st.Size())); err != nil {
		return 0, err
	}
	if got := h.Sum(nil); !bytes.Equal(got, f.SHA3[:]) {
		return 0, &SumError{File: f.Name(), Got: [32]byte(got), Want: f.SHA3}
	}
	return st.Size(), nil
}

// A SumError reports a file of a store that is not the one which the manifest lists.
type SumError struct {
	File      string
	Got, Want [32]byte // SHA3-256
}

func (e *SumError) Error() string {
	return fmt.Sprintf("its SHA3-256 is %x, the manifest lists %x: the file is damaged, or not of this store", e.Got, e.Want)
}

// Hint is the next step.
func (e *SumError) Hint() string { return "get " + e.File + " and MANIFEST again, together" }

// unpack writes the zstd stream from into to, within the bounds.
func unpack(ctx context.Context, to io.Writer, from io.Reader, size int64) error {
	z, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstd))
	if err != nil {
		return fmt.Errorf("zstd: %w", err)
	}
	defer z.Close()
	limit := min(int64(maxUnpacked), size*maxRatio+unpackGrace)
	n, err := copyContext(ctx, to, io.LimitReader(z, limit+1))
	if err != nil {
		return fmt.Errorf("zstd: after %d bytes: %w", n, err)
	}
	if n > limit {
		return fmt.Errorf("zstd: %d bytes unpack to more than %d", size, limit)
	}
	return nil
}

// copyContext copies until the end of from or of ctx.
func copyContext(ctx context.Context, to io.Writer, from io.Reader) (n int64, err error) {
	buf := make([]byte, 256<<10)
	for {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		k, err := from.Read(buf)
		if _, werr := to.Write(buf[:k]); werr != nil {
			return n, werr
		}
		n += int64(k)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// index finds the blobs of body, which begins at offset base of the file. There must be exactly one for each
// checkpoint of the range.
func (b *batch) index(ctx context.Context, body io.Reader, base int64) error {
	n := int(b.End - b.Start)
	b.at, b.size = make([]int64, 0, min(n, 1<<12)), make([]uint32, 0, min(n, 1<<12))
	r := bufio.NewReaderSize(body, 64<<10)
	at := base
	for i := range n {
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		length, head, err := blobHead(r)
		if err != nil {
			return fmt.Errorf("checkpoint %d of %d, at byte %d: %w", i, n, at, err)
		}
		at += head
		b.at, b.size = append(b.at, at), append(b.size, uint32(length))
		at += length
		if _, err := io.CopyN(io.Discard, r, length); err != nil {
			return fmt.Errorf("checkpoint %d of %d ends early: %w", i, n, err)
		}
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("it holds more than the %d checkpoints of its range", n)
	}
	return nil
}

// blobHead reads length and encoding of a blob, and says how many bytes they took.
func blobHead(r *bufio.Reader) (length, head int64, err error) {
	b, err := r.Peek(binary.MaxVarintLen64 + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, 0, err
	}
	v, n := binary.Uvarint(b)
	switch {
	case n <= 0 || n >= len(b):
		return 0, 0, errors.New("no beginning of a blob")
	case v > math.MaxInt32:
		return 0, 0, fmt.Errorf("a blob of %d bytes", v)
	case b[n] != blobBCS:
		return 0, 0, fmt.Errorf("a blob of the unknown encoding %d", b[n])
	}
	_, err = r.Discard(n + 1)
	return int64(v), int64(n) + 1, err
}

// localBatch opens a batch file of a local store.
func localBatch(dir string, f File) (*os.File, error) {
	return durable.Open(filepath.Join(dir, f.Name()))
}
