# SPDX-License-Identifier: GPL-2.0-or-later
"""Scrub=: a byte of RAM that has flipped is found, reported and repaired; nothing that a client wrote is taken for one."""

import ctypes
import hashlib
import mmap
import os
import re
import signal
import struct
import time

import harness
import saving

MIB = 1 << 20

FAN_CLOEXEC, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD = 0x1, 0x1, 0x20, -100

FAULTY = r"RAM may be faulty: the bytes of '%s' in '.*' changed while its times did not \(XXH3-128 was %s, is %s\);"


class Scrub(saving.Saving):
    work_size = "2g"

    def store(self, fd, offset):
        """Another byte, by a store through a mapping that has read the page before: that moves no time."""
        length = os.fstat(fd).st_size
        with mmap.mmap(fd, length) as mapping:
            mapping[offset] ^= 0x10

    def work_silently(self, path, offset=0):
        """What a client does that edits a file through a mapping: of what stat() shows nothing changes. The watch notices it."""
        before = os.stat(path)
        with open(path, "r+b") as file:
            self.store(file.fileno(), offset)
        after = os.stat(path)
        self.assertEqual((before.st_mtime_ns, before.st_ctime_ns), (after.st_mtime_ns, after.st_ctime_ns))

    def damage_after_client(self, daemon, name):
        """When a client could have written, and did not."""
        with open(self.mirrored(name), "r+b"):
            pass
        daemon.wait_log("Read '%s' in .*; it is unchanged" % name)
        self.damage(self.mirrored(name), 5)

    def damage(self, path, offset=0):
        """What a fault of the memory does: nothing notices it. A descriptor that fanotify(7) has opened sends no events."""
        libc = ctypes.CDLL(None, use_errno=True)
        before = os.stat(path)
        fan = libc.fanotify_init(FAN_CLOEXEC, os.O_RDWR)
        self.assertGreaterEqual(fan, 0, os.strerror(ctypes.get_errno()))
        try:
            r = libc.fanotify_mark(fan, FAN_MARK_ADD, ctypes.c_uint64(FAN_OPEN), AT_FDCWD, os.fsencode(path))
            self.assertEqual(r, 0, os.strerror(ctypes.get_errno()))
            os.close(os.open(path, os.O_RDONLY))
            fd = struct.unpack_from("IBBHQii", os.read(fan, 4096))[5]
            self.store(fd, offset)
            os.close(fd)
        finally:
            os.close(fan)
        after = os.stat(path)
        self.assertEqual((before.st_mtime_ns, before.st_ctime_ns), (after.st_mtime_ns, after.st_ctime_ns))

    def scrubbing(self, span="2s", **keys):
        """A daemon, after its first pass."""
        daemon = self.ready(self.config(Scrub=span, **keys))
        daemon.wait_status("; scrubbed: ")
        return daemon

    def wait_repaired(self, daemon, name, inode):
        self.wait_until(lambda: os.path.exists(self.mirrored(name)) and self.inode(name) != inode, name + " staged again", daemon)
        self.assert_same_file(name)
        daemon.wait_status("1 repaired")

    def wait_watched(self, daemon):
        """Until two scans have come back since it was ready: the first still reads what may have been written while it was not watched."""
        for name in ("one", "two"):
            self.write(name, b"x")
            self.wait_until(lambda: os.path.exists(self.mirrored(name)), name, daemon)

    def conflicts(self):
        """What was kept aside on the disk: the contents."""
        path = self.original(".shmstaged/conflicts")
        return [self.read(os.path.join(directory, name)) for directory, _, names in os.walk(path) for name in names]

    def read_bytes(self, daemon):
        return int(re.search(r"rchar: (\d+)", self.read("/proc/%d/io" % daemon.pid).decode()).group(1))

    def wait_reading(self, daemon, n):
        """Waits until the daemon has read n bytes more. Returns how many it had read before."""
        before = self.read_bytes(daemon)
        self.wait_until(lambda: self.read_bytes(daemon) >= before + n, "the pass", daemon)
        return before


