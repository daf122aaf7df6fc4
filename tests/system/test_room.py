# SPDX-License-Identifier: GPL-2.0-or-later
"""What does not fit: known before the first byte, reported with numbers, and left out as configured."""

import os
import re
import signal
import subprocess
import time

import harness

MIB = 1 << 20


class Group:
    """A memory control group with a limit, of whichever version the machine has."""

    def __init__(self, limit):
        name = "shmstaged-test-%d" % os.getpid()
        if os.path.isdir("/sys/fs/cgroup/memory"):
            self.path, file = "/sys/fs/cgroup/memory/" + name, "memory.limit_in_bytes"
        else:
            self.path, file = "/sys/fs/cgroup/" + name, "memory.max"
            with open("/sys/fs/cgroup/cgroup.subtree_control", "w") as f:
                f.write("+memory")
        os.mkdir(self.path)
        with open(os.path.join(self.path, file), "w") as f:
            f.write(str(limit))

    def wrapper(self):
        """Runs what follows it inside."""
        return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', self.path]

    def remove(self):
        end = time.monotonic() + 30 * harness.LONG
        while time.monotonic() < end:
            try:
                os.rmdir(self.path)
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("%s cannot be removed" % self.path)


class Room(harness.Case):
    def files(self, root=None):
        """The names of all files in the mirror (or the source)."""
        root = root or self.target
        return sorted(os.path.relpath(os.path.join(d, n), root) for d, dirs, files in os.walk(root) for n in files
                      if not os.path.relpath(d, root).startswith(".shmstaged"))

    def refused(self, config, **options):
        daemon = self.daemon(config, **options)
        self.assertEqual(daemon.join(), 1, daemon.log())
        self.assertFalse(daemon.notified("READY"))
        self.assertNotRegex(daemon.log(), "Sanitizer|runtime error")
        return daemon

    def shortage(self, text):
        found = re.search(r"short by (\d+) bytes", text)
        self.assertTrue(found, text)
        return int(found[1])

    def plan(self, config, expect, wrapper=()):
        done = subprocess.run([*wrapper, harness.DAEMON, "--config=" + config, "--plan"], capture_output=True, text=True,
                              env=dict(os.environ, STATE_DIRECTORY=self.state))
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done.stdout


