# SPDX-License-Identifier: MIT
"""Arrays that know themselves: made, found by name alone, shared with others.

Every dtype and layout is compared with what NumPy says of the same array.
"""

import copy
import ctypes
import errno
import gc
import operator
import os
import pickle
import sys

import numpy as np
import pytest

import shmkit
import workers
from helpers import check_python, exists, inode_of, mapped, plain_pythons
from shmkit import _core, shared_memory

LITTLE = sys.byteorder == "little"
NATIVE, OTHER = "<>" if LITTLE else "><"

DTYPES = [
    *[np.dtype(code) for code in "?bhilqBHILQefdgFDG"],
    *[np.dtype(OTHER + code) for code in ("i2", "u4", "f8", "c16", "U3")],
    np.dtype("S7"), np.dtype("U5"), np.dtype("V9"), np.dtype("S1"),
    np.dtype("M8[ns]"), np.dtype("m8[25s]"), np.dtype("M8[D]"),
    np.dtype([("a", "i4"), ("b", "f8")]),
    np.dtype([("a", "i1"), ("b", "f8")], align=True),
    np.dtype([("a", "i1"), ("b", ">f8", (2, 3)), ("c", "S3")]),
    np.dtype([("p", [("x", "f4"), ("y", "u2")], (2,)), ("t", "M8[s]")]),
    np.dtype([("it's", "i4"), ("größe", "f4"), ("a b", "?")]),
    np.dtype({"names": ["a", "b"], "formats": ["u1", "u4"],
              "offsets": [3, 8], "itemsize": 20}),
]
SHAPES = [(), (0,), (1,), (7,), (3, 4), (3, 0, 2), (2, 3, 4, 5), (1,) * 32]


def random_array(shape, dtype, order="C"):
    """Any bytes at all, but for bool, whose bytes are 0 or 1."""
    rng = np.random.default_rng(len(shape) + dtype.itemsize)
    count = int(np.prod(shape, dtype="i8")) * dtype.itemsize
    high = 2 if "?" in repr(dtype.descr) or dtype.kind == "b" else 255
    if dtype.kind == "U" or dtype.kind == "V" and high == 2:
        high = 1
    raw = rng.integers(0, high, count, dtype="u1")
    array = np.ndarray(shape, dtype, buffer=raw.tobytes() or b"\0" * 64)
    return np.array(array, order=order)


def same(a, b):
    """Same dtype, shape and bytes; NaN and gaps included."""
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    return a.tobytes("A") == b.tobytes("A") or np.array_equal(a, b)


@pytest.fixture
def shared(name):
    with shmkit.ndarray((3, 4), "f8", name) as array:
        array[:] = np.arange(12).reshape(3, 4)
        yield array
    if exists(name):
        array.unlink()


# ---- there and back ----

@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("order", "CF")
def test_every_dtype_there_and_back(name, dtype, order):
    for shape in SHAPES:
        a = random_array(shape, dtype, order)
        with shmkit.from_array(a, name) as made, shmkit.attach(name) as met:
            for one in (made, met):
                assert same(one.array, a)
                assert one.dtype == a.dtype and one.shape == a.shape
                assert one.nbytes == a.nbytes and one.size == a.size
                assert one.itemsize == a.itemsize and one.ndim == a.ndim
                if a.size:
                    assert one.strides == a.strides
            made.unlink()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_numpy_takes_it_as_it_is(name, dtype):
    a = random_array((3, 4), dtype, "F")
    with shmkit.from_array(a, name) as made:
        view = np.asarray(made)
        assert view.dtype == dtype and same(view, a)
        assert np.shares_memory(view, made.array)
        made.unlink()


def test_from_anything(name):
    for a in ([1, 2, 3], range(4), 5, b"bytes", "text", [[1.5], [2.5]],
              np.arange(20)[::3], np.arange(24).reshape(2, 3, 4)[:, ::2, 1:],
              np.ma.masked_array([1, 2]), memoryview(b"abc")):
        with shmkit.from_array(a, name) as made:
            assert same(made.array, np.array(np.asarray(a)))
            made.unlink()
    with shmkit.from_array([1, 2], name, dtype="f4", label="two") as made:
        assert made.dtype == "f4" and made.label == "two"
        made.unlink()


