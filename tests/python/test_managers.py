# SPDX-License-Identifier: MIT
"""SharedMemoryManager: blocks that end with it, and a server if need be."""

import errno
import gc
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor

import pytest

import manager_workers as workers
import shmkit
from helpers import (PATIENCE, check_python, exists, inode_of, plain_pythons,
                     run_python, wait_for)
from shmkit import _group
from shmkit.managers import SharedMemoryManager
from shmkit.shared_memory import ShareableList, SharedMemory

METHODS = ("fork", "spawn", "forkserver")
HERE = os.path.dirname(os.path.abspath(__file__))


def run_child(method, target, *args):
    """Start target(connection, *args); (its process, our end)."""
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *args))
    process.start()
    theirs.close()
    return process, ours


# ---- from start to shutdown ----

def test_what_it_made_ends_with_it():
    with SharedMemoryManager() as manager:
        block = manager.SharedMemory(size=100)
        items = manager.ShareableList([1, "a"])
        assert type(block) is SharedMemory and type(items) is ShareableList
        with SharedMemory(block.name) as reader:
            reader.buf[0] = 3
        assert sorted(manager.names()) == sorted([block.name, items.shm.name])
    assert not exists(block.name) and not exists(items.shm.name)
    assert block.buf[0] == 3 and list(items) == [1, "a"]


def test_no_process_and_no_tracker():
    check_python("""if 1:
        import os
        from multiprocessing import active_children, resource_tracker
        from shmkit.managers import SharedMemoryManager
        manager = SharedMemoryManager()
        manager.start()
        manager.SharedMemory(10)
        manager.ShareableList([1])
        manager.names()
        manager.join()
        manager.shutdown()
        assert active_children() == []
        assert resource_tracker._resource_tracker._fd is None
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            pass
        else:
            raise AssertionError("there is a child")
        """)


