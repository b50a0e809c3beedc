"""The training loop: epochs, slices of time, threads, progress. No arithmetic of a network, no printing.

A call of the kernels runs as many steps as fit into about 50 milliseconds; between calls Python looks after Ctrl-C
and progress. How the steps are cut into calls changes no number.

Imports the layout and the history; the network imports it.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from time import perf_counter
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp import _layout
from fastmlp._scalars import number
from fastmlp.history import History
from fastmlp.schedules import RateSchedule
from fastmlp.stopping import EarlyStopping

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

SLICE_SECONDS = 0.05
_FIRST_STEPS = 16  # of the first call, before it is known how long a step takes
_MOST_GROWTH = 8  # from one call to the next: a short first call may have been the luck of a warm cache
# Multiply-adds of a step that are worth a thread: two barriers and the cores' talk cost a microsecond or so, and a
# core makes some 20 to 50 of these a nanosecond.
_WORK_PER_THREAD = 500_000
_LEAST_WORK = 50_000_000  # multiply-adds of a whole training that are worth starting threads for


class DivergenceWarning(RuntimeWarning):
    """The loss stopped being finite, and training was stopped there; or the last step overflowed."""


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


@dataclass
class Samples:
    """Checked rows, their coded targets and their weights, of mean 1; None where there are none."""

    x: np.ndarray | None = None
    y: np.ndarray | None = None
    weights: np.ndarray | None = None
    total: float | None = None

    def __len__(self) -> int:
        """Count the rows."""
        return 0 if self.x is None else len(self.x)

    @classmethod
    def weighted(cls, x: np.ndarray | None, y: np.ndarray | None, weights: np.ndarray | None) -> Samples:
        """Take rows with weights of any mean; the sum of these is what N stands for in the objective."""
        if weights is None:
            return cls(x, y)
        total = float(weights.sum())
        return cls(x, y, (weights * (len(weights) / total)).astype(x.dtype), total)

    @property
    def size(self) -> float:
        """N of the objective: the number of rows, or the sum of their weights."""
        return len(self) if self.total is None else self.total


_START = np.zeros(1, _layout.POSITION)
_START["beta1_power"] = _START["beta2_power"] = 1.0


def start_position() -> np.ndarray:
    """Make the position of a training that has not begun, a POSITION record of shape (1,)."""
    return _START.copy()


@dataclass
class OptimizerState:
    """What the optimizer remembers from step to step, where the training stands, and since when the rate's schedule."""

    slots: np.ndarray
    position: np.ndarray = field(default_factory=start_position)
    schedule: RateSchedule | None = None
    schedule_begun: int = 0


@dataclass
class Schedule:
    """What a training is to do: how long, in what batches, at what rate, on how many threads."""

    epochs: int
    batch: int
    shuffle: bool
    seed: int
    learning_rate: RateSchedule
    n_threads: int | None = None  # as asked for
    most_threads: int = 1  # where none are asked for
    progress: Callable[[Progress], None] | None = None
    frames: Sequence[int] = ()
    early_stopping: EarlyStopping | None = None
    callbacks: Sequence[Callable[[EpochState], object]] = ()

    @property
    def watched(self) -> bool:
        """Whether somebody looks at every epoch."""
        return self.early_stopping is not None or bool(self.callbacks)


