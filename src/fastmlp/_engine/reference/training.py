"""Passes and training runs: forward, backward, batches, epochs. One thread computes; helpers have nothing to do."""

import math
from types import SimpleNamespace

import numpy as np

from fastmlp._engine.layout import DroppedUnits, OutputLayer
from fastmlp._engine.reference.activations import activate, activate_both, slope
from fastmlp._engine.reference.losses import output_forward_backward
from fastmlp._engine.reference.optimizers import beta1, clipped, limit_weights, norm, update
from fastmlp._engine.reference.random import dropout, shuffle
from fastmlp._spec.activations import STORED
from fastmlp._spec.records import EPOCH

_PIECE = 4096  # rows that go through the layers together, so that many rows take no more memory than a few

# As in the kernels, what overflows is infinite, and what has no value is NaN, silently: training checks the loss.
quietly = np.errstate(all="ignore")


def fields(record: np.void) -> SimpleNamespace:
    """A record's fields as plain numbers: NumPy takes longer to read a field than to multiply small matrices."""
    return SimpleNamespace(**dict(zip(record.dtype.names, record.item(), strict=True)))


def layers_of(vector: np.ndarray, layers: np.ndarray) -> list[SimpleNamespace]:
    """View a parameter or gradient vector layer by layer: each layer's fields, and its w and b as views."""
    views = [fields(row) for row in layers]
    for layer in views:
        layer.w = vector[layer.weights :][: layer.inputs * layer.outputs].reshape(layer.inputs, layer.outputs)
        layer.b = None if layer.bias < 0 else vector[layer.bias : layer.bias + layer.outputs]
    return views


@quietly
def dense_forward(y, x, w, b, activation, skips=True):
    """y = f(x w + b)."""
    y[:] = activate(_affine(x, w, b), activation)


@quietly
def dense_backward_inputs(dx, dy, w, x, activation, skips=True):
    """dx = (dy wᵀ) f'(z), f' from x = f(z), the layer's inputs."""
    np.matmul(dy, w.T, out=dx)
    dx *= slope(x, activation)


@quietly
def dense_backward_weights(dw, db, x, dy, skips=True):
    """dw = xᵀ dy, db = Σ_rows dy."""
    np.matmul(x.T, dy, out=dw)
    if db is not None:
        np.sum(dy, axis=0, out=db)


@quietly
def forward(outputs, parameters, plan, workspace, x) -> bool:
    """outputs = f_L(... f_1(x W_1 + b_1) ...); False, and meaningless outputs, if x is not finite."""
    if not np.isfinite(x).all():
        return False
    network = layers_of(parameters, plan.layers)
    outputs[:] = activate(outputs_of_layers(network, x)[-1], network[-1].activation)
    return True


def _affine(x, w, b) -> np.ndarray:
    z = x @ w
    return z if b is None else np.add(z, b, out=z)


def outputs_of_layers(network: list[SimpleNamespace], x: np.ndarray) -> list[np.ndarray]:
    """The inputs, then every layer's h; z of the last."""
    activations = [x]
    for layer in network[:-1]:
        activations.append(activate(_affine(activations[-1], layer.w, layer.b), layer.activation))
    return [*activations, _affine(activations[-1], network[-1].w, network[-1].b)]


def _is_questioned(settings: SimpleNamespace, now: SimpleNamespace, loss: float) -> bool:
    """Whether a finite loss is far above the first one, which sets the limit."""
    if now.loss_limit == 0 and loss < math.inf:
        now.loss_limit = settings.loss_growth * (loss + 1)
    if math.isfinite(loss) and loss * settings.loss_growth <= now.loss_limit * settings.usable_growth:
        now.usable = now.step
    if now.questioned < 0 or not 0 < now.loss_limit < loss < math.inf:
        return False
    now.questioned = loss
    return True


