# SPDX-License-Identifier: GPL-2.0-or-later
"""A file is known by its inode, its size, both its times and what the watch reported of it; where one of these differs, its bytes decide. Size and time alone
never make two files the same: not a client's own copy and ours, and not a file before and after a store through a mapping."""

import contextlib
import hashlib
import os
import re
import signal
import subprocess
import time

import harness
from mapped import Client
from test_hazards import Hazards
from test_operations import OperationCase
from tracer import thread_held

KIB, MIB = 1 << 10, 1 << 20
OLDER, NEWER = 1_000_000_000 * 10**9, 4_000_000_000 * 10**9
SAVED = r"^Ready: (?!.*not on disk).*all saved"


def short(content):
    """What is compared instead of the bytes, so that a failure can be read."""
    return hashlib.sha256(content).hexdigest()[:12]


def altered(content, offset=5000):
    """Another byte at the offset."""
    return content[:offset] + bytes([content[offset] ^ 0x55]) + content[offset + 1:]


class Identity(Hazards, OperationCase):
    def model(self, name="model.bin", size=64 * KIB):
        """A file on disk. Returns its content."""
        content = os.urandom(size)
        self.write(name, content)
        return content

    def store(self, name, offset=5000):
        """Alters a byte of a mirror's file through a mapping, without a trace in its times. Returns what it holds then."""
        path = self.mirrored(name)
        before, content = os.stat(path), self.read(path)
        client = Client(self, path)
        client.store(offset, altered(content, offset)[offset:offset + 1])
        client.close()
        after = os.stat(path)
        self.assertEqual((before.st_ino, before.st_mtime_ns, before.st_ctime_ns), (after.st_ino, after.st_mtime_ns, after.st_ctime_ns),
                         "the store has moved the times, so this shows nothing")
        return altered(content, offset)

    def replace(self, name, content, mtime=None, root=None):
        """By rename: a client's own inode."""
        path = os.path.join(root or self.target, name)
        self.write(name + ".part", content, root=root or self.target)
        if mtime is not None:
            os.utime(path + ".part", ns=(mtime, mtime))
        os.rename(path + ".part", path)
        return os.stat(path).st_ino

    def has(self, name, content):
        """On disk."""
        with contextlib.suppress(OSError):
            return self.read(self.on_disk(name)) == content
        return False

    def wait_on_disk(self, name, content, timeout=30):
        self.wait_until(lambda: self.has(name, content), "'%s' on disk with what the mirror has" % name, self.running, timeout)

    def seen_at(self, path):
        return short(self.read(path))

    def picture(self, root=None):
        return {name: (*rest, short(content) if isinstance(content, bytes) else content)
                for name, (*rest, content) in super().picture(root).items() if not name.startswith(".shmstaged")}

    def kept(self):
        """What lies in conflicts/: {path: contents}."""
        return {name: [short(content) for content in contents] for name, contents in self.conflicts().items()}

    def on_record(self):
        """All contents on disk, at whatever place."""
        return {self.seen_at(self.on_disk(name)) for name in self.names(self.source) if os.path.isfile(self.on_disk(name))}.union(
            *self.kept().values(), map(short, self.trash().values()))

    def reported(self, name, since=0):
        """Lines of the log that name it."""
        return [line for line in self.running.log()[since:].splitlines() if "'%s'" % name in line or "/%s'" % name in line]

    def keeps(self, name, content, pattern="."):
        """A stop that cannot save it keeps it, fails, and names it, with the reason."""
        since = len(self.running.log())
        self.running.stop(expect=1)
        self.assertEqual(self.seen_at(self.mirrored(name)), short(content))
        self.assertRegex("\n".join(self.reported(name, since)), pattern)
        self.assertRegex(self.running.status(), "^Failed: ")

    def ends(self, **contents):
        """A stop with exit status 0: the mirror is gone, and the disk has these."""
        self.running.wait_status(SAVED)
        self.stops(**contents)

    def stops(self, **contents):
        self.running.stop()
        self.assert_gone()
        for name, content in contents.items():
            self.assertEqual(self.seen_at(self.on_disk(name)), short(content))
        self.assert_tidy()

    def count_of_saves(self):
        return int(re.search(r"^shmstaged_saved_files_total\S* (\d+)$", self.ask("metrics"), re.M)[1])

    def trace(self, **keys):
        """A daemon whose reads are recorded; returns a function that gives those of files with such a name since it was last called."""
        self.running = self.ready(self.config(**keys), traced=True)
        self.running.wait_status(SAVED)
        return self.recorded(self.running.pid)

    READS = "read,pread64,readv,preadv,preadv2,sendfile,copy_file_range,splice,mmap"

    def recorded(self, pid):
        calls, at = self.path("calls-%d" % self.count()), 0
        self.strace(pid, "-y", "-o", calls, "-e", "trace=" + self.READS)

        def reads(name="model.bin"):
            nonlocal at
            text = self.read(calls)[at:].decode(errors="surrogateescape")
            at += len(text.encode(errors="surrogateescape"))
            return self.reads_in(text, name)
        return reads

    @staticmethod
    def reads_in(text, name):
        return [line for line in text.splitlines() if re.search(r"\d<[^>]*%s" % re.escape(name), line)]


