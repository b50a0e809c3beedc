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

    def __len__(self) -> int:
        """Count the epochs."""
        return len(self.loss)

    def __repr__(self) -> str:
        """Show the number of epochs, the last loss and the last accuracy."""
        if not len(self):
            return "History(0 epochs)"
        accuracy = "" if self.accuracy is None else f", accuracy {self.accuracy[-1]:.4g}"
        return f"History({len(self)} epochs, loss {self.loss[-1]:.4g}{accuracy})"

    def extended(self, later: History) -> History:
        """Join a later history to this one.

        Parameters
        ----------
        later : History
            What happened afterwards.

        Returns
        -------
        History
            Both, one after the other. A measure that only one of them has is NaN in the other's epochs.
        """
        if not len(self):
            return later
        joined = {
            name: _joined(getattr(self, name), getattr(later, name), len(self), len(later))
            for name in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "gradient_norm", "seconds")
        }
        best = None if later.best_epoch is None else len(self) + later.best_epoch
        return History(**joined, frames=self.frames + later.frames, stopped=later.stopped, best_epoch=best)


def _joined(first: np.ndarray | None, second: np.ndarray | None, epochs: int, later_epochs: int) -> np.ndarray | None:
    if first is None and second is None:
        return None
    first = np.full(epochs, np.nan) if first is None else first
    second = np.full(later_epochs, np.nan) if second is None else second
    return np.concatenate((first, second))
