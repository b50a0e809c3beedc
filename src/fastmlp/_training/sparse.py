"""Rows of a sparse matrix, made dense one window at a time, for matrices that would not fit in memory."""

from collections.abc import Callable

import numpy as np

from fastmlp._checks.samples import Samples
from fastmlp._checks.sparse import SparseRows

WINDOW_BYTES = 1 << 24  # of dense rows at a time, but at least one batch


class Window:
    """Some batches' rows, targets and weights, and an order that leads the kernels to them.

    `x`, `y`, `weights` and `metric_weights` are those of the batches that the window holds; `order`, of shape (rows,),
    says for a sample of the epoch where in the window it is, if the window holds it.
    """

    held = 1  # the epochs of `order`

    def __init__(self, samples: Samples, batch: int) -> None:
        x, self._batch, self._rows = samples.x, batch, len(samples)
        self._source = x, samples.y, samples.weights, samples.metric_weights
        count = min(len(x), batch * max(1, WINDOW_BYTES // (batch * x.shape[1] * x.dtype.itemsize)))
        self._parts = self.x, self.y, self.weights, self.metric_weights = tuple(
            None if part is None else np.empty((count, *part.shape[1:]), part.dtype) for part in self._source
        )
        self.order = np.zeros(len(x), np.int32)
        self._holds = (-1, 0, 0)

    def fill(self, epoch: int, batch: int, order_of: Callable[[int], np.ndarray | None]) -> int:
        """Hold the batches from one on, and return how many are held, of the epoch's that are left.

        What is held already is not made dense again. `order_of` takes the epoch and returns its order of the rows, or
        None: as they come.
        """
        first = batch * self._batch
        held_epoch, begin, end = self._holds
        if held_epoch != epoch or not begin <= first < end:
            end = min(self._rows, first + len(self.x))
            order = order_of(epoch)
            rows = slice(first, end) if order is None else order[first:end]
            for held, source in zip(self._parts, self._source, strict=True):
                if held is not None:
                    held[: end - first] = source[rows]
            self.order[first:end] = np.arange(end - first)
            self._holds = (epoch, first, end)
        return -(-(end - first) // self._batch)


def window(samples: Samples, batch: int) -> Window | None:
    """Return the window that rows are read through; None if they are dense."""
    return Window(samples, batch) if isinstance(samples.x, SparseRows) else None