class OwnCopy(Identity):
    """The file goes from the disk and a client puts its own copy into the mirror, with the same size and time."""

    def begin_with(self, **keys):
        self.content = self.model()
        self.write("other", b"x")
        self.begin(**keys)
        self.running.wait_status("^Ready: ")

    def move(self):
        subprocess.run(["mv", self.on_disk("model.bin"), self.mirrored("model.bin")], check=True)

    def copy(self):
        os.unlink(self.mirrored("model.bin"))
        subprocess.run(["cp", "-p", self.on_disk("model.bin"), self.mirrored("model.bin")], check=True)
        os.unlink(self.on_disk("model.bin"))

    def copy_slowly(self, same_time=True):
        """As mv(1) does it, with scans between the copying and the removal."""
        os.unlink(self.mirrored("model.bin"))
        subprocess.run(["cp", *(["-p"] if same_time else []), self.on_disk("model.bin"), self.mirrored("model.bin")], check=True)
        for name in ("one", "two", "three"):
            self.write(name, b"x", root=self.source)
            self.wait_until(lambda: os.path.exists(self.mirrored(name)), name, self.running)
        self.running.wait_status(SAVED)
        os.unlink(self.on_disk("model.bin"))

    def assert_back(self, put, wait=True, **keys):
        self.begin_with(**keys)
        staged = self.inode("model.bin")
        put()
        inode = self.inode("model.bin")
        self.assertNotEqual(inode, staged)

        def is_back():
            if not os.path.lexists(self.mirrored("model.bin")):
                self.fail("it was removed from the mirror while it was only there\n" + self.running.log())
            self.assertEqual(self.inode("model.bin"), inode)
            return self.has("model.bin", self.content)
        if wait:
            self.wait_until(is_back, "it to be on disk again", self.running)
            self.running.wait_status(SAVED)
            self.assertEqual(self.inode("model.bin"), inode)
        self.stops(**{"model.bin": self.content, "other": b"x"})
        self.assertEqual(self.kept(), {})

    def test_moved_slowly_from_the_disk_into_the_mirror_it_comes_back_on_disk(self):
        self.assert_back(self.copy_slowly)

    def test_moved_slowly_from_the_disk_into_the_mirror_without_its_time(self):
        self.assert_back(lambda: self.copy_slowly(same_time=False))

    def test_moved_slowly_from_the_disk_into_the_mirror_and_its_mode_changed(self):
        def put():
            self.copy_slowly()
            os.chmod(self.mirrored("model.bin"), 0o600)
        self.assert_back(put)

    def test_moved_from_the_disk_into_the_mirror_it_comes_back_on_disk(self):
        self.assert_back(self.move)

    def test_moved_from_the_disk_into_the_mirror_right_before_a_stop(self):
        self.assert_back(self.move, wait=False)

    def test_moved_from_the_disk_into_the_mirror_where_deletions_are_not_carried_over(self):
        self.assert_back(self.move, Deletes="keep")

    def test_moved_from_the_disk_into_the_mirror_where_deletions_are_final(self):
        self.assert_back(self.move, Deletes="propagate")

    def test_copied_with_its_time_it_comes_back_on_disk(self):
        self.assert_back(self.copy)

    def test_copied_with_its_time_right_before_a_stop(self):
        self.assert_back(self.copy, wait=False)

    def test_copied_with_its_time_where_deletions_are_not_carried_over(self):
        self.assert_back(self.copy, Deletes="keep")

    def assert_held(self, put):
        self.begin_with(WriteBack="no")
        put()
        inode = self.inode("model.bin")
        self.running.wait_status(r"1 changed in the mirror only")
        self.assertEqual(self.inode("model.bin"), inode)
        self.keeps("model.bin", self.content)
        self.assertEqual(self.inode("model.bin"), inode)
        self.assertFalse(os.path.exists(self.on_disk("model.bin")))

    def test_without_write_back_it_stays_in_the_mirror_after_a_move(self):
        self.assert_held(self.move)

    def test_without_write_back_it_stays_in_the_mirror_after_a_copy(self):
        self.assert_held(self.copy)

    def assert_back_by_the_next_start(self, put):
        self.begin_with()
        self.running.kill()
        put()
        inode = self.inode("model.bin")
        self.begin()
        self.wait_on_disk("model.bin", self.content)
        self.assertEqual(self.inode("model.bin"), inode)
        self.ends(**{"model.bin": self.content})

    def test_moved_while_no_daemon_runs_it_comes_back_on_disk(self):
        self.assert_back_by_the_next_start(self.move)

    def test_copied_while_no_daemon_runs_it_comes_back_on_disk(self):
        self.assert_back_by_the_next_start(self.copy)

    def test_other_bytes_of_the_same_size_and_time_are_saved_when_the_disks_file_goes(self):
        self.begin_with(SettleTime="1s")
        mtime = os.stat(self.on_disk("model.bin")).st_mtime_ns
        content = os.urandom(len(self.content))
        inode = self.replace("model.bin", content, mtime)
        os.unlink(self.on_disk("model.bin"))
        self.wait_on_disk("model.bin", content)
        self.assertEqual(self.inode("model.bin"), inode)
        self.ends(**{"model.bin": content})

    def test_a_larger_file_of_a_client_is_saved_when_the_disks_file_goes(self):
        self.begin_with(SettleTime="1s")
        content = os.urandom(80 * KIB)
        inode = self.replace("model.bin", content)
        os.unlink(self.on_disk("model.bin"))
        self.wait_on_disk("model.bin", content)
        self.assertEqual(self.inode("model.bin"), inode)
        self.ends(**{"model.bin": content})


