#!/bin/sh
# Runs every fuzz target of the module for FUZZTIME (default 2s), one after the other.
set -eu
go=${GO:-go}
time=${FUZZTIME:-2s}
"$go" list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' ./... | while read -r dir; do
  grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go 2>/dev/null | sed 's/^func //' | while read -r target; do
    if ! out=$("$go" test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$dir" 2>&1); then
      printf '%s\n' "$out"
      echo "fuzz target $target in $dir failed; the input is in its testdata/fuzz folder"
      exit 1
    fi
    echo "fuzz $target: $time, no fault"
  done
done
