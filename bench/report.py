# SPDX-License-Identifier: MIT
"""What the benchmarks share: pairs taken in turn, and their report.

A sample is a pair [theirs, ours] in nanoseconds, both of one round, so that a
busy moment of the machine hits both.  A summary has the median of each side,
the ratio of the medians, and its spread: the tenth and the ninetieth
percentile of the rounds' own ratios.  A goal is met or it is not; nothing here
ever fails anything.
"""

import collections
import json
import os
import platform
import statistics
import sys
import time

# `goal` is the highest ratio to be content with, or for a "ms" case the
# highest difference in milliseconds; None where none was set.
Case = collections.namedtuple("Case", "name group theirs goal unit")
Summary = collections.namedtuple(
    "Summary", "theirs ours value low high verdict"
)

SCALE = {"ns": 1, "us": 1e3, "ms": 1e6, "total ms": 1e6}
COLORS = ["#3b7dd8", "#8a8f98", "#4c9f70", "#c08a3e"]


def take_turns(rounds, batch, theirs, ours):
    """Print a JSON pair a round: nanoseconds a call of both sides."""
    import gc

    def clock(call):
        start = time.perf_counter_ns()
        for _ in range(batch):
            call()
        return (time.perf_counter_ns() - start) / batch

    print_turns(rounds, lambda: clock(theirs), lambda: clock(ours), gc)


def print_turns(rounds, clock_theirs, clock_ours, gc=None):
    """The same for sides that measure themselves."""
    clock_theirs()
    clock_ours()
    if gc is not None:
        gc.disable()
    for turn in range(rounds):
        # The second of two finds warmer caches: exchange the order.
        if turn % 2:
            pair = [clock_theirs(), clock_ours()]
        else:
            pair = [clock_ours(), clock_theirs()][::-1]
        print(json.dumps(pair), flush=True)


def show_progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, len(values) * percent // 100)]


def summarize(case, samples):
    theirs = statistics.median(pair[0] for pair in samples)
    ours = statistics.median(pair[1] for pair in samples)
    if case.unit == "ms":
        values = [(pair[1] - pair[0]) / 1e6 for pair in samples]
        value = (ours - theirs) / 1e6
    else:
        values = [pair[1] / pair[0] for pair in samples]
        value = ours / theirs
    verdict = ""
    if case.goal is not None:
        word = "met" if value <= case.goal else "not met"
        verdict = f"goal {shown(case, case.goal)}: {word}"
    return Summary(
        theirs,
        ours,
        value,
        percentile(values, 10),
        percentile(values, 90),
        verdict,
    )


def shown(case, value):
    if case.unit == "ms":
        return f"{value:+.1f} ms"
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def print_table(cases, summaries):
    width = max(len(case.name) for case in cases) + 2
    line = f"{{:<{width}}}" + "{:>20}{:>12}{:>10}{:>20}  {}"
    group = None
    for case, s in zip(cases, summaries):
        if (case.group, case.theirs) != group:
            if group is None or group[0] != case.group:
                print()
            group = (case.group, case.theirs)
            print(
                line.format(
                    case.group, case.theirs, "shmkit", "ratio", "spread", ""
                ).rstrip()
            )
        unit = case.unit.split()[-1]
        scale = SCALE[case.unit]
        print(
            line.format(
                case.name,
                f"{s.theirs / scale:.1f} {unit}",
                f"{s.ours / scale:.1f} {unit}",
                shown(case, s.value),
                f"{shown(case, s.low)} .. {shown(case, s.high)}",
                s.verdict,
            ).rstrip()
        )


def machine():
    return (
        f"Python {platform.python_version()}, Linux {platform.release()}, "
        f"{os.cpu_count()} cores"
    )


def draw(cases, summaries, title, label, path):
    """Bars of the ratios with their goals; differences have no ratio."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "shmkit"
    from matplotlib import pyplot

    rows = [(c, s) for c, s in zip(cases, summaries) if c.unit != "ms"][::-1]
    groups = list(dict.fromkeys(case.group for case in cases))
    figure, axes = pyplot.subplots(figsize=(9.5, 0.36 * len(rows) + 1.4))
    for place, (case, s) in enumerate(rows):
        spread = [
            [s.value - min(s.low, s.value)],
            [max(s.high, s.value) - s.value],
        ]
        color = COLORS[groups.index(case.group) % len(COLORS)]
        axes.barh(place, s.value, color=color, height=0.62)
        axes.errorbar(
            s.value, place, xerr=spread, color="#222222", capsize=2,
            linewidth=0.8,
        )
        if case.goal is not None:
            axes.plot(
                [case.goal] * 2, [place - 0.4, place + 0.4], color="#d1495b",
                linewidth=2,
            )
    axes.axvline(1, color="#222222", linewidth=0.8)
    axes.set_yticks(range(len(rows)))
    axes.set_yticklabels(
        [f"{c.group}: {c.name} / {c.theirs}" for c, _ in rows], fontsize=8
    )
    axes.set_xlim(left=0)
    axes.set_xlabel(label)
    axes.set_title(f"{title}, {machine()}", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def write_samples(cases, samples, summaries, path):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(
            {
                "machine": machine(),
                "cases": [
                    {**case._asdict(), **s._asdict(), "samples_ns": pairs}
                    for case, s, pairs in zip(cases, summaries, samples)
                ],
            },
            file,
        )
