"""Gradient checks that find what is wrong, layers' health, and the way back from a divergence."""

import itertools
import re
import warnings

import numpy as np
import pytest
from inside import places

import fastmlp
from fastmlp import diagnostics, losses
from fastmlp.activations import HIDDEN_ACTIVATIONS

LOSSES = [(name, output) for name, loss in losses.LOSSES.items() for output in loss.outputs]
LOSSES += [(losses.huber(0.4), None), (losses.quantile(0.2, 0.7), None)]
# A training's own gradient is checked: what it adds to the loss (penalties), leaves out (dropout) and what targets are.
FURTHER = [{}, {"l1": 0.4, "l2": 0.6}, {"dropout": 0.3}, {"dropout": (0.2, 0.6), "l2": 0.7}]


# ---- check_gradient ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
@pytest.mark.parametrize(("loss", "output"), LOSSES, ids=str)
@pytest.mark.sampled(10)
def test_every_combination(backend, activation, loss, output, normal, targets):
    X, y = normal(9, 3, seed=7), targets(loss, 9, 2)
    for further in FURTHER:
        net = fastmlp.Network(
            (3, 5, 4, 2), activation=activation, loss=loss, output=output, seed=4, backend=backend, **further
        )
        check = diagnostics.check_gradient(net, X, y)
        assert check.ok, check
        assert check.entries == len(net.params)


