package index

import (
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"permanode/internal/follow"
)

func TestMetrics(t *testing.T) {
	_, s := filled(16, 30)
	x := opened(t, t.TempDir(), s, 40)
	catchUp(t, x, s)
	s.cover(1, 37)
	reg := prometheus.NewPedanticRegistry()
	if err := x.Collect(reg); err != nil {
		t.Fatal(err)
	}
	f, err := x.Follower(fakeNetwork())
	if err != nil {
		t.Fatal(err)
	}
	f.(follow.Reporter).Report(errors.New("the disk is full"))
	if st := x.Status(fakeNet); st.Problem != "the disk is full" {
		t.Errorf("status %+v", st)
	}
	const want = `
# HELP permanode_index_lag_units Units in the store that are not in the index yet.
# TYPE permanode_index_lag_units gauge
permanode_index_lag_units{network="fake"} 7
# HELP permanode_index_trouble 1 while a shard cannot be read or following does not go on, else 0.
# TYPE permanode_index_trouble gauge
permanode_index_trouble{network="fake"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "permanode_index_lag_units", "permanode_index_trouble"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(reg); err != nil || n != 5 {
		t.Errorf("%d metrics, %v", n, err)
	}
	f.(follow.Reporter).Report(nil)
	if st := x.Status(fakeNet); st.Problem != "" || st.Docs == 0 || st.Bytes == 0 || st.Shards < 2 || st.Done.Len() != 30 {
		t.Errorf("status %+v", st)
	}
}
