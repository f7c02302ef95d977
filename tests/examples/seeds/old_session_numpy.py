# SPDX-License-Identifier: MIT
"""The second example session of the earliest documentation, word replaced.

Two Python shells, and really two: what is typed into the second one goes
through sh2() to an interpreter of its own.  The drawn name is not the printed
one.

>>> # In the first Python interactive shell
>>> import numpy as np
>>> a = np.array([1, 1, 2, 3, 5, 8])  # Start with an existing NumPy array
>>> from shmkit import shared_memory
>>> shm = shared_memory.SharedMemory(None, size=a.nbytes)
>>> # Now create a NumPy array backed by shared memory
>>> b = np.ndarray(a.shape, dtype=a.dtype, buffer=shm.buf)
>>> b[:] = a[:]  # Copy the original data into shared memory
>>> b
array([1, 1, 2, 3, 5, 8])
>>> type(b)
<class 'numpy.ndarray'>
>>> type(a)
<class 'numpy.ndarray'>
>>> shm.name.startswith('psm_')  # No name specified so one was chosen for us
True

>>> # In a new Python shell on the same machine
>>> sh2('import numpy as np')
>>> sh2('from shmkit import shared_memory')
>>> # Attach to the existing shared memory block
>>> sh2(f'existing_shm = shared_memory.SharedMemory({shm.name!r})')
>>> # Note that a.shape is (6,) and a.dtype is np.int64 in this example
>>> sh2('c = np.ndarray((6,), dtype=np.int64, buffer=existing_shm.buf)')
>>> sh2('c')
array([1, 1, 2, 3, 5, 8])
>>> sh2('c[-1] = 888')
>>> sh2('c')
array([  1,   1,   2,   3,   5, 888])

>>> # Back in the first Python interactive shell, b reflects this change
>>> b
array([  1,   1,   2,   3,   5, 888])

>>> # Clean up from within the second Python shell
>>> sh2('del c')  # Unnecessary; merely emphasizing the array is not used
>>> sh2('existing_shm.close()')

>>> # Clean up from within the first Python shell
>>> del b  # Unnecessary; merely emphasizing the array is no longer used
>>> shm.close()
>>> shm.unlink()  # Free and release the shared memory block at the very end
"""

import subprocess
import sys

SHELL = """
import code, sys
shell = code.InteractiveInterpreter({})
for line in sys.stdin:
    shell.runsource(line)
    print('\\0', flush=True)
"""


class SecondShell:
    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SHELL],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __call__(self, line):
        print(line, file=self.process.stdin, flush=True)
        for answer in iter(self.process.stdout.readline, "\0\n"):
            if not answer:
                raise EOFError("the second shell is gone")
            print(answer, end="")

    def close(self):
        self.process.communicate()
        return self.process.returncode


if __name__ == "__main__":
    import doctest

    sh2 = SecondShell()
    failed, tried = doctest.testmod()
    print(f"{tried} lines, {failed} wrong, second shell {sh2.close()}")
