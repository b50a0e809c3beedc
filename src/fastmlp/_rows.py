"""Rows at the door: their weights and those of classes, and which of them are set apart to validate on.

Imports `_arrays`, `_scalars` and `_targets`; `_validate` imports it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastmlp._arrays import features
from fastmlp._scalars import choice, listing, number
from fastmlp._targets import Task, encode


def weights(sample_weight: Any, class_weight: Any, values: np.ndarray, task: Task) -> np.ndarray | None:
    """Check the weights of rows and of classes, and join them.

    Parameters
    ----------
    sample_weight : array-like, shape (rows,), or None
        A weight a row, at least 0; not all 0.
    class_weight : "balanced", mapping or None
        A weight a class, by its label, 1 for those that are not named; "balanced" weighs every class alike: the number
        of rows over the number of classes and the rows of the class.
    values : ndarray
        The coded targets.
    task : Task
        What the network is trained for.

    Returns
    -------
    ndarray of float64, shape (rows,), or None
        Their product; None where there are neither.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If a weight is negative or not finite, all are 0, the lengths differ, a label is unknown, or there are no
        classes, or soft ones.

    Examples
    --------
    >>> from fastmlp._targets import targets
    >>> known = targets([0, 1, 1, 1], 4, np.float64)
    >>> weights(None, "balanced", known.values, known.task).round(2).tolist()
    [2.0, 0.67, 0.67, 0.67]
    """
    of_rows = None if sample_weight is None else _row_weights(sample_weight, len(values))
    of_rows = _without_unobserved(of_rows, values, task)
    if class_weight is None:
        return of_rows
    if task.classes is None:
        raise ValueError("class_weight: got it for targets without classes; sample_weight is accepted with them")
    if values.ndim == 2 and task.loss.name == "cross_entropy":
        raise ValueError("class_weight: got it with soft targets, whose rows have no class; sample_weight is accepted")
    codes = _class_codes(values)
    observed = slice(None) if values.dtype.kind != "f" else ~np.isnan(values).all(axis=1)
    of_classes = _class_weights(class_weight, codes[observed], task.classes)[codes]
    both = of_classes if of_rows is None else of_rows * of_classes
    if not both.any():
        raise ValueError(
            "class_weight: got 0 for every class of a row whose sample_weight is above 0; one row at least must count"
        )
    return both


def _row_weights(value: Any, rows: int) -> np.ndarray:
    """Check a weight a row."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf" or array.ndim != 1:
        raise TypeError(
            f"sample_weight: got {array.dtype} of shape {array.shape}; numbers of shape (rows,) are accepted"
        )
    if len(array) != rows:
        raise ValueError(f"sample_weight: got {len(array)} weights for {rows} rows; one a row is accepted")
    array = array.astype(np.float64)
    bad = np.flatnonzero(~((array >= 0) & (array < np.inf)))
    if len(bad):
        raise ValueError(
            f"sample_weight: got {array[bad[0]]} at row {bad[0]}; finite numbers of at least 0 are accepted"
        )
    if not array.any():
        raise ValueError("sample_weight: got 0 for every row; one at least must be above 0")
    return array


def _without_unobserved(weights: np.ndarray | None, values: np.ndarray, task: Task) -> np.ndarray | None:
    """Give rows of which nothing was observed a weight of 0; of soft targets, a part is nothing."""
    if not task.missing or values.dtype.kind != "f":
        return weights
    gaps = np.isnan(values)
    unobserved = gaps.any(axis=1) if task.loss.name == "cross_entropy" else gaps.all(axis=1)
    if not unobserved.any():
        return weights
    left = np.where(unobserved, 0.0, 1.0 if weights is None else weights)
    if not left.any():
        raise ValueError("y: got no observed target in any row of a weight above 0; one at least is needed")
    return left


def _class_codes(values: np.ndarray) -> np.ndarray:
    """Read the class of every row from its coded target; 0 where it is NaN, whose weight is 0."""
    if values.ndim == 1:
        return values
    return values.argmax(axis=1) if values.shape[1] > 1 else (values[:, 0] > 0).astype(np.int32)


