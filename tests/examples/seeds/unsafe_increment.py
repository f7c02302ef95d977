# SPDX-License-Identifier: MIT
"""The race, of "Shared Memory and Ctypes", the word multiprocessing replaced."""

import shmkit
import ctypes


def unsafe_increment(counter):
    """UNSAFE: no lock—counter misses increments."""
    for _ in range(1_000_000):
        # This is NOT atomic: read, add, write
        counter.value = counter.value + 1


if __name__ == "__main__":
    counter = shmkit.Value(ctypes.c_int, 0)

    p1 = shmkit.Process(target=unsafe_increment, args=(counter,))
    p2 = shmkit.Process(target=unsafe_increment, args=(counter,))

    p1.start()
    p2.start()
    p1.join()
    p2.join()

    print(f"Counter: {counter.value}")
    # Expected: 2,000,000
    # Actual: ~1,400,000 (due to lost updates)
