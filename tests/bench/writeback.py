#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How soon what a client puts into the mirror is on disk, and what that costs.

  small     one small file at a time: from its closing to "Saved" in the log, when it is on disk, read back, renamed and synced
  among     the same in a mirror of 20,000 files
  large     the same for one large file, as a ratio to dd(1) of the same file from the mirror to the same disk, with fsync, in turns
  beside    small files while a large one is being saved
  burst     50,000 files as fast as one process can make them: whether the kernel lost an event, the daemon's memory, and the time until all of
            them are on disk, as a ratio to cp -a of the same files followed by sync

No name states a digest and SettleTime= is 0, so that the daemon alone is measured. The source lies on a disk, the mirror in a mount namespace
of our own; nothing is left behind. The exit status is 1 if a sanity bound is broken, 2 if it cannot run.
"""

import argparse
import json
import os
import re
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
import harness  # noqa: E402
from measure import GIB, MIB, CannotRun, Process, available_memory, parse_size, peak_memory, spread  # noqa: E402

SMALL_SIZE = 16384
SMALL_FILES = 20
AMONG_FILES = 20000
BURST_FILES = 50000
BURST_SIZE = 2048
BURST_DIRECTORIES = 250

DELAY_MAX = 1.0  # seconds, median
DELAY_AMONG_MAX = 2.0
DELAY_BESIDE_MAX = 2.0
LARGE_RATIO_MAX = 5.0
RSS_MAX = 128 * MIB
TIMEOUT = 900


class Saver:
    """A daemon that is ready. Its log is read line by line, with the time of each, and so is what it notifies."""

    def __init__(self, work, source, target, size, binary):
        self.source, self.target = source, target
        config, path = os.path.join(work, "conf"), os.path.join(work, "notify")
        state = os.path.join(work, "state")
        shutil.rmtree(state, ignore_errors=True)
        os.mkdir(state)
        with open(config, "w") as f:
            f.write("[Mirror bench]\nSource=%s\nTarget=%s\nSize=%d\nSettleTime=0\n" % (source, target, size))
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(path)
        self.notify_path = path
        self.keeper = Process([binary, "--config=" + config, "--log-level=debug"], env=dict(os.environ, NOTIFY_SOCKET=path, STATE_DIRECTORY=state, RUNTIME_DIRECTORY=state),
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
        self.process = self.keeper.process
        self.lines, self.changed = [], threading.Condition()
        self.notified = ""
        self.status = ""
        self.over = threading.Event()
        self.threads = [threading.Thread(target=work) for work in (self.read_log, self.read_notifications)]
        for thread in self.threads:
            thread.start()

    def __enter__(self):
        self.wait(lambda: "READY=1" in self.notified, "the daemon to be ready")
        return self

    def __exit__(self, *reason):
        self.keeper.__exit__(*reason)
        self.process.wait()
        self.over.set()
        for thread in self.threads:
            thread.join()
        if os.path.ismount(self.target):
            subprocess.run(["umount", "-l", self.target], check=True)
        self.notify.close()
        os.unlink(self.notify_path)

    def read_log(self):
        for line in self.process.stderr:
            with self.changed:
                self.lines.append((time.monotonic(), line.rstrip("\n")))
                self.changed.notify_all()

    def log(self):
        return "\n".join(line for _, line in self.lines)

    def read_notifications(self):
        """At once: the daemon waits while there is no room for a notification."""
        while not self.over.is_set():
            if not select.select([self.notify], [], [], 0.1)[0]:
                continue
            message = self.notify.recv(65536).decode(errors="replace")
            self.notified += "\n".join(line for line in message.splitlines() if not line.startswith("STATUS=")) + "\n"
            for status in re.findall(r"^STATUS=(.*)", message, re.M):
                self.status = status

    def wait(self, predicate, what):
        end = time.monotonic() + TIMEOUT
        while not predicate():
            time.sleep(0.005)
            if self.process.poll() is not None:
                raise CannotRun("the daemon ended with %d while waiting for %s:\n%s" % (self.process.returncode, what, self.log()))
            if time.monotonic() > end:
                raise CannotRun("%d s were not enough for %s: %s\n%s" % (TIMEOUT, what, self.status, self.log()))

    def saved(self, name):
        """When it was reported to be on disk."""
        pattern = "Saved '%s' (" % name
        end = time.monotonic() + TIMEOUT
        with self.changed:
            while True:
                for at, line in reversed(self.lines[-1000:]):
                    if line.startswith(pattern):
                        return at
                if time.monotonic() > end or self.process.poll() is not None:
                    raise CannotRun("'%s' was not saved:\n%s" % (name, self.log()))
                self.changed.wait(1)

    def quiet(self, n_files):
        """Waits until all is on disk and as many files are verified."""
        self.wait(lambda: re.match(r"Ready: %d files?, (?!.*not on disk yet)" % n_files, self.status), "%d files on disk" % n_files)

    def stop(self):
        self.process.terminate()
        if self.process.wait(TIMEOUT) != 0:
            raise CannotRun("the daemon did not stop cleanly:\n" + self.log())
        if os.path.ismount(self.target):
            raise CannotRun("the mirror was not removed:\n" + self.log())


def put(path, data):
    """Writes a file and returns when it was closed."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    os.write(fd, data)
    begin = time.monotonic()
    os.close(fd)
    return begin


