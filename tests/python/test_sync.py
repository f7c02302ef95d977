# SPDX-License-Identifier: MIT
"""shmkit.synchronize: what it shares with the standard library, and more."""

import copy
import gc
import inspect
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor

import pytest

import shmkit
import sync_workers
from helpers import PATIENCE, check_python, exists, run_python, wait_for
from shmkit import OwnerDiedError, OwnerDiedWarning, _core, synchronize
from shmkit.shared_memory import SharedMemory

METHODS = ["fork", "spawn", "forkserver"]
LOCKS = ["Lock", "RLock"]
DIED = "the last owner of this object died"


@pytest.fixture(params=METHODS)
def context(request):
    return shmkit.get_context(request.param)


@pytest.fixture(params=[multiprocessing, shmkit], ids=["standard", "shmkit"])
def package(request):
    return request.param


class Child:
    """A process with a pipe; killed at the end if it still runs."""

    def __init__(self, context, target, *arguments):
        self.pipe, there = context.Pipe()
        self.process = context.Process(target=target,
                                       args=(*arguments, there))
        self.process.start()
        there.close()

    def get(self):
        assert self.pipe.poll(PATIENCE)
        return self.pipe.recv()

    def kill(self, number=signal.SIGKILL):
        os.kill(self.process.pid, number)

    def join(self):
        self.process.join(PATIENCE)
        assert self.process.exitcode is not None
        return self.process.exitcode

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.process.kill()
        self.process.join()
        self.pipe.close()


def outcome(function, *args, **kwargs):
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return type(error), str(error)


def names_of(package):
    return {name: getattr(package, name) for name in multiprocessing.__all__}


# ---- as the standard library ----


@pytest.mark.parametrize("make, script", [
    ("Lock()", "x.acquire() x.acquire(False) x.acquire(True,0.01) repr(x) "
     "x.release() repr(x) x.release() x.acquire(timeout=-1) x.acquire(0) "
     "x.acquire(block=False,timeout=5) x.release()"),
    ("Lock()", "x.acquire(timeout='1') x.acquire(True,None) "
     "x._semlock._get_value() x._semlock._is_zero() x._semlock._is_mine() "
     "x._semlock._count() x._semlock.kind x._semlock.maxvalue "
     "x._semlock.name x.release() x._semlock._count()"),
    ("RLock()", "x.acquire() x.acquire() repr(x) x._semlock._count() "
     "x._semlock._is_mine() x.release() x.release() repr(x) x.release() "
     "x._semlock.kind x._semlock._get_value()"),
    ("Semaphore()", "x.acquire() x.get_value() x.acquire(False) x.release() "
     "x.release() x.get_value() repr(x) x._semlock.maxvalue"),
    ("Semaphore(3)", "repr(x) x.acquire() x.get_value() x._semlock._is_zero()"
     " x._semlock._get_value()"),
    ("Semaphore(0)", "x.acquire(False) x.acquire(timeout=0.01) x.release() "
     "x.acquire() x._semlock._is_zero()"),
    ("BoundedSemaphore(2)", "repr(x) x.release() x.acquire() x.release() "
     "x.release() x.get_value() x._semlock.maxvalue"),
    ("BoundedSemaphore(0)", "x.release() x.acquire(False) repr(x)"),
    ("Condition()", "x.wait() x.notify() x.notify_all() x.acquire() repr(x) "
     "x.wait(0) x.wait(0.01) x.wait(-1) x.notify(3) x.notify_all() "
     "x.wait_for(lambda:7) x.wait_for(lambda:0,0.01) x.release() repr(x) "
     "x.release() x._wait_semaphore.get_value() "
     "x._sleeping_count.get_value()-x._woken_count.get_value()"),
    ("Condition(x.Lock())", "x.acquire() repr(x) x.wait(0.01) x.release() "
     "x.notify()"),
    ("Event()", "x.is_set() x.set() x.set() x.is_set() x.wait() x.wait(0) "
     "x.clear() x.clear() x.wait(0) x.wait(timeout=0.01) x.wait('1')"),
    ("Barrier(1)", "x.wait() x.n_waiting x.parties x.broken x.abort() "
     "x.broken x.wait() x.reset() x.wait() x.broken"),
    ("Barrier(2,timeout=0.01)", "x.wait() x.broken x.wait() x.reset() "
     "x.wait(0.02)"),
    ("Barrier(1,print)", "x.wait()"),
    ("Barrier(1,lambda:1/0)", "x.wait() x.broken"),
])
def test_results_and_errors_are_the_standard_ones(make, script):
    """The same calls on both; results and messages must agree."""
    seen = []
    for module in (multiprocessing, shmkit):
        x = eval(make, {**names_of(module), "x": module, "print": print})
        seen.append([outcome(eval, call, {"x": x}) for call in script.split()])
    assert seen[1] == seen[0]


