"""A training run laid out for the kernels: its arrays, its plan, and the threads that make the calls."""

import math
import os
from functools import cache
from typing import Any

import numpy as np

from fastmlp._checks.options import TrainingOptions
from fastmlp._checks.samples import Samples
from fastmlp._checks.warn import warn_caller
from fastmlp._engine import layout, threads
from fastmlp._spec.records import EPOCH
from fastmlp._training import orders, sparse
from fastmlp._training.fractions import Fractions
from fastmlp._training.model import Model
from fastmlp._training.state import OptimizerState

SLICE_SECONDS = 0.05  # of a kernel call, about: so often Python gets control back
_FIRST_EPOCHS = 1 << 17  # that records have room for when a training run begins, if each has one learning rate
_ROOM_GROWTH = 4  # copying a record costs what writing it does, which in the smallest networks is not little
_USABLE_GROWTH = 10.0  # times the first loss + 1: weights of such a loss may come back after an explosion
_INSPECTED_ROWS = 64  # whose zeros are counted before a training run
_RATE = EPOCH.names.index("learning_rate")
_WELL_FILLED = 0.7  # the fraction of other numbers from which on passing over zeros gains nothing


class TrainingRun:
    """One training run's arrays and threads, which end when it is closed; a helper's thread begins when it is needed.

    Attributes
    ----------
    model, state, options, samples, validation
        What was given: `state` and the model's parameters are changed.
    batches : int
        Steps per epoch.
    room : int
        The epochs that the records have room for; more is made as epochs run.
    record : dict of str to ndarray of float64, shape (room,)
        The numbers that the kernels write at the end of each epoch, by the fields of EPOCH, as far as there are any.
    metrics : dict of str to ndarray of float64, shape (room,)
        The metrics of each epoch, NaN where none was measured.
    seconds : ndarray of float64, shape (room,)
        The wall-clock time of each epoch.
    position : ndarray of POSITION, shape (1,)
        Where the training of the network stands: `state`'s, not a copy.
    rates : Rates
        The learning rates.
    gradient : ndarray, shape (parameters,)
        The gradient of an epoch's last step.
    settings : dict of str to float
        The fields of SETTINGS that were not laid out but chosen.
    given : GivenOrders or None
        The orders of the rows, if a callable gives them.
    n_threads : int
        How many threads make a call.
    """

    def __init__(
        self,
        model: Model,
        state: OptimizerState,
        samples: Samples,
        validation: Samples,
        options: TrainingOptions,
    ) -> None:
        self.model, self.state, self.options = model, state, options
        self.samples, self.validation, rows = samples, validation, len(samples)
        self.batches = -(-rows // options.batch_size)
        self.first_epoch, self.position = state.epoch, state.position
        self._end = self.first_epoch + options.epochs
        # Before anything is changed, since a callable may give what cannot be used.
        self._fractions = Fractions(model, self.first_epoch, self._end)
        self._dropped = np.empty(len(model.sizes) - 2, np.int64)  # what the kernels read of them
        shuffled = bool(options.shuffle) and options.batch_size < rows
        self._window = sparse.window(samples, options.batch_size)
        self.given = (
            orders.GivenOrders(options.shuffle, rows, options.epochs)
            if shuffled and callable(options.shuffle)
            else None
        )
        # The kernels' own order, made of the seed when an epoch begins.
        self._shuffled = np.empty(rows, np.int32) if shuffled and self.given is None else None
        held = self._window or self.given
        self._order, self._given_orders = (self._shuffled, 0) if held is None else (held.order, held.held)
        rates_per_epoch = self.batches if options.learning_rate.unit == "step" else 1
        self.room = min(options.epochs, max(1, _FIRST_EPOCHS // rates_per_epoch))
        self.rates = state.rates(options, self.batches, self.room)
        self._numbers: np.ndarray | None = None
        self._layer_record: np.ndarray | None = None
        self.gradient = np.zeros(len(model.params), model.dtype)
        self._make_records()
        self._skips = _has_many_zeros(samples.x)
        self.n_threads = threads.threads_for(model.layers, model.kernels.sizes(), rows, options)
        self.position["noted"] = 0
        self._lay_out()

    def _make_records(self) -> None:
        """Make the records of `room` epochs, with what stands in those of fewer."""
        options, kinds, before = self.options, len(EPOCH.names), (self._numbers, self._layer_record)
        self._numbers = np.zeros((kinds + 1 + len(options.metric_names), self.room))
        self._numbers[kinds + 1 :] = math.nan
        self._note_every, self.noted = layout.noted_epochs(
            self.first_epoch, self.room, self.batches, options.optimizer.searches_step
        )
        self._layer_record = np.empty((2 * len(self.model.layers), len(self.noted)))
        rates = self.rates.values[:: self.rates.per_epoch]
        if before[0] is None:
            self._numbers[_RATE] = rates
        else:
            begun = before[0].shape[1]
            self._numbers[:, :begun], self._numbers[_RATE, begun:] = before[0], rates[begun:]
            self._layer_record[:, : before[1].shape[1]] = before[1]
        rows = _recorded(len(self.validation) > 0, self.model.task.is_regression)
        self.record = {name: self._numbers[row] for name, row in rows}
        self.seconds = self._numbers[kinds]
        self.metrics = dict(zip(options.metric_names, self._numbers[kinds + 1 :], strict=True))

    def make_room(self) -> None:
        """Make room for a few times as many epochs, if there are so many."""
        self.room = min(_ROOM_GROWTH * self.room, self.options.epochs)
        self.rates.make_room(self.room)
        self._make_records()
        self._helpers.end()
        self._lay_out()

    def set_rate(self, epoch: int, rate: float) -> None:
        """Make a rate that of all epochs after this one."""
        self.rates.set(epoch, rate)
        self.record["learning_rate"][epoch:] = rate

    def _chosen_settings(self) -> dict[str, float]:
        """Return the fields of SETTINGS that follow from model, optimizer and options."""
        model, options, own_average = self.model, self.options, self.options.average == "batch"
        # With averages over a batch's own weight, that is what N stands for.
        size = self.samples.size / len(self.samples) if own_average else self.samples.size
        return (
            model.settings(size)
            | options.optimizer.settings()
            | {name: getattr(options, name) for name in ("clip_norm", "clip_value", "max_norm", "published_ridge")}
            | {
                "own_average": own_average,
                # A line search may try steps whose loss is no use; the article's term is there to explode.
                "loss_growth": 0 if options.optimizer.searches_step or options.published_ridge else model.loss_growth,
                "usable_growth": _USABLE_GROWTH,
            }
        )

    def _lay_out(self) -> None:
        """Lay out the calls by the model's present settings, and make the kernels' object and its helpers."""
        options, rows, model = self.options, len(self.samples), self.model
        self._dropped[:], _ = self._fractions.take(self.position["epoch"].item())
        self.settings, self._changes = self._chosen_settings(), model.changes
        plan = layout.plan(
            model.layers_of_steps(self._dropped.tolist()),
            model.kernels.sizes(),
            batch=options.batch_size,
            rows=rows,
            validation_rows=len(self.validation),
            threads=self.n_threads,
            settled=self._window is None and options.batch_size >= rows,
            settings=self.settings
            | {
                "shuffle": self._order is not None,
                "seed": options.seed,
                "first_epoch": self.first_epoch,
                "epochs": self.first_epoch + self.room,
                "rates_per_epoch": self.rates.per_epoch,
                "skip_inputs": self._skips,
                "given_orders": self._given_orders,
                "note_first": layout.FIRST_NOTED,
                "note_every": self._note_every,
                "notes": len(self.noted),
            },
        )
        arrays = layout.Arrays(
            model.params,
            state=self.state.slots,
            gradient=self.gradient,
            record=self._numbers[: len(EPOCH.names)],
            layer_record=self._layer_record,
            rates=self.rates.values,
            dropped=self._dropped,
            position=self.position,
            order=self._order,
            loss_parameters=model.task.loss_parameters,
        )
        self.position["validated"] = 0  # of a paused validation, whose tallies end with the object
        self.kernel = model.kernels.Run(plan, arrays, self._window or self.samples, self.validation)
        self._helpers = threads.Helpers(self.kernel, model.kernels, self.n_threads - 1)

    @property
    def torn(self) -> bool:
        """Whether a call has ended on some of its threads only, so that no other can follow."""
        return self._helpers.failed

    def _leave_out(self, epoch: int) -> int:
        """Let the next steps leave out what their epoch does; return the epoch before which that stays."""
        before = self._dropped > 0
        self._dropped[:], end = self._fractions.take(epoch)
        if not np.array_equal(before, self._dropped > 0):  # what a layer keeps for the backward pass takes room
            self._helpers.end()
            self._lay_out()
        return end

    def close(self) -> None:
        self._helpers.end()

    def run(self, steps: int) -> None:
        """Run so many steps, at most, from where the position stands, on all threads.

        That is one kernel call, except if orders or dropout are given, rows are read through a window, or a validation
        takes long: then a call ends where these do. A step whose loss is questioned is not made.
        """
        # A callback has assigned, or has forked: the threads of the parent process do not exist in its child. Or Ctrl-C
        # came when a call had begun on the helpers alone, which changes nothing.
        interrupted = self.kernel.abandoned and not self.torn
        if interrupted or self._changes != self.model.changes or self._helpers.process != os.getpid():
            self._helpers.end()
            self._lay_out()
        now, over = self.position, self._steps_over()
        last = min(over + steps, self._end * self.batches)
        while over < last and not now["diverged"].item() and now["questioned"].item() <= 0:
            if now["epoch"].item() == self.first_epoch + self.room:
                self.make_room()
            part = self._part(last - over)
            with self.model.access.calling:
                self._call(part)
            over = self._steps_over()

    def _steps_over(self) -> int:
        """Count the steps that are over; an epoch's last one is when the epoch is."""
        epoch, batch = self.position["epoch"].item(), self.position["batch"].item()
        return epoch * self.batches + min(batch, self.batches - 1)

    def _part(self, steps: int) -> int:
        """Return how many of so many steps the next call may make, and hold their orders and rows."""
        epoch, batch = self.position["epoch"].item(), self.position["batch"].item()
        if batch == self.batches:  # the epoch's validation has paused
            return 1
        if callable(self.model.topology.dropout):
            steps = min(steps, (self._leave_out(epoch) - epoch) * self.batches - batch)
        if self.given is not None:
            block_end = self.given.take(epoch - self.first_epoch)
            steps = min(steps, (block_end + self.first_epoch - epoch) * self.batches - batch)
        if self._window is not None:
            steps = min(steps, self._window.fill(epoch, batch, self._order_of))
        return steps

    def _call(self, steps: int) -> None:
        """Make one kernel call, on fewer threads if some cannot be started: the numbers come out the same."""
        try:
            self._helpers.call(steps)
        except threads.ThreadStartError as error:
            warn_caller(
                f"n_threads: thread {error.number + 1} of {self.n_threads} could not be started ({error.reason}); the "
                f"training run goes on with {error.number}; pass a smaller n_threads to avoid this warning",
                RuntimeWarning,
            )
            self._helpers.end()
            self.n_threads = error.number
            self._lay_out()
            self._call(steps)

    def run_again(self, steps: int) -> None:
        """Train on from a position that was gone back to: within an epoch its order has to be there again."""
        if self._shuffled is not None and self.position["batch"].item() > 0:
            self._order_of(self.position["epoch"].item())
        self.run(steps)

    def _order_of(self, epoch: int) -> np.ndarray | None:
        """Return the order of an epoch; None: the rows as they come."""
        if self.given is not None:
            return self.given.of(epoch - self.first_epoch)
        if self._shuffled is not None:
            self.model.kernels.shuffle(self._shuffled, self.options.seed, epoch)
        return self._shuffled

    def batch_rows(self, epoch: int, batch: int) -> np.ndarray | slice:
        """Return the rows of a batch of the epoch that was run last, both counted from 0 in this training run."""
        size, order = self.options.batch_size, self._shuffled
        if self.given is not None:
            # The last step of a block may have overflowed: the order of the next one was not asked for.
            order = self.given.of(epoch) if self.given.has(epoch) else None
        part = slice(batch * size, (batch + 1) * size)
        return part if order is None else order[part].copy()

    def layer_norms(self) -> dict[str, np.ndarray]:
        """Return the noted epochs, and each layer's norms in them, by the fields of `History`."""
        noted, layers = self.position["noted"].item(), len(self.model.layers)
        norms = self._layer_record[:, :noted].T
        epochs = self.noted[:noted]
        if noted < len(self.noted):  # there is room for more, perhaps for many more
            norms, epochs = norms.copy(), epochs.copy()
        return {
            "layer_epochs": epochs,
            "layer_gradient_norms": norms[:, :layers],
            "layer_activations": norms[:, layers:],
        }


@cache
def _recorded(validated: bool, regression: bool) -> tuple[tuple[str, int], ...]:
    """Return the numbers that epochs have, and the row of each."""
    return tuple(
        (name, row)
        for row, name in enumerate(EPOCH.names)
        if (validated or not name.startswith("val_")) and not (regression and "accuracy" in name)
    )


def _has_many_zeros(x: Any) -> bool:
    """Return whether so many features are zero that it pays to pass over them; some rows stand for all."""
    rows = x[:: max(1, len(x) // _INSPECTED_ROWS)][:_INSPECTED_ROWS]
    return bool(np.count_nonzero(rows) < _WELL_FILLED * math.prod(rows.shape))
