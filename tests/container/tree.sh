#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Makes the small Debian tree that boot.py boots: the host's own release, so that the programs built here run
# there, with systemd and the libraries the daemon is linked with.
#
#   tree.sh [DIRECTORY]     default: ${BUILD:-build}/container/tree
set -eu

trees_sh=$(dirname "$0")/../trees.sh
. "$trees_sh"

packages=systemd,systemd-sysv,dbus,libsystemd0,libinotifytools0,libxxhash0,libgcrypt20,libjansson4,libmount1,libsmartcols1,libpam-systemd,polkitd,xxhash

finish_tree() {
        # the journal outlives a reboot, and nothing runs that a test did not ask for
        mkdir -p "$1/var/log/journal"
        for unit in console-getty.service getty@.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
                e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-tmpfiles-clean.timer \
                sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount; do
                ln -sfn /dev/null "$1/etc/systemd/system/$unit"
        done
        ln -sfn /usr/lib/systemd/system/multi-user.target "$1/etc/systemd/system/default.target"
        # a tree without an id would boot as a first boot, which enables every unit it finds
        chroot "$1" systemd-id128 new >"$1/etc/machine-id"
}

make_tree "${1:-${BUILD:-build}/container/tree}" "$(host_release)" "$packages"
