"""What looks at a training between two calls of the kernels: progress, callbacks, early stopping, rates that follow.

No arithmetic of a network, no printing. Imports the layout and what the user may choose; the training loop and L-BFGS
import it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from fastmlp import _layout
from fastmlp._scalars import choice, number
from fastmlp.schedules import Memory
from fastmlp.stopping import EarlyStopping

_RATE = _layout.EPOCH.names.index("learning_rate")
SLICE_SECONDS = 0.05


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Parameters
    ----------
    epoch : int
        Epochs behind it.
    epochs : int
        Epochs in all.
    loss : float
        The last epoch's loss; NaN before the first.
    accuracy : float or None
        The last epoch's accuracy; None for regression.
    """

    epoch: int
    epochs: int
    loss: float
    accuracy: float | None


class EpochState:
    """Where a training stands at the end of an epoch: what callbacks are given.

    Attributes
    ----------
    epoch, epochs : int
        Epochs of this training behind it, and in all.
    loss, accuracy, val_loss, val_accuracy, gradient_norm : float
        The epoch's numbers, as in `History`; NaN where there is none.
    metrics : dict of str to float
        The epoch's metrics by their names, those of validation rows as ``val_...``.
    learning_rate : float
        The epoch's rate. What is written into it is the rate from the next step to the training's end.
    seconds : float
        Since the training began.
    params : ndarray, shape (parameters,)
        The parameters themselves, not a copy: read them; what is written into them is trained on (not with L-BFGS,
        which refuses it).
    network : Network
        The network that is trained: its weights and biases, `predict`, `save`. Its history ends before this training.
    """

    def __init__(self, watch: Watch, epoch: int, metrics: dict[str, float]) -> None:
        self.epoch, self.epochs, self.metrics = epoch, watch.epochs, metrics
        self.seconds, self.params, self.network = watch.seconds, watch.parameters, watch.network
        numbers = watch.numbers(epoch)
        self.loss, self.accuracy = numbers["loss"], numbers["accuracy"]
        self.val_loss, self.val_accuracy = numbers["val_loss"], numbers["val_accuracy"]
        self.gradient_norm = numbers["gradient_norm"]
        self._learning_rate, self._watch = numbers["learning_rate"], watch

    @property
    def learning_rate(self) -> float:
        """The epoch's rate; written, the rate of all that is left."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self._learning_rate = number(rate, "learning_rate")
        self._watch.set_rate(self.epoch, self._learning_rate)

    def numbers(self) -> dict[str, float]:
        """List the epoch's numbers by their names: rate, losses, accuracies, norm, metrics; without those that are not.

        Returns
        -------
        dict of str to float
            In the same order at every epoch of a training.
        """
        named = ("learning_rate", "loss", "accuracy", "val_loss", "val_accuracy", "gradient_norm")
        measured = self._watch.measured
        return {name: getattr(self, name) for name in named if name in measured} | self.metrics

    def falling(self, name: str) -> float:
        """Give a number by its name, with its sign turned where it is to rise, so that less is better.

        Parameters
        ----------
        name : str
            A loss, an accuracy or a metric.

        Returns
        -------
        float
            The number.

        Raises
        ------
        ValueError
            If no such number is measured.
        """
        numbers = self.numbers()
        value = numbers[choice(name, numbers, "best")]
        return -value if self._watch.rises(name) else value


class Patience:
    """Counts how long a number has not improved: what a rule of early stopping makes of one number an epoch.

    Parameters
    ----------
    rule : EarlyStopping
        The rule.
    rises : bool
        Whether more of the number is better.

    Attributes
    ----------
    best_epoch : int or None
        The epoch of the best number so far, counted from 1.
    stopped : str
        Why training is to stop; empty where it is not.
    """

    def __init__(self, rule: EarlyStopping, rises: bool) -> None:
        self.rule = rule
        self.best_epoch: int | None = None
        self.stopped = ""
        self._best = math.inf
        self._sign = -1.0 if rises else 1.0
        self._goal = -math.inf if rule.goal is None else self._sign * rule.goal

    def look(self, epoch: int, given: float) -> bool:
        """Look at the number of the next epoch; tells whether it is the best so far."""
        value, rule = self._sign * given, self.rule
        # The first number is the best one so far, and any is better than NaN.
        better = value < self._best - rule.min_delta
        if better or self.best_epoch is None or (math.isnan(self._best) and not math.isnan(value)):
            self._best, self.best_epoch, better = value, epoch, True
        if value <= self._goal:
            self.stopped = f"{rule.title} reached {given:.6g}"
        elif epoch - self.best_epoch >= rule.patience:
            self.stopped = f"{rule.title} has not improved for {rule.patience} epochs"
        return better


class Watch:
    """Looks at the epochs as they end, and says when to stop and why.

    Where what it looks at is what the kernels write down, they need not stop for it: `look_back` looks at many epochs
    that are over, and the loop goes back to the one that would have changed its course.

    Parameters
    ----------
    record : ndarray of float64, shape (fields of EPOCH, epochs)
        What the kernels write.
    rates : ndarray of float64, or None
        The learning rates, one an epoch or one a step; None where the optimizer searches its own steps.
    parameters : ndarray, shape (parameters,)
        The flat vector that is trained.
    settings : ndarray of SETTINGS, shape (1,)
        The call's.
    memory : Memory or None
        What a schedule that looks at the epochs remembers.
    schedule : Schedule
        What to do (`training.Schedule`).

    Attributes
    ----------
    decided : int
        The last epoch that early stopping has looked at.
    """

    def __init__(
        self, record: np.ndarray, rates: np.ndarray | None, parameters: np.ndarray, settings: np.ndarray,
        memory: Memory | None, schedule: Any,
    ) -> None:
        self.stopped = ""
        self.epochs: int = schedule.epochs
        self.parameters, self.network = parameters, schedule.network
        self.metrics: dict[str, np.ndarray] = {name: np.full(self.epochs, math.nan) for name in schedule.metric_names}
        self._schedule, self._record, self._rates, self._memory = schedule, record, rates, memory
        self._accuracies, self._validated = bool(settings["metric"][0]), bool(settings["validation_rows"][0])
        self._begun = self._reported = perf_counter()
        rule = schedule.early_stopping
        self._patience = None if rule is None else Patience(rule, self.rises(rule.monitor))
        self._best_parameters: np.ndarray | None = None
        self.decided = 0
        self._always = rule is not None or memory is not None or schedule.measure is not None
        self.looks_back = self._always and not (
            schedule.callbacks or schedule.measure is not None or schedule.frames
            or (rule is not None and callable(rule.monitor))
        )  # fmt: skip

    @property
    def best_epoch(self) -> int | None:
        """With early stopping, the epoch of the best number so far, counted from 1."""
        return None if self._patience is None else self._patience.best_epoch

    @property
    def seconds(self) -> float:
        """Seconds since the training began."""
        return perf_counter() - self._begun

    @property
    def measured(self) -> tuple[str, ...]:
        """The names of the epoch's numbers that there are."""
        return tuple(
            name for name in _layout.EPOCH.names
            if (self._validated or not name.startswith("val_")) and (self._accuracies or "accuracy" not in name)
        )  # fmt: skip

    def rises(self, name: str | Callable[..., float]) -> bool:
        """Tell whether more of a number is better: of accuracies, and of metrics that say so."""
        return self._schedule.metric_names.get(name, name in ("accuracy", "val_accuracy"))

    def next_look(self, epoch: int) -> int | None:
        """Say at the end of which epoch after this one somebody wants to look; None where nobody does."""
        if self._always:
            return epoch + 1
        steps = [getattr(callback, "every", 1) for callback in self._schedule.callbacks]
        return min((*((epoch // every + 1) * every for every in steps), self.epochs)) if steps else None

    def numbers(self, epoch: int) -> dict[str, float]:
        """Read the numbers of an epoch, counted from 1; NaN where there is none."""
        last = self._record[:, epoch - 1].tolist() if epoch else [math.nan] * len(self._record)
        numbers = dict(zip(_layout.EPOCH.names, last, strict=True))
        if not self._validated:
            numbers["val_loss"] = numbers["val_accuracy"] = math.nan
        if not self._accuracies:
            numbers["accuracy"] = numbers["val_accuracy"] = math.nan
        return numbers

    def set_rate(self, epoch: int, rate: float) -> None:
        """Make a rate that of all epochs after this one."""
        if self._rates is None:
            raise ValueError("learning_rate: got one with an optimizer that searches the length of its steps itself")
        self._rates[epoch * (len(self._rates) // self.epochs) :] = rate
        self._record[_RATE, epoch:] = rate
        if self._memory is not None:
            self._memory.rate = rate

    def is_due(self, watched: bool) -> bool:
        """Tell whether it is time for progress: after every call, but where calls are cut short for a look."""
        return not watched or perf_counter() - self._reported >= SLICE_SECONDS

    def report(self, epoch: int) -> None:
        """Tell how far the training is."""
        self._reported = perf_counter()
        numbers = self.numbers(epoch)
        accuracy = numbers["val_accuracy" if self._validated else "accuracy"] if self._accuracies else None
        self._schedule.progress(Progress(epoch, self.epochs, numbers["loss"], accuracy))

    def look(self, epoch: int) -> None:
        """Measure what is to be measured at the end of an epoch, follow with the rate, call callbacks, then decide."""
        measured = {} if self._schedule.measure is None else self._schedule.measure()
        for name, value in measured.items():
            self.metrics[name][epoch - 1] = value
        state = EpochState(self, epoch, measured)
        if self._memory is not None:
            self._follow(epoch, state.numbers().get(self._schedule.learning_rate.monitor, math.nan))
        for callback in self._schedule.callbacks:
            every = getattr(callback, "every", 1)
            if epoch % every and epoch != self.epochs:
                continue
            answer = callback(state)
            if isinstance(answer, (bool, np.bool_)) and answer and not self.stopped:
                self.stopped = f"{getattr(callback, '__name__', type(callback).__name__)} returned True"
        if self._patience is not None:
            self._decide(state)

    def _follow(self, epoch: int, value: float) -> bool:
        """Let a schedule look at an epoch's loss, and set the rate that it asks for; tells whether it is another."""
        before, schedule = self._memory.rate, self._schedule.learning_rate
        schedule.look(self._memory, -value if self.rises(schedule.monitor) else value)
        if self._memory.rate != before:
            self.set_rate(epoch, self._memory.rate)
        if self._memory.ended and not self.stopped:
            self.stopped = schedule.ending(self._memory)
        return self._memory.rate != before

    def catch_up(self, epoch: int) -> None:
        """Decide on an epoch that is over and whose look was interrupted, once its metrics were measured."""
        if self._patience is not None and epoch > self.decided:
            self._decide(EpochState(self, epoch, {name: values[epoch - 1] for name, values in self.metrics.items()}))

    def _decide(self, state: EpochState) -> None:
        """Look at what is monitored, keep the weights if it is the best, and stop where the rule says so."""
        self.decided = state.epoch
        monitor = self._patience.rule.monitor
        given = monitor(state) if callable(monitor) else state.metrics.get(monitor, getattr(state, monitor, math.nan))
        if self._patience.look(state.epoch, given) and self._patience.rule.restore_best:
            self.keep_best()
        self._stop_if_told()

    def _stop_if_told(self) -> None:
        rule = self._patience.rule
        if self.stopped:
            return
        if self._patience.stopped:
            self.stopped = self._patience.stopped
        elif rule.max_time is not None and self.seconds >= rule.max_time:
            self.stopped = f"{rule.max_time:g} seconds have passed"

    def look_back(self, first: int, last: int) -> int | None:
        """Look at epochs first ... last, which are over: what is monitored, and the rate that follows.

        Parameters
        ----------
        first, last : int
            Counted from 1.

        Returns
        -------
        int or None
            The first of them behind which training would have stopped or gone on at another rate; None where it would
            have gone on as it did.
        """
        rows = dict(zip(_layout.EPOCH.names, self._record[:, first - 1 : last].tolist(), strict=True))
        nothing = [0.0] * (last - first + 1)
        monitored = nothing if self._patience is None else rows[self._patience.rule.monitor]
        followed = nothing if self._memory is None else rows[self._schedule.learning_rate.monitor]
        for epoch, value, loss in zip(range(first, last + 1), monitored, followed, strict=True):
            self.decided = epoch
            changed = self._memory is not None and self._follow(epoch, loss)
            if self._patience is not None:
                self._patience.look(epoch, value)
                self._stop_if_told()
            if self.stopped or changed:
                return epoch
        return None

    def keep_best(self) -> None:
        """Keep the weights as they stand: they are the best so far."""
        if self._best_parameters is None:
            self._best_parameters = np.empty_like(self.parameters)
        np.copyto(self._best_parameters, self.parameters)

    @property
    def wants_best(self) -> bool:
        """Whether the best weights are to come back."""
        return self._patience is not None and self._patience.rule.restore_best

    def restore_best(self) -> bool:
        """Go back to the best weights, if that was asked for; tells whether there were any."""
        if self._best_parameters is not None:
            self.parameters[:] = self._best_parameters
        return self._best_parameters is not None


def close_all(callbacks: Sequence[Callable[..., object] | None]) -> None:
    """Tell those that have something to close that the training is over."""
    for callback in callbacks:
        close = getattr(callback, "close", None)
        if callable(close):
            close()

