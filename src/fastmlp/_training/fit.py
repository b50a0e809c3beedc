"""One training run of a network, from checked rows and options to its history: the loop, and its one ending."""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

import numpy as np

from fastmlp._checks.options import TrainingOptions
from fastmlp._checks.samples import Samples
from fastmlp._checks.warn import warn_caller
from fastmlp._training import lbfgs, state
from fastmlp._training.divergence import Divergence, report
from fastmlp._training.run import TrainingRun
from fastmlp._training.steps import KernelSteps
from fastmlp._training.watch import Watch
from fastmlp.exceptions import DivergenceError, DivergenceWarning
from fastmlp.history import History
from fastmlp.optimizers import Optimizer

_MAX_UNJOINED = 1024  # histories of a stream's chunks that are kept apart
_SAMPLED_ROWS, _SAMPLED_NUMBERS = 256, 1 << 16  # of the training rows, that diagnostics inspect the layers with


class Record:
    """What a network keeps of its training runs: optimizer and its state, histories, some rows.

    `sample` holds up to 256 rows of the last training run; `last_history` is that of the last training run alone.
    `feature_names` are the names of the first one's columns, () if they had none; None if there was no training run.
    """

    def __init__(self) -> None:
        self.optimizer: Optimizer | None = None
        self.state: state.OptimizerState | None = None
        self.histories: list[History] = [History()]
        self.last_history = History()
        self.sample: np.ndarray | None = None
        self.feature_names: tuple[str, ...] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the rows, which are not the network's own."""
        return vars(self) | {"sample": None}

    def twin(self) -> "Record":
        """Copy what a training run changes in place, so that it can be taken back."""
        twin = Record()
        vars(twin).update(vars(self), histories=[*self.histories], state=self.state and self.state.twin())
        return twin

    @property
    def history(self) -> History:
        """What happened in all training runs; joined when it is read, since a stream leaves thousands."""
        if len(self.histories) > 1:
            self.histories[:] = [self.histories[0].extended(*self.histories[1:])]
        return self.histories[0]

    def keep(self, history: History, samples: Samples) -> None:
        """Keep what a training run did, and some rows that stand for all of its rows."""
        self.histories.append(history)
        self.last_history = history
        if len(self.histories) > _MAX_UNJOINED:
            self.history  # noqa: B018  joins them
        rows = max(1, min(len(samples), _SAMPLED_ROWS, _SAMPLED_NUMBERS // samples.x.shape[1]))
        self.sample = samples.x[:: len(samples) // rows][:rows].copy()


@contextmanager
def _closing_all(callbacks: Sequence[object]) -> Iterator[None]:
    """Close every callback at the end, also if one of them cannot be closed.

    The first error is raised once all are closed; if an exception ends the training run anyway, that one is raised and
    the error is a warning.
    """
    failed, errors = True, []
    try:
        yield
        failed = False
    finally:
        for callback in callbacks:
            close = getattr(callback, "close", None)
            if callable(close):
                try:
                    close()
                except BaseException as error:  # what one callback cannot do must not keep the others from it
                    errors.append(error)
        for error in errors[0 if failed else 1 :]:
            warnings.warn(f"callbacks: a close() raised {type(error).__name__}: {error}", RuntimeWarning, stacklevel=3)
        if errors and not failed:
            raise errors[0]


def fit(network: Any, samples: Samples, validation: Samples, options: TrainingOptions, names: tuple[str, ...]) -> None:
    """Train a network in place.

    A second call for the same network is refused before anything is touched. An exception that ends the training run
    carries the network as its attribute `network`, so that what was trained is not lost.
    """
    access, run = network._model.access, object()
    try:
        access.begin(run, steady=options.optimizer.searches_step)
        with _closing_all((*options.callbacks, options.progress)):
            _fit(network, samples, validation, options, names)
    except BaseException as error:
        if access.holds(run):
            with suppress(AttributeError):  # an exception may have no room for it
                error.network = network
        raise
    finally:
        try:
            access.end(run)
        except BaseException:  # Ctrl-C; a network that stays held could never be trained again
            access.end(run)
            raise


def _fit(network: Any, samples: Samples, validation: Samples, options: TrainingOptions, names: tuple[str, ...]) -> None:
    model, record = network._model, network._record
    goes_on = state.state_for(record.state, options.optimizer == record.optimizer, options, model)
    run = TrainingRun(model, goes_on, samples, validation, options)
    record.state, record.optimizer, record.feature_names = goes_on, options.optimizer, names
    watch = Watch(run, network)
    divergence = _train(run, watch, record)
    if divergence is None:
        if watch.nothing_best():
            warn_caller(watch.nothing_best(), UserWarning)
        return
    record.state.lost = divergence.state_lost
    message = report(divergence, model, run)
    if options.on_divergence == "raise":
        raise DivergenceError(message, network)
    warn_caller(message, DivergenceWarning)


def _train(run: TrainingRun, watch: Watch, record: Record) -> Divergence | None:
    """Run the loop of every training run, and its one ending; return where it diverged, if it did.

    However the training run ends, by its last epoch, a rule, Ctrl-C, an exception of a callback or a divergence: the
    epochs that are over are inspected, the best weights come back if early stopping is to bring them, and then the
    history is kept.
    """
    steps = (lbfgs.LBFGSSteps if run.options.optimizer.searches_step else KernelSteps)(run, watch)
    divergence = None
    try:
        with closing(run):
            try:
                steps.advance(watch.inspect)
                divergence = steps.rollback()
                steps.find_best()
            except BaseException:
                steps.catch_up()
                raise
    finally:
        steps.end()
        if watch.restore_best(math.inf if divergence is None else divergence.usable_epochs) and divergence is not None:
            divergence.best_epoch = run.first_epoch + watch.best_epoch
        if divergence is not None:
            watch.stopped = divergence.title
        elif steps.epoch >= run.options.epochs:
            watch.stopped = ""  # it came to its last epoch
        history = _history(run, watch, steps)
        del steps  # with the moments that it could go back to, before more is kept
        record.keep(history, run.samples)
    return divergence


def _history(run: TrainingRun, watch: Watch, steps: KernelSteps | lbfgs.LBFGSSteps) -> History:
    """Return what the kernels wrote down: its rows themselves, which are long if epochs are short, if all are full."""

    def over(values: np.ndarray) -> np.ndarray:
        return values if steps.epoch == run.room else values[: steps.epoch].copy()

    return History(
        **{name: over(values) for name, values in run.record.items()},
        seconds=over(run.seconds),
        frames=list(steps.frames),
        stopped=watch.stopped,
        best_epoch=watch.best_epoch,
        metrics={name: over(values) for name, values in run.metrics.items()},
        n_threads=run.n_threads,
        **run.layer_norms(),
    )
