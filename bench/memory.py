"""Measure what training takes in memory, and compare it with its bounds.

    python bench/memory.py [--small] [--out FILE.csv]

Four questions, each in processes of its own: is X copied, does the peak over X and y stay within the workspace and
four times the parameters, does resident memory stay flat over many training runs, does the loop allocate. Exits with 1
if a bound is broken. Linux only: the system's own counts of resident memory are read from /proc. The tests ask the
same at small sizes.
"""

import argparse
import ctypes
import dataclasses
import resource
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import builds
from harness.cases import CASES, Case, data, regression, start
from harness.options import Script
from harness.records import Record, Row
from harness.rivals import network, train
from harness.timing import alone

import fastmlp

KIB, MIB = 1 << 10, 1 << 20

# Objects of Python beside the numbers: the layout, the history, the network.
OBJECTS = 64 * KIB
# What a process takes besides: the stacks of threads, arenas of the allocator, code that is loaded late, and the
# kernel's count, of which each thread keeps up to 64 pages of 4 KiB to itself: 512 KiB for two threads. The arrays
# that the bounds are about are many times as large.
SLACK = 2 * MIB
# Room left for a process that must not copy X: the stack that a thread reserves is 8 MiB by itself.
ROOM = 48 * MIB
# A thousand training runs that each lost 512 bytes, one small object, would show.
FLAT = 512 * KIB
TRAININGS = (100, 1000)
# What an epoch leaves in the history, with the copies while histories are joined: some thirty numbers.
EPOCH_BYTES = 256

HIGH_WATER = Path("/proc/self/clear_refs")  # "5" written into it resets the high-water mark


# --------------------------------------------------------------------------------------------------- measuring


def status(field: str) -> int:
    """Return the bytes that the system counts for this process under a name of /proc/self/status."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (value,) = (line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return int(value) * KIB


def peak_over(action: Callable[[], Any]) -> int:
    """Return the bytes by which resident memory rises while a function runs, which must not touch mapped files."""
    # What was freed before goes back to the system, if the C library offers that: otherwise it would be used again,
    # and nothing would rise.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    # The system's own high-water mark, set back to now: sampling could miss the peak.
    HIGH_WATER.write_text("5", encoding="ascii")
    before = status("VmRSS")
    action()
    return status("VmHWM") - before


def traced_peak(action: Callable[[], Any]) -> int:
    """Return the bytes that Python, NumPy and the kernels allocate while a function runs, at the peak."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# ----------------------------------------------------------------------------------------------- the questions


def train_on_file(path: Path, rows: int, columns: int, dtype: str = "float32") -> dict[str, int]:
    """Train on a mapped, read-only file of numbers when there is no room for a copy; MemoryError if one is needed."""
    case = regression((columns, 16, 1), 256, rows)
    X = np.memmap(path, dtype, "r", shape=(rows, columns))
    y = np.random.default_rng(0).standard_normal((rows, 1), dtype=np.float32)
    net = network(case, start(case))
    train(net, case, X[:1000], y[:1000], 1, 2)  # Threads and code are there before it is counted.
    # Writable memory of one's own, allocated in whatever way; the file's pages don't count.
    limit = status("VmData") + ROOM + y.nbytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    before = status("RssAnon")  # resident memory that is no file's
    train(net, case, X, y, 1, 2)
    return {"risen": status("RssAnon") - before, "room": ROOM + y.nbytes}


def not_copied(folder: Path, size: int) -> Row:
    """Check that X, a file of more than `ROOM` bytes made in a folder, is not copied; return the record's row."""
    columns = 64
    rows = size // (4 * columns)
    path = folder / "X.float32"
    with path.open("wb") as file:  # In parts, so that this process doesn't hold it either.
        for first in range(0, rows, 65_536):
            shape = min(65_536, rows - first), columns
            np.random.default_rng(first).standard_normal(shape, np.float32).tofile(file)
    found = alone(train_on_file, path, rows, columns)
    # Of each row, its target, its place in the shuffled order and the coded target are there besides.
    return row_of("X is not copied", f"X of {size // MIB} MiB, mapped, read-only", found["risen"], found["room"])


def workspace_bytes(case: Case, training: Callable[[], Any]) -> int:
    """Train once more, and return the bytes that the training run lays out for itself before its first step."""
    plan = builds.laid_out(training)
    shuffled = case.batch is not None and case.batch < case.rows
    per_row = 4 * (shuffled + case.labelled)  # the order of shuffled rows, the codes of labels
    return plan.workspace * np.dtype(case.dtype).itemsize + plan.tallies * 8 + per_row * case.rows


def peak_of(case: Case, threads: int) -> dict[str, int]:
    """Measure in bytes the peak of making and training a network, in this process, over its data."""
    X, y = data(case)
    options = {name: getattr(case, name) for name in ("activation", "loss", "optimizer", "learning_rate", "dtype")}
    options |= {"hidden": case.sizes[1:-1], "epochs": 2, "seed": 0, "n_threads": threads}
    options |= {"batch_size": "full" if case.batch is None else case.batch, "shuffle": case.batch is not None}
    fastmlp.train(X[:64], y[:64], **options | {"hidden": (2,)})  # Threads and code are there before it is counted.

    def training() -> fastmlp.Network:
        return fastmlp.train(X, y, **options)

    risen, traced = peak_over(training), traced_peak(training)
    workspace, parameters = workspace_bytes(case, training), training().params.nbytes
    return {"workspace": workspace, "parameters": parameters, "risen": risen, "traced": traced}


