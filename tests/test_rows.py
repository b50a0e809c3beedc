"""Every row of `_spec` against its own formula in 160 bits: a new activation and a new loss are tested as they stand.

Bounds here hold for any formula of a few operations. What is finer, or special to one function, stands in
test_elementwise.py and test_losses.py; that a row trains as the reference does, in inside/test_parity.py.
"""

import re

import numpy as np
import pytest
from formulas import in_digits
from inside import places

from fastmlp import activations, losses
from fastmlp.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from fastmlp.losses import LOSSES

mpmath = pytest.importorskip("mpmath")

SINGLE = [name for name, row in ACTIVATIONS.items() if not row.couples]
FOLLOWS = [name for name in HIDDEN_ACTIVATIONS if not ACTIVATIONS[name].kept]
# the formulas of one output, in each of the outputs they go with
ONE_OUTPUT = [(name, output) for name, loss in LOSSES.items() if loss.row.takes != "row" for output in loss.row.outputs]
# Eight operations, each of which rounds by up to two roundoffs, as exponentials and their kind do.
ROUNDINGS = 16


def true_values(formula, **variables):
    """The formula of numbers or arrays of numbers, in 160 bits, rounded to a double."""
    with mpmath.workprec(160):
        rows = np.broadcast_arrays(*variables.values())
        each = zip(*(np.ravel(row).tolist() for row in rows), strict=True)
        values = [in_digits(formula, **dict(zip(variables, map(mpmath.mpf, row), strict=True))) for row in each]
        return np.array([float(value) for value in values]).reshape(rows[0].shape)


def assert_rounded(result, expected, sizes, tolerance):
    """Off by some roundings of numbers as large as `sizes`."""
    bound = ROUNDINGS * tolerance("roundoff", result.dtype) * sizes
    error = np.abs(result - expected)
    assert (error <= bound).all(), f"off by {(error / bound).max()} times the bound"


def arguments(dtype):
    """Numbers of both signs up to 20, and the seams at whole numbers."""
    z = np.random.default_rng(5).normal(0, 4, 300)
    return np.concatenate([z, np.arange(-20, 21), [1e-3, -1e-3, 0.5, -0.5]]).astype(dtype)


@pytest.mark.parametrize("activation", SINGLE)
def test_an_activation_is_its_formula(kernels, dtype, activation, tolerance):
    z, row = arguments(dtype), ACTIVATIONS[activation]
    h = np.empty_like(z)
    slopes = np.empty_like(z) if row.kept else None
    kernels.activation_forward(h, slopes, z, row.code)
    expected = true_values(row.value, z=z)
    # A formula's parts are as large as z, or 1, or the result.
    sizes = np.maximum(np.maximum(np.abs(z), 1), np.abs(expected))
    if row.slope == "h":  # relative, for z carries an error of its own size into the exponent only
        sizes = expected * np.maximum(np.abs(z), 1)
    assert_rounded(h, expected, sizes, tolerance)
    if row.kept:
        assert_rounded(slopes, true_values(row.slope, z=z), np.maximum(np.abs(z), 1), tolerance)


@pytest.mark.parametrize("activation", FOLLOWS)
def test_a_slope_is_its_formula(kernels, dtype, activation, tolerance):
    z, row = arguments(dtype), ACTIVATIONS[activation]
    h, dz = np.empty_like(z), np.empty_like(z)
    kernels.activation_forward(h, None, z, row.code)
    kernels.activation_backward(dz, np.ones_like(z), h, row.code)
    assert_rounded(dz, true_values(row.slope, h=h), np.full(len(z), 2.0), tolerance)


@pytest.mark.parametrize("activation", SINGLE)
def test_a_slope_is_the_derivative_of_the_value(activation):
    row = ACTIVATIONS[activation]
    with mpmath.workdps(40):
        for z in (-7.3, -2.2, -0.4, -0.01, 0.01, 0.6, 1.7, 8.1):  # away from every kink
            value = in_digits(row.value, z=mpmath.mpf(z))
            slope = in_digits(row.slope, z=mpmath.mpf(z), h=value)
            derivative = mpmath.diff(lambda z, formula=row.value: in_digits(formula, z=z), mpmath.mpf(z))
            # mpmath's differences lose half of 80 digits; selu's constants are given in 17.
            assert abs(slope - derivative) < 1e-15, z


