"""Learning-rate schedules: what the user may choose, as small frozen dataclasses that check themselves.

A schedule lists the rates of a whole training before it begins, so that the kernels need not stop for them. Two cannot:
`OnPlateau` and `Adaptive` look at what every epoch brought, and the loop stops for them there. Imports `_scalars` only;
`_validate`, the network and the training loop import it.

Notation: t counts epochs, or steps with ``unit="step"``, from 0; T is the length of the training in the same unit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from fastmlp._scalars import choice, flag, number, whole

UNITS = ("epoch", "step")
MONITORS = ("loss", "val_loss")


@dataclass(frozen=True)
class RateSchedule:
    """What all schedules have; not one by itself.

    t counts from the training in which a schedule was first given: going on with an equal one goes on counting, so
    that two trainings one after the other have the rates of one. Schedules that end (`Polynomial`, `Cosine` without
    `cycle`, `OneCycle`) begin anew with every training unless they are given a `length`.

    Parameters
    ----------
    rate : float
        The rate that the others are measured by.
    """

    rate: float

    ends: ClassVar[bool] = False
    monitors: ClassVar[tuple[str, ...]] = MONITORS

    def __post_init__(self) -> None:
        """Check the settings, and keep them as Python's own numbers."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "unit":
                choice(value, UNITS, "unit")
            elif field.name == "monitor":
                choice(value, self.monitors or (value,), "monitor")
            elif field.name == "relative":
                object.__setattr__(self, field.name, flag(value, field.name))
            elif field.name == "patience":
                object.__setattr__(self, field.name, whole(value, field.name, minimum=0))
            elif field.name in ("every", "cycle", "length") and value is not None:
                object.__setattr__(self, field.name, whole(value, field.name))
            elif field.name in ("warmup", "cooldown"):
                object.__setattr__(self, field.name, whole(value, field.name, minimum=0))
            elif field.name in _NUMBERS and not (field.name == "divisor" and value is None):
                object.__setattr__(self, field.name, number(value, field.name, **_NUMBERS[field.name]))

    def _factors(self, t: np.ndarray, length: int) -> np.ndarray:
        """Say what the rate is multiplied with at each t; `length` is T."""
        raise NotImplementedError

    def rates(self, begun: int, epochs: int, batches: int) -> np.ndarray:
        """List the rates of a training.

        Parameters
        ----------
        begun : int
            Epochs that the schedule has behind it.
        epochs : int
            Epochs of the training.
        batches : int
            Steps of an epoch.

        Returns
        -------
        ndarray of float64, shape (epochs,), or (epochs * batches,) with ``unit="step"``
            One rate an epoch, or one a step.

        Examples
        --------
        >>> StepDecay(0.1, every=2).rates(0, 4, 10).round(4).tolist()
        [0.1, 0.1, 0.01, 0.01]
        """
        per_epoch = batches if getattr(self, "unit", "epoch") == "step" else 1
        length = getattr(self, "length", None)
        first = 0 if self.ends and length is None else begun * per_epoch
        t = np.arange(first, first + epochs * per_epoch, dtype=np.float64)
        return self.rate * self._factors(t, epochs * per_epoch if length is None else length)


# Setting -> the bounds that `number` takes.
_NUMBERS = {
    "rate": {}, "factor": {"above": 0.0}, "power": {"above": 0.0}, "final": {}, "growth": {"minimum": 1.0},
    "start": {"above": 0.0}, "rise": {"above": 0.0, "below": 1.0}, "threshold": {}, "divisor": {"above": 1.0},
}  # fmt: skip


@dataclass(frozen=True)
class Constant(RateSchedule):
    """The same rate throughout: what a number stands for.

    Parameters
    ----------
    rate : float
        The rate.

    Examples
    --------
    >>> Constant(0.1).rates(0, 3, 10).tolist()
    [0.1, 0.1, 0.1]
    """

    def _factors(self, t: np.ndarray, length: int) -> np.ndarray:
        """Give 1 throughout."""
        return np.ones_like(t)


