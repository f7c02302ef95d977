# SPDX-License-Identifier: MIT
"""How tasks wait for objects of shmkit without a thread for each of them.

A task must not block its thread, and shared memory has no descriptor that an
event loop could watch.  Three ways out were weighed:

- a timer of the loop that tries again and again: a wake-up every few
  milliseconds for each task, and milliseconds of delay;
- a thread for each waiting task, blocked in the library: a thousand tasks are
  a thousand threads;
- one thread for the process, blocked in the library for one object at a time.

The last is what stands here.  The thread tries all objects that tasks wait
for, then sleeps on one of them, the next in turn each time, for the library's
tick: 1, 2, 4 .. 20 ms.  While tasks wait for a single object, which is the
common case, it is woken as fast as any thread; with several the delay is at
most a tick, which is what the library promises after a death anyway.  Tasks
that wait for the same object are served in the order in which they came.  The
thread ends after a second without work.

What the thread acquires belongs to the process, so that a task may release it:
true of a Lock and a Semaphore, not of an RLock or of an RWLock, whose owner is
a thread, and all tasks of a loop are one thread.  Those have no such methods.

A condition is another matter: its waiter must stand in shared memory from the
release of the lock to the notification.  So one thread for each condition on
which tasks of this process wait stands there for all of them, and wakes them
all when it is notified; those whose predicate is false wait again.  The first
task hands it the lock; the others join while they hold the lock, and it takes
the list with the lock held, so nobody joins too late.  If nobody is left when
it is notified, it notifies the next.

A forked child starts with nothing of this.
"""

import asyncio
import collections
import os
import threading

FIRST_TICK, LAST_TICK, LINGER = 0.001, 0.02, 1.0


class Request:
    """A task that waits for its turn.

    Helper and task may finish at the same moment: the one grants, the other
    is cancelled or out of time, or its loop ends and runs no callback any
    more.  Whoever comes second puts it right: a helper that finds the task
    gone keeps what it acquired for the next, or gives it back; a task that
    leaves and finds a grant gives it back itself.
    """

    def __init__(self, accept, undo):
        self.loop = asyncio.get_running_loop()
        self.future = self.loop.create_future()
        self.accept = accept  # in the loop's thread, before the task goes on
        self.undo = undo
        self.mutex = threading.Lock()
        self.granted = False, None  # result, error
        self.gone = False

    def grant(self, result, error=None):
        """From the helper's thread: whether the task was still there."""
        with self.mutex:
            if self.gone:
                return False
            self.granted = result, error
        try:
            self.loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # the loop is closed
            with self.mutex:
                left, self.gone = self.gone, True
            return left
        return True

    def _wake(self):
        if not self.future.done():
            self.future.set_result(None)

    def _leave(self):
        with self.mutex:
            if self.gone:
                return False, None
            self.gone = True
            return self.granted

    async def result(self, timeout):
        timer = None
        if timeout is not None:
            timer = self.loop.call_later(timeout, self._wake)
        try:
            await self.future
        except BaseException:
            if self._leave()[0]:
                self.undo()
            raise
        finally:
            if timer is not None:
                timer.cancel()
        result, error = self._leave()
        if error is not None:
            raise error
        if result:
            self.accept()
        return result


