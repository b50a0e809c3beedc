"""The NumPy twin of the kernels: the same functions, in the same order, with the same signatures.

It is what every kernel is compared with, what a reader can follow, and a backend of its own
(``backend="reference"``). It computes in the dtype of the arrays it is given, in one thread, and takes no notice of
the workspace, the slabs and the barrier's counters. Formulas stand in kernels/edge.pxi and in `losses`; here they are
written down as plainly as NumPy's speed allows.

Imports the layout only; `_backend` imports it.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from fastmlp import _layout

_IDENTITY, _SIGMOID, _TANH, _RELU, _SOFTMAX, _LEAKY_RELU, _ELU, _SELU, _SOFTPLUS, _EXPONENTIAL = range(10)
_SILU, _GELU, _GELU_TANH, _HARD_SIGMOID, _HARD_TANH, _STORED = range(10, 16)
_LEAK = 0.01
# G. Klambauer et al., Self-normalizing neural networks (2017): the values that keep mean 0 and variance 1
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
_SQUARED_ERROR, _BINARY_CROSS_ENTROPY, _CROSS_ENTROPY, _ABSOLUTE_ERROR, _HUBER = range(5)
_QUANTILE, _LOG_COSH, _POISSON, _GAMMA, _HINGE = range(5, 10)
_NO_METRIC, _LARGEST, _THRESHOLD, _SIGN = range(4)
_NADAM = 2
_DROPOUT_STREAM = 0xD1B54A32D192ED03
# D. Hendrycks and K. Gimpel, Gaussian error linear units (2016): 2 sqrt(2 / pi); beyond the end the gate is 0 or 1
_GELU_SLOPE, _GELU_END = 2 * math.sqrt(2 / math.pi), 30.0
_DENSITY_AT_0 = 1 / math.sqrt(2 * math.pi)
_ERFC = np.frompyfunc(math.erfc, 1, 1)
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1
_LOSS, _ACCURACY, _VAL_LOSS, _VAL_ACCURACY, _, _GRADIENT_NORM = range(len(_layout.EPOCH.names))


# As in the kernels, what overflows is infinite, what has no value is NaN, and no word is said: training looks at the
# loss.
_quietly = np.errstate(all="ignore")


def sizes() -> dict:
    """What _layout.py has to know of this build: lanes, blocks and the sizes of its records in bytes."""
    return {
        "dtype": "float64", "lanes": 1, "tile_rows": 1, "pack_reals": 0, "row_block": 1,
        "layer": _layout.LAYER.itemsize, "slab": _layout.SLAB.itemsize, "settings": _layout.SETTINGS.itemsize,
        "epoch": _layout.EPOCH.itemsize, "position": _layout.POSITION.itemsize,
    }


def current_cpu() -> int:
    """The number of the CPU that this thread runs on; -1 where the system does not say."""
    return -1


@_quietly
def exp_forward(y, x, size):
    """y = exp(x)."""
    np.exp(x[:size], out=y[:size])


@_quietly
def log_forward(y, x, size):
    """y = log(x)."""
    np.log(x[:size], out=y[:size])


def _sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)), as exp(z) / (1 + exp(z)) for negative z, so that nothing overflows."""
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, 1) / (1 + e)


def _activate(z: np.ndarray, activation: int) -> np.ndarray:
    """h = f(z)."""
    if activation == _SIGMOID:
        return _sigmoid(z)
    if activation == _TANH:
        return np.tanh(z)
    if activation == _RELU:
        return np.maximum(z, 0)
    if activation == _LEAKY_RELU:
        return np.maximum(z, _LEAK * z)
    if activation == _ELU:
        return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))
    if activation == _SELU:
        return _SELU_SCALE * np.where(z > 0, z, _SELU_ALPHA * np.expm1(np.minimum(z, 0)))
    if activation == _SOFTPLUS:
        return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))
    if activation == _EXPONENTIAL:
        return np.exp(z)
    if activation == _HARD_SIGMOID:
        return np.clip(z * z.dtype.type(1 / 6) + z.dtype.type(0.5), 0, 1)
    if activation == _HARD_TANH:
        return np.clip(z, -1, 1)
    if activation in (_SILU, _GELU, _GELU_TANH):
        return _bounded(z)[0] * _gate(z, activation)
    if activation == _SOFTMAX:
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)
    return z


