package rebased

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"runtime"
	"testing"

	"permanode/ledger"
	"permanode/ledger/ledgertest"
)

// seedJSON adds the bytes of the vectors in a file.
func seedJSON(f *testing.F, pattern string) {
	for _, v := range ledgertest.Load[value](f, pattern, "vectors") {
		for _, raw := range [][]byte{v.BCS, v.Cert, v.Summary} {
			if len(raw) > 0 && len(raw) < 32<<10 {
				f.Add(raw)
			}
		}
	}
}

// seedRaws adds what raw returns of the records in the checkpoint files.
func seedRaws(f *testing.F, pick func(parts []ledger.Part) [][]byte) {
	for _, file := range checkpointFiles(f) {
		_, raws := split(f, file.raw)
		for _, raw := range raws {
			parts, err := ParseRaw(raw)
			if err != nil {
				f.Fatal(err)
			}
			for _, b := range pick(parts) {
				f.Add(b)
			}
		}
	}
}

// seedKind adds the parts of one kind.
func seedKind(f *testing.F, kind ledger.PartKind) {
	seedRaws(f, func(parts []ledger.Part) (all [][]byte) {
		for _, p := range parts {
			if p.Kind == kind {
				all = append(all, p.Raw)
			}
		}
		return all
	})
}

// fuzz checks that what is read re-encodes to the same bytes and has a JSON form, and that errors are typed.
func fuzz[T any](f *testing.F, parse func([]byte) (*T, error), appendTo func([]byte, *T) []byte, asJSON func(*T) []byte) {
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := parse(raw)
		if err != nil {
			if !errors.Is(err, ledger.ErrSyntax) {
				t.Fatalf("untyped error: %v", err)
			}
			return
		}
		if again := appendTo(nil, v); !bytes.Equal(again, raw) {
			t.Fatalf("re-encoding differs\n got %x\nwant %x", again, raw)
		}
		if asJSON != nil && !json.Valid(asJSON(v)) {
			t.Fatalf("not JSON: %s", asJSON(v))
		}
	})
}

func FuzzCertified(f *testing.F) {
	seedJSON(f, "rebased/checkpoint_summaries_real.json")
	fuzz(f, ParseCertified, func(dst []byte, c *Certified) []byte {
		return AppendCertificate(AppendSummary(dst, &c.Summary), &c.Certificate)
	}, func(c *Certified) []byte { return UnitJSON(c.Header, c.Auth, nil) })
}

func FuzzContents(f *testing.F) {
	seedJSON(f, "rebased/checkpoint_contents.json")
	fuzz(f, ParseContents, AppendContents, ContentsJSON)
}

func FuzzTransactionData(f *testing.F) {
	seedJSON(f, "rebased/transactions.json")
	for _, v := range sampleTransactions() {
		f.Add(AppendTransactionData(nil, v))
	}
	fuzz(f, ParseTransactionData, AppendTransactionData, TransactionJSON)
}

func FuzzSenderSigned(f *testing.F) {
	seedKind(f, ledger.PartObject)
	fuzz(f, ParseSenderSigned, func(dst []byte, s *SenderSigned) []byte {
		return AppendSenderSigned(dst, AppendTransactionData(nil, &s.Data), s.Signatures)
	}, nil)
}

func FuzzEffects(f *testing.F) {
	seedJSON(f, "rebased/effects.json")
	for _, v := range sampleEffects() {
		f.Add(AppendEffects(nil, v))
	}
	fuzz(f, ParseEffects, AppendEffects, EffectsJSON)
}

func FuzzEvents(f *testing.F) {
	seedKind(f, ledger.PartEvents)
	fuzz(f, eventsOf, func(dst []byte, e *[]Event) []byte { return AppendEvents(dst, *e) },
		func(e *[]Event) []byte { return EventsJSON(*e) })
}

func FuzzObject(f *testing.F) {
	seedKind(f, ledger.PartOutput)
	for _, v := range sampleObjects() {
		f.Add(AppendObject(nil, v))
	}
	fuzz(f, ParseObject, AppendObject, ObjectJSON)
}

