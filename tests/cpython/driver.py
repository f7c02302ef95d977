# SPDX-License-Identifier: MIT
"""Run some of CPython's tests; note the outcome of each in a JSON file.

usage: driver.py MODULE RESULT_FILE FOLDER
Runs inside the temporary environment that run.py makes.  MODULE is one of its
entry modules, of which the classes below are run, or that of the executors, of
which all that use processes are.  FOLDER is where our modules come from.
"""

import importlib
import json
import os
import sys
import unittest

import shmkit_in_place

ENTRY = "WithProcessesTest"
CLASSES = ("SharedMemory", "Lock", "Semaphore", "Condition", "Event",
           "Barrier", "Queue", "Pool", "Value", "Array", "SharedCTypes")
EXECUTOR = "ProcessPool"


class Recorder(unittest.TextTestResult):
    """Notes one outcome for each test, the worst of its subtests."""

    def __init__(self, *args):
        super().__init__(*args)
        self.outcome = {}

    def _note(self, test, outcome):
        self.outcome[name_of(test)] = outcome

    def addSuccess(self, test):
        super().addSuccess(test)
        self.outcome.setdefault(name_of(test), "passed")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._note(test, "failed")

    def addError(self, test, err):
        super().addError(test, err)
        self._note(test, "failed")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._note(test, "skipped")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._note(test, "failed")


def name_of(test):
    """As it is called where it is defined: _TestLock.test_rlock."""
    method = getattr(test, "_testMethodName", None)
    if method is None:
        return str(test)
    cls = type(test).__name__
    if cls.startswith(ENTRY):
        cls = "_Test" + cls[len(ENTRY):]
    return f"{cls}.{method}"


def flat(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test


def load(name):
    loader = unittest.defaultTestLoader
    if name.startswith("entry_"):
        module = importlib.import_module(name)
        return unittest.TestSuite(
            loader.loadTestsFromTestCase(getattr(module, ENTRY + cls))
            for cls in CLASSES)
    return unittest.TestSuite(
        test for test in flat(loader.loadTestsFromName(name))
        if type(test).__name__.startswith(EXECUTOR))


def check_places(folder):
    for name in shmkit_in_place.PLACES:
        module = importlib.import_module("multiprocessing." + name)
        if module.__file__ != os.path.join(folder, name + ".py"):
            sys.exit(f"tested would be {module.__file__}, not ours")


def main(name, result_file, folder):
    tests = load(name)
    check_places(folder)
    runner = unittest.TextTestRunner(resultclass=Recorder, verbosity=2)
    result = runner.run(tests)
    with open(result_file, "w") as file:
        json.dump(result.outcome, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
