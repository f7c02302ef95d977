# SPDX-License-Identifier: MIT
"""Four workers note what they do in one array, and their parent watches.

Nobody locks: each number is written by atomic additions alone.  The monitor
sleeps until enough tasks are done, and is woken then.
"""

import time

from shmkit import Array, Process, Value

WORKERS, TASKS = 4, 100


def work(number, metrics, done):
    for step in range(TASKS):
        time.sleep(0.001)
        metrics.add(number * 2, 1)  # completed tasks
        if step % 10 == 0:
            metrics.add(number * 2 + 1, 1)  # errors
        done.add(1)


if __name__ == "__main__":
    metrics, done = Array("i", 2 * WORKERS), Value("i")
    workers = [Process(target=work, args=(number, metrics, done))
               for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    for quarter in range(1, 5):
        done.wait(lambda n: n >= quarter * WORKERS * TASKS / 4)
        print(f"{quarter * 25} % done")
    print(f"{sum(metrics[::2])} of {WORKERS * TASKS} tasks, "
          f"{sum(metrics[1::2])} errors")
    for worker in workers:
        worker.join()
    raise SystemExit(any(worker.exitcode for worker in workers))
