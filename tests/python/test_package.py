# SPDX-License-Identifier: MIT
"""The package: every name of multiprocessing, its modules, the stubs."""

import importlib
import inspect
import multiprocessing
import os
import pkgutil
import shutil
import subprocess
import sys

import pytest

import shmkit
from helpers import check_python, run_python

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.dirname(shmkit.__file__)
OURS = {"shared_memory", "managers", "synchronize", "context", "sharedctypes",
        "heap"}
MODULES = [info.name for info in pkgutil.iter_modules(
    multiprocessing.__path__) if "win32" not in info.name]


@pytest.mark.parametrize("name", multiprocessing.__all__)
def test_every_name_is_there(name):
    ours, theirs = getattr(shmkit, name), getattr(multiprocessing, name)
    if inspect.ismethod(theirs):  # of the default context
        assert ours.__self__ is shmkit.context._default_context
        assert ours.__name__ == theirs.__name__ == name
    else:
        assert ours is theirs
    assert name in dir(shmkit) and name in shmkit.__all__


@pytest.mark.parametrize("name", MODULES)
def test_every_module_is_there(name):
    module = importlib.import_module(f"shmkit.{name}")
    theirs = importlib.import_module(f"multiprocessing.{name}")
    assert getattr(shmkit, name) is module
    assert (module is theirs) == (name not in OURS)
    for one in theirs.__all__:
        assert hasattr(module, one)
    assert theirs.__spec__.name == f"multiprocessing.{name}"


def test_every_module_comes_by_attribute_alone():
    for name in MODULES:
        assert check_python(
            f"import shmkit; print(shmkit.{name}.__name__)").endswith(name)


def test_forms_of_import():
    check_python("""if 1:
        import shmkit.managers
        import shmkit.dummy.connection
        from shmkit import Process, Lock, shared_memory, pool
        from shmkit.managers import SharedMemoryManager, BaseManager
        from shmkit.dummy import Pool
        from shmkit import *
        import multiprocessing.dummy.connection as theirs
        import multiprocessing.managers
        assert shmkit.dummy.connection is theirs
        assert shmkit.pool.Pool is pool.Pool
        assert BaseManager is multiprocessing.managers.BaseManager
        assert issubclass(SharedMemoryManager,
                          multiprocessing.managers.SharedMemoryManager)
        assert shmkit.managers.dispatch and shmkit.SUBDEBUG == 5
        assert shared_memory.resource_tracker.register
        """)


@pytest.mark.parametrize("name", ["nonsense", "_nonsense", "__nonsense__"])
def test_what_is_not_there_is_an_attribute_error(name):
    for module in (shmkit, shmkit.shared_memory, shmkit.managers):
        with pytest.raises(AttributeError):
            getattr(module, name)
    with pytest.raises(ImportError):
        importlib.import_module(f"shmkit.{name}")


