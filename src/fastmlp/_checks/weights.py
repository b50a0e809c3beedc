"""Weights at the door: one per row, and one per class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastmlp._checks.task import Task
from fastmlp._spec.values import choice, listing, number


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
    both = of_classes if of_rows is None else of_rows * of_classes
    if not both.any():
        raise ValueError(
            "class_weight: got 0 for every class of a row whose sample_weight is above 0; at least one row must count"
        )
    return both


def row_weights(value: Any, rows: int) -> np.ndarray:
    """Check one weight per row."""
    array = np.asarray(value)
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


def class_codes(values: np.ndarray) -> np.ndarray:
    """Return the class of every row from its coded target; 0 if it is NaN, whose weight is 0."""
    if values.ndim == 1:
        return values
    return values.argmax(axis=1) if values.shape[1] > 1 else (values[:, 0] > 0).astype(np.int32)


def _class_weights(value: Any, codes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return one weight per class."""
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
        raise ValueError("class_weight: got 0 for every class; at least one must be above 0")
    return found
