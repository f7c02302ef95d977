# SPDX-License-Identifier: MIT
"""Big blocks: 2 MiB pages, parts, private views, copies, placement.

What the kernel cannot do (2 MiB pages before Linux 6.1, or when a test makes
it refuse) is asked for first; what must hold with and without it is tested
with whatever there is.
"""

import errno
import os
import pickle
import resource
import subprocess
import sys

import numpy as np
import pytest
from shmkit.shared_memory import SharedMemory

MIB = 1 << 20
BIG = 5 * MIB + 12345


@pytest.fixture
def big():
    block = SharedMemory(create=True, size=BIG)
    yield block
    block.close()
    try:
        block.unlink()
    except FileNotFoundError:
        pass


def kernel_has_big_pages():
    try:
        block = SharedMemory(create=True, size=2 * MIB, huge=True)
    except OSError as error:
        assert error.errno == errno.EOPNOTSUPP
        return False
    block.close()
    block.unlink()
    return True


@pytest.mark.skipif(os.environ.get("SHMKIT_REFUSE") != "collapse",
                    reason="nothing is refused in this run")
def test_the_refusal_asked_for_is_heard():
    """Else all that runs with it shows nothing."""
    assert not kernel_has_big_pages()


def test_a_big_block_lies_on_big_pages_where_the_kernel_can(big):
    expected = 4 * MIB if kernel_has_big_pages() else 0
    assert big.stat().huge == expected
    assert big.stat().resident >= BIG
    assert not np.frombuffer(big.buf, "u1").any()


def test_huge_false_keeps_small_pages():
    with SharedMemory(create=True, size=4 * MIB, huge=False) as block:
        assert block.stat().huge == 0
        block.resize(8 * MIB)
        assert block.stat().huge == 0
        block.unlink()


def test_sparse_takes_no_memory_and_a_look_takes_none():
    with SharedMemory(create=True, size=64 * MIB, sparse=True) as block:
        assert block.stat().huge == 0
        assert block.stat().resident == 0
        block.unlink()


def test_huge_true_needs_two_mebibytes():
    with pytest.raises(OSError) as caught:
        SharedMemory(create=True, size=MIB, huge=True)
    assert caught.value.errno == errno.EOPNOTSUPP


def test_growing_keeps_bytes_and_big_pages(big):
    big.buf[:3] = b"abc"
    big.resize(9 * MIB)
    assert bytes(big.buf[:3]) == b"abc"
    assert big.stat().huge == (8 * MIB if kernel_has_big_pages() else 0)


@pytest.mark.parametrize("offset, length", [
    (0, 10), (1, 4095), (4096, 4096), (5000, None), (2 * MIB, 2 * MIB),
    (3 * MIB + 17, None), (BIG - 1, 1)])
def test_a_part_shows_its_bytes_and_no_others(big, offset, length):
    whole = np.frombuffer(big.buf, "u1")
    whole[:] = np.arange(BIG, dtype="u4").astype("u1")
    with SharedMemory(big.name, offset=offset, length=length) as part:
        end = BIG if length is None else offset + length
        assert part.size == end - offset
        assert part.offset == offset
        assert np.array_equal(np.frombuffer(part.buf, "u1"),
                              whole[offset:end])
        part.buf[0] = 255 - part.buf[0]
        assert whole[offset] == part.buf[0]
        if part._part:
            with pytest.raises(OSError):
                part.resize(BIG * 2)


@pytest.mark.parametrize("offset, length", [
    (BIG, None), (BIG - 1, 2), (0, BIG + 1), (sys.maxsize, None),
    (1, sys.maxsize)])
def test_a_part_outside_the_block_is_refused(big, offset, length):
    with pytest.raises(OSError) as caught:
        SharedMemory(big.name, offset=offset, length=length)
    assert caught.value.errno == errno.ERANGE


def test_private_changes_stay_here(big):
    big.buf[:5] = b"first"
    with SharedMemory(big.name, private=True) as mine:
        assert bytes(mine.buf[:5]) == b"first"
        mine.buf[:5] = b"other"
        assert bytes(big.buf[:5]) == b"first"
        with SharedMemory(big.name) as theirs:
            assert bytes(theirs.buf[:5]) == b"first"
        with pytest.raises(OSError):
            mine.resize(BIG * 2)


