# SPDX-License-Identifier: MIT
"""One program writes an array, another reads it by its name alone.

    typed_array.py write; typed_array.py read      (without a word: both)

Either may be the C program typed_array instead: the array itself says what it
is.  Between processes of one program, pass the array: it is pickled by name.
"""

import sys

import numpy as np
import shmkit

ATOM = np.dtype([("id", "i8"), ("xyz", "f4", 3)], align=True)


def write():
    atoms = np.array([(7, [0, 1, 2]), (8, [3, 4, 5])], ATOM)
    # Until it was read: this program may be gone by then.
    shmkit.from_array(atoms, "atoms", lifetime="persistent").close()


def read():
    with shmkit.attach("atoms", dtype=ATOM) as atoms:
        for atom in atoms:
            print(f"{atom['id']}:", *map("{:g}".format, atom["xyz"]))
        atoms.unlink()


if __name__ == "__main__":
    words = sys.argv[1:] or ["write", "read"]
    for word in words:
        {"write": write, "read": read}[word]()
