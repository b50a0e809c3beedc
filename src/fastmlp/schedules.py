"""Learning-rate schedules, as small frozen dataclasses that check their settings.

A schedule computes the rates of a whole training run in advance, so that the kernels need not stop for them. Two
schedules cannot: `OnPlateau` and `Adaptive` depend on the loss of every epoch, and the training loop stops for them
after each one.

Notation: t counts epochs, or steps with ``unit="step"``, from 0; T is the length of the training run in the same unit.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from fastmlp._spec.elsewhere import keywords, table
from fastmlp._spec.values import (
    check_fields,
    choice,
    flag,
    improves,
    is_collection,
    named,
    number,
    optional,
    shown,
    whole,
)


def _rising(values: Any, argument: str) -> tuple[int, ...]:
    """Check whole numbers that increase."""
    accepted = "increasing whole numbers are accepted, such as (30, 60)"
    if not is_collection(values):
        raise TypeError(f"{argument}: got {shown(values)}; {accepted}")
    checked = tuple(whole(value, f"{argument}[{i}]") for i, value in enumerate(values))
    if not checked or checked != tuple(sorted(set(checked))):
        raise ValueError(f"{argument}: got {list(checked)}; {accepted}")
    return checked


# Setting -> its check, the same for every schedule except for those that replace an entry.
_CHECKS: Mapping[str, Callable[..., Any]] = {
    "rate": number,
    "final": number,
    "threshold": number,
    "factor": partial(number, above=0.0),
    "power": partial(number, above=0.0),
    "start": partial(number, above=0.0),
    "growth": partial(number, minimum=1.0),
    "rise": partial(number, above=0.0, below=1.0),
    "divisor": optional(partial(number, above=1.0)),
    "every": whole,
    "cycle": optional(whole),
    "length": optional(whole),
    "warmup": partial(whole, minimum=0),
    "cooldown": partial(whole, minimum=0),
    "patience": partial(whole, minimum=0),
    "milestones": _rising,
    "relative": flag,
    "unit": partial(choice, known=("epoch", "step")),
    "monitor": named,
}


@dataclass(frozen=True)
class RateSchedule:
    """Base class of all schedules; use one of its subclasses.

    t counts from the training run in which the schedule was first given. A later run with an equal schedule continues
    the count, so that two runs in a row use the rates of one long run. Schedules that end (`Polynomial`, `Cosine`
    without `cycle`, `OneCycle`) need a `length` for that: without one they span each training run anew, and with
    `Network.partial_train` each chunk, whose rate is then always the first one.

    Parameters
    ----------
    rate : float
        The learning rate that the schedule scales, at least 0.
    """

    rate: float

    _checks: ClassVar[Mapping[str, Callable[..., Any]]] = _CHECKS
    # For schedules without these fields. Without annotations, because those would fix the order of the fields.
    unit = "epoch"
    length = 0
    _ends = True

    def __post_init__(self) -> None:
        check_fields(self, self._checks)

    def _factors(self, t: np.ndarray, length: int) -> np.ndarray:
        """Return the factor of the rate at each t; `length` is T."""
        return np.ones_like(t)

    def rates(self, begun: int, epochs: int, batches: int) -> np.ndarray:
        """Return the rates of a training run.

        Parameters
        ----------
        begun : int
            Epochs that earlier training runs made with this schedule; with ``unit="step"``, steps.
        epochs : int
            Epochs of the training run.
        batches : int
            Steps per epoch.

        Returns
        -------
        ndarray of float64, shape (epochs,), or (epochs * batches,) with ``unit="step"``
            One rate per epoch or per step.

        Examples
        --------
        >>> StepDecay(0.1, every=2).rates(0, 4, 10).round(4).tolist()
        [0.1, 0.1, 0.01, 0.01]
        """
        return self._some_rates(range(epochs), begun, epochs, batches)

    def _some_rates(self, chosen: range, begun: int, epochs: int, batches: int) -> np.ndarray:
        """Return the rates of some of the epochs."""
        per_epoch = batches if self.unit == "step" else 1
        length = self.length
        if length is None and self._ends:  # the schedule spans this training run alone
            begun, length = 0, epochs * per_epoch
        t = np.arange(begun + chosen.start * per_epoch, begun + chosen.stop * per_epoch, dtype=np.float64)
        with np.errstate(over="ignore"):  # rates that are not finite are refused
            return self.rate * self._factors(t, length)


@keywords()
@dataclass(frozen=True)
class Constant(RateSchedule):
    """The same rate throughout; a number given as a learning rate means this schedule.

    Parameters
    ----------
    rate : float
        The rate.

    Examples
    --------
    >>> Constant(0.1).rates(0, 3, 10).tolist()
    [0.1, 0.1, 0.1]
    """

    def _some_rates(self, chosen: range, begun: int, epochs: int, batches: int) -> np.ndarray:
        return np.full(len(chosen), float(self.rate))


@keywords(every="step_size decay_steps drop_period", factor="gamma decay_rate drop_factor")
@dataclass(frozen=True)
class StepDecay(RateSchedule):
    """``rate * factor ** (t // every)``; PyTorch's StepLR.

    Parameters
    ----------
    rate : float
        The rate at the beginning.
    every : int
        Number of epochs or steps from one drop to the next.
    factor : float, default 0.1
        Factor of each drop, above 0.
    unit : {"epoch", "step"}, default "epoch"
        Unit of t.

    Raises
    ------
    TypeError, ValueError
        If a setting has the wrong type or is out of range.

    Examples
    --------
    >>> StepDecay(0.8, every=1, factor=0.5).rates(0, 4, 10).tolist()
    [0.8, 0.4, 0.2, 0.1]
    """

    every: int
    factor: float = 0.1
    unit: str = "epoch"

    def _factors(self, t: np.ndarray, length: int) -> np.ndarray:
        return self.factor ** (t // self.every)


@keywords(milestones="boundaries", factor="gamma")
@dataclass(frozen=True)
class MultiStep(RateSchedule):
    """``rate * factor ** m``, with m the number of milestones that t has reached; PyTorch's MultiStepLR.

    Parameters
    ----------
    rate : float
        The rate at the beginning.
    milestones : sequence of int
        Values of t at which the rate drops, in increasing order.
    factor : float, default 0.1
        Factor of each drop, above 0.
    unit : {"epoch", "step"}, default "epoch"
        Unit of t.

    Raises
    ------
    TypeError, ValueError
        If a setting has the wrong type or is out of range, or the milestones do not increase.

    Examples
    --------
    >>> MultiStep(1, [1, 3], factor=0.5).rates(0, 5, 10).tolist()
    [1.0, 0.5, 0.5, 0.25, 0.25]
    """

    milestones: Sequence[int]
    factor: float = 0.1
    unit: str = "epoch"

    def _factors(self, t: np.ndarray, length: int) -> np.ndarray:
        return self.factor ** np.searchsorted(self.milestones, t, side="right").astype(np.float64)


@keywords(factor="gamma decay_rate")
@dataclass(frozen=True)
class Exponential(RateSchedule):
    """``rate * factor ** t``; PyTorch's ExponentialLR.

    Parameters
    ----------
    rate : float
        The rate at the beginning.
    factor : float
        Factor of the rate per epoch or step, above 0.
    unit : {"epoch", "step"}, default "epoch"
        Unit of t.

    Raises
    ------
    TypeError, ValueError
        If a setting has the wrong type or is out of range.

    Examples
    --------
    >>> Exponential(1, 0.5).rates(2, 3, 10).tolist()
    [0.25, 0.125, 0.0625]
    """

    factor: float
    unit: str = "epoch"

    def _factors(self, t: np.ndarray, length: int) -> np.ndarray:
        return self.factor**t


@keywords(power="power_t")
@dataclass(frozen=True)
class InverseScaling(RateSchedule):
    """``rate / (t + 1) ** power``; H. Robbins and S. Monro (1951) require a power in (1/2, 1].

    Parameters
    ----------
    rate : float
        The rate at the beginning.
    power : float, default 0.5
        Speed of the decay, above 0.
    unit : {"epoch", "step"}, default "epoch"
        Unit of t.

    Raises
    ------
    TypeError, ValueError
        If a setting has the wrong type or is out of range.

    Examples
    --------
    >>> InverseScaling(0.6, power=1).rates(0, 3, 10).round(2).tolist()
    [0.6, 0.3, 0.2]
    """

    power: float = 0.5
    unit: str = "epoch"

    def _factors(self, t: np.ndarray, length: int) -> np.ndarray:
        return (t + 1) ** -self.power


@keywords(final="end_learning_rate end_value", length="total_iters decay_steps transition_steps")
@dataclass(frozen=True)
class Polynomial(RateSchedule):
    """From `rate` down to `final`: ``final + (rate - final) * (1 - t / T) ** power``, and `final` from T on.

    Parameters
    ----------
    rate : float
        The rate at the beginning.
    power : float, default 1.0
        Power of the decay, above 0; 1 is linear.
    final : float, default 0.0
        The rate at the end.
    unit : {"epoch", "step"}, default "epoch"
        Unit of t.
    length : int or None, default None
        T; None takes the length of each training run.

    Raises
    ------
    TypeError, ValueError
        If a setting has the wrong type or is out of range.

    Examples
    --------
    >>> Polynomial(1.0).rates(0, 4, 10).tolist()
    [1.0, 0.75, 0.5, 0.25]
    """

    power: float = 1.0
    final: float = 0.0
    unit: str = "epoch"
    length: int | None = None

    def _factors(self, t: np.ndarray, length: int) -> np.ndarray:
        return _factor(self, (1 - np.minimum(t / length, 1)) ** self.power)


@keywords(
    final="eta_min min_lr end_value",
    warmup="warmup_steps warmup_epochs",
    cycle="T_0 first_decay_steps",
    growth="T_mult t_mul",
    length="T_max decay_steps total_steps",
)
@dataclass(frozen=True)
class Cosine(RateSchedule):
    """Half a cosine from `rate` to `final`, after a warm-up, optionally in cycles (I. Loshchilov and F. Hutter, 2017).

    During a warm-up of w epochs or steps the rate is ``rate * (t + 1) / (w + 1)``. After the warm-up it is
    ``final + (rate - final) * (1 + cos(pi u)) / 2``, with u the fraction of the cycle that has passed (SGDR).

    Parameters
    ----------
    rate : float
        The rate at the beginning of each cycle.
    final : float, default 0.0
        The rate at the end of each cycle.
    warmup : int, default 0
        Epochs or steps of the warm-up.
    cycle : int or None, default None
        Length of the first cycle. None makes one cycle up to T, after which the rate stays at `final`.
    growth : float, default 1.0
        Length of each cycle relative to the one before, at least 1.
    unit : {"epoch", "step"}, default "epoch"
        Unit of t.
    length : int or None, default None
        T; None takes the length of each training run.

    Raises
    ------
    TypeError, ValueError
        If a setting has the wrong type or is out of range.

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

    @property
    def _ends(self) -> bool:
        return self.cycle is None

    def _factors(self, t: np.ndarray, length: int | None) -> np.ndarray:
        after = np.maximum(t - self.warmup, 0)
        if self.cycle is None:
            over = np.minimum(after / max(length - self.warmup, 1), 1)
        elif self.growth == 1:
            over = after % self.cycle / self.cycle
        else:
            # The n cycles before cycle n take cycle (growth^n - 1) / (growth - 1) in all. Without the 1e-9, rounding
            # could put the first point of a cycle at the end of the cycle before.
            n = np.floor(np.log1p(after / self.cycle * (self.growth - 1)) / math.log(self.growth) + 1e-9)
            begin = self.cycle * (self.growth**n - 1) / (self.growth - 1)
            over = (after - begin) / (self.cycle * self.growth**n)
        return np.where(t < self.warmup, (t + 1) / (self.warmup + 1), _factor(self, _half_cosine(over)))


@keywords(
    rise="pct_start",
    length="total_steps transition_steps",
    **{"start=1 / div_factor": "div_factor", "final=start / final_div_factor": "final_div_factor"},
)
@dataclass(frozen=True)
class OneCycle(RateSchedule):
    """Half a cosine up to `rate`, then half a cosine down (L. N. Smith and N. Topin, Super-convergence, 2018).

    The rate goes from ``start * rate`` up to `rate`, which it reaches at ``t = rise * T - 1``, then down to
    ``final * rate`` at ``t = T - 1``. If ``rise * T`` is at most 1, there is no rise: the rate begins at the peak, or
    on the way down from one before t = 0. This is PyTorch's OneCycleLR, whose div_factor is 1 / start and whose
    final_div_factor is start / final; where that divides by zero, the rate is the peak.

    Parameters
    ----------
    rate : float
        The largest rate.
    start, final : float, default 0.04 and 4e-6
        First and last rate, as fractions of the largest: `start` above 0, `final` at least 0.
    rise : float, default 0.3
        Fraction of the training run during which the rate rises, in (0, 1).
    unit : {"epoch", "step"}, default "step"
        Unit of t.
    length : int or None, default None
        T; None takes the length of each training run.

    Raises
    ------
    TypeError, ValueError
        If a setting has the wrong type or is out of range.

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

    def _factors(self, t: np.ndarray, length: int) -> np.ndarray:
        top, last = self.rise * length - 1, length - 1  # as in PyTorch, one less than the fraction of T
        # t <= top needs a rise; past it, the way down, which may have no length either
        up = _half_cosine(t / top) if top > 0 else np.zeros_like(t)
        down = _half_cosine(np.minimum((t - top) / (last - top), 1)) if last > top else np.ones_like(t)
        return np.where(t <= top, 1 - up * (1 - self.start), self.final + down * (1 - self.final))


def _half_cosine(done: np.ndarray) -> np.ndarray:
    """Return a fraction that falls from 1 to 0 as `done` rises from 0 to 1."""
    return (1 + np.cos(np.pi * done)) / 2


def _factor(schedule: Polynomial | Cosine, left: np.ndarray) -> np.ndarray:
    """Return the factor of the rate with a fraction `left` of the way from `rate` to `final` still to go."""
    return left + (1 - left) * (schedule.final / schedule.rate if schedule.rate else 0.0)


@dataclass
class Memory:
    """State of a schedule that follows the loss; it is kept from one training run to the next.

    Parameters
    ----------
    rate : float
        The current rate.
    best : float, default infinity
        The smallest loss so far.
    waited, resting : int, default 0
        Epochs in a row without an improvement, and epochs of a cooldown that are left.
    ended : bool, default False
        Whether the schedule has ended the training run.
    """

    rate: float
    best: float = math.inf
    waited: int = 0
    resting: int = 0
    ended: bool = False


@dataclass(frozen=True)
class FeedbackSchedule(RateSchedule):
    """Base class of the schedules that follow the loss; use one of its subclasses.

    Parameters
    ----------
    rate : float
        The rate at the beginning.
    """

    def look(self, memory: Memory, value: float) -> None:
        """Record the loss of an epoch, and set the rate of the next epoch.

        Parameters
        ----------
        memory : Memory
            State after the epochs before; updated in place.
        value : float
            The epoch's value of the number that `monitor` names, smaller being better. NaN is not an improvement.
        """
        raise NotImplementedError

    def ending(self, memory: Memory) -> str:
        """Return the reason why the schedule ended the training run.

        Parameters
        ----------
        memory : Memory
            State of a schedule that has ended the training run.

        Returns
        -------
        str
            A short text for `History.stopped`.
        """
        return f"the learning rate has fallen to {memory.rate:g}"


@keywords(threshold="tol min_delta", final="min_lr", relative="threshold_mode")
@dataclass(frozen=True)
class OnPlateau(FeedbackSchedule):
    """``rate * factor`` when the loss has not improved for more than `patience` epochs; PyTorch's ReduceLROnPlateau.

    Parameters
    ----------
    rate : float
        The rate at the beginning.
    factor : float, default 0.1
        Factor of each drop, in (0, 1).
    patience : int, default 10
        Epochs in a row that may pass without an improvement.
    threshold : float, default 1e-4
        Smallest improvement that counts, at least 0: the loss has to fall below ``best - threshold * abs(best)``, or
        below ``best - threshold`` if `relative` is False.
    relative : bool, default True
        Whether `threshold` is a fraction of the best loss.
    cooldown : int, default 0
        Epochs after a drop that do not count towards `patience`.
    final : float, default 0.0
        The smallest rate.
    monitor : str, default "loss"
        The number that is monitored, as in `EarlyStopping`; one that is to rise, with its sign reversed.

    Raises
    ------
    TypeError, ValueError
        If a setting has the wrong type or is out of range.

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

    _checks: ClassVar[Mapping[str, Callable[..., Any]]] = {**_CHECKS, "factor": partial(number, above=0.0, below=1.0)}

    def look(self, memory: Memory, value: float) -> None:  # noqa: D102  documented in the base class
        if improves(value, memory.best, self.threshold, self.relative):
            memory.best, memory.waited = value, 0
        else:
            memory.waited += 1
        if memory.resting > 0:
            memory.resting, memory.waited = memory.resting - 1, 0
        if memory.waited > self.patience:
            lower = max(memory.rate * self.factor, self.final)
            if memory.rate - lower > 1e-8:  # PyTorch's smallest change
                memory.rate = lower
            memory.resting, memory.waited = self.cooldown, 0


@keywords(threshold="tol min_delta", divisor="factor", final="min_lr")
@dataclass(frozen=True)
class Adaptive(FeedbackSchedule):
    """``rate / divisor`` whenever the loss stops falling, and an end once the rate is small; scikit-learn's.

    The loss has to fall to ``best - threshold`` or below. If it has not for more than `patience` epochs in a row, the
    rate drops; if the rate is already `final` or less, the training run ends. scikit-learn's ``tol`` is `threshold`
    and its ``n_iter_no_change`` is `patience`. Unlike with `EarlyStopping`, small improvements move the best loss: a
    loss that falls by less than `threshold` per epoch counts as one that does not fall.

    Parameters
    ----------
    rate : float
        The rate at the beginning.
    divisor : float or None, default 5.0
        Divisor of each drop, above 1. None keeps the rate, and ends the training run in place of the first drop.
    patience : int, default 10
        Epochs in a row that may pass without an improvement.
    threshold : float, default 1e-4
        Smallest improvement that counts, at least 0.
    final : float, default 1e-6
        The rate at which the training run ends in place of another drop.
    monitor : str, default "loss"
        The number that is monitored, as in `EarlyStopping`; one that is to rise, with its sign reversed.

    Raises
    ------
    TypeError, ValueError
        If a setting has the wrong type or is out of range.

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

    def look(self, memory: Memory, value: float) -> None:  # noqa: D102  documented in the base class
        memory.waited = 0 if value <= memory.best - self.threshold else memory.waited + 1
        memory.best = min(memory.best, value)  # in this order, which keeps the best loss when the value is NaN
        if memory.waited > self.patience:
            if self.divisor is None or memory.rate <= self.final:
                memory.ended = True
            else:
                memory.rate, memory.waited = memory.rate / self.divisor, 0

    def ending(self, memory: Memory) -> str:  # noqa: D102  documented in the base class
        if self.divisor is None:
            return f"{self.monitor} has not improved for {self.patience} epochs"
        return super().ending(memory)


ELSEWHERE: Mapping[str, list[str]] = table(
    {
        "fastmlp.schedules.StepDecay(…)": "StepDecay StepLR step piecewise",
        "fastmlp.schedules.MultiStep(…)": "MultiStep MultiStepLR piecewise_constant PiecewiseConstantDecay",
        "fastmlp.schedules.Exponential(…)": "Exponential ExponentialLR exponential_decay",
        "fastmlp.schedules.InverseScaling(…)": "InverseScaling invscaling inverse_time_decay",
        "fastmlp.schedules.Polynomial(…)": "Polynomial PolynomialLR polynomial_decay linear LinearLR linear_schedule",
        "fastmlp.schedules.Cosine(…)": "Cosine CosineLR CosineAnnealingLR cosine_annealing CosineAnnealingWarmRestarts "
        "cosine_decay cosine_decay_restarts warmup_cosine_decay_schedule cosine_decay_schedule",
        "fastmlp.schedules.OneCycle(…)": "OneCycle OneCycleLR 1cycle cosine_onecycle_schedule",
        "fastmlp.schedules.OnPlateau(…)": "OnPlateau ReduceLROnPlateau plateau reduce_on_plateau",
        "fastmlp.schedules.Adaptive(…)": "Adaptive",
        "a number": "Constant ConstantLR fixed",
    }.items()
)
