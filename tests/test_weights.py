"""Weights of rows and of classes: a weight of 0 is a row that is not there, a weight of 2 a row that is there twice.

And what a batch's loss and the penalties are divided by.
"""

import numpy as np
import pytest
from inside import places

import fastmlp
from fastmlp.losses import LOSSES


def network(loss, outputs, backend, dtype=np.float64, **options):
    sizes = (5, 6, outputs)
    return fastmlp.Network(sizes, activation="tanh", loss=loss, seed=1, backend=backend, dtype=dtype, **options)


@pytest.mark.parametrize("loss", [*LOSSES.values()], ids=lambda loss: loss.name)
def test_a_weight_is_a_number_of_rows(backend, dtype, loss, normal, targets, tolerance):
    X, y = normal(37, 5, dtype=dtype), targets(loss.name, 37, 3, dtype=dtype)
    net = network(loss, 3, backend, dtype, l2=0.4, l1=0.1)
    counts = np.random.default_rng(0).integers(0, 4, 37)
    X_often, y_often = np.repeat(X, counts, axis=0), np.repeat(y, counts, axis=0)
    np.testing.assert_allclose(net.loss(X, y, counts), net.loss(X_often, y_often), rtol=tolerance("loss", dtype))
    gradient, expected = net.gradient(X, y, counts), net.gradient(X_often, y_often)
    assert np.abs(gradient - expected).max() <= tolerance("gradient", dtype) * np.abs(expected).max()
    # Only the ratios count, but for N.
    plain = network(loss, 3, backend, dtype)
    twice = plain.gradient(X, y, counts * 7)
    assert np.abs(twice - plain.gradient(X, y, counts)).max() <= tolerance("gradient", dtype) * np.abs(twice).max()


@pytest.mark.parametrize("batch", ["full", 16])
@pytest.mark.parametrize("classes", [2, 4])
def test_kernels_train_as_the_reference_does(backend, layout, dtype, classes, batch, normal, tolerance):
    X, y = normal(90, 5, dtype=dtype), np.random.default_rng(1).integers(0, classes, 90)
    weights = np.random.default_rng(2).uniform(0, 3, 90) * (np.arange(90) % 5 > 0)
    options = {
        "hidden": (20, 9),
        "activation": "tanh",
        "sample_weight": weights,
        "class_weight": {1: 2.5},
        "l2": 0.2,
        "epochs": 4,
        "batch_size": batch,
        "seed": 0,
        "optimizer": fastmlp.Adam(epsilon=1e-3),
        "validation": (X[:20], y[:20], weights[:20] + 0.5),
    }
    net, twin = (fastmlp.train(X, y, backend=name, **options) for name in (backend, "reference"))
    limit = tolerance("training", dtype)
    assert np.abs(net.params - twin.params).max() <= limit * np.abs(twin.params).max()
    for name in ("loss", "accuracy", "val_loss", "val_accuracy", "gradient_norm"):
        np.testing.assert_allclose(getattr(net.history, name), getattr(twin.history, name), rtol=10 * limit)
    again = fastmlp.train(X, y, backend=backend, n_threads=3, **options)
    np.testing.assert_array_equal(net.params, again.params)


def test_training_on_weights_is_training_on_repeated_rows(backend, dtype, normal, tolerance):
    X, y = normal(30, 4, dtype=dtype), normal(30, 2, dtype=dtype, seed=1)
    counts = np.arange(30) % 3
    options = {
        "hidden": 7,
        "activation": "tanh",
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "batch_size": "full",
        "epochs": 20,
        "seed": 0,
        "backend": backend,
        "l2": 0.3,
    }
    weighted = fastmlp.train(X, y, sample_weight=counts, **options)
    often = fastmlp.train(np.repeat(X, counts, axis=0), np.repeat(y, counts, axis=0), **options)
    limit = tolerance("training", dtype)
    assert np.abs(weighted.params - often.params).max() <= limit * np.abs(often.params).max()
    np.testing.assert_allclose(weighted.history.loss, often.history.loss, rtol=limit)


