"""Inspects the epochs of a training run as they end: progress, metrics, callbacks, stopping, rates that follow."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import perf_counter

import numpy as np

from fastmlp._training.clock import SLICE_SECONDS
from fastmlp._training.hooks import next_call
from fastmlp._training.run import TrainingRun
from fastmlp.callbacks import EpochState, Progress, _Course
from fastmlp.stopping import EarlyStopping


class Patience:
    """Counts how long a number has not improved: the one rule of whether it has.

    `best_epoch` is the epoch of the best number so far, counted from 1, or None; `stopped` says why the training run is
    to stop, and is empty if it is not.
    """

    def __init__(self, rule: EarlyStopping, rises: bool) -> None:
        self.rule = rule
        self.best_epoch: int | None = None
        self.stopped = ""
        self._best = math.inf
        self._sign = -1.0 if rises else 1.0
        self._goal = -math.inf if rule.goal is None else self._sign * rule.goal

    def inspect(self, epoch: int, given: float) -> bool:
        """Inspect the number of the next epoch; return whether it is the best so far."""
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
    """Inspects the epochs as they end, and says when to stop and why.

    If all that it inspects is what the kernels write down, they need not stop for it: `inspect_past` inspects many
    epochs that are over, and the training run goes back to the one that would have changed its course.

    `measure` returns the metrics of an epoch, or is None if there are none. `decided` is the last epoch that early
    stopping has inspected.
    """

    def __init__(self, run: TrainingRun, network: object, measure: Callable[[], dict[str, float]] | None) -> None:
        options = run.options
        self.stopped, self.decided = "", 0
        self.parameters = run.model.params
        self._run, self._options, self._network, self._measure = run, options, network, measure
        self._record, self._memory = run.record, run.state.memory
        self._rising = options.metric_names
        self.metrics = {name: np.full(options.epochs, math.nan) for name in self._rising}
        self._names = tuple(name for name in run.record if self._is_measured(name))
        self._begun = self._reported = perf_counter()
        rule = options.early_stopping
        self._patience = None if rule is None else Patience(rule, self.rises(rule.monitor))
        self._best_parameters: np.ndarray | None = None
        self._always = rule is not None or self._memory is not None or measure is not None
        self.inspects_past = self._always and not (
            options.callbacks or measure is not None or options.frames or (rule is not None and callable(rule.monitor))
        )

    def _is_measured(self, name: str) -> bool:
        """Return whether the epochs have a number that the kernels have a place for."""
        validated, task = self._options.data.validated, self._options.data.task
        return (validated or not name.startswith("val_")) and not (task.is_regression and "accuracy" in name)

    @property
    def best_epoch(self) -> int | None:
        """With early stopping, the epoch of the best number so far, counted from 1."""
        return None if self._patience is None else self._patience.best_epoch

    @property
    def seconds(self) -> float:
        """Seconds since the training run began."""
        return perf_counter() - self._begun

    def rises(self, name: str | Callable[..., float]) -> bool:
        """Return whether more of a number is better: of accuracies, and of metrics that say so."""
        return self._rising.get(name, name in ("accuracy", "val_accuracy"))

    def next_inspection(self, epoch: int) -> int | None:
        """Return the epoch after this one at whose end a callback or a rule has to inspect it; None if none has to."""
        if self._always:
            return epoch + 1
        epochs = self._options.epochs
        return min((next_call(each, epoch, epochs) for each in self._options.callbacks), default=None)

    def numbers(self, epoch: int) -> dict[str, float]:
        """Return the numbers of an epoch, counted from 1, as far as there are any."""
        return {name: self._record[name][epoch - 1].item() for name in self._names}

    def set_rate(self, epoch: int, rate: float) -> None:
        """Make a rate that of all epochs after this one."""
        if self._options.optimizer.searches_step:
            raise ValueError("learning_rate: got one with an optimizer that searches the length of its steps itself")
        self._run.rates[epoch * self._run.rates_per_epoch :] = rate
        self._record["learning_rate"][epoch:] = rate
        if self._memory is not None:
            self._memory.rate = rate

    def report(self, epoch: int, force: bool) -> None:
        """Tell how far the training run is, if it is time to."""
        now = perf_counter()
        if self._options.progress is None or not (force or now - self._reported >= SLICE_SECONDS):
            return
        self._reported = now
        numbers = self.numbers(epoch) if epoch else {}
        accuracy = numbers.get("val_accuracy", numbers.get("accuracy"))
        if accuracy is None and not self._options.data.task.is_regression:
            accuracy = math.nan
        self._options.progress(Progress(epoch, self._options.epochs, numbers.get("loss", math.nan), accuracy))

    def inspect(self, epoch: int) -> None:
        """Measure what is to be measured at the end of an epoch, follow with the rate, call callbacks, then decide."""
        measured = {} if self._measure is None else self._measure()
        for name, value in measured.items():
            self.metrics[name][epoch - 1] = value
        state = self._state(epoch, measured)
        if self._memory is not None:
            self._follow(epoch, state.numbers().get(self._options.learning_rate.monitor, math.nan))
        for callback in self._options.callbacks:
            if next_call(callback, epoch - 1, self._options.epochs) != epoch:
                continue
            answer = callback(state)
            if isinstance(answer, (bool, np.bool_)) and answer and not self.stopped:
                self.stopped = f"{getattr(callback, '__name__', type(callback).__name__)} returned True"
        if self._patience is not None:
            self._decide(state)

    def _state(self, epoch: int, metrics: dict[str, float]) -> EpochState:
        course = _Course(self._network, self._options.epochs, self.seconds, self.set_rate, self.rises)
        return EpochState(epoch, self.numbers(epoch), metrics, course)

    def _follow(self, epoch: int, value: float) -> bool:
        """Let a schedule inspect an epoch's number, and set the rate that it asks for; return whether it is another."""
        before, schedule = self._memory.rate, self._options.learning_rate
        schedule.look(self._memory, -value if self.rises(schedule.monitor) else value)
        if self._memory.rate != before:
            self.set_rate(epoch, self._memory.rate)
        if self._memory.ended and not self.stopped:
            self.stopped = schedule.ending(self._memory)
        return self._memory.rate != before

    def catch_up(self, epoch: int) -> None:
        """Decide on an epoch that is over and whose inspection was interrupted, once its metrics were measured."""
        if self._patience is not None and epoch > self.decided:
            self._decide(self._state(epoch, {name: values[epoch - 1] for name, values in self.metrics.items()}))

    def _decide(self, state: EpochState) -> None:
        """Inspect what is monitored, keep the weights if it is the best, and stop if the rule says so."""
        self.decided = state.epoch
        monitor = self._patience.rule.monitor
        given = monitor(state) if callable(monitor) else state.metrics.get(monitor, getattr(state, monitor, math.nan))
        if self._patience.inspect(state.epoch, given) and self._patience.rule.restore_best:
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

    def inspect_past(self, first: int, last: int) -> int | None:
        """Inspect epochs first ... last, counted from 1: what is monitored, and the rate that follows.

        Returns the first of them after which the training run would have stopped or gone on at another rate; None if
        it would have gone on as it did.
        """
        past = slice(first - 1, last)
        nothing = [0.0] * (last - first + 1)
        monitored = nothing if self._patience is None else self._record[self._patience.rule.monitor][past].tolist()
        followed = nothing if self._memory is None else self._record[self._options.learning_rate.monitor][past].tolist()
        for epoch, value, loss in zip(range(first, last + 1), monitored, followed, strict=True):
            self.decided = epoch
            changed = self._memory is not None and self._follow(epoch, loss)
            if self._patience is not None:
                self._patience.inspect(epoch, value)
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
        """Go back to the best weights, if that was asked for; return whether there were any."""
        if self._best_parameters is not None:
            self.parameters[:] = self._best_parameters
        return self._best_parameters is not None
