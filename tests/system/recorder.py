# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk that remembers every write and every flush, in order: what a power cut leaves of it can be made from that.

The block device is a loop device, and the file behind it is served by this program through FUSE (the kernel's protocol, implemented directly): each write
that the device completes arrives here as one request, and each cache flush of the device as an fsync of that file. What was written
before the last flush is on the medium for certain; of what came after it any part may be, in any order, for a disk may keep it in its cache.
"""

import ctypes
import errno
import os
import random
import signal
import struct
import subprocess

LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE, RELEASE, FSYNC, FLUSH, INIT, INTERRUPT, BATCH_FORGET = 1, 2, 3, 4, 14, 15, 16, 18, 20, 25, 26, 36, 42
DIRECT_IO, BIG_WRITES, MAX_PAGES = 1, 1 << 5, 1 << 22
RECORD = struct.Struct("<BQI")
UNIT, SECTOR = 4096, 512


class Server:
    def __init__(self, fd, image, log, trouble):
        self.fd, self.image, self.trouble = fd, bytearray(image), trouble
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def attributes(self, node):
        mode = 0o100600 if node == 2 else 0o040700
        return struct.pack("<6Q10I", node, len(self.image) if node == 2 else 0, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def answer(self, unique, data=b"", error=0):
        os.write(self.fd, struct.pack("<IiQ", 16 + len(data), -error, unique) + data)

    def handle(self, opcode, unique, node, body):
        if opcode == INIT:
            self.answer(unique, struct.pack("<4IHHIIHHI7I", 7, 31, 1 << 20, BIG_WRITES | MAX_PAGES, 16, 12, 1 << 20, 1, 256, 0, 0, *[0] * 7))
        elif opcode == LOOKUP:
            if body.rstrip(b"\0") == b"disk":
                self.answer(unique, struct.pack("<4Q2I", 2, 0, 3600, 3600, 0, 0) + self.attributes(2))
            else:
                self.answer(unique, error=errno.ENOENT)
        elif opcode in (GETATTR, SETATTR):
            self.answer(unique, struct.pack("<Q2I", 3600, 0, 0) + self.attributes(node))
        elif opcode == OPEN:
            self.answer(unique, struct.pack("<QII", 0, DIRECT_IO, 0))
        elif opcode == READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            if os.path.exists(self.trouble):
                self.answer(unique, error=errno.EIO)
            else:
                self.answer(unique, bytes(self.image[offset:offset + size]))
        elif opcode == WRITE:
            _, offset, size = struct.unpack_from("<QQI", body)
            data = body[40:40 + size]
            os.write(self.log, RECORD.pack(0, offset, size) + data)
            self.image[offset:offset + size] = data
            self.answer(unique, struct.pack("<II", size, 0))
        elif opcode == FSYNC:
            os.write(self.log, RECORD.pack(1, 0, 0))
            self.answer(unique)
        elif opcode in (FLUSH, RELEASE):
            self.answer(unique)
        elif opcode not in (FORGET, BATCH_FORGET, INTERRUPT):
            self.answer(unique, error=errno.ENOSYS)

    def run(self):
        while True:
            try:
                request = os.read(self.fd, (1 << 20) + 65536)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                if error.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):
                    continue
                raise
            _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
            self.handle(opcode, unique, node, request[40:])


class RecordedDisk:
    """An ext4 on such a disk, mounted at .path."""

    def __init__(self, case, size=24 << 20, options="defaults"):
        self.case = case
        self.path, self.log, self.trouble = case.path("recorded"), case.path("recorded.log"), case.path("recorded.fails")
        image, place = case.path("recorded.image"), case.path("recorded.fuse")
        with open(image, "wb") as f:
            f.truncate(size)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", image], check=True)
        with open(image, "rb") as f:
            self.base = f.read()
        os.mkdir(self.path)
        os.mkdir(place)
        fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"recorder", os.fsencode(place), b"fuse", 0, b"fd=%d,rootmode=40000,user_id=0,group_id=0" % fd) != 0:
            raise OSError(ctypes.get_errno(), "mount a FUSE filesystem")
        self.server = os.fork()
        if self.server == 0:
            try:
                Server(fd, self.base, self.log, self.trouble).run()
            finally:
                os._exit(0)
        os.close(fd)
        case.addCleanup(self.close)
        self.device = subprocess.run(["losetup", "--show", "-f", os.path.join(place, "disk")], check=True, capture_output=True, text=True).stdout.strip()
        subprocess.run(["mount", "-o", options, self.device, self.path], check=True)
        os.rmdir(os.path.join(self.path, "lost+found"))

    def close(self):
        """In whatever state it is. A daemon that holds it goes first."""
        for daemon in self.case.daemons:
            daemon.close()
        if os.path.ismount(self.path):
            subprocess.run(["umount", "-R", self.path], check=False)
        if getattr(self, "device", None):
            subprocess.run(["losetup", "-d", self.device], check=False)
        os.kill(self.server, signal.SIGKILL)
        os.waitpid(self.server, 0)

    def position(self):
        """How much has been recorded."""
        return os.stat(self.log).st_size if os.path.exists(self.log) else 0

    def records(self):
        """(position after it, offset, data); of a flush, offset is None."""
        with open(self.log, "rb") as f:
            data = f.read()
        at, found = 0, []
        while at < len(data):
            flush, offset, size = RECORD.unpack_from(data, at)
            at += RECORD.size + size
            found.append((at, None if flush else offset, data[at - size:at]))
        return found


class Cuts:
    """The states that a power cut may leave, one position of the record after the other."""

    def __init__(self, disk, seed):
        self.records, self.durable, self.rng = disk.records(), bytearray(disk.base), random.Random(seed)
        self.pending = []  # after the last flush

    def advance(self, index):
        position, offset, data = self.records[index]
        if offset is None:
            for at, written in self.pending:
                self.durable[at:at + len(written)] = written
            self.pending = []
        else:
            self.pending.append((offset, data))
        return position

    def nothing_more(self):
        """Of what was not flushed nothing has arrived."""
        return self.durable

    def everything(self):
        image = bytearray(self.durable)
        for at, written in self.pending:
            image[at:at + len(written)] = written
        return image

    def some(self):
        """Any part, in any order; now and then a block has arrived in part."""
        image, pieces = bytearray(self.durable), []
        share = self.rng.choice([0.2, 0.5, 0.8])
        for at, written in self.pending:
            unit = SECTOR if self.rng.random() < 0.1 else UNIT
            pieces += [(at + n, written[n:n + unit]) for n in range(0, len(written), unit) if self.rng.random() < share]
        # of two writes to one place the later one wins: the block layer has not two of them on their way at a time
        for at, written in pieces:
            image[at:at + len(written)] = written
        return image
