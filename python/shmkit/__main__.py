# SPDX-License-Identifier: MIT
"""python -m shmkit: the command line tool, found next to this Python.

Two commands are Python's own: run and hook (_run.py).
"""

import os
import shutil
import sys
import sysconfig

import shmkit


def find_tool():
    """Path of the shmkit command that belongs to this installation."""
    for folder in (sysconfig.get_path("scripts"),
                   os.path.dirname(sys.executable)):
        path = os.path.join(folder, "shmkit")
        if os.access(path, os.X_OK):
            return path
    return shutil.which("shmkit")


def main(arguments):
    if arguments and arguments[0] in ("-V", "--version"):
        print(f"shmkit {shmkit.__version__}")
        return 0
    if arguments and arguments[0] in ("run", "hook"):
        from shmkit import _run
        command = _run.main if arguments[0] == "run" else _run.hook
        return command(arguments[1:])
    tool = find_tool()
    if tool is None:
        print(f"shmkit {shmkit.__version__}\n\n"
              "usage: python -m shmkit COMMAND ...\n"
              "The commands are those of the tool `shmkit`, which is not\n"
              "installed next to this Python nor on the PATH.",
              file=sys.stderr if arguments else sys.stdout)
        return 1 if arguments else 0
    os.execv(tool, ["shmkit", *(arguments or ["--help"])])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
