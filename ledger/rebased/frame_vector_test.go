package rebased

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/ledger/ledgertest"
)

// file is a vector that is no JSON.
type file struct {
	name string
	raw  []byte
}

// checkpointFiles returns the checkpoint files among the vectors, in the order of their names.
func checkpointFiles(t testing.TB) (files []file) {
	t.Helper()
	for _, name := range ledgertest.Paths(t, "rebased/checkpoints/*/*.chk") {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file{name, raw})
	}
	return files
}

// split splits a file that has to be fine.
func split(t testing.TB, chk []byte) (head []byte, raws [][]byte) {
	t.Helper()
	head, raws, err := SplitCheckpoint(chk)
	if err != nil {
		t.Fatal(err)
	}
	return head, raws
}

// bare takes a storage byte from before a checkpoint file.
func bare(t testing.TB, chk []byte) []byte {
	t.Helper()
	head, raws := split(t, chk)
	joined, err := JoinCheckpoint(head, raws)
	if err != nil || !bytes.HasSuffix(chk, joined) || len(chk)-len(joined) > 1 {
		t.Fatalf("joined again it differs: %v\n got %x\nwant %x", err, joined, chk)
	}
	return joined
}

func TestSplitVector(t *testing.T) {
	for _, f := range checkpointFiles(t) {
		name, chk := f.name, bare(t, f.raw)
		head, raws := split(t, chk)
		head1, raws1 := split(t, append([]byte{1}, chk...))
		if !bytes.Equal(head, head1) || !slices.EqualFunc(raws, raws1, bytes.Equal) {
			t.Errorf("%s: with 01 before it, it differs", name)
		}
		_, contents, _, err := ParseHead(head)
		if err != nil || len(contents.Transactions) != len(raws) {
			t.Fatalf("%s: %d records, contents %v, %v", name, len(raws), contents, err)
		}
		for i, raw := range raws {
			parts, err := ParseRaw(raw)
			if err != nil {
				t.Fatalf("%s: record %d: %v", name, i, err)
			}
			checkParts(t, parts, contents.Transactions[i])
		}
		if _, _, err := SplitCheckpoint(append(bytes.Clone(chk), 0)); !errors.Is(err, ledger.ErrSyntax) || !strings.Contains(err.Error(), "1 bytes after") {
			t.Errorf("%s: with a byte too many: %v", name, err)
		}
		for n := 0; n < len(chk); n += 1 + n/8 {
			if _, _, err := SplitCheckpoint(chk[:n]); !errors.Is(err, ledger.ErrSyntax) {
				t.Errorf("%s: the first %d bytes: %v", name, n, err)
			}
		}
	}
}

// checkParts compares the digests of parts with those that are committed to, and re-encodes each part.
func checkParts(t *testing.T, parts []ledger.Part, want ExecutionDigests) {
	t.Helper()
	signed, err := ParseSenderSigned(parts[0].Raw)
	if err != nil {
		t.Fatal(err)
	}
	if d := TransactionDigest(signed.Raw); d != want.Transaction {
		t.Errorf("transaction %s, want %s", d, want.Transaction)
	}
	if again := AppendTransactionData(nil, &signed.Data); !bytes.Equal(again, signed.Raw) {
		t.Errorf("transaction %s re-encodes to %x", want.Transaction, again)
	}
	if again := AppendSenderSigned(nil, signed.Raw, signed.Signatures); !bytes.Equal(again, parts[0].Raw) {
		t.Errorf("envelope of %s re-encodes to %x", want.Transaction, again)
	}
	effects, err := ParseEffects(parts[1].Raw)
	if err != nil {
		t.Fatal(err)
	}
	if d := EffectsDigest(parts[1].Raw); d != want.Effects || effects.Transaction != want.Transaction {
		t.Errorf("effects %s of %s, want %v", d, effects.Transaction, want)
	}
	if again := AppendEffects(nil, effects); !bytes.Equal(again, parts[1].Raw) {
		t.Errorf("effects of %s re-encode to %x", want.Transaction, again)
	}
	committed := newDigestSet(parts[1].Raw)
	for _, p := range parts[2:] {
		digest, again := EventsDigest(p.Raw), []byte(nil)
		if p.Kind == ledger.PartEvents {
			events, err := ParseEvents(p.Raw)
			if err != nil {
				t.Fatal(err)
			}
			again = AppendEvents(nil, events)
		} else {
			digest = ObjectDigest(p.Raw)
			o, err := ParseObject(p.Raw)
			if err != nil {
				t.Fatal(err)
			}
			again = AppendObject(nil, o)
		}
		if !committed.has(&digest) || !bytes.Equal(again, p.Raw) {
			t.Errorf("part %d of %s: digest %s, re-encodes to %x", p.Kind, want.Transaction, digest, again)
		}
	}
	checkPlaces(t, parts[0].Raw, signed)
}

