package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// notifier tells the service manager how the service stands, in the words of systemd's sd_notify(3). nil tells nobody.
type notifier struct {
	conn     net.Conn
	watchdog time.Duration // it wants to hear as often that the service lives; 0: it does not ask
}

// newNotifier reads what the service manager put into the environment: nil if there is none.
func newNotifier(getenv func(string) string, pid int) (*notifier, error) {
	socket := getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil, nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"}) // @: an abstract one
	if err != nil {
		return nil, fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	n := &notifier{conn: conn}
	usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	if of := getenv("WATCHDOG_PID"); err == nil && usec > 0 && (of == "" || of == strconv.Itoa(pid)) {
		n.watchdog = time.Duration(usec) * time.Microsecond
	}
	return n, nil
}

// say sends assignments such as READY=1. The service manager may be gone: that is no reason to stop.
func (n *notifier) say(assignments ...string) {
	if n != nil {
		_ = n.conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = n.conn.Write([]byte(strings.Join(assignments, "\n")))
	}
}

// reloading runs f between what says that the service reads its files again and what says that it did.
func (n *notifier) reloading(f func()) {
	n.say("RELOADING=1")
	f()
	n.say("READY=1")
}

func (n *notifier) close() {
	if n != nil {
		_ = n.conn.Close()
	}
}

// A pulse is what is asked to know that a service lives.
type pulse struct {
	answers func(ctx context.Context) error // once it does, the service is ready
	lives   func(ctx context.Context) error // once it does not, it should be started again
	status  func() string                   // one sentence
}

const (
	statusEvery = 10 * time.Second
	firstProbe  = 50 * time.Millisecond
)

// run says READY once the service answers, then how it stands, with each proof that it lives, and at the end STOPPING.
// Whether it lives is asked in one goroutine at most: a proof that does not come leaves the watchdog unfed.
func (n *notifier) run(ctx context.Context, p pulse) {
	if n == nil {
		return
	}
	defer n.say("STOPPING=1")
	for {
		err := p.answers(ctx)
		if err == nil {
			break
		}
		n.say("STATUS=starting: " + oneLine(err.Error()))
		if !pause(ctx, firstProbe) {
			return
		}
	}
	n.say("READY=1", "STATUS="+oneLine(p.status()))
	every := statusEvery
	if n.watchdog > 0 {
		every = min(every, n.watchdog/3)
	}
	t := time.NewTicker(every)
	defer t.Stop()
	proof := make(chan error, 1)
	asked := false
	defer func() {
		if asked {
			<-proof
		}
	}()
	for {
		if n.watchdog > 0 && !asked {
			asked = true
			go func() { proof <- p.lives(ctx) }()
		}
		select {
		case <-ctx.Done():
			return
		case err := <-proof:
			asked = false
			if err == nil {
				n.say("WATCHDOG=1")
			} else if ctx.Err() == nil {
				n.say("STATUS=" + oneLine(err.Error()))
			}
			if !tick(ctx, t) {
				return
			}
		case <-t.C:
		}
		n.say("STATUS=" + oneLine(p.status()))
	}
}

func tick(ctx context.Context, t *time.Ticker) bool {
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// oneLine bounds a sentence: a line would end an assignment.
func oneLine(text string) string {
	const most = 400
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + " …"
	}
	return text
}

// answersAt asks /livez of the service that listens at addr, as a stranger would.
func answersAt(ctx context.Context, scheme string, addr net.Addr) error {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return err
	}
	hosts := []string{host}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		hosts = []string{"127.0.0.1", "::1"} // not a name: whether it answers is no matter of name servers
	}
	for _, host := range hosts {
		if err = livezAt(ctx, url.URL{Scheme: scheme, Host: net.JoinHostPort(host, port), Path: "/livez"}); err == nil {
			return nil
		}
	}
	return err
}

func livezAt(ctx context.Context, u url.URL) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	// It is we who answer there: whom the certificate names is for others to judge.
	one := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer one.CloseIdleConnections()
	res, err := one.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", u.String(), res.Status)
	}
	return nil
}

// handles asks /livez of the handler itself: a crowd at the listener is no reason to start again.
func handles(ctx context.Context, h http.Handler) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1/livez", nil)
	if err != nil {
		return err
	}
	req.RequestURI, req.RemoteAddr = "/livez", "127.0.0.1:0"
	w := &statusOnly{header: http.Header{}}
	h.ServeHTTP(w, req)
	if w.status != http.StatusOK {
		return fmt.Errorf("/livez answered %d", w.status)
	}
	return nil
}

// statusOnly is a http.ResponseWriter that keeps the status.
type statusOnly struct {
	header http.Header
	status int
}

func (w *statusOnly) Header() http.Header { return w.header }

func (w *statusOnly) WriteHeader(status int) { w.status = status }

func (w *statusOnly) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return len(b), nil
}

// pulse is how a service is felt.
func (s *service) pulse(scheme string, ln net.Listener, h http.Handler) pulse {
	return pulse{
		answers: func(ctx context.Context) error { return answersAt(ctx, scheme, ln.Addr()) },
		lives: func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, s.manager.watchdog/3)
			defer cancel()
			if err := handles(ctx, h); err != nil {
				return err
			}
			return s.db.Alive(ctx)
		},
		status: s.sentence,
	}
}

// sentence says what the service does, in one line.
func (s *service) sentence() string {
	var all []string
	for _, n := range s.networks {
		all = append(all, n.name+": "+n.collector.Status().Sentence)
	}
	if err := s.db.Stopped(); err != nil {
		all = append([]string{err.Error()}, all...)
	}
	return strings.Join(all, "; ")
}

// openManager finds the service manager that started the service: nil if none did.
func (s *service) openManager() *notifier {
	n, err := newNotifier(os.Getenv, os.Getpid())
	if err != nil {
		s.log.Warn("the service manager is not told how the service stands", "err", err)
	}
	return n
}
