"""L-BFGS: the minimum where it is known, SciPy's own path, what it writes down, and what stops it."""

import builtins

import numpy as np
import pytest
from inside import places

import fastmlp
from fastmlp import LBFGS, EarlyStopping

scipy_optimize = pytest.importorskip("scipy.optimize")


def data(normal, rows=120, inputs=5):
    X = normal(rows, inputs)
    return X, np.sin(X[:, 0]) + X[:, 1] * X[:, 2]


def network(backend, dtype=np.float64, **options):
    given = {"activation": "tanh", "l2": 0.5, "seed": 0} | options
    return fastmlp.Network((5, 8, 1), dtype=dtype, backend=backend, **given)


def test_a_linear_model_comes_to_its_minimum(backend, normal):
    X, y = data(normal)
    net = fastmlp.Network((5, 1), l2=3.0, seed=0, backend=backend)
    net.train(X, y, optimizer=LBFGS(gradient_tolerance=1e-10, loss_tolerance=0.0), epochs=200)
    inputs = np.c_[X, np.ones(len(X))]
    ridge = 3.0 * np.diag([1.0] * 5 + [0.0])
    expected = np.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ y)
    # a gradient of 1e-10 over the smallest curvature, some 0.5
    np.testing.assert_allclose(net.params, expected, atol=1e-9)
    assert net.history.stopped.startswith("L-BFGS ended: convergence")


