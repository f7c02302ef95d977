# SPDX-License-Identifier: MIT
"""Plain CPython on the other side, each version found, in both directions.

The other process has no shmkit on its path.  Its tracker removes what it
attached when it ends (gh-82300), so the test unregisters as such programs do;
what must hold is that we attach, see the same bytes, and never remove theirs.
"""

import os
import subprocess

import pytest

from helpers import check_python, exists, plain_pythons
from shmkit import _core
from shmkit.shared_memory import ShareableList, SharedMemory

PYTHONS = plain_pythons()

PLAIN = """if 1:
    import sys
    from multiprocessing import resource_tracker
    from multiprocessing.shared_memory import SharedMemory, ShareableList
    assert "shmkit" not in sys.modules

    def untracked(name, kind=SharedMemory):
        made = kind(name=name)
        block = getattr(made, "shm", made)
        resource_tracker.unregister(block._name, "shared_memory")
        return made
    """


@pytest.fixture(params=sorted(PYTHONS))
def python(request):
    return PYTHONS[request.param]


def plain(python, code, *arguments):
    return check_python(PLAIN + code, *arguments, python=python, plain=True)


def test_plain_cpython_attaches_ours(python, name):
    with SharedMemory(name, create=True, size=5000) as block:
        block.buf[:5] = b"hello"
        assert plain(python, """
    block = untracked(sys.argv[1])
    print(block.size, bytes(block.buf[:5]).decode())
    block.buf[:5] = b"olleh"
    block.close()
    """, name) == "5000 hello"
        assert bytes(block.buf[:5]) == b"olleh" and exists(name)
        block.unlink()


def test_plain_cpython_unlinks_ours(python, name):
    block = SharedMemory(name, create=True, size=10)
    plain(python, """
    block = SharedMemory(sys.argv[1])
    block.close()
    block.unlink()
    """, name)
    assert not exists(name)
    with pytest.raises(FileNotFoundError):
        block.unlink()
    with SharedMemory(name, create=True, size=20) as again:
        assert again.size == 20
        again.unlink()


def test_plain_cpython_reads_our_list(python, name):
    if python == PYTHONS.get("3.8"):
        pytest.skip("the format of 3.8 was another one")
    sl = ShareableList(["ab", 7, 2.5, None, b"x", True], name=name)
    assert plain(python, """
    sl = untracked(sys.argv[1], ShareableList)
    print(list(sl))
    sl[1] = 8
    sl.shm.close()
    """, name) == "['ab', 7, 2.5, None, b'x', True]"
    assert sl[1] == 8
    sl.shm.close()
    sl.shm.unlink()


class Creator:
    """A plain Python that makes a block and waits."""

    CODE = PLAIN + """
    block = SharedMemory(sys.argv[1], create=True, size=100)
    block.buf[:5] = b"their"
    print("made", flush=True)
    sys.stdin.readline()
    print(bytes(block.buf[:5]).decode(), flush=True)
    sys.stdin.readline()
    block.close()
    block.unlink()
    """

    def __init__(self, python, name):
        env = {key: value for key, value in os.environ.items()
               if key != "PYTHONPATH"}
        self.process = subprocess.Popen(
            [python, "-c", self.CODE, name], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        assert self.process.stdout.readline() == "made\n"

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self):
        out, err = self.process.communicate("\n", timeout=60)
        assert self.process.returncode == 0 and err == ""


def test_we_attach_theirs_and_never_remove_it(python, name):
    creator = Creator(python, name)
    with SharedMemory(name) as block:
        assert bytes(block.buf[:5]) == b"their"
        assert block.stat().state == "foreign"
        block.buf[:5] = b"*our*"
    with pytest.raises(FileExistsError):
        SharedMemory(name, create=True, size=4)
    check_python("""if 1:
        import os, sys
        from shmkit import _core
        from shmkit.shared_memory import SharedMemory
        block = SharedMemory(sys.argv[1])
        _core.sweep()
        os._exit(0)
        """, name)
    assert name not in _core.sweep() and exists(name)
    creator.go_on()
    assert creator.process.stdout.readline() == "*our*\n"
    assert exists(name)
    creator.end()
    assert not exists(name)


def test_we_unlink_theirs_when_told_to(python, name):
    creator = Creator(python, name)
    with SharedMemory(name) as block:
        block.unlink()
    assert not exists(name)
    creator.process.kill()
    creator.process.communicate()


def test_a_plain_python_was_found():
    assert PYTHONS
