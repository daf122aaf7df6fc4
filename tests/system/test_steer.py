#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What an operator asks of the running daemon: release, stage, accept, sync, verify. Asked as he would, with shmstagectl."""

import hashlib
import os
import signal
import subprocess
import time
import unittest

import harness
import ollama

CTL = os.environ.get("SHMSTAGECTL", os.path.join(os.path.dirname(harness.DAEMON), "shmstagectl"))


class SteerCase(harness.Case):
    def asking(self, *words):
        """Begins to ask."""
        return subprocess.Popen([CTL, "--socket=" + os.path.join(self.runtime, "control"), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                errors="surrogateescape")

    def answer(self, job, expect=0):
        """What was printed in the end; the daemon is heard meanwhile."""
        daemon = self.daemons[-1]
        self.wait_until(lambda: job.poll() is not None, "the end of %r" % job.args[2:], daemon)
        said = job.stdout.read()
        job.stdout.close()
        if expect is not None:
            self.assertEqual(job.returncode, expect, "%r: %s\n%s" % (job.args[2:], said, daemon.log()))
        return said

    def ask(self, *words, expect=0):
        return self.answer(self.asking(*words), expect)

    def data(self, root=None):
        """The files of the mirror that are data in RAM, not links."""
        root = root or self.target
        return {name for name in self.names(root) if os.path.isfile(os.path.join(root, name)) and not os.path.islink(os.path.join(root, name))}

    def disk_is(self, before):
        self.assertEqual(before, self.disk_now())
        self.assertFalse(os.path.exists(os.path.join(self.source, ".shmstaged", "trash")))

    def disk_now(self):
        return {name: (os.lstat(path).st_ino, os.lstat(path).st_size, os.lstat(path).st_mtime_ns)
                for name in self.names(self.source) - {".shmstaged"} if not name.startswith(".shmstaged/")
                for path in [os.path.join(self.source, name)]}

    def let_deletions_show(self, daemon):
        """Longer than a deletion waits."""
        daemon.listen(6)


class Release(SteerCase):
    def test_a_released_file_is_absent_and_comes_back(self):
        for name in ("a.gguf", "b.gguf", "c/d.gguf"):
            self.write(name, size=1 << 20)
        daemon = self.ready()
        before = self.disk_now()
        said = self.ask("release", "a.gguf")
        self.assertIn("1M of RAM were freed", said)
        self.assertEqual(self.data(), {"b.gguf", "c/d.gguf"})
        self.let_deletions_show(daemon)
        self.disk_is(before)
        self.assertEqual(self.data(), {"b.gguf", "c/d.gguf"})
        self.ask("stage", "a.gguf")
        self.assert_same_file("a.gguf")
        daemon.stop()
        self.disk_is(before)


    def test_directories_sets_and_names_of_one_file_go_whole(self):
        for name in ("m/a.gguf", "m/deep/b.gguf", "m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "other.gguf", "stays"):
            self.write(name, size=10000)
        os.link(os.path.join(self.source, "m/a.gguf"), os.path.join(self.source, "outside.gguf"))
        os.symlink("other.gguf", os.path.join(self.source, "current"))
        self.ready()
        before = self.disk_now()
        self.ask("release", "m", "m-00001-of-00002.gguf")
        self.assertEqual(self.data(), {"other.gguf", "stays"} | {"current"} - {"current"})
        self.assertFalse(os.path.exists(self.mirrored("m")))
        self.ask("release", "current")  # what takes RAM is what it leads to
        self.assertEqual(self.data(), {"stays"})
        self.assertTrue(os.path.islink(self.mirrored("current")))
        self.ask("stage", "m/deep")
        self.assertEqual(self.data(), {"stays", "m/deep/b.gguf"})
        self.ask("stage", "--all")
        for name in ("m/a.gguf", "m/deep/b.gguf", "m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "other.gguf", "outside.gguf"):
            self.assert_same_file(name)
        self.assertEqual(self.inode("m/a.gguf"), self.inode("outside.gguf"))
        self.disk_is(before)

    def test_with_links_a_link_takes_its_place(self):
        self.write("m/a.gguf", size=10000)
        self.write("b", size=10000)
        daemon = self.ready(self.config(OnNoRoom="link"))
        before = self.disk_now()
        inotify = harness.Inotify()
        inotify.add(self.mirrored("m"))
        self.ask("release", "m")
        self.assertEqual(os.readlink(self.mirrored("m/a.gguf")), os.path.join(self.source, "m/a.gguf"))
        self.assertFalse([event for event in inotify.read() if event[0] & inotify.DELETE])
        inotify.close()
        self.let_deletions_show(daemon)
        self.disk_is(before)
        self.ask("stage", "m")
        self.assertFalse(os.path.islink(self.mirrored("m/a.gguf")))
        self.assert_same_file("m/a.gguf")
        self.disk_is(before)

    def test_of_an_ollama_store_the_blobs_that_nobody_else_needs_become_links(self):
        shared = os.urandom(30000)
        one, two = ollama.Model(shared, os.urandom(40000)), ollama.Model(shared, os.urandom(50000))
        disk = ollama.Client(self.source)
        disk.pull("one:7b", one)
        disk.pull("two", two)
        daemon = self.ready()
        before = self.disk_now()
        self.ask("release", "one:7b")
        links = {name for name in os.listdir(self.mirrored("blobs")) if os.path.islink(self.mirrored("blobs/" + name))}
        self.assertEqual(links, set(one.blobs) - set(two.blobs))
        client = ollama.Client(self.target)
        client.load("one:7b")  # from the disk
        client.load("two")
        self.let_deletions_show(daemon)
        self.disk_is(before)
        self.ask("release", "two:latest")
        self.assertTrue(all(os.path.islink(self.mirrored("blobs/" + name)) for name in set(one.blobs) | set(two.blobs)))
        self.ask("stage", "one:7b")
        self.assertFalse(any(os.path.islink(self.mirrored("blobs/" + name)) for name in one.blobs))
        daemon.stop()
        self.disk_is(before)

    def repository(self, name, files, commit="c" * 40):
        """A repository in a cache of Hugging Face, in the source."""
        root = "models--" + name.replace("/", "--")
        for file, content in files.items():
            blob = hashlib.sha256(content).hexdigest()
            self.write(root + "/blobs/" + blob, content)
            link = os.path.join(self.source, root, "snapshots", commit, file)
            os.makedirs(os.path.dirname(link), exist_ok=True)
            os.symlink(os.path.relpath(os.path.join(self.source, root, "blobs", blob), os.path.dirname(link)), link)
        self.write(root + "/refs/main", commit)
        return root

    def test_of_a_hugging_face_cache_the_whole_repository_is_absent_and_never_a_link(self):
        one = self.repository("org/one", {"config.json": b"{}", "model.safetensors": os.urandom(20000)})
        two = self.repository("org/two", {"config.json": b"{}", "model.safetensors": os.urandom(30000)})
        daemon = self.ready(self.config(OnNoRoom="link"))
        before, whole = self.disk_now(), self.names()
        self.ask("release", "org/one")
        self.assertEqual(self.names(), {name for name in whole if not (name + "/").startswith(one + "/")})
        self.let_deletions_show(daemon)
        self.disk_is(before)
        self.ask("release", two + "/snapshots")
        self.assertEqual({name for name in self.names() if os.path.islink(self.mirrored(name))}, set())
        self.assertEqual(self.data(), {two + "/refs/main"})
        self.ask("stage", "org/two", "org/one")
        self.assertEqual(self.names(), whole)
        daemon.stop()
        self.disk_is(before)

    def test_what_is_not_clean_is_refused_and_nothing_changes(self):
        self.write("m/a.gguf", size=10000)
        self.write("m/b.gguf", size=10000)
        self.write("later", size=1000)
        daemon = self.ready(self.config(SettleTime="1h"))
        before = self.data()
        with open(self.mirrored("m/a.gguf"), "ab") as f:
            f.write(b"more")
            said = self.ask("release", "m", expect=1)
            self.assertRegex(said, "'m/a.gguf' is not released: (somebody has it open|it is not on disk yet)")
        said = self.ask("release", "m", expect=1)
        self.assertIn("'m/a.gguf' is not released: it is not on disk yet", said)
        with open(self.mirrored("later"), "r+b"):  # nothing was written yet
            self.assertIn("open for writing", self.ask("release", "later", expect=1))
        with open(self.mirrored("m/new"), "wb") as f:
            f.write(b"new")
        self.assertIn("'m/new'", self.ask("release", "m", expect=1))
        self.assertIn("has 'nothing'", self.ask("release", "m:nothing", expect=1))
        self.assertEqual(self.data(), before | {"m/new"})
        self.assertIn("named", self.ask("release", "m:", expect=1))
        daemon.stop()
        self.assertEqual(self.read(os.path.join(self.source, "m/a.gguf"))[-4:], b"more")

    def test_a_client_that_writes_all_the_time_loses_nothing(self):
        """Each version that a client has written, closed and seen under its name is in the mirror or on the disk afterwards."""
        for number in range(8):
            self.write("m/%d" % number, size=200000)
        daemon = self.ready(self.config(SettleTime="0"))
        for turn in range(6):
            path = self.mirrored("m/%d" % turn)
            job = self.asking("release", "m")
            time.sleep(0.012 * turn)
            content, written = os.urandom(3000), False
            try:
                with open(path, "r+b" if turn % 2 else "ab") as f:
                    f.write(content)
                    f.flush()
                    time.sleep(0.01 * turn)
                    written = os.fstat(f.fileno()).st_nlink > 0
            except FileNotFoundError:
                pass
            self.answer(job, None)
            if written:
                self.wait_until(lambda: content in self.read(os.path.join(self.source, "m/%d" % turn)), "the save of turn %d" % turn, daemon)
            self.ask("stage", "m")
        daemon.stop()

    def test_a_file_that_a_client_brings_again_is_no_longer_released(self):
        self.write("a", size=10000)
        daemon = self.ready(self.config(SettleTime="0"))
        self.ask("release", "a")
        with open(self.mirrored("a"), "wb") as f:
            f.write(b"anew")
        daemon.wait(lambda: self.read(os.path.join(self.source, "a")) == b"anew", "the save")  # the disk's version is kept among the conflicts
        daemon.listen(1)
        self.assertEqual(self.read(self.mirrored("a")), b"anew")

    def test_killed_at_any_moment_of_a_release_the_next_start_takes_nothing_for_deleted(self):
        for number in range(60):
            self.write("m/%d" % number, size=20000)
        daemon = self.ready()
        before = self.disk_now()
        for turn in range(5):
            job = self.asking("release", "m")
            self.wait_until(lambda: job.poll() is not None or len(self.data()) < 60 - 10 * turn, "the release", daemon)
            daemon.kill()
            self.answer(job, None)
            daemon = self.ready()
            self.let_deletions_show(daemon) if turn == 4 else daemon.listen(0.3)
            self.disk_is(before)
            self.assertEqual(len(self.data()), 60)
        daemon.stop()
        self.disk_is(before)


class Stage(SteerCase):
    def test_what_was_not_chosen_is_staged(self):
        self.write("a.gguf", size=10000)
        self.write("b/c.gguf", size=10000)
        self.write("b/d.bin", size=10000)
        daemon = self.ready(self.config(Models="a", WatchSource="no"))
        self.assertEqual(self.data(), {"a.gguf"})
        self.ask("stage", self.mirrored("b/c.gguf"))
        self.assertEqual(self.data(), {"a.gguf", "b/c.gguf"})
        daemon.stop()
        daemon = self.ready(self.config(Include="a.gguf"))
        self.ask("stage", self.mirrored("b"))
        self.assertEqual(self.data(), {"a.gguf", "b/c.gguf", "b/d.bin"})
        daemon.stop()

    def test_what_does_not_fit_is_refused_with_the_shortage_and_the_wish_is_forgotten(self):
        self.write("small", size=1 << 20)
        self.write("large", size=30 << 20)
        daemon = self.ready(self.config(Models="small", Size="8M"))
        self.assertIn("does not fit", self.ask("stage", self.mirrored("large"), expect=1))
        self.assertEqual(self.data(), {"small"})
        daemon.wait_status("^Ready")

    def test_a_withheld_file_gets_another_try(self):
        self.write("a", size=100000)
        daemon = self.ready()
        daemon.stop()
        self.flip(os.path.join(self.source, "a"), 5000)
        daemon = self.ready(self.config(OnCorrupt="withhold"))
        self.assertEqual(self.data(), set())
        self.assertIn("a", self.ask("stage", self.mirrored("a"), expect=1))
        self.flip(os.path.join(self.source, "a"), 5000)
        self.ask("stage", self.mirrored("a"))
        self.assertEqual(self.data(), {"a"})
        daemon.wait_status("^Ready")


if __name__ == "__main__":
    harness.main(jobs=6)
