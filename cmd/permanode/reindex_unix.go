//go:build unix

package main

import (
	"os"
	"syscall"
)

// rebuildSignals are those that have a running service make its index again.
var rebuildSignals = []os.Signal{syscall.SIGUSR1}

// reloadSignals are those that have a running service read its keys, certificate and log level again.
var reloadSignals = []os.Signal{syscall.SIGHUP}
