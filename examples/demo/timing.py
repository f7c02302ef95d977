# SPDX-License-Identifier: MIT
"""The same rows sent to workers in five ways, and how long each takes.

Workers and channels (queues, blocks) stand ready before the clock starts, and
it runs from the photograph as an ordinary array of this process to the grey
rows as another.  Blocks give a second figure, "in place": the rows are in the
block already and stay there, as when a decoder writes into it; a queue cannot
do that.  And a third, "create, fill": making the block and writing all of it
for the first time, which the other two leave out; there the library's 2 MiB
pages pay.  The ways take turns, and another begins each round, so that a noisy
minute strikes all of them alike; medians are shown.  Every result is compared
with the single-process one.
"""

import contextlib
import ctypes
import multiprocessing
import multiprocessing.resource_tracker
import multiprocessing.shared_memory
import os
import queue
import signal
import statistics
import sys
import time

import numpy as np
import shmkit
import shmkit.shared_memory
from crew import sigint_held
from gray import Books, Picture, gray_steps

STEP_ROWS = 16
PR_SET_PDEATHSIG = 1


class WorkerDied(Exception):
    """A worker of a timed way ended by itself."""


def die_with(parent):
    """End this process, by the ordinary way out, when its parent is dead.

    A process that waits at a multiprocessing.Queue never learns of that
    otherwise: it holds both ends of the pipe itself.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)


def queue_worker(parent, tasks, results):
    """Rows come in through the queue and go back through another."""
    die_with(parent)
    results.cancel_join_thread()
    for first, rgb in iter(tasks.get, None):
        gray = np.empty(rgb.shape[:2], np.uint8)
        for _ in gray_steps(rgb, gray, STEP_ROWS):
            pass
        results.put((first, gray))


def block_worker(parent, tasks, results, module):
    """Only the block's name and row numbers come through the queue."""
    die_with(parent)
    results.cancel_join_thread()
    for name, width, height, first, last in iter(tasks.get, None):
        block = module.SharedMemory(name)
        offset, _ = Picture.sizes(width, height)
        picture = Picture(block.buf, width, height, offset)
        rows = slice(first, last)
        for _ in gray_steps(picture.rgb[rows], picture.gray[rows], STEP_ROWS):
            pass
        del picture  # the standard library's close() refuses otherwise
        block.close()
        results.put((first, None))


def fill(picture, rgb):
    """Write all of a fresh block: its pages are there before the clock."""
    picture.rgb[...] = rgb
    picture.gray[...] = 0


class Clock:
    """Four moments of one round: start, rows in, work done, rows out.

    `made`: the seconds that making and filling the block took before.
    """

    def __init__(self, made=None):
        self.moments = [time.perf_counter()]
        self.made = made

    def tick(self):
        self.moments.append(time.perf_counter())

    @property
    def whole(self):
        return self.moments[-1] - self.moments[0]

    @property
    def in_place(self):
        """None where the rows have to travel."""
        if len(self.moments) < 4:
            return None
        return self.moments[2] - self.moments[1]


class Alone:
    """One process, nothing shared: what the others are to be compared with."""

    label = "one process, NumPy"

    def round(self, rgb, strip_rows):
        gray = np.zeros(rgb.shape[:2], np.uint8)
        clock = Clock()
        for _ in gray_steps(rgb, gray, STEP_ROWS):
            pass
        clock.tick()
        return gray, clock

    def close(self):
        pass


class Pooled:
    """Workers in Python, tasks and answers through queues."""

    def __init__(self, package, workers, function, *args):
        self.tasks, self.results = package.Queue(), package.Queue()
        parent = os.getpid()
        self.processes = []
        with sigint_held():
            for _ in range(workers):
                process = package.Process(
                    target=function,
                    args=(parent, self.tasks, self.results, *args),
                    daemon=True,
                )
                process.start()
                self.processes.append(process)

    def result(self):
        """Next answer; never waits for a worker that is dead."""
        while True:
            with contextlib.suppress(queue.Empty):
                return self.results.get(timeout=0.5)
            for process in self.processes:
                if process.exitcode is not None:
                    raise WorkerDied(
                        f"{self.label}: a worker ended with {process.exitcode}"
                    )

    def close(self):
        for _ in self.processes:
            self.tasks.put(None)
        for process in self.processes:
            process.join(2)
            process.kill()
            process.join()
        self.tasks.close()
        self.results.close()


