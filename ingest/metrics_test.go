package ingest

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"permanode/storage"
)

// What a dashboard reads: these names, labels and values are a promise.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		status := Status{
			Network: "shimmer", Phase: Waiting, First: 1, Last: 4711, Any: true, LastTime: began.Add(-90 * time.Second), Newest: 4720, Lag: 9,
			Pending: 3, PendingBytes: 1 << 20, Gap: &storage.Gap{From: 4712, To: 4712}, Units: 11, Records: 5000, Bytes: 3_000_000,
			Sources: []SourceStatus{{Name: "node-a", OK: true}, {Name: "node-b", Lies: 7}},
			Feeds: []FeedStatus{
				{Name: "node-a-mqtt", Connected: true, Since: began.Add(-time.Hour), LastAt: began.Add(-2 * time.Second), Last: 4720, Messages: 12345, Bytes: 999, Dropped: 4, Reconnects: 2},
				{Name: "node-a-mqtt"}, // of the same name, never connected
				{Name: "node-b-inx \xff", Since: began.Add(-time.Minute)},
			},
		}
		m := newMetrics("shimmer", func() Status { return status })
		want := `
permanode_ingest_running{network="shimmer"} 1
permanode_ingest_lag_units{network="shimmer"} 9
permanode_ingest_lag_seconds{network="shimmer"} 90
permanode_ingest_last_unit{network="shimmer"} 4711
permanode_ingest_newest_unit{network="shimmer"} 4720
permanode_ingest_units_total{network="shimmer"} 11
permanode_ingest_records_total{network="shimmer"} 5000
permanode_ingest_bytes_total{network="shimmer"} 3e+06
permanode_ingest_gap{network="shimmer"} 1
permanode_ingest_pending_units{network="shimmer"} 3
permanode_ingest_pending_bytes{network="shimmer"} 1.048576e+06
permanode_ingest_source_up{network="shimmer",source="node-a"} 1
permanode_ingest_source_up{network="shimmer",source="node-b"} 0
permanode_ingest_source_lies_total{network="shimmer",source="node-a"} 0
permanode_ingest_source_lies_total{network="shimmer",source="node-b"} 7
permanode_ingest_feed_connected{feed="node-a-mqtt",network="shimmer"} 1
permanode_ingest_feed_connected{feed="node-a-mqtt #2",network="shimmer"} 0
permanode_ingest_feed_connected{feed="node-b-inx ?",network="shimmer"} 0
permanode_ingest_feed_messages_total{feed="node-a-mqtt",network="shimmer"} 12345
permanode_ingest_feed_messages_total{feed="node-a-mqtt #2",network="shimmer"} 0
permanode_ingest_feed_messages_total{feed="node-b-inx ?",network="shimmer"} 0
permanode_ingest_feed_bytes_total{feed="node-a-mqtt",network="shimmer"} 999
permanode_ingest_feed_bytes_total{feed="node-a-mqtt #2",network="shimmer"} 0
permanode_ingest_feed_bytes_total{feed="node-b-inx ?",network="shimmer"} 0
permanode_ingest_feed_dropped_total{feed="node-a-mqtt",network="shimmer"} 4
permanode_ingest_feed_dropped_total{feed="node-a-mqtt #2",network="shimmer"} 0
permanode_ingest_feed_dropped_total{feed="node-b-inx ?",network="shimmer"} 0
permanode_ingest_feed_reconnects_total{feed="node-a-mqtt",network="shimmer"} 2
permanode_ingest_feed_reconnects_total{feed="node-a-mqtt #2",network="shimmer"} 0
permanode_ingest_feed_reconnects_total{feed="node-b-inx ?",network="shimmer"} 0
permanode_ingest_feed_silence_seconds{feed="node-a-mqtt",network="shimmer"} 2
permanode_ingest_feed_silence_seconds{feed="node-b-inx ?",network="shimmer"} 60
permanode_ingest_feed_unit{feed="node-a-mqtt",network="shimmer"} 4720
`
		checkScrape(t, m, want)
		// Two networks side by side, and nothing for a linter to say.
		r := prometheus.NewPedanticRegistry()
		r.MustRegister(m, newMetrics("other", func() Status { return Status{Phase: Stopped} }))
		if n, err := testutil.GatherAndCount(r, "permanode_ingest_running", "permanode_ingest_last_unit", "permanode_ingest_lag_seconds"); n != 4 || err != nil {
			t.Errorf("%d metrics, %v", n, err)
		}
		if problems, err := testutil.GatherAndLint(r); len(problems) > 0 || err != nil {
			t.Error(problems, err)
		}
	})
}

// checkScrape compares the samples of a scrape, in any order. Each name has a help and the type that its end says.
func checkScrape(t *testing.T, m prometheus.Collector, want string) {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(m)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	var samples []string
	for line := range strings.Lines(w.Body.String()) {
		f := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "# HELP"):
			if len(f) < 5 {
				t.Errorf("no help: %s", line)
			}
		case strings.HasPrefix(line, "# TYPE"):
			if counter := strings.HasSuffix(f[2], "_total"); counter != (f[3] == "counter") {
				t.Error(line)
			}
		default:
			samples = append(samples, line)
		}
	}
	wanted := slices.Sorted(strings.Lines(strings.TrimPrefix(want, "\n")))
	slices.Sort(samples)
	if !slices.Equal(samples, wanted) {
		t.Errorf("\n got\n%s\nwant\n%s", strings.Join(samples, ""), strings.Join(wanted, ""))
	}
}