def test_orders(name):
    f = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    for order, wanted in (("K", "F"), ("C", "C"), ("F", "F")):
        with shmkit.from_array(f, name, order=order) as made:
            assert made.order == wanted
            assert np.array_equal(made.array, f)
            assert shmkit.attach(name, order=wanted).order == wanted
            with pytest.raises(ValueError, match="order"):
                shmkit.attach(name, order="CF".replace(wanted, ""))
            with pytest.raises(ValueError, match="order"):
                shmkit.attach(name, order="X")
            made.unlink()
    for order in ("A", "K", None, 5):
        with pytest.raises(ValueError, match="order"):
            shmkit.ndarray(3, "f8", order=order)


@pytest.mark.parametrize("given, typestr", [
    (float, f"{NATIVE}f8"), (int, f"{NATIVE}i8"), (bool, "|b1"),
    (complex, f"{NATIVE}c16"), ("f4", f"{NATIVE}f4"), ("u1", "|u1"),
    ("float32", f"{NATIVE}f4"), (np.int16, f"{NATIVE}i2"), (">u2", ">u2"),
    ("[('a', 'f8')]", f"[('a', '{NATIVE}f8')]"),
    ([("a", "f8")], f"[('a', '{NATIVE}f8')]"),
    ("f4, u1", f"[('f0', '{NATIVE}f4'), ('f1', '|u1')]")])
def test_words_for_a_dtype(given, typestr):
    with shmkit.ndarray(2, given) as made:
        assert made.typestr == typestr
        assert not made.array.tobytes().strip(b"\0")
        made.unlink()


def test_shapes_inside_of_a_dtype_become_dimensions():
    with shmkit.ndarray(2, "(3,4)f4") as made:
        assert made.shape == (2, 3, 4) and made.dtype == "f4"
        made.unlink()


def test_a_label_is_any_line(name):
    for label in ("", "unit: µm", "x" * 255):
        with shmkit.ndarray(1, "f8", name, label=label) as made:
            assert shmkit.attach(name).label == label == made.label
            made.unlink()
    for label in ("x" * 256, "two\nlines", "nul\0"):
        with pytest.raises((ValueError, OSError)):
            shmkit.ndarray(1, "f8", name, label=label)
    with pytest.raises(TypeError):
        shmkit.ndarray(1, "f8", name, label=b"bytes")


def test_items(shared):
    other = shmkit.attach(shared.name)
    other[1, 2] = 77
    other[0, :] *= 2
    assert shared[1, 2] == 77 and list(shared[0]) == [0, 2, 4, 6]
    assert len(shared) == 3 and sum(1 for row in shared) == 3
    assert (shared[shared.array > 10] > 10).all()
    assert np.sum(other) == np.sum(shared.array)
    with pytest.raises(IndexError):
        shared[3]
    other.close()


# ---- refused ----

@pytest.mark.parametrize("dtype", [
    object, "O", [("a", "f8"), ("b", "O")], np.dtype([("a", "(2,)O")])],
    ids=str)
def test_objects_are_refused(name, dtype):
    with pytest.raises(TypeError, match="pointer"):
        shmkit.ndarray(3, dtype, name)
    with pytest.raises(TypeError, match="pointer"):
        shmkit.from_array(np.zeros(3, dtype), name)
    assert not exists(name)


@pytest.mark.parametrize("dtype", [
    np.dtype({"names": ["a", "b"], "formats": ["u4", "u4"],
              "offsets": [0, 2]}),
    np.dtype({"names": ["a", "b"], "formats": ["u4", "u4"],
              "offsets": [4, 0]}),
    np.dtype([(("title", "a"), "f8")])], ids=str)
def test_dtypes_without_a_text_are_refused(name, dtype):
    with pytest.raises(TypeError, match="cannot be shared"):
        shmkit.ndarray(3, dtype, name)
    assert not exists(name)


@pytest.mark.parametrize("shape, error", [
    (-1, ValueError), ((3, -1), ValueError), ((1,) * 33, ValueError),
    ("ab", TypeError), (2.5, TypeError), ((2.5,), TypeError),
    (None, TypeError), ((1 << 40, 1 << 40), ValueError),
    ((0, 1 << 62), ValueError), (1 << 70, OverflowError)])
