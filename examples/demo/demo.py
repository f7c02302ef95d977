# SPDX-License-Identifier: MIT
"""Turn a photograph grey, in parallel, in one shared block, with a murder.

Two workers in C and two in Python attach by name to one block that holds the
colour rows and the grey ones.  One of them is killed in the middle of a strip
of rows; another does the strip again.  The result is compared byte for byte
with a single process's and with Pillow's, written as PNG, and timed against
other ways of sending the same rows.  Nothing is left in /dev/shm, whatever
happens.  Run it by `./dev demo [PHOTO]`; gray_worker.c tells how it works.
"""

import signal

# Until there is something to clean up, Ctrl-C simply ends this process.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import contextlib
import errno
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

try:
    import numpy as np
    from PIL import Image, ImageOps
except ImportError as missing:
    sys.exit(
        f"demo: the Python module {missing.name} is missing; on Debian: "
        "apt-get install python3-numpy python3-pil"
    )
try:
    from shmkit.shared_memory import SharedMemory
except ImportError as missing:
    sys.exit(
        f"demo: {missing}; run it by `./dev demo`, which builds shmkit first"
    )

import timing
from crew import Crew, NoWorkerLeft
from gray import DONE, PID, TAKEN, Books, Picture, gray_steps
from screen import GREEN, RED, WORKER, Screen, amount, grouped

HERE = Path(__file__).resolve().parent
PHOTO = HERE.parent / "data" / "astronaut.png"
LANGUAGES = ["C", "C", "Python", "Python"]
STRIPS = 32
STEPS = 8  # entries of progress a strip
LARGEST = 1 << 30  # pixels


class DemoError(Exception):
    """What ends the demo: one sentence, and what to do about it."""


def options(argv):
    parser = argparse.ArgumentParser(
        prog="./dev demo",
        description="Turn a photograph grey, in parallel, in shared memory.",
    )
    add = parser.add_argument
    add("photo", nargs="?", type=Path, default=PHOTO, help="PNG or JPEG file")
    add("--size", type=int, default=4096, metavar="N",
        help="enlarge to at least N x N pixels' worth (default %(default)s)")
    add("--output", type=Path, metavar="PNG",
        help="where the result goes (default build/demo/NAME-grey.png)")
    add("--kill", choices=["A", "B", "P", "Q", "all", "none"], default="Q",
        help="which worker dies: A and B are in C, P and Q in Python "
             "(default %(default)s)")
    add("--watch", type=float, default=2.0, metavar="SECONDS",
        help="slow the first part down to about this long, so that one can "
             "watch it; 0: full speed (default %(default)s)")
    add("--no-timing", action="store_true", help="leave the table out")
    add("--worker", default="build/examples/demo/gray_worker",
        help="the C worker program (default %(default)s)")
    add("--tool", default="build/cli/shmkit",
        help="the shmkit command (default %(default)s)")
    args = parser.parse_args(argv)  # fmt: skip
    if not 8 <= args.size <= 32768:
        parser.error("--size must be from 8 to 32768")
    if not 0 <= args.watch <= 60:
        parser.error("--watch must be from 0 to 60")
    return args


class Note:
    """Names of the blocks this run has made, for the look at the end."""

    def __init__(self):
        self.names = []

    def name(self, name):
        self.names.append(name)

    def left(self):
        return sorted(set(self.names) & set(os.listdir("/dev/shm")))

    @staticmethod
    def room(size):
        """DemoError unless /dev/shm has room for a block of that size."""
        if free_room() < size:
            raise no_room(size)


def free_room():
    stat = os.statvfs("/dev/shm")
    return stat.f_bavail * stat.f_frsize


def no_room(size):
    return DemoError(
        f"no room in /dev/shm: the demo takes {amount(size)} and some pages, "
        f"and {amount(free_room())} are free; make it larger (mount -o "
        "remount,size=1G /dev/shm, or docker run --shm-size=1g), or the "
        "picture smaller (--size 1024)"
    )


