"""Derivatives of a network's outputs by its inputs."""

from typing import Any

import numpy as np

from fastmlp._engine.reference.activations import softmax
from fastmlp._spec.activations import ACTIVATIONS

_BLOCK_BYTES = 1 << 22  # of the derivatives by one layer's units at a time


def input_gradient(model: Any, X: Any) -> np.ndarray:
    """Compute dh_L / dx of each row, shape (rows, outputs, inputs); rows may be sparse ones."""
    outputs, widest = model.sizes[-1], max(model.sizes)
    result = np.empty((len(X), outputs, model.sizes[0]), model.dtype)
    count = max(1, _BLOCK_BYTES // (outputs * widest * model.dtype.itemsize))
    with model.access.reading, np.errstate(all="ignore"):  # what overflows is infinite, as in every pass
        for begin in range(0, len(X), count):
            part = slice(begin, begin + count)
            result[part] = _of_rows(model, X[part])
    return result


def _of_rows(model: Any, x: np.ndarray) -> np.ndarray:
    """Multiply the layers' slopes and weights from the last layer down: dh_L / dh_below = dh_L / dz Wᵀ."""
    slopes, h = [], x
    for number, name in enumerate(model.activations):
        h, slope = _layer(model, number, name, h)
        slopes.append(slope)
    below = model.weights[-1].T
    if ACTIVATIONS[model.activations[-1]].couples:  # dh_i / dz_j = h_i ([i = j] - h_j)
        gradient = h[:, :, None] * (below - (h @ below)[:, None, :])
    else:
        gradient = slopes[-1][:, :, None] * below
    for weights, slope in zip(reversed(model.weights[:-1]), reversed(slopes[:-1]), strict=True):
        gradient *= slope[:, None, :]
        gradient = (gradient.reshape(-1, weights.shape[1]) @ weights.T).reshape(len(x), -1, len(weights))
    return gradient


def _layer(model: Any, number: int, name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a layer's h = f(z) and its slopes f'(z), as the kernels compute them; a softmax has no slopes."""
    weights, biases = model.weights[number], model.biases[number] if model.biases else None
    z, h = (np.empty((len(x), weights.shape[1]), model.dtype) for _ in range(2))
    model.kernels.dense_forward(z, x, weights, biases, ACTIVATIONS["identity"].code)
    if ACTIVATIONS[name].couples:
        return softmax(z), None
    slopes = np.empty_like(z)
    model.kernels.activation_forward(h, slopes, z, ACTIVATIONS[name].code)
    return h, slopes
