"""Measure how cost grows with width, depth, batch, rows and threads, each alone, and name the exponent.

    python bench/growth.py [--questions width,threads] [--most 1024] [--repeats 7] [--seconds 0.05] [--out FILE.csv]

The exponent is the slope of a straight line through log cost over log size. Small sizes, where fixed costs are most
of it, don't belong to the growth: the line takes as many of the largest sizes as it meets within `TOLERANCE`. The
record says which. Imported by the tests only.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from cases import Case, regression
from options import command, names, parser, positive
from records import header, write
from timing import Entry, Worker, time_entries, written

from fastmlp import _backend

TOLERANCE = 0.1  # how far, relatively, a point may lie from the line
FEWEST = 3  # points of a line, if there are as many

Curve = list[tuple[int, float]]


def powers_of_2(first: int, last: int) -> tuple[int, ...]:
    """List the powers of 2 from one to another."""
    return tuple(2**power for power in range(first.bit_length() - 1, last.bit_length()))


@dataclass(frozen=True)
class Question:
    """One quantity that grows while the others stay.

    Parameters
    ----------
    sizes : tuple of int
        Its values.
    unit : str
        What the cost is of: a "step" or an "epoch".
    case : callable
        Makes the case of a value.
    fixed : str
        What the others are, in words.
    """

    sizes: tuple[int, ...]
    unit: str
    case: Callable[[int], Case]
    fixed: str


QUESTIONS: dict[str, Question] = {
    "width": Question(
        powers_of_2(4, 2048), "step", lambda width: regression((width,) * 3, 128, 256),
        "1 hidden layer, batch 128, 1 thread",
    ),
    "depth": Question(
        powers_of_2(1, 64), "step", lambda depth: regression((128,) * (depth + 2), 128, 256),
        "width 128, batch 128, 1 thread",
    ),
    "batch": Question(
        powers_of_2(1, 4096), "step", lambda batch: regression((128,) * 3, batch, 2 * batch),
        "width 128, 1 hidden layer, 1 thread",
    ),
    "rows": Question(
        powers_of_2(128, 131_072), "epoch", lambda rows: regression((128,) * 3, 128, rows),
        "width 128, 1 hidden layer, batch 128, 1 thread",
    ),
    "threads": Question(
        tuple(range(1, _backend.usable_cpus() + 1)), "step", lambda _: regression((512,) * 3, 512, 1024),
        "width 512, 1 hidden layer, batch 512",
    ),
}  # fmt: skip


def fit(curve: Curve) -> tuple[float, int]:
    """Find the exponent of a growth, and from where on it holds.

    Parameters
    ----------
    curve : list of (size, cost)
        Sizes rising.

    Returns
    -------
    exponent : float
        The slope of the least-squares line through the logarithms; NaN if there are fewer than two points.
    first : int
        Index of the first point that the line takes; from there on all are within `TOLERANCE` of it, unless there
        are but `FEWEST`.

    Examples
    --------
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
    """Time one quantity's sizes.

    Parameters
    ----------
    name : str
        A key of `QUESTIONS`.
    most : int
        Larger sizes are left out.
    repeats : int
        Timings of each.
    seconds : float
        About how long a timing takes.

    Returns
    -------
    list of Entry
        One a size, sizes rising.
    """
    question, entries = QUESTIONS[name], []
    sizes = [size for size in question.sizes if size <= most]
    with ExitStack() as stack:
        workers = {threads: Worker("fastmlp", threads) for threads in (sizes if name == "threads" else [1])}
        for worker in workers.values():
            stack.callback(worker.close)
        if name == "threads":  # Each has a process of its own, so that they can take turns.
            entries = [Entry(question.case(threads), "fastmlp", threads, workers[threads]) for threads in sizes]
            time_entries(entries, repeats, seconds)
        else:
            for size in sizes:
                entries.append(Entry(question.case(size), "fastmlp", 1, workers[1]))
                time_entries(entries[-1:], repeats, seconds)
    return entries


def rows_of(name: str, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Make a quantity's rows of the record.

    Parameters
    ----------
    name : str
        A key of `QUESTIONS`.
    entries : sequence of Entry
        As from `time_question`.

    Returns
    -------
    list of dict
        One a size; "fitted" says whether the line takes it, "exponent" is the line's.
    """
    question, rows = QUESTIONS[name], []
    sizes = [size for size, _ in zip(question.sizes, entries, strict=False)]
    factors = [entry.case.steps_per_epoch if question.unit == "epoch" else 1 for entry in entries]
    timed = [number for number, entry in enumerate(entries) if entry.seconds]
    exponent, first = fit([(sizes[number], entries[number].minimum_us * factors[number]) for number in timed])
    fitted = timed[first:]
    for number, (size, factor, entry) in enumerate(zip(sizes, factors, entries, strict=True)):
        rows.append(
            {
                "question": name,
                "size": size,
                "unit": question.unit,
                "fixed": question.fixed,
                "threads": entry.threads,
                "median_us": written(entry.median_us * factor),
                "minimum_us": written(entry.minimum_us * factor),
                "fitted": "yes" if number in fitted else "no",
                "exponent": written(exponent, 3),
                "note": entry.problem,
            }
        )
    return rows


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print a quantity's rows and its exponent.

    Parameters
    ----------
    rows : sequence of dict
        As from `rows_of`.
    """
    print(f"\nmicroseconds a {rows[0]['unit']} over {rows[0]['question']} ({rows[0]['fixed']}), median and minimum")
    for row in rows:
        print(f"  {row['size']:>7}{row['median_us'] or '—':>12}{row['minimum_us'] or '—':>12}  {row['note']}")
    fitted = [row["size"] for row in rows if row["fitted"] == "yes"]
    if rows[0]["exponent"]:
        print(f"  exponent {rows[0]['exponent']} from {fitted[0]} to {fitted[-1]}", flush=True)
    else:
        print("  no exponent: fewer than two sizes were timed", flush=True)


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
    reader = parser("Measure how cost grows, and name the exponent.", repeats=7, seconds=0.05)
    known = list(QUESTIONS)
    reader.add_argument("--questions", type=names(known), default=known, metavar="A,B", help=", ".join(known))
    reader.add_argument("--most", type=positive(int), default=2**31, help="leave larger sizes out")
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
        0.
    """
    options = parse(arguments)
    rows: list[dict[str, Any]] = []
    for name in options.questions:
        entries = time_question(name, options.most, options.repeats, options.seconds)
        if entries:
            rows += (found := rows_of(name, entries))
            show(found)
    timing = (
        f"{options.repeats} timings of each; the exponent is the slope of the line through the logarithms of the "
        f"minima, over as many of the largest sizes as lie within {TOLERANCE:.0%} of it"
    )
    write("growth", header(command("growth.py", arguments), timing), rows, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
