"""Ready callbacks: a progress bar, a log as CSV, checkpoints; and `Every`, which lets any callback sleep in between.

A callback is any callable that takes the state of a training at the end of an epoch; one that returns True stops it.
It may have two more things that the loop looks for: ``every``, how many epochs pass from one call to the next, and
``close()``, which is called when the training ends, however it ends.

Imports `_scalars` only, and tqdm where a bar is asked for; the network and the command line may import it.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from fastmlp._scalars import whole

if TYPE_CHECKING:
    from fastmlp.training import EpochState


class Every:
    """Call a callback at the end of every k-th epoch only; the kernels do not stop for the others.

    Parameters
    ----------
    every : int
        k: epochs k, 2k, ... of a training, and its last one.
    callback : callable
        Takes a `training.EpochState`.

    Raises
    ------
    TypeError, ValueError
        If `every` is no whole number of at least 1, or `callback` cannot be called.

    Examples
    --------
    >>> Every(10, print).every
    10
    """

    def __init__(self, every: int, callback: Callable[[EpochState], object]) -> None:
        self.every = whole(every, "every")
        if not callable(callback):
            raise TypeError(f"callback: got {callback!r}; a callable that takes a state is accepted")
        self.callback = callback
        self.best = getattr(callback, "best", None)  # looked at before a training begins
        self.__name__ = getattr(callback, "__name__", type(callback).__name__)

    def __call__(self, state: EpochState) -> object:
        """Pass the state on."""
        return self.callback(state)

    def close(self) -> None:
        """Close the callback, if it has anything to close."""
        close = getattr(self.callback, "close", None)
        if close is not None:
            close()


class ProgressBar:
    """A tqdm bar with the last loss and accuracy.

    ``progress=True`` shows the same and costs nothing per epoch; in ``callbacks`` the loop stops at the end of every
    epoch, or of every k-th.

    Parameters
    ----------
    every : int, default 1
        How many epochs pass from one look to the next.
    **options
        For tqdm, such as ``leave=False`` or ``file=sys.stdout``.

    Raises
    ------
    ImportError
        If tqdm is not installed.
    TypeError, ValueError
        If `every` is no whole number of at least 1.

    Examples
    --------
    >>> import fastmlp, io
    >>> X, y = fastmlp.datasets.xor(40)
    >>> bar = ProgressBar(every=2, file=io.StringIO())
    >>> net = fastmlp.train(X, y, hidden=4, epochs=4, callbacks=[bar])
    """

    def __init__(self, every: int = 1, **options: Any) -> None:
        try:
            from tqdm import tqdm
        except ImportError as error:
            raise ImportError('the progress bar needs tqdm: pip install "fastmlp[cli]"') from error
        self.every = whole(every, "every")
        self._make = tqdm
        self._options = {"unit": " epochs", "unit_scale": True, "dynamic_ncols": True} | options
        self._bar: Any = None

    def __call__(self, state: Any) -> None:
        """Move the bar to the state's epoch; a `Progress` will do too."""
        if self._bar is None:
            self._bar = self._make(total=state.epochs, **self._options)
        shown = {"loss": f"{state.loss:.4g}"}
        if state.accuracy is not None and not math.isnan(state.accuracy):
            shown["accuracy"] = f"{state.accuracy:.4f}"
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update(state.epoch - self._bar.n)

    def close(self) -> None:
        """Leave the bar as it is; the next training gets a new one."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class CSVLog:
    """A line an epoch, into a CSV file: epoch, seconds, learning rate, losses, accuracies, metrics.

    Parameters
    ----------
    path : str or path-like
        Where to. An existing file is replaced when the training begins.
    every : int, default 1
        How many epochs pass from one line to the next.

    Raises
    ------
    TypeError, ValueError
        If `path` is no path or `every` no whole number of at least 1.

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

    def __init__(self, path: str | os.PathLike[str], every: int = 1) -> None:
        self.path = Path(path)
        self.every = whole(every, "every")
        self._file: TextIO | None = None
        self._writer: Any = None

    def __call__(self, state: EpochState) -> None:
        """Write the state's line; the first one stands below the columns' names."""
        numbers = {"epoch": state.epoch, "seconds": state.seconds, **state.numbers()}
        if self._file is None:
            self._file = self.path.open("w", newline="", encoding="utf-8")
            self._writer = csv.DictWriter(self._file, list(numbers))
            self._writer.writeheader()
        self._writer.writerow(numbers)
        self._file.flush()  # so that a training that is looked at, or that dies, has left its lines

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


class Checkpoint:
    """Save the network while it is trained: at every k-th epoch, or only where a number is the best one so far.

    Parameters
    ----------
    path : str or path-like
        Where to; ``{epoch}`` in it is replaced by the epoch. An existing file is replaced once the new one is whole.
    every : int, default 1
        How many epochs pass from one look to the next.
    best : str or None, default None
        The name of a number that is to fall (``"loss"``, ``"val_loss"``) or, of an accuracy or a metric that is to
        rise, to rise; the network is saved where it is the best so far. None saves it always.

    Raises
    ------
    TypeError, ValueError
        If `path` is no path, `every` no whole number of at least 1, or no number is called `best`.

    Examples
    --------
    >>> import fastmlp, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "net-{epoch}.safetensors")
    >>> X, y = fastmlp.datasets.xor(40)
    >>> net = fastmlp.train(X, y, hidden=4, epochs=4, callbacks=[Checkpoint(path, every=2)])
    >>> len(fastmlp.load(path.format(epoch=2)).params)
    17
    """

    def __init__(self, path: str | os.PathLike[str], every: int = 1, best: str | None = None) -> None:
        self.path = os.fspath(path)
        self.every = whole(every, "every")
        if best is not None and not isinstance(best, str):
            raise TypeError(f"best: got {best!r}; the name of a number is accepted, such as 'val_loss'")
        self.best = best
        self._least = math.inf

    def __call__(self, state: EpochState) -> None:
        """Save the network as it is, if it is time or it is the best."""
        if self.best is not None:
            value = state.falling(self.best)
            if not value < self._least:
                return
            self._least = value
        state.network.save(self.path.format(epoch=state.epoch))

    def close(self) -> None:
        """Forget the best number: the next training has its own."""
        self._least = math.inf
