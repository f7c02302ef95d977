# SPDX-License-Identifier: MIT
"""What SharedMemory does beyond the standard class, and where it differs."""

import errno
import inspect
import os
import pickle
import resource
import stat
import struct
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest

from helpers import check_python, exists, run_python
from shmkit import _core, shared_memory
from shmkit.shared_memory import SharedMemory


@pytest.fixture
def block(name):
    made = SharedMemory(name, create=True, size=100)
    yield made
    made.close()
    if exists(name):
        made.unlink()


# ---- the defects of the standard class that are gone ----

@pytest.mark.parametrize("size", [10.5, 2**70, "7", 2**62])
def test_a_refused_size_leaves_no_file(name, size):
    with pytest.raises((TypeError, OverflowError, OSError)):
        SharedMemory(name, create=True, size=size)
    assert not exists(name)


def test_close_with_a_live_view_neither_refuses_nor_half_closes(block):
    view = block.buf[3:7]
    block.close()
    assert block.buf is None and block._mmap is None and block._fd == -1
    view[0] = 9
    assert view[0] == 9


@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""),
                    reason="ASan needs all the addresses there are")
def test_a_failed_attach_removes_nothing(block, name):
    code = """if 1:
        import resource, sys
        import shmkit.shared_memory as s
        used = int(open("/proc/self/statm").read().split()[0]) * 4096
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 20),) * 2)
        try:
            s.SharedMemory(sys.argv[1])
        except OSError as error:
            print(error.errno, error.filename)
        """
    os.truncate(f"/dev/shm/{name}", 1 << 30)
    assert check_python(code, name) == f"{errno.ENOMEM} /{name}"
    assert exists(name)


def test_track_false_survives_pickling(name):
    block = SharedMemory(name, create=True, size=10, track=False)
    again = pickle.loads(pickle.dumps(block))
    assert again._track is False and block._track is False
    assert pickle.loads(pickle.dumps(again))._track is False
    assert SharedMemory(name)._track is True
    block.unlink()


def test_read_only_survives_pickling(block, name):
    reader = SharedMemory(name, read_only=True)
    again = pickle.loads(pickle.dumps(reader))
    assert again.read_only and again.buf.readonly and again._track


def test_an_embedded_nul_is_a_value_error_everywhere(block, name):
    for create in (True, False):
        with pytest.raises(ValueError, match="null"):
            SharedMemory(name + "\0a", create=create, size=9)
    block._name += "\0a"
    with pytest.raises(ValueError, match="null"):
        block.unlink()
    block._name = f"/{name}"


@pytest.mark.parametrize("odd", ["ä" * 127, "日本語", "a:b"])
def test_names_that_the_standard_tracker_cannot_carry(odd):
    with SharedMemory(odd, create=True, size=4) as block:
        assert block.name == odd and exists(odd)
        with SharedMemory(odd) as other:
            assert other.size == 4
        block.unlink()


@pytest.mark.parametrize("reserved", [".", "..", "shmkit-0", "shmkit-123"])
def test_reserved_names_are_refused(reserved):
    for create in (True, False):
        with pytest.raises(OSError) as caught:
            SharedMemory(reserved, create=create, size=4)
        assert caught.value.errno == errno.EINVAL
        assert caught.value.filename == "/" + reserved


def test_unlink_never_removes_a_namesake(block, name):
    SharedMemory(name).unlink()
    with SharedMemory(name, create=True, size=5) as successor:
        with pytest.raises(FileNotFoundError):
            block.unlink()
        assert exists(name)
        successor.unlink()


def test_unlink_follows_a_name_that_was_assigned(block, name, names):
    other = SharedMemory(names(), create=True, size=5)
    block._name = other._name
    block.unlink()
    assert not exists(other.name)
    block._name = "/" + name
    other.close()


def test_unlink_after_close(block, name):
    block.close()
    block.unlink()
    assert not exists(name)


