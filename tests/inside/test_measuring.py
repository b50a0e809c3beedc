"""What an epoch costs: looks of L-BFGS at the objective, forward passes for metrics, histories of a stream."""

import numpy as np
import pytest
from inside import places

import fastmlp
from fastmlp import LBFGS
from fastmlp.metrics import Metric


def moons(rows=120, noise=0.3):
    return fastmlp.datasets.moons(rows, noise=noise, seed=0)


def fit(backend=None, X=None, y=None, **options):
    X, y = moons() if X is None else (X, y)
    given = {"hidden": 8, "learning_rate": 0.02, "epochs": 12, "batch_size": 32, "seed": 0, "validation": 0.3}
    return fastmlp.train(X, y, backend=backend, **given | options)


def share(y, predicted, sample_weight=None):
    """A measure of one's own, which is the accuracy."""
    return np.average(y == predicted, weights=sample_weight)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_metric_of_validation_rows_alone(backend, optimizer, monkeypatch):
    given, passes = places.given("outputs"), []
    places.switch(monkeypatch, outputs=lambda one, model, X: (passes.append(len(X)), given(one, model, X))[1])
    options = {"optimizer": optimizer, "batch_size": 84 if optimizer == "lbfgs" else 32, "learning_rate": None}
    net = fit(backend, metrics=[Metric("share", share, training=False)], epochs=5, **options)
    assert net.history.metrics.keys() == {"val_share"}
    assert passes == [36] * 5, "training rows cost nothing"
    # the kernels count the same rows
    np.testing.assert_allclose(net.history.metrics["val_share"], net.history.val_accuracy, rtol=1e-14)
    both = fit(backend, metrics=["f1", Metric("share", share, training=False)], epochs=5, **options)
    assert list(both.history.metrics) == ["f1", "val_f1", "val_share"]
    np.testing.assert_array_equal(both.history.metrics["val_share"], net.history.metrics["val_share"])
    plain = fit(backend, metrics=[Metric("share", share)], epochs=5, **options)
    np.testing.assert_array_equal(plain.history.metrics["val_share"], net.history.metrics["val_share"])
    np.testing.assert_array_equal(plain.params, net.params)


def test_a_long_stream_does_not_slow_down(normal):
    X, y = normal(4, 2), normal(4)
    net = fastmlp.Network((2, 1), seed=0)
    for _ in range(300):
        net.partial_train(X, y)
    assert len(places.histories(net)) == 301, "joined when somebody looks"
    assert len(net.history) == 300
    assert len(places.histories(net)) == 1


# ---- L-BFGS


def data(normal, rows=120, inputs=5):
    X = normal(rows, inputs)
    return X, np.sin(X[:, 0]) + X[:, 1] * X[:, 2]


def network(backend, dtype=np.float64, **options):
    given = {"activation": "tanh", "l2": 0.5, "seed": 0} | options
    return fastmlp.Network((5, 8, 1), dtype=dtype, backend=backend, **given)


@pytest.fixture
def looks(backend, monkeypatch):
    """A list with an entry for each look at the objective."""
    return places.count_kernel_calls(monkeypatch, places.backend.kernels(np.dtype(np.float64), backend))


def test_all_looks_together_are_bounded(backend, looks, normal):
    X, y = data(normal)
    y = 8 * y  # so far from the start that some line searches look more than once
    options, counts, seen = {"epochs": 40, "n_threads": 1}, [], []
    whole = network(backend)
    whole.train(
        X,
        y,
        optimizer=LBFGS(gradient_tolerance=0.0, loss_tolerance=0.0),
        **options,
        callbacks=[lambda state: (counts.append(len(looks)), seen.append(state.params.copy()))],
    )
    assert len(counts) == 40
    assert max(np.diff(counts)) > 1
    for most in (1, 2, 7, 20, 30):
        looks.clear()
        net = network(backend)
        net.train(X, y, optimizer=LBFGS(gradient_tolerance=0.0, loss_tolerance=0.0, most_looks=most), **options)
        # SciPy ends behind the first iteration that went past the bound: the line search before it is not cut short.
        ended = int(np.argmax(np.array(counts) > most))
        assert len(net.history) == ended + 1 < 40
        assert most < len(looks) == counts[ended] <= most + LBFGS().trials
        np.testing.assert_array_equal(net.params, seen[ended])
        assert net.history.stopped.startswith("L-BFGS ended: stop: total no. of f")
        assert "evaluations exceeds limit" in net.history.stopped
    # A bound that is not reached changes nothing, and one that the last iteration goes past has not ended it.
    for most in (10**6, counts[-1] - 1):
        net = network(backend)
        net.train(X, y, optimizer=LBFGS(gradient_tolerance=0.0, loss_tolerance=0.0, most_looks=most), **options)
        np.testing.assert_array_equal(net.params, whole.params)
        assert net.history.stopped == ""
