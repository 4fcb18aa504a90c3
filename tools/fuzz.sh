#!/bin/sh
# Runs every fuzz target of the module for FUZZTIME (default 2s), one after the other. A package's tests are built once.
set -eu
go=${GO:-go}
time=${FUZZTIME:-2s}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"$go" list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' ./... > "$tmp/dirs"
while read -r dir; do
  targets=$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go 2>/dev/null | sed 's/^func //') || continue
  (cd "$dir" && "$go" test -c -fuzz . -o "$tmp/fuzz.test" .)
  for target in $targets; do
    if ! out=$(cd "$dir" && "$tmp/fuzz.test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$time" -test.fuzzcachedir "$tmp/cache" 2>&1); then
      printf '%s\n' "$out"
      echo "fuzz target $target in $dir failed; the input is in its testdata/fuzz folder"
      exit 1
    fi
    echo "fuzz $target: $time, no fault"
  done
done < "$tmp/dirs"
