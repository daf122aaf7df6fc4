#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Makes a small tree of a Debian release that has what the README says is needed to build, and nothing else.
#
#   tree.sh RELEASE [DIRECTORY]     default: ${BUILD:-build}/trees/RELEASE
set -eu

here=$(dirname "$0")
trees_sh=$here/../trees.sh
. "$trees_sh"

test $# -ge 1 || die "name a release of Debian, like trixie"
make_tree "${2:-${BUILD:-build}/trees/$1}" "$1" "$("$here/../packages.sh" list | tr ' ' ',')"
