"""Measures of what a network gives against what it should give: accuracies, rankings and errors.

Imports `_scalars` only; the network, the training loop and `_validate` may import it. What a user may choose is a name
of METRICS, a callable, or a `Metric` that says more about the callable; `metric` makes a `Metric` of each.

Every function takes y, what was predicted, and a weight a row, and returns a float. Only the weights' proportions
count: a row of weight 0 counts as if it were not there, one of weight k as k rows. Sums are in float64. Where nothing
is left to measure, the result is NaN. With w the weights:

================= ======================================================== ============= ================
name              value                                                    better is     targets
================= ======================================================== ============= ================
accuracy          weight of the rows that are right / weight of all rows   more          classes, labels
balanced_accuracy mean over classes: right of its rows / its rows          more          classes
f1                2 both / (true + predicted), of class 1 or a mean        more          classes, labels
roc_auc           chance that a row of a class scores above one that is    more          classes, labels
                  not of it; ties count half
mse               Σ w (y - h)^2 / Σ w                                      less          numbers
mae               Σ w abs(y - h) / Σ w                                     less          numbers
r2                1 - Σ w (y - h)^2 / Σ w (y - mean y)^2                   more          numbers
================= ======================================================== ============= ================
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from fastmlp._scalars import choice, flag, listing, whole

GIVEN = ("predictions", "codes", "scores")
KINDS = ("real", "labels", "multilabel")


# ---- what comes in -------------------------------------------------------------------------------------------


def _classes(values: Any, argument: str) -> np.ndarray:
    """Read class codes as int64 of shape (rows,), or a 0/1 matrix as bool of shape (rows, outputs)."""
    array = np.asarray(values, order="C")  # so that sums add in one order, however y came
    if array.ndim == 1 and array.dtype.kind in "biu":
        if array.size and array.min() < 0:
            raise ValueError(f"{argument}: got the class code {array.min()}; codes of at least 0 are accepted")
        return array.astype(np.int64)
    if array.ndim == 2 and array.shape[1] and array.dtype.kind in "biuf":
        ones = array == 1
        if not (ones | (array == 0)).all():
            raise ValueError(
                f"{argument}: got a matrix with other values than 0 and 1; 0/1 matrices are accepted; of one class a "
                "row, give the class codes, shape (rows,)"
            )
        return ones
    raise TypeError(
        f"{argument}: got {array.dtype} of shape {array.shape}; class codes of shape (rows,) or a 0/1 matrix is "
        "accepted; of labels, give their places 0, 1, ... among the classes"
    )


def _numbers(values: Any, argument: str) -> np.ndarray:
    """Read numbers of shape (rows,) or (rows, columns), in their own dtype."""
    array = np.asarray(values, order="C")
    if array.ndim not in (1, 2) or array.dtype.kind not in "biuf":
        raise TypeError(
            f"{argument}: got {array.dtype} of shape {array.shape}; numbers of shape (rows,) or (rows, columns) are "
            "accepted"
        )
    return array


def _weighted(sample_weight: Any, y: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Leave out the rows of weight 0, and give y, the other array and the weights in float64.

    Weights are brought below 1 by a power of two, which rounds nothing, so that no sum of them overflows.
    """
    if sample_weight is None:
        return y, other, np.ones(len(y))
    weights = np.asarray(sample_weight)
    if weights.dtype.kind not in "biuf" or weights.shape != y.shape[:1]:
        raise ValueError(
            f"sample_weight: got {weights.dtype} of shape {weights.shape} for {len(y)} rows; one number a row is "
            "accepted; None weighs all alike"
        )
    weights = weights.astype(np.float64)
    bad = np.flatnonzero(~((weights >= 0) & (weights < np.inf)))
    if len(bad):
        raise ValueError(
            f"sample_weight: got {weights[bad[0]]} at row {bad[0]}; finite numbers of at least 0 are accepted"
        )
    weights = np.ldexp(weights, -np.frexp(weights.max(initial=0.0))[1])
    kept = weights > 0
    return (y, other, weights) if kept.all() else (y[kept], other[kept], weights[kept])


def _same_shape(y: np.ndarray, predicted: np.ndarray) -> None:
    if y.shape != predicted.shape:
        raise ValueError(f"predicted: got shape {predicted.shape} where y has {y.shape}; equal shapes are accepted")


