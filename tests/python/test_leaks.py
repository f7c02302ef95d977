# SPDX-License-Identifier: MIT
"""Nothing grows: objects, references, descriptors, mappings.

Each scenario runs in an interpreter of its own, many times, and counts what
there is before and after.
"""

import pytest

from helpers import check_python

COUNT = """if 1:
    import gc, os, sys, pickle
    import shmkit
    from shmkit import _core, shared_memory
    from shmkit.shared_memory import SharedMemory, ShareableList

    def census():
        gc.collect()
        with open("/proc/self/maps") as file:
            maps = sum("/dev/shm" in line for line in file)
        return {
            "objects": len(gc.get_objects()),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "maps": maps,
            "references": sum(sys.getrefcount(one) for one in (
                _core.Block, _core.Mapping, SharedMemory, ShareableList,
                _core.BlockStat, shared_memory._make_filename,
                vars(shared_memory), SharedMemory._home, "_flags", "psm",
                *(getattr(_core, name) for name in (
                    "Lock", "RLock", "Semaphore", "RWLock", "RWLockSide",
                    "Condition", "Event", "Barrier", "Arena", "LockStat",
                    "OwnerDiedWarning")),
                shmkit.synchronize.Lock, shmkit.synchronize.Condition)),
            "blocks": len(os.listdir("/dev/shm")),
        }

    keep = SharedMemory(create=True, size=100)

    def scenario():
%s

    for _ in range(50):
        scenario()
    before = census()
    for _ in range(500):
        scenario()
    after = census()
    keep.close()
    keep.unlink()
    grown = {key: after[key] - before[key] for key in before}
    # Too many references are a leak, too few are worse; the interpreter
    # itself may drop some objects on the way.
    print("steady" if abs(grown["references"]) <= 20
          and max(grown.values()) <= 20 else grown)
    """