@pytest.mark.parametrize("make", [
    "Lock(1)", "Semaphore('a')", "Semaphore(1.5)", "Semaphore(2**31)",
    "Semaphore(2**80)", "Semaphore(-1)", "Lock(nonsense=1)"])
def test_errors_of_makers_are_of_the_same_type(make):
    seen = [outcome(eval, make, names_of(module))
            for module in (multiprocessing, shmkit)]
    assert isinstance(seen[0], tuple)
    assert seen[1][0] is seen[0][0]


@pytest.mark.parametrize("name", ["Lock", "RLock", "Semaphore", "Condition",
                                  "BoundedSemaphore", "Event", "Barrier"])
def test_public_names_and_signatures(name):
    arguments = (2,) if name == "Barrier" else ()
    standard = getattr(multiprocessing, name)(*arguments)
    ours = getattr(shmkit, name)(*arguments)
    assert type(ours).__name__ == type(standard).__name__
    assert type(ours).__module__ == "shmkit.synchronize"
    assert type(ours) is getattr(shmkit.synchronize, name)
    for one in dir(standard):
        if not one.startswith("_"):
            assert hasattr(ours, one), one
    for method in ("acquire", "wait", "notify", "wait_for"):
        if hasattr(type(standard), method):
            wanted = inspect.signature(getattr(type(standard), method))
            given = inspect.signature(getattr(type(ours), method))
            assert list(given.parameters) == list(wanted.parameters)


def test_constants():
    standard = multiprocessing.synchronize
    for name in ("RECURSIVE_MUTEX", "SEMAPHORE", "SEM_VALUE_MAX"):
        assert getattr(synchronize, name) == getattr(standard, name)
    assert set(standard.__all__) <= set(synchronize.__all__)
    assert isinstance(shmkit.Barrier(1), threading.Barrier)
    for name in ("Lock", "RLock", "Semaphore", "BoundedSemaphore"):
        assert isinstance(getattr(shmkit, name)(), synchronize.SemLock)
    name = synchronize.SemLock._make_name()
    assert name.startswith(
        multiprocessing.current_process()._config["semprefix"])


def test_repr_tells_other_threads_and_processes():
    for package in (multiprocessing, shmkit):
        lock, rlock = package.Lock(), package.RLock()
        texts = []
        thread = threading.Thread(
            name="T1", target=lambda: (
                lock.acquire(), rlock.acquire(), rlock.acquire(),
                texts.extend([repr(lock), repr(rlock)])))
        thread.start()
        thread.join()
        texts += [repr(lock), repr(rlock)]
        assert texts == [
            "<Lock(owner=MainProcess|T1)>", "<RLock(MainProcess|T1, 2)>",
            "<Lock(owner=SomeOtherThread)>",
            "<RLock(SomeOtherThread, nonzero)>"]


def test_repr_in_a_child(context):
    objects = [context.Lock(), context.RLock(), context.Semaphore(2),
               context.Condition(), context.BoundedSemaphore(3)]
    objects[0].acquire()
    objects[1].acquire()
    receiver, sender = context.Pipe(False)
    process = context.Process(target=sync_workers.report_to,
                              args=(sender, *objects))
    process.start()
    assert receiver.recv() == [
        "<Lock(owner=SomeOtherProcess)>",
        "<RLock(SomeOtherProcess, nonzero)>", "<Semaphore(value=2)>",
        "<Condition(<RLock(None, 0)>, 0)>",
        "<BoundedSemaphore(value=3, maxvalue=3)>"]
    process.join()


# ---- contexts ----


def test_contexts_make_ours_and_are_standard_ones(context):
    lock = context.Lock()
    assert type(lock) is synchronize.Lock
    assert isinstance(context, multiprocessing.context.BaseContext)
    assert isinstance(context, type(multiprocessing.get_context(
        context.get_start_method())))
    assert context.get_context() is context
    assert shmkit.get_context(context.get_start_method()) is context
    assert context.Process is multiprocessing.get_context(
        context.get_start_method()).Process


def test_the_default_start_method_is_one_for_both():
    code = """if True:
        import multiprocessing, shmkit
        {first}.set_start_method("spawn")
        assert shmkit.get_start_method() == "spawn"
        assert multiprocessing.get_start_method() == "spawn"
        assert shmkit.get_context() is shmkit.get_context("spawn")
        assert shmkit.get_context().get_start_method() == "spawn"
        lock = shmkit.Lock()
        assert not lock._is_fork_ctx
        try:
            {second}.set_start_method("fork")
        except RuntimeError as error:
            print(error)
        {second}.set_start_method("fork", force=True)
        assert shmkit.Lock()._is_fork_ctx"""
    for first, second in (("shmkit", "multiprocessing"),
                          ("multiprocessing", "shmkit")):
        assert check_python(code.format(first=first, second=second)) == \
            "context has already been set"


