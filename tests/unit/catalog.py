#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The message catalog against the events of the program, and against journalctl(1).

Usage: catalog.py SOURCE-ROOT
"""

import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE_ROOT = Path(sys.argv[1]).resolve()
CATALOG = SOURCE_ROOT / 'units' / 'shmstaged.catalog'
DAEMON = SOURCE_ROOT / 'daemon'


def entries():
    """id -> (header, text)"""
    found = {}
    for part in re.split(r'^-- ', CATALOG.read_text(), flags=re.M)[1:]:
        identity, rest = part.split('\n', 1)
        header, text = rest.split('\n\n', 1)
        assert identity not in found, identity
        found[identity] = dict(line.split(': ', 1) for line in header.splitlines()), text
    return found


def messages():
    """name -> id"""
    return dict(re.findall(r'^#define MESSAGE_(\w+) "([0-9a-f]{32})"$', (DAEMON / 'base' / 'messages.h').read_text(), re.M))


class Catalog(unittest.TestCase):
    def test_every_event_has_an_entry_and_every_entry_an_event(self):
        self.assertGreater(len(messages()), 10)
        self.assertEqual(len(set(messages().values())), len(messages()))
        self.assertEqual(sorted(entries()), sorted(messages().values()))

    def test_every_event_is_logged_somewhere(self):
        used = set()
        for path in DAEMON.rglob('*.c'):
            used.update(re.findall(r'\bMESSAGE_([A-Z_]+)\b', path.read_text()))
        self.assertEqual({name for name in messages() if name not in used}, set())

    def test_the_text_of_each_explains_the_event_and_names_its_documentation(self):
        for identity, (header, text) in entries().items():
            with self.subTest(identity):
                self.assertEqual(sorted(header), ['Defined-By', 'Documentation', 'Subject'])
                self.assertEqual(header['Defined-By'], 'shmstaged')
                for page in re.findall(r'man:([\w.-]+)\((\d)\)', header['Documentation']):
                    self.assertTrue((SOURCE_ROOT / 'docs' / '.'.join(page)).exists(), page)
                self.assertGreaterEqual(len(text.strip().split('\n\n')), 2, 'what it means, and what to do')
                self.assertLessEqual(max(map(len, text.splitlines())), 100)

    def test_the_fields_of_the_texts_are_fields_of_the_log(self):
        written = set(re.findall(r'\{ "(\w+)", ', (DAEMON / 'base' / 'log.c').read_text()))
        self.assertIn('SHMSTAGED_MIRROR', written)
        self.assertEqual(set(re.findall(r'@(\w+)@', CATALOG.read_text())) - written, set())

    def test_keys_that_the_texts_name_are_there(self):
        rows = set(re.findall(r'"(\w+)"', (DAEMON / 'config' / 'keys.c').read_text()))
        named = set(re.findall(r'\b([A-Z]\w+)=', CATALOG.read_text()))
        self.assertIn('MassDeleteLimit', named)
        self.assertEqual(named - rows, set())

    def test_journalctl_takes_it(self):
        with tempfile.TemporaryDirectory() as root:
            directory = Path(root) / 'usr/lib/systemd/catalog'
            directory.mkdir(parents=True)
            (Path(root) / 'var/lib/systemd/catalog').mkdir(parents=True)
            (directory / CATALOG.name).write_bytes(CATALOG.read_bytes())
            done = subprocess.run(['journalctl', '--update-catalog', '--root=' + root], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, '', ''))
            listed = subprocess.run(['journalctl', '--list-catalog', '--root=' + root], capture_output=True, text=True, check=True).stdout
            self.assertEqual(sorted(re.findall(r'^([0-9a-f]{32}) shmstaged: ', listed, re.M)), sorted(messages().values()))
            dumped = subprocess.run(['journalctl', '--dump-catalog', '--root=' + root], capture_output=True, text=True, check=True).stdout
            for _, text in entries().values():
                self.assertIn(text.strip(), dumped)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
