# SPDX-License-Identifier: GPL-2.0-or-later
"""Source files that change and look as before: replaced by a file of the same size and time, or written again within one tick of a filesystem whose
times are of one or two seconds. And filesystems that give different files one number."""

import os
import time

import harness
from test_identity import KIB, MIB, SAVED, Identity, short

SIZE = 64 * KIB
MTIME = 1_700_000_000 * 10**9


class Source(Identity):
    def setUp(self):
        super().setUp()
        self.make_source()

    def make_source(self):
        """On another filesystem."""

    def config(self, text=None, **keys):
        return super().config(text, **{"PollInterval": "1s", **keys})

    def look(self, name="model.bin"):
        """What a filesystem knows of a file without its bytes."""
        st = os.stat(self.on_disk(name))
        return st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns

    def is_mirrored(self, content):
        return self.seen_at(self.mirrored("model.bin")) == short(content)

    def wait_mirrored(self, content):
        self.wait_until(lambda: self.is_mirrored(content), "the disk's version in the mirror", self.running)

    def staged(self, **keys):
        """A daemon has staged a file, and nothing moves any more."""
        self.content = self.model()
        os.utime(self.on_disk("model.bin"), ns=(MTIME, MTIME))
        self.write("other", b"x")
        self.begin(**keys)
        self.running.wait_status(SAVED)

    def swap(self):
        """Another file of the same size and time comes to the name. Returns its content."""
        before, content = self.look(), os.urandom(SIZE)
        self.replace("model.bin", content, MTIME, root=self.source)
        self.assertEqual(before[1:3], self.look()[1:3])
        return content

    def assert_both_survive(self, theirs, ours):
        """What both sides have written, without a line between them: one version has the name on both sides, the other is in conflicts/."""
        def is_settled():
            found = [self.seen_at(self.on_disk("model.bin"))] + self.kept().get("model.bin", [])
            return set(found) == {short(theirs), short(ours)} and self.seen_at(self.mirrored("model.bin")) == found[0]
        self.wait_until(is_settled, "both versions on disk", self.running)
        self.running.wait_status(SAVED)
        self.running.stop()
        self.assert_gone()
        self.assertEqual({self.seen_at(self.on_disk("model.bin")), *self.kept().get("model.bin", [])}, {short(theirs), short(ours)})


class ByRename:
    """With the same size and time."""

    def test_it_is_staged_again(self):
        self.staged()
        content = self.swap()
        self.wait_mirrored(content)
        self.ends(**{"model.bin": content})
        self.assertEqual(self.kept(), {})

    def test_while_no_daemon_runs_it_is_staged_again_and_not_called_corrupt(self):
        self.staged()
        self.running.kill()
        content = self.swap()
        self.begin()
        self.wait_mirrored(content)
        self.running.wait_status("^Ready: ")
        self.assertNotRegex(self.running.log(), "withheld|corrupt|instead of")
        self.ends(**{"model.bin": content})

    def test_between_a_stop_and_a_start_it_is_staged_and_not_called_corrupt(self):
        self.staged()
        self.running.stop()
        content = self.swap()
        self.begin()
        self.running.wait_status("^Ready: ")
        self.assertTrue(self.is_mirrored(content))
        self.assertNotRegex(self.running.log(), "withheld|corrupt|instead of")
        self.ends(**{"model.bin": content})

    def test_a_change_of_a_client_at_the_same_time_does_not_overwrite_it(self):
        self.staged(SettleTime="2s")
        ours = os.urandom(SIZE)
        theirs = self.swap()
        self.put("model.bin", ours)
        self.assert_both_survive(theirs, ours)

    def test_a_change_of_a_client_behind_the_back_of_the_daemon_does_not_overwrite_it(self):
        self.staged()
        self.running.kill()
        ours = os.urandom(SIZE)
        theirs = self.swap()
        self.put("model.bin", ours)
        self.begin()
        self.assert_both_survive(theirs, ours)

    def test_by_another_of_its_kind_nothing_is_saved(self):
        """The same bytes in another file: nothing to do."""
        self.staged()
        self.replace("model.bin", self.content, MTIME, root=self.source)
        inode = os.stat(self.on_disk("model.bin")).st_ino
        self.write("after", b"x")
        self.wait_same_file("after", self.running)
        self.running.wait_status(SAVED)
        self.assertNotRegex(self.running.log(), "Saved '|Updated|both sides")
        self.assertEqual(os.stat(self.on_disk("model.bin")).st_ino, inode)
        self.ends(**{"model.bin": self.content})


