"""Targets at the door: what y is, which loss and output go with it, and its coding for the kernels.

Imports `_arrays`, `_scalars` and the table of losses; `_validate` imports it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fastmlp._arrays import BLOCK, converted, read_array, refuse_nonfinite
from fastmlp._scalars import choice, listing
from fastmlp.losses import LOSSES, OUTPUTS, Loss, huber, quantile


@dataclass(frozen=True, eq=False)
class Task:
    """What a network is trained for: how targets are coded, and how outputs are read.

    Parameters
    ----------
    loss : Loss
        The loss.
    output : str
        The output activation.
    outputs : int
        The number of output units.
    classes : ndarray or None
        The labels, one a class (sorted, where they came from targets); None for regression and multilabel.
    kind : str
        How the targets came: ``"labels"``, ``"one_hot"``, ``"soft"``, ``"multilabel"`` or ``"real"``.
    squeeze : bool
        Whether predictions are 1-D: true of regression on 1-D targets, but for several quantiles of them.
    missing : bool, default False
        Whether a float target may be NaN: not observed.

    Attributes
    ----------
    loss_parameters : ndarray of float64, shape (outputs,), or None
        The loss's parameter of each output, as the kernels read it.
    """

    loss: Loss
    output: str
    outputs: int
    classes: np.ndarray | None
    kind: str
    squeeze: bool
    missing: bool = False

    @cached_property
    def loss_parameters(self) -> np.ndarray | None:
        """The loss's parameter of each output; None where it has none."""
        given = self.loss.parameters
        return np.resize(np.array(given), self.outputs) if given else None


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
    y: Any, rows: int, dtype: Any, *, loss: str | Loss | None = None, output: str | None = None,
    label_smoothing: float = 0.0, missing_targets: str = "error",
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
    asked = None if loss is None else _loss(loss)
    missing = choice(missing_targets, ("error", "mask"), "missing_targets") == "mask"
    array = _target_array(y, rows, missing)
    kind = _kind(array, asked, _is_categorical(y))
    classes, indices = _classes(array, kind)
    chosen = (asked or LOSSES[_default_loss(array, kind, classes)]).smoothed(label_smoothing)
    _refuse_kind(kind, classes, chosen)
    outputs = _output_count(array, classes, chosen)
    squeeze = kind == "real" and array.ndim == 1 and outputs == 1
    known = Task(chosen, _output(output, chosen), outputs, classes, kind, squeeze, missing)
    return Targets(known, _coded(array, dtype, known) if indices is None else _coded_classes(indices, dtype, known))


def task(
    loss: str | Loss, outputs: int, *, output: str | None = None, classes: Any = None, label_smoothing: float = 0.0,
    missing_targets: str = "error",
) -> Task:
    """Make the task of a network that has seen no targets yet.

    Parameters
    ----------
    loss : str or Loss
        The loss or its name.
    outputs : int
        The number of output units.
    output : str or None, default None
        The output activation; None takes the loss's own.
    classes : array-like or None, default None
        The labels, one a class. None means 0, 1, ... for cross-entropy and for binary cross-entropy and hinge with one
        output, multilabel for these with several, and regression for all others.
    label_smoothing, missing_targets
        As `targets` takes them.

    Returns
    -------
    Task
        The task.

    Raises
    ------
    TypeError
        If `loss` is neither a string nor a Loss, `output` is not a string, or `classes` are no labels.
    ValueError
        If a name is unknown, the output does not go with the loss, or the number of classes not with
        the outputs.

    Examples
    --------
    >>> task("cross_entropy", 3).classes.tolist()
    [0, 1, 2]
    """
    chosen = _loss(loss).smoothed(label_smoothing)
    missing = choice(missing_targets, ("error", "mask"), "missing_targets") == "mask"
    activation = _output(output, chosen)
    one_unit = chosen.one_output_of_two and outputs == 1
    needed = 2 if one_unit else outputs
    if classes is None and (one_unit or chosen.name == "cross_entropy"):
        classes = np.arange(needed)
    if chosen.name == "cross_entropy" and outputs < 2:
        raise ValueError("sizes: got 1 output with loss 'cross_entropy'; at least 2 are needed, one a class")
    if outputs % chosen.outputs_per_target:
        raise ValueError(
            f"sizes: got {outputs} outputs with {chosen.outputs_per_target} quantiles; a multiple of these is accepted"
        )
    if classes is None:
        kind = "real" if "real" in chosen.targets else "multilabel"
        return Task(chosen, activation, outputs, None, kind, kind == "real" and outputs == 1, missing)
    if "labels" not in chosen.targets:
        raise ValueError(f"classes: got labels with loss {chosen.name!r}, which goes with numbers; leave them out")
    labels = _label_array(read_array(classes, "classes"), "classes")
    if labels.ndim != 1 or len(set(labels.tolist())) != needed or len(labels) != needed or needed < 2:
        raise ValueError(
            f"classes: got {listing(labels.tolist())}; {max(needed, 2)} different labels go with {outputs} "
            f"{'output' if outputs == 1 else 'outputs'} and loss {chosen.name!r}"
        )
    return Task(chosen, activation, outputs, labels, "labels", False, missing)


