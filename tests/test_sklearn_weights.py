"""Weights of rows and of classes."""

# ruff: noqa: E402 (scikit-learn may be missing)

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.7")
from sklearn import neural_network as theirs
from sklearn.exceptions import DataConversionWarning
from sklearn.model_selection import train_test_split
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn_models import (
    FIT,
    LABELS,
    PAIRS,
    SMALL,
    assert_equal_fits,
    both,
    one,
    parameters,
    rows,
)

from fastmlp import sklearn as ours

# Most fits end at max_iter, long before they have converged.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("kind", PAIRS)
def test_weights_of_one_are_no_weights(kind, solver):
    X, y = rows(kind)
    plain = one(kind, solver=solver).fit(X, y)
    for ones in (np.ones(90), [1] * 90, np.ones(90, np.float32), 1.0):
        # One more product by 1 in each row, and sums that are kept elsewhere: rounding, over twelve epochs.
        assert_equal_fits(one(kind, solver=solver).fit(X, y, sample_weight=ones), plain)
    weights = np.random.default_rng(4).integers(0, 3, 90)
    fits = [model.fit(X, y, weights) for model in both(kind, solver=solver)]
    assert_equal_fits(*fits)
    assert np.abs(parameters(fits[0]) - parameters(plain)).max() > 1e-4
    if kind == "classifier" and solver != "lbfgs":
        fits = [model.partial_fit(X, y, weights, [0, 1, 2]) for model in both(kind, solver=solver)]
        assert_equal_fits(*fits)


def held_out(model, rows):
    """The rows that a fit trains on and those it holds out, which are drawn after the initial parameters."""
    random = np.random.RandomState(model.random_state)
    random.uniform(size=parameters(model).size)
    return train_test_split(np.arange(rows), random_state=random, test_size=model.validation_fraction)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 2: 0.5}, {0: 1, 1: 0, 2: 1}], ids=str)
def test_class_weights_are_row_weights(class_weight, weighted):
    X, y = rows("classifier")
    # Counts: "balanced" takes the shares of the weights, so that a row of weight 2 is two rows.
    counts = np.random.default_rng(4).integers(1, 3, 90) if weighted else np.ones(90, int)
    weights = counts * compute_sample_weight(class_weight, np.repeat(y, counts))[np.cumsum(counts) - 1]
    for solver in ("adam", "lbfgs"):
        given = one("classifier", class_weight=class_weight, solver=solver).fit(X, y, counts if weighted else None)
        for estimator in PAIRS["classifier"]:
            assert_equal_fits(given, estimator(**SMALL | {"solver": solver}).fit(X, y, sample_weight=weights))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 2: 0.5}, {0: 1, 1: 0, 2: 1}], ids=str)
def test_rows_held_out_weigh_by_the_classes_of_the_others(class_weight, weighted):
    X, y = rows("classifier")
    counts = np.random.default_rng(4).integers(1, 3, 90) if weighted else np.ones(90, int)
    given = counts if weighted else None
    options = {"early_stopping": True, "validation_fraction": 0.3}
    model = one("classifier", class_weight=class_weight, shuffle=False, **options).fit(X, y, given)
    train, left = held_out(model, 90)
    own = {"sample_weight_val": counts[left]} if weighted else {}
    apart = one("classifier", class_weight=class_weight, shuffle=False, **options).fit(
        X[train], y[train], given if given is None else given[train], X_val=X[left], y_val=y[left], **own
    )
    np.testing.assert_array_equal(parameters(model), parameters(apart))
    assert model.validation_loss_curve_ == apart.validation_loss_curve_
    assert model.validation_scores_ == apart.validation_scores_
    # The best epoch's weights are back: its score is that of the rows, and its loss has the classes' weights.
    best = int(np.argmax(model.validation_scores_))
    accuracy = model.score(X[left], y[left], own.get("sample_weight_val"))
    assert model.validation_scores_[best] == pytest.approx(accuracy, rel=1e-12)  # of scaled weights
    taken = np.repeat(train, counts[train])
    if class_weight == "balanced":
        factors = compute_class_weight("balanced", classes=np.arange(3), y=y[taken])
        assert not np.allclose(factors, 90 / 3 / np.bincount(y)), "the split leaves other proportions"
    else:
        factors = np.array([class_weight.get(label, 1.0) for label in range(3)])
    weights = counts * factors[y]
    penalty = model.alpha / 2 * sum((part**2).sum() for part in model.coefs_) / weights[train].sum()
    losses = -np.log(model.predict_proba(X[left])[np.arange(27), y[left]])
    expected = np.average(losses, weights=weights[left]) + penalty
    assert model.validation_loss_curve_[best] == pytest.approx(expected, rel=1e-12)  # of probabilities, in double
    # scikit-learn, which scores the weights too, takes the same steps.
    twin = theirs.MLPClassifier(**SMALL, shuffle=False, **options).fit(X, y, weights)
    shorter = min(len(twin.loss_curve_), len(model.loss_curve_))
    np.testing.assert_allclose(model.loss_curve_[:shorter], twin.loss_curve_[:shorter], **FIT)


