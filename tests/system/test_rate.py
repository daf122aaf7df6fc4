# SPDX-License-Identifier: GPL-2.0-or-later
"""BandwidthLimit=: the source is read no faster, and not much slower, whatever there is to be read."""

import os
import re
import signal
import time

import harness

MB = 1000 * 1000


class Rate(harness.Case):
    work_size = "1g"

    def staged_in(self, **keys):
        """Seconds from the start to READY=1 of a daemon that is stopped again."""
        begun = time.monotonic()
        daemon = self.ready(self.config(**keys))
        took = [m for m in daemon.messages if "READY" in m][0]["at"] - begun
        self.assertEqual(self.xxh128sum().returncode, 0)
        daemon.stop()
        # so that the next one knows nothing of it
        for name in os.listdir(self.state):
            os.unlink(os.path.join(self.state, name))
        return took

    def assert_limited(self, size, limit, **keys):
        """What there is takes as long as the limit demands, and as much more as it takes without one. It is never faster; where other processes are at work on the machine
        it may be slower, or the limit be none at all, so it is tried again."""
        for attempt in range(5):
            free = min(self.staged_in(**keys) for _ in range(2))
            took = self.staged_in(BandwidthLimit=limit, **keys)
            wanted = size / limit
            print("%d bytes at %d a second: %.2f s, wanted %.2f s, and %.2f s without a limit" % (size, limit, took, wanted, free))
            self.assertGreater(took, wanted * 0.95)
            # nothing of the work is hidden behind the waiting, at worst
            if took < wanted * 1.05 + free and free < wanted * 0.9:
                return
        self.fail("at each of five attempts it was slower than the limit, or the machine was")

    def test_one_large_file_is_read_at_the_limit(self):
        self.write("large.gguf", size=80 * MB)
        self.assert_limited(80 * MB, 25 * MB)

    def test_one_large_file_is_read_at_the_limit_by_many_workers(self):
        self.write("large.gguf", size=80 * MB)
        with open(self.path("workers"), "w") as f:
            f.write("[Daemon]\nWorkers=8\n[Mirror m]\nSource=%s\nTarget=%s\nSize=200M\nBandwidthLimit=25M\n" % (self.source, self.target))
        begun = time.monotonic()
        daemon = self.ready(self.path("workers"))
        self.assertGreater(time.monotonic() - begun, 80 / 25 * 0.95)
        daemon.stop()

    def test_many_small_files_are_read_at_the_limit(self):
        for i in range(3000):
            self.write("d%d/%d" % (i % 7, i), size=20000)
        self.assert_limited(3000 * 20000, 20 * MB)

    def test_several_files_share_the_limit(self):
        for i in range(3):
            self.write("large-%d" % i, size=16 * MB)
        for i in range(800):
            self.write("small/%d" % i, size=15000)
        self.assert_limited(60 * MB, 20 * MB)

    def test_every_way_of_copying_keeps_the_limit(self):
        """What is in the page cache too: its digest is on record by a run before, and a way that is configured does not ask where it is."""
        self.source = os.path.join(self.ext4(128 << 20)[0], "models")
        self.write("large.gguf", size=40 * MB)
        self.ready().stop()
        for method in ("sendfile", "buffered", "direct"):
            begun = time.monotonic()
            daemon = self.ready(self.config(CopyMethod=method, BandwidthLimit="20M"))
            took = time.monotonic() - begun
            print("%s: %.2f s" % (method, took))
            self.assertGreater(took, 2 * 0.95, method)
            self.assertLess(took, 2 * 1.05 + 5 * harness.LONG, method)
            self.assertEqual("direct reads: " in daemon.status(), method == "direct", daemon.status())
            daemon.stop()

    def test_adopted_files_are_compared_at_the_limit(self):
        """Where no digest is on record, the source is read."""
        self.write("file", size=40 * MB)
        self.ready(self.config(RemoveOnStop="no")).stop()
        for name in os.listdir(self.state):
            os.unlink(os.path.join(self.state, name))
        inode = self.inode("file")
        begun = time.monotonic()
        daemon = self.ready(self.config(BandwidthLimit="20M"))
        took = time.monotonic() - begun
        self.assertGreater(took, 2 * 0.95)
        self.assertEqual(self.inode("file"), inode, "it was not copied again")
        daemon.stop()

    def test_each_mirror_has_a_limit_of_its_own(self):
        for name in ("one", "two"):
            self.write("file", size=30 * MB, root=self.path(name))
        config = self.config("[Daemon]\nWorkers=4\n" + "".join(
            "[Mirror %s]\nSource=%s\nTarget=%s\nSize=100M\nBandwidthLimit=10M\n" % (n, self.path(n), self.path("t-" + n)) for n in ("one", "two")))
        begun = time.monotonic()
        daemon = self.daemon(config)
        came = {}

        def have_come():
            for name in ("one", "two"):
                if name not in came and os.path.exists(self.path("t-" + name, "file")):
                    came[name] = time.monotonic()
            return len(came) == 2
        daemon.wait(have_come, "both files")
        daemon.wait_ready()
        self.assertGreater(min(came.values()) - begun, 3 * 0.95)
        self.assertLess(abs(came["one"] - came["two"]), 2, "one after the other the second would come 3 s later")
        daemon.stop()

    def test_a_mirror_without_a_limit_does_not_wait_for_one_that_has_it(self):
        """Also if both workers would have enough to do for the one that comes first."""
        for i in range(300):
            self.write("%03d" % i, size=1 * MB, root=self.path("slow"))
        self.write("file", size=5 * MB, root=self.path("fast"))
        config = self.config("[Daemon]\nWorkers=2\n[Mirror a]\nSource=%s\nTarget=%s\nSize=400M\nBandwidthLimit=1M\n"
                             "[Mirror b]\nSource=%s\nTarget=%s\nSize=100M\n" % (
                                 self.path("slow"), self.path("t-slow"), self.path("fast"), self.path("t-fast")))
        daemon = self.daemon(config)
        daemon.wait(lambda: os.path.exists(self.path("t-fast/file")), "the file of the mirror without a limit", 20)
        self.assertFalse(daemon.notified("READY"))
        daemon.signal(signal.SIGTERM)
        daemon.join()

    def test_a_stop_does_not_wait_for_the_limit(self):
        self.write("large", size=60 * MB)
        for i in range(500):
            self.write("small/%d" % i, size=10000)
        daemon = self.daemon(self.config(BandwidthLimit="100K"))
        daemon.wait(lambda: re.search("Staging", daemon.status() or ""), "staging to begin")
        begun = time.monotonic()
        daemon.signal(signal.SIGTERM)
        daemon.join()
        self.assertLess(time.monotonic() - begun, 20 * harness.LONG, "at the limit it would be ten minutes")
        self.assert_gone()

    def test_a_reload_raises_the_limit_of_a_copy_in_progress(self):
        self.write("large", size=60 * MB)
        path = self.config(BandwidthLimit="100K")
        daemon = self.daemon(path)
        daemon.wait(lambda: re.search("Staging", daemon.status() or ""), "staging to begin")
        with open(path) as f:
            text = f.read()
        with open(path, "w") as f:
            f.write(text.replace("BandwidthLimit=100K", "BandwidthLimit=30M"))
        begun = time.monotonic()
        daemon.signal(signal.SIGHUP)
        daemon.wait_ready()  # at the first limit that would be ten minutes
        self.assertGreater(time.monotonic() - begun, 1.7)
        self.assert_same_file("large")
        daemon.stop()

    def test_a_reload_sets_a_limit_for_later_copies(self):
        self.write("first", size=30 * MB)
        path = self.config(SettleTime="0")
        daemon = self.ready(path)
        with open(path, "a") as f:
            f.write("BandwidthLimit=10M\n")
        daemon.signal(signal.SIGHUP)
        daemon.wait(lambda: daemon.count("READY") == 2, "the end of the reload")
        self.write("later.part", size=20 * MB, root=self.work)
        begun = time.monotonic()
        os.rename(self.path("later.part"), os.path.join(self.source, "later"))
        daemon.wait(lambda: os.path.exists(self.mirrored("later")), "the next file")
        self.assertGreater(time.monotonic() - begun, 1.9)
        daemon.stop()


if __name__ == "__main__":
    harness.main()
