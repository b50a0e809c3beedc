"""Fits that go on: warm starts and parts of a stream."""

# ruff: noqa: E402 (scikit-learn may be missing)

import copy
import pickle
import warnings

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.7")
from sklearn import neural_network as theirs
from sklearn_models import (
    FIT,
    PAIRS,
    assert_equal_fits,
    assert_equal_records,
    both,
    halves,
    one,
    parameters,
    refusal,
    rows,
)

import fastmlp
from fastmlp import sklearn as ours

# Most fits end at max_iter, long before they have converged.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def assert_goes_on_alike(model, other, kind, fits, limits=FIT):
    """Where early stopping finds nothing better, scikit-learn predicts with the last weights, and ours with the best.

    Both go on from the same weights.
    """
    X, y = rows(kind)
    best = expected = None
    for _ in range(fits):
        model.fit(X, y)
        other.fit(X, y)
        assert_equal_records(model, other, limits)
        score = getattr(other, "best_validation_score_", None)
        if best is None or score > best:
            best, expected = score, parameters(other)
        np.testing.assert_allclose(parameters(model), expected, **limits)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"solver": "adam"},
        {"solver": "lbfgs"},
        {"solver": "sgd"},
        {"solver": "sgd", "learning_rate": "invscaling"},
        {"solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 0.01},
    ],
    ids=lambda options: " ".join(map(str, options.values())),
)
@pytest.mark.parametrize("kind", PAIRS)
def test_warm_starts(kind, options, early_stopping):
    model, other = both(kind, warm_start=True, early_stopping=early_stopping, **options)
    assert_goes_on_alike(model, other, kind, fits=4)


@pytest.mark.parametrize("random_state", [0, np.random.RandomState])
@pytest.mark.parametrize("kind", PAIRS)
def test_many_warm_starts_of_one_epoch_go_on_and_on(kind, random_state):
    states = [random_state(0) if callable(random_state) else random_state for _ in range(2)]
    model, other = (
        each.set_params(warm_start=True, early_stopping=True, max_iter=1, random_state=state)
        for each, state in zip(both(kind), states, strict=True)
    )
    # Adam, which begins anew with each fit, divides the rounding of some small gradients by these: 2e-10 was seen.
    assert_goes_on_alike(model, other, kind, fits=60, limits={"rtol": 1e-6, "atol": 1e-8})
    assert len(set(model.loss_curve_)) == 60, "no epoch is repeated"


@pytest.mark.parametrize(
    ("kind", "metric", "sign"),
    [("classifier", "loss", -1), ("classifier", "f1", 1), ("regressor", "mse", -1), ("regressor", "r2", 1)],
)
def test_predictions_are_those_of_the_best_epoch_of_all_fits(kind, metric, sign):
    X, y, X_val, y_val = halves(kind)
    options = {"warm_start": True, "early_stopping": True, "max_iter": 2, "alpha": 0.0, "learning_rate_init": 0.1}
    model, kept = one(kind, stopping_metric=metric, **options), 0
    for _ in range(20):
        best = getattr(model, "best_validation_score_", -np.inf)
        model.fit(X, y, X_val=X_val, y_val=y_val)
        network = model.network_
        found = network.loss(X_val, y_val) if metric == "loss" else network.score(X_val, y_val, metric=metric)
        # One sum in another order.
        assert sign * found == pytest.approx(model.best_validation_score_, rel=1e-12)
        kept += model.best_validation_score_ == best
    assert 0 < kept < 20
    assert model.best_validation_score_ == max(model.validation_scores_)


def past_its_best(kind, **options):
    """A model whose second fit found nothing better, another that goes on alike, and scikit-learn's, trained on."""
    X, y = rows(kind)
    options = {"warm_start": True, "early_stopping": True, "max_iter": 1, "n_iter_no_change": np.inf} | options
    model, other = both(kind, **options)
    for _ in range(100):
        best = getattr(model, "best_validation_score_", None)
        model.fit(X, y)
        other.fit(X, y)
        if best is not None and model.best_validation_score_ == best:
            other.best_loss_ = np.inf  # without it scikit-learn's cannot go on without early stopping
            return model, copy.deepcopy(model), other
    raise AssertionError("every fit found something better")


