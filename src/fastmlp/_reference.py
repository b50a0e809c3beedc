"""The NumPy twin of the kernels: the same functions, in the same order, with the same signatures.

It is what every kernel is compared with, what a reader can follow, and a backend of its own
(``backend="reference"``). It computes in the dtype of the arrays it is given, in one thread, and takes no notice of
the workspace, the slabs and the barrier's counters. Formulas stand in kernels/edge.pxi and in `losses`; here they are
written down as plainly as NumPy's speed allows.

Imports the layout only; `_backend` imports it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastmlp import _layout

_IDENTITY, _SIGMOID, _TANH, _RELU, _SOFTMAX = range(5)
_SQUARED_ERROR, _BINARY_CROSS_ENTROPY, _CROSS_ENTROPY = range(3)
_NO_METRIC, _LARGEST, _THRESHOLD = range(3)
_SGD, _ADAM = range(2)
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1


def sizes() -> dict:
    """What _layout.py has to know of this build: lanes, blocks and the sizes of its records in bytes."""
    return {
        "dtype": "float64", "lanes": 1, "tile_rows": 1, "pack_reals": 0, "row_block": 1,
        "layer": _layout.LAYER.itemsize, "slab": _layout.SLAB.itemsize, "settings": _layout.SETTINGS.itemsize,
        "epoch": _layout.EPOCH.itemsize, "position": _layout.POSITION.itemsize,
    }


def exp_forward(y, x, size):
    """y = exp(x)."""
    with np.errstate(over="ignore", under="ignore"):
        np.exp(x[:size], out=y[:size])


def log_forward(y, x, size):
    """y = log(x)."""
    with np.errstate(divide="ignore", invalid="ignore"):
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
    return 1.0


def activation_forward(h, z, activation, size):
    """h = f(z), f one of identity, sigmoid, tanh, relu."""
    with np.errstate(under="ignore"):
        h[:size] = _activate(z[:size], activation)


def activation_backward(dz, dh, h, activation, size):
    """dz = dh f'(z), f' from h = f(z): h(1 - h), 1 - h², [h > 0], 1."""
    dz[:size] = dh[:size] * _slope(h[:size], activation)


def dense_forward(y, x, w, b, activation, rows, inputs, outputs):
    """y = f(x w + b)."""
    z = x @ w
    if b is not None:
        z += b
    y[:] = _activate(z, activation)


def dense_backward_inputs(dx, dy, w, x, activation, rows, inputs, outputs):
    """dx = (dy wᵀ) f'(z), f' from x = f(z), the layer's inputs."""
    np.matmul(dy, w.T, out=dx)
    if activation != _IDENTITY:
        dx *= _slope(x, activation)


def dense_backward_weights(dw, db, x, dy, rows, inputs, outputs):
    """dw = xᵀ dy, db = Σ_rows dy."""
    np.matmul(x.T, dy, out=dw)
    if db is not None:
        np.sum(dy, axis=0, out=db)


def output_forward_backward(losses, dz, h, z, y, loss, metric, activation, rows, outputs) -> int:
    """h = f(z), the loss of each row, dz = dL/dz; returns how many rows were classified rightly."""
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
    else:
        h[:] = _activate(z, activation)
        error = h - y
        losses[:] = 0.5 * (error * error).sum(axis=1)
        np.multiply(error, _slope(h, activation), out=dz)
    return _hits(h, y, metric)


def _hits(h: np.ndarray, y: np.ndarray, metric: int) -> int:
    """Count the rows that are classified as their targets say."""
    if metric == _NO_METRIC:
        return 0
    if metric == _THRESHOLD:
        return int(np.count_nonzero(((h > 0.5) == (y > 0.5)).all(axis=1)))
    return int(np.count_nonzero(h.argmax(axis=1) == (y if y.ndim == 1 else y.argmax(axis=1))))


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


def _weights(parameters: np.ndarray, layer: np.void) -> np.ndarray:
    """A layer's weights, a view of the parameter vector."""
    begin, inputs, outputs = int(layer["weights"]), int(layer["inputs"]), int(layer["outputs"])
    return parameters[begin : begin + inputs * outputs].reshape(inputs, outputs)


def _bias(parameters: np.ndarray, layer: np.void) -> np.ndarray | None:
    """A layer's biases, a view of the parameter vector; None without."""
    begin = int(layer["bias"])
    return None if begin < 0 else parameters[begin : begin + int(layer["outputs"])]


