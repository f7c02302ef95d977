# SPDX-License-Identifier: MIT
"""ShareableList: the wire format and behaviour of the standard one, without
its defects, and what it has beyond."""

import decimal
import enum
import fractions
import gc
import math
import pickle
import signal
import struct
import subprocess
import sys
import threading
import weakref
from multiprocessing import resource_tracker
from multiprocessing import shared_memory as standard

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import check_python, inode_of, mapped, plain_pythons
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


def attach_standard(name):
    """The standard class, without its claim to own what it attaches."""
    sl = standard.ShareableList(name=name)
    resource_tracker.unregister(sl.shm._name, "shared_memory")
    return sl


@pytest.fixture
def make(names):
    """A function that makes a list; it is closed and unlinked at the end."""
    made = []

    def make(*args, **kwargs):
        kwargs.setdefault("name", names())
        made.append(ShareableList(*args, **kwargs))
        return made[-1]

    yield make
    for one in made:
        finish(one)


# ---- as the standard class ----

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


def test_private_names(make):
    sl = make(["ab", 7, 2.5, None])
    theirs = attach_standard(sl.shm.name)
    for attribute in ("_list_len", "_allocated_offsets", "_alignment",
                      "_types_mapping", "_format_size_metainfo",
                      "_format_packing_metainfo", "_offset_data_start",
                      "_format_back_transform_codes",
                      "_offset_packing_formats",
                      "_offset_back_transform_codes"):
        assert getattr(sl, attribute) == getattr(theirs, attribute)
    for position in range(4):
        raw = {0: b"x\0", 3: None}.get(position, 5)
        assert sl._get_back_transform(position)(raw) == \
            theirs._get_back_transform(position)(raw)
    sl._set_packing_format_and_transform(1, "8s", b"")
    assert theirs[1] == b"\x07" == sl[1]
    for call in (sl._get_back_transform, sl._get_packing_format):
        with pytest.raises(IndexError):
            call(4)
    theirs.shm.close()


@pytest.mark.parametrize("position", [3, -4, 100, -100, 2**70, -2**70])
def test_positions_out_of_range(name, position):
    sl = ShareableList([1, 2, 3], name=name)
    before = content(sl)
    with pytest.raises(IndexError):
        sl[position]
    with pytest.raises(IndexError):
        sl[position] = 1
    with pytest.raises(IndexError):
        sl._get_packing_format(position)
    assert content(sl) == before
    finish(sl)


def test_a_position_is_an_integer(make):
    sl = make([1, 2, 3])
    assert sl[np.int64(1)] == 2 and sl[True] == 2
    for bad in ("1", 1.0, None, (1, 2)):
        with pytest.raises(TypeError):
            sl[bad]
        with pytest.raises(TypeError):
            sl[bad] = 1
    with pytest.raises(TypeError, match="deleted"):
        del sl[0]


