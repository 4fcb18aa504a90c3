#!/bin/sh
# Runs every fuzz target of the module for FUZZTIME (default 2s), FUZZSIDE of them side by side (default 2), each with one
# worker. A package's tests are built once; while its targets run, nothing else is built.
set -eu
go=${GO:-go}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# one DIR BINARY TARGET runs a target, and says on standard output how it ended.
cat > "$tmp/one" <<'END'
set -u
dir=$1 binary=$2 target=$3
# The fuzzer of the Go toolchain now and then reports its own deadline as a failure, without an input: once more then.
for try in 1 2 3; do
  if out=$(cd "$dir" && "$binary" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$FUZZTIME" -test.fuzzminimizetime 10x -test.parallel 1 -test.fuzzcachedir "$binary.cache" 2>&1); then
    echo "fuzz $target: $FUZZTIME, no fault"
    exit 0
  fi
  case $out in
  *"Failing input"*) break ;;
  *"context deadline exceeded"*) ;;
  *) break ;;
  esac
done
printf '%s\nfuzz target %s in %s failed; the input, if any, is in its testdata/fuzz folder\n' "$out" "$target" "$dir"
exit 255 # xargs starts no other
END

FUZZTIME=${FUZZTIME:-2s}
export FUZZTIME
"$go" list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' ./... > "$tmp/dirs"
n=0
while read -r dir; do
  targets=$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go 2>/dev/null | sed 's/^func //'); [ -n "$targets" ] || continue
  n=$((n + 1))
  (cd "$dir" && "$go" test -c -fuzz . -ldflags='-s -w' -o "$tmp/$n.test" .)
  for target in $targets; do
    printf '%s\0' "$dir" "$tmp/$n.test" "$target"
  done >> "$tmp/all"
done < "$tmp/dirs"
xargs -0 -n 3 -P "${FUZZSIDE:-2}" sh "$tmp/one" < "$tmp/all"
