# SPDX-License-Identifier: GPL-2.0-or-later
"""The tmpfs of a mirror: found, made, or refused, and what is not ours is never touched."""

import os
import re
import subprocess

import harness

NOBODY = 65534


def mount(*args):
    subprocess.run(["mount", *args], check=True)


def mount_options(path):
    """Of what was mounted there last: type, source and options."""
    done = subprocess.run(["findmnt", "-n", "-o", "FSTYPE,SOURCE,OPTIONS", "--mountpoint", path], capture_output=True, text=True)
    lines = done.stdout.splitlines() or [""]
    return lines[-1].split() + [""] * 3


class Target(harness.Case):
    def tree(self, root):
        return sorted((os.path.relpath(os.path.join(d, n), root), os.lstat(os.path.join(d, n)).st_ino)
                      for d, dirs, files in os.walk(root) for n in dirs + files)


class Mounted(Target):
    @staticmethod
    def nodes():
        """That have memory: all are listed in one line, with ranges."""
        try:
            with open("/sys/devices/system/node/has_memory") as f:
                parts = [[int(n) for n in part.split("-")] for part in f.read().strip().split(",")]
        except FileNotFoundError:
            return 1
        return sum(part[-1] - part[0] + 1 for part in parts)

    def test_root_gets_a_tmpfs_with_the_options_that_were_asked_for(self):
        self.write("a", size=3 << 20)
        daemon = self.ready(self.config(Size="64M"))
        fstype, source, options = mount_options(self.target)[:3]
        options = options.split(",")
        self.assertEqual((fstype, source), ("tmpfs", "shmstaged"))
        for option in ("nosuid", "nodev", "noexec", "size=65536k", "mode=755"):
            self.assertIn(option, options)
        found = re.search(r"Using a tmpfs that the daemon mounted on '%s', size 64M; huge pages: (\w+), kept out of swap: (\w+), NUMA policy: (.*)"
                         % self.target, daemon.log())
        self.assertTrue(found, daemon.log())
        self.assertEqual("huge=within_size" in options, found[1] == "yes")
        self.assertEqual("noswap" in options, found[2] == "yes")
        self.assertEqual(found[3], "one node" if self.nodes() == 1 else "interleave over %d nodes (NUMAPolicy=auto)" % self.nodes())
        release = tuple(int(n) for n in re.match(r"(\d+)\.(\d+)", os.uname().release).groups())
        if os.path.exists("/sys/kernel/mm/transparent_hugepage"):
            self.assertIn("huge=within_size", options)
        if release >= (6, 4):
            self.assertIn("noswap", options)
        daemon.stop()
        self.assert_gone()
        self.assertFalse(os.path.exists(self.target), "the directory was not there before")

    def test_an_option_that_is_not_configured_is_not_set_and_reported(self):
        self.write("a", b"x")
        daemon = self.ready(self.config(Size="64M", HugePages="never", Swap="yes"))
        options = mount_options(self.target)[2]
        self.assertNotIn("huge=", options)
        self.assertNotIn("noswap", options)
        self.assertIn("huge pages: not requested, kept out of swap: not requested", daemon.log())
        daemon.stop()

    def test_a_numa_policy_is_set_or_its_refusal_is_reported(self):
        self.write("a", b"x")
        daemon = self.ready(self.config(Size="64M", NUMAPolicy="interleave"))
        found = re.search(r"NUMA policy: (.*)", daemon.log())[1]
        self.assertEqual(found, "interleave (NUMAPolicy=interleave)" if "mpol=interleave" in mount_options(self.target)[2]
                         else "none instead of interleave (NUMAPolicy=interleave)")
        daemon.stop()

    def test_without_a_numa_policy_nothing_is_asked_for(self):
        self.write("a", b"x")
        daemon = self.ready(self.config(Size="64M", NUMAPolicy="default"))
        self.assertRegex(daemon.log(), "NUMA policy: not requested\n")
        self.assertNotIn("mpol=", mount_options(self.target)[2])
        daemon.stop()

    def test_an_existing_numa_policy_is_reported_and_stays(self):
        """The kernel shows it with a list; a kernel without NUMA refuses to mount it, and there is nothing to report."""
        os.mkdir(self.target)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32M,mpol=bind:0", "models", self.target], check=False).returncode != 0:
            self.assertFalse(os.path.exists("/sys/devices/system/node/has_memory"), "this kernel has NUMA, and must take it")
            return
        self.write("a", b"x")
        for policy, expected in (("prefer:0", "bind:0 instead of prefer:0 (NUMAPolicy=prefer:0)"), ("bind:0", "bind:0 (NUMAPolicy=bind:0)"),
                             ("default", "bind:0, as mounted (NUMAPolicy=default requests none)")):
            daemon = self.ready(self.config(NUMAPolicy=policy))
            self.assertIn("NUMA policy: %s\n" % expected, daemon.log())
            daemon.stop()
            self.assertIn("mpol=bind:0", mount_options(self.target)[2])

    def test_the_directory_that_was_there_stays(self):
        os.mkdir(self.target)
        self.write("a", b"x")
        self.ready(self.config(Size="64M")).stop()
        self.assertTrue(os.path.isdir(self.target))
        self.assert_gone()

    def test_a_mounted_tmpfs_is_used_and_left_mounted(self):
        os.mkdir(self.target)
        mount("-t", "tmpfs", "-o", "size=32M,mode=0700", "models", self.target)
        self.write("a", size=1 << 20)
        daemon = self.ready(self.config(Size="1G"))
        self.assertRegex(daemon.log(), r"Using the tmpfs mounted on '%s', size 32M; huge pages: no" % self.target)
        self.assert_same_file("a")
        daemon.stop()
        self.assertTrue(os.path.ismount(self.target))
        self.assertEqual(os.listdir(self.target), [])
        self.assertEqual(mount_options(self.target)[1], "models")

    def test_a_mount_over_the_mirror_meanwhile_is_left_alone(self):
        self.write("a", b"x")
        daemon = self.ready(self.config(Size="64M"))
        mount("-t", "tmpfs", "other", self.target)
        with open(self.mirrored("precious"), "w") as f:
            f.write("not yours")
        daemon.stop()
        self.assertIn("Failed to unmount '%s': something else is mounted over it; mirror 'm' was removed" % self.target,
                      daemon.log())
        self.assertEqual(mount_options(self.target)[1], "other")
        with open(self.mirrored("precious")) as f:
            self.assertEqual(f.read(), "not yours")


