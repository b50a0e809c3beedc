"""Callbacks: what is called at the end of epochs, and ready ones: a progress bar, a log as CSV, checkpoints.

A callback is any callable that takes an `EpochState`; one that returns True stops the training run. It may have the
attributes and methods of `Callback`, and need not be one.
"""

import csv
import math
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastmlp._spec.values import checked_path, choice, flag, number, shown, whole_or_epochs


@dataclass(frozen=True)
class Progress:
    """How far a training run is.

    Parameters
    ----------
    epoch : int
        Epochs that are over.
    epochs : int
        Epochs in all.
    loss : float
        The last epoch's loss of the training rows; NaN before the first.
    accuracy : float or None
        The last epoch's accuracy on the training rows; NaN before the first, None for regression.
    val_loss, val_accuracy : float or None, default None
        The same of the validation rows; None without validation rows.
    """

    epoch: int
    epochs: int
    loss: float
    accuracy: float | None
    val_loss: float | None = None
    val_accuracy: float | None = None


class EpochState:
    """Where a training run stands at the end of an epoch: what callbacks are given.

    States are made by fastmlp alone.

    Parameters
    ----------
    epoch, epochs : int
        The epoch, counted from 1, and the number of all.
    numbers : mapping of str to float
        The epoch's numbers, as far as there are any.
    metrics : dict of str to float
        The epoch's metrics.
    network : Network
        The network that is trained.
    seconds : float
        Since the training run began.
    set_rate : callable
        Takes an epoch and a rate, which it makes that of all later epochs.
    rises : callable
        Takes the name of a number, and returns whether more of it is better.

    Attributes
    ----------
    epoch, epochs : int
        Epochs of this training run that are over, and in all.
    loss, accuracy, val_loss, val_accuracy, gradient_norm : float
        The epoch's numbers, as in `History`; NaN if there is none.
    metrics : dict of str to float
        The epoch's metrics by their names, those of validation rows as ``val_...``.
    learning_rate : float
        The epoch's rate. What is written into it is the rate from the next step to the end of the training run.
    seconds : float
        Since the training run began.
    params : ndarray, shape (parameters,)
        The parameters themselves, not a copy: read them; what is written into them is trained on (not with L-BFGS,
        which refuses it).
    network : Network
        The network that is trained: its weights and biases, `predict`, `save`. Its history ends before this training
        run. `params`, `dropout`, `l1` and `l2` may be assigned, and count from the next step on (not with L-BFGS).
    """

    def __init__(
        self,
        epoch: int,
        epochs: int,
        numbers: Mapping[str, float],
        metrics: dict[str, float],
        network: Any,
        seconds: float,
        set_rate: Callable[[int, float], None],
        rises: Callable[[str], bool],
    ) -> None:
        self.epoch, self.epochs, self.metrics = epoch, epochs, metrics
        self.seconds, self.network, self.params = seconds, network, network.params
        self.loss, self.accuracy, self.val_loss, self.val_accuracy, self.gradient_norm = (
            numbers.get(name, math.nan) for name in ("loss", "accuracy", "val_loss", "val_accuracy", "gradient_norm")
        )
        self._numbers, self._set_rate, self._rises = dict(numbers), set_rate, rises

    def __repr__(self) -> str:
        numbers = (f"{name} {value:.4g}" for name, value in self.numbers().items())
        return f"EpochState({', '.join([f'epoch {self.epoch} of {self.epochs}', *numbers])})"

    @property
    def learning_rate(self) -> float:
        """The epoch's rate; written, the rate of all that is left."""
        return self._numbers["learning_rate"]

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self._numbers["learning_rate"] = number(rate, "learning_rate")
        self._set_rate(self.epoch, self._numbers["learning_rate"])

    def numbers(self) -> dict[str, float]:
        """Return the epoch's numbers by their names: rate, losses, accuracies, norm, metrics; only those that exist.

        Returns
        -------
        dict of str to float
            In the same order at every epoch of a training run.
        """
        return {
            name: self._numbers[name]
            for name in ("learning_rate", "loss", "accuracy", "val_loss", "val_accuracy", "gradient_norm")
            if name in self._numbers
        } | self.metrics

    def falling(self, name: str) -> float:
        """Return a number by its name, with its sign turned if it is to rise, so that less is better.

        Parameters
        ----------
        name : str
            A loss, an accuracy or a metric.

        Returns
        -------
        float
            The number.

        Raises
        ------
        ValueError
            If no such number is measured.
        """
        numbers = self.numbers()
        value = numbers[choice(name, numbers, "best")]
        return -value if self._rises(name) else value


