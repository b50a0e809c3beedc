"""Inspects the epochs of a training run as they end: progress, metrics, callbacks, stopping, rates that follow."""

import math
from collections.abc import Callable, Collection
from time import perf_counter

import numpy as np

from fastmlp import metrics
from fastmlp._checks.task import Task
from fastmlp._spec.values import as_float, improves
from fastmlp._training.run import SLICE_SECONDS, TrainingRun
from fastmlp._training.snapshots import all_finite
from fastmlp.callbacks import EpochState, Progress
from fastmlp.stopping import EarlyStopping


def measured(
    metric: metrics.Metric, values: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None, task: Task
) -> float:
    """Measure outputs of shape (rows, outputs) against coded targets."""
    y, given = task.codes(values), task.decide(outputs)
    if metric.given == "scores":
        given = task.scores(outputs)
    elif metric.given != "codes":
        is_one_of_quantiles = task.loss.outputs_per_target > 1 and y.shape[1] == 1
        y, given = y[:, 0] if is_one_of_quantiles else task.predictions(y), task.predictions(given)
    options = {} if weights is None else {"sample_weight": weights}
    if metric.function is metrics.f1 and task.classes is not None:
        options["classes"] = len(task.classes)
    return as_float(metric.function(y, given, **options), f"metric {metric.name!r}")