class Helper:
    """The thread that waits for all objects but conditions."""

    def __init__(self):
        self.changed = threading.Condition()
        self.queues = {}  # key -> (attempt, whether for all, requests)
        self.running = False

    def add(self, key, attempt, for_all, request):
        with self.changed:
            queue = self.queues.setdefault(
                key, (attempt, for_all, collections.deque()))
            queue[2].append(request)
            if self.running:
                self.changed.notify()
            else:
                self.running = True
                threading.Thread(target=self.run, name="shmkit-async",
                                 daemon=True).start()

    def run(self):
        tick, turn = FIRST_TICK, 0
        while True:
            keys = self._get_keys()
            if not keys:
                return
            # A list, not a generator: each gets its try.
            served = any([self._attempt(key, 0) for key in keys])
            if not served:
                turn += 1
                served = self._attempt(keys[turn % len(keys)], tick)
            tick = FIRST_TICK if served else min(2 * tick, LAST_TICK)

    def _get_keys(self):
        """What there is to wait for; nothing: the thread ends."""
        with self.changed:
            if not self.queues:
                self.changed.wait(LINGER)
            self.running = bool(self.queues)
            return list(self.queues)

    def _attempt(self, key, seconds):
        """Whether anybody could be served."""
        with self.changed:
            if key not in self.queues:
                return False
            attempt, for_all, requests = self.queues[key]
            while requests and requests[0].gone:
                requests.popleft()
            if not requests:
                del self.queues[key]
                return False
        try:
            result, error = attempt(True, seconds), None
        except BaseException as caught:
            result, error = False, caught
        if not result and error is None:
            return False
        self._serve(requests, for_all, result, error)
        return True

    def _serve(self, requests, for_all, result, error):
        undo = None
        while True:
            with self.changed:
                if not requests:
                    break
                request = requests.popleft()
            if request.grant(result, error):
                if not for_all:
                    return
            else:
                undo = request.undo
        if result and undo is not None:
            undo()


helper = Helper()


def _forget():
    global helper
    helper = Helper()


os.register_at_fork(after_in_child=_forget)


def _nothing():
    pass


async def acquire(lock, timeout, method=None):
    """A Lock or a Semaphore, by its method acquire() or another."""
    if method is None:
        method = lock.acquire
    if method(False):
        return True
    if timeout is not None and timeout <= 0:
        return False
    accept = getattr(lock, "_take_over", _nothing)
    request = Request(accept, lock.release)
    helper.add((id(lock), method), method, False, request)
    return await request.result(timeout)


async def wait_event(event, timeout):
    if event.is_set():
        return True
    request = Request(_nothing, _nothing)

    def attempt(block, seconds):
        return event.wait(seconds)

    helper.add(id(event), attempt, True, request)
    return await request.result(timeout)


# ---- conditions ----


def lock_of(condition):
    lock = condition._lock
    if not hasattr(lock, "acquire_async"):
        raise TypeError("tasks can only wait for a Condition made with a "
                        "Lock: an RLock belongs to a thread, and all tasks of "
                        "a loop are one thread")
    return lock


class Stand:
    """Who of this process waits on one condition.  Everything here is done
    with the condition's lock held."""

    def __init__(self, condition):
        self.condition = condition
        self.pid = os.getpid()
        self.requests = []
        self.standing = False

    def join(self, request):
        """Takes the lock over."""
        self.requests.append(request)
        if self.standing:
            self.condition.release()
            return
        self.standing = True
        threading.Thread(target=self.run, name="shmkit-condition",
                         daemon=True).start()

    def run(self):
        self.condition._lock._take_over()
        while not self.condition.wait(LINGER):
            if not self._left():
                break
        else:
            if not self._left():
                self.condition.notify()
        requests, self.requests = self._left(), []
        self.standing = False
        self.condition.release()
        for request in requests:
            request.grant(True)

    def _left(self):
        return [one for one in self.requests if not one.gone]


def _stand_of(condition):
    stand = vars(condition).get("_stand")
    if stand is None or stand.pid != os.getpid():
        stand = condition._stand = Stand(condition)
    return stand


async def _acquire_again(lock):
    """As asyncio.Condition does: with the lock, cancelled or not."""
    cancelled = None
    while True:
        try:
            await acquire(lock, None)
            break
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def wait(condition, timeout):
    lock = lock_of(condition)
    if not lock._is_mine():
        raise AssertionError("must acquire() condition before using wait()")
    request = Request(_nothing, _nothing)
    _stand_of(condition).join(request)
    try:
        return await request.result(timeout)
    finally:
        await _acquire_again(lock)
