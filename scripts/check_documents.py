#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Check that the documents agree with the tree.

- Every relative link in a Markdown file leads to a file, and its #anchor to
  a heading there.
- Every path in `code style` that looks like one of the tree's files exists.
- Every public function stands in src/libshmkit.sym and in docs/c.md.
- Every result that a public header names stands in docs/errors.md.
- Every verb that ./dev help lists is named in CONTRIBUTING.md.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOP_FOLDERS = {
    path.name
    for path in ROOT.iterdir()
    if path.is_dir() and not path.name.startswith((".", "build", "dist"))
}
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
CODE_PATH = re.compile(r"`([\w.-]+(?:/[\w.-]+)+/?)`")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def documents():
    for path in sorted(ROOT.rglob("*.md")):
        parts = path.relative_to(ROOT).parts
        if not parts[0].startswith((".", "build", "dist")):
            yield path


def prose(path):
    """The text without fenced code."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def anchors(path):
    """The anchors of its headings, as GitHub makes them."""
    for heading in re.findall(r"^#+ +(.*)$", prose(path), re.MULTILINE):
        text = re.sub(r"[^\w\- ]", "", heading.lower())
        yield text.replace(" ", "-")


def check_links(path):
    for match in LINK.finditer(prose(path)):
        target = match.group(1) or match.group(2)
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        if not there.exists():
            yield f"no such file: {target}"
        elif anchor and anchor not in anchors(there):
            yield f"no such heading: {target}"


def check_paths(path):
    for name in CODE_PATH.findall(prose(path)):
        if name.split("/")[0] not in TOP_FOLDERS:
            continue
        if not (ROOT / name).exists():
            yield f"no such file: {name}"


def headers():
    paths = sorted((ROOT / "include/shmkit").glob("*.h"))
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def missing(words, path):
    text = (ROOT / path).read_text(encoding="utf-8")
    for word in sorted(set(words)):
        if not re.search(rf"\b{word}\b", text):
            yield f"{path}: {word} is missing"


def check_interface():
    text = headers()
    functions = re.findall(r"\b(shmkit_\w+)\(", text)
    yield from missing(functions, "src/libshmkit.sym")
    yield from missing(functions, "docs/c.md")
    errors = re.findall(r"(?<![\w.])-(E[A-Z0-9]{3,})\b", text)
    enum = re.search(r"enum shmkit_outcome \{(.*?)\}", text, re.DOTALL)
    outcomes = re.findall(r"SHMKIT_\w+", enum.group(1))
    yield from missing(errors + outcomes, "docs/errors.md")


def check_verbs():
    shown = subprocess.run(
        [ROOT / "dev", "help"], check=True, capture_output=True, text=True
    ).stdout
    verbs = re.findall(r"^  ([a-z]+)", shown, re.MULTILINE)
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for verb in verbs:
        if f"./dev {verb}" not in text:
            yield f"CONTRIBUTING.md: ./dev {verb} is missing"


def main():
    wrong = []
    for path in documents():
        for check in (check_links, check_paths):
            wrong += [f"{path.relative_to(ROOT)}: {w}" for w in check(path)]
    wrong += check_interface()
    wrong += check_verbs()
    print("\n".join(wrong) if wrong else "documents agree with the tree")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
