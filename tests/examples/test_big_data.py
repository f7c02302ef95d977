# SPDX-License-Identifier: MIT
"""The programs of docs/big-data.md do what the page says, at a small size.

A fenced program begins with a comment that is its file name.  All of them are
written into one folder with a small weights.bin, and run as a reader would:
fill.sh first, then others beside the block that it made.
"""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

MIB = 1 << 20
SIZE = 24 * MIB  # twelve 2 MiB pages; 10240 on the page
ROWS = SIZE // 4096
PROGRAM = re.compile(r"^```(sh|c|python)\n(?:# |/\* )([\w.]+)(.*?)^```",
                     re.MULTILINE | re.DOTALL)  # fmt: skip


def programs(root):
    """{file name: text}"""
    text = (root / "docs" / "big-data.md").read_text(encoding="utf-8")
    found = {}
    for match in PROGRAM.finditer(text):
        language, name, _ = match.groups()
        assert name not in found, name
        begin = len(f"```{language}\n")
        found[name] = match[0][begin : -len("```")]
    return found


@pytest.fixture
def weights(tmp_path):
    """Rows of 1024 numbers: row r is full of r."""
    array = np.repeat(np.arange(ROWS, dtype="f4"), 1024)
    array.tofile(tmp_path / "weights.bin")
    return array.reshape(ROWS, 1024)


@pytest.fixture
def page(run, root, build, tmp_path, weights):
    """page(command, ...): run what a shell would run, in one /dev/shm."""
    for name, text in programs(root).items():
        (tmp_path / name).write_text(text)
    (tmp_path / "python3").symlink_to(sys.executable)

    def shell(*commands):
        path = f"{tmp_path}:{build / 'cli'}:{os.environ['PATH']}"
        return run(
            ["env", f"PATH={path}", f"WEIGHTS_MIB={SIZE // MIB}",
             f"LD_LIBRARY_PATH={build / 'src'}",
             "sh", "-e", "-c", "\n".join(commands)]
        )  # fmt: skip

    return shell


def assert_clean(result):
    assert result.returncode == 0, result.out + result.err
    assert result.err == ""
    assert result.left == []


def assert_ten_sums(out, weights):
    """"PART SUM" ten times, in any order: each process's tenth of the rows."""
    expected = {
        (part, float(rows.sum(dtype="f8")))
        for part, rows in enumerate(np.array_split(weights, 10))
    }
    lines = [line.split() for line in out.splitlines()]
    assert {(int(part), float(total)) for part, total in lines} == expected
    assert len(lines) == 10


def test_every_program_is_run(root):
    with open(__file__, encoding="utf-8") as file:
        tests = file.read()
    names = programs(root)
    assert len(names) >= 6
    for name in names:
        assert f'"{name}"' in tests or f" {name}" in tests, name


def test_every_fenced_program_has_a_name(root):
    text = (root / "docs" / "big-data.md").read_text(encoding="utf-8")
    fences = re.findall(r"^```(?:sh|c|python)$", text, re.MULTILINE)
    assert len(fences) == len(programs(root))


def test_filled_by_the_tool_used_by_ten(page, weights):
    result = page(
        "sh fill.sh >listed",
        "python3 ten.py",
        "cat listed >&2",
        "shmkit cat weights | cmp - weights.bin",
        "shmkit rm weights >removed",
    )
    assert result.returncode == 0, result.err
    assert result.left == []
    assert re.search(r"weights +24M", result.err)
    assert_ten_sums(result.out, weights)


def test_made_by_the_program_itself(page, weights):
    result = page("python3 own.py")
    assert_clean(result)
    assert_ten_sums(result.out, weights)


def test_part(page, weights):
    result = page("sh fill.sh >listed", "python3 part.py 3",
                  "shmkit rm weights >removed")  # fmt: skip
    assert_clean(result)
    rows = np.array_split(weights, 10)[3]
    mapped, total = result.out.split()
    assert int(mapped) == rows.nbytes < SIZE
    assert float(total) == float(rows.sum(dtype="f8"))


def test_private_changes_stay_private(page, weights):
    result = page(
        "sh fill.sh >listed",
        "python3 private.py",
        "shmkit cat weights | cmp - weights.bin",
        "shmkit rm weights >removed",
    )
    assert_clean(result)
    assert result.out == "mine: -1.0, theirs: 1.0\n"


def test_placement_or_the_reason_why_not(page):
    result = page("python3 place.py")
    assert_clean(result)
    assert re.fullmatch(
        r"(locked and interleaved|locked: \w.*|plain: \w.*)\n"
        r"\d+ of 24 MiB on 2 MiB pages\n",
        result.out,
    ), result.out


def test_c_program(page, root, build, weights, tmp_path):
    if shutil.which("pkg-config") is None or shutil.which("cc") is None:
        pytest.skip("no pkg-config or no compiler here")
    (tmp_path / "part.c").write_text(programs(root)["part.c"])
    environment = dict(
        os.environ, PKG_CONFIG_PATH=str(build / "meson-uninstalled")
    )
    made = subprocess.run(
        "cc -Wall -Wextra -Werror part.c -o part-c "
        "$(pkg-config --cflags --libs shmkit)",
        shell=True,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    result = page("sh fill.sh >listed", "./part-c 3",
                  "shmkit rm weights >removed")  # fmt: skip
    assert_clean(result)
    rows = np.array_split(weights, 10)[3]
    assert float(result.out) == float(rows.sum(dtype="f8"))


def test_no_room_is_an_error_and_leaves_nothing(page, run):
    if run.private is None:
        pytest.skip("no private mount namespace here")
    page_run = run.start
    run.start = lambda command, **how: page_run(command, shm="16m", **how)
    result = page("sh fill.sh")
    assert result.returncode != 0
    assert "weights" in result.err
    assert result.left == []
