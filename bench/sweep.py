"""Sweep widths and batches: what a training step costs at any size, on one thread, on all, and as fastmlp chooses.

    python bench/sweep.py [--quick] [--widths 1,10,100] [--batches 1,64] [--activation tanh] [--optimizer adam]
                          [--dtype float32] [--repeats 5] [--seconds 0.05] [--limit 2] [--out FILE.csv]

The networks have one hidden layer, and inputs, hidden neurons and outputs of the same width. All take turns at every
point. What would take longer than `--limit` seconds a step, going by a smaller batch, is left out, and has a row
that says so. Imported by the tests only.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from cases import Case, regression
from options import command, parser, positive, whole_numbers
from records import header, write
from timing import Entry, Worker, time_entries, written

from fastmlp import _backend

WIDTHS = tuple(sorted({2**power for power in range(13)} | {3, 10, 30, 100, 300, 1000, 3000}))
BATCHES = tuple(2**power for power in range(13))
QUICK_WIDTHS = (1, 3, 10, 32, 100, 256, 1000)
QUICK_BATCHES = (1, 8, 64, 512)
CHOSEN = "chosen"
BATCHES_PER_EPOCH = 2  # the least with which rows are shuffled and gathered

Point = dict[tuple[str, int | str], Entry]


class Contenders:
    """fastmlp and its reference, each at each number of threads in a process of its own.

    Parameters
    ----------
    stack : ExitStack
        Ends the processes.
    limit : float
        Seconds of a step above which a point is left out.
    """

    def __init__(self, stack: ExitStack, limit: float) -> None:
        self.limit = limit
        cores = _backend.usable_cpus()
        fastmlp: list[tuple[str, int | None]] = [("fastmlp", threads) for threads in sorted({1, cores})]
        numpy: list[tuple[str, int | None]] = [("numpy", threads) for threads in sorted({1, cores})]
        self._workers = [Worker(*pair) for pair in (*fastmlp, ("fastmlp", None), *numpy)]
        for worker in self._workers:
            stack.callback(worker.close)

    def time(self, case: Case, before: Point, repeats: int, seconds: float) -> Point:
        """Time a point.

        Parameters
        ----------
        case : Case
            The point.
        before : dict
            The same network with a smaller batch, by which the time of a step is foreseen; may be empty.
        repeats : int
            Timings of each.
        seconds : float
            About how long a timing takes.

        Returns
        -------
        dict
            One entry for each rival and number of threads.
        """
        point: Point = {}
        for worker in self._workers:
            threads = CHOSEN if worker.threads is None else worker.threads
            entry = point[worker.rival_name, threads] = Entry(case, worker.rival_name, threads, worker)
            entry.problem = self._problem(entry, before.get((worker.rival_name, threads)))
        time_entries(list(point.values()), repeats, seconds)
        return point

    def _problem(self, entry: Entry, before: Entry | None) -> str:
        if before is None:
            return ""
        if not before.seconds:  # A batch that is larger still takes no less.
            return before.problem
        foreseen = before.minimum_us * entry.case.batch_rows / before.case.batch_rows / 1e6
        return f"left out: a step would take about {foreseen:.2g} s" if foreseen > self.limit else ""


def rows_of(width: int, batch: int, point: Point) -> list[dict[str, Any]]:
    """Make a point's rows of the record.

    Parameters
    ----------
    width, batch : int
        The point's.
    point : dict
        As from `Contenders.time`.

    Returns
    -------
    list of dict
        One a rival and number of threads. Ratios are times of the shortest timings, in which other work on the
        machine shows least: to the same rival on one thread; below 1 is faster.
    """
    rows = []
    for (rival, threads), entry in point.items():
        work = entry.case.multiply_adds
        rows.append(
            {
                "width": width,
                "batch": batch,
                "activation": entry.case.activation,
                "optimizer": entry.case.optimizer,
                "dtype": entry.case.dtype,
                "rival": rival,
                "threads": threads,
                "steps": entry.steps if entry.seconds else "",
                "median_us": written(entry.median_us),
                "minimum_us": written(entry.minimum_us),
                "ns_per_multiply_add": written(entry.minimum_us * 1e3 / work, 4),
                "ratio_to_one_thread": ratio(entry, point[rival, 1]),
                "note": entry.problem,
            }
        )
    return rows


def ratio(entry: Entry, one_thread: Entry) -> str:
    """Write how many times as long as on one thread a step takes; "" if either wasn't timed.

    Parameters
    ----------
    entry, one_thread : Entry
        The same rival's.

    Returns
    -------
    str
    """
    return written(entry.minimum_us / one_thread.minimum_us, 4) if entry.seconds and one_thread.seconds else ""


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print a point as one line: microseconds a step, and the ratio to one thread.

    Parameters
    ----------
    rows : sequence of dict
        As from `rows_of`.
    """
    cells = [f"{row['minimum_us'] or '—':>10} ×{row['ratio_to_one_thread'] or '—':<8}" for row in rows]
    print(f"{rows[0]['width']:>6}{rows[0]['batch']:>6}" + "".join(cells), flush=True)


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
    reader = parser("Sweep widths and batches, on one thread, on all, and as fastmlp chooses.", 5, 0.05)
    add = reader.add_argument
    add("--quick", action="store_true", help="a coarse grid of small sizes")
    add("--widths", type=whole_numbers, help="inputs, hidden neurons and outputs (default 1 to 4096)")
    add("--batches", type=whole_numbers, help="rows of a batch (default 1 to 4096)")
    add("--activation", choices=("relu", "sigmoid", "tanh"), default="tanh", help="of the hidden layer")
    add("--optimizer", choices=("sgd", "adam"), default="adam")
    add("--dtype", choices=("float32", "float64"), default="float32")
    add("--limit", type=positive(float), default=2.0, help="seconds; longer steps are left out (default 2)")
    options = reader.parse_args(arguments)
    options.widths = options.widths or (QUICK_WIDTHS if options.quick else WIDTHS)
    options.batches = options.batches or (QUICK_BATCHES if options.quick else BATCHES)
    return options


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Time every point of the grid, and print each as it is done.

    Parameters
    ----------
    options : argparse.Namespace
        The command line's.

    Returns
    -------
    list of dict
        The record's rows.
    """
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        contenders = Contenders(stack, options.limit)
        for width in options.widths:
            point: Point = {}
            for batch in options.batches:
                case = regression(
                    (width, width, width), batch, BATCHES_PER_EPOCH * batch, options.activation, options.optimizer,
                    options.dtype,
                )  # fmt: skip
                point = contenders.time(case, point, options.repeats, options.seconds)
                found = rows_of(width, batch, point)
                if not rows:
                    names = "".join(f"{row['rival']:>10} {row['threads']:<9}" for row in found)
                    print(f"{'width':>6}{'batch':>6}{names}")
                show(found)
                rows += found
    return rows


def main(arguments: Sequence[str]) -> int:
    """Measure and write the record.

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
    timing = (
        f"{options.repeats} timings taken in turns; ratios and nanoseconds are of the shortest; {BATCHES_PER_EPOCH} "
        "batches an epoch, shuffled"
    )
    write("sweep", header(command("sweep.py", arguments), timing), measure(options), options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
