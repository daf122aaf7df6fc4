#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Stands for the daemon in the rig's own tests: fills TARGET from SOURCE in steps, tells systemd how far it is, is
# ready, and empties TARGET on SIGTERM.
#
#   stager.sh SOURCE TARGET
set -u
source=$1
target=$2

if ! test -d "$source"; then
        systemd-notify --status="Failed: $source is missing"
        exit 1
fi
trap 'sleep 0.2; rm -rf "$target"/*; exit 0' TERM
n=$(ls "$source" | wc -l)
i=0
for file in "$source"/*; do
        cp "$file" "$target/.new" && mv "$target/.new" "$target/${file##*/}"
        i=$((i + 1))
        systemd-notify --status="Staging: $((100 * i / n)) %"
done
systemd-notify --ready --status="Ready: $n files"
while :; do
        sleep 1000 &
        wait
done
