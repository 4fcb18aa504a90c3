package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"permanode/query/api"
)

// checkMetricsListen judges the address of the metrics: "" is none.
func checkMetricsListen(addr string) error {
	if addr == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil || port == "" {
		return errors.New("is no address with a port")
	}
	return nil
}

// newRegistry holds what the process itself measures: memory, goroutines, file handles, CPU.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "permanode_build_info", Help: "Always 1; its labels say what runs.",
			ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()},
		}, func() float64 { return 1 }),
		// The process collector has it from /proc/stat, which the systemd unit hides.
		startTime(time.Now()))
	return r
}

func startTime(at time.Time) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "permanode_start_time_seconds", Help: "When this process began to measure, in seconds since 1970.",
	})
	g.Set(float64(at.UnixMilli()) / 1000)
	return g
}

// metricsHandler serves the metrics. Profiles tell much of what is in memory: they are served to this machine alone,
// and there neither they nor the metrics to pages whose name was bound to its address, nor to what a page makes a
// browser send.
func metricsHandler(r *prometheus.Registry, local bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{Registry: r}))
	if local {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		return localOnly(mux)
	}
	return mux
}

func localOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch site := r.Header.Get("Sec-Fetch-Site"); {
		case !api.IsHost(r.Host, nil):
			http.Error(w, "these metrics are not called so: use the address or localhost", http.StatusMisdirectedRequest)
		case site == "cross-site" || site == "same-site":
			http.Error(w, "a page of another origin asks for these metrics", http.StatusForbidden)
		default:
			h.ServeHTTP(w, r)
		}
	})
}

// serveMetrics answers on ln until ctx ends, and closes it: with the deadlines and the bound of connections of the API, since
// whoever reaches it needs no key. It returns nil after a stop that ctx asked for.
func serveMetrics(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	if err := api.Serve(ctx, ln, h, log); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

func isLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
