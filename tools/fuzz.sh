#!/bin/sh
# Runs every fuzz target of the module for FUZZTIME (default 2s), one after the other. A package's tests are built once.
set -eu
go=${GO:-go}
time=${FUZZTIME:-2s}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"$go" list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' ./... > "$tmp/dirs"
while read -r dir; do
  targets=$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go 2>/dev/null | sed 's/^func //'); [ -n "$targets" ] || continue
  (cd "$dir" && "$go" test -c -fuzz . -o "$tmp/fuzz.test" .)
  for target in $targets; do
    # The fuzzer of the Go toolchain now and then reports its own deadline as a failure, without an input: once more then.
    for try in 1 2 3; do
      if out=$(cd "$dir" && "$tmp/fuzz.test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$time" -test.fuzzminimizetime 10x -test.fuzzcachedir "$tmp/cache" 2>&1); then
        echo "fuzz $target: $time, no fault"
        break
      fi
      case $out in
      *"Failing input"*) try=3 ;;
      *"context deadline exceeded"*) ;;
      *) try=3 ;;
      esac
      if [ "$try" = 3 ]; then
        printf '%s\n' "$out"
        echo "fuzz target $target in $dir failed; the input, if any, is in its testdata/fuzz folder"
        exit 1
      fi
    done
  done
done < "$tmp/dirs"
