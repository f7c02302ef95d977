# SPDX-License-Identifier: MIT
"""Two processes work on one NumPy array.

The name alone does not tell what the bytes mean: pass shape and dtype too.
"""

import numpy as np
from shmkit import Process, shared_memory


def double_first_row(name, shape, dtype):
    shm = shared_memory.SharedMemory(name=name)
    view = np.ndarray(shape, dtype=dtype, buffer=shm.buf)
    view[0, :] *= 2
    # A view that lives longer than close() is no error and no crash with
    # shmkit: it keeps the mapping until it goes itself.
    shm.close()


if __name__ == "__main__":
    array = np.arange(12, dtype=np.float64).reshape(3, 4)
    with shared_memory.SharedMemory(create=True, size=array.nbytes) as shm:
        shared = np.ndarray(array.shape, dtype=array.dtype, buffer=shm.buf)
        shared[:] = array
        process = Process(
            target=double_first_row, args=(shm.name, array.shape, array.dtype)
        )
        process.start()
        process.join()
        result = shared.copy()  # outlives the block
        shm.unlink()
    print(result)
    raise SystemExit(process.exitcode)
