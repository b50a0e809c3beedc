"""exp, log, sigmoid and tanh against the true values in 160 bits; the other activations and the derivatives."""

import functools

import numpy as np
import pytest
from formulas import in_digits, in_numpy

from fastmlp.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS, KEPT_ACTIVATIONS

mpmath = pytest.importorskip("mpmath")

FUNCTIONS = ("exp", "log", "sigmoid", "tanh")

# Where a result leaves the normal numbers, reaches zero, one or infinity: dtype -> function -> arguments.
EDGES = {
    "float32": {
        "exp": (-103.972, -103.279, -87.3365, 88.7228),
        "log": (2.0**-126, 0.70710678, 1.41421356),
        "sigmoid": (-103.972, -103.279, -87.3365, -16.6, 16.6, 17.3),
        "tanh": (-9.0109, -8.66, 8.66, 9.0109, 10.0),
    },
    "float64": {
        "exp": (-745.1332, -744.44, -708.3964, 709.7827),
        "log": (2.0**-1022, 0.7071067811865476, 1.4142135623730951),
        "sigmoid": (-745.1332, -744.44, -708.3964, -36.7, 36.7, 37.43),
        "tanh": (-19.0615, -18.715, 18.715, 19.0615, 22.5),
    },
}


FOLLOWING = [name for name in HIDDEN_ACTIVATIONS if name not in KEPT_ACTIVATIONS]
# What is neither a function above nor made of straight lines that meet 0, where no digit is left to compare.
OTHERS = [name for name in FOLLOWING if name not in FUNCTIONS and not ACTIVATIONS[name].flat]


def apply(kernels, function, x):
    """y = function(x), by the kernel of that name."""
    y = np.full_like(x, 12345)
    if function in ("exp", "log"):
        getattr(kernels, f"{function}_forward")(y, x)
    else:
        kernels.activation_forward(y, None, x, ACTIVATIONS[function].code)
    return y


def true_value(function, x):
    """The function in the precision that is set."""
    if function == "sigmoid":
        e = mpmath.exp(-abs(x))
        return (e if x < 0 else 1) / (1 + e)
    return getattr(mpmath, function)(x)


def every_exponent(dtype, generator):
    """Numbers of every exponent, denormals included, with a power of two and three random mantissas."""
    info = np.finfo(dtype)
    exponents = np.arange(info.minexp - info.nmant, info.maxexp)
    # In float64 there are 2098 exponents: one mantissa each.
    mantissas = [np.ones(len(exponents)), *generator.uniform(1, 2, (3, len(exponents)))]
    if dtype == np.float64:
        mantissas = [np.where(exponents % 2, mantissas[0], mantissas[1])]
    return np.concatenate([np.ldexp(mantissa, exponents) for mantissa in mantissas])


def neighbours(points, dtype, count=3):
    """Each point as a number of the dtype, and the next `count` on either side."""
    points = np.asarray(points, dtype)
    rows = [points]
    for direction in (-np.inf, np.inf):
        near = points
        for _ in range(count):
            near = np.nextafter(near, dtype.type(direction))
            rows.append(near)
    return np.concatenate(rows)


