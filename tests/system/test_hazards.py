# SPDX-License-Identifier: GPL-2.0-or-later
"""What can happen to a mirror, by accident or by malice, and does not reach the disk, or reaches it whole."""

import contextlib
import errno
import mmap
import os
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import time

import harness
from test_clients import Clients, gguf, sha256
from trouble import Loop, NOBODY

KIB, MIB = 1 << 10, 1 << 20
USER = 1000


class Hazards(Clients):
    def picture(self, root=None):
        """All about a tree, as one value."""
        root, found = root or self.source, {}
        for name in self.names(root):
            path = os.path.join(root, name)
            st = os.lstat(path)
            content = os.readlink(path) if os.path.islink(path) else self.read(path) if os.path.isfile(path) else None
            found[name] = (st.st_ino, st.st_mode, st.st_uid, st.st_gid, st.st_nlink if content is not None else 0,
                           st.st_mtime_ns if content is not None else 0, content)
        return found

    def is_equal(self):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            names = self.names()
            return names == self.names(self.source) and all(self.is_saved(name) for name in names)
        return False

    def wait_equal(self, timeout=30):
        try:
            self.wait_until(self.is_equal, "both sides to agree", self.running, timeout)
        except AssertionError as error:
            here, there = self.names(), self.names(self.source)
            raise AssertionError("%s\nonly in the mirror: %s\nonly on disk: %s\ndifferent: %s" % (
                error, sorted(here - there)[:20], sorted(there - here)[:20],
                [n for n in sorted(here & there) if not self.is_saved(n)][:20])) from None

    def tree(self, n=12):
        for i in range(n):
            self.write("d%d/f%02d" % (i % 3, i), b"content %d" % i)

    def conflicts(self):
        """{path: content} of what is kept of conflicts."""
        root, found = self.on_disk(".shmstaged/conflicts"), {}
        for stamp in os.listdir(root) if os.path.isdir(root) else ():
            for name in self.names(os.path.join(root, stamp)):
                if os.path.isfile(os.path.join(root, stamp, name)):
                    found.setdefault(name, []).append(self.read(os.path.join(root, stamp, name)))
        return found

    def in_directory(self):
        """What makes the daemon take a directory of a tmpfs that is there as its mirror: it may not mount. Returns options for it."""
        place = self.path("shared")
        os.mkdir(place)
        os.chmod(place, 0o1777)
        self.target = os.path.join(place, "models")
        return {"wrapper": ["setpriv", "--bounding-set", "-sys_admin"]}


class Covered(Hazards):
    def test_a_filesystem_that_is_mounted_inside_the_mirror_is_left_alone(self):
        other = self.path("other")
        os.makedirs(os.path.join(other, "empty/deep"))
        self.write("a", b"a", root=other)
        self.write("sub/b", b"b")
        self.begin()
        subprocess.run(["mount", "--bind", other, self.mirrored("sub")], check=True)
        self.put("new", b"new")
        self.running.wait_log("Something is mounted on '.*/sub', inside the mirror")
        self.wait_saved("new")
        self.running.listen(1)
        self.running.stop()
        self.assertEqual(self.names(other), {"a", "empty", "empty/deep"})
        self.assertEqual(self.names(self.source) - {".shmstaged"}, {"new", "sub", "sub/b"})
        subprocess.run(["umount", "-R", "-l", self.mirrored("sub")], check=False, stderr=subprocess.DEVNULL)


class Wiped(Hazards):
    """A user or a tool removes all files to free the memory, not to delete the models."""

    def log_out(self, root, uid):
        """What logind does to /dev/shm when a user is gone (RemoveIPC=): files of that user, also in directories of that user."""
        for name in os.listdir(root):
            path = os.path.join(root, name)
            st = os.lstat(path)
            if stat.S_ISDIR(st.st_mode):
                if st.st_uid == uid:
                    self.log_out(path, uid)
                    with contextlib.suppress(OSError):
                        os.rmdir(path)
            elif st.st_uid == uid:
                os.unlink(path)

    def own(self, uid):
        for name in self.names(self.source):
            os.lchown(self.on_disk(name), uid, uid)

    def assert_survives(self, act, pattern):
        before = self.picture()
        act()
        self.wait_logged(pattern)
        self.wait_equal()
        self.running.listen(6)  # longer than a deletion waits
        self.assertEqual(self.picture(), before)
        self.assertEqual(self.trash(), {})
        self.assertEqual({n: self.seen(self.target, n) for n in self.names()}, {n: self.seen(self.source, n) for n in self.names(self.source)})

    def test_all_files_of_a_user_who_logs_out(self):
        self.tree(30)
        os.symlink("d1/f01", self.on_disk("link"))
        self.own(USER)
        self.write("of-root", b"stays")
        self.begin()
        pattern = r"(\d+) of the 32 files in '%s' were deleted at once" % self.target
        self.assert_survives(lambda: self.log_out(self.target, USER), pattern)
        # all of them, however many scans it took to see them
        self.assertEqual(sum(int(n) for n in re.findall("Warning: " + pattern, self.running.log())), 31)
        self.running.wait_status("deletions held back. .* were deleted at once")
        self.running.signal(signal.SIGHUP)  # seen
        self.running.wait_status(r"^Ready: (?!.*held back)")
        self.end()

    def test_all_of_two_or_three_files(self):
        for n in (2, 3):
            with self.subTest(n):
                self.write("f%d" % n, b"content %d" % n)
                if n == 2:
                    self.write("f1", b"content 1")
                self.own(USER)
                self.begin()
                before = self.picture()
                self.log_out(self.target, USER)
                self.wait_logged(r"%d of the %d files in '%s' were deleted at once" % (n, n, self.target))
                self.wait_equal()
                self.running.stop()  # which would carry out at once what still waits
                self.assert_gone()
                self.assertEqual(self.picture(), before)

    def test_rm_of_all_with_our_own_directory(self):
        self.tree()
        self.begin()
        self.assert_survives(lambda: subprocess.run(["sh", "-c", "rm -rf %s/* %s/.shmstaged" % (self.target, self.target)], check=True),
                             r"'%s' was emptied, including the daemon's own directory .shmstaged" % self.target)
        self.end()

    def test_rm_of_a_single_file_with_our_own_directory_is_no_deletion_either(self):
        self.write("model", b"content")
        self.begin()
        before = self.picture()
        subprocess.run(["sh", "-c", "rm -rf %s/.shmstaged %s/model" % (self.target, self.target)], check=True)
        self.wait_logged("was emptied, including the daemon's own directory")
        self.wait_equal()
        self.running.stop()
        self.assert_gone()
        self.assertEqual(self.picture(), before)

    def test_rm_of_all_right_before_the_stop(self):
        self.tree()
        self.begin()
        before = self.picture()
        subprocess.run(["sh", "-c", "rm -rf %s/* %s/.shmstaged" % (self.target, self.target)], check=True)
        self.running.stop()
        self.assert_gone()
        self.assertEqual(self.picture(), before)
        self.assertEqual(self.trash(), {})

    def test_rm_of_all_and_a_pull_at_the_same_time(self):
        self.tree()
        self.begin()
        before = self.picture()
        subprocess.run(["sh", "-c", "rm -rf %s/d*" % self.target], check=True)
        self.put("d0/new", b"pulled")
        self.wait_saved("d0/new")
        self.wait_equal()
        self.assertEqual({n: v for n, v in self.picture().items() if n != "d0/new"}, before)
        self.end()


