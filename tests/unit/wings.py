#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks that the wings of the daemon stand in one order, and that includes and symbols go down it.

Usage: wings.py SOURCE-ROOT WING-ARCHIVE...

A wing is a folder below daemon/. The order is that of the subdir() lines in daemon/meson.build (and, below ctl/, in its own), lowest first; files at the top
are programs and stand above all wings. A module is x.c and x.h of one wing. A .c file without a header of its own is a further part of the
module whose header, in the same wing, it includes first; x-internal.h is what the parts of x share. A header without a .c file is a module too.

Every exported function bears the name of its module: x_verb() or, where x alone is not clear enough, wing_x_verb(); of a module that is named for a kind of
thing also in the singular or plural (job_verb(), jobs_verb()).

stage/ and save/ are the two ways of the flow, and do not use each other. ctl/ and ctl/doctor/ make a program of their own, which has nothing of mirror/ and control/.

What the includes hide, the archives show: no archive needs a symbol that a wing defines which it may not include.
"""

import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE_ROOT, ARCHIVES = Path(sys.argv[1]), sys.argv[2:]

# A library that is used by one file only, its door.
DOORS = {'xxhash.h': 'base/xxh.c', 'xxh3.h': 'base/xxh.c', 'inotifytools/': 'tree/inotify.c',
         'gcrypt.h': 'base/claim.c', 'jansson.h': 'base/json-input.h', 'libsmartcols': 'ctl/table.c'}
MEMBER = re.compile(r'\[(?:.*/)?(?:\w+_)?([\w-]+)\.c\.o\]:$') # of an archive, as nm names it
LINE_MAX, FILE_MAX = 120, 450
UNRELATED = [('stage', 'save'), ('save', 'stage'), ('ctl', 'mirror'), ('ctl', 'control'), ('ctl/doctor', 'mirror'), ('ctl/doctor', 'control')]


def without_comments(text):
    return re.sub(r'#.*', '', text)


def wing_order(directory, prefix=''):
    """The folders, lowest first."""
    order = []
    for name in re.findall(r"subdir\('([\w-]+)'\)", without_comments((directory / 'meson.build').read_text())):
        order += wing_order(directory / name, f'{prefix}{name}/') + [prefix + name]
    return order


def wing_of(path):
    return path.rpartition('/')[0]


def may_use(order, user, used):
    """Whether a file of wing @user may use what is in wing @used; '' are the programs at the top."""
    if user == used or user == '':
        return True
    return used in order and order.index(used) < order.index(user) and (user, used) not in UNRELATED


def includes(path):
    """What a file includes: the project's own headers, and those of others."""
    text = path.read_text()
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.M), re.findall(r'^\s*#\s*include\s+<([^>]+)>', text, re.M)


def stem_of(name):
    return name.rpartition('.')[0].removesuffix('-internal')


def module_of(directory, name):
    """The module that a file is of: its own, or the one whose header it includes first."""
    if name.endswith('.h') or (directory / f'{stem_of(name)}.h').exists():
        return stem_of(name)
    first = includes(directory / name)[0][:1]
    return stem_of(first[0]) if first and wing_of(first[0]) == wing_of(name) else None


def check_lists(directory, order, files):
    for wing in order:
        listed = re.findall(r"'([\w-]+\.c)'", without_comments((directory / wing / 'meson.build').read_text()))
        present = {name.rpartition('/')[2] for name in files if wing_of(name) == wing and name.endswith('.c')}
        for name in sorted(set(listed) ^ present):
            yield f'{wing}/{name} is {"listed but not there" if name in listed else "not listed in meson.build"}'
        for name in sorted({name for name in listed if listed.count(name) > 1} - {'xxh.c'}):
            yield f'{wing}/{name} is listed twice'


def check_file(directory, order, name):
    wing, module = wing_of(name), module_of(directory, name)
    ours, others = includes(directory / name)
    if wing and module is None:
        yield f'{name} has no header of its own, and does not include one of its wing first'
    elif wing and name.endswith('.c') and stem_of(ours[0]) != module:
        yield f'{name} does not include {module}.h first'
    for header in ours:
        if '/' not in header and wing:
            yield f'{name} includes {header} without its wing'
        elif not (directory / header).exists():
            yield f'{name} includes {header}, which is not there'
        elif not may_use(order, wing, wing_of(header)):
            yield f'{name} includes {header}, which stands above it'
    for header in others:
        for prefix, door in DOORS.items():
            if header.startswith(prefix) and name != door:
                yield f'{name} includes <{header}>, which only {door} may'


