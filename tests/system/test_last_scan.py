# SPDX-License-Identifier: GPL-2.0-or-later
"""What a stop and a crash do to what is not on disk yet."""

import os
import re
import shutil
import signal
import time

import harness
from mapped import Client
from saving import MIB, Saving
from tracer import thread_held


class AtStop(Saving):
    def test_unsettled_files_are_saved_and_then_the_mirror_goes(self):
        self.write("a", b"x")
        daemon = self.ready(self.config(SettleTime="1h"))
        wanted = {"d/%d" % i: os.urandom(1000 * i) for i in range(30)}
        wanted["large"] = os.urandom(20 * MIB)
        for name, content in wanted.items():
            self.put(name, content)
        os.symlink("large", self.mirrored("link"))
        os.mkdir(self.mirrored("empty"))
        self.put("unfinished.part", b"not yet")
        daemon.wait_status(r"; 31 not on disk yet \(20\.4M\)")
        self.assertEqual({n for n in self.names(self.source) if os.path.isfile(self.original(n))}, {"a"})
        daemon.stop()
        self.assert_gone()
        self.assertEqual({n: self.read(self.original(n)) for n in wanted}, wanted)
        self.assertEqual(os.readlink(self.original("link")), "large")
        self.assertTrue(os.path.isdir(self.original("empty")))
        self.assertFalse(os.path.exists(self.original("unfinished.part")))
        self.assertEqual(self.temporaries(), [])
        self.assertRegex("\n".join(daemon.statuses()), r"(?m)^Saving before the stop: \d+ remaining \([\d.]+\w+\)")
        self.assertEqual(daemon.status(), "Stopped")

    def test_a_file_written_right_before_the_stop_is_saved(self):
        self.write("a", b"x")
        for i in range(8):
            daemon = self.ready(self.config(SettleTime="1h"))
            self.put("new-%d" % i, b"%d" % i)
            daemon.stop()
            self.assert_gone()
            self.assertEqual(self.read(self.original("new-%d" % i)), b"%d" % i)

    def test_at_the_moment_a_save_ends(self):
        self.write("a", b"x")
        for i in range(20):
            daemon = self.ready(self.config(SettleTime="0"))
            self.put("one-%d" % i, b"1")
            end = time.monotonic() + 30 * harness.LONG
            while not os.path.exists(self.original("one-%d" % i)) and time.monotonic() < end:
                pass
            self.put("two-%d" % i, b"2")
            daemon.stop()
            self.assert_gone()
            self.assertEqual((self.read(self.original("one-%d" % i)), self.read(self.original("two-%d" % i))), (b"1", b"2"))

    def test_time_is_asked_for_while_bytes_move_and_only_then(self):
        """And a disk that hangs for a while, as one that has to spin up, is waited for: files that are in RAM only would be lost at a shutdown."""
        self.write("a", b"x")
        slow, process = self.bindfs(self.source, "--write-rate=4M")
        daemon = self.ready(self.config(Source=slow, SettleTime="1h"))
        content = os.urandom(24 * MIB)
        self.put("large", content)
        daemon.signal(signal.SIGTERM)
        daemon.wait(lambda: daemon.count("EXTEND_TIMEOUT_USEC") >= 4, "time to be asked for")
        daemon.wait_status(r"^Saving before the stop: 1 remaining \(24M\)")
        process.send_signal(signal.SIGSTOP)
        daemon.listen(2)
        before = daemon.count("EXTEND_TIMEOUT_USEC")
        daemon.listen(10.5)
        self.assertEqual(daemon.count("EXTEND_TIMEOUT_USEC"), before)
        self.assertRegex(daemon.status(), r"^Saving before the stop: 1 remaining \(24M\), no progress for \d+s")
        process.send_signal(signal.SIGCONT)
        self.assertEqual(daemon.join(), 0, daemon.log())
        self.assertGreater(daemon.count("EXTEND_TIMEOUT_USEC"), before)
        self.assert_gone()
        self.assertEqual(self.read(self.original("large")), content)

    def test_what_was_stored_while_the_source_is_gone_keeps_the_mirror(self):
        """A store through a mapping leaves no trace but a report, and there is no scan that could mark the file."""
        self.write("a", bytes(64 << 10))
        daemon = self.ready(self.config(PollInterval="1s"))
        daemon.wait_status("all saved")
        os.rename(self.source, self.source + ".gone")
        daemon.wait_status("is gone")
        client = Client(self, self.mirrored("a"))
        client.store(5000, b"x")
        client.close()
        daemon.listen(1)
        daemon.stop(expect=1)
        self.assertEqual(self.read(self.mirrored("a"))[5000:5001], b"x")

    def test_a_clients_own_copy_stays_if_the_disk_cannot_be_asked_about_its_file(self):
        """It was moved there slowly, so it may be the last one; that the disk has lost it has not been seen."""
        for i in range(10):
            self.write("other-%d" % i, b"%d" % i)
        self.write("m", b"the only one")
        daemon = self.ready(self.config(WatchSource="no", PollInterval="1h"))
        shutil.copy2(self.original("m"), self.mirrored("m.tmp"))
        os.rename(self.mirrored("m.tmp"), self.mirrored("m"))
        daemon.listen(2)
        daemon.wait_status("all saved")
        os.unlink(self.original("m"))
        os.rename(self.source, self.source + ".gone")
        daemon.stop(expect=1)
        self.assertEqual(self.names(), {"m"})
        self.assertEqual(self.read(self.mirrored("m")), b"the only one")

    def test_reports_that_come_late_do_not_hold_up_a_deletion(self):
        self.write("a", b"x")
        self.write("b", b"x")
        daemon = self.ready()
        os.unlink(self.mirrored("a"))
        daemon.listen(1)
        with thread_held(daemon.pid, "watch"):
            daemon.signal(signal.SIGTERM)
            daemon.listen(1.5)  # longer than the watch is waited for
        self.assertEqual(daemon.join(30), 0)
        self.assert_gone()
        self.assertFalse(os.path.exists(self.original("a")))

    def test_a_directory_that_was_replaced_by_a_file_is_saved_as_one(self):
        self.write("d/a", b"x")
        for i in range(10):
            self.write("other-%d" % i, b"%d" % i)
        daemon = self.ready()
        shutil.rmtree(self.mirrored("d"))
        self.put("d", b"a file")
        daemon.stop()
        self.assert_gone()
        self.assertEqual(self.read(self.original("d")), b"a file")
        self.assertEqual(self.trash(), {"d/a"})

    def test_directories_that_changed_places_go_with_the_mirror(self):
        for name in ("D/a", "E/b", "E/F/z", "c"):
            self.write(name, name.encode())
        daemon = self.ready()
        for old, new in (("E/F", "D/F"), ("D", "between"), ("E", "D"), ("between", "E")):
            os.rename(self.mirrored(old), self.mirrored(new))
        daemon.stop()
        self.assert_gone()
        self.assertEqual({name: self.read(self.original(name)) for name in ("D/b", "E/a", "E/F/z", "c")},
                         {"D/b": b"E/b", "E/a": b"D/a", "E/F/z": b"E/F/z", "c": b"c"})

    def test_a_further_name_of_a_file_that_was_replaced_on_disk_keeps_its_bytes(self):
        self.write("a", b"old")
        daemon = self.ready()
        os.link(self.mirrored("a"), self.mirrored("name"))
        self.write("a.part", b"new")
        os.rename(self.original("a.part"), self.original("a"))
        daemon.stop()
        self.assert_gone()
        self.assertEqual((self.read(self.original("a")), self.read(self.original("name"))), (b"new", b"old"))

    def test_a_file_that_is_still_being_written_keeps_the_mirror(self):
        self.write("a", b"x")
        daemon = self.ready()
        with open(self.mirrored("open"), "wb") as f:
            f.write(b"so far")
            f.flush()
            daemon.signal(signal.SIGTERM)
            status = daemon.join()
        self.assertEqual((status, self.names()), (1, {"open"}), daemon.log())
        self.assertRegex(daemon.status(), r"^Failed: .*open")
        daemon = self.ready()
        self.wait_saved(daemon, "open")
        daemon.stop()
        self.assert_gone()


