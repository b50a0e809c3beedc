"""The steps of L-BFGS: SciPy's, on the kernels' passes. An iteration is an epoch of one batch that takes no step."""

from collections.abc import Callable, Collection
from time import perf_counter

import numpy as np

from fastmlp._training.divergence import Divergence
from fastmlp._training.run import TrainingRun
from fastmlp._training.watch import Watch

_BEFORE = {"loss", "accuracy", "gradient_norm"}  # what an epoch records of the weights that it begins with
_AFTER = {"val_loss", "val_accuracy"}


class _StopError(Exception):
    """Leaves SciPy's loop: the training run is to stop, or the loss is not finite."""


class LBFGSSteps:
    """Runs SciPy's iterations, each an epoch; the interface is that of `KernelSteps`."""

    frames: tuple = ()

    def __init__(self, run: TrainingRun, watch: Watch) -> None:
        self._run, self._watch, self._parameters = run, watch, run.model.params
        self.epoch = self._iterations = 0
        self._begin = run.position.copy()
        self._at: np.ndarray | None = None  # the point of the last pass
        self._slope = np.empty(len(self._parameters))
        self._numbers: dict[str, float] = {}  # that the kernels wrote in it
        self._diverged: np.ndarray | None = None
        self._accepted = self._parameters.copy()
        run.set_rate(0, np.nan)
        self._begun = perf_counter()

    def _objective(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Compute the objective and its gradient for SciPy: one pass over all rows, forward and back."""
        if self._at is None or not np.array_equal(point, self._at):
            self._pass(point)
        return self._numbers["loss"], self._slope.copy()

    def _pass(self, point: np.ndarray) -> None:
        """Make a pass at a point; the kernels write the numbers of the first epoch each time."""
        run, position = self._run, self._run.position
        self._parameters[:] = point
        position[:] = self._begin
        # The first pass is at the weights of iteration 0, every other one at what may become those of the next.
        position["noted"] = self._iterations + (self._at is not None)
        first = {name: values[0] for name, values in run.record.items()}
        try:
            run.run(1)
            self._numbers = {name: values[0].item() for name, values in run.record.items()}
        finally:
            for name, value in first.items():
                run.record[name][0] = value
        if position["diverged"].item():
            self._diverged = self._parameters.copy()
            raise _StopError
        self._slope[:] = run.gradient
        self._at = point.copy()

    def advance(self, inspect: Callable[[int], None]) -> None:
        """Minimize, and leave the last accepted weights; `inspect` is called at the end of every iteration."""
        from scipy.optimize import minimize  # here: only L-BFGS needs SciPy

        optimizer, begin = self._run.options.optimizer, self._parameters.astype(np.float64)
        try:
            self._objective(begin)
            self._record(_BEFORE)
            found = minimize(
                self._objective,
                begin,
                jac=True,
                method="L-BFGS-B",
                callback=lambda point: self._end_epoch(point, inspect),
                options={
                    "maxcor": optimizer.memory,
                    "gtol": optimizer.gradient_tolerance,
                    "ftol": optimizer.loss_tolerance,
                    "maxls": optimizer.trials,
                    "maxiter": self._run.options.epochs,
                    "maxfun": optimizer.most_looks,
                },
            )
        except _StopError:
            return
        finally:
            self._parameters[:] = self._accepted
        self._watch.report(self.epoch, force=True)
        if self.epoch < self._run.options.epochs:
            self._watch.stopped = f"L-BFGS ended: {str(found.message).strip().lower()}"

    def _record(self, names: Collection[str]) -> None:
        if self.epoch < self._run.options.epochs:  # no iteration begins with the last weights
            for name in self._run.record.keys() & names:
                self._run.record[name][self.epoch] = self._numbers[name]

    def _end_epoch(self, point: np.ndarray, inspect: Callable[[int], None]) -> None:
        """Record an accepted step: SciPy calls it."""
        self._objective(point)  # mostly the last pass, which costs nothing again
        self._iterations += 1
        self._accepted[:] = point
        self._parameters[:] = point
        now = perf_counter()
        self._run.seconds[self.epoch], self._begun = now - self._begun, now
        self._record(_AFTER)
        self.epoch += 1
        if self.epoch == self._run.room < self._run.options.epochs:
            self._run.make_room()
        self._record(_BEFORE)
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
        if self._diverged is None:
            return None
        self._record(self._run.record.keys())
        self.epoch += 1
        epoch = self._run.first_epoch + self.epoch
        updates = self.epoch - 1
        return Divergence(epoch, 1, self._diverged, int(updates > 0), slice(None), 1.0, updates=updates)

    def end(self) -> None:
        """Set the position after the iterations, each of which counts as an epoch of one step."""
        position = self._run.position
        position[:] = self._begin
        position["epoch"] += self.epoch
        position["noted"] = self._iterations
        position["step"] += self._iterations
