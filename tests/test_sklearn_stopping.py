"""Validation rows, early stopping, and how a fit ends."""

# ruff: noqa: E402 (scikit-learn may be missing)

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.7")
from scipy import sparse
from sklearn.metrics import log_loss, mean_squared_error
from sklearn_models import (
    LABELS,
    PAIRS,
    both,
    halves,
    one,
    parameters,
    rows,
)

import fastmlp
from fastmlp import sklearn as ours
from fastmlp.metrics import METRICS, Metric

# Most fits end at max_iter, long before they have converged.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# ---- validation ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("kind", PAIRS)
def test_rows_to_validate_on(kind, solver):
    X, y, X_val, y_val = halves(kind)
    model = one(kind, solver=solver, alpha=0.0).fit(X, y, X_val=X_val, y_val=y_val)
    np.testing.assert_array_equal(parameters(model), parameters(one(kind, solver=solver, alpha=0.0).fit(X, y)))
    assert len(model.validation_loss_curve_) == len(model.validation_scores_) == model.n_iter_ == 12
    # The weights of the last epoch; the same sums in another order.
    assert model.validation_scores_[-1] == pytest.approx(model.score(X_val, y_val), rel=1e-12)
    assert model.best_validation_score_ == max(model.validation_scores_)
    if kind == "classifier":
        loss = log_loss(y_val, model.predict_proba(X_val))
    else:
        loss = mean_squared_error(y_val, model.predict(X_val)) / 2
    assert model.validation_loss_curve_[-1] == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("kind", PAIRS)
def test_validation_rows_end_the_training_and_its_best_weights_come_back(kind):
    X, y, X_val, y_val = halves(kind)
    options = {"n_iter_no_change": 4, "tol": 0.0, "max_iter": 400, "learning_rate_init": 0.05}
    model = one(kind, early_stopping=True, **options).fit(X, y, X_val=X_val, y_val=y_val)
    scores = model.validation_scores_
    assert len(scores) == len(model.validation_loss_curve_) == model.n_iter_ < 400
    best = int(np.argmax(scores))
    assert model.best_validation_score_ == scores[best] == pytest.approx(model.score(X_val, y_val), rel=1e-12)
    assert model.best_loss_ is None
    # All rows were trained on: the weights are those of the best epoch, without validation.
    plain = one(kind, **options | {"max_iter": best + 1, "n_iter_no_change": 500}).fit(X, y)
    np.testing.assert_array_equal(parameters(model), parameters(plain))


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_weights_of_validation_rows(make):
    X, y, X_val, y_val = halves("classifier")
    names, weights = np.array(["b", "a", "c"]), np.arange(30.0)
    given = {"X_val": make(X_val), "y_val": names[y_val], "sample_weight_val": weights}
    model = one("classifier").fit(make(X), names[y], **given)
    assert model.validation_scores_[-1] == pytest.approx(model.score(X_val, names[y_val], weights), rel=1e-12)
    loss = log_loss(names[y_val], model.predict_proba(X_val), sample_weight=weights)
    assert model.validation_loss_curve_[-1] == pytest.approx(loss, rel=1e-3), "with the penalty"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"X_val": 0}, "^X_val, y_val: got X_val alone"),
        ({"y_val": 0}, "^X_val, y_val: got y_val alone"),
        ({"sample_weight_val": 0}, "^sample_weight_val: got weights without X_val"),
        ({"X_val": np.ones((4, 3)), "y_val": 0}, "^X_val: X has 3 features.*expecting 5 features"),
        ({"X_val": np.ones(5), "y_val": 0}, "^X_val: Expected 2D array"),
        ({"X_val": np.full((30, 5), np.nan), "y_val": 0}, "^X_val: Input X contains NaN"),
        ({"X_val": 0, "y_val": [0, 1]}, "^y_val: got 2 rows where X_val has 30"),
        ({"X_val": 0, "y_val": np.full(30, 7)}, "^y_val: got label (np.int64\\()?7"),
        ({"X_val": 0, "y_val": np.full(30, np.nan)}, "^Input y_val contains NaN"),
        ({"X_val": 0, "y_val": np.full(30, 1j)}, "^y_val: Complex data not supported"),
        ({"X_val": 0, "y_val": np.ones((30, 2))}, "^y_val: got shape [(]30, 2[)]; one label per row"),
        ({"X_val": 0, "y_val": np.ones((30, 2, 2))}, "^y_val: Found array with dim 3"),
        ({"X_val": 0, "y_val": np.full(30, "a", object)}, "^y_val: got labels of another kind"),
        ({"X_val": 0, "y_val": 0, "sample_weight_val": np.ones(3)}, "^sample_weight_val: "),
        ({"X_val": 0, "y_val": 0, "sample_weight_val": -np.ones(30)}, "^sample_weight_val: got -1.0 at row 0"),
        ({"X_val": 0, "y_val": 0, "sample_weight_val": np.zeros(30)}, "^sample_weight_val: "),
        ({"X_val": 0, "y_val": 0, "sample_weight_val": ["a"] * 30}, "^sample_weight_val: could not convert"),
    ],
    ids=str,
)
def test_wrong_validation_rows_are_refused(given, words):
    X, y, X_val, y_val = halves("classifier")
    whole = {"X_val": X_val, "y_val": y_val, "sample_weight_val": np.ones(30)}
    given = {name: whole[name] if np.ndim(value) == 0 else value for name, value in given.items()}
    with pytest.raises(ValueError, match=words) as error:
        one("classifier").fit(X, y, **given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda y: y[:-1], "^y_val: got 29 rows where X_val has 30"),
        (lambda y: np.c_[y, y], "^y_val: got 2 columns"),
        (lambda y: np.where(y > 0, np.nan, y), "^Input y_val contains NaN"),
        (lambda y: np.where(y > 0, None, y), "^y_val: got nan"),
        (lambda y: y.astype(str), "^y_val: got dtype <U"),
        (lambda y: y.astype("M8[s]"), "^y_val: got dtype datetime64"),
        (lambda y: y + 0j, "^y_val: Complex data not supported"),
        (lambda y: np.zeros((30, 0)), "^y_val: Found array with 0 feature"),
        (lambda y: -np.abs(y), "^y_val: got -.* with loss 'poisson'"),
        (lambda y: np.abs(y) + 1e300, "^y_val: got 1e[+]300 .* which float32 cannot hold"),
    ],
)
def test_wrong_numbers_to_validate_on_are_refused(spoil, words):
    X, y, X_val, y_val = halves("regressor")
    model = one("regressor", loss="poisson")
    with pytest.raises((TypeError, ValueError), match=words):
        model.fit(X.astype(np.float32), np.abs(y), X_val=X_val, y_val=spoil(y_val))