@pytest.mark.filterwarnings("ignore:learning_rate. got 0")
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 0.0, 1: 7.0}], ids=str)
@pytest.mark.parametrize("shuffle", [True, False, lambda epoch: np.arange(40)[::-1]], ids=["seed", "no", "callable"])
@pytest.mark.parametrize("weighted", [False, True], ids=["rows alike", "rows weighted"])
def test_accuracy_counts_weights_of_rows_and_not_of_classes(backend, layout, shuffle, class_weight, weighted, normal):
    X, y = normal(40, 3), np.random.default_rng(0).integers(0, 3, 40)
    weights = np.random.default_rng(1).uniform(0, 2, 40) if weighted else np.ones(40)
    options = {"hidden": 4, "learning_rate": 0.0, "epochs": 1, "batch_size": 16, "seed": 0, "backend": backend}
    given = weights if weighted else None
    net = fastmlp.train(X, y, sample_weight=given, class_weight=class_weight, shuffle=shuffle, **options)
    right = net.predict(X) == y
    limit = 1e-12 if weighted else 0  # sums in double, of weights that were scaled
    np.testing.assert_allclose(net.history.accuracy, [weights[right].sum() / weights.sum()], rtol=limit)


def test_hits_have_weights_of_their_own(kernels, dtype):
    z = np.array([[2.0, 0.0, -1.0], [0.0, 1.0, 3.0], [0.0, 4.0, 1.0]] * 9, dtype)
    y, weights = np.array([0, 1, 1] * 9, np.int32), np.arange(27).astype(dtype)
    right, found = y == z.argmax(axis=1), []
    for losses_by, hits_by in ((None, None), (weights, None), (None, weights), (weights, weights**2)):
        losses, dz, h = np.empty(27, dtype), np.empty_like(z), np.empty_like(z)
        choices = {"loss": LOSSES["cross_entropy"].code, "metric": 1, "metric_weights": hits_by}
        hits = places.output_layer(kernels, (losses, dz, h, z), y, losses_by, None, **choices)
        assert hits == (right if hits_by is None else hits_by * right).sum()  # whole numbers, whose sum is exact
        found.append(losses)
    np.testing.assert_array_equal(found[1], found[0] * weights)
    np.testing.assert_array_equal(found[2], found[0])
    np.testing.assert_array_equal(found[3], found[1])


def test_metrics_are_not_weighed_by_class(backend, normal):
    X, y = normal(60, 3), np.arange(60) % 2
    seen = []

    def share(y, predicted):  # which takes no weights
        seen.append(len(y))
        return np.mean(y == predicted)

    options = {"hidden": 4, "epochs": 2, "seed": 0, "backend": backend, "class_weight": {1: 9.0}}
    options["validation"] = (X[:20], y[:20])
    net = fastmlp.train(X, y, metrics=["accuracy", "f1", share], **options)
    assert seen == [60, 20, 60, 20]
    for name in ("accuracy", "f1"):
        for prefix, rows in (("", slice(None)), ("val_", slice(20))):
            assert net.history.metrics[f"{prefix}{name}"][-1] == net.score(X[rows], y[rows], metric=name)
    with pytest.raises(ValueError, match="^metrics: got 'share', which takes no sample_weight"):
        fastmlp.train(X, y, metrics=[share], sample_weight=np.ones(60), **options)


def test_balanced_weighs_classes_alike(backend, normal):
    y = np.array(["a"] * 30 + ["b"] * 6 + ["c"] * 4)
    X = normal(40, 3)
    options = {"hidden": 5, "epochs": 3, "seed": 0, "backend": backend}
    balanced = fastmlp.train(X, y, class_weight="balanced", **options)
    named = fastmlp.train(X, y, class_weight={"a": 40 / 90, "b": 40 / 18, "c": 40 / 12}, **options)
    rows = fastmlp.train(X, y, sample_weight=np.repeat([40 / 90, 40 / 18, 40 / 12], [30, 6, 4]), **options)
    np.testing.assert_array_equal(balanced.params, named.params)
    np.testing.assert_array_equal(balanced.params, rows.params)


