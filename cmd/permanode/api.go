package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"

	"permanode/internal/durable"
	"permanode/ledger/eras"
	"permanode/query"
	"permanode/query/access"
	"permanode/query/api"
	"permanode/query/trail"
)

// apiFace is what of the API comes from the config: who may ask, from where, over which wire, and where that is recorded.
type apiFace struct {
	keys    *access.Keys // nil: only this machine asks, and needs none
	cert    *certificate // nil: no TLS
	trail   *trail.Trail
	origins []string
	host    string // of api.listen
	rates   api.Rates
}

// openFace makes the face of the API over the archive in dir.
func (s *service) openFace(c *apiConfig, dir string) (err error) {
	if s.face, err = openFace(c, dir, s.log, trailChanges(s.db.Beside(accessFolder))); err != nil {
		return err
	}
	s.db.TakeOver(accessFolder) // its start line is on disk, and says what was wrong
	return s.metrics.Register(s.face.trail.Metrics())
}

// openFace reads the keys and the certificate, and goes on with the access trail in dir. wrong is what is known to be wrong
// with that.
func openFace(c *apiConfig, dir string, log *slog.Logger, wrong []string) (f *apiFace, err error) {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, fmt.Errorf("API: %w", err)
	}
	f = &apiFace{origins: c.CORS, host: host, rates: api.DefaultRates()}
	f.rates.Keyed, f.rates.Search = float64(c.Rate), float64(c.SearchRate)
	if c.KeysFile != "" {
		if f.keys, err = access.LoadKeys(c.KeysFile); err != nil {
			return nil, usagef("correct the keys file: permanode config validate says when it is good", "API: %w", err)
		}
		sayWarnings(log, f.keys)
	}
	if c.TLSCert != "" {
		if f.cert, err = loadCertificate(c.TLSCert, c.TLSKey); err != nil {
			return nil, fmt.Errorf("API: %w", err)
		}
	}
	if f.cert == nil && !api.IsLoopback(c.Listen) {
		log.Warn("keys and answers travel in the clear: name api.tls_cert and api.tls_key, or let a proxy in front do TLS", "listen", c.Listen)
	}
	if f.trail, err = trail.Open(filepath.Join(dir, accessFolder), trail.Options{Log: log, Wrong: wrong}); err != nil {
		return nil, fmt.Errorf("access trail: %w", err)
	}
	return f, nil
}

func sayWarnings(log *slog.Logger, keys *access.Keys) {
	for _, w := range keys.Warnings() {
		log.Warn(w)
	}
}

// health says whether calls can be recorded, without which none is answered.
func (f *apiFace) health() api.Component {
	if err := f.trail.Ready(); err != nil {
		return api.Component{Name: "access trail", Detail: err.Error()}
	}
	return api.Component{Name: "access trail", Ready: true, Detail: "takes what is asked"}
}

// close ends the trail. The API must have ended.
func (f *apiFace) close() error { return f.trail.Close() }

// listener lets ln speak TLS where there is a certificate. HTTP/2 is a proxy's business: its streams could be opened
// and reset without end.
func (f *apiFace) listener(ln net.Listener) net.Listener {
	if f.cert == nil {
		return ln
	}
	return tls.NewListener(ln, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: f.cert.get})
}

// scheme is what addresses of the API begin with.
func (f *apiFace) scheme() string {
	if f.cert == nil {
		return "http"
	}
	return "https"
}

// reload reads the keys and the certificate again. What cannot be read stays as it was.
func (f *apiFace) reload(log *slog.Logger) {
	if f.keys != nil {
		if err := f.keys.Reload(); err != nil {
			log.Error("the keys stay as they were: their file is not good", "err", err)
		} else {
			sayWarnings(log, f.keys)
			log.Info("keys read again", "keys", f.keys.Len())
		}
	}
	if f.cert != nil {
		if err := f.cert.reload(); err != nil {
			log.Error("the certificate stays as it was: its files are not good", "err", err)
		} else {
			log.Info("certificate read again")
		}
	}
}

// config completes what the API needs.
func (f *apiFace) config(c api.Config) api.Config {
	c.Trail, c.Rates, c.Origins = f.trail, f.rates, f.origins
	if f.keys != nil {
		c.Callers = f.keys.Caller
	} else {
		c.Hosts = []string{f.host}
	}
	return c
}

// maxPEM bounds the files of a certificate; a long chain has some 20 KB.
const maxPEM = 1 << 20

// certificate is a pair of files that can be read again while it is in use.
type certificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]
}

func loadCertificate(certFile, keyFile string) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile}
	return c, c.reload()
}

func (c *certificate) reload() error {
	pair, err := readPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("TLS certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.current.Store(&pair)
	return nil
}

func readPair(certFile, keyFile string) (tls.Certificate, error) {
	cert, err := durable.ReadFile(certFile, maxPEM)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := durable.ReadFile(keyFile, maxPEM)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}

// api is the handler of the API over the store.
func (s *service) api() http.Handler {
	a := query.New(s.db, eras.Codec)
	if s.index != nil {
		a.UseIndex(s.index)
	}
	return api.Handler(s.face.config(api.Config{Archive: a, Version: version, Log: s.log, Health: s.health, Live: s.live, Checkpoints: s.copies, Metrics: s.metrics}))
}

// check judges what the config says of the API.
func (c *apiConfig) check(ps *problems) {
	if err := api.CheckListen(c.Listen, c.KeysFile != ""); err != nil {
		ps.add("api.listen", c.Listen, err.Error(), "correct it")
	}
	if c.KeysFile != "" {
		if _, err := access.LoadKeys(c.KeysFile); err != nil {
			ps.addFile("api.keys_file", c.KeysFile, err.Error(), "correct it, or leave it out for this machine alone")
		}
	}
	switch {
	case c.TLSCert == "" && c.TLSKey == "":
	case c.TLSCert == "":
		ps.add("api.tls_cert", "", "is missing beside api.tls_key", "name the certificate (PEM, with its chain), or leave both out")
	case c.TLSKey == "":
		ps.add("api.tls_key", "", "is missing beside api.tls_cert", "name the private key (PEM) of the certificate, or leave both out")
	default:
		if _, err := loadCertificate(c.TLSCert, c.TLSKey); err != nil {
			ps.addFile("api.tls_cert", c.TLSCert, errors.Unwrap(err).Error(), "name a certificate and its own key, both in PEM")
		}
	}
	for i, o := range c.CORS {
		if err := api.CheckOrigin(o); err != nil {
			ps.add(fmt.Sprintf("api.cors[%d]", i), o, err.Error(), "correct it or leave it out")
		} else if o == "*" && c.KeysFile == "" {
			ps.add(fmt.Sprintf("api.cors[%d]", i), o, "lets every web page that somebody opens on this machine read the archive, since there are no keys", "name the origins, or set api.keys_file")
		}
	}
}