@pytest.mark.parametrize("kind", PAIRS)
def test_the_last_weights_are_pickled_and_outlive_other_settings(kind):
    X, y = rows(kind)
    model, twin, other = past_its_best(kind)
    assert np.abs(parameters(model) - parameters(other)).max() > 1e-4, "the best are not the last"
    again = pickle.loads(pickle.dumps(model))
    for each in (model, twin, again, other):
        each.set_params(alpha=0.5, early_stopping=False, max_iter=3).fit(X, y)
    np.testing.assert_allclose(parameters(model), parameters(other), **FIT)
    for each in (twin, again):
        np.testing.assert_array_equal(parameters(each), parameters(model))


@pytest.mark.parametrize("kind", PAIRS)
def test_parts_go_on_from_the_last_weights(kind):
    X, y = rows(kind)
    model, _, other = past_its_best(kind)
    for each in (model, other):
        each.set_params(early_stopping=False).partial_fit(X, y).partial_fit(X, y)
    np.testing.assert_allclose(parameters(model), parameters(other), **FIT)


def replace_list(model, name):
    setattr(model, name, [part.copy() for part in getattr(model, name)])


def replace_entry(model, name):
    getattr(model, name)[0] = getattr(model, name)[0].copy()


def write_in_place(model, name):
    getattr(model, name)[0].flat[0] += 0.25


def write_into_the_network(model, name):
    model.network_.params = model.network_.params * 0.9


@pytest.mark.parametrize("asked_before", [False, True])
@pytest.mark.parametrize("name", ["coefs_", "intercepts_"])
@pytest.mark.parametrize("change", [replace_list, replace_entry, write_in_place, write_into_the_network])
def test_coefficients_set_by_hand_are_gone_on_from(change, name, asked_before):
    X, y = rows("regressor")
    model, twin, _ = past_its_best("regressor")
    change(model, name)
    if asked_before:
        model.predict(X)
    given = parameters(model)
    still = {"learning_rate_init": 1e-300, "early_stopping": False}  # one epoch, whose steps are lost in rounding
    np.testing.assert_array_equal(parameters(model.set_params(**still).fit(X, y)), given)
    assert np.abs(parameters(twin.set_params(**still).fit(X, y)) - given).max() > 1e-4, "its last weights"


@pytest.mark.parametrize("kind", PAIRS)
def test_coefficients_set_by_hand_are_trained_on_with_early_stopping(kind):
    X, y = rows(kind)
    model, _, other = past_its_best(kind)
    for each in (model, other):
        each.coefs_ = [np.zeros_like(part) for part in each.coefs_]
        each.intercepts_ = [np.zeros_like(part) for part in each.intercepts_]
        each.fit(X, y)
    assert model.validation_scores_[-1] <= model.best_validation_score_
    assert np.any(parameters(model)), "the best weights are not there any more: what was learned stays"
    np.testing.assert_allclose(model.loss_curve_, other.loss_curve_, **FIT)


@pytest.mark.filterwarnings("ignore::fastmlp.DivergenceWarning")
def test_the_best_weights_of_an_earlier_fit_are_there_after_a_divergence():
    X, y = rows("regressor")
    model = one("regressor", solver="sgd", warm_start=True, early_stopping=True).fit(X, y)
    before = parameters(model)
    model.set_params(learning_rate_init=1e4, activation="identity").fit(X, y)
    np.testing.assert_array_equal(parameters(model), before)
    losses = model.set_params(learning_rate_init=0.001).fit(X, y).loss_curve_
    assert losses[-model.n_iter_] < 10, "it goes on from these too, not from those that diverged"


@pytest.mark.parametrize("kind", PAIRS)
def test_the_best_of_earlier_fits_is_what_epochs_have_to_surpass(kind):
    X, y = rows(kind)
    schedule = fastmlp.schedules.Constant(0.01)  # beside which early stopping itself ends a fit
    model = one(kind, warm_start=True, early_stopping=True, tol=100.0, n_iter_no_change=3, learning_rate=schedule)
    assert model.fit(X, y).n_iter_ == 5, "only the first epoch is better than nothing"
    assert model.fit(X, y).n_iter_ == 4, "none is better than the first epoch of the first fit"


@pytest.mark.parametrize("warm_start", [False, True])
def test_scores_that_are_no_numbers_warn_if_no_fit_has_another(warm_start):
    X, y = rows("regressor")
    scores = [1.0] * 12 + [np.nan] * 12
    metric = fastmlp.metrics.Metric("own", lambda y, predicted, sample_weight=None: scores.pop(0))
    model = one("regressor", warm_start=warm_start, early_stopping=True, stopping_metric=metric).fit(X, y)
    best = parameters(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y)
    assert any("not a finite number" in str(each.message) for each in caught) != warm_start
    assert np.array_equal(parameters(model), best) == warm_start


