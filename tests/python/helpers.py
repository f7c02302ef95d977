# SPDX-License-Identifier: MIT
"""What several tests share: other interpreters, waiting, and processes."""

import glob
import os
import subprocess
import sys
import time

PATIENCE = 60  # seconds to wait for something that takes milliseconds


def run_python(code, *arguments, python=None, plain=False, **options):
    """Run code in a fresh interpreter; `plain` without shmkit on its path."""
    env = dict(os.environ)
    if plain:
        env.pop("PYTHONPATH", None)
    return subprocess.run(
        [python or sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True, text=True, timeout=PATIENCE, env=env, **options)


def check_python(code, *arguments, **options):
    """Its standard output; AssertionError when it fails or warns."""
    done = run_python(code, *arguments, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def wait_for(condition, what="condition"):
    """Poll until it holds: for things another process does."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.005)
    raise AssertionError(f"waited {PATIENCE} s for {what}")


def exists(name):
    return os.path.exists(f"/dev/shm/{name}")


def plain_pythons():
    """Interpreters to play the plain CPython: {version: path}."""
    found = {}
    home = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    paths = ["/usr/bin/python3",
             *sorted(glob.glob(os.path.join(home, "versions/*/bin/python3")))]
    code = ("import sys; from multiprocessing import shared_memory;"
            "print('%d.%d' % sys.version_info[:2])")
    for path in filter(os.path.exists, paths):
        done = run_python(code, python=path, plain=True)
        if done.returncode == 0:
            found.setdefault(done.stdout.strip(), path)
    return found


def inode_of(name):
    return os.stat(f"/dev/shm/{name}").st_ino


def mapped(inode):
    """How often this process has the block of that inode mapped.  By inode:
    a block is linked after it was mapped, and maps shows it nameless."""
    count = 0
    with open("/proc/self/maps") as maps:
        for line in maps:
            fields = line.split(maxsplit=5)
            count += fields[4] == str(inode) and "/dev/shm" in line
    return count
