# SPDX-License-Identifier: MIT
"""The demo does its job, and ends well when it cannot.

Small pictures and short shows: what is tested is the order of events and what
is left, never a time.
"""

import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def demo(run, root, build):
    """The command line of a short demo, to which a test adds."""
    return [
        sys.executable,
        root / "examples" / "demo" / "demo.py",
        "--worker",
        build / "examples" / "demo" / "gray_worker",
        "--tool",
        build / "cli" / "shmkit",
        "--size",
        "256",
        "--watch",
        "0.5",
    ]


@pytest.fixture
def photo(tmp_path):
    """A small picture of noise: no two rows alike."""
    random = np.random.default_rng(7)
    pixels = random.integers(0, 256, (90, 160, 3), dtype=np.uint8)
    path = tmp_path / "noise.png"
    Image.fromarray(pixels).save(path)
    return path


def pillow_gray(path, size):
    """What Pillow alone makes of a picture of at least 256 x 256."""
    with Image.open(path) as image:
        return image.convert("RGB").resize(size, 3).convert("L")


def assert_done(result):
    assert result.returncode == 0, result.out + result.err
    assert result.err == ""
    assert result.left == []
    assert "bytes equal the single-process result" in result.out
    assert "is left" in result.out


def assert_failed(result, *words):
    """One clear line, a status, and nothing left."""
    assert result.returncode == 1, result.out
    assert result.left == []
    lines = result.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("demo: "), result.err
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize("victim", ["A", "Q"])
def test_killed_worker_is_replaced_in_the_middle_of_a_strip(
    run, demo, photo, victim, tmp_path
):
    result = run([*demo, "--kill", victim, "--no-timing", photo])
    assert_done(result)
    out = " ".join(result.out.split())
    killed = re.search(
        rf"worker {victim} \(\w+, (\d+)\) by SIGKILL inside strip (\d+): "
        r"(\d+) of its (\d+) rows",
        out,
    )
    assert killed, result.out
    pid, strip, done, rows = map(int, killed.groups())
    assert 0 < done < rows
    again = re.search(
        r"strip (\d+), all (\d+) rows, by worker \w \(\w+, (\d+)\)", out
    )
    assert int(again[1]) == strip and int(again[2]) == rows
    assert int(again[3]) != pid

    with Image.open(tmp_path / "build/demo/noise-grey.png") as gray:
        assert gray.size == (342, 193)
        assert gray.mode == "L"
        expected = pillow_gray(photo, gray.size)
        assert gray.tobytes() == expected.tobytes()


def test_default_photograph_with_timing(run, demo, tmp_path):
    result = run(demo)
    assert_done(result)
    for label in (
        "multiprocessing.Queue",
        "multiprocessing.shared_memory",
        "shmkit.shared_memory",
        "shmkit, 2 C and 2 Python",
        "one process, NumPy",
    ):
        assert re.search(rf"^ +{label} +\d+ ms", result.out, re.M), label
    assert "every result equal to the last byte" in result.out
    made = r"^ +(\S+)\.shared_memory.*\d x +\d+ ms +[\d.]+ x +\d+ ms$"
    assert re.findall(made, result.out, re.M) == ["multiprocessing", "shmkit"]
    assert (tmp_path / "build/demo/astronaut-grey.png").exists()


def test_at_full_speed_nobody_need_be_met(run, demo, photo):
    result = run([*demo, "--watch", "0", "--no-timing", photo])
    assert_done(result)


def test_nobody_killed(run, demo, photo):
    result = run([*demo, "--kill", "none", "--no-timing", photo])
    assert_done(result)
    assert "SIGKILL" not in result.out


