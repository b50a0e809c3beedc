"""The article's numbers: its worked example, its trajectories, and the run that explodes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from inside import places

import fastmlp
from fastmlp import article

# What the published arithmetic gives in float64 NumPy; epoch 1 is the loss before the first update.
RUNS = json.loads((Path(__file__).parent / "trajectories.json").read_text())
EXPLODING = RUNS["50 neurons, lr 0.003, reg 1e-4"]
CHECKED = [
    (name, kind) for name, run in RUNS.items() for kind in ("published_ridge", "true_ridge_gradient") if kind in run
]
RIDGE = {"published_ridge": "published", "true_ridge_gradient": "true"}

# The article's numbers, as its pictures print them.
WORKED_EXAMPLE = {
    "X": [1.76405235, 0.40015721],
    "Y": [1, 0],
    "W1": [[-0.67746455, 0.37769425, -0.07365253], [-0.53663519, 0.60920496, 0.21149622]],
    "W2": [[-0.41491732, -0.30992816], [-0.31583913, -0.27706468], [-0.44701662, 0.15231059]],
    "z1": [-1.40982136, 0.91005018, -0.04529517],
    "h1": [0.19626223, 0.71301043, 0.48867814],
    "z2": [-0.52507645, -0.18394635],
    "h2": [0.37166596, 0.45414264],
    "-(y - h2)": [-0.62833404, 0.45414264],
    "h2(1 - h2)": [0.23353037, 0.2478971],
    "dL/dW2": [[-0.02879856, 0.02209533], [-0.10462365, 0.08027117], [-0.07170623, 0.0550157]],
    "W2 after": [[-0.41488852, -0.30995026], [-0.31573451, -0.27714495], [-0.44694491, 0.15225557]],
    "dL/dh1": [0.02599101, 0.01515256, 0.08274025],
    "h1(1 - h1)": [0.15774337, 0.20462656, 0.24987182],
    "dL/dW1": [[0.00723246, 0.00546965, 0.03647082], [0.00164061, 0.00124073, 0.00827303]],
    "W1 after": [[-0.67747178, 0.37768878, -0.073689], [-0.53663683, 0.60920372, 0.21148795]],
}


def settings_of(run: dict) -> dict:
    return {name: run[name] for name in ("hidden", "learning_rate", "reg", "rows", "seed")}


def assert_follows(history: fastmlp.History, entries: list[dict], rtol: float, last: int) -> int:
    """The history has the entries' losses and accuracies up to an epoch; returns how many were compared."""
    compared = [entry for entry in entries if entry["epoch"] <= last]
    at = [entry["epoch"] - 1 for entry in compared]
    np.testing.assert_allclose(history.loss[at], [entry["loss"] for entry in compared], rtol=rtol)
    np.testing.assert_array_equal(history.accuracy[at], [entry["accuracy"] for entry in compared])
    return len(compared)


# ---- the worked example ----------------------------------------------------------------------------------


def test_the_worked_example_has_the_articles_names():
    assert list(article.worked_example()) == list(WORKED_EXAMPLE)


@pytest.mark.parametrize("name", WORKED_EXAMPLE)
def test_the_worked_example(name):
    value = article.worked_example()[name]
    assert value.dtype == np.float64
    assert value.shape == np.shape(WORKED_EXAMPLE[name])
    # The pictures print eight digits: half of the last one.
    np.testing.assert_allclose(value, WORKED_EXAMPLE[name], rtol=0, atol=0.5000001e-8)


def test_the_data():
    X, y = article.data()
    assert X.shape == y.shape == (300, 2)
    np.testing.assert_array_equal(y.sum(axis=1), 1)
    np.testing.assert_array_equal(y[:, 1] == 1, (X > 0).sum(axis=1) == 1)


