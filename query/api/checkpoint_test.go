package api_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"permanode/query"
	"permanode/query/api"
	"permanode/query/querytest"
)

// fakeCheckpoints answers what a test wants.
type fakeCheckpoints struct {
	state api.CheckpointState
	err   error
	made  chan struct{}
}

func (f *fakeCheckpoints) Begin() (<-chan struct{}, error) { return f.made, f.err }
func (f *fakeCheckpoints) State() api.CheckpointState      { return f.state }
func (f *fakeCheckpoints) Release() error                  { return f.err }

func TestCheckpointRoutes(t *testing.T) {
	done := make(chan struct{})
	close(done)
	at := "2026-11-26T09:00:00Z"
	ready := api.CheckpointState{State: api.CheckpointReady, Dir: "/d/checkpoint", Files: 3, Bytes: 9, MadeAt: &at, Networks: []api.NetworkUnit{{Network: "a", Newest: 7}}}
	none := api.CheckpointState{State: api.CheckpointNone, Networks: []api.NetworkUnit{}}
	failed := api.CheckpointState{State: api.CheckpointFailed, Networks: []api.NetworkUnit{}, Problem: "no space left on device"}
	for _, c := range []struct {
		name, method, path, body string
		from                     api.Checkpointer
		status                   int
		want                     string
	}{
		{"made", "POST", "/v1/checkpoint", "", &fakeCheckpoints{ready, nil, done}, 200, `"state":"ready","dir":"/d/checkpoint","files":3,"bytes":9,"made_at":"2026-11-26T09:00:00Z","networks":[{"network":"a","newest":7}],"problem":""`},
		{"could not", "POST", "/v1/checkpoint", "", &fakeCheckpoints{failed, nil, done}, 503, "no space left on device"},
		{"in use", "POST", "/v1/checkpoint", "", &fakeCheckpoints{ready, api.ErrCheckpointInUse, done}, 409, "checkpoint-in-use"},
		{"state", "GET", "/v1/checkpoint", "", &fakeCheckpoints{none, nil, nil}, 200, `"state":"none"`},
		{"state of a failure", "GET", "/v1/checkpoint", "", &fakeCheckpoints{failed, nil, nil}, 200, `"problem":"no space left on device"`},
		{"released", "POST", "/v1/checkpoint/release", "", &fakeCheckpoints{none, nil, nil}, 200, `"state":"none"`},
		{"released in use", "POST", "/v1/checkpoint/release", "", &fakeCheckpoints{ready, api.ErrCheckpointInUse, nil}, 409, "checkpoint-in-use"},
		{"no such thing", "POST", "/v1/checkpoint", "", nil, 404, "no-checkpoint"},
		{"a body", "POST", "/v1/checkpoint", "{}", &fakeCheckpoints{ready, nil, done}, 400, "unexpected-body"},
		{"another method", "GET", "/v1/checkpoint/release", "", &fakeCheckpoints{ready, nil, done}, 405, "POST"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf := api.Config{Archive: query.New(querytest.Sample(), querytest.Codecs), Version: "v0", Log: slog.New(slog.DiscardHandler)}
			if c.from != nil {
				conf.Checkpoints = c.from
			}
			got := querytest.Do(t, api.Handler(conf), httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
			if got.Status != c.status || !strings.Contains(string(got.Body), c.want) {
				t.Errorf("%d %s, want %d with %s", got.Status, got.Body, c.status, c.want)
			}
		})
	}
}

// TestMetrics counts what is asked, in labels that nobody outside can choose.
func TestMetrics(t *testing.T) {
	r := prometheus.NewRegistry()
	conf := api.Config{Archive: query.New(querytest.Sample(), querytest.Codecs), Version: "v0", Log: slog.New(slog.DiscardHandler)}
	conf.Metrics = r
	h := api.Handler(conf)
	for _, path := range []string{"/v1/networks", "/v1/networks", "/v1/networks/nosuch/coverage", "/v1/nonsense", "/v1/networks?x=1"} {
		querytest.Do(t, h, httptest.NewRequest(http.MethodGet, path, nil))
	}
	got := map[string]float64{}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			key := f.GetName() + "{" + strings.Join(labels, ",") + "}"
			switch {
			case m.GetCounter() != nil:
				got[key] = m.GetCounter().GetValue()
			case m.GetHistogram() != nil:
				got[key] = float64(m.GetHistogram().GetSampleCount())
			case m.GetGauge() != nil:
				got[key] = m.GetGauge().GetValue()
			}
		}
	}
	for key, want := range map[string]float64{
		"permanode_api_requests_total{GET /v1/networks,200}":                2,
		"permanode_api_requests_total{GET /v1/networks,400}":                1,
		"permanode_api_requests_total{GET /v1/networks/{net}/coverage,404}": 1,
		"permanode_api_requests_total{none,404}":                            1,
		"permanode_api_problems_total{unknown-network}":                     1,
		"permanode_api_problems_total{no-such-route}":                       1,
		"permanode_api_problems_total{bad-parameter}":                       1,
		"permanode_api_problems_total{internal}":                            0,
		"permanode_api_request_seconds{plain}":                              5,
		"permanode_api_requests_active{plain}":                              0,
		"permanode_api_panics_total{}":                                      0,
	} {
		if value, there := got[key]; !there || value != want {
			all, _ := json.Marshal(got)
			t.Errorf("%s = %v, want %v; all: %s", key, value, want, all)
		}
	}
}