class Mapped(Identity):
    """Stores through a shared mapping, which move no time."""

    def begin_with(self, **keys):
        self.content = self.model()
        self.begin(**keys)
        self.running.wait_status("^Ready: ")

    def test_they_are_on_disk_soon(self):
        self.begin_with()
        content = self.store("model.bin")
        self.wait_on_disk("model.bin", content)
        self.ends(**{"model.bin": content})
        self.assertEqual(self.kept(), {})

    def test_one_after_the_other_the_last_one_is_on_disk(self):
        self.begin_with()
        for i in range(5):
            content = self.store("model.bin", 5000 * (i + 1))
            if i % 2:
                self.wait_on_disk("model.bin", content)
        self.wait_on_disk("model.bin", content)
        self.ends(**{"model.bin": content})
        self.assertEqual(self.kept(), {})

    def test_they_are_on_disk_after_a_stop(self):
        self.begin_with(SettleTime="1h")
        content = self.store("model.bin")
        self.stops(**{"model.bin": content})

    def test_they_are_on_disk_after_a_stop_that_comes_at_once(self):
        self.begin_with()
        content = self.store("model.bin")
        self.stops(**{"model.bin": content})

    def test_sync_saves_them(self):
        self.begin_with(SettleTime="1h")
        content = self.store("model.bin")
        self.ask("sync")
        self.assertEqual(self.seen_at(self.on_disk("model.bin")), short(content))
        self.ends(**{"model.bin": content})

    def test_sync_waits_until_they_are_reported(self):
        self.begin_with(SettleTime="1h")
        with thread_held(self.running.pid, "watch"):
            content = self.store("model.bin")
            job = self.asking("sync")
            time.sleep(0.2)  # if less is enough for an answer, that is wrong
        self.answer(job)
        self.assertEqual(self.seen_at(self.on_disk("model.bin")), short(content))
        self.ends(**{"model.bin": content})

    def test_beside_what_was_altered_on_the_disk_while_no_daemon_ran(self):
        """What cannot be compared when the daemon starts, because it is mapped, is still in doubt when it is watched."""
        self.begin_with()
        client = Client(self, self.mirrored("model.bin"))
        self.running.kill()
        self.flip(self.on_disk("model.bin"), 7000)
        theirs, ours = self.read(self.on_disk("model.bin")), altered(self.content)
        client.store(5000, ours[5000:5001])
        self.begin()
        self.running.wait_log("model.bin' in the mirror is open or mapped for writing")
        for name in ("one", "two"):  # scans
            self.write(name, b"x", root=self.source)
            self.wait_until(lambda: os.path.exists(self.mirrored(name)), name, self.running)
        client.close()
        self.wait_until(lambda: self.on_record() >= {short(theirs), short(ours)}, "both versions on disk", self.running)
        self.running.wait_status(SAVED)
        self.running.stop()
        self.assertLessEqual({short(theirs), short(ours)}, self.on_record())

    def test_through_another_name_of_the_file_they_are_on_disk_under_both(self):
        self.content = self.model()
        os.link(self.on_disk("model.bin"), self.on_disk("second.bin"))
        self.begin()
        self.running.wait_status(SAVED)
        self.assertEqual(self.inode("model.bin"), self.inode("second.bin"))
        content = self.store("second.bin")
        self.wait_on_disk("model.bin", content)
        self.wait_on_disk("second.bin", content)
        self.ends(**{"model.bin": content, "second.bin": content})
        self.assertTrue(os.path.samefile(self.on_disk("model.bin"), self.on_disk("second.bin")))

    def test_through_a_name_that_is_gone_when_the_file_is_closed(self):
        self.begin_with()
        os.link(self.mirrored("model.bin"), self.mirrored("passing.bin"))
        client = Client(self, self.mirrored("passing.bin"))
        os.unlink(self.mirrored("passing.bin"))
        content = altered(self.content)
        client.store(5000, content[5000:5001])
        client.close()
        self.wait_on_disk("model.bin", content)
        self.ends(**{"model.bin": content})

    def test_of_a_file_that_is_renamed_too_both_versions_are_on_disk(self):
        self.begin_with(SettleTime="1s")
        client = Client(self, self.mirrored("model.bin"))
        content = altered(self.content)
        client.store(5000, content[5000:5001])
        os.mkdir(self.mirrored("new"))
        os.rename(self.mirrored("model.bin"), self.mirrored("new/model.bin"))
        client.close()
        self.wait_on_disk("new/model.bin", content)
        self.wait_until(lambda: not os.path.exists(self.on_disk("model.bin")), "the old name to go", self.running)
        self.assertEqual(self.trash(), {"model.bin": self.content})
        self.ends(**{"new/model.bin": content})

    def test_without_write_back_they_keep_the_mirror(self):
        self.begin_with(WriteBack="no")
        content = self.store("model.bin")
        self.keeps("model.bin", content)
        self.assertEqual(self.seen_at(self.on_disk("model.bin")), short(self.content))

    def test_a_file_that_is_still_mapped_at_a_stop_is_kept(self):
        """The descriptor is closed, and nothing was reported of the file but that it was opened."""
        self.begin_with()
        client = Client(self, self.mirrored("model.bin"))
        content = altered(self.content)
        client.store(5000, content[5000:5001])
        self.keeps("model.bin", content, r"(open|mapped) for writing")
        client.close()
        self.begin()
        self.wait_on_disk("model.bin", content)
        self.ends(**{"model.bin": content})
        self.assertEqual(self.kept(), {})

    def test_a_file_that_is_still_mapped_through_another_name_at_a_stop_is_kept(self):
        self.content = self.model()
        os.link(self.on_disk("model.bin"), self.on_disk("second.bin"))
        self.begin()
        self.running.wait_status(SAVED)
        client = Client(self, self.mirrored("second.bin"))
        content = altered(self.content)
        client.store(5000, content[5000:5001])
        self.keeps("model.bin", content)
        self.assertRegex(self.running.log(), r"'(\S*/)?(model|second)\.bin'.*(open|mapped) for writing")
        self.assertEqual(self.seen_at(self.mirrored("second.bin")), short(content))
        client.close()
        self.begin()
        self.wait_on_disk("model.bin", content)
        self.ends(**{"model.bin": content, "second.bin": content})

    def test_a_file_that_is_let_go_of_right_before_a_stop_is_saved(self):
        self.begin_with()
        client = Client(self, self.mirrored("model.bin"))
        content = altered(self.content)
        client.store(5000, content[5000:5001])
        client.unmap()
        self.stops(**{"model.bin": content})

    def test_a_file_that_was_opened_for_writing_and_closed_unchanged_is_not_saved(self):
        self.begin_with()
        before, saves = self.picture(), self.count_of_saves()
        inode = self.inode("model.bin")
        client = Client(self, self.mirrored("model.bin"))
        client.close()
        with open(self.mirrored("model.bin"), "r+b"):
            pass
        self.put("after", b"x")  # when this is on disk, the other one has had its turn
        self.wait_saved("after")
        self.running.wait_status(SAVED)
        self.assert_sleeps(self.running)
        self.assertRegex(self.running.status(), SAVED)
        self.assertEqual(self.count_of_saves(), saves + 1)
        self.assertEqual({n: v for n, v in self.picture().items() if n != "after"}, before)
        self.assertEqual(self.inode("model.bin"), inode)
        self.ends(**{"model.bin": self.content})
        self.assertEqual({n: v for n, v in self.picture().items() if n != "after"}, before)