def test_it_behaves_as_the_standard_one():
    said = {}
    for package in ("multiprocessing", "shmkit"):
        done = subprocess.run(
            [sys.executable, os.path.join(HERE, "manager_session.py"),
             package], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        said[package] = done.stdout.splitlines()
    assert len(said["shmkit"]) > 60
    assert said["shmkit"] == said["multiprocessing"]


def test_a_manager_that_is_dropped_ends():
    manager = SharedMemoryManager()
    manager.start()
    name = manager.SharedMemory(10).name
    assert exists(name)
    del manager
    gc.collect()
    assert not exists(name)


def test_a_manager_ends_with_the_program():
    name = check_python("""if 1:
        from shmkit.managers import SharedMemoryManager
        from shmkit.shared_memory import SharedMemory
        manager = SharedMemoryManager()
        manager.start()
        print(manager.SharedMemory(10).name)
        """)
    assert name and not exists(name)


@pytest.mark.parametrize("server", ["", "manager.address"])
def test_a_manager_whose_process_is_killed_leaks_nothing(server):
    done = run_python("""if 1:
        import os, signal, sys
        from shmkit.managers import SharedMemoryManager
        manager = SharedMemoryManager()
        manager.start()
        eval(sys.argv[1] or "0")
        print(manager.SharedMemory(10).name, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """, server)
    assert done.returncode == -signal.SIGKILL

    def gone():
        shmkit._core.sweep()
        return not exists(done.stdout.strip())
    wait_for(gone, "the block to go")


def test_a_server_that_is_killed_takes_nothing_along():
    with SharedMemoryManager() as manager:
        block = manager.SharedMemory(10)
        os.kill(manager._process.pid, signal.SIGKILL)
        manager._process.join()
        assert exists(block.name)
        other = manager.SharedMemory(10)
    assert not exists(block.name) and not exists(other.name)


def test_sigint_does_not_end_it():
    with SharedMemoryManager() as manager:
        os.kill(manager._process.pid, signal.SIGINT)
        assert manager._number_of_objects() == 0
        assert manager._process.is_alive()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_what_cannot_be_made_leaves_nothing(private_shm):
    with SharedMemoryManager() as manager:
        before = sorted(os.listdir("/dev/shm"))
        for call, args in [(manager.SharedMemory, (0,)),
                           (manager.SharedMemory, (1.5,)),
                           (manager.SharedMemory, (1 << 60,)),
                           (manager.SharedMemory, (10, "a/b")),
                           (manager.ShareableList, ([object()],)),
                           (manager.ShareableList, (5,))]:
            with pytest.raises((ValueError, TypeError, OSError, KeyError)):
                call(*args)
        assert sorted(os.listdir("/dev/shm")) == before
        assert manager.names() == []


def test_a_block_that_was_unlinked_is_no_trouble(name):
    with SharedMemoryManager() as manager:
        for one in (None, name):
            block = manager.SharedMemory(10, one)
            block.unlink()
            assert manager.names() == []
        manager.SharedMemory(10, name).unlink()
        # Somebody else's now, and not the manager's to remove.
        stranger = SharedMemory(name, create=True, size=10)
        assert manager.names() == []
    assert exists(name)
    stranger.unlink()


def test_options_of_blocks(name):
    with SharedMemoryManager() as manager:
        block = manager.SharedMemory(10, name, mode=0o640, prefault=True)
        assert block.mode == 0o640 and block.name == name
        assert list(manager.ShareableList([1, 2], name + "l")) == [1, 2]
        for option in ("lifetime", "track", "exist_ok", "read_only", "create"):
            with pytest.raises(TypeError, match=option):
                manager.SharedMemory(10, **{option: True})
        with pytest.raises(FileExistsError):
            manager.SharedMemory(10, name)
        assert sorted(manager.names()) == [name, name + "l"]
    assert not exists(name) and not exists(name + "l")


def test_attach(name):
    with SharedMemoryManager() as manager, \
            SharedMemory(create=True, size=10) as stranger:
        block = manager.SharedMemory(10, name)
        block.buf[3] = 9
        assert manager.attach(name).buf[3] == 9
        for absent in (stranger.name, "nobody"):
            with pytest.raises(FileNotFoundError):
                manager.attach(absent)
        stranger.unlink()


def test_arrays(name):
    numpy = pytest.importorskip("numpy")
    with SharedMemoryManager() as manager:
        table = manager.ndarray((3, 4), "i4", label="hours")
        table[1, 2] = 5
        found = shmkit.attach(table.name)
        assert found.shape == (3, 4) and found.label == "hours"
        assert found[1, 2] == 5
        copy = manager.from_array(numpy.arange(6.0), name)
        assert copy.name == name and list(copy) == [0, 1, 2, 3, 4, 5]
        assert sorted(manager.names()) == sorted([table.name, name])
        with pytest.raises(TypeError, match="lifetime"):
            manager.ndarray(3, lifetime="persistent")
        with pytest.raises(TypeError):
            manager.from_array([object()])
        assert len(manager.names()) == 2
    assert not exists(table.name) and not exists(name)
    assert table[1, 2] == 5


# ---- other processes ----

@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("given", [False, True])
def test_blocks_of_children_end_with_the_manager(method, given, name):
    with SharedMemoryManager() as manager:
        process, connection = run_child(method, workers.report_make, manager,
                                        name if given else None)
        made = connection.recv()
        process.join()
        assert process.exitcode == 0
        assert manager.names() == [made] and (made == name) == given
        assert manager.attach(made).buf[0] == 7
    assert not exists(made)


@pytest.mark.parametrize("method", METHODS)
def test_children_notice_the_end(method):
    manager = SharedMemoryManager()
    manager.start()
    process, connection = run_child(method, workers.make_when_told, manager)
    name = connection.recv()
    manager.shutdown()
    assert not exists(name)
    connection.send("now")
    error = connection.recv()
    assert type(error) is FileNotFoundError and error.errno == errno.ENOENT
    process.join()


@pytest.mark.parametrize("method", METHODS)
def test_a_pool_makes_blocks(method):
    context = multiprocessing.get_context(method)
    with SharedMemoryManager() as manager:
        with context.Pool(2) as pool:
            names = pool.map(workers.make, [manager] * 6)
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            names += pool.map(workers.make, [manager] * 6)
        assert sorted(names) == sorted(manager.names())
        assert all(manager.attach(name).buf[0] == 7 for name in names)
    assert not any(map(exists, names))


def test_a_copy_ends_nothing():
    with SharedMemoryManager() as manager:
        copy = pickle.loads(pickle.dumps(manager))
        with copy:
            name = copy.SharedMemory(10).name
        copy.shutdown()
        del copy
        assert manager.names() == [name]
        with pytest.raises(shmkit.ProcessError):
            pickle.loads(pickle.dumps(manager)).start()
        late = pickle.dumps(manager)
    with pytest.raises(FileNotFoundError):
        pickle.loads(late)


def test_the_key_travels_to_children_only():
    with SharedMemoryManager(authkey=b"a very secret key") as manager:
        assert manager.address
        assert b"secret" not in pickle.dumps(manager)
    with pytest.raises(TypeError):
        pickle.dumps(SharedMemoryManager(authkey=b"secret"))


def test_threads_that_make_blocks_while_it_ends(private_shm):
    before = set(os.listdir("/dev/shm"))
    for _ in range(10):
        manager = SharedMemoryManager()
        manager.start()
        errors, ready = [], threading.Semaphore(0)
        threads = workers.make_in_threads(manager, errors, ready)
        for _ in range(20):
            ready.acquire()
        manager.shutdown()
        for thread in threads:
            thread.join()
        assert errors == []
        extra = set(os.listdir("/dev/shm")) - before
        assert not any(one.startswith("psm_") for one in extra)


def test_kills_while_blocks_are_made(private_shm, names):
    """What a child that is killed has made goes at the end, but for a block
    with a given name that had no note yet: that one stays until the family
    goes, and is in nobody's way."""
    context = multiprocessing.get_context("fork")
    given = [names() for _ in range(3)]
    for _ in range(20):
        with SharedMemoryManager() as manager:
            ready = context.Event()
            child = context.Process(target=workers.make_until_killed,
                                    args=(manager, given, ready))
            child.start()
            ready.wait(PATIENCE)
            time.sleep(random.uniform(0, 0.01))
            child.kill()
            child.join()
            manager.names()
            manager.SharedMemory(10)
        rest = [one for one in os.listdir("/dev/shm")
                if one.startswith("psm_")]
        assert rest == []
        for one in filter(exists, given):
            with SharedMemory(one) as block:
                block.unlink()


def test_notes_of_others_are_not_believed(name, private_shm):
    with SharedMemory(name, create=True, size=10) as mine, \
            SharedMemoryManager() as manager:
        ident = manager._group.ident
        manager.SharedMemory(10)
        inode = inode_of(name).to_bytes(8, "little")
        notes = {"wrong": b"\0" * 8 + name.encode(), "short": b"\1",
                 "path": inode + b"../shm/" + name.encode(),
                 "nul": inode + name.encode() + b"\0x",
                 "long": inode + b"x" * 5000, "bytes": inode + b"\xff\xfe"}
        for kind, content in notes.items():
            with SharedMemory(f"psm_{ident}.{kind}", create=True,
                              size=len(content)) as note:
                note.buf[:] = content
        content = inode + name.encode()
        with SharedMemory(f"psm_{ident}.foreign", create=True,
                          size=len(content), mode=0o666) as note:
            note.buf[:] = content
            os.chown(f"/dev/shm/{note.name}", 12345, 12345)
        assert len(manager.names()) == 1
        with SharedMemory(f"psm_{ident}.foreign") as note:
            note.unlink()
    assert exists(name)
    mine.unlink()


def test_a_taken_name_is_drawn_again(monkeypatch):
    drawn = iter(["aa" * 6, "11" * 3, "11" * 3, "22" * 3])
    monkeypatch.setattr(_group, "_draw", lambda digits: next(drawn))
    with SharedMemoryManager() as manager:
        first, second = manager.SharedMemory(10), manager.SharedMemory(10)
        assert first.name == "psm_aaaaaaaaaaaa_111111"
        assert second.name == "psm_aaaaaaaaaaaa_222222"


# ---- servers ----

def test_an_initializer_runs_in_the_server(tmp_path):
    manager = SharedMemoryManager()
    manager.start(workers.note, (tmp_path / "note", "hello"))
    assert (tmp_path / "note").read_text() == f"hello {manager._process.pid}"
    manager.shutdown()


def test_a_start_that_fails_can_be_repeated(private_shm):
    manager = SharedMemoryManager()
    before = sorted(os.listdir("/dev/shm"))
    with pytest.raises(EOFError):
        manager.start(os._exit, (1,))
    assert sorted(os.listdir("/dev/shm")) == before
    with manager:
        assert manager.SharedMemory(10).size == 10


@pytest.mark.parametrize("method", METHODS)
def test_registered_types(method):
    context = multiprocessing.get_context(method)
    with workers.DoublerManager(ctx=context) as manager:
        doubler = manager.Doubler()
        assert doubler.twice(21) == 42
        assert doubler.where() == manager._process.pid != os.getpid()
        name = manager.SharedMemory(10).name
    assert not exists(name)


@pytest.mark.parametrize("method", METHODS)
def test_a_server_when_asked(method):
    context = multiprocessing.get_context(method)
    with SharedMemoryManager(ctx=context) as manager:
        before = manager.SharedMemory(10).name
        address = manager.address
        assert address == manager.address == manager._address
        client = SharedMemoryManager(address, manager._authkey)
        client.connect()
        mine = client.SharedMemory(10).name
        given = client.ShareableList([1]).shm.name
        assert set(client.names()) == {before, mine, given}
        assert set(manager.names()) == {before, mine, given}
        assert client.attach(before).size == 10
    assert not any(map(exists, (before, mine, given)))
    assert not manager._process.is_alive()


def test_a_child_may_ask_for_the_server():
    """Of a fork made before there was one: it gets one of its own."""
    with SharedMemoryManager() as manager:
        name = check_in_fork(lambda: ask_for_server(manager))
        assert manager.names() == [name]
    assert not exists(name)


def ask_for_server(manager):
    client = SharedMemoryManager(manager.address, manager._authkey)
    client.connect()
    return client.SharedMemory(10).name


def check_in_fork(call):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=lambda: theirs.send(call()))
    process.start()
    theirs.close()
    result = ours.recv()
    process.join()
    assert process.exitcode == 0
    return result


