# SPDX-License-Identifier: MIT
"""Arrays that processes share, and that know themselves.

    shared = shmkit.ndarray((3, 4), "f8", name="table")   # make one, zeros
    shared = shmkit.from_array(a, name="table")           # or from an array
    shared = shmkit.attach("table")                       # anywhere else

The block carries dtype, shape and order behind its elements, so the name alone
is enough, in Python and in C.  The elements stand from the first byte on: any
program that attaches the block as plain bytes sees them there.

NumPy is imported when it is needed, not before: for items, for .array and
.dtype, and for dtypes that are not given as "<f8" and the like.  The buffer
protocol, DLPack and Arrow do without.
"""

import ast
from functools import lru_cache
from operator import index

from shmkit import _core
from shmkit.shared_memory import SharedMemory

__all__ = ["attach", "from_array", "ndarray"]

_TYPES = {float: "f8", int: "i8", bool: "b1", complex: "c16"}
_NOT_FOR_NEW = ("create", "size", "flags", "read_only", "private", "offset",
                "length", "_array")


def _numpy():
    import numpy
    return numpy


# ---- dtypes: their text, and back ----

def _parts(text):
    """A structure's text as the list that NumPy calls a descr."""
    return ast.literal_eval(text) if text.startswith("[") else text


@lru_cache(maxsize=256)
def _dtype_of(text, itemsize):
    """NumPy's dtype of a stored text."""
    dtype = _numpy().lib.format.descr_to_dtype(_parts(text))
    if dtype.itemsize != itemsize:
        raise TypeError(f"NumPy has no dtype {text!r} of {itemsize} bytes")
    return dtype


def _text_of_numpy(dtype):
    if dtype.hasobject:
        raise TypeError(f"dtype {dtype} cannot be shared: a pointer means "
                        "nothing to another process")
    text = dtype.str
    if dtype.names is not None:
        try:
            text = repr(_numpy().lib.format.dtype_to_descr(dtype))
        except ValueError as error:  # fields that overlap
            raise TypeError(
                f"dtype {dtype} cannot be shared: {error}") from None
    try:
        text, itemsize = _core.dtype_canonical(text)
        same = _dtype_of(text, itemsize) == dtype
    except (TypeError, ValueError):
        same = False
    if not same:
        raise TypeError(f"dtype {dtype} cannot be shared: no text says it all")
    return text


def _describe(dtype):
    """(text, dimensions that are part of the dtype)."""
    dtype = _TYPES.get(dtype, dtype) if isinstance(dtype, type) else dtype
    if isinstance(dtype, str):
        try:
            return _core.dtype_canonical(dtype)[0], ()
        except ValueError:
            pass  # "float64" and the like: NumPy knows
    dtype = _numpy().dtype(dtype)
    return _text_of_numpy(dtype.base), dtype.shape


def _shape_of(shape):
    try:
        return (index(shape),)
    except TypeError:
        return tuple(shape)


def _same_dtype(text, dtype):
    described, inner = _describe(dtype)
    return not inner and described == text


def _rebuild(kind, name, expected, options):
    """A pickled array, in the process that gets it."""
    typestr, shape = expected
    return kind._attach(name, typestr, shape, None, options)


