# SPDX-License-Identifier: GPL-2.0-or-later
"""What is sent to the service manager, and when."""

import os
import re
import signal
import time

import harness


class Ready(harness.Case):
    def assert_all_there(self, names, source=None):
        for name in names:
            self.assertEqual(self.digest(self.mirrored(name)), self.digest(os.path.join(source or self.source, name)), name)

    def test_ready_comes_once_and_only_when_everything_is_there(self):
        names = ["f%02d" % i for i in range(8)]
        for name in names:
            self.write(name, size=4 << 20)
        slow, _ = self.bindfs(self.source, "--read-rate=20M")
        daemon = self.daemon(self.config(Source=slow, ChunkSize="1M"))
        missing = 0
        while not daemon.notified("READY"):
            # files missing before the notification was sent prove nothing after it
            missing += not all(os.path.exists(self.mirrored(name)) for name in names)
            daemon.pump(0.01)
            self.assertIsNone(daemon.process.poll(), daemon.log())
        self.assertGreater(missing, 10)
        self.assert_all_there(names)
        self.assertTrue(os.path.exists(os.path.join(self.state, "m.xxh128")))
        self.write("later", b"x")
        daemon.listen(1.5)
        daemon.stop()
        self.assertEqual(daemon.count("READY"), 1)
        self.assertEqual(daemon.count("STOPPING", "1"), 1)

    def test_an_empty_source_is_ready_too(self):
        daemon = self.ready()
        self.assertRegex(daemon.status(), "^Ready: 0 files")
        daemon.stop()
        self.assert_gone()

    def test_a_change_right_after_ready_is_not_missed(self):
        for i in range(200):
            self.write("d%d/f" % i, b"old")
        daemon = self.ready()
        for i in range(200):
            self.write("d%d/f" % i, b"newer")
        self.wait_until(lambda: all(self.read(self.mirrored("d%d/f" % i)) == b"newer" for i in range(200)), "the change", daemon)
        daemon.stop()

    def test_ready_waits_for_all_mirrors(self):
        self.write("big", size=20 << 20)
        self.write("small", b"1", root=self.path("other"))
        slow, _ = self.bindfs(self.source, "--read-rate=10M")
        daemon = self.ready(self.config(
            "[Mirror quick]\nSource=%s\nTarget=%s\nSize=10M\n[Mirror slow]\nSource=%s\nTarget=%s\nSize=50M\nChunkSize=1M\n" % (
                self.path("other"), self.path("quick"), slow, self.target)))
        self.assert_all_there(["big"])
        self.assertTrue(os.path.exists(self.path("quick/small")))
        daemon.stop()
        self.assertEqual(daemon.count("READY"), 1)

    def failing(self, config, reason):
        daemon = self.daemon(config)
        self.assertEqual(daemon.join(), 1, daemon.log())
        self.assertFalse(daemon.notified("READY"))
        self.assertRegex(daemon.status(), "^Failed: .*" + reason)
        self.assertRegex(daemon.log(), reason)
        self.assertFalse(os.path.ismount(self.target))

    def test_ready_is_never_sent_when_the_start_fails(self):
        self.write("f", size=3 << 20)
        self.failing(self.config(Source=self.path("none")), "does not exist")
        self.failing(self.config(Size="1M"), "Insufficient space")
        self.write("g", b"1", root=self.path("other"))
        self.failing(self.config("[Mirror good]\nSource=%s\nTarget=%s\nSize=10M\n[Mirror bad]\nSource=%s\nTarget=%s\n" % (
            self.path("other"), self.target, self.path("none"), self.path("t2"))), "does not exist")
        self.assertEqual(os.listdir(self.source), ["f"])

    def extensions(self, daemon, since):
        return [m for m in daemon.messages if "EXTEND_TIMEOUT_USEC" in m and m["at"] >= since]

    def test_the_timeout_is_extended_only_while_bytes_move(self):
        self.write("big", size=240 << 20)
        slow, process = self.bindfs(self.source, "--read-rate=10M")
        daemon = self.daemon(self.config(Source=slow, ChunkSize="1M"))
        daemon.wait(lambda: len(self.extensions(daemon, 0)) >= 3, "extensions while bytes move")
        for message in daemon.messages:
            if "EXTEND_TIMEOUT_USEC" in message:
                self.assertGreaterEqual(int(message["EXTEND_TIMEOUT_USEC"]), 2_000_000)
        process.send_signal(signal.SIGSTOP)
        daemon.listen(2)  # what was under way arrives
        frozen = time.monotonic()
        daemon.listen(6)
        self.assertEqual(self.extensions(daemon, frozen), [])
        self.assertRegex(daemon.status(), r"no progress for \d")
        process.send_signal(signal.SIGCONT)
        daemon.wait(lambda: self.extensions(daemon, time.monotonic() - 1), "extensions when bytes move again", 10)
        self.assertFalse(daemon.notified("READY"))
        daemon.stop()

    def test_the_stop_timeout_is_extended_only_while_the_removal_moves(self):
        for i in range(40):
            self.write("f%02d" % i, b"x")
        daemon = self.ready(traced=True)
        self.strace(daemon.pid, "-e", "trace=renameat2", "-e", "inject=renameat2:delay_enter=400000")
        daemon.signal(signal.SIGTERM)
        daemon.wait(lambda: daemon.notified("STOPPING", "1"), "STOPPING=1")
        stopping = time.monotonic()
        self.assertEqual(daemon.join(), 0, daemon.log())
        self.assertGreaterEqual(len(self.extensions(daemon, stopping)), 2)
        self.assertTrue(any(re.match("Removing the mirror: .* remaining", s) for s in daemon.statuses()), daemon.statuses())
        self.assert_gone()

    def test_a_removal_that_hangs_gets_no_more_time(self):
        self.write("f", b"x")
        daemon = self.ready(traced=True)
        self.strace(daemon.pid, "-e", "trace=renameat2", "-e", "inject=renameat2:delay_enter=7000000")
        daemon.signal(signal.SIGTERM)
        daemon.listen(2.5)
        hanging = time.monotonic()
        daemon.listen(3.5)
        self.assertIsNone(daemon.process.poll())
        self.assertEqual(self.extensions(daemon, hanging), [])
        self.assertEqual(daemon.join(), 0)

    def test_changes_from_the_watch_request_no_more_time(self):
        self.write("f", b"x")
        daemon = self.ready()
        daemon.listen(1.5)
        ready = time.monotonic()
        self.write("g", size=1 << 20)
        self.wait_until(lambda: os.path.exists(self.mirrored("g")), "the new file", daemon)
        daemon.listen(1.5)
        # nothing waits for what the watch brings
        self.assertEqual(self.extensions(daemon, ready), [])
        daemon.stop()


