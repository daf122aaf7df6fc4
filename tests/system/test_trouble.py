# SPDX-License-Identifier: GPL-2.0-or-later
"""A source in trouble: each kind has its outcome, is told once with path and act, and nothing is lost by it."""

import ctypes
import os
import re
import signal
import socket
import subprocess
import threading
import time

import harness

MIB = 1 << 20
NOBODY = 65534
AT_FDCWD, RENAME_EXCHANGE = -100, 2


def exchange(a, b):
    """Two names change places, in one step."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), RENAME_EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), "renameat2", a)


class Loop:
    """Does something again and again until it is stopped."""

    def __init__(self, act, pause=0.0):
        self.act, self.pause, self.over, self.error = act, pause, threading.Event(), None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while not self.over.is_set():
                self.act()
                time.sleep(self.pause)
        except BaseException as error:
            self.error = error

    def stop(self):
        self.over.set()
        self.thread.join()
        if self.error:
            raise self.error


class Trouble(harness.Case):
    def tearDown(self):
        """Whatever happened was told once, not at each look, and sanitizers had nothing to say."""
        for daemon in self.daemons:
            lines = [line for line in daemon.log().splitlines() if line.startswith(("Warning: ", "Error: ", "Skipped "))]
            self.assertEqual(sorted(set(lines)), sorted(lines), "told twice")
            self.assertNotRegex(daemon.log(), "Sanitizer|runtime error")

    def refused(self, config=None, **options):
        """A start that must fail with status 1 and one sentence, which is returned."""
        daemon = self.daemon(config, **options)
        self.assertEqual(daemon.join(), 1, daemon.log())
        self.assertFalse(daemon.said("READY"))
        failures = re.findall(r"^Error: Mirror '[^']*' failed\. (.*)$", daemon.log(), re.M)
        self.assertEqual(len(failures), 1, daemon.log())
        self.assertEqual(daemon.status(), "Failed: " + failures[0])
        return failures[0]

    def told(self, daemon, pattern):
        """The one line of the log that this is in."""
        lines = [line for line in daemon.log().splitlines() if re.search(pattern, line)]
        self.assertEqual(len(lines), 1, "%s:\n%s" % (pattern, daemon.log()))
        return lines[0]

    def original(self, name):
        return os.path.join(self.source, name)

    def as_user(self):
        """For a daemon without the rights of root: a place for its mirror, and its state."""
        place = self.path("shared")
        os.mkdir(place)
        os.chmod(place, 0o1777)
        os.chown(self.state, NOBODY, NOBODY)
        self.target = os.path.join(place, "models")

    def nudge(self, name="nudge"):
        """Something new in the source, so that the daemon looks. Waits until it has."""
        self.write(name, os.urandom(8))
        content = self.read(self.original(name))
        self.wait_until(lambda: os.path.exists(self.mirrored(name)) and self.read(self.mirrored(name)) == content, "a look",
                        self.daemons[-1])


class Missing(Trouble):
    def test_a_source_that_is_not_there(self):
        os.rmdir(self.source)
        text = self.refused()
        self.assertEqual(text, "The source '%s' does not exist: mount or make it, or correct Source=" % self.source)
        self.assertFalse(os.path.exists(self.target))

    def test_a_source_that_is_no_directory(self):
        os.rmdir(self.source)
        self.write("source", b"x", root=self.work)
        self.assertEqual(self.refused(), "The source '%s' is not a directory: correct Source=" % self.source)
        self.assertFalse(os.path.exists(self.target))

    def test_a_source_that_may_not_be_read(self):
        self.as_user()
        self.write("a", b"x")
        os.chmod(self.source, 0o700)
        text = self.refused(user=NOBODY)
        self.assertIn("'%s'" % self.source, text)
        self.assertIn("Permission denied", text)
        self.assert_gone()

    def test_the_mirror_of_a_run_that_crashed_is_not_removed_for_want_of_a_source(self):
        self.write("a", size=MIB)
        daemon = self.ready()
        inode = self.inode("a")
        daemon.kill()
        os.rename(self.source, self.path("away"))
        self.assertIn("does not exist", self.refused())
        self.assertEqual(self.inode("a"), inode)
        os.rename(self.path("away"), self.source)
        daemon = self.ready()
        self.assertEqual(self.inode("a"), inode, "it was verified and taken over")
        daemon.stop()
        self.assert_gone()


class Emptied(Trouble):
    def test_at_start_an_empty_source_that_was_not_empty_is_a_missing_disk(self):
        self.write("a", size=MIB)
        self.ready().stop()
        os.rename(self.original("a"), self.path("a"))
        state = self.read(os.path.join(self.state, "m.xxh128"))
        text = self.refused()
        self.assertIn("The source '%s' is empty and was not before" % self.source, text)
        self.assertIn("m.xxh128", text, "what to do if it is meant so")
        self.assertEqual(self.read(os.path.join(self.state, "m.xxh128")), state)
        self.assert_gone()
        # the advice is good
        os.unlink(os.path.join(self.state, "m.xxh128"))
        self.ready().stop()
        self.assert_gone()

    def test_at_start_the_mirror_of_a_run_that_crashed_keeps_its_files(self):
        self.write("a", size=MIB)
        daemon = self.ready()
        inode = self.inode("a")
        daemon.kill()
        os.rename(self.original("a"), self.path("a"))
        self.assertIn("is empty and was not before", self.refused())
        self.assertEqual(self.inode("a"), inode)
        os.rename(self.path("a"), self.original("a"))
        daemon = self.ready()
        self.assertEqual(self.inode("a"), inode)
        daemon.stop()
        self.assert_gone()

    def test_after_ready_nothing_is_propagated_until_it_is_back(self):
        self.write("a", size=MIB)
        self.write("dir/b", size=MIB)
        daemon = self.ready(self.config(PollInterval="1s"))
        for name in ("a", "dir"):
            os.rename(self.original(name), self.path(name))
        daemon.wait_status(r"^Degraded: 2 files, 2M in RAM, verified.*The source '%s' is empty and was not before" % self.source)
        daemon.listen(2.5)  # some looks
        self.assertEqual(self.names(), {"a", "dir", "dir/b"})
        self.told(daemon, r"is empty and was not before")
        for name in ("a", "dir"):
            os.rename(self.path(name), self.original(name))
        daemon.wait_status(r"^Ready: 2 files")
        self.told(daemon, r"The source '%s' is back" % self.source)
        self.assert_same_file("a")
        self.nudge()
        daemon.stop()
        self.assert_gone()

    def test_stopped_meanwhile_it_ends_well_and_the_source_is_needed_next_time(self):
        self.write("a", size=MIB)
        daemon = self.ready()
        os.rename(self.original("a"), self.path("a"))
        daemon.wait_status(r"is empty and was not before")
        daemon.stop()
        self.assert_gone()
        self.assertIn("is empty and was not before", self.refused())


class Replaced(Trouble):
    def test_another_filesystem_over_the_source_changes_nothing(self):
        self.write("a", size=MIB)
        daemon = self.ready(self.config(PollInterval="1s"))
        subprocess.run(["mount", "-t", "tmpfs", "over", self.source], check=True)
        self.write("intruder", b"x")
        daemon.wait_status(r"^Degraded: 1 file, .*The source '%s' is gone, or another filesystem is in its place" % self.source)
        daemon.listen(2.5)
        self.assertEqual(self.names(), {"a"})
        self.told(daemon, r"is gone, or another filesystem is in its place")
        subprocess.run(["umount", self.source], check=True)
        daemon.wait_status(r"^Ready: 1 file")
        self.told(daemon, r"The source '%s' is back" % self.source)
        self.nudge()
        self.assertEqual(self.names(), {"a", "nudge"})
        daemon.stop()
        self.assert_gone()

    def test_an_unmounted_source_changes_nothing_and_is_taken_again_when_it_is_mounted(self):
        os.rmdir(self.source)
        self.source, image = self.ext4(16 << 20)
        self.write("a", size=MIB)
        daemon = self.ready(self.config(PollInterval="1s"))
        subprocess.run(["umount", "-l", self.source], check=True)
        daemon.wait_status(r"^Degraded: 1 file, .*The source '%s' is gone, or another filesystem" % self.source)
        daemon.listen(1.5)
        self.assertEqual(self.names(), {"a"})
        # the same disk once more, with another device number
        copy = self.path("copy.image")
        os.sync()  # the daemon still holds the first one
        subprocess.run(["cp", image, copy], check=True)
        subprocess.run(["mount", "-o", "loop", copy, self.source], check=True)
        daemon.wait_status(r"^Ready: 1 file")
        inode = self.inode("a")
        self.nudge()
        self.assertEqual(self.inode("a"), inode, "the same file is not copied again")
        self.told(daemon, r"The source '%s' is back" % self.source)
        daemon.stop()
        self.assert_gone()

    def test_a_source_that_was_renamed_away_changes_nothing(self):
        self.write("a", size=MIB)
        daemon = self.ready(self.config(PollInterval="1s"))
        os.rename(self.source, self.path("away"))
        daemon.wait_status(r"^Degraded: .*The source '%s' is gone" % self.source)
        os.mkdir(self.source)
        daemon.listen(1.5)
        self.assertEqual(self.names(), {"a"})
        os.rmdir(self.source)
        os.rename(self.path("away"), self.source)
        daemon.wait_status(r"^Ready: 1 file")
        self.nudge()
        daemon.stop()
        self.assert_gone()


    def test_a_source_that_was_away_for_a_moment_is_watched_on(self):
        self.write("a", size=MIB)
        daemon = self.ready(self.config(PollInterval="off"))
        for i in range(5):
            os.rename(self.source, self.path("away"))
            time.sleep(0.02 * i)
            os.rename(self.path("away"), self.source)
            self.nudge("nudge-%d" % i)
        subprocess.run(["mount", "-t", "tmpfs", "over", self.source], check=True)
        subprocess.run(["umount", self.source], check=True)
        self.nudge("nudge-5")
        daemon.stop()
        self.assert_gone()


class Unreadable(Trouble):
    def test_a_file_is_withheld_and_the_others_are_there(self):
        self.as_user()
        self.write("good", size=MIB)
        self.write("secret", size=MIB)
        os.chmod(self.original("secret"), 0)
        daemon = self.ready(self.config(PollInterval="1s"), user=NOBODY)
        daemon.wait_status(r"^Degraded: 1 file, 1M in RAM, verified.*; 1 withheld\. .*'%s': Permission denied" % self.original("secret"))
        self.assertEqual(self.names(), {"good"})
        daemon.listen(2.5)  # it is tried again
        line = self.told(daemon, r"'%s'" % self.original("secret"))
        self.assertTrue(line.startswith("Warning: Failed to open"), line)
        self.assertIn("make it readable for the daemon", line)
        os.chmod(self.original("secret"), 0o644)
        daemon.wait_status(r"^Ready: 2 files")
        self.assertEqual(self.read(self.mirrored("secret")), self.read(self.original("secret")))
        daemon.stop()
        self.assert_gone()

    def test_with_on_corrupt_fail_it_ends_the_start(self):
        self.as_user()
        self.write("good", size=MIB)
        self.write("secret", size=MIB)
        os.chmod(self.original("secret"), 0)
        text = self.refused(self.config(OnCorrupt="fail"), user=NOBODY)
        self.assertIn("'%s': Permission denied" % self.original("secret"), text)
        self.assert_gone()

    def test_of_a_directory_nothing_is_known_so_nothing_is_removed(self):
        self.as_user()
        self.write("good", size=MIB)
        self.write("dir/a", size=MIB)
        config = self.config(PollInterval="1s")
        daemon = self.ready(config, user=NOBODY)
        inode = self.inode("dir/a")
        os.chmod(self.original("dir"), 0)
        daemon.wait_status(r"^Degraded: .*'%s'" % self.original("dir"))
        line = self.told(daemon, r"'%s'" % self.original("dir"))
        self.assertIn("Permission denied", line)
        self.nudge()
        self.assertEqual(self.inode("dir/a"), inode)
        daemon.kill()
        daemon = self.ready(config, user=NOBODY)
        self.told(daemon, r"'%s'" % self.original("dir"))
        daemon.wait_status(r"^Degraded: ")
        self.assertEqual(self.inode("dir/a"), inode)
        os.chmod(self.original("dir"), 0o755)
        daemon.wait_status(r"^Ready: ")
        self.assertEqual(self.inode("dir/a"), inode)
        daemon.stop()
        self.assert_gone()

    def test_a_directory_that_cannot_be_read_at_first_makes_it_degraded(self):
        self.as_user()
        self.write("good", size=MIB)
        self.write("dir/a", size=MIB)
        os.chmod(self.original("dir"), 0)
        daemon = self.ready(user=NOBODY)
        daemon.wait_status(r"^Degraded: .*'%s'" % self.original("dir"))
        self.assertIn("ready but degraded", daemon.log())
        os.chmod(self.original("dir"), 0o755)
        daemon.wait_status(r"^Ready: 2 files")
        daemon.stop()
        self.assert_gone()

    def test_with_on_corrupt_fail_a_directory_ends_the_start_too(self):
        self.as_user()
        self.write("dir/a", size=MIB)
        os.chmod(self.original("dir"), 0)
        self.assertIn("'%s'" % self.original("dir"), self.refused(self.config(OnCorrupt="fail"), user=NOBODY))
        self.assert_gone()


class Changing(Trouble):
    size = 24 * MIB

    def slow(self, rate="20M"):
        """The source once more, slowly."""
        path, _ = self.bindfs(self.source, "--read-rate=" + rate)
        return path

    def copying(self, **keys):
        """A daemon in the middle of the copy of "model"."""
        self.write("model", size=self.size)
        daemon = self.daemon(self.config(Source=self.slow(), ChunkSize="1M", PollInterval="1s", **keys))
        daemon.wait_status(r"^Staging: [1-9]\d?%")
        return daemon

    def ends_well(self, daemon):
        daemon.wait_ready()
        daemon.wait_status(r"^Ready: ")
        self.assert_same_file("model")
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
        daemon = self.daemon(self.config(Source=self.slow("80M"), ChunkSize="1M", WatchSource="no"))
        daemon.wait(lambda: os.path.ismount(self.target), "the tmpfs")
        daemon.wait(lambda: os.statvfs(self.target).f_bfree * 4096 < 1010 * MIB, "room to be taken")
        time.sleep(0.05)
        with open(self.original("model"), "r+b") as f:
            f.write(os.urandom(MIB))
        daemon.wait_ready()
        self.assert_same_file("model")
        daemon.stop()

    def test_removed_it_is_no_longer_wanted(self):
        self.write("other", b"x")
        daemon = self.copying()
        os.unlink(self.original("model"))
        daemon.wait_ready()
        daemon.wait_status(r"^Ready: 1 file")
        self.assertEqual(self.names(), {"other"})
        self.assertNotIn("model' keeps changing", daemon.log())
        daemon.stop()
        self.assert_gone()

    def test_what_never_holds_still_is_withheld_until_it_does(self):
        self.write("good", size=MIB)
        self.write("restless", size=self.size)
        loop = Loop(lambda: os.utime(self.original("restless")), 0.001)
        self.addCleanup(loop.stop)
        source = self.slow("60M")
        path = os.path.join(source, "restless")
        daemon = self.ready(self.config(Source=source, ChunkSize="1M", PollInterval="1s"))
        daemon.wait_status(r"^Degraded: 1 file, .*; 1 withheld\. '%s' keeps changing while it is copied" % path)
        self.assertEqual(self.names(), {"good"})
        daemon.listen(2)
        self.told(daemon, r"'%s' keeps changing while it is copied: it is withheld and staged when it holds still" % path)
        loop.stop()
        daemon.wait_status(r"^Ready: 2 files")
        self.assert_same_file("restless")
        daemon.stop()
        self.assert_gone()

    def test_what_never_holds_still_is_staged_later_without_a_watch_too(self):
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

    def stop_traced(self, daemon):
        tracer = daemon.pid
        with open("/proc/%d/task/%d/children" % (tracer, tracer)) as f:
            os.kill(int(f.read().split()[0]), signal.SIGTERM)
        self.assertEqual(daemon.join(), 0, daemon.log())
        self.assert_gone()

    def single(self, **keys):
        values = {"Source": self.source, "Target": self.target, "Size": "1G", "ChunkSize": "1M", "SettleTime": "200ms",
                  "PollInterval": "1s", **keys}
        return self.config("[Daemon]\nWorkers=1\n[Mirror m]\n" + "".join("%s=%s\n" % item for item in values.items()))

    def test_an_error_that_does_not_come_again_is_no_trouble(self):
        self.write("a", size=5 * MIB)
        self.write("b", size=5 * MIB)
        daemon = self.ready(self.single(), **self.traced("-e", "trace=sendfile", "-e", "inject=sendfile:error=EIO:when=3"))
        daemon.wait_status(r"^Ready: 2 files, 10M")
        self.assert_same_file("a")
        self.assert_same_file("b")
        self.stop_traced(daemon)

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
        self.told(daemon, re.escape(bad))
        self.stop_traced(daemon)

    def test_with_on_corrupt_fail_an_error_that_stays_ends_the_start(self):
        self.write("a", size=5 * MIB)
        bad = self.write("bad", size=5 * MIB)
        text = self.refused(self.single(OnCorrupt="fail"), **self.traced("-P", bad, "-e", "trace=sendfile",
                                                                         "-e", "inject=sendfile:error=EIO"))
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
                           r"Input/output error; the disk or server behind it needs a look" % bad)
        offset = int(re.search(r"at byte (\d+)", daemon.status())[1])
        block = [e[1] + offset // 4096 - e[0] for e in places[worst] if e[0] <= offset // 4096 <= e[0] + e[2] - e[1]][0]
        self.assertGreater(block, (first + last) // 2 - 1024, "about where it begins: pages are read ahead")
        self.assertEqual(self.names(), {"a", "b", "c"} - {worst})
        daemon.listen(2.5)
        self.told(daemon, re.escape(bad))
        os.truncate(image, 64 * MIB)  # a new disk; what is on it now is zeros
        daemon.wait_status(r"^Ready: 3 files", timeout=60)
        daemon.stop()
        self.assert_gone()

    def test_a_directory_that_cannot_be_listed_is_told_and_nothing_in_it_is_removed(self):
        self.write("good", b"x")
        self.write("dir/a", size=MIB)
        daemon = self.ready()
        inode = self.inode("dir/a")
        daemon.kill()
        daemon = self.ready(self.single(), **self.traced("-P", self.original("dir"), "-e", "trace=getdents64",
                                                         "-e", "inject=getdents64:error=EIO"))
        line = self.told(daemon, "'%s'" % self.original("dir"))
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

    def test_while_staging_it_is_told_and_the_daemon_lives(self):
        slow, process = self.bindfs(self.source, "--read-rate=20M")
        daemon = self.daemon(self.config(Source=slow, ChunkSize="1M"), env={"WATCHDOG_USEC": "2000000"})
        daemon.wait_status(r"^Staging: [1-9]\d?%")
        self.stall(process)
        daemon.wait_status(r"^Staging: \d+% \(.*, nothing has moved for \d", timeout=15)
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
        daemon.wait(lambda: daemon.said("RELOADING", "1"), "the reload that was asked for meanwhile")
        daemon.wait(lambda: daemon.count("READY") == 2, "its end")
        daemon.wait_status(r"^Ready: 2 files")
        self.assert_same_file("model")
        self.assertGreater(daemon.count("EXTEND_TIMEOUT_USEC"), 0)
        daemon.stop()
        self.assert_gone()

    def test_a_rest_is_no_stall(self):
        slow, process = self.bindfs(self.source)
        daemon = self.ready(self.config(Source=slow, PollInterval="7s"))
        daemon.listen(9)
        self.assertFalse([s for s in daemon.statuses() if "nothing has moved" in s])
        self.assertTrue(daemon.status().startswith("Ready: "))
        daemon.stop()

    def test_after_ready_the_mirror_stays_and_the_next_change_is_found(self):
        slow, process = self.bindfs(self.source)
        daemon = self.ready(self.config(Source=slow, PollInterval="1s"), env={"WATCHDOG_USEC": "2000000"})
        self.stall(process)
        daemon.wait_status(r"nothing has moved for", timeout=15)
        before = len(daemon.messages)
        daemon.listen(3)
        self.assertGreaterEqual(len([m for m in daemon.messages[before:] if "WATCHDOG" in m]), 2)
        self.assertRegex(daemon.status(), r"^Ready: 2 files, .*; looking at the source, nothing has moved for \d", "it is no less ready for that")
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
        daemon.wait_status(r"^Failed: The source '%s' does not answer" % slow)
        process.send_signal(signal.SIGCONT)  # FUSE, unlike NFS, does not let go of a process before it has its answer
        self.assertEqual(daemon.join(), 1, daemon.log())
        self.assert_gone()
        self.assertEqual(len(self.read(self.original("model"))), 24 * MIB)
        # nothing keeps the next one from starting
        self.ready().stop()
        self.assert_gone()


class Skipped(Trouble):
    def test_each_is_told_once_however_often_it_is_looked_at(self):
        self.write("dir/a", b"x")
        os.mkfifo(self.original("dir/fifo"))
        os.mknod(self.original("device"), 0o20666, os.makedev(1, 3))
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(self.original("socket"))
            os.symlink("/etc/passwd", self.original("absolute"))
            os.symlink("../../etc/passwd", self.original("dir/out"))
            daemon = self.ready()
            for i in range(4):
                self.nudge("nudge-%d" % i)
            for name, words in (("dir/fifo", "device, fifo or socket"), ("device", "device, fifo or socket"), ("socket", "device, fifo or socket"),
                                ("absolute", "leads out of the tree"), ("dir/out", "leads out of the tree")):
                line = self.told(daemon, "'%s'" % self.original(name))
                self.assertTrue(line.startswith("Skipped '"), line)
                self.assertIn(words, line)
                self.assertFalse(os.path.lexists(self.mirrored(name)))
            daemon.wait_status(r"^Ready: 5 files")
            # one that goes and comes again is news
            os.unlink(self.original("dir/fifo"))
            self.nudge("nudge-5")
            os.mkfifo(self.original("dir/fifo"))
            self.nudge("nudge-6")
            self.assertEqual(daemon.log().count("dir/fifo"), 2)
            log = daemon.log()
            daemon.stop()
        self.assert_gone()
        self.daemons[-1].log = lambda: log.replace("Skipped '%s'" % self.original("dir/fifo"), "", 1)  # for tearDown()


class Race(Trouble):
    """Somebody who may write to the source tries to have the daemon read what he may not."""

    def race(self, swap, name, seconds=3):
        secret = b"SECRET" * 1000
        self.write(name, secret, root=self.path("outside"))
        self.write(name, b"inside" * 1000)
        self.write("other", b"x")
        seen = set()

        def look():
            try:
                with open(self.mirrored(name), "rb") as f:
                    seen.add(f.read(6))
            except (FileNotFoundError, NotADirectoryError):
                pass
            except OSError as error:
                self.fail(error)
        loop = Loop(swap)
        self.addCleanup(loop.stop)
        daemon = self.daemon()
        end = time.monotonic() + seconds
        restarts = 0
        while time.monotonic() < end:
            look()
            daemon.pump(0.001)
            if daemon.said("READY"):
                daemon.signal(signal.SIGTERM)
                self.assertEqual(daemon.join(), 0, daemon.log())
                restarts += 1
                daemon = self.daemon()
        loop.stop()
        if os.path.islink(self.original(name.split("/")[0])):
            swap()
        daemon.wait_ready()
        daemon.wait_status(r"^Ready: 2 files")
        look()
        self.assertEqual(seen - {b""}, {b"inside"})
        self.assertGreater(restarts, 5)
        for past in self.daemons:
            self.assertNotIn("cannot be read", past.log(), "a race is no trouble of the disk")
            self.assertNotIn("Failed to", past.log())
        daemon.stop()
        self.assert_gone()

    def test_a_link_in_the_place_of_a_directory_never_leads_out(self):
        os.symlink(self.path("outside", "dir"), self.path("link"))
        self.race(lambda: exchange(self.original("dir"), self.path("link")), "dir/file")

    def test_a_link_in_the_place_of_a_file_never_leads_out(self):
        os.symlink(self.path("outside", "file"), self.path("link"))
        self.race(lambda: exchange(self.original("file"), self.path("link")), "file")


if __name__ == "__main__":
    harness.main()
