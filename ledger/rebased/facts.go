package rebased

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"permanode/ledger"
	"permanode/ledger/jsonleaf"
)

// Facts reads a record once more and draws from it what a person can search for. Of a record that cannot be read
// whole it draws the rest, and says why.
func (Codec) Facts(r *ledger.Record, _ ledger.Trust) (ledger.Facts, error) {
	d, err := decodeParts(r)
	if err != nil {
		return ledger.Facts{}, fmt.Errorf("facts of record %s: %w", r.ID, err)
	}
	f := factsOf(d, false)
	f.Moves = transfers(r.Moves)
	return f, nil
}

// Outline is the tags, addresses and payloads of Facts, and why the record cannot be read whole.
func (Codec) Outline(r *ledger.Record, _ ledger.Trust) (ledger.Facts, error) {
	d, err := decodeParts(r)
	if err != nil {
		return ledger.Facts{}, fmt.Errorf("outline of record %s: %w", r.ID, err)
	}
	return factsOf(d, true), nil
}

func factsOf(d *decoded, outline bool) ledger.Facts {
	w := drawer{outline: outline, f: ledger.Facts{Undecoded: d.reason}}
	if quietKind(d.kind) {
		return w.f
	}
	if d.tx != nil {
		w.transaction(d.tx)
	} else {
		w.signers(d)
	}
	if d.kind == KindProgrammable && !outline {
		w.schemes(d)
	}
	if d.effects != nil {
		w.effects(d.effects)
	}
	for i := range d.outputs {
		if o := &d.outputs[i]; o.object != nil {
			w.object(o.object)
		}
	}
	if outline {
		return w.done()
	}
	for i := range d.events {
		e := &d.events[i]
		w.facet("event", e.Type.String())
		for _, text := range scanTexts(e.Contents) {
			w.text(text)
		}
	}
	return w.done()
}

// transfers adds up moves of one owner and asset.
func transfers(moves []ledger.Move) []ledger.Transfer {
	var out []ledger.Transfer
	for i := range moves {
		m := &moves[i]
		t := ledger.Transfer{Owner: addressText(m.Owner), Asset: m.Asset, Amount: m.Amount}
		at, found := slices.BinarySearchFunc(out, t, func(a, b ledger.Transfer) int {
			return cmp.Or(cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.Asset, b.Asset))
		})
		if found {
			out[at].Amount = out[at].Amount.Add(t.Amount)
		} else {
			out = slices.Insert(out, at, t)
		}
	}
	return slices.DeleteFunc(out, func(t ledger.Transfer) bool { return t.Amount.Sign() == 0 })
}

// addressText returns an address as the era writes it, from its 32 bytes in a key.
func addressText(val string) string {
	var a Address
	copy(a[:], val)
	return a.String()
}

// drawer gathers facts.
type drawer struct {
	outline bool // tags, addresses and payloads alone
	f       ledger.Facts
}

// done returns what was gathered, in order.
func (w *drawer) done() ledger.Facts {
	slices.Sort(w.f.Addresses)
	w.f.Addresses = slices.Compact(w.f.Addresses)
	slices.Sort(w.f.Objects)
	w.f.Objects = slices.Compact(w.f.Objects)
	slices.SortFunc(w.f.Facets, func(a, b ledger.Facet) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value))
	})
	w.f.Facets = slices.Compact(w.f.Facets)
	return w.f
}

func (w *drawer) facet(name, value string) {
	if w.outline {
		return
	}
	w.f.Facets = append(w.f.Facets, ledger.Facet{Name: name, Value: value})
}

// address names an address, in a role if there is one.
func (w *drawer) address(a Address, role string) {
	text := a.String()
	w.f.Addresses = append(w.f.Addresses, text)
	if role != "" {
		w.facet(role, text)
	}
}

// text takes a text, and the leaves of it if it is JSON.
func (w *drawer) text(text string) {
	if w.outline {
		return
	}
	w.f.Texts = append(w.f.Texts, text)
	w.f.Leaves = append(w.f.Leaves, jsonleaf.Read([]byte(text))...)
}

func (w *drawer) transaction(tx *SenderSigned) {
	w.address(tx.Data.Sender, "sender") // zero in what the network does itself
	w.address(tx.Data.Gas.Owner, "gas_owner")
	call, ok := tx.Data.Kind.(*Programmable)
	if !ok {
		return
	}
	for i := range call.Inputs {
		if a := &call.Inputs[i]; a.Type == ArgPure {
			w.argument(a)
		}
	}
	for i := range call.Commands {
		if w.outline {
			break
		}
		c := &call.Commands[i]
		if c.Type == CmdMoveCall {
			w.facet("function", functionText(c))
		}
		for j := range c.TypeArgs {
			w.facet("type_argument", c.TypeArgs[j].String())
		}
	}
}

// argument draws from a pure argument.
func (w *drawer) argument(a *CallArg) {
	texts := pureTexts(a.Pure)
	for _, text := range texts {
		w.text(text)
	}
	if b, ok := payloadIn(a.Pure, texts); ok {
		w.f.Payloads = append(w.f.Payloads, ledger.Span{Off: a.Off + len(a.Pure) - len(b), Len: len(b)})
	}
}

// schemes names the schemes of the signatures, and marks those that the committee alone vouches for.
func (w *drawer) schemes(d *decoded) {
	for _, sig := range d.sigs {
		if len(sig) == 0 {
			continue
		}
		name := SchemeName(sig[0])
		w.facet("scheme", name)
		switch sig[0] {
		case FlagEd25519, FlagSecp256k1, FlagSecp256r1, FlagPasskey: // always verified
		default:
			if _, _, err := VerifySignature(sig, d.data); errors.Is(err, ErrUnverified) {
				w.facet("unverified", name)
			}
		}
	}
}

// signers draws what a transaction that cannot be read tells all the same.
func (w *drawer) signers(d *decoded) {
	for _, a := range signersOf(d) {
		w.address(a, "")
	}
	if a, ok := payer(d.effects); ok {
		w.address(a, "gas_owner")
	}
}

func (w *drawer) effects(e *Effects) {
	w.facet("epoch", strconv.FormatUint(e.Epoch, 10))
	if e.Failure != nil {
		w.facet("status", "failure")
	}
	for i := range e.Changed {
		c := &e.Changed[i]
		if !w.outline {
			w.f.Objects = append(w.f.Objects, c.ID.String())
		}
		if c.Out.Type == OutObject && c.Out.Owner.Type == OwnerAddress {
			w.address(c.Out.Owner.Address, "recipient")
		}
	}
}

func (w *drawer) object(o *Object) {
	if o.Data.Move == nil {
		return
	}
	if asset, balance, ok := balanceOf(o); ok {
		if asset != "" && !w.outline {
			w.f.Tokens = append(w.f.Tokens, ledger.Token{ID: asset, Amount: ledger.Coins(balance)})
		}
		return
	}
	t := o.Data.Move.Type.Tag()
	w.facet("type", t.String())
	c := contentOf(&t, o.Data.Move.Contents)
	for _, text := range c.texts {
		w.text(text.Text)
	}
	for _, tag := range c.tags {
		w.f.Tags = append(w.f.Tags, bytes.Clone(tag))
	}
}