@pytest.mark.parametrize("clip", [{"clip_norm": 0.03}, {"clip_value": 0.01}], ids=str)
@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
@pytest.mark.parametrize(("loss", "output"), LOSSES, ids=str)
@pytest.mark.sampled(10)
def test_a_clipped_step_follows_the_checked_gradient(backend, activation, loss, output, clip, normal, targets):
    # What check_gradient checks is what a step follows, once it is cut: dropout, penalties and clipping together.
    X, y = normal(20, 3, seed=7), targets(loss, 20, 2)
    net = fastmlp.Network(
        (3, 5, 4, 2),
        activation=activation,
        loss=loss,
        output=output,
        seed=4,
        backend=backend,
        l1=0.1,
        l2=0.2,
        dropout=0.3,
    )
    assert diagnostics.check_gradient(net, X, y).ok
    gradient, before = places.dropped_gradient(net, X, y), net.params.copy()
    net.train(X, y, optimizer="sgd", learning_rate=1.0, epochs=1, batch_size="full", **clip)
    if "clip_norm" in clip:
        expected = gradient * min(1, 0.03 / (np.linalg.norm(gradient) + 1e-6))
    else:
        expected = np.clip(gradient, -0.01, 0.01)
    # differences of parameters of order 1
    np.testing.assert_allclose(before - net.params, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("options", [{"label_smoothing": 0.2}, {"missing_targets": "mask"}], ids=str)
def test_what_targets_may_be(backend, options, normal, targets):
    X = normal(9, 3)
    soft = np.random.default_rng(0).dirichlet(np.ones(3), 9)
    for loss, y in (("cross_entropy", soft), ("cross_entropy", soft.argmax(axis=1)), ("binary_cross_entropy", None)):
        if loss == "binary_cross_entropy":
            y = (soft > 0.3).astype(float)
            if "missing_targets" in options:
                y[::2, 1] = np.nan
        net = fastmlp.Network((3, 5, 3), activation="silu", loss=loss, seed=4, backend=backend, **options)
        weights = np.arange(9) % 3
        assert diagnostics.check_gradient(net, X, y).ok
        assert diagnostics.check_gradient(net, X, y, weights).ok


def test_a_wrong_gradient_is_found_and_named(monkeypatch, normal):
    X, y = normal(12, 3), normal(12, 2, seed=1)
    net = fastmlp.Network((3, 4, 2), activation="tanh", seed=0)
    given = places.model.Model.differentiate
    # W1 has 12 entries, b1 4, W2 8: entry 16 + 2 * 2 + 1 is W2[2, 1], entry 13 is b1[1].
    for place, name, layer, index in ((21, "weights", 2, (2, 1)), (13, "biases", 1, (1,)), (0, "weights", 1, (0, 0))):

        def wrong(self, *arguments, place=place, **options):
            objective, gradient = given(self, *arguments, **options)
            gradient[place] += 1e-3
            return objective, gradient

        monkeypatch.setattr(places.model.Model, "differentiate", wrong)
        check = diagnostics.check_gradient(net, X, y)
        assert not check.ok
        assert (check.layer, check.name, check.index) == (layer, name, index)
        assert check.gradient - check.difference == pytest.approx(1e-3, rel=1e-4)
        assert "is NOT that of the loss" in str(check)
        assert f"layer {layer} {name}[{', '.join(map(str, index))}]" in str(check)


def test_the_articles_ridge_term_does_not_pass(monkeypatch):
    X, y = (values[:20] for values in fastmlp.article.data())
    net = fastmlp.Network((2, 3, 2), activation="sigmoid", output="sigmoid", bias=False, l2=0.5, seed=0)
    assert diagnostics.check_gradient(net, X, y).ok
    given = places.model.Model.settings
    monkeypatch.setattr(places.model.Model, "settings", lambda self, size: given(self, size) | {"published_ridge": 1})
    assert not diagnostics.check_gradient(net, X, y).ok


def test_float32_networks_are_checked_in_float64_and_not_changed(normal):
    X, y = normal(10, 3, dtype=np.float32), normal(10, 1, dtype=np.float32, seed=1)
    net = fastmlp.Network((3, 6, 1), dtype=np.float32, seed=0)
    before = net.params.copy()
    assert diagnostics.check_gradient(net, X, y).error < 1e-9
    np.testing.assert_array_equal(net.params, before)


def test_of_a_large_gradient_some_entries_are_drawn(normal):
    X, y = normal(5, 20), normal(5, 1, seed=1)
    net = fastmlp.Network((20, 30, 1), seed=0)
    check = diagnostics.check_gradient(net, X, y, entries=40)
    assert check.ok
    assert check.entries == 40
    with pytest.raises(ValueError, match="^entries: got 0"):
        diagnostics.check_gradient(net, X, y, entries=0)
    with pytest.raises(ValueError, match="^X: got 3 columns"):
        diagnostics.check_gradient(net, X[:, :3], y)


# ---- layers' norms in the history --------------------------------------------------------------------------


@pytest.mark.parametrize("batch", ["full", 32])
def test_norms_of_layers_by_hand(backend, layout, dtype, batch, normal, tolerance):
    X, y = normal(96, 4, dtype=dtype), np.random.default_rng(0).integers(0, 3, 96)
    net = fastmlp.Network(
        (4, 7, 6, 3), activation=("tanh", "gelu"), loss="cross_entropy", l2=0.5, seed=0, dtype=dtype, backend=backend
    )
    size = 96 if batch == "full" else 32
    steps = []

    def remember(state):
        steps.append(state.params.copy())

    net.train(X, y, batch_size=batch, epochs=3, shuffle=False, learning_rate=0.01, callbacks=[remember])
    history = net.history
    np.testing.assert_array_equal(history.layer_epochs, [0, 1, 2])
    assert history.layer_gradient_norms.shape == history.layer_activations.shape == (3, 3)
    limit = 10 * tolerance("training", dtype)
    np.testing.assert_allclose(np.linalg.norm(history.layer_gradient_norms, axis=1), history.gradient_norm, rtol=limit)
    if batch == "full":  # of epoch 1 the weights that it began with are known
        net.params = steps[0]
        gradient, at = net.gradient(X, y), 0
        for layer, w in enumerate(net.weights):
            size_of_layer = w.size + w.shape[1]
            expected = np.linalg.norm(gradient[at : at + size_of_layer].astype(np.float64))
            assert history.layer_gradient_norms[1, layer] == pytest.approx(expected, rel=limit)
            at += size_of_layer
        for layer, h in enumerate(net.forward(X[-size:])):
            expected = np.sqrt(np.mean(h.astype(np.float64) ** 2))
            assert history.layer_activations[1, layer] == pytest.approx(expected, rel=limit)


@pytest.mark.parametrize(
    ("rows", "batch", "every"), [(40, "full", 64), (40, 10, 16), (40, 1, 2), (48, 16, 22), (64, 1, 1)]
)
def test_which_epochs_are_noted(rows, batch, every, normal):
    X, y = normal(rows, 2), normal(rows, seed=1)
    options = {"batch_size": batch, "seed": 0}
    net = fastmlp.Network((2, 3, 1), seed=0)
    net.train(X, y, epochs=150, **options)
    expected = [epoch for epoch in range(150) if epoch < 16 or epoch % every == 0]
    np.testing.assert_array_equal(net.history.layer_epochs, expected)
    assert np.isfinite(net.history.layer_gradient_norms).all()
    assert (net.history.layer_activations >= 0).all()
    parts = fastmlp.Network((2, 3, 1), seed=0)
    for epochs in (1, 60, 7, 82):
        parts.train(X, y, epochs=epochs, **options)
    for name in ("layer_epochs", "layer_gradient_norms", "layer_activations"):
        np.testing.assert_array_equal(getattr(parts.history, name), getattr(net.history, name))
    assert places.layout.noted_epochs(70, 0, 1)[1].size == 0


# ---- health ------------------------------------------------------------------------------------------------


def test_a_network_that_is_well():
    X, y = fastmlp.datasets.moons(200, noise=0.1, seed=0)
    net = fastmlp.train(X, y, hidden=(16, 8), activation="tanh", learning_rate=0.01, epochs=80, seed=0)
    found = diagnostics.health(net)
    assert found.ok
    assert found.rows == 200
    assert [layer.units for layer in found.layers] == [16, 8, 1]
    for number, layer in enumerate(found.layers):
        np.testing.assert_array_equal(layer.gradient_norms, net.history.layer_gradient_norms[:, number])
        assert layer.weight_norm == pytest.approx(np.linalg.norm(net.weights[number]))
    lines = str(found).splitlines()
    assert len(lines) == 5
    assert lines[-1] == "nothing is wrong"
    assert repr(found) == str(found), "a prompt shows the table"
    assert "array" not in repr(found.layers)
    assert repr(found.layers[0]).startswith("LayerHealth(layer=1, activation='tanh', units=16, weight_norm=")


def test_dead_units_are_named(backend):
    X, y = fastmlp.datasets.moons(200, noise=0.1, seed=0)
    net = fastmlp.Network((2, 6, 4, 1), loss="binary_cross_entropy", seed=0, backend=backend)
    net.train(X, y, epochs=2)
    net.biases[0][1] = -100
    found = diagnostics.health(net)
    np.testing.assert_array_equal(found.layers[0].dead, [1])
    assert not found.findings, "a few dead units are no harm"
    net.biases[0][4] = -100
    (finding,) = [finding for finding in diagnostics.health(net).findings if "layer 1" in finding]
    assert "layer 1 has 2 dead relu units of 6 (1, 4)" in finding
    assert "change first: a smaller learning_rate, then activation='leaky_relu'" in finding
    leaky = fastmlp.train(X, y, hidden=6, activation="leaky_relu", epochs=2, seed=0)
    leaky.biases[0][:] = -100
    assert not len(diagnostics.health(leaky).layers[0].dead), "leaky units are never dead"


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "hard_tanh"])
def test_saturated_units_are_named(activation):
    X, y = fastmlp.datasets.moons(200, noise=0.1, seed=0)
    net = fastmlp.train(1000 * X, y, hidden=12, activation=activation, learning_rate=1e-6, epochs=3, seed=0)
    found = diagnostics.health(net)
    assert found.layers[0].saturated > 0.9
    (finding,) = [text for text in found.findings if "layer 1 is" in text]
    assert finding.startswith(f"layer 1 is saturated: {found.layers[0].saturated:.0%} of its {activation} outputs are")
    assert "change first: features scaled" in finding