def circles(edges):
    """Each set of modules that reach each other."""
    def reached(start):
        seen, todo = set(), list(edges.get(start, ()))
        while todo:
            module = todo.pop()
            if module not in seen:
                seen.add(module)
                todo += edges.get(module, ())
        return seen

    reach = {module: reached(module) for module in edges}
    return {tuple(sorted(other for other in reach if module in reach[other] and other in reach[module]))
            for module in reach if module in reach[module]}


def include_complaints(directory):
    order = wing_order(directory)
    files = sorted(str(path.relative_to(directory)) for path in directory.rglob('*.[ch]'))
    found = list(check_lists(directory, order, files))
    edges = {}
    for name in files:
        found += check_file(directory, order, name)
        module = module_of(directory, name)
        edges.setdefault(module, set()).update({stem_of(header) for header in includes(directory / name)[0]} - {module})
    return found + [f'{", ".join(circle)} include each other' for circle in sorted(circles(edges))]


def size_complaints(directory):
    for path in sorted(directory.rglob('*.[ch]')):
        lines = path.read_text().splitlines()
        if path.suffix == '.c' and len(lines) > FILE_MAX:
            yield f'{path.relative_to(directory)} has {len(lines)} lines'
        for number, line in enumerate(lines, 1):
            if len(line) > LINE_MAX:
                yield f'{path.relative_to(directory)}:{number} has {len(line)} columns'


def symbols(archive, kind):
    output = subprocess.run(['nm', f'--{kind}', '--extern-only', '--format=posix', archive], check=True, capture_output=True, text=True).stdout
    return {fields[0] for fields in map(str.split, output.splitlines()) if len(fields) > 1}


def symbol_complaints(order, archives):
    """archives: wing -> path."""
    home = {symbol: wing for wing, archive in archives.items() for symbol in symbols(archive, 'defined-only')}
    for wing, archive in archives.items():
        for symbol in sorted(symbols(archive, 'undefined-only')):
            if symbol in home and not may_use(order, wing, home[symbol]):
                yield f'{wing}/ needs {symbol}() of {home[symbol]}/, which stands above it'


def module_symbols(directory, wing, archive):
    """Module -> the symbols that it defines, and those that it needs."""
    output = subprocess.run(['nm', '--extern-only', '--format=posix', archive], check=True, capture_output=True, text=True).stdout
    defined, needed, module = {}, {}, None
    for line in output.splitlines():
        if member := MEMBER.search(line):
            module = module_of(directory, f'{wing}/{member[1]}.c')
        elif line:
            symbol, kind = line.split()[:2]
            (needed if kind == 'U' else defined).setdefault(module, set()).add(symbol)
    return defined, needed


def circle_complaints(directory, archives):
    """A header can hide whose function it declares; the symbols show it."""
    for wing, archive in archives.items():
        defined, needed = module_symbols(directory, wing, archive)
        home = {symbol: module for module, symbols in defined.items() for symbol in symbols}
        edges = {module: {home[symbol] for symbol in symbols if symbol in home} - {module} for module, symbols in needed.items()}
        for circle in sorted(circles(edges)):
            yield f'{", ".join(circle)} need functions of each other'


def bears_name(symbol, module):
    """Whether an exported name is one of its module, "wing/stem"."""
    wing, _, stem = module.replace('-', '_').rpartition('/')
    stems = {stem, f'{stem}s', stem.removesuffix('s')}
    names = stems | {f'{wing.rpartition("/")[2]}_{name}' for name in stems}
    return any(symbol == name or symbol.startswith(f'{name}_') for name in names)


def name_complaints(directory, archives):
    for wing, archive in archives.items():
        for module, symbols in module_symbols(directory, wing, archive)[0].items():
            for symbol in sorted(symbols):
                if not symbol.startswith(('__odr_asan', '.')) and not bears_name(symbol, module):
                    yield f'{symbol} of {module} does not bear the name of its module'


