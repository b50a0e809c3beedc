"""Draw the newest records: how many times faster, what a step costs at any size, how cost grows.

    python bench/plot.py [--figures ratios,sweep,growth] [--out FOLDER]

A figure whose record is not there is named and left out.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from harness.options import Script, add_list
from harness.records import BENCH, RECORD, TITLES, Record, Row, best, distinct, newest, own_best
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, Locator, LogLocator, NullLocator

FIGURES = BENCH / "figures"
INK, GREY, PALE = "#222222", "#8a8a8a", "#e6e6e6"
# Colours that stay apart for colour-blind eyes (Okabe & Ito, 2008), and marks that stay apart without colour.
MARKS = {
    "numpy": ("#0072b2", "o"),
    "scikit-learn": ("#e69f00", "s"),
    "pytorch": ("#d55e00", "D"),
    "jax": ("#009e73", "^"),
}
LANE = 0.19  # between two rivals of a case, which is 1 high: none covers another
LINE = "#0072b2"

Grid = tuple[list[int], list[int], np.ndarray]
"""Widths, batches and a value for each pair."""

RATIO_TICKS = (0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
MISSING = "#d9d9d9"
EXPLAINED = """Each alone, the others fixed.

Both axes are logarithmic: a straight line
is a power, its slope the exponent.
Filled points make the line; hollow ones,
where fixed costs are most of it, don't.

"""


def tidy(axes: Axes) -> None:
    """Remove what shows nothing: the frame's upper and right side, the ticks' strokes."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(which="both", length=0, colors=INK, labelsize=10)
    axes.set_axisbelow(True)


def label(axis: Axis, ticks: Sequence[float] | Locator, unit: str = "") -> None:
    """Put plain numbers, with a unit, at the given ticks of an axis and nowhere else."""
    axis.set_major_locator(ticks if isinstance(ticks, Locator) else FixedLocator(list(ticks)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value) + unit))
    axis.set_minor_locator(NullLocator())


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def plain(value: float) -> str:
    """Return a tick's number without exponents.

    >>> plain(1 / 3), plain(1.4), plain(20.0), plain(131072.0)
    ('0.33', '1.4', '20', '131,072')
    """
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def machine(record: Record) -> str:
    """Return in one line where and when a record was made."""
    return f"{record.about['machine']}, {record.about['date'][:10]}"


# ------------------------------------------------------------------------------------------------ times faster


def ratios_of(record: Record, rival: str) -> dict[str, float]:
    """Return case by case how many times fastmlp's time a rival's is, of the medians at the best numbers of threads."""
    found = {}
    for case in distinct(record, "case"):
        ours, theirs = own_best(record, case), best(record, case, rival)
        if ours and theirs and ours["median_us"] and theirs["median_us"]:
            found[case] = float(theirs["median_us"]) / float(ours["median_us"])
    return found


