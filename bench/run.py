"""Verify fastmlp against its reference, then time it and its rivals on the benchmark's cases.

    python bench/run.py [--check] [--cases xor,mnist] [--rivals numpy,jax] [--builds all] [--threads 1,all]
                        [--repeats 5] [--seconds 0.3] [--out FILE.csv]

Every rival runs in a process of its own for each number of threads, and only one works at any time: they take
turns (A, B, C, A, B, C, …), so that a slow minute of the machine falls on all. A timing is one call that
trains whole epochs; data, parameters and compilation are made ready before it. `--builds` forces the builds of
fastmlp's kernels that this machine would not choose, and times them too. Imported by the tests only.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from cases import CASES, Case, data, start
from options import command, loadable_builds, names, parser, thread_counts
from records import header, write
from rivals import RIVALS, find, forced, installed, network, train
from timing import NOT_INSTALLED, Entry, Worker, time_entries, written

from fastmlp import _backend

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
    found = loadable_builds()
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
    time_entries(entries, repeats, seconds)
    best = min((entry.median_us for entry in entries if entry.rival_name == "fastmlp"), default=math.inf)
    entries += [Entry(case, name, "", None, problem=NOT_INSTALLED) for name in missing]
    return [row(entry, best) for entry in entries]


def row(entry: Entry, best: float) -> dict[str, Any]:
    """Make the record's row of a rival at one number of threads on one case.

    Parameters
    ----------
    entry : Entry
        The rival's timings, or its problem.
    best : float
        Microseconds a step of fastmlp, in the build it chooses, at its best number of threads; infinite if it
        wasn't timed.

    Returns
    -------
    dict
        Columns and values; "" where nothing was measured.
    """
    rival, timed = find(entry.rival_name), bool(entry.seconds)
    return {
        "case": entry.case.name,
        # Builds that were forced are fastmlp too; the column "build" tells them apart.
        "rival": entry.rival_name.partition(":")[0],
        "build": "" if entry.problem == NOT_INSTALLED else rival.build(),
        "dtype": entry.case.dtype,
        "threads": entry.threads,
        "steps": entry.steps if timed else "",
        "median_us": written(entry.median_us),
        "minimum_us": written(entry.minimum_us),
        "ratio_to_fastmlp": written(entry.median_us / best, 4) if timed and math.isfinite(best) else "",
        "note": entry.problem or rival.note(entry.case),
    }


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
    print(f"  {'rival':<14}{'build':<26}{'threads':>8}{'steps':>10}{'median':>12}{'minimum':>12}{'ratio':>9}  note")
    for row in rows:
        print(
            f"  {row['rival']:<14}{row['build']:<26}{row['threads']:>8}{row['steps']:>10}{row['median_us']:>12}"
            f"{row['minimum_us']:>12}{row['ratio_to_fastmlp']:>9}  {row['note']}",
            flush=True,
        )


# ------------------------------------------------------------------------------------------ the command line


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
    reader = parser("Verify fastmlp, then time it and its rivals.", repeats=5, seconds=0.3)
    others = [name for name in RIVALS if name != "fastmlp"]
    loadable = loadable_builds()
    add = reader.add_argument
    add("--check", action="store_true", help="verify only")
    add("--cases", type=names(list(CASES)), default=list(CASES), metavar="A,B", help=", ".join(CASES))
    add("--rivals", type=names(others), default=others, metavar="A,B", help=", ".join(others))
    add("--builds", type=names(loadable), default=[], metavar="A,B",
        help=f"builds of fastmlp that are forced and timed besides its choice: all, or of {', '.join(loadable)}")
    add("--threads", type=thread_counts, default="1,all", help="numbers of threads (default 1,all)")
    return reader.parse_args(arguments)


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
    others = [forced(build) for build in options.builds if build != _backend.in_use]
    chosen = ["fastmlp", *others, *options.rivals]
    missing = [name for name in chosen if not installed(find(name))]
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        workers = []
        for name in chosen:
            counts = options.threads if find(name).sets_threads else [_backend.usable_cpus()]
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
    timing = (
        f"median of {options.repeats} timings taken in turns; threads of BLAS and OpenMP set by environment variables, "
        "PyTorch's also by set_num_threads; XLA chooses its own"
    )
    versions = [RIVALS[name].build() for name in options.rivals if installed(RIVALS[name])]
    about = header(command("run.py", arguments), timing, versions)
    write("cases", about, measure(options), options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