class Run:
    """The kernels' object: a training run, or rows to evaluate, with its arrays.

    Parameters
    ----------
    plan : Plan
        The layout; the reference reads its layers and settings only.
    arrays : Arrays
        Parameters and what changes with them.
    samples, validation : Samples
        Rows, coded targets, weights of losses, and of hits.
    """

    def __init__(self, plan, arrays, samples, validation=None):
        self._abandoned = False
        self._settings, self._arrays = fields(plan.settings[0]), arrays
        self._samples, self._validation = samples, validation
        self._network = layers_of(arrays.parameters, plan.layers)
        self._gradients = None if arrays.gradient is None else layers_of(arrays.gradient, plan.layers)
        self._output = OutputLayer(
            self._settings.loss,
            self._settings.metric,
            self._network[-1].activation,
            self._settings.threshold,
            arrays.loss_parameters,
        )

    def call_helpers(self, steps, helpers):
        """Call the helpers that wait in the kernels; the numbers of the others, which have to be sent to help()."""
        return []

    def help(self, number):
        """A helper's part of the call under way, and of the calls that follow soon."""

    def abandon(self):
        """Make all helpers leave: no call will come, or the call under way will not be completed."""
        self._abandoned = True

    @property
    def abandoned(self) -> bool:
        """Whether the helpers were made to leave, so that no call can follow."""
        return self._abandoned

    @property
    def in_call(self) -> bool:
        """Whether a call is under way, or was abandoned before its end."""
        return False  # in one thread, a call is over when it returns

    @quietly
    def evaluate(self):
        """The objective over the samples, its penalty included, and the fraction of them classified correctly."""
        return self._evaluate(self._samples)

    @quietly
    def differentiate(self):
        """gradient = that of the objective over the samples, penalty included; returns the objective."""
        settings, rows = self._settings, len(self._samples.x)
        loss, *_ = self._batch_gradient(slice(None), settings.first_epoch, 0)
        self._finish_gradient(1 / rows, 1.0)
        return loss * settings.loss_share / rows + self._penalty()

    @quietly
    def run(self, steps):
        """At most `steps` minibatch steps from the position on: the first thread's part, which waits for the others."""
        settings, arrays, now = self._settings, self._arrays, fields(self._arrays.position[0])
        while steps > 0 and now.epoch < settings.epochs and not now.diverged:
            if now.batch == 0 and settings.shuffle and not settings.given_orders:
                shuffle(arrays.order, settings.seed, now.epoch)
            sizes = self._step(now)
            if now.questioned > 0:
                break
            steps -= 1
            now.batch += 1
            if now.diverged or now.batch * settings.batch >= settings.rows:
                self._end_epoch(now, sizes)
        arrays.position[0] = tuple(vars(now).values())

    def _step(self, now: SimpleNamespace) -> list[float]:
        """One batch: gradient and update, or neither if the loss is no use; returns the sizes of h."""
        settings, arrays, weights = self._settings, self._arrays, self._samples.weights
        epoch, first = now.epoch - settings.first_epoch, now.batch * settings.batch
        rows = min(settings.batch, settings.rows - first)
        chosen = slice(first, first + rows)
        if arrays.order is not None:
            chosen = arrays.order.reshape(-1, settings.rows)[epoch % max(1, settings.given_orders), chosen]
        loss, hits, sizes = self._batch_gradient(chosen, now.epoch, first)
        summed = settings.own_average and weights is not None
        weight = float(weights[chosen].sum(dtype=np.float64)) if summed else rows
        inverse = 1 / weight if weight > 0 else 0.0  # so that a batch without weight leaves no gradient
        fraction = inverse if settings.own_average else 1.0  # without own_average, penalties are over N already
        penalty = self._penalty() * fraction
        if weight > 0:  # a batch without weight has no mean loss
            if _is_questioned(settings, now, loss * settings.loss_share / weight + penalty):
                return sizes
            now.loss_sum += loss * settings.loss_share * rows / weight + penalty * rows
            now.loss_rows += rows
        now.hits += hits
        if not math.isfinite(loss + penalty) or now.questioned < 0:
            now.diverged = 1
            return sizes
        self._finish_gradient(inverse, fraction)
        rate = float(arrays.rates[epoch * settings.rates_per_epoch + now.batch % settings.rates_per_epoch])
        update(arrays.parameters, arrays.state, clipped(arrays.gradient, settings), settings, now, rate)
        if settings.max_norm > 0:
            limit_weights(self._network, settings.max_norm)
        now.step += 1
        now.beta1_power *= beta1(settings, now.step)
        now.beta2_power *= settings.beta2
        return sizes

    def _output_layer(self, z, rows: slice | np.ndarray, samples) -> tuple[np.ndarray, np.ndarray, float, float]:
        """h and dL/dz of every row, Σ loss and hits."""
        losses, dz, h = np.empty(len(z), z.dtype), np.empty_like(z), np.empty_like(z)
        given = {name: getattr(samples, name) for name in ("y", "weights", "metric_weights")}
        part = SimpleNamespace(**{name: None if values is None else values[rows] for name, values in given.items()})
        hits = output_forward_backward(losses, dz, h, z, part, self._output)
        return h, dz, float(losses.sum(dtype=np.float64)), hits

    def _evaluate(self, samples, fraction: float = 1.0) -> tuple[float, float]:
        loss = hits = 0
        for begin in range(0, len(samples.x), _PIECE):
            piece = slice(begin, begin + _PIECE)
            z = outputs_of_layers(self._network, samples.x[piece])[-1]
            *_, part, correct = self._output_layer(z, piece, samples)
            loss, hits = loss + part, hits + correct
        rows = len(samples.x)
        return loss * self._settings.loss_share / rows + self._penalty() * fraction, hits / rows

    def _batch_gradient(self, rows: slice | np.ndarray, epoch: int, first: int) -> tuple[float, float, list[float]]:
        """gradient = Σ_rows dL/dW and dL/db of every layer; returns Σ loss, hits and each layer's root mean square."""
        settings, network = self._settings, self._network
        inputs, slopes = [self._samples.x[rows]], []
        for number, layer in enumerate(network[:-1]):
            h, derivative = activate_both(_affine(inputs[-1], layer.w, layer.b), layer.activation)
            if self._arrays.dropped is not None and self._arrays.dropped[number]:
                derivative = np.broadcast_to(derivative, h.shape).copy()  # identity's is one number
                units = DroppedUnits(self._arrays.dropped[number].item(), settings.seed, epoch, number)
                dropout(h, derivative, units, first)
            inputs.append(h)
            slopes.append(derivative)
        z = _affine(inputs[-1], network[-1].w, network[-1].b)
        h, dz, loss, hits = self._output_layer(z, rows, self._samples)
        for number in reversed(range(len(network))):
            dense_backward_weights(self._gradients[number].w, self._gradients[number].b, inputs[number], dz)
            if number:
                dh = np.empty_like(inputs[number])
                dense_backward_inputs(dh, dz, network[number].w, slopes[number - 1], STORED)
                dz = dh
        return loss, hits, [math.sqrt(np.square(part, dtype=np.float64).mean()) for part in (*inputs[1:], h)]

    def _penalty(self) -> float:
        """l2 / 2 Σ W² + l1 Σ |W|, both already over N."""
        settings, penalty = self._settings, 0.0
        for layer in self._network:
            if settings.l2 > 0:
                penalty += 0.5 * settings.l2 * float(np.square(layer.w, dtype=np.float64).sum())
            if settings.l1 > 0:
                penalty += settings.l1 * float(np.abs(layer.w).sum(dtype=np.float64))
        return penalty

    def _finish_gradient(self, inverse: float, fraction: float) -> None:
        """Make the sum over rows a mean, and add a fraction of the penalty's gradient."""
        settings = self._settings
        self._arrays.gradient[:] *= inverse
        if settings.l1 > 0 or settings.l2 > 0:
            for layer, part in zip(self._network, self._gradients, strict=True):
                if settings.published_ridge:
                    part.w[:] += fraction * settings.l2 * float(np.square(layer.w, dtype=np.float64).sum())
                else:
                    part.w[:] += fraction * settings.l2 * layer.w + fraction * settings.l1 * np.sign(layer.w)

    def _end_epoch(self, now: SimpleNamespace, sizes: list[float]) -> None:
        """Write the epoch down, validate, and go to the next."""
        settings, arrays = self._settings, self._arrays
        noted = settings.notes > 0 and (now.epoch < settings.note_first or now.epoch % settings.note_every == 0)
        if noted and not now.diverged:
            norms = [math.hypot(norm(part.w), 0.0 if part.b is None else norm(part.b)) for part in self._gradients]
            arrays.layer_record[:, now.noted] = [*norms, *sizes]
            now.noted += 1
        numbers = {
            "loss": now.loss_sum / now.loss_rows if now.loss_rows else 0.0,
            "accuracy": now.hits / settings.rows,
            "gradient_norm": math.nan if now.diverged else norm(arrays.gradient),
        }
        if settings.validation_rows:
            fraction = 1 / settings.rows if settings.own_average else 1.0
            numbers["val_loss"], numbers["val_accuracy"] = self._evaluate(self._validation, fraction)
        for name, value in numbers.items():
            arrays.record[EPOCH.names.index(name), now.epoch - settings.first_epoch] = value
        now.epoch += 1
        now.batch = now.loss_sum = now.hits = now.loss_rows = 0
