#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The README's own line builds and installs on a release of Debian: with the packages that the README lists and no others, without a network, and without
a warning.

Usage: test_build.py RELEASE [unittest's own arguments]

Root only: each build is done in a tree of that release below $BUILD, which tree.sh makes if need be, in namespaces of its own.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
README = (ROOT / "README.md").read_text()
RELEASE = sys.argv[1]
TREE = pathlib.Path(os.environ.get("BUILD", "build")).resolve() / "trees" / RELEASE

# $1 the tree, $2 a copy of the sources, $3 the command. No tool of the host's, no variable of its and no interface but an unused lo is left.
INSIDE = """set -e
mount -t tmpfs -o size=1g none "$1/mnt"
mount -t proc none "$1/proc"
cp -a "$2" "$1/mnt/source"
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DESTDIR=/mnt/installed chroot "$1" sh -c "cd /mnt/source && $3"
"""
# What was installed and built, for the test to read
REPORT = r"""
echo INSTALLED; find /mnt/installed -type f -printf '/%P\n'
echo TESTS; find build/tests -type f -perm /111
echo VERSIONS; for program in sbin/shmstaged bin/shmstagectl; do /mnt/installed/usr/$program --version; done
"""


def line(pattern):
    """What the one line of the README that matches says."""
    found = re.findall(pattern, README, re.M)
    if len(found) != 1:
        raise AssertionError("README.md has %d lines like '%s'" % (len(found), pattern))
    return found[0]


def is_source(name):
    return not name.startswith(".") and not (ROOT / name / "meson-private").is_dir() and not name.startswith("build")


class Readme(unittest.TestCase):
    def test_it_lists_what_the_trees_have(self):
        listed = subprocess.run([ROOT / "tests/packages.sh", "list"], capture_output=True, text=True, check=True).stdout
        self.assertEqual(line(r"^    apt-get install (.*)$").split(), listed.split())


class Build(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        subprocess.run([HERE / "tree.sh", RELEASE, TREE], check=True, timeout=900)
        cls.source = tempfile.mkdtemp(prefix="build-")
        cls.addClassCleanup(shutil.rmtree, cls.source)
        for name in filter(is_source, os.listdir(ROOT)):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            copy(ROOT / name, os.path.join(cls.source, name))

    def build(self, options):
        command = line(r"^    (meson setup build && .*)$").replace("meson setup build", "meson setup build -Dwerror=true " + options, 1)
        done = subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", INSIDE, "sh", TREE, self.source,
                               command + " && { " + REPORT + "}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900)
        self.assertEqual(done.returncode, 0, done.stdout[-20000:])
        log, report = done.stdout.split("INSTALLED\n")
        self.assertNotRegex(log, r"(?i)\bwarning\b")
        installed, rest = report.split("TESTS\n")
        tests, versions = rest.split("VERSIONS\n")
        for name in ("sbin/shmstaged", "bin/shmstagectl", "lib/systemd/system/shmstaged.service", "lib/systemd/system-generators/shmstaged-generator",
                     "share/man/man8/shmstaged.8"):
            self.assertRegex(installed, r"(?m)^(/usr)?/%s$" % name)
        self.assertEqual(tests, "", "programs of the tests were built")
        self.assertRegex(versions, r"^shmstaged \d\S+\nshmstagectl \d\S+\n$")

    def test_as_a_package_is_built(self):
        self.build("--buildtype=plain")

    def test_as_the_readme_says(self):
        self.build("")

    def test_as_a_release(self):
        self.build("--buildtype=release")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[2:]])
