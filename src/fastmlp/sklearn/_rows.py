"""The rows that a fit is given: what it keeps of them, and sparse ones made dense, whole or in windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse

from fastmlp._training.sparse import SparseRows

# What scikit-learn's check of X is told.
ACCEPTED: dict[str, Any] = {"accept_sparse": ("csr", "csc"), "dtype": (np.float64, np.float32)}
_DENSE_PARTS = 4  # a sparse X is made dense whole if that takes at most a fourth of the free memory,
_DENSE_BYTES = 1 << 30  # or at most this if the system does not report its free memory


class Rows(NamedTuple):
    """Checked rows: X, coded targets, weights times those of the rows' classes, and weights as they were given."""

    X: Any
    y: np.ndarray
    weights: np.ndarray | None
    given: np.ndarray | None


def dense_bytes() -> int:
    """Return up to how many bytes a sparse X is made dense whole."""
    system = Path("/proc/meminfo")
    lines = system.read_text().splitlines() if system.exists() else []
    free = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return free[0] // _DENSE_PARTS if free else _DENSE_BYTES


def dense(X: Any, dtype: np.dtype) -> np.ndarray:
    return SparseRows(X.tocsr(), dtype)[:] if issparse(X) else X


def dense_or_windows(X: Any, dtype: np.dtype) -> Any:
    """Return rows as a dense array, or as SparseRows if it would be too large."""
    if issparse(X) and X.shape[0] * X.shape[1] * dtype.itemsize > dense_bytes():
        return SparseRows(X.tocsr(), dtype)
    return dense(X, dtype)
