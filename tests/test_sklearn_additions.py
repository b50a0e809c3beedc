"""What is added to scikit-learn's parameters: clipping, dropout, losses, optimizers, activations."""

# ruff: noqa: E402 (scikit-learn may be missing)

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.7")
from scipy import sparse
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.metrics import mean_absolute_error, mean_pinball_loss, r2_score
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn_models import (
    FIT,
    LABELS,
    both,
    one,
    parameters,
    rows,
)

import fastmlp

# Most fits end at max_iter, long before they have converged.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def stepped(**options):
    """The parameters before and after one step of plain gradient descent of rate 1 over all rows."""
    X, y = rows("regressor")
    plain = {"solver": "sgd", "momentum": 0.0, "batch_size": 90, "alpha": 0.0, "shuffle": False, "max_iter": 1}
    still = one("regressor", **plain | options | {"learning_rate_init": 1e-300}).fit(X, 10 * y)
    return still, one("regressor", **plain | options | {"learning_rate_init": 1.0}).fit(X, 10 * y)


def test_gradients_are_clipped():
    steps = {}
    for name, options in {"plain": {}, "norm": {"clip_norm": 0.5}, "value": {"clip_value": 0.01}}.items():
        before, after = stepped(**options)
        steps[name] = parameters(after) - parameters(before)
    assert np.linalg.norm(steps["plain"]) > 1
    # The roundings of parameters of some ones.
    norm = np.linalg.norm(steps["plain"]) + 1e-6  # PyTorch's guard against 0
    np.testing.assert_allclose(steps["norm"], steps["plain"] * 0.5 / norm, atol=1e-14)
    np.testing.assert_allclose(steps["value"], np.clip(steps["plain"], -0.01, 0.01), atol=1e-14)


def test_incoming_weights_have_a_largest_norm():
    _, after = stepped(max_norm=0.7)
    norms = np.concatenate([np.linalg.norm(weights, axis=0) for weights in after.coefs_])
    assert norms.max() == pytest.approx(0.7, rel=1e-12), "scaled down to it, but for rounding"
    assert max(np.linalg.norm(weights, axis=0).max() for weights in stepped()[1].coefs_) > 0.7


def test_dropout_draws_from_the_random_state():
    X, y = rows("classifier")
    plain, dropped, again, other = (
        parameters(one("classifier", dropout=share, random_state=seed).fit(X, y))
        for share, seed in ((0.0, 0), (0.5, 0), ([0.5], 0), (0.5, 1))
    )
    np.testing.assert_array_equal(dropped, again)
    assert np.abs(dropped - plain).max() > 1e-2
    assert np.abs(dropped - other).max() > 1e-2
    model = one("classifier", dropout=0.5).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(X), "no units are dropped there")


def test_dropout_that_changes_over_the_epochs():
    X, y = rows("classifier")
    asked = []

    def rising(epoch):
        asked.append(epoch)
        return min(0.5, 0.1 * epoch)

    number, answer, changing = (one("classifier", dropout=given).fit(X, y) for given in (0.5, lambda _: 0.5, rising))
    np.testing.assert_array_equal(parameters(answer), parameters(number))
    assert np.abs(parameters(changing) - parameters(number)).max() > 1e-2
    asked.clear()
    chunks = one("classifier", dropout=rising)
    for _ in range(3):
        chunks.partial_fit(X, y, classes=[0, 1, 2])
    assert asked == [0, 1, 2], "epochs of all fits of a network"
    assert chunks.set_params(dropout=0.1).partial_fit(X, y).network_.dropout == (0.1,)
    with pytest.raises(ValueError, match="^dropout: got 1.5 for epoch 0; .* accepted"):
        one("classifier", dropout=lambda _: 1.5).fit(X, y)
    with pytest.raises(ValueError, match="^dropout: got <function .* with optimizer 'lbfgs'"):
        one("classifier", dropout=rising, solver="lbfgs").fit(X, y)


def test_l1_makes_weights_small():
    X, y = rows("regressor")
    sizes = [
        np.abs(np.concatenate([w.ravel() for w in one("regressor", l1=l1, max_iter=60).fit(X, y).coefs_])).sum()
        for l1 in (0.0, 1.0, 5.0)
    ]
    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.parametrize("init", ["he_normal", "he_uniform", "lecun_normal", "glorot_normal", "orthogonal", "article"])
def test_other_initial_weights(init):
    X, y = rows("regressor")
    options = {"hidden_layer_sizes": 400, "learning_rate_init": 1e-300, "max_iter": 1, "solver": "sgd"}
    given, usual = (one("regressor", init=name, **options).fit(X, y) for name in (init, "glorot_uniform"))
    assert not np.array_equal(parameters(given), parameters(usual))
    expected = {"he_normal": 2 / 5, "he_uniform": 2 / 5, "lecun_normal": 1 / 5, "glorot_normal": 2 / 405}
    if init in expected:
        # The variance of 2000 draws: its own standard deviation is 3 per cent of it.
        assert np.var(given.coefs_[0]) == pytest.approx(expected[init], rel=0.15)
        assert given.intercepts_[0].any(), "drawn like weights"


