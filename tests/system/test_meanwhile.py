# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to a file, on either side, while a save is on its way: above all after it has looked at the file for the last time, and before what was
saved is part of the base."""

import os

import harness
from test_identity import KIB, SAVED, Identity, altered, short

SIZE = 64 * KIB


class Meanwhile(Identity):
    def slow(self, calls="fsync", delay=700):
        """A daemon whose saves last for a while, because each file and directory is synced slowly."""
        self.running = self.ready(self.config(SettleTime="0"), traced=True)
        self.running.wait_status(SAVED)
        self.strace(self.running.pid, "-e", "trace=" + calls, "-e", "inject=%s:delay_enter=%d000" % (calls, delay))

    def saving(self, name, content, **slow):
        """A save of a file that has its name on the disk already and is not over."""
        self.slow(**slow)
        self.put(name, content)
        self.wait_on_disk(name, content)

    def alter(self, path, content):
        """In place, and as if it had not been."""
        st = os.stat(path)
        with open(path, "r+b") as f:
            f.write(content)
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


class InTheMirror(Meanwhile):
    def becomes_altered(self, name):
        content = os.urandom(SIZE)
        self.saving(name, content)
        content = altered(content)
        self.alter(self.mirrored(name), content)
        self.wait_on_disk(name, content, 60)
        self.ends(**{name: content})

    def test_a_new_file_that_is_altered_and_keeps_its_time_is_saved_again(self):
        self.write("other", b"x")
        self.becomes_altered("model.bin")

    def test_a_file_of_the_disk_that_is_altered_and_keeps_its_time_is_saved_again(self):
        self.model()
        self.becomes_altered("model.bin")

    def test_what_is_stored_without_a_trace_is_saved_again(self):
        self.model()
        self.saving("model.bin", os.urandom(SIZE))
        content = self.store("model.bin")
        self.wait_on_disk("model.bin", content, 60)
        self.ends(**{"model.bin": content})

    def test_what_is_written_while_a_scan_is_out_that_ends_after_the_save_is_saved_again(self):
        self.model()
        self.saving("model.bin", os.urandom(SIZE), calls="fsync,getdents64", delay=500)
        content = os.urandom(SIZE)
        self.put("model.bin", content)
        self.wait_on_disk("model.bin", content, 60)
        self.ends(**{"model.bin": content})


class OnTheDisk(Meanwhile):
    def test_what_is_altered_and_keeps_its_time_is_not_overwritten(self):
        content, ours = altered(self.model()), os.urandom(SIZE)
        self.slow()
        self.put("model.bin", ours)
        self.wait_until(lambda: os.path.isdir(self.on_disk(".shmstaged/tmp")) and os.listdir(self.on_disk(".shmstaged/tmp")),
                        "the save to begin", self.running)
        self.alter(self.on_disk("model.bin"), content)
        self.wait_until(lambda: {short(content), short(ours)} <= self.on_record(), "both versions on disk", self.running, 60)
        self.running.wait_status(SAVED, 60)
        self.running.stop()
        self.assertLessEqual({short(content), short(ours)}, self.on_record())

    def test_what_is_altered_and_keeps_its_time_is_staged_again(self):
        for name in "new", "model.bin":
            with self.subTest(name=name):
                self.model()
                self.saving(name, os.urandom(SIZE))
                content = altered(self.read(self.on_disk(name)))
                self.alter(self.on_disk(name), content)
                self.wait_until(lambda: self.read(self.mirrored(name)) == content, "the disk's version in the mirror", self.running, 60)
                self.ends(**{name: content})


class Staging(Meanwhile):
    """What a client stores into the old file, without a trace, while the new one of the disk is on its way into the mirror."""
    SIZE = 3 << 20

    def begin_slowly(self, *names):
        """The disk has new versions, which are being copied. Returns those, by name."""
        for name in names:
            self.model(name, self.SIZE)
        self.running = self.ready(self.config("[Daemon]\nWorkers=1\n[Mirror m]\nSource=%s\nTarget=%s\nSize=1G\nBandwidthLimit=1M\n" % (
            self.source, self.target)))
        self.running.wait_status(SAVED, 60)
        contents = {name: os.urandom(self.SIZE) for name in names}
        for name, content in contents.items():
            self.replace(name, content, root=self.source)
        self.running.wait_status("^Staging", 60)
        return contents

    def ends_with_both(self, theirs, ours):
        self.wait_until(lambda: {short(theirs), short(ours)} <= self.on_record(), "both versions on disk", self.running, 60)
        self.running.wait_status(SAVED, 60)
        self.running.stop()
        self.assertLessEqual({short(theirs), short(ours)}, self.on_record())

    def test_while_it_is_copied(self):
        theirs = self.begin_slowly("model.bin")["model.bin"]
        self.ends_with_both(theirs, self.store("model.bin"))

    def test_while_it_waits_for_its_turn(self):
        theirs = self.begin_slowly("a.bin", "b.bin")["b.bin"]
        self.ends_with_both(theirs, self.store("b.bin"))


if __name__ == "__main__":
    harness.main(jobs=2)
