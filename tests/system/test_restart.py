# SPDX-License-Identifier: GPL-2.0-or-later
"""What a restart reads: an untouched mirror is adopted by its names, times and inodes, and no file of it is opened."""

import os
import re
import subprocess

import harness

FILES = 2000


class Restart(harness.Case):
    def tree(self):
        for i in range(FILES):
            self.write("d%02d/f%04d.bin" % (i % 20, i), size=100 + i)

    def killed(self):
        """A daemon was ready, and was killed."""
        self.tree()
        daemon = self.ready()
        self.assertRegex(daemon.status(), r"^Ready: 2000 files")
        daemon.kill()

    def opened(self):
        """Starts again; the files of source and mirror that were opened until the daemon was ready."""
        trace = self.path("trace-%d" % self.count())
        self.ready(wrapper=("strace", "-f", "-qq", "-o", trace, "-e", "trace=open,openat,openat2,open_by_handle_at"), traced=True).close()
        with open(trace, errors="surrogateescape") as f:
            calls = f.read()
        self.assertIn('"d07"', calls)  # or nothing was traced
        return re.findall(r'open\w*\([^"\n]*"(?:[^"\n]*/)?(f\d{4}\.bin)"', calls)

    def inodes(self):
        return {name: self.inode(name) for name in self.names() if name.endswith(".bin")}

    def test_an_untouched_mirror_is_adopted_without_opening_a_file(self):
        self.killed()
        before = self.inodes()
        self.assertEqual(len(before), FILES)
        self.assertEqual(self.opened(), [])
        self.assertEqual(self.inodes(), before)

    def test_files_touched_in_the_mirror_are_read_after_ready_only(self):
        self.killed()
        before = self.inodes()
        self.flip(self.mirrored("d07/f0007.bin"))
        self.flip(self.mirrored("d19/f1999.bin"), 50)
        os.chmod(self.mirrored("d03/f0123.bin"), 0o600)
        os.chmod(self.mirrored("d03/f0123.bin"), 0o644)  # its ctime has moved, its bytes have not
        self.assertEqual(self.opened(), [])
        self.assertEqual(self.inodes()["d03/f0123.bin"], before["d03/f0123.bin"])

    def test_only_files_touched_in_the_source_are_read(self):
        self.killed()
        self.write("d00/f0020.bin", size=5000)
        self.assertEqual(set(self.opened()), {"f0020.bin"})
        self.assert_same_file("d00/f0020.bin")

    def test_a_mirror_of_another_mount_is_staged_again(self):
        self.killed()
        subprocess.run(["umount", self.target], check=True)
        self.assertEqual(len(set(self.opened())), FILES)
        self.assertEqual(len(self.inodes()), FILES)


if __name__ == "__main__":
    harness.main()
