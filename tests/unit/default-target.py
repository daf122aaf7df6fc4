#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Plain ninja builds the programs and what is installed with them, and nothing that only tests need.

Usage: default-target.py BUILD-DIRECTORY
"""

import re
import subprocess
import sys
import unittest

BUILD = sys.argv[1]


def parts(target):
    """What ninja makes for it, group by group down to what is no group."""
    text = subprocess.run(["ninja", "-C", BUILD, "-t", "query", target], capture_output=True, text=True, check=True).stdout
    found = re.search(r"^  input: phony\n((?:    .*\n)*)", text, re.M)
    return {part for name in re.findall(r"[^ |\n]+", found[1]) for part in parts(name)} if found else {target}


class DefaultTarget(unittest.TestCase):
    def test_it_has_the_programs(self):
        self.assertLessEqual({"daemon/shmstaged", "daemon/shmstagectl", "units/shmstaged-generator"}, parts("all"))

    def test_it_has_no_test_program_and_nothing_that_is_fetched(self):
        self.assertIn("tests/make-gguf", parts("test-programs"))
        self.assertEqual([name for name in parts("all") if name.startswith("tests/")], [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
