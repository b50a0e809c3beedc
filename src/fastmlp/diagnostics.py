"""Inspects a network: whether its gradient is that of its loss, and the condition of its layers."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from fastmlp._engine.reference.activations import activate, slope
from fastmlp._spec.values import typed, whole
from fastmlp._training.divergence import TITLES
from fastmlp.activations import ACTIVATIONS
from fastmlp.network import Network

# Fourth-order central differences: their own error is step^4 times a fifth derivative, 2e-15, and the loss's rounding
# over the step, 1e-12. The shorter ones are for parameters that step over a kink (relu, l1, absolute error).
_STEPS = (2e-4, 2e-5, 2e-6)
_GOOD = 1e-6  # a wrong term shows in the first digits; a right one is a thousand times closer than this
_FLAT = 0.01  # the fraction of an activation's steepest slope below which a unit counts as saturated there
_SATURATED = 0.9  # the fraction of saturated outputs above which a layer counts as saturated
_DEAD = 1 / 3  # the fraction of dead units from which on they are named: a few do no harm
_VANISHED = 1e-3  # a layer's gradient against the last layer's, number by number
_EXPLODED = 100.0  # how many times larger than at the beginning
_FITTED = 1e-6  # a loss that has fallen to this fraction of the first one leaves nothing to learn
_EQUAL = 1e-5  # weights of two units that differ by less, relatively, differ by rounding, which training multiplies
_CONSTANT = 1e-6  # outputs that differ by less, relatively, differ by rounding
# What to change first.
_SCALE = "change first: features scaled to mean 0 and deviation 1"
_SLOWER = "change first: a smaller learning_rate, then clip_norm=1.0, then fewer layers"
_DRAW = "change first: init='he_uniform' or other start weights that are drawn"
_FAR = 1e3  # how many times larger a feature is than the middle one, or that one than 1 or smaller
_OFFSET = 100.0  # the mean of a feature, in its standard deviations


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
    _check_network(network)
    whole(entries, "entries")
    whole(seed, "seed", minimum=0)
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
    repeated : ndarray of int64
        Hidden units that compute what another unit of the layer computes, except for the first of each.
    varies, finite : bool
        Whether its outputs differ from row to row, and whether they are finite; True if no rows were inspected.
    """

    layer: int
    activation: str
    units: int
    gradient_norms: np.ndarray = field(repr=False)
    activation_sizes: np.ndarray = field(repr=False)
    weight_norm: float
    dead: np.ndarray = field(repr=False)
    saturated: float
    repeated: np.ndarray = field(repr=False)
    varies: bool
    finite: bool


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
    """Inspect a network: its features, its units, and the norms of its layers over its training.

    Parameters
    ----------
    network : Network
        The network.
    X : array-like, shape (rows, inputs), or None, default None
        Rows to inspect the layers with. None takes up to 256 rows of the last training, of which the network keeps a
        copy; of a network that was not trained here, no rows are then used.

    Returns
    -------
    Health
        Print it; `findings` says what is wrong.

    Raises
    ------
    TypeError, ValueError
        If `network` is not a `Network`, or `X` cannot be used.

    Notes
    -----
    The size of a feature is its root mean square over the rows. What is found, and by which criterion:

    ================== ===================================================================================
    features           one is 1000 times as large as the middle one; or the middle one is 1000 times larger or
                       smaller than 1; or the mean of one is over 100 of its standard deviations
    exploded           weights or outputs that are not finite
    exploding          a gradient or outputs a hundred times as large as any layer's at first, with a loss that is
                       no smaller than the first one
    identical units    hidden units whose weights and bias are equal to 1e-5 of their norm, or opposite if the
                       activation is odd but for a constant (identity, tanh, sigmoid, hard_tanh, hard_sigmoid); units
                       whose weights are 0 only if those of all are
    no gradient        a layer whose gradient is exactly 0 when it was noted last, while the loss has not fallen to a
                       millionth
    vanishing          a gradient that is less than a thousandth of the last layer's, number by number (root mean
                       squares)
    dead units         a third or more of a hidden layer's relu units have a slope of 0 for every row
    saturated          more than nine tenths of the outputs of a hidden layer of sigmoid, tanh, hard_sigmoid or
                       hard_tanh have a slope of less than a hundredth of the steepest
    constant           outputs that are the same for all rows, to 1e-6 of their size, from some layer on, while the
                       rows differ and the loss has not fallen to a millionth
    ================== ===================================================================================

    Examples
    --------
    >>> import fastmlp
    >>> X, y = fastmlp.datasets.moons(200, noise=0.1, seed=0)
    >>> net = fastmlp.train(X, y, hidden=(16, 16), activation="tanh", learning_rate=0.01, epochs=100, seed=0)
    >>> health(net).ok
    True
    """
    _check_network(network)
    rows = network._record.sample if X is None else network._features(X)
    with np.errstate(all="ignore"):  # of what has exploded
        layers = _layers(network, rows)
    loss = network.history.loss
    fitted = len(loss) > 0 and bool(loss[-1] <= _FITTED * loss[0])
    findings = [*_diverged(network), *_features(rows), *_exploding(layers, loss), *_identical(layers)]
    if not fitted:
        findings += _without_gradient(layers)
    findings += [*_vanishing(network, layers), *_dead(layers), *_saturated(layers)]
    if not fitted:
        findings += _constant(layers)
    return Health(tuple(layers), tuple(findings), 0 if rows is None else len(rows))


