"""The steps of every optimizer that the kernels take themselves: kernel calls, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np

from fastmlp._training.clock import SLICE_SECONDS, Clock
from fastmlp._training.divergence import Divergence
from fastmlp._training.run import TrainingRun
from fastmlp._training.snapshots import Keeper, Moment, all_finite
from fastmlp._training.watch import Watch

# Of a call whose epochs are inspected after it, at least; an inspection takes some 15 microseconds.
_PAST_SECONDS = 0.0005
_PAST_FRACTION = 0.04  # of the time so far, that may have to be run again because a call went too far
_COPIES = 50  # times as long as keeping a moment to go back to


class KernelSteps:
    """Runs kernel calls until the last epoch or until the watch says stop.

    Attributes
    ----------
    epoch : int
        Epochs that are over.
    seconds : ndarray of float64, shape (epochs,)
        The wall-clock time of each.
    frames : list of (int, ndarray)
        The copies of the parameters that were asked for.
    """

    def __init__(self, run: TrainingRun, watch: Watch) -> None:
        self._run, self._watch, self._clock = run, watch, Clock(run)
        self._keeper = Keeper(run.model.params, run.state.slots, run.state.position)
        self.frames: list[tuple[int, np.ndarray]] = []
        given = run.given
        # The epochs are inspected after the calls, which need not end with an epoch.
        self._past = watch.inspects_past and self._keeper.replays and (given is None or given.ahead)
        self._changeable = self._past or bool(run.options.callbacks) or given is not None
        self._before_best: Moment | None = None  # not long before the best epoch, whose weights are not kept yet

    @property
    def epoch(self) -> int:
        """Epochs that are over."""
        return self._clock.epoch

    @property
    def seconds(self) -> np.ndarray:
        """The wall-clock time of each epoch."""
        return self._clock.seconds

    def advance(self, inspect: Callable[[int], None]) -> None:
        """Call the kernels until the end; `inspect` is called at the end of every epoch that has to be inspected."""
        clock, watch = self._clock, self._watch
        self._keep_frame()
        stop_at = None if self._past else watch.next_inspection(clock.epoch)
        while not clock.done and not watch.stopped and self._keeper.keep(at_once=self._changeable):
            if self._past:
                min_seconds = max(_PAST_SECONDS, _COPIES * self._keeper.copy_seconds)
                clock.slice_seconds = min(SLICE_SECONDS, max(min_seconds, _PAST_FRACTION * watch.seconds))
            begun = clock.epoch
            self._call(clock.next_steps(stop_at))
            if self._past:
                self._inspect_call(begun)
            elif clock.epoch == stop_at and clock.batch == 0 and not clock.diverged:
                inspect(clock.epoch)
                stop_at = watch.next_inspection(clock.epoch)
            often = self._past or stop_at is not None
            watch.report(clock.epoch, not often or clock.done or bool(watch.stopped))

    def _call(self, steps: int) -> None:
        """Make one call, and note its time."""
        started = perf_counter()
        self._run.run(steps)
        self._clock.passed(perf_counter() - started)
        self._keep_frame()

    def _keep_frame(self) -> None:
        """Copy the parameters if a frame was asked for here."""
        if self._clock.batch == 0 and self._clock.epoch in self._clock.stops:
            self.frames.append((self._clock.epoch, self._run.model.params.copy()))

    def _inspect_call(self, begun: int) -> None:
        """Inspect the epochs of the last call, and keep the best weights, or what it takes to find them again."""
        clock, watch = self._clock, self._watch
        self._inspect_past(begun)
        if not watch.wants_best:
            return
        if watch.best_epoch == clock.epoch and clock.batch == 0:
            watch.keep_best()
            self._before_best = None
        elif (watch.best_epoch or 0) > begun:
            self._before_best = self._keeper.latest(self._before_best)
            if self._run.given is not None:
                self._run.given.pin()

    def _inspect_past(self, begun: int) -> None:
        """Inspect the epochs of the last call, and go back to the one that would have changed the course."""
        clock = self._clock
        over = clock.epoch - clock.diverged
        changed = self._watch.inspect_past(begun + 1, over) if over > begun else None
        if changed is None or (changed == clock.epoch and clock.batch == 0):
            return
        self._go_to(self._keeper.latest(), changed)
        clock.went_back()

    def _go_to(self, moment: Moment, epoch: int) -> None:
        """Go back to a moment, and run from there to the end of an epoch."""
        self._keeper.go_to(moment)
        self._clock.read()
        self._run.run_again(epoch * self._run.batches - self._clock.steps)

    def catch_up(self) -> None:
        """Inspect the epochs that came to their end before an exception, and find the best weights."""
        self._clock.read()
        if self._run.abandoned:
            return
        if self._past:
            self._inspect_call(self._watch.decided)
        elif self._clock.batch == 0:
            self._watch.catch_up(self._clock.epoch)
        self.find_best()

    def find_best(self) -> None:
        """Run again from before the best epoch to its end, keep its weights, and come back, if they are not kept."""
        if self._before_best is None:
            return
        last = self._keeper.now()
        self._go_to(self._before_best, self._watch.best_epoch)
        self._watch.keep_best()
        self._before_best = None
        self._keeper.go_to(last)
        self._clock.read()

    def rollback(self) -> Divergence | None:
        """Return where the training run stopped being finite, if it did, and bring the last good weights back."""
        run, clock = self._run, self._clock
        if not clock.diverged and all_finite(run.model.params):
            return None
        updates = int(run.position["step"]) - clock.first_step
        # The batch whose loss was not finite; if the last step overflowed, the one that would have come next.
        epoch, batch = divmod(updates, run.batches)
        rows = run.batch_rows(epoch, batch)
        last = run.model.params.copy()
        before = max(updates - 1, 0)
        rate = float(run.rates[before if run.rates_per_epoch > 1 else before // run.batches])
        steps_back = self._keeper.roll_back(run.run_again)
        lost = not self._keeper.replays and steps_back > 0
        return Divergence(run.first_epoch + epoch + 1, batch + 1, last, steps_back, rows, rate, lost)

    def end(self) -> None:
        """Read how far the kernels came: an exception may have come right after a call."""
        self._clock.read()
