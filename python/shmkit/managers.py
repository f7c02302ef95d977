# SPDX-License-Identifier: MIT
"""multiprocessing.managers, with a SharedMemoryManager that needs no server.

The standard manager of shared memory starts a process whose only work is to
remember names.  Here the blocks are found by their names (_group.py) and end
with the manager or, if it is killed, with the family.  So start() and
shutdown() take microseconds, and handing out a block costs no message.

A server process is started when somebody needs one:

    at start()      with an address, an initializer or registered types
    when asked      .address, ._process, an object of a registered type

It speaks the standard protocol, so managers of the standard library connect
to it, and ours to theirs.  It serves the same blocks as the manager, keeps
those of other programs from going with them, and ends with the manager, also
if that is killed.

Everything else in this module is the standard library's.
"""

import os
import signal
import threading
from multiprocessing import ProcessError, connection, context, process, util
from multiprocessing import managers as _managers
from multiprocessing.managers import *  # noqa: F401,F403
from multiprocessing.managers import BaseManager, BaseProxy, State, dispatch

from shmkit import _group, _replace, shared_memory

__all__ = list(_managers.__all__)

# What a block of a manager may be given; its lifetime is the manager's.
_OPTIONS = frozenset({"mode", "sparse", "prefault", "huge", "lock", "numa"})
_PATIENCE = 1.0  # seconds for a server to end, as in the standard library

_starting = util.ForkAwareThreadLock()


def __getattr__(name):
    return getattr(_managers, name)


def _check_options(options):
    for option in options:
        if option not in _OPTIONS:
            raise TypeError(f"{option!r} is not for the blocks of a manager")


class _Tracker:
    """What a server knows of blocks; the standard class's methods."""

    def __init__(self, name):
        self.shared_memory_context_name = name
        self._group = None
        self._joined = False
        self._held = {}
        self._lock = threading.Lock()

    @property
    def group(self):
        with self._lock:
            if self._group is None:
                self._group = _group.Group()
            return self._group

    def join(self, group):
        """Serve the group of a manager, which will end it."""
        self._group = group
        self._joined = True

    @property
    def segment_names(self):
        return self.group.names()

    def register_segment(self, segment_name):
        """Add an existing block, which stays until the manager's end."""
        self.group.add(segment_name)
        # Held, or it would go with the program that made it.
        self._held[segment_name] = (
            shared_memory.SharedMemory(segment_name, read_only=True),
            _group.inode(segment_name))

    def destroy_segment(self, segment_name):
        """Unlink one block; ValueError if it is not one of the manager."""
        if segment_name not in self.segment_names:
            raise ValueError(f"{segment_name!r} is not one of the manager")
        self._held.pop(segment_name, None)
        _group.unlink(segment_name)

    def unlink(self):
        """Unlink all blocks, unless a manager will."""
        self._held.clear()
        if self._group is not None and not self._joined:
            self._group.remove()

    def drop_dead(self):
        """Let go of those that somebody has unlinked."""
        for name, (_block, inode) in list(self._held.items()):
            if _group.inode(name) != inode:
                self._held.pop(name, None)


class SharedMemoryServer(_managers.SharedMemoryServer):
    """The standard server, keeping blocks in a group."""

    def __init__(self, *args, **kwargs):
        _managers.Server.__init__(self, *args, **kwargs)
        address = self.address
        if isinstance(address, bytes):
            address = os.fsdecode(address)
        self.shared_memory_context = _Tracker(f"shm_{address}_{os.getpid()}")
        self.parent = None
        util.debug("SharedMemoryServer started by pid %d", os.getpid())

    def accepter(self):
        threading.Thread(target=self._watch, daemon=True).start()
        super().accepter()

    def _watch(self):
        """See that what is gone is let go, and end with the parent."""
        while not self.stop_event.wait(1):
            self.shared_memory_context.drop_dead()
            if self.parent is not None and not self.parent.is_alive():
                self.stop_event.set()