def test_balanced_counts_a_row_of_weight_two_as_two_rows(backend, dtype, normal, tolerance):
    X, y, counts = normal(40, 3, dtype=dtype), np.repeat([0, 1], [28, 12]), np.arange(40) % 3
    options = {"hidden": 5, "activation": "tanh", "optimizer": "sgd", "learning_rate": 0.1, "batch_size": "full"}
    options |= {"epochs": 10, "seed": 0, "backend": backend, "class_weight": "balanced", "l2": 0.3}
    weighted = fastmlp.train(X, y, sample_weight=counts, validation=(X, y, counts), **options)
    X_often, y_often = np.repeat(X, counts, axis=0), np.repeat(y, counts)
    often = fastmlp.train(X_often, y_often, validation=(X_often, y_often), **options)
    limit = tolerance("training", dtype)
    assert np.abs(weighted.params - often.params).max() <= limit * np.abs(often.params).max()
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(getattr(weighted.history, name), getattr(often.history, name), rtol=limit)


def test_a_class_without_a_row_to_train_on_weighs_one(backend, normal):
    X, y = normal(30, 3), np.arange(30) % 3
    seen = y < 2
    seen[3] = False  # 9 rows of class 0, 10 of class 1
    net = fastmlp.Network((3, 4, 3), loss="cross_entropy", seed=0, backend=backend)
    net.train(X[seen], y[seen], class_weight="balanced", validation=(X, y), epochs=2)
    factors = np.array([19 / (2 * 9), 19 / (2 * 10), 1.0])
    assert net.history.val_loss[-1] == pytest.approx(net.loss(X, y, factors[y]), rel=1e-12)  # sums in double
    assert net.history.val_accuracy[-1] == np.mean(net.predict(X) == y)


def test_a_stream_validates_by_class(backend, normal):
    X, y, weights = normal(40, 3), np.arange(40) % 2, np.linspace(0, 1, 10)
    net = fastmlp.Network((3, 4, 1), loss="binary_cross_entropy", seed=0, backend=backend)
    for first in (0, 15):
        rows = slice(first, first + 15)
        net.partial_train(X[rows], y[rows], class_weight={1: 6.0}, validation=(X[30:], y[30:], weights))
        losses = weights * np.where(y[30:] == 1, 6.0, 1.0)
        assert net.last_history.val_loss[-1] == pytest.approx(net.loss(X[30:], y[30:], losses), rel=1e-12)
        assert net.last_history.val_accuracy[-1] == pytest.approx(net.score(X[30:], y[30:], weights), rel=1e-12)


def test_weights_of_rows_and_classes_multiply(normal):
    X, y, weights = normal(20, 3), np.arange(20) % 2, np.random.default_rng(0).uniform(1, 2, 20)
    both = fastmlp.train(X, y, sample_weight=weights, class_weight={1: 3}, epochs=2, seed=0)
    one = fastmlp.train(X, y, sample_weight=weights * np.where(y == 1, 3, 1), epochs=2, seed=0)
    np.testing.assert_array_equal(both.params, one.params)


def test_a_rare_class_is_found_once_it_weighs_enough(backend):
    generator = np.random.default_rng(0)
    X = np.concatenate([generator.normal(0, 1, (400, 2)), generator.normal(1.5, 1, (20, 2))])
    y = np.repeat([0, 1], [400, 20])
    options = {"hidden": (), "epochs": 200, "learning_rate": 0.05, "seed": 0, "backend": backend}
    plain, balanced = (fastmlp.train(X, y, class_weight=given, **options) for given in (None, "balanced"))
    found = [(net.predict(X)[400:] == 1).mean() for net in (plain, balanced)]
    assert found[0] < 0.5 < 0.7 < found[1]


