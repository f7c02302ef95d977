# SPDX-License-Identifier: MIT
"""Unmodified programs: python -m shmkit run, shmkit.install(), and the hook.

The programs are written into a folder and run in interpreters of their own;
"plain" is what Python alone makes of them.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import shmkit
from helpers import PATIENCE, exists, plain_pythons
from shmkit import _replace

METHODS = ("fork", "spawn", "forkserver")
RUN = ["-m", "shmkit", "run"]
SEEDS = Path(__file__).resolve().parents[1] / "examples" / "seeds"
PACKAGE = Path(shmkit.__file__).parent

# What a program finds in the place of multiprocessing's modules.
WHERE = """
import multiprocessing.managers
import multiprocessing.synchronize
from multiprocessing import shared_memory
from multiprocessing.managers import SharedMemoryManager
from multiprocessing.shared_memory import SharedMemory


def where():
    return [SharedMemory.__module__, SharedMemoryManager.__module__,
            shared_memory.__name__,
            multiprocessing.managers.shared_memory.__name__,
            multiprocessing.synchronize.Lock.__module__,
            type(multiprocessing.Lock()).__module__]
"""
OURS = repr(["shmkit.shared_memory", "shmkit.managers", "shmkit.shared_memory",
             "shmkit.shared_memory", "shmkit.synchronize",
             "shmkit.synchronize"]) + "\n"


class Folder:
    """Programs, and running them."""

    def __init__(self, path):
        self.path = path

    def write(self, name, text):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def python(self, *arguments, executable=sys.executable, stdin=None, **env):
        # A message may be cut short by the terminal's width otherwise.
        env = {**os.environ, "COLUMNS": "80", **env}
        return subprocess.run([executable, *arguments], cwd=self.path, env=env,
                              capture_output=True, text=True, input=stdin,
                              timeout=PATIENCE)

    def check(self, *arguments, **options):
        """Standard output of a program that must succeed in silence."""
        done = self.python(*arguments, **options)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout


@pytest.fixture
def folder(tmp_path):
    folder = Folder(tmp_path)
    folder.write("where.py", WHERE)
    return folder


# ---- as `python SCRIPT` has it ----

PROGRAMS = {
    "arguments": "import sys; print(sys.argv, sys.path[0], sys.flags)",
    "main": """
        import sys
        main = sys.modules["__main__"]
        print(__name__, __file__, __spec__, __package__, __doc__)
        print(main.__dict__ is globals(), sorted(globals()), __loader__)
        """,
    "doc": '"""Words."""\nprint(__doc__, __annotations__)\nx: int = 1\n',
    "exception": "def f(x):\n    return 1 / x\nf(0)\n",
    "syntax": "print(\n",
    "exit": "import sys; sys.exit(3)",
    "exit with words": "import sys; sys.exit('words')",
    "killed": "import os; os.kill(os.getpid(), 9)",
    "interrupt": "raise KeyboardInterrupt",
    "atexit": """
        import atexit, threading
        atexit.register(print, "last")
        threading.Thread(target=lambda: print("thread", flush=True)).start()
        1 / 0
        """,
    "hook": """
        import sys
        sys.excepthook = lambda *args: print(args[:2], args[2].tb_lineno)
        1 / 0
        """,
    "imports": "import beside; print(beside.__file__)",
}


def same(folder, arguments, **options):
    """Whether both say the same; what they say."""
    plain = folder.python(*arguments, **options)
    ours = folder.python(*RUN, *arguments, **options)
    assert_same(ours, plain)
    return ours


def assert_same(ours, plain):
    """But for the addresses of objects."""
    for one, other in ((ours.stdout, plain.stdout),
                       (ours.stderr, plain.stderr)):
        assert re.sub("0x[0-9a-f]+", "0x", one) == re.sub(
            "0x[0-9a-f]+", "0x", other)
    assert ours.returncode == plain.returncode


@pytest.mark.parametrize("kind", PROGRAMS)
def test_a_script_runs_as_ever(folder, kind):
    folder.write("sub/program.py", PROGRAMS[kind])
    folder.write("sub/beside.py", "")
    same(folder, ["sub/program.py", "-m", "--flag", "a b", ""])


@pytest.mark.parametrize("kind", PROGRAMS)
def test_code_runs_as_ever(folder, kind):
    folder.write("beside.py", "")
    same(folder, ["-c", textwrap.dedent(PROGRAMS[kind]).replace(
        "__file__, ", "").replace(", sorted(globals()), __loader__", ""), "x"])


@pytest.mark.parametrize("kind", PROGRAMS)
def test_a_module_runs_as_ever(folder, kind):
    folder.write("package/__init__.py", "")
    folder.write("package/__main__.py", PROGRAMS[kind])
    folder.write("beside.py", "")
    same(folder, ["-m", "package", "-c", "x"])


def test_what_is_not_there(folder):
    assert same(folder, ["none.py"]).returncode == 2
    assert same(folder, ["-m", "none"]).returncode == 1
    assert same(folder, ["."]).returncode == 1


def test_a_program_from_standard_input(folder):
    done = same(folder, ["-", "x"], stdin="import sys; print(sys.argv)")
    assert done.stdout == "['-', 'x']\n"


def test_options_of_python_stay(folder):
    folder.write("program.py", """
        import sys
        print(sys.flags, sys.warnoptions, sys._xoptions)
        """)
    for options in (["-X", "dev", "-W", "error::UserWarning"], ["-OO", "-B"],
                    ["-u", "-s"]):
        plain = folder.check(*options, "program.py")
        assert folder.check(*options, *RUN, "program.py") == plain


def test_usage(folder):
    done = folder.python(*RUN, "--help")
    assert done.returncode == 0 and "SCRIPT" in done.stdout
    for wrong in ([], ["-X", "dev", "x.py"], ["-m"], ["-c"]):
        done = folder.python(*RUN, *wrong)
        assert done.returncode == 2 and "usage" in done.stderr


# ---- where ours is found ----

def program(method, what="where"):
    return f"""
        import multiprocessing
        import sys
        from where import *

        def report(queue):
            queue.put(where())

        if __name__ == "__main__":
            print(where())
            context = multiprocessing.get_context({method!r})
            queue = context.SimpleQueue()
            process = context.Process(target=report, args=(queue,))
            process.start()
            print(queue.get())
            process.join()
        """


@pytest.mark.parametrize("method", METHODS)
def test_children(folder, method):
    folder.write("program.py", program(method))
    assert folder.check(*RUN, "program.py") == OURS * 2
    assert folder.check(*RUN, "-m", "program") == OURS * 2
    assert OURS not in folder.check("program.py")


@pytest.mark.parametrize("method", METHODS)
def test_children_of_an_interpreter_that_ignores_its_environment(
        folder, method):
    """There, the program is run in place; its children are ours as well."""
    folder.write("program.py", program(method))
    start = folder.path / "start.py"
    start.write_text(
        f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})\n"
        f"sys.path.insert(0, {str(folder.path)!r})\n"
        "from shmkit import _run\nsys.exit(_run.main(sys.argv[1:]))\n")
    out = folder.check("-E", "start.py", "program.py")
    assert out == OURS * 2
    assert folder.check("-I", "start.py", "program.py") == OURS * 2


# Not "arguments", as start.py has others, nor "hook": a program's own
# sys.excepthook is given the frames of start.py too (docs/run.md).
@pytest.mark.parametrize("kind", sorted(set(PROGRAMS) - {"arguments", "hook"}))
def test_a_script_in_such_an_interpreter(folder, kind):
    folder.write("sub/program.py", PROGRAMS[kind])
    folder.write("sub/beside.py", "")
    folder.write("start.py", f"""
        import sys
        sys.path.insert(0, {str(PACKAGE.parent)!r})
        from shmkit import _run
        del sys.path[0]
        sys.exit(_run.main(sys.argv[1:]))
        """)
    plain = folder.python("-E", "sub/program.py", "x")
    ours = folder.python("-E", "start.py", "sub/program.py", "x")
    assert_same(ours, plain)


def test_a_module_in_such_an_interpreter(folder):
    folder.write("package/__init__.py", "")
    folder.write("package/__main__.py", "import sys\nprint(sys.argv, __name__)"
                                        "\nsys.exit(5)")
    folder.write("start.py", f"""
        import sys
        sys.path.insert(0, {str(PACKAGE.parent)!r})
        from shmkit import _run
        sys.exit(_run.main(sys.argv[1:]))
        """)
    plain = folder.python("-E", "-m", "package", "x")
    assert_same(folder.python("-E", "start.py", "-m", "package", "x"), plain)
    for code in ("import sys; print(sys.argv); sys.exit(6)", "1 / 0"):
        plain = folder.python("-E", "-c", code, "x")
        assert_same(folder.python("-E", "start.py", "-c", code, "x"), plain)
    assert folder.python("-E", "start.py", "none.py").returncode == 2


def test_subprocesses(folder):
    folder.write("child.py", "from where import *\nprint(where())")
    folder.write("program.py", """
        import subprocess, sys
        subprocess.run([sys.executable, "child.py"])
        subprocess.run([sys.executable, "-m", "child"])
        """)
    assert folder.check(*RUN, "program.py") == OURS * 2


def test_a_subprocess_without_multiprocessing_loads_nothing(folder):
    folder.write("child.py", """
        import sys
        assert not any(name.startswith(("multiprocessing", "shmkit."))
                       for name in sys.modules if name != "shmkit._replace")
        assert not any("_startup" in path for path in sys.path)
        """)
    folder.write("program.py", """
        import subprocess, sys
        sys.exit(subprocess.run([sys.executable, "child.py"]).returncode)
        """)
    folder.check(*RUN, "program.py")


def test_the_users_own_sitecustomize_comes_too(folder):
    folder.write("site/sitecustomize.py", "print('customized', __name__)")
    path = os.pathsep.join(filter(None, [str(folder.path / "site"),
                                         os.environ.get("PYTHONPATH")]))
    folder.write("program.py", """
        import sys, sitecustomize
        from where import *
        print(where(), sitecustomize.__file__, sys.path[1].endswith("site"))
        """)
    out = folder.check(*RUN, "program.py", PYTHONPATH=path)
    # Once for the interpreter that became the program, and once for it.
    site = folder.path / "site" / "sitecustomize.py"
    assert out == "customized sitecustomize\n" * 2 + (
        f"{OURS.strip()} {site} True\n")


@pytest.mark.parametrize("version,python", sorted(
    one for one in plain_pythons().items()
    if one[0] != "%d.%d" % sys.version_info[:2]))
def test_other_pythons_stay_as_they_are(folder, version, python):
    folder.write("child.py", """
        import multiprocessing
        from multiprocessing.shared_memory import SharedMemory
        print(SharedMemory.__module__, type(multiprocessing.Lock()).__module__)
        """)
    folder.write("program.py", f"""
        import subprocess
        subprocess.run([{python!r}, "child.py"], check=True)
        """)
    assert folder.check(*RUN, "program.py") == (
        "multiprocessing.shared_memory multiprocessing.synchronize\n")


def test_patching_reaches_the_class(folder):
    """As CPython's own tests do it."""
    folder.write("program.py", """
        from unittest import mock
        from multiprocessing import shared_memory
        import multiprocessing.shared_memory
        assert multiprocessing.shared_memory is shared_memory
        with mock.patch("multiprocessing.shared_memory._make_filename",
                        return_value="/patched-name"):
            block = shared_memory.SharedMemory(create=True, size=10)
        block.unlink()
        print(block.name)
        """)
    assert folder.check(*RUN, "program.py") == "patched-name\n"


