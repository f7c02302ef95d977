# SPDX-License-Identifier: MIT
"""Who removes a block: the three lifetimes, and a manager.

A child makes one block of each lifetime and ends without closing any; the
parent then looks which are still there.  Nobody has to be tidy for memory to
come back.
"""

import os

from shmkit import Process, shared_memory
from shmkit.managers import SharedMemoryManager

LIFETIMES = ["family", "holders", "persistent"]


def make_all(prefix):
    for lifetime in LIFETIMES:
        shared_memory.SharedMemory(
            f"{prefix}-{lifetime}", create=True, size=4096, lifetime=lifetime
        )


def is_there(name):
    try:
        shared_memory.SharedMemory(name).close()
    except FileNotFoundError:
        return False
    return True


if __name__ == "__main__":
    prefix = f"own-cleanup-{os.getpid()}"
    child = Process(target=make_all, args=(prefix,))
    child.start()
    child.join()
    for lifetime in LIFETIMES:
        there = is_there(f"{prefix}-{lifetime}")
        print(f"{lifetime}: {'still there' if there else 'gone'}")

    # The family's block goes with this process, the persistent one only when
    # somebody says so.  Any process may: unlink() asks for no owner.
    last = shared_memory.SharedMemory(f"{prefix}-persistent")
    last.close()
    last.unlink()

    # A manager removes what it made when its context ends.
    with SharedMemoryManager() as manager:
        name = manager.SharedMemory(size=1024).name
        print(f"managed: {'still there' if is_there(name) else 'gone'}")
    print(f"managed, after: {'still there' if is_there(name) else 'gone'}")
    raise SystemExit(child.exitcode)