// checkPlaces compares pure arguments with the bytes at their places.
func checkPlaces(t *testing.T, raw []byte, signed *SenderSigned) {
	t.Helper()
	p, ok := signed.Data.Kind.(*Programmable)
	if !ok {
		return
	}
	for _, a := range p.Inputs {
		if a.Type == ArgPure && !bytes.Equal(raw[a.Off:a.Off+len(a.Pure)], a.Pure) {
			t.Errorf("a pure argument is not at byte %d", a.Off)
		}
	}
}

// TestDecodedVector rebuilds the JSON form of whole checkpoints.
func TestDecodedVector(t *testing.T) {
	for _, name := range ledgertest.Paths(t, "rebased/checkpoints/*/*.decoded.json") {
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		chk, err := os.ReadFile(strings.TrimSuffix(name, ".decoded.json") + ".chk")
		if err != nil {
			t.Fatal(err)
		}
		head, raws := split(t, chk)
		c, _, list, err := ParseHead(head)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]json.RawMessage{}
		if err := json.Unmarshal(UnitJSON(c.Header, c.Auth, list), &got); err != nil {
			t.Fatal(err)
		}
		records := []map[string]json.RawMessage{}
		for _, raw := range raws {
			parts, err := ParseRaw(raw)
			if err != nil {
				t.Fatal(err)
			}
			record := map[string]json.RawMessage{"input_objects": json.RawMessage("[]")} // it stays out where there is none
			if err := json.Unmarshal(RecordJSON(parts), &record); err != nil {
				t.Fatal(err)
			}
			records = append(records, record)
		}
		if got["transactions"], err = json.Marshal(records); err != nil {
			t.Fatal(err)
		}
		whole, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		sameJSON(t, whole, want)
	}
}

// altered is a checkpoint file whose records were changed, with all digests made true again; only the certificate is
// not.
type altered struct {
	head  []byte
	parts [][]ledger.Part
}

func newAltered(t testing.TB, chk []byte) *altered {
	head, raws := split(t, chk)
	a := &altered{head: head}
	for _, raw := range raws {
		parts, err := ParseRaw(raw)
		if err != nil {
			t.Fatal(err)
		}
		a.parts = append(a.parts, parts)
	}
	return a
}

// replace puts other bytes in the place of a part, and their digest where effects commit to it.
func (a *altered) replace(i, part int, raw []byte) {
	p := &a.parts[i][part]
	before, after := partDigest(*p), Digest{}
	p.Raw = raw
	after = partDigest(*p)
	effects := &a.parts[i][1]
	if part != 1 {
		effects.Raw = bytes.ReplaceAll(effects.Raw, before[:], after[:])
	}
}

// partDigest returns a part's digest; a transaction has one signature.
func partDigest(p ledger.Part) Digest {
	switch p.Kind {
	case ledger.PartObject:
		return TransactionDigest(transactionOf(p.Raw))
	case ledger.PartEffects:
		return EffectsDigest(p.Raw)
	case ledger.PartEvents:
		return EventsDigest(p.Raw)
	}
	return ObjectDigest(p.Raw)
}

// transactionOf returns the TransactionData of an envelope with one signature of 97 bytes.
func transactionOf(raw []byte) []byte { return raw[3 : len(raw)-1-98] }

