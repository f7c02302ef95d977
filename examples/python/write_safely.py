# SPDX-License-Identifier: MIT
"""Two processes add to one number in a block, under a lock.

Read, add, write back are three steps; without the lock two processes can read
the same old value, and one addition is lost.
"""

from shmkit import Lock, Process, shared_memory


def safe_increment(name, lock, count):
    shm = shared_memory.SharedMemory(name=name)
    try:
        for _ in range(count):
            with lock:  # round all three steps, not only the writing
                value = int.from_bytes(shm.buf[0:4], "little")
                shm.buf[0:4] = (value + 1).to_bytes(4, "little")
    finally:
        shm.close()


if __name__ == "__main__":
    lock = Lock()
    with shared_memory.SharedMemory(create=True, size=4) as shm:
        shm.buf[0:4] = (100).to_bytes(4, "little")
        workers = [
            Process(target=safe_increment, args=(shm.name, lock, 5000))
            for _ in range(2)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        print(int.from_bytes(shm.buf[0:4], "little"))  # 10100
        shm.unlink()
    raise SystemExit(any(worker.exitcode for worker in workers))
