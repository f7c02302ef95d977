# SPDX-License-Identifier: MIT
"""What test_values.py lets other processes do; importable from those."""

import ctypes
import os
import time

from shmkit import sharedctypes


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_double)]


class Point3(Point):
    _fields_ = [("z", ctypes.c_longlong)]


def double(objects):
    for obj in objects:
        if isinstance(obj, ctypes.Array) or hasattr(obj, "__len__"):
            for i in range(len(obj)):
                obj[i] *= 2
        elif hasattr(obj, "x"):
            obj.x *= 2
            obj.y *= 2
        else:
            obj.value *= 2


def add_atomically(value, array, times):
    for _ in range(times):
        value.add(1)
        array.add(1, 1.0)


def add_locked(value, times):
    for _ in range(times):
        with value.get_lock():
            value.value += 1


def add_unlocked(value, times):
    for _ in range(times):
        value.value = value.value + 1


def spin_exchange(value, times):
    """A counter kept by compare-exchange alone."""
    for _ in range(times):
        while True:
            seen = value.value
            if value.compare_exchange(seen, seen + 1):
                break


def count_up(value, until):
    """Wait for each even number and make it odd."""
    for number in range(0, until, 2):
        assert value.wait(number, timeout=60)
        value.value = number + 1


def tell_later(value, new, pause):
    time.sleep(pause)
    value.value = new


def lock_and_die(value):
    value.get_lock().acquire()
    value.value = 77
    os._exit(1)


def pass_on(context_name, obj):
    """Hand it to a grandchild."""
    import shmkit
    context = shmkit.get_context(context_name)
    process = context.Process(target=double, args=([obj],))
    process.start()
    process.join()
    assert process.exitcode == 0


def make_and_drop(times):
    """Create many in a child that ends at once."""
    for _ in range(times):
        sharedctypes.Value("i", 1)
        sharedctypes.Array("d", 100)


def hold(connection, obj):
    connection.send("have it")
    connection.recv()
    double([obj])
    connection.send("done")