func FuzzTypeText(f *testing.F) {
	f.Add("0x2::coin::Coin<0x2::iota::IOTA>")
	f.Add("vector< vector<u8> >")
	f.Add("0xABC::a_1::T<u64,0x1::string::String , address>")
	f.Fuzz(func(t *testing.T, text string) {
		tag, err := ParseType(text)
		if err != nil {
			return
		}
		again, err := ParseType(tag.String())
		if err != nil || !reflect.DeepEqual(again, tag) {
			t.Fatalf("%s reads as %v, %v", tag, again, err)
		}
		raw := AppendTypeTag(nil, tag)
		if parsed, err := ParseTypeTag(raw); err != nil || !reflect.DeepEqual(*parsed, tag) {
			t.Fatalf("%x reads as %v, %v", raw, parsed, err)
		}
	})
}

func FuzzRaw(f *testing.F) {
	seedRaws(f, func(parts []ledger.Part) [][]byte { return [][]byte{AppendRaw(nil, parts)} })
	for _, p := range nastyRecords() {
		f.Add(p.Raw())
	}
	type framed struct {
		parts []ledger.Part
		end   int
	}
	fuzz(f, func(raw []byte) (*framed, error) {
		parts, end, err := parseRaw(raw)
		if err == nil {
			Codec{}.Identify([][]byte{raw})
		}
		return &framed{parts, end}, err
	}, func(dst []byte, v *framed) []byte { return appendRaw(dst, v.parts, v.end) },
		func(v *framed) []byte { return RecordJSON(v.parts) })
}