class Damage(Scrub):
    def test_a_flipped_byte_is_found_reported_and_repaired(self):
        self.write("d/model.gguf", size=9 * MIB + 5)
        self.write("other", size=MIB)
        daemon = self.scrubbing()
        path, disk, other = self.mirrored("d/model.gguf"), self.snapshot(), self.inode("other")
        inode, was = self.inode("d/model.gguf"), self.digest(path)
        with open(path, "rb") as reader:
            self.damage(path, 5 * MIB + 1)
            damaged, now = reader.read(), self.digest(path)
            self.wait_repaired(daemon, "d/model.gguf", inode)
            reader.seek(0)
            self.assertTrue(reader.read() == damaged, "an old reader keeps what it has open")
        daemon.wait_status(r"^Ready: 2 files, .*; scrubbed: 10M, 1 repaired$")
        daemon.listen(3)  # a further pass
        self.assertEqual(self.times_logged(daemon, FAULTY % ("d/model.gguf", was, now) + " it is staged again from disk"), 1, daemon.log())
        self.assertEqual(self.times_logged(daemon, "RAM may be faulty"), 1)
        self.assertRegex(daemon.log(), r"memtest86\+.*ras-mc-ctl --errors")
        self.assertEqual(self.snapshot(), disk)
        self.assertEqual(self.conflicts(), [])
        self.assertEqual(self.inode("other"), other)
        daemon.stop()
        self.assertEqual(self.snapshot(), disk)
        self.assert_gone()

    def test_without_write_back_too(self):
        self.write("model", size=MIB)
        daemon = self.scrubbing(WriteBack="no")
        inode = self.inode("model")
        self.damage(self.mirrored("model"), 77)
        self.wait_repaired(daemon, "model", inode)
        daemon.stop()
        self.assert_gone()

    def test_in_the_first_pass_a_name_that_states_the_digest_is_enough(self):
        content = os.urandom(MIB)
        name = "models--o--n/blobs/" + hashlib.sha256(content).hexdigest()
        self.write(name, content)
        self.write("models--o--n/refs/main", "0" * 40)
        os.makedirs(self.original("models--o--n/snapshots/" + "0" * 40))
        os.symlink("../../blobs/" + name.split("/")[-1], self.original("models--o--n/snapshots/" + "0" * 40 + "/model"))
        daemon = self.ready(self.config(Scrub="2s", Layout="huggingface"))
        inode = self.inode(name)
        disk = self.snapshot()
        self.work_silently(self.mirrored(name), 5)
        self.wait_until(lambda: self.inode(name) != inode, "the repair", daemon)
        self.assert_same_file(name)
        daemon.wait_log("The bytes of '%s' in '.*' were no longer those that its name states; it was staged again from disk" % name)
        self.assertEqual(self.snapshot(), disk)
        daemon.stop()

    def test_memory_that_cannot_be_read_is_repaired(self):
        self.write("model", size=MIB)
        self.write("other", size=MIB)
        daemon = self.ready(self.config(Scrub="3s"), traced=True)
        inode = self.inode("model")
        tracer = self.strace(daemon.pid, "-e", "trace=pread64", "-e", "inject=pread64:error=EIO", "-P", self.mirrored("model"))
        daemon.wait_log(r"RAM may be faulty: 'model' in '.*' can no longer be read \(Input/output error; its XXH3-128 was [0-9a-f]{32}\); it is staged again")
        tracer.terminate()
        tracer.wait()
        self.wait_until(lambda: self.inode("model") != inode, "the repair", daemon)
        self.assert_same_file("model")
        self.assertEqual(self.conflicts(), [])
        daemon.stop()

    def test_if_the_disk_is_damaged_too_the_copy_stays_and_is_not_silent(self):
        self.write("model", size=MIB)
        daemon = self.scrubbing()
        content = self.read(self.original("model"))
        self.rot(self.original("model"), 5)
        inode = self.inode("model")
        self.damage(self.mirrored("model"), 77)
        daemon.wait_status(r"^Degraded: .*; 1 withheld; 1 damaged in RAM")
        daemon.listen(4)  # it is not logged with every pass
        self.assertEqual(self.inode("model"), inode)
        self.assertEqual(self.times_logged(daemon, "RAM may be faulty"), 1, daemon.log())
        self.assertEqual(self.times_logged(daemon, r"model.*(corrupt|on record)"), 1, daemon.log())
        self.write("model", content)
        self.wait_repaired(daemon, "model", inode)
        daemon.wait_status("^Ready")
        daemon.stop()

    def test_a_clients_changes_to_a_damaged_file_that_waits_for_its_repair_are_kept(self):
        self.write("model", size=MIB)
        daemon = self.scrubbing("4s")
        self.rot(self.original("model"), 5)  # so that it cannot be repaired yet
        self.damage(self.mirrored("model"), 77)
        daemon.wait_status(r"; 1 damaged in RAM")
        self.work_silently(self.mirrored("model"), 99)
        work = self.read(self.mirrored("model"))
        self.wait_until(lambda: self.read(self.original("model")) == work, "the save", daemon)
        self.assertEqual(self.conflicts(), [])
        self.assertEqual(self.read(self.mirrored("model")), work)
        daemon.wait_status("^Ready")
        daemon.stop()
        self.assertEqual(self.read(self.original("model")), work)

    def test_a_stop_saves_no_flipped_byte(self):
        self.write("model", size=MIB)
        disk = self.snapshot()
        daemon = self.ready(self.config(Scrub="1h"))
        self.wait_watched(daemon)
        self.damage(self.mirrored("model"), 77)
        daemon.stop()
        for name in ("one", "two"):
            os.unlink(self.original(name))
        self.assertEqual(self.snapshot(), disk)
        self.assertEqual(self.conflicts(), [])
        self.assert_gone()

    def test_a_stop_that_comes_before_the_verdict_or_the_copy_is_not_held_up(self):
        self.write("model", size=200 * MIB)
        disk = self.snapshot()
        for pause in (0, 1, 1.2):
            daemon = self.ready(self.config(Scrub="2s"))
            self.damage(self.mirrored("model"), 77)
            self.wait_reading(daemon, 200 * MIB)
            daemon.listen(pause)
            begun = time.monotonic()
            daemon.stop()
            self.assertLess(time.monotonic() - begun, 10 * harness.LONG)
            self.assertEqual(self.snapshot() | disk, self.snapshot())
            self.assertEqual(self.temporaries(), [])
            self.assert_gone()

    def test_all_names_of_a_file_are_repaired(self):
        self.write("a", size=MIB)
        os.link(self.original("a"), self.original("b"))
        daemon = self.scrubbing()
        inode = self.inode("a")
        self.damage(self.mirrored("b"), 5)
        damaged = self.read(self.mirrored("a"))
        self.wait_until(lambda: inode not in (self.inode("a"), self.inode("b")), "the repair", daemon)
        self.assertEqual(self.inode("a"), self.inode("b"))
        self.assert_same_file("b")
        # through which of its names a file is opened is seen, but not through which outside of the mirror
        self.assertEqual(self.conflicts(), [damaged])
        daemon.wait_status("^Ready.*1 repaired")
        daemon.stop()
        self.assert_gone()


