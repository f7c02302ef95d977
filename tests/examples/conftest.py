# SPDX-License-Identifier: MIT
"""Runs programs with a /dev/shm of their own, and tells what they left in it.

Where a private mount namespace is permitted (root, or user namespaces), each
run gets an empty tmpfs of the size it asks for; what is there at its end was
left by it.  Elsewhere the names before and after are compared.

SHMKIT_BUILD is the build directory, default build.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("SHMKIT_BUILD", "build")

# SIGINT and SIGTERM are caught, so that the shell outlives the program and
# the program, for which a caught signal is an ordinary one again, does not.
SCRIPT = """
trap : INT TERM
mount -t tmpfs -o size="$1",mode=1777 tmpfs /dev/shm || exit 125
left=$2
shift 2
"$@"
status=$?
ls -A /dev/shm >"$left"
exit $status
"""


class Run(NamedTuple):
    returncode: int
    out: str
    err: str
    left: list


def namespace_command():
    """How to get a private mount namespace, or None."""
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = ["unshare", "--mount", *as_root]
    script = "mount -t tmpfs tmpfs /dev/shm"
    try:
        probe = subprocess.run(
            [*command, "sh", "-c", script], capture_output=True
        )
    except FileNotFoundError:
        return None
    return None if probe.returncode else command


class Runner:
    def __init__(self, folder):
        self.folder = folder
        self.private = namespace_command()
        self.path = [BUILD / "python"]

    def environment(self):
        env = dict(os.environ)
        env["PYTHONPATH"] = os.pathsep.join(map(str, self.path))
        env.pop("SHMKIT_FAMILY", None)
        env.pop("PYTHONUNBUFFERED", None)  # a line is one write
        return env

    def start(self, command, shm="512m", **how):
        """A process of its own session, whose /dev/shm is `shm` large."""
        command = [str(word) for word in command]
        self.list = self.folder / "left"
        if self.private is not None:
            script = ["sh", "-c", SCRIPT, "sh", shm, str(self.list)]
            command = [*self.private, *script, *command]
        self.before = set(os.listdir("/dev/shm"))
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.environment(),
            start_new_session=True,
            **how,
        )

    def finish(self, process, timeout=120):
        """Its Run.  A process that does not end in time is a failure."""
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            pytest.fail(f"no end after {timeout} s:\n{out}\n{err}")
        if self.private is not None:
            left = self.list.read_text().split()
        else:
            left = sorted(set(os.listdir("/dev/shm")) - self.before)
        return Run(process.returncode, out, err, left)

    def __call__(self, command, **how):
        return self.finish(self.start(command, **how))

    def python(self, *words, **how):
        return self([sys.executable, *words], **how)


@pytest.fixture
def run(tmp_path):
    return Runner(tmp_path)


@pytest.fixture
def root():
    return ROOT


@pytest.fixture
def build():
    return BUILD


@pytest.fixture
def until():
    """until(what) waits for it, with a watchdog instead of a time-out."""

    def wait(what, seconds=60):
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, "the watchdog barked"
            time.sleep(0.02)

    return wait