def test_making_a_lock_decides_the_start_method():
    """As in the standard library."""
    code = """if True:
        import {package}
        assert {package}.get_start_method(allow_none=True) is None
        {package}.Lock()
        print({package}.get_start_method(allow_none=True))"""
    seen = [check_python(code.format(package=package))
            for package in ("multiprocessing", "shmkit")]
    assert seen[0] == seen[1] != "None"


def test_unknown_start_method():
    with pytest.raises(ValueError, match="cannot find context for 'x'"):
        shmkit.get_context("x")


# ---- processes ----


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Condition", "Semaphore",
                                  "BoundedSemaphore"])
def test_increments_under_it_are_not_lost(context, kind, name):
    lock = getattr(context, kind)()
    with SharedMemory(name, create=True, size=8) as block:
        children = [context.Process(target=sync_workers.add,
                                    args=(lock, name, 3000))
                    for _ in range(2)]
        for child in children:
            child.start()
        sync_workers.add(lock, name, 3000)
        for child in children:
            child.join()
            assert child.exitcode == 0
        assert block.buf.cast("q")[0] == 9000
        block.unlink()


def test_writers_of_an_rwlock_exclude_each_other(context, name):
    lock = context.RWLock()
    with SharedMemory(name, create=True, size=8) as block:
        children = [context.Process(target=sync_workers.add,
                                    args=(lock.writer, name, 1000))
                    for _ in range(2)] if context._name == "fork" else []
        for child in children:
            child.start()
        sync_workers.add(lock.writer, name, 1000)
        for child in children:
            child.join()
            assert child.exitcode == 0
        assert block.buf.cast("q")[0] == 1000 * (1 + len(children))
        block.unlink()


@pytest.mark.parametrize("kind", [
    "Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event",
    "Barrier", "RWLock"])
def test_pickling_is_for_processes_that_start(kind):
    made = getattr(shmkit, kind)(*(1,) * (kind == "Barrier"))
    for function in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(RuntimeError, match=(
                kind + " objects should only be shared between processes "
                "through inheritance")):
            function(made)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("kind", ["Lock", "Condition", "Event"])
def test_an_object_of_fork_is_not_for_spawn(method, kind):
    made = getattr(shmkit.get_context("fork"), kind)()
    process = shmkit.get_context(method).Process(
        target=sync_workers.set_event, args=(made,))
    with pytest.raises(RuntimeError,
                       match="A SemLock created in a fork context"):
        process.start()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_grandchild_uses_it(method):
    """What came by pickle can be sent on; by fork, it is inherited."""
    lock = shmkit.get_context(method).Lock()
    with lock:
        for grand in METHODS:
            with Child(shmkit.get_context(method), sync_workers.pass_on, lock,
                       grand) as child:
                assert child.get() == ["<Lock(owner=SomeOtherProcess)>"]
                assert child.join() == 0


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_what_a_child_was_sent_stays_when_the_sender_lets_go(method, name):
    """The parent forgets the lock at once; the child still has it."""
    context = shmkit.get_context(method)
    with SharedMemory(name, create=True, size=8) as block:
        children = []
        lock = context.Lock()
        for _ in range(2):
            child = context.Process(target=sync_workers.add,
                                    args=(lock, name, 2000))
            child.start()
            children.append(child)
        del lock
        others = [context.Lock() for _ in range(100)]
        for other in others:
            other.acquire()
        for child in children:
            child.join()
            assert child.exitcode == 0
        assert block.buf.cast("q")[0] == 4000
        block.unlink()


def test_objects_that_die_give_their_place_back():
    keep = [shmkit.Lock() for _ in range(10)]
    path = f"/dev/shm/shmkit.{_core.family_get_id()}"
    for round in range(5):
        made = [getattr(shmkit, kind)() for kind in
                ("Lock", "RLock", "Semaphore", "Event", "RWLock", "Condition")
                for _ in range(500)]
        if round == 1:
            size = os.stat(path).st_size
        del made
        gc.collect()
    assert os.stat(path).st_size == size
    assert all(not lock.locked() for lock in keep)


def test_a_semaphore_counts_across_processes(context):
    semaphore = context.Semaphore(3)
    process = context.Process(target=sync_workers.take_and_leave,
                              args=(semaphore,))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert semaphore.get_value() == 2  # taken by a plain acquire: it stays so
    assert semaphore.acquire() and semaphore.acquire()
    assert not semaphore.acquire(False)
    for _ in range(4):
        semaphore.release()
    assert semaphore.get_value() == 4