def encode(y: Any, rows: int, dtype: Any, known: Task) -> np.ndarray:
    """Code targets for a network whose task is known, as `targets` coded the first ones.

    Parameters
    ----------
    y : array-like, shape (rows,) or (rows, outputs)
        The targets: labels or one-hot rows where the task has classes, a 0/1 matrix for multilabel, numbers
        for regression (integers are numbers here).
    rows : int
        The number of rows of X.
    dtype : numpy dtype
        float32 or float64, as the features.
    known : Task
        The network's task.

    Returns
    -------
    ndarray
        int32 class indices of shape (rows,) for cross-entropy, otherwise floats of shape (rows, outputs).

    Raises
    ------
    TypeError
        If `y` is sparse, masked or of a dtype that is neither numbers nor labels.
    ValueError
        If the lengths differ, a label is unknown, a value is not finite, or the shape or the values are not
        those of the task.

    Examples
    --------
    >>> known = targets(["a", "b", "c"], 3, np.float64).task
    >>> encode(["c", "a"], 2, np.float64, known).tolist()
    [2, 0]
    """
    array = _target_array(y, rows, known.missing)
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
    return _coded(array, dtype, known)


def _target_array(y: Any, rows: int, missing: bool) -> np.ndarray:
    """Read y as `rows` rows of finite numbers or of labels, 1-D or 2-D; a column of labels becomes 1-D.

    NaN passes if numbers may be `missing`.
    """
    array = read_array(y, "y")
    if array.ndim not in (1, 2) or 0 in array.shape[1:]:
        raise ValueError(f"y: got shape {array.shape}; shape (rows,) or (rows, outputs) is accepted")
    if len(array) != rows:
        raise ValueError(f"y: got {len(array)} rows where X has {rows}; one target a row is accepted")
    if array.dtype.kind == "f":
        array = np.ascontiguousarray(array)
        refuse_nonfinite(array, array, "y", missing, ", or pass missing_targets='mask' where NaN means not observed")
        if missing and np.isnan(array).all():
            raise ValueError("y: got NaN in every place; one target at least must have been observed")
        return array
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    return _label_array(array, "y")


def _label_array(array: np.ndarray, argument: str) -> np.ndarray:
    """Check that an array holds numbers or labels; Python objects of one kind become its dtype."""
    if array.dtype.kind == "O" and array.ndim == 1:
        array = _labels_of_objects(array, argument)
    if array.dtype.kind in "biuf" or (array.dtype.kind in "OUST" and array.ndim == 1):
        return array
    raise TypeError(
        f"{argument}: got dtype {array.dtype}, shape {array.shape}; numbers, or labels (integers, bools, "
        "strings) of shape (rows,), are accepted"
    )


def _labels_of_objects(array: np.ndarray, argument: str) -> np.ndarray:
    """Bring a 1-D object array of strings, of bools or of integers to labels of that one kind."""
    for is_label, dtype in ((_is_string, np.object_), (_is_bool, np.bool_), (_is_integer, np.int64)):
        other = next((row for row, label in enumerate(array) if not is_label(label)), None)
        if other is None:
            return array.astype(dtype, copy=False)
        if other > 0:  # the first label is of this kind, this one is not
            break
    label = array[other]
    raise TypeError(
        f"{argument}: got {label!r} ({type(label).__name__}) at row {other}; labels of one kind "
        "(integers, bools or strings) are accepted; leave out rows without a label"
    )


def _is_string(label: Any) -> bool:
    """Tell whether an object is a string."""
    return isinstance(label, str)


def _is_bool(label: Any) -> bool:
    """Tell whether an object is a bool."""
    return isinstance(label, (bool, np.bool_))


def _is_integer(label: Any) -> bool:
    """Tell whether an object is an integer that int64 holds, and no bool."""
    return isinstance(label, (int, np.integer)) and not _is_bool(label) and -(2**63) <= label < 2**63


