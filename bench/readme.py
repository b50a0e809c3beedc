"""Write README's benchmark tables from the newest records of the cases and of the estimators.

    python bench/readme.py [--check]

They stand between `<!-- bench:begin -->` and `<!-- bench:end -->`, with the figure of plot.py, and between
`<!-- estimators:begin -->` and `<!-- estimators:end -->`. Every case and rival of the records is there, those against
which fastmlp loses in bold; if builds of the kernels were forced, they have a table of their own. `--check` changes
nothing, and exits with 1 if README.md isn't what the newest records give. Imported by the tests only.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import estimators
from cases import CASES
from records import RECORD, Record, Row, newest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
FIGURE = Path("bench/figures/ratios.png")  # as seen from README.md
SECTIONS = ("bench", "estimators")
TITLES = {
    "fastmlp": "fastmlp µs/step",
    "numpy": "NumPy",
    "scikit-learn": "scikit-learn",
    "pytorch": "PyTorch",
    "jax": "JAX",
}
NOT_MEASURED = "not measured"


class Footnotes:
    """Numbers texts in the order in which they are first marked; a text that comes again keeps its number."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> str:
        """Give the mark that refers to a text; none for an empty one.

        Parameters
        ----------
        text : str
            The footnote.

        Returns
        -------
        str
        """
        if not text:
            return ""
        if text not in self.texts:
            self.texts.append(text)
        return f" <sup>{self.texts.index(text) + 1}</sup>"


def own_build(record: Record) -> str:
    """Name the build of the kernels that fastmlp chose by itself.

    Parameters
    ----------
    record : Record
        Of the cases.

    Returns
    -------
    str
        What the record's header says; of a record that doesn't say it, the only build there is.
    """
    builds = dict.fromkeys(row["build"] for row in record.rows if row["rival"] == "fastmlp")
    return record.about.get("build", next(iter(builds), ""))


def best(rows: Sequence[Row], case: str, rival: str, build: str | None = None) -> Row | None:
    """Find a rival's fastest row on a case.

    Parameters
    ----------
    rows : sequence of dict
        The record's.
    case, rival : str
        Their names.
    build : str, optional
        Only rows of this build.

    Returns
    -------
    dict or None
        The timed row with the least median; if there is no such row, one that wasn't timed; else None.
    """
    found = [row for row in rows if row["case"] == case and row["rival"] == rival and build in (None, row["build"])]
    return min(found, key=lambda row: float(row["median_us"] or "inf"), default=None)


def cell(row: Row | None, ours: Row | None, footnotes: Footnotes) -> str:
    """Write one rival's result on one case.

    Parameters
    ----------
    row : dict or None
        The rival's, as from `best`.
    ours : dict or None
        fastmlp's.
    footnotes : Footnotes
        Takes what is to be said of the result.

    Returns
    -------
    str
        Such as "12.3 (4.5×)": microseconds and how many times fastmlp's they are; where they are less, in
        bold and with the word "slower", which fastmlp is.
    """
    if row is None or not row["median_us"]:
        return "—" + footnotes.mark(NOT_MEASURED if row is None else row["note"] or NOT_MEASURED)
    time, mark = float(row["median_us"]), footnotes.mark(row["note"])
    if row is ours or ours is None or not ours["median_us"]:
        return digits(time) + mark
    ratio = time / float(ours["median_us"])
    text = f"{digits(time)} ({digits(ratio)}×{', slower' if ratio < 1 else ''})"
    return (f"**{text}**" if ratio < 1 else text) + mark


def digits(value: float) -> str:
    """Write a positive number with at least three digits, and no more decimals than they take.

    Parameters
    ----------
    value : float
        The number.

    Returns
    -------
    str

    Examples
    --------
    >>> digits(1.2345), digits(45.67), digits(123456.7), digits(0.987)
    ('1.23', '45.7', '123,457', '0.99')
    """
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"


def table(record: Record) -> str:
    """Write the section of README that a record gives.

    Parameters
    ----------
    record : Record
        As from `read`.

    Returns
    -------
    str
        Markdown: the command, where and when it ran, the table, its footnotes.
    """
    footnotes = Footnotes()
    about = record.about
    lines = [f"| case | shape | {' | '.join(TITLES.values())} |", "| --- | --- |" + " ---: |" * len(TITLES)]
    for case in dict.fromkeys(row["case"] for row in record.rows):
        ours = best(record.rows, case, "fastmlp", own_build(record))
        others = [best(record.rows, case, rival) for rival in TITLES if rival != "fastmlp"]
        cells = [cell(row, ours, footnotes) for row in (ours, *others)]
        shape = CASES[case].shape if case in CASES else "—"
        lines.append(f"| {case} | {shape} | " + " | ".join(cells) + " |")
    notes = [f"<sup>{number}</sup> {text}  " for number, text in enumerate(footnotes.texts, start=1)]
    return "\n".join(
        [
            f"```\n{about['command']}\n```\n",
            f"{about['machine']}; {about['versions']}; {about['date']}. Microseconds per training step "
            f"({about['timing']}); of the numbers of threads tried, each one's fastest. In parentheses, "
            "how many times fastmlp's time that is; below 1, in bold, fastmlp is the slower one.\n",
            *lines,
            *(["", *notes] if notes else []),
        ]
    )