@pytest.mark.parametrize("kind", ["fifo", "directory", "symlink"])
def test_what_is_no_regular_file_is_refused(names, kind):
    name, target = names(), names()
    path = f"/dev/shm/{name}"
    SharedMemory(target, create=True, size=4).close()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        os.mkdir(path)
    else:
        os.symlink(target, path)
    try:
        with pytest.raises(OSError) as caught:
            SharedMemory(name)
        assert caught.value.errno in (errno.ENODEV, errno.ELOOP, errno.EISDIR)
        with pytest.raises(FileExistsError):
            SharedMemory(name, create=True, size=4)
    finally:
        os.rmdir(path) if kind == "directory" else os.unlink(path)
        SharedMemory(target).unlink()


# ---- hooks ----

def test_make_filename_can_be_replaced_and_is_retried(names):
    wanted = ["/" + names(), "/" + names()]
    with mock.patch.object(shared_memory, "_make_filename") as make:
        make.side_effect = wanted
        first = SharedMemory(create=True, size=1)
        make.side_effect = wanted
        second = SharedMemory(create=True, size=1)
    assert [first._name, second._name] == wanted
    first.unlink()
    second.unlink()


def test_an_error_in_make_filename_is_passed_on():
    with mock.patch.object(shared_memory, "_make_filename",
                           side_effect=ZeroDivisionError):
        with pytest.raises(ZeroDivisionError):
            SharedMemory(create=True, size=1)


def test_drawn_names_have_the_form_of_the_standard_class():
    seen = set()
    for _ in range(200):
        with SharedMemory(create=True, size=1) as block:
            assert len(block._name) == 13 and block._name[:5] == "/psm_"
            int(block.name[4:], 16)
            seen.add(block.name)
            block.unlink()
    assert len(seen) == 200


def test_a_subclass_that_opens_or_creates(name):
    class Optional(SharedMemory):
        _flags = os.O_CREAT | os.O_RDWR
        _mode = 0o640

    with pytest.raises(FileNotFoundError):
        Optional(name)  # and no size to make it
    assert not exists(name)
    made = Optional(name, size=10)
    assert made.mode == 0o640
    assert Optional(name, size=999).size == 10
    made.unlink()


def test_a_read_only_subclass(block, name):
    class Reader(SharedMemory):
        _flags = os.O_RDONLY

    assert Reader(name).read_only


def test_a_subclass_without_the_slash(names):
    class Bare(SharedMemory):
        _prepend_leading_slash = False

    name = names()
    made = Bare(name, create=True, size=4)
    assert made._name == made.name == name
    made.unlink()


def test_del_calls_an_overridden_close(name):
    calls = []

    class Noisy(SharedMemory):
        def close(self):
            calls.append(self.name)
            super().close()

    Noisy(name, create=True, size=4).unlink()
    assert calls == [name]


def test_the_hacks_against_buffer_error_work(block):
    block._buf = None
    os.close(block._fd)
    block._fd = -1
    block._mmap = None
    block.close()
    assert block.buf is None


@pytest.mark.skipif(sys.version_info < (3, 10),
                    reason="3.9 drops the signature of a C type")
def test_the_signature_is_readable():
    parameters = inspect.signature(SharedMemory).parameters
    assert list(parameters)[:4] == ["name", "create", "size", "track"]
    assert [parameters[one].default for one in list(parameters)[:4]] == \
        [None, False, 0, True]
    assert SharedMemory.__doc__ and SharedMemory.close.__doc__


# ---- context manager, attributes ----

def test_a_context_manager_closes_and_does_not_unlink(name):
    with SharedMemory(name, create=True, size=4) as block:
        assert block.buf[0] == 0
    assert block.buf is None and exists(name)
    with pytest.raises(ValueError):
        block.__enter__()
    block.unlink()


def test_an_exception_passes_through_the_context_manager(name):
    with pytest.raises(KeyError):
        with SharedMemory(name, create=True, size=4) as block:
            raise KeyError("x")
    assert block.buf is None
    block.unlink()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o400, 0o700])
