"""The door: every input error is raised here, before anything is allocated or changed.

What has passed this file needs no further check anywhere. Arrays are checked in `_arrays`, targets in
`_targets`, weights and validation rows in `_rows`, single values in `_scalars`; settings that know the tables of names
stand below. The network, the
training and the command line may import it, and take all of these from here.

Every message is one line: "argument: what came; what is accepted; what to do".
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from fastmlp import metrics as measures
from fastmlp._arrays import features
from fastmlp._rows import split, weights
from fastmlp._scalars import choice, flag, listing, number, whole
from fastmlp._targets import Targets, Task, encode, targets, task
from fastmlp.activations import HIDDEN_ACTIVATIONS
from fastmlp.callbacks import ProgressBar
from fastmlp.optimizers import OPTIMIZERS, Optimizer
from fastmlp.schedules import Constant, RateSchedule
from fastmlp.stopping import EarlyStopping

__all__ = [
    "Targets",
    "Task",
    "activations",
    "batch_size",
    "callbacks",
    "choice",
    "clipping",
    "dropout",
    "encode",
    "features",
    "flag",
    "floating",
    "hidden_sizes",
    "learning_rate",
    "metrics",
    "monitored",
    "number",
    "early_stopping",
    "optimizer",
    "progress",
    "seed",
    "split",
    "targets",
    "task",
    "weights",
    "whole",
]

_AUTO_BATCH = 200
_NUMBERS = ("epoch", "seconds", "loss", "learning_rate", "gradient_norm")  # that an epoch has by itself


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
    SGD(momentum=0.0, nesterov=False, rate_in_velocity=False)
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
    if optimizer.searches_step and value is not None:
        raise ValueError(
            f"learning_rate: got {value!r} with optimizer {optimizer.name!r}, which searches the length of every step "
            "itself; leave it out"
        )
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


def dropout(value: Any, layers: int) -> tuple[float, ...]:
    """Check the shares of units that a step leaves out.

    Parameters
    ----------
    value : float or sequence of float
        One share for every hidden layer, or one a layer, in [0, 1).
    layers : int
        The number of hidden layers.

    Returns
    -------
    tuple of float
        One share a hidden layer.

    Raises
    ------
    TypeError
        If a share is not a number.
    ValueError
        If one is outside [0, 1), there are not as many as layers, or there is no layer to drop units of.

    Examples
    --------
    >>> dropout(0.5, 2), dropout([0.1, 0.2], 2)
    ((0.5, 0.5), (0.1, 0.2))
    """
    if isinstance(value, np.ndarray) and value.ndim == 1:
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        share = number(value, "dropout", below=1.0)
        if share > 0 and not layers:
            raise ValueError(f"dropout: got {share} without a hidden layer whose units could be left out; leave it out")
        return (share,) * layers
    shares = tuple(number(share, f"dropout[{i}]", below=1.0) for i, share in enumerate(value))
    if len(shares) != layers:
        raise ValueError(
            f"dropout: got {len(shares)} shares for {layers} hidden layers; one for all, or one each, is accepted"
        )
    return shares


def clipping(
    clip_norm: Any, clip_value: Any, max_norm: Any, optimizer: Optimizer, dropout: tuple[float, ...]
) -> dict[str, float]:
    """Check what a gradient and weights are cut to, against each other and the optimizer.

    Parameters
    ----------
    clip_norm, clip_value, max_norm : float or None
        The largest norm of the gradient, the largest size of its entries, the largest norm of a unit's incoming
        weights; above 0, None for none.
    optimizer : Optimizer
        The optimizer.
    dropout : tuple of float
        The hidden layers' shares of units that are left out.

    Returns
    -------
    dict
        Fields of SETTINGS; 0 where there is none.

    Raises
    ------
    TypeError, ValueError
        If a value is no number above 0, both kinds of clipping are asked for, or the optimizer needs an objective that
        stays the same.

    Examples
    --------
    >>> clipping(1.0, None, None, optimizer("sgd"), ())
    {'clip_norm': 1.0, 'clip_value': 0.0, 'max_norm': 0.0}
    """
    given = {"clip_norm": clip_norm, "clip_value": clip_value, "max_norm": max_norm}
    found = {name: 0.0 if value is None else number(value, name, above=0.0) for name, value in given.items()}
    if found["clip_norm"] and found["clip_value"]:
        raise ValueError(
            f"clip_norm: got {found['clip_norm']} together with clip_value {found['clip_value']}; one of the two is "
            "accepted"
        )
    if optimizer.searches_step:
        for name, value in (*found.items(), ("dropout", max(dropout, default=0.0))):
            if value:
                raise ValueError(
                    f"{name}: got {value} with optimizer {optimizer.name!r}, whose line search needs an objective that "
                    "stays the same; leave it out, or take another optimizer, such as 'adam'"
                )
    return found


def metrics(value: Any, task: Task, weighted: bool, argument: str = "metrics") -> tuple[measures.Metric, ...]:
    """Check what is to be measured at the end of every epoch.

    Parameters
    ----------
    value : sequence of str, callable or Metric
        Names of `fastmlp.metrics.METRICS`, callables, or callables with what is to be known of them.
    task : Task
        What the network is trained for.
    weighted : bool
        Whether rows have weights.
    argument : str, default "metrics"
        What the error calls it; in the singular, there is one.

    Returns
    -------
    tuple of Metric
        The measures.

    Raises
    ------
    TypeError
        If `value` is no sequence of such.
    ValueError
        If a name is unknown or comes twice, or a measure does not go with the targets or the weights.

    Examples
    --------
    >>> [metric.name for metric in metrics(["f1"], targets([0, 1], 2, np.float64).task, False)]
    ['f1']
    """
    if isinstance(value, (str, measures.Metric)) or not isinstance(value, (list, tuple)):
        raise TypeError(f"metrics: got {value!r}; a list of names or callables is accepted, such as ['roc_auc']")
    single = argument == "metric"
    found = tuple(measures.metric(each, argument if single else f"metrics[{i}]") for i, each in enumerate(value))
    names = [metric.name for metric in found]
    kind = "labels" if task.kind in ("one_hot", "soft") else task.kind
    for place, metric in enumerate(found):
        if metric.name in names[:place]:
            raise ValueError(f"metrics: got {metric.name!r} twice; give one another name with Metric(name, function)")
        if metric.name in _NUMBERS or metric.name.startswith("val_"):
            raise ValueError(
                f"{argument}: got a metric called {metric.name!r}, as a number that is there already; give it another "
                "name with Metric(name, function)"
            )
        if kind not in metric.targets:
            raise ValueError(
                f"{argument}: got {metric.name!r} with targets of kind {kind!r}; it goes with {listing(metric.targets)}"
            )
        if task.missing and kind == "multilabel":
            raise ValueError(
                f"{argument}: got {metric.name!r} with missing_targets='mask' and several labels a row, whose gaps it "
                "knows nothing of; a callback that looks at state.network.predict is accepted"
            )
        if task.loss.outputs_per_target > 1:
            raise ValueError(
                f"{argument}: got {metric.name!r} with {task.loss.outputs_per_target} quantiles a target; a callback "
                "that looks at state.network.predict is accepted"
            )
        if weighted and not metric.takes_weights:
            raise ValueError(
                f"{argument}: got {metric.name!r}, which takes no sample_weight, and rows that weigh differently or "
                "were not observed; give it a parameter sample_weight"
            )
    return found


def callbacks(value: Any, numbers: tuple[str, ...]) -> tuple:
    """Check callbacks.

    Parameters
    ----------
    value : sequence of callable
        What is called at the end of epochs.
    numbers : tuple of str
        The names of the numbers that are measured.

    Returns
    -------
    tuple of callable
        The same.

    Raises
    ------
    TypeError
        If `value` is no sequence of callables; a class must be called first.
    ValueError
        If one wants to see a number that is not measured.

    Examples
    --------
    >>> callbacks([print], ())
    (<built-in function print>,)
    """
    if not isinstance(value, (tuple, list)) or not all(map(callable, value)):
        raise TypeError(f"callbacks: got {value!r}; a list of callables that take a state is accepted")
    for callback in value:
        whole(getattr(callback, "every", 1), "callbacks: every")
        if isinstance(callback, type):
            raise TypeError(f"callbacks: got the class {callback.__name__}; an instance is accepted; call it")
        best = getattr(callback, "best", None)
        if isinstance(best, str):
            choice(best, numbers, "callbacks: best")
    return tuple(value)


def monitored(schedule: RateSchedule, measured: Collection[str]) -> None:
    """Check that what a schedule looks at is measured.

    Parameters
    ----------
    schedule : RateSchedule
        The learning rate's.
    measured : collection of str
        The names of all that is.

    Raises
    ------
    ValueError
        If it looks at something else, such as validation rows where there are none.

    Examples
    --------
    >>> monitored(Constant(0.1), ("loss",))
    """
    monitor = getattr(schedule, "monitor", "loss")
    if monitor in measured:
        return
    if monitor.startswith("val_") and not any(name.startswith("val_") for name in measured):
        raise ValueError(
            f"learning_rate: got monitor {monitor!r} without validation rows; pass validation=0.2 or (X, y), or "
            "monitor='loss'"
        )
    raise ValueError(f"learning_rate: got monitor {monitor!r}; of {', '.join(measured)} one is accepted")


def order(value: Any) -> tuple[bool, Callable[[int], Any] | None]:
    """Check whether and how the rows are shuffled.

    Parameters
    ----------
    value : bool or callable
        Whether each epoch takes the rows in a new order, or what gives the orders.

    Returns
    -------
    bool
        Whether they are shuffled.
    callable or None
        What gives the orders, if they are not ours.

    Raises
    ------
    TypeError
        If `value` is neither.

    Examples
    --------
    >>> order(True)
    (True, None)
    """
    if callable(value) and not isinstance(value, type):
        return True, value
    return flag(value, "shuffle"), None


def progress(value: Any) -> Callable[..., None] | None:
    """Check what is told how far a training is.

    Parameters
    ----------
    value : bool, callable or None
        True shows a bar (tqdm), a callable takes a `Progress`, False and None show nothing.

    Returns
    -------
    callable or None
        What is told.

    Raises
    ------
    TypeError
        If `value` is none of these.
    ImportError
        If a bar is asked for and tqdm is not installed.

    Examples
    --------
    >>> progress(print) is print
    True
    """
    if value is None or value is False:
        return None
    if value is True:
        return ProgressBar()
    if not callable(value):
        raise TypeError(f"progress: got {value!r}; True, or a callable that takes a fastmlp.Progress, is accepted")
    return value


def early_stopping(
    value: Any, task: Task, validated: bool, metrics: tuple[measures.Metric, ...] = ()
) -> EarlyStopping | None:
    """Check a rule of early stopping against what is measured.

    Parameters
    ----------
    value : bool, EarlyStopping or None
        The rule; True is `EarlyStopping()`, False and None are none.
    task : Task
        What the network is trained for.
    validated : bool
        Whether there are validation rows.
    metrics : tuple of Metric, default ()
        What is measured besides losses and accuracies.

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
    if callable(rule.monitor):
        return rule
    if rule.monitor.startswith("val_") and not validated:
        raise ValueError(
            f"early_stopping: got monitor {rule.monitor!r} without validation rows; pass validation=0.2 or (X, y), or "
            "EarlyStopping(monitor='loss')"
        )
    if rule.monitor in ("val_accuracy", "accuracy") and task.kind == "real":
        raise ValueError(
            f"early_stopping: got monitor {rule.monitor!r} for regression; 'val_loss' or 'loss' is accepted"
        )
    name, of_validation = rule.monitor.removeprefix("val_"), rule.monitor.startswith("val_")
    names = ("loss", "accuracy", *(metric.name for metric in metrics if metric.training or of_validation))
    if name not in names and name in measures.METRICS:
        raise ValueError(
            f"early_stopping: got monitor {rule.monitor!r}, which is not measured; pass metrics=[{name!r}]"
        )
    choice(name, names, "early_stopping: monitor")
    return rule
