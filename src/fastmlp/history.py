"""The record of a training run, epoch by epoch."""

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from fastmlp._spec.shown import counted, table

_empty = partial(np.empty, 0)


@dataclass
class History:
    """The numbers of a training run, one entry per epoch.

    Parameters
    ----------
    loss : ndarray of float64, shape (epochs,)
        Mean objective over the epoch's batches, penalty included, each before its update: what is differentiated.
    accuracy : ndarray of float64, shape (epochs,), or None
        Fraction of the training rows that the same passes classify correctly; None for regression.
    val_loss, val_accuracy : ndarray of float64, shape (epochs,), or None
        Loss and accuracy of the validation rows, after the epoch's last update; None without validation rows.
    learning_rate : ndarray of float64, shape (epochs,)
        Learning rate of the epoch.
    gradient_norm : ndarray of float64, shape (epochs,)
        Euclidean norm of the objective's gradient at the epoch's last step.
    seconds : ndarray of float64, shape (epochs,)
        Wall-clock seconds of the epoch; short epochs are timed together, and each gets an equal part.
    frames : list of (int, ndarray)
        Copies of the parameter vector, each with the number of epochs before it, if they were requested.
    stopped : str
        Why the last training run stopped before its last epoch; empty if it did not.
    best_epoch : int or None
        With early stopping, the epoch, counted from 1, with the best monitored number of the last training run.
    metrics : dict of str to ndarray of float64, shape (epochs,)
        Values of the metrics after the epoch's last update, those of validation rows as ``val_...``; NaN for an epoch
        without a value.
    layer_epochs : ndarray of int64, shape (noted,)
        Epochs, counted from 0, of the rows of the two arrays below: the first 16, then one every 64 steps or more.
    layer_gradient_norms : ndarray of float64, shape (noted, layers)
        Euclidean norms of the gradient by each layer's parameters at the epoch's last step.
    layer_activations : ndarray of float64, shape (noted, layers)
        Root mean squares of each layer's outputs over the rows of that step.
    n_threads : int
        Number of threads that ran the last training run; 0 if none has run.

    Examples
    --------
    >>> History().loss.shape, len(History())
    ((0,), 0)
    """

    loss: np.ndarray = field(default_factory=_empty)
    accuracy: np.ndarray | None = None
    val_loss: np.ndarray | None = None
    val_accuracy: np.ndarray | None = None
    learning_rate: np.ndarray = field(default_factory=_empty)
    gradient_norm: np.ndarray = field(default_factory=_empty)
    seconds: np.ndarray = field(default_factory=_empty)
    frames: list[tuple[int, np.ndarray]] = field(default_factory=list)
    stopped: str = ""
    best_epoch: int | None = None
    metrics: dict[str, np.ndarray] = field(default_factory=dict)
    layer_epochs: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    layer_gradient_norms: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    layer_activations: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    n_threads: int = 0

    def __len__(self) -> int:
        return len(self.loss)

    def __repr__(self) -> str:
        numbers = self.to_dict()
        names = [name for name in (*_MEASURES, *self.metrics) if name in numbers and len(self)]
        last = [f"{name} {numbers[name][-1]:.4g}" for name in names]
        stopped = f"; stopped: {self.stopped}" if self.stopped else ""
        return f"History({', '.join([counted(len(self), 'epoch'), *last])}{stopped})"

    def _repr_html_(self) -> str:
        """Return each number's first and last value as a table, for notebooks."""
        caption = f"History: {counted(len(self), 'epoch')} in {self.seconds.sum():.3g} s"
        caption += f"; stopped: {self.stopped}" if self.stopped else ""
        numbers = self.to_dict() if len(self) else {}
        rows = [(name, f"{values[0]:.4g}", f"{values[-1]:.4g}") for name, values in numbers.items()]
        return table(caption, ("", "first", "last"), rows)

    def to_dict(self) -> dict[str, np.ndarray]:
        """Return the numbers by their names, all of one length, such as for ``pandas.DataFrame(history.to_dict())``.

        Returns
        -------
        dict of str to ndarray, shape (epochs,)
            ``epoch``, counted from 1, then the fields that have a number per epoch, as far as they are there, then the
            metrics. The arrays are those of the history, not copies.

        Examples
        --------
        >>> import fastmlp
        >>> X, y = fastmlp.datasets.xor(40)
        >>> list(fastmlp.train(X, y, hidden=4, epochs=3, metrics=["f1"], seed=0).history.to_dict())
        ['epoch', 'loss', 'accuracy', 'learning_rate', 'gradient_norm', 'seconds', 'f1']
        """
        numbers = {name: getattr(self, name) for name in _BY_EPOCH} | self.metrics
        known = {name: values for name, values in numbers.items() if values is not None and len(values) == len(self)}
        return {"epoch": np.arange(1, len(self) + 1)} | known

    def extended(self, *later: "History") -> "History":
        """Return this history joined with those of later training runs.

        Parameters
        ----------
        *later : History
            Histories of later training runs, in order.

        Returns
        -------
        History
            All epochs in order. A measure that only some histories have is NaN in the epochs of the others. `stopped`,
            `best_epoch` and `n_threads` are those of the last history with an epoch.
        """
        parts = [part for part in (self, *later) if len(part)] or [self]
        if len(parts) == 1:
            return parts[0]
        last, lengths = parts[-1], [len(part) for part in parts]
        names = dict.fromkeys(name for part in parts for name in part.metrics)
        noted = [part for part in parts if part.layer_epochs.size] or [last]
        return replace(
            last,
            **{name: _joined([getattr(part, name) for part in parts], lengths) for name in _BY_EPOCH},
            **{name: np.concatenate([getattr(part, name) for part in noted]) for name in _BY_NOTE},
            metrics={name: _joined([part.metrics.get(name) for part in parts], lengths) for name in names},
            frames=[frame for part in parts for frame in part.frames],
            best_epoch=None if last.best_epoch is None else sum(lengths[:-1]) + last.best_epoch,
        )


_MEASURES = ("loss", "accuracy", "val_loss", "val_accuracy")
_BY_EPOCH = (*_MEASURES, "learning_rate", "gradient_norm", "seconds")
_BY_NOTE = ("layer_epochs", "layer_gradient_norms", "layer_activations")


def _joined(parts: list[np.ndarray | None], lengths: list[int]) -> np.ndarray | None:
    """Concatenate columns, with NaN for those that are None; return None if all are."""
    if all(part is None for part in parts):
        return None
    return np.concatenate(
        [np.full(length, np.nan) if part is None else part for part, length in zip(parts, lengths, strict=True)]
    )