def test_smoothed_labels_make_less_certain():
    X, y = rows("classifier")
    certain, less = (
        one("classifier", label_smoothing=share, max_iter=100).fit(X, y).predict_proba(X).max(axis=1).mean()
        for share in (0.0, 0.3)
    )
    assert less < 0.8 < certain, "the share of the right class is 0.8"


@pytest.mark.parametrize("labels", ["two", "three", "flags"])
def test_hinge_loss_has_no_probabilities(labels):
    X, y = rows("classifier")
    y = {"two": np.array(["no", "yes"])[np.minimum(y, 1)], "three": y, "flags": LABELS["flags"](y)}[labels]
    model = one("classifier", loss="hinge", max_iter=100).fit(X, y)
    assert model.score(X, y) > 0.7
    assert model.predict(X).dtype == y.dtype
    for name in ("predict_proba", "predict_log_proba"):
        assert not hasattr(model, name)
    assert hasattr(one("classifier"), "predict_proba")


@pytest.mark.parametrize("labels", ["two", "three", "flags"])
def test_hinge_loss_has_margins(labels):
    X, y = rows("classifier")
    y = {"two": np.array(["no", "yes"])[np.minimum(y, 1)], "three": y, "flags": LABELS["flags"](y)}[labels]
    model = one("classifier", loss="hinge", max_iter=60).fit(X, y)
    margins, predicted = model.decision_function(X), model.predict(X)
    assert margins.shape == {"two": (90,), "three": (90, 3), "flags": (90, 3)}[labels]
    of_margins = {
        "two": lambda: model.classes_[(margins > 0).astype(int)],
        "three": lambda: model.classes_[margins.argmax(axis=1)],
        "flags": lambda: margins > 0,
    }
    np.testing.assert_array_equal(of_margins[labels](), predicted)
    np.testing.assert_array_equal(margins.reshape(90, -1), model.network_.forward(X)[-1])
    np.testing.assert_array_equal(model.decision_function(sparse.csr_array(X)), margins)
    assert one("classifier", loss="hinge").fit(X.astype(np.float32), y).decision_function(X).dtype == np.float32


def test_margins_of_a_single_class_and_of_a_stream():
    X, y = rows("classifier")
    assert (one("classifier", loss="hinge").fit(X, np.zeros(90)).decision_function(X) < 0).mean() > 0.9
    model = one("classifier", loss="hinge").partial_fit(X, y, classes=[0, 1, 2, 3])
    assert model.decision_function(X).shape == (90, 4)


@pytest.mark.parametrize("loss", ["log_loss", *(fastmlp.losses.LOSSES[name] for name in ("cross_entropy", "hinge"))])
def test_margins_are_for_hinge_loss_alone(loss):
    model = one("classifier", loss=loss)
    is_hinge = getattr(loss, "name", loss) == "hinge"
    assert hasattr(model, "decision_function") == is_hinge == (not hasattr(model, "predict_proba"))
    if is_hinge:
        with pytest.raises(NotFittedError):
            model.decision_function(rows("classifier")[0])


@pytest.mark.parametrize("labels", ["two", "three", "flags"])
def test_margins_serve_scikit_learns_tools(labels):
    X, y = rows("classifier")
    y = {"two": (y > 0).astype(int), "three": y, "flags": LABELS["flags"](y)}[labels]
    model = one("classifier", loss="hinge", max_iter=60)
    score = "average_precision" if labels == "three" else "roc_auc"
    assert cross_val_score(model, X, y, scoring=score, cv=3, error_score="raise").mean() > 0.6
    assert cross_val_predict(model, X, y, cv=3, method="decision_function").shape[0] == 90
    one_versus_rest = OneVsRestClassifier(model).fit(X, y)
    assert one_versus_rest.score(X, y) > 0.6
    assert one_versus_rest.decision_function(X).shape == ((90,) if labels == "two" else (90, 3))
    if labels == "flags":  # which the others do not take
        return
    for ensemble in (True, False):
        calibrated = CalibratedClassifierCV(model, cv=3, ensemble=ensemble).fit(X, y).predict_proba(X)
        np.testing.assert_allclose(calibrated.sum(axis=1), 1.0, rtol=1e-12)
        assert (calibrated.argmax(axis=1) == y).mean() > 0.6
    if labels == "two":
        tuned = TunedThresholdClassifierCV(model, scoring="balanced_accuracy", cv=3).fit(X, y)
        assert tuned.score(X, y) > 0.6
        # At the margin 0 the threshold is that of predict.
        plain = FixedThresholdClassifier(model, threshold=0.0).fit(X, y)
        np.testing.assert_array_equal(plain.predict(X), plain.estimator_.predict(X))


