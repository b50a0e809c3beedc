"""Measure how cost grows with width, depth, batch, rows and threads, each alone, and name the exponent.

    python bench/growth.py [--questions width,threads] [--most 1024] [--repeats 7] [--seconds 0.05] [--out FILE.csv]

The exponent is the slope of a straight line through log cost over log size. Small sizes, whose cost is mostly fixed,
don't belong to the growth: the line takes as many of the largest sizes as it meets within `TOLERANCE`. The record
states which.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from harness import builds
from harness.cases import Case, regression
from harness.options import Script, add_list, positive
from harness.records import Record, Row, show, written
from harness.timing import Entry, processes, time_entries

TOLERANCE = 0.1  # how far, relatively, a point may lie from the line
FEWEST = 3  # points of a line, if there are as many
WIDE = (128,) * 3


def powers_of_2(first: int, last: int) -> list[int]:
    """Return the powers of 2 from one to another."""
    return [2**power for power in range(first.bit_length() - 1, last.bit_length())]


@dataclass(frozen=True)
class Question:
    """One quantity that grows."""

    sizes: list[int]
    case: Callable[[int], Case]  # of a size
    fixed: str  # what stays, in words
    unit: str = "step"  # what the cost is of


QUESTIONS = {
    "width": Question(
        powers_of_2(4, 2048), lambda n: regression((n,) * 3, 128, 256), "1 hidden layer, batch 128, 1 thread"
    ),
    "depth": Question(
        powers_of_2(1, 64), lambda n: regression((128,) * (n + 2), 128, 256), "width 128, batch 128, 1 thread"
    ),
    "batch": Question(
        powers_of_2(1, 4096), lambda n: regression(WIDE, n, 2 * n), "width 128, 1 hidden layer, 1 thread"
    ),
    "rows": Question(
        powers_of_2(128, 131_072),
        lambda n: regression(WIDE, 128, n),
        "width 128, 1 hidden layer, batch 128, 1 thread",
        unit="epoch",
    ),
    "threads": Question(
        list(range(1, builds.usable_cpus() + 1)),
        lambda n: regression((512,) * 3, 512, 1024),
        "width 512, 1 hidden layer, batch 512",
    ),
}


def fit(curve: Sequence[tuple[int, float]]) -> tuple[float, int]:
    """Compute the exponent of a growth, from rising sizes, and the index of the first point that the line takes.

    It is NaN if there are fewer than two points. From the first on all are within `TOLERANCE` of the line, unless there
    are only `FEWEST`.

    >>> exponent, first = fit([(size, 5 + size**2) for size in (1, 2, 4, 8, 16, 32, 64)])
    >>> round(exponent, 1), first
    (1.9, 2)
    """
    if len(curve) < 2:
        return float("nan"), 0
    logs = np.log(np.array(curve, dtype=float)).T
    first = max(0, len(curve) - FEWEST)
    exponent = np.polyfit(*logs[:, first:], 1)[0]
    for candidate in range(first - 1, -1, -1):
        size, cost = logs[:, candidate:]
        line = np.polyfit(size, cost, 1)
        if np.abs(np.polyval(line, size) - cost).max() > np.log1p(TOLERANCE):
            break
        exponent, first = line[0], candidate
    return float(exponent), first


def time_question(name: str, most: int, repeats: int, seconds: float) -> list[Entry]:
    """Time one quantity's sizes up to `most`, rising; numbers of threads take turns, each in a process of its own."""
    question = QUESTIONS[name]
    sizes = [size for size in question.sizes if size <= most]
    counts = {size: size if name == "threads" else 1 for size in sizes}
    with processes({count: count for count in counts.values()}) as asks:
        entries = [Entry(question.case(size), "fastmlp", count, asks[count]) for size, count in counts.items()]
        for together in [entries] if name == "threads" else [[entry] for entry in entries]:
            time_entries(together, repeats, seconds)
    return entries


def rows_of(name: str, entries: Sequence[Entry]) -> list[Row]:
    """Return a quantity's rows of the record, one per size; "fitted" states whether the line takes it."""
    question = QUESTIONS[name]
    sizes = question.sizes[: len(entries)]
    factors = [entry.case.steps_per_epoch if question.unit == "epoch" else 1 for entry in entries]
    timed = [number for number, entry in enumerate(entries) if entry.seconds]
    exponent, first = fit([(sizes[number], entries[number].minimum_us * factors[number]) for number in timed])
    return [
        {
            "question": name,
            "size": size,
            "unit": question.unit,
            "fixed": question.fixed,
            "threads": entry.threads,
            "median_us": written(entry.median_us * factor),
            "minimum_us": written(entry.minimum_us * factor),
            "fitted": "yes" if number in timed[first:] else "no",
            "exponent": written(exponent, 3),
            "note": entry.problem,
        }
        for number, (size, factor, entry) in enumerate(zip(sizes, factors, entries, strict=True))
    ]


def show_growth(rows: Sequence[Row]) -> None:
    """Print a quantity's rows and its exponent."""
    title = f"microseconds per {rows[0]['unit']} over {rows[0]['question']} ({rows[0]['fixed']})"
    show(title, rows, ("size", "median_us", "minimum_us", "note"))
    fitted = [row["size"] for row in rows if row["fitted"] == "yes"]
    if rows[0]["exponent"]:
        print(f"  exponent {rows[0]['exponent']} from {fitted[0]} to {fitted[-1]}", flush=True)
    else:
        print("  no exponent: fewer than two sizes were timed", flush=True)


def options(parser: argparse.ArgumentParser) -> None:
    add_list(parser, "--questions", list(QUESTIONS), list(QUESTIONS))
    parser.add_argument("--most", type=positive(int), default=2**31, help="leave larger sizes out")


def run(given: argparse.Namespace, record: Record) -> None:
    record.describe(
        f"{given.repeats} timings of each; the exponent is the slope of the line through the logarithms of the "
        f"minima, over as many of the largest sizes as lie within {TOLERANCE:.0%} of it"
    )
    for name in given.questions:
        if entries := time_question(name, given.most, given.repeats, given.seconds):
            record.rows += (found := rows_of(name, entries))
            show_growth(found)


SCRIPT = Script(__doc__, run, "growth", repeats=7, seconds=0.05, options=options)

if __name__ == "__main__":
    sys.exit(SCRIPT.main())