class Plan(Room):
    def test_a_source_that_fits_is_reported_so(self):
        self.write("a", size=3 * MIB)
        self.write("b", size=1)
        text = self.plan(self.config(Size="8M"), 0)
        self.assertRegex(text, r"need: +%d bytes" % (3 * MIB + 4096))
        self.assertRegex(text, r"available: .* limited by Size=")
        self.assertIn("It fits", text)
        self.assertRegex(text, r"stage +3M +a\n")
        self.assertFalse(os.path.exists(self.target), "a plan changes nothing")
        self.assertEqual(os.listdir(self.state), [])

    def test_plan_and_daemon_are_short_of_the_same_number_of_bytes(self):
        for size in ("8M", "8388609", "1M", "5000000"):
            with self.subTest(size):
                self.write("a", size=5 * MIB + 7)
                self.write("sub/b", size=7 * MIB)
                config = self.config(Size=size)
                planned = self.plan(config, 1)
                refused = self.refused(config)
                self.assertEqual(self.shortage(planned), self.shortage(refused.log()))
                self.assertEqual(self.shortage(planned), self.shortage(refused.status()))

    def test_the_shortage_in_the_plan_would_be_enough(self):
        """To the byte: with so much more it fits, with a page less it does not."""
        self.write("a", size=5 * MIB + 7)
        self.write("b", size=7 * MIB)
        short = self.shortage(self.plan(self.config(Size="8M"), 1))
        enough = 8 * MIB + short
        self.plan(self.config(Size=str(enough - 4096)), 1)
        self.refused(self.config(Size=str(enough - 4096)))
        config = self.config(Size=str(enough))
        self.plan(config, 0)
        self.ready(config).stop()

    def test_it_is_enough_with_huge_pages_for_everything_too(self):
        """The kernel gives each small file 2 MiB then, and takes them back when they are needed."""
        for i in range(30):
            self.write("f%d" % i, size=MIB // 2)
        for pages in ("always", "within_size", "never"):
            with self.subTest(pages):
                short = self.shortage(self.plan(self.config(Size="4M", HugePages=pages), 1))
                self.assertEqual(short, self.shortage(self.refused(self.config(Size="4M", HugePages=pages)).status()))
                self.ready(self.config(Size=str(4 * MIB + short), HugePages=pages)).stop()
                self.assert_gone()

    def test_several_mirrors_are_planned_together(self):
        other = self.path("other")
        self.write("a", size=3 * MIB)
        self.write("b", size=3 * MIB, root=other)
        text = "[Mirror m]\nSource=%s\nTarget=%s\nSize=8M\n[Mirror n]\nSource=%s\nTarget=%s\nSize=%%s\n" % (
            self.source, self.target, other, self.path("target-2"))
        self.assertEqual(self.plan(self.config(text % "8M"), 0).count("It fits"), 2)
        planned = self.plan(self.config(text % "1M"), 1)
        self.assertEqual(planned.count("It fits"), 1)
        self.assertIn("Insufficient space", planned)
        # the one that would fit is not begun either: it is known before the first byte
        daemon = self.refused(self.config(text % "1M"))
        self.assertNotIn("is ready", daemon.log())
        self.assertFalse([s for s in daemon.statuses() if s.startswith("Staging")])
        self.assertFalse(os.path.exists(self.target))
        self.assertFalse(os.path.exists(self.path("target-2")))

    def test_an_impossible_plan_is_reported(self):
        os.rmdir(self.source)
        done = self.run_tool("--plan", config=self.config(), expect=1)
        self.assertIn("'%s'" % self.source, done.stderr)


class Fail(Room):
    def test_nothing_is_staged_and_status_names_bytes_and_files(self):
        for name in "abc":
            self.write(name, size=3 * MIB)
        os.mkdir(self.target)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "none", self.target], check=True)
        seen = set()
        daemon = self.daemon(self.config())
        while daemon.process.poll() is None:
            seen.update(os.listdir(self.target))
            daemon.pump(0.001)
        self.assertEqual(daemon.join(), 1)
        self.assertLessEqual(seen, {".shmstaged"})
        self.assertEqual(os.listdir(self.target), [])
        self.assertRegex(daemon.status(), r"^Failed: Insufficient space for mirror 'm': need 9M, available \S+ \(short by \d+ bytes, .*; nothing is staged")
        self.assertIn("without 'c' it would fit", daemon.status())
        self.assertEqual(daemon.log().count("Insufficient space"), 1)

    def test_a_file_that_outgrows_its_room_later_is_reported_and_the_others_stay(self):
        self.write("a", size=3 * MIB)
        daemon = self.ready(self.config(Size="8M"))
        self.write("big", size=9 * MIB)
        daemon.wait_status(r"^Degraded: .*Insufficient space .* \(short by \d+ bytes")
        self.assertNotIn("nothing is staged", daemon.status())
        self.assertIn("'big'", daemon.status())
        self.assertEqual(self.files(), ["a"])
        os.unlink(os.path.join(self.source, "big"))
        daemon.wait_status(r"^Ready: 1 file")
        self.assertEqual(daemon.log().count("Insufficient space"), 1)
        daemon.stop()
        self.assert_gone()


