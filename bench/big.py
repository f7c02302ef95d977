#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measure big blocks beside the standard library, over their size.

usage: ./dev bench big [--quick] [--picture FILE.svg]

Every figure is a pair taken in turn, in one process, for many rounds, so that
a busy moment of the machine hits both.  Printed are the median of each side,
the ratio of the medians, and its spread: the tenth and the ninetieth
percentile of the rounds' own ratios.  Times differ from machine to machine;
the ratios are what to look at.  No figure here ever fails anything: a goal is
met, or the line says that it is not.

The floor is what the bare calls for 2 MiB pages cost with nothing around
them: the kernel zeroes the memory once, and the caller fills it once.  Where a
goal lies below it, no library can meet it on this machine, and the line says
so.  The standard library's own side of that ratio is the C side "bare".

Memory that a virtual machine has never used costs some 4 ms for each 2 MiB,
whoever touches it first.  So as much as the largest size needs is touched
before the first round, and each way's first turn is not counted.

The samples go to BUILD/bench/big.json, the picture to BUILD/bench/big.svg.

How the pieces hang together: main() runs, for each size, "big.py worker" for
what is called from Python and bench_big for what is called from C.  Both print
one JSON line a round, {"case", "ns": {side: nanoseconds}}; ROWS says which
pairs of sides make a row of the table.
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

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SIZES = [4 * KIB, 64 * KIB, MIB, 2 * MIB, 4 * MIB, 16 * MIB, 64 * MIB,
         256 * MIB, 512 * MIB, GIB]  # fmt: skip
QUICK = 64 * MIB
PAGE = 4096
ROOM = 3  # blocks of the largest size at a time, and what they are filled from

BIG = (16 * MIB, 64 * MIB, 512 * MIB)
FROM_MIB = tuple(size for size in SIZES if size >= MIB)
BELOW_2_MIB = tuple(size for size in SIZES if size < 2 * MIB)
FROM_2_MIB = tuple(size for size in SIZES if size >= 2 * MIB)

# `goal` is the highest ratio to be content with, at `goal_sizes`; None where
# none was set.  `sizes` are those shown.
Row = collections.namedtuple(
    "Row", "title case theirs ours sizes goal goal_sizes"
)

ROWS = [
    Row("create + first fill from NumPy: multiprocessing, shmkit",
        "create and fill", "multiprocessing", "shmkit", SIZES, 0.2, BIG),
    Row("create + copy a NumPy array in: multiprocessing, shmkit",
        "create and copy", "multiprocessing", "shmkit", SIZES, None, ()),
    Row("attach + read every page: multiprocessing, shmkit",
        "attach and read", "multiprocessing", "shmkit", SIZES,
        0.12, (64 * MIB,)),
    Row("create alone, sparse: multiprocessing, shmkit",
        "create sparse", "multiprocessing", "shmkit", SIZES, 1.5, SIZES),
    Row("create + fill + unlink + close: multiprocessing, shmkit",
        "create, fill, unlink", "multiprocessing", "shmkit", SIZES, 0.1, BIG),
    Row("C, create + fill: on 4 KiB pages, as it is",
        "fill", "small", "default", SIZES, 1.05, BELOW_2_MIB),
    Row("C, create + fill: bare calls, the floor (zeroing once, filling once)",
        "fill", "bare", "floor", FROM_2_MIB, None, ()),
    Row("C, create + fill: the floor, shmkit",
        "fill", "floor", "default", FROM_2_MIB, None, ()),
    Row("C, create + fill: the floor, the zeroing by two threads",
        "fill", "floor", "floor, two threads", FROM_2_MIB, None, ()),
    Row("C, create + fill + unlink: bare calls, shmkit",
        "loop", "bare", "default", SIZES, None, ()),
    Row("C, copy in: memcpy, shmkit_copy_in",
        "copy", "memcpy in", "in", SIZES, 1.1, FROM_MIB),
    Row("C, copy out: memcpy, shmkit_copy_out",
        "copy", "memcpy out", "out", SIZES, 1.1, FROM_MIB),
    Row("C, copy in: one thread, two threads",
        "copy", "in", "in, two threads", FROM_2_MIB, None, ()),
    Row("C, recycling: create + fill + unlink, kept + cleared + filled",
        "loop", "default", "kept, cleared", FROM_2_MIB, None, ()),
    Row("C, recycling: create + fill + unlink, kept + filled uncleared",
        "loop", "default", "kept", FROM_2_MIB, None, ()),
]  # fmt: skip

