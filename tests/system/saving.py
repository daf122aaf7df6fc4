# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests share in which things of the mirror are on their way to the disk."""

import hashlib
import os
import re

import harness

MIB = 1 << 20


class Saving(harness.Case):
    def tearDown(self):
        for daemon in self.daemons:
            self.assertNotRegex(daemon.log(), "Sanitizer|runtime error")

    def original(self, name):
        return os.path.join(self.source, name)

    def put(self, name, content):
        """What a client does that writes a file under its own name. Returns what the mirror had no room for."""
        path = self.mirrored(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        lost = 0
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            for at in range(0, len(content), MIB):
                try:
                    lost += len(content[at:at + MIB]) - os.write(fd, content[at:at + MIB])
                except OSError:
                    lost += len(content[at:at + MIB])
        finally:
            os.close(fd)
        return lost

    def wait_saved(self, daemon, name, timeout=30):
        """On disk, with what the mirror has."""
        self.wait_until(lambda: os.path.exists(self.original(name)), name + " on disk", daemon, timeout)
        self.assert_same_file(name)

    def temporaries(self):
        path = self.original(".shmstaged/tmp")
        return os.listdir(path) if os.path.isdir(path) else []

    def trash(self):
        """Names in the trash, without their times."""
        path = self.original(".shmstaged/trash")
        return {os.path.relpath(os.path.join(directory, name), path).split("/", 1)[1]
                for directory, _, names in os.walk(path) for name in names}

    def times_logged(self, daemon, pattern):
        return len(re.findall(pattern, daemon.log(), re.M))

    def small_disk(self, size, ballast=0):
        """The source on a disk of its own, with a file on it that only takes room."""
        os.rmdir(self.source)
        self.source, _ = self.ext4(size)
        self.write("a", b"x")
        if ballast:
            self.write("ballast", size=ballast)

    def snapshot(self):
        return {name: (os.lstat(self.original(name)).st_ino, os.lstat(self.original(name)).st_mtime_ns,
                       hashlib.sha256(self.read(self.original(name))).hexdigest())
                for name in self.names(self.source) if os.path.isfile(self.original(name))}
