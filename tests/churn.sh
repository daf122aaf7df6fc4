#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# All the random moves of system/test_churn.py for a long time, on each kind of source, as root and as an ordinary user. For root; SHMSTAGED names the
# daemon, and what is known of a failure goes to DIRECTORY.
#
#   churn.sh [MINUTES-OF-EACH [DIRECTORY]]
set -eu
minutes=${1:-10}
directory=${2:-/tmp/churn}
test_churn=$(dirname "$0")/system/test_churn.py
mkdir -p "$directory"
failed=0
for source in ext4 small-inodes coarse; do
        for user in "" --user; do
                echo "== $source $user"
                SHMSTAGED_CHURN_LOG=$directory/$source$user python3 -B "$test_churn" --rounds=1000 --minutes="$minutes" --source=$source $user \
                        >"$directory/$source$user.out" 2>&1 || failed=1
                grep -E "^(FAIL|ERROR|AssertionError|Ran |OK)|seed" "$directory/$source$user.out" | cut -c 1-300
        done
done
exit $failed
