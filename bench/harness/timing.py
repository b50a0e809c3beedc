"""Timing in turns: what is compared is timed A, B, C, A, B, C, …, so that a slow minute of the machine falls on all.

Functions take turns within one process (`take_turns`). Libraries fix their number of threads when they are loaded:
each has a process of its own (`process`), and only one of these works at any time (`Entry`, `time_entries`).
"""

import math
import multiprocessing
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from harness.cases import Case, data, start
from harness.records import written
from harness.rivals import Begin, find

Ask = Callable[..., Any]
"""Takes a function of a module and its arguments, and returns what the function returns in another process."""

# Read by BLAS and OpenMP when they are loaded, which is why each number of threads has its own process.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
REST_SECONDS = 0.15


class RivalError(Exception):
    """A rival's process raised an error or ended."""


@contextmanager
def process(threads: int) -> Iterator[Ask]:
    """Start a process whose BLAS and OpenMP use that many threads; yields what has functions called there."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        with mock.patch.dict(os.environ, dict.fromkeys(THREAD_VARIABLES, str(threads))):
            pool.submit(os.getpid).result()  # The process starts with the first call.
        yield lambda function, *arguments: pool.submit(function, *arguments).result()


@contextmanager
def processes(threads: Mapping[Any, int]) -> Iterator[dict[Any, Ask]]:
    """Start a process per contender, with its number of threads; yields what has functions called in each."""
    with ExitStack() as stack:
        yield {contender: stack.enter_context(process(count)) for contender, count in threads.items()}


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns in a new process of one thread."""
    with process(threads=1) as ask:
        return ask(function, *arguments)


# ------------------------------------------------------------------------------------------ functions in turns


def seconds_of(action: Callable[[], Any], calls: int) -> float:
    """Return the seconds that some calls of a function take."""
    begun = time.perf_counter()
    for _ in range(calls):
        action()
    return time.perf_counter() - begun


def enough(seconds_for: Callable[[int], float], first: int, seconds: float) -> int:
    """Return how many calls, or epochs, take that many seconds, at least 1; `first` are tried first."""
    count, taken = first, seconds_for(first)
    if taken < seconds:  # The first calls paid for what is loaded and allocated late.
        taken = min(taken, seconds_for(first))
    while taken < seconds / 4:  # In a short run, what is paid once per run would be too large a part.
        count *= 4
        taken = seconds_for(count)
    return max(1, round(count * seconds / taken))


def take_turns(actions: Mapping[str, Callable[[], Any]], repeats: int, seconds: float) -> dict[str, list[float]]:
    """Time functions in turns; return by name the seconds of one call, one entry per timing of about `seconds`."""
    calls = {
        name: enough(lambda count, action=action: seconds_of(action, count), 1, seconds)
        for name, action in actions.items()
    }
    found: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(repeats):
        for name, action in actions.items():
            found[name].append(seconds_of(action, calls[name]) / calls[name])
    return found


# --------------------------------------------------------------------------------------------- rivals in turns

_begin: list[Begin] = []  # in a rival's process: the case that was prepared last


def prepare(rival_name: str, case: Case, threads: int | None) -> None:
    """Make a rival ready to train a case, in the rival's process."""
    _begin.clear()  # The last case's data is freed before the next data is made.
    _with_text(lambda: _begin.append(find(rival_name).prepare(case, *data(case), start(case), threads)))


def run(epochs: int) -> float:
    """Return the seconds that some epochs take, in the rival's process."""
    return _with_text(lambda: seconds_of(_begin[0](epochs), 1))


def _with_text(action: Callable[[], Any]) -> Any:
    """Raise what goes wrong as text, since other processes may not know a library's exceptions."""
    try:
        return action()
    except Exception:
        raise RivalError(traceback.format_exc()) from None


@dataclass
class Entry:
    """One rival on one case, and its timings so far."""

    case: Case
    rival_name: str
    threads: int | None = None  # None is as fastmlp chooses
    ask: Ask | None = None  # has functions called in the rival's process; None if it is not timed
    epochs: int = 0
    seconds: list[float] = field(default_factory=list)
    problem: str = ""

    @property
    def steps(self) -> int:
        """Training steps that a timing holds."""
        return self.epochs * self.case.steps_per_epoch

    @property
    def median_us(self) -> float:
        """Microseconds per step; infinite if it was not timed."""
        return statistics.median(self.seconds) / self.steps * 1e6 if self.seconds else math.inf

    @property
    def minimum_us(self) -> float:
        """Microseconds per step of the shortest timing; infinite if it was not timed."""
        return min(self.seconds) / self.steps * 1e6 if self.seconds else math.inf

    def columns(self) -> dict[str, Any]:
        """Return the columns of the record that hold the timings, empty if there are none."""
        return {
            "steps": self.steps if self.seconds else "",
            "median_us": written(self.median_us),
            "minimum_us": written(self.minimum_us),
        }

    def attempt(self, action: Callable[[], None]) -> None:
        """Call a function unless the entry has failed before; keep and print what goes wrong."""
        if self.problem:
            return
        try:
            action()
        except (RivalError, BrokenProcessPool) as error:
            self.problem = f"failed: {str(error).strip().splitlines()[-1]}"
            self.seconds.clear()
            print(f"{self.rival_name} failed on {self.case.name}:\n{error}", file=sys.stderr)

    def make_ready(self, seconds: float) -> None:
        """Prepare, warm up and find how many epochs fill that many seconds."""
        self.ask(prepare, self.rival_name, self.case, self.threads)
        first = -(-self.case.steps // self.case.steps_per_epoch)
        self.epochs = enough(lambda epochs: self.ask(run, epochs), first, seconds)


def time_entries(entries: Sequence[Entry], repeats: int, seconds: float) -> None:
    """Time rivals in turns, `repeats` times each; an entry that has a problem is passed over."""
    for entry in entries:
        entry.attempt(lambda entry=entry: entry.make_ready(seconds))
    for _ in range(repeats):
        for entry in entries:
            # A library's idle threads may spin for a tenth of a second before they sleep, on a core that the next
            # in turn wants.
            time.sleep(REST_SECONDS)
            entry.attempt(lambda entry=entry: entry.seconds.append(entry.ask(run, entry.epochs)))