class ByQueue(Pooled):
    label = "multiprocessing.Queue"

    def __init__(self, workers):
        super().__init__(multiprocessing, workers, queue_worker)

    def round(self, rgb, strip_rows):
        gray = np.zeros(rgb.shape[:2], np.uint8)
        firsts = range(0, len(rgb), strip_rows)
        clock = Clock()
        for first in firsts:
            self.tasks.put((first, rgb[first : first + strip_rows]))
        for _ in firsts:
            first, rows = self.result()
            gray[first : first + len(rows)] = rows
        clock.tick()
        return gray, clock


class ByBlock(Pooled):
    """SharedMemory of either package; the names are all that differs."""

    def __init__(self, package, module, workers, note):
        self.label = f"{package.__name__}.shared_memory"
        self.module, self.note = module, note
        super().__init__(package, workers, block_worker, module)

    def round(self, rgb, strip_rows):
        height, width = rgb.shape[:2]
        _, size = Picture.sizes(width, height)
        # The standard library reserves nothing: a full /dev/shm would be a
        # SIGBUS below.  shmkit's own create says ENOSPC.
        self.note.room(size)
        begun = time.perf_counter()
        block = self.module.SharedMemory(create=True, size=size)
        self.note.name(block.name)
        try:
            return self.timed(begun, block, rgb, strip_rows)
        finally:
            block.close()
            block.unlink()

    def timed(self, begun, block, rgb, strip_rows):
        height, width = rgb.shape[:2]
        offset, _ = Picture.sizes(width, height)
        picture = Picture(block.buf, width, height, offset)
        fill(picture, rgb)
        made = time.perf_counter() - begun
        firsts = range(0, height, strip_rows)
        gray = np.zeros((height, width), np.uint8)
        clock = Clock(made)
        picture.rgb[...] = rgb
        clock.tick()
        for first in firsts:
            last = min(first + strip_rows, height)
            self.tasks.put((block.name, width, height, first, last))
        for _ in firsts:
            self.result()
        clock.tick()
        gray[...] = picture.gray
        clock.tick()
        return gray, clock


