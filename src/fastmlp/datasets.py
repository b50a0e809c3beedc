"""Small two-dimensional data sets to learn and to teach with, drawn from a seed.

Every function returns ``(X, y)``: ``X`` of shape (rows, 2), float64, and ``y`` of shape (rows,), int64 class labels.
The same arguments give the same numbers.
"""

import numpy as np
from numpy.typing import NDArray

from fastmlp._spec.values import number, whole

__all__ = ["circles", "moons", "spirals", "xor"]

LabelledPoints = tuple[NDArray[np.float64], NDArray[np.int64]]


def xor(rows: int = 300, noise: float = 0.0, seed: int | None = 0) -> LabelledPoints:
    """Draw exclusive or: points of a standard normal distribution, labelled by their quadrant.

    A point's label is ``(x1 > 0) xor (x2 > 0)``; no straight line separates the two classes.

    Parameters
    ----------
    rows : int, default 300
        Number of points, at least 2.
    noise : float, default 0.0
        Standard deviation of the normal noise that is added to the labelled points.
    seed : int or None, default 0
        Seed of ``numpy.random.default_rng``; None draws new numbers each time.

    Returns
    -------
    X : ndarray of shape (rows, 2), float64
    y : ndarray of shape (rows,), int64
        Labels 0 and 1.

    Raises
    ------
    TypeError
        If `rows` is not a whole number, or `noise` is not a number.
    ValueError
        If `rows` is below 2, or `noise` is negative or not finite.

    Examples
    --------
    >>> X, y = xor(rows=4, seed=1)
    >>> X.shape, y.tolist()
    ((4, 2), [0, 1, 0, 1])
    >>> bool(((X[:, 0] > 0) ^ (X[:, 1] > 0) == y).all())
    True
    """
    rng = _generator(rows, noise, seed)
    X = rng.standard_normal((rows, 2))
    return _noisy(X, np.logical_xor(X[:, 0] > 0, X[:, 1] > 0), noise, rng)


def moons(rows: int = 300, noise: float = 0.1, seed: int | None = 0) -> LabelledPoints:
    """Draw two half circles that reach into each other.

    With t uniform in [0, pi], class 0 lies on (cos t, sin t) and class 1 on (1 - cos t, 1/2 - sin t).

    Parameters
    ----------
    rows : int, default 300
        Number of points, at least 2; half of them (rounded up) are of class 0.
    noise : float, default 0.1
        Standard deviation of the normal noise that is added to the points.
    seed : int or None, default 0
        Seed of ``numpy.random.default_rng``; None draws new numbers each time.

    Returns
    -------
    X : ndarray of shape (rows, 2), float64
    y : ndarray of shape (rows,), int64
        Labels 0 and 1.

    Raises
    ------
    TypeError
        If `rows` is not a whole number, or `noise` is not a number.
    ValueError
        If `rows` is below 2, or `noise` is negative or not finite.

    Examples
    --------
    >>> X, y = moons(rows=5, noise=0.0)
    >>> X.shape, y.tolist()
    ((5, 2), [0, 1, 0, 1, 0])
    >>> bool(np.allclose(np.hypot(*X[y == 0].T), 1.0))
    True
    """
    rng = _generator(rows, noise, seed)
    y = np.arange(rows) % 2
    angle = np.pi * rng.random(rows)
    upper = _polar(np.ones(rows), angle)
    return _noisy(np.where(y[:, None] == 0, upper, [1.0, 0.5] - upper), y, noise, rng)


