# SPDX-License-Identifier: MIT
"""The programs in the documents do what they say.

Each ```python block of these pages is a program of its own; a ```text block
right after it is its output.
"""

import os
import pathlib
import re

import pytest

from helpers import run_python

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
PAGES = ["locks.md", "values.md"]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?",
                   re.MULTILINE | re.DOTALL)


def programs():
    for page in PAGES:
        text = (DOCS / page).read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield pytest.param(match[1], match[2] or "",
                               id=f"{page}:{line}")


@pytest.mark.parametrize("program, output", programs())
def test_program(program, output):
    done = run_python(program, cwd=os.path.dirname(__file__))
    assert (done.stdout, done.stderr, done.returncode) == (output, "", 0)


def test_there_are_programs():
    assert len(list(programs())) >= 6
