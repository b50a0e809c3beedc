"""What happened during a training, epoch by epoch.

Training fills it; the network keeps it, plotting draws it. Imports nothing of fastmlp.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


def _empty() -> np.ndarray:
    return np.empty(0)


@dataclass
class History:
    """One entry an epoch.

    Parameters
    ----------
    loss : ndarray of float64, shape (epochs,)
        The mean objective over the epoch's batches, penalty included, each before its update: what was
        differentiated.
    accuracy : ndarray of float64, shape (epochs,), or None
        The fraction of training rows classified rightly in the same passes; None for regression.
    val_loss, val_accuracy : ndarray of float64, shape (epochs,), or None
        The same of validation rows, after the epoch's last update; None without validation rows.
    learning_rate : ndarray of float64, shape (epochs,)
        The rate that the epoch used.
    gradient_norm : ndarray of float64, shape (epochs,)
        The Euclidean norm of the objective's gradient at the epoch's last step.
    seconds : ndarray of float64, shape (epochs,)
        Wall-clock seconds that the epoch took; short epochs are timed together and share evenly.
    frames : list of (int, ndarray)
        Copies of the parameter vector, each with the number of epochs behind it, where they were asked for.
    stopped : str
        Why the last training stopped before its last epoch; empty where it did not.
    best_epoch : int or None
        With early stopping, the epoch, counted from 1, whose number was the best one of the last training.
    metrics : dict of str to ndarray of float64, shape (epochs,)
        What was measured besides, after the epoch's last update; of validation rows as ``val_...``. NaN where it was
        not.
    layer_epochs : ndarray of int64, shape (noted,)
        The epochs, counted from 0, of which the two below tell: the first 16, and then one every 64 steps or more.
    layer_gradient_norms : ndarray of float64, shape (noted, layers)
        The Euclidean norms of the gradient by each layer's parameters at the epoch's last step.
    layer_activations : ndarray of float64, shape (noted, layers)
        The root mean squares of each layer's outputs over the rows of that step.

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

    def __len__(self) -> int:
        """Count the epochs."""
        return len(self.loss)

    def __repr__(self) -> str:
        """Show the number of epochs, the last loss and the last accuracy."""
        if not len(self):
            return "History(0 epochs)"
        accuracy = "" if self.accuracy is None else f", accuracy {self.accuracy[-1]:.4g}"
        return f"History({len(self)} epochs, loss {self.loss[-1]:.4g}{accuracy})"

    def extended(self, *later: History) -> History:
        """Join later histories to this one.

        Parameters
        ----------
        *later : History
            What happened afterwards, in order.

        Returns
        -------
        History
            All, one after the other. A measure that only some of them have is NaN in the others' epochs.
        """
        parts = [part for part in (self, *later) if len(part)]
        if len(parts) < 2:
            return parts[0] if parts else self
        lengths = [len(part) for part in parts]
        joined = {name: _joined([getattr(part, name) for part in parts], lengths) for name in _BY_EPOCH}
        names = dict.fromkeys(name for part in parts for name in part.metrics)
        last = parts[-1]
        return History(
            **joined,
            metrics={name: _joined([part.metrics.get(name) for part in parts], lengths) for name in names},
            **{name: np.concatenate([getattr(part, name) for part in parts if part.layer_epochs.size] or [
                getattr(last, name)]) for name in _BY_NOTE},
            frames=[frame for part in parts for frame in part.frames], stopped=last.stopped,
            best_epoch=None if last.best_epoch is None else sum(lengths[:-1]) + last.best_epoch,
        )


_BY_EPOCH = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "gradient_norm", "seconds")
_BY_NOTE = ("layer_epochs", "layer_gradient_norms", "layer_activations")


def _joined(parts: list[np.ndarray | None], lengths: list[int]) -> np.ndarray | None:
    """Put columns one behind the other, NaN where one is missing; None where all are."""
    if all(part is None for part in parts):
        return None
    return np.concatenate(
        [np.full(length, np.nan) if part is None else part for part, length in zip(parts, lengths, strict=True)]
    )