def test_calibration_of_other_losses_stays_scikit_learns():
    X, y = rows("classifier")
    fits = [CalibratedClassifierCV(model, cv=3).fit(X, y).predict_proba(X) for model in both("classifier")]
    np.testing.assert_allclose(*fits, **FIT)


def test_robust_losses():
    X, y = rows("regressor")
    spoiled = y.copy()
    spoiled[::15] += 100.0
    errors = {
        name: np.median(np.abs(y - one("regressor", loss=loss, max_iter=150).fit(X, spoiled).predict(X)))
        for name, loss in {
            "squares": "squared_error",
            "huber": "huber",
            "a smaller huber": fastmlp.losses.huber(0.5),
            "absolute": "absolute_error",
            "log_cosh": "log_cosh",
        }.items()
    }
    assert errors["squares"] > 3 * max(error for name, error in errors.items() if name != "squares")


def test_quantiles():
    X = np.random.default_rng(0).standard_normal((400, 1))
    y = X[:, 0] + np.random.default_rng(1).standard_normal(400)
    model = one("regressor", loss=fastmlp.losses.quantile(0.1, 0.9), max_iter=200).fit(X, y)
    low, high = model.predict(X).T
    assert (model.n_outputs_, model.out_activation_) == (2, "identity")
    # A share of 400 rows has a standard deviation of 0.015, and the fit an error of its own.
    assert np.mean(y < low) == pytest.approx(0.1, abs=0.05)
    assert np.mean(y > high) == pytest.approx(0.1, abs=0.05)
    median = one("regressor", loss="quantile", max_iter=200).fit(X, y)
    assert np.mean(y < median.predict(X)) == pytest.approx(0.5, abs=0.06)


QUANTILES = fastmlp.losses.quantile(0.1, 0.5, 0.9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("targets", [1, 2])
def test_several_quantiles_are_scored_by_the_pinball_loss(targets, weighted):
    X, y = rows("regressor")
    y = y if targets == 1 else np.c_[y, y**2]
    weights = np.random.default_rng(2).uniform(0, 2, 90) if weighted else None
    model = one("regressor", loss=QUANTILES).fit(X, y)
    predicted = model.predict(X)
    losses = [
        mean_pinball_loss(
            y.reshape(90, -1)[:, column // 3],
            predicted[:, column],
            alpha=QUANTILES.parameters[column % 3],
            sample_weight=weights,
        )
        for column in range(3 * targets)
    ]
    # The same sums in another order.
    assert model.score(X, y, weights) == pytest.approx(-np.mean(losses), rel=1e-12)
    assert model.score(sparse.csr_array(X), y, weights) == pytest.approx(-np.mean(losses), rel=1e-12)
    assert (cross_val_score(model, X, y, error_score="raise") < 0).all()
    search = GridSearchCV(model, {"alpha": [1e-4, 10.0]}, error_score="raise").fit(X, y)
    assert search.best_score_ == search.cv_results_["mean_test_score"].max()


def test_early_stopping_of_several_quantiles():
    X, y = rows("regressor")
    given = {"X_val": X[60:], "y_val": y[60:], "sample_weight_val": np.arange(30.0)}
    model = one("regressor", loss=QUANTILES, early_stopping=True, max_iter=40).fit(X[:60], y[:60], **given)
    best = model.score(X[60:], y[60:], np.arange(30.0))
    assert max(model.validation_scores_) == model.best_validation_score_ == pytest.approx(best, rel=1e-12)
    held_out = one("regressor", loss=QUANTILES, early_stopping=True).fit(X, y)
    assert len(held_out.validation_scores_) == held_out.n_iter_
    assert one("regressor", loss=QUANTILES, early_stopping=True, stopping_metric="loss").fit(X, y).n_iter_ == 12


def test_a_metric_of_ones_own_takes_several_quantiles():
    X, y = rows("regressor")

    def of_the_median(y, predicted):
        assert (y.shape, predicted.shape) == (y.shape[:1], (len(y), 3))
        return -np.abs(y - predicted[:, 1]).mean()

    model = one("regressor", loss=QUANTILES, early_stopping=True, stopping_metric=of_the_median)
    model.fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    error = mean_absolute_error(y[60:], model.predict(X[60:])[:, 1])
    assert model.best_validation_score_ == pytest.approx(-error, rel=1e-12)
    for name in ("r2", "mse", "mae"):
        with pytest.raises(ValueError, match=f"^stopping_metric: got '{name}' with 3 quantiles per target"):
            model.set_params(stopping_metric=name).fit(X, y)


def test_one_quantile_is_scored_as_numbers_are():
    X, y = rows("regressor")
    for loss in ("quantile", fastmlp.losses.quantile(0.9)):
        model = one("regressor", loss=loss).fit(X, y)
        assert model.score(X, y) == r2_score(y, model.predict(X))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda X, y: (X, np.c_[y, y]), "^y: got 2 columns"),
        (lambda X, y: (X, y[:5]), "^y: got 5 rows where X has 90"),
        (lambda X, y: (X, None), "^y: "),
        (lambda X, y: (X, y + 1j), "^y: Complex data not supported"),
        (lambda X, y: (X, np.where(y > 1, np.nan, y)), "^Input y contains NaN"),
        (lambda X, y: (X, y, [1.0]), "^sample_weight: got 1 weights for 90 rows"),
        (lambda X, y: (X[:, :2], y), "X has 2 features"),
    ],
)
def test_what_cannot_be_scored_is_refused(spoil, words):
    X, y = rows("regressor")
    model = one("regressor", loss=QUANTILES).fit(X, y)
    with pytest.raises((TypeError, ValueError), match=words):
        model.score(*spoil(X, y))


