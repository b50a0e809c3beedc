"""Write README's benchmark tables from the newest records of the cases and of the estimators.

    python bench/readme.py [--check]

They stand between `<!-- bench:begin -->` and `<!-- bench:end -->`, with the figure of plot.py, and between
`<!-- estimators:begin -->` and `<!-- estimators:end -->`. Every case and rival of the records is there, those against
which fastmlp loses in bold; builds of the kernels that were forced have a table of their own. `--check` changes
nothing, and exits with 1 if README.md isn't what the newest records give.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.cases import CASES
from harness.options import Script
from harness.records import (
    BENCH,
    ESTIMATORS,
    PRODUCTS,
    RECORD,
    TITLES,
    Record,
    Row,
    best,
    builds_of,
    column,
    distinct,
    newest,
    own_best,
    times_faster,
)

README = BENCH.parent / "README.md"
FIGURE = Path("bench/figures/ratios.png")  # as seen from README.md
NOT_MEASURED = "not measured"


class Footnotes:
    """Numbers texts in the order in which they are first marked; a text that comes again keeps its number."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> str:
        """Return the mark that refers to a text; none for an empty one."""
        if not text:
            return ""
        if text not in self.texts:
            self.texts.append(text)
        return f" <sup>{self.texts.index(text) + 1}</sup>"


def digits(value: float) -> str:
    """Return a positive number with at least three digits, and no more decimals than they take.

    Examples
    --------
    >>> digits(1.2345), digits(45.67), digits(123456.7), digits(0.987)
    ('1.23', '45.7', '123,457', '0.99')
    """
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"


def cell(row: Row | None, ours: Row | None, footnotes: Footnotes) -> str:
    """Return a rival's result on a case, such as "12.3 (4.5×)": microseconds, and how many times fastmlp's they are.

    A result below fastmlp's is bold and has the word "slower", which fastmlp is.
    """
    if row is None or not row["median_us"]:
        return "—" + footnotes.mark(NOT_MEASURED if row is None else row["note"] or NOT_MEASURED)
    time, mark = float(row["median_us"]), footnotes.mark(row["note"])
    if row is ours or ours is None or not ours["median_us"]:
        return digits(time) + mark
    ratio = time / float(ours["median_us"])
    text = f"{digits(time)} ({digits(ratio)}×{', slower' if ratio < 1 else ''})"
    return (f"**{text}**" if ratio < 1 else text) + mark


def table(titles: Sequence[str], lines: Sequence[Sequence[str]], texts: int = 1) -> list[str]:
    """Return a table's lines of Markdown; all columns after the first `texts` hold numbers."""
    rule = ["---"] * texts + ["---:"] * (len(titles) - texts)
    return [f"| {' | '.join(cells)} |" for cells in (titles, rule, *lines)]


def cases_section(record: Record) -> str:
    """Return the section of a record of the cases: the command, where and when it ran, the table, its footnotes."""
    footnotes, about, lines = Footnotes(), record.about, []
    for case in distinct(record, "case"):
        ours = own_best(record, case)
        others = [best(record, case, rival) for rival in TITLES if rival != "fastmlp"]
        cells = [cell(row, ours, footnotes) for row in (ours, *others)]
        lines.append([case, CASES[case].shape if case in CASES else "—", *cells])
    notes = [f"<sup>{number}</sup> {text}  " for number, text in enumerate(footnotes.texts, start=1)]
    return "\n".join(
        [
            f"```\n{about['command']}\n```\n",
            f"{about['machine']}; {about['versions']}; {about['date']}. Microseconds per training step "
            f"({about['timing']}); of the numbers of threads tried, each one's fastest. In parentheses, "
            "how many times fastmlp's time that is; below 1, in bold, fastmlp is the slower one.\n",
            *table(["case", "shape", *TITLES.values()], lines, texts=2),
            *(["", *notes] if notes else []),
        ]
    )


