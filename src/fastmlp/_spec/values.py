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

_MAX_SHOWN = 200  # characters of a value in a message
_MAX_WHOLE = 2**63 - 1


def shown(value: Any) -> str:
    """Return a value as text for a message: its repr in one line, shortened.

    Parameters
    ----------
    value : object
        What the user gave; its repr may be long, have several lines, or raise.

    Returns
    -------
    str
        At most 200 characters of it.

    Examples
    --------
    >>> shown(np.eye(2))
    'array([[1., 0.], [0., 1.]])'
    >>> shown(10**5000)
    'an object of type int that cannot be written out'
    """
    try:
        text = " ".join(line.strip() for line in repr(value).splitlines())
    except Exception:  # of an object of the caller's, or of an integer of more digits than Python writes
        text = f"an object of type {type(value).__name__} that cannot be written out"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def typed(value: Any) -> str:
    """Return a value and its type as text for a message."""
    return f"{shown(value)} ({type(value).__name__})"


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
    text = ", ".join(map(shown, values[:limit]))
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
    got = shown(value) if is_name else typed(value)
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
    formula = getattr(known[name], "shown", "") if isinstance(known, Mapping) else ""
    return f" ({formula})" if formula else ""


def whole(value: Any, argument: str, *, minimum: int = 1, maximum: float = _MAX_WHOLE) -> int:
    """Check a whole number.

    Parameters
    ----------
    value : int or numpy integer
        What the user gave. Booleans, floats (2.0 too) and strings are refused.
    argument : str
        The argument's name, for the message.
    minimum : int, default 1
        The smallest accepted value.
    maximum : int or infinity, default 2**63 - 1
        The largest accepted value.

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
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.timedelta64))
    if is_whole and minimum <= value <= maximum:
        return int(value)
    error, got = (ValueError, shown(int(value))) if is_whole else (TypeError, typed(value))
    is_limited = maximum < _MAX_WHOLE or (is_whole and value > maximum)
    limit = f" and at most {maximum}" if is_limited else ""
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
    if isinstance(value, (float, numbers.Real)) and not isinstance(value, (bool, np.bool_, np.timedelta64)):
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
        error, got = TypeError, typed(value)
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
        raise TypeError(f"{argument}: got {typed(value)}, expected True or False")
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
        raise TypeError(f"{argument}: got {typed(value)}; a name is accepted, such as 'loss'")
    return value


def is_collection(value: Any) -> bool:
    """Return whether a value holds others: not text, and not an array without a dimension."""
    return isinstance(value, Collection) and not isinstance(value, (str, bytes)) and getattr(value, "ndim", 1) > 0


def whole_or_epochs(every: Any, argument: str) -> int | frozenset[int]:
    """Check at the end of which epochs a callback is called: every so many, or those of a collection."""
    if is_collection(every):
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
    if not isinstance(value, (str, os.PathLike)) or not isinstance(path := os.fspath(value), str):
        raise TypeError(f"path: got {typed(value)}; a str or path-like is accepted")
    if not path or "\0" in path:
        raise ValueError(f"path: got {shown(path)}; the name of a file is accepted")
    return Path(path)


def as_array(values: Any, argument: str) -> np.ndarray:
    """Return an array-like as an array."""
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, tensors on a device
        raise ValueError(
            f"{argument}: got a {type(values).__name__} that cannot be read as an array "
            f"({' '.join(str(error).split())}); rows of equal length are accepted"
        ) from error


def as_float(value: Any, source: str) -> float:
    """Return a number that a function of the caller's returned; it may be NaN or infinite."""
    try:
        return float(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise TypeError(f"{source}: got {typed(value)}; a number is accepted") from error