SCENARIOS = {
    "make and remove": """
        block = SharedMemory(create=True, size=10)
        block.buf[0] = 1
        block.close()
        block.unlink()
        """,
    "make and let go": """
        SharedMemory(create=True, size=10).unlink()
        """,
    "attach": """
        SharedMemory(keep.name).buf[0]
        """,
    "views": """
        block = SharedMemory(keep.name)
        views = [memoryview(block), block.buf, block._mmap, bytes(block)]
        block.close()
        """,
    "direct views": """
        import numpy as np
        block = SharedMemory(keep.name)
        array = np.ndarray((5,), np.uint8, buffer=block)
        block.close()
        """,
    "cycles": """
        block = SharedMemory(keep.name)
        block.me = block
        block._buf = [block]
        """,
    "errors": """
        for call in (lambda: SharedMemory("no such"),
                     lambda: SharedMemory(keep.name, create=True, size=1),
                     lambda: SharedMemory("a/b", create=True, size=1),
                     lambda: SharedMemory("a\\0b"),
                     lambda: SharedMemory(3),
                     lambda: SharedMemory(create=True, size=1.5),
                     lambda: SharedMemory(create=True, size=2**62),
                     lambda: SharedMemory(create=True, size=1, mode=-1),
                     lambda: SharedMemory("x", create=True, size=1,
                                          lifetime="no"),
                     lambda: SharedMemory(nonsense=1),
                     lambda: SharedMemory("a", name="a"),
                     lambda: keep.resize(1),
                     lambda: keep.resize("x")):
            try:
                call()
                raise SystemExit("no error")
            except (OSError, ValueError, TypeError):
                pass
        """,
    "attributes": """
        block = SharedMemory(keep.name, read_only=True)
        block.name, block.size, block.mode, block.read_only, block._name
        block._fd, block.fileno(), block.stat(), repr(block)
        block._name = "/" + keep.name
        block._buf = None
        """,
    "resize": """
        block = SharedMemory(create=True, size=10)
        view = memoryview(block)
        for size in (20, 5000, 9000):
            block.resize(size)
        block.unlink()
        """,
    "locks": """
        for kind in ("Lock", "RLock", "Semaphore", "Condition"):
            lock = getattr(shmkit, kind)()
            with lock:
                repr(lock)
                lock.acquire(False) and lock.release()
            lock.acquire(timeout=0.0001)
            lock.release()
            if kind != "Condition":
                lock.stat(), lock.locked(), lock.owner_died, lock._semlock
        with lock:
            lock.wait(0.0001)
            lock.notify(2)
        with shmkit.RWLock().reader:
            pass
        event = shmkit.Event()
        event.wait(0.0001), event.set(), event.wait(), repr(event)
        barrier = shmkit.Barrier(1, lambda: 3, 5.0)
        barrier.wait(), barrier.reset(), repr(barrier), barrier._action
        """,
    "names of locks": """
        first = shmkit.Lock(name="test-leaks", on_owner_death=print)
        second = pickle.loads(pickle.dumps(first))
        second.acquire(), first.release()
        shmkit.Condition(name="test-leaks-too").acquire()
        """,
    "errors of locks": """
        lock, once = shmkit.Lock(), shmkit.Barrier(1, lambda: 1 / 0)
        for call in (lock.release, lambda: lock.acquire(1, 2, 3),
                     lambda: lock.acquire(nonsense=1),
                     lambda: lock.acquire(timeout="x"),
                     shmkit.RLock().release, shmkit.Condition().wait,
                     shmkit.Condition().notify, once.wait, once.wait,
                     lambda: shmkit.Lock(nonsense=1), lambda: shmkit.Lock(1),
                     lambda: shmkit.Lock(on_owner_death="x"),
                     lambda: shmkit.Lock(name="a/b"),
                     lambda: shmkit.Semaphore(-1),
                     lambda: shmkit.Semaphore("x"),
                     lambda: shmkit.Condition(3),
                     lambda: shmkit.Barrier(0),
                     lambda: pickle.dumps(lock)):
            try:
                call()
                raise SystemExit("no error")
            except (Exception, AssertionError):
                pass
        """,
    "pickle": """
        pickle.loads(pickle.dumps(keep)).close()
        """,
    "list": """
        items = ShareableList([1, "a", None, 2.5])
        items[1] = "b"
        list(items), items.format
        other = ShareableList(name=items.shm.name)
        other.shm.unlink()
        """,
    "list, all of it": """
        with ShareableList((1, "a" * 300, None, b"x\\0")) as items:
            items[:2] = iter((2, "b" * 300))
            items[1:], items.index(None, 1, 3), items.count(2.0), 5 in items
            items == [1], items == items, reversed(items), hash(items)
            next(iter(items))
            for bad in (2**70, "x" * 305, "\\0", [], "\\ud800"):
                for call in (lambda: items.__setitem__(0, bad),
                             lambda: items.__setitem__(slice(1), [bad]),
                             lambda: items.index(bad),
                             lambda: ShareableList([bad, object()]),
                             lambda: items[9], lambda: items["a"]):
                    try:
                        call()
                    except Exception:
                        pass
            pickle.loads(pickle.dumps(items)).close()
            items.unlink()
        """,
    "replaced name": """
        original = shared_memory._make_filename
        shared_memory._make_filename = lambda: original()
        try:
            SharedMemory(create=True, size=10).unlink()
        finally:
            shared_memory._make_filename = original
        """,
    "family": """
        _core.sweep()
        _core.sweep(dry_run=True)
        _core.family_form()
        _core.family_get_id()
        _core.family_get_fd()
        """,
    "persist": """
        block = SharedMemory(create=True, size=10, lifetime="holders")
        block.persist()
        block.unlink()
        """,
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_grows(private_shm, scenario):
    code = COUNT % SCENARIOS[scenario].replace("\n        ", "\n" + " " * 8)
    assert check_python(code) == "steady"
