#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast a cold source is staged, side by side with rsync and cp, and what it costs.

Each round runs every contestant once, each from a source that was dropped from the page cache before: rsync -a --inplace and
cp -a into a plain tmpfs, and shmstaged from its exec to READY=1, with an empty state directory ("first") and once more with the
digests on record ("again"). Reading the large file past the page cache, with nothing done to the bytes, shows what the disk
gives. Ratios are taken within a round, because the machine's mood changes between them.

The source lies on a disk, everything else in a mount namespace of our own; nothing is left behind. Directories and inodes stay
cached: only the whole machine's cache could be dropped. The exit status is 1 if a sanity bound is broken, 2 if it cannot run.
"""

import argparse
import concurrent.futures
import ctypes
import json
import mmap
import os
import random
import re
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
import harness  # noqa: E402

MIB = 1 << 20
GIB = 1 << 30
SMALL_FILES = 20000
SMALL_SIZES = (1024, 65536)

CACHED_MAX = 5.0  # percent of the source's bytes
RSS_MAX = 32 * MIB
READY_TIMEOUT = 900

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]


class CannotRun(Exception):
    pass


def resident(path, size):
    """Bytes of the file that are in the page cache. A mapping does not read."""
    fd = os.open(path, os.O_RDONLY)
    try:
        address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
    finally:
        os.close(fd)
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap", path)
    vector = ctypes.create_string_buffer((size + mmap.PAGESIZE - 1) // mmap.PAGESIZE)
    failed = libc.mincore(address, size, vector)
    libc.munmap(address, size)
    if failed:
        raise OSError(ctypes.get_errno(), "mincore", path)
    return min(size, sum(vector.raw[:len(vector)]) * mmap.PAGESIZE)  # bit 0 is the only one that is used


class Source:
    """A tree on the disk, and what of it is in the page cache."""

    def __init__(self, path):
        self.path = path
        self.files = []  # (path, size)

    @property
    def bytes(self):
        return sum(size for _, size in self.files)

    def add(self, name, size):
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            for offset in range(0, size, MIB):
                f.write(os.urandom(min(size - offset, MIB)))
            f.flush()
            os.fdatasync(f.fileno())
        self.files.append((path, size))

    def cached(self):
        """In percent."""
        return 100 * sum(resident(path, size) for path, size in self.files) / self.bytes

    def chill(self):
        for path, _ in self.files:
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)
        cached = self.cached()
        if cached > 0.5:
            print("  note: %.1f %% of the source could not be dropped from the page cache" % cached, flush=True)


def make_large(path, size):
    source = Source(path)
    source.add("model.gguf", size)
    return source


def make_small(path, size):
    del size
    source = Source(path)
    rng = random.Random(1)
    for i in range(SMALL_FILES):
        source.add("%03d/%05d.json" % (i // 200, i), rng.randint(*SMALL_SIZES))
    return source


class Process:
    """A child that does not outlive the block, nor do its own children: rsync has two."""

    def __init__(self, command, **options):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Bench:
    def __init__(self, work):
        self.work = work
        self.target = os.path.join(work, "target")
        os.mkdir(self.target)

    def unmount(self):
        """If need be lazily: what was killed may not be gone yet."""
        while os.path.ismount(self.target):
            if subprocess.run(["umount", self.target], stderr=subprocess.DEVNULL, check=False).returncode != 0:
                subprocess.run(["umount", "-l", self.target], check=True)

    # Contestants: each returns a dict of what it measured.

    def disk(self, source):
        """Reads past the page cache, several requests at a time, into memory of 2 MiB pages: a request has few segments then."""
        (path, size), piece, depth = source.files[0], 2 * MIB, 4
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT)

        def lane(first):
            with mmap.mmap(-1, piece, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as buffer:
                buffer.madvise(mmap.MADV_HUGEPAGE)
                for offset in range(first * piece, size, depth * piece):
                    os.preadv(fd, [buffer], offset)

        begin = time.monotonic()
        try:
            with concurrent.futures.ThreadPoolExecutor(depth) as pool:
                list(pool.map(lane, range(depth)))
        finally:
            os.close(fd)
        return {"seconds": time.monotonic() - begin}

    def tool(self, source, command):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d" % room(source), "none", self.target], check=True)
        begin = time.monotonic()
        with Process(command + [source.path + "/.", self.target + "/"]) as process:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - begin
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise CannotRun("%s ended with %d" % (command[0], process.returncode))
        return {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "cached": source.cached()}

    def rsync(self, source):
        return self.tool(source, ["rsync", "-a", "--inplace"])

    def cp(self, source):
        return self.tool(source, ["cp", "-a"])

    def first(self, source):
        state = self.state()
        shutil.rmtree(state, ignore_errors=True)
        os.mkdir(state)
        return self.daemon(source)

    def again(self, source):
        return self.daemon(source)

    def state(self):
        return os.path.join(self.work, "state")

    def daemon(self, source):
        config, path, log = (os.path.join(self.work, name) for name in ("conf", "notify", "log"))
        with open(config, "w") as f:
            f.write("[Mirror bench]\nSource=%s\nTarget=%s\nSize=%d\n" % (source.path, self.target, room(source)))
        environment = dict(os.environ, NOTIFY_SOCKET=path, STATE_DIRECTORY=self.state())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, open(log, "w+") as output:
            notify.bind(path)
            begin = time.monotonic()
            with Process([harness.DAEMON, "--config=" + config], env=environment, stdout=output, stderr=output) as process:
                message = wait_ready(process, notify, log)
                result = {"seconds": time.monotonic() - begin,
                          "cpu": time.clock_gettime(~process.pid << 3 | 2),  # clock_getcpuclockid(3)
                          "rss": peak_memory(process.pid), "cached": source.cached()}
                huge = re.search(r"2 MiB pages: (\d+)%", message)
                if huge:
                    result["huge"] = int(huge.group(1))
                process.terminate()
                if process.wait(120) != 0:
                    raise CannotRun("the daemon did not stop cleanly:\n" + read(log))
        os.unlink(path)
        return result


def room(source):
    return sum(-(-size // 4096) * 4096 for _, size in source.files) + 64 * MIB


def read(path):
    with open(path, errors="replace") as f:
        return f.read()


def wait_ready(process, notify, log):
    """The message with READY=1, after all that came before it."""
    said, end = "", time.monotonic() + READY_TIMEOUT
    while time.monotonic() < end:
        if select.select([notify], [], [], 0.1)[0]:
            said += notify.recv(65536).decode(errors="replace") + "\n"
            if re.search(r"^READY=1$", said, re.M):
                return said
        elif process.poll() is not None:
            raise CannotRun("the daemon ended with %d before it was ready:\n%s" % (process.returncode, read(log)))
    raise CannotRun("the daemon was not ready in %d s:\n%s" % (READY_TIMEOUT, read(log)))


def peak_memory(pid):
    """In bytes."""
    return int(re.search(r"^VmHWM:\s+(\d+) kB", read("/proc/%d/status" % pid), re.M).group(1)) * 1024


CASES = {
    "large": (make_large, ("disk", "rsync", "cp", "first", "again")),
    "small": (make_small, ("rsync", "cp", "first", "again")),
}
TITLES = {"disk": "disk alone", "rsync": "rsync -a --inplace", "cp": "cp -a",
          "first": "shmstaged, first", "again": "shmstaged, again"}


def run_rounds(bench, source, names, n_rounds):
    rounds = []
    for i in range(n_rounds):
        # "again" needs the state that "first" leaves; the others take turns at being first
        free = [name for name in names if name not in ("first", "again")]
        order = free[i % len(free):] + free[:i % len(free)]
        order[(i + 1) % len(free):(i + 1) % len(free)] = ["first", "again"]
        done = {}
        for name in order:
            source.chill()
            done[name] = getattr(bench, name)(source)
            bench.unmount()
            print("  round %d: %-20s %7.2f s" % (i + 1, TITLES[name], done[name]["seconds"]), flush=True)
        rounds.append(done)
    return rounds


def spread(values, form):
    """Median and range."""
    if not values:
        return "-"
    middle = form % statistics.median(values)
    return middle if len(values) == 1 else "%s (%s-%s)" % (middle, form % min(values), form % max(values))


def ratios(rounds, name, other):
    """How many times faster than the other, round by round."""
    return [done[other]["seconds"] / done[name]["seconds"] for done in rounds] if other in rounds[0] and name != other else []


def table(source, names, rounds):
    rows = [("", "seconds", "GiB/s", "CPU s", "page cache left %", "peak RSS MiB", "2 MiB pages %", "x rsync", "x cp")]
    for name in names:
        def of(key, scale=1, name=name):
            return [done[name][key] * scale for done in rounds if key in done[name]]

        rows.append((TITLES[name], spread(of("seconds"), "%.2f"),
                     "%.2f" % (source.bytes / GIB / statistics.median(of("seconds"))), spread(of("cpu"), "%.2f"),
                     spread(of("cached"), "%.1f"), spread(of("rss", 1 / MIB), "%.1f"), spread(of("huge"), "%d"),
                     spread(ratios(rounds, name, "rsync"), "%.2f"), spread(ratios(rounds, name, "cp"), "%.2f")))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                               for i, (cell, width) in enumerate(zip(row, widths))) for row in rows)


def broken_bounds(case, rounds):
    """Sentences."""
    for name in ("first", "again"):
        cached = max(done[name]["cached"] for done in rounds)
        rss = max(done[name]["rss"] for done in rounds)
        faster = statistics.median(ratios(rounds, name, "rsync"))
        if cached > CACHED_MAX:
            yield "%s, %s: %.1f %% of the source stayed in the page cache (at most %.0f %%)." % (
                case, TITLES[name], cached, CACHED_MAX)
        if rss >= RSS_MAX:
            yield "%s, %s: the daemon's resident memory reached %.1f MiB (less than %d)." % (
                case, TITLES[name], rss / MIB, RSS_MAX // MIB)
        if faster < 1:
            yield "%s, %s: slower than rsync (%.2f times its speed)." % (case, TITLES[name], faster)


def available_memory():
    return int(re.search(r"^MemAvailable:\s+(\d+) kB", read("/proc/meminfo"), re.M).group(1)) * 1024


def check_machine(scratch, size):
    """Room for the file on disk, and in RAM for the copy and for what rsync leaves in the page cache."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", scratch], capture_output=True, text=True, check=True).stdout.strip()
    if kind in ("tmpfs", "ramfs"):
        raise CannotRun("%s is on a %s; name a directory on a disk with --scratch=" % (scratch, kind))
    for what, needed, there in (("memory", 2 * size + GIB, available_memory()),
                                ("room in " + scratch, size + GIB, shutil.disk_usage(scratch).free)):
        if there < needed:
            raise CannotRun("%.1f GiB of %s are needed, %.1f are available; choose a smaller --size=" % (
                needed / GIB, what, there / GIB))
    for program in ("rsync", "cp", harness.DAEMON):
        if not shutil.which(program):
            raise CannotRun("%s is not installed" % program)


