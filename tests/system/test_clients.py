# SPDX-License-Identifier: GPL-2.0-or-later
"""What the clients other than Ollama do in the mirror, by the file operations that they make, and what of it is on disk then.

What takes time with them, a download, is done here in steps, so that a test can check between two of them. Whatever is to be shown to be saved
last is shown by holding back what it needs: a file that is open for writing is not saved.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import struct
import time

import harness
from harness import Inotify

KIB, MIB = 1 << 10, 1 << 20


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def git_blob(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def safetensors(size):
    """A file of two tensors with so many bytes of data in all."""
    half = size // 2
    header = json.dumps({"__metadata__": {"format": "pt"}, "a": {"dtype": "U8", "shape": [half], "data_offsets": [0, half]},
                         "b": {"dtype": "U8", "shape": [size - half], "data_offsets": [half, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + os.urandom(size)


def gguf(size):
    """A file of one tensor with so many bytes of data, which is a multiple of 32."""
    name = b"blk.0.weight"
    header = (b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q", len(name)) + name +
              struct.pack("<IQIQ", 1, size // 4, 0, 0))
    return header + bytes(-len(header) % 32) + os.urandom(size)


def append(path, content):
    with open(path, "ab") as f:
        f.write(content)


class Clients(harness.Case):
    work_size = "1g"

    def tearDown(self):
        for daemon in self.daemons:
            self.assertNotRegex(daemon.log(), "Sanitizer|runtime error")

    def begin(self, **keys):
        self.running = self.ready(self.config(**keys))
        return self.running

    def on_disk(self, *parts):
        return os.path.join(self.source, *parts)

    def put(self, name, content):
        """Written in place, in the mirror."""
        return self.write(name, content, root=self.target)

    @staticmethod
    def seen(root, name):
        path = os.path.join(root, name)
        st = os.lstat(path)
        if os.path.islink(path):
            return os.readlink(path)
        if os.path.isdir(path):
            return "directory", st.st_mode & 0o777
        with open(path, "rb") as f:
            return f.read(), st.st_mode & 0o777, st.st_uid, st.st_gid, st.st_mtime_ns

    def is_saved(self, name):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return self.seen(self.source, name) == self.seen(self.target, name)
        return False

    def wait_saved(self, *names, timeout=30):
        for name in names:
            self.wait_until(lambda: self.is_saved(name), "'%s' to be saved" % name, self.running, timeout)

    def assert_not_on_disk(self, *names, seconds=0.5):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.running.listen(0.05)
            for name in names:
                self.assertFalse(os.path.lexists(self.on_disk(name)), "'%s' is on disk\n%s" % (name, self.running.log()))

    def assert_unchanged_on_disk(self, name, content, seconds=0.5):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.running.listen(0.05)
            self.assertEqual(self.read(self.on_disk(name)), content)

    def wait_logged(self, pattern):
        self.running.wait_log(pattern)
        self.assertEqual(len(re.findall(pattern, self.running.log())), 1, "logged more than once:\n" + self.running.log())

    def trash(self):
        """{path: content} of what lies in the trash."""
        root, found = self.on_disk(".shmstaged/trash"), {}
        for stamp in os.listdir(root) if os.path.isdir(root) else ():
            for name in self.names(os.path.join(root, stamp)):
                path = os.path.join(root, stamp, name)
                if not os.path.isdir(path) or os.path.islink(path):
                    with contextlib.suppress(FileNotFoundError):  # it has just expired
                        found[name] = os.readlink(path) if os.path.islink(path) else self.read(path)
        return found

    def end(self, but=()):
        """A stop: all that is in the mirror is on disk then, but for these, and nothing of ours is left behind."""
        there = {name: self.seen(self.target, name) for name in self.names() - set(but)}
        self.running.stop()
        self.assert_gone()
        self.assertEqual({name: self.seen(self.source, name) for name in self.names(self.source)}, there)
        self.assert_tidy()

    def assert_tidy(self):
        if os.path.isdir(self.on_disk(".shmstaged/tmp")):
            self.assertEqual(os.listdir(self.on_disk(".shmstaged/tmp")), [])

    def places(self, *directories):
        """Watches directories of the disk; the function that is returned gives the names that have been put in place there since, in order."""
        inotify, found = Inotify(), []
        self.addCleanup(inotify.close)
        for directory in directories:
            inotify.add(self.on_disk(directory).rstrip("/"))

        def placed():
            found.extend(os.path.relpath(path, self.source) for mask, path in inotify.read()
                         if mask & Inotify.MOVED_TO and not path.startswith(self.on_disk(".shmstaged")))
            return found
        return placed

    def assert_order(self, placed, *names):
        self.assertEqual([name for name in placed() if name in names], list(names), placed())


class Hub:
    """One repository in a cache of the Hugging Face Hub."""

    def __init__(self, root, name="org/model", commit=None):
        self.name = "models--" + name.replace("/", "--")
        self.directory = os.path.join(root, self.name)
        self.commit = commit or os.urandom(20).hex()
        self.lfs = True
        for part in ("blobs", "refs", "snapshots/" + self.commit):
            os.makedirs(self.path(part), exist_ok=True)

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def etag(self, content):
        return sha256(content) if self.lfs else git_blob(content)

    def blob(self, etag):
        return os.path.join(self.name, "blobs", etag)

    def snapshot(self, name):
        return os.path.join(self.name, "snapshots", self.commit, name)

    @property
    def ref(self):
        return os.path.join(self.name, "refs/main")

    def write_ref(self, atomic=True):
        """Before any file. One function of the library renames it into place, the other one truncates and writes."""
        path = self.path("refs/main")
        temporary = "%s.%s.tmp" % (path, os.urandom(4).hex()) if atomic else path
        with open(temporary, "w") as f:
            f.write(self.commit)
        if atomic:
            os.rename(temporary, path)

    def link(self, etag, name):
        path = self.path("snapshots", self.commit, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.islink(path):
            os.unlink(path)
        os.symlink("../" * (2 + name.count("/")) + "blobs/" + etag, path)

    def probe(self):
        """The library finds out the umask, and whether there are symbolic links."""
        path = self.path("blobs/tmp_0b5bbe0e-0000-4000-8000-0242ac120002")
        open(path, "w").close()
        os.unlink(path)

    def download(self, name, content, etag=None):
        """Under a name that no other process has, in pieces; a generator that stops before the rename."""
        etag = etag or self.etag(content)
        partial = self.path("blobs", "%s.%s.incomplete" % (etag, os.urandom(4).hex()))
        with open(partial, "wb") as f:
            for at in range(0, len(content), 64 * KIB):
                f.write(content[at:at + 64 * KIB])
                f.flush()
                yield partial
        self.probe()
        os.chmod(partial, 0o644)
        os.rename(partial, self.path("blobs", etag))
        self.link(etag, name)

    def fetch(self, name, content, etag=None):
        for _ in self.download(name, content, etag):
            pass
        return etag or self.etag(content)

    def remove_revision(self, shared=()):
        """hf cache rm: the snapshot, the refs to it, then the blobs that no other snapshot uses, as its links resolve."""
        snapshot = self.path("snapshots", self.commit)
        blobs = {os.path.realpath(os.path.join(d, f)) for d, _, files in os.walk(snapshot) for f in files}
        shutil.rmtree(snapshot)
        os.unlink(self.path("refs/main"))
        for blob in blobs - set(shared):
            os.unlink(blob)


class HuggingFace(Clients):
    def test_a_download_is_on_disk_when_it_has_its_name_and_the_ref_comes_last(self):
        self.begin(SettleTime="1h")  # nothing here has to settle: names state digests, or lead to such names
        hub, weights, config = Hub(self.target), os.urandom(300 * KIB), b"{}"
        hub.write_ref()
        steps = hub.download("model.safetensors", weights)
        next(steps)
        self.assert_not_on_disk(hub.ref, hub.blob(hub.etag(weights)))
        for _ in steps:
            self.assertEqual([n for n in self.names(self.source) if "incomplete" in n], [])
        self.wait_saved(hub.blob(hub.etag(weights)), hub.snapshot("model.safetensors"), hub.ref)
        self.assertEqual(self.read(self.on_disk(hub.snapshot("model.safetensors"))), weights)
        hub.lfs = False
        hub.fetch("sub/folder/config.json", config)
        self.wait_saved(hub.blob(git_blob(config)), hub.snapshot("sub/folder/config.json"))
        self.assertEqual(self.read(self.on_disk(hub.snapshot("sub/folder/config.json"))), config)
        self.end()

    def test_a_new_revision_is_whole_on_disk_before_the_ref_leads_to_it(self):
        old, content = Hub(self.source), os.urandom(50 * KIB)
        old.write_ref()
        shared = old.fetch("shared.json", b"{}")
        old.fetch("model.safetensors", os.urandom(100 * KIB))
        self.begin()
        new = Hub(self.target)
        placed = self.places(new.name + "/blobs", new.name + "/snapshots", new.name + "/refs")
        new.write_ref(atomic=False)
        steps = new.download("model.safetensors", content)
        next(steps)
        self.wait_until(lambda: os.path.isdir(self.on_disk(new.name, "snapshots", new.commit)), "the new snapshot", self.running)
        new.link(shared, "shared.json")
        for _ in steps:
            self.assertEqual(self.read(self.on_disk(new.ref)), old.commit.encode())
        self.wait_saved(new.ref, new.snapshot("model.safetensors"), new.snapshot("shared.json"))
        self.assert_order(placed, os.path.join(new.name, "snapshots", new.commit), new.blob(new.etag(content)), new.ref)
        self.assertTrue(os.path.exists(self.on_disk(old.snapshot("model.safetensors"))))
        self.assertNotIn("neither on disk nor", self.running.log())  # what is on its way is not missing
        self.end()

    def test_a_late_writer_on_a_shared_name_is_waited_for_and_its_damage_is_not_saved(self):
        self.begin()
        hub, content = Hub(self.target), os.urandom(200 * KIB)
        hub.write_ref(atomic=False)
        etag = hub.etag(content)
        partial, blob = hub.path("blobs", etag + ".incomplete"), hub.path("blobs", etag)
        append(partial, content[:100 * KIB])  # a first try, cancelled
        with open(partial, "ab") as late:
            append(partial, content[100 * KIB:])  # resumed by one process, while another one has it open too
            os.rename(partial, blob)
            hub.link(etag, "model.bin")
            self.assert_not_on_disk(hub.blob(etag), hub.snapshot("model.bin"), hub.ref)
            late.write(b"and goes on")
        self.wait_logged(r"'%s' in the mirror is not saved: its SHA-256 is [0-9a-f]{64}, not what its name says" % hub.blob(etag))
        self.running.wait_status(r"; \d rejected")
        self.assert_not_on_disk(hub.blob(etag), hub.snapshot("model.bin"), hub.ref)
        hub.fetch("model.bin", content)  # --force-download
        self.wait_saved(hub.blob(etag), hub.snapshot("model.bin"), hub.ref)
        self.running.wait_status(r"^Ready: (?!.*rejected)")
        self.end()

    def test_a_late_writer_that_writes_nothing_more_only_delays(self):
        self.begin()
        hub, content = Hub(self.target), os.urandom(200 * KIB)
        etag = hub.etag(content)
        partial = hub.path("blobs", etag + ".incomplete")
        with open(partial, "ab"):
            append(partial, content)
            os.rename(partial, hub.path("blobs", etag))
            hub.link(etag, "model.bin")
            self.assert_not_on_disk(hub.blob(etag), hub.snapshot("model.bin"))
        self.wait_saved(hub.blob(etag), hub.snapshot("model.bin"))
        self.end()

    def test_xet_writes_out_of_order_through_another_descriptor(self):
        self.begin()
        hub, content = Hub(self.target), os.urandom(256 * KIB)
        hub.write_ref()
        etag = hub.etag(content)
        partial = hub.path("blobs", "%s.89abcdef.incomplete" % etag)
        first = open(partial, "wb")
        second = os.open(partial, os.O_WRONLY)
        for at in (3, 1, 2):
            os.pwrite(second, content[at * 64 * KIB:(at + 1) * 64 * KIB], at * 64 * KIB)
        first.close()
        os.rename(partial, hub.path("blobs", etag))
        hub.link(etag, "model.safetensors")
        self.assert_not_on_disk(hub.blob(etag), hub.snapshot("model.safetensors"), hub.ref)
        os.pwrite(second, content[:64 * KIB], 0)
        os.close(second)
        self.wait_saved(hub.blob(etag), hub.snapshot("model.safetensors"), hub.ref)
        self.end()

    def test_a_blob_that_does_not_match_its_name_is_never_saved_nor_are_links_to_it(self):
        self.begin()
        hub, content = Hub(self.target), os.urandom(70 * KIB)
        hub.write_ref()
        hub.fetch("model.safetensors", os.urandom(70 * KIB), sha256(content))
        hub.fetch("config.json", b"[]", git_blob(b"{}"))
        bad = hub.blob(sha256(content)), hub.blob(git_blob(b"{}"))
        self.wait_logged(r"'%s' in the mirror is not saved: its SHA-256 is [0-9a-f]{64}, not what its name says" % bad[0])
        self.wait_logged(r"'%s' in the mirror is not saved: its git blob id is %s, not what its name says" % (bad[1], git_blob(b"[]")))
        self.assert_not_on_disk(*bad, hub.ref, hub.snapshot("model.safetensors"), hub.snapshot("config.json"))
        hub.fetch("config.json", b"{}", git_blob(b"{}"))
        self.wait_saved(bad[1], hub.snapshot("config.json"))
        self.assert_not_on_disk(bad[0], hub.ref, hub.snapshot("model.safetensors"))
        self.end(but=(bad[0], hub.ref, hub.snapshot("model.safetensors")))  # provably wrong: it goes with the mirror

    def test_a_download_that_a_stop_cuts_off_leaves_nothing_on_disk(self):
        self.begin()
        hub, content = Hub(self.target), os.urandom(200 * KIB)
        hub.write_ref()
        steps = hub.download("model.safetensors", content)
        partial = os.path.relpath(next(steps), self.target)
        steps.close()  # the client was stopped first
        self.write(".locks/%s/%s.lock" % (hub.name, hub.etag(content)), b"", root=self.target)
        self.write("tmpabcdef/dummy_file_src", b"", root=self.target)
        self.running.wait_status("^Ready")
        self.assert_not_on_disk(hub.ref, partial, ".locks", "tmpabcdef")
        self.end(but=(hub.ref, partial, ".locks", ".locks/" + hub.name, ".locks/%s/%s.lock" % (hub.name, hub.etag(content)), "tmpabcdef",
                      "tmpabcdef/dummy_file_src"))

    def test_without_symbolic_links_the_blob_is_moved_into_the_snapshot(self):
        self.begin()
        hub, content = Hub(self.target), safetensors(100 * KIB)
        hub.write_ref()
        for _ in hub.download("model.safetensors", content):
            pass
        snapshot = self.mirrored(hub.snapshot("model.safetensors"))
        os.unlink(snapshot)
        os.rename(hub.path("blobs", hub.etag(content)), snapshot)
        self.wait_saved(hub.snapshot("model.safetensors"), hub.ref)
        self.wait_until(lambda: self.names(self.source) == self.names(), "the disk to have nothing else", self.running)
        self.end()

    def test_a_file_that_is_converted_in_place_is_saved_when_it_is_whole(self):
        source = Hub(self.source)
        source.write_ref()
        source.fetch("pytorch_model.bin", os.urandom(100 * KIB))
        self.begin()
        content = safetensors(200 * KIB)
        path = self.put(source.snapshot("model.safetensors"), content[:100 * KIB])
        self.wait_logged(r"model.safetensors' in the mirror is not saved: it ends \d+ bytes before its last tensor does")
        self.assert_not_on_disk(source.snapshot("model.safetensors"))
        append(path, content[100 * KIB:])
        self.wait_saved(source.snapshot("model.safetensors"))
        self.end()

    def two_repositories(self):
        """One of two revisions that share a blob, and others, so that one that goes is not most of what there is."""
        for name in ("other/a", "other/b", "other/c", "other/d"):
            other = Hub(self.source, name)
            other.write_ref()
            other.fetch("config.json", name.encode())
        old = Hub(self.source)
        shared = old.fetch("shared.bin", b"shared")
        old.fetch("model.bin", b"old")
        new = Hub(self.source)
        new.link(shared, "shared.bin")
        new.fetch("model.bin", b"new")
        new.write_ref()
        return old, new, shared

    def test_hf_cache_rm_takes_the_revision_and_later_the_blobs_that_no_other_has(self):
        old, new, shared = self.two_repositories()
        self.begin(SweepDelay="1s")
        new.directory = self.mirrored(new.name)
        new.remove_revision(shared=[os.path.realpath(new.path("blobs", shared))])
        gone = [new.ref, new.snapshot("model.bin"), new.snapshot("shared.bin"), os.path.join(new.name, "snapshots", new.commit),
                new.blob(sha256(b"new"))]
        self.wait_until(lambda: not any(os.path.lexists(self.on_disk(name)) for name in gone), "the disk to follow", self.running)
        self.assertEqual(self.read(self.on_disk(old.snapshot("shared.bin"))), b"shared")
        self.assertEqual(self.read(self.on_disk(old.snapshot("model.bin"))), b"old")
        self.assertEqual(self.trash()[new.blob(sha256(b"new"))], b"new")
        self.assertEqual(self.trash()[new.ref], new.commit.encode())
        self.assertEqual(self.trash()[new.snapshot("model.bin")], "../../blobs/" + sha256(b"new"))
        self.end()

    def test_hf_cache_rm_of_blobs_that_a_revision_on_disk_still_has_leaves_them_there(self):
        """In the mirror is only the one revision that this client has; another one is on disk since."""
        old, new, shared = self.two_repositories()
        self.begin(SweepDelay="1s", WatchSource="no")
        late = Hub(self.source, commit="0" * 40)  # brought to the disk by another process
        late.link(sha256(b"new"), "the-same.bin")
        new.directory = self.mirrored(new.name)
        new.remove_revision(shared=[os.path.realpath(new.path("blobs", shared))])
        self.wait_until(lambda: not os.path.lexists(self.on_disk(new.ref)), "the disk to follow", self.running)
        self.running.listen(3)
        self.assertEqual(self.read(self.on_disk(late.snapshot("the-same.bin"))), b"new")
        self.running.stop()
        self.assert_gone()
        self.assert_tidy()

    def test_hf_cache_rm_of_a_repository_removes_its_directory(self):
        old, new, _ = self.two_repositories()
        self.begin(SweepDelay="1s")
        shutil.rmtree(self.mirrored(new.name))
        self.wait_until(lambda: not [n for n in self.names(self.source) if n.startswith(new.name) and os.path.isfile(self.on_disk(n))],
                        "the disk to follow", self.running)
        self.assertEqual(self.trash()[new.blob(sha256(b"old"))], b"old")
        self.assertEqual(len([n for n in self.names() if n.endswith("config.json")]), 4)
        self.running.stop()
        self.assert_gone()
        self.assert_tidy()

    def test_all_that_there_is_does_not_go_at_once(self):
        hub = Hub(self.source)
        hub.write_ref()
        hub.fetch("model.bin", b"content")
        before = {name: self.seen(self.source, name) for name in self.names(self.source)}
        self.begin(SweepDelay="1s")
        shutil.rmtree(self.mirrored(hub.name))
        self.wait_logged(r"of the \d+ files in '.*' were deleted at once")
        self.wait_until(lambda: self.names() == set(before), "it to be staged again", self.running)
        self.running.wait_status("deletions held back")
        self.end()
        self.assertEqual({name: self.seen(self.source, name) for name in self.names(self.source)}, before)

    def test_the_rust_and_javascript_libraries_use_names_of_their_own(self):
        self.begin()
        hub, content = Hub(self.target), os.urandom(100 * KIB)
        etag = hub.etag(content)
        with open(hub.path("blobs", etag + ".sync.part"), "wb") as f:  # sized first, with a trailer that records how far it is
            f.truncate(len(content) + 8)
            f.write(content)
        self.assert_not_on_disk(hub.blob(etag), hub.blob(etag + ".sync.part"))
        os.truncate(hub.path("blobs", etag + ".sync.part"), len(content))
        os.rename(hub.path("blobs", etag + ".sync.part"), hub.path("blobs", etag))
        hub.link(etag, "model.bin")
        self.wait_saved(hub.blob(etag), hub.snapshot("model.bin"))
        append(hub.path("blobs", git_blob(b"{}") + ".incomplete"), b"{}")
        self.assert_not_on_disk(hub.blob(git_blob(b"{}") + ".incomplete"))
        os.rename(hub.path("blobs", git_blob(b"{}") + ".incomplete"), hub.path("blobs", git_blob(b"{}")))
        self.wait_saved(hub.blob(git_blob(b"{}")))
        self.end()

    def test_the_files_of_a_commit_are_on_disk_before_the_ref(self):
        self.begin()
        hub, content = Hub(self.target), os.urandom(10 * KIB)
        hub.write_ref()
        listing = os.path.join(hub.name, "trees", hub.commit + ".json")
        os.mkdir(hub.path("trees"))
        with open(hub.path("trees", "x.tmp"), "w") as f:
            f.write(json.dumps([{"path": "model.bin", "size": len(content), "lfs_sha256": sha256(content)}]))
            f.flush()
            hub.fetch("model.bin", content)
            os.rename(hub.path("trees", "x.tmp"), self.mirrored(listing))
            self.wait_saved(hub.snapshot("model.bin"))
            self.assert_not_on_disk(listing, hub.ref)  # still open for writing
        self.wait_saved(listing, hub.ref)
        self.end()


class LocalDirectory(Clients):
    """hf download --local-dir"""

    def download(self, name, content, directory="model", over=False, etag=None):
        """A generator that stops when the old target is gone, and when the new one is about to be renamed."""
        etag, target = etag or sha256(content), self.mirrored(os.path.join(directory, name))
        cache = self.mirrored(os.path.join(directory, ".cache/huggingface/download", os.path.dirname(name)))
        os.makedirs(cache, exist_ok=True)
        self.put(os.path.join(directory, ".cache/huggingface/.gitignore"), b"*")
        short = os.path.join(cache, hashlib.sha1(name.encode()).hexdigest()[:28])
        partial = "%s.%s.0123abcd.incomplete" % (short, etag)
        open(os.path.join(cache, os.path.basename(name) + ".lock"), "w").close()
        if os.path.exists(target):
            os.unlink(target)
        yield "unlinked"
        with open(partial, "wb") as f:
            f.write(content)
        yield "written"
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.rename(partial, target)
        with open(os.path.join(cache, os.path.basename(name) + ".metadata"), "w") as f:
            f.write("%s\n%s\n%f\n" % ("c" * 40, etag, time.time()))

    def metadata(self, name):
        return "model/.cache/huggingface/download/%s.metadata" % name

    def test_a_new_file_comes_with_the_record_that_shows_it_is_current(self):
        self.begin()
        content = safetensors(100 * KIB)
        for _ in self.download("sub/model.safetensors", content):
            self.assert_not_on_disk("model/sub/model.safetensors", seconds=0.4)
        self.wait_saved("model/sub/model.safetensors", self.metadata("sub/model.safetensors"))
        self.assertEqual([n for n in self.names(self.source) if n.endswith((".incomplete", ".lock"))], [])
        # the client believes its record only while the file is not younger than the record
        commit, etag, when = self.read(self.on_disk(self.metadata("sub/model.safetensors"))).decode().split()
        self.assertEqual(etag, sha256(content))
        self.assertLess(os.stat(self.on_disk("model/sub/model.safetensors")).st_mtime, float(when) + 1)
        self.end(but=[n for n in self.names() if n.endswith(".lock")])

    def test_a_new_version_takes_the_place_of_the_old_one(self):
        self.write("model/model.safetensors", safetensors(50 * KIB))
        self.write("model/config.json", b"{}")
        self.begin()
        content = safetensors(60 * KIB)
        for _ in self.download("model.safetensors", content):
            pass
        self.wait_saved("model/model.safetensors", self.metadata("model.safetensors"))
        self.assertEqual(self.read(self.on_disk("model/model.safetensors")), content)
        self.assertEqual(self.trash(), {})
        self.end(but=[n for n in self.names() if n.endswith(".lock")])

    def test_while_a_long_download_goes_on_the_old_version_is_in_the_trash(self):
        old, content = safetensors(50 * KIB), safetensors(60 * KIB)
        self.write("model/model.safetensors", old)
        self.write("model/config.json", b"{}")
        self.begin()
        steps = self.download("model.safetensors", content)
        next(steps), next(steps)
        self.wait_until(lambda: not os.path.exists(self.on_disk("model/model.safetensors")), "the deletion", self.running)
        self.assertEqual(self.trash(), {"model/model.safetensors": old})
        for _ in steps:
            pass
        self.wait_saved("model/model.safetensors", self.metadata("model.safetensors"))
        self.end(but=[n for n in self.names() if n.endswith(".lock")])


class LlamaCpp(Clients):
    def test_a_download_that_was_cut_off_and_resumed(self):
        self.begin()
        content = gguf(128 * KIB)
        partial = "org_model_Q4.gguf.downloadInProgress"
        append(self.mirrored(partial), content[:50 * KIB])
        self.put("org_model_Q4.gguf.etag", b'"abc"')
        self.wait_saved("org_model_Q4.gguf.etag")
        self.assert_not_on_disk(partial, "org_model_Q4.gguf")
        self.running.stop()  # and nothing of it keeps the mirror
        self.assert_gone()
        self.begin()
        append(self.mirrored(partial), content)
        os.rename(self.mirrored(partial), self.mirrored("org_model_Q4.gguf"))
        self.put("manifest=org=model=Q4.json", b"{}")
        self.wait_saved("org_model_Q4.gguf", "manifest=org=model=Q4.json")
        self.end()

    def test_of_a_split_model_the_first_file_is_saved_last(self):
        self.begin()
        names = ["m-%05d-of-00003.gguf" % i for i in (1, 2, 3)]
        placed = self.places("")
        for name in names[:2]:
            append(self.mirrored(name + ".downloadInProgress"), gguf(64 * KIB))
            os.rename(self.mirrored(name + ".downloadInProgress"), self.mirrored(name))
        self.put("mmproj-m.gguf", gguf(32))
        append(self.mirrored(names[2] + ".downloadInProgress"), gguf(64 * KIB)[:99])
        self.wait_saved(names[1], "mmproj-m.gguf")
        self.wait_logged(r"'%s' in the mirror is not saved yet: '%s', which it references, is neither on disk nor complete in the mirror" % (names[0], names[2]))
        self.assert_not_on_disk(names[0], names[2])
        with open(self.mirrored(names[2] + ".downloadInProgress"), "wb") as f:
            f.write(gguf(64 * KIB))
            f.flush()
            os.rename(self.mirrored(names[2] + ".downloadInProgress"), self.mirrored(names[2]))
            self.assert_not_on_disk(names[0], names[2])
        self.wait_saved(*names)
        self.assert_order(placed, names[1], names[2], names[0])
        self.end()

    def test_a_split_model_that_a_stop_cuts_off_is_saved_as_far_as_it_is(self):
        """Nothing of a finished file is thrown away."""
        self.begin()
        names = ["m-%05d-of-00003.gguf" % i for i in (1, 2, 3)]
        for name in names[:2]:
            self.put(name, gguf(64 * KIB))
        self.wait_saved(names[1])
        self.assert_not_on_disk(names[0])
        self.end()

    def test_in_the_cache_of_the_hub_it_has_its_own_partial_names(self):
        self.begin()
        hub, content = Hub(self.target), gguf(64 * KIB)
        hub.write_ref()
        etag = hub.etag(content)
        partial = hub.path("blobs", etag + ".downloadInProgress")
        append(partial, content[:1000])
        self.assert_not_on_disk(hub.ref, hub.blob(etag), hub.blob(etag) + ".downloadInProgress")
        append(partial, content[1000:])
        os.rename(partial, hub.path("blobs", etag))
        hub.link(etag, "model.gguf")
        self.wait_saved(hub.blob(etag), hub.snapshot("model.gguf"), hub.ref)
        self.end()

    def test_a_resumed_download_of_another_version_is_a_mix_and_is_not_saved(self):
        self.begin()
        hub, old, new = Hub(self.target), gguf(64 * KIB), gguf(64 * KIB)
        etag = hub.etag(new)
        partial = hub.path("blobs", etag + ".downloadInProgress")
        append(partial, old[:1000])
        append(partial, new[1000:])
        os.rename(partial, hub.path("blobs", etag))
        hub.link(etag, "model.gguf")
        hub.write_ref()
        self.wait_logged(r"'%s' in the mirror is not saved: its SHA-256" % hub.blob(etag))
        self.assert_not_on_disk(hub.blob(etag), hub.snapshot("model.gguf"), hub.ref)
        self.end(but=(hub.blob(etag), hub.snapshot("model.gguf"), hub.ref))

    def test_files_of_the_old_cache_move_into_that_of_the_hub_without_a_copy(self):
        content = gguf(64 * KIB)
        self.write("org_model_Q4.gguf", content)
        self.write("manifest=org=model=Q4.json", b"{}")
        self.write("other.gguf", gguf(32))
        self.begin()
        inode = os.stat(self.on_disk("org_model_Q4.gguf")).st_ino
        hub = Hub(self.target)
        os.rename(self.mirrored("org_model_Q4.gguf"), hub.path("blobs", hub.etag(content)))
        hub.link(hub.etag(content), "Q4.gguf")
        hub.write_ref()
        self.wait_saved(hub.blob(hub.etag(content)), hub.snapshot("Q4.gguf"), hub.ref)
        self.wait_until(lambda: not os.path.exists(self.on_disk("org_model_Q4.gguf")), "the old name to go", self.running)
        self.assertEqual(os.stat(self.on_disk(hub.blob(hub.etag(content)))).st_ino, inode)
        self.assertEqual(self.trash(), {})
        self.end()


class LmStudio(Clients):
    def test_a_download_has_a_name_of_its_own_until_it_is_checked(self):
        self.begin()
        for partial in ("downloading_model.gguf.part", "model.gguf.part", "downloading_model.gguf"):
            with self.subTest(partial):
                content, directory = gguf(64 * KIB), "publisher/" + str(self.count())
                path = self.put(directory + "/" + partial, content)
                self.assert_not_on_disk(directory + "/" + partial, directory + "/model.gguf")
                os.rename(path, self.mirrored(directory + "/model.gguf"))
                self.wait_saved(directory + "/model.gguf")
        self.end()

    def test_an_import_is_a_copy_a_hard_link_or_a_symbolic_link(self):
        content, outside = gguf(64 * KIB), self.write("model.gguf", gguf(32), root=self.path("elsewhere"))
        self.write("here/model.gguf", content)
        self.begin()
        os.makedirs(self.mirrored("p/m"))
        os.link(self.mirrored("here/model.gguf"), self.mirrored("p/m/hard.gguf"))
        os.symlink(self.mirrored("here/model.gguf"), self.mirrored("p/m/soft.gguf"))
        os.symlink(outside, self.mirrored("p/m/outside.gguf"))
        shutil.copy2(outside, self.mirrored("p/m/copy.gguf"))
        self.wait_saved("p/m/hard.gguf", "p/m/copy.gguf")
        self.wait_until(lambda: os.path.islink(self.on_disk("p/m/soft.gguf")), "the link", self.running)
        self.assertEqual(os.readlink(self.on_disk("p/m/soft.gguf")), "../../here/model.gguf")  # on disk it leads to the disk
        self.assertEqual(os.stat(self.on_disk("p/m/hard.gguf")).st_ino, os.stat(self.on_disk("here/model.gguf")).st_ino)
        self.wait_logged(r"'p/m/outside.gguf' in the mirror is not saved: it is a symbolic link that points outside the mirror")
        self.assert_not_on_disk("p/m/outside.gguf")
        self.running.stop()
        self.assert_gone()
        self.assertTrue(os.path.exists(outside))
        self.assert_tidy()

    def test_two_writers_of_one_part_are_both_waited_for(self):
        self.begin()
        content = gguf(64 * KIB)
        with open(self.mirrored("model.gguf.part"), "wb") as one, open(self.mirrored("model.gguf.part"), "r+b") as other:
            one.write(content)
            one.close()
            os.rename(self.mirrored("model.gguf.part"), self.mirrored("model.gguf"))
            self.assert_not_on_disk("model.gguf")
            other.write(content)
        self.wait_saved("model.gguf")
        self.end()


class LocalAi(Clients):
    def test_a_partial_file_gets_its_name_when_it_is_checked(self):
        self.begin()
        path = self.put("model.gguf.partial", gguf(64 * KIB))
        os.chmod(path, 0o600)
        self.assert_not_on_disk("model.gguf.partial", "model.gguf")
        os.rename(path, self.mirrored("model.gguf"))
        self.wait_saved("model.gguf")
        self.end()

    def test_an_artifact_comes_as_a_whole_directory_and_the_configuration_last(self):
        self.begin()
        writing, key = ".artifacts/.partial/key.writer", ".artifacts/huggingface/key"
        self.put(writing + "/snapshot/model.safetensors", safetensors(100 * KIB))
        self.put(writing + "/snapshot/config.json", b"{}")
        self.put(".artifacts/.locks/key.lock", b"")
        self.assert_not_on_disk(".artifacts/.partial", ".artifacts/.locks", key)
        self.put(writing + "/manifest.json", b"{}")
        os.makedirs(self.mirrored(".artifacts/huggingface"))
        self.wait_saved(".artifacts/huggingface")
        placed = self.places("", ".artifacts/huggingface")
        with open(self.mirrored(writing + "/snapshot/late.bin"), "wb") as late:
            os.rename(self.mirrored(writing), self.mirrored(key))
            self.put("model.yaml", b"name: model\nparameters:\n  model: %s/snapshot/late.bin\n" % key.encode())
            self.wait_saved(key + "/snapshot/model.safetensors", key + "/snapshot/config.json", key + "/manifest.json")
            self.assert_not_on_disk("model.yaml", key + "/snapshot/late.bin")
            late.write(b"content")
        self.wait_saved("model.yaml", key + "/snapshot/late.bin")
        self.assert_order(placed, key, "model.yaml")
        self.end(but=(".artifacts/.partial", ".artifacts/.locks", ".artifacts/.locks/key.lock"))

    def test_configurations_are_written_beside_and_renamed(self):
        self.write("model.gguf", gguf(64))
        self.begin()
        for name in (".model-config-123", ".artifact-binding-123", ".model.yaml.tmp-123"):
            path = self.put(name, b"name: %s\nparameters:\n  model: model.gguf\n" % name.encode())
            self.assert_not_on_disk(name, seconds=0.4)
            os.rename(path, self.mirrored("model.yaml"))
            self.wait_saved("model.yaml")
        self.put("._gallery_model.yaml", b"x: 1\n")
        self.wait_saved("._gallery_model.yaml")
        self.end()


class KoboldCpp(Clients):
    def test_a_seemingly_complete_file_waits_while_an_aria2_file_is_beside_it(self):
        self.begin()
        content = gguf(256 * KIB)
        path, control = self.mirrored("model.gguf"), self.put("model.gguf.aria2", b"control")
        with open(path, "wb") as f:
            f.truncate(len(content))
            for at in (3, 0, 2):  # out of order
                os.pwrite(f.fileno(), content[at * 64 * KIB:(at + 1) * 64 * KIB], at * 64 * KIB)
        self.assert_not_on_disk("model.gguf", "model.gguf.aria2", seconds=1)
        self.assertNotIn("not saved", self.running.log())
        with open(path, "r+b") as f:
            f.write(content)
        self.assert_not_on_disk("model.gguf", "model.gguf.aria2")
        os.unlink(control)
        self.wait_saved("model.gguf")
        self.end()

    def test_a_download_that_aria2_has_not_finished_goes_with_the_mirror(self):
        self.begin()
        self.put("model.gguf", gguf(256 * KIB)[:100 * KIB])
        self.put("model.gguf.aria2", b"control")
        self.end(but=("model.gguf", "model.gguf.aria2"))
        self.assertRegex(self.running.log(), r"Removing 2 files from '.*' without saving, such as 'model\.gguf': unfinished, by name")

    def test_a_file_that_is_fetched_again_is_not_touched_on_disk_before_it_is_whole(self):
        old, new = gguf(64 * KIB), gguf(96 * KIB)
        self.write("model.gguf", old)
        self.begin()
        control = self.put("model.gguf.aria2", b"control")
        self.put("model.gguf", new[:80 * KIB])
        self.assert_unchanged_on_disk("model.gguf", old)
        self.put("model.gguf", new)
        self.assert_unchanged_on_disk("model.gguf", old)
        os.unlink(control)
        self.wait_saved("model.gguf")
        self.end()


class InPlace(Clients):
    """curl, wget, cp: the final name from the first byte on, and nothing that shows when it is whole."""

    def pieces(self, path, content, pause=0.02):
        with open(path, "wb") as f:
            for at in range(0, len(content), 32 * KIB):
                f.write(content[at:at + 32 * KIB])
                f.flush()
                self.running.listen(pause)
                yield at

    def test_a_file_is_saved_when_it_is_closed_and_whole(self):
        self.begin()
        for name, content in (("a.gguf", gguf(256 * KIB)), ("a.safetensors", safetensors(256 * KIB)), ("a.bin", os.urandom(256 * KIB))):
            with self.subTest(name):
                for _ in self.pieces(self.mirrored(name), content, 0.05):
                    self.assertFalse(os.path.exists(self.on_disk(name)))
                self.wait_saved(name)
        self.end()

    def test_a_model_that_was_cut_off_is_not_saved_before_it_is_fetched_again(self):
        self.begin()
        for name, content in (("a.gguf", gguf(256 * KIB)), ("a.safetensors", safetensors(256 * KIB))):
            with self.subTest(name):
                for at in self.pieces(self.mirrored(name), content, 0):
                    if at > 100 * KIB:
                        break  # killed
                self.wait_logged(r"'%s' in the mirror is not saved: it ends \d+ bytes before its last tensor does; it is incomplete or damaged" % name)
                self.running.wait_status("1 rejected")
                self.assert_not_on_disk(name)
                for _ in self.pieces(self.mirrored(name), content, 0):
                    pass
                self.wait_saved(name)
                self.running.wait_status("^Ready: (?!.*rejected)")
        self.end()

    def test_the_good_one_on_disk_outlives_one_that_was_cut_off(self):
        old = gguf(64 * KIB)
        self.write("a.gguf", old)
        self.begin()
        self.put("a.gguf", gguf(256 * KIB)[:128 * KIB])
        self.wait_logged(r"'a.gguf' in the mirror is not saved: it ends")
        self.assert_unchanged_on_disk("a.gguf", old)
        self.put("a.gguf", gguf(256 * KIB))
        self.wait_saved("a.gguf")
        self.end()

    def test_headers_that_are_not_whole_or_nonsense_are_not_saved_either(self):
        self.begin()
        good = safetensors(4 * KIB)
        bad = {"empty.gguf": b"", "magic.gguf": b"GGUF", "zeros.gguf": bytes(64 * KIB), "short.safetensors": good[:20],
               "long.safetensors": good + b"x", "html.safetensors": b"<html>404 Not Found</html>", "empty.safetensors": b""}
        for name, content in bad.items():
            self.put(name, content)
        for name in bad:
            self.wait_logged(r"'%s' in the mirror is not saved: " % name)
        self.assert_not_on_disk(*bad)
        self.running.wait_status("%d rejected" % len(bad))
        for name in bad:
            os.unlink(self.mirrored(name))
        self.running.wait_status("^Ready: (?!.*rejected)")
        self.end()

    def test_at_a_stop_a_file_that_only_contradicts_its_header_is_saved_as_it_is(self):
        self.begin()
        self.put("a.gguf", gguf(256 * KIB)[:128 * KIB])
        self.wait_logged(r"'a.gguf' in the mirror is not saved: it ends")
        self.end()

    def test_a_copy_with_times_and_modes_keeps_them(self):
        self.begin()
        path = self.put("a.gguf", gguf(64 * KIB))
        os.chmod(path, 0o640)
        os.chown(path, 1234, 5678)
        os.utime(path, ns=(1_000_000_007, 1_234_567_890_123_456_789))
        self.wait_saved("a.gguf")
        st = os.stat(self.on_disk("a.gguf"))
        self.assertEqual((st.st_mode & 0o7777, st.st_uid, st.st_gid, st.st_mtime_ns), (0o640, 1234, 5678, 1_234_567_890_123_456_789))
        self.end()

    def test_rsync_renames_from_a_dotted_name(self):
        self.begin()
        path = self.put("d/.model.gguf.aB3xYz", gguf(64 * KIB))
        self.assert_not_on_disk("d/.model.gguf.aB3xYz")
        os.rename(path, self.mirrored("d/model.gguf"))
        self.wait_saved("d/model.gguf")
        self.end()


class Folders(Clients):
    """vLLM and others: a folder with an index of the shards."""

    def index(self, *shards):
        return json.dumps({"metadata": {"total_size": 1}, "weight_map": {"tensor%d" % i: name for i, name in enumerate(shards)}}).encode()

    def test_the_index_is_saved_after_the_shards_that_it_names(self):
        self.begin()
        shards = ["model-%05d-of-00002.safetensors" % i for i in (1, 2)]
        os.mkdir(self.mirrored("m"))
        self.wait_saved("m")
        placed = self.places("m")
        self.put("m/model.safetensors.index.json", self.index(*shards))
        self.put("m/config.json", b"{}")
        self.put("m/" + shards[0], safetensors(50 * KIB))
        self.wait_saved("m/config.json", "m/" + shards[0])
        self.wait_logged(r"'m/model.safetensors.index.json' in the mirror is not saved yet: 'm/%s', which it references" % shards[1])
        self.assert_not_on_disk("m/model.safetensors.index.json")
        content = safetensors(100 * KIB)
        path = self.put("m/" + shards[1], content[:50 * KIB])
        self.wait_logged(r"'m/%s' in the mirror is not saved: it ends" % shards[1])
        self.assert_not_on_disk("m/model.safetensors.index.json")  # a shard that is cut off is no shard
        append(path, content[50 * KIB:])
        self.wait_saved("m/" + shards[1], "m/model.safetensors.index.json")
        self.assert_order(placed, "m/" + shards[0], "m/" + shards[1], "m/model.safetensors.index.json")
        self.end()

    def test_an_index_that_is_no_index_is_not_saved_before_it_is_one(self):
        self.begin()
        self.put("model.safetensors.index.json", b'{"weight_map": {"t": "model-0')
        self.wait_logged(r"'model.safetensors.index.json' in the mirror is not saved: ")
        self.assert_not_on_disk("model.safetensors.index.json")
        self.put("a.safetensors", safetensors(100))
        self.put("model.safetensors.index.json", self.index("a.safetensors"))
        self.wait_saved("model.safetensors.index.json")
        self.end()

    def test_an_index_that_names_files_outside_is_not_followed(self):
        self.begin()
        self.put("m/model.safetensors.index.json", self.index("../../etc/passwd"))
        self.wait_logged(r"index.json' in the mirror is not saved: its weight_map has an invalid file name")
        self.assert_not_on_disk("m/model.safetensors.index.json")
        os.unlink(self.mirrored("m/model.safetensors.index.json"))
        self.wait_saved("m")
        self.end()

    def test_a_new_version_of_a_shard_is_on_disk_before_the_new_index(self):
        for name in ("a.safetensors", "b.safetensors"):
            self.write(name, safetensors(1000))
        self.write("model.safetensors.index.json", self.index("a.safetensors"))
        old = self.read(self.on_disk("model.safetensors.index.json"))
        self.begin()
        with open(self.mirrored("b.safetensors"), "wb") as f:
            f.write(safetensors(2000))
            f.flush()
            self.put("model.safetensors.index.json", self.index("a.safetensors", "b.safetensors"))
            self.assert_unchanged_on_disk("model.safetensors.index.json", old, 1)
        self.wait_saved("b.safetensors", "model.safetensors.index.json")
        self.end()


class GitLfs(Clients):
    def test_a_clone_has_pointers_first_and_the_pull_puts_models_in_their_place(self):
        self.begin()
        content = safetensors(200 * KIB)
        oid = sha256(content)
        pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (oid.encode(), len(content))
        self.put("m/.git/config", b"[core]\n")
        self.put("m/.git/index.lock", b"index")
        self.put("m/model.safetensors", pointer)
        self.wait_saved("m/.git/config", "m/model.safetensors")  # it names the missing model itself
        self.assert_not_on_disk("m/.git/index.lock", "m/.git/index")
        os.rename(self.mirrored("m/.git/index.lock"), self.mirrored("m/.git/index"))
        self.put("m/.git/lfs/incomplete/%s.part" % oid, content[:50 * KIB])
        stored = "m/.git/lfs/objects/%s/%s/%s" % (oid[:2], oid[2:4], oid)
        self.assert_not_on_disk("m/.git/lfs/incomplete/%s.part" % oid)
        append(self.mirrored("m/.git/lfs/incomplete/%s.part" % oid), content[50 * KIB:])
        os.makedirs(os.path.dirname(self.mirrored(stored)))
        os.rename(self.mirrored("m/.git/lfs/incomplete/%s.part" % oid), self.mirrored(stored))
        os.unlink(self.mirrored("m/model.safetensors"))
        with open(self.mirrored("m/model.safetensors"), "wb") as f:
            for at in range(0, len(content), 64 * KIB):
                f.write(content[at:at + 64 * KIB])
                f.flush()
                self.running.listen(0.1)
                if os.path.exists(self.on_disk("m/model.safetensors")):
                    self.assertEqual(self.read(self.on_disk("m/model.safetensors")), pointer)
        self.wait_saved("m/model.safetensors", stored, "m/.git/index")
        self.end()


if __name__ == "__main__":
    harness.main(jobs=4)
