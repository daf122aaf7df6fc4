#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares the table of a mirror's phases in docs/architecture.md with the one in daemon/mirror/phase.c.

Usage: phases.py PRINT-PHASES SOURCE-ROOT
"""

import re
import subprocess
import sys
import unittest
from pathlib import Path

PRINT_PHASES, SOURCE_ROOT = Path(sys.argv[1]).resolve(), Path(sys.argv[2])


def phases_of_the_program():
    output = subprocess.run([PRINT_PHASES], check=True, capture_output=True, text=True).stdout
    rows = [line.split('\t') for line in output.splitlines()]
    return [(name, state, set(filter(None, following.split(',')))) for name, state, following in rows]


def phases_of_the_page():
    text = (SOURCE_ROOT / 'docs' / 'architecture.md').read_text()
    section = re.search(r'^## A mirror over time\n(.*?)^## ', text, re.M | re.S)[1]
    rows = re.findall(r'^\| `([^`]+)` \| (\w+) \| ([^|]+) \| ([^|]*)\|$', section, re.M)
    return [(name, state, set(re.findall(r'`([^`]+)`', following))) for name, state, _, following in rows]


class Phases(unittest.TestCase):
    maxDiff = None

    def test_the_page_has_the_table_of_the_program(self):
        self.assertEqual(phases_of_the_page(), phases_of_the_program())

    def test_each_phase_can_be_reached_and_leads_to_an_end(self):
        following = {name: after for name, _, after in phases_of_the_program()}
        first = next(iter(following))

        def reached(name):
            seen, todo = set(), [name]
            while todo:
                phase = todo.pop()
                if phase not in seen:
                    seen.add(phase)
                    todo += following[phase]
            return seen

        self.assertEqual(reached(first), set(following))
        for name, after in following.items():
            self.assertTrue({'stopped', 'failed'} & reached(name), name)
            self.assertNotIn(name, after)
        self.assertEqual([name for name, after in following.items() if not after], ['stopped', 'failed'])


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
