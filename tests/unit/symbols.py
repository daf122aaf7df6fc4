#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks that no name of ours can take the place of one of libinotifytools's own.

Usage: symbols.py SHMSTAGED ARCHIVE... -- COMPILER...

The library exports every symbol it has, small words among them ("initialized", "isdir"). The linker exports a program's symbol of
the same name, and then the library's own code uses the program's. Hidden visibility prevents that; this checks the result.
"""

import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM, END = sys.argv[1], sys.argv.index('--')
ARCHIVES, COMPILER = sys.argv[2:END], sys.argv[END + 1:]


def names(*arguments):
    output = subprocess.run(['nm', '--defined-only', '--format=posix', *arguments], check=True, capture_output=True, text=True).stdout
    return {line.split()[0].split('@')[0] for line in output.splitlines() if len(line.split()) > 1}


def library():
    output = subprocess.run(['ldd', PROGRAM], check=True, capture_output=True, text=True).stdout
    return re.search(r'libinotifytools\.so\.\d+ => (\S+)', output).group(1)


class Symbols(unittest.TestCase):
    def test_no_exported_name_is_one_of_the_library(self):
        theirs = names('-D', library())
        self.assertGreater(len(theirs), 40)
        self.assertEqual(names('-D', PROGRAM) & theirs, set())

    def test_nothing_of_ours_is_exported(self):
        ours = names('--extern-only', *ARCHIVES)
        self.assertGreater(len(ours), 500)
        self.assertEqual(names('-D', PROGRAM) & (ours | {'main'}), set())

    def test_a_visible_name_would_be_found(self):
        with tempfile.TemporaryDirectory() as directory:
            source, program = Path(directory, 'clash.c'), Path(directory, 'clash')
            source.write_text('int initialized = 1;\nint inotifytools_initialize(void);\n'
                              'int main(void) { return inotifytools_initialize(); }\n')
            subprocess.run([*COMPILER, '-o', program, source, '-linotifytools'], check=True)
            self.assertIn('initialized', names('-D', str(program)) & names('-D', library()))


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
