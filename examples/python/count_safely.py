# SPDX-License-Identifier: MIT
"""Two processes add to two numbers, and nothing is lost.

Where the new value is all there is to it, one atomic operation does.  Where
more than that belongs together, the lock makes it one step: here the first
number, which starts at 100, and a note of who wrote last.
"""

import os

from shmkit import Process, Value


def count(locked, last, atomic, times):
    with locked.get_lock():
        locked.value += 1
        last.value = os.getpid()
    for _ in range(times):
        atomic.add(1)


if __name__ == "__main__":
    locked, last, atomic = Value("i", 100), Value("i"), Value("q")
    workers = [
        Process(target=count, args=(locked, last, atomic, 1_000_000))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(locked.value, atomic.value)  # 102 2000000
    raise SystemExit(any(worker.exitcode for worker in workers))
