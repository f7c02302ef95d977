# SPDX-License-Identifier: MIT
"""Every example runs, says what it should, is short, and leaves nothing."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "examples"
RECIPES = [
    "create_attach",
    "share_array",
    "typed_array",
    "write_safely",
    "own_cleanup",
    "partitioned_image",
    "recursive_lock",
    "limit_access",
    "named_lock",
    "count_unsafely",
    "count_safely",
    "shared_metrics",
    "typed_values",
]
ATOMS = "7: 0 1 2\n8: 3 4 5\n"  # in C and in Python
GRAY = "0 of 4 workers failed, sum 115311858\n"  # in C and in Python

C_OUTPUT = {
    "create_attach": "Hello from Process A!\n",
    "share_array": "0 2 4 6\n4 5 6 7\n8 9 10 11\n",
    "typed_array": ATOMS,
    "write_safely": "200100\n",
    "own_cleanup": "family: still there\nholders: gone\n"
    "persistent: still there\n",
    "partitioned_image": GRAY,
    "recursive_lock": "40000\n",
    "limit_access": "never more than two\n",
    "named_lock": "got it\nbusy\n",
    "count_unsafely": "updates were lost\n",
    "count_safely": "102 2000000\n",
    "shared_metrics": "400 of 400 tasks, 40 errors\n",
    "typed_values": "bool 1 1\nint8 1 ff\nint16 2 ffff\nint32 4 ffffffff\n"
    "int64 8 ffffffffffffffff\nuint8 1 ff\nuint16 2 ffff\n"
    "uint32 4 ffffffff\nuint64 8 ffffffffffffffff\nfloat 4 ffffffff\n"
    "double 8 ffffffffffffffff\nchar 1 ff\nwchar 4 ffffffff\n",
}
PYTHON_OUTPUT = {
    "create_attach": "Hello from Process A!\n",
    "share_array": "[[ 0.  2.  4.  6.]\n [ 4.  5.  6.  7.]\n"
    " [ 8.  9. 10. 11.]]\n",
    "typed_array": ATOMS,
    "write_safely": "10100\n",
    "own_cleanup": "family: still there\nholders: gone\n"
    "persistent: still there\nmanaged: still there\nmanaged, after: gone\n",
    "partitioned_image": GRAY,
    "recursive_lock": "4000\n",
    "limit_access": "never more than two\n",
    "named_lock": "got it\nbusy\n",
    "count_unsafely": "updates were lost\n",
    "count_safely": "102 2000000\n",
    "shared_metrics": "25 % done\n50 % done\n75 % done\n100 % done\n"
    "400 of 400 tasks, 40 errors\n",
    "typed_values": "c_byte 1 6\nc_ubyte 1 6\nc_short 2 6\nc_ushort 2 6\n"
    "c_int 4 6\nc_uint 4 6\nc_long 8 6\nc_ulong 8 6\nc_long 8 6\n"
    "c_ulong 8 6\nc_float 4 6.0\nc_double 8 6.0\nc_char 1 b'x'\n"
    "c_bool 1 True\nPoint 2 5.0\nArray [0.0, 2.0, 4.0, 6.0, 8.0]\n",
}

# What the seeds' programs print; a pattern where they print times or a race.
SEEDS = {
    "create_and_attach": r"Hello from Process A!\n",
    "share_numpy_array": r"\[\[0\.0, 2\.0, 4\.0, 6\.0\], "
    r"\[4\.0, 5\.0, 6\.0, 7\.0\], \[8\.0, 9\.0, 10\.0, 11\.0\]\]\n",
    "write_safely": r"102\n",
    "own_cleanup": r"b'ready'\ngone\n",
    "partitioned_image": r"\(481, 640, 3\) True\n",
    "old_session_low_level": r"15 lines, 0 wrong\n",
    "old_session_numpy": r"23 lines, 0 wrong, second shell 0\n",
    "shared_values": r"0\n42\n",
    "shared_arrays": r"1\n\[1, 99, 3, 4, 5\]\n",
    "unsafe_increment": r"Counter: (1\d{6}|2000000)\n",
    "safe_increment": r"Counter: 2000000\n",
    "value_against_queue": r"Shared memory: [\d.]+ ms\nQueue: [\d.]+ ms\n"
    r"Speedup: [\d.]+x\n",
    "shared_metrics": r"(Progress: \d+/400 tasks, \d+ errors\n)+"
    r"All workers finished\n",
    "reentrant_lock": r"Outer acquired lock, value=0\n"
    r"Inner acquired lock, value=0\n",
    "semaphore": r"(Process \d (waiting\.\.\.|exiting|"
    r"entered \(timestamp: [\d.]+\))\n){15}",
    "manager": r"\{'worker_result': 42\}\n\['item from worker'\]\n",
}


def assert_clean(result):
    assert result.returncode == 0, result.err
    assert result.err == ""
    assert result.left == []


@pytest.mark.parametrize("name", RECIPES)
def test_c_example(run, build, name):
    result = run([build / "examples" / "c" / name])
    assert_clean(result)
    assert result.out == C_OUTPUT[name]


@pytest.mark.parametrize("name", RECIPES)
def test_python_example(run, name):
    result = run.python(EXAMPLES / "python" / f"{name}.py")
    assert_clean(result)
    assert result.out == PYTHON_OUTPUT[name]


@pytest.mark.parametrize("writer", ["c", "python"])
@pytest.mark.parametrize("reader", ["c", "python"])
def test_typed_arrays_from_either_language_to_either(
        run, build, writer, reader):
    programs = {
        "c": str(build / "examples" / "c" / "typed_array"),
        "python": f"{sys.executable} {EXAMPLES / 'python'}/typed_array.py",
    }
    script = f"{programs[writer]} write && {programs[reader]} read"
    result = run(["sh", "-c", script])
    assert_clean(result)
    assert result.out == ATOMS


def test_every_example_is_run_and_short():
    for folder, ending in (("c", ".c"), ("python", ".py")):
        files = sorted((EXAMPLES / folder).glob("*" + ending))
        assert {file.stem for file in files} == set(RECIPES)
        for file in files:
            assert len(file.read_text().splitlines()) < 60, file


@pytest.mark.parametrize("name", SEEDS)
def test_seed_program(run, name):
    result = run.python(HERE / "seeds" / f"{name}.py")
    assert_clean(result)
    assert re.fullmatch(SEEDS[name], result.out), result.out


def test_every_seed_program_is_run_and_uses_shmkit_alone():
    files = sorted((HERE / "seeds").glob("*.py"))
    assert {file.stem for file in files} == set(SEEDS)
    for file in files:
        code = file.read_text().split('"""', 2)[2]
        assert "multiprocessing" not in code, file


def test_semaphore_lets_two_in_at_once(run):
    """Each stays a second: the third after any enters at least one later."""
    out = run.python(HERE / "seeds" / "semaphore.py").out
    entered = sorted(map(float, re.findall(r"timestamp: ([\d.]+)", out)))
    assert len(entered) == 5
    for first, third in zip(entered, entered[2:]):
        assert third - first > 0.99


def test_makefile_builds_by_pkg_config(run, build, tmp_path):
    if shutil.which("pkg-config") is None or shutil.which("make") is None:
        pytest.skip("no pkg-config or no make here")
    libraries = build / "src"
    made = subprocess.run(
        ["make", "-C", EXAMPLES / "c", f"OUT={tmp_path}",
         f"LDFLAGS=-Wl,-rpath,{libraries}"],
        env=dict(run.environment(),
                 PKG_CONFIG_PATH=str(build / "meson-uninstalled")),
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    result = run([tmp_path / "create_attach"])
    assert_clean(result)
    assert result.out == C_OUTPUT["create_attach"]
