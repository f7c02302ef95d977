# SPDX-License-Identifier: MIT
"""One process publishes a few bytes, another reads them by name."""

from shmkit import Process, shared_memory


def read_message(name, size):
    # Attaching never makes an owner: this process may end as it likes.
    reader = shared_memory.SharedMemory(name=name)
    try:
        print(bytes(reader.buf[:size]).decode("utf-8"), flush=True)
    finally:
        reader.close()


if __name__ == "__main__":
    message = b"Hello from Process A!"

    # No name given: a free one is drawn.  All zero, space reserved, 0600.
    shm = shared_memory.SharedMemory(create=True, size=len(message))
    try:
        shm.buf[: len(message)] = message
        process = Process(target=read_message, args=(shm.name, len(message)))
        process.start()
        process.join()
    finally:
        shm.close()  # this process's view
        shm.unlink()  # the block itself; else it goes with the family
    raise SystemExit(process.exitcode)
