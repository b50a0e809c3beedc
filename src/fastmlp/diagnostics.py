"""Inspects a network: whether its gradient is that of its loss, and the condition of its layers."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from fastmlp._engine.reference.activations import slope
from fastmlp._spec.values import whole
from fastmlp.activations import ACTIVATIONS
from fastmlp.network import Network

# Fourth-order central differences: their own error is step^4 times a fifth derivative, 2e-15, and the loss's rounding
# over the step, 1e-12. The shorter ones are for parameters that step over a kink (relu, l1, absolute error).
_STEPS = (2e-4, 2e-5, 2e-6)
_GOOD = 1e-6  # a wrong term shows in the first digits; a right one is a thousand times closer than this
_FLAT = 0.01  # the fraction of an activation's steepest slope below which a unit counts as saturated there
_MOSTLY = 0.5  # the fraction of saturated outputs from which on a layer counts as saturated
_VANISHED = 1e-3  # a layer's gradient against the last layer's, number by number
_EXPLODED = 100.0  # how many times larger than at the beginning


class Kink(NamedTuple):
    """An entry by which the loss has no derivative: the slopes on its two sides differ.

    Parameters
    ----------
    layer, name, index
        The entry, as in `GradientCheck`.
    gradient : float
        The entry as computed: a number between the two slopes.
    left, right : float
        The slopes below and above the parameter, by one-sided differences.
    """

    layer: int
    name: str
    index: tuple[int, ...]
    gradient: float
    left: float
    right: float


@dataclass(frozen=True)
class GradientCheck:
    """What a gradient check found.

    Parameters
    ----------
    error : float
        The largest difference of an entry, relative to the largest entry of the gradient.
    layer : int
        The layer of that entry, counted from 1.
    name : {"weights", "biases"}
        Where in the layer.
    index : tuple of int
        Its place there: (input, output) or (output,), counted from 0.
    gradient, difference : float
        The entry as computed, and by finite differences.
    entries : int
        How many entries were compared.
    kinks : tuple of Kink, default ()
        The entries at a kink of the loss, such as the bias of a relu unit that is 0 while a row of features is too.
        Such an entry is correct if it lies between the slopes on both sides; otherwise it counts as an error.
    """

    error: float
    layer: int
    name: str
    index: tuple[int, ...]
    gradient: float
    difference: float
    entries: int
    kinks: tuple[Kink, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the gradient is that of the loss: the error is at most 1e-6."""
        return self.error <= _GOOD

    def __repr__(self) -> str:
        """Return the result in one line."""
        verdict = "is" if self.ok else "is NOT"
        text = (
            f"the gradient {verdict} that of the loss: of {self.entries:,} entries the worst is {_entry(self)}, "
            f"{self.gradient:.9g} against {self.difference:.9g} by differences, off by {self.error:.2g} of the largest"
        )
        if self.kinks:
            first = self.kinks[0]
            text += (
                f"; {len(self.kinks):,} are at a kink of the loss, which has no derivative there, such as "
                f"{_entry(first)}: {first.gradient:.9g} lies between the slopes on its two sides, {first.left:.9g} and "
                f"{first.right:.9g}"
            )
        return text


