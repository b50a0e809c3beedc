"""Steps: of each row of `_spec.optimizers` one step along the gradient g.

w and the state vectors, which come last, change in place; a vector that the settings do not ask for may be missing.
"""

import math
from types import SimpleNamespace

import numpy as np

from fastmlp._spec.optimizers import FROZEN, OPTIMIZERS


def average(mean: np.ndarray, values: np.ndarray, kept: float) -> None:
    """mean = kept mean + (1 - kept) values."""
    mean *= kept
    mean += values * (1 - kept)


def beta1(settings: SimpleNamespace, number: int) -> float:
    """beta1 of a step, counted from 1; NAdam lets it grow."""
    if settings.optimizer != OPTIMIZERS["nadam"].code:
        return settings.beta1
    return settings.beta1 * (1 - 0.5 * 0.96 ** (number * settings.momentum_decay))


def sgd_step(w, g, settings, now, rate, buffer=None) -> None:
    if settings.momentum > 0:
        if settings.rate_in_velocity:
            g, rate = rate * g, 1.0
        buffer *= settings.momentum
        buffer += g
        g = g + settings.momentum * buffer if settings.nesterov else buffer
    w -= rate * g


def moments(g, settings, now, m, v, largest=None) -> tuple[np.ndarray, np.ndarray]:
    """Adam's running means of the gradient and of its square; the square root of the second, corrected."""
    m += (g - m) * (1 - settings.beta1)
    average(v, g * g, settings.beta2)
    if settings.amsgrad:
        v = np.maximum(largest, v, out=largest)
    correction = 1 / math.sqrt(1 - now.beta2_power * settings.beta2)
    return m, np.sqrt(v) * correction + settings.epsilon * (correction if settings.epsilon_hat else 1)


def adam_step(w, g, settings, now, rate, *slots) -> None:
    m, root = moments(g, settings, now, *slots)
    w *= 1 - rate * settings.weight_decay
    w -= m * (rate / (1 - now.beta1_power * settings.beta1)) / root


def nadam_step(w, g, settings, now, rate, *slots) -> None:
    m, root = moments(g, settings, now, *slots)
    present, following = beta1(settings, now.step + 1), beta1(settings, now.step + 2)
    product = now.beta1_power * present
    along = g * ((1 - present) / (1 - product)) + m * (following / (1 - product * following))
    w -= rate * along / root


def rmsprop_step(w, g, settings, now, rate, v, buffer=None, mean=None) -> None:
    average(v, g * g, settings.beta2)
    if settings.centered:
        mean += (g - mean) * (1 - settings.beta2)
        v = np.maximum(0, v - mean * mean)
    g = g / (np.sqrt(v) + settings.epsilon)
    if settings.momentum > 0:
        buffer *= settings.momentum
        buffer += g
        g = buffer
    w -= rate * g


def adagrad_step(w, g, settings, now, rate, total) -> None:
    total += g * g
    w -= rate / (1 + now.step * settings.rate_decay) * g / (np.sqrt(total) + settings.epsilon)


def adadelta_step(w, g, settings, now, rate, v, past) -> None:
    average(v, g * g, settings.beta2)
    delta = g * (np.sqrt(past + settings.epsilon) / np.sqrt(v + settings.epsilon))
    average(past, delta * delta, settings.beta2)
    w -= rate * delta


def lion_step(w, g, settings, now, rate, m) -> None:
    blend = m * settings.beta1 + g * (1 - settings.beta1)
    average(m, g, settings.beta2)
    w *= 1 - rate * settings.weight_decay
    w -= rate * np.sign(blend)


def rprop_step(w, g, settings, now, rate, last, length) -> None:
    agreement = last * g
    length *= np.where(agreement < 0, settings.eta_minus, np.where(agreement > 0, settings.eta_plus, 1))
    np.clip(length, settings.least_step, settings.most_step, out=length)
    last[:] = np.where(agreement < 0, 0, g)
    w -= np.sign(last) * length


def clipped(gradient: np.ndarray, settings: SimpleNamespace) -> np.ndarray:
    """What clipping leaves of the gradient: each entry cut, or all of it scaled, as PyTorch's clip_grad_norm_ does."""
    if settings.clip_value > 0:
        return np.clip(gradient, -settings.clip_value, settings.clip_value)
    if settings.clip_norm > 0:
        fraction = settings.clip_norm / (norm(gradient) + 1e-6)
        return np.multiply(gradient, min(fraction, 1.0), dtype=np.float64).astype(gradient.dtype)
    return gradient


def norm(vector: np.ndarray) -> float:
    """The Euclidean norm, summed in double; scaled if squares overflow."""
    total = np.square(vector, dtype=np.float64).sum()
    if total < math.inf:
        return math.sqrt(total)
    largest = float(np.abs(vector).max())
    return largest * math.sqrt(np.square(vector / largest, dtype=np.float64).sum())


def limit_weights(network: list[SimpleNamespace], largest: float) -> None:
    """w = w min(1, largest / |w|), column by column."""
    for layer in network:
        size = np.maximum(np.abs(layer.w).max(axis=0), np.finfo(layer.w.dtype).tiny)  # so that no square overflows
        norms = size * np.sqrt(np.square(layer.w / size).sum(axis=0))
        layer.w[:] *= np.minimum(1, layer.w.dtype.type(largest) / norms)


_STEPS = {row.code: globals()[f"{row.name}_step"] for row in OPTIMIZERS.values()}


def update(parameters, state, gradient, settings: SimpleNamespace, now: SimpleNamespace, rate: float) -> None:
    """One step of the optimizer along the gradient; none if the gradient alone is wanted."""
    if settings.optimizer != FROZEN:
        _STEPS[settings.optimizer](
            parameters, gradient, settings, now, rate, *state.reshape(settings.slots, len(parameters))
        )