class Clients(Scrub):
    def test_bytes_a_client_wrote_through_a_mapping_are_kept_on_the_disk(self):
        self.write("model", size=2 * MIB)
        daemon = self.scrubbing()
        inode = self.inode("model")
        self.work_silently(self.mirrored("model"), MIB)
        work = self.read(self.mirrored("model"))
        self.wait_until(lambda: self.read(self.original("model")) == work, "the save", daemon)
        daemon.wait_status("^Ready")
        self.assertEqual(self.inode("model"), inode)
        self.assertEqual(self.conflicts(), [])
        self.assertEqual(self.times_logged(daemon, "RAM may be faulty"), 0, daemon.log())
        daemon.stop()
        self.assertEqual(self.read(self.original("model")), work)

    def test_a_difference_in_the_first_pass_is_undecidable_and_kept(self):
        self.write("model", size=MIB)
        daemon = self.ready(self.config(Scrub="3s"))
        inode = self.inode("model")
        self.damage(self.mirrored("model"), 5)
        damaged = self.read(self.mirrored("model"))
        self.wait_repaired(daemon, "model", inode)
        self.assertEqual(self.conflicts(), [damaged])
        daemon.stop()

    def test_without_write_back_the_damage_is_left_and_reported(self):
        self.write("model", size=MIB)
        daemon = self.scrubbing(WriteBack="no")
        disk, inode = self.snapshot(), self.inode("model")
        self.damage_after_client(daemon, "model")
        work = self.read(self.mirrored("model"))
        daemon.wait_status("^Degraded: .*; 1 damaged in RAM")
        daemon.listen(3)
        self.assertEqual((self.inode("model"), self.read(self.mirrored("model"))), (inode, work))
        self.assertEqual(self.times_logged(daemon, "RAM may be faulty.*so it is left as it is; to have it staged again, remove it from the mirror"), 1, daemon.log())
        self.assertEqual(self.snapshot(), disk)
        os.unlink(self.mirrored("model"))
        self.wait_until(lambda: os.path.exists(self.mirrored("model")), "the file", daemon)
        self.assert_same_file("model")
        daemon.wait_status("^Ready")
        daemon.stop()

    def test_a_writer_with_the_file_open_is_not_disturbed(self):
        self.write("model", size=MIB)
        daemon = self.scrubbing()
        inode = self.inode("model")
        with open(self.mirrored("model"), "r+b") as file, mmap.mmap(file.fileno(), MIB) as mapping:
            mapping[5] ^= 1
            daemon.listen(5)  # two passes
            self.assertEqual(self.inode("model"), inode)
            self.assertEqual(self.times_logged(daemon, "RAM may be faulty"), 0, daemon.log())
            mapping[6] ^= 1
            work = bytes(mapping)
        self.wait_until(lambda: self.read(self.original("model")) == work, "the save", daemon)
        self.assertEqual(self.inode("model"), inode)
        self.assertEqual(self.conflicts(), [])
        daemon.stop()
        self.assertEqual(self.read(self.original("model")), work)

    def test_if_the_disk_has_no_room_to_keep_it_nothing_is_replaced(self):
        self.small_disk(6 << 20)
        self.write("model", size=2 * MIB)
        daemon = self.scrubbing(Size="64M")
        self.write("ballast", size=2 * MIB)
        self.wait_until(lambda: os.path.exists(self.mirrored("ballast")), "the ballast", daemon)
        inode = self.inode("model")
        self.damage_after_client(daemon, "model")
        work = self.read(self.mirrored("model"))
        daemon.wait_log("its current version could not be saved to disk, so it is left as it is: the disk is full")
        daemon.wait_status("^Degraded: .*; 1 damaged in RAM")
        daemon.listen(3)
        self.assertEqual((self.inode("model"), self.read(self.mirrored("model"))), (inode, work))
        self.assertEqual(self.times_logged(daemon, "RAM may be faulty"), 1, daemon.log())
        os.unlink(self.original("ballast"))
        self.wait_repaired(daemon, "model", inode)
        self.assertEqual(self.conflicts(), [work])
        daemon.stop()

    def test_ordinary_writes_of_a_client_are_saved_and_not_undone(self):
        self.write("model", size=MIB)
        daemon = self.scrubbing("1s")
        for i in range(4):
            content = os.urandom(MIB)
            self.put("model", content)
            self.put("new-%d" % i, content[:5000])
            daemon.listen(1)
            self.wait_until(lambda: self.read(self.original("model")) == content, "the save", daemon)
            self.assertEqual(self.read(self.mirrored("model")), content)
        self.assertEqual(self.times_logged(daemon, "RAM may be faulty"), 0, daemon.log())
        self.assertEqual(self.conflicts(), [])
        daemon.stop()
        self.assert_gone()


