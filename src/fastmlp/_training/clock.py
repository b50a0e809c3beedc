"""Cuts a training run into kernel calls of about a twentieth of a second, and divides the time over the epochs."""

from __future__ import annotations

import numpy as np

from fastmlp._training.run import TrainingRun

SLICE_SECONDS = 0.05
_FIRST_STEPS = 16  # of the first call, before it is known how long a step takes
_MAX_GROWTH = 8  # from one call to the next: a short first call may have been the luck of a warm cache


class Clock:
    """How far a training run is, in epochs and steps, and how many steps the next call has.

    `epoch` counts the epochs that are over, `batch` the steps of the next one, `steps` all steps of the training run.
    `slice_seconds` is the time that a call is to take, `block` the number of epochs whose orders are known together.
    """

    def __init__(self, run: TrainingRun) -> None:
        self.epochs, self.batches = run.options.epochs, run.batches
        self.stops = sorted(set(run.options.frames))
        self.seconds = np.zeros(self.epochs)
        self.budget = _FIRST_STEPS
        self.slice_seconds = SLICE_SECONDS
        self.block = 0 if run.given is None else run.given.held
        self.first_step = int(run.position["step"])
        self._position, self._first = run.state.position, run.first_epoch
        self.read()

    def read(self) -> None:
        """Read how far the kernels have come."""
        self.epoch = self._position["epoch"].item() - self._first
        self.batch = self._position["batch"].item()
        self.diverged = bool(self._position["diverged"].item())
        self.steps = self.epoch * self.batches + self.batch
        self.done = self.diverged or self.epoch >= self.epochs

    def went_back(self) -> None:
        """Read the position again after a rollback; the next call begins small."""
        self.read()
        self.seconds[self.epoch :] = 0
        self.budget = self.batches

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
        per_step = seconds / steps
        if end - first == 1:
            self.seconds[first] += seconds
        else:
            self.seconds[first] += per_step * ((first + 1) * self.batches - before)
            self.seconds[first + 1 : end - 1] += per_step * self.batches
            self.seconds[end - 1] += per_step * (after - (end - 1) * self.batches)
        wanted = int(steps * self.slice_seconds / max(seconds, 1e-9))
        self.budget = max(1, min(wanted, _MAX_GROWTH * max(self.budget, steps)))
