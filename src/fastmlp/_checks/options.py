"""TrainingOptions: the one checked and frozen record of how a training run is to run.

Adding an option is one field, with the function that checks it. Every message is one line: "argument: what came; what
is accepted; what to do".
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np

from fastmlp import metrics as measures
from fastmlp import optimizers, schedules
from fastmlp._checks.samples import Samples
from fastmlp._checks.task import Task
from fastmlp._checks.topology import CheckedRecord, Dropout, checked, checked_seed
from fastmlp._engine.threads import default_threads
from fastmlp._spec.elsewhere import plain
from fastmlp._spec.values import choice, flag, listing, number, shown, whole, whole_or_epochs
from fastmlp.callbacks import ProgressBar
from fastmlp.optimizers import OPTIMIZERS, Optimizer
from fastmlp.schedules import Constant, RateSchedule
from fastmlp.stopping import EarlyStopping

_AUTO_BATCH = 200
_MAX_ROWS = 2**31  # orders are 32-bit numbers
_MAX_THREADS = 1024
_MAX_EPOCHS = 2**31 - 1  # of one training run
_OWN_NUMBERS = ("epoch", "seconds", "loss", "learning_rate", "gradient_norm")  # that every epoch has


class TrainingData(NamedTuple):
    """What options are checked against: the task, the rows, those to validate on if any, and the network's dropout."""

    task: Task
    dtype: np.dtype
    samples: Samples
    validation: Samples = Samples()
    dropout: Dropout = ()


@cache
def _positive_range(dtype: np.dtype) -> tuple[float, float]:
    """Return the smallest normal number and the largest, of a dtype."""
    return float(np.finfo(dtype).tiny), float(np.finfo(dtype).max)


def optimizer(value: Any, dtype: Any = np.float64) -> Optimizer:
    if isinstance(value, type) and issubclass(value, Optimizer):
        raise TypeError(f"optimizer: got the class {value.__name__}; an instance is accepted; write {value.__name__}()")
    chosen = (
        value
        if isinstance(value, Optimizer)
        else OPTIMIZERS[choice(value, OPTIMIZERS, "optimizer", optimizers.ELSEWHERE)]
    )
    if chosen.searches_step:
        try:
            import scipy.optimize  # noqa: F401  here: only L-BFGS needs SciPy
        except ImportError as error:
            raise ImportError("optimizer: 'lbfgs' needs SciPy: pip install \"fastmlp[lbfgs]\"") from error
    smallest, largest = _positive_range(np.dtype(dtype))
    for name in ("epsilon", "initial_accumulator"):  # which must not become 0, that is divided by, nor infinity
        value = getattr(chosen, name, 0.0)
        if value > 0 and not smallest <= value <= largest:
            raise ValueError(
                f"{name}: got {value}; numbers from {smallest:.3g} to {largest:.3g}, as {np.dtype(dtype)} holds them, "
                "are accepted"
            )
    return chosen


def learning_rate(value: Any, optimizer: Optimizer, dtype: Any = np.float64) -> RateSchedule:
    if isinstance(value, type) and issubclass(value, RateSchedule):
        raise TypeError(
            f"learning_rate: got the class {value.__name__}; an instance is accepted, such as "
            f"{value.__name__}(0.1, ...)"
        )
    if optimizer.searches_step and value is not None:
        raise ValueError(
            f"learning_rate: got {shown(value)} with optimizer {optimizer.name!r}, which searches the length of every "
            "step itself; leave it out"
        )
    if isinstance(value, str) and (use := schedules.ELSEWHERE.get(plain(value))):
        raise TypeError(f"learning_rate: got {value!r}; use {' or '.join(use)}")
    given = optimizer.default_learning_rate if value is None else value
    schedule = given if isinstance(given, RateSchedule) else Constant(number(given, "learning_rate"))
    largest = float(np.finfo(dtype).max)
    if schedule.rate > largest:
        raise ValueError(
            f"learning_rate: got {schedule.rate}; numbers up to {largest:.4g}, the largest {np.dtype(dtype)}, are "
            "accepted"
        )
    return schedule


def batch_size(value: Any, rows: int, optimizer: Optimizer) -> int:
    """Check the rows of a batch: a number, "full" for all of them, "auto" for 200; more than there are means all."""
    if rows >= _MAX_ROWS:
        raise ValueError(f"X: got {rows} rows; fewer than {_MAX_ROWS} are accepted; train on parts of them in turn")
    if isinstance(value, str):
        name = choice(value, ("auto", "full"), "batch_size")
        return rows if name == "full" or optimizer.full_batch else min(_AUTO_BATCH, rows)
    size = min(whole(value, "batch_size", maximum=np.inf), rows)
    if optimizer.full_batch and size < rows:
        raise ValueError(
            f"batch_size: got {size} with {optimizer.name!r} and {rows} rows in X; it needs the gradient "
            "over all rows in every step: 'auto' is accepted"
        )
    return size