class ndarray(_core.NDArray):
    """An array in a block that processes share by its name.

    ndarray(shape, dtype, name) makes one, all zero; from_array() copies one
    in, attach() finds one.

    shape    an int or a tuple, at most 32 dimensions.
    dtype    whatever NumPy takes for one, structures included; no objects.
    name     of the block; None draws one.
    order    "C" or "F".
    label    a line of text for people, at most 255 bytes.
    options  lifetime, mode, track, exist_ok, sparse, prefault, huge, lock and
             numa, as SharedMemory has them.  With exist_ok, an array that is
             there is attached, if it has this dtype, shape and order; else
             ValueError.

    Items are read and written as NumPy does it: shared[1, :] = 5.  The array
    is also there as .array, which NumPy's functions take, as they take the
    object itself.  memoryview, __array_interface__, DLPack (torch.from_dlpack)
    and, with one dimension, the Arrow C data interface share the same memory.

    All views stay good after close(); the memory is unmapped with the last of
    them.  It is pickled by name.  Nothing is locked: two who write the same
    items at once need a lock.  Attributes of a closed array raise ValueError,
    but for name and shm.
    """

    def __init__(self, shape, dtype=float, name=None, *, order="C", label="",
                 **options):
        text, inner = _describe(dtype)
        self._make(text, _shape_of(shape) + inner, name, order, label, None,
                   options)

    def _make(self, text, shape, name, order, label, data, options):
        for word in _NOT_FOR_NEW:
            if word in options:
                raise TypeError(f"ndarray() has no argument {word!r}")
        if order not in ("C", "F"):
            raise ValueError(f"order must be 'C' or 'F', not {order!r}")
        spec = _core.array_spec(text, shape, order, label, data)
        try:
            shm = SharedMemory(name, True, 1, _array=spec, **options)
        except OSError as error:
            raise _in_words(error, name, text, shape) from None
        self._adopt(shm)

    def _adopt(self, shm):
        try:
            self._layout = _core.Layout(shm)
        except BaseException:
            shm.close()
            raise
        self.shm = shm
        self._array = None

    @classmethod
    def _attach(cls, name, dtype, shape, order, options):
        self = cls.__new__(cls)
        self._adopt(SharedMemory(name, **options))
        try:
            self._expect(dtype, shape, order)
        except BaseException:
            self.close()
            raise
        return self

    def _expect(self, dtype, shape, order):
        layout = self._layout
        if dtype is not None and not _same_dtype(layout.typestr, dtype):
            raise ValueError(f"array {self.name!r} has dtype "
                             f"{layout.typestr}, not {dtype}")
        if shape is not None and layout.shape != _shape_of(shape):
            raise ValueError(f"array {self.name!r} has shape {layout.shape}, "
                             f"not {_shape_of(shape)}")
        if order is not None and not layout.is_contiguous(order):
            raise ValueError(f"array {self.name!r} has not order {order!r}")

    def _open(self):
        if self._layout is None:
            raise ValueError("operation on a closed ndarray")
        return self._layout

    # ---- what it is ----

    @property
    def name(self):
        """Name of the block."""
        return self.shm.name

    @property
    def shape(self):
        """Length of each dimension."""
        return self._open().shape

    @property
    def strides(self):
        """Bytes from one item to the next, in each dimension."""
        return self._open().strides

    @property
    def ndim(self):
        """Number of dimensions."""
        return len(self._open().shape)

    @property
    def size(self):
        """Number of items."""
        return self._open().size

    @property
    def itemsize(self):
        """Bytes of one item."""
        return self._open().itemsize

    @property
    def nbytes(self):
        """Bytes of all items."""
        return self._open().size * self._open().itemsize

    @property
    def typestr(self):
        """The dtype as the block says it: "<f8", "[('x', '<f8')]"."""
        return self._open().typestr

    @property
    def dtype(self):
        """NumPy's dtype."""
        return _dtype_of(self._open().typestr, self._open().itemsize)

    @property
    def order(self):
        """ "C", "F", or "S": neither, as C programs can make it."""
        return self._open().order

    @property
    def label(self):
        """The line of text it was made with."""
        return self._open().label

    @property
    def read_only(self):
        """Whether it is mapped without write permission."""
        return self._open().read_only

    # ---- items ----

    @property
    def array(self):
        """A NumPy array of the same memory.  It stays good after close()."""
        if self._array is None:
            layout = self._open()
            self._array = _numpy().ndarray(
                layout.shape, self.dtype, layout.mapping, 0, layout.strides)
        return self._array

    def __getitem__(self, key):
        return self.array[key]

    def __setitem__(self, key, value):
        self.array[key] = value

    def __len__(self):
        return len(self.array)

    def __iter__(self):
        return iter(self.array)

    def __array__(self, dtype=None, copy=None):
        numpy = _numpy()
        wanted = self.dtype if dtype is None else numpy.dtype(dtype)
        if copy or wanted != self.dtype:
            if copy is False:
                raise ValueError(f"{wanted} is not {self.dtype}: it takes a "
                                 "copy")
            return numpy.array(self.array, dtype=wanted)
        return self.array

    # ---- for others ----

    @property
    def __array_interface__(self):
        layout = self._open()
        parts = _parts(layout.typestr)
        single = isinstance(parts, str)
        return {
            "version": 3,
            "shape": layout.shape,
            "strides": layout.strides,
            "typestr": parts if single else f"|V{layout.itemsize}",
            "descr": [("", parts)] if single else parts,
            "data": (layout.address(), layout.read_only),
        }

    def __dlpack_device__(self):
        return (1, 0)  # the CPU's memory

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None,
                   copy=None):
        if stream is not None:
            raise ValueError("the CPU has no streams")
        if dl_device is not None and tuple(dl_device) != (1, 0):
            raise BufferError("the array is in the memory of the CPU")
        layout = self._open()
        if copy:
            copied = self.array.copy()
            if max_version is None:
                return copied.__dlpack__()
            return copied.__dlpack__(max_version=max_version)
        return layout.dlpack(max_version is not None and max_version[0] >= 1)

    def __arrow_c_array__(self, requested_schema=None):
        # A producer may leave a requested schema to the consumer.
        return self._open().arrow()

    # ---- leaving ----

    def close(self):
        """Let go of the block; views stay good.  Harmless twice.

        Removes a 'holders' block when this was its last holder."""
        self._layout = self._array = None
        self.shm.close()

    def unlink(self):
        """Remove the name; the memory goes with the last who has it mapped.

        Once over all: the second call raises FileNotFoundError."""
        self.shm.unlink()

    def __enter__(self):
        self._open()
        return self

    def __exit__(self, kind, error, trace):
        self.close()

    def __reduce__(self):
        layout = self._open()
        options = {}
        if self.shm.private:
            options["private"] = True
        elif layout.read_only:
            options["read_only"] = True
        return _rebuild, (type(self), self.name,
                          (layout.typestr, layout.shape), options)

    def __repr__(self):
        kind = type(self).__name__
        if self._layout is None:
            return f"{kind}(name={self.name!r}, closed)"
        return (f"{kind}({self.shape}, {self.typestr!r}, name={self.name!r})")


