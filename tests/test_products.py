"""The three products of a layer against sums in a longer type, at sizes on both sides of every block edge."""

import math

import numpy as np
import pytest

from fastmlp.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS, KEPT_ACTIVATIONS

# (rows, inputs, outputs): one of each; about the heights of a register tile, 4, 6 and 8; about vectors of 2 to 16
# numbers and panels of 2 or 3 of them, up to 48 columns; about a block of the depth, 256.
SIZES = [
    *((1, 1, n) for n in (1, 2, 3, 4, 5, 7, 8, 9)),
    *((rows, 5, 6) for rows in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 23, 24, 25, 31, 33)),
    *((5, inputs, 7) for inputs in (1, 2, 3, 4, 6, 7, 8, 9, 12, 13, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65)),
    *((7, 5, outputs) for outputs in (1, 2, 3, 4, 6, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33, 47, 48, 49, 95, 96, 97)),
    *((9, depth, 50) for depth in (255, 256, 257, 511, 512, 513, 600)),
    *((9, 50, depth) for depth in (255, 256, 257, 511, 512, 513, 600)),
    *((depth, 9, 50) for depth in (255, 256, 257, 511, 512, 513, 600)),
    (1, 600, 1),
    (600, 1, 1),
    (1, 1, 600),
    (33, 257, 97),
    (257, 33, 49),
]


SCALE, ALPHA = np.longdouble("1.0507009873554804934193349852946"), np.longdouble("1.6732632423543772848170429916717")
STEEPEST = 1.76  # of any activation: selu's below 0


def activate(z, activation):
    """h = f(z) in the type of z."""
    if activation == ACTIVATIONS["sigmoid"].code:
        return 1 / (1 + np.exp(-z))
    if activation == ACTIVATIONS["tanh"].code:
        return np.tanh(z)
    if activation == ACTIVATIONS["relu"].code:
        return np.maximum(z, 0)
    if activation == ACTIVATIONS["leaky_relu"].code:
        return np.maximum(z, z / 100)
    if activation == ACTIVATIONS["elu"].code:
        return np.where(z > 0, z, np.expm1(z))
    if activation == ACTIVATIONS["selu"].code:
        return SCALE * np.where(z > 0, z, ALPHA * np.expm1(z))
    if activation == ACTIVATIONS["softplus"].code:
        return np.logaddexp(0, z)
    if activation == ACTIVATIONS["hard_sigmoid"].code:
        return np.clip(z / 6 + 1 / z.dtype.type(2), 0, 1)
    if activation == ACTIVATIONS["hard_tanh"].code:
        return np.clip(z, -1, 1)
    if activation == ACTIVATIONS["silu"].code:
        return z / (1 + np.exp(-z))
    if activation == ACTIVATIONS["gelu_tanh"].code:
        cubic = z.dtype.type("0.044715") * z * z * z
        with np.errstate(over="ignore"):  # of a gate that is 0
            return z / (1 + np.exp(-2 * np.sqrt(2 / (4 * np.arctan(z.dtype.type(1)))) * (z + cubic)))
    if activation == ACTIVATIONS["gelu"].code:
        # to the digits of double only: no module of Python or NumPy has erf in more
        return z * np.vectorize(math.erfc)(-z.astype(np.float64) * math.sqrt(0.5)) / 2
    return z


def slope(h, activation):
    """f'(z) from h = f(z)."""
    if activation == ACTIVATIONS["sigmoid"].code:
        return h * (1 - h)
    if activation == ACTIVATIONS["tanh"].code:
        return 1 - h * h
    if activation == ACTIVATIONS["relu"].code:
        return (h > 0).astype(h.dtype)
    if activation == ACTIVATIONS["leaky_relu"].code:
        return np.where(h > 0, 1, h.dtype.type(1) / 100)
    if activation == ACTIVATIONS["elu"].code:
        return np.where(h > 0, 1, h + 1)
    if activation == ACTIVATIONS["selu"].code:
        return np.where(h > 0, SCALE, h + SCALE * ALPHA)
    if activation == ACTIVATIONS["softplus"].code:
        return -np.expm1(-h)
    if activation == ACTIVATIONS["hard_sigmoid"].code:
        return np.where((h > 0) & (h < 1), 1 / h.dtype.type(6), 0)
    if activation == ACTIVATIONS["hard_tanh"].code:
        return (np.abs(h) < 1).astype(h.dtype)
    return np.ones_like(h)


