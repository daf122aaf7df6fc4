# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes wrong while a file is copied: it changes, it cannot be read, nothing answers."""

import os
import re
import signal
import subprocess
import time

import harness
from trouble import MIB, Loop, Trouble


class Changing(Trouble):
    size = 24 * MIB

    def slow(self, rate="20M"):
        """The source once more, slowly."""
        path, self.process = self.bindfs(self.source, "--read-rate=" + rate)
        return path

    def hold(self):
        """Nothing more is read of the slow source until the copy may go on."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def copying(self, **keys):
        """A daemon in the middle of the copy of "model", which is paused."""
        self.write("model", size=self.size)
        daemon = self.daemon(self.config(Source=self.slow(), ChunkSize="1M", PollInterval="1s", **keys))
        daemon.wait_status(r"^Staging: [1-9]\d?%")
        self.hold()
        return daemon

    def ends_well(self, daemon):
        self.go_on()
        daemon.wait_ready()
        daemon.wait_status(r"^Ready: ")
        self.wait_same_file("model", daemon)
        self.assertEqual(self.xxh128sum().returncode, 0)
        daemon.stop()
        self.assert_gone()

    def test_appended_to_it_is_started_over(self):
        daemon = self.copying()
        with open(self.original("model"), "ab") as f:
            f.write(b"more" * 100000)
        self.ends_well(daemon)

    def test_rewritten_in_place_it_is_started_over(self):
        daemon = self.copying()
        with open(self.original("model"), "r+b") as f:
            f.write(os.urandom(MIB))
        self.ends_well(daemon)

    def test_shortened_it_is_started_over(self):
        daemon = self.copying()
        os.truncate(self.original("model"), 5 * MIB + 17)
        self.ends_well(daemon)

    def test_emptied_it_is_started_over(self):
        daemon = self.copying()
        os.truncate(self.original("model"), 0)
        self.ends_well(daemon)

    def test_replaced_it_is_started_over(self):
        daemon = self.copying()
        self.write("new", size=6 * MIB, root=self.work)
        os.rename(self.path("new"), self.original("model"))
        self.ends_well(daemon)

    def test_a_change_in_the_middle_is_not_there_when_ready_comes(self):
        """At the moment of READY=1, not some time after it."""
        self.write("model", size=self.size)
        daemon = self.daemon(self.config(Source=self.slow(), ChunkSize="1M", WatchSource="no"))
        daemon.wait(lambda: os.path.ismount(self.target), "the tmpfs")
        daemon.wait(lambda: os.statvfs(self.target).f_bfree * 4096 < 1010 * MIB, "room to be taken")
        self.hold()
        self.assertFalse(daemon.notified("READY"))
        with open(self.original("model"), "r+b") as f:
            f.write(os.urandom(MIB))
        self.go_on()
        daemon.wait_ready()
        self.assert_same_file("model")
        daemon.stop()

    def test_removed_it_is_no_longer_wanted(self):
        self.write("other", b"x")
        daemon = self.copying()
        os.unlink(self.original("model"))
        self.go_on()
        daemon.wait_ready()
        daemon.wait_status(r"^Ready: 1 file")
        self.assertEqual(self.names(), {"other"})
        self.assertNotIn("model' is withheld: it keeps changing", daemon.log())
        daemon.stop()
        self.assert_gone()

    def test_a_file_that_keeps_changing_is_withheld_until_it_stops(self):
        self.write("good", size=MIB)
        self.write("restless", size=self.size)
        loop = Loop(lambda: os.utime(self.original("restless")), 0.001)
        self.addCleanup(loop.stop)
        source = self.slow("60M")
        path = os.path.join(source, "restless")
        daemon = self.ready(self.config(Source=source, ChunkSize="1M", PollInterval="1s"))
        daemon.wait_status(r"^Degraded: 1 file, .*; 1 withheld\. '%s' is withheld: it keeps changing while it is copied" % path)
        self.assertEqual(self.names(), {"good"})
        daemon.listen(2)
        self.logged_once(daemon, r"'%s' is withheld: it keeps changing while it is copied; it is staged once it stops changing" % path)
        loop.stop()
        daemon.wait_status(r"^Ready: 2 files")
        self.assert_same_file("restless")
        daemon.stop()
        self.assert_gone()

    def test_a_file_that_keeps_changing_is_staged_later_without_a_watch_too(self):
        self.write("restless", size=self.size)
        loop = Loop(lambda: os.utime(self.original("restless")), 0.001)
        self.addCleanup(loop.stop)
        daemon = self.ready(self.config(Source=self.slow("60M"), ChunkSize="1M", WatchSource="no", PollInterval="1s"))
        daemon.wait_status(r"keeps changing")
        loop.stop()
        daemon.wait_status(r"^Ready: 1 file")
        self.assert_same_file("restless")
        daemon.stop()


class Broken(Trouble):
    """Input/output errors."""

    def traced(self, *inject):
        return {"wrapper": ["strace", "-f", "-qq", "-o", "/dev/null", *inject], "env": {"ASAN_OPTIONS": "detect_leaks=0"}}

    def single(self, **keys):
        values = {"Source": self.source, "Target": self.target, "Size": "1G", "ChunkSize": "1M", "SettleTime": "200ms",
                  "PollInterval": "1s", **keys}
        return self.config("[Daemon]\nWorkers=1\n[Mirror m]\n" + "".join("%s=%s\n" % item for item in values.items()))

    def test_an_error_that_does_not_come_again_is_no_trouble(self):
        path = self.write("a", size=5 * MIB)
        self.write("b", size=5 * MIB)
        for method, call in (("auto", "pread64"), ("sendfile", "sendfile")):
            with self.subTest(method):
                daemon = self.ready(self.single(CopyMethod=method), **self.traced("-P", path, "-e", "trace=" + call, "-e", "inject=%s:error=EIO:when=3" % call))
                daemon.wait_status(r"^Ready: 2 files, 10M")
                self.assert_same_file("a")
                self.assert_same_file("b")
                self.stop_traced(daemon)
                os.unlink(os.path.join(self.state, "m.xxh128"))  # nothing is on record

    def test_an_error_that_stays_withholds_the_file_and_names_the_place(self):
        self.write("a", size=5 * MIB)
        bad = self.write("bad", size=5 * MIB)
        self.write("c", size=5 * MIB)
        daemon = self.ready(self.single(), **self.traced("-P", bad, "-e", "trace=sendfile,pread64",
                                                         "-e", "inject=sendfile,pread64:error=EIO:when=3+"))
        daemon.wait_status(r"^Degraded: 2 files, 10M in RAM, verified.*; 1 withheld\. Failed to read '%s' at byte \d+: "
                           r"Input/output error" % bad)
        self.assertEqual(self.names(), {"a", "c"})
        self.assert_same_file("a")
        self.assert_same_file("c")
        daemon.listen(3)  # and it is tried again, silently
        self.logged_once(daemon, re.escape(bad))
        self.stop_traced(daemon)

    def test_with_on_corrupt_fail_an_error_that_stays_ends_the_start(self):
        self.write("a", size=5 * MIB)
        bad = self.write("bad", size=5 * MIB)
        text = self.refused(self.single(OnCorrupt="fail"), **self.traced("-P", bad, "-e", "trace=pread64",
                                                                         "-e", "inject=pread64:error=EIO"))
        self.assertRegex(text, r"Failed to read '%s' at byte 0: Input/output error" % bad)
        self.assert_gone()

    def test_a_disk_with_bad_blocks(self):
        """Real ones: the end of the file behind the loop device is missing."""
        os.rmdir(self.source)
        self.source, image = self.ext4(64 * MIB)
        for name in ("a", "b", "c"):
            self.write(name, size=16 * MIB)
        os.sync()
        places = {}
        for name in ("a", "b", "c"):
            done = subprocess.run(["filefrag", "-v", "-b4096", self.original(name)], capture_output=True, text=True, check=True)
            extents = [[int(n) for n in m] for m in re.findall(r"^ *\d+: +(\d+)\.\. +\d+: +(\d+)\.\. +(\d+):", done.stdout, re.M)]
            places[name] = extents
        worst = max(places, key=lambda n: max(e[2] for e in places[n]))
        first, last = max(places[worst], key=lambda e: e[2])[1:]
        device = subprocess.run(["findmnt", "-n", "-o", "SOURCE", self.source], capture_output=True, text=True, check=True).stdout.strip()
        subprocess.run(["losetup", "--direct-io=on", device], check=True)
        os.truncate(image, (first + last) // 2 * 4096)
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("1")
        daemon = self.ready(self.config(ChunkSize="1M", PollInterval="1s"))
        bad = self.original(worst)
        daemon.wait_status(r"^Degraded: 2 files, 32M in RAM, verified.*; 1 withheld\. Failed to read '%s' at byte \d+: "
                           r"Input/output error; check the disk or server behind it" % bad)
        offset = int(re.search(r"at byte (\d+)", daemon.status())[1])
        block = [e[1] + offset // 4096 - e[0] for e in places[worst] if e[0] <= offset // 4096 <= e[0] + e[2] - e[1]][0]
        self.assertGreater(block, (first + last) // 2 - 1024, "about where it begins: pages are read ahead")
        self.assertEqual(self.names(), {"a", "b", "c"} - {worst})
        daemon.listen(2.5)
        self.logged_once(daemon, re.escape(bad))
        os.truncate(image, 64 * MIB)  # a new disk; what is on it now is zeros
        daemon.wait_status(r"^Ready: 3 files", timeout=60)
        daemon.stop()
        self.assert_gone()

    def test_a_directory_that_cannot_be_listed_is_reported_and_nothing_in_it_is_removed(self):
        self.write("good", b"x")
        self.write("dir/a", size=MIB)
        daemon = self.ready()
        inode = self.inode("dir/a")
        daemon.kill()
        daemon = self.ready(self.single(), **self.traced("-P", self.original("dir"), "-e", "trace=getdents64",
                                                         "-e", "inject=getdents64:error=EIO"))
        line = self.logged_once(daemon, "'%s'" % self.original("dir"))
        self.assertIn("Input/output error", line)
        daemon.wait_status(r"^Degraded: ")
        self.assertEqual(self.inode("dir/a"), inode)
        self.stop_traced(daemon)

    def test_a_source_whose_top_cannot_be_listed_fails_the_start(self):
        self.write("a", b"x")
        text = self.refused(self.single(), **self.traced("-P", self.source, "-e", "trace=getdents64", "-e", "inject=getdents64:error=EIO"))
        self.assertIn("'%s'" % self.source, text)
        self.assertIn("Input/output error", text)
        self.assert_gone()


class Stalled(Trouble):
    """A server that does not answer for a while, as a hard NFS mount shows it."""

    def setUp(self):
        super().setUp()
        self.write("a", b"x")
        self.write("model", size=24 * MIB)

    def stall(self, process):
        process.send_signal(signal.SIGSTOP)

    def test_a_stall_while_staging_is_reported_and_the_daemon_survives(self):
        slow, process = self.bindfs(self.source, "--read-rate=20M")
        daemon = self.daemon(self.config(Source=slow, ChunkSize="1M"), env={"WATCHDOG_USEC": "2000000"})
        daemon.wait_status(r"^Staging: [1-9]\d?%")
        self.stall(process)
        daemon.wait_status(r"^Staging: \d+% \(.*, no progress for \d", timeout=15)
        before = len(daemon.messages)
        first = daemon.status()
        daemon.listen(4)
        late = daemon.messages[before:]
        self.assertFalse([m for m in late if "EXTEND_TIMEOUT_USEC" in m], "no more time for a dead source")
        self.assertGreaterEqual(len([m for m in late if "WATCHDOG" in m]), 2)
        self.assertNotEqual(daemon.status(), first, "it counts on")
        daemon.signal(signal.SIGHUP)
        daemon.listen(0.5)
        process.send_signal(signal.SIGCONT)
        daemon.wait_ready()
        daemon.wait(lambda: daemon.notified("RELOADING", "1"), "the reload that was asked for meanwhile")
        daemon.wait(lambda: daemon.count("READY") == 2, "its end")
        daemon.wait_status(r"^Ready: 2 files")
        self.assert_same_file("model")
        self.assertGreater(daemon.count("EXTEND_TIMEOUT_USEC"), 0)
        daemon.stop()
        self.assert_gone()

    def test_an_idle_daemon_is_not_stalled(self):
        slow, process = self.bindfs(self.source)
        daemon = self.ready(self.config(Source=slow, PollInterval="7s"))
        daemon.listen(9)
        self.assertFalse([s for s in daemon.statuses() if "no progress" in s])
        self.assertTrue(daemon.status().startswith("Ready: "))
        daemon.stop()

    def test_after_ready_the_mirror_stays_and_the_next_change_is_found(self):
        slow, process = self.bindfs(self.source)
        daemon = self.ready(self.config(Source=slow, PollInterval="1s"), env={"WATCHDOG_USEC": "2000000"})
        self.stall(process)
        daemon.wait_status(r"no progress for", timeout=15)
        before = len(daemon.messages)
        daemon.listen(3)
        self.assertGreaterEqual(len([m for m in daemon.messages[before:] if "WATCHDOG" in m]), 2)
        self.assertRegex(daemon.status(), r"^Ready: 2 files, .*; scanning, no progress for \d", "it is no less ready for that")
        self.assertEqual(self.names(), {"a", "model"})
        process.send_signal(signal.SIGCONT)
        daemon.wait_status(r"^Ready: 2 files")
        self.nudge()
        daemon.stop()
        self.assert_gone()

    def test_a_stop_meanwhile_does_not_wait_for_ever(self):
        slow, process = self.bindfs(self.source, "--read-rate=20M")
        daemon = self.daemon(self.config(Source=slow, ChunkSize="1M"))
        daemon.wait_status(r"^Staging: [1-9]\d?%")
        self.stall(process)
        daemon.listen(1)
        daemon.signal(signal.SIGTERM)
        daemon.wait(lambda: not os.path.ismount(self.target), "the mirror to be gone", timeout=30)
        daemon.wait_status(r"^Failed: The source '%s' does not respond" % slow)
        process.send_signal(signal.SIGCONT)  # FUSE, unlike NFS, does not let go of a process before it has its answer
        self.assertEqual(daemon.join(), 1, daemon.log())
        self.assert_gone()
        self.assertEqual(len(self.read(self.original("model"))), 24 * MIB)
        # nothing keeps the next one from starting
        self.ready().stop()
        self.assert_gone()


if __name__ == "__main__":
    harness.main()
