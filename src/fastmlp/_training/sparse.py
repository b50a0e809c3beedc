"""Rows of a sparse matrix, made dense one window at a time, for matrices that would not fit in memory."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastmlp._checks.samples import Samples

WINDOW_BYTES = 1 << 24  # of dense rows at a time, but at least one batch
_BLOCK_BYTES = 1 << 22  # of those that are only read once


class SparseRows:
    """A sparse matrix of finite numbers (SciPy's CSR), whose rows become dense when they are read.

    Examples
    --------
    >>> import scipy.sparse
    >>> SparseRows(scipy.sparse.csr_array(np.eye(3)), np.dtype("float32"))[np.array([2, 0])].tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """

    def __init__(self, matrix: Any, dtype: np.dtype) -> None:
        self._matrix, self.dtype = matrix, np.dtype(dtype)
        self.shape: tuple[int, int] = matrix.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self._matrix[rows].toarray(order="C").astype(self.dtype, copy=False)

    def blocks(self) -> Iterator[np.ndarray]:
        count = max(1, _BLOCK_BYTES // (self.shape[1] * self.dtype.itemsize))
        for begin in range(0, len(self), count):
            yield self[begin : begin + count]


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
