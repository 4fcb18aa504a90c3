package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"permanode/ingest"
	"permanode/internal/durable"
	"permanode/internal/ranges"
	"permanode/ledger"
	"permanode/storage"
)

// Cones is a cone file as a source. Memory holds 16 bytes a cone and one cone. It is safe for
// concurrent use.
type Cones struct {
	name     string
	codec    ledger.Codec
	identity string
	have     ranges.Set
	file     *os.File
	offsets  map[uint64]int64

	mu   sync.Mutex // guards last
	last *storage.RawCone
}

// OpenCones reads the file once, checks its frames and keeps where each cone begins. The codec is that
// of the file's era; it fails if the file is of another one.
func OpenCones(path string, codec ledger.Codec) (*Cones, error) {
	f, err := durable.Open(path)
	if err != nil {
		return nil, err
	}
	c := &Cones{name: path, codec: codec, file: f, offsets: map[uint64]int64{}}
	if err := c.index(); err != nil {
		return nil, errors.Join(fmt.Errorf("cone file %s: %w", path, err), f.Close())
	}
	return c, nil
}

func (c *Cones) index() error {
	r, err := storage.NewConeReader(c.file)
	if err != nil {
		return err
	}
	if r.Era != c.codec.Era() {
		return fmt.Errorf("it holds cones of the era %q, the network is of %q", r.Era, c.codec.Era())
	}
	c.identity = r.Identity
	for {
		at := r.Offset()
		cone, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		seq := cone.Unit.Seq
		c.have.Add(seq, seq)
		c.offsets[seq] = at
	}
}

// Name returns the path.
func (c *Cones) Name() string { return c.name }

// Info returns the network that the file names and its range of units.
func (c *Cones) Info(context.Context) (ingest.Info, error) {
	info := ingest.Info{Identity: c.identity, Software: "cone file"}
	if all := c.have.Ranges(); len(all) > 0 {
		info.Oldest, info.Newest = all[0].Lo, all[len(all)-1].Hi
		missing := ranges.Of(ranges.Range{Lo: info.Oldest, Hi: info.Newest}).Minus(c.have)
		info.Missing = missing.Ranges()
	}
	return info, nil
}

// Head returns the head of unit seq.
func (c *Cones) Head(_ context.Context, seq uint64) ([]byte, error) {
	cone, err := c.read(seq)
	if err != nil {
		return nil, err
	}
	return c.codec.Head(cone.Unit), nil
}

// Fetch has nothing: a cone file is not sorted by id. Records come with their cone.
func (c *Cones) Fetch(context.Context, []ledger.ID) ([][]byte, error) { return nil, nil }

// Cone returns the whole cone of unit seq.
func (c *Cones) Cone(_ context.Context, seq uint64) ([]byte, [][]byte, error) {
	cone, err := c.read(seq)
	if err != nil {
		return nil, nil, err
	}
	return c.codec.Head(cone.Unit), raws(c.codec, cone), nil
}

// Claims returns what the file says of records: those of the cone have their states, all others were
// confirmed by an earlier unit.
func (c *Cones) Claims(_ context.Context, seq uint64, ids []ledger.ID) (*ledger.NodeClaims, error) {
	cone, err := c.read(seq)
	if err != nil {
		return nil, err
	}
	inside := make(map[ledger.ID]ledger.Claimed, len(cone.Records))
	for i, r := range c.codec.Identify(raws(c.codec, cone)) {
		said := cone.Records[i]
		inside[r.ID] = ledger.Claimed{Referenced: seq, State: said.State, Reason: said.Reason, Place: uint64(i) + 1}
	}
	claims := &ledger.NodeClaims{Source: c.name, Records: make(map[ledger.ID]ledger.Claimed, len(ids))}
	for _, id := range ids {
		said, ok := inside[id]
		if !ok && seq > 0 {
			said.Referenced = seq - 1
		}
		claims.Records[id] = said
	}
	return claims, nil
}

func (c *Cones) read(seq uint64) (*storage.RawCone, error) {
	at, ok := c.offsets[seq]
	if !ok {
		return nil, fmt.Errorf("%s: unit %d: %w", c.name, seq, ingest.ErrUnknown)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil && c.last.Unit.Seq == seq {
		return c.last, nil
	}
	cone, err := storage.ReadConeAt(c.file, at)
	if err != nil {
		return nil, fmt.Errorf("%s: unit %d: %w", c.name, seq, err)
	}
	c.last = cone
	return cone, nil
}

// raws returns a cone's records as sources give them. A cone file holds no ids: an era whose units list them may need
// them to read bytes of a form that it does not know.
func raws(codec ledger.Codec, cone *storage.RawCone) [][]byte {
	var ids []ledger.ID
	if l, ok := codec.(ledger.Lister); ok {
		ids, _ = l.Listed(cone.Unit) // a unit that cannot be read is refused when it is begun
	}
	out := make([][]byte, len(cone.Records))
	for i, r := range cone.Records {
		if i < len(ids) {
			r.ID = ids[i]
		}
		out[i] = codec.Raw(&r)
	}
	return out
}

// Close closes the file.
func (c *Cones) Close() error { return c.file.Close() }
