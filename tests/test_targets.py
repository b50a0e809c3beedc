"""Hinge, label smoothing, soft targets, and targets that were not observed: values, gradients and what is equal."""

import math
import warnings

import numpy as np
import pytest
from inside import places

import fastmlp
from fastmlp.losses import LOSSES

NAN = math.nan


def outputs(kernels, z, y, loss, metric, parameters=None, weights=None):
    """Losses, deltas and hits of the output layer."""
    output = {"cross_entropy": 4, "binary_cross_entropy": 1}.get(loss, 0)
    losses, dz, h = np.empty(len(z), z.dtype), np.empty_like(z), np.empty_like(z)
    parameters = None if parameters is None else np.full(z.shape[1], parameters)
    hits = places.output_layer(
        kernels,
        (losses, dz, h, z),
        y,
        weights,
        parameters,
        metric_weights=weights,
        loss=LOSSES[loss].code,
        metric=metric,
        activation=output,
        threshold=LOSSES[loss].threshold,
    )
    return losses, dz, h, hits


def probabilities(rows, classes, seed=0, dtype=np.float64):
    """Rows of probabilities; the first is one-hot, the second even."""
    found = np.random.default_rng(seed).dirichlet(np.ones(classes), rows)
    found[0], found[1] = np.eye(classes)[0], 1 / classes
    return found.astype(dtype)


# ---- hinge -------------------------------------------------------------------------------------------------


def test_hinge_by_hand(kernels, dtype):
    z = np.array([[2.0], [0.25], [-1.0], [0.25], [1.0], [-3.0], [0.0]] * 3, dtype)
    y = np.array([[1.0], [1.0], [1.0], [-1.0], [1.0], [-1.0], [-1.0]] * 3, dtype)
    losses, dz, h, hits = outputs(kernels, z, y, "hinge", 2)
    np.testing.assert_array_equal(losses, [0, 0.75, 2, 1.25, 0, 0, 1] * 3)
    np.testing.assert_array_equal(dz[:, 0], [0, -1, -1, 1, 0, 0, 1] * 3)
    np.testing.assert_array_equal(h, z)
    assert hits == 3 * 5, "of 0 and below, the second class is not meant"


def test_hinge_sums_over_outputs_and_keeps_nan_in_its_row(kernels, dtype):
    z = np.array([[0.5, -2.0, NAN], [0.5, -2.0, 1.5]], dtype)
    losses, dz, _, _ = outputs(kernels, z, np.array([[1, 1, 1], [1, 1, 1]], dtype), "hinge", 0)
    np.testing.assert_array_equal(losses, [NAN, 3.5])
    np.testing.assert_array_equal(dz, [[-1, -1, NAN], [-1, -1, 0]])


@pytest.mark.parametrize(
    "labels", [["no", "yes"], [-1, 1], [-1.0, 1.0], [False, True]], ids=["text", "whole", "float", "bool"]
)
def test_two_classes_share_an_output(backend, labels):
    X, codes = fastmlp.datasets.moons(150, noise=0.1, seed=0)
    y = np.array(labels)[codes]
    net = fastmlp.train(X, y, loss="hinge", hidden=16, learning_rate=0.02, epochs=150, seed=0, backend=backend)
    assert net.sizes[-1] == 1
    assert net.score(X, y) == np.mean(net.predict(X) == y) > 0.97
    assert net.history.accuracy[-1] > 0.95
    np.testing.assert_array_equal(net.classes_, labels)
    signs = np.where(codes, 1, -1)
    expected = np.maximum(0, 1 - signs * net.forward(X)[-1][:, 0]).mean()
    assert net.loss(X, y) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="^predict_proba: got a network trained with loss 'hinge'"):
        net.predict_proba(X)


def test_more_classes_have_one_each_against_the_rest(backend):
    X = np.random.default_rng(0).normal(size=(90, 2)) + np.repeat([[0, 4], [4, 0], [-4, -4]], 30, axis=0)
    y = np.repeat(["a", "b", "c"], 30)
    net = fastmlp.train(X, y, loss="hinge", hidden=(), learning_rate=0.05, epochs=200, seed=0, backend=backend)
    assert net.sizes[-1] == 3
    assert net.score(X, y) == np.mean(net.predict(X) == y) > 0.97
    signs = 2 * np.eye(3)[np.repeat(np.arange(3), 30)] - 1
    expected = np.maximum(0, 1 - signs * net.forward(X)[-1]).sum(axis=1).mean()
    assert net.loss(X, y) == pytest.approx(expected, rel=1e-12)


