"""The training loop: epochs, slices of time, threads. No arithmetic of a network, no printing.

A call of the kernels runs as many steps as fit into about 50 milliseconds; between calls Python looks after Ctrl-C,
progress, and whatever else looks at a training (`_watch`). How the steps are cut into calls changes no number.

Imports the layout, the history, what looks at a training, and what happens where one diverges; L-BFGS and the network
import it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from types import ModuleType
from typing import Any

import numpy as np

from fastmlp import _layout
from fastmlp._helpers import Helpers
from fastmlp._orders import GivenOrders
from fastmlp._watch import SLICE_SECONDS, EpochState, Progress, Watch, close_all
from fastmlp._windows import SparseRows, Window
from fastmlp.divergence import BEST, Divergence, Keeper, all_finite
from fastmlp.history import History
from fastmlp.metrics import Metric
from fastmlp.schedules import FeedbackSchedule, Memory, RateSchedule
from fastmlp.stopping import EarlyStopping

# Of a call whose epochs are looked at behind it, at least; a look takes some 15 microseconds.
_BACK_SECONDS = 0.0005
_BACK_SHARE = 0.04  # of the time so far, that may have to be run again because a call went too far
_COPIES = 50  # times as long as keeping a moment to go back to
_FIRST_STEPS = 16  # of the first call, before it is known how long a step takes
_MOST_GROWTH = 8  # from one call to the next: a short first call may have been the luck of a warm cache
# Multiply-adds of a step that are worth a thread: two barriers and the cores' talk cost a microsecond or so, and a
# core makes some 20 to 50 of these a nanosecond.
_WORK_PER_THREAD = 500_000
_LOOKED_AT = 64  # rows whose zeros are counted before a training
_WELL_FILLED = 0.7  # the share of other numbers from which on passing over zeros gains nothing
_LEAST_WORK = 50_000_000  # multiply-adds of a whole training that are worth starting threads for


@dataclass
class Samples:
    """Checked rows, their coded targets and their weights, of mean 1; None where there are none."""

    x: np.ndarray | SparseRows | None = None
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
    """What the optimizer remembers from step to step, where the training stands, and since when the rate's schedule.

    `memory` is what a schedule that looks at the epochs remembers of them.
    """

    slots: np.ndarray
    position: np.ndarray = field(default_factory=start_position)
    schedule: RateSchedule | None = None
    schedule_begun: int = 0
    memory: Memory | None = None
    # A schedule before and what it remembers, for one of its class that looks at the same number.
    remembered: tuple[RateSchedule | None, Memory | None] = (None, None)
    lost: bool = False  # after a divergence that it did not come back from
    reset: bool = False  # the next training is to begin with a new one


@dataclass
class Schedule:
    """What a training is to do: how long, in what batches, at what rate, on how many threads, and who looks at it."""

    epochs: int
    batch: int
    shuffle: bool
    seed: int
    learning_rate: RateSchedule
    orders: Callable[[int], Any] | None = None  # gives the order of an epoch of this training; None: of the seed
    n_threads: int | None = None  # as asked for
    most_threads: int = 1  # where none are asked for
    progress: Callable[[Progress], None] | None = None
    frames: Sequence[int] = ()
    early_stopping: EarlyStopping | None = None
    callbacks: Sequence[Callable[[EpochState], object]] = ()
    network: Any = None  # what callbacks are shown
    metrics: Sequence[Metric] = ()
    measure: Callable[[], dict[str, float]] | None = None  # the metrics at the end of an epoch
    metric_names: Mapping[str, bool] = field(default_factory=dict)  # and whether more of each is better
    note_all: bool = False  # whether layers' norms are noted of every epoch, and of the weights after the last


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


class Prepared:
    """A training laid out for the kernels: its arrays, and the threads that call them. Use it as a context.

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

    Attributes
    ----------
    record : ndarray of float64, shape (fields of EPOCH, epochs)
        What the kernels write at the end of each epoch.
    layer_record : ndarray of float64, shape (2 layers, noted epochs)
        The layers' norms: of the gradient, then root mean squares of activations.
    gradient : ndarray, shape (parameters,)
        The last gradient of an epoch.
    helpers : Helpers
        The threads of the calls, a context that `run` is to be called in.
    back : bool
        Whether the epochs are looked at behind the kernels.
    before_best : tuple of ndarray, or None
        Then a moment not long before the best epoch.
    """

    def __init__(
        self, kernels: ModuleType, parameters: np.ndarray, layers: np.ndarray, state: OptimizerState,
        samples: Samples, validation: Samples, schedule: Schedule, settings: dict[str, float],
        loss_parameters: np.ndarray | None = None,
    ) -> None:
        rows, first = len(samples), state.position["epoch"].item()
        self.batches = -(-rows // schedule.batch)
        shuffled = schedule.shuffle and schedule.batch < rows
        self._window = (
            Window(samples.x, samples.y, samples.weights, schedule.batch) if isinstance(samples.x, SparseRows) else None
        )
        read = samples if self._window is None else self._window
        self.given = GivenOrders(schedule.orders, rows, schedule.epochs) if shuffled and schedule.orders else None
        held = 1 if self._window is not None else 0 if self.given is None else self.given.held
        self.rates = _rates(state, schedule, self.batches)
        every, self.noted = _layout.noted_epochs(first, schedule.epochs, self.batches, schedule.note_all)
        self.threads = threads_for(layers, kernels.sizes(), rows, schedule)
        self.plan = _layout.plan(
            layers, kernels.sizes(), batch=schedule.batch, rows=rows, validation_rows=len(validation),
            threads=self.threads, settled=self._window is None and schedule.batch >= rows,
            shuffle=shuffled or self._window is not None, seed=schedule.seed,
            first_epoch=first, epochs=first + schedule.epochs, rates_per_epoch=len(self.rates) // schedule.epochs,
            dropping=1, skip_inputs=_many_zeros(samples.x), given_orders=held,
            note_first=_layout.FIRST_NOTED, note_every=every, notes=len(self.noted), **settings,
        )
        self.record = np.empty((len(_layout.EPOCH.names), schedule.epochs))
        self.record[_layout.EPOCH.names.index("learning_rate")] = self.rates[:: len(self.rates) // schedule.epochs]
        self.layer_record = np.empty((2 * len(layers), len(self.noted)))
        self.gradient = np.zeros(len(parameters), parameters.dtype)
        self.parameters, self.state, self._kernels = parameters, state, kernels
        # The kernels' own, made of the seed when an epoch begins.
        self._shuffled = np.empty(rows, np.int32) if shuffled and self.given is None else None
        self._seed, self._first = schedule.seed, first
        order = self._shuffled if self.given is None else self.given.array
        helpers = self.threads - 1
        control = np.zeros(_layout.CONTROL_WORDS + helpers * _layout.HELPER_WORDS, np.int64)
        self.back = False
        self.before_best: tuple[np.ndarray, ...] | None = None
        arguments = (
            parameters, state.slots, self.gradient, np.zeros(self.plan.tallies),
            aligned_zeros(self.plan.workspace, parameters.dtype), self.record, self.layer_record, self.rates,
            state.position, control, order if self._window is None else self._window.order,
            self.plan.layers, self.plan.slabs, self.plan.settings, loss_parameters, read.x, read.y, read.weights,
            validation.x, validation.y, validation.weights,
        )
        self.helpers = Helpers(kernels, arguments, control, helpers)
        state.position["noted"] = 0

    def run(self, steps: int) -> None:
        """Run so many steps, at most, from where the position stands, on all threads.

        That is one call of the kernels, but where orders are given or rows are looked at through a window: then a call
        ends where these do.
        """
        now = self.state.position[0]
        while steps > 0 and not now["diverged"] and now["epoch"] < self.plan.settings["epochs"][0]:
            part = steps
            if self.given is not None:
                end = self.given.take(int(now["epoch"]) - self._first)
                part = min(part, (end + self._first - int(now["epoch"])) * self.batches - int(now["batch"]))
            if self._window is not None:
                part = min(part, self._window.fill(int(now["epoch"]), int(now["batch"]), self._order))
            self.helpers.call(part)
            steps -= part

    def run_again(self, steps: int) -> None:
        """Train on from a position that was gone back to: within an epoch its order has to be there again."""
        epoch, batch = self.state.position[["epoch", "batch"]][0]
        if self._shuffled is not None and batch > 0:
            self._order(int(epoch))
        self.run(steps)

    def _order(self, epoch: int) -> np.ndarray | None:
        """Give the order of an epoch; None: the rows as they come."""
        if self.given is not None:
            return self.given.of(epoch - self._first)
        if self._shuffled is not None:
            self._kernels.shuffle(self._shuffled, self._seed, epoch, len(self._shuffled))
        return self._shuffled

    def batch_rows(self, epoch: int, batch: int, size: int) -> np.ndarray | slice:
        """Name the rows of a batch of the epoch that was run last, both counted from 0 in this training."""
        part, order = slice(batch * size, (batch + 1) * size), self._shuffled
        if self.given is not None:
            if not self.given.has(epoch):  # the last step of a block has overflowed, and nobody asked for the next one
                return slice(None)
            order = self.given.of(epoch)
        return part if order is None else order[part].copy()

    def history(self, epochs: int, seconds: np.ndarray, watch: Watch, **further: Any) -> History:
        """Make a history of what the kernels wrote down: its rows themselves, which are long where epochs are short."""
        settings, noted = self.plan.settings, int(self.state.position["noted"][0])
        fields: dict[str, np.ndarray | None] = dict(zip(_layout.EPOCH.names, self.record[:, :epochs], strict=True))
        if not settings["metric"][0]:
            fields["accuracy"] = fields["val_accuracy"] = None
        if not settings["validation_rows"][0]:
            fields["val_loss"] = fields["val_accuracy"] = None
        layers = len(self.plan.layers)
        gradients, activations = self.layer_record[:layers, :noted].T, self.layer_record[layers:, :noted].T
        return History(
            **fields, seconds=seconds, stopped=watch.stopped, best_epoch=watch.best_epoch,
            metrics={name: values[:epochs] for name, values in watch.metrics.items()},
            layer_epochs=self.noted[:noted], layer_gradient_norms=gradients, layer_activations=activations, **further,
        )


def train(
    kernels: ModuleType, parameters: np.ndarray, layers: np.ndarray, state: OptimizerState, samples: Samples,
    validation: Samples, schedule: Schedule, settings: dict[str, float], loss_parameters: np.ndarray | None = None,
    *, histories: list[History],
) -> Divergence | None:
    """Train in place.

    Parameters
    ----------
    kernels, parameters, layers, state, samples, validation, schedule, settings, loss_parameters
        As `Prepared` takes them.
    histories : list of History
        What happened is appended, one entry an epoch: also where an exception ends the training.

    Returns
    -------
    Divergence or None
        Where the training stopped being finite, if it did.
    """
    prepared = Prepared(
        kernels, parameters, layers, state, samples, validation, schedule, settings, loss_parameters
    )
    clock = _Clock(schedule, state.position, prepared.batches)
    watch = Watch(
        prepared.record, prepared.rates, parameters, prepared.plan.settings,
        state.memory if isinstance(schedule.learning_rate, FeedbackSchedule) else None, schedule,
    )  # fmt: skip
    keeper, frames = Keeper(parameters, state.slots, state.position), []
    try:
        with prepared.helpers:
            try:
                _run(prepared, clock, schedule, watch, keeper, frames)
                divergence = _divergence(prepared, clock, schedule, keeper)
                _find_best(prepared, clock, keeper, watch)
            except KeyboardInterrupt:
                _after_interruption(prepared, clock, keeper, watch)
                raise
        if divergence is not None:
            watch.stopped = "the loss stopped being finite"
        elif clock.epoch >= schedule.epochs:
            watch.stopped = ""  # it came to its last epoch
    finally:
        close_all((*schedule.callbacks, schedule.progress))
        clock.read()  # an interruption may have come behind a call
        histories.append(prepared.history(clock.epoch, clock.seconds[: clock.epoch], watch, frames=frames))
    if watch.restore_best() and divergence is not None:
        divergence.steps_back = BEST
    return divergence


def _divergence(
    prepared: Prepared, clock: _Clock, schedule: Schedule, keeper: Keeper
) -> Divergence | None:
    """Say where the training stopped being finite, if it did, and bring the last good weights back."""
    position = prepared.state.position
    if not clock.diverged and all_finite(prepared.parameters):
        return None
    updates = int(position["step"][0]) - clock.first_step
    # The batch whose loss was not finite; where the last step overflowed, the one that would have come next.
    epoch, batch = divmod(updates, prepared.batches)
    rows = prepared.batch_rows(epoch, batch, schedule.batch)
    last = prepared.parameters.copy()
    each = len(prepared.rates) // schedule.epochs
    before = max(updates - 1, 0)
    rate = float(prepared.rates[before if each > 1 else before // prepared.batches])
    steps_back = keeper.restore(prepared.run_again)
    first = int(prepared.plan.settings["first_epoch"][0])
    lost = not keeper.replays and steps_back > 0
    return Divergence(first + epoch + 1, batch + 1, last, steps_back, rows, rate, lost)


def _rates(state: OptimizerState, schedule: Schedule, batches: int) -> np.ndarray:
    """List the learning rates, one an epoch or one a step; an equal schedule goes on from where it stood."""
    epoch = state.position["epoch"].item()
    chosen = schedule.learning_rate
    if chosen != state.schedule:
        before, memory = state.remembered
        state.schedule, state.schedule_begun, state.memory = chosen, epoch, None
        if isinstance(chosen, FeedbackSchedule):
            goes_on = type(before) is type(chosen) and before.monitor == chosen.monitor and memory is not None
            state.memory = replace(memory, rate=chosen.rate) if goes_on else Memory(chosen.rate)
    state.remembered = (None, None)
    rates = chosen.rates(epoch - state.schedule_begun, schedule.epochs, batches)
    if state.memory is not None:
        state.memory.ended = False
        rates[:] = state.memory.rate
    return rates


def _many_zeros(x: np.ndarray | SparseRows) -> bool:
    """Tell whether so many features are zero that it pays to pass over them; some rows stand for all."""
    rows = x[:: max(1, len(x) // _LOOKED_AT)][:_LOOKED_AT]
    return bool(np.count_nonzero(rows) < _WELL_FILLED * rows.size)


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
    prepared: Prepared, clock: _Clock, schedule: Schedule, watch: Watch, keeper: Keeper,
    frames: list[tuple[int, np.ndarray]],
) -> None:
    """Call the kernels until the last epoch; the frames that were asked for are appended."""
    if 0 in schedule.frames:
        frames.append((0, prepared.parameters.copy()))
    given = prepared.given
    clock.block = 0 if given is None else given.held
    back = prepared.back = watch.looks_back and keeper.replays and (given is None or given.ahead)
    look = None if back else watch.next_look(clock.epoch)
    while not clock.done and not watch.stopped:
        if not keeper.keep(at_once=back or bool(schedule.callbacks) or given is not None):
            break
        if back:
            least = max(_BACK_SECONDS, _COPIES * keeper.copy_seconds)
            clock.slice_seconds = min(SLICE_SECONDS, max(least, _BACK_SHARE * watch.seconds))
        begun = clock.epoch
        steps = clock.next_steps(look)
        started = perf_counter()
        prepared.run(steps)
        clock.passed(perf_counter() - started)
        if clock.batch == 0 and clock.epoch in clock.stops and clock.epoch > 0:
            frames.append((clock.epoch, prepared.parameters.copy()))
        if back:
            _look_at_call(prepared, clock, watch, keeper, begun)
        elif clock.epoch == look and clock.batch == 0 and not clock.diverged:
            watch.look(clock.epoch)
            look = watch.next_look(clock.epoch)
        if schedule.progress is not None and (watch.is_due(back or look is not None) or clock.done or watch.stopped):
            watch.report(clock.epoch)


def _look_at_call(prepared: Prepared, clock: _Clock, watch: Watch, keeper: Keeper, begun: int) -> None:
    """Look at the epochs of the last call, and keep the best weights, or what it takes to find them again."""
    _look_back(prepared, clock, watch, keeper, begun)
    if watch.wants_best and watch.best_epoch == clock.epoch and clock.batch == 0:
        watch.keep_best()
        prepared.before_best = None
    elif watch.wants_best and (watch.best_epoch or 0) > begun:
        prepared.before_best = keeper.latest(prepared.before_best)
        if prepared.given is not None:
            prepared.given.pin()


def _look_back(prepared: Prepared, clock: _Clock, watch: Watch, keeper: Keeper, begun: int) -> None:
    """Look at the epochs of the last call, and go back to the one that would have changed the course."""
    over = clock.epoch - clock.diverged
    changed = watch.look_back(begun + 1, over) if over > begun else None
    if changed is None or (changed == clock.epoch and clock.batch == 0):
        return
    keeper.go_to(keeper.latest())
    prepared.run_again(changed * prepared.batches - clock.steps_at(prepared.state.position))
    clock.went_back()


def _after_interruption(prepared: Prepared, clock: _Clock, keeper: Keeper, watch: Watch) -> None:
    """Look at the epochs that came to their end, and go back to the best, where early stopping is to do so."""
    clock.read()
    if prepared.helpers.abandoned:
        return
    if prepared.back:
        _look_at_call(prepared, clock, watch, keeper, watch.decided)
    elif clock.batch == 0:
        watch.catch_up(clock.epoch)
    _find_best(prepared, clock, keeper, watch)
    watch.restore_best()


def _find_best(prepared: Prepared, clock: _Clock, keeper: Keeper, watch: Watch) -> None:
    """Run again from before the best epoch to its end, keep its weights, and come back, if they are not kept yet."""
    if prepared.before_best is None:
        return
    last = keeper.now()
    keeper.go_to(prepared.before_best)
    prepared.run_again(watch.best_epoch * prepared.batches - clock.steps_at(prepared.state.position))
    watch.keep_best()
    prepared.before_best = None
    keeper.go_to(last)


class _Clock:
    """Cuts a training into calls of about SLICE_SECONDS, and shares the time out over the epochs."""

    def __init__(self, schedule: Schedule, position: np.ndarray, batches: int) -> None:
        self.epochs, self.batches = schedule.epochs, batches
        self.stops = sorted(set(schedule.frames))
        self.seconds = np.zeros(schedule.epochs)
        self.budget = _FIRST_STEPS
        self.slice_seconds = SLICE_SECONDS
        self.block = 0  # epochs whose orders are known together, where these are given
        self.first_step = position["step"].item()
        self._position, self._first = position, position["epoch"].item()
        self.read()

    def read(self) -> None:
        """Read how far the kernels have come: whole epochs, batches of the next one, steps in all."""
        epoch, self.batch, _, diverged = self._position.item()[:4]
        self.epoch = epoch - self._first
        self.steps = self.epoch * self.batches + self.batch
        self.diverged = bool(diverged)
        self.done = self.diverged or self.epoch >= self.epochs

    def steps_at(self, position: np.ndarray) -> int:
        """Count the steps of this training behind a position."""
        epoch, batch = position.item()[:2]
        return (epoch - self._first) * self.batches + batch

    def went_back(self) -> None:
        """Read the position again: the kernels have run further than they were to. The next call begins small."""
        self.read()
        self.seconds[self.epoch :] = 0
        self.budget = self.batches

    def next_steps(self, look: int | None) -> int:
        """Give the next call its steps: the budget, but not past the next frame, nor past the next look."""
        stop = next((stop for stop in self.stops if stop * self.batches > self.steps), self.epochs)
        if look is not None:
            stop = min(stop, look)
        if self.block:
            stop = min(stop, (self.epoch // self.block + 1) * self.block)
        return max(1, min(self.budget, stop * self.batches - self.steps))

    def passed(self, seconds: float) -> None:
        """Share a call's time out over its epochs, and set the next one's budget."""
        before = self.steps
        self.read()
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
        wanted = int(steps * self.slice_seconds / max(seconds, 1e-9))
        self.budget = max(1, min(wanted, _MOST_GROWTH * max(self.budget, steps)))
