"""Steps: of each row of `_spec.optimizers` one step along the gradient g; w and the state vectors change in place."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np

from fastmlp._engine.reference.views import Layer, functions_of
from fastmlp._spec.optimizers import FROZEN, OPTIMIZERS

NADAM = OPTIMIZERS["nadam"].code


def beta1(settings: SimpleNamespace, number: int) -> float:
    """beta1 of a step, counted from 1; NAdam lets it grow."""
    if settings.optimizer != NADAM:
        return settings.beta1
    return settings.beta1 * (1 - 0.5 * 0.96 ** (number * settings.momentum_decay))


def sgd_step(w, slots, g, settings, now, rate) -> None:
    if settings.momentum > 0:
        (buffer,) = slots
        if settings.rate_in_velocity:
            g, rate = rate * g, 1.0
        buffer *= settings.momentum
        buffer += g
        g = g + settings.momentum * buffer if settings.nesterov else buffer
    w -= rate * g


def moments(slots, g, settings, now) -> tuple[np.ndarray, np.ndarray]:
    """Adam's running means of the gradient and of its square; the square root of the second, corrected."""
    m, v = slots[:2]
    m += (g - m) * (1 - settings.beta1)
    v *= settings.beta2
    v += g * g * (1 - settings.beta2)
    if settings.amsgrad:
        v = np.maximum(slots[2], v, out=slots[2])
    correction = 1 / math.sqrt(1 - now.beta2_power * settings.beta2)
    return m, np.sqrt(v) * correction + settings.epsilon * (correction if settings.epsilon_hat else 1)


def adam_step(w, slots, g, settings, now, rate) -> None:
    m, root = moments(slots, g, settings, now)
    w *= 1 - rate * settings.weight_decay
    w -= m * (rate / (1 - now.beta1_power * settings.beta1)) / root


def nadam_step(w, slots, g, settings, now, rate) -> None:
    m, root = moments(slots, g, settings, now)
    present, following = beta1(settings, now.step + 1), beta1(settings, now.step + 2)
    product = now.beta1_power * present
    along = g * ((1 - present) / (1 - product)) + m * (following / (1 - product * following))
    w -= rate * along / root


def rmsprop_step(w, slots, g, settings, now, rate) -> None:
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


def adagrad_step(w, slots, g, settings, now, rate) -> None:
    (total,) = slots
    total += g * g
    w -= rate / (1 + now.step * settings.rate_decay) * g / (np.sqrt(total) + settings.epsilon)


def adadelta_step(w, slots, g, settings, now, rate) -> None:
    v, past = slots
    v *= settings.beta2
    v += g * g * (1 - settings.beta2)
    delta = g * (np.sqrt(past + settings.epsilon) / np.sqrt(v + settings.epsilon))
    past *= settings.beta2
    past += delta * delta * (1 - settings.beta2)
    w -= rate * delta


def lion_step(w, slots, g, settings, now, rate) -> None:
    (m,) = slots
    blend = m * settings.beta1 + g * (1 - settings.beta1)
    m *= settings.beta2
    m += g * (1 - settings.beta2)
    w *= 1 - rate * settings.weight_decay
    w -= rate * np.sign(blend)


def rprop_step(w, slots, g, settings, now, rate) -> None:
    last, length = slots
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
        return gradient * gradient.dtype.type(fraction if fraction < 1 else 1)
    return gradient


def norm(vector: np.ndarray) -> float:
    """The Euclidean norm, summed in double."""
    return math.sqrt(np.square(vector, dtype=np.float64).sum())


def limit_weights(network: list[Layer], largest: float) -> None:
    """w = w min(1, largest / |w|), column by column."""
    for layer in network:
        size = np.maximum(np.abs(layer.w).max(axis=0), np.finfo(layer.w.dtype).tiny)  # so that no square overflows
        norms = size * np.sqrt(np.square(layer.w / size).sum(axis=0))
        layer.w[:] *= np.minimum(1, layer.w.dtype.type(largest) / norms)


_STEPS = functions_of(globals(), {row.code: f"{row.name}_step" for row in OPTIMIZERS.values()})


def update(parameters, state, gradient, settings: SimpleNamespace, now: SimpleNamespace, rate: float) -> None:
    """One step of the optimizer along the gradient; none if the gradient alone is wanted."""
    if settings.optimizer != FROZEN:
        slots = state.reshape(settings.slots, len(parameters))
        _STEPS[settings.optimizer](parameters, slots, gradient, settings, now, rate)
