#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How long GetStatus takes over the control socket: at rest, while large files are staged, and while many small files appear at once.

One client calls it repeatedly, a hundred times a second, over a connection that it keeps; the numbers are milliseconds from the call to its answer.
The source lies on the disk of --work, the mirror in a tmpfs in a mount namespace of our own; nothing is left behind. The exit status is
1 if the slowest hundredth takes longer than --limit, 2 if it cannot run.
"""

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../system"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import peer  # noqa: E402
import restart  # noqa: E402

MIB = 1 << 20
PAUSE = 0.01


class Clock:
    """Calls it until it is to stop."""

    def __init__(self, path):
        self.client = peer.Peer(path)
        self.times, self.stopped = [], threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stopped.wait(PAUSE):
            begin = time.monotonic()
            if self.client.call("GetStatus").type != peer.RETURN:
                raise SystemExit("GetStatus has failed")
            self.times.append(1000 * (time.monotonic() - begin))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *reason):
        self.stopped.set()
        self.thread.join()
        self.client.close()

    def result(self):
        times = sorted(self.times)
        if not times:
            raise restart.CannotRun("it was over before the first question")
        return {"n": len(times), "p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100], "max": times[-1]}


def wait_for(predicate, what, timeout=restart.TIMEOUT):
    end = time.monotonic() + timeout
    while not predicate():
        if time.monotonic() > end:
            raise restart.CannotRun("not in time: " + what)
        time.sleep(0.05)


def property_of(path, name):
    out = peer.busctl("unix:path=" + path, "get-property", "io.shmstaged", peer.PATH, peer.INTERFACE, name)
    return json.loads(out)["data"]


def measure(work, source, size, n_files, on_result):
    control, target, config = (os.path.join(work, name) for name in ("run/control", "target", "conf"))
    with open(config, "w") as f:
        f.write("[Mirror m]\nSource=%s\nTarget=%s\nSize=%d\nSettleTime=0\n" % (source, target, size + n_files * 8192 + 256 * MIB))
    for i in range(4):
        with open(os.path.join(source, "large-%d" % i), "wb") as f:
            block = os.urandom(16 * MIB)
            for _ in range(size // 4 // len(block)):
                f.write(block)
    os.sync()
    run = restart.Run(work, config)
    try:
        wait_for(lambda: os.path.exists(control), "the control socket")
        with Clock(control) as clock:
            run.wait_ready()
        on_result("staging", clock.result())
        with Clock(control) as clock:
            time.sleep(5)
        on_result("rest", clock.result())
        with Clock(control) as clock:
            for i in range(n_files):
                directory = os.path.join(source, "small-%d" % (i // restart.PER_DIRECTORY))
                if i % restart.PER_DIRECTORY == 0:
                    os.mkdir(directory)
                with open(os.path.join(directory, str(i)), "wb") as f:
                    f.write(b"x" * 100)
            wait_for(lambda: property_of(control, "Files") == n_files + 4, "all small files")
        on_result("burst", clock.result())
    finally:
        run.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", default="/var/tmp", help="a directory on a disk with room for the source")
    parser.add_argument("--size", type=int, default=4096, help="MiB of large files")
    parser.add_argument("--files", type=int, default=50000, help="small files of the burst")
    parser.add_argument("--limit", type=float, default=50, help="milliseconds that 99 of 100 answers may take")
    options = parser.parse_args()
    if ctypes.CDLL(None).unshare(0x00020000) != 0:
        raise restart.CannotRun("it needs root")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    source = tempfile.mkdtemp(prefix="shmstaged-bench-", dir=options.work)
    work = tempfile.mkdtemp(prefix="shmstaged-bench-")
    slow = []

    def on_result(name, result):
        slow.extend([name] if result["p99"] > options.limit else [])
        print("%-8s %6d calls: p50 %7.2f ms, p99 %7.2f ms, max %7.2f ms" % (name, result["n"], result["p50"], result["p99"], result["max"]), flush=True)
    try:
        os.mkdir(os.path.join(work, "target"))
        os.mkdir(os.path.join(work, "state"))
        measure(work, source, options.size * MIB, options.files, on_result)
    finally:
        shutil.rmtree(source)
        subprocess.run(["umount", "-l", os.path.join(work, "target")], stderr=subprocess.DEVNULL)
        shutil.rmtree(work)
    if slow:
        print("slower than %g ms: %s" % (options.limit, ", ".join(slow)))
    return 1 if slow else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except restart.CannotRun as error:
        print(error, file=sys.stderr)
        sys.exit(2)
