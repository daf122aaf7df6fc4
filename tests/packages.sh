#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Installs what building, the demo, testing and the benchmarks need, from Debian's packages. Quick where all is there.
#
#   packages.sh demo|test|bench
#   packages.sh list              prints what building needs
set -eu

# What the README says, and no more: tests/build holds one against the other, and builds in trees that have nothing else.
build="gcc meson pkg-config libsystemd-dev libinotifytools0-dev libxxhash-dev libmount-dev libgcrypt20-dev libjansson-dev libsmartcols-dev systemd"
demo="python3 xxhash util-linux"
test="clang libclang-rt-14-dev libcmocka-dev strace attr libcap2-bin mandoc bindfs fuse3 libfuse3-dev e2fsprogs exfat-fuse exfatprogs xfsprogs btrfs-progs procps rsync
      debootstrap systemd-container binutils iproute2 bash-completion zsh dbus-daemon"
bench="fio vmtouch rsync time python3-matplotlib"

case ${1:-} in
list)
        echo "$build"
        exit 0
        ;;
demo) wanted="$build $demo" ;;
test) wanted="$build $demo $test" ;;
bench) wanted="$build $demo $bench" ;;
*)
        echo "usage: packages.sh list|demo|test|bench" >&2
        exit 2
        ;;
esac

# npm comes with some distributions of node, and then Debian's own npm cannot be installed beside it
command -v node >/dev/null || wanted="$wanted nodejs"
command -v npm >/dev/null || wanted="$wanted npm"

missing=
for package in $wanted; do
        dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || missing="$missing $package"
done
test -n "$missing" || exit 0

if test "$(id -u)" != 0; then
        echo "packages.sh: these Debian packages are missing, and only root can install them:$missing" >&2
        exit 1
fi
echo "Installing:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
apt-get install -y -qq --no-install-recommends $missing >/dev/null