class ByAUser(Target):
    def setUp(self):
        super().setUp()
        self.base = self.path("base")  # as /dev/shm: a tmpfs for all users
        os.mkdir(self.base)
        os.chmod(self.base, 0o1777)
        self.target = os.path.join(self.base, "models")
        os.chown(self.state, NOBODY, NOBODY)

    def test_a_directory_on_a_tmpfs_serves_with_size_as_budget(self):
        self.write("a", size=4 << 20)
        daemon = self.ready(self.config(Size="8M"), user=NOBODY)
        self.assertIn("Using a directory of a shared tmpfs, '%s', size 8M" % self.target, daemon.log())
        self.assertFalse(os.path.ismount(self.target))
        self.assertEqual(self.read(self.mirrored("a")), self.read(os.path.join(self.source, "a")))
        self.assertEqual(self.xxh128sum().returncode, 0)
        daemon.stop()
        self.assert_gone()

    def test_the_budget_is_kept(self):
        self.write("a", size=4 << 20)
        self.write("b", size=5 << 20)
        self.assertRegex(self.refused(self.config(Size="8M"), user=NOBODY), r"^Insufficient space for mirror 'm': .*\(short by \d+ bytes, .*Size=")
        self.assert_gone()

    def test_files_of_others_in_the_directory_are_refused(self):
        os.mkdir(self.target)
        os.chown(self.target, NOBODY, NOBODY)
        self.write("mine.txt", b"x", root=self.target)
        before = self.tree(self.target)
        self.write("a", b"x")
        text = self.refused(user=NOBODY)
        self.assertIn("'%s' contains files that are not from shmstaged, such as 'mine.txt', and nothing was changed" % self.target, text)
        self.assertEqual(self.tree(self.target), before)

    def test_a_disk_is_refused_and_no_directory_is_left_there(self):
        disk = self.ext4()[0]
        os.chmod(disk, 0o777)
        self.target = os.path.join(disk, "models")
        self.write("a", b"x")
        text = self.refused(user=NOBODY)
        self.assertIn("The target '%s' is not on a tmpfs, and the daemon may not mount one there" % self.target, text)
        self.assertEqual(os.listdir(disk), [])
        os.mkdir(self.target)
        os.chmod(self.target, 0o777)
        self.assertIn("is not on a tmpfs", self.refused(user=NOBODY))
        self.assertEqual(os.listdir(self.target), [])

    def test_a_directory_that_may_not_be_written_is_named(self):
        os.mkdir(self.target, 0o755)
        self.write("a", b"x")
        text = self.refused(user=NOBODY)
        self.assertIn("'%s'" % self.target, text)
        self.assertIn("Permission denied", text)


