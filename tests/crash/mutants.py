#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Show that the crash tests notice what they are for.

Every mutants/NAME.patch breaks one rule of the protocols.  It is applied to a
copy of the sources, the crash programs are built with it, and its runs are
made in order until one of them fails (with --every, all are).  The head of a
patch says

    Mutant: what it does
    Expect: noticed, or "argument: why no test can notice it"
    Run: program and arguments, once or more, the likeliest first

Prints a table; fails if a mutant that should be noticed was not, or does not
apply or compile any more.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Optional

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TINY = ["-DSHMKITI_TABLE_FIRST=8u", "-DSHMKITI_TABLE_WINDOW=4u"]
COMMON = ["actions.c", "oracle.c"]
SCENE = COMMON + ["ops.c", "scene.c", "steps.c"]
PROGRAMS = {
    "storm": COMMON,
    "family_storm": COMMON,
    "faults": SCENE,
    "pairs": SCENE,
    "sync_storm": [],
}
LIMIT = 300  # seconds a run may take; longer is no verdict


class Mutant(NamedTuple):
    name: str
    patch: Path
    title: str
    expect: str
    runs: list[list[str]]


class TooLong(Exception):
    """A run did not end in time."""


class Outcome(NamedTuple):
    mutant: Mutant
    by: str  # the runs that failed and what they said, or ""
    seen: str  # what went wrong outside of the runs
    broken: bool  # does not apply, compile or end


def read_mutant(path: Path) -> Mutant:
    fields: dict[str, list[str]] = {"Mutant": [], "Expect": [], "Run": []}
    for line in path.read_text().splitlines():
        key, colon, value = line.partition(": ")
        if colon and key in fields:
            fields[key].append(value.strip())
        elif line.startswith("--- "):
            break
    runs = [shlex.split(run) for run in fields["Run"]]
    return Mutant(path.stem, path, fields["Mutant"][0], fields["Expect"][0],
                  runs)


def call(command: list[str], cwd: Path) -> Optional[str]:
    """None when it succeeds, else its output."""
    done = subprocess.run(command, cwd=cwd, text=True, errors="replace",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return None if done.returncode == 0 else done.stdout


def build(tree: Path, program: str, compiler: str) -> Optional[str]:
    """Build one crash program from `tree`; None, or what went wrong."""
    base = program.replace("_tiny", "")
    sources = sorted(str(p) for p in (tree / "src").rglob("*.c"))
    sources += [str(HERE / name) for name in [base + ".c"] + PROGRAMS[base]]
    sources += sorted(str(p) for p in (HERE.parent / "support").glob("*.c"))
    includes = [tree / "include", tree / "src", HERE.parent / "support"]
    command = [compiler, "-std=c17", "-O1", "-g", "-pthread", "-D_GNU_SOURCE",
               "-DSHMKIT_FAULT_POINTS=1", "-fno-strict-aliasing"]
    command += TINY if program.endswith("_tiny") else []
    command += [f"-I{path}" for path in includes]
    return call(command + sources + ["-o", program], tree)


def summary(output: str) -> str:
    """The first violation that a program printed."""
    for line in output.splitlines():
        if "VIOLATED: " in line:
            return line.split("VIOLATED: ")[1][:60]
    for line in output.splitlines():
        match = re.match(r"\s*(.*?):?\s+(\d+)(\s+<-- VIOLATED)?$", line)
        if match and "VIOLATED" in line:
            return f"{match[1].strip()}: {match[2]}"
    for line in output.splitlines():
        if re.match(r"[a-z].*: [1-9]\d*$", line):
            return line.strip()
    lines = output.strip().splitlines()
    return lines[-1] if lines else "no output"


def run(tree: Path, command: list[str]) -> Optional[str]:
    """None when nothing was noticed, else what was."""
    words = ["./" + command[0]] + command[1:]
    if command[0].startswith("faults"):
        words.append("--no-cover")
    try:
        done = subprocess.run(words, cwd=tree, text=True, errors="replace",
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise TooLong(" ".join(command)) from None
    if done.returncode == 77:
        print(done.stdout.strip())
        sys.exit(77)
    return None if done.returncode == 0 else summary(done.stdout)


def judge(mutant: Mutant, tree: Path, compiler: str, every: bool) -> Outcome:
    for name in ("src", "include"):
        shutil.copytree(ROOT / name, tree / name)
    wrong = call(["patch", "-s", "-p1", "-i", str(mutant.patch)], tree)
    if wrong is not None:
        return Outcome(mutant, "", "does not apply: " + wrong.strip(), True)
    programs = sorted({words[0] for words in mutant.runs}) or ["storm"]
    for program in programs:
        wrong = build(tree, program, compiler)
        if wrong is not None:
            return Outcome(mutant, "", "does not compile: " + wrong, True)
    noticed = []
    for words in mutant.runs:
        try:
            seen = run(tree, words)
        except TooLong as late:
            return Outcome(mutant, "", f"no end after {LIMIT} s: {late}", True)
        if seen is not None:
            noticed.append(f"{words[0]} ({seen})")
        if noticed and not every:
            break
    return Outcome(mutant, ", ".join(noticed), "", False)


def is_wrong(outcome: Outcome) -> bool:
    if outcome.broken:
        return True
    return outcome.mutant.expect == "noticed" and not outcome.by


def show(outcome: Outcome) -> None:
    by_argument = outcome.mutant.expect != "noticed"
    if outcome.broken:
        text = outcome.seen
    elif outcome.by:
        text = outcome.by
    elif by_argument:
        text = "not meant to be: " + outcome.mutant.expect
    else:
        text = "NOT NOTICED"
    print(f"  {outcome.mutant.name:27} {text}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", metavar="NAME")
    parser.add_argument("--every", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cc", default=os.environ.get("CC", "cc"))
    options = parser.parse_args()
    mutants = [read_mutant(path)
               for path in sorted((HERE / "mutants").glob("*.patch"))
               if not options.only or path.stem in options.only]
    print(f"{len(mutants)} mutants; each is noticed by", flush=True)
    failures = 0
    with tempfile.TemporaryDirectory(prefix="shmkit-mutants-") as scratch:

        def work(mutant: Mutant) -> Outcome:
            tree = Path(scratch) / mutant.name
            tree.mkdir()
            outcome = judge(mutant, tree, options.cc, options.every)
            shutil.rmtree(tree, ignore_errors=True)
            return outcome

        with ThreadPoolExecutor(options.jobs) as pool:
            for outcome in pool.map(work, mutants):
                show(outcome)
                failures += is_wrong(outcome)
    print(f"{len(mutants) - failures} mutants as they should be, "
          f"{failures} not")
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
