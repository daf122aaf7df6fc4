#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later

# Puts promtool of Debian's package prometheus into a directory: that one program, out of the package's file. The package itself is not installed, because it would
# start a server.
#
# usage: install.sh DIRECTORY STAMP     STAMP is a file that is made at the end

set -eu

fail() {
        echo "install.sh: $*" >&2
        exit 1
}

[ $# -eq 2 ] || fail "a directory and a file are expected"
target=$1
mkdir -p "$target"
if [ ! -x "$target/promtool" ]; then
        if found=$(command -v promtool); then
                ln -sfn "$found" "$target/promtool"
        else
                work=$(mktemp -d "$target/new-XXXXXX")
                trap 'rm -rf "$work"' EXIT
                (cd "$work" && apt-get download -q prometheus >log 2>&1) || {
                        tail -n 3 "$work/log" >&2
                        fail "apt-get cannot fetch the package prometheus: run apt-get update, or install promtool"
                }
                dpkg-deb --fsys-tarfile "$work"/prometheus_*.deb | tar -x -C "$work" ./usr/bin/promtool
                mv "$work/usr/bin/promtool" "$target/promtool"
        fi
fi
: >"$2"
