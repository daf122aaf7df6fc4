#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Installs what is needed, builds, and runs every test: with the sanitizers of clang and of gcc first, then all of them on the real
# build, whose summary comes last.
#
#   run.sh             everything
#   BUILD=DIR run.sh   in DIR instead of build/
set -eu
cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
mkdir -p "$BUILD"
BUILD=$(cd "$BUILD" && pwd)
export BUILD

# variant NAME [meson options...]: a build of its own
variant() {
        name=$1
        shift
        {
                test -f "$BUILD/$name/build.ninja" || meson setup "$BUILD/$name" -Dtests=enabled "$@"
                ninja -C "$BUILD/$name"
        } >"$BUILD/$name.log" 2>&1 || {
                cat "$BUILD/$name.log" >&2
                exit 1
        }
        echo "Built: $name"
}

tests/packages.sh test

# The system tree of the container tests is fetched while the compilers work.
BUILD="$BUILD/main" tests/container/tree.sh &
tree=$!
trap 'kill "$tree" 2>/dev/null || true' EXIT

CC=clang variant asan -Db_sanitize=address,undefined -Db_lundef=false
variant tsan -Db_sanitize=thread -Db_lundef=false
variant main

# Sanitized programs are several times slower; where the address space is randomized by many bits, theirs may have no room.
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1
# The tests mostly wait for something, so more of them run at once than there are processors.
JOBS=--num-processes=4
SHMSTAGED_TEST_PATIENCE=4 setarch "$(uname -m)" -R \
        meson test -C "$BUILD/asan" $JOBS --suite unit --suite system --timeout-multiplier 4 --print-errorlogs
SHMSTAGED_TEST_PATIENCE=4 setarch "$(uname -m)" -R \
        meson test -C "$BUILD/tsan" $JOBS --suite unit --suite system --no-suite sequences --timeout-multiplier 4 --print-errorlogs

wait "$tree"
export SHMSTAGED_TEST_PATIENCE=2
exec meson test -C "$BUILD/main" $JOBS --print-errorlogs
