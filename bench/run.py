"""Verify fastmlp against its reference, then time it and its rivals on the benchmark's cases.

    python bench/run.py [--check] [--cases xor,mnist] [--rivals numpy,jax] [--builds all] [--threads 1,all]
                        [--repeats 5] [--seconds 0.3] [--out FILE.csv]

Every rival runs in a process of its own for each number of threads, and only one works at any time: they take
turns (A, B, C, A, B, C, …), so that a slow minute of the machine falls on all. A timing is one call that
trains whole epochs; data, parameters and compilation are ready before it. `--builds` forces the builds of
fastmlp's kernels that this machine would not choose, and times them too.
"""

import argparse
import dataclasses
import math
import sys
from collections.abc import Sequence

import numpy as np
from harness import builds
from harness.cases import CASES, Case, data, start
from harness.options import Script, add_list, thread_counts
from harness.records import Record, Row, show, written
from harness.rivals import RIVALS, find, forced, installed, network, train
from harness.timing import Ask, Entry, processes, time_entries

NOT_INSTALLED = "not installed"
# How far, relative to how far the reference's parameters moved, a build's may be from them after a few steps.
# Rounding alone makes 1e-5 in float32 and 1e-14 in float64. But if a relu's input is nothing but rounding, one
# of the two may let a row through and the other not: this changes all gradients of that neuron by a row's part.
# It was met, in float32, and made 0.7 % of the movement. And Adam, which divides each gradient by its own size,
# takes a step of full length in any direction whose gradient is nothing but rounding: about one gradient in
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


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a few steps of training gave: parameters, and the last epoch's loss and gradient norm."""

    params: np.ndarray
    loss: float
    gradient_norm: float


