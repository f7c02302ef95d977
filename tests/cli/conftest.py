# SPDX-License-Identifier: MIT
"""The tool under test, and a /dev/shm that belongs to the tests.

The tests count what is in /dev/shm and sweep it, so they run with a tmpfs of
their own there: the pytest process moves to a new mount namespace before the
first test.  A test that leaves an entry behind fails.

SHMKIT_TOOL names the tool; without it, build/cli/shmkit of the source tree.
SHMKIT_TOOL_FAULT names one with fault points (-Dfault_points=true), where the
kernel can be made to refuse; without it, the tests that need one are skipped.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SHM = Path("/dev/shm")
ROOT = Path(__file__).resolve().parents[2]
TOOL = os.environ.get("SHMKIT_TOOL", str(ROOT / "build" / "cli" / "shmkit"))
TOOL_FAULT = os.environ.get("SHMKIT_TOOL_FAULT")
TIMEOUT = 120 * int(os.environ.get("T_TIMEOUT_FACTOR", "1"))

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18


def private_shm():
    """Put an empty tmpfs at /dev/shm, for this process and its children."""
    libc = ctypes.CDLL(None, use_errno=True)

    def check(result, what):
        if result != 0:
            error = ctypes.get_errno()
            raise OSError(error, f"{what}: {os.strerror(error)}")

    uid, gid = os.getuid(), os.getgid()
    user = 0 if uid == 0 else CLONE_NEWUSER
    check(libc.unshare(CLONE_NEWNS | user), "unshare")
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "mount /")
    check(
        libc.mount(b"tmpfs", bytes(SHM), b"tmpfs", 0, b"size=2g,mode=1777"),
        "mount /dev/shm",
    )


@pytest.fixture(scope="session", autouse=True)
def own_shm():
    try:
        private_shm()
    except OSError as error:
        pytest.skip(f"no private /dev/shm: {error}")


@pytest.fixture(autouse=True)
def nothing_left(own_shm):
    assert os.listdir(SHM) == []
    yield
    left = sorted(os.listdir(SHM))
    for name in left:
        subprocess.run(["rm", "-rf", "--", SHM / name], check=True)
    assert left == [], "left in /dev/shm"


class Result:
    """How the tool ended."""

    def __init__(self, done):
        self.code = done.returncode
        self.out = os.fsdecode(done.stdout or b"")
        self.err = os.fsdecode(done.stderr or b"")

    def __repr__(self):
        return f"<{self.code} out={self.out!r} err={self.err!r}>"


def environment(**more):
    env = {k: v for k, v in os.environ.items() if not k.startswith("SHMKIT_F")}
    return {**env, "LC_ALL": "C.UTF-8", "TZ": "UTC", **more}


def run(*args, input=b"", env=None, **keywords):
    """Run the tool; input and output are bytes, or files by keyword."""
    if "stdin" not in keywords:
        keywords["input"] = input
    keywords.setdefault("stdout", subprocess.PIPE)
    keywords.setdefault("stderr", subprocess.PIPE)
    command = [keywords.pop("tool", TOOL), *args]
    env = environment(**(env or {}))
    return Result(
        subprocess.run(command, env=env, timeout=TIMEOUT, **keywords)
    )


def ok(*args, **keywords):
    """Run the tool, which must succeed and say nothing on stderr."""
    result = run(*args, **keywords)
    assert (result.code, result.err) == (0, ""), result
    return result.out


def blocks(*args, **keywords):
    """ls --json, as a dict by name."""
    listed = json.loads(ok("ls", "--json", *args, **keywords))["blocks"]
    assert [b["name"] for b in listed] == sorted(b["name"] for b in listed)
    return {b["name"]: b for b in listed}


class Holder:
    """The tool, holding a block beside `cat` until stop() or kill()."""

    def __init__(self, name, lifetime, size="64K"):
        self.process = subprocess.Popen(
            [TOOL, "create", name, "--size", size]
            + ["--lifetime", lifetime, "--", "cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
        )
        self.pid = self.process.pid
        # An echo proves that COMMAND runs, so that the block is there.
        self.process.stdin.write(b"ready\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == b"ready\n"

    def stop(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(TIMEOUT)

    def kill(self):
        """SIGKILL: nobody is left to remove the block."""
        self.process.send_signal(signal.SIGKILL)
        assert self.stop() == -signal.SIGKILL

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.stop()


@contextlib.contextmanager
def started(command, **keywords):
    """A process that is killed at the end, whatever the test met."""
    with subprocess.Popen(command, **keywords) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


PLAIN = """
import sys
from multiprocessing import resource_tracker, shared_memory
create = sys.argv[2] != "0"
block = shared_memory.SharedMemory(sys.argv[1], create, int(sys.argv[2]))
resource_tracker.unregister(block._name, "shared_memory")
block.buf[:5] = b"plain"
print("ready", flush=True)
sys.stdin.read()
block.close()
"""


class Plain:
    """A plain CPython process that has a block mapped; size 0 attaches."""

    def __init__(self, name, size=0):
        self.process = subprocess.Popen(
            [sys.executable, "-c", PLAIN, name, str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.pid = self.process.pid
        assert self.process.stdout.readline() == b"ready\n"

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(TIMEOUT) == 0


def wait_until(condition, what):
    """Poll: a slow machine makes this longer, never wrong."""
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.01)