// file returns the file with contents and summary to match, and the raws that its splitting has to give.
func (a *altered) file(t testing.TB) (chk []byte, raws [][]byte) {
	t.Helper()
	c, contents, _, err := ParseHead(a.head)
	if err != nil {
		t.Fatal(err)
	}
	for i, parts := range a.parts {
		d := TransactionDigest(transactionOf(parts[0].Raw))
		contents.Transactions[i] = ExecutionDigests{d, EffectsDigest(parts[1].Raw)}
		raws = append(raws, Codec{}.Raw(&ledger.Record{ID: ledger.NewID(d[:]), Parts: parts}))
	}
	list := AppendContents(nil, contents)
	c.Summary.Content = ContentsDigest(list)
	head := append(AppendSummary(nil, &c.Summary), c.Auth...)
	chk, err = JoinCheckpoint(append(head, list...), raws)
	if err != nil {
		t.Fatal(err)
	}
	return chk, raws
}

// unknownTransaction returns an envelope with a variant of TransactionKind that nobody knows.
func unknownTransaction(raw []byte) []byte {
	raw = bytes.Clone(raw)
	raw[4] = 9
	return raw
}

// unknownObject returns the object with something behind it, in a variant that nobody knows.
func unknownObject(raw []byte) []byte {
	return append(append([]byte{7}, raw...), 0x55)
}

// plain returns a file among the vectors with at least n records, all of which have one signature of 97 bytes, and
// objects in and out.
func plain(t testing.TB, n int) *altered {
	t.Helper()
	for _, f := range checkpointFiles(t) {
		a := newAltered(t, f.raw)
		fits := len(a.parts) >= n
		for _, parts := range a.parts {
			s, err := ParseSenderSigned(parts[0].Raw)
			fits = fits && err == nil && len(s.Signatures) == 1 && len(s.Signatures[0]) == 97
			for _, kind := range [...]ledger.PartKind{ledger.PartOutput, ledger.PartInput} {
				fits = fits && slices.ContainsFunc(parts, func(p ledger.Part) bool { return p.Kind == kind })
			}
		}
		if fits {
			return a
		}
	}
	ledgertest.Missing(t, "file of plain records")
	return nil
}

func TestSplitUnknownVector(t *testing.T) {
	object := func(a *altered, i int, kind ledger.PartKind) {
		at := slices.IndexFunc(a.parts[i], func(p ledger.Part) bool { return p.Kind == kind })
		if at < 0 {
			t.Fatalf("no part of kind %d", kind)
		}
		a.replace(i, at, unknownObject(a.parts[i][at].Raw))
	}
	tests := map[string]func(a *altered){
		"transaction":      func(a *altered) { a.replace(0, 0, unknownTransaction(a.parts[0][0].Raw)) },
		"last transaction": func(a *altered) { n := len(a.parts) - 1; a.replace(n, 0, unknownTransaction(a.parts[n][0].Raw)) },
		"output":           func(a *altered) { object(a, 0, ledger.PartOutput) },
		"input":            func(a *altered) { object(a, 1, ledger.PartInput) },
		"effects":          func(a *altered) { a.replace(1, 1, append([]byte{1}, a.parts[1][1].Raw[1:]...)) },
		"longer effects":   func(a *altered) { a.replace(0, 1, append(append([]byte{1}, a.parts[0][1].Raw...), 1, 0, 0, 0, 9)) },
		"all": func(a *altered) {
			for i := range a.parts {
				a.replace(i, 0, unknownTransaction(a.parts[i][0].Raw))
				object(a, i, ledger.PartOutput)
				a.replace(i, 1, append([]byte{2}, a.parts[i][1].Raw...))
			}
		},
	}
	for name, alter := range tests {
		t.Run(name, func(t *testing.T) {
			a := plain(t, 2)
			alter(a)
			chk, want := a.file(t)
			for _, file := range [][]byte{chk, append([]byte{1}, chk...)} {
				head, raws, err := SplitCheckpoint(file)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.EqualFunc(raws, want, bytes.Equal) {
					t.Fatalf("raws differ\n got %.900x\nwant %.900x", raws, want)
				}
				if joined, err := JoinCheckpoint(head, raws); err != nil || !bytes.Equal(joined, chk) {
					t.Errorf("joined again it differs: %v", err)
				}
				for _, raw := range raws {
					parts, err := ParseRaw(raw)
					if err != nil {
						t.Fatal(err)
					}
					if !json.Valid(RecordJSON(parts)) {
						t.Errorf("not JSON: %s", RecordJSON(parts))
					}
				}
			}
		})
	}
}

