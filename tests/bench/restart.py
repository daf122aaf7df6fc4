#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a restart takes that finds its mirror unchanged, what it reads, and what memory each file costs.

For each number of files: staged from nothing ("first"), killed when it had come to rest and started again ("restart"), and after an
unmount, as after a reboot, with the digests on record ("again"). Time is from exec to READY=1; "read" is all that read(2) and its like
returned, the state file included; memory is the peak and what is kept at rest, less that of a mirror of one file, for each file. At rest
no thread may wake up for ten seconds.

Everything lies in a tmpfs in a mount namespace of our own; nothing is left behind. The exit status is 1 if a bound is broken, 2 if it
cannot run.
"""

import argparse
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

DAEMON = os.environ.get("SHMSTAGED", "/usr/sbin/shmstaged")
FILE_BYTES = 2048
PER_DIRECTORY = 200
TIMEOUT = 600

SECONDS_MAX = 1.0    # for 10 000 files, of a restart
PEAK_MAX = 700       # bytes for each file
REST_MAX = 450


class CannotRun(Exception):
    pass


class Run:
    """One daemon, from exec to its end. Its notifications are taken at once, because a full queue would hold it."""

    def __init__(self, work, config):
        self.ready = None
        self.seen = threading.Event()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = os.path.join(work, "notify")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self.socket.bind(path)
        threading.Thread(target=self.listen, daemon=True).start()
        environment = {**os.environ, "NOTIFY_SOCKET": path, "STATE_DIRECTORY": os.path.join(work, "state"),
                       "RUNTIME_DIRECTORY": os.path.join(work, "run")}
        for name in ("INVOCATION_ID", "JOURNAL_STREAM", "WATCHDOG_USEC"):
            environment.pop(name, None)
        self.log = os.path.join(work, "log")
        with open(self.log, "wb") as log:
            self.start = time.monotonic()
            self.process = subprocess.Popen([DAEMON, "--config=" + config], env=environment, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)

    def listen(self):
        while True:
            if b"READY=1" in self.socket.recv(65536).splitlines() and self.ready is None:
                self.ready = time.monotonic() - self.start
                self.seen.set()

    def wait_ready(self):
        end = time.monotonic() + TIMEOUT
        while not self.seen.wait(0.1):
            if self.process.poll() is not None or time.monotonic() > end:
                with open(self.log, errors="replace") as f:
                    raise CannotRun("the daemon was not ready:\n" + f.read()[-2000:])

    def numbers(self, name):
        """The lines "key: number" of a file of /proc/PID."""
        with open("/proc/%d/%s" % (self.process.pid, name)) as f:
            words = [line.split() for line in f]
        return {w[0].rstrip(":"): int(w[1]) for w in words if len(w) > 1 and w[1].isdigit()}

    def switches(self):
        found = {}
        for task in os.listdir("/proc/%d/task" % self.process.pid):
            n = self.numbers("task/%s/status" % task)
            found[task] = n["voluntary_ctxt_switches"] + n["nonvoluntary_ctxt_switches"]
        return found

    def wait_rest(self):
        """Until no thread has moved for a second."""
        before = None
        for _ in range(120):
            now = self.switches()
            if now == before:
                return
            before = now
            time.sleep(1)
        raise CannotRun("the daemon does not come to rest")

    def end(self):
        self.process.kill()
        self.process.wait()


def measure(work, config, idle):
    run = Run(work, config)
    try:
        run.wait_ready()
        read = run.numbers("io")["rchar"]
        run.wait_rest()
        status, woken = run.numbers("status"), 0
        if idle:
            before = run.switches()
            time.sleep(10)
            after = run.switches()
            woken = sum(after[task] - before.get(task, 0) for task in after)
        return {"seconds": run.ready, "read": read, "peak": status["VmHWM"] * 1024, "rest": status["VmRSS"] * 1024, "woken": woken}
    finally:
        run.end()


def make_tree(source, n):
    for i in range(n):
        directory = os.path.join(source, "model-%04d" % (i // PER_DIRECTORY))
        if i % PER_DIRECTORY == 0:
            os.mkdir(directory)
        with open(os.path.join(directory, "part-of-model-%07d.json" % i), "wb") as f:
            f.write(b"%-*d" % (FILE_BYTES, i))


def rounds(work, n):
    """Name -> what was measured."""
    paths = {name: os.path.join(work, name) for name in ("source", "target", "state")}
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80%,nr_inodes=0", "none", work], check=True)
    try:
        for path in paths.values():
            os.mkdir(path)
        make_tree(paths["source"], n)
        config = os.path.join(work, "conf")
        with open(config, "w") as f:
            f.write("[Daemon]\nReserveMemory=0\n[Mirror m]\nSource=%s\nTarget=%s\nSize=%d\n" % (
                paths["source"], paths["target"], n * (FILE_BYTES + 4096) + (64 << 20)))
        found = {"first": measure(work, config, False), "restart": measure(work, config, True)}
        subprocess.run(["umount", paths["target"]], check=True)
        found["again"] = measure(work, config, False)
        return found
    finally:
        subprocess.run(["umount", "-R", "-l", work], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[10000, 50000, 100000], help="how many files, one round for each")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x00020000) != 0:  # CLONE_NEWNS
        raise CannotRun("this needs root")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    results, broken = {}, []
    with tempfile.TemporaryDirectory(prefix="shmstaged-bench-") as work:
        nothing = rounds(work, 1)
        for n in options.files:
            results[n] = rounds(work, n)
            for name, m in results[n].items():
                for key in ("peak", "rest"):
                    m[key + "_per_file"] = (m[key] - nothing[name][key]) / n
                if not options.json:
                    print("%7d files, %-8s %7.3f s (%.3f s per 10 000), %6.1f MB read" % (
                        n, name + ":", m["seconds"], m["seconds"] * 10000 / n, m["read"] / 1e6), end="")
                    print(", peak %5.1f MB (%3.0f bytes a file), at rest %5.1f MB (%3.0f)" % (
                        m["peak"] / 1e6, m["peak_per_file"], m["rest"] / 1e6, m["rest_per_file"]), end="")
                    print(", woken %d times in 10 s" % m["woken"] if name == "restart" else "", flush=True)
            restart = results[n]["restart"]
            for what, value, bound in (("seconds for 10 000 files", restart["seconds"] * 10000 / n, SECONDS_MAX),
                                       ("bytes for each file at the peak", restart["peak_per_file"], PEAK_MAX),
                                       ("bytes for each file at rest", restart["rest_per_file"], REST_MAX),
                                       ("wake-ups at rest", restart["woken"], 0)):
                if value > bound:
                    broken.append("%d files: %.3g %s, more than %g" % (n, value, what, bound))
    if options.json:
        print(json.dumps(results))
    for sentence in broken:
        print(sentence, file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    try:
        sys.exit(main())
    except CannotRun as e:
        print("restart.py: %s" % e, file=sys.stderr)
        sys.exit(2)
