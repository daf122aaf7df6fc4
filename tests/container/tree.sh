#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Makes the small Debian tree that boot.py boots: the host's own release, so that the programs built here run
# there, with systemd and the libraries the daemon is linked with.
#
#   tree.sh [DIRECTORY]     default: ${BUILD:-build}/container/tree
#
# The tree is complete or absent: it is built beside its place and renamed. A tree made by this very script is
# kept, so a second run costs nothing; after a change of the script it is made anew. The mirror is the one the
# host's apt uses.
set -eu

packages=systemd,systemd-sysv,dbus,libsystemd0,libinotifytools0,libxxhash0,libgcrypt20,libjansson4,libmount1,libsmartcols1,libpam-systemd,polkitd,xxhash

die() {
        echo "tree.sh: $*" >&2
        exit 1
}

tree=${1:-${BUILD:-build}/container/tree}
case $tree in
/*) ;;
*) tree=$PWD/$tree ;;
esac
recipe=$(cksum <"$0")

is_current() {
        test "$(cat "$tree/etc/container-tree" 2>/dev/null)" = "$recipe"
}

if is_current; then
        exit 0
fi
test "$(id -u)" = 0 || die "only root can make a system tree"
command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"

mkdir -p "$(dirname "$tree")" || die "cannot make $(dirname "$tree")"
exec 9>"$tree.lock"
flock -w 600 9 || die "another tree.sh has held $tree.lock for ten minutes"
if is_current; then
        exit 0
fi

codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
test -n "$codename" || die "/etc/os-release names no release"
site=$(apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' "Created-By: Packages" |
        awk -v release="$codename" '$2 == release && $3 == "main" { print $1; exit }')
test -n "$site" || die "apt knows no mirror of $codename main: look at /etc/apt/sources.list, then apt-get update"
case $site in
http://* | https://* | file:/*) ;;
*) die "debootstrap cannot read from the mirror that apt uses: $site" ;;
esac
eval "$(apt-config shell proxy Acquire::http::Proxy)"
if test -n "${proxy:-}" && test "$proxy" != DIRECT; then
        export http_proxy="${http_proxy:-$proxy}" https_proxy="${https_proxy:-$proxy}"
fi

new=$(mktemp -d "$tree.new-XXXXXX")
# debootstrap mounts /proc and /sys in the tree and may die with them mounted
discard() {
        for dir in proc sys dev; do
                umount -R "$new/$dir" 2>/dev/null || true
        done
        rm -rf --one-file-system "$new"
}
trap discard EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$new"

started=$(date +%s)
if ! debootstrap --variant=minbase --include="$packages" "$codename" "$new" "$site" >"$tree.log" 2>&1; then
        tail -n 5 "$tree.log" >&2
        tail -n 5 "$new/debootstrap/debootstrap.log" 2>/dev/null >&2 || true
        die "debootstrap failed; all it said is in $tree.log"
fi

rm -rf "$new"/var/cache/apt/* "$new"/var/lib/apt/lists/* "$new"/usr/share/doc/* "$new"/usr/share/man/* \
        "$new"/usr/share/locale/* "$new"/usr/share/i18n/*
# the journal outlives a reboot, and nothing runs that a test did not ask for
mkdir -p "$new/var/log/journal"
for unit in console-getty.service getty@.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
        e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-tmpfiles-clean.timer \
        sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount; do
        ln -sfn /dev/null "$new/etc/systemd/system/$unit"
done
ln -sfn /usr/lib/systemd/system/multi-user.target "$new/etc/systemd/system/default.target"
# a tree without an id would boot as a first boot, which enables every unit it finds
chroot "$new" systemd-id128 new >"$new/etc/machine-id"
echo "$recipe" >"$new/etc/container-tree"

if test -e "$tree"; then
        mv -T "$tree" "$new.old"
        mv -T "$new" "$tree"
        rm -rf --one-file-system "$new.old"
else
        mv -T "$new" "$tree"
fi
trap - EXIT
echo "tree.sh: made $tree, $(du -sh "$tree" | cut -f1), in $(($(date +%s) - started)) seconds" >&2
