"""Timing in turns: what is compared is timed A, B, C, A, B, C, …, so that a slow minute of the machine falls on all.

Functions take turns within one process (`take_turns`); libraries whose number of threads is fixed when they are
loaded each have a process of their own, and only one of these works at any time (`Worker`, `Entry`).
Imports the cases and the rivals; imported by the scripts of bench/ that measure.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from cases import Case, data, start
from rivals import Begin, find

from fastmlp import _backend

NOT_INSTALLED = "not installed"

# Read by BLAS and OpenMP when they are loaded, which is why each number of threads has its own process.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class RivalError(Exception):
    """A rival's process raised an error or ended."""


@contextmanager
def thread_environment(threads: int) -> Iterator[None]:
    """Let processes that are started within use that many threads in BLAS and OpenMP.

    Parameters
    ----------
    threads : int
        How many.
    """
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def process(threads: int) -> Iterator[Callable[..., Any]]:
    """Have functions called in a new process, whose BLAS and OpenMP use that many threads.

    Parameters
    ----------
    threads : int
        How many.

    Yields
    ------
    callable
        Takes a function of a module, and its arguments; returns what the function returns. All calls go to the
        same process.
    """
    # Variables, since BLAS has long been loaded here. The process starts with the first call.
    context = multiprocessing.get_context("spawn")
    with thread_environment(threads), ProcessPoolExecutor(1, mp_context=context) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result()


# ------------------------------------------------------------------------------------------ functions in turns


def seconds_of(action: Callable[[], Any], calls: int) -> float:
    """Time some calls of a function.

    Parameters
    ----------
    action : callable
        The function.
    calls : int
        How often it is called.

    Returns
    -------
    float
        Seconds of all calls.
    """
    begun = time.perf_counter()
    for _ in range(calls):
        action()
    return time.perf_counter() - begun


def enough(seconds_for: Callable[[int], float], first: int, seconds: float) -> int:
    """Find how many calls, or epochs, take that many seconds.

    Parameters
    ----------
    seconds_for : callable
        Takes a number of calls, makes them and returns their seconds.
    first : int
        The number to begin with.
    seconds : float
        How long.

    Returns
    -------
    int
        At least 1.
    """
    count, taken = first, seconds_for(first)
    if taken < seconds:  # The first calls paid for what is loaded and allocated late.
        taken = min(taken, seconds_for(first))
    while taken < seconds / 4:  # Of a short run, what is paid once a run would be a part too large.
        count *= 4
        taken = seconds_for(count)
    return max(1, round(count * seconds / taken))


def take_turns(actions: Mapping[str, Callable[[], Any]], repeats: int, seconds: float) -> dict[str, list[float]]:
    """Time functions in turns.

    Parameters
    ----------
    actions : mapping
        The functions, by name.
    repeats : int
        Timings of each.
    seconds : float
        About how long a timing takes; longer if one call does.

    Returns
    -------
    dict
        For each name the seconds of one call, one entry a timing.
    """
    calls = {name: enough(lambda count, action=action: seconds_of(action, count), 1, seconds)
             for name, action in actions.items()}
    found: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(repeats):
        for name, action in actions.items():
            found[name].append(seconds_of(action, calls[name]) / calls[name])
    return found


# --------------------------------------------------------------------------------------------- rivals in turns


def serve(connection: Connection, rival_name: str, threads: int | None) -> None:
    """Do a rival's work in a process of its own, when asked to.

    Parameters
    ----------
    connection : Connection
        Brings ("prepare", Case) or ("run", epochs), and None at the end; takes back (True, seconds of training
        or None) or (False, the error's text).
    rival_name : str
        As `rivals.find` knows it.
    threads : int or None
        How many threads it may use; None leaves the choice to the library.
    """
    begin: Begin | None = None
    while (request := connection.recv()) is not None:
        task, value = request
        try:
            if task == "prepare":
                begin = None  # The last case's data is let go before the next one's is made.
                begin = find(rival_name).prepare(value, *data(value), start(value), threads)
                connection.send((True, None))
            else:
                connection.send((True, seconds_of(begin(value), 1)))
        except Exception:  # What goes wrong in a library is written into the record, and ends nothing else.
            connection.send((False, traceback.format_exc()))