class Watchdog(harness.Case):
    def pings(self, daemon, since):
        return [m["at"] for m in daemon.messages if m.get("WATCHDOG") == "1" and m["at"] >= since]

    def test_the_watchdog_is_fed_at_all_times(self):
        self.write("big", size=40 << 20)
        slow, process = self.bindfs(self.source, "--read-rate=20M")
        begun = time.monotonic()
        daemon = self.daemon(self.config(Source=slow, ChunkSize="1M", PollInterval="1s"), env={"WATCHDOG_USEC": "3000000"})
        daemon.wait_status("^Staging: ")
        daemon.listen(0.5)
        process.send_signal(signal.SIGSTOP)  # a source that hangs is no reason to be killed
        daemon.listen(5)
        process.send_signal(signal.SIGCONT)
        daemon.wait_ready()
        daemon.listen(3.5)
        ended = time.monotonic()
        pings = [begun, *self.pings(daemon, begun), ended]
        self.assertGreater(len(pings), 5)
        self.assertLess(max(b - a for a, b in zip(pings, pings[1:])), 3.0, [p - begun for p in pings])
        daemon.stop()

    def test_without_a_watchdog_nothing_is_fed(self):
        self.write("f", b"x")
        daemon = self.ready()
        daemon.listen(1)
        self.assertFalse(daemon.notified("WATCHDOG"))
        daemon.stop()


class Reloading(harness.Case):
    def test_reloading_carries_its_time_and_ends_in_ready(self):
        self.write("f", b"x")
        daemon = self.ready()
        for turn in (2, 3):
            before = time.monotonic_ns() // 1000
            daemon.signal(signal.SIGHUP)
            daemon.wait(lambda: daemon.count("READY") == turn, "READY=1 after the reload")
            message = [m for m in daemon.messages if m.get("RELOADING") == "1"][-1]
            self.assertGreaterEqual(int(message["MONOTONIC_USEC"]), before)
            self.assertLessEqual(int(message["MONOTONIC_USEC"]), time.monotonic_ns() // 1000)
            self.assertEqual(daemon.count("RELOADING"), turn - 1)
            order = [k for m in daemon.messages for k in ("RELOADING", "READY") if k in m]
            self.assertEqual(order, ["READY"] + ["RELOADING", "READY"] * (turn - 1))
        daemon.stop()


if __name__ == "__main__":
    harness.main()