def test_a_weight_of_zero_hides_what_is_not_finite(kernels, dtype):
    z = np.array([[0.5], [np.nan], [1.0]], dtype)
    y, weights = np.zeros((3, 1), dtype), np.array([1, 0, 2], dtype)
    losses, dz, h = np.empty(3, dtype), np.empty((3, 1), dtype), np.empty((3, 1), dtype)
    places.output_layer(kernels, (losses, dz, h, z), y, weights, None, loss=0)
    np.testing.assert_array_equal(losses, np.array([0.125, 0, 1], dtype))
    np.testing.assert_array_equal(dz[:, 0], np.array([0.5, 0, 2], dtype))


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"sample_weight": np.ones(3)}, ValueError, "^sample_weight: got 3 weights for 6 rows"),
        ({"sample_weight": np.ones((6, 1))}, TypeError, r"^sample_weight: got float64 of shape \(6, 1\)"),
        ({"sample_weight": ["a"] * 6}, TypeError, "^sample_weight: got <U1"),
        ({"sample_weight": [1, 1, -1, 1, 1, 1]}, ValueError, "^sample_weight: got -1.0 at row 2"),
        ({"sample_weight": [1, np.nan, 1, 1, 1, 1]}, ValueError, "^sample_weight: got nan at row 1"),
        ({"sample_weight": [1, 1, 1, 1, 1, np.inf]}, ValueError, "^sample_weight: got inf at row 5"),
        ({"sample_weight": np.zeros(6)}, ValueError, "^sample_weight: got 0 for every row"),
        ({"class_weight": "balancd"}, ValueError, "^class_weight: got 'balancd', .*did you mean 'balanced'"),
        ({"class_weight": [1, 2]}, TypeError, r"^class_weight: got \[1, 2\]; 'balanced' or a dict"),
        ({"class_weight": {2: 1.0}}, ValueError, "^class_weight: got the unknown label 2; the classes are 0, 1"),
        ({"class_weight": {0: -1}}, ValueError, r"^class_weight\[0\]: got -1.0"),
        (
            {"class_weight": {0: 0}, "sample_weight": [1, 0, 1, 0, 1, 0]},
            ValueError,
            "^class_weight: got 0 for every class of a row whose sample_weight is above 0",
        ),
        ({"class_weight": {0: 0, 1: 0}}, ValueError, "^class_weight: got 0 for every class"),
        (
            {"class_weight": {0: 0}, "validation": (np.ones((2, 2)), [0, 0])},
            ValueError,
            "^class_weight: got 0 for every class of a row .* among those to validate on",
        ),
        (
            {"class_weight": {0: 0}, "validation": (np.ones((2, 2)), [0, 1], [1, 0])},
            ValueError,
            "^class_weight: got 0 for every class of a row .* among those to validate on",
        ),
        (
            {
                "loss": "cross_entropy",
                "class_weight": "balanced",
                "validation": (np.ones((2, 2)), [[0.5, 0.5], [0.1, 0.9]]),
            },
            ValueError,
            "^class_weight: got it with soft targets",
        ),
        ({"y": np.ones(6) / 3, "class_weight": "balanced"}, ValueError, "^class_weight: got it for targets without"),
    ],
)
def test_what_cannot_be_used_is_refused(normal, options, kind, words):
    given = {"y": np.array([0, 1, 0, 1, 0, 1]), "epochs": 1} | options
    with pytest.raises(kind, match=words):
        fastmlp.train(normal(6, 2), **given)


# ---- what a batch is divided by ------------------------------------------------------------------------------

WEIGHTINGS = ("none", "some", "a batch without")


def weights_of(kind, rows):
    """Weights whose sum differs from batch to batch; with "a batch without" those of rows 16 to 31 are 0."""
    if kind == "none":
        return None
    weights = np.random.default_rng(2).uniform(0.2, 3, rows) * np.linspace(0.5, 2, rows)
    return weights * ((np.arange(rows) < 16) | (np.arange(rows) >= 32)) if kind == "a batch without" else weights