def _outputs_of_layers(parameters: np.ndarray, layers: np.ndarray, x: np.ndarray) -> list[np.ndarray]:
    """The inputs, then every layer's h; z of the last."""
    activations = [x]
    for number, layer in enumerate(layers):
        z = activations[-1] @ _weights(parameters, layer)
        bias = _bias(parameters, layer)
        if bias is not None:
            z += bias
        activations.append(z if number == len(layers) - 1 else _activate(z, int(layer["activation"])))
    return activations


def forward(outputs, parameters, workspace, layers, settings, x, rows):
    """outputs = f_L(... f_1(x W_1 + b_1) ...)."""
    z = _outputs_of_layers(parameters, layers, x)[-1]
    outputs[:] = _activate(z, int(layers["activation"][-1]))


def _penalty(parameters: np.ndarray, layers: np.ndarray, settings: np.void) -> float:
    """l2 / 2 Σ W² + l1 Σ |W|, both already over N."""
    penalty = 0.0
    for layer in layers:
        w = _weights(parameters, layer)
        if settings["l2"] > 0:
            penalty += 0.5 * settings["l2"] * float(np.square(w, dtype=np.float64).sum())
        if settings["l1"] > 0:
            penalty += settings["l1"] * float(np.abs(w).sum(dtype=np.float64))
    return penalty


def _output_layer(z: np.ndarray, y: np.ndarray, layers: np.ndarray, settings: np.void) -> tuple[np.ndarray, float, int]:
    """dL/dz of every row, Σ loss and hits."""
    losses, dz, h = np.empty(len(z), z.dtype), np.empty_like(z), np.empty_like(z)
    hits = output_forward_backward(
        losses, dz, h, z, y, settings["loss"], settings["metric"], int(layers["activation"][-1]), *z.shape
    )
    return dz, float(losses.sum(dtype=np.float64)), hits


def evaluate(parameters, tallies, workspace, layers, slabs, settings, x, y, rows) -> tuple:
    """The objective over these rows, its penalty included, and the fraction classified rightly."""
    settings = settings[0]
    loss = hits = 0
    # In pieces, so that as many rows as one likes take no more memory than a batch.
    for begin in range(0, rows, 4096):
        z = _outputs_of_layers(parameters, layers, x[begin : begin + 4096])[-1]
        _, part, right = _output_layer(z, y[begin : begin + 4096], layers, settings)
        loss, hits = loss + part, hits + right
    return loss / rows + _penalty(parameters, layers, settings), hits / rows


def _batch_gradient(gradient, parameters, layers, settings, x, y) -> tuple[float, int]:
    """gradient = Σ_rows dL/dW and dL/db of every layer; returns Σ loss and hits."""
    activations = _outputs_of_layers(parameters, layers, x)
    dz, loss, hits = _output_layer(activations.pop(), y, layers, settings)
    for layer, below in zip(layers[::-1], [*layers[-2::-1], None], strict=True):
        h = activations.pop()
        inputs, outputs = int(layer["inputs"]), int(layer["outputs"])
        dense_backward_weights(_weights(gradient, layer), _bias(gradient, layer), h, dz, len(h), inputs, outputs)
        if below is not None:
            dh = np.empty_like(h)
            dense_backward_inputs(dh, dz, _weights(parameters, layer), h, int(below["activation"]), len(h), inputs, outputs)
            dz = dh
    return loss, hits


def _finish_gradient(gradient, parameters, layers, settings, rows: int) -> None:
    """Make the sum over rows a mean, and add the penalty's gradient."""
    gradient *= 1.0 / rows
    if not (settings["l1"] > 0 or settings["l2"] > 0):
        return
    for layer in layers:
        w, dw = _weights(parameters, layer), _weights(gradient, layer)
        if settings["published_ridge"]:
            dw += float(settings["l2"] * np.square(w, dtype=np.float64).sum())
        else:
            dw += float(settings["l2"]) * w + float(settings["l1"]) * np.sign(w)


def gradient(gradient, parameters, tallies, workspace, layers, slabs, settings, x, y, rows) -> float:
    """gradient = that of the objective over these rows, penalty included; returns the objective."""
    settings = settings[0]
    loss, _ = _batch_gradient(gradient, parameters, layers, settings, x, y)
    _finish_gradient(gradient, parameters, layers, settings, rows)
    return loss / rows + _penalty(parameters, layers, settings)


