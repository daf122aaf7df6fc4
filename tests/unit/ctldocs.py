#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares the manual page and the completions of shmstagectl with the program's own lists.

Usage: ctldocs.py SHMSTAGECTL SOURCE-ROOT

The program lists its commands and options (--help), its columns and its states (when one is asked for that is not there). Each of them stands
in shmstagectl(1) and in both completions, and the manual page has no other.
"""

import re
import subprocess
import sys
import unittest
from pathlib import Path

PROGRAM, SOURCE_ROOT = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
PAGE = (SOURCE_ROOT / 'docs' / 'shmstagectl.1').read_text()
BASH = SOURCE_ROOT / 'conf' / 'completions' / 'shmstagectl.bash'
ZSH = SOURCE_ROOT / 'conf' / 'completions' / '_shmstagectl'


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True)


def part(text, heading):
    return re.search(rf'^{heading}:\n(.*?)(?=^\S|\Z)', text, re.M | re.S).group(1)


def commands():
    return re.findall(r'^  ([a-z-]+)\b', part(run('--help').stdout, 'Commands'), re.M)


def options():
    lines = part(run('--help').stdout, 'Options').splitlines()
    return sorted({word for line in lines for word in re.findall(r'(?<=--)[a-z-]+', line.split('   ')[0])})


def columns(*arguments):
    return re.findall(r'^  ([a-z-]+) ', run(*arguments, '--output=there-is-none').stderr, re.M)


def states():
    return run('list', '--state=there-is-none').stderr.splitlines()[-1].split()[1:]


def section(title):
    return re.search(rf'^\.Sh {title}\n(.*?)(?=^\.Sh |\Z)', PAGE, re.M | re.S).group(1)


def items(text, macro):
    """What the .It lines of a piece of the page name with a macro."""
    found = []
    for line in re.findall(r'^\.It (.*)$', text, re.M):
        found += re.findall(rf'(?:^| ){macro} ([\w-]+)', line)
    return found


def tables():
    """Commands that print tables -> their columns."""
    return {('list',): columns('list'), ('list', '--models'): columns('list', '--models'), ('plan',): columns('plan'),
            ('users',): columns('users')}


class Program(unittest.TestCase):
    """The lists below are what they should be."""

    def test_it_lists_its_commands(self):
        self.assertIn('status', commands())
        self.assertGreater(len(commands()), 10)
        for name in ('help', 'json', 'no-legend', 'timeout', 'watch'):
            self.assertIn(name, options())
        self.assertIn('skipped', states())
        for names in tables().values():
            self.assertIn('mirror', names)

    def test_help_fits_a_terminal_of_a_hundred_columns(self):
        for line in run('--help').stdout.splitlines():
            self.assertLessEqual(len(line), 100, line)

    def test_help_and_version_succeed(self):
        for option in ('--help', '--version', '-h'):
            done = run(option)
            self.assertEqual((done.returncode, done.stderr), (0, ''))


class Page(unittest.TestCase):
    def test_it_has_every_command_and_no_other(self):
        self.assertEqual(sorted(items(section('COMMANDS'), 'Cm')), sorted(commands()))

    def test_it_has_every_option_and_no_other(self):
        self.assertEqual(sorted({name.lstrip('-') for name in items(section('OPTIONS'), 'Fl') if name != 'h'}), options())

    def test_it_has_every_state_in_order(self):
        self.assertEqual(items(section('STATES'), 'Cm'), states())

    def test_it_has_every_column_in_order(self):
        wanted = [name for names in tables().values() for name in names]
        self.assertEqual(items(section('COLUMNS'), 'Cm'), wanted)

    def test_it_has_every_exit_status(self):
        self.assertEqual(re.findall(r'^\.It (\d+)$', section('EXIT STATUS'), re.M), ['0', '1', '2', '3', '4', '124'])


class Completions(unittest.TestCase):
    def check(self, text, names):
        words = set(re.findall(r'[\w-]+', text))
        self.assertEqual([name for name in names if name not in words], [])

    def test_they_are_syntactically_right(self):
        for shell, path in (('bash', BASH), ('zsh', ZSH)):
            done = subprocess.run([shell, '-n', path], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ''))

    def test_they_have_every_command_option_state_and_column(self):
        for path in (BASH, ZSH):
            text = path.read_text()
            with self.subTest(path.name):
                self.check(text, commands())
                self.check(text, ['--' + name for name in options()])
                self.check(text, states())
                for names in tables().values():
                    self.assertIn(' '.join(names), text)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