def long(array):
    """The array in a type with more digits: double for float32, long double for float64."""
    return array.astype(np.float64 if array.dtype == np.float32 else np.longdouble)


def product(a, b):
    """a b, without BLAS: what is expected should not come from a library that may itself be what is wrong."""
    return np.einsum("ij,jk->ik", a, b)


def terms(depth, dtype):
    """Roundings of a sum of `depth` products and a bias; twice that where the truth has no more digits itself."""
    longer = dtype == np.float32 or np.finfo(np.longdouble).eps < np.finfo(np.float64).eps
    return (depth + 1) * (1 if longer else 2)


def assert_within(result, expected, bound):
    """Every entry is as near as its bound says."""
    error = np.abs(result - expected)
    off = ~(error <= bound)
    assert not off.any(), (
        f"off by {np.max((error / bound)[off])} times the bound in {off.sum()} places, first {np.argwhere(off)[0]}: "
        f"{result[off][:4]} instead of {expected[off][:4]}, bounds {np.broadcast_to(bound, off.shape)[off][:4]}"
    )


@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.sampled(2)
def test_dense_forward(kernels, dtype, bias, activation, normal, guarded, product_bound, tolerance):
    code = ACTIVATIONS[activation].code
    for rows, inputs, outputs in SIZES:
        x, w = normal(rows, inputs, dtype=dtype), normal(inputs, outputs, dtype=dtype, seed=1)
        b = normal(outputs, dtype=dtype) if bias else None
        y = guarded.result(rows, outputs, dtype=dtype)
        given = (guarded.given(array) if array is not None else None for array in (x, w, b))
        kernels.dense_forward(y, *given, code)
        z, size = product(long(x), long(w)), product(np.abs(x), np.abs(w))
        if bias:
            z, size = z + b, size + np.abs(b)
        h = activate(z, code)
        # An activation passes on what z is off by, and adds its own 4 units in the last place, each at most two
        # roundoffs of h.
        passed_on = STEEPEST * product_bound(dtype, terms(inputs, dtype), size)
        # The gate of a gated one is off by a few roundoffs of its own argument, which the cubic makes large.
        own = 8 if activation not in KEPT_ACTIVATIONS else 8 * (2 + np.minimum(np.abs(z) ** 3, 1e3))
        bound = passed_on + own * tolerance("roundoff", dtype) * np.abs(h)
        assert_within(y, h, bound)
    guarded.check()


@pytest.mark.parametrize("activation", [name for name in HIDDEN_ACTIVATIONS if name not in KEPT_ACTIVATIONS])
def test_dense_backward_inputs(kernels, dtype, activation, normal, guarded, product_bound, tolerance):
    code = ACTIVATIONS[activation].code
    for rows, inputs, outputs in SIZES:
        dy, w = normal(rows, outputs, dtype=dtype), normal(inputs, outputs, dtype=dtype, seed=1)
        x = activate(normal(rows, inputs, seed=2), code).astype(dtype)
        dx = guarded.result(rows, inputs, dtype=dtype)
        kernels.dense_backward_inputs(dx, guarded.given(dy), guarded.given(w), guarded.given(x), code)
        expected = product(long(dy), long(w).T) * slope(long(x), code)
        size = product(np.abs(dy), np.abs(w).T)
        # A slope is at most 1, and takes two roundings of numbers of at most 1; the product with it takes another.
        bound = product_bound(dtype, terms(outputs, dtype), size) + 3 * tolerance("roundoff", dtype) * size
        assert_within(dx, expected, bound)
    guarded.check()


@pytest.mark.parametrize("bias", [True, False])
def test_dense_backward_weights(kernels, dtype, bias, normal, guarded, product_bound):
    for rows, inputs, outputs in SIZES:
        x, dy = normal(rows, inputs, dtype=dtype), normal(rows, outputs, dtype=dtype, seed=1)
        dw = guarded.result(inputs, outputs, dtype=dtype)
        db = guarded.result(outputs, dtype=dtype) if bias else None
        kernels.dense_backward_weights(dw, db, guarded.given(x), guarded.given(dy))
        count = terms(rows, dtype)
        assert_within(dw, product(long(x).T, long(dy)), product_bound(dtype, count, product(np.abs(x).T, np.abs(dy))))
        if bias:
            assert_within(db, long(dy).sum(axis=0), product_bound(dtype, count, np.abs(dy).sum(axis=0)))
    guarded.check()


