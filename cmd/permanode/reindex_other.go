//go:build !unix

package main

import "os"

// rebuildSignals are those that have a running service make its index again: none on this system.
var rebuildSignals []os.Signal

// reloadSignals are those that have a running service read its keys, certificate and log level again: none here.
var reloadSignals []os.Signal