def steps_by_hand(net, X, y, weights, validation, *, batch, epochs, rate):
    """Plain steps of a network of one tanh layer and squared error, each over its batch's own weight, in double.

    Returns the parameters, the epochs' losses and those of the validation rows.
    """
    X, y = X.astype(np.float64), y.astype(np.float64)
    given = np.ones(len(X)) if weights is None else weights
    params, (W, V) = net.params.astype(np.float64), (w.shape for w in net.weights)
    cuts = np.cumsum([W[0] * W[1], W[1], V[0] * V[1]])
    losses, val_losses = [], []

    def outputs(x):
        w, b, v, c = np.split(params, cuts)
        h = np.tanh(x @ w.reshape(W) + b)
        return w, v, h, h @ v.reshape(V) + c

    def penalty(*parts):
        flat = np.concatenate(parts)
        return net.l2 / 2 * (flat @ flat) + net.l1 * np.abs(flat).sum()

    for _ in range(epochs):
        total, rows = 0.0, 0
        for first in range(0, len(X), batch):
            x, target, own = (part[first : first + batch] for part in (X, y, given))
            w, v, h, out = outputs(x)
            if own.sum() > 0:  # else the batch has neither a mean loss nor a gradient
                rows += len(x)
                squares = 0.5 * np.square(out - target).sum(axis=1)
                total += len(x) * (own @ squares + penalty(w, v)) / own.sum()
                dz = own[:, None] * (out - target)
                dh = (dz @ v.reshape(V).T) * (1 - h * h)
                slopes = [(part @ d).ravel() for part, d in ((x.T, dh), (np.ones(len(x)), dh), (h.T, dz))]
                slopes[0] += net.l2 * w + net.l1 * np.sign(w)
                slopes[2] += net.l2 * v + net.l1 * np.sign(v)
                params -= rate / own.sum() * np.concatenate((*slopes, dz.sum(axis=0)))
        losses.append(total / rows)
        x, target, own = validation
        w, v, _, out = outputs(x.astype(np.float64))
        squares = 0.5 * np.square(out - target).sum(axis=1)
        val_losses.append(np.average(squares, weights=own) + penalty(w, v) / given.sum())
    return params, losses, val_losses


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("weight", [1e-60, 1e-300, 1e300])
def test_weights_of_any_size_train_as_weights_of_mean_one(dtype, weight, optimizer, normal):
    X, y = normal(8, 2), normal(8, seed=1)
    options = {"hidden": 3, "epochs": 3, "seed": 0, "dtype": dtype, "optimizer": optimizer}
    relative = np.array([1, 2, 1, 2, 1, 2, 1, 2]) / 1.5
    net = fastmlp.train(X, y, sample_weight=relative * weight, **options)
    expected = fastmlp.train(X, y, sample_weight=relative, **options)
    # Scaled weights differ by a rounding, which a few steps may multiply.
    np.testing.assert_allclose(net.history.loss, expected.history.loss, rtol=1000 * np.finfo(dtype).eps)


@pytest.mark.parametrize("weight", [5e-324, 1e-310, 1e308])
def test_weights_that_have_no_sum_are_refused(dtype, weight, normal):
    X, y = normal(8, 2), np.arange(8) % 2
    words = "^sample_weight: got weights .* whose sum is .*; sums from 1e-300 to 1e\\+300 are accepted"
    whole = {"sample_weight": np.full(8, weight)}
    # A product of weights that is 0 everywhere has another message.
    product = {"sample_weight": np.full(8, weight**0.6), "class_weight": {0: weight**0.6, 1: 0.0}}
    for options in (whole, product, {"class_weight": {0: weight, 1: weight}}):
        with pytest.raises(ValueError, match=words if options is not product else "_weight: got "):
            fastmlp.train(X, y, dtype=dtype, **options)
    with pytest.raises(ValueError, match=words):
        fastmlp.train(X, y, dtype=dtype, validation=(X, y, np.full(8, weight)))


