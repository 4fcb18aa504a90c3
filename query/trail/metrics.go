package trail

import "github.com/prometheus/client_golang/prometheus"

// counts are what the metrics say, besides the queue.
type counts struct{ lines, failed, lost uint64 }

var (
	linesDesc   = prometheus.NewDesc("permanode_access_trail_lines_total", "Lines of the access trail put on disk since the start.", nil, nil)
	failedDesc  = prometheus.NewDesc("permanode_access_trail_failures_total", "Batches of the access trail that the disk did not take.", nil, nil)
	lostDesc    = prometheus.NewDesc("permanode_access_trail_lost_total", "Lines that found no room in memory while the disk took none.", nil, nil)
	waitingDesc = prometheus.NewDesc("permanode_access_trail_waiting", "Lines that wait for the disk.", nil, nil)
	readyDesc   = prometheus.NewDesc("permanode_access_trail_ready", "1 if calls can be recorded, 0 if they are refused for that.", nil, nil)
)

// Metrics returns the metrics of the trail.
func (t *Trail) Metrics() prometheus.Collector { return metrics{t} }

type metrics struct{ t *Trail }

// Describe implements prometheus.Collector.
func (m metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{linesDesc, failedDesc, lostDesc, waitingDesc, readyDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m metrics) Collect(out chan<- prometheus.Metric) {
	m.t.mu.Lock()
	c, waiting, ready := m.t.counts, len(m.t.queue)+m.t.flying, 0.0
	if m.t.ready(2) == nil {
		ready = 1
	}
	m.t.mu.Unlock()
	out <- prometheus.MustNewConstMetric(linesDesc, prometheus.CounterValue, float64(c.lines))
	out <- prometheus.MustNewConstMetric(failedDesc, prometheus.CounterValue, float64(c.failed))
	out <- prometheus.MustNewConstMetric(lostDesc, prometheus.CounterValue, float64(c.lost))
	out <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(waiting))
	out <- prometheus.MustNewConstMetric(readyDesc, prometheus.GaugeValue, ready)
}
