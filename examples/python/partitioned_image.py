# SPDX-License-Identifier: MIT
"""Four processes turn one image grey, without a lock.

Each has rows of its own, so no two ever write the same byte.  examples/demo
does it with a real photograph, in C and Python, and kills one of the workers.
"""

import numpy as np
from shmkit import Process, shared_memory

WORKERS = 4


def gray_rows(name, shape, first, last):
    shm = shared_memory.SharedMemory(name=name)
    rows = np.ndarray(shape, np.uint8, shm.buf)[first:last]
    gray = rows @ np.array([299, 587, 114]) // 1000
    rows[...] = gray[..., np.newaxis]
    shm.close()


def parallel_grayscale(image):
    height = image.shape[0]
    with shared_memory.SharedMemory(create=True, size=image.nbytes) as shm:
        shared = np.ndarray(image.shape, np.uint8, shm.buf)
        shared[:] = image
        processes = [
            Process(
                target=gray_rows,
                args=(
                    shm.name,
                    image.shape,
                    height * i // WORKERS,
                    height * (i + 1) // WORKERS,
                ),
            )
            for i in range(WORKERS)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        shm.unlink()
        failures = sum(process.exitcode != 0 for process in processes)
        return shared.copy(), failures


if __name__ == "__main__":
    # The same picture, and so the same sum, as partitioned_image.c.
    index = np.arange(480 * 640 * 3, dtype=np.uint64)
    image = (index * index >> 7).astype(np.uint8).reshape(480, 640, 3)
    gray, failures = parallel_grayscale(image)
    print(f"{failures} of {WORKERS} workers failed, sum {gray.sum()}")
