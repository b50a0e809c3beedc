"""Warnings that point at the caller's line."""

import sys
import warnings

_INSIDE = ("fastmlp", "sklearn")  # whose lines are not the caller's


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn of the line outside of the packages that led here."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in _INSIDE:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
