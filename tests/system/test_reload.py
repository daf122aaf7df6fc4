# SPDX-License-Identifier: GPL-2.0-or-later
"""SIGHUP: the mirrors become those of the configuration, and nothing else happens."""

import os
import re
import signal
import subprocess

import harness


class Reload(harness.Case):
    def setUp(self):
        super().setUp()
        for name in ("one", "two", "three"):
            self.write("data", size=300 << 10, root=self.path("s-" + name))
            self.write("d/more.txt", name, root=self.path("s-" + name))
        self.file = self.config("")

    def section(self, name, source=None, target=None, **keys):
        values = {"Source": self.path("s-" + (source or name)), "Target": self.path("t-" + (target or name)), "Size": "100M", **keys}
        return "[Mirror %s]\n%s" % (name, "".join("%s=%s\n" % item for item in values.items()))

    def configure(self, *sections):
        with open(self.file, "w") as f:
            f.write("".join(sections))

    def reload(self, daemon, *sections, timeout=30):
        """Waits until the daemon reports that the reload is complete."""
        self.configure(*sections)
        reloads, readies = daemon.count("RELOADING"), daemon.count("READY")
        daemon.signal(signal.SIGHUP)
        daemon.wait(lambda: daemon.count("RELOADING") > reloads and daemon.count("READY") > readies, "the end of the reload", timeout)

    def inodes(self, name):
        root = self.path("t-" + name)
        return {n: os.lstat(os.path.join(root, n)).st_ino for n in self.names(root)}

    def assert_whole(self, name, source=None, target=None):
        a, b = self.path("s-" + (source or name)), self.path("t-" + (target or name))
        self.assertEqual(self.names(a), self.names(b))
        for n in ("data", "d/more.txt"):
            self.assertEqual(self.read(os.path.join(a, n)), self.read(os.path.join(b, n)))

    def test_an_added_mirror_is_staged_and_the_others_are_untouched(self):
        self.configure(self.section("one"))
        daemon = self.ready(self.file)
        before = self.inodes("one")
        self.reload(daemon, self.section("one"), self.section("two"))
        self.assert_whole("two")
        self.assertEqual(self.inodes("one"), before)
        self.assertRegex(daemon.status(), "^Ready: 4 files")
        daemon.stop()
        for name in ("one", "two"):
            self.assertFalse(os.path.exists(self.path("t-" + name)))

    def test_a_removed_mirror_is_removed_and_the_others_are_untouched(self):
        self.configure(self.section("one"), self.section("two"))
        daemon = self.ready(self.file)
        before = self.inodes("one")
        self.reload(daemon, self.section("one"))
        self.wait_until(lambda: not os.path.exists(self.path("t-two")), "the removal", daemon)
        self.assertEqual(self.inodes("one"), before)
        self.assertTrue(os.path.exists(self.path("s-two/data")))
        self.assertRegex(daemon.status(), "^Ready: 2 files")
        daemon.stop()

    def test_a_removed_mirror_with_a_file_of_a_client_keeps_it(self):
        self.configure(self.section("one"), self.section("two", WriteBack="no"))
        daemon = self.ready(self.file)
        self.write("pulled", b"precious", root=self.path("t-two"))
        self.reload(daemon, self.section("one"))
        daemon.wait_log("files that are not from the source")
        self.assertEqual(self.read(self.path("t-two/pulled")), b"precious")
        self.assert_whole("one")
        self.assertIsNone(daemon.process.poll())
        daemon.signal(signal.SIGTERM)
        daemon.join()
        self.assertEqual(self.read(self.path("t-two/pulled")), b"precious")

    def test_nothing_changed_changes_nothing(self):
        self.configure(self.section("one"), self.section("two"))
        daemon = self.ready(self.file)
        before = self.inodes("one"), self.inodes("two")
        for _ in range(3):
            self.reload(daemon, self.section("one"), self.section("two"))
        self.assertEqual((self.inodes("one"), self.inodes("two")), before)
        daemon.stop()

    def test_another_choice_of_files_applies(self):
        self.configure(self.section("one"))
        daemon = self.ready(self.file)
        before = self.inodes("one")
        self.reload(daemon, self.section("one", Include="data"))
        self.assertEqual(self.names(self.path("t-one")), {"data"})
        self.assertEqual(self.inodes("one")["data"], before["data"])
        self.reload(daemon, self.section("one", Exclude="data"))
        self.assertEqual(self.names(self.path("t-one")), {"d", "d/more.txt"})
        self.reload(daemon, self.section("one"))
        self.assert_whole("one")
        daemon.stop()

    def test_another_source_or_target_starts_the_mirror_from_scratch(self):
        self.configure(self.section("one"), self.section("two"))
        daemon = self.ready(self.file)
        before = self.inodes("two")
        self.reload(daemon, self.section("one", target="elsewhere"), self.section("two"))
        self.assert_whole("one", target="elsewhere")
        self.assertFalse(os.path.exists(self.path("t-one")))
        self.reload(daemon, self.section("one", source="three", target="elsewhere"), self.section("two"))
        self.assert_whole("one", source="three", target="elsewhere")
        self.assertEqual(self.inodes("two"), before)
        self.assertRegex(daemon.status(), "^Ready: 4 files")
        daemon.stop()

    def test_two_mirrors_can_swap_their_targets(self):
        for i in range(3000):  # the removal of one takes longer than that of the other
            self.write("many/%d" % i, b"x", root=self.path("s-two"))
        self.configure(self.section("one"), self.section("two"))
        daemon = self.ready(self.file)
        self.reload(daemon, self.section("one", target="two"), self.section("two", target="one"))
        self.assert_whole("one", target="two")
        self.assert_whole("two", target="one")
        daemon.stop()

    def test_a_mirror_can_take_another_name(self):
        self.configure(self.section("one"))
        daemon = self.ready(self.file)
        self.reload(daemon, self.section("other", source="one", target="one"))
        self.assert_whole("one")
        self.assertRegex(daemon.status(), "^Ready: 2 files")
        daemon.stop()
        self.assertFalse(os.path.exists(self.path("t-one")))

    def test_an_invalid_configuration_changes_nothing_and_is_reported_with_its_line(self):
        self.configure(self.section("one"))
        daemon = self.ready(self.file)
        before = self.inodes("one")
        self.reload(daemon, self.section("two"), "OnNoRoom=perhaps\n")
        self.assertRegex(daemon.log(), re.escape(self.file) + r":5: .*OnNoRoom")
        self.assertRegex(daemon.log(), "Invalid configuration; keeping the previous one")
        self.assertEqual(self.inodes("one"), before)
        self.assertFalse(os.path.exists(self.path("t-two")))
        self.write("new", b"still watched", root=self.path("s-one"))
        self.wait_until(lambda: os.path.exists(self.path("t-one/new")), "the new file", daemon)
        os.unlink(self.file)
        daemon.signal(signal.SIGHUP)
        daemon.wait(lambda: daemon.count("READY") == 3, "the end of the reload")
        self.assertEqual({n: i for n, i in self.inodes("one").items() if n != "new"}, before)
        self.reload(daemon, self.section("one"), self.section("two"))
        self.assert_whole("two")
        daemon.stop()

    def test_an_invalid_configuration_acknowledges_nothing_and_a_valid_one_does(self):
        for i in range(8):
            self.write("f%d" % i, b"x", root=self.path("s-one"))
        sections = self.section("one", MassDeleteLimit="2 10%"), self.section("bad")
        self.configure(sections[0])
        daemon = self.ready(self.file)
        daemon.signal(signal.SIGSTOP)  # so that it is one wave
        for i in range(8):
            os.unlink(self.path("t-one/f%d" % i))
        daemon.signal(signal.SIGCONT)
        daemon.wait_status("8 deletions held back")
        for broken in (sections[0] + "OnNoRoom=perhaps\n", None):
            self.configure(broken or "")
            if not broken:
                os.unlink(self.file)
            reloads, readies = daemon.count("RELOADING"), daemon.count("READY")
            daemon.signal(signal.SIGHUP)
            daemon.wait(lambda: daemon.count("RELOADING") > reloads and daemon.count("READY") > readies, "the end of the reload")
            self.assertIn("8 deletions held back", daemon.status())
        self.reload(daemon, *sections)
        self.assertNotIn("held back", daemon.status())
        failures = daemon.log().count("Mirror 'bad' failed")
        self.assertEqual(failures, 1)
        self.reload(daemon, *sections, "OnNoRoom=perhaps\n")
        self.assertEqual(daemon.log().count("Mirror 'bad' failed"), failures, "it is not tried again")
        self.assertIn("s-bad", daemon.status())
        self.reload(daemon, sections[0])
        daemon.stop()

    def test_a_new_mirror_that_fails_fails_alone_and_may_be_corrected(self):
        self.configure(self.section("one"))
        daemon = self.ready(self.file)
        before = self.inodes("one")
        self.reload(daemon, self.section("one"), self.section("bad"))
        self.assertRegex(daemon.log(), "Mirror 'bad' failed. The source '.*s-bad' does not exist")
        self.assertRegex(daemon.status(), "s-bad' does not exist")
        self.assertEqual(self.inodes("one"), before)
        self.write("data", b"x", root=self.path("s-bad"))
        self.reload(daemon, self.section("one"), self.section("bad"))
        self.assertEqual(self.read(self.path("t-bad/data")), b"x")
        self.assertRegex(daemon.status(), "^Ready: 3 files")
        self.assertEqual(self.inodes("one"), before)
        daemon.stop()

    def test_a_mirror_that_failed_may_be_taken_out(self):
        self.configure(self.section("one"))
        daemon = self.ready(self.file)
        self.reload(daemon, self.section("one"), self.section("bad"))
        self.reload(daemon, self.section("one"))
        self.assertRegex(daemon.status(), "^Ready: 2 files")
        daemon.stop()

    def test_a_reload_while_staging_is_taken_up_afterwards(self):
        self.write("big", size=30 << 20, root=self.path("s-one"))
        slow, _ = self.bindfs(self.path("s-one"), "--read-rate=10M")
        first = self.section("one", ChunkSize="1M").replace(self.path("s-one"), slow)
        self.configure(first)
        daemon = self.daemon(self.file)
        daemon.wait_status("^Staging: [1-9]")
        self.configure(first, self.section("two"))
        for _ in range(3):
            daemon.signal(signal.SIGHUP)
        daemon.wait(lambda: daemon.count("RELOADING") > 0 and daemon.count("READY") == 2, "start and reload")
        order = [k for m in daemon.messages for k in ("RELOADING", "READY") if k in m]
        self.assertEqual(order, ["READY", "RELOADING", "READY"])
        self.assertTrue(os.path.exists(self.path("t-one/big")))
        self.assert_whole("two")
        daemon.stop()

    def test_many_reloads_at_once_end_in_the_last_configuration(self):
        self.configure(self.section("one"))
        daemon = self.ready(self.file)
        for i in range(20):
            self.configure(*(self.section(n) for n in (("two",), ("one", "three"), ("one", "two"))[i % 3]))
            daemon.signal(signal.SIGHUP)
            daemon.listen(0.03)
        self.reload(daemon, self.section("one"), self.section("two"))
        self.wait_until(lambda: os.path.exists(self.path("t-two/data")) and not os.path.exists(self.path("t-three")) and
                        (daemon.status() or "").startswith("Ready: 4 files"), "the last configuration", daemon)
        self.assert_whole("one")
        self.assert_whole("two")
        daemon.stop()
        self.assertEqual([n for n in os.listdir(self.work) if n.startswith("t-")], [])

    def test_a_stop_during_a_reload_leaves_nothing(self):
        self.write("big", size=60 << 20, root=self.path("s-two"))
        slow, _ = self.bindfs(self.path("s-two"), "--read-rate=10M")
        self.configure(self.section("one"))
        daemon = self.ready(self.file)
        self.configure(self.section("three"), self.section("two").replace(self.path("s-two"), slow))
        daemon.signal(signal.SIGHUP)
        daemon.wait_status("^Staging: ")
        daemon.stop()
        self.assertEqual([n for n in os.listdir(self.work) if n.startswith("t-")], [])

    def test_withheld_files_get_another_try(self):
        self.configure(self.section("one"))
        self.ready(self.file).stop()
        self.rot(self.path("s-one/data"))
        daemon = self.ready(self.file, traced=True)
        self.assertRegex(daemon.status(), "^Degraded")
        tracer = self.strace(daemon.pid, "-P", self.path("s-one/data"), "-e", "trace=pread64")
        self.reload(daemon, self.section("one"))
        tracer.terminate()
        tracer.wait()
        self.assertRegex(self.read(self.path(next(n for n in os.listdir(self.work) if n.startswith("strace-")))).decode(), r"pread64\(")
        self.assertRegex(daemon.status(), "^Degraded")
        subprocess.run(["cp", "--preserve=timestamps", self.path("s-one/data"), self.path("copy")], check=True)
        self.rot(self.path("copy"))
        os.rename(self.path("copy"), self.path("s-one/data"))
        self.reload(daemon, self.section("one"))
        daemon.wait_status("^Ready: 2 files")
        daemon.stop()


if __name__ == "__main__":
    harness.main()