def draw_ratios(record: Record) -> Figure:
    """Draw how many times faster than each rival fastmlp is, one line per case of a record of the cases."""
    cases = distinct(record, "case")
    figure = new_figure(8.8, 1.2 + 0.6 * len(cases))
    axes = figure.subplots()
    tidy(axes)
    found = {rival: ratios_of(record, rival) for rival in MARKS}
    every = [1.0, *(ratio for ratios in found.values() for ratio in ratios.values())]
    lower, upper = min(0.75, min(every) / 1.2), max(every) * 1.35
    for lane, (rival, ratios) in enumerate(found.items()):
        colour, mark = MARKS[rival]
        places = np.array([cases.index(case) for case in ratios]) + (lane - (len(found) - 1) / 2) * LANE
        values = list(ratios.values())
        axes.hlines(places, 1, values, color=colour, linewidth=2.2, alpha=0.45)
        edge = {"markeredgecolor": "white", "markeredgewidth": 0.7}
        axes.plot(values, places, mark, color=colour, markersize=7, label=TITLES[rival], zorder=3, **edge)
    for number in range(1, len(cases)):
        axes.axhline(number - 0.5, color=PALE, linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlim(lower, upper)
    axes.set_ylim(len(cases) - 0.5, -0.5)
    axes.set_yticks(range(len(cases)), cases, fontsize=11)
    label(axes.xaxis, [tick for tick in RATIO_TICKS if lower <= tick <= upper], "×")
    axes.grid(axis="x", color=PALE, linewidth=0.8)
    axes.spines["left"].set_visible(False)
    axes.axvline(1, color=INK, linewidth=1.4)
    axes.axvspan(lower, 1, color="#d55e00", alpha=0.09, linewidth=0)
    text = "times faster than the others, per training step (logarithmic; left of 1×, fastmlp is slower)"
    axes.set_xlabel(text, color=INK, fontsize=10)
    figure.legend(loc="outside upper center", ncols=len(MARKS), frameon=False, fontsize=11, handletextpad=0.2)
    return figure


# --------------------------------------------------------------------------------------------------- the sweep


def grid_of(record: Record, column: str, rival: str, threads: str | None = None) -> Grid:
    """Arrange a column over widths and batches, NaN if not measured; `threads` None takes the smallest of all."""
    widths = sorted({int(row["width"]) for row in record.rows})
    batches = sorted({int(row["batch"]) for row in record.rows})
    values = np.full((len(widths), len(batches)), np.nan)
    for row in record.rows:
        if row["rival"] == rival and threads in (None, row["threads"]) and row[column]:
            place = widths.index(int(row["width"])), batches.index(int(row["batch"]))
            values[place] = np.fmin(values[place], float(row[column]))
    return widths, batches, values


def heat_map(axes: Axes, title: str, grid: Grid, colours: str, norm: LogNorm, ticks: Sequence[float]) -> None:
    """Draw a grid's values, one cell per point, and their colour bar with its ticks."""
    widths, batches, values = grid
    axes.set_facecolor(MISSING)
    cells = axes.pcolormesh(values, cmap=colours, norm=norm, edgecolors="white", linewidth=0.4)
    axes.set_xticks(np.arange(len(batches)) + 0.5, map(str, batches), rotation=90, fontsize=8)
    axes.set_yticks(np.arange(len(widths)) + 0.5, map(str, widths), fontsize=8)
    axes.tick_params(length=0, colors=INK)
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=11)
    below, above = np.nanmin(values) < norm.vmin, np.nanmax(values) > norm.vmax
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    bar = axes.figure.colorbar(cells, ax=axes, location="bottom", aspect=40, pad=0.02, extend=extend[below, above])
    bar.outline.set_visible(False)
    label(bar.ax.xaxis, ticks)
    bar.ax.tick_params(labelsize=9, length=2, colors=INK)


def draw_sweep(record: Record) -> Figure:
    """Draw what a multiply-add costs at every width and batch, and what threads change."""
    counts = {row["threads"] for row in record.rows if row["rival"] == "fastmlp"} - {"1", "chosen"}
    all_threads = max(counts, key=int, default="1")
    widths, batches, numpy = grid_of(record, "minimum_us", "numpy")
    against_numpy = widths, batches, grid_of(record, "minimum_us", "fastmlp", "chosen")[2] / numpy
    costs = grid_of(record, "ns_per_multiply_add", "fastmlp", "1")
    lowest, highest = np.nanmin(costs[2]), np.nanmax(costs[2])
    decades = [tick for tick in 10.0 ** np.arange(-3, 5) if lowest <= tick <= highest]
    forced, chosen = (grid_of(record, "ratio_to_one_thread", "fastmlp", name) for name in (all_threads, "chosen"))
    # Symmetric about 1 in the logarithm, so that 1 is the map's white; blue is good in all three.
    wide = "RdBu_r", LogNorm(1 / 30, 30), (1 / 30, 0.1, 0.3, 1, 3, 10, 30)
    narrow = "RdBu_r", LogNorm(1 / 3, 3), (1 / 3, 0.5, 0.7, 1, 1.4, 2, 3)
    maps = (
        ("nanoseconds per multiply-add, 1 thread", costs, "viridis_r", LogNorm(lowest, highest), decades),
        ("time as fastmlp chooses : NumPy at its best", against_numpy, *wide),
        (f"time on {all_threads} threads : on 1 thread", forced, *narrow),
        ("time as fastmlp chooses : on 1 thread", chosen, *narrow),
    )
    figure = new_figure(11, 12.6)
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for axes, drawn in zip(panels.flat, maps, strict=True):
        heat_map(axes, *drawn)
    for axes in panels[:, 0]:
        axes.set_ylabel("width: inputs, hidden neurons, outputs", fontsize=9)
    for axes in panels[1]:
        axes.set_xlabel("rows of a batch", fontsize=9)
    how = "{activation}, {optimizer}, {dtype}".format(**record.rows[0])
    title = f"A training step at any size: 1 hidden layer, {how}. Grey was not measured.\n{machine(record)}"
    figure.suptitle(title, fontsize=11)
    return figure


