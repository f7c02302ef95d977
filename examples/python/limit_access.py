# SPDX-License-Identifier: MIT
"""Five processes, of which at most two are inside at once.

`with semaphore:` promises to give the unit back: should the process be killed
inside, the unit comes back to the others.
"""

import time

from shmkit import Lock, Process, Semaphore, shared_memory


def visit(name, door, lock):
    with shared_memory.SharedMemory(name) as shm:
        with door:
            with lock:
                shm.buf[0] += 1  # inside now
                shm.buf[1] = max(shm.buf[1], shm.buf[0])
            time.sleep(0.02)
            with lock:
                shm.buf[0] -= 1


if __name__ == "__main__":
    door, lock = Semaphore(2), Lock()
    with shared_memory.SharedMemory(create=True, size=2) as shm:
        visitors = [Process(target=visit, args=(shm.name, door, lock))
                    for _ in range(5)]
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join()
        print("never more than two" if shm.buf[1] <= 2 else "too many")
        shm.unlink()
