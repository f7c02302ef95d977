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

The samples go to BUILD/bench/small.json, the picture to BUILD/bench/small.svg.

How the pieces hang together: main() runs each case of CASES as a process of
its own ("small.py worker NAME"), which prints one JSON list [theirs, ours] a
round, in nanoseconds a call; the C cases come from bench_block in the same
form.  Case functions are named worker_*.
"""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys

import report
from report import Case, show_progress, take_turns

SIZE = 4096
BATCH = 32
# An attach looks for dead families once a millisecond: a batch shorter than
# that would be charged for a look of its own each time.
BATCH_IN_C = 200

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


# ---- workers: run in a process of their own ----


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
    take_turns(rounds, BATCH, lambda: cycle(theirs), lambda: cycle(ours))


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
        BATCH,
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
        [build / "bench" / "bench_block", str(rounds), str(BATCH_IN_C)],
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


def parse_arguments():
    parser = argparse.ArgumentParser(prog="./dev bench small")
    parser.add_argument("--build", type=pathlib.Path, required=True,
                        help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true",
                        help="a tenth of the rounds")
    parser.add_argument("--picture", type=pathlib.Path, metavar="FILE.svg",
                        help="where to draw (BUILD/bench/small.svg)")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    rounds = 40 if arguments.quick else 400
    samples = collect(arguments.build, rounds)
    summaries = [report.summarize(c, s) for c, s in zip(CASES, samples)]
    folder = arguments.build / "bench"
    picture = arguments.picture or folder / "small.svg"
    report.write_samples(CASES, samples, summaries, folder / "small.json")
    report.draw(
        CASES,
        summaries,
        "4 KiB blocks",
        "time over multiprocessing's (Python) or bare calls' (C); red: goal",
        picture,
    )
    print(
        f"{report.machine()}; {rounds} rounds of {BATCH} calls in Python, "
        f"{BATCH_IN_C} in C; 4 KiB blocks"
    )
    report.print_table(CASES, summaries)
    print(f"\nsamples: {folder / 'small.json'}\npicture: {picture}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(sys.argv[2], int(sys.argv[3]))
    else:
        main()