def _loss(value: Any) -> Loss:
    """Check a loss, or find one by its name."""
    if isinstance(value, Loss):
        return value
    if value in (huber, quantile):  # functions, which a user may forget to call
        raise TypeError(f"loss: got the function {value.__name__}; call it, such as {value.__name__}(0.5)")
    return LOSSES[choice(value, LOSSES, "loss")]


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
    if loss is not None and loss.name == "binary_cross_entropy":
        _refuse_not_binary(array)
        return "multilabel" if array.ndim == 2 and array.shape[1] > 1 else "labels"
    if _is_one_hot(array):
        return "one_hot"
    columns = array.shape[1] if array.ndim == 2 else 1
    if loss is not None and loss.name == "hinge":
        if columns > 1:
            _refuse_not_binary(array)
        elif array.dtype.kind == "f":
            _refuse_fractions(array)
        return "multilabel" if columns > 1 else "labels"
    if loss is not None and loss.name == "cross_entropy" and array.dtype.kind == "f" and columns > 1:
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
    return bool(_one_hot_rows(array[:1]).all() and _by_blocks(_one_hot_rows, array, np.bool_).all())


def _one_hot_rows(array: np.ndarray) -> np.ndarray:
    """Tell for every row of a matrix whether it holds a single 1 among 0s."""
    return ((array == 1).sum(axis=1) == 1) & ((array != 0).sum(axis=1) == 1)


def _refuse_not_binary(array: np.ndarray) -> None:
    """Raise at the first value that is neither 0 nor 1."""
    other = np.argwhere((array != 0) & (array != 1) & (array == array))
    if len(other):
        place = ", ".join(f"{name} {at}" for name, at in zip(("row", "column"), other[0], strict=False))
        raise ValueError(
            f"y: got {array[tuple(other[0])]!s} at {place}; 0 and 1 are accepted, as multilabel rows or as "
            "labels of two classes"
        )


def _refuse_fractions(array: np.ndarray) -> None:
    """Raise at the first float that is no whole number, and so no label."""
    other = np.flatnonzero(array.reshape(-1) % 1 > 0)
    if len(other):
        raise ValueError(
            f"y: got {array.reshape(-1)[other[0]]!s} at row {other[0]} with loss 'hinge'; labels are accepted: text, "
            "whole numbers or bools; for numbers take another loss, such as 'huber'"
        )


