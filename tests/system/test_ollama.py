# SPDX-License-Identifier: GPL-2.0-or-later
"""An Ollama store: whatever the client does in the mirror, step by step, the disk has whole models or nothing, and keeps what another needs."""

import contextlib
import glob
import json
import os
import re
import signal
import time

import harness
import ollama
from ollama import Model, digest, manifest_name
from trouble import Loop

KIB, MIB = 1 << 10, 1 << 20


class Guard:
    """Checks the disk all the time: every manifest there can be read, what it names is there and has that digest, and no name is there that
    a client gives to unfinished files only."""

    def __init__(self, root):
        self.client, self.known, self.checks = ollama.Client(root), {}, 0
        self.loop = Loop(self.check_all, 0.01)

    def check_all(self):
        self.checks += 1
        for name in os.listdir(self.client.root):
            assert not name.startswith("ollama-safetensors"), name
        for name in os.listdir(self.client.path("blobs")) if os.path.isdir(self.client.path("blobs")) else []:
            assert re.fullmatch("sha256-[0-9a-f]{64}", name), name
        for path in glob.glob(self.client.path("manifests", *(["*"] * 4))):
            self.check(path)

    def check(self, path):
        while True:
            try:
                with open(path, "rb") as f:
                    text = f.read()
            except FileNotFoundError:
                return
            try:
                for blob, size in ollama.named(text):
                    self.check_blob(blob, size)
                return
            except (OSError, ValueError, AssertionError):
                if self.is_still(path, text):
                    raise

    @staticmethod
    def is_still(path, text):
        """What a manifest names may go right after the manifest did."""
        try:
            with open(path, "rb") as f:
                return f.read() == text
        except FileNotFoundError:
            return False

    def check_blob(self, blob, size):
        status = os.lstat(self.client.blob(blob))
        version = (status.st_ino, status.st_size, status.st_mtime_ns)
        assert status.st_size == size, (blob, status.st_size, size)
        if self.known.get(blob) != version:
            assert digest(self.client.read(blob)) == blob, "%s has other bytes" % blob
            self.known[blob] = version


class Store(harness.Case):
    def setUp(self):
        super().setUp()
        self.store, self.client = ollama.Client(self.source), ollama.Client(self.target)
        self.guard = None

    def tearDown(self):
        for daemon in self.daemons:
            self.assertNotRegex(daemon.log(), "Sanitizer|runtime error")
        if self.guard:
            self.guard.loop.stop()
            self.assertGreater(self.guard.checks, 0)

    def config(self, text=None, **keys):
        return super().config(text, **{"SweepDelay": "1s", **keys})

    def daemon(self, config=None, **options):
        if not self.guard and not getattr(self, "unguarded", False):
            self.guard = Guard(self.source)
        return super().daemon(config, **options)

    def put(self, **models):
        """Models that are on disk before."""
        for name, model in models.items():
            self.store.pull(name, model)
        for path in glob.glob(self.path("source", "*", "**"), recursive=True):
            os.utime(path, (1_600_000_000, 1_600_000_000.5))

    def on_disk(self, *blobs):
        return all(os.path.lexists(self.store.blob(blob)) for blob in blobs)

    def in_ram(self, blob):
        """A file of the mirror itself; a link to the disk is none."""
        return os.path.isfile(self.client.blob(blob)) and not os.path.islink(self.client.blob(blob))

    def has(self, root, name, model):
        path = os.path.join(root, manifest_name(name))
        return os.path.exists(path) and self.read(path) == model.manifest

    def wait_saved(self, daemon, name, model):
        self.wait_until(lambda: self.has(self.source, name, model), "the manifest of %s on disk" % name, daemon)
        self.assert_model(self.store, name, model)

    def assert_model(self, client, name, model):
        self.assertEqual(client.load(name), model.blobs)
        self.assertEqual(self.read(client.path(manifest_name(name))), model.manifest)

    def trash(self):
        found = set()
        root = self.path("source", ".shmstaged", "trash")
        for batch in os.listdir(root) if os.path.isdir(root) else []:
            found.update(name for name in self.names(os.path.join(root, batch)) if not os.path.isdir(os.path.join(root, batch, name)))
        return found

    def assert_calm(self, daemon):
        """Nothing of this was worth a warning."""
        self.assertNotRegex(daemon.log(), r"(?m)^(Warning|Error): |not saved")

    def assert_same_stores(self):
        self.assertEqual(self.names(self.source), self.names())
        for name in self.names(self.source):
            if os.path.isfile(os.path.join(self.source, name)):
                self.assert_same_file(name)

    def wait_quiet(self, daemon):
        daemon.wait_status(r"^Ready: (?!.*(not on disk|rejected))")

    def stop_clean(self, daemon):
        daemon.stop()
        self.assert_gone()
        self.assertEqual(glob.glob(self.path("source", ".shmstaged", "tmp", "*")), [])