class MirrorLost(Hazards):
    RECREATED = r"was unmounted, moved or replaced; recreating the mirror \(the disk keeps all files\)"

    def assert_recreated(self, before, *saved):
        self.wait_logged(self.RECREATED)
        self.wait_until(lambda: os.path.isdir(self.target) and self.is_equal(), "the mirror to be recreated", self.running)
        self.running.wait_status("^Ready")
        self.assertEqual({n: v for n, v in self.picture().items() if n not in saved}, before)
        self.assertEqual(self.trash(), {})
        self.put("after", b"saved too")
        self.wait_saved("after")
        self.end()

    def test_a_lazy_unmount(self):
        self.tree()
        self.begin()
        before = self.picture()
        subprocess.run(["umount", "-l", self.target], check=True)
        self.assert_recreated(before)

    def test_a_lazy_unmount_with_something_unsaved_in_it(self):
        self.tree()
        self.begin(SettleTime="3s")
        before = self.picture()
        self.put("d0/pulled", b"precious")
        self.put("d0/f00", b"changed")
        self.running.wait_status("2 not on disk yet")
        subprocess.run(["umount", "-l", self.target], check=True)
        self.wait_until(lambda: os.path.exists(self.on_disk("d0/pulled")), "it to be saved all the same", self.running)
        self.wait_logged(self.RECREATED)
        self.wait_until(lambda: os.path.ismount(self.target) and self.is_equal(), "the mirror to be recreated", self.running)
        self.assertEqual(self.read(self.on_disk("d0/pulled")), b"precious")
        self.assertEqual(self.read(self.on_disk("d0/f00")), b"changed")
        self.assertEqual({n: v for n, v in self.picture().items() if n not in ("d0/pulled", "d0/f00")},
                         {n: v for n, v in before.items() if n != "d0/f00"})
        self.end()

    def test_an_unmount_right_before_the_stop(self):
        self.tree()
        self.begin()
        before = self.picture()
        subprocess.run(["umount", "-l", self.target], check=True)
        self.running.signal(signal.SIGTERM)
        self.running.join()
        self.assertEqual(self.picture(), before)
        self.assertFalse(os.path.ismount(self.target))

    def test_a_mirror_root_that_is_renamed(self):
        self.tree()
        self.running = self.ready(**self.in_directory())
        before = self.picture()
        self.put("d0/pulled", b"precious")
        os.rename(self.target, self.target + "-away")
        self.wait_until(lambda: os.path.exists(self.on_disk("d0/pulled")), "what was unsaved", self.running)
        self.assert_recreated(before, "d0/pulled")
        self.assertEqual(self.read(self.target + "-away/d0/f00"), b"content 0")

    def test_a_mirror_root_that_is_removed(self):
        self.tree()
        self.running = self.ready(**self.in_directory())
        before = self.picture()
        root = os.stat(self.target).st_ino

        def is_another():
            """What was removed first may be staged again before the rest is removed."""
            try:
                return os.stat(self.target).st_ino != root
            except FileNotFoundError:
                return True
        while not is_another():
            shutil.rmtree(self.target, ignore_errors=True)
        self.wait_until(lambda: os.path.isdir(self.target) and self.is_equal(), "the mirror to be recreated", self.running)
        self.running.listen(6)
        self.assertEqual(self.picture(), before)
        self.assertEqual(self.trash(), {})
        self.end()


class Renamed(Hazards):
    """Names that change while we inspect them, or save the files behind them."""

    def test_directories_that_are_renamed_are_renamed_on_disk(self):
        self.tree(30)
        big = self.write("d1/deep/er/big", size=5 * MIB)
        self.begin()
        inode = os.stat(big).st_ino
        os.rename(self.mirrored("d1"), self.mirrored("e1"))
        os.rename(self.mirrored("e1/deep/er"), self.mirrored("top"))
        os.rename(self.mirrored("d2"), self.mirrored("e1/deep/d2"))
        self.wait_equal()
        self.assertEqual(os.stat(self.on_disk("top/big")).st_ino, inode)  # not copied
        self.assertEqual(self.trash(), {})
        self.end()

    def test_a_directory_that_goes_back_and_forth_all_the_time_loses_nothing(self):
        for i in range(20):
            self.write("stay/%d" % i, b"s%d" % i)
            self.write("d/sub/%d" % i, b"content %d" % i)
        self.begin(SettleTime="0")

        def swap():
            for old, new in (("d", "e"), ("e", "stay/e"), ("stay/e", "d")):
                try:
                    os.rename(self.mirrored(old), self.mirrored(new))
                except OSError as error:  # it was away for so long that it was staged again
                    if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                        raise
                time.sleep(random.uniform(0, 0.1))
        loop = Loop(swap)
        self.running.listen(3)
        loop.stop()
        self.wait_equal()
        for i in range(20):
            self.assertEqual(self.read(self.on_disk("d/sub/%d" % i)), b"content %d" % i)
        self.assertEqual(self.conflicts(), {})
        self.end()

    def test_files_that_change_names_with_each_other(self):
        for name in "abc":
            self.write(name, name.encode() * 1000)
        self.begin()
        os.rename(self.mirrored("a"), self.mirrored("t"))
        os.rename(self.mirrored("b"), self.mirrored("a"))
        os.rename(self.mirrored("t"), self.mirrored("b"))
        self.wait_equal()
        self.assertEqual([self.read(self.on_disk(n)) for n in "abc"], [b"b" * 1000, b"a" * 1000, b"c" * 1000])
        self.assertEqual(self.conflicts(), {})
        self.end()

    def test_files_and_directories_that_change_places(self):
        self.tree(60)
        shutil.rmtree(self.on_disk("d1"))
        self.write("d1/f01", b"1")
        self.begin()
        shutil.rmtree(self.mirrored("d1"))
        self.put("d1", b"a file now")
        os.unlink(self.mirrored("d0/f00"))
        self.put("d0/f00/in", b"a directory now")
        self.wait_saved("d1", "d0/f00/in")
        self.wait_equal()
        self.end()

    def slow(self, **keys):
        """A daemon that takes a while to save a file: half a second after it was written out."""
        self.running = self.ready(self.config(**keys), traced=True)
        self.strace(self.running.pid, "-e", "trace=fsync", "-e", "inject=fsync:delay_enter=500000")

    def wait_saving(self):
        self.wait_until(lambda: os.path.isdir(self.on_disk(".shmstaged/tmp")) and os.listdir(self.on_disk(".shmstaged/tmp")),
                        "the save to begin", self.running)

    def test_rm_during_the_save_of_a_new_file(self):
        self.tree()
        self.slow()
        self.put("big", os.urandom(40 * MIB))
        self.wait_saving()
        os.unlink(self.mirrored("big"))
        self.wait_until(lambda: not os.path.exists(self.on_disk("big")) and not os.listdir(self.on_disk(".shmstaged/tmp")),
                        "the disk to be without it", self.running)
        self.wait_equal(60)
        self.end()

    def test_rm_during_the_save_of_a_changed_file(self):
        self.tree()
        self.write("big", b"old")
        self.slow()
        self.put("big", os.urandom(40 * MIB))
        self.wait_saving()
        os.unlink(self.mirrored("big"))
        self.wait_until(lambda: not os.path.exists(self.on_disk("big")), "the deletion to be carried out", self.running, 60)
        self.assertEqual(self.trash().get("big", b"old")[:3], self.trash()["big"][:3])
        self.wait_equal(60)
        self.end()

    def test_a_change_during_a_save_is_saved_and_the_mix_is_not(self):
        self.slow()
        versions = [os.urandom(20 * MIB) for _ in range(2)]
        self.put("big", versions[0])
        self.wait_saving()
        with open(self.mirrored("big"), "r+b") as f:
            f.write(versions[1])
        while not self.is_saved("big"):
            self.running.listen(0.05)
            with contextlib.suppress(FileNotFoundError):
                self.assertIn(self.read(self.on_disk("big")), versions)
        self.assertEqual(self.read(self.on_disk("big")), versions[1])
        self.end()

    def test_a_directory_that_is_swapped_for_a_link_to_outside_is_not_followed(self):
        outside = self.path("outside")
        secret = self.write("f", b"SECRET", root=outside)
        os.chmod(secret, 0o600)
        self.write("other/f", b"1")
        for i in range(5):
            self.write("d/f%d" % i, b"content")
        before = self.picture(outside)
        self.begin()
        shutil.rmtree(self.mirrored("d"))
        os.symlink(outside, self.mirrored("d"))
        self.wait_logged("'d' in the mirror is not saved: it is a symbolic link that points outside the mirror")
        self.running.listen(1)
        self.assertEqual(self.picture(outside), before)
        self.assertFalse(os.path.islink(self.on_disk("d")))
        self.assertEqual(self.read(self.on_disk("d/f1")), b"content")
        self.running.signal(signal.SIGTERM)
        self.running.join()
        self.assertEqual(self.picture(outside), before)

    def test_one_that_is_swapped_all_the_time_neither(self):
        outside = self.path("outside")
        for i in range(10):
            self.write("f%d" % i, b"SECRET", root=outside)
        before = self.picture(outside)
        self.write("other/f", b"1")
        self.begin(SettleTime="0", MassDeleteLimit="off")
        seen = set()
        numbers = iter(range(1000000))

        def swap():
            away = self.mirrored("t%d" % next(numbers))
            os.mkdir(self.mirrored("d"))
            for i in range(10):
                self.write("f%d" % i, b"content", root=self.mirrored("d"))
            time.sleep(random.uniform(0, 0.2))
            os.rename(self.mirrored("d"), away)
            os.symlink(outside, self.mirrored("d"))
            time.sleep(random.uniform(0, 0.1))
            os.unlink(self.mirrored("d"))
            shutil.rmtree(away)
        loop = Loop(swap)
        end = time.monotonic() + 4
        while time.monotonic() < end:
            self.running.listen(0.02)
            for directory, _, files in os.walk(self.source):
                for name in files:
                    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                        seen.add(self.read(os.path.join(directory, name)))
        loop.stop()
        self.assertIn(b"content", seen)
        self.assertNotIn(b"SECRET", seen)
        self.assertEqual(self.picture(outside), before)
        self.wait_equal()
        self.assertNotIn(b"SECRET", set(self.trash().values()))
        self.end()


