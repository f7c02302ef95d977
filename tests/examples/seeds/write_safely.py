# SPDX-License-Identifier: MIT
"""Recipe 3 of "Python Shared Memory", the word multiprocessing replaced."""

from shmkit import Lock, Process, shared_memory


def safe_increment(name, lock, count):
    shm = shared_memory.SharedMemory(name=name)
    try:
        for _ in range(count):
            with lock:
                value = int.from_bytes(shm.buf[0:4], "little")
                value += 1
                shm.buf[0:4] = value.to_bytes(4, "little")
    finally:
        shm.close()


shm = shared_memory.SharedMemory(create=True, size=4)
try:
    shm.buf[0:4] = (100).to_bytes(4, "little")
    lock = Lock()
    workers = [
        Process(target=safe_increment, args=(shm.name, lock, 1)),
        Process(target=safe_increment, args=(shm.name, lock, 1)),
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    failures = [
        worker.exitcode for worker in workers if worker.exitcode != 0
    ]
    if failures:
        raise RuntimeError(f"worker failure exit codes: {failures}")

    print(int.from_bytes(shm.buf[0:4], "little"))  # 102
finally:
    shm.close()
    shm.unlink()