class Unwatched(Identity):
    """What happens to the mirror while no daemon runs, or while it loses events."""

    def killed(self, **keys):
        self.content = self.model()
        self.write("other", os.urandom(64 * KIB))
        time.sleep(0.02)  # what is younger than a tick of the clock is looked at twice
        self.begin(**keys)
        self.running.wait_status(SAVED)
        self.running.kill()

    def assert_both_survive(self, content):
        """On disk: what was staged, and what the mirror was changed to. One of them is not at the name, and that is reported."""
        self.assertIn(short(content), self.on_record(), self.running.log())
        self.assertIn(short(self.content), self.on_record(), self.running.log())
        self.assertTrue(self.reported("model.bin"), self.running.log())

    def test_stores_through_a_mapping_are_found_by_the_next_start(self):
        self.killed()
        content = self.store("model.bin")
        self.begin()
        self.wait_until(lambda: short(content) in self.on_record(), "what a client wrote to be on disk", self.running)
        self.running.wait_status("^Ready: (?!.*not on disk)")
        self.assert_both_survive(content)
        self.running.stop()
        self.assert_gone()
        self.assert_both_survive(content)

    def test_stores_through_a_mapping_survive_a_stop_right_after_the_start(self):
        self.killed()
        content = self.store("model.bin")
        self.begin()
        self.running.signal(signal.SIGTERM)
        if self.running.join() == 0:
            self.assert_gone()
            self.assert_both_survive(content)
        else:
            self.assertEqual(self.seen_at(self.mirrored("model.bin")), short(content))
            self.assertEqual(self.seen_at(self.on_disk("model.bin")), short(self.content))
            self.assertTrue(self.reported("model.bin"), self.running.log())

    def test_a_file_that_is_still_mapped_survives_a_stop_right_after_the_start(self):
        self.killed()
        client = Client(self, self.mirrored("model.bin"))
        content = altered(self.content)
        client.store(5000, content[5000:5001])
        self.begin()
        self.keeps("model.bin", content, r"(open|mapped) for writing")
        self.assertEqual(self.seen_at(self.on_disk("model.bin")), short(self.content))
        client.close()

    def test_after_a_kill_files_are_not_copied_but_read_when_ready_was_sent(self):
        self.killed()
        before = {name: self.inode(name) for name in self.names()}
        calls = self.path("calls")
        daemon = self.running = self.daemon(self.config(), traced=True, wrapper=[
            "strace", "-f", "-qq", "-y", "-s", "200", "-o", calls, "-e", "trace=sendto,sendmsg," + self.READS])
        daemon.wait_ready()

        def text():
            return self.read(calls).decode(errors="surrogateescape")
        self.wait_until(lambda: "READY=1" in text(), "READY=1 in the trace", daemon)
        ready = text().index("READY=1")
        self.assertEqual(self.reads_in(text()[:ready], "model.bin"), [])
        for name in ("model.bin", "other"):
            self.wait_until(lambda: self.reads_in(text()[ready:], "target/" + name), "'%s' to be read in the background" % name, daemon)
        self.assertEqual(self.reads_in(text(), "source/model.bin"), [])
        daemon.wait_status(SAVED)
        self.assertEqual({name: self.inode(name) for name in self.names()}, before)
        os.kill(int(self.read(self.mirrored(".shmstaged/lock"))), signal.SIGTERM)
        self.assertEqual(daemon.join(), 0, daemon.log())
        self.assert_gone()

    def overflow(self, act):
        """More events than the kernel keeps, while none is read, and then @act."""
        daemon = self.running
        daemon.freeze()
        names = [self.mirrored("events-%d.part" % i) for i in range(2)]
        self.fill_event_queue(names)
        result = act()
        for name in names:
            os.unlink(name)
        daemon.signal(signal.SIGCONT)
        return result

    def begin_with(self, **keys):
        self.content = self.model()
        self.begin(**keys)
        self.running.wait_status(SAVED)

    def test_stores_through_a_mapping_whose_report_was_lost_are_on_disk_after_a_stop(self):
        self.begin_with()
        content = self.overflow(lambda: self.store("model.bin"))
        self.running.wait_log("Some change notifications of '%s' were lost" % self.target)
        self.running.stop()
        self.assert_gone()
        self.assertIn(short(content), self.on_record(), self.running.log())

    def test_stores_through_a_mapping_whose_report_was_lost_survive_a_stop_at_once(self):
        self.begin_with()
        content = self.overflow(lambda: self.store("model.bin"))
        self.running.stop()
        self.assert_gone()
        self.assertIn(short(content), self.on_record(), self.running.log())

    def test_stores_through_a_mapping_whose_report_was_lost_survive_a_stop_after_scans(self):
        self.begin_with()
        for name in ("one", "two"):
            self.write(name, b"x", root=self.source)
            self.wait_until(lambda: os.path.exists(self.mirrored(name)), name, self.running)
        content = self.overflow(lambda: self.store("model.bin"))
        self.running.stop()
        self.assert_gone()
        self.assertIn(short(content), self.on_record(), self.running.log())

    def test_a_file_that_is_still_mapped_after_events_were_lost_is_kept(self):
        self.begin_with()
        client = self.overflow(lambda: Client(self, self.mirrored("model.bin")))
        content = altered(self.content)
        client.store(5000, content[5000:5001])
        self.running.wait_log("Some change notifications of '%s' were lost" % self.target)
        self.keeps("model.bin", content, r"(open|mapped) for writing")