def test_numbers_that_are_drawn_to_validate_on_are_named_as_they_came():
    X, y = rows("regressor")
    for place in range(90):  # one of ten is drawn
        spoilt = np.abs(y)
        spoilt[place] = -1.0
        with pytest.raises(ValueError, match="^y: got -1.0 .* with loss 'poisson'"):
            one("regressor", loss="poisson", early_stopping=True).fit(X, spoilt)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda flags: flags * 0.5 + 0.4, "^y_val: got 0.[49] at row 0, column 0; 0 and 1 are accepted"),
        (lambda flags: flags * 2, "^y_val: got 2 at row"),
        (lambda flags: flags * 256, "^y_val: got 256 at row"),
        (lambda flags: flags * 1e30, "^y_val: got 1e[+]30 at row"),
        (lambda flags: flags - 1, "^y_val: got -1 at row"),
        (lambda flags: sparse.csr_array(flags * 0.5), "^y_val: got 0.5 at row"),
        (lambda flags: np.where(flags == 0, np.nan, 1), "^Input y_val contains NaN"),
        (lambda flags: np.where(flags == 0, np.inf, 1), "^Input y_val contains infinity"),
        (lambda flags: flags + 1j, "^y_val: Complex data not supported"),
        (lambda flags: flags.astype(str), "^y_val: got <U"),
        (lambda flags: flags.astype("M8[s]"), "^y_val: got datetime64"),
        (lambda flags: flags.astype(object), "^y_val: got object"),
        (lambda flags: flags[:, :2], "^y_val: got 2 columns"),
        (lambda flags: flags[:, 0], "^y_val: got int64 of shape [(]30,[)]"),
        (lambda flags: flags[:5], "^y_val: got 5 rows where X_val has 30"),
    ],
)
def test_wrong_flags_to_validate_on_are_refused(spoil, words):
    X, y, X_val, y_val = halves("classifier")
    with pytest.raises(ValueError, match=words):
        one("classifier").fit(X, LABELS["flags"](y), X_val=X_val, y_val=spoil(LABELS["flags"](y_val)))