def check_programs(args):
    for program in (args.worker, args.tool):
        if not os.access(program, os.X_OK):
            raise DemoError(
                f"{program} is not there; run `./dev build` first"
            )


# ---- the photograph ----


def load(path):
    """An RGB image of any PNG or JPEG, the right way up."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                image = ImageOps.exif_transpose(image)
                if image.mode.startswith("I"):  # 16 bits a pixel
                    high = np.asarray(image) >> 8
                    image = Image.fromarray(high.astype(np.uint8))
                return image.convert("RGB")
    except FileNotFoundError:
        raise DemoError(f"{path}: there is no such file") from None
    except Image.UnidentifiedImageError:
        raise DemoError(f"{path}: this is no PNG or JPEG picture") from None
    except OSError as error:
        reason = error.strerror or error
        raise DemoError(f"{path}: cannot read it: {reason}") from None
    except MemoryError:
        raise DemoError(f"{path}: not enough memory to decode it") from None
    except Exception as error:  # a decoder meets broken bytes in many ways
        raise DemoError(f"{path}: the picture is damaged: {error}") from None


def enlarge(image, size):
    """The image itself, or enlarged to size * size pixels or a few more."""
    width, height = image.size
    scale = (size * size / (width * height)) ** 0.5
    if scale > 1:
        width, height = round(width * scale), round(height * scale)
        while width * height < size * size:
            width, height = width + 1, height + 1
    if width * height > LARGEST or max(width, height) > 1 << 23:
        raise DemoError(
            f"the picture would be {width} x {height} pixels: too many"
        )
    if (width, height) == image.size:
        return image
    bicubic = getattr(Image, "Resampling", Image).BICUBIC  # moved in 9.1
    return image.resize((width, height), bicubic)


# ---- the shared blocks ----


def make_block(stack, size, note, no_room_error):
    """A block that the stack removes, and whose last holder would too: even a
    SIGKILL of this process leaves nothing, since its workers' pipes end."""
    try:
        block = SharedMemory(create=True, size=size, lifetime="holders")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.ENOMEM):
            raise no_room_error from None
        raise DemoError(f"cannot make a shared block: {error}") from None
    note.name(block.name)
    stack.callback(drop, block)
    return block


def drop(block):
    block.close()
    try:
        block.unlink()
    except FileNotFoundError:
        pass


