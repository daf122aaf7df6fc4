# SPDX-License-Identifier: GPL-2.0-or-later
"""What the journal receives: each event that an administrator may want to be woken for once, with the fields that its text in the message catalog has, and never more lines than
people read, however many files it is about.

A socket stands where journald's is, in a /run of our own, and takes what the daemon sends."""

import os
import re
import socket
import struct
import subprocess
import threading

import harness

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
SOCKET = "/run/systemd/journal/socket"
WARNING, NOTICE, INFO = 4, 5, 6


def read_text(*path):
    with open(os.path.join(ROOT, *path)) as file:
        return file.read()


MESSAGES = dict(re.findall(r'#define MESSAGE_(\w+) "(\w+)"', read_text("daemon", "base", "messages.h")))
NAMES = {identity: name for name, identity in MESSAGES.items()}
# name -> fields that the catalog's text of the event needs
FIELDS = {NAMES[part[:32]]: set(re.findall(r"@(\w+)@", part)) for part in read_text("units", "shmstaged.catalog").split("\n-- ")[1:]}


def parse(datagram):
    """An entry in journald's native protocol."""
    fields, at = {}, 0
    while at < len(datagram):
        end = datagram.index(b"\n", at)
        line = datagram[at:end]
        if b"=" in line:
            name, value = line.split(b"=", 1)
            at = end + 1
        else:
            length = struct.unpack_from("<Q", datagram, end + 1)[0]
            name, value = line, datagram[end + 9:end + 9 + length]
            at = end + 10 + length
        fields[name.decode()] = value.decode(errors="surrogateescape")
    return fields