class Pull(Store):
    def test_a_slow_pull_is_saved_blob_by_blob_and_its_manifest_last(self):
        self.put(old=Model.random(100 * KIB))
        model = Model.random(1500 * KIB, 700 * KIB, 3 * KIB)
        daemon = self.ready()
        steps = self.client.pulling("new:7b", model)
        for step, what in steps:
            if step == "renamed":
                self.wait_until(lambda: self.on_disk(what), "the blob on disk", daemon)
                self.assertFalse(os.path.exists(self.store.path(manifest_name("new:7b"))))
            elif step == "bytes":
                daemon.listen(0.02)
        self.wait_saved(daemon, "new:7b", model)
        self.wait_quiet(daemon)
        self.assert_same_stores()
        self.assert_calm(daemon)
        self.stop_clean(daemon)

    def test_a_pull_into_an_empty_directory(self):
        model = Model.random(600 * KIB)
        daemon = self.ready()
        self.client.start()
        self.client.pull("hf.co/somebody/model-GGUF:Q4_K_M", model)
        self.wait_saved(daemon, "hf.co/somebody/model-GGUF:Q4_K_M", model)
        self.assert_calm(daemon)
        self.stop_clean(daemon)
        self.assertEqual(self.trash(), set())
        daemon = self.ready()
        self.assert_model(self.client, "hf.co/somebody/model-GGUF:Q4_K_M", model)
        self.stop_clean(daemon)

    def test_present_layers_are_not_fetched_and_the_manifest_needs_only_the_missing_ones(self):
        shared = os.urandom(800 * KIB)
        a, b = Model(shared, b"template a"), Model(shared, b"template b")
        self.put(a=a)
        daemon = self.ready()
        inode = os.stat(self.store.blob(digest(shared))).st_ino
        steps = list(self.client.pulling("b", b))
        self.assertNotIn(("renamed", digest(shared)), steps)
        self.wait_saved(daemon, "b", b)
        self.assertEqual(os.stat(self.store.blob(digest(shared))).st_ino, inode)
        self.stop_clean(daemon)

    def half_way(self, model, n):
        steps = self.client.pulling("m", model)
        for _ in range(n):
            next(steps)
        return steps

    def test_a_cancelled_pull_that_is_resumed(self):
        model = Model.random(1200 * KIB, 900 * KIB)
        self.put(old=Model.random(KIB))
        daemon = self.ready()
        self.half_way(model, 9).close()
        parts = glob.glob(self.client.blob(model.blobs[0]) + "-partial-*")
        self.assertIn(64 * KIB, {json.loads(self.read(part))["Completed"] for part in parts})
        self.write("nudge", b"x", root=self.target)  # what comes after it has been checked, and so has this
        self.wait_until(lambda: os.path.exists(os.path.join(self.source, "nudge")), "another file", daemon)
        self.assertFalse(self.on_disk(model.blobs[0]))
        steps = list(self.client.pulling("m", model))
        self.assertLess(sum(what for step, what in steps if step == "bytes"), sum(map(len, model.contents)))
        self.wait_saved(daemon, "m", model)
        self.assert_calm(daemon)
        self.stop_clean(daemon)

    def test_a_killed_pull_is_resumed_from_its_part_files(self):
        model = Model.random(1200 * KIB)
        self.put(old=Model.random(KIB))
        daemon = self.ready()
        self.client.killed = True
        self.half_way(model, 9).close()
        parts = glob.glob(self.client.blob(model.blobs[0]) + "-partial-*")
        self.assertEqual({json.loads(self.read(part))["Completed"] for part in parts}, {0})
        again = ollama.Client(self.target)
        again.start()
        again.pull("m", model)
        self.wait_saved(daemon, "m", model)
        self.assert_calm(daemon)
        self.stop_clean(daemon)

    def test_killed_between_the_part_files_and_the_rename_the_whole_partial_is_not_taken_for_a_blob(self):
        model = Model.random(700 * KIB)
        self.put(old=Model.random(KIB))
        daemon = self.ready()
        steps = self.client.pulling("m", model)
        while next(steps)[0] != "unlinked":
            pass
        self.client.killed = True
        steps.close()
        partial = self.client.blob(model.blobs[0]) + "-partial"
        self.assertEqual((digest(self.read(partial)), glob.glob(partial + "-*")), (model.blobs[0], []))
        daemon.listen(1)
        self.assertFalse(self.on_disk(model.blobs[0]))
        again = ollama.Client(self.target)
        steps = list(again.pulling("m", model))
        self.assertEqual(sum(what for step, what in steps if step == "bytes"), sum(map(len, model.contents)))  # from zero
        self.wait_saved(daemon, "m", model)
        self.assert_calm(daemon)
        self.stop_clean(daemon)

    def mismatch(self, daemon, model):
        """The client finds it when all blobs have their final names; the daemon has reported it before."""
        bad = model.blobs[0]
        self.client.spoiled[bad] = bytes(len(model.contents[0]))
        steps = self.client.pulling("m", model)
        while next(steps) != ("verify", bad):
            pass
        daemon.wait_log("'blobs/%s' in the mirror is not saved: its SHA-256 is %s, not what its name says" % (
            bad, digest(self.client.spoiled[bad])[7:]))
        self.wait_until(lambda: self.on_disk(*model.blobs[1:]), "the good blobs on disk", daemon)
        self.assertFalse(self.on_disk(bad))
        daemon.wait_status("; 1 rejected")
        self.client.spoiled = {}
        return steps

    def test_a_blob_with_other_bytes_under_its_final_name_is_reported_and_not_saved_until_fetched_again(self):
        model = Model.random(700 * KIB, 300 * KIB)
        self.put(old=Model.random(KIB))
        daemon = self.ready()
        steps = self.mismatch(daemon, model)
        with self.assertRaises(ollama.DigestMismatch):
            list(steps)
        self.assertFalse(os.path.exists(self.client.blob(model.blobs[0])))
        daemon.wait_status("^(?!.*rejected)")
        self.client.pull("m", model)
        self.wait_saved(daemon, "m", model)
        self.wait_quiet(daemon)
        self.assertEqual(len(re.findall("not saved", daemon.log())), 1, daemon.log())
        self.stop_clean(daemon)

    def test_a_blob_with_other_bytes_is_gone_after_the_stop_if_the_client_died_before_its_check(self):
        model = Model.random(700 * KIB, 300 * KIB)
        self.put(old=Model.random(KIB))
        daemon = self.ready()
        self.mismatch(daemon, model).close()
        self.stop_clean(daemon)
        self.assertFalse(self.on_disk(model.blobs[0]))
        daemon = self.ready()
        self.assertFalse(os.path.lexists(self.client.blob(model.blobs[0])))
        self.client.pull("m", model)  # where it would have been a hit, it is fetched
        self.wait_saved(daemon, "m", model)
        self.stop_clean(daemon)

    def test_a_manifest_whose_blob_has_other_bytes_is_not_saved_and_the_next_start_is_as_before(self):
        old, new = Model.random(300 * KIB), Model.random(400 * KIB)
        self.put(m=old)
        daemon = self.ready()
        self.client.write_manifest("m", new.manifest)  # as after a cache hit of a blob that was not verified
        self.write("blobs/" + new.blobs[1], new.contents[1], root=self.target)
        self.write("blobs/" + new.blobs[0], bytes(400 * KIB), root=self.target)
        daemon.wait_log("blobs/%s' in the mirror is not saved: its SHA-256" % new.blobs[0])
        daemon.listen(1)
        self.assert_model(self.store, "m", old)
        self.stop_clean(daemon)
        self.assert_model(self.store, "m", old)
        daemon = self.ready()
        self.assert_model(self.client, "m", old)
        self.stop_clean(daemon)

    def test_a_pull_of_a_tag_with_new_content_leaves_the_old_model_whole_until_the_new_manifest_is_on_disk(self):
        shared = os.urandom(200 * KIB)
        old, new = Model(os.urandom(900 * KIB), shared), Model(os.urandom(MIB), shared)
        self.put(m=old, other=Model.random(KIB))
        gone = [blob for blob in old.blobs if blob not in new.blobs]
        daemon = self.ready(traced=True)
        self.strace(daemon.pid, "-e", "trace=fsync", "-e", "inject=fsync:delay_enter=300000")
        self.client.pull("m", new)
        self.assertFalse(any(os.path.lexists(self.client.blob(blob)) for blob in gone))
        self.assertFalse(self.on_disk(new.blobs[0]), "the save was not slow")
        while not self.has(self.source, "m", new):
            self.assertTrue(self.on_disk(*old.blobs))
            self.assertIsNone(daemon.process.poll(), daemon.log())
            daemon.pump(0.01)
        self.assert_model(self.store, "m", new)
        self.wait_until(lambda: not any(map(self.on_disk, gone)), "the sweep", daemon)
        self.assertTrue(self.on_disk(*new.blobs))
        self.assertEqual(self.trash(), {"blobs/" + blob for blob in gone})
        daemon.wait_log(r"Moved 2 blobs \(.*\) in '.*' to the trash; clients deleted them and nothing references them any more")
        self.assertNotRegex(daemon.log(), "(?m)^(Warning|Error): |staged again")
        os.kill(int(self.read(self.mirrored(".shmstaged/lock"))), signal.SIGTERM)
        self.assertEqual(daemon.join(), 0, daemon.log())
        self.assert_gone()

    def test_without_pruning_the_superseded_blobs_stay_on_both_sides(self):
        old, new = Model.random(300 * KIB), Model.random(400 * KIB)
        self.put(m=old)
        daemon = self.ready()
        self.client.prune = False
        self.client.pull("m", new)
        self.wait_saved(daemon, "m", new)
        daemon.listen(2)
        self.assertTrue(self.on_disk(*old.blobs))
        self.assertTrue(all(map(self.in_ram, old.blobs)))
        self.stop_clean(daemon)
        daemon = self.ready()
        self.assertFalse(any(os.path.lexists(self.client.blob(blob)) for blob in old.blobs))  # nothing names them
        self.assert_model(self.client, "m", new)
        self.stop_clean(daemon)

    def test_a_client_that_writes_under_the_final_name_is_waited_for(self):
        model = Model.random(MIB)
        self.put(old=Model.random(KIB))
        daemon = self.ready()
        content, blob = model.contents[0], self.client.blob(model.blobs[0])
        with open(blob, "wb", buffering=0) as f:
            f.truncate(len(content))
            os.pwrite(f.fileno(), content[512 * KIB:], 512 * KIB)
            daemon.listen(0.7)
            self.assertFalse(self.on_disk(model.blobs[0]))
            self.assertNotRegex(daemon.log(), "not saved")
        daemon.wait_log("blobs/%s' in the mirror is not saved" % model.blobs[0])
        with open(blob, "r+b", buffering=0) as f:
            os.pwrite(f.fileno(), content[:512 * KIB], 0)
        self.client.pull("m", model)
        self.wait_saved(daemon, "m", model)
        self.stop_clean(daemon)


