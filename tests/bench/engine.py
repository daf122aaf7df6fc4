#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast a real llama.cpp loads a model from the disk, from the page cache, from a plain tmpfs, and from the mirror.

    engine.py --make-gguf=PROGRAM --engine=DIRECTORY

Every round loads the same model (llama.cpp's default: it is mapped) from each place, in another order: from the disk with nothing in the
page cache, from the disk with all of it there, from a tmpfs with pages of 4 KiB, and from the mirror of a daemon that runs. Loading is
measured inside of the program, without its start; then one token is evaluated, which reads every weight. Page faults are those of the
process; a major one waits for the disk.

The exit status is 1 if the mirror takes longer than the cold disk, 2 if it cannot run.
"""

import json
import os
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
import cases  # noqa: E402
import peers  # noqa: E402
from measure import GIB, CannotRun, Goal, add_to_json, goals_table, machine, mounted, parse_size, parser, run_program, spread, table  # noqa: E402

LOADER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "load.mjs")
TITLES = {"disk": "disk, cold", "cache": "disk, in the page cache", "tmpfs": "tmpfs with 4 KiB pages", "mirror": "our mirror"}


class Places:
    def __init__(self, arguments, work):
        self.engine = arguments.engine
        self.source = cases.Source(os.path.join(work, "source"))
        self.path = self.source.name("model.gguf")
        subprocess.run([arguments.make_gguf, "--size=%d" % arguments.size, "--output=" + self.path], check=True)
        self.source.files.append((self.path, os.path.getsize(self.path)))
        self.source.complete()
        self.paths = {"disk": self.path, "cache": self.path}

    def add(self, name, directory):
        self.paths[name] = os.path.join(directory, "model.gguf")

    def load(self, name):
        if name == "disk":
            self.source.chill()
        elif name == "cache":
            self.source.warm()
        done = subprocess.run(["node", LOADER, self.engine, self.paths[name]], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CannotRun("llama.cpp could not load from %s: %s" % (TITLES[name], done.stderr[-2000:]))
        return json.loads(done.stdout.splitlines()[-1])

    def run(self, n_rounds):
        rounds = []
        for i in range(n_rounds):
            names, done = list(TITLES), {}
            for name in names[i % len(names):] + names[:i % len(names)]:
                done[name] = self.load(name)
                print("  round %d: %-26s %7.3f s, with a token %7.3f s" % (i + 1, TITLES[name], done[name]["seconds"], done[name]["token_seconds"]),
                      flush=True)
            rounds.append(done)
        return rounds


def ratio(found, name, other, key="seconds"):
    """How many times faster than the other."""
    return statistics.median(done[other][key] / done[name][key] for done in found["rounds"])


def rows(found):
    yield ["", "load s", "page faults", "major", "x cold disk", "load and one token s", "page faults", "major"]
    for name, title in TITLES.items():
        def of(key, name=name):
            return [done[name][key] for done in found["rounds"]]

        yield [title, spread(of("seconds"), "%.3f"), "%d" % statistics.median(of("minor")), "%d" % statistics.median(of("major")),
               "%.1f" % ratio(found, name, "disk"), spread(of("token_seconds"), "%.2f"), "%d" % statistics.median(of("token_minor")),
               "%d" % statistics.median(of("token_major"))]


def goals_of(found):
    yield Goal("llama.cpp loads from our mirror: times a tmpfs with 4 KiB pages", ratio(found, "mirror", "tmpfs"), 1.8)
    yield Goal("llama.cpp loads from our mirror: times the page cache", ratio(found, "mirror", "cache"), 1.0)


def body(arguments, work):
    places = Places(arguments, work)
    plain, target = os.path.join(work, "memory"), os.path.join(work, "target")
    for path in (plain, target):
        os.mkdir(path)
    with mounted(plain, "size=%d,huge=never" % (places.source.bytes + GIB)):
        subprocess.run(["cp", places.path, plain], check=True)
        places.add("tmpfs", plain)
        state = os.path.join(work, "state")
        os.mkdir(state)
        with peers.Daemon(work, state, places.source, target):
            places.add("mirror", target)
            found = {"bytes": places.source.bytes, "rounds": places.run(arguments.rounds)}
    goals = list(goals_of(found))
    print("\na model of %.2f GiB; median (min-max) of %d rounds\n%s\n\n%s" % (
        found["bytes"] / GIB, arguments.rounds, table(list(rows(found))), goals_table(goals)), flush=True)
    if arguments.json:
        add_to_json(arguments.json, "engine", {"found": found, "goals": [goal.as_dict() for goal in goals]})
    return ["From our mirror the model loads slower than from a cold disk."] if ratio(found, "mirror", "disk") < 1 else []


def main():
    options = parser(__doc__)
    options.add_argument("--make-gguf", required=True, type=os.path.abspath)
    options.add_argument("--engine", required=True, type=os.path.abspath, help="where tests/engine/install.sh put llama.cpp")
    options.add_argument("--installed", help="the stamp of install.sh, which is not read")
    options.add_argument("--size", type=parse_size, default=3 * GIB, help="of the model (default 3G)")
    options.add_argument("--rounds", type=int, default=5)
    arguments = options.parse_args()
    print("%(processors)d processors (%(model)s), kernel %(kernel)s" % machine(), flush=True)
    return run_program("engine.py", body, arguments, arguments.size + GIB, 3 * arguments.size + 2 * GIB, ("node", "cp", arguments.make_gguf))


if __name__ == "__main__":
    sys.exit(main())