def targets_of(loss, rows, dtype):
    """Targets that the loss has a value for."""
    y = np.random.default_rng(2).normal(0, 2, rows)
    if loss.row.coding in ("bits", "signs"):
        return np.where(y > 0, 1, {"bits": 0, "signs": -1}[loss.row.coding]).astype(dtype)
    return (np.abs(y) + 0.1 if loss.row.minimum == 0 else y).astype(dtype)


@pytest.mark.parametrize(("loss", "output"), ONE_OUTPUT)
def test_a_loss_is_its_formula(kernels, dtype, loss, output, tolerance):
    loss, row = LOSSES[loss], ACTIVATIONS[output]
    z = np.random.default_rng(3).normal(0, 2, (200, 1)).astype(dtype)
    y = targets_of(loss, 200, dtype)[:, None]
    losses, dz, h = np.empty(len(z), dtype), np.empty_like(z), np.empty_like(z)
    parameter = loss.row.parameter[0] if loss.row.parameter else 0.0
    parameters = np.full(1, parameter) if loss.row.parameter else None
    places.output_layer(kernels, (losses, dz, h, z), y, None, parameters, loss=loss.code, activation=row.code)

    of_z = f"(lambda h: {loss.row.formula})({row.value})"
    expected = true_values(of_z, z=z, y=y, parameter=np.full_like(z, parameter))[:, 0]
    with mpmath.workdps(40):
        slopes = [
            mpmath.diff(lambda z, y=y, p=parameter: in_digits(of_z, z=z, y=mpmath.mpf(y), parameter=p), mpmath.mpf(z))
            for z, y in zip(z.ravel().tolist(), y.ravel().tolist(), strict=True)
        ]
    sizes = (1 + np.abs(z) + np.abs(h) + np.abs(y)) ** 2  # of the largest part: a square, or a product with a logarithm
    assert_rounded(losses, expected, sizes[:, 0], tolerance)
    assert_rounded(dz, np.array(slopes, np.float64)[:, None], sizes, tolerance)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.row.takes == "row"])
def test_a_loss_of_whole_rows_is_its_formula(kernels, dtype, name, smoothing, tolerance):
    loss, (output,) = LOSSES[name].smoothed(smoothing), LOSSES[name].outputs
    generator = np.random.default_rng(4)
    z = generator.normal(0, 3, (40, 5)).astype(dtype)
    soft = generator.dirichlet(np.ones(5), 40).astype(dtype)
    labels = generator.integers(0, 5, 40).astype(np.int32)
    for y, dense in ((labels, np.eye(5)[labels]), (soft, soft)):
        losses, dz, h = np.empty(len(z), dtype), np.empty_like(z), np.empty_like(z)
        given = np.full(5, smoothing) if smoothing else None
        code = ACTIVATIONS[output].code
        places.output_layer(kernels, (losses, dz, h, z), y, None, given, loss=loss.code, activation=code)
        for row in range(len(z)):
            with mpmath.workdps(40):
                parts = [mpmath.mpf(value) for value in z[row].tolist()]
                targets = [mpmath.mpf(value) for value in dense[row].tolist()]

                def total(*parts, targets=targets):
                    largest = max(parts)
                    whole = sum(mpmath.exp(part - largest) for part in parts)
                    over_row = {"row_max": lambda _: largest, "row_sum": lambda _: whole}
                    outputs = [in_digits(ACTIVATIONS[output].value, z=part, **over_row) for part in parts]
                    settings = {"parameter": mpmath.mpf(smoothing), "outputs": len(parts)}
                    pairs = zip(outputs, targets, strict=True)
                    return sum(in_digits(loss.row.formula, h=h, y=y, **settings) for h, y in pairs), outputs

                expected, outputs = total(*parts)
                slopes = [mpmath.diff(lambda *p: total(*p)[0], parts, tuple(np.eye(5, dtype=int)[j])) for j in range(5)]
            # A logarithm of five terms, and products of it with targets.
            size = 5 * (1 + np.abs(z[row]).max())
            assert_rounded(losses[row : row + 1], float(expected), size, tolerance)
            assert_rounded(h[row], np.array(outputs, float), size, tolerance)
            assert_rounded(dz[row], np.array(slopes, float), size, tolerance)


@pytest.mark.parametrize(
    ("module", "rows"), [(activations, ACTIVATIONS), (losses, LOSSES)], ids=["activations", "losses"]
)
def test_the_docstring_has_a_line_for_every_row(module, rows):
    table = re.search(r"(?ms)^=+ =+ =+\n.*^=+ =+ =+$", module.__doc__)[0]
    assert sorted(re.findall(r"(?m)^([a-z]\w*) ", table.split("\n", 3)[3])) == sorted(rows)
