# SPDX-License-Identifier: MIT
"""Put shmkit.shared_memory in the place of multiprocessing.shared_memory.

Imported by a .pth file of a temporary environment, so that every interpreter
started from there has it, also those that the tests start with -E or -I.  The
module keeps its standard name: pickles, mock.patch() and __module__ are right.

Nothing is imported here, for one of CPython's tests wants to see that a fresh
interpreter has not loaded multiprocessing.
"""

import sys

PLACE = "multiprocessing.shared_memory"


class Finder:
    """Answers for the one module; everything else is found as ever."""

    def __init__(self, path):
        self.path = path

    def find_spec(self, fullname, path=None, target=None):
        if fullname != PLACE:
            return None
        from importlib.util import spec_from_file_location
        return spec_from_file_location(fullname, self.path)


def install(path):
    """Load the file at `path` as the standard module from now on."""
    sys.meta_path.insert(0, Finder(path))
