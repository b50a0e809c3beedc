"""The rows' formulas, computed: in NumPy, number by number in mpmath, and on which side of every branch they are."""

import math

import numpy as np

try:
    import mpmath
except ImportError:  # the tests that need it skip themselves
    mpmath = None

_ERF = np.vectorize(math.erf, otypes=[float])
IN_NUMPY = {
    name: getattr(np, name) for name in ("abs", "exp", "log", "expm1", "log1p", "sqrt", "tanh", "cosh", "where", "pi")
} | {"min": np.minimum, "max": np.maximum, "sigmoid": lambda z: 1 / (1 + np.exp(-z)), "erf": _ERF}


def _in_mpmath():
    names = ("exp", "log", "expm1", "log1p", "sqrt", "tanh", "cosh", "erf")
    return {name: getattr(mpmath, name) for name in names} | {
        "abs": abs,
        "min": min,
        "max": max,
        "pi": +mpmath.pi,  # in the precision that is set
        "sigmoid": lambda z: 1 / (1 + mpmath.exp(-z)),
        "where": lambda condition, one, other: one if condition else other,
    }


def in_numpy(formula, **variables):
    """The formula of arrays, in their type."""
    with np.errstate(all="ignore"):  # in the branch that `where` does not take
        return eval(formula, {"__builtins__": {}} | IN_NUMPY | variables)


def in_digits(formula, **variables):
    """The formula of numbers, in the precision of mpmath that is set."""
    return eval(formula, {"__builtins__": {}} | _in_mpmath() | variables)


def sides(formula, **variables):
    """On which side of each of the formula's branches (abs, min, max, where) its variables are."""
    found = []

    def branch(condition):
        found.append(np.ravel(condition))
        return condition

    recording = {
        "abs": lambda z: np.where(branch(z > 0), z, -z),
        "min": lambda a, b: np.where(branch(a < b), a, b),
        "max": lambda a, b: np.where(branch(a > b), a, b),
        "where": lambda condition, one, other: np.where(branch(condition), one, other),
    }
    in_numpy(formula, **recording, **variables)
    return np.concatenate(found) if found else np.empty(0, bool)
