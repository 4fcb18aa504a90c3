package rebased

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/ledger/ledgertest"
	"permanode/ledger/rebased/bcs"
)

// value is a vector of one value: its bytes, digest and JSON form.
type value struct {
	Name    string           `json:"name"`
	Source  string           `json:"source"`
	BCS     []byte           `json:"bcs_b64"`
	Digest  string           `json:"digest"`
	Hex     ledgertest.Hex   `json:"digest_hex"`
	Signing ledgertest.Hex   `json:"signing_digest_hex"`
	Message ledgertest.Hex   `json:"signing_message_hex"`
	Fields  json.RawMessage  `json:"fields"`
	Events  [][]byte         `json:"event_bcs_b64"`
	Cert    []byte           `json:"certified_bcs_b64"`
	Summary []byte           `json:"summary_bcs_b64"`
	Auth    *json.RawMessage `json:"auth_signature"`
	Length  int              `json:"byte_length"`
}

// sameJSON fails unless both texts have the same value.
func sameJSON(t *testing.T, got, want []byte) {
	t.Helper()
	var a, b any
	for _, d := range []struct {
		raw []byte
		to  *any
	}{{got, &a}, {want, &b}} {
		dec := json.NewDecoder(bytes.NewReader(d.raw))
		dec.UseNumber()
		if err := dec.Decode(d.to); err != nil {
			t.Fatalf("%v in %.300s", err, d.raw)
		}
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("JSON differs\n got %.2000s\nwant %.2000s", got, want)
	}
}

// testValues checks bytes, digest and JSON form of each vector of a file.
func testValues[T any](t *testing.T, pattern string, parse func([]byte) (*T, error), digest func([]byte) Digest,
	appendTo func([]byte, *T) []byte, asJSON func(*T) []byte,
) {
	checked := 0
	for _, v := range ledgertest.Load[value](t, pattern, "vectors") {
		if len(v.BCS) == 0 {
			continue // its bytes are in another file
		}
		checked++
		got, err := parse(v.BCS)
		if err != nil {
			t.Errorf("%s %s: %v", v.Name, v.Source, err)
			continue
		}
		if d := digest(v.BCS); d.String() != v.Digest || len(v.Hex) > 0 && !bytes.Equal(v.Hex, d[:]) {
			t.Errorf("%s %s: digest %s, want %s", v.Name, v.Source, d, v.Digest)
		}
		if d, err := ParseDigest(v.Digest); err != nil || d != digest(v.BCS) {
			t.Errorf("digest %s reads as %s, %v", v.Digest, d, err)
		}
		if signing := SigningDigest(v.BCS); len(v.Signing) > 0 && !bytes.Equal(v.Signing, signing[:]) {
			t.Errorf("%s: signing digest %x, want %s", v.Name, signing, v.Signing)
		}
		if again := appendTo(nil, got); !bytes.Equal(again, v.BCS) {
			t.Errorf("%s %s: re-encoding differs\n got %x\nwant %x", v.Name, v.Source, again, v.BCS)
		}
		if len(v.Fields) > 0 {
			sameJSON(t, asJSON(got), v.Fields)
		}
		for n := range v.BCS {
			if _, err := parse(v.BCS[:n]); err == nil || !errors.Is(err, ledger.ErrSyntax) {
				t.Fatalf("%s %s: the first %d bytes: %v", v.Name, v.Source, n, err)
			}
			if n > 4096 {
				break
			}
		}
		if _, err := parse(append(bytes.Clone(v.BCS), 0)); err == nil {
			t.Errorf("%s %s: a byte too many is taken", v.Name, v.Source)
		}
	}
	if checked == 0 {
		t.Errorf("no bytes in %s", pattern)
	}
}

func eventsOf(raw []byte) (*[]Event, error) { return all(raw, readEvents) }

func TestTransactionVector(t *testing.T) {
	testValues(t, "rebased/transactions.json", ParseTransactionData, TransactionDigest, AppendTransactionData, TransactionJSON)
}

func TestEffectsVector(t *testing.T) {
	testValues(t, "rebased/effects.json", ParseEffects, EffectsDigest, AppendEffects, EffectsJSON)
}

func TestObjectVector(t *testing.T) {
	testValues(t, "rebased/objects.json", ParseObject, ObjectDigest, AppendObject, ObjectJSON)
}

func TestContentsVector(t *testing.T) {
	testValues(t, "rebased/checkpoint_contents.json", ParseContents, ContentsDigest, AppendContents, ContentsJSON)
}

