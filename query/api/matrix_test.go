package api_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"permanode/query"
	"permanode/query/access"
	"permanode/query/api"
	"permanode/query/querytest"
)

// keysOf makes a file with one key of each role, whose secret is the name of the role.
func keysOf(t *testing.T) (*access.Keys, map[access.Role]string) {
	t.Helper()
	secrets := map[access.Role]string{}
	var text strings.Builder
	for role := access.Reader; role <= access.Admin; role++ {
		secrets[role] = "pn_" + strings.Repeat(role.String(), 8)
		sum := sha256.Sum256([]byte(secrets[role]))
		fmt.Fprintf(&text, "- {name: key-of-%s, sha256: %s, role: %s}\n", role, hex.EncodeToString(sum[:]), role)
	}
	file := filepath.Join(t.TempDir(), "keys.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := access.LoadKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	return keys, secrets
}

// Every route × every caller, over a socket. The table of routes says who may; the few that need no key are named here,
// so that no other one becomes open by mistake.
func TestRolesAndRoutes(t *testing.T) {
	keys, secrets := keysOf(t)
	a, id := badInputArchive(t)
	addr, stop := serve(t, api.Handler(api.Config{Archive: a, Callers: keys.Caller}))
	defer stop()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	good := goodValues(id)
	open := []string{}
	for _, rt := range api.RouteLines() {
		path := regexp.MustCompile(`\{[a-z0-9_]+\}`).ReplaceAllStringFunc(rt.Pattern, func(v string) string { return good[strings.Trim(v, "{}")] })
		if rt.Role == access.Anyone.String() {
			open = append(open, rt.Pattern)
		}
		for role := access.Anyone; role <= access.Admin; role++ {
			var headers []string
			if role > access.Anyone {
				headers = []string{"Bearer " + secrets[role]}
			}
			status, kind := askRole(t, tr, rt.Method, "http://"+addr+path, headers)
			may := api.Allow(rt.Method, rt.Pattern, role)
			want := map[bool]int{true: http.StatusForbidden, false: http.StatusUnauthorized}[role > access.Anyone]
			if refused := status == http.StatusUnauthorized || status == http.StatusForbidden; refused == may || refused && status != want {
				t.Errorf("%s %s as %s: %d %s, may be called: %t", rt.Method, rt.Pattern, role, status, kind, may)
			}
		}
		for name, headers := range map[string][]string{
			"a wrong key": {"Bearer " + strings.Repeat("x", 40)}, "another scheme": {"Basic " + secrets[access.Admin]},
			"no secret": {"Bearer "}, "two keys": {"Bearer " + secrets[access.Reader], "Bearer " + secrets[access.Admin]},
			"a key and more": {"Bearer " + secrets[access.Admin] + ", Bearer x"},
		} {
			status, kind := askRole(t, tr, rt.Method, "http://"+addr+path, headers)
			if rt.Role == access.Anyone.String() && len(headers) == 1 {
				if status == http.StatusUnauthorized {
					t.Errorf("%s with %s: %d", rt.Pattern, name, status)
				}
			} else if status != http.StatusUnauthorized && kind != "urn:permanode:problem:bad-header" {
				t.Errorf("%s %s with %s: %d %s", rt.Method, rt.Pattern, name, status, kind)
			}
		}
	}
	if want := []string{"/livez", "/readyz", "/v1/openapi.yaml"}; !slices.Equal(open, want) {
		t.Errorf("open to everybody are %q, want %q", open, want)
	}
	if api.Allow("GET", "/v1/nowhere", access.Admin) || api.Allow("POST", "/v1/info", access.Admin) {
		t.Error("what is no route may be called")
	}
}

// askRole returns the status of an answer, and the type of its problem. Streams are left as soon as they begin.
func askRole(t *testing.T, tr *http.Transport, method, url string, authorization []string) (status int, kind string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(authorization) > 0 {
		r.Header["Authorization"] = authorization
	}
	res, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusBadRequest {
		var p api.Problem
		_ = json.NewDecoder(res.Body).Decode(&p)
		kind = p.Type
	}
	if got := res.Header.Get("WWW-Authenticate"); (got != "") != (res.StatusCode == http.StatusUnauthorized) {
		t.Errorf("%s: %d with WWW-Authenticate %q", url, res.StatusCode, got)
	}
	return res.StatusCode, kind
}

// What is wrong with a request is told to who may ask; others learn that they may not, and nothing of the body is read.
func TestRoleComesFirst(t *testing.T) {
	keys, secrets := keysOf(t)
	addr, stop := serve(t, api.Handler(api.Config{Archive: query.New(querytest.Sample(), querytest.Codecs), Callers: keys.Caller}))
	defer stop()
	for _, request := range []string{
		"GET /v1/networks/nosuch/coverage?x=1 HTTP/1.1\r\nHost: x\r\n", "GET /v1/records/%00 HTTP/1.1\r\nHost: x\r\n",
		"GET /v1/search?q=%22 HTTP/1.1\r\nHost: x\r\n", "POST /v1/records HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n",
		"GET /v1/info HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n",
	} {
		if status, body := raw(t, addr, request+"\r\n"); !strings.HasPrefix(status, "401") {
			t.Errorf("%q without a key: %s %s", request, status, body)
		}
		if strings.Contains(request, "99") {
			continue
		}
		if status, body := raw(t, addr, request+"Authorization: Bearer "+secrets[access.Reader]+"\r\n\r\n"); !strings.HasPrefix(status, "400") {
			t.Errorf("%q with a key: %s %s", request, status, body)
		}
	}
}
