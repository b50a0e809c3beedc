"""Products that pass over zeros: the same bits as those that do not, whatever is zero, on any number of threads."""

import numpy as np
import pytest
from inside import places

import fastmlp

# (rows, inputs, outputs): on both sides of a word of 64 places, of a block of the depth and of 256 rows; outputs, and
# inputs where these are columns, of 6 to 13 vectors of 2 to 16 numbers, of several panels, of a last vector half full.
SIZES = [
    (1, 64, 100),
    (200, 64, 100),
    (63, 65, 96),
    (64, 63, 97),
    (65, 1, 48),
    (300, 130, 51),
    (257, 257, 30),
    (256, 256, 200),
    (5, 520, 193),
    (70, 100, 24),
    (33, 784, 100),
    (129, 40, 13),
    (40, 65, 52),
    (40, 65, 103),
]
SHARES = (0.0, 0.02, 0.3, 0.6, 1.0)


def with_zeros(shape, share, dtype, seed=0):
    """Numbers of which a share is not zero, some of them -0."""
    generator = np.random.default_rng(seed)
    numbers = generator.standard_normal(shape) * (generator.random(shape) < share)
    return np.where(generator.random(shape) < 0.1, -numbers, numbers).astype(dtype)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_product_gives_the_same_numbers(backend, dtype, size, share):
    kernels, (rows, inputs, outputs) = places.backend.kernels(np.dtype(dtype), backend), size
    generator = np.random.default_rng(1)
    w = generator.standard_normal((inputs, outputs)).astype(dtype)
    b = generator.standard_normal(outputs).astype(dtype)
    x, dy = with_zeros((rows, inputs), share, dtype), with_zeros((rows, outputs), share, dtype, 2)
    found = []
    for skips in (False, True):
        y, dx = np.empty((rows, outputs), dtype), np.empty((rows, inputs), dtype)
        dw, db = np.empty((inputs, outputs), dtype), np.empty(outputs, dtype)
        kernels.dense_forward(y, x, w, b, 2, skips)
        kernels.dense_backward_inputs(dx, dy, w, x, 3, skips)
        kernels.dense_backward_weights(dw, db, x, dy, skips)
        found.append((y, dx, dw, db))
    for plain, skipped in zip(*found, strict=True):
        np.testing.assert_array_equal(plain, skipped)


def test_a_number_that_is_not_finite_is_no_zero(backend, dtype):
    kernels = places.backend.kernels(np.dtype(dtype), backend)
    x = np.zeros((70, 70), dtype)
    x[3, 5], x[69, 69], x[68, 0] = np.nan, np.inf, -np.inf
    y, w = np.empty((70, 100), dtype), np.ones((70, 100), dtype)
    kernels.dense_forward(y, x, w, None, 0, True)
    expected = x @ w
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("options", [{}, {"activation": "tanh", "dropout": 0.5}, {"batch_size": "full"}])
def test_trainings_on_rows_of_zeros_agree_on_any_number_of_threads(backend, dtype, monkeypatch, options, tolerance):
    x = with_zeros((230, 70), 0.2, dtype)
    y = np.arange(230) % 30
    options = {"hidden": (100, 60), "batch_size": 64, "epochs": 3, "seed": 0, "backend": backend} | options
    looked_for = fastmlp.train(x, y, **options, n_threads=1)
    for threads in (2, 3):
        assert np.array_equal(looked_for.params, fastmlp.train(x, y, **options, n_threads=threads).params)
    reference = fastmlp.train(x, y, **options | {"backend": "reference"})
    largest = np.abs(reference.params).max()
    kind = "training with kinks" if "activation" not in options else "training"
    assert np.abs(looked_for.params - reference.params).max() <= tolerance(kind, dtype) * largest
    monkeypatch.setattr(places.run, "_has_many_zeros", lambda x: False)
    assert np.array_equal(looked_for.params, fastmlp.train(x, y, **options, n_threads=2).params)


def test_features_are_looked_at_for_zeros():
    assert places.many_zeros(with_zeros((1000, 50), 0.5, "float64"))
    assert not places.many_zeros(np.ones((1000, 50)))
    assert not places.many_zeros(with_zeros((1000, 50), 0.9, "float32"))
    assert places.many_zeros(np.zeros((1, 1)))
