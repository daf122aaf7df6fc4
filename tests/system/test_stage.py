# SPDX-License-Identifier: GPL-2.0-or-later
"""What is staged, how faithfully, and what it costs."""

import fcntl
import hashlib
import os
import platform
import pty
import random
import re
import select
import socket
import stat
import struct
import subprocess
import termios
import threading
import time

import harness

CHUNK = 64 << 10


class Stage(harness.Case):
    def test_a_tree_is_mirrored_verified_and_removed(self):
        self.write("a/model.gguf", size=40 << 20)
        self.write("b.json", b"{}")
        daemon = self.ready()
        self.assert_same_file("a/model.gguf")
        self.assert_same_file("b.json")
        self.assertEqual(self.xxh128sum().returncode, 0)
        daemon.stop()
        self.assert_gone()
        self.assertTrue(os.path.exists(os.path.join(self.source, "b.json")))

    def test_owner_mode_and_nanoseconds_are_kept_of_files_and_directories(self):
        self.write("d/e/f", b"x")
        self.write("root-only", b"y")
        os.chmod(os.path.join(self.source, "root-only"), 0o400)
        os.chown(os.path.join(self.source, "d/e/f"), 1234, 5678)
        os.chmod(os.path.join(self.source, "d/e/f"), 0o640)
        os.chown(os.path.join(self.source, "d/e"), 4321, 8765)
        os.chmod(os.path.join(self.source, "d/e"), 0o510)
        os.symlink("e/f", os.path.join(self.source, "d/l"))
        os.chown(os.path.join(self.source, "d/l"), 11, 12, follow_symlinks=False)
        for name, nsec in (("d/e/f", 1_600_000_000_123_456_789), ("root-only", 1), ("d/e", 999_999_999),
                           ("d/l", 1_500_000_000_987_654_321), ("d", 2_000_000_000_000_000_001)):
            os.utime(os.path.join(self.source, name), ns=(0, nsec), follow_symlinks=False)
        daemon = self.ready()
        for name in ("d/e/f", "root-only"):
            self.assert_same_file(name)
        for name in ("d", "d/e", "d/l"):
            a, b = os.lstat(os.path.join(self.source, name)), os.lstat(self.mirrored(name))
            self.assertEqual((a.st_mode, a.st_uid, a.st_gid, a.st_mtime_ns), (b.st_mode, b.st_uid, b.st_gid, b.st_mtime_ns), name)
        daemon.stop()
        self.assert_gone()

    def test_user_xattrs_are_kept_and_others_are_not(self):
        source = self.disk()
        path = self.write("f", b"x", root=source)
        os.setxattr(path, "user.checksum", b"a\0b")
        os.setxattr(path, "user.empty", b"")
        os.setxattr(path, "trusted.secret", b"no")
        daemon = self.ready(self.config(Source=source))
        if tuple(int(n) for n in platform.release().split(".")[:2]) >= (6, 6):
            self.assertEqual(sorted(os.listxattr(self.mirrored("f"))), ["user.checksum", "user.empty"])
            self.assertEqual(os.getxattr(self.mirrored("f"), "user.checksum"), b"a\0b")
        else:
            self.assertIn("does not support user xattrs", daemon.log())
        daemon.stop()

    def test_names_that_share_an_inode_share_one_in_the_mirror(self):
        first = self.write("z", size=3 * CHUNK)
        os.makedirs(os.path.join(self.source, "a/b"))
        os.link(first, os.path.join(self.source, "a/b/c"))
        os.link(first, os.path.join(self.source, "m"))
        self.write("alone", self.read(first))
        daemon = self.ready()
        self.assertEqual(len({self.inode(n) for n in ("z", "a/b/c", "m")}), 1)
        self.assertEqual(os.stat(self.mirrored("z")).st_nlink, 3)
        self.assertNotEqual(self.inode("z"), self.inode("alone"))
        self.assert_same_file("a/b/c")
        self.assertEqual(self.xxh128sum().returncode, 0)
        daemon.stop()
        self.assert_gone()

    def test_a_name_whose_other_names_are_excluded_is_a_file_of_its_own(self):
        first = self.write("a.bin", b"content")
        os.link(first, os.path.join(self.source, "b.bin"))
        daemon = self.ready(self.config(Exclude="a.bin"))
        self.assertEqual(self.names(), {"b.bin"})
        self.assert_same_file("b.bin")
        daemon.stop()

    def test_links_inside_the_tree_are_kept_and_absolute_ones_become_relative(self):
        self.write("blobs/one", b"1")
        os.makedirs(os.path.join(self.source, "snap/x"))
        links = {"snap/x/rel": "../../blobs/one", "snap/dir": "x", "dangling": "blobs/none", "self": "."}
        for name, text in links.items():
            os.symlink(text, os.path.join(self.source, name))
        os.symlink(os.path.join(self.source, "blobs/one"), os.path.join(self.source, "snap/x/abs"))
        os.symlink(self.source, os.path.join(self.source, "snap/root"))
        daemon = self.ready()
        for name, text in links.items():
            self.assertEqual(os.readlink(self.mirrored(name)), text)
        for name, leads_to in (("snap/x/abs", "blobs/one"), ("snap/root", "")):
            self.assertFalse(os.readlink(self.mirrored(name)).startswith("/"), name)
            self.assertEqual(os.path.realpath(self.mirrored(name)), os.path.realpath(self.mirrored(leads_to)))
        self.assertNotIn("Skipped", daemon.log())
        daemon.stop()
        self.assert_gone()

    def test_a_link_that_leads_out_is_reported_and_never_followed(self):
        os.mkdir(self.path("outside"))
        self.write("secret", b"secret", root=self.path("outside"))
        self.write("in", b"1")
        os.mkdir(os.path.join(self.source, "d"))
        links = {"up": "../outside/secret", "absolute": self.path("outside/secret"), "directory": self.path("outside"),
                 "d/far": "../../../../../../../etc/passwd", "next-door": self.source + "-not/x", "root": "/"}
        for name, text in links.items():
            os.symlink(text, os.path.join(self.source, name))
        os.symlink("up", os.path.join(self.source, "chain"))
        os.symlink("directory/secret", os.path.join(self.source, "through"))
        daemon = self.ready()
        self.assertEqual(self.names(), {"in", "d"})
        for name in (*links, "chain", "through"):
            self.assertRegex(daemon.log(), r"Left out '%s': it is a symbolic link that points outside the source" % re.escape(
                os.path.join(self.source, name)))
        daemon.stop()

    def test_devices_fifos_and_sockets_are_skipped_and_reported(self):
        self.write("good", b"1")
        os.mkfifo(os.path.join(self.source, "fifo"))
        os.mknod(os.path.join(self.source, "null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(os.path.join(self.source, "disk"), stat.S_IFBLK | 0o666, os.makedev(7, 0))
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(os.path.join(self.source, "socket"))
        daemon = self.ready()
        self.assertEqual(self.names(), {"good"})
        for name in ("fifo", "null", "disk", "socket"):
            self.assertEqual(daemon.log().count("Left out '%s': it is a device, pipe or socket" % os.path.join(self.source, name)), 1)
        daemon.stop()

    def test_set_id_bits_of_files_and_capabilities_are_not_carried(self):
        source = self.disk()
        for name, mode in (("suid", 0o4755), ("sgid", 0o2711), ("both", 0o6777), ("capable", 0o755)):
            os.chmod(self.write(name, b"#!/bin/sh\n", root=source), mode)
        # VFS_CAP_REVISION_2 with the effective bit, CAP_NET_RAW permitted
        os.setxattr(os.path.join(source, "capable"), "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0))
        os.mkdir(os.path.join(source, "sticky"))
        os.chmod(os.path.join(source, "sticky"), 0o3777)
        daemon = self.ready(self.config(Source=source))
        modes = {n: stat.S_IMODE(os.lstat(self.mirrored(n)).st_mode) for n in self.names()}
        self.assertEqual(modes, {"suid": 0o755, "sgid": 0o711, "both": 0o777, "capable": 0o755, "sticky": 0o3777})
        self.assertNotIn("security.capability", os.listxattr(self.mirrored("capable")))
        daemon.stop()

    def test_sparse_files_stay_sparse(self):
        files = {
            "middle": (200 << 20, (100 << 20, 5000), (150 << 20, 4096)),
            "ends": (70 << 20, (0, 1), ((70 << 20) - 1, 1)),
            "nothing": (90 << 20,),
            "hole-at-the-end": ((1 << 20) + 77, (0, 8192)),
        }
        for name, (size, *pieces) in files.items():
            path = self.write(name, b"")
            os.truncate(path, size)
            with open(path, "r+b") as f:
                for offset, length in pieces:
                    f.seek(offset)
                    f.write(os.urandom(length))
        for pages in ("never", "within_size"):
            daemon = self.ready(self.config(HugePages=pages, Size="64M"))
            for name, (size, *pieces) in files.items():
                self.assert_same_file(name)
                # the kernel gives data that reaches the end of a 2 MiB stretch all of it, if it may
                extra = len(pieces) * 4096 if pages == "within_size" else 0
                a, b = os.stat(os.path.join(self.source, name)), os.stat(self.mirrored(name))
                self.assertLessEqual(b.st_blocks, a.st_blocks + extra, name)
                self.assertEqual(self.digest(self.mirrored(name)), self.digest(os.path.join(self.source, name)))
            self.assertEqual(self.xxh128sum().returncode, 0)
            daemon.stop()
            self.assert_gone()

    def test_files_of_every_size_around_a_chunk(self):
        sizes = [0, 1, 4095, 4096, 4097, *(n * CHUNK + d for n in (1, 2, 3, 9, 17) for d in (-1, 0, 1))]
        for size in sizes:
            self.write("f%d" % size, size=size)
        daemon = self.ready(self.config(ChunkSize="64K"))
        for size in sizes:
            self.assert_same_file("f%d" % size)
        self.assertEqual(self.xxh128sum().returncode, 0)
        daemon.stop()
        self.assert_gone()

    def test_a_byte_less_and_a_byte_more_than_the_default_chunk(self):
        names = ["d%+d" % d for d in (-1, 0, 1)]
        for name in names:
            self.write(name, size=(16 << 20) + int(name[1:]))
        daemon = self.ready()
        for name in names:
            self.assert_same_file(name)
        daemon.stop()

    def test_any_name_the_kernel_allows_is_staged_remembered_and_removed(self):
        names = [b"new\nline", b"\xff\xfe invalid \xc3", b"n" * 255, b"\xf0\x9f\xa6\x99" * 63 + b"abc", b" lead", b"trail ", b"  ",
                 b"back\\slash", b"\\", b"\\x41", b"#hash", b"*", b"?", b"tab\t", b"return\r", b"'quote'", b'"', b"-rf", b"%s%n",
                 b"\x1b[31mred", b"\x7f", b"caf\xc3\xa9", b"-", b"d x/\n/\xff", b"=", b"a  b"]
        for name in names:
            self.write(os.fsdecode(name), b"content of " + name)
        config = self.config(RemoveOnStop="no")
        daemon = self.ready(config)
        found = {os.fsencode(n) for n in self.names()}
        self.assertEqual(found, {*names, b"d x", b"d x/\n"})
        inodes = {}
        for name in names:
            self.assert_same_file(os.fsdecode(name))
            inodes[name] = self.inode(os.fsdecode(name))
        self.assertEqual(self.xxh128sum().returncode, 0, self.xxh128sum().stderr)
        self.assertNotIn("\x1b", daemon.log())
        daemon.stop()
        daemon = self.ready()
        self.assertEqual({name: self.inode(os.fsdecode(name)) for name in names}, inodes)
        self.assertNotIn("withheld", daemon.log())
        daemon.stop()
        self.assert_gone()

    def test_deep_directories_are_staged(self):
        deep = "/".join(["directory-%03d" % i for i in range(280)])  # just below the longest path a program can name
        self.write("top", b"1")
        at = os.open(self.source, os.O_RDONLY)
        for part in deep.split("/"):
            os.mkdir(part, dir_fd=at)
            below = os.open(part, os.O_RDONLY, dir_fd=at)
            os.close(at)
            at = below
        with open(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=at), "wb") as f:
            f.write(b"deep")
        os.close(at)
        daemon = self.ready()
        os.chdir(self.target)
        self.addCleanup(os.chdir, "/")
        self.assertEqual(self.read(deep + "/leaf"), b"deep")
        os.chdir("/")
        daemon.stop()
        self.assert_gone()

    def test_a_tree_too_deep_for_path_names_is_reported_and_the_others_are_staged(self):
        self.write("top", b"1")
        at = os.open(self.source, os.O_RDONLY)
        for i in range(40):
            os.mkdir("d" * 200, dir_fd=at)
            below = os.open("d" * 200, os.O_RDONLY, dir_fd=at)
            os.close(at)
            at = below
        with open(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=at), "wb") as f:
            f.write(b"deep")
        os.close(at)
        daemon = self.ready()
        self.assert_same_file("top")
        self.assertRegex(daemon.log(), "File name too long")
        daemon.wait_status("^Degraded")
        daemon.stop()
        self.assert_gone()

    def test_several_mirrors_are_ready_together(self):
        text = ""
        for name in ("one", "two", "three"):
            self.write("data", size=5 << 20, root=self.path("s-" + name))
            text += "[Mirror %s]\nSource=%s\nTarget=%s\nSize=100M\n" % (name, self.path("s-" + name), self.path("t-" + name))
        daemon = self.ready(self.config(text))
        for name in ("one", "two", "three"):
            self.assertEqual(self.read(self.path("t-" + name, "data")), self.read(self.path("s-" + name, "data")))
            self.assertTrue(os.path.exists(os.path.join(self.state, name + ".xxh128")))
        self.assertRegex(daemon.status(), r"^Ready: 3 files, 15M in RAM, verified")
        daemon.stop()
        for name in ("one", "two", "three"):
            self.assertFalse(os.path.ismount(self.path("t-" + name)))

    def test_include_and_exclude_choose(self):
        for name in ("a.gguf", "b.txt", "x/c.gguf", "x/d.txt", "y/e.gguf", "y/cache/f.gguf", "z/only.txt"):
            self.write(name, name)
        daemon = self.ready(self.config(Include="*.gguf x/d.txt", Exclude="cache b*"))
        self.assertEqual(self.names(), {"a.gguf", "x", "x/c.gguf", "x/d.txt", "y", "y/e.gguf"})
        daemon.stop()
        daemon = self.ready(self.config(Exclude="y/*"))
        self.assertEqual(self.names(), {"a.gguf", "b.txt", "x", "x/c.gguf", "x/d.txt", "y", "z", "z/only.txt"})
        daemon.stop()
        self.assert_gone()

    def test_priority_decides_what_appears_first(self):
        for name in ("a.bin", "b.bin", "z.gguf", "y.gguf", "second.txt", "c.bin"):
            self.write(name, size=CHUNK * 5)
        config = self.config(Priority="*.gguf second*", ChunkSize="64K")
        with open(config, "a") as f:
            f.write("[Daemon]\nWorkers=1\n")
        watch = self.watched_target()
        daemon = self.ready(config)
        order = [os.path.relpath(path, self.target) for mask, path in watch.read()
                 if mask & watch.MOVED_TO and not mask & watch.ISDIR]
        self.assertEqual(order, ["y.gguf", "z.gguf", "second.txt", "a.bin", "b.bin", "c.bin"])
        daemon.stop()

    def watched_target(self):
        """Mounts the target before the daemon does, so that it can be watched from the beginning."""
        os.mkdir(self.target)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "none", self.target], check=True)
        watch = harness.Inotify()
        self.addCleanup(watch.close)
        watch.add(self.target)
        return watch

    def test_a_name_in_the_mirror_is_whole_and_comes_by_rename(self):
        seed = random.randrange(1 << 32)
        print("seed %d" % seed, flush=True)
        rng = random.Random(seed)
        expected = {}
        for i in range(300):
            name = "%s%03d" % (rng.choice(["", "d/", "d/e/"]), i)
            path = self.write(name, size=rng.choice([0, 5, 1000, CHUNK, 3 * CHUNK + 1, 1 << 20]))
            os.chmod(path, rng.choice([0o600, 0o644]))
            os.utime(path, ns=(0, rng.randrange(10 ** 18)))
            st = os.stat(path)
            expected[name] = (hashlib.sha1(self.read(path)).digest(), st.st_size, st.st_mode, st.st_mtime_ns)
        watch = self.watched_target()
        done, problems, seen = threading.Event(), [], set()

        def inspect(path):
            """Whatever has a name has its content, mode and time at that moment."""
            name = os.path.relpath(path, self.target)
            with open(path, "rb") as f:
                st = os.fstat(f.fileno())
                if (hashlib.sha1(f.read()).digest(), st.st_size, st.st_mode, st.st_mtime_ns) != expected[name]:
                    problems.append("%s is not whole" % name)
            seen.add(name)

        def watch_all():
            last = False
            while not last and not problems:
                last = done.is_set()
                for directory, directories, files in os.walk(self.target):
                    if directory == self.target and ".shmstaged" in directories:
                        directories.remove(".shmstaged")
                    for name in files:
                        if os.path.relpath(os.path.join(directory, name), self.target) not in seen:
                            inspect(os.path.join(directory, name))
        thread = threading.Thread(target=watch_all)
        thread.start()
        try:
            self.ready(self.config(ChunkSize="64K"))
        finally:
            done.set()
            thread.join(60)
        self.assertEqual(problems, [])
        self.assertEqual(seen, set(expected))
        events = watch.read()
        names = {path for mask, path in events if mask & watch.MOVED_TO}
        self.assertEqual(names, {self.mirrored(n) for n in os.listdir(self.target) if n != ".shmstaged"})
        made = watch.CREATE | watch.MODIFY | watch.CLOSE_WRITE
        self.assertEqual([(hex(m), p) for m, p in events if m & made and not m & watch.ISDIR], [])


