"""L-BFGS: SciPy's, on the training loop's own passes. An iteration is an epoch of one batch that takes no step.

SciPy is imported when a training asks for it. Imports the training loop; the network imports it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from time import perf_counter
from types import ModuleType
from typing import Any

import numpy as np

from fastmlp import _layout
from fastmlp._watch import Watch, close_all
from fastmlp.divergence import BEST, Divergence
from fastmlp.history import History
from fastmlp.optimizers import LBFGS
from fastmlp.training import OptimizerState, Prepared, Samples, Schedule

_PLACES = {name: place for place, name in enumerate(_layout.EPOCH.names)}
_BEFORE = ("loss", "accuracy", "gradient_norm")  # what an epoch tells of the weights that it begins with


class _StopError(Exception):
    """Leaves SciPy's loop: somebody has seen enough, or the loss is not finite."""


def minimizer() -> Callable[..., Any]:
    """Import SciPy's, or say what to install.

    Returns
    -------
    callable
        ``scipy.optimize.minimize``.

    Raises
    ------
    ImportError
        If SciPy is not installed.
    """
    try:
        from scipy.optimize import minimize
    except ImportError as error:
        raise ImportError("optimizer: 'lbfgs' needs SciPy: pip install \"fastmlp[lbfgs]\"") from error
    return minimize


class _Objective:
    """The objective and its gradient as SciPy asks for them, and what the kernels wrote down of each look at it."""

    def __init__(self, prepared: Prepared, parameters: np.ndarray) -> None:
        self._prepared, self._parameters = prepared, parameters
        self._position = prepared.state.position.copy()
        self._at: np.ndarray | None = None
        self.numbers = np.empty(len(_PLACES))
        self.diverged: np.ndarray | None = None
        self.slope = np.empty(len(parameters))
        self.iteration = 0

    def __call__(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Look at the objective: one pass over all rows, forward and back."""
        if self._at is not None and np.array_equal(point, self._at):
            return float(self.numbers[_PLACES["loss"]]), self.slope.copy()
        self._parameters[:] = point
        prepared = self._prepared
        prepared.state.position[:] = self._position
        # The first look is at the weights of iteration 0, every other one at what may become those of the next.
        prepared.state.position["noted"] = self.iteration + (self._at is not None)
        prepared.run(1)
        self.numbers[:] = prepared.record[:, 0]
        if prepared.state.position["diverged"][0]:
            self.diverged = self._parameters.copy()
            raise _StopError
        self.slope[:] = prepared.gradient
        self._at = point.copy()
        return float(self.numbers[_PLACES["loss"]]), self.slope.copy()


def train(
    kernels: ModuleType, parameters: np.ndarray, layers: np.ndarray, state: OptimizerState, samples: Samples,
    validation: Samples, schedule: Schedule, settings: dict[str, float], loss_parameters: np.ndarray | None = None,
    *, histories: list[History], optimizer: LBFGS,
) -> Divergence | None:
    """Train in place.

    Parameters
    ----------
    kernels, parameters, layers, state, samples, validation, schedule, settings, loss_parameters
        As `training.train` takes them.
    histories : list of History
        What happened is appended, one entry an iteration: its loss, accuracy and gradient norm before the step,
        validation after it.
    optimizer : LBFGS
        Its settings.

    Returns
    -------
    Divergence or None
        Where the training stopped being finite, if it did.

    Raises
    ------
    ImportError
        If SciPy is not installed.
    """
    minimize, first = minimizer(), int(state.position["epoch"][0])
    prepared = Prepared(
        kernels, parameters, layers, state, samples, validation, schedule, settings, loss_parameters
    )
    record = prepared.record.copy()
    record[_PLACES["learning_rate"]] = math.nan
    watch = Watch(record, None, parameters, prepared.plan.settings, None, schedule)
    objective = _Objective(prepared, parameters)
    seconds = np.zeros(schedule.epochs)
    run, divergence = _Iterations(objective, record, seconds, watch, schedule, parameters), None
    try:
        with prepared.helpers:
            run.to_the_end(minimize, optimizer)
    finally:
        close_all((*schedule.callbacks, schedule.progress))
        state.position[:] = objective._position
        state.position["epoch"] = first + run.epoch
        state.position["noted"] = run.epoch
        state.position["step"] += run.epoch
        if objective.diverged is not None:
            divergence = Divergence(first + run.epoch + 1, 1, objective.diverged, int(run.epoch > 0), slice(None), 1.0)
            watch.stopped = "the loss stopped being finite"
            record[:, run.epoch] = objective.numbers
            state.position["epoch"] += 1
        prepared.record[:] = record
        epochs = run.epoch + (divergence is not None)
        if epochs == schedule.epochs and divergence is None:
            watch.stopped = ""  # it came to its last epoch
        histories.append(prepared.history(epochs, seconds[:epochs], watch))
    if watch.restore_best() and divergence is not None:
        divergence.steps_back = BEST
    return divergence


class _Iterations:
    """SciPy's iterations as epochs: what is written down at each, and who looks at it."""

    def __init__(
        self, objective: _Objective, record: np.ndarray, seconds: np.ndarray, watch: Watch, schedule: Schedule,
        parameters: np.ndarray,
    ) -> None:
        self.epoch = 0
        self._objective, self._record, self._seconds = objective, record, seconds
        self._watch, self._schedule, self._parameters = watch, schedule, parameters
        self._accepted = parameters.copy()
        self._begun = perf_counter()

    def to_the_end(self, minimize: Callable[..., Any], optimizer: LBFGS) -> None:
        """Minimise, and leave the last accepted weights."""
        begin = self._parameters.astype(np.float64)
        options = {
            "maxcor": optimizer.memory, "gtol": optimizer.gradient_tolerance, "ftol": optimizer.loss_tolerance,
            "maxls": optimizer.trials, "maxiter": self._schedule.epochs, "maxfun": optimizer.most_looks,
        }  # fmt: skip
        try:
            self._objective(begin)
            self._begin_epoch()
            found = minimize(self._objective, begin, jac=True, method="L-BFGS-B", callback=self._end, options=options)
        except _StopError:
            return
        finally:
            self._parameters[:] = self._accepted
        if self.epoch < self._schedule.epochs:
            self._watch.stopped = f"L-BFGS ended: {str(found.message).strip().lower()}"

    def _begin_epoch(self) -> None:
        """Write down what is known of the weights that an iteration begins with."""
        if self.epoch < self._schedule.epochs:
            for name in _BEFORE:
                self._record[_PLACES[name], self.epoch] = self._objective.numbers[_PLACES[name]]

    def _end(self, point: np.ndarray) -> None:
        """Take note of an accepted step: SciPy calls it."""
        self._objective(point)  # mostly the last look, which costs nothing again
        self._objective.iteration += 1
        self._accepted[:] = point
        self._parameters[:] = point
        now = perf_counter()
        self._seconds[self.epoch], self._begun = now - self._begun, now
        for name in ("val_loss", "val_accuracy"):
            self._record[_PLACES[name], self.epoch] = self._objective.numbers[_PLACES[name]]
        self.epoch += 1
        self._begin_epoch()
        if self._watch.next_look(self.epoch - 1) == self.epoch:
            self._watch.look(self.epoch)
            if not np.array_equal(self._parameters, self._accepted, equal_nan=True):
                raise ValueError(
                    "params: got other weights from a callback with an optimizer that remembers its steps; they are "
                    "for reading here"
                )
        if self._schedule.progress is not None and (self._watch.is_due(True) or self._watch.stopped):
            self._watch.report(self.epoch)
        if self._watch.stopped:
            raise _StopError