class TimeSet(Identity):
    """A client gives a file another time, which is no work of its own, then the disk gets another version of the same size."""

    def test_the_disks_version_comes_into_the_mirror(self):
        """It was compared again and again, for ever."""
        self.model()
        self.begin(SettleTime="2s")
        self.running.wait_status(SAVED)
        os.utime(self.mirrored("model.bin"), ns=(OLDER, OLDER))
        theirs = os.urandom(64 * KIB)
        self.replace("model.bin", theirs, root=self.source)
        self.wait_until(lambda: self.seen_at(self.mirrored("model.bin")) == short(theirs), "the disk's version in the mirror", self.running)
        self.ends(**{"model.bin": theirs})
        self.assertEqual(self.kept(), {})


class TimePutBack(Identity):
    """A client alters a file in place and puts its time back, then the disk gets another version."""

    def change_both(self, mtime, act=None):
        self.content = self.model()
        self.begin(SettleTime="2s")
        self.running.wait_status(SAVED)
        self.flip(self.mirrored("model.bin"), 5000)
        ours, theirs = altered(self.content), os.urandom(64 * KIB)
        if act:
            act()
        self.replace("model.bin", theirs, mtime, root=self.source)

        def agree():
            found = [self.seen_at(self.on_disk("model.bin"))] + self.kept().get("model.bin", [])
            return set(found) == {short(ours), short(theirs)} and self.seen_at(self.mirrored("model.bin")) == found[0]
        self.wait_until(agree, "both versions to be on disk, and one of them on both sides", self.running)
        self.running.wait_status(r"^Ready: (?!.*not on disk).*changed on both sides")
        self.assert_sleeps(self.running)
        self.assertTrue(agree())
        self.running.stop()
        self.assert_gone()
        self.assertEqual({self.seen_at(self.on_disk("model.bin")), *self.kept()["model.bin"]}, {short(ours), short(theirs)})
        return {ours: "mirror", theirs: "disk"}[self.read(self.on_disk("model.bin"))]

    def test_the_newer_version_of_the_disk_has_the_name(self):
        self.assertEqual(self.change_both(NEWER), "disk")

    def test_an_older_version_of_the_disk_is_kept_aside(self):
        self.assertEqual(self.change_both(OLDER), "mirror")

    def test_altered_once_more_and_put_back_both_survive(self):
        """The version that was recorded as altered, with the same size and times but for the ctime."""
        self.content = self.model()
        self.begin(SettleTime="2s")
        self.running.wait_status(SAVED)
        self.flip(self.mirrored("model.bin"), 5000)
        theirs = os.urandom(64 * KIB)
        self.replace("model.bin", theirs, NEWER, root=self.source)
        self.wait_until(lambda: self.read(self.mirrored("model.bin")) == theirs, "the disk's version in the mirror", self.running)
        self.running.wait_status(r"^Ready: (?!.*not on disk).*changed on both sides")
        self.flip(self.mirrored("model.bin"), 6000)
        self.wait_on_disk("model.bin", altered(theirs, 6000))
        self.assertEqual(self.kept(), {"model.bin": [short(altered(self.content))]})
        self.running.wait_status(r"^Ready: (?!.*not on disk)")
        self.assert_sleeps(self.running)
        self.running.stop()
        self.assertEqual(self.seen_at(self.on_disk("model.bin")), short(altered(theirs, 6000)))


