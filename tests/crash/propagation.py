#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A family must reach the grandchild though its elders are killed at once.

    propagation.py [--repeat N] PYTHON=PYTHONPATH...

For each interpreter, with the package found on its path, and for each start
method: a parent makes a block and starts a child, which starts a grandchild;
the moment that start() has returned, parent and child are killed with SIGKILL,
while another process sweeps without pause.  The grandchild, whenever it comes
to life, must be in the parent's family, find the parent's block with its
bytes, and make one of its own.  When it has ended, one more sweep must leave
nothing.

Runs in a /dev/shm of its own; exits with 77 where that is not permitted.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

METHODS = ("fork", "spawn", "forkserver")
LIMIT = 60  # seconds for one tree; a hang, not a slow machine
PRIVATE = "SHMKIT_PROPAGATION_PRIVATE"

SWEEPER = """
import time
import shmkit
print("sweeping", flush=True)
while True:
    shmkit._core.sweep()
    time.sleep(0.0005)
"""

ONE_SWEEP = "import shmkit; shmkit._core.sweep()"


# ---- in the tree: told by files in `folder` ----


def say(folder, name, **facts):
    path = os.path.join(folder, name)
    with open(path + ".tmp", "w") as file:
        json.dump(facts, file)
    os.rename(path + ".tmp", path)


def grandchild(folder, name):
    from shmkit import _core, shared_memory

    while not os.path.exists(os.path.join(folder, "killed")):
        time.sleep(0.001)
    time.sleep(0.1)  # let the sweeper come by many times
    facts = {"family": _core.family_get_id()}
    try:
        block = shared_memory.SharedMemory(name)
        facts["bytes"] = bytes(block.buf[:5]).decode()
        block.close()
        own = shared_memory.SharedMemory(name + "-own", create=True, size=100)
        own.close()
        facts["own"] = os.path.exists("/dev/shm/" + name + "-own")
    except OSError as error:
        facts["error"] = repr(error)
    say(folder, "result", **facts)


def child(folder, name, method):
    context = multiprocessing.get_context(method)
    process = context.Process(target=grandchild, args=(folder, name))
    process.start()
    say(folder, "child", pid=os.getpid(), grandchild=process.pid)
    process.join()


def parent(folder, name, method):
    from shmkit import _core, shared_memory

    block = shared_memory.SharedMemory(name, create=True, size=100)
    block.buf[:5] = b"hello"
    say(folder, "parent", pid=os.getpid(), family=_core.family_get_id())
    context = multiprocessing.get_context(method)
    process = context.Process(target=child, args=(folder, name, method))
    process.start()
    process.join()


# ---- outside ----


def wait_for(folder, name, what):
    """The facts that somebody said, or None when nobody does."""
    path = os.path.join(folder, name)
    end = time.monotonic() + LIMIT
    while not os.path.exists(path):
        if time.monotonic() > end or what.poll() is not None:
            return None
        time.sleep(0.0002)
    with open(path) as file:
        return json.load(file)


def environment(pythonpath):
    env = dict(os.environ, PYTHONPATH=pythonpath)
    env.pop("SHMKIT_FAMILY", None)
    return env


def start_sweeper(python, pythonpath):
    sweeper = subprocess.Popen(
        [python, "-c", SWEEPER],
        env=environment(pythonpath),
        stdout=subprocess.PIPE,
    )
    sweeper.stdout.readline()
    return sweeper


def judge(elder, result):
    """What is wrong, or None."""
    if result is None:
        return "the grandchild said nothing"
    if "error" in result:
        return result["error"]
    if result["family"] != elder["family"]:
        return f"family {result['family']}, not {elder['family']}"
    if result["bytes"] != "hello":
        return f"read {result['bytes']!r}"
    return None if result["own"] else "its own block was gone"


def wait_for_end(pids):
    """None when they have ended, else a complaint."""
    end = time.monotonic() + LIMIT
    while any(alive(pid) for pid in pids):
        if time.monotonic() > end:
            return "the grandchild did not end"
        time.sleep(0.005)
    return None


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def grow_and_kill(python, pythonpath, method, folder, delay):
    name = f"prop-{os.getpid()}-{method}"
    tree = subprocess.Popen(
        [python, os.path.abspath(__file__), "--tree", method, folder, name],
        env=environment(pythonpath),
        start_new_session=True,
    )
    try:
        elder = wait_for(folder, "parent", tree)
        younger = wait_for(folder, "child", tree)
        if elder is None or younger is None:
            return "the tree did not grow"
        time.sleep(delay)
        os.kill(elder["pid"], signal.SIGKILL)
        os.kill(younger["pid"], signal.SIGKILL)
        tree.wait()
        say(folder, "killed")
        sleeper = subprocess.Popen(["sleep", str(LIMIT + 1)])
        result = wait_for(folder, "result", sleeper)
        sleeper.kill()
        sleeper.wait()
        return judge(elder, result) or wait_for_end([younger["grandchild"]])
    finally:
        try:
            os.killpg(tree.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        tree.wait()


def left():
    return sorted(
        os.path.join(place, name)
        for place, folders, files in os.walk("/dev/shm")
        for name in files + folders
    )


def one_trial(python, pythonpath, method, delay):
    folder = tempfile.mkdtemp(prefix="shmkit-propagation-")
    sweeper = start_sweeper(python, pythonpath)
    try:
        wrong = grow_and_kill(python, pythonpath, method, folder, delay)
    finally:
        sweeper.kill()
        sweeper.wait()
        sweeper.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)
    # The helpers of multiprocessing end by themselves, a moment later.
    end = time.monotonic() + 5
    while wrong is None:
        subprocess.run(
            [python, "-c", ONE_SWEEP], env=environment(pythonpath), check=True
        )
        if not left():
            break
        if time.monotonic() > end:
            wrong = f"left: {left()}"
        time.sleep(0.05)
    return wrong


def one_interpreter(python, pythonpath, repeat):
    failures = trials = 0
    for method in METHODS:
        wrongs = []
        for i in range(repeat):
            delay = 0 if i % 3 == 0 else random.uniform(0, 0.06)
            wrong = one_trial(python, pythonpath, method, delay)
            if wrong is not None:
                wrongs.append(wrong)
        trials += repeat
        failures += len(wrongs)
        print(
            f"  {python} {method}: {repeat - len(wrongs)} of {repeat}",
            *wrongs[:3],
            flush=True,
        )
    return trials, failures


def be_private():
    """Go on in a mount namespace with an empty /dev/shm."""
    if os.environ.get(PRIVATE):
        return
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    script = (
        "mount -t tmpfs -o mode=1777 tmpfs /dev/shm || exit 77; "
        f'{PRIVATE}=yes exec "$@"'
    )
    command = ["unshare", *user, "--mount", "sh", "-c", script, "sh"]
    command += [sys.executable, os.path.abspath(__file__), *sys.argv[1:]]
    status = subprocess.call(command)
    sys.exit(status if status in (0, 1, 2) else 77)


def main():
    if sys.argv[1:2] == ["--tree"]:
        method, folder, name = sys.argv[2:]
        return parent(folder, name, method)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("pairs", nargs="+", metavar="PYTHON=PYTHONPATH")
    options = parser.parse_args()
    be_private()
    trials = failures = 0
    for pair in options.pairs:
        python, equals, pythonpath = pair.partition("=")
        if not equals:
            parser.error(f"{pair}: not PYTHON=PYTHONPATH")
        some, bad = one_interpreter(python, pythonpath, options.repeat)
        trials += some
        failures += bad
    print(f"propagation: {trials - failures} of {trials}")
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
