"""Targets at the door: what y is, which loss and output go with it, and how the kernels read it.

The kernels read class indices, 0 and 1, -1 and 1, one-hot rows, or the numbers themselves.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastmlp._checks.arrays import BLOCK, converted, label_array, read_array, refuse_nonfinite
from fastmlp._checks.task import Task, checked_loss, checked_output
from fastmlp._checks.warn import warn_caller
from fastmlp._spec.values import choice, listing, shown
from fastmlp.losses import LOSSES, Loss

# Whole numbers of more values than this, each in fewer rows on average, are likely to be no labels.
_LIKELY_CLASSES, _LIKELY_ROWS_PER_CLASS = 20, 5


def targets(
    y: Any,
    rows: int,
    dtype: Any,
    *,
    loss: str | Loss | None = None,
    output: str | None = None,
    label_smoothing: float = 0.0,
    missing_targets: str = "error",
) -> tuple[Task, np.ndarray]:
    """Check targets, decide what they are, and code them for the kernels.

    ============================ ==================== ===================================================
    y                            loss None            other losses that it goes with
    ============================ ==================== ===================================================
    labels, two classes          binary_cross_entropy cross_entropy; hinge; squared_error (one-hot coded)
    labels, one class or several cross_entropy        hinge; squared_error (one-hot coded)
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
    task : Task
        The task that follows from the targets.
    values : ndarray
        The targets as the kernels read them: int32 class indices of shape (rows,) for cross-entropy, otherwise floats
        of shape (rows, outputs); C-contiguous.

    Raises
    ------
    TypeError
        If `y` is sparse, masked or of a dtype that is neither numbers nor labels.
    ValueError
        If a name is unknown, the lengths differ, a value is not finite, the loss does not go with the targets or the
        output not with the loss.

    Warns
    -----
    UserWarning
        If there is a single class; if the loss is None and labels look like numbers (whole ones of more than 20 values,
        in fewer than 5 rows each on average), or numbers like labels (one column of floats, exactly 0 and 1).

    Examples
    --------
    >>> task, values = targets(["cat", "dog", "cat"], 3, np.float64)
    >>> task.loss.name, task.outputs, values.ravel().tolist()
    ('binary_cross_entropy', 1, [0.0, 1.0, 0.0])
    """
    asked = None if loss is None else checked_loss(loss)
    missing = choice(missing_targets, ("error", "mask"), "missing_targets") == "mask"
    array = target_array(y, rows, missing)
    # A pandas categorical holds labels even where they are floats. NumPy composes a dtype's name whenever it is asked
    # for it, and knows no categories.
    categorical = not isinstance(y, np.ndarray) and getattr(getattr(y, "dtype", None), "name", None) == "category"
    kind = "labels" if categorical else _kind(array, asked)
    classes, indices = _classes(array, kind)
    chosen = (asked or LOSSES[_default_loss(array, kind, classes)]).smoothed(label_smoothing)
    _refuse_kind(kind, classes, chosen)
    outputs = _columns(array) * chosen.outputs_per_target if classes is None else len(classes)
    if classes is not None and outputs == 2 and chosen.one_output_of_two:
        outputs = 1
    if classes is not None and len(classes) == 1:
        warn_caller(
            f"y: got one single class, {shown(classes.tolist()[0])}, which is predicted for every row; to tell classes "
            "apart, pass rows of at least two",
            UserWarning,
        )
    if asked is None and not categorical:
        _warn_of_doubtful_kind(array, kind, classes)
    known = Task(
        chosen,
        checked_output(output, chosen),
        outputs,
        classes,
        kind,
        squeeze=kind == "real" and array.ndim == 1 and outputs == 1,
        missing=missing,
    )
    return known, coded(array, dtype, known) if indices is None else coded_classes(indices, dtype, known)


def _columns(array: np.ndarray) -> int:
    return array.shape[1] if array.ndim == 2 else 1


def _kind(array: np.ndarray, loss: Loss | None) -> str:
    """Decide what targets are; the loss decides where several kinds fit."""
    accepted, coding = ((), "") if loss is None else (loss.targets, loss.coding)
    is_float = array.dtype.kind == "f"
    if accepted == ("real",) and array.dtype.kind in "iuf":
        return "real"
    if array.ndim == 1 and not is_float:
        return "labels"
    columns = _columns(array)
    # Numbers show in the first row already; inspecting all rows takes memory of y's own size.
    may_be_one_hot = coding != "bits" and columns > 1 and one_hot_rows(array[:1]).all()
    if may_be_one_hot and by_blocks(one_hot_rows, array, np.bool_).all():
        return "one_hot"
    if coding in ("bits", "signs"):
        if coding == "bits" or columns > 1:
            refuse_not_binary(array)
        else:
            _refuse_fractions(array, loss)
        return "multilabel" if columns > 1 else "labels"
    if is_float:
        return "soft" if "soft" in accepted and columns > 1 else "real"
    if np.all((array == 0) | (array == 1)):
        return "multilabel"
    if loss is None:
        raise ValueError(
            f"y: got whole numbers other than 0 and 1 in shape {array.shape}; labels of shape (rows,), "
            "one-hot or multilabel rows of 0 and 1, or floats are accepted; for regression y.astype(float)"
        )
    return "real"


def _refuse_fractions(array: np.ndarray, loss: Loss) -> None:
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
    return classes, None if gaps else by_blocks(classes.searchsorted, labels, np.int32)


def _default_loss(array: np.ndarray, kind: str, classes: Any) -> str:
    if kind != "labels" and array.dtype.kind == "f":
        return "squared_error"
    if kind == "one_hot" or (kind == "labels" and len(classes) != 2):
        return "cross_entropy"
    return "binary_cross_entropy"


def _warn_of_doubtful_kind(array: np.ndarray, kind: str, classes: np.ndarray | None) -> None:
    """Warn if labels look like numbers, or numbers like labels of two classes."""
    if kind == "labels" and array.dtype.kind in "iu":
        if len(classes) > _LIKELY_CLASSES and len(array) < _LIKELY_ROWS_PER_CLASS * len(classes):
            warn_caller(
                f"y: got {len(array)} whole numbers, which are taken as labels of {len(classes)} classes; to fit them "
                "as numbers, pass y.astype(float); if they are labels, pass loss='cross_entropy'",
                UserWarning,
            )
    elif kind == "real" and _columns(array) == 1 and _is_zeros_and_ones(array.reshape(-1)):
        warn_caller(
            "y: got floats that are exactly 0 and 1, which are taken as numbers; if they are labels of 2 classes, pass "
            "y.astype(int) or loss='binary_cross_entropy'; to fit them as numbers, pass loss='squared_error'",
            UserWarning,
        )


def _is_zeros_and_ones(values: np.ndarray) -> bool:
    """Return whether both numbers are there, and no others; the first value mostly tells."""
    if values[0] not in (0, 1):
        return False
    fits = by_blocks(lambda rows: (rows == 0) | (rows == 1), values, np.bool_)
    return bool(fits.all()) and values.min() != values.max()


def _refuse_kind(kind: str, classes: np.ndarray | None, loss: Loss) -> None:
    if loss.targets == ("real",) and kind != "real":
        raise ValueError(f"loss: got {loss.name!r} with labels in y; it goes with numbers; for labels leave loss out")
    if ("labels" if kind in ("one_hot", "soft") else kind) not in loss.targets:
        what = {"real": "numbers", "multilabel": "a multilabel matrix"}[kind]
        others = listing(other.name for other in LOSSES.values() if kind in other.targets)
        raise ValueError(
            f"loss: got {loss.name!r} with {what} in y; it goes with labels or one-hot rows: pass integer "
            f"labels of shape (rows,); what goes with {what} is {others}"
        )
    if loss.coding == "bits" and classes is not None and len(classes) > 2:
        raise ValueError(
            f"loss: got {loss.name!r} with {len(classes)} classes in y; it goes with labels of two classes "
            "or with a multilabel matrix; what goes with more classes is 'squared_error', 'cross_entropy'"
        )


def encode(y: Any, rows: int, dtype: Any, known: Task) -> np.ndarray:
    """Code targets for a network whose task is known, as `targets` coded the first ones.

    Labels or one-hot rows if the task has classes, a 0/1 matrix for multilabel targets, numbers for regression
    (integers are numbers here). The result is int32 class indices of shape (rows,) for cross-entropy, otherwise floats
    of shape (rows, outputs).
    """
    array = target_array(y, rows, known.missing)
    columns, needed = _columns(array), known.outputs // known.loss.outputs_per_target
    if known.classes is not None and columns not in (1, len(known.classes)):
        raise ValueError(
            f"y: got shape {array.shape}; labels of shape ({rows},) or one-hot rows of shape "
            f"({rows}, {len(known.classes)}) are accepted"
        )
    if known.classes is None and columns != needed:
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
        return _coded_labels(array, dtype, known)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"y: got labels (dtype {array.dtype}); the network has no classes and takes numbers")
    if known.kind == "multilabel":
        refuse_not_binary(array)
    loss = known.loss
    if loss.minimum > -np.inf:
        _refuse_outside(array, dtype, loss)
    if loss.coding == "signs":
        array = 2.0 * array - 1.0
    values = converted(array.reshape(len(array), -1), dtype, "y", known.missing)
    each = loss.outputs_per_target
    return values if each == 1 else np.repeat(values, each, axis=1)


def _refuse_outside(array: np.ndarray, dtype: Any, loss: Loss) -> None:
    """Check that targets lie in the domain of a loss, also once they are numbers of `dtype`."""
    # Kernels read what is nearer to 0 than the smallest normal number as 0.
    smallest = float(np.finfo(dtype).tiny)
    least = loss.minimum + smallest if loss.open else loss.minimum
    outside = np.argwhere(array <= least if loss.open else array < least)
    if not len(outside):
        return
    at = tuple(outside[0])
    accepted = f"numbers {'above' if loss.open else 'of at least'} {loss.minimum:g} are accepted"
    if array[at] > loss.minimum:
        accepted += f", and {np.dtype(dtype)} tells them from it above {smallest:.3g}; scale y or use a wider dtype"
    raise ValueError(f"y: got {array[at]!s} at row {at[0]} with loss {loss.name!r}; {accepted}")


def _coded_labels(array: np.ndarray, dtype: Any, known: Task) -> np.ndarray:
    is_float = array.dtype.kind == "f"
    if is_float and _columns(array) > 1 and "soft" in known.loss.targets:
        return _soft_rows(array, dtype, known.loss)
    if not (is_float and known.missing and _columns(array) == 1 and np.isnan(array).any()):
        return coded_classes(_class_indices(array, known.classes), dtype, known)
    observed = ~np.isnan(array.reshape(-1))
    values = np.full((len(array), 1), np.nan, dtype)
    values[observed] = coded_classes(_class_indices(array[observed], known.classes), dtype, known)
    return values


def _soft_rows(array: np.ndarray, dtype: Any, loss: Loss) -> np.ndarray:
    """Check rows of probabilities, one per class; one-hot rows become class indices."""
    observed = ~np.isnan(array).any(axis=1)
    # a thousandth: what probabilities that were written down in half precision may be off
    bad = np.flatnonzero(observed & ((array < 0).any(axis=1) | (np.abs(array.sum(axis=1) - 1) > 1e-3)))
    if len(bad):
        raise ValueError(
            f"y: got {listing(array[bad[0]].tolist())} at row {bad[0]} with loss {loss.name!r}; labels of shape "
            "(rows,), one-hot rows, or rows of probabilities that sum to 1 are accepted"
        )
    if observed.all() and by_blocks(one_hot_rows, array, np.bool_).all():
        return columns_of_ones(array)
    return converted(array, dtype, "y", missing=True)


def _class_indices(array: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return each row's class among the known ones, from labels or from one-hot rows."""
    if array.ndim == 2 and array.shape[1] == len(classes) > 1:
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
            f"y: got the unknown label {shown(rows.tolist()[row])} at row {row}; the network knows "
            f"{listing(classes.tolist())}"
        )
    return indices


