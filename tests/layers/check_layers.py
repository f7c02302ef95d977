#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Check that the tree is built the way ARCHITECTURE.md says.

usage: check_layers.py ROOT        check the tree; 1 and one line per fault
       check_layers.py --self-test check the checks, on trees with one fault

The rules, each a function that yields one message per fault:
  - a file under src/X includes only its own layer and those below it
  - cli/ and python/src see <shmkit/...> and nothing else of ours
  - only src/os includes headers of system calls
  - headers, symbol file and man pages tell of the same functions
  - no function of src/ is longer than 60 lines or takes more than 6 parameters
  - each C file has its licence line, and opens by saying what it is
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

LAYERS = ["base", "os", "block", "arena", "sync", "heap", "container",
          "manager"]

# What a public header stands for; shmkit.h is for users only.
PUBLIC_LAYER = {"api": "base", "atomics": "base", "block": "block",
                "family": "block",
                "ndarray": "container", "shareable_list": "container",
                "value": "container"}

SYSTEM_HEADERS = re.compile(
    r"(fcntl|unistd|dirent|sched|poll|spawn|mqueue|semaphore|termios|ftw"
    r"|ifaddrs|netdb|syscall|sys/(?!types\.h|cdefs\.h).*|linux/.*|asm/.*"
    r"|netinet/.*|arpa/.*)(\.h)?")

# Layers from this one up may use threads.
THREADS_FROM = "block"

MAX_LINES = 60
MAX_PARAMETERS = 6

INCLUDE = re.compile(r'^\s*#\s*include\s*(<([^>]+)>|"([^"]+)")', re.MULTILINE)
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
LICENCE = "/* SPDX-License-Identifier: MIT */"


def c_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*.[ch]")
                  if not any(part.startswith((".", "build"))
                             for part in p.relative_to(folder).parts))


def without_comments(text: str) -> str:
    """The text with comments blanked, line numbers kept."""
    return COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def includes(path: Path) -> Iterator[tuple[str, bool]]:
    """(what, whether in angle brackets) for each include of a file."""
    for match in INCLUDE.finditer(without_comments(path.read_text())):
        yield match.group(2) or match.group(3), match.group(2) is not None


def rank(layer: str) -> int:
    return LAYERS.index(layer)


# ---- rules ---------------------------------------------------------------

def included_layer(name: str, angle: bool, layer: str) -> str | None:
    """The layer that an include reaches; None for the system's headers."""
    first, _, rest = name.partition("/")
    if angle:
        if first != "shmkit" or not rest:
            return None
        stem = rest.removesuffix(".h")
        return PUBLIC_LAYER.get(stem, stem)
    return first if rest else layer


def check_layers(root: Path) -> Iterator[str]:
    for path in c_files(root / "src"):
        where = path.relative_to(root)
        layer = where.parts[1]
        if layer not in LAYERS:
            yield f"{where}: {layer} is no layer"
            continue
        for name, angle in includes(path):
            other = included_layer(name, angle, layer)
            if other is None:
                continue
            if other not in LAYERS:
                yield f"{where}: includes {name}, which is in no layer"
            elif rank(other) > rank(layer):
                yield f"{where}: includes {name}, from the layer above"


def check_outsiders(root: Path) -> Iterator[str]:
    internal = {str(p.relative_to(root / "src"))
                for p in c_files(root / "src")}
    internal |= {Path(name).name for name in internal}
    for folder in ("cli", "python/src"):
        for path in c_files(root / folder):
            where = path.relative_to(root)
            for name, _ in includes(path):
                beside = (path.parent / name).exists()
                public = name.startswith("shmkit/")
                if not beside and not public and (
                        name in internal or name.split("/")[0] in LAYERS):
                    yield f"{where}: includes {name}, which is internal"
                if beside and root / folder not in (
                        path.parent / name).resolve().parents:
                    yield f"{where}: includes {name}, out of its folder"
                if public and not (root / "include" / name).exists():
                    yield f"{where}: includes {name}, which does not exist"
            if "shmkiti_" in without_comments(path.read_text()):
                yield f"{where}: uses an internal name, shmkiti_..."