class Callback:
    """The hooks that a callback may have, with their defaults; a base for callbacks of one's own.

    Attributes
    ----------
    every : int or collection of int, default 1
        At the end of which epochs it is called, counted from 1 in each training run: every so many and the last one,
        or those of the collection. The kernels do not stop for the others.
    best : str or None, default None
        The name of a number that it monitors; a training run that does not measure it, or cannot, is refused.

    Examples
    --------
    >>> import fastmlp
    >>> class Losses(Callback):
    ...     every = {1, 3}
    ...     def __init__(self):
    ...         self.seen = []
    ...     def __call__(self, state):
    ...         self.seen.append((state.epoch, state.loss < 1))
    >>> losses = Losses()
    >>> X, y = fastmlp.datasets.xor(40)
    >>> net = fastmlp.train(X, y, hidden=4, epochs=4, seed=0, callbacks=[losses])
    >>> losses.seen
    [(1, True), (3, True)]
    """

    every: int | Collection[int] = 1
    best: str | None = None

    def __call__(self, state: EpochState) -> object:
        """Take the state of a training run at the end of an epoch; return True to stop the training run."""
        raise NotImplementedError(
            f"{type(self).__name__}.__call__: a callback says here what it does at an epoch's end"
        )

    def check_numbers(self, names: Collection[str]) -> None:
        """Raise if the callback cannot be used in a training run: called before that begins.

        Parameters
        ----------
        names : collection of str
            The names of the numbers that every epoch will have, in the order of `EpochState.numbers`.
        """

    def close(self) -> None:
        """Release what the callback holds: called once at the end of a training run, however that ends."""


class Every(Callback):
    """Call a callback at the end of some epochs only; the kernels do not stop for the others.

    Parameters
    ----------
    every : int or collection of int
        k: epochs k, 2k, ... of a training run, and its last one; or the epochs themselves.
    callback : callable
        Takes an `EpochState`.

    Raises
    ------
    TypeError, ValueError
        If `every` does not hold whole numbers of at least 1, or `callback` cannot be called.

    Examples
    --------
    >>> Every(10, print).every
    10
    """

    def __init__(self, every: int | Collection[int], callback: Callable[[EpochState], object]) -> None:
        self.every = whole_or_epochs(every, "every")
        if not callable(callback):
            raise TypeError(f"callback: got {shown(callback)}; a callable that takes a state is accepted")
        self.callback = callback
        self.best = getattr(callback, "best", None)  # checked before a training run begins
        self.__name__ = getattr(callback, "__name__", type(callback).__name__)

    def __call__(self, state: EpochState) -> object:
        """Pass the state on."""
        return self.callback(state)

    def check_numbers(self, names: Collection[str]) -> None:
        """Check the callback, if it can be checked.

        Parameters
        ----------
        names : collection of str
            The names of an epoch's numbers.
        """
        getattr(self.callback, "check_numbers", super().check_numbers)(names)

    def close(self) -> None:
        """Close the callback, if it can be closed."""
        if getattr(self.callback, "close", None) is not None:
            self.callback.close()


