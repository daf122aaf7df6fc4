# SPDX-License-Identifier: GPL-2.0-or-later
"""What is remembered from one run to the next, and what is found out with it."""

import os
import random
import re
import shutil
import subprocess

import harness


class Manifest(harness.Case):
    def manifest(self, name="m", state=None):
        with open(os.path.join(state or self.state, name + ".xxh128"), errors="surrogateescape") as f:
            return f.read()

    def sums(self):
        """Path -> digest, of the lines that xxh128sum reads."""
        return {m.group(2): m.group(1) for m in re.finditer(r"^([0-9a-f]{32})  (.*)$", self.manifest(), re.M)}

    def tree(self, size=300 << 10):
        for name in ("a.gguf", "d/b.gguf", "d/e/c.gguf"):
            self.write(name, size=size)
        self.write("empty", b"")

    def test_the_manifest_has_the_digests_of_the_source_and_is_checked_by_xxh128sum(self):
        self.tree()
        self.write("with blanks  in it", size=5000)
        os.link(os.path.join(self.source, "a.gguf"), os.path.join(self.source, "linked"))
        os.symlink("a.gguf", os.path.join(self.source, "symlink"))
        daemon = self.ready(self.config(WriteBack="no"))
        sums = self.sums()
        self.assertEqual(sums, {n: self.digest(os.path.join(self.source, n)) for n in (
            "a.gguf", "d/b.gguf", "d/e/c.gguf", "empty", "with blanks  in it", "linked")})
        done = self.xxh128sum()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.flip(self.mirrored("d/b.gguf"), 77)  # or the check proves nothing
        self.assertEqual(self.xxh128sum().returncode, 1)
        daemon.stop(expect=1)

    def test_after_a_stop_the_digests_are_still_there(self):
        self.tree()
        before = None
        for _ in range(3):
            self.ready().stop()
            entries = sorted(re.findall(r"[0-9a-f]{32} \S+", self.manifest()))
            self.assertGreaterEqual(len(entries), 4)
            self.assertIn(before, (None, entries))
            before = entries

    def start_after_flip(self, size, offset, **keys):
        """One run, then one byte of d/b.gguf is another; the next daemon, and the two digests."""
        self.tree(size)
        self.ready().stop()
        path = os.path.join(self.source, "d/b.gguf")
        was = self.digest(path)
        self.rot(path, offset)
        return self.daemon(self.config(**keys)), was, self.digest(path)

    def assert_corruption_is_withheld(self, size, offset):
        daemon, was, now = self.start_after_flip(size, offset)
        daemon.wait_ready()
        self.assertEqual(self.names(), {"a.gguf", "d", "d/e", "d/e/c.gguf", "empty"})
        for name in ("a.gguf", "d/e/c.gguf", "empty"):
            self.assert_same_file(name)
        said = r"/d/b\.gguf' is withheld: it is corrupt on disk.*%s.*%s" % (now, was)
        self.assertEqual(len(re.findall(said, daemon.log())), 1, daemon.log())
        self.assertRegex(daemon.status(), r"^Degraded: 3 files.*, .*1 withheld.*" + said)
        self.assertEqual(self.xxh128sum().returncode, 0)
        return daemon

    def test_bytes_that_changed_behind_size_and_time_are_withheld(self):
        daemon = self.assert_corruption_is_withheld(300 << 10, 123)
        daemon.stop()
        self.assert_gone()
        # it is not taken for good the next time, nor the time after that
        for _ in range(2):
            daemon = self.ready()
            self.assertRegex(daemon.status(), "^Degraded")
            self.assertFalse(os.path.exists(self.mirrored("d/b.gguf")))
            daemon.stop()

    def test_the_last_byte_of_a_large_file_counts_too(self):
        self.assert_corruption_is_withheld(40 << 20, (40 << 20) - 1).stop()

    def test_a_file_that_was_restored_is_staged_again(self):
        daemon = self.assert_corruption_is_withheld(300 << 10, 0)
        self.flip(os.path.join(self.source, "d/b.gguf"), 0)
        daemon.wait_status("^Ready: 4 files")
        self.assert_same_file("d/b.gguf")
        daemon.stop()
        self.assert_gone()

    def test_touching_the_file_accepts_the_change(self):
        daemon = self.assert_corruption_is_withheld(300 << 10, 5)
        os.utime(os.path.join(self.source, "d/b.gguf"))
        daemon.wait_status("^Ready: 4 files")
        self.assert_same_file("d/b.gguf")
        daemon.stop()
        daemon = self.ready()
        self.assertRegex(daemon.status(), "^Ready: 4 files")
        daemon.stop()

    def test_touching_the_file_before_the_start_accepts_the_change(self):
        self.tree()
        self.ready().stop()
        self.rot(os.path.join(self.source, "a.gguf"))
        os.utime(os.path.join(self.source, "a.gguf"))
        daemon = self.ready()
        self.assertRegex(daemon.status(), "^Ready: 4 files")
        self.assertEqual(self.sums()["a.gguf"], self.digest(os.path.join(self.source, "a.gguf")))
        daemon.stop()

    def test_corruption_fails_the_start_if_configured(self):
        daemon, was, now = self.start_after_flip(300 << 10, 123, OnCorrupt="fail")
        self.assertEqual(daemon.join(), 1)
        self.assertFalse(daemon.notified("READY"))
        self.assertRegex(daemon.status(), r"^Failed: .*/d/b\.gguf.*%s.*%s" % (now, was))
        self.assert_gone()
        # and the memory of the good digest survives the failure
        self.rot(os.path.join(self.source, "d/b.gguf"), 123)
        daemon = self.ready(self.config(OnCorrupt="fail"))
        self.assert_same_file("d/b.gguf")
        daemon.stop()

    def test_bad_bytes_in_the_page_cache_are_read_again_from_the_disk(self):
        """The disk is right, what the kernel has cached of it is not: one retry from the disk, and all is well."""
        image, disk = os.path.join(self.disk(), "image"), self.path("disk")
        os.mkdir(disk)
        with open(image, "wb") as f:
            f.truncate(64 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, disk], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=True)
        path = self.write("model", size=3 << 20, root=disk)
        fd = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, fd)
        os.fsync(fd)
        config = self.config(Source=disk)
        self.ready(config).stop()
        mark = self.read(path)[1 << 20:][:64]
        where = self.read(image).find(mark)
        self.assertGreater(where, 0)

        def put(byte):
            with open(image, "r+b") as f:
                f.seek(where)
                f.write(byte)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        put(bytes([mark[0] ^ 0xff]))
        self.assertNotEqual(self.read(path)[1 << 20:][:64], mark)  # now it is cached
        put(mark[:1])
        self.assertNotEqual(self.read(path)[1 << 20:][:64], mark)  # still
        daemon = self.ready(config)
        self.assertRegex(daemon.status(), "^Ready: 1 file")
        self.assertEqual(self.read(self.mirrored("model"))[1 << 20:][:64], mark)
        self.assertNotIn("withheld", daemon.log())
        daemon.stop()

    def test_a_damaged_manifest_is_reported_and_everything_is_staged_again(self):
        seed = random.randrange(1 << 32)
        print("seed %d" % seed, flush=True)
        rng = random.Random(seed)
        self.tree()
        self.ready().stop()
        path = os.path.join(self.state, "m.xxh128")
        good = self.read(path)
        line = good.index(b"\n# file ") + 1
        damaged = {
            "empty": b"",
            "not ours": b"hello\n",
            "noise": rng.randbytes(10_000),
            "cut": good[:rng.randrange(30, len(good) - 7)],
            "no end": good.replace(b"# end\n", b""),
            "bad number": good[:line] + good[line:].replace(b"# file ", b"# file x", 1),
            "bad type": good[:line] + good[line:].replace(b"# file ", b"# fike ", 1),
            "absolute": re.sub(rb" (a\.gguf -\n)", rb" /\1", good, 1),
            "zero byte": good.replace(b"a.gguf -", b"a.\0guf -", 1),
            "long line": good.replace(b"# end\n", b"# " + b"x" * 1_000_000 + b"\n# end\n"),
        }
        for what, content in damaged.items():
            with self.subTest(what):
                self.assertNotEqual(content, good)
                with open(path, "wb") as f:
                    f.write(content)
                daemon = self.ready()
                self.assertRegex(daemon.log(), r"(?m)^Warning: Discarded the digests of mirror 'm' because 'm\.xxh128' in the state directory is damaged at line \d+")
                self.assertRegex(daemon.status(), "^Ready: 4 files")
                for name in ("a.gguf", "d/b.gguf", "d/e/c.gguf", "empty"):
                    self.assert_same_file(name)
                self.assertEqual(self.xxh128sum().returncode, 0)
                daemon.stop()
                self.assert_gone()

    def test_a_path_that_leads_out_of_the_mirror_is_damage(self):
        self.tree()
        daemon = self.ready(self.config(RemoveOnStop="no"))
        daemon.stop()
        self.write("victim", b"precious", root=self.work)
        path = os.path.join(self.state, "m.xxh128")
        content = self.read(path).decode()
        self.assertIn(" a.gguf -", content)
        with open(path, "w") as f:
            f.write(content.replace(" a.gguf -", " ../victim -"))
        daemon = self.ready()
        daemon.signal(15)
        daemon.join()
        self.assertEqual(self.read(self.path("victim")), b"precious")

    def test_a_lost_manifest_costs_only_the_memory(self):
        self.tree()
        self.ready().stop()
        os.unlink(os.path.join(self.state, "m.xxh128"))
        daemon = self.ready()
        self.assertNotIn("damaged", daemon.log())
        self.assertEqual(len(self.sums()), 4)
        daemon.stop()

    def test_files_gone_from_the_source_are_forgotten(self):
        self.tree()
        self.ready().stop()
        os.unlink(os.path.join(self.source, "a.gguf"))
        self.ready().stop()
        self.assertNotIn("a.gguf", self.manifest())