def check_system_headers(root: Path) -> Iterator[str]:
    for path in c_files(root / "src"):
        where = path.relative_to(root)
        layer = where.parts[1]
        for name, angle in includes(path):
            if not angle or layer not in LAYERS:
                continue
            if layer != "os" and SYSTEM_HEADERS.fullmatch(name):
                yield f"{where}: includes <{name}>; only src/os may"
            if name == "pthread.h" and rank(layer) < rank(THREADS_FROM):
                yield f"{where}: includes <pthread.h>; {layer} may not"


def declared_functions(root: Path) -> set[str]:
    names = set()
    for path in c_files(root / "include"):
        text = without_comments(path.read_text())
        names |= set(re.findall(r"\bSHMKIT_API\b[^;]*?\b(shmkit_\w+)\s*\(",
                                text))
    return names


def exported_functions(root: Path) -> set[str]:
    text = without_comments((root / "src/libshmkit.sym").read_text())
    return set(re.findall(r"\b(shmkit_\w+)\s*;", text))


def documented_functions(root: Path) -> set[str]:
    """Functions that stand in section 3 pages with their parentheses."""
    names = set()
    for path in sorted((root / "man").glob("*.3*")):
        text = path.read_text().replace("\\-", "-").replace("\\_", "_")
        # "shmkit_x(", "shmkit_x ()", .BR shmkit_x (), .Fn shmkit_x
        names |= set(re.findall(
            r"(?:\bFn\s+|\bFo\s+)?\b(shmkit_[a-z0-9_]+)(?:\\f[A-Z])?[\s\"]*"
            r"\((?![0-9]\w?\))", text))
        names |= set(re.findall(r"^\.F[no]\s+\"?(shmkit_[a-z0-9_]+)", text,
                                re.MULTILINE))
    return names


def check_functions(root: Path) -> Iterator[str]:
    declared = declared_functions(root)
    for what, names in (("src/libshmkit.sym", exported_functions(root)),
                        ("man/*.3", documented_functions(root))):
        for name in sorted(declared - names):
            yield f"{what}: {name} is missing"
        for name in sorted(names - declared):
            yield f"{what}: {name} is in no public header"


def definitions(text: str) -> Iterator[tuple[int, str, int]]:
    """(line, signature, lines of the body) of each function.

    The format makes it easy: a brace alone in the first column opens a
    function's body, and one closes it.
    """
    lines = without_comments(text).split("\n")
    start = None
    for number, line in enumerate(lines):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            first = start
            while first > 0 and lines[first - 1].strip() and not re.match(
                    r"[#}]|.*;\s*$", lines[first - 1]):
                first -= 1
            yield (first + 1, " ".join(lines[first:start]),
                   number - start - 1)
            start = None


def parameters(signature: str) -> int:
    """How many parameters the last parenthesis of a signature lists."""
    signature = re.sub(r"__attribute__\s*\(\(.*?\)\)", "", signature)
    name = re.search(r"\w+\s*(\()", signature)
    if name is None:
        return 0
    depth, count, seen = 0, 1, ""
    for char in signature[name.start(1):]:
        depth += (char == "(") - (char == ")")
        if depth == 0:
            break
        if char == "," and depth == 1:
            count += 1
        seen += char
    return 0 if seen[1:].strip() in ("", "void") else count


def check_sizes(root: Path) -> Iterator[str]:
    for path in c_files(root / "src"):
        where = path.relative_to(root)
        for line, signature, length in definitions(path.read_text()):
            if length > MAX_LINES:
                yield f"{where}:{line}: a function of {length} lines"
            if parameters(signature) > MAX_PARAMETERS:
                yield (f"{where}:{line}: a function of "
                       f"{parameters(signature)} parameters")


