#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What run.sh does and prints at its end, with tools and test logs that are made up.

Usage: summary.py TESTS-DIRECTORY
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import summary  # noqa: E402

GOOD = """test_a (__main__.X.test_a) ... ok
test_b (__main__.X.test_b)
It does so. ... skipped 'no such machine'

----------------------------------------------------------------------
Ran 2 tests in 1.000s

OK (skipped=1)
"""
BAD = """test_a (__main__.X.test_a) ... FAIL
test_b (__main__.X.test_b) ... ok

======================================================================
FAIL: test_a (__main__.X.test_a) [one]
----------------------------------------------------------------------
======================================================================
FAIL: test_a (__main__.X.test_a) (name='two')
----------------------------------------------------------------------
Ran 2 tests in 1.000s

FAILED (failures=2)
"""
CMOCKA = """[==========] tests: Running 3 test(s).
[ RUN      ] this_is_so
[       OK ] this_is_so
[ RUN      ] that_is_not
[  FAILED  ] that_is_not
[ RUN      ] this_is_left_out
[  SKIPPED ] this_is_left_out
[==========] tests: 3 test(s) run.
[  PASSED  ] 1 test(s).
[  SKIPPED ] tests: 1 test(s), listed below:
[  SKIPPED ] this_is_left_out
[  FAILED  ] tests: 1 test(s), listed below:
[  FAILED  ] that_is_not
"""


def record(name, result="OK", stdout="", stderr="", status=0):
    return {"name": "shmstaged:unit / " + name, "result": result, "stdout": stdout, "stderr": stderr, "returncode": status}


class Summary(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.build = Path(directory.name)

    def log(self, variant, *records):
        path = self.build / variant / "meson-logs/testlog.json"
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(entry) + "\n" for entry in records))

    def run_it(self, *phases):
        """The lines, without empty ones, and the exit status."""
        (self.build / "phases").write_text("".join(phase + "\n" for phase in phases))
        done = subprocess.run([sys.executable, "-B", summary.__file__, self.build], stdout=subprocess.PIPE, text=True, check=False)
        return [line for line in done.stdout.splitlines() if line], done.returncode

    def counts(self, entry):
        found = summary.count_program(entry)
        return found.passed, found.failed, found.skipped

    def test_tests_are_counted_one_by_one(self):
        self.assertEqual(self.counts(record("x", stderr=GOOD)), (1, [], ["test_b (__main__.X.test_b): no such machine"]))
        self.assertEqual(self.counts(record("x", stderr=GOOD + GOOD))[0], 2)
        self.assertEqual(self.counts(record("x", "FAIL", stderr=BAD, status=1)), (1, ["test_a (__main__.X.test_a)"], []))
        self.assertEqual(self.counts(record("x", "FAIL", stdout=CMOCKA, status=1)), (1, ["that_is_not"], ["this_is_left_out: it skipped itself"]))
        self.assertEqual(self.counts(record("x")), (1, [], []))

    def test_a_skipped_test_is_listed_even_where_its_reason_is_not_written(self):
        self.assertEqual(self.counts(record("x", stderr="Ran 3 tests in 0.1s\n\nOK (skipped=2)\n")), (1, [], ["a test without a reason in its output"] * 2))
        self.assertEqual(self.counts(record("x", "SKIP", "no root here\n", status=77)), (0, [], ["all of it: no root here"]))

    def test_a_program_that_does_not_get_to_its_end_has_failed(self):
        self.assertEqual(self.counts(record("x", "FAIL", "[       OK ] one\n", status=-6)), (1, ["ended with status -6"], []))
        self.assertEqual(self.counts(record("x", "TIMEOUT", "[  FAILED  ] one\n"))[1], ["one", "no end in time"])
        self.assertEqual(self.counts(record("x", "ERROR", status=99))[1], ["ended with status 99"])

    def test_all_variants_are_in_it_and_the_sum_comes_last(self):
        self.log("asan", record("a", "FAIL", stderr=BAD, status=1), record("b", stderr=GOOD))
        self.log("main", record("a", stdout="[       OK ] one\n"), record("b"))
        lines, status = self.run_it("setup packages 0 61", "asan build 0 30", "tsan build 1 3", "main build 0 5", "asan tests 1 125", "main tests 0 9")
        self.assertEqual(status, 1)
        self.assertEqual(lines[-1], "4 passed, 2 failed, 1 skipped")
        self.assertIn("setup             0        0        0   packages 1:01", lines)
        self.assertIn("asan              2        1        1   build 0:30, tests 2:05", lines)
        self.assertIn("tsan              0        1        0   build 0:03", lines)
        at = lines.index("Failed:")
        self.assertEqual(lines[at + 1:at + 5], ["  asan a: test_a (__main__.X.test_a)", "      %s/failed/asan-a.log" % self.build,
                                                "  tsan build failed with status 1", "      %s/tsan.log" % self.build])
        self.assertEqual((self.build / "failed/asan-a.log").read_text().strip(), BAD.strip())
        self.assertIn("  asan b: test_b (__main__.X.test_b): no such machine", lines)

    def test_when_all_is_well_it_prints_only_that(self):
        self.log("main", record("a"), record("b"))
        lines, status = self.run_it("main build 0 1", "main tests 0 2")
        self.assertEqual((lines[-1], status), ("2 passed, 0 failed", 0))
        self.assertEqual(len(lines), 3)

    def test_a_run_without_a_test_or_whose_log_hides_a_failure_is_not_well(self):
        self.assertEqual(self.run_it("main build 0 1")[1], 1)
        self.log("main", record("a"))
        lines, status = self.run_it("main tests 2 1")
        self.assertEqual((lines[-1], status), ("1 passed, 1 failed", 1))


