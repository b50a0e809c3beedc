"""Dataclasses that check themselves: each field by the function that a table gives for its name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from fastmlp._spec.values import whole


def check_fields(record: Any, checks: Mapping[str, Callable[..., Any]]) -> None:
    """Check the fields of a frozen dataclass, and keep what their checks return: equal settings then print alike."""
    for name, value in vars(record).items():
        if name in checks:  # a user's subclass may add fields
            object.__setattr__(record, name, checks[name](value, argument=name))


def optional(check: Callable[..., Any]) -> Callable[..., Any]:
    """Return a check that also accepts None."""

    def checked(value: Any, argument: str) -> Any:
        return None if value is None else check(value, argument)

    return checked


def named(value: Any, argument: str) -> str:
    """Check a name; a training run checks later whether it knows the name."""
    if not isinstance(value, str):
        raise TypeError(f"{argument}: got {value!r} ({type(value).__name__}); a name is accepted, such as 'loss'")
    return value


def whole_or_epochs(every: Any, argument: str) -> int | frozenset[int]:
    """Check at the end of which epochs a callback is called: every so many, or those of a collection."""
    if isinstance(every, Collection) and not isinstance(every, (str, bytes)):
        return frozenset(whole(epoch, argument) for epoch in every)
    return whole(every, argument)
