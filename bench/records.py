"""Records: what a benchmark has measured, as CSV under `#` lines that say where, when and with what.

A record's file is called KIND-DATE-BUILD-CORES-cores.csv, after the script that wrote it ("cases" is run.py's).
Imports fastmlp for its version and its build only; imported by every script of bench/.
"""

from __future__ import annotations

import csv
import datetime
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fastmlp
from fastmlp import _backend

RECORD = Path(__file__).parent / "record"

Row = dict[str, str]


@dataclass(frozen=True)
class Record:
    """A benchmark's results.

    Parameters
    ----------
    about : dict
        What stands above the rows: date, machine, build, versions, command, timing.
    rows : list of dict
        One a measurement; the columns are those of the script that wrote it. "" is what wasn't measured.
    """

    about: dict[str, str]
    rows: list[Row]


def cpu_name() -> str:
    """Name the CPU's model, as far as the system tells it.

    Returns
    -------
    str
    """
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def header(command: str, timing: str, versions: Sequence[str] = ()) -> dict[str, str]:
    """Say where, when and with what a record is made.

    Parameters
    ----------
    command : str
        The command line.
    timing : str
        What a number of the record is, e.g. "median of 5 timings taken in turns".
    versions : sequence of str, default ()
        Other libraries' names and versions.

    Returns
    -------
    dict
        Stands above the record's rows, one "# name: value" a line.
    """
    own = [f"Python {platform.python_version()}", f"fastmlp {fastmlp.__version__}", f"numpy {np.__version__}"]
    system = f"{platform.system()} {platform.machine()}"
    return {
        "date": datetime.datetime.now().isoformat(sep=" ", timespec="minutes"),
        "machine": f"{cpu_name()}, {_backend.usable_cpus()} cores, {system}",
        "build": _backend.in_use,
        "versions": ", ".join(dict.fromkeys([*own, *versions])),
        "command": command,
        "timing": timing,
    }


def write(kind: str, about: Mapping[str, str], rows: Sequence[Mapping[str, Any]], path: Path | None = None) -> Path:
    """Write a record.

    Parameters
    ----------
    kind : str
        What the record is of; its file's name begins with it.
    about : mapping
        As from `header`.
    rows : sequence of mapping
        The measurements, all with the same columns.
    path : Path, optional
        The file; None names it after kind, date, build and cores, in `RECORD`. Its folder is made if need be.

    Returns
    -------
    Path
        The file.
    """
    cores = f"{_backend.usable_cpus()}-cores"
    path = path or RECORD / f"{kind}-{about['date'][:10]}-{about['build']}-{cores}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        file.writelines(f"# {name}: {value}\n" for name, value in about.items())
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"\nwritten: {path}")
    return path


def read(path: Path) -> Record:
    """Read a record.

    Parameters
    ----------
    path : Path
        A CSV file as `write` writes it.

    Returns
    -------
    Record
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line[1:].partition(":") for line in lines if line.startswith("#")]
    about = {name.strip(): value.strip() for name, _, value in comments}
    return Record(about, list(csv.DictReader(line for line in lines if not line.startswith("#"))))


def newest(kind: str, folder: Path) -> Record:
    """Read the record of a kind with the latest date.

    Parameters
    ----------
    kind : str
        As given to `write`.
    folder : Path
        Where the records are.

    Returns
    -------
    Record

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    records = [read(path) for path in sorted(folder.glob(f"{kind}-*.csv"))]
    if not records:
        script = {"cases": "run", "estimators": "sklearn"}.get(kind, kind)
        raise FileNotFoundError(f"no record {kind}-*.csv in {folder}: run python bench/{script}.py first")
    return max(records, key=lambda record: record.about["date"])