def builds_table(record: Record) -> str:
    """Write the table of fastmlp's builds against NumPy.

    Parameters
    ----------
    record : Record
        Of the cases.

    Returns
    -------
    str
        Markdown; "" if only one build was timed.
    """
    builds = list(dict.fromkeys(row["build"] for row in record.rows if row["rival"] == "fastmlp"))
    if len(builds) < 2:
        return ""
    lines = [
        "Every instruction set, forced, on the same machine in the same run: microseconds per training step, and in "
        "parentheses how many times NumPy's speed that is; below 1, in bold, NumPy is the faster one.\n",
        f"| case | {' | '.join(builds)} | NumPy |",
        "| --- |" + " ---: |" * (len(builds) + 1),
    ]
    for case in dict.fromkeys(row["case"] for row in record.rows):
        numpy = best(record.rows, case, "numpy")
        cells = [against(best(record.rows, case, "fastmlp", build), numpy) for build in builds]
        lines.append(f"| {case} | " + " | ".join([*cells, against(numpy, None)]) + " |")
    return "\n".join(lines)


def against(row: Row | None, numpy: Row | None) -> str:
    """Write one build's result on one case.

    Parameters
    ----------
    row : dict or None
        The build's, as from `best`.
    numpy : dict or None
        NumPy's; None leaves the comparison out.

    Returns
    -------
    str
        Such as "12.3 (4.5×)"; in bold where NumPy is faster.
    """
    if row is None or not row["median_us"]:
        return "—"
    time = float(row["median_us"])
    if numpy is None or not numpy["median_us"]:
        return digits(time)
    ratio = float(numpy["median_us"]) / time
    text = f"{digits(time)} ({digits(ratio)}×)"
    return f"**{text}**" if ratio < 1 else text


def figure() -> str:
    """Include plot.py's figure of the ratios.

    Returns
    -------
    str
        Markdown; "" if the figure has not been drawn.
    """
    if not (README.parent / FIGURE).is_file():
        return ""
    return f"![Times faster than each of the others, case by case]({FIGURE.as_posix()})"


def estimators_table(record: Record) -> str:
    """Write the table of scikit-learn's estimators against fastmlp's.

    Parameters
    ----------
    record : Record
        As estimators.py writes it.

    Returns
    -------
    str
        Markdown: the command, where and when it ran, the table.
    """
    about, (theirs, ours) = record.about, estimators.RIVALS
    lines = [
        "| data | shape | scikit-learn, s | fastmlp, s | times faster | products alone, s | epochs | its score | "
        "fastmlp's |",
        "| --- | --- |" + " ---: |" * 7,
    ]
    for name in dict.fromkeys(row["dataset"] for row in record.rows):
        of = functools.partial(estimators.column, record.rows, name)
        faster = estimators.times_faster(record.rows, name)
        factor = digits(faster) if faster >= 1 else f"**{digits(faster)}**"
        shape = next(row["shape"] for row in record.rows if row["dataset"] == name)
        epochs = sorted({int(count) for rival in (theirs, ours) for count in of(rival, "epochs")})
        between = f"{epochs[0]}" if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]}"
        seconds = [f"{statistics.median(of(rival, 'seconds')):.3g}" for rival in (theirs, ours, estimators.PRODUCTS)]
        scores = [f"{statistics.fmean(of(rival, 'score')):.4f}" for rival in (theirs, ours)]
        lines.append(f"| {name} | {shape} | {' | '.join([*seconds[:2], factor, seconds[2], between, *scores])} |")
    return "\n".join(
        [
            f"```\n{about['command']}\n```\n",
            f"{about['machine']}; {about['versions']}; {about['date']}. Both with default parameters "
            f"({about['timing']}); medians of seconds and of their ratios, means of the scores (accuracy, R²) on a "
            "fifth of the rows that was held out. Products alone: NumPy's time for the matrix products of as many "
            "epochs, zeros included, and nothing else.\n",
            *lines,
        ]
    )


def rewritten(text: str, name: str, section: str) -> str:
    """Put a section between README's marks.

    Parameters
    ----------
    text : str
        README's text.
    name : str
        One of SECTIONS.
    section : str
        As from `table`.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the marks aren't there, once each and in order.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"README.md needs one {begin} and, below it, one {end}")
    return f"{text[: text.index(begin)]}{begin}\n{section}\n{text[text.index(end) :]}"


def main(arguments: Sequence[str]) -> int:
    """Rewrite README.md, or check it.

    Parameters
    ----------
    arguments : sequence of str
        Without the program's name.

    Returns
    -------
    int
        0, or 1 if `--check` finds another table.
    """
    parser = argparse.ArgumentParser(description="Write README's benchmark table from the newest record.")
    parser.add_argument("--check", action="store_true", help="only say whether README.md is up to date")
    options = parser.parse_args(arguments)
    text = README.read_text(encoding="utf-8")
    record = newest("cases", RECORD)
    sections = ("\n\n".join(filter(None, [table(record), builds_table(record), figure()])),
                estimators_table(newest("estimators", RECORD)))
    wanted = text
    for name, section in zip(SECTIONS, sections, strict=True):
        wanted = rewritten(wanted, name, section)
    if not options.check:
        README.write_text(wanted, encoding="utf-8")
        return 0
    if text == wanted:
        return 0
    print("README.md is not what the newest record gives: run python bench/readme.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
