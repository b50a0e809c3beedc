"""The output layer against the losses' formulas in a longer type: outputs, losses, deltas and hits."""

import numpy as np
import pytest

from fastmlp.activations import ACTIVATIONS
from fastmlp.losses import LOSSES

SQUARED, BINARY, CROSS = (LOSSES[name].code for name in ("squared_error", "binary_cross_entropy", "cross_entropy"))
IDENTITY, SIGMOID, SOFTMAX = (ACTIVATIONS[name] for name in ("identity", "sigmoid", "softmax"))
NO_METRIC, LARGEST, THRESHOLD = range(3)

# loss, output activation, measure of accuracy: all that go together
COMBINATIONS = [
    (SQUARED, IDENTITY, NO_METRIC), (SQUARED, IDENTITY, LARGEST), (SQUARED, IDENTITY, THRESHOLD),
    (SQUARED, SIGMOID, NO_METRIC), (SQUARED, SIGMOID, LARGEST), (SQUARED, SIGMOID, THRESHOLD),
    (BINARY, SIGMOID, THRESHOLD), (CROSS, SOFTMAX, LARGEST),
]  # fmt: skip
SHAPES = [(1, 1), (1, 3), (2, 2), (3, 7), (8, 1), (15, 4), (16, 10), (17, 5), (33, 3), (64, 65), (100, 2)]


def run(kernels, z, y, loss, activation, metric, guarded):
    """Losses, deltas, outputs and hits of the kernels."""
    rows, outputs = z.shape
    losses = guarded.result(rows, dtype=z.dtype)
    dz, h = guarded.result(rows, outputs, dtype=z.dtype), guarded.result(rows, outputs, dtype=z.dtype)
    hits = kernels.output_forward_backward(
        losses, dz, h, guarded.given(z), y, loss, metric, activation, rows, outputs
    )
    guarded.check()
    return losses, dz, h, hits


def sigmoid(z):
    """1 / (1 + exp(-z))."""
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, 1) / (1 + e)


def formulas(z, y, loss, activation):
    """Losses, deltas and outputs in long double; then how large the numbers were that each was made of."""
    z = z.astype(np.longdouble)
    every = np.arange(len(z))
    if loss == CROSS:
        top = z.max(axis=1, keepdims=True)
        e = np.exp(z - top)
        h = e / e.sum(axis=1, keepdims=True)
        label = np.zeros_like(z)
        label[every, y] = 1
        losses = np.log(e.sum(axis=1)) - (z - top)[every, y]
        spread = (top - z).max(axis=1) + z.shape[1]
        return (losses, h - label, h), (spread, h * spread[:, None] + label, h * spread[:, None])
    if loss == BINARY:
        h = sigmoid(z)
        losses = (np.maximum(z, 0) - y * z + np.log1p(np.exp(-np.abs(z)))).sum(axis=1)
        return (losses, h - y, h), ((np.abs(z) * (1 + np.abs(y)) + 1).sum(axis=1), h + np.abs(y), h)
    h = sigmoid(z) if activation == SIGMOID else z
    slope = h * (1 - h) if activation == SIGMOID else np.ones_like(z)
    size = np.abs(h) + np.abs(y)
    return (((y - h) ** 2).sum(axis=1) / 2, (h - y) * slope, h), ((size**2).sum(axis=1), size, np.abs(h))


def draw_targets(loss, metric, rows, outputs, dtype, generator):
    """Targets that go with a loss and a measure of accuracy, coded for the kernels."""
    labels = generator.integers(0, outputs, rows)
    if loss == CROSS:
        return labels.astype(np.int32)
    if metric == LARGEST:
        return np.eye(outputs, dtype=dtype)[labels]
    if metric == THRESHOLD:
        return generator.integers(0, 2, (rows, outputs)).astype(dtype)
    return generator.standard_normal((rows, outputs)).astype(dtype)


def hits_of(h, y, metric):
    """How many rows are classified as their targets say, row by row."""
    if metric == NO_METRIC:
        return 0
    if metric == THRESHOLD:
        return sum(all((h[i] > 0.5) == (y[i] > 0.5)) for i in range(len(h)))
    labels = y if y.ndim == 1 else [list(row).index(max(row)) for row in y]
    return sum(list(row).index(max(row)) == label for row, label in zip(h, labels, strict=True))


@pytest.mark.parametrize(("loss", "activation", "metric"), COMBINATIONS)
@pytest.mark.parametrize("scale", [0.01, 1.0, 10.0, 80.0])
def test_formulas(kernels, dtype, loss, activation, metric, scale, guarded, tolerance):
    generator = np.random.default_rng(5)
    for rows, outputs in SHAPES:
        z = (scale * generator.standard_normal((rows, outputs))).astype(dtype)
        y = draw_targets(loss, metric, rows, outputs, dtype, generator)
        *results, hits = run(kernels, z, y, loss, activation, metric, guarded)
        # exp and log are within 4 units of 2 roundoffs each; differences and the sum over outputs round once a term.
        # All of it is relative to the numbers that are added, not to what is left of them. Below the normal numbers
        # digits go missing.
        roundoff = (20 + outputs) * tolerance("roundoff", dtype)
        for result, true_result, size in zip(results, *formulas(z, y, loss, activation), strict=True):
            bound = roundoff * size + outputs * np.finfo(dtype).tiny
            assert (np.abs(result - true_result) <= bound).all()
        assert hits == hits_of(results[2], y, metric)