@pytest.mark.parametrize("kind", WEIGHTINGS)
def test_steps_over_a_batchs_own_weight(backend, layout, dtype, kind, normal, tolerance):
    # Batches of 16, 16 and 8 rows.
    X, y = normal(40, 5, dtype=dtype), normal(40, 3, dtype=dtype, seed=1)
    weights, validation = weights_of(kind, 40), (normal(11, 5, dtype=dtype), normal(11, 3, dtype=dtype, seed=1))
    validation = (*validation, np.ones(11) if weights is None else np.arange(11.0))
    given = {
        "hidden": 9,
        "activation": "tanh",
        "l1": 0.2,
        "l2": 0.7,
        "seed": 0,
        "batch_size": 16,
        "epochs": 4,
        "shuffle": False,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "sample_weight": weights,
        "average": "batch",
        "validation": validation if weights is not None else validation[:2],
        "backend": backend,
    }
    start = fastmlp.Network((5, 9, 3), activation="tanh", l1=0.2, l2=0.7, seed=0, dtype=dtype)
    params, losses, val_losses = steps_by_hand(start, X, y, weights, validation, batch=16, epochs=4, rate=0.1)
    net = fastmlp.train(X, y, **given)
    limit = tolerance("training", dtype)
    assert np.abs(net.params - params).max() <= limit * np.abs(params).max()
    np.testing.assert_allclose(net.history.loss, losses, rtol=limit)
    np.testing.assert_allclose(net.history.val_loss, val_losses, rtol=limit)
    for n_threads in (2, 3):
        again = fastmlp.train(X, y, **given, n_threads=n_threads)
        np.testing.assert_array_equal(again.params, net.params)
        for name in ("loss", "val_loss", "gradient_norm"):
            np.testing.assert_array_equal(getattr(again.history, name), getattr(net.history, name), name)
    # The penalties weigh more over a batch than over all rows: what is compared with is not what "rows" gives.
    rows = fastmlp.train(X, y, **given | {"average": "rows"})
    assert np.abs(rows.params - params).max() > 100 * limit * np.abs(params).max()


@pytest.mark.parametrize("weights", [np.repeat([1.0, 0.0], 16), np.repeat([0.0, 1.0], 16)], ids=["last", "first"])
def test_a_batch_without_weight_leaves_no_gradient(backend, layout, dtype, weights, normal):
    X, y = normal(32, 4, dtype=dtype), normal(32, 2, dtype=dtype, seed=1)
    options = {"batch_size": 16, "shuffle": False, "epochs": 1, "average": "batch", "optimizer": "sgd"}
    both, one = (fastmlp.Network((4, 7, 2), l1=0.3, l2=2.0, seed=0, dtype=dtype, backend=backend) for _ in range(2))
    both.train(X, y, sample_weight=weights, **options)
    one.train(X[weights > 0], y[weights > 0], **options)
    # Weights of mean 1 are 2 and 0, which scales by powers of two and rounds nothing.
    np.testing.assert_array_equal(both.params, one.params)
    # A batch without weight has no mean loss, and does not count as one of 0.
    np.testing.assert_array_equal(both.history.loss, one.history.loss)
    if weights[0]:
        assert both.history.gradient_norm[0] == 0, "of the last step, penalties and all"


@pytest.mark.parametrize(
    "further",
    [
        {},
        {"clip_norm": 0.4},
        {"clip_value": 0.02},
        {"max_norm": 0.8},
        {"dropout": 0.3},
        {"shuffle": False},
        {"optimizer": "sgd", "learning_rate": 0.05},
        {"optimizer": "nadam"},
    ],
    ids=str,
)
@pytest.mark.parametrize("classes", [2, 4])
def test_batches_of_one_size_are_a_matter_of_the_penalty_alone(backend, dtype, classes, further, normal, tolerance):
    # Over the batch's 15 rows instead of over all 60 a penalty weighs four times as much, and nothing else differs.
    X, y = normal(60, 5, dtype=dtype), np.random.default_rng(1).integers(0, classes, 60)
    options = {
        "hidden": (12, 7),
        "activation": "tanh",
        "batch_size": 15,
        "epochs": 3,
        "seed": 0,
        "backend": backend,
        "optimizer": fastmlp.Adam(epsilon=1e-3),
        "validation": (X[:20], y[:20]),
    } | further
    net = fastmlp.train(X, y, l1=0.1, l2=0.5, average="batch", **options)
    twin = fastmlp.train(X, y, l1=0.4, l2=2.0, **options)
    limit = tolerance("training", dtype)
    assert np.abs(net.params - twin.params).max() <= limit * np.abs(twin.params).max()
    np.testing.assert_allclose(net.history.loss, twin.history.loss, rtol=limit)
    np.testing.assert_allclose(net.history.gradient_norm, twin.history.gradient_norm, rtol=10 * limit)
    np.testing.assert_array_equal(net.history.accuracy, twin.history.accuracy)
    # Validation has the penalty over all rows, which here weighs a quarter of the twin's.
    weights = np.concatenate([w.ravel() for w in net.weights]).astype(np.float64)
    penalty = (0.25 * weights @ weights + 0.1 * np.abs(weights).sum()) / 60
    np.testing.assert_allclose(net.history.val_loss[-1], twin.history.val_loss[-1] - 3 * penalty, rtol=limit)


