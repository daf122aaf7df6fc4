#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks that includes go one way: each module of the daemon includes only what stands before it.

Usage: includes.py SOURCE-ROOT

The order is that of core_sources and then ctl_modules in daemon/meson.build, lowest first. A module is x.c and x.h; a .c file without a header of its own
is a further part of the module whose header it includes first, and stands beside it in the list. A header without a .c
file is below all modules and may include only its like. What is not in the list is a program: it may include any module and is
included by none. An order in which nobody looks up has no circles, so there is no check for circles of its own.
"""

import re
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE_ROOT = Path(sys.argv[1])

# A library that is used by one file only, its door.
DOORS = {'xxhash.h': 'hasher.c', 'xxh3.h': 'hasher.c', 'inotifytools/': 'notifier.c',
         'gcrypt.h': 'claim.c', 'jansson.h': 'jsontext.h'}


def listed_sources(directory):
    text = re.sub(r'#.*', '', (directory / 'meson.build').read_text())
    blocks = re.findall(r'^(?:core_sources|ctl_modules) = files\((.*?)\)', text, re.S | re.M)
    return re.findall(r"'([\w-]+\.c)'", ''.join(blocks))


def includes(path):
    """What a file includes: the project's own headers, and those of others."""
    text = path.read_text()
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.M), re.findall(r'^\s*#\s*include\s+<([^>]+)>', text, re.M)


def modules_of(directory, sources):
    """source or header -> name of its module."""
    modules = {}
    for source in sources:
        stem = Path(source).stem
        if not (directory / f'{stem}.h').exists():
            own = includes(directory / source)[0] if (directory / source).exists() else []
            stem = Path(own[0]).stem if own else stem
        modules[source] = modules[f'{stem}.h'] = stem
    return modules


def check_list(directory, sources, modules):
    present = {path.name for path in directory.glob('*.c')}
    for name in sorted(set(sources) - present):
        yield f'{name} is listed but not there'
    for name in sorted({name for name in sources if sources.count(name) > 1}):
        yield f'{name} is listed twice'
    for name in sorted(present - set(sources)):
        if (directory / f'{Path(name).stem}.h').exists():
            yield f'{name} has a header of its own, so it is a module, but it is not listed'
    order = [modules[source] for source in sources]
    runs = [name for i, name in enumerate(order) if i == 0 or order[i - 1] != name]
    for name in sorted({name for name in runs if runs.count(name) > 1}):
        yield f'the files of module {name} do not stand together'


def check_file(path, modules, height):
    """height: module -> its place, the lowest is 0; headers without a .c are at -1, programs above all."""
    own = modules.get(path.name)
    here = height[own] if own else -1 if path.suffix == '.h' else len(height)
    ours, others = includes(path)
    if path.suffix == '.c' and own and ours[:1] != [f'{own}.h']:
        yield f'{path.name} does not include {own}.h first'
    for name in ours:
        there = height[modules[name]] if name in modules else -1
        if not (path.parent / name).exists():
            yield f'{path.name} includes {name}, which is not there'
        elif modules.get(name) != own and there >= here and there >= 0:
            yield f'{path.name} includes {name}, which stands above it'
    for header in others:
        for prefix, door in DOORS.items():
            if header.startswith(prefix) and path.name != door:
                yield f'{path.name} includes <{header}>, which only {door} may'


def complaints(directory):
    sources = listed_sources(directory)
    if not sources:
        return ['there is no list of core_sources']
    modules = modules_of(directory, sources)
    height = {}
    for source in sources:
        height.setdefault(modules[source], len(height))
    found = list(check_list(directory, sources, modules))
    for path in sorted(directory.glob('*.[ch]')):
        found += check_file(path, modules, height)
    return found


class Tree(unittest.TestCase):
    def test_the_daemon_includes_downwards_only(self):
        self.assertEqual(complaints(SOURCE_ROOT / 'daemon'), [])

    def test_the_daemon_is_not_empty(self):
        self.assertGreater(len(listed_sources(SOURCE_ROOT / 'daemon')), 30)


class Check(unittest.TestCase):
    """That the check above can fail."""

    def complaints(self, order, **files):
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            (directory / 'meson.build').write_text(f'core_sources = files(\n{order}, # lowest first\n)\n')
            for stem, (header, source) in files.items():
                if header is not None:
                    (directory / f'{stem}.h').write_text(header)
                if source is not None:
                    (directory / f'{stem}.c').write_text(source)
            return complaints(directory)

    def test_a_proper_tree_passes(self):
        self.assertEqual(self.complaints("'low.c', 'high.c', 'highfile.c'", base=('', None),
                                         low=('#include "base.h"\n', '#include "low.h"\n'),
                                         high=('', '#include "high.h"\n#include "low.h"\n'),
                                         highfile=(None, '#include "high.h"\n#include "low.h"\n'),
                                         main=(None, '#include "high.h"\n')), [])

    def test_a_source_that_looks_up_is_found(self):
        self.assertEqual(self.complaints("'low.c', 'high.c'", low=('', '#include "low.h"\n#include "high.h"\n'),
                                         high=('', '#include "high.h"\n')), ['low.c includes high.h, which stands above it'])

    def test_a_header_that_looks_up_is_found(self):
        self.assertEqual(self.complaints("'low.c', 'high.c'", low=('#include "high.h"\n', '#include "low.h"\n'),
                                         high=('', '#include "high.h"\n')), ['low.h includes high.h, which stands above it'])

    def test_a_circle_is_found(self):
        self.assertEqual(self.complaints("'a.c', 'b.c'", a=('', '#include "a.h"\n#include "b.h"\n'),
                                         b=('#include "a.h"\n', '#include "b.h"\n')), ['a.c includes b.h, which stands above it'])

    def test_a_base_header_that_includes_a_module_is_found(self):
        self.assertEqual(self.complaints("'low.c'", base=('#include "low.h"\n', None), low=('', '#include "low.h"\n')),
                         ['base.h includes low.h, which stands above it'])

    def test_a_second_part_counts_as_its_module(self):
        self.assertEqual(self.complaints("'low.c', 'lowfile.c', 'high.c'", low=('', '#include "low.h"\n'),
                                         lowfile=(None, '#include "low.h"\n#include "high.h"\n'), high=('', '#include "high.h"\n')),
                         ['lowfile.c includes high.h, which stands above it'])

    def test_parts_that_are_scattered_are_found(self):
        self.assertEqual(self.complaints("'low.c', 'high.c', 'lowfile.c'", low=('', '#include "low.h"\n'),
                                         lowfile=(None, '#include "low.h"\n'), high=('', '#include "high.h"\n')),
                         ['the files of module low do not stand together'])

    def test_a_module_that_is_not_listed_is_found(self):
        self.assertEqual(self.complaints("'low.c'", low=('', '#include "low.h"\n'), extra=('', '#include "extra.h"\n')),
                         ['extra.c has a header of its own, so it is a module, but it is not listed'])

    def test_a_library_behind_the_wrong_door_is_found(self):
        self.assertEqual(self.complaints("'low.c'", low=('', '#include "low.h"\n#include <xxhash.h>\n'),
                                         main=(None, '#include <inotifytools/inotifytools.h>\n')),
                         ['low.c includes <xxhash.h>, which only hasher.c may',
                          'main.c includes <inotifytools/inotifytools.h>, which only notifier.c may'])


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