def within_workspace(case: Case, threads: int) -> list[Row]:
    """Check that the peak over X and y is at most the workspace, four times the parameters and the snapshots."""
    found = alone(peak_of, case, threads)
    parameters = found["parameters"]
    # the parameters, their gradient and two of the optimizer's state; then what a divergence goes back to
    bound = found["workspace"] + 4 * parameters + builds.kept_bytes(parameters, 2 * parameters)
    of_what = f"{case.name}, {case.optimizer}, {case.dtype}, {counted(threads)}"
    parts = f"workspace {found['workspace'] / MIB:.2f} MiB, parameters {parameters / MIB:.2f} MiB"
    return [
        row_of("peak over X and y, allocated", of_what, found["traced"], bound + OBJECTS, parts),
        row_of("peak over X and y, resident", of_what, found["risen"], bound + SLACK, parts),
    ]


def risen_over_trainings(first: int, then: int, threads: int) -> int:
    """Train small networks `first` times, `then` times more, and return the bytes that stay of the latter."""
    case = regression((4, 8, 2), 16, 64)
    X, y = data(case)

    def trainings(count: int) -> int:
        for number in range(count):
            fastmlp.train(X, y, hidden=(8,), batch_size=16, epochs=2, seed=number, n_threads=threads).predict(X)
        return status("RssAnon")

    before = trainings(first)
    return trainings(then) - before


def flat(trainings: tuple[int, int], threads: int) -> Row:
    """Check that memory stays flat over many training runs, some before it is counted and the rest after that."""
    first, then = trainings
    risen = alone(risen_over_trainings, first, then, threads)
    of_what = f"from {first} to {first + then} trainings, {counted(threads)}"
    return row_of("resident memory is flat", of_what, risen, FLAT)


def peaks_over_epochs(epochs: tuple[int, int]) -> list[int]:
    """Return the bytes that are allocated at the peak of a short and of a long training run of the same network."""
    case = regression((20, 300, 2), 64, 1000)
    X, y = data(case)

    def once(count: int) -> None:
        train(network(case, start(case)), case, X, y, count, 1)

    once(2)
    return [traced_peak(lambda count=count: once(count)) for count in epochs]


def nothing_in_the_loop(epochs: tuple[int, int]) -> Row:
    """Check that the loop does not allocate: more epochs take no more memory than their history."""
    short, long = alone(peaks_over_epochs, epochs)
    # Ten kilobytes are objects of Python that come and go; an array per batch, kept, would be hundreds of kilobytes.
    bound = (epochs[1] - epochs[0]) * EPOCH_BYTES + 10 * KIB
    return row_of("nothing is allocated in the loop", f"from {epochs[0]} to {epochs[1]} epochs", long - short, bound)


# -------------------------------------------------------------------------------------------------- the record


def counted(threads: int) -> str:
    """Return a number of threads in words."""
    return f"{threads} thread{'s' if threads > 1 else ''}"


def row_of(question: str, of_what: str, measured: int, bound: int, note: str = "") -> Row:
    """Return a row of the record: what was asked of what, the bytes that were measured and those that are allowed."""
    return {
        "question": question,
        "of": of_what,
        "measured_bytes": measured,
        "bound_bytes": bound,
        "kept": "yes" if measured <= bound else "no",
        "note": note,
    }


def show(row: Row) -> None:
    """Print a row."""
    sizes = f"{row['measured_bytes'] / MIB:>10.3f} of at most {row['bound_bytes'] / MIB:>10.3f} MiB"
    broken = "" if row["kept"] == "yes" else "  BROKEN"
    print(f"{row['question']:<34}{sizes}  {row['of']}; {row['note']}{broken}", flush=True)


def cases(small: bool) -> list[tuple[Case, int]]:
    """Return the networks whose peaks are measured, and on how many threads; of small ones, it takes seconds."""
    large = (64, 1024, 1024, 8), 64, 1024
    found = [
        (regression(*large), 1),
        (regression(*large, optimizer="sgd", dtype="float64"), 2),
        (regression((8, 64, 4), 200_000, 200_000), 1),
    ]
    if small:
        return found
    wide64 = dataclasses.replace(CASES["wide"], name="wide, but", dtype="float64", optimizer="adam")
    labels = regression((8, 64, 4), 256, 1_000_000, loss="cross_entropy", output="softmax")
    labels = dataclasses.replace(labels, name="many labels")
    return [*found, *((CASES[name], 2) for name in ("mnist", "higgs", "wide")), (wide64, 1), (labels, 1)]


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--small", action="store_true", help="only what is done in seconds")


def run(given: argparse.Namespace, record: Record) -> int:
    """Measure and print; return 1 if a bound is broken or nothing can be measured."""
    if not HIGH_WATER.exists():
        print(f"memory.py needs {HIGH_WATER}, which only Linux has", file=sys.stderr)
        return 1
    record.describe("bytes; of the whole process as the system counts them, or as tracemalloc counts allocations")

    def keep(*rows: Row) -> None:
        for row in rows:
            show(row)
            record.rows.append(row)

    with tempfile.TemporaryDirectory() as folder:
        keep(not_copied(Path(folder), (128 if given.small else 1024) * MIB))
    for case, threads in cases(given.small):
        keep(*within_workspace(case, threads))
    for threads in (1, 2):
        keep(flat(TRAININGS, threads))
    keep(nothing_in_the_loop((1, 100)))
    return int(any(row["kept"] == "no" for row in record.rows))


SCRIPT = Script(__doc__, run, "memory", options=options)

if __name__ == "__main__":
    sys.exit(SCRIPT.main())