def test_several_labels_a_row(backend, normal):
    X = normal(80, 4)
    y = (X[:, :3] > 0).astype(int)
    net = fastmlp.train(X, y, loss="hinge", hidden=(), learning_rate=0.05, epochs=200, seed=0, backend=backend)
    np.testing.assert_array_equal(net.predict(X), (net.forward(X)[-1] > 0).astype(int))
    assert net.score(X, y) == np.mean((net.predict(X) == y).all(axis=1)) > 0.9


# ---- label smoothing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3, 11])
def test_smoothing_is_cross_entropy_with_smoothed_targets(kernels, dtype, classes, normal, tolerance):
    z = 3 * normal(37, classes, dtype=dtype)
    labels = np.random.default_rng(0).integers(0, classes, 37).astype(np.int32)
    smoothed = (0.8 * np.eye(classes)[labels] + 0.2 / classes).astype(dtype)
    long = z.astype(np.longdouble)
    log_h = long - np.log(np.exp(long).sum(axis=1, keepdims=True))
    expected = -(smoothed * log_h).sum(axis=1)
    limit = 100 * tolerance("roundoff", dtype)  # sums of `classes` terms of up to 10, exp and log of 4 units
    for y, parameter in ((labels, 0.2), (smoothed, None)):
        losses, dz, h, hits = outputs(kernels, z, y, "cross_entropy", 1, parameter)
        np.testing.assert_allclose(losses, expected.astype(float), rtol=limit, atol=limit)
        np.testing.assert_allclose(dz, (np.exp(log_h) - smoothed).astype(float), rtol=0, atol=limit)
        assert hits == np.sum(z.argmax(axis=1) == labels)
        np.testing.assert_allclose(h.sum(axis=1), 1, rtol=limit)


def test_smoothing_of_binary_targets(kernels, dtype, normal, tolerance):
    z = 4 * normal(37, 2, dtype=dtype)
    y = np.random.default_rng(0).integers(0, 2, (37, 2)).astype(dtype)
    smoothed = 0.7 * y + 0.15
    losses, dz, _, hits = outputs(kernels, z, y, "binary_cross_entropy", 2, 0.3)
    long = z.astype(np.longdouble)
    expected = (np.logaddexp(0, long) - smoothed * long).sum(axis=1)
    limit = 60 * tolerance("roundoff", dtype)  # two terms of up to 13, in ten roundings
    np.testing.assert_allclose(losses, expected.astype(float), rtol=limit, atol=limit)
    np.testing.assert_allclose(dz, (1 / (1 + np.exp(-long)) - smoothed).astype(float), rtol=0, atol=limit)
    assert hits == np.sum(((z > 0) == (y > 0)).all(axis=1)), "what is right has not changed"


def test_smoothing_keeps_outputs_from_the_ends(backend):
    X, y = fastmlp.datasets.moons(100, noise=0.05, seed=0)
    options = {"hidden": 16, "epochs": 300, "learning_rate": 0.02, "seed": 0, "backend": backend}
    for loss in ("cross_entropy", "binary_cross_entropy"):
        plain, smooth = (fastmlp.train(X, y, loss=loss, label_smoothing=s, **options) for s in (0.0, 0.2))
        assert plain.predict_proba(X).max() > 0.99
        assert 0.85 < smooth.predict_proba(X).max() < 0.97, "the best answer to a target of 0.9"
        assert smooth.score(X, y) > 0.97


# ---- soft targets ------------------------------------------------------------------------------------------


def test_soft_targets_of_one_class_are_labels(backend, dtype, normal, tolerance):
    X, labels = normal(50, 4, dtype=dtype), np.random.default_rng(0).integers(0, 3, 50)
    soft = np.eye(3, dtype=dtype)[labels]
    soft[0] = [0.5, 0.5, 0]  # so that they are no one-hot rows
    net = fastmlp.Network((4, 6, 3), loss="cross_entropy", seed=0, backend=backend, dtype=dtype)
    kept = np.ones(50)
    kept[0] = 0
    limit = tolerance("gradient", dtype)
    gradient, expected = net.gradient(X, soft, kept), net.gradient(X, labels, kept)
    assert np.abs(gradient - expected).max() <= limit * np.abs(expected).max()
    assert net.loss(X, soft, kept) == pytest.approx(net.loss(X, labels, kept), rel=tolerance("loss", dtype))
    assert net.score(X, soft, kept) == pytest.approx(net.score(X, labels, kept), rel=1e-12)