# What stands for meson and ninja: a build fails if its name is in $FAIL_TO_BUILD, and the test of a build if the name is in $FAIL_TESTS.
MESON = """#!/bin/sh
case $1 in
setup)
        mkdir -p "$2" && echo "$*" >"$2/build.ninja" ;;
test)
        mkdir -p "$3/meson-logs"
        case " $FAIL_TESTS " in
        *" $(basename "$3") "*) result=FAIL ;;
        *) result=OK ;;
        esac
        echo "{\\"name\\": \\"p / $(basename "$3")-test\\", \\"result\\": \\"$result\\", \\"returncode\\": 1}" >"$3/meson-logs/testlog.json"
        test $result = OK ;;
esac
"""
NINJA = """#!/bin/sh
case " $FAIL_TO_BUILD " in
*" $(basename "$2") "*) echo "error: no such thing"; exit 1 ;;
esac
"""


class Run(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)
        (self.root / "tests").mkdir()
        for name in ("run.sh", "summary.py"):
            shutil.copy(Path(sys.argv[1]) / name, self.root / "tests" / name)
        for name, text in (("bin/meson", MESON), ("bin/ninja", NINJA), ("bin/setarch", '#!/bin/sh\nshift 2\nexec "$@"\n'),
                           ("tests/packages.sh", '#!/bin/sh\ntest -z "$FAIL_PACKAGES"\n'), ("tests/container/tree.sh", "#!/bin/sh\n"),
                           ("tests/build/tree.sh", "#!/bin/sh\nexit 1\n")):
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)

    def run_it(self, **environment):
        """All that was written, and the exit status."""
        env = {**os.environ, "FAIL_TO_BUILD": "", "FAIL_TESTS": "", "FAIL_PACKAGES": "", "BUILD": str(self.root / "build"),
               "PATH": "%s:%s" % (self.root / "bin", os.environ["PATH"]), **environment}
        done = subprocess.run([self.root / "tests/run.sh"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return done.stdout, done.returncode

    def test_all_variants_are_built_and_run(self):
        text, status = self.run_it()
        self.assertEqual((text.splitlines()[-1], status), ("3 passed, 0 failed", 0), text)
        for name in ("asan", "tsan", "main"):
            self.assertIn("-Dwerror=true", (self.root / "build" / name / "build.ninja").read_text())

    def test_a_variant_that_does_not_build_hides_no_other(self):
        text, status = self.run_it(FAIL_TO_BUILD="asan")
        self.assertEqual((text.splitlines()[-1], status), ("2 passed, 1 failed", 1), text)
        self.assertIn("error: no such thing", text)
        self.assertIn("  asan build failed with status 1\n      %s/build/asan.log" % self.root, text)

    def test_tests_that_fail_hide_no_others(self):
        text, status = self.run_it(FAIL_TESTS="asan tsan")
        self.assertEqual((text.splitlines()[-1], status), ("1 passed, 2 failed", 1), text)
        for name in ("asan", "tsan"):
            self.assertIn("  %s %s-test: ended with status 1\n      %s/build/failed/%s-%s-test.log" % (name, name, self.root, name, name), text)

    def test_without_its_packages_it_ends_with_a_summary_too(self):
        text, status = self.run_it(FAIL_PACKAGES="yes")
        self.assertEqual((text.splitlines()[-1], status), ("0 passed, 1 failed", 1), text)

    def test_results_of_an_earlier_run_are_not_counted(self):
        self.run_it(FAIL_TESTS="main")
        text, status = self.run_it(FAIL_TO_BUILD="main")
        self.assertEqual((text.splitlines()[-1], status), ("2 passed, 1 failed", 1), text)
        self.assertFalse((self.root / "build/failed").exists())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