def builds_section(record: Record) -> str:
    """Return the table of fastmlp's builds against NumPy; "" if only one build was timed."""
    builds = builds_of(record)
    if len(builds) < 2:
        return ""
    lines = []
    for case in distinct(record, "case"):
        numpy = best(record, case, "numpy")
        cells = [against(best(record, case, "fastmlp", build), numpy) for build in builds]
        lines.append([case, *cells, against(numpy, None)])
    return "\n".join(
        [
            "Every instruction set, forced, on the same machine in the same run: microseconds per training step, and "
            "in parentheses how many times NumPy's speed that is; below 1, in bold, NumPy is the faster one.\n",
            *table(["case", *builds, "NumPy"], lines),
        ]
    )


def against(row: Row | None, numpy: Row | None) -> str:
    """Return a build's result on a case, such as "12.3 (4.5×)", bold if NumPy is faster; None leaves NumPy out."""
    if row is None or not row["median_us"]:
        return "—"
    time = float(row["median_us"])
    if numpy is None or not numpy["median_us"]:
        return digits(time)
    ratio = float(numpy["median_us"]) / time
    text = f"{digits(time)} ({digits(ratio)}×)"
    return f"**{text}**" if ratio < 1 else text


def figure() -> str:
    """Return the Markdown that includes plot.py's figure of the ratios; "" if it has not been drawn."""
    if not (README.parent / FIGURE).is_file():
        return ""
    return f"![Times faster than each of the others, case by case]({FIGURE.as_posix()})"


def estimators_section(record: Record) -> str:
    """Return the section of scikit-learn's estimators against fastmlp's: the command, where and when, the table."""
    about, lines = record.about, []
    for name in distinct(record, "dataset"):
        of = functools.partial(column, record.rows, name)
        faster = times_faster(record.rows, name)
        epochs = sorted({int(count) for rival in ESTIMATORS for count in of(rival, "epochs")})
        theirs, ours, alone = (f"{statistics.median(of(rival, 'seconds')):.3g}" for rival in (*ESTIMATORS, PRODUCTS))
        lines.append(
            [
                *(name, next(row["shape"] for row in record.rows if row["dataset"] == name), theirs, ours),
                *(digits(faster) if faster >= 1 else f"**{digits(faster)}**", alone),
                f"{epochs[0]}" if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]}",
                *(f"{statistics.fmean(of(rival, 'score')):.4f}" for rival in ESTIMATORS),
            ]
        )
    titles = ["data", "shape", "scikit-learn, s", "fastmlp, s", "times faster", "products alone, s", "epochs"]
    return "\n".join(
        [
            f"```\n{about['command']}\n```\n",
            f"{about['machine']}; {about['versions']}; {about['date']}. Both with default parameters "
            f"({about['timing']}); medians of seconds and of their ratios, means of the scores (accuracy, R²) on a "
            "fifth of the rows that was held out. Products alone: NumPy's time for the matrix products of as many "
            "epochs, zeros included, and nothing else.\n",
            *table([*titles, "its score", "fastmlp's"], lines, texts=2),
        ]
    )


def rewritten(text: str, name: str, section: str) -> str:
    """Return README's text with a section between its marks; ValueError unless they are there once and in order."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"README.md needs one {begin} and, below it, one {end}")
    return f"{text[: text.index(begin)]}{begin}\n{section}\n{text[text.index(end) :]}"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="only check whether README.md is up to date")


def run(given: argparse.Namespace, _: Record) -> int:
    """Rewrite README.md; or, with `--check`, return 1 if it would change."""
    record, text = newest("cases", RECORD), README.read_text(encoding="utf-8")
    sections = {
        "bench": "\n\n".join(filter(None, [cases_section(record), builds_section(record), figure()])),
        "estimators": estimators_section(newest("estimators", RECORD)),
    }
    wanted = text
    for name, section in sections.items():
        wanted = rewritten(wanted, name, section)
    if not given.check:
        README.write_text(wanted, encoding="utf-8")
    elif text != wanted:
        print("README.md is not what the newest record gives: run python bench/readme.py", file=sys.stderr)
        return 1
    return 0


SCRIPT = Script("Write README's benchmark tables from the newest records.", run, options=options)

if __name__ == "__main__":
    sys.exit(SCRIPT.main())