# ---- the family ----

@pytest.mark.parametrize("method", METHODS)
def test_a_block_outlives_the_child_that_made_it(folder, method):
    """Although the parent has used nothing of ours when it starts the child:
    a queue would have brought a lock."""
    folder.write("program.py", f"""
        import multiprocessing

        def make(connection):
            from multiprocessing.shared_memory import SharedMemory
            block = SharedMemory(create=True, size=10)
            block.buf[0] = 77
            connection.send(block.name)
            block.close()

        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            ours, theirs = context.Pipe()
            process = context.Process(target=make, args=(theirs,))
            process.start()
            name = ours.recv()
            process.join()
            import gc, subprocess, sys
            subprocess.run([sys.executable, "-c", "import shmkit"], check=True)
            from multiprocessing.shared_memory import SharedMemory
            print(name, SharedMemory(name).buf[0])
        """)
    name, value = folder.check(*RUN, "program.py").split()
    assert value == "77" and not exists(name)


def test_nothing_is_left_of_a_program_that_was_killed(folder):
    folder.write("program.py", """
        import os
        from multiprocessing.shared_memory import SharedMemory
        print(SharedMemory(create=True, size=10).name, flush=True)
        os.kill(os.getpid(), 9)
        """)
    done = folder.python(*RUN, "program.py")
    assert done.returncode == -signal.SIGKILL
    shmkit._core.sweep()
    assert not exists(done.stdout.strip())


