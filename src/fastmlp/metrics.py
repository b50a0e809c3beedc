"""Measures of a network's predictions against the targets: accuracies, rankings and errors.

A metric is chosen by a name of METRICS, as a callable, or as a `Metric`, which describes a callable; `metric` makes a
`Metric` of each.

Every function takes y, the predictions or scores, and one weight per row, and returns a float. Only the proportions of
the weights count: a row of weight 0 counts as if it were absent, a row of weight k as k rows. Sums are in float64. The
result is NaN if there is nothing to measure. With w the weights:

================= ======================================================== ============= ================
name              value                                                    better is     targets
================= ======================================================== ============= ================
accuracy          weight of the correct rows / weight of all rows          higher        classes, labels
balanced_accuracy mean over classes: weight of its correct rows / its rows higher        classes
f1                2 both / (true + predicted), of class 1 or a mean        higher        classes, labels
roc_auc           probability that a row of a class scores above a row of  higher        classes, labels
                  the other classes; ties count half
mse               Σ w (y - h)^2 / Σ w                                      lower         numbers
mae               Σ w abs(y - h) / Σ w                                     lower         numbers
r2                1 - Σ w (y - h)^2 / Σ w (y - mean y)^2                   higher        numbers
================= ======================================================== ============= ================

`pinball`, the loss of quantiles, has no name in METRICS, since it needs their levels.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from fastmlp._spec.elsewhere import keywords, table
from fastmlp._spec.values import as_array, check_fields, choice, flag, listing, named, shown, typed, whole
from fastmlp.losses import quantile

GIVEN = ("predictions", "codes", "scores")
KINDS = ("real", "labels", "multilabel")


# ---- arguments -----------------------------------------------------------------------------------------------


def _classes(values: Any, argument: str) -> np.ndarray:
    """Return class codes as int64 of shape (rows,), or a 0/1 matrix as bool of shape (rows, outputs)."""
    array = np.asarray(as_array(values, argument), order="C")  # one order of adding, whatever the layout of y
    if array.ndim == 1 and array.dtype.kind in "biu":
        if array.size and array.min() < 0:
            raise ValueError(f"{argument}: got the class code {array.min()}; codes of at least 0 are accepted")
        return array.astype(np.int64)
    if array.ndim == 2 and array.shape[1] and array.dtype.kind in "biuf":
        ones = array == 1
        if not (ones | (array == 0)).all():
            raise ValueError(
                f"{argument}: got a matrix with values other than 0 and 1; 0/1 matrices are accepted; for one class "
                "per row, pass the class codes, shape (rows,)"
            )
        return ones
    raise TypeError(
        f"{argument}: got {array.dtype} of shape {array.shape}; class codes of shape (rows,) or a 0/1 matrix is "
        "accepted; for labels, pass their positions 0, 1, ... among the classes"
    )


def _numbers(values: Any, argument: str) -> np.ndarray:
    """Return numbers of shape (rows,) or (rows, columns), in their own dtype."""
    array = np.asarray(as_array(values, argument), order="C")
    if array.ndim not in (1, 2) or array.dtype.kind not in "biuf":
        raise TypeError(
            f"{argument}: got {array.dtype} of shape {array.shape}; numbers of shape (rows,) or (rows, columns) are "
            "accepted"
        )
    return array


def _weighted(sample_weight: Any, y: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return y, the other array and the weights in float64, without the rows of weight 0."""
    if sample_weight is None:
        return y, other, np.ones(len(y))
    weights = as_array(sample_weight, "sample_weight")
    if weights.dtype.kind not in "biuf" or weights.shape != y.shape[:1]:
        raise ValueError(
            f"sample_weight: got {weights.dtype} of shape {weights.shape} for {len(y)} rows; one number per row is "
            "accepted; None weighs all rows equally"
        )
    weights = weights.astype(np.float64)
    refused = np.flatnonzero(~((weights >= 0) & (weights < np.inf)))
    if len(refused):
        raise ValueError(
            f"sample_weight: got {weights[refused[0]]} at row {refused[0]}; finite numbers of at least 0 are accepted"
        )
    # Scaled below 1, so that no sum overflows, by a power of two, which rounds nothing.
    weights = np.ldexp(weights, -np.frexp(weights.max(initial=0.0))[1])
    kept = weights > 0
    return (y, other, weights) if kept.all() else (y[kept], other[kept], weights[kept])


