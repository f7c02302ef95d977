# SPDX-License-Identifier: MIT
"""What the tests of managers let other processes do; importable from those."""

import os
import random
import threading
import time

from shmkit.managers import SharedMemoryManager


class Doubler:
    """Served by a manager in another process."""

    def __init__(self):
        self.pid = os.getpid()

    def twice(self, number):
        return 2 * number

    def where(self):
        return self.pid


class DoublerManager(SharedMemoryManager):
    pass


DoublerManager.register("Doubler", Doubler)


def make(manager, name=None):
    """A block of 10 bytes, the first of them 7; its name."""
    block = manager.SharedMemory(10, name)
    block.buf[0] = 7
    return block.name


def report_make(connection, manager, name=None):
    connection.send(make(manager, name))


def make_when_told(connection, manager):
    """Make one block now and one when told to; send name or error."""
    connection.send(make(manager))
    connection.recv()
    try:
        connection.send(make(manager))
    except OSError as error:
        connection.send(error)


def make_until_killed(manager, names, ready):
    """Blocks with given and drawn names, now and then removed."""
    ready.set()
    for number in range(1000000):
        name = random.choice([None, random.choice(names)])
        try:
            block = manager.SharedMemory(10, name)
        except FileExistsError:
            continue
        if number % 3 == 0:
            block.unlink()


def make_in_threads(manager, errors, ready):
    """Four threads make blocks until the manager has shut down."""
    def run():
        while True:
            ready.release()
            try:
                manager.SharedMemory(10)
            except FileNotFoundError:
                return
            except BaseException as error:
                errors.append(error)
                return
    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    return threads


def serve(connection, authkey):
    """A server in the standard library's way: get_server()."""
    server = SharedMemoryManager(authkey=authkey).get_server()
    connection.send(server.address)
    server.serve_forever()


def note(path, text):
    """An initializer."""
    with open(path, "w") as file:
        file.write(f"{text} {os.getpid()}")


def sleep_for_ever():
    while True:
        time.sleep(1)