def test_mode_is_not_cut_by_the_umask(name, mode):
    old = os.umask(0o077)
    try:
        block = SharedMemory(name, create=True, size=4, mode=mode)
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(f"/dev/shm/{name}").st_mode) == mode
    assert block.mode == mode == SharedMemory(name).mode
    block.close()
    assert block.mode == mode
    block.unlink()


@pytest.mark.parametrize("mode", [0o1600, -1, 2**40, "rw", 6.5])
def test_a_wrong_mode_is_refused(name, mode):
    with pytest.raises((ValueError, TypeError, OverflowError)):
        SharedMemory(name, create=True, size=4, mode=mode)
    assert not exists(name)


def test_read_only(block, name):
    reader = SharedMemory(name, read_only=True)
    assert reader.read_only and not block.read_only
    block.buf[0] = 5
    assert reader.buf[0] == 5 and reader.buf.readonly
    with pytest.raises(TypeError):
        reader.buf[0] = 1
    with pytest.raises(TypeError):
        struct.pack_into("B", reader, 0, 1)
    assert not np.frombuffer(reader, np.uint8).flags.writeable
    with pytest.raises(OSError) as caught:
        reader.resize(200)
    assert caught.value.errno == errno.EACCES


def test_exist_ok_makes_or_attaches(name):
    first = SharedMemory(name, create=True, size=10, exist_ok=True)
    first.buf[0] = 1
    second = SharedMemory(name, size=99, exist_ok=True)
    assert (second.size, second.buf[0]) == (10, 1)
    with pytest.raises(ValueError):
        SharedMemory(name, create=True, exist_ok=True)
    first.unlink()


def test_exist_ok_without_a_name_makes():
    block = SharedMemory(create=True, size=10, exist_ok=True)
    assert block.size == 10
    block.unlink()


# ---- the first API ----

def test_flags_of_the_first_api(name):
    made = SharedMemory(name, flags=shared_memory.O_CREX, size=10)
    with pytest.raises(FileExistsError):
        SharedMemory(name, flags=shared_memory.O_CREX, size=10)
    assert SharedMemory(name, flags=shared_memory.O_CREAT, size=20).size == 10
    assert SharedMemory(name, flags=None).size == 10
    assert SharedMemory(name, flags=None, mode=384, size=0,
                        read_only=False).size == 10
    made.unlink()
    other = SharedMemory(name, flags=shared_memory.O_CREAT, size=20)
    assert other.size == 20
    other.unlink()


def test_a_size_without_a_name_makes():
    for block in (SharedMemory(None, size=10), SharedMemory(size=10),
                  SharedMemory(None, flags=None, size=10)):
        assert block.size == 10 and block.name.startswith("psm_")
        block.unlink()
    with pytest.raises(ValueError, match="'name' can only be None"):
        SharedMemory(create=False, size=10)


def test_wrong_flags_are_refused(name):
    with pytest.raises(ValueError, match="O_EXCL must be combined"):
        SharedMemory(name, flags=os.O_EXCL, size=10)
    with pytest.raises(ValueError, match="O_TRUNC"):
        SharedMemory(name, flags=os.O_CREAT | os.O_TRUNC, size=10)
    with pytest.raises(ValueError, match="'name' can only be None"):
        SharedMemory(None, flags=shared_memory.O_CREAT, size=10)
    assert not exists(name)


# ---- lifetimes ----

def lifetime(name):
    return SharedMemory(name).stat().lifetime


@pytest.mark.parametrize("arguments, expected", [
    ({}, "family"), ({"track": True}, "family"),
    ({"track": False}, "persistent"), ({"lifetime": "family"}, "family"),
    ({"lifetime": "holders"}, "holders"),
    ({"lifetime": "persistent"}, "persistent"),
    ({"lifetime": "family", "track": False}, "family"),
    ({"lifetime": None}, "family"),
], ids=repr)
def test_lifetime_at_creation(name, arguments, expected):
    block = SharedMemory(name, create=True, size=4, **arguments)
    assert lifetime(name) == expected
    block.unlink()


