"""Checked rows as the kernels read them: features, coded targets, their weights, and which rows are validated on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastmlp._checks import arrays, targets
from fastmlp._checks.sparse import SparseRows
from fastmlp._checks.task import Task, class_codes
from fastmlp._spec.values import as_array, choice, listing, number, renamed, shown


@dataclass(frozen=True, eq=False)
class Samples:
    """Checked rows, their coded targets and their weights, of mean 1; None if there are none.

    `weights` weigh losses: they are those of the rows times those of the rows' classes. `metric_weights`, those of the
    rows alone, weigh accuracy and metrics. `total` is the sum of the weights of losses as they were given; None if all
    rows weigh the same.
    """

    x: Any = None
    y: np.ndarray | None = None
    weights: np.ndarray | None = None
    total: float | None = None
    metric_weights: np.ndarray | None = None

    def __len__(self) -> int:
        return 0 if self.x is None else len(self.x)

    @classmethod
    def weighted(
        cls, x: Any, y: np.ndarray, weights: np.ndarray | None, of_classes: np.ndarray | None = None
    ) -> "Samples":
        """Take rows with weights of any mean, and with the weight of each row's class."""
        own = None if weights is None else _of_mean_one(weights, x.dtype)
        if of_classes is None:
            return cls(x, y, own, None if weights is None else float(weights.sum()), own)
        with np.errstate(over="ignore", invalid="ignore"):  # found when the weights are scaled
            both = of_classes if weights is None else weights * of_classes
        if not both.any():
            raise ValueError(
                "class_weight: got 0 for every class of a row whose sample_weight is above 0, among the rows to train "
                "on or among those to validate on; at least one row of each must count"
            )
        return cls(x, y, _of_mean_one(both, x.dtype), float(both.sum()), own)

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


def _row_weights(value: Any, rows: int) -> np.ndarray:
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


def checked_weights(value: Any, values: np.ndarray, task: Task) -> np.ndarray | None:
    """Check the weights of rows; those without any observed target weigh 0, soft targets that lack a part lack all."""
    weights = None if value is None else _row_weights(value, len(values))
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


def weights_of_classes(value: Any, values: np.ndarray, weights: np.ndarray | None, task: Task) -> np.ndarray:
    """Check the weights of classes, and return one per class; "balanced" takes them from these rows."""
    if task.classes is None:
        raise ValueError("class_weight: got it for targets without classes; sample_weight is accepted with them")
    if isinstance(value, str):
        choice(value, ("balanced",), "class_weight")
        return balanced(hard_codes(values, task), weights, len(task.classes))
    if not isinstance(value, Mapping):
        raise TypeError(f"class_weight: got {shown(value)}; 'balanced' or a dict of label to weight is accepted")
    classes = task.classes.tolist()
    given = {label.item() if isinstance(label, np.generic) else label: weight for label, weight in value.items()}
    unknown = set(given).difference(classes)
    if unknown:
        raise ValueError(
            f"class_weight: got the unknown label {shown(min(unknown, key=str))}; the classes are {listing(classes)}"
        )
    return named_weights(given, classes)


def named_weights(value: Mapping[Any, float], classes: list) -> np.ndarray:
    """Return one weight per class from a mapping of labels; 1 for those that are not named."""
    return np.array([number(value.get(label, 1.0), f"class_weight[{shown(label)}]") for label in classes])


def balanced(codes: np.ndarray, weights: np.ndarray | None, classes: int) -> np.ndarray:
    """Return one weight per class, with which the classes of these rows weigh alike, and the rows as much as before.

    It is Σ w / (the classes of these rows times Σ w over the rows of the class); 1 for a class without a row.
    """
    sums = np.bincount(codes, weights, minlength=classes)
    return np.divide(sums.sum(), np.count_nonzero(sums) * sums, out=np.ones(classes), where=sums > 0)


