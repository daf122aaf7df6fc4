# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benchmarks share: the page cache, memory, processes, statistics, tables, and the frame around a program.

Sizes are bytes, times are seconds.
"""

import argparse
import contextlib
import ctypes
import json
import mmap
import os
import re
import shutil
import signal
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
HUGE_PAGE = 2 * MIB
MADV_POPULATE_READ = 22  # since Linux 5.14

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]


class CannotRun(Exception):
    pass


def read(path):
    with open(path, errors="replace") as f:
        return f.read()


# ---- memory ----

def resident(path, size):
    """Bytes of the file that are in the page cache. A mapping does not read."""
    if size == 0:
        return 0
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


def drop(path):
    """Takes the file out of the page cache; it has to be on disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def fill(path, buffer):
    """Reads the file into the page cache."""
    with open(path, "rb", buffering=0) as f:
        while f.readinto(buffer):
            pass


def pmd_mapped(path, size):
    """Bytes of a file that a program which maps it gets in pages of 2 MiB, as the kernel counts them."""
    with open(path, "rb") as f, mmap.mmap(f.fileno(), size, mmap.MAP_SHARED, mmap.PROT_READ) as mapping:
        mapping.madvise(MADV_POPULATE_READ)
        found = 0
        for entry in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", read("/proc/self/smaps"), flags=re.M):
            if entry.split("\n", 1)[0].endswith(" " + path):
                found += int(re.search(r"^ShmemPmdMapped:\s+(\d+) kB", entry, re.M).group(1)) * 1024
    return found


def huge_share(directory):
    """In percent of the bytes in files over 2 MiB; None if there are none."""
    total = huge = 0
    for at, _, names in os.walk(os.path.realpath(directory)):
        for path in (os.path.join(at, name) for name in names):
            size = os.lstat(path).st_size
            if size > HUGE_PAGE and not os.path.islink(path):
                total += size
                huge += pmd_mapped(path, size)
    return 100 * huge / total if total else None


def available_memory():
    return int(re.search(r"^MemAvailable:\s+(\d+) kB", read("/proc/meminfo"), re.M).group(1)) * 1024


class Ballast:
    """Memory that is used once more just before a measurement.

    The host of a virtual machine backs memory when it is touched, and takes back what has been free for seconds: then a page of 2 MiB costs ten times
    what it costs on a machine whose memory is its own, and the process that runs after a pause pays for it. Memory that was in use a moment ago is backed."""

    def __init__(self, directory, size):
        self.directory, self.size = directory, max(0, min(size, available_memory() - 2 * GIB))
        os.makedirs(directory, exist_ok=True)

    def hold(self):
        if not self.size or os.path.ismount(self.directory):
            return
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d,huge=always" % (self.size + GIB), "none", self.directory], check=True)
        zeros = bytes(4 * MIB)
        with open(os.path.join(self.directory, "ballast"), "wb", buffering=0) as f:
            for _ in range(self.size // len(zeros)):
                f.write(zeros)

    def release(self):
        unmount(self.directory)


PAGE_REPORTING = "/sys/module/page_reporting/parameters/page_reporting_order"


@contextlib.contextmanager
def backed_memory():
    """While the block runs, the guest does not offer its free memory to the host, where that can be configured: only blocks larger than there are would be."""
    try:
        with open(PAGE_REPORTING) as f:
            before = f.read().strip()
        with open(PAGE_REPORTING, "w") as f:
            f.write("10")
    except OSError:
        yield
        return
    try:
        yield
    finally:
        with open(PAGE_REPORTING, "w") as f:
            f.write(before)


@contextlib.contextmanager
def mounted(directory, options):
    """A tmpfs."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", directory], check=True)
    try:
        yield directory
    finally:
        unmount(directory)


def unmount(directory):
    """If need be lazily: what was killed may not be gone yet."""
    while os.path.ismount(directory):
        if subprocess.run(["umount", directory], stderr=subprocess.DEVNULL, check=False).returncode != 0:
            subprocess.run(["umount", "-l", directory], check=True)


# ---- processes ----

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


def run_timed(command, **options):
    """From exec to end; CPU and memory include the children that it waited for, of whom the largest counts. time(1) stands between, because a
    program that is executed in the place of this one begins with this one's peak memory."""
    with tempfile.NamedTemporaryFile("r") as peak:
        begin = time.monotonic()
        with Process(["time", "-q", "-f", "%M", "-o", peak.name, *command], **options) as process:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - begin
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise CannotRun("'%s' ended with %d" % (" ".join(command)[:200], process.returncode))
        return {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "rss": int(peak.read()) * 1024}


def cpu_time(pid):
    return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3)


def peak_memory(pid):
    return int(re.search(r"^VmHWM:\s+(\d+) kB", read("/proc/%d/status" % pid), re.M).group(1)) * 1024


# ---- what is printed ----

