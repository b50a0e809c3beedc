"""Arrays that begin on a cache line, so that no vector lies across two."""

from __future__ import annotations

import numpy as np

LINE_BYTES = 64


def aligned_zeros(size: int, dtype: np.dtype) -> np.ndarray:
    """Return zeros that begin on a cache line."""
    return _aligned(np.zeros(size + LINE_BYTES // dtype.itemsize, dtype), size)


def aligned_empty(size: int, dtype: np.dtype) -> np.ndarray:
    """Return numbers of any value that begin on a cache line."""
    return _aligned(np.empty(size + LINE_BYTES // dtype.itemsize, dtype), size)


def _aligned(array: np.ndarray, size: int) -> np.ndarray:
    """Leave out what lies before a cache line begins, and past `size` numbers."""
    first = -array.ctypes.data % LINE_BYTES // array.itemsize
    return array[first : first + size]
