import inspect

import numpy as np
import pytest

from fastmlp import datasets

MAKERS = [getattr(datasets, name) for name in datasets.__all__]


@pytest.mark.parametrize("make", MAKERS)
def test_shapes_dtypes_and_both_classes(make):
    X, y = make(rows=51)
    assert X.shape == (51, 2)
    assert X.dtype == np.float64
    assert y.shape == (51,)
    assert y.dtype == np.int64
    assert np.isfinite(X).all()
    assert set(y) == {0, 1}


@pytest.mark.parametrize("make", MAKERS)
def test_seed_decides(make):
    X, y = make(seed=3, noise=0.1)
    again, labels = make(seed=3, noise=0.1)
    other, _ = make(seed=4, noise=0.1)
    np.testing.assert_array_equal(X, again)
    np.testing.assert_array_equal(y, labels)
    assert not np.array_equal(X, other)
    assert not np.array_equal(make(seed=None)[0], make(seed=None)[0])


@pytest.mark.parametrize("make", MAKERS)
def test_noise_moves_points_and_leaves_labels(make):
    X, y = make(rows=2000, noise=0.0)
    noisy, labels = make(rows=2000, noise=0.3)
    np.testing.assert_array_equal(y, labels)
    # 4000 draws: their standard deviation has a relative error of 1/sqrt(8000) = 1.1 %; 5 % is over 4 of these.
    assert np.std(noisy - X) == pytest.approx(0.3, rel=0.05)


def test_xor_labels_are_the_quadrants():
    X, y = datasets.xor(rows=500)
    np.testing.assert_array_equal(y, (X[:, 0] * X[:, 1] < 0).astype(int))


def test_moons_are_half_circles():
    X, y = datasets.moons(noise=0.0)
    np.testing.assert_allclose(np.hypot(*X[y == 0].T), 1.0, rtol=1e-12)  # a few roundings
    np.testing.assert_allclose(np.hypot(*(X[y == 1] - [1.0, 0.5]).T), 1.0, rtol=1e-12)
    assert X[y == 0, 1].min() >= 0.0
    assert X[y == 1, 1].max() <= 0.5


def test_circles_have_their_radii():
    X, y = datasets.circles(noise=0.0, radius=0.3)
    np.testing.assert_allclose(np.hypot(*X.T), np.where(y == 0, 1.0, 0.3), rtol=1e-12)  # a few roundings


def test_spirals_are_one_arm_turned():
    X, y = datasets.spirals(rows=900, noise=0.0, turns=2.0, classes=3)
    assert np.bincount(y).tolist() == [300, 300, 300]
    distance = np.hypot(*X.T)
    expected = 2.0 * np.pi * (2.0 * distance + y / 3)
    # Roundings of the distance are multiplied by the angle's 4 pi.
    np.testing.assert_allclose(X, distance[:, None] * np.column_stack([np.cos(expected), np.sin(expected)]), atol=1e-13)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"rows": 1}, ValueError, "rows: got 1"),
        ({"rows": 3.0}, TypeError, "rows: got 3.0"),
        ({"noise": -0.1}, ValueError, "noise: got -0.1"),
        ({"noise": np.nan}, ValueError, "noise: got nan"),
        ({"noise": "much"}, TypeError, "noise: got 'much'"),
        ({"seed": -1}, ValueError, "seed: got -1"),
    ],
)
def test_refusals(make, arguments, error, message):
    with pytest.raises(error, match=message):
        make(**arguments)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (datasets.circles, {"radius": 1.0}, "radius: got 1.0"),
        (datasets.circles, {"radius": 0}, "radius: got 0"),
        (datasets.spirals, {"classes": 1}, "classes: got 1"),
        (datasets.spirals, {"classes": 4, "rows": 3}, "rows: got 3"),
        (datasets.spirals, {"turns": np.inf}, "turns: got inf"),
    ],
)
def test_refusals_of_one_data_set(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


@pytest.mark.parametrize("make", MAKERS)
def test_all_have_the_same_first_arguments(make):
    names = list(inspect.signature(make).parameters)
    assert names[:2] == ["rows", "noise"]
    assert names[-1] == "seed"
