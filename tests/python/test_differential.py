# SPDX-License-Identifier: MIT
"""The same calls on the standard class and on ours give the same outcome.

An outcome is a value, or an exception: its class, errno, text and file name.
Where ours differs on purpose, the difference is a line in docs/differences.md
and a test elsewhere.
"""

import inspect
import os
import pickle
import sys
from multiprocessing import shared_memory as standard

import numpy as np
import pytest

from shmkit import shared_memory as ours


def outcome(call):
    """What a call did, in a form that can be compared."""
    try:
        return "value", call()
    except Exception as error:
        if isinstance(error, OSError):
            return (type(error), error.errno, error.strerror, error.filename,
                    error.filename2)
        return type(error), str(error)


def make(module, *args, **kwargs):
    """Size and name of what a constructor gives; nothing stays."""
    block = module.SharedMemory(*args, **kwargs)
    try:
        return block.size, len(block.buf), bytes(block.buf[:4])
    finally:
        block.close()
        if args[1:2] == (True,) or kwargs.get("create"):
            block.unlink()


def same(call, leaves=None):
    """Compare; `leaves` is a name the standard class may fail to remove."""
    expected = outcome(lambda: call(standard))
    if leaves is not None and os.path.exists(f"/dev/shm/{leaves}"):
        os.unlink(f"/dev/shm/{leaves}")
    assert outcome(lambda: call(ours)) == expected
    return expected


SIZES = [-1, -0.5, 0, 1, 4096, 5000, True, False, "a", None, b"x", [],
         float("nan"), 2**70, -2**70, 1j, object, np.int64(7), np.int64(-7)]


# Python 3.9 still takes a float for an integer, and warns.
FLOATS = [10.5, 1e3, 0.5] if sys.version_info >= (3, 10) else []


@pytest.mark.parametrize("size", [*SIZES, *FLOATS, "10"], ids=repr)
def test_create_checks_the_size_as_the_standard_class(name, size):
    # Which leaves an empty file behind when the size is no integer.
    same(lambda module: make(module, name, create=True, size=size), name)


@pytest.mark.parametrize("size", SIZES, ids=repr)
def test_attach_ignores_the_size_but_for_its_sign(name, size):
    block = standard.SharedMemory(name, create=True, size=100)
    try:
        same(lambda module: make(module, name, size=size))
    finally:
        block.close()
        block.unlink()


NAMES = ["a/b", "", "/", "//", "a/", "x" * 256, "ä" * 128, b"x", 3,
         3.5, [], "\udc80", "no such block", "/no such block"]


@pytest.mark.parametrize("bad", NAMES, ids=repr)
@pytest.mark.parametrize("create", [False, True])
def test_bad_names_are_the_same_errors(bad, create):
    if create and isinstance(bad, str) and "no such" in bad:
        pytest.skip("a good name to create")
    kind = same(lambda module: make(module, bad, create=create, size=4))
    assert kind[0] != "value"


@pytest.mark.parametrize("odd", ["x" * 255, "a b", "-x", "\n", "~", "/lead",
                                 "//two", ".hidden", "psm_", "..."], ids=repr)
def test_odd_names_work_as_in_the_standard_class(odd):
    assert same(lambda module: make(module, odd, True, 4))[0] == "value"

    def seen(module):
        block = module.SharedMemory(odd, True, 4)
        with_slash = block._name
        found = block.name, with_slash, repr(block)
        block.close()
        block.unlink()
        return found
    same(seen)


@pytest.mark.parametrize("arguments", [
    {}, {"create": False}, {"create": False, "size": 10}, {"create": 0},
    {"name": None}, {"create": True}, {"create": True, "size": 0},
    {"create": True, "size": -1}, {"size": -1}, {"name": "x", "size": -1},
    {"create": [], "size": 5}, {"name": None, "create": "", "size": 7},
], ids=repr)
def test_wrong_combinations_are_the_same_errors_in_the_same_order(arguments):
    kind = same(lambda module: make(module, **arguments))
    assert kind[0] is ValueError


@pytest.mark.parametrize("create", [1, "yes", [0], object()], ids=repr)
def test_create_is_any_true_value(name, create):
    assert same(lambda module: make(module, name, create=create, size=9)) \
        == ("value", (9, 9, b"\0\0\0\0"))