def test_shapes_that_are_no_good(name, shape, error):
    with pytest.raises(error):
        shmkit.ndarray(shape, "f8", name)
    assert not exists(name)


@pytest.mark.parametrize("word", [
    "create", "size", "flags", "read_only", "private", "offset", "length",
    "_array", "nonsense"])
def test_words_that_are_not_for_arrays(name, word):
    with pytest.raises(TypeError):
        shmkit.ndarray(3, "f8", name, **{word: 1})
    with pytest.raises(TypeError):
        shmkit.from_array([1], name, exist_ok=True)
    assert not exists(name)


def test_expectations(shared):
    name = shared.name
    shmkit.attach(name, dtype="f8", shape=(3, 4), order="C").close()
    shmkit.attach(name, dtype=float, shape=[3, 4]).close()
    for wrong in ({"dtype": "f4"}, {"dtype": OTHER + "f8"},
                  {"dtype": "(2,)f8"}, {"shape": (4, 3)}, {"shape": 12},
                  {"order": "F"}):
        with pytest.raises(ValueError, match=name):
            shmkit.attach(name, **wrong)
    assert mapped(inode_of(name)) == 1


def test_exist_ok(shared):
    name = shared.name
    with shmkit.ndarray((3, 4), "f8", name, exist_ok=True) as again:
        assert again[1, 1] == 5
    for shape, dtype in (((4, 3), "f8"), ((3, 4), "f4"), (12, "f8")):
        with pytest.raises(ValueError, match="another array"):
            shmkit.ndarray(shape, dtype, name, exist_ok=True)
    with pytest.raises(FileExistsError):
        shmkit.ndarray((3, 4), "f8", name)
    with pytest.raises(FileNotFoundError):
        shmkit.attach(name + "-no")


def test_blocks_that_are_no_arrays(name):
    for size in (1, 64, 128, 4096, 100000):
        block = shared_memory.SharedMemory(name, create=True, size=size)
        for byte in (0, 255):
            block.buf[:] = bytes([byte]) * size
            with pytest.raises(ValueError, match="is no array"):
                shmkit.attach(name)
        with pytest.raises(ValueError, match="no array"):
            shmkit.ndarray(8, "f8", name, exist_ok=True)
        assert mapped(inode_of(name)) == 1
        block.close()
        block.unlink()


def test_a_damaged_description_is_an_error(shared):
    block = shared.shm
    start = block.size - 128
    for at in range(start, block.size):
        block.buf[at] ^= 1
        with pytest.raises(ValueError, match="damaged|another version"):
            shmkit.attach(shared.name)
        block.buf[at] ^= 1
    shmkit.attach(shared.name).close()


def test_a_resized_block_is_no_array_any_more(shared):
    view = np.asarray(shared)
    shared.shm.resize(100000)
    with pytest.raises(ValueError, match="another size"):
        shmkit.attach(shared.name)
    assert shared[1, 1] == view[1, 1] == 5
    shared[1, 1] = 6
    assert view[1, 1] == 6 and shared.shape == (3, 4)


def test_a_full_shm_is_an_error(name, private_shm):
    with pytest.raises(OSError) as caught:
        shmkit.ndarray(1 << 50, "u1", name)
    assert caught.value.errno == errno.ENOSPC
    assert not exists(name)


# ---- options ----

def test_options_are_those_of_shared_memory(name):
    with shmkit.ndarray(3, "f8", name, lifetime="holders", mode=0o640) as one:
        assert one.shm.stat().lifetime == "holders"
        assert one.shm.mode == 0o640
    assert not exists(name)
    with shmkit.ndarray(3, "f8", name, track=False, huge=False,
                        prefault=True) as one:
        assert one.shm.stat().lifetime == "persistent"
        one.unlink()
    with shmkit.ndarray(1 << 22, "f8", name, sparse=True) as one:
        assert one.shm.stat().resident < 1 << 20
        one.unlink()
    with pytest.raises(ValueError, match="lifetime"):
        shmkit.ndarray(3, "f8", name, lifetime="for ever")