class _Service:
    """A running server process, for the one that started it."""

    def __init__(self, process, address, manager):
        self.process = process
        self.address = address
        timeout = getattr(manager, "_shutdown_timeout", _PATIENCE)
        self.stop = util.Finalize(
            self, _Service._stop, exitpriority=0,
            args=(process, address, manager._authkey, manager._Client,
                  timeout))

    @staticmethod
    def _stop(process, address, authkey, client, timeout):
        if process.is_alive():
            try:
                with client(address, authkey=authkey) as conn:
                    dispatch(conn, None, "shutdown")
            except Exception:
                pass  # it is ended by force
            process.join(timeout)
        for end in process.terminate, process.kill:
            if process.is_alive():
                end()
                process.join(timeout)
        BaseProxy._address_to_local.pop(address, None)


class SharedMemoryManager(_managers.SharedMemoryManager):
    """Makes blocks and removes them all when it shuts down.

    Use it as a context manager, or call start() and shutdown(); it is shut
    down as well when it is no longer referred to and when its process exits.
    If that process is killed, its blocks go with the last process of its
    family.  Starting and stopping takes microseconds: a server process is
    started only with an address, an initializer or registered types, or by
    asking for .address.

    Forked children may go on using the manager.  A running manager can be
    pickled: the copy makes blocks of the same manager, but does not end it.

    Before start() the methods raise ValueError, after shutdown()
    FileNotFoundError, in each process.
    """

    _Server = SharedMemoryServer

    def __init__(self, *args, **kwargs):
        self._group = None    # from start() on
        self._services = []   # at most one, of this process
        self._bound = None    # the address of a server that runs
        BaseManager.__init__(self, *args, **kwargs)
        util.debug("%s created by pid %d", type(self).__name__, os.getpid())

    def __del__(self):
        pass  # the standard one says so in the log, and fails late at exit

    # ---- the server, when there is need of one ----

    @property
    def _address(self):
        if self._bound is None:
            self._need_server()
        return self._asked if self._bound is None else self._bound

    @_address.setter
    def _address(self, address):
        self._asked = address  # BaseManager.__init__ sets it

    @property
    def _process(self):
        self._need_server()
        if not self._services:
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute '_process'")
        return self._services[0].process

    @_process.setter
    def _process(self, process):
        self._services[0].process = process  # BaseManager.join() sets None

    def _need_server(self):
        """Start one if the manager runs and this process has none."""
        if self._group is None or self._state.value != State.STARTED:
            return
        with _starting:
            if not self._services:
                self._start_server(None, ())

    def _start_server(self, initializer, initargs):
        if process.current_process().daemon:
            raise ProcessError(
                "a daemonic process cannot start the manager's server: ask "
                "for its address where the manager was started")
        reader, writer = connection.Pipe(duplex=False)
        with reader:
            with writer:
                server = self._ctx.Process(
                    target=type(self)._run_server,
                    args=(self._registry, self._asked, self._authkey,
                          self._serializer, writer, initializer, initargs,
                          self._group.ident))
                number = ":".join(map(str, server._identity))
                server.name = f"{type(self).__name__}-{number}"
                server.start()
            self._bound = reader.recv()
        self._services.append(_Service(server, self._bound, self))

    @classmethod
    def _run_server(cls, registry, address, authkey, serializer, writer,
                    initializer=None, initargs=(), group=None):
        """What the server process does."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if initializer is not None:
            initializer(*initargs)
        server = cls._Server(registry, address, authkey, serializer)
        server.shared_memory_context.join(_group.Group(group))
        server.parent = process.parent_process()
        with writer:
            writer.send(server.address)
        util.info("manager serving at %r", server.address)
        server.serve_forever()

    # ---- from start to shutdown ----

    def start(self, initializer=None, initargs=()):
        """Begin.  An initializer is run in a server process.

        ProcessError if it has been started before.
        """
        self._check_initial()
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        group = self._group = _group.Group()
        if initializer or self._asked is not None or self._registry:
            try:
                self._start_server(initializer, initargs)
            except BaseException:
                self._group = None
                group.remove()
                raise
        self._state.value = State.STARTED
        self.shutdown = util.Finalize(
            self, type(self)._end, exitpriority=0,
            args=(group, self._services, self._state))

    def _check_initial(self):
        state = self._state.value
        if state == State.STARTED:
            raise ProcessError("Already started server")
        if state == State.SHUTDOWN:
            raise ProcessError("Manager has shut down")
        if state != State.INITIAL:
            raise ProcessError(f"Unknown state {state!r}")

    @staticmethod
    def _end(group, services, state):
        """shutdown(): only ever run in the process that called start()."""
        group.end()
        state.value = State.SHUTDOWN
        for service in services:
            service.stop()
        group.remove()

    def join(self, timeout=None):
        """Wait for the end of the server process, if there is one."""
        if self._group is None or self._services:
            super().join(timeout)

    def __reduce_ex__(self, protocol):
        if self._state.value != State.STARTED:
            return super().__reduce_ex__(protocol)
        authkey = None  # it travels from parent to child only
        if context.get_spawning_popen() is not None:
            authkey = self._authkey
        group = self._group.ident if self._group is not None else None
        return _copy, (type(self), group, self._bound or self._asked,
                       self._serializer, authkey)

    # ---- blocks ----

    def _make(self, build, name):
        if self._group is not None:
            return self._group.make(build, name)
        with self._Client(self._address, authkey=self._authkey) as conn:
            if name is None:
                made, name = _group.make_drawn(build)
            else:
                made = build(name)
            try:
                dispatch(conn, None, "track_segment", (name,))
            except BaseException:
                _group.unlink(name)
                raise
        return made

    def SharedMemory(self, size, name=None, **options):
        """A new block of `size` bytes; its name is drawn unless given.

        The options are those of shmkit.shared_memory.SharedMemory for a new
        block, but for its lifetime, which is the manager's.
        """
        _check_options(options)

        def build(name):
            return shared_memory.SharedMemory(
                name, create=True, size=size, **options)
        return self._make(build, name)

    def ShareableList(self, sequence, name=None):
        """A new list with the items of `sequence`."""
        items = None

        def build(name):
            nonlocal items
            if items is None:
                items = () if sequence is None else list(sequence)
            return shared_memory.ShareableList(items, name=name)
        return self._make(build, name)

    def ndarray(self, shape, dtype=float, name=None, *, order="C", label="",
                **options):
        """A new array of zeros, as shmkit.ndarray() makes it."""
        from shmkit import arrays
        _check_options(options)

        def build(name):
            return arrays.ndarray(shape, dtype, name, order=order,
                                  label=label, **options)
        return self._make(build, name)

    def from_array(self, a, name=None, *, dtype=None, order="K", label="",
                   **options):
        """A new array with the items of `a`, as shmkit.from_array() does."""
        from shmkit import arrays
        _check_options(options)

        def build(name):
            return arrays.from_array(a, name, dtype=dtype, order=order,
                                     label=label, **options)
        return self._make(build, name)

    def names(self):
        """Names of all blocks of the manager, in no particular order.

        Those made in other processes are among them.  Reads the whole of
        /dev/shm: about 1 microsecond for each block there.
        """
        if self._group is not None:
            return self._group.names()
        with self._Client(self._address, authkey=self._authkey) as conn:
            return list(dispatch(conn, None, "list_segments"))

    def attach(self, name):
        """The block of that name; FileNotFoundError if it is not one of the
        manager."""
        if name not in self.names():
            raise FileNotFoundError(
                2, "the manager has no block of that name", name)
        return shared_memory.SharedMemory(name)


def _not_ours():
    """shutdown() of a copy: the process that called start() does it."""


def _copy(cls, group, address, serializer, authkey):
    """Unpickle a manager that runs elsewhere."""
    manager = cls.__new__(cls)
    SharedMemoryManager.__init__(manager, address, authkey, serializer)
    manager._state.value = State.STARTED
    if group is not None:
        manager._group = _group.Group(group)
        manager._bound = address
        manager.shutdown = _not_ours
    return manager


_replace.complete("managers")
