package rebased

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"permanode/ledger"
	"permanode/ledger/rebased/bcs"
)

// nastyRecords are records whose TransactionData nobody can read: only who frames it, or knows its digest, knows where
// it ends. Signatures have forms of all schemes, of none, and bytes before them look like such lists.
func nastyRecords() map[string]Pieces {
	known := AppendTransactionData(nil, sampleTransactions()[0])
	all := map[string]Pieces{}
	for name, sig := range map[string][]byte{
		"ed25519": make([]byte, 97), "zkLogin": append([]byte{5}, bytes.Repeat([]byte{1, 0}, 160)...), "new": {200, 1, 1}, "short": {0},
		"long": append([]byte{7}, make([]byte, 3000)...),
	} {
		for i, before := range [][]byte{{}, {1, 0, 0, 0}, {0, 1, 0, 0, 0}, {1, 1, 0}, bytes.Repeat([]byte{1}, 300)} {
			data := slices.Concat([]byte{0, 9}, before, known[2:], before)
			all[fmt.Sprintf("%s %d", name, i)] = Pieces{Transaction: data, Signatures: [][]byte{sig, sig}, Effects: []byte("\x01opaque effects")}
		}
	}
	return all
}

// TestUndecodedEnd: the end of a TransactionData that nobody can read is known by who framed it, by the contents list
// in a file, and by the id in what is stored.
func TestUndecodedEnd(t *testing.T) {
	for name, p := range nastyRecords() {
		want := TransactionDigest(p.Transaction)
		raw := p.Raw()
		got := Codec{}.Identify([][]byte{raw})[0]
		if got.Err != nil || got.ID != ledger.NewID(want[:]) {
			t.Errorf("%s: identified as %s, %v; want %s", name, got.ID, got.Err, want)
			continue
		}
		parts, err := ParseRaw(raw)
		if err != nil || len(parts) != 2 {
			t.Fatalf("%s: %v, %v", name, parts, err)
		}
		stored := ledger.Record{ID: got.ID, Parts: parts}
		if id, err := (Codec{}).ID(&stored); err != nil || id != got.ID {
			t.Errorf("%s: stored bytes hash to %s, %v", name, id, err)
		}
		if again := (Codec{}).Raw(&stored); !bytes.Equal(again, raw) {
			t.Errorf("%s: from what is stored comes %x, want %x", name, again, raw)
		}
		if _, err := (Codec{}).Facts(&stored, ledger.Trust{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, at := range []int{4, len(parts[0].Raw) / 2} {
			damaged := stored
			damaged.Parts = slices.Clone(parts)
			damaged.Parts[0].Raw = bytes.Clone(parts[0].Raw)
			damaged.Parts[0].Raw[at] ^= 1
			if id, err := (Codec{}).ID(&damaged); err == nil && id == got.ID && TransactionDigest(damaged.Parts[0].Raw[3:3+len(p.Transaction)]) != want {
				t.Errorf("%s: damage at byte %d is not seen", name, at)
			}
		}
	}
}

// TestUndecodedEndVector: a file gives the raws that framed parts give.
func TestUndecodedEndVector(t *testing.T) {
	base := plain(t, 2)
	for name, p := range nastyRecords() {
		c, contents, _, err := ParseHead(base.head)
		if err != nil {
			t.Fatal(err)
		}
		known := Pieces{Transaction: transactionOf(base.parts[0][0].Raw), Effects: base.parts[0][1].Raw, Signatures: [][]byte{make([]byte, 97)}}
		want := [][]byte{p.Raw(), known.Raw(), p.Raw()}
		contents.Transactions, contents.Signatures = nil, make([][][]byte, len(want))
		for _, q := range []Pieces{p, known, p} {
			contents.Transactions = append(contents.Transactions, ExecutionDigests{TransactionDigest(q.Transaction), EffectsDigest(q.Effects)})
		}
		list := AppendContents(nil, contents)
		c.Summary.Content = ContentsDigest(list)
		chk, err := JoinCheckpoint(slices.Concat(AppendSummary(nil, &c.Summary), c.Auth, list), want)
		if err != nil {
			t.Fatal(err)
		}
		_, raws, err := SplitCheckpoint(chk)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		ids := Codec{}.Identify(raws)
		for i, id := range ids {
			if d := contents.Transactions[i].Transaction; id.Err != nil || id.ID != ledger.NewID(d[:]) {
				t.Errorf("%s: record %d is identified as %s, %v; want %s", name, i, id.ID, id.Err, d)
			}
		}
		if !bytes.Equal(raws[1], want[1]) {
			t.Errorf("%s: the record that is known differs", name)
		}
	}
}

// TestRawEnd: what a raw says of the end of its TransactionData has to be true to its bytes.
func TestRawEnd(t *testing.T) {
	p := nastyRecords()["zkLogin 0"]
	parts, err := ParseRaw(p.Raw())
	if err != nil {
		t.Fatal(err)
	}
	n := len(p.Transaction)
	for _, end := range []int{0, 1, n - 1, n + 1, len(parts[0].Raw) - 3, len(parts[0].Raw), 1 << 31} {
		if got := (Codec{}).Identify([][]byte{appendRaw(nil, parts, end)})[0]; !errors.Is(got.Err, ledger.ErrSyntax) {
			t.Errorf("an end of %d, where it is %d: %v", end, n, got.Err)
		}
	}
	if got := (Codec{}).Identify([][]byte{appendRaw(nil, parts, n)})[0]; got.Err != nil {
		t.Error(got.Err)
	}
	known := Pieces{Transaction: AppendTransactionData(nil, sampleTransactions()[0]), Signatures: p.Signatures, Effects: p.Effects}
	if raw := known.Raw(); raw[0] != byte(ledger.PartObject) {
		t.Errorf("the raw of what can be read begins with %x", raw[:5])
	}
	said := appendRaw(nil, parts, n)
	for _, bad := range [][]byte{
		append(bytes.Clone(said[:9]), said...),                // twice
		append(bytes.Clone(said[9:]), said[:9]...),            // last
		append([]byte{255, 0, 0, 0, 3, 0, 0, 1}, said[9:]...), // of 3 bytes
	} {
		if _, err := ParseRaw(bad); !errors.Is(err, ledger.ErrSyntax) {
			t.Errorf("%x is taken: %v", bad[:20], err)
		}
	}
}

// TestOpaqueEffectsVector: effects that name nothing of what stands beside them leave the same rest in framed pieces as
// in a file, where nobody can find its parts.
func TestOpaqueEffectsVector(t *testing.T) {
	for _, part := range []string{"all", "one object", "nothing"} {
		a := plain(t, 2)
		p := piecesOf(t, a.parts[1])
		switch part {
		case "all":
			a.replace(1, 1, []byte("\x07opaque"))
		case "one object":
			named := ObjectDigest(p.Outputs[0])
			a.replace(1, 1, AppendDigest([]byte{7}, named))
		default:
			a.replace(1, 1, append([]byte{7}, a.parts[1][1].Raw...))
		}
		p.Effects = a.parts[1][1].Raw
		chk, _ := a.file(t)
		_, raws, err := SplitCheckpoint(chk)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Raw(); !bytes.Equal(got, raws[1]) {
			t.Errorf("%s: from pieces\n%.600x, from a file\n%.600x", part, got, raws[1])
		}
		parts, err := ParseRaw(raws[1])
		if err != nil {
			t.Fatal(err)
		}
		if rest := parts[len(parts)-1].Kind == ledger.PartRest; rest != (part != "nothing") {
			t.Errorf("%s: parts %v", part, parts)
		}
	}
}

// piecesOf takes a record apart.
func piecesOf(t *testing.T, parts []ledger.Part) Pieces {
	t.Helper()
	signed, err := ParseSenderSigned(parts[0].Raw)
	if err != nil {
		t.Fatal(err)
	}
	p := Pieces{Transaction: signed.Raw, Effects: parts[1].Raw}
	for n, s := range signed.Signatures {
		if n == 0 {
			s = bcs.AppendBytes(nil, s)
		}
		p.Signatures = append(p.Signatures, s)
	}
	for _, part := range parts[2:] {
		switch part.Kind {
		case ledger.PartEvents:
			r := bcs.NewReader(part.Raw)
			for range r.Len(1) {
				at := r.Offset()
				readEvent(r)
				p.Events = append(p.Events, r.From(at))
			}
		case ledger.PartInput:
			p.Inputs = append(p.Inputs, part.Raw)
		default:
			p.Outputs = append(p.Outputs, part.Raw)
		}
	}
	return p
}