class Tree(unittest.TestCase):
    def setUp(self):
        self.order = wing_order(SOURCE_ROOT / 'daemon')
        self.archives = {next(wing for wing in self.order if Path(wing).name == Path(archive).stem[len('lib'):]): archive for archive in ARCHIVES}

    def test_there_are_wings(self):
        self.assertEqual(self.order[0], 'base')
        self.assertEqual(self.order[-1], 'ctl')
        self.assertGreater(len(self.order), 10)

    def test_includes_go_down_and_in_no_circle(self):
        self.assertEqual(include_complaints(SOURCE_ROOT / 'daemon'), [])

    def test_lines_and_files_are_short(self):
        self.assertEqual(list(size_complaints(SOURCE_ROOT / 'daemon')), [])

    def test_symbols_go_down(self):
        self.assertEqual(set(self.archives), set(self.order))
        self.assertEqual(list(symbol_complaints(self.order, self.archives)), [])

    def test_no_modules_of_a_wing_need_functions_of_each_other(self):
        self.assertEqual(list(circle_complaints(SOURCE_ROOT / 'daemon', self.archives)), [])

    def test_every_exported_function_bears_the_name_of_its_module(self):
        self.assertEqual(list(name_complaints(SOURCE_ROOT / 'daemon', self.archives)), [])