class Whole(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize("value", [
    2**63, -2**63 - 1, object(), [1], 1j, np.int64(3), np.float64(3),
    Whole.ONE, bytearray(b"x"), "a\0", "\0", "\ud800", "too long for it"],
    ids=repr)
def test_a_value_that_does_not_fit_leaves_the_old_one(name, value):
    sl = ShareableList(["abcdefg", 5, None], name=name)
    before = content(sl)
    for position in range(3):
        with pytest.raises((struct.error, KeyError, ValueError)):
            sl[position] = value
    for bad in ([1, value, 2], [value] * 3):
        with pytest.raises((struct.error, KeyError, ValueError)):
            sl[:] = bad
    assert content(sl) == before and sl[0] == "abcdefg"
    finish(sl)


@pytest.mark.parametrize("items, error, text", [
    ([object()], KeyError, "not object"),
    ([1, np.float64(1)], KeyError, "not numpy"),
    ([2**63], struct.error, "64 bits"),
    (["a", "b\0"], ValueError, "cannot end in NUL"),
    (["\ud800"], UnicodeEncodeError, "surrogates"),
    ([b"x" * 10_000_000], ValueError, "10 MB"),
    (["x" * 10_000_000], ValueError, "10 MB"),
    ([b"\0" * 1_000_001], ValueError, "multiple of 8"),
    (5, TypeError, "not iterable")], ids=lambda one: None)
def test_what_cannot_be_stored_makes_no_block(name, items, error, text):
    with pytest.raises(error, match=text):
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
    theirs = attach_standard(name)
    assert list(sl) == items == list(theirs)
    sl[2] = "äöü"
    assert theirs[2] == "äöü"
    finish(sl, theirs)


def test_subclasses_of_str_and_bytes_are_stored_as_what_they_are(make):
    sl = make([np.str_("text"), np.bytes_(b"some")])
    assert [type(one) for one in sl] == [str, bytes]
    sl[0] = np.str_("other")
    assert list(sl) == ["other", b"some"]


@pytest.mark.parametrize("value", [
    b"\0", b"a\0", b"\0" * 7, b"\0" * 8, b"\0" * 100, b"1234567\0",
    b"\x03\x02\x01\0\0\0"], ids=len)
def test_bytes_that_end_in_nul_are_whole_for_both(make, value):
    sl = make([value, 1, b"x" * len(value)])
    theirs = attach_standard(sl.shm.name)
    sl[2] = value
    assert list(sl) == [value, 1, value] == list(theirs)
    # And what the standard class writes there is not cut.
    room = sl._allocated_offsets[1]
    theirs[0] = b"z" * room
    theirs[2] = "z" * room
    assert list(sl) == [b"z" * room, 1, "z" * room] == list(theirs)
    theirs.shm.close()


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


def test_options_survive_pickling(make):
    sl = make([1, 2], track=False)
    reader = ShareableList(name=sl.shm.name, read_only=True)
    again = pickle.loads(pickle.dumps(reader))
    assert again.shm.read_only and list(again) == [1, 2]
    assert pickle.loads(pickle.dumps(sl)).shm._track is False
    again.close()
    reader.close()


def test_generic_alias():
    assert ShareableList[int].__origin__ is ShareableList


def test_subclasses_may_override(name):
    class Doubled(ShareableList):
        def __getitem__(self, position):
            return 2 * super().__getitem__(position)

        def __setitem__(self, position, value):
            super().__setitem__(position, value + 1)

    sl = Doubled([1, 2], name=name)
    sl[0] = 4
    assert sl[0] == 10 and repr(sl).startswith("Doubled([10, 4]")
    # Iterating and searching go through it, as in the standard class.
    assert list(sl) == [10, 4] == sl and sl.index(4) == 1
    assert sl.count(5) == 0 and 10 in sl and 2 not in sl
    assert type(pickle.loads(pickle.dumps(ours.ShareableList(name=name)))) \
        is ShareableList
    finish(sl)


def test_a_list_is_a_key_by_identity_as_ever(make):
    one, two = make([1]), make([1])
    assert len({one, two}) == 2 and one in {one} and one == two


# ---- beyond the standard class ----

SLICES = [slice(None), slice(1, 3), slice(None, None, -1), slice(-2, None),
          slice(5, 1), slice(4, 0, -2), slice(-100, 100), slice(2**70),
          slice(0, 5, 3)]


@pytest.mark.parametrize("part", SLICES, ids=repr)
def test_slices_are_those_of_a_list(make, part):
    items = [0, "one", 2.5, None, b"four"]
    sl = make(items)
    assert sl[part] == items[part]
    new = list(range(10, 10 + len(items[part])))
    if part.step is None and len(new) != len(range(5)[part]):
        return
    sl[part] = iter(new)
    for position, value in zip(range(5)[part], new):
        items[position] = value
    assert list(sl) == items


def test_a_slice_keeps_its_length(make):
    sl = make([1, 2, 3])
    for bad in ([], [1], [1, 2, 3]):
        with pytest.raises(ValueError, match="to a slice of 2"):
            sl[:2] = bad
    with pytest.raises(TypeError):
        sl[:2] = 5
    with pytest.raises(ValueError):
        sl[::0]
    sl[:] = sl[::-1]
    assert list(sl) == [3, 2, 1]
    sl[:] = sl
    assert list(sl) == [3, 2, 1]


def test_index_takes_bounds_as_a_list_does(make):
    items = [5, 1, 5, "a", 5]
    sl = make(items)
    for start in (None, 0, 1, 3, 5, 9, -1, -2, -9, 2**70, -2**70):
        for stop in (None, 0, 1, 3, 5, 9, -1, -2, -9, 2**70, -2**70):
            bounds = [0 if start is None else start]
            bounds += [] if stop is None else [stop]
            try:
                expected = items.index(5, *bounds)
            except ValueError:
                with pytest.raises(ValueError, match="5 not in"):
                    sl.index(5, *bounds)
            else:
                assert sl.index(5, *bounds) == expected
    for bad in ((), (1, 2, 3, 4), (1, "a"), (1, None)):
        with pytest.raises(TypeError):
            sl.index(*bad)


class Anything:
    def __eq__(self, other):
        return True


class Refuses:
    def __eq__(self, other):
        raise ZeroDivisionError


EQUALS = [1, 1.0, True, 0, 0.0, -0.0, False, "1", b"1", None, 2**53,
          2**53 + 1, 2.0**53, 2**63, 2.0**63, -2**63, -2.0**63, math.nan,
          math.inf, 2**1000, 1j, 1 + 0j, decimal.Decimal(1), "", b"",
          fractions.Fraction(1, 2), 0.5, np.int64(1), np.float64(0.5),
          np.str_("1"), "\ud800", [], Whole.ONE, Anything(), "a\0", b"a\0"]


@pytest.mark.parametrize("value", EQUALS, ids=repr)
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
def test_equal_is_what_python_calls_equal(make, value):
    items = [1, 0.5, True, "1", b"1", None, 2**53 + 1, 2.0**53, 2.0**63,
             -2**63, math.nan, math.inf, 0, -0.0, "", b"", 2.0**1000, "a",
             b"a\0"]
    sl = make(items)
    found = [i for i, one in enumerate(sl) if value == one]
    assert sl.count(value) == len(found)
    assert (value in sl) == bool(found)
    if found:
        assert sl.index(value) == found[0]
    else:
        with pytest.raises(ValueError):
            sl.index(value)


def test_errors_of_eq_come_through(make):
    sl = make([1])
    for search in (sl.count, sl.index, sl.__contains__):
        with pytest.raises(ZeroDivisionError):
            search(Refuses())


def test_lists_compare_by_content(make):
    sl, same, other = make([1, "a"]), make([1, "a"]), make([1, "b"])
    assert sl == same and sl == [1, "a"] and [1, "a"] == sl
    assert sl != other and sl != [1] and not sl != same
    assert sl != (1, "a") and sl != 5
    with pytest.raises(TypeError):
        sl < same


def test_close_unlink_and_with(name):
    with ShareableList([1, 2], name=name) as sl:
        assert list(sl) == [1, 2]
        inode = inode_of(name)
    assert mapped(inode) == 0
    sl.close()
    for use in (lambda: sl[0], lambda: len(sl), lambda: list(sl),
                lambda: 1 in sl, lambda: sl.index(1), lambda: sl.count(1),
                lambda: sl.format, lambda: sl[:], lambda: sl == [1],
                lambda: sl.__setitem__(0, 1), lambda: sl.__enter__()):
        with pytest.raises(ValueError, match="closed"):
            use()
    sl.unlink()
    with pytest.raises(FileNotFoundError):
        sl.unlink()


def test_a_list_that_was_never_made():
    sl = ShareableList.__new__(ShareableList)
    for use in (lambda: sl[0], lambda: len(sl), lambda: list(sl)):
        with pytest.raises(ValueError):
            use()
    with pytest.raises(AttributeError):
        sl.shm
    with pytest.raises(TypeError):
        sl.shm = 5


def test_read_only(make):
    sl = make([1, "a"])
    reader = ShareableList(name=sl.shm.name, read_only=True)
    assert list(reader) == [1, "a"] and reader.index("a") == 1
    for write in (lambda: reader.__setitem__(0, 1),
                  lambda: reader.__setitem__(slice(None), [1, "b"])):
        with pytest.raises(TypeError, match="read-only"):
            write()
    sl[0] = 2
    assert reader[0] == 2
    reader.close()
    # The same object, mapped anew without write permission, and back.
    again = ShareableList(name=sl.shm.name)
    again[0] = 3
    again.shm.__init__(sl.shm.name, read_only=True)
    with pytest.raises(TypeError, match="read-only"):
        again[0] = 1
    again.shm.__init__(sl.shm.name)
    again[0] = 4
    assert sl[0] == 4
    again.close()


def test_lifetime_and_mode(name):
    sl = ShareableList([1], name=name, lifetime="holders", mode=0o640)
    stat = sl.shm.stat()
    assert stat.lifetime == "holders" and stat.mode == 0o640
    sl.close()
    with pytest.raises(FileNotFoundError):
        ShareableList(name=name)


@pytest.mark.parametrize("keywords", [
    {"sequence": [1], "read_only": True}, {"read_only": True},
    {"lifetime": "holders", "name": "n"}, {"mode": 0o600, "name": "n"},
    {"sequence": [1], "lifetime": "some"}], ids=repr)
def test_options_that_make_no_sense(keywords):
    with pytest.raises(ValueError):
        ShareableList(**keywords)


def test_a_taken_name(make):
    sl = make([1])
    with pytest.raises(FileExistsError):
        ShareableList([2], name=sl.shm.name)
    assert list(sl) == [1]


def test_a_grown_block_is_the_same_list(make):
    sl = make([1, "a"])
    sl.shm.resize(100_000)
    sl[0] = 5
    again = ShareableList(name=sl.shm.name)
    assert list(sl) == [5, "a"] == list(again)
    again.close()


def test_another_block_may_take_its_place(make):
    sl, other = make([1, 2]), make(["x"])
    first = sl.shm
    sl.shm = other.shm
    assert list(sl) == ["x"]
    sl.shm = first
    assert list(sl) == [1, 2]


def test_iteration(make):
    sl = make([1, "a", None])
    each = iter(sl)
    assert iter(each) is each and each.__length_hint__() == 3
    assert next(each) == 1 and each.__length_hint__() == 2
    sl[1] = "new"
    assert list(each) == ["new", None] and each.__length_hint__() == 0
    assert list(each) == []
    assert list(reversed(sl)) == [None, "new", 1]
    assert sum(make(range(1000))) == 499500
    with pytest.raises(TypeError):
        type(each)()
    half = iter(sl)
    next(half)
    sl.close()
    with pytest.raises(ValueError, match="closed"):
        next(half)


def test_cycles_are_collected(name):
    class Mine(ShareableList):
        pass

    sl = Mine([1], name=name)
    sl.me, sl.each = sl, iter(sl)
    gone = weakref.ref(sl)
    sl.unlink()
    del sl
    gc.collect()
    assert gone() is None


def test_threads_may_share_a_list(make):
    sl = make([0, "a", 1.5, None])
    wrong = []

    def work(mine):
        for count in range(2000):
            sl[mine] = count
            if sl[mine] != count or len(sl[:]) != 4:
                wrong.append(count)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and list(sl) == [1999] * 4


# ---- bytes that make no sense ----

def damaged(name, offset, what):
    """Bytes of a good list with some of them changed."""
    sl = ShareableList(["abc", 1, 2.5], name=name)
    sl.shm.buf[offset:offset + len(what)] = what
    return sl


@pytest.mark.parametrize("offset, number", [
    (0, -1), (0, 2**40), (0, 2**62), (0, 4), (0, 100), (0, 0),
    (8, 8), (16, -8), (16, 2**62), (32, 2**62), (32, 10_000)])
def test_bytes_that_are_no_list_are_refused(name, offset, number):
    sl = damaged(name, offset, struct.pack("q", number))
    with pytest.raises(ValueError, match="is not a ShareableList"):
        ShareableList(name=name)
    finish(sl)


@pytest.mark.parametrize("form", [b"P", b"99999999", b"s", b"0s", b"q" * 8,
                                  b"", b"\xff" * 8, b"%s", b"1 s", b"9s"],
                         ids=repr)
def test_formats_are_checked_before_use(name, form):
    sl = ShareableList(["abc", 1, 2.5], name=name)
    at = sl._offset_packing_formats
    sl.shm.buf[at:at + 8] = form.ljust(8, b"\0")
    for read in (lambda: sl[0], lambda: list(sl), sl.check,
                 lambda: sl.index(1), lambda: sl.count(object())):
        with pytest.raises(ValueError, match="damaged"):
            read()
    sl[0] = "mended"
    assert list(sl) == ["mended", 1, 2.5]
    sl.check()
    finish(sl)


@pytest.mark.parametrize("code", [4, 77, 255])
def test_codes_are_checked_before_use(make, code):
    sl = make(["abc", 1])
    sl.shm.buf[sl._offset_back_transform_codes] = code
    with pytest.raises(ValueError, match="no known format or code"):
        sl[0]
    with pytest.raises(ValueError, match="no known code"):
        sl._get_back_transform(0)


def test_text_that_is_not_utf8(make):
    sl = make(["abc", 1])
    sl.shm.buf[sl._offset_data_start] = 0xff
    with pytest.raises(UnicodeDecodeError):
        sl[0]
    with pytest.raises(ValueError, match="damaged"):
        sl.check()
    assert sl[1] == 1


@pytest.mark.parametrize("size", [4, 15, 16, 17, 33, 4096])
def test_zeros_are_no_list_but_for_an_empty_one(name, size):
    block = SharedMemory(name, create=True, size=size)
    if 16 <= size <= 32:
        sl = ShareableList(name=name)
        assert list(sl) == []
        sl.close()
    else:
        with pytest.raises(ValueError, match="is not a ShareableList"):
            ShareableList(name=name)
        assert mapped(inode_of(name)) == 1
    block.close()
    block.unlink()


# ---- side by side with the standard class ----

integers = st.one_of(st.integers(-2**63, 2**63 - 1), st.integers(-3, 3))
texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=40) \
    .map(lambda text: text.rstrip("\0"))
