# SPDX-License-Identifier: MIT
"""Rows of a photograph, grey: the arithmetic, the layout and a worker.

The same as gray_worker.c, whose head tells the whole protocol, in Python and
NumPy: run as a program, this file is one worker.  It attaches to two blocks
by name, one with the photograph and one with the books, and does the strips
that the driver orders through its standard input.
"""

import os
import sys

import numpy as np

MAGIC = int.from_bytes(b"shmgray1", "little")
SLOTS = 8
TAKEN, DONE = 1 << 32, 2 << 32
PID = 0xFFFFFFFF

# struct measures of gray_worker.c.
MEASURES = np.dtype(
    {
        "names": [
            "magic", "result_offset", "width", "height",
            "strip_rows", "strips", "step_rows", "rest_us",
        ],
        "formats": ["u8", "u8", "u4", "u4", "u4", "u4", "u4", "u4"],
        "offsets": [0, 8, 16, 20, 24, 28, 32, 36],
        "itemsize": 64,
    }
)  # fmt: skip
CLAIMS = MEASURES.itemsize + 64 * SLOTS


def gray_rows(rgb, gray):
    """Turn rgb (rows, width, 3) grey in gray (rows, width), both uint8.

    ITU-R 601 luma in 16.16 fixed point, rounded: whole numbers, so that C,
    NumPy and Pillow agree to the last bit.
    """
    sum_ = np.multiply(rgb[..., 0], 19595, dtype=np.uint32)
    sum_ += np.multiply(rgb[..., 1], 38470, dtype=np.uint32)
    sum_ += np.multiply(rgb[..., 2], 7471, dtype=np.uint32)
    sum_ += 32768
    sum_ >>= 16
    gray[...] = sum_


def gray_steps(rgb, gray, step_rows):
    """gray_rows() in steps that fit the cache; yields the rows done so far."""
    for first in range(0, len(rgb), step_rows):
        last = min(first + step_rows, len(rgb))
        gray_rows(rgb[first:last], gray[first:last])
        yield last


class Picture:
    """The photograph's block as two arrays: colour rows and grey rows."""

    def __init__(self, buf, width, height, result_offset):
        self.rgb = np.ndarray((height, width, 3), np.uint8, buf)
        self.gray = np.ndarray((height, width), np.uint8, buf, result_offset)

    @staticmethod
    def sizes(width, height):
        """Where the grey rows begin, on a page of their own; the whole."""
        offset = -(-width * height * 3 // 4096) * 4096
        return offset, offset + width * height


class Books:
    """The control block as arrays: measures, a place a slot, claims."""

    @staticmethod
    def size(strips):
        return CLAIMS + 8 * strips

    def __init__(self, buf):
        self.measures = np.ndarray((1,), MEASURES, buf)[0]
        if self.measures["magic"] != MAGIC:
            raise ValueError("the control block has another layout")
        self.strips = int(self.measures["strips"])
        self.places = np.ndarray(
            (SLOTS,), np.uint64, buf, MEASURES.itemsize, (64,)
        )
        self.claims = np.ndarray((self.strips,), np.uint64, buf, CLAIMS)

    @classmethod
    def open(cls, buf, **measures):
        """Write the measures into a fresh block, the magic last."""
        record = np.ndarray((1,), MEASURES, buf)[0]
        for name, value in measures.items():
            record[name] = value
        record["magic"] = MAGIC
        return cls(buf)

    def rows_of(self, strip):
        """First row of a strip, and the first row after it."""
        rows, height = int(self.measures["strip_rows"]), self.height
        return strip * rows, min((strip + 1) * rows, height)

    @property
    def height(self):
        return int(self.measures["height"])

    @property
    def width(self):
        return int(self.measures["width"])


class Job:
    """What one worker holds while it works on one photograph."""

    def __init__(self, image_name, books_name, slot):
        from shmkit.shared_memory import SharedMemory

        self.slot = slot
        self.image = SharedMemory(image_name)
        self.control = SharedMemory(books_name)
        self.books = books = Books(self.control.buf)
        offset = int(books.measures["result_offset"])
        self.picture = Picture(
            self.image.buf, books.width, books.height, offset
        )

    def do_strip(self, strip):
        import time

        books, mine = self.books, TAKEN | os.getpid()
        first, last = books.rows_of(strip)
        step = int(books.measures["step_rows"])
        rest = int(books.measures["rest_us"]) / 1e6
        rgb, gray = self.picture.rgb, self.picture.gray
        for done in gray_steps(rgb[first:last], gray[first:last], step):
            books.places[self.slot] = strip << 32 | done
            if rest and done < last - first:
                time.sleep(rest)
        # Only this process may store to the word until it has answered.
        if int(books.claims[strip]) != mine:
            raise ValueError(f"strip {strip} was taken away")
        books.claims[strip] = DONE | os.getpid()

    def leave(self):
        self.books = self.picture = None  # views first: good manners
        self.image.close()
        self.control.close()


def work(orders, answers):
    """Obey until the orders end: the driver is done, or dead."""
    job = None
    for line in orders:
        verb, *words = line.split()
        if verb == "job":
            if job is not None:
                job.leave()
            job = Job(words[0], words[1], int(words[2]))
            print("ready", file=answers, flush=True)
        elif verb == "strip" and job is not None:
            job.do_strip(int(words[0]))
            print("done", words[0], file=answers, flush=True)
        elif verb == "leave" and job is not None:
            job.leave()
            job = None
            print("left", file=answers, flush=True)
        else:
            raise ValueError(f"no such order: {line!r}")
    if job is not None:
        job.leave()


if __name__ == "__main__":
    try:
        work(sys.stdin, sys.stdout)
    except BrokenPipeError:
        pass  # the driver is dead: the end
    except (OSError, ValueError) as error:
        sys.exit(f"gray.py: {error}")
