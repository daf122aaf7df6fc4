# SPDX-License-Identifier: GPL-2.0-or-later
"""The contestants: what people use instead of shmstaged, shmstaged itself, and the limit that the disk or the memory sets.

A method of Contest for each. It begins with an empty target and returns a dict: seconds, cpu, rss (bytes), cached (percent of the source that is
in the page cache afterwards), huge (percent of the bytes in files over 2 MiB that a reader gets in pages of 2 MiB), as far as it applies. The caller
unmounts the target.
"""

import json
import os
import re
import select
import shutil
import socket
import subprocess
import time

from measure import GIB, MIB, CannotRun, Process, cpu_time, harness, huge_share, mounted, peak_memory, read, run_timed, unmount

PROGRAMS = ("rsync", "cp", "xxh128sum", "vmtouch", "fio", "time")
READY_TIMEOUT = 900
STOP_TIMEOUT = 120
DEPTHS = (1, 2, 4, 8, 16)
LIMIT_BLOCK = 4 * MIB
COPY_AND_CHECK = """
cp -a "$1/." "$2/"
cd "$1"
find . -type f -print0 | xargs -0 xxh128sum -q >"$3"
cd "$2"
xxh128sum -c --quiet "$3"
"""

TITLES = {
    "limit": "the limit (fio)",
    "rsync": "rsync -a --inplace",
    "cp": "cp -a",
    "cp2m": "cp -a, tmpfs with 2 MiB pages",
    "cpsum": "cp -a + xxh128sum of both sides",
    "vmtouch": "vmtouch -t",
    "first": "shmstaged, first time",
    "again": "shmstaged, digests on record",
    "sendfile": "shmstaged, CopyMethod=sendfile",
}


