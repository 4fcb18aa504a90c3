package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// What a node sends unasked is not printed: net/http would do that, a line for each answer.
func TestNodeSendsUnasked(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				for in := bufio.NewReader(c); ; {
					if _, err := http.ReadRequest(in); err != nil {
						return
					}
					_, _ = io.WriteString(c, "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nnounasked")
				}
			})
		}
	})
	trust := filepath.Join(recordings(t), "stardust", "trust.json")
	out, err := exec.CommandContext(t.Context(), "permanode", "ingest", "--data", t.TempDir(), "--trust", trust,
		"--from", "http://"+ln.Addr().String()).CombinedOutput()
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if err == nil || strings.Contains(string(out), "idle HTTP channel") || !strings.Contains(string(out), "error: ") {
		t.Errorf("%v\n%s", err, out)
	}
}