def check_gradient(
    network: Network, X: Any, y: Any, sample_weight: Any = None, *, entries: int = 2000, seed: int = 0
) -> GradientCheck:
    """Compare a network's gradient with finite differences of its objective, in float64.

    The gradient is that of training: with the penalties and, if the network has dropout, with the units left out
    that its first epoch leaves out. The network is not changed.

    Parameters
    ----------
    network : Network
        The network, of either dtype.
    X : array-like, shape (rows, inputs)
        A few rows: every entry takes five passes over them.
    y : array-like, shape (rows,) or (rows, outputs)
        Their targets.
    sample_weight : array-like, shape (rows,), or None, default None
        One weight per row.
    entries : int, default 2000
        How many entries are compared; of a larger gradient so many are drawn.
    seed : int, default 0
        Seed of that draw.

    Returns
    -------
    GradientCheck
        The worst entry, by layer and index; print it, or read ``ok``.

    Raises
    ------
    TypeError, ValueError
        If an argument cannot be used.

    Notes
    -----
    Differences are of fourth order: (f(-2h) - 8 f(-h) + 8 f(h) - f(2h)) / 12h with h = 2e-4, and with a tenth and a
    hundredth of it if they differ, since a step over a kink of the objective shows nothing of its slope. At a kink
    itself (a relu unit with bias 0 and a row of zeros, a weight of 0 with l1) there is no slope: what is computed has
    to lie between the one-sided ones, and `kinks` names such entries.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = fastmlp.datasets.moons(20, seed=0)
    >>> net = fastmlp.Network((2, 8, 1), activation="gelu", loss="binary_cross_entropy", dropout=0.2, seed=0)
    >>> check_gradient(net, X, y).ok
    True
    """
    whole(entries, "entries")
    twin = _in_double(network)
    samples = twin._samples(X, y, sample_weight)

    def objective() -> tuple[float, np.ndarray]:
        return twin._model.differentiate(samples, dropping=True)

    gradient = objective()[1]
    places = np.arange(len(gradient))
    if len(places) > entries:
        places = np.sort(np.random.Generator(np.random.PCG64(seed)).choice(places, entries, replace=False))
    largest = float(np.abs(gradient).max()) or 1.0
    found = [_difference(twin.params, place, gradient[place], largest, objective) for place in places.tolist()]
    worst = max(range(len(found)), key=lambda number: found[number][0])
    error, slope, _ = found[worst]
    place = int(places[worst])
    return GradientCheck(
        error,
        *_named(twin, place),
        float(gradient[place]),
        slope,
        entries=len(places),
        kinks=tuple(
            Kink(*_named(twin, place), float(gradient[place]), *sides)
            for place, (_, _, sides) in zip(places.tolist(), found, strict=True)
            if sides
        ),
    )


def _entry(found: GradientCheck | Kink) -> str:
    return f"layer {found.layer} {found.name}[{', '.join(map(str, found.index))}]"


def _in_double(network: Network) -> Network:
    """Make a copy that computes in float64, on the same backend."""
    model = network._model
    topology = replace(model.topology, dtype=np.float64, backend=model.asked_backend)
    twin = Network._of(topology, network.params)
    twin._record.feature_names = network._record.feature_names
    return twin


def _difference(
    params: np.ndarray,
    place: int,
    expected: float,
    largest: float,
    objective: Callable[[], tuple[float, np.ndarray]],
) -> tuple[float, float, tuple[float, float] | None]:
    """Differentiate by one parameter.

    Returns the error, relative to the gradient's largest entry, the slope, and at a kink those on its two sides.
    """
    best = (math.inf, math.nan)
    value = params[place]
    for step in _STEPS:
        seen = []
        for shift in (-2, -1, 1, 2):
            params[place] = value + shift * step
            seen.append(objective()[0])
        slope = (seen[0] - 8 * seen[1] + 8 * seen[2] - seen[3]) / (12 * step)
        error = float(abs(slope - expected)) / largest
        best = min(best, (error, slope))
        if error <= _GOOD / 1000:
            break
    params[place] = value
    if best[0] <= _GOOD:
        return *best, None
    here = objective()[0]
    left = (3 * here - 4 * seen[1] + seen[0]) / (2 * step)
    right = (4 * seen[2] - seen[3] - 3 * here) / (2 * step)
    # Sides that differ by rounding alone are no kink.
    near = max(_GOOD * largest, 1e-9 * abs(here))
    if abs(right - left) > near and min(left, right) - near <= expected <= max(left, right) + near:
        return 0.0, (left + right) / 2, (left, right)
    return *best, None


