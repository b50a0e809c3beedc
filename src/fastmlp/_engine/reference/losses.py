"""Losses: of each row of `_spec.losses` one function of the outputs of a batch.

Those that take h return the loss of each output and its derivative by h; those that take z return h, the loss of each
output and its derivative by z; those that take rows return h, the loss of each row and its derivative by z.
"""

import math

import numpy as np

from fastmlp._engine.reference.activations import activate, sigmoid, slope
from fastmlp._spec.losses import LOSSES
from fastmlp._spec.records import METRICS


def squared_error(h, y, parameter):
    error = h - y
    return 0.5 * error * error, error


def absolute_error(h, y, parameter):
    error = h - y
    return np.abs(error), np.sign(error)


def huber(h, y, parameter):
    error = h - y
    inner = np.clip(error, -parameter, parameter)
    return inner * (error - 0.5 * inner), inner


def quantile(h, y, parameter):
    error = h - y
    derivative = np.where(error < 0, -parameter, np.sign(error) * (1 - parameter))
    return derivative * error, derivative


def log_cosh(h, y, parameter):
    error = h - y
    size = np.abs(error)
    near = 0.5 * np.log1p(np.sinh(np.minimum(size, 1)) ** 2)
    return np.where(size < 1, near, size + (np.log1p(np.exp(-2 * size)) - math.log(2))), np.tanh(error)


def hinge(h, y, parameter):
    missing = np.maximum(0, 1 - y * h)
    return missing, -y * np.where(missing > 0, 1, missing)


def binary_cross_entropy(z, y, parameter):
    target = y + parameter * (z.dtype.type(0.5) - y)
    h = sigmoid(z)
    return h, np.maximum(z, 0) - target * z + np.log1p(np.exp(-np.abs(z))), h - target


def rest_of_log(f):
    """f - log(1 + f), which rounding must not make negative."""
    return np.maximum(0, f - np.log1p(f))


def log_of_ratio(ratio, y, z):
    """log(y / h) for h = exp(z), also if the ratio y / h is not a normal number."""
    normal = (ratio >= np.finfo(ratio.dtype).tiny) & np.isfinite(ratio)
    return np.where(normal, np.log(ratio), np.log(y) - z)


def poisson(z, y, parameter):
    h = np.exp(z)
    error, ratio = h - y, y / h
    f = -error / h
    # near the optimum, y log(y / h) + h - y would be what two large numbers leave of each other
    loss = np.where(np.abs(f) < 0.25, -error * f - y * rest_of_log(f), y * log_of_ratio(ratio, y, z) + error)
    return h, np.where(y == 0, h, loss), error


def gamma(z, y, parameter):
    inverse, root = np.exp(-z), np.exp(-z / 2)
    ratio = np.where(np.isfinite(inverse), y * inverse, y * root * root)  # exp(-z) alone may overflow
    f = ratio - 1
    return np.exp(z), np.where(np.abs(f) < 0.25, rest_of_log(f), f - log_of_ratio(ratio, y, z)), -f


def cross_entropy(z, y, parameter):
    """h = softmax(z), loss = -Σ t log h, dz = h Σ t - t; t is y smoothed, or the one-hot row of a label."""
    shifted = z - z.max(axis=1, keepdims=True)
    e = np.exp(shifted)
    total = e.sum(axis=1)
    h = e / total[:, None]
    smoothing = 0.0 if parameter is None else float(parameter[0])
    target = y if y.ndim == 2 else (y[:, None] == np.arange(z.shape[1])).astype(z.dtype)
    if y.ndim == 1 and not smoothing:
        return h, np.log(total) - shifted[np.arange(len(z)), y], h - target
    target = target * z.dtype.type(1 - smoothing) + z.dtype.type(smoothing / z.shape[1])
    weight = target.sum(axis=1)
    return h, weight * np.log(total) - (target * shifted).sum(axis=1), h * weight[:, None] - target


_LOSSES = {row.code: (globals()[row.name], row.takes) for row in LOSSES.values()}


@np.errstate(all="ignore")
def output_forward_backward(losses, dz, h, z, samples, output) -> float:
    """h = f(z), the loss of each row, dz = dL/dz; returns the weight of the rows that were classified correctly."""
    y, weights, metric_weights = samples.y, samples.weights, samples.metric_weights
    function, takes = _LOSSES[output.loss]
    parameter = z.dtype.type(0) if output.parameters is None else output.parameters.astype(z.dtype)
    if takes == "row":
        h[:], losses[:], dz[:] = function(z, y, output.parameters)
    else:
        if takes == "h":
            h[:] = activate(z, output.activation)
            parts, derivative = function(h, y, parameter)
            np.multiply(derivative, slope(h, output.activation), out=dz)
        else:
            h[:], parts, dz[:] = function(z, y, parameter)
        missing = np.isnan(y)
        losses[:] = np.where(missing, 0, parts).sum(axis=1)
        dz[missing] = 0
    if weights is not None:
        losses[:] = np.where(weights == 0, 0, losses * weights)
        dz[:] = np.where(weights[:, None] == 0, 0, dz * weights[:, None])
    match METRICS[output.metric]:
        case "no_metric":
            return 0.0
        case "largest":
            correct = h.argmax(axis=1) == (y if y.ndim == 1 else y.argmax(axis=1))
        case "threshold":
            correct = (((h > output.threshold) == (y > output.threshold)) | np.isnan(y)).all(axis=1)
    return float(np.count_nonzero(correct) if metric_weights is None else metric_weights[correct].sum(dtype=np.float64))