def _in_words(error, name, text, shape):
    import errno
    words = {
        errno.EPROTOTYPE: f"{name!r} is another array than {text} {shape}",
        errno.EBADMSG: f"block {name!r} is there and is no array",
        errno.EOVERFLOW: f"an array {text} {shape} is too large",
        errno.EPROTONOSUPPORT: f"array {name!r} is of another version",
    }
    if error.errno in words:
        return ValueError(words[error.errno])
    return error


def from_array(a, name=None, *, dtype=None, order="K", label="", **options):
    """A new shared array with the items of `a`, anything that NumPy takes.

    They are copied before the name appears: nobody meets it half-filled.
    order "K" keeps Fortran's order if `a` has it.  An `a` with gaps is
    copied once more on the way.  The rest is as for ndarray(), but for
    exist_ok: what is there already is not overwritten.
    """
    numpy = _numpy()
    if "exist_ok" in options:
        raise TypeError("from_array() has no argument 'exist_ok'")
    a = numpy.asarray(a, dtype=dtype)
    text = _text_of_numpy(a.dtype)
    if order == "K":
        flags = a.flags
        order = "F" if flags.f_contiguous and not flags.c_contiguous else "C"
    elif order not in ("C", "F"):
        raise ValueError(f"order must be 'C', 'F' or 'K', not {order!r}")
    a = numpy.asarray(a, order=order)
    data = None
    if a.nbytes:
        flat = a.T if order == "F" else a
        data = flat.reshape(-1).view(numpy.uint8)
    self = ndarray.__new__(ndarray)
    self._make(text, a.shape, name, order, label, data, options)
    return self


def attach(name, *, dtype=None, shape=None, order=None, read_only=False,
           private=False, prefault=False, lock=False):
    """The array of that name, whoever made it.

    dtype, shape and order, if given, are what it must have; else ValueError.
    ValueError also when the block is no array, FileNotFoundError when there is
    none.  read_only, private, prefault and lock are SharedMemory's.
    """
    options = {}
    if read_only:
        options["read_only"] = True
    if private:
        options["private"] = True
    if prefault:
        options["prefault"] = True
    if lock:
        options["lock"] = True
    return ndarray._attach(name, dtype, shape, order, options)