def arguments(function, dtype):
    """Some 3000 to 5000 arguments: all magnitudes, the whole of what is not saturated, and every seam."""
    generator = np.random.default_rng(FUNCTIONS.index(function))
    edges = EDGES[dtype.name][function]
    magnitudes = every_exponent(dtype, generator)
    if function == "log":
        near_one = [1 + sign * 2.0**-k for k in range(1, 54) for sign in (-1, 1)]
        parts = [magnitudes, generator.uniform(0.5, 2, 1000), generator.uniform(0.99, 1.01, 500), near_one]
        seams = [1.0, *edges]
    else:
        half = max(abs(edge) for edge in edges) * 1.02
        signs = generator.choice([-1, 1], len(magnitudes))
        parts = [
            magnitudes * signs,
            generator.uniform(-half, half, 1000),
            generator.uniform(-2, 2, 700),
            *(edge + generator.uniform(-1, 1, 60) for edge in edges),
        ]
        most = int(half / np.log(2))
        # At odd multiples of ln 2 / 2 the argument reduction goes over to the next power of two; tanh reduces 2x.
        multiples = np.unique(np.linspace(-2 * most, 2 * most, 80).astype(int))
        seams = [*edges, -1.0, 1.0, *(multiples * np.log(2) / 2), *((multiples // 2 * 2 + 1) * np.log(2) / 4)]
    x = np.concatenate([np.concatenate(parts).astype(dtype), neighbours(seams, dtype)])
    return x[np.isfinite(x)]


@functools.cache
def truth(function, name):
    """Arguments, the nearest numbers to the true values, how far off these are in units, and the units."""
    dtype = np.dtype(name)
    info = np.finfo(dtype)
    lowest = info.minexp - info.nmant  # the unit in the last place of every denormal
    x = arguments(function, dtype)
    nearest, offsets, units = (np.empty(len(x)) for _ in range(3))
    with mpmath.workprec(160):
        for i, argument in enumerate(x.tolist()):
            # Past ±1000 nothing changes any more, and powers of e are too long to write down.
            value = true_value(function, mpmath.mpf(argument if function == "log" else min(max(argument, -1000), 1000)))
            exponent = int(mpmath.frexp(value)[1]) - 1
            unit = max(exponent - info.nmant, lowest)
            whole = mpmath.nint(mpmath.ldexp(value, -unit))
            offsets[i] = float(mpmath.ldexp(value, -unit) - whole)
            units[i] = unit
            nearest[i] = np.inf if exponent >= info.maxexp else float(mpmath.ldexp(whole, unit))
    with np.errstate(over="ignore"):
        return x, nearest.astype(dtype), offsets, units.astype(int)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_are_near_the_truth(kernels, backend, dtype, function, tolerance):
    x, nearest, offsets, units = truth(function, dtype.name)
    y = apply(kernels, function, x)
    finite = np.isfinite(nearest)
    np.testing.assert_array_equal(y[~finite], nearest[~finite])
    # Both are numbers of the dtype, close to each other: their difference is exact in double, and so is the scaling.
    difference = np.ldexp(y[finite].astype(np.float64) - nearest[finite].astype(np.float64), -units[finite])
    error = np.abs(difference - offsets[finite])
    worst = error.argmax()
    bound = tolerance("reference function" if backend == "reference" else "function", dtype)
    assert error[worst] <= bound, f"{function}({x[finite][worst]!r}) is {error[worst]} units off"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nan_gives_nan_whatever_its_bits(kernels, dtype, function):
    quiet = 1 << (np.finfo(dtype).nmant - 1)
    integer = np.dtype(f"u{dtype.itemsize}")
    infinity = int(np.array(np.inf, dtype).view(integer))
    sign = 1 << (8 * dtype.itemsize - 1)
    patterns = [infinity | quiet | payload | s for payload in (0, 1, 12345, quiet - 1) for s in (0, sign)]
    x = np.array(patterns * 5, integer).view(dtype)
    assert np.isnan(x).all()
    assert np.isnan(apply(kernels, function, x)).all()


@pytest.mark.parametrize(
    ("function", "pairs"),
    [
        ("exp", [(0.0, 1.0), (-0.0, 1.0), (np.inf, np.inf), (-np.inf, 0.0), (1e4, np.inf), (-1e4, 0.0)]),
        ("log", [(1.0, 0.0), (np.inf, np.inf), (0.0, -np.inf), (-0.0, -np.inf), (-1.0, np.nan), (-np.inf, np.nan)]),
        ("sigmoid", [(0.0, 0.5), (-0.0, 0.5), (np.inf, 1.0), (-np.inf, 0.0), (1e4, 1.0), (-1e4, 0.0), (40.0, 1.0)]),
        ("tanh", [(np.inf, 1.0), (-np.inf, -1.0), (1e4, 1.0), (-1e4, -1.0), (25.0, 1.0), (-25.0, -1.0)]),
    ],
)
def test_exact_values(kernels, dtype, function, pairs):
    x, expected = np.array(pairs * 9, dtype).T.copy()
    np.testing.assert_array_equal(apply(kernels, function, x), expected)


def test_largest_numbers_saturate(kernels, dtype):
    x = np.array([np.finfo(dtype).max, -np.finfo(dtype).max] * 9, dtype)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(apply(kernels, "exp", x)[:2], [np.inf, 0])
    np.testing.assert_array_equal(apply(kernels, "sigmoid", x)[:2], [1, 0])
    np.testing.assert_array_equal(apply(kernels, "tanh", x)[:2], [1, -1])


def test_tanh_keeps_the_sign_of_zero_and_is_odd(kernels, dtype):
    x = np.concatenate([np.zeros(1, dtype), truth("tanh", dtype.name)[0]])
    above, below = apply(kernels, "tanh", np.abs(x)), apply(kernels, "tanh", -np.abs(x))
    np.testing.assert_array_equal(above, -below)
    assert np.signbit(below).all()
    assert not np.signbit(above).any()


@pytest.mark.parametrize("function", ["exp", "sigmoid", "tanh"])
def test_monotone_and_bounded_at_the_ends(kernels, dtype, function):
    for edge in EDGES[dtype.name][function]:
        # 400 numbers next to each other: the result moves by less than a unit from one to the next, or by many.
        start = np.array(edge, dtype)
        bits = start.view(f"i{dtype.itemsize}") + np.arange(-200, 200)
        x = np.sort(bits.astype(f"i{dtype.itemsize}").view(dtype))
        wide = np.linspace(edge - 1, edge + 1, 2001).astype(dtype)
        for points in (x, wide):
            y = apply(kernels, function, points)
            assert (y[1:] >= y[:-1]).all(), f"near {edge}"
            if function == "sigmoid":
                assert ((y >= 0) & (y <= 1)).all()
            if function == "tanh":
                assert (np.abs(y) <= 1).all()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_partial_vectors_give_the_same_bits(kernels, dtype, function, guarded):
    lanes = kernels.sizes()["lanes"]
    x = truth(function, dtype.name)[0][-4 * lanes - 2 :]
    whole = apply(kernels, function, x)
    for size in range(1, 2 * lanes + 2):
        for first in (0, 1, lanes):
            y = guarded.result(size, dtype=dtype)
            part = guarded.given(x[first : first + size])
            if function in ("exp", "log"):
                getattr(kernels, f"{function}_forward")(y, part)
            else:
                kernels.activation_forward(y, None, part, ACTIVATIONS[function].code)
            np.testing.assert_array_equal(y, whole[first : first + size])
    guarded.check()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_neighbours_do_not_matter(kernels, dtype, function):
    # Which vector a number falls in follows from how rows are cut: beside numbers out of all bounds it must come out
    # as among its like, to the last bit. The last ones are where corrections are lost among the denormals.
    generator = np.random.default_rng(0)
    bound = -np.log(np.finfo(dtype).tiny)
    x = np.concatenate([generator.normal(0, 3, 2000), generator.uniform(0.9, 1, 4000) * bound]).astype(dtype)
    x = x if function == "log" else -x
    mixed = np.tile(np.array([0, 1e30, np.nan, -1e30], dtype), (len(x), 1))
    mixed[:, 0] = x
    np.testing.assert_array_equal(apply(kernels, function, mixed.reshape(-1))[::4], apply(kernels, function, x))


def test_identity_and_relu_are_exact(kernels, dtype):
    x = truth("exp", dtype.name)[0]
    x = np.concatenate([x, np.array([0.0, -0.0, np.inf, -np.inf, np.nan, np.finfo(dtype).max], dtype)])
    np.testing.assert_array_equal(apply(kernels, "identity", x), x)
    np.testing.assert_array_equal(apply(kernels, "relu", x), np.where(x < 0, dtype.type(0), x))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 17, 33, 100])
@pytest.mark.parametrize("activation", FOLLOWING)
def test_activation_backward(kernels, dtype, activation, size, normal, guarded, tolerance):
    h = np.clip(normal(size, dtype=dtype), -1, 1)
    if activation in ("sigmoid", "softplus", "hard_sigmoid"):
        h = np.abs(h)
    if activation == "relu":
        h = np.maximum(h, 0)
    dh = normal(size, dtype=dtype, seed=1)
    dz = guarded.result(size, dtype=dtype)
    kernels.activation_backward(dz, guarded.given(dh), guarded.given(h), ACTIVATIONS[activation].code)
    guarded.check()
    # The slope is at most 1.76 and takes two roundings, of numbers up to 1.76, or six for softplus, whose exponential
    # minus 1 takes four; the product takes another.
    bound = 7 * 1.76 * tolerance("roundoff", dtype) * np.abs(dh)
    slope = in_numpy(ACTIVATIONS[activation].slope, h=h.astype(np.longdouble))
    assert (np.abs(dz - dh * slope) <= bound).all()


@pytest.mark.sampled(2)
@pytest.mark.parametrize("activation", OTHERS)
def test_other_activations(kernels, backend, dtype, activation, tolerance):
    info, formula = np.finfo(dtype), ACTIVATIONS[activation].value
    # all magnitudes, both signs, and where exponentials come to nothing
    x = truth("tanh", dtype.name)[0]
    x = np.concatenate([x, np.linspace(-120, 120, 4001).astype(dtype), np.array([0, -0.0, info.max, -info.max], dtype)])
    with mpmath.workprec(160):
        near = [in_digits(formula, z=mpmath.mpf(value)) for value in np.clip(x, -1000, 1000).tolist()]
    expected = np.array(near, np.float64)
    with np.errstate(over="ignore"):
        far = in_numpy(formula, z=x.astype(np.float64))  # the exponentials have come to nothing
        expected = np.where(np.abs(x) > 1000, far, expected)
        y = apply(kernels, activation, x).astype(np.float64)
        expected = expected.astype(dtype).astype(np.float64)
    # Exponential, its rest, and two products or sums: four units, as two roundoffs each; the reference's functions, up
    # to four units by themselves, twice that. Below the normal numbers a unit is that of the smallest.
    units = 8 if backend != "reference" else 16
    bound = units * tolerance("roundoff", dtype) * np.maximum(np.abs(expected), info.tiny)
    finite = np.isfinite(expected)
    error = np.abs(y[finite] - expected[finite])
    assert (error <= bound[finite]).all(), f"off by {(error / bound[finite]).max()} times the bound"
    np.testing.assert_array_equal(y[~finite], expected[~finite])
    assert np.isnan(apply(kernels, activation, np.full(33, np.nan, dtype))).all()
    np.testing.assert_array_equal(
        apply(kernels, activation, np.array([-np.inf, np.inf], dtype)),
        in_numpy(formula, z=np.array([-np.inf, np.inf])).astype(dtype),
    )


def test_activation_backward_exact_values(kernels, dtype):
    h = np.array([0.0, -0.0, 1.0, 0.5, np.nan], dtype)
    dh = np.full(5, 2.0, dtype)
    dz = np.empty_like(h)
    expected = {
        "identity": [2, 2, 2, 2, 2],
        "sigmoid": [0, 0, 0, 0.5, np.nan],
        "tanh": [2, 2, 0, 1.5, np.nan],
        "relu": [0, 0, 2, 2, np.nan],
        "leaky_relu": [dtype.type(0.02)] * 2 + [2, 2, np.nan],
        "elu": [2, 2, 2, 2, np.nan],
    }
    for activation, values in expected.items():
        kernels.activation_backward(dz, dh, h, ACTIVATIONS[activation].code)
        np.testing.assert_array_equal(dz, values)


@pytest.mark.parametrize("activation", FOLLOWING)
def test_activation_backward_keeps_nan_of_the_gradient_from_above(kernels, dtype, activation):
    dz = np.empty(5, dtype)
    kernels.activation_backward(dz, np.full(5, np.nan, dtype), np.full(5, 0.5, dtype), ACTIVATIONS[activation].code)
    assert np.isnan(dz).all()


# ---- activations whose slope is kept ----------------------------------------------------------------------


def gate(activation, z):
    """What z is multiplied with, and the derivative of that, in the precision that is set."""
    if activation == "gelu":
        return mpmath.erfc(-z / mpmath.sqrt(2)) / 2, mpmath.exp(-z * z / 2) / mpmath.sqrt(2 * mpmath.pi)
    u, du = z, mpmath.mpf(1)
    if activation == "gelu_tanh":
        c = 2 * mpmath.sqrt(2 / mpmath.pi)
        u, du = c * (z + mpmath.mpf("0.044715") * z**3), c * (1 + 3 * mpmath.mpf("0.044715") * z**2)
    share = 1 / (1 + mpmath.exp(-u))
    return share, share * (1 - share) * du


def both(kernels, activation, x):
    """h and f'(z)."""
    h, slopes = np.full_like(x, 12345), np.full_like(x, 12345)
    kernels.activation_forward(h, slopes, x, ACTIVATIONS[activation].code)
    return h, slopes


@pytest.mark.parametrize("activation", KEPT_ACTIVATIONS)
def test_gated_activations_and_their_slopes(kernels, backend, dtype, activation, tolerance):
    info = np.finfo(dtype)
    generator = np.random.default_rng(3)
    near = np.concatenate([np.linspace(-9, 9, 601), generator.normal(size=600), np.linspace(-45, 45, 301)])
    x = np.concatenate([near, np.ldexp(1.0, np.arange(-60, 3)), -np.ldexp(1.0, np.arange(-60, 3))]).astype(dtype)
    h, slopes = both(kernels, activation, x)
    np.testing.assert_array_equal(h, apply(kernels, activation, x), "the same with and without the slope")
    with mpmath.workprec(200):
        exact = [(mpmath.mpf(z), *gate(activation, mpmath.mpf(z))) for z in x.tolist()]
        expected = np.array([float(z * share) for z, share, _ in exact])
        expected_slopes = np.array([float(share + z * change) for z, share, change in exact])
    u = tolerance("roundoff", dtype)
    # gelu promises 6 units, of two roundoffs each, however small it is: 5 of Phi, and a product. Where the gate is
    # sigmoid(u), an error of u that is relative to u is one of exp(u): two roundings for silu's z, four for the cubic,
    # and |u| of each of them.
    # The reference's erfc takes z / sqrt(2), which is rounded in double, and multiplies that by z^2.
    argument = {"silu": np.abs(x), "gelu_tanh": np.abs(1.6 * (x + 0.044715 * x.astype(np.float64) ** 3)), "gelu": 0 * x}
    doubled = 1 if backend != "reference" else 2 + (x.astype(np.float64) ** 2 if dtype == np.float64 else 0)
    bound = 12 * doubled * u * (1 + argument[activation]) * np.abs(expected)
    bound += info.tiny  # what is no normal number has lost its digits, and may be 0
    assert (np.abs(h - expected) <= bound).all(), (np.abs(h - expected) / bound).max()
    # The slope is a sum of two terms, in a few roundings each; of silu's, z share (1 - share), the last is off by a
    # rounding of 1, however small it is.
    off = np.abs(slopes - expected_slopes) / (16 * u * (1 + np.abs(x)))
    assert (off <= 1).all(), off.max()


@pytest.mark.parametrize("activation", KEPT_ACTIVATIONS)
def test_gated_activations_far_out(kernels, dtype, activation):
    largest = np.finfo(dtype).max
    x = np.array([0.0, -0.0, np.inf, -np.inf, largest, -largest, 1e30, -1e30, np.nan] * 5, dtype)
    h, slopes = both(kernels, activation, x)
    np.testing.assert_array_equal(h[:9], np.array([0, -0.0, np.inf, 0, largest, 0, 1e30, 0, np.nan], dtype))
    assert np.signbit(h[1])
    expected = np.array([0.5, 0.5, 1, 0, 1, 0, 1, 0, np.nan], dtype)
    np.testing.assert_allclose(slopes[:9], expected, rtol=8 * np.finfo(dtype).eps, atol=0)  # 5 units of Phi(0)


@pytest.mark.parametrize("activation", FOLLOWING)
def test_a_slope_that_is_kept_is_the_one_that_follows(kernels, dtype, activation, normal):
    x = 3 * normal(77, dtype=dtype)
    h, slopes = both(kernels, activation, x)
    np.testing.assert_array_equal(h, apply(kernels, activation, x))
    expected, ones = np.empty_like(x), np.ones_like(x)
    kernels.activation_backward(expected, ones, h, ACTIVATIONS[activation].code)
    np.testing.assert_array_equal(slopes, expected)


def test_hard_activations(kernels, dtype):
    x = np.array([-np.inf, -4, -3, -1.5, -1, 0, 0.5, 1, 3, 4, np.inf, np.nan] * 3, dtype)
    np.testing.assert_array_equal(apply(kernels, "hard_tanh", x), np.clip(x, -1, 1))
    expected = np.clip(x.astype(np.float64) / 6 + 0.5, 0, 1)
    # one sixth is rounded, and so are the product and the sum
    np.testing.assert_allclose(apply(kernels, "hard_sigmoid", x), expected, rtol=0, atol=2 * np.finfo(dtype).eps)
