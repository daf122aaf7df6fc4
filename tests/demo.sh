#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Shows the main job: installs what it needs, builds, makes a sample model, and hands over to demo.py.
#
#   demo.sh [SIZE]     of the sample, default 600M
set -eu
cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}

tests/packages.sh demo
mkdir -p "$BUILD"
{
        test -f "$BUILD/build.ninja" || meson setup "$BUILD"
        ninja -C "$BUILD" daemon/shmstaged tests/make-gguf
} >"$BUILD/demo.log" 2>&1 || {
        cat "$BUILD/demo.log" >&2
        exit 1
}
tests/engine/install.sh "$BUILD/engine"
exec python3 tests/demo.py --daemon="$BUILD/daemon/shmstaged" --make-gguf="$BUILD/tests/make-gguf" --engine="$BUILD/engine" \
        --size="${1:-600M}"