@dataclass(frozen=True)
class StepDecay(RateSchedule):
    """``rate * factor ** (t // every)``; PyTorch's StepLR.

    Parameters
    ----------
    rate : float
        The rate at the beginning.
    every : int
        How many epochs or steps pass from one drop to the next.
    factor : float, default 0.1
        What the rate is multiplied with, above 0.
    unit : {"epoch", "step"}, default "epoch"
        What t counts.

    Raises
    ------
    TypeError, ValueError
        If a setting is of another type or outside its range.

    Examples
    --------
    >>> StepDecay(0.8, every=1, factor=0.5).rates(0, 4, 10).tolist()
    [0.8, 0.4, 0.2, 0.1]
    """

    every: int
    factor: float = 0.1
    unit: str = "epoch"

    def _factors(self, t: np.ndarray, length: int) -> np.ndarray:
        """Give factor ** (t // every)."""
        return self.factor ** (t // self.every)


@dataclass(frozen=True)
class MultiStep(RateSchedule):
    """``rate * factor ** (milestones that t has reached)``; PyTorch's MultiStepLR.

    Parameters
    ----------
    rate : float
        The rate at the beginning.
    milestones : sequence of int
        Where the rate drops, rising.
    factor : float, default 0.1
        What the rate is multiplied with, above 0.
    unit : {"epoch", "step"}, default "epoch"
        What t counts.

    Raises
    ------
    TypeError, ValueError
        If a setting is of another type or outside its range, or milestones do not rise.

    Examples
    --------
    >>> MultiStep(1, [1, 3], factor=0.5).rates(0, 5, 10).tolist()
    [1.0, 0.5, 0.5, 0.25, 0.25]
    """

    milestones: Sequence[int]
    factor: float = 0.1
    unit: str = "epoch"

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        accepted = "whole numbers that rise are accepted, such as (30, 60)"
        if isinstance(self.milestones, str) or not hasattr(self.milestones, "__iter__"):
            raise TypeError(f"milestones: got {self.milestones!r}; {accepted}")
        checked = tuple(whole(value, f"milestones[{i}]") for i, value in enumerate(self.milestones))
        if not checked or any(later <= earlier for earlier, later in zip(checked, checked[1:], strict=False)):
            raise ValueError(f"milestones: got {list(checked)}; {accepted}")
        object.__setattr__(self, "milestones", checked)

    def _factors(self, t: np.ndarray, length: int) -> np.ndarray:
        """Give factor ** (milestones reached)."""
        return self.factor ** np.searchsorted(self.milestones, t, side="right").astype(np.float64)


@dataclass(frozen=True)
class Exponential(RateSchedule):
    """``rate * factor ** t``; PyTorch's ExponentialLR.

    Parameters
    ----------
    rate : float
        The rate at the beginning.
    factor : float
        What the rate is multiplied with each time, above 0.
    unit : {"epoch", "step"}, default "epoch"
        What t counts.

    Raises
    ------
    TypeError, ValueError
        If a setting is of another type or outside its range.

    Examples
    --------
    >>> Exponential(1, 0.5).rates(2, 3, 10).tolist()
    [0.25, 0.125, 0.0625]
    """

    factor: float
    unit: str = "epoch"

    def _factors(self, t: np.ndarray, length: int) -> np.ndarray:
        """Give factor ** t."""
        return self.factor**t


@dataclass(frozen=True)
class InverseScaling(RateSchedule):
    """``rate / (t + 1) ** power``: what H. Robbins and S. Monro's method (1951) asks for, with a power in (1/2, 1].

    Parameters
    ----------
    rate : float
        The rate at the beginning.
    power : float, default 0.5
        How fast it falls, above 0.
    unit : {"epoch", "step"}, default "epoch"
        What t counts.

    Raises
    ------
    TypeError, ValueError
        If a setting is of another type or outside its range.

    Examples
    --------
    >>> InverseScaling(0.6, power=1).rates(0, 3, 10).round(2).tolist()
    [0.6, 0.3, 0.2]
    """

    power: float = 0.5
    unit: str = "epoch"

    def _factors(self, t: np.ndarray, length: int) -> np.ndarray:
        """Give (t + 1) ** -power."""
        return (t + 1) ** -self.power


@dataclass(frozen=True)
class Polynomial(RateSchedule):
    """From `rate` down to `final`: ``final + (rate - final) * (1 - t / T) ** power``, and `final` from T on.

    Parameters
    ----------
    rate : float
        The rate at the beginning.
    power : float, default 1.0
        1 makes a line; above 0.
    final : float, default 0.0
        The rate at the end.
    unit : {"epoch", "step"}, default "epoch"
        What t counts.
    length : int or None, default None
        T; None takes the training's own.

    Raises
    ------
    TypeError, ValueError
        If a setting is of another type or outside its range.

    Examples
    --------
    >>> Polynomial(1.0).rates(0, 4, 10).tolist()
    [1.0, 0.75, 0.5, 0.25]
    """

    power: float = 1.0
    final: float = 0.0
    unit: str = "epoch"
    length: int | None = None

    ends: ClassVar[bool] = True

    def _factors(self, t: np.ndarray, length: int) -> np.ndarray:
        """Give the share of the rate at t."""
        left = (1 - np.minimum(t / length, 1)) ** self.power
        return left + (1 - left) * _share(self.final, self.rate)


@dataclass(frozen=True)
class Cosine(RateSchedule):
    """Down half a cosine, after a warm-up, again and again if asked to (I. Loshchilov and F. Hutter, SGDR, 2017).

    Over a warm-up of w the rate is ``rate * (t + 1) / (w + 1)``. After it, with u the part of the cycle that is over,
    ``final + (rate - final) * (1 + cos(pi u)) / 2``.

    Parameters
    ----------
    rate : float
        The rate at the beginning of each cycle.
    final : float, default 0.0
        The rate at the end of each cycle.
    warmup : int, default 0
        Epochs or steps of the warm-up.
    cycle : int or None, default None
        Length of the first cycle; None makes one of all that is left, and the rate stays at `final` behind it.
    growth : float, default 1.0
        How many times longer each cycle is than the one before, at least 1.
    unit : {"epoch", "step"}, default "epoch"
        What t counts.
    length : int or None, default None
        T; None takes the training's own.

    Raises
    ------
    TypeError, ValueError
        If a setting is of another type or outside its range.

    Examples
    --------
    >>> Cosine(1.0).rates(0, 4, 10).round(3).tolist()
    [1.0, 0.854, 0.5, 0.146]
    >>> Cosine(1.0, warmup=1, cycle=2).rates(0, 5, 10).round(3).tolist()
    [0.5, 1.0, 0.5, 1.0, 0.5]
    """

    final: float = 0.0
    warmup: int = 0
    cycle: int | None = None
    growth: float = 1.0
    unit: str = "epoch"
    length: int | None = None

    ends: ClassVar[bool] = True

    def _factors(self, t: np.ndarray, length: int) -> np.ndarray:
        """Give the share of the rate at t."""
        after = np.maximum(t - self.warmup, 0)
        if self.cycle is None:
            over = np.minimum(after / max(length - self.warmup, 1), 1)
        elif self.growth == 1:
            over = after % self.cycle / self.cycle
        else:
            # The cycles before number n take cycle (growth^n - 1) / (growth - 1); 1e-9 keeps a beginning from
            # counting as an end.
            n = np.floor(np.log1p(after / self.cycle * (self.growth - 1)) / math.log(self.growth) + 1e-9)
            begin = self.cycle * (self.growth**n - 1) / (self.growth - 1)
            over = (after - begin) / (self.cycle * self.growth**n)
        left = (1 + np.cos(np.pi * over)) / 2
        share = left + (1 - left) * _share(self.final, self.rate)
        return np.where(t < self.warmup, (t + 1) / (self.warmup + 1), share)


@dataclass(frozen=True)
class OneCycle(RateSchedule):
    """Up half a cosine to `rate`, and down another (L. N. Smith and N. Topin, Super-convergence, 2018).

    From ``start * rate`` up to `rate` over the first share `rise` of T - 1, then down to ``final * rate``: PyTorch's
    OneCycleLR, whose div_factor is 1 / start and whose final_div_factor is start / final.

    Parameters
    ----------
    rate : float
        The largest rate.
    start, final : float, default 0.04 and 4e-6
        The shares of it at both ends.
    rise : float, default 0.3
        The share of the training on the way up, in (0, 1).
    unit : {"epoch", "step"}, default "step"
        What t counts.
    length : int or None, default None
        T; None takes the training's own.

    Raises
    ------
    TypeError, ValueError
        If a setting is of another type or outside its range.

    Examples
    --------
    >>> OneCycle(1.0, start=0.2, final=0.0, rise=0.6, unit="epoch").rates(0, 5, 10).round(3).tolist()
    [0.2, 0.6, 1.0, 0.5, 0.0]
    """

    start: float = 0.04
    final: float = 4e-6
    rise: float = 0.3
    unit: str = "step"
    length: int | None = None

    ends: ClassVar[bool] = True

    def _factors(self, t: np.ndarray, length: int) -> np.ndarray:
        """Give the share of the rate at t."""
        last = max(length - 1, 1)
        top = max(self.rise * length - 1, 1e-9)  # PyTorch's: one less than the share of T
        up = (1 + np.cos(np.pi * np.minimum(t / top, 1))) / 2
        down = (1 + np.cos(np.pi * np.minimum((t - top) / max(last - top, 1e-9), 1))) / 2
        return np.where(t <= top, 1 - up * (1 - self.start), self.final + down * (1 - self.final))


@dataclass
class Memory:
    """What a schedule that looks at the epochs remembers of them; it lasts from one training to the next.

    Parameters
    ----------
    rate : float
        The rate in force.
    best : float, default infinity
        The least number so far.
    waited, resting : int, default 0
        Epochs without an improvement, and epochs that do not count yet.
    ended : bool, default False
        Whether the rate has come to its end, and the training with it.
    """

    rate: float
    best: float = math.inf
    waited: int = 0
    resting: int = 0
    ended: bool = False


@dataclass(frozen=True)
class FeedbackSchedule(RateSchedule):
    """What schedules that look at every epoch's loss have; not one by itself.

    Parameters
    ----------
    rate : float
        The rate at the beginning.
    """

    monitor: ClassVar[str] = "loss"

    def _factors(self, t: np.ndarray, length: int) -> np.ndarray:
        """Give 1 throughout; the training loop lowers what is left."""
        return np.ones_like(t)

    def look(self, memory: Memory, value: float) -> None:
        """Look at an epoch, and set the rate of the next.

        Parameters
        ----------
        memory : Memory
            What is remembered of the epochs before; changed.
        value : float
            The epoch's loss, training or validation, as `monitor` says. NaN is no improvement.
        """
        self._look(memory, value)

    def _look(self, memory: Memory, value: float) -> None:
        raise NotImplementedError

    def ending(self, memory: Memory) -> str:
        """Say why training ends.

        Parameters
        ----------
        memory : Memory
            That of a rate that has come to its end.

        Returns
        -------
        str
            A few words, as `History.stopped` has them.
        """
        return self._ending(memory)

    def _ending(self, memory: Memory) -> str:
        return f"the learning rate has fallen to {memory.rate:g}"


@dataclass(frozen=True)
class OnPlateau(FeedbackSchedule):
    """``rate * factor`` where the loss has not improved for more than `patience` epochs; PyTorch's ReduceLROnPlateau.

    Parameters
    ----------
    rate : float
        The rate at the beginning.
    factor : float, default 0.1
        What the rate is multiplied with, in (0, 1).
    patience : int, default 10
        Epochs in a row that may pass without an improvement.
    threshold : float, default 1e-4
        What counts as an improvement: less than ``best * (1 - threshold)``, or than ``best - threshold`` where it is
        not `relative`. At least 0.
    relative : bool, default True
        Whether `threshold` is a share of the best loss.
    cooldown : int, default 0
        Epochs after a drop that do not count.
    final : float, default 0.0
        The least rate.
    monitor : {"loss", "val_loss"}, default "loss"
        The loss that is looked at.

    Raises
    ------
    TypeError, ValueError
        If a setting is of another type or outside its range.

    Examples
    --------
    >>> schedule = OnPlateau(0.1, factor=0.5, patience=1)
    >>> memory = Memory(schedule.rate)
    >>> for loss in (1.0, 1.0, 1.0):
    ...     schedule.look(memory, loss)
    >>> memory.rate
    0.05
    """

    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    relative: bool = True
    cooldown: int = 0
    final: float = 0.0
    monitor: str = "loss"

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        number(self.factor, "factor", above=0.0, below=1.0)

    def _look(self, memory: Memory, value: float) -> None:
        """Lower the rate where the loss has stayed where it was for too long."""
        bound = memory.best * (1 - self.threshold) if self.relative else memory.best - self.threshold
        if value < bound:
            memory.best, memory.waited = value, 0
        else:
            memory.waited += 1
        if memory.resting > 0:
            memory.resting, memory.waited = memory.resting - 1, 0
        if memory.waited > self.patience:
            lower = max(memory.rate * self.factor, self.final)
            if memory.rate - lower > 1e-8:  # PyTorch's bound of what is worth a change
                memory.rate = lower
            memory.resting, memory.waited = self.cooldown, 0


@dataclass(frozen=True)
class Adaptive(FeedbackSchedule):
    """``rate / divisor`` whenever the loss has stopped to fall, and an end where the rate is small; scikit-learn's.

    The loss has to fall by `threshold` or more below the best; where it has not for more than `patience` epochs in a
    row, the rate drops, and where the rate is `final` or less already, training ends. scikit-learn's ``tol`` is
    `threshold` and its ``n_iter_no_change`` is `patience`. Unlike `EarlyStopping`, small improvements move the best:
    a loss that creeps down by less than `threshold` an epoch counts as one that stands still.

    Parameters
    ----------
    rate : float
        The rate at the beginning.
    divisor : float or None, default 5.0
        What the rate is divided by, above 1. None: the rate stays, and training ends where it would have dropped.
    patience : int, default 10
        Epochs in a row that may pass without an improvement.
    threshold : float, default 1e-4
        What counts as an improvement, at least 0.
    final : float, default 1e-6
        The rate from which on training ends.
    monitor : str, default "loss"
        What is looked at: "loss", "val_loss", "accuracy", "val_accuracy", or one of the training's ``metrics``, such as
        "val_r2"; what is to rise counts with its sign turned.

    Raises
    ------
    TypeError, ValueError
        If a setting is of another type or outside its range.

    Examples
    --------
    >>> schedule = Adaptive(0.1, patience=1)
    >>> memory = Memory(schedule.rate)
    >>> for loss in (1.0, 1.0, 1.0):
    ...     schedule.look(memory, loss)
    >>> memory.rate
    0.02
    """

    divisor: float | None = 5.0
    patience: int = 10
    threshold: float = 1e-4
    final: float = 1e-6
    monitor: str = "loss"

    monitors: ClassVar[tuple[str, ...]] = ()  # any; the door knows what is measured

    def _look(self, memory: Memory, value: float) -> None:
        """Lower the rate, or end the training, where the loss has stopped to fall."""
        memory.waited = 0 if value <= memory.best - self.threshold else memory.waited + 1
        memory.best = min(memory.best, value) if value == value else memory.best
        if memory.waited > self.patience:
            if self.divisor is None or memory.rate <= self.final:
                memory.ended = True
            else:
                memory.rate, memory.waited = memory.rate / self.divisor, 0

    def _ending(self, memory: Memory) -> str:
        """Say what has stood still where the rate stays as it is."""
        if self.divisor is None:
            return f"{self.monitor} has not improved for {self.patience} epochs"
        return super()._ending(memory)


def _share(final: float, rate: float) -> float:
    """Say what share of the rate the final one is; of a rate of 0, none."""
    return final / rate if rate else 0.0
