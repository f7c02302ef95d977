# SPDX-License-Identifier: MIT
"""The first example session of the earliest documentation, word replaced.

Its third line names shm_b before there is one; it stands here after the line
that makes it.  Otherwise as printed, old call and all.

>>> from shmkit import shared_memory
>>> shm_a = shared_memory.SharedMemory(None, size=10)
>>> buffer = shm_a.buf
>>> len(buffer)
10
>>> buffer[:4] = bytearray([22, 33, 44, 55])  # Modify multiple at once
>>> buffer[4] = 100  # Modify a single byte at a time
>>> # Attach to an existing shared memory block
>>> shm_b = shared_memory.SharedMemory(shm_a.name)
>>> type(shm_b.buf)
<class 'memoryview'>
>>> import array
>>> array.array('b', shm_b.buf[:5])  # Copy the data into a new array.array
array('b', [22, 33, 44, 55, 100])
>>> shm_b.buf[:5] = b'howdy'  # Modify via shm_b using bytes
>>> bytes(shm_a.buf[:5])  # Access via shm_a
b'howdy'
>>> shm_b.close()  # Close each SharedMemory instance
>>> shm_a.close()
>>> shm_a.unlink()  # Call unlink only once to release the shared memory
"""

if __name__ == "__main__":
    import doctest

    failed, tried = doctest.testmod()
    print(f"{tried} lines, {failed} wrong")
