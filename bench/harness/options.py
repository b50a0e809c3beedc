"""The one `main` of all scripts, the options that they have in common, and the parsers of lists and numbers."""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import builds, records


@dataclass(frozen=True)
class Script:
    """A script: its command line, what it does, and the record that it writes."""

    text: str  # whose first line describes the script
    run: Callable[[argparse.Namespace, records.Record], int | None]  # fills the record; returns the exit code or None
    kind: str = ""  # of the record, which adds `--out`; "" if the script writes none
    repeats: int = 0  # the default number of timings, which adds `--repeats`
    seconds: float = 0.0  # about how long a timing takes by default, which adds `--seconds`
    options: Callable[[argparse.ArgumentParser], None] = lambda parser: None  # adds the script's own options

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        parser = argparse.ArgumentParser(description=self.text.partition("\n")[0])
        if self.kind:
            parser.add_argument("--out", type=Path, help="the record's file (default bench/record/KIND-DATE-….csv)")
        if self.repeats:
            add_number(parser, "--repeats", self.repeats, "timings of each")
        if self.seconds:
            add_number(parser, "--seconds", self.seconds, "about how long a timing takes")
        self.options(parser)
        return parser.parse_args(arguments)

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Run the script, write its record if there are rows, and return the exit code."""
        arguments = sys.argv[1:] if arguments is None else arguments
        options = self.parse(arguments)
        record = records.begun(command(records.script_of(self.kind), arguments))
        code = self.run(options, record) or 0
        if record.rows:
            record.write(self.kind, options.out)
        return code


def command(script: str, arguments: Sequence[str]) -> str:
    """Return a command line as it is recorded, without the place of its record."""
    pairs = zip(["", *arguments], arguments, strict=False)
    kept = [word for before, word in pairs if before != "--out" and not word.startswith("--out")]
    return " ".join([f"python bench/{script}", *kept])


def add_number(parser: argparse.ArgumentParser, option: str, default: float, text: str) -> None:
    """Add an option that takes a positive number of the default's kind."""
    parser.add_argument(option, type=positive(type(default)), default=default, help=f"{text} (default {default:g})")


def add_list(
    parser: argparse.ArgumentParser, option: str, known: Sequence[str], default: Sequence[str], text: str = ""
) -> None:
    """Add an option that takes names, separated by commas, or "all"; they come out in the order of `known`."""

    def parse(text: str) -> list[str]:
        given = list(known) if text == "all" else text.split(",")
        if unknown := [name for name in given if name not in known]:
            raise argparse.ArgumentTypeError(f"got {', '.join(unknown)}; known are {', '.join(known)}")
        return [name for name in known if name in given]

    text = f"{text or 'default all'}; known are {', '.join(known)}"
    parser.add_argument(option, type=parse, default=list(default), metavar="A,B", help=text)


def thread_counts(text: str) -> list[int]:
    """Parse comma-separated numbers of threads, "all" being the CPUs that this process may use."""
    return whole_numbers(",".join(str(builds.usable_cpus()) if part == "all" else part for part in text.split(",")))


def whole_numbers(text: str) -> list[int]:
    """Parse comma-separated whole numbers from 1 on; they come out rising, each once."""
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"got {text}; expected whole numbers from 1 on, separated by commas")
    return sorted(set(map(int, parts)))


def positive(kind: type) -> Callable[[str], Any]:
    """Return the parser of a positive number of a kind, int or float."""

    def parse(text: str) -> Any:
        value = kind(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"got {text}; expected a positive number")
        return value

    return parse