def test_a_vanishing_gradient_is_named():
    X, y = fastmlp.datasets.moons(200, noise=0.1, seed=0)
    net = fastmlp.train(X, y, hidden=(8,) * 12, activation="sigmoid", epochs=20, seed=0)
    found = diagnostics.health(net)
    vanishing = [text for text in found.findings if "is vanishing" in text]
    assert vanishing
    assert vanishing[0].startswith("layer 1 is vanishing: its gradient is ")
    assert "change first: activation='relu' or 'gelu' with init='he_uniform', then fewer layers" in vanishing[0]
    better = fastmlp.train(X, y, hidden=(8,) * 12, activation="tanh", epochs=20, seed=0)
    assert not [text for text in diagnostics.health(better).findings if "is vanishing" in text]


def test_an_exploding_layer_is_named(normal):
    X = normal(100, 4)
    with pytest.warns(fastmlp.DivergenceWarning):
        net = fastmlp.train(
            X,
            X[:, 0],
            hidden=(8, 8),
            activation="identity",
            optimizer="sgd",
            learning_rate=0.8,
            epochs=60,
            seed=0,
            batch_size="full",
        )
    found = diagnostics.health(net)
    words = "the last training run diverged: the loss grew beyond use; change first: a smaller learning_rate, then "
    assert found.findings[0].startswith(words)
    words = "change first: a smaller learning_rate, then clip_norm=1.0, then fewer layers"
    assert any("is exploding" in text and words in text for text in found.findings)
    net.params[:] = np.inf
    findings = diagnostics.health(net, X).findings
    assert any("layer 1 has exploded: its weights are not finite" in text for text in findings)


