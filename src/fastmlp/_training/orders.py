"""Orders of the rows that a callable gives, one per epoch: checked, and kept as long as they may be gone back to."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastmlp._spec.values import as_array

_AHEAD_NUMBERS = 1 << 16  # of rows that are asked for together, if a callable may be asked ahead of time


class GivenOrders:
    """What the kernels read of the orders: those of one epoch, or of a block of epochs.

    `ask` takes the number of an epoch of this training run, from 0 on, and returns as many numbers of rows as there
    are. It is asked when the epoch begins; one with an attribute ``ahead`` that is true may be asked for some epochs
    together, so that a kernel call need not end with each. `order`, of shape (held, rows), holds the orders of the
    block that was taken last, `held` is the number of its epochs.
    """

    def __init__(self, ask: Callable[[int], Any], rows: int, epochs: int) -> None:
        self._ask, self._rows, self._epochs = ask, rows, epochs
        self.ahead = bool(getattr(ask, "ahead", False))
        self.held = max(1, min(epochs, _AHEAD_NUMBERS // rows)) if self.ahead else 1
        self.order = np.empty((self.held, rows), np.int32)
        self._blocks: dict[int, np.ndarray] = {}  # of the last two: what is gone back to is not older
        self._pinned: dict[int, np.ndarray] = {}
        self._taken = -1

    def take(self, epoch: int) -> int:
        """Put the block of an epoch where the kernels read it, and return the epoch after the block.

        What is known is not asked for again.
        """
        first = epoch // self.held * self.held
        end = min(first + self.held, self._epochs)
        if first != self._taken:
            block = self._pinned.get(first, self._blocks.get(first))
            if block is None:
                block = self._block(range(first, end))
                self._blocks = dict([*self._blocks.items()][-1:]) | {first: block}
            self.order[: end - first] = block
            self._taken = first
        return end

    def of(self, epoch: int) -> np.ndarray:
        return self.order[epoch % self.held]

    def has(self, epoch: int) -> bool:
        return self._taken <= epoch < self._taken + self.held

    def pin(self) -> None:
        """Keep the block that was taken last until another one is pinned: its epochs may be run again."""
        if self._taken in self._blocks:  # else it is the pinned one
            self._pinned = {self._taken: self._blocks[self._taken]}

    def _block(self, epochs: range) -> np.ndarray:
        block = np.array([self._order(epoch) for epoch in epochs])
        low, high = block.min(), block.max()
        if low < 0 or high >= self._rows:
            raise ValueError(
                f"shuffle: got row {low if low < 0 else high} from the callable; 0 to {self._rows - 1} are accepted"
            )
        return block.astype(np.int32)

    def _order(self, epoch: int) -> np.ndarray:
        given = as_array(self._ask(epoch), "shuffle").copy()  # a copy: the callable may write into its array again
        if given.dtype.kind not in "iu" or given.shape != (self._rows,):
            raise ValueError(
                f"shuffle: got {given.dtype} of shape {given.shape} from the callable; ({self._rows},) numbers of rows "
                "are accepted"
            )
        return given