class FailedStop(Identity):
    """A stop that could not save a client's version: the next start does, and takes it for what it is, a change of one side."""

    def full_disk(self):
        """The source is on a disk that has no room for another version."""
        disk, _ = self.ext4(16 * MIB)
        os.rmdir(self.source)
        self.source = os.path.join(disk, "source")
        os.mkdir(self.source)
        self.ballast = os.path.join(disk, "ballast")
        self.content = self.model(size=3 * MIB)
        self.write("other", b"x")
        self.begin()
        self.running.wait_status(SAVED)
        st = os.statvfs(disk)
        with open(self.ballast, "xb") as f:
            os.posix_fallocate(f.fileno(), 0, st.f_bavail * st.f_frsize - MIB)

    def next_start_saves(self, content, inode):
        self.assertEqual(self.names(), {"model.bin"})
        self.assertEqual(self.seen_at(self.on_disk("model.bin")), short(self.content))
        self.begin()
        self.wait_on_disk("model.bin", content)
        self.assertEqual(self.inode("model.bin"), inode)
        self.ends(**{"model.bin": content, "other": b"x"})
        self.assertEqual(self.kept(), {})
        self.assertNotRegex(self.running.log(), "changed on disk and in the mirror")

    def for_want_of_room(self, mtime):
        self.full_disk()
        content = os.urandom(3 * MIB)
        inode = self.replace("model.bin", content, mtime)
        self.running.wait_log("disk of '.*' is full|No space left")
        self.keeps("model.bin", content)
        os.unlink(self.ballast)
        self.next_start_saves(content, inode)

    def test_an_older_file_for_want_of_room(self):
        self.for_want_of_room(OLDER)

    def test_a_newer_file_for_want_of_room(self):
        self.for_want_of_room(NEWER)

    def test_a_file_of_the_same_time_for_want_of_room(self):
        self.full_disk()
        os.unlink(self.ballast)
        self.ends()
        self.running = None
        os.utime(self.on_disk("model.bin"), ns=(OLDER, OLDER))
        self.begin()
        self.running.wait_status(SAVED)
        st = os.statvfs(os.path.dirname(self.ballast))
        with open(self.ballast, "xb") as f:
            os.posix_fallocate(f.fileno(), 0, st.f_bavail * st.f_frsize - MIB)
        content = os.urandom(3 * MIB)
        inode = self.replace("model.bin", content, OLDER)
        self.running.wait_log("disk of '.*' is full|No space left")
        self.keeps("model.bin", content)
        os.unlink(self.ballast)
        self.next_start_saves(content, inode)

    def test_a_store_through_a_mapping_for_want_of_room(self):
        self.full_disk()
        content = self.store("model.bin")
        self.running.wait_log("disk of '.*' is full|No space left")
        self.keeps("model.bin", content)
        os.unlink(self.ballast)
        self.next_start_saves(content, self.inode("model.bin"))

    def test_a_file_written_in_place_for_want_of_room(self):
        self.full_disk()
        content = altered(self.content)
        self.flip(self.mirrored("model.bin"), 5000)
        self.running.wait_log("disk of '.*' is full|No space left")
        self.keeps("model.bin", content)
        os.unlink(self.ballast)
        self.next_start_saves(content, self.inode("model.bin"))

    def while_it_is_open(self, mtime):
        self.content = self.model()
        self.write("other", b"x")
        self.begin()
        self.running.wait_status(SAVED)
        content = os.urandom(64 * KIB)
        path = self.mirrored("model.bin.part")
        with open(path, "wb") as f:
            f.write(content)
            f.flush()
            os.utime(path, ns=(mtime, mtime))
            os.rename(path, self.mirrored("model.bin"))
            self.keeps("model.bin", content, "open for writing")
        self.next_start_saves(content, self.inode("model.bin"))

    def test_an_older_file_that_is_open_for_writing(self):
        self.while_it_is_open(OLDER)

    def test_a_newer_file_that_is_open_for_writing(self):
        self.while_it_is_open(NEWER)