@pytest.mark.parametrize("class_weight", ["balanced", [{0: 2.0}, {1: 5.0, 0: 0.5}]], ids=["balanced", "named"])
def test_weights_of_several_labels_follow_from_the_rows_that_are_trained_on(class_weight):
    X, y = rows("classifier")
    flags, train = LABELS["two flags"](y), np.arange(90) < 70
    factors = np.ones(90)
    for column in range(2):
        each = (
            compute_class_weight("balanced", classes=np.arange(2), y=flags[train, column])
            if class_weight == "balanced"
            else [class_weight[column].get(flag, 1.0) for flag in (0, 1)]
        )
        factors *= np.asarray(each)[flags[:, column]]
    validation = {"X_val": X[70:], "y_val": flags[70:]}
    model = one("classifier", class_weight=class_weight).fit(X[:70], flags[:70], **validation)
    twin = one("classifier").fit(X[:70], flags[:70], factors[:70], **validation, sample_weight_val=factors[70:])
    np.testing.assert_allclose(parameters(model), parameters(twin), **FIT)
    np.testing.assert_allclose(model.validation_loss_curve_, twin.validation_loss_curve_, **FIT)
    assert model.validation_scores_[-1] == model.score(X[70:], flags[70:])
    streamed, plain = one("classifier"), one("classifier")
    if class_weight != "balanced":
        streamed.set_params(class_weight=class_weight).partial_fit(X, flags, classes=[0, 1])
        plain.partial_fit(X, flags, factors, [0, 1])
        np.testing.assert_allclose(parameters(streamed), parameters(plain), **FIT)


@pytest.mark.parametrize(
    ("labels", "class_weight", "kind", "words"),
    [
        ("floats", [{1.0: 2.0}], ValueError, "^class_weight: got .* for rows of 1 labels; .* a dict"),
        ("two flags", {0: 2.0}, ValueError, "^class_weight: got .* for rows of 2 labels; .* a list"),
        ("two flags", [{0: 2.0}], ValueError, "^class_weight: got .* for rows of 2 labels; .* a list"),
        ("two flags", [{0: 2.0}, 3.0], ValueError, "^class_weight: got 3.0; 'balanced' or a dict"),
        ("two flags", [{0: 2.0}, {0: -1.0}], ValueError, r"^class_weight\[0\]: got -1.0"),
        ("two flags", [{0: 2.0}, {"a": 1.0}], ValueError, r"^The classes, \[0, 1\], are not in class_weight"),
        ("strings", {"a": -1.0}, ValueError, r"^class_weight\['a'\]: got -1.0"),
        ("strings", {"a": np.nan}, ValueError, r"^class_weight\['a'\]: got nan"),
        ("strings", {"a": "2"}, TypeError, r"^class_weight\['a'\]: got '2'"),
        ("strings", {"a": 0, "b": 0, "c": 0}, ValueError, "^class_weight: got 0 for every class"),
    ],
)
def test_class_weights_that_cannot_be_used_are_refused(labels, class_weight, kind, words):
    X, y = rows("classifier")
    with pytest.raises(kind, match=words):
        one("classifier", class_weight=class_weight).fit(X, LABELS[labels](y))


def test_class_weights_of_strings_and_of_flags():
    X, y = rows("classifier")
    names = np.array(["b", "a", "c"])[y]
    plain = theirs.MLPClassifier(**SMALL)
    given = one("classifier", class_weight={"a": 2.0}).fit(X, names)
    assert_equal_fits(given, plain.fit(X, names, np.where(names == "a", 2.0, 1.0)))
    flags = LABELS["flags"](y)
    given = one("classifier", class_weight="balanced").fit(X, flags)
    assert_equal_fits(given, plain.fit(X, flags, compute_sample_weight("balanced", flags)))


def test_a_column_of_labels_is_warned_of_once():
    X, y = rows("classifier")
    for options in ({}, {"class_weight": "balanced"}):
        with pytest.warns(DataConversionWarning) as caught:
            one("classifier", max_iter=500, tol=1.0, **options).fit(X, y[:, None])
        assert len(caught) == 1