# ---- libraries ----

VENDOR = '''
"""What libraries do: arrays by name, a pool, and the well-known workarounds
for the tracker."""
import os
from multiprocessing import Pool, get_context, resource_tracker
from multiprocessing import shared_memory as shm
from multiprocessing.resource_tracker import unregister
from unittest.mock import patch


class Shared:
    def __init__(self, size, name=None):
        if name is None:
            self.block = shm.SharedMemory(create=True, size=size)
        else:
            with patch("multiprocessing.resource_tracker.register",
                       lambda *args: None):
                self.block = shm.SharedMemory(name=name)
        self.size = size

    def __reduce__(self):
        return Shared, (self.size, self.block.name)


def attach(name):
    block = shm.SharedMemory(name)
    unregister(block._name, "shared_memory")
    resource_tracker.unregister("/" + block.name, "shared_memory")
    return block


def add(task):
    shared, index = task
    shared.block.buf[index] += index
    block = attach(shared.block.name)
    block.buf[100] |= 1 << index
    block.close()
    return os.getpid()


def work(method):
    shared = Shared(1000)
    with get_context(method).Pool(2) as pool:
        pids = pool.map(add, [(shared, index) for index in range(8)], 1)
    result = list(shared.block.buf[:8]), shared.block.buf[100]
    shared.block.close()
    shared.block.unlink()
    return result, os.getpid() in pids, type(shared.block).__module__
'''


