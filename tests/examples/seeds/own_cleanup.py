# SPDX-License-Identifier: MIT
"""Recipe 4 of "Python Shared Memory", the word multiprocessing replaced.

`track=` needs no Python 3.13 here.  The last five lines are added to show
that the manager did its part.
"""

from shmkit import shared_memory
from shmkit.managers import SharedMemoryManager

with SharedMemoryManager() as smm:
    shm = smm.SharedMemory(size=1024)
    name = shm.name

    participant = shared_memory.SharedMemory(name=name, track=True)
    try:
        participant.buf[0:5] = b"ready"
    finally:
        participant.close()

    print(bytes(shm.buf[0:5]))

# The manager owns unlinking when the context exits.
try:
    shared_memory.SharedMemory(name=name)
except FileNotFoundError:
    print("gone")
