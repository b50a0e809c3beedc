"""Activations: of each row of `_spec.activations` the value h = f(z) and the slope f'(z), side by side.

The slope follows from h, except of those that are kept, whose `_both` gives value and slope of z together.
"""

import math

import numpy as np

from fastmlp._spec.activations import ACTIVATIONS, STORED

LEAK = 0.01
# G. Klambauer et al., Self-normalizing neural networks (2017): the values that keep mean 0 and variance 1
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
# D. Hendrycks and K. Gimpel, Gaussian error linear units (2016): 2 sqrt(2 / pi); beyond the end the gate is 0 or 1
GELU_SLOPE, GELU_CUBIC, GELU_END = 2 * math.sqrt(2 / math.pi), 0.044715, 30.0
ERFC = np.frompyfunc(math.erfc, 1, 1)


def identity(z):
    return z


def identity_slope(h):
    return 1.0


def sigmoid(z):
    """1 / (1 + exp(-z)), as exp(z) / (1 + exp(z)) for negative z, so that nothing overflows."""
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, 1) / (1 + e)


def sigmoid_slope(h):
    return h * (1 - h)


tanh = np.tanh


def tanh_slope(h):
    return 1 - h * h


def relu(z):
    return np.maximum(z, 0)


def relu_slope(h):
    return np.where(h > 0, 1, h * 0)


def softmax(z):
    """exp(z) / Σ exp(z), row by row."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def leaky_relu(z):
    return np.maximum(z, LEAK * z)


def leaky_relu_slope(h):
    return np.where(h > 0, 1, h * 0 + LEAK)


def elu(z):
    return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))


def elu_slope(h):
    return np.where(h > 0, 1, h + 1)


def selu(z):
    return SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(np.minimum(z, 0)))


def selu_slope(h):
    return np.where(h > 0, SELU_SCALE, h + SELU_SCALE * SELU_ALPHA)


def softplus(z):
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def softplus_slope(h):
    return -np.expm1(-h)


exponential, exponential_slope = np.exp, identity


def silu_both(z):
    gate, (below, inside) = sigmoid(z), bounded(z)
    return below * gate, gate + inside * gate * (1 - gate)


def gelu_both(z):
    # NumPy has no erf; Python's own is in double, number by number.
    gate = (0.5 * ERFC(z.astype(np.float64) * -math.sqrt(0.5)).astype(np.float64)).astype(z.dtype)
    below, inside = bounded(z)
    return below * gate, gate + inside * (np.exp(-0.5 * z * z) * z.dtype.type(1 / math.sqrt(2 * math.pi)))


def gelu_tanh_both(z):
    gate, near = sigmoid(z * (GELU_SLOPE + z * z * (GELU_SLOPE * GELU_CUBIC))), np.clip(z, -GELU_END, GELU_END)
    slope = gate + near * gate * (1 - gate) * (GELU_SLOPE + near * near * (3 * GELU_SLOPE * GELU_CUBIC))
    return bounded(z)[0] * gate, slope


def hard_sigmoid(z):
    return np.clip(z * z.dtype.type(1 / 6) + z.dtype.type(0.5), 0, 1)


def hard_sigmoid_slope(h):
    return np.where((h > 0) & (h < 1), h.dtype.type(1 / 6), h * 0)


def hard_tanh(z):
    return np.clip(z, -1, 1)


def hard_tanh_slope(h):
    return np.where(np.abs(h) < 1, 1, h * 0)


def bounded(z):
    """z without -inf, and without either infinity: once a gate has closed, infinity times 0 is 0."""
    largest = np.finfo(z.dtype).max
    below = np.maximum(z, -largest)
    return below, np.minimum(below, largest)


_VALUES = {row.code: globals()[row.name] for row in ACTIVATIONS.values() if not row.kept}
_SLOPES = {row.code: globals()[f"{row.name}_slope"] for row in ACTIVATIONS.values() if not (row.kept or row.couples)}
_BOTH = {row.code: globals()[f"{row.name}_both"] for row in ACTIVATIONS.values() if row.kept}


def activate(z: np.ndarray, activation: int) -> np.ndarray:
    """h = f(z)."""
    return _BOTH[activation](z)[0] if activation in _BOTH else _VALUES[activation](z)


def slope(h: np.ndarray, activation: int) -> np.ndarray | float:
    """f'(z) from h = f(z), or h itself if it is the slope that was stored."""
    return h if activation == STORED else _SLOPES[activation](h)


def activate_both(z: np.ndarray, activation: int) -> tuple[np.ndarray, np.ndarray | float]:
    """h = f(z) and f'(z)."""
    if activation in _BOTH:
        return _BOTH[activation](z)
    h = activate(z, activation)
    return h, slope(h, activation)
