# SPDX-License-Identifier: MIT
"""Views live on after close(): every consumer, made in every way.

For each: make the view, close the block, use the view, drop it, and see the
pages unmapped.  With the standard class the first of them, which is the idiom
of its documentation, is a segmentation fault.
"""

import array
import ctypes
import gc
import io
import struct

import numpy as np
import pytest
from PIL import Image

from helpers import inode_of, mapped
from shmkit.shared_memory import SharedMemory

torch = None
try:
    import torch
except ImportError:
    pass

SIZE = 4096 * 4


CONSUMERS = {
    "np.ndarray(buffer=.buf)":
        lambda shm: np.ndarray((SIZE,), np.uint8, buffer=shm.buf),
    "np.ndarray(buffer=shm)":
        lambda shm: np.ndarray((SIZE,), np.uint8, buffer=shm),
    "np.ndarray(buffer=memoryview(shm))":
        lambda shm: np.ndarray((SIZE,), np.uint8, buffer=memoryview(shm)),
    "np.frombuffer(.buf)": lambda shm: np.frombuffer(shm.buf, np.uint8),
    "np.frombuffer(shm)": lambda shm: np.frombuffer(shm, np.uint8),
    "np.asarray(.buf)": lambda shm: np.asarray(shm.buf),
    "np.asarray(memoryview(shm))": lambda shm: np.asarray(memoryview(shm)),
    "a slice of an array of a slice":
        lambda shm: np.frombuffer(shm.buf[8:], np.uint8)[:5],
    "memoryview(shm)": memoryview,
    ".buf": lambda shm: shm.buf,
    ".buf[a:b]": lambda shm: shm.buf[0:100],
    ".buf.cast": lambda shm: shm.buf.cast("I"),
    ".buf.toreadonly": lambda shm: shm.buf.toreadonly(),
    "_mmap": lambda shm: memoryview(shm._mmap),
    "ctypes from_buffer(.buf)":
        lambda shm: (ctypes.c_ubyte * SIZE).from_buffer(shm.buf),
    "ctypes from_buffer(shm)":
        lambda shm: (ctypes.c_ubyte * SIZE).from_buffer(shm),
    "Image.frombuffer(.buf)":
        lambda shm: Image.frombuffer("L", (64, 64), shm.buf, "raw", "L", 0, 1),
    "Image.frombuffer(shm)":
        lambda shm: Image.frombuffer("L", (64, 64), shm, "raw", "L", 0, 1),
    "Image.fromarray":
        lambda shm: Image.fromarray(
            np.frombuffer(shm.buf, np.uint8).reshape(128, 128)),
    "torch.frombuffer(.buf)":
        lambda shm: torch.frombuffer(shm.buf, dtype=torch.uint8),
    "torch.frombuffer(shm)":
        lambda shm: torch.frombuffer(shm, dtype=torch.uint8),
    "torch.from_numpy":
        lambda shm: torch.from_numpy(np.frombuffer(shm.buf, np.uint8)),
}

# These give a buffer of the object back before they are done: the pages stay
# until the SharedMemory object dies as well.
EARLY = {"np.ndarray(buffer=shm)", "np.ndarray(buffer=memoryview(shm))",
         "torch.frombuffer(shm)", "Image.frombuffer(shm)"}


def first_byte(view):
    if isinstance(view, Image.Image):
        return view.getpixel((0, 0))
    return int(view[0])


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_a_view_outlives_close(name, consumer):
    if "torch" in consumer and torch is None:
        pytest.skip("torch is not installed")
    shm = SharedMemory(name, create=True, size=SIZE)
    inode = inode_of(name)
    shm.buf[0] = shm.buf[8] = 42
    view = CONSUMERS[consumer](shm)
    shm.close()
    shm.close()
    assert shm.buf is None
    assert first_byte(view) in (42, (42,))
    assert mapped(inode) == 1
    other = SharedMemory(name)
    other.buf[0] = other.buf[8] = 7
    other.close()
    if "Image" not in consumer:  # PIL may copy at the first access
        assert first_byte(view) == 7
    shm.unlink()
    assert first_byte(view) in (42, 7)
    if consumer in EARLY:
        del shm
        assert first_byte(view) in (42, 7)
    del view
    gc.collect()
    assert mapped(inode) == 0


@pytest.mark.parametrize("consumer", sorted(EARLY))
def test_a_view_outlives_resize_and_the_object(name, consumer):
    if "torch" in consumer and torch is None:
        pytest.skip("torch is not installed")
    shm = SharedMemory(name, create=True, size=SIZE)
    inode = inode_of(name)
    shm.buf[0] = 42
    view = CONSUMERS[consumer](shm)
    shm.resize(2 * SIZE)
    shm.resize(4 * SIZE)
    shm.unlink()
    shm.close()
    del shm
    assert first_byte(view) == 42
    del view
    gc.collect()
    assert mapped(inode) == 0


def test_pages_go_with_close_when_nobody_looks(name):
    shm = SharedMemory(name, create=True, size=SIZE)
    inode = inode_of(name)
    assert bytes(shm.buf[:2]) == b"\0\0" and len(memoryview(shm.buf)) == SIZE
    shm.close()
    assert mapped(inode) == 0
    shm.unlink()


def test_copies_do_not_keep_the_pages(name):
    shm = SharedMemory(name, create=True, size=SIZE)
    inode = inode_of(name)
    shm.buf[:4] = b"abcd"
    copies = [array.array("B", shm.buf[:4]), bytes(shm.buf), bytearray(shm),
              struct.unpack_from("4s", shm.buf), np.array(shm.buf),
              io.BytesIO(shm.buf), b"".join([shm])]
    shm.close()
    shm.unlink()
    assert bytes(copies[0]) == b"abcd" and len(copies[-1]) == SIZE
    del shm
    assert mapped(inode) == 0


def test_struct_and_files_take_the_object(name, tmp_path):
    with SharedMemory(name, create=True, size=SIZE) as shm:
        struct.pack_into("<I", shm, 4, 0x01020304)
        assert struct.unpack_from("<I", shm, 4) == (0x01020304,)
        path = tmp_path / "file"
        path.write_bytes(shm)
        shm.buf[4:8] = bytes(4)
        with open(path, "rb") as file:
            assert file.readinto(shm) == SIZE
        assert shm.buf[4] == 4
        assert memoryview(shm).obj is shm._mmap
        assert len(shm._mmap) == SIZE
        shm.unlink()


def test_a_closed_object_gives_no_buffer(name):
    shm = SharedMemory(name, create=True, size=SIZE)
    shm.close()
    shm.unlink()
    for consumer in (memoryview, bytes, bytearray):
        with pytest.raises(ValueError, match="closed"):
            consumer(shm)
    with pytest.raises(ValueError):
        np.frombuffer(shm, np.uint8)


def test_two_views_of_different_blocks_are_independent(names):
    first = SharedMemory(names(), create=True, size=10)
    second = SharedMemory(names(), create=True, size=10)
    one, two = np.frombuffer(first, np.uint8), np.frombuffer(second, np.uint8)
    first.close()
    one[0], two[0] = 1, 2
    second.close()
    assert (one[0], two[0]) == (1, 2)
    first.unlink()
    second.unlink()


def test_a_mapping_cannot_be_made_by_hand(name):
    with SharedMemory(name, create=True, size=10) as shm:
        with pytest.raises(TypeError):
            type(shm._mmap)()
        with pytest.raises(TypeError):
            shm._mmap = 5
        shm.unlink()
