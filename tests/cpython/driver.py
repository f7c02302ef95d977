# SPDX-License-Identifier: MIT
"""Run CPython's SharedMemory tests of one start method; print JSON lines.

usage: driver.py ENTRY_MODULE RESULT_FILE EXPECTED_PATH
Runs inside the temporary environment that run.py makes.
"""

import importlib
import json
import sys
import unittest

CLASS = "WithProcessesTestSharedMemory"


class Recorder(unittest.TextTestResult):
    """Notes one outcome for each test, the worst of its subtests."""

    def __init__(self, *args):
        super().__init__(*args)
        self.outcome = {}

    def _note(self, test, outcome):
        self.outcome[test._testMethodName] = outcome

    def addSuccess(self, test):
        super().addSuccess(test)
        self.outcome.setdefault(test._testMethodName, "passed")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._note(test, "failed")

    def addError(self, test, err):
        super().addError(test, err)
        name = getattr(test, "_testMethodName", None)
        self.outcome[name or str(test)] = "failed"

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        name = getattr(test, "_testMethodName", None)
        self.outcome[name or str(test)] = "skipped"

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._note(test, "failed")


def main(entry, result_file, expected_path):
    module = importlib.import_module(entry)
    place = importlib.import_module("multiprocessing.shared_memory")
    if place.__file__ != expected_path:
        sys.exit(f"tested would be {place.__file__}, not {expected_path}")
    tests = unittest.defaultTestLoader.loadTestsFromTestCase(
        getattr(module, CLASS))
    runner = unittest.TextTestRunner(resultclass=Recorder, verbosity=2)
    result = runner.run(tests)
    with open(result_file, "w") as file:
        json.dump(result.outcome, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