class Soon(Saving):
    def test_a_file_that_was_open_at_the_first_attempt_is_saved_as_soon_as_it_is_closed(self):
        self.write("a", b"x")
        daemon = self.ready(self.config(SettleTime="0"), traced=True)
        calls = self.path("calls")
        self.strace(daemon.pid, "-o", calls, "-e", "trace=fcntl")
        took = []
        while not took or (took[-1] > 1 and len(took) < 5):  # the next attempt would be made after two seconds; a busy machine may take one of them
            name, before = "open-%d" % len(took), len(self.read(calls))
            with open(self.mirrored(name), "wb") as f:
                f.write(b"all of it")
                f.flush()
                self.wait_until(lambda: re.search(rb"F_SETLEASE, F_RDLCK\) *= -1 EAGAIN", self.read(calls)[before:]), "an attempt", daemon)
            begun = time.monotonic()
            self.wait_saved(daemon, name)
            took.append(time.monotonic() - begun)
        self.assertLess(took[-1], 1, took)
        daemon.stop()
        self.assert_gone()


class WithoutWriteBack(Saving):
    def test_nothing_of_the_mirror_reaches_the_disk(self):
        self.write("a", b"x")
        self.write("b", b"y")
        before = self.snapshot()
        daemon = self.ready(self.config(WriteBack="no"))
        self.put("new", b"mine")
        self.put("a", b"changed")
        os.unlink(self.mirrored("b"))
        daemon.wait_status(r"; 2 changed in the mirror only")
        self.wait_until(lambda: os.path.exists(self.mirrored("b")), "what was deleted to be staged again", daemon)
        daemon.listen(1)
        self.assertEqual(self.snapshot(), before)
        self.assertFalse(os.path.exists(self.original(".shmstaged")))
        daemon.stop(expect=1)
        self.assertEqual(self.names(), {"a", "new"})
        self.assertEqual(self.read(self.mirrored("a")), b"changed")
        self.assertEqual(self.snapshot(), before)

    def test_write_back_enabled_by_a_reload_saves_held_files(self):
        self.write("a", b"x")
        path = self.config(WriteBack="no")
        daemon = self.ready(path)
        self.put("new", b"mine")
        daemon.wait_status(r"; 1 changed in the mirror only")
        text = self.read(path).decode()
        with open(path, "w") as f:
            f.write(text.replace("WriteBack=no", "WriteBack=yes"))
        daemon.signal(signal.SIGHUP)
        self.wait_saved(daemon, "new")
        daemon.wait_status(r"^Ready: 2 files")
        daemon.stop()
        self.assert_gone()