def test_taken_and_missing_names_are_the_same_errors(name):
    block = ours.SharedMemory(name, create=True, size=10)
    same(lambda module: make(module, name, create=True, size=10))
    block.close()
    block.unlink()
    same(lambda module: make(module, name))


def unlink_twice(module, name):
    block = module.SharedMemory(name, create=True, size=10)
    block.unlink()
    try:
        return outcome(block.unlink)
    finally:
        block.close()


def test_the_second_unlink_is_the_same_error(name):
    same(lambda module: unlink_twice(module, name))


def test_an_empty_file_cannot_be_attached(name):
    open(f"/dev/shm/{name}", "w").close()
    try:
        kind = same(lambda module: make(module, name))
        assert kind == (ValueError, "cannot mmap an empty file")
    finally:
        os.unlink(f"/dev/shm/{name}")


def after_close(module, name):
    block = module.SharedMemory(name, create=True, size=10)
    block.close()
    block.close()
    found = (block.buf, block.size, block.name, repr(block), block._name,
             block._fd, block._mmap, block._buf)
    block.unlink()
    return found


def test_what_is_readable_after_close(name):
    same(lambda module: after_close(module, name))


def class_facts(module):
    cls = module.SharedMemory
    return (cls.__name__, cls._flags, cls._mode, cls._prepend_leading_slash,
            module.__all__, module._USE_POSIX, module._O_CREX,
            module._SHM_SAFE_NAME_LENGTH, module._SHM_NAME_PREFIX,
            module._encoding, len(module._make_filename()),
            [isinstance(vars(cls).get(one, getattr(cls, one)), property)
             or inspect.isdatadescriptor(getattr(cls, one))
             for one in ("buf", "name", "size")])


def test_the_private_names_are_there():
    same(class_facts)


@pytest.mark.parametrize("attribute", ["buf", "name", "size"])
def test_properties_are_read_only(name, attribute):
    with pytest.raises(AttributeError):
        block = ours.SharedMemory(name, create=True, size=10)
        try:
            setattr(block, attribute, None)
        finally:
            block.close()
            block.unlink()


def any_attribute(module, name):
    block = module.SharedMemory(name, create=True, size=10)
    block.mine = 5
    found = block.mine, block._flags, block._track if module is ours else True
    block.close()
    block.unlink()
    return found


def test_instances_take_attributes_and_know_their_flags(name):
    same(lambda module: any_attribute(module, name))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_have_the_form_of_the_standard_class(name, protocol):
    def reduced(module):
        block = module.SharedMemory(name, create=True, size=10)
        cls, arguments = block.__reduce__()
        again = pickle.loads(pickle.dumps(block, protocol))
        found = (cls is module.SharedMemory, arguments, again.name,
                 again.size, again.buf[0])
        again.close()
        block.close()
        block.unlink()
        return found
    same(reduced)


def optional_attach(module, name):
    class Optional(module.SharedMemory):
        _flags = os.O_CREAT | os.O_RDWR

    block = module.SharedMemory(name, create=True, size=20)
    other = Optional(name)
    found = other.size, repr(other), other._flags
    other.close()
    block.close()
    block.unlink()
    return found


def test_a_subclass_may_override_flags(name):
    same(lambda module: optional_attach(module, name))


def test_buf_is_a_flat_writable_memoryview(name):
    def facts(module):
        block = module.SharedMemory(name, create=True, size=10)
        buf = block.buf
        found = (type(buf), buf.format, buf.ndim, buf.shape, buf.strides,
                 buf.readonly, buf.itemsize, buf.contiguous, buf is block.buf)
        del buf
        block.close()
        block.unlink()
        return found
    same(facts)


@pytest.mark.parametrize("arguments", [
    ("a", True, 1, True), ("a", True, 1, 5),
], ids=repr)
def test_there_are_three_positional_arguments(arguments):
    for module in (standard, ours):
        with pytest.raises(TypeError):
            module.SharedMemory(*arguments)


def test_unknown_and_repeated_arguments_are_type_errors():
    for module in (standard, ours):
        with pytest.raises(TypeError, match="unexpected keyword"):
            module.SharedMemory(nonsense=1)
        with pytest.raises(TypeError, match="multiple values"):
            module.SharedMemory("a", name="b")
