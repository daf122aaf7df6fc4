# SPDX-License-Identifier: GPL-2.0-or-later
"""Stores through a shared mapping, which on a tmpfs move neither mtime nor ctime: each page is read before it is written to, so that the store
does not fault. The descriptor is closed as soon as the file is mapped (Python's own mmap keeps a copy of it open).

As a program: mapped.py FILE maps it, answers each line of its input, and ends with it. "OFFSET HEX" stores bytes, "unmap" lets go of the file."""

import ctypes
import os
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
READ_WRITE, SHARED = 3, 1


class Mapping:
    def __init__(self, fd):
        """Takes the descriptor."""
        try:
            self.size = os.fstat(fd).st_size
            self.address = libc.mmap(None, self.size, READ_WRITE, SHARED, fd, 0)
            if self.address in (None, ctypes.c_void_p(-1).value):
                self.address = None
                raise OSError(ctypes.get_errno(), "mmap")
        finally:
            os.close(fd)

    def store(self, offset, data):
        if offset < 0 or offset + len(data) > self.size:
            raise ValueError
        for i, value in enumerate(data):
            byte = ctypes.c_ubyte.from_address(self.address + offset + i)
            if byte.value != value:
                byte.value = value

    def close(self):
        if self.address:
            libc.munmap(self.address, self.size)
            self.address = None


class Client:
    """A process that has a file mapped."""

    def __init__(self, case, path, **options):
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        errors="surrogateescape", **options)
        case.addCleanup(self.close)
        self.answer()

    def answer(self):
        if self.process.stdout.readline() != "done\n":
            raise AssertionError("the process that maps a file failed with %s" % self.process.wait())

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        self.answer()

    def store(self, offset, data):
        self.ask("%d %s" % (offset, data.hex()))

    def unmap(self):
        self.ask("unmap")

    def close(self):
        """The process ends, and with it the mapping."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def main(path):
    mapping = Mapping(os.open(path, os.O_RDWR))
    print("done", flush=True)
    for line in sys.stdin:
        words = line.split()
        if words == ["unmap"]:
            mapping.close()
        else:
            mapping.store(int(words[0]), bytes.fromhex(words[1]))
        print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
