"""Weights of rows and of classes: a weight of 0 is a row that is not there, a weight of 2 a row that is there twice."""

import numpy as np
import pytest

import fastmlp
from fastmlp.losses import LOSSES


def network(loss, outputs, backend, dtype=np.float64, **options):
    sizes = (5, 6, outputs)
    return fastmlp.Network(sizes, activation="tanh", loss=loss, seed=1, backend=backend, dtype=dtype, **options)


@pytest.mark.parametrize("loss", [*LOSSES.values()], ids=lambda loss: loss.name)
def test_a_weight_is_a_number_of_rows(backend, dtype, loss, normal, targets, tolerance):
    X, y = normal(37, 5, dtype=dtype), targets(loss.name, 37, 3, dtype=dtype)
    net = network(loss, 3, backend, dtype, l2=0.4, l1=0.1)
    counts = np.random.default_rng(0).integers(0, 4, 37)
    X_often, y_often = np.repeat(X, counts, axis=0), np.repeat(y, counts, axis=0)
    np.testing.assert_allclose(net.loss(X, y, counts), net.loss(X_often, y_often), rtol=tolerance("loss", dtype))
    gradient, expected = net.gradient(X, y, counts), net.gradient(X_often, y_often)
    assert np.abs(gradient - expected).max() <= tolerance("gradient", dtype) * np.abs(expected).max()
    # Only the ratios count, but for N.
    plain = network(loss, 3, backend, dtype)
    twice = plain.gradient(X, y, counts * 7)
    assert np.abs(twice - plain.gradient(X, y, counts)).max() <= tolerance("gradient", dtype) * np.abs(twice).max()


@pytest.mark.parametrize("batch", ["full", 16])
@pytest.mark.parametrize("classes", [2, 4])
def test_kernels_train_as_the_reference_does(backend, layout, dtype, classes, batch, normal, tolerance):
    X, y = normal(90, 5, dtype=dtype), np.random.default_rng(1).integers(0, classes, 90)
    weights = np.random.default_rng(2).uniform(0, 3, 90) * (np.arange(90) % 5 > 0)
    options = {
        "hidden": (20, 9), "activation": "tanh", "sample_weight": weights, "class_weight": {1: 2.5}, "l2": 0.2,
        "epochs": 4, "batch_size": batch, "seed": 0, "optimizer": fastmlp.Adam(epsilon=1e-3),
        "validation": (X[:20], y[:20], weights[:20] + 0.5),
    }  # fmt: skip
    net, twin = (fastmlp.train(X, y, backend=name, **options) for name in (backend, "reference"))
    limit = tolerance("training", dtype)
    assert np.abs(net.params - twin.params).max() <= limit * np.abs(twin.params).max()
    for name in ("loss", "accuracy", "val_loss", "val_accuracy", "gradient_norm"):
        np.testing.assert_allclose(getattr(net.history, name), getattr(twin.history, name), rtol=10 * limit)
    again = fastmlp.train(X, y, backend=backend, n_threads=3, **options)
    np.testing.assert_array_equal(net.params, again.params)


def test_training_on_weights_is_training_on_repeated_rows(backend, dtype, normal, tolerance):
    X, y = normal(30, 4, dtype=dtype), normal(30, 2, dtype=dtype, seed=1)
    counts = np.arange(30) % 3
    options = {"hidden": 7, "activation": "tanh", "optimizer": "sgd", "learning_rate": 0.1, "batch_size": "full",
               "epochs": 20, "seed": 0, "backend": backend, "l2": 0.3}  # fmt: skip
    weighted = fastmlp.train(X, y, sample_weight=counts, **options)
    often = fastmlp.train(np.repeat(X, counts, axis=0), np.repeat(y, counts, axis=0), **options)
    limit = tolerance("training", dtype)
    assert np.abs(weighted.params - often.params).max() <= limit * np.abs(often.params).max()
    np.testing.assert_allclose(weighted.history.loss, often.history.loss, rtol=limit)


def test_accuracy_counts_weights(backend, normal):
    X, y = normal(40, 3), np.random.default_rng(0).integers(0, 3, 40)
    weights = np.random.default_rng(1).uniform(0, 2, 40)
    net = fastmlp.train(X, y, hidden=4, sample_weight=weights, learning_rate=0.0, epochs=1, seed=0, backend=backend)
    right = net.predict(X) == y
    np.testing.assert_allclose(net.history.accuracy, [weights[right].sum() / weights.sum()], rtol=1e-12)


def test_balanced_weighs_classes_alike(backend, normal):
    y = np.array(["a"] * 30 + ["b"] * 6 + ["c"] * 4)
    X = normal(40, 3)
    options = {"hidden": 5, "epochs": 3, "seed": 0, "backend": backend}
    balanced = fastmlp.train(X, y, class_weight="balanced", **options)
    named = fastmlp.train(X, y, class_weight={"a": 40 / 90, "b": 40 / 18, "c": 40 / 12}, **options)
    rows = fastmlp.train(X, y, sample_weight=np.repeat([40 / 90, 40 / 18, 40 / 12], [30, 6, 4]), **options)
    np.testing.assert_array_equal(balanced.params, named.params)
    np.testing.assert_array_equal(balanced.params, rows.params)


