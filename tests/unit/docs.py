#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares the sample configuration and shmstaged.conf(5) with the table of settings in the program.

Usage: docs.py PRINT-ROWS SOURCE-ROOT

Every setting is in the sample, commented out with exactly its default, and in the manual page, with its default
named; neither has a key that the program does not know; and whatever they show as an example loads without a note. What can be
checked in every manual page is checked in all of them.
"""

import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PRINT_ROWS, SOURCE_ROOT = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
SAMPLE = SOURCE_ROOT / 'conf' / 'shmstaged.conf'
PAGE = SOURCE_ROOT / 'docs' / 'shmstaged.conf.5'
PAGES = sorted((SOURCE_ROOT / 'docs').glob('*.[1-8]'))


def rows():
    output = subprocess.run([PRINT_ROWS], check=True, capture_output=True, text=True).stdout
    return [line.split('\t') for line in output.splitlines()]


def notes(text):
    """The program's complaints about a configuration; nothing if it is valid."""
    with tempfile.NamedTemporaryFile('w', suffix='.conf') as file:
        file.write(text)
        file.flush()
        return subprocess.run([PRINT_ROWS, file.name], capture_output=True, text=True).stderr


def plain(roff):
    """The text of a piece of mdoc, without macros and escapes."""
    text = re.sub(r'^\.(Pa|Cm|Ic|Li|Dq|Em|Xr|Ql|Ar) ', '', roff, flags=re.M)
    return re.sub(r'\s+', ' ', text.replace('\\&', ''))


def sample_keys():
    section, keys = None, []
    for line in SAMPLE.read_text().splitlines():
        if match := re.fullmatch(r'#?\[(\w+)( \w+)?\]', line):
            section = match[1]
        elif match := re.fullmatch(r'(#?)(\w+)=(.*)', line):
            keys.append((section, match[2], match[3], match[1]))
    return keys


def page_items():
    """(section, key) -> the text below its `.It Ic Key=`, up to the next key, subsection or section."""
    items = {}
    for part in re.split(r'^\.Sh ', PAGE.read_text(), flags=re.M)[1:]:
        if not (match := re.match(r'\[(\w+)[^\]]*\] SECTION\n', part)):
            continue
        for item in re.split(r'^\.It Ic (?=\w+=\n)', part, flags=re.M)[1:]:
            key, text = item.split('=\n', 1)
            items[match[1].capitalize(), key] = plain(re.split(r'^\.Ss ', text, flags=re.M)[0])
    return items


class Docs(unittest.TestCase):
    maxDiff = None

    def test_the_table_has_rows(self):
        self.assertGreater(len(rows()), 10)

    def test_the_sample_has_every_setting_commented_out_with_its_default(self):
        self.assertEqual(sample_keys(), [(section, key, default, '#') for section, key, default, _ in rows()])

    def test_each_setting_of_the_sample_is_explained_above_it(self):
        lines = SAMPLE.read_text().splitlines()
        for i, line in enumerate(lines):
            if re.fullmatch(r'#\w+=.*', line):
                self.assertRegex(lines[i - 1], r'^# \S', line)

    def test_the_sample_has_only_comments(self):
        self.assertEqual([line for line in SAMPLE.read_text().splitlines() if line and not line.startswith('#')], [])

    def test_the_sample_loads_without_a_note_as_it_is_and_with_everything_set(self):
        text = SAMPLE.read_text()
        self.assertEqual(notes(text), '')
        self.assertEqual(notes(re.sub(r'^#(?=\w+=|\[)', '', text, flags=re.M)), '')

    def test_a_wrong_sample_would_be_noticed(self):
        self.assertIn('Swap=', notes('[Mirror a]\nSwap=maybe\n'))
        self.assertIn('Swapp=', notes('[Mirror a]\nSwapp=no\n'))

    def test_the_page_has_every_setting_and_no_other(self):
        self.assertEqual(sorted(page_items()), sorted((section, key) for section, key, _, _ in rows()))

    def test_the_page_names_every_default(self):
        items = page_items()
        for section, key, default, kind in rows():
            wanted = ('The default is the empty list' if kind == 'list' else f'The default is {default} .' if default
                      else 'The default is empty:')
            with self.subTest(key=key):
                self.assertIn(wanted, items[section, key])

    def test_the_examples_of_the_page_load_without_a_note(self):
        examples = re.findall(r'^\.Bd -literal.*?\n(.*?)^\.Ed', PAGE.read_text(), flags=re.M | re.S)
        self.assertGreater(len(examples), 2)
        for example in examples:
            self.assertEqual(notes(example), '', example)

    def test_the_pages_are_clean_mdoc(self):
        for page in PAGES:
            found = subprocess.run(['mandoc', '-T', 'lint', page], capture_output=True, text=True).stdout.splitlines()
            # whether the other pages are installed does not matter for this one
            self.assertEqual([line for line in found if 'referenced manual not found' not in line], [])

    def test_the_pages_name_no_key_that_is_not_there(self):
        known = {key for _, key, _, _ in rows()}
        self.assertGreaterEqual(len(PAGES), 3)
        for page in PAGES:
            named = re.findall(r'^\.Ic (\w+)=', page.read_text(), flags=re.M)
            self.assertEqual(set(named) - known, set(), page)

    def test_references_within_a_page_lead_somewhere(self):
        for page in PAGES:
            text = page.read_text()
            titles = set(re.findall(r'^\.S[hs] (.*)$', text, flags=re.M))
            self.assertEqual({name for name in re.findall(r'^\.Sx (.*?)(?: [.,;:)]+)?$', text, flags=re.M)} - titles, set(), page)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