@pytest.mark.parametrize("kind", WEIGHTINGS[:2])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rprop", "lbfgs"])
def test_all_rows_in_one_batch_are_the_rows(backend, dtype, optimizer, kind, normal, tolerance):
    X, y, weights = normal(30, 4, dtype=dtype), normal(30, dtype=dtype, seed=1), weights_of(kind, 30)
    # Adam and Rprop do not divide by what is all rounding here. L-BFGS decides by comparisons, which come out alike.
    options = {
        "hidden": 6,
        "activation": "tanh",
        "l1": 0.0 if optimizer == "lbfgs" else 0.2,
        "l2": 0.6,
        "epochs": 8,
        "batch_size": "full",
        "seed": 0,
        "optimizer": optimizer,
        "sample_weight": weights,
        "backend": backend,
        "validation": (X[:9], y[:9]),
    }
    net, twin = (fastmlp.train(X, y, average=average, **options) for average in ("batch", "rows"))
    limit = tolerance("training", dtype)
    assert np.abs(net.params - twin.params).max() <= limit * np.abs(twin.params).max()
    for name in ("loss", "val_loss", "gradient_norm"):
        np.testing.assert_allclose(getattr(net.history, name), getattr(twin.history, name), rtol=10 * limit)


@pytest.mark.filterwarnings("ignore:learning_rate. got 0")
def test_accuracy_does_not_depend_on_what_a_batch_is_divided_by(backend, normal):
    X, y, weights = normal(40, 3), np.random.default_rng(0).integers(0, 3, 40), weights_of("a batch without", 40)
    options = {"hidden": 4, "sample_weight": weights, "learning_rate": 0.0, "epochs": 1, "batch_size": 16, "seed": 0}
    accuracies = [
        fastmlp.train(X, y, average=average, shuffle=False, backend=backend, **options).history.accuracy
        for average in ("rows", "batch")
    ]
    np.testing.assert_array_equal(*accuracies)


@pytest.mark.parametrize("kind", WEIGHTINGS)
def test_what_is_divided_by_goes_on_with_a_training(backend, kind, normal):
    X, y, weights = normal(40, 3), normal(40, seed=1), weights_of(kind, 40)
    options = {"sample_weight": weights, "batch_size": 16, "average": "batch"}
    whole, parts = (fastmlp.Network((3, 5, 1), l2=0.5, l1=0.1, seed=0, backend=backend) for _ in range(2))
    whole.train(X, y, epochs=5, **options)
    parts.train(X, y, epochs=3, **options).partial_train(X, y, **options).train(X, y, epochs=1, **options)
    np.testing.assert_array_equal(parts.params, whole.params)
    np.testing.assert_array_equal(parts.history.loss, whole.history.loss)


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        ("row", ValueError, "^average: got 'row', expected one of 'rows', 'batch'; did you mean 'rows'"),
        (None, TypeError, "^average: got None"),
        (True, TypeError, "^average: got True"),
    ],
)
def test_another_average_is_refused(normal, value, kind, words):
    X, y = normal(6, 2), normal(6)
    with pytest.raises(kind, match=words):
        fastmlp.train(X, y, average=value, epochs=1)
    net = fastmlp.Network((2, 1), seed=0)
    before = net.params.copy()
    with pytest.raises(kind, match=words):
        net.train(X, y, average=value, epochs=1)
    np.testing.assert_array_equal(net.params, before)
    assert len(net.history) == 0
