"""Checks of single values: a name, a whole number, a real number, a flag; and of a dataclass, field by field.

They stand on the ground because the optimizers, losses and schedules check themselves with them. Every message is one
line: "argument: what came; what is accepted; what to do".
"""

import math
import numbers
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from fastmlp._spec.elsewhere import plain


def listing(values: Iterable[Any], limit: int = 10) -> str:
    """Return values as text for a message: strings in quotes, shortened past `limit`.

    Parameters
    ----------
    values : iterable
        What to list, in order.
    limit : int, default 10
        How many are written out.

    Returns
    -------
    str
        The values, separated by commas.

    Examples
    --------
    >>> listing(["sgd", "adam"])
    "'sgd', 'adam'"
    >>> listing(range(5), limit=2)
    '0, 1, ... (5 in all)'
    """
    values = list(values)
    text = ", ".join(repr(value) for value in values[:limit])
    return text if len(values) <= limit else f"{text}, ... ({len(values)} in all)"


def choice(
    value: Any, known: Iterable[str], argument: str, elsewhere: Mapping[str, Iterable[str]] = MappingProxyType({})
) -> str:
    """Check that a value is one of the known names.

    Parameters
    ----------
    value : str
        What the user gave.
    known : iterable of str
        The accepted names, in the order in which a message lists them. If it is a mapping, the values' `shown`, where
        there is one, is the formula that a message shows.
    argument : str
        The argument's name, for the message.
    elsewhere : mapping of str to names, default none
        What other libraries call the known names, as `fastmlp._spec.elsewhere.table` makes it.

    Returns
    -------
    str
        The name.

    Raises
    ------
    TypeError
        If `value` is not a string.
    ValueError
        If the name is unknown; the message says what its like is called here, or suggests the nearest known one.

    Examples
    --------
    >>> choice("relu", ("tanh", "relu"), "activation")
    'relu'
    >>> choice("rleu", ("tanh", "relu"), "activation")
    Traceback (most recent call last):
    ValueError: activation: got 'rleu', expected one of 'tanh', 'relu'; did you mean 'relu'?
    """
    names, is_name = tuple(known), isinstance(value, str)
    if is_name and value in names:
        return str(value)
    got = repr(value) if is_name else f"{value!r} ({type(value).__name__})"
    error = ValueError if is_name else TypeError
    word = value if is_name else str(getattr(value, "__name__", type(value).__name__))  # torch.nn.ReLU, or one
    ours = [f"{name!r}{_formula(known, name)}" for name in elsewhere.get(plain(word), ()) if name in names]
    if ours:
        raise error(f"{argument}: got {got}; use {' or '.join(ours)}")
    import difflib  # here: only a mistake needs it

    nearest = difflib.get_close_matches(value.lower(), names, n=1, cutoff=0.5) if is_name else ()
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    raise error(f"{argument}: got {got}, expected one of {listing(names)}{hint}")


def _formula(known: Iterable[str], name: str) -> str:
    shown = getattr(known[name], "shown", "") if isinstance(known, Mapping) else ""
    return f" ({shown})" if shown else ""


def whole(value: Any, argument: str, *, minimum: int = 1, maximum: int | None = None) -> int:
    """Check a whole number.

    Parameters
    ----------
    value : int or numpy integer
        What the user gave. Booleans, floats (2.0 too) and strings are refused.
    argument : str
        The argument's name, for the message.
    minimum : int, default 1
        The smallest accepted value.
    maximum : int or None, default None
        The largest accepted value; None for no limit.

    Returns
    -------
    int
        The number.

    Raises
    ------
    TypeError
        If `value` is not an integer.
    ValueError
        If it lies outside the range.

    Examples
    --------
    >>> whole(np.int64(3), "epochs")
    3
    """
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if is_whole and value >= minimum and (maximum is None or value <= maximum):
        return int(value)
    error, got = (ValueError, int(value)) if is_whole else (TypeError, f"{value!r} ({type(value).__name__})")
    limit = "" if maximum is None else f" and at most {maximum}"
    raise error(f"{argument}: got {got}, expected a whole number of at least {minimum}{limit}")


