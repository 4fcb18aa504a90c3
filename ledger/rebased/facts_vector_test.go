package rebased

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/ledger/ledgertest"
)

// sealed is a record of a vector network with all that is drawn from it.
type sealed struct {
	seq, timeMs, epoch uint64
	rec                ledger.Record
	d                  *decoded
	facts              ledger.Facts
	index              indexed
	view               coinView
}

// indexed is what index.json expects to be found of one transaction.
type indexed struct {
	Digest      string       `json:"digest"`
	Checkpoint  string       `json:"checkpoint"`
	Kind        string       `json:"kind"`
	Sender      string       `json:"sender"`
	GasOwner    string       `json:"gas_owner"`
	Status      string       `json:"status"`
	Functions   []string     `json:"functions"`
	PureTexts   []string     `json:"pure_texts"`
	EventTypes  []string     `json:"event_types"`
	EventTexts  []any        `json:"event_texts"`
	ObjectTypes []string     `json:"object_types"`
	ObjectTexts []objectText `json:"object_texts"`
	Tags        []string     `json:"tags"`
	Created     []string     `json:"created"`
	Changed     []string     `json:"changed"`
	Recipients  []string     `json:"recipients"`
}

type objectText struct {
	Object string `json:"object"`
	Field  string `json:"field"`
	Text   string `json:"text"`
}

// networkIndex is an index.json, and the records of the checkpoints beside it.
type networkIndex struct {
	dir         string
	Checkpoints []struct {
		Seq json.Number `json:"sequence_number"`
	} `json:"checkpoints"`
	Transactions []indexed `json:"transactions"`
	Audit        []struct {
		Text, Metadata, Tag *string
		Digest              string `json:"digest"`
		FieldObject         string `json:"field_object"`
	} `json:"audit_records"`
	records []*sealed
}

