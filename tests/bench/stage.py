#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast a source is staged, side by side with what people use instead, and what it costs.

Each round runs every contestant once, in another order each time: rsync -a --inplace, cp -a, and cp -a followed by xxh128sum of both sides, into a
plain tmpfs; cp -a into one with 2 MiB pages; vmtouch -t; fio, which reads past the page cache and does nothing with the bytes: the limit; and
shmstaged from its exec to READY=1, with an empty state directory ("first time", both sides are hashed) and once more with the digests on record. The
source is cold (dropped from the page cache before each) or cached (read into it before each). Ratios are taken within a round, because the machine's
mood changes between them.

The source lies on a disk, everything else in a mount namespace of our own; nothing is left behind. Directories and inodes stay cached: only the whole
machine's cache could be dropped. The exit status is 1 if something is grossly wrong (other bytes than the source's, more than 5 % of a cold source
left in the page cache, slower than rsync), 2 if it cannot run. The goals are only reported: machines differ.
"""

import os
import shutil
import statistics
import sys

sys.dont_write_bytecode = True
import cases  # noqa: E402
import peers  # noqa: E402
from measure import GIB, MIB, Ballast, Goal, add_to_json, goals_table, machine, parse_list, parse_size, parser, run_program, spread, \
    table, unmount  # noqa: E402

CACHED_MAX = 5.0  # percent of the source's bytes
LIMIT_FILE = GIB  # read for the limit where a source has no large files
COPIERS = ("rsync", "cp", "cp2m", "cpsum")
OURS = ("first", "again", "sendfile")


def small(path, _):
    return cases.small(path, 20000)


# Case -> how it is made, what share of --size= it takes, and what it is called.
CASES = {
    "large": (cases.one, 1, "one large file"),
    "eight": (cases.eight, 1, "eight files"),
    "small": (small, 0, "20,000 small files"),
    "huggingface": (cases.huggingface, 0.5, "a Hugging Face cache"),
    "ollama": (cases.ollama, 0.5, "an Ollama store"),
}
NAMED_BY_DIGEST = ("huggingface", "ollama")  # the first time, shmstaged also checks the SHA-256 that the names state
MODES = ("cold", "cached")


def contestants(case, mode, with_method):
    names = ["limit", "rsync", "cp", "cpsum", "first", "again"]
    if case != "small":  # a small file would take 2 MiB there
        names.append("cp2m")
    if mode == "cold":
        names.append("vmtouch")
    if with_method and case == "large" and mode == "cold":
        names.append("sendfile")
    return names


def in_turns(names, turn):
    """shmstaged's own stay together, because one needs the state that another leaves."""
    ours = [name for name in OURS if name in names]
    free = [name for name in names if name not in OURS]
    order = free[turn % len(free):] + free[:turn % len(free)]
    at = (2 * turn + 1) % len(free)
    return order[:at] + ours + order[at:]


