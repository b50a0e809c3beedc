"""The measures: numbers worked by hand, scikit-learn's, weights as rows, and what is refused."""

import dataclasses
import functools
import math
import subprocess
import sys
from types import MappingProxyType

import numpy as np
import pytest

from fastmlp.metrics import METRICS, Metric, metric, pinball

NAN = float("nan")
# Sums of some hundred terms in float64, of which any order is within some hundred roundoffs of 1e-16; means, quotients
# and differences from 1 add a few. Against scikit-learn, which adds in another order.
ROUNDING = {"rtol": 1e-12, "atol": 1e-13}
OF_CLASSES = ("accuracy", "balanced_accuracy", "f1", "roc_auc")
OF_NUMBERS = ("mse", "mae", "r2")


def measure(name, *arguments, **options):
    result = METRICS[name].function(*arguments, **options)
    assert type(result) is float
    return result


@pytest.fixture
def sklearn_metrics():
    """scikit-learn's own measures."""
    return pytest.importorskip("sklearn.metrics")


def weights_of(kind, rows):
    """Weights of each kind; the last quarter of the rows has 0 of "zeros"."""
    generator = np.random.default_rng([3, rows])
    if kind is None:
        return None
    if kind == "zeros":
        return np.where(np.arange(rows) < rows * 3 // 4, generator.integers(1, 4, rows), 0)
    return generator.uniform(0.1, 5, rows) * {"large": 1e6, "fractions": 1.0}[kind]


def drawn(name, shape, rows=240, seed=0):
    """Targets of `shape` ("two", "many", "labels", "number" or "numbers"), and what the measure takes with them.

    Predictions are right more often than not; scores are rounded, so that there are ties.
    """
    generator = np.random.default_rng([seed, rows])
    if shape in ("number", "numbers"):
        y = generator.standard_normal((rows, 3) if shape == "numbers" else rows) * 3 + 10
        return y, y + generator.standard_normal(y.shape)
    columns = {"two": 2, "many": 4, "labels": 3}[shape]
    if shape == "labels":
        y = generator.integers(0, 2, (rows, columns))
        scores = y + generator.standard_normal(y.shape)
        predicted = (scores > 0.5).astype(int)
    else:
        y = generator.choice(columns, rows, p=np.arange(1, columns + 1) / (columns * (columns + 1) / 2))
        scores = 2.0 * np.eye(columns)[y] + generator.standard_normal((rows, columns))
        predicted = scores.argmax(axis=1)
        # Sixteenths, which add up to 1 without rounding, as scikit-learn wants them to.
        scores = np.floor(16 * np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)) / 16
        scores[np.arange(rows), predicted] += 1 - scores.sum(axis=1)
    if name != "roc_auc":
        return y, predicted
    scores = np.round(scores, 1) if shape == "labels" else scores
    assert len(np.unique(scores[:, 0])) < rows / 3, "many ties"
    return y, scores[:, 1] if shape == "two" else scores


CASES = [
    (name, shape)
    for name in METRICS
    for shape in (("number", "numbers") if name in OF_NUMBERS else ("two", "many", "labels"))
    if (name, shape) != ("balanced_accuracy", "labels")
]


# ---- numbers worked by hand ----------------------------------------------------------------------------------

# Every value is a sum of few fractions: within a few roundoffs of 1e-16.
BY_HAND = {"rtol": 1e-15, "atol": 0}