// TestSplitOpaqueVector: effects that name no digests of what follows them leave a rest.
func TestSplitOpaqueVector(t *testing.T) {
	for _, place := range []string{"first", "last"} {
		a := plain(t, 2)
		i := 0
		if place == "last" {
			i = len(a.parts) - 1
		}
		effects := a.parts[i][1].Raw
		a.replace(i, 1, []byte("\x07effects of a form that nobody knows"))
		chk, raws := a.file(t)
		_, got, err := SplitCheckpoint(chk)
		if err != nil {
			t.Fatalf("%s: %v", place, err)
		}
		parts, err := ParseRaw(got[i])
		if err != nil || len(parts) != 3 || parts[2].Kind != ledger.PartRest {
			t.Fatalf("%s: %v, %v", place, parts, err)
		}
		// What follows it may be unknown too.
		if i == 0 {
			b := plain(t, 2)
			b.replace(0, 1, a.parts[0][1].Raw)
			b.replace(1, 0, unknownTransaction(b.parts[1][0].Raw))
			chk, want := b.file(t)
			_, unknown, err := SplitCheckpoint(chk)
			if err != nil || !bytes.Equal(unknown[0], got[0]) || !slices.EqualFunc(unknown[1:], want[1:], bytes.Equal) {
				t.Errorf("before an unknown transaction: %v", err)
			}
		}
		// A version that knows the effects splits the rest as it would have split the file.
		more, err := splitRest(parts[2].Raw, effects)
		if err != nil || !bytes.Equal(AppendRaw(nil, append(parts[:2:2], more...)), raws[i]) {
			t.Errorf("%s: the rest splits into %v, %v", place, more, err)
		}
		if _, err := splitRest(append(bytes.Clone(parts[2].Raw), 0), effects); !errors.Is(err, ledger.ErrSyntax) {
			t.Errorf("%s: a rest with a byte too many: %v", place, err)
		}
		got[i] = raws[i]
		if !slices.EqualFunc(got, raws, bytes.Equal) {
			t.Errorf("%s: the other records differ", place)
		}
	}
}

// TestSplitLieVector: unknown bytes that are not the true ones are no unknown variant.
func TestSplitLieVector(t *testing.T) {
	a := plain(t, 2)
	a.replace(0, 0, unknownTransaction(a.parts[0][0].Raw))
	chk, _ := a.file(t)
	at := bytes.Index(chk, a.parts[0][0].Raw)
	for _, off := range []int{5, 40, len(a.parts[0][0].Raw) - 120} {
		lie := bytes.Clone(chk)
		lie[at+off] ^= 1
		if _, _, err := SplitCheckpoint(lie); !errors.Is(err, ledger.ErrSyntax) {
			t.Errorf("byte %d of a transaction changed: %v", off, err)
		}
	}
}

// TestSplitContentsLieVector: whoever checks the unit says that its contents are not the summary's, not the splitter.
func TestSplitContentsLieVector(t *testing.T) {
	a := plain(t, 2)
	c, _, list, err := ParseHead(a.head)
	if err != nil {
		t.Fatal(err)
	}
	c.Summary.Content[3] ^= 1
	var raws [][]byte
	for _, parts := range a.parts {
		raws = append(raws, AppendRaw(nil, parts))
	}
	want := append(append(AppendSummary(nil, &c.Summary), c.Auth...), list...)
	chk, err := JoinCheckpoint(want, raws)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range [][]byte{chk, append([]byte{1}, chk...)} {
		head, got, err := SplitCheckpoint(file)
		if err != nil || !bytes.Equal(head, want) || !slices.EqualFunc(got, raws, bytes.Equal) {
			t.Errorf("split to %x, %v", head, err)
		}
	}
}

// TestPiecesVector: pieces, with signatures in both forms, give the raw that the file gives.
func TestPiecesVector(t *testing.T) {
	for _, f := range checkpointFiles(t) {
		name := f.name
		_, raws := split(t, f.raw)
		for i, raw := range raws {
			parts, err := ParseRaw(raw)
			if err != nil {
				t.Fatal(err)
			}
			p := piecesOf(t, parts)
			if got := p.Raw(); !bytes.Equal(got, raw) {
				t.Errorf("%s: record %d\n got %x\nwant %x", name, i, got, raw)
			}
		}
	}
}
