# SPDX-License-Identifier: GPL-2.0-or-later
"""A source in trouble: each kind has its outcome, is reported once with path and operation, and nothing is lost by it."""

import ctypes
import os
import signal
import socket
import subprocess
import time

import harness
from trouble import MIB, NOBODY, Loop, Trouble

AT_FDCWD, RENAME_EXCHANGE = -100, 2


def exchange(a, b):
    """Two names change places, in one step."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), RENAME_EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), "renameat2", a)


class Missing(Trouble):
    def test_a_source_that_is_not_there(self):
        os.rmdir(self.source)
        text = self.refused()
        self.assertEqual(text, "The source '%s' does not exist; mount or create it, or correct Source=" % self.source)
        self.assertFalse(os.path.exists(self.target))

    def test_a_source_that_is_no_directory(self):
        os.rmdir(self.source)
        self.write("source", b"x", root=self.work)
        self.assertEqual(self.refused(), "The source '%s' is not a directory; correct Source=" % self.source)
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
        self.assertIn("The source '%s' is empty but was not before" % self.source, text)
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
        self.assertIn("is empty but was not before", self.refused())
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
        daemon.wait_status(r"^Degraded: 2 files, 2M in RAM, verified.*The source '%s' is suddenly empty.*do not stop the daemon" % self.source)
        daemon.listen(2.5)  # some scans
        self.assertEqual(self.names(), {"a", "dir", "dir/b"})
        self.logged_once(daemon, r"is suddenly empty")
        for name in ("a", "dir"):
            os.rename(self.path(name), self.original(name))
        daemon.wait_status(r"^Ready: 2 files")
        self.logged_once(daemon, r"The source '%s' is back" % self.source)
        self.assert_same_file("a")
        self.nudge()
        daemon.stop()
        self.assert_gone()

    def test_stopped_meanwhile_it_ends_well_and_the_source_is_needed_next_time(self):
        self.write("a", size=MIB)
        daemon = self.ready()
        os.rename(self.original("a"), self.path("a"))
        daemon.wait_status(r"is suddenly empty")
        daemon.stop()
        self.assert_gone()
        self.assertIn("is empty but was not before", self.refused())


class Replaced(Trouble):
    def test_another_filesystem_over_the_source_changes_nothing(self):
        self.write("a", size=MIB)
        daemon = self.ready(self.config(PollInterval="1s"))
        subprocess.run(["mount", "-t", "tmpfs", "over", self.source], check=True)
        self.write("intruder", b"x")
        daemon.wait_status(r"^Degraded: 1 file, .*The source '%s' is gone, or another filesystem is in its place" % self.source)
        daemon.listen(2.5)
        self.assertEqual(self.names(), {"a"})
        self.logged_once(daemon, r"is gone, or another filesystem is in its place")
        subprocess.run(["umount", self.source], check=True)
        daemon.wait_status(r"^Ready: 1 file")
        self.logged_once(daemon, r"The source '%s' is back" % self.source)
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
        self.logged_once(daemon, r"The source '%s' is back" % self.source)
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
        self.happens_again = "is gone, or another filesystem|Mirror .m. is degraded"
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
        line = self.logged_once(daemon, r"'%s'" % self.original("secret"))
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
        line = self.logged_once(daemon, r"'%s'" % self.original("dir"))
        self.assertIn("Permission denied", line)
        self.nudge()
        self.assertEqual(self.inode("dir/a"), inode)
        daemon.kill()
        daemon = self.ready(config, user=NOBODY)
        self.logged_once(daemon, r"'%s'" % self.original("dir"))
        daemon.wait_status(r"^Degraded: ")
        self.assertEqual(self.inode("dir/a"), inode)
        os.chmod(self.original("dir"), 0o755)
        daemon.wait_status(r"^Ready: ")
        self.assertEqual(self.inode("dir/a"), inode)
        daemon.stop()
        self.assert_gone()

    def test_a_read_only_directory_can_be_filled_and_emptied_by_a_user_too(self):
        self.as_user()
        self.write("dir/a", b"x")
        os.chmod(self.original("dir"), 0o555)
        daemon = self.ready(user=NOBODY)
        self.write("dir/b", b"y")
        daemon.wait(lambda: os.path.exists(self.mirrored("dir/b")), "one more file")
        os.unlink(self.original("dir/a"))
        daemon.wait(lambda: not os.path.exists(self.mirrored("dir/a")), "one less")
        daemon.stop()
        self.assert_gone()

    def test_a_directory_that_cannot_be_read_at_first_makes_it_degraded(self):
        self.as_user()
        self.write("good", size=MIB)
        self.write("dir/a", size=MIB)
        os.chmod(self.original("dir"), 0)
        daemon = self.ready(user=NOBODY)
        daemon.wait_status(r"^Degraded: .*'%s'" % self.original("dir"))
        self.assertIn("is ready (degraded)", daemon.log())
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


class Skipped(Trouble):
    def test_each_is_reported_once_in_spite_of_repeated_scans(self):
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
            for name, words in (("dir/fifo", "device, pipe or socket"), ("device", "device, pipe or socket"), ("socket", "device, pipe or socket"),
                                ("absolute", "points outside the source"), ("dir/out", "points outside the source")):
                line = self.logged_once(daemon, "'%s'" % self.original(name))
                self.assertTrue(line.startswith("Left out '"), line)
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
        self.daemons[-1].log = lambda: log.replace("Left out '%s'" % self.original("dir/fifo"), "", 1)  # for tearDown()


class Race(Trouble):
    """A user that may write to the source tries to make the daemon read files that the user may not."""

    def race(self, swap, name, seconds=3):
        secret = b"SECRET" * 1000
        self.write(name, secret, root=self.path("outside"))
        self.write(name, b"inside" * 1000)
        self.write("other", b"x")
        seen = set()

        def read():
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
        while time.monotonic() < end or (restarts <= 5 and time.monotonic() < end + 60 * harness.LONG):
            read()
            daemon.pump(0.001)
            if daemon.notified("READY"):
                daemon.signal(signal.SIGTERM)
                self.assertEqual(daemon.join(), 0, daemon.log())
                restarts += 1
                daemon = self.daemon()
        loop.stop()
        if os.path.islink(self.original(name.split("/")[0])):
            swap()
        daemon.wait_ready()
        daemon.wait_status(r"^Ready: 2 files")
        read()
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