def shortened(case: Case) -> tuple[Case, int]:
    """Return what verification trains of a case, and for how many epochs."""
    if sum(weights.size for weights, _ in start(case)) > LARGE:
        return dataclasses.replace(case, rows=64, batch=64), 1
    if case.batch is None:
        return case, 3  # so that the optimizer's memory is at work
    # two batches and a half
    return dataclasses.replace(case, rows=min(case.rows, 2 * case.batch + case.batch // 2)), 1


def few_steps(case: Case, backend: str, threads: int) -> Trained:
    """Train a shortened case from its start, with a build or the reference."""
    case, epochs = shortened(case)
    net = network(case, start(case), backend)
    train(net, case, *data(case), epochs, threads)
    return Trained(net.params.copy(), float(net.history.loss[-1]), float(net.history.gradient_norm[-1]))


def compare(case: Case, build: str, expected: Trained, trained: Trained) -> float:
    """Check a build's result against the reference's and return how far they are apart, or raise MismatchError."""
    begun = np.concatenate([array.ravel() for layer in start(case) for array in layer if array is not None])
    # In double, since a norm of millions of squares rounds visibly in single precision.
    differences = (np.subtract(expected.params, other, dtype=np.float64) for other in (trained.params, begun))
    away, moved = map(np.linalg.norm, differences)
    apart, tolerance = float(away / moved), MOVEMENT_TOLERANCE[case.dtype]
    if not apart <= tolerance:  # Written so that a NaN fails too.
        raise MismatchError(
            f"{case.name}, {build}: parameters are {apart:.2g} of the reference's movement away; "
            f"{tolerance:.0e} is allowed"
        )
    for measure in ("loss", "gradient_norm"):
        ours, theirs = getattr(trained, measure), getattr(expected, measure)
        if not math.isclose(ours, theirs, rel_tol=MEASURE_TOLERANCE[case.dtype]):
            raise MismatchError(f"{case.name}, {build}: {measure} is {ours!r}, expected {theirs!r}")
    return apart


def verify(case: Case, cores: int) -> str:
    """Check that every build trains a case as the reference does, on one thread and on `cores`; return the finding."""
    found = builds.loadable()
    if not found:
        raise MismatchError("no build of the kernels can be loaded here; only the reference is there")
    expected, farthest, threads = few_steps(case, builds.REFERENCE, 1), 0.0, max(2, cores)
    for build in found:
        trained = few_steps(case, build, 1)
        farthest = max(farthest, compare(case, build, expected, trained))
        if few_steps(case, build, threads).params.tobytes() != trained.params.tobytes():
            raise MismatchError(f"{case.name}, {build}: {threads} threads give other bits than one")
    return f"{case.name}: {', '.join(found)} agree with the reference to {farthest:.1g} of its movement"


# ---------------------------------------------------------------------------------------------------- timing


def time_case(
    case: Case, workers: dict[tuple[str, int], Ask], missing: Sequence[str], repeats: int, seconds: float
) -> list[Row]:
    """Time a case on every rival and number of threads in turns; return the rows, of missing rivals too."""
    entries = [Entry(case, name, threads, ask) for (name, threads), ask in workers.items()]
    time_entries(entries, repeats, seconds)
    best = min((entry.median_us for entry in entries if entry.rival_name == "fastmlp"), default=math.inf)
    entries += [Entry(case, name, problem=NOT_INSTALLED) for name in missing]
    return [row(entry, best) for entry in entries]


def row(entry: Entry, best: float) -> Row:
    """Return the record's row of a rival on a case; `best` is fastmlp's median in its own build, or infinite."""
    rival = find(entry.rival_name)
    return {
        "case": entry.case.name,
        # Builds that were forced are fastmlp too; the column "build" tells them apart.
        "rival": entry.rival_name.partition(":")[0],
        "build": "" if entry.problem == NOT_INSTALLED else rival.build(),
        "dtype": entry.case.dtype,
        "threads": entry.threads or "",
        **entry.columns(),
        "ratio_to_fastmlp": written(entry.median_us / best, 4) if entry.seconds and math.isfinite(best) else "",
        "note": entry.problem or rival.note(entry.case),
    }


SHOWN = ("rival", "build", "threads", "steps", "median_us", "minimum_us", "ratio_to_fastmlp", "note")


def measure(given: argparse.Namespace, rows: list[Row]) -> None:
    """Time the cases that were asked for, and print each as it is done."""
    others = [forced(build) for build in given.builds if build != builds.in_use()]
    chosen = ["fastmlp", *others, *given.rivals]
    missing = [name for name in chosen if not installed(find(name))]
    threads = {
        (name, count): count
        for name in chosen
        if name not in missing
        for count in (given.threads if find(name).sets_threads else [builds.usable_cpus()])
    }
    with processes(threads) as workers:
        for name in given.cases:
            case = CASES[name]
            timed = time_case(case, workers, missing, given.repeats, given.seconds)
            show(f"{name}: {case.question}\n  {case.shape}, {case.dtype}; microseconds per step", timed, SHOWN)
            rows += timed


def options(parser: argparse.ArgumentParser) -> None:
    others, loadable = [name for name in RIVALS if name != "fastmlp"], builds.loadable()
    parser.add_argument("--check", action="store_true", help="verify only")
    add_list(parser, "--cases", list(CASES), list(CASES))
    add_list(parser, "--rivals", others, others)
    add_list(parser, "--builds", loadable, [], "builds of fastmlp that are forced and timed besides its choice")
    parser.add_argument("--threads", type=thread_counts, default="1,all", help="numbers of threads (default 1,all)")


def run(given: argparse.Namespace, record: Record) -> int:
    """Verify, then time; return 1 if a build is wrong."""
    try:
        for name in given.cases:
            print(verify(CASES[name], builds.usable_cpus()), flush=True)
    except MismatchError as error:
        print(f"wrong: {error}", file=sys.stderr)
        return 1
    if not given.check:
        timing = (
            f"median of {given.repeats} timings taken in turns; threads of BLAS and OpenMP set by environment "
            "variables, PyTorch's also by set_num_threads; XLA chooses its own"
        )
        record.describe(timing, [RIVALS[name].build() for name in given.rivals if installed(RIVALS[name])])
        measure(given, record.rows)
    return 0


SCRIPT = Script(__doc__, run, "cases", repeats=5, seconds=0.3, options=options)

if __name__ == "__main__":
    sys.exit(SCRIPT.main())
