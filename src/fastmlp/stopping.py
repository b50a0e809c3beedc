"""When a training ends before its last epoch: what the user may choose, as a small frozen dataclass that checks itself.

Imports `_scalars` only; what does the looking, and the network, import it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastmlp._scalars import flag, number, whole


@dataclass(frozen=True)
class EarlyStopping:
    """Stop where a number has not improved for some epochs, and go back to the best weights (L. Prechelt, 1998).

    Parameters
    ----------
    monitor : str or callable, default "val_loss"
        The number that is looked at after every epoch: "val_loss", "val_accuracy", "loss", "accuracy", or one of the
        training's ``metrics``, such as "val_f1". Losses are to fall, accuracies to rise, metrics to do what they say. A
        callable takes an `EpochState` and returns a number that is to fall.
    patience : int, default 10
        How many epochs in a row may pass without an improvement.
    min_delta : float, default 0.0
        What counts as an improvement: more than this, at least 0.
    restore_best : bool, default True
        Whether the weights of the best epoch come back at the end.
    max_time : float or None, default None
        Seconds after which training stops at the end of an epoch; above 0.
    goal : float or None, default None
        Training stops once the number has reached it.

    Raises
    ------
    TypeError, ValueError
        If a setting is of another type or outside its range.

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
        """Check the settings."""
        if not callable(self.monitor) and not isinstance(self.monitor, str):
            raise TypeError(f"monitor: got {self.monitor!r}; the name of a number, or a callable, is accepted")
        object.__setattr__(self, "patience", whole(self.patience, "patience"))
        object.__setattr__(self, "min_delta", number(self.min_delta, "min_delta"))
        object.__setattr__(self, "restore_best", flag(self.restore_best, "restore_best"))
        if self.max_time is not None:
            object.__setattr__(self, "max_time", number(self.max_time, "max_time", above=0.0))
        if self.goal is not None:
            object.__setattr__(self, "goal", number(self.goal, "goal", minimum=float("-inf")))

    @property
    def title(self) -> str:
        """The number's name."""
        return self.monitor if isinstance(self.monitor, str) else getattr(self.monitor, "__name__", "monitor")