class _Holder(Callback):
    """A callback that opens something at its first call in a training run, and closes it at the end of the run."""

    _held: Any = None

    def close(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None


class ProgressBar(_Holder):
    """Show a tqdm bar with the last loss and accuracy, of the training rows and of the validation rows.

    ``progress=True`` shows the same and costs nothing per epoch; in ``callbacks`` the kernels stop at the end of every
    epoch, or of every k-th.

    Parameters
    ----------
    every : int or collection of int, default 1
        How many epochs pass from one call to the next, or the epochs themselves.
    **options
        For tqdm, such as ``leave=False`` or ``file=sys.stdout``.

    Raises
    ------
    ImportError
        If tqdm is not installed.
    TypeError, ValueError
        If `every` does not hold whole numbers of at least 1.

    Examples
    --------
    >>> import fastmlp, io
    >>> X, y = fastmlp.datasets.xor(40)
    >>> bar = ProgressBar(every=2, file=io.StringIO())
    >>> net = fastmlp.train(X, y, hidden=4, epochs=4, callbacks=[bar])
    """

    def __init__(self, every: int | Collection[int] = 1, **options: Any) -> None:
        try:
            from tqdm import tqdm
        except ImportError as error:
            raise ImportError('the progress bar needs tqdm: pip install "fastmlp[cli]"') from error
        self.every = whole_or_epochs(every, "every")
        self._make = tqdm
        self._options = {"unit": " epochs", "unit_scale": True, "dynamic_ncols": True} | options

    def __call__(self, state: Any) -> None:
        """Move the bar to the state's epoch; a `Progress` is accepted too."""
        if self._held is None:
            self._held = self._make(total=state.epochs, **self._options)
        shown = {}
        for name in ("loss", "val_loss", "accuracy", "val_accuracy"):
            value = getattr(state, name)
            if name == "loss" or not (value is None or math.isnan(value)):
                shown[name] = f"{value:.4f}" if "accuracy" in name else f"{value:.4g}"
        self._held.set_postfix(shown, refresh=False)
        self._held.update(state.epoch - self._held.n)


class CSVLog(_Holder):
    """Write one line per epoch into a CSV file: epoch, seconds, learning rate, losses, accuracies, metrics.

    Parameters
    ----------
    path : str or path-like
        Where to, in a folder that exists. Without `append`, an existing file is replaced when the training run begins.
    every : int or collection of int, default 1
        How many epochs pass from one line to the next, or the epochs that have one.
    append : bool, default False
        Whether to add the lines to an existing file. Epochs are counted from 1 in each training run. A training run
        whose numbers are not the file's columns is refused before it begins.

    Raises
    ------
    TypeError, ValueError
        If `path` is not a path, `every` does not hold whole numbers of at least 1, or `append` is not a flag.

    Examples
    --------
    >>> import fastmlp, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "log.csv")
    >>> X, y = fastmlp.datasets.xor(40)
    >>> net = fastmlp.train(X, y, hidden=4, epochs=3, callbacks=[CSVLog(path)])
    >>> with open(path) as file:
    ...     len(file.readlines())
    4
    """

    def __init__(self, path: str | os.PathLike[str], every: int | Collection[int] = 1, append: bool = False) -> None:
        self.path = checked_path(path)
        self.every = whole_or_epochs(every, "every")
        self.append = flag(append, "append")

    def check_numbers(self, names: Collection[str]) -> None:
        """Raise if the file cannot be written, or continued with these columns.

        Parameters
        ----------
        names : collection of str
            The names of an epoch's numbers.

        Raises
        ------
        OSError
            If the path's folder does not exist, or a file to be continued cannot be read.
        ValueError
            If a file to be continued has other columns.
        """
        if self.path.is_dir() or not self.path.parent.is_dir():
            raise FileNotFoundError(f"path: got {str(self.path)!r}; a file in a folder that exists is accepted")
        columns, there = ["epoch", "seconds", *names], self._columns()
        if there is not None and there != columns:
            raise ValueError(
                f"path: got {str(self.path)!r} to append to, which begins with {','.join(there)[:99]!r}; an empty file "
                f"or one with the columns {','.join(columns)!r} is accepted"
            )

    def _columns(self) -> list[str] | None:
        """Return the names in the first line of a file to be continued; None if there is no file, or nothing in it."""
        if not self.append or not self.path.is_file():
            return None
        with self.path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            try:
                return next(csv.reader(file), None)
            except csv.Error:  # no log begins like this
                return []

    def _open(self) -> bool:
        """Open the file, at the beginning of a line; return whether the columns' names are there."""
        goes_on = self._columns() is not None
        self._held = self.path.open("a" if self.append else "w", newline="", encoding="utf-8")
        if goes_on and not self._ends_a_line():
            self._held.write("\r\n")
        return goes_on

    def _ends_a_line(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read() in (b"\n", b"\r")

    def __call__(self, state: EpochState) -> None:
        """Write the state's line; the first one stands below the columns' names."""
        numbers = {"epoch": state.epoch, "seconds": state.seconds, **state.numbers()}
        goes_on = self._held is not None or self._open()
        csv.writer(self._held).writerows([numbers.values()] if goes_on else [numbers, numbers.values()])
        self._held.flush()  # so that a training run that is monitored, or that dies, has left its lines


class Checkpoint(Callback):
    """Save the network while it is trained: at every k-th epoch, or only if a number is the best one so far.

    Numbers that are not finite are never the best, and weights that are not finite are not saved.

    Parameters
    ----------
    path : str or path-like
        Where to; ``{epoch}`` in it is replaced by the epoch. An existing file is replaced once the new one is whole.
    every : int or collection of int, default 1
        How many epochs pass from one call to the next, or the epochs themselves.
    best : str or None, default None
        The name of a number that is to fall (``"loss"``, ``"val_loss"``) or, of an accuracy or a metric that is to
        rise, to rise; the network is saved if it is the best so far, over all training runs with this callback,
        whichever network they train: a worse network does not replace a better file. Give each network, and a
        training run that is to begin anew, a callback of its own. None saves the network always.

    Raises
    ------
    TypeError, ValueError
        If `path` is not a path, `every` does not hold whole numbers of at least 1, or no number is called `best`.

    Examples
    --------
    >>> import fastmlp, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "net-{epoch}.safetensors")
    >>> X, y = fastmlp.datasets.xor(40)
    >>> net = fastmlp.train(X, y, hidden=4, epochs=4, callbacks=[Checkpoint(path, every=2)])
    >>> len(fastmlp.load(path.format(epoch=2)).params)
    17
    """

    def __init__(self, path: str | os.PathLike[str], every: int | Collection[int] = 1, best: str | None = None) -> None:
        self.path = str(checked_path(path))
        try:
            self.path.format(epoch=1)
        except (LookupError, ValueError, AttributeError, TypeError) as error:
            raise ValueError(
                f"path: got {shown(self.path)}; {{epoch}} is the only field that is accepted; double other braces"
            ) from error
        self.every = whole_or_epochs(every, "every")
        if best is not None and not isinstance(best, str):
            raise TypeError(f"best: got {shown(best)}; the name of a number is accepted, such as 'val_loss'")
        self.best = best
        self._best_value = math.inf

    def __call__(self, state: EpochState) -> None:
        """Save the network, if its number is the best so far or none is monitored, and its weights are finite."""
        value = None if self.best is None else state.falling(self.best)
        if (value is None or -math.inf < value < self._best_value) and np.isfinite(state.params).all():
            state.network.save(self.path.format(epoch=state.epoch))
            self._best_value = value  # once the file is whole