def test_the_path_is_scipys_on_the_same_objective(backend, normal):
    X, y = data(normal)
    net, twin = network(backend), network("reference")
    seen = []

    def objective(point):
        twin.params[:] = point
        return twin.loss(X, y), twin.gradient(X, y)

    start = twin.params.copy()
    found = scipy_optimize.minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        callback=lambda xk: seen.append(objective(xk)[0]),
        options={"maxiter": 30, "maxcor": 7, "gtol": 1e-8, "ftol": 0.0},
    )
    net.train(X, y, optimizer=LBFGS(memory=7, gradient_tolerance=1e-8, loss_tolerance=0.0), epochs=30)
    # Line searches decide by comparisons, so that thirty steps of roundings stay roundings: 1e-10 is found.
    np.testing.assert_allclose(net.params, found.x, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(net.history.loss[1:], seen[:-1], rtol=1e-8)
    np.testing.assert_allclose(net.history.loss[0], objective(start)[0], rtol=1e-12)


def test_what_is_written_down(backend, dtype, normal):
    X, y = data(normal)
    X, classes = X.astype(dtype), (y > 0).astype(int)
    net = fastmlp.Network(
        (5, 8, 1), activation="tanh", loss="binary_cross_entropy", seed=0, dtype=dtype, backend=backend
    )
    before = net.loss(X, classes), net.score(X, classes), np.linalg.norm(net.gradient(X, classes))
    snapshots = []
    net.train(
        X,
        classes,
        optimizer="lbfgs",
        epochs=12,
        validation=(X[:50], classes[:50]),
        metrics=["roc_auc"],
        callbacks=[lambda state: snapshots.append((state.epoch, state.params.copy()))],
    )
    history, limit = net.history, 1e-5 if dtype == np.float32 else 1e-12
    assert len(history) == len(history.seconds) == len(history.metrics["val_roc_auc"]) == 12
    np.testing.assert_allclose([history.loss[0], history.accuracy[0], history.gradient_norm[0]], before, rtol=limit)
    assert np.isnan(history.learning_rate).all()
    for epoch, params in snapshots[:-1]:
        net.params = params
        assert history.loss[epoch] == pytest.approx(net.loss(X, classes), rel=limit), "of the weights it begins with"
        assert history.val_loss[epoch - 1] == pytest.approx(net.loss(X[:50], classes[:50]), rel=limit)
        gradient = net.gradient(X, classes).astype(np.float64)
        assert history.gradient_norm[epoch] == pytest.approx(np.linalg.norm(gradient), rel=100 * limit)
    assert (np.diff(history.loss) <= 0).all()
    np.testing.assert_array_equal(history.layer_epochs, np.arange(12))
    np.testing.assert_allclose(
        np.linalg.norm(history.layer_gradient_norms, axis=1), history.gradient_norm, rtol=100 * limit
    )
    assert (history.layer_activations > 0).all()


def test_threads_give_the_same_bits(backend, dtype, normal):
    X, y = data(normal, rows=500)
    nets = [network(backend, dtype) for _ in range(3)]
    for n_threads, net in enumerate(nets, 1):
        net.train(X.astype(dtype), y, optimizer="lbfgs", epochs=8, n_threads=n_threads)
    assert nets[0].params.tobytes() == nets[1].params.tobytes() == nets[2].params.tobytes()


def test_it_is_far_ahead_of_adam_on_a_small_problem():
    X, y = fastmlp.datasets.spirals(200, noise=0.0, seed=0)
    options = {"hidden": (20, 20), "activation": "tanh", "epochs": 300, "batch_size": "full", "seed": 0}
    losses = [fastmlp.train(X, y, optimizer=name, **options).loss(X, y) for name in ("adam", "lbfgs")]
    assert losses[1] < losses[0] / 10


def test_each_training_may_look_as_often(backend, monkeypatch, normal):
    looks = places.count_kernel_calls(monkeypatch, None)
    X, y = data(normal)
    net = network(backend)
    for _ in range(3):
        before = len(looks), len(net.history)
        net.train(X, y, optimizer=LBFGS(most_looks=5), epochs=40, n_threads=1)
        assert 5 < len(looks) - before[0] <= 5 + LBFGS().trials
        assert len(net.history) > before[1]


def test_early_stopping_and_the_best_weights(backend, normal):
    X, y = data(normal, rows=60)
    y = y + normal(60, seed=3)
    seen = []
    net = fastmlp.train(
        X[:40],
        y[:40],
        hidden=30,
        optimizer="lbfgs",
        epochs=500,
        seed=0,
        backend=backend,
        validation=(X[40:], y[40:]),
        early_stopping=EarlyStopping(patience=5),
        callbacks=[lambda state: seen.append(state.params.copy())],
    )
    best = int(np.argmin(net.history.val_loss))
    assert len(net.history) == best + 1 + 5
    np.testing.assert_array_equal(net.params, seen[best])


def test_going_on_and_changing_over(backend, normal):
    X, y = data(normal)
    net = network(backend)
    net.train(X, y, epochs=20).train(X, y, optimizer="lbfgs", epochs=10).train(X, y, epochs=5)
    assert len(net.history) <= 35
    assert net.history.loss[25] < net.history.loss[19]
    assert places.position(net, "epoch") == len(net.history)
    net.partial_train(X, y)
    assert isinstance(places.optimizer_of(net), fastmlp.Adam)


def test_a_callback_stops_it(backend, normal):
    X, y = data(normal)
    net = network(backend)
    net.train(X, y, optimizer="lbfgs", callbacks=[lambda state: state.epoch == 3])
    assert (len(net.history), net.history.stopped) == (3, "<lambda> returned True")

    def hurry(state):
        state.learning_rate = 0.1

    with pytest.raises(ValueError, match="^learning_rate: got one with an optimizer that searches"):
        net.train(X, y, optimizer="lbfgs", callbacks=[hurry])


@pytest.mark.parametrize("penalty", [{"l2": 20.0}, {"l1": 2.0}])
def test_validation_has_the_penalty_of_the_weights_after_the_step(backend, penalty, normal):
    X, y = data(normal, rows=60)
    net = fastmlp.train(
        X[:40],
        y[:40],
        hidden=5,
        activation="tanh",
        optimizer="lbfgs",
        epochs=5,
        validation=(X[40:], y[40:]),
        seed=0,
        backend=backend,
        **penalty,
    )
    # loss() puts the penalty over its own 20 rows, training over its 40.
    weights = np.concatenate([w.ravel() for w in net.weights])
    size = 0.5 * net.l2 * np.square(weights).sum() + net.l1 * np.abs(weights).sum()
    expected = net.loss(X[40:], y[40:]) - size / 20 + size / 40
    assert net.history.val_loss[-1] == pytest.approx(expected, rel=1e-12)


def test_weights_are_for_reading(backend, normal):
    X, y = data(normal)

    def reset(state):
        state.params[:] = 0

    net = network(backend)
    with pytest.raises(ValueError, match="^params: got other weights from a callback"):
        net.train(X, y, optimizer="lbfgs", epochs=5, callbacks=[reset])
    assert len(net.history) == 1
    assert places.position(net, "epoch") == 1
    net.train(X, y, optimizer="lbfgs", epochs=2)
    np.testing.assert_array_equal(net.history.layer_epochs, [0, 1, 2])


def test_the_advice_is_one_that_it_takes(normal):
    X, y = data(normal)
    with pytest.warns(fastmlp.DivergenceWarning, match="outputs grow as exp.z.; a step of the line search") as seen:
        fastmlp.train(np.abs(X) * 300, np.abs(y), loss="poisson", hidden=(), optimizer="lbfgs", seed=0)
    assert "clip_norm" not in str(seen[0].message)
    assert "learning_rate" not in str(seen[0].message)


def test_a_loss_that_is_not_finite(backend, normal):
    X, y = data(normal)
    net = network(backend)
    start = net.params.copy()
    with pytest.warns(fastmlp.DivergenceWarning, match="in epoch 1, batch 1; no step was taken"):
        net.train(X, y * 1e200, optimizer="lbfgs")
    np.testing.assert_array_equal(net.params, start)


def test_without_scipy_it_says_what_to_install(monkeypatch, normal):
    given = builtins.__import__

    def without(name, *rest, **options):
        if name.startswith("scipy"):
            raise ImportError(name)
        return given(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"^optimizer: 'lbfgs' needs SciPy: pip install \"fastmlp\[lbfgs\]\""):
        fastmlp.train(normal(10, 2), normal(10), optimizer="lbfgs")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 10}, "^batch_size: got 10 with 'lbfgs' and 30 rows"),
        ({"learning_rate": 0.1}, "^learning_rate: got 0.1 with optimizer 'lbfgs', which searches"),
        ({"learning_rate": fastmlp.schedules.Cosine(0.1)}, "^learning_rate: got Cosine.* with optimizer 'lbfgs'"),
    ],
)
def test_what_contradicts_it_is_refused(normal, options, words):
    with pytest.raises(ValueError, match=words):
        fastmlp.train(normal(30, 2), normal(30), optimizer="lbfgs", **options)


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"memory": 0}, ValueError, "^memory: got 0"),
        ({"memory": 2.5}, TypeError, "^memory: got 2.5"),
        ({"gradient_tolerance": -1}, ValueError, "^gradient_tolerance: got -1.0"),
        ({"loss_tolerance": np.nan}, ValueError, "^loss_tolerance: got nan"),
        ({"trials": 0}, ValueError, "^trials"),
        ({"most_looks": 0}, ValueError, "^most_looks: got 0"),
        ({"most_looks": 1.5}, TypeError, "^most_looks: got 1.5"),
    ],
)
def test_settings_check_themselves(settings, kind, words):
    with pytest.raises(kind, match=words):
        LBFGS(**settings)
