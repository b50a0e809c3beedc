"""Measure what training takes in memory, and hold it against its bounds.

    python bench/memory.py [--small] [--out FILE.csv]

Four questions, each in processes of its own: is X copied, does the peak over X and y stay within the workspace and
four times the parameters, does resident memory stay flat over many trainings, does the loop allocate. Exits with 1
if a bound is broken. Linux only: the system's own counts of resident memory are read from /proc. Imported by the
tests, which ask the same at small sizes.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import resource
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from cases import CASES, Case, data, regression, start
from options import command, record_parser
from records import header, write
from rivals import network, train
from timing import process

from fastmlp import _layout
from fastmlp.divergence import kept_bytes

KIB, MIB = 1 << 10, 1 << 20

# Objects of Python beside the numbers: the layout, the history, the network.
OBJECTS = 64 * KIB
# What a process takes besides: the stacks of threads, arenas of the allocator, code that is loaded late, and the
# kernel's count, which each thread keeps to itself up to 64 pages of 4 KiB: 512 KiB for two threads. The arrays that
# are looked for are many times as large.
SLACK = 2 * MIB
# Room left for a process that must not copy X: the stack that a thread reserves is 8 MiB by itself.
ROOM = 48 * MIB
# A thousand trainings that each lost 512 bytes, one small object, would show.
FLAT = 512 * KIB
TRAININGS = (100, 1000)

HIGH_WATER = Path("/proc/self/clear_refs")  # "5" written into it sets the high-water mark back

Row = dict[str, Any]


# --------------------------------------------------------------------------------------------------- measuring


def status(field: str) -> int:
    """Read one of the system's counts of this process's memory.

    Parameters
    ----------
    field : str
        A name of /proc/self/status, e.g. "RssAnon" (resident memory that is no file's) or "VmHWM" (the most that
        was resident).

    Returns
    -------
    int
        Bytes.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (value,) = (line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return int(value) * KIB


def peak_over(action: Callable[[], Any]) -> int:
    """Call a function and measure how far resident memory rises meanwhile.

    Parameters
    ----------
    action : callable
        The function; it must not touch files that are mapped, since these count too.

    Returns
    -------
    int
        Bytes.
    """
    # What was freed before goes back to the system, where the C library can be told so: else it would be used again,
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
    """Call a function and count what Python, NumPy and the kernels allocate meanwhile, at its peak.

    Parameters
    ----------
    action : callable
        The function.

    Returns
    -------
    int
        Bytes, to the byte.
    """
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# ----------------------------------------------------------------------------------------------- the questions


def train_on_file(path: Path, rows: int, columns: int, dtype: str = "float32") -> dict[str, int]:
    """Train on a mapped, read-only file where there is no room for a copy of it.

    Parameters
    ----------
    path : Path
        Numbers, `rows` · `columns` of them.
    rows, columns : int
        X's shape.
    dtype : str, default "float32"
        X's dtype; the network's is float32.

    Returns
    -------
    dict
        "risen": bytes that resident memory of no file has risen by; "room": bytes that could have been allocated.

    Raises
    ------
    MemoryError
        If there wasn't room enough.
    """
    case = regression((columns, 16, 1), 256, rows)
    X = np.memmap(path, dtype, "r", shape=(rows, columns))
    y = np.random.default_rng(0).standard_normal((rows, 1), dtype=np.float32)
    net = network(case, start(case))
    train(net, case, X[:1000], y[:1000], 1, 2)  # Threads and code are there before it is counted.
    # Writable memory of one's own, allocated in whatever way; the file's pages don't count.
    limit = status("VmData") + ROOM + y.nbytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    before = status("RssAnon")
    train(net, case, X, y, 1, 2)
    return {"risen": status("RssAnon") - before, "room": ROOM + y.nbytes}


def not_copied(folder: Path, size: int) -> Row:
    """Ask whether X is copied.

    Parameters
    ----------
    folder : Path
        Where a file of that size can be made.
    size : int
        Bytes of X, more than `ROOM`.

    Returns
    -------
    dict
        The record's row.
    """
    columns = 64
    rows = size // (4 * columns)
    path = folder / "X.float32"
    with path.open("wb") as file:  # In parts, so that this process doesn't hold it either.
        for first in range(0, rows, 65_536):
            part = np.random.default_rng(first).standard_normal((min(65_536, rows - first), columns), np.float32)
            part.tofile(file)
    with process(threads=1) as ask:
        found = ask(train_on_file, path, rows, columns)
    # Of each row, its target, its place in the shuffled order and the coded target are there besides.
    return row_of("X is not copied", f"X of {size // MIB} MiB, mapped, read-only", found["risen"], found["room"], "")


def workspace_bytes(case: Case, training: Callable[[], Any]) -> int:
    """Train once more, and look how much the training lays out for itself before its first step.

    Parameters
    ----------
    case : Case
        What is trained.
    training : callable
        Trains it.

    Returns
    -------
    int
        Bytes: the workspace, the sums, the order of shuffled rows and, of labels, their codes, four bytes a row.
    """
    plans: list[_layout.Plan] = []
    lay_out = _layout.plan

    def keep(*arguments: Any, **settings: Any) -> _layout.Plan:
        plans.append(lay_out(*arguments, **settings))
        return plans[-1]

    with mock.patch.object(_layout, "plan", keep):
        training()
    shuffled = case.batch is not None and case.batch < case.rows
    per_row = np.dtype(np.int32).itemsize * (shuffled + case.labelled)
    return plans[-1].workspace * np.dtype(case.dtype).itemsize + plans[-1].tallies * 8 + per_row * case.rows


def peak_of(case: Case, threads: int) -> dict[str, int]:
    """Measure the peak of making and training a network, in this process, over its data.

    Parameters
    ----------
    case : Case
        What is trained.
    threads : int
        On how many threads.

    Returns
    -------
    dict
        Bytes: "workspace", "parameters", "traced" (what was allocated) and "risen" (what was resident).
    """
    import fastmlp

    X, y = data(case)
    options: dict[str, Any] = {
        "hidden": case.sizes[1:-1], "activation": case.activation, "loss": case.loss, "optimizer": case.optimizer,
        "learning_rate": case.learning_rate, "epochs": 2, "seed": 0, "dtype": case.dtype, "n_threads": threads,
        "batch_size": "full" if case.batch is None else case.batch, "shuffle": case.batch is not None,
    }  # fmt: skip
    fastmlp.train(X[:64], y[:64], **options | {"hidden": (2,)})  # Threads and code are there before it is counted.

    def training() -> fastmlp.Network:
        return fastmlp.train(X, y, **options)

    risen, traced = peak_over(training), traced_peak(training)
    return {
        "workspace": workspace_bytes(case, training),
        "parameters": training().params.nbytes,
        "risen": risen,
        "traced": traced,
    }


def within_workspace(case: Case, threads: int) -> list[Row]:
    """Ask whether the peak over X and y is at most the workspace, four times the parameters and the way back.

    Parameters
    ----------
    case : Case
        What is trained.
    threads : int
        On how many threads.

    Returns
    -------
    list of dict
        The record's rows: of what was allocated, and of what was resident.
    """
    with process(threads=1) as ask:
        found = ask(peak_of, case, threads)
    # the parameters, their gradient and two of the optimizer's state; then what a divergence goes back to
    bound = found["workspace"] + 4 * found["parameters"] + kept_bytes(found["parameters"], 2 * found["parameters"])
    of_what = f"{case.name}, {case.optimizer}, {case.dtype}, {threads} thread{'s' if threads > 1 else ''}"
    parts = f"workspace {found['workspace'] / MIB:.2f} MiB, parameters {found['parameters'] / MIB:.2f} MiB"
    return [
        row_of("peak over X and y, allocated", of_what, found["traced"], bound + OBJECTS, parts),
        row_of("peak over X and y, resident", of_what, found["risen"], bound + SLACK, parts),
    ]


def risen_over_trainings(first: int, then: int, threads: int) -> int:
    """Train small networks many times, and measure what stays.

    Parameters
    ----------
    first : int
        Trainings before it is counted.
    then : int
        Trainings after that.
    threads : int
        On how many threads.

    Returns
    -------
    int
        Bytes that resident memory has risen by.
    """
    import fastmlp

    case = regression((4, 8, 2), 16, 64)
    X, y = data(case)

    def trainings(count: int) -> int:
        for number in range(count):
            fastmlp.train(X, y, hidden=(8,), batch_size=16, epochs=2, seed=number, n_threads=threads).predict(X)
        return status("RssAnon")

    before = trainings(first)
    return trainings(then) - before


def flat(trainings: tuple[int, int], threads: int) -> Row:
    """Ask whether memory stays flat over many trainings.

    Parameters
    ----------
    trainings : (int, int)
        Before it is counted, and after that.
    threads : int
        On how many threads.

    Returns
    -------
    dict
        The record's row.
    """
    first, then = trainings
    with process(threads=1) as ask:
        risen = ask(risen_over_trainings, first, then, threads)
    of_what = f"from {first} to {first + then} trainings, {threads} thread{'s' if threads > 1 else ''}"
    return row_of("resident memory is flat", of_what, risen, FLAT, "")


def peaks_over_epochs(epochs: tuple[int, int]) -> list[int]:
    """Count what is allocated in a short and in a long training of the same network.

    Parameters
    ----------
    epochs : (int, int)
        Of the short and of the long one.

    Returns
    -------
    list of int
        Bytes at the peak of each.
    """
    case = regression((20, 300, 2), 64, 1000)
    X, y = data(case)

    def once(count: int) -> None:
        train(network(case, start(case)), case, X, y, count, 1)

    once(2)
    return [traced_peak(lambda count=count: once(count)) for count in epochs]


def nothing_in_the_loop(epochs: tuple[int, int]) -> Row:
    """Ask whether the loop allocates: whether more epochs take more memory than their history.

    Parameters
    ----------
    epochs : (int, int)
        Of a short and of a long training.

    Returns
    -------
    dict
        The record's row.
    """
    with process(threads=1) as ask:
        short, long = ask(peaks_over_epochs, epochs)
    # An epoch's record, its copy in the history and once more where histories are joined; its seconds likewise, and
    # twice where a call's time is shared out over its epochs; the norms of both layers, of the epochs that are noted.
    entry = 3 * _layout.EPOCH.itemsize + 5 * 8 + 2 * 2 * 8
    of_what = f"from {epochs[0]} to {epochs[1]} epochs"
    # Ten kilobytes are objects of Python that come and go; an array a batch, kept, would be hundreds of kilobytes.
    bound = (epochs[1] - epochs[0]) * entry + 10 * KIB
    return row_of("nothing is allocated in the loop", of_what, long - short, bound, "")


# -------------------------------------------------------------------------------------------------- the record


def row_of(question: str, of_what: str, measured: int, bound: int, note: str) -> Row:
    """Make a row of the record.

    Parameters
    ----------
    question, of_what : str
        What was asked, and of what.
    measured, bound : int
        Bytes.
    note : str
        What else is to be said.

    Returns
    -------
    dict
        Columns and values.
    """
    return {
        "question": question,
        "of": of_what,
        "measured_bytes": measured,
        "bound_bytes": bound,
        "kept": "yes" if measured <= bound else "no",
        "note": note,
    }


def show(row: Row) -> None:
    """Print a row.

    Parameters
    ----------
    row : dict
        As from `row_of`.
    """
    sizes = f"{row['measured_bytes'] / MIB:>10.3f} of at most {row['bound_bytes'] / MIB:>10.3f} MiB"
    broken = "" if row["kept"] == "yes" else "  BROKEN"
    print(f"{row['question']:<34}{sizes}  {row['of']}; {row['note']}{broken}", flush=True)


def cases(small: bool) -> list[tuple[Case, int]]:
    """List the networks whose peaks are measured, and on how many threads.

    Parameters
    ----------
    small : bool
        Whether to take only what is done in seconds.

    Returns
    -------
    list of (Case, int)
    """
    found = [
        (regression((64, 1024, 1024, 8), 64, 1024), 1),
        (regression((64, 1024, 1024, 8), 64, 1024, optimizer="sgd", dtype="float64"), 2),
        (regression((8, 64, 4), 200_000, 200_000), 1),
    ]
    if small:
        return found
    wide64 = dataclasses.replace(CASES["wide"], name="wide, but", dtype="float64", optimizer="adam")
    labels = dataclasses.replace(
        regression((8, 64, 4), 256, 1_000_000), name="many labels", loss="cross_entropy", output="softmax"
    )
    return [*found, *((CASES[name], 2) for name in ("mnist", "higgs", "wide")), (wide64, 1), (labels, 1)]


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
    reader = record_parser("Measure what training takes in memory.")
    reader.add_argument("--small", action="store_true", help="only what is done in seconds")
    return reader.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Measure, print and write the record.

    Parameters
    ----------
    arguments : sequence of str
        Without the program's name.

    Returns
    -------
    int
        0, or 1 if a bound is broken or nothing can be measured.
    """
    options = parse(arguments)
    if not HIGH_WATER.exists():
        print(f"memory.py needs {HIGH_WATER}, which only Linux has", file=sys.stderr)
        return 1
    rows: list[Row] = []

    def keep(row: Row) -> None:
        show(row)
        rows.append(row)

    with tempfile.TemporaryDirectory() as folder:
        keep(not_copied(Path(folder), (128 if options.small else 1024) * MIB))
    for case, threads in cases(options.small):
        for row in within_workspace(case, threads):
            keep(row)
    for threads in (1, 2):
        keep(flat(TRAININGS, threads))
    keep(nothing_in_the_loop((1, 100)))
    timing = "bytes; of the whole process as the system counts them, or as tracemalloc counts allocations"
    write("memory", header(command("memory.py", arguments), timing), rows, options.out)
    return 0 if all(row["kept"] == "yes" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
