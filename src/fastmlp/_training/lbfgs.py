"""The steps of L-BFGS: SciPy's, on the kernels' passes. An iteration is an epoch of one batch that takes no step."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import perf_counter

import numpy as np

from fastmlp._training.divergence import Divergence
from fastmlp._training.run import TrainingRun
from fastmlp._training.watch import Watch

_BEFORE = ("loss", "accuracy", "gradient_norm")  # what an epoch records of the weights that it begins with
_AFTER = ("val_loss", "val_accuracy")


class _StopError(Exception):
    """Leaves SciPy's loop: the training run is to stop, or the loss is not finite."""


class _Objective:
    """The objective and its gradient as SciPy asks for them, and the numbers that the kernels wrote in each pass."""

    def __init__(self, run: TrainingRun) -> None:
        self._run, self._parameters = run, run.model.params
        self.begin = run.state.position.copy()
        self._at: np.ndarray | None = None
        self.numbers: dict[str, float] = {}
        self.diverged: np.ndarray | None = None
        self._slope = np.empty(len(self._parameters))
        self.iteration = 0

    def __call__(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Compute the objective: one pass over all rows, forward and back."""
        if self._at is None or not np.array_equal(point, self._at):
            self._pass(point)
        return self.numbers["loss"], self._slope.copy()

    def _pass(self, point: np.ndarray) -> None:
        """Make a pass at a point; the kernels write the numbers of the first epoch each time."""
        run, position = self._run, self._run.state.position
        self._parameters[:] = point
        position[:] = self.begin
        # The first pass is at the weights of iteration 0, every other one at what may become those of the next.
        position["noted"] = self.iteration + (self._at is not None)
        first = {name: values[0] for name, values in run.record.items()}
        run.run(1)
        self.numbers = {name: values[0].item() for name, values in run.record.items()}
        for name, value in first.items():
            run.record[name][0] = value
        if run.position["diverged"]:
            self.diverged = self._parameters.copy()
            raise _StopError
        self._slope[:] = run.gradient
        self._at = point.copy()


class LBFGSSteps:
    """Runs SciPy's iterations, each an epoch; the interface is that of `KernelSteps`."""

    frames: tuple = ()

    def __init__(self, run: TrainingRun, watch: Watch) -> None:
        self._run, self._watch, self._objective = run, watch, _Objective(run)
        self._parameters, self._accepted = run.model.params, run.model.params.copy()
        self.epoch, self.seconds = 0, np.zeros(run.options.epochs)
        run.record["learning_rate"][:] = math.nan
        self._begun = perf_counter()

    def advance(self, inspect: Callable[[int], None]) -> None:
        """Minimize, and leave the last accepted weights; `inspect` is called at the end of every iteration."""
        from scipy.optimize import minimize  # here: only L-BFGS needs SciPy

        optimizer, begin = self._run.options.optimizer, self._parameters.astype(np.float64)
        options = {
            "maxcor": optimizer.memory,
            "gtol": optimizer.gradient_tolerance,
            "ftol": optimizer.loss_tolerance,
            "maxls": optimizer.trials,
            "maxiter": self._run.options.epochs,
            "maxfun": optimizer.most_looks,
        }
        try:
            self._objective(begin)
            self._begin_epoch()
            found = minimize(
                self._objective,
                begin,
                jac=True,
                method="L-BFGS-B",
                callback=lambda point: self._end_epoch(point, inspect),
                options=options,
            )
        except _StopError:
            return
        finally:
            self._parameters[:] = self._accepted
        if self.epoch < self._run.options.epochs:
            self._watch.stopped = f"L-BFGS ended: {str(found.message).strip().lower()}"

    def _begin_epoch(self) -> None:
        """Record what is known of the weights that an iteration begins with."""
        if self.epoch < self._run.options.epochs:
            for name in _BEFORE:
                self._run.record[name][self.epoch] = self._objective.numbers[name]

    def _end_epoch(self, point: np.ndarray, inspect: Callable[[int], None]) -> None:
        """Record an accepted step: SciPy calls it."""
        self._objective(point)  # mostly the last pass, which costs nothing again
        self._objective.iteration += 1
        self._accepted[:] = point
        self._parameters[:] = point
        now = perf_counter()
        self.seconds[self.epoch], self._begun = now - self._begun, now
        for name in _AFTER:
            self._run.record[name][self.epoch] = self._objective.numbers[name]
        self.epoch += 1
        self._begin_epoch()
        watch = self._watch
        if watch.next_inspection(self.epoch - 1) == self.epoch:
            inspect(self.epoch)
            if not np.array_equal(self._parameters, self._accepted, equal_nan=True):
                raise ValueError(
                    "params: got other weights from a callback with an optimizer that remembers its steps; they are "
                    "for reading here"
                )
        watch.report(self.epoch, bool(watch.stopped))
        if watch.stopped:
            raise _StopError

    def catch_up(self) -> None:
        """Inspect the last iteration if an exception came before early stopping had decided on it."""
        self._watch.catch_up(self.epoch)

    def find_best(self) -> None:
        """Do nothing: the best weights are kept when their epoch ends."""

    def rollback(self) -> Divergence | None:
        """Return where the loss stopped being finite, if it did; the weights are the last accepted ones again."""
        if self._objective.diverged is None:
            return None
        first = self._run.first_epoch
        divergence = Divergence(
            first + self.epoch + 1, 1, self._objective.diverged, int(self.epoch > 0), slice(None), 1.0
        )
        for name in self._run.record:
            self._run.record[name][self.epoch] = self._objective.numbers[name]
        self.epoch += 1
        return divergence

    def end(self) -> None:
        """Set the position after the iterations, each of which counts as an epoch of one step."""
        position, iterations = self._run.state.position, self._objective.iteration
        position[:] = self._objective.begin
        position["epoch"] += self.epoch
        position["noted"] = iterations
        position["step"] += iterations