class Skip(Room):
    def test_by_priority_with_shard_sets_whole(self):
        for i in (1, 2, 3):
            self.write("big-0000%d-of-00003.gguf" % i, size=2 * MIB)
        self.write("aaa", size=2 * MIB)
        self.write("small-1", size=MIB)
        self.write("want/first", size=4 * MIB)
        daemon = self.ready(self.config(Size="9M", OnNoRoom="skip", Priority="want/* big-*"))
        # first 4M; the set of 6M does not fit whole; then aaa and small-1, in the order of their names
        self.assertEqual(self.files(), ["aaa", "small-1", "want/first"])
        daemon.wait_status(r"^Degraded: 3 files, 7M in RAM, verified.*; 3 not in RAM for lack of space")
        for i in (1, 2, 3):
            self.assertIn("'big-0000%d-of-00003.gguf'" % i, daemon.status())
        self.assertEqual(daemon.log().count("Insufficient space"), 1)
        self.assertEqual(self.xxh128sum().returncode, 0)
        daemon.stop()
        self.assert_gone()

    def test_a_shortage_is_logged_once_although_each_save_changes_the_bytes_that_are_missing(self):
        self.write("a", size=5 * MIB)
        self.write("b", size=5 * MIB)
        daemon = self.ready(self.config(Size="8M", OnNoRoom="skip"))
        before = self.shortage(daemon.status())
        for i in range(3):
            self.write("saved-%d" % i, size=100 << 10, root=self.target)
            daemon.wait_status(r"^Degraded: %d files.*; all saved.*skipped 'b'" % (i + 2))
        daemon.wait(lambda: self.shortage(daemon.status()) != before, "another shortage")
        self.assertEqual(daemon.log().count("Insufficient space"), 1)
        daemon.stop()

    def test_later_room_is_used(self):
        self.write("a", size=5 * MIB)
        self.write("b", size=5 * MIB)
        daemon = self.ready(self.config(Size="8M", OnNoRoom="skip"))
        self.assertEqual(self.files(), ["a"])
        os.unlink(os.path.join(self.source, "a"))
        daemon.wait_status(r"^Ready: 1 file, 5M")
        self.assertEqual(self.files(), ["b"])
        self.assert_same_file("b")
        daemon.stop()
        self.assert_gone()

    def test_too_few_inodes(self):
        for i in range(100):
            self.write("f%03d" % i, b"x")
        os.mkdir(self.target)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M,nr_inodes=40", "none", self.target], check=True)
        daemon = self.ready(self.config(OnNoRoom="skip"))
        self.assertRegex(daemon.log(), r"Insufficient space for mirror 'm': the tmpfs is short by \d+ inodes")
        names = self.files()
        self.assertGreater(len(names), 25)
        self.assertEqual(names, ["f%03d" % i for i in range(len(names))])
        daemon.wait_status(r"%d not in RAM for lack of space" % (100 - len(names)))
        daemon.stop()
        daemon = self.refused(self.config())
        self.assertRegex(daemon.status(), r"the tmpfs is short by \d+ inodes")
        self.assertEqual(os.listdir(self.target), [])


