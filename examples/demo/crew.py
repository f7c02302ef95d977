# SPDX-License-Identifier: MIT
"""The workers of the demo, seen from the driver.

A Crew starts worker processes, in C (gray_worker.c) and in Python (gray.py),
hands out strips one at a time through pipes, and keeps the books as told at
the head of gray_worker.c.  A worker that dies, however, is known by the end
of its pipe and by waitpid(); the strips that the books show as its own are
given to others.  Nothing here waits by the clock for proof of anything.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
from collections import deque

from gray import DONE, PID, TAKEN


class NoWorkerLeft(Exception):
    """All workers are dead and the work is not done."""


@contextlib.contextmanager
def sigint_held():
    """Block Ctrl-C meanwhile: a process started here has it blocked for good.

    The driver alone answers the keyboard; its workers end with their pipes.
    """
    old = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


class Worker:
    """One worker process and the two pipes to it."""

    def __init__(self, language, letter, command, slot):
        self.language, self.letter, self.slot = language, letter, slot
        self.strip = None  # what it is at, None: idle
        self.alive = True
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.pid = self.process.pid

    def __str__(self):
        return f"{self.letter} ({self.language}, {self.pid})"

    def send(self, order):
        """False when there is nobody to read it any more."""
        try:
            self.process.stdin.write(order.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return False
        return True

    def hear(self):
        """The answer to the last order, or None: the worker is dead."""
        line = self.process.stdout.readline()
        return line.decode().strip() if line.endswith(b"\n") else None

    def bury(self):
        """Wait for the end, which has begun; how it ended, in words."""
        self.alive = False
        self.strip = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=2)
        self.process.kill()  # closed its pipe, but lives? No longer.
        status = self.process.wait()
        words = self.process.stderr.read().decode(errors="replace").split()
        how = f"signal {-status}" if status < 0 else f"status {status}"
        return " ".join([how + ":", *words] if words else [how])

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


class Crew:
    """Some workers, and one job at a time for them to share."""

    def __init__(self, c_worker, languages):
        here = os.path.dirname(os.path.abspath(__file__))
        python = [sys.executable, os.path.join(here, "gray.py")]
        commands = {"C": [c_worker], "Python": python}
        letters = {"C": list("ABCD"), "Python": list("PQRS")}
        self.workers, self.selector = [], selectors.DefaultSelector()
        try:
            for slot, language in enumerate(languages):
                letter = letters[language].pop(0)
                self.add(Worker(language, letter, commands[language], slot))
        except BaseException:
            self.close()
            raise

    def add(self, worker):
        self.workers.append(worker)
        self.selector.register(
            worker.process.stdout, selectors.EVENT_READ, worker
        )

    def living(self):
        return [worker for worker in self.workers if worker.alive]

    def close(self):
        """End all workers.  Also right when only some were started."""
        for worker in self.workers:
            worker.close()
        self.selector.close()

    def begin(self, image_name, books_name, books):
        """Have every worker attach to both blocks.  Waits for all of them."""
        self.books = books
        self.free = deque(range(books.strips))
        self.lost = {}  # strip -> the worker that died in it
        self.deaths = []  # (worker, how it ended), in order
        names = f"{image_name} {books_name}"
        self.ask(lambda worker: f"job {names} {worker.slot}", "ready")

    def run(self, watch=None):
        """Do the whole job.  watch() is called often, and may kill."""
        while self.undone():
            self.feed()
            for key, _ in self.selector.select(0.04 if watch else None):
                self.answer(key.data)
            if watch is not None:
                watch()

    def end(self):
        """Have every worker let go of the blocks."""
        self.ask(lambda worker: "leave", "left")

    def ask(self, order, answer):
        """The same order to all at once.  Who answers otherwise is buried."""
        for worker in self.living():
            worker.send(order(worker))
        for worker in self.living():
            if worker.hear() != answer:
                self.bury(worker)

    def undone(self):
        return any(int(word) < DONE for word in self.books.claims)

    def feed(self):
        """Give a strip to everyone who has none."""
        for worker in self.living():
            if worker.strip is None and self.free:
                worker.strip = self.free.popleft()
                self.books.claims[worker.strip] = TAKEN | worker.pid
                if not worker.send(f"strip {worker.strip}"):
                    self.bury(worker)
        if not self.living():
            raise NoWorkerLeft(self.deaths[-1][1])

    def answer(self, worker):
        if worker.hear() == f"done {worker.strip}":
            worker.strip = None
        else:
            self.bury(worker)

    def bury(self, worker):
        """Note a death; what the dead one had and did not do is free again."""
        self.selector.unregister(worker.process.stdout)
        self.deaths.append((worker, worker.bury()))
        for strip, word in enumerate(self.books.claims):
            if int(word) == TAKEN | worker.pid:
                self.books.claims[strip] = 0
                self.free.appendleft(strip)
                self.lost[strip] = worker

    def kill_inside(self, worker):
        """SIGKILL a worker in the middle of a strip, and not at its ends.

        The worker is stopped first: then its place cannot move between the
        look and the kill.  Returns (strip, rows done, rows in all), or None
        if it was not inside one; it then goes on as if nothing had been.
        """
        if not worker.alive or worker.strip is None:
            return None
        os.kill(worker.pid, signal.SIGSTOP)
        seen = os.waitid(
            os.P_PID, worker.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT
        )
        place = int(self.books.places[worker.slot])
        strip, done = place >> 32, place & PID
        first, last = self.books.rows_of(worker.strip)
        if seen.si_code == os.CLD_STOPPED:
            if strip == worker.strip and 0 < done < last - first:
                os.kill(worker.pid, signal.SIGKILL)
                return strip, done, last - first
            os.kill(worker.pid, signal.SIGCONT)
        return None

    def doer(self, strip):
        """The worker that did a strip."""
        pid = int(self.books.claims[strip]) & PID
        return next(w for w in self.workers if w.pid == pid)