func TestEventsVector(t *testing.T) {
	testValues(t, "rebased/events.json", eventsOf, EventsDigest,
		func(dst []byte, e *[]Event) []byte { return AppendEvents(dst, *e) },
		func(e *[]Event) []byte { return EventsJSON(*e) })
	for _, v := range ledgertest.Load[value](t, "rebased/events.json", "vectors") {
		events, err := ParseEvents(v.BCS)
		if err != nil || len(events) != len(v.Events) {
			t.Errorf("%d events, want %d, %v", len(events), len(v.Events), err)
			continue
		}
		for i, raw := range v.Events {
			e, err := ParseEvent(raw)
			if err != nil || !reflect.DeepEqual(*e, events[i]) {
				t.Errorf("event %d on its own differs: %v", i, err)
			}
		}
	}
}

func TestSummaryVector(t *testing.T) {
	for _, v := range ledgertest.Load[value](t, "rebased/checkpoint_summaries_real.json", "vectors") {
		c, err := ParseCertified(v.Cert)
		if err != nil {
			t.Errorf("%s: %v", v.Source, err)
			continue
		}
		if !bytes.Equal(c.Header, v.Summary) || !bytes.Equal(append(bytes.Clone(c.Header), c.Auth...), v.Cert) {
			t.Errorf("%s: split at the wrong place", v.Source)
		}
		if d := CheckpointDigest(c.Header); d.String() != v.Digest || !bytes.Equal(d[:], v.Hex) {
			t.Errorf("%s: digest %s, want %s", v.Source, d, v.Digest)
		}
		if again := AppendSummary(nil, &c.Summary); !bytes.Equal(again, c.Header) {
			t.Errorf("%s: summary re-encodes to %x", v.Source, again)
		}
		if again := AppendCertificate(nil, &c.Certificate); !bytes.Equal(again, c.Auth) {
			t.Errorf("%s: certificate re-encodes to %x", v.Source, again)
		}
		sameJSON(t, SummaryJSON(&c.Summary), v.Fields)
		for n := range v.Cert {
			if _, err := ParseCertified(v.Cert[:n]); !errors.Is(err, ledger.ErrSyntax) {
				t.Fatalf("%s: the first %d bytes: %v", v.Source, n, err)
			}
		}
	}
}

func TestUnknownVariantVector(t *testing.T) {
	type unknown struct {
		Type    string `json:"type"`
		BCS     []byte `json:"bcs_b64"`
		Unknown string `json:"unknown"`
		Digest  string `json:"digest"`
	}
	for _, v := range ledgertest.Load[unknown](t, "rebased/unknown_variants.json", "vectors") {
		form, ok := unknownForms[v.Type]
		if !ok {
			t.Errorf("%s: not tested here", v.Type)
			continue
		}
		err, digest := form.parse(v.BCS), form.digest(v.BCS)
		var known *UnknownError
		if !errors.As(err, &known) || !errors.Is(err, ledger.ErrSyntax) || !strings.Contains(err.Error(), v.Unknown) {
			t.Errorf("error %v, want one that names %s", err, v.Unknown)
		}
		if digest.String() != v.Digest {
			t.Errorf("digest %s, want %s", digest, v.Digest)
		}
	}
}

// unknownForms are the types that a file of unknown variants may name.
var unknownForms = map[string]struct {
	parse  func([]byte) error
	digest func([]byte) Digest
}{
	"TransactionData":    {func(b []byte) error { return second(ParseTransactionData(b)) }, TransactionDigest},
	"TransactionEffects": {func(b []byte) error { return second(ParseEffects(b)) }, EffectsDigest},
	"TransactionEvents":  {func(b []byte) error { return second(ParseEvents(b)) }, EventsDigest},
	"Object":             {func(b []byte) error { return second(ParseObject(b)) }, ObjectDigest},
	"CheckpointContents": {func(b []byte) error { return second(ParseContents(b)) }, ContentsDigest},
	"CheckpointSummary":  {func(b []byte) error { return second(ParseSummary(b)) }, CheckpointDigest},
}