def test_an_event_crosses(context):
    event = context.Event()
    with Child(context, sync_workers.wait_event, event) as child:
        child.get()
        event.set()
        assert child.get() is True
        assert child.join() == 0
    event.clear()
    process = context.Process(target=sync_workers.set_event, args=(event,))
    process.start()
    assert event.wait(PATIENCE)
    process.join()


def test_a_condition_crosses(context):
    condition = context.Condition()
    children = [Child(context, sync_workers.wait_condition, condition)
                for _ in range(3)]
    for child in children:
        child.get()
    with condition:
        wait_for(lambda: condition._sleeping_count.get_value() == 3)
        assert repr(condition).endswith(", 3)>")
        condition.notify()
    wait_for(lambda: any(child.pipe.poll() for child in children))
    assert condition._sleeping_count.get_value() == 2
    sync_workers.notify(condition, 2)
    for child in children:
        assert child.get() == "woke"
        assert child.join() == 0


def test_a_barrier_crosses(context):
    barrier = context.Barrier(3)
    children = [Child(context, sync_workers.wait_barrier, barrier)
                for _ in range(2)]
    for child in children:
        child.get()
    numbers = [barrier.wait()] + [child.get() for child in children]
    assert sorted(numbers) == [0, 1, 2]
    for child in children:
        assert child.join() == 0


def test_a_pool_with_our_lock(context, name):
    lock = context.Lock()
    with SharedMemory(name, create=True, size=1) as block:
        with context.Pool(2, sync_workers.initialise, (lock,)) as pool:
            seen = pool.map(sync_workers.locked_add, [name] * 20, 1)
        assert sorted(seen) == list(range(20)) and block.buf[0] == 20
        assert type(pool._inqueue._rlock) is synchronize.Lock
        block.unlink()


def test_an_executor_with_our_lock(context, name):
    lock = context.Lock()
    with SharedMemory(name, create=True, size=1) as block:
        with ProcessPoolExecutor(2, context, sync_workers.initialise,
                                 (lock,)) as pool:
            seen = list(pool.map(sync_workers.locked_add, [name] * 10))
        assert sorted(seen) == list(range(10))
        block.unlink()


def test_queues_have_our_locks(context):
    for queue in (context.Queue(), context.SimpleQueue(),
                  context.JoinableQueue(2)):
        assert type(queue._rlock) is synchronize.Lock
        process = context.Process(target=queue.put, args=("hello",))
        process.start()
        assert queue.get() == "hello"
        process.join()
        queue.close()


def test_values_with_our_locks(context):
    value = context.Value("i", 7)
    assert isinstance(value.get_lock(), synchronize.RLock)
    with value.get_lock():
        value.value += 1
    assert value.value == 8
    lock = context.Lock()
    array = context.Array("i", 3, lock=lock)
    assert array.get_lock() is lock and array[:] == [0, 0, 0]


# ---- threads ----


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore", "Condition"])
def test_threads_exclude_each_other(kind):
    lock, count = getattr(shmkit, kind)(), [0]

    def work():
        for _ in range(3000):
            with lock:
                value = count[0]
                count[0] = value + 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count[0] == 12000


def test_another_thread_may_release_a_lock_but_not_an_rlock():
    lock, rlock = shmkit.Lock(), shmkit.RLock()
    lock.acquire()
    rlock.acquire()
    seen = []

    def work():
        seen.append(rlock.acquire(False))
        lock.release()
        seen.append(outcome(rlock.release))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False, (AssertionError, "attempt to release recursive "
                            "lock not owned by thread")]
    assert not lock.locked()
    rlock.release()


def test_notify_wakes_exactly_n_threads():
    condition, woken = shmkit.Condition(), []

    def work(number):
        with condition:
            condition.wait()
            woken.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    wait_for(lambda: condition._sleeping_count.get_value() == 6)
    for n, total in ((1, 1), (2, 3)):
        with condition:
            condition.notify(n)
        wait_for(lambda: len(woken) == total)
        time.sleep(0.05)
        assert len(woken) == total
        assert condition._sleeping_count.get_value() == 6 - total
    with condition:
        condition.notify_all()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(woken) == list(range(6))


def test_wait_gives_all_levels_of_an_rlock_back():
    condition = shmkit.Condition()
    condition.acquire()
    condition.acquire()

    def work():
        with condition:
            condition.notify()

    thread = threading.Thread(target=work)
    thread.start()
    assert condition.wait(PATIENCE)
    thread.join()
    assert condition._lock._semlock._count() == 2
    condition.release()
    condition.release()
    assert not condition._lock.locked()


def test_a_pulse_reaches_who_waits():
    """Where the standard library's wait() returns False."""
    event, seen = shmkit.Event(), []
    thread = threading.Thread(target=lambda: seen.append(event.wait()))
    thread.start()
    end = time.monotonic() + PATIENCE
    while thread.is_alive() and time.monotonic() < end:
        event.set()
        event.clear()
        time.sleep(0.001)
    thread.join(PATIENCE)
    assert seen == [True] and not event.is_set()