Summary = collections.namedtuple(
    "Summary", "theirs ours value low high verdict"
)


# ---- the worker: one size, everything that is called from Python ----


def both_classes():
    from multiprocessing.shared_memory import SharedMemory as Theirs

    from shmkit.shared_memory import SharedMemory as Ours

    return {"multiprocessing": Theirs, "shmkit": Ours}


def take_turns(case, rounds, sides):
    """Print a JSON line a round.  `sides`: {name: (timed, after)}.

    What timed() returns is handed to after(), which stands outside the clock.
    """

    def clock(timed, after):
        start = time.perf_counter_ns()
        made = timed()
        end = time.perf_counter_ns()
        after(made)
        return end - start

    order = list(sides)
    for turn in range(rounds + 1):
        times = {}
        for name in order:
            times[name] = clock(*sides[name])
        order.append(order.pop(0))  # the second of two finds warmer caches
        if turn:
            print(json.dumps({"case": case, "ns": times}), flush=True)


def drop(block):
    block.close()
    block.unlink()


def create_sides(size, fill):
    import numpy as np

    def create(cls):
        block = cls(create=True, size=size)
        fill(np.frombuffer(block.buf, np.uint8))
        return block

    return {
        name: (lambda cls=cls: create(cls), drop)
        for name, cls in both_classes().items()
    }


def loop_sides(create):
    """The same, with the drop inside the clock."""
    return {
        name: (lambda timed=timed: drop(timed()), lambda nothing: None)
        for name, (timed, _) in create.items()
    }


def sparse_sides(size):
    theirs, ours = both_classes().values()
    return {
        "multiprocessing": (lambda: theirs(create=True, size=size), drop),
        "shmkit": (lambda: ours(create=True, size=size, sparse=True), drop),
    }


def attach_sides(blocks):
    import numpy as np

    def attach_and_read(cls, name):
        block = cls(name=name)
        np.frombuffer(block.buf, np.uint8)[::PAGE].max()
        return block

    return {
        name: (
            lambda cls=cls, name=name: attach_and_read(cls, blocks[name].name),
            lambda block: block.close(),
        )
        for name, cls in both_classes().items()
    }


def worker(size, rounds):
    import gc

    import numpy as np

    source = np.ones(size, np.uint8)
    fill = create_sides(size, lambda array: array.fill(1))
    copy = create_sides(size, lambda array: np.copyto(array, source))
    gc.disable()
    take_turns("create sparse", rounds, sparse_sides(size))
    take_turns("create and fill", rounds, fill)
    take_turns("create and copy", rounds, copy)
    take_turns("create, fill, unlink", rounds, loop_sides(fill))
    blocks = {name: create() for name, (create, _) in fill.items()}
    try:
        take_turns("attach and read", rounds, attach_sides(blocks))
    finally:
        for block in blocks.values():
            drop(block)


def touch(size):
    """Have the machine give `size` bytes of memory, and give them back."""
    import mmap

    with mmap.mmap(-1, size) as memory:
        for at in range(0, size, PAGE):
            memory[at] = 1


# ---- collecting ----


def show_progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def free_memory():
    """What can be had in /dev/shm, bytes."""
    stat = os.statvfs("/dev/shm")
    with open("/proc/meminfo", encoding="ascii") as file:
        lines = dict(line.split(":") for line in file)
    return min(
        stat.f_bavail * stat.f_frsize,
        int(lines["MemAvailable"].split()[0]) * KIB,
    )


