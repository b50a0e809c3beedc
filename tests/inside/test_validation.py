"""The rows that are drawn to validate on."""

import numpy as np
import pytest
from inside import places

import fastmlp


def moons(rows=300, noise=0.3):
    return fastmlp.datasets.moons(rows, noise=noise, seed=0)


@pytest.mark.parametrize(("classes", "share"), [(2, 0.25), (3, 0.2), (5, 0.5)])
def test_a_share_takes_as_many_of_every_class(classes, share):
    generator = np.random.default_rng(0)
    y = generator.choice(classes, 400, p=np.arange(1, classes + 1) / np.arange(1, classes + 1).sum())
    X = np.arange(400.0)[:, None]
    known = places.checks.targets(y, 400, np.float64)
    (rows, codes, _), (left, left_codes, _) = places.split(share, X, known.values, None, known.task, 7)
    assert sorted(np.concatenate([rows, left]).ravel()) == list(range(400)), "every row is in one part, once"
    assert len(left) == round(400 * share)
    np.testing.assert_array_equal(codes.ravel(), y[rows[:, 0].astype(int)])
    np.testing.assert_array_equal(left_codes.ravel(), y[left[:, 0].astype(int)])
    for label in range(classes):
        assert abs((left_codes == label).sum() - share * (y == label).sum()) <= 1
    other = places.split(share, X, known.values, None, known.task, 8)[1][0]
    assert not np.array_equal(left, other), "another seed draws other rows"


def test_drawn_rows_are_not_trained_on(backend):
    X, y = moons(100)
    known = places.checks.targets(y, 100, np.float64)
    (rows, codes, _), (left, left_codes, _) = places.split(0.3, X, known.values, None, known.task, 5)
    options = {"hidden": 6, "epochs": 3, "seed": 5, "backend": backend, "batch_size": 16}
    drawn = fastmlp.train(X, y, validation=0.3, **options)
    apart = fastmlp.train(rows, codes[:, 0].astype(int), validation=(left, left_codes[:, 0].astype(int)), **options)
    np.testing.assert_array_equal(drawn.params, apart.params)
    np.testing.assert_array_equal(drawn.history.val_loss, apart.history.val_loss)


def test_a_share_of_weighted_rows(backend, normal):
    X, y, weights = normal(50, 3), normal(50), np.random.default_rng(0).uniform(0, 2, 50)
    net = fastmlp.train(X, y, hidden=4, sample_weight=weights, validation=0.4, epochs=2, seed=3, backend=backend)
    known = places.checks.targets(y, 50, np.float64)
    _, (left, codes, left_weights) = places.split(0.4, X, known.values, weights, known.task, 3)
    np.testing.assert_allclose(net.history.val_loss[-1], net.loss(left, codes[:, 0], left_weights), rtol=1e-12)
