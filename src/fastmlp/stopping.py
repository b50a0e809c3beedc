"""Early stopping: when a training run ends before its last epoch, as a small frozen dataclass."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastmlp._spec.elsewhere import keywords
from fastmlp._spec.values import check_fields, flag, named, number, optional, whole


def _monitor(value: Any, argument: str) -> str | Callable[[Any], float]:
    return value if callable(value) else named(value, argument)


_any_number = partial(number, minimum=float("-inf"))
_CHECKS = {
    "monitor": _monitor,
    "patience": whole,
    "min_delta": number,
    "restore_best": flag,
    "max_time": optional(partial(number, above=0.0)),
    "goal": optional(_any_number),
    "min_epochs": partial(whole, minimum=0),
    "baseline": optional(_any_number),
    "relative": flag,
}


@keywords(monitor="metric", max_time="timeout time_limit")
@dataclass(frozen=True)
class EarlyStopping:
    """Stop when a number has not improved for some epochs, and restore the best weights (L. Prechelt, 1998).

    Parameters
    ----------
    monitor : str or callable, default "val_loss"
        The number that is monitored: "val_loss", "val_accuracy", "loss", "accuracy", "gradient_norm", "learning_rate",
        or one of the run's ``metrics``, such as "val_f1". More is better of accuracies, and of metrics whose `Metric`
        says so; less of everything else. A callable takes an `EpochState` and returns a number; less is better.
    patience : int, default 10
        Epochs in a row that may pass without an improvement, at least 1.
    min_delta : float, default 0.0
        An improvement has to exceed this difference, at least 0; with `relative` this fraction of the best number.
    restore_best : bool, default True
        Whether the weights of the best epoch are restored at the end.
    max_time : float or None, default None
        Seconds after which the training run stops, at the end of an epoch; above 0.
    goal : float or None, default None
        The training run stops once the number reaches this value.
    min_epochs : int, default 0
        Neither `patience` nor `goal` ends the training run before so many epochs; `max_time` may. The epochs before
        count: a goal that was reached ends the training run then, and the best weights may be those of any epoch.
    baseline : float or None, default None
        A value that has to be beaten, by `min_delta` too: only a number that is better counts as an improvement to
        `patience`, from the first epoch on. The best weights are restored even if none beats it.
    relative : bool, default False
        Whether `min_delta` is a fraction: an improvement has to exceed ``min_delta * abs(best)``, or
        ``min_delta * abs(baseline)``.

    Raises
    ------
    TypeError, ValueError
        If a setting has the wrong type or is out of range.

    Examples
    --------
    >>> EarlyStopping(patience=5).monitor
    'val_loss'
    """

    monitor: str | Callable[[Any], float] = "val_loss"
    patience: int = 10
    min_delta: float = 0.0
    restore_best: bool = True
    max_time: float | None = None
    goal: float | None = None
    min_epochs: int = 0
    baseline: float | None = None
    relative: bool = False

    def __post_init__(self) -> None:
        check_fields(self, _CHECKS)

    @property
    def title(self) -> str:
        """The name of the monitored number."""
        return self.monitor if isinstance(self.monitor, str) else getattr(self.monitor, "__name__", "monitor")
