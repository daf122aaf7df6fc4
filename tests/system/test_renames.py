# SPDX-License-Identifier: GPL-2.0-or-later
"""What is renamed in the mirror to a name that is not saved, or not yet, was not deleted: its old name stays on the disk, also with Deletes=propagate.
And a link to the disk stands for the file that it leads to."""

import hashlib
import os
import signal
import subprocess

import harness
from saving import MIB, Saving
from test_operations import CTL


class Renames(Saving):
    """All deletions are carried out for good, so a wrong one is a loss."""

    def setUp(self):
        super().setUp()
        for i in range(10):  # else it would be a wave that is held back
            self.write("other-%d" % i, b"%d" % i)

    def begin(self, **keys):
        return self.ready(self.config(**{"Deletes": "propagate", **keys}))

    def move(self, *names):
        for old, new in zip(names[::2], names[1::2]):
            os.rename(self.mirrored(old), self.mirrored(new))

    def contents(self):
        """Of the disk, without what is never touched."""
        return {name: self.read(self.original(name)) for name in self.names(self.source)
                if os.path.isfile(self.original(name)) and not name.startswith(("other-", ".shmstaged"))}

    def stops_with(self, daemon, **wanted):
        daemon.stop()
        self.assert_gone()
        self.assertEqual(self.contents(), wanted)


class ToNamesThatAreNotSaved(Renames):
    def test_a_file_over_a_blob_with_another_digest(self):
        blob = "sha256-" + hashlib.sha256(b"a blob").hexdigest()
        self.write("blobs/" + blob, b"a blob")
        self.write("precious", b"only one")
        daemon = self.begin(Layout="ollama")
        self.move("precious", "blobs/" + blob)
        daemon.wait_status("1 rejected")
        self.stops_with(daemon, precious=b"only one", **{"blobs/" + blob: b"a blob"})

    def test_a_file_over_one_that_is_marked_as_unfinished(self):
        self.write("x.bin", b"x")
        self.write("precious", b"only one")
        daemon = self.begin()
        self.put("x.bin.aria2", b"")
        daemon.listen(1)
        self.move("precious", "x.bin")
        daemon.stop(expect=1)
        self.assertEqual(self.contents(), {"precious": b"only one", "x.bin": b"x"})

    def test_a_file_that_was_replaced_and_whose_new_version_was_renamed(self):
        self.write("a", b"old")
        daemon = self.begin(SettleTime="1h")
        self.put("new", b"the new version")
        self.move("new", "a")
        daemon.wait_status("1 not on disk yet")
        self.move("a", "a.part")
        daemon.listen(1)
        self.stops_with(daemon, a=b"old")

    def test_a_symbolic_link(self):
        self.write("a", b"a")
        os.symlink("a", self.original("link"))
        daemon = self.begin()
        self.move("link", "link.tmp")
        daemon.stop()
        self.assert_gone()
        self.assertEqual(os.readlink(self.original("link")), "a")

    def test_until_the_new_name_is_saved_the_old_one_stays(self):
        self.write("a", b"a")
        self.write("b", b"b")
        daemon = self.begin(SettleTime="1h")
        self.move("a", "b")
        daemon.listen(6)  # longer than a deletion waits
        self.assertEqual(self.contents(), {"a": b"a", "b": b"b"})
        self.stops_with(daemon, b=b"a")

    def test_and_when_it_is_saved_the_old_one_goes(self):
        self.write("a", b"a")
        self.write("b", b"b")
        daemon = self.begin()
        self.move("a", "b")
        self.wait_until(lambda: self.contents() == {"b": b"a"}, "the deletion", daemon)
        daemon.stop()


class LinksToTheDisk(Renames):
    def begin(self, **keys):
        self.files = {name: os.urandom(size * MIB) for name, size in (("m1", 8), ("m2", 9))}
        for name, content in self.files.items():
            self.write(name, content)
        daemon = super().begin(OnNoRoom="link", Size="4M", **keys)
        self.assertTrue(all(os.path.islink(self.mirrored(name)) for name in self.files))
        return daemon

    def test_to_an_unfinished_name(self):
        daemon = self.begin()
        self.move("m1", "m1.part")
        self.stops_with(daemon, **self.files)

    def test_over_another_file_renames_what_they_lead_to(self):
        self.write("b", b"b")
        daemon = self.begin()
        self.move("m1", "b")
        daemon.wait_log("Renamed 'm1' to 'b' on disk")
        self.stops_with(daemon, b=self.files["m1"], m2=self.files["m2"])

    def test_one_after_the_other(self):
        daemon = self.begin()
        self.move("m2", "m3", "m1", "m2")
        daemon.wait_log("Renamed 'm1' to 'm2' on disk")
        self.stops_with(daemon, m2=self.files["m1"], m3=self.files["m2"])

    def test_before_a_file_takes_the_name(self):
        daemon = self.begin()
        self.move("m2", "m3")
        self.put("m2", b"another one")
        daemon.wait_log("Renamed 'm2' to 'm3' on disk")
        self.stops_with(daemon, m1=self.files["m1"], m2=b"another one", m3=self.files["m2"])

    def test_what_is_put_over_a_released_and_renamed_file_is_saved_without_a_conflict(self):
        self.write("f", b"f")
        daemon = self.begin()
        self.assertEqual(subprocess.run([CTL, "--socket=" + os.path.join(self.runtime, "control"), "release", "f"], check=False).returncode, 0)
        self.move("f", "g")
        daemon.wait_log("Renamed 'f' to 'g' on disk")
        daemon.listen(1)
        os.unlink(self.mirrored("g"))
        self.put("g", b"another one")
        self.wait_until(lambda: self.read(self.original("g")) == b"another one", "the save", daemon)
        daemon.stop()
        self.assertFalse(os.path.exists(self.original(".shmstaged/conflicts")))

    def test_exchanged_both_files_stay(self):
        """What cannot be done is not done by half."""
        daemon = self.begin()
        self.move("m1", "between", "m2", "m1", "between", "m2")
        daemon.stop(expect=1)
        self.assertEqual(self.contents(), self.files)


class Kept(Renames):
    def test_what_was_kept_on_disk_is_kept_by_another_policy_too(self):
        self.write("a", b"a")
        self.write("b", b"b")
        path = self.config(Deletes="keep")
        daemon = self.ready(path)
        os.unlink(self.mirrored("a"))
        daemon.listen(1)
        os.replace(self.config(Deletes="propagate"), path)
        daemon.signal(signal.SIGHUP)
        daemon.wait(lambda: daemon.count("READY") == 2, "the end of the reload")
        os.unlink(self.mirrored("b"))
        self.wait_until(lambda: self.contents() == {"a": b"a"}, "the deletion", daemon)
        self.stops_with(daemon, a=b"a")


if __name__ == "__main__":
    harness.main()
