package rebased

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/ledger/ledgertest"
)

// forgetting are versions of this program that know less: each leaves out one thing that it could not read.
var forgetting = map[string]func(*decoded){
	"transaction": func(d *decoded) { d.tx, d.txErr = nil, errors.New("unknown"); d.kind = 0 },
	"effects":     func(d *decoded) { d.effects, d.outputs, d.events = nil, nil, nil },
	"events":      func(d *decoded) { d.events = nil },
	"objects": func(d *decoded) {
		for i := range d.outputs {
			d.outputs[i].object = nil
		}
	},
	"one object": func(d *decoded) {
		if len(d.outputs) > 0 {
			d.outputs[0].object = nil
		}
	},
}

// TestUndecodedVector: what is posted and found of a record that cannot be read whole is part of what is posted of
// it when it can.
func TestUndecodedVector(t *testing.T) {
	for _, n := range vectorNetworks(t) {
		for _, name := range slices.Sorted(maps.Keys(forgetting)) {
			fewer := false
			for _, s := range n.records {
				if quietKind(s.rec.Kind) {
					continue // a known tag is enough to know that nothing is posted
				}
				identified, part := *s.d.identified, *s.d
				part.identified, part.outputs = &identified, slices.Clone(s.d.outputs)
				forgetting[name](&part)
				posts, moves := recordPosts(&s.rec, &part, s.view)
				fewer = fewer || len(posts) < len(s.rec.Posts)
				for _, p := range posts {
					if !contained(p, s.rec.Posts) {
						t.Errorf("%s without its %s: %+v is posted, and not when all can be read", s.index.Digest, name, p)
					}
				}
				for _, m := range moves {
					if !slices.Contains(s.rec.Moves, m) {
						t.Errorf("%s without its %s: %+v moves, and not when all can be read", s.index.Digest, name, m)
					}
				}
				some, all := factsOf(&part, false), factsOf(s.d, false)
				for what, pair := range map[string][2][]string{
					"addresses": {some.Addresses, all.Addresses}, "objects": {some.Objects, all.Objects}, "texts": {some.Texts, all.Texts},
				} {
					for _, v := range pair[0] {
						if !slices.Contains(pair[1], v) {
							t.Errorf("%s without its %s: of the %s %q is found, and not when all can be read", s.index.Digest, name, what, v)
						}
					}
				}
			}
			if name == "effects" && !fewer {
				t.Errorf("without its %s no record has fewer postings", name)
			}
		}
	}
}

// contained reports whether list has p's key with all of its roles, and its value if it has one.
func contained(p ledger.Posting, list []ledger.Posting) bool {
	return slices.ContainsFunc(list, func(q ledger.Posting) bool {
		return q.Key == p.Key && q.Role&p.Role == p.Role && (p.Value.Sign() == 0 || p.Value.Equal(q.Value))
	})
}

// TestUndecodedSignersVector: whoever signed a transaction that cannot be read, and paid for it, is found all the
// same; the network's own transactions are signed by nobody.
func TestUndecodedSignersVector(t *testing.T) {
	for _, n := range vectorNetworks(t) {
		for _, s := range n.records {
			identified, part := *s.d.identified, *s.d
			part.identified, part.kind, identified.tx = &identified, 0, nil
			var want []string
			if s.rec.Kind == KindProgrammable {
				want = set([]string{s.index.Sender, s.index.GasOwner})
			}
			got := sealed{d: &part, rec: s.rec}
			got.rec.Posts, _ = recordPosts(&s.rec, &part, nil)
			if signed := got.posted(ledger.KeyAddress, ledger.RoleSign); !slices.Equal(set(signed), want) {
				t.Errorf("%s is signed by %q, want %q", s.index.Digest, signed, want)
			}
			if payers := got.posted(ledger.KeyAddress, ledger.RolePay); s.rec.Kind == KindProgrammable && !slices.Equal(payers, []string{s.index.GasOwner}) {
				t.Errorf("%s is paid by %q, want %s", s.index.Digest, payers, s.index.GasOwner)
			}
		}
	}
}

// TestGasVector: what all addresses together lost in a transaction whose coins stay with addresses is what it cost.
func TestGasVector(t *testing.T) {
	checked := 0
	for _, n := range vectorNetworks(t) {
		for _, s := range n.records {
			if s.rec.Kind != KindProgrammable || !keepsCoins(s.d) {
				continue
			}
			checked++
			var sum ledger.Amount
			for _, m := range s.rec.Moves {
				if m.Asset == "" {
					sum = sum.Add(m.Amount)
				}
			}
			g := &s.d.effects.Gas
			want := ledger.Coins(g.StorageRebate).Add(ledger.Coins(g.Computation).Neg()).Add(ledger.Coins(g.Storage).Neg())
			if !sum.Equal(want) || sum.Sign() == 0 {
				t.Errorf("%s moved %s in all, its gas was %s", s.index.Digest, sum, want)
			}
		}
	}
	if checked == 0 {
		t.Error("no transaction keeps its coins with addresses")
	}
}

