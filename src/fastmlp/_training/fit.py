"""One training run of a network, from checked rows and options to its history."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from fastmlp._checks.options import TrainingOptions
from fastmlp._checks.samples import Samples
from fastmlp._checks.warn import warn_caller
from fastmlp._training import measuring
from fastmlp._training.divergence import report
from fastmlp._training.hooks import closing
from fastmlp._training.loop import train
from fastmlp._training.run import TrainingRun
from fastmlp._training.state import OptimizerState, state_for
from fastmlp._training.watch import Watch
from fastmlp.exceptions import DivergenceError, DivergenceWarning
from fastmlp.history import History
from fastmlp.optimizers import Optimizer

_MAX_UNJOINED = 1024  # histories of a stream's chunks that are kept apart
_SAMPLED_ROWS, _SAMPLED_NUMBERS = 256, 1 << 16  # of the training rows, that diagnostics inspect the layers with


class Record:
    """What a network keeps of its training runs: optimizer and its state, histories, some rows.

    `sample` holds up to 256 rows of the last training run; `last_history` is that of the last training run alone.
    """

    def __init__(self) -> None:
        self.optimizer: Optimizer | None = None
        self.state: OptimizerState | None = None
        self.histories: list[History] = [History()]
        self.last_history = History()
        self.sample: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the rows, which are not the network's own."""
        return vars(self) | {"sample": None}

    @property
    def history(self) -> History:
        """What happened in all training runs; joined when it is read, since a stream leaves thousands."""
        if len(self.histories) > 1:
            self.histories[:] = [self.histories[0].extended(*self.histories[1:])]
        return self.histories[0]

    def go_on_from(self, other: Record) -> None:
        """Take over optimizer, state and histories of another network of the same sizes."""
        self.optimizer, self.state = other.optimizer, other.state
        self.histories, self.last_history = other.histories, other.last_history

    def keep(self, history: History, samples: Samples) -> None:
        """Keep what a training run did, and some rows that stand for all of its rows."""
        self.histories.append(history)
        self.last_history = history
        if len(self.histories) > _MAX_UNJOINED:
            self.history  # noqa: B018  joins them
        rows = max(1, min(len(samples), _SAMPLED_ROWS, _SAMPLED_NUMBERS // samples.x.shape[1]))
        self.sample = samples.x[:: len(samples) // rows][:rows].copy()


def fit(network: Any, samples: Samples, validation: Samples, options: TrainingOptions) -> None:
    """Train a network in place.

    A second call for the same network is refused before anything is touched. An exception that ends the training run
    carries the network as its attribute `network`, so that what was trained is not lost.
    """
    with network._model.access.training(steady=options.optimizer.searches_step):
        try:
            with closing((*options.callbacks, options.progress)):
                _fit(network, samples, validation, options)
        except BaseException as error:
            with suppress(AttributeError):  # an exception may have no room for it
                error.network = network
            raise


def _fit(network: Any, samples: Samples, validation: Samples, options: TrainingOptions) -> None:
    model, record = network._model, network._record
    record.state = state_for(record.state, options.optimizer == record.optimizer, options, model)
    record.optimizer = options.optimizer
    run = TrainingRun(model, record.state, samples, validation, options)
    watch = Watch(run, network, measuring.measure_of(model, samples, validation, options))
    happened: list[History] = []
    try:
        divergence = train(run, watch, happened)
    finally:
        if happened:
            record.keep(happened[0], samples)
    if divergence is None:
        return
    record.state.lost = divergence.state_lost
    message = report(divergence, model, run)
    if options.on_divergence == "raise":
        raise DivergenceError(message, network)
    warn_caller(message, DivergenceWarning)
