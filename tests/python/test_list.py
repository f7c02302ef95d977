# SPDX-License-Identifier: MIT
"""ShareableList: the wire format and behaviour of the standard one, and the
defects that could go without changing either."""

import math
import pickle
import struct
from multiprocessing import shared_memory as standard

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import inode_of, mapped
from shmkit import shared_memory as ours
from shmkit.shared_memory import ShareableList, SharedMemory

ITEMS = ["howdy", b"HoWdY", -273.154, 100, None, True, False, 42, "", b"",
         "x" * 8, "x" * 7, b"y" * 100, -2**63, 2**63 - 1, math.inf]


def finish(*lists):
    for one in lists:
        one.shm.close()
    lists[0].shm.unlink()


def content(sl):
    return bytes(sl.shm.buf)


@pytest.mark.parametrize("items", [ITEMS, [], [1], ["a"], [None] * 9],
                         ids=["many", "none", "one", "str", "nones"])
def test_the_bytes_are_those_of_the_standard_list(names, items):
    theirs = standard.ShareableList(items, name=names())
    mine = ShareableList(items, name=names())
    assert content(mine) == content(theirs)
    assert mine.format == theirs.format and repr(list(mine)) == repr(items)
    finish(theirs)
    finish(mine)


@pytest.mark.parametrize("writer, reader", [
    (standard, ours), (ours, standard), (ours, ours)])
def test_each_reads_and_writes_the_lists_of_the_other(name, writer, reader):
    first = writer.ShareableList(ITEMS, name=name)
    second = reader.ShareableList(name=name)
    assert list(second) == ITEMS
    for position, value in enumerate(["new", b"b", 1, 2.5, "some", None, 7]):
        second[position] = value
        assert first[position] == value
        assert first._get_packing_format(position) == \
            second._get_packing_format(position)
    first[0] = "back"
    assert second[0] == "back" and first.format == second.format
    finish(first, second)


def test_basics(name):
    sl = ShareableList(["howdy", b"HoWdY", -273.154, 100, None, True, 42],
                       name=name)
    assert sl.format == "8s8sdqxxxxxx?xxxxxxxx?q"
    assert len(sl) == 7 and sl[-1] == 42 and sl[-7] == "howdy"
    assert sl.count(42) == 1 and sl.index(100) == 3
    assert None in sl and "nobody" not in sl
    assert repr(sl) == f"ShareableList({list(sl)!r}, name={name!r})"
    with pytest.raises(ValueError, match="'100' not in this container"):
        sl.index("100")
    with pytest.raises(ValueError, match="exceeds available storage"):
        sl[0] = "far too many"
    sl[4] = "some"
    assert sl[4] == "some" and sl.format == "8s8sdq8sxxxxxxx?q"
    finish(sl)


@pytest.mark.parametrize("position", [3, -4, 100, -100])
def test_positions_out_of_range(name, position):
    sl = ShareableList([1, 2, 3], name=name)
    with pytest.raises(IndexError, match="index out of range"):
        sl[position]
    with pytest.raises(IndexError, match="assignment index out of range"):
        sl[position] = 1
    with pytest.raises(IndexError):
        sl._get_packing_format(position)
    finish(sl)


def test_slices_are_type_errors_as_ever(name):
    sl = ShareableList([1, 2, 3], name=name)
    with pytest.raises(TypeError):
        sl[0:2]
    finish(sl)


@pytest.mark.parametrize("value", [2**63, -2**63 - 1, object(), [1], 1j,
                                   np.int64(3)], ids=repr)
def test_a_value_that_does_not_fit_leaves_the_old_one(name, value):
    sl = ShareableList(["abcdefg", 5], name=name)
    before = content(sl)
    for position in (0, 1):
        with pytest.raises((struct.error, KeyError)):
            sl[position] = value
    assert content(sl) == before and sl[0] == "abcdefg"
    finish(sl)


@pytest.mark.parametrize("items", [[object()], [np.float64(1)], [2**63]],
                         ids=repr)
def test_what_cannot_be_stored_makes_no_block(name, items):
    with pytest.raises((KeyError, struct.error)):
        ShareableList(items, name=name)
    with pytest.raises(FileNotFoundError):
        SharedMemory(name)


