# SPDX-License-Identifier: GPL-2.0-or-later
"""What the process-level tests share: scratch trees, and the real daemon run by hand.

A test class derives from Case. Everything it makes lies below self.work, a tmpfs of its own in a private mount namespace
(the whole test program enters one), so mounts and files vanish with it, whatever happens.
"""

import contextlib
import ctypes
import os
import re
import select
import signal
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import mapped

DAEMON = os.environ.get("SHMSTAGED", "/usr/sbin/shmstaged")
# The filesystem of coarsefs.c. meson gives it as an argument, because of what it makes of programs that are given otherwise.
COARSEFS = os.environ.get("COARSEFS", os.path.join(os.path.dirname(DAEMON), "../tests/coarsefs"))
if sys.argv[1:] and os.path.basename(sys.argv[1]) == "coarsefs.run":
    COARSEFS = os.environ["COARSEFS"] = os.path.abspath(sys.argv.pop(1))
# How patient the tests are: what bounds a wait for something that will come is multiplied by it. Nothing takes longer for that when all goes well.
LONG = float(os.environ.get("SHMSTAGED_TEST_PATIENCE", "1"))

CLONE_NEWNS = 0x00020000


def enter_namespace():
    """A mount namespace of our own: what a test mounts is invisible to other processes and ends with this one."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare: these tests need root")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def is_sanitized(program):
    """Sanitizers make a program slow, and take memory of their own."""
    with open(program, "rb") as f:
        return re.search(rb"__(asan|tsan)_init", f.read()) is not None


class Inotify:
    """What happens in directories, as the kernel reports it."""

    MODIFY, ATTRIB, CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x2, 0x4, 0x8, 0x40, 0x80, 0x100, 0x200
    ISDIR, OVERFLOW = 0x40000000, 0x4000

    def __init__(self):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self.libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.paths = {}

    def add(self, path):
        wd = self.libc.inotify_add_watch(self.fd, os.fsencode(path), 0x3ce)
        if wd < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch", path)
        self.paths[wd] = path

    def read(self, timeout=0):
        """What has happened since: (mask, path) in order."""
        events = []
        while select.select([self.fd], [], [], timeout)[0]:
            timeout = 0
            data, at = os.read(self.fd, 1 << 20), 0
            while at < len(data):
                wd, mask, _, length = struct.unpack_from("iIII", data, at)
                name = os.fsdecode(data[at + 16:at + 16 + length].rstrip(b"\0"))
                at += 16 + length
                if mask & self.OVERFLOW:
                    raise AssertionError("inotify has lost events")
                if wd in self.paths:
                    events.append((mask, os.path.join(self.paths[wd], name)))
        return events

    def close(self):
        os.close(self.fd)


class Daemon:
    """One run of shmstaged. Its notifications are gathered in .messages, its log in .log()."""

    def __init__(self, case, config, args=(), env=None, wrapper=(), user=None, traced=False, measured=False):
        self.case = case
        self.messages = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = os.path.join(case.work, "notify-%d" % case.count())
        self.socket.bind(path)
        os.chmod(path, 0o777)
        self.log_path = os.path.join(case.work, "log-%d" % case.count())
        self.log_file = open(self.log_path, "wb")
        environment = {**os.environ, "NOTIFY_SOCKET": path, "STATE_DIRECTORY": case.state,
                       "RUNTIME_DIRECTORY": case.runtime, **(env or {})}
        for name in ("INVOCATION_ID", "JOURNAL_STREAM"):
            environment.pop(name, None)
        if measured:  # meson has malloc() write over all that it gives, which takes memory that is not used
            for name in [name for name in environment if name.startswith(("MALLOC_", "GLIBC_TUNABLES"))]:
                del environment[name]
        if traced:  # leaks cannot be detected in a traced process
            environment["ASAN_OPTIONS"] = environment.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        command = [*wrapper, DAEMON, "--config=" + config, "--log-level=debug", *args]
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=self.log_file,
                                        stderr=self.log_file, user=user, start_new_session=True)
        case.daemons.append(self)

    @property
    def pid(self):
        return self.process.pid

    def pump(self, timeout=0):
        """Takes the notifications that are there; each is a dict."""
        while select.select([self.socket], [], [], timeout)[0]:
            timeout = 0
            text = self.socket.recv(65536).decode(errors="surrogateescape")
            message = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
            message["at"] = time.monotonic()
            self.messages.append(message)

    def wait(self, predicate, what, timeout=30):
        """Waits until predicate() is true; fails with the log if the daemon ends or time runs out."""
        end = time.monotonic() + timeout * LONG
        while True:
            self.pump(0.02)
            if predicate():
                return
            if self.process.poll() is not None:
                self.pump()
                if predicate():
                    return
                raise AssertionError("the daemon ended with %s while waiting for %s:\n%s" % (
                    self.process.returncode, what, self.log()))
            if time.monotonic() > end:
                raise AssertionError("timeout while waiting for %s; status %r\n%s" % (what, self.status(), self.log()))

    def notified(self, key, value=None):
        return any(key in m and (value is None or m[key] == value) for m in self.messages)

    def wait_ready(self, timeout=60):
        self.wait(lambda: self.notified("READY", "1"), "READY=1", timeout)
        return self

    def count(self, key, value=None):
        return sum(key in m and (value is None or m[key] == value) for m in self.messages)

    def statuses(self):
        """All STATUS= so far, in order."""
        self.pump()
        return [m["STATUS"] for m in self.messages if "STATUS" in m]

    def listen(self, seconds):
        """Lets time pass, and takes the daemon's notifications meanwhile."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.pump(max(0, min(0.05, end - time.monotonic())))

    def wait_log(self, pattern, timeout=30):
        self.wait(lambda: re.search(pattern, self.log()), "log line /%s/" % pattern, timeout)

    def wait_status(self, pattern, timeout=30):
        self.wait(lambda: re.search(pattern, self.status() or ""), "status /%s/" % pattern, timeout)

    def status(self):
        self.pump()
        for message in reversed(self.messages):
            if "STATUS" in message:
                return message["STATUS"]
        return None

    def log(self):
        with open(self.log_path, errors="surrogateescape") as f:
            return f.read()

    def signal(self, number):
        self.process.send_signal(number)

    def freeze(self):
        """SIGSTOP, and no thread of it runs any more: until the one that takes the signal gets a processor, the others go on."""
        self.signal(signal.SIGSTOP)

        def is_frozen():
            tasks = "/proc/%d/task" % self.pid
            return all(self.case.read(os.path.join(tasks, task, "stat")).rsplit(b")", 1)[1].split()[0] in b"Tt" for task in os.listdir(tasks))
        self.case.wait_until(is_frozen, "all threads to stand still")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def join(self, timeout=60):
        """Waits for the end and returns the exit status."""
        end = time.monotonic() + timeout * LONG
        while self.process.poll() is None:
            self.pump(0.02)
            if time.monotonic() > end:
                raise AssertionError("the daemon did not end; status %r\n%s" % (self.status(), self.log()))
        self.pump()
        return self.process.returncode

    def stop(self, expect=0, timeout=60):
        self.signal(signal.SIGTERM)
        status = self.join(timeout)
        self.case.assertEqual(status, expect, self.log())
        return self

    def close(self):
        """The whole session, because a daemon that is traced outlives its tracer."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.socket.close()
        self.log_file.close()


class Case(unittest.TestCase):
    work_size = "3g"

    def setUp(self):
        self.counter = 0
        self.daemons = []
        self.work = tempfile.mkdtemp(prefix="shmstaged-test-")
        self.addCleanup(self._clean_up)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + self.work_size, "none", self.work], check=True)
        os.chmod(self.work, 0o755)
        self.source = self.path("source")
        self.target = self.path("target")
        self.state = self.path("state")
        self.runtime = self.path("run")
        os.mkdir(self.source)
        os.mkdir(self.state)
        os.mkdir(self.runtime)
        os.chmod(self.runtime, 0o777)  # some daemons here are an ordinary user's

    def _clean_up(self):
        for daemon in self.daemons:
            daemon.close()
        subprocess.run(["umount", "-R", "-l", self.work], check=True)
        os.rmdir(self.work)

    def count(self):
        self.counter += 1
        return self.counter

    def path(self, *parts):
        return os.path.join(self.work, *parts)

    def switches(self, daemon):
        """Per thread: how often it was woken up. (A further thread with the name of the program is a sanitizer's.)"""
        found = {}
        for task in os.listdir("/proc/%d/task" % daemon.pid):
            text = self.read("/proc/%d/task/%s/status" % (daemon.pid, task)).decode()
            if int(task) == daemon.pid or "Name:\tshmstaged" not in text:
                found[task] = re.findall(r"ctxt_switches:\s+(\d+)", text)
        return found

    def wait_for_rest(self, state, seconds, what, daemon, timeout=30):
        """Waits until state() returns the same after so many seconds as before: on a busy machine some of what went before may still come. Returns that."""
        end = time.monotonic() + seconds + timeout * LONG
        while True:
            before = state()
            daemon.listen(seconds)
            after = state()
            if after == before:
                return after
            self.assertLess(time.monotonic(), end, "%s, again and again: %r, then %r\n%s" % (what, before, after, daemon.log()))

    def assert_sleeps(self, daemon, seconds=3):
        """No thread of it wakes up."""
        self.assertGreater(len(self.switches(daemon)), 2)
        self.wait_for_rest(lambda: self.switches(daemon), seconds, "it wakes up", daemon)

    def config(self, text=None, **keys):
        """Writes a configuration; without text one mirror named "m" from self.source to self.target, with more keys."""
        if text is None:
            values = {"Source": self.source, "Target": self.target, "Size": "1G", "SettleTime": "200ms", **keys}
            text = "[Mirror m]\n" + "".join("%s=%s\n" % item for item in values.items())
        path = self.path("conf-%d" % self.count())
        with open(path, "w", errors="surrogateescape") as f:
            f.write(text)
        return path

    def daemon(self, config=None, **options):
        time.sleep(0.02)  # what is younger than a tick of the kernel's clock proves nothing, and is looked at twice
        return Daemon(self, config or self.config(), **options)

    def ready(self, config=None, **options):
        return self.daemon(config, **options).wait_ready()

    def refused(self, config=None, **options):
        """Runs a daemon that must end with status 1 and give the reason in the journal, once, and in the status. Returns the sentence."""
        daemon = self.daemon(config, **options)
        self.assertEqual(daemon.join(), 1, daemon.log())
        self.assertFalse(daemon.notified("READY"))
        failures = re.findall(r"^Error: Mirror '[^']*' failed\. (.*)$", daemon.log(), re.M)
        self.assertEqual(len(failures), 1, daemon.log())
        self.assertEqual(daemon.status(), "Failed: " + failures[0])
        self.assertNotRegex(daemon.log(), "Sanitizer|runtime error")
        return failures[0]

    def run_tool(self, *args, config=None, expect=None):
        """shmstaged for a moment (--plan, --check-config): the finished process, output as text."""
        done = subprocess.run([DAEMON, *(["--config=" + config] if config else []), *args], capture_output=True, text=True,
                              errors="surrogateescape", env=dict(os.environ, STATE_DIRECTORY=self.state), timeout=60 * LONG)
        if expect is not None:
            self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def write(self, name, content=None, size=None, root=None):
        """A file below the source, with random bytes if only a size is given."""
        path = os.path.join(root or self.source, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            if content is not None:
                f.write(content if isinstance(content, bytes) else content.encode())
            else:
                while size > 0:
                    f.write(os.urandom(min(size, 1 << 20)))
                    size -= min(size, 1 << 20)
        return path

    def age(self, root=None):
        """Waits until the files of the source are old enough for their times to prove that they are the same ones."""
        ctimes = [os.lstat(os.path.join(directory, name)).st_ctime_ns for directory, _, names in os.walk(root or self.source) for name in names]
        coarse = any(ctime % 10**9 == 0 for ctime in ctimes)
        time.sleep(max(0, max(ctimes, default=0) / 1e9 + (2.1 if coarse else 0.1) - time.time()))

    def mirrored(self, name):
        return os.path.join(self.target, name)

    def read(self, path):
        with open(path, "rb") as f:
            return f.read()

    def assert_same_file(self, name):
        """Content, mode, owner and nanosecond mtime are those of the source's file."""
        a, b = os.path.join(self.source, name), self.mirrored(name)
        sa, sb = os.lstat(a), os.lstat(b)
        self.assertEqual((sa.st_size, sa.st_mode, sa.st_uid, sa.st_gid, sa.st_mtime_ns),
                         (sb.st_size, sb.st_mode, sb.st_uid, sb.st_gid, sb.st_mtime_ns), name)
        with open(a, "rb") as fa, open(b, "rb") as fb:
            while True:
                x, y = fa.read(1 << 20), fb.read(1 << 20)
                self.assertEqual(x, y, name)
                if not x:
                    break

    def inode(self, name):
        return os.lstat(self.mirrored(name)).st_ino

    def names(self, root=None):
        """All paths below a directory (the mirror), without our private directory."""
        root = root or self.target
        found = set()
        for directory, directories, files in os.walk(root):
            if directory == root and ".shmstaged" in directories:
                directories.remove(".shmstaged")
            found.update(os.path.relpath(os.path.join(directory, name), root) for name in directories + files)
        return found

    def flip(self, path, offset=0):
        """Another byte at the offset; size and mtime stay as they were."""
        before = os.stat(path)
        with open(path, "r+b") as f:
            f.seek(offset)
            byte = f.read(1)[0]
            f.seek(offset)
            f.write(bytes([byte ^ 0x55]))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def rot(self, path, offset=0):
        """Another byte at the offset, as a faulty disk has it: inode, size and times stay as they were, and nobody reports a write. The file is on the
        test's own tmpfs, where a store through a mapping leaves no trace; it stays mapped, because the end of that would be reported."""
        with open(path, "rb") as f:
            byte = f.read()[offset]
        mapping = mapped.Mapping(os.open(path, os.O_RDWR))
        self.addCleanup(mapping.close)
        before = os.stat(path)
        mapping.store(offset, bytes([byte ^ 0x55]))
        after = os.stat(path)
        self.assertEqual((before.st_mtime_ns, before.st_ctime_ns), (after.st_mtime_ns, after.st_ctime_ns), "the store has left a trace")

    def digest(self, path):
        """XXH3-128 as xxh128sum computes it."""
        with open(path, "rb") as f:
            return subprocess.run(["xxh128sum"], stdin=f, capture_output=True, text=True, check=True).stdout.split()[0]

    def wait_until(self, predicate, what, daemon=None, timeout=30):
        """Waits until predicate() is true; the daemon's notifications are taken meanwhile."""
        end = time.monotonic() + timeout * LONG
        while not predicate():
            if time.monotonic() > end:
                self.fail("timeout while waiting for %s%s" % (what, ":\n" + daemon.log() if daemon else ""))
            if daemon:
                daemon.pump(0.02)
            else:
                time.sleep(0.02)

    def is_same_file(self, name):
        try:
            self.assert_same_file(name)
        except (AssertionError, FileNotFoundError):
            return False
        return True

    def wait_same_file(self, name, daemon):
        """Waits until the mirror has the source's file, with all that assert_same_file() asks for."""
        self.wait_until(lambda: self.is_same_file(name), "'%s' in the mirror as it is on disk" % name, daemon)

    def disk(self):
        """A directory that is not on a tmpfs, because some things only a disk filesystem can show."""
        for parent in ("/var/tmp", "/tmp", os.getcwd()):
            kind = subprocess.run(["stat", "-f", "-c", "%T", parent], capture_output=True, text=True, check=True).stdout.strip()
            if kind not in ("tmpfs", "ramfs", "overlayfs"):
                path = tempfile.mkdtemp(prefix="shmstaged-test-", dir=parent)
                self.addCleanup(shutil.rmtree, path)
                return path
        self.fail("no directory on a disk filesystem")

    def ext4(self, size=8 << 20, *options):
        """An ext4 of its own on a loop device, made with these options and mounted. Returns its directory and the file behind it, which may be
        truncated: what lies behind its end cannot be read then."""
        number = self.count()
        image, path = self.path("ext4-%d.image" % number), self.path("ext4-%d" % number)
        with open(image, "wb") as f:
            f.truncate(size)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", *options, image], check=True)
        os.mkdir(path)
        subprocess.run(["mount", "-o", "loop", image, path], check=True)
        os.rmdir(os.path.join(path, "lost+found"))
        return path, image

    def bindfs(self, source, *options):
        """The directory once more, through FUSE: a source that can be slow (--read-rate=), or hang (SIGSTOP to the
        process). Returns path and process."""
        return self.fuse("bindfs", "-f", *options, source)

    def coarsefs(self, source, *options):
        """The directory once more, through a filesystem that knows less of its files: see coarsefs.c. Returns path and process."""
        return self.fuse(COARSEFS, *options, source)

    def fuse(self, program, *arguments):
        path = self.path("fuse-%d" % self.count())
        os.mkdir(path)
        process = subprocess.Popen([program, *arguments, path], stdin=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.wait_until(lambda: os.path.ismount(path) or process.poll() is not None, program)
        self.assertIsNone(process.poll(), "%s did not start" % program)
        return path, process

    def strace(self, pid, *options):
        """Attaches strace(1) to all threads of a daemon started with traced=True, to make its system calls slow or fail."""
        log = self.path("strace-%d" % self.count())
        process = subprocess.Popen(["strace", "-f", "-o", log, *options, "-p", str(pid)], stdin=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

        def attached():
            return all("TracerPid:\t0" not in self.read("/proc/%d/task/%s/status" % (pid, task)).decode()
                       for task in os.listdir("/proc/%d/task" % pid))
        self.wait_until(lambda: attached() or process.poll() is not None, "strace to attach")
        self.assertIsNone(process.poll(), "strace did not attach: %s" % (process.poll() and process.stderr.read()))
        return process

    def assert_gone(self):
        """Nothing of the mirror is left: no mount, no file."""
        self.assertFalse(os.path.ismount(self.target), "still mounted")
        if os.path.isdir(self.target):
            self.assertEqual(os.listdir(self.target), [])

    def stop_traced(self, daemon):
        """Stops a daemon that runs below a tracer, which ends with it."""
        with open("/proc/%d/task/%d/children" % (daemon.pid, daemon.pid)) as f:
            os.kill(int(f.read().split()[0]), signal.SIGTERM)
        self.assertEqual(daemon.join(), 0, daemon.log())

    @staticmethod
    def fill_event_queue(names):
        """More events than the kernel keeps while none is read, of files that are made for it and stay."""
        for name in names:
            with contextlib.suppress(OSError), open(name, "x"):
                pass
        with open("/proc/sys/fs/inotify/max_queued_events") as f:
            n = int(f.read())
        for i in range(n // 2 + 100):
            for name in names:
                with contextlib.suppress(OSError):
                    os.chmod(name, 0o600 + i % 2)

    def xxh128sum(self):
        """Runs xxh128sum -c on the manifest inside the mirror."""
        return subprocess.run(["xxh128sum", "-c", "--quiet", os.path.join(self.state, "m.xxh128")], cwd=self.target,
                              capture_output=True, text=True, errors="surrogateescape")


def list_tests(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from list_tests(test)
        else:
            yield test.id().split(".", 1)[1]


def run_in_parallel(jobs):
    names = list(list_tests(unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])))
    shares = [[sys.executable, sys.argv[0], *sys.argv[1:], *names[i::jobs]] for i in range(min(jobs, len(names)))]
    with contextlib.ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in shares]
        runs = [subprocess.Popen(share, stdout=output, stderr=output) for share, output in zip(shares, outputs)]
        failed = sum(run.wait() != 0 for run in runs)
        for output in outputs:
            output.seek(0)
            shutil.copyfileobj(output, sys.stdout.buffer)
    return 1 if failed or not names else 0


def main(jobs=1):
    """Runs the tests of the program. With jobs, which is for tests that mostly wait, so many processes share them, unless some are named."""
    if jobs > 1 and all(argument.startswith("-") for argument in sys.argv[1:]):
        sys.exit(run_in_parallel(jobs))
    enter_namespace()
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]])