@pytest.mark.parametrize(
    ("name", "y", "given", "weights", "expected"),
    [
        ("accuracy", [0, 1, 2, 2], [0, 1, 2, 1], None, 3 / 4),
        ("accuracy", [0, 1, 2, 2], [0, 1, 2, 1], [1, 1, 2, 4], 4 / 8),
        ("accuracy", [[1, 0], [1, 1], [0, 0]], [[1, 0], [0, 1], [0, 0]], None, 2 / 3),
        ("accuracy", [[1.0, 0.0], [1.0, 1.0]], [[True, False], [True, False]], [3, 1], 3 / 4),
        ("balanced_accuracy", [0, 0, 0, 1], [0, 0, 0, 0], None, 1 / 2),
        # Class 0: 1 of 1 + 3; class 3: 2 of 2; there is no class 1, and class 2 has no row of its own.
        ("balanced_accuracy", [0, 0, 3], [0, 2, 3], [1, 3, 2], (1 / 4 + 1) / 2),
        # Class 1: 2 rightly, 3 of its own, 3 given to it.
        ("f1", [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], None, 4 / 6),
        ("f1", [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [1, 2, 1, 1, 5], 4 / (4 + 7)),
        # Class 0: 2/2; class 1: 2/(1 + 3); class 2: 0/(2 + 0); class 3 is not seen, class 4: 2/2.
        ("f1", [0, 1, 2, 2, 4], [0, 1, 1, 1, 4], None, (1 + 1 / 2 + 0 + 1) / 4),
        # Columns: 2/(2 + 1), 2/(1 + 2), and one without any row, which scores 0.
        ("f1", [[1, 0, 0], [1, 1, 0]], [[0, 1, 0], [1, 1, 0]], None, (2 / 3 + 2 / 3 + 0) / 3),
        # Pairs of a row of class 1 and one of class 0: above in 3 of 4, equal in 1.
        ("roc_auc", [0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8], None, 3.5 / 4),
        ("roc_auc", [0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8], [1, 3, 2, 1], (2 * (1 + 3 / 2) + 4) / (4 * 3)),
        ("roc_auc", [0, 1, 0, 1], [[-1, 5], [-1, 6], [0, 7], [0, 7]], None, 2.5 / 4),
        ("roc_auc", [1, 0], [[2.0], [1.0]], None, 1.0),
        ("roc_auc", [1, 0], [np.inf, -np.inf], None, 1.0),
        ("roc_auc", [1, 0, 1], [0, 1, 0], None, 0.0),
        ("roc_auc", [1, 0, 1, 0], [7, 7, 7, 7], None, 1 / 2),
        # Class 0 against the others: 2/2; class 1: 1/2 (a tie and a row below); class 2: 1.5/2. Class 3 has no row.
        ("roc_auc", [0, 1, 2], [[9, 3, 0, 1], [1, 3, 1, 2], [1, 4, 1, 3]], None, (1 + 1 / 4 + 3 / 4) / 3),
        # The first column ranks 2 of 2 pairs rightly, the second 1 of 2; the third has only ones.
        ("roc_auc", [[1, 0, 1], [0, 1, 1], [0, 1, 1]], [[3, 2, 0], [1, 1, 1], [2, 3, 2]], None, (1 + 1 / 2) / 2),
        ("mse", [1.0, 2.0, 3.0], [1.0, 4.0, 2.0], None, 5 / 3),
        ("mse", [1.0, 2.0, 3.0], [1.0, 4.0, 2.0], [1, 1, 2], 6 / 4),
        ("mse", [[1, NAN], [3, 5], [NAN, 2]], [[1, 9], [5, 5], [9, 3]], [2, 2, 4], (8 / 4 + 4 / 6) / 2),
        ("mae", [1, 2, 3], [1, 4, 2], None, 3 / 3),
        ("mae", [1.0, NAN, 3.0], [1.0, 4.0, 2.0], [1, 1, 3], 3 / 4),
        ("mae", [[1, NAN], [3, NAN]], [[1, 9], [5, 5]], None, 2 / 2),
        # The mean is 2, Σ (y - 2)² is 2.
        ("r2", [1.0, 2.0, 3.0], [1.0, 2.0, 4.0], None, 1 - 1 / 2),
        # The mean is (1 + 3 · 3) / 4 = 5/2, Σ w (y - 5/2)² is 9/4 + 3/4 = 3.
        ("r2", [1.0, 3.0, NAN], [2.0, 3.0, 0.0], [1, 3, 7], 1 - 1 / 3),
        ("r2", [[2.0, 1.0], [2.0, 3.0]], [[2.0, 1.0], [2.0, 2.0]], None, (1 + 1 / 2) / 2),
        ("r2", [[0.1, 1.0], [0.1, 3.0], [0.1, NAN]], [[0.1, 1.0], [0.1, 3.0], [0.2, 0.0]], None, (0 + 1) / 2),
    ],
)
def test_by_hand(name, y, given, weights, expected):
    np.testing.assert_allclose(measure(name, y, given, weights), expected, **BY_HAND)
    np.testing.assert_allclose(measure(name, np.array(y), np.array(given), weights), expected, **BY_HAND)


def test_two_classes_of_which_one_occurs():
    assert measure("f1", [0, 0], [0, 0]) == 0, "class 1 is measured, which has no row"
    assert measure("f1", [1, 1], [1, 1]) == 1
    assert measure("f1", [0, 0], [0, 0], classes=2) == 0
    assert measure("f1", [0, 0], [0, 0], classes=3) == 1, "the mean over the classes that occur: class 0"
    # Class 0: 2/(1 + 2), class 1: 2/(2 + 1).
    np.testing.assert_allclose(measure("f1", [0, 1, 1], [0, 0, 1], classes=3), 2 / 3, **BY_HAND)


# ---- against scikit-learn ------------------------------------------------------------------------------------


def theirs(their, name, shape, y, given, weights):
    """What scikit-learn measures."""
    options = {"sample_weight": weights}
    if name == "f1":
        options |= {"average": "binary" if shape == "two" else "macro", "zero_division": 0}
    elif name == "roc_auc" and shape == "many":
        options |= {"multi_class": "ovr"}
    function = {
        "accuracy": their.accuracy_score,
        "balanced_accuracy": their.balanced_accuracy_score,
        "f1": their.f1_score,
        "roc_auc": their.roc_auc_score,
        "mse": their.mean_squared_error,
        "mae": their.mean_absolute_error,
        "r2": their.r2_score,
    }[name]
    return function(y, given, **options)


@pytest.mark.parametrize("kind", [None, "fractions", "large", "zeros"])
@pytest.mark.parametrize(("name", "shape"), CASES)
def test_as_scikit_learn(sklearn_metrics, name, shape, kind):
    for seed in range(3):
        y, given = drawn(name, shape, seed=seed)
        weights = weights_of(kind, len(y))
        expected = theirs(sklearn_metrics, name, shape, y, given, weights)
        assert expected not in (0, 1), "the case tells something"
        np.testing.assert_allclose(measure(name, y, given, weights), expected, **ROUNDING)


def test_unseen_classes_as_scikit_learn(sklearn_metrics):
    y, predicted = np.array([0, 0, 2, 2, 5]), np.array([0, 3, 2, 0, 5])
    expected = sklearn_metrics.f1_score(y, predicted, average="macro", zero_division=0)
    np.testing.assert_allclose(measure("f1", y, predicted, classes=9), expected, **ROUNDING)
    y, predicted = np.array([0, 0, 2, 2, 5]), np.array([0, 0, 2, 0, 5])
    expected = sklearn_metrics.balanced_accuracy_score(y, predicted)
    np.testing.assert_allclose(measure("balanced_accuracy", y, predicted), expected, **ROUNDING)


def test_constant_columns_as_scikit_learn(sklearn_metrics):
    y = np.tile([0.1, 0.3, 7.0], (7, 1))
    h = y + np.arange(7)[:, None] * [0, 1, 0]
    y[:, 2] += np.arange(7)
    for weights in (None, weights_of("fractions", 7)):
        expected = sklearn_metrics.r2_score(y, h, sample_weight=weights)
        np.testing.assert_allclose(measure("r2", y, h, weights), expected, **ROUNDING)


def test_a_large_offset_costs_r2_nothing(normal):
    y, h = normal(300), normal(300, seed=1)
    # 2**30 + y rounds y to a multiple of 2**-22 or so, and nothing else: those roundings are made here beforehand.
    y, h = (np.round(part * 2**20) / 2**20 for part in (y, h))
    np.testing.assert_allclose(measure("r2", y + 2**30, h + 2**30), measure("r2", y, h), **ROUNDING)


# ---- weights, and what is left out ---------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_a_whole_weight_is_as_many_rows(name, shape):
    y, given = drawn(name, shape)
    weights = weights_of("zeros", len(y))
    repeated = measure(name, np.repeat(y, weights, axis=0), np.repeat(given, weights, axis=0))
    if name in OF_CLASSES:
        assert measure(name, y, given, weights) == repeated, "sums of whole numbers are exact"
    else:
        np.testing.assert_allclose(measure(name, y, given, weights), repeated, **ROUNDING)


@pytest.mark.parametrize("kind", ["fractions", "large"])
@pytest.mark.parametrize(("name", "shape"), CASES)
def test_weight_zero_is_no_row(name, shape, kind):
    y, given = drawn(name, shape)
    weights = weights_of(kind, len(y))
    weights[::3] = 0
    kept = weights > 0
    expected = measure(name, y[kept], given[kept], weights[kept])
    assert measure(name, y, given, weights) == expected
    if name == "roc_auc" or name in OF_NUMBERS:
        given = given.copy()
        given[::3] = NAN
        assert measure(name, y, given, weights) == expected, "whatever stands there"


@pytest.mark.parametrize(("name", "options"), [("balanced_accuracy", {}), ("f1", {}), ("f1", {"classes": 4})], ids=repr)
def test_a_class_of_weight_zero_is_none(name, options):
    y, predicted = np.array([0, 0, 1, 1, 2, 3]), np.array([0, 1, 1, 1, 2, 3])
    some = measure(name, y, predicted, [1, 1, 1, 1, 0, 0], **options)
    assert some == measure(name, y[:4], predicted[:4], **options)
    assert some != measure(name, y, predicted, **options)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_the_scale_of_weights_does_not_count(name, shape):
    y, given = drawn(name, shape)
    weights = weights_of("fractions", len(y))
    expected = measure(name, y, given, weights)
    for power in (-1000, -3, 1020):  # the largest of 5 * 2**1020 are sums of which overflow
        assert measure(name, y, given, np.ldexp(weights, power)) == expected, "a power of two rounds nothing"
    np.testing.assert_allclose(measure(name, y, given, weights / 3), expected, **ROUNDING)
    assert measure(name, y, given, np.full(len(y), 0.3)) == measure(name, y, given, np.full(len(y), 0.3 / 4))


@pytest.mark.parametrize("name", OF_NUMBERS)
@pytest.mark.parametrize("kind", [None, "fractions"])
def test_what_is_not_observed_is_no_entry(name, kind):
    y, h = drawn(name, "numbers")
    weights = weights_of(kind, len(y))
    missing = np.random.default_rng(1).random(y.shape) < 0.3
    y[missing] = NAN
    h[missing] = np.where(np.arange(missing.sum()) % 2, NAN, np.inf)
    columns = [
        measure(name, y[~gone, column], h[~gone, column], None if weights is None else weights[~gone])
        for column, gone in enumerate(missing.T)
    ]
    # Left out or added as 0: the sums may be grouped otherwise.
    np.testing.assert_allclose(measure(name, y, h, weights), np.mean(columns), **ROUNDING)
    y[:, 1] = NAN
    np.testing.assert_allclose(measure(name, y, h, weights), (columns[0] + columns[2]) / 2, **ROUNDING)


@pytest.mark.parametrize(
    ("name", "y", "given", "weights"),
    [
        ("roc_auc", [1, 1], [0.2, 0.7], None),
        ("roc_auc", [0, 0], [0.2, 0.7], None),
        ("roc_auc", [0, 1], [0.2, 0.7], [0, 1]),
        ("roc_auc", [2, 2], [[1, 2, 3], [1, 2, 4]], None),
        ("roc_auc", [[1, 0], [1, 0]], [[1, 2], [3, 4]], None),
        ("roc_auc", [0, 1], [0.2, NAN], None),
        *((name, [0, 1], [0, 1], [0, 0]) for name in OF_CLASSES),
        *((name, [1.0, 2.0], [1.0, 2.0], [0, 0]) for name in OF_NUMBERS),
        *((name, [NAN, NAN], [1.0, 2.0], None) for name in OF_NUMBERS),
        *((name, np.zeros((0, 2)), np.zeros((0, 2)), None) for name in METRICS if name != "balanced_accuracy"),
        *((name, np.zeros(0, int), np.zeros(0, int), None) for name in METRICS),
        *((name, [1.0, 2.0], [1.0, NAN], None) for name in OF_NUMBERS),
        ("r2", [1.0, 1.0], [1.0, NAN], None),
    ],
)
def test_nothing_to_measure_is_nan(name, y, given, weights):
    assert math.isnan(measure(name, y, given, weights))


@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, shape) for name in METRICS for shape in ((6,), (6, 3)) if (name, shape) != ("balanced_accuracy", (6, 3))],
)
@pytest.mark.parametrize("value", [0, 1])
def test_which_metrics_compare_rows(name, value, shape, normal):
    alike = np.full(shape, value)
    given = normal(*shape) if METRICS[name].given == "scores" or "real" in METRICS[name].targets else 1 - alike
    assert math.isnan(METRICS[name].function(alike, given)) == METRICS[name].compares_rows
    different = alike.copy()
    different[0] = 1 - value
    assert not math.isnan(METRICS[name].function(different, given)), "all that they lack is another target"