def _paired(
    read: Callable[[Any, str], np.ndarray], y: Any, predicted: Any, sample_weight: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return targets and predictions as `read` returns them, and weights, without the rows of weight 0."""
    y, predicted = read(y, "y"), read(predicted, "predicted")
    if y.shape != predicted.shape:
        raise ValueError(f"predicted: got shape {predicted.shape} with y of shape {y.shape}; equal shapes are accepted")
    return _weighted(sample_weight, y, predicted)


def _mean(values: np.ndarray, counted: np.ndarray) -> float:
    """Return the mean of the values that are counted; NaN if there are none."""
    return float(values[counted].mean()) if counted.any() else float("nan")


# ---- classes -------------------------------------------------------------------------------------------------


def accuracy(y: Any, predicted: Any, sample_weight: Any = None) -> float:
    """Compute the fraction of the rows that are correct: Σ_correct w / Σ w.

    Parameters
    ----------
    y : array-like, shape (rows,) or (rows, outputs)
        The true class codes, or a 0/1 matrix of labels.
    predicted : array-like, of y's shape
        The predictions. A row of a matrix is correct if all its labels are.
    sample_weight : array-like, shape (rows,), or None, default None
        One weight per row, at least 0; None weighs all rows equally.

    Returns
    -------
    float
        The fraction, in [0, 1]; NaN without rows.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or shape.

    Examples
    --------
    >>> accuracy([0, 1, 2, 2], [0, 1, 2, 1])
    0.75
    >>> accuracy([[1, 0], [1, 1]], [[1, 0], [0, 1]])
    0.5
    """
    y, predicted, weights = _paired(_classes, y, predicted, sample_weight)
    correct = (y == predicted).all(axis=1) if y.ndim == 2 else y == predicted
    # Zeros in place of the other rows: both sums add in the same order, so that no fraction is above 1.
    return float(np.where(correct, weights, 0).sum() / (weights.sum() or np.nan))


def balanced_accuracy(y: Any, predicted: Any, sample_weight: Any = None) -> float:
    """Compute the fraction of correct rows per class, averaged over the classes (K. H. Brodersen et al., 2010).

    For class c the fraction is Σ_(y = c, correct) w / Σ_(y = c) w. Classes without a row in y, or with rows of weight 0
    only, are left out. A constant prediction has 1 / classes, however rare the other classes are.

    Parameters
    ----------
    y : array-like of int, shape (rows,)
        The true class codes.
    predicted : array-like of int, shape (rows,)
        The predicted class codes.
    sample_weight : array-like, shape (rows,), or None, default None
        One weight per row, at least 0; None weighs all rows equally.

    Returns
    -------
    float
        The mean fraction, in [0, 1]; NaN without rows.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or shape.

    Examples
    --------
    >>> balanced_accuracy([0, 0, 0, 1], [0, 0, 0, 0])
    0.5
    """
    y, predicted, weights = _paired(_classes, y, predicted, sample_weight)
    if y.ndim == 2:
        raise ValueError(
            f"y: got a matrix with {y.shape[1]} columns; class codes of shape (rows,) are accepted; for a matrix of "
            "labels, use accuracy or f1"
        )
    actual = np.bincount(y, weights)
    correct = np.bincount(y, np.where(y == predicted, weights, 0))
    present = actual > 0
    return _mean(correct / np.where(present, actual, 1), present)


def f1(y: Any, predicted: Any, sample_weight: Any = None, *, classes: int | None = None) -> float:
    """Compute the harmonic mean of precision and recall (C. J. van Rijsbergen, 1979).

    For a class it is 2 both / (true + predicted), with `true` the weight of the rows of the class, `predicted` the
    weight of the rows predicted as the class, and `both` the weight of the rows that are both. It is 0 for a class
    without any such row.

    Parameters
    ----------
    y : array-like, shape (rows,) or (rows, outputs)
        The true class codes, or a 0/1 matrix of labels.
    predicted : array-like, of y's shape
        The predictions.
    sample_weight : array-like, shape (rows,), or None, default None
        One weight per row, at least 0; None weighs all rows equally.
    classes : int or None, default None
        Number of classes, some of which may have no row here; None takes the largest code + 1. Ignored
        for a matrix.

    Returns
    -------
    float
        With two classes, the value of class 1; with more, the mean over the classes that occur in y or `predicted`;
        for a matrix, the mean over all columns. In [0, 1]; NaN without rows.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or shape, or a code is not below `classes`.

    Examples
    --------
    >>> f1([0, 1, 1, 1], [0, 0, 1, 1])
    0.8
    >>> f1([0, 1, 2, 2], [0, 1, 1, 1])
    0.5
    """
    y, predicted, weights = _paired(_classes, y, predicted, sample_weight)
    if not len(y):
        return float("nan")
    if y.ndim == 2:
        sums = (np.where(rows, weights[:, None], 0).sum(axis=0) for rows in (y & predicted, y, predicted))
        return float(_f1_scores(*sums).mean())
    largest = int(max(y.max(), predicted.max()))
    classes = max(largest + 1, 2) if classes is None else whole(classes, "classes")
    if largest >= classes:
        raise ValueError(f"classes: got {classes} with the class code {largest}; a number above all codes is accepted")
    true, found = (np.bincount(codes, weights, classes) for codes in (y, predicted))
    scores = _f1_scores(np.bincount(y, np.where(y == predicted, weights, 0), classes), true, found)
    return float(scores[1]) if classes == 2 else _mean(scores, true + found > 0)


def _f1_scores(both: np.ndarray, true: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return F1 of every class from its three weights; 0 if they are 0."""
    total = true + found
    return 2 * both / np.where(total > 0, total, 1)


def roc_auc(y: Any, scores: Any, sample_weight: Any = None) -> float:
    """Compute the area under the receiver operating characteristic: how well scores rank the rows of a class.

    The area is the probability that a row of the class scores above a row of the other classes, both drawn by weight;
    ties count half. It is summed over the rows of the class by their mid-ranks among the other rows (J. A. Hanley and
    B. J. McNeil, 1982; T. Fawcett, 2006).

    Parameters
    ----------
    y : array-like, shape (rows,) or (rows, outputs)
        The true class codes, or a 0/1 matrix of labels.
    scores : array-like, shape (rows,), (rows, classes) or (rows, outputs)
        Probabilities, or other numbers that rise with them. For two classes, the scores of class 1, or two columns,
        of which the second is used. For more classes, one column per class; for a matrix, one column per label.
    sample_weight : array-like, shape (rows,), or None, default None
        One weight per row, at least 0; None weighs all rows equally.

    Returns
    -------
    float
        The area, in [0, 1]; 0.5 for random scores. With more than two classes, the mean over the classes, each
        against all others; for a matrix, the mean over its columns. Classes of no row or of all rows are left out of
        the mean. NaN if no class is left, or if a score is NaN.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or shape, or a class has no scores.

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
            f"scores: got shape {scores.shape} with y of shape {y.shape}; one row per row of y is accepted, with one "
            "column per class or label"
        )
    y, scores, weights = _weighted(sample_weight, y, scores)
    members, scores = _members(y, scores)
    if np.isnan(scores).any():
        return float("nan")
    areas = np.array([_area(*column, weights) for column in zip(members.T, scores.T, strict=True)])
    return _mean(areas, ~np.isnan(areas))


def _members(y: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, with one column per class that is measured, whether each row is of the class, and the scores."""
    if y.ndim == 2:
        return y, scores
    scores = scores[:, None] if scores.ndim == 1 else scores
    classes = max(scores.shape[1], 2)
    if len(y) and y.max() >= classes:
        raise ValueError(
            f"y: got the class code {y.max()} with scores of {classes} classes; codes below {classes} are accepted; "
            "pass one column of scores per class"
        )
    members = y[:, None] == np.arange(classes)
    return (members, scores) if classes > 2 else (members[:, 1:], scores[:, -1:])


def _area(member: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    """Return the area of one class, from whether each row is of the class; NaN if all rows are or none is."""
    if member.all() or not member.any():
        return float("nan")
    order = np.argsort(scores)
    scores, member, weights = scores[order], member[order], weights[order]
    # Equal scores form one group, whose rows all have the middle rank of the group.
    starts = np.flatnonzero(np.append(True, scores[1:] != scores[:-1]))
    members = np.add.reduceat(np.where(member, weights, 0), starts)
    others = np.add.reduceat(np.where(member, 0, weights), starts)
    reached = np.cumsum(others)
    ranks = (np.append(0.0, reached[:-1]) + others / 2) / reached[-1]
    return float((members * ranks).sum() / members.sum())


# ---- numbers -------------------------------------------------------------------------------------------------


@np.errstate(all="ignore")  # a network that has diverged predicts infinities
def _number_rows(y: Any, predicted: Any, sample_weight: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return y, y - h and one weight per entry, all (rows, columns) in float64; NaN in y has weight and error 0."""
    y, predicted, weights = _paired(_numbers, y, predicted, sample_weight)
    y, predicted = (
        array.astype(np.float64).reshape(array.shape if array.ndim == 2 else (-1, 1)) for array in (y, predicted)
    )
    observed = ~np.isnan(y)
    return y, np.where(observed, y - predicted, 0), np.where(observed, weights[:, None], 0)


@np.errstate(all="ignore")
def _mean_cost(cost: Callable[[np.ndarray], np.ndarray], y: Any, predicted: Any, sample_weight: Any) -> float:
    """Return the mean of cost(y - h) per column, averaged over the columns with an observed entry."""
    _, error, weights = _number_rows(y, predicted, sample_weight)
    totals = weights.sum(axis=0)
    return _mean((weights * cost(error)).sum(axis=0) / np.where(totals > 0, totals, 1), totals > 0)


def mean_squared_error(y: Any, predicted: Any, sample_weight: Any = None) -> float:
    """Compute the mean squared error, Σ w (y - h)^2 / Σ w, averaged over columns: "mse".

    Parameters
    ----------
    y : array-like, shape (rows,) or (rows, outputs)
        The true numbers. NaN means "not observed": the entry is left out.
    predicted : array-like, of y's shape
        The predicted numbers, h.
    sample_weight : array-like, shape (rows,), or None, default None
        One weight per row, at least 0; None weighs all rows equally.

    Returns
    -------
    float
        The error, at least 0. Every column is averaged over its observed entries first. Columns without an observed
        entry are left out; the result is NaN if none is left.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or shape.

    Examples
    --------
    >>> mean_squared_error([1.0, 2.0, 3.0], [1.0, 4.0, 2.0], [1, 1, 2])
    1.5
    """
    return _mean_cost(np.square, y, predicted, sample_weight)


def mean_absolute_error(y: Any, predicted: Any, sample_weight: Any = None) -> float:
    """Compute the mean absolute error, Σ w abs(y - h) / Σ w, averaged over columns: "mae".

    Parameters
    ----------
    y : array-like, shape (rows,) or (rows, outputs)
        The true numbers. NaN means "not observed": the entry is left out.
    predicted : array-like, of y's shape
        The predicted numbers, h.
    sample_weight : array-like, shape (rows,), or None, default None
        One weight per row, at least 0; None weighs all rows equally.

    Returns
    -------
    float
        The error, at least 0. Every column is averaged over its observed entries first. Columns without an observed
        entry are left out; the result is NaN if none is left.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or shape.

    Examples
    --------
    >>> mean_absolute_error([1.0, 2.0, float("nan")], [1.0, 4.0, 2.0])
    1.0
    """
    return _mean_cost(np.abs, y, predicted, sample_weight)


def pinball(y: Any, predicted: Any, sample_weight: Any = None, *, levels: Sequence[float] = (0.5,)) -> float:
    """Compute the mean pinball loss of quantiles: Σ w max(q (y - h), (q - 1) (y - h)) / Σ w, averaged over columns.

    It is what the loss "quantile" minimizes, as a mean over the levels q instead of their sum.

    Parameters
    ----------
    y : array-like, shape (rows,) or (rows, targets)
        The true numbers. NaN means "not observed": the entry is left out.
    predicted : array-like, shape (rows, targets * levels)
        The predicted quantiles, h, those of the first target first; of one level also of y's shape.
    sample_weight : array-like, shape (rows,), or None, default None
        One weight per row, at least 0; None weighs all rows equally.
    levels : sequence of float, default (0.5,)
        The quantiles' levels q, in (0, 1), rising.

    Returns
    -------
    float
        The loss, at least 0, in y's unit. Columns without an observed entry are left out; the result is NaN if none is
        left.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or shape.

    Examples
    --------
    >>> pinball([1.0, 2.0], [[0.0, 3.0], [2.0, 3.0]], levels=(0.25, 0.75))
    0.25
    """
    y, predicted = _numbers(y, "y"), _numbers(predicted, "predicted")
    y, predicted = (array if array.ndim == 2 else array[:, None] for array in (y, predicted))
    each = np.repeat(y, len(quantile(*levels).parameters), axis=1)
    q = np.resize(levels, each.shape[1])
    return _mean_cost(lambda error: np.maximum(q * error, (q - 1) * error), each, predicted, sample_weight)


def r2(y: Any, predicted: Any, sample_weight: Any = None) -> float:
    """Compute R², the fraction of explained variance, averaged over columns: 1 - Σ w (y - h)^2 / Σ w (y - mean y)^2.

    The mean of y is weighted too. `Network.score` returns this value for numbers.

    Parameters
    ----------
    y : array-like, shape (rows,) or (rows, outputs)
        The true numbers. NaN means "not observed": the entry is left out.
    predicted : array-like, of y's shape
        The predicted numbers, h.
    sample_weight : array-like, shape (rows,), or None, default None
        One weight per row, at least 0; None weighs all rows equally.

    Returns
    -------
    float
        At most 1; 0 for predicting the mean of y. For a constant column, 1 if all predictions are exact, else 0.
        Columns without an observed entry are left out of the mean; the result is NaN if none is left.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or shape.

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
        # Scaled to [0, 1], no square overflows or vanishes, and a constant column is found without rounding.
        spread = y.max(axis=0, where=observed, initial=-np.inf) - lowest
        constant = spread == 0
        spread[constant] = 1
        error, y = error / spread, np.where(observed, (y - lowest) / spread, 0)
        deviation = y - (weights * y).sum(axis=0) / totals
        residual, variance = ((weights * part**2).sum(axis=0) for part in (error, deviation))
        ratios = np.where(constant, np.sign(residual), residual / variance)
        return _mean(1 - ratios, totals > 0)


# ---- the metrics that can be chosen --------------------------------------------------------------------------


def _kinds_of_targets(value: Any, argument: str) -> tuple[str, ...]:
    if not isinstance(value, (tuple, list)) or not value:
        raise TypeError(f"{argument}: got {shown(value)}; a tuple of some of {listing(KINDS)} is accepted")
    return tuple(choice(kind, KINDS, argument) for kind in value)


_CHECKS: Mapping[str, Callable[..., Any]] = {
    "name": named,
    "given": partial(choice, known=GIVEN),
    "rises": flag,
    "targets": _kinds_of_targets,
    "training": flag,
    "compares_rows": flag,
}


@keywords(rises="greater_is_better")
@dataclass(frozen=True)
class Metric:
    """One measure: its function, and the arguments of the function.

    A plain callable means ``Metric(callable.__name__, callable)``: it takes predictions, and higher is better. Make a
    Metric of a measure that takes scores, or of which lower is better, such as
    ``Metric("log_loss", sklearn.metrics.log_loss, given="scores", rises=False)``.

    Parameters
    ----------
    name : str
        The name in histories and messages.
    function : callable
        ``function(y, predicted)`` returns a number. If rows have weights, ``sample_weight=`` passes one per row.
    given : {"predictions", "codes", "scores"}, default "predictions"
        The arguments of the function. ``"predictions"``: the targets as the user passed them, and the result of
        `Network.predict`: labels, a 0/1 matrix or numbers. ``"codes"``: both as class codes 0, 1, ... or as 0/1
        matrices; numbers unchanged. ``"scores"``: codes or a 0/1 matrix for y, and the network's probabilities or
        other outputs.
    rises : bool, default True
        Whether higher is better.
    targets : tuple of str, default ("real", "labels", "multilabel")
        The kinds of targets that the metric accepts: ``"real"`` (numbers to approximate), ``"labels"`` (one class per
        row) and ``"multilabel"`` (a 0/1 matrix, any number of ones per row).
    training : bool, default True
        Whether it is also measured on the training rows, which costs a pass over them; False: on validation rows only.
    compares_rows : bool, default False
        Whether it compares rows of different targets with each other, as the area under a curve does, and is NaN if
        all have the same target. A training run that monitors it on such rows is refused.

    Raises
    ------
    TypeError, ValueError
        If a setting has the wrong type or is unknown.

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
    compares_rows: bool = False

    def __post_init__(self) -> None:
        check_fields(self, _CHECKS)
        if not self.name:
            raise ValueError("name: got an empty string; a name to show is accepted")
        if not callable(self.function):
            raise TypeError(
                f"function: got {typed(self.function)}; a callable that takes y and predictions is accepted"
            )

    @property
    def takes_weights(self) -> bool:
        """Whether the function takes sample_weight; assumed if it has no signature."""
        try:
            parameters = inspect.signature(self.function).parameters.values()
        except (TypeError, ValueError):  # mostly a function written in C
            return True
        return any(
            parameter.kind is parameter.VAR_KEYWORD or parameter.name == "sample_weight" for parameter in parameters
        )


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        known.name: known
        for known in (
            Metric("accuracy", accuracy, "codes", targets=("labels", "multilabel")),
            Metric("balanced_accuracy", balanced_accuracy, "codes", targets=("labels",)),
            Metric("f1", f1, "codes", targets=("labels", "multilabel")),
            Metric("roc_auc", roc_auc, "scores", targets=("labels", "multilabel"), compares_rows=True),
            Metric("mse", mean_squared_error, "codes", rises=False, targets=("real",)),
            Metric("mae", mean_absolute_error, "codes", rises=False, targets=("real",)),
            Metric("r2", r2, "codes", targets=("real",)),
        )
    }
)


ELSEWHERE: Mapping[str, list[str]] = table(
    {
        "accuracy": "acc accuracy_score categorical_accuracy sparse_categorical_accuracy binary_accuracy",
        "balanced_accuracy": "balanced_accuracy_score",
        "f1": "f1_score f1_macro fscore f_score",
        "roc_auc": "auc auroc roc_auc_score",
        "mse": "mean_squared_error neg_mean_squared_error squared_error",
        "mae": "mean_absolute_error neg_mean_absolute_error absolute_error l1",
        "r2": "r2_score r_squared coefficient_of_determination",
    }.items()
)


def metric(value: str | Callable[..., float] | Metric, argument: str = "metrics") -> Metric:
    """Return the `Metric` that a name or a callable means.

    Parameters
    ----------
    value : str, callable or Metric
        A name of METRICS; a callable that takes predictions, of which higher is better; or a Metric, which is
        returned as it is.
    argument : str, default "metrics"
        Name of the argument, for messages.

    Returns
    -------
    Metric
        The measure.

    Raises
    ------
    TypeError
        If `value` is none of the three.
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
        return METRICS[choice(value, METRICS, argument, ELSEWHERE)]
    if isinstance(value, type) and issubclass(value, Metric):
        raise TypeError(
            f"{argument}: got the class {value.__name__}; an instance is accepted; write "
            f"{value.__name__}(name, function)"
        )
    if callable(value):
        return Metric(getattr(value, "__name__", type(value).__name__), value)
    raise TypeError(
        f"{argument}: got {typed(value)}; a name, a callable or a Metric is accepted; the names are {listing(METRICS)}"
    )
