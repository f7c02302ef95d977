# SPDX-License-Identifier: MIT
"""The package: every name of multiprocessing, its modules, the stubs."""

import importlib
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
OURS = {"shared_memory", "managers"}
MODULES = [info.name for info in pkgutil.iter_modules(
    multiprocessing.__path__) if "win32" not in info.name]


@pytest.mark.parametrize("name", multiprocessing.__all__)
def test_every_name_is_there(name):
    assert getattr(shmkit, name) == getattr(multiprocessing, name)
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
