"""Initial weights: their distributions, their seeds, and what is refused."""

import numpy as np
import pytest

import fastmlp
from fastmlp.initialization import INITIALIZATIONS

SIZES = (300, 200)
VARIANCES = {"glorot": 2 / 500, "he": 2 / 300, "lecun": 1 / 300}


@pytest.mark.parametrize("family", VARIANCES)
@pytest.mark.parametrize("shape", ["uniform", "normal"])
def test_distributions(dtype, family, shape):
    net = fastmlp.Network(SIZES, init=f"{family}_{shape}", seed=0, dtype=dtype)
    values, variance = net.params.astype(np.float64), VARIANCES[family]
    # 60,200 numbers: the mean is within 5 deviations of it, the variance's own deviation is at most sqrt(2 / 60200)
    # of it, and a fourth moment is 1.8 of a uniform distribution and 3 of a normal one.
    assert abs(values.mean()) < 5 * np.sqrt(variance / len(values))
    assert abs(values.var() / variance - 1) < 5 * np.sqrt(2 / len(values))
    kurtosis = (values**4).mean() / values.var() ** 2
    assert abs(kurtosis - (3 if shape == "normal" else 1.8)) < 0.1
    if shape == "uniform":
        assert np.abs(values).max() <= np.sqrt(3 * variance) * (1 + 1e-6)


@pytest.mark.parametrize("sizes", [(40, 7), (7, 40), (5, 5), (1, 3), (3, 1)], ids=str)
def test_orthogonal(sizes):
    net = fastmlp.Network(sizes, init="orthogonal", seed=3)
    w = net.weights[0]
    gram = w.T @ w if sizes[0] >= sizes[1] else w @ w.T
    # products of 40 numbers at most
    np.testing.assert_allclose(gram, np.eye(min(sizes)), rtol=0, atol=1e-13)
    np.testing.assert_array_equal(net.biases[0], 0)


def test_the_articles():
    values = fastmlp.Network((100, 100), init="article", seed=0, bias=False).params
    assert -1 <= values.min() < -0.99
    assert 0.99 < values.max() < 1


def test_what_was_the_start_before_is_the_default():
    # Written down when there was no choice: files and results of a seed must not change.
    values = fastmlp.Network((2, 3, 1), seed=0).params
    generator = np.random.Generator(np.random.PCG64(0))
    limits = np.sqrt(6 / np.array([5, 4]))
    expected = [generator.uniform(-limit, limit, count) for limit, count in zip(limits, (9, 4), strict=True)]
    np.testing.assert_allclose(values, np.concatenate(expected), rtol=1e-15)


@pytest.mark.parametrize("init", INITIALIZATIONS)
def test_seeds(init):
    first, again, other = (fastmlp.Network((4, 5, 2), init=init, seed=seed).params for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.filterwarnings("ignore:learning_rate. got 0")
def test_biases_of_ones_own(normal):
    net = fastmlp.Network((4, 5, 2), init="he_normal", bias_init=0.1, seed=1)
    assert all((b == 0.1).all() for b in net.biases)
    plain = fastmlp.Network((4, 5, 2), init="he_normal", seed=1)
    for mine, theirs in zip(net.weights, plain.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    trained = fastmlp.train(normal(5, 2), normal(5), hidden=3, bias_init=-2, learning_rate=0.0, epochs=1, seed=0)
    assert all((b == -2).all() for b in trained.biases)


@pytest.mark.filterwarnings("ignore:learning_rate. got 0")
def test_parameters_of_ones_own(dtype, normal):
    values = normal(13)
    net = fastmlp.train(
        normal(5, 2, dtype=dtype), normal(5, dtype=dtype), hidden=3, init=values, learning_rate=0.0, epochs=1
    )
    np.testing.assert_array_equal(net.params, values.astype(dtype))
    assert fastmlp.Network((2, 3, 1), init=list(range(13))).params.tolist() == list(range(13))


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"init": "he"}, ValueError, "^init: got 'he', expected one of 'glorot_uniform', "),
        ({"init": None}, TypeError, "^init: got None; a name"),
        ({"init": np.zeros}, TypeError, "^init: got <"),
        ({"init": np.zeros(12)}, ValueError, r"^init: got float64 of shape \(12,\); .* shape \(13,\)"),
        ({"init": ["a"] * 13}, ValueError, "^init: got <U1"),
        ({"init": np.full(13, np.nan)}, ValueError, "^init: got nan; finite"),
        ({"bias_init": "zero"}, TypeError, "^bias_init: got 'zero'"),
        ({"bias_init": np.inf}, ValueError, "^bias_init: got inf"),
        ({"bias_init": 0.0, "bias": False}, ValueError, "^bias_init: got 0.0 with bias=False"),
    ],
)
def test_what_cannot_be_used_is_refused(options, kind, words):
    with pytest.raises(kind, match=words):
        fastmlp.Network((2, 3, 1), **options)