class ByCrew:
    """The demo's own: two workers in C and two in Python, no queue at all."""

    def __init__(self, crew, note):
        languages = [worker.language for worker in crew.workers]
        self.label = "shmkit, {} C and {} Python".format(
            languages.count("C"), languages.count("Python")
        )
        self.crew, self.note = crew, note

    def round(self, rgb, strip_rows):
        height, width = rgb.shape[:2]
        offset, size = Picture.sizes(width, height)
        strips = -(-height // strip_rows)
        new = shmkit.shared_memory.SharedMemory
        with contextlib.ExitStack() as stack:
            begun = time.perf_counter()
            image = new(create=True, size=size)
            stack.callback(image.unlink)
            fill(Picture(image.buf, width, height, offset), rgb)
            made = time.perf_counter() - begun
            control = stack.enter_context(
                new(create=True, size=Books.size(strips))
            )
            stack.callback(control.unlink)
            self.note.name(image.name)
            self.note.name(control.name)
            books = Books.open(
                control.buf,
                result_offset=offset,
                width=width,
                height=height,
                strip_rows=strip_rows,
                strips=strips,
                step_rows=STEP_ROWS,
            )
            return self.timed(made, image, control, books, rgb)

    def timed(self, made, image, control, books, rgb):
        offset = int(books.measures["result_offset"])
        picture = Picture(image.buf, books.width, books.height, offset)
        gray = np.zeros(rgb.shape[:2], np.uint8)
        clock = Clock(made)
        picture.rgb[...] = rgb
        clock.tick()
        self.crew.begin(image.name, control.name, books)
        self.crew.run()
        clock.tick()
        gray[...] = picture.gray
        clock.tick()
        self.crew.end()
        return gray, clock

    def close(self):
        self.crew.close()


def start(make_crew, workers, note):
    """All ways, their workers running.  Close each, whatever happens."""
    # The standard library's trap: a child that attaches before its parent has
    # a tracker starts one of its own, which removes the block at its end.
    multiprocessing.resource_tracker.ensure_running()
    shm = multiprocessing.shared_memory
    with contextlib.ExitStack() as stack:
        ways = []
        for make in (
            lambda: ByQueue(workers),
            lambda: ByBlock(multiprocessing, shm, workers, note),
            lambda: ByBlock(shmkit, shmkit.shared_memory, workers, note),
            lambda: ByCrew(make_crew(), note),
            Alone,
        ):
            ways.append(make())
            stack.callback(ways[-1].close)
        stack.pop_all()
    return ways


def measure(ways, rgb, expected, strip_rows, budget, progress):
    """The clocks of each way's rounds: {label: [Clock, ..]}.

    Three rounds at least, five at most, and none is begun after `budget`
    seconds.  ValueError if a result differs from `expected` by one byte.
    """
    # Nobody's first time counts.  All rows: memory that a virtual machine has
    # never used costs milliseconds a piece, whoever is first to touch it.
    for way in ways:
        progress(0, way.label)
        way.round(rgb, strip_rows)
    clocks = {way.label: [] for way in ways}
    begun = time.monotonic()
    for number in range(5):
        if number >= 3 and time.monotonic() - begun > budget:
            break
        for way in ways[number:] + ways[:number]:
            progress(number + 1, way.label)
            gray, clock = way.round(rgb, strip_rows)
            clocks[way.label].append(clock)
            if not np.array_equal(gray, expected):
                raise ValueError(f"{way.label}: the result differs")
    return clocks


def ms(seconds):
    return f"{seconds * 1e3:.0f} ms"


def figures(rounds):
    """Median, lowest and highest whole time, and the medians in place and of
    making a block; None where there is none."""
    whole = [clock.whole for clock in rounds]
    placed = [clock.in_place for clock in rounds]
    made = [clock.made for clock in rounds]
    return (
        statistics.median(whole),
        min(whole),
        max(whole),
        None if None in placed else statistics.median(placed),
        None if None in made else statistics.median(made),
    )


def table(clocks):
    """Lines of text, one a way; x: how many times sooner than the queue."""
    base = figures(clocks[ByQueue.label])[0]
    width = max(len(label) for label in clocks)
    yield (
        f"{'':<{width}}  {'array to array':<26}{'in place':>16}"
        f"{'create, fill':>14}"
    )
    for label, rounds in clocks.items():
        median, low, high, placed, made = figures(rounds)
        row = f"{label:<{width}}{ms(median):>8}"
        row += f"  ({low * 1e3:.0f} to {ms(high)})".ljust(20)
        row += f"{base / median:4.1f} x"
        if placed is not None:
            row += f"{ms(placed):>9}{base / placed:5.1f} x"
        if made is not None:
            row += f"{ms(made):>12}"
        yield row


def chart(clocks, title, path):
    """A bar a way, as PNG.  False without matplotlib."""
    try:
        import logging

        logging.getLogger("matplotlib").setLevel(logging.ERROR)
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return False
    labels = list(reversed(clocks))
    rows = [figures(clocks[label]) for label in labels]
    whole = [median * 1e3 for median, *_ in rows]
    errors = [
        [(median - low) * 1e3 for median, low, *_ in rows],
        [(high - median) * 1e3 for median, _, high, *_ in rows],
    ]
    colours = ["C0" if "shmkit" in label else "0.7" for label in labels]
    figure, axes = pyplot.subplots(figsize=(7.5, 2.8), layout="constrained")
    bars = axes.barh(labels, whole, color=colours, xerr=errors)
    axes.bar_label(bars, fmt="%.0f ms", padding=8)
    for bar, (_, _, _, placed, _) in zip(bars, rows):
        if placed is not None:
            y = bar.get_y()
            axes.plot([placed * 1e3] * 2, [y, y + bar.get_height()], "k:")
    axes.set_xlim(0, 1.2 * max(high for _, _, high, *_ in rows) * 1e3)
    axes.set_xlabel("ms, median; whiskers: extremes; dots: in place")
    axes.set_title(title, loc="left", fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return True
