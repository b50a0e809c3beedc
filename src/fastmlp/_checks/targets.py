"""Targets at the door: what y is, and which loss and output go with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastmlp._checks.coding import (
    by_blocks,
    coded,
    coded_classes,
    columns_of_ones,
    distinct,
    one_hot_rows,
    refuse_not_binary,
    target_array,
)
from fastmlp._checks.task import Task, checked_loss, checked_output
from fastmlp._spec.values import choice, listing
from fastmlp.losses import LOSSES, Loss


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets as the kernels read them, and the task that follows from them.

    Parameters
    ----------
    task : Task
        The task.
    values : ndarray
        int32 class indices of shape (rows,) for cross-entropy, otherwise floats of shape (rows, outputs);
        C-contiguous.
    """

    task: Task
    values: np.ndarray


def targets(
    y: Any,
    rows: int,
    dtype: Any,
    *,
    loss: str | Loss | None = None,
    output: str | None = None,
    label_smoothing: float = 0.0,
    missing_targets: str = "error",
) -> Targets:
    """Check targets, decide what they are, and code them for the kernels.

    ============================ ==================== ===================================================
    y                            loss None            other losses that it goes with
    ============================ ==================== ===================================================
    labels, two classes          binary_cross_entropy cross_entropy; hinge; squared_error (one-hot coded)
    labels, more classes         cross_entropy        hinge; squared_error (one-hot coded)
    integer or bool one-hot rows cross_entropy        squared_error; binary_cross_entropy (as multilabel)
    other 0/1 integers, 2-D      binary_cross_entropy hinge; squared_error
    other integers, 2-D          refused              squared_error
    floats, 1-D or 2-D           squared_error        of 0 and 1: binary_cross_entropy, hinge; one-hot, or rows of
                                                      probabilities: cross_entropy
    numbers of any type          -                    absolute_error, huber, quantile, log_cosh; poisson, gamma
    ============================ ==================== ===================================================

    Labels are integers, bools, strings or a pandas categorical, 1-D or one column. To fit integers as
    numbers, pass them as floats, or name a loss that is for numbers only.

    Parameters
    ----------
    y : array-like, shape (rows,) or (rows, outputs)
        The targets.
    rows : int
        The number of rows of X.
    dtype : numpy dtype
        float32 or float64, as the features.
    loss : str, Loss or None, default None
        The loss or its name; None takes the one of the table.
    output : str or None, default None
        The output activation; None takes the loss's own.
    label_smoothing : float, default 0.0
        What the classes of a cross-entropy share out evenly, in [0, 1).
    missing_targets : {"error", "mask"}, default "error"
        Whether NaN in float targets is refused or means "not observed".

    Returns
    -------
    Targets
        The task and the coded values.

    Raises
    ------
    TypeError
        If `y` is sparse, masked or of a dtype that is neither numbers nor labels.
    ValueError
        If a name is unknown, the lengths differ, there is a single class, a value is not finite, the loss
        does not go with the targets or the output not with the loss.

    Examples
    --------
    >>> known = targets(["cat", "dog", "cat"], 3, np.float64)
    >>> known.task.loss.name, known.task.outputs, known.values.ravel().tolist()
    ('binary_cross_entropy', 1, [0.0, 1.0, 0.0])
    """
    asked = None if loss is None else checked_loss(loss)
    missing = choice(missing_targets, ("error", "mask"), "missing_targets") == "mask"
    array = target_array(y, rows, missing)
    kind = _kind(array, asked, _is_categorical(y))
    classes, indices = _classes(array, kind)
    chosen = (asked or LOSSES[_default_loss(array, kind, classes)]).smoothed(label_smoothing)
    _refuse_kind(kind, classes, chosen)
    outputs = _output_count(array, classes, chosen)
    squeeze = kind == "real" and array.ndim == 1 and outputs == 1
    known = Task(chosen, checked_output(output, chosen), outputs, classes, kind, squeeze, missing)
    return Targets(known, coded(array, dtype, known) if indices is None else coded_classes(indices, dtype, known))


def _is_categorical(y: Any) -> bool:
    """Tell whether y is a pandas categorical, which holds labels even where they are floats."""
    # NumPy composes a dtype's name whenever it is asked for it, and knows no categories.
    return not isinstance(y, np.ndarray) and getattr(getattr(y, "dtype", None), "name", None) == "category"