def test_read_only(shared):
    with shmkit.attach(shared.name, read_only=True) as reader:
        assert reader.read_only and reader[1, 1] == 5
        for view in (reader.array, np.asarray(reader), memoryview(reader)):
            with pytest.raises((ValueError, TypeError)):
                view[1, 1] = 0
        with pytest.raises(ValueError):
            reader[1, 1] = 0
        with pytest.raises(TypeError, match="writable"):
            (ctypes.c_char * 8).from_buffer(reader)
        assert reader.__array_interface__["data"][1] is True


def test_private(shared):
    with shmkit.attach(shared.name, private=True) as mine:
        mine[:] = 0
        assert shared[1, 1] == 5 and not mine.array.any()
    for a, b in ((True, True),):
        with pytest.raises(ValueError):
            shmkit.attach(shared.name, private=a, read_only=b)


# ---- closing ----

def test_views_outlive_close(shared):
    inode = inode_of(shared.name)
    views = [shared.array, np.asarray(shared), memoryview(shared),
             shared[1:, ::2], np.from_dlpack(shared),
             np.frombuffer(shared, "f8").reshape(3, 4),
             np.ndarray((3, 4), "f8", buffer=shared)]
    shared.close()
    gc.collect()
    for view in views:
        value = view[1][0] if not isinstance(view, memoryview) else view[1, 0]
        assert value in (4, 8)
    assert mapped(inode) == 1
    views[0][0, 0] = 99
    assert views[1][0, 0] == views[2][0, 0] == views[6][0, 0] == 99


def test_the_last_view_unmaps(name):
    shared = shmkit.ndarray(1000, "f8", name)
    inode = inode_of(name)
    view, slice_ = shared.array, shared[10:20]
    shared.unlink()
    shared.close()
    del view
    assert mapped(inode) == 1
    slice_[0] = 1
    del slice_
    assert mapped(inode) == 0


class Keeper:
    """Relies on the array alone, by its address."""

    def __init__(self, array):
        self.__array_interface__ = array.__array_interface__
        self.array = array


def test_addresses_stay_good_while_somebody_keeps_the_array(name):
    shared = shmkit.ndarray(10, "M8[s]", name)
    inode = inode_of(name)
    by_interface = np.asarray(shared)  # a buffer can not say M8
    keeper = np.asarray(Keeper(shared))
    shared.close()
    by_interface[:] = 5
    assert (keeper == np.datetime64(5, "s")).all()
    shared.unlink()
    del shared, by_interface, keeper
    gc.collect()
    assert mapped(inode) == 0


def test_a_closed_array_says_so(shared):
    shared.close()
    shared.close()
    for get in ("shape", "strides", "dtype", "typestr", "order", "label",
                "size", "nbytes", "ndim", "itemsize", "array", "read_only",
                "__array_interface__"):
        with pytest.raises(ValueError, match="closed"):
            getattr(shared, get)
    for use in (lambda: shared[0], lambda: memoryview(shared),
                lambda: shared.__dlpack__(), lambda: len(shared),
                lambda: shared.__arrow_c_array__(), lambda: iter(shared),
                lambda: pickle.dumps(shared), lambda: shared.__enter__(),
                lambda: operator.setitem(shared, 0, 1)):
        with pytest.raises(ValueError, match="closed"):
            use()
    assert "closed" in repr(shared) and shared.name in repr(shared)
    shared.unlink()
    with pytest.raises(FileNotFoundError):
        shared.unlink()


def test_a_view_after_the_inner_block_was_closed(shared):
    shared.shm.close()
    assert shared[1, 1] == 5 and memoryview(shared)[1, 1] == 5


# ---- pickles and processes ----

def test_pickled_by_name(shared):
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        with pickle.loads(pickle.dumps(shared, protocol)) as again:
            assert np.array_equal(again.array, shared.array)
            again[0, 0] += 1
    assert shared[0, 0] == pickle.HIGHEST_PROTOCOL - 1
    with copy.copy(shared) as second:
        assert np.shares_memory(second.array, second.array)
        assert second.name == shared.name
    with shmkit.attach(shared.name, read_only=True) as reader:
        with pickle.loads(pickle.dumps(reader)) as again:
            assert again.read_only
    with shmkit.attach(shared.name, private=True) as mine:
        with pickle.loads(pickle.dumps(mine)) as again:
            assert again.shm.private


