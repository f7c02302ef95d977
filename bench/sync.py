#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measure locks, values and their kin beside what people use today.

usage: ./dev bench sync [--quick] [--picture FILE.svg]

In C: beside one compare-exchange and one exchange, pthread and sem_t, from
bench_sync, and beside Boost.Interprocess where that is installed, from
bench_boost.  In Python: beside multiprocessing.  Each figure is a pair taken
in turn in the same processes; printed are the medians, their ratio, and the
spread of the rounds' ratios.  Recovery is the time from kill -9 of a holder
to the next owner, a thousand times.

The samples go to BUILD/bench/sync.json, the picture to BUILD/bench/sync.svg.

Case functions are named worker_*; each runs in a process of its own.
"""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys

import report
from report import Case, print_turns, show_progress, take_turns

C, CPP, PYTHON, BOTH = "C", "C++", "Python", "Python, 2 processes"
STDLIB, BOOST = "multiprocessing", "Boost.Interprocess"
MILLION = 1000000

CASES = [
    Case("lock / floor", C, "CAS + exchange", 1.05, "ns"),
    Case("lock / robust mutex", C, "pthread", 0.7, "ns"),
    Case("rlock / recursive robust mutex", C, "pthread", None, "ns"),
    Case("semaphore / sem_t", C, "sem_t", None, "ns"),
    Case("owned semaphore / sem_t", C, "sem_t", None, "ns"),
    Case("rwlock read / pthread", C, "pthread", None, "ns"),
    Case("rwlock write / pthread", C, "pthread", None, "ns"),
    Case("rwlock, two reading / one", C, "one alone", 1.2, "ns"),
    Case("rwlock, two reading / pthread", C, "pthread", None, "ns"),
    Case("notify_all, 8 waiters / pthread", C, "pthread", 1.0, "us"),
    Case("barrier of two, two cores / pthread", C, "pthread", 0.1, "ns"),
    Case("lock / interprocess_mutex", CPP, BOOST, None, "ns"),
    Case("rlock / interprocess_recursive_mutex", CPP, BOOST, None, "ns"),
    Case("semaphore / interprocess_semaphore", CPP, BOOST, None, "ns"),
    Case("read / interprocess_sharable_mutex", CPP, BOOST, None, "ns"),
    Case("acquire + release", PYTHON, STDLIB, 0.95, "ns"),
    Case("with lock", PYTHON, STDLIB, 0.5, "ns"),
    Case("Lock()", PYTHON, STDLIB, 0.02, "ns"),
    Case("RLock acquire + release", PYTHON, STDLIB, None, "ns"),
    Case("Semaphore acquire + release", PYTHON, STDLIB, None, "ns"),
    Case("Value.value, get", PYTHON, STDLIB, 0.25, "ns"),
    Case("Value.value, set", PYTHON, STDLIB, 0.25, "ns"),
    Case("with v.get_lock(): v.value += 1", PYTHON, STDLIB, 0.4, "ns"),
    Case("v.add(1) / that", PYTHON, STDLIB, 0.1, "ns"),
    Case("Array[i]", PYTHON, STDLIB, 0.06, "ns"),
    Case("Array[i] = x", PYTHON, STDLIB, None, "ns"),
    Case("Array[:] = 1M elements", PYTHON, STDLIB, 0.15, "us"),
    Case("Array[:], 1M elements", PYTHON, STDLIB, None, "us"),
    Case("1,000,000 locked increments each", BOTH, STDLIB, 0.3, "total ms"),
    Case("event round trip, free", BOTH, STDLIB, 0.5, "us"),
    Case("event round trip, pinned", BOTH, STDLIB, 0.5, "us"),
]


def modules():
    import multiprocessing

    import shmkit

    return multiprocessing, shmkit


# ---- Python, alone ----


def pair_of(make):
    """The call to time, of both sides."""
    return [make(module) for module in modules()]


def worker_acquire(rounds, kind):
    def make(module):
        lock = getattr(module, kind)()
        acquire, release = lock.acquire, lock.release

        def call():
            for _ in range(100):
                acquire()
                release()

        return call

    take_turns(rounds, 10, *pair_of(make))


def worker_with(rounds):
    def make(module):
        lock = module.Lock()

        def call():
            for _ in range(100):
                with lock:
                    pass

        return call

    take_turns(rounds, 10, *pair_of(make))


def worker_create(rounds):
    def make(module):
        def call():
            module.Lock()

        return call

    take_turns(rounds, 30, *pair_of(make))


def worker_get(rounds):
    def make(module):
        value = module.Value("i", 7)

        def call():
            for _ in range(100):
                value.value

        return call

    take_turns(rounds, 10, *pair_of(make))


def worker_set(rounds):
    def make(module):
        value = module.Value("i", 7)

        def call():
            for _ in range(100):
                value.value = 8

        return call

    take_turns(rounds, 10, *pair_of(make))


def locked_increments(module):
    value = module.Value("q", 0)

    def call():
        for _ in range(100):
            with value.get_lock():
                value.value += 1

    return call


def worker_increment(rounds):
    take_turns(rounds, 10, *pair_of(locked_increments))


def worker_add(rounds):
    theirs, ours = modules()
    value = ours.Value("q", 0)

    def add():
        for _ in range(100):
            value.add(1)

    take_turns(rounds, 10, locked_increments(theirs), add)


def worker_item(rounds):
    def make(module):
        array = module.Array("i", 1000)

        def call():
            for _ in range(100):
                array[500]

        return call

    take_turns(rounds, 10, *pair_of(make))


def worker_set_item(rounds):
    def make(module):
        array = module.Array("i", 1000)

        def call():
            for _ in range(100):
                array[500] = 7

        return call

    take_turns(rounds, 10, *pair_of(make))


def worker_set_slice(rounds):
    data = list(range(MILLION))

    def make(module):
        array = module.Array("i", MILLION)

        def call():
            array[:] = data

        return call

    take_turns(max(5, rounds // 20), 1, *pair_of(make))


def worker_get_slice(rounds):
    def make(module):
        array = module.Array("i", MILLION)

        def call():
            array[:]

        return call

    take_turns(max(5, rounds // 20), 1, *pair_of(make))


# ---- Python, two processes ----


def clock_in_two(module, target, *arguments):
    """Nanoseconds from the moment both are there until both are done."""
    import time

    context = module.get_context("fork")
    start = context.Barrier(3)
    processes = [
        context.Process(target=target, args=(start, number, *arguments))
        for number in range(2)
    ]
    for process in processes:
        process.start()
    start.wait()
    began = time.perf_counter_ns()
    for process in processes:
        process.join()
        if process.exitcode != 0:
            sys.exit(f"bench: a process ended with {process.exitcode}")
    return time.perf_counter_ns() - began


def increment(start, number, value):
    start.wait()
    for _ in range(MILLION):
        with value.get_lock():
            value.value += 1


def worker_increments(rounds):
    def clock(module):
        value = module.Value("q", 0)
        took = clock_in_two(module, increment, value)
        if value.value != 2 * MILLION:
            sys.exit(f"bench: lost updates: {value.value}")
        return took

    theirs, ours = modules()
    print_turns(max(3, rounds // 60), lambda: clock(theirs),
                lambda: clock(ours))


ROUND_TRIPS = 500


def ping_pong(start, number, events, pinned):
    if pinned:
        os.sched_setaffinity(0, {number})
    mine, other = events[number], events[1 - number]
    start.wait()
    for _ in range(ROUND_TRIPS):
        if number == 0:
            other.set()
        mine.wait()
        mine.clear()
        if number == 1:
            other.set()


def worker_events(rounds, pinned):
    def clock(module):
        events = [module.Event(), module.Event()]
        return clock_in_two(module, ping_pong, events, pinned) / ROUND_TRIPS

    theirs, ours = modules()
    print_turns(max(4, rounds // 15), lambda: clock(theirs),
                lambda: clock(ours))


WORKERS = {
    "acquire + release": lambda n: worker_acquire(n, "Lock"),
    "with lock": worker_with,
    "Lock()": worker_create,
    "RLock acquire + release": lambda n: worker_acquire(n, "RLock"),
    "Semaphore acquire + release": lambda n: worker_acquire(n, "Semaphore"),
    "Value.value, get": worker_get,
    "Value.value, set": worker_set,
    "with v.get_lock(): v.value += 1": worker_increment,
    "v.add(1) / that": worker_add,
    "Array[i]": worker_item,
    "Array[i] = x": worker_set_item,
    "Array[:] = 1M elements": worker_set_slice,
    "Array[:], 1M elements": worker_get_slice,
    "1,000,000 locked increments each": worker_increments,
    "event round trip, free": lambda n: worker_events(n, False),
    "event round trip, pinned": lambda n: worker_events(n, True),
}
# Calls timed as one: the loops above of a hundred.
HUNDRED = {
    name
    for name, case in ((case.name, case) for case in CASES)
    if case.group == PYTHON and case.unit == "ns" and name != "Lock()"
}


# ---- collecting ----


def collect_python(case, rounds):
    out = subprocess.run(
        [sys.executable, __file__, "worker", case.name, str(rounds)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    calls = 100 if case.name in HUNDRED else 1
    return [
        [side / calls for side in json.loads(line)]
        for line in out.splitlines()
    ]


def collect_native(program, rounds):
    """Samples by case; none where the program was not built."""
    samples = collections.defaultdict(list)
    if not program.exists():
        return samples
    show_progress(program.name)
    out = subprocess.run(
        [program, str(max(5, rounds // 10))],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    for line in out.splitlines():
        sample = json.loads(line)
        samples[sample["case"]].append([sample["theirs"], sample["ours"]])
    return samples


def collect(build, rounds):
    """The cases that could be measured here, and their samples."""
    native = {
        C: collect_native(build / "bench" / "bench_sync", rounds),
        CPP: collect_native(build / "bench" / "bench_boost", rounds),
    }
    cases, samples = [], []
    for case in CASES:
        show_progress(f"{case.group}: {case.name}")
        if case.group in native:
            found = native[case.group][case.name]
        else:
            found = collect_python(case, rounds)
        if found:
            cases.append(case)
            samples.append(found)
    show_progress("")
    return cases, samples


def print_recovery(build, quick):
    trials = "100" if quick else "1000"
    print()
    show_progress("recovery after kill -9")
    out = subprocess.run(
        [build / "bench" / "bench_recovery", trials],
        stdout=subprocess.PIPE,  # its status says whether 25 ms were kept
        text=True,
    ).stdout
    show_progress("")
    print(out, end="")


def parse_arguments():
    parser = argparse.ArgumentParser(prog="./dev bench sync")
    parser.add_argument("--build", type=pathlib.Path, required=True,
                        help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true",
                        help="a tenth of the rounds")
    parser.add_argument("--picture", type=pathlib.Path, metavar="FILE.svg",
                        help="where to draw (BUILD/bench/sync.svg)")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    rounds = 30 if arguments.quick else 300
    cases, samples = collect(arguments.build, rounds)
    summaries = [report.summarize(c, s) for c, s in zip(cases, samples)]
    folder = arguments.build / "bench"
    picture = arguments.picture or folder / "sync.svg"
    report.write_samples(cases, samples, summaries, folder / "sync.json")
    report.draw(cases, summaries, "Locks and values",
                "time over the other's; red: goal", picture)
    print(f"{report.machine()}; {rounds} rounds")
    report.print_table(cases, summaries)
    print_recovery(arguments.build, arguments.quick)
    print(f"\npicture: {picture}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        WORKERS[sys.argv[2]](int(sys.argv[3]))
    else:
        main()