def test_the_best_weights_of_all_fits_stay():
    X, y = rows("classifier")
    model = one("classifier", warm_start=True, early_stopping=True).fit(X, y)
    model.set_params(learning_rate_init=5.0)
    best, before = model.best_validation_score_, parameters(model)
    model.fit(X, y)
    assert max(model.validation_scores_[-model.n_iter_ :]) <= best, "nothing better came"
    np.testing.assert_array_equal(parameters(model), before)


@pytest.mark.parametrize(
    "changed",
    [
        {"alpha": 1.0},
        {"learning_rate_init": 0.2},
        {"momentum": 0.5},
        {"batch_size": 10},
        {"activation": "tanh"},
        {"solver": "adam"},
        {"max_iter": 3},
        {"shuffle": False},
        {"random_state": 9},
        {"learning_rate": "invscaling"},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", PAIRS)
def test_parameters_may_change_between_fits(kind, changed):
    X, y = rows(kind)
    assert_equal_fits(
        *(model.fit(X, y).set_params(**changed).fit(X, y) for model in both(kind, solver="sgd", warm_start=True))
    )


@pytest.mark.parametrize("changed", [{"tol": 0.6}, {"n_iter_no_change": 9}, {"learning_rate_init": 0.01}], ids=str)
def test_epochs_without_improvement_are_counted_on(changed):
    X, y = rows("classifier")
    # The second fit ends when the epochs of both without an improvement are more than n_iter_no_change.
    fits = [
        model.fit(X, y).set_params(**changed).fit(X, y)
        for model in both("classifier", warm_start=True, tol=0.5, max_iter=8)
    ]
    assert 1 < fits[1].n_iter_ < 8
    assert_equal_fits(*fits)


@pytest.mark.parametrize("changed", [{"alpha": 1.0}, {"batch_size": 10}, {"activation": "tanh"}, {"shuffle": False}])
def test_parameters_may_change_between_parts(changed):
    X, y = rows("regressor")
    fits = []
    for model in both("regressor"):
        model.partial_fit(X, y).set_params(**changed)
        fits.append(model.partial_fit(X, y).partial_fit(X, y))
    assert_equal_fits(*fits)


def test_warm_starts_want_the_same_classes():
    X, y = rows("classifier")
    said = [refusal(model.fit(X, y), X, np.minimum(y, 1)) for model in both("classifier", warm_start=True)]
    assert said[0] == said[1]
    assert "warm_start can only be used where `y` has the same classes" in said[0][1]


@pytest.mark.parametrize("chunks", [(90,) * 6, (30, 30, 30) * 2, (1,) * 8, (7, 40, 13, 30)], ids=str)
@pytest.mark.parametrize(
    "options",
    [
        {"solver": "adam"},
        {"solver": "sgd"},
        {"solver": "sgd", "momentum": 0.0},
        {"solver": "sgd", "momentum": 0.5, "nesterovs_momentum": False},
        {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.3},
        {"solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 0.1},
    ],
    ids=lambda options: " ".join(map(str, options.values())),
)
@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.filterwarnings("ignore:Got `batch_size` less than 1 or larger")
def test_parts_of_a_stream(kind, options, chunks):
    X, y = rows(kind)
    model, other = both(kind, **options)
    first, classes = 0, {"classes": [0, 1, 2]} if kind == "classifier" else {}
    for count in chunks:
        part = slice(first, first + count)
        for each in (model, other):
            each.partial_fit(X[part], y[part], **classes)
        classes, first = {}, (first + count) % 90
        assert_equal_fits(model, other)


@pytest.mark.parametrize("order", ["fit part", "part fit", "part part fit part part", "fit fit part"])
@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_fits_and_parts_in_turn(order, warm_start, solver):
    X, y = rows("classifier")
    model, other = both("classifier", solver=solver, warm_start=warm_start)
    for step in order.split():
        for each in (model, other):
            each.fit(X, y) if step == "fit" else each.partial_fit(X, y, classes=[0, 1, 2])
        assert_equal_fits(model, other)


@pytest.mark.parametrize(
    "calls",
    [
        [(np.array, {})],
        [(np.array, {"classes": [0, 1]})],
        [(np.array, {"classes": [0, 1, 2]}), (lambda y: y + 1, {})],
        [(np.array, {"classes": [0, 1, 2]}), (np.array, {"classes": [0, 1]})],
    ],
    ids=["none given", "too few", "a new one later", "others later"],
)
def test_classes_of_a_stream_are_checked(calls):
    X, y = rows("classifier")
    *before, (labels, options) = calls
    said = []
    for model in both("classifier"):
        for given, further in before:
            model.partial_fit(X, given(y), **further)
        with pytest.raises(ValueError, match="class") as error:
            model.partial_fit(X, labels(y), **options)
        said.append(str(error.value))
    assert said[0] == said[1]


def test_parts_are_for_solvers_that_take_some_rows_at_a_time():
    X, y = rows("classifier")
    for model in both("classifier", solver="lbfgs"):
        assert not hasattr(model, "partial_fit")
    assert not hasattr(one("regressor", solver="rprop"), "partial_fit")
    assert hasattr(one("classifier", solver=fastmlp.AdamW()), "partial_fit")
    said = []
    for model in both("classifier", early_stopping=True):
        with pytest.raises(ValueError, match="partial_fit does not support") as error:
            model.partial_fit(X, y, classes=[0, 1, 2])
        said.append(str(error.value))
    assert said[0] == said[1]


def test_partial_fit_stays_with_its_first_rate():
    X, y = rows("regressor")
    options = {"hidden_layer_sizes": 5, "learning_rate_init": 0.01, "random_state": 0}
    models = [module.MLPRegressor(**options) for module in (ours, theirs)]
    for model in models:
        model.partial_fit(X, y).set_params(learning_rate_init=0.5).partial_fit(X, y)
    # Two steps of Adam: rounding alone.
    np.testing.assert_allclose(models[0].coefs_[0], models[1].coefs_[0], rtol=0, atol=1e-12)


def test_every_solver_stays_with_the_rate_that_parts_began_with():
    X, y = rows("regressor")
    models = [ours.MLPRegressor(hidden_layer_sizes=5, solver="rmsprop", random_state=0) for _ in range(2)]
    for model, rate in zip(models, (0.001, 0.5), strict=True):
        model.partial_fit(X, y).set_params(learning_rate_init=rate).partial_fit(X, y)
    np.testing.assert_array_equal(parameters(models[0]), parameters(models[1]))


def test_inverse_scaling_of_parts_is_scikit_learns():
    X, y = rows("regressor")
    options = {"hidden_layer_sizes": 5, "solver": "sgd", "learning_rate": "invscaling", "random_state": 0}
    models = [module.MLPRegressor(learning_rate_init=0.1, **options) for module in (ours, theirs)]
    for model in models:
        model.partial_fit(X, y).set_params(learning_rate_init=0.7)
        for _ in range(3):
            model.partial_fit(X, y)
    # Four steps with momentum: rounding alone.
    np.testing.assert_allclose(models[0].coefs_[0], models[1].coefs_[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("schedule", ["invscaling", "adaptive", "constant"])
@pytest.mark.parametrize(
    "changed",
    [
        {"tol": 0.2},
        {"n_iter_no_change": 3},
        {"power_t": 0.1},
        {"learning_rate": "constant"},
        {"learning_rate": "invscaling"},
        {"momentum": 0.1},
        {"learning_rate_init": 0.7},
    ],
    ids=str,
)
def test_parts_keep_the_rate_and_how_it_changes(schedule, changed):
    X, y = rows("regressor")
    models = both("regressor", solver="sgd", learning_rate=schedule, n_iter_no_change=1, tol=0.5, warm_start=True)
    for model in models:
        for _ in range(6):
            model.partial_fit(X, y)
        model.set_params(**changed)
        for _ in range(4):
            model.partial_fit(X, y)
    assert_equal_fits(*models)


@pytest.mark.parametrize("lost", ["set by hand", "trained on"])
def test_what_a_fit_begins_with_has_no_score_if_the_best_weights_are_gone(lost):
    X, y = rows("regressor")
    model = one("regressor", early_stopping=True, warm_start=True, max_iter=100).fit(X, y)
    best, epochs, seen = model.best_validation_score_, len(model.validation_scores_), []
    if lost == "set by hand":
        model.coefs_ = [-weights for weights in model.coefs_]
    else:
        model.set_params(early_stopping=False).partial_fit(X, -9 * y).set_params(early_stopping=True)
    model.set_params(callbacks=[lambda state: seen.append(state.params.copy())])
    model.set_params(max_iter=9, learning_rate_init=0.5, n_iter_no_change=99).fit(X, y)
    scores = model.validation_scores_[epochs:]
    assert max(scores) < best == model.best_validation_score_
    assert 0 < np.argmax(scores) < len(scores) - 1
    np.testing.assert_array_equal(model.network_.params, seen[np.argmax(scores)])