def put_large(path, size):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    block = os.urandom(8 * MIB)
    for offset in range(0, size, len(block)):
        os.pwrite(fd, offset.to_bytes(8, "little") + block[8:min(len(block), size - offset)], offset)
    begin = time.monotonic()
    os.close(fd)
    return begin


def delay_of(saver, name):
    begin = put(os.path.join(saver.target, name), os.urandom(SMALL_SIZE))
    return saver.saved(name) - begin


class Bench:
    def __init__(self, work, size, binary):
        self.work, self.size, self.binary = work, size, binary
        self.source, self.target = os.path.join(work, "source"), os.path.join(work, "target")
        self.numbers = iter(range(1, 1 << 30))

    def fresh(self, n_files=1):
        """An empty source but for a few files, so that it is one."""
        shutil.rmtree(self.source, ignore_errors=True)
        os.makedirs(self.source)
        for i in range(n_files):
            put(os.path.join(self.source, "here-%d" % i), b"%d" % i)
        os.sync()

    def saver(self, size):
        return Saver(self.work, self.source, self.target, size, self.binary)

    def name(self, prefix):
        return "%s-%d" % (prefix, next(self.numbers))

    # Cases: each returns a dict of what it measured.

    def small(self):
        return self.single(1)

    def among(self):
        return self.single(AMONG_FILES)

    def single(self, n_files):
        self.fresh(n_files)
        with self.saver(64 * MIB + 4096 * n_files) as saver:
            delays = []
            for _ in range(SMALL_FILES):
                delays.append(delay_of(saver, self.name("small")))
                time.sleep(0.3)  # each finds the daemon at rest
            saver.stop()
        return {"delays": delays}

    def disk_alone(self, path):
        copy = os.path.join(self.work, "dd")
        begin = time.monotonic()
        with Process(["dd", "if=" + path, "of=" + copy, "bs=4M", "conv=fsync", "status=none"]) as process:
            if process.wait() != 0:
                raise CannotRun("dd ended with %d" % process.returncode)
        seconds = time.monotonic() - begin
        os.unlink(copy)
        os.sync()
        return seconds

    def large(self):
        """Written under a name that means it is unfinished, then renamed, so that dd can come first as well."""
        self.fresh()
        with self.saver(self.size + 64 * MIB) as saver:
            name = self.name("large")
            path, part = os.path.join(self.target, name), os.path.join(self.target, name + ".part")
            put_large(part, self.size)
            os.sync()
            dd_first = next(self.numbers) % 4 < 2
            disk = self.disk_alone(part) if dd_first else None
            cpu = time.clock_gettime(~saver.process.pid << 3 | 2)  # clock_getcpuclockid(3)
            begin = time.monotonic()
            os.rename(part, path)
            seconds = saver.saved(name) - begin
            cpu = time.clock_gettime(~saver.process.pid << 3 | 2) - cpu
            disk = disk or self.disk_alone(path)
            rss = peak_memory(saver.process.pid)
            saver.stop()
        return {"seconds": seconds, "disk": disk, "ratio": seconds / disk, "cpu": cpu, "rss": rss}

    def beside(self):
        self.fresh()
        with self.saver(self.size + 64 * MIB) as saver:
            name = self.name("large")
            put_large(os.path.join(self.target, name), self.size)
            temporaries = os.path.join(self.source, ".shmstaged", "tmp")
            saver.wait(lambda: os.path.isdir(temporaries) and os.listdir(temporaries), "the large save to begin")
            delays, over = [], False
            while not over:
                delay = delay_of(saver, self.name("small"))
                over = any(line.startswith("Saved '%s'" % name) for _, line in saver.lines)
                if not over:
                    delays.append(delay)
            saver.stop()
        return {"delays": delays}

    def tool_burst(self):
        """What the disk makes of the same files without us."""
        copy = os.path.join(self.work, "copy")
        begin = time.monotonic()
        for command in (["cp", "-a", self.target + "/.", copy], ["sync", "-f", copy]):
            os.makedirs(copy, exist_ok=True)
            with Process(command) as process:
                if process.wait() != 0:
                    raise CannotRun("%s ended with %d" % (command[0], process.returncode))
        seconds = time.monotonic() - begin
        shutil.rmtree(copy)
        os.sync()
        return seconds

    def burst(self):
        self.fresh()
        data = os.urandom(BURST_SIZE)
        with self.saver(GIB) as saver:
            for i in range(BURST_DIRECTORIES):
                os.mkdir(os.path.join(self.target, "%03d" % i))
            saver.wait(lambda: len(os.listdir(self.source)) >= BURST_DIRECTORIES, "the directories")
            saver.quiet(1)
            with open("/proc/%d/clear_refs" % saver.process.pid, "w") as f:
                f.write("5")  # VmHWM from now on
            before = peak_memory(saver.process.pid)
            cpu = time.clock_gettime(~saver.process.pid << 3 | 2)
            begin = time.monotonic()
            for i in range(BURST_FILES):
                fd = os.open("%s/%03d/%d" % (self.target, i % BURST_DIRECTORIES, i), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
                os.write(fd, data)
                os.close(fd)
            made = time.monotonic() - begin
            saver.quiet(BURST_FILES + 1)
            seconds = time.monotonic() - begin
            cpu = time.clock_gettime(~saver.process.pid << 3 | 2) - cpu
            rss = peak_memory(saver.process.pid)
            missing = sum(not os.path.exists("%s/%03d/%d" % (self.source, i % BURST_DIRECTORIES, i)) for i in range(BURST_FILES))
            lost = sum("events of" in line and "were lost" in line for _, line in saver.lines)
            tool = self.tool_burst()
            saver.stop()
        return {"made": made, "events_per_second": 2 * BURST_FILES / made, "events_lost": lost, "seconds": seconds, "cpu": cpu, "missing": missing,
                "rss_before": before, "rss": rss, "tool": tool, "ratio": seconds / tool}


CASES = ("small", "among", "large", "beside", "burst")


def milliseconds(values):
    return [value * 1000 for value in values]


def rows(report):
    """(what, value) of every case, over all rounds."""
    def of(case, key, scale=1):
        return [done[key] * scale for done in report[case]]

    for case, title in (("small", "small file, from closed to on disk"), ("among", "the same in a mirror of %d files" % AMONG_FILES),
                        ("beside", "the same while a large one is saved")):
        if case in report:
            delays = milliseconds(delay for done in report[case] for delay in done["delays"])
            yield title + ", ms", "median %.0f, max %.0f, of %d" % (statistics.median(delays), max(delays), len(delays)) if delays else "none"
    if "large" in report:
        yield "large file, from closed to on disk, s", spread(of("large", "seconds"), "%.2f")
        yield "dd of it with fsync, s", spread(of("large", "disk"), "%.2f")
        yield "times dd", spread(of("large", "ratio"), "%.2f")
        yield "CPU, s", spread(of("large", "cpu"), "%.2f")
        yield "peak RSS, MiB", spread(of("large", "rss", 1 / MIB), "%.1f")
    if "burst" in report:
        yield "%d files made in, s" % BURST_FILES, spread(of("burst", "made"), "%.2f")
        yield "events per second", spread(of("burst", "events_per_second"), "%.0f")
        yield "times that events were lost", spread(of("burst", "events_lost"), "%d")
        yield "all on disk after, s", spread(of("burst", "seconds"), "%.1f")
        yield "cp -a and sync of them, s", spread(of("burst", "tool"), "%.1f")
        yield "times cp and sync", spread(of("burst", "ratio"), "%.1f")
        yield "CPU, s", spread(of("burst", "cpu"), "%.1f")
        yield "RSS before, MiB", spread(of("burst", "rss_before", 1 / MIB), "%.1f")
        yield "peak RSS, MiB", spread(of("burst", "rss", 1 / MIB), "%.1f")


def broken_bounds(report):
    """Sentences."""
    for case, bound in (("small", DELAY_MAX), ("among", DELAY_AMONG_MAX), ("beside", DELAY_BESIDE_MAX)):
        delays = [delay for done in report.get(case, ()) for delay in done["delays"]]
        if case in report and not delays:
            yield "%s: nothing was measured: the large save was over at once." % case
        elif delays and statistics.median(delays) > bound:
            yield "%s: %.2f s until a small file is on disk (at most %.0f)." % (case, statistics.median(delays), bound)
    if "large" in report and statistics.median(done["ratio"] for done in report["large"]) > LARGE_RATIO_MAX:
        yield "large: more than %.0f times what dd takes." % LARGE_RATIO_MAX
    for done in report.get("burst", ()):
        if done["missing"] > 0:
            yield "burst: %d files are not on disk." % done["missing"]
        if done["rss"] > RSS_MAX:
            yield "burst: the daemon's resident memory reached %.1f MiB (at most %d)." % (done["rss"] / MIB, RSS_MAX // MIB)


def check_machine(scratch, size, binary):
    kind = subprocess.run(["stat", "-f", "-c", "%T", scratch], capture_output=True, text=True, check=True).stdout.strip()
    if kind in ("tmpfs", "ramfs"):
        raise CannotRun("%s is on a %s; name a directory on a disk with --scratch=" % (scratch, kind))
    for what, needed, there in (("memory", 2 * size + GIB, available_memory()),
                                ("room in " + scratch, 2 * size + GIB, shutil.disk_usage(scratch).free)):
        if there < needed:
            raise CannotRun("%.1f GiB of %s are needed, %.1f are available; choose a smaller --size=" % (needed / GIB, what, there / GIB))
    for program in ("dd", "cp", binary):
        if not shutil.which(program):
            raise CannotRun("%s is not installed" % program)


def parse_cases(text):
    names = text.split(",")
    for name in names:
        if name not in CASES:
            raise argparse.ArgumentTypeError("of " + ", ".join(CASES))
    return names


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cases", type=parse_cases, default=list(CASES), help=", ".join(CASES) + " (default: all)")
    parser.add_argument("--size", type=parse_size, default=4 * GIB, help="of the large file (default 4G)")
    parser.add_argument("--rounds", type=int, default=3, help="of large and burst (default 3); the others have one")
    parser.add_argument("--scratch", type=os.path.abspath, default="/var/tmp", help="a directory on a disk (default /var/tmp)")
    parser.add_argument("--json", metavar="FILE", help="write every measurement there")
    return parser.parse_args()


def run(arguments, work):
    bench, report = Bench(work, arguments.size, harness.DAEMON), {}
    for case in arguments.cases:
        for i in range(arguments.rounds if case in ("large", "burst") else 1):
            done = getattr(bench, case)()
            report.setdefault(case, []).append(done)
            print("  %s, round %d: %s" % (case, i + 1, ", ".join(
                "%s %s" % (key, "%.3g" % value if isinstance(value, float) else value) for key, value in done.items() if key != "delays") or
                "%d delays" % len(done["delays"])), flush=True)
    return report


def main():
    arguments = parse_arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(2))
    try:
        check_machine(arguments.scratch, arguments.size, harness.DAEMON)
        harness.enter_namespace()
        with tempfile.TemporaryDirectory(prefix="shmstaged-bench-", dir=arguments.scratch) as work:
            report = run(arguments, work)
    except (CannotRun, OSError) as error:
        print("writeback.py: %s" % error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 2
    print("\n%d CPUs, large file %.2f GiB; median (min-max) of the rounds" % (os.cpu_count(), arguments.size / GIB))
    found = list(rows(report))
    width = max(len(what) for what, _ in found)
    for what, value in found:
        print("%s  %s" % (what.ljust(width), value))
    if arguments.json:
        with open(arguments.json, "w") as f:
            json.dump(report, f, indent=2)
    sentences = list(broken_bounds(report))
    for sentence in sentences:
        print(sentence)
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main())
