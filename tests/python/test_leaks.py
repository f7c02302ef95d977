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
                vars(shared_memory), SharedMemory._home, "_flags", "psm")),
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
