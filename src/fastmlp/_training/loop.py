"""The loop of every training run, and its one ending."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from fastmlp._training.divergence import BEST, Divergence
from fastmlp._training.lbfgs import LBFGSSteps
from fastmlp._training.run import TrainingRun
from fastmlp._training.steps import KernelSteps
from fastmlp._training.watch import Watch
from fastmlp.history import History


class Steps(Protocol):
    """What the loop asks of an optimizer's steps (`KernelSteps` describes them)."""

    epoch: int
    seconds: np.ndarray
    frames: list[tuple[int, np.ndarray]]

    def advance(self, inspect: Callable[[int], None]) -> None:
        """Take steps until the last epoch or until the watch says stop; call `inspect` at the end of epochs."""

    def rollback(self) -> Divergence | None:
        """Return where the loss stopped being finite, if it did, and bring the last good weights back."""

    def catch_up(self) -> None:
        """Inspect the epochs that were over when an exception came."""

    def find_best(self) -> None:
        """See to it that the watch has the weights of the best epoch."""

    def end(self) -> None:
        """Leave position and number of epochs as they are at the end."""


def train(run: TrainingRun, watch: Watch, histories: list[History]) -> Divergence | None:
    """Train in place; return where the training run stopped being finite, if it did.

    However the training run ends, by its last epoch, a rule, Ctrl-C, an exception of a callback or a divergence: the
    epochs that are over are inspected, the best weights come back if early stopping is to bring them, and then the
    history is appended.
    """
    steps: Steps = (LBFGSSteps if run.options.optimizer.searches_step else KernelSteps)(run, watch)
    divergence = None
    try:
        with run:
            try:
                steps.advance(watch.inspect)
                divergence = steps.rollback()
            except BaseException:
                steps.catch_up()
                raise
            steps.find_best()
    finally:
        steps.end()
        if watch.restore_best() and divergence is not None:
            divergence.steps_back = BEST
        if divergence is not None:
            watch.stopped = "the loss stopped being finite"
        elif steps.epoch >= run.options.epochs:
            watch.stopped = ""  # it came to its last epoch
        histories.append(_history(run, watch, steps))
    return divergence


def _history(run: TrainingRun, watch: Watch, steps: Steps) -> History:
    """Return what the kernels wrote down: its rows themselves, which are long if epochs are short."""
    epochs, regression = steps.epoch, run.options.data.task.is_regression
    numbers = {
        name: None
        if (regression and "accuracy" in name) or (name.startswith("val_") and not len(run.validation))
        else values[:epochs]
        for name, values in run.record.items()
    }
    return History(
        **numbers,
        seconds=steps.seconds[:epochs],
        frames=list(steps.frames),
        stopped=watch.stopped,
        best_epoch=watch.best_epoch,
        metrics={name: values[:epochs] for name, values in watch.metrics.items()},
        n_threads=run.n_threads,
        **run.layer_norms(),
    )
