#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks that what changes a file goes through one of two doors.

Usage: doors.py BUILD-ROOT WING-ARCHIVE... -- PROGRAM...

The door to the two trees, source and mirror, is os/tree-access with os/tree-rename and os/tree-attributes; that to our own files is os/own-file. The object
files show who else calls the C library for that: nobody may but for the exceptions below, each of which has a reason. An exception that is not used any more
has to go, so that the list only becomes shorter.
"""

import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BUILD_ROOT = Path(sys.argv[1])
ARCHIVES, PROGRAMS = sys.argv[2:sys.argv.index('--')], sys.argv[sys.argv.index('--') + 1:]

CALLS = set('''
    open openat creat fopen freopen opendir mkstemp mkostemp mkdtemp tmpfile
    rename renameat renameat2 link linkat symlink symlinkat mkdir mkdirat mknod mknodat mkfifo mkfifoat
    unlink unlinkat rmdir remove truncate ftruncate
    chmod fchmod fchmodat lchmod chown fchown lchown fchownat utime utimes futimes lutimes futimesat futimens utimensat
    setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr
    open_by_handle_at syscall'''.split())

DOORS = ['os/tree-access', 'os/tree-rename', 'os/tree-attributes', 'os/own-file']

# Module -> its calls, and why they may be there.
EXCEPTIONS = {
    'os/fs': ('openat syscall', 'opens for reading only, below a directory that is open, and asserts that; openat2() has no function of its own'),
    'os/hugepages': ('open', 'reads /proc'),
    'os/memory': ('open openat', 'reads /proc and /sys'),
    'os/pagecache': ('syscall', 'cachestat() has no function of its own'),
    'os/swapped': ('fopen', 'reads /proc'),
    'os/unit-name': ('opendir', 'lists unit files of others'),
    'config/files': ('open', 'reads configuration files by their paths'),
    'tree/inotify': ('opendir', 'reads /proc'),
    'tree/watch': ('open', 'reads /proc'),
    'stage/mount': ('open openat mkdir rmdir', 'the directory that the tmpfs is mounted on, which is in neither tree'),
    'stage/reserve': ('ftruncate', 'gives a temporary file of ours its size'),
    'save/copy-to-disk': ('ftruncate', 'gives a temporary file of ours its size'),
    'save/writeback-attempt': ('syscall', 'ioprio_set() has no function of its own'),
    'ctl/doctor/procfs': ('openat', 'reads /proc'),
    'ctl/doctor/root-view': ('open', 'opens the root directory of the machine that is examined'),
    'generator': ('open', 'writes to /dev/kmsg'),
}


def plain_name(symbol):
    """open of open64, __open_2 and open@GLIBC_2.2.5."""
    return re.sub(r'64$', '', re.sub(r'^__(\w+?)_2$', r'\1', symbol.partition('@')[0]))


def calls_of(thing, name):
    """Module -> which of the calls it needs. @name gives the module of a member of an archive, or of an object file."""
    output = subprocess.run(['nm', '-A', '--undefined-only', '--format=posix', thing], check=True, capture_output=True, text=True).stdout
    found = {}
    for line in output.splitlines():
        place, symbol = re.match(r'(.*?\.o\]?): (\S+)', line).groups()
        call = plain_name(symbol)
        if call in CALLS:
            found.setdefault(name(place), set()).add(call)
    return found


def module_of_member(place):
    """os/fs of daemon/os/libos.a[daemon/os/libos.a.p/fs.c.o]."""
    wing, member = re.match(r'(?:.*/)?daemon/(.*)/lib[\w-]+\.a\[(?:.*/)?(.*)\.c\.o\]$', place).groups()
    return f'{wing}/{member}'


def module_of_object(place):
    """main of shmstaged.p/main.c.o; ctl/main of shmstagectl.p/ctl_main.c.o; generator of .._daemon_generator.c.o."""
    return re.search(r'([^/]*)\.c\.o$', place)[1].replace('_', '/').removeprefix('../daemon/')


def all_calls():
    found = {}
    for archive in ARCHIVES:
        found.update(calls_of(archive, module_of_member))
    for program in PROGRAMS:
        objects = sorted((BUILD_ROOT / f'{program}.p').glob('*.o'))
        if not objects:
            raise AssertionError(f'{program} has no object files')
        for thing in objects:
            found.update(calls_of(thing, module_of_object))
    return found


def complaints(found, exceptions):
    for module, calls in sorted(found.items()):
        allowed = exceptions.get(module, ('', ''))[0].split()
        if module not in DOORS:
            yield from (f'{module} calls {call}()' for call in sorted(calls - set(allowed)))
    for module, (calls, _) in sorted(exceptions.items()):
        yield from (f'{module} does not call {call}() any more' for call in sorted(set(calls.split()) - found.get(module, set())))


class Doors(unittest.TestCase):
    def test_nobody_else_touches_files(self):
        self.assertEqual(list(complaints(all_calls(), EXCEPTIONS)), [])

    def test_the_doors_are_there(self):
        found = all_calls()
        for door in DOORS:
            self.assertIn(door, found)


class Check(unittest.TestCase):
    """The check above can fail."""

    def compiled(self, text, flags=()):
        """A wing with one module, low/a: what it calls."""
        with tempfile.TemporaryDirectory() as name:
            wing = Path(name, 'daemon/low')
            (wing / 'liblow.a.p').mkdir(parents=True)
            source, thing, archive = wing / 'a.c', wing / 'liblow.a.p/a.c.o', wing / 'liblow.a'
            source.write_text(text)
            subprocess.run(['cc', '-D_GNU_SOURCE', *flags, '-c', '-o', thing, source], check=True)
            subprocess.run(['ar', 'rc', archive, thing], check=True)
            return calls_of(archive, module_of_member)

    OPEN = '#include <fcntl.h>\nint a(const char *path, int flags);\nint a(const char *path, int flags) { return open(path, flags); }\n'

    def test_a_call_is_found(self):
        text = '#include <unistd.h>\nint a(const char *path);\nint a(const char *path) { return unlink(path); }\n'
        self.assertEqual(list(complaints(self.compiled(text), {})), ['low/a calls unlink()'])

    def test_a_call_by_another_name_is_found(self):
        for flags in (), ('-D_FILE_OFFSET_BITS=64',), ('-O2', '-D_FORTIFY_SOURCE=2'), ('-O2', '-D_FORTIFY_SOURCE=2', '-D_FILE_OFFSET_BITS=64'):
            self.assertEqual(list(complaints(self.compiled(self.OPEN, flags), {})), ['low/a calls open()'], flags)

    def test_only_the_calls_of_an_exception_are_allowed(self):
        text = self.OPEN + '#include <stdio.h>\nint b(void);\nint b(void) { return rename("a", "b"); }\n'
        self.assertEqual(list(complaints(self.compiled(text), {'low/a': ('open', 'why not')})), ['low/a calls rename()'])

    def test_an_exception_that_is_not_used_is_found(self):
        self.assertEqual(list(complaints(self.compiled(self.OPEN), {'low/a': ('open rmdir', 'why not'), 'low/b': ('open', 'why not')})),
                         ['low/a does not call rmdir() any more', 'low/b does not call open() any more'])

    def test_modules_of_programs_are_known(self):
        self.assertEqual(module_of_object('/b/daemon/shmstaged.p/main.c.o'), 'main')
        self.assertEqual(module_of_object('/b/daemon/shmstagectl.p/ctl_cmd-list.c.o'), 'ctl/cmd-list')
        self.assertEqual(module_of_object('/b/units/shmstaged-generator.p/.._daemon_generator.c.o'), 'generator')


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
