"""The door: every input error is raised here, before anything is allocated or changed.

What has passed this file needs no further check anywhere. Arrays are checked in `_arrays`, targets in
`_targets`, single values in `_scalars`; settings that know the tables of names stand below. The network, the
training and the command line may import it, and take all of these from here.

Every message is one line: "argument: what came; what is accepted; what to do".
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastmlp._arrays import features
from fastmlp._scalars import choice, flag, listing, number, whole
from fastmlp._targets import Targets, Task, encode, targets, task
from fastmlp.activations import HIDDEN_ACTIVATIONS
from fastmlp.optimizers import OPTIMIZERS, Optimizer
from fastmlp.schedules import Constant, RateSchedule
from fastmlp.stopping import EarlyStopping

__all__ = [
    "Targets",
    "Task",
    "activations",
    "batch_size",
    "choice",
    "encode",
    "features",
    "flag",
    "floating",
    "hidden_sizes",
    "learning_rate",
    "number",
    "early_stopping",
    "optimizer",
    "seed",
    "split",
    "targets",
    "task",
    "weights",
    "whole",
]

_AUTO_BATCH = 200


def hidden_sizes(hidden: Any, argument: str = "hidden") -> tuple[int, ...]:
    """Check the sizes of the hidden layers.

    Parameters
    ----------
    hidden : int or sequence of int
        One size a hidden layer; an int is one layer, an empty sequence a linear model.
    argument : str, default "hidden"
        What the error calls it.

    Returns
    -------
    tuple of int
        The sizes.

    Raises
    ------
    TypeError
        If `hidden` is no sequence of whole numbers.
    ValueError
        If a size is below 1.

    Examples
    --------
    >>> hidden_sizes(100), hidden_sizes([64, 32]), hidden_sizes(())
    ((100,), (64, 32), ())
    """
    if isinstance(hidden, np.ndarray) and hidden.ndim == 1:
        hidden = hidden.tolist()
    if isinstance(hidden, (list, tuple)):
        return tuple(whole(size, f"{argument}[{layer}]") for layer, size in enumerate(hidden))
    if isinstance(hidden, (int, np.integer)):
        return (whole(hidden, argument),)
    raise TypeError(
        f"{argument}: got {hidden!r} ({type(hidden).__name__}); a whole number or a tuple or list of them is "
        "accepted, such as (64, 32)"
    )


def activations(activation: Any, layers: int) -> tuple[str, ...]:
    """Check the hidden layers' activations.

    Parameters
    ----------
    activation : str or sequence of str
        One name for every hidden layer, or one a layer.
    layers : int
        The number of hidden layers.

    Returns
    -------
    tuple of str
        One name a hidden layer.

    Raises
    ------
    TypeError
        If a name is not a string.
    ValueError
        If a name is unknown or there are not as many names as layers.

    Examples
    --------
    >>> activations("tanh", 2)
    ('tanh', 'tanh')
    """
    if not isinstance(activation, (list, tuple)):
        return (choice(activation, HIDDEN_ACTIVATIONS, "activation"),) * layers
    names = tuple(choice(name, HIDDEN_ACTIVATIONS, f"activation[{i}]") for i, name in enumerate(activation))
    if len(names) != layers:
        raise ValueError(
            f"activation: got {len(names)} names for {layers} hidden layers; one name for all, or one a "
            "hidden layer, is accepted"
        )
    return names


def batch_size(value: Any, rows: int, optimizer: Optimizer | None = None) -> int:
    """Check a batch size.

    Parameters
    ----------
    value : int or str
        Rows a step; ``"full"`` for all of them, ``"auto"`` for 200. More than there are means all.
    rows : int
        The number of rows of X.
    optimizer : Optimizer or None, default None
        The optimizer; with one that needs whole gradients ``"auto"`` means all rows, and fewer are refused.

    Returns
    -------
    int
        Rows a step, at most `rows`.

    Raises
    ------
    TypeError
        If `value` is neither a whole number nor a string.
    ValueError
        If it is below 1 or an unknown name, or the optimizer needs all rows.

    Examples
    --------
    >>> batch_size("auto", 1000), batch_size("full", 1000), batch_size(64, 50)
    (200, 1000, 50)
    """
    if isinstance(value, str):
        name = choice(value, ("auto", "full"), "batch_size")
        whole_gradients = name == "full" or (optimizer is not None and optimizer.full_batch)
        return rows if whole_gradients else min(_AUTO_BATCH, rows)
    size = min(whole(value, "batch_size"), rows)
    if optimizer is not None and optimizer.full_batch and size < rows:
        raise ValueError(
            f"batch_size: got {size} with optimizer {optimizer.name!r} and {rows} rows in X; it needs the gradient "
            "over all rows in every step: 'full' or 'auto' is accepted"
        )
    return size


def floating(dtype: Any) -> np.dtype | None:
    """Check the dtype that a network calculates in.

    Parameters
    ----------
    dtype : dtype-like or None
        float32 or float64, as a name, a NumPy type or a dtype; None leaves it to the data.

    Returns
    -------
    numpy.dtype or None
        The dtype.

    Raises
    ------
    TypeError
        If `dtype` is no dtype at all.
    ValueError
        If it is another dtype.

    Examples
    --------
    >>> floating("float32")
    dtype('float32')
    """
    if dtype is None:
        return None
    accepted = "'float32', 'float64' or None is accepted"
    try:
        found = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError) as error:
        raise TypeError(f"dtype: got {dtype!r} ({type(dtype).__name__}); {accepted}") from error
    if found not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"dtype: got {found}; {accepted}")
    return found


def seed(value: Any) -> int:
    """Check a seed, or draw one.

    Parameters
    ----------
    value : int or None
        The seed, at least 0 and below 2**63; None draws one from the system's entropy.

    Returns
    -------
    int
        The seed.

    Raises
    ------
    TypeError
        If `value` is neither a whole number nor None.
    ValueError
        If it is negative or too large.

    Examples
    --------
    >>> seed(2017)
    2017
    """
    if value is None:
        return int.from_bytes(os.urandom(8), "little") >> 1
    return whole(value, "seed", minimum=0, maximum=2**63 - 1)


def optimizer(value: Any) -> Optimizer:
    """Check an optimizer.

    Parameters
    ----------
    value : str or Optimizer
        A name, or an optimizer with its own settings.

    Returns
    -------
    Optimizer
        The optimizer; a name stands for its defaults.

    Raises
    ------
    TypeError
        If `value` is neither; a class must be called first.
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> optimizer("sgd")
    SGD(momentum=0.0, nesterov=False)
    """
    if isinstance(value, Optimizer):
        return value
    if isinstance(value, type) and issubclass(value, Optimizer):
        name = value.__name__
        raise TypeError(f"optimizer: got the class {name}; an instance is accepted; write {name}()")
    return OPTIMIZERS[choice(value, OPTIMIZERS, "optimizer")]


def learning_rate(value: Any, optimizer: Optimizer, dtype: Any = np.float64) -> RateSchedule:
    """Check a learning rate.

    Parameters
    ----------
    value : float, RateSchedule or None
        The learning rate, finite and at least 0, or a schedule of it; None takes the optimizer's default.
    optimizer : Optimizer
        The optimizer that it is for.
    dtype : numpy dtype, default float64
        The dtype of the arithmetic, which has to hold it.

    Returns
    -------
    RateSchedule
        The schedule; a number is a constant one.

    Raises
    ------
    TypeError
        If `value` is neither a real number nor a schedule; a class must be called first.
    ValueError
        If it is negative, NaN or infinite.

    Examples
    --------
    >>> learning_rate(None, optimizer("adam"))
    Constant(rate=0.001)
    """
    if isinstance(value, type) and issubclass(value, RateSchedule):
        name = value.__name__
        raise TypeError(f"learning_rate: got the class {name}; an instance is accepted, such as {name}(0.1, ...)")
    if isinstance(value, RateSchedule):
        schedule = value
    else:
        rate = optimizer.default_learning_rate if value is None else number(value, "learning_rate")
        schedule = Constant(rate)
    largest = float(np.finfo(dtype).max)
    if schedule.rate > largest:
        raise ValueError(
            f"learning_rate: got {schedule.rate}; numbers up to {largest:.4g}, the largest {np.dtype(dtype)}, are "
            "accepted"
        )
    return schedule


def early_stopping(value: Any, task: Task, validated: bool) -> EarlyStopping | None:
    """Check a rule of early stopping against what is measured.

    Parameters
    ----------
    value : bool, EarlyStopping or None
        The rule; True is `EarlyStopping()`, False and None are none.
    task : Task
        What the network is trained for.
    validated : bool
        Whether there are validation rows.

    Returns
    -------
    EarlyStopping or None
        The rule.

    Raises
    ------
    TypeError
        If `value` is neither.
    ValueError
        If the number that it looks at is not measured.

    Examples
    --------
    >>> early_stopping(True, targets([1.5, 2.5], 2, np.float64).task, True).patience
    10
    """
    if value is None or value is False:
        return None
    rule = EarlyStopping() if value is True else value
    if not isinstance(rule, EarlyStopping):
        hint = "; write EarlyStopping()" if value is EarlyStopping else ""
        raise TypeError(f"early_stopping: got {value!r}; True, False or an EarlyStopping is accepted{hint}")
    if rule.title.startswith("val_") and not validated:
        raise ValueError(
            f"early_stopping: got monitor {rule.title!r} without validation rows; pass validation=0.2 or (X, y), or "
            "EarlyStopping(monitor='loss')"
        )
    if rule.title in ("val_accuracy", "accuracy") and task.kind == "real":
        raise ValueError(f"early_stopping: got monitor {rule.title!r} for regression; 'val_loss' or 'loss' is accepted")
    return rule


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
        classes.

    Examples
    --------
    >>> known = targets([0, 1, 1, 1], 4, np.float64)
    >>> weights(None, "balanced", known.values, known.task).round(2).tolist()
    [2.0, 0.67, 0.67, 0.67]
    """
    of_rows = None if sample_weight is None else _row_weights(sample_weight, len(values))
    if class_weight is None:
        return of_rows
    if task.classes is None:
        raise ValueError("class_weight: got it for targets without classes; sample_weight is accepted with them")
    codes = _class_codes(values)
    of_classes = _class_weights(class_weight, codes, task.classes)[codes]
    return of_classes if of_rows is None else of_rows * of_classes


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


def _class_codes(values: np.ndarray) -> np.ndarray:
    """Read the class of every row from its coded target."""
    if values.ndim == 1:
        return values
    return values.argmax(axis=1) if values.shape[1] > 1 else values[:, 0].astype(np.int32)


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
        own = _row_weights(value[2], len(rows)) if len(value) == 3 else None
        return (X, values, weights), (rows, encode(value[1], len(rows), X.dtype, task), own)
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
