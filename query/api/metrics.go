package api

import (
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what Prometheus scrapes of the API. Their labels have few values: routes of the table, statuses, classes,
// problem types; never what a caller sent.
type metrics struct {
	requests *prometheus.CounterVec
	problems *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	active   *prometheus.GaugeVec
	sent     *prometheus.CounterVec
	rows     prometheus.Counter
	panics   prometheus.Counter
}

// newMetrics registers the metrics of one API with r. nil counts for nobody.
func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "permanode_api_requests_total", Help: "Answered requests, by route of the API (none: no such route, or refused before it was known) and HTTP status; 0: the client went before an answer.",
		}, []string{"route", "status"}),
		problems: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "permanode_api_problems_total", Help: "Requests answered with a problem, by its type: rate-limited, overloaded, unauthorized, internal, ….",
		}, []string{"type"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "permanode_api_request_seconds", Help: "Time from a request's headers to the end of its answer, by class; exports and streams last as long as the client reads.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120, 600, 3600},
		}, []string{"class"}),
		active: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "permanode_api_requests_active", Help: "Requests in work, by class: of class stream, the clients that are connected.",
		}, []string{"class"}),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "permanode_api_sent_bytes_total", Help: "Bytes of answer bodies, before compression, by class.",
		}, []string{"class"}),
		rows:   prometheus.NewCounter(prometheus.CounterOpts{Name: "permanode_api_export_rows_total", Help: "Rows of exports that were sent."}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{Name: "permanode_api_panics_total", Help: "Requests that met a bug of the service: the log has its place."}),
	}
	for c := range class(len(classNames)) { // so that rates begin at 0
		m.active.WithLabelValues(c.String())
		m.sent.WithLabelValues(c.String())
		m.seconds.WithLabelValues(c.String())
	}
	for kind := range problemTypes {
		m.problems.WithLabelValues(kind)
	}
	if r != nil {
		r.MustRegister(m.requests, m.problems, m.seconds, m.active, m.sent, m.rows, m.panics)
	}
	return m
}

// classNames are the classes in metrics, by class.
var classNames = [...]string{classPlain: "plain", classProbe: "probe", classSearch: "search", classExport: "export", classStream: "stream"}

func (c class) String() string { return classNames[c] }

// begin counts a request whose class is known as being in work, until the returned function is called.
func (m *metrics) begin(c class) (end func()) {
	g := m.active.WithLabelValues(c.String())
	g.Inc()
	return g.Dec
}

// answered counts a request that is over. q is nil where no route was found.
func (m *metrics) answered(q *request, w *response, begun time.Time) {
	name, of := "none", classPlain
	if q != nil && q.route != nil {
		name, of = q.route.method+" "+q.route.pattern, q.class
	}
	m.requests.WithLabelValues(name, strconv.Itoa(w.status)).Inc()
	m.seconds.WithLabelValues(of.String()).Observe(time.Since(begun).Seconds())
	m.sent.WithLabelValues(of.String()).Add(float64(w.bytes))
	if q != nil && of == classExport {
		m.rows.Add(float64(q.noted.rows))
	}
}

// refused counts a problem.
func (m *metrics) refused(p *Problem) {
	m.problems.WithLabelValues(strings.TrimPrefix(p.Type, typePrefix)).Inc()
}