class Planted(Hazards):
    """Things that are not what a model is."""

    def test_links_to_files_that_only_root_may_read(self):
        self.write("d/model", b"content")
        shadow = self.seen("/etc", "shadow")
        self.begin()
        outside = {"absolute": "/etc/shadow", "d/relative": "../../../../../../../../etc/shadow", "directory": "/etc"}
        for name, text in outside.items():
            os.symlink(text, self.mirrored(name))
        for name in outside:
            self.wait_logged("'%s' in the mirror is not saved: it is a symbolic link that points outside the mirror" % name)
        os.unlink(self.mirrored("d/model"))
        os.symlink("/etc/shadow", self.mirrored("d/model"))
        self.wait_logged("'d/model' in the mirror is not saved: it is a symbolic link that points outside the mirror")
        os.symlink("directory/shadow", self.mirrored("chained"))  # leads out by another link
        self.running.listen(1)
        self.assertEqual(self.read(self.on_disk("d/model")), b"content")
        for name in self.names(self.source) - {"chained"}:
            self.assertFalse(os.path.islink(self.on_disk(name)), name)
        self.assertFalse(os.path.exists(self.on_disk("chained")))
        for name in list(outside) + ["chained"]:
            os.unlink(self.mirrored(name))
        os.unlink(self.mirrored("d/model"))
        self.running.stop()
        self.assertEqual(self.seen("/etc", "shadow"), shadow)

    def test_a_link_that_leads_out_does_not_keep_the_mirror(self):
        self.tree()
        self.begin()
        os.symlink("/etc/shadow", self.mirrored("d0/planted"))
        self.wait_logged("'d0/planted' in the mirror is not saved: it is a symbolic link that points outside the mirror")
        self.end(but=["d0/planted"])

    def test_a_hard_link_to_a_file_of_another_user_stays_theirs(self):
        self.tree()
        options = self.in_directory()
        secret = self.write("secret", b"of another user", root=self.path("shared"))
        os.chown(secret, 1234, 1234)
        os.chmod(secret, 0o600)
        os.utime(secret, ns=(10**18, 10**18))
        self.running = self.ready(**options)
        os.link(secret, self.mirrored("d0/planted"))
        self.wait_saved("d0/planted")
        st = os.stat(self.on_disk("d0/planted"))
        self.assertEqual((st.st_uid, st.st_gid, st.st_mode & 0o7777), (1234, 1234, 0o600))  # no more readable than it was
        self.end()
        st = os.stat(secret)
        self.assertEqual((st.st_uid, st.st_gid, st.st_mode & 0o7777, st.st_nlink, st.st_mtime_ns), (1234, 1234, 0o600, 1, 10**18))
        self.assertEqual(self.read(secret), b"of another user")

    def test_fifos_sockets_and_devices_are_neither_opened_nor_saved(self):
        self.tree()
        self.begin()
        os.mkfifo(self.mirrored("d0/fifo"))
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(self.mirrored("s"))
        os.mknod(self.mirrored("d1/null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
        self.put("d0/after", b"content")
        self.wait_saved("d0/after")
        self.assert_not_on_disk("d0/fifo", "s", "d1/null")
        os.unlink(self.mirrored("d0/f00"))
        os.mkfifo(self.mirrored("d0/f00"))  # in the place of a file
        self.put("d0/later", b"content")
        self.wait_saved("d0/later")
        self.running.listen(6)
        self.assertEqual(self.read(self.on_disk("d0/f00")), b"content 0")
        os.makedirs(self.mirrored("new/inner"))
        os.mkfifo(self.mirrored("new/inner/fifo"))
        self.running.stop()  # there is nothing in them that would have to be kept
        self.assert_gone()
        self.assertEqual(self.read(self.on_disk("d0/f00")), b"content 0")
        self.assertTrue(os.path.isdir(self.on_disk("new/inner")))

    def test_a_pipe_beside_an_unsaved_file_does_not_lose_it(self):
        self.tree()
        self.begin()
        with open(self.mirrored("d0/open"), "wb") as f:
            f.write(b"not finished")
            f.flush()
            os.mkfifo(self.mirrored("d0/fifo"))
            self.running.stop(expect=1)
        self.assertEqual(self.names(), {"d0", "d0/open"})

    def test_set_id_bits_of_files_do_not_reach_the_disk(self):
        self.write("existing", b"1")
        self.begin()
        for name, mode in (("program", 0o6755), ("sticky", 0o1777)):
            os.chmod(self.put(name, b"content of " + name.encode()), mode)
        os.chmod(self.mirrored("existing"), 0o4750)
        subprocess.run(["setcap", "cap_net_raw+ep", self.mirrored("program")], check=False)

        def modes():
            return {n: stat.S_IMODE(os.stat(self.on_disk(n)).st_mode) for n in self.names(self.source)}
        wanted = {"program": 0o755, "sticky": 0o777, "existing": 0o750}
        self.wait_until(lambda: modes() == wanted, "the plain modes", self.running)
        self.assertNotIn("security.capability", os.listxattr(self.on_disk("program")))
        self.running.wait_status("^Ready: (?!.*not on disk)")
        before = {n: os.stat(self.on_disk(n)).st_ctime_ns for n in wanted}
        self.running.listen(1)
        self.assertEqual({n: os.stat(self.on_disk(n)).st_ctime_ns for n in wanted}, before)  # and it becomes idle
        self.running.stop()
        self.assert_gone()
        self.assertEqual(modes(), wanted)

    def test_setgid_and_sticky_of_directories_are_the_same_on_both_sides(self):
        """Without the one, new files get another group; without the other, anybody may delete the files of others."""
        for name, mode in (("shared", 0o2775), ("drop", 0o1777)):
            self.write(name + "/a", b"a")
            os.chown(self.on_disk(name), 1234, 5678)
            os.chmod(self.on_disk(name), mode)
        self.begin()
        self.assertEqual([stat.S_IMODE(os.stat(self.mirrored(n)).st_mode) for n in ("shared", "drop")], [0o2775, 0o1777])
        os.mkdir(self.mirrored("shared/sub"))  # it has the group and the bit of the directory
        os.chmod(self.mirrored("shared/sub"), 0o3770)
        os.chmod(self.mirrored("drop"), 0o777)
        self.wait_saved("shared/sub")
        self.wait_until(lambda: [stat.S_IMODE(os.stat(self.on_disk(n)).st_mode) for n in ("shared/sub", "drop")] == [0o3770, 0o777], "the modes", self.running)
        self.assertEqual(os.stat(self.on_disk("shared/sub")).st_gid, 5678)
        os.chmod(self.on_disk("shared"), 0o775)
        self.wait_until(lambda: stat.S_IMODE(os.stat(self.mirrored("shared")).st_mode) == 0o775, "the mode of the disk", self.running)
        self.end()

    def test_a_name_that_is_the_digest_of_other_content(self):
        self.write("blobs/sha256-" + sha256(b"good"), b"good")
        self.begin()
        wrong = "blobs/sha256-" + sha256(b"something else")
        good = "blobs/sha256-" + sha256(b"good")
        self.put(wrong, b"evil")
        with open(self.mirrored(good), "wb") as f:
            f.write(b"evil")
        for name in (wrong, good):
            self.wait_logged("'%s' in the mirror is not saved: its SHA-256 is %s, not what its name says" % (name, sha256(b"evil")))
        self.running.wait_status("2 rejected")
        self.assert_not_on_disk(wrong)
        self.assertEqual(self.read(self.on_disk(good)), b"good")
        self.running.stop()
        self.assert_gone()
        self.assertEqual(self.names(self.source), {"blobs", good})
        self.assertEqual(self.read(self.on_disk(good)), b"good")

    def test_names_of_any_bytes(self):
        self.begin()
        names = [b"\xff\xfe", b"new\nline", b"'quotes\"", b"%s%n", b"-rf", b" ", b"x" * 255, "\u00fcml\u00e4ut".encode(), b"\\x41", b"*"]
        for name in names:
            self.put(os.fsdecode(b"d/" + name), b"content of " + name)
        deep = "/".join(["y" * 200] * 15)
        self.put(deep + "/f", b"deep")
        self.wait_saved(deep + "/f", *(os.fsdecode(b"d/" + name) for name in names))
        os.unlink(self.mirrored(deep + "/f"))
        self.wait_until(lambda: not os.path.exists(self.on_disk(deep + "/f")), "the deletion", self.running)
        self.end()

    def test_names_that_are_like_those_of_our_own_directory(self):
        self.tree()
        self.begin()
        self.put(".shmstagedx/f", b"1")
        self.put("d0/.shmstaged/f", b"a client's")
        self.wait_saved(".shmstagedx/f")
        self.assert_not_on_disk("d0/.shmstaged", seconds=1)  # it would be another mirror's there
        self.assertEqual(self.read(self.mirrored("d0/.shmstaged/f")), b"a client's")
        self.end(but=("d0/.shmstaged", "d0/.shmstaged/f"))


class Rewritten(Hazards):
    """A file that is written for ever."""

    def test_it_is_never_saved_half_and_is_saved_when_it_ends(self):
        self.write("f", b"old")
        self.begin(SettleTime="300ms")
        versions = {b"old"}

        def rewrite():
            content = os.urandom(30 * KIB)
            versions.add(content)
            with open(self.mirrored("f"), "wb", buffering=0) as f:
                for at in range(0, len(content), 10 * KIB):
                    f.write(content[at:at + 10 * KIB])
                    time.sleep(0.02)
        loop = Loop(rewrite, 0.05)
        self.running.wait_status("1 not on disk yet")
        end = time.monotonic() + 3
        while time.monotonic() < end:
            self.running.listen(0.02)
            self.assertIn(self.read(self.on_disk("f")), versions)
        self.put("other", b"content")  # nothing else waits for it
        self.wait_saved("other")
        loop.stop()
        self.wait_saved("f")
        self.assertIn(self.read(self.on_disk("f")), versions)
        self.running.wait_status("^Ready: (?!.*not on disk)")
        self.end()

    def test_at_a_stop_it_keeps_the_mirror_and_the_next_start_saves_it(self):
        self.write("f", b"old")
        self.begin()
        with open(self.mirrored("f"), "r+b", buffering=0) as f:
            def write_on():
                f.seek(0, os.SEEK_END)
                f.write(b"more")
            loop = Loop(write_on, 0.05)
            self.running.wait_status("1 not on disk yet")
            self.running.stop(expect=1)
            loop.stop()
        self.assertTrue(os.path.ismount(self.target))
        self.assertRegex(self.running.log(), r"Error: Kept the mirror in '.*' because files in it, such as 'f', could not be saved")
        self.assertRegex(self.running.status(), "^Failed: ")
        self.assertEqual(self.read(self.on_disk("f")), b"old")
        content = self.read(self.mirrored("f"))
        self.begin()
        self.wait_saved("f")
        self.assertEqual(self.read(self.on_disk("f")), content)
        self.end()

    def test_a_file_that_is_mapped_for_writing_is_being_written(self):
        self.begin()
        self.put("f", bytes(64 * KIB))
        with open(self.mirrored("f"), "r+b") as f:
            m = mmap.mmap(f.fileno(), 0)
        for i in range(10):
            m[i] = 1
            self.assert_not_on_disk("f", seconds=0.1)
        self.running.listen(1)
        self.assertFalse(os.path.exists(self.on_disk("f")))
        m[10] = 1
        m.close()
        self.wait_saved("f")
        self.end()

    def test_a_copy_that_is_open_for_writing_is_not_replaced_or_removed(self):
        """Not even by a newer version of itself: what is still written to it would be lost."""
        for name in "old", "gone":
            self.write(name, size=64 * KIB)
        self.begin()
        inodes = {name: os.stat(self.mirrored(name)).st_ino for name in ("old", "gone")}
        with open(self.mirrored("old"), "r+b"), open(self.mirrored("gone"), "r+b") as f:
            m = mmap.mmap(f.fileno(), 0)
        writer = open(self.mirrored("old"), "r+b")
        self.write("old", b"the newer version")
        os.unlink(self.on_disk("gone"))
        for name, what in ("old", "replaced"), ("gone", "removed"):
            self.running.wait_log("'.*/%s' in the mirror is open or mapped for writing by another process, and was left alone; it is %s when" % (name, what))
            self.assertEqual(os.stat(self.mirrored(name)).st_ino, inodes[name])
        self.write("later", b"another scan")
        self.wait_until(lambda: os.path.exists(self.mirrored("later")), "the later file", self.running)
        self.write("last", b"and another")
        self.wait_until(lambda: os.path.exists(self.mirrored("last")), "the last file", self.running)
        self.assertEqual(self.running.log().count("/gone' in the mirror is open or mapped"), 1)
        writer.close()
        self.wait_until(lambda: self.read(self.mirrored("old")) == b"the newer version", "the newer version", self.running)
        m.close()
        self.wait_until(lambda: not os.path.exists(self.mirrored("gone")), "the removal", self.running)
        self.end()

    def test_bytes_that_change_behind_size_and_time_are_saved(self):
        self.write("f", size=64 * KIB)
        self.begin()
        self.flip(self.mirrored("f"), 1000)
        content = self.read(self.mirrored("f"))
        self.wait_until(lambda: self.read(self.on_disk("f")) == content, "the change", self.running)
        self.end()


class Clocks(Hazards):
    TIMES = {"future": 4_102_444_800_123_456_789, "past": -1_000_000_000_000_000_001, "epoch": 0, "y2038": (1 << 31) * 10**9 + 1,
             "odd": 1_234_567_890_999_999_999}

    def test_times_of_any_century_are_kept_and_settle_like_others(self):
        os.rmdir(self.source)
        self.source = os.path.join(self.disk(), "source")  # a tmpfs would take any time
        os.mkdir(self.source)
        self.begin(SettleTime="500ms")
        for name, when in self.TIMES.items():
            os.utime(self.put(name, name.encode()), ns=(when, when))
        self.wait_saved(*self.TIMES, timeout=10)
        self.running.wait_status("^Ready: (?!.*not on disk)")
        os.utime(self.mirrored("future"), ns=(5, 5))  # and back in time
        self.wait_saved("future", timeout=10)
        self.end()
        self.begin()  # and the staged files are the same again
        self.running.wait_status("^Ready: (?!.*not on disk)")
        self.wait_equal()
        self.end()

    def test_an_older_time_is_a_change_like_any_other(self):
        self.write("f", b"new content")
        self.begin()
        os.utime(self.put("f", b"old content, restored"), ns=(10**18, 10**18))
        self.wait_saved("f")
        self.assertEqual(self.conflicts(), {})
        self.end()


class Attributes(Hazards):
    def test_files_of_other_users_keep_their_owner(self):
        self.begin()
        for name, uid, gid, mode in (("a", 12345, 54321, 0o640), ("b", NOBODY, NOBODY, 0o400), ("c", 0, 100, 0)):
            path = self.put("d/" + name, name.encode())
            os.chmod(path, mode)
            os.chown(path, uid, gid)
        os.chown(self.mirrored("d"), 12345, 54321)
        os.chmod(self.mirrored("d"), 0o700)
        self.wait_saved("d", "d/a", "d/b", "d/c")
        self.wait_until(lambda: os.stat(self.on_disk("d")).st_uid == 12345, "the owner of the directory", self.running)
        self.end()

    def test_owner_mode_and_time_alone_are_carried_without_a_copy(self):
        self.write("d/model", size=MIB)
        self.begin()
        inode, block = os.stat(self.on_disk("d/model")).st_ino, self.read(self.on_disk("d/model"))
        for change in (lambda p: os.chmod(p, 0o600), lambda p: os.chown(p, 77, 88), lambda p: os.utime(p, ns=(1, 2 * 10**18)),
                       lambda p: (os.chmod(p, 0o644), os.chown(p, 0, 0), os.utime(p))):
            change(self.mirrored("d/model"))
            self.wait_saved("d/model")
        os.chmod(self.mirrored("d"), 0o711)
        self.wait_saved("d")
        self.assertEqual(os.stat(self.on_disk("d/model")).st_ino, inode)
        self.assertEqual(self.read(self.on_disk("d/model")), block)
        self.assertEqual(self.conflicts(), {})
        self.end()


class Folding(Hazards):
    """A disk that takes two names that differ in case only for one."""

    def test_both_files_are_kept_one_of_them_in_the_mirror_and_it_is_reported(self):
        image = self.path("exfat")
        with open(image, "wb") as f:
            f.truncate(64 * MIB)
        subprocess.run(["mkfs.exfat", image], stdout=subprocess.DEVNULL, check=True)
        device = subprocess.run(["losetup", "-f", "--show", image], capture_output=True, text=True, check=True).stdout.strip()
        subprocess.run(["mount.exfat-fuse", device, self.source], stdout=subprocess.DEVNULL, check=True)
        subprocess.run(["losetup", "-d", device], check=True)  # when it is unmounted
        self.begin(PollInterval="1s")
        self.put("Model.gguf", gguf(64))
        self.wait_until(lambda: os.path.exists(self.on_disk("Model.gguf")), "the first", self.running)
        first, second = self.read(self.mirrored("Model.gguf")), gguf(96)
        self.put("model.GGUF", second)
        self.wait_logged(r"'model.GGUF' in the mirror is not saved: the filesystem of '%s' does not distinguish its name from 'Model.gguf'; rename one" % self.source)
        self.running.wait_status("1 not on disk yet .*saving fails")
        self.assertEqual(self.read(self.on_disk("Model.gguf")), first)
        self.assertEqual((self.read(self.mirrored("Model.gguf")), self.read(self.mirrored("model.GGUF"))), (first, second))
        self.running.stop(expect=1)  # it is nowhere else
        self.assertEqual(self.read(self.mirrored("model.GGUF")), second)
        self.assertEqual(self.read(self.on_disk("Model.gguf")), first)
        self.begin(PollInterval="1s")
        os.rename(self.mirrored("model.GGUF"), self.mirrored("other.gguf"))
        self.wait_until(lambda: os.path.exists(self.on_disk("other.gguf")), "the second by another name", self.running)
        self.assertEqual(self.read(self.on_disk("other.gguf")), second)
        self.running.stop()
        self.assert_gone()


class Many(Hazards):
    work_size = "3g"

    def test_fifty_thousand_files_within_a_minute_all_arrive(self):
        self.tree()
        self.begin()
        begun = time.monotonic()
        for d in range(50):
            os.mkdir(self.mirrored("%d" % d))
            for i in range(1000):
                with open(self.mirrored("%d/%d" % (d, i)), "wb") as f:
                    f.write(b"%d %d" % (d, i))
        self.assertLess(time.monotonic() - begun, 60 * harness.LONG)
        self.running.wait_status(r"^Ready: 50012 files, .* verified(?!.*not on disk)", 120)
        self.assertEqual(self.names(), self.names(self.source))
        for d in range(50):
            for i in range(1000):
                self.assertEqual(self.read(self.on_disk("%d/%d" % (d, i))), b"%d %d" % (d, i))
        self.assertEqual(self.trash(), {})
        self.assertNotIn("deleted", self.running.log())
        self.running.stop(timeout=120)
        self.assertRegex(self.running.log(), r"Mirror 'm': saved or removed \d{4,} more files")  # but to debuggers
        self.assert_gone()
        self.assert_tidy()
        self.assertEqual(sum(len(files) for _, _, files in os.walk(self.source)), 50012)


class Overflow(Hazards):
    def test_a_name_missing_after_a_queue_overflow_was_not_deleted(self):
        """The daemon is stopped meanwhile, so that the queue must overflow."""
        with open("/proc/sys/fs/inotify/max_queued_events") as f:
            n = int(f.read()) // 2 + 500
        self.tree(20)
        self.begin()
        before = self.picture()
        self.running.signal(signal.SIGSTOP)
        for i in range(n):
            with open(self.mirrored("d1/new%d" % i), "wb") as f:
                f.write(b"%d" % i)
        os.unlink(self.mirrored("d0/f03"))
        self.put("d2/last", b"content")
        self.running.signal(signal.SIGCONT)
        self.wait_until(lambda: os.path.exists(self.mirrored("d0/f03")), "it to be staged again", self.running)
        self.wait_until(lambda: len(os.listdir(self.on_disk("d1"))) == n + 7, "all new files", self.running, 60)
        self.wait_saved("d2/last")
        self.running.listen(6)
        self.assertEqual({name: v for name, v in self.picture().items() if name in before}, before)
        self.assertEqual(self.trash(), {})
        os.unlink(self.mirrored("d0/f00"))  # and from now on deletions count again
        self.wait_until(lambda: not os.path.exists(self.on_disk("d0/f00")), "the deletion", self.running)
        self.end()


class Blind(Hazards):
    def test_without_an_inotify_instance_both_sides_are_scanned_in_turn(self):
        self.write("a", b"a")
        self.in_directory()
        wrapper = ["unshare", "--user", "--map-root-user", "sh", "-c",
                   'echo 0 > /proc/sys/user/max_inotify_instances && exec setpriv --bounding-set -sys_admin "$0" "$@"']
        self.running = self.ready(self.config(PollInterval="1s"), wrapper=wrapper)
        self.running.wait_log("raise fs.inotify.max_user_watches, or fs.inotify.max_user_instances")
        self.put("new", b"content")
        self.wait_saved("new")
        self.write("later", b"later")
        self.wait_until(lambda: os.path.exists(self.mirrored("later")), "the file of the disk", self.running)
        self.end()

    def test_without_enough_watches_the_mirror_is_scanned_in_turn_and_nothing_is_deleted(self):
        for i in range(40):
            self.write("d%02d/f" % i, b"%d" % i)
        self.in_directory()
        wrapper = ["unshare", "--user", "--map-root-user", "sh", "-c",
                   'echo 20 > /proc/sys/user/max_inotify_watches && exec setpriv --bounding-set -sys_admin "$0" "$@"']
        self.running = self.ready(self.config(PollInterval="1s"), wrapper=wrapper)
        self.running.wait_log("the kernel has no inotify watches left for this user")
        before = self.picture()
        self.put("d39/new", b"content")
        self.put("d39/f", b"changed")
        self.wait_saved("d39/new", "d39/f")
        os.unlink(self.mirrored("d38/f"))
        shutil.rmtree(self.mirrored("d37"))
        self.wait_until(lambda: os.path.exists(self.mirrored("d38/f")) and os.path.exists(self.mirrored("d37/f")), "them to be staged again",
                        self.running)
        self.running.listen(6)
        self.assertEqual({n: v for n, v in self.picture().items() if n not in ("d39/new", "d39/f")},
                         {n: v for n, v in before.items() if n != "d39/f"})
        self.assertEqual(self.trash(), {})
        self.end()


class Conflicts(Hazards):
    OLDER, NEWER = 1_600_000_000 * 10**9, 1_700_000_000 * 10**9

    def change(self, name, disk_time, mirror_time):
        """On both sides."""
        path = self.write(name, b"disk's " + name.encode())
        os.utime(path, ns=(disk_time, disk_time))
        path = self.put(name, b"mirror's, longer " + name.encode())
        os.utime(path, ns=(mirror_time, mirror_time))

    def assert_resolved(self):
        winners = {"m": b"mirror's, longer m", "d/d": b"disk's d/d"}
        losers = {"m": [b"disk's m"], "d/d": [b"mirror's, longer d/d"]}
        self.wait_until(lambda: {n: self.read(self.on_disk(n)) for n in winners} == winners, "the newer ones on disk", self.running)
        self.wait_until(lambda: {n: self.read(self.mirrored(n)) for n in winners} == winners, "the newer ones in the mirror", self.running)
        self.wait_until(lambda: self.conflicts() == losers, "the older ones to be kept: %r" % self.conflicts(), self.running)
        self.wait_logged("'m' differs on disk and in the mirror; the version from the mirror now has this name, and the other one was kept as "
                       "'%s/.shmstaged/conflicts/[^/]*/m'" % self.source)
        self.running.wait_status(r"; 2 changed on both sides, the other version is kept as '\.shmstaged/conflicts/[^/]*/(m|d/d)'")
        self.wait_logged("'d/d' differs on disk and in the mirror; the version from the disk now has this name, and the other one was kept as "
                       "'%s/.shmstaged/conflicts/[^/]*/d/d'" % self.source)
        self.wait_equal()
        self.running.signal(signal.SIGHUP)  # seen
        self.running.wait_status(r"^Ready: (?!.*changed on both sides)")
        self.end()
        self.assertEqual(self.conflicts(), losers)

    def test_the_newer_one_takes_the_name_and_the_other_is_kept(self):
        self.write("m", b"1")
        self.write("d/d", b"2")
        self.begin(SettleTime="1s")
        self.change("m", self.OLDER, self.NEWER)
        self.change("d/d", self.NEWER, self.OLDER)
        self.assert_resolved()

    def test_the_same_when_it_happened_while_no_daemon_ran(self):
        self.write("m", b"1")
        self.write("d/d", b"2")
        self.begin().kill()
        self.change("m", self.OLDER, self.NEWER)
        self.change("d/d", self.NEWER, self.OLDER)
        self.begin()
        self.assert_resolved()

    def test_a_new_name_on_both_sides(self):
        self.write("d/other", b"1")
        self.begin(SettleTime="1s")
        self.change("m", self.OLDER, self.NEWER)
        self.change("d/d", self.NEWER, self.OLDER)
        self.assert_resolved()

    def test_a_stop_in_the_middle_settles_it_too(self):
        self.write("m", b"1")
        self.write("d/d", b"2")
        self.begin(SettleTime="1h")
        self.change("m", self.OLDER, self.NEWER)
        self.change("d/d", self.NEWER, self.OLDER)
        self.running.stop()
        self.assert_gone()
        self.assertEqual(self.read(self.on_disk("m")), b"mirror's, longer m")
        self.assertEqual(self.read(self.on_disk("d/d")), b"disk's d/d")
        self.assertEqual(self.conflicts(), {"m": [b"disk's m"], "d/d": [b"mirror's, longer d/d"]})

    def test_a_file_changed_on_one_side_and_deleted_on_the_other_comes_back(self):
        for name in ("a", "b", "c", "d", "e", "f", "g", "h"):
            self.write(name, b"old")
        self.begin().kill()
        self.write("a", b"changed on disk")
        os.unlink(self.mirrored("a"))
        self.put("b", b"changed in the mirror")
        os.unlink(self.on_disk("b"))
        self.begin()
        self.wait_equal()
        self.put("c", b"changed in the mirror")
        os.unlink(self.on_disk("c"))
        os.unlink(self.mirrored("d"))
        self.write("d", b"changed on disk")
        self.wait_equal()
        self.assertEqual([self.read(self.on_disk(n)) for n in "abcd"], [b"changed on disk", b"changed in the mirror"] * 1 +
                         [b"changed in the mirror", b"changed on disk"])
        self.end()

    def test_the_same_change_on_both_sides_is_none(self):
        self.write("m", b"1")
        self.begin(SettleTime="1s")
        for root in (self.source, self.target):
            os.utime(self.write("m", b"the same", root=root), ns=(self.NEWER, self.NEWER))
        self.wait_equal()
        self.running.listen(1.5)
        self.assertEqual(self.conflicts(), {})
        self.end()


class Crash(Hazards):
    def test_unsaved_files_are_saved_before_anything_is_staged(self):
        self.write("old", b"1")
        self.age()
        self.begin(SettleTime="1h")
        self.put("d/pulled", os.urandom(KIB))
        self.put("old", b"changed")
        self.running.wait_status("; 2 not on disk yet")  # the directory is
        self.running.kill()
        path = self.write("to-be-staged", size=20 * MIB)
        wrapper = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", path, "-e", "trace=pread64", "-e", "inject=pread64:delay_enter=400000"]
        self.running = self.ready(self.config(SettleTime="0", ChunkSize="1M"), wrapper=wrapper, traced=True)
        log = self.running.log()
        for name in ("d/pulled", "old"):
            self.assertIn("Saved '%s'" % name, log)
            self.assertLess(log.index("Saved '%s'" % name), log.index("is ready"))
        self.wait_equal()
        with open("/proc/%d/task/%d/children" % (self.running.pid, self.running.pid)) as f:
            os.kill(int(f.read().split()[0]), signal.SIGTERM)
        self.assertEqual(self.running.join(), 0)
        self.assert_gone()

    def test_after_a_kill_at_any_moment_the_next_start_saves_the_remaining_files(self):
        seed = random.randrange(1 << 32)
        print("seed %d" % seed, flush=True)
        rng = random.Random(seed)
        versions = {}

        def write_some():
            for _ in range(rng.randrange(5, 40)):
                name, content = "d%d/f%d" % (rng.randrange(4), rng.randrange(30)), rng.randbytes(rng.choice((0, 100, 70 * KIB, MIB)))
                if content in versions.get(name, ()):  # where the disk has the bytes already it keeps its time too
                    continue
                os.makedirs(os.path.dirname(self.mirrored(name)), exist_ok=True)
                temporary = self.mirrored(name + ".tmp")
                with open(temporary, "wb") as f:
                    f.write(content)
                os.rename(temporary, self.mirrored(name))
                versions.setdefault(name, []).append(content)
        self.write("d0/first", b"1")
        for _ in range(8):
            self.begin(SettleTime="50ms")
            moment = rng.uniform(0, 0.6)
            write_some()
            self.running.listen(moment)
            write_some()
            self.running.kill()
            for name in self.names(self.source):
                if name in versions:
                    self.assertIn(self.read(self.on_disk(name)), versions[name])
        self.begin(SettleTime="50ms")
        self.wait_equal()
        for name, contents in versions.items():
            self.assertEqual(self.read(self.on_disk(name)), contents[-1])
        for name, contents in self.conflicts().items():  # killed before it had noted that it saved this one, which was changed again since
            for content in contents:
                self.assertIn(content, versions[name][:-1])
        self.assertEqual(self.trash(), {})
        self.end()

    def test_a_deletion_that_was_not_carried_out_is_no_deletion_any_more(self):
        self.tree()
        self.begin()
        before = self.picture()
        os.unlink(self.mirrored("d0/f00"))
        self.running.listen(1)
        self.running.kill()
        self.begin()
        self.wait_equal()
        self.running.listen(6)
        self.assertEqual(self.picture(), before)
        self.end()


class SourceLost(Hazards):
    def begin_on(self, **keys):
        """The source is a mount, as a disk is."""
        self.backing = self.path("backing")
        os.rename(self.source, self.backing)
        os.mkdir(self.source)
        self.mount()
        self.running = self.ready(self.config(PollInterval="1s", **keys), traced=True)

    def mount(self):
        subprocess.run(["mount", "--bind", self.backing, self.source], check=True)

    def unmount(self):
        subprocess.run(["umount", "-l", self.source], check=True)

    def test_nothing_is_saved_into_an_empty_mount_point(self):
        self.tree()
        self.begin_on()
        self.unmount()
        self.put("d0/pulled", b"precious")
        os.unlink(self.mirrored("d1/f01"))
        self.running.wait_status("The source '%s' is gone" % self.source)
        self.running.listen(2)
        self.assertEqual(os.listdir(self.source), [])
        self.assertEqual(self.read(self.mirrored("d0/pulled")), b"precious")
        self.assertFalse(os.path.exists(os.path.join(self.backing, "d0/pulled")))
        self.mount()
        self.wait_logged("The source '%s' is back" % self.source)
        self.wait_saved("d0/pulled")
        self.wait_equal()
        self.end()
        subprocess.run(["umount", self.source], check=True)
        self.assertEqual(os.listdir(self.source), [])

    def test_a_stop_meanwhile_keeps_unsaved_files(self):
        self.tree()
        self.begin_on()
        self.unmount()
        self.put("d0/pulled", b"precious")
        self.running.wait_status("The source '%s' is gone" % self.source)
        self.running.stop(expect=1)
        self.assertTrue(os.path.ismount(self.target))
        self.assertEqual(self.read(self.mirrored("d0/pulled")), b"precious")
        self.assertEqual(os.listdir(self.source), [])
        self.mount()
        self.begin()
        self.wait_equal()
        self.end()

    def test_lost_in_the_middle_of_a_save_it_is_saved_when_it_is_back(self):
        self.tree()
        self.begin_on()
        self.strace(self.running.pid, "-e", "trace=fsync", "-e", "inject=fsync:delay_enter=700000")
        self.put("d0/pulled", os.urandom(10 * MIB))
        self.wait_until(lambda: os.path.isdir(self.on_disk(".shmstaged/tmp")) and os.listdir(self.on_disk(".shmstaged/tmp")),
                        "the save to begin", self.running)
        self.unmount()
        self.put("d1/later", b"content")
        self.running.wait_status("The source '%s' is gone" % self.source)
        self.assertEqual(os.listdir(self.source), [])
        self.mount()
        self.wait_saved("d0/pulled", "d1/later")
        self.wait_equal()
        self.end()


class Deletes(Hazards):
    """Deletes=, TrashKeep= and MassDeleteLimit=, of several mirrors at once, because deletions take their time."""

    KINDS = {"trash": {}, "keep": {"Deletes": "keep"}, "propagate": {"Deletes": "propagate"}, "short": {"TrashKeep": "1s"},
             "three": {}, "four": {}, "off": {"MassDeleteLimit": "off"}, "again": {}}

    def begin_all(self):
        text = ""
        for kind, keys in self.KINDS.items():
            for i in range(12):
                self.write("d%d/f%02d" % (i % 3, i), b"content %d" % i, root=self.path("source-" + kind))
            values = {"Source": self.path("source-" + kind), "Target": self.path("target-" + kind), "Size": "100M", "SettleTime": "200ms", **keys}
            text += "[Mirror %s]\n" % kind + "".join("%s=%s\n" % item for item in values.items())
        self.all = self.config(text)
        self.running = self.ready(self.all)

    def of(self, kind):
        self.source, self.target = self.path("source-" + kind), self.path("target-" + kind)
        return self

    def remove(self, kind, *names):
        for name in names:
            os.unlink(self.of(kind).mirrored(name))

    def test_deleted_files_go_where_the_configuration_sends_them(self):
        self.begin_all()
        for kind in ("trash", "keep", "propagate", "short", "again"):
            self.remove(kind, "d0/f00", "d0/f03")
        self.remove("three", "d0/f00", "d1/f01", "d2/f02")
        self.remove("four", "d0/f00", "d1/f01", "d2/f02", "d0/f03")
        shutil.rmtree(self.of("off").mirrored("d1"))
        shutil.rmtree(self.of("off").mirrored("d2"))
        self.of("again").put("d0/f00", b"new content")
        self.running.listen(2)  # so long nothing happens on disk
        for kind in self.KINDS:
            self.assertEqual(self.of(kind).trash(), {})
            self.assertEqual(len([n for n in self.names(self.source) if "/" in n]), 12, kind)
        self.of("trash").wait_until(lambda: self.of("trash").trash() == {"d0/f00": b"content 0", "d0/f03": b"content 3"}, "the trash", self.running)
        self.wait_until(lambda: len(self.of("three").trash()) == 3, "three of twelve", self.running)
        self.wait_until(lambda: len(self.of("off").trash()) == 8, "two directories with all in them", self.running)
        self.wait_until(lambda: self.of("off").names(self.source) == {"d0", "d0/f00", "d0/f03", "d0/f06", "d0/f09"}, "the empty directories",
                        self.running)
        self.wait_until(lambda: "d0/f03" not in self.names(self.path("source-propagate")), "the deletion", self.running)
        self.assertEqual(self.of("propagate").trash(), {})
        self.wait_until(lambda: "d0/f03" not in self.names(self.path("source-again")), "the deletion of what did not come again", self.running)
        self.assertEqual(self.of("again").trash(), {"d0/f03": b"content 3"})
        self.assertEqual(self.read(self.on_disk("d0/f00")), b"new content")
        self.assertEqual(len(self.of("four").names(self.source)), 15)
        self.wait_equal()
        self.wait_logged("4 of the 12 files in '%s' were deleted at once" % self.target)
        self.wait_until(lambda: "d0/f03" not in self.names(self.path("source-short")) and self.of("short").trash() == {},
                        "what is kept for a second only", self.running)
        self.assertEqual(len(self.of("keep").names(self.source)), 15)
        self.assertEqual(len(self.names()), 13)  # it does not come back
        os.rename(os.path.join(self.path("source-trash"), ".shmstaged/trash", os.listdir(self.path("source-trash", ".shmstaged/trash"))[0], "d0",
                               os.listdir(self.path("source-trash", ".shmstaged/trash", os.listdir(self.path("source-trash", ".shmstaged/trash"))[0], "d0"))[0]),
                  self.of("trash").on_disk("d0/back"))
        self.wait_until(lambda: os.path.exists(self.mirrored("d0/back")), "what was brought back", self.running)
        self.running.stop()
        self.running = self.ready(self.all)
        self.assertEqual(len(self.of("keep").names()), 15)  # but with the next start
        self.assertIn(len(self.of("trash").trash()), (1,))
        self.running.stop()
        self.assert_tidy()

    def test_a_stop_carries_out_waiting_deletions(self):
        self.tree()
        self.begin()
        os.unlink(self.mirrored("d0/f00"))
        self.running.listen(0.5)
        self.end()
        self.assertEqual(self.trash(), {"d0/f00": b"content 0"})

    def test_deletions_are_not_undone_by_a_concurrent_scan(self):
        for i in range(2000):
            self.write("x%d/f%d" % (i % 10, i), b"%d" % i)
        names = ["d%d/f%d" % (i % 10, i) for i in range(200)]
        for name in names:
            self.write(name, name.encode())
        self.begin(MassDeleteLimit="off", SettleTime="0")
        numbers = iter(range(1000000))
        loop = Loop(lambda: self.put("busy%d" % (next(numbers) % 20), os.urandom(8)), 0.01)
        for name in names:
            os.unlink(self.mirrored(name))
            self.running.listen(0.01)
        self.running.listen(0.5)
        loop.stop()
        self.assertEqual([name for name in names if os.path.exists(self.mirrored(name))], [])
        self.wait_until(lambda: not any(os.path.exists(self.on_disk(name)) for name in names), "the disk to follow", self.running)
        self.end()

    def test_deletions_one_after_the_other_add_up(self):
        """A wave that comes in drops is a wave."""
        self.tree()
        self.begin()
        before = self.picture()
        for name in ("d0/f00", "d1/f01", "d2/f02", "d0/f03"):
            os.unlink(self.mirrored(name))
            self.running.listen(0.7)
        self.wait_logged("4 of the 12 files in '%s' were deleted at once" % self.target)
        self.wait_equal()
        self.running.stop()
        self.assertEqual(self.picture(), before)


if __name__ == "__main__":
    harness.main(jobs=6)