// allocated returns the bytes that a function allocates. Others allocate in the meantime: the smallest of some runs.
func allocated(run func()) uint64 {
	least := ^uint64(0)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		run()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// FuzzSplitCheckpoint: what is split is joined to the same bytes, and hostile bytes cost no memory.
func FuzzSplitCheckpoint(f *testing.F) {
	for _, file := range checkpointFiles(f) {
		f.Add(file.raw)
	}
	for _, chk := range unknownFiles(f) {
		f.Add(chk)
	}
	f.Fuzz(func(t *testing.T, chk []byte) {
		head, raws, err := SplitCheckpoint(chk)
		if err != nil {
			if !errors.Is(err, ledger.ErrSyntax) {
				t.Fatalf("untyped error: %v", err)
			}
		} else if joined, err := JoinCheckpoint(head, raws); err != nil || !bytes.HasSuffix(chk, joined) || len(chk)-len(joined) > 1 {
			t.Fatalf("joined again it differs: %v\n got %x\nwant %x", err, joined, chk)
		}
		if n := allocated(func() { _, _, _ = SplitCheckpoint(chk) }); n > 8*uint64(len(chk))+1<<20 {
			t.Errorf("%d bytes allocated for %d", n, len(chk))
		}
	})
}

// unknownFiles returns files with variants that nobody knows.
func unknownFiles(tb testing.TB) (files [][]byte) {
	for _, alter := range []func(*altered){
		func(a *altered) { a.replace(0, 0, unknownTransaction(a.parts[0][0].Raw)) },
		func(a *altered) { a.replace(1, 1, append([]byte{2}, a.parts[1][1].Raw...)) },
		func(a *altered) { a.replace(0, 1, []byte("\x07opaque")) },
	} {
		a := plain(tb, 2)
		alter(a)
		chk, _ := a.file(tb)
		files = append(files, chk)
	}
	return files
}

// TestHostileSizes: bytes that claim as much as they can.
func TestHostileSizes(t *testing.T) {
	tests := map[string][]byte{
		"types":      append([]byte{6}, bytes.Repeat([]byte{6}, 1<<16)...),
		"zeros":      make([]byte, 1<<20),
		"ones":       bytes.Repeat([]byte{1}, 1<<20),
		"spaces":     bytes.Repeat([]byte{32}, 1<<20),
		"long lists": bytes.Repeat([]byte{0xff, 0xff, 0x03}, 1<<18),
	}
	for name, raw := range tests {
		if n := allocated(func() { _, _, _ = SplitCheckpoint(raw) }); n > 8*uint64(len(raw))+1<<20 {
			t.Errorf("%s: %d bytes allocated for %d", name, n, len(raw))
		}
	}
}

// TestHostileValues: few bytes that would be large in memory are refused before they are.
func TestHostileValues(t *testing.T) {
	tests := map[string]func() (int, error){
		"commands": func() (int, error) {
			raw := manyCommands(1 << 20)
			return len(raw), second(ParseSenderSigned(raw))
		},
		"signatures": func() (int, error) {
			raw := AppendSenderSigned(nil, AppendTransactionData(nil, sampleTransactions()[5]), make([][]byte, 1<<20))
			return len(raw), second(ParseSenderSigned(raw))
		},
		"lists of signatures": func() (int, error) {
			raw := AppendContents(nil, &Contents{make([]ExecutionDigests, 1), [][][]byte{make([][]byte, 1<<20)}})
			return len(raw), second(ParseContents(raw))
		},
	}
	for name, run := range tests {
		size, err := run()
		var unknown *UnknownError
		if !errors.Is(err, ledger.ErrSyntax) || errors.As(err, &unknown) {
			t.Errorf("%s in %d bytes: %v", name, size, err)
		}
	}
	// As many commands and arguments as the network allows, all of the smallest, are fine.
	if _, err := ParseSenderSigned(manyCommands(2048)); err != nil {
		t.Error(err)
	}
}

// TestHostileFileVector: a file whose lists are as long and as empty as can be.
func TestHostileFileVector(t *testing.T) {
	a := plain(t, 2)
	sizes := map[string]func(*altered){
		"empty signatures": func(a *altered) { a.parts[0][0].Raw = emptySignatures(a.parts[0][0].Raw, 1<<18) },
		"commands":         func(a *altered) { a.parts[0][0].Raw = manyCommands(1 << 17) },
		"effects of 32":    func(a *altered) { a.replace(0, 1, append([]byte{9}, bytes.Repeat([]byte{32}, 1<<18)...)) },
	}
	for name, alter := range sizes {
		b := *a
		b.parts = [][]ledger.Part{append([]ledger.Part(nil), a.parts[0]...), a.parts[1]}
		b.parts = append(b.parts, a.parts[2:]...)
		alter(&b)
		c, contents, _, err := ParseHead(b.head)
		if err != nil {
			t.Fatal(err)
		}
		contents.Transactions[0].Effects = EffectsDigest(b.parts[0][1].Raw)
		list := AppendContents(nil, contents)
		c.Summary.Content = ContentsDigest(list)
		var raws [][]byte
		for _, parts := range b.parts {
			raws = append(raws, AppendRaw(nil, parts))
		}
		chk, err := JoinCheckpoint(append(append(AppendSummary(nil, &c.Summary), c.Auth...), list...), raws)
		if err != nil {
			t.Fatal(err)
		}
		if n := allocated(func() { _, _, _ = SplitCheckpoint(chk) }); n > 8*uint64(len(chk))+1<<20 {
			t.Errorf("%s: %d bytes allocated for %d", name, n, len(chk))
		}
	}
}

func emptySignatures(raw []byte, n int) []byte {
	s, err := ParseSenderSigned(raw)
	if err != nil {
		return nil
	}
	return AppendSenderSigned(nil, s.Raw, make([][]byte, n))
}

func manyCommands(n int) []byte {
	d := &TransactionData{Kind: &Programmable{Commands: make([]Command, n)}}
	p := d.Kind.(*Programmable)
	for i := range p.Commands {
		p.Commands[i] = Command{Type: CmdMakeMoveVec}
	}
	return AppendSenderSigned(nil, AppendTransactionData(nil, d), nil)
}