values = st.one_of(
    integers, st.floats(), st.booleans(), st.none(), texts,
    st.binary(max_size=40).map(lambda some: some.rstrip(b"\0")))


def fits_there(value):
    """Whether the standard class gives it a slot that it can read."""
    return not isinstance(value, str) or \
        len(value.encode()) <= 8 * (len(value) // 8 + 1)


def exact(value):
    """So that 1, 1.0 and True differ, and NaN does not from itself."""
    return type(value), repr(value)


def outcome(call):
    try:
        return exact(call())
    except Exception as error:
        return type(error)


@settings(deadline=None, max_examples=80)
@given(items=st.lists(values, max_size=20))
def test_what_goes_in_comes_out(items):
    sl = ShareableList(items)
    other = ShareableList(name=sl.shm.name)
    try:
        assert list(map(exact, other)) == list(map(exact, items))
        assert struct.calcsize(sl.format) == sl._allocated_offsets[-1]
        other.check()
    finally:
        finish(sl, other)


@settings(deadline=None, max_examples=80)
@given(items=st.lists(values.filter(fits_there), max_size=12), data=st.data())
def test_the_same_calls_have_the_same_outcome(items, data):
    """Each on a list of its own; the bytes must be the same throughout."""
    mine = ShareableList(items)
    theirs = standard.ShareableList(items)
    positions = st.integers(-len(items), len(items))
    try:
        assert content(mine) == content(theirs)
        for _ in range(8):
            at, value = data.draw(positions), data.draw(values)
            assert outcome(lambda: mine.__setitem__(at, value)) == \
                outcome(lambda: theirs.__setitem__(at, value))
            assert content(mine) == content(theirs)
            assert outcome(lambda: mine[at]) == outcome(lambda: theirs[at])
            assert mine.count(value) == theirs.count(value)
            assert outcome(lambda: mine.index(value)) == \
                outcome(lambda: theirs.index(value))
            assert (value in mine) == (value in theirs)
            assert mine.format == theirs.format
    finally:
        finish(mine)
        finish(theirs)


@settings(deadline=None, max_examples=80)
@given(items=st.lists(values, min_size=1, max_size=12), data=st.data())
def test_one_list_seen_and_written_by_both(items, data):
    mine = ShareableList(items)
    theirs = attach_standard(mine.shm.name)
    model = list(items)
    try:
        for _ in range(10):
            at = data.draw(st.integers(0, len(items) - 1))
            value = data.draw(values)
            writer = data.draw(st.sampled_from([mine, theirs]))
            try:
                writer[at] = value
            except ValueError:
                assert len(value if isinstance(value, bytes)
                           else value.encode()) > 8
            else:
                model[at] = value
            assert list(map(exact, mine)) == list(map(exact, model))
            assert list(map(exact, theirs)) == list(map(exact, model))
    finally:
        theirs.shm.close()
        finish(mine)


# ---- other processes ----

PYTHONS = {version: path for version, path in plain_pythons().items()
           if version != "3.8"}  # whose format was another one

PLAIN = """if 1:
    import sys
    from multiprocessing import resource_tracker
    from multiprocessing.shared_memory import ShareableList
    assert "shmkit" not in sys.modules

    def untracked(sl):
        resource_tracker.unregister(sl.shm._name, "shared_memory")
        return sl
    """
WIRE = ["ab", 7, 2.5, None, b"x", True, "日本語日本語日", b"a\0\0", -2**63,
        "", b"0123456789abcdef"]


@pytest.mark.parametrize("version", sorted(PYTHONS))
def test_each_python_reads_and_writes_ours(version, make):
    sl = make(WIRE)
    answer = check_python(PLAIN + """
    sl = untracked(ShareableList(name=sys.argv[1]))
    print(ascii(list(sl)), sl.index(7), len(sl))
    sl[0], sl[1], sl[2], sl[3], sl[7] = 1, "seven", None, 2.5, b"8 bytes."
    sl.shm.close()
    """, sl.shm.name, python=PYTHONS[version], plain=True)
    assert answer == f"{ascii(WIRE)} 1 11"
    assert list(sl) == [1, "seven", None, 2.5, b"x", True, WIRE[6],
                        b"8 bytes.", *WIRE[8:]]


@pytest.mark.parametrize("version", sorted(PYTHONS))
def test_each_pythons_list_is_read_and_written(version, name):
    items = [one for one in WIRE if one not in (WIRE[6], WIRE[7])]
    check_python(PLAIN + """
    sl = untracked(ShareableList(eval(sys.argv[2]), name=sys.argv[1]))
    sl.shm.close()
    """, name, ascii(items), python=PYTHONS[version], plain=True)
    sl = ShareableList(name=name)
    assert list(sl) == items
    sl[0], sl[1], sl[3], sl[4] = 8, "été", "some", b"\0\0"
    assert check_python(PLAIN + """
    sl = untracked(ShareableList(name=sys.argv[1]))
    print(ascii(list(sl)[:5]))
    sl.shm.close()
    """, name, python=PYTHONS[version], plain=True) == \
        ascii([8, "été", 2.5, "some", b"\0\0"])
    finish(sl)


WRITER = """if 1:
    import sys
    from shmkit.shared_memory import ShareableList
    sl = ShareableList(name=sys.argv[1])
    print("ready", flush=True)
    while True:
        for value in (1, 2.5, "x" * 200, None, b"y" * 150, True, "z" * 180):
            sl[0] = value
    """
WRITTEN = [1, 2.5, "x" * 200, None, b"y" * 150, True, "z" * 180]


def test_a_killed_writer_leaves_a_value_or_none(make):
    for _ in range(4):
        sl = make(["w" * 200, 5])
        with subprocess.Popen([sys.executable, "-c", WRITER, sl.shm.name],
                              stdout=subprocess.PIPE) as writer:
            writer.stdout.readline()
            for _ in range(300):
                assert type(sl[0]) in map(type, WRITTEN)  # and no error
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        assert sl[0] in ["w" * 200, *WRITTEN] and sl[1] == 5
        sl.check()
        sl[0] = "w" * 100
        assert list(sl) == ["w" * 100, 5]


def test_a_name_appears_with_the_whole_list(make, names):
    """Whoever attaches at once finds all of it."""
    name = names()
    found = []

    def attach():
        while True:
            try:
                sl = ShareableList(name=name)
            except FileNotFoundError:
                continue
            found.append(list(sl))
            sl.close()
            return

    threads = [threading.Thread(target=attach) for _ in range(3)]
    for thread in threads:
        thread.start()
    make(range(20_000), name=name)
    for thread in threads:
        thread.join()
    assert found == [list(range(20_000))] * 3