# ---------------------------------------------------------------------------------------------------- growth


def draw_curve(axes: Axes, rows: Sequence[Row]) -> None:
    """Draw one quantity's growth, of its rows of the record, and the line that has its exponent as slope."""
    timed = [row for row in rows if row["minimum_us"]]
    sizes, costs = (np.array([float(row[name]) for row in timed]) for name in ("size", "minimum_us"))
    fitted = np.array([row["fitted"] == "yes" for row in timed], dtype=bool)
    tidy(axes)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    if fitted.sum() >= 2:
        line = np.polyfit(np.log(sizes[fitted]), np.log(costs[fitted]), 1)
        ends = sizes[fitted][[0, -1]]
        axes.plot(ends, np.exp(np.polyval(line, np.log(ends))), color="#d55e00", linewidth=5, alpha=0.35)
        exponent = f"{float(rows[0]['exponent']):.2f}".replace("-", "−")
        text = f"exponent {exponent}\n{plain(ends[0])} to {plain(ends[1])}"
        axes.text(0.05, 0.95, text, transform=axes.transAxes, va="top", fontsize=10.5, color="#a34700")
    axes.plot(sizes, costs, color=LINE, linewidth=1.2)
    axes.plot(sizes[fitted], costs[fitted], "o", color=LINE, markersize=5.5)
    axes.plot(sizes[~fitted], costs[~fitted], "o", color=LINE, markerfacecolor="white", markersize=5.5)
    axes.set_ylim(costs.min() / 1.6, costs.max() * 2.2)
    step = -(-len(sizes) // 5)  # no more labels than there is room for
    label(axes.xaxis, sizes[::-1][::step])
    decades = np.log10(costs.max() / costs.min())
    label(axes.yaxis, LogLocator(subs=(1, 2, 5) if decades < 2.5 else (1,)))
    axes.tick_params(labelsize=9)
    axes.grid(color=PALE, linewidth=0.8)
    axes.set_title(f"{rows[0]['question']}: µs per {rows[0]['unit']}", fontsize=11, loc="left")
    axes.set_xlabel(rows[0]["fixed"], fontsize=8, color=GREY)


def draw_growth(record: Record) -> Figure:
    """Draw how cost grows, one small panel per quantity."""
    questions = distinct(record, "question")
    columns = min(3, len(questions) + 1)
    lines = -(-(len(questions) + 1) // columns)
    figure = new_figure(3.6 * columns, 3.1 * lines)
    every = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes, question in zip(every, questions, strict=False):
        draw_curve(axes, [row for row in record.rows if row["question"] == question])
    for axes in every[len(questions) :]:
        axes.set_axis_off()
    last = every[len(questions)]
    text = EXPLAINED + machine(record).replace(", ", ",\n", 1)
    last.text(0.02, 0.95, text, va="top", fontsize=9.5, color=INK, transform=last.transAxes)
    return figure


# Figure: the kind of record that it draws, and how.
DRAWINGS = {"ratios": ("cases", draw_ratios), "sweep": ("sweep", draw_sweep), "growth": ("growth", draw_growth)}


def options(parser: argparse.ArgumentParser) -> None:
    add_list(parser, "--figures", list(DRAWINGS), list(DRAWINGS))
    parser.add_argument("--out", type=Path, default=FIGURES, help="the folder (default bench/figures)")


def run(given: argparse.Namespace, _: Record) -> int:
    """Draw the figures; return 1 if a record is missing."""
    given.out.mkdir(parents=True, exist_ok=True)
    missing = 0
    for name in given.figures:
        kind, draw = DRAWINGS[name]
        try:
            record = newest(kind, RECORD)
        except FileNotFoundError as error:
            print(f"{name} was not drawn: {error}", file=sys.stderr)
            missing = 1
            continue
        path = given.out / f"{name}.png"
        # No date inside the file, so that the same record gives the same bytes.
        draw(record).savefig(path, dpi=160, metadata={"Software": None})
        print(f"drawn: {path}")
    return missing


SCRIPT = Script(__doc__, run, options=options)

if __name__ == "__main__":
    sys.exit(SCRIPT.main())