def test_the_action_of_a_barrier_runs_once_a_round():
    rounds = []
    barrier = shmkit.Barrier(3, action=lambda: rounds.append(1))
    numbers = []

    def work():
        for _ in range(50):
            numbers.append(barrier.wait())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(rounds) == 50
    assert sorted(numbers) == sorted([0, 1, 2] * 50)


def test_an_rwlock_lets_readers_in_together():
    lock = shmkit.RWLock()
    seen = []

    def work():
        with lock.reader:
            seen.append(lock.acquire_write)
            seen.append(lock.stat().readers)
            inside.wait()

    inside = threading.Barrier(2, timeout=PATIENCE)
    thread = threading.Thread(target=work)
    with lock.reader:
        assert lock.acquire_read()  # again, by the same thread
        lock.release_read()
        thread.start()
        wait_for(lambda: lock.stat().readers == 2)
        with pytest.raises(RuntimeError, match="reads under the lock"):
            lock.acquire_write(False)
        inside.wait()
    thread.join()
    with lock.writer:
        assert lock.stat().owner_pid == os.getpid()
        assert repr(lock) == f"<RWLock(writer={os.getpid()}, readers=0)>"
        with pytest.raises(RuntimeError):
            lock.acquire_read(False)
        thread = threading.Thread(
            target=lambda: seen.append(lock.acquire_read(True, 0.05)))
        thread.start()
        thread.join()
        assert seen[-1] is False
    with pytest.raises(AssertionError, match="not owned by thread"):
        lock.release_write()
    with pytest.raises(AssertionError, match="not owned by thread"):
        lock.release_read()


# ---- signals ----


@pytest.mark.parametrize("call", [
    "lock.acquire()", "lock.acquire(True, 60)", "rlock.acquire()",
    "event.wait()", "semaphore.acquire()", "wait()", "barrier.wait()",
    "rwlock.acquire_read()"])
def test_ctrl_c_ends_every_wait(call):
    code = f"""if True:
        import os, signal, threading, time, shmkit
        lock, rlock, event = shmkit.Lock(), shmkit.RLock(), shmkit.Event()
        semaphore, condition = shmkit.Semaphore(0), shmkit.Condition()
        barrier, rwlock = shmkit.Barrier(2), shmkit.RWLock()
        lock.acquire()
        thread = threading.Thread(target=lambda: (rlock.acquire(),
                                                  rwlock.acquire_write()))
        thread.start()
        thread.join()
        def wait():
            with condition:
                try:
                    condition.wait()
                finally:
                    assert condition._lock._semlock._is_mine()
        def interrupt():
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt).start()
        try:
            {call}
        except KeyboardInterrupt:
            print("interrupted", barrier.broken)"""
    assert check_python(code) == f"interrupted {'barrier' in call}"


def test_a_handler_runs_and_the_wait_goes_on():
    """The handler itself may wait for another lock."""
    lock, other, seen = shmkit.Lock(), shmkit.Lock(), []

    def handler(number, frame):
        with other:
            seen.append(lock.acquire(True, 0.01))
        signal.setitimer(signal.ITIMER_REAL, 0.05)

    lock.acquire()
    old = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        threading.Timer(0.4, lock.release).start()
        assert lock.acquire(True, PATIENCE)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert len(seen) >= 2 and not any(seen)


def test_a_handler_cannot_wait_on_a_condition_where_its_thread_does():
    condition, other, seen = shmkit.Condition(), shmkit.Condition(), []

    def handler(number, frame):
        with other:
            seen.append(outcome(other.wait, 0.01))

    old = signal.signal(signal.SIGALRM, handler)
    try:
        with condition:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            assert not condition.wait(0.5)
    finally:
        signal.signal(signal.SIGALRM, old)
    assert [kind for kind, text in seen] == [RuntimeError]
    with other:
        assert not other.wait(0.01)


# ---- the six that hang the standard library ----


def acquire_quietly(lock):
    with pytest.warns(OwnerDiedWarning, match=DIED):
        assert lock.acquire(True, PATIENCE)


@pytest.mark.parametrize("kind", LOCKS)
def test_the_holder_of_a_lock_is_killed(context, kind):
    lock = getattr(context, kind)()
    with Child(context, sync_workers.hold_and_die, lock) as child:
        child.get()
        acquire_quietly(lock)
        assert lock.owner_died and lock.stat().deaths == 1
        lock.release()
        acquire_quietly(lock)  # until somebody says it is sound
        lock.mark_consistent()
        assert not lock.owner_died
        lock.release()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert lock.acquire()
        lock.release()


