package client_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"iter"
	"reflect"
	"slices"
	"strings"
	"testing"

	"permanode/internal/race"
	"permanode/query"
	"permanode/query/api"
	"permanode/query/client"
	"permanode/storage"
)

// all gathers what an iterator gives, up to its error.
func all[T any](t *testing.T, seq iter.Seq2[T, error]) (out []T) {
	t.Helper()
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// same compares two values by their JSON.
func same(t *testing.T, what string, got, want any, errs ...error) {
	t.Helper()
	a, errA := json.Marshal(got)
	b, errB := json.Marshal(want)
	if err := errors.Join(append(errs, errA, errB)...); err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if !bytes.Equal(a, b) {
		t.Errorf("%s:\n got %.600s\nwant %.600s", what, a, b)
	}
}

// What a service answers is what the archive answers in process.
func TestServiceAnswersAsArchive(t *testing.T) {
	ctx := t.Context()
	a := recorded(t, "")
	c := serve(t, service(a))
	networks, err := a.Networks(ctx)
	if err != nil {
		t.Fatal(err)
	}
	n := networks[0]

	info, err := c.Info(ctx)
	same(t, "info", info, client.Info{Name: "permanode", Version: "v1.2.3", Networks: []string{network}}, err)
	listed, err := c.Networks(ctx)
	same(t, "networks", listed, []client.Network{{Network: network, Era: string(n.Era), Identity: n.Identity}}, err)
	ready, err := c.Ready(ctx)
	if err != nil || !ready.Ready {
		t.Errorf("ready: %v, %v", ready, err)
	}
	coverage, err := c.Coverage(ctx, network)
	want, wantErr := a.Coverage(ctx, n)
	same(t, "coverage", coverage, want, err, wantErr)
	status, err := c.Status(ctx)
	wantStatus, wantErr := a.Status(ctx, n)
	same(t, "status", status, client.Status{Version: "v1.2.3", Networks: []query.Status{wantStatus}}, err, wantErr)
	spec, err := c.OpenAPI(ctx)
	if err != nil || !bytes.HasPrefix(spec, []byte("openapi: ")) && !bytes.Contains(spec, []byte("\nopenapi: ")) {
		t.Errorf("openapi: %.40s, %v", spec, err)
	}

	unit, err := c.Unit(ctx, network, 81)
	wantUnit, plain, _, wantErr := a.Unit(ctx, n, 81)
	same(t, "unit", unit, wantUnit, err, wantErr)
	head, err := c.UnitBytes(ctx, network, 81, client.Raw)
	if err != nil || !bytes.Equal(head, n.Codec.Head(plain)) {
		t.Errorf("unit, raw: %x, %v", head, err)
	}
	form, err := c.UnitBytes(ctx, network, 81, client.JSON)
	wantForm, wantErr := n.Codec.UnitJSON(plain)
	same(t, "unit, json", json.RawMessage(form), json.RawMessage(wantForm), err, wantErr)

	rows := all(t, c.UnitRecords(ctx, network, 81))
	if uint64(len(rows)) != unit.Records {
		t.Fatalf("%d rows of %d records", len(rows), unit.Records)
	}
	for _, row := range rows {
		record, err := c.Record(ctx, network, row.ID)
		same(t, "record", record.Row, row, err)
		raw, err := c.RecordBytes(ctx, network, row.ID, client.Raw)
		if sum := sha256.Sum256(raw); err != nil || hex.EncodeToString(sum[:]) != row.SHA256 {
			t.Errorf("bytes of %s: %v", row.ID, err)
		}
		places := all(t, c.Places(ctx, row.ID, ""))
		if len(places) != 1 || places[0].Seq != row.Seq || *places[0].Pos != uint32(row.Pos) {
			t.Errorf("places of %s: %v", row.ID, places)
		}
		at, _, err := c.At(ctx, places[0].Href)
		same(t, "at", at, record, err)
	}
}

// Lists come whole, over all their pages, in the order of the archive.
func TestListsComeWhole(t *testing.T) {
	ctx := t.Context()
	a := recorded(t, "")
	c := serve(t, service(a))
	networks, err := a.Networks(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{"", "battery", "tag:INVOICE", "kind:transaction NOT state:conflicting", "zzzunknownzzz", "unit:80..82"} {
		for _, order := range []query.Order{query.NewestFirst, query.OldestFirst} {
			var want []query.Item
			sum, err := a.Each(ctx, query.SearchRequest{Networks: networks, Query: q, Order: order, Facets: []string{"state"}}, func(i query.Item) error {
				want = append(want, i)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, limit := range []int{0, 7, 1001} {
				if race.Enabled && (limit == 0) != (order == query.OldestFirst) {
					continue // each once
				}
				var got client.Summary
				asked := client.Question{Query: q, Oldest: order == query.OldestFirst, Limit: limit, Facets: []string{"state"}}
				items := all(t, c.Search(ctx, asked, &got))
				most := len(want)
				if limit > 0 {
					most = min(most, limit)
				}
				same(t, q, items, want[:most:most])
				same(t, q+", total", got.Total, sum.Total)
				same(t, q+", facets", got.Facets, sum.Facets)
				if got.Complete != sum.Complete || (got.NextCursor == nil) != (most == len(want)) {
					t.Errorf("%s: summary %+v", q, got)
				}
			}
		}
	}
	page, err := c.Tag(ctx, []byte("INVOICE"), client.Question{Limit: 5})
	first, errFirst := c.SearchPage(ctx, client.Question{Query: "tag:INVOICE", Limit: 5})
	same(t, "tag", page.Items, first.Items, err, errFirst)
	second, err := c.SearchPage(ctx, client.Question{Query: "tag:INVOICE", Limit: 5, Cursor: *first.NextCursor})
	if err != nil || len(second.Items) != 5 || reflect.DeepEqual(second.Items, first.Items) {
		t.Errorf("second page: %d items, %v", len(second.Items), err)
	}
	tree, err := c.Explain(ctx, client.Question{Query: "tag:INVOICE", Network: network})
	if err != nil || !strings.Contains(string(tree), `"plan":"keys"`) {
		t.Errorf("explain: %s, %v", tree, err)
	}
}

// An address is answered with what it holds; many identifiers at once each by itself.
func TestAddressAndManyIdentifiers(t *testing.T) {
	ctx := t.Context()
	c := serve(t, service(recorded(t, "")))
	var address string
	var ids []string
	for item, err := range c.Search(ctx, client.Question{Query: "kind:transaction", Limit: 2300}, nil) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, item.ID)
		if len(item.Addresses) > 0 {
			address = item.Addresses[0]
		}
	}
	account, err := c.Address(ctx, address, "unit:81", client.Question{Limit: 3})
	if err != nil || len(account.Balances) != 1 || account.Balances[0].Coins == nil || len(account.Items) == 0 {
		t.Errorf("account %+v, %v", account, err)
	}
	ids = slices.Insert(ids, 1, "nonsense", "0x"+strings.Repeat("00", 32))
	found := all(t, c.PlacesOf(ctx, ids, network))
	if len(found) != len(ids) || len(ids) < client.MaxBatch {
		t.Fatalf("%d answers to %d identifiers", len(found), len(ids))
	}
	for i, f := range found {
		var want error
		switch i {
		case 1:
			want = query.ErrNotID
		case 2:
			want = storage.ErrNotFound
		}
		if f.ID != ids[i] || !errors.Is(f.Err, want) || want == nil && (f.Err != nil || len(f.Places) != 1 || f.Places[0].ID != ids[i]) {
			t.Errorf("answer %d to %s: %+v", i, ids[i], f)
		}
	}
	if _, err := c.Record(ctx, network, ""); !errors.Is(err, query.ErrNotID) {
		t.Errorf("no id: %v", err)
	}
	if _, err := c.Address(ctx, "", "", client.Question{}); !errors.Is(err, query.ErrNotID) {
		t.Errorf("no address: %v", err)
	}
}

// What the service says no to means the same as in process.
func TestProblemsMeanTheSame(t *testing.T) {
	ctx := t.Context()
	c := serve(t, service(recorded(t, "blocks/0xae1daf0122b8d2d904655382c563071e49230d7609f282f122b361088adb1714")))
	_, unitErr := c.Unit(ctx, network, 1<<30)
	_, recordErr := c.Record(ctx, network, "0x"+strings.Repeat("00", 32))
	_, idErr := c.Record(ctx, network, "nonsense")
	_, netErr := c.Coverage(ctx, "nosuch")
	_, cursorErr := c.SearchPage(ctx, client.Question{Cursor: "nonsense"})
	_, queryErr := c.SearchPage(ctx, client.Question{Query: "tagg:x"})
	_, longErr := c.SearchPage(ctx, client.Question{Query: strings.Repeat("ä", api.MaxURL)})
	for what, test := range map[string]struct{ got, want error }{
		"unit outside": {unitErr, storage.ErrNotFound}, "no record": {recordErr, storage.ErrNotFound}, "no id": {idErr, query.ErrNotID},
		"no network": {netErr, storage.ErrNotFound}, "cursor": {cursorErr, query.ErrBadCursor}, "query": {queryErr, client.ErrBadRequest},
		"long": {longErr, client.ErrBadRequest},
	} {
		var p *client.Problem
		if !errors.Is(test.got, test.want) || what != "long" && (!errors.As(test.got, &p) || p.Instance == "" || p.Detail == "") {
			t.Errorf("%s: %v, want %v", what, test.got, test.want)
		}
	}
	var p *client.Problem
	if errors.As(unitErr, &p); p.Kind() != "not-found" || p.Why != query.WhyOutsideCoverage || len(p.Coverage) != 1 {
		t.Errorf("%+v", p)
	}
	var sum client.Summary
	if all(t, c.Search(ctx, client.Question{Query: "battery"}, &sum)); sum.Complete || sum.Total.Why == "" {
		t.Errorf("over a gap: %+v", sum)
	}
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := c.Info(stopped); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}