def _named(network: Network, place: int) -> tuple[int, str, tuple[int, ...]]:
    """Return the name of an entry of the flat vector: layer, weights or biases, index."""
    for layer, arrays in enumerate(zip_longest(network.weights, network.biases, fillvalue=np.empty(0)), 1):
        for name, array in zip(("weights", "biases"), arrays, strict=True):
            if place < array.size:
                return layer, name, tuple(int(at) for at in np.unravel_index(place, array.shape))
            place -= array.size
    raise IndexError(place)


@dataclass(frozen=True)
class LayerHealth:
    """Condition of one layer.

    Parameters
    ----------
    layer : int
        Counted from 1; the last is the output layer.
    activation : str
        Its activation.
    units : int
        Its width.
    gradient_norms : ndarray of float64, shape (noted,)
        The norms of the gradient by its parameters over the training runs (``history.layer_epochs``).
    activation_sizes : ndarray of float64, shape (noted,)
        The root mean squares of its outputs over the training.
    weight_norm : float
        The norm of its weights now.
    dead : ndarray of int64
        Units whose slope is 0 for every row that was inspected.
    saturated : float
        The fraction of its outputs whose slope is less than a hundredth of the steepest; NaN if there is none.
    """

    layer: int
    activation: str
    units: int
    gradient_norms: np.ndarray = field(repr=False)
    activation_sizes: np.ndarray = field(repr=False)
    weight_norm: float
    dead: np.ndarray = field(repr=False)
    saturated: float


@dataclass(frozen=True)
class Health:
    """Condition of the layers of a network, and what to change first.

    Parameters
    ----------
    layers : tuple of LayerHealth
        The layers, inputs first.
    findings : tuple of str
        What is wrong, each with what to change first; empty if all is well.
    rows : int
        How many rows the layers were inspected with.
    """

    layers: tuple[LayerHealth, ...]
    findings: tuple[str, ...]
    rows: int

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def __repr__(self) -> str:
        """Write a table of the layers, then the findings."""
        lines = [
            f"{'layer':<6}{'activation':<13}{'units':>6}  {'gradient norm':<22}{'activation size':<22}"
            f"{'dead':>5}{'saturated':>11}"
        ]
        for layer in self.layers:
            saturated = "" if math.isnan(layer.saturated) else f"{layer.saturated:.0%}"
            lines.append(
                f"{layer.layer:<6}{layer.activation:<13}{layer.units:>6}  {_ends(layer.gradient_norms):<22}"
                f"{_ends(layer.activation_sizes):<22}{len(layer.dead):>5}{saturated:>11}".rstrip()
            )
        return "\n".join([*lines, *(self.findings or ("nothing is wrong",))])


def _ends(values: np.ndarray) -> str:
    """Return the first and the last of some numbers."""
    return f"{values[0]:.3g} -> {values[-1]:.3g}" if len(values) else "-"


def health(network: Network, X: Any = None) -> Health:
    """Inspect the layers of a network: norms over its training, dead and saturated units, vanishing and exploding.

    Parameters
    ----------
    network : Network
        The network.
    X : array-like, shape (rows, inputs), or None, default None
        Rows to find dead and saturated units with. None takes up to 256 rows of the last training, of which the
        network keeps a copy; of a network that was not trained here, no rows are then used.

    Returns
    -------
    Health
        Print it. Dead is a unit of relu, hard_sigmoid or hard_tanh whose slope is 0 for every row; saturated an output
        of sigmoid, tanh or the hard ones whose slope is less than a hundredth of the steepest; vanishing a layer whose
        gradient is less than a thousandth of the last layer's, number by number (root mean squares); exploding one
        whose gradient or outputs have grown a hundredfold, or stopped being finite.

    Raises
    ------
    TypeError, ValueError
        If `X` cannot be used.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = fastmlp.datasets.moons(200, noise=0.1, seed=0)
    >>> net = fastmlp.train(X, y, hidden=(16, 16), activation="tanh", learning_rate=0.01, epochs=100, seed=0)
    >>> health(net).ok
    True
    """
    rows = network._record.sample if X is None else network._features(X)
    number, history = len(network.weights), network.history
    parts = zip(
        network.activations,
        network.weights,
        history.layer_gradient_norms.reshape(-1, number).T,  # without a column per layer if nothing was noted
        history.layer_activations.reshape(-1, number).T,
        [None] * number if rows is None else network._layers(rows),
        strict=True,
    )
    layers = [
        LayerHealth(
            layer, name, w.shape[1], norms, sizes, float(np.linalg.norm(w.astype(float))), *_flat_units(h, name)
        )
        for layer, (name, w, norms, sizes, h) in enumerate(parts, 1)
    ]
    exploding = filter(None, map(_exploding, layers))
    findings = (*exploding, *_vanishing(network, layers), *_dead(layers), *_saturated(layers))
    return Health(tuple(layers), findings, 0 if rows is None else len(rows))


