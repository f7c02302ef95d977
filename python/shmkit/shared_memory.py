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
import re
import struct
import types
from functools import partial
from itertools import accumulate

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


class ShareableList:
    """A list of fixed length in a block, as in the standard library.

    Holds int (64 bits), float, bool, str, bytes and None; a str or bytes item
    gets a slot when the list is made, its length rounded up to a multiple of
    8, and may be replaced by what fits.
    Trailing NUL bytes are lost: the format has no place for a length.  Nothing
    is locked: two writers of one item, or a writer and a reader, need a lock.

    ShareableList(sequence) makes the block, ShareableList(name=name) attaches
    the list of that name.  The block is the attribute shm: close() and
    unlink() are there.
    """

    # The block, all numbers in the byte order of the machine:
    #   8 bytes       number of items N
    #   (N + 1) * 8   where each item begins, from the first, and their end K
    #   K             the items
    #   N * 8         the struct format of each item, filled up with NUL
    #   N             how to read each item: a key of _back_transforms_mapping
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
    # What a format in the block may be: it is somebody else's bytes.
    _known_format = re.compile(r"[qd]|xxxxxxx\?|xxxxxx\?x|[1-9][0-9]{0,6}s")

    @staticmethod
    def _extract_recreation_code(value):
        if isinstance(value, str):
            return 1
        if isinstance(value, bytes):
            return 2
        return 3 if value is None else 0

    def __init__(self, sequence=None, *, name=None):
        if name is None or sequence is not None:
            self._create(name, () if sequence is None else list(sequence))
        else:
            self._attach(name)

    def _create(self, name, items):
        encoded = [self._encode(item) for item in items]
        formats = [self._format_for(*pair) for pair in zip(items, encoded)]
        self._list_len = len(formats)
        self._allocated_offsets = [
            0, *accumulate(struct.calcsize(form) for form in formats)
        ]
        layout = (
            "q" + self._format_size_metainfo + "".join(formats)
            + self._format_packing_metainfo + self._format_back_transform_codes
        )
        content = struct.pack(
            layout,
            self._list_len,
            *self._allocated_offsets,
            *encoded,
            *(form.encode(_encoding) for form in formats),
            *(self._extract_recreation_code(item) for item in items),
        )
        self.shm = SharedMemory(name, create=True, size=len(content))
        self.shm.buf[:len(content)] = content

    def _attach(self, name):
        self.shm = SharedMemory(name)
        try:
            (self._list_len,) = struct.unpack_from("q", self.shm.buf, 0)
            self._allocated_offsets = self._read_offsets()
        except BaseException:
            self.shm.close()
            raise

    def _read_offsets(self):
        """Where the items begin; ValueError when it cannot be a list."""
        count = self._list_len
        if count < 0 or (count + 2) * 8 + 9 * count > self.shm.size:
            raise ValueError(f"{self.shm.name!r} is not a ShareableList")
        offsets = list(struct.unpack_from(
            self._format_size_metainfo, self.shm.buf, 8))
        end = self.shm.size - (count + 2) * 8 - 9 * count
        if (offsets[0] != 0 or offsets[-1] > end
                or any(a > b for a, b in zip(offsets, offsets[1:]))):
            raise ValueError(f"{self.shm.name!r} is not a ShareableList")
        return offsets

    @staticmethod
    def _encode(value):
        return value.encode(_encoding) if isinstance(value, str) else value

    def _format_for(self, item, encoded):
        """The format of a new slot.  KeyError for a type that has none."""
        form = self._types_mapping[type(item)]
        if not isinstance(item, (str, bytes)):
            return form
        # By characters, as ever; by bytes where those would not fit.
        slots = max(len(item) // self._alignment + 1,
                    -(-len(encoded) // self._alignment))
        form %= self._alignment * slots
        if len(form) > 8:
            raise ValueError("bytes/str item of 10 MB or more")
        return form

    def _checked_position(self, position):
        if not 0 <= position < self._list_len:
            raise IndexError("Requested position out of range.")
        return position

    def _offset_of_format(self, position):
        return (self._offset_packing_formats
                + 8 * self._checked_position(position))

    def _get_packing_format(self, position):
        """The struct format of one item."""
        if position < 0:
            position += self._list_len
        at = self._offset_of_format(position)
        raw = bytes(self.shm.buf[at:at + 8])
        form = raw.rstrip(b"\x00").decode("latin-1")
        if not self._known_format.fullmatch(form):
            raise ValueError(f"item {position} has no known format: {raw!r}")
        return form

    def _get_back_transform(self, position):
        """The function that makes the value of what struct has read."""
        at = self._offset_back_transform_codes
        code = self.shm.buf[at + self._checked_position(position)]
        try:
            return self._back_transforms_mapping[code]
        except KeyError:
            raise ValueError(
                f"item {position} has no known code: {code}") from None

    def _set_packing_format_and_transform(self, position, fmt_as_str, value):
        at = self._offset_of_format(position)
        struct.pack_into(
            "8s", self.shm.buf, at, fmt_as_str.encode(_encoding))
        at = self._offset_back_transform_codes + position
        self.shm.buf[at] = self._extract_recreation_code(value)

    def __getitem__(self, position):
        if position < 0:
            position += self._list_len
        if not 0 <= position < self._list_len:
            raise IndexError("index out of range")
        form = self._get_packing_format(position)
        offset = self._offset_data_start + self._allocated_offsets[position]
        (value,) = struct.unpack_from(form, self.shm.buf, offset)
        return self._get_back_transform(position)(value)

    def __setitem__(self, position, value):
        if position < 0:
            position += self._list_len
        if not 0 <= position < self._list_len:
            raise IndexError("assignment index out of range")
        start, end = self._allocated_offsets[position:position + 2]
        encoded = self._encode(value)
        if isinstance(value, (str, bytes)):
            if len(encoded) > end - start:
                raise ValueError("bytes/str item exceeds available storage")
            form = self._get_packing_format(position)
            if form[-1] != "s":
                form = self._types_mapping[str] % (end - start)
        else:
            form = self._types_mapping[type(value)]
        # Packed before anything is stored: a value that does not fit leaves
        # the old one whole.
        packed = struct.pack(form, encoded)
        self._set_packing_format_and_transform(position, form, value)
        offset = self._offset_data_start + start
        self.shm.buf[offset:offset + len(packed)] = packed

    def __reduce__(self):
        return partial(self.__class__, name=self.shm.name), ()

    def __len__(self):
        return struct.unpack_from("q", self.shm.buf, 0)[0]

    def __repr__(self):
        kind = self.__class__.__name__
        return f"{kind}({list(self)}, name={self.shm.name!r})"

    @property
    def format(self):
        """The struct format of all items together."""
        return "".join(map(self._get_packing_format, range(self._list_len)))

    @property
    def _format_size_metainfo(self):
        return "q" * (self._list_len + 1)

    @property
    def _format_packing_metainfo(self):
        return "8s" * self._list_len

    @property
    def _format_back_transform_codes(self):
        return "b" * self._list_len

    @property
    def _offset_data_start(self):
        return (self._list_len + 2) * 8

    @property
    def _offset_packing_formats(self):
        return self._offset_data_start + self._allocated_offsets[-1]

    @property
    def _offset_back_transform_codes(self):
        return self._offset_packing_formats + self._list_len * 8

    def count(self, value):
        """How many items are equal to value."""
        return sum(value == entry for entry in self)

    def index(self, value):
        """Position of the first item equal to value; ValueError if none is."""
        for position, entry in enumerate(self):
            if value == entry:
                return position
        raise ValueError(f"{value!r} not in this container")

    __class_getitem__ = classmethod(types.GenericAlias)