def test_a_pickle_is_as_small_for_a_gibibyte(name):
    small = shmkit.ndarray(1, "f8", name)
    short = pickle.dumps(small)
    small.close()
    small.unlink()
    big = shmkit.ndarray(1 << 27, "f8", name, sparse=True)
    assert len(pickle.dumps(big)) < len(short) + 16 < 300
    big.close()
    big.unlink()


def test_a_pickle_of_another_array_of_that_name(name):
    one = shmkit.ndarray(3, "f8", name)
    pickled = pickle.dumps(one)
    one.close()
    one.unlink()
    with shmkit.ndarray(4, "f8", name) as other:
        with pytest.raises(ValueError, match="shape"):
            pickle.loads(pickled)
        other.unlink()
    with pytest.raises(FileNotFoundError):
        pickle.loads(pickled)


class Named(shmkit.ndarray):
    """Subclasses pickle as themselves."""

    def total(self):
        return self.array.sum()


def test_subclasses(name):
    with Named(3, "f8", name) as one:
        one[:] = 2
        with pickle.loads(pickle.dumps(one)) as again:
            assert type(again) is Named and again.total() == 6
        one.unlink()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_write_into_it(shared, method):
    context = shmkit.get_context(method)
    process = context.Process(target=workers.double_rows,
                              args=(shared, shared.name))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert np.array_equal(shared.array,
                          4 * np.arange(12.0).reshape(3, 4))


@pytest.mark.parametrize("version, python", sorted(plain_pythons().items()))
def test_plain_cpython_sees_the_bytes(shared, version, python):
    out = check_python("""if 1:
        import struct, sys
        from multiprocessing import resource_tracker, shared_memory
        shm = shared_memory.SharedMemory(sys.argv[1])
        resource_tracker.unregister(shm._name, "shared_memory")
        print(struct.unpack_from("12d", shm.buf))
        struct.pack_into("d", shm.buf, 8, 123.0)
        shm.close()
        """, shared.name, python=python, plain=True)
    assert out == str(tuple(map(float, range(12))))
    assert shared[0, 1] == 123


# ---- without NumPy ----

def test_numpy_is_not_imported_before_it_is_needed(name):
    check_python("""if 1:
        import sys
        sys.modules["numpy"] = None  # importing it fails from now on
        import shmkit, pickle
        with shmkit.ndarray((2, 3), "i4", sys.argv[1]) as a:
            view = memoryview(a)
            view[1, 2] = 77
            b = shmkit.attach(sys.argv[1], dtype="i4", shape=(2, 3))
            assert memoryview(b).tolist() == [[0, 0, 0], [0, 0, 77]]
            c = pickle.loads(pickle.dumps(b))
            assert (c.shape, c.typestr, c.nbytes) == ((2, 3), "<i4", 24)
            assert c.strides == (12, 4) and c.ndim == 2 and c.size == 6
            assert a.__dlpack_device__() == (1, 0) and a.__dlpack__()
            a.__array_interface__
            shmkit.ndarray(3, float).unlink()
            for need in (lambda: a[0], lambda: a.dtype, lambda: a.array,
                         lambda: shmkit.ndarray(3, "float64")):
                try:
                    need()
                except ImportError:
                    continue
                raise AssertionError
            a.unlink()
        """, name)


# ---- buffers ----

FORMATS = [("f8", "d"), ("?", "?"), ("u1", "B"), ("i8", "l"), ("S5", "5s"),
           (OTHER + "i8", OTHER + "q"), ("U2", "2w"), ("c16", "Zd"),
           ("g", "g"),
           ([("a", "u1"), ("b", NATIVE + "f4", (3,))],
            f"T{{=B:a:(3){NATIVE}f:b:}}")]


@pytest.mark.parametrize("dtype, form", FORMATS, ids=str)
def test_formats(dtype, form):
    with shmkit.ndarray(2, dtype) as one:
        assert memoryview(one).format == form
        assert memoryview(one).itemsize == np.dtype(dtype).itemsize
        one.unlink()


@pytest.mark.parametrize("dtype", ["M8[s]", "V3", [("a", "M8[s]")],
                                   [("a:b", "u1")],
                                   [("a", "g")]], ids=str)
def test_what_a_buffer_can_not_say(dtype):
    with shmkit.ndarray(2, dtype) as one:
        with pytest.raises(BufferError, match="no word"):
            memoryview(one)
        assert np.asarray(one).dtype == np.dtype(dtype)
        one.unlink()