def test_an_event_is_set_after_a_waiter_was_killed(context):
    event = context.Event()
    with Child(context, sync_workers.wait_event, event) as dead, \
            Child(context, sync_workers.wait_event, event) as alive:
        dead.get(), alive.get()
        time.sleep(0.05)  # so that it probably sleeps; either way is right
        dead.kill()
        dead.join()
        event.set()
        assert alive.get() is True


def test_a_party_is_killed_inside_a_barrier(context):
    barrier = context.Barrier(3)
    with Child(context, sync_workers.wait_barrier, barrier) as dead, \
            Child(context, sync_workers.wait_barrier, barrier) as alive:
        dead.get(), alive.get()
        wait_for(lambda: barrier.n_waiting == 2)
        dead.kill()
        assert alive.get() == "BrokenBarrierError"
        assert barrier.broken
        with pytest.raises(threading.BrokenBarrierError):
            barrier.wait()
        barrier.reset()
        assert not barrier.broken


def test_a_condition_is_notified_after_a_waiter_was_killed(context):
    condition = context.Condition()
    with Child(context, sync_workers.wait_condition, condition) as dead:
        dead.get()
        wait_for(lambda: condition._sleeping_count.get_value() == 1)
        with Child(context, sync_workers.wait_condition, condition) as alive:
            alive.get()
            wait_for(lambda: condition._sleeping_count.get_value() == 2)
            dead.kill()
            dead.join()
            sync_workers.notify(condition, 1)  # for the living, not the dead
            assert alive.get() == "woke"
            assert alive.join() == 0


def test_the_holder_of_a_unit_is_killed_inside_with(context):
    semaphore = context.Semaphore(1)
    with Child(context, sync_workers.enter_and_die, semaphore) as child:
        child.get()
        with pytest.warns(OwnerDiedWarning, match=DIED):
            assert semaphore.acquire(True, PATIENCE)
        assert semaphore.owner_died
        assert semaphore.stat().deaths == 1
        semaphore.release()
        assert semaphore.get_value() == 1


def test_a_stopped_holder_is_never_robbed(context):
    lock = context.Lock()
    with Child(context, sync_workers.hold_until_told, lock) as child:
        pid = child.get()
        child.kill(signal.SIGSTOP)
        assert not lock.acquire(True, 10)
        assert lock.stat().owner_pid == pid
        child.kill(signal.SIGCONT)
        child.pipe.send("go on")
        assert lock.acquire(True, PATIENCE)
        lock.release()
        assert lock.stat().deaths == 0


# ---- owner death ----


def kill_holder(lock):
    context = shmkit.get_context("fork")
    with Child(context, sync_workers.hold_and_die, lock) as child:
        child.get()
        child.join()


@pytest.mark.parametrize("kind", LOCKS)
def test_raise_gives_the_lock_back(kind):
    lock = getattr(shmkit, kind)(on_owner_death="raise")
    assert lock.on_owner_death == "raise"
    kill_holder(lock)
    for _ in range(2):
        with pytest.raises(OwnerDiedError, match=DIED):
            lock.acquire()
        assert not lock.locked() and lock.owner_died
    with pytest.raises(OwnerDiedError):
        with lock:
            raise AssertionError("must not get here")
    lock.on_owner_death = "warn"
    acquire_quietly(lock)
    lock.mark_consistent()
    lock.release()


@pytest.mark.parametrize("kind", LOCKS)
def test_a_function_repairs_under_the_lock(kind):
    seen = []

    def repair(given):
        seen.append((given, given.locked(), given._semlock._is_mine()))
        if len(seen) == 1:
            raise LookupError("cannot")

    lock = getattr(shmkit, kind)(on_owner_death=repair)
    kill_holder(lock)
    with pytest.raises(LookupError):
        lock.acquire()
    assert not lock.locked() and lock.owner_died
    assert lock.acquire()
    assert seen == [(lock, True, True)] * 2
    assert not lock.owner_died
    lock.release()


def test_a_warning_turned_into_an_error_gives_the_lock_back():
    lock = shmkit.Lock()
    kill_holder(lock)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(OwnerDiedWarning):
            lock.acquire()
    assert not lock.locked()
    acquire_quietly(lock)


def test_bad_options():
    for value in ("other", 1, None):
        with pytest.raises(ValueError, match="on_owner_death must be"):
            shmkit.Lock(on_owner_death=value)
    with pytest.raises(TypeError, match="name must be str or None"):
        shmkit.Lock(name=1)
    with pytest.raises(ValueError):
        shmkit.Lock(name="")
    with pytest.raises(TypeError, match="a Lock or an RLock of shmkit"):
        shmkit.Condition(multiprocessing.Lock())
    with pytest.raises(TypeError):
        shmkit.Condition(shmkit.Semaphore())
    for parties in (0, -1, 65537):
        with pytest.raises(ValueError):
            shmkit.Barrier(parties)
    with pytest.raises(AssertionError, match="lock is not owned"):
        shmkit.Lock().mark_consistent()