def test_an_untrained_network_can_be_looked_at(normal):
    net = fastmlp.Network((4, 3, 1), seed=0)
    found = diagnostics.health(net)
    assert (found.rows, found.ok) == (0, True)
    assert diagnostics.health(net, normal(10, 4)).rows == 10
    assert "-" in str(found)


def findings(net, X=None):
    """What is found of a network, without what to change first, which each finding must say."""
    found = diagnostics.health(net, X).findings
    assert all("; change first: " in text and "\n" not in text for text in found)
    return [text.split(";")[0] for text in found]


MOONS = fastmlp.datasets.moons(200, noise=0.1, seed=0)


@pytest.mark.parametrize("start", [0.0, 0.3])
@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
def test_identical_units_are_named(backend, dtype, activation, start):
    options = {"activation": activation, "epochs": 20, "seed": 0, "dtype": dtype, "backend": backend}
    net = fastmlp.train(*MOONS, hidden=(6, 6), init=np.full(67, start), **options)
    found = findings(net)
    for layer in (1, 2):
        assert f"layer {layer} has 6 units that are all identical, and stay so" in found
    np.testing.assert_array_equal(diagnostics.health(net).layers[0].repeated, range(1, 6))
    assert not [text for text in findings(fastmlp.train(*MOONS, hidden=(6, 6), **options)) if "ident" in text]


@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
def test_units_that_repeat_another_one_are_named(activation):
    net = fastmlp.Network((2, 8, 1), activation=activation, seed=0)
    assert not findings(net)
    odd = activation in ("identity", "sigmoid", "tanh", "hard_sigmoid", "hard_tanh")
    for sign, repeats in ((1, True), (-1, odd)):
        net.weights[0][:, 5], net.biases[0][5] = sign * net.weights[0][:, 2], sign * net.biases[0][2]
        assert findings(net) == (["layer 1 repeats 1 of its 8 units (5)"] if repeats else [])


def test_units_that_a_penalty_has_emptied_are_no_repeats():
    net = fastmlp.Network((2, 8, 1), bias=False, seed=0)
    net.weights[0][:, [1, 4, 6]] = 0
    assert not findings(net)
    net.weights[0][:] = 0
    assert findings(net) == ["layer 1 has 8 units that are all identical, and stay so"]
    lone = fastmlp.Network((1, 100, 1), bias=False, seed=0)  # single numbers, two of which may be alike by chance
    lone.weights[0][:] = 1
    assert not findings(lone)


def test_layers_without_a_gradient_are_named(backend, dtype):
    net = fastmlp.Network((2, 6, 6, 1), loss="binary_cross_entropy", seed=0, dtype=dtype, backend=backend)
    net.biases[1][:] = -100
    net.train(*MOONS, epochs=5)
    assert findings(net) == [
        "layers without a gradient: 1, 2",
        "layer 2 has 6 dead relu units of 6 (0, 1, 2, 3, 4, ...): no row moves them any more",
        "from layer 2 on the outputs are the same for every row",
    ]
    assert findings(net, MOONS[0][:1])[-1].startswith("layer 2 has 6 dead"), "one row differs from no other one"


