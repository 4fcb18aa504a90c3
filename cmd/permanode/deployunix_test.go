//go:build unix

package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestUnitCrash has the service end as the watchdog and a crash end it: with nothing that the unit takes for a wrong
// command line, which it does not start again. Go ends a program that crashes with 2 where nobody asks for better.
func TestUnitCrash(t *testing.T) {
	unit := deployed(t, "deploy", "systemd", "permanode.service")
	prevent := regexp.MustCompile(`(?m)^RestartPreventExitStatus=(\d+)$`).FindStringSubmatch(unit)
	if prevent == nil {
		t.Fatal("no RestartPreventExitStatus")
	}
	var env []string
	for _, m := range regexp.MustCompile(`(?m)^Environment=(\S+)$`).FindAllStringSubmatch(unit, -1) {
		env = append(env, m[1])
	}
	var before syscall.Rlimit // as LimitCORE=0: no core file of a test
	if err := errors.Join(syscall.Getrlimit(syscall.RLIMIT_CORE, &before), syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{Max: before.Max})); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Setrlimit(syscall.RLIMIT_CORE, &before) }()
	s := startServiceWith(t, newSickRoom(t).config(), env...)
	s.end(t, syscall.SIGABRT)
	how := s.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !how.Signaled() && strconv.Itoa(how.ExitStatus()) == prevent[1] {
		t.Errorf("a service that was aborted ends with %d, after which it is not started again", how.ExitStatus())
	}
	if !strings.Contains(s.text(), "goroutine ") {
		t.Error("it does not say what its goroutines did")
	}
}

// TestUnitOwner runs what the unit does before a start: files that root left in the state directory become the service's,
// and nothing outside of it does.
func TestUnitOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	line := regexp.MustCompile(`(?m)^ExecStartPre=\+(.*)$`).FindStringSubmatch(deployed(t, "deploy", "systemd", "permanode.service"))
	if line == nil {
		t.Fatal("no ExecStartPre")
	}
	const owner = 65531
	outside, private := filepath.Join(t.TempDir(), "outside"), t.TempDir()
	state := filepath.Join(t.TempDir(), "permanode") // a link, as with DynamicUser=
	files := []string{filepath.Join(private, "SUMS"), filepath.Join(private, "index", "root.bolt")}
	err := errors.Join(os.Mkdir(filepath.Join(private, "index"), 0o700), os.Chown(private, owner, owner), os.Symlink(private, state))
	for _, name := range append(files, outside) {
		err = errors.Join(err, os.WriteFile(name, nil, 0o600))
	}
	if err = errors.Join(err, os.Symlink(outside, filepath.Join(private, "link"))); err != nil {
		t.Fatal(err)
	}
	args := strings.Fields(strings.ReplaceAll(line[1], "${STATE_DIRECTORY}", state))
	checks(t, args[0], args[1:]...)
	for name, want := range map[string]uint32{files[0]: owner, files[1]: owner, filepath.Dir(files[1]): owner, outside: 0} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Sys().(*syscall.Stat_t).Uid; got != want {
			t.Errorf("%s belongs to %d, want %d", name, got, want)
		}
	}
}