class Link(Room):
    def test_a_link_to_the_disk_takes_the_place_and_the_tree_is_complete(self):
        self.write("sub/big", size=7 * MIB)
        self.write("small", size=MIB)
        daemon = self.ready(self.config(Size="4M", OnNoRoom="link"))
        self.assertEqual(os.readlink(self.mirrored("sub/big")), os.path.join(self.source, "sub/big"))
        self.assertFalse(os.path.islink(self.mirrored("small")))
        self.assertEqual(self.files(), self.files(self.source))
        self.assertEqual(self.read(self.mirrored("sub/big")), self.read(os.path.join(self.source, "sub/big")))
        daemon.wait_status(r"^Degraded: .*linked 'sub/big' to the disk")
        self.assertEqual(self.xxh128sum().returncode, 0)
        daemon.stop()
        self.assert_gone()
        self.assertEqual(os.path.getsize(os.path.join(self.source, "sub/big")), 7 * MIB)

    def test_a_link_takes_the_place_of_what_lost_a_conflict(self):
        """The disk's version is the newer one, and does not fit."""
        self.write("m", size=1 << 20)
        self.write("other", b"x")
        daemon = self.ready(self.config(Size="4M", OnNoRoom="link"))
        daemon.freeze()
        with open(self.mirrored("m"), "wb") as f:
            f.write(b"of the mirror")
        time.sleep(0.1)
        self.write("m", size=6 << 20)
        daemon.signal(signal.SIGCONT)
        self.wait_until(lambda: os.path.islink(self.mirrored("m")), "the link", daemon)
        kept = [os.path.join(directory, name) for directory, _, names in os.walk(os.path.join(self.source, ".shmstaged/conflicts")) for name in names]
        self.assertEqual([self.read(path) for path in kept], [b"of the mirror"])
        daemon.stop()

    def test_later_room_replaces_the_link(self):
        self.write("a", size=5 * MIB)
        self.write("b", size=5 * MIB)
        daemon = self.ready(self.config(Size="8M", OnNoRoom="link"))
        self.assertTrue(os.path.islink(self.mirrored("b")))
        os.unlink(os.path.join(self.source, "a"))
        daemon.wait_status(r"^Ready: 1 file, 5M")
        self.assert_same_file("b")
        daemon.stop()
        self.assert_gone()

    def test_a_crash_in_between_changes_nothing(self):
        self.write("a", size=5 * MIB)
        self.write("b", size=5 * MIB)
        config = self.config(Size="8M", OnNoRoom="link")
        daemon = self.ready(config)
        inode = os.stat(self.mirrored("a")).st_ino
        daemon.kill()
        daemon = self.ready(config)
        self.assertEqual(os.stat(self.mirrored("a")).st_ino, inode)
        self.assertTrue(os.path.islink(self.mirrored("b")))
        daemon.wait_status(r"^Degraded: 1 file, .*; 1 not in RAM for lack of space\. .*linked 'b' to the disk")
        daemon.stop()
        self.assert_gone()