def _check_network(network: Any) -> None:
    if not isinstance(network, Network):
        raise TypeError(f"network: got {typed(network)}; a Network is accepted; of an estimator, its network_")


def _diverged(network: Network) -> list[str]:
    stopped = network.last_history.stopped
    if stopped not in TITLES:
        return []
    return [
        f"the last training run diverged: {stopped}; change first: a smaller learning_rate, then scaled features and "
        "targets, then clip_norm=1.0"
    ]


def _layers(network: Network, rows: np.ndarray | None) -> list[LayerHealth]:
    """Inspect every layer."""
    number, history = len(network.weights), network.history
    outputs = [None] * number if rows is None else network._layers(rows)
    rows_differ = rows is not None and bool(np.ptp(rows, axis=0).any())
    parts = zip(
        network.activations,
        network.weights,
        network.biases or [None] * number,
        history.layer_gradient_norms.reshape(-1, number).T,  # without a column per layer if nothing was noted
        history.layer_activations.reshape(-1, number).T,
        outputs,
        strict=True,
    )
    return [
        LayerHealth(
            layer,
            name,
            w.shape[1],
            norms,
            sizes,
            float(np.linalg.norm(w.astype(float))),
            *_flat_units(h, name),
            repeated=_repeated(w, b, name) if layer < number else np.empty(0, np.int64),
            varies=not rows_differ or bool((np.ptp(h, axis=0) > _CONSTANT * np.abs(h).max(axis=0)).any()),
            finite=h is None or bool(np.isfinite(h).all()),
        )
        for layer, (name, w, b, norms, sizes, h) in enumerate(parts, 1)
    ]


def _flat_units(h: np.ndarray | None, activation: str) -> tuple[np.ndarray, float]:
    """Return the dead units of a layer, found from its outputs, and the fraction of saturated outputs."""
    row, none = ACTIVATIONS[activation], np.empty(0, np.int64)
    if h is None or not (row.flat or row.steepest):
        return none, math.nan
    slopes = np.abs(slope(h, row.code))
    dead = np.flatnonzero((slopes == 0).all(axis=0)) if row.flat else none
    return dead, float(np.mean(slopes < _FLAT * row.steepest)) if row.steepest else math.nan


def _repeated(weights: np.ndarray, biases: np.ndarray | None, activation: str) -> np.ndarray:
    """Return the units whose weights and bias are those of another unit, or opposite where that makes no difference."""
    units = weights.T.astype(float)
    if biases is not None:
        units = np.column_stack([units, biases])
    if units.shape[1] == 1 or not np.isfinite(units).all():  # single numbers are often alike by chance
        return np.empty(0, np.int64)
    # Equal units are neighbours in the order of one random projection.
    projected = units @ np.random.default_rng(0).standard_normal(units.shape[1])
    if _is_odd(activation):
        units, projected = units * np.where(projected < 0, -1.0, 1.0)[:, None], np.abs(projected)
    order = np.argsort(projected, kind="stable")
    units = units[order]
    norms, gaps = np.linalg.norm(units[1:], axis=1), np.linalg.norm(np.diff(units, axis=0), axis=1)
    equal = (gaps <= _EQUAL * norms) & ((norms > 0) | (not units.any()))
    group = np.zeros(len(units), np.int64)
    group[order[1:]] = np.cumsum(~equal)
    return np.delete(np.arange(len(units)), np.unique(group, return_index=True)[1])


def _is_odd(activation: str) -> bool:
    """Return whether f(z) + f(-z) is a constant."""
    z, code = np.array([0.0, 0.5, 3.0]), ACTIVATIONS[activation].code
    return bool(np.ptp(activate(z, code) + activate(-z, code)) < 1e-12)


