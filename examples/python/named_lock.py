# SPDX-License-Identifier: MIT
"""Programs that know nothing of each other share a lock.

The lock is there as long as a program uses it, and goes with the last one.
Here a second program, which was told nothing but the name, finds it held.
"""

import subprocess
import sys

from shmkit import Lock


def main(arguments):
    lock = Lock(name="example-jobs")
    if not lock.acquire(block=False):
        print("busy")
        return
    print("got it", flush=True)
    if not arguments:  # the other program
        subprocess.run([sys.executable, __file__, "other"], check=True)
    lock.release()


if __name__ == "__main__":
    main(sys.argv[1:])