@pytest.mark.parametrize("hidden", [1, 3, 50])
def test_the_initial_weights(hidden):
    W1, W2 = article.initial_weights(hidden)
    assert (W1.shape, W2.shape) == ((2, hidden), (hidden, 2))
    assert np.abs(W1).max() <= 1 / np.sqrt(2)
    assert np.abs(W2).max() <= 1 / np.sqrt(hidden)
    assert (article.initial_weights(hidden, seed=1)[0] != W1).any()


# ---- trajectories ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), CHECKED)
def test_trajectories(name, kind, backend, usable_backends):
    # The reference takes some 50 microseconds per epoch, and one build to go as far as the article is enough.
    last = 20_000 if backend == usable_backends[-1] != places.backend.REFERENCE else 1_000
    run = RUNS[name]
    net = article.train(**settings_of(run), epochs=last, ridge=RIDGE[kind], backend=backend)
    assert len(net.history) == last
    # 1e-9 is what is promised; some 5e-16 is found, since these runs do not amplify roundings (see below).
    assert assert_follows(net.history, run[kind], 1e-9, last) == (6 if last == 1_000 else 9)


@pytest.fixture(scope="module")
def exploded():
    with pytest.warns(fastmlp.DivergenceWarning, match=r"in epoch 10\d{4}, batch 1; training was stopped") as warned:
        net = article.train(**settings_of(EXPLODING), epochs=105_000)
    assert len(warned) == 1
    return net


@pytest.mark.slow
def test_the_published_ridge_term_explodes_where_the_article_does(exploded):
    entries = EXPLODING["published_ridge"]
    # These runs do not amplify errors: weights off by 1e-12 from the start change the loss of epoch 100,000 by
    # 7e-13 of itself. The kernels' roundings, 1e-16 a step with either sign, grow to some 1e-14 in 1e5 steps.
    assert assert_follows(exploded.history, entries, 1e-11, 100_000) == len(entries) - 1
    assert np.isnan(entries[-1]["loss"])
    assert 100_000 < len(exploded.history) < 105_000
    assert not np.isfinite(exploded.history.loss[-1])
    assert np.isfinite(exploded.history.loss[:-1]).all()
    assert np.isfinite(exploded.params).all()


@pytest.mark.slow
def test_the_loss_falls_before_it_explodes(exploded):
    loss = exploded.history.loss
    assert loss[89_999] == pytest.approx(0.2262, abs=5e-5)
    assert loss[99_999] == pytest.approx(0.2550, abs=5e-5)
    assert loss[-2] > 1e10


@pytest.mark.slow
def test_the_true_gradient_does_not_explode():
    net = article.train(**settings_of(EXPLODING), epochs=150_000, ridge="true")
    entries = EXPLODING["true_ridge_gradient"]
    assert assert_follows(net.history, entries, 1e-11, 150_000) == len(entries)  # the tolerance as above
    assert len(net.history) == 150_000
    assert np.isfinite(net.history.loss).all()
    # A step that is short enough makes no loss rise; 1e-12 leaves room for the roundings of a loss that stands still.
    assert np.diff(net.history.loss).max() < 1e-12


# ---- train -----------------------------------------------------------------------------------------------


def test_without_a_penalty_both_ridge_terms_are_the_same_bits(backend):
    published, true = (article.train(epochs=300, ridge=ridge, backend=backend) for ridge in article.RIDGES)
    np.testing.assert_array_equal(published.params, true.params)
    np.testing.assert_array_equal(published.history.loss, true.history.loss)


def test_with_a_penalty_they_are_not():
    published, true = (article.train(epochs=1, reg=0.1, ridge=ridge) for ridge in article.RIDGES)
    assert published.history.loss[0] == true.history.loss[0]
    W1, _ = article.initial_weights()
    # The published term is one number for all weights of a layer: λ ΣW² against λ W, times the rate.
    difference = published.weights[0] - true.weights[0]
    np.testing.assert_allclose(difference, -0.003 * 0.1 * ((W1**2).sum() - W1), rtol=1e-11)


