# SPDX-License-Identifier: MIT
"""The image example of "Python Shared Memory", the word replaced.

It closes its block with a NumPy view alive, in the parent and in each worker,
which the standard library answers with BufferError.  What stands below
`parallel_grayscale` is added: a picture, and the same without processes.
"""

import numpy as np
from shmkit import Process, shared_memory


def process_rows(name, shape, dtype, start, stop):
    shm = shared_memory.SharedMemory(name=name)
    try:
        image = np.ndarray(shape, dtype=dtype, buffer=shm.buf)
        block = image[start:stop]
        gray = (
            0.299 * block[..., 0]
            + 0.587 * block[..., 1]
            + 0.114 * block[..., 2]
        ).astype(dtype)
        block[..., 0] = gray
        block[..., 1] = gray
        block[..., 2] = gray
    finally:
        shm.close()


def parallel_grayscale(image, workers=4):
    shm = shared_memory.SharedMemory(create=True, size=image.nbytes)
    try:
        shared = np.ndarray(image.shape, dtype=image.dtype, buffer=shm.buf)
        shared[:] = image
        rows = np.linspace(0, image.shape[0], workers + 1, dtype=int)
        processes = [
            Process(
                target=process_rows,
                args=(shm.name, image.shape, image.dtype, rows[i], rows[i + 1]),
            )
            for i in range(workers)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()

        failures = [p.exitcode for p in processes if p.exitcode != 0]
        if failures:
            raise RuntimeError(f"worker failure exit codes: {failures}")

        return shared.copy()
    finally:
        shm.close()
        shm.unlink()


if __name__ == "__main__":
    random = np.random.default_rng(1)
    image = random.integers(0, 256, (481, 640, 3), dtype=np.uint8)
    alone = (
        0.299 * image[..., 0] + 0.587 * image[..., 1] + 0.114 * image[..., 2]
    ).astype(np.uint8)
    result = parallel_grayscale(image)
    print(result.shape, all((result[..., i] == alone).all() for i in range(3)))
