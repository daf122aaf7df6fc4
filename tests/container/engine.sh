#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Stands for an inference engine: reads FILE when it starts and when it is told to stop, and keeps it open between.
# Each time it appends to LOG: when (seconds of /proc/uptime), what ("start" or "stop"), the XXH3-128 of what it
# read or "absent".
#
#   engine.sh LOG FILE
set -u
log=$1
file=$2

note() {
        if test -f "$file"; then
                seen=$(xxh128sum <"$file" | cut -d' ' -f1)
        else
                seen=absent
        fi
        read -r now _ </proc/uptime
        echo "$now $1 $seen" >>"$log"
}

trap 'note stop; exit 0' TERM
note start
if test -f "$file"; then
        exec 3<"$file"
fi
while :; do
        sleep 1000 &
        wait
done
