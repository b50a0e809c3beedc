"""Orders of the rows that a callable gives, one an epoch: checked, and kept as long as they may be gone back to.

Imports nothing of fastmlp; the training loop imports it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

_AHEAD_NUMBERS = 1 << 16  # of rows that are asked for together, where a callable lets itself be asked ahead of time


class GivenOrders:
    """What the kernels read of the orders: those of one epoch, or of a block of epochs.

    A callable is asked for an epoch when that begins. One with an attribute ``ahead`` that is true may be asked for
    some epochs together, so that a call of the kernels need not end with each.

    Parameters
    ----------
    ask : callable
        Takes the number of an epoch of this training, from 0 on, and returns as many numbers of rows as there are.
    rows, epochs : int
        How many rows there are, and how many epochs the training has.

    Attributes
    ----------
    array : ndarray of int32, shape (held, rows)
        The orders of the block of epochs that was taken last.
    held : int
        Epochs of a block.
    """

    def __init__(self, ask: Callable[[int], Any], rows: int, epochs: int) -> None:
        self._ask, self._rows, self._epochs = ask, rows, epochs
        self.ahead = bool(getattr(ask, "ahead", False))
        self.held = max(1, min(epochs, _AHEAD_NUMBERS // rows)) if self.ahead else 1
        self.array = np.empty((self.held, rows), np.int32)
        self._blocks: dict[int, np.ndarray] = {}  # of the last two: what is gone back to is not older
        self._pinned: dict[int, np.ndarray] = {}
        self._taken = -1

    def take(self, epoch: int) -> int:
        """Put the block of an epoch where the kernels read it; what is known is not asked for again.

        Parameters
        ----------
        epoch : int
            Of this training, from 0 on.

        Returns
        -------
        int
            The epoch behind the block.
        """
        first = epoch // self.held * self.held
        end = min(first + self.held, self._epochs)
        if first != self._taken:
            block = self._pinned.get(first, self._blocks.get(first))
            if block is None:
                block = self._block(range(first, end))
                self._blocks = dict([*self._blocks.items()][-1:]) | {first: block}
            self.array[: end - first] = block
            self._taken = first
        return end

    def of(self, epoch: int) -> np.ndarray:
        """Give the order of an epoch of the block that was taken last."""
        return self.array[epoch % self.held]

    def has(self, epoch: int) -> bool:
        """Tell whether an epoch is of the block that was taken last."""
        return self._taken <= epoch < self._taken + self.held

    def pin(self) -> None:
        """Keep the block that was taken last until another one is pinned: its epochs may be run again."""
        if self._taken in self._blocks:  # else it is the pinned one
            self._pinned = {self._taken: self._blocks[self._taken]}

    def _block(self, epochs: range) -> np.ndarray:
        """Ask for the orders of some epochs, and check them."""
        block = np.array([self._order(epoch) for epoch in epochs])
        least, most = block.min(), block.max()
        if least < 0 or most >= self._rows:
            raise ValueError(
                f"shuffle: got row {least if least < 0 else most} from the callable; 0 to {self._rows - 1} are accepted"
            )
        return block.astype(np.int32)

    def _order(self, epoch: int) -> np.ndarray:
        """Ask for an order."""
        given = np.array(self._ask(epoch))  # a copy: the callable may write into its array again
        if given.dtype.kind not in "iu" or given.shape != (self._rows,):
            raise ValueError(
                f"shuffle: got {given.dtype} of shape {given.shape} from the callable; ({self._rows},) numbers of rows "
                "are accepted"
            )
        return given
