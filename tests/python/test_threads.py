# SPDX-License-Identifier: MIT
"""Many threads on the same blocks and objects."""

import os
import random
import sys
import threading

import numpy as np
import pytest

from shmkit import _core
from shmkit.shared_memory import SharedMemory

THREADS = 8
ROUNDS = 150


@pytest.fixture(autouse=True)
def switch_often():
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(old)


def in_threads(work):
    """Run work(number) in threads; the first exception is raised again."""
    errors = []
    start = threading.Barrier(THREADS)

    def guarded(number):
        try:
            start.wait()
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,))
               for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_each_makes_and_removes_its_own():
    def work(number):
        for turn in range(ROUNDS):
            with SharedMemory(create=True, size=1 + number) as block:
                block.buf[0] = turn % 256
                with SharedMemory(block.name) as other:
                    assert other.buf[0] == turn % 256
                block.unlink()
    in_threads(work)


def test_all_fight_for_one_name(name):
    made = []

    def work(number):
        for _ in range(ROUNDS):
            try:
                block = SharedMemory(name, create=True, size=8)
            except FileExistsError:
                try:
                    SharedMemory(name).close()
                except FileNotFoundError:
                    pass
                continue
            made.append(number)
            block.close()
            block.unlink()
    in_threads(work)
    assert made


def test_one_object_is_closed_resized_and_viewed_at_once(names):
    for _ in range(20):
        shm = SharedMemory(names(), create=True, size=4096)

        def work(number):
            for _ in range(20):
                try:
                    if number == 0:
                        shm.resize(shm.size + 4096)
                    elif number == 1:
                        shm.fileno()
                    elif number < 5:
                        assert memoryview(shm)[0] == 0
                    else:
                        assert np.frombuffer(shm, np.uint8)[-1] == 0
                except ValueError as error:
                    assert "closed" in str(error)
            shm.close()
        in_threads(work)
        assert shm.buf is None
        shm.unlink()


def test_views_are_dropped_in_any_order(name):
    shm = SharedMemory(name, create=True, size=4096)
    views = [shm.buf for _ in range(200)] + [memoryview(shm)[i:] for i in
                                             range(200)]
    random.Random(1).shuffle(views)
    shm.close()
    shm.unlink()

    def work(number):
        while True:
            try:
                view = views.pop()
            except IndexError:
                return
            assert view[0] == 0
    in_threads(work)


def test_forks_while_others_make_and_sweep():
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            with SharedMemory(create=True, size=100) as block:
                block.unlink()
            _core.sweep()

    threads = [threading.Thread(target=churn) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(60):
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    with SharedMemory(create=True, size=10) as block:
                        block.unlink()
                    status = 0
                finally:
                    os._exit(status)
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