class Journal(harness.Case):
    work_size = "512m"

    def setUp(self):
        super().setUp()
        subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
        self.addCleanup(subprocess.run, ["umount", "/run"], check=True)
        os.makedirs(os.path.dirname(SOCKET))
        self.journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.journal.bind(SOCKET)
        self.entries = []
        # the daemon waits for the journal, as it does for the real one
        reader = threading.Thread(target=self.read_journal)
        reader.start()
        self.addCleanup(self.journal.close)
        self.addCleanup(reader.join)
        self.addCleanup(self.say, b"")

    def read_journal(self):
        while datagram := self.journal.recv(1 << 20):
            self.entries.append(parse(datagram))

    def say(self, datagram):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(datagram, SOCKET)

    def received(self):
        """All that was sent until now."""
        mark = str(self.count())
        self.say(b"MARK=" + mark.encode() + b"\n")
        self.wait_until(lambda: any(entry.get("MARK") == mark for entry in self.entries), "the journal's reader")
        return [entry for entry in self.entries if "MARK" not in entry]

    def journaled(self, args=(), **keys):
        # the later --log-level= counts
        return self.daemon(self.config(**keys), args=["--log-target=journal", "--log-level=info", *args])

    def events(self, name):
        return [entry for entry in self.received() if entry.get("MESSAGE_ID") == MESSAGES[name]]

    def wait_event(self, daemon, name, n=1):
        """The @n-th event of that name, which has all that its text needs; there are no more of them."""
        def came():
            daemon.pump(0.02)
            return len(self.events(name)) >= n
        self.wait_until(came, "event %s" % name, daemon)
        events = self.events(name)
        self.assertEqual(len(events), n, events)
        entry = events[-1]
        self.assertEqual(FIELDS[name] - set(entry), set(), entry)
        self.assertEqual(entry["SHMSTAGED_MIRROR"], "m")
        return entry

    def lines(self, priority=INFO):
        return [entry["MESSAGE"] for entry in self.received() if int(entry["PRIORITY"]) <= priority]

    def test_ready_degraded_and_whole_again(self):
        self.write("a.gguf", size=1000)
        bad = self.write("b.gguf", size=2000)
        self.journaled().wait_ready().stop()
        self.assertEqual(self.wait_event(self.daemons[0], "READY")["SHMSTAGED_BYTES"], "3000")
        self.entries.clear()

        self.rot(bad)
        daemon = self.journaled().wait_ready()
        entry = self.wait_event(daemon, "WITHHELD")
        self.assertEqual((entry["SHMSTAGED_PATH"], entry["SHMSTAGED_REASON"], entry["PRIORITY"]), ("b.gguf", "corrupt", "4"))
        self.assertEqual(entry["SHMSTAGED_FOUND"], self.digest(bad))
        self.assertNotEqual(entry["SHMSTAGED_EXPECTED"], entry["SHMSTAGED_FOUND"])
        self.wait_event(daemon, "DEGRADED")
        self.assertEqual(self.events("READY"), [])
        # now it counts as changed
        os.utime(bad)
        entry = self.wait_event(daemon, "READY")
        self.assertRegex(entry["MESSAGE"], r"^Mirror 'm' is complete again: 2 files")
        daemon.stop()
        self.assertEqual([len(self.events(name)) for name in ("READY", "DEGRADED", "WITHHELD", "FAILED", "MIRROR_KEPT")], [1, 1, 1, 0, 0])

    def test_a_source_that_goes_and_comes(self):
        self.write("a.gguf", size=1000)
        daemon = self.journaled(PollInterval="1s").wait_ready()
        os.rename(self.source, self.source + "-gone")
        self.wait_event(daemon, "SOURCE_LOST")
        self.wait_event(daemon, "DEGRADED")
        daemon.listen(2.5)
        os.rename(self.source + "-gone", self.source)
        self.wait_event(daemon, "SOURCE_FOUND")
        self.wait_event(daemon, "READY", 2)
        daemon.stop()
        self.assertEqual([len(self.events(name)) for name in ("SOURCE_LOST", "DEGRADED")], [1, 1])

    def test_a_full_disk_is_logged_once_and_so_is_the_mirror_that_stays_for_it(self):
        self.source, _ = self.ext4(4 << 20)
        self.write("a.gguf", size=1000)
        daemon = self.journaled().wait_ready()
        self.write("big.bin", size=12 << 20, root=self.target)
        entry = self.wait_event(daemon, "UNSAVED")
        self.assertEqual((entry["SHMSTAGED_PATH"], entry["SHMSTAGED_REASON"], entry["SHMSTAGED_BYTES"], entry["ERRNO"]), ("big.bin", "no-room", str(12 << 20), "28"))
        self.wait_event(daemon, "DEGRADED")
        daemon.listen(3)
        daemon.stop(expect=1)
        self.assertEqual(self.wait_event(daemon, "MIRROR_KEPT")["SHMSTAGED_PATH"], "big.bin")
        self.assertEqual([len(self.events(name)) for name in ("UNSAVED", "DEGRADED")], [1, 1])

    def test_conflict_brake_and_refusal(self):
        for i in range(8):
            self.write("%d.gguf" % i, size=1000)
        daemon = self.journaled().wait_ready()
        # a link that leads out
        os.symlink("/etc/passwd", self.mirrored("out"))
        entry = self.wait_event(daemon, "REFUSED")
        self.assertEqual((entry["SHMSTAGED_PATH"], entry["SHMSTAGED_REASON"]), ("out", "leads-out"))
        os.unlink(self.mirrored("out"))
        self.write("0.gguf", size=2000, root=self.target)
        self.write("0.gguf", size=3000)
        entry = self.wait_event(daemon, "CONFLICT")
        self.assertTrue(os.path.exists(os.path.join(entry["SHMSTAGED_SOURCE"], entry["SHMSTAGED_KEPT"])), entry)
        for i in range(1, 8):
            os.unlink(self.mirrored("%d.gguf" % i))
        self.wait_event(daemon, "BRAKE")
        self.wait_until(lambda: os.path.exists(self.mirrored("7.gguf")), "the files to come back", daemon)
        daemon.listen(1)
        daemon.stop()
        self.assertEqual([len(self.events(name)) for name in ("REFUSED", "CONFLICT", "BRAKE", "DEGRADED")], [1, 1, 1, 0])

    def test_a_mirror_that_does_not_fit_and_one_that_is_taken_away(self):
        self.write("small.gguf", size=1000)
        self.write("large.gguf", size=3 << 20)
        daemon = self.journaled(Size="2M", OnNoRoom="skip", HugePages="never").wait_ready()
        self.wait_event(daemon, "NO_ROOM")
        self.wait_event(daemon, "DEGRADED")
        subprocess.run(["umount", "-l", self.target], check=True)
        self.wait_event(daemon, "MIRROR_LOST")
        self.wait_until(lambda: os.path.exists(self.mirrored("small.gguf")), "the mirror to be recreated", daemon)
        daemon.stop()
        self.assertEqual(len(self.events("MIRROR_LOST")), 1)

    def test_a_start_that_fails(self):
        os.rmdir(self.source)
        daemon = self.journaled()
        self.assertEqual(daemon.join(), 1)
        self.wait_event(daemon, "FAILED")
        self.assertEqual(len(self.lines(WARNING)), 1)

    def test_ten_thousand_files_make_few_lines(self):
        for i in range(3000):
            self.write("source/%d/%d" % (i % 50, i), content=b"x")
        daemon = self.journaled().wait_ready()
        for i in range(5000):
            self.write("mirror/%d/%d" % (i % 50, i), content=b"x", root=self.target)
        for i in range(2000):
            self.write("later/%d/%d" % (i % 50, i), content=b"x")
        self.wait_until(lambda: len(self.names(self.source)) >= 10000 + 150 and len(self.names()) == len(self.names(self.source)), "both sides to be the same", daemon, 120)
        daemon.stop()
        lines = self.lines()
        self.assertLess(len(lines), 60, "\n".join(lines[:80]))
        self.assertTrue([line for line in lines if re.search(r"Mirror 'm': saved or removed \d{4} more files", line)], "\n".join(lines))

    def test_a_thousand_files_that_cannot_be_saved_make_few_lines_and_are_counted(self):
        self.write("a.gguf", size=1000)
        daemon = self.journaled().wait_ready()
        for i in range(1000):
            os.symlink("/etc/passwd", self.mirrored("out-%d" % i))
        daemon.wait_status("1000 rejected", 60)
        self.assertEqual(len(self.events("REFUSED")), 20)
        daemon.stop()
        self.assertLess(len(self.lines()), 40, "\n".join(self.lines()))
        self.assertTrue([line for line in self.lines() if "Mirror 'm': 980 more files could not be saved" in line], "\n".join(self.lines()))

    def test_a_thousand_files_that_cannot_be_staged_make_few_lines(self):
        for i in range(1000):
            os.symlink("/etc/passwd", os.path.join(self.source, "out-%d" % i))
            self.write("misnamed/sha256-%064x" % i, content=b"x")
        self.write("manifests/x", content=b"x")
        daemon = self.journaled().wait_ready()
        daemon.stop()
        self.assertLess(len(self.lines()), 60, "\n".join(self.lines()))


if __name__ == "__main__":
    harness.main(jobs=4)
