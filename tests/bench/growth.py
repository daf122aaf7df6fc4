#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How the cost of staging grows: one file of 1, 2, 4 and 8 GiB; 1,000, 10,000 and 100,000 small files.

The sources are cold. Each round stages every one of them, with nothing on record ("first time") and with the digests on record, sizes in
another order each time; beside it rsync -a --inplace, but not above 4 GiB, because it takes twice that in memory. The goal is a straight
line: the slope between the two largest amounts is compared with the slope of what is before them.

The exit status is 2 if it cannot run, otherwise 0.
"""

import os
import random
import shutil
import statistics
import sys

sys.dont_write_bytecode = True
import cases  # noqa: E402
import peers  # noqa: E402
from measure import GIB, MIB, Ballast, Goal, add_to_json, goals_table, machine, parse_size, parser, run_program, spread, table, \
    unmount  # noqa: E402

SIZES = (1, 2, 4, 8)  # GiB
COUNTS = (1000, 10000, 100000)
FILE_SIZES = (1024, 8192)
RSYNC_MAX = 4 * GIB
STRAIGHT = 1.25  # the steepest that is called straight; rounds differ by a tenth


class Growth:
    """One series: what is staged, of which amounts."""

    def __init__(self, work, name, unit, amounts, make):
        self.work, self.name, self.unit, self.amounts, self.make = work, name, unit, amounts, make
        self.contest = peers.Contest(work)
        self.found = {amount: [] for amount in amounts}

    def path(self, amount):
        return os.path.join(self.work, "%s-%d" % (self.name, amount))

    def run(self, n_rounds):
        sources = {}
        try:
            for amount in self.amounts:
                sources[amount] = self.make(self.path(amount), amount)
            for i in range(n_rounds):
                order = list(self.amounts)
                random.Random(i).shuffle(order)
                for amount in order:
                    self.found[amount].append(self.round(sources[amount], amount, i))
        finally:
            for amount in self.amounts:
                shutil.rmtree(self.path(amount), ignore_errors=True)
        return {"unit": self.unit, "series": [{"amount": amount, "files": len(sources[amount].files), "bytes": sources[amount].bytes,
                                               "rounds": self.found[amount]} for amount in self.amounts]}

    def round(self, source, amount, turn):
        done = {}
        size = source.bytes + 4096 * len(source.files) + GIB // 4
        for name in ("first", "again", "rsync"):
            if name == "rsync" and source.bytes > RSYNC_MAX:
                continue
            source.chill()
            ballast = Ballast(os.path.join(self.work, "ballast"), 2 * size if name == "rsync" else size)  # with the page cache
            ballast.hold()
            ballast.release()
            done[name] = getattr(self.contest, name)(source)
            unmount(self.contest.target)
            print("  round %d: %d %s, %-30s %7.3f s" % (turn + 1, amount, self.unit, peers.TITLES[name], done[name]["seconds"]), flush=True)
        return done


def medians(found, name, key):
    """(amount, median) of those that have it."""
    points = []
    for entry in found["series"]:
        values = [done[name][key] for done in entry["rounds"] if name in done]
        if values:
            points.append((entry["amount"], statistics.median(values)))
    return points


def bend(points):
    """The last step's slope divided by that of all before it."""
    (first, a), (middle, b), (last, c) = points[0], points[-2], points[-1]
    return (c - b) / (last - middle) / ((b - a) / (middle - first))


def rows(found):
    yield [found["unit"], "", "seconds", "CPU s", "peak RSS"]
    for entry in found["series"]:
        for name in ("first", "again", "rsync"):
            some = [done[name] for done in entry["rounds"] if name in done]
            if some:
                yield ["%d" % entry["amount"], peers.TITLES[name], spread([one["seconds"] for one in some], "%.2f"),
                       "%.2f" % statistics.median(one["cpu"] for one in some), "%.0f MiB" % (statistics.median(one["rss"] for one in some) / MIB)]


def goals_of(found):
    for name in ("first", "again"):
        points = medians(found, name, "seconds")
        if len(points) > 2:
            yield Goal("%s, cold, %s: the last slope, by that of those before it" % (found["unit"], peers.TITLES[name]), bend(points), -STRAIGHT)


def body(arguments, work):
    sizes = [size for size in SIZES if size * GIB <= arguments.size]
    counts = [count for count in COUNTS if count <= arguments.files]
    report, goals = {}, []
    for growth in (Growth(work, "bytes", "GiB in one file", sizes, lambda path, amount: cases.one(path, amount * GIB)),
                   Growth(work, "files", "small files", counts, lambda path, amount: cases.small(path, amount, FILE_SIZES))):
        found = growth.run(arguments.rounds)
        report[growth.name] = found
        print("\nmedian (min-max) of %d rounds\n%s\n" % (arguments.rounds, table(list(rows(found)))), flush=True)
        goals += goals_of(found)
        if arguments.json:
            add_to_json(arguments.json, "growth", {"series": report, "goals": [goal.as_dict() for goal in goals]})
    print(goals_table(goals), flush=True)
    return []


def main():
    options = parser(__doc__)
    options.add_argument("--size", type=parse_size, default=8 * GIB, help="the largest file, from 1G on (default 8G)")
    options.add_argument("--files", type=int, default=100000, help="the largest number of small files, from 1000 on (default 100000)")
    options.add_argument("--rounds", type=int, default=3)
    arguments = options.parse_args()
    print("%(processors)d processors (%(model)s), kernel %(kernel)s" % machine(), flush=True)
    return run_program("growth.py", body, arguments, 2 * arguments.size + 2 * GIB, arguments.size + 4 * GIB, ("rsync", "time"))


if __name__ == "__main__":
    sys.exit(main())