def room(source):
    return sum(-(-size // 4096) * 4096 for _, size in source.files) + 64 * MIB


def wait_ready(process, notify, log):
    """Until READY=1 comes."""
    received, end = "", time.monotonic() + READY_TIMEOUT
    while time.monotonic() < end:
        if select.select([notify], [], [], 0.1)[0]:
            received += notify.recv(65536).decode(errors="replace") + "\n"
            if re.search(r"^READY=1$", received, re.M):
                return
        elif process.poll() is not None:
            raise CannotRun("the daemon ended with %d before it was ready:\n%s" % (process.returncode, read(log)))
    raise CannotRun("the daemon was not ready in %d s:\n%s" % (READY_TIMEOUT, read(log)))


def knows_copy_method(work):
    """Whether the daemon that is measured has that key."""
    config = os.path.join(work, "method.conf")
    with open(config, "w") as f:
        f.write("[Mirror bench]\nCopyMethod=sendfile\n")
    shown = subprocess.run([harness.DAEMON, "--check-config", "--config=" + config], capture_output=True, text=True, check=False)
    return "CopyMethod=sendfile" in shown.stdout


class Daemon:
    """A run of shmstaged from exec to the end of the block, which is entered when it is ready. As shipped, but for what stands in @more."""

    def __init__(self, work, state, source, target, more=""):
        self.source, self.target, self.state = source, target, state
        self.config, self.path, self.log = (os.path.join(work, name) for name in ("conf", "notify", "log"))
        with open(self.config, "w") as f:
            f.write("[Mirror bench]\nSource=%s\nTarget=%s\nSize=%d\n%s" % (source.path, target, room(source), more))

    def __enter__(self):
        environment = dict(os.environ, NOTIFY_SOCKET=self.path, STATE_DIRECTORY=self.state, RUNTIME_DIRECTORY=self.state)
        self.output = open(self.log, "w")
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(self.path)
        begin = time.monotonic()
        self.keeper = Process([harness.DAEMON, "--config=" + self.config], env=environment, stdout=self.output, stderr=self.output)
        process = self.keeper.process
        try:
            wait_ready(process, self.notify, self.log)
        except BaseException:
            self.close()
            raise
        self.result = {"seconds": time.monotonic() - begin, "cpu": cpu_time(process.pid), "rss": peak_memory(process.pid)}
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.stop()
        finally:
            self.close()

    def stop(self):
        """Reads its notifications on the way: the sender waits until there is room."""
        process, end = self.keeper.process, time.monotonic() + STOP_TIMEOUT
        process.terminate()
        while process.poll() is None and time.monotonic() < end:
            if select.select([self.notify], [], [], 0.01)[0]:
                self.notify.recv(65536)
        if process.poll() != 0:
            raise CannotRun("the daemon did not stop cleanly:\n" + read(self.log))

    def close(self):
        self.keeper.__exit__()
        self.notify.close()
        self.output.close()
        os.unlink(self.path)
        unmount(self.target)


class Contest:
    def __init__(self, work):
        self.work = work
        self.target = os.path.join(work, "target")
        self.buffers = os.path.join(work, "memory")
        self.depths = list(DEPTHS)  # the best of them, once all were tried
        for path in (self.target, self.buffers):
            os.makedirs(path, exist_ok=True)

    # -- the limit --

    def fio(self, files, *more):
        """seconds, speed (GiB/s) and cpu. No size is named: fio would make shorter files as long as that."""
        done = subprocess.run(["fio", "--name=limit", "--filename=" + ":".join(path for path, _ in files), "--rw=read", "--readonly",
                               "--allow_file_create=0", "--file_service_type=sequential", "--thread", "--output-format=json", *more],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CannotRun("fio failed: " + (done.stderr or done.stdout)[:2000])
        job = json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]
        found, wanted = job["read"], sum(size for _, size in files)
        if found["io_bytes"] != wanted:
            raise CannotRun("fio read %d bytes of %d" % (found["io_bytes"], wanted))
        seconds = wanted / found["bw_bytes"]
        return {"seconds": seconds, "speed": found["bw_bytes"] / GIB, "cpu": (job["usr_cpu"] + job["sys_cpu"]) / 100 * seconds}

    def fio_direct(self, files, depth, huge):
        """The buffers are a file of a tmpfs, in pages of 4 KiB or 2 MiB: a request to the disk has as many segments as it has pages."""
        with mounted(self.buffers, "size=256m,huge=" + ("always" if huge else "never")):
            buffers = os.path.join(self.buffers, "buffers")
            with open(buffers, "wb") as f:
                f.truncate((depth + 2) * LIMIT_BLOCK)
            return self.fio(files, "--direct=1", "--ioengine=libaio", "--bs=4m", "--iodepth=%d" % depth, "--mem=mmapshared:" + buffers,
                            "--iomem_align=2m")

    def limit(self, source, files=None):
        """What the disk gives, past the page cache, with nothing done to the bytes."""
        files = files or [(path, size) for path, size in source.files if size >= 16 * MIB]
        found = {depth: self.fio_direct(files, depth, True) for depth in self.depths}
        depth = max(found, key=lambda depth: found[depth]["speed"])
        share = source.bytes / sum(size for _, size in files)
        result = {"seconds": found[depth]["seconds"] * share, "cpu": found[depth]["cpu"] * share, "depth": depth,
                  "depths": {depth: one["speed"] for depth, one in found.items()}}
        if len(self.depths) == len(DEPTHS):
            result["small_pages"] = self.fio_direct(files, depth, False)["speed"]
            self.depths = sorted(sorted(found, key=lambda depth: found[depth]["speed"])[-3:])
        return result

    def memory_limit(self, source, files=None):
        """What reading the page cache gives, into a buffer that stays in the processor's cache."""
        files = files or [(path, size) for path, size in source.files if size >= 16 * MIB]
        found = self.fio(files, "--direct=0", "--invalidate=0", "--ioengine=psync", "--bs=256k")
        share = source.bytes / sum(size for _, size in files)
        return {"seconds": found["seconds"] * share, "cpu": found["cpu"] * share}

    # -- the peers --

    def tool(self, source, command, options=""):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d%s" % (room(source), options), "none", self.target], check=True)
        result = run_timed(command)
        return self.judged(result, source)

    def judged(self, result, source):
        result["cached"] = source.cached()
        huge = huge_share(self.target)
        if huge is not None:
            result["huge"] = huge
        return result

    def rsync(self, source):
        return self.tool(source, ["rsync", "-a", "--inplace", source.path + "/", self.target + "/"])

    def cp(self, source):
        return self.tool(source, ["cp", "-a", source.path + "/.", self.target + "/"])

    def cp2m(self, source):
        return self.tool(source, ["cp", "-a", source.path + "/.", self.target + "/"], ",huge=always")

    def cpsum(self, source):
        return self.tool(source, ["sh", "-ec", COPY_AND_CHECK, "sh", source.path, self.target, os.path.join(self.work, "sums")])

    def vmtouch(self, source):
        """Copies nothing: what it does is that the page cache is full."""
        result = run_timed(["vmtouch", "-q", "-t", "-m", "1024G", source.path])
        result["cached"] = source.cached()
        return result

    # -- shmstaged --

    def state(self):
        return os.path.join(self.work, "state")

    def daemon(self, source, more="", judge=None):
        with Daemon(self.work, self.state(), source, self.target, more) as daemon:
            result = self.judged(daemon.result, source)
            if judge:
                wrong = judge(source, self.target)
                result["wrong"] = wrong and wrong + "; the daemon logged:\n" + read(daemon.log)[-2000:]
        return result

    def first(self, source, judge=None):
        shutil.rmtree(self.state(), ignore_errors=True)
        os.mkdir(self.state())
        return self.daemon(source, judge=judge)

    def again(self, source, judge=None):
        """The mirror is a new one, but the digests of the run before are on record."""
        return self.daemon(source, judge=judge)

    def sendfile(self, source, judge=None):
        return self.daemon(source, "CopyMethod=sendfile\n", judge)