class EqualBytes(Identity):
    """The same bytes arrive on both sides, in files of different times."""

    def assert_settled(self, *names):
        inodes = {name: os.stat(self.on_disk(name)).st_ino for name in names}
        self.running.wait_status(SAVED)
        self.assert_sleeps(self.running)
        self.assertRegex(self.running.status(), SAVED)
        self.assertNotRegex(self.running.status(), "both sides|conflict")
        self.assertNotRegex(self.running.log(), "Saved '|both sides|on disk and in the mirror")
        self.assertEqual({name: os.stat(self.on_disk(name)).st_ino for name in names}, inodes)
        self.assertEqual(self.kept(), {})
        self.running.stop()
        self.assert_gone()
        self.assertEqual({name: os.stat(self.on_disk(name)).st_ino for name in names}, inodes)
        self.assertEqual(self.kept(), {})
        self.assertEqual(set(self.trash()), set())

    def arrive(self, name, content):
        self.replace(name, content, OLDER)
        self.replace(name, content, NEWER, root=self.source)

    def test_of_a_new_file(self):
        self.model()
        self.begin(SettleTime="2s")
        self.running.wait_status(SAVED)
        self.arrive("new.bin", os.urandom(64 * KIB))
        self.assert_settled("model.bin", "new.bin")

    def test_of_a_new_file_first_on_disk(self):
        self.model()
        self.begin(SettleTime="2s")
        self.running.wait_status(SAVED)
        content = os.urandom(64 * KIB)
        self.replace("new.bin", content, OLDER, root=self.source)
        self.replace("new.bin", content, NEWER)
        self.assert_settled("model.bin", "new.bin")

    def test_of_a_changed_file(self):
        self.model()
        self.begin(SettleTime="2s")
        self.running.wait_status(SAVED)
        self.arrive("model.bin", os.urandom(64 * KIB))
        self.assert_settled("model.bin")

    def test_of_a_file_that_was_replaced_by_itself(self):
        content = self.model()
        self.begin(SettleTime="2s")
        self.running.wait_status(SAVED)
        self.arrive("model.bin", content)
        self.assert_settled("model.bin")

    def test_while_no_daemon_runs(self):
        self.model()
        self.begin()
        self.running.wait_status(SAVED)
        self.running.kill()
        self.arrive("new.bin", os.urandom(64 * KIB))
        self.arrive("model.bin", os.urandom(64 * KIB))
        self.begin()
        self.assert_settled("model.bin", "new.bin")

    def test_in_a_directory_that_is_new_on_both_sides(self):
        self.model()
        self.begin(SettleTime="2s")
        self.running.wait_status(SAVED)
        for i in range(5):
            self.arrive("new/sub/%d" % i, os.urandom(5 * KIB))
        self.assert_settled("model.bin", *("new/sub/%d" % i for i in range(5)))


class OtherBytes(Identity):
    """Other bytes under one name that is new on both sides."""

    def test_sync_waits_for_the_comparison(self):
        self.begin(SettleTime="2s")
        self.write("both.bin", bytes(64 * KIB))
        self.write("both.bin", content := os.urandom(64 * KIB), root=self.target)
        self.ask("sync")
        self.assertEqual(self.seen_at(self.on_disk("both.bin")), short(content))
        self.assertEqual(self.kept(), {"both.bin": [short(bytes(64 * KIB))]})
        self.ends(**{"both.bin": content})


class OurLink(Identity):
    """A link to the disk that stands for a file which is not in RAM is renamed: that is a rename of the file."""

    def assert_renamed(self, link, to="g.bin", **keys):
        self.content = self.model("m.bin", 5 * MIB)
        self.write("other", b"x")
        inode = os.stat(self.on_disk("m.bin")).st_ino
        os.makedirs(self.on_disk("d"))
        link(keys)
        self.running.wait_status("^(Ready|Degraded): (?!.*not on disk).*all saved")
        self.assertEqual(os.readlink(self.mirrored("m.bin")), self.on_disk("m.bin"))
        os.rename(self.mirrored("m.bin"), self.mirrored(to))

        def is_renamed():
            with contextlib.suppress(OSError):
                return (os.stat(self.on_disk(to)).st_ino == inode and os.readlink(self.mirrored(to)) == self.on_disk(to) and
                        not os.path.lexists(self.on_disk("m.bin")) and not os.path.lexists(self.mirrored("m.bin")))
            return False
        self.wait_until(is_renamed, "the file to be renamed", self.running)
        self.let_deletions_show(self.running)
        self.assertTrue(is_renamed())
        self.assertEqual(self.seen_at(self.mirrored(to)), short(self.content))
        self.running.wait_status("^(Ready|Degraded): (?!.*not on disk).*all saved")
        self.running.stop()
        self.assert_gone()
        self.assertEqual(self.seen_at(self.on_disk(to)), short(self.content))
        self.assertEqual(os.stat(self.on_disk(to)).st_ino, inode)
        self.assertEqual(self.names(self.source), {"d", "other", to})
        self.assertEqual(set(self.trash()), set())
        self.assertEqual(self.kept(), {})

    def released(self, keys):
        self.begin(OnNoRoom="link", **keys)
        self.ask("release", "m.bin")

    def without_room(self, keys):
        self.begin(OnNoRoom="link", **{**keys, "Size": "2M"})

    def test_of_a_released_file(self):
        self.assert_renamed(self.released)

    def test_of_a_released_file_where_deletions_are_final(self):
        self.assert_renamed(self.released, Deletes="propagate")

    def test_of_a_released_file_where_deletions_are_not_carried_over(self):
        self.assert_renamed(self.released, Deletes="keep")

    def test_of_a_released_file_into_another_directory(self):
        self.assert_renamed(self.released, "d/m.bin")

    def test_of_a_file_that_has_no_room(self):
        self.assert_renamed(self.without_room)

    def test_of_a_file_that_has_no_room_where_deletions_are_final(self):
        self.assert_renamed(self.without_room, Deletes="propagate")