@pytest.mark.parametrize("targets", [1, 2])
def test_gaps_are_left_out_of_the_score(targets):
    X, y = rows("regressor")
    y = y if targets == 1 else np.c_[y, y**2]
    gaps = np.where(np.random.default_rng(3).random(y.shape) < 0.3, np.nan, y)
    weights = np.random.default_rng(2).uniform(0, 2, 90)
    model = one("regressor", missing_targets="mask").fit(X, gaps)
    for given in (None, weights):
        expected = []
        for true, predicted in zip(gaps.reshape(90, -1).T, model.predict(X).reshape(90, -1).T, strict=True):
            kept = ~np.isnan(true)
            expected.append(r2_score(true[kept], predicted[kept], sample_weight=None if given is None else given[kept]))
        assert model.score(X, gaps, given) == pytest.approx(np.mean(expected), rel=1e-12)
        assert model.score(X, gaps, given) == model.network_.score(X, gaps, given)
    assert model.score(X, y) == pytest.approx(r2_score(y, model.predict(X)), rel=1e-12)
    assert np.isfinite(cross_val_score(model, X, gaps, error_score="raise")).all()
    assert np.isfinite(GridSearchCV(model, {"alpha": [1e-4, 1.0]}, error_score="raise").fit(X, gaps).best_score_)
    quantiles = one("regressor", missing_targets="mask", loss=QUANTILES, early_stopping=True).fit(X, gaps)
    assert quantiles.score(X, gaps) < 0
    with pytest.raises(ValueError, match="^y: got NaN in every place"):
        model.score(X, gaps * np.nan)


def test_gaps_in_targets():
    X, y = rows("regressor")
    targets = np.c_[y, -y]
    targets[::2, 1] = np.nan
    with pytest.raises(ValueError, match="Input y contains NaN"):
        one("regressor").fit(X, targets)
    model = one("regressor", missing_targets="mask", max_iter=100).fit(X, targets)
    assert np.corrcoef(model.predict(X)[::2, 1], -y[::2])[0, 1] > 0.5, "what was not observed is predicted"


@pytest.mark.parametrize("solver", ["sgd", "adam", "rmsprop"])
def test_rates_of_fastmlp(solver):
    X, y = rows("regressor")
    model = one("regressor", solver=solver, learning_rate=fastmlp.schedules.Exponential(0.01, 0.8)).fit(X, y)
    # One product an epoch.
    np.testing.assert_allclose(model.history_.learning_rate, 0.01 * 0.8 ** np.arange(12), rtol=1e-12)


@pytest.mark.parametrize("solver", ["adamw", "nadam", "amsgrad", "rmsprop", "adagrad", "lion", fastmlp.SGD()], ids=str)
def test_optimizers_of_fastmlp(solver):
    X, y = rows("regressor")
    model = one("regressor", solver=solver, max_iter=40).fit(X, y)
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    assert not np.array_equal(parameters(model), parameters(one("regressor", max_iter=40).fit(X, y)))


def test_activations_of_fastmlp():
    X, y = rows("regressor")
    model = one("regressor", hidden_layer_sizes=(6, 4), activation=["gelu", "logistic"]).fit(X, y)
    assert model.network_.activations == ("gelu", "sigmoid", "identity")
    fits = [one("regressor", activation=name).fit(X, y) for name in ("relu", ["relu"])]
    np.testing.assert_array_equal(*map(parameters, fits))
    assert one("regressor", hidden_layer_sizes=()).fit(X, y).network_.sizes == (5, 1)
