"""The steps of every optimizer that the kernels take themselves: kernel calls, one after the other."""

import math
from collections.abc import Callable
from time import perf_counter

import numpy as np

from fastmlp._checks.samples import Samples
from fastmlp._training.divergence import Divergence
from fastmlp._training.run import SLICE_SECONDS, TrainingRun
from fastmlp._training.snapshots import Keeper, Moment
from fastmlp._training.watch import Watch

_FIRST_STEPS = 1  # of the first call: a step may take a second, and Ctrl-C waits for the end of the call
_MAX_GROWTH = 16  # from one call to the next: a short first call may have been the luck of a warm cache
# Of a call whose epochs are inspected after it, at least; an inspection takes some 15 microseconds.
_PAST_SECONDS = 0.0005
_PAST_FRACTION = 0.04  # of the time so far, that may have to be run again because a call went too far
_PROBED_ROWS = 100  # that say whether weights are of use
_EXPLODED_ROWS = 0.1  # of them, the fraction whose losses have to be beyond use
_INEXCUSABLE = 1e6  # times the limit, or the same rows' loss with the first weights: outliers are no excuse
_SLACK = 10  # times a usable loss of a batch, from which that of other rows may differ
_PLAUSIBLE = 100.0  # parameters up to which the last weights of a training run are taken for usable
_COPIES = 50  # times as long as keeping a moment to go back to


