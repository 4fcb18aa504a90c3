package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"permanode/internal/race"
	"permanode/ledger/eras"
	"permanode/ledger/rebased/rebasedtest"
	"permanode/query"
	"permanode/storage/pebblestore"
)

// Records of forms that nobody knows yet, through the faces: coverage is whole, the export marks each with digest,
// bytes and reason and counts them in its last line, get shows and prints them, check counts them and finds no fault,
// and a repair by the same version changes nothing.
func TestUndecodedFaces(t *testing.T) {
	const units = 12
	n := rebasedtest.New(rebasedtest.Options{Seed: 71, Transactions: 2, Epoch: 5, Unknown: 2})
	from, data, trust := t.TempDir(), filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "trust.json")
	opaque := map[string][]byte{} // id -> bytes as received
	for i := range units {
		made := n.Next()
		writeFile(t, filepath.Join(from, fmt.Sprint(i, ".chk")), made.File())
		for k := range made.Records {
			if r := &made.Records[k]; r.Opaque {
				opaque[r.Digest().String()] = r.Parts()[0].Raw
			}
		}
	}
	writeFile(t, trust, n.Trust())
	if len(opaque) < 3 {
		t.Fatalf("only %d records", len(opaque))
	}
	do := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if status := (&program{out: &out, errs: &errs}).run(append(args, "--data", data)); status != 0 {
			t.Fatalf("%v: status %d\n%s%s", args, status, out.String(), errs.String())
		}
		if args[0] == "check" {
			return errs.String()
		}
		return out.String()
	}
	do("ingest", "--trust", trust, "--from", from)
	if text := do("coverage", "--json"); !strings.Contains(text, fmt.Sprintf(`"ranges":[{"from":0,"to":%d}],"gaps":[]`, units-1)) {
		t.Errorf("coverage %s", text)
	}
	export := do("export")
	if err := checkEnd(export); err != nil {
		t.Error(err)
	}
	marked := 0
	for line := range strings.Lines(export) {
		var row struct {
			ID        string
			End       bool `json:"_end"`
			Undecoded any  `json:"undecoded"`
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		raw, isOpaque := opaque[row.ID]
		switch {
		case row.End && fmt.Sprint(row.Undecoded) != fmt.Sprint(len(opaque)):
			t.Errorf("the last line is %s, want %d undecoded", line, len(opaque))
		case row.End:
		case isOpaque != (row.Undecoded != nil):
			t.Errorf("row %s: marked %v, want %v", row.ID, row.Undecoded, isOpaque)
		case isOpaque:
			marked++
			if text := do("get", row.ID, "--raw"); !bytes.Contains([]byte(text), raw) {
				t.Errorf("get %s --raw gives %d bytes, not those that were received", row.ID, len(text))
			}
			if text := do("get", row.ID); !strings.Contains(text, "UNREAD") {
				t.Errorf("get %s says nothing of it:\n%s", row.ID, text)
			}
		}
	}
	if marked != len(opaque) {
		t.Errorf("%d rows are marked, want %d", marked, len(opaque))
	}
	if text := do("check", "--full"); !strings.Contains(text, fmt.Sprintf("%d of these records", len(opaque))) {
		t.Errorf("check: %s", text)
	}
	do("check", "--repair")
	if again := do("export"); again != export {
		t.Error("a repair changed the export")
	}
	do("check", "--full")
}

// No balance and no statement says that it is complete where what a record of an unknown form moved is missing from it:
// whatever says so is what the network itself counts, at every checkpoint, for everybody.
func TestUndecodedBalances(t *testing.T) {
	if race.Enabled {
		t.Skip("commands one after the other; the run without the race detector has them")
	}
	const units, every = 24, 7
	net := rebasedtest.New(rebasedtest.Options{Seed: 7331, Transactions: 5, Unknown: every})
	from, data, trust := t.TempDir(), filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "trust.json")
	truth := make([]map[string]uint64, units) // coins by address
	for i := range units {
		writeFile(t, filepath.Join(from, fmt.Sprint(i, ".chk")), net.Next().File())
		truth[i] = map[string]uint64{}
		for _, a := range net.Addresses() {
			truth[i][a.String()] = net.Balance(a, "")
		}
	}
	writeFile(t, trust, net.Trust())
	var errs bytes.Buffer
	if status := (&program{out: &errs, errs: &errs}).run([]string{"ingest", "--trust", trust, "--from", from, "--data", data}); status != 0 {
		t.Fatalf("status %d\n%s", status, errs.String())
	}
	db, err := pebblestore.Open(data, pebblestore.Options{Codec: eras.Codec, ReadOnly: true, Memory: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	a := query.New(db, eras.Codec)
	networks, err := a.Networks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	whole, wrong := 0, 0
	for seq := range uint64(units) {
		at := query.Moment{Unit: &seq}
		for address, coins := range truth[seq] {
			list, err := a.Balances(t.Context(), networks[0], address, at)
			if err != nil || len(list) != 1 {
				t.Fatal(list, err)
			}
			right := *list[0].Coins == fmt.Sprint(coins)
			st, err := a.Statement(t.Context(), query.StatementRequest{
				Networks: networks, Address: address, Asset: query.BaseCoins, From: query.Period{Moment: at}, To: query.Period{Moment: at}, Limit: 1,
			})
			if err != nil || len(st.Accounts) != 1 {
				t.Fatal(st, err)
			}
			account := st.Accounts[0]
			if list[0].Complete && !right || st.Complete != list[0].Complete || account.Complete != st.Complete || (account.Why == "") != st.Complete {
				t.Fatalf("%s at checkpoint %d has %d; told are %+v and %+v", address, seq, coins, list[0], account)
			}
			if list[0].Complete {
				whole++
			}
			if !right {
				wrong++
			}
		}
	}
	if whole == 0 || wrong == 0 {
		t.Errorf("%d balances are complete, %d wrong: the network tries too little", whole, wrong)
	}
}
