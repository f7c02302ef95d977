# SPDX-License-Identifier: MIT
"""Names, sizes and contents drawn by hypothesis."""

import errno
import os

from hypothesis import given, settings
from hypothesis import strategies as st

from shmkit.shared_memory import SharedMemory

some = settings(deadline=None, max_examples=150)


def file_of(name):
    """Where a name leads, or what is wrong with it; as shm_open() sees it."""
    try:
        raw = ("/" + name).encode().lstrip(b"/")
    except UnicodeEncodeError:
        return UnicodeEncodeError
    if b"\0" in raw:
        return ValueError
    if b"/" in raw or raw in (b"", b".", b".."):
        return errno.EINVAL
    if raw[:7] == b"shmkit-" and raw[7:].isdigit():
        return errno.EINVAL
    return errno.ENAMETOOLONG if len(raw) > 255 else raw


names = st.one_of(
    st.text(max_size=300),
    st.text(st.characters(blacklist_categories=("Cs",),
                          blacklist_characters="/\0"), min_size=1,
            max_size=80),
    st.text("/.a", max_size=6),
    st.from_regex(r"shmkit-[0-9a-z]{1,4}", fullmatch=True))


@some
@given(name=names)
def test_a_name_is_good_or_a_clear_error(name):
    expected = file_of(name)
    if isinstance(expected, bytes):
        path = b"/dev/shm/" + expected
        if os.path.lexists(path):
            return
    try:
        block = SharedMemory(name, create=True, size=1)
    except OSError as error:
        assert error.errno == expected and error.filename == "/" + name
        return
    except (ValueError, UnicodeEncodeError) as error:
        assert expected is type(error)
        return
    try:
        assert isinstance(expected, bytes) and os.path.exists(path)
        assert block.name == name and block._name == "/" + name
        with SharedMemory(name) as other:
            assert other.size == 1
    finally:
        block.unlink()
        block.close()
    assert not os.path.exists(path)


@some
@given(size=st.integers(1, 1 << 20), data=st.binary(max_size=100),
       offset=st.integers(0, 1 << 20))
def test_sizes_are_exact_and_bytes_are_shared(size, data, offset):
    offset %= size
    data = data[:size - offset]
    with SharedMemory(create=True, size=size) as block:
        assert os.stat(f"/dev/shm/{block.name}").st_size == size
        assert len(block.buf) == block.size == size
        assert not any(block.buf[offset:offset + 1000])
        block.buf[offset:offset + len(data)] = data
        with SharedMemory(block.name) as other:
            assert other.size == size
            assert bytes(other.buf[offset:offset + len(data)]) == data
        block.unlink()


@some
@given(steps=st.lists(st.integers(0, 100_000), min_size=1, max_size=6))
def test_a_block_only_grows(steps):
    with SharedMemory(create=True, size=1) as block:
        block.buf[0] = 77
        views = []
        for step in steps:
            views.append(block.buf)
            if step < block.size:
                try:
                    block.resize(step)
                    raise AssertionError("a block shrank")
                except ValueError:
                    continue
            block.resize(step)
            assert block.size == step == len(block.buf)
            assert not any(block.buf[1:])
        assert all(view[0] == 77 for view in views)
        block.unlink()
