package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"permanode/ledger"
	"permanode/ledger/stardust"
	"permanode/ledger/stardust/stardusttest"
	"permanode/storage"
)

const (
	coneBlocks = 50
	years      = 5
	tagCount   = 5_000
	addresses  = 60_000
	words      = 50_000
)

// corpus is the network that all engines load: files in one folder.
type corpus struct {
	dir, cones, trust, snapshot string
	records                     int
	bytes                       int64 // of all blocks
}

// makeCorpus writes a network of so many records.
func makeCorpus(dir string, records int, seed uint64) (_ *corpus, err error) {
	c := &corpus{dir: dir, cones: filepath.Join(dir, "corpus.cones"), trust: filepath.Join(dir, "trust.json"), snapshot: filepath.Join(dir, "snapshot.bin")}
	n := stardusttest.New(stardusttest.Options{
		Seed: seed, Name: "corpus", Blocks: coneBlocks, Receipts: 1 << 31, Interval: uint32(years * 365 * 86400 / (records/coneBlocks + 1)),
		Corpus: &stardusttest.Corpus{Tags: tagCount, Addresses: addresses, Words: words},
	})
	if err := errors.Join(os.WriteFile(c.trust, n.Trust(), 0o600), os.WriteFile(c.snapshot, n.Snapshot(), 0o600)); err != nil {
		return nil, err
	}
	trust, err := stardust.Codec{}.ParseTrust(n.Trust())
	if err != nil {
		return nil, err
	}
	f, err := os.Create(c.cones)
	if err != nil {
		return nil, err
	}
	buf := bufio.NewWriterSize(f, 1<<20)
	w, err := storage.NewConeWriter(buf, stardust.Era, trust.Identity)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	for c.records < records {
		cone, err := asCone(n.Next())
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		for i := range cone.Records {
			c.bytes += int64(len(cone.Records[i].Parts[0].Raw))
		}
		c.records += len(cone.Records)
		if err := w.Write(cone); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return c, errors.Join(w.Close(), buf.Flush(), f.Close())
}

func asCone(made *stardusttest.Cone) (*ledger.Cone, error) {
	u, err := stardust.Codec{}.Unit(made.Head)
	if err != nil {
		return nil, err
	}
	c := &ledger.Cone{Unit: u}
	for i, raw := range made.Raws {
		c.Records = append(c.Records, ledger.Record{
			Ord: ledger.Ord{Seq: u.Seq, Pos: uint32(i)}, State: made.Outcomes[i].State, Basis: ledger.ByRoot,
			Parts: []ledger.Part{{Kind: ledger.PartObject, Raw: raw}},
		})
	}
	return c, nil
}

// document is what a loader that verifies nothing takes from a block.
type document struct {
	ord       int64 // seq<<24 | pos
	id        [32]byte
	tag       string
	kind      int
	state     int
	time      int64 // seconds
	addresses [][]byte
	text      string
	raw       []byte
}

// documents reads a cone file and calls each for every block in it.
func documents(file string, each func(*document) error) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := storage.NewConeReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return err
	}
	for {
		cone, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		unit, err := stardust.Codec{}.Unit(stardust.Codec{}.Head(cone.Unit))
		if err != nil {
			return err
		}
		for i := range cone.Records {
			d, err := read(cone.Records[i].Parts[0].Raw)
			if err != nil {
				return fmt.Errorf("unit %d: %w", unit.Seq, err)
			}
			d.ord, d.time, d.state = int64(unit.Seq<<24)|int64(i), unit.TimeMs/1000, int(cone.Records[i].State)
			if err := each(d); err != nil {
				return err
			}
		}
	}
}

func read(raw []byte) (*document, error) {
	b, err := stardust.ParseBlock(raw)
	if err != nil {
		return nil, err
	}
	d := &document{id: stardust.H(raw), raw: raw}
	note, _ := b.Payload.(*stardust.TaggedData)
	if tx, ok := b.Payload.(*stardust.Transaction); ok {
		note, d.kind = tx.Payload, 1
		for i := range tx.Outputs {
			a := tx.Outputs[i].Conditions[0].Address
			d.addresses = append(d.addresses, a[:])
		}
	}
	if note != nil {
		d.tag, d.text = string(note.Tag), string(note.Data)
	}
	return d, nil
}

// noteWords returns the plain words of a text, without the JSON around them.
func noteWords(text string) []string {
	if _, note, ok := strings.Cut(text, `"note":"`); ok {
		text = strings.TrimSuffix(note, `"}`)
	}
	return strings.Fields(text)
}
