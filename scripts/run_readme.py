#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run the Python and the C program of README.md against a build.

usage: run_readme.py BUILD
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def block(language):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.search(rf"^```{language}\n(.*?)^```", text, re.M | re.S)[1]


def run(command, **how):
    return subprocess.run(command, check=True, text=True, **how)


def run_python(folder, build):
    program = folder / "double.py"
    program.write_text(block("python"))
    env = dict(os.environ, PYTHONPATH=str(build / "python"))
    python = os.environ.get("PYTHON", "/usr/bin/python3")
    out = run([python, program], env=env, capture_output=True).stdout
    if out != "42.0\n":
        sys.exit(f"README.md: the Python program printed {out!r}")


def run_c(folder, build):
    source = folder / "greeting.c"
    source.write_text(block("c"))
    env = dict(
        os.environ,
        PKG_CONFIG_PATH=str(build / "meson-uninstalled"),
        LD_LIBRARY_PATH=str(build / "src"),
    )
    flags = run(
        ["pkg-config", "--cflags", "--libs", "shmkit"],
        env=env,
        capture_output=True,
    ).stdout.split()
    program = folder / "greeting"
    run(["cc", "-Wall", "-Werror", source, *flags, "-o", program], env=env)
    process = subprocess.Popen([program], stdin=subprocess.PIPE, env=env)
    try:
        shown = wait_for_greeting(process, build, env)
    finally:
        process.communicate(b"\n")
    if process.returncode != 0 or shown != b"hello":
        sys.exit(f"README.md: the C program showed {shown!r}")


def wait_for_greeting(process, build, env):
    """What the tool sees while the program waits for a key."""
    command = [build / "cli" / "shmkit", "cat", "greeting"]
    while process.poll() is None:
        shown = subprocess.run(command, env=env, capture_output=True)
        if shown.stdout.startswith(b"hello"):
            return shown.stdout[:5]
    return b""


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name:
        run_python(pathlib.Path(name), build)
        run_c(pathlib.Path(name), build)
    print("README.md: both programs do what they say")


if __name__ == "__main__":
    main()
