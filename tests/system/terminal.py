# SPDX-License-Identifier: GPL-2.0-or-later
"""A terminal for programs that draw: a pty, and a screen that understands as much as ours send."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

from harness import LONG


class TooWide(AssertionError):
    pass


class Terminal:
    """Runs a command on a terminal of its own. screen() has what it shows, .sent what it sent."""

    def __init__(self, case, command, columns=80, rows=24, env=None):
        self.case = case
        self.columns, self.rows = columns, rows
        self.master, slave = pty.openpty()
        self.slave_name = os.ttyname(slave)
        case.addCleanup(os.close, self.master)
        case.addCleanup(os.close, slave)
        self.slave = slave
        self.size(columns, rows, notify=False)
        self.before = termios.tcgetattr(slave)
        self.sent = b""

        def own_terminal():
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, preexec_fn=own_terminal,
                                        env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", **(env or {})})
        case.addCleanup(self.process.wait)
        case.addCleanup(self.process.kill)

    def listen(self, seconds):
        """Lets time pass, and takes what is sent meanwhile."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.pump()
            self.case.take_notifications()

    def size(self, columns, rows, notify=True):
        self.columns, self.rows = columns, rows
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if notify:
            self.process.send_signal(signal.SIGWINCH)

    def type(self, keys):
        os.write(self.master, keys)

    def log(self):
        return self.sent[-3000:].decode(errors="replace")

    def pump(self, timeout=0.02):
        while select.select([self.master], [], [], timeout)[0]:
            timeout = 0
            self.sent += os.read(self.master, 65536)

    def wait(self, predicate, what, timeout=20):
        end = time.monotonic() + timeout * LONG
        while True:
            self.pump()
            self.case.take_notifications()
            if predicate():
                return
            if time.monotonic() > end:
                self.case.fail("timeout while waiting for %s; what was sent last:\n%s" % (what, self.log()))

    def wait_for(self, pattern):
        """Waits for a pattern on the screen. A drawing that is too wide may be one for the size before: the next has to fit."""
        def is_there():
            try:
                return re.search(pattern, "\n".join(self.screen()))
            except TooWide:
                return False
        self.wait(is_there, "/%s/" % pattern)

    def join(self):
        """Waits for the end; the exit status."""
        self.wait(lambda: self.process.poll() is not None, "the end")
        self.pump()
        return self.process.returncode

    def settings(self):
        return termios.tcgetattr(self.slave)

    def shown(self):
        """The lines and what is left of the state: (lines, alternate, cursor visible). A line of the last drawing that is too wide fails."""
        screens = {False: [[" "] * self.columns for _ in range(self.rows)]}
        alternate, visible, x, y = False, True, 0, 0
        text = self.sent.decode(errors="replace")
        at, last = 0, text.rfind("\x1b[H")  # each drawing begins so, and is of the whole screen
        for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]|[^\x1b\r\n]", text):
            grid = screens[alternate]
            at += len(part)
            if part == "\r":
                x = 0
            elif part == "\n":
                y += 1
                if y == self.rows:
                    grid.append([" "] * self.columns)
                    del grid[0]
                    y -= 1
            elif part in ("\x1b[?1049h", "\x1b[?1049l"):
                alternate = part.endswith("h")
                if alternate:
                    screens[True] = [[" "] * self.columns for _ in range(self.rows)]
                x = y = 0
            elif part in ("\x1b[?25h", "\x1b[?25l"):
                visible = part.endswith("h")
            elif part == "\x1b[H":
                x = y = 0
            elif part == "\x1b[K":
                grid[y][x:] = [" "] * (self.columns - x)
            elif part == "\x1b[J":
                grid[y][x:] = [" "] * (self.columns - x)
                grid[y + 1:] = [[" "] * self.columns for _ in range(self.rows - y - 1)]
            elif part.endswith("m") and part.startswith("\x1b["):
                pass
            elif part.startswith("\x1b"):
                raise AssertionError("a sequence that this terminal does not know: %r" % part)
            else:
                if x == self.columns:
                    if alternate and at > last:
                        raise TooWide("a line is wider than %d columns: %r" % (self.columns, "".join(grid[y])))
                    x, y = 0, min(y + 1, self.rows - 1)
                grid[y][x] = part
                x += 1
        return ["".join(line).rstrip() for line in screens[alternate]], alternate, visible

    def screen(self):
        return self.shown()[0]
