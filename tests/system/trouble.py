# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of a source in trouble share."""

import os
import re
import threading
import time

import harness

MIB = 1 << 20
NOBODY = 65534


class Loop:
    """Does something again and again until it is stopped."""

    def __init__(self, act, pause=0.0):
        self.act, self.pause, self.over, self.error = act, pause, threading.Event(), None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while not self.over.is_set():
                self.act()
                time.sleep(self.pause)
        except BaseException as error:
            self.error = error

    def stop(self):
        self.over.set()
        self.thread.join()
        if self.error:
            raise self.error


class Trouble(harness.Case):
    happens_again = None  # a pattern: what happens to the daemon several times may be logged as often

    def tearDown(self):
        """Each event was logged once, not at each scan, and sanitizers reported nothing."""
        for daemon in self.daemons:
            lines = [line for line in daemon.log().splitlines() if line.startswith(("Warning: ", "Error: ", "Skipped "))]
            lines = [line for line in lines if not self.happens_again or not re.search(self.happens_again, line)]
            self.assertEqual(sorted(set(lines)), sorted(lines), "logged twice")
            self.assertNotRegex(daemon.log(), "Sanitizer|runtime error")

    def logged_once(self, daemon, pattern):
        """The one line of the log that matches."""
        lines = [line for line in daemon.log().splitlines() if re.search(pattern, line)]
        self.assertEqual(len(lines), 1, "%s:\n%s" % (pattern, daemon.log()))
        return lines[0]

    def stop_traced(self, daemon):
        super().stop_traced(daemon)
        self.assert_gone()

    def original(self, name):
        return os.path.join(self.source, name)

    def as_user(self):
        """For a daemon without the rights of root: a place for its mirror, and its state."""
        place = self.path("shared")
        os.mkdir(place)
        os.chmod(place, 0o1777)
        os.chown(self.state, NOBODY, NOBODY)
        self.target = os.path.join(place, "models")

    def nudge(self, name="nudge"):
        """Something new in the source, so that the daemon scans. Waits until it has."""
        self.write(name, os.urandom(8))
        content = self.read(self.original(name))
        self.wait_until(lambda: os.path.exists(self.mirrored(name)) and self.read(self.mirrored(name)) == content, "a scan",
                        self.daemons[-1])
