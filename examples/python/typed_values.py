# SPDX-License-Identifier: MIT
"""The types of Value and Array, and a child that doubles each of them.

A Structure gives one object with an attribute for each field; an Array is
NumPy's as it is, without a copy.
"""

import ctypes

import numpy as np

from shmkit import Array, Process, Value


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_double)]


def double(values, point, array):
    for value in values:
        value.value *= 2
    point.x *= 2
    point.y *= 2
    np.asarray(array)[:] *= 2


if __name__ == "__main__":
    values = [Value(code, 3) for code in "bBhHiIlLqQfd"]
    text = Value(ctypes.c_char, b"x")
    flag = Value(ctypes.c_bool, True)
    point, array = Value(Point, 1, 2.5), Array(ctypes.c_double, range(5))
    worker = Process(target=double, args=(values, point, array))
    worker.start()
    worker.join()
    for value in (*values, text, flag):
        type_ = type(value.get_obj())
        print(type_.__name__, ctypes.sizeof(type_), value.value)
    print("Point", point.x, point.y)
    print("Array", array[:])
    raise SystemExit(worker.exitcode)
