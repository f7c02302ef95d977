# SPDX-License-Identifier: MIT
"""python -m shmkit run: an unmodified program with modules of shmkit.

Python itself runs the program: this process becomes a new interpreter, with
the options this one was given, in which multiprocessing is replaced
(_replace.py).  So sys.argv, __main__, tracebacks and exit codes are what
`python SCRIPT` makes of them.

An interpreter that does not look at its environment (-E, -I, -S) could not be
told that way; there, the program is run in this one.

python -m shmkit hook: the file that reaches interpreters with -E and -I, too.
It costs each start of this Python some microseconds, so it is put into
site-packages only if the user asks for it.
"""

import importlib.machinery
import os
import subprocess
import sys
import sysconfig
import types

from shmkit import _replace

USAGE = """\
usage: python -m shmkit run [-m MODULE | -c CODE | SCRIPT] [ARGUMENT...]

Runs a Python program with shmkit in the place of multiprocessing.shared_memory
and the other modules that shmkit has made anew, in all its processes and
libraries.  The program need not be changed.  Options for Python go before -m:
python -X dev -m shmkit run program.py
"""


def main(arguments):
    """The exit code; returns only when there was nothing to run, or when the
    program was run in this process."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(USAGE, end="")
        return 0
    if not _is_command(arguments):
        print(USAGE, end="", file=sys.stderr)
        return 2
    _replace.install()
    if not sys.executable or not _looks_at_environment():
        return run_here(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *_options(), *arguments])


def _is_command(arguments):
    if arguments[:1] in (["-m"], ["-c"]):
        return len(arguments) > 1
    return bool(arguments) and not (
        arguments[0].startswith("-") and len(arguments[0]) > 1)


def _looks_at_environment():
    if sys.flags.no_site:
        return False
    return not sys.flags.ignore_environment or os.path.exists(hook_path())


def _options():
    """What this interpreter was given before -m shmkit."""
    given = getattr(sys, "orig_argv", [])[1:]
    for at in range(len(given) - 1):
        if given[at:at + 2] == ["-m", "shmkit"]:
            return given[:at]
    return subprocess._args_from_interpreter_flags()


# ---- in this process ----

def run_here(arguments):
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        import runpy
        # As `python -m` does; it finds the path for sys.argv[0].
        runpy._run_module_as_main(arguments[1])
        return 0
    if arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        return _execute(arguments[1], "<string>")
    sys.argv = list(arguments)
    path = os.path.abspath(arguments[0])
    if not sys.flags.isolated and not getattr(sys.flags, "safe_path", False):
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        print(f"{sys.executable}: can't open file {path!r}: "
              f"[Errno {error.errno}] {error.strerror}", file=sys.stderr)
        return 2
    return _execute(source, path, __file__=path, __cached__=None,
                    __loader__=importlib.machinery.SourceFileLoader(
                        "__main__", path))


def _execute(source, name, **attributes):
    """Run as __main__; a traceback begins with the program."""
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    vars(main).update(__builtins__=__builtins__, __annotations__={},
                      **attributes)
    hook = sys.excepthook

    def excepthook(kind, error, trace):
        start = trace
        while start and start.tb_frame.f_globals is not vars(main):
            start = start.tb_next
        if start or issubclass(kind, SyntaxError):
            trace = start
        hook(kind, error.with_traceback(trace), trace)

    sys.excepthook = excepthook
    exec(compile(source, name, "exec"), vars(main))
    return 0


# ---- interpreters with -E and -I ----

HOOK_USAGE = """\
usage: python -m shmkit hook [install | remove]

Says whether this Python has the file that lets `python -m shmkit run` reach
those Python subprocesses too that ignore their environment (-E, -I), or puts
it into site-packages, or removes it.  It acts only below `run`.
"""


def hook_path():
    return os.path.join(sysconfig.get_path("purelib"), "shmkit-run.pth")


def _install_hook():
    with open(hook_path(), "w") as file:
        file.write(
            f"import os; os.environ.get({_replace.VARIABLE!r}) == "
            f"{_replace.TAG!r} and {_replace.prelude(is_root=True)}\n")


def hook(arguments):
    path = hook_path()
    if arguments not in ([], ["install"], ["remove"]):
        print(HOOK_USAGE, end="",
              file=sys.stdout if arguments in (["-h"], ["--help"])
              else sys.stderr)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    try:
        if arguments == ["install"]:
            _install_hook()
        elif arguments == ["remove"] and os.path.exists(path):
            os.unlink(path)
    except OSError as error:
        print(f"shmkit: {error}", file=sys.stderr)
        return 1
    print(path, "is there" if os.path.exists(path) else "is not there")
    return 0
