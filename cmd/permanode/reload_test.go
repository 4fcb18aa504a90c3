//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"permanode/query/access"
)

// writeCertificate makes a certificate for 127.0.0.1 and writes it with its key.
func writeCertificate(t *testing.T, certFile, keyFile string, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &form, &form, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pool
}

// lockedBuffer is the log of a process that a test reads while it grows.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// eventually asks again until ok, for as long as a busy machine may take.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(60 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("it never came to it: %s", what)
		}
	}
}

// A service with keys and TLS takes new ones on SIGHUP, keeps the old ones while a file is bad, and turns its log up.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	first, err := access.Add(in("keys.yaml"), "first", access.Reader)
	if err != nil {
		t.Fatal(err)
	}
	roots := writeCertificate(t, in("cert.pem"), in("key.pem"), 1)
	config := func(level string) {
		text := fmt.Sprintf("data_dir: data\nmemory: 256MiB\nlog_level: %s\nmetrics: {listen: \"\"}\nindex: {text: false}\n"+
			"networks:\n  - {name: tangle, era: stardust, trust: %q, feeds: [{name: n, type: hornet2-rest, url: \"http://127.0.0.1:1\"}]}\n"+
			"api: {listen: \"127.0.0.1:0\", keys_file: keys.yaml, tls_cert: cert.pem, tls_key: key.pem}\n", level, filepath.Join(recordings(t), "stardust", "trust.json"))
		if err := os.WriteFile(in("c.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config("info")
	log := &lockedBuffer{}
	cmd := exec.CommandContext(t.Context(), "permanode", "run", "--config", in("c.yaml"))
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	defer func() {
		if !ended {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}()
	var addr string
	eventually(t, "the API answers", func() bool {
		m := regexp.MustCompile(`url=https://(\S+)/v1/info`).FindStringSubmatch(log.String())
		if m != nil {
			addr = m[1]
		}
		return m != nil
	})
	ask := func(key string) (status int, serial int64) {
		t.Helper()
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
		defer tr.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+addr+"/v1/info", nil)
		if err != nil {
			t.Fatal(err)
		}
		if key != "" {
			r.Header.Set("Authorization", "Bearer "+key)
		}
		res, err := tr.RoundTrip(r)
		if err != nil {
			return 0, 0
		}
		defer res.Body.Close()
		return res.StatusCode, res.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	if status, serial := ask(first); status != 200 || serial != 1 {
		t.Fatalf("with its key: %d, certificate %d", status, serial)
	}
	if status, _ := ask(""); status != 401 {
		t.Errorf("without a key: %d", status)
	}
	again := func(said string) {
		t.Helper()
		before := strings.Count(log.String(), said)
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, said, func() bool { return strings.Count(log.String(), said) > before })
	}
	second, err := access.Add(in("keys.yaml"), "second", access.Reader)
	if err != nil {
		t.Fatal(err)
	}
	roots = writeCertificate(t, in("cert.pem"), in("key.pem"), 2)
	again("config read again")
	if status, serial := ask(second); status != 200 || serial != 2 {
		t.Errorf("with the new key: %d, certificate %d", status, serial)
	}
	for name, text := range map[string]string{"keys.yaml": "- {name: x}\n", "cert.pem": "no PEM\n"} {
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config("loud")
	again("the log level stays as it was")
	if status, serial := ask(first); status != 200 || serial != 2 {
		t.Errorf("after bad files: %d, certificate %d", status, serial)
	}
	for _, said := range []string{"the keys stay as they were", "the certificate stays as it was"} {
		if !strings.Contains(log.String(), said) {
			t.Errorf("the log does not say %q:\n%s", said, log)
		}
	}
	for _, secret := range []string{first, second} {
		if strings.Contains(log.String(), secret) {
			t.Error("a key is in the log")
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended = true
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log)
	}
}