def test_a_network_that_diverged_is_measured_without_a_warning():
    y, h = [1.0, 2.0, 3.0], np.array([1e200, -np.inf, 3.0])
    assert measure("mse", y, h) == measure("mae", y, h) == np.inf
    assert measure("r2", y, h) == -np.inf
    assert measure("mse", y, [1e200, 2.0, 3.0]) == np.inf, "a square past the largest number"


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_r2_has_no_unit(normal, scale):
    y, h = normal(50), normal(50, seed=1)
    np.testing.assert_allclose(measure("r2", y * scale, h * scale), measure("r2", y, h), **ROUNDING)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_all_right_is_one_to_the_bit(name, shape):
    y, given = drawn(name, shape)
    best = np.eye(4)[y] if (name, shape) == ("roc_auc", "many") else y
    perfect = {"mse": 0, "mae": 0}.get(name, 1)
    for kind in (None, "fractions", "large"):
        assert measure(name, y, best, weights_of(kind, len(y))) == perfect
        assert measure(name, y, given, weights_of(kind, len(y))) != perfect


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_arrays_stay_as_they_are(name, shape):
    y, given = drawn(name, shape)
    weights = weights_of("fractions", len(y))
    before = [array.copy() for array in (y, given, weights)]
    measure(name, y, given, weights)
    for array, was in zip((y, given, weights), before, strict=True):
        array.flags.writeable = False
        np.testing.assert_array_equal(array, was)
    assert measure(name, np.asfortranarray(y), np.asfortranarray(given), weights) == measure(name, y, given, weights)