def coded_classes(indices: np.ndarray, dtype: Any, known: Task) -> np.ndarray:
    """Code class indices as the loss takes them: int32, one 0/1 column, or one-hot rows."""
    if known.loss.coding == "indices":
        return indices
    if known.output_per_class:
        values = np.zeros((len(indices), known.outputs), dtype)
        values[np.arange(len(indices)), indices] = 1
    else:
        values = indices.astype(dtype).reshape(-1, 1)
    return 2 * values - 1 if known.loss.coding == "signs" else values


def refuse_not_binary(array: np.ndarray, argument: str = "y") -> None:
    other = np.argwhere((array != 0) & (array != 1) & (array == array))
    if len(other):
        place = ", ".join(f"{name} {at}" for name, at in zip(("row", "column"), other[0], strict=False))
        raise ValueError(
            f"{argument}: got {array[tuple(other[0])]!s} at {place}; 0 and 1 are accepted, as multilabel rows or as "
            "labels of two classes"
        )


def one_hot_rows(array: np.ndarray) -> np.ndarray:
    """Return for every row of a matrix whether it holds a single 1 among 0s."""
    return ((array == 1).sum(axis=1) == 1) & ((array != 0).sum(axis=1) == 1)


def columns_of_ones(array: np.ndarray) -> np.ndarray:
    return by_blocks(lambda rows: rows.argmax(axis=1), array, np.int32)


def distinct(labels: np.ndarray) -> np.ndarray:
    parts = [np.unique(labels[start : start + BLOCK]) for start in range(0, len(labels), BLOCK)]
    return parts[0] if len(parts) == 1 else np.unique(np.concatenate(parts))


def by_blocks(function: Callable[[np.ndarray], np.ndarray], array: np.ndarray, dtype: Any) -> np.ndarray:
    """Apply a function of rows block by block: what it takes for itself on the way does not grow with the rows."""
    result = np.empty(len(array), dtype)
    for start in range(0, len(array), BLOCK):
        result[start : start + BLOCK] = function(array[start : start + BLOCK])
    return result
