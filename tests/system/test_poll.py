# SPDX-License-Identifier: GPL-2.0-or-later
"""What changes on disk after READY where the filesystem reports nothing: all that is expected of a watched source, through FUSE."""

import harness
import test_watch


class Poll(test_watch.Watch):
    def start(self, **keys):
        fuse, _ = self.bindfs(self.source, "-o", "attr_timeout=0,entry_timeout=0")
        daemon = super().start(Source=fuse, PollInterval="1s", **keys)
        self.assertRegex(daemon.log(), "No change notifications on '.*'; scanning it every 1.0s")
        return daemon


class NoPoll(harness.Case):
    def test_without_polling_nothing_is_seen(self):
        self.write("a", b"old")
        fuse, _ = self.bindfs(self.source)
        daemon = self.ready(self.config(Source=fuse, PollInterval="off"))
        self.write("a", b"changed")
        daemon.listen(2)
        self.assertEqual(self.read(self.mirrored("a")), b"old")
        daemon.stop()


if __name__ == "__main__":
    harness.main()
