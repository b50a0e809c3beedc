"""Checked rows as the kernels read them: features, coded targets, their weights, and which rows are validated on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastmlp._checks import arrays, targets
from fastmlp._checks.task import Task, class_codes
from fastmlp._spec.values import as_array, choice, listing, number, shown


@dataclass(frozen=True, eq=False)
class Samples:
    """Checked rows, their coded targets and their weights, of mean 1; None if there are none.

    `total` is the sum of the weights as they were given; None if all rows weigh the same.
    """

    x: Any = None
    y: np.ndarray | None = None
    weights: np.ndarray | None = None
    total: float | None = None

    def __len__(self) -> int:
        return 0 if self.x is None else len(self.x)

    @classmethod
    def weighted(cls, x: Any, y: np.ndarray, weights: np.ndarray | None) -> "Samples":
        """Take rows with weights of any mean."""
        if weights is None:
            return cls(x, y)
        scaled = _of_mean_one(weights, x.dtype)
        return cls(x, y, scaled, float(weights.sum()))

    @property
    def size(self) -> float:
        """N of the objective: the number of rows, or the sum of their weights."""
        return len(self) if self.total is None else self.total


def _of_mean_one(weights: np.ndarray, dtype: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore"):
        total = float(weights.sum())
    scale = len(weights) / total
    if not 0 < scale < np.inf:  # the sum is infinite, or so small that the scale is
        raise ValueError(
            f"sample_weight: got weights (with class_weight their products) whose sum is {total:.3g}; sums from 1e-300 "
            "to 1e+300 are accepted; multiply all by one number, which shifts the penalties alone"
        )
    return (weights * scale).astype(dtype)


def weights(sample_weight: Any, class_weight: Any, values: np.ndarray, task: Task) -> np.ndarray | None:
    """Check the weights of rows and of classes, and return their product; None if there are neither.

    A class that is not named weighs 1. "balanced" weighs every class alike: the number of rows over the number of
    classes and the rows of the class.
    """
    of_rows = None if sample_weight is None else row_weights(sample_weight, len(values))
    of_rows = without_unobserved(of_rows, values, task)
    if class_weight is None:
        return of_rows
    if task.classes is None:
        raise ValueError("class_weight: got it for targets without classes; sample_weight is accepted with them")
    if values.ndim == 2 and task.loss.coding == "indices":
        raise ValueError("class_weight: got it with soft targets, whose rows have no class; sample_weight is accepted")
    codes = class_codes(values)
    observed = slice(None) if values.dtype.kind != "f" else ~np.isnan(values).all(axis=1)
    of_classes = _class_weights(class_weight, codes[observed], task.classes)[codes]
    with np.errstate(over="ignore", invalid="ignore"):  # found when the weights are scaled
        both = of_classes if of_rows is None else of_rows * of_classes
    if not both.any():
        raise ValueError(
            "class_weight: got 0 for every class of a row whose sample_weight is above 0; at least one row must count"
        )
    return both


def row_weights(value: Any, rows: int) -> np.ndarray:
    array = as_array(value, "sample_weight")
    if array.dtype.kind not in "biuf" or array.ndim != 1:
        raise TypeError(
            f"sample_weight: got {array.dtype} of shape {array.shape}; numbers of shape (rows,) are accepted"
        )
    if len(array) != rows:
        raise ValueError(f"sample_weight: got {len(array)} weights for {rows} rows; one per row is accepted")
    array = array.astype(np.float64)
    bad = np.flatnonzero(~((array >= 0) & (array < np.inf)))
    if len(bad):
        raise ValueError(
            f"sample_weight: got {array[bad[0]]} at row {bad[0]}; finite numbers of at least 0 are accepted"
        )
    if not array.any():
        raise ValueError("sample_weight: got 0 for every row; at least one must be above 0")
    return array


def without_unobserved(weights: np.ndarray | None, values: np.ndarray, task: Task) -> np.ndarray | None:
    """Set the weight of rows without any observed target to 0; soft targets that lack a part lack all."""
    if not task.missing or values.dtype.kind != "f":
        return weights
    gaps = np.isnan(values)
    unobserved = gaps.any(axis=1) if task.loss.coding == "indices" else gaps.all(axis=1)
    if not unobserved.any():
        return weights
    left = np.where(unobserved, 0.0, 1.0 if weights is None else weights)
    if not left.any():
        raise ValueError("y: got no observed target in any row of a weight above 0; at least one is needed")
    return left


def _class_weights(value: Any, codes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    if isinstance(value, str):
        choice(value, ("balanced",), "class_weight")
        return len(codes) / (len(classes) * np.maximum(np.bincount(codes, minlength=len(classes)), 1))
    if not isinstance(value, Mapping):
        raise TypeError(f"class_weight: got {shown(value)}; 'balanced' or a dict of label to weight is accepted")
    found = np.ones(len(classes))
    places = {label: place for place, label in enumerate(classes.tolist())}
    for label, weight in value.items():
        label = label.item() if isinstance(label, np.generic) else label
        if label not in places:
            raise ValueError(
                f"class_weight: got the unknown label {shown(label)}; the classes are {listing(classes.tolist())}"
            )
        found[places[label]] = number(weight, f"class_weight[{shown(label)}]")
    if not found[np.unique(codes)].any():
        raise ValueError("class_weight: got 0 for every class; at least one must be above 0")
    return found


def split(value: Any, rows: tuple, task: Task, seed: int) -> tuple[Samples, Samples]:
    """Return the samples to train on and those to validate on.

    `rows` are checked features, coded targets and weights (or None). `value` is a fraction of these rows, drawn at
    random by `seed`, of each class as many as of all; or rows of their own, (X, y) or (X, y, weights); or None.
    """
    X, values, weights = rows
    if value is None:
        return Samples.weighted(*rows), Samples()
    if isinstance(value, (tuple, list)):
        return Samples.weighted(*rows), _given(value, X, task)
    if isinstance(value, (bool, str)) or not np.isscalar(value):
        raise TypeError(f"validation: got {shown(value)}; a fraction such as 0.2, or rows (X, y), is accepted")
    chosen = _drawn(number(value, "validation", above=0.0, below=1.0), values, task, seed)
    if not 0 < chosen.sum() < len(X):
        raise ValueError(
            f"validation: got {value} of {len(X)} rows, which leaves {len(X) - chosen.sum()} to train on and "
            f"{chosen.sum()} to validate on; another fraction, or rows (X, y), is accepted"
        )
    parts = [(X[rows], values[rows], None if weights is None else weights[rows]) for rows in (~chosen, chosen)]
    if weights is not None and not all(part.any() for _, _, part in parts):
        raise ValueError(
            f"validation: got {value}, which leaves only rows of weight 0 in one part; another fraction or seed is "
            "accepted"
        )
    return Samples.weighted(*parts[0]), Samples.weighted(*parts[1])


def _given(value: tuple | list, X: np.ndarray, task: Task) -> Samples:
    if len(value) not in (2, 3):
        raise ValueError(
            f"validation: got {len(value)} parts; a fraction such as 0.2, or rows (X, y) or (X, y, weights), is "
            "accepted"
        )
    rows = arrays.features(value[0], dtype=X.dtype, columns=X.shape[1], argument="validation X")
    coded = targets.encode(value[1], len(rows), X.dtype, task)
    own = row_weights(value[2], len(rows)) if len(value) == 3 else None
    return Samples.weighted(rows, coded, without_unobserved(own, coded, task))


def _drawn(fraction: float, values: np.ndarray, task: Task, seed: int) -> np.ndarray:
    """Draw a fraction of the rows, of each class as nearly as rounding allows; True for each drawn row."""
    # Another stream than the initial weights'.
    order = np.random.Generator(np.random.PCG64([seed, 1])).permutation(len(values))
    if task.classes is not None:
        # Stable: within a class the rows stay in their random order. Every 1 / fraction-th row of the classes in turn
        # is then an even part of each.
        order = order[np.argsort(class_codes(values)[order], kind="stable")]
    drawn = np.zeros(len(order), np.bool_)
    drawn[order[np.diff(np.floor(np.arange(len(order) + 1) * fraction + 0.5)) > 0]] = True
    return drawn
