# SPDX-License-Identifier: MIT
"""What the tests let other processes do; importable from those."""

import os
import signal
import time

from shmkit import _core
from shmkit.shared_memory import ShareableList, SharedMemory


def write_hello(block):
    """Attach by name or take the pickled object, and write."""
    if isinstance(block, str):
        block = SharedMemory(block)
    block.buf[:5] = b"hello"
    block.close()


def double(sl):
    for position, value in enumerate(sl):
        sl[position] = value * 2
    sl.shm.close()


def report_family(connection):
    connection.send((_core.family_get_id(), os.getpid()))


def create_and_end(connection, end):
    """Make a block, which is the family's, and end in one of several ways."""
    block = SharedMemory(create=True, size=10)
    block.buf[0] = 55
    connection.send(block.name)
    if end == "close":
        block.close()
    elif end == "_exit":
        os._exit(0)
    elif end == "SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)
    elif end == "exception":
        raise SystemExit(3)


def create_holders(connection):
    """A holders block whose only holder ends without closing it."""
    block = SharedMemory(create=True, size=10, lifetime="holders")
    connection.send(block.name)
    globals()["kept"] = block


def fill(name, value, rounds):
    with SharedMemory(name) as block:
        for _ in range(rounds):
            block.buf[value] = (block.buf[value] + 1) % 256


def options_of(block):
    return block._track, block.read_only, block.size


def sum_of(sl):
    assert isinstance(sl, ShareableList)
    return sum(sl)


def hold(name, ready, done):
    with SharedMemory(name):
        ready.set()
        done.wait()


def sleep_forever(connection):
    connection.send(os.getpid())
    while True:
        time.sleep(1)


def double_rows(array, name):
    """Twice each item through the pickled array, and once more by name."""
    import shmkit
    array[:] *= 2
    array.close()
    with shmkit.attach(name, dtype="f8") as again:
        again[:] *= 2
