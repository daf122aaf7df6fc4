#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The ground boot.py's container stands on: a mount namespace of its own with the overlay, a fresh /run and a
# cgroup2 hierarchy, and a cgroup for everything that is started. It lives until its stdin ends, which happens
# also when its owner is killed, then takes everything down: processes, cgroups, and with itself the mounts.
#
#   unshare -m --propagation private holder.sh DIRECTORY CGROUP LOWER
#
# DIRECTORY is empty and ours; LOWER is overlayfs's lowerdir=. Prints "ready".
set -eu
trap '' HUP INT TERM

directory=$1
group=/sys/fs/cgroup/$2
lower=$3

remove_group() {
        test -d "$group" || return 0
        # cgroup.kill came with Linux 5.14
        if ! { echo 1 >"$group/cgroup.kill"; } 2>/dev/null; then
                find "$group" -name cgroup.procs -exec cat {} + | xargs -r kill -KILL 2>/dev/null || true
        fi
        tries=0
        while grep -q 'populated 1' "$group/cgroup.events"; do
                tries=$((tries + 1))
                test $tries -lt 100 || break
                sleep 0.1
        done
        find "$group" -depth -type d -exec rmdir {} +
}

end() {
        remove_group
        umount -l "$directory"
        rmdir "$directory"
}
trap end EXIT

mount -t tmpfs -o size=50%,mode=755 tmpfs "$directory"
mkdir "$directory/upper" "$directory/work" "$directory/root"
mount -t overlay -o "lowerdir=$lower,upperdir=$directory/upper,workdir=$directory/work" overlay "$directory/root"
mount -t tmpfs -o mode=755 tmpfs /run
# systemd boots on the unified hierarchy also where the host has the old one or both
if test "$(stat -fc %T /sys/fs/cgroup)" != cgroup2fs; then
        umount -R /sys/fs/cgroup 2>/dev/null || true
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
mkdir "$group"
echo ready
cat >/dev/null
