package ingest

import (
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics returns what Prometheus scrapes of c: its Status at that moment, all with the label network. Collectors
// of several networks can be registered side by side. It is safe for concurrent use.
func (c *Collector) Metrics() prometheus.Collector { return newMetrics(c.name, c.Status) }

func newMetrics(network string, status func() Status) *metrics {
	label := prometheus.Labels{"network": strings.ToValidUTF8(network, "?")}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("permanode_ingest_"+name, help, labels, label)
	}
	return &metrics{
		status:  status,
		running: desc("running", "1 while the network is being collected, 0 once that stopped: see the log, and permanode status."),
		lag:     desc("lag_units", "Units confirmed by the newest source and not yet committed here."),
		behind:  desc("lag_seconds", "Age of the newest committed unit by its signed time: it grows when nothing new is committed, whatever sources say."),
		last:    desc("last_unit", "Number of the newest committed unit."),
		newest:  desc("newest_unit", "Number of the newest unit that a source of this network claims."),
		units:   desc("units_total", "Units committed since the program started."),
		records: desc("records_total", "Records committed since the program started."),
		bytes:   desc("bytes_total", "Raw bytes of records committed since the program started."),
		gap:     desc("gap", "1 while a unit is missing that later ones wait for, else 0."),
		pending: desc("pending_units", "Units above a gap whose bytes are here and not served."),
		held:    desc("pending_bytes", "Bytes held in memory for units above a gap, for feeds and for interrupted walks."),

		up:   desc("source_up", "1 if the source answers and is of this network, else 0.", "source"),
		lies: desc("source_lies_total", "Answers of the source that were not true, since the program started.", "source"),

		connected:  desc("feed_connected", "1 while the feed is connected and subscribed, else 0. A feed that is down costs time only.", "feed"),
		messages:   desc("feed_messages_total", "Messages that the feed received.", "feed"),
		feedBytes:  desc("feed_bytes_total", "Bytes of the messages that the feed received.", "feed"),
		dropped:    desc("feed_dropped_total", "Messages that the feed received and did not use: its queue was full, or they had not the form of their topic.", "feed"),
		reconnects: desc("feed_reconnects_total", "Connections of the feed after its first one.", "feed"),
		silence:    desc("feed_silence_seconds", "Time since the feed's last message, or since it connected if none came; absent if it was never connected.", "feed"),
		rung:       desc("feed_unit", "Number of the unit that the feed rang last, which is a hint and not believed; absent if none was.", "feed"),
	}
}

// metrics reads a Status at every scrape.
type metrics struct {
	status func() Status

	running, lag, behind, last, newest, units, records, bytes, gap, pending, held *prometheus.Desc
	up, lies                                                                      *prometheus.Desc
	connected, messages, feedBytes, dropped, reconnects, silence, rung            *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.running, m.lag, m.behind, m.last, m.newest, m.units, m.records, m.bytes, m.gap, m.pending, m.held, m.up, m.lies,
		m.connected, m.messages, m.feedBytes, m.dropped, m.reconnects, m.silence, m.rung,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	send := sender(out)
	s, at := m.status(), now()
	send.gauge(m.running, truth(s.Phase != Stopped))
	send.gauge(m.lag, float64(s.Lag))
	send.gauge(m.newest, float64(s.Newest))
	if s.Any {
		send.gauge(m.last, float64(s.Last))
	}
	if !s.LastTime.IsZero() {
		send.gauge(m.behind, at.Sub(s.LastTime).Seconds())
	}
	send.counter(m.units, s.Units)
	send.counter(m.records, s.Records)
	send.counter(m.bytes, s.Bytes)
	send.gauge(m.gap, truth(s.Gap != nil))
	send.gauge(m.pending, float64(s.Pending))
	send.gauge(m.held, float64(s.PendingBytes))
	sources, feeds := names{}, names{}
	for _, src := range s.Sources {
		name := sources.take(src.Name)
		send.gauge(m.up, truth(src.OK), name)
		send.counter(m.lies, uint64(src.Lies), name)
	}
	for _, f := range s.Feeds {
		name := feeds.take(f.Name)
		send.gauge(m.connected, truth(f.Connected), name)
		send.counter(m.messages, f.Messages, name)
		send.counter(m.feedBytes, f.Bytes, name)
		send.counter(m.dropped, f.Dropped, name)
		send.counter(m.reconnects, f.Reconnects, name)
		if heard := latest(f.LastAt, f.Since); !heard.IsZero() {
			send.gauge(m.silence, at.Sub(heard).Seconds(), name)
		}
		if f.Last > 0 {
			send.gauge(m.rung, float64(f.Last), name)
		}
	}
}

// sender sends metrics. Names and labels were made to fit each other above, so none of them fails.
type sender chan<- prometheus.Metric

func (c sender) gauge(d *prometheus.Desc, v float64, labels ...string) {
	c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (c sender) counter(d *prometheus.Desc, v uint64, labels ...string) {
	c <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// names makes label values: two of one name would make the whole scrape fail.
type names map[string]int

func (n names) take(name string) string {
	name = strings.ToValidUTF8(name, "?")
	n[name]++
	if k := n[name]; k > 1 {
		return n.take(name + " #" + strconv.Itoa(k))
	}
	return name
}