def spread(values, form):
    """Median and range."""
    values = list(values)
    if not values:
        return "-"
    middle = form % statistics.median(values)
    return middle if len(values) == 1 else "%s (%s-%s)" % (middle, form % min(values), form % max(values))


def table(rows):
    """The first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                               for i, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows)


class Goal:
    """A number that is to be reached: at least if @bound is positive, at most if it is negative. @limit is what the limit itself would reach."""

    def __init__(self, what, value, bound, limit=None):
        self.what, self.value, self.bound, self.limit = what, value, bound, limit

    @property
    def reached(self):
        return self.value >= self.bound if self.bound > 0 else self.value <= -self.bound

    def cells(self):
        return (self.what, "reached" if self.reached else "MISSED", "%.2f" % self.value,
                ("at least " if self.bound > 0 else "at most ") + "%.2f" % abs(self.bound), "-" if self.limit is None else "%.2f" % self.limit)

    def as_dict(self):
        return {"what": self.what, "value": self.value, "bound": abs(self.bound), "least": self.bound > 0, "reached": self.reached,
                "limit": self.limit}


GOALS_HEAD = ("to be reached", "", "measured", "wanted", "the limit itself")


def goals_table(goals):
    return table([GOALS_HEAD] + [goal.cells() for goal in goals])


def machine():
    """What it was measured on, as far as it can be described without naming it."""
    model = re.search(r"^model name\s*:\s*(.*)", read("/proc/cpuinfo"), re.M)
    virtual = re.search(r"^flags\s*:.*\bhypervisor\b", read("/proc/cpuinfo"), re.M)
    memory = int(re.search(r"^MemTotal:\s+(\d+) kB", read("/proc/meminfo"), re.M).group(1)) * 1024
    return {"processors": os.cpu_count(), "model": model.group(1) if model else os.uname().machine, "virtual": bool(virtual),
            "memory": memory, "kernel": os.uname().release.split("-")[0]}


def add_to_json(path, name, value):
    """Replaces one member of a file of JSON, so that several programs write into the same one."""
    members = {}
    if os.path.exists(path):
        with open(path) as f:
            members = json.load(f)
    members[name] = value
    members["machine"] = machine()
    with open(path + ".new", "w") as f:
        json.dump(members, f, indent=1, sort_keys=True)
        f.write("\n")
    os.rename(path + ".new", path)


# ---- the frame ----

def parse_size(text):
    match = re.fullmatch(r"(\d+)([MG])", text)
    if not match:
        raise argparse.ArgumentTypeError("like 512M or 4G")
    return int(match.group(1)) * {"M": MIB, "G": GIB}[match.group(2)]


def parse_list(allowed):
    def parse(text):
        names = text.split(",")
        for name in names:
            if name not in allowed:
                raise argparse.ArgumentTypeError("of " + ", ".join(allowed))
        return names
    return parse


def parser(description):
    result = argparse.ArgumentParser(description=description.split("\n", 1)[0])
    result.add_argument("--scratch", type=os.path.abspath, default="/var/tmp", help="a directory on a disk (default /var/tmp)")
    result.add_argument("--json", metavar="FILE", type=os.path.abspath, help="write every measurement there")
    return result


def check_machine(scratch, disk, memory, programs):
    kind = subprocess.run(["stat", "-f", "-c", "%T", scratch], capture_output=True, text=True, check=True).stdout.strip()
    if kind in ("tmpfs", "ramfs"):
        raise CannotRun("%s is on a %s; name a directory on a disk with --scratch=" % (scratch, kind))
    for what, needed, there in (("memory", memory, available_memory()), ("room in " + scratch, disk, shutil.disk_usage(scratch).free)):
        if there < needed:
            raise CannotRun("%.1f GiB of %s are needed, %.1f are available; choose a smaller --size=" % (needed / GIB, what, there / GIB))
    for program in programs:
        if not shutil.which(program):
            raise CannotRun("%s is not installed; tests/packages.sh bench installs what is needed" % program)


def run_program(name, body, arguments, disk, memory, programs):
    """Runs body(arguments, work) with a directory on the disk, in a mount namespace of its own. It returns sentences: what was grossly wrong.
    Returns the exit status: 1 if there are any, 2 if it cannot run."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(2))
    try:
        check_machine(arguments.scratch, disk, memory, [*programs, harness.DAEMON])
        harness.enter_namespace()
        with tempfile.TemporaryDirectory(prefix="shmstaged-bench-", dir=arguments.scratch) as work:
            try:
                with backed_memory():
                    sentences = body(arguments, work)
            finally:
                for at in ("target", "memory", "ballast", "mirror"):
                    unmount(os.path.join(work, at))
    except (CannotRun, OSError, subprocess.CalledProcessError) as error:
        print("%s: %s" % (name, error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 2
    for sentence in sentences:
        print(sentence)
    return 1 if sentences else 0