class Pass(Scrub):
    def test_an_unchanged_mirror_stays_as_it_is(self):
        self.write("d/a", size=3 * MIB + 1)
        self.write("empty", b"")
        for i in range(50):
            self.write("small/%d" % i, size=100)
        os.symlink("d/a", self.original("link"))
        os.link(self.original("d/a"), self.original("z"))
        with open(self.original("sparse"), "wb") as file:
            file.truncate(64 * MIB)
            file.seek(5 * MIB)
            file.write(b"x" * 5000)
        daemon = self.scrubbing("1s")

        def state():
            return {n: (s.st_ino, s.st_ctime_ns, s.st_mtime_ns, s.st_blocks)
                    for n in self.names() for s in [os.lstat(self.mirrored(n))] if not os.path.isdir(self.mirrored(n))}
        before, disk = state(), self.snapshot()
        daemon.listen(4)
        self.assertEqual(state(), before)
        self.assertEqual(self.snapshot(), disk)
        self.assertEqual(self.times_logged(daemon, "^(Warning|Error)"), 0, daemon.log())
        daemon.wait_status(r"; scrubbed: 67M$")
        daemon.stop()
        self.assert_gone()

    def test_every_file_is_read_once_in_a_pass(self):
        for name in ("a", "b"):
            self.write(name, size=4 * MIB)
        os.link(self.original("b"), self.original("c"))
        daemon = self.ready(self.config(Scrub="4s"))
        daemon.listen(0.5)
        before = self.read_bytes(daemon)
        daemon.wait_status("; scrubbed: 8M$")
        read = self.read_bytes(daemon) - before
        self.assertGreaterEqual(read, 8 * MIB)
        self.assertLess(read, 9 * MIB)
        daemon.stop()

    def test_a_file_that_is_only_linked_to_the_disk_is_not_read(self):
        self.write("a", size=2 * MIB)
        self.write("z", size=60 * MIB)
        daemon = self.ready(self.config(Scrub="2s", Size="16M", OnNoRoom="link"))
        self.assertTrue(os.path.islink(self.mirrored("z")))
        daemon.wait_status("; scrubbed: 2M")
        daemon.stop()

    def test_the_pace_is_kept(self):
        self.write("model", size=256 * MIB)
        daemon = self.ready(self.config(Scrub="6s"))  # its half at 64 MiB/s is less than that
        self.wait_reading(daemon, 16 * MIB)
        begun = time.monotonic()  # before the bytes are counted, and ended after: it may be slower than this shows, and is not faster
        before = self.wait_reading(daemon, 160 * MIB)
        n = self.read_bytes(daemon) - before
        rate = n / MIB / (time.monotonic() - begun)
        self.assertLess(rate, 256 / 3 * 1.1)  # MiB/s
        self.assertGreater(rate, 256 / 3 * 0.1)  # other processes are at work on this machine
        daemon.stop()

    def test_a_stop_takes_effect_in_the_middle_of_a_large_file(self):
        self.write("model", size=512 * MIB)
        daemon = self.ready(self.config(Scrub="40s", WriteBack="no"))  # of which half is for reading
        self.wait_reading(daemon, 8 * MIB)
        begun = time.monotonic()
        daemon.stop()
        self.assertLess(time.monotonic() - begun, min(8 * harness.LONG, 18), "it would take twenty seconds to the end of the file")
        self.assert_gone()

    def test_a_pass_waits_while_the_mirror_changes_and_goes_on_later(self):
        self.write("model", size=200 * MIB)
        daemon = self.ready(self.config(Scrub="4s"))
        self.wait_reading(daemon, 32 * MIB)
        for i in range(3):
            self.write("new-%d" % i, size=5000)
            self.wait_until(lambda: os.path.exists(self.mirrored("new-%d" % i)), "the new file", daemon)
        daemon.wait_status("; scrubbed: ")
        self.assertEqual(self.times_logged(daemon, "RAM may be faulty"), 0, daemon.log())
        daemon.stop()

    def test_a_reload_turns_it_on_and_off(self):
        self.write("model", size=MIB)
        config = self.config(Scrub="no")
        off = self.read(config)
        daemon = self.ready(config)
        daemon.listen(2)
        self.assertNotIn("scrubbed", daemon.status())

        def reload(text):
            with open(config, "wb") as file:
                file.write(text)
            n = daemon.count("READY")
            daemon.signal(signal.SIGHUP)
            daemon.wait(lambda: daemon.count("READY") > n, "the reload")
        reload(off.replace(b"Scrub=no", b"Scrub=1s"))
        daemon.wait_status("; scrubbed: 1M$")
        inode = self.inode("model")
        reload(off)
        daemon.wait_status("verified(?!.*scrubbed)")
        self.damage(self.mirrored("model"))
        self.assert_sleeps(daemon)
        self.assertEqual(self.inode("model"), inode)
        daemon.stop()

    def test_between_two_passes_it_sleeps(self):
        self.write("model", size=MIB)
        daemon = self.scrubbing("14s")
        self.assert_sleeps(daemon, 2)
        daemon.stop()


if __name__ == "__main__":
    harness.main(jobs=4)