def test_importing_prints_and_starts_nothing(private_shm):
    done = run_python("""if 1:
        import os, threading
        before = os.listdir("/dev/shm")
        import shmkit.shared_memory
        assert threading.active_count() == 1
        assert os.listdir("/dev/shm") == before
        """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_import_without_shm(private_shm, tmp_path):
    code = "import shmkit.shared_memory as s; print(s.SharedMemory.__name__)"
    script = "mount --bind {} /dev/shm && exec {} -c '{}'".format(
        tmp_path / "none", sys.executable, code)
    (tmp_path / "none").mkdir(mode=0o500)
    done = subprocess.run(["unshare", "-m", "sh", "-c", script],
                          capture_output=True, text=True, timeout=60)
    assert done.stdout == "SharedMemory\n", done.stderr


def test_the_module_runs():
    done = subprocess.run([sys.executable, "-m", "shmkit", "--version"],
                          capture_output=True, text=True, timeout=60)
    assert done.stdout == f"shmkit {shmkit.__version__}\n", done.stderr


def test_subinterpreters_load_it():
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        interpreters = pytest.importorskip("_interpreters")
    code = """if 1:
        import sys
        sys.path[:] = {!r}
        from shmkit import _core
        assert _core.version()
        """.format(sys.path)
    interpreter = interpreters.create()
    try:
        assert interpreters.run_string(interpreter, code) is None
    finally:
        interpreters.destroy(interpreter)


# ---- types ----

def type_checker(name):
    path = shutil.which(name, path="/usr/bin:" + os.environ.get("PATH", ""))
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def run_checker(*command, cwd):
    env = {**os.environ, "MYPY_CACHE_DIR": str(cwd)}
    folder = os.path.dirname(PACKAGE)
    if os.path.basename(folder) not in ("site-packages", "dist-packages"):
        env["MYPYPATH"] = env["PYTHONPATH"] = folder
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd,
                          env=env, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_stubs_agree_with_the_package(tmp_path):
    stubtest = type_checker("stubtest")
    with open(stubtest) as script:
        interpreter = script.readline()[2:].split()[0]
    if os.path.realpath(interpreter) != os.path.realpath(sys.executable):
        pytest.skip("stubtest runs on another Python")
    run_checker(stubtest, "shmkit", "--ignore-unused-allowlist", "--allowlist",
                os.path.join(HERE, "stubtest.allow"), cwd=tmp_path)


def check_types(folder):
    run_checker(type_checker("mypy"), "--strict", "--python-executable",
                sys.executable, "program.py", cwd=folder)


PROGRAM = """
from shmkit import Process, get_context, shared_memory
from shmkit import attach, from_array, ndarray
from shmkit.managers import SharedMemoryManager
from shmkit.pool import Pool
from shmkit.shared_memory import ShareableList, SharedMemory

with SharedMemory("x", create=True, size=10, mode=0o640, lifetime="holders",
                  sparse=True, prefault=True, exist_ok=True) as block:
    block.resize(100)
    buf: memoryview = block.buf
    state: str = block.stat().state
    number: int = block.fileno() + block.mode + block.size
    flag: bool = block.read_only
    block.persist()
    block.unlink()
old = SharedMemory(None, flags=shared_memory.O_CREX, size=10)
numbers = ShareableList([1, 2])
first: int = numbers[0]
with SharedMemoryManager() as manager:
    made: SharedMemory = manager.SharedMemory(10)
with ndarray((3, 4), "f8", "a", order="F", mode=0o640) as array:
    shape: tuple[int, ...] = array.shape
    there: bool = attach(array.name, read_only=True).read_only
from_array([1, 2], "b", lifetime="holders").unlink()
process = Process(target=print)
pool: Pool = get_context("spawn").Pool(2)
"""


def test_a_program_with_types(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    check_types(tmp_path)


def test_wrong_types_are_seen(tmp_path):
    (tmp_path / "program.py").write_text(
        "from shmkit.shared_memory import SharedMemory\n"
        "SharedMemory(5)\n"
        "SharedMemory('x', lifetime='for ever')\n")
    with pytest.raises(AssertionError, match="Found 2 errors"):
        check_types(tmp_path)


VALUES = """
import ctypes

from shmkit import heap
from shmkit.sharedctypes import Array, RawValue, Synchronized, Value


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int)]


v = Value("i", 3)
number: int = v.add(1) + v.value
v.value += 1
same: Synchronized[int] = v
d = Value(ctypes.c_double, 1.5)
real: float = d.exchange(2.5)
flag: bool = d.compare_exchange(1.0, 2.0) and d.wait(lambda x: x > 1, 1.5)
a = Array("d", [1, 2])
first: float = a[0] + a.add(0, 1.5)
rest: list[float] = a[1:]
a[:] = range(2)
a[0] = 5
text = Array("c", b"ab")
raw: bytes = text.raw + text[0] + text[:1] + text.value
point = Value(Point, 1)
point.x = 5
bare: ctypes.c_int = RawValue(ctypes.c_int, 3)
view: memoryview = heap.BufferWrapper(10).create_memoryview()
with v as held, a.get_lock():
    held_too: bool = held
"""

WRONG_VALUES = """
wrong: str = v.value
v.add("x")
a.nothing()
"""


def test_types_of_values(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(VALUES)
    check_types(tmp_path)
    for line in WRONG_VALUES.split("\n")[1:-1]:
        program.write_text(VALUES + line + "\n")
        with pytest.raises(AssertionError):
            check_types(tmp_path)