def _classes(array: np.ndarray, kind: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    """List the classes that targets of this kind hold (sorted labels, or columns' numbers), and the class of each row.

    Both are None where the kind has none.
    """
    if kind == "one_hot":
        return np.arange(array.shape[1]), _columns_of_ones(array)
    if kind == "soft":
        return np.arange(array.shape[1]), None
    if kind != "labels":
        return None, None
    labels = array.reshape(-1)
    classes, gaps = _distinct(labels), False
    if array.dtype.kind == "f" and np.isnan(labels).any():  # some rows were not observed
        classes, gaps = classes[~np.isnan(classes)], True
        if len(classes) > 2:
            raise ValueError(
                f"y: got NaN among labels of {len(classes)} classes; gaps go with two classes, numbers, several labels "
                "a row or rows of probabilities; leave such rows out"
            )
    if len(classes) < 2:
        raise ValueError(f"y: got one single class, {classes.tolist()[0]!r}; at least two classes are needed")
    return classes, None if gaps else _by_blocks(classes.searchsorted, labels, np.int32)


def _distinct(labels: np.ndarray) -> np.ndarray:
    """List the different labels, sorted."""
    parts = [np.unique(labels[start : start + BLOCK]) for start in range(0, len(labels), BLOCK)]
    return parts[0] if len(parts) == 1 else np.unique(np.concatenate(parts))


def _by_blocks(function: Callable[[np.ndarray], np.ndarray], array: np.ndarray, dtype: Any) -> np.ndarray:
    """Apply a function of rows block by block: what it takes for itself on the way does not grow with the rows."""
    result = np.empty(len(array), dtype)
    for start in range(0, len(array), BLOCK):
        result[start : start + BLOCK] = function(array[start : start + BLOCK])
    return result


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
    if loss.name == "binary_cross_entropy" and classes is not None and len(classes) != 2:
        raise ValueError(
            f"loss: got {loss.name!r} with {len(classes)} classes in y; it goes with labels of two classes "
            "or with a multilabel matrix; what goes with more classes is 'squared_error', 'cross_entropy'"
        )


def _losses_for(kind: str) -> list[str]:
    """Name the losses that go with a kind of targets."""
    return [loss.name for loss in LOSSES.values() if kind in loss.targets]


def _output(output: str | None, loss: Loss) -> str:
    """Check the output activation: the loss's own, or another that goes with it."""
    if output is None:
        return loss.outputs[0]
    choice(output, OUTPUTS, "output")
    if output not in loss.outputs:
        raise ValueError(f"output: got {output!r}; loss {loss.name!r} goes with {listing(loss.outputs)}")
    return output


def _output_count(array: np.ndarray, classes: np.ndarray | None, loss: Loss) -> int:
    """Count the output units that targets need."""
    if classes is not None:
        return 1 if loss.one_output_of_two and len(classes) == 2 else len(classes)
    return (array.shape[1] if array.ndim == 2 else 1) * loss.outputs_per_target


def _coded(array: np.ndarray, dtype: Any, known: Task) -> np.ndarray:
    """Code checked targets for a task: class indices, one-hot rows, or the numbers themselves."""
    if known.classes is not None:
        soft = array.dtype.kind == "f" and array.ndim == 2 and array.shape[1] > 1
        if soft and known.loss.name == "cross_entropy":
            return _soft_rows(array, dtype)
        column = array.ndim == 1 or array.shape[1] == 1
        if column and known.missing and array.dtype.kind == "f" and np.isnan(array).any():
            return _classes_with_gaps(array.reshape(-1), dtype, known)
        return _coded_classes(_class_indices(array, known.classes), dtype, known)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"y: got labels (dtype {array.dtype}); the network has no classes and takes numbers")
    if known.kind == "multilabel":
        _refuse_not_binary(array)
    _refuse_outside(array, known.loss)
    each = known.loss.outputs_per_target
    if known.loss.name == "hinge":
        array = 2.0 * array - 1.0
    values = converted(array.reshape(len(array), known.outputs // each), dtype, "y", known.missing)
    return values if each == 1 else np.repeat(values, each, axis=1)


def _soft_rows(array: np.ndarray, dtype: Any) -> np.ndarray:
    """Check rows of probabilities, one a class; one-hot rows become class indices."""
    observed = ~np.isnan(array).any(axis=1)
    sums = array.sum(axis=1)
    # a thousandth: what probabilities that were written down in half precision may be off
    bad = np.flatnonzero(observed & ((array < 0).any(axis=1) | (np.abs(sums - 1) > 1e-3)))
    if len(bad):
        raise ValueError(
            f"y: got {listing(array[bad[0]].tolist())} at row {bad[0]} with loss 'cross_entropy'; labels of shape "
            "(rows,), one-hot rows, or rows of probabilities that sum to 1 are accepted"
        )
    if observed.all() and _by_blocks(_one_hot_rows, array, np.bool_).all():
        return _columns_of_ones(array)
    return converted(array, dtype, "y", missing=True)


def _classes_with_gaps(array: np.ndarray, dtype: Any, known: Task) -> np.ndarray:
    """Code the two classes of float labels of which some are NaN."""
    observed = ~np.isnan(array)
    values = np.full((len(array), 1), np.nan, dtype)
    values[observed] = _coded_classes(_class_indices(array[observed], known.classes), dtype, known)
    return values


def _refuse_outside(array: np.ndarray, loss: Loss) -> None:
    """Raise at the first target that the loss has no value for."""
    if loss.name not in ("poisson", "gamma"):
        return  # NaN is neither
    outside = np.argwhere(array < 0 if loss.name == "poisson" else array <= 0)
    if len(outside):
        row, at = int(outside[0][0]), tuple(outside[0])
        accepted = "numbers of at least 0" if loss.name == "poisson" else "numbers above 0"
        raise ValueError(f"y: got {array[at]!s} at row {row} with loss {loss.name!r}; {accepted} are accepted")


def _columns_of_ones(array: np.ndarray) -> np.ndarray:
    """Give the column of the 1 of every one-hot row."""
    return _by_blocks(lambda rows: rows.argmax(axis=1), array, np.int32)


def _class_indices(array: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Find each row's class among the known ones, from labels or from one-hot rows."""
    if array.ndim == 2 and array.shape[1] == len(classes):
        good = _by_blocks(_one_hot_rows, array, np.bool_)
        if not good.all():
            row = int(good.argmin())
            raise ValueError(f"y: got {listing(array[row].tolist())} at row {row}; one-hot rows are accepted")
        return _columns_of_ones(array)
    rows = array.reshape(-1)
    labels = _distinct(rows)
    index = {label: position for position, label in enumerate(classes.tolist())}
    positions = np.array([index.get(label, -1) for label in labels.tolist()], np.int32)
    indices = _by_blocks(lambda rows: positions[labels.searchsorted(rows)], rows, np.int32)
    if indices.min() < 0:
        row = int(indices.argmin())
        raise ValueError(
            f"y: got the unknown label {rows.tolist()[row]!r} at row {row}; the network knows "
            f"{listing(classes.tolist())}"
        )
    return indices


def _coded_classes(indices: np.ndarray, dtype: Any, known: Task) -> np.ndarray:
    """Code class indices as the loss wants them: int32, one 0/1 column, or one-hot rows."""
    if known.loss.name == "cross_entropy":
        return indices
    if known.outputs == 1:
        values = indices.astype(dtype).reshape(-1, 1)
    else:
        values = np.zeros((len(indices), known.outputs), dtype)
        values[np.arange(len(indices)), indices] = 1
    return 2 * values - 1 if known.loss.name == "hinge" else values
