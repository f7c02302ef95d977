# SPDX-License-Identifier: MIT
"""Processes: pickling, families, and who removes what, for each start
method."""

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest

import shmkit
import workers
from helpers import check_python, exists, run_python, wait_for
from shmkit import _core
from shmkit.shared_memory import ShareableList, SharedMemory

METHODS = ["fork", "spawn", "forkserver"]
HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture(params=METHODS)
def context(request):
    return shmkit.get_context(request.param)


def run(context, target, *arguments, code=0):
    process = context.Process(target=target, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == code
    process.close()


def test_a_child_attaches_by_name_and_by_pickle(context, name):
    with SharedMemory(name, create=True, size=10) as block:
        for given in (name, block):
            block.buf[:5] = bytes(5)
            run(context, workers.write_hello, given)
            assert bytes(block.buf[:5]) == b"hello"
        block.unlink()


def test_a_list_crosses_by_pickle(context):
    sl = ShareableList([1, 2.5, "ab"])
    run(context, workers.double, sl)
    assert list(sl) == [2, 5.0, "abab"]
    sl.shm.unlink()


def test_options_cross_a_pool(context, name):
    made = SharedMemory(name, create=True, size=10, track=False)
    reader = SharedMemory(name, read_only=True)
    sl = ShareableList(range(10))
    with context.Pool(2) as pool:
        assert pool.map(workers.options_of, [made, reader]) == \
            [(False, False, 10), (True, True, 10)]
        assert pool.apply(workers.sum_of, (sl,)) == 45
    pool.join()
    made.unlink()
    sl.shm.unlink()


def test_a_child_is_of_the_family(context):
    _core.family_form()
    receiver, sender = context.Pipe(False)
    run(context, workers.report_family, sender)
    family, pid = receiver.recv()
    assert family == _core.family_get_id() and pid != os.getpid()


@pytest.mark.parametrize("end, code", [
    ("close", 0), ("nothing", 0), ("_exit", 0), ("exception", 3),
    ("SIGKILL", -signal.SIGKILL)])
def test_a_child_creates_and_ends_and_the_parent_attaches(context, end, code):
    receiver, sender = context.Pipe(False)
    run(context, workers.create_and_end, sender, end, code=code)
    name = receiver.recv()
    check_python("import shmkit; shmkit._core.sweep()")
    with SharedMemory(name) as block:
        assert block.buf[0] == 55
        block.unlink()


def test_a_holders_block_goes_with_its_process(context):
    receiver, sender = context.Pipe(False)
    run(context, workers.create_holders, sender)
    assert not exists(receiver.recv())


@pytest.mark.parametrize("method", METHODS)
def test_the_family_travels_to_a_grandchild(method):
    done = subprocess.run(
        [sys.executable, os.path.join(HERE, "propagation.py"), method],
        capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "ok\n"


def test_the_first_block_of_a_program_may_be_a_childs(context, tmp_path):
    # The parent has made nothing yet when it starts the child.
    script = tmp_path / "program.py"
    script.write_text(f"""if 1:
        import shmkit, sys
        sys.path.insert(0, {HERE!r})
        import workers
        if __name__ == "__main__":
            context = shmkit.get_context({context.get_start_method()!r})
            receiver, sender = context.Pipe(False)
            process = context.Process(target=workers.create_and_end,
                                      args=(sender, "close"))
            process.start()
            process.join()
            name = receiver.recv()
            import subprocess
            subprocess.run([sys.executable, "-c", "import shmkit"])
            block = shmkit.shared_memory.SharedMemory(name)
            print(block.buf[0], name)
        """)
    done = subprocess.run([sys.executable, script], capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    value, name = done.stdout.split()
    assert value == "55" and not exists(name)


def test_the_fork_server_forms_no_family(private_shm, tmp_path):
    # Preloaded there, shmkit must not form a family at its forks.
    script = tmp_path / "program.py"
    script.write_text(f"""if 1:
        import os, sys, shmkit
        sys.path.insert(0, {HERE!r})
        import workers
        if __name__ == "__main__":
            shmkit.set_forkserver_preload(["shmkit", "workers"])
            shmkit._core.family_form()
            context = shmkit.get_context("forkserver")
            receiver, sender = context.Pipe(False)
            before = set(os.listdir(f"/dev/shm/shmkit-{{os.geteuid()}}"))
            process = context.Process(target=workers.report_family,
                                      args=(sender,))
            process.start()
            process.join()
            assert receiver.recv()[0] == shmkit._core.family_get_id()
            after = set(os.listdir(f"/dev/shm/shmkit-{{os.geteuid()}}"))
            print(len(after - before))
        """)
    done = subprocess.run([sys.executable, script], capture_output=True,
                          text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


def test_a_program_started_by_exec_is_a_family_of_its_own(name):
    _core.family_form()
    other = check_python("""if 1:
        from shmkit import _core, shared_memory
        shared_memory.SharedMemory(create=True, size=1)
        print(_core.family_get_id())
        """)
    assert other != _core.family_get_id()


def test_the_environment_variable_makes_a_program_join():
    _core.family_form()
    family = _core.family_get_id()
    done = subprocess.run(
        [sys.executable, "-c", "from shmkit import _core;"
         "_core.family_form(); print(_core.family_get_id())"],
        env={**os.environ, "SHMKIT_FAMILY": family}, capture_output=True,
        text=True, timeout=60)
    assert done.stdout.strip() == family, done.stderr


def test_a_process_object_made_before_the_import(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(f"""if 1:
        import multiprocessing, sys
        sys.path.insert(0, {HERE!r})
        def target(connection):
            import workers
            workers.report_family(connection)
        if __name__ == "__main__":
            context = multiprocessing.get_context("spawn")
            receiver, sender = context.Pipe(False)
            process = context.Process(target=target, args=(sender,))
            import shmkit
            process.start()
            process.join()
            print(receiver.recv()[0] == shmkit._core.family_get_id())
        """)
    done = subprocess.run([sys.executable, script], capture_output=True,
                          text=True, timeout=120)
    assert done.stdout == "True\n", done.stderr


def test_a_plain_os_fork_shares_the_family_and_the_block(name):
    with SharedMemory(name, create=True, size=4) as block:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                block.buf[0] = 7
                same = SharedMemory(name)
                status = 0 if same.buf[0] == 7 else 2
                same.close()
                block.close()
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        assert block.buf[0] == 7 and exists(name)
        block.unlink()


def test_importing_removes_what_a_dead_family_has_left(name):
    code = """if 1:
        import os, signal, sys
        from shmkit.shared_memory import SharedMemory
        SharedMemory(sys.argv[1], create=True, size=4)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    assert run_python(code, name).returncode == -signal.SIGKILL
    assert exists(name)
    check_python("import shmkit")
    assert not exists(name)


# ---- gh-82300: attaching never makes an owner ----

ATTACH = """if 1:
    import os, signal, sys
    from shmkit.shared_memory import SharedMemory
    block = SharedMemory(sys.argv[1], track=True)
    assert block.buf[0] == 9
    if sys.argv[2] == "close":
        block.close()
    elif sys.argv[2] == "exception":
        raise KeyError
    elif sys.argv[2] == "_exit":
        os._exit(0)
    elif sys.argv[2] == "SIGTERM":
        os.kill(os.getpid(), signal.SIGTERM)
    elif sys.argv[2] == "SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)
    """


@pytest.mark.parametrize("life", ["family", "holders", "persistent"])
@pytest.mark.parametrize("end", ["close", "nothing", "exception", "_exit",
                                 "SIGTERM", "SIGKILL"])
def test_an_unrelated_attacher_removes_nothing(name, life, end):
    with SharedMemory(name, create=True, size=4, lifetime=life) as block:
        block.buf[0] = 9
        done = run_python(ATTACH, name, end)
        assert "resource_tracker" not in done.stderr
        assert "leaked" not in done.stderr
        _core.sweep()
        with SharedMemory(name) as again:
            assert again.buf[0] == 9
        block.unlink()


def test_an_unrelated_holder_keeps_the_block_of_a_dead_family(name):
    code = """if 1:
        import sys, os
        from shmkit.shared_memory import SharedMemory
        block = SharedMemory(sys.argv[1], create=True, size=4)
        block.buf[0] = 9
        print("made", flush=True)
        sys.stdin.read()
        os._exit(1)
        """
    with subprocess.Popen([sys.executable, "-c", code, name], text=True,
                          stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as creator:
        assert creator.stdout.readline() == "made\n"
        block = SharedMemory(name)
        creator.stdin.close()
        creator.wait()
    _core.sweep()
    assert exists(name) and block.buf[0] == 9
    block.close()
    _core.sweep()
    assert not exists(name)


# ---- managers ----

def test_shared_memory_manager(names):
    with shmkit.managers.SharedMemoryManager() as manager:
        block = manager.SharedMemory(size=100)
        sl = manager.ShareableList([1, "a"])
        assert type(block) is SharedMemory and type(sl) is ShareableList
        with SharedMemory(block.name) as reader:
            reader.buf[0] = 3
        assert block.buf[0] == 3 and list(sl) == [1, "a"]
    assert not exists(block.name) and not exists(sl.shm.name)
    assert block.buf[0] == 3
    with pytest.raises((ValueError, OSError)):
        manager.SharedMemory(size=1)


def test_a_manager_that_was_not_started_makes_nothing():
    manager = shmkit.managers.SharedMemoryManager()
    with pytest.raises(ValueError):
        manager.SharedMemory(size=9)
    with pytest.raises(ValueError):
        manager.ShareableList([1])


def test_a_manager_that_was_killed_leaks_nothing():
    name = check_python("""if 1:
        import os, signal
        from shmkit.managers import SharedMemoryManager
        manager = SharedMemoryManager()
        manager.start()
        block = manager.SharedMemory(size=100)
        print(block.name, flush=True)
        os.kill(manager._process.pid, signal.SIGKILL)
        manager._process.join()
        """)
    assert not exists(name)


# ---- many at once ----

def test_children_of_all_kinds_at_once(name):
    done = []
    with SharedMemory(name, create=True, size=64) as block:
        for method in METHODS * 3:
            context = multiprocessing.get_context(method)
            process = context.Process(target=workers.fill,
                                      args=(name, len(done), 50))
            process.start()
            done.append(process)
        for process in done:
            process.join()
            assert process.exitcode == 0
        assert list(block.buf[:len(done)]) == [50] * len(done)
        block.unlink()


def test_a_whole_group_killed_at_once(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(f"""if 1:
        import sys, time, shmkit
        sys.path.insert(0, {HERE!r})
        import workers
        if __name__ == "__main__":
            kept = [shmkit.shared_memory.SharedMemory(create=True, size=9)
                    for _ in range(5)]
            pipes = []
            for method in ("fork", "spawn", "forkserver"):
                context = shmkit.get_context(method)
                pipes.append(context.Pipe(False))
                context.Process(target=workers.sleep_forever,
                                args=(pipes[-1][1],)).start()
            for receiver, _ in pipes:
                receiver.recv()
            print(*(block.name for block in kept), flush=True)
            time.sleep(1000)
        """)
    with subprocess.Popen([sys.executable, script], text=True,
                          stdout=subprocess.PIPE,
                          start_new_session=True) as program:
        names = program.stdout.readline().split()
        assert len(names) == 5 and all(map(exists, names))
        os.killpg(program.pid, signal.SIGKILL)
        program.wait()

    def gone():
        _core.sweep()
        return not any(map(exists, names))
    wait_for(gone, "the blocks of a dead family to go")
