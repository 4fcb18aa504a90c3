package ledgertest

import (
	"reflect"
	"testing"

	"permanode/ledger"
)

// CheckOutline fails where the outline of a record is not the part of its facts that the contract names.
func CheckOutline(t testing.TB, c ledger.Codec, r *ledger.Record, trust ledger.Trust, facts ledger.Facts) {
	t.Helper()
	got, err := c.Outline(r, trust)
	want := ledger.Facts{Undecoded: facts.Undecoded, Tags: facts.Tags, Addresses: facts.Addresses, Payloads: facts.Payloads}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("the outline of %s is %+v (%v), its facts %+v", r.ID, got, err, want)
	}
}