def test_soft_targets_are_approximated(backend, dtype):
    y = probabilities(60, 4, dtype=dtype)
    X = np.eye(60, dtype=dtype)
    net = fastmlp.train(
        X,
        y,
        loss="cross_entropy",
        hidden=(),
        learning_rate=fastmlp.schedules.Exponential(0.3, 0.995),
        epochs=1500,
        batch_size="full",
        seed=0,
        backend=backend,
    )
    # A row of its own for every target: what is left is how far 1500 steps came, and the one-hot row is never reached.
    np.testing.assert_allclose(net.predict_proba(X)[1:], y[1:], rtol=0, atol=2e-3)
    np.testing.assert_array_equal(net.predict(X)[2:], y.argmax(axis=1)[2:])
    entropy = -(y * np.log(np.maximum(y, 1e-30))).sum(axis=1).mean()
    assert net.loss(X, y) == pytest.approx(entropy, abs=1e-3)
    np.testing.assert_array_equal(net.classes_, np.arange(4))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("batch", ["full", 16])
def test_kernels_train_on_soft_targets_as_the_reference_does(
    backend, layout, dtype, batch, smoothing, normal, tolerance
):
    X, y = normal(70, 5, dtype=dtype), probabilities(70, 4, dtype=dtype)
    labels = y.argmax(axis=1)
    trained = [
        fastmlp.train(
            X,
            y,
            loss="cross_entropy",
            label_smoothing=smoothing,
            hidden=7,
            activation="tanh",
            batch_size=batch,
            epochs=5,
            seed=0,
            backend=name,
            validation=(X, labels),
            optimizer="sgd",
            learning_rate=0.1,
        )
        for name in (backend, "reference")
    ]
    limit = tolerance("training", dtype)
    assert np.abs(trained[0].params - trained[1].params).max() <= limit * np.abs(trained[1].params).max()
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(getattr(trained[0].history, name), getattr(trained[1].history, name), rtol=limit)
    np.testing.assert_allclose(trained[0].history.val_loss[-1], trained[0].loss(X, labels), rtol=limit)


# ---- targets that were not observed ------------------------------------------------------------------------

MASKED = ["squared_error", "absolute_error", "huber", "log_cosh", "poisson", "gamma", fastmlp.losses.quantile(0.2, 0.7)]


def gaps(y, share=0.3, seed=5):
    """The same with some targets missing, those of a few rows all of them; and which are there."""
    missing = np.random.default_rng(seed).random(y.shape) < share
    missing[3] = missing[7] = True
    holed = y.astype(y.dtype)
    holed[missing] = NAN
    return holed, ~missing


@pytest.mark.parametrize("loss", MASKED, ids=lambda loss: getattr(loss, "name", loss))
def test_one_column_with_gaps_is_its_observed_rows(backend, dtype, loss, normal, targets, tolerance):
    X, y = normal(41, 5, dtype=dtype), targets(getattr(loss, "name", loss), 41, 1, dtype=dtype)[:, 0]
    holed, there = gaps(y)
    each = getattr(loss, "outputs_per_target", 1)
    options = {"activation": "tanh", "loss": loss, "seed": 1, "backend": backend, "dtype": dtype, "l2": 0.4}
    net = fastmlp.Network((5, 6, each), missing_targets="mask", **options)
    whole = fastmlp.Network((5, 6, each), **options)
    assert net.loss(X, holed) == pytest.approx(whole.loss(X[there], y[there]), rel=tolerance("loss", dtype))
    gradient, expected = net.gradient(X, holed), whole.gradient(X[there], y[there])
    assert np.abs(gradient - expected).max() <= tolerance("gradient", dtype) * np.abs(expected).max()
    assert net.score(X, holed) == pytest.approx(whole.score(X[there], y[there]), rel=1e-5)
    given = {"optimizer": "sgd", "learning_rate": 0.05, "batch_size": "full", "epochs": 10}
    net.train(X, holed, validation=(X, holed), **given)
    whole.train(X[there], y[there], validation=(X[there], y[there]), **given)
    limit = tolerance("training", dtype)
    assert np.abs(net.params - whole.params).max() <= limit * np.abs(whole.params).max()
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(getattr(net.history, name), getattr(whole.history, name), rtol=limit)