class Case:
    """One source, in one mode."""

    def __init__(self, contest, source, limit_files, mode, names):
        self.contest, self.source, self.limit_files, self.mode, self.names = contest, source, limit_files, mode, names
        self.ballast = Ballast(os.path.join(contest.work, "ballast"), 2 * source.bytes + GIB // 4)  # a copy and the page cache
        self.rounds = []

    def prepare(self, name):
        if self.mode == "cached":
            self.source.warm()
            if name == "limit" and self.limit_files:
                self.limit_files.warm()
        else:
            self.source.chill()

    def run_one(self, name, check):
        if name in OURS:
            return getattr(self.contest, name)(self.source, judge=cases.difference if check else None)
        if name == "limit":
            limit = self.contest.memory_limit if self.mode == "cached" else self.contest.limit
            return limit(self.source, self.limit_files.files if self.limit_files else None)
        return getattr(self.contest, name)(self.source)

    def run(self, n_rounds):
        for i in range(n_rounds):
            done = {}
            for name in in_turns(self.names, i):
                self.prepare(name)
                self.ballast.hold()
                self.ballast.release()
                done[name] = self.run_one(name, check=i == 0)
                unmount(self.contest.target)
                print("  round %d: %-32s %7.3f s" % (i + 1, peers.TITLES[name], done[name]["seconds"]), flush=True)
            self.rounds.append(done)
        return self.as_dict()

    def as_dict(self):
        return {"files": len(self.source.files), "bytes": self.source.bytes, "names": self.names, "rounds": self.rounds}


# ---- what it means: functions of what as_dict() returns ----

def ratios(found, name, other):
    """How many times faster than the other, round by round."""
    if name == other or other not in found["names"] or name not in found["names"]:
        return []
    return [done[other]["seconds"] / done[name]["seconds"] for done in found["rounds"]]


def values(found, name, key):
    return [done[name][key] for done in found["rounds"] if key in done[name]]


def cpu_per_gib(found, name):
    return statistics.median(values(found, name, "cpu")) / (found["bytes"] / GIB)


def ratio_columns(found):
    return [name for name in ("limit", "rsync", "cp", "cp2m", "cpsum", "vmtouch") if name in found["names"]]


SHORT = {"limit": "of limit", "rsync": "x rsync", "cp": "x cp", "cp2m": "x cp 2M", "cpsum": "x cp+sum", "vmtouch": "x vmtouch"}


def rows(found):
    """Of text, the first is the head."""
    columns = ratio_columns(found)
    yield ["", "seconds", "GiB/s", "CPU s", "CPU s/GiB", "cached after", "peak RSS", "2 MiB pages", *(SHORT[name] for name in columns)]
    for name in [name for name in peers.TITLES if name in found["names"]]:
        def median(key, form, scale=1, name=name):
            some = values(found, name, key)
            return form % (statistics.median(some) * scale) if some else "-"

        seconds = values(found, name, "seconds")
        yield [peers.TITLES[name], spread(seconds, "%.2f"), "%.2f" % (found["bytes"] / GIB / statistics.median(seconds)), median("cpu", "%.2f"),
               "%.2f" % cpu_per_gib(found, name) if values(found, name, "cpu") else "-", median("cached", "%.1f %%"),
               median("rss", "%.0f MiB", 1 / MIB), median("huge", "%.1f %%"),
               *(spread_short(ratios(found, name, other)) for other in columns)]


def spread_short(some):
    return "%.2f" % statistics.median(some) if some else "-"


def goals_of(case, mode, found):
    """What is to be reached."""
    def goal(what, name, other, bound):
        some = ratios(found, name, other)
        if some:
            limit = None if other == "limit" else statistics.median(ratios(found, "limit", other))
            yield Goal("%s, %s, %s: %s" % (CASES[case][2], mode, peers.TITLES[name], what), statistics.median(some), bound, limit)

    def figure(what, name, key, bound, choose):
        some = values(found, name, key)
        if some:
            yield Goal("%s, %s, %s: %s" % (CASES[case][2], mode, peers.TITLES[name], what), choose(some), bound)

    if mode == "cold" and case in ("large", "eight"):
        for what, other, bound in (("of the limit", "limit", 0.90), ("times rsync", "rsync", 5), ("times cp + xxh128sum", "cpsum", 2),
                                   ("times vmtouch", "vmtouch", 2.5)):
            yield from goal(what, "again", other, bound)
        for what, other, bound in (("of the limit", "limit", 0.65), ("times rsync", "rsync", 4)):
            yield from goal(what, "first", other, bound)
        for name, bound in (("first", 0.15), ("again", 0.15), ("sendfile", 0.6)):
            if name in found["names"]:
                yield Goal("%s, cold, %s: CPU seconds per GiB" % (CASES[case][2], peers.TITLES[name]), cpu_per_gib(found, name), -bound)
    if mode == "cached" and case in ("large", "eight"):
        for name in ("first", "again"):
            yield from goal("times cp", name, "cp", 1.3)
            yield from goal("times rsync", name, "rsync", 8)
            yield Goal("%s, cached, %s: CPU seconds per GiB" % (CASES[case][2], peers.TITLES[name]), cpu_per_gib(found, name), -0.6)
    if case == "small":
        for name in ("first", "again"):
            yield from goal("times rsync", name, "rsync", 3)
    for name in ("first", "again"):
        if mode == "cold":
            yield from figure("percent left in the page cache", name, "cached", -1, max)
        yield from figure("percent of 2 MiB pages", name, "huge", 99, min)


def gross_failures(case, mode, found):
    """Sentences."""
    for name in [name for name in OURS if name in found["names"]]:
        where = "%s, %s, %s" % (CASES[case][2], mode, peers.TITLES[name])
        for wrong in values(found, name, "wrong"):
            if wrong:
                yield "%s: the mirror is not the source: %s." % (where, wrong)
        cached = max(values(found, name, "cached"))
        faster = statistics.median(ratios(found, name, "rsync"))
        if mode == "cold" and cached > CACHED_MAX:
            yield "%s: %.1f %% of the source stayed in the page cache (at most %.0f %%)." % (where, cached, CACHED_MAX)
        if faster < 1 and not (name == "first" and case in NAMED_BY_DIGEST):
            yield "%s: slower than rsync (%.2f times its speed)." % (where, faster)


# ---- the program ----

def run_case(arguments, work, case, with_method):
    make, share, title = CASES[case]
    path, limit_path = os.path.join(work, case), os.path.join(work, "limit")
    found = {}
    try:
        source = make(path, int(arguments.size * share) // (32 * MIB) * (32 * MIB))
        limit_files = None if share else cases.one(limit_path, min(LIMIT_FILE, arguments.size))
        contest = peers.Contest(work)
        for mode in arguments.modes:
            print("%s, %s: %d file(s), %.2f GiB" % (title, mode, len(source.files), source.bytes / GIB), flush=True)
            names = contestants(case, mode, with_method)
            found[mode] = Case(contest, source, limit_files, mode, names).run(arguments.rounds)
            print("\nmedian (min-max) of %d rounds; ratios within a round, median\n%s\n" % (arguments.rounds, table(list(rows(found[mode])))),
                  flush=True)
    finally:
        shutil.rmtree(path, ignore_errors=True)
        shutil.rmtree(limit_path, ignore_errors=True)
    return found


def body(arguments, work):
    report, goals, sentences = {}, [], []
    with_method = peers.knows_copy_method(work)
    for case in arguments.cases:
        report[case] = run_case(arguments, work, case, with_method)
        for mode, found in report[case].items():
            goals += goals_of(case, mode, found)
            sentences += gross_failures(case, mode, found)
        if arguments.json:
            add_to_json(arguments.json, "stage", {"cases": report, "goals": [goal.as_dict() for goal in goals]})
    print(goals_table(goals), flush=True)
    return sentences


def main():
    options = parser(__doc__)
    options.add_argument("--cases", type=parse_list(CASES), default=list(CASES), help=", ".join(CASES) + " (default: all)")
    options.add_argument("--modes", type=parse_list(MODES), default=list(MODES), help="cold, cached (default: both)")
    options.add_argument("--size", type=parse_size, default=2 * GIB, help="of the large file, and of eight together (default 2G)")
    options.add_argument("--rounds", type=int, default=5)
    arguments = options.parse_args()
    print("%(processors)d processors (%(model)s), kernel %(kernel)s" % machine(), flush=True)
    return run_program("stage.py", body, arguments, 2 * arguments.size + 2 * GIB, 2 * arguments.size + 3 * GIB, peers.PROGRAMS)


if __name__ == "__main__":
    sys.exit(main())
