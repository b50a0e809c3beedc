"""Records that check themselves when they are made: each field names the function that checks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field
from typing import Any


def checked(check: Callable[[Any, Any], Any], default: Any = MISSING) -> Any:
    """Make a field whose value is what `check(value, record)` returns; fields above it are checked already."""
    return field(default=default, metadata={"check": check})


@dataclass(frozen=True, eq=False)
class CheckedRecord:
    """A frozen record, all of whose values have been checked."""

    def __post_init__(self) -> None:
        """Check the fields in their order."""
        # Not `fields(self)`: each tuple that it makes stays in Python's store of free tuples, up to 2000 of them.
        for each in self.__dataclass_fields__.values():
            if "check" in each.metadata:
                object.__setattr__(self, each.name, each.metadata["check"](getattr(self, each.name), self))