def test_what_is_0_or_constant_is_well_if_nothing_is_left_to_learn(backend):
    X = MOONS[0] + np.where(MOONS[1] > 0, 5.0, -5.0)[:, None]
    options = {"loss": "hinge", "hidden": 9, "learning_rate": 0.01, "epochs": 200, "seed": 0, "backend": backend}
    net = fastmlp.train(X, MOONS[1], **options)
    assert net.history.layer_gradient_norms[-1].max() == 0
    assert not findings(net)
    options = {"init": np.zeros(33), "optimizer": "sgd", "learning_rate": 0.5, "epochs": 50, "backend": backend}
    constant = fastmlp.train(X, np.ones(200), hidden=8, **options)
    assert np.ptp(constant.predict(X)) == 0
    assert not [text for text in findings(constant) if "gradient" in text or "outputs" in text]


@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
def test_a_feature_that_dwarfs_the_others_is_named(activation):
    X, y = MOONS[0] * [1, 1e5], MOONS[1]
    net = fastmlp.train(X, y, hidden=8, activation=activation, epochs=20, seed=0)
    first = findings(net)[0]
    assert first.startswith("features of very different sizes: 1 of up to 5.")
    if activation in ("sigmoid", "tanh", "hard_sigmoid", "hard_tanh"):
        assert f"layer 1 is saturated: 100% of its {activation} outputs are flat" in findings(net)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda X: X * 1e4, "features that are not scaled: the middle one is of size "),
        (lambda X: X * 1e-4, "features that are not scaled: the middle one is of size "),
        (lambda X: X + [0, 300], "features far from 0: 1, the first with mean 300 and deviation 0."),
        (
            lambda X: np.column_stack([X, np.zeros(len(X)), 1e200 * X]),
            "features of very different sizes: 3, 4 of up to",
        ),
    ],
)
def test_features_that_are_not_scaled_are_named(change, words):
    X = change(MOONS[0])
    assert findings(fastmlp.Network((X.shape[1], 3, 1), seed=0), X)[0].startswith(words)
    for well in (X * 0, X * 0 + 7, X[:1]):  # what does not vary has no scale of its own
        assert not [text for text in findings(fastmlp.Network((X.shape[1], 3, 1)), well) if "far from" in text]


def test_outputs_that_are_not_finite_are_named(normal):
    net = fastmlp.Network((2, 3, 3, 1), activation="identity", init=1e150 * normal(25, 1)[:, 0])
    assert findings(net, normal(9, 2)) == ["layer 3 has exploded: its outputs are not finite"]


def test_growth_that_lowers_the_loss_is_no_explosion(normal):
    X = normal(200, 4)
    net = fastmlp.train(X, 1000 * X[:, 0] + 1e4, hidden=20, epochs=400, learning_rate=0.05, seed=0)
    sizes = net.history.layer_activations[:, -1]
    assert sizes[-1] > 100 * sizes[0]
    assert not findings(net)


@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
@pytest.mark.parametrize("data", ["iris", "wine", "digits", "diabetes", "xor", "moons"])
@pytest.mark.sampled(20)
def test_no_false_alarm(dtype, activation, data):
    sklearn = pytest.importorskip("sklearn.datasets")
    if data in ("xor", "moons"):
        X, y = getattr(fastmlp.datasets, data)(200, seed=0)
    else:
        X, y = getattr(sklearn, f"load_{data}")(return_X_y=True)
        X = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-3)
        y = (y - y.mean()) / y.std() if data == "diabetes" else y
    for hidden, seed in ((16, 0), ((32, 16), 1), ((), 2)):
        options = {"hidden": hidden, "activation": activation, "learning_rate": 0.003, "epochs": 40, "dtype": dtype}
        assert not findings(fastmlp.train(X, y, seed=seed, **options))


