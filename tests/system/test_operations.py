#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The operations of the running daemon: release, stage, accept, sync, verify, requested with shmstagectl."""

import hashlib
import mmap
import os
import signal
import subprocess
import time

import harness
import ollama

CTL = os.environ.get("SHMSTAGECTL", os.path.join(os.path.dirname(harness.DAEMON), "shmstagectl"))


class OperationCase(harness.Case):
    def asking(self, *words):
        """Starts a request."""
        return subprocess.Popen([CTL, "--socket=" + os.path.join(self.runtime, "control"), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                errors="surrogateescape")

    def answer(self, job, expect=0):
        """What was printed in the end; the daemon's notifications are taken meanwhile."""
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

    def damage(self, name):
        """Another byte, by a store that moves no time: the mapping was faulted in before."""
        with open(self.mirrored(name), "r+b") as f:
            with mmap.mmap(f.fileno(), 0) as mapping:
                before = os.fstat(f.fileno())
                byte = mapping[4096]
                mapping[4096] = byte ^ 0x55
                after = os.fstat(f.fileno())
        self.assertEqual((before.st_mtime_ns, before.st_ctime_ns), (after.st_mtime_ns, after.st_ctime_ns))

    def let_deletions_show(self, daemon):
        """Longer than a deletion waits."""
        daemon.listen(6)


class Release(OperationCase):
    def test_a_released_file_is_absent_and_comes_back(self):
        for name in ("a.gguf", "b.gguf", "c/d.gguf"):
            self.write(name, size=1 << 20)
        daemon = self.ready()
        before = self.disk_now()
        said = self.ask("release", "a.gguf")
        self.assertIn("Freed 1M of RAM by releasing 'a.gguf'", said)
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

    def test_of_an_ollama_store_only_unshared_blobs_become_links(self):
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

    def test_an_unclean_model_is_refused_and_nothing_changes(self):
        self.write("m/a.gguf", size=10000)
        self.write("m/b.gguf", size=10000)
        self.write("later", size=1000)
        daemon = self.ready(self.config(SettleTime="1h"))
        before = self.data()
        with open(self.mirrored("m/a.gguf"), "ab") as f:
            f.write(b"more")
            said = self.ask("release", "m", expect=1)
            self.assertRegex(said, "Failed to release 'm/a.gguf': (another process has it open|it is not on disk yet)")
        said = self.ask("release", "m", expect=1)
        self.assertIn("Failed to release 'm/a.gguf': it is not on disk yet", said)
        with open(self.mirrored("later"), "r+b"):  # nothing was written yet
            self.assertIn("open for writing", self.ask("release", "later", expect=1))
        with open(self.mirrored("m/new"), "wb") as f:
            f.write(b"new")
        self.assertIn("'m/new'", self.ask("release", "m", expect=1))
        self.assertIn("neither the mirror nor its source had 'nothing' at the last scan", self.ask("release", "m:nothing", expect=1))
        self.assertEqual(self.data(), before | {"m/new"})
        self.assertIn("specify NAMEs", self.ask("release", "m:", expect=1))
        daemon.stop()
        self.assertEqual(self.read(os.path.join(self.source, "m/a.gguf"))[-4:], b"more")

    def test_a_returning_model_must_be_unchanged(self):
        for mode in ("fail", "link"):
            self.write("a-" + mode, size=100000)
            daemon = self.ready(self.config(OnNoRoom=mode, Include="a-" + mode))
            self.ask("release", "a-" + mode)
            self.rot(os.path.join(self.source, "a-" + mode), 5000)
            self.assertIn("XXH3", self.ask("stage", "a-" + mode, expect=1))
            self.assertEqual(self.data(), set())
            self.ask("accept", "a-" + mode)
            self.assertEqual(self.data(), {"a-" + mode})
            daemon.stop()

    def test_bytes_a_mapping_wrote_without_a_trace_are_not_lost(self):
        for number, mode in enumerate(("fail", "link")):
            name = "a%d" % number
            self.write(name, size=100000)
            daemon = self.ready(self.config(OnNoRoom=mode, Include=name))
            original = self.read(self.mirrored(name))
            self.damage(name)
            edited = self.read(self.mirrored(name))
            self.assertNotEqual(original, edited)
            self.ask("release", name, expect=None)  # refused while it is not known what was written, or done when it is saved
            self.wait_until(lambda: self.read(os.path.join(self.source, name)) == edited, "what was written", daemon)
            self.ask("release", name)
            daemon.stop()

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
            f.write(b"again")
        daemon.wait(lambda: self.read(os.path.join(self.source, "a")) == b"again", "the save")  # the disk's version is kept among the conflicts
        daemon.listen(1)
        self.assertEqual(self.read(self.mirrored("a")), b"again")

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


class Stage(OperationCase):
    def test_an_unselected_model_is_staged(self):
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

    def test_models_that_were_not_chosen_are_staged_by_name(self):
        one, two = ollama.Model.random(20000, 30000), ollama.Model.random(40000)
        disk = ollama.Client(self.source)
        disk.pull("one", one)
        disk.pull("two:7b", two)
        daemon = self.ready(self.config(Models="one"))
        self.assertTrue(all(os.path.islink(self.mirrored("blobs/" + name)) for name in two.blobs))
        self.ask("stage", "two:7b")
        self.assertFalse(any(os.path.islink(self.mirrored("blobs/" + name)) for name in one.blobs + two.blobs))
        self.ask("release", "two:7b")
        self.assertTrue(all(os.path.islink(self.mirrored("blobs/" + name)) for name in two.blobs))
        daemon.stop()

    def test_a_model_that_does_not_fit_is_refused_with_the_shortage_and_stays_on_disk(self):
        self.write("small", size=1 << 20)
        self.write("large", size=30 << 20)
        daemon = self.ready(self.config(Models="small", Size="8M"))
        self.assertIn("Insufficient space", self.ask("stage", self.mirrored("large"), expect=1))
        self.assertEqual(self.data(), {"small"})
        daemon.wait_status("^Ready")

    def test_all_stages_what_fits_and_names_what_does_not(self):
        self.write("a.gguf", size=3 << 20)
        self.write("b.gguf", size=6 << 20)
        self.write("c.gguf", size=1 << 20)
        for on_no_room in ("skip", "link"):
            daemon = self.ready(self.config(Size="8M", OnNoRoom=on_no_room))
            self.ask("release", "c.gguf")
            answer = self.ask("stage", "--all", expect=1)
            self.assertRegex(answer, r"1 file is still not in RAM, 'b\.gguf': Insufficient space for mirror 'm': .*'b\.gguf'")
            self.assertNotIn("Staged all", answer)
            self.assert_same_file("c.gguf")
            self.assertRegex(daemon.status(), r"^Degraded: 2 files.*; 1 not in RAM for lack of space(?!.*released)")
            self.ask("release", "a.gguf", "c.gguf")
            self.ask("stage", "b.gguf")
            daemon.stop()

    def test_all_stages_what_is_selected_and_names_what_is_not(self):
        one, two = ollama.Model.random(20000, 30000), ollama.Model.random(40000)
        disk = ollama.Client(self.source)
        disk.pull("one", one)
        disk.pull("two:7b", two)
        daemon = self.ready(self.config(Models="one"))
        self.ask("release", "one")
        self.ask("release", "two:7b")
        self.assertIn("'two:7b' is not selected (Models=, Include=); name it to stage it", self.ask("stage", "--all"))
        self.assertFalse(any(os.path.islink(self.mirrored("blobs/" + name)) for name in one.blobs))
        self.assertTrue(all(os.path.islink(self.mirrored("blobs/" + name)) for name in two.blobs))
        daemon.wait_status("^Ready(?!.*released)")
        self.ask("stage", "two:7b")
        self.assertFalse(any(os.path.islink(self.mirrored("blobs/" + name)) for name in two.blobs))
        daemon.stop()

    def test_a_withheld_file_gets_another_try(self):
        self.write("a", size=100000)
        daemon = self.ready()
        daemon.stop()
        self.rot(os.path.join(self.source, "a"), 5000)
        daemon = self.ready(self.config(OnCorrupt="withhold"))
        self.assertEqual(self.data(), set())
        self.assertIn("a", self.ask("stage", self.mirrored("a"), expect=1))
        self.rot(os.path.join(self.source, "a"), 5000)
        self.ask("stage", self.mirrored("a"))
        self.assertEqual(self.data(), {"a"})
        daemon.wait_status("^Ready")



class Accept(OperationCase):
    def test_an_accepted_corrupt_file_counts_as_good_from_then_on(self):
        for name in ("a", "b"):
            self.write(name, size=100000)
        daemon = self.ready()
        daemon.stop()
        for name in ("a", "b"):
            self.rot(os.path.join(self.source, name), 5000)
        daemon = self.ready(self.config(OnCorrupt="withhold"))
        self.assertEqual(self.data(), set())
        self.assertIn("nothing", self.ask("accept", "m:nothing", expect=1))
        self.assertIn("Accepted 'a'", self.ask("accept", "a"))
        self.assert_same_file("a")
        self.assertEqual(self.data(), {"a"})  # never more than was named
        self.assertIn("nothing to accept under 'a'", self.ask("accept", "a", expect=1))
        self.assertRegex(daemon.log(), r"Accepted 'a': .* \(requested by uid 0 .*\)")
        daemon.stop()
        daemon = self.ready(self.config(OnCorrupt="withhold"))
        self.assertEqual(self.data(), {"a"})
        daemon.stop()
        self.rot(os.path.join(self.source, "a"), 5000)  # it is no longer true
        self.ready(self.config(OnCorrupt="withhold"))
        self.assertEqual(self.data(), set())

    def test_a_misnamed_blob_is_staged_all_the_same_for_as_long_as_it_is_that_file(self):
        model = ollama.Model.random(50000, 60000)
        ollama.Client(self.source).pull("one", model)
        names = ["blobs/" + name for name in model.blobs]
        for name in names[:2]:
            self.rot(os.path.join(self.source, name), 100)
        daemon = self.ready(self.config(OnCorrupt="withhold"))
        self.ask("accept", names[0])
        self.assert_same_file(names[0])
        self.assertFalse(os.path.lexists(self.mirrored(names[1])))
        self.ask("release", "one")
        self.ask("stage", "one", expect=1)  # of the other blob nothing was accepted
        self.assert_same_file(names[0])
        self.write(names[0], size=50000)
        daemon.wait_log("withheld|digest|sha256")
        self.wait_until(lambda: "2 withheld" in (daemon.status() or ""), "the other version", daemon)

    def test_a_rejected_file_is_saved_as_it_is(self):
        daemon = self.ready()
        os.mkdir(self.mirrored("blobs"))
        name = "blobs/sha256-" + "a" * 64
        with open(self.mirrored(name), "wb") as f:
            f.write(b"something else")
        with open(self.mirrored("bad.gguf"), "wb") as f:
            f.write(b"GGUF" + bytes(2))
        daemon.wait_status("2 rejected")
        self.assertRegex(self.ask("sync", expect=1), "not saved")
        self.ask("accept", name)
        self.assertEqual(self.read(os.path.join(self.source, name)), b"something else")
        self.assertFalse(os.path.exists(os.path.join(self.source, "bad.gguf")))
        self.ask("accept", "bad.gguf")
        self.assertEqual(self.read(os.path.join(self.source, "bad.gguf")), b"GGUF" + bytes(2))
        self.ask("sync")
        daemon.wait_status("^Ready")

    def wave(self, daemon, *names):
        daemon.signal(signal.SIGSTOP)  # so that it is one wave
        for name in names:
            os.unlink(self.mirrored(name))
        daemon.signal(signal.SIGCONT)
        daemon.wait_log("were deleted at once")
        for name in names:
            self.wait_until(lambda: os.path.exists(self.mirrored(name)), name, daemon)

    def test_of_a_mass_deletion_exactly_the_named_files_are_deleted(self):
        for number in range(10):
            self.write("d%d/f" % (number % 2) + str(number), size=1000)
        daemon = self.ready(self.config(MassDeleteLimit="2 10%"))
        self.wave(daemon, *["d%d/f%d" % (number % 2, number) for number in range(8)])
        self.ask("accept", "d0/f0")
        self.assertEqual(self.names(self.source) & {"d0/f0"}, set())
        self.assertEqual(len(self.data()), 9)
        self.assertEqual(len([name for name in self.data(self.source) if not name.startswith(".shmstaged")]), 9)
        self.assertIn("nothing to accept under 'd1/f9'", self.ask("accept", "d1/f9", expect=1))
        with open(self.mirrored("d1/f1"), "wb") as f:
            f.write(b"a client has brought it again")
        self.ask("sync")
        self.ask("accept", "d1")
        left = {"d0/f2", "d0/f4", "d0/f6", "d0/f8", "d1/f1", "d1/f9"}
        self.assertEqual({name for name in self.data(self.source) if not name.startswith(".shmstaged")}, left)
        self.assertEqual(self.data(), left)
        self.ask("accept", "--all")
        left -= {"d0/f2", "d0/f4", "d0/f6"}
        self.assertEqual(self.data(), left)
        self.assertEqual({name for name in self.data(self.source) if not name.startswith(".shmstaged")}, left)
        self.assertIn("no deletions that were held back", self.ask("accept", "--all", expect=1))
        trash = [name for name in self.data(os.path.join(self.source, ".shmstaged", "trash"))]
        self.assertEqual(len(trash), 7)
        daemon.wait_status("^Ready")
        self.assertNotIn("held back", daemon.status())
        daemon.stop()

    def test_of_an_ollama_store_a_model_of_the_mass_deletion_is_deleted_with_its_own_blobs(self):
        shared = os.urandom(30000)
        models = {name: ollama.Model(shared, os.urandom(1000 * size)) for size, name in enumerate(("one", "two", "three"), 1)}
        disk = ollama.Client(self.source)
        for name, model in models.items():
            disk.pull(name, model)
        daemon = self.ready(self.config(SweepDelay="1s"))
        client = ollama.Client(self.target)
        daemon.signal(signal.SIGSTOP)  # so that it is one wave
        for name in models:
            client.rm(name)
        daemon.signal(signal.SIGCONT)
        daemon.wait_log("were deleted at once")
        self.wait_until(lambda: len(self.data()) == 10, "the restaging", daemon)
        self.ask("accept", "one", "two")
        self.assertEqual({os.path.basename(os.path.dirname(name)) for name in self.data(self.source) if name.startswith("manifests")}, {"three"})
        client.load("three")
        daemon.wait(lambda: set(os.listdir(os.path.join(self.source, "blobs"))) == set(models["three"].blobs), "the sweep")
        self.wait_until(lambda: set(os.listdir(self.mirrored("blobs"))) == set(models["three"].blobs), "the mirror", daemon)
        daemon.stop()

    def test_a_conflict_is_reported_until_it_is_accepted(self):
        self.write("a", size=1000)
        daemon = self.ready(self.config(WatchSource="no"))
        self.write("a", b"disk")
        time.sleep(0.05)
        with open(self.mirrored("a"), "wb") as f:
            f.write(b"mirror")
        daemon.wait_status("1 changed on both sides")
        self.ask("accept", "a")
        daemon.wait_status("^Ready(?!.*both sides)")

    def test_an_accepted_name_need_not_exist_in_every_mirror(self):
        config = self.config(WatchSource="no")
        self.write("a", size=1000)
        self.write("x", size=1000, root=self.path("other"))
        with open(config, "a") as f:
            f.write("[Mirror n]\nSource=%s\nTarget=%s\nSize=10M\n" % (self.path("other"), self.path("t-other")))
        daemon = self.ready(config)
        self.write("a", b"disk")
        time.sleep(0.05)
        with open(self.mirrored("a"), "wb") as f:
            f.write(b"mirror")
        daemon.wait_status("1 changed on both sides")
        self.ask("accept", "--all")
        daemon.wait_status("^Ready(?!.*both sides)")
        self.ask("accept", "--all", expect=1)


class Sync(OperationCase):
    def test_nothing_waits_to_hold_still(self):
        self.write("a", size=1000)
        daemon = self.ready(self.config(SettleTime="1h"))
        self.assertIn("already", self.ask("sync"))
        for number in range(50):
            with open(self.mirrored("new%d" % number), "wb") as f:
                f.write(b"%d" % number)
        self.assertIn("50 entries", self.ask("sync"))
        self.assertEqual(self.read(os.path.join(self.source, "new49")), b"49")
        with open(self.mirrored("open"), "wb") as f:
            f.write(b"one ")
            job = self.asking("sync")
            daemon.listen(1)
            self.assertIsNone(job.poll())
            f.write(b"two")
        self.answer(job)
        self.assertEqual(self.read(os.path.join(self.source, "open")), b"one two")
        daemon.stop()

    def test_without_write_back_there_is_nothing_to_do(self):
        self.ready(self.config(WriteBack="no"))
        self.assertIn("WriteBack=no", self.ask("sync"))


class Verify(OperationCase):
    def test_a_damaged_file_is_reported_and_staged_again(self):
        for name in ("a", "b", "c/d"):
            self.write(name, size=300000)
        daemon = self.ready()
        self.assertIn("verified 3 files (878.9K) in RAM, 0 corrupted", self.ask("verify"))
        self.assertIn("1 file ", self.ask("verify", "c"))
        self.damage("b")
        self.assertIn("0 corrupted", self.ask("verify", "a"))
        self.assertIn("'b' in RAM is corrupted", self.ask("verify", expect=1))
        self.wait_until(lambda: self.read(self.mirrored("b")) == self.read(os.path.join(self.source, "b")), "the repair", daemon)
        daemon.wait_log("RAM may be faulty")
        self.assertIn("0 corrupted", self.ask("verify"))
        daemon.stop()


class Many(OperationCase):
    def test_operations_at_the_same_time_each_have_their_own_end(self):
        for name in ("a", "b", "c", "d"):
            self.write(name, size=500000)
        daemon = self.ready(self.config(SettleTime="1h"))
        self.ask("release", "d")
        with open(self.mirrored("new"), "wb") as f:
            f.write(b"new")
        operations = [(("release", "a"), 0), (("verify",), 0), (("release", "b"), 0), (("sync",), 0), (("stage", "d"), 0), (("stage", "nothing"), 1), (("accept", "c"), 1),
                  (("verify", "c"), 0)]
        jobs = [(self.asking(*words), expect) for words, expect in operations]
        for job, expect in jobs:
            self.answer(job, expect)
        self.assertEqual(self.data(), {"c", "d", "new"})
        self.assertEqual(self.read(os.path.join(self.source, "new")), b"new")
        daemon.stop()

    def test_an_operation_continues_when_its_client_leaves(self):
        self.write("a", size=500000)
        daemon = self.ready()
        self.ask("release", "--no-block", "a")
        self.wait_until(lambda: not self.data(), "the release", daemon)
        self.ask("stage", "--no-block", "a")
        self.wait_until(lambda: self.data() == {"a"}, "the staging", daemon)
        daemon.stop()


class End(OperationCase):
    def test_a_stop_ends_running_operations_with_a_message(self):
        self.write("a", size=1000)
        daemon = self.ready(self.config(SettleTime="1h"))
        with open(self.mirrored("new"), "wb") as f:
            f.write(b"x")
            f.flush()
            job = self.asking("sync")
            daemon.listen(0.5)
            daemon.signal(signal.SIGTERM)
            daemon.listen(0.3)
        daemon.join()
        job.wait(30)
        job.stdout.close()
        self.assertNotEqual(job.returncode, 0)


if __name__ == "__main__":
    harness.main(jobs=6)