def _slope(h: np.ndarray, activation: int) -> np.ndarray | float:
    """f'(z) from h = f(z), or h itself where it is the slope that was stored."""
    if activation == _STORED:
        return h
    if activation == _SIGMOID:
        return h * (1 - h)
    if activation == _TANH:
        return 1 - h * h
    if activation == _RELU:
        return np.where(h > 0, 1, h * 0)
    if activation == _LEAKY_RELU:
        return np.where(h > 0, 1, h * 0 + _LEAK)
    if activation == _ELU:
        return np.where(h > 0, 1, h + 1)
    if activation == _SELU:
        return np.where(h > 0, _SELU_SCALE, h + _SELU_SCALE * _SELU_ALPHA)
    if activation == _SOFTPLUS:
        return -np.expm1(-h)
    if activation == _HARD_SIGMOID:
        return np.where((h > 0) & (h < 1), h.dtype.type(1 / 6), h * 0)
    if activation == _HARD_TANH:
        return np.where(np.abs(h) < 1, 1, h * 0)
    return 1.0


def _bounded(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """z without -inf, and without either: where a gate has closed, infinity times 0 is 0."""
    largest = np.finfo(z.dtype).max
    below = np.maximum(z, -largest)
    return below, np.minimum(below, largest)


def _gate(z: np.ndarray, activation: int) -> np.ndarray:
    """What z is multiplied with: sigmoid(z), Phi(z), or sigmoid(2 sqrt(2 / pi) (z + 0.044715 z^3))."""
    if activation == _SILU:
        return _sigmoid(z)
    if activation == _GELU_TANH:
        return _sigmoid(z * (_GELU_SLOPE + z * z * (_GELU_SLOPE * 0.044715)))
    # NumPy has no erf; Python's own is in double, number by number.
    return (0.5 * _ERFC(z.astype(np.float64) * -math.sqrt(0.5)).astype(np.float64)).astype(z.dtype)


def _activate_both(z: np.ndarray, activation: int) -> tuple[np.ndarray, np.ndarray]:
    """h = f(z) and f'(z), for those too whose slope does not follow from h."""
    if activation not in (_SILU, _GELU, _GELU_TANH):
        h = _activate(z, activation)
        return h, np.broadcast_to(_slope(h, activation), z.shape)
    gate, (below, inside) = _gate(z, activation), _bounded(z)
    if activation == _SILU:
        slope = gate + inside * gate * (1 - gate)
    elif activation == _GELU:
        slope = gate + inside * (np.exp(-0.5 * z * z) * z.dtype.type(_DENSITY_AT_0))
    else:
        near = np.clip(z, -_GELU_END, _GELU_END)
        slope = gate + near * gate * (1 - gate) * (_GELU_SLOPE + near * near * (3 * _GELU_SLOPE * 0.044715))
    return below * gate, slope


@_quietly
def activation_forward(h, slopes, z, activation, size):
    """h = f(z), and slopes = f'(z) where there is room for them; f any but softmax."""
    if slopes is None:
        h[:size] = _activate(z[:size], activation)
    else:
        h[:size], slopes[:size] = _activate_both(z[:size], activation)


@_quietly
def activation_backward(dz, dh, h, activation, size):
    """dz = dh f'(z), f' from h = f(z) where it follows from it, or h = f'(z) itself with the code STORED."""
    dz[:size] = dh[:size] * _slope(h[:size], activation)


def _mix_words(x: np.ndarray) -> np.ndarray:
    """A bijection of 32 bits that leaves no pattern: the finaliser of MurmurHash3 (A. Appleby, 2011)."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


def dropout(h, slopes, threshold, seed, epoch, layer, first, rows, size):
    """h = h m / (1 - p), slopes likewise; m is 0 for a share p = threshold / 2^31 of the units, else 1."""
    of_epoch = _mix_once((seed ^ _DROPOUT_STREAM) + _GOLDEN * (epoch + 1))
    key = _mix_once(of_epoch + _GOLDEN * (layer + 1))
    numbers = ((first * size) & 0xFFFFFFFF) + np.arange(rows * size, dtype=np.uint64).reshape(rows, size)
    numbers = (numbers & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    drawn = _mix_words(_mix_words(numbers ^ np.uint32(key & 0xFFFFFFFF)) ^ np.uint32(key >> 32))
    kept = (drawn >> np.uint32(1)) >= threshold
    scale = h.dtype.type(1.0 / (1.0 - threshold / 2147483648.0))
    h[:] = np.where(kept, h * scale, 0)
    slopes[:] = np.where(kept, slopes * scale, 0)


@_quietly
def dense_forward(y, x, w, b, activation, rows, inputs, outputs, skips=True):
    """y = f(x w + b)."""
    z = x @ w
    if b is not None:
        z += b
    y[:] = _activate(z, activation)


@_quietly
def dense_backward_inputs(dx, dy, w, x, activation, rows, inputs, outputs, skips=True):
    """dx = (dy wᵀ) f'(z), f' from x = f(z), the layer's inputs."""
    np.matmul(dy, w.T, out=dx)
    if activation != _IDENTITY:
        dx *= _slope(x, activation)


@_quietly
def dense_backward_weights(dw, db, x, dy, rows, inputs, outputs, skips=True):
    """dw = xᵀ dy, db = Σ_rows dy."""
    np.matmul(x.T, dy, out=dw)
    if db is not None:
        np.sum(dy, axis=0, out=db)


@_quietly
def output_forward_backward(
    losses, dz, h, z, y, weights, loss_parameters, loss, metric, activation, rows, outputs
) -> float:
    """h = f(z), the loss of each row, dz = dL/dz; returns the weight of the rows that were classified rightly."""
    # the one parameter of a cross-entropy is its smoothing
    smoothing = 0.0 if loss_parameters is None else float(loss_parameters[0])
    if loss == _CROSS_ENTROPY:
        _cross_entropy(losses, dz, h, z, y, smoothing)
    else:
        if loss == _BINARY_CROSS_ENTROPY:
            target = y + z.dtype.type(smoothing) * (z.dtype.type(0.5) - y)
            parts = np.maximum(z, 0) - target * z + np.log1p(np.exp(-np.abs(z)))
            h[:] = _sigmoid(z)
            np.subtract(h, target, out=dz)
        elif loss in (_POISSON, _GAMMA):
            parts = _half_deviance(dz, h, z, y, loss)
        elif loss == _HINGE:
            h[:] = z
            parts = np.maximum(0, 1 - y * h)
            dz[:] = -y * np.where(parts > 0, 1, parts)
        else:
            h[:] = _activate(z, activation)
            parts, slope = _loss_of_error(h - y, loss_parameters, loss)
            np.multiply(slope, _slope(h, activation), out=dz)
        missing = np.isnan(y)
        losses[:] = np.where(missing, 0, parts).sum(axis=1)
        dz[missing] = 0
    if weights is not None:
        losses[:] = np.where(weights == 0, 0, losses * weights)
        dz[:] = np.where(weights[:, None] == 0, 0, dz * weights[:, None])
    return _hits(h, y, weights, metric)


def _cross_entropy(losses, dz, h, z, y, smoothing: float) -> None:
    """h = softmax(z), loss = -Σ t log h, dz = h Σ t - t; t is y smoothed, or the one-hot row of a label."""
    outputs = z.shape[1]
    shifted = z - z.max(axis=1, keepdims=True)
    e = np.exp(shifted)
    total = e.sum(axis=1)
    np.divide(e, total[:, None], out=h)
    if y.ndim == 1:
        every = np.arange(len(z))
        label = shifted[every, y]
        if not smoothing:
            losses[:] = np.log(total) - label
            dz[:] = h
            dz[every, y] -= 1
            return
        target = np.zeros_like(z)
        target[every, y] = 1
    else:
        target = y
    target = target * z.dtype.type(1 - smoothing) + z.dtype.type(smoothing / outputs)
    weight = target.sum(axis=1)
    losses[:] = weight * np.log(total) - (target * shifted).sum(axis=1)
    dz[:] = h * weight[:, None] - target


def _half_deviance(dz, h, z, y, loss: int) -> np.ndarray:
    """h = exp(z), and dz; returns the loss of each output."""
    np.exp(z, out=h)
    if loss == _POISSON:
        np.subtract(h, y, out=dz)
        return np.where(y == 0, h, y * (np.log(y) - z) + (h - y))
    ratio = y * np.exp(-z)
    np.subtract(1, ratio, out=dz)
    return ratio - 1 - (np.log(y) - z)


def _loss_of_error(error: np.ndarray, parameters: np.ndarray | None, loss: int) -> tuple[np.ndarray, np.ndarray]:
    """The loss of each output whose error is h - y, and its derivative by h."""
    size = np.abs(error)
    if loss == _ABSOLUTE_ERROR:
        return size, np.sign(error)
    if loss == _HUBER:
        bound = parameters.astype(error.dtype)
        inner = np.clip(error, -bound, bound)
        return inner * (error - 0.5 * inner), inner
    if loss == _QUANTILE:
        level = parameters.astype(error.dtype)
        slope = np.where(error < 0, -level, np.sign(error) * (1 - level))
        return slope * error, slope
    if loss == _LOG_COSH:
        return size + (np.log1p(np.exp(-2 * size)) - math.log(2)), np.tanh(error)
    return 0.5 * error * error, error


def _hits(h: np.ndarray, y: np.ndarray, weights: np.ndarray | None, metric: int) -> float:
    """The weight of the rows that are classified as their targets say."""
    if metric == _NO_METRIC:
        return 0.0
    if metric in (_THRESHOLD, _SIGN):
        bound = 0.5 if metric == _THRESHOLD else 0
        right = (((h > bound) == (y > bound)) | np.isnan(y)).all(axis=1)
    else:
        right = h.argmax(axis=1) == (y if y.ndim == 1 else y.argmax(axis=1))
    return float(np.count_nonzero(right) if weights is None else weights[right].sum(dtype=np.float64))


def _mix(z: np.ndarray) -> np.ndarray:
    """A bijection of 64 bits that leaves no pattern: the finaliser of SplitMix64 (G. Steele et al., 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _mix_once(z: int) -> int:
    """The same of one number."""
    return int(_mix(np.array([z & _MASK], np.uint64))[0])


def shuffle(order, seed, epoch, size):
    """order = the permutation of 0 ... size - 1 that seed and epoch name."""
    key = np.array([_mix_once(seed + _GOLDEN * (epoch + 1))], np.uint64)
    places = np.arange(size - 1, 0, -1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        draws = _mix(key + np.uint64(_GOLDEN) * places) >> np.uint64(32)
        partners = (draws * (places + np.uint64(1))) >> np.uint64(32)
    mixed = list(range(size))
    for i, j in zip(range(size - 1, 0, -1), partners.tolist(), strict=True):
        mixed[i], mixed[j] = mixed[j], mixed[i]
    order[:size] = mixed


class _Layer(NamedTuple):
    """A layer's weights and biases as views of a flat vector, its activation's code, and what it keeps and drops."""

    w: np.ndarray
    b: np.ndarray | None
    activation: int
    slopes: bool
    dropout: int


def _layers_of(vector: np.ndarray, layers: np.ndarray) -> list[_Layer]:
    """View a parameter or gradient vector layer by layer."""
    views = []
    for layer in layers.tolist():
        inputs, outputs, activation, weights, bias, _, _, _, slopes, dropped = layer
        w = vector[weights : weights + inputs * outputs].reshape(inputs, outputs)
        b = None if bias < 0 else vector[bias : bias + outputs]
        views.append(_Layer(w, b, activation, slopes >= 0, dropped))
    return views


def _fields(settings: np.ndarray) -> SimpleNamespace:
    """A record's fields as plain numbers: NumPy takes longer to read a field than to multiply small matrices."""
    return SimpleNamespace(**dict(zip(settings.dtype.names, settings[0].tolist(), strict=True)))


def _outputs_of_layers(network: list[_Layer], x: np.ndarray) -> list[np.ndarray]:
    """The inputs, then every layer's h; z of the last."""
    activations = [x]
    for number, layer in enumerate(network, 1):
        z = activations[-1] @ layer.w
        if layer.b is not None:
            z += layer.b
        activations.append(z if number == len(network) else _activate(z, layer.activation))
    return activations


@_quietly
def forward(outputs, parameters, workspace, layers, settings, x, rows) -> bool:
    """outputs = f_L(... f_1(x W_1 + b_1) ...); False, and outputs of no meaning, where x is not finite."""
    if not np.isfinite(x).all():
        return False
    network = _layers_of(parameters, layers)
    outputs[:] = _activate(_outputs_of_layers(network, x)[-1], network[-1].activation)
    return True


def _penalty(network: list[_Layer], settings: SimpleNamespace) -> float:
    """l2 / 2 Σ W² + l1 Σ |W|, both already over N."""
    penalty = 0.0
    for layer in network:
        if settings.l2 > 0:
            penalty += 0.5 * settings.l2 * float(np.square(layer.w, dtype=np.float64).sum())
        if settings.l1 > 0:
            penalty += settings.l1 * float(np.abs(layer.w).sum(dtype=np.float64))
    return penalty


def _output_layer(
    z: np.ndarray, y: np.ndarray, weights: np.ndarray | None, network: list[_Layer], settings: SimpleNamespace,
    loss_parameters: np.ndarray | None,
) -> tuple[np.ndarray, float, float]:
    """dL/dz of every row, Σ loss and hits."""
    losses, dz, h = np.empty(len(z), z.dtype), np.empty_like(z), np.empty_like(z)
    hits = output_forward_backward(
        losses, dz, h, z, y, weights, loss_parameters, settings.loss, settings.metric, network[-1].activation, *z.shape
    )
    return dz, float(losses.sum(dtype=np.float64)), hits


@_quietly
def evaluate(parameters, tallies, workspace, layers, slabs, settings, loss_parameters, x, y, weights, rows) -> tuple:
    """The objective over these rows, its penalty included, and the fraction classified rightly."""
    return _evaluate(_layers_of(parameters, layers), _fields(settings), loss_parameters, x, y, weights)


def _part(weights: np.ndarray | None, rows: slice | np.ndarray) -> np.ndarray | None:
    """Take the weights of some rows, if there are weights."""
    return None if weights is None else weights[rows]


def _evaluate(
    network: list[_Layer], settings: SimpleNamespace, loss_parameters: np.ndarray | None, x: np.ndarray,
    y: np.ndarray, weights: np.ndarray | None, share: float = 1.0,
) -> tuple[float, float]:
    loss = hits = 0
    # In pieces, so that as many rows as one likes take no more memory than a batch.
    for begin in range(0, len(x), 4096):
        piece = slice(begin, begin + 4096)
        z = _outputs_of_layers(network, x[piece])[-1]
        _, part, right = _output_layer(z, y[piece], _part(weights, piece), network, settings, loss_parameters)
        loss, hits = loss + part, hits + right
    return loss * settings.loss_share / len(x) + _penalty(network, settings) * share, hits / len(x)


def _layers_outputs_kept(
    network: list[_Layer], settings: SimpleNamespace, x: np.ndarray, epoch: int, first: int
) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
    """As `_outputs_of_layers`, with units of an epoch's samples from `first` on left out; and the slopes to keep."""
    activations, kept = [x], []
    for number, layer in enumerate(network):
        z = activations[-1] @ layer.w
        if layer.b is not None:
            z += layer.b
        slopes = None
        if number == len(network) - 1:
            h = z
        elif layer.slopes:
            h, slopes = (np.array(part) for part in _activate_both(z, layer.activation))
            if settings.dropping and layer.dropout:
                dropout(h, slopes, layer.dropout, settings.seed, epoch, number, first, *h.shape)
        else:
            h = _activate(z, layer.activation)
        activations.append(h)
        kept.append(slopes)
    return activations, kept


def _batch_gradient(
    slopes: list[_Layer], network: list[_Layer], settings: SimpleNamespace, loss_parameters: np.ndarray | None,
    x: np.ndarray, y: np.ndarray, weights: np.ndarray | None, epoch: int, first: int,
) -> tuple[float, float, list[float]]:
    """slopes = Σ_rows dL/dW and dL/db of every layer; returns Σ loss, hits and each layer's root mean square."""
    activations, kept = _layers_outputs_kept(network, settings, x, epoch, first)
    z = activations.pop()
    dz, loss, hits = _output_layer(z, y, weights, network, settings, loss_parameters)
    sizes = [*activations[1:], _activate(z, network[-1].activation)]
    for number in range(len(network) - 1, -1, -1):
        h, layer = activations[number], network[number]
        dense_backward_weights(slopes[number].w, slopes[number].b, h, dz, len(h), *layer.w.shape)
        if number:
            dh, stored = np.empty_like(h), kept[number - 1]
            given, code = (h, network[number - 1].activation) if stored is None else (stored, _STORED)
            dense_backward_inputs(dh, dz, layer.w, given, code, len(h), *layer.w.shape)
            dz = dh
    return loss, hits, [math.sqrt(np.square(h, dtype=np.float64).mean()) for h in sizes]


def _finish_gradient(
    gradient: np.ndarray, slopes: list[_Layer], network: list[_Layer], settings: SimpleNamespace, weight: float,
    share: float = 1.0,
) -> None:
    """Make the sum over rows a mean, and add a share of the penalty's gradient."""
    gradient *= _inverse(weight)
    if not (settings.l1 > 0 or settings.l2 > 0):
        return
    for layer, slope in zip(network, slopes, strict=True):
        if settings.published_ridge:
            slope.w[:] += share * settings.l2 * float(np.square(layer.w, dtype=np.float64).sum())
        else:
            slope.w[:] += share * settings.l2 * layer.w + share * settings.l1 * np.sign(layer.w)


def _inverse(weight: float) -> float:
    """1 / weight; of no weight 0, so that a batch without any leaves no gradient."""
    return 1 / weight if weight > 0 else 0.0


def _penalty_share(settings: SimpleNamespace, weight: float) -> float:
    """What penalties are multiplied with: 1, or 1 / weight where they are over that and not over N yet."""
    return _inverse(weight) if settings.own_average else 1.0


@_quietly
def gradient(
    gradient, parameters, tallies, workspace, layers, slabs, settings, loss_parameters, x, y, weights, rows
) -> float:
    """gradient = that of the objective over these rows, penalty included; returns the objective."""
    settings = _fields(settings)
    network, slopes = _layers_of(parameters, layers), _layers_of(gradient, layers)
    loss, *_ = _batch_gradient(
        slopes, network, settings, loss_parameters, x, y, weights, settings.first_epoch, 0
    )
    _finish_gradient(gradient, slopes, network, settings, rows)
    return loss * settings.loss_share / rows + _penalty(network, settings)


def _beta1(settings: SimpleNamespace, number: int) -> float:
    """beta1 of a step, counted from 1; NAdam lets it grow."""
    if settings.optimizer != _NADAM:
        return settings.beta1
    return settings.beta1 * (1 - 0.5 * 0.96 ** (number * settings.momentum_decay))


def _update(parameters, state, gradient, settings: SimpleNamespace, now: SimpleNamespace, rate: float) -> None:
    """One step of the optimizer along the gradient."""
    slots = state.reshape(settings.slots, len(parameters))
    _STEPS[settings.optimizer](parameters, slots, gradient, settings, now, rate)


def _sgd_step(w, slots, g, settings, now, rate) -> None:
    if settings.momentum > 0:
        (buffer,) = slots
        if settings.rate_in_velocity:
            g, rate = rate * g, 1.0
        buffer *= settings.momentum
        buffer += g
        g = g + settings.momentum * buffer if settings.nesterov else buffer
    w -= rate * g


def _moments(slots, g, settings, now) -> tuple[np.ndarray, np.ndarray]:
    """Adam's running means of the gradient and of its square; the square root of the second, corrected."""
    m, v = slots[:2]
    m += (g - m) * (1 - settings.beta1)
    v *= settings.beta2
    v += g * g * (1 - settings.beta2)
    if settings.amsgrad:
        v = np.maximum(slots[2], v, out=slots[2])
    correction = 1 / math.sqrt(1 - now.beta2_power * settings.beta2)
    return m, np.sqrt(v) * correction + settings.epsilon * (correction if settings.epsilon_hat else 1)


def _adam_step(w, slots, g, settings, now, rate) -> None:
    m, root = _moments(slots, g, settings, now)
    w *= 1 - rate * settings.weight_decay
    w -= m * (rate / (1 - now.beta1_power * settings.beta1)) / root


def _nadam_step(w, slots, g, settings, now, rate) -> None:
    m, root = _moments(slots, g, settings, now)
    beta1, following = _beta1(settings, now.step + 1), _beta1(settings, now.step + 2)
    product = now.beta1_power * beta1
    along = g * ((1 - beta1) / (1 - product)) + m * (following / (1 - product * following))
    w -= rate * along / root


def _rmsprop_step(w, slots, g, settings, now, rate) -> None:
    v = slots[0]
    v *= settings.beta2
    v += g * g * (1 - settings.beta2)
    if settings.centered:
        mean = slots[2]
        mean += (g - mean) * (1 - settings.beta2)
        v = np.maximum(0, v - mean * mean)
    g = g / (np.sqrt(v) + settings.epsilon)
    if settings.momentum > 0:
        buffer = slots[1]
        buffer *= settings.momentum
        buffer += g
        g = buffer
    w -= rate * g


def _adagrad_step(w, slots, g, settings, now, rate) -> None:
    (total,) = slots
    total += g * g
    w -= rate / (1 + now.step * settings.rate_decay) * g / (np.sqrt(total) + settings.epsilon)


def _adadelta_step(w, slots, g, settings, now, rate) -> None:
    v, past = slots
    v *= settings.beta2
    v += g * g * (1 - settings.beta2)
    delta = g * (np.sqrt(past + settings.epsilon) / np.sqrt(v + settings.epsilon))
    past *= settings.beta2
    past += delta * delta * (1 - settings.beta2)
    w -= rate * delta


def _lion_step(w, slots, g, settings, now, rate) -> None:
    (m,) = slots
    blend = m * settings.beta1 + g * (1 - settings.beta1)
    m *= settings.beta2
    m += g * (1 - settings.beta2)
    w *= 1 - rate * settings.weight_decay
    w -= rate * np.sign(blend)


def _rprop_step(w, slots, g, settings, now, rate) -> None:
    last, length = slots
    agreement = last * g
    length *= np.where(agreement < 0, settings.eta_minus, np.where(agreement > 0, settings.eta_plus, 1))
    np.clip(length, settings.least_step, settings.most_step, out=length)
    last[:] = np.where(agreement < 0, 0, g)
    w -= np.sign(last) * length


def _no_step(w, slots, g, settings, now, rate) -> None:
    """The gradient alone is wanted."""


_STEPS = (
    _sgd_step, _adam_step, _nadam_step, _rmsprop_step, _adagrad_step, _adadelta_step, _lion_step, _rprop_step,
    _no_step,
)  # in the order of the optimizers' codes


def _clipped(gradient: np.ndarray, settings: SimpleNamespace) -> np.ndarray:
    """What clipping leaves of the gradient: each entry cut, or all of it scaled, as PyTorch's clip_grad_norm_ does."""
    if settings.clip_value > 0:
        return np.clip(gradient, -settings.clip_value, settings.clip_value)
    if settings.clip_norm > 0:
        share = settings.clip_norm / (_norm(gradient) + 1e-6)
        return gradient * gradient.dtype.type(share if share < 1 else 1)
    return gradient


def _norm(vector: np.ndarray) -> float:
    return math.sqrt(np.square(vector, dtype=np.float64).sum())


def _limit_weights(network: list[_Layer], largest: float) -> None:
    """w = w min(1, largest / |w|), column by column."""
    for layer in network:
        size = np.maximum(np.abs(layer.w).max(axis=0), np.finfo(layer.w.dtype).tiny)  # so that no square overflows
        norms = size * np.sqrt(np.square(layer.w / size).sum(axis=0))
        layer.w[:] *= np.minimum(1, layer.w.dtype.type(largest) / norms)


def _is_noted(settings: SimpleNamespace, epoch: int) -> bool:
    return settings.notes > 0 and (epoch < settings.note_first or epoch % settings.note_every == 0)


@_quietly
def train(
    parameters, state, gradient, tallies, workspace, record, layer_record, rates, position, control, order, layers,
    slabs, settings, loss_parameters, x, y, weights, x_validation, y_validation, weights_validation, steps, thread,
):
    """At most `steps` minibatch steps from `position` on; every thread of the call calls it, the first keeps books.

    The others, its helpers, stay for the calls that follow, as long as these come soon.
    """
    if thread > 0:
        return
    settings, now = _fields(settings), _fields(position)
    network, slopes = _layers_of(parameters, layers), _layers_of(gradient, layers)
    while steps > 0 and now.epoch < settings.epochs and not now.diverged:
        if now.batch == 0 and settings.shuffle and not settings.given_orders:
            shuffle(order, settings.seed, now.epoch, settings.rows)
        epoch = record[:, now.epoch - settings.first_epoch]
        first = now.batch * settings.batch
        end = min(first + settings.batch, settings.rows)
        chosen = slice(first, end)
        if order is not None:
            place = (now.epoch - settings.first_epoch) % max(1, settings.given_orders)
            chosen = order.reshape(-1, settings.rows)[place, first:end]
        rows, part = end - first, _part(weights, chosen)
        loss, hits, sizes = _batch_gradient(
            slopes, network, settings, loss_parameters, x[chosen], y[chosen], part, now.epoch, first
        )
        weight = rows if part is None or not settings.own_average else float(part.sum(dtype=np.float64))
        share = _penalty_share(settings, weight)
        penalty = _penalty(network, settings) * share
        now.loss_sum += loss * settings.loss_share * rows * _inverse(weight) + penalty * rows
        now.hits += hits
        if math.isfinite(loss + penalty):
            _finish_gradient(gradient, slopes, network, settings, weight, share)
            each = settings.rates_per_epoch
            rate = rates[(now.epoch - settings.first_epoch) * each + (now.batch if each > 1 else 0)]
            _update(parameters, state, _clipped(gradient, settings), settings, now, float(rate))
            if settings.max_norm > 0:
                _limit_weights(network, settings.max_norm)
            now.step += 1
            now.beta1_power *= _beta1(settings, now.step)
            now.beta2_power *= settings.beta2
        else:
            now.diverged = 1
        now.batch += 1
        steps -= 1
        if now.diverged or end == settings.rows:
            if _is_noted(settings, now.epoch) and not now.diverged:
                layer_record[:, now.noted] = [*(_norm_of_layer(layer) for layer in slopes), *sizes]
                now.noted += 1
            checked = (x_validation, y_validation, weights_validation)
            _end_epoch(network, gradient, epoch, now, settings, loss_parameters, checked)
    position[0] = tuple(vars(now).values())


def _norm_of_layer(slopes: _Layer) -> float:
    """The norm of the gradient by a layer's weights and biases."""
    return math.hypot(_norm(slopes.w), 0.0 if slopes.b is None else _norm(slopes.b))


def _end_epoch(
    network, gradient, epoch, now: SimpleNamespace, settings: SimpleNamespace, loss_parameters, validation
) -> None:
    """Write the epoch down, validate, and go to the next."""
    epoch[_LOSS] = now.loss_sum / settings.rows
    epoch[_ACCURACY] = now.hits / settings.rows
    epoch[_GRADIENT_NORM] = math.nan if now.diverged else _norm(gradient)
    if settings.validation_rows:
        share = _penalty_share(settings, settings.rows)
        epoch[_VAL_LOSS], epoch[_VAL_ACCURACY] = _evaluate(network, settings, loss_parameters, *validation, share)
    now.epoch += 1
    now.batch = 0
    now.loss_sum = now.hits = 0


def call_helpers(control, steps, helpers) -> list:
    """Call the helpers that wait for it to so many steps; the numbers of the others, which have to be sent to train."""
    return []  # here the first thread does it all


def abandon(control):
    """Let the helpers go: nobody will call them, or meet them in a call (an exception on the way there)."""
