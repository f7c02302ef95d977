# SPDX-License-Identifier: MIT
"""--help, the man pages and the bash completion tell of the same things.

--help is printed from the tables that the tool parses with, so it is the
measure for the other two.
"""

import re
import shutil
import subprocess

import pytest
from conftest import ROOT, TOOL, environment, ok

MAN = ROOT / "man"
COMPLETION = ROOT / "completions" / "shmkit.bash"
COMMANDS = ["create", "ls", "stat", "cat", "write", "rm", "gc"]
SECTIONS = sorted(MAN.glob("*.[1-8]"))


def help_options(command):
    """{("-o", "--output"): "COLUMNS", ...}"""
    found = re.findall(
        r"^  (-\w), (--[\w-]+)(?: ([A-Z]+))? ", ok(command, "--help"), re.M
    )
    assert found
    return {(letter, name): value for letter, name, value in found}


def man_options(command):
    text = (MAN / f"shmkit-{command}.1").read_text()
    found = re.findall(
        r"^\.It Fl (\w) , Fl (-[\w-]+)(?: Ar ([A-Z]+))?$", text, re.M
    )
    return {(f"-{letter}", f"-{name}"): value for letter, name, value in found}


def complete(*words):
    """What bash offers for the last of the words."""
    script = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        '_shmkit; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = environment()["PATH"]
    done = subprocess.run(
        ["bash", "-c", script, "bash", str(COMPLETION), "shmkit", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(PATH=f"{TOOL.rsplit('/', 1)[0]}:{path}"),
        check=True,
    )
    assert done.stderr == b""
    return [line for line in done.stdout.decode().split("\n") if line]


def help_columns():
    text = ok("ls", "--help").split("Columns:\n")[1]
    return re.findall(r"^  (\w+) ", text, re.M)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_man_page_has_the_options_of_help(command):
    assert man_options(command) == help_options(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_synopsis_of_the_man_page_has_every_option(command):
    text = (MAN / f"shmkit-{command}.1").read_text()
    synopsis = text.split(".Sh SYNOPSIS")[1].split(".Sh DESCRIPTION")[0]
    letters = "".join(re.findall(r"\bFl (\w+)", synopsis))
    wanted = {letter[1] for letter, _ in help_options(command)} - {"h"}
    assert set(letters) == wanted


@pytest.mark.parametrize("command", COMMANDS)
def test_the_completion_has_the_options_of_help(command):
    wanted = {word for pair in help_options(command) for word in pair}
    assert set(complete(command, "-")) == wanted


@pytest.mark.parametrize("command", COMMANDS)
def test_the_completion_offers_no_option_where_a_value_stands(command):
    for pair, value in help_options(command).items():
        for option in pair:
            offered = complete(command, option, "-")
            assert bool(offered) == (value == ""), option


def test_commands_are_the_same_everywhere():
    listed = re.findall(r"^  (\w+) +[A-Z]", ok("--help"), re.M)
    assert listed == COMMANDS
    page = (MAN / "shmkit.1").read_text()
    assert re.findall(r"^\.It Cm (\w+)$", page, re.M) == COMMANDS
    assert set(complete("")) == {*COMMANDS, "-h", "--help", "-V", "--version"}


def test_columns_are_the_same_everywhere():
    columns = help_columns()
    page = (MAN / "shmkit-ls.1").read_text()
    section = page.split(".Sh COLUMNS")[1].split(".Sh ")[0]
    items = re.findall(r"^\.It Cm (.+)$", section, re.M)
    in_man = [word for item in items for word in re.split(r" , Cm ", item)]
    assert in_man == columns
    assert complete("ls", "-o", "") == columns
    assert complete("stat", "--output", "name,si") == ["name,size"]
    text = ok("stat", "--help").split("Columns:\n")[1]
    assert re.findall(r"^  (\w+) ", text, re.M) == columns


def test_exit_codes_are_the_same_in_help_and_man_page():
    text = ok("--help").replace("\n", " ")
    codes = re.findall(r"\b(\d) (?:done|[a-z])", text)
    page = (MAN / "shmkit.1").read_text().split(".Sh EXIT STATUS")[1]
    assert re.findall(r"^\.It (\d)$", page, re.M) == codes
    assert codes == [str(n) for n in range(8)]


def test_the_completion_offers_names_and_values(tmp_path):
    file = tmp_path / "input"
    file.touch()
    typed = str(file)[:-1]
    ok("create", "some name", "--size", "1")
    ok("create", "sole", "--size", "1")
    assert complete("rm", "so") == ["sole", "some\\ name"]
    assert complete("cat", "none") == []
    assert complete("create", "--lifetime", "h") == ["holders"]
    assert complete("create", "--lifetime", "=", "f") == ["family"]
    assert complete("create", "x", "--", typed) == [str(file)]
    assert complete("write", "sole", typed) == [str(file)]
    ok("rm", "sole", "some name")


@pytest.mark.parametrize("page", SECTIONS, ids=lambda page: page.name)
def test_the_man_pages_are_clean(page):
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is not installed")
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", str(page)],
        stdout=subprocess.PIPE,
        universal_newlines=True,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_every_man_page_is_installed_and_every_reference_leads_somewhere():
    installed = set(
        re.findall(r"'([\w-]+\.\d)'", (MAN / "meson.build").read_text())
    )
    assert installed == {page.name for page in SECTIONS}
    for page in SECTIONS:
        for name, section in re.findall(
            r"^\.Xr (shmkit[\w-]*) (\d)", page.read_text(), re.M
        ):
            assert f"{name}.{section}" in installed, (page.name, name)


def test_every_public_function_has_its_place_in_section_3():
    for page, header in (
        ("shmkit.3", "api.h"),
        ("shmkit_block.3", "block.h"),
        ("shmkit_family.3", "family.h"),
    ):
        text = (ROOT / "include" / "shmkit" / header).read_text()
        code = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        functions = set(re.findall(r"\b(shmkit_\w+)\(", code))
        shown = (MAN / page).read_text()
        synopsis = shown.split(".Sh SYNOPSIS")[1].split(".Sh DESCRIPTION")[0]
        assert set(re.findall(r"^\.F[no] (\w+)", synopsis, re.M)) == functions
        names = shown.split(".Sh NAME")[1].split(".Sh SYNOPSIS")[0]
        assert functions <= set(re.findall(r"^\.Nm (\w+)", names, re.M))