class Interruption(Store):
    """Stops, kills and slow disks in the middle of it."""

    @staticmethod
    def late_content(size):
        """Its blob is among the last by name, and with many bytes still on its way when whoever does not wait is done."""
        while True:
            content = os.urandom(32) * (size // 32)
            if digest(content).startswith("sha256-f"):
                return content

    def test_no_manifest_is_on_disk_before_its_blobs_however_slow_the_disk_is(self):
        self.put(old=Model.random(KIB))
        daemon = self.ready(traced=True)
        calls = "fsync,renameat2,pwrite64"
        self.strace(daemon.pid, "-e", "trace=" + calls, "-e", "inject=%s:delay_enter=80000" % calls)
        models = {"m%d" % i: Model(os.urandom(2 * MIB), os.urandom(300 * KIB), os.urandom(KIB)) for i in (1, 2)}
        models["m0"] = Model(self.late_content(20 * MIB), os.urandom(KIB))
        models["copy"] = models["m0"]
        for name in ("m0", "m1", "m2"):
            self.client.pull(name, models[name])
        self.client.cp("m0", "copy")
        checks = self.guard.checks
        for name, model in models.items():
            self.assertFalse(self.has(self.source, name, model), "the disk was not slow")
        for name, model in models.items():
            self.wait_saved(daemon, name, model)
        self.assertGreater(self.guard.checks, checks + 20)
        os.kill(int(self.read(self.mirrored(".shmstaged/lock"))), signal.SIGTERM)
        self.assertEqual(daemon.join(), 0, daemon.log())

    def test_a_tag_that_is_a_link_comes_after_the_manifest_among_the_blobs_and_all_that_names(self):
        model = Model.random(MIB, 300 * KIB)
        self.put(old=Model.random(KIB))
        daemon = self.ready(traced=True)
        self.strace(daemon.pid, "-e", "trace=fsync,renameat2", "-e", "inject=fsync,renameat2:delay_enter=50000")
        tag = "manifest-v2/registry.ollama.ai/library/m/latest"
        os.makedirs(os.path.dirname(self.mirrored(tag)))
        os.symlink("../../../../blobs/" + digest(model.manifest), self.mirrored(tag))
        for content in [model.manifest, *model.contents]:
            self.write("blobs/" + digest(content), content, root=self.target)
        while not os.path.lexists(os.path.join(self.source, tag)):
            self.assertIsNone(daemon.process.poll(), daemon.log())
            daemon.pump(0.01)
        self.assertEqual(self.read(os.path.join(self.source, tag)), model.manifest)
        for content in model.contents:
            self.assertEqual(self.store.read(digest(content)), content)
        os.kill(int(self.read(self.mirrored(".shmstaged/lock"))), signal.SIGTERM)
        self.assertEqual(daemon.join(), 0, daemon.log())
        self.assert_gone()

    def test_a_tensor_pull_of_thousands_of_blobs(self):
        model = Model.random(*[100] * 3000, types=[ollama.TENSOR] * 3000)
        self.put(old=Model.random(KIB))
        daemon = self.ready()
        self.client.pull_tensors("m", model)
        self.wait_until(lambda: self.has(self.source, "m", model), "the manifest on disk", daemon, timeout=60)
        self.assert_model(self.store, "m", model)
        self.wait_quiet(daemon)
        self.assert_same_stores()
        self.assert_calm(daemon)
        self.stop_clean(daemon)

    def test_a_manifest_that_is_written_before_its_blobs_waits_for_them(self):
        model = Model.random(300 * KIB, 200 * KIB)
        self.put(old=Model.random(KIB))
        daemon = self.ready()
        self.client.write_manifest("m", model.manifest)
        daemon.wait_log("%s' in the mirror is not saved yet: 'blobs/sha256-" % manifest_name("m"))
        for content in model.contents[1:] + model.contents[:1]:
            self.assertFalse(os.path.exists(self.store.path(manifest_name("m"))))
            self.write("blobs/" + digest(content), content, root=self.target)
            self.wait_until(lambda: self.on_disk(digest(content)), "a blob on disk", daemon)
        self.wait_saved(daemon, "m", model)
        self.wait_quiet(daemon)
        self.stop_clean(daemon)

    def test_a_stop_in_the_middle_of_a_pull_saves_whole_files_and_drops_the_others(self):
        model = Model.random(300 * KIB, 900 * KIB)
        self.put(old=Model.random(KIB))
        daemon = self.ready()
        steps = self.client.pulling("m", model)
        while next(steps)[0] != "renamed":
            pass
        for _ in range(5):
            next(steps)  # it still has the partial open for writing
        self.stop_clean(daemon)
        steps.close()
        self.assertTrue(self.on_disk(model.blobs[0]))
        self.assertFalse(self.on_disk(model.blobs[1]))
        daemon = self.ready()
        self.assertEqual(self.store.load("old"), self.client.load("old"))
        self.client = ollama.Client(self.target)
        self.client.start()
        self.client.pull("m", model)  # of which one blob stands on disk already
        self.wait_saved(daemon, "m", model)
        self.wait_quiet(daemon)
        self.assertFalse(os.path.exists(self.path("source", ".shmstaged", "conflicts")))
        self.stop_clean(daemon)

    def test_a_stop_right_after_a_pull_has_all_of_it_on_disk(self):
        old, new, more = Model.random(300 * KIB), Model.random(3 * MIB, 2 * MIB), Model.random(MIB)
        self.put(m=old)
        daemon = self.ready(self.config(SweepDelay="1h"))
        self.client.pull("m", new)
        self.client.pull("more", more)
        self.stop_clean(daemon)
        self.assert_model(self.store, "m", new)
        self.assert_model(self.store, "more", more)
        self.assertTrue(self.on_disk(*old.blobs))  # only a sweep takes them

    def test_files_a_client_deleted_before_the_stop_are_swept_by_the_next_run(self):
        old, new = Model.random(300 * KIB), Model.random(3 * KIB)
        self.put(m=old)
        daemon = self.ready(self.config(SweepDelay="1h"))
        self.client.pull("m", new)
        self.stop_clean(daemon)
        self.assertTrue(self.on_disk(*old.blobs))
        daemon = self.ready()
        self.wait_until(lambda: not any(map(self.on_disk, old.blobs)), "the sweep", daemon)
        self.assertEqual(self.trash(), {"blobs/" + blob for blob in old.blobs})
        self.assert_model(self.client, "m", new)
        self.stop_clean(daemon)

    def test_after_a_kill_at_any_moment_of_pulls_the_next_start_saves_the_pulled_models(self):
        expected = {"m": Model.random(200 * KIB)}
        self.put(**expected)
        daemon = self.ready(traced=True)
        for i, delay in enumerate((0.01, 0.08, 0.2, 0.4)):
            self.strace(daemon.pid, "-e", "trace=fsync,renameat2", "-e", "inject=fsync,renameat2:delay_enter=50000")
            for name in ("m", "other-%d" % i):
                expected[name] = Model.random(MIB, 100 * KIB)
                self.client.pull(name, expected[name])
            daemon.listen(delay)
            os.kill(int(self.read(self.mirrored(".shmstaged/lock"))), signal.SIGKILL)
            daemon.process.wait()
            daemon = self.ready(traced=True)
        for name, model in expected.items():
            self.wait_saved(daemon, name, model)
            self.assert_model(self.client, name, model)
        daemon.stop()
        self.assert_gone()

    def tensor_pull(self, n_small, manifest_bytes, take_the_last_page=False):
        """On a mirror that becomes full. What a manifest takes of its pages decides how much of it is written."""
        old = Model.random(100 * KIB)
        self.put(m=old)
        daemon = self.ready(self.config(Size="8M", HugePages="never"))
        new = Model.random(*[3 * MIB] * 4, *[100] * n_small, types=[ollama.TENSOR] * (4 + n_small))

        def take():
            with open(self.client.blob("sha256-other-partial"), "wb", buffering=0) as f:
                f.write(bytes(4096))
        if take_the_last_page:
            self.client.truncated = take
        with self.assertRaises(OSError) if manifest_bytes < len(new.manifest) else contextlib.nullcontext():
            self.client.pull_tensors("m", new)
        self.client.truncated = lambda: None
        self.assertEqual(os.statvfs(self.target).f_bavail, 0)
        self.assertEqual(os.path.getsize(self.client.path(manifest_name("m"))), manifest_bytes)
        truncated = [blob for content, blob in zip(new.contents, new.blobs) if os.path.getsize(self.client.blob(blob)) != len(content)]
        self.assertTrue(truncated)
        for blob in truncated:
            daemon.wait_log("blobs/%s' in the mirror is not saved: its SHA-256" % blob)
        daemon.wait_log("%s' in the mirror is not saved" % manifest_name("m"))
        self.wait_until(lambda: self.on_disk(*(set(new.blobs) - set(truncated))), "the whole ones", daemon)
        self.assertFalse(any(map(self.on_disk, truncated)))
        self.assert_model(self.store, "m", old)
        daemon.wait_status("; %d rejected" % (len(truncated) + 1))
        self.assertEqual(self.client.start(), manifest_bytes == len(new.manifest))  # nothing is pruned while a manifest cannot be read
        self.stop_clean(daemon)
        self.assert_model(self.store, "m", old)
        self.assertFalse(any(map(self.on_disk, truncated)))
        daemon = self.ready(self.config(Size="32M"))
        self.assert_model(self.client, "m", old)
        self.assertEqual(self.client.pull_tensors("m", new), [])
        self.wait_saved(daemon, "m", new)
        self.stop_clean(daemon)

    def test_a_tensor_pull_that_fills_the_mirror_and_a_manifest_that_is_empty_then(self):
        self.tensor_pull(0, 0, take_the_last_page=True)

    def test_a_tensor_pull_that_fills_the_mirror_and_a_manifest_that_is_cut_off(self):
        self.tensor_pull(40, 4096)

    def test_a_tensor_pull_that_fills_the_mirror_and_a_manifest_that_is_whole_all_the_same(self):
        self.tensor_pull(0, len(Model(*[bytes(3 * MIB)] * 4, types=[ollama.TENSOR] * 4).manifest))

    def test_a_pull_that_fills_the_mirror_leaves_the_disk_as_it_is(self):
        old = Model.random(100 * KIB)
        self.put(m=old)
        daemon = self.ready(self.config(Size="4M", HugePages="never"))
        with self.assertRaises(OSError):
            self.client.pull("m", Model.random(6 * MIB))
        daemon.listen(0.5)
        self.assert_model(self.store, "m", old)
        self.assertEqual(set(os.listdir(self.store.path("blobs"))), set(old.blobs))
        self.assert_calm(daemon)
        self.stop_clean(daemon)
        self.assert_model(self.store, "m", old)


class Create(Store):
    def test_a_created_model_is_saved_with_the_mode_that_its_blobs_get_in_the_end(self):
        self.put(old=Model.random(KIB))
        model = Model.random(500 * KIB, 300 * KIB, 10)
        daemon = self.ready()
        for step, what in self.client.creating("made", model):
            if step == "renamed":  # 0600 still, and with another time
                self.wait_until(lambda: self.on_disk(what), "the blob on disk", daemon)
        self.wait_saved(daemon, "made", model)
        for blob in model.blobs:
            self.wait_until(lambda: os.stat(self.store.blob(blob)).st_mode & 0o777 == 0o644 and
                            os.stat(self.store.blob(blob)).st_mtime_ns == os.stat(self.client.blob(blob)).st_mtime_ns, "mode and time", daemon)
        self.wait_quiet(daemon)
        self.assert_same_stores()
        self.assert_calm(daemon)
        self.stop_clean(daemon)

    def test_scratch_of_a_create_from_safetensors_never_reaches_the_disk(self):
        self.put(old=Model.random(KIB))
        model = Model.random(500 * KIB, 300 * KIB)
        daemon = self.ready()
        for step, what in self.client.creating("made", model, safetensors=True):
            if step == "scratch":
                self.assertTrue(os.path.islink(os.path.join(what, "model-0.safetensors")))
                self.wait_until(lambda: self.on_disk(*model.blobs[:-1]), "the blobs on disk", daemon)
                daemon.listen(0.5)
                self.assertEqual(set(os.listdir(self.source)) - {".shmstaged"}, {"blobs", "manifests"})
        self.wait_saved(daemon, "made", model)
        self.wait_quiet(daemon)
        self.assert_same_stores()
        self.assert_calm(daemon)
        self.stop_clean(daemon)

    def test_hard_links_of_a_create_from_a_split_model_do_not_keep_its_blobs_from_the_disk(self):
        self.put(old=Model.random(KIB))
        model = Model.random(500 * KIB, 300 * KIB)
        daemon = self.ready()
        for step, what in self.client.creating("made", model, split=True):
            if step == "scratch":
                self.assertEqual(os.stat(self.client.blob(model.blobs[0])).st_nlink, 2)
                self.wait_until(lambda: self.on_disk(*model.blobs[:-1]), "the blobs on disk", daemon)
                daemon.listen(0.5)
        self.wait_saved(daemon, "made", model)
        self.wait_quiet(daemon)
        self.assert_same_stores()
        self.assertEqual(os.stat(self.store.blob(model.blobs[0])).st_nlink, 1)
        self.assert_calm(daemon)
        self.stop_clean(daemon)

    def test_a_create_from_existing_blobs_writes_only_new_ones_and_carries_the_times(self):
        base = os.urandom(MIB)
        self.put(base=Model(base))
        made = Model(base, b"SYSTEM You are kind.")
        daemon = self.ready()
        inode = os.stat(self.store.blob(digest(base))).st_ino
        self.client.create("made", made)
        self.wait_saved(daemon, "made", made)
        self.wait_until(lambda: os.stat(self.store.blob(digest(base))).st_mtime_ns == os.stat(self.client.blob(digest(base))).st_mtime_ns,
                        "the time on disk", daemon)
        self.assertEqual(os.stat(self.store.blob(digest(base))).st_ino, inode)
        self.wait_quiet(daemon)
        self.assert_same_stores()
        self.assert_calm(daemon)
        self.stop_clean(daemon)

    def test_a_create_under_a_name_that_is_taken_leaves_the_old_blobs_to_the_sweep(self):
        old, new = Model.random(200 * KIB), Model.random(300 * KIB)
        self.put(m=old, other=Model.random(KIB))
        daemon = self.ready(self.config(SweepDelay="3s"))
        begun = time.monotonic()
        self.client.create("m", new)
        self.wait_saved(daemon, "m", new)
        self.wait_until(lambda: not any(map(self.on_disk, old.blobs)), "the sweep", daemon)
        self.assertGreaterEqual(time.monotonic() - begun, 3)
        self.assertEqual(self.trash(), {"blobs/" + blob for blob in old.blobs})
        self.stop_clean(daemon)

    def test_a_create_that_dies_leaves_nothing_on_the_disk_but_whole_blobs(self):
        self.put(old=Model.random(KIB))
        for moment in ("temporary", "scratch"):
            for kind in ({"safetensors": True}, {"split": True}):
                with self.subTest(moment=moment, kind=kind):
                    model = Model.random(300 * KIB, 200 * KIB)
                    daemon = self.ready()
                    steps = self.client.creating("made", model, **kind)
                    while next(steps)[0] != moment:
                        pass
                    steps.close()
                    daemon.listen(0.5)  # of a temporary that was idle long enough to be taken for a file
                    self.stop_clean(daemon)
                    self.assertEqual(self.on_disk(*model.blobs[:-1]), moment == "scratch")
                    self.assertFalse(os.path.exists(self.store.path(manifest_name("made"))))

    def test_a_create_in_an_empty_store(self):
        model = Model.random(500 * KIB)
        daemon = self.ready()
        self.client.start()
        for step, _ in self.client.creating("made", model):
            if step == "temporary":
                daemon.listen(0.1)
        self.wait_saved(daemon, "made", model)
        self.assert_calm(daemon)
        self.stop_clean(daemon)


class Remove(Store):
    def setUp(self):
        super().setUp()
        self.shared = os.urandom(400 * KIB)
        self.a, self.b = Model(self.shared, os.urandom(30 * KIB)), Model(self.shared, os.urandom(20 * KIB))
        self.own = [blob for blob in self.a.blobs if blob not in self.b.blobs]

    def test_a_copy_is_saved_and_outlives_its_origin(self):
        self.put(a=self.a, b=self.b)
        daemon = self.ready()
        self.client.cp("a", "somebody/copy:v1")
        self.wait_saved(daemon, "somebody/copy:v1", self.a)
        self.client.rm("a")
        self.wait_until(lambda: not os.path.exists(self.store.path(manifest_name("a"))), "the deletion on disk", daemon)
        self.assertEqual(self.trash(), {manifest_name("a")})
        daemon.listen(2)
        self.assert_model(self.store, "somebody/copy:v1", self.a)
        self.assert_model(self.client, "somebody/copy:v1", self.a)
        self.assert_calm(daemon)
        self.stop_clean(daemon)

    def test_rm_moves_the_manifest_to_the_trash_and_a_sweep_the_unreferenced_blobs(self):
        self.put(a=self.a, b=self.b)
        daemon = self.ready()
        self.client.rm("a")
        self.assertFalse(any(os.path.exists(self.client.blob(blob)) for blob in self.own))
        self.wait_until(lambda: not os.path.exists(self.store.path(manifest_name("a"))), "the deletion on disk", daemon)
        self.assertIn(manifest_name("a"), self.trash())
        self.wait_until(lambda: not any(map(self.on_disk, self.own)), "the sweep", daemon)
        self.assertEqual(self.trash(), {manifest_name("a"), *("blobs/" + blob for blob in self.own)})
        self.assert_model(self.store, "b", self.b)
        self.assert_model(self.client, "b", self.b)
        self.assert_calm(daemon)
        self.stop_clean(daemon)

    def test_rm_with_deletes_keep_leaves_the_disk_whole(self):
        self.put(a=self.a, b=self.b)
        daemon = self.ready(self.config(Deletes="keep"))
        self.client.rm("a")
        daemon.listen(7)
        self.assert_model(self.store, "a", self.a)
        self.stop_clean(daemon)
        self.assert_model(self.store, "a", self.a)
        self.assertEqual(self.trash(), set())

    def test_rm_of_the_last_model_takes_all_directories_and_the_next_pull_comes_back(self):
        self.put(a=self.a)
        daemon = self.ready()
        self.client.rm("a")
        self.assertEqual(os.listdir(self.client.path("manifests")), [])
        self.wait_until(lambda: not os.path.exists(self.store.path(manifest_name("a"))), "the deletion on disk", daemon)
        self.wait_until(lambda: os.listdir(self.store.path("blobs")) == [], "the sweep", daemon)
        self.assertEqual(self.trash(), {manifest_name("a"), *("blobs/" + blob for blob in self.a.blobs)})
        self.client.pull("b", self.b)
        self.wait_saved(daemon, "b", self.b)
        self.wait_quiet(daemon)
        self.assert_same_stores()
        self.assert_calm(daemon)
        self.stop_clean(daemon)

    def test_rm_and_pull_again_before_the_deletion_is_carried_out(self):
        self.put(a=self.a, b=self.b)
        daemon = self.ready()
        self.client.rm("a")
        self.wait_until(lambda: not os.path.exists(self.mirrored(manifest_name("a"))), "a scan", daemon)
        daemon.listen(0.5)
        self.client.pull("a", self.a)
        daemon.listen(8)  # the deletion's delay and the sweep's
        self.assert_model(self.store, "a", self.a)
        self.assert_model(self.client, "a", self.a)
        self.assertEqual({name for name in self.trash() if name.startswith("manifests")}, set())
        self.stop_clean(daemon)

    def test_rm_and_stop_at_once(self):
        self.put(a=self.a, b=self.b)
        daemon = self.ready(self.config(SweepDelay="1h"))
        self.client.rm("a")
        self.stop_clean(daemon)
        self.assertFalse(os.path.exists(self.store.path(manifest_name("a"))))
        self.assertEqual(self.trash(), {manifest_name("a")})
        self.assertTrue(self.on_disk(*self.own))
        daemon = self.ready()
        self.assertFalse(os.path.exists(self.client.path(manifest_name("a"))))
        self.wait_until(lambda: not any(map(self.on_disk, self.own)), "the sweep", daemon)
        self.assert_model(self.store, "b", self.b)
        self.stop_clean(daemon)

    def test_all_models_removed_at_once_are_held_back_and_staged_again(self):
        models = {"m%d" % i: Model(self.shared, os.urandom(10 * KIB)) for i in range(5)}
        self.put(**models)
        daemon = self.ready()
        for name in models:
            self.client.rm(name)
        daemon.wait_status("5 deletions held back")
        self.wait_until(lambda: all(self.has(self.target, name, model) for name, model in models.items()), "the manifests", daemon)
        self.wait_until(lambda: all(self.in_ram(blob) for model in models.values() for blob in model.blobs), "the blobs", daemon)
        daemon.listen(7)
        for name, model in models.items():
            self.assert_model(self.store, name, model)
            self.assert_model(self.client, name, model)
        self.assertEqual(self.trash(), set())
        self.stop_clean(daemon)

    def test_a_blob_that_a_manifest_still_names_comes_back_and_stays_on_disk(self):
        self.put(a=self.a, b=self.b)
        daemon = self.ready()
        os.unlink(self.client.blob(digest(self.shared)))
        self.wait_until(lambda: self.in_ram(digest(self.shared)), "the blob back in RAM", daemon)
        daemon.listen(2)
        self.assertEqual(self.trash(), set())
        self.assert_model(self.client, "b", self.b)
        self.assert_model(self.store, "b", self.b)
        self.stop_clean(daemon)

    def test_a_manifest_on_disk_that_cannot_be_read_stops_every_sweep(self):
        self.unguarded = True
        self.put(a=self.a, b=self.b, c=Model.random(KIB))
        daemon = self.ready(self.config(SweepDelay="2s"))
        self.client.rm("a")
        self.wait_until(lambda: not any(self.in_ram(blob) for blob in self.own), "a scan", daemon)
        daemon.listen(0.5)
        self.write(manifest_name("broken"), b'{"layers": [')
        daemon.wait_log("Failed to parse '%s' in '.*', so it is unknown which blobs it references" % manifest_name("broken"))
        daemon.listen(2.5)
        self.assertTrue(self.on_disk(*self.own))
        self.assertFalse(any(map(self.in_ram, self.own)))
        self.assertEqual({name for name in self.trash() if name.startswith("blobs")}, set())
        os.unlink(self.store.path(manifest_name("broken")))
        self.wait_until(lambda: not any(map(self.on_disk, self.own)), "the sweep", daemon)
        self.assertEqual(daemon.log().count("keeping all blobs"), 1)
        self.assert_model(self.store, "b", self.b)
        self.stop_clean(daemon)

    def test_a_deletion_waits_while_a_manifest_on_disk_cannot_be_read(self):
        self.unguarded = True
        self.put(a=self.a, b=self.b)
        self.write(manifest_name("broken"), b'{"layers": [')
        daemon = self.ready()
        self.client.rm("a")
        self.wait_until(lambda: not os.path.exists(self.store.path(manifest_name("a"))), "the deletion on disk", daemon)
        daemon.wait_log("Failed to parse '%s' in '.*', so it is unknown which blobs it references" % manifest_name("broken"))
        daemon.listen(1.5)
        self.assertTrue(self.on_disk(*self.own))
        self.assertFalse(any(map(self.in_ram, self.own)))
        self.store.write_manifest("broken", self.b.manifest)
        self.wait_until(lambda: not any(map(self.on_disk, self.own)), "the sweep", daemon)
        self.assertEqual(self.trash(), {manifest_name("a"), *("blobs/" + blob for blob in self.own)})
        self.assert_model(self.store, "b", self.b)
        self.wait_until(lambda: self.has(self.target, "broken", self.b), "the repaired manifest in the mirror", daemon)
        self.stop_clean(daemon)

    def test_a_manifest_that_is_new_on_disk_protects_blobs_deleted_in_the_mirror(self):
        self.put(a=self.a, b=self.b)
        daemon = self.ready(self.config(SweepDelay="3s"))
        self.client.rm("a")
        self.wait_until(lambda: not os.path.exists(self.store.path(manifest_name("a"))), "the deletion on disk", daemon)
        self.store.write_manifest("again", self.a.manifest)  # another machine, or the client itself beside the mirror
        self.wait_until(lambda: self.has(self.target, "again", self.a) and all(map(self.in_ram, self.a.blobs)), "it in RAM", daemon)
        daemon.listen(4)
        self.assert_model(self.store, "again", self.a)
        self.assert_model(self.client, "again", self.a)
        self.stop_clean(daemon)


class Choice(Store):
    """Models=: a part of the store is in RAM."""

    def setUp(self):
        super().setUp()
        self.shared = os.urandom(400 * KIB)
        self.a, self.b = Model(self.shared, os.urandom(30 * KIB)), Model(self.shared, os.urandom(20 * KIB))
        self.c = Model(os.urandom(60 * KIB))
        self.own = [blob for blob in self.a.blobs if blob not in self.b.blobs]

    def link(self, blob):
        return os.path.islink(self.client.blob(blob)) and os.readlink(self.client.blob(blob)) == self.store.blob(blob)

    def assert_choice(self, ram, links):
        for blob in ram:
            self.assertTrue(self.in_ram(blob), blob)
        for blob in links:
            self.assertTrue(self.link(blob), blob)

    def test_every_manifest_is_staged_and_unselected_blobs_are_links_to_the_disk(self):
        self.put(a=self.a, b=self.b, c=self.c)
        daemon = self.ready(self.config(Models="a"))
        self.assert_choice(self.a.blobs, [*set(self.b.blobs) - set(self.a.blobs), *self.c.blobs])
        for name, model in (("a", self.a), ("b", self.b), ("c", self.c)):
            self.assert_model(self.client, name, model)
            self.assertFalse(os.path.islink(self.client.path(manifest_name(name))))
        self.assertRegex(daemon.status(), "^Ready")
        self.assert_calm(daemon)
        self.stop_clean(daemon)

    def test_names_are_those_that_the_client_shows(self):
        sorts = {"llama3.1:70b": "llama3.1:70b", "llama3.1": "llama3.1:latest", "qwen3:*": "qwen3:0.6b", "user/model": "user/model:latest",
                 "user/mo*:v?": "user/model:v1", "hf.co/org/Model-GGUF:Q4_K_M": "hf.co/org/Model-GGUF:Q4_K_M", "PHI4": "phi4"}
        models = {name: Model.random(KIB) for name in (*sorts.values(), "llama3.1:8b", "qwen3x:1b", "user/model:v10", "phi4:14b")}
        self.put(**models)
        for chosen, name in sorts.items():
            with self.subTest(Models=chosen):
                daemon = self.ready(self.config(Models=chosen))
                found = {other for other, model in models.items() if all(map(self.in_ram, model.blobs))}
                self.assertEqual(found, {name})
                self.stop_clean(daemon)
        daemon = self.ready(self.config(Models="nobody phi4"))
        daemon.wait_log("Models=nobody matches nothing")
        self.assertNotRegex(daemon.log(), "Models=phi4 matches nothing")
        self.stop_clean(daemon)

    def test_rm_of_a_chosen_model_does_no_harm_to_one_on_disk_that_shares_a_layer(self):
        self.put(a=self.a, b=self.b, c=self.c)
        daemon = self.ready(self.config(Models="a"))
        self.client.rm("a")
        self.assertTrue(os.path.lexists(self.client.blob(digest(self.shared))), "the client counts with the manifest of b")
        self.wait_until(lambda: not any(map(self.on_disk, self.own)), "the sweep", daemon)
        self.assertEqual(self.trash(), {manifest_name("a"), *("blobs/" + blob for blob in self.own)})
        self.assert_model(self.store, "b", self.b)
        self.assert_model(self.client, "b", self.b)
        self.wait_until(lambda: self.link(digest(self.shared)), "its place taken by a link", daemon)
        self.stop_clean(daemon)
        self.assert_model(self.store, "b", self.b)

    def test_rm_of_a_model_that_is_only_linked_takes_it_off_the_disk(self):
        self.put(a=self.a, b=self.b, c=self.c)
        daemon = self.ready(self.config(Models="a"))
        self.client.rm("c")
        self.client.rm("b")
        own = {*self.b.blobs, *self.c.blobs} - set(self.a.blobs)
        self.wait_until(lambda: not any(map(self.on_disk, own)), "the sweep", daemon)
        self.assertEqual(self.trash(), {manifest_name("b"), manifest_name("c"), *("blobs/" + blob for blob in own)})
        self.assert_model(self.store, "a", self.a)
        self.assert_model(self.client, "a", self.a)
        self.stop_clean(daemon)

    def test_a_shared_blob_deleted_by_a_client_that_miscounts_stays_on_disk(self):
        self.put(a=self.a, b=self.b)
        daemon = self.ready(self.config(Models="a"))
        self.client.rm("a")
        os.unlink(self.client.blob(digest(self.shared)))
        self.wait_until(lambda: not any(map(self.on_disk, self.own)), "the sweep", daemon)
        self.wait_until(lambda: self.link(digest(self.shared)), "its link", daemon)
        self.assertNotIn("blobs/" + digest(self.shared), self.trash())
        self.assert_model(self.store, "b", self.b)
        self.assert_model(self.client, "b", self.b)
        self.stop_clean(daemon)

    def test_a_pull_of_a_model_that_is_not_chosen_is_saved_and_stays_in_ram_until_the_stop(self):
        model = Model(self.shared, os.urandom(200 * KIB))
        self.put(a=self.a)
        daemon = self.ready(self.config(Models="a"))
        self.client.pull("new", model)
        self.wait_saved(daemon, "new", model)
        self.wait_quiet(daemon)
        daemon.signal(signal.SIGHUP)
        daemon.listen(1)
        self.assert_choice(model.blobs, [])
        daemon.kill()
        daemon = self.ready(self.config(Models="a"))  # the same mirror, taken over
        self.assert_choice(model.blobs, [])
        self.stop_clean(daemon)
        self.assert_model(self.store, "new", model)
        daemon = self.ready(self.config(Models="a"))
        self.assert_choice(self.a.blobs, set(model.blobs) - set(self.a.blobs))
        self.assert_model(self.client, "new", model)
        self.stop_clean(daemon)

    def test_a_pull_over_a_linked_model_replaces_links_by_files_and_never_writes_through_them(self):
        new = Model(os.urandom(100 * KIB), self.c.layers[0])
        self.put(a=self.a, c=self.c)
        daemon = self.ready(self.config(Models="a"))
        self.client.pull("c", new)
        self.wait_saved(daemon, "c", new)
        self.assert_choice([new.blobs[0]], [self.c.blobs[0]])
        self.assert_model(self.client, "c", new)
        self.wait_until(lambda: not self.on_disk(self.c.blobs[1]), "the sweep of the old configuration", daemon)
        self.stop_clean(daemon)
        self.assert_model(self.store, "c", new)

    def test_a_create_that_touches_linked_blobs_and_an_rm_of_them_later(self):
        made = Model(self.c.layers[0], b"SYSTEM")
        self.put(a=self.a, c=self.c)
        daemon = self.ready(self.config(Models="a"))
        self.client.create("made", made)  # utimes() follows the link
        self.wait_saved(daemon, "made", made)
        self.assert_model(self.client, "made", made)
        self.wait_quiet(daemon)
        self.client.rm("made")
        self.client.rm("c")
        gone = {*made.blobs, *self.c.blobs}
        self.wait_until(lambda: not any(map(self.on_disk, gone)), "the sweep", daemon)
        self.assert_model(self.client, "a", self.a)
        self.assert_model(self.store, "a", self.a)
        self.stop_clean(daemon)


    def test_a_blob_without_room_is_a_link_and_can_be_removed_and_pulled_over(self):
        big, new = Model.random(3 * MIB), Model.random(100 * KIB)
        self.put(a=self.a, big=big, c=self.c)
        keys = {"Size": "3M", "HugePages": "never", "OnNoRoom": "link", "Priority": " ".join("*%s" % blob for blob in self.a.blobs)}
        daemon = self.ready(self.config(**keys))
        self.assert_choice([*self.a.blobs, *self.c.blobs], [big.blobs[0]])
        self.assert_model(self.client, "big", big)
        self.client.cp("big", "copy")
        self.wait_saved(daemon, "copy", big)
        self.client.rm("big")
        self.client.pull("copy", new)
        self.wait_saved(daemon, "copy", new)
        self.assert_choice(new.blobs, [])
        self.wait_until(lambda: not any(map(self.on_disk, big.blobs)), "the sweep", daemon)
        self.assertFalse(os.path.lexists(self.client.blob(big.blobs[0])))
        self.assert_model(self.store, "a", self.a)
        self.wait_quiet(daemon)
        self.stop_clean(daemon)


class StartUp(Store):
    """What the server prunes when it starts, before v0.21 without a grace time."""

    def test_a_mirror_that_is_ready_gives_a_prune_nothing_to_do(self):
        shared = os.urandom(100 * KIB)
        models = {"a": Model(shared), "b": Model(shared, b"x"), "c": Model.random(KIB)}
        self.put(**models)
        self.write("blobs/" + digest(b"nobody's"), b"nobody's")
        for keys in ({}, {"Models": "a"}):
            for grace in (0, 3600):
                with self.subTest(grace=grace, keys=keys):
                    daemon = self.ready(self.config(**keys))
                    before = self.names()
                    self.assertTrue(self.client.start(grace))
                    self.assertEqual(self.names(), before)
                    daemon.listen(1.5)
                    for name, model in models.items():
                        self.assert_model(self.client, name, model)
                        self.assert_model(self.store, name, model)
                    self.stop_clean(daemon)
        self.assertTrue(self.on_disk(digest(b"nobody's")))
        self.assertEqual(self.trash(), set())

    def test_a_prune_after_lost_manifests_does_not_harm_the_disk(self):
        models = {"m%d" % i: Model.random(20 * KIB) for i in range(6)}
        self.put(**models)
        daemon = self.ready()
        for path in self.client.manifests():
            os.unlink(self.client.path(path))
        self.assertTrue(self.client.start(0))
        self.assertEqual(os.listdir(self.client.path("blobs")), [])
        daemon.wait_status("deletions held back")
        self.wait_until(lambda: all(self.has(self.target, name, model) and all(map(self.in_ram, model.blobs)) for name, model in models.items()),
                        "everything back in RAM", daemon)
        daemon.listen(3)
        for name, model in models.items():
            self.assert_model(self.store, name, model)
        self.assertEqual(self.trash(), set())
        self.stop_clean(daemon)

    def test_a_prune_of_the_files_of_an_unfinished_pull(self):
        model = Model.random(300 * KIB, 200 * KIB)
        self.put(old=Model.random(KIB))
        for grace in (0, 3600):
            with self.subTest(grace=grace):
                daemon = self.ready()
                self.client.killed = True
                steps = self.client.pulling("m", model)
                while next(steps)[0] != "renamed":
                    pass
                next(steps)
                steps.close()
                self.wait_until(lambda: self.on_disk(model.blobs[0]), "the blob on disk", daemon)
                self.client = ollama.Client(self.target)
                self.assertTrue(self.client.start(grace))
                self.assertEqual(os.path.exists(self.client.blob(model.blobs[0])), grace > 0)
                self.assertEqual(bool(glob.glob(self.client.path("blobs", "*-partial*"))), grace > 0)
                if grace == 0:
                    self.wait_until(lambda: not self.on_disk(model.blobs[0]), "the sweep", daemon)
                self.assertEqual(self.store.load("old"), self.client.load("old"))
                self.assert_calm(daemon)
                self.stop_clean(daemon)

    def test_a_manifest_that_cannot_be_read_in_the_mirror_is_not_saved_and_takes_nothing_with_it(self):
        a, b = Model.random(100 * KIB), Model.random(KIB)
        self.put(a=a, b=b)
        daemon = self.ready()
        with open(self.client.path(manifest_name("a")), "wb"):
            pass
        daemon.wait_log("%s' in the mirror is not saved: it is empty" % manifest_name("a"))
        self.assertFalse(self.client.start(0))
        for blob in a.blobs:  # an older server, or an administrator
            os.unlink(self.client.blob(blob))
        self.wait_until(lambda: all(map(self.in_ram, a.blobs)), "the blobs back in RAM", daemon)
        daemon.listen(2)
        self.assert_model(self.store, "a", a)
        self.stop_clean(daemon)
        self.assertEqual(self.trash(), set())
        self.assert_model(self.store, "a", a)

    def test_blobs_with_the_old_spelling_are_saved_when_they_are_renamed(self):
        model = Model.random(200 * KIB)
        self.put(old=Model.random(KIB))
        daemon = self.ready()
        for content in model.contents:
            self.write("blobs/" + digest(content).replace("-", ":"), content, root=self.target)
        self.client.write_manifest("m", model.manifest)
        daemon.listen(0.5)
        self.assertFalse(os.path.exists(self.store.path(manifest_name("m"))))
        self.assertTrue(self.client.start(0))
        self.wait_saved(daemon, "m", model)
        self.wait_quiet(daemon)
        self.stop_clean(daemon)


if __name__ == "__main__":
    harness.main(jobs=4)
