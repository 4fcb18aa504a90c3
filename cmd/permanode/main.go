// Command permanode archives IOTA networks: it collects units from nodes and files, proves them from their raw
// bytes, stores them, and answers from what it stored.
//
// Results go to standard output (with --json one object a line), everything else to standard error: progress, and
// at the end lines that begin with "error:" and "hint:". exit.go has the one table of exit statuses.
package main

import (
	"context"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// version is set by the linker: -X main.version=v1.2.3
var version = "dev"

// program is what all commands share.
type program struct {
	out, errs io.Writer
	fs        vfs.FS // file system of the store; nil: the disk. Tests put faults here.
	told      told   // of a service; taken first thing
	started   bool   // flags and arguments were good: what fails from here on is no usage error
}

func main() {
	log.SetOutput(io.Discard) // net/http tells it, unasked and a line for each answer, what a node sends too much
	os.Exit((&program{out: os.Stdout, errs: os.Stderr}).run(os.Args[1:]))
}

// run executes one command line and returns the exit status. The first signal asks the command to stop; a second one
// ends the process at once.
func (p *program) run(args []string) int {
	// A closed standard output is an error of the write, which commands report, and not the end of the process.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	root := p.rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !p.started {
		err = usageError(err)
	}
	report(p.errs, err)
	return Status(err)
}

// logger writes what happens to standard error.
func (p *program) logger(level slog.Leveler) *slog.Logger {
	return slog.New(slog.NewTextHandler(p.errs, &slog.HandlerOptions{Level: level, ReplaceAttr: sayError}))
}

// sayError makes a log line say what an error says: some of Pebble's print their stack as well.
func sayError(_ []string, a slog.Attr) slog.Attr {
	if err, ok := a.Value.Any().(error); ok {
		a.Value = slog.StringValue(err.Error())
	}
	return a
}