def number(
    value: Any,
    argument: str,
    *,
    minimum: float = 0.0,
    above: float | None = None,
    below: float | None = None,
    maximum: float | None = None,
) -> float:
    """Check a finite real number.

    Parameters
    ----------
    value : int, float or numpy number
        What the user gave. Booleans and strings are refused.
    argument : str
        The argument's name, for the message.
    minimum : float, default 0.0
        The smallest accepted value.
    above : float or None, default None
        If given, a bound that the value must exceed; it takes the place of `minimum`.
    below : float or None, default None
        If given, a bound that the value must stay under.
    maximum : float or None, default None
        If given, the largest accepted value.

    Returns
    -------
    float
        The number.

    Raises
    ------
    TypeError
        If `value` is not a real number.
    ValueError
        If it is NaN or infinite or lies outside the range.

    Examples
    --------
    >>> number(1, "learning_rate")
    1.0
    """
    # float stands before Real: the check against an abstract class takes longer than everything else here.
    if isinstance(value, (float, numbers.Real)) and not isinstance(value, (bool, np.bool_)):
        try:
            real = float(value)
        except OverflowError:  # an integer past the largest float
            error, got = ValueError, "an integer past every float"
        else:
            reaches = real >= minimum if above is None else real > above
            stays = (below is None or real < below) and (maximum is None or real <= maximum)
            if math.isfinite(real) and reaches and stays:
                return real
            error, got = ValueError, repr(real)
    else:
        error, got = TypeError, f"{value!r} ({type(value).__name__})"
    accepted = f"of at least {minimum:g}" if above is None else f"above {above:g}"
    limit = ("" if below is None else f" and below {below:g}") + ("" if maximum is None else f", at most {maximum:g}")
    raise error(f"{argument}: got {got}, expected a finite number {accepted}{limit}")


def flag(value: Any, argument: str) -> bool:
    """Check a flag.

    Parameters
    ----------
    value : bool or numpy.bool_
        What the user gave; 0 and 1 are refused.
    argument : str
        The argument's name, for the message.

    Returns
    -------
    bool
        The flag.

    Raises
    ------
    TypeError
        If `value` is neither True nor False.

    Examples
    --------
    >>> flag(True, "shuffle")
    True
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{argument}: got {value!r} ({type(value).__name__}), expected True or False")
    return bool(value)


def check_fields(record: Any, checks: Mapping[str, Callable[..., Any]]) -> None:
    """Check a frozen dataclass by a table of checks, and keep what they return, so that equal settings print alike."""
    for name, value in vars(record).items():
        if name in checks:  # a user's subclass may add fields
            object.__setattr__(record, name, checks[name](value, argument=name))


def optional(check: Callable[..., Any]) -> Callable[..., Any]:
    """Return a check that also accepts None."""

    def checked(value: Any, argument: str) -> Any:
        return None if value is None else check(value, argument)

    return checked


def improves(value: float, best: float, difference: float, relative: bool) -> bool:
    """Return whether a number, smaller being better, is better than the best one by more than a difference.

    With `relative` the difference is a fraction of abs(best). Any number is better than infinity.
    """
    if best == math.inf:
        return value < best
    return value < (best * (1 - math.copysign(difference, best)) if relative else best - difference)


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


@contextmanager
def renamed(names: Mapping[str, str]) -> Iterator[None]:
    """Let messages of checks name an argument as the caller wrote it, if it was handed on under another name.

    What an exception of a callback says, which carries the network, stays as it is.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        name, colon, rest = str(error).partition(":")
        if name in names and not hasattr(error, "network"):
            error.args = (f"{names[name]}{colon}{rest}",)
        raise


def checked_path(value: Any) -> Path:
    """Check where a file is or is to be: text, not bytes."""
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        raise TypeError(f"path: got {value!r} ({type(value).__name__}); a str or path-like is accepted")
    return Path(value)
