#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""CPython's own tests, unmodified, on shmkit.

For each Python found that has its test suite: build the extension for it, make
a temporary environment in which multiprocessing.shared_memory and
multiprocessing.synchronize are ours, and run the tests of SharedMemory, of the
locks, and of the queues and pools built on them under fork, spawn and
forkserver, then those of ProcessPoolExecutor.  In the same environments
tests/python/propagation.py sees that the family travels.

A test may fail only if docs/differences.md lists it with a reason; one that
is listed and passes is a failure too, so that the list stays true.  Where the
system allows it, each run has a /dev/shm of its own, and nothing may be left
in it.
"""

import argparse
import collections
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
METHODS = ("fork", "spawn", "forkserver")
EXECUTOR = "executor"  # has all start methods in one
EXECUTOR_TESTS = "test.test_concurrent_futures"
TIMEOUT = 900  # seconds for one start method of one Python
PROPAGATION = "(the family travels)"
HEADING = "## CPython's own tests"

# A private /dev/shm; afterwards one more process of ours sweeps, as the
# start of any program would, and what is left then is listed.
ALONE = 'mount -t tmpfs tmpfs /dev/shm && exec "$@"'
PRIVATE = """
mount -t tmpfs tmpfs /dev/shm || exit 99
"$@"; result=$?
"$SHMKIT_PYTHON" -c 'import shmkit'
ls -A /dev/shm > "$SHMKIT_LEFT"
exit $result
"""

Python = collections.namedtuple("Python", "path version")


def listed_failures():
    """Names of the tests that may fail: a table in docs/differences.md."""
    path = os.path.join(ROOT, "docs", "differences.md")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    section = text.partition(HEADING)[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `(\w+\.test_\w+)` \|", section, re.MULTILINE))


def candidates():
    """Interpreters worth a look: the system's, PYTHON, and pyenv's."""
    yield "/usr/bin/python3"
    if "PYTHON" in os.environ:
        yield os.environ["PYTHON"]
    home = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    yield from sorted(glob.glob(os.path.join(home, "versions/*/bin/python3")))


def probe(path):
    """(Python, reason it is left out)."""
    code = ("import sys; print('.'.join(map(str, sys.version_info[:3])));"
            "assert sys.version_info >= (3, 9), 'older than 3.9';"
            "import test._test_multiprocessing")
    done = subprocess.run([path, "-c", code], capture_output=True, text=True)
    version = done.stdout.strip() or "?"
    last = (done.stderr.strip().splitlines() or [""])[-1]
    return Python(path, version), last if done.returncode else None


def find_pythons(wanted):
    found, seen = [], set()
    for path in wanted or candidates():
        if not os.access(path, os.X_OK) or os.path.realpath(path) in seen:
            continue
        seen.add(os.path.realpath(path))
        python, reason = probe(path)
        if reason is None:
            found.append(python)
        else:
            print(f"{path} ({python.version}) left out: {reason}")
    return sorted(found, key=lambda one: one.path != "/usr/bin/python3"
                  and [int(part) for part in one.version.split(".")] or [])


def check_call(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}")


def build(python, folder):
    """Build the package for one Python; the folder to put on its path."""
    meson = "/usr/bin/meson" if os.access("/usr/bin/meson", os.X_OK) \
        else shutil.which("meson")
    if meson is None:
        sys.exit("meson is not installed")
    if not os.path.exists(os.path.join(folder, "build.ninja")):
        check_call([meson, "setup", folder, ROOT, f"-Dpython={python.path}",
                    "-Dtool=false", "-Dtests=false", "-Dwerror=false"])
    check_call([meson, "compile", "-C", folder])
    return os.path.join(folder, "python")


def make_environment(python, folder, package):
    """A venv in which the standard modules are ours: its interpreter, and the
    folder of ours."""
    check_call([python.path, "-m", "venv", "--without-pip", folder])
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    interpreter = os.path.join(folder, "bin", "python")
    site = subprocess.check_output([interpreter, "-c", code],
                                   text=True).strip()
    place = os.path.join(package, "shmkit")
    shutil.copy(os.path.join(HERE, "in_place.py"),
                os.path.join(site, "shmkit_in_place.py"))
    with open(os.path.join(site, "shmkit.pth"), "w") as file:
        file.write(f"{package}\nimport shmkit_in_place; "
                   f"shmkit_in_place.install({place!r})\n")
    for method in METHODS:
        with open(os.path.join(site, f"entry_{method}.py"), "w") as file:
            file.write(
                "from test._test_multiprocessing import "
                "install_tests_in_module_dict\n"
                f"install_tests_in_module_dict(globals(), {method!r})\n")
    return interpreter, place


def can_unshare():
    probe = ["unshare", "-m", "sh", "-c", "mount -t tmpfs tmpfs /dev/shm"]
    try:
        return subprocess.run(probe, capture_output=True).returncode == 0
    except OSError:
        return False


def run_with_watchdog(command, log, env):
    """Its exit status; the whole group is killed when it takes too long."""
    with open(log, "w") as file:
        process = subprocess.Popen(command, stdout=file, env=env,
                                   stderr=subprocess.STDOUT,
                                   start_new_session=True)
        try:
            return process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return None


def has_executor_tests(interpreter):
    done = subprocess.run([interpreter, "-c", f"import {EXECUTOR_TESTS}"],
                          capture_output=True)
    return done.returncode == 0


def run_method(interpreter, place, method, folder, private):
    """({test: outcome}, what was left in /dev/shm, the log)."""
    module = EXECUTOR_TESTS if method == EXECUTOR else f"entry_{method}"
    result = os.path.join(folder, f"{method}.json")
    log = os.path.join(folder, f"{method}.log")
    left = os.path.join(folder, f"{method}.left")
    command = [interpreter, os.path.join(HERE, "driver.py"),
               module, result, place]
    if private:
        command = ["unshare", "-m", "sh", "-c", PRIVATE, "sh", *command]
    env = dict(os.environ, SHMKIT_PYTHON=interpreter, SHMKIT_LEFT=left)
    status = run_with_watchdog(command, log, env)
    with open(log, errors="replace") as file:
        text = file.read()
    if status is None:
        return {"(the whole run)": "failed"}, [], text + "\nwatchdog\n"
    if not os.path.exists(result):
        return {"(the whole run)": "failed"}, [], text
    with open(result) as file:
        outcome = json.load(file)
    names = []
    if private:
        with open(left) as file:
            names = file.read().split()
    return outcome, names, text


def add_propagation(interpreter, method, private, outcome):
    """Whether the family travels from parent to grandchild on this Python."""
    script = os.path.join(ROOT, "tests", "python", "propagation.py")
    command = [interpreter, script, method]
    if private:
        command = ["unshare", "-m", "sh", "-c", ALONE, "sh", *command]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if done.returncode == 0 and done.stdout == "ok\n":
        outcome[PROPAGATION] = "passed"
    else:
        outcome[PROPAGATION] = "failed"
        print(done.stdout)


def judge(outcome, left, listed):
    """Counter of passed, listed, skipped; list of what is wrong."""
    count, wrong = collections.Counter(), []
    for test, result in sorted(outcome.items()):
        if test in listed and result == "passed":
            wrong.append(f"{test} is listed in differences.md, but passes")
        elif test in listed and result == "failed":
            count["listed"] += 1
        elif result == "failed":
            wrong.append(f"{test} fails")
        else:
            count[result] += 1
    wrong += [f"left in /dev/shm: {name}" for name in left]
    return count, wrong


def test_python(python, folder, options, report):
    """All start methods of one Python; (passed, failed)."""
    package = build(python, os.path.join(options.build_root or folder,
                                         f"build-{python.version}"))
    interpreter, place = make_environment(
        python, os.path.join(folder, f"venv-{python.version}"), package)
    passed = failed = 0
    for method in options.method or (*METHODS, EXECUTOR):
        if method == EXECUTOR and not has_executor_tests(interpreter):
            continue
        outcome, left, log = run_method(interpreter, place, method, folder,
                                        options.private)
        if method != EXECUTOR:
            add_propagation(interpreter, method, options.private, outcome)
        count, wrong = judge(outcome, left, options.listed)
        report(python, method, count, wrong)
        if wrong:
            print(log)
            print("\n".join(f"  {line}" for line in wrong))
        passed += count["passed"]
        failed += len(wrong)
    return passed, failed


def print_row(python, method, count, wrong):
    print(f"{python.version:10} {method:12} {count['passed']:7} "
          f"{count['listed']:7} {count['skipped']:8} {len(wrong):7}",
          flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--python", action="append",
                        help="interpreter to test (default: all found)")
    parser.add_argument("--method", action="append",
                        choices=(*METHODS, EXECUTOR))
    parser.add_argument("--build-root", type=os.path.abspath,
                        help="keep the builds in this folder")
    options = parser.parse_args()
    # Started in the background, a shell may have SIGINT ignored, and the tests
    # send it; what a handler is set for is not ignored after exec.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Only the environments made here decide what is imported.
    os.environ.pop("PYTHONPATH", None)
    options.listed = listed_failures()
    options.private = can_unshare()
    pythons = find_pythons(options.python)
    if not pythons:
        sys.exit("no Python with a test suite found; on Debian, install "
                 "libpython3-testsuite")
    if not options.private:
        print("no private /dev/shm here: what is left there is not checked")
    print(f"{'python':10} {'start method':12} {'passed':>7} {'listed':>7} "
          f"{'skipped':>8} {'failed':>7}")
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="shmkit-cpython-") as folder:
        for python in pythons:
            one = test_python(python, folder, options, print_row)
            passed, failed = passed + one[0], failed + one[1]
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
