#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Installs what is needed, builds, and runs every test: with the sanitizers of clang and of gcc first, then all of them on the real
# build. Whatever fails, the rest is done all the same; one summary comes last (see summary.py), and the exit status is its.
#
#   run.sh             everything
#   BUILD=DIR run.sh   in DIR instead of build/
set -eu
cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
mkdir -p "$BUILD"
BUILD=$(cd "$BUILD" && pwd)
export BUILD
rm -rf "$BUILD/phases" "$BUILD/failed"

# phase VARIANT WHAT COMMAND...: a thing that is done, of which the summary says how it ended and how long it took
phase() {
        of=$1
        what=$2
        shift 2
        began=$(date +%s)
        status=0
        "$@" || status=$?
        echo "$of $what $status $(($(date +%s) - began))" >>"$BUILD/phases"
        return $status
}

finish() {
        status=0
        python3 -B tests/summary.py "$BUILD" || status=$?
        exit $status
}

# A build of its own, with all that the tests need but what is fetched
build() {
        name=$1
        shift
        {
                { test -f "$BUILD/$name/build.ninja" || meson setup "$BUILD/$name" -Dtests=enabled -Dwerror=true "$@"; } &&
                        ninja -C "$BUILD/$name" all test-programs
        } >"$BUILD/$name.log" 2>&1 || {
                tail -n 100 "$BUILD/$name.log" >&2
                return 1
        }
        echo "Built: $name"
}

# variant NAME [meson options...]: notes in $built that its tests can be run
built=
variant() {
        phase "$1" build build "$@" && built="$built $1 " || echo "Failed to build: $1" >&2
}

# run_tests NAME COMMAND...: the tests of a variant, if it was built; COMMAND begins the command line of meson
run_tests() {
        case $built in
        *" $1 "*) ;;
        *) return 0 ;;
        esac
        name=$1
        shift
        rm -f "$BUILD/$name/meson-logs/testlog.json"
        phase "$name" tests "$@" || true
}

phase setup packages tests/packages.sh test || finish

# The system trees of the tests are fetched while the compilers work. What goes wrong with one is reported by its tests.
{
        BUILD="$BUILD/main" tests/container/tree.sh || true
        for release in bookworm trixie; do
                BUILD="$BUILD/main" tests/build/tree.sh "$release" || true
        done
} &
trees=$!
trap 'kill "$trees" 2>/dev/null || true' EXIT

CC=clang variant asan -Db_sanitize=address,undefined -Db_lundef=false
variant tsan -Db_sanitize=thread -Db_lundef=false
variant main

# Sanitized programs are several times slower; where the address space is randomized by many bits, theirs may have no room.
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1
# The tests mostly wait for something, so more of them run at once than there are processors.
JOBS=--num-processes=4
export SHMSTAGED_TEST_PATIENCE=4
run_tests asan setarch "$(uname -m)" -R \
        meson test -C "$BUILD/asan" $JOBS --suite unit --suite system --timeout-multiplier 3 --print-errorlogs
run_tests tsan setarch "$(uname -m)" -R \
        meson test -C "$BUILD/tsan" $JOBS --suite unit --suite system --no-suite sequences --timeout-multiplier 3 --print-errorlogs

phase main trees wait "$trees"
export SHMSTAGED_TEST_PATIENCE=2
run_tests main meson test -C "$BUILD/main" $JOBS --print-errorlogs
finish
