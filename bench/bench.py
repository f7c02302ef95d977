#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measure shmkit beside the standard library and beside bare system calls.

usage: ./dev bench small [--quick] [--picture FILE.svg]

Every figure is a pair taken in turn: a batch of one side, a batch of the
other, in one process, for many rounds, so that a busy moment of the machine
hits both.  Printed are the median of each side, the ratio of the medians, and
its spread: the tenth and the ninetieth percentile of the rounds' own ratios.
Times differ from machine to machine; the ratios are what to look at.  No
figure here ever fails anything: a goal is met, or the line says that it is
not.

The samples go to BUILD/bench/bench.json, the picture to BUILD/bench/bench.svg.

How the pieces hang together: main() runs each case of CASES as a process of
its own ("bench.py worker NAME"), which prints one JSON list [theirs, ours] a
round, in nanoseconds a call; the C cases come from bench_block in the same
form.  Case functions are named worker_*.
"""

import argparse
import collections
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

SIZE = 4096
BATCH = 32

# `goal` is the highest ratio to be content with, or for a "ms" case the
# highest difference in milliseconds; None where none was set.
Case = collections.namedtuple("Case", "name group theirs goal unit")

PYTHON, C = "Python", "C"
STDLIB, BARE = "multiprocessing", "bare calls"
CASES = [
    Case("create + close + unlink, drawn name", PYTHON, STDLIB, 0.75, "us"),
    Case("create + close + unlink, given name", PYTHON, STDLIB, 0.95, "us"),
    Case("attach + close, same family", PYTHON, STDLIB, 0.5, "us"),
    Case("attach + close, another family", PYTHON, STDLIB, 0.75, "us"),
    Case("import", PYTHON, STDLIB, 3.0, "ms"),
    Case("create", C, BARE, 1.6, "us"),
    Case("attach, own", C, BARE, 1.15, "us"),
    Case("attach, foreign", C, BARE, 1.5, "us"),
    Case("attach + close, own", C, BARE, None, "us"),
    Case("attach + close, foreign", C, BARE, None, "us"),
    Case("close, own", C, BARE, None, "us"),
    Case("unlink, given name", C, BARE, None, "us"),
    Case("create + close + unlink, given name", C, BARE, None, "us"),
    Case("create + close + unlink, drawn name", C, BARE, None, "us"),
]

Summary = collections.namedtuple(
    "Summary", "theirs ours value low high verdict"
)


# ---- workers: run in a process of their own ----


def take_turns(rounds, theirs, ours):
    """Print a JSON pair a round: nanoseconds a call of both sides."""
    import gc

    def clock(call):
        start = time.perf_counter_ns()
        for _ in range(BATCH):
            call()
        return (time.perf_counter_ns() - start) / BATCH

    clock(theirs)
    clock(ours)
    gc.disable()
    for turn in range(rounds):
        # The second of two finds warmer caches: exchange the order.
        if turn % 2:
            pair = [clock(theirs), clock(ours)]
        else:
            pair = [clock(ours), clock(theirs)][::-1]
        print(json.dumps(pair))


def both_classes():
    from multiprocessing.shared_memory import SharedMemory as Theirs

    from shmkit.shared_memory import SharedMemory as Ours

    return Theirs, Ours


def worker_create(rounds, name):
    def cycle(cls):
        block = cls(name=name, create=True, size=SIZE)
        block.close()
        block.unlink()

    theirs, ours = both_classes()
    take_turns(rounds, lambda: cycle(theirs), lambda: cycle(ours))


def worker_attach_own(rounds):
    """Blocks of the parent, attached by a fork child of it."""
    theirs, ours = both_classes()
    blocks = [cls(create=True, size=SIZE) for cls in (theirs, ours)]
    names = [block.name for block in blocks]
    try:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                turns_of_attach(rounds, names)
                sys.stdout.flush()
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        if status != 0:
            sys.exit("bench: the attaching child failed")
    finally:
        for block in blocks:
            block.close()
            block.unlink()


def turns_of_attach(rounds, names):
    theirs, ours = both_classes()
    take_turns(
        rounds,
        lambda: theirs(name=names[0]).close(),
        lambda: ours(name=names[1]).close(),
    )


def worker_attach_foreign(rounds):
    """Blocks of an unrelated process, which stays until its input ends."""
    from multiprocessing import resource_tracker

    owner = subprocess.Popen(
        [sys.executable, __file__, "worker", "owner", "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    names = json.loads(owner.stdout.readline())
    try:
        turns_of_attach(rounds, names)
    finally:
        # Or the standard library's tracker would remove a block that is not
        # this process's, and say so.
        resource_tracker.unregister("/" + names[0], "shared_memory")
        owner.communicate()


def worker_owner():
    blocks = [cls(create=True, size=SIZE) for cls in both_classes()]
    print(json.dumps([block.name for block in blocks]), flush=True)
    sys.stdin.read()
    for block in blocks:
        block.close()
        block.unlink()


def worker_import(rounds):
    """Fresh interpreters in turn, each timing its own import."""

    def measure(module):
        code = (
            "import time; start = time.perf_counter_ns(); "
            f"import {module}; print(time.perf_counter_ns() - start)"
        )
        return int(
            subprocess.run(
                [sys.executable, "-c", code],
                check=True,
                stdout=subprocess.PIPE,
            ).stdout
        )

    modules = ["multiprocessing.shared_memory", "shmkit"]
    for module in modules:
        measure(module)  # compiles it
    for turn in range(rounds):
        if turn % 2:
            pair = [measure(module) for module in modules]
        else:
            pair = [measure(module) for module in modules[::-1]][::-1]
        print(json.dumps(pair))


def worker(name, rounds):
    given = f"shmkit-bench.{os.getpid()}"
    workers = {
        "create + close + unlink, drawn name": lambda: worker_create(
            rounds, None
        ),
        "create + close + unlink, given name": lambda: worker_create(
            rounds, given
        ),
        "attach + close, same family": lambda: worker_attach_own(rounds),
        "attach + close, another family": lambda: worker_attach_foreign(
            rounds
        ),
        "import": lambda: worker_import(rounds // 4),
        "owner": worker_owner,
    }
    workers[name]()


# ---- collecting ----


def show_progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def collect_python(case, rounds):
    """Two processes a case: where memory lies differs between processes."""
    samples = []
    for _ in range(2):
        out = subprocess.run(
            [sys.executable, __file__, "worker", case.name, str(rounds // 2)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        samples += [json.loads(line) for line in out.splitlines()]
    return samples


def collect_c(build, rounds):
    """All C cases, from one process that takes them in turn."""
    out = subprocess.run(
        [build / "bench" / "bench_block", str(rounds), str(BATCH)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    samples = collections.defaultdict(list)
    for line in out.splitlines():
        sample = json.loads(line)
        samples[sample["case"]].append([sample["bare"], sample["shmkit"]])
    return samples


def collect(build, rounds):
    samples = []
    show_progress("C, all cases")
    from_c = collect_c(build, rounds)
    for case in CASES:
        show_progress(f"{case.group}: {case.name}")
        if case.group == C:
            samples.append(from_c[case.name])
        else:
            samples.append(collect_python(case, rounds))
    show_progress("")
    return samples


# ---- reporting ----


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
    return f"{value:+.1f} ms" if case.unit == "ms" else f"{value:.2f}"


def print_table(summaries):
    line = "{:<38}{:>16}{:>10}{:>10}{:>20}  {}"
    group = None
    for case, s in zip(CASES, summaries):
        if case.group != group:
            group = case.group
            print()
            print(
                line.format(
                    group, case.theirs, "shmkit", "ratio", "spread", ""
                ).rstrip()
            )
        scale = 1e6 if case.unit == "ms" else 1e3
        print(
            line.format(
                case.name,
                f"{s.theirs / scale:.1f} {case.unit}",
                f"{s.ours / scale:.1f} {case.unit}",
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


def draw(summaries, path):
    """Bars of the ratios, with their goals; the import has no ratio."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "shmkit"
    from matplotlib import pyplot

    rows = [(c, s) for c, s in zip(CASES, summaries) if c.unit == "us"][::-1]
    figure, axes = pyplot.subplots(figsize=(9, 0.36 * len(rows) + 1.4))
    colors = {PYTHON: "#3b7dd8", C: "#8a8f98"}
    for place, (case, s) in enumerate(rows):
        spread = [[s.value - min(s.low, s.value)],
                  [max(s.high, s.value) - s.value]]
        axes.barh(place, s.value, color=colors[case.group], height=0.62)
        axes.errorbar(s.value, place, xerr=spread, color="#222222",
                      capsize=2, linewidth=0.8)
        if case.goal is not None:
            axes.plot([case.goal] * 2, [place - 0.4, place + 0.4],
                      color="#d1495b", linewidth=2)
    axes.axvline(1, color="#222222", linewidth=0.8)
    axes.set_yticks(range(len(rows)))
    axes.set_yticklabels([f"{c.group}: {c.name}" for c, _ in rows])
    axes.set_xlim(left=0)
    axes.set_xlabel(
        "time over multiprocessing's (Python) or bare calls' (C); red: goal"
    )
    axes.set_title(f"4 KiB blocks, {machine()}", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def write_samples(path, samples, summaries):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(
            {
                "machine": machine(),
                "cases": [
                    {**case._asdict(), **s._asdict(), "samples_ns": pairs}
                    for case, s, pairs in zip(CASES, summaries, samples)
                ],
            },
            file,
        )


def parse_arguments():
    parser = argparse.ArgumentParser(prog="./dev bench small")
    parser.add_argument("--build", type=pathlib.Path, required=True,
                        help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true",
                        help="a tenth of the rounds")
    parser.add_argument("--picture", type=pathlib.Path, metavar="FILE.svg",
                        help="where to draw (BUILD/bench/bench.svg)")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    rounds = 40 if arguments.quick else 400
    samples = collect(arguments.build, rounds)
    summaries = [summarize(c, pairs) for c, pairs in zip(CASES, samples)]
    folder = arguments.build / "bench"
    picture = arguments.picture or folder / "bench.svg"
    write_samples(folder / "bench.json", samples, summaries)
    draw(summaries, picture)
    print(f"{machine()}; {rounds} rounds of {BATCH} calls, 4 KiB blocks")
    print_table(summaries)
    print(f"\nsamples: {folder / 'bench.json'}\npicture: {picture}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(sys.argv[2], int(sys.argv[3]))
    else:
        main()
