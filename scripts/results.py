#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Add up what the parts of a test run report, and say so in one line.

usage: results.py PARTS

PARTS holds one line a part, written by ./dev: label, kind, exit status and
report, separated by tabs.  Kinds:

meson   report + ".json" has one line a test with its outcome and output.  A
        test that runs cmocka tells its cases there; report + ".junit.xml" has
        the subtests of those that speak TAP.
pytest  report is a JUnit file.
tally   report is the output, whose last line is "N passed, N failed".
script  one result: status 0 passed, 77 skipped, anything else failed.

A part that failed as a whole (its exit status) counts as one failure even if
its report names none: a runner that dies early must not look green.  A part
that ran no test counts as a failure too.
"""

import collections
import json
import os
import re
import sys
import xml.etree.ElementTree as ElementTree

BAD = {"FAIL", "ERROR", "TIMEOUT", "INTERRUPT", "UNEXPECTEDPASS"}

Result = collections.namedtuple("Result", "name outcome")


def case_outcome(case):
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    if case.find("skipped") is not None:
        return "skipped"
    return "passed"


def read_junit(path):
    """(suite name, case name, outcome) of every test case."""
    for suite in ElementTree.parse(path).getroot().iter("testsuite"):
        for case in suite.findall("testcase"):
            name = "::".join(
                filter(None, (case.get("classname"), case.get("name")))
            )
            yield suite.get("name"), name, case_outcome(case)


def read_meson(report):
    """Results of a meson test run: subtests where a test has them."""
    subtests = collections.defaultdict(list)
    if os.path.exists(report + ".junit.xml"):
        for suite, name, outcome in read_junit(report + ".junit.xml"):
            # Tests without subtests share the suite of the project's name.
            if "." in suite:
                test = suite.split(".", 1)[1]
                subtests[test].append(Result(name, outcome))
    with open(report + ".json", encoding="utf-8") as lines:
        for line in lines:
            test = json.loads(line)
            # "project:suite / name", or other punctuation in other versions
            name = re.split(r" / | - |:", test["name"])[-1].strip()
            cases = subtests[name] or cmocka_cases(name, test.get("stdout"))
            yield from cases
            bad = test["result"] in BAD
            if not cases or (
                bad and all(case.outcome != "failed" for case in cases)
            ):
                yield Result(name, meson_outcome(test["result"]))


CMOCKA_LINE = re.compile(r"^\[ *(OK|FAILED|SKIPPED) *\] (\w+)$", re.M)
CMOCKA_OUTCOME = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}


def cmocka_cases(name, output):
    """Its cases; those that failed or were skipped are listed twice."""
    found = {}
    for word, case in CMOCKA_LINE.findall(output or ""):
        found[case] = CMOCKA_OUTCOME[word]
    return [Result(f"{name}::{c}", outcome) for c, outcome in found.items()]


def meson_outcome(result):
    if result in BAD:
        return "failed"
    return "skipped" if result == "SKIP" else "passed"


def read_pytest(report):
    """One result a test: one that fails is listed again if its end does."""
    found = {}
    for _, name, outcome in read_junit(report):
        if found.get(name) != "failed":
            found[name] = outcome
    return [Result(name, outcome) for name, outcome in found.items()]


def read_tally(label, report):
    with open(report, encoding="utf-8", errors="replace") as output:
        lines = re.findall(r"^(\d+) passed, (\d+) failed", output.read(), re.M)
    passed, failed = map(int, lines[-1]) if lines else (0, 0)
    yield from [Result(label, "passed")] * passed
    yield from [Result(f"{label}: see its output", "failed")] * failed


def read_script(label, status):
    outcomes = {0: "passed", 77: "skipped"}
    yield Result(label, outcomes.get(status, "failed"))


def read_part(label, kind, status, report):
    if kind == "script" or status == 77:
        return list(read_script(label, status))
    try:
        if kind == "meson":
            results = list(read_meson(report))
        elif kind == "tally":
            results = list(read_tally(label, report))
        else:
            results = read_pytest(report)
    except (OSError, ValueError, KeyError, ElementTree.ParseError) as error:
        return [Result(f"no report ({error})", "failed")]
    if not results:
        results.append(Result("no test was run", "failed"))
    if status != 0 and all(r.outcome != "failed" for r in results):
        results.append(Result(f"exit status {status}", "failed"))
    return results


def main():
    total = collections.Counter()
    with open(sys.argv[1], encoding="utf-8") as parts:
        for line in parts:
            label, kind, status, report = line.rstrip("\n").split("\t")
            results = read_part(label, kind, int(status), report)
            count = collections.Counter(r.outcome for r in results)
            total += count
            print(
                f"{label}: {count['passed']} passed, "
                f"{count['failed']} failed, {count['skipped']} skipped"
            )
            for result in results:
                if result.outcome != "passed":
                    print(f"    {result.outcome}: {result.name}")
    skipped = f", {total['skipped']} skipped" if total["skipped"] else ""
    print(f"{total['passed']} passed, {total['failed']} failed{skipped}")
    return 1 if total["failed"] or not total["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
