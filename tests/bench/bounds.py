#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What no way of staging can do without, measured alone: CPU seconds per GiB, or per 20,000 small files.

  clear    the kernel clears the pages of a tmpfs when they are first touched, of 2 MiB and of 4 KiB
  hash     xxh128sum of bytes in RAM, in pages of 2 MiB
  direct   fio reads a file past the page cache into pages of 2 MiB, eight requests of 4 MiB at a time
  open     xxh128sum of small files in the page cache: opens, reads, hashes and closes each
  create   cp -r of those files into a tmpfs: opens, reads, creates and writes each

The exit status is 2 if it cannot run, otherwise 0.
"""

import mmap
import os
import resource
import subprocess
import sys

sys.dont_write_bytecode = True
import cases  # noqa: E402
import peers  # noqa: E402
from measure import GIB, Ballast, add_to_json, machine, mounted, parser, run_program, run_timed, spread, table  # noqa: E402

MADV_POPULATE_WRITE = 23  # since Linux 5.14
SIZE = GIB // 2
HASH_ALL = 'find "$1" -type f -print0 | xargs -0 xxh128sum -q'
TITLES = {
    "clear2m": "clearing pages of 2 MiB, per GiB",
    "clear4k": "clearing pages of 4 KiB, per GiB",
    "hash": "XXH3-128 of one side, per GiB",
    "direct": "reading past the page cache, per GiB",
    "open": "opening, reading and hashing 20,000 small files",
    "create": "opening, reading, creating and writing 20,000 small files",
}


def own_cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def clear(path):
    """CPU seconds of touching every page of a file of a tmpfs."""
    with open(path, "w+b") as f:
        f.truncate(SIZE)
        with mmap.mmap(f.fileno(), SIZE) as mapping:
            begin = own_cpu()
            mapping.madvise(MADV_POPULATE_WRITE)
            return own_cpu() - begin


class Bounds:
    def __init__(self, work):
        self.memory, self.target = os.path.join(work, "memory"), os.path.join(work, "target")
        self.contest = peers.Contest(work)
        self.large = cases.one(os.path.join(work, "large"), SIZE)
        self.small = cases.small(os.path.join(work, "small"), 20000)
        self.ballast = Ballast(os.path.join(work, "ballast"), 2 * GIB)

    def round(self):
        done, scale = {}, GIB / SIZE
        for name, huge in (("clear4k", "never"), ("clear2m", "always")):
            self.ballast.hold()
            self.ballast.release()
            with mounted(self.target, "size=1g,huge=" + huge):
                path = os.path.join(self.target, "zeros")
                done[name] = clear(path) * scale
                if name == "clear2m":
                    done["hash"] = run_timed(["xxh128sum", "-q", path], stdout=subprocess.DEVNULL)["cpu"] * scale
        self.large.chill()
        done["direct"] = self.contest.fio_direct(self.large.files, 8, True)["cpu"] * scale
        self.small.warm()
        done["open"] = run_timed(["sh", "-c", HASH_ALL, "sh", self.small.path], stdout=subprocess.DEVNULL)["cpu"]
        with mounted(self.target, "size=1g"):
            done["create"] = run_timed(["cp", "-r", self.small.path, self.target])["cpu"]
        return done


def rows(rounds):
    yield ["", "CPU seconds"]
    for name, title in TITLES.items():
        yield [title, spread([done[name] for done in rounds], "%.3f")]


def body(arguments, work):
    bounds = Bounds(work)
    rounds = [bounds.round() for _ in range(arguments.rounds)]
    print("median (min-max) of %d rounds\n%s" % (len(rounds), table(list(rows(rounds)))), flush=True)
    if arguments.json:
        add_to_json(arguments.json, "bounds", {"rounds": rounds})
    return []


def main():
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=5)
    arguments = options.parse_args()
    print("%(processors)d processors (%(model)s), kernel %(kernel)s" % machine(), flush=True)
    return run_program("bounds.py", body, arguments, 3 * GIB, 5 * GIB, ("xxh128sum", "fio", "cp", "time"))


if __name__ == "__main__":
    sys.exit(main())