@pytest.mark.parametrize("kind", [None, "fractions", "zeros"])
@pytest.mark.parametrize("targets", [1, 2])
def test_pinball_is_scikit_learns_averaged_over_levels(sklearn_metrics, targets, kind):
    levels = (0.1, 0.5, 0.8)
    generator, weights = np.random.default_rng(5), weights_of(kind, 120)
    y, predicted = generator.standard_normal((120, targets)), generator.standard_normal((120, targets * 3))
    expected = [
        sklearn_metrics.mean_pinball_loss(
            y[:, column // 3], predicted[:, column], alpha=levels[column % 3], sample_weight=weights
        )
        for column in range(targets * 3)
    ]
    found = pinball(y if targets > 1 else y[:, 0], predicted, weights, levels=levels)
    assert type(found) is float
    assert found == pytest.approx(np.mean(expected), rel=1e-12), "the same sums in another order"


def test_pinball_leaves_out_what_was_not_observed():
    y = np.array([[1.0, math.nan], [2.0, math.nan], [math.nan, 5.0]])
    predicted = np.array([[0.0, 3.0, 9.0, 9.0], [2.0, 3.0, 9.0, 9.0], [7.0, 7.0, 4.0, 6.0]])
    # Level 1/4 of the first target 1/4 and 0, level 3/4 1/2 and 1/4; of the second target 1/4 and 1/4.
    assert pinball(y, predicted, levels=(0.25, 0.75)) == (0.125 + 0.375 + 0.25 + 0.25) / 4
    assert math.isnan(pinball([math.nan], [1.0]))


@pytest.mark.parametrize(
    ("arguments", "levels", "words"),
    [
        (([1.0, 2.0], [1.0, 2.0]), (0.0,), "^levels: got 0.0"),
        (([1.0, 2.0], [1.0, 2.0]), (), "^levels: got "),
        (([1.0, 2.0], [1.0, 2.0]), (0.1, 0.9), "^predicted: got shape [(]2, 1[)] with y of shape [(]2, 2[)]"),
        (([1.0, 2.0], ["a", "b"]), (0.5,), "^predicted: got <U1"),
        (([1.0, 2.0], [1.0, 2.0], [1.0]), (0.5,), "^sample_weight: "),
    ],
)
def test_pinball_checks_its_arguments(arguments, levels, words):
    with pytest.raises((TypeError, ValueError), match=words):
        pinball(*arguments, levels=levels)


def test_float32_is_added_in_float64():
    h = np.array([2**24, 1], np.float32)
    assert measure("mae", np.zeros_like(h), h) == (2**24 + 1) / 2, "no number of float32"
    scores = np.array([0.1, 0.1 + 1e-12])
    assert measure("roc_auc", [0, 1], scores) == 1
    assert measure("roc_auc", [0, 1], scores.astype(np.float32)) == 0.5, "ties in the scores' own precision"


# ---- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "kind", "words"),
    [
        ("accuracy", (["a"], ["b"]), TypeError, r"^y: got <U1 of shape \(1,\); class codes .*; for labels, pass"),
        ("accuracy", ([0.0, 1.0], [0, 1]), TypeError, r"^y: got float64 of shape \(2,\); class codes"),
        ("accuracy", ([0, 1], np.zeros((2, 1, 1))), TypeError, r"^predicted: got float64 of shape \(2, 1, 1\)"),
        ("accuracy", (np.zeros((2, 0)), np.zeros((2, 0))), TypeError, r"^y: got float64 of shape \(2, 0\)"),
        ("accuracy", ([0, 1], [0, 1, 1]), ValueError, r"^predicted: got shape \(3,\) with y of shape \(2,\); equal"),
        ("accuracy", ([0, -1], [0, 1]), ValueError, "^y: got the class code -1; codes of at least 0 are accepted"),
        ("f1", ([[0, 1]], [[0, 2]]), ValueError, "^predicted: got a matrix with values other than 0 and 1; 0/1 mat"),
        ("f1", ([[0, NAN]], [[0, 1]]), ValueError, "^y: got a matrix with values other than 0 and 1"),
        ("balanced_accuracy", ([[0, 1]], [[0, 1]]), ValueError, "^y: got a matrix with 2 columns; class codes .* f1"),
        ("roc_auc", ([0, 1], [0.1]), ValueError, r"^scores: got shape \(1,\) with y of shape \(2,\); one row per row"),
        ("roc_auc", ([[0, 1]], [[1, 2, 3]]), ValueError, r"^scores: got shape \(1, 3\) with y of shape \(1, 2\)"),
        ("roc_auc", ([0, 1], np.zeros((2, 0))), ValueError, r"^scores: got shape \(2, 0\)"),
        ("roc_auc", ([0, 2], [0.1, 0.2]), ValueError, "^y: got the class code 2 with scores of 2 classes; .*; pass"),
        ("roc_auc", ([0, 3], np.zeros((2, 3))), ValueError, "^y: got the class code 3 with scores of 3 classes"),
        ("roc_auc", ([0, 1], ["a", "b"]), TypeError, r"^scores: got <U1 of shape \(2,\); numbers"),
        ("mse", (["a"], [1.0]), TypeError, r"^y: got <U1 of shape \(1,\); numbers of shape"),
        ("mae", ([1.0], 1.0), TypeError, r"^predicted: got float64 of shape \(\); numbers of shape"),
        ("r2", ([1.0, 2.0], [[1.0], [2.0]]), ValueError, r"^predicted: got shape \(2, 1\) with y of shape \(2,\)"),
    ],
)
def test_what_cannot_be_measured_is_refused(name, arguments, kind, words):
    with pytest.raises(kind, match=words):
        measure(name, *arguments)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1, 1, 1], r"^sample_weight: got int\d+ of shape \(3,\) for 2 rows; one number per row is accepted"),
        ([[1], [1]], r"^sample_weight: got int\d+ of shape \(2, 1\) for 2 rows"),
        (["a", "b"], r"^sample_weight: got <U1 of shape \(2,\)"),
        ([1, -2], "^sample_weight: got -2.0 at row 1; finite numbers of at least 0 are accepted"),
        ([NAN, 1], "^sample_weight: got nan at row 0"),
        ([1, np.inf], "^sample_weight: got inf at row 1"),
    ],
)
def test_weights_are_checked(name, weights, words):
    with pytest.raises(ValueError, match=words):
        measure(name, [0, 1], [0, 1], weights)