def test_who_does_not_call_init_gets_an_error_not_a_crash():
    for kind in ("Lock", "RLock", "Semaphore", "RWLock", "Condition", "Event",
                 "Barrier"):
        cls = getattr(synchronize, kind)
        empty = cls.__new__(cls)
        for name in dir(cls):
            if name.startswith("__"):
                continue
            member = outcome(getattr, empty, name)
            if callable(member) and not inspect.iscoroutinefunction(member) \
                    and not isinstance(member, type):
                outcome(member)
        repr(outcome(repr, empty))


def test_subclasses():
    class Named(synchronize.Lock):
        def __init__(self, label):
            super().__init__()
            self.label = label

    lock = Named("x")
    with lock:
        assert repr(lock) == "<Named(owner=MainProcess)>"
    assert lock.label == "x" and not lock.locked()
    _core._hold(lock)
    standard = multiprocessing.Lock()
    for other in (lock, shmkit.RLock(), shmkit.Semaphore(), standard,
                  threading.Lock()):
        _core._hold(other)
        assert other.acquire(False)


def test_a_recoverable_semaphore_owns_every_unit():
    semaphore = shmkit.Semaphore(1, recoverable=True)
    kill_holder(semaphore)
    with pytest.warns(OwnerDiedWarning):
        assert semaphore.acquire(True, PATIENCE)
    semaphore.release()
    plain = shmkit.Semaphore(1)
    kill_holder(plain)
    assert not plain.acquire(True, 0.1)


def test_settings_cross():
    context = shmkit.get_context("spawn")
    semaphore = context.BoundedSemaphore(1, recoverable=True)
    with Child(context, sync_workers.hold_and_die, semaphore) as child:
        child.get()
        child.join()
    with pytest.warns(OwnerDiedWarning):
        assert semaphore.acquire(True, PATIENCE)


def test_a_killed_writer_and_a_killed_reader(context):
    for target in (sync_workers.write_and_die, sync_workers.read_and_die):
        lock = context.RWLock()
        with Child(context, target, lock) as child:
            child.get()
            if target is sync_workers.write_and_die:
                with pytest.warns(OwnerDiedWarning):
                    assert lock.acquire_write(True, PATIENCE)
                assert lock.owner_died
                lock.mark_consistent()
            else:
                assert lock.acquire_write(True, PATIENCE)
            assert not lock.owner_died
            lock.release_write()


def test_regulars_notice_a_death_between_two_waits():
    context = shmkit.get_context("fork")
    barrier = context.Barrier(2, regulars=True)
    with Child(context, sync_workers.wait_barrier, barrier) as child:
        child.get()
        barrier.wait()
        child.get()
        child.kill()
        child.join()
        with pytest.raises(threading.BrokenBarrierError):
            barrier.wait(PATIENCE)


def test_stat():
    lock = shmkit.Lock()
    assert lock.stat() == (None, None, 0, False, False, 0)
    with lock:
        stat = lock.stat()
        assert stat.owner_pid == os.getpid()
        with open("/proc/self/comm") as file:
            assert stat.owner_name == file.read().rstrip("\n")
        thread = threading.Thread(target=lambda: lock.acquire(True, 0.5))
        thread.start()
        wait_for(lambda: lock.stat().waiting)
    thread.join()
    semaphore = shmkit.BoundedSemaphore(3)
    semaphore.acquire()
    assert semaphore.stat() == (2, 3, 0)
    assert shmkit.Semaphore(1).stat().max is None


def test_locked():
    for kind in LOCKS + ["Semaphore"]:
        lock = getattr(shmkit, kind)()
        assert lock.locked() is False
        with lock:
            assert lock.locked() is True
        assert lock.locked() is False


def test_a_forked_child_owns_nothing():
    lock, rlock = shmkit.Lock(), shmkit.RLock()
    condition = shmkit.Condition(lock)
    lock.acquire()
    rlock.acquire()
    pid = os.fork()
    if pid == 0:
        ok = repr(lock) == "<Lock(owner=SomeOtherProcess)>"
        ok = ok and outcome(rlock.release)[0] is AssertionError
        ok = ok and outcome(condition.wait)[0] is AssertionError
        ok = ok and outcome(condition.notify)[0] is AssertionError
        ok = ok and not rlock.acquire(False)
        os._exit(0 if ok else 1)
    assert os.waitpid(pid, 0)[1] == 0
    rlock.release()
    lock.release()


# ---- names ----