@pytest.mark.parametrize("value", [None, 5, "net", object()], ids=str)
def test_what_is_no_network_is_refused(value, normal):
    with pytest.raises(TypeError, match=r"^network: got .*; a Network is accepted; of an estimator, its network_$"):
        diagnostics.health(value)
    with pytest.raises(TypeError, match=r"^network: got .*; a Network is accepted"):
        diagnostics.check_gradient(value, normal(3, 2), normal(3))


def test_no_more_rows_are_kept_than_it_takes(normal):
    net = fastmlp.train(normal(3000, 5), normal(3000, seed=1), epochs=1, seed=0)
    assert places.kept_rows(net).shape == (256, 5)
    wide = fastmlp.train(normal(300, 2000), normal(300, seed=1), hidden=2, epochs=1, seed=0)
    assert places.kept_rows(wide).size <= 1 << 16
    import pickle

    assert places.kept_rows(pickle.loads(pickle.dumps(net))) is None, "rows are not passed on"


# ---- the way back from a divergence ------------------------------------------------------------------------


def exploding(backend, dtype, *, batch, rows=40, rate=2.5, optimizer="sgd", **options):
    """A linear network whose steps overshoot by more every time: when it ends, and every step's weights."""
    X = np.random.default_rng(0).standard_normal((rows, 3)).astype(dtype)
    net = fastmlp.Network((3, 4, 1), activation="identity", seed=1, dtype=dtype, backend=backend)
    given = {"optimizer": optimizer, "learning_rate": rate, "batch_size": batch, "epochs": 200, **options}
    return net, X, X[:, 0].copy(), given


@pytest.mark.parametrize("batch", [40, 10])
@pytest.mark.parametrize("optimizer", ["sgd", fastmlp.SGD(momentum=0.9)], ids=repr)
@pytest.mark.parametrize("kept", ["replayed", "copied"])
def test_the_last_good_weights_come_back(monkeypatch, backend, dtype, batch, optimizer, kept):
    if kept == "copied":
        places.switch(monkeypatch, replayed_bytes=0, kept_seconds=1e9)
    net, X, y, given = exploding(backend, dtype, batch=batch, optimizer=optimizer)
    twin = fastmlp.Network(net.sizes, activation="identity", seed=1, dtype=dtype, backend=backend)
    first = net.loss(X, y)
    with pytest.warns(fastmlp.DivergenceWarning, match="the loss grew beyond use, to .*, in epoch") as seen:
        net.train(X, y, **given)
    assert np.isfinite(net.params).all()
    assert net.history.loss[-1] > 1e5 * (first + 1), "above 1e6 times in one of at most 4 batches"
    assert net.loss(X, y) < 100 * (first + 1), "10 times on a batch of its own"
    steps = places.position(net, "step")
    if kept == "copied":
        assert steps == 0, "the first moment is kept, and no other one"
        np.testing.assert_array_equal(net.params, twin.params)
        assert "steps before came back" in str(seen[0].message)
        # The optimizer's state did not come back: it begins anew.
        net.train(X, y, **given | {"epochs": 2, "learning_rate": 0.01})
        twin.train(X, y, **given | {"epochs": 2, "learning_rate": 0.01})
        if batch == 40:
            np.testing.assert_array_equal(net.params, twin.params)
        return
    # Step by step, with single steps as trainings of their own: the weights before the explosion, to the bit.
    epochs, batches = divmod(steps, 40 // batch)
    if epochs:
        twin.train(X, y, **given | {"epochs": epochs})
    if batches == 0:
        np.testing.assert_array_equal(net.params, twin.params)
    if batch == 40:
        assert np.isfinite(twin.loss(X, y)), "what comes back has a loss"
    back = re.search(r"the weights (?:before the last step|of (\d+) steps before) came back", str(seen[0].message))[1]
    assert f"batch {(steps + int(back or 1)) % (40 // batch) + 1};" in str(seen[0].message)


@pytest.mark.parametrize("budget", [1, 3, 1000])
def test_wherever_calls_are_cut_the_same_weights_come_back(monkeypatch, budget):
    places.switch(monkeypatch, first_steps=budget)
    places.switch(monkeypatch, max_growth=1)
    places.switch(monkeypatch, kept_seconds=0.0)
    net, X, y, given = exploding(None, np.dtype(np.float64), batch=10)
    with pytest.warns(fastmlp.DivergenceWarning):
        net.train(X, y, **given)
    reference, X, y, given = exploding("reference", np.dtype(np.float64), batch=10)
    places.switch(monkeypatch, first_steps=1000)
    with pytest.warns(fastmlp.DivergenceWarning):
        reference.train(X, y, **given)
    assert places.position(net, "step") == places.position(reference, "step")
    # weights have grown, and roundings with them
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-6)


