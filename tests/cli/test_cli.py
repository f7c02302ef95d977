# SPDX-License-Identifier: MIT
"""Every command of the tool, as a script would use it."""

import ctypes
import errno
import json
import os
import pty
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from conftest import (
    SHM,
    TIMEOUT,
    TOOL,
    TOOL_FAULT,
    Holder,
    Plain,
    blocks,
    environment,
    ok,
    run,
    started,
    wait_until,
)

FAILED, USAGE, NOT_FOUND, IN_USE, NO_SPACE, NOT_PERMITTED, EXISTS = range(1, 8)
COMMANDS = ["create", "ls", "stat", "cat", "write", "rm", "gc"]


@pytest.fixture
def tool_of_nobody():
    """A copy of the tool that user nobody may run."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    folder = tempfile.mkdtemp()
    os.chmod(folder, 0o755)
    tool = shutil.copy(TOOL, folder)
    os.chmod(tool, 0o755)
    yield {"tool": tool, "user": 65534, "group": 65534, "extra_groups": []}
    shutil.rmtree(folder)


# ---- the tool as such ----


def test_version_and_help_say_what_there_is():
    assert re.fullmatch(r"shmkit \d+\.\d+\.\d+\n", ok("--version"))
    text = ok("--help")
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", text, re.M)
        assert ok(command, "--help").startswith(f"Usage: shmkit {command} ")


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["nonsense"],
        ["--nonsense"],
        ["ls", "--nonsense"],
        ["ls", "-x"],
        ["ls", "--json=yes"],
        ["ls", "-o"],
        ["ls", "-o", "name,nonsense"],
        ["ls", "-o", "name,name"],
        ["ls", "-o", ""],
        ["stat"],
        ["stat", "a", "b"],
        ["cat"],
        ["cat", "a", "--offset", "x"],
        ["write"],
        ["rm"],
        ["gc", "a"],
        ["create", "a"],
        ["create", "a", "--size", "0"],
        ["create", "a", "b", "--size", "4K"],
        ["create", "a", "--size", "4K", "--mode", "888"],
        ["create", "a", "--size", "4K", "--mode", "1777"],
        ["create", "a", "--size", "4K", "--mode", ""],
        ["create", "a", "--size", "4K", "--lifetime", "long"],
        ["create", "--size", "4K", "--exist-ok"],
        ["create", "a", "--size", "4M", "--huge", "--no-huge"],
        ["create", "a", "--size", "4M", "--huge", "--sparse"],
        ["create", "a", "--size", "2097151", "--huge"],
        ["create", "a", "--size", "4K", "--lock"],
        ["create", "a", "--size", "4K", "--numa", ""],
        ["create", "a", "--size", "4K", "--numa", "0"],
        ["create", "a", "--size", "4K", "--numa", "near:0"],
        ["create", "a", "--size", "4K", "--numa", "bind:"],
        ["create", "a", "--size", "4K", "--numa", "bind:0,"],
        ["create", "a", "--size", "4K", "--numa", "bind:1-0"],
        ["create", "a", "--size", "4K", "--numa", "bind:0-64"],
        ["create", "a", "--size", "4K", "--numa", "interleave:-1"],
    ],
)
def test_wrong_usage_is_told_and_changes_nothing(args):
    result = run(*args)
    assert result.code == USAGE and result.out == ""
    assert result.err.startswith("shmkit: ")
    assert result.err.count("\n") == 1 and "--help'" in result.err


@pytest.mark.parametrize("name", ["", "a/b", ".", "..", "shmkit-0", "n" * 256])
def test_a_name_that_no_block_can_have_is_wrong_usage(name):
    result = run("create", name, "--size", "4K")
    assert result.code == USAGE
    assert "name" in result.err


# ---- create ----


def test_create_makes_a_persistent_block_of_zeros():
    assert ok("create", "new", "--size", "20K") == ""
    assert ok("cat", "new") == "\0" * 20480
    block = blocks()["new"]
    assert block["size"] == block["resident"] == 20480
    assert block["mode"] == "0600" and block["lifetime"] == "persistent"
    assert block["state"] == "idle" and block["holders"] == []
    ok("rm", "new")


def test_create_without_a_name_prints_the_one_it_drew():
    name = ok("create", "--size", "4096").strip()
    assert list(blocks()) == [name]
    ok("rm", name)


@pytest.mark.parametrize(
    "text, size",
    [
        ("1", 1),
        ("4097", 4097),
        ("5B", 5),
        ("64K", 65536),
        ("64k", 65536),
        ("1KiB", 1024),
        ("2KB", 2000),
        ("1.5K", 1536),
        ("0.3K", 308),
        ("1.000000001K", 1025),
        ("0.5M", 524288),
    ],
)
def test_sizes_with_units(text, size):
    ok("create", "sized", "--size", text)
    assert blocks()["sized"]["size"] == size
    ok("rm", "sized")


@pytest.mark.parametrize(
    "text",
    ["", "K", "1X", "-1", "+1", " 1", "1 ", "1.5.2", "1KK", "1Kib", "0x10"]
    + ["16E", "18446744073709551616", "99999999999999999999E"],
)
def test_what_is_no_size_is_wrong_usage(text):
    assert run("create", "sized", "--size", text).code == USAGE


def test_mode_is_as_asked_whatever_the_umask():
    # Set in the child alone, as other tests need the usual one.
    before = os.umask(0o077)
    try:
        ok("create", "open", "--size", "4K", "--mode", "664")
    finally:
        os.umask(before)
    assert blocks()["open"]["mode"] == "0664"
    ok("rm", "open")


def test_a_taken_name_is_refused_unless_exist_ok():
    ok("create", "taken", "--size", "8K")
    ok("write", "taken", input=b"mine")
    result = run("create", "taken", "--size", "8K")
    assert result.code == EXISTS and "'taken'" in result.err

    result = run("create", "taken", "--size", "4K", "--exist-ok")
    assert result.code == 0 and "was there already" in result.err
    result = run("create", "taken", "--size", "9K", "--exist-ok")
    assert result.code == EXISTS and "fewer than" in result.err
    assert ok("cat", "taken", "--length", "4") == "mine"
    ok("rm", "taken")

    ok("create", "taken", "--size", "4K", "--exist-ok")
    ok("rm", "taken")


def test_sparse_reserves_nothing_and_prefault_fills_in():
    ok("create", "sparse", "--size", "1G", "--sparse")
    ok("create", "full", "--size", "1M", "--sparse", "--prefault")
    ok("create", "paged", "--size", "1M", "--prefault")
    found = blocks()
    assert found["sparse"]["resident"] == 0
    assert found["full"]["resident"] == found["paged"]["resident"] == 1 << 20
    ok("rm", "sparse", "full", "paged")


def test_too_large_is_no_space_and_leaves_nothing():
    result = run("create", "large", "--size", "1P")
    assert result.code == NO_SPACE and "gc" in result.err
    result = run("create", "large", "--size", "3G")  # /dev/shm has 2
    assert result.code == NO_SPACE
    assert blocks() == {}


@pytest.mark.parametrize("lifetime", ["holders", "family"])
def test_a_lifetime_that_would_end_at_once_needs_a_command(lifetime):
    args = ["create", "brief", "--size", "4K", "--lifetime", lifetime]
    result = run(*args)
    assert result.code == USAGE
    assert "persistent" in result.err and "-- COMMAND" in result.err
    assert run(*args, "--").code == USAGE

    out = ok(*args, "--", TOOL, "ls", "--json")
    (block,) = json.loads(out)["blocks"]
    assert block["name"] == "brief" and block["lifetime"] == lifetime
    assert block["state"] == "live"
    assert [h["command"] for h in block["holders"]] == ["shmkit"]
    assert (block["family"] is not None) == (lifetime == "family")
    assert blocks() == {}


def test_the_command_learns_the_block_and_its_family():
    script = 'echo "$SHMKIT_BLOCK"; echo "${SHMKIT_FAMILY-none}"'
    args = ["--size", "4K", "--", "sh", "-c", script]
    name, family = ok("create", "--lifetime", "family", *args).split()
    assert name.startswith("psm_") and re.fullmatch("[0-9a-f]{16}", family)
    assert ok("create", "n", "--lifetime", "holders", *args) == "n\nnone\n"


def test_a_family_block_stays_for_a_member_that_the_command_left(tmp_path):
    # The inner tool joins the family by SHMKIT_FAMILY and outlives the outer.
    up, down = tmp_path / "up", tmp_path / "down"
    os.mkfifo(up)
    os.mkfifo(down)
    script = (
        f"{TOOL} create inner -s 4K -t family -- "
        f"sh -c 'echo >{up}; read x <{down}' >/dev/null 2>&1 & read x <{up}"
    )
    args = ["--size", "4K", "--lifetime", "family", "--", "bash", "-c", script]
    ok("create", "outer", *args)
    try:
        found = blocks()
        assert sorted(found) == ["inner", "outer"]
        assert found["inner"]["family"] == found["outer"]["family"]
        assert found["outer"]["state"] == "live"
        assert found["outer"]["holders"] == []
        result = run("rm", "outer")
        assert result.code == IN_USE and "living family" in result.err
        assert "kept outer: it belongs to a living family" in ok("gc")
    finally:
        down.write_text("go\n")
    wait_until(lambda: blocks() == {}, "the family's end removes its blocks")


def test_the_commands_status_is_the_tools():
    args = ["create", "held", "--size", "4K", "--lifetime", "holders", "--"]
    assert run(*args, "sh", "-c", "exit 9").code == 9
    assert run(*args, "sh", "-c", "kill -9 $$").code == 128 + signal.SIGKILL
    result = run(*args, "/nonexistent/command")
    assert result.code == 127 and "/nonexistent/command" in result.err
    assert run(*args, "/dev/null").code == 126
    assert blocks() == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_the_block_goes(number):
    script = (
        "import signal, sys\n"
        f"signal.signal({int(number)}, lambda *a: sys.exit(7))\n"
        "print('ready', flush=True)\n"
        "while True: signal.pause()\n"
    )
    args = ["create", "held", "--size", "4K", "--lifetime", "holders", "--"]
    with started(
        [TOOL, *args, sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(TIMEOUT) == 7
    assert blocks() == {}


def read_terminal(fd):
    """All that is written to a terminal until its last writer is gone."""
    text = b""
    while True:
        try:
            piece = os.read(fd, 4096)
        except OSError:
            piece = b""
        if not piece:
            return text.decode()
        text += piece


def on_terminal(*args, progress="1M", **keywords):
    """Run the tool with a terminal as standard error; (code, what it said)."""
    master, slave = pty.openpty()
    with started(
        [TOOL, *args],
        stderr=slave,
        env=environment(SHMKIT_PROGRESS=progress),
        **keywords,
    ) as process:
        os.close(slave)
        text = read_terminal(master)
        os.close(master)
        return process.wait(TIMEOUT), text


LAST_BAR = r"\rshmkit: \[#{%d} *\] +%d%% of %s\r\n$"


def test_a_big_block_shows_a_bar_on_a_terminal_only():
    create = ["create", "big", "--size", "16M"]
    for more in ([], ["--prefault"], ["--sparse", "--prefault"]):
        code, text = on_terminal(*create, *more)
        assert code == 0 and "\rshmkit: [" in text and "  0% of 16M" in text
        assert re.search(LAST_BAR % (30, 100, "16M"), text)
        ok("rm", "big")
        ok(*create, *more, env={"SHMKIT_PROGRESS": "1M"})  # stderr is a pipe
        ok("rm", "big")
    assert on_terminal(*create, "--sparse") == (0, "")  # nothing to wait for
    ok("rm", "big")
    for progress in ("17M", "nonsense"):
        assert on_terminal(*create, progress=progress) == (0, "")
        ok("rm", "big")


def test_a_failure_ends_the_bar_before_it_is_told():
    code, text = on_terminal("create", "large", "--size", "3G")
    assert code == NO_SPACE
    bar, error = text.split("\r\n", 1)
    assert "of 3G" in bar and error.startswith("shmkit: cannot create 'large'")
    assert "\r\n" in error and "% of" not in error


def test_writing_shows_a_bar_on_a_terminal_only(tmp_path):
    file = tmp_path / "data"
    file.write_bytes(b"x" * (2 << 20))
    ok("create", "big", "--size", "8M")
    half = LAST_BAR % (15, 50, "8M")
    feeder = ["head", "-c", "4M", "/dev/zero"]
    with started(feeder, stdout=subprocess.PIPE) as pipe:
        code, text = on_terminal("write", "big", stdin=pipe.stdout)
    assert code == 0 and re.search(half, text), text

    code, text = on_terminal("write", "big", str(file))
    assert code == 0 and re.search(LAST_BAR % (30, 100, "2M"), text)
    assert on_terminal("write", "big", str(file), progress="3M") == (0, "")
    ok("write", "big", str(file), env={"SHMKIT_PROGRESS": "1M"})

    with started(["yes"], stdout=subprocess.PIPE) as pipe:
        code, text = on_terminal("write", "big", stdin=pipe.stdout)
    bar, error = text.split("\r\n", 1)
    assert code == FAILED and bar.endswith(" 100% of 8M")
    assert "no further" in error and "% of" not in error
    ok("rm", "big")


def test_no_bar_where_a_person_types():
    ok("create", "big", "--size", "8M")
    master, slave = pty.openpty()
    os.write(master, b"typed\n\x04")
    assert on_terminal("write", "big", stdin=slave) == (0, "")
    os.close(slave)
    os.close(master)
    assert ok("cat", "big", "--length", "6") == "typed\n"
    ok("rm", "big")


# ---- big pages, placement, locked memory ----


def has_big_pages():
    """Whether this kernel puts blocks on 2 MiB pages at all."""
    result = run("create", "probe", "--size", "2M", "--huge")
    if result.code == 0:
        ok("rm", "probe")
    return result.code == 0


def huge(name):
    """What ls and stat say, which must be the same."""
    listed = blocks()[name]["huge"]
    assert json.loads(ok("stat", name, "--json"))["huge"] == listed
    return listed


def test_a_big_block_lies_on_big_pages_unless_told_otherwise():
    if not has_big_pages():
        pytest.skip("this kernel has no 2 MiB pages for blocks")
    ok("create", "usual", "--size", "5M")
    ok("create", "must", "--size", "4M", "--huge")
    ok("create", "not", "--size", "4M", "--no-huge")
    ok("create", "less", "--size", "1.9M")
    assert huge("usual") == 4 << 20  # the rest is no whole page
    assert huge("must") == 4 << 20
    assert huge("not") == huge("less") == 0
    assert ok("ls", "-o", "name,size,huge", "usual") == (
        "NAME   SIZE  HUGE\nusual    5M    4M\n"
    )
    assert "huge       4M (4194304 bytes)\n" in ok("stat", "usual")
    assert ok("ls").split()[:4] == ["NAME", "SIZE", "RESIDENT", "HUGE"]
    ok("rm", "usual", "must", "not", "less")


def test_more_than_a_window_of_big_pages_is_counted():
    if not has_big_pages():
        pytest.skip("this kernel has no 2 MiB pages for blocks")
    ok("create", "big", "--size", "1028M", "--sparse")
    with open(SHM / "big", "r+b") as file:
        for offset in (0, 3 << 20, 1024 << 20):
            os.pwrite(file.fileno(), b"x", offset)
    assert huge("big") == 0 and blocks()["big"]["resident"] == 3 * 4096
    ok("rm", "big")
    ok("create", "big", "--size", "1028M")
    assert huge("big") == 1028 << 20
    ok("rm", "big")


def test_looking_at_big_pages_changes_nothing():
    # Orphans of both kinds stay, holes stay holes, nobody is seen to hold it.
    for lifetime in ("family", "holders"):
        Holder(f"dead-{lifetime}", lifetime, "4M").kill()
    ok("create", "hole", "--size", "8M", "--sparse")
    ok("create", "kept", "--size", "4M")
    (SHM / "alien").write_bytes(b"x" * (3 << 20))
    with Holder("held", "holders", "4M") as holder:
        first = blocks()
        for command in (["ls"], ["stat", "hole"], ["stat", "kept"]):
            ok(*command)
        for name in first:
            assert huge(name) is not None
        again = blocks()
        for block in (*first.values(), *again.values()):
            del block["age"]
        assert again == first
        assert [h["pid"] for h in first["held"]["holders"]] == [holder.pid]
    assert first["dead-family"]["state"] == "orphan"
    assert first["dead-holders"]["state"] == "orphan"
    assert first["kept"]["state"] == "idle"
    assert first["alien"]["huge"] == first["hole"]["resident"] == 0
    ok("gc")
    ok("rm", "alien", "hole", "kept")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be another user")
def test_what_can_not_be_read_is_unknown(tool_of_nobody):
    ok("create", "secret", "--size", "4M")
    ok("create", "small", "--size", "1M")
    assert blocks(**tool_of_nobody)["secret"]["huge"] is None
    assert blocks(**tool_of_nobody)["small"]["huge"] == 0
    out = ok("ls", "-n", "-o", "name,huge", **tool_of_nobody)
    assert re.findall(r"^(\w+) +(\S+)$", out, re.M) == [
        ("secret", "-"),
        ("small", "0"),
    ]
    ok("rm", "secret", "small")


def test_a_block_that_vanishes_or_is_cut_under_ls_is_no_error():
    churn = (
        "import os\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    with open('/dev/shm/churn', 'w') as file:\n"
        "        os.truncate(file.fileno(), 6 << 20)\n"
        "        os.pwrite(file.fileno(), b'x', 0)\n"
        "        os.pwrite(file.fileno(), b'x', 4 << 20)\n"
        "        os.truncate(file.fileno(), 0)\n"
        "        os.truncate(file.fileno(), 4 << 20)\n"
        "    os.unlink('/dev/shm/churn')\n"
    )
    with started(
        [sys.executable, "-c", churn], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        for _ in range(60):
            ok("ls", "--json")
    (SHM / "churn").unlink(missing_ok=True)


@pytest.mark.skipif(TOOL_FAULT is None, reason="SHMKIT_TOOL_FAULT is not set")
def test_where_the_kernel_refuses_big_pages():
    refuse = {"tool": TOOL_FAULT, "env": {"SHMKIT_REFUSE": "collapse"}}
    ok("create", "usual", "--size", "8M", **refuse)
    assert blocks()["usual"]["resident"] == 8 << 20
    assert huge("usual") == 0
    result = run("create", "must", "--size", "8M", "--huge", **refuse)
    assert result.code == FAILED and "2 MiB pages" in result.err
    assert "'must'" in result.err and list(blocks()) == ["usual"]
    ok("rm", "usual")


def numa_nodes():
    path = Path("/sys/devices/system/node/has_memory")
    return path.read_text().strip() if path.exists() else ""


@pytest.mark.parametrize("place", ["bind", "interleave"])
@pytest.mark.parametrize("size", ["64K", "5M"])
def test_memory_comes_from_the_nodes_asked_for(place, size):
    if not numa_nodes():
        pytest.skip("this machine tells of no NUMA nodes")
    ok("create", "x", "--size", size, "--numa", f"{place}:{numa_nodes()}")
    block = blocks()["x"]
    assert block["resident"] == block["size"]
    assert ok("cat", "x", "--length", "4") == "\0" * 4
    ok("rm", "x")
    result = run("create", "x", "--size", size, "--numa", f"{place}:63")
    if "63" not in numa_nodes():
        assert result.code == FAILED and "no NUMA node" in result.err
    result = run("create", ".", "--size", size, "--numa", f"{place}:63")
    assert result.code == USAGE and "a name" in result.err
    assert blocks() == {}


# The numbers of mbind(2); a machine that is neither skips.
MBIND = {"x86_64": 237, "aarch64": 235}


def without_numa():
    """In a child: from now on mbind() is ENOSYS, as in a kernel without."""
    libc = ctypes.CDLL(None)
    load, equal, answer = 0x20, 0x15, 0x06
    code = [
        (load, 0, 0, 0),  # the number of the call
        (equal, 0, 1, MBIND[os.uname().machine]),
        (answer, 0, 0, 0x00050000 | errno.ENOSYS),
        (answer, 0, 0, 0x7FFF0000),  # all others pass
    ]
    filters = b"".join(struct.pack("HBBI", *line) for line in code)
    buffer = ctypes.create_string_buffer(filters)
    program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(buffer))
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, program) != 0:
        os._exit(99)


@pytest.mark.skipif(os.uname().machine not in MBIND, reason="which number?")
def test_a_kernel_without_numa_is_told():
    args = ["create", "x", "--size", "4M"]
    result = run(*args, "--numa", "bind:0", preexec_fn=without_numa)
    assert result.code == FAILED and "no NUMA placement" in result.err
    ok(*args, preexec_fn=without_numa)
    ok("rm", "x")


def test_lock_keeps_the_pages_in_memory_while_the_command_runs():
    script = 'grep VmLck "/proc/$PPID/status"'
    args = ["create", "x", "--size", "256K", "--sparse"]
    args += ["--lifetime", "holders", "--lock", "--", "sh", "-c", script]
    assert ok(*args).split() == ["VmLck:", "256", "kB"]


def test_beyond_the_limit_of_locked_memory_is_told(tool_of_nobody):
    args = ["create", "x", "--size", "256K", "--lifetime", "holders", "--lock"]
    for limit in (0, 64 << 10):
        result = run(
            *args,
            "--",
            "true",
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_MEMLOCK, (limit, limit)
            ),
            **tool_of_nobody,
        )
        assert result.code == NO_SPACE and "ulimit -l" in result.err
    assert blocks() == {}


# ---- ls and stat ----


def test_no_blocks_no_output():
    assert ok("ls") == ""
    assert json.loads(ok("ls", "--json")) == {"blocks": []}


def test_json_has_every_column_with_its_type():
    with Holder("held", "family", "1M") as holder:
        (block,) = blocks().values()
        assert block.pop("name") == "held"
        assert block.pop("size") == block.pop("resident") == 1 << 20
        assert block.pop("mode") == "0600"
        assert block.pop("uid") == os.getuid()
        assert block.pop("gid") == os.getgid()
        assert isinstance(block.pop("owner"), str)
        assert isinstance(block.pop("group"), str)
        assert block.pop("huge") == 0
        assert block.pop("lifetime") == "family"
        assert block.pop("state") == "live"
        assert re.fullmatch("[0-9a-f]{16}", block.pop("family"))
        assert 0 <= block.pop("age") <= TIMEOUT
        assert abs(block.pop("birth") - time.time()) <= TIMEOUT
        assert block.pop("inode") == os.stat(SHM / "held").st_ino
        assert block.pop("holders") == [
            {"pid": holder.pid, "command": "shmkit"}
        ]
        for column in ("dtype", "shape", "label"):  # it is no array
            assert block.pop(column) is None
        assert block == {}


def test_an_array_says_what_it_is():
    seeds = Path(__file__).parents[1] / "fuzz" / "seeds" / "ndarray"
    array = (seeds / "block").read_bytes()[1:]
    (SHM / "array").write_bytes(array)
    (SHM / "damaged").write_bytes(array[:-1] + b"?")
    columns = ("-o", "name,dtype,shape,label")
    assert ok("ls", *columns) == (
        "NAME     DTYPE  SHAPE  LABEL\n"
        "array    <f8    3x4    seed\n"
        "damaged  -      -      -\n"
    )
    block = json.loads(ok("stat", "--json", "array"))
    assert (block["dtype"], block["shape"]) == ("<f8", "3x4")
    assert re.search(r"(?im)^dtype:? +<f8$", ok("stat", "array"))
    ok("rm", "array", "damaged")


def test_the_table_is_exactly_this():
    ok("create", "b", "--size", "1.5M", "--mode", "640")
    ok("create", "a-longer-name", "--size", "100")
    (SHM / "c").write_bytes(b"12345")
    columns = "name,size,mode,lifetime,state,holders"
    assert ok("ls", "-o", columns) == (
        "NAME           SIZE  MODE  LIFETIME    STATE    HOLDERS\n"
        "a-longer-name   100  0600  persistent  idle     -\n"
        "b              1.5M  0640  persistent  idle     -\n"
        f"c                 5  {os.stat(SHM / 'c').st_mode & 0o777:04o}"
        "  persistent  foreign  -\n"
    )
    assert ok("ls", "--noheadings", "--bytes", "-o", "SIZE,name", "b") == (
        "1572864  b\n"
    )
    ok("rm", "a-longer-name", "b", "c")


def test_json_with_columns_has_these_in_this_order():
    ok("create", "x", "--size", "4K")
    out = json.loads(ok("ls", "--json", "-o", "size,name"))
    assert list(out["blocks"][0].items()) == [("size", 4096), ("name", "x")]
    ok("rm", "x")


def test_operands_filter_and_one_without_a_block_is_not_found():
    for name in ("aa", "ab", "ba", "a*"):
        ok("create", name, "--size", "1")
    assert list(blocks("a?")) == ["a*", "aa", "ab"]
    assert list(blocks("/aa", "/dev/shm/ba")) == ["aa", "ba"]
    assert list(blocks("aa", "a[a]", "aa")) == ["aa"]
    result = run("ls", "-n", "-o", "name", "none", "ba")
    assert result.code == NOT_FOUND and result.out == "ba\n"
    assert "'none'" in result.err
    assert ok("rm", "a*") == "removed a*\n"  # rm takes names, no patterns
    assert list(blocks()) == ["aa", "ab", "ba"]
    ok("rm", "aa", "ab", "ba")


def test_a_block_of_plain_cpython_is_foreign_and_its_holder_shown():
    with Plain("plain", 5000) as plain:
        block = blocks()["plain"]
        assert block["state"] == "foreign" and block["size"] == 5000
        (holder,) = block["holders"]
        assert holder["pid"] == plain.pid
        comm = Path(f"/proc/{plain.pid}/comm").read_text().strip()
        assert holder["command"] == comm
        assert ok("ls", "-n", "-o", "holders") == f"{plain.pid}({comm})\n"
        assert ok("cat", "plain", "--length", "5") == "plain"
        ok("write", "plain", input=b"tools")
        assert ok("cat", "plain", "--length", "5") == "tools"
    assert ok("rm", "plain") == "removed plain\n"


def test_a_plain_cpython_attacher_of_our_block_is_a_holder():
    ok("create", "ours", "--size", "4K")
    with Plain("ours") as plain:
        assert [h["pid"] for h in blocks()["ours"]["holders"]] == [plain.pid]
        assert run("rm", "ours").code == IN_USE
    ok("rm", "ours")


def test_stat_shows_all_of_one_block():
    ok("create", "one", "--size", "1M")
    block = json.loads(ok("stat", "one", "--json"))
    listed = blocks()["one"]
    listed["age"] = block["age"]
    assert block == listed
    text = ok("stat", "one")
    assert [line.split()[0] for line in text.splitlines()] == list(block)
    assert re.search(r"^size +1M \(1048576 bytes\)$", text, re.M)
    assert ok("stat", "one", "-b", "-o", "size").split() == ["size", "1048576"]
    ok("rm", "one")
    result = run("stat", "one")
    assert result.code == NOT_FOUND and "'one'" in result.err


def test_what_is_no_regular_file_is_no_block():
    (SHM / "folder").mkdir()
    (SHM / "link").symlink_to("/etc/passwd")
    os.mkfifo(SHM / "fifo")
    assert blocks() == {}
    for name in ("folder", "link", "fifo"):
        for command in (["stat"], ["cat"], ["write"], ["rm"], ["rm", "-f"]):
            result = run(*command, name)
            assert result.code == FAILED and f"'{name}'" in result.err
    (SHM / "folder").rmdir()
    (SHM / "link").unlink()
    (SHM / "fifo").unlink()


def test_blocks_that_vanish_while_they_are_listed_are_no_error():
    churn = (
        "import os, sys\n"
        "n = 0\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for i in range(50):\n"
        "        open(f'/dev/shm/churn-{i}', 'w').close()\n"
        "    for i in range(50):\n"
        "        os.unlink(f'/dev/shm/churn-{i}')\n"
    )
    ok("create", "stays", "--size", "4K")
    with started(
        [sys.executable, "-c", churn], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        seen = set()
        for _ in range(60):
            found = blocks()
            assert "stays" in found
            seen.add(len(found))
    assert len(seen) > 1, "nothing came or went"
    for path in SHM.glob("churn-*"):
        path.unlink()
    ok("rm", "stays")


ODD_NAMES = [
    b"with space",
    b"-dash",
    b"new\nline",
    b"\x1b]0;title\x07",
    b"\xff\xfe not utf-8",
    b"back\\slash",
    b'"quote\'',
    "\u00e9\u4e2d".encode(),
    "\U0001f600".encode(),
    "\u202eright-to-left".encode(),
    "\x85next-line".encode(),
    b"\xed\xa0\x80surrogate",
    b"n" * 255,
    b"\x01" * 255,
    b"*",
]


@pytest.mark.parametrize("raw", ODD_NAMES)
def test_an_odd_name_goes_through_and_is_harmless_to_look_at(raw):
    name = os.fsdecode(raw)
    ok("create", "/" + name, "--size", "4K")
    assert os.listdir(os.fsencode(SHM)) == [raw]

    out = ok("ls", "--json")
    assert out.isascii()
    assert json.loads(out)["blocks"][0]["name"] == name

    for locale in ("C", "C.UTF-8"):
        line = ok("ls", "-n", "-o", "name", env={"LC_ALL": locale})
        assert line[-1] == "\n"
        assert line[:-1].isprintable() and " " not in line[:-1]
        assert locale == "C.UTF-8" or line.isascii()
        back = subprocess.run(
            ["bash", "-c", "printf '%b' \"$1\"", "bash", line[:-1]],
            stdout=subprocess.PIPE,
            check=True,
        )
        assert back.stdout == raw

    result = run("create", "/" + name, "--size", "4K")
    assert result.code == EXISTS and result.err[:-1].isprintable()
    removed = ok("rm", "/" + name)
    assert removed == "removed " + line and blocks() == {}


def test_a_wide_name_keeps_the_columns_in_line():
    ok("create", "\u4e2d\u6587", "--size", "4K")
    ok("create", "abcd", "--size", "4K")
    assert ok("ls", "-n", "-o", "name,size") == "abcd  4K\n\u4e2d\u6587  4K\n"
    ok("rm", "\u4e2d\u6587", "abcd")


# ---- cat and write ----


def test_ranges_are_read_and_written():
    ok("create", "data", "--size", "16")
    assert ok("write", "data", input=b"0123456789abcdef") == ""
    assert ok("cat", "data") == "0123456789abcdef"
    assert ok("cat", "data", "--offset", "10") == "abcdef"
    assert ok("cat", "data", "--offset", "2", "--length", "3") == "234"
    assert ok("cat", "data", "--offset", "14", "--length", "1K") == "ef"
    assert ok("cat", "data", "--offset", "16") == ""
    ok("write", "data", "-", "--offset", "15", input=b"F")
    ok("write", "data", input=b"")
    assert ok("cat", "data") == "0123456789abcdeF"
    ok("rm", "data")


def test_a_block_of_many_chunks_comes_out_as_it_went_in(tmp_path):
    data = os.urandom(3_000_001)
    file = tmp_path / "data"
    file.write_bytes(data)
    ok("create", "large", "--size", str(len(data)))
    ok("write", "large", str(file))
    with open(tmp_path / "copy", "wb") as copy:
        ok("cat", "large", stdout=copy)
    assert (tmp_path / "copy").read_bytes() == data
    ok("rm", "large")


def test_what_does_not_fit_is_refused(tmp_path):
    file = tmp_path / "long"
    file.write_bytes(b"x" * 17)
    ok("create", "small", "--size", "16")
    result = run("write", "small", str(file))
    assert result.code == FAILED and "nothing was written" in result.err
    with open(file, "rb") as stdin:
        result = run("write", "small", stdin=stdin)
    assert result.code == FAILED and "nothing was written" in result.err
    with open(file, "rb") as stdin:
        stdin.seek(1)  # the rest of it fits
        ok("write", "small", stdin=stdin)
    ok("write", "small", input=b"\0" * 16)
    result = run("write", "small", "--offset", "17", input=b"y")
    assert result.code == FAILED and "beyond the end" in result.err
    assert ok("cat", "small") == "\0" * 16

    result = run("write", "small", "--offset", "14", input=b"long")
    assert result.code == FAILED and "no further" in result.err
    assert ok("cat", "small") == "\0" * 14 + "lo"
    assert os.stat(SHM / "small").st_size == 16
    result = run("cat", "small", "--offset", "17")
    assert result.code == FAILED and "beyond the end" in result.err
    ok("rm", "small")


def test_a_missing_block_or_file_is_told(tmp_path):
    for command in ("cat", "write", "rm", "stat"):
        result = run(command, "none")
        assert result.code == NOT_FOUND and "'none'" in result.err
    ok("create", "there", "--size", "4K")
    result = run("write", "there", str(tmp_path / "none"))
    assert result.code == FAILED and "none" in result.err
    assert run("write", "there", str(tmp_path)).code == FAILED
    ok("rm", "there")


def test_an_empty_file_reads_as_nothing_and_takes_nothing():
    (SHM / "empty").touch()
    assert ok("cat", "empty") == ""
    assert run("cat", "empty", "--offset", "1").code == FAILED
    result = run("write", "empty", input=b"x")
    assert result.code == FAILED and "empty" in result.err
    assert ok("rm", "empty") == "removed empty\n"


def test_a_block_cut_by_somebody_is_an_error_and_no_signal():
    ok("create", "cut", "--size", "8M")
    with started(
        [TOOL, "cat", "cut"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout.read(1) == b"\0"
        # The pipe and one buffer hold far less than 8 MiB.
        os.truncate(SHM / "cut", 0)
        assert len(process.stdout.read()) < 8 << 20
        error = process.stderr.read().decode()
        assert process.wait(TIMEOUT) == FAILED and "was cut to" in error
    ok("rm", "cut")


def test_a_sparse_block_in_a_full_shm_is_no_space_and_no_signal():
    ok("create", "sparse", "--size", "1M", "--sparse")
    free = os.statvfs(SHM)
    with open(SHM / "filler", "wb") as filler:
        os.posix_fallocate(
            filler.fileno(), 0, free.f_bavail * free.f_frsize - 8192
        )
    result = run("write", "sparse", input=b"x" * (1 << 20))
    assert result.code == NO_SPACE and "'sparse'" in result.err
    (SHM / "filler").unlink()
    ok("rm", "sparse")


# ---- rm ----


@pytest.mark.parametrize("lifetime", ["family", "holders", "persistent"])
def test_rm_refuses_what_is_mapped_and_names_the_holder(lifetime):
    with Holder("held", lifetime) as holder:
        result = run("rm", "held")
        assert result.code == IN_USE and result.out == ""
        assert f"{holder.pid}(shmkit)" in result.err
        assert "--force" in result.err
        assert "held" in blocks()
        assert ok("rm", "--force", "held") == "removed held\n"
        assert blocks() == {}


def test_rm_does_the_rest_and_returns_the_first_failure():
    ok("create", "one", "--size", "1")
    ok("create", "two", "--size", "1")
    with Holder("held", "holders"):
        result = run("rm", "one", "none", "held", "/dev/shm/two")
        assert result.code == NOT_FOUND
        assert result.out == "removed one\nremoved two\n"
        assert "'none'" in result.err and "'held'" in result.err
        assert list(blocks()) == ["held"]
    assert blocks() == {}


def test_rm_quiet_says_nothing():
    ok("create", "one", "--size", "1")
    assert ok("rm", "-q", "one") == ""


def test_rm_takes_an_orphan():
    holder = Holder("held", "holders")
    holder.kill()
    assert blocks()["held"]["state"] == "orphan"
    assert ok("rm", "held") == "removed held\n"


# ---- gc ----


def test_gc_removes_orphans_and_nothing_else():
    ok("create", "kept", "--size", "4K")
    (SHM / "alien").write_bytes(b"x")
    dead = [Holder("dead-f", "family"), Holder("dead-h", "holders", "1M")]
    with Holder("live-f", "family"), Holder("live-h", "holders") as live:
        for holder in dead:
            holder.kill()
        states = {name: b["state"] for name, b in blocks().items()}
        assert states == {
            "alien": "foreign",
            "dead-f": "orphan",
            "dead-h": "orphan",
            "kept": "idle",
            "live-f": "live",
            "live-h": "live",
        }

        dry = ok("gc", "--dry-run")
        assert sorted(dry.splitlines()[:2]) == [
            "would remove dead-f",
            "would remove dead-h",
        ]
        assert "2 to remove (1.1M)" in dry and len(blocks()) == 6

        out = ok("gc").splitlines()
        assert sorted(out[:2]) == ["removed dead-f", "removed dead-h"]
        assert f"kept live-h: it is mapped by {live.pid}(shmkit)" in out
        assert out[-1] == (
            "2 removed (1.1M); kept: 2 in use, 1 persistent, 1 foreign"
        )
        assert list(blocks()) == ["alien", "kept", "live-f", "live-h"]
        assert ok("gc", "--quiet") == ""
    ok("rm", "alien", "kept")


def test_gc_tells_a_block_of_a_dead_family_that_plain_cpython_maps():
    # A plain mapper keeps its bytes and loses the name; rm refuses first.
    holder = Holder("dead", "family")
    with Plain("dead") as plain:
        holder.kill()
        result = run("rm", "dead")
        assert result.code == IN_USE and str(plain.pid) in result.err
        assert "removed dead\n" in ok("gc")
    assert blocks() == {}


# ---- other users ----


def test_another_users_block_is_seen_and_refused(tool_of_nobody):
    ok("create", "roots", "--size", "4K")
    listed = ok("ls", "--json", **tool_of_nobody)
    assert json.loads(listed)["blocks"][0]["owner"] == "root"
    for command in (["cat"], ["write"], ["rm"], ["rm", "-f"]):
        result = run(*command, "roots", **tool_of_nobody)
        assert result.code == NOT_PERMITTED and "'roots'" in result.err, result
    ok("rm", "roots")


def test_gc_tells_the_orphans_of_others(tool_of_nobody):
    holder = Holder("roots", "holders")
    holder.kill()
    os.chmod(SHM / "roots", 0o1644)
    result = run("gc", **tool_of_nobody)
    assert result.code == NOT_PERMITTED and "'roots'" in result.err
    assert "removed roots\n" in ok("gc")


def test_root_sweeps_for_every_user(tool_of_nobody):
    with started(
        [tool_of_nobody.pop("tool"), "create", "theirs", "--size", "4K"]
        + ["--lifetime", "family", "--", "cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        **tool_of_nobody,
    ) as process:
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"\n"
        assert blocks()["theirs"]["state"] == "live"
        process.kill()
    assert blocks()["theirs"]["state"] == "orphan"
    assert "removed theirs\n" in ok("gc")


# ---- standard output ----


def test_a_full_disk_under_standard_output_is_told_and_the_work_is_done():
    ok("create", "x", "--size", "4K")
    with open("/dev/full", "wb") as full:
        for args in (["ls"], ["stat", "x"], ["cat", "x"], ["--help"], ["gc"]):
            result = run(*args, stdout=full)
            assert result.code == FAILED and "standard output" in result.err
        result = run("rm", "x", stdout=full)
        assert result.code == FAILED
    assert blocks() == {}


def test_a_reader_that_went_away_is_a_code_and_no_message():
    ok("create", "x", "--size", "4M")
    for args in (["ls"], ["ls", "--json"], ["cat", "x"], ["--help"]):
        reader, writer = os.pipe()
        os.close(reader)
        result = run(*args, stdout=writer)
        os.close(writer)
        assert (result.code, result.err) == (FAILED, "")
    ok("rm", "x")


def test_closed_standard_descriptors_do_not_reach_a_block():
    ok("create", "x", "--size", "4K")
    for close in ("0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"):
        script = f"{TOOL} ls {close}; {TOOL} cat none {close}; true"
        subprocess.run(["sh", "-c", script], check=True, env=environment(),
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert ok("cat", "x") == "\0" * 4096
    script = f"{TOOL} ls >&-"
    done = subprocess.run(["sh", "-c", script], stderr=subprocess.DEVNULL)
    assert done.returncode == FAILED
    ok("rm", "x")
