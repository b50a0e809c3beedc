"""Verify fastmlp against its reference, then time it and its rivals on the benchmark's cases.

    python bench/run.py [--check] [--cases xor,mnist] [--rivals numpy,jax] [--threads 1,all] [--repeats 5]
                        [--seconds 0.3] [--out FILE.csv]

Every rival runs in a process of its own for each number of threads, and only one works at any time: they take
turns (A, B, C, A, B, C, …), so that a slow minute of the machine falls on all. A timing is one call that
trains whole epochs; data, parameters and compilation are made ready before it. Imported by the tests only.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import datetime
import math
import multiprocessing
import os
import platform
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from cases import CASES, Case, data, start
from rivals import RIVALS, Begin, installed, network, train

import fastmlp
from fastmlp import _backend

RECORD = Path(__file__).parent / "record"
COLUMNS = (
    "case",
    "rival",
    "build",
    "dtype",
    "threads",
    "steps",
    "median_us",
    "minimum_us",
    "ratio_to_fastmlp",
    "note",
)
NOT_INSTALLED = "not installed"

# Read by BLAS and OpenMP when they are loaded, which is why each number of threads has its own process.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

# How far, relative to how far the reference's parameters moved, a build's may be from them after a few steps.
# Rounding alone makes 1e-5 in float32 and 1e-14 in float64. But where a relu's input is nothing but rounding, one
# of the two may let a row through and the other not: this changes all gradients of that neuron by a row's share.
# It was met, in float32, and made 0.7 % of the movement. And Adam, which divides each gradient by its own size,
# takes a step of full length in any direction where a gradient is nothing but rounding: about one gradient in
# 1/epsilon is, which makes sqrt(epsilon), 1e-8 in float64, of the movement.
MOVEMENT_TOLERANCE = {"float32": 1e-2, "float64": 1e-7}
# The loss and the gradient's norm are sums in which the rounding of many terms cancels: at most 6e-6 was met in
# float32, after such a relu, and 1e-15 in float64.
MEASURE_TOLERANCE = {"float32": 1e-4, "float64": 1e-12}
# Above this many parameters verification takes one step of few rows, which keeps it to seconds.
LARGE = 10_000_000


class MismatchError(Exception):
    """A build of fastmlp does not compute what the reference computes."""


class RivalError(Exception):
    """A rival's process raised an error or ended."""


# ---------------------------------------------------------------------------------------------- verification


def builds() -> list[str]:
    """Name the builds of the kernels that can be loaded here.

    Returns
    -------
    list of str
        Without the reference.

    Raises
    ------
    MismatchError
        If there is none, since there would be nothing to verify.
    """
    found = [name for name in _backend.available() if name != _backend.REFERENCE]
    if not found:
        raise MismatchError("no build of the kernels can be loaded here; only the reference is there")
    return found


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a few steps of training gave: parameters, and the last epoch's loss and gradient norm."""

    params: np.ndarray
    loss: float
    gradient_norm: float


