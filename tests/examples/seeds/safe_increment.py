# SPDX-License-Identifier: MIT
"""The lock, of "Shared Memory and Ctypes", the word multiprocessing replaced."""

import shmkit
import ctypes


def safe_increment(counter, lock):
    """SAFE: lock ensures atomic read-modify-write."""
    for _ in range(1_000_000):
        with lock:
            counter.value += 1


if __name__ == "__main__":
    counter = shmkit.Value(ctypes.c_int, 0)
    lock = shmkit.Lock()

    p1 = shmkit.Process(target=safe_increment, args=(counter, lock))
    p2 = shmkit.Process(target=safe_increment, args=(counter, lock))

    p1.start()
    p2.start()
    p1.join()
    p2.join()

    print(f"Counter: {counter.value}")  # 2,000,000 (correct)
