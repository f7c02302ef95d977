# SPDX-License-Identifier: MIT
"""A watchdog, scratch names, and the proof that nothing was left behind.

As root, the whole session moves into a mount namespace with a /dev/shm of its
own before anything is imported that uses it: whatever is left there at the
end is then ours.  Otherwise only names that tests drew themselves count.

PYTHONPATH must lead to a built package, e.g. build/python.
"""

import ctypes
import faulthandler
import gc
import itertools
import os
import subprocess

import pytest

SHM = "/dev/shm"
WATCHDOG = 300  # seconds for one test, on a machine that is busy
PREFIX = f"pytest-{os.getpid()}-"
CLONE_NEWNS = 0x00020000
_counter = itertools.count()


def _enter_private_shm():
    """Whether /dev/shm is now ours alone."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or libc.unshare(CLONE_NEWNS) != 0:
        return False
    for command in (["mount", "--make-rprivate", "/"],
                    ["mount", "-t", "tmpfs", "tmpfs", SHM]):
        done = subprocess.run(command, stderr=subprocess.DEVNULL)
        if done.returncode != 0:
            return False
    return True


_private = _enter_private_shm()


def scratch_name():
    return f"{PREFIX}{next(_counter)}"


@pytest.fixture
def name():
    """A name for a block that nobody has; the test must unlink the block."""
    return scratch_name()


@pytest.fixture
def names():
    """A function that gives another such name at each call."""
    return scratch_name


@pytest.fixture
def private_shm():
    """For tests that fill /dev/shm or look at all of it."""
    if not _private:
        pytest.skip("needs root: a /dev/shm of its own")


@pytest.fixture(autouse=True)
def watchdog():
    faulthandler.dump_traceback_later(WATCHDOG, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True)
def left_nothing():
    """Each test removes the names it made."""
    before = set(left())
    yield
    extra = set(left()) - before
    if extra:  # perhaps a cycle holds the last reference
        gc.collect()
        extra = set(left()) - before
    assert not extra, f"left in {SHM}: {sorted(extra)}"


def left():
    """Names of blocks, but for our families' folder and our family's arena."""
    from shmkit import _core
    for name in os.listdir(SHM):
        if name in (f"shmkit-{os.geteuid()}",
                    f"shmkit.{_core.family_get_id()}"):
            continue
        if _private or name.startswith(PREFIX):
            yield name


def pytest_sessionfinish(session, exitstatus):
    """Families of dead processes must be gone after one sweep."""
    from shmkit import _core
    _core.sweep()
    rest = list(left())
    if _private:
        folder = os.path.join(SHM, f"shmkit-{os.geteuid()}")
        families = os.listdir(folder) if os.path.isdir(folder) else []
        rest += [f"family {one}" for one in families
                 if one != _core.family_get_id()]
    if rest:
        print(f"\nleft in {SHM} by this session: {rest}")
        session.exitstatus = 1