def _flat_units(h: np.ndarray | None, activation: str) -> tuple[np.ndarray, float]:
    """Return the dead units of a layer, found from its outputs, and the fraction of saturated outputs."""
    row, none = ACTIVATIONS[activation], np.empty(0, np.int64)
    if h is None or not (row.flat or row.steepest):
        return none, math.nan
    slopes = np.abs(slope(h, row.code))
    dead = np.flatnonzero((slopes == 0).all(axis=0)) if row.flat else none
    return dead, float(np.mean(slopes < _FLAT * row.steepest)) if row.steepest else math.nan


def _exploding(layer: LayerHealth) -> str:
    if not math.isfinite(layer.weight_norm):
        return (
            f"layer {layer.layer} has exploded: its weights are not finite; change first: a smaller learning_rate, "
            "then clip_norm=1.0, then fewer layers"
        )
    for what, values in (("gradient", layer.gradient_norms), ("outputs", layer.activation_sizes)):
        at_first = float(np.median(values[: max(1, len(values) // 10)])) if len(values) else 0.0
        if at_first > 0 and not values[-1] <= _EXPLODED * at_first:
            return (
                f"layer {layer.layer} is exploding: its {what} grew from {at_first:.3g} to {values[-1]:.3g}; change "
                "first: a smaller learning_rate, then clip_norm=1.0, then fewer layers"
            )
    return ""


def _vanishing(network: Network, layers: list[LayerHealth]) -> list[str]:
    recent = [layer.gradient_norms[-max(1, len(layer.gradient_norms) // 10) :] for layer in layers]
    if not len(recent[0]):
        return []
    sizes = [float(np.median(norms)) / math.sqrt(w.size) for norms, w in zip(recent, network.weights, strict=True)]
    return [
        f"layer {layer.layer} is vanishing: its gradient is {size / sizes[-1]:.1g} of the last layer's, number by "
        "number; change first: activation='relu' or 'gelu' with init='he_uniform', then fewer layers"
        for layer, size in zip(layers, sizes, strict=True)
        if size < _VANISHED * sizes[-1]
    ]


def _dead(layers: list[LayerHealth]) -> list[str]:
    return [
        f"layer {layer.layer} has {len(layer.dead)} dead {layer.activation} units of {layer.units} "
        f"({', '.join(map(str, layer.dead[:5]))}{', ...' if len(layer.dead) > 5 else ''}): no row moves them any more; "
        "change first: a smaller learning_rate, then activation='leaky_relu' or 'gelu', then init='he_uniform'"
        for layer in layers[:-1]
        if len(layer.dead)
    ]


def _saturated(layers: list[LayerHealth]) -> list[str]:
    return [
        f"layer {layer.layer} is saturated: {layer.saturated:.0%} of its {layer.activation} outputs are flat; change "
        "first: features scaled to mean 0 and deviation 1, then a smaller learning_rate, then l2 or max_norm"
        for layer in layers[:-1]
        if layer.saturated > _MOSTLY
    ]
