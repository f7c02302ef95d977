# SPDX-License-Identifier: MIT
"""usage: propagation.py METHOD

The family must travel from parent to child to grandchild under one start
method.  The grandchild makes a block; parent and child are then killed at
once with SIGKILL, while others sweep.  The block must stay as long as the
grandchild lives, and go after it has been killed as well.

Needs nothing but the standard library and shmkit, so that it runs on each
Python found.  Exit status 0 and "ok", or a reason and 1.
"""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time

PATIENCE = 60
SWEEP = "import shmkit; shmkit._core.sweep()"


def publish(folder, name, fact):
    """Write a fact where others wait for it; never seen half written."""
    path = os.path.join(folder, name)
    with open(path + ".new", "w") as file:
        json.dump(fact, file)
    os.rename(path + ".new", path)


def await_fact(folder, name):
    path = os.path.join(folder, name)
    end = time.monotonic() + PATIENCE
    while not os.path.exists(path):
        if time.monotonic() > end:
            raise SystemExit(f"waited {PATIENCE} s for {name}")
        time.sleep(0.005)
    with open(path) as file:
        return json.load(file)


def sleep_for_ever():
    while True:
        time.sleep(1)


def grandchild(folder):
    from shmkit import _core
    from shmkit.shared_memory import SharedMemory
    block = SharedMemory(create=True, size=10)
    block.buf[0] = 123
    block.close()
    publish(folder, "grandchild", [os.getpid(), _core.family_get_id(),
                                   block.name])
    await_fact(folder, "elders are dead")
    again = SharedMemory(block.name)
    publish(folder, "seen", again.buf[0])
    sleep_for_ever()


def child(folder, method):
    from shmkit import _core
    context = multiprocessing.get_context(method)
    process = context.Process(target=grandchild, args=(folder,))
    process.start()
    publish(folder, "child", [os.getpid(), _core.family_get_id()])
    sleep_for_ever()


def parent(folder, method):
    from shmkit import _core
    context = multiprocessing.get_context(method)
    process = context.Process(target=child, args=(folder, method))
    process.start()
    publish(folder, "parent", [os.getpid(), _core.family_get_id()])
    sleep_for_ever()


def sweep():
    subprocess.run([sys.executable, "-c", SWEEP], check=True)


def check(folder, method):
    """None, or what is wrong."""
    elder = subprocess.Popen([sys.executable, __file__, method, folder])
    parent_pid, family = await_fact(folder, "parent")
    child_pid, child_family = await_fact(folder, "child")
    pid, own_family, name = await_fact(folder, "grandchild")
    os.kill(parent_pid, signal.SIGKILL)
    os.kill(child_pid, signal.SIGKILL)
    elder.wait()
    sweep()
    publish(folder, "elders are dead", True)
    there = os.path.exists(f"/dev/shm/{name}")
    seen = await_fact(folder, "seen") if there else None
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + PATIENCE
    while os.path.exists(f"/dev/shm/{name}") and time.monotonic() < end:
        sweep()
    if {child_family, own_family} != {family}:
        return f"families {family}, {child_family}, {own_family}"
    if not there:
        return "the block went with the elders"
    if seen != 123:
        return f"read {seen} instead of 123"
    if os.path.exists(f"/dev/shm/{name}"):
        return "the block outlived its family"
    return None


def main(arguments):
    method = arguments[0]
    if len(arguments) == 2:
        return parent(arguments[1], method)
    with tempfile.TemporaryDirectory() as folder:
        wrong = check(folder, method)
    print(wrong or "ok")
    return 1 if wrong else 0


if __name__ == "__main__":
    import shmkit  # noqa: F401  (before the first process object)
    sys.exit(main(sys.argv[1:]))
