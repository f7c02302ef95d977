# SPDX-License-Identifier: MIT
"""Put modules of shmkit in the places of multiprocessing's.

Imported by a .pth file of a temporary environment, so that every interpreter
started from there has them, also those that the tests start with -E or -I.
The modules keep their standard names: pickles, mock.patch() and __module__ are
right.

Nothing is imported here, for one of CPython's tests wants to see that a fresh
interpreter has not loaded multiprocessing.
"""

import sys

PREFIX = "multiprocessing."
PLACES = ("shared_memory", "synchronize", "sharedctypes")


class Finder:
    """Answers for those modules; everything else is found as ever."""

    def __init__(self, folder):
        self.paths = {PREFIX + name: f"{folder}/{name}.py" for name in PLACES}

    def find_spec(self, fullname, path=None, target=None):
        if fullname not in self.paths:
            return None
        from importlib.util import spec_from_file_location
        return spec_from_file_location(fullname, self.paths[fullname])


def install(folder):
    """Load the files in `folder` as the standard modules from now on."""
    sys.meta_path.insert(0, Finder(folder))
