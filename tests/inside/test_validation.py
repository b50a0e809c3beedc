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


# ---- weights of classes --------------------------------------------------------------------------------------

# Labels of 57 rows, of which a split leaves other proportions than the whole: loss, and labels of two or three classes.
LABELLED = {
    "binary": ("binary_cross_entropy", 2),
    "hinge": ("hinge", 2),
    "one output": ("squared_error", 2),
    "softmax": ("cross_entropy", 3),
    "columns": ("squared_error", 3),
}


def labelled(kind, dtype):
    """X, y and the options of a training run by a loss for classes."""
    loss, classes = LABELLED[kind]
    generator = np.random.default_rng(5)
    y = np.repeat(np.arange(classes), [31, 26] if classes == 2 else [31, 15, 11])[generator.permutation(57)]
    names = y if kind == "one output" else np.array(["b", "a", "c"])[y]
    output = {"output": "sigmoid"} if kind == "one output" else {}
    return generator.standard_normal((57, 4)).astype(dtype), names, {"loss": loss, **output}


def by_hand(class_weight, y, weights):
    """What each class weighs by the rows that are trained on."""
    if class_weight != "balanced":
        return {label: class_weight.get(label, 1.0) for label in set(y.tolist())}
    sums = {label: weights[y == label].sum() for label in set(y.tolist())}
    return {label: weights.sum() / (len(sums) * each) for label, each in sums.items()}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("further", [{}, {"average": "batch"}, {"optimizer": "lbfgs"}], ids=str)
@pytest.mark.parametrize("weighted", [False, True], ids=["rows alike", "rows weighted"])
@pytest.mark.parametrize("class_weight", ["balanced", "named"])
@pytest.mark.parametrize("kind", ["binary", "softmax"])
def test_classes_weigh_the_same_in_rows_drawn_and_given(
    backend, layout, dtype, kind, class_weight, weighted, further, tolerance
):
    X, y, options = labelled(kind, dtype)
    train, left = places.drawn_rows(0.3, y, 3)
    weights = np.random.default_rng(6).uniform(0, 2, 57) if weighted else np.ones(57)
    class_weight = {"a": 3.0, "b": 0.25} if class_weight == "named" else "balanced"
    factors = by_hand(class_weight, y[train], weights[train])
    if class_weight == "balanced":
        assert factors != by_hand(class_weight, y, weights), "the split leaves other proportions"
    options |= {
        "hidden": 9,
        "epochs": 4,
        "batch_size": "auto" if "optimizer" in further else 16,
        "seed": 3,
        "backend": backend,
        "class_weight": class_weight,
        "metrics": ["accuracy"],
        **further,
    }
    own = [weights[left]] if weighted else []
    given = weights if weighted else None
    drawn = fastmlp.train(X, y, validation=0.3, sample_weight=given, **options)
    given = weights[train] if weighted else None
    apart = fastmlp.train(X[train], y[train], validation=(X[left], y[left], *own), sample_weight=given, **options)
    np.testing.assert_array_equal(drawn.params, apart.params)
    for name in ("loss", "accuracy", "val_loss", "val_accuracy", "gradient_norm"):
        np.testing.assert_array_equal(getattr(drawn.history, name), getattr(apart.history, name), name)
    # A class counts in losses, with the rows' own sum of weights below, and not in accuracy, nor in metrics.
    losses = weights[left] * [factors[label] for label in y[left].tolist()]
    limit = tolerance("loss", dtype)
    np.testing.assert_allclose(drawn.history.val_loss[-1], drawn.loss(X[left], y[left], losses), rtol=limit)
    accuracy = np.average(drawn.predict(X[left]) == y[left], weights=weights[left])
    assert drawn.history.val_accuracy[-1] == pytest.approx(accuracy, rel=limit if weighted else 0, abs=0)
    np.testing.assert_allclose(drawn.history.metrics["val_accuracy"], drawn.history.val_accuracy, rtol=limit)


@pytest.mark.parametrize("kind", LABELLED)
def test_every_coding_of_labels_weighs_by_class(backend, kind, tolerance):
    X, y, options = labelled(kind, np.float64)
    train, left = places.drawn_rows(0.3, y, 3, **options)
    options |= {"hidden": 5, "epochs": 3, "seed": 3, "backend": backend, "class_weight": "balanced"}
    drawn = fastmlp.train(X, y, validation=0.3, **options)
    apart = fastmlp.train(X[train], y[train], validation=(X[left], y[left]), **options)
    np.testing.assert_array_equal(drawn.params, apart.params)
    np.testing.assert_array_equal(drawn.history.val_loss, apart.history.val_loss)
    factors = by_hand("balanced", y[train], np.ones(len(train)))
    losses = np.array([factors[label] for label in y[left].tolist()])
    limit = tolerance("loss", np.float64)
    np.testing.assert_allclose(drawn.history.val_loss[-1], drawn.loss(X[left], y[left], losses), rtol=limit)
    assert drawn.history.val_accuracy[-1] == np.mean(drawn.predict(X[left]) == y[left])


def test_early_stopping_monitors_losses_by_class_and_plain_accuracy(backend):
    X, y = moons(200, noise=0.4)
    train, left = places.drawn_rows(0.3, y, 1)
    options = {"hidden": 8, "seed": 1, "backend": backend, "learning_rate": 0.02, "class_weight": {0: 20.0}}
    for monitor, best in (("val_loss", np.argmin), ("val_accuracy", np.argmax)):
        rule = fastmlp.EarlyStopping(monitor, patience=99)
        net = fastmlp.train(X, y, validation=0.3, epochs=30, early_stopping=rule, **options)
        numbers = getattr(net.history, monitor)
        assert net.history.best_epoch == 1 + best(numbers)
        measured = (
            net.score(X[left], y[left])
            if monitor == "val_accuracy"
            else net.loss(X[left], y[left], np.where(y[left] == 0, 20.0, 1.0))
        )
        # A mean over rows in double.
        assert numbers[net.history.best_epoch - 1] == pytest.approx(measured, rel=1e-12)
