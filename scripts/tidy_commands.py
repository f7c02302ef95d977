#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reduce a compilation database to one command a file.

usage: tidy_commands.py BUILD FOLDER

Variants of the library compile the same file several times; clang-tidy would
look at each.  Writes FOLDER/compile_commands.json and prints the files.
"""

import json
import os
import sys


def main():
    build, folder = sys.argv[1:]
    with open(os.path.join(build, "compile_commands.json")) as file:
        entries = json.load(file)
    first = {}
    for entry in entries:
        path = os.path.join(entry["directory"], entry["file"])
        first.setdefault(os.path.normpath(path), entry)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "compile_commands.json"), "w") as file:
        json.dump(list(first.values()), file)
    print("\n".join(sorted(first)))


if __name__ == "__main__":
    main()