func readJSON[T any](t testing.TB, name string) (v T) {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// vectorNetworks seals every checkpoint folder that has an index, from checkpoint 0 on, as a held ledger.
func vectorNetworks(t testing.TB) (all []*networkIndex) {
	t.Helper()
	for _, name := range ledgertest.Paths(t, "rebased/checkpoints/*/index.json") {
		n := readJSON[networkIndex](t, name)
		n.dir = filepath.Dir(name)
		byDigest := map[string]indexed{}
		for _, tx := range n.Transactions {
			byDigest[tx.Digest] = tx
		}
		l := openLedger(t, filepath.Join(n.dir, "committee_epoch0.json"))
		for _, c := range n.Checkpoints {
			chk, err := os.ReadFile(filepath.Join(n.dir, c.Seq.String()+".chk"))
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range l.seal(t, chk) {
				s.index = byDigest[Codec{}.FormatID(s.rec.ID)]
				n.records = append(n.records, s)
			}
		}
		all = append(all, &n)
	}
	return all
}

// heldLedger is a span that holds the ledger, in memory.
type heldLedger struct {
	at    ledger.Start
	state map[string][]byte
}

func openLedger(t testing.TB, committee string) *heldLedger {
	t.Helper()
	raw, err := os.ReadFile(committee)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := ParseCommitteeFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err = NewTrust(spec); err != nil {
		t.Fatal(err)
	}
	trust, err := Codec{}.ParseTrust(raw)
	if err != nil {
		t.Fatal(err)
	}
	l := &heldLedger{state: map[string][]byte{}}
	l.at = ledger.Start{Trust: trust, Held: true, State: func(_ context.Context, keys [][]byte) ([][]byte, error) {
		var vals [][]byte
		for _, k := range keys {
			vals = append(vals, l.state[string(k)])
		}
		return vals, nil
	}}
	return l
}

// coin is the coinView of all that was sealed.
func (l *heldLedger) coin(id ObjectID, version uint64) (coin, bool) {
	return decodeCoin(l.state[string(coinKey(id, version))])
}

// seal proves a checkpoint, keeps what it changed, and reads its records again as they would be stored.
func (l *heldLedger) seal(t testing.TB, chk []byte) (out []*sealed) {
	t.Helper()
	head, raws, err := SplitCheckpoint(chk)
	if err != nil {
		t.Fatal(err)
	}
	asm, err := Codec{}.Begin(context.Background(), head, l.at)
	if err != nil {
		t.Fatal(err)
	}
	if err := asm.Put(Codec{}.Identify(raws)...); err != nil {
		t.Fatal(err)
	}
	p := Codec{}.Prepare(asm.Members())
	view := ledger.View{}
	for _, k := range asm.StateKeys(p) {
		view[string(k)] = l.state[string(k)]
	}
	cone, err := asm.Seal(p, view, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cone.Changes {
		l.state[string(c.Key)] = c.Val
	}
	l.at.Prev = &cone.Unit
	certified, _, _, err := ParseHead(head)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range cone.Records {
		s := &sealed{seq: cone.Unit.Seq, timeMs: certified.Summary.TimeMs, epoch: certified.Summary.Epoch, rec: rec, view: l.coin}
		if s.d, err = decodeParts(&s.rec); err != nil {
			t.Fatal(err)
		}
		if s.facts, err = (Codec{}).Facts(&s.rec, ledger.Trust{}); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

// set returns a list's values once each, in order.
func set(list []string) []string { return slices.Sorted(maps.Keys(setOf(list))) }

func setOf(list []string) map[string]bool {
	m := map[string]bool{}
	for _, v := range list {
		m[v] = true
	}
	return m
}

// facets returns the values of one name.
func (s *sealed) facets(name string) (out []string) {
	for _, f := range s.facts.Facets {
		if f.Name == name {
			out = append(out, f.Value)
		}
	}
	return out
}

// posted returns the keys of a kind that are posted with any of roles, 0 for whatever role, as text.
func (s *sealed) posted(kind ledger.KeyKind, roles ledger.Role) (out []string) {
	for _, p := range s.rec.Posts {
		if p.Key.Kind != kind || roles != 0 && p.Role&roles == 0 {
			continue
		}
		switch kind {
		case ledger.KeyAddress, ledger.KeyObject:
			out = append(out, addressText(p.Key.Val))
		default:
			out = append(out, p.Key.Val)
		}
	}
	return out
}

func same(t *testing.T, s *sealed, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(set(got), set(want)) {
		t.Errorf("%s of %s: %q, want %q", what, s.index.Digest, set(got), set(want))
	}
}

// TestFactsVector: facts and postings of each transaction hold what its entry in index.json says, and no more.
func TestFactsVector(t *testing.T) {
	for _, n := range vectorNetworks(t) {
		if len(n.records) != len(n.Transactions) {
			t.Errorf("%d records, the index has %d", len(n.records), len(n.Transactions))
		}
		for _, s := range n.records {
			if s.index.Digest == "" {
				t.Errorf("record %s is not in the index", s.rec.ID)
				continue
			}
			if got := (Codec{}).KindName(s.rec.Kind); got != s.index.Kind || s.index.Checkpoint != strconv.FormatUint(s.seq, 10) {
				t.Errorf("%s: %s in checkpoint %d, want %s in %s", s.index.Digest, got, s.seq, s.index.Kind, s.index.Checkpoint)
			}
			if quietKind(s.rec.Kind) {
				if !reflect.DeepEqual(s.facts, ledger.Facts{}) || len(s.rec.Posts) != 1 || s.rec.Posts[0].Key.Kind != ledger.KeyRecord {
					t.Errorf("%s: of a %s more than its id is kept: %+v %+v", s.index.Digest, s.index.Kind, s.facts, s.rec.Posts)
				}
				continue
			}
			compareIndex(t, s)
		}
		for _, a := range n.Audit {
			i := slices.IndexFunc(n.records, func(s *sealed) bool { return s.index.Digest == a.Digest })
			if i < 0 || !slices.Contains(n.records[i].posted(ledger.KeyObject, ledger.RoleReceive), a.FieldObject) {
				t.Errorf("audit record %s is not found in %s", a.FieldObject, a.Digest)
				continue
			}
			for _, text := range []*string{a.Text, a.Metadata, a.Tag} {
				if text != nil && !slices.Contains(n.records[i].facts.Texts, *text) {
					t.Errorf("audit record %s: %q is not found", a.FieldObject, *text)
				}
			}
			if a.Tag != nil && !slices.Contains(n.records[i].posted(ledger.KeyTag, 0), *a.Tag) {
				t.Errorf("audit record %s: the tag %q is not found", a.FieldObject, *a.Tag)
			}
		}
	}
}

func compareIndex(t *testing.T, s *sealed) {
	t.Helper()
	x := &s.index
	if !quietKind(s.rec.Kind) {
		same(t, s, "sender", s.facets("sender"), []string{x.Sender})
		same(t, s, "gas owner", s.facets("gas_owner"), []string{x.GasOwner})
		same(t, s, "posted sender", s.posted(ledger.KeyAddress, ledger.RoleSend), []string{x.Sender})
		same(t, s, "posted gas owner", s.posted(ledger.KeyAddress, ledger.RolePay), []string{x.GasOwner})
		if x.Kind == "ProgrammableTransaction" {
			same(t, s, "signers", s.posted(ledger.KeyAddress, ledger.RoleSign), []string{x.Sender, x.GasOwner})
		}
		same(t, s, "addresses", s.facts.Addresses, append([]string{x.Sender, x.GasOwner}, x.Recipients...))
	} else {
		same(t, s, "addresses", s.facts.Addresses, x.Recipients)
	}
	if posts, moves := recordPosts(&s.rec, s.d, s.view); !reflect.DeepEqual(posts, s.rec.Posts) || !reflect.DeepEqual(moves, s.rec.Moves) {
		t.Errorf("%s: the stored bytes give other postings or moves than those that were sealed", x.Digest)
	}
	if want := map[string]ledger.State{"success": ledger.ExecutedSuccess, "failure": ledger.ExecutedFailure}[x.Status]; s.rec.State != want {
		t.Errorf("%s is %s, want %s", x.Digest, s.rec.State, want)
	}
	if failed := len(s.facets("status")) > 0; failed != (x.Status == "failure") {
		t.Errorf("%s failed: %v, want %s", x.Digest, failed, x.Status)
	}
	same(t, s, "functions", s.facets("function"), x.Functions)
	same(t, s, "posted functions", s.posted(ledger.KeyFunction, 0), x.Functions)
	same(t, s, "event types", s.facets("event"), x.EventTypes)
	same(t, s, "posted event types", s.posted(ledger.KeyEvent, 0), x.EventTypes)
	same(t, s, "object types", s.facets("type"), x.ObjectTypes)
	same(t, s, "posted object types", withoutCoins(t, s.posted(ledger.KeyType, 0)), x.ObjectTypes)
	same(t, s, "recipients", s.facets("recipient"), x.Recipients)
	same(t, s, "posted recipients", s.posted(ledger.KeyAddress, ledger.RoleReceive), x.Recipients)
	same(t, s, "created", s.posted(ledger.KeyObject, ledger.RoleReceive), x.Created)
	same(t, s, "changed", s.posted(ledger.KeyObject, ledger.RoleMention|ledger.RoleSpend), x.Changed)
	same(t, s, "objects", s.facts.Objects, append(slices.Clone(x.Created), x.Changed...))
	same(t, s, "posted tags", s.posted(ledger.KeyTag, 0), x.Tags)
	var tags []string
	for _, tag := range s.facts.Tags {
		tags = append(tags, string(tag))
	}
	same(t, s, "tags", tags, x.Tags)
	compareTexts(t, s)
}

func compareTexts(t *testing.T, s *sealed) {
	t.Helper()
	var got []objectText
	for _, o := range s.d.outputs {
		if o.object.Data.Move == nil {
			continue
		}
		tag := o.object.Data.Move.Type.Tag()
		if _, coin := coinType(&tag); coin {
			continue
		}
		for _, text := range contentOf(&tag, o.object.Data.Move.Contents).texts {
			got = append(got, objectText{o.id.String(), text.Field, text.Text})
		}
	}
	want := slices.Clone(s.index.ObjectTexts) // in the order of the file; objects are kept by id
	slices.SortStableFunc(want, func(a, b objectText) int { return cmp.Compare(a.Object, b.Object) })
	if !slices.Equal(got, want) {
		t.Errorf("texts in objects of %s:\n got %q\nwant %q", s.index.Digest, got, want)
	}
	all := slices.Clone(s.index.PureTexts)
	for _, text := range want {
		all = append(all, text.Text)
	}
	for _, event := range s.index.EventTexts {
		switch e := event.(type) {
		case string:
			all = append(all, e)
		case map[string]any:
			all = append(all, fmt.Sprint(e["text"]))
		}
	}
	if !slices.Equal(s.facts.Texts, all) {
		t.Errorf("texts of %s:\n got %q\nwant %q", s.index.Digest, s.facts.Texts, all)
	}
}

func withoutCoins(t *testing.T, types []string) []string {
	t.Helper()
	return slices.DeleteFunc(types, func(text string) bool {
		tag, err := ParseType(text)
		if err != nil {
			t.Error(err)
			return false
		}
		_, coin := coinType(tag.Struct)
		return coin
	})
}

// TestQueriesVector: postings and facts give the answers of queries.json.
func TestQueriesVector(t *testing.T) {
	type vector struct {
		Query   map[string]any `json:"query"`
		Digests []string       `json:"digests"`
	}
	for _, n := range vectorNetworks(t) {
		for _, q := range readJSON[struct{ Queries []vector }](t, filepath.Join(n.dir, "queries.json")).Queries {
			var got []string
			for _, s := range n.records {
				if s.answers(t, q.Query) {
					got = append(got, Codec{}.FormatID(s.rec.ID))
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, q.Digests) {
				t.Errorf("%v:\n got %q\nwant %q", q.Query, got, q.Digests)
			}
		}
	}
}

// questions are those that keys answer.
var questions = map[string]struct {
	kind  ledger.KeyKind
	roles ledger.Role
}{
	"sender":      {ledger.KeyAddress, ledger.RoleSend},
	"gas_owner":   {ledger.KeyAddress, ledger.RolePay},
	"recipient":   {ledger.KeyAddress, ledger.RoleReceive},
	"function":    {ledger.KeyFunction, 0},
	"event_type":  {ledger.KeyEvent, 0},
	"object_type": {ledger.KeyType, 0},
	"object_id":   {ledger.KeyObject, 0},
	"sha256":      {ledger.KeyPayload, 0},
	"digest":      {ledger.KeyRecord, 0},
}

// answers reports whether a record answers all of a query.
func (s *sealed) answers(t *testing.T, query map[string]any) bool {
	t.Helper()
	all := true
	for name, v := range query {
		text := fmt.Sprint(v)
		number, _ := strconv.ParseUint(text, 10, 64)
		q, ok := questions[name]
		hit := false
		switch {
		case ok:
			for _, k := range (Codec{}).Recognise(text, ledger.Trust{}) {
				hit = hit || slices.ContainsFunc(s.rec.Posts, func(p ledger.Posting) bool {
					return k.Kind == q.kind && p.Key == k && (q.roles == 0 || p.Role&q.roles != 0)
				})
			}
		case name == "tag":
			hit = slices.Contains(s.posted(ledger.KeyTag, 0), text)
		case name == "status":
			hit = (len(s.facets("status")) > 0) == (text == "failure")
		case name == "checkpoint":
			hit = s.seq == number
		case name == "epoch":
			hit = s.epoch == number
		case name == "kind":
			hit = Codec{}.KindName(s.rec.Kind) == text
		case name == "time_from_ms":
			hit = s.timeMs >= number
		case name == "time_to_ms":
			hit = s.timeMs <= number
		case name == "text_substring":
			hit = slices.ContainsFunc(s.facts.Texts, func(in string) bool {
				return strings.Contains(strings.ToLower(in), strings.ToLower(text))
			})
		default:
			t.Errorf("nothing answers the question %q", name)
		}
		all = all && hit
	}
	return all
}

// TestPayloadsVector: payloads are found by their hash and CID, and facts say where they stand.
func TestPayloadsVector(t *testing.T) {
	type vector struct {
		Transaction []string       `json:"transaction"`
		Bytes       int            `json:"bytes"`
		SHA256      ledgertest.Hex `json:"sha256"`
		CID         string         `json:"cid_v1_raw"`
	}
	for _, n := range vectorNetworks(t) {
		for _, s := range n.records {
			checkPayloads(t, s)
		}
		for _, v := range readJSON[struct{ Payloads []vector }](t, filepath.Join(n.dir, "payloads.json")).Payloads {
			key := ledger.Key{Kind: ledger.KeyPayload, Val: string(v.SHA256)}
			if got := (Codec{}).Recognise(v.CID, ledger.Trust{}); !slices.Equal(got, []ledger.Key{key}) {
				t.Errorf("CID %s names %v", v.CID, got)
			}
			for _, s := range n.records {
				posted := slices.ContainsFunc(s.rec.Posts, func(p ledger.Posting) bool { return p.Key == key })
				where := slices.ContainsFunc(s.facts.Payloads, func(at ledger.Span) bool {
					sum := sha256.Sum256(s.rec.Parts[0].Raw[at.Off : at.Off+at.Len])
					return at.Len == v.Bytes && string(sum[:]) == string(v.SHA256)
				})
				named := slices.Contains(v.Transaction, s.index.Digest)
				if where != named || posted != named {
					t.Errorf("payload %s in %s: posted %v, placed %v, want %v", v.SHA256, s.index.Digest, posted, where, named)
				}
			}
		}
	}
}

// checkPayloads compares the payloads that facts name, each of which has its hash as a key, with the keys.
func checkPayloads(t *testing.T, s *sealed) {
	t.Helper()
	want, got := map[string]bool{}, map[string]bool{}
	for _, at := range s.facts.Payloads {
		sum := sha256.Sum256(s.rec.Parts[0].Raw[at.Off : at.Off+at.Len])
		want[string(sum[:])] = true
	}
	for _, p := range s.rec.Posts {
		if p.Key.Kind == ledger.KeyPayload {
			got[p.Key.Val] = true
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("record %s: payload keys %x, facts name %x", s.rec.ID, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}
