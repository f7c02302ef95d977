# SPDX-License-Identifier: MIT
"""Shared scalar values, of "Shared Memory and Ctypes", the word multiprocessing replaced."""

import shmkit
import ctypes

if __name__ == "__main__":
    # Shared integer
    shared_int = shmkit.Value(ctypes.c_int, 0)

    # Shared float
    shared_float = shmkit.Value(ctypes.c_double, 3.14)

    # Shared boolean
    shared_bool = shmkit.Value(ctypes.c_bool, True)

    # Access via .value
    print(shared_int.value)  # 0
    shared_int.value = 42
    print(shared_int.value)  # 42