def test_class_weights_of_a_stream():
    X, y = rows("classifier")
    weights = {0: 3.0, 2: 0.5}
    given, plain = one("classifier", class_weight=weights), theirs.MLPClassifier(**SMALL)
    for part in (slice(None), y < 2):  # labels that do not come in a part keep their weights
        given.partial_fit(X[part], y[part], classes=[0, 1, 2])
        plain.partial_fit(X[part], y[part], [weights.get(label, 1.0) for label in y[part]], [0, 1, 2])
    assert_equal_fits(given, plain)
    with pytest.raises(ValueError, match="The classes, .* are not in class_weight"):
        one("classifier", class_weight={"amber": 2.0}).fit(X, y)


@pytest.mark.parametrize("weights", [np.ones(3), np.full(90, np.nan), np.ones((90, 2)), ["a"] * 90, np.zeros(90)])
def test_wrong_weights_are_refused(weights):
    X, y = rows("classifier")
    for model in both("classifier"):
        with pytest.raises(ValueError, match="weight|could not convert"):
            model.fit(X, y, sample_weight=weights)


@pytest.mark.parametrize("kind", PAIRS)
def test_weights_that_leave_a_part_of_the_split_empty_are_named(kind):
    X, y = rows(kind)
    few = (np.arange(90) < 3).astype(float)
    with pytest.raises(ValueError, match="^validation_fraction: got 0.1 with n_samples=90, .* a weight above 0"):
        one(kind, early_stopping=True).fit(X, y, few)
    # The first rows are validated on: of a given split each part has its weights.
    one(kind, early_stopping=True).fit(X[3:], y[3:], X_val=X[:3], y_val=y[:3])


@pytest.mark.parametrize(
    "weights",
    [
        {0: -1.0},
        {0: float("nan")},
        {0: float("inf")},
        {0: "a"},
        {0: None},
        {0: 1j},
        {0: 0, 1: 0, 2: 0},
        [{0: 1.0}],
    ],
    ids=str,
)
def test_wrong_class_weights_are_named(weights):
    X, y = rows("classifier")
    with pytest.raises((TypeError, ValueError), match="class_weight"):
        one("classifier", class_weight=weights).fit(X, y)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), "a", None, 0.0])
def test_wrong_class_weights_of_flags_are_named(weight):
    X, y = rows("classifier")
    weights = [{0: weight, 1: 0.0}] * 3
    with pytest.raises((TypeError, ValueError), match=r"^class_weight(\[0\])?: "):
        one("classifier", class_weight=weights).fit(X, LABELS["flags"](y))


def test_class_weights_that_leave_nothing_to_validate_on_are_named():
    X, y = rows("classifier")
    model = one("classifier", class_weight={0: 0.0, 1: 0.0})
    with pytest.raises(ValueError, match="^class_weight: got 0 for every class .* to validate on"):
        model.fit(X, y, X_val=X[y < 2], y_val=y[y < 2])


def test_class_weights_may_name_classes_that_are_not_there():
    X, y = rows("classifier")
    X, y = X[y < 2], y[y < 2]
    named, plain = ({0: 1.0, 1: 5.0, 2: 10.0}, {0: 1.0, 1: 5.0})
    models = [
        ours.MLPClassifier(5, class_weight=weights, max_iter=5, random_state=0).fit(X, y) for weights in (named, plain)
    ]
    np.testing.assert_array_equal(parameters(models[0]), parameters(models[1]))
    with pytest.raises(ValueError, match=r"The classes, \[1\], are not in class_weight"):
        ours.MLPClassifier(5, class_weight={0: 1.0, "one": 5.0}).fit(X, y)


def test_losses_of_rows_to_validate_on_weigh_as_their_classes_do():
    X, y = rows("classifier")
    weights = np.array([1.0, 5.0, 0.5])
    options = {"max_iter": 4, "random_state": 0}
    model = ours.MLPClassifier(5, class_weight=dict(enumerate(weights)), **options)
    model.fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    twin = ours.MLPClassifier(5, **options).fit(
        X[:60], y[:60], weights[y[:60]], X_val=X[60:], y_val=y[60:], sample_weight_val=weights[y[60:]]
    )
    assert model.validation_loss_curve_ == twin.validation_loss_curve_
    assert model.validation_scores_[-1] == model.score(X[60:], y[60:])
    assert twin.validation_scores_[-1] == pytest.approx(twin.score(X[60:], y[60:], weights[y[60:]]), rel=1e-12)
