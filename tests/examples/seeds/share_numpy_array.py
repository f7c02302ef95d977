# SPDX-License-Identifier: MIT
"""Recipe 2 of "Python Shared Memory", the word multiprocessing replaced.

The recipe closes both blocks with NumPy views alive, which the standard
library answers with BufferError.  The last line is added to show the result.
"""

import numpy as np
from shmkit import shared_memory

array = np.arange(12, dtype=np.float64).reshape(3, 4)
shm = shared_memory.SharedMemory(create=True, size=array.nbytes)

try:
    shared = np.ndarray(array.shape, dtype=array.dtype, buffer=shm.buf)
    shared[:] = array

    worker_shm = shared_memory.SharedMemory(name=shm.name)
    try:
        worker_view = np.ndarray(
            array.shape,
            dtype=array.dtype,
            buffer=worker_shm.buf,
        )
        worker_view[0, :] *= 2
    finally:
        worker_shm.close()

    result = shared.copy()
finally:
    shm.close()
    shm.unlink()

print(result.tolist())
