package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"permanode/ledger"
	"permanode/ledger/stardust"
	"permanode/ledger/stardust/stardusttest"
	"permanode/storage"
)

// dataset is a network as a cone file, with all that is needed to prove it.
type dataset struct {
	name     string
	trust    ledger.Trust
	snapshot string // file
	cones    string // file
	units    int
	records  int
	blocks   int64 // bytes of all records
	headers  int64 // bytes of all milestone essences
	auths    int64 // bytes of all milestone signatures
}

// recordedSet makes the recording a cone file: by the program itself, from the recorded node.
func recordedSet(b *testing.B, name string) *dataset {
	b.Helper()
	dir, work := filepath.Join(recordings(b), name), b.TempDir()
	trust, data, cones := filepath.Join(dir, "trust.json"), filepath.Join(work, "data"), filepath.Join(work, "cones")
	for _, args := range [][]string{
		{"ingest", "--data", data, "--trust", trust, "--from", dir},
		{"export", "--data", data, "--format", "cones", "-o", cones},
	} {
		var errs bytes.Buffer
		if status := (&program{out: io.Discard, errs: &errs}).run(args); status != 0 {
			b.Fatalf("permanode %v: exit %d: %s", args, status, errs.Bytes())
		}
	}
	raw, err := os.ReadFile(trust)
	if err != nil {
		b.Fatal(err)
	}
	s := &dataset{name: "recorded", snapshot: filepath.Join(dir, "genesis_snapshot.bin"), cones: cones}
	s.open(b, raw)
	for seg := range s.segments(b) {
		for _, c := range seg {
			s.count(c)
		}
	}
	return s
}

// madeCones is the number of blocks in a generated cone, beside that of the milestone before.
const madeBlocks = 50

// madeSets makes one network and writes its first units as files of about so many records, ascending. Nothing of it
// stays in memory.
func madeSets(b *testing.B, records ...int) (sets []*dataset) {
	b.Helper()
	dir := b.TempDir()
	n := stardusttest.New(stardusttest.Options{Seed: 7, Name: "figures", Blocks: madeBlocks})
	snapshot := filepath.Join(dir, "snapshot")
	if err := os.WriteFile(snapshot, n.Snapshot(), 0o600); err != nil {
		b.Fatal(err)
	}
	var files []*madeFile
	for _, r := range records {
		s := &dataset{name: fmt.Sprintf("made %d", r), snapshot: snapshot, cones: filepath.Join(dir, fmt.Sprint(r))}
		s.open(b, n.Trust())
		files = append(files, newMadeFile(b, s))
		sets = append(sets, s)
	}
	for i, r := range records {
		for last := files[len(files)-1].set; last.records < r; {
			cone := rawCone(b, n.Next())
			for _, f := range files[i:] {
				f.write(b, cone)
			}
		}
		files[i].close(b)
	}
	return sets
}

// rawCone is what an archive would write of a made cone.
func rawCone(b *testing.B, c *stardusttest.Cone) *ledger.Cone {
	b.Helper()
	u, err := stardust.Codec{}.Unit(c.Head)
	if err != nil {
		b.Fatal(err)
	}
	out := &ledger.Cone{Unit: u}
	for i, raw := range c.Raws {
		out.Records = append(out.Records, ledger.Record{
			State: c.Outcomes[i].State, Reason: c.Outcomes[i].Reason, Basis: ledger.ByRoot,
			Parts: []ledger.Part{{Kind: ledger.PartObject, Raw: raw}},
		})
	}
	return out
}

type madeFile struct {
	set *dataset
	f   *os.File
	buf *bufio.Writer
	w   *storage.ConeWriter
}

func newMadeFile(b *testing.B, s *dataset) *madeFile {
	b.Helper()
	f, err := os.Create(s.cones)
	if err != nil {
		b.Fatal(err)
	}
	buf := bufio.NewWriterSize(f, 1<<20)
	w, err := storage.NewConeWriter(buf, stardust.Era, s.trust.Identity)
	if err != nil {
		b.Fatal(err)
	}
	return &madeFile{set: s, f: f, buf: buf, w: w}
}

func (m *madeFile) write(b *testing.B, c *ledger.Cone) {
	b.Helper()
	if err := m.w.Write(c); err != nil {
		b.Fatal(err)
	}
	m.set.count(&storage.RawCone{Unit: c.Unit, Records: c.Records})
}

func (m *madeFile) close(b *testing.B) {
	b.Helper()
	if err := errors.Join(m.w.Close(), m.buf.Flush(), m.f.Close()); err != nil {
		b.Fatal(err)
	}
}

func (s *dataset) open(b *testing.B, trust []byte) {
	b.Helper()
	var err error
	if s.trust, err = (stardust.Codec{}).ParseTrust(trust); err != nil {
		b.Fatal(err)
	}
}

func (s *dataset) count(c *storage.RawCone) {
	s.units++
	s.records += len(c.Records)
	s.headers += int64(len(c.Unit.Header))
	s.auths += int64(len(c.Unit.Auth))
	for i := range c.Records {
		s.blocks += int64(len(c.Records[i].Parts[0].Raw))
	}
}

// segmentRecords is about how many records are in memory at a time: one round.
const segmentRecords = 10_000

// segments reads the cone file, a round's cones at a time.
func (s *dataset) segments(b *testing.B) func(yield func([]*storage.RawCone) bool) {
	b.Helper()
	return func(yield func([]*storage.RawCone) bool) {
		f, err := os.Open(s.cones)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		r, err := storage.NewConeReader(f)
		if err != nil {
			b.Fatal(err)
		}
		var seg []*storage.RawCone
		for n := 0; ; {
			c, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			seg, n = append(seg, c), n+len(c.Records)
			if n >= segmentRecords {
				if !yield(seg) {
					return
				}
				seg, n = nil, 0
			}
		}
		if len(seg) > 0 {
			yield(seg)
		}
	}
}

// signed is a signature with what it signs.
type signed struct {
	key, digest [32]byte
	sig         [64]byte
}

// signatures returns all of a cone: the milestone's and those that unlock outputs.
func signatures(b *testing.B, c *storage.RawCone) (out []signed) {
	b.Helper()
	m, err := stardust.ParseMilestone(stardust.Codec{}.Head(c.Unit))
	if err != nil {
		b.Fatal(err)
	}
	for i := range m.Signatures {
		out = append(out, signed{m.Signatures[i].Key, m.ID, m.Signatures[i].Sig})
	}
	for i := range c.Records {
		block, err := stardust.ParseBlock(c.Records[i].Parts[0].Raw)
		if err != nil {
			b.Fatal(err)
		}
		t, ok := block.Payload.(*stardust.Transaction)
		if !ok {
			continue
		}
		for k := range t.Unlocks {
			if u := &t.Unlocks[k]; u.Type == stardust.UnlockSignature {
				out = append(out, signed{u.Key, t.Signing, u.Sig})
			}
		}
	}
	return out
}