def choose_sizes(quick):
    """The sizes that this machine has the memory for."""
    sizes = [size for size in SIZES if not quick or size <= QUICK]
    room = free_memory()
    return [size for size in sizes if (ROOM + 1) * size <= room]


def rounds_of(size, quick):
    """So many that each size takes seconds: a first touch of a GiB takes 1."""
    rounds = min(200, max(9, 2 * GIB // size))
    return max(5, rounds // 4) if quick else rounds


def lines_of(command, what):
    """Run it; its JSON lines, with the progress shown."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with process:
        for line in process.stdout:
            sample = json.loads(line)
            show_progress(f"{what}: {sample['case']}")
            yield sample
    if process.returncode:
        sys.exit(f"bench: {command[0]} ended with {process.returncode}")


def collect(build, sizes, quick):
    """{(case, size): [{side: nanoseconds}, ...]}"""
    samples = collections.defaultdict(list)
    show_progress(f"touching {shown_size(ROOM * sizes[-1])} of memory")
    subprocess.run(
        [sys.executable, __file__, "touch", str(ROOM * sizes[-1])], check=True
    )
    for size in sizes:
        tail = [str(size), str(rounds_of(size, quick))]
        commands = {
            "Python": [sys.executable, __file__, "worker", *tail],
            "C": [str(build / "bench" / "bench_big"), *tail],
        }
        for language, command in commands.items():
            what = f"{shown_size(size)}, {language}"
            for sample in lines_of(command, what):
                samples[sample["case"], size].append(sample["ns"])
    show_progress("")
    return samples


# ---- reporting ----


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, len(values) * percent // 100)]


def summarize(row, size, samples):
    pairs = [(times[row.theirs], times[row.ours]) for times in samples]
    theirs = statistics.median(pair[0] for pair in pairs)
    ours = statistics.median(pair[1] for pair in pairs)
    ratios = [pair[1] / pair[0] for pair in pairs]
    value, verdict = ours / theirs, ""
    if row.goal is not None and size in row.goal_sizes:
        word = "met" if value <= row.goal else "not met"
        verdict = f"goal {row.goal:.2f}: {word}"
    low, high = percentile(ratios, 10), percentile(ratios, 90)
    return Summary(theirs, ours, value, low, high, verdict)


# The case in C that has the floor of what is called from Python.
FLOORS = {"create and fill": "fill", "create, fill, unlink": "loop"}


def with_floor(row, size, summary, samples):
    """The same, telling of a goal that the floor does not reach either."""
    if row.case not in FLOORS or not summary.verdict.endswith("not met"):
        return summary
    taken = samples[FLOORS[row.case], size]
    floor = statistics.median(times["floor"] for times in taken)
    floor /= statistics.median(times["bare"] for times in taken)
    if floor > row.goal:
        verdict = f"{summary.verdict}, the floor is {floor:.2f}"
        summary = summary._replace(verdict=verdict)
    return summary


def summary_of(row, size, samples):
    summary = summarize(row, size, samples[row.case, size])
    return with_floor(row, size, summary, samples)


def summarize_all(samples, sizes):
    """[(row, size, Summary), ...]"""
    return [
        (row, size, summary_of(row, size, samples))
        for row in ROWS
        for size in row.sizes
        if size in sizes
    ]


def shown_size(size):
    for unit, name in ((GIB, "GiB"), (MIB, "MiB")):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size // KIB} KiB"


def shown_time(ns):
    return f"{ns / 1e3:.1f} us" if ns < 1e6 else f"{ns / 1e6:.2f} ms"


def print_table(summaries):
    line = "{:>10}{:>14}{:>14}{:>9}{:>16}  {}"
    before = None
    for row, size, s in summaries:
        if row is not before:
            print(f"\n{row.title}, ratio (spread)")
        before = row
        print(
            line.format(
                shown_size(size),
                shown_time(s.theirs),
                shown_time(s.ours),
                f"{s.value:.2f}",
                f"({s.low:.2f} .. {s.high:.2f})",
                s.verdict,
            ).rstrip()
        )


def machine():
    return (
        f"Python {platform.python_version()}, Linux {platform.release()}, "
        f"{os.cpu_count()} cores"
    )


def curve(samples, case, side):
    """Sizes in MiB and medians in milliseconds."""
    points = sorted(
        (size, statistics.median(times[side] for times in taken) / 1e6)
        for (name, size), taken in samples.items()
        if name == case
    )
    return [size / MIB for size, _ in points], [ms for _, ms in points]


CURVES = {
    "create and fill": [
        ("create and fill", "multiprocessing", "multiprocessing", "#8a8f98"),
        ("fill", "small", "shmkit on 4 KiB pages (from C)", "#e0a030"),
        ("create and fill", "shmkit", "shmkit", "#3b7dd8"),
        ("fill", "floor", "the floor: zeroed once, filled once", "#58a066"),
    ],
    "attach and read every page": [
        ("attach and read", "multiprocessing", "multiprocessing", "#8a8f98"),
        ("attach and read", "shmkit", "shmkit", "#3b7dd8"),
    ],
}


def draw_axes(axes, samples, title, curves):
    for case, side, label, color in curves:
        xs, ys = curve(samples, case, side)
        axes.plot(xs, ys, "o-", color=color, label=label, markersize=4)
    axes.axvline(2, color="#d1495b", linewidth=0.8, linestyle=":")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(xs)
    axes.set_xticklabels([shown_size(round(x * MIB)) for x in xs],
                         rotation=45, ha="right", fontsize=8)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.set_ylabel("ms, median; less is better")
    axes.set_title(title, fontsize=10)
    axes.legend(frameon=False, fontsize=8)


def draw(samples, path):
    """Time over size, both logarithmic."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "shmkit"
    from matplotlib import pyplot

    figure, places = pyplot.subplots(1, 2, figsize=(10, 4.2))
    for axes, (title, curves) in zip(places, CURVES.items()):
        draw_axes(axes, samples, title, curves)
    figure.suptitle(
        f"{machine()}; red: from here on 2 MiB pages", fontsize=9
    )
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def write_samples(path, samples, summaries):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(
            {
                "machine": machine(),
                "rows": [
                    {"title": row.title, "size": size, **s._asdict()}
                    for row, size, s in summaries
                ],
                "samples_ns": [
                    {"case": case, "size": size, "rounds": taken}
                    for (case, size), taken in samples.items()
                ],
            },
            file,
        )


def parse_arguments():
    parser = argparse.ArgumentParser(prog="./dev bench big")
    parser.add_argument("--build", type=pathlib.Path, required=True,
                        help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true",
                        help="up to 64 MiB, a quarter of the rounds")
    parser.add_argument("--picture", type=pathlib.Path, metavar="FILE.svg",
                        help="where to draw (BUILD/bench/big.svg)")
    return parser.parse_args()  # fmt: skip


def main():
    arguments = parse_arguments()
    sizes = choose_sizes(arguments.quick)
    if not sizes:
        sys.exit("bench: not enough memory, or room in /dev/shm")
    samples = collect(arguments.build, sizes, arguments.quick)
    summaries = summarize_all(samples, sizes)
    folder = arguments.build / "bench"
    picture = arguments.picture or folder / "big.svg"
    write_samples(folder / "big.json", samples, summaries)
    draw(samples, picture)
    rounds = [rounds_of(size, arguments.quick) for size in sizes]
    print(f"{machine()}; {rounds[0]} rounds of the smallest size, "
          f"{rounds[-1]} of the largest, {shown_size(sizes[-1])}")  # fmt: skip
    print_table(summaries)
    print(f"\nsamples: {folder / 'big.json'}\npicture: {picture}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(int(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:2] == ["touch"]:
        touch(int(sys.argv[2]))
    else:
        main()
