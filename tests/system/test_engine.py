# SPDX-License-Identifier: GPL-2.0-or-later
"""The ways of the bytes into the mirror (CopyMethod=), from many filesystems, and every wrong turn on them: refusals, errors,
bytes that are not those on record, sources that change, a mirror that another process fills, a kill in the middle. No wrong
byte is ever in the mirror, and the page cache is left as it was found."""

import mmap
import os
import re
import signal
import subprocess
import time

import harness
from trouble import MIB, Trouble

SIZE = 40 * MIB + 4321
CACHED = SIZE * 99 // 100  # the kernel may want a few pages for others


class Engine(Trouble):
    work_size = "2g"

    def on_ext4(self, size=SIZE, room=96 * MIB):
        """A disk as source, with one file on it that is not cached. Returns its path."""
        os.rmdir(self.source)
        self.source, self.image = self.ext4(room)
        return self.cold("model", size)

    def damage_disk(self, path, offset):
        """Another byte on the medium, of which the filesystem knows nothing."""
        with open(path, "rb") as f:
            f.seek(offset - 64)
            known = f.read(65)
        self.drop(path)
        os.sync()
        with open(self.image, "r+b") as f, mmap.mmap(f.fileno(), 0) as medium:
            at = medium.find(known)
            self.assertGreater(at, 0)
            medium[at + 64] ^= 0x55
        self.drop(path)

    def cold(self, name, size):
        path = self.write(name, size=size)
        self.drop(path)
        return path

    def drop(self, path):
        """Nothing of it is cached."""
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)

    def cached(self, path):
        """Bytes."""
        return int(subprocess.run(["fincore", "-n", "-b", "-o", "RES", path], capture_output=True, text=True, check=True).stdout)

    def single(self, **keys):
        """One worker, so that the calls that a trace counts are in a known order."""
        values = {"Source": self.source, "Target": self.target, "Size": "512M", "SettleTime": "200ms", "PollInterval": "1s", **keys}
        return self.config("[Daemon]\nWorkers=1\n[Mirror m]\n" + "".join("%s=%s\n" % item for item in values.items()))

    def record(self, *names, **keys):
        """One run, after which the digests are on record and nothing else is left."""
        daemon = self.ready(self.config(**keys))
        daemon.stop()
        self.assert_gone()
        for name in names or ("model",):
            self.drop(self.original(name))

    def way(self, daemon, name, way):
        """How it came the last time, which is logged at debug level."""
        daemon.wait_log(r"Staged '%s': " % re.escape(name))
        found = re.findall(r"Staged '%s': \S+, (\w+)" % re.escape(name), daemon.log())[-1]
        self.assertEqual(found, way, daemon.log())

    def traced(self, *options):
        return {"wrapper": ["strace", "-f", "-qq", "-o", self.path("trace"), *options], "traced": True}

    def traced_reads(self, path, inject):
        return self.traced("-P", path, "-e", "trace=pread64", "-e", "inject=pread64:" + inject)

    def staged_again(self, way, name="model", **keys):
        """A run with the digest on record: how it came, that it did, and how much of it was left in the page cache."""
        daemon = self.ready(self.config(**keys))
        self.left = self.cached(self.original(name))
        self.way(daemon, name, way)
        self.assert_same_file(name)
        self.assertEqual(self.xxh128sum().returncode, 0)
        return daemon


