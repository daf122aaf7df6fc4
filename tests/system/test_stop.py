# SPDX-License-Identifier: GPL-2.0-or-later
"""What is left after a stop, and what a killed daemon leaves to the next one."""

import mmap
import os
import random
import signal
import subprocess
import time

import harness


class Held(harness.Case):
    """Without write-back: what clients do to the mirror is held, reported, and keeps it."""

    def config(self, text=None, **keys):
        return super().config(text, **({} if text else {"WriteBack": "no"}), **keys)


class Stop(Held):
    def tree(self):
        for name in ("a.gguf", "d/b.gguf", "d/e/c.gguf"):
            self.write(name, size=300 << 10)
        os.link(os.path.join(self.source, "a.gguf"), os.path.join(self.source, "d/link"))
        os.symlink("a.gguf", os.path.join(self.source, "symlink"))

    def snapshot(self):
        """Everything about the source, as one value."""
        found = {}
        for name in self.names(self.source):
            path = os.path.join(self.source, name)
            st = os.lstat(path)
            content = os.readlink(path) if os.path.islink(path) else self.read(path) if os.path.isfile(path) else None
            found[name] = (st.st_ino, st.st_mode, st.st_uid, st.st_nlink, st.st_size, st.st_mtime_ns, st.st_ctime_ns, content)
        return found

    def test_a_stop_removes_mirror_and_mount_and_leaves_the_source(self):
        self.tree()
        before = self.snapshot()
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon = self.ready()
            self.assertTrue(os.path.ismount(self.target))
            daemon.signal(number)
            self.assertEqual(daemon.join(), 0, daemon.log())
            self.assertEqual(daemon.count("STOPPING", "1"), 1)
            self.assertRegex(daemon.log(), "was removed from")
            self.assert_gone()
            self.assertFalse(os.path.exists(self.target))  # it was not there before
        self.assertEqual(self.snapshot(), before)

    def test_a_tmpfs_that_was_there_before_stays_mounted_and_empty(self):
        self.tree()
        os.mkdir(self.target)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=50m", "none", self.target], check=True)
        self.ready().stop()
        self.assertTrue(os.path.ismount(self.target))
        self.assertEqual(os.listdir(self.target), [])

    def assert_kept(self, *names):
        """A stop that finds these, which are not from the source, keeps them and reports it."""
        daemon = self.daemons[-1]
        daemon.stop(expect=1)
        self.assertTrue(os.path.ismount(self.target))
        self.assertLessEqual(set(names), self.names())
        self.assertRegex(daemon.log(), r"has files that are not from the source|files in it, such as '.*', could not be saved|in the mirror is not what the daemon put there")
        self.assertTrue(any(name in daemon.log() for name in names), daemon.log())
        self.assertRegex(daemon.status(), "^Failed: ")
        self.assertIn("STOPPING", [k for m in daemon.messages for k in m])

    def test_a_file_that_a_client_made_is_kept(self):
        self.tree()
        self.ready()
        self.write("d/e/pulled.gguf", b"precious", root=self.target)
        self.assert_kept("d/e/pulled.gguf")
        self.assertEqual(self.read(self.mirrored("d/e/pulled.gguf")), b"precious")
        self.assertEqual(self.names(), {"d", "d/e", "d/e/pulled.gguf"})

    def test_a_file_that_could_not_be_put_back_keeps_the_mirror(self):
        """In the private directory lies a file that was taken away and turned out to be a client's, while its place was taken again."""
        self.tree()
        self.ready()
        self.write(".shmstaged/t99", b"precious", root=self.target)
        daemon = self.daemons[-1].stop(expect=1)
        self.assertRegex(daemon.log(), "Kept the mirror in")
        self.assertTrue(os.path.ismount(self.target))
        self.assertEqual(self.read(self.mirrored(".shmstaged/t99")), b"precious")

    def test_a_copy_that_a_killed_daemon_had_not_put_in_place_goes_with_the_next_start(self):
        self.tree()
        self.ready().kill()
        self.write(".shmstaged/t98-0", b"of a client", root=self.target)
        ours = self.write(".shmstaged/new", b"a copy", root=self.target)
        os.rename(ours, self.mirrored(".shmstaged/t99-%d" % os.stat(ours).st_ino))
        daemon = self.ready()
        daemon.wait_log(r"Found 1 unrecognized file in .*; inspect and remove")
        self.assertEqual({n for n in os.listdir(self.mirrored(".shmstaged")) if n.startswith("t")}, {"t98-0"})
        os.unlink(self.mirrored(".shmstaged/t98-0"))
        daemon.stop()
        self.assert_gone()

    def test_a_directory_that_a_client_made_is_kept(self):
        self.tree()
        self.ready()
        os.makedirs(self.mirrored("d/new/empty"))
        self.assert_kept("d/new", "d/new/empty")

    def test_a_link_that_a_client_made_is_kept(self):
        self.tree()
        self.ready()
        os.link(self.mirrored("d/b.gguf"), self.mirrored("mine"))
        os.symlink("/somewhere", self.mirrored("also-mine"))
        self.assert_kept("mine", "also-mine")
        self.assertEqual(self.read(self.mirrored("mine")), self.read(os.path.join(self.source, "d/b.gguf")))

    def test_a_file_that_a_client_replaced_is_kept(self):
        self.tree()
        self.ready()
        before = self.read(os.path.join(self.source, "d/b.gguf"))
        with open(self.mirrored(".new"), "wb") as f:
            f.write(b"other")
        os.rename(self.mirrored(".new"), self.mirrored("d/b.gguf"))
        self.assert_kept("d/b.gguf")
        self.assertEqual(self.read(self.mirrored("d/b.gguf")), b"other")
        self.assertEqual(self.read(os.path.join(self.source, "d/b.gguf")), before)

    def test_a_file_that_a_client_replaced_with_the_same_size_and_time_is_kept(self):
        self.tree()
        self.ready()
        st = os.stat(self.mirrored("d/b.gguf"))
        content = os.urandom(st.st_size)
        with open(self.mirrored(".new"), "wb") as f:
            f.write(content)
        os.utime(self.mirrored(".new"), ns=(st.st_atime_ns, st.st_mtime_ns))
        os.rename(self.mirrored(".new"), self.mirrored("d/b.gguf"))
        self.assert_kept("d/b.gguf")
        self.assertEqual(self.read(self.mirrored("d/b.gguf")), content)

    def test_a_file_that_a_client_wrote_into_is_kept(self):
        def append(f):
            f.seek(0, os.SEEK_END)
            f.write(b"more")

        def overwrite(f):
            f.write(b"other")

        def overwrite_mapped(f):
            with mmap.mmap(f.fileno(), 4096) as m:
                m[:5] = b"other"
        for change in (append, overwrite, overwrite_mapped, lambda f: f.truncate(1)):
            with self.subTest(change.__name__):
                self.write("f", size=300 << 10)
                self.ready()
                with open(self.mirrored("f"), "r+b") as f:
                    change(f)
                content = self.read(self.mirrored("f"))
                self.assert_kept("f")
                self.assertEqual(self.read(self.mirrored("f")), content)
                subprocess.run(["umount", self.target], check=True)

    def test_a_file_that_a_client_wrote_into_is_kept_even_if_its_time_was_put_back(self):
        self.tree()
        self.ready()
        self.flip(self.mirrored("d/b.gguf"), 1000)
        self.assert_kept("d/b.gguf")

    def test_a_file_that_only_got_another_mode_is_removed(self):
        self.tree()
        daemon = self.ready()
        os.chmod(self.mirrored("d/b.gguf"), 0o600)
        os.utime(self.mirrored("d"), ns=(0, 0))
        daemon.stop()
        self.assert_gone()

    def test_a_file_that_replaced_a_directory_is_kept_and_vice_versa(self):
        self.tree()
        self.ready()
        os.rename(self.mirrored("d/e"), self.mirrored("moved"))
        self.write("d/e", b"file now", root=self.target)
        os.unlink(self.mirrored("a.gguf"))
        os.mkdir(self.mirrored("a.gguf"))
        self.assert_kept("d/e", "a.gguf", "moved")
        self.assertEqual(self.read(self.mirrored("d/e")), b"file now")

    def test_kept_files_are_there_for_the_next_start_and_reported_again(self):
        self.tree()
        self.ready()
        self.write("d/pulled", b"precious", root=self.target)
        self.assert_kept("d/pulled")
        daemon = self.ready()
        self.assertEqual(self.read(self.mirrored("d/pulled")), b"precious")
        self.assertRegex(daemon.log(), r"d/pulled' is new or changed in the mirror only")
        self.assertRegex(daemon.status(), "1 changed in the mirror only")
        self.assert_same_file("a.gguf")
        os.unlink(self.mirrored("d/pulled"))
        daemon.stop()
        self.assert_gone()

    def test_without_remove_on_stop_the_next_start_adopts_the_mirror(self):
        self.tree()
        daemon = self.ready(self.config(RemoveOnStop="no"))
        inodes = {n: self.inode(n) for n in self.names()}
        daemon.stop()
        self.assertTrue(os.path.ismount(self.target))
        self.assertEqual(self.xxh128sum().returncode, 0)
        daemon = self.ready(self.config(RemoveOnStop="no"))
        self.assertEqual({n: self.inode(n) for n in self.names()}, inodes)
        daemon.stop()
        daemon = self.ready()
        self.assertEqual({n: self.inode(n) for n in self.names()}, inodes)
        daemon.stop()
        self.assert_gone()

    def test_a_stop_in_the_middle_of_staging_leaves_nothing(self):
        self.write("a/first", b"1")
        self.write("b", size=200 << 20)
        before = self.snapshot()
        slow, _ = self.bindfs(self.source, "--read-rate=2M")
        daemon = self.daemon(self.config(Source=slow, ChunkSize="1M"))
        daemon.wait(lambda: os.path.exists(self.mirrored("a/first")), "the first file")
        daemon.listen(0.5)
        begun = time.monotonic()
        daemon.stop()
        self.assertLess(time.monotonic() - begun, 20 * harness.LONG, "to the end of the file it would be 100 s")
        self.assertFalse(daemon.notified("READY"))
        self.assert_gone()
        self.assertEqual(self.snapshot(), before)

    def test_a_stop_while_the_source_hangs_completes_when_it_responds_again(self):
        self.tree()
        slow, process = self.bindfs(self.source)
        process.send_signal(signal.SIGSTOP)
        daemon = self.daemon(self.config(Source=slow))
        daemon.listen(0.5)
        daemon.signal(signal.SIGTERM)
        daemon.wait(lambda: daemon.notified("STOPPING"), "STOPPING=1, at once")
        daemon.listen(0.5)
        process.send_signal(signal.SIGCONT)
        self.assertEqual(daemon.join(), 0, daemon.log())
        self.assertFalse(daemon.notified("READY"))
        self.assert_gone()

    def test_a_stop_at_any_moment_leaves_nothing(self):
        seed = random.randrange(1 << 32)
        print("seed %d" % seed, flush=True)
        rng = random.Random(seed)
        for i in range(2000):
            self.write("%d/%d" % (i % 50, i), b"%d" % i)
        self.write("big", size=200 << 20)
        moments = [0, 0.002, 0.005, *(rng.uniform(0, 0.3) for _ in range(15))]
        for moment in moments:
            with self.subTest(seconds=moment):
                daemon = self.daemon()
                time.sleep(moment)
                daemon.signal(signal.SIGTERM)
                # before it has taken hold of anything, the signal may end it as it ends any program
                self.assertIn(daemon.join(), (0,) if daemon.log() else (0, -signal.SIGTERM), daemon.log())
                self.assert_gone()
                self.assertLessEqual(daemon.count("STOPPING"), 1)

    def test_further_signals_change_nothing(self):
        for i in range(30):
            self.write("f%02d" % i, b"x")
        daemon = self.ready(traced=True)
        self.strace(daemon.pid, "-e", "trace=renameat2", "-e", "inject=renameat2:delay_enter=100000")
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            daemon.signal(number)
            daemon.listen(0.1)
        self.assertIsNone(daemon.process.poll())
        self.assertEqual(daemon.join(), 0, daemon.log())
        self.assertEqual(daemon.count("STOPPING"), 1)
        self.assertFalse(daemon.notified("RELOADING"))
        self.assert_gone()

    def test_a_reader_keeps_what_it_has_mapped_or_open(self):
        self.write("model", size=20 << 20)
        content = self.read(os.path.join(self.source, "model"))
        daemon = self.ready()
        with open(self.mirrored("model"), "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
            self.assertEqual(m[:10], content[:10])
            daemon.stop()
            self.assert_gone()
            self.assertEqual(m[:], content)
            self.assertEqual(f.read(), content)


class Crash(Held):
    """kill -9, and the next start."""

    def inodes(self):
        return {n: self.inode(n) for n in self.names() if os.path.isfile(self.mirrored(n)) and not os.path.islink(self.mirrored(n))}

    def tree(self):
        for i in range(40):
            self.write("d%d/f%02d" % (i % 4, i), size=(i % 5) * 100_000)
        self.write("large", size=40 << 20)
        os.link(os.path.join(self.source, "large"), os.path.join(self.source, "again"))
        os.symlink("large", os.path.join(self.source, "symlink"))

    def assert_whole(self):
        self.assertEqual(self.names(), self.names(self.source))
        for name in self.inodes():
            self.assert_same_file(name)
        self.assertEqual(self.xxh128sum().returncode, 0)

    def test_a_mirror_that_was_ready_is_taken_over_without_a_copy(self):
        self.tree()
        self.ready().kill()
        before = self.inodes()
        files = [part for name in sorted(self.names(self.source)) for part in ("-P", os.path.join(self.source, name))]
        daemon = self.daemon(traced=True, wrapper=["strace", "-f", "-qq", "-o", self.path("calls"), *files, "-e", "trace=pread64,sendfile"])
        daemon.wait_ready()
        self.assertEqual(self.inodes(), before)
        self.assertNotRegex(self.read(self.path("calls")).decode(), r"(pread64|sendfile)\(")
        self.assert_whole()
        os.kill(int(self.read(self.path("target/.shmstaged/lock"))), signal.SIGTERM)
        self.assertEqual(daemon.join(), 0, daemon.log())
        self.assert_gone()

    def test_killed_at_any_moment_of_staging_the_next_start_goes_on(self):
        seed = random.randrange(1 << 32)
        print("seed %d" % seed, flush=True)
        rng = random.Random(seed)
        self.tree()
        for i in range(1500):
            self.write("small/%d/%d" % (i % 30, i), b"%d" % i)
        begun = time.monotonic()
        self.ready().stop()
        whole = time.monotonic() - begun
        partial = 0
        for _ in range(10):
            moment = rng.uniform(0.1, 1) * whole
            with self.subTest(seconds=moment):
                daemon = self.daemon()
                time.sleep(moment)
                daemon.kill()
                before = self.inodes() if os.path.ismount(self.target) else {}
                for name in before:  # a name is whole, also after this
                    self.assert_same_file(name)
                partial += 0 < len(before) < 1500
                daemon = self.ready()
                after = self.inodes()
                self.assertEqual({n: after[n] for n in before}, before)
                self.assert_whole()
                daemon.stop()
                self.assert_gone()
        print("%d of 10 in the middle" % partial, flush=True)

    def test_killed_between_two_names_of_a_file_the_next_start_ties_them(self):
        self.write("a", b"old")
        os.link(os.path.join(self.source, "a"), os.path.join(self.source, "b"))
        daemon = self.ready(traced=True)
        old = self.inode("a")
        self.strace(daemon.pid, "-e", "trace=linkat", "-e", "inject=linkat:delay_enter=1000000")
        self.write("a", b"newer")
        self.wait_until(lambda: self.inode("a") != old, "the first name", daemon)
        daemon.kill()
        self.assertEqual((self.inode("b"), self.read(self.mirrored("b"))), (old, b"old"))
        daemon = self.ready()
        self.assertEqual(self.inode("a"), self.inode("b"))
        self.assert_whole()
        daemon.stop()
        self.assert_gone()

    def test_killed_between_the_creation_and_the_place_of_a_link_or_directory_nothing_is_left(self):
        for call, make in (("symlinkat", lambda path: os.symlink("a", path)), ("mkdirat", os.mkdir),
                           ("linkat", lambda path: os.link(os.path.join(self.source, "a"), path))):
            with self.subTest(call):
                self.write("a", b"content")
                daemon = self.ready(traced=True)
                tracer = self.strace(daemon.pid, "-e", "trace=" + call, "-e", "inject=%s:delay_exit=60s" % call)
                make(os.path.join(self.source, "new"))
                private = self.mirrored(".shmstaged")
                self.wait_until(lambda: len(os.listdir(private)) > 2, "what is not in its place yet", daemon)
                self.assertFalse(os.path.lexists(self.mirrored("new")))
                daemon.signal(signal.SIGKILL)
                tracer.kill()  # a process that is held up by its tracer is not gone before that is
                daemon.kill()
                daemon = self.ready()
                self.assertEqual(set(os.listdir(private)), {"lock", "mirror"}, daemon.log())
                self.assert_whole()
                daemon.stop()
                self.assert_gone()
                for name in os.listdir(self.source):
                    path = os.path.join(self.source, name)
                    os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)

    def test_killed_in_the_middle_of_the_removal_the_next_start_is_whole(self):
        seed = random.randrange(1 << 32)
        print("seed %d" % seed, flush=True)
        rng = random.Random(seed)
        for i in range(60):
            self.write("d%d/f%02d" % (i % 4, i), b"%d" % i)
        for _ in range(4):
            daemon = self.ready(traced=True)
            self.strace(daemon.pid, "-e", "trace=renameat2,unlinkat", "-e", "inject=renameat2,unlinkat:delay_enter=20000")
            daemon.signal(signal.SIGTERM)
            daemon.listen(rng.uniform(0.05, 0.6))
            daemon.kill()
            daemon = self.ready()
            self.assert_whole()
            daemon.stop()
            self.assert_gone()

    def test_killed_again_and_again_it_still_ends_clean(self):
        self.tree()
        for _ in range(4):
            daemon = self.daemon()
            daemon.wait(lambda: os.path.exists(self.mirrored("large")), "the large file")
            daemon.kill()
        inode = self.inode("large")
        daemon = self.ready()
        self.assertEqual(self.inode("large"), inode)
        self.assert_whole()
        daemon.stop()
        self.assert_gone()

    def test_only_files_changed_on_disk_meanwhile_are_staged_again(self):
        self.tree()
        self.ready().kill()
        before = self.inodes()
        self.write("d1/f01", b"changed")
        self.write("d1/new", b"new")
        os.unlink(os.path.join(self.source, "d2/f02"))
        daemon = self.ready()
        after = self.inodes()
        self.assertEqual({n for n in before if after.get(n) != before[n]}, {"d1/f01", "d2/f02"})
        self.assert_whole()
        daemon.stop()
        self.assert_gone()

    def test_a_file_a_client_changed_meanwhile_is_not_overwritten(self):
        self.tree()
        self.ready().kill()
        with open(self.mirrored("d1/f01"), "ab") as f:
            f.write(b"client's")
        self.write("d1/pulled", b"precious", root=self.target)
        content = self.read(self.mirrored("d1/f01"))
        daemon = self.ready()
        self.assertEqual(self.read(self.mirrored("d1/f01")), content)
        self.assertEqual(self.read(self.mirrored("d1/pulled")), b"precious")
        for name in ("f01", "pulled"):
            self.assertRegex(daemon.log(), r"d1/%s' is new or changed in the mirror only" % name)
        daemon.stop(expect=1)
        self.assertEqual(self.names(), {"d1", "d1/f01", "d1/pulled"})
        self.assertTrue(os.path.ismount(self.target))

    def test_bytes_changed_without_a_new_size_or_time_are_found_and_reported(self):
        self.tree()
        self.ready().kill()
        self.flip(self.mirrored("d1/f01"), 5000)
        content = self.read(self.mirrored("d1/f01"))
        daemon = self.ready()
        daemon.wait_log("d1/f01' is new or changed in the mirror only")
        self.assertEqual(self.read(self.mirrored("d1/f01")), content)
        os.unlink(self.mirrored("d1/f01"))  # as the message describes it
        self.wait_until(lambda: os.path.exists(self.mirrored("d1/f01")), "the file", daemon)
        self.assert_whole()
        daemon.stop()
        self.assert_gone()

    def test_a_file_changed_on_both_sides_is_left_on_both(self):
        self.tree()
        self.ready().kill()
        self.write("d1/f01", b"disk's")
        with open(self.mirrored("d1/f01"), "ab") as f:
            f.write(b"client's")
        content = self.read(self.mirrored("d1/f01"))
        daemon = self.ready()
        self.assertEqual(self.read(self.mirrored("d1/f01")), content)
        self.assertEqual(self.read(os.path.join(self.source, "d1/f01")), b"disk's")
        self.assertRegex(daemon.log(), r"d1/f01' was changed in the mirror and in the source")
        daemon.stop(expect=1)
        self.assertEqual(self.read(self.mirrored("d1/f01")), content)


if __name__ == "__main__":
    harness.main()
