# SPDX-License-Identifier: MIT
"""Recipe 1 of "Python Shared Memory", the word multiprocessing replaced."""

from shmkit import shared_memory

message = b"Hello from Process A!"
shm = shared_memory.SharedMemory(create=True, size=len(message))

try:
    shm.buf[:len(message)] = message

    # Pass shm.name to another process.
    reader = shared_memory.SharedMemory(name=shm.name)
    try:
        received = bytes(reader.buf[:len(message)])
        print(received.decode("utf-8"))
    finally:
        reader.close()
finally:
    shm.close()
    shm.unlink()