@pytest.mark.parametrize("method", METHODS)
def test_a_library(folder, method):
    folder.write("vendor/__init__.py", "from .work import Shared, work")
    folder.write("vendor/work.py", VENDOR)
    folder.write("program.py", f"""
        import vendor
        if __name__ == "__main__":
            print(*vendor.work({method!r}))
        """)
    assert folder.check(*RUN, "program.py") == (
        "([0, 1, 2, 3, 4, 5, 6, 7], 255) False shmkit.shared_memory\n")


@pytest.mark.parametrize("method", METHODS)
def test_an_executor(folder, method):
    folder.write("program.py", f"""
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        from where import where

        def task(number):
            return number, where()

        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            with ProcessPoolExecutor(2, mp_context=context) as pool:
                for number, answer in pool.map(task, range(3)):
                    print(answer)
        """)
    assert folder.check(*RUN, "program.py") == OURS * 3


# ---- shmkit.install() ----

@pytest.mark.parametrize("method", METHODS)
def test_install(folder, method):
    folder.write("program.py", f"""
        import shmkit
        shmkit.install()
        shmkit.install()
        {textwrap.indent(textwrap.dedent(program(method)), " " * 8).strip()}
        """)
    assert folder.check("program.py") == OURS * 2


def test_install_replaces_what_is_loaded(folder):
    folder.write("program.py", """
        import multiprocessing.managers
        import multiprocessing.shared_memory
        import multiprocessing.synchronize
        from multiprocessing.shared_memory import SharedMemory as taken
        from multiprocessing import resource_tracker
        import shmkit
        shmkit.install()
        from where import where
        print(where())
        assert taken.__module__ == "multiprocessing.shared_memory"
        resource_tracker.unregister("/psm_none", "shared_memory")
        assert resource_tracker._resource_tracker._fd is None
        import subprocess, sys
        subprocess.run([sys.executable, "-c",
                        "from where import where; print(where())"])
        """)
    assert folder.check("program.py") == OURS * 2