class Check(unittest.TestCase):
    """The checks above can fail."""

    def complaints(self, *wings, **files):
        """files: wing__name_h or wing__name_c -> its text."""
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            (directory / 'meson.build').write_text(''.join(f"subdir('{wing}') # lowest first\n" for wing in wings))
            for wing in wings:
                (directory / wing).mkdir()
            for key, text in files.items():
                wing, _, file = key.rpartition('__')
                (directory / wing / f'{file[:-2]}.{file[-1]}').write_text(text)
            for wing in wings:
                listed = sorted(path.name for path in (directory / wing).glob('*.c'))
                (directory / wing / 'meson.build').write_text(f'library({listed})\n')
            return include_complaints(directory)

    def test_a_proper_tree_passes(self):
        self.assertEqual(self.complaints('low', 'high', low__a_h='', low__a_c='#include "low/a.h"\n', high__b_h='#include "low/a.h"\n',
                                         high__b_c='#include "high/b.h"\n', high__part_c='#include "high/b.h"\n#include "low/a.h"\n',
                                         main_c='#include "high/b.h"\n'), [])

    def test_a_source_that_includes_upwards_is_found(self):
        self.assertEqual(self.complaints('low', 'high', low__a_h='', low__a_c='#include "low/a.h"\n#include "high/b.h"\n', high__b_h=''),
                         ['low/a.c includes high/b.h, which stands above it'])

    def test_a_header_that_includes_upwards_is_found(self):
        self.assertEqual(self.complaints('low', 'high', low__a_h='#include "high/b.h"\n', high__b_h=''),
                         ['low/a.h includes high/b.h, which stands above it'])

    def test_the_two_ways_of_the_flow_do_not_know_each_other(self):
        self.assertEqual(self.complaints('stage', 'save', stage__a_h='', save__b_h='#include "stage/a.h"\n'),
                         ['save/b.h includes stage/a.h, which stands above it'])

    def test_a_circle_in_a_wing_is_found(self):
        self.assertEqual(self.complaints('low', low__a_h='', low__a_c='#include "low/a.h"\n#include "low/b.h"\n', low__b_h='',
                                         low__b_c='#include "low/b.h"\n#include "low/a.h"\n'), ['low/a, low/b include each other'])

    def test_a_circle_through_a_part_is_found(self):
        self.assertEqual(self.complaints('low', low__a_h='', low__part_c='#include "low/a.h"\n#include "low/b.h"\n', low__b_h='#include "low/a.h"\n'),
                         ['low/a, low/b include each other'])

    def test_a_source_of_no_module_is_found(self):
        self.assertEqual(self.complaints('low', 'high', low__a_h='', high__part_c='#include "low/a.h"\n'),
                         ['high/part.c has no header of its own, and does not include one of its wing first'])

    def test_an_own_header_that_is_not_first_is_found(self):
        self.assertEqual(self.complaints('low', low__a_h='', low__b_h='', low__b_c='#include "low/a.h"\n#include "low/b.h"\n'),
                         ['low/b.c does not include low/b.h first'])

    def test_an_include_without_its_wing_is_found(self):
        self.assertEqual(self.complaints('low', low__a_h='', low__a_c='#include "low/a.h"\n#include "a.h"\n'),
                         ['low/a.c includes a.h without its wing'])

    def test_a_library_behind_the_wrong_door_is_found(self):
        self.assertEqual(self.complaints('low', low__a_h='#include <xxhash.h>\n', main_c='#include <inotifytools/inotifytools.h>\n'),
                         ['low/a.h includes <xxhash.h>, which only base/xxh.c may',
                          'main.c includes <inotifytools/inotifytools.h>, which only tree/inotify.c may'])

    def test_a_long_line_and_a_long_file_are_found(self):
        with tempfile.TemporaryDirectory() as name:
            Path(name, 'a.h').write_text('/*' + ' ' * 117 + '*/\n')
            Path(name, 'b.c').write_text('\n' * 451)
            self.assertEqual(list(size_complaints(Path(name))), ['a.h:1 has 121 columns', 'b.c has 451 lines'])

    def test_a_source_that_is_not_listed_is_found(self):
        with tempfile.TemporaryDirectory() as name:
            wing = Path(name, 'low')
            wing.mkdir()
            Path(name, 'meson.build').write_text("subdir('low')\n")
            (wing / 'meson.build').write_text("library(['b.c'])\n")
            (wing / 'a.h').write_text('')
            (wing / 'a.c').write_text('#include "low/a.h"\n')
            self.assertEqual(include_complaints(Path(name)), ['low/a.c is not listed in meson.build', 'low/b.c is listed but not there'])

    def test_the_parts_of_a_module_may_share_a_header(self):
        self.assertEqual(self.complaints('low', low__a_h='', **{'low__a-internal_h': '#include "low/a.h"\n', 'low__a_c': '#include "low/a-internal.h"\n',
                                                                'low__a-part_c': '#include "low/a-internal.h"\n'}), [])

    def test_a_function_of_another_name_is_found(self):
        self.assertTrue(bears_name('copy_lane_skip', 'stage/copy-lane'))
        self.assertTrue(bears_name('control_jobs_new', 'control/jobs'))
        self.assertTrue(bears_name('control_job_path', 'control/jobs'))
        self.assertTrue(bears_name('doctor_run', 'ctl/doctor/doctor'))
        self.assertFalse(bears_name('lane_skip', 'stage/copy-lane'))
        self.assertFalse(bears_name('copying', 'stage/copy'))
        with tempfile.TemporaryDirectory() as name:
            directory, archive = Path(name), Path(name, 'liblow.a')
            (directory / 'low').mkdir()
            (directory / 'low/a.h').write_text('')
            (directory / 'low/a.c').write_text('#include "low/a.h"\nvoid a_do(void);\nvoid b_do(void);\nvoid a_do(void) { }\nvoid b_do(void) { }\n')
            subprocess.run(['cc', '-c', f'-I{name}', '-o', directory / 'a.c.o', directory / 'low/a.c'], check=True)
            subprocess.run(['ar', 'rc', archive, directory / 'a.c.o'], check=True)
            self.assertEqual(list(name_complaints(directory, {'low': archive})), ['b_do of low/a does not bear the name of its module'])

    def test_modules_that_need_each_other_behind_a_third_header_are_found(self):
        with tempfile.TemporaryDirectory() as name:
            directory, archive = Path(name), Path(name, 'liblow.a')
            (directory / 'low').mkdir()
            texts = {'a': 'void a_do(void) { b_do(); }\n', 'b': 'void b_do(void) { a_do(); }\n', 'c': 'void c_do(void) { a_do(); }\n'}
            for stem in texts:
                (directory / f'low/{stem}.h').write_text('void a_do(void);\nvoid b_do(void);\nvoid c_do(void);\n' if stem == 'c' else '')
            for stem, text in texts.items():
                (directory / f'low/{stem}.c').write_text(f'#include "low/{stem}.h"\n#include "low/c.h"\n{text}')
                subprocess.run(['cc', '-c', f'-I{name}', '-o', directory / f'{stem}.c.o', directory / f'low/{stem}.c'], check=True)
            subprocess.run(['ar', 'rc', archive, *(directory / f'{stem}.c.o' for stem in texts)], check=True)
            self.assertEqual(list(circle_complaints(directory, {'low': archive})), ['low/a, low/b need functions of each other'])

    def test_a_symbol_from_above_is_found(self):
        with tempfile.TemporaryDirectory() as name:
            archives = {}
            for wing, text in [('low', 'void above(void);\nvoid below(void);\nvoid below(void) { above(); }\n'),
                               ('high', 'void above(void);\nvoid below(void);\nvoid above(void) { below(); }\n')]:
                source, thing, archives[wing] = Path(name, f'{wing}.c'), Path(name, f'{wing}.o'), Path(name, f'lib{wing}.a')
                source.write_text(text)
                subprocess.run(['cc', '-c', '-o', thing, source], check=True)
                subprocess.run(['ar', 'rc', archives[wing], thing], check=True)
            self.assertEqual(list(symbol_complaints(['low', 'high'], archives)), ['low/ needs above() of high/, which stands above it'])


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