@pytest.mark.parametrize("size", [(9, 7, 5), (33, 20, 50), (20, 300, 70)])
def test_nan_and_infinity_go_where_they_belong(kernels, dtype, size, normal):
    rows, inputs, outputs = size
    x, w = normal(rows, inputs, dtype=dtype), normal(inputs, outputs, dtype=dtype, seed=1)
    w[3, 1], w[3, 2], w[3, 3] = 0, 1, -1
    spoilt = x.copy()
    spoilt[2, 3], spoilt[4, 3] = np.nan, np.inf
    clean, y = np.empty((2, rows, outputs), dtype)
    for name, expected in {
        "identity": [np.nan, np.inf, -np.inf],
        "relu": [np.nan, np.inf, 0],
        "sigmoid": [np.nan, 1, 0],
        "tanh": [np.nan, 1, -1],
    }.items():
        kernels.dense_forward(clean, x, w, None, ACTIVATIONS[name].code)
        with np.errstate(invalid="ignore"):
            kernels.dense_forward(y, spoilt, w, None, ACTIVATIONS[name].code)
        assert np.isnan(y[2]).all()
        np.testing.assert_array_equal(y[4, 1:4], expected)
        np.testing.assert_array_equal(np.delete(y, (2, 4), axis=0), np.delete(clean, (2, 4), axis=0))


@pytest.mark.parametrize("size", [(9, 7, 5), (33, 20, 50), (300, 20, 70)])
def test_nan_in_the_backward_products(kernels, dtype, size, normal):
    rows, inputs, outputs = size
    x, dy = normal(rows, inputs, dtype=dtype), normal(rows, outputs, dtype=dtype, seed=1)
    w = normal(inputs, outputs, dtype=dtype, seed=2)
    dx, dw, db = np.empty((rows, inputs), dtype), np.empty((inputs, outputs), dtype), np.empty(outputs, dtype)
    x[2, 3] = np.nan
    kernels.dense_backward_weights(dw, db, x, dy)
    np.testing.assert_array_equal(np.isnan(dw), np.broadcast_to(np.arange(inputs)[:, None] == 3, dw.shape))
    assert np.isfinite(db).all()
    for name in ("sigmoid", "tanh", "relu"):
        kernels.dense_backward_inputs(dx, dy, w, x, ACTIVATIONS[name].code)
        assert np.isnan(dx[2, 3])
        assert np.isnan(dx).sum() == 1
    dy[5, 4] = np.nan
    kernels.dense_backward_weights(dw, db, x, dy)
    assert np.isnan(dw[:, 4]).all()
    assert np.isnan(db).sum() == 1
    kernels.dense_backward_inputs(dx, dy, w, x, ACTIVATIONS["identity"].code)
    np.testing.assert_array_equal(np.isnan(dx), np.broadcast_to(np.arange(rows)[:, None] == 5, dx.shape))


def test_a_row_does_not_depend_on_the_rows_beside_it(kernels, dtype, backend, normal):
    if backend == "reference":
        pytest.skip("NumPy's products promise no such thing")
    for inputs, outputs in ((5, 7), (300, 49), (64, 600)):
        x, w, b = normal(41, inputs, dtype=dtype), normal(inputs, outputs, dtype=dtype), normal(outputs, dtype=dtype)
        whole = np.empty((41, outputs), dtype)
        kernels.dense_forward(whole, x, w, b, ACTIVATIONS["tanh"].code)
        for first, count in ((0, 1), (3, 1), (1, 5), (7, 9), (20, 21)):
            part = np.empty((count, outputs), dtype)
            kernels.dense_forward(part, x[first : first + count], w, b, ACTIVATIONS["tanh"].code)
            np.testing.assert_array_equal(part, whole[first : first + count])


def test_wrong_item_sizes_are_refused(kernels, dtype, backend):
    if backend == "reference":
        pytest.skip("NumPy computes in any dtype")
    other = np.float64 if dtype == np.float32 else np.float32
    with pytest.raises(TypeError, match=f"{dtype.itemsize}-byte items is needed"):
        kernels.exp_forward(np.zeros(4, other), np.zeros(4, other))
