# SPDX-License-Identifier: MIT
"""What the demo shows: labelled lines, one progress line, one table.

On a terminal the progress line is drawn over and over, in colour unless
NO_COLOR is set; in a pipe it is one plain line a quarter.
"""

import os
import sys
import textwrap

LABEL = 12
BOLD, DIM, RED, GREEN = "1", "2", "31", "32"
WORKER = ["36", "32", "35", "33", "34", "96", "95", "93"]


class Screen:
    def __init__(self, out=None):
        self.out = out or sys.stdout
        self.tty = self.out.isatty() and os.environ.get("TERM") != "dumb"
        self.colour = self.tty and not os.environ.get("NO_COLOR")
        self.quarter = 0
        self.drawn = False

    def paint(self, text, code):
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def line(self, text=""):
        self.wipe()
        print(text, file=self.out, flush=True)

    def title(self, text):
        self.line(self.paint(text, BOLD))

    def say(self, label, text, code=DIM):
        """A label and its text, wrapped beside it."""
        lines = textwrap.wrap(text, 79 - LABEL, break_on_hyphens=False)
        for number, part in enumerate(lines or [""]):
            head = "" if number else label
            self.line(self.paint(f"{head:<{LABEL}}", code) + part)

    def wipe(self):
        """Take the progress line away."""
        if self.drawn:
            self.out.write("\r\x1b[K")
            self.drawn = False

    def progress(self, cells, done, total):
        """cells: (letter, colour or None) of each strip, in order."""
        percent = 100 * done // total
        if self.tty:
            bar = "".join(self.paint(c, k) if k else c for c, k in cells)
            head = self.paint(f"{'rows':<{LABEL}}", DIM)
            self.out.write(f"\r\x1b[K{head}{bar} {percent:3d} %")
            self.out.flush()
            self.drawn = True
        elif percent // 25 > self.quarter:
            self.quarter = percent // 25
            bar = "".join(letter for letter, _ in cells)
            self.line(f"{'rows':<{LABEL}}{bar} {percent:3d} %")

    def keep(self):
        """Leave the progress line where it is and go to the next."""
        if self.drawn:
            self.out.write("\n")
            self.out.flush()
            self.drawn = False


def amount(size):
    """Bytes for people: 64.0 MiB."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            break
        size /= 1024
    else:
        unit = "GiB"
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"


def grouped(number):
    return f"{number:,}".replace(",", " ")