class Clock:
    """How far a training run is, in epochs and steps, and how many steps the next call has.

    `epoch` counts the epochs that are over, `batch` the steps of the next one, `steps` all steps of the training run;
    `slice_seconds` is the time that a call is to take, `block` the number of epochs whose orders are known together.
    """

    def __init__(self, run: TrainingRun) -> None:
        self.epochs, self.batches = run.options.epochs, run.batches
        self.stops = sorted(set(run.options.frames))
        self.budget = _FIRST_STEPS
        self.slice_seconds = SLICE_SECONDS
        self.block = 0 if run.given is None else run.given.held
        self.first_step = run.position["step"].item()
        self._run = run
        self.read()

    def read(self) -> None:
        position = self._run.position
        self.epoch = position["epoch"].item() - self._run.first_epoch
        self.batch = position["batch"].item()
        self.diverged = bool(position["diverged"].item())
        self.steps = self.epoch * self.batches + self.batch
        self.done = self.diverged or self.epoch >= self.epochs

    def next_steps(self, stop_at: int | None) -> int:
        """Return the steps of the next call: the budget, but not past the next frame, nor past epoch `stop_at`."""
        stop = next((stop for stop in self.stops if stop * self.batches > self.steps), self.epochs)
        if stop_at is not None:
            stop = min(stop, stop_at)
        if self.block:
            stop = min(stop, (self.epoch // self.block + 1) * self.block)
        return max(1, min(self.budget, stop * self.batches - self.steps))

    def passed(self, seconds: float) -> None:
        """Divide a call's time over its epochs, and set the next call's budget."""
        before = self.steps
        self.read()
        after = max(self.steps, before + 1)
        steps = after - before
        first, end = before // self.batches, min(-(-after // self.batches), self.epochs)
        per_step, of_epochs = seconds / steps, self._run.seconds
        if end - first == 1:
            of_epochs[first] += seconds
        else:
            of_epochs[first] += per_step * ((first + 1) * self.batches - before)
            of_epochs[first + 1 : end - 1] += per_step * self.batches
            of_epochs[end - 1] += per_step * (after - (end - 1) * self.batches)
        wanted = int(steps * self.slice_seconds / max(seconds, 1e-9))
        self.budget = max(1, min(wanted, _MAX_GROWTH * max(self.budget, steps)))


class KernelSteps(Clock):
    """Runs kernel calls until the last epoch or until the watch says stop.

    `frames` are the copies of the parameters that were asked for, each with its number of epochs.
    """

    def __init__(self, run: TrainingRun, watch: Watch) -> None:
        super().__init__(run)
        self._watch = watch
        self._keeper = Keeper(run.model.params, run.state.slots, run.position)
        self.frames: list[tuple[int, np.ndarray]] = []
        given = run.given
        # The epochs are inspected after the calls, which need not end with an epoch.
        self._past = watch.inspects_past and self._keeper.replays and (given is None or given.ahead)
        self._changeable = self._past or bool(run.options.callbacks) or given is not None
        self._before_best: Moment | None = None  # not long before the best epoch, whose weights are not kept yet
        self._begun = self.epoch  # when the last call began
        self._loss: float | None = None  # that has grown beyond use
        self._limit = 0.0  # what losses were compared with when one was questioned first
        self._last: Moment | None = None  # the end of the training run, while the best epoch is gone back to

    def advance(self, inspect: Callable[[int], None]) -> None:
        """Call the kernels until the end; `inspect` is called at the end of every epoch that has to be inspected."""
        watch = self._watch
        self._keep_frame()
        stop_at = None if self._past else watch.next_inspection(self.epoch)
        while not self.done and not watch.stopped and self._keeper.keep(at_once=self._changeable):
            if self._past:
                min_seconds = max(_PAST_SECONDS, _COPIES * self._keeper.copy_seconds)
                self.slice_seconds = min(SLICE_SECONDS, max(min_seconds, _PAST_FRACTION * watch.seconds))
            self._begun, steps = self.epoch, self.next_steps(stop_at)
            started = perf_counter()
            self._run.run(steps)
            self.passed(perf_counter() - started)
            if self._run.position["questioned"].item():
                self._answer()
            self._keep_frame()
            if self._past:
                self._inspect_call()
            elif self.epoch == stop_at and self.batch == 0 and not self.diverged:
                inspect(self.epoch)
                stop_at = watch.next_inspection(self.epoch)
            often = self._past or stop_at is not None
            watch.report(self.epoch, not often or self.done or bool(watch.stopped))

    def _answer(self) -> None:
        """Decide what a loss far above the first one means: weights that have grown beyond use, or outliers."""
        run, loss = self._run, self._run.position["questioned"].item()
        self._limit = self._limit_of_losses()  # which stays, while losses are questioned from a larger one on
        if loss > self._inexcusable_loss() or self._exploded_loss(self._limit) is not None:
            self._loss, run.position["questioned"] = loss, -1
            run.run(1)  # which is not taken, and ends the epoch and the training run
        else:
            run.position["questioned"], run.position["loss_limit"] = 0, 2 * loss
        self.read()

    def _inexcusable_loss(self) -> float:
        """Return the loss above which even outliers in the next batch do not explain it."""
        run, start = self._run, self._keeper.start
        if start is None:
            return math.inf
        batch = self._equally_weighted(run.batch_rows(self.epoch, self.batch))
        return _INEXCUSABLE * max(self._limit, run.model.evaluate(batch, start[0])[0])

    def _probe(self) -> Samples:
        """Return some of the rows that count, always the same, which say whether weights are of use."""
        samples = self._run.samples
        counted = np.arange(len(samples)) if samples.weights is None else np.flatnonzero(samples.weights)
        return self._equally_weighted(counted[:: -(-len(counted) // _PROBED_ROWS)])

    def _equally_weighted(self, rows: np.ndarray | slice) -> Samples:
        """Return some training rows without their weights."""
        samples = self._run.samples
        return Samples(samples.x[rows], samples.y[rows], None, samples.size)

    def _exploded_loss(self, limit: float) -> float | None:
        """Return the loss of some rows, if more than one, and a tenth, have one above a limit: fewer are outliers."""
        model, probe = self._run.model, self._probe()
        loss, _ = model.evaluate(probe)
        if loss <= limit:
            return None
        each = (Samples(probe.x[i : i + 1], probe.y[i : i + 1], None, probe.total) for i in range(len(probe)))
        above = sum(not model.evaluate(row)[0] <= limit for row in each)
        return loss if above > max(min(1, len(probe) - 1), _EXPLODED_ROWS * len(probe)) else None

    def _keep_frame(self) -> None:
        if self.batch == 0 and self.epoch in self.stops:
            self.frames.append((self.epoch, self._run.model.params.copy()))

    def _inspect_call(self) -> None:
        """Inspect the epochs of the last call, and go back to the one that would have changed the course.

        The best weights are kept, or what it takes to find them again. After an interruption it goes on.
        """
        watch, over = self._watch, self.epoch - self.diverged
        first = max(self._begun, watch.decided)
        changed = watch.inspect_past(first + 1, over) if over > first and not watch.stopped else None
        if watch.stopped:
            changed = watch.decided
        if changed is not None and (changed, 0) != (self.epoch, self.batch):
            self._go_to(self._keeper.latest(), changed)
            self._run.seconds[self.epoch :] = 0
            self.budget = self.batches  # the next call begins small
        if not watch.wants_best:
            return
        if watch.best_epoch == self.epoch and self.batch == 0:
            watch.keep_best()
            self._before_best = None
        elif (watch.best_epoch or 0) > self._begun:
            self._before_best = self._keeper.latest(self._before_best)
            if self._run.given is not None:
                self._run.given.pin()

    def _go_to(self, moment: Moment, epoch: int) -> None:
        """Go back to a moment, and run from there to the end of an epoch."""
        self._keeper.go_to(moment)
        self.read()
        self._run.run_again(epoch * self.batches - self.steps)
        self.read()

    def catch_up(self) -> None:
        """Inspect the epochs that came to their end before an exception, and find the best weights."""
        self.read()
        if self._run.torn:
            return
        if self._past and self._last is None:
            self._inspect_call()
        elif not self._past and self.batch == 0:
            self._watch.catch_up(self.epoch)
        self.find_best()

    def find_best(self) -> None:
        """Run again from before the best epoch to its end, keep its weights, and come back, if they are not kept."""
        if self._before_best is None:
            return
        if self._last is None:  # else an exception came while the best weights were looked for, and this begins again
            self._last = self._keeper.now()
        self._go_to(self._before_best, self._watch.best_epoch)
        self._watch.keep_best()
        self._keeper.go_to(self._last)
        self._before_best = self._last = None
        self.read()

    def rollback(self) -> Divergence | None:
        """Return where the training run diverged, if it did, and bring the last good weights back."""
        run = self._run
        if not self.diverged and not self._ends_beyond_use():
            return None
        updates = run.position["step"].item() - self.first_step
        # The batch whose loss was not finite; if the last step overflowed, the one that would have come next.
        epoch, batch = divmod(updates, run.batches)
        rows = run.batch_rows(epoch, batch)
        last = run.model.params.copy()
        before = max(updates - 1, 0)
        rate = float(run.rates.values[before if run.rates.per_epoch > 1 else before // run.batches])
        from_start = not run.options.callbacks and run.given is None
        steps_back = self._keeper.roll_back(run.run_again, self._usable(), from_start)
        return Divergence(
            run.first_epoch + epoch + 1,
            batch + 1,
            last,
            steps_back,
            rows,
            rate,
            updates=updates,
            loss=self._loss,
            usable_epochs=(updates - steps_back) // run.batches,
            state_lost=not self._keeper.replays and steps_back > 0,
        )

    def _limit_of_losses(self) -> float:
        """Return the loss from which on weights are beyond use, which follows from the first one; 0: there is none."""
        return self._limit or self._run.position["loss_limit"].item()

    def _usable(self) -> Callable[[], bool]:
        """Return a function that says whether the present weights may come back after an explosion."""
        limit, settings, probe = self._limit_of_losses(), self._run.settings, self._probe()
        if not limit:
            return lambda: True
        usable = _SLACK * limit * settings["usable_growth"] / settings["loss_growth"]
        if self._keeper.start is not None:  # outliers have a large loss with any weights
            usable = max(usable, _SLACK * self._run.model.evaluate(probe, self._keeper.start[0])[0])
        return lambda: self._run.model.evaluate(probe)[0] <= usable

    def _ends_beyond_use(self) -> bool:
        """Return whether the last step, after which no other one computes a loss, has left weights that are no use."""
        run, limit = self._run, self._limit_of_losses()
        largest = float(max(run.model.params.max(), -run.model.params.min()))  # NaN if there is one
        self._loss = None  # if one had grown beyond use, that step has been gone back from
        if not math.isfinite(largest):
            return True
        stay = not self._watch.wants_best or self._watch.best_epoch in (None, self.epoch)
        if stay and limit and largest > _PLAUSIBLE:
            self._loss = self._exploded_loss(limit)
        return self._loss is not None

    end = Clock.read  # an exception may have come right after a call