// keepsCoins reports whether a transaction takes or makes no coin but those of addresses, and no other object that could
// hold one.
func keepsCoins(d *decoded) bool {
	for i := range d.effects.Changed {
		c := &d.effects.Changed[i]
		if c.In.Exist && c.In.Owner.Type != OwnerAddress || c.Out.Type == OutObject && c.Out.Owner.Type != OwnerAddress {
			return false
		}
		if o := d.output(c.ID); o != nil {
			if _, _, coin := balanceOf(o); !coin && !strings.Contains(o.Data.Move.Type.Tag().Module, "notarization") {
				return false
			}
		}
	}
	return true
}

// TestUnknownVariantsVector: facts of a record with a variant that nobody knows say type, tag and place.
func TestUnknownVariantsVector(t *testing.T) {
	type vector struct {
		Type    string `json:"type"`
		BCS     []byte `json:"bcs_b64"`
		Unknown string `json:"unknown"`
	}
	known := vectorNetworks(t)[0].records[0].rec
	for i, v := range ledgertest.Load[vector](t, "rebased/unknown_variants.json", "vectors") {
		r := ledger.Record{ID: known.ID, Parts: slices.Clone(known.Parts)}
		switch v.Type {
		case "TransactionData":
			signed := slices.Concat([]byte{0, 0, 0}, v.BCS, []byte{1, 97}, make([]byte, 97))
			d := TransactionDigest(v.BCS)
			r.ID = ledger.NewID(d[:])
			r.Parts = []ledger.Part{
				{Kind: ledger.PartObject, Raw: signed},
				{Kind: ledger.PartEffects, Raw: AppendEffects(nil, &Effects{Transaction: TransactionDigest(v.BCS)})},
			}
		case "TransactionEffects":
			r.Parts = []ledger.Part{known.Parts[0], {Kind: ledger.PartEffects, Raw: v.BCS}}
		default:
			t.Errorf("vector %d has the unknown type %s", i, v.Type)
			continue
		}
		f, err := (Codec{}).Facts(&r, ledger.Trust{})
		if err != nil || !strings.Contains(f.Undecoded, v.Unknown) || !strings.Contains(f.Undecoded, "at byte ") {
			t.Errorf("vector %d: facts say %q (%v), want %q and a place", i, f.Undecoded, err, v.Unknown)
		}
		ledgertest.CheckOutline(t, Codec{}, &r, ledger.Trust{}, f)
	}
}

// TestRealFactsVector: every record of every checkpoint file is read whole, and what it tells is well formed.
func TestRealFactsVector(t *testing.T) {
	for _, name := range ledgertest.Paths(t, "rebased/checkpoints/*/*.chk") {
		chk, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, raws, err := SplitCheckpoint(chk)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i, p := range (Codec{}).Prepare(Codec{}.Identify(raws)) {
			if p.Err != nil {
				t.Fatalf("%s, record %d: %v", name, i, p.Err)
			}
			r := ledger.Record{ID: p.ID, Parts: p.Data.(*prepared).stored}
			f, err := (Codec{}).Facts(&r, ledger.Trust{})
			if err != nil || f.Undecoded != "" {
				t.Errorf("%s, record %d: %v, undecoded: %s", name, i, err, f.Undecoded)
			}
			ledgertest.CheckOutline(t, Codec{}, &r, ledger.Trust{}, f)
			for _, x := range f.Facets {
				if kind, ok := facetKeys[x.Name]; ok && !slices.ContainsFunc((Codec{}).Recognise(x.Value, ledger.Trust{}), func(k ledger.Key) bool {
					return k.Kind == kind && slices.ContainsFunc(p.Data.(*prepared).posts(), func(q ledger.Posting) bool { return q.Key == k })
				}) {
					t.Errorf("%s, record %d: nobody finds it by its %s %s", name, i, x.Name, x.Value)
				}
			}
		}
	}
}

// facetKeys are the facets that are exact questions too.
var facetKeys = map[string]ledger.KeyKind{
	"sender": ledger.KeyAddress, "gas_owner": ledger.KeyAddress, "recipient": ledger.KeyAddress,
	"function": ledger.KeyFunction, "event": ledger.KeyEvent, "type": ledger.KeyType,
}

func (v *prepared) posts() []ledger.Posting {
	out, _ := recordPosts(&ledger.Record{}, v.decoded, nil)
	return out
}