@pytest.mark.parametrize("fractions", [True, False])
def test_binary_cross_entropy_of_small_losses_keeps_its_digits(kernels, dtype, fractions, guarded, tolerance):
    # Where a label is met, the loss is log(1 + exp(-|z|)): all digits down to the smallest numbers.
    ends = (1, 100) if dtype == np.float64 else (1, 80)
    z = np.linspace(*ends, 200, dtype=dtype)[:, None] * np.where(np.arange(200) % 2, 1, -1).astype(dtype)[:, None]
    y = (z > 0).astype(dtype)
    if fractions:
        y = np.full_like(z, 0.5)
    losses, *_ = run(kernels, z, y, BINARY, SIGMOID, THRESHOLD, guarded)
    size = np.abs(z[:, 0]).astype(np.longdouble)
    expected = np.log1p(np.exp(-size)) + (size / 2 if fractions else 0)
    # exp, log, a product and a quotient: 2 to 4 units, each 2 roundoffs.
    np.testing.assert_allclose(losses, expected.astype(np.float64), rtol=24 * tolerance("roundoff", dtype))


@pytest.mark.parametrize("size", [80.0, 1e3, 1e30])
def test_extreme_inputs_stay_finite_and_right(kernels, dtype, size, guarded, tolerance):
    # exp(-80) is 1.8e-35: a number in both dtypes, and nothing beside 1.
    small = float(np.exp(-size)) if size == 80 else 0.0
    relative = 400 * tolerance("roundoff", dtype)  # -80 is written to half a roundoff, which exp takes 80 times
    size = float(dtype.type(size))
    z = np.array([[size, -size], [-size, size], [0, size], [size, size], [-size, -size]] * 4, dtype)

    labels = np.array([0, 0, 0, 1, 0] * 4, np.int32)
    losses, dz, h, hits = run(kernels, z, labels, CROSS, SOFTMAX, LARGEST, guarded)
    both = np.log(2)
    np.testing.assert_allclose(losses[:5], [0, 2 * size, size, both, both], rtol=relative, atol=small)
    np.testing.assert_allclose(h[:5, 0], [1, 0, 0, 0.5, 0.5], rtol=relative, atol=2 * small)
    np.testing.assert_allclose(dz[:5, 0], [0, -1, -1, 0.5, -0.5], rtol=relative, atol=2 * small)
    assert hits == 4 * 2

    y = np.array([[1, 0], [1, 1], [0, 1], [0, 1], [0, 1]] * 4, dtype)
    losses, dz, h, hits = run(kernels, z, y, BINARY, SIGMOID, THRESHOLD, guarded)
    np.testing.assert_allclose(losses[:5], [2 * small, size, both, size, size], rtol=relative)
    np.testing.assert_allclose(h[:5, 0], [1, small, 0.5, 1, small], rtol=relative)
    np.testing.assert_allclose(dz[:5, 0], [0, -1, 0.5, 1, small], rtol=relative, atol=2 * small)
    assert hits == 4 * 2

    losses, dz, h, hits = run(kernels, z, y, SQUARED, SIGMOID, THRESHOLD, guarded)
    np.testing.assert_allclose(losses[:5], [0, 0.5, 0.125, 0.5, 0.5], rtol=relative, atol=2 * small)
    np.testing.assert_allclose(dz[:5, 0], [0, -small, 0.125, 0, small**2], rtol=relative, atol=2 * small)


@pytest.mark.parametrize(("loss", "activation"), [(SQUARED, IDENTITY), (SQUARED, SIGMOID), (CROSS, SOFTMAX)])
def test_the_first_of_equal_outputs_is_the_class(kernels, dtype, loss, activation, guarded):
    rows = [[1, 1, 1], [0, 1, 1], [1, 0, 1], [0, 0, 1], [-1, -1, -1], [-2, -1, -1]]
    firsts = [0, 1, 0, 2, 0, 1]
    z = np.array(rows * 5, dtype)
    for shift, expected in ((0, len(z)), (1, 0)):
        labels = (np.array(firsts * 5) + shift) % 3
        y = labels.astype(np.int32) if loss == CROSS else np.eye(3, dtype=dtype)[labels]
        assert run(kernels, z, y, loss, activation, LARGEST, guarded)[3] == expected


def test_one_half_is_the_negative_side(kernels, dtype, guarded):
    z = np.array([[0.0], [np.finfo(dtype).eps * 4], [-np.finfo(dtype).eps * 4]] * 7, dtype)
    for target, expected in ((0.0, 14), (1.0, 7), (0.5, 14)):
        y = np.full_like(z, target)
        assert run(kernels, z, y, BINARY, SIGMOID, THRESHOLD, guarded)[3] == expected


def test_every_output_of_a_row_must_be_right(kernels, dtype, guarded):
    z = np.array([[1, 1, 1], [1, -1, 1], [-1, -1, -1]] * 6, dtype)
    y = np.ones_like(z)
    assert run(kernels, z, y, BINARY, SIGMOID, THRESHOLD, guarded)[3] == 6


@pytest.mark.parametrize(("loss", "activation", "metric"), COMBINATIONS)
def test_nan_stays_in_its_row(kernels, dtype, loss, activation, metric, guarded):
    generator = np.random.default_rng(8)
    z = generator.standard_normal((37, 4)).astype(dtype)
    y = draw_targets(loss, metric, 37, 4, dtype, generator)
    z[20, 2] = np.nan
    losses, dz, h, _ = run(kernels, z, y, loss, activation, metric, guarded)
    np.testing.assert_array_equal(np.isnan(losses), np.arange(37) == 20)
    assert np.isnan(dz[20, 2])
    assert np.isnan(h[20, 2])
    assert np.isfinite(np.delete(dz, 20, axis=0)).all()