def circles(rows: int = 300, noise: float = 0.05, radius: float = 0.5, seed: int | None = 0) -> LabelledPoints:
    """Draw two circles around the origin, one inside the other.

    Class 0 lies on the circle of radius 1, class 1 on the circle of radius `radius`, both at angles uniform
    in [0, 2 pi].

    Parameters
    ----------
    rows : int, default 300
        Number of points, at least 2; half of them (rounded up) are of class 0.
    noise : float, default 0.05
        Standard deviation of the normal noise that is added to the points.
    radius : float, default 0.5
        Radius of the inner circle, above 0 and below 1.
    seed : int or None, default 0
        Seed of ``numpy.random.default_rng``; None draws new numbers each time.

    Returns
    -------
    X : ndarray of shape (rows, 2), float64
    y : ndarray of shape (rows,), int64
        Labels 0 and 1.

    Raises
    ------
    TypeError
        If `rows` is not a whole number, or `noise` or `radius` is not a number.
    ValueError
        If `rows` is below 2, `noise` is negative or not finite, or `radius` is not between 0 and 1.

    Examples
    --------
    >>> X, y = circles(rows=4, noise=0.0)
    >>> np.hypot(*X.T).round(6).tolist(), y.tolist()
    ([1.0, 0.5, 1.0, 0.5], [0, 1, 0, 1])
    """
    rng = _generator(rows, noise, seed)
    radius = number(radius, "radius", above=0.0, below=1.0)
    y = np.arange(rows) % 2
    return _noisy(_polar(np.where(y == 0, 1.0, radius), 2.0 * np.pi * rng.random(rows)), y, noise, rng)


def spirals(
    rows: int = 300, noise: float = 0.02, turns: float = 1.5, classes: int = 2, seed: int | None = 0
) -> LabelledPoints:
    """Draw interleaved spirals, one per class: the more turns, the harder.

    With t uniform in [0, 1], a point of class k lies at the distance ``sqrt(t)``, which spreads the points evenly
    along the arm, and at the angle ``2 pi (turns sqrt(t) + k / classes)``.

    Parameters
    ----------
    rows : int, default 300
        Number of points, at least `classes`; the classes alternate.
    noise : float, default 0.02
        Standard deviation of the normal noise that is added to the points.
    turns : float, default 1.5
        Turns of each spiral around the origin, at least 0; 0 gives straight arms.
    classes : int, default 2
        Number of spirals, at least 2.
    seed : int or None, default 0
        Seed of ``numpy.random.default_rng``; None draws new numbers each time.

    Returns
    -------
    X : ndarray of shape (rows, 2), float64
    y : ndarray of shape (rows,), int64
        Labels 0 to ``classes - 1``.

    Raises
    ------
    TypeError
        If `rows` or `classes` is not a whole number, or `noise` or `turns` is not a number.
    ValueError
        If `classes` is below 2, `rows` is below `classes`, or `noise` or `turns` is negative or not finite.

    Examples
    --------
    >>> X, y = spirals(rows=6, classes=3)
    >>> X.shape, y.tolist()
    ((6, 2), [0, 1, 2, 0, 1, 2])
    >>> X, y = spirals(noise=0.0)
    >>> bool(np.hypot(*X.T).max() <= 1.0)
    True
    """
    classes = whole(classes, "classes", minimum=2)
    turns = number(turns, "turns")
    rng = _generator(rows, noise, seed, minimum=classes)
    y = np.arange(rows) % classes
    distance = np.sqrt(rng.random(rows))
    return _noisy(_polar(distance, 2.0 * np.pi * (turns * distance + y / classes)), y, noise, rng)


def _polar(distance: NDArray[np.float64], angle: NDArray[np.float64]) -> NDArray[np.float64]:
    return distance[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])


def _noisy(X: NDArray[np.float64], y: NDArray, noise: float, rng: np.random.Generator) -> LabelledPoints:
    return X + noise * rng.standard_normal(X.shape), y.astype(np.int64)


def _generator(rows: int, noise: float, seed: int | None, minimum: int = 2) -> np.random.Generator:
    """Check the arguments of every data set, and return the generator of its seed."""
    whole(rows, "rows", minimum=minimum, maximum=2**31 - 1)
    number(noise, "noise")
    return np.random.default_rng(None if seed is None else whole(seed, "seed", minimum=0))
