# SPDX-License-Identifier: MIT
"""The semaphore, of "Shared Memory and Ctypes", the word multiprocessing replaced."""

import shmkit
import time


def limited_resource(semaphore, process_id):
    """Access resource protected by semaphore."""
    print(f"Process {process_id} waiting...")

    with semaphore:  # Only 2 processes allowed simultaneously
        print(f"Process {process_id} entered (timestamp: {time.time()})")
        time.sleep(1)
        print(f"Process {process_id} exiting")


if __name__ == "__main__":
    # Semaphore with initial count of 2 (max 2 concurrent access)
    semaphore = shmkit.Semaphore(2)

    processes = [
        shmkit.Process(target=limited_resource, args=(semaphore, i))
        for i in range(5)
    ]

    for p in processes:
        p.start()

    for p in processes:
        p.join()
