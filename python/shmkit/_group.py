# SPDX-License-Identifier: MIT
"""The blocks of one manager, found by their names.

A manager must remove at its end what any process made through it: itself, its
forked children, processes that a copy of it was sent to.  No process keeps a
list for that, for a list would need a lock, and a kill between making a block
and noting it down would lose the block.  The names are the list:

    psm_<id>             the board: a byte for each of the two facts below
    psm_<id>_<drawn>     a block whose name was drawn
    psm_<id>.<hash>      a note: inode and name of a block with a given name

<id> is 48 random bits, so two managers meet as good as never; names are drawn
until one is free.  All are blocks of lifetime `family`: when the manager's
process is killed they go with its family.

The board says that the manager has shut down, and whether anything was ever
made.  It stays mapped in each process that knows the manager, so looking at it
costs nothing.  Whoever makes a block looks at it before and after; whoever
ends the group first writes that it has ended and then lists the names.  So
either the maker sees the end and removes its block, or the list has it.

A note is written after its block was made.  A kill in between leaves a block
that goes with the family instead of the manager.  The other way round, a block
that somebody else made under that name could be taken for ours.  For the same
reason a note counts only if it is our user's and the inode is right.
"""

import errno
import hashlib
import os
from stat import S_ISREG

from shmkit import shared_memory

FOLDER = "/dev/shm"
TRIES = 100  # drawn names that may be taken in a row

_ENDED = 0  # offsets on the board
_USED = 1
_INODE = 8  # bytes of a note before the name


def _draw(digits):
    return os.urandom(digits // 2).hex()


def make_drawn(build, prefix="psm_", digits=12):
    """(What build(name) has made under a free drawn name, the name)."""
    for last in range(TRIES - 1, -1, -1):
        name = prefix + _draw(digits)
        try:
            return build(name), name
        except FileExistsError:
            if not last:
                raise


def stat(name):
    """os.stat() of a block; SharedMemory.stat() looks for its holders too,
    which takes milliseconds."""
    return os.stat(f"{FOLDER}/{name}")


def inode(name):
    """Of the block of that name; None when there is none."""
    try:
        return stat(name).st_ino
    except FileNotFoundError:
        return None


def unlink(name, only=None):
    """Remove the block of that name; `only` if it has that inode."""
    try:
        block = shared_memory.SharedMemory(name, read_only=True)
    except (FileNotFoundError, PermissionError):
        return  # gone, or somebody else's
    with block:
        try:
            if only is None or inode(name) == only:
                block.unlink()  # only what was attached
        except (FileNotFoundError, PermissionError):
            pass


class Group:
    """The blocks of one manager; use from any thread.

    Group() founds one, Group(ident) joins it; FileNotFoundError when it has
    ended.
    """

    def __init__(self, ident=None):
        if ident is None:
            def found(name):
                return shared_memory.SharedMemory(name, create=True, size=2)
            self._board, name = make_drawn(found)
            ident = name[len("psm_"):]
        else:
            self._board = shared_memory.SharedMemory(f"psm_{ident}")
        self.ident = ident
        self._drawn = f"psm_{ident}_"
        self._notes = f"psm_{ident}."

    @property
    def ended(self):
        return self._board.buf is None or self._board.buf[_ENDED] != 0

    def _check(self):
        if self.ended:
            raise FileNotFoundError(errno.ENOENT, "the manager has shut down")

    def make(self, build, name=None):
        """What build(name) makes, as a block of the group."""
        self._check()
        self._board.buf[_USED] = 1
        if name is None:
            made, name = make_drawn(build, self._drawn, 6)
        else:
            made = build(name)
            self._keep(name)
        try:
            self._check()
        except FileNotFoundError:
            unlink(name)
            raise
        return made

    def _keep(self, name):
        try:
            self.add(name)
        except BaseException:
            unlink(name)
            raise

    def add(self, name):
        """Make an existing block one of the group."""
        self._check()
        self._board.buf[_USED] = 1
        content = (stat(name).st_ino.to_bytes(_INODE, "little")
                   + os.fsencode(name))
        note = shared_memory.SharedMemory(
            self._note_of(name), create=True, size=len(content), exist_ok=True)
        with note:
            note.copy_in(content)

    def _note_of(self, name):
        """The same name has the same note each time it is given."""
        return self._notes + hashlib.sha256(os.fsencode(name)).hexdigest()[:16]

    @staticmethod
    def _read(note):
        """(name, inode) or None; what stands there may be anything."""
        try:
            with shared_memory.SharedMemory(note, read_only=True) as block:
                if stat(note).st_uid != os.geteuid():
                    return None
                content = bytes(block.buf[:_INODE + 255])
        except (OSError, ValueError):
            return None
        number = int.from_bytes(content[:_INODE], "little")
        name = os.fsdecode(content[_INODE:])
        try:
            found = None if "/" in name else stat(name)
        except (OSError, ValueError):
            return None
        if found is None or not S_ISREG(found.st_mode):
            return None
        return (name, number) if found.st_ino == number else None

    def _list(self):
        """(names with drawn names, names of notes)."""
        names = os.listdir(FOLDER)
        return ([name for name in names if name.startswith(self._drawn)],
                [name for name in names if name.startswith(self._notes)])

    def names(self):
        """Names of the blocks there are, in no particular order."""
        if self.ended or not self._board.buf[_USED]:
            return []
        drawn, notes = self._list()
        return drawn + [found[0] for found in map(self._read, notes) if found]

    def end(self):
        """Nobody makes another block from now on."""
        if self._board.buf is not None:
            self._board.buf[_ENDED] = 1

    def remove(self):
        """End it and unlink every block; the first error after the last."""
        self.end()
        used = self._board.buf is not None and self._board.buf[_USED]
        errors = []
        for name, only in self._targets() if used else ():
            try:
                unlink(name, only)
            except OSError as error:
                errors.append(error)
        unlink(self._board.name)
        self._board.close()
        if errors:
            raise errors[0]

    def _targets(self):
        """(name, inode or None): blocks first, then the notes of them."""
        drawn, notes = self._list()
        yield from ((name, None) for name in drawn)
        yield from filter(None, map(self._read, notes))
        yield from ((note, None) for note in notes)