def next_call(callback: object, epoch: int, epochs: int) -> int:
    """Return the first epoch after `epoch` at whose end a callback is called; past `epochs` if there is none."""
    every = getattr(callback, "every", 1)
    if isinstance(every, Collection):
        return min((later for later in every if later > epoch), default=epochs + 1)
    return min((epoch // every + 1) * every, epochs) if epoch < epochs else epochs + 1


class Patience:
    """Counts how long a number has not improved: the one rule of whether it has.

    `best_epoch` is the epoch of the best number so far, counted from 1, or None: a number that is not finite is never
    the best and reaches no goal, nor is one the best that is no better than `best_so_far`, an earlier training run's.
    `stopped` says why the training run is to stop, and is empty if it is not.
    """

    def __init__(self, rule: EarlyStopping, rises: bool, best_so_far: float | None = None) -> None:
        self.rule = rule
        self.best_epoch: int | None = None
        self.stopped = ""
        self._sign = -1.0 if rises else 1.0
        self._best = math.inf if best_so_far is None else self._sign * best_so_far
        self._goal = -math.inf if rule.goal is None else self._sign * rule.goal
        self._baseline = math.inf if rule.baseline is None else self._sign * rule.baseline
        self._reached = ""
        # The last improvement: if there is nothing else, the first epoch is what the others are compared with.
        self._improved = int(rule.baseline is None and best_so_far is None)

    def inspect(self, epoch: int, given: float) -> None:
        """Inspect the number of the next epoch."""
        rule, value = self.rule, self._sign * given if math.isfinite(given) else math.nan
        beats = improves(value, self._baseline, rule.min_delta, rule.relative)
        if improves(value, self._best, rule.min_delta, rule.relative):
            # Together, since Ctrl-C may come at any call of a function.
            self._best, self.best_epoch, self._improved = value, epoch, epoch if beats else self._improved
        if value <= self._goal and not self._reached:
            self._reached = f"{rule.title} reached {given:.6g}"
        waited = epoch - self._improved
        if epoch >= rule.min_epochs and (self._reached or waited >= rule.patience):
            self.stopped = self._reached or f"{rule.title} has not improved for {waited} epochs"


class Watch:
    """Inspects the epochs as they end, and says when to stop and why.

    If all that it inspects is what the kernels write down, they need not stop for it: `inspect_past` inspects many
    epochs that are over, and the training run goes back to the one that would have changed its course.

    `decided` is the last epoch that early stopping has inspected; if the best weights are to come back, `wants_best` is
    true.
    """

    def __init__(self, run: TrainingRun, network: object) -> None:
        options, rule = run.options, run.options.early_stopping
        self.stopped, self.decided = "", 0
        self._run, self._options, self._network = run, options, network
        self._memory, self._rising = run.state.memory, options.metric_names
        self._has_followed = False  # a number that is finite, with the rate
        self._begun = self._reported = perf_counter()
        self._patience = None if rule is None else Patience(rule, self.rises(rule.monitor), options.best_so_far)
        self.wants_best = rule is not None and rule.restore_best
        self._best_parameters: np.ndarray | None = None
        self._kept_epoch: int | None = None
        self._always = rule is not None or self._memory is not None or bool(options.metrics)
        self.inspects_past = self._always and not (
            options.callbacks or options.metrics or options.frames or (rule is not None and callable(rule.monitor))
        )

    @property
    def best_epoch(self) -> int | None:
        return None if self._patience is None else self._patience.best_epoch

    @property
    def seconds(self) -> float:
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

    def _numbers(self, epoch: int) -> dict[str, float]:
        """Return the numbers of an epoch, counted from 1, as far as there are any."""
        return {name: values[epoch - 1].item() for name, values in self._run.record.items()}

    def set_rate(self, epoch: int, rate: float) -> None:
        """Make a rate that of all epochs after this one."""
        if self._options.optimizer.searches_step:
            raise ValueError("learning_rate: got one with an optimizer that searches the length of its steps itself")
        self._run.set_rate(epoch, rate)
        if self._memory is not None:
            self._memory.rate = rate

    def report(self, epoch: int, force: bool) -> None:
        now = perf_counter()
        if self._options.progress is None or not (force or now - self._reported >= SLICE_SECONDS):
            return
        self._reported = now
        numbers = self._numbers(epoch) if epoch else dict.fromkeys(self._options.measured, math.nan)
        shown = map(numbers.get, ("loss", "accuracy", "val_loss", "val_accuracy"))
        self._options.progress(Progress(epoch, self._options.epochs, *shown))

    def inspect(self, epoch: int) -> None:
        """Measure what is to be measured at the end of an epoch, follow with the rate, call callbacks, then decide."""
        state = self._state(epoch, self._measure(epoch) if self._options.metrics else {})
        if self._memory is not None:
            self._follow(epoch, state.numbers().get(self._options.learning_rate.monitor, math.nan))
        for callback in self._options.callbacks:
            if next_call(callback, epoch - 1, self._options.epochs) == epoch:
                answer = callback(state)
                if isinstance(answer, (bool, np.bool_)) and answer and not self.stopped:
                    self.stopped = f"{getattr(callback, '__name__', type(callback).__name__)} returned True"
        if self._patience is not None:
            self._decide(state)

    def _measure(self, epoch: int) -> dict[str, float]:
        found, model = {}, self._run.model
        for prefix, samples in (("", self._run.samples), ("val_", self._run.validation)):
            chosen = [metric for metric in self._options.metrics if f"{prefix}{metric.name}" in self._rising]
            outputs = model.outputs(samples.x) if chosen else None
            # Of a network that diverges, outputs are of no use.
            usable = outputs is not None and bool(np.isfinite(outputs).all())
            for metric in chosen:
                value = measured(metric, samples.y, outputs, samples.metric_weights, model.task) if usable else math.nan
                found[f"{prefix}{metric.name}"] = value
        for name, value in found.items():
            self._run.metrics[name][epoch - 1] = value
        return found

    def _state(self, epoch: int, measures: dict[str, float]) -> EpochState:
        return EpochState(
            epoch,
            self._options.epochs,
            self._numbers(epoch),
            measures,
            network=self._network,
            seconds=self.seconds,
            set_rate=self.set_rate,
            rises=self.rises,
        )

    def _follow(self, epoch: int, value: float) -> bool:
        """Let a schedule inspect an epoch's number, and set the rate that it asks for; return whether it is another."""
        before, schedule = self._memory.rate, self._options.learning_rate
        self._has_followed |= math.isfinite(value)
        schedule.look(self._memory, -value if self.rises(schedule.monitor) else value)
        if self._memory.rate != before:
            self.set_rate(epoch, self._memory.rate)
        if self._memory.ended and not self.stopped:
            self.stopped = schedule.ending(self._memory)
        return self._memory.rate != before

    def catch_up(self, epoch: int) -> None:
        """Decide on an epoch that is over and whose inspection was interrupted, once its metrics were measured."""
        if self._patience is not None and epoch > self.decided:
            self._decide(self._state(epoch, {name: values[epoch - 1] for name, values in self._run.metrics.items()}))

    def _decide(self, state: EpochState) -> None:
        """Judge what is monitored, and keep the weights if it is the best; done twice, it comes to the same."""
        monitor = self._patience.rule.monitor
        if callable(monitor):
            given = as_float(monitor(state), "early_stopping: monitor")
        else:
            given = state.metrics.get(monitor, getattr(state, monitor, math.nan))
        self._judge(state.epoch, given)
        if self.wants_best and self.best_epoch == state.epoch:
            self.keep_best()
        self.decided = state.epoch

    def _judge(self, epoch: int, value: float) -> None:
        """Stop if the rule says so of an epoch's number."""
        self._patience.inspect(epoch, value)
        rule = self._patience.rule
        if not self.stopped:
            self.stopped = self._patience.stopped
            if not self.stopped and rule.max_time is not None and self.seconds >= rule.max_time:
                self.stopped = f"{rule.max_time:g} seconds have passed"

    def inspect_past(self, first: int, last: int) -> int | None:
        """Inspect epochs first ... last, counted from 1: what is monitored, and the rate that follows.

        Returns the first of them after which the training run would have stopped or gone on at another rate; None if
        it would have gone on as it did.
        """
        record, past = self._run.record, slice(first - 1, last)
        nothing = [0.0] * (last - first + 1)
        monitored = nothing if self._patience is None else record[self._patience.rule.monitor][past].tolist()
        followed = nothing if self._memory is None else record[self._options.learning_rate.monitor][past].tolist()
        for epoch, value, loss in zip(range(first, last + 1), monitored, followed, strict=True):
            changed = self._memory is not None and self._follow(epoch, loss)
            if self._patience is not None:
                self._judge(epoch, value)
            self.decided = epoch
            if self.stopped or changed:
                return epoch
        return None

    def keep_best(self) -> None:
        """Keep the weights of the best epoch, unless the last of its steps has left some that are not finite."""
        params = self._run.model.params
        if all_finite(params):
            if self._best_parameters is None:
                self._best_parameters = np.empty_like(params)
            np.copyto(self._best_parameters, params)
            self._kept_epoch = self.best_epoch

    def nothing_best(self) -> str:
        """Return one line on a monitored number that no epoch has, so that none is the best; empty if there is none.

        The best of an earlier training run is one, too.
        """
        if self._options.best_so_far is not None:
            return ""
        if self._patience is not None and self.decided and self.best_epoch is None:
            monitored = f"early_stopping: {self._patience.rule.title}"
        elif self._memory is not None and not self._has_followed:
            monitored = f"learning_rate: {self._options.learning_rate.monitor}"
        else:
            return ""
        return (
            f"{monitored} was not a finite number in any epoch, so that none is the best; the last weights stay; "
            "monitor another number, or make sure that it can be computed"
        )

    def restore_best(self, usable_epochs: float) -> bool:
        """Go back to the best weights, if that was asked for; return whether there were any.

        Weights of a later epoch than `usable_epochs` are those that an explosion began with.
        """
        found = self._kept_epoch is not None and self._kept_epoch <= usable_epochs
        if self.wants_best:
            self._patience.best_epoch = self._kept_epoch if found else None
        if found:
            self._run.model.params[:] = self._best_parameters
        return found
