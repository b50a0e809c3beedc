"""What the reference reads of records: layers as views of a flat vector, fields as numbers."""

from types import SimpleNamespace

import numpy as np


def layers_of(vector: np.ndarray, layers: np.ndarray) -> list[SimpleNamespace]:
    """View a parameter or gradient vector layer by layer: each layer's fields, and its w and b as views."""
    views = [fields(row) for row in layers]
    for layer in views:
        layer.w = vector[layer.weights :][: layer.inputs * layer.outputs].reshape(layer.inputs, layer.outputs)
        layer.b = None if layer.bias < 0 else vector[layer.bias : layer.bias + layer.outputs]
    return views


def fields(record: np.void) -> SimpleNamespace:
    """A record's fields as plain numbers: NumPy takes longer to read a field than to multiply small matrices."""
    return SimpleNamespace(**dict(zip(record.dtype.names, record.item(), strict=True)))
