#!/bin/sh
# Puts the outside tools that some tests use into bin/tools, each pinned, each in a folder of its own:
#
#     sh tools/have.sh [NAME...]      NAME: python typescript promtool; none: all
#
# python: schemathesis and openapi-spec-validator, from tools/requirements.txt, with hashes.
# typescript: the compiler and openapi-typescript, from the lock file of query/client/typescript.
# promtool: from Debian's package prometheus, unpacked and not installed.
#
# A tool that is there in the pinned version is left alone. Nothing is put outside bin/tools, and root is not needed.
# What stands in the way is said, with what to do; the other tools are still put there, and the exit status is 1.
set -u
cd "$(dirname "$0")/.." || exit 1
top=$(pwd)
tools=$top/bin/tools
mkdir -p "$tools"

# stamped NAME FILE... reports whether NAME was put there from files as they are now.
stamped() {
	name=$1
	shift
	now=$(cat "$@" | cksum)
	[ "$(cat "$tools/$name.stamp" 2>/dev/null)" = "$now" ]
}

# stamp NAME FILE... says that it was.
stamp() {
	name=$1
	shift
	cat "$@" | cksum >"$tools/$name.stamp"
}

# quietly COMMAND... shows what a command printed only if it failed.
quietly() {
	if ! said=$("$@" 2>&1); then
		printf '%s\n' "$said" >&2
		return 1
	fi
}

have_python() {
	pins=tools/requirements.txt
	stamped python $pins && return
	rm -rf "$tools/python"
	if python3 -m venv "$tools/python" >/dev/null 2>&1; then
		quietly "$tools/python/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r $pins || return 1
	else # Debian has venv in a package of its own; pip alone does
		rm -rf "$tools/python"
		quietly python3 -m pip install --quiet --disable-pip-version-check --require-hashes --target "$tools/python/lib" -r $pins || {
			echo "python: neither venv nor pip works; apt-get install python3-venv" >&2
			return 1
		}
		mkdir -p "$tools/python/bin"
		printf '#!/bin/sh\nPYTHONPATH="%s" exec python3 "$@"\n' "$tools/python/lib" >"$tools/python/bin/python"
		chmod +x "$tools/python/bin/python"
	fi
	stamp python $pins
}

have_typescript() {
	from=query/client/typescript
	stamped typescript $from/package.json $from/package-lock.json && return
	command -v npm >/dev/null || {
		echo "typescript: there is no npm: apt-get install nodejs npm (Node 20 or newer)" >&2
		return 1
	}
	rm -rf "$tools/typescript"
	mkdir -p "$tools/typescript"
	cp $from/package.json $from/package-lock.json "$tools/typescript"
	quietly npm ci --prefix "$tools/typescript" --ignore-scripts --no-audit --no-fund || return 1
	stamp typescript $from/package.json $from/package-lock.json
}

have_promtool() {
	[ -x "$tools/promtool" ] && return
	command -v apt-get >/dev/null || {
		echo "promtool: this is no Debian: put promtool of Prometheus 2.42 or newer into bin/tools" >&2
		return 1
	}
	# Lists of its own, so that no lists and no right to write them are needed.
	own=$tools/apt
	mkdir -p "$own/lists/partial" "$own/cache/archives/partial" "$own/deb"
	set -- -o "Dir::State::Lists=$own/lists" -o "Dir::Cache=$own/cache" -o APT::Sandbox::User=root
	(cd "$own/deb" && { quietly apt-get download prometheus || {
		quietly apt-get "$@" update && quietly apt-get "$@" download prometheus
	}; }) || return 1
	dpkg -x "$own"/deb/prometheus_*.deb "$own/root" || return 1
	mv "$own/root/usr/bin/promtool" "$tools/promtool" || return 1
	rm -rf "$own"
}

[ $# -gt 0 ] || set -- python typescript promtool
status=0
for name; do
	case $name in
	python | typescript | promtool) ;;
	*)
		echo "have.sh: there is no tool $name; there are python, typescript and promtool" >&2
		exit 2
		;;
	esac
	"have_$name" || {
		echo "have.sh: $name is not there" >&2
		status=1
	}
done
exit $status
