package replay

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/blake2b"
	"permanode/ledger"
	"permanode/ledger/merkle"
)

const (
	// Raw is the content type of raw objects, and the Accept header that asks for them.
	Raw = "application/vnd.iota.serializer-v1"

	parametersFile = "network.json"
	snapshotFile   = "genesis_snapshot.bin"
	restFile       = "rest.jsonl.gz"
	unitPath       = "/api/core/v2/milestones/by-index/"
	blockPath      = "/api/core/v2/blocks/"
	infoPath       = "/api/core/v2/info"

	maxLine       = 16 << 20 // bytes of one exchange; real ones stay below 200 KiB
	maxParameters = 1 << 20
)

// ErrRecording is wrapped by every error about a recording that cannot be read.
var ErrRecording = errors.New("not a readable recording")

// place is where the body of an answer lies in the spool.
type place struct {
	off    int64
	size   uint32
	status uint16
	kind   uint8 // index of types
}

// Recording is what one node answered, ready to be asked again. The bodies lie in a temporary file
// that has no name; memory holds some 50 bytes an exchange. It is safe for concurrent use.
type Recording struct {
	Parameters  []byte // network.json
	First, Last uint64 // units served: the stated range, else from the first recorded to the last whole cone

	spool  *os.File
	routes map[[16]byte]place
	units  map[uint64]place
	blocks map[[32]byte]place
	types  []string
	entry  map[[32]byte]struct{} // solid entry points of the folder's own snapshot

	cones func() (*cones, error) // worked out once, when first asked for
}

// OpenRecording reads the recording in fsys once. Errors wrap [ErrRecording] or are those of the
// file system, and name the file and line.
func OpenRecording(fsys fs.FS) (*Recording, error) {
	r := &Recording{routes: map[[16]byte]place{}, units: map[uint64]place{}, blocks: map[[32]byte]place{}}
	r.cones = sync.OnceValues(r.walkCones)
	stated, err := r.readParameters(fsys)
	if err != nil {
		return nil, err
	}
	if r.spool, err = spoolFile(); err != nil {
		return nil, err
	}
	if err := r.index(fsys); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	if len(r.units) == 0 {
		return nil, errors.Join(fmt.Errorf("%s: no raw unit inside (GET %s… with Accept: %s): %w", restFile, unitPath, Raw, ErrRecording), r.Close())
	}
	r.entry = entryPoints(fsys)
	seqs := slices.Sorted(maps.Keys(r.units))
	r.First, r.Last = stated.First, stated.Last
	if r.First == 0 {
		r.First = seqs[0]
	}
	if r.Last == 0 {
		if r.Last, err = r.lastWhole(seqs, maps.Clone(r.entry)); err != nil {
			return nil, errors.Join(err, r.Close())
		}
	}
	return r, nil
}

// spoolFile returns a temporary file that vanishes with its descriptor.
func spoolFile() (*os.File, error) {
	f, err := os.CreateTemp("", "permanode-recording-*")
	if err != nil {
		return nil, fmt.Errorf("room for the recording's bodies: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("unlink %s: %w", f.Name(), err), f.Close())
	}
	return f, nil
}

type statedRange struct {
	First uint64 `json:"firstMilestone"`
	Last  uint64 `json:"lastMilestone"`
}

func (r *Recording) readParameters(fsys fs.FS) (stated statedRange, err error) {
	f, err := fsys.Open(parametersFile)
	if err != nil {
		return stated, err
	}
	defer f.Close()
	if r.Parameters, err = io.ReadAll(io.LimitReader(f, maxParameters+1)); err != nil {
		return stated, fmt.Errorf("%s: %w", parametersFile, err)
	}
	if len(r.Parameters) > maxParameters {
		return stated, fmt.Errorf("%s: more than %d bytes: %w", parametersFile, maxParameters, ErrRecording)
	}
	if err := json.Unmarshal(r.Parameters, &stated); err != nil {
		return stated, fmt.Errorf("%s: %w: %w", parametersFile, err, ErrRecording)
	}
	if stated.Last != 0 && stated.Last < stated.First {
		return stated, fmt.Errorf("%s: lastMilestone %d lies before firstMilestone %d: %w", parametersFile, stated.Last, stated.First, ErrRecording)
	}
	return stated, nil
}

// exchange is one line of the recording.
type exchange struct {
	Method      string  `json:"method"`
	Path        string  `json:"path"`
	Accept      string  `json:"accept"`
	Status      int     `json:"status"`
	ContentType string  `json:"contentType"`
	Body        *string `json:"body"`
	BodyHex     *string `json:"bodyHex"`
}

func (r *Recording) index(fsys fs.FS) error {
	f, err := fsys.Open(restFile)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", restFile, err, ErrRecording)
	}
	lines := bufio.NewReaderSize(z, 1<<16)
	out := bufio.NewWriterSize(r.spool, 1<<16)
	var off int64
	var buf []byte
	for number := 1; ; number++ {
		line, err := readLine(lines, buf[:0])
		buf = line
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%s line %d: %w: %w", restFile, number, err, ErrRecording)
		}
		if len(line) > 0 {
			size, lineErr := r.add(line, off, out)
			if lineErr != nil {
				return fmt.Errorf("%s line %d: %w", restFile, number, lineErr)
			}
			off += int64(size)
		}
		if err != nil {
			return out.Flush()
		}
	}
}