class Memory(Room):
    def test_reserved_memory_is_left_alone(self):
        self.write("a", size=3 * MIB)
        with open("/proc/meminfo") as f:
            total = int(re.search(r"MemTotal: +(\d+)", f.read())[1]) * 1024
        text = "[Daemon]\nReserveMemory=%d\n[Mirror m]\nSource=" + self.source + "\nTarget=" + self.target + "\nSize=1G\n"
        config = self.config(text % total)  # so nothing is left
        planned = self.plan(config, 1)
        self.assertRegex(planned, r"available: +0 bytes .* limited by available memory minus ReserveMemory= \(decisive\)")
        daemon = self.refused(config)
        self.assertRegex(daemon.status(), r"\(short by %d bytes, limited by available memory minus ReserveMemory=\)" % (3 * MIB))
        self.assertEqual(self.shortage(planned), 3 * MIB)
        self.assertIn("lower ReserveMemory=", daemon.status())
        self.assertNotIn("raise Size=", daemon.status())
        self.assertFalse(os.path.exists(self.target))
        self.ready(self.config(text % (total // 100))).stop()
        self.assert_gone()

    def test_the_memory_limit_of_the_control_group_counts(self):
        self.write("a", size=100 * MIB)
        group = Group(80 * MIB)
        self.addCleanup(group.remove)
        self.addCleanup(lambda: [d.close() for d in self.daemons])
        config = self.config()
        self.assertRegex(self.plan(config, 1, group.wrapper()), r"limited by the control group's memory limit \(decisive\)")
        daemon = self.refused(config, wrapper=group.wrapper())
        self.assertRegex(daemon.status(), r"\(short by \d+ bytes, limited by the control group's memory limit\)")
        self.assertGreater(self.shortage(daemon.status()), 20 * MIB)
        self.assertLess(self.shortage(daemon.status()), 100 * MIB)
        self.assertFalse(os.path.exists(self.target))

    def test_within_the_limit_of_the_control_group_all_goes_well(self):
        self.write("a", size=40 * MIB)
        self.write("b", size=220 * MIB)
        group = Group(240 * MIB)  # sanitizers have shadows
        self.addCleanup(group.remove)
        self.addCleanup(lambda: [d.close() for d in self.daemons])
        daemon = self.ready(self.config(OnNoRoom="skip"), wrapper=group.wrapper())
        self.assert_same_file("a")
        self.assertEqual(self.files(), ["a"])
        daemon.stop()
        self.assert_gone()


class InBetween(Room):
    """Changes between the plan and the copy."""

    def slowed(self):
        """The daemon waits before each copy, so that there is time in between."""
        return {"wrapper": ["strace", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-e", "trace=fallocate",
                            "-e", "inject=fallocate:delay_enter=300000"],
                "env": {"ASAN_OPTIONS": "detect_leaks=0"}}

    def test_a_file_that_grew_out_of_its_room_does_not_break_others(self):
        for name in "abcd":
            self.write(name, size=2 * MIB)
        config = self.config("[Daemon]\nWorkers=1\n[Mirror m]\nSource=%s\nTarget=%s\nSize=10M\nOnNoRoom=skip\n" % (self.source, self.target))
        daemon = self.daemon(config, **self.slowed())
        daemon.wait_log(r"Using a tmpfs")
        daemon.wait_status(r"^Staging")
        with open(os.path.join(self.source, "d"), "ab") as f:
            f.write(b"x" * 3 * MIB)
        daemon.wait_ready()
        self.assertEqual(self.files()[:3], ["a", "b", "c"])
        self.assertNotIn("d", self.files())
        daemon.wait_status(r"^Degraded")
        self.assertIn("/d'", daemon.log())
        with open(os.path.join(self.source, "d"), "r+b") as f:
            f.truncate(MIB)
        daemon.wait(lambda: os.path.exists(self.mirrored("d")), "the file, small again")
        daemon.wait_status(r"^Ready")
        self.stop_traced(daemon)
        self.assert_gone()

    def fill(self, on_no_room):
        """The tmpfs is filled by another process while the daemon copies. Returns the daemon."""
        for name in "abcdef":
            self.write(name, size=2 * MIB)
        os.mkdir(self.target)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16M", "none", self.target], check=True)
        config = self.config("[Daemon]\nWorkers=1\n[Mirror m]\nSource=%s\nTarget=%s\nOnNoRoom=%s\nPollInterval=1s\n" % (
            self.source, self.target, on_no_room))
        daemon = self.daemon(config, **self.slowed())
        daemon.wait(lambda: os.path.exists(self.mirrored("a")), "the first file")
        with open(self.mirrored("stranger"), "wb") as f:
            try:
                while True:
                    f.write(bytes(MIB))
                    f.flush()
            except OSError:
                pass
        return daemon

    def test_a_tmpfs_filled_by_another_process_withholds_files_without_room(self):
        daemon = self.fill("skip")
        daemon.wait_ready()
        daemon.wait_status(r"^Degraded")
        self.assertIn("the tmpfs has no room left for it", daemon.log())
        for name in self.files():
            if name != "stranger":
                self.assert_same_file(name)
        self.assertLess(len(self.files()), 7)
        os.unlink(self.mirrored("stranger"))
        daemon.wait(lambda: self.files() == list("abcdef"), "all files, when there is room again", timeout=40)
        daemon.wait_status(r"^Ready: 6 files")
        for name in "abcdef":
            self.assertLessEqual(len(re.findall(r"'[^']*/%s' is withheld" % name, daemon.log())), 1, daemon.log())
        self.stop_traced(daemon)
        self.assertEqual(os.listdir(self.target), [])

    def test_a_tmpfs_filled_by_another_fails_cleanly(self):
        daemon = self.fill("fail")
        self.assertEqual(daemon.join(), 1, daemon.log())
        self.assertRegex(daemon.status(), r"^Failed: ")
        self.assertEqual(self.files(), ["stranger"], "what is not ours is all that is left")


if __name__ == "__main__":
    harness.main()