class Logged(Identity):
    def test_what_is_removed_from_the_mirror_because_it_is_gone_from_the_disk_is_logged(self):
        self.model("stays.bin")
        self.model("d/gone.bin")
        self.begin()
        self.running.wait_status(SAVED)
        since = len(self.running.log())
        os.unlink(self.on_disk("d/gone.bin"))
        self.wait_until(lambda: not os.path.exists(self.mirrored("d/gone.bin")), "it to be gone", self.running)
        self.wait_until(lambda: self.reported("d/gone.bin", since), "a line of it in the log", self.running, 10)
        self.running.listen(1)
        self.assertEqual(len(self.reported("d/gone.bin", since)), 1, self.running.log())
        self.running.stop()


class Quiet(Identity):
    """What has not changed is not read again."""

    def test_an_idle_daemon_reads_nothing(self):
        self.model()
        reads = self.trace()
        self.running.listen(1)
        reads("")
        self.wait_for_rest(lambda: (self.read("/proc/%d/io" % self.running.pid), len(reads())), 5, "it reads", self.running)
        self.assertEqual(reads(), [])
        self.running.stop()

    def test_a_scan_of_all_reads_nothing_that_has_not_changed(self):
        self.model()
        reads = self.trace()
        self.running.signal(signal.SIGHUP)
        self.running.wait(lambda: self.running.count("READY", "1") == 2, "the end of the reload")
        self.put("after", b"x")
        self.wait_saved("after")
        self.running.wait_status(SAVED)
        self.assertEqual(reads(), [])
        self.running.stop()

    def test_a_hard_link_made_and_removed_in_the_mirror_reads_and_saves_nothing(self):
        """It moves the ctime of the file."""
        content = self.model()
        reads = self.trace()
        before, inode = self.picture()["model.bin"], self.inode("model.bin")
        ctime = os.stat(self.mirrored("model.bin")).st_ctime_ns
        os.link(self.mirrored("model.bin"), self.mirrored("another-model.bin"))
        self.assertNotEqual(os.stat(self.mirrored("model.bin")).st_ctime_ns, ctime)
        self.wait_until(lambda: os.path.exists(self.on_disk("another-model.bin")), "the other name on disk", self.running)
        self.settle()
        self.assertTrue(os.path.samefile(self.on_disk("model.bin"), self.on_disk("another-model.bin")), self.running.log())
        self.assertEqual(reads(), [])
        os.unlink(self.mirrored("another-model.bin"))
        self.wait_until(lambda: not os.path.exists(self.on_disk("another-model.bin")), "the other name to go from the disk", self.running)
        self.settle()
        self.assertEqual(reads(), [])
        self.assertEqual(self.picture()["model.bin"][:4], before[:4])
        self.assertEqual((self.picture()["model.bin"][5:], self.inode("model.bin")), (before[5:], inode))
        self.assertNotIn("Saved 'model.bin'", self.running.log())
        self.ends(**{"model.bin": content})

    def test_a_hard_link_that_comes_and_goes_between_two_scans_saves_nothing(self):
        content = self.model()
        reads = self.trace()
        before, inode = self.picture(), self.inode("model.bin")
        os.link(self.mirrored("model.bin"), self.mirrored("passing-model.bin.part"))
        os.unlink(self.mirrored("passing-model.bin.part"))
        self.put("after", b"x")
        self.wait_saved("after")
        self.settle()
        # "after" was written, and for all that is known it may have been a name of the model when it was: one reading
        self.assertLessEqual(len(reads()), 1)
        self.assertEqual({n: v for n, v in self.picture().items() if n != "after"}, before)
        self.assertEqual(self.inode("model.bin"), inode)
        self.ends(**{"model.bin": content})

    def test_a_hard_link_made_and_removed_on_disk_reads_nothing(self):
        content = self.model()
        reads = self.trace()
        inode = self.inode("model.bin")
        os.link(self.on_disk("model.bin"), self.on_disk("another-model.bin"))
        self.wait_until(lambda: os.path.exists(self.mirrored("another-model.bin")), "the other name in the mirror", self.running)
        self.settle()
        os.unlink(self.on_disk("another-model.bin"))
        self.wait_until(lambda: not os.path.exists(self.mirrored("another-model.bin")), "the other name to go from the mirror", self.running)
        self.settle()
        self.assertEqual((reads(), self.inode("model.bin")), ([], inode))
        self.ends(**{"model.bin": content})

    def settle(self):
        """Whatever it does because of what happened is done."""
        self.running.wait_status(SAVED)
        self.wait_for_rest(lambda: self.switches(self.running), 3, "it wakes up", self.running)


if __name__ == "__main__":
    harness.main(jobs=3)