@pytest.mark.parametrize("loss", [*MASKED[:6], "binary_cross_entropy", "hinge"])
def test_a_gap_has_neither_loss_nor_gradient(backend, layout, dtype, loss, normal, targets, tolerance):
    # Rows cut apart into one for every observed target: the same sum of losses, over as many rows as before.
    X, y = normal(30, 5, dtype=dtype), targets(loss, 30, 3, dtype=dtype)
    holed, there = gaps(y)
    options = {"activation": "tanh", "loss": loss, "seed": 1, "backend": backend, "dtype": dtype}
    net = fastmlp.Network((5, 6, 3), missing_targets="mask", **options)
    gradient = net.gradient(X, holed)
    single = 0
    for row, column in np.argwhere(there):
        alone = np.full((1, 3), NAN, dtype)
        alone[0, column] = y[row, column]
        single = single + net.gradient(X[row : row + 1], alone).astype(np.float64)
    rows = there.any(axis=1).sum()
    limit = tolerance("gradient", dtype)
    assert np.abs(gradient - single / rows).max() <= limit * np.abs(gradient).max()
    full = net.gradient(X, y)
    assert np.abs(full - gradient).max() > 100 * limit, "the gaps do matter"


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "binary_cross_entropy", "hinge"])
@pytest.mark.parametrize("batch", ["full", 16])
def test_kernels_mask_as_the_reference_does(backend, layout, dtype, loss, batch, normal, targets, tolerance):
    X, y = normal(70, 5, dtype=dtype), targets(loss, 70, 3, dtype=dtype)
    holed, _ = gaps(y)
    weights = np.random.default_rng(0).uniform(0, 2, 70)
    nets = [
        fastmlp.Network(
            (5, 7, 3), activation="tanh", loss=loss, seed=1, missing_targets="mask", backend=name, dtype=dtype
        )
        for name in (backend, "reference")
    ]
    for net in nets:
        net.train(
            X,
            holed,
            sample_weight=weights,
            batch_size=batch,
            epochs=4,
            validation=(X, holed),
            optimizer="sgd",
            learning_rate=0.05,
        )
    limit = tolerance("training", dtype)
    assert np.abs(nets[0].params - nets[1].params).max() <= limit * np.abs(nets[1].params).max()
    for name in ("loss", "val_loss", "accuracy", "val_accuracy"):
        first, second = (getattr(net.history, name) for net in nets)
        if first is not None:
            np.testing.assert_allclose(first, second, rtol=0.02 if "accuracy" in name else limit)


def test_accuracy_asks_of_a_row_what_was_observed(kernels, dtype):
    z = np.array([[2.0, -2.0, 2.0]] * 4, dtype)
    y = np.array([[1, 0, 1], [1, NAN, NAN], [0, NAN, 1], [NAN, NAN, NAN]], dtype)
    weights = np.array([1, 1, 1, 0], dtype)
    losses, dz, _, hits = outputs(kernels, z, y, "binary_cross_entropy", 2, None, weights)
    assert hits == 2
    assert np.isfinite(losses).all()
    np.testing.assert_array_equal(dz[np.isnan(y)], 0)


def test_two_classes_with_gaps(backend, normal):
    X = normal(60, 3)
    y = (X[:, 0] > 0).astype(float)
    y[::7] = NAN
    there = ~np.isnan(y)
    net = fastmlp.train(
        X,
        y,
        loss="binary_cross_entropy",
        missing_targets="mask",
        hidden=(),
        learning_rate=0.1,
        epochs=200,
        batch_size="full",
        seed=0,
        backend=backend,
        class_weight={1.0: 2.0},
        metrics=["f1"],
    )
    whole = fastmlp.train(
        X[there],
        y[there],
        loss="binary_cross_entropy",
        hidden=(),
        learning_rate=0.1,
        epochs=200,
        batch_size="full",
        seed=0,
        backend=backend,
        class_weight={1.0: 2.0},
        metrics=["f1"],
    )
    np.testing.assert_allclose(net.params, whole.params, rtol=1e-9)  # 200 steps of Adam amplify roundings
    np.testing.assert_allclose(net.history.metrics["f1"], whole.history.metrics["f1"], rtol=1e-12)
    assert set(net.predict(X)) == {0.0, 1.0}


