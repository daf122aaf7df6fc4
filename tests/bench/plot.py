#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Draws what stage.py, growth.py, engine.py and bounds.py measured, and puts their tables into docs/benchmarks.md.

    plot.py FILE.json DIRECTORY

In the directory, bench.svg and bench-growth.svg are written, and what stands in benchmarks.md between the lines "<!-- NAME -->" and
"<!-- end of NAME -->" is replaced. What was not measured is left alone.
"""

import json
import os
import re
import statistics
import sys

sys.dont_write_bytecode = True
import matplotlib  # noqa: E402

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

import bounds  # noqa: E402
import engine  # noqa: E402
import growth  # noqa: E402
import peers  # noqa: E402
import stage  # noqa: E402
from measure import GIB, GOALS_HEAD  # noqa: E402

OURS, LIMIT, PEER = "#2a6f97", "#8a8a8a", "#d9a066"
PANELS = (("large", "cold"), ("large", "cached"), ("small", "cold"))


# ---- the plots ----

def bars(axes, title, found):
    """found: (label, values, colour); the whiskers are the smallest and the largest."""
    labels, values, colours = zip(*found)
    middles = [statistics.median(some) for some in values]
    errors = [[middle - min(some) for middle, some in zip(middles, values)], [max(some) - middle for middle, some in zip(middles, values)]]
    positions = range(len(found))[::-1]
    axes.barh(positions, middles, xerr=errors, color=colours, height=0.7, error_kw={"linewidth": 0.8, "ecolor": "#404040"})
    for position, middle, some in zip(positions, middles, values):
        axes.text(max(some), position, "  %.2f" % middle, va="center", fontsize=8)
    axes.set_yticks(positions, labels, fontsize=8)
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlim(0, 1.15 * max(max(some) for some in values))
    axes.tick_params(axis="x", labelsize=8)


def colour(name):
    return LIMIT if name == "limit" else OURS if name in stage.OURS or name == "mirror" else PEER


def draw_stage(axes, found, title):
    names = [name for name in peers.TITLES if name in found["names"] and name != "sendfile"]
    bars(axes, title, [(peers.TITLES[name], stage.values(found, name, "seconds"), colour(name)) for name in names])


def draw_comparison(report, path):
    panels = [("%s of %.2g GiB, %s" % (stage.CASES[case][2], report["stage"]["cases"][case][mode]["bytes"] / GIB, mode), case, mode)
              for case, mode in PANELS if mode in report.get("stage", {}).get("cases", {}).get(case, {})]
    n_panels = len(panels) + ("engine" in report)
    if n_panels == 0:
        return
    figure, all_axes = plt.subplots((n_panels + 1) // 2, 2, figsize=(11, 2.9 * ((n_panels + 1) // 2)), squeeze=False)
    flat = list(all_axes.flat)
    for axes, (title, case, mode) in zip(flat, panels):
        draw_stage(axes, report["stage"]["cases"][case][mode], title + ": seconds")
    if "engine" in report:
        found = report["engine"]["found"]
        bars(flat[len(panels)], "llama.cpp loads %.2g GiB: seconds" % (found["bytes"] / GIB),
             [(title, [done[name]["seconds"] for done in found["rounds"]], colour(name)) for name, title in engine.TITLES.items()])
    for axes in flat[n_panels:]:
        axes.axis("off")
    save(figure, path)


def draw_growth(report, path):
    series = report.get("growth", {}).get("series", {})
    if not series:
        return
    figure, all_axes = plt.subplots(1, len(series), figsize=(11, 3.2), squeeze=False)
    for axes, found in zip(all_axes.flat, series.values()):
        for name, marker, shade in (("rsync", "s", PEER), ("first", "^", "#61a5c2"), ("again", "o", OURS)):
            points = growth.medians(found, name, "seconds")
            axes.plot([amount for amount, _ in points], [seconds for _, seconds in points], marker=marker, color=shade, label=peers.TITLES[name])
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(found["unit"], fontsize=9)
        axes.set_ylabel("seconds, cold", fontsize=9)
        axes.legend(fontsize=8, frameon=False)
        axes.tick_params(labelsize=8)
    save(figure, path)


def save(figure, path):
    for axes in figure.axes:
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, facecolor="white", metadata={"Date": None})
    plt.close(figure)


# ---- the tables ----

def markdown(rows):
    head, *others = [list(row) for row in rows]
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *others]
    return "\n".join("| " + " | ".join("" if cell == "-" else cell for cell in row) + " |" for row in lines)


def staged(report):
    """(case, mode, what was found) in their own order."""
    cases = report.get("stage", {}).get("cases", {})
    return [(case, mode, cases[case][mode]) for case in stage.CASES for mode in stage.MODES if mode in cases.get(case, {})]


def stage_text(report):
    parts = []
    for case, mode, found in staged(report):
        rows = list(stage.rows(found))
        rows[0][0] = "%s, %.2f GiB, %s" % (stage.CASES[case][2], found["bytes"] / GIB, mode)
        parts.append(markdown(rows))
    return "\n\n".join(parts)


def limit_text(report):
    """By how many requests at a time, and in what memory."""
    found = report["cases"].get("large", {}).get("cold")
    if not found:
        return ""
    done = found["rounds"][0]["limit"]
    speeds = sorted((int(depth), speed) for depth, speed in done["depths"].items())
    rows = [["fio, one file, requests of 4 MiB", *("%d at a time" % depth for depth, _ in speeds)],
            ["buffers in pages of 2 MiB, GiB/s", *("%.2f" % speed for _, speed in speeds)]]
    text = markdown(rows)
    if "small_pages" in done:
        text += "\n\nWith buffers in pages of 4 KiB the best of these (%d at a time) gave %.2f GiB/s." % (done["depth"], done["small_pages"])
    return text


def goals_text(report):
    goals = []
    for case, mode, found in staged(report):
        goals += stage.goals_of(case, mode, found)
    for found in report.get("growth", {}).get("series", {}).values():
        goals += growth.goals_of(found)
    if "engine" in report:
        goals += engine.goals_of(report["engine"]["found"])
    return markdown([GOALS_HEAD, *(goal.cells() for goal in goals)])


def growth_text(report):
    return "\n\n".join(markdown(growth.rows(found)) for found in report["series"].values())


def machine_text(machine):
    kind = "a virtual machine" if machine["virtual"] else "a machine"
    return "Measured on %s with %d processors (%s), %.0f GiB of RAM and Linux %s. Only the ratios carry over to another machine." % (
        kind, machine["processors"], machine["model"], machine["memory"] / GIB, machine["kernel"])


def texts(report):
    yield "machine", machine_text(report["machine"])
    if "stage" in report:
        yield "staging", stage_text(report)
        yield "limit", limit_text(report["stage"])
    if "growth" in report:
        yield "growth", growth_text(report["growth"])
    if "engine" in report:
        yield "engine", markdown(engine.rows(report["engine"]["found"]))
    if "bounds" in report:
        yield "bounds", markdown(bounds.rows(report["bounds"]["rounds"]))
    yield "goals", goals_text(report)


def put_tables(report, path):
    with open(path) as f:
        page = f.read()
    for name, text in texts(report):
        page, n = re.subn(r"(<!-- %s -->\n).*?(\n<!-- end of %s -->)" % (name, name), lambda match, text=text: "%s\n%s\n%s" % (match[1], text, match[2]),
                          page, flags=re.S)
        if n != 1:
            raise SystemExit("plot.py: %s has no lines \"<!-- %s -->\" and \"<!-- end of %s -->\"" % (path, name, name))
    with open(path, "w") as f:
        f.write(page)


def main():
    if len(sys.argv) != 3:
        print(__doc__.split("\n\n")[1].strip(), file=sys.stderr)
        return 2
    with open(sys.argv[1]) as f:
        report = json.load(f)
    plt.rcParams.update({"svg.hashsalt": "shmstaged", "svg.fonttype": "path", "font.family": "DejaVu Sans"})
    draw_comparison(report, os.path.join(sys.argv[2], "bench.svg"))
    draw_growth(report, os.path.join(sys.argv[2], "bench-growth.svg"))
    put_tables(report, os.path.join(sys.argv[2], "benchmarks.md"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
