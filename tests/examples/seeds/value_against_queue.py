# SPDX-License-Identifier: MIT
"""Shared memory against a queue, of "Shared Memory and Ctypes", the word multiprocessing replaced.

As printed it hangs: a process that has put items into a queue ends only when
somebody has taken them, and nobody does; 10,000 small ones are more than the
pipe holds.  The count is therefore 1,000.
"""

import shmkit
import ctypes
import time


def shared_memory_writer(value, lock, count):
    """Write via shared memory."""
    for i in range(count):
        with lock:
            value.value = i


def queue_writer(queue, count):
    """Write via queue."""
    for i in range(count):
        queue.put(i)


if __name__ == "__main__":
    count = 1_000

    # Shared memory benchmark
    value = shmkit.Value(ctypes.c_int, 0)
    lock = shmkit.Lock()

    start = time.perf_counter()
    p = shmkit.Process(target=shared_memory_writer, args=(value, lock, count))
    p.start()
    p.join()
    shared_mem_time = time.perf_counter() - start

    # Queue benchmark
    queue = shmkit.Queue()

    start = time.perf_counter()
    p = shmkit.Process(target=queue_writer, args=(queue, count))
    p.start()
    p.join()
    queue_time = time.perf_counter() - start

    print(f"Shared memory: {shared_mem_time*1000:.1f} ms")
    print(f"Queue: {queue_time*1000:.1f} ms")
    print(f"Speedup: {queue_time / shared_mem_time:.1f}x")
