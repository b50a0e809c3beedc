"""What the reference reads of records: layers as views of a flat vector, fields as numbers, tables of functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np


class Layer(NamedTuple):
    """A layer's weights and biases as views of a flat vector, its activation's code, and what it keeps and drops."""

    w: np.ndarray
    b: np.ndarray | None
    activation: int
    keeps_slopes: bool
    dropout: int


def layers_of(vector: np.ndarray, layers: np.ndarray) -> list[Layer]:
    """View a parameter or gradient vector layer by layer."""
    views = []
    for row in layers:
        layer = fields(row)
        w = vector[layer.weights :][: layer.inputs * layer.outputs].reshape(layer.inputs, layer.outputs)
        b = None if layer.bias < 0 else vector[layer.bias : layer.bias + layer.outputs]
        views.append(Layer(w, b, layer.activation, layer.slopes >= 0, layer.dropout))
    return views


def fields(record: np.void) -> SimpleNamespace:
    """A record's fields as plain numbers: NumPy takes longer to read a field than to multiply small matrices."""
    return SimpleNamespace(**dict(zip(record.dtype.names, record.item(), strict=True)))


def functions_of(namespace: Mapping[str, Any], names: Mapping[int, str]) -> dict[int, Callable[..., Any]]:
    """Find the functions of rows by their names; one that is missing is an error with its name."""
    missing = [name for name in names.values() if name not in namespace]
    if missing:
        raise ImportError(f"fastmlp: {namespace['__name__']} lacks {', '.join(missing)}, which a row of _spec names")
    return {code: namespace[name] for code, name in names.items()}