def _class_rows(y: Any, predicted: Any, sample_weight: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read true and predicted classes and weights; rows of weight 0 are left out."""
    y, predicted = _classes(y, "y"), _classes(predicted, "predicted")
    _same_shape(y, predicted)
    return _weighted(sample_weight, y, predicted)


def _mean(values: np.ndarray, counted: np.ndarray) -> float:
    """Average the values that count; NaN where none does."""
    return float(values[counted].mean()) if counted.any() else float("nan")


# ---- classes -------------------------------------------------------------------------------------------------


def accuracy(y: Any, predicted: Any, sample_weight: Any = None) -> float:
    """Measure which share of the rows is right: Σ_right w / Σ w.

    Parameters
    ----------
    y : array-like, shape (rows,) or (rows, outputs)
        The true class codes, or a 0/1 matrix of labels.
    predicted : array-like, of y's shape
        The predicted ones. Of a matrix, a row is right where all its labels are.
    sample_weight : array-like, shape (rows,), or None, default None
        A weight a row, at least 0; None weighs all alike.

    Returns
    -------
    float
        The share, in [0, 1]; NaN without rows.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind or shape.

    Examples
    --------
    >>> accuracy([0, 1, 2, 2], [0, 1, 2, 1])
    0.75
    >>> accuracy([[1, 0], [1, 1]], [[1, 0], [0, 1]])
    0.5
    """
    y, predicted, weights = _class_rows(y, predicted, sample_weight)
    right = y == predicted
    if right.ndim == 2:
        right = right.all(axis=1)
    # Zeros instead of left-out rows: both sums add in the same order, so the share of all is 1 and none is above.
    return float(np.where(right, weights, 0).sum() / weights.sum()) if len(y) else float("nan")


def balanced_accuracy(y: Any, predicted: Any, sample_weight: Any = None) -> float:
    """Measure which share of a class's rows is right, averaged over the classes (K. H. Brodersen et al., 2010).

    Of class c that is Σ_(y = c, right) w / Σ_(y = c) w. Classes that y does not have, or only with weight 0, are left
    out. A constant prediction reaches 1 / classes, however rare the others are.

    Parameters
    ----------
    y : array-like of int, shape (rows,)
        The true class codes.
    predicted : array-like of int, shape (rows,)
        The predicted ones.
    sample_weight : array-like, shape (rows,), or None, default None
        A weight a row, at least 0; None weighs all alike.

    Returns
    -------
    float
        The mean share, in [0, 1]; NaN without rows.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind or shape.

    Examples
    --------
    >>> balanced_accuracy([0, 0, 0, 1], [0, 0, 0, 0])
    0.5
    """
    y, predicted, weights = _class_rows(y, predicted, sample_weight)
    if y.ndim == 2:
        raise ValueError(
            f"y: got a matrix with {y.shape[1]} columns; class codes of shape (rows,) are accepted; of labels, "
            "measure accuracy or f1"
        )
    actual = np.bincount(y, weights)
    right = np.bincount(y, np.where(y == predicted, weights, 0))
    present = actual > 0
    return _mean(right / np.where(present, actual, 1), present)


def f1(y: Any, predicted: Any, sample_weight: Any = None, *, classes: int | None = None) -> float:
    """Measure the harmonic mean of precision and recall (C. J. van Rijsbergen, 1979).

    Of a class that is 2 both / (true + predicted): the weight of the rows that are rightly given to it, of those that
    belong to it and of those that are given to it. A class without any of these rows has 0.

    Parameters
    ----------
    y : array-like, shape (rows,) or (rows, outputs)
        The true class codes, or a 0/1 matrix of labels.
    predicted : array-like, of y's shape
        The predicted ones.
    sample_weight : array-like, shape (rows,), or None, default None
        A weight a row, at least 0; None weighs all alike.
    classes : int or None, default None
        How many classes there are, at least 2, which a part of their rows need not show; None takes the largest code
        + 1. Not looked at with a matrix.

    Returns
    -------
    float
        Of two classes, that of class 1; of more, the mean over those that occur in y or `predicted`; of a matrix, the
        mean over all columns. In [0, 1]; NaN without rows.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind or shape, or a code is not below `classes`.

    Examples
    --------
    >>> f1([0, 1, 1, 1], [0, 0, 1, 1])
    0.8
    >>> f1([0, 1, 2, 2], [0, 1, 1, 1])
    0.5
    """
    y, predicted, weights = _class_rows(y, predicted, sample_weight)
    if not len(y):
        return float("nan")
    if y.ndim == 2:
        both, true, found = (np.where(rows, weights[:, None], 0).sum(axis=0) for rows in (y & predicted, y, predicted))
        return float(_f1_scores(both, true, found).mean())
    largest = int(max(y.max(), predicted.max()))
    classes = max(largest + 1, 2) if classes is None else whole(classes, "classes", minimum=2)
    if largest >= classes:
        raise ValueError(f"classes: got {classes} with the class code {largest}; a number above every code is accepted")
    true, found = (np.bincount(codes, weights, classes) for codes in (y, predicted))
    scores = _f1_scores(np.bincount(y, np.where(y == predicted, weights, 0), classes), true, found)
    return float(scores[1]) if classes == 2 else _mean(scores, true + found > 0)


def _f1_scores(both: np.ndarray, true: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Compute F1 of every class from its three weights; 0 where they are 0."""
    total = true + found
    return 2 * both / np.where(total > 0, total, 1)


def roc_auc(y: Any, scores: Any, sample_weight: Any = None) -> float:
    """Measure how scores rank the rows of a class: the area under its receiver operating characteristic.

    That is the chance that a row of the class scores above a row that is not of it, drawn with their weights; ties
    count half. It is summed over the rows of the class by their mid-ranks among the others (J. A. Hanley and B. J.
    McNeil, 1982; T. Fawcett, 2006).

    Parameters
    ----------
    y : array-like, shape (rows,) or (rows, outputs)
        The true class codes, or a 0/1 matrix of labels.
    scores : array-like, shape (rows,), (rows, classes) or (rows, outputs)
        Probabilities or any other numbers that rise with them. Of two classes, those of class 1, or a column for
        either, of which the second is taken. Of more classes, a column each; of a matrix, one a column.
    sample_weight : array-like, shape (rows,), or None, default None
        A weight a row, at least 0; None weighs all alike.

    Returns
    -------
    float
        The area, in [0, 1], 0.5 for scores that say nothing. Of more than two classes, the mean over the classes,
        each against all others; of a matrix, the mean over its columns. A class that no row has, or that every row
        has, is left out of the mean. NaN where none is left, or where scores are NaN.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind or shape, or a class has no scores.

    Examples
    --------
    >>> roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    >>> roc_auc([1, 1], [0.2, 0.7])
    nan
    """
    y, scores = _classes(y, "y"), _numbers(scores, "scores")
    wanted = y.shape if y.ndim == 2 else y.shape[:1] + scores.shape[1:]
    if scores.shape != wanted or scores.shape[1:] == (0,):
        raise ValueError(
            f"scores: got shape {scores.shape} where y has {y.shape}; a row for each of y's is accepted, with one "
            "column a class, or a label"
        )
    y, scores, weights = _weighted(sample_weight, y, scores)
    members, scores = _members(y, scores)
    if np.isnan(scores).any():
        return float("nan")
    areas = np.array([_area(*column, weights) for column in zip(members.T, scores.T, strict=True)])
    return _mean(areas, ~np.isnan(areas))


def _members(y: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give a column for every class that is measured: whether each row is of it, and the scores."""
    if y.ndim == 2:
        return y, scores
    if scores.ndim == 1:
        scores = scores[:, None]
    classes = max(scores.shape[1], 2)
    if len(y) and y.max() >= classes:
        raise ValueError(
            f"y: got the class code {y.max()} with scores of {classes} classes; codes below that are accepted; give a "
            "column of scores for every class"
        )
    if classes == 2:
        return (y == 1)[:, None], scores[:, -1:]
    return y[:, None] == np.arange(classes), scores


def _area(member: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    """Compute the area of one class, from whether each row is of it; NaN where all rows are, or none is."""
    if member.all() or not member.any():
        return float("nan")
    order = np.argsort(scores)
    scores, member, weights = scores[order], member[order], weights[order]
    # Equal scores are one group, whose rows all have the rank in its middle.
    starts = np.flatnonzero(np.concatenate([[True], scores[1:] != scores[:-1]]))
    members = np.add.reduceat(np.where(member, weights, 0), starts)
    others = np.add.reduceat(np.where(member, 0, weights), starts)
    reached = np.cumsum(others)
    below = np.concatenate([[0.0], reached[:-1]])
    ranks = (below + others / 2) / reached[-1]
    return float((members * ranks).sum() / members.sum())


# ---- numbers -------------------------------------------------------------------------------------------------


def _number_rows(y: Any, predicted: Any, sample_weight: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read numbers as y, y - h and a weight an entry, all (rows, columns) in float64.

    Where y is NaN, not observed, the weight and the error are 0.
    """
    y, predicted = _numbers(y, "y"), _numbers(predicted, "predicted")
    _same_shape(y, predicted)
    y, predicted, weights = _weighted(sample_weight, y, predicted)
    y, predicted = (
        array.astype(np.float64).reshape(array.shape if array.ndim == 2 else (-1, 1)) for array in (y, predicted)
    )
    observed = ~np.isnan(y)
    with np.errstate(all="ignore"):  # a network that has diverged gives infinities; so may the measure
        return y, np.where(observed, y - predicted, 0), np.where(observed, weights[:, None], 0)


def _column_means(values: np.ndarray, weights: np.ndarray) -> float:
    """Average each column by its own weights, then the columns that have any."""
    totals = weights.sum(axis=0)
    counted = totals > 0
    return _mean((weights * values).sum(axis=0) / np.where(counted, totals, 1), counted)


def mean_squared_error(y: Any, predicted: Any, sample_weight: Any = None) -> float:
    """Measure the mean squared error, Σ w (y - h)^2 / Σ w, averaged over columns: "mse".

    Parameters
    ----------
    y : array-like, shape (rows,) or (rows, outputs)
        The true numbers. NaN means "not observed": the entry is left out.
    predicted : array-like, of y's shape
        The predicted ones, h.
    sample_weight : array-like, shape (rows,), or None, default None
        A weight a row, at least 0; None weighs all alike.

    Returns
    -------
    float
        The error, at least 0. Every column is averaged over its own observed entries first; one without any is left
        out, and without any at all the result is NaN.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind or shape.

    Examples
    --------
    >>> mean_squared_error([1.0, 2.0, 3.0], [1.0, 4.0, 2.0], [1, 1, 2])
    1.5
    """
    _, error, weights = _number_rows(y, predicted, sample_weight)
    with np.errstate(all="ignore"):
        return _column_means(error**2, weights)


def mean_absolute_error(y: Any, predicted: Any, sample_weight: Any = None) -> float:
    """Measure the mean absolute error, Σ w abs(y - h) / Σ w, averaged over columns: "mae".

    Parameters
    ----------
    y : array-like, shape (rows,) or (rows, outputs)
        The true numbers. NaN means "not observed": the entry is left out.
    predicted : array-like, of y's shape
        The predicted ones, h.
    sample_weight : array-like, shape (rows,), or None, default None
        A weight a row, at least 0; None weighs all alike.

    Returns
    -------
    float
        The error, at least 0. Every column is averaged over its own observed entries first; one without any is left
        out, and without any at all the result is NaN.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind or shape.

    Examples
    --------
    >>> mean_absolute_error([1.0, 2.0, float("nan")], [1.0, 4.0, 2.0])
    1.0
    """
    _, error, weights = _number_rows(y, predicted, sample_weight)
    with np.errstate(all="ignore"):
        return _column_means(np.abs(error), weights)


def r2(y: Any, predicted: Any, sample_weight: Any = None) -> float:
    """Measure the share of the variance that is predicted, 1 - Σ w (y - h)^2 / Σ w (y - mean y)^2, over columns.

    The mean of y is weighted too. This is R², as `Network.score` gives it.

    Parameters
    ----------
    y : array-like, shape (rows,) or (rows, outputs)
        The true numbers. NaN means "not observed": the entry is left out.
    predicted : array-like, of y's shape
        The predicted ones, h.
    sample_weight : array-like, shape (rows,), or None, default None
        A weight a row, at least 0; None weighs all alike.

    Returns
    -------
    float
        At most 1, and 0 for the mean of y. Of a column that is constant, 1 if it is met exactly, else 0. Columns are
        averaged; one without an observed entry is left out, and without any at all the result is NaN.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind or shape.

    Examples
    --------
    >>> r2([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.5
    >>> r2([2.0, 2.0], [2.0, 2.0])
    1.0
    """
    y, error, weights = _number_rows(y, predicted, sample_weight)
    observed = ~np.isnan(y)
    lowest = y.min(axis=0, where=observed, initial=np.inf)
    totals = weights.sum(axis=0)
    with np.errstate(all="ignore"):
        # From 0 to 1: nothing that is squared overflows or vanishes, and a constant is known without rounding.
        spread = y.max(axis=0, where=observed, initial=-np.inf) - lowest
        constant = spread == 0
        spread[constant] = 1
        error, y = error / spread, np.where(observed, (y - lowest) / spread, 0)
        deviation = y - (weights * y).sum(axis=0) / totals
        residual, variance = ((weights * part**2).sum(axis=0) for part in (error, deviation))
        ratios = np.where(constant, np.sign(residual), residual / variance)
        return _mean(1 - ratios, totals > 0)


# ---- what the user may choose --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Metric:
    """One measure: its function, and what the function is given.

    A plain callable stands for ``Metric(callable.__name__, callable)``: it is given predictions, and is to rise. Make
    a Metric of a measure of your own that needs scores, or that is to fall, such as
    ``Metric("log_loss", sklearn.metrics.log_loss, given="scores", rises=False)``.

    Parameters
    ----------
    name : str
        The name that histories and messages show.
    function : callable
        ``function(y, predicted)`` returns a number. Where rows have weights, ``sample_weight=`` gives one a row.
    given : {"predictions", "codes", "scores"}, default "predictions"
        What the function is given. ``"predictions"``: the targets as the user wrote them, and what `Network.predict`
        gives: labels, a 0/1 matrix or numbers. ``"codes"``: both as class codes 0, 1, ... or as 0/1 matrices; numbers
        as they are. ``"scores"``: codes or a 0/1 matrix for y, and the network's probabilities or other outputs.
    rises : bool, default True
        Whether more is better.
    targets : tuple of str, default ("real", "labels", "multilabel")
        The kinds of targets that it goes with: ``"real"`` (numbers to approximate), ``"labels"`` (one class a row)
        and ``"multilabel"`` (a 0/1 matrix, any number of ones a row).
    training : bool, default True
        Whether it is measured on the training rows too, which costs a pass over them; False: on validation rows only.

    Raises
    ------
    TypeError, ValueError
        If a setting is of another type or unknown.

    Examples
    --------
    >>> def largest_error(y, predicted, sample_weight=None):
    ...     return abs(y - predicted).max()
    >>> Metric("largest_error", largest_error, rises=False, targets=("real",)).given
    'predictions'
    """

    name: str
    function: Callable[..., float]
    given: str = "predictions"
    rises: bool = True
    targets: tuple[str, ...] = KINDS
    training: bool = True

    def __post_init__(self) -> None:
        """Check the settings."""
        if not isinstance(self.name, str):
            raise TypeError(f"name: got {self.name!r} ({type(self.name).__name__}); a string is accepted")
        if not self.name:
            raise ValueError("name: got an empty string; a name to show is accepted")
        if not callable(self.function):
            raise TypeError(
                f"function: got {self.function!r} ({type(self.function).__name__}); a callable that takes y and what "
                "was predicted is accepted"
            )
        choice(self.given, GIVEN, "given")
        object.__setattr__(self, "rises", flag(self.rises, "rises"))
        object.__setattr__(self, "training", flag(self.training, "training"))
        if not isinstance(self.targets, (tuple, list)) or not self.targets:
            raise TypeError(f"targets: got {self.targets!r}; a tuple of some of {listing(KINDS)} is accepted")
        object.__setattr__(self, "targets", tuple(choice(kind, KINDS, "targets") for kind in self.targets))

    @property
    def takes_weights(self) -> bool:
        """Whether the function has a parameter sample_weight; one that does not tell is believed to."""
        try:
            parameters = inspect.signature(self.function).parameters
        except (TypeError, ValueError):  # of a function written in C, as a rule
            return True
        any_keyword = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        return any_keyword or "sample_weight" in parameters


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        known.name: known
        for known in (
            Metric("accuracy", accuracy, "codes", targets=("labels", "multilabel")),
            Metric("balanced_accuracy", balanced_accuracy, "codes", targets=("labels",)),
            Metric("f1", f1, "codes", targets=("labels", "multilabel")),
            Metric("roc_auc", roc_auc, "scores", targets=("labels", "multilabel")),
            Metric("mse", mean_squared_error, "codes", rises=False, targets=("real",)),
            Metric("mae", mean_absolute_error, "codes", rises=False, targets=("real",)),
            Metric("r2", r2, "codes", targets=("real",)),
        )
    }
)


def metric(value: str | Callable[..., float] | Metric, argument: str = "metrics") -> Metric:
    """Make a `Metric` of what the user gave.

    Parameters
    ----------
    value : str, callable or Metric
        A name of METRICS; a callable, which is given predictions and is to rise; or a Metric, which stays as it is.
    argument : str, default "metrics"
        The argument's name, for messages.

    Returns
    -------
    Metric
        The measure.

    Raises
    ------
    TypeError
        If `value` is none of these.
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> metric("mse").rises
    False
    >>> metric(max).name
    'max'
    """
    if isinstance(value, Metric):
        return value
    if isinstance(value, str):
        return METRICS[choice(value, METRICS, argument)]
    if isinstance(value, type) and issubclass(value, Metric):
        raise TypeError(
            f"{argument}: got the class {value.__name__}; an instance is accepted; write "
            f"{value.__name__}(name, function)"
        )
    if callable(value):
        return Metric(getattr(value, "__name__", type(value).__name__), value)
    raise TypeError(
        f"{argument}: got {value!r} ({type(value).__name__}); a name, a callable or a Metric is accepted; the names "
        f"are {listing(METRICS)}"
    )
