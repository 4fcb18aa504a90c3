package index

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

// Collect registers the metrics of all networks of the store. They are read when they are asked for.
func (x *Index) Collect(r prometheus.Registerer) error { return r.Register(&collector{x}) }

type collector struct{ x *Index }

var (
	lagMetric = prometheus.NewDesc("permanode_index_lag_units",
		"Units in the store that are not in the index yet.", []string{"network"}, nil)
	docsMetric = prometheus.NewDesc("permanode_index_documents",
		"Documents in the index: records, and what units did themselves.", []string{"network"}, nil)
	shardsMetric = prometheus.NewDesc("permanode_index_shards",
		"Shards that can be read, the one that is written included.", []string{"network"}, nil)
	bytesMetric = prometheus.NewDesc("permanode_index_bytes",
		"Size of the index on disk.", []string{"network"}, nil)
	troubleMetric = prometheus.NewDesc("permanode_index_trouble",
		"1 while a shard cannot be read or following does not go on, else 0.", []string{"network"}, nil)
)

func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{lagMetric, docsMetric, shardsMetric, bytesMetric, troubleMetric} {
		out <- d
	}
}

func (c *collector) Collect(out chan<- prometheus.Metric) {
	ctx := context.Background()
	networks, err := c.x.opts.Store.Networks(ctx)
	if err != nil {
		return // the store's own metrics tell
	}
	for _, n := range networks {
		st := c.x.Status(n.ID)
		gauge := func(d *prometheus.Desc, v float64) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, n.Name)
		}
		if cov, err := c.x.opts.Store.Coverage(ctx, n.ID); err == nil {
			gauge(lagMetric, float64(cov.Set().Minus(st.Done).Len()))
		}
		gauge(docsMetric, float64(st.Docs))
		gauge(shardsMetric, float64(st.Shards))
		gauge(bytesMetric, float64(st.Bytes))
		trouble := 0.0
		if st.Problem != "" {
			trouble = 1
		}
		gauge(troubleMetric, trouble)
	}
}
