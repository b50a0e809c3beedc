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
_LEAK = 0.01
# G. Klambauer et al., Self-normalizing neural networks (2017): the values that keep mean 0 and variance 1
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
_SQUARED_ERROR, _BINARY_CROSS_ENTROPY, _CROSS_ENTROPY, _ABSOLUTE_ERROR, _HUBER = range(5)
_QUANTILE, _LOG_COSH, _POISSON, _GAMMA = range(5, 9)
_NO_METRIC, _LARGEST, _THRESHOLD = range(3)
_NADAM = 2
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
    if activation == _SOFTMAX:
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)
    return z


def _slope(h: np.ndarray, activation: int) -> np.ndarray | float:
    """f'(z) from h = f(z)."""
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
    return 1.0


@_quietly
def activation_forward(h, z, activation, size):
    """h = f(z), f any but softmax."""
    h[:size] = _activate(z[:size], activation)


@_quietly
def activation_backward(dz, dh, h, activation, size):
    """dz = dh f'(z), f' from h = f(z), f any but softmax."""
    dz[:size] = dh[:size] * _slope(h[:size], activation)


@_quietly
def dense_forward(y, x, w, b, activation, rows, inputs, outputs):
    """y = f(x w + b)."""
    z = x @ w
    if b is not None:
        z += b
    y[:] = _activate(z, activation)


@_quietly
def dense_backward_inputs(dx, dy, w, x, activation, rows, inputs, outputs):
    """dx = (dy wᵀ) f'(z), f' from x = f(z), the layer's inputs."""
    np.matmul(dy, w.T, out=dx)
    if activation != _IDENTITY:
        dx *= _slope(x, activation)


@_quietly
def dense_backward_weights(dw, db, x, dy, rows, inputs, outputs):
    """dw = xᵀ dy, db = Σ_rows dy."""
    np.matmul(x.T, dy, out=dw)
    if db is not None:
        np.sum(dy, axis=0, out=db)


@_quietly
def output_forward_backward(
    losses, dz, h, z, y, weights, loss_parameters, loss, metric, activation, rows, outputs
) -> float:
    """h = f(z), the loss of each row, dz = dL/dz; returns the weight of the rows that were classified rightly."""
    if loss == _CROSS_ENTROPY:
        shifted = z - z.max(axis=1, keepdims=True)
        e = np.exp(shifted)
        total = e.sum(axis=1)
        every = np.arange(rows)
        losses[:] = np.log(total) - shifted[every, y]
        np.divide(e, total[:, None], out=h)
        dz[:] = h
        dz[every, y] -= 1
    elif loss == _BINARY_CROSS_ENTROPY:
        losses[:] = (np.maximum(z, 0) - y * z + np.log1p(np.exp(-np.abs(z)))).sum(axis=1)
        h[:] = _sigmoid(z)
        np.subtract(h, y, out=dz)
    elif loss in (_POISSON, _GAMMA):
        np.exp(z, out=h)
        if loss == _POISSON:
            losses[:] = np.where(y == 0, h, y * (np.log(y) - z) + (h - y)).sum(axis=1)
            np.subtract(h, y, out=dz)
        else:
            ratio = y * np.exp(-z)
            losses[:] = (ratio - 1 - (np.log(y) - z)).sum(axis=1)
            np.subtract(1, ratio, out=dz)
    else:
        h[:] = _activate(z, activation)
        parts, slope = _loss_of_error(h - y, loss_parameters, loss)
        losses[:] = parts.sum(axis=1)
        np.multiply(slope, _slope(h, activation), out=dz)
    if weights is not None:
        losses[:] = np.where(weights == 0, 0, losses * weights)
        dz[:] = np.where(weights[:, None] == 0, 0, dz * weights[:, None])
    return _hits(h, y, weights, metric)


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
    if metric == _THRESHOLD:
        right = ((h > 0.5) == (y > 0.5)).all(axis=1)
    else:
        right = h.argmax(axis=1) == (y if y.ndim == 1 else y.argmax(axis=1))
    return float(np.count_nonzero(right) if weights is None else weights[right].sum(dtype=np.float64))


