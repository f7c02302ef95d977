# SPDX-License-Identifier: MIT
"""Named blocks of bytes that processes share.

A drop-in for multiprocessing.shared_memory.  The differences, each with its
reason, are listed in docs/differences.md; the chief ones:

- A block goes away with the processes that need it, however they die.
- Attaching never makes an owner: a reader that exits removes nothing.
- close() never refuses and never pulls the memory from under a view.
- A full /dev/shm is an OSError at creation, not a SIGBUS later.

A block is one file in /dev/shm without any header, so programs that use the
standard library or plain POSIX calls attach it by name, and the other way
round.
"""

import os
import struct
import types
from functools import partial

from shmkit import _core
from shmkit import _family  # noqa: F401  (a block needs a family)

__all__ = ["SharedMemory", "ShareableList"]

O_CREAT = os.O_CREAT
O_EXCL = os.O_EXCL
O_CREX = os.O_CREAT | os.O_EXCL

_USE_POSIX = True
_O_CREX = O_CREX
_SHM_SAFE_NAME_LENGTH = 14
_SHM_NAME_PREFIX = "/psm_"
_encoding = "utf8"

BlockStat = _core.BlockStat


def __getattr__(name):
    # Modules that the standard one imports and others reach through it.
    if name in ("resource_tracker", "secrets", "mmap", "errno"):
        import importlib
        package = "multiprocessing." if name == "resource_tracker" else ""
        return importlib.import_module(package + name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _make_filename():
    """A random name.  While nobody replaces this function, the library draws
    names of the same form itself."""
    digits = _SHM_SAFE_NAME_LENGTH - len(_SHM_NAME_PREFIX)
    return _SHM_NAME_PREFIX + os.urandom(digits // 2).hex()


class SharedMemory(_core.Block):
    """A block of bytes that processes share by its name.

    SharedMemory(create=True, size=n) makes a block under a drawn name,
    SharedMemory(name, create=True, size=n) under the given one, and
    SharedMemory(name) attaches the block of that name, whoever made it.

    size       bytes; a new block is all zero, and its memory is reserved.
    create     True makes the block; FileExistsError if the name is taken.
    exist_ok   True makes the block or attaches the one that is there,
               whatever its size.
    mode       permission bits of a new block, the umask not applied.
    read_only  map without write permission; the views are read-only.
    lifetime   of a new block: "family" (the default) until unlink() or the
               end of the last process of this program; "holders" until the
               last process that has it open closes it or dies; "persistent"
               until unlink().
    track      False is the same as lifetime="persistent" for a new block.
               Attaching never makes an owner, with any track.
    sparse     reserve nothing: a full /dev/shm is then a SIGBUS at the touch.
    prefault   page in now, not at the first touch.
    huge       2 MiB pages for a new block of 2 MiB and more: None where the
               kernel can, True or OSError EOPNOTSUPP, False never.
    private    attach copy-on-write: changes stay in this process.
    offset,    attach only these bytes; OSError ERANGE
    length     when they do not lie within the block.
    lock       keep it in memory; OSError ENOMEM or EPERM when the limit on
               locked memory is too low (ulimit -l).
    numa       ("bind", nodes) or ("interleave", nodes): where the memory of a
               new block comes from; OSError EOPNOTSUPP or EINVAL where the
               machine has no such nodes.
    flags      O_CREX (make), O_CREAT (make or attach) or None, as in the
               first version of this class; a size without a name makes.

    Raises FileExistsError, FileNotFoundError, PermissionError, ValueError,
    and OSError with ENOSPC when /dev/shm or the memory limit would be full,
    EINVAL or ENAMETOOLONG for a bad name.  Making takes about 12
    microseconds, attaching 6; reserving, 0.25 s a GiB.  All but the wait for
    the system is under the GIL; an object may be used by many threads.

    The object offers the buffer protocol: memoryview(shm), np.frombuffer(shm)
    and so on work, as they do on .buf.  Views stay good after close(); the
    memory is unmapped with the last of them.  As a context manager it closes
    at the end, and does not unlink.  It is pickled by name.
    """

    # Defaults, as in the standard class; subclasses may override them.
    _flags = os.O_RDWR
    _mode = 0o600
    _prepend_leading_slash = True
    _track = True
    # Where the extension finds _make_filename, and the original of it.
    _home = (globals(), _make_filename)

    def __reduce__(self):
        kept = {}
        if not self._track:
            kept["track"] = False
        if self.read_only:
            kept["read_only"] = True
        if self.private:
            kept["private"] = True
        if self._part:
            kept["offset"] = self.offset
            kept["length"] = self.size
        make = partial(self.__class__, **kept) if kept else self.__class__
        return make, (self.name, False, self.size)

    def __repr__(self):
        return f"{self.__class__.__name__}({self.name!r}, size={self.size})"


class ShareableList(_core.List):
    """A list of fixed length in a block, as in the standard library.

    ShareableList(sequence) makes the block, ShareableList(name=name) attaches
    the list of that name, whoever made it; both read and write the lists of
    the standard class.

    sequence   any iterable of int (64 bits), float, bool, str, bytes and
               None.  A str or bytes gets a slot a little longer than itself,
               a multiple of 8 bytes, and may be replaced by what fits.
    name       of the block; None draws one.
    read_only  attach without write permission; setting is a TypeError.
    lifetime, mode, track
               as for SharedMemory, which see.

    What cannot be stored is refused before anything changes: KeyError for
    another type, struct.error for an int beyond 64 bits, ValueError for a str
    or bytes beyond its slot or 10 MB and for a str that ends in NUL.  Bytes
    may end in NUL.  ValueError too when the bytes in the block make no sense.

    Beyond the standard class: slices, index() with bounds, ==, close(),
    unlink() and `with`, which closes.  Nothing is locked.  A number replaced
    by one of its kind is one store; any other item is None while it is being
    replaced, and stays None if the writer is killed in the middle.  Two
    writers of one item, or a reader of a long text while it is written, need
    a lock.  Setting and getting take about 40 nanoseconds.
    """

    # The block, all numbers in the byte order of the machine:
    #   8 bytes       number of items N
    #   (N + 1) * 8   where each item begins, from the first, and their end K
    #   K             the items
    #   N * 8         the struct format of each item, filled up with NUL
    #   N             how to read each item: a key of _back_transforms_mapping
    # The extension reads and writes them; what follows is for programs that
    # reach for the private names of the standard class.
    _types_mapping = {
        int: "q",
        float: "d",
        bool: "xxxxxxx?",
        str: "%ds",
        bytes: "%ds",
        type(None): "xxxxxx?x",
    }
    _alignment = 8
    _back_transforms_mapping = {
        0: lambda value: value,
        1: lambda value: value.rstrip(b"\x00").decode(_encoding),
        2: lambda value: value.rstrip(b"\x00"),
        3: lambda _value: None,
    }

    def __init__(self, sequence=None, *, name=None, read_only=False,
                 lifetime=None, mode=None, track=True):
        if name is not None and sequence is None:
            if lifetime is not None or mode is not None:
                raise ValueError("lifetime and mode are for a new list")
            self._attach(name, read_only, track)
        elif read_only:
            raise ValueError("a new list cannot be read-only")
        else:
            keywords = {"name": name, "create": True, "track": track}
            if lifetime is not None:
                keywords["lifetime"] = lifetime
            if mode is not None:
                keywords["mode"] = mode
            items = () if sequence is None else tuple(sequence)
            self._create(items, SharedMemory, keywords)

    def _attach(self, name, read_only, track):
        # The usual case first: keywords cost time.
        shm = SharedMemory(name) if track and not read_only else \
            SharedMemory(name, track=track, read_only=read_only)
        try:
            self._bind(shm)
        except BaseException:
            shm.close()
            raise

    def close(self):
        """Close access to the list from this instance; harmless twice."""
        self.shm.close()

    def unlink(self):
        """Remove the name of the block, once over all."""
        self.shm.unlink()

    def __enter__(self):
        self.shm.__enter__()
        return self

    def __exit__(self, *error):
        self.close()

    def __reduce__(self):
        kept = {}
        if not self.shm._track:
            kept["track"] = False
        if self.shm.read_only:
            kept["read_only"] = True
        return partial(self.__class__, name=self.shm.name, **kept), ()

    def __repr__(self):
        kind = self.__class__.__name__
        return f"{kind}({list(self)}, name={self.shm.name!r})"

    @property
    def format(self):
        """The struct format of all items together."""
        return "".join(map(self._get_packing_format, range(len(self))))

    @staticmethod
    def _extract_recreation_code(value):
        if isinstance(value, str):
            return 1
        if isinstance(value, bytes):
            return 2
        return 3 if value is None else 0

    def _get_back_transform(self, position):
        """The function that makes the value of what struct has read."""
        if not 0 <= position < len(self):
            raise IndexError("Requested position out of range.")
        at = self._offset_back_transform_codes
        code = self.shm.buf[at + position]
        try:
            return self._back_transforms_mapping[code]
        except KeyError:
            raise ValueError(
                f"item {position} is damaged: no known code") from None

    def _set_packing_format_and_transform(self, position, fmt_as_str, value):
        if not 0 <= position < len(self):
            raise IndexError("Requested position out of range.")
        at = self._offset_packing_formats + 8 * position
        struct.pack_into("8s", self.shm.buf, at, fmt_as_str.encode(_encoding))
        at = self._offset_back_transform_codes + position
        self.shm.buf[at] = self._extract_recreation_code(value)

    @property
    def _list_len(self):
        return len(self)

    @property
    def _allocated_offsets(self):
        return list(struct.unpack_from(
            self._format_size_metainfo, self.shm.buf, 8))

    @property
    def _format_size_metainfo(self):
        return "q" * (len(self) + 1)

    @property
    def _format_packing_metainfo(self):
        return "8s" * len(self)

    @property
    def _format_back_transform_codes(self):
        return "b" * len(self)

    @property
    def _offset_data_start(self):
        return (len(self) + 2) * 8

    @property
    def _offset_packing_formats(self):
        return self._offset_data_start + self._allocated_offsets[-1]

    @property
    def _offset_back_transform_codes(self):
        return self._offset_packing_formats + len(self) * 8

    __class_getitem__ = classmethod(types.GenericAlias)