def measures_of(image, watch):
    """What stands at the head of the control block."""
    width, height = image.size
    rows = max(2, -(-height // STRIPS))
    strips, step = -(-height // rows), max(1, rows // STEPS)
    rests = max(1, strips * (-(-rows // step) - 1))
    return {
        "result_offset": Picture.sizes(width, height)[0],
        "width": width,
        "height": height,
        "strip_rows": rows,
        "strips": strips,
        "step_rows": step,
        # Three workers are left to share the rests.
        "rest_us": min(500_000, int(watch * 3e6 / rests)),
    }


# ---- the show ----


class Show:
    """Draws the progress, and kills when the time has come."""

    def __init__(self, screen, crew, books, kill):
        self.screen, self.crew, self.books = screen, crew, books
        workers = crew.workers
        self.letters = {w.pid: (w.letter, WORKER[w.slot]) for w in workers}
        self.victims = [w for w in workers if kill in ("all", w.letter)]
        self.kills = []  # (worker, strip, rows done, rows in all)

    def cell(self, strip, word):
        letter, colour = self.letters.get(word & PID, (".", None))
        if word >= DONE:
            return letter, colour
        if word >= TAKEN:
            return letter.lower(), colour
        return ("!", RED) if strip in self.crew.lost else (".", None)

    def __call__(self):
        words = [int(word) for word in self.books.claims]
        done = sum(word >= DONE for word in words)
        cells = [self.cell(*pair) for pair in enumerate(words)]
        self.screen.progress(cells, done, len(words))
        if self.victims and done >= len(words) // 4:
            killed = self.crew.kill_inside(self.victims[0])
            if killed is not None:
                self.kills.append((self.victims.pop(0), *killed))


def report_kills(screen, show, crew):
    for worker, strip, done, rows in show.kills:
        screen.say(
            "killed",
            f"worker {worker} by SIGKILL inside strip {strip}: "
            f"{done} of its {rows} rows were done",
            RED,
        )
        screen.say(
            "done again",
            f"strip {strip}, all {rows} rows, by worker {crew.doer(strip)}",
            GREEN,
        )
    killed = [worker for worker, *_ in show.kills]
    for worker, how in crew.deaths:
        if worker not in killed:
            screen.say("lost", f"worker {worker}, {how}", RED)
    for worker in filter(lambda worker: worker.alive, show.victims):
        screen.say(
            "not killed",
            f"worker {worker}: it was never met in the middle of a strip; "
            "a larger --size or --watch helps",
            RED,
        )


def report_shares(screen, crew, books, seconds, watch):
    counts = {worker.letter: 0 for worker in crew.workers}
    for strip in range(books.strips):
        counts[crew.doer(strip).letter] += 1
    shares = ", ".join(f"{letter} {n}" for letter, n in counts.items())
    slow = ", slowed so that one can watch" if watch else ""
    screen.say(
        "done",
        f"{books.strips} strips in {seconds:.2f} s{slow}; strips each: "
        f"{shares}",
    )


def work(args, screen, block, control, books):
    """All strips done by a crew, with the murder; tells about it."""
    crew = Crew(args.worker, LANGUAGES)
    try:
        screen.say("workers", "  ".join(map(str, crew.workers)))
        crew.begin(block.name, control.name, books)
        begun = time.monotonic()
        show = Show(screen, crew, books, args.kill)
        crew.run(show)
        show()
        seconds = time.monotonic() - begun
        crew.end()
    except NoWorkerLeft as error:
        raise DemoError(
            "no worker is left, and the picture is not done; the last one "
            f"ended with {error}"
        ) from None
    finally:
        screen.keep()
        crew.close()
    report_kills(screen, show, crew)
    report_shares(screen, crew, books, seconds, args.watch)


def convert(args, screen, note, image):
    """The parallel job.  Returns the grey rows, a private copy."""
    measures = measures_of(image, args.watch)
    offset, size = Picture.sizes(*image.size)
    no_room_error = no_room(size)
    with contextlib.ExitStack() as stack:
        block = make_block(stack, size, note, no_room_error)
        books_size = Books.size(measures["strips"])
        control = make_block(stack, books_size, note, no_room_error)
        screen.say(
            "block",
            f"{block.name}, {amount(size)}: colour rows, then grey rows",
        )
        screen.say(
            "books",
            f"{control.name}, {amount(books_size)}: who has which of "
            "{strips} strips of {strip_rows} rows".format(**measures),
        )
        picture = Picture(block.buf, *image.size, offset)
        picture.rgb[...] = np.asarray(image)
        books = Books.open(control.buf, **measures)
        work(args, screen, block, control, books)
        return picture.gray.copy()


def check(screen, image, gray):
    """Byte for byte against one process, and against Pillow."""
    expected = np.empty_like(gray)
    for _ in gray_steps(np.asarray(image), expected, 16):
        pass
    same = int((gray == expected).sum())
    pillow = np.array_equal(np.asarray(image.convert("L")), gray)
    if same != gray.size or not pillow:
        raise DemoError(
            f"WRONG: {grouped(same)} of {grouped(gray.size)} bytes equal the "
            f"single process's; equal to Pillow's: {pillow}"
        )
    screen.say(
        "checked",
        f"all {grouped(gray.size)} bytes equal the single-process result, "
        'and Pillow\'s own convert("L")',
        GREEN,
    )
    return expected


def write_png(screen, gray, path):
    """Written beside and renamed: a broken PNG never has the name."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            Image.fromarray(gray).save(part, "PNG", compress_level=3)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise DemoError(
            f"{path}: cannot write it: {error.strerror or error}"
        ) from None
    screen.say("written", f"{path} ({amount(path.stat().st_size)})", GREEN)


def time_ways(args, screen, note, image, gray, folder):
    def progress(round_, label):
        if screen.tty:
            screen.wipe()
            screen.out.write(f"  round {round_}: {label}\x1b[K")
            screen.out.flush()
            screen.drawn = True

    rgb, strip_rows = np.asarray(image), measures_of(image, 0)["strip_rows"]
    screen.line()
    screen.title("The same rows, sent to four workers in other ways")
    ways = []
    try:
        ways = timing.start(lambda: Crew(args.worker, LANGUAGES), 4, note)
        clocks = timing.measure(ways, rgb, gray, strip_rows, 12.0, progress)
    except (timing.WorkerDied, ValueError, NoWorkerLeft) as error:
        raise DemoError(f"timing: {error}") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.ENOMEM):
            raise no_room(Picture.sizes(*image.size)[1]) from None
        raise
    finally:
        for way in ways:
            way.close()
    for line in timing.table(clocks):
        screen.line("  " + line)
    rounds = len(clocks[timing.Alone.label])
    screen.line(
        f"  Medians of {rounds} rounds in turns (lowest to highest), times "
        "sooner than the queue;\n  every result equal to the last byte. "
        "Create, fill: what making the block and\n  writing it for the first "
        "time took before; shmkit uses 2 MiB pages where\n  the kernel has "
        "them."
    )
    picture = folder / "timing.png"
    title = f"{image.width} x {image.height} pixels turned grey"
    if timing.chart(clocks, title, picture):
        screen.say("drawn", str(picture), GREEN)


# ---- the end ----


def look(args, screen, note):
    """`shmkit ls`, and the proof that nothing there is ours."""
    screen.line()
    screen.title("$ shmkit ls")
    seen = subprocess.run([args.tool, "ls"], capture_output=True, text=True)
    names = subprocess.run(
        [args.tool, "ls", "--noheadings", "-o", "NAME"],
        capture_output=True,
        text=True,
    )
    if seen.returncode or names.returncode:
        raise DemoError(f"shmkit ls: {(seen.stderr + names.stderr).strip()}")
    there = names.stdout.split()
    left = sorted(set(there) & set(note.names))
    if left:
        screen.line(seen.stdout.rstrip())
        raise DemoError(f"left in /dev/shm: {', '.join(left)}")
    made = f"none of the {len(note.names)} blocks this demo made is left"
    if there:
        screen.line(seen.stdout.rstrip())
        screen.say("others", f"{made}; what is there belongs to others")
    else:
        screen.line("  (nothing)")
        screen.say("clean", made, GREEN)


def run(args, screen, note):
    check_programs(args)
    screen.title("shmkit demo: one photograph, one shared block, four workers")
    screen.line()
    original = load(args.photo)
    image = enlarge(original, args.size)
    grown = "" if image is original else (
        f", enlarged to {image.width} x {image.height}"
    )  # fmt: skip
    name = os.path.relpath(args.photo)
    screen.say(
        "photograph",
        f"{args.photo if name.startswith('..') else name}, "
        f"{original.width} x {original.height}{grown}",
    )
    output = args.output or Path("build/demo") / f"{args.photo.stem}-grey.png"
    gray = convert(args, screen, note, image)
    expected = check(screen, image, gray)
    write_png(screen, gray, output)
    if not args.no_timing:
        time_ways(args, screen, note, image, expected, output.parent)
    look(args, screen, note)


def main(argv=None):
    args, screen = options(argv), Screen()
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    note = Note()
    try:
        run(args, screen, note)
    except DemoError as error:
        screen.keep()
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        screen.keep()
        left = " ".join(note.left()) or "nothing"
        print(f"demo: stopped; left in /dev/shm: {left}", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:  # the reader of our output is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + signal.SIGPIPE
    return 0


if __name__ == "__main__":
    sys.exit(main())