def shortened(case: Case) -> tuple[Case, int]:
    """Cut a case down to what verification trains.

    Parameters
    ----------
    case : Case
        The case.

    Returns
    -------
    case : Case
        With two batches and a half of rows; with 64 rows if the network is large.
    epochs : int
        One, or three of a full batch, so that the optimizer's memory is at work.
    """
    parameters = sum(weights.size for weights, _ in start(case))
    if parameters > LARGE:
        return dataclasses.replace(case, rows=64, batch=64), 1
    if case.batch is None:
        return case, 3
    return dataclasses.replace(case, rows=min(case.rows, 2 * case.batch + case.batch // 2)), 1


def few_steps(case: Case, backend: str, threads: int) -> Trained:
    """Train a shortened case from its start.

    Parameters
    ----------
    case : Case
        The case, not yet shortened.
    backend : str
        A build of the kernels, or "reference".
    threads : int
        How many threads at most.

    Returns
    -------
    Trained
    """
    case, epochs = shortened(case)
    net = network(case, start(case), backend)
    train(net, case, *data(case), epochs, threads)
    return Trained(net.params.copy(), float(net.history.loss[-1]), float(net.history.gradient_norm[-1]))


def distance(case: Case, expected: Trained, trained: Trained) -> float:
    """Measure how far two trainings lie apart, relative to how far the expected one went.

    Parameters
    ----------
    case : Case
        The case that was trained.
    expected, trained : Trained
        The reference's result, and a build's.

    Returns
    -------
    float
    """
    begun = np.concatenate([array.ravel() for layer in start(case) for array in layer if array is not None])
    # In double, since a norm of millions of squares rounds visibly in single precision.
    apart, moved = (
        np.linalg.norm(np.subtract(expected.params, other, dtype=np.float64)) for other in (trained.params, begun)
    )
    return float(apart / moved)


def verify(case: Case, builds: Sequence[str], cores: int) -> str:
    """Check that every build trains a case as the reference does, with the same bits on one thread and more.

    Parameters
    ----------
    case : Case
        What is trained, for a few steps.
    builds : sequence of str
        The builds of the kernels that are checked.
    cores : int
        How many threads "all" are; at least two are tried.

    Returns
    -------
    str
        One line that says what was found.

    Raises
    ------
    MismatchError
        If parameters, loss or gradient norm differ by more than their tolerance, or a bit between threads.
    """
    expected = few_steps(case, "reference", 1)
    farthest = 0.0
    for build in builds:
        trained = few_steps(case, build, 1)
        farthest = max(farthest, apart := distance(case, expected, trained))
        tolerance = MOVEMENT_TOLERANCE[case.dtype]
        # Written so that a NaN fails too.
        if not apart <= tolerance:
            raise MismatchError(
                f"{case.name}, {build}: parameters are {apart:.2g} of the reference's movement away; "
                f"{tolerance:.0e} is allowed"
            )
        for measure in ("loss", "gradient_norm"):
            ours, theirs = getattr(trained, measure), getattr(expected, measure)
            if not math.isclose(ours, theirs, rel_tol=MEASURE_TOLERANCE[case.dtype]):
                raise MismatchError(f"{case.name}, {build}: {measure} is {ours!r}, expected {theirs!r}")
        threads = max(2, cores)
        if few_steps(case, build, threads).params.tobytes() != trained.params.tobytes():
            raise MismatchError(f"{case.name}, {build}: {threads} threads give other bits than one")
    return f"{case.name}: {', '.join(builds)} agree with the reference to {farthest:.1g} of its movement"


# ---------------------------------------------------------------------------------------------------- timing


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


def serve(connection: Connection, rival_name: str, threads: int) -> None:
    """Do a rival's work in a process of its own, when asked to.

    Parameters
    ----------
    connection : Connection
        Brings ("prepare", case name) or ("run", epochs), and None at the end; takes back (True, seconds of
        training or None) or (False, the error's text).
    rival_name : str
        A key of `RIVALS`.
    threads : int
        How many threads it may use.
    """
    begin: Begin | None = None
    while (request := connection.recv()) is not None:
        task, value = request
        try:
            if task == "prepare":
                begin = None  # The last case's data is let go before the next one's is made.
                case = CASES[value]
                begin = RIVALS[rival_name].prepare(case, *data(case), start(case), threads)
                connection.send((True, None))
            else:
                run = begin(value)
                begun = time.perf_counter()
                run()
                connection.send((True, time.perf_counter() - begun))
        except Exception:  # What goes wrong in a library is written into the record, and ends nothing else.
            connection.send((False, traceback.format_exc()))


class Worker:
    """A rival's process, which waits until it is asked.

    Parameters
    ----------
    rival_name : str
        A key of `RIVALS`.
    threads : int
        How many threads it may use.
    """

    def __init__(self, rival_name: str, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.rival_name = rival_name
        self.threads = threads
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, rival_name, threads), daemon=True)
        with thread_environment(threads):
            self._process.start()
        theirs.close()  # So that the pipe ends, and recv raises, when the process does.

    def ask(self, task: str, value: str | int) -> Any:
        """Have one thing done and wait for it.

        Parameters
        ----------
        task : {"prepare", "run"}
            What to do.
        value : str or int
            The case's name, or how many epochs.

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


@dataclasses.dataclass
class Entry:
    """One rival at one number of threads on one case, and its timings so far."""

    case: Case
    rival_name: str
    threads: int | str
    worker: Worker | None
    epochs: int = 0
    seconds: list[float] = dataclasses.field(default_factory=list)
    problem: str = ""

    @property
    def steps(self) -> int:
        """Training steps that a timing holds."""
        return self.epochs * self.case.steps_per_epoch

    @property
    def median_us(self) -> float:
        """Microseconds a step; infinite if it wasn't timed."""
        return statistics.median(self.seconds) / self.steps * 1e6 if self.seconds else math.inf

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
        self.worker.ask("prepare", self.case.name)
        epochs = -(-self.case.steps // self.case.steps_per_epoch)
        taken = self.worker.ask("run", epochs)
        if taken < seconds:  # The first run paid for what is loaded and allocated late.
            taken = min(taken, self.worker.ask("run", epochs))
        self.epochs = max(1, math.ceil(epochs * seconds / taken))

    def time(self) -> None:
        """Take one timing."""
        self.seconds.append(self.worker.ask("run", self.epochs))

    def row(self, best: float) -> dict[str, Any]:
        """Make the record's row.

        Parameters
        ----------
        best : float
            Microseconds a step of fastmlp at its best number of threads; infinite if it wasn't timed.

        Returns
        -------
        dict
            One value for each of `COLUMNS`; "" where nothing was measured.
        """
        rival = RIVALS[self.rival_name]
        timed = bool(self.seconds)
        return {
            "case": self.case.name,
            "rival": self.rival_name,
            "build": "" if self.problem == NOT_INSTALLED else rival.build(),
            "dtype": self.case.dtype,
            "threads": self.threads,
            "steps": self.steps if timed else "",
            "median_us": f"{self.median_us:.5g}" if timed else "",
            "minimum_us": f"{min(self.seconds) / self.steps * 1e6:.5g}" if timed else "",
            "ratio_to_fastmlp": f"{self.median_us / best:.4g}" if timed and math.isfinite(best) else "",
            "note": self.problem or rival.note(self.case),
        }


def time_case(
    case: Case, workers: Sequence[Worker], missing: Sequence[str], repeats: int, seconds: float
) -> list[dict[str, Any]]:
    """Time a case on every rival in turns.

    Parameters
    ----------
    case : Case
        The case.
    workers : sequence of Worker
        The rivals that are installed.
    missing : sequence of str
        The names of those that are not; they get a row that says so.
    repeats : int
        Timings of each.
    seconds : float
        About how long a timing takes; longer if one epoch does.

    Returns
    -------
    list of dict
        The record's rows.
    """
    entries = [Entry(case, worker.rival_name, worker.threads, worker) for worker in workers]
    for entry in entries:
        entry.attempt(lambda entry=entry: entry.make_ready(seconds))
    for _ in range(repeats):
        for entry in entries:
            entry.attempt(entry.time)
    best = min((entry.median_us for entry in entries if entry.rival_name == "fastmlp"), default=math.inf)
    entries += [Entry(case, name, "", None, problem=NOT_INSTALLED) for name in missing]
    return [entry.row(best) for entry in entries]


# ------------------------------------------------------------------------------------------------ the record


def cpu_name() -> str:
    """Name the CPU's model, as far as the system tells it.

    Returns
    -------
    str
    """
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def header(options: argparse.Namespace, command: str) -> dict[str, str]:
    """Say where, when and with what the record was made.

    Parameters
    ----------
    options : argparse.Namespace
        The command line's.
    command : str
        The command line itself.

    Returns
    -------
    dict
        Stands above the record's rows, one "# name: value" a line.
    """
    versions = [f"Python {platform.python_version()}", f"fastmlp {fastmlp.__version__}"]
    versions += [rival.build() for name, rival in RIVALS.items() if name != "fastmlp" and installed(rival)]
    system = f"{platform.system()} {platform.machine()}"
    return {
        "date": datetime.datetime.now().isoformat(sep=" ", timespec="minutes"),
        "machine": f"{cpu_name()}, {_backend.usable_cpus()} cores, {system}",
        "versions": ", ".join(versions),
        "command": command,
        "timing": f"median of {options.repeats} timings taken in turns; threads of BLAS and OpenMP set by "
        "environment variables, PyTorch's also by set_num_threads; XLA chooses its own",
    }


def write(path: Path, about: dict[str, str], rows: Sequence[dict[str, Any]]) -> None:
    """Write a record.

    Parameters
    ----------
    path : Path
        The CSV file; its folder is made if need be.
    about : dict
        As from `header`.
    rows : sequence of dict
        As from `time_case`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        file.writelines(f"# {name}: {value}\n" for name, value in about.items())
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def show(case: Case, rows: Sequence[dict[str, Any]]) -> None:
    """Print a case's rows as a table.

    Parameters
    ----------
    case : Case
        The case.
    rows : sequence of dict
        As from `time_case`.
    """
    print(f"\n{case.name}: {case.question}\n  {case.shape}, {case.dtype}; microseconds a step")
    print(f"  {'rival':<14}{'threads':>8}{'steps':>10}{'median':>12}{'minimum':>12}{'ratio':>9}  note")
    for row in rows:
        print(
            f"  {row['rival']:<14}{row['threads']:>8}{row['steps']:>10}{row['median_us']:>12}"
            f"{row['minimum_us']:>12}{row['ratio_to_fastmlp']:>9}  {row['note']}"
        )


# ------------------------------------------------------------------------------------------ the command line


def names(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Make the parser of a comma-separated list of names.

    Parameters
    ----------
    known : sequence of str
        The names that are accepted.

    Returns
    -------
    callable
        Takes the text, returns the names in the order of `known`.
    """

    def read(text: str) -> list[str]:
        given = text.split(",")
        if unknown := [name for name in given if name not in known]:
            raise argparse.ArgumentTypeError(f"got {', '.join(unknown)}; known are {', '.join(known)}")
        return [name for name in known if name in given]

    return read


def thread_counts(text: str) -> list[int]:
    """Parse the numbers of threads, "all" being the CPUs that this process may use.

    Parameters
    ----------
    text : str
        Comma-separated, e.g. "1,all".

    Returns
    -------
    list of int
        Rising, each once.
    """
    try:
        counts = {_backend.usable_cpus() if part == "all" else int(part) for part in text.split(",")}
    except ValueError:
        counts = {0}
    if min(counts) < 1:
        raise argparse.ArgumentTypeError(f'got {text}; expected whole numbers from 1 on or "all", e.g. 1,all')
    return sorted(counts)


def positive(kind: type) -> Callable[[str], Any]:
    """Make the parser of a positive number of a kind.

    Parameters
    ----------
    kind : type
        int or float.

    Returns
    -------
    callable
    """

    def read(text: str) -> Any:
        value = kind(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"got {text}; expected a positive number")
        return value

    return read


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line.

    Parameters
    ----------
    arguments : sequence of str
        Without the program's name.

    Returns
    -------
    argparse.Namespace
    """
    parser = argparse.ArgumentParser(description="Verify fastmlp, then time it and its rivals.")
    others = [name for name in RIVALS if name != "fastmlp"]
    add = parser.add_argument
    add("--check", action="store_true", help="verify only")
    add("--cases", type=names(list(CASES)), default=list(CASES), metavar="A,B", help=", ".join(CASES))
    add("--rivals", type=names(others), default=others, metavar="A,B", help=", ".join(others))
    add("--threads", type=thread_counts, default="1,all", help="numbers of threads (default 1,all)")
    add("--repeats", type=positive(int), default=5, help="timings of each (default 5)")
    add("--seconds", type=positive(float), default=0.3, help="about how long a timing takes (default 0.3)")
    add("--out", type=Path, help="the record (default bench/record/DATE-BUILD-CORES-cores.csv)")
    return parser.parse_args(arguments)


def command(arguments: Sequence[str]) -> str:
    """Write the command line down, without where its record goes.

    Parameters
    ----------
    arguments : sequence of str
        Without the program's name.

    Returns
    -------
    str
    """
    kept = [
        argument
        for before, argument in zip(["", *arguments], arguments, strict=False)
        if before != "--out" and not argument.startswith("--out")
    ]
    return " ".join(["python bench/run.py", *kept])


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Time the cases that were asked for, and print each as it is done.

    Parameters
    ----------
    options : argparse.Namespace
        The command line's.

    Returns
    -------
    list of dict
        The record's rows.
    """
    chosen = ["fastmlp", *options.rivals]
    missing = [name for name in chosen if not installed(RIVALS[name])]
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        workers = []
        for name in chosen:
            counts = options.threads if RIVALS[name].sets_threads else [_backend.usable_cpus()]
            for threads in counts if name not in missing else []:
                workers.append(worker := Worker(name, threads))
                stack.callback(worker.close)
        for case in map(CASES.get, options.cases):
            timed = time_case(case, workers, missing, options.repeats, options.seconds)
            show(case, timed)
            rows += timed
    return rows


def main(arguments: Sequence[str]) -> int:
    """Verify, time and write the record.

    Parameters
    ----------
    arguments : sequence of str
        Without the program's name.

    Returns
    -------
    int
        0, or 1 if a build is wrong.
    """
    options = parse(arguments)
    try:
        for name in options.cases:
            print(verify(CASES[name], builds(), _backend.usable_cpus()), flush=True)
    except MismatchError as error:
        print(f"wrong: {error}", file=sys.stderr)
        return 1
    if options.check:
        return 0
    about = header(options, command(arguments))
    rows = measure(options)
    build = RIVALS["fastmlp"].build()
    path = options.out or RECORD / f"{about['date'][:10]}-{build}-{_backend.usable_cpus()}-cores.csv"
    write(path, about, rows)
    print(f"\nwritten: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