def test_managers_are_replaced_whichever_comes_first(folder):
    for first in ("shmkit.managers", "multiprocessing.managers",
                  "multiprocessing.shared_memory", "multiprocessing.util",
                  "multiprocessing.pool", "shmkit.synchronize"):
        folder.write("program.py", f"""
            import {first}
            from where import where
            print(where())
            """)
        assert folder.check(*RUN, "program.py") == OURS, first


def test_the_tracker_still_keeps_what_it_is_told(folder):
    folder.write("program.py", """
        from multiprocessing import resource_tracker
        resource_tracker.register("/psm_told", "shared_memory")
        open("/dev/shm/psm_told", "w").close()
        """)
    done = folder.python(*RUN, "program.py")
    assert done.returncode == 0 and "1 leaked shared_memory" in done.stderr
    assert not exists("psm_told")


@pytest.mark.parametrize("name", _replace.OURS)
def test_the_table_names_modules_of_ours(name):
    path = PACKAGE / f"{name}.py"
    assert path.exists()
    names = _replace.OURS[name]
    if names is not _replace.WHOLE:
        module = getattr(shmkit, name)
        assert all(one in vars(module) for one in names)


# ---- the hook ----

@pytest.fixture
def environment(folder):
    """A virtual environment with the package in its site-packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "venv"],
                   cwd=folder.path, check=True)
    python = folder.path / "venv" / "bin" / "python"
    place = folder.check(
        "-c", "import sysconfig; print(sysconfig.get_path('purelib'))",
        executable=python).strip()
    shutil.copytree(PACKAGE, Path(place) / "shmkit")
    return python


CHILD = """
import subprocess, sys
code = ("from multiprocessing.shared_memory import SharedMemory;"
        "print(SharedMemory.__module__)")
for option in ("-B", "-E", "-I"):
    subprocess.run([sys.executable, option, "-c", code])
"""


def test_the_hook_reaches_isolated_subprocesses(folder, environment):
    folder.write("program.py", CHILD)
    options = dict(executable=environment, PYTHONPATH="")
    standard, ours = ("multiprocessing.shared_memory\n",
                      "shmkit.shared_memory\n")
    assert folder.check(*RUN, "program.py", **options) == (
        ours + standard * 2)
    hook = ["-m", "shmkit", "hook"]
    assert "is not there" in folder.check(*hook, **options)
    assert "is there" in folder.check(*hook, "install", **options)
    assert folder.check(*RUN, "program.py", **options) == ours * 3
    assert folder.check("-I", *RUN, "program.py", **options) == ours * 3
    assert folder.check("program.py", **options) == standard * 3
    assert "is not there" in folder.check(*hook, "remove", **options)
    assert folder.python(*hook, "nonsense", **options).returncode == 2


# ---- the seeds' programs, with their own words ----

NAMES = ("create_and_attach", "share_numpy_array", "write_safely",
         "own_cleanup", "partitioned_image", "old_session_low_level",
         "old_session_numpy")
GUARD = 'if __name__ == "__main__":\n'


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("name", NAMES)
def test_seeds_unmodified(folder, name, method):
    pytest.importorskip("numpy")
    text = (SEEDS / f"{name}.py").read_text()
    head, quote, code = text.partition('"""\n')
    code = re.sub(r"\bshmkit\b", "multiprocessing", code)
    if GUARD in code:
        code = code.replace(GUARD, GUARD + (
            "    import multiprocessing as mp\n"
            f"    mp.set_start_method({method!r})\n"))
    assert "shmkit" not in code
    folder.write("program.py", head + quote + code)
    shutil.copytree(SEEDS, folder.path / "seeds", dirs_exist_ok=True)
    plain = folder.check(str(SEEDS / f"{name}.py"))
    assert folder.check(*RUN, "program.py") == plain