def _bound(value: Any, name: str) -> float:
    """Check what a norm or an entry is cut to: above 0, or None for no bound, which becomes 0."""
    return 0.0 if value is None else number(value, name, above=0.0)


def metrics(value: Any, data: TrainingData, argument: str = "metrics") -> tuple[measures.Metric, ...]:
    """Check what is measured at the end of every epoch; with the singular `argument` there is one metric."""
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"metrics: got {shown(value)}; a list of names or callables is accepted, such as ['roc_auc']")
    found = tuple(
        measures.metric(each, argument if argument == "metric" else f"metrics[{i}]") for i, each in enumerate(value)
    )
    for place, metric in enumerate(found):
        if any(metric.name == earlier.name for earlier in found[:place]):
            raise ValueError(f"metrics: got {metric.name!r} twice; give one another name with Metric(name, function)")
        _refuse_metric(metric, data, argument)
    return found


def _refuse_metric(metric: measures.Metric, data: TrainingData, argument: str) -> None:
    if metric.name in _OWN_NUMBERS or metric.name.startswith("val_"):
        raise ValueError(
            f"{argument}: got a metric called {metric.name!r}, as a number that is there already; give it another "
            "name with Metric(name, function)"
        )
    task = data.task
    kind = "labels" if task.kind in ("one_hot", "soft") else task.kind
    quantiles = task.loss.outputs_per_target
    weighted = data.samples.metric_weights is not None or data.validation.metric_weights is not None
    predict = "a callback that calls state.network.predict is accepted"
    reasons = (
        (kind not in metric.targets, f" with targets of kind {kind!r}; it goes with {listing(metric.targets)}"),
        (
            task.missing and task.is_multilabel,
            f" with missing_targets='mask' and several labels per row, whose gaps it does not know; {predict}",
        ),
        (
            quantiles > 1 and any(metric.function is known.function for known in measures.METRICS.values()),
            f" with {quantiles} quantiles per target; a callable is accepted, which takes one column per quantile",
        ),
        (
            weighted and not metric.takes_weights,
            ", which takes no sample_weight, and rows that weigh differently or were not observed; give it a parameter "
            "sample_weight",
        ),
    )
    for applies, reason in reasons:
        if applies:
            raise ValueError(f"{argument}: got {metric.name!r}{reason}")


def _callbacks(value: Any, options: "TrainingOptions") -> tuple[Callable[..., object], ...]:
    if not isinstance(value, (tuple, list)) or not all(map(callable, value)):
        raise TypeError(f"callbacks: got {shown(value)}; a list of callables that take a state is accepted")
    for callback in value:
        whole_or_epochs(getattr(callback, "every", 1), "callbacks: every")
        if isinstance(callback, type):
            raise TypeError(f"callbacks: got the class {callback.__name__}; an instance is accepted; call it")
        if isinstance(getattr(callback, "best", None), str):
            _check_monitored(callback.best, "callbacks", "best", options)
        if callable(getattr(callback, "check_numbers", None)):
            callback.check_numbers(options.measured)
    return tuple(value)


def shuffle(value: Any) -> bool | Callable[[int], Any]:
    return value if callable(value) and not isinstance(value, type) else flag(value, "shuffle")


def progress(value: Any) -> Callable[..., None] | None:
    if value is None or value is False:
        return None
    chosen = ProgressBar() if value is True else value
    if not callable(chosen):
        raise TypeError(f"progress: got {shown(value)}; True, or a callable that takes a fastmlp.Progress, is accepted")
    return chosen


def _early_stopping(value: Any, options: "TrainingOptions") -> EarlyStopping | None:
    if value is None or value is False:
        return None
    rule = EarlyStopping() if value is True else value
    if not isinstance(rule, EarlyStopping):
        raise TypeError(
            f"early_stopping: got {shown(value)}; True, False or an EarlyStopping is accepted"
            + ("; write EarlyStopping()" if value is EarlyStopping else "")
        )
    if not callable(rule.monitor):
        _check_monitored(rule.monitor, "early_stopping", "monitor", options)
    return rule


def _check_monitored(name: str, argument: str, field: str, options: "TrainingOptions") -> None:
    """Raise if the number that an argument's field names is not there, or cannot be, in every epoch."""
    of_rows = name.removeprefix("val_")
    samples = options.data.samples if of_rows == name else options.data.validation
    reason = ""
    if name in options.measured:
        reason = _why_undefined(of_rows, samples, options)
    elif not samples:
        reason = (
            " without validation rows; pass validation=0.2 or (X, y), to an estimator X_val and y_val, or take "
            f"{field} 'loss'"
        )
    elif of_rows == "accuracy" and options.data.task.is_regression:
        reason = " for regression; 'val_loss' or 'loss' is accepted"
    elif of_rows in measures.METRICS:
        reason = f", which is not measured; pass metrics=[{of_rows!r}]"
    if reason:
        raise ValueError(f"{argument}: got {field} {name!r}{reason}")
    choice(name, options.measured, f"{argument}: {field}")