def test_buffers_of_every_contiguity():
    from array import array
    with shmkit.ndarray((2, 3), "u1", order="F") as one:
        one[:] = [[1, 2, 3], [4, 5, 6]]
        view = memoryview(one)
        assert view.f_contiguous and not view.c_contiguous
        assert view.tolist() == [[1, 2, 3], [4, 5, 6]]
        with pytest.raises(BufferError, match="C-contiguous"):
            array("B").frombytes(one)
        one.unlink()
    with shmkit.ndarray((2, 3), "u1") as one:
        one[:] = [[1, 2, 3], [4, 5, 6]]
        numbers = array("B")
        numbers.frombytes(one)
        assert list(numbers) == [1, 2, 3, 4, 5, 6] == list(bytes(one))
        (ctypes.c_ubyte * 6).from_buffer(one)[5] = 66
        assert one[1, 2] == 66
        one.unlink()


# ---- DLPack ----

class DLTensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("device_type", ctypes.c_int32),
                ("device_id", ctypes.c_int32), ("ndim", ctypes.c_int32),
                ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8),
                ("lanes", ctypes.c_uint16),
                ("shape", ctypes.POINTER(ctypes.c_int64)),
                ("strides", ctypes.POINTER(ctypes.c_int64)),
                ("byte_offset", ctypes.c_uint64)]


DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class DLManaged(ctypes.Structure):
    _fields_ = [("tensor", DLTensor), ("context", ctypes.c_void_p),
                ("deleter", DELETER)]


class DLVersioned(ctypes.Structure):
    _fields_ = [("major", ctypes.c_uint32), ("minor", ctypes.c_uint32),
                ("context", ctypes.c_void_p), ("deleter", DELETER),
                ("flags", ctypes.c_uint64), ("tensor", DLTensor)]


def pointer_of(capsule, name):
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype = ctypes.c_void_p
    get.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return get(capsule, name)


_names = []  # a capsule does not copy its name


def consume(capsule, name, kind):
    """Take it over, as a consumer does."""
    address = pointer_of(capsule, name)
    _names.append(b"used_" + name)
    rename = ctypes.pythonapi.PyCapsule_SetName
    rename.argtypes = [ctypes.py_object, ctypes.c_char_p]
    assert rename(capsule, _names[-1]) == 0
    return kind.from_address(address), address


FORMS = [(None, b"dltensor", DLManaged), ((0, 8), b"dltensor", DLManaged),
         ((1, 0), b"dltensor_versioned", DLVersioned),
         ((2, 3), b"dltensor_versioned", DLVersioned)]


@pytest.mark.parametrize("version, name, kind", FORMS, ids=str)
def test_a_dlpack_consumer_shares_the_memory(version, name, kind):
    shared = shmkit.ndarray((2, 3), "i2", order="F")
    inode = inode_of(shared.name)
    capsule = shared.__dlpack__(max_version=version)
    managed, address = consume(capsule, name, kind)
    if kind is DLVersioned:
        assert (managed.major, managed.flags) == (1, 0)
    tensor = managed.tensor
    assert (tensor.device_type, tensor.device_id) == (1, 0)
    assert (tensor.code, tensor.bits, tensor.lanes) == (0, 16, 1)
    assert tensor.ndim == 2 and tensor.byte_offset == 0
    assert tensor.shape[:2] == [2, 3] and tensor.strides[:2] == [1, 2]
    numbers = (ctypes.c_int16 * 6).from_address(tensor.data)
    shared[1, 2] = 77
    numbers[0] = 55
    assert numbers[5] == 77 and shared[0, 0] == 55
    shared.unlink()
    shared.close()
    del capsule, shared
    gc.collect()
    assert numbers[5] == 77 and mapped(inode) == 1
    managed.deleter(address)
    assert mapped(inode) == 0


@pytest.mark.parametrize("version", [None, (1, 0)])
def test_a_dlpack_nobody_took_is_given_back(version):
    shared = shmkit.ndarray(3, "f8")
    inode = inode_of(shared.name)
    capsule = shared.__dlpack__(max_version=version)
    shared.unlink()
    shared.close()
    assert mapped(inode) == 1
    del capsule
    assert mapped(inode) == 0