def test_the_moment_before_the_last_step_is_not_the_only_one(monkeypatch, backend):
    # Of a large network only parameters are kept, and here at every call, the last of them just before the loss that is
    # far above the first one: a moment before that one comes back.
    places.switch(monkeypatch, replayed_bytes=0)
    places.switch(monkeypatch, kept_seconds=0.0)
    places.switch(monkeypatch, copied_bytes_per_second=1e18)
    places.switch(monkeypatch, first_steps=1)
    places.switch(monkeypatch, max_growth=1)
    net, X, y, given = exploding(backend, np.dtype(np.float64), batch=40)
    first = net.loss(X, y)
    with pytest.warns(fastmlp.DivergenceWarning, match="the weights of . steps before came back"):
        net.train(X, y, **given)
    assert net.loss(X, y) <= 10 * (first + 1)


def test_weights_that_are_not_finite_stop_a_training_whose_loss_is(backend):
    # A sigmoid is 1 for an infinite weight too: the loss stays 0.
    X, y = np.full((20, 1), 5, np.float32), np.ones((20, 1), np.float32)
    with pytest.warns(fastmlp.DivergenceWarning, match="in epoch .*1 of whose parameters overflowed"):
        net = fastmlp.train(
            X,
            y,
            hidden=(),
            loss="squared_error",
            output="sigmoid",
            bias=False,
            optimizer=fastmlp.SGD(momentum=0.9),
            learning_rate=3e38,
            batch_size=5,
            epochs=10,
            init=np.zeros(1),
            backend=backend,
            seed=0,
        )
    assert np.isfinite(net.params).all()
    assert net.loss(X, y) < 0.1
    assert net.history.stopped == "the loss stopped being finite"


def test_several_threads_go_back_together(backend):
    nets = []
    for n_threads in (1, 2):
        net, X, y, given = exploding(backend, np.dtype(np.float64), batch=10, n_threads=n_threads)
        with pytest.warns(fastmlp.DivergenceWarning):
            net.train(X, y, **given)
        nets.append(net)
    np.testing.assert_array_equal(nets[0].params, nets[1].params)


