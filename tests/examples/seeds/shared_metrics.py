# SPDX-License-Identifier: MIT
"""The metrics array, of "Shared Memory and Ctypes", the word multiprocessing replaced."""

import shmkit
import ctypes
import time


def worker(worker_id, metrics_array, lock):
    """Worker updates its metrics in shared array."""
    for step in range(100):
        # Simulate work
        time.sleep(0.01)

        # Update metrics: [completed_tasks, errors, throughput]
        with lock:
            metrics_array[worker_id * 3 + 0] += 1  # Completed tasks
            if step % 10 == 0:
                metrics_array[worker_id * 3 + 1] += 1  # Errors (simulated)
            metrics_array[worker_id * 3 + 2] = 50 + step  # Throughput


if __name__ == "__main__":
    num_workers = 4
    metrics = shmkit.Array(
        ctypes.c_int,
        [0] * (num_workers * 3)  # 3 metrics per worker
    )
    lock = shmkit.Lock()

    # Start workers
    workers = [
        shmkit.Process(target=worker, args=(i, metrics, lock))
        for i in range(num_workers)
    ]
    for w in workers:
        w.start()

    # Monitor progress
    while True:
        with lock:
            completed = sum(metrics[i*3] for i in range(num_workers))
            errors = sum(metrics[i*3+1] for i in range(num_workers))

        if completed >= 400:  # All workers done
            break

        print(f"Progress: {completed}/400 tasks, {errors} errors")
        time.sleep(0.5)

    for w in workers:
        w.join()

    print("All workers finished")