def check_openings(root: Path) -> Iterator[str]:
    """In src/ the opening names the file; elsewhere it need only be there."""
    for folder in ("src", "include", "cli", "python/src", "tests", "examples",
                   "bench"):
        for path in c_files(root / folder):
            where = path.relative_to(root)
            text = path.read_text()
            if not text.startswith(LICENCE + "\n"):
                yield f"{where}: does not start with {LICENCE}"
            essay = COMMENT.match(text[len(LICENCE):].lstrip())
            name = re.escape(path.name) if folder == "src" else r"[^*]+?"
            if essay is None or not re.match(
                    rf"/\*\s*{name} - \S[^*]{{12}}", essay.group()):
                yield (f"{where}: does not open with a comment "
                       f'"{path.name} - what it is ..."')


RULES: list[Callable[[Path], Iterator[str]]] = [
    check_layers, check_outsiders, check_system_headers, check_functions,
    check_sizes, check_openings,
]


def check(root: Path) -> list[str]:
    return [message for rule in RULES for message in rule(root)]


# ---- the checks checked --------------------------------------------------

GOOD = {
    "src/base/hash.h": "/* hash.h - spreading the bits of one integer. */",
    "src/os/os.h": "/* os.h - every system call, one page of contract. */",
    "src/os/linux/file.c": """
        /* file.c - files and names, and no state at all. */
        #include <fcntl.h>
        #include <sys/stat.h>
        #include "base/hash.h"
        #include "os/os.h"
        """,
    "src/block/block.h": "/* block.h - handles, for this layer and above. */",
    "src/block/block.c": """
        /* block.c - handles: mapping, asking, growing, closing. */
        #include "block/block.h"
        #include <pthread.h>
        #include <shmkit/block.h>
        #include <sys/types.h>
        #include "os/os.h"

        /* A comment with #include <fcntl.h> in it. */
        int
        shmkit_block_close(int a, int (*visit)(int b, int c), int d, int e,
                           int f, int g)
        {
            return a + d + e + f + g + (visit != 0);
        }
        """,
    "include/shmkit/block.h": """
        /* block.h - named bytes that processes share. */
        /* shmkit_block_dream() is only in a comment. */
        #define SHMKIT_API
        SHMKIT_API int
        shmkit_block_close(int a, int (*visit)(int b, int c), int d, int e,
                           int f, int g);
        """,
    "src/libshmkit.sym": "X { global: shmkit_block_close; local: *; };\n",
    "man/shmkit_block.3": '.BI "int shmkit_block_close(int " a );\n'
                          "See shmkit_block(3), shmkit(7).\n",
    "cli/main.c": """
        /* main.c - the commands by name, and what they have in common. */
        #include "cli.h"
        #include <fcntl.h>
        #include <shmkit/block.h>
        """,
    "cli/cli.h": "/* cli.h - what the commands share, and nothing more. */",
}

LONG = "int\nlong_one(void)\n{\n" + "    ;\n" * 61 + "}\n"

