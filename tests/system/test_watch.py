# SPDX-License-Identifier: GPL-2.0-or-later
"""What changes on disk after READY, and how it comes into the mirror."""

import mmap
import os
import random
import re
import shutil
import threading
import time

import harness


class Watch(harness.Case):
    """What is expected of a source that is watched by the kernel's events, and (in test_poll.py) of one that is polled."""

    def start(self, **keys):
        self.running = self.ready(self.config(**keys))
        return self.running

    def on_disk(self, *parts):
        return os.path.join(self.source, *parts)

    def is_equal(self):
        if self.names() != self.names(self.source):
            return False
        try:
            for name in self.names():
                a, b = os.lstat(self.on_disk(name)), os.lstat(self.mirrored(name))
                if (a.st_mode, a.st_uid, a.st_gid, a.st_mtime_ns) != (b.st_mode, b.st_uid, b.st_gid, b.st_mtime_ns):
                    return False
                if os.path.islink(self.on_disk(name)):
                    if os.readlink(self.on_disk(name)) != os.readlink(self.mirrored(name)):
                        return False
                elif os.path.isfile(self.on_disk(name)) and self.read(self.on_disk(name)) != self.read(self.mirrored(name)):
                    return False
        except FileNotFoundError:
            return False
        return True

    def wait_equal(self, timeout=30):
        try:
            self.wait_until(self.is_equal, "the mirror to follow", self.running, timeout)
        except AssertionError as e:
            raise AssertionError("%s\nmissing: %s\ntoo many: %s" % (
                e, self.names(self.source) - self.names(), self.names() - self.names(self.source))) from None

    def end(self):
        self.running.wait_status("^Ready")
        self.wait_until(lambda: self.xxh128sum().returncode == 0, "the manifest to be true", self.running)  # written a moment later
        self.running.stop()
        self.assert_gone()

    def tree(self):
        for name in ("a", "b", "d/c", "d/e/f", "x/y/z"):
            self.write(name, "content of " + name)

    def test_a_changed_file_is_staged_again_and_its_readers_keep_the_old_one(self):
        old = os.urandom(300 << 10)
        self.write("model", old)
        self.write("other", b"untouched")
        self.start()
        before = self.inode("model"), self.inode("other")
        with open(self.mirrored("model"), "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
            self.write("model", os.urandom(200 << 10))
            self.wait_equal()
            self.assertEqual(m[:], old)
            self.assertEqual(f.read(), old)
        self.assertNotEqual(self.inode("model"), before[0])
        self.assertEqual(self.inode("other"), before[1])
        self.end()

    def test_new_files_and_directories_come(self):
        self.tree()
        self.start()
        self.write("new", b"1")
        self.write("n1/n2/n3/deep", b"2")
        os.makedirs(self.on_disk("empty/directory"))
        os.symlink("../new", self.on_disk("n1/link"))
        self.wait_equal()
        self.write("n1/n2/n3/later", b"3")  # in a directory that the watch had to find
        self.wait_equal()
        self.running.wait_status("^Ready: 8 files")
        self.end()

    def test_a_removed_file_goes_and_its_readers_keep_it(self):
        self.tree()
        self.start()
        with open(self.mirrored("d/e/f"), "rb") as f:
            shutil.rmtree(self.on_disk("d"))
            os.unlink(self.on_disk("a"))
            self.wait_equal()
            self.assertEqual(f.read(), b"content of d/e/f")
        self.end()

    def test_renamed_files_and_directories_move(self):
        self.tree()
        self.start()
        os.rename(self.on_disk("a"), self.on_disk("d/a"))
        os.rename(self.on_disk("d"), self.on_disk("moved"))
        os.rename(self.on_disk("x/y"), self.on_disk("moved/y"))
        self.wait_equal()
        self.write("moved/y/z", b"changed after the move")
        self.wait_equal()
        os.rename(self.on_disk("b"), self.on_disk("moved/y/z"))
        self.wait_equal()
        self.end()

    def test_files_and_directories_change_places(self):
        self.tree()
        os.symlink("a", self.on_disk("link"))
        self.start()
        shutil.rmtree(self.on_disk("d"))
        self.write("d", b"a file now")
        os.unlink(self.on_disk("a"))
        self.write("a/in", b"a directory now")
        os.unlink(self.on_disk("link"))
        os.symlink("b", self.on_disk("link"))
        os.unlink(self.on_disk("b"))
        os.symlink("x", self.on_disk("b"))
        self.wait_equal()
        self.end()

    def test_hard_links_come_and_go(self):
        self.tree()
        self.start()
        os.link(self.on_disk("a"), self.on_disk("d/a2"))
        os.link(self.on_disk("a"), self.on_disk("0"))
        self.wait_until(lambda: self.is_equal() and len({self.inode(n) for n in ("0", "a", "d/a2")}) == 1, "the links", self.running)
        os.unlink(self.on_disk("0"))
        self.wait_equal()
        self.write("a", b"changed for all names")
        self.wait_equal()
        # where inode numbers prove nothing, the names are tied when both have been read
        self.wait_until(lambda: self.inode("a") == self.inode("d/a2"), "one file for both names", self.running)
        self.wait_equal()
        self.end()

    def test_owner_and_mode_are_carried_without_a_copy(self):
        self.write("d/model", size=300 << 10)
        self.start()
        before = self.inode("d/model")
        os.chmod(self.on_disk("d/model"), 0o640)
        self.wait_equal()
        os.chown(self.on_disk("d/model"), 1234, 5678)
        os.chmod(self.on_disk("d"), 0o750)
        self.wait_equal()
        self.assertEqual(self.inode("d/model"), before)
        self.end()

    def write_slowly(self, path, pieces, pause):
        with open(path, "wb") as f:
            for piece in pieces:
                f.write(piece)
                f.flush()
                time.sleep(pause)

    def test_a_file_that_is_still_being_written_waits(self):
        self.write("existing", b"old content")
        self.write("bystander", b"1")
        self.start(SettleTime="2s")
        pieces = [os.urandom(5000) for _ in range(25)]
        writers = [threading.Thread(target=self.write_slowly, args=(self.on_disk(n), pieces, 0.1)) for n in ("existing", "coming")]
        for writer in writers:
            writer.start()
        seen = set()
        while any(writer.is_alive() for writer in writers):
            seen.add(self.read(self.mirrored("existing")))
            self.assertFalse(os.path.exists(self.mirrored("coming")))
            self.running.pump(0.02)
        self.assertEqual(seen, {b"old content"})
        self.wait_equal()
        self.end()

    def test_a_file_holds_still_for_the_settle_time(self):
        self.write("a", b"1")
        self.start(SettleTime="2s")
        self.write("b", b"2")
        written = time.monotonic()
        self.wait_equal()
        self.assertGreaterEqual(time.monotonic() - written, 2)
        self.assertLess(time.monotonic() - written, 20 * harness.LONG)
        self.end()

    def test_a_source_that_changes_constantly_does_not_keep_the_others_waiting(self):
        self.write("a", b"1")
        self.start(SettleTime="500ms")
        done = threading.Event()

        def write_on():
            while not done.is_set():
                self.write_slowly(self.on_disk("busy"), [b"x" * 1000] * 5, 0.02)
        writer = threading.Thread(target=write_on)
        writer.start()
        try:
            time.sleep(0.3)
            self.write("quiet", b"content")
            self.wait_until(lambda: os.path.exists(self.mirrored("quiet")), "the quiet file", self.running, 10)
        finally:
            done.set()
            writer.join()
        self.wait_equal()
        self.end()

    def test_names_of_downloads_are_left_alone_until_renamed(self):
        self.write("a", b"1")
        self.start()
        self.write("model.gguf.part", b"half")
        self.write("other", b"2")
        self.wait_until(lambda: os.path.exists(self.mirrored("other")), "the other file", self.running)
        self.assertEqual(self.names(), {"a", "other"})
        os.rename(self.on_disk("model.gguf.part"), self.on_disk("model.gguf"))
        self.wait_equal()
        self.end()

    def test_many_changes_at_once_all_arrive(self):
        seed = random.randrange(1 << 32)
        print("seed %d" % seed, flush=True)
        rng = random.Random(seed)
        for i in range(1000):
            self.write("%d/%d" % (i % 20, i), b"%d" % i)
        self.start()
        for round_ in range(3):
            for _ in range(1500):
                i = rng.randrange(1500)
                name = "%d/%d" % (i % 25, i)
                if rng.random() < 0.5:
                    self.write(name, rng.randbytes(rng.randrange(100)))
                elif os.path.exists(self.on_disk(name)):
                    os.unlink(self.on_disk(name))
            directory = str(rng.randrange(25))
            if os.path.isdir(self.on_disk(directory)):
                os.rename(self.on_disk(directory), self.on_disk("r%d" % round_))
            time.sleep(rng.uniform(0, 0.4))
        self.wait_equal(60)
        self.end()

    def test_a_file_a_client_made_meanwhile_is_left_alone(self):
        self.tree()
        self.start(WriteBack="no")
        self.write("pulled", b"precious", root=self.target)
        self.write("b", b"the client's b, which is longer", root=self.target)
        self.write("new", b"1")
        self.write("b", b"the disk's b")
        self.wait_until(lambda: os.path.exists(self.mirrored("new")), "the new file", self.running)
        self.running.wait_log("b' was changed in the mirror and in the source")
        self.running.wait_log("pulled' is new or changed in the mirror only")
        self.assertEqual(self.read(self.mirrored("pulled")), b"precious")
        self.assertEqual(self.read(self.mirrored("b")), b"the client's b, which is longer")
        self.assertEqual(self.read(self.on_disk("b")), b"the disk's b")
        self.running.stop(expect=1)
        self.assertEqual(self.read(self.mirrored("pulled")), b"precious")


class Quiet(harness.Case):
    def test_without_watching_nothing_changes(self):
        self.write("a", b"old")
        self.write("gone", b"1")
        daemon = self.ready(self.config(WatchSource="no"))
        self.write("a", b"new one")
        self.write("new", b"1")
        os.unlink(os.path.join(self.source, "gone"))
        daemon.listen(2)
        self.assertEqual(self.names(), {"a", "gone"})
        self.assertEqual(self.read(self.mirrored("a")), b"old")
        daemon.stop()
        self.assert_gone()

    def test_an_idle_daemon_does_not_wake_up(self):
        self.write("d/a", size=5 << 20)
        daemon = self.ready()
        self.assert_sleeps(daemon)
        self.write("d/b", b"1")
        self.wait_until(lambda: os.path.exists(self.mirrored("d/b")), "the new file", daemon)
        self.assert_sleeps(daemon)
        daemon.stop()

    def test_with_something_withheld_it_does_not_keep_trying(self):
        self.write("good", b"1")
        self.write("bad", size=5000)
        self.ready().stop()
        self.rot(os.path.join(self.source, "bad"))
        daemon = self.ready()
        daemon.wait_status("^Degraded")
        self.assert_sleeps(daemon)
        daemon.stop()


if __name__ == "__main__":
    harness.main()