@pytest.mark.parametrize("dtype", [bool, float, np.int8, np.uint8])
def test_flags_to_validate_on_may_be_of_any_dtype(dtype):
    X, y, X_val, y_val = halves("classifier")
    flags, flags_val = LABELS["flags"](y), LABELS["flags"](y_val)
    model = one("classifier").fit(X, flags, X_val=X_val, y_val=flags_val.astype(dtype))
    assert model.validation_scores_ == one("classifier").fit(X, flags, X_val=X_val, y_val=flags_val).validation_scores_


def share_of_class_1(y, predicted):
    """A measure of one's own."""
    return float(np.mean(predicted == 1))


@pytest.mark.parametrize(
    ("kind", "metric", "sign"),
    [
        ("classifier", "accuracy", 1),
        ("classifier", "balanced_accuracy", 1),
        ("classifier", "f1", 1),
        ("classifier", "roc_auc", 1),
        ("classifier", "loss", -1),
        ("classifier", share_of_class_1, 1),
        ("regressor", "r2", 1),
        ("regressor", "mse", -1),
        ("regressor", "mae", -1),
        ("regressor", "loss", -1),
        ("regressor", Metric("worst", lambda y, p: float(np.abs(y - p).max()), rises=False), -1),
    ],
    ids=str,
)
def test_early_stopping_looks_at_what_it_is_told_to(kind, metric, sign):
    X, y, X_val, y_val = halves(kind)
    options = {"early_stopping": True, "n_iter_no_change": 3, "max_iter": 100, "alpha": 0.0, "stopping_metric": metric}
    model = one(kind, **options).fit(X, y, X_val=X_val, y_val=y_val)
    assert len(model.validation_scores_) == model.n_iter_ < 100
    assert model.best_validation_score_ == max(model.validation_scores_)
    if metric == "loss":
        value = model.network_.loss(X_val, y_val)
        np.testing.assert_array_equal(np.negative(model.validation_scores_), model.validation_loss_curve_)
    else:
        value = model.network_.score(X_val, y_val, metric=metric)
    assert sign * model.best_validation_score_ == pytest.approx(value, rel=1e-12), "the best weights came back"


@pytest.mark.parametrize(
    ("kind", "metric", "words"),
    [
        ("regressor", "accuracy", "^stopping_metric: got 'accuracy' for regression"),
        ("regressor", "f1", "^stopping_metric: got 'f1'"),
        ("classifier", "r2", "^stopping_metric: got 'r2'"),
    ],
)
def test_metrics_go_with_the_targets(kind, metric, words):
    with pytest.raises(ValueError, match=words):
        one(kind, early_stopping=True, stopping_metric=metric).fit(*rows(kind))


SIDES = np.c_[np.arange(90) > 3, np.arange(90) < 87].astype(int)


@pytest.mark.parametrize(
    ("targets", "given", "options"),
    [
        ("classes", {"X_val": slice(None, None, 3)}, {}),
        ("classes", {"X_val": slice(None), "sample_weight_val": (np.arange(90) % 3 == 0) * 2.0}, {}),
        ("rare", {}, {"validation_fraction": 0.05}),
        ("labels", {}, {"validation_fraction": 0.05}),
    ],
    ids=["one class", "one class of weight above 0", "a fraction of one class", "a fraction of like labels"],
)
@pytest.mark.parametrize("metric", ["roc_auc", Metric("area", METRICS["roc_auc"].function, given="scores")], ids=str)
def test_what_is_nan_for_the_rows_to_validate_on_is_refused(targets, given, options, metric):
    X, _ = rows("classifier")
    y = {"classes": np.arange(90) % 3, "rare": (np.arange(90) > 1).astype(int) + (np.arange(90) > 2), "labels": SIDES}
    y, chosen = y[targets], given.get("X_val")
    if chosen is not None:
        given = given | {"X_val": X[chosen], "y_val": y[chosen]}
    model = one("classifier", early_stopping=True, stopping_metric=metric, **options)
    with pytest.raises(
        ValueError, match="^stopping_metric: got '(roc_auc|area)', which is NaN if all rows have the same"
    ):
        model.fit(X, y, **given)
    model.set_params(early_stopping=False, max_iter=2).fit(X, y, **given)  # then nothing monitors it
    model.set_params(early_stopping=True, solver="lbfgs").fit(X, y, **given)