def _update(parameters, state, gradient, settings, position, rate: float) -> None:
    """One step of the optimizer along the gradient."""
    if settings["optimizer"] == _ADAM:
        beta1, beta2 = float(settings["beta1"]), float(settings["beta2"])
        m, v = state[: len(parameters)], state[len(parameters) :]
        m += (gradient - m) * (1 - beta1)
        v *= beta2
        v += gradient * gradient * (1 - beta2)
        m_scale = 1 / (1 - position["beta1_power"] * beta1)
        v_scale = 1 / np.sqrt(1 - position["beta2_power"] * beta2)
        parameters -= m * float(rate * m_scale) / (np.sqrt(v) * float(v_scale) + float(settings["epsilon"]))
        return
    momentum = float(settings["momentum"])
    if momentum > 0:
        state *= momentum
        state += gradient
        step = gradient + momentum * state if settings["nesterov"] else state
    else:
        step = gradient
    parameters -= rate * step


def _batches(order, settings, first: int) -> Iterator[tuple[slice | np.ndarray, int]]:
    """The rows of each batch of an epoch from batch `first` on, and how many they are."""
    rows, batch = int(settings["rows"]), int(settings["batch"])
    for begin in range(first * batch, rows, batch):
        end = min(begin + batch, rows)
        yield (slice(begin, end) if order is None else order[begin:end]), end - begin


def _train_epoch(parameters, state, gradient, record, position, order, layers, settings, x, y, steps) -> int:
    """At most `steps` steps of the current epoch; returns how many were made."""
    made = 0
    for chosen, rows in _batches(order, settings, int(position["batch"])):
        if made == steps:
            return made
        loss, hits = _batch_gradient(gradient, parameters, layers, settings, x[chosen], y[chosen])
        penalty = _penalty(parameters, layers, settings)
        position["loss_sum"] += loss + penalty * rows
        position["hits"] += hits
        made += 1
        if not np.isfinite(loss + penalty):
            position["diverged"] = 1
            return made
        _finish_gradient(gradient, parameters, layers, settings, rows)
        _update(parameters, state, gradient, settings, position, float(record["learning_rate"]))
        position["batch"] += 1
        position["step"] += 1
        position["beta1_power"] *= settings["beta1"]
        position["beta2_power"] *= settings["beta2"]
    return made


def train(
    parameters, state, gradient, tallies, workspace, record, position, control, order, layers, slabs, settings,
    x, y, x_validation, y_validation, steps, thread,
):
    """At most `steps` minibatch steps from `position` on; every thread of the call calls it, the first keeps books."""
    if thread > 0:
        return
    settings, position = settings[0], position[0]
    rows, batch = int(settings["rows"]), int(settings["batch"])
    # What overflows becomes a loss that is not finite, and that is looked at.
    with np.errstate(all="ignore"):
        while steps > 0 and position["epoch"] < settings["epochs"] and not position["diverged"]:
            epoch = record[position["epoch"] - settings["first_epoch"]]
            if position["batch"] == 0 and settings["shuffle"]:
                shuffle(order, int(settings["seed"]), int(position["epoch"]), rows)
            steps -= _train_epoch(parameters, state, gradient, epoch, position, order, layers, settings, x, y, steps)
            if position["diverged"] or position["batch"] * batch >= rows:
                _end_epoch(parameters, gradient, epoch, position, layers, settings, x_validation, y_validation)


def _end_epoch(parameters, gradient, epoch, position, layers, settings, x, y) -> None:
    """Write the epoch down, validate, and go to the next."""
    epoch["loss"] = position["loss_sum"] / settings["rows"]
    epoch["accuracy"] = position["hits"] / settings["rows"]
    epoch["gradient_norm"] = np.nan if position["diverged"] else np.sqrt(np.square(gradient, dtype=np.float64).sum())
    if settings["validation_rows"] > 0:
        settings = np.array([settings], _layout.SETTINGS)
        epoch["val_loss"], epoch["val_accuracy"] = evaluate(
            parameters, None, None, layers, None, settings, x, y, int(settings["validation_rows"][0])
        )
    position["epoch"] += 1
    position["batch"] = 0
    position["loss_sum"] = position["hits"] = 0


def abandon(control):
    """Let the threads of a call go whose partners will not come (an exception on the way to them)."""