def test_private_and_part_survive_a_pickle(big):
    big.buf[100:110] = b"0123456789"
    part = SharedMemory(big.name, offset=100, length=10, private=True)
    again = pickle.loads(pickle.dumps(part))
    assert (again.offset, again.size, again.private) == (100, 10, True)
    assert bytes(again.buf) == b"0123456789"
    part.close()
    again.close()


@pytest.mark.parametrize("count, offset", [
    (0, 0), (1, 0), (1, BIG - 1), (4095, 1), (65536, 3), (BIG, 0),
    (2 * MIB + 77, 12345)])
def test_copies_move_exactly_the_bytes(big, count, offset):
    data = np.random.default_rng(count).integers(0, 256, count, "u1")
    whole = np.frombuffer(big.buf, "u1")
    whole[:] = 0xAA
    big.copy_in(data, offset)
    assert np.array_equal(whole[offset:offset + count], data)
    assert (whole[:offset] == 0xAA).all()
    assert (whole[offset + count:] == 0xAA).all()
    back = np.zeros(count, "u1")
    big.copy_out(back, offset)
    assert np.array_equal(back, data)


def test_copies_are_bounded(big):
    with pytest.raises(ValueError):
        big.copy_in(b"12", BIG - 1)
    with pytest.raises(ValueError):
        big.copy_in(b"1", BIG)
    with pytest.raises(ValueError):
        big.copy_out(bytearray(2), BIG - 1)
    with pytest.raises(BufferError):
        big.copy_out(b"not writable")
    with SharedMemory(big.name, read_only=True) as reader:
        with pytest.raises(TypeError):
            reader.copy_in(b"1")
    big.close()
    with pytest.raises(ValueError):
        big.copy_in(b"1")


@pytest.mark.parametrize("options", [
    {"huge": True}, {"huge": False}, {"numa": ("bind", [0])}])
def test_choices_of_the_creator_are_refused_to_others(big, options):
    with pytest.raises(ValueError):
        SharedMemory(big.name, **options)


@pytest.mark.parametrize("options", [
    {"private": True}, {"offset": 1}, {"length": 1},
    {"huge": True, "sparse": True}, {"numa": ("near", [0])},
    {"numa": ("bind", [])}, {"numa": ("bind", [64])}])
def test_choices_that_contradict_are_refused(options):
    with pytest.raises(ValueError):
        SharedMemory(create=True, size=4 * MIB, **options)


def test_numa_works_or_says_why_not():
    try:
        block = SharedMemory(create=True, size=4 * MIB, numa=("bind", [0]))
    except OSError as error:
        assert error.errno in (errno.EOPNOTSUPP, errno.EPERM)
        return
    assert block.stat().resident >= 4 * MIB
    block.close()
    block.unlink()


LOCK_BEYOND_THE_LIMIT = """
import os, resource, sys
from shmkit.shared_memory import SharedMemory
resource.setrlimit(resource.RLIMIT_MEMLOCK, (4096, 4096))
if os.getuid() == 0:
    os.setuid(65534)  # CAP_IPC_LOCK goes with it
try:
    SharedMemory(sys.argv[1], lock=True, read_only=True)
except OSError as error:
    print(error.errno)
"""


@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""),
                    reason="AddressSanitizer makes mlock do nothing")
def test_locking_beyond_the_limit_is_an_error():
    block = SharedMemory(create=True, size=MIB, mode=0o644)
    done = subprocess.run(
        [sys.executable, "-c", LOCK_BEYOND_THE_LIMIT, block.name],
        capture_output=True, text=True, check=True)
    assert int(done.stdout) in (errno.ENOMEM, errno.EPERM, errno.EAGAIN)
    block.close()
    block.unlink()


def test_locking_works_within_the_limit(big):
    soft, _hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft not in (-1, resource.RLIM_INFINITY) and soft < 65536:
        pytest.skip("nothing may be locked here")
    with SharedMemory(big.name, length=4096, lock=True) as part:
        assert part.size == 4096
