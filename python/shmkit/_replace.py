# SPDX-License-Identifier: MIT
"""Modules of shmkit in the place of those of multiprocessing.

OURS is the one list of what is replaced.  A finder at the head of
sys.meta_path answers when one of them is imported, so nothing is loaded for a
program that does not use it; what is loaded already is replaced at once.

How it reaches other interpreters:

fork        nothing to do.
spawn,      util.spawnv_passfds() starts them with `-c CODE`; CODE is given a
forkserver  line that loads this file.  That needs no environment, so -E, -I
            and -S do not stop it.
subprocess  PYTHONPATH begins with the folder _startup, whose sitecustomize.py
            loads this file and then the sitecustomize the user has.  With -E,
            -I or -S Python does not look there; for the first two,
            `python -m shmkit hook` puts a .pth file into site-packages, if
            the user asks for it.

SHMKIT_RUN names the kind of interpreter (sys.implementation.cache_tag), for
others could not load the extension; they stay as they are.

This file is loaded by path before anything else is, so it imports nothing of
shmkit, and the rest as late as can be.
"""

import os
import sys

WHOLE = None  # our module takes the place of the standard one

# module: WHOLE, or the names to set in the standard module
OURS = {
    "shared_memory": WHOLE,
    "synchronize": WHOLE,
    "sharedctypes": WHOLE,
    "managers": ("SharedMemoryManager", "SharedMemoryServer",
                 "shared_memory"),
}

VARIABLE = "SHMKIT_RUN"
TAG = sys.implementation.cache_tag
HERE = os.path.dirname(os.path.abspath(__file__))
STARTUP = os.path.join(HERE, "_startup")
_THEIRS = "multiprocessing."
_SELF = "shmkit._replace"


# ---- the modules ----

def complete(name):
    """Put ours where it belongs, if it is replaced and both are loaded.

    Called by a module of ours that changes the standard one as its last
    step, since either of the two may be imported first.
    """
    if not any(isinstance(one, Finder) for one in sys.meta_path):
        return
    ours = sys.modules.get("shmkit." + name)
    theirs = sys.modules.get(_THEIRS + name)
    if ours is None or theirs is None:
        return
    if OURS[name] is WHOLE:
        sys.modules[_THEIRS + name] = ours
        setattr(sys.modules["multiprocessing"], name, ours)
        return
    for one in OURS[name]:
        if one in vars(ours):  # else it is still being imported
            setattr(theirs, one, vars(ours)[one])


def _import_ours(name):
    import importlib
    importlib.import_module("shmkit." + name)
    complete(name)


def _patch_util(util):
    """Let spawned interpreters begin with this file; load shmkit."""
    spawn = util.spawnv_passfds

    def spawnv_passfds(path, args, passfds):
        return spawn(path, with_prelude(args), passfds)

    if not hasattr(spawn, "shmkit"):
        spawnv_passfds.shmkit = True
        util.spawnv_passfds = spawnv_passfds
    if Finder.is_root:
        import shmkit  # noqa: F401  (before there is a child: the family)


def _patch_tracker(tracker):
    """Let those who unregister a block they have attached, as the standard
    module makes them, do so: it was never registered, and the helper would
    print a traceback."""
    known = set()

    class ResourceTracker(type(tracker._resource_tracker)):
        shmkit = True

        def register(self, name, rtype):
            if rtype == "shared_memory":
                known.add(name)
            super().register(name, rtype)

        def unregister(self, name, rtype):
            if rtype != "shared_memory" or name in known:
                super().unregister(name, rtype)

    one = tracker._resource_tracker
    if not hasattr(one, "shmkit"):
        one.__class__ = ResourceTracker
        tracker.register = one.register
        tracker.unregister = one.unregister


_PATCHES = {"util": _patch_util, "resource_tracker": _patch_tracker}


class PatchingLoader:
    """The loader of a standard module, and a change to the module after."""

    def __init__(self, loader, patch):
        self.loader = loader
        self.patch = patch

    def __getattr__(self, name):
        return getattr(self.loader, name)

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        module.__loader__ = module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        self.patch(module)


class AliasLoader:
    """Puts our module where the import system looks for the result."""

    def __init__(self, name):
        self.name = name

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        import importlib
        ours = importlib.import_module("shmkit." + self.name)
        sys.modules[_THEIRS + self.name] = ours


class Finder:
    """Answers for the modules that are replaced, and for shmkit itself."""

    is_root = True  # False in children of spawn and forkserver

    def find_spec(self, fullname, path=None, target=None):
        if fullname == "shmkit":
            return self._find_package()
        if not fullname.startswith(_THEIRS):
            return None
        name = fullname[len(_THEIRS):]
        if name in OURS and OURS[name] is WHOLE:
            from importlib.machinery import ModuleSpec
            return ModuleSpec(fullname, AliasLoader(name))
        patch = _PATCHES.get(name)
        if name in OURS:
            def patch(_module):
                _import_ours(name)
        return self._find_standard(fullname, path, patch) if patch else None

    @staticmethod
    def _find_package():
        from importlib.util import spec_from_file_location
        return spec_from_file_location(
            "shmkit", os.path.join(HERE, "__init__.py"),
            submodule_search_locations=[HERE])

    @staticmethod
    def _find_standard(fullname, path, patch):
        from importlib.machinery import PathFinder
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader = PatchingLoader(spec.loader, patch)
        return spec


# ---- other interpreters ----

def with_prelude(args):
    """The command of a child, its code beginning with this file."""
    args = list(args)
    if "-c" in args:
        at = args.index("-c") + 1
        code = os.fsdecode(args[at])
        if code.startswith("from multiprocessing."):
            args[at] = prelude(is_root=False) + "; " + code
    return args


def prelude(is_root):
    """An expression that loads this file and replaces the modules, and does
    nothing in another kind of interpreter."""
    load = os.path.join(STARTUP, "load.py")
    code = f"compile(open({load!r}).read(), {load!r}, 'exec')"
    path = os.path.join(HERE, "_replace.py")
    return (f"(lambda scope: (exec({code}, scope), "
            f"scope['load']({path!r}, {TAG!r}, {is_root!r})))({{}})")


def _set_environment():
    os.environ[VARIABLE] = TAG
    paths = os.environ.get("PYTHONPATH")
    folders = paths.split(os.pathsep) if paths else []
    if STARTUP not in folders:
        os.environ["PYTHONPATH"] = os.pathsep.join([STARTUP, *folders])


# ---- this interpreter ----

def arm(is_root=True):
    """Replace the modules in this interpreter; only what is loaded already
    is looked at now."""
    Finder.is_root = is_root
    if not any(isinstance(one, Finder) for one in sys.meta_path):
        sys.meta_path.insert(0, Finder())
    for name in OURS:
        if _THEIRS + name in sys.modules:
            _import_ours(name)
    for name, patch in _PATCHES.items():
        if _THEIRS + name in sys.modules:
            patch(sys.modules[_THEIRS + name])


def install():
    """Let multiprocessing use shmkit, here and in all children.

    From now on multiprocessing.shared_memory is shmkit.shared_memory, and so
    on, for every module that imports it.  Call it before anything takes names
    out of multiprocessing's modules: what another module has imported already
    stays what it was.  Children of fork, spawn and forkserver follow, as do
    Python programs started with this environment by the same version of
    Python, unless it is told to ignore it (-E, -I, -S).

    It cannot be undone.  A second call does nothing.
    """
    _set_environment()
    arm()
