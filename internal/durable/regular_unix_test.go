//go:build unix

package durable

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What has the name of a file and is none is refused at once, whatever it is opened for; nothing waits for who would write.
func TestOpenNoFile(t *testing.T) {
	dir := t.TempDir()
	name := func(n string) string { return filepath.Join(dir, n) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(name("file"), []byte("text"), 0o600))
	must(os.Symlink("file", name("link")))
	must(os.Symlink("loop", name("loop")))
	must(os.Mkdir(name("folder"), 0o700))
	must(syscall.Mkfifo(name("pipe"), 0o600))
	must(os.Symlink("pipe", name("link to a pipe")))
	t.Chdir(dir) // a socket's path must be short
	l, err := net.Listen("unix", "socket")
	must(err)
	defer l.Close()
	for file, says := range map[string]string{
		name("file"): "", name("link"): "", name("loop"): "too many levels", name("folder"): "it is a folder, not a file",
		name("pipe"): "it is a named pipe, not a file", name("link to a pipe"): "it is a named pipe, not a file",
		name("socket"): "it is a socket, not a file", "/dev/null": "it is a device, not a file",
	} {
		for _, flag := range []int{os.O_RDONLY, os.O_WRONLY | os.O_APPEND, os.O_RDWR, os.O_WRONLY | os.O_CREATE} {
			done := make(chan error, 1)
			go func() {
				f, err := OpenFile(file, flag, 0o600)
				if err == nil {
					err = f.Close()
				}
				done <- err
			}()
			var err error
			select {
			case err = <-done:
			case <-time.After(20 * time.Second):
				t.Fatalf("opening %s waits", file)
			}
			if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), file)) {
				t.Errorf("%s opened with %#x: %v, want %q", file, flag, err, says)
			}
			if strings.HasSuffix(says, "not a file") && !errors.Is(err, ErrNoFile) {
				t.Errorf("%s: %v is no ErrNoFile", file, err)
			}
		}
	}
	if _, err := ReadFile(name("nosuch"), 10); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}
	if raw, err := ReadFile(name("link"), 4); err != nil || string(raw) != "text" {
		t.Errorf("read %q, %v", raw, err)
	}
	if _, err := ReadFile(name("file"), 3); err == nil || !strings.Contains(err.Error(), "more than 3 bytes") {
		t.Errorf("a file that is too large: %v", err)
	}
}
