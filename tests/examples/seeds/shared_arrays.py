# SPDX-License-Identifier: MIT
"""Shared arrays, of "Shared Memory and Ctypes", the word multiprocessing replaced."""

import shmkit
import ctypes

if __name__ == "__main__":
    # Array of 10 integers, initialized to 0
    shared_array = shmkit.Array(ctypes.c_int, 10)

    # Initialize with values
    shared_array = shmkit.Array(ctypes.c_int, [1, 2, 3, 4, 5])

    # Access and modify
    print(shared_array[0])  # 1
    shared_array[1] = 99

    # Convert to Python list
    print(list(shared_array[:]))  # [1, 99, 3, 4, 5]
