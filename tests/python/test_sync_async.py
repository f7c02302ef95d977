# SPDX-License-Identifier: MIT
"""The asyncio forms of shmkit.synchronize."""

import asyncio
import threading
import time

import pytest

import shmkit
import sync_workers
from helpers import PATIENCE, wait_for
from shmkit import OwnerDiedError, _async
from test_sync import Child


def run(coroutine):
    async def bounded():
        return await asyncio.wait_for(coroutine, PATIENCE)

    return asyncio.run(bounded())


def helper_threads():
    return [thread for thread in threading.enumerate()
            if thread.name.startswith("shmkit-")]


@pytest.mark.parametrize("kind", ["Lock", "Semaphore", "BoundedSemaphore"])
def test_tasks_exclude_each_other(kind):
    lock, inside, most = getattr(shmkit, kind)(), 0, 0

    async def work():
        nonlocal inside, most
        for _ in range(5):
            async with lock:
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1

    async def main():
        await asyncio.gather(*[work() for _ in range(20)])

    run(main())
    assert most == 1 and not lock.locked()
    assert len(helper_threads()) <= 1


def test_a_task_waits_for_a_thread_and_the_loop_goes_on():
    lock = shmkit.Lock()
    lock.acquire()
    ticks = 0

    async def main():
        nonlocal ticks

        async def tick():
            nonlocal ticks
            while lock.locked():
                ticks += 1
                await asyncio.sleep(0.005)

        async def take():
            assert await lock.acquire_async()
            assert lock._semlock._is_mine()
            lock.release()

        threading.Timer(0.2, lock.release).start()
        await asyncio.gather(tick(), take())

    run(main())
    assert ticks > 5


def test_a_task_waits_for_a_process(tmp_path):
    context = shmkit.get_context("fork")
    lock, event = context.Lock(), context.Event()

    async def main():
        with Child(context, sync_workers.hold_until_told, lock) as child:
            child.get()
            assert not await lock.acquire_async(timeout=0.05)
            assert not await event.wait_async(0.05)
            child.pipe.send("go on")
            assert await lock.acquire_async()
            lock.release()
        waiting = [asyncio.create_task(event.wait_async()) for _ in range(50)]
        await asyncio.sleep(0.05)
        with Child(context, sync_workers_set, event):
            assert await asyncio.gather(*waiting) == [True] * 50

    run(main())


def sync_workers_set(event, connection):
    event.set()


def test_a_thousand_tasks_take_one_thread():
    event = shmkit.Event()
    locks = [shmkit.Lock() for _ in range(20)]
    for lock in locks:
        lock.acquire()

    async def main():
        tasks = [asyncio.create_task(event.wait_async()) for _ in range(500)]
        tasks += [asyncio.create_task(lock.acquire_async())
                  for lock in locks for _ in range(25)]
        await asyncio.sleep(0.1)
        assert len(helper_threads()) == 1
        event.set()
        for lock in locks:
            lock.release()
        done = 0
        for task in tasks[:500]:
            assert await task
        for task in asyncio.as_completed(tasks[500:]):
            assert await task
            done += 1
            # Each lock goes from task to task.
            for lock in locks:
                if lock.locked() and done < 500:
                    lock.release()
                    break
        for lock in locks:
            if lock.locked():
                lock.release()

    run(main())


def test_a_cancelled_task_takes_nothing_with_it():
    lock = shmkit.Lock()

    async def main():
        lock.acquire()
        tasks = [asyncio.create_task(lock.acquire_async()) for _ in range(10)]
        await asyncio.sleep(0.03)
        for task in tasks[:9]:
            task.cancel()
        lock.release()
        assert await tasks[9]
        lock.release()
        await asyncio.sleep(0.05)
        assert not lock.locked()

    run(main())


def test_cancelling_at_the_very_moment():
    lock = shmkit.Lock()

    async def main():
        for delay in range(30):
            lock.acquire()
            task = asyncio.create_task(lock.acquire_async())
            await asyncio.sleep(0.002)
            lock.release()
            time.sleep(delay * 0.0002)
            task.cancel()
            try:
                if await task:
                    lock.release()
            except asyncio.CancelledError:
                pass
            for _ in range(1000):
                if not lock.locked():
                    break
                await asyncio.sleep(0.002)
            assert not lock.locked()

    run(main())


