# SPDX-License-Identifier: GPL-2.0-or-later
"""What is still to be saved when the configuration, or what the tree looks like, changes: it is not lost, and not carried out against the new one."""

import os
import signal

import harness
from saving import Saving


class Reconfigured(Saving):
    def begin(self, **keys):
        self.file = self.config(**keys)
        return self.ready(self.file)

    def reload(self, daemon, **keys):
        os.replace(self.config(**keys), self.file)
        readies = daemon.count("READY")
        daemon.signal(signal.SIGHUP)
        daemon.wait(lambda: daemon.count("READY") > readies, "the end of the reload")

    def setUp(self):
        super().setUp()
        for i in range(10):
            self.write("other-%d" % i, b"%d" % i)

    def stops_with(self, daemon, **wanted):
        daemon.stop()
        self.assert_gone()
        self.assertEqual({name: self.read(self.original(name)) for name in wanted}, wanted)

    def test_a_changed_file_that_is_excluded_now_is_saved(self):
        self.write("notes.txt", b"old")
        daemon = self.begin(SettleTime="1h")
        self.put("notes.txt", b"changed")
        daemon.wait_status("1 not on disk yet")
        self.reload(daemon, Exclude="*.txt")
        self.stops_with(daemon, **{"notes.txt": b"changed"})

    def test_but_it_does_not_replace_what_was_changed_on_disk_meanwhile(self):
        self.write("notes.txt", b"old")
        daemon = self.begin(SettleTime="1h")
        self.put("notes.txt", b"changed")
        daemon.wait_status("1 not on disk yet")
        self.reload(daemon, Exclude="*.txt", SettleTime="1h")
        self.write("notes.txt", b"of the disk")
        daemon.stop(expect=1)
        self.assertEqual((self.read(self.original("notes.txt")), self.read(self.mirrored("notes.txt"))), (b"of the disk", b"changed"))

    def test_a_changed_file_that_was_excluded_while_no_daemon_ran_is_saved(self):
        self.write("notes.txt", b"old")
        daemon = self.ready(self.config(RemoveOnStop="no"))
        daemon.stop()
        self.put("notes.txt", b"changed")
        daemon = self.ready(self.config(Exclude="*.txt"))
        self.stops_with(daemon, **{"notes.txt": b"changed"})

    def test_of_a_file_that_is_not_selected_the_same_bytes_on_disk_are_enough(self):
        daemon = self.begin(Include="other-*")
        self.write("notes.txt", b"the same")
        self.put("notes.txt", b"the same")
        daemon.wait_log("'notes.txt' is on disk already")
        self.stops_with(daemon, **{"notes.txt": b"the same"})

    def test_files_that_look_unfinished_since_a_directory_was_made_are_saved(self):
        self.write("blobs/weights.bin", b"old")
        daemon = self.begin(SettleTime="1h")
        self.put("blobs/new.bin", b"new")
        self.put("blobs/weights.bin", b"changed")
        daemon.wait_status("2 not on disk yet")
        os.mkdir(self.mirrored("manifests"))  # it looks like an Ollama store now
        daemon.listen(1)
        self.stops_with(daemon, **{"blobs/new.bin": b"new", "blobs/weights.bin": b"changed"})

    def test_a_save_that_waits_is_dropped_when_nothing_is_to_be_saved_any_more(self):
        daemon = self.begin(SettleTime="1h")
        self.put("new", b"new")
        daemon.wait_status("1 not on disk yet")
        self.reload(daemon, WriteBack="no")
        daemon.wait_log("'.*/new' is new or changed in the mirror only and was left alone")
        daemon.stop(expect=1)
        self.assertEqual(self.read(self.mirrored("new")), b"new")
        self.assertFalse(os.path.exists(self.original("new")))

    def test_a_deletion_that_waits_is_dropped_too(self):
        self.write("b", b"precious")
        daemon = self.begin(Deletes="propagate")
        os.unlink(self.mirrored("b"))
        daemon.listen(1)
        self.reload(daemon, Deletes="propagate", WriteBack="no")
        daemon.listen(6)  # longer than a deletion waits
        self.assertEqual(self.read(self.original("b")), b"precious")
        daemon.stop()


class Links(Saving):
    def test_the_same_link_on_both_sides_right_before_a_stop_is_no_conflict(self):
        self.write("a", b"a")
        daemon = self.ready()
        for path in self.mirrored("link"), self.original("link"):
            os.symlink("a", path)
        daemon.stop()
        self.assert_gone()
        self.assertEqual(os.readlink(self.original("link")), "a")
        self.assertFalse(os.path.exists(self.original(".shmstaged/conflicts")))


class Exchanged(Saving):
    def test_of_a_file_and_a_directory_that_changed_places_there_is_no_conflict(self):
        self.write("d/x", b"x")
        self.write("f", b"f")
        daemon = self.ready()
        for old, new in ("d", "between"), ("f", "d"), ("between", "f"):
            os.rename(self.mirrored(old), self.mirrored(new))
        self.wait_until(lambda: self.names(self.source) >= {"d", "f/x"} and os.path.isfile(self.original("d")), "the exchange", daemon)
        daemon.stop()
        self.assert_gone()
        self.assertEqual((self.read(self.original("d")), self.read(self.original("f/x"))), (b"f", b"x"))
        self.assertNotIn("differs on disk", daemon.log())


class Unmounting(Saving):
    def test_nothing_is_written_to_a_mirror_that_is_just_being_unmounted(self):
        """What a process writes after the last look would be gone; it gets an error instead."""
        self.write("a", b"x")
        daemon = self.ready(traced=True)
        self.strace(daemon.pid, "-e", "trace=umount2", "-e", "inject=umount2:delay_enter=2s")
        daemon.signal(signal.SIGTERM)
        self.wait_until(lambda: self.names() == set(), "the removal", daemon)
        daemon.listen(1)
        with self.assertRaises(OSError):
            self.put("new", b"new content")
        self.assertEqual(daemon.join(60), 0)


if __name__ == "__main__":
    harness.main()
