"""Targets as the kernels read them: class indices, 0 and 1, -1 and 1, one-hot rows, or the numbers themselves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastmlp._checks.arrays import BLOCK, converted, read_array, refuse_nonfinite
from fastmlp._checks.labels import label_array
from fastmlp._checks.task import Task
from fastmlp._spec.values import listing
from fastmlp.losses import Loss


def encode(y: Any, rows: int, dtype: Any, known: Task) -> np.ndarray:
    """Code targets for a network whose task is known, as `targets` coded the first ones.

    Labels or one-hot rows if the task has classes, a 0/1 matrix for multilabel targets, numbers for regression
    (integers are numbers here). The result is int32 class indices of shape (rows,) for cross-entropy, otherwise floats
    of shape (rows, outputs).
    """
    array = target_array(y, rows, known.missing)
    columns = array.shape[1] if array.ndim == 2 else 1
    if known.classes is not None:
        if columns not in (1, len(known.classes)):
            raise ValueError(
                f"y: got shape {array.shape}; labels of shape ({rows},) or one-hot rows of shape "
                f"({rows}, {len(known.classes)}) are accepted"
            )
    elif columns * known.loss.outputs_per_target != known.outputs:
        needed = known.outputs // known.loss.outputs_per_target
        raise ValueError(
            f"y: got {columns} columns (shape {array.shape}); the network has {known.outputs} "
            f"{'output' if known.outputs == 1 else 'outputs'}"
            + (f" for {needed} columns" if needed != known.outputs else "")
        )
    return coded(array, dtype, known)


def target_array(y: Any, rows: int, missing: bool) -> np.ndarray:
    """Read y as `rows` rows of finite numbers or of labels, 1-D or 2-D; a column of labels becomes 1-D.

    NaN passes if numbers may be `missing`.
    """
    array = read_array(y, "y")
    if array.ndim not in (1, 2) or 0 in array.shape[1:]:
        raise ValueError(f"y: got shape {array.shape}; shape (rows,) or (rows, outputs) is accepted")
    if len(array) != rows:
        raise ValueError(f"y: got {len(array)} rows where X has {rows}; one target per row is accepted")
    if array.dtype.kind == "f":
        array = np.ascontiguousarray(array)
        refuse_nonfinite(array, array, "y", missing, ", or pass missing_targets='mask' if NaN means not observed")
        if missing and np.isnan(array).all():
            raise ValueError("y: got NaN in every place; at least one target must have been observed")
        return array
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    return label_array(array, "y")


def coded(array: np.ndarray, dtype: Any, known: Task) -> np.ndarray:
    """Code checked targets for a task: class indices, one-hot rows, or the numbers themselves."""
    if known.classes is not None:
        soft = array.dtype.kind == "f" and array.ndim == 2 and array.shape[1] > 1
        if soft and "soft" in known.loss.targets:
            return _soft_rows(array, dtype, known.loss)
        column = array.ndim == 1 or array.shape[1] == 1
        if column and known.missing and array.dtype.kind == "f" and np.isnan(array).any():
            return _classes_with_gaps(array.reshape(-1), dtype, known)
        return coded_classes(_class_indices(array, known.classes), dtype, known)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"y: got labels (dtype {array.dtype}); the network has no classes and takes numbers")
    if known.kind == "multilabel":
        refuse_not_binary(array)
    _refuse_outside(array, known.loss)
    each = known.loss.outputs_per_target
    if known.loss.coding == "signs":
        array = 2.0 * array - 1.0
    values = converted(array.reshape(len(array), known.outputs // each), dtype, "y", known.missing)
    return values if each == 1 else np.repeat(values, each, axis=1)


def _soft_rows(array: np.ndarray, dtype: Any, loss: Loss) -> np.ndarray:
    """Check rows of probabilities, one per class; one-hot rows become class indices."""
    observed = ~np.isnan(array).any(axis=1)
    sums = array.sum(axis=1)
    # a thousandth: what probabilities that were written down in half precision may be off
    bad = np.flatnonzero(observed & ((array < 0).any(axis=1) | (np.abs(sums - 1) > 1e-3)))
    if len(bad):
        raise ValueError(
            f"y: got {listing(array[bad[0]].tolist())} at row {bad[0]} with loss {loss.name!r}; labels of shape "
            "(rows,), one-hot rows, or rows of probabilities that sum to 1 are accepted"
        )
    if observed.all() and by_blocks(one_hot_rows, array, np.bool_).all():
        return columns_of_ones(array)
    return converted(array, dtype, "y", missing=True)


def _classes_with_gaps(array: np.ndarray, dtype: Any, known: Task) -> np.ndarray:
    """Code the two classes of float labels, some of which are NaN."""
    observed = ~np.isnan(array)
    values = np.full((len(array), 1), np.nan, dtype)
    values[observed] = coded_classes(_class_indices(array[observed], known.classes), dtype, known)
    return values


def _refuse_outside(array: np.ndarray, loss: Loss) -> None:
    """Raise at the first target that the loss has no value for; NaN passes."""
    if not math.isfinite(loss.minimum):
        return
    outside = np.argwhere(array <= loss.minimum if loss.open else array < loss.minimum)
    if len(outside):
        row, at = int(outside[0][0]), tuple(outside[0])
        accepted = f"numbers {'above' if loss.open else 'of at least'} {loss.minimum:g}"
        raise ValueError(f"y: got {array[at]!s} at row {row} with loss {loss.name!r}; {accepted} are accepted")


def _class_indices(array: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return each row's class among the known ones, from labels or from one-hot rows."""
    if array.ndim == 2 and array.shape[1] == len(classes):
        good = by_blocks(one_hot_rows, array, np.bool_)
        if not good.all():
            row = int(good.argmin())
            raise ValueError(f"y: got {listing(array[row].tolist())} at row {row}; one-hot rows are accepted")
        return columns_of_ones(array)
    rows = array.reshape(-1)
    labels = distinct(rows)
    index = {label: position for position, label in enumerate(classes.tolist())}
    positions = np.array([index.get(label, -1) for label in labels.tolist()], np.int32)
    indices = by_blocks(lambda rows: positions[labels.searchsorted(rows)], rows, np.int32)
    if indices.min() < 0:
        row = int(indices.argmin())
        raise ValueError(
            f"y: got the unknown label {rows.tolist()[row]!r} at row {row}; the network knows "
            f"{listing(classes.tolist())}"
        )
    return indices