@pytest.mark.parametrize(
    ("classes", "kind", "words"),
    [
        (2, ValueError, "^classes: got 2 with the class code 2; a number above all codes is accepted"),
        (0, ValueError, "^classes: got 0, expected a whole number of at least 1"),
        (3.0, TypeError, "^classes: got 3.0"),
    ],
)
def test_the_number_of_classes_is_checked(classes, kind, words):
    with pytest.raises(kind, match=words):
        measure("f1", [0, 1, 2], [0, 1, 2], classes=classes)


# ---- what the user may choose --------------------------------------------------------------------------------


def test_the_table():
    assert isinstance(METRICS, MappingProxyType)
    assert {name: (known.given, known.rises, known.targets) for name, known in METRICS.items()} == {
        "accuracy": ("codes", True, ("labels", "multilabel")),
        "balanced_accuracy": ("codes", True, ("labels",)),
        "f1": ("codes", True, ("labels", "multilabel")),
        "roc_auc": ("scores", True, ("labels", "multilabel")),
        "mse": ("codes", False, ("real",)),
        "mae": ("codes", False, ("real",)),
        "r2": ("codes", True, ("real",)),
    }
    assert [name for name, known in METRICS.items() if known.compares_rows] == ["roc_auc"]
    for name, known in METRICS.items():
        assert known.name == name
        assert metric(name) is known