def test_dlpack_read_only_is_told_or_refused(shared):
    with shmkit.attach(shared.name, read_only=True) as reader:
        with pytest.raises(BufferError, match="read-only"):
            reader.__dlpack__()
        managed, address = consume(reader.__dlpack__(max_version=(1, 0)),
                                   b"dltensor_versioned", DLVersioned)
        assert managed.flags == 1
        managed.deleter(address)


@pytest.mark.parametrize("dtype, code, bits", [
    ("?", 6, 8), ("i1", 0, 8), ("i8", 0, 64), ("u4", 1, 32), ("f2", 2, 16),
    ("f4", 2, 32), ("f8", 2, 64), ("c8", 5, 64), ("c16", 5, 128)])
def test_dlpack_types(dtype, code, bits):
    with shmkit.ndarray((), dtype) as one:
        managed, address = consume(one.__dlpack__(), b"dltensor", DLManaged)
        assert (managed.tensor.code, managed.tensor.bits) == (code, bits)
        managed.deleter(address)
        one.unlink()


@pytest.mark.parametrize("dtype", ["S3", "U2", "V4", "M8[s]", "g", "G",
                                   OTHER + "f8", [("a", "f8")]], ids=str)
def test_dlpack_refuses_what_it_has_not(dtype):
    with shmkit.ndarray(3, dtype) as one:
        for version in (None, (1, 0)):
            with pytest.raises(BufferError):
                one.__dlpack__(max_version=version)
        one.unlink()


def test_dlpack_arguments(shared):
    assert shared.__dlpack_device__() == (1, 0)
    shared.__dlpack__(stream=None, dl_device=(1, 0), copy=False)
    with pytest.raises(BufferError):
        shared.__dlpack__(dl_device=(2, 0))
    with pytest.raises(ValueError):
        shared.__dlpack__(stream=1)
    managed, address = consume(shared.__dlpack__(copy=True), b"dltensor",
                               DLManaged)
    assert managed.tensor.data != shared.__array_interface__["data"][0]
    managed.deleter(address)
    assert np.shares_memory(np.from_dlpack(shared), shared.array)


def test_torch_shares_it(shared):
    torch = pytest.importorskip("torch")
    tensor = torch.from_dlpack(shared)
    tensor[1, 1] = 99
    shared[1, 2] = 98
    assert shared[1, 1] == 99 and tensor[1, 2] == 98
    shared.close()
    assert tensor[1, 1] == 99


# ---- Arrow ----

class ArrowSchema(ctypes.Structure):
    _fields_ = [("format", ctypes.c_char_p), ("name", ctypes.c_char_p),
                ("metadata", ctypes.c_char_p), ("flags", ctypes.c_int64),
                ("n_children", ctypes.c_int64), ("children", ctypes.c_void_p),
                ("dictionary", ctypes.c_void_p), ("release", ctypes.c_void_p),
                ("private_data", ctypes.c_void_p)]


class ArrowArray(ctypes.Structure):
    _fields_ = [("length", ctypes.c_int64), ("null_count", ctypes.c_int64),
                ("offset", ctypes.c_int64), ("n_buffers", ctypes.c_int64),
                ("n_children", ctypes.c_int64),
                ("buffers", ctypes.POINTER(ctypes.c_void_p)),
                ("children", ctypes.c_void_p),
                ("dictionary", ctypes.c_void_p), ("release", ctypes.c_void_p),
                ("private_data", ctypes.c_void_p)]


def arrow_of(shared):
    schema, array = shared.__arrow_c_array__()
    return (ArrowSchema.from_address(pointer_of(schema, b"arrow_schema")),
            ArrowArray.from_address(pointer_of(array, b"arrow_array")),
            (schema, array))


@pytest.mark.parametrize("dtype, form", [
    ("i1", b"c"), ("u1", b"C"), ("i2", b"s"), ("u2", b"S"), ("i4", b"i"),
    ("u4", b"I"), ("i8", b"l"), ("u8", b"L"), ("f2", b"e"), ("f4", b"f"),
    ("f8", b"g")])
