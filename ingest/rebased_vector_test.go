package ingest_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/ledger/ledgertest"
	"permanode/ledger/rebased"
)

// chainIndex is what the index.json beside checkpoint files says of them.
type chainIndex struct {
	Checkpoints []struct {
		Seq          json.Number `json:"sequence_number"`
		Digest       string      `json:"digest"`
		Time         string      `json:"timestamp_ms"`
		EndOfEpoch   bool        `json:"end_of_epoch"`
		Transactions []string    `json:"transactions"`
	} `json:"checkpoints"`
	Transactions []struct{ Digest, Kind, Status string } `json:"transactions"`
}

// Whole chains through the collector: order, ids, kinds, states, times and committees are those that the index says,
// and everything is as when it is proven by hand.
func TestRebasedVector(t *testing.T) {
	for _, f := range vectorChains(t) {
		t.Run(f.name, func(t *testing.T) {
			r := newRig(t, f.trust)
			if err := r.collector(r.config(f.node("node"))).CatchUp(testContext(t)); err != nil {
				t.Fatal(err)
			}
			r.checkFiles(f, 0, f.tip, f.attested(0, f.tip))
			if n := r.noteKinds(); len(n) != 0 {
				t.Errorf("notes %v", n)
			}
			for _, index := range ledgertest.Files[chainIndex](t, "rebased/checkpoints/"+f.name+"/index.json") {
				r.checkIndex(&index.Data)
			}
		})
	}
}

func (r *rig) checkIndex(want *chainIndex) {
	r.t.Helper()
	closed := 0
	kinds, states := map[string]string{}, map[string]string{}
	for _, tx := range want.Transactions {
		kinds[tx.Digest], states[tx.Digest] = tx.Kind, "executed-"+strings.ToLower(tx.Status)
	}
	cones := r.stored(0, uint64(len(want.Checkpoints)-1))
	for i, c := range want.Checkpoints {
		u := &cones[i].Unit
		if fmt.Sprint(u.Seq) != c.Seq.String() || r.codec.FormatID(u.ID) != c.Digest || strconv.FormatInt(u.TimeMs, 10) != c.Time {
			r.t.Errorf("unit %d %s at %d, want %s %s at %s", u.Seq, r.codec.FormatID(u.ID), u.TimeMs, c.Seq, c.Digest, c.Time)
		}
		if c.EndOfEpoch {
			closed++
		}
		var ids []string
		for k := range cones[i].Records {
			rec := &cones[i].Records[k]
			id := r.codec.FormatID(rec.ID)
			ids = append(ids, id)
			if r.codec.KindName(rec.Kind) != kinds[id] || rec.State.String() != states[id] || rec.Basis != ledger.ByRoot || rec.Undecoded {
				r.t.Errorf("record %s: %s %s, want %s %s", id, r.codec.KindName(rec.Kind), rec.State, kinds[id], states[id])
			}
		}
		if fmt.Sprint(ids) != fmt.Sprint(c.Transactions) {
			r.t.Errorf("unit %d has the records %v, want %v", u.Seq, ids, c.Transactions)
		}
	}
	if n := r.committees(); n != closed {
		r.t.Errorf("%d committees came out of the ledger, want %d", n, closed)
	}
}

// committees counts the committees in the state.
func (r *rig) committees() (n int) {
	r.t.Helper()
	for c, err := range r.db.RawState(r.t.Context(), r.store.Net()) {
		if err != nil {
			r.t.Fatal(err)
		}
		if epoch, ok := strings.CutPrefix(string(c.Key), "committee/"); ok {
			n++
			if _, err := rebased.ParseValidators(c.Val); err != nil {
				r.t.Errorf("committee of epoch %s: %v", epoch, err)
			}
		}
	}
	return n
}
