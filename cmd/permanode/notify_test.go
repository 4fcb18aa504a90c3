package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// manager is a service manager: it listens on a real socket.
type manager struct {
	conn *net.UnixConn
	env  map[string]string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	name := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &manager{conn, map[string]string{"NOTIFY_SOCKET": name}}
}

// next returns the next message that says something of kind.
func (m *manager) next(t *testing.T, kind string) string {
	t.Helper()
	buf := make([]byte, 4096)
	for {
		_ = m.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := m.conn.Read(buf)
		if err != nil {
			t.Fatalf("no %s: %v", kind, err)
		}
		for line := range strings.SplitSeq(string(buf[:n]), "\n") {
			if strings.HasPrefix(line, kind) {
				return string(buf[:n])
			}
		}
	}
}

func (m *manager) notifier(t *testing.T) *notifier {
	t.Helper()
	n, err := newNotifier(func(key string) string { return m.env[key] }, 17)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.close)
	return n
}

func TestNotify(t *testing.T) {
	m := newManager(t)
	m.env["WATCHDOG_USEC"] = "60000"
	var answers, lives atomic.Bool
	lives.Store(true)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	n := m.notifier(t)
	go func() {
		defer close(done)
		n.run(ctx, pulse{
			answers: func(context.Context) error {
				if answers.Load() {
					return nil
				}
				return errors.New("not\nyet")
			},
			lives: func(context.Context) error {
				if lives.Load() {
					return nil
				}
				return errors.New("a commit hangs")
			},
			status: func() string { return "net: up to date\nREADY=0" },
		})
	}()
	if got := m.next(t, "STATUS=starting"); got != "STATUS=starting: not yet" {
		t.Errorf("before it answers: %q", got)
	}
	answers.Store(true)
	if got := m.next(t, "READY=1"); got != "READY=1\nSTATUS=net: up to date READY=0" {
		t.Errorf("once it answers: %q", got)
	}
	m.next(t, "WATCHDOG=1")
	m.next(t, "WATCHDOG=1")
	lives.Store(false)
	m.next(t, "STATUS=a commit hangs") // from here on the watchdog is not fed
	quiet := make([]byte, 4096)
	for range 6 {
		_ = m.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		k, err := m.conn.Read(quiet)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(quiet[:k]), "WATCHDOG") {
			t.Fatal("a service that does not live feeds the watchdog")
		}
	}
	lives.Store(true)
	m.next(t, "WATCHDOG=1")
	n.reloading(func() { m.next(t, "RELOADING=1") })
	m.next(t, "READY=1")
	cancel()
	m.next(t, "STOPPING=1")
	<-done
}

func TestNotifyNobody(t *testing.T) {
	n, err := newNotifier(func(string) string { return "" }, 1)
	if n != nil || err != nil {
		t.Fatalf("without a manager: %v, %v", n, err)
	}
	n.run(context.Background(), pulse{}) // returns
	n.reloading(func() {})
	n.close()
	if _, err := newNotifier(func(string) string { return filepath.Join(t.TempDir(), "none") }, 1); err == nil {
		t.Error("a socket that is not there")
	}
	m := newManager(t)
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
	}{{"", "", 0}, {"x", "", 0}, {"-5", "", 0}, {"3000000", "", 3 * time.Second}, {"3000000", "17", 3 * time.Second}, {"3000000", "18", 0}} {
		m.env["WATCHDOG_USEC"], m.env["WATCHDOG_PID"] = c.usec, c.pid
		if got := m.notifier(t).watchdog; got != c.want {
			t.Errorf("WATCHDOG_USEC=%s WATCHDOG_PID=%s: %s, want %s", c.usec, c.pid, got, c.want)
		}
	}
}

// TestAnswersAtLiteral has a service that listens on all addresses asked at a literal one: on a machine that cannot resolve
// localhost it would never be ready.
func TestAnswersAtLiteral(t *testing.T) {
	asked := make(chan string, 1)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Host }))
	defer s.Close()
	port := s.Listener.Addr().(*net.TCPAddr).Port
	for _, all := range []net.IP{net.IPv4zero, net.IPv6unspecified} {
		if err := answersAt(t.Context(), "http", &net.TCPAddr{IP: all, Port: port}); err != nil {
			t.Fatal(err)
		}
		if host := <-asked; host != net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) {
			t.Errorf("a service on %s is asked at %s", all, host)
		}
	}
}