# (what is wrong, in which file, text added to it, part of the message)
BAD = [
    ("upward include", "src/os/os.h", '#include "block/block.h"\n',
     "src/os/os.h: includes block/block.h, from the layer above"),
    ("upward include of a public header", "src/os/os.h",
     "#include <shmkit/block.h>\n", "from the layer above"),
    ("include of no layer", "src/block/block.c", '#include "misc/x.h"\n',
     "in no layer"),
    ("umbrella header inside", "src/block/block.c",
     "#include <shmkit/shmkit.h>\n", "in no layer"),
    ("folder that is no layer", "src/misc/x.h",
     "/* x.h - what fits nowhere else, as it so happens. */\n",
     "misc is no layer"),
    ("tool sees an internal header", "cli/main.c",
     '#include "block/block.h"\n', "which is internal"),
    ("tool reaches out of its folder", "cli/main.c",
     '#include "../src/block/block.h"\n', "out of its folder"),
    ("tool uses an internal name", "cli/main.c",
     "int shmkiti_reap(void);\n", "uses an internal name"),
    ("extension sees an internal header", "python/src/block.c",
     '/* block.c - the extension type, which holds no logic. */\n'
     '#include "os/os.h"\n', "which is internal"),
    ("include of a header that is not there", "cli/main.c",
     "#include <shmkit/arena.h>\n", "does not exist"),
    ("system calls outside os", "src/block/block.c",
     "#include <sys/mman.h>\n", "only src/os may"),
    ("system calls outside os, spaced", "src/base/hash.h",
     "#  include <unistd.h>\n", "only src/os may"),
    ("threads in base", "src/base/hash.h", "#include <pthread.h>\n",
     "base may not"),
    ("function not exported", "include/shmkit/block.h",
     "SHMKIT_API int shmkit_block_open(int a);\n",
     "src/libshmkit.sym: shmkit_block_open is missing"),
    ("function without a man page", "include/shmkit/block.h",
     "SHMKIT_API const char *\nshmkit_version(void);\n",
     "man/*.3: shmkit_version is missing"),
    ("export without a declaration", "src/libshmkit.sym",
     "Y { global: shmkit_secret; };\n",
     "src/libshmkit.sym: shmkit_secret is in no public header"),
    ("man page of a function that is gone", "man/shmkit_block.3",
     ".BI \"int shmkit_block_gone(void);\"\n",
     "man/*.3: shmkit_block_gone is in no public header"),
    ("long function", "src/block/block.c", LONG, "a function of 61 lines"),
    ("many parameters", "src/block/block.c",
     "static void\nmany(int a, int b, int c, int d,\n     int e, int f,"
     " int g)\n{\n}\n", "a function of 7 parameters"),
]

# The same for whole files: what is in them instead.
BAD_FILES = [
    ("no licence", "src/block/block.c",
     "/* block.c - handles: mapping, asking and closing. */\n", "SPDX"),
    ("no essay", "src/block/block.c", LICENCE + "\n#include <stdio.h>\n",
     "does not open with a comment"),
    ("essay of another file", "src/block/block.c",
     LICENCE + "\n/* list.c - asking about blocks by name. */\n",
     "does not open with a comment"),
    ("too short an essay", "src/block/block.c",
     LICENCE + "\n/* block.c - blocks. */\n", "does not open with a comment"),
]


def dedent(text: str) -> str:
    return re.sub(r"^ {8}", "", text.strip(), flags=re.MULTILINE) + "\n"


def write_file(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_good(root: Path) -> None:
    for name, text in GOOD.items():
        head = LICENCE + "\n" if name.endswith((".c", ".h")) else ""
        write_file(root, name, head + dedent(text))


def expect_one(what: str, root: Path, part: str) -> bool:
    found = check(root)
    if any(part in message for message in found):
        return True
    print(f"self-test: {what}: not found; only {found}")
    return False


def self_test() -> int:
    good = True
    with tempfile.TemporaryDirectory() as folder:
        write_good(Path(folder))
        if found := check(Path(folder)):
            print(f"self-test: a good tree is refused: {found}")
            good = False
    cases = [(w, f, True, t, p) for w, f, t, p in BAD]
    cases += [(w, f, False, t, p) for w, f, t, p in BAD_FILES]
    for what, name, add, text, part in cases:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder).resolve()
            write_good(root)
            path = root / name
            head = LICENCE + "\n" if add and name.endswith((".c", ".h")) \
                else ""
            old = path.read_text() if add and path.exists() else head
            write_file(root, name, (old if add else "") + text)
            good &= expect_one(what, root, part)
    print(f"self-test: {len(cases)} faults planted")
    return 0 if good else 1


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    if sys.argv[1] == "--self-test":
        return self_test()
    found = check(Path(sys.argv[1]).resolve())
    for message in found:
        print(message)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