def _why_undefined(name: str, samples: Samples, options: "TrainingOptions") -> str:
    """Return why a number of these rows is NaN in every epoch, whatever the network learns; empty if it need not be."""
    if name == "learning_rate" and options.optimizer.searches_step:
        return (
            f" with optimizer {options.optimizer.name!r}, which searches the length of every step itself; take 'loss'"
        )
    task = options.data.task
    reasons = (
        why_no_value(metric, task.codes(samples.y), samples.metric_weights)
        for metric in options.metrics
        if metric.name == name
    )
    return next(reasons, "")


def why_no_value(metric: measures.Metric, y: np.ndarray, weights: np.ndarray | None) -> str:
    """Return why a metric is NaN for these targets, whatever is predicted; empty if nothing says that it is."""
    counted = y if weights is None else y[weights > 0]
    # A metric of the user's own may have a function of METRICS.
    compares = any(row.compares_rows for row in (metric, *measures.METRICS.values()) if row.function is metric.function)
    if not compares or (counted != counted[:1]).any():
        return ""
    return (
        ", which is NaN if all rows have the same target; rows with different targets, or another number, are accepted"
    )


@dataclass(frozen=True, eq=False)
class TrainingOptions(CheckedRecord):
    """How a training run is to run, checked: the arguments of `Network.train` that are not rows."""

    data: TrainingData
    optimizer: Optimizer = checked(lambda value, self: optimizer(value, self.data.dtype), "adam")
    shuffle: bool | Callable[[int], Any] = checked(lambda value, _: shuffle(value), True)
    epochs: int = checked(lambda value, _: whole(value, "epochs", maximum=_MAX_EPOCHS), 200)
    batch_size: int = checked(lambda value, self: batch_size(value, len(self.data.samples), self.optimizer), "auto")
    seed: int = checked(lambda value, _: checked_seed(value), None)
    learning_rate: RateSchedule = checked(
        lambda value, self: learning_rate(value, self.optimizer, self.data.dtype), None
    )
    n_threads: int | None = checked(
        lambda value, _: None if value is None else whole(value, "n_threads", maximum=_MAX_THREADS), None
    )
    progress: Callable[..., None] | None = checked(lambda value, _: progress(value), None)
    metrics: Sequence[measures.Metric] = checked(lambda value, self: metrics(value, self.data), ())
    early_stopping: EarlyStopping | None = checked(_early_stopping, None)
    callbacks: Sequence[Callable[..., object]] = checked(_callbacks, ())
    clip_norm: float = checked(lambda value, _: _bound(value, "clip_norm"), None)
    clip_value: float = checked(lambda value, _: _bound(value, "clip_value"), None)
    max_norm: float = checked(lambda value, _: _bound(value, "max_norm"), None)
    average: str = checked(lambda value, _: choice(value, ("rows", "batch"), "average"), "rows")
    on_divergence: str = checked(lambda value, _: choice(value, ("warn", "raise"), "on_divergence"), "warn")
    frames: Collection[int] = ()  # epochs after which the parameters are copied into the history
    published_ridge: bool = False  # the article's penalty term instead of the gradient of its loss
    best_so_far: float | None = None  # of what early stopping monitors: an earlier training run's, to be surpassed
    default_threads: int = checked(lambda _, __: default_threads(), None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if hasattr(self.learning_rate, "monitor"):
            _check_monitored(self.learning_rate.monitor, "learning_rate", "monitor", self)
        if self.optimizer.searches_step:
            # What changes the objective from step to step.
            dropout = self.data.dropout
            for name, value in (
                ("clip_norm", self.clip_norm),
                ("clip_value", self.clip_value),
                ("max_norm", self.max_norm),
                ("dropout", dropout if callable(dropout) else max(dropout, default=0.0)),
            ):
                if callable(value) or value:  # a callable may have a length, 0
                    raise ValueError(
                        f"{name}: got {value} with optimizer {self.optimizer.name!r}, whose line search needs an "
                        "objective that stays the same; leave it out, or take another optimizer, such as 'adam'"
                    )
        if self.clip_norm and self.clip_value:
            raise ValueError(
                f"clip_norm: got {self.clip_norm} together with clip_value {self.clip_value}; one of the two is "
                "accepted"
            )

    @cached_property
    def metric_names(self) -> Mapping[str, bool]:
        """The names of the metrics, of validation rows as `val_...`, and whether more of each is better."""
        prefixes = ("", "val_") if self.data.validation else ("",)
        return {
            f"{prefix}{metric.name}": metric.rises
            for prefix in prefixes
            for metric in self.metrics
            if prefix or metric.training
        }

    @property
    def measured(self) -> tuple[str, ...]:
        """The names of all numbers that an epoch has, in the order of `EpochState.numbers`."""
        own = ("loss",) if self.data.task.is_regression else ("loss", "accuracy")
        prefixes = ("", "val_") if self.data.validation else ("",)
        losses = (f"{prefix}{name}" for prefix in prefixes for name in own)
        # A metric may be called as one of the others.
        return tuple(dict.fromkeys(("learning_rate", *losses, "gradient_norm", *self.metric_names)))