class EpochState:
    """Where a training stands at the end of an epoch: what callbacks are given.

    Attributes
    ----------
    epoch, epochs : int
        Epochs of this training behind it, and in all.
    loss, accuracy, val_loss, val_accuracy, gradient_norm : float
        The epoch's numbers, as in `History`; NaN where there is none.
    learning_rate : float
        The epoch's rate. What is written into it is the rate from the next step to the training's end.
    seconds : float
        Since the training began.
    params : ndarray, shape (parameters,)
        The parameters themselves, not a copy: read them; what is written into them is trained on.
    """

    def __init__(
        self, epoch: int, epochs: int, numbers: Mapping[str, float], rates: np.ndarray, rate_of_epoch: np.ndarray,
        seconds: float, params: np.ndarray,
    ) -> None:
        self.epoch, self.epochs, self.seconds, self.params = epoch, epochs, seconds, params
        self.loss, self.accuracy = numbers["loss"], numbers["accuracy"]
        self.val_loss, self.val_accuracy = numbers["val_loss"], numbers["val_accuracy"]
        self.gradient_norm = numbers["gradient_norm"]
        self._learning_rate, self._rates, self._rate_of_epoch = numbers["learning_rate"], rates, rate_of_epoch

    @property
    def learning_rate(self) -> float:
        """The epoch's rate; written, the rate of all that is left."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self._learning_rate = number(rate, "learning_rate")
        self._rates[self.epoch * (len(self._rates) // self.epochs) :] = self._learning_rate
        self._rate_of_epoch[self.epoch :] = self._learning_rate


def threads_for(layers: np.ndarray, build: Mapping[str, Any], rows: int, schedule: Schedule) -> int:
    """Decide how many threads a training takes: those asked for, or as many as have work enough."""
    if schedule.n_threads is not None:
        return schedule.n_threads
    weights = 0
    for inputs, outputs, *_ in layers.tolist():
        weights += inputs * outputs
    step = 3 * schedule.batch * weights
    if step * -(-rows // schedule.batch) * schedule.epochs < _LEAST_WORK:
        return 1
    threads = min(schedule.most_threads, step // _WORK_PER_THREAD)
    return min(threads, _layout.most_threads(layers, build, batch=schedule.batch)) if threads > 1 else 1


def train(
    kernels: ModuleType, parameters: np.ndarray, layers: np.ndarray, state: OptimizerState, samples: Samples,
    validation: Samples, schedule: Schedule, settings: dict[str, float], loss_parameters: np.ndarray | None = None,
) -> History:
    """Train in place.

    Parameters
    ----------
    kernels : module
        The backend.
    parameters : ndarray, shape (parameters,)
        The flat parameter vector; changed.
    layers : ndarray of LAYER
        The network's layout.
    state : OptimizerState
        The optimizer's state and the position; changed.
    samples, validation : Samples
        Checked rows and coded targets.
    schedule : Schedule
        What to do.
    settings : dict
        Fields of SETTINGS that come of the loss, the optimizer and the penalties.
    loss_parameters : ndarray of float64, shape (outputs,), or None
        The loss's parameter of each output.

    Returns
    -------
    History
        One entry an epoch.
    """
    rows, first = len(samples), state.position["epoch"].item()
    shuffled = schedule.shuffle and schedule.batch < rows
    rates = _rates(state, schedule, -(-rows // schedule.batch))
    threads = threads_for(layers, kernels.sizes(), rows, schedule)
    plan = _layout.plan(
        layers, kernels.sizes(), batch=schedule.batch, rows=rows, validation_rows=len(validation), threads=threads,
        settled=schedule.batch >= rows, shuffle=shuffled, seed=schedule.seed, first_epoch=first,
        epochs=first + schedule.epochs, rates_per_epoch=len(rates) // schedule.epochs, **settings,
    )
    record = np.empty((len(_layout.EPOCH.names), schedule.epochs))
    rate_of_epoch = record[_layout.EPOCH.names.index("learning_rate")]
    rate_of_epoch[:] = rates[:: len(rates) // schedule.epochs]
    control = np.zeros(_layout.CONTROL_WORDS, np.int64)
    arguments = (
        parameters, state.slots, np.zeros(len(parameters), parameters.dtype), np.zeros(plan.tallies),
        aligned_zeros(plan.workspace, parameters.dtype), record, rates, state.position, control,
        np.empty(rows, np.int32) if shuffled else None, plan.layers, plan.slabs, plan.settings,
        loss_parameters, samples.x, samples.y, samples.weights, validation.x, validation.y, validation.weights,
    )
    clock = _Clock(schedule, state.position, -(-rows // schedule.batch))
    with _pool(threads - 1) as workers:
        watch = _Watch(schedule, record, rates, parameters, plan.settings)
        frames = _run(kernels, arguments, clock, schedule, workers, threads - 1, watch)
    return _history(record, clock, frames, plan.settings, watch)


def _rates(state: OptimizerState, schedule: Schedule, batches: int) -> np.ndarray:
    """List the learning rates, one an epoch or one a step; an equal schedule goes on from where it stood."""
    epoch = state.position["epoch"].item()
    if schedule.learning_rate != state.schedule:
        state.schedule, state.schedule_begun = schedule.learning_rate, epoch
    return schedule.learning_rate.rates(epoch - state.schedule_begun, schedule.epochs, batches)


def _pool(helpers: int) -> AbstractContextManager[ThreadPoolExecutor | None]:
    """Make the threads beside this one; they end with the context."""
    if not helpers:
        return nullcontext()
    # Imported here: it would be a tenth of what importing fastmlp takes, and a small training needs none.
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(helpers, "fastmlp")


def aligned_zeros(size: int, dtype: np.dtype) -> np.ndarray:
    """Zeros that begin on a cache line, so that no vector lies across two."""
    return _aligned(np.zeros(size + 64 // dtype.itemsize, dtype), size)


def aligned_empty(size: int, dtype: np.dtype) -> np.ndarray:
    """Numbers of any value, from a cache line on."""
    return _aligned(np.empty(size + 64 // dtype.itemsize, dtype), size)


def _aligned(array: np.ndarray, size: int) -> np.ndarray:
    """Leave out what lies before a cache line begins, and past `size` numbers."""
    first = -array.ctypes.data % 64 // array.itemsize
    return array[first : first + size]


def _run(
    kernels: ModuleType, arguments: tuple, clock: _Clock, schedule: Schedule, workers: ThreadPoolExecutor | None,
    helpers: int, watch: _Watch,
) -> list[tuple[int, np.ndarray]]:
    """Call the kernels until the last epoch; returns the frames that were asked for."""
    parameters = arguments[0]
    frames = []
    if 0 in schedule.frames:
        frames.append((0, parameters.copy()))
    while not clock.done and not watch.stopped:
        steps = clock.next_steps()
        started = perf_counter()
        _call(kernels, arguments, steps, workers, helpers)
        clock.passed(perf_counter() - started)
        if clock.batch == 0 and clock.epoch in clock.stops and clock.epoch > 0:
            frames.append((clock.epoch, parameters.copy()))
        if schedule.watched and clock.batch == 0 and not clock.diverged:
            watch.look(clock.epoch)
        if schedule.progress is not None and (watch.is_due() or clock.done or watch.stopped):
            watch.report(clock.epoch)
    watch.end()
    return frames


def _call(kernels: ModuleType, arguments: tuple, steps: int, workers: ThreadPoolExecutor | None, helpers: int) -> None:
    """One call of the kernels on all threads."""
    calls = []
    taken = {kernels.current_cpu()} if helpers else set()
    try:
        for thread in range(1, helpers + 1):
            calls.append(workers.submit(_help, kernels, arguments, steps, thread, taken))
        kernels.train(*arguments, steps, 0)
    except BaseException:
        # Helpers wait for this thread at a barrier that it will not reach.
        kernels.abandon(arguments[8])
        raise
    for call in calls:
        call.result()


def _help(kernels: ModuleType, arguments: tuple, steps: int, thread: int, taken: set[int]) -> None:
    """One thread's part of a call, on a CPU that no other thread of the call has taken, if there is one.

    Linux often wakes a thread on the CPU of the one that woke it, and may leave both there for a tenth of a second
    although another CPU idles: they meet too often to look like two that should be parted. So a thread leaves by
    itself; where it then stays is the system's choice again.
    """
    try:
        if -1 not in taken:
            with suppress(OSError):  # a sandbox may forbid it; what is lost is time
                allowed = os.sched_getaffinity(0)
                os.sched_setaffinity(0, allowed - taken or allowed)
                taken.add(kernels.current_cpu())
                os.sched_setaffinity(0, allowed)
        kernels.train(*arguments, steps, thread)
    except BaseException:
        # The others wait for this thread at a barrier that it will not reach.
        kernels.abandon(arguments[8])
        raise


class _Watch:
    """Looks at the epochs as they end: for progress, callbacks and early stopping; says when to stop, and why."""

    def __init__(
        self, schedule: Schedule, record: np.ndarray, rates: np.ndarray, parameters: np.ndarray, settings: np.ndarray,
    ) -> None:
        self.stopped = ""
        self.best_epoch: int | None = None
        self._schedule, self._record, self._rates, self._parameters = schedule, record, rates, parameters
        self._accuracies = bool(settings["metric"][0])
        self._validated = bool(settings["validation_rows"][0])
        self._begun = self._reported = perf_counter()
        self._best = math.inf
        self._best_parameters: np.ndarray | None = None

    def _numbers(self, epoch: int) -> dict[str, float]:
        """Read the numbers of an epoch, counted from 1; NaN where there is none."""
        last = self._record[:, epoch - 1].tolist() if epoch else [math.nan] * len(self._record)
        numbers = dict(zip(_layout.EPOCH.names, last, strict=True))
        for name in numbers:
            if (name.startswith("val_") and not self._validated) or ("accuracy" in name and not self._accuracies):
                numbers[name] = math.nan
        return numbers

    def is_due(self) -> bool:
        """Tell whether it is time for progress: after every call, but where calls are cut short at every epoch."""
        return not self._schedule.watched or perf_counter() - self._reported >= SLICE_SECONDS

    def report(self, epoch: int) -> None:
        """Tell how far the training is."""
        self._reported = perf_counter()
        numbers = self._numbers(epoch)
        accuracy = numbers["val_accuracy" if self._validated else "accuracy"] if self._accuracies else None
        self._schedule.progress(Progress(epoch, self._schedule.epochs, numbers["loss"], accuracy))

    def look(self, epoch: int) -> None:
        """Call the callbacks at the end of an epoch, then decide."""
        state = EpochState(
            epoch, self._schedule.epochs, self._numbers(epoch), self._rates,
            self._record[_layout.EPOCH.names.index("learning_rate")], perf_counter() - self._begun, self._parameters,
        )  # fmt: skip
        for callback in self._schedule.callbacks:
            answer = callback(state)
            if isinstance(answer, (bool, np.bool_)) and answer:
                self.stopped = f"{getattr(callback, '__name__', type(callback).__name__)} returned True"
        if self._schedule.early_stopping is not None:
            self._decide(self._schedule.early_stopping, state)

    def _decide(self, rule: EarlyStopping, state: EpochState) -> None:
        given = rule.monitor(state) if callable(rule.monitor) else getattr(state, rule.monitor)
        value = -given if rule.rises else given
        # The first number is the best one so far, and any is better than NaN.
        first = self.best_epoch is None or (math.isnan(self._best) and not math.isnan(value))
        if first or value < self._best - rule.min_delta:
            self._best, self.best_epoch = value, state.epoch
            if rule.restore_best and self._best_parameters is None:
                self._best_parameters = np.empty_like(self._parameters)
            if rule.restore_best:
                np.copyto(self._best_parameters, self._parameters)
        if rule.goal is not None and value <= (-rule.goal if rule.rises else rule.goal):
            self.stopped = f"{rule.title} reached {given:.6g}"
        elif state.epoch - self.best_epoch >= rule.patience:
            self.stopped = f"{rule.title} has not improved for {rule.patience} epochs"
        elif rule.max_time is not None and state.seconds >= rule.max_time:
            self.stopped = f"{rule.max_time:g} seconds have passed"

    def end(self) -> None:
        """Go back to the best weights, if that was asked for."""
        if self._best_parameters is not None:
            self._parameters[:] = self._best_parameters


class _Clock:
    """Cuts a training into calls of about SLICE_SECONDS, and shares the time out over the epochs."""

    def __init__(self, schedule: Schedule, position: np.ndarray, batches: int) -> None:
        self.epochs, self.batches = schedule.epochs, batches
        self.stops = sorted(set(schedule.frames))
        self.seconds = np.zeros(schedule.epochs)
        self.budget = _FIRST_STEPS
        self.every_epoch = schedule.watched
        self._position, self._first = position, position["epoch"].item()
        self._read()

    def _read(self) -> None:
        """Read how far the kernels have come: whole epochs, batches of the next one, steps in all."""
        epoch, self.batch, _, diverged = self._position.item()[:4]
        self.epoch = epoch - self._first
        self.steps = self.epoch * self.batches + self.batch
        self.diverged = bool(diverged)
        self.done = self.diverged or self.epoch >= self.epochs

    def next_steps(self) -> int:
        """Give the next call its steps: the budget, but not past the next frame."""
        stop = next((stop for stop in self.stops if stop * self.batches > self.steps), self.epochs)
        if self.every_epoch:
            stop = self.epoch + 1
        return max(1, min(self.budget, stop * self.batches - self.steps))

    def passed(self, seconds: float) -> None:
        """Share a call's time out over its epochs, and set the next one's budget."""
        before = self.steps
        self._read()
        after = max(self.steps, before + 1)
        steps = after - before
        first, end = before // self.batches, min(-(-after // self.batches), self.epochs)
        share = seconds / steps
        if end - first == 1:
            self.seconds[first] += seconds
        else:
            self.seconds[first] += share * ((first + 1) * self.batches - before)
            self.seconds[first + 1 : end - 1] += share * self.batches
            self.seconds[end - 1] += share * (after - (end - 1) * self.batches)
        wanted = int(steps * SLICE_SECONDS / max(seconds, 1e-9))
        self.budget = max(1, min(wanted, _MOST_GROWTH * max(self.budget, steps)))


def _history(
    record: np.ndarray, clock: _Clock, frames: list[tuple[int, np.ndarray]], settings: np.ndarray, watch: _Watch
) -> History:
    """Make a history of what the kernels wrote down: its rows themselves, which are long where epochs are short."""
    epochs = clock.epoch
    fields: dict[str, np.ndarray | None] = dict(zip(_layout.EPOCH.names, record[:, :epochs], strict=True))
    if not settings["metric"][0]:
        fields["accuracy"] = fields["val_accuracy"] = None
    if not settings["validation_rows"][0]:
        fields["val_loss"] = fields["val_accuracy"] = None
    return History(
        **fields, seconds=clock.seconds[:epochs], frames=frames, stopped=watch.stopped, best_epoch=watch.best_epoch
    )


def warn_of_divergence(state: OptimizerState, parameters: np.ndarray) -> None:
    """Warn where a training ended in a loss or in parameters that are not finite."""
    diverged, finite = bool(state.position["diverged"][0]), np.isfinite(parameters).all()
    if finite and not diverged:
        return
    epoch = int(state.position["epoch"][0])
    what = []
    if diverged:
        what.append(f"the loss stopped being finite in epoch {epoch}, and training was stopped there, before that step")
    if not finite:
        share = np.mean(~np.isfinite(parameters))
        what.append(f"the step before overflowed: of the parameters {share:.0%} are not finite")
    warnings.warn(
        "; ".join(what) + "; a smaller learning_rate, scaled inputs or a smaller penalty may help",
        DivergenceWarning,
        stacklevel=4,  # the line that called train
    )
