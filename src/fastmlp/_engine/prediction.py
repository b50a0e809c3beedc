"""Predictions: plans and workspaces that are kept from one to the next."""

from typing import Any

import numpy as np

from fastmlp._engine.layout import Plan, aligned

_FORWARD_ROWS = 256  # rows that go through the layers together
_FEW_ROWS = 8  # up to which a prediction has a plan of its own, whose workspace is small enough to be kept


class Predictor:
    """Computes the outputs of one model, which each call is given; any number of threads may share it."""

    def __init__(self) -> None:
        self._plans: dict[int, Plan] = {}
        # Each prediction takes one and gives it back: pop and append are atomic, so no two threads share one.
        self._workspaces: list[np.ndarray] = []

    def outputs(self, model: Any, X: np.ndarray) -> np.ndarray | None:
        """Compute the output layer's activations, shape (rows, outputs); None if X is not finite."""
        rows = len(X)
        outputs = np.empty((rows, model.sizes[-1]), model.dtype)
        batch = _FEW_ROWS if rows <= _FEW_ROWS else _FORWARD_ROWS
        plan = self._plans.get(batch) or self._plans.setdefault(batch, model.plan(batch, batch, batch))
        workspaces = self._workspaces if batch == _FEW_ROWS else []
        try:
            workspace = workspaces.pop()
        except IndexError:
            workspace = aligned(np.empty, plan.workspace, model.dtype)
        with model.access.reading:
            finite = model.kernels.forward(outputs, model.params, plan, workspace, X)
        workspaces.append(workspace)
        return outputs if finite else None


def is_as_kernels_read(X: Any, dtype: np.dtype, columns: int) -> bool:
    """Return whether X passes the door as it is, except that its numbers may not be finite."""
    if type(X) is not np.ndarray or X.dtype != dtype or X.ndim != 2:
        return False
    flags = X.flags
    return len(X) > 0 and X.shape[1] == columns and flags.c_contiguous and flags.aligned