def coded_classes(indices: np.ndarray, dtype: Any, known: Task) -> np.ndarray:
    """Code class indices as the loss takes them: int32, one 0/1 column, or one-hot rows."""
    if known.loss.coding == "indices":
        return indices
    if known.outputs == 1:
        values = indices.astype(dtype).reshape(-1, 1)
    else:
        values = np.zeros((len(indices), known.outputs), dtype)
        values[np.arange(len(indices)), indices] = 1
    return 2 * values - 1 if known.loss.coding == "signs" else values


def refuse_not_binary(array: np.ndarray) -> None:
    """Raise at the first value that is neither 0 nor 1."""
    other = np.argwhere((array != 0) & (array != 1) & (array == array))
    if len(other):
        place = ", ".join(f"{name} {at}" for name, at in zip(("row", "column"), other[0], strict=False))
        raise ValueError(
            f"y: got {array[tuple(other[0])]!s} at {place}; 0 and 1 are accepted, as multilabel rows or as "
            "labels of two classes"
        )


def one_hot_rows(array: np.ndarray) -> np.ndarray:
    """Return for every row of a matrix whether it holds a single 1 among 0s."""
    return ((array == 1).sum(axis=1) == 1) & ((array != 0).sum(axis=1) == 1)


def columns_of_ones(array: np.ndarray) -> np.ndarray:
    """Return the column of the 1 of every one-hot row."""
    return by_blocks(lambda rows: rows.argmax(axis=1), array, np.int32)


def distinct(labels: np.ndarray) -> np.ndarray:
    """Return the different labels, sorted."""
    parts = [np.unique(labels[start : start + BLOCK]) for start in range(0, len(labels), BLOCK)]
    return parts[0] if len(parts) == 1 else np.unique(np.concatenate(parts))


def by_blocks(function: Callable[[np.ndarray], np.ndarray], array: np.ndarray, dtype: Any) -> np.ndarray:
    """Apply a function of rows block by block: what it takes for itself on the way does not grow with the rows."""
    result = np.empty(len(array), dtype)
    for start in range(0, len(array), BLOCK):
        result[start : start + BLOCK] = function(array[start : start + BLOCK])
    return result