@pytest.mark.parametrize("kind", PAIRS)
def test_a_score_that_is_never_a_number_leaves_the_last_weights(kind):
    def nothing(y, predicted):
        return float("nan")

    seen = []
    options = {
        "early_stopping": True,
        "n_iter_no_change": 3,
        "callbacks": [lambda state: seen.append(state.params.copy())],
    }
    model = one(kind, stopping_metric=nothing, **options)
    with pytest.warns(UserWarning, match="^early_stopping: val_nothing was not a finite number in any epoch") as caught:
        model.fit(*rows(kind))
    assert [each.filename for each in caught] == [__file__], "one warning, of the line that called fit"
    assert model.n_iter_ == len(seen) == 4
    np.testing.assert_array_equal(model.network_.params, seen[-1])
    assert model.best_validation_score_ == -np.inf


def test_metrics_are_named_alike():
    assert set(METRICS) == {"accuracy", "balanced_accuracy", "f1", "roc_auc", "mse", "mae", "r2"}, "tested above"


# ---- ends ----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of scikit-learn's overflows
@pytest.mark.parametrize("options", [{"solver": "sgd", "learning_rate_init": 1e4}, {"learning_rate_init": 1e300}])
def test_a_divergence_is_an_error(options):
    X, y = rows("regressor")
    words = "^Solver produced non-finite parameter weights. The input data may contain large values and need to be pre"
    for model in both("regressor", activation="identity", max_iter=60, **options):
        with pytest.raises(ValueError, match=words):
            model.fit(X, 1e3 * y)


def test_with_early_stopping_the_best_weights_are_there_after_a_divergence():
    X, y = rows("regressor")
    model = one("regressor", solver="sgd", learning_rate_init=1e4, activation="identity", early_stopping=True)
    with pytest.warns(fastmlp.DivergenceWarning, match="stopped being finite"):
        model.fit(X, y)
    assert np.isfinite(parameters(model)).all()


@pytest.mark.parametrize("early_stopping", [False, True])
def test_an_interruption_leaves_what_was_learned(early_stopping):
    X, y = rows("classifier")

    def interrupt(state):
        if state.epoch == 5:
            raise KeyboardInterrupt

    model = one("classifier", callbacks=[interrupt], warm_start=True, early_stopping=early_stopping)
    with pytest.warns(UserWarning, match="^Training interrupted by user[.]$"):
        model.fit(X, y)
    assert len(model.loss_curve_) == model.n_iter_ == 5
    expected = one("classifier", max_iter=5, warm_start=True, early_stopping=early_stopping).fit(X, y)
    np.testing.assert_array_equal(parameters(model), parameters(expected))
    assert model.predict(X).shape == (90,)
    model.set_params(callbacks=None).fit(X, y)
    np.testing.assert_array_equal(parameters(model), parameters(expected.set_params(max_iter=12).fit(X, y)))


def test_an_interrupted_search_is_no_lack_of_convergence():
    X, y = rows("regressor")

    def interrupt(state):
        if state.epoch == 3:
            raise KeyboardInterrupt

    model = one("regressor", solver="lbfgs", callbacks=[interrupt])
    with pytest.warns(UserWarning, match="^Training interrupted by user[.]$") as caught:
        model.fit(X, y)
    assert len(caught) == 1
    assert (model.n_iter_, len(model.loss_curve_)) == (3, 3)


def test_a_schedule_that_looks_at_the_epochs_leaves_the_stop_to_tol():
    X, y = rows("classifier")
    rate = fastmlp.schedules.OnPlateau(0.01, patience=50)
    model = ours.MLPClassifier(5, learning_rate=rate, tol=0.5, n_iter_no_change=3, random_state=0).fit(X, y)
    assert model.n_iter_ < 30
    assert model.history_.stopped == "loss has not improved for 4 epochs"