def test_the_death_of_an_owner_reaches_the_task():
    context = shmkit.get_context("fork")
    lock = context.Lock(on_owner_death="raise")

    async def main():
        with Child(context, sync_workers.hold_until_told, lock) as child:
            child.get()
            task = asyncio.create_task(lock.acquire_async())
            await asyncio.sleep(0.05)
            child.kill()
            with pytest.raises(OwnerDiedError):
                await task
        assert not lock.locked()

    run(main())


def test_async_with_a_semaphore_is_owned():
    context = shmkit.get_context("fork")
    semaphore = context.Semaphore(1)

    def work(connection):
        async def main():
            async with semaphore:
                connection.send(1)
                sync_workers.die()

        asyncio.run(main())

    with Child(context, work) as child:
        child.get()
        child.join()
    with pytest.warns(shmkit.OwnerDiedWarning):
        assert semaphore.acquire(True, PATIENCE)


def test_a_condition_between_tasks_and_threads():
    condition = shmkit.Condition(shmkit.Lock())
    items, got = [], []

    async def consume():
        async with condition:
            assert await condition.wait_for_async(lambda: items, PATIENCE)
            got.append(items.pop())

    def produce():
        for number in range(20):
            with condition:
                items.append(number)
                condition.notify()
            time.sleep(0.001)

    async def main():
        tasks = [asyncio.create_task(consume()) for _ in range(20)]
        await asyncio.sleep(0.05)
        thread = threading.Thread(target=produce)
        thread.start()
        await asyncio.gather(*tasks)
        thread.join()

    run(main())
    assert sorted(got) == list(range(20))
    wait_for(lambda: condition._sleeping_count.get_value() == 0)


def test_a_condition_wait_that_is_given_up_holds_the_lock():
    condition = shmkit.Condition(shmkit.Lock())

    async def main():
        async with condition:
            assert not await condition.wait_async(0.05)
            assert condition._lock._semlock._is_mine()
        async with condition:
            task = asyncio.current_task()
            asyncio.get_running_loop().call_later(0.05, task.cancel)
            with pytest.raises(asyncio.CancelledError):
                await condition.wait_async()
            assert condition._lock._semlock._is_mine()
        with pytest.raises(AssertionError, match="must acquire"):
            await condition.wait_async()

    run(main())


def test_a_notification_that_nobody_here_wants_is_passed_on():
    context = shmkit.get_context("fork")
    condition = context.Condition(context.Lock())

    async def give_up():
        async with condition:
            assert not await condition.wait_async(0.01)

    run(give_up())  # its thread still stands on the condition
    with Child(context, sync_workers.wait_condition, condition) as child:
        child.get()
        wait_for(lambda: condition._sleeping_count.get_value() >= 1)
        with condition:
            pass  # so that the child waits, not only is about to
        sync_workers.notify(condition, 1)
        assert child.get() == "woke"


def test_an_rlock_is_not_for_tasks():
    condition = shmkit.Condition()

    async def main():
        with pytest.raises(TypeError, match="tasks can only wait"):
            await condition.acquire_async()

    run(main())
    assert not hasattr(shmkit.RLock(), "acquire_async")
    assert not hasattr(shmkit.RLock(), "__aenter__")


def test_the_thread_ends_when_nobody_waits():
    lock = shmkit.Lock()

    async def main():
        lock.acquire()
        assert not await lock.acquire_async(0.01)
        assert helper_threads()
        lock.release()

    run(main())
    wait_for(lambda: not helper_threads())
    run(main())  # and begins anew


def test_a_loop_that_ends_leaves_the_lock_free():
    """The helper may get it just when the task's time is out."""
    lock = shmkit.Lock()

    async def main():
        lock.acquire()
        assert not await lock.acquire_async(0.004)
        lock.release()

    for _ in range(100):
        run(main())
        assert lock.acquire(True, PATIENCE)
        lock.release()


def test_a_forked_child_has_a_helper_of_its_own():
    context = shmkit.get_context("fork")
    lock = context.Lock()

    async def main():
        lock.acquire()
        assert not await lock.acquire_async(0.01)
        lock.release()

    def work(connection):
        assert not _async.helper.running
        run(main())
        connection.send("done")

    run(main())
    with Child(context, work) as child:
        assert child.get() == "done"
