# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job, for a person to see. demo.sh has built what is needed."""

import argparse
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

here = os.path.dirname(os.path.abspath(__file__))


def say(text=""):
    print(text, flush=True)


def step(text):
    say("\n== " + text)


def run(*command, **options):
    return subprocess.run(command, check=True, text=True, **options)


class Daemon:
    """shmstaged in the foreground; its notifications to the service manager are read here."""

    def __init__(self, program, work):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(os.path.join(work, "notify"))
        environment = dict(os.environ, NOTIFY_SOCKET=os.path.join(work, "notify"), STATE_DIRECTORY=os.path.join(work, "state"),
                           RUNTIME_DIRECTORY=os.path.join(work, "run"))
        environment.pop("INVOCATION_ID", None)
        self.begun = time.monotonic()
        self.process = subprocess.Popen([program, "--config=" + os.path.join(work, "shmstaged.conf")], env=environment)
        self.status = ""

    def wait(self, wanted):
        """Prints the status as it changes, until @wanted has been sent. Returns the seconds since the start."""
        while True:
            if select.select([self.socket], [], [], 0.1)[0]:
                text = self.socket.recv(65536).decode(errors="replace")
                for line in text.splitlines():
                    if line.startswith("STATUS=") and not sys.stderr.isatty():
                        say("   " + line[7:])
                    if line.startswith("STATUS="):
                        self.status = line[7:]
                    if line == wanted:
                        return time.monotonic() - self.begun
            elif self.process.poll() is not None:
                sys.exit("The daemon ended with status %d before it was ready" % self.process.returncode)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=120)


def drop_cache(path):
    with open(path, "rb") as f:
        os.fsync(f.fileno())
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def show(options, work):
    source, state = os.path.join(work, "models"), os.path.join(work, "state")
    target = "/dev/shm/shmstaged-demo"
    model = os.path.join(source, "sample.gguf")
    os.mkdir(source)
    os.mkdir(state)

    step("A sample model: llama architecture, random weights")
    run(options.make_gguf, "--size=" + options.size, "--output=" + model)
    size = os.stat(model).st_size
    drop_cache(model)
    say("%s, %.0f MiB, not in the page cache" % (model, size / 2**20))

    step("The configuration")
    with open(os.path.join(work, "shmstaged.conf"), "w", encoding="utf-8") as f:
        f.write("[Mirror demo]\nSource=%s\nTarget=%s\nSize=%d\n" % (source, target, size + 2**26))
    say(open(f.name, encoding="utf-8").read())

    step("Does it fit?  (shmstaged --plan)")
    run(options.daemon, "--plan", "--config=" + f.name, env=dict(os.environ, STATE_DIRECTORY=state))

    step("Stage it into a tmpfs of its own")
    daemon = Daemon(options.daemon, work)
    try:
        seconds = daemon.wait("READY=1")
        say("READY=1 after %.2f s: %.1f GiB/s from the start of the program, both sides digested on the way" % (
            seconds, size / seconds / 2**30))
        pages = re.search(r"2 MiB pages: \d+%", daemon.status)
        say(pages.group(0) if pages else "2 MiB pages: this kernel gives none")

        step("Check the mirror without the daemon  (xxh128sum -c)")
        run("xxh128sum", "-c", os.path.join(state, "demo.xxh128"), cwd=target, stderr=subprocess.DEVNULL)

        step("A real engine: llama.cpp loads the copy in RAM and generates")
        done = run("node", os.path.join(here, "engine/generate.mjs"), "--engine=" + options.engine,
                   os.path.join(target, "sample.gguf"), stdout=subprocess.PIPE)
        result = json.loads(done.stdout)
        say("%d tokens from %s, loaded in %d ms, mapped: %s" % (result["tokens"], result["loaded"], result["load_ms"], result["mapped"]))

        step("Stop it")
        status = daemon.stop()
    finally:
        if daemon.process.poll() is None:
            daemon.stop()
    left = os.path.lexists(target)
    say("exit status %d; %s: %s; the original: %s" % (
        status, target, "STILL THERE" if left else "gone, mount and files", "untouched" if os.path.exists(model) else "GONE"))
    return 1 if left or status != 0 else 0


def main():
    parser = argparse.ArgumentParser()
    for name in ("daemon", "make-gguf", "engine"):
        parser.add_argument("--" + name, required=True, type=os.path.abspath)
    parser.add_argument("--size", default="600M")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("The demo mounts a tmpfs: run it as root")
    work = tempfile.mkdtemp(prefix="shmstaged-demo-", dir="/var/tmp")
    try:
        sys.exit(show(options, work))
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