class Refused(Target):
    def setUp(self):
        super().setUp()
        self.write("a", b"x")

    def test_a_disk_directory_with_files_is_not_hidden_under_a_mount(self):
        disk = self.ext4()[0]
        self.write("thesis.txt", b"x", root=disk)
        os.mkdir(os.path.join(disk, "models"))
        self.target = os.path.join(disk, "models")
        self.write("thesis.txt", b"x", root=self.target)
        text = self.refused()
        self.assertIn("The target '%s' contains files, which a tmpfs would hide" % self.target, text)
        self.assertFalse(os.path.ismount(self.target))
        self.assertEqual(os.listdir(self.target), ["thesis.txt"])

    def test_another_filesystem_mounted_there_is_left_alone(self):
        self.target = self.ext4()[0]
        self.write("thesis.txt", b"x", root=self.target)
        text = self.refused()
        self.assertIn("Something other than a tmpfs is mounted on the target '%s'" % self.target, text)
        self.assertEqual(os.listdir(self.target), ["thesis.txt"])

    def test_a_symbolic_link_is_not_followed(self):
        elsewhere = self.path("elsewhere")
        os.mkdir(elsewhere)
        os.symlink(elsewhere, self.target)
        text = self.refused()
        self.assertIn("The target '%s' is a symbolic link" % self.target, text)
        self.assertEqual(os.listdir(elsewhere), [])
        self.assertFalse(os.path.ismount(elsewhere))

    def test_a_file_is_not_a_target(self):
        self.write("target", b"precious", root=self.work)
        text = self.refused()
        self.assertIn("'%s'" % self.target, text)
        self.assertIn("Not a directory", text)
        self.assertEqual(self.read(self.target), b"precious")

    def test_a_read_only_place_is_named(self):
        place = self.path("read-only")
        os.mkdir(place)
        mount("-t", "tmpfs", "-o", "ro", "none", place)
        self.target = os.path.join(place, "models")
        text = self.refused()
        self.assertIn("'%s'" % self.target, text)
        self.assertIn("Read-only file system", text)

    def test_files_of_others_in_a_mounted_tmpfs_are_refused(self):
        os.mkdir(self.target)
        mount("-t", "tmpfs", "-o", "size=32M", "models", self.target)
        self.write("sub/a", b"theirs", root=self.target)
        before = self.tree(self.target)
        text = self.refused()
        self.assertIn("contains files that are not from shmstaged, such as 'sub', and nothing was changed", text)
        self.assertEqual(self.tree(self.target), before)

    def test_the_mirror_of_another_source_is_refused(self):
        other = self.path("other")
        self.write("theirs", b"x", root=other)
        daemon = self.ready(self.config("[Mirror m]\nSource=%s\nTarget=%s\nSize=64M\n" % (other, self.target)))
        daemon.kill()
        before = self.tree(self.target)
        text = self.refused()
        self.assertIn("is the mirror of another source, '%s'" % other, text)
        self.assertIn("set Source= back", text)
        self.assertEqual(self.tree(self.target), before)

    def test_a_target_that_leads_into_the_source_is_refused(self):
        """Which the configuration alone does not show."""
        os.symlink(self.source, self.path("way"))
        os.mkdir(os.path.join(self.source, "ram"))
        self.target = self.path("way", "ram")
        text = self.refused()
        self.assertIn("'%s'" % self.target, text)
        self.assertIn("overlap once symbolic links are followed", text)
        self.assertFalse(os.path.ismount(os.path.join(self.source, "ram")))
        self.assertEqual(sorted(os.listdir(self.source)), ["a", "ram"])
        self.assertEqual(os.listdir(os.path.join(self.source, "ram")), [])

    def test_a_source_that_leads_into_the_target_is_refused(self):
        os.makedirs(self.path("target", "disk"))
        mount("-t", "tmpfs", "-o", "size=32M", "models", self.target)
        self.write("disk/b", b"x", root=self.target)
        os.symlink(self.path("target", "disk"), self.path("way"))
        self.source = self.path("way")
        text = self.refused()
        self.assertEqual(self.tree(self.target)[0][0], "disk")
        self.assertEqual(self.read(self.path("target", "disk", "b")), b"x")
        self.assertIn("'%s'" % self.target, text)

    def test_an_invalid_state_file_is_reported_and_ignored(self):
        os.mkdir(os.path.join(self.state, "m.xxh128"))
        daemon = self.ready()
        self.assertRegex(daemon.log(), r"Failed to write 'm\.xxh128' in the state directory: Is a directory")
        daemon.stop()
        self.assert_gone()

    def test_a_state_directory_that_cannot_be_made_is_named(self):
        self.write("file", b"x", root=self.work)
        daemon = self.daemon(env={"STATE_DIRECTORY": self.path("file", "state")})
        self.assertEqual(daemon.join(), 1)
        self.assertIn("'%s'" % self.path("file", "state"), daemon.log())
        self.assertIn("Not a directory", daemon.log())
        self.assertFalse(os.path.exists(self.target))