class User(harness.Case):
    """Run by a user that may neither mount nor change owners."""

    def setUp(self):
        super().setUp()
        self.program = self.path("shmstaged")
        shutil.copy(harness.DAEMON, self.program)
        os.chmod(self.program, 0o755)
        self.write("d/f", b"content")
        self.write("large", size=3 << 20)
        for name in ("d", "d/f", "large"):
            os.chown(os.path.join(self.source, name), 1234, 1234)
        os.mkdir(self.target)
        os.chown(self.target, 65534, 65534)
        self.home = self.path("home")
        os.mkdir(self.home)
        os.chown(self.home, 65534, 65534)

    def as_user(self, **environment):
        program, harness.DAEMON = harness.DAEMON, self.program
        try:
            return self.daemon(self.config(Size="100M"), user=65534, env={"STATE_DIRECTORY": "", "HOME": self.home, **environment})
        finally:
            harness.DAEMON = program

    def one_run(self, daemon, state):
        daemon.wait_ready()
        for name in ("d/f", "large"):
            self.assertEqual(self.read(self.mirrored(name)), self.read(os.path.join(self.source, name)))
            self.assertEqual(os.stat(self.mirrored(name)).st_uid, 65534)
            self.assertEqual(os.stat(self.mirrored(name)).st_mtime_ns, os.stat(os.path.join(self.source, name)).st_mtime_ns)
        self.assertIn("a directory of a shared tmpfs", daemon.log())
        self.assertFalse(os.path.ismount(self.target))
        path = os.path.join(state, "m.xxh128")
        self.assertEqual(os.stat(path).st_uid, 65534)
        self.assertEqual(subprocess.run(["xxh128sum", "-c", "--quiet", path], cwd=self.target, capture_output=True).returncode, 0)
        daemon.stop()
        self.assertEqual(os.listdir(self.target), [])

    def test_the_state_is_kept_in_the_xdg_state_directory(self):
        state = os.path.join(self.home, "elsewhere")
        self.one_run(self.as_user(XDG_STATE_HOME=state), os.path.join(state, "shmstaged"))

    def test_without_xdg_state_home_it_is_below_the_home_directory(self):
        state = os.path.join(self.home, ".local/state/shmstaged")
        self.one_run(self.as_user(XDG_STATE_HOME=""), state)
        self.one_run(self.as_user(XDG_STATE_HOME=""), state)

    def test_the_records_of_an_ordinary_user_find_corruption(self):
        state = os.path.join(self.home, ".local/state/shmstaged")
        self.one_run(self.as_user(XDG_STATE_HOME=""), state)
        self.rot(os.path.join(self.source, "large"), 1000)
        daemon = self.as_user(XDG_STATE_HOME="").wait_ready()
        self.assertRegex(daemon.status(), "^Degraded: 1 file")
        daemon.stop()
        self.assertEqual(os.listdir(self.target), [])


if __name__ == "__main__":
    harness.main()