class Ways(Engine):
    def test_a_cold_file_on_record_is_read_directly(self):
        self.on_ext4()
        self.record()
        daemon = self.staged_again("direct")
        self.assertLess(self.left, SIZE // 100)
        self.assertRegex(daemon.log(), r"Staged 'model': 40M, direct, 2 MiB pages: 100%")
        daemon.wait_status(r"^Ready: 1 file, 40M in RAM, verified; all saved; 2 MiB pages: \d+%; direct reads: 100%")
        daemon.stop()

    def test_without_a_record_it_comes_directly_too(self):
        path = self.on_ext4()
        daemon = self.ready()
        self.way(daemon, "model", "direct")
        self.assertLess(self.cached(path), SIZE // 100)
        self.assert_same_file("model")
        daemon.stop()

    def test_without_a_record_a_cached_file_is_read_from_the_cache_and_stays_cached(self):
        path = self.on_ext4()
        self.assertEqual(len(self.read(path)), SIZE)
        self.assertGreaterEqual(self.cached(path), CACHED)
        daemon = self.ready()
        self.way(daemon, "model", "buffered")
        self.assertNotIn("direct", daemon.status())
        self.assertGreaterEqual(self.cached(path), CACHED)
        self.assert_same_file("model")
        daemon.stop()

    def test_a_cached_file_is_read_from_the_cache_and_stays_cached(self):
        path = self.on_ext4()
        self.record()
        self.assertEqual(len(self.read(path)), SIZE)
        self.assertGreaterEqual(self.cached(path), CACHED)
        daemon = self.staged_again("buffered")
        self.assertNotIn("direct", daemon.status())
        self.assertGreaterEqual(self.left, CACHED)
        daemon.stop()

    def test_without_pages_of_2_mib_it_comes_directly_too(self):
        self.on_ext4()
        self.record()
        self.staged_again("direct", HugePages="never").stop()

    def test_the_configured_way_is_taken(self):
        path = self.on_ext4()
        self.record()
        self.staged_again("sendfile", CopyMethod="sendfile").stop()
        self.drop(path)
        self.staged_again("buffered", CopyMethod="buffered").stop()
        self.assertLess(self.left, SIZE // 100)
        self.staged_again("direct", CopyMethod="direct", HugePages="never").stop()

    def test_a_file_that_was_changed_is_as_new(self):
        path = self.on_ext4()
        self.record()
        with open(path, "r+b") as f:
            f.write(b"another beginning")
        self.drop(path)
        self.staged_again("direct").stop()
        self.drop(path)
        self.staged_again("direct").stop()

    def test_a_file_with_holes_keeps_them(self):
        path = self.on_ext4()
        os.unlink(path)
        path = self.original("sparse")
        with open(path, "wb") as f:
            for at in (3 * MIB, 20 * MIB):
                f.seek(at)
                f.write(os.urandom(3 * MIB))
            f.truncate(SIZE)
        self.drop(path)
        self.record("sparse")
        daemon = self.staged_again("direct", "sparse")
        self.assertLessEqual(os.stat(self.mirrored("sparse")).st_blocks * 512, 12 * MIB)
        daemon.stop()


class Refused(Engine):
    """By the filesystem: the bytes come buffered then."""

    def refused(self, n, error):
        path = self.on_ext4()
        self.record()
        daemon = self.ready(self.single(), **self.traced_reads(path, "error=%s:when=%d" % (error, n)))
        return path, daemon

    def test_at_the_first_read(self):
        path, daemon = self.refused(1, "EINVAL")
        self.way(daemon, "model", "buffered")
        self.assert_same_file("model")
        self.assertNotIn("direct reads", daemon.status())
        self.stop_traced(daemon)

    def test_in_the_middle(self):
        path, daemon = self.refused(4, "EINVAL")
        self.way(daemon, "model", "buffered")
        self.assert_same_file("model")
        daemon.wait_status(r"; direct reads: \d\d%")  # those that there were
        self.stop_traced(daemon)

    def test_at_the_last_read(self):
        path, daemon = self.refused(11, "EOPNOTSUPP")
        self.way(daemon, "model", "direct")
        self.assert_same_file("model")
        self.stop_traced(daemon)

    def test_the_next_files_of_that_filesystem_are_not_tried(self):
        self.on_ext4(8 * MIB)
        self.cold("next", 8 * MIB)
        self.record("model", "next")
        daemon = self.ready(self.single(), **self.traced_reads(self.original("model"), "error=EINVAL:when=1"))
        left = self.cached(self.original("next"))
        for name in ("model", "next"):
            self.way(daemon, name, "buffered")
            self.assert_same_file(name)
        self.assertLess(left, MIB)
        self.stop_traced(daemon)

    def test_a_mirror_of_another_filesystem_is_not_affected(self):
        self.on_ext4()
        ram, disk = self.path("ram"), self.source
        os.mkdir(ram)
        subprocess.run(["mount", "-t", "ramfs", "none", ram], check=True)
        self.write("model", size=8 * MIB, root=ram)
        text = "".join("[Mirror %s]\nSource=%s\nTarget=%s\nSize=256M\nCopyMethod=direct\n" % (name, source, self.path("t-" + name))
                       for name, source in (("ram", ram), ("disk", disk)))
        self.ready(self.config(text)).stop()
        self.drop(self.original("model"))
        daemon = self.ready(self.config(text))
        found = dict(re.findall(r"Staged 'model': (\S+), (\w+)", daemon.log()))
        self.assertEqual(found, {"8M": "buffered", "40M": "direct"})
        for name, source in (("ram", ram), ("disk", disk)):
            self.assertEqual(self.read(os.path.join(source, "model")), self.read(self.path("t-" + name, "model")))
        daemon.stop()


class Wrong(Engine):
    """Errors and wrong bytes."""

    def test_an_error_of_a_direct_read_that_does_not_come_again_is_no_trouble(self):
        path = self.on_ext4()
        self.record()
        daemon = self.ready(self.single(), **self.traced_reads(path, "error=EIO:when=5"))
        self.way(daemon, "model", "direct")
        daemon.wait_status(r"^Ready: 1 file")
        self.assert_same_file("model")
        self.stop_traced(daemon)

    def test_an_error_that_stays_withholds_the_file(self):
        path = self.on_ext4()
        self.record()
        daemon = self.ready(self.single(), **self.traced("-P", path, "-e", "trace=pread64,sendfile",
                                                         "-e", "inject=pread64,sendfile:error=EIO"))
        daemon.wait_status(r"^Degraded: .*; 1 withheld\. Failed to read '%s' at byte 0: Input/output error" % path)
        self.assertEqual(self.names(), set())
        self.stop_traced(daemon)

    def test_reads_that_claim_bytes_that_did_not_come_are_found_out(self):
        """The kernel reports 4 MiB and has written nothing: the digest is another, and the file is sent once more."""
        path = self.on_ext4()
        self.record()
        daemon = self.ready(self.single(), **self.traced_reads(path, "retval=%d:when=3" % (4 * MIB)))
        self.way(daemon, "model", "direct")
        daemon.wait_status(r"^Ready: 1 file")
        self.assert_same_file("model")
        self.stop_traced(daemon)

    def test_a_premature_end_of_file_is_not_taken_for_the_end(self):
        path = self.on_ext4()
        self.record()
        daemon = self.ready(self.single(), **self.traced_reads(path, "retval=0:when=3"))
        daemon.wait_status(r"^Ready: 1 file")
        self.assert_same_file("model")
        self.stop_traced(daemon)

    def test_a_byte_that_is_another_on_the_disk_is_withheld_with_both_digests(self):
        path = self.on_ext4()
        self.write("good", b"x")
        self.record("model")
        was = self.digest(path)
        self.damage_disk(path, 33 * MIB + 7)
        daemon = self.ready()
        daemon.wait_status(r"^Degraded: 1 file.*1 withheld")
        line = self.logged_once(daemon, r"'%s'" % re.escape(path))
        self.assertIn(was, line)
        self.assertIn(self.digest(path), line)
        self.assertEqual(self.names(), {"good"})
        self.damage_disk(path, 33 * MIB + 7)  # repaired
        os.utime(path)
        daemon.wait_status(r"^Ready: 2 files")
        self.assert_same_file("model")
        daemon.stop()

    def test_with_on_corrupt_fail_it_ends_the_start(self):
        path = self.on_ext4()
        self.record()
        was = self.digest(path)
        self.damage_disk(path, SIZE - 1)
        text = self.refused(self.config(OnCorrupt="fail"))
        self.assertIn(was, text)
        self.assert_gone()


class Changing(Engine):
    """The source, while direct reads are in flight."""

    def copying(self):
        """A daemon in the middle of slow direct reads of the one file, of which 10 MiB are there at least."""
        path = self.on_ext4()
        self.record()
        reads = self.path("trace")
        daemon = self.daemon(self.single(ChunkSize="1M"), **self.traced_reads(path, "delay_enter=30000"))
        daemon.wait(lambda: os.path.exists(reads) and self.read(reads).count(b"= 1048576") >= 10, "ten direct reads")
        self.assertEqual(self.names(), set())
        return path, daemon

    def ends_well(self, daemon):
        daemon.wait_ready()
        daemon.wait_status(r"^Ready: ")
        self.assert_same_file("model")
        self.stop_traced(daemon)

    def test_shortened_it_is_started_over(self):
        path, daemon = self.copying()
        os.truncate(path, 5 * MIB + 17)
        self.ends_well(daemon)

    def test_emptied_it_is_started_over(self):
        path, daemon = self.copying()
        os.truncate(path, 0)
        self.ends_well(daemon)

    def test_appended_to_it_is_started_over(self):
        path, daemon = self.copying()
        with open(path, "ab") as f:
            f.write(b"more" * 100000)
        self.ends_well(daemon)

    def test_replaced_it_is_started_over(self):
        path, daemon = self.copying()
        self.write("new", size=6 * MIB)
        os.rename(self.original("new"), path)
        self.ends_well(daemon)

    def test_a_kill_leaves_no_part_of_a_file_and_the_next_start_adopts_whole_files(self):
        self.on_ext4()
        self.cold("before", 2 * MIB)  # too small to be shared by workers: it is over before the other is begun
        self.record("model", "before")
        reads = self.path("trace")
        daemon = self.daemon(self.single(ChunkSize="1M"),
                             **self.traced_reads(self.original("model"), "delay_enter=30000"))
        daemon.wait(lambda: os.path.exists(reads) and self.read(reads).count(b"= 1048576") >= 10, "ten direct reads")
        with open("/proc/%d/task/%d/children" % (daemon.pid, daemon.pid)) as f:
            os.kill(int(f.read().split()[0]), signal.SIGKILL)
        daemon.process.wait()
        self.assertEqual(self.names(), {"before"})
        self.assert_same_file("before")
        inode = self.inode("before")
        room = os.statvfs(self.target)
        self.assertLess((room.f_blocks - room.f_bfree) * room.f_frsize, 12 * MIB, "of the other nothing is left")
        daemon = self.ready()
        self.way(daemon, "model", "direct")
        self.assertNotIn("Staged 'before'", daemon.log())
        self.assertEqual(self.inode("before"), inode)
        for name in ("before", "model"):
            self.assert_same_file(name)
        self.assertEqual(self.names(), {"before", "model"})
        daemon.stop()
        self.assert_gone()


class Full(Engine):
    happens_again = "."

    def test_a_mirror_that_another_process_fills_is_reported_and_gets_no_part_of_a_file(self):
        """What comes third is begun, and its room reserved, when one of the others is there."""
        self.on_ext4(24 * MIB)
        for name in ("a", "b"):
            self.cold(name, 12 * MIB)
        self.record("model", "a", "b")
        reads = self.path("trace")
        daemon = self.daemon(self.single(ChunkSize="1M", Size="64M", WriteBack="no", OnNoRoom="skip"),
                             **self.traced("-P", self.original("a"), "-P", self.original("b"), "-e", "trace=pread64",
                                           "-e", "inject=pread64:delay_enter=50000"))
        daemon.wait(lambda: os.path.exists(reads) and self.read(reads).count(b"= 1048576") >= 2, "the first to be on its way")
        self.write("filler", size=30 * MIB, root=self.target)
        daemon.wait_ready()
        daemon.wait_status(r"^Degraded: .*not in RAM for lack of space")
        self.assertEqual(self.names(), {"a", "b", "filler"})
        for name in ("a", "b"):
            self.assert_same_file(name)
        os.unlink(self.mirrored("filler"))
        self.write("nudge", b"x")
        daemon.wait_status(r"^Ready: 4 files")
        self.assert_same_file("model")
        self.stop_traced(daemon)


class Filesystems(Engine):
    """Right bytes from each, and the way that they come."""

    def made(self, command, size, *options, sector=None):
        """A filesystem of its own on a loop device as source."""
        number = self.count()
        image, path = self.path("image-%d" % number), self.path("fs-%d" % number)
        with open(image, "wb") as f:
            f.truncate(size)
        device = subprocess.run(["losetup", "--show", *(["--sector-size", str(sector)] if sector else []), "-f", image],
                                capture_output=True, text=True, check=True).stdout.strip()
        try:
            subprocess.run([*command, device], check=True, stdout=subprocess.DEVNULL)
            os.mkdir(path)
            subprocess.run(["mount", *options, device, path], check=True)
        finally:
            subprocess.run(["losetup", "-d", device], check=True)  # when it is unmounted
        return path

    def overlay(self, lower):
        path, empty = self.path("overlay-%d" % self.count()), self.path("empty-%d" % self.count())
        os.mkdir(path)
        os.mkdir(empty)
        subprocess.run(["mount", "-t", "overlay", "-o", "lowerdir=%s:%s" % (empty, lower), "none", path], check=True)
        return path

    def staged(self, source, way, size=SIZE, content=None, **keys):
        """Two runs; in the second the digest is on record."""
        if os.path.exists(self.source):
            os.rmdir(self.source)
        self.source = source
        if not os.path.exists(self.original("model")):
            self.write("model", content=content, size=size)
        self.record(WriteBack="no", **keys)
        daemon = self.staged_again(way, WriteBack="no", **keys)
        self.assertLess(self.left, SIZE // 100)
        daemon.stop()

    def test_ext4_on_sectors_of_4_kib(self):
        self.staged(self.made(["mkfs.ext4", "-q"], 96 * MIB, sector=4096), "direct")

    def test_xfs(self):
        self.staged(self.made(["mkfs.xfs", "-q"], 320 * MIB), "direct")

    def test_xfs_on_sectors_of_4_kib(self):
        self.staged(self.made(["mkfs.xfs", "-q"], 320 * MIB, sector=4096), "direct")

    def test_btrfs(self):
        self.staged(self.made(["mkfs.btrfs", "-q"], 256 * MIB), "direct")

    def test_btrfs_with_compression(self):
        content = b"".join(b"line %08d and what is always the same in it\n" % i for i in range(SIZE // 52 + 1))[:SIZE]
        self.staged(self.made(["mkfs.btrfs", "-q"], 256 * MIB, "-o", "compress-force=zstd"), "direct", content=content)

    def test_overlayfs(self):
        lower, _ = self.ext4(96 * MIB)
        self.write("model", size=SIZE, root=lower)
        self.staged(self.overlay(lower), "direct")

    def test_fuse(self):
        lower, _ = self.ext4(96 * MIB)
        self.write("model", size=SIZE, root=lower)
        self.staged(self.bindfs(lower)[0], "direct")

    def in_ram(self):
        path = self.path("ram")
        os.mkdir(path)
        subprocess.run(["mount", "-t", "ramfs", "none", path], check=True)
        self.write("model", size=SIZE, root=path)
        return path

    def test_a_filesystem_without_direct_reads(self):
        os.rmdir(self.source)
        self.source = self.in_ram()
        self.record()
        self.staged_again("buffered", CopyMethod="direct").stop()

    def test_overlayfs_over_a_filesystem_without_direct_reads(self):
        os.rmdir(self.source)
        self.source = self.overlay(self.in_ram())
        daemon = self.ready(self.config(WriteBack="no"))
        self.way(daemon, "model", "sendfile")  # it is not cached either, as far as this filesystem reports
        self.assert_same_file("model")
        daemon.stop()
        self.staged_again("buffered", CopyMethod="direct", WriteBack="no").stop()

    def test_tmpfs(self):
        """Its files are their own page cache."""
        self.write("model", size=SIZE)
        self.record()
        self.staged_again("buffered").stop()


if __name__ == "__main__":
    harness.main(jobs=2)