def test_any_iterable_is_taken(names):
    for items in ((i * i for i in range(5)), range(5), "howdy", (1,), {3: 4}):
        kept = list(items) if not hasattr(items, "__next__") else \
            [0, 1, 4, 9, 16]
        sl = ShareableList(items, name=names())
        assert list(sl) == kept
        finish(sl)


def test_text_of_many_bytes_a_character(name):
    items = ["日本語日本語日", "ä" * 50, "a", "🙂"]
    sl = ShareableList(items, name=name)
    theirs = standard.ShareableList(name=name)
    assert list(sl) == items == list(theirs)
    sl[2] = "äöü"
    assert theirs[2] == "äöü"
    finish(sl, theirs)


def test_an_item_too_long_for_its_format(name):
    with pytest.raises(ValueError, match="10 MB"):
        ShareableList([b"x" * 10_000_000], name=name)
    with pytest.raises(FileNotFoundError):
        SharedMemory(name)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_by_name(name, protocol):
    sl = ShareableList(range(10), name=name)
    text = pickle.dumps(sl, protocol)
    again = pickle.loads(text)
    assert type(again) is ShareableList and list(again) == list(range(10))
    again[4] = 44
    assert sl[4] == 44
    finish(sl, again)
    with pytest.raises(FileNotFoundError):
        pickle.loads(text)


def damaged(name, offset, what):
    """Bytes of a good list with some of them changed."""
    sl = ShareableList(["abc", 1, 2.5], name=name)
    sl.shm.buf[offset:offset + len(what)] = what
    return sl


@pytest.mark.parametrize("offset, number", [
    (0, -1), (0, 2**40), (0, 2**62), (0, 4), (0, 100),
    (8, 8), (16, -8), (16, 2**62), (32, 2**62), (32, 10_000)])
def test_bytes_that_are_no_list_are_refused(name, offset, number):
    sl = damaged(name, offset, struct.pack("q", number))
    with pytest.raises(ValueError, match="is not a ShareableList"):
        ShareableList(name=name)
    finish(sl)


@pytest.mark.parametrize("form", [b"P", b"99999999", b"s", b"0s", b"q" * 8,
                                  b"", b"\xff" * 8, b"%s", b"1 s"], ids=repr)
def test_formats_are_checked_before_use(name, form):
    sl = ShareableList(["abc", 1, 2.5], name=name)
    at = sl._offset_packing_formats
    sl.shm.buf[at:at + 8] = form.ljust(8, b"\0")
    for read in (lambda: sl[0], lambda: sl.format, lambda: list(sl)):
        with pytest.raises(ValueError, match="no known format"):
            read()
    finish(sl)


def test_codes_are_checked_before_use(name):
    sl = ShareableList(["abc", 1], name=name)
    sl.shm.buf[sl._offset_back_transform_codes] = 77
    with pytest.raises(ValueError, match="no known code: 77"):
        sl[0]
    finish(sl)


def test_a_refused_list_leaves_no_mapping(name):
    block = SharedMemory(name, create=True, size=4)
    with pytest.raises((ValueError, struct.error)):
        ShareableList(name=name)
    assert mapped(inode_of(name)) == 1
    block.close()
    block.unlink()


def test_generic_alias():
    assert ShareableList[int].__origin__ is ShareableList


values = st.one_of(
    st.integers(-2**63, 2**63 - 1), st.floats(allow_nan=False), st.booleans(),
    st.none(), st.text(max_size=40).map(lambda text: text.rstrip("\0")),
    st.binary(max_size=40).map(lambda some: some.rstrip(b"\0")))


@settings(deadline=None, max_examples=150)
@given(items=st.lists(values, max_size=20))
def test_what_goes_in_comes_out(items):
    try:
        sl = ShareableList(items)
    except UnicodeEncodeError:  # a lone surrogate
        return
    other = ShareableList(name=sl.shm.name)
    try:
        assert list(sl) == list(other) == items
        assert [type(one) for one in other] == [type(one) for one in items]
        assert struct.calcsize(sl.format) == sl._allocated_offsets[-1]
    finally:
        finish(sl, other)