def parse_size(text):
    match = re.fullmatch(r"(\d+)([MG])", text)
    if not match:
        raise argparse.ArgumentTypeError("like 512M or 4G")
    return int(match.group(1)) * {"M": MIB, "G": GIB}[match.group(2)]


def parse_cases(text):
    names = text.split(",")
    for name in names:
        if name not in CASES:
            raise argparse.ArgumentTypeError("of " + ", ".join(CASES))
    return names


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cases", type=parse_cases, default=list(CASES), help="large, small (default: both)")
    parser.add_argument("--size", type=parse_size, default=4 * GIB, help="of the large file (default 4G)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scratch", type=os.path.abspath, default="/var/tmp", help="a directory on a disk (default /var/tmp)")
    parser.add_argument("--json", metavar="FILE", help="write every measurement there")
    return parser.parse_args()


def run(arguments, work):
    bench, report, sentences = Bench(work), {}, []
    for case in arguments.cases:
        make, names = CASES[case]
        path = os.path.join(work, case)
        source = make(path, arguments.size)
        print("%s: %d file(s), %.2f GiB, cold, %d CPUs" % (case, len(source.files), source.bytes / GIB, os.cpu_count()),
              flush=True)
        try:
            rounds = run_rounds(bench, source, names, arguments.rounds)
        finally:
            bench.unmount()
            shutil.rmtree(path)
        print("\nmedian (min-max) of %d rounds; ratios within a round\n%s\n" % (
            len(rounds), table(source, names, rounds)), flush=True)
        report[case] = {"files": len(source.files), "bytes": source.bytes, "rounds": rounds}
        sentences += broken_bounds(case, rounds)
    if arguments.json:
        with open(arguments.json, "w") as f:
            json.dump(report, f, indent=2)
    return sentences


def main():
    arguments = parse_arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(2))
    try:
        check_machine(arguments.scratch, arguments.size)
        harness.enter_namespace()
        with tempfile.TemporaryDirectory(prefix="shmstaged-bench-", dir=arguments.scratch) as work:
            sentences = run(arguments, work)
    except (CannotRun, OSError) as error:
        print("stage.py: %s" % error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 2
    for sentence in sentences:
        print(sentence)
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main())