@pytest.mark.parametrize("wrong", ["", "Family", 0, b"family", True])
def test_a_wrong_lifetime_is_refused(name, wrong):
    with pytest.raises(ValueError, match="lifetime"):
        SharedMemory(name, create=True, size=4, lifetime=wrong)
    assert not exists(name)


def test_an_attacher_does_not_choose_the_lifetime(block, name):
    with pytest.raises(ValueError, match="when the block is created"):
        SharedMemory(name, lifetime="holders")


def test_holders_go_with_the_last_close(name):
    first = SharedMemory(name, create=True, size=4, lifetime="holders")
    second = SharedMemory(name)
    first.close()
    assert exists(name)
    second.close()
    assert not exists(name)


def test_a_view_is_a_holder(name):
    block = SharedMemory(name, create=True, size=4, lifetime="holders")
    view = block.buf
    block.close()
    assert exists(name)
    del view
    assert not exists(name)


LIFE = """if 1:
    import os, signal, sys
    from shmkit.shared_memory import SharedMemory
    name, lifetime, end = sys.argv[1:]
    block = SharedMemory(name, create=True, size=4, lifetime=lifetime)
    if end == "exit":
        sys.exit()
    if end == "exception":
        raise KeyError
    if end == "_exit":
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)
    """


@pytest.mark.parametrize("end", ["exit", "exception", "_exit", "SIGKILL"])
@pytest.mark.parametrize("life", ["family", "holders", "persistent"])
def test_what_stays_when_the_process_ends(name, life, end):
    run_python(LIFE, name, life, end)
    if end in ("exit", "exception"):
        assert exists(name) == (life == "persistent")
    _core.sweep()
    assert exists(name) == (life == "persistent")
    if life == "persistent":
        SharedMemory(name).unlink()


def test_persist(name):
    check_python("""if 1:
        import sys
        from shmkit.shared_memory import SharedMemory
        for name, life in zip(sys.argv[1::2], sys.argv[2::2]):
            SharedMemory(name, create=True, size=4, lifetime=life).persist()
        """, name + "f", "family", name + "h", "holders")
    _core.sweep()
    for one in (name + "f", name + "h"):
        block = SharedMemory(one)
        assert block.stat().lifetime == "persistent"
        block.unlink()


def test_persist_of_a_drawn_name_can_be_unlinked():
    block = SharedMemory(create=True, size=4)
    block.persist()
    assert block.stat().lifetime == "persistent"
    block.unlink()
    with pytest.raises(FileNotFoundError):
        block.unlink()


# ---- resize, fileno, stat ----

def test_resize_grows_and_old_views_keep_the_old_mapping(block, name):
    block.buf[:3] = b"abc"
    old = block.buf
    other = SharedMemory(name)
    block.resize(9000)
    assert block.size == len(block.buf) == 9000
    assert bytes(block.buf[:4]) == b"abc\0" and block.buf[8999] == 0
    old[0] = ord("x")
    assert block.buf[0] == ord("x") and len(old) == 100
    assert other.size == 100
    other.resize()
    assert other.size == 9000 and other.buf[0] == ord("x")


@pytest.mark.parametrize("size, error", [
    (50, ValueError), (0, ValueError), (-1, ValueError), (10.5, TypeError),
    ("x", TypeError), (2**70, OverflowError), (2**62, OSError)])
def test_a_wrong_resize_changes_nothing(block, size, error):
    with pytest.raises(error):
        block.resize(size)
    assert block.size == len(block.buf) == 100
    block.resize(100)
    assert block.size == 100


def test_resize_after_unlink_or_close(block):
    block.unlink()
    with pytest.raises(OSError) as caught:
        block.resize(200)
    assert caught.value.errno == errno.ESTALE
    assert block.buf[0] == 0
    block.close()
    with pytest.raises(ValueError, match="closed"):
        block.resize(200)


