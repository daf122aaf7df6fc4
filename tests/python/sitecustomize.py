# SPDX-License-Identifier: GPL-2.0-or-later
"""Read by every Python that the tests start, because its directory stands in their PYTHONPATH: a file, socket or process that a test does not close makes its
program fail. With PYTHONWARNINGS=error::ResourceWarning each of them is an error, but one in a destructor, which Python only writes down."""

import atexit
import gc
import os
import sys

left_open = []


def note(unraisable):
    if isinstance(unraisable.exc_value, ResourceWarning):
        left_open.append(str(unraisable.exc_value))
    sys.__unraisablehook__(unraisable)


def judge():
    gc.collect()
    if left_open:
        print("Not closed: %s" % "; ".join(left_open), file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


if any(option.startswith("error::ResourceWarning") for option in sys.warnoptions):
    sys.unraisablehook = note
    atexit.register(judge)
