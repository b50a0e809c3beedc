"""What the scripts' command lines have in common: parsers of lists and numbers, the options that all have.

Imported by every script of bench/ that measures.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fastmlp import _backend


def names(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Make the parser of a comma-separated list of names.

    Parameters
    ----------
    known : sequence of str
        The names that are accepted.

    Returns
    -------
    callable
        Takes the text, returns the names in the order of `known`; "all" is every one.
    """

    def read(text: str) -> list[str]:
        given = list(known) if text == "all" else text.split(",")
        if unknown := [name for name in given if name not in known]:
            raise argparse.ArgumentTypeError(f"got {', '.join(unknown)}; known are {', '.join(known)}")
        return [name for name in known if name in given]

    return read


def loadable_builds() -> list[str]:
    """List the builds of the kernels that this machine can run, the reference not among them.

    Returns
    -------
    list of str
        The best last.
    """
    return [name for name in _backend.available() if name != _backend.REFERENCE]


def thread_counts(text: str) -> list[int]:
    """Parse the numbers of threads, "all" being the CPUs that this process may use.

    Parameters
    ----------
    text : str
        Comma-separated, e.g. "1,all".

    Returns
    -------
    list of int
        Rising, each once.
    """
    counts = [str(_backend.usable_cpus()) if part == "all" else part for part in text.split(",")]
    return whole_numbers(",".join(counts))


def whole_numbers(text: str) -> list[int]:
    """Parse whole numbers from 1 on.

    Parameters
    ----------
    text : str
        Comma-separated, e.g. "1,16,256".

    Returns
    -------
    list of int
        Rising, each once.
    """
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"got {text}; expected whole numbers from 1 on, separated by commas")
    return sorted(set(map(int, parts)))


def positive(kind: type) -> Callable[[str], Any]:
    """Make the parser of a positive number of a kind.

    Parameters
    ----------
    kind : type
        int or float.

    Returns
    -------
    callable
    """

    def read(text: str) -> Any:
        value = kind(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"got {text}; expected a positive number")
        return value

    return read


def record_parser(description: str) -> argparse.ArgumentParser:
    """Make the parser of a script that writes a record, with the option where to.

    Parameters
    ----------
    description : str
        What the script does, in one line.

    Returns
    -------
    argparse.ArgumentParser
    """
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--out", type=Path, help="the record's file (default bench/record/KIND-DATE-….csv)")
    return made


def parser(description: str, repeats: int, seconds: float) -> argparse.ArgumentParser:
    """Make the parser of a script that measures, with the options that all of them have.

    Parameters
    ----------
    description : str
        What the script does, in one line.
    repeats : int
        Timings of each, unless told otherwise.
    seconds : float
        About how long a timing takes, unless told otherwise.

    Returns
    -------
    argparse.ArgumentParser
    """
    made = record_parser(description)
    made.add_argument(
        "--repeats", type=positive(int), default=repeats, help=f"timings of each (default {repeats})"
    )
    made.add_argument(
        "--seconds", type=positive(float), default=seconds, help=f"about how long a timing takes (default {seconds})"
    )
    return made


def command(script: str, arguments: Sequence[str]) -> str:
    """Write a command line down, without where its record goes.

    Parameters
    ----------
    script : str
        The script's name, e.g. "run.py".
    arguments : sequence of str
        Without the program's name.

    Returns
    -------
    str
    """
    kept = [
        argument
        for before, argument in zip(["", *arguments], arguments, strict=False)
        if before != "--out" and not argument.startswith("--out")
    ]
    return " ".join([f"python bench/{script}", *kept])