class TwoDaemons(Target):
    def setUp(self):
        super().setUp()
        self.write("a", size=1 << 20)

    def still_well(self, daemon):
        self.assertIsNone(daemon.process.poll())
        self.assert_same_file("a")
        self.write("b", b"later")
        daemon.wait(lambda: os.path.exists(self.mirrored("b")), "the next file")
        self.assertEqual(self.xxh128sum().returncode, 0)
        daemon.stop()
        self.assert_gone()

    def test_the_second_on_one_target_names_the_first(self):
        first = self.ready()
        other = self.path("state-2")
        os.mkdir(other)
        text = self.refused(env={"STATE_DIRECTORY": other})
        self.assertIn("The target '%s' is in use by another shmstaged, process %d;" % (self.target, first.pid), text)
        self.still_well(first)

    def test_the_second_on_one_target_from_another_source_names_the_first(self):
        first = self.ready()
        self.write("x", b"x", root=self.path("source-2"))
        text = self.refused(self.config("[Mirror n]\nSource=%s\nTarget=%s\nSize=1G\n" % (self.path("source-2"), self.target)))
        self.assertIn("process %d" % first.pid, text)
        self.still_well(first)

    def test_the_second_with_the_same_state_is_refused(self):
        first = self.ready()
        text = self.refused(self.config(Target=self.path("target-2")))
        self.assertIn("Another shmstaged has locked the state of a mirror named 'm'", text)
        self.assertFalse(os.path.exists(self.path("target-2")))
        self.still_well(first)

    def test_after_a_kill_the_next_one_may(self):
        first = self.ready()
        first.kill()
        self.ready().stop()
        self.assert_gone()


class ForeignFiles(Target):
    def test_files_of_others_that_appear_later_are_never_removed(self):
        self.write("dir/a", size=1 << 20)
        daemon = self.ready(self.config(Size="64M", WriteBack="no"))
        self.write("dir/stranger", b"theirs", root=self.target)
        self.write("own/stranger", b"theirs", root=self.target)
        os.utime(os.path.join(self.source, "dir/a"), ns=(1, 1))  # make it scan both sides
        daemon.wait_log(r"stranger' is new or changed in the mirror only")
        daemon.stop(expect=1)
        self.assertTrue(os.path.ismount(self.target))
        self.assertEqual(self.read(self.mirrored("dir/stranger")), b"theirs")
        self.assertEqual(self.read(self.mirrored("own/stranger")), b"theirs")
        self.assertFalse(os.path.exists(self.mirrored("dir/a")))
        self.assertEqual(len(re.findall(r"files that are not from the source", daemon.log())), 1)
        self.assertRegex(daemon.status(), r"^Failed: Kept the mirror in '%s' .*, such as '\w+/stranger';" % self.target)
        # and the next run neither removes nor is stopped by them
        daemon = self.ready(self.config(Size="64M", WriteBack="no"))
        self.assert_same_file("dir/a")
        self.assertEqual(self.read(self.mirrored("dir/stranger")), b"theirs")
        os.unlink(self.mirrored("dir/stranger"))
        os.unlink(self.mirrored("own/stranger"))
        os.rmdir(self.mirrored("own"))
        daemon.stop()
        self.assert_gone()

    def test_a_file_of_another_in_the_place_of_ours_is_not_removed(self):
        self.write("a", b"ours")
        daemon = self.ready(self.config(Size="64M", WriteBack="no"))
        self.write("new", b"theirs", root=self.target)
        os.rename(self.mirrored("new"), self.mirrored("a"))
        daemon.stop(expect=1)
        self.assertEqual(self.read(self.mirrored("a")), b"theirs")

    def test_a_reader_keeps_what_it_has_open_over_the_end(self):
        self.write("a", size=1 << 20)
        daemon = self.ready(self.config(Size="64M"))
        with open(self.mirrored("a"), "rb") as f:
            daemon.stop()
            self.assert_gone()
            self.assertEqual(f.read(), self.read(os.path.join(self.source, "a")))


if __name__ == "__main__":
    harness.main()
