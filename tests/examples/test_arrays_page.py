# SPDX-License-Identifier: MIT
"""The programs of docs/arrays.md, run in the order in which they stand.

A fenced program begins with a comment that is its file name; all of them share
one /dev/shm, and at the end nothing is left in it.
"""

import os
import re
import sys

PROGRAM = re.compile(r"^```(sh|c|python)\n(?:# |/\* )([\w.]+)(.*?)^```",
                     re.MULTILINE | re.DOTALL)  # fmt: skip
FENCE = re.compile(r"^```(?:sh|c|python)$", re.MULTILINE)

EXPECTED = {
    "make.py": "ndarray((3, 4), '<f8', name='table')\n12000 1000.0\n",
    "find.py": "float64 (3, 4) metres\n[16. 20. 24. 28.]\n"
    "array 'table' has dtype <f8, not f4\n",
    "look.sh": "NAME   DTYPE  SHAPE  LABEL\ntable  <f8    3x4    metres\n",
    "sum.c": "2 dimensions, sum 264\n",
    "workers.py": "[  0 100 200 300]\n",
    "share.py": "99.0 99.0 d\n99.0\n",
}


def programs(root):
    """{file name: text}, in order."""
    text = (root / "docs" / "arrays.md").read_text(encoding="utf-8")
    found = {}
    for match in PROGRAM.finditer(text):
        language, name, _ = match.groups()
        assert name not in found, name
        found[name] = match[0][len(f"```{language}\n"):-len("```")]
    assert len(FENCE.findall(text)) == len(found)
    return found


def command(name, root, build):
    if name.endswith(".py"):
        return f"{sys.executable} {name}"
    if name.endswith(".sh"):
        return f"sh -e {name}"
    return (f"cc -std=c17 -Wall -Wextra -Werror {name} -o sum "
            f"-I{root / 'include'} -L{build / 'src'} -lshmkit && ./sum")


def test_the_programs_of_the_page(run, root, build, tmp_path):
    texts = programs(root)
    assert list(texts) == list(EXPECTED)
    script = ["set -e"]
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        script += [f"echo == {name}", command(name, root, build)]
    result = run(["env", f"PATH={build / 'cli'}:{os.environ['PATH']}",
                  f"LD_LIBRARY_PATH={build / 'src'}", "sh", "-c",
                  "\n".join(script)])
    assert result.returncode == 0, result.out + result.err
    assert result.err == "" and result.left == []
    assert result.out == "".join(
        f"== {name}\n{out}" for name, out in EXPECTED.items())
