"""Records: what a benchmark has measured, as CSV below `#` lines that state where, when and with what.

The file of a record is called KIND-DATE-BUILD-CORES-cores.csv.
"""

import csv
import datetime
import math
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import fastmlp
from harness import builds

BENCH = Path(__file__).resolve().parents[1]
RECORD = BENCH / "record"
SCRIPTS = {"cases": "run.py", "estimators": "sklearn.py"}  # of the other kinds, the script has the kind's name

TITLES = {
    "fastmlp": "fastmlp µs/step",
    "numpy": "NumPy",
    "scikit-learn": "scikit-learn",
    "pytorch": "PyTorch",
    "jax": "JAX",
}
ESTIMATORS, PRODUCTS = ("scikit-learn", "fastmlp"), "products"  # the rivals in the estimators' record

Row = dict[str, Any]
"""One measurement; the columns are those of the script that writes the record. "" was not measured."""


@dataclass
class Record:
    """A benchmark's results."""

    about: dict[str, str]  # what stands above the rows: date, machine, build, versions, command, timing
    rows: list[Row] = field(default_factory=list)  # the measurements, all with the same columns

    def describe(self, timing: str, versions: Sequence[str] = ()) -> None:
        """Add what a number of the record is, and the other libraries' versions, to the lines above the rows."""
        self.about["timing"] = timing
        self.about["versions"] = ", ".join(dict.fromkeys([self.about["versions"], *versions]))

    def write(self, kind: str, path: Path | None = None) -> Path:
        """Write the record to a file, in `RECORD` unless a path is given."""
        cores = f"{builds.usable_cpus()}-cores"
        path = path or RECORD / f"{kind}-{self.about['date'][:10]}-{self.about['build']}-{cores}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            file.writelines(f"# {name}: {value}\n" for name, value in self.about.items())
            writer = csv.DictWriter(file, list(self.rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        print(f"\nwritten: {path}")
        return path


def script_of(kind: str) -> str:
    """Return the name of the script that writes records of a kind."""
    return SCRIPTS.get(kind, f"{kind}.py")


def begun(command: str) -> Record:
    """Return an empty record of this moment on this machine."""
    versions = f"Python {platform.python_version()}, fastmlp {fastmlp.__version__}, numpy {np.__version__}"
    return Record(
        {
            "date": datetime.datetime.now().isoformat(sep=" ", timespec="minutes"),
            "machine": f"{cpu_name()}, {builds.usable_cpus()} cores, {platform.system()} {platform.machine()}",
            "build": builds.in_use(),
            "versions": versions,
            "command": command,
        }
    )


def cpu_name() -> str:
    """Return the name of the CPU's model, as far as the system knows it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def written(value: float, digits: int = 5) -> str:
    """Return a measurement with that many digits, or "" if it is infinite or NaN, since nothing was measured.

    >>> written(123.456789), written(math.inf)
    ('123.46', '')
    """
    return f"{value:.{digits}g}" if math.isfinite(value) else ""


def show(title: str, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Print some columns of rows as a table."""
    cells = [list(columns), *([str(row[name]) or "—" for name in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    print(f"\n{title}")
    for line in cells:
        print("  " + "  ".join(map(str.ljust, line, widths)).rstrip(), flush=True)


# ----------------------------------------------------------------------------------------------------- reading


def read(path: Path) -> Record:
    """Return the record that a file holds; every value is a string."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line[1:].partition(":") for line in lines if line.startswith("#")]
    about = {name.strip(): value.strip() for name, _, value in comments}
    return Record(about, list(csv.DictReader(line for line in lines if not line.startswith("#"))))


def newest(kind: str, folder: Path) -> Record:
    """Return the record of a kind with the latest date, or raise FileNotFoundError."""
    records = [read(path) for path in sorted(folder.glob(f"{kind}-*.csv"))]
    if not records:
        raise FileNotFoundError(f"no record {kind}-*.csv in {folder}: run python bench/{script_of(kind)} first")
    return max(records, key=lambda record: record.about["date"])


def distinct(record: Record, name: str) -> list[str]:
    """Return the values of a record's column, each once, in their order."""
    return list(dict.fromkeys(row[name] for row in record.rows))


def best(record: Record, case: str, rival: str, build: str | None = None) -> Row | None:
    """Return a rival's row with the smallest median on a case; an untimed row if no other is there, or None."""
    found = [row for row in record.rows if (row["case"], row["rival"]) == (case, rival)]
    found = [row for row in found if build in (None, row["build"])]
    return min(found, key=lambda row: float(row["median_us"] or "inf"), default=None)


def own_best(record: Record, case: str) -> Row | None:
    """Return fastmlp's best row on a case, in the build that it chose by itself."""
    return best(record, case, "fastmlp", record.about["build"])


def column(rows: Sequence[Row], dataset: str, rival: str, name: str) -> list[float]:
    """Return a rival's numbers on a data set of the estimators' record, one per seed."""
    chosen = [row for row in rows if row["dataset"] == dataset and row["rival"] == rival]
    return [float(row[name]) for row in sorted(chosen, key=lambda row: int(row["seed"]))]


def times_faster(rows: Sequence[Row], dataset: str) -> float:
    """Return the median over the seeds of scikit-learn's time divided by fastmlp's."""
    theirs, ours = (column(rows, dataset, rival, "seconds") for rival in ESTIMATORS)
    return statistics.median(their / our for their, our in zip(theirs, ours, strict=True))
