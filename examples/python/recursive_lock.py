# SPDX-License-Identifier: MIT
"""A function that locks calls another that locks too.

An RLock belongs to a thread, which may acquire it again; it is free when the
thread has released it as often.  A plain Lock would wait for itself.
"""

from shmkit import Process, RLock, shared_memory


class Account:
    def __init__(self, name, lock):
        self.block = shared_memory.SharedMemory(name)
        self.balance = self.block.buf.cast("q")
        self.lock = lock

    def deposit(self, amount):
        with self.lock:
            self.balance[0] += amount

    def deposit_twice(self, amount):
        with self.lock:
            self.deposit(amount)  # the lock is held already
            self.deposit(amount)


def work(name, lock):
    account = Account(name, lock)
    for _ in range(1000):
        account.deposit_twice(1)


if __name__ == "__main__":
    lock = RLock()
    with shared_memory.SharedMemory(create=True, size=8) as shm:
        workers = [Process(target=work, args=(shm.name, lock))
                   for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        print(shm.buf.cast("q")[0])  # 4000
        shm.unlink()