def test_an_arrow_consumer_shares_the_memory(dtype, form):
    shared = shmkit.from_array(np.arange(5, dtype=dtype))
    inode = inode_of(shared.name)
    schema, array, capsules = arrow_of(shared)
    assert schema.format == form and schema.flags == schema.n_children == 0
    assert (array.length, array.null_count, array.offset) == (5, 0, 0)
    assert array.n_buffers == 2 and array.buffers[0] is None
    assert array.buffers[1] % 64 == 0
    seen = np.frombuffer((ctypes.c_char * shared.nbytes).from_address(
        array.buffers[1]), dtype)
    shared[3] = 33
    shared.unlink()
    shared.close()
    assert list(seen) == [0, 1, 2, 33, 4]
    moved = ArrowArray.from_buffer_copy(array)  # the consumer takes it
    array.release = None
    del capsules
    assert mapped(inode) == 1
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(moved.release)(
        ctypes.addressof(moved))
    assert moved.release is None and mapped(inode) == 0


def test_an_arrow_nobody_took_is_given_back():
    shared = shmkit.ndarray(3, "f8")
    inode = inode_of(shared.name)
    capsules = shared.__arrow_c_array__()
    shared.unlink()
    shared.close()
    assert mapped(inode) == 1
    del capsules
    assert mapped(inode) == 0


@pytest.mark.parametrize("shape, dtype", [
    (3, "?"), (3, "c8"), (3, "M8[s]"), (3, "S2"), (3, OTHER + "i4"), (3, "g"),
    (3, [("a", "f8")]), ((3, 4), "f8"), ((), "f8")], ids=str)
def test_arrow_refuses_what_it_has_not(shape, dtype):
    with shmkit.ndarray(shape, dtype) as one:
        with pytest.raises(BufferError):
            one.__arrow_c_array__()
        one.unlink()


def test_pyarrow_shares_it():
    pyarrow = pytest.importorskip("pyarrow", minversion="14")
    with shmkit.from_array(np.arange(5.0)) as shared:
        array = pyarrow.array(shared)
        shared[1] = 77
        assert array.to_pylist() == [0, 77, 2, 3, 4]
        shared.unlink()


# ---- against NumPy, at random ----

def test_random_structures_against_numpy(name):
    """NumPy and the library agree on the size of any dtype, and the buffer
    says the same as the text."""
    rng = np.random.default_rng(1)
    simple = ["u1", "<i4", ">f8", "S3", "U2", "?", "V5", "<f2", ">u2"]

    def any_dtype(depth):
        fields = []
        for i in range(rng.integers(1, 5)):
            if depth < 3 and rng.random() < 0.3:
                kind = any_dtype(depth + 1)
            else:
                kind = simple[rng.integers(len(simple))]
            shape = tuple(map(int, rng.integers(1, 4, rng.integers(0, 3))))
            fields.append((f"f{i}", kind, shape) if shape else (f"f{i}", kind))
        return fields

    for _ in range(200):
        dtype = np.dtype(any_dtype(0), align=bool(rng.integers(2)))
        with shmkit.ndarray(2, dtype, name) as one:
            assert one.itemsize == dtype.itemsize
            assert one.dtype == dtype
            assert np.asarray(one).dtype == dtype
            assert np.asarray(memoryview(one)).dtype == dtype
            one.unlink()


def test_nothing_leaks(name):
    def work():
        with shmkit.ndarray((3, 4), [("a", "f8")], name) as one:
            np.asarray(one), one.array, memoryview(one), one[0]
            one.__array_interface__, pickle.loads(pickle.dumps(one)).close()
            one.unlink()
        with pytest.raises(ValueError):
            _core.dtype_canonical("nonsense")
        with shmkit.ndarray(3, "f8", name) as one:
            one.__dlpack__(), one.__arrow_c_array__(), np.from_dlpack(one)
            with pytest.raises(ValueError):
                shmkit.attach(name, shape=4)
            one.unlink()

    for _ in range(20):
        work()
    gc.collect()
    before = resident(), len(gc.get_objects()), fds()
    for _ in range(2000):
        work()
    gc.collect()
    after = resident(), len(gc.get_objects()), fds()
    assert after[0] - before[0] < 4 << 20  # a lost info alone would be 9 MiB
    assert after[1] - before[1] < 100
    assert after[2] == before[2]


def fds():
    return len(os.listdir("/proc/self/fd"))


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