def test_soft_rows_with_a_gap_do_not_count(backend, normal):
    X, y = normal(30, 4), probabilities(30, 3)
    holed = y.copy()
    holed[4, 1] = holed[9] = NAN
    there = ~np.isnan(holed).any(axis=1)
    nets = [
        fastmlp.Network((4, 5, 3), loss="cross_entropy", seed=0, missing_targets=missing, backend=backend)
        for missing in ("mask", "error")
    ]
    assert nets[0].loss(X, holed) == pytest.approx(nets[1].loss(X[there], y[there]), rel=1e-13)


def test_balance_counts_the_rows_that_were_observed(normal):
    y = np.array([0.0, 1.0, NAN, NAN, 0.0, 1.0, 1.0])
    known = places.checks.targets(y, 7, np.float64, loss="binary_cross_entropy", missing_targets="mask")
    weights = places.checked_rows.checked_weights(None, known.values, known.task)
    samples, _ = places.checked_rows.split(None, (normal(7, 2), known.values, weights), known.task, 0, "balanced")
    np.testing.assert_allclose(samples.weights * 5 / 7, [5 / 4, 5 / 6, 0, 0, 5 / 4, 5 / 6, 5 / 6], rtol=1e-15)
    np.testing.assert_allclose(samples.metric_weights * 5 / 7, [1, 1, 0, 0, 1, 1, 1], rtol=1e-15)
    assert samples.size == pytest.approx(5, rel=1e-15)


def test_one_hot_rows_with_gaps_are_no_column(normal):
    y = [0.0, 1.0, 0.0, NAN]
    net = fastmlp.train(normal(4, 2), y, loss="binary_cross_entropy", missing_targets="mask", epochs=1)
    with pytest.raises(ValueError, match="^y: got nan, nan at row 1; one-hot rows are accepted"):
        net.train(normal(4, 2), np.array([[1, 0], [NAN, NAN], [0, 1], [0, 1.0]]))


