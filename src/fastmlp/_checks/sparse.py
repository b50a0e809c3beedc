"""Sparse features: their rows become dense all at once or, where that would take too much memory, part by part."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

_DENSE_PARTS = 4  # a sparse X is made dense whole if that takes at most a fourth of the free memory,
_DENSE_BYTES = 1 << 30  # or at most this if the system does not report its free memory
_BLOCK_BYTES = 1 << 22  # of dense rows at a time that are only read once


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

    def part(self, rows: np.ndarray) -> "SparseRows":
        """Return some of the rows, which stay sparse."""
        return SparseRows(self._matrix[rows], self.dtype)

    def blocks(self) -> Iterator[np.ndarray]:
        count = max(1, _BLOCK_BYTES // (self.shape[1] * self.dtype.itemsize))
        for begin in range(0, len(self), count):
            yield self[begin : begin + count]


def is_sparse(X: Any) -> bool:
    """Return whether X is one of SciPy's sparse matrices or arrays; there is none before SciPy was imported."""
    issparse = getattr(sys.modules.get("scipy.sparse"), "issparse", None)
    return issparse is not None and issparse(X)


def dense_bytes() -> int:
    """Return up to how many bytes a sparse X is made dense whole."""
    system = Path("/proc/meminfo")
    lines = system.read_text().splitlines() if system.exists() else []
    free = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return free[0] // _DENSE_PARTS if free else _DENSE_BYTES


def dense(X: Any, dtype: np.dtype) -> np.ndarray:
    return SparseRows(X.tocsr(), dtype)[:] if is_sparse(X) else X


def dense_or_windows(X: Any, dtype: np.dtype) -> Any:
    """Return rows as a dense array, or as SparseRows if it would be too large."""
    if is_sparse(X) and X.shape[0] * X.shape[1] * np.dtype(dtype).itemsize > dense_bytes():
        return SparseRows(X.tocsr(), dtype)
    return dense(X, dtype)