def hard_codes(values: np.ndarray, task: Task) -> np.ndarray:
    """Return the class of each row, or raise if rows are of several classes."""
    if values.ndim == 2 and task.loss.coding == "indices":
        raise ValueError("class_weight: got it with soft targets, whose rows have no class; sample_weight is accepted")
    return class_codes(values, len(task.classes))


def split(
    value: Any,
    rows: tuple,
    task: Task,
    seed: int,
    class_weight: Any = None,
    names: tuple[str, ...] | None = None,
) -> tuple[Samples, Samples]:
    """Return the samples to train on and those to validate on.

    `rows` are checked features, coded targets and weights (or None), `names` those of the columns. `value` is a
    fraction of these rows, drawn at random by `seed`, of each class as many as of all; or rows of their own, (X, y) or
    (X, y, weights); or None. What `class_weight` makes of the rows to train on weighs the classes of both.
    """
    if value is None:
        parts = (rows,)
    elif isinstance(value, (tuple, list)):
        parts = (rows, _given(value, rows[0], task, names))
    else:
        parts = _fraction(value, rows, task, seed)
    if class_weight is not None:
        each = weights_of_classes(class_weight, *parts[0][1:], task)
        parts = [(*part, each[hard_codes(part[1], task)]) for part in parts]
    samples = [Samples.weighted(*part) for part in parts]
    return samples[0], samples[1] if len(samples) > 1 else Samples()


def _given(value: tuple | list, X: np.ndarray, task: Task, names: tuple[str, ...] | None) -> tuple:
    if len(value) not in (2, 3):
        raise ValueError(
            f"validation: got {len(value)} parts; a fraction such as 0.2, or rows (X, y) or (X, y, weights), is "
            "accepted"
        )
    rows = arrays.features(value[0], dtype=X.dtype, columns=X.shape[1], names=names, argument="validation X")
    with renamed({"y": "validation y", "sample_weight": "validation weights"}):
        coded = targets.encode(value[1], len(rows), X.dtype, task)
        return rows, coded, checked_weights(value[2] if len(value) == 3 else None, coded, task)


def _fraction(value: Any, rows: tuple, task: Task, seed: int) -> list[tuple]:
    """Return the rows that are left and those that are drawn."""
    X, values, weights = rows
    if isinstance(value, (bool, str)) or not np.isscalar(value):
        raise TypeError(f"validation: got {shown(value)}; a fraction such as 0.2, or rows (X, y), is accepted")
    chosen = _drawn(number(value, "validation", above=0.0, below=1.0), values, task, seed)
    if not 0 < chosen.sum() < len(X):
        raise ValueError(
            f"validation: got {value} of {len(X)} rows, which leaves {len(X) - chosen.sum()} to train on and "
            f"{chosen.sum()} to validate on; another fraction, or rows (X, y), is accepted"
        )
    left = X.part if isinstance(X, SparseRows) else X.__getitem__  # which stay sparse; those that are drawn are dense
    parts = [
        (take(rows), values[rows], None if weights is None else weights[rows])
        for rows, take in ((~chosen, left), (chosen, X.__getitem__))
    ]
    if weights is not None and not all(part.any() for _, _, part in parts):
        raise ValueError(
            f"validation: got {value}, which leaves only rows of weight 0 in one part; another fraction or seed is "
            "accepted"
        )
    return parts


def _drawn(fraction: float, values: np.ndarray, task: Task, seed: int) -> np.ndarray:
    """Draw a fraction of the rows, of each class as nearly as rounding allows; True for each drawn row."""
    # Another stream than the initial weights'.
    order = np.random.Generator(np.random.PCG64([seed, 1])).permutation(len(values))
    if task.classes is not None:
        # Stable: within a class the rows stay in their random order. Every 1 / fraction-th row of the classes in turn
        # is then an even part of each.
        order = order[np.argsort(class_codes(values, len(task.classes))[order], kind="stable")]
    drawn = np.zeros(len(order), np.bool_)
    drawn[order[np.diff(np.floor(np.arange(len(order) + 1) * fraction + 0.5)) > 0]] = True
    return drawn
