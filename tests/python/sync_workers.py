# SPDX-License-Identifier: MIT
"""What test_sync.py lets other processes do; importable from those."""

import os
import signal
import time

from shmkit.shared_memory import SharedMemory


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def add(lock, name, count):
    """Add `count` times 1 to the number in a block, in three steps."""
    with SharedMemory(name) as block:
        cell = block.buf.cast("q")
        for _ in range(count):
            with lock:
                value = cell[0]
                cell[0] = value + 1
        cell.release()


def hold_and_die(lock, connection):
    lock.acquire()
    connection.send(os.getpid())
    die()


def enter_and_die(semaphore, connection):
    with semaphore:
        connection.send(os.getpid())
        die()


def hold_until_told(lock, connection):
    with lock:
        connection.send(os.getpid())
        connection.recv()


def write_and_die(rwlock, connection):
    rwlock.acquire_write()
    connection.send(os.getpid())
    die()


def read_and_die(rwlock, connection):
    rwlock.acquire_read()
    connection.send(os.getpid())
    die()


def wait_event(event, connection):
    connection.send(os.getpid())
    connection.send(event.wait())


def wait_condition(condition, connection):
    with condition:
        connection.send(os.getpid())
        condition.wait()
    connection.send("woke")


def wait_barrier(barrier, connection):
    connection.send(os.getpid())
    try:
        connection.send(barrier.wait())
    except Exception as error:
        connection.send(type(error).__name__)


def set_event(event):
    event.set()


def notify(condition, n):
    with condition:
        condition.notify(n)


def take_and_leave(semaphore):
    semaphore.acquire()


def report_to(connection, *objects):
    connection.send([repr(one) for one in objects])


LOCK = None


def initialise(lock):
    global LOCK
    LOCK = lock


def locked_add(name):
    with LOCK, SharedMemory(name) as block:
        value = block.buf[0]
        time.sleep(0.001)
        block.buf[0] = value + 1
    return value


def pass_on(lock, method, connection):
    """To a grandchild; what it sees goes to the parent."""
    import shmkit
    context = shmkit.get_context(method)
    receiver, sender = context.Pipe(False)
    process = context.Process(target=report_to, args=(sender, lock))
    process.start()
    connection.send(receiver.recv())
    process.join()
