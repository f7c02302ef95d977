# SPDX-License-Identifier: MIT
"""How the family of a process travels, and how a process leaves it.

Blocks live as long as their family: the first process that uses shmkit and
everything it starts through multiprocessing.  A member is told from the rest
by what it has mapped, not by its pid, so

fork        children have it by inheritance, if the parent was in a family:
            one is formed before every fork.  Not in the fork server, though,
            which breeds children for someone else and ends without any exit
            handling; it would leave a family for each program.
spawn,      children get a descriptor that keeps the family alive while it
forkserver  travels.  It is carried by an object in the _config of the current
            process, which multiprocessing copies into each new Process and
            pickles with it.

Join before you sweep: a spawned child whose parent is dead already would else
remove its own family.  So a module imported while the child is still being
unpickled leaves the sweep to the arrival of the ticket.

Leaving: the library does it when the process exits.  Children of fork and
forkserver end by os._exit(), which skips that; there, multiprocessing's own
finalizers are the last thing that runs.  (atexit is no help: such a child
ran it only from 3.13 on.)
"""

import os
import sys
from multiprocessing import context, process, reduction, util

from shmkit import _core

_KEY = "shmkit_family"


class Ticket:
    """Stands in Process._config; pickled for a child, it is a place in the
    family."""

    __slots__ = ("__weakref__",)

    def __reduce__(self):
        if context.get_spawning_popen() is None:
            return _the_ticket, ()
        try:
            fd = _core.family_get_fd()
        except OSError:
            return arrive, ()  # no /dev/shm: there is nothing to share
        return arrive, (reduction.DupFd(fd),)


ticket = Ticket()
_imported_in = os.getpid()


def _the_ticket():
    return ticket


def arrive(handle=None):
    """Join with the descriptor that a parent has sent, then sweep."""
    if handle is not None:
        fd = handle.detach()
        try:
            _core.family_join_fd(fd)
        finally:
            os.close(fd)
    _sweep()
    return ticket


def _sweep():
    try:
        if "SHMKIT_FAMILY" in os.environ:
            _core.family_form()  # joins it, which must come first
        _core.sweep()
    except OSError:
        pass  # whoever comes next will do it


def _before_fork():
    server = sys.modules.get("multiprocessing.forkserver")
    if server is not None:
        caller = sys._getframe(1).f_code
        if caller is server.main.__code__:
            return
    try:
        _core.family_form()
    except OSError:
        pass  # the child will form its own, or fail where it is seen


def _ends_by_os_exit():
    """Whether this process is one that fork made since the import, or a child
    of the fork server."""
    if os.getpid() != _imported_in:
        return True
    server = sys.modules.get("multiprocessing.forkserver")
    return server is not None and server.get_inherited_fds() is not None


def _leave_at_end(_ticket=None):
    if _ends_by_os_exit():
        util.Finalize(None, _core.process_exit, exitpriority=-sys.maxsize)


def _start():
    _core.family_form_at_fork(False)
    os.register_at_fork(before=_before_fork)
    current = process.current_process()
    current._config[_KEY] = ticket
    for waiting in list(process._dangling):
        waiting._config.setdefault(_KEY, ticket)
    # multiprocessing calls it in every child, after it has forgotten the
    # finalizers of the parent.
    util.register_after_fork(ticket, _leave_at_end)
    if getattr(current, "_inheriting", False):
        return
    if process.parent_process() is not None:
        # Imported by the target of a process: that call has gone by.
        util.Finalize(None, _core.process_exit, exitpriority=-sys.maxsize)
    _sweep()


_start()
