# SPDX-License-Identifier: MIT
"""import shmkit.pool gives multiprocessing.pool, the very module.

A module of shmkit that has no file of its own is the standard library's
under a second name.  It is not a copy, so a class found through either name
is the same class, and patching it patches both.
"""

import importlib
import importlib.machinery
import importlib.util
import sys


class MirrorFinder:
    """Answers for the submodules of one package that it does not have."""

    def __init__(self, package):
        self.prefix = package + "."

    def find_spec(self, fullname, path=None, target=None):
        if not fullname.startswith(self.prefix):
            return None
        tail = fullname[len(self.prefix):]
        if tail.startswith("_") or self._is_ours(tail):
            return None
        real = "multiprocessing." + tail
        if importlib.util.find_spec(real) is None:
            return None
        return importlib.machinery.ModuleSpec(fullname, MirrorLoader(real))

    def _is_ours(self, tail):
        if "." in tail:
            return False
        path = sys.modules[self.prefix[:-1]].__path__
        finder = importlib.machinery.PathFinder
        spec = finder.find_spec(self.prefix + tail, path)
        # A folder with nothing but type stubs is no module.
        return spec is not None and spec.has_location


class MirrorLoader:
    """Puts the real module where the import system looks for the result."""

    def __init__(self, real):
        self.real = real

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        real = importlib.import_module(self.real)
        sys.modules[module.__name__] = real


def install(package):
    """Serve the submodules of a package from multiprocessing.

    First in line, for shmkit.dummy has the path of multiprocessing.dummy, in
    which the ordinary finder would find the same files a second time.
    """
    sys.meta_path.insert(0, MirrorFinder(package))