def _mix(z: np.ndarray) -> np.ndarray:
    """A bijection of 64 bits that leaves no pattern: the finaliser of SplitMix64 (G. Steele et al., 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def shuffle(order, seed, epoch, size):
    """order = the permutation of 0 ... size - 1 that seed and epoch name."""
    key = _mix(np.array([(seed + _GOLDEN * (epoch + 1)) & _MASK], np.uint64))
    places = np.arange(size - 1, 0, -1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        draws = _mix(key + np.uint64(_GOLDEN) * places) >> np.uint64(32)
        partners = (draws * (places + np.uint64(1))) >> np.uint64(32)
    mixed = list(range(size))
    for i, j in zip(range(size - 1, 0, -1), partners.tolist(), strict=True):
        mixed[i], mixed[j] = mixed[j], mixed[i]
    order[:size] = mixed


class _Layer(NamedTuple):
    """A layer's weights and biases as views of a flat vector, and its activation's code."""

    w: np.ndarray
    b: np.ndarray | None
    activation: int


def _layers_of(vector: np.ndarray, layers: np.ndarray) -> list[_Layer]:
    """View a parameter or gradient vector layer by layer."""
    views = []
    for layer in layers.tolist():
        inputs, outputs, activation, weights, bias = layer[:5]
        w = vector[weights : weights + inputs * outputs].reshape(inputs, outputs)
        views.append(_Layer(w, None if bias < 0 else vector[bias : bias + outputs], activation))
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
    y: np.ndarray, weights: np.ndarray | None,
) -> tuple[float, float]:
    loss = hits = 0
    # In pieces, so that as many rows as one likes take no more memory than a batch.
    for begin in range(0, len(x), 4096):
        piece = slice(begin, begin + 4096)
        z = _outputs_of_layers(network, x[piece])[-1]
        _, part, right = _output_layer(z, y[piece], _part(weights, piece), network, settings, loss_parameters)
        loss, hits = loss + part, hits + right
    return loss / len(x) + _penalty(network, settings), hits / len(x)


def _batch_gradient(
    slopes: list[_Layer], network: list[_Layer], settings: SimpleNamespace, loss_parameters: np.ndarray | None,
    x: np.ndarray, y: np.ndarray, weights: np.ndarray | None,
) -> tuple[float, float]:
    """slopes = Σ_rows dL/dW and dL/db of every layer; returns Σ loss and hits."""
    activations = _outputs_of_layers(network, x)
    dz, loss, hits = _output_layer(activations.pop(), y, weights, network, settings, loss_parameters)
    for number in range(len(network) - 1, -1, -1):
        h, layer = activations[number], network[number]
        dense_backward_weights(slopes[number].w, slopes[number].b, h, dz, len(h), *layer.w.shape)
        if number:
            dh = np.empty_like(h)
            dense_backward_inputs(dh, dz, layer.w, h, network[number - 1].activation, len(h), *layer.w.shape)
            dz = dh
    return loss, hits


def _finish_gradient(
    gradient: np.ndarray, slopes: list[_Layer], network: list[_Layer], settings: SimpleNamespace, rows: int
) -> None:
    """Make the sum over rows a mean, and add the penalty's gradient."""
    gradient *= 1.0 / rows
    if not (settings.l1 > 0 or settings.l2 > 0):
        return
    for layer, slope in zip(network, slopes, strict=True):
        if settings.published_ridge:
            slope.w[:] += settings.l2 * float(np.square(layer.w, dtype=np.float64).sum())
        else:
            slope.w[:] += settings.l2 * layer.w + settings.l1 * np.sign(layer.w)


@_quietly
def gradient(
    gradient, parameters, tallies, workspace, layers, slabs, settings, loss_parameters, x, y, weights, rows
) -> float:
    """gradient = that of the objective over these rows, penalty included; returns the objective."""
    settings = _fields(settings)
    network, slopes = _layers_of(parameters, layers), _layers_of(gradient, layers)
    loss, _ = _batch_gradient(slopes, network, settings, loss_parameters, x, y, weights)
    _finish_gradient(gradient, slopes, network, settings, rows)
    return loss / rows + _penalty(network, settings)


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
    return m, np.sqrt(v) * (1 / math.sqrt(1 - now.beta2_power * settings.beta2)) + settings.epsilon


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


_STEPS = (
    _sgd_step, _adam_step, _nadam_step, _rmsprop_step, _adagrad_step, _adadelta_step, _lion_step, _rprop_step,
)  # in the order of the optimizers' codes


@_quietly
def train(
    parameters, state, gradient, tallies, workspace, record, rates, position, control, order, layers, slabs, settings,
    loss_parameters, x, y, weights, x_validation, y_validation, weights_validation, steps, thread,
):
    """At most `steps` minibatch steps from `position` on; every thread of the call calls it, the first keeps books."""
    if thread > 0:
        return
    settings, now = _fields(settings), _fields(position)
    network, slopes = _layers_of(parameters, layers), _layers_of(gradient, layers)
    while steps > 0 and now.epoch < settings.epochs and not now.diverged:
        if now.batch == 0 and settings.shuffle:
            shuffle(order, settings.seed, now.epoch, settings.rows)
        epoch = record[:, now.epoch - settings.first_epoch]
        first = now.batch * settings.batch
        end = min(first + settings.batch, settings.rows)
        chosen = slice(first, end) if order is None else order[first:end]
        loss, hits = _batch_gradient(
            slopes, network, settings, loss_parameters, x[chosen], y[chosen], _part(weights, chosen)
        )
        penalty = _penalty(network, settings)
        now.loss_sum += loss + penalty * (end - first)
        now.hits += hits
        if math.isfinite(loss + penalty):
            _finish_gradient(gradient, slopes, network, settings, end - first)
            each = settings.rates_per_epoch
            rate = rates[(now.epoch - settings.first_epoch) * each + (now.batch if each > 1 else 0)]
            _update(parameters, state, gradient, settings, now, float(rate))
            now.step += 1
            now.beta1_power *= _beta1(settings, now.step)
            now.beta2_power *= settings.beta2
        else:
            now.diverged = 1
        now.batch += 1
        steps -= 1
        if now.diverged or end == settings.rows:
            checked = (x_validation, y_validation, weights_validation)
            _end_epoch(network, gradient, epoch, now, settings, loss_parameters, checked)
    position[0] = tuple(vars(now).values())


def _end_epoch(
    network, gradient, epoch, now: SimpleNamespace, settings: SimpleNamespace, loss_parameters, validation
) -> None:
    """Write the epoch down, validate, and go to the next."""
    epoch[_LOSS] = now.loss_sum / settings.rows
    epoch[_ACCURACY] = now.hits / settings.rows
    epoch[_GRADIENT_NORM] = math.nan if now.diverged else math.sqrt(np.square(gradient, dtype=np.float64).sum())
    if settings.validation_rows:
        epoch[_VAL_LOSS], epoch[_VAL_ACCURACY] = _evaluate(network, settings, loss_parameters, *validation)
    now.epoch += 1
    now.batch = 0
    now.loss_sum = now.hits = 0


def abandon(control):
    """Let the threads of a call go whose partners will not come (an exception on the way to them)."""