class Crash(Saving):
    """kill -9 in the middle of a save."""

    def in_the_middle(self, call):
        """Kills a daemon that is about to do @call for the big file."""
        self.write("staged", size=8 * MIB)
        os.makedirs(self.original(".shmstaged/tmp"), 0o700)
        daemon = self.ready(traced=True)
        calls = self.path("calls")
        strace = self.strace(daemon.pid, "-o", calls, "-e", "trace=" + call, "-e", "inject=%s:delay_enter=60s" % call)
        self.content = os.urandom(40 * MIB)
        self.put("big", self.content)
        return daemon, strace, calls

    def kill(self, daemon, strace):
        """A process that its tracer holds is not gone before the tracer is."""
        daemon.signal(signal.SIGKILL)
        strace.kill()
        daemon.kill()

    def next_start_saves(self):
        inodes = {n: self.inode(n) for n in self.names()}
        daemon = self.ready()
        self.assertEqual(self.temporaries(), [] if os.path.exists(self.original("big")) else self.temporaries()[:1])
        self.wait_saved(daemon, "big")
        daemon.wait_status(r"^Ready: 2 files, 48M")
        self.assertEqual({n: self.inode(n) for n in self.names()}, inodes, "nothing was staged again")
        self.assertEqual(self.temporaries(), [])
        saved = os.stat(self.original("big")).st_ino
        self.assertEqual(self.times_logged(daemon, r"Saved 'big'"), 1)
        daemon.stop()
        self.assert_gone()
        self.assertEqual(os.stat(self.original("big")).st_ino, saved)
        self.assertEqual(self.read(self.original("big")), self.content)
        self.assertEqual(self.times_logged(daemon, r"Saved "), 1)

    def test_before_the_sync(self):
        daemon, strace, calls = self.in_the_middle("fsync")
        self.wait_until(lambda: self.temporaries() and os.path.exists(calls) and b"fsync" in self.read(calls), "the sync", daemon)
        self.kill(daemon, strace)
        self.assertEqual(len(self.temporaries()), 1)
        self.assertFalse(os.path.exists(self.original("big")))
        self.next_start_saves()

    def test_while_it_is_copied(self):
        daemon, strace, calls = self.in_the_middle("pwrite64")
        self.wait_until(lambda: self.temporaries() and b"pwrite64" in self.read(calls), "the first write", daemon)
        self.kill(daemon, strace)
        self.assertEqual(len(self.temporaries()), 1)
        self.next_start_saves()

    def test_after_the_rename_it_is_not_copied_again(self):
        """Saved, and not on record yet."""
        self.write("staged", size=8 * MIB)
        daemon = self.ready(traced=True)
        strace = self.strace(daemon.pid, "-e", "trace=renameat2", "-e", "inject=renameat2:delay_exit=60s")
        self.content = os.urandom(40 * MIB)
        self.put("big", self.content)
        self.wait_until(lambda: os.path.exists(self.original("big")), "the rename", daemon)
        self.kill(daemon, strace)
        inodes = {n: (self.inode(n), os.stat(self.original(n)).st_ino) for n in self.names()}
        daemon = self.ready()
        daemon.wait_status(r"^Ready: 2 files, 48M")
        daemon.listen(1)
        self.assertEqual({n: (self.inode(n), os.stat(self.original(n)).st_ino) for n in self.names()}, inodes)
        self.assertEqual(self.times_logged(daemon, r"Saved "), 0)
        self.assertEqual(self.temporaries(), [])
        self.assert_same_file("big")
        daemon.stop()
        self.assert_gone()

    def test_saving_comes_before_staging(self):
        self.write("staged", size=MIB)
        daemon = self.ready(self.config(SettleTime="1h"))
        self.put("precious", os.urandom(MIB))
        daemon.wait_status(r"1 not on disk yet")
        daemon.kill()
        path = self.write("new", size=30 * MIB)
        daemon = self.daemon(self.config(ChunkSize="1M"), traced=True, wrapper=[
            "strace", "-f", "-qq", "-o", "/dev/null", "-P", path, "-e", "trace=pread64", "-e", "inject=pread64:delay_enter=600000"])
        self.wait_saved(daemon, "precious")
        self.assertFalse(daemon.notified("READY"))
        self.assertRegex(daemon.status(), r"^Staging: ")
        daemon.wait_ready()
        os.kill(int(self.read(self.mirrored(".shmstaged/lock"))), signal.SIGTERM)
        self.assertEqual(daemon.join(), 0, daemon.log())
        self.assert_gone()


if __name__ == "__main__":
    harness.main()
