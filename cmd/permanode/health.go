package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"permanode/ingest"
	"permanode/internal/ranges"
	"permanode/query/api"
)

const (
	readyLag  = 10      // units that a network or its index may lie behind and still be called ready
	diskFloor = 1 << 30 // bytes free, below which a disk is called full: what the store needs to merge its tables
	diskEvery = 10 * time.Second
)

// health says which parts are ready. It reads what others measured, and asks nobody.
func (s *service) health() (parts []api.Component) {
	parts = append(parts, s.storeHealth(), s.disk.health(), s.face.health())
	for _, n := range s.networks {
		st := n.collector.Status()
		ready := st.Phase == ingest.Following || st.Phase == ingest.CatchingUp && st.Lag <= readyLag
		parts = append(parts, api.Component{Name: n.name, Ready: ready, Detail: st.Sentence + sourceTroubles(st.Sources)})
	}
	for _, x := range s.followers {
		parts = append(parts, s.indexHealth(x))
	}
	return parts
}

func (s *service) storeHealth() api.Component {
	if err := s.db.Stopped(); err != nil {
		return api.Component{Name: "store", Detail: err.Error() + ": reads go on, nothing acknowledged is lost; look at the disk, then restart"}
	}
	return api.Component{Name: "store", Ready: true, Detail: "takes what is proven"}
}

func (s *service) indexHealth(x indexed) api.Component {
	c := api.Component{Name: "index of " + x.net.Name}
	st := s.index.Status(x.net.ID)
	cov, err := s.db.Coverage(context.Background(), x.net.ID) // in memory
	lag := uint64(0)
	if err == nil {
		var held ranges.Set
		for _, sp := range cov.Spans {
			if !sp.Empty() {
				held.Add(sp.Lo, sp.Hi)
			}
		}
		lag = held.Minus(st.Done).Len()
	}
	switch {
	case err != nil:
		c.Detail = err.Error()
	case st.Problem != "":
		c.Detail = "does not go on: " + st.Problem
	case lag > readyLag:
		c.Detail = fmt.Sprintf("%d units behind the store; a search says so", lag)
	default:
		c.Ready, c.Detail = true, fmt.Sprintf("%d documents, %d units behind the store", st.Docs, lag)
	}
	return c
}

// diskState is how full the disk of the archive is. A disk that hangs must not hang who asks, so it is measured beside.
type diskState struct {
	dir   string
	usage func(dir string) (vfs.DiskUsage, error)
	last  atomic.Pointer[diskMeasure]
}

type diskMeasure struct {
	vfs.DiskUsage
	err error
	at  time.Time
}

func newDiskState(dir string) *diskState {
	return &diskState{dir: dir, usage: vfs.Default.GetDiskUsage}
}

func (d *diskState) measure() {
	m := &diskMeasure{at: time.Now()}
	m.DiskUsage, m.err = d.usage(d.dir)
	d.last.Store(m)
}

// watch measures until ctx ends.
func (d *diskState) watch(ctx context.Context) {
	t := time.NewTicker(diskEvery)
	defer t.Stop()
	for {
		d.measure()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (d *diskState) health() api.Component {
	c := api.Component{Name: "disk"}
	m := d.last.Load()
	switch {
	case m == nil:
		c.Detail = "was not looked at yet"
	case m.err != nil:
		c.Detail = fmt.Sprintf("cannot say how full it is: %v", m.err)
	case time.Since(m.at) > 6*diskEvery:
		c.Detail = fmt.Sprintf("has not answered for %s: it hangs", time.Since(m.at).Round(time.Second))
	case m.AvailBytes < diskFloor:
		c.Detail = fmt.Sprintf("%s free, less than %s: make room before the store stops", sizeText(m.AvailBytes), sizeText(diskFloor))
	default:
		c.Ready, c.Detail = true, fmt.Sprintf("%s free of %s", sizeText(m.AvailBytes), sizeText(m.TotalBytes))
	}
	return c
}

var (
	freeDesc    = prometheus.NewDesc("permanode_disk_free_bytes", "Room on the disk of the archive for this process.", nil, nil)
	sizeDesc    = prometheus.NewDesc("permanode_disk_size_bytes", "Size of the disk of the archive.", nil, nil)
	stoppedDesc = prometheus.NewDesc("permanode_store_stopped", "1 once the store takes no more writes, after one that failed: look at the disk, then restart.", nil, nil)
	readyDesc   = prometheus.NewDesc("permanode_ready", "1 if the part of /readyz is ready, else 0.", []string{"part"}, nil)
)

// healthMetrics are what Prometheus scrapes of the parts of a service.
type healthMetrics struct{ s *service }

// Describe implements prometheus.Collector.
func (healthMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{freeDesc, sizeDesc, stoppedDesc, readyDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (h healthMetrics) Collect(out chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if m := h.s.disk.last.Load(); m != nil && m.err == nil {
		send(freeDesc, float64(m.AvailBytes))
		send(sizeDesc, float64(m.TotalBytes))
	}
	send(stoppedDesc, gaugeOf(h.s.db.Stopped() != nil))
	seen := map[string]bool{}
	for _, c := range h.s.health() {
		if !seen[c.Name] { // a network may be called like a part
			send(readyDesc, gaugeOf(c.Ready), c.Name)
		}
		seen[c.Name] = true
	}
}

func gaugeOf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
