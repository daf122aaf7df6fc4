# SPDX-License-Identifier: GPL-2.0-or-later
"""Holds a running program at each system call with which it changes one directory tree, with ptrace(2).

strace(1) can kill or fail the n-th call of one kind of one thread; here all kinds and all threads are counted together, in the order in which
they come, and the tracer can inspect the tree while nothing moves. The tracer is a process of its own (a thread of the kernel is traced by one
other thread, and the tests must not wait for it).
"""

import contextlib
import ctypes
import os
import pathlib
import platform
import select
import signal
import struct

# name: (numbers on x86_64 and aarch64, arguments that are descriptors of what is changed)
CALLS = {
    "openat": ((257, 56), (0,)), "ftruncate": ((77, 46), (0,)), "fallocate": ((285, 47), (0,)), "write": ((1, 64), (0,)), "pwrite64": ((18, 68), (0,)),
    "copy_file_range": ((326, 285), (2,)), "sendfile": ((40, 71), (0,)), "fsync": ((74, 82), (0,)), "fdatasync": ((75, 83), (0,)),
    "fchown": ((93, 55), (0,)), "fchownat": ((260, 54), (0,)), "fchmod": ((91, 52), (0,)), "fchmodat": ((268, 53), (0,)), "fchmodat2": ((452, 452), (0,)),
    "utimensat": ((280, 88), (0,)), "fsetxattr": ((190, 7), (0,)), "renameat": ((264, 38), (0, 2)), "renameat2": ((316, 276), (0, 2)), "linkat": ((265, 37), (0, 2)),
    "unlinkat": ((263, 35), (0,)), "mkdirat": ((258, 34), (0,)), "symlinkat": ((266, 36), (1,)),
}
NUMBERS = {numbers[("x86_64", "aarch64").index(platform.machine())]: (name, fds) for name, (numbers, fds) in CALLS.items()}

DETACH, CONT_SYSCALL, SEIZE, INTERRUPT, LISTEN, GET_SYSCALL_INFO = 17, 24, 0x4206, 0x4207, 0x4208, 0x420e
SYSGOOD, TRACE_CLONE, EVENT_STOP = 1, 8, 128
WALL = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, tid, address=0, data=0):
    if libc.ptrace(request, tid, address, data) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


@contextlib.contextmanager
def thread_held(pid, name):
    """One thread of a process, which must be a child of ours, stands still; the others go on."""
    threads = {pathlib.Path("/proc/%d/task/%s/comm" % (pid, tid)).read_text().strip(): int(tid) for tid in os.listdir("/proc/%d/task" % pid)}
    ptrace(SEIZE, threads[name])
    ptrace(INTERRUPT, threads[name])
    os.waitpid(threads[name], WALL)
    try:
        yield
    finally:
        ptrace(DETACH, threads[name])


class Loop:
    """What the tracing process does."""

    def __init__(self, pid, tree, on_call):
        self.pid, self.tree, self.on_call, self.seized = pid, tree, on_call, set()

    def seize_all(self):
        while True:
            new = {int(t) for t in os.listdir("/proc/%d/task" % self.pid)} - self.seized
            if not new:
                return
            for tid in new:
                self.seized.add(tid)
                ptrace(SEIZE, tid, 0, SYSGOOD | TRACE_CLONE)
                ptrace(INTERRUPT, tid)

    def place(self, fd):
        fd = ctypes.c_int(fd & 0xffffffff).value
        try:
            return os.readlink("/proc/%d/fd/%d" % (self.pid, fd)) if fd >= 0 else ""
        except OSError:
            return ""

    def examine(self, tid):
        """At a system call: entering, and one of ours? False if it is to be held for good."""
        buffer = ctypes.create_string_buffer(96)
        ptrace(GET_SYSCALL_INFO, tid, 96, ctypes.addressof(buffer))
        if buffer.raw[0] != 1:
            return True
        number, *arguments = struct.unpack_from("=7Q", buffer.raw, 24)
        name, fds = NUMBERS.get(number, (None, ()))
        if not name or (name == "openat" and not arguments[2] & os.O_CREAT):
            return True
        for n in fds:
            place = self.place(arguments[n])
            if place == self.tree or place.startswith(self.tree + "/"):
                return self.on_call(name, place)
        return True

    def run(self, attached):
        self.seize_all()
        attached()
        while True:
            try:
                tid, status = os.waitpid(-1, WALL)
            except ChildProcessError:
                return
            if not os.WIFSTOPPED(status):
                continue
            number, event, deliver, request = os.WSTOPSIG(status), status >> 16, 0, CONT_SYSCALL
            try:
                if number == signal.SIGTRAP | 0x80:
                    if not self.examine(tid):
                        continue
                elif event == EVENT_STOP and number != signal.SIGTRAP:
                    request = LISTEN
                elif event == 0:
                    deliver = number
                ptrace(request, tid, 0, deliver)
            except OSError:
                pass  # it was killed


class Tracer:
    """next() goes on to the next call and gives its name and the directory or file; nothing of the program moves on in a system call meanwhile.
    None at the end of the program, or when nothing has come for as long as asked."""

    def __init__(self, case, pid, tree):
        self.calls, calls = os.pipe()
        goes, self.goes = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            try:
                os.close(self.calls)
                os.close(self.goes)

                def on_call(name, place):
                    os.write(calls, ("%s %s\n" % (name, place)).encode())
                    return os.read(goes, 1) == b"g"
                Loop(pid, tree, on_call).run(lambda: os.write(calls, b"attached\n"))
            finally:
                os._exit(0)
        os.close(calls)
        os.close(goes)
        self.held, self.pending = False, b""
        case.addCleanup(self.close)
        if self.wait(30) != "attached":
            raise AssertionError("cannot trace %d" % pid)
        self.held = False

    def wait(self, timeout):
        while b"\n" not in self.pending:
            if not select.select([self.calls], [], [], timeout)[0]:
                return None
            data = os.read(self.calls, 65536)
            if not data:
                return None
            self.pending += data
        line, self.pending = self.pending.split(b"\n", 1)
        self.held = True
        return os.fsdecode(line)

    def go(self, answer=b"g"):
        if self.held:
            self.held = False
            os.write(self.goes, answer)

    def hold(self):
        """The thread that came last stays where it is until close(), the others go on."""
        self.go(b"h")

    def next(self, timeout):
        self.go()
        return self.wait(timeout)

    def kill(self, daemon):
        """Before the call that it is held at; a process that waits for it would wait for the tracer."""
        daemon.signal(signal.SIGKILL)
        self.close()
        daemon.process.wait()

    def close(self):
        """The program goes on untraced, if it still lives."""
        if self.process:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
            self.process = None
            os.close(self.calls)
            os.close(self.goes)