def test_weights_of_rows_and_classes_multiply(normal):
    X, y, weights = normal(20, 3), np.arange(20) % 2, np.random.default_rng(0).uniform(1, 2, 20)
    both = fastmlp.train(X, y, sample_weight=weights, class_weight={1: 3}, epochs=2, seed=0)
    one = fastmlp.train(X, y, sample_weight=weights * np.where(y == 1, 3, 1), epochs=2, seed=0)
    np.testing.assert_array_equal(both.params, one.params)


def test_a_rare_class_is_found_once_it_weighs_enough(backend):
    generator = np.random.default_rng(0)
    X = np.concatenate([generator.normal(0, 1, (400, 2)), generator.normal(1.5, 1, (20, 2))])
    y = np.repeat([0, 1], [400, 20])
    options = {"hidden": (), "epochs": 200, "learning_rate": 0.05, "seed": 0, "backend": backend}
    plain, balanced = (fastmlp.train(X, y, class_weight=given, **options) for given in (None, "balanced"))
    found = [(net.predict(X)[400:] == 1).mean() for net in (plain, balanced)]
    assert found[0] < 0.5 < 0.7 < found[1]


def test_a_share_of_weighted_rows(backend, normal):
    X, y, weights = normal(50, 3), normal(50), np.random.default_rng(0).uniform(0, 2, 50)
    net = fastmlp.train(X, y, hidden=4, sample_weight=weights, validation=0.4, epochs=2, seed=3, backend=backend)
    known = fastmlp._validate.targets(y, 50, np.float64)
    _, (left, codes, left_weights) = fastmlp._validate.split(0.4, X, known.values, weights, known.task, 3)
    np.testing.assert_allclose(net.history.val_loss[-1], net.loss(left, codes[:, 0], left_weights), rtol=1e-12)


def test_a_weight_of_zero_hides_what_is_not_finite(kernels, dtype):
    z = np.array([[0.5], [np.nan], [1.0]], dtype)
    y, weights = np.zeros((3, 1), dtype), np.array([1, 0, 2], dtype)
    losses, dz, h = np.empty(3, dtype), np.empty((3, 1), dtype), np.empty((3, 1), dtype)
    kernels.output_forward_backward(losses, dz, h, z, y, weights, None, 0, 0, 0, 3, 1)
    np.testing.assert_array_equal(losses, np.array([0.125, 0, 1], dtype))
    np.testing.assert_array_equal(dz[:, 0], np.array([0.5, 0, 2], dtype))


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"sample_weight": np.ones(3)}, ValueError, "^sample_weight: got 3 weights for 6 rows"),
        ({"sample_weight": np.ones((6, 1))}, TypeError, r"^sample_weight: got float64 of shape \(6, 1\)"),
        ({"sample_weight": ["a"] * 6}, TypeError, "^sample_weight: got <U1"),
        ({"sample_weight": [1, 1, -1, 1, 1, 1]}, ValueError, "^sample_weight: got -1.0 at row 2"),
        ({"sample_weight": [1, np.nan, 1, 1, 1, 1]}, ValueError, "^sample_weight: got nan at row 1"),
        ({"sample_weight": [1, 1, 1, 1, 1, np.inf]}, ValueError, "^sample_weight: got inf at row 5"),
        ({"sample_weight": np.zeros(6)}, ValueError, "^sample_weight: got 0 for every row"),
        ({"class_weight": "balancd"}, ValueError, "^class_weight: got 'balancd', .*did you mean 'balanced'"),
        ({"class_weight": [1, 2]}, TypeError, r"^class_weight: got \[1, 2\]; 'balanced' or a dict"),
        ({"class_weight": {2: 1.0}}, ValueError, "^class_weight: got the unknown label 2; the classes are 0, 1"),
        ({"class_weight": {0: -1}}, ValueError, r"^class_weight\[0\]: got -1.0"),
        ({"class_weight": {0: 0}, "sample_weight": [1, 0, 1, 0, 1, 0]}, ValueError,
         "^class_weight: got 0 for every class of a row whose sample_weight is above 0"),
        ({"class_weight": {0: 0, 1: 0}}, ValueError, "^class_weight: got 0 for every class"),
        ({"y": np.ones(6) / 3, "class_weight": "balanced"}, ValueError, "^class_weight: got it for targets without"),
    ],
)
def test_what_cannot_be_used_is_refused(normal, options, kind, words):
    given = {"y": np.array([0, 1, 0, 1, 0, 1]), "epochs": 1} | options
    with pytest.raises(kind, match=words):
        fastmlp.train(normal(6, 2), **given)