// readLine appends one line without its end to buf. It returns io.EOF with the last one.
func readLine(in *bufio.Reader, buf []byte) ([]byte, error) {
	for {
		part, err := in.ReadSlice('\n')
		buf = append(buf, part...)
		switch {
		case len(buf) > maxLine:
			return buf, fmt.Errorf("longer than %d bytes", maxLine)
		case err == nil:
			return buf[:len(buf)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return buf, err
		}
	}
}

// add spools one exchange whose body begins at off, and returns the body's size.
func (r *Recording) add(line []byte, off int64, out io.Writer) (int, error) {
	var e exchange
	if err := json.Unmarshal(line, &e); err != nil {
		return 0, fmt.Errorf("%w: %w", err, ErrRecording)
	}
	var body []byte
	switch {
	case e.Body != nil:
		body = []byte(*e.Body)
	case e.BodyHex != nil:
		raw, err := hex.DecodeString(*e.BodyHex)
		if err != nil {
			return 0, fmt.Errorf("bodyHex: %w: %w", err, ErrRecording)
		}
		body = raw
	}
	if e.Method == "" || !strings.HasPrefix(e.Path, "/") || e.Status < 100 || e.Status > 999 {
		return 0, fmt.Errorf("method %q, path %q, status %d are no exchange: %w", e.Method, e.Path, e.Status, ErrRecording)
	}
	kind, err := r.typeNumber(e.ContentType)
	if err != nil {
		return 0, err
	}
	p := place{off: off, size: uint32(len(body)), status: uint16(e.Status), kind: kind}
	key := routeKey(e.Method, e.Path, e.Accept)
	if old, ok := r.routes[key]; ok && old.status == 200 && p.status != 200 {
		return 0, nil // an object that was there once stays there
	}
	r.routes[key] = p
	if e.Method == "GET" && e.Accept == Raw && e.Status == 200 {
		r.addObject(e.Path, p)
	}
	_, err = out.Write(body)
	return len(body), err
}

func (r *Recording) typeNumber(contentType string) (uint8, error) {
	i := slices.Index(r.types, contentType)
	if i < 0 {
		if len(r.types) > 255 {
			return 0, fmt.Errorf("more than 256 content types: %w", ErrRecording)
		}
		i, r.types = len(r.types), append(r.types, contentType)
	}
	return uint8(i), nil
}

func (r *Recording) addObject(path string, p place) {
	if text, ok := strings.CutPrefix(path, unitPath); ok {
		if seq, err := strconv.ParseUint(text, 10, 32); err == nil {
			r.units[seq] = p
		}
	} else if id, ok := blockID(path); ok {
		r.blocks[id] = p
	}
}

// blockID returns the id that a path of exactly the form /api/core/v2/blocks/0x… asks for.
func blockID(path string) (id [32]byte, ok bool) {
	text, ok := strings.CutPrefix(path, blockPath+"0x")
	if !ok || len(text) != 64 {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(text))
	return id, err == nil
}

// routeKey is a digest, so that a million exchanges cost no memory for their paths.
func routeKey(method, path, accept string) [16]byte {
	if accept != Raw {
		accept = ""
	}
	sum := sha256.Sum256([]byte(method + "\n" + path + "\n" + accept))
	return [16]byte(sum[:16])
}

// read returns at most limit bytes of a body; limit 0 means all.
func (r *Recording) read(p place, limit uint32) ([]byte, error) {
	n := p.size
	if limit != 0 {
		n = min(n, limit)
	}
	buf := make([]byte, n)
	if _, err := r.spool.ReadAt(buf, p.off); err != nil {
		return nil, fmt.Errorf("spooled body: %w", err)
	}
	return buf, nil
}

// Close frees the temporary file.
func (r *Recording) Close() error { return r.spool.Close() }

const (
	unitTimeOffset    = 8  // of the raw unit: type u32, index u32
	unitPrevOffset    = 13 // … timestamp u32, version u8
	unitParentsOffset = unitPrevOffset + 32
	maxParents        = 8
)

// parents cuts the ids behind a count byte at off out of a raw object; nil if they do not fit.
func parents(raw []byte, off int) (ids [][32]byte) {
	if len(raw) <= off {
		return nil
	}
	n := int(raw[off])
	if n > maxParents || len(raw) < off+1+32*n {
		return nil
	}
	for i := range n {
		ids = append(ids, [32]byte(raw[off+1+32*i:]))
	}
	return ids
}

// lastWhole returns the newest unit whose cone is all there: the root over what its parents lead to, in
// white-flag order, is the one that the unit signs. Records that are not here are taken for confirmed earlier, which
// those before the recording are, and so are the entry points in seen; the root tells when one is not.
func (r *Recording) lastWhole(seqs []uint64, seen map[[32]byte]struct{}) (last uint64, err error) {
	for i, seq := range seqs {
		raw, err := r.read(r.units[seq], unitParentsOffset+1+32*(maxParents+1))
		if err != nil {
			return 0, err
		}
		tips := parents(raw, unitParentsOffset)
		taken, err := r.walk(tips, seen)
		if err != nil {
			return 0, err
		}
		root := unitParentsOffset + 1 + 32*len(tips)
		if i == 0 || len(raw) >= root+32 && bytes.Equal(raw[root:root+32], merkle.Root(newBLAKE2b, taken)) {
			last = seq
		}
	}
	return last, nil
}

// entryPoints returns the solid entry points at the end of the folder's own snapshot, none where it has none that
// reads: they only help to tell what is whole.
func entryPoints(fsys fs.FS) map[[32]byte]struct{} {
	const fixed = 90 // bytes of the header of a full file up to the length of its parameters
	ids := map[[32]byte]struct{}{}
	f, err := fsys.Open(snapshotFile)
	if err != nil {
		return ids
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ids
	}
	in := bufio.NewReader(f)
	head := make([]byte, fixed+2)
	if _, err := io.ReadFull(in, head); err != nil {
		return ids
	}
	counts := make([]byte, int(binary.LittleEndian.Uint16(head[fixed:]))+8+4+2) // parameters, outputs, differences, entry points
	if _, err := io.ReadFull(in, counts); err != nil {
		return ids
	}
	n := int64(binary.LittleEndian.Uint16(counts[len(counts)-2:]))
	if _, err := io.CopyN(io.Discard, in, info.Size()-int64(len(head)+len(counts))-32*n); err != nil {
		return ids
	}
	for range n {
		var id [32]byte
		if _, err := io.ReadFull(in, id[:]); err != nil {
			break
		}
		ids[id] = struct{}{}
	}
	return ids
}

func newBLAKE2b() hash.Hash {
	h, _ := blake2b.New256(nil) // fails for a key only
	return h
}

// walk returns what tips lead to and was not seen, in white-flag order, and adds it to seen.
func (r *Recording) walk(tips [][32]byte, seen map[[32]byte]struct{}) (taken []ledger.ID, err error) {
	type visit struct {
		id    [32]byte
		below [][32]byte // parents not yet looked at
	}
	var stack []visit
	open := func(id [32]byte) error {
		p, ok := r.blocks[id]
		if _, known := seen[id]; known || !ok {
			return nil
		}
		raw, err := r.read(p, 2+32*maxParents)
		if err != nil {
			return err
		}
		seen[id] = struct{}{} // a parent cannot lead back here: ids are hashes
		stack = append(stack, visit{id, parents(raw, 1)})
		return nil
	}
	for _, tip := range tips {
		if err := open(tip); err != nil {
			return nil, err
		}
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if len(top.below) == 0 {
				taken = append(taken, ledger.NewID(top.id[:]))
				stack = stack[:len(stack)-1]
				continue
			}
			next := top.below[0]
			top.below = top.below[1:]
			if err := open(next); err != nil {
				return nil, err
			}
		}
	}
	return taken, nil
}

// unitTime returns the signed time of a unit in seconds, and unitID its id.
func (r *Recording) unitTime(seq uint64) (uint32, bool) {
	raw, err := r.read(r.units[seq], unitPrevOffset)
	if err != nil || len(raw) < unitPrevOffset {
		return 0, false
	}
	return binary.LittleEndian.Uint32(raw[unitTimeOffset:]), true
}

func (r *Recording) unitID(seq uint64) (string, bool) {
	raw, err := r.read(r.units[seq], 0)
	if err != nil {
		return "", false
	}
	id, ok := unitDigest(raw)
	return "0x" + hex.EncodeToString(id[:]), ok
}
