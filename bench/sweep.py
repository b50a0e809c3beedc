"""Sweep widths and batches: what a training step costs at any size, on one thread, on all, and as fastmlp chooses.

    python bench/sweep.py [--quick] [--widths 1,10,100] [--batches 1,64] [--activation tanh] [--optimizer adam]
                          [--dtype float32] [--repeats 5] [--seconds 0.05] [--limit 2] [--out FILE.csv]

The networks have one hidden layer, and inputs, hidden neurons and outputs of the same width. All take turns at every
point. What would take longer than `--limit` seconds per step, extrapolated from a smaller batch, is left out, and has a
row that states so.
"""

import argparse
import sys
from collections.abc import Sequence

from harness import builds
from harness.cases import regression
from harness.options import Script, add_number, whole_numbers
from harness.records import Record, Row, written
from harness.timing import Entry, processes, time_entries

WIDTHS = tuple(sorted({2**power for power in range(13)} | {3, 10, 30, 100, 300, 1000, 3000}))
BATCHES = tuple(2**power for power in range(13))
QUICK_WIDTHS = (1, 3, 10, 32, 100, 256, 1000)
QUICK_BATCHES = (1, 8, 64, 512)
BATCHES_PER_EPOCH = 2  # the smallest number with which rows are shuffled and gathered

Contender = tuple[str, int | None]
"""A rival and its number of threads; None is as fastmlp chooses."""

Point = dict[Contender, Entry]


def contenders() -> list[Contender]:
    """Return fastmlp and its reference on one thread and on all, and fastmlp as it chooses."""
    counts = sorted({1, builds.usable_cpus()})
    return [*(("fastmlp", count) for count in counts), ("fastmlp", None), *(("numpy", count) for count in counts)]


def left_out(entry: Entry, before: Entry | None, limit: float) -> str:
    """Return why an entry is left out, going by the entry of a smaller batch; "" if it is timed."""
    if before is None:
        return ""
    if not before.seconds:  # A batch that is larger still takes no less.
        return before.problem
    foreseen = before.minimum_us * entry.case.batch_rows / before.case.batch_rows / 1e6
    return f"left out: a step would take about {foreseen:.2g} s" if foreseen > limit else ""


def rows_of(width: int, batch: int, point: Point) -> list[Row]:
    """Return a point's rows of the record, one per rival and number of threads."""
    # Ratios are of the shortest timings, in which other work on the machine shows least.
    return [
        {
            "width": width,
            "batch": batch,
            "activation": entry.case.activation,
            "optimizer": entry.case.optimizer,
            "dtype": entry.case.dtype,
            "rival": rival,
            "threads": threads or "chosen",
            **entry.columns(),
            "ns_per_multiply_add": written(entry.minimum_us * 1e3 / entry.case.multiply_adds, 4),
            "ratio_to_one_thread": ratio(entry, point[rival, 1]),
            "note": entry.problem,
        }
        for (rival, threads), entry in point.items()
    ]


def ratio(entry: Entry, one_thread: Entry) -> str:
    """Return how many times as long as on one thread a step takes; "" if either was not timed."""
    return written(entry.minimum_us / one_thread.minimum_us, 4) if entry.seconds and one_thread.seconds else ""


def show(rows: Sequence[Row]) -> None:
    """Print a point as one line: microseconds per step, and the ratio to one thread."""
    cells = [f"{row['minimum_us'] or '—':>10} ×{row['ratio_to_one_thread'] or '—':<8}" for row in rows]
    print(f"{rows[0]['width']:>6}{rows[0]['batch']:>6}" + "".join(cells), flush=True)


def options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--quick", action="store_true", help="a coarse grid of small sizes")
    add("--widths", type=whole_numbers, help="inputs, hidden neurons and outputs (default 1 to 4096)")
    add("--batches", type=whole_numbers, help="rows of a batch (default 1 to 4096)")
    add("--activation", choices=("relu", "sigmoid", "tanh"), default="tanh", help="of the hidden layer")
    add("--optimizer", choices=("sgd", "adam"), default="adam")
    add("--dtype", choices=("float32", "float64"), default="float32")
    add_number(parser, "--limit", 2.0, "seconds; longer steps are left out")


def run(given: argparse.Namespace, record: Record) -> None:
    """Time every point of the grid, and print each as it is done."""
    record.describe(
        f"{given.repeats} timings taken in turns; ratios and nanoseconds are of the shortest; {BATCHES_PER_EPOCH} "
        "batches per epoch, shuffled"
    )
    how = {name: getattr(given, name) for name in ("activation", "optimizer", "dtype")}
    with processes({contender: contender[1] or builds.usable_cpus() for contender in contenders()}) as asks:
        titles = "".join(f"{rival:>10} {threads or 'chosen':<9}" for rival, threads in asks)
        print(f"{'width':>6}{'batch':>6}{titles}")
        for width in given.widths or (QUICK_WIDTHS if given.quick else WIDTHS):
            before: Point = {}  # of a smaller batch
            for batch in given.batches or (QUICK_BATCHES if given.quick else BATCHES):
                case = regression((width,) * 3, batch, BATCHES_PER_EPOCH * batch, **how)
                point = {contender: Entry(case, *contender, ask) for contender, ask in asks.items()}
                for contender, entry in point.items():
                    entry.problem = left_out(entry, before.get(contender), given.limit)
                time_entries(list(point.values()), given.repeats, given.seconds)
                record.rows += (found := rows_of(width, batch, point))
                show(found)
                before = point


SCRIPT = Script(__doc__, run, "sweep", repeats=5, seconds=0.05, options=options)

if __name__ == "__main__":
    sys.exit(SCRIPT.main())