func TestFormatsVector(t *testing.T) {
	type formats struct {
		Digests []struct {
			Hex    ledgertest.Hex `json:"hex"`
			Base58 string         `json:"base58"`
			BCS    ledgertest.Hex `json:"bcs_hex"`
		} `json:"digests"`
		Chain []struct {
			Genesis string         `json:"genesis_checkpoint_digest"`
			Hex     ledgertest.Hex `json:"hex"`
			ID      string         `json:"chain_identifier"`
		} `json:"chain"`
		Objects []struct {
			Transaction ledgertest.Hex `json:"tx_digest_hex"`
			Index       uint64         `json:"creation_index"`
			ID          string         `json:"object_id"`
		} `json:"object_ids"`
		Fields  []derived `json:"dynamic_fields"`
		Derived []derived `json:"derived_objects"`
	}
	for _, f := range ledgertest.Files[formats](t, "rebased/formats.json") {
		for _, v := range f.Data.Digests {
			d, err := ParseDigest(v.Base58)
			if err != nil || !bytes.Equal(d[:], v.Hex) || d.String() != v.Base58 || !bytes.Equal(AppendDigest(nil, d), v.BCS) {
				t.Errorf("%s reads as %x, %v", v.Base58, d, err)
			}
		}
		for _, v := range f.Data.Chain {
			d, err := ParseDigest(v.Genesis)
			if err != nil || !bytes.Equal(d[:], v.Hex) || ChainID(d) != v.ID {
				t.Errorf("%s reads as %x with id %s, %v", v.Genesis, d, ChainID(d), err)
			}
		}
		for _, v := range f.Data.Objects {
			if got := CreatedID(Digest(v.Transaction), v.Index); got.String() != v.ID {
				t.Errorf("object %d of %s is %s, want %s", v.Index, v.Transaction, got, v.ID)
			}
		}
		for _, v := range f.Data.Fields {
			v.test(t, v.Field, DynamicFieldID)
		}
		for _, v := range f.Data.Derived {
			v.test(t, v.Object, DerivedObjectID)
		}
	}
}

// derived is an object id that follows from a parent and a key.
type derived struct {
	Parent string         `json:"parent"`
	Type   string         `json:"key_type"`
	BCS    ledgertest.Hex `json:"key_type_bcs_hex"`
	Key    ledgertest.Hex `json:"key_bcs_hex"`
	Field  string         `json:"field_object_id"`
	Object string         `json:"object_id"`
}

func (v derived) test(t *testing.T, want string, id func(ObjectID, []byte, TypeTag) ObjectID) {
	t.Helper()
	parent, err := ParseAddress(v.Parent)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := ParseType(v.Type)
	if err != nil {
		t.Fatal(err)
	}
	if len(v.BCS) > 0 && !bytes.Equal(AppendTypeTag(nil, tag), v.BCS) {
		t.Errorf("%s encodes to %x, want %s", v.Type, AppendTypeTag(nil, tag), v.BCS)
	}
	if got := id(parent, v.Key, tag); got.String() != want {
		t.Errorf("%s under %s of %s is %s, want %s", v.Key, v.Type, v.Parent, got, want)
	}
}

// TestBCSTypeVector checks what the BCS vectors say of types and digests; package bcs checks the rest.
func TestBCSTypeVector(t *testing.T) {
	type primitive struct {
		Type       string          `json:"type"`
		Value      json.RawMessage `json:"value"`
		Hex        ledgertest.Hex  `json:"hex"`
		Normalized string          `json:"normalized"`
	}
	for _, v := range ledgertest.Load[primitive](t, "rebased/bcs_primitives.json", "vectors") {
		if v.Type != "TypeTag" {
			continue
		}
		tag, err := ParseTypeTag(v.Hex)
		if err != nil || tag.String() != v.Normalized {
			t.Errorf("%s reads as %v, %v; want %s", v.Hex, tag, err, v.Normalized)
			continue
		}
		var text string
		if err := json.Unmarshal(v.Value, &text); err != nil {
			t.Fatal(err)
		}
		if parsed, err := ParseType(text); err != nil || !reflect.DeepEqual(parsed, *tag) {
			t.Errorf("%s reads as %v, %v", text, parsed, err)
		}
	}
	for _, v := range ledgertest.Load[primitive](t, "rebased/bcs_primitives.json", "must_reject") {
		if v.Type != "Digest" {
			continue
		}
		r := bcs.NewReader(v.Hex)
		readDigest(r)
		if r.End() == nil {
			t.Errorf("digest %s is taken", v.Hex)
		}
	}
}

// TestGenesisVector reads the one transaction that has a file of its own.
func TestGenesisVector(t *testing.T) {
	want := map[int]value{}
	for _, v := range ledgertest.Load[value](t, "rebased/transactions.json", "vectors") {
		if len(v.BCS) == 0 {
			want[v.Length] = v
		}
	}
	for _, name := range ledgertest.Paths(t, "rebased/transactions_*.bcs") {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		d, err := ParseTransactionData(raw)
		if err != nil {
			t.Errorf("%d bytes: %v", len(raw), err)
			continue
		}
		if !bytes.Equal(AppendTransactionData(nil, d), raw) {
			t.Errorf("%d bytes: re-encoding differs", len(raw))
		}
		if v, ok := want[len(raw)]; !ok || TransactionDigest(raw).String() != v.Digest {
			t.Errorf("digest of %d bytes is %s, want %s", len(raw), TransactionDigest(raw), v.Digest)
		}
		if !json.Valid(TransactionJSON(d)) {
			t.Error("not JSON")
		}
	}
}