def test_the_history_is_the_articles(backend):
    X, y = article.data()
    net = article.train(hidden=5, epochs=20, rows=40, learning_rate=0.1, reg=0.01, backend=backend)
    earlier = article.train(hidden=5, epochs=19, rows=40, learning_rate=0.1, reg=0.01, backend=backend)
    assert len(net.history) == 20
    # The loss of the trained rows before the last step; another order of sums: a few roundings.
    np.testing.assert_allclose(net.history.loss[-1], earlier.loss(X[:40], y[:40]), rtol=1e-14)
    assert net.history.accuracy[-1] == net.score(X, y)
    assert net.history.accuracy[-2] == earlier.score(X, y)
    np.testing.assert_allclose(net.history.learning_rate, 0.1 * 40, rtol=1e-15)
    assert net.history.val_loss is None
    assert net.history.val_accuracy is None


def test_the_network_is_the_articles():
    net = article.train(hidden=4, epochs=1)
    assert net.sizes == (2, 4, 2)
    assert net.activations == ("sigmoid", "sigmoid")
    assert net.biases == ()
    assert net.dtype == np.float64
    assert net.classes_.tolist() == [0, 1]
    assert set(net.predict(article.data()[0])) <= {0, 1}


@pytest.mark.parametrize(
    ("frames", "epochs", "kept"),
    [
        (0, 10, []),
        (1, 10, [0]),
        (2, 10, [0, 10]),
        (3, 10, [0, 5, 10]),
        (6, 100, [0, 20, 40, 60, 80, 100]),
        (50, 4, [0, 1, 2, 3, 4]),
    ],
)
def test_frames(frames, epochs, kept, backend):
    net = article.train(epochs=epochs, frames=frames, backend=backend)
    assert [epoch for epoch, _ in net.history.frames] == kept
    for epoch, params in net.history.frames:
        assert not np.shares_memory(params, net.params)
        if epoch == 0:
            expected = np.concatenate([weights.ravel() for weights in article.initial_weights()])
        else:
            expected = article.train(epochs=epoch, backend=backend).params
        np.testing.assert_array_equal(params, expected)
    plain = article.train(epochs=epochs, backend=backend)
    np.testing.assert_array_equal(net.params, plain.params)
    np.testing.assert_array_equal(net.history.loss, plain.history.loss)


def test_progress_tells_the_accuracy_over_all_points():
    seen = []
    net = article.train(epochs=50, progress=seen.append)
    assert (seen[-1].epoch, seen[-1].epochs) == (50, 50)
    assert seen[-1].loss == net.history.loss[-1]
    assert seen[-1].val_accuracy == net.history.accuracy[-1]


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"hidden": 0}, ValueError, "^hidden: got 0"),
        ({"hidden": 2.0}, TypeError, "^hidden: got 2.0"),
        ({"learning_rate": -1}, ValueError, "^learning_rate: got -1"),
        ({"learning_rate": np.nan}, ValueError, "^learning_rate: got nan"),
        ({"reg": -1e-4}, ValueError, "^reg: got -0.0001"),
        ({"rows": 0}, ValueError, "^rows: got 0, expected a whole number of at least 1 and at most 300"),
        ({"rows": 301}, ValueError, "^rows: got 301"),
        ({"epochs": 0}, ValueError, "^epochs: got 0"),
        ({"epochs": "9"}, TypeError, "^epochs: got '9'"),
        ({"seed": -1}, ValueError, "^seed: got -1"),
        ({"seed": 2**32}, ValueError, "^seed: got 4294967296"),
        ({"ridge": "publised"}, ValueError, "^ridge: got 'publised', .*did you mean 'published'"),
        ({"frames": -1}, ValueError, "^frames: got -1"),
        ({"progress": 3}, TypeError, "^progress: got 3"),
        ({"backend": "x87"}, ValueError, "^backend: got 'x87'"),
    ],
    ids=str,
)
def test_refusals(settings, kind, words):
    with pytest.raises(kind, match=words):
        article.train(**settings)
