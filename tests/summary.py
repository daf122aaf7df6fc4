#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Sums up what run.sh did: for each variant how many tests passed, failed and were skipped and how long it took; which failed, and where their output is;
which were skipped, and why. Ends with 1 if anything failed, or if nothing passed.

Usage: summary.py BUILD

Reads BUILD/phases, a line `VARIANT WHAT STATUS SECONDS` for each thing that was done, and BUILD/VARIANT/meson-logs/testlog.json.
"""

import json
import re
import sys
from pathlib import Path

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


class Counts:
    """Of one test program, or of several. What failed and what was skipped is kept by name."""

    def __init__(self):
        self.passed, self.failed, self.skipped = 0, [], []

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


def count_unittest(text, counts):
    """What Python's unittest wrote, once or several times."""
    names = [name for name in re.findall(r"^(?:FAIL|ERROR): (.*?)(?: \[.*\]| \(\w+=.*\))?$", text, re.M)]
    reasons = re.findall(r"^(\w+ \(.*?\))(?:\n.*)? \.\.\. skipped (.*)$", text, re.M)
    n_skipped = sum(map(int, re.findall(r"^(?:OK|FAILED) \(.*?skipped=(\d+)", text, re.M)))
    failed = list(dict.fromkeys(names))
    skipped = ["%s: %s" % (name, reason.strip("'\"")) for name, reason in reasons]
    skipped += ["a test without a reason in its output"] * (n_skipped - len(skipped))
    n = sum(map(int, re.findall(r"^Ran (\d+) tests? in ", text, re.M)))
    counts.passed += max(0, n - len(failed) - len(skipped))
    counts.failed += failed
    counts.skipped += skipped


def count_cmocka(text, counts):
    counts.passed += len(re.findall(r"^\[ +OK +\] ", text, re.M))
    counts.failed += dict.fromkeys(re.findall(r"^\[ +(?:FAILED|ERROR) +\] (\w+)$", text, re.M))
    counts.skipped += [name + ": it skipped itself" for name in dict.fromkeys(re.findall(r"^\[ +SKIPPED +\] (\w+)$", text, re.M))]


def count_program(record):
    """What one program did, by a line of testlog.json. A program whose output says nothing of its tests is one test itself."""
    text = ESCAPES.sub("", record.get("stdout", "") + "\n" + record.get("stderr", ""))
    counts = Counts()
    count_cmocka(text, counts)
    count_unittest(text, counts)
    result = record["result"]
    if result == "SKIP":
        counts.skipped.append("all of it: " + (text.strip().splitlines() or ["no reason"])[-1])
    elif result not in ("OK", "EXPECTEDFAIL"):
        if not counts.failed or result == "TIMEOUT":
            counts.failed.append({"TIMEOUT": "no end in time"}.get(result, "ended with status %s" % record.get("returncode")))
    elif not counts.passed + len(counts.failed) + len(counts.skipped):
        counts.passed = 1
    return counts


def program_name(record):
    return record["name"].split(" / ")[-1]


class Variant:
    def __init__(self, build, name):
        self.build, self.name, self.counts, self.seconds, self.places = build, name, Counts(), {}, {}

    def fail(self, what, log):
        self.counts.failed.append(what)
        self.places[what] = log

    def read(self):
        """Its test log; the output of each program that failed goes to a file of its own."""
        path = self.build / self.name / "meson-logs/testlog.json"
        for line in path.read_text().splitlines() if path.exists() else []:
            record = json.loads(line)
            program, counts = program_name(record), count_program(record)
            counts.failed = ["%s: %s" % (program, name) for name in counts.failed]
            counts.skipped = ["%s: %s" % (program, name) for name in counts.skipped]
            if counts.failed:
                log = self.build / "failed" / ("%s-%s.log" % (self.name, program))
                log.parent.mkdir(exist_ok=True)
                log.write_text(record.get("stdout", "") + "\n" + record.get("stderr", ""))
                self.places.update((name, log) for name in counts.failed)
            self.counts.add(counts)


def minutes(seconds):
    return "%d:%02d" % divmod(round(seconds), 60)


def read_phases(build):
    """Variants by name, in the order in which they were begun."""
    variants = {}
    for line in (build / "phases").read_text().splitlines():
        name, what, status, seconds = line.split()
        variant = variants.setdefault(name, Variant(build, name))
        variant.seconds[what] = variant.seconds.get(what, 0) + int(seconds)
        if status == "0":
            if what == "tests":
                variant.read()
        elif what != "tests":
            variant.fail("%s failed with status %s" % (what, status), build / ("%s.log" % name))
        else:
            variant.read()
            if not variant.counts.failed:
                variant.fail("its tests ended with status %s" % status, build / name / "meson-logs")
    return list(variants.values())


def summarize(build):
    """The text of the summary, and whether all is well."""
    variants = read_phases(build)
    lines = ["", "%-10s %8s %8s %8s   %s" % ("", "passed", "failed", "skipped", "minutes")]
    for variant in variants:
        counts = variant.counts
        lines.append("%-10s %8d %8d %8d   %s" % (variant.name, counts.passed, len(counts.failed), len(counts.skipped),
                                                 ", ".join("%s %s" % (what, minutes(seconds)) for what, seconds in variant.seconds.items())))
    for title, kind in (("Failed:", "failed"), ("Skipped:", "skipped")):
        entries = [(variant, name) for variant in variants for name in getattr(variant.counts, kind)]
        if entries:
            lines += ["", title]
        for variant, name in entries:
            lines.append("  %s %s" % (variant.name, name))
            if name in variant.places:
                lines.append("      %s" % variant.places[name])
    totals = [sum(variant.counts.passed for variant in variants), *(sum(len(getattr(variant.counts, kind)) for variant in variants)
                                                                    for kind in ("failed", "skipped"))]
    lines += ["", "%d passed, %d failed" % tuple(totals[:2]) + (", %d skipped" % totals[2] if totals[2] else "")]
    return "\n".join(lines), totals[0] > 0 and totals[1] == 0


if __name__ == "__main__":
    text, good = summarize(Path(sys.argv[1]))
    print(text)
    sys.exit(0 if good else 1)
