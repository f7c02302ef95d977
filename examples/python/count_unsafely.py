# SPDX-License-Identifier: MIT
"""Two processes add to one number and forget about each other.

Read, add, write back are three steps, and what another has written in between
is lost.  Each step takes the lock of the Value; it is the three together that
nobody guards.  count_safely.py does it right.

Whether anything is lost is luck, so it is tried until something is.
"""

from shmkit import Process, Value


def add_unsafely(counter, times):
    for _ in range(times):
        counter.value = counter.value + 1


if __name__ == "__main__":
    counter, expected = Value("q", 0), 0
    while counter.value == expected:
        workers = [Process(target=add_unsafely, args=(counter, 100_000))
                   for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        expected += 200_000
    print("updates were lost" if counter.value < expected
          else "more than were added?")
