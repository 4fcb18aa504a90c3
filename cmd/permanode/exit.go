package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"permanode/index/lang"
	"permanode/ingest"
	"permanode/ledger"
	"permanode/query"
	"permanode/query/client"
	"permanode/storage"
)

// ErrUsage is wrapped by every error that only another command line, config or input file can cure.
var ErrUsage = errors.New("usage")

// usage is an error with its remedy. Its text does not say "usage".
type usage struct {
	err  error
	hint string
}

func (u *usage) Error() string { return u.err.Error() }
func (u *usage) Hint() string  { return u.hint }
func (u *usage) Unwrap() []error {
	return []error{ErrUsage, u.err}
}

func usageError(err error) error {
	if errors.Is(err, ErrUsage) {
		return err
	}
	return &usage{err: err, hint: "permanode help shows the commands, permanode help COMMAND their flags"}
}

func usagef(hint, format string, args ...any) error {
	return &usage{err: fmt.Errorf(format, args...), hint: hint}
}

// Status is the one table of exit statuses, for all commands.
func Status(err error) int {
	var other *ingest.OtherNetworkError
	var syntax *lang.SyntaxError
	var meaning *query.QueryError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrUsage), errors.Is(err, ledger.ErrTrust), errors.Is(err, query.ErrNotID), errors.Is(err, query.ErrBadCursor), errors.Is(err, ingest.ErrConfig), errors.Is(err, client.ErrBadRequest),
		errors.As(err, &other), errors.As(err, &syntax), errors.As(err, &meaning):
		return 2
	case errors.Is(err, context.Canceled): // a signal; a service that ended well returns nil
		return 130
	case errors.Is(err, storage.ErrCorrupt): // faults found by check
		return 3
	case errors.Is(err, storage.ErrIncomplete):
		return 4
	case errors.Is(err, storage.ErrNotFound):
		return 5
	}
	return 1
}

// hints are the next steps for errors that have no Hint of their own.
var hints = []struct {
	is   error
	hint string
}{
	{storage.ErrNoData, "name the directory that ingest or run filled; permanode ingest --data DIR makes one"},
	{storage.ErrLocked, "a service holds it: ask it at its api.listen, for example permanode status --server http://127.0.0.1:8080; or stop it first"},
	{storage.ErrStopped, "look at the disk (space, errors), then start again: nothing acknowledged is lost"},
	{storage.ErrTooLarge, "raise memory: in the config"},
	{storage.ErrIncomplete, "a gap closes when a source has the unit: run ingest again with another --from"},
	{query.ErrBadCursor, "begin again without --cursor; a cursor belongs to one query, order and network"},
	{query.ErrNotID, "check its prefix, length and letters; an address must be one of this network"},
	{ledger.ErrTrust, "permanode trust init --from SOURCE -o FILE writes a good one; docs/trust.md has the format"},
	{syscall.EADDRINUSE, "another program listens there: choose another address (--listen, api.listen or metrics.listen), for example 127.0.0.1:0"},
	{syscall.ENOSPC, "make room on the disk, then start again: nothing acknowledged is lost"},
	{syscall.EPIPE, "the reader of the output ended first: the output is not whole"},
}

// report prints err as lines "error: …", one for each of several, and one line "hint: …" where there is a next step.
func report(w io.Writer, err error) {
	if err == nil {
		return
	}
	if errors.Is(err, context.Canceled) && Status(err) == 130 {
		fmt.Fprintln(w, "interrupted")
		return
	}
	for line := range strings.SplitSeq(strings.TrimSpace(err.Error()), "\n") {
		fmt.Fprintln(w, "error:", line)
	}
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		fmt.Fprintln(w, "hint:", h.Hint())
		return
	}
	for _, known := range hints {
		if errors.Is(err, known.is) {
			fmt.Fprintln(w, "hint:", known.hint)
			return
		}
	}
}
