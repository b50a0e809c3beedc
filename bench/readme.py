"""Write README's benchmark tables from the newest records of the cases and of the estimators.

    python bench/readme.py [--check]

They stand between `<!-- bench:begin -->` and `<!-- bench:end -->`, with the figure of plot.py, and between
`<!-- estimators:begin -->` and `<!-- estimators:end -->`. Every case and rival of the records is there, those against
which fastmlp loses in bold; builds of the kernels that were forced have a table of their own. `--check` changes
nothing, and exits with 1 if README.md isn't what the newest records give.
"""

import argparse
import functools
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import records
from harness.cases import CASES
from harness.options import Script
from harness.records import BENCH, ESTIMATORS, RECORD, TITLES, Record, Row, best, distinct, newest, own_best

README = BENCH.parent / "README.md"
FIGURE = Path("bench/figures/ratios.png")  # as seen from README.md
NOT_MEASURED = "not measured"


def digits(value: float) -> str:
    """Return a positive number with at least three digits, and no more decimals than they take.

    >>> digits(1.2345), digits(45.67), digits(123456.7), digits(0.987)
    ('1.23', '45.7', '123,457', '0.99')
    """
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"


def median_of(row: Row | None) -> float:
    """Return a row's median, NaN if there is none."""
    return float(row["median_us"] or "nan") if row else math.nan


def cell(time: float, ratio: float = math.nan, slower: str = "") -> str:
    """Return a result such as "12.3 (4.5×)": microseconds and a ratio; bold, and with a word, if that is below 1."""
    if math.isnan(time):
        return "—"
    if math.isnan(ratio):
        return digits(time)
    text = f"{digits(time)} ({digits(ratio)}×{slower if ratio < 1 else ''})"
    return f"**{text}**" if ratio < 1 else text


def mark(row: Row | None, footnotes: dict[str, int]) -> str:
    """Return the mark of a row's footnote, "" without one; a text keeps the number that it first gets."""
    text = row["note"] if row else ""
    if math.isnan(median_of(row)):
        text = text or NOT_MEASURED
    return f" <sup>{footnotes.setdefault(text, len(footnotes) + 1)}</sup>" if text else ""


def table(titles: Sequence[str], lines: Sequence[Sequence[str]], texts: int = 1) -> list[str]:
    """Return a table's lines of Markdown; all columns after the first `texts` hold numbers."""
    rule = ["---"] * texts + ["---:"] * (len(titles) - texts)
    return [f"| {' | '.join(cells)} |" for cells in (titles, rule, *lines)]


def headed(record: Record, text: str, lines: list[str]) -> str:
    """Return the section of a record: the command, where and when it ran, what its numbers are, the table."""
    about = record.about
    where = f"{about['machine']}; {about['versions']}; {about['date']}"
    return "\n".join([f"```\n{about['command']}\n```\n", f"{where}. {text}\n", *lines])


def cases_section(record: Record) -> str:
    """Return the section of a record of the cases, with footnotes."""
    footnotes: dict[str, int] = {}
    lines = []
    for case in distinct(record, "case"):
        ours = own_best(record, case)
        time = median_of(ours)
        cells = [cell(time) + mark(ours, footnotes)]
        for rival in list(TITLES)[1:]:
            row = best(record, case, rival)
            cells.append(cell(median_of(row), median_of(row) / time, ", slower") + mark(row, footnotes))
        lines.append([case, CASES[case].shape if case in CASES else "—", *cells])
    notes = [f"<sup>{number}</sup> {text}  " for text, number in footnotes.items()]
    return headed(
        record,
        f"Microseconds per training step ({record.about['timing']}); of the numbers of threads tried, each one's "
        "fastest. In parentheses, how many times fastmlp's time that is; below 1, in bold, fastmlp is the slower one.",
        [*table(["case", "shape", *TITLES.values()], lines, texts=2), *(["", *notes] if notes else [])],
    )


def builds_section(record: Record) -> str:
    """Return the table of fastmlp's builds against NumPy; "" if only one build was timed."""
    builds = list(dict.fromkeys(row["build"] for row in record.rows if row["rival"] == "fastmlp"))
    if len(builds) < 2:
        return ""
    lines = []
    for case in distinct(record, "case"):
        numpy = median_of(best(record, case, "numpy"))
        times = [median_of(best(record, case, "fastmlp", build)) for build in builds]
        lines.append([case, *(cell(time, numpy / time) for time in times), cell(numpy)])
    text = (
        "Every instruction set, forced, on the same machine in the same run: microseconds per training step, and in "
        "parentheses how many times NumPy's speed that is; below 1, in bold, NumPy is the faster one.\n"
    )
    return "\n".join([text, *table(["case", *builds, "NumPy"], lines)])


def estimators_section(record: Record) -> str:
    """Return the section of scikit-learn's estimators against fastmlp's."""
    shapes = {row["dataset"]: row["shape"] for row in record.rows}
    lines = []
    for name, shape in shapes.items():
        of = functools.partial(records.column, record.rows, name)
        faster = records.times_faster(record.rows, name)
        epochs = [int(count) for rival in ESTIMATORS for count in of(rival, "epochs")]
        span = dict.fromkeys([min(epochs), max(epochs)])  # one number, if all are equal
        rivals = (*ESTIMATORS, records.PRODUCTS)
        theirs, ours, alone = (f"{statistics.median(of(rival, 'seconds')):.3g}" for rival in rivals)
        times = digits(faster) if faster >= 1 else f"**{digits(faster)}**"
        scores = [f"{statistics.fmean(of(rival, 'score')):.4f}" for rival in ESTIMATORS]
        lines.append([name, shape, theirs, ours, times, alone, " to ".join(map(str, span)), *scores])
    titles = ["data", "shape", "scikit-learn, s", "fastmlp, s", "times faster", "products alone, s", "epochs"]
    return headed(
        record,
        f"Both with default parameters ({record.about['timing']}); medians of seconds and of their ratios, means of "
        "the scores (accuracy, R²) on a fifth of the rows that was held out. Products alone: NumPy's time for the "
        "matrix products of as many epochs, zeros included, and nothing else.",
        table([*titles, "its score", "fastmlp's"], lines, texts=2),
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
    figure = f"![Times faster than each of the others, case by case]({FIGURE.as_posix()})"
    drawn = (README.parent / FIGURE).is_file()
    parts = [cases_section(record), builds_section(record), figure if drawn else ""]
    sections = {
        "bench": "\n\n".join(filter(None, parts)),
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


SCRIPT = Script(__doc__, run, options=options)

if __name__ == "__main__":
    sys.exit(SCRIPT.main())