class OnTmpfs(ByRename, Source):
    pass


class OnExt4(ByRename, Source):
    """With times of nanoseconds."""

    def make_source(self):
        os.rmdir(self.source)
        self.source, _ = self.ext4(16 * MIB)


class Coarse(ByRename):
    """And written again within one tick."""
    tick = None  # seconds

    def within_a_tick(self, first, then):
        """Calls both in one tick, which is the same for both as far as the filesystem knows: @first when it begins. False if that took too long."""
        now = time.time()
        time.sleep(self.tick - now % self.tick + 0.05)  # the kernel's clock for files is some milliseconds behind
        end = (time.time() // self.tick + 1) * self.tick
        return first(end) and time.time() < end and then()

    def again(self, attempt, n=20):
        """Until it has happened in one tick."""
        for _ in range(n):
            if attempt():
                return
        self.fail("the machine is too slow for this: in %d attempts nothing came in one tick" % n)

    def rewrite(self):
        """Other bytes of the same size, in place. False if the file does not look as before then."""
        before, self.content = self.look(), os.urandom(SIZE)
        with open(self.on_disk("model.bin"), "r+b") as f:
            f.write(self.content)
        return self.look() == before

    def rewrite_twice(self):
        """The second time right after the first version was staged, or would have been by one who trusts such times."""
        def first(end):
            self.rewrite()
            while not self.is_mirrored(self.content) and time.time() < end - 0.3 * self.tick:
                self.running.pump(0.005)
            return True
        self.again(lambda: self.within_a_tick(first, self.rewrite))

    def test_written_again_within_the_tick_it_is_staged_again(self):
        self.staged(SettleTime="50ms")
        self.rewrite_twice()
        self.wait_mirrored(self.content)
        self.ends(**{"model.bin": self.content})
        self.assertEqual(self.kept(), {})

    def assert_not_called_corrupt(self, end_of):
        """Written again when no daemon runs any more: what is on record of it is a digest of other bytes."""
        self.staged(SettleTime="50ms")
        end_of(self.running)

        def first(end):
            self.rewrite()
            end_of(self.begin(SettleTime="50ms"))
            return True
        self.again(lambda: self.within_a_tick(first, self.rewrite))
        self.begin()
        self.wait_mirrored(self.content)
        self.running.wait_status("^Ready: ")
        self.assertNotRegex(self.running.log(), "withheld|corrupt|instead of")
        self.ends(**{"model.bin": self.content})
        self.assertEqual(self.kept(), {})

    def test_written_again_within_the_tick_after_a_stop_it_is_not_called_corrupt(self):
        self.assert_not_called_corrupt(lambda daemon: daemon.stop())

    def test_written_again_within_the_tick_after_a_kill_it_is_staged_again(self):
        self.assert_not_called_corrupt(lambda daemon: daemon.kill())

    def test_written_again_within_the_tick_a_change_of_a_client_does_not_overwrite_it(self):
        self.staged(SettleTime="50ms")
        self.rewrite_twice()
        ours = os.urandom(SIZE)
        self.put("model.bin", ours)
        self.assert_both_survive(self.content, ours)

    def test_staged_in_the_tick_of_its_writing_it_is_not_staged_for_ever(self):
        self.staged(SettleTime="50ms")
        self.rewrite()
        self.wait_mirrored(self.content)
        self.running.wait_status(SAVED)
        inode = self.inode("model.bin")
        self.wait_for_rest(lambda: self.running.log().count("Staged 'model.bin'"), 4, "it is staged", self.running)
        self.assertEqual(self.inode("model.bin"), inode, "equal bytes need no copy")
        self.ends(**{"model.bin": self.content})


class SmallInodes(Coarse, Source):
    """An ext4 with inodes of 128 bytes, which have room for seconds only."""
    tick = 1

    def make_source(self):
        os.rmdir(self.source)
        self.source, _ = self.ext4(16 * MIB, "-I", "128")


class Seconds(ByRename, Source):
    """A filesystem that is scanned periodically, at intervals as long as its tick, so that nothing else happens within one."""

    def make_source(self):
        self.source, _ = self.coarsefs(self.source, "--times=1")


class TwoSeconds(Coarse, Source):
    """As exFAT has them."""
    tick = 2

    def make_source(self):
        self.source, _ = self.coarsefs(self.source, "--times=2")


class OneNumber(Identity):
    """Different files have one number: unions and some network filesystems can give it."""

    def begin_with(self, n, *options):
        self.source, _ = self.coarsefs(self.source, "--inode=4711", *options)
        self.contents = {"%d.bin" % i: os.urandom(SIZE) for i in range(n)}
        for name, content in self.contents.items():
            self.write(name, content)
            self.assertEqual(os.stat(self.on_disk(name)).st_ino, 4711)
            os.utime(self.on_disk(name), ns=(MTIME, MTIME))
        self.begin(PollInterval="1s")
        self.running.wait_status(SAVED)

    def assert_their_own(self, root):
        self.assertEqual({name: self.seen_at(os.path.join(root, name)) for name in self.contents}, {n: short(c) for n, c in self.contents.items()},
                         self.running.log())

    def assert_apart(self, n, *options):
        self.begin_with(n, *options)
        self.assert_their_own(self.target)
        self.assertEqual(len({self.inode(name) for name in self.contents}), n)
        self.contents["0.bin"] = os.urandom(SIZE)
        self.put("0.bin", self.contents["0.bin"])  # in place
        self.wait_on_disk("0.bin", self.contents["0.bin"])
        self.running.wait_status(SAVED)
        self.contents["1.bin"] = os.urandom(SIZE)
        self.replace("1.bin", self.contents["1.bin"])
        self.wait_on_disk("1.bin", self.contents["1.bin"])
        self.contents["0.bin"] = os.urandom(SIZE)
        self.replace("0.bin", self.contents["0.bin"], root=self.source)
        self.wait_until(lambda: self.seen_at(self.mirrored("0.bin")) == short(self.contents["0.bin"]), "the disk's change in the mirror", self.running)
        self.running.wait_status(SAVED)
        for root in (self.source, self.target):
            self.assert_their_own(root)
        self.running.kill()
        self.begin(PollInterval="1s")
        self.running.wait_status(SAVED)
        for root in (self.source, self.target):
            self.assert_their_own(root)
        self.assertEqual(len({self.inode(name) for name in self.contents}), n)
        self.running.stop()
        self.assert_gone()
        self.assert_their_own(self.source)
        self.assertEqual((self.kept(), set(self.trash())), ({}, set()))

    def test_two_files_that_claim_two_names_each(self):
        self.assert_apart(2, "--links=2")

    def test_four_files_that_claim_two_names_each(self):
        self.assert_apart(4, "--links=2")

    def test_four_files_of_one_name_each(self):
        self.assert_apart(4)

    def test_one_of_them_deleted_in_the_mirror_the_others_stay(self):
        self.begin_with(4, "--links=2")
        gone = self.contents.pop("2.bin")
        os.unlink(self.mirrored("2.bin"))
        self.wait_until(lambda: not os.path.exists(self.on_disk("2.bin")), "the deletion", self.running)
        self.assertEqual([short(content) for content in self.trash().values()], [short(gone)])
        self.running.wait_status(SAVED)
        for root in (self.source, self.target):
            self.assert_their_own(root)
        self.running.stop()
        self.assert_their_own(self.source)


class Names(Identity):
    """Real hard links on a filesystem that is polled are still hard links."""

    def test_hard_links_are_one_file_in_the_mirror(self):
        self.source, _ = self.coarsefs(self.source, "--times=2")
        content = self.model()
        os.link(self.on_disk("model.bin"), self.on_disk("second.bin"))
        self.begin(PollInterval="1s")
        self.running.wait_status(SAVED)
        self.wait_until(lambda: self.inode("model.bin") == self.inode("second.bin"), "the two names to be tied", self.running)
        self.ends(**{"model.bin": content, "second.bin": content})


if __name__ == "__main__":
    harness.main(jobs=3)