def test_a_divergence_is_raised_where_that_is_asked_for(backend):
    net, X, y, given = exploding(backend, np.dtype(np.float64), batch=40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(fastmlp.DivergenceError, match="the loss grew beyond use") as raised:
            net.train(X, y, **given, on_divergence="raise")
        assert raised.value.network is net
        with pytest.raises(fastmlp.DivergenceError) as raised:
            fastmlp.train(
                X,
                y,
                hidden=4,
                activation="identity",
                optimizer="sgd",
                learning_rate=50.0,
                epochs=200,
                seed=1,
                backend=backend,
                on_divergence="raise",
            )
    lost = raised.value.network
    assert np.isfinite(lost.params).all()
    assert len(lost.history) > 1
    with pytest.raises(ValueError, match="^on_divergence: got 'stop', .*'warn', 'raise'"):
        net.train(X, y, on_divergence="stop")


def test_the_best_weights_are_better_than_the_last_good_ones():
    net, X, y, given = exploding(None, np.dtype(np.float64), batch=40, rate=0.7)
    rule = fastmlp.EarlyStopping("loss", patience=1000)
    with pytest.warns(fastmlp.DivergenceWarning, match="the best weights so far came back"):
        net.train(X, y, **given | {"epochs": 5000, "learning_rate": 2.5}, early_stopping=rule)
    assert net.loss(X, y) < 10


def message_of(X, y, **options):
    """What the warning says."""
    with pytest.warns(fastmlp.DivergenceWarning) as seen:
        fastmlp.train(X, y, **{"seed": 0, "optimizer": "sgd", "epochs": 300, "batch_size": "full"} | options)
    assert len(seen) == 1
    assert seen[0].filename == __file__, "the line that called train"
    return str(seen[0].message)


def test_the_likeliest_cause_is_named(normal):
    X = normal(60, 3)
    y = X[:, 0] + X[:, 1]
    linear = {"hidden": (), "learning_rate": 0.1}
    assert "likeliest cause: features reach 2.4" in message_of(1e6 * X / np.abs(X).max() * 2.4, y, **linear)
    assert "scale them" in message_of(1e6 * X, y, **linear)
    assert "likeliest cause: targets reach" in message_of(X, 1e200 * y, **linear)
    text = message_of(X, y, hidden=(), learning_rate=0.5, l2=60 * 6.0, epochs=2000)
    assert "likeliest cause: learning_rate * l2 / N is 3, and from 2 on steps overshoot" in text
    text = message_of(X, y, hidden=(), learning_rate=5.0)
    assert "likeliest cause: a learning_rate of 5; try 0.5" in text
    counts = np.abs(100 * y).round()
    text = message_of(X, counts, loss="poisson", learning_rate=0.05)
    assert "likeliest cause: outputs grow as exp(z); a learning_rate of" in text


def test_the_layer_is_named(normal):
    X = normal(50, 3)
    text = message_of(X, X[:, 0], hidden=(6, 5), activation="identity", learning_rate=20.0)
    assert "it began in the loss of layer 3's outputs, which reach" in text, "its square overflows first"
    # Each layer in turn is made to overflow, with all others as they were.
    for layer, outputs in itertools.product((1, 2, 3), (False, True)):
        net = fastmlp.Network((3, 6, 5, 1), activation="identity", seed=0)
        net.weights[layer - 1][0, 0] = 1e308 if outputs else np.inf
        net.weights[0][0, 0] *= 1.0 if layer == 1 else 1e10
        text = places.divergence_report(net, 100 * X, X[:, :1])
        assert f"it began in layer {layer}" in text
        assert ("1 of whose parameters overflowed" in text) == (not outputs)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "selu", "hard_tanh"])
def test_a_kink_is_called_one(backend, activation):
    # At (0, 0) and with biases of 0 every unit of XOR's first layer stands at z = 0; hard_tanh has its kinks at 1.
    X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), [0, 1, 1, 0]
    net = fastmlp.Network((2, 4, 1), activation=activation, loss="binary_cross_entropy", seed=0, backend=backend)
    for biases in net.biases:
        biases[:] = float(activation == "hard_tanh")
    check = diagnostics.check_gradient(net, X, y)
    assert check.ok, check
    assert {(kink.layer, kink.name) for kink in check.kinks} == {(1, "biases")}
    assert len(check.kinks) == 4
    for kink in check.kinks:
        assert min(kink.left, kink.right) - 1e-9 <= kink.gradient <= max(kink.left, kink.right) + 1e-9
        assert abs(kink.left - kink.right) > 1e-3
    text = str(check)
    assert repr(check) == text
    assert text.startswith("the gradient is that of the loss")
    assert "; 4 are at a kink of the loss, which has no derivative there, such as layer 1 biases[0]: " in text
    assert not diagnostics.check_gradient(net, X + 0.1, y).kinks


def test_a_wrong_gradient_at_a_kink_is_wrong(backend, monkeypatch):
    X, y = np.array([[0.0, 0.0], [0.0, 1.0]]), [0, 1]
    net = fastmlp.Network((2, 4, 1), loss="binary_cross_entropy", seed=0, backend=backend)
    net.biases[0][:] = 0
    given = places.given("differentiate")

    def wrong(model, *arguments, **options):
        objective, gradient = given(model, *arguments, **options)
        gradient[8] += 5  # the first bias
        return objective, gradient

    places.switch(monkeypatch, differentiate=wrong)
    check = diagnostics.check_gradient(net, X, y)
    assert not check.ok
    assert (check.layer, check.name, check.index) == (1, "biases", (0,))
    assert "is NOT that of the loss" in str(check)