def test_jpeg_right_way_up(run, demo, tmp_path):
    """Exif says: turned by a quarter."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.linear_gradient("L").convert("RGB").resize((400, 300))
    picture.save(tmp_path / "turned.jpg", exif=exif)
    output = tmp_path / "out" / "gray.png"
    result = run(
        [*demo, "--no-timing", "--output", output, tmp_path / "turned.jpg"]
    )
    assert_done(result)
    with Image.open(output) as gray:
        assert gray.size == (300, 400)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_every_kind_of_png(run, demo, mode, tmp_path):
    Image.new(mode, (300, 300)).save(tmp_path / "kind.png")
    result = run(
        [*demo, "--no-timing", "--watch", "0", tmp_path / "kind.png"]
    )
    assert_done(result)


def test_one_row_high(run, demo, tmp_path):
    Image.new("RGB", (70000, 1), "red").save(tmp_path / "row.png")
    result = run([*demo, "--no-timing", tmp_path / "row.png"])
    assert_done(result)


def test_no_such_file(run, demo):
    assert_failed(run([*demo, "nowhere.png"]), "nowhere.png", "no such file")


def test_no_picture(run, demo, tmp_path):
    (tmp_path / "text.png").write_text("this is no picture\n" * 100)
    result = run([*demo, tmp_path / "text.png"])
    assert_failed(result, "text.png", "no PNG or JPEG")


def test_cut_picture(run, demo, photo):
    whole = photo.read_bytes()
    photo.write_bytes(whole[: len(whole) // 2])
    assert_failed(run([*demo, photo]), "noise.png")


@pytest.mark.parametrize("seed", range(4))
def test_damaged_picture(run, demo, photo, seed):
    """Whatever the decoder makes of it, there is an end and a sentence."""
    random = np.random.default_rng(seed)
    whole = bytearray(photo.read_bytes())
    for place in random.integers(8, len(whole), 40):
        whole[place] ^= int(random.integers(1, 256))
    photo.write_bytes(whole)
    result = run([*demo, "--no-timing", "--watch", "0", photo])
    if result.returncode:
        assert_failed(result, "noise.png")
    else:
        assert_done(result)


def test_folder_instead_of_a_picture(run, demo, tmp_path):
    assert_failed(run([*demo, tmp_path]), "Is a directory")


def test_result_cannot_be_written(run, demo, photo):
    result = run([*demo, "--output", "/proc/none/gray.png", photo])
    assert_failed(result, "/proc/none/gray.png", "cannot write")


def test_all_workers_killed(run, demo, photo):
    result = run([*demo, "--kill", "all", photo])
    assert_failed(result, "no worker is left")


def test_workers_that_do_not_start(run, demo, photo, tmp_path):
    """The C workers end at once; those in Python do all of it."""
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho I am broken >&2\nexit 3\n")
    broken.chmod(0o755)
    result = run([*demo, "--no-timing", "--worker", broken, photo])
    assert_done(result)
    assert result.out.count("I am broken") == 2


def test_wrong_rows_are_noticed(run, demo, photo, root, tmp_path):
    """A worker that says done and did something else."""
    liar = tmp_path / "liar"
    liar.write_text(
        f"#!{sys.executable}\n"
        f"import sys; sys.path.insert(0, {str(root / 'examples/demo')!r})\n"
        "import gray; gray.gray_rows = lambda rgb, out: out.fill(1)\n"
        "gray.work(sys.stdin, sys.stdout)\n"
    )
    liar.chmod(0o755)
    result = run([*demo, "--no-timing", "--worker", liar, photo])
    assert_failed(result, "WRONG")
    assert not (tmp_path / "build/demo/noise-grey.png").exists()


def test_worker_program_missing(run, demo, photo):
    result = run([*demo, "--worker", "/no/such/worker", photo])
    assert_failed(result, "/no/such/worker", "build")


def test_small_dev_shm(run, demo, photo):
    if run.private is None:
        pytest.skip("no private mount namespace here")
    result = run([*demo, photo], shm="64k")
    assert_failed(result, "no room in /dev/shm", "--size")


@pytest.mark.parametrize("pages", [65, 66, 67, 68, 70])
def test_dev_shm_full_at_any_moment(run, demo, photo, pages):
    """342 * 193 pixels are 65 pages: the block, the books, or all fit."""
    if run.private is None:
        pytest.skip("no private mount namespace here")
    result = run([*demo, "--watch", "0", photo], shm=f"{pages * 4}k")
    if result.returncode:
        assert_failed(result, "no room in /dev/shm")
    else:
        assert_done(result)


@pytest.mark.parametrize("module", ["PIL", "numpy", "shmkit"])
def test_module_missing(run, demo, module, tmp_path):
    text = f"raise ImportError('no {module}', name='{module}')\n"
    (tmp_path / f"{module}.py").write_text(text)
    run.path.insert(0, tmp_path)
    assert_failed(run(demo), module)


def workers_of(process):
    """Pids of the gray workers below a process."""
    seen = subprocess.run(
        ["ps", "-o", "pid=,args=", "-s", str(process.pid)],
        capture_output=True,
        text=True,
    )
    return [
        int(line.split()[0])
        for line in seen.stdout.splitlines()
        if re.search(r"gray_worker$|gray\.py$", line)
    ]


def pid_of_demo(process):
    """The demo itself, below the shell that made its /dev/shm."""
    seen = subprocess.run(
        ["ps", "-o", "pid=,args=", "-s", str(process.pid)],
        capture_output=True,
        text=True,
    )
    for line in seen.stdout.splitlines():
        pid, program = line.split(None, 2)[:2]
        if program == sys.executable and "demo.py" in line:
            return int(pid)
    return None


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_signal(run, demo, photo, until, sent):
    """Ctrl-C goes to the whole group, workers and all, as from a terminal."""
    process = run.start([*demo, "--watch", "30", photo])
    until(lambda: len(workers_of(process)) == 4)
    os.killpg(process.pid, sent)
    result = run.finish(process)
    assert result.returncode == 128 + sent
    assert result.left == []
    assert "Traceback" not in result.err
    assert workers_of(process) == []


def test_stopped_while_timing(run, demo, photo):
    process = run.start([*demo, "--watch", "0", "--size", "2048", photo])
    for line in process.stdout:
        if "sent to four workers" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    result = run.finish(process)
    assert result.returncode == 128 + signal.SIGINT
    assert result.left == []
    assert "Traceback" not in result.err


def test_driver_killed(run, demo, photo, until, build, tmp_path):
    """SIGKILL for the driver: its workers end, and the last one cleans up.

    What may stay is the register of the driver's family, for the next sweep.
    """
    script = '"$@"; s=$?; read go; ls /dev/shm >seen; "$tool" gc; exit $s'
    process = run.start(
        ["env", f"tool={build / 'cli' / 'shmkit'}", "sh", "-c", script, "sh",
         *demo, "--watch", "30", photo],
        stdin=subprocess.PIPE,
    )  # fmt: skip
    until(lambda: len(workers_of(process)) == 4)
    for line in process.stdout:
        if line.startswith("rows") or line.startswith("workers"):
            break
    os.kill(pid_of_demo(process), signal.SIGKILL)
    until(lambda: workers_of(process) == [])
    print(file=process.stdin, flush=True)
    result = run.finish(process)
    assert result.returncode == 128 + signal.SIGKILL
    seen = (tmp_path / "seen").read_text().split()
    assert [name for name in seen if not name.startswith("shmkit-")] == []
    assert result.left == []