def _kind(array: np.ndarray, loss: Loss | None, categorical: bool) -> str:
    """Decide what targets are; the loss decides where several kinds fit."""
    if loss is not None and loss.targets == ("real",) and array.dtype.kind in "iuf" and not categorical:
        return "real"
    if categorical or (array.ndim == 1 and array.dtype.kind != "f"):
        return "labels"
    if loss is not None and loss.coding == "bits":
        refuse_not_binary(array)
        return "multilabel" if array.ndim == 2 and array.shape[1] > 1 else "labels"
    if _is_one_hot(array):
        return "one_hot"
    columns = array.shape[1] if array.ndim == 2 else 1
    if loss is not None and loss.coding == "signs":
        if columns > 1:
            refuse_not_binary(array)
        elif array.dtype.kind == "f":
            _refuse_fractions(array, loss)
        return "multilabel" if columns > 1 else "labels"
    if loss is not None and "soft" in loss.targets and array.dtype.kind == "f" and columns > 1:
        return "soft"
    if array.dtype.kind == "f":
        return "real"
    if _is_binary(array):
        return "multilabel"
    if loss is None:
        raise ValueError(
            f"y: got whole numbers other than 0 and 1 in shape {array.shape}; labels of shape (rows,), "
            "one-hot or multilabel rows of 0 and 1, or floats are accepted; for regression y.astype(float)"
        )
    return "real"


def _is_binary(array: np.ndarray) -> bool:
    """Tell whether every value is 0 or 1."""
    return bool(np.all((array == 0) | (array == 1)))


def _is_one_hot(array: np.ndarray) -> bool:
    """Tell whether this is a matrix of two or more columns, and every row holds a single 1 among 0s."""
    if array.ndim != 2 or array.shape[1] < 2:
        return False
    # Numbers show in the first row already; looking at all takes memory of y's own size.
    return bool(one_hot_rows(array[:1]).all() and by_blocks(one_hot_rows, array, np.bool_).all())


def _refuse_fractions(array: np.ndarray, loss: Loss) -> None:
    """Raise at the first float that is not a whole number, and so not a label."""
    other = np.flatnonzero(array.reshape(-1) % 1 > 0)
    if len(other):
        raise ValueError(
            f"y: got {array.reshape(-1)[other[0]]!s} at row {other[0]} with loss {loss.name!r}; labels are accepted: "
            "text, whole numbers or bools; for numbers take another loss, such as 'huber'"
        )


def _classes(array: np.ndarray, kind: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    """List the classes that targets of this kind hold (sorted labels, or columns' numbers), and the class of each row.

    Both are None where the kind has none.
    """
    if kind == "one_hot":
        return np.arange(array.shape[1]), columns_of_ones(array)
    if kind == "soft":
        return np.arange(array.shape[1]), None
    if kind != "labels":
        return None, None
    labels = array.reshape(-1)
    classes, gaps = distinct(labels), False
    if array.dtype.kind == "f" and np.isnan(labels).any():  # some rows were not observed
        classes, gaps = classes[~np.isnan(classes)], True
        if len(classes) > 2:
            raise ValueError(
                f"y: got NaN among labels of {len(classes)} classes; gaps go with two classes, numbers, several labels "
                "a row or rows of probabilities; leave such rows out"
            )
    if len(classes) < 2:
        raise ValueError(f"y: got one single class, {classes.tolist()[0]!r}; at least two classes are needed")
    return classes, None if gaps else by_blocks(classes.searchsorted, labels, np.int32)


def _default_loss(array: np.ndarray, kind: str, classes: np.ndarray | None) -> str:
    """Name the loss that goes with targets where the user names none."""
    if kind == "labels":
        return "binary_cross_entropy" if classes is not None and len(classes) == 2 else "cross_entropy"
    if array.dtype.kind == "f":
        return "squared_error"
    return "cross_entropy" if kind == "one_hot" else "binary_cross_entropy"


def _refuse_kind(kind: str, classes: np.ndarray | None, loss: Loss) -> None:
    """Raise if the loss does not go with this kind of targets."""
    if loss.targets == ("real",) and kind != "real":
        raise ValueError(f"loss: got {loss.name!r} with labels in y; it goes with numbers; for labels leave loss out")
    if ("labels" if kind in ("one_hot", "soft") else kind) not in loss.targets:
        what = {"real": "numbers", "multilabel": "a multilabel matrix"}[kind]
        raise ValueError(
            f"loss: got {loss.name!r} with {what} in y; it goes with labels or one-hot rows: pass integer "
            f"labels of shape (rows,); what goes with {what} is {listing(_losses_for(kind))}"
        )
    if loss.coding == "bits" and classes is not None and len(classes) != 2:
        raise ValueError(
            f"loss: got {loss.name!r} with {len(classes)} classes in y; it goes with labels of two classes "
            "or with a multilabel matrix; what goes with more classes is 'squared_error', 'cross_entropy'"
        )


def _losses_for(kind: str) -> list[str]:
    """Name the losses that go with a kind of targets."""
    return [loss.name for loss in LOSSES.values() if kind in loss.targets]


def _output_count(array: np.ndarray, classes: np.ndarray | None, loss: Loss) -> int:
    """Count the output units that targets need."""
    if classes is not None:
        return 1 if loss.one_output_of_two and len(classes) == 2 else len(classes)
    return (array.shape[1] if array.ndim == 2 else 1) * loss.outputs_per_target
