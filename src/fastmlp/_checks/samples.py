"""Checked rows: features, coded targets and weights, as the kernels read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Samples:
    """Checked rows, their coded targets and their weights, of mean 1; None if there are none.

    `total` is the sum of the weights as they were given; None if all rows weigh the same.
    """

    x: Any = None
    y: np.ndarray | None = None
    weights: np.ndarray | None = None
    total: float | None = None

    def __len__(self) -> int:
        """Count the rows."""
        return 0 if self.x is None else len(self.x)

    @classmethod
    def weighted(cls, x: Any, y: np.ndarray, weights: np.ndarray | None) -> Samples:
        """Take rows with weights of any mean."""
        if weights is None:
            return cls(x, y)
        total = float(weights.sum())
        return cls(x, y, (weights * (len(weights) / total)).astype(x.dtype), total)

    @property
    def size(self) -> float:
        """N of the objective: the number of rows, or the sum of their weights."""
        return len(self) if self.total is None else self.total