def _features(rows: np.ndarray | None) -> list[str]:
    """Return what is wrong with the sizes of the features."""
    if rows is None:
        return []
    columns = rows.astype(float)
    largest = np.abs(columns).max(axis=0)
    columns /= np.where(largest > 0, largest, 1.0)  # no square overflows
    sizes = largest * np.sqrt(np.mean(columns**2, axis=0))
    seen = np.sort(sizes[sizes > 0])
    if not len(seen):
        return []
    middle, found = float(seen[(len(seen) - 1) // 2]), []
    if len(large := np.flatnonzero(sizes > _FAR * middle)):
        found.append(
            f"features of very different sizes: {_some(large)} of up to {sizes.max():.3g}, the middle one of "
            f"{middle:.3g}; {_SCALE}"
        )
    if not 1 / _FAR <= middle <= _FAR:
        found.append(f"features that are not scaled: the middle one is of size {middle:.3g}; {_SCALE}")
    means, deviations = columns.mean(axis=0), columns.std(axis=0)
    far = np.flatnonzero((np.abs(means) > _OFFSET * deviations) & (np.ptp(columns, axis=0) > 0))
    if len(far):
        mean, deviation = (float(values[far[0]] * largest[far[0]]) for values in (means, deviations))
        found.append(
            f"features far from 0: {_some(far)}, the first with mean {mean:.3g} and deviation {deviation:.3g}; {_SCALE}"
        )
    return found


def _some(places: np.ndarray) -> str:
    """Return the first few of some places as text."""
    return ", ".join(map(str, places[:5])) + (", ..." if len(places) > 5 else "")


def _exploding(layers: list[LayerHealth], loss: np.ndarray) -> list[str]:
    found = [
        f"layer {layer.layer} has exploded: its {what} are not finite; {_SLOWER}"
        for layer in layers
        for what, finite in (("weights", math.isfinite(layer.weight_norm)), ("outputs", layer.finite))
        if not finite
    ]
    if found or not len(layers[0].gradient_norms) or loss[-1] < loss[0]:
        return found
    for what, name in (("gradient", "gradient_norms"), ("outputs", "activation_sizes")):
        values = np.array([getattr(layer, name) for layer in layers])
        at_first = float(np.median(values[:, : max(1, values.shape[1] // 10)], axis=1).max())
        found += [
            f"layer {layer.layer} is exploding: its {what} grew to {last:.3g}, where no layer's were over "
            f"{at_first:.3g} at first; {_SLOWER}"
            for layer, last in zip(layers, values[:, -1], strict=True)
            if at_first > 0 and not last <= _EXPLODED * at_first
        ]
    return found


def _identical(layers: list[LayerHealth]) -> list[str]:
    return [
        f"layer {layer.layer} has {layer.units} units that are all identical, and stay so; {_DRAW}"
        if len(layer.repeated) == layer.units - 1
        else f"layer {layer.layer} repeats {len(layer.repeated)} of its {layer.units} units ({_some(layer.repeated)}); "
        f"{_DRAW}, then fewer units"
        for layer in layers
        if len(layer.repeated)
    ]


def _without_gradient(layers: list[LayerHealth]) -> list[str]:
    idle = np.array([layer.layer for layer in layers if len(layer.gradient_norms) and layer.gradient_norms[-1] == 0])
    if not len(idle):
        return []
    return [
        f"layers without a gradient: {_some(idle)}; it is 0, and they learn nothing; {_DRAW}, then features scaled to "
        "mean 0 and deviation 1, then a smaller learning_rate"
    ]


def _vanishing(network: Network, layers: list[LayerHealth]) -> list[str]:
    recent = [layer.gradient_norms[-max(1, len(layer.gradient_norms) // 10) :] for layer in layers]
    if not len(recent[0]):
        return []
    sizes = [float(np.median(norms)) / math.sqrt(w.size) for norms, w in zip(recent, network.weights, strict=True)]
    return [
        f"layer {layer.layer} is vanishing: its gradient is {size / sizes[-1]:.1g} of the last layer's, number by "
        "number; change first: activation='relu' or 'gelu' with init='he_uniform', then fewer layers"
        for layer, size in zip(layers, sizes, strict=True)
        if 0 < size < _VANISHED * sizes[-1]
    ]


def _dead(layers: list[LayerHealth]) -> list[str]:
    return [
        f"layer {layer.layer} has {len(layer.dead)} dead {layer.activation} units of {layer.units} "
        f"({_some(layer.dead)}): no row moves them any more; change first: a smaller learning_rate, then "
        "activation='leaky_relu' or 'gelu', then init='he_uniform'"
        for layer in layers[:-1]
        if math.isnan(layer.saturated) and len(layer.dead) >= max(1, _DEAD * layer.units)
    ]


def _saturated(layers: list[LayerHealth]) -> list[str]:
    return [
        f"layer {layer.layer} is saturated: {layer.saturated:.0%} of its {layer.activation} outputs are flat; "
        f"{_SCALE}, then a smaller learning_rate, then l2 or max_norm"
        for layer in layers[:-1]
        if layer.saturated > _SATURATED
    ]


def _constant(layers: list[LayerHealth]) -> list[str]:
    if layers[-1].varies or not layers[-1].finite:
        return []
    first = next(layer.layer for layer in layers if not any(later.varies for later in layers[layer.layer - 1 :]))
    return [
        f"from layer {first} on the outputs are the same for every row; {_DRAW}, then features scaled to mean 0 and "
        "deviation 1, then a smaller learning_rate"
    ]
