# SPDX-License-Identifier: GPL-2.0-or-later
#
# For scripts that need a small Debian tree: they set trees_sh to the path of this file and read it with `.`, and it defines make_tree.
#
# A tree is complete or absent: it is built beside its place and renamed. One that was made by the same scripts of the same packages is kept, so a second run
# costs nothing; after a change of either it is made again. The mirror is the one that the host's apt uses.

die() {
        echo "$(basename "$0"): $*" >&2
        exit 1
}

# The release of the host
host_release() {
        (. /etc/os-release && echo "${VERSION_CODENAME:-}")
}

# What the tree is made by and of: both scripts, and $1, release and packages
tree_recipe() {
        { cat "$0" "$trees_sh" && echo "$1"; } | cksum
}

tree_is_current() {
        test "$(cat "$1/etc/test-tree" 2>/dev/null)" = "$2"
}

# debootstrap mounts /proc and /sys in the tree and may die with them mounted
discard_tree() {
        for dir in proc sys dev; do
                umount -R "$new/$dir" 2>/dev/null || true
        done
        rm -rf --one-file-system "$new"
}

# make_tree DIRECTORY RELEASE PACKAGES, these with commas between them. A function finish_tree of the script, if it has one, works on the new tree, $1, before that gets its name.
make_tree() {
        tree=$1 release=$2 packages=$3
        case $tree in
        /*) ;;
        *) tree=$PWD/$tree ;;
        esac
        recipe=$(tree_recipe "$release $packages")
        if tree_is_current "$tree" "$recipe"; then
                return 0
        fi
        test "$(id -u)" = 0 || die "only root can make a system tree"
        command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"

        mkdir -p "$(dirname "$tree")" || die "cannot make $(dirname "$tree")"
        exec 9>"$tree.lock"
        flock -w 600 9 || die "another $(basename "$0") has held $tree.lock for ten minutes"
        if tree_is_current "$tree" "$recipe"; then
                return 0
        fi

        codename=$(host_release)
        test -n "$codename" || die "/etc/os-release names no release"
        site=$(apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' "Created-By: Packages" |
                awk -v release="$codename" '$2 == release && $3 == "main" { print $1; exit }')
        test -n "$site" || die "apt knows no mirror of $codename main: check /etc/apt/sources.list, then apt-get update"
        case $site in
        http://* | https://* | file:/*) ;;
        *) die "debootstrap cannot read from the mirror that apt uses: $site" ;;
        esac
        eval "$(apt-config shell proxy Acquire::http::Proxy)"
        if test -n "${proxy:-}" && test "$proxy" != DIRECT; then
                export http_proxy="${http_proxy:-$proxy}" https_proxy="${https_proxy:-$proxy}"
        fi

        new=$(mktemp -d "$tree.new-XXXXXX")
        trap discard_tree EXIT
        trap 'exit 1' HUP INT TERM
        chmod 755 "$new"

        started=$(date +%s)
        if ! debootstrap --variant=minbase --include="$packages" "$release" "$new" "$site" >"$tree.log" 2>&1 9>&-; then
                tail -n 5 "$tree.log" >&2
                tail -n 5 "$new/debootstrap/debootstrap.log" 2>/dev/null >&2 || true
                die "debootstrap failed; its whole output is in $tree.log"
        fi

        rm -rf "$new"/var/cache/apt/* "$new"/var/lib/apt/lists/* "$new"/usr/share/doc/* "$new"/usr/share/man/* \
                "$new"/usr/share/locale/* "$new"/usr/share/i18n/*
        if command -v finish_tree >/dev/null; then
                finish_tree "$new"
        fi
        echo "$recipe" >"$new/etc/test-tree"

        if test -e "$tree"; then
                mv -T "$tree" "$new.old"
                mv -T "$new" "$tree"
                rm -rf --one-file-system "$new.old"
        else
                mv -T "$new" "$tree"
        fi
        trap - EXIT HUP INT TERM
        exec 9>&-
        echo "$(basename "$0"): made $tree, $(du -sh "$tree" | cut -f1), in $(($(date +%s) - started)) seconds" >&2
}
