# SPDX-License-Identifier: MIT
"""The reentrant lock, of "Shared Memory and Ctypes", the word multiprocessing replaced."""

import shmkit
import ctypes


def outer_operation(value, lock):
    """Outer function that acquires lock."""
    with lock:
        print(f"Outer acquired lock, value={value.value}")
        inner_operation(value, lock)


def inner_operation(value, lock):
    """Inner function also needs lock (same process)."""
    # This would deadlock with regular Lock; RLock allows re-entry
    with lock:
        print(f"Inner acquired lock, value={value.value}")
        value.value += 1


if __name__ == "__main__":
    value = shmkit.Value(ctypes.c_int, 0)
    lock = shmkit.RLock()  # Use RLock instead of Lock

    p = shmkit.Process(target=outer_operation, args=(value, lock))
    p.start()
    p.join()