CLIENT = """if 1:
    import sys
    from {package}.managers import SharedMemoryManager
    manager = SharedMemoryManager(sys.argv[1], sys.argv[2].encode())
    manager.connect()
    block = manager.SharedMemory(10)
    block.buf[0] = 44
    print(block.name, flush=True)
    sys.stdin.read()
    """


def start_client(package, address, python=sys.executable, plain=False):
    env = dict(os.environ)
    if plain:
        env.pop("PYTHONPATH", None)
    return subprocess.Popen(
        [python, "-c", CLIENT.format(package=package), address, "key"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
        stderr=subprocess.DEVNULL)


def test_a_block_of_another_program_stays_until_the_end():
    with SharedMemoryManager(authkey=b"key") as manager:
        client = start_client("shmkit", manager.address)
        name = client.stdout.readline().strip()
        client.communicate()
        shmkit._core.sweep()
        assert exists(name)
        assert manager.attach(name).buf[0] == 44
        assert manager.names() == [name]
    assert not exists(name)


@pytest.mark.parametrize("version,python", sorted(plain_pythons().items()))
def test_standard_programs_use_our_server(version, python):
    with SharedMemoryManager(authkey=b"key") as manager:
        client = start_client("multiprocessing", manager.address, python, True)
        name = client.stdout.readline().strip()
        assert manager.names() == [name]
        assert manager.attach(name).buf[0] == 44
        client.communicate()
    assert not exists(name)


def test_our_manager_uses_a_standard_server():
    server = multiprocessing.managers.SharedMemoryManager(authkey=b"key")
    server.start()
    client = SharedMemoryManager(server.address, b"key")
    client.connect()
    block, items = client.SharedMemory(10), client.ShareableList([1])
    assert client.names() == [block.name, items.shm.name]
    server.shutdown()
    assert not exists(block.name) and not exists(items.shm.name)


def test_get_server():
    process, connection = run_child("fork", workers.serve, b"key")
    address = connection.recv()
    client = SharedMemoryManager(address, b"key")
    client.connect()
    name = client.SharedMemory(10).name
    assert client.names() == [name]
    with client._Client(address, authkey=b"key") as link:
        shmkit.managers.dispatch(link, None, "release_segment", (name,))
    assert client.names() == [] and not exists(name)
    name = client.SharedMemory(10).name
    with client._Client(address, authkey=b"key") as link:
        shmkit.managers.dispatch(link, None, "shutdown")
    process.join(PATIENCE)
    assert process.exitcode == 0 and not exists(name)


def test_the_server_ends_with_a_process_that_is_killed():
    done = run_python("""if 1:
        import os, signal
        from shmkit.managers import SharedMemoryManager
        manager = SharedMemoryManager()
        manager.start()
        print(manager._process.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """)
    pid = int(done.stdout)
    wait_for(lambda: not is_running(pid), "the server's end")


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_server_lets_go_of_what_was_unlinked():
    with SharedMemoryManager(authkey=b"key") as manager:
        client = start_client("shmkit", manager.address)
        name = client.stdout.readline().strip()
        inode = inode_of(name)
        server = manager._process.pid
        client.communicate()
        assert holds(server, inode)
        manager.attach(name).unlink()
        wait_for(lambda: not holds(server, inode), "the server to let go")


def holds(pid, inode):
    with open(f"/proc/{pid}/maps") as maps:
        return any(line.split(maxsplit=5)[4] == str(inode) for line in maps)


def test_a_server_needs_no_tracker():
    check_python("""if 1:
        from multiprocessing import resource_tracker
        from shmkit.managers import SharedMemoryManager
        with SharedMemoryManager() as manager:
            client = SharedMemoryManager(manager.address)
            client.connect()
            client.SharedMemory(10)
        assert resource_tracker._resource_tracker._fd is None
        """)
