#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Measures shmstaged on this machine, side by side with what people use instead: installs what that needs, builds, runs every benchmark of staging,
# and writes docs/bench.json, the plots docs/bench*.svg and the tables of docs/benchmarks.md. Needs root, 13 GiB of free memory and 18 GiB of disk.
#
#   run.sh                  everything
#   BUILD=DIR run.sh        in DIR instead of build/bench
#   SCRATCH=DIR run.sh      sources on the disk of DIR instead of /var/tmp
#   DOCS=DIR run.sh         results into DIR instead of docs/
set -eu
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build/bench}
SCRATCH=${SCRATCH:-/var/tmp}
DOCS=${DOCS:-docs}

if test "$(id -u)" != 0; then
        echo "run.sh: it mounts tmpfs and installs packages; run it as root" >&2
        exit 1
fi

tests/packages.sh bench
mkdir -p "$BUILD" "$DOCS"
{
        test -f "$BUILD/build.ninja" || meson setup "$BUILD"
        ninja -C "$BUILD" daemon/shmstaged tests/make-gguf
} >"$BUILD/bench.log" 2>&1 || {
        cat "$BUILD/bench.log" >&2
        exit 1
}
BUILD=$(cd "$BUILD" && pwd)
tests/engine/install.sh "$BUILD/engine"
test "$DOCS" -ef docs || test -f "$DOCS/benchmarks.md" || cp docs/benchmarks.md "$DOCS/"

# The Python that Debian's packages of it are for, also where another comes first.
export SHMSTAGED="$BUILD/daemon/shmstaged" PYTHONDONTWRITEBYTECODE=1
failed=
measure() {
        program=$1
        shift
        status=0
        /usr/bin/python3 "tests/bench/$program" --scratch="$SCRATCH" --json="$BUILD/bench.json" "$@" || status=$?
        test $status -lt 2 || exit $status
        test $status = 0 || failed="$failed $program"
}

rm -f "$BUILD/bench.json"
measure stage.py
measure bounds.py
measure growth.py
measure engine.py --make-gguf="$BUILD/tests/make-gguf" --engine="$BUILD/engine"

cp "$BUILD/bench.json" "$DOCS/bench.json"
/usr/bin/python3 tests/bench/plot.py "$DOCS/bench.json" "$DOCS"
echo "Written: $DOCS/bench.json, the plots beside it, and the tables of $DOCS/benchmarks.md"
test -z "$failed" || {
        echo "run.sh: something is grossly wrong, see above:$failed" >&2
        exit 1
}