def test_a_measure_of_ones_own():
    def largest(y, predicted):
        return float(np.abs(y - predicted).max())

    plain = metric(largest)
    assert plain == Metric("largest", largest)
    assert (plain.given, plain.rises, plain.targets) == ("predictions", True, ("real", "labels", "multilabel"))
    assert plain.training is True
    assert Metric("largest", largest, training=np.bool_(False)).training is False
    made = Metric("worst", largest, given="scores", rises=np.bool_(False), targets=["real"])
    assert metric(made) is made
    assert made.rises is False
    assert made.targets == ("real",)
    assert {made: 1}[dataclasses.replace(made)] == 1, "equal ones have equal hashes"
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.name = "other"
    assert metric(functools.partial(largest)).name == "partial", "a callable without a name has its type's"


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"name": 3}, TypeError, r"^name: got 3 \(int\); a name is accepted"),
        ({"name": ""}, ValueError, "^name: got an empty string"),
        ({"function": "max"}, TypeError, r"^function: got 'max' \(str\); a callable"),
        ({"given": "score"}, ValueError, "^given: got 'score', .*did you mean 'scores'"),
        ({"given": None}, TypeError, "^given: got None"),
        ({"rises": 1}, TypeError, "^rises: got 1"),
        ({"training": "no"}, TypeError, "^training: got 'no'"),
        ({"compares_rows": 1}, TypeError, "^compares_rows: got 1"),
        ({"targets": "real"}, TypeError, "^targets: got 'real'; a tuple of some of 'real', 'labels', 'multilabel'"),
        ({"targets": ()}, TypeError, r"^targets: got \(\)"),
        ({"targets": ("label",)}, ValueError, "^targets: got 'label', .*did you mean 'labels'"),
    ],
)
def test_measures_check_themselves(settings, kind, words):
    with pytest.raises(kind, match=words):
        Metric(**{"name": "own", "function": max} | settings)


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        ("acuracy", ValueError, "^metrics: got 'acuracy', expected one of 'accuracy', .*; did you mean 'accuracy'"),
        (3, TypeError, r"^metrics: got 3 \(int\); a name, .* or a Metric is accepted; the names are 'accuracy'"),
        (None, TypeError, r"^metrics: got None \(NoneType\)"),
        (["f1"], TypeError, r"^metrics: got \['f1'\] \(list\)"),
        (Metric, TypeError, r"^metrics: got the class Metric; an instance is accepted; write Metric\(name, function\)"),
    ],
)
def test_what_is_no_measure_is_refused(value, kind, words):
    with pytest.raises(kind, match=words):
        metric(value)
    with pytest.raises(kind, match=words.replace("metrics", "scoring", 1)):
        metric(value, "scoring")


def test_scikit_learn_is_not_imported():
    code = "import sys, fastmlp.metrics; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