def _class_weights(value: Any, codes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Find a weight for each class."""
    if isinstance(value, str):
        choice(value, ("balanced",), "class_weight")
        counts = np.bincount(codes, minlength=len(classes))
        return len(codes) / (len(classes) * np.maximum(counts, 1))
    if not isinstance(value, Mapping):
        raise TypeError(f"class_weight: got {value!r}; 'balanced' or a dict of label to weight is accepted")
    found = np.ones(len(classes))
    places = {label: place for place, label in enumerate(classes.tolist())}
    for label, weight in value.items():
        label = label.item() if isinstance(label, np.generic) else label
        if label not in places:
            known = listing(classes.tolist())
            raise ValueError(f"class_weight: got the unknown label {label!r}; the classes are {known}")
        found[places[label]] = number(weight, f"class_weight[{label!r}]")
    if not found[np.unique(codes)].any():
        raise ValueError("class_weight: got 0 for every class; one at least must be above 0")
    return found


def split(
    value: Any, X: np.ndarray, values: np.ndarray, weights: np.ndarray | None, task: Task, seed: int
) -> tuple[tuple, tuple]:
    """Set validation rows apart.

    Parameters
    ----------
    value : float, tuple or None
        The share of the rows, drawn at random, of each class as many as of all; or rows of their own, (X, y) or
        (X, y, weights).
    X : ndarray, shape (rows, inputs)
        Checked rows.
    values : ndarray
        Their coded targets.
    weights : ndarray of float64, shape (rows,), or None
        Their weights.
    task : Task
        What the network is trained for.
    seed : int
        Names the draw.

    Returns
    -------
    training, validation : tuple of three ndarray or None
        Rows, coded targets and weights of each. `X` itself where none are drawn from it, copies where they are.

    Raises
    ------
    TypeError
        If `value` is neither.
    ValueError
        If the share leaves nothing to train on or to validate on, or the rows cannot be used.

    Examples
    --------
    >>> from fastmlp._targets import targets
    >>> X, known = np.ones((10, 2)), targets([0, 1] * 5, 10, np.float64)
    >>> [len(rows) for rows, *_ in split(0.2, X, known.values, None, known.task, 0)]
    [8, 2]
    """
    if value is None:
        return (X, values, weights), (None, None, None)
    if isinstance(value, (tuple, list)):
        if len(value) not in (2, 3):
            raise ValueError(
                f"validation: got {len(value)} parts; a share such as 0.2, or rows (X, y) or (X, y, weights), is "
                "accepted"
            )
        rows = features(value[0], dtype=X.dtype, columns=X.shape[1], argument="validation X")
        coded = encode(value[1], len(rows), X.dtype, task)
        own = _row_weights(value[2], len(rows)) if len(value) == 3 else None
        return (X, values, weights), (rows, coded, _without_unobserved(own, coded, task))
    if isinstance(value, (bool, str)) or not np.isscalar(value):
        raise TypeError(f"validation: got {value!r}; a share such as 0.2, or rows (X, y), is accepted")
    chosen = _drawn(number(value, "validation", above=0.0, below=1.0), values, task, seed)
    if not 0 < chosen.sum() < len(X):
        raise ValueError(
            f"validation: got {value} of {len(X)} rows, which leaves {len(X) - chosen.sum()} to train on and "
            f"{chosen.sum()} to validate on; another share, or rows (X, y), is accepted"
        )
    parts = [(X[rows], values[rows], None if weights is None else weights[rows]) for rows in (~chosen, chosen)]
    if weights is not None and not all(part.any() for _, _, part in parts):
        raise ValueError(
            f"validation: got {value}, which leaves only rows of weight 0 in one part; another share or seed is "
            "accepted"
        )
    return parts[0], parts[1]


def _drawn(share: float, values: np.ndarray, task: Task, seed: int) -> np.ndarray:
    """Draw a share of the rows, of each class as nearly as rounding lets it; shape (rows,), True where drawn."""
    generator = np.random.Generator(np.random.PCG64([seed, 1]))  # another stream than the initial weights'
    order = generator.permutation(len(values))
    if task.classes is not None:
        codes = _class_codes(values)
        # Stable: within a class the rows stay in their random order. Every 1 / share-th row of the classes, one behind
        # the other, is then an even share of each.
        order = order[np.argsort(codes[order], kind="stable")]
    places = np.arange(len(order))
    drawn = np.zeros(len(order), np.bool_)
    drawn[order[np.floor((places + 1) * share + 0.5) > np.floor(places * share + 0.5)]] = True
    return drawn
