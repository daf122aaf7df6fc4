# SPDX-License-Identifier: GPL-2.0-or-later
"""What is saved when there is no room: in the mirror, or on the disk, or when the disk takes nothing."""

import hashlib
import json
import os
import re
import signal
import struct
import subprocess
import time

import harness
from saving import MIB, Saving

MANIFEST = "manifests/registry.ollama.ai/library/%s/latest"


def blob_name(content):
    return "blobs/sha256-" + hashlib.sha256(content).hexdigest()


def manifest_of(content):
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    return json.dumps({"schemaVersion": 2, "config": {"digest": "", "size": 0},
                       "layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": len(content)}]}).encode()


def safetensors(size):
    """Its header, and the bytes that it promises."""
    header = json.dumps({"weight": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header, os.urandom(size)


class MirrorFull(Saving):
    """Clients do not check for room before they write, and not all of them check afterwards."""

    def store(self):
        self.good = os.urandom(2 * MIB)
        self.write(blob_name(self.good), self.good)
        self.write(MANIFEST % "good", manifest_of(self.good))

    def test_a_blob_that_was_cut_off_is_never_saved_nor_is_its_manifest(self):
        """A writer that ignores errors renames what it has to the name of what it should have."""
        self.store()
        before = self.snapshot()
        daemon = self.ready(self.config(Size="16M"))
        content = os.urandom(24 * MIB)
        name = blob_name(content)
        self.assertGreater(self.put(name + ".tmp", content), 8 * MIB)
        os.rename(self.mirrored(name + ".tmp"), self.mirrored(name))
        self.assertGreater(self.put(MANIFEST % "new", manifest_of(content)), 0)
        self.assertEqual(os.path.getsize(self.mirrored(MANIFEST % "new")), 0)
        daemon.wait_log(r"%s' in the mirror is not saved: its SHA-256 is \w+, not what its name says" % name)
        daemon.wait_log(r"%s' in the mirror is not saved: " % (MANIFEST % "new"))
        daemon.wait_status(r"; 2 rejected")
        daemon.listen(1.5)
        self.assertEqual(self.snapshot(), before)
        self.assertEqual(self.times_logged(daemon, r"^.*%s' in the mirror is not saved" % name), 1)
        self.assertEqual(self.temporaries(), [])
        daemon.stop()
        self.assert_gone()
        self.assertEqual(self.snapshot(), before)

    def test_the_good_manifest_stays_on_disk_when_a_pull_empties_it_in_the_mirror(self):
        self.store()
        before = self.snapshot()
        daemon = self.ready(self.config(Size="8M"))
        with open(self.mirrored(MANIFEST % "good"), "wb", buffering=0) as manifest:
            self.put("blobs/sha256-" + "0" * 64 + "-partial", os.urandom(8 * MIB))  # takes the page that it had
            with self.assertRaises(OSError):
                manifest.write(manifest_of(b"new"))
        daemon.wait_log(r"%s' in the mirror is not saved: " % (MANIFEST % "good"))
        daemon.wait_status(r"; 1 rejected")
        daemon.listen(1)
        self.assertEqual(self.snapshot(), before)
        daemon.stop()
        self.assert_gone()
        self.assertEqual(self.snapshot(), before)

    def test_when_there_is_room_again_the_same_pull_is_saved(self):
        self.store()
        daemon = self.ready(self.config(Size="16M"))
        content = os.urandom(10 * MIB)
        name = blob_name(content)
        self.put("blobs/sha256-" + "0" * 64 + "-partial", os.urandom(8 * MIB))
        self.put(name + ".tmp", content)
        os.rename(self.mirrored(name + ".tmp"), self.mirrored(name))
        self.put(MANIFEST % "new", manifest_of(content))
        daemon.wait_log(r"%s' in the mirror is not saved" % name)
        os.unlink(self.mirrored("blobs/sha256-" + "0" * 64 + "-partial"))
        os.unlink(self.mirrored(name))
        self.assertEqual(self.put(name + ".tmp", content), 0)
        os.rename(self.mirrored(name + ".tmp"), self.mirrored(name))
        self.assertEqual(self.put(MANIFEST % "new", manifest_of(content)), 0)
        self.wait_saved(daemon, MANIFEST % "new")
        self.assert_same_file(name)
        daemon.wait_status(r"^Ready: 4 files .2 models., 12.*verified(?!.*rejected)")
        daemon.stop()
        self.assert_gone()
        self.assertEqual(self.read(self.original(name)), content)

    def test_a_file_shorter_than_its_header_promises_is_not_saved_until_it_is_whole(self):
        self.write("small", b"x")
        daemon = self.ready(self.config(Size="8M"))
        header, data = safetensors(6 * MIB)
        self.put("in-the-way", os.urandom(4 * MIB))
        self.assertGreater(self.put("new/model.safetensors", header + data), 0)
        daemon.wait_log(r"new/model\.safetensors' in the mirror is not saved: .*incomplete or damaged")
        self.wait_saved(daemon, "in-the-way")
        self.assertEqual(self.names(self.source), {"small", "in-the-way", "new"})
        os.unlink(self.original("in-the-way"))
        self.wait_until(lambda: not os.path.exists(self.mirrored("in-the-way")), "room in the mirror", daemon)
        self.assertEqual(self.put("new/model.safetensors", header + data), 0)
        self.wait_saved(daemon, "new/model.safetensors")
        daemon.stop()
        self.assert_gone()
        self.assertEqual(self.read(self.original("new/model.safetensors")), header + data)

    def test_with_the_mirror_full_to_the_last_page_whole_files_are_saved(self):
        self.write("small", b"x")
        daemon = self.ready(self.config(Size="16M"))
        self.put("whole", os.urandom(4 * MIB))
        self.assertGreater(self.put("rest.part", os.urandom(16 * MIB)), 0)
        self.assertEqual(os.statvfs(self.target).f_bfree, 0)
        self.wait_saved(daemon, "whole")
        daemon.stop()
        self.assert_gone()
        self.assertEqual(self.names(self.source), {"small", "whole"})


class DiskFull(Saving):
    FULL = r"Failed to save 'big\.bin' \(12M\): the disk of '%s' is full, and only the mirror has it; make room; will retry"

    def short_of_room(self, **keys):
        """A daemon that has something in the mirror which does not fit on the disk."""
        self.small_disk(24 * MIB, ballast=10 * MIB)
        daemon = self.ready(self.config(**keys))
        self.content = os.urandom(12 * MIB)
        self.put("big.bin", self.content)
        daemon.wait_status(r"^Degraded: .*; 1 not on disk yet \(12M\), saving fails\. " + self.FULL % self.source)
        return daemon

    def make_room(self):
        os.unlink(self.original("ballast"))

    def test_the_file_stays_in_the_mirror_is_reported_once_and_saved_when_there_is_room(self):
        daemon = self.short_of_room()
        for i in range(5):
            self.put("small-%d" % i, os.urandom(1000))
        for i in range(5):
            self.wait_saved(daemon, "small-%d" % i)
        daemon.listen(4)  # and it is tried again
        self.assertRegex(daemon.status(), r"^Degraded: .*; 1 not on disk yet \(12M\), saving fails\. " + self.FULL % self.source)
        self.assertEqual(self.times_logged(daemon, self.FULL % self.source), 1)
        self.assertEqual(self.read(self.mirrored("big.bin")), self.content)
        self.assertNotIn("big.bin", self.names(self.source))
        self.assertEqual(self.temporaries(), [])
        self.make_room()
        self.wait_saved(daemon, "big.bin", timeout=40)
        daemon.wait_status(r"^Ready: 7 files")
        self.assertRegex(daemon.log(), r"Saved 'big\.bin' \(12M\)")
        daemon.stop()
        self.assert_gone()
        self.assertEqual(self.read(self.original("big.bin")), self.content)

    def test_the_pauses_between_attempts_grow(self):
        self.small_disk(24 * MIB, ballast=10 * MIB)
        daemon = self.ready(traced=True)
        calls = self.path("calls")
        self.strace(daemon.pid, "-ttt", "-e", "trace=fallocate", "-o", calls)

        def attempts():
            return [float(t) for t in re.findall(r"^\d+ +(\d+\.\d+) fallocate\(.* = -1 ENOSPC", self.read(calls).decode(), re.M)]
        self.put("big.bin", os.urandom(12 * MIB))
        self.wait_until(lambda: len(attempts()) >= 3, "three attempts", daemon)
        first, second, third = attempts()[:3]
        self.assertGreater(second - first, 1.5)
        self.assertGreater(third - second, 1.5 * (second - first))
        daemon.listen(1)
        self.assertEqual(len(attempts()), 3)

    def test_a_stop_keeps_it_and_fails_and_the_next_start_saves_it(self):
        daemon = self.short_of_room()
        self.put("small", b"fits")
        daemon.stop(expect=1)
        self.assertTrue(os.path.ismount(self.target))
        self.assertEqual(self.names(), {"big.bin"})
        self.assertEqual(self.read(self.mirrored("big.bin")), self.content)
        self.assertEqual(self.read(self.original("small")), b"fits")
        self.assertRegex(daemon.status(), r"^Failed: .*big\.bin")
        self.assertRegex(daemon.log(), r"(?m)^Error: .*big\.bin")
        self.assertTrue([s for s in daemon.statuses() if re.search(r"^Saving before the stop: 1 remaining \(12M\)\. " + self.FULL % self.source, s)])
        self.assertEqual(self.temporaries(), [])

        daemon = self.ready()  # the disk is still full
        daemon.wait_status(r"^Degraded: .*saving fails\. " + self.FULL % self.source)
        inode = self.inode("big.bin")
        daemon.stop(expect=1)
        self.assertEqual(self.names(), {"big.bin"})

        self.make_room()
        daemon = self.ready()
        self.wait_saved(daemon, "big.bin")
        self.assertEqual(self.inode("big.bin"), inode)
        daemon.wait_status(r"^Ready: 3 files")
        daemon.stop()
        self.assert_gone()
        self.assertEqual(self.read(self.original("big.bin")), self.content)

    def test_killed_while_the_disk_is_full_the_next_start_saves_it(self):
        daemon = self.short_of_room()
        daemon.kill()
        self.make_room()
        daemon = self.ready()
        self.wait_saved(daemon, "big.bin")
        daemon.stop()
        self.assert_gone()

    def test_room_that_is_made_while_it_stops_is_used(self):
        """Each attempt of a stop is a real one."""
        daemon = self.short_of_room()
        daemon.signal(signal.SIGTERM)
        self.make_room()
        self.assertEqual(daemon.join(), 0, daemon.log())
        self.assert_gone()
        self.assertEqual(self.read(self.original("big.bin")), self.content)

    def test_a_pointer_waits_for_content_that_does_not_fit(self):
        self.small_disk(16 * MIB, ballast=8 * MIB)
        self.write(blob_name(b"old"), b"old")
        self.write(MANIFEST % "old", manifest_of(b"old"))
        daemon = self.ready()
        content = os.urandom(10 * MIB)
        self.put(blob_name(content), content)
        self.put(MANIFEST % "new", manifest_of(content))
        daemon.wait_status(r"saving fails\. Failed to save '%s' \(10M\): the disk" % blob_name(content))
        daemon.listen(1)
        self.assertFalse(os.path.exists(self.original(MANIFEST % "new")))
        daemon.stop(expect=1)
        self.assertFalse(os.path.exists(self.original(MANIFEST % "new")))
        self.assertEqual({n for n in self.names() if os.path.isfile(self.mirrored(n))}, {blob_name(content), MANIFEST % "new"})
        os.unlink(self.original("ballast"))
        daemon = self.ready()
        self.wait_saved(daemon, MANIFEST % "new")
        self.assert_same_file(blob_name(content))
        daemon.stop()
        self.assert_gone()

    def test_a_quota_that_is_used_up_is_like_a_full_disk(self):
        self.write("a", b"x")
        daemon = self.ready(traced=True)
        strace = self.strace(daemon.pid, "-e", "trace=fallocate", "-e", "inject=fallocate:error=EDQUOT")
        content = os.urandom(MIB)
        self.put("new", content)
        daemon.wait_status(r"saving fails\. Failed to save 'new' \(1M\): the disk of '%s' is full" % self.source)
        self.assertEqual(self.read(self.mirrored("new")), content)
        self.assertEqual(self.temporaries(), [])
        strace.terminate()
        strace.wait()
        self.wait_saved(daemon, "new")
        daemon.wait_status(r"^Ready: 2 files")
        daemon.stop()
        self.assert_gone()

    def test_a_disk_that_runs_full_only_at_the_last_write_has_no_half_file(self):
        """Where room cannot be reserved it is known only then."""
        self.write("a", b"x")
        self.write("new", b"old")
        daemon = self.ready(traced=True)
        strace = self.strace(daemon.pid, "-e", "trace=fallocate,pwrite64", "-e", "inject=fallocate:error=EOPNOTSUPP",
                             "-e", "inject=pwrite64:error=ENOSPC:when=3+")
        content = os.urandom(4 * MIB)
        self.put("new", content)
        daemon.wait_status(r"saving fails\. Failed to save 'new' \(4M\): the disk of '%s' is full" % self.source)
        self.assertEqual(self.read(self.original("new")), b"old")
        self.assertEqual(self.temporaries(), [])
        strace.terminate()
        strace.wait()
        self.wait_until(lambda: self.read(self.original("new")) == content, "the new version", daemon)
        daemon.stop()
        self.assert_gone()


class ReadOnly(Saving):
    """A disk that the kernel has made read-only after an error is the usual case."""

    READ_ONLY = r"Failed to save 'new': Read-only file system while trying to [^;]*; will retry"

    def remount(self, how):
        subprocess.run(["mount", "-o", "remount," + how, self.source], check=True)

    def test_an_unsavable_file_is_reported_kept_and_saved_when_the_disk_is_writable_again(self):
        self.small_disk(8 * MIB)
        daemon = self.ready()
        self.remount("ro")
        self.put("new", b"content")
        daemon.wait_status(r"^Degraded: .*; 1 not on disk yet \(7B\), saving fails\. " + self.READ_ONLY)
        daemon.listen(3)
        self.assertEqual(self.times_logged(daemon, self.READ_ONLY), 1)
        self.remount("rw")
        self.wait_saved(daemon, "new")
        daemon.wait_status(r"^Ready: 2 files")
        daemon.stop()
        self.assert_gone()

    def test_a_source_that_was_never_writable_is_staged_all_the_same(self):
        self.small_disk(8 * MIB)
        self.remount("ro")
        daemon = self.ready()
        daemon.wait_status(r"^Ready: 1 file")
        daemon.stop()
        self.assert_gone()

    def test_a_stop_keeps_the_mirror_and_a_later_start_saves(self):
        self.small_disk(8 * MIB)
        self.remount("ro")
        daemon = self.ready()
        self.put("new", b"content")
        daemon.wait_status(self.READ_ONLY)
        daemon.stop(expect=1)
        self.assertEqual(self.names(), {"new"})
        self.assertRegex(daemon.status(), r"^Failed: .*'[^']*new'")
        daemon = self.ready()
        daemon.wait_status(self.READ_ONLY)
        self.remount("rw")
        self.wait_saved(daemon, "new")
        daemon.stop()
        self.assert_gone()

    def test_a_deletion_that_fails_at_a_stop_is_told(self):
        self.small_disk(8 * MIB)
        self.write("b", b"y")
        daemon = self.ready()
        self.remount("ro")
        os.unlink(self.mirrored("a"))
        daemon.stop(expect=1)
        self.assertRegex(daemon.status(), r"^Failed: .*'a' was deleted in the mirror, but could not be deleted in ")
        self.assert_gone()
        self.assertEqual(self.read(self.original("a")), b"x")

    def test_a_mode_that_cannot_be_saved_keeps_its_file_and_is_saved_by_the_next_start(self):
        self.small_disk(8 * MIB)
        self.write("b", b"y")
        daemon = self.ready()
        self.remount("ro")
        os.chmod(self.mirrored("a"), 0o600)
        daemon.stop(expect=1)
        self.assertRegex(daemon.status(), r"^Failed: .*'a', could not be saved")
        self.assertEqual(self.names(), {"a"})
        self.remount("rw")
        daemon = self.ready()
        self.wait_until(lambda: os.stat(self.original("a")).st_mode & 0o777 == 0o600, "the mode on disk", daemon)
        daemon.stop()
        self.assert_gone()
        self.assertEqual(self.read(self.original("a")), b"x")

    def test_a_deletion_waits_too(self):
        self.small_disk(8 * MIB)
        self.write("b", b"y")
        daemon = self.ready()
        self.remount("ro")
        os.unlink(self.mirrored("a"))
        daemon.wait_log(r"Failed to delete 'a' on disk: Read-only file system")
        self.assertFalse(os.path.exists(self.mirrored("a")))
        self.assertEqual(self.read(self.original("a")), b"x")
        self.remount("rw")
        self.wait_until(lambda: not os.path.exists(self.original("a")), "the deletion on disk", daemon)
        self.assertEqual(self.trash(), {"a"})
        daemon.stop()
        self.assert_gone()


class Trash(Saving):
    def filled(self, size, *sizes, **keys):
        """A daemon with so many files in the trash, oldest first: t0, t1..."""
        self.small_disk(size)
        for i, n in enumerate(sizes):
            self.write("t%d" % i, size=n)
        daemon = self.ready(self.config(MassDeleteLimit="off", **keys))
        for i in range(len(sizes)):
            os.unlink(self.mirrored("t%d" % i))
            self.wait_until(lambda: not os.path.exists(self.original("t%d" % i)), "the deletion on disk", daemon)
        self.assertEqual(self.trash(), {"t%d" % i for i in range(len(sizes))})
        return daemon

    def put_away(self, name, size):
        """As an earlier run has left it."""
        self.write(".shmstaged/trash/%s/%s" % (time.strftime("%Y%m%dT%H%M%S.000000000Z-1", time.gmtime()), name), size=size)

    def test_the_oldest_deleted_file_is_purged_when_the_disk_is_full_and_only_then(self):
        daemon = self.filled(24 * MIB, 7 * MIB, 7 * MIB)
        self.put("fits", os.urandom(4 * MIB))
        self.wait_saved(daemon, "fits")
        self.assertEqual(self.trash(), {"t0", "t1"})
        self.put("does-not", os.urandom(9 * MIB))
        self.wait_saved(daemon, "does-not")
        self.assertEqual(self.trash(), {"t1"})
        self.assertNotRegex(daemon.log(), "Failed to save")
        daemon.stop()
        self.assert_gone()
        self.assertEqual(self.trash(), {"t1"})

    def test_the_trash_is_not_purged_for_a_file_that_would_not_fit_anyway(self):
        self.small_disk(24 * MIB)
        self.put_away("t0", 7 * MIB)
        daemon = self.ready()
        self.put("too-big", os.urandom(30 * MIB))
        daemon.wait_status(r"saving fails\. Failed to save 'too-big' \(30M\): the disk of '%s' is full" % self.source)
        daemon.listen(1)
        self.assertEqual(self.trash(), {"t0"})
        os.unlink(self.mirrored("too-big"))
        daemon.wait_status(r"^Ready: 1 file")
        daemon.stop()
        self.assert_gone()

    def test_a_deletion_on_a_full_disk_is_reported_as_one_and_done_when_there_is_room(self):
        self.small_disk(8 * MIB)
        self.write("goes", size=MIB)
        daemon = self.ready(self.config(Exclude="*.fill"))
        names = []
        for size in (MIB, 64 << 10, 4096, 1):
            try:
                while True:
                    names.append("%d.fill" % len(names))
                    self.write(names[-1], size=size)
            except OSError:
                os.unlink(self.original(names.pop()))
                continue
        os.unlink(self.mirrored("goes"))
        daemon.wait_log(r"Failed to (move 'goes' to the trash: the disk of '.*' is full|delete 'goes' on disk: .*No space left)")
        self.assertNotRegex(daemon.log(), r"Failed to save 'goes'")
        self.assertTrue(os.path.exists(self.original("goes")))
        for name in names[:3]:
            os.unlink(self.original(name))
        self.wait_until(lambda: not os.path.exists(self.original("goes")), "the deletion on disk", daemon)
        self.assertEqual(self.trash(), {"goes"})
        daemon.stop()
        self.assert_gone()

    def test_after_trash_keep_it_goes_also_while_the_daemon_runs(self):
        daemon = self.filled(24 * MIB, MIB, TrashKeep="3s")
        self.assertEqual(self.trash(), {"t0"})
        # the file goes first, the directory of its wave a moment later
        self.wait_until(lambda: not os.listdir(self.original(".shmstaged/trash")), "the trash to be emptied", daemon, timeout=15)
        daemon.stop()
        self.assert_gone()

    def test_young_files_survive_a_restart_and_old_ones_are_purged_by_it(self):
        self.small_disk(24 * MIB)
        self.put_away("t0", MIB)
        self.ready(self.config(TrashKeep="1h")).stop()
        self.assertEqual(self.trash(), {"t0"})
        self.ready(self.config(TrashKeep="0")).stop()
        self.assertEqual(self.trash(), set())
        self.assert_gone()


if __name__ == "__main__":
    harness.main()