class Worker:
    """A rival's process, which waits until it is asked.

    Parameters
    ----------
    rival_name : str
        As `rivals.find` knows it.
    threads : int or None
        How many threads it may use; None leaves the choice, up to all CPUs, to the library.
    """

    def __init__(self, rival_name: str, threads: int | None) -> None:
        context = multiprocessing.get_context("spawn")
        self.rival_name = rival_name
        self.threads = threads
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, rival_name, threads), daemon=True)
        with thread_environment(threads or _backend.usable_cpus()):
            self._process.start()
        theirs.close()  # So that the pipe ends, and recv raises, when the process does.

    def ask(self, task: str, value: Case | int) -> Any:
        """Have one thing done and wait for it.

        Parameters
        ----------
        task : {"prepare", "run"}
            What to do.
        value : Case or int
            The case, or how many epochs.

        Returns
        -------
        float or None
            Seconds that the epochs took.

        Raises
        ------
        RivalError
            With the error's text.
        """
        try:
            self._connection.send((task, value))
            done, answer = self._connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise RivalError(f"its process ended, exit code {self._process.exitcode}") from error
        if not done:
            raise RivalError(answer)
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process.is_alive():
            self._connection.send(None)
            self._process.join()


@dataclass
class Entry:
    """One rival at one number of threads on one case, and its timings so far."""

    case: Case
    rival_name: str
    threads: int | str
    worker: Worker | None
    epochs: int = 0
    seconds: list[float] = field(default_factory=list)
    problem: str = ""

    @property
    def steps(self) -> int:
        """Training steps that a timing holds."""
        return self.epochs * self.case.steps_per_epoch

    @property
    def median_us(self) -> float:
        """Microseconds a step; infinite if it wasn't timed."""
        return statistics.median(self.seconds) / self.steps * 1e6 if self.seconds else math.inf

    @property
    def minimum_us(self) -> float:
        """Microseconds a step of the shortest timing; infinite if it wasn't timed."""
        return min(self.seconds) / self.steps * 1e6 if self.seconds else math.inf

    def attempt(self, action: Callable[[], None]) -> None:
        """Do something unless it has failed before; keep and show what goes wrong."""
        if self.problem:
            return
        try:
            action()
        except RivalError as error:
            self.problem = f"failed: {str(error).strip().splitlines()[-1]}"
            self.seconds.clear()
            print(f"{self.rival_name} failed on {self.case.name}:\n{error}", file=sys.stderr)

    def make_ready(self, seconds: float) -> None:
        """Prepare, warm up and find how many epochs fill that many seconds."""
        self.worker.ask("prepare", self.case)
        first = -(-self.case.steps // self.case.steps_per_epoch)
        self.epochs = enough(lambda epochs: self.worker.ask("run", epochs), first, seconds)

    def time(self) -> None:
        """Take one timing."""
        self.seconds.append(self.worker.ask("run", self.epochs))


REST_SECONDS = 0.15


def time_entries(entries: Sequence[Entry], repeats: int, seconds: float) -> None:
    """Time rivals in turns; their entries keep the timings.

    Parameters
    ----------
    entries : sequence of Entry
        What is timed; an entry that has a problem is passed over.
    repeats : int
        Timings of each.
    seconds : float
        About how long a timing takes; longer if one epoch does.
    """
    for entry in entries:
        entry.attempt(lambda entry=entry: entry.make_ready(seconds))
    for _ in range(repeats):
        for entry in entries:
            # A library's idle threads may spin for a tenth of a second before they sleep, on a core that the next
            # in turn wants.
            time.sleep(REST_SECONDS)
            entry.attempt(entry.time)


def written(value: float, digits: int = 5) -> str:
    """Write a measurement for a record.

    Parameters
    ----------
    value : float
        The number; infinite or NaN where nothing was measured.
    digits : int, default 5
        Significant digits.

    Returns
    -------
    str
        "" where nothing was measured.

    Examples
    --------
    >>> written(123.456789), written(math.inf)
    ('123.46', '')
    """
    return f"{value:.{digits}g}" if math.isfinite(value) else ""