@pytest.mark.parametrize(
    ("y", "options", "kind", "words"),
    [
        ([1.0, NAN, 2.0], {}, ValueError, "^y: got nan at row 1; .*missing_targets='mask'"),
        ([1.0, np.inf, 2.0], {"missing_targets": "mask"}, ValueError, "^y: got inf at row 1"),
        ([NAN] * 3, {"missing_targets": "mask"}, ValueError, "^y: got NaN in every place"),
        (
            [1.0, NAN, 2.0],
            {"missing_targets": "mask", "sample_weight": [0, 1, 0]},
            ValueError,
            "^y: got no observed target in any row of a weight above 0",
        ),
        ([1.0, 0.0, 2.0], {"missing_targets": "skip"}, ValueError, "^missing_targets: got 'skip', .*'error', 'mask'"),
        ([1.0, 0.0, 2.0], {"missing_targets": True}, TypeError, "^missing_targets: got True"),
        (
            [1.0, 0.0, 2.0],
            {"label_smoothing": 0.1},
            ValueError,
            "^label_smoothing: got 0.1 with loss 'squared_error', .*'binary_cross_entropy' and 'cross_entropy'",
        ),
        ([0, 1, 2], {"label_smoothing": 1.0}, ValueError, "^label_smoothing: got 1.0"),
        ([0, 1, 1], {"label_smoothing": -0.1}, ValueError, "^label_smoothing: got -0.1"),
        (
            [0, 1, 1],
            {"label_smoothing": 0.1, "loss": "hinge"},
            ValueError,
            "^label_smoothing: got 0.1 with loss 'hinge'",
        ),
        ([0.5, 1.5, 2.5], {"loss": "hinge"}, ValueError, "^y: got 0.5 at row 0 with loss 'hinge'; labels"),
        ([[0.5, 0.6]] * 3, {"loss": "cross_entropy"}, ValueError, "^y: got 0.5, 0.6 at row 0 .*sum to 1"),
        ([[1.5, -0.5]] * 3, {"loss": "cross_entropy"}, ValueError, "^y: got 1.5, -0.5 at row 0"),
        (
            [[0.5, 0.5]] * 3,
            {"loss": "cross_entropy", "class_weight": "balanced"},
            ValueError,
            "^class_weight: got it with soft targets",
        ),
        ([0.0, 1.0, 1.0], {"loss": "hinge", "output": "sigmoid"}, ValueError, "^output: got 'sigmoid'; loss 'hinge'"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_refused(normal, y, options, kind, words):
    with pytest.raises(kind, match=words):
        fastmlp.train(normal(3, 2), y, epochs=1, **options)


@pytest.mark.parametrize("options", [{"label_smoothing": 0.2}, {"missing_targets": "mask"}, {"loss": "hinge"}], ids=str)
def test_files_keep_what_targets_are(tmp_path, normal, options):
    X, y = normal(40, 3), np.random.default_rng(0).integers(0, 3, 40)
    net = fastmlp.train(X, y, hidden=4, epochs=2, seed=0, **options)
    net.save(tmp_path / "net")
    again = fastmlp.load(tmp_path / "net")
    assert again.loss(X, y) == net.loss(X, y)
    np.testing.assert_array_equal(again.predict(X), net.predict(X))
    assert places.task_of(again).missing == places.task_of(net).missing


# ---- a single class --------------------------------------------------------------------------------------


SINGLE = {
    "text": (["a"] * 30, {}, "'a'"),
    "objects": (np.array(["a"] * 30, object), {}, "'a'"),
    "integers": (np.full(30, 7, np.int8), {}, "7"),
    "bools": (np.zeros(30, bool), {}, "False"),
    "a column": (np.full((30, 1), 3), {}, "3"),
    "floats": ([1.0] * 30, {"loss": "binary_cross_entropy"}, "1.0"),
    "zeros": ([0.0] * 30, {"loss": "binary_cross_entropy"}, "0.0"),
    "a column of floats": ([[3.0]] * 30, {"loss": "hinge"}, "3.0"),
    "gaps": ([1.0, NAN, 1.0] * 10, {"loss": "hinge", "missing_targets": "mask"}, "1.0"),
}
LABEL_LOSSES = [name for name, loss in LOSSES.items() if "labels" in loss.targets]


@pytest.mark.parametrize(("y", "options", "shown"), SINGLE.values(), ids=SINGLE)
def test_a_single_class_is_predicted_with_a_warning(backend, dtype, normal, tolerance, y, options, shown, tmp_path):
    X = normal(30, 3, dtype=dtype)
    with pytest.warns(
        UserWarning, match=f"^y: got one single class, {shown}, which is predicted for every row"
    ) as seen:
        net = fastmlp.train(
            X, y, hidden=4, epochs=3, batch_size=8, validation=0.2, metrics=["f1"], seed=0, backend=backend, **options
        )
    assert len(seen) == 1
    (label,) = net.classes_.tolist()
    assert str([label]) == f"[{shown}]"
    net.save(tmp_path / "net")
    for each in (net, fastmlp.load(tmp_path / "net", backend=backend)):
        assert each.predict(X).tolist() == [label] * 30
        assert each.classes_.dtype == net.classes_.dtype
        if LOSSES[net.loss_name].probabilities:
            assert each.predict_proba(X).dtype == dtype
            assert each.predict_proba(X).tolist() == [[1.0]] * 30
        assert each.score(X, y) == 1
    for measured in (net.history.accuracy, net.history.val_accuracy, net.history.metrics["f1"]):
        # Exactly, except with the weights of rows with gaps, whose mean is 1 as far as the dtype goes.
        np.testing.assert_allclose(measured, 1, rtol=0, atol=tolerance("roundoff", dtype))


@pytest.mark.filterwarnings("ignore:y. got one single class")
@pytest.mark.parametrize("loss", [None, *LABEL_LOSSES])
def test_a_network_of_a_single_class_goes_on_and_has_the_gradient_of_its_loss(backend, normal, loss, tolerance):
    X, y = normal(30, 3), ["a"] * 30
    net = fastmlp.train(X, y, hidden=4, activation="tanh", loss=loss, l2=0.1, epochs=2, seed=0, backend=backend)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what it knows already is no news
        net.train(X, y, class_weight="balanced", epochs=1).partial_train(X[:7], y[:7])
    assert set(net.predict(X)) == {"a"}
    with pytest.raises(ValueError, match="^y: got the unknown label 'b' at row 0; the network knows 'a'$"):
        net.train(X, ["b"] * 30)
    assert fastmlp.diagnostics.check_gradient(net, X, y).error <= tolerance("finite differences", np.float64)
    if loss in (None, "cross_entropy"):  # the softmax of one output is 1, exactly: what is left is the penalty
        assert net.loss_name == "cross_entropy"
        weights = sum(np.square(w).sum() for w in net.weights)
        assert net.loss(X, y) == pytest.approx(0.1 / 60 * weights, rel=tolerance("loss", np.float64))


def test_numbers_and_columns_that_are_constant_are_no_single_class(normal):
    X = normal(30, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fastmlp.train(X, np.full(30, 2.0), epochs=1).classes_ is None
        assert fastmlp.train(X, np.full(30, 2), loss="huber", epochs=1).classes_ is None
        one_hot = np.zeros((30, 3), int)
        one_hot[:, 1] = 1
        assert fastmlp.train(X, one_hot, epochs=1).classes_.tolist() == [0, 1, 2]
        assert fastmlp.train(X, np.tile([1, 0, 1], (30, 1)), epochs=1).classes_ is None


def test_a_network_may_be_made_for_a_single_class(backend):
    net = fastmlp.Network((2, 3, 1), loss="cross_entropy", classes=["a"], backend=backend)
    assert net.train(np.eye(2), ["a", "a"], epochs=1).predict(np.eye(2)).tolist() == ["a", "a"]


# ---- labels that look like numbers, and numbers that look like labels ------------------------------------


def number_of_warnings(y, **options):
    """How often a training run warns of y, and where."""
    options = {"hidden": 2, "epochs": 1, "seed": 0} | options
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fastmlp.train(np.ones((len(y), 1)), y, **options)
    assert all(warning.category is UserWarning and warning.filename == __file__ for warning in caught)
    return [str(warning.message) for warning in caught]


MANY = np.arange(104) % 21  # 21 values in fewer than 5 rows each, on average


@pytest.mark.parametrize(
    "y",
    [MANY, MANY.tolist(), MANY[:, None], MANY.astype(np.uint8), MANY.astype(object), -MANY, np.arange(300)],
    ids=["int64", "list", "column", "uint8", "objects", "negative", "all different"],
)
def test_whole_numbers_of_many_values_warn(y):
    (message,) = number_of_warnings(y)
    assert message == (
        f"y: got {len(y)} whole numbers, which are taken as labels of {len(np.unique(y))} classes; to fit them as "
        "numbers, pass y.astype(float); if they are labels, pass loss='cross_entropy'"
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("shape", [(6,), (6, 1)], ids=str)
def test_floats_of_exactly_0_and_1_warn(dtype, shape):
    (message,) = number_of_warnings(np.array([1, 0, 1, 1, 0, 0], dtype).reshape(shape))
    assert message.startswith("y: got floats that are exactly 0 and 1, which are taken as numbers; ")
    assert "2 classes" in message
    assert "loss='binary_cross_entropy'" in message


@pytest.mark.parametrize(
    ("y", "options"),
    [
        (np.arange(105) % 21, {}),  # 5 rows each
        (np.arange(40) % 20, {}),  # 20 values
        (MANY.astype(float), {}),
        (MANY.astype(str), {}),
        (MANY, {"loss": "cross_entropy"}),
        (MANY, {"loss": "huber"}),
        (np.eye(2, dtype=int)[[0, 1, 1]], {}),
        (np.array([True, False, True]), {}),
        (np.array([0, 1, 1]), {}),
        (np.array([0.0, 1.0, 0.5]), {}),
        (np.array([0.0, 1.0, 1 + 1e-15]), {}),
        (np.array([0.0, 0.0, 0.0]), {}),
        (np.array([1.0, 1.0]), {}),
        (np.array([0.0, 2.0]), {}),
        (np.array([[0.0, 1.0], [1.0, 0.0]]), {}),
        (np.array([0.0, 1.0, NAN]), {"missing_targets": "mask"}),
        (np.array([0.0, 1.0]), {"loss": "squared_error"}),
        (np.array([0.0, 1.0]), {"loss": "binary_cross_entropy"}),
    ],
)
def test_no_other_targets_warn(y, options):
    assert number_of_warnings(y, **options) == []


def test_categories_are_labels_and_do_not_warn():
    pandas = pytest.importorskip("pandas")
    assert number_of_warnings(pandas.Series(MANY, dtype="category")) == []
    assert number_of_warnings(pandas.Series([0.0, 1.0, 1.0], dtype="category")) == []
    (message,) = number_of_warnings(pandas.Series(MANY))
    assert "21 classes" in message