def test_programs_that_know_nothing_of_each_other_share_a_lock(names):
    name = names()
    lock = shmkit.Lock(name=name)
    assert lock.name == name and exists(f"shmkit.{name}")
    code = """if True:
        import sys, shmkit
        lock = shmkit.Lock(name=sys.argv[1])
        print(lock.acquire(False), lock.stat().owner_pid)"""
    lock.acquire()
    assert check_python(code, name) == f"False {os.getpid()}"
    lock.release()
    assert check_python(code, name).startswith("True ")
    acquire_quietly(lock)  # it ended without a release
    lock.mark_consistent()
    del lock
    assert not exists(f"shmkit.{name}")


@pytest.mark.parametrize("kind, arguments", [
    ("Lock", ""), ("RLock", ""), ("Semaphore", "3"), ("Event", ""),
    ("BoundedSemaphore", "3"), ("Condition", ""), ("Barrier", "2"),
    ("RWLock", "")])
def test_every_kind_has_names(kind, arguments, names):
    name = names()
    make = f"shmkit.{kind}({arguments}{',' * bool(arguments)}name={name!r})"
    first, second = eval(make), eval(make)
    assert first.name == name
    assert first._home is second._home
    received = pickle.loads(pickle.dumps(first))  # at any time
    assert type(received) is type(first) and received.name == name
    if kind in ("Lock", "RLock", "Semaphore", "Condition"):
        first.acquire()
        assert check_python(f"import shmkit; print({make}.acquire(False))") \
            == str(kind == "Semaphore")
        second.release()
        received.acquire()
        received.release()
    elif kind == "Event":
        check_python(f"import shmkit; {make}.set()")
        assert first.is_set() and received.is_set()
    other = "Event" if kind != "Event" else "Lock"
    with pytest.raises(FileExistsError, match="is there, but it is no"):
        getattr(shmkit, other)(name=name)
    del first, second, received
    gc.collect()
    assert not exists(f"shmkit.{name}")


def test_a_named_condition_between_programs(names):
    name = names()
    condition = shmkit.Condition(name=name)
    code = """if True:
        import sys, shmkit
        condition = shmkit.Condition(name=sys.argv[1])
        with condition:
            print("waiting", flush=True)
            print(condition.wait(60), flush=True)"""
    with subprocess.Popen([sys.executable, "-c", code, name],
                          stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "waiting\n"
        with condition:
            condition.notify()
        assert other.stdout.readline() == "True\n"
    with pytest.raises(ValueError, match="has a lock of its own"):
        shmkit.Condition(shmkit.Lock(), name=name)
    with pytest.raises(RuntimeError, match="part of a named object|should "
                                           "only be shared"):
        pickle.dumps(synchronize._Shared.__getstate__(condition._lock))[0]
        condition._lock._send()


def test_a_condition_of_a_named_lock(names):
    lock = shmkit.Lock(name=names())
    condition = shmkit.Condition(lock)
    seen = []

    def work():
        with condition:
            seen.append(condition.wait(PATIENCE))

    thread = threading.Thread(target=work)
    thread.start()
    wait_for(lambda: condition._sleeping_count.get_value() == 1)
    with lock:
        condition.notify()
    thread.join()
    assert seen == [True]


def test_a_name_that_is_gone_cannot_be_unpickled(names):
    lock = shmkit.Lock(name=names())
    data = pickle.dumps(lock)
    del lock
    gc.collect()
    with pytest.raises(FileNotFoundError):
        pickle.loads(data)


def test_a_block_that_is_no_arena_is_refused(names):
    name = names()
    with SharedMemory(f"shmkit.{name}", create=True, size=100000) as block:
        with pytest.raises(OSError):
            shmkit.Lock(name=name)
        block.unlink()


def test_a_named_semaphore_keeps_the_value_of_its_maker(names):
    name = names()
    first = shmkit.Semaphore(2000, name=name)
    second = shmkit.Semaphore(1, name=name)
    assert second.get_value() == 2000
    assert first.get_value() == 2000


# ---- the rest ----


def test_nothing_is_left_when_a_program_ends():
    code = """if True:
        import shmkit, os
        keep = [shmkit.Lock(), shmkit.Lock(name="test-ends-here")]
        keep[0].acquire()
        print(shmkit._core.family_get_id())
        {end}"""
    for end in ("", "os._exit(0)", "os.kill(os.getpid(), 9)"):
        done = run_python(code.format(end=end))
        _core.sweep()
        assert not exists(f"shmkit.{done.stdout.strip()}")
        shmkit.Lock(name="test-ends-here")
        assert not exists("shmkit.test-ends-here")


def test_a_cycle_is_collected():
    import weakref

    def repair(lock):
        pass

    lock = shmkit.Lock(on_owner_death=repair)
    repair.lock = lock
    gone = weakref.ref(lock)
    del lock, repair
    gc.collect()
    assert gone() is None