class Progress(harness.Case):
    def test_status_shows_percent_bytes_rate_time_left_and_the_file(self):
        self.write("big.bin", size=60 << 20)
        slow, _ = self.bindfs(self.source, "--read-rate=15M")
        daemon = self.ready(self.config(Source=slow, ChunkSize="4M"))
        lines = [s for s in daemon.statuses() if s.startswith("Staging: ")]
        full = [re.fullmatch(r"Staging: (\d+)% \(([\d.]+)M of 60M, ([\d.]+)M/s, [\d.]+m?s left\): big\.bin", s) for s in lines]
        percents = [int(m.group(1)) for m in full if m]
        self.assertGreaterEqual(len(set(percents)), 2, lines)
        self.assertEqual(percents, sorted(percents))
        for m in full:
            if m and float(m.group(2)) > 20:
                self.assertAlmostEqual(float(m.group(2)) / 60 * 100, int(m.group(1)), delta=2)
        self.assertRegex(daemon.status(), r"^Ready: 1 file .1 model., 60M in RAM, verified")
        daemon.stop()

    def run_on_terminal(self, config, width, seconds=60):
        """Runs the daemon on a terminal until it reports that it is ready; all that it wrote."""
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        environment = dict(os.environ, STATE_DIRECTORY=self.state, TERM="xterm")
        for name in ("NOTIFY_SOCKET", "INVOCATION_ID", "JOURNAL_STREAM"):
            environment.pop(name, None)
        process = subprocess.Popen([harness.DAEMON, "--config=" + config], env=environment, stdin=slave, stdout=slave, stderr=slave,
                                   start_new_session=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        os.close(slave)
        output, end = b"", time.monotonic() + seconds * harness.LONG
        stopped = False
        while time.monotonic() < end:
            if select.select([master], [], [], 0.1)[0]:
                try:
                    output += os.read(master, 65536)
                except OSError:  # the other side is closed
                    break
            if not stopped and b"\r\x1b[KReady" in output:
                process.terminate()
                stopped = True
        self.assertEqual(process.wait(10 * harness.LONG), 0, output)
        return output

    def test_on_a_terminal_a_bar_grows_and_nothing_is_garbled(self):
        self.write("\x1b[31mred\n.bin", size=60 << 20)
        slow, _ = self.bindfs(self.source, "--read-rate=20M")
        output = self.run_on_terminal(self.config(Source=slow, ChunkSize="4M"), 100).decode()
        self.assertEqual(re.findall(r"[\x00-\x1f]", re.sub(r"\r\x1b\[K|\r\n", "", output)), [])
        draws = [d.split("\r\n")[0] for d in output.split("\r\x1b[K")]
        bars = [re.match(r"\[(#*)(\.*)\] Staging: (\d+)%", d) for d in draws]
        bars = [b for b in bars if b]
        self.assertGreaterEqual(len(bars), 4, draws)
        cells = [len(b.group(1)) for b in bars]
        self.assertEqual(cells, sorted(cells))
        self.assertGreater(cells[-1], cells[0])
        for b in bars:
            self.assertEqual(len(b.group(1) + b.group(2)), 20)
            self.assertEqual(len(b.group(1)), int(b.group(3)) * 20 // 100)
        for d in draws:
            self.assertTrue(len(d) < 100 or not re.match(r"\[|Ready|Removing", d), d)
        screen = self.screen(output)
        for line in screen:
            self.assertNotRegex(line, r"\[[#.]{20}\]|^Ready: ", screen)
        self.assertEqual(screen[-1], "")

    def screen(self, output):
        """The lines that stay on the terminal."""
        lines = [""]
        for piece in re.split(r"(\r\x1b\[K|\r\n)", output):
            if piece == "\r\n":
                lines.append("")
            elif piece == "\r\x1b[K":
                lines[-1] = ""
            else:
                lines[-1] += piece
        return lines

    def test_a_narrow_terminal_is_not_overrun(self):
        self.write("a-file-with-a-rather-long-name-é-é-é-é-é-é.bin", size=20 << 20)
        slow, _ = self.bindfs(self.source, "--read-rate=20M")
        output = self.run_on_terminal(self.config(Source=slow, ChunkSize="4M"), 30).decode()
        draws = [d for d in re.split(r"\r\x1b\[K", output)[1:] if "\r\n" not in d]
        self.assertTrue(any(d.startswith("Staging: ") for d in draws), draws)
        for d in draws:
            self.assertLess(len(d), 30, d)

    def test_the_share_of_2_mib_pages_is_reported(self):
        self.write("big", size=64 << 20)
        daemon = self.ready(self.config(HugePages="always"))
        share = re.search(r"; 2 MiB pages: (\d+)%", daemon.status())
        self.assertTrue(share, daemon.status())
        if "huge=always" in self.read("/proc/self/mountinfo").decode():
            self.assertGreaterEqual(int(share.group(1)), 90)
        daemon.stop()
        daemon = self.ready(self.config(HugePages="never"))
        self.assertIn("; 2 MiB pages: 0%", daemon.status())
        daemon.stop()


class Cost(harness.Case):
    def test_100000_small_files(self):
        n = 20_000 if harness.is_sanitized(harness.DAEMON) else 100_000
        for i in range(n):
            if i % 1000 == 0:
                os.mkdir(os.path.join(self.source, "%03d" % (i // 1000)))
            with open(os.path.join(self.source, "%03d/%05d" % (i // 1000, i)), "wb") as f:
                f.write(b"%d\n" % i * 3)
        begun = time.monotonic()
        daemon = self.daemon()
        daemon.wait_ready(90)
        took = time.monotonic() - begun
        self.assertEqual(len(self.names()), n + n // 1000)
        self.assertRegex(daemon.status(), r"^Ready: %d files" % n)
        self.assertEqual(self.xxh128sum().returncode, 0)
        begun = time.monotonic()
        daemon.stop()
        print("%d files: staged in %.1f s, removed in %.1f s" % (n, took, time.monotonic() - begun), flush=True)
        self.assert_gone()

    def test_memory_does_not_grow_with_the_bytes(self):
        block = os.urandom(1 << 20)
        with open(os.path.join(self.source, "big"), "wb") as f:
            for i in range(1024):
                f.write(struct.pack("<Q", i) + block[8:])
        daemon = self.ready(self.config(Size="1100M"), measured=True)
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", self.read("/proc/%d/status" % daemon.pid).decode()).group(1))
        print("VmHWM %d kB" % peak, flush=True)
        # a sanitizer's own shadow is not ours to bound tightly, but it must not hold the file either
        self.assertLess(peak, 512 << 10 if harness.is_sanitized(harness.DAEMON) else 32 << 10)
        daemon.stop()

    def cached(self, path):
        """Share of the file that is in the page cache."""
        done = subprocess.run(["fincore", "--bytes", "--noheadings", "--output", "RES", path], capture_output=True, text=True, check=True)
        return int(done.stdout) / os.stat(path).st_size

    def test_the_page_cache_is_left_as_it_was(self):
        source = self.disk()
        for name, size in (("cold-large", 80 << 20), ("cold-small", 10 << 20), ("cached-large", 80 << 20), ("cached-small", 10 << 20)):
            path = self.write(name, size=size, root=source)
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)
            if name.startswith("cached"):
                self.read(path)
            self.assertEqual(round(self.cached(path)), int(name.startswith("cached")), name)
        daemon = self.ready(self.config(Source=source))
        after = {name: round(self.cached(os.path.join(source, name)), 3) for name in os.listdir(source)}
        self.assertLess(after["cold-large"], 0.05, after)
        self.assertLess(after["cold-small"], 0.05, after)
        self.assertGreater(after["cached-large"], 0.95, after)
        self.assertGreater(after["cached-small"], 0.95, after)
        daemon.stop()


if __name__ == "__main__":
    harness.main()
