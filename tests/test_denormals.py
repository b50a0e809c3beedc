"""Denormal numbers: zero to a pass and a training run, and as ever to whoever calls."""

import numpy as np
import pytest

import fastmlp

DENORMAL = {"float32": 3e-39, "float64": 3e-309}


def keeps_denormals(dtype):
    """Whether this thread computes with denormal numbers."""
    small = np.full(64, np.finfo(dtype).tiny)
    return bool((small * dtype.type(0.25) * dtype.type(4) == small).all())


@pytest.fixture
def compiled(backend):
    """A backend that is not the reference, whose arithmetic is NumPy's."""
    if backend == "reference":
        pytest.skip("reference: it computes in the caller's floating point mode")
    return backend


def network(backend, dtype, **options):
    return fastmlp.Network((5, 9, 1), loss="binary_cross_entropy", seed=0, dtype=dtype, backend=backend, **options)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_denormal_features_are_zeros(compiled, layout, dtype, n_threads, every_thread, normal):
    X, y = normal(60, 5, dtype=dtype), np.arange(60) % 2
    zeros, tiny = X.copy(), X.copy()
    zeros[:, 2], tiny[:, 2] = 0, DENORMAL[dtype.name] * X[:, 2]
    one, other = network(compiled, dtype), network(compiled, dtype)
    for net, rows in ((one, zeros), (other, tiny)):
        net.train(rows, y, epochs=4, batch_size=16, n_threads=n_threads, shuffle=False)
    np.testing.assert_array_equal(one.params, other.params)
    np.testing.assert_array_equal(one.predict_proba(zeros), one.predict_proba(tiny))
    assert one.loss(zeros, y) == one.loss(tiny, y)
    np.testing.assert_array_equal(one.gradient(zeros, y), one.gradient(tiny, y))


@pytest.mark.parametrize("n_threads", [1, 2])
def test_what_decays_becomes_zero(compiled, dtype, n_threads, every_thread, normal):
    # Weights of units that are dead shrink by a quarter each step; denormal numbers would stay denormal for good.
    X, y = np.abs(normal(40, 5, dtype=dtype)), np.arange(40) % 2
    net = network(compiled, dtype)
    net.weights[0][:] = -np.abs(net.weights[0])
    net.biases[0][:] = -1
    decay = fastmlp.AdamW(weight_decay=2.5)
    net.train(X, y, optimizer=decay, learning_rate=0.1, epochs=3000, batch_size="full", n_threads=n_threads)
    assert (net.weights[0] == 0).all()


@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_callers_mode_stays(backend, dtype, n_threads, every_thread, normal):
    X, y, seen = normal(40, 5, dtype=dtype), np.arange(40) % 2, []
    net = network(backend, dtype)

    def look(state):
        seen.append(keeps_denormals(dtype))
        if state.epoch == 3:
            raise RuntimeError("on purpose")

    calls = (
        lambda: net.predict(X),
        lambda: net.forward(X),
        lambda: net.loss(X, y),
        lambda: net.gradient(X, y),
        lambda: net.train(X, y, epochs=2, n_threads=n_threads),
        lambda: net.train(X, y, epochs=2, optimizer="lbfgs"),
    )
    for call in calls:
        call()
        assert keeps_denormals(dtype)
    with pytest.raises(RuntimeError, match="on purpose"):
        net.train(X, y, epochs=5, callbacks=[look], n_threads=n_threads)
    assert seen == [True] * 3
    assert keeps_denormals(dtype)


def test_flags_of_the_caller_stay(compiled, normal):
    # An overflow in the kernels must not be one that NumPy then finds and warns of.
    net = network(compiled, np.float32)
    with np.errstate(all="raise"):
        net.params[:] = 1e30
        net.predict(np.abs(normal(20, 5, dtype="float32")))
        assert np.float32(2) * np.float32(3) == 6
