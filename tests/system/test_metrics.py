# SPDX-License-Identifier: GPL-2.0-or-later
"""MetricsFile=: what is in it is true, it is whole at any moment, and nothing waits or wakes up for it."""

import os
import re
import signal

import harness


def parse(text):
    """name{labels} -> value, as a number; fails on anything that is no sample."""
    samples = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, value = line.rsplit(" ", 1)
        assert name not in samples, name
        samples[name] = float(value)
    return samples


class Metrics(harness.Case):
    work_size = "256m"

    def setUp(self):
        super().setUp()
        self.directory = self.path("collector")
        os.mkdir(self.directory)
        self.file = os.path.join(self.directory, "shmstaged.prom")

    def conf(self, file=None, **keys):
        values = {"Source": self.source, "Target": self.target, "Size": "64M", "SettleTime": "200ms", **keys}
        return self.config("[Daemon]\nMetricsFile=%s\n[Mirror m]\n%s" % (
            self.file if file is None else file, "".join("%s=%s\n" % item for item in values.items())))

    def samples(self):
        return parse(self.read(self.file).decode())

    def value(self, name, labels=""):
        try:
            return self.samples().get('shmstaged_%s{mirror="m"%s}' % (name, labels))
        except FileNotFoundError:
            return None

    def wait_value(self, daemon, name, value, labels=""):
        self.wait_until(lambda: self.value(name, labels) == value, "%s to be %s, not %s" % (name, value, self.value(name, labels)), daemon)

    def test_the_file_describes_the_mirror_and_in_the_end_its_outcome(self):
        self.write("a.gguf", size=3 << 20)
        self.write("b/c.gguf", size=1000)
        daemon = self.ready(self.conf())
        self.wait_value(daemon, "ready", 1)
        self.assertEqual((self.value("files"), self.value("ram_bytes"), self.value("degraded")), (2, (3 << 20) + 1000, 0))
        self.assertEqual(sum(self.value("staged_files_total", ',method="%s"' % method) for method in ("buffered", "direct", "sendfile")), 2)
        self.assertEqual(sum(self.value("staged_bytes_total", ',method="%s"' % method) for method in ("buffered", "direct", "sendfile")), (3 << 20) + 1000)
        self.wait_value(daemon, "state", 1, ',state="idle"')
        self.assertEqual(os.stat(self.file).st_mode & 0o7777, 0o644)
        self.wait_for_rest(lambda: (os.stat(self.file).st_ino, os.stat(self.file).st_mtime_ns), 3, "it is written while nothing changes", daemon)
        daemon.stop()
        # at once, not when ten seconds are over
        self.assertEqual((self.value("ready"), self.value("state", ',state="stopped"'), self.value("files"), self.value("ram_bytes")), (0, 1, 0, 0))
        self.assertEqual(os.listdir(self.directory), ["shmstaged.prom"])

    def test_saves_deletions_and_conflicts_are_counted(self):
        self.write("old.gguf", size=1000)
        self.write("both.gguf", size=1000)
        daemon = self.ready(self.conf())
        self.write("new.bin", size=5000, root=self.target)
        os.unlink(self.mirrored("old.gguf"))
        daemon.wait_log(r"Saved 'new.bin'")
        daemon.wait_log(r"'old.gguf' .*because it was deleted in the mirror", timeout=60)
        self.write("both.gguf", size=2000, root=self.target)
        self.write("both.gguf", size=3000)
        daemon.wait_log("differs on disk and in the mirror")
        daemon.stop()
        self.assertEqual((self.value("deletions_total"), self.value("conflicts_total"), self.value("open_conflicts")), (1, 1, 1))
        self.assertEqual(self.value("unsaved_files"), 0)
        self.assertIn((self.value("saved_files_total"), self.value("saved_bytes_total")), ((2, 7000), (2, 8000)))

    def test_failures_are_counted_and_seen(self):
        content = self.write("sha256-" + "0" * 64, size=1000)
        self.write("good.gguf", size=10)
        daemon = self.ready(self.conf())
        daemon.stop()
        self.rot(content)
        daemon = self.ready(self.conf())
        self.wait_value(daemon, "withheld_files", 1)
        self.assertEqual((self.value("ready"), self.value("degraded"), self.value("mismatches_total", ',found_by="staging"')), (1, 1, 1))
        daemon.stop()

    def test_a_missing_directory_is_reported_once_and_tried_again(self):
        self.write("a.gguf", size=1000)
        os.rmdir(self.directory)
        daemon = self.ready(self.conf())
        daemon.wait_log(r"Warning: Failed to write metrics to '.*/shmstaged.prom': No such file or directory")
        os.mkdir(self.directory)
        for i in range(3):
            self.write("more-%d" % i, size=100)
            daemon.listen(0.5)
        daemon.wait_log(r"Writing metrics to '.*/shmstaged.prom' works again")
        daemon.stop()
        self.assertEqual(daemon.log().count("Failed to write metrics"), 1)
        self.assertEqual(self.value("state", ',state="stopped"'), 1)

    def test_another_path_takes_its_place_at_a_reload_and_none_removes_the_file(self):
        self.write("a.gguf", size=1000)
        config = self.conf()
        daemon = self.ready(config)
        self.wait_value(daemon, "ready", 1)
        first, self.file = self.file, os.path.join(self.directory, "other.prom")
        os.replace(self.conf(), config)
        daemon.signal(signal.SIGHUP)
        self.wait_value(daemon, "ready", 1)
        self.wait_until(lambda: not os.path.exists(first), "the old file to go", daemon)
        os.replace(self.conf(file=""), config)
        daemon.signal(signal.SIGHUP)
        self.wait_until(lambda: os.listdir(self.directory) == [], "the file to go", daemon)
        daemon.stop()
        self.assertEqual(os.listdir(self.directory), [])

    def test_a_failed_start_is_recorded_in_the_file(self):
        self.write("a.gguf", size=1000)
        os.rename(self.source, self.source + "-elsewhere")
        self.refused(self.conf())
        self.assertEqual((self.value("ready"), self.value("state", ',state="failed"')), (0, 1))

    def test_a_disk_that_does_not_answer_holds_up_neither_the_daemon_nor_its_end(self):
        self.write("a.gguf", size=1000)
        slow, bindfs = self.bindfs(self.directory)
        self.file = os.path.join(slow, "shmstaged.prom")
        # leaks cannot be detected while a thread waits for that disk
        daemon = self.ready(self.conf(), traced=True)
        self.wait_value(daemon, "ready", 1)
        bindfs.send_signal(signal.SIGSTOP)
        self.write("b.gguf", size=1000)
        daemon.wait_status("2 files")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.join(20), 0, daemon.log())
        self.assert_gone()
        bindfs.send_signal(signal.SIGCONT)

    def test_a_planted_temporary_does_not_redirect_the_write(self):
        self.write("a.gguf", size=1000)
        victim = self.path("victim")
        with open(victim, "w") as f:
            f.write("mine")
        os.symlink(victim, os.path.join(self.directory, ".shmstaged.prom.new"))
        self.ready(self.conf()).stop()
        self.assertEqual(self.read(victim), b"mine")
        self.assertEqual(os.listdir(self.directory), ["shmstaged.prom"])

    def test_a_reader_never_sees_half_a_file(self):
        self.write("a.gguf", size=1000)
        daemon = self.daemon(self.conf())
        seen = set()
        while not daemon.notified("READY", "1"):
            daemon.pump(0.001)
            if os.path.exists(self.file):
                text = self.read(self.file).decode()
                self.assertTrue(re.search(r'^shmstaged_scrubbed_bytes_total\{mirror="m"\} 0\n\Z', text, re.M), text[-200:])
                seen.add(text)
        daemon.stop()
        self.assertGreater(len(seen), 0)


if __name__ == "__main__":
    harness.main(jobs=4)
