package rebased

import (
	"slices"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/ledger/ledgertest"
	"permanode/ledger/stardust"
)

// linkVector is a Stardust output and the object that it became.
type linkVector struct {
	Category  string         `json:"category"`
	Output    ledgertest.Hex `json:"output_id"`
	Hash      ledgertest.Hex `json:"blake2b256_of_output_id"`
	Alias     ledgertest.Hex `json:"alias_id"`
	NFT       ledgertest.Hex `json:"nft_id"`
	Object    ledgertest.Hex `json:"object_id"`
	Migration string         `json:"migration_tx"`
	Tag       string         `json:"tag"`
	Amount    string         `json:"amount"`
	Kind      string         `json:"kind"`
	Owner     ledgertest.Hex `json:"owner"`
}

// TestStardustLinkVector: from an output's id to its object, from an alias or NFT to the object with its id, and back.
func TestStardustLinkVector(t *testing.T) {
	for _, v := range ledgertest.Load[linkVector](t, "rebased/stardust_link.json", "vectors") {
		if len(v.Object) == 0 {
			continue // merged into another output's coin
		}
		hash := ledger.Key{Kind: ledger.KeyObject, Val: string(v.Hash)}
		if got := (Codec{}).Recognise(v.Output.String(), ledger.Trust{}); !slices.Equal(got, []ledger.Key{hash}) {
			t.Errorf("%s %s names %q, want the object %s", v.Category, v.Output, got, v.Hash)
		}
		object := ledger.Key{Kind: ledger.KeyObject, Val: string(v.Object)}
		before := ledger.Key{Kind: ledger.KeySuccessor, Val: string(v.Object)}
		from := ledger.Key{Kind: ledger.KeyOutput, Val: string(v.Output)}
		for prefix, id := range map[string]ledgertest.Hex{stardustAlias: v.Alias, stardustNFT: v.NFT} {
			if strings.Trim(string(id), "\x00") != "" {
				before = ledger.Key{Kind: ledger.KeyObject, Val: prefix + string(id)}
				from = before
			}
		}
		if later, _ := (stardust.Codec{}).Links(from, nil); !slices.Contains(later, object) {
			t.Errorf("%s %s leads to %q, not to the object %s", v.Category, v.Output, later, v.Object)
		}
		if _, earlier := (Codec{}).Links(object, nil); !slices.Contains(earlier, before) {
			t.Errorf("%s: the object %s leads back to %q, not to %q", v.Category, v.Object, earlier, before)
		}
	}
}

// TestMigratedOutputVector: the id of a migrated output finds the transaction that made it an object, with tag and amount.
func TestMigratedOutputVector(t *testing.T) {
	for _, n := range vectorNetworks(t) {
		for _, v := range readJSON[struct{ Links []linkVector }](t, n.dir+"/stardust_links.json").Links {
			keys := (Codec{}).Recognise(v.Output.String(), ledger.Trust{})
			var found []*sealed
			for _, s := range n.records {
				if slices.ContainsFunc(s.rec.Posts, func(p ledger.Posting) bool {
					return p.Role&ledger.RoleReceive != 0 && slices.Contains(keys, p.Key)
				}) {
					found = append(found, s)
				}
			}
			if len(found) != 1 || found[0].index.Digest != v.Migration {
				t.Errorf("output %s is found in %d records, want %s", v.Output, len(found), v.Migration)
				continue
			}
			s := found[0]
			if v.Tag != "" && !slices.Contains(s.posted(ledger.KeyTag, 0), v.Tag) {
				t.Errorf("output %s: the tag %s is not posted", v.Output, v.Tag)
			}
			moved := slices.ContainsFunc(s.rec.Moves, func(m ledger.Move) bool {
				return m.Output == ledger.NewID(v.Object) && m.Owner == string(v.Owner) && m.Amount.String() == v.Amount
			})
			if moved != (v.Kind == "coin") {
				t.Errorf("output %s, a %s of %s: moved %v", v.Output, v.Kind, v.Amount, moved)
			}
		}
	}
}