def test_fileno_is_one_descriptor_until_close(block, name):
    fd = block.fileno()
    assert fd == block.fileno() == block._fd
    assert os.fstat(fd).st_size == 100
    assert not os.get_inheritable(fd)
    block.close()
    with pytest.raises(OSError):
        os.fstat(fd)
    with pytest.raises(ValueError, match="closed"):
        block.fileno()


def test_no_descriptor_is_kept():
    before = len(os.listdir("/proc/self/fd"))
    blocks = [SharedMemory(create=True, size=1) for _ in range(50)]
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    for block in blocks:
        block.unlink()


def test_fileno_of_a_block_whose_name_is_gone(block):
    block.unlink()
    with pytest.raises(OSError) as caught:
        block.fileno()
    assert caught.value.errno == errno.ESTALE
    assert block._fd == -1


def test_stat(block, name):
    found = block.stat()
    system = os.stat(f"/dev/shm/{name}")
    assert found.name == name and found.size == 100
    assert (found.inode, found.device) == (system.st_ino, system.st_dev)
    assert (found.uid, found.gid) == (system.st_uid, system.st_gid)
    assert found.mode == 0o600 and found.state == "live"
    assert found.family == _core.family_get_id()
    assert found.resident == system.st_blocks * 512
    assert tuple(found)[0] == name and "size=100" in repr(found)


def test_stat_of_a_namesake_is_refused(block, name):
    SharedMemory(name).unlink()
    with SharedMemory(name, create=True, size=5) as successor:
        with pytest.raises(OSError) as caught:
            block.stat()
        assert caught.value.errno == errno.ESTALE
        successor.unlink()
    block.close()
    with pytest.raises(ValueError, match="closed"):
        block.stat()


# ---- space ----

def small_shm(size):
    subprocess.run(["mount", "-o", f"remount,size={size}", "/dev/shm"],
                   check=True)


def test_a_full_shm_is_an_error_before_anything_is_there(private_shm, name):
    small_shm("4m")
    try:
        with pytest.raises(OSError) as caught:
            SharedMemory(name, create=True, size=64 << 20)
        assert caught.value.errno == errno.ENOSPC
        assert caught.value.filename == "/" + name
        assert not exists(name)
        sparse = SharedMemory(name, create=True, size=64 << 20, sparse=True)
        assert sparse.size == 64 << 20
        with pytest.raises(OSError) as caught:
            SharedMemory(create=True, size=64 << 20)
        assert caught.value.errno == errno.ENOSPC
        sparse.unlink()
        sparse.close()
    finally:
        small_shm("50%")


def test_space_is_reserved_unless_sparse(name):
    for sparse, prefault, resident in ((False, False, 1 << 20),
                                       (True, False, 0),
                                       (True, True, 1 << 20)):
        block = SharedMemory(name, create=True, size=1 << 20, sparse=sparse,
                             prefault=prefault)
        assert block.stat().resident == resident
        block.unlink()


def test_a_file_size_limit_is_an_error(name):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    code = """if 1:
        import resource, sys
        from shmkit.shared_memory import SharedMemory
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        try:
            SharedMemory(sys.argv[1], create=True, size=1 << 21)
        except OSError as error:
            print(error.errno)
        """
    assert check_python(code, name) == str(errno.EFBIG)
    assert not exists(name) and (soft, hard) != (1 << 20, 1 << 20)


def test_init_may_be_called_again(names):
    first, second = names(), names()
    block = SharedMemory(first, create=True, size=10)
    array = np.ndarray((10,), np.uint8, buffer=block)
    fd = block.fileno()
    block.__init__(second, create=True, size=20)
    assert (block.name, block.size, array[0]) == (second, 20, 0)
    with pytest.raises(OSError):
        os.fstat(fd)
    block.unlink()
    SharedMemory(first).unlink()
