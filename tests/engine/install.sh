#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later

# Installs llama.cpp as the npm packages node-llama-cpp and @node-llama-cpp/linux-x64 carry it (both MIT), ready
# built for the CPU: nothing is compiled and no package's own script runs. package-lock.json beside this file names
# every version and its digest. A directory that already holds just that is left alone.
#
# usage: install.sh [DIRECTORY [STAMP]]     default: build/engine in the source tree; STAMP is a file that is made at the end
#
# 3.6.0 is the last release for the nodejs 18 of Debian 12. For another one, change package.json, then run
#   npm install --package-lock-only --omit-lockfile-registry-resolved --omit=optional --ignore-scripts

set -eu

here=$(cd "$(dirname "$0")" && pwd)
target=${1:-$here/../../build/engine}

fail() {
        echo "install.sh: $*" >&2
        exit 1
}

[ $# -le 2 ] || fail "one directory and one file are expected"

# The stamp is written last, so a half-finished install is done again.
if cmp -s "$here/package-lock.json" "$target/installed.json"; then
        [ -z "${2:-}" ] || : >"$2"
        exit 0
fi

[ "$(uname -sm)" = "Linux x86_64" ] || fail "the engine is built for Linux on x86_64 only, this is $(uname -sm)"
for program in node npm; do
        command -v "$program" >/dev/null ||
                fail "$program is missing, on Debian: apt-get install --no-install-recommends nodejs npm"
done
node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' ||
        fail "node is $(node --version), the engine needs 18 or later"

mkdir -p "$target"
rm -f "$target/installed.json"
cp "$here/package.json" "$here/package-lock.json" "$target/"
npm ci --prefix "$target" --omit=optional --ignore-scripts --no-audit --no-fund --loglevel=error >&2 ||
        fail "npm could not install the engine into $target"
cp "$here/package-lock.json" "$target/installed.json"
[ -z "${2:-}" ] || : >"$2"
