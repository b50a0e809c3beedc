"""Early stopping: when a training run ends before its last epoch, as a small frozen dataclass."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastmlp._spec.elsewhere import keywords
from fastmlp._spec.values import check_fields, flag, named, number, optional, whole


def _monitor(value: Any, argument: str) -> str | Callable[[Any], float]:
    return value if callable(value) else named(value, argument)


_CHECKS = {
    "monitor": _monitor,
    "patience": whole,
    "min_delta": number,
    "restore_best": flag,
    "max_time": optional(partial(number, above=0.0)),
    "goal": optional(partial(number, minimum=float("-inf"))),
}


@keywords(monitor="metric", max_time="timeout time_limit")
@dataclass(frozen=True)
class EarlyStopping:
    """Stop when a number has not improved for some epochs, and restore the best weights (L. Prechelt, 1998).

    Parameters
    ----------
    monitor : str or callable, default "val_loss"
        The number that is monitored: "val_loss", "val_accuracy", "loss", "accuracy", or one of the run's ``metrics``,
        such as "val_f1". A smaller loss is better, a larger accuracy; of a metric, what its `Metric` says. A callable
        takes an `EpochState` and returns a number; smaller is better.
    patience : int, default 10
        Epochs in a row that may pass without an improvement, at least 1.
    min_delta : float, default 0.0
        An improvement has to exceed this difference, at least 0.
    restore_best : bool, default True
        Whether the weights of the best epoch are restored at the end.
    max_time : float or None, default None
        Seconds after which the training run stops, at the end of an epoch; above 0.
    goal : float or None, default None
        The training run stops once the number reaches this value.

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

    def __post_init__(self) -> None:
        check_fields(self, _CHECKS)

    @property
    def title(self) -> str:
        """The name of the monitored number."""
        return self.monitor if isinstance(self.monitor, str) else getattr(self.monitor, "__name__", "monitor")
