"""Fits of the estimators are scikit-learn's: the same objective, formulas, draws and rules, step for step."""

import warnings

import numpy as np
import pytest
import sklearn.neural_network
from sklearn.datasets import load_diabetes, load_digits, load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning

import fastmlp
import fastmlp.sklearn
from fastmlp.sklearn import _translation

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # fits are cut short here

# Of coefficients and losses after whole fits in float64, absolute, both of size 1. Both add the same numbers in another
# order: some 1e-16 a step, which relus near 0 and Adam's division by small gradients make larger. 7e-11 was the most.
SAME = 1e-9


def both(kind):
    """scikit-learn's estimator and ours."""
    return getattr(sklearn.neural_network, kind), getattr(fastmlp.sklearn, kind)


def rows(name):
    """Features, targets and the kind of estimator."""
    if name == "digits":
        X, y = load_digits(return_X_y=True)
        return X[:200] / 16, y[:200], "MLPClassifier"
    if name == "two classes":
        X, y = load_digits(n_class=2, return_X_y=True)
        return X[:200] / 16, np.where(y, "one", "nought")[:200], "MLPClassifier"
    if name == "iris":
        return *load_iris(return_X_y=True), "MLPClassifier"
    if name == "labels":
        return *make_multilabel_classification(200, random_state=0), "MLPClassifier"
    X, y = load_diabetes(return_X_y=True)
    y = (y - 150) / 80
    if name == "outputs":
        return X, np.column_stack((y, y**2)), "MLPRegressor"
    return X, np.exp(y) if name == "counts" else y, "MLPRegressor"


def assert_same_fit(theirs, ours, X):
    """Everything that a fit leaves is the same."""
    for name in ("n_iter_", "t_", "n_outputs_", "n_layers_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for one, other in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=SAME)
    assert ours.loss_ == pytest.approx(theirs.loss_, abs=SAME)
    if theirs.solver != "lbfgs":  # of which scikit-learn keeps no curve
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=0, atol=SAME)
        for name in ("best_loss_", "best_validation_score_", "validation_scores_"):
            expected = getattr(theirs, name)
            assert getattr(ours, name) == (expected if expected is None else pytest.approx(expected, abs=SAME)), name
    np.testing.assert_allclose(
        *(getattr(model, "predict_proba", model.predict)(X) for model in (ours, theirs)), rtol=0, atol=10 * SAME
    )


# ---- fifty steps, set up by hand ---------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_fifty_steps_from_the_same_weights_and_batches(backend, solver, activation, weighted):
    X, y, _ = rows("digits")
    weights = np.random.default_rng(0).uniform(0.5, 2, len(y)) if weighted else None
    theirs = sklearn.neural_network.MLPClassifier(
        (30, 20),
        activation=activation,
        solver=solver,
        alpha=0.1,
        batch_size=80,
        max_iter=10,
        shuffle=False,
        random_state=0,
    )
    theirs.fit(X, y, sample_weight=weights)  # 5 batches an epoch, 10 epochs

    sizes = (64, 30, 20, 10)
    begin = _translation.initial_parameters(
        np.random.RandomState(0), sizes, ["sigmoid" if activation == "logistic" else activation] * 2, "glorot_uniform"
    )
    network = fastmlp.Network(
        sizes,
        activation=_translation.activation_names(activation, layers=2),
        loss="cross_entropy",
        l2=0.1,
        init=begin,
        backend=backend,
    )
    optimizer = (
        fastmlp.SGD(0.9, nesterov=True, rate_in_velocity=True) if solver == "sgd" else fastmlp.Adam(epsilon_hat=True)
    )
    network.train(
        X,
        y,
        optimizer=optimizer,
        learning_rate=0.001,
        batch_size=80,
        epochs=10,
        shuffle=False,
        average="batch",
        sample_weight=weights,
    )
    moved = np.abs(network.params - begin).max()
    assert moved > 1e-4
    for ours, expected in zip(network.weights + network.biases, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(network.history.loss, theirs.loss_curve_, rtol=0, atol=1e-9)


# ---- whole fits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"early_stopping": True},
        {"activation": "logistic", "batch_size": 37, "max_iter": 20},
        {
            "activation": "tanh",
            "hidden_layer_sizes": (20, 10),
            "shuffle": False,
            "beta_1": 0.8,
            "beta_2": 0.9,
            "epsilon": 1e-3,
            "learning_rate_init": 0.01,
            "max_iter": 50,
        },
        {"activation": "identity", "alpha": 2.0, "batch_size": 50, "max_iter": 50},
        {"hidden_layer_sizes": 7, "n_iter_no_change": 2, "tol": 1e-2},
        {"n_iter_no_change": np.inf, "max_iter": 30},
        {"solver": "sgd", "learning_rate_init": 0.05},
        {"solver": "sgd", "momentum": 0.0, "max_iter": 40},
        {"solver": "sgd", "momentum": 1.0, "nesterovs_momentum": False, "learning_rate_init": 1e-4, "max_iter": 10},
        {"solver": "sgd", "nesterovs_momentum": False, "batch_size": 60, "max_iter": 40},
        {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.3, "learning_rate_init": 0.05, "max_iter": 40},
        {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.05, "tol": 1e-3, "max_iter": 400},
        {
            "solver": "sgd",
            "learning_rate": "adaptive",
            "early_stopping": True,
            "validation_fraction": 0.2,
            "learning_rate_init": 0.1,
            "n_iter_no_change": 3,
            "max_iter": 300,
        },
        # Few iterations: a line search makes much of rounding, most of all where few units see few rows.
        {"solver": "lbfgs", "max_iter": 8},
        {"solver": "lbfgs", "hidden_layer_sizes": (), "max_iter": 4, "alpha": 0.5},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["digits", "two classes", "iris", "labels", "numbers", "outputs"])
def test_whole_fits(name, options):
    X, y, kind = rows(name)
    theirs, ours = (estimator(random_state=1, **options).fit(X, y) for estimator in both(kind))
    assert_same_fit(theirs, ours, X)


@pytest.mark.parametrize("options", [{}, {"solver": "sgd"}, {"solver": "lbfgs", "max_iter": 20}], ids=str)
def test_poisson_deviance(options):
    X, y, kind = rows("counts")
    options = {"loss": "poisson", "random_state": 0, "max_iter": 40} | options
    theirs, ours = (estimator(**options).fit(X, y) for estimator in both(kind))
    assert_same_fit(theirs, ours, X)


@pytest.mark.parametrize("options", [{}, {"early_stopping": True}, {"solver": "sgd"}, {"solver": "lbfgs"}], ids=str)
@pytest.mark.parametrize("name", ["digits", "two classes", "labels", "outputs"])
def test_weights_of_rows(name, options):
    X, y, kind = rows(name)
    weights = np.random.default_rng(0).uniform(0.1, 3, len(X))
    options = {"random_state": 0, "max_iter": 30, "batch_size": 64} | options
    theirs, ours = (estimator(**options).fit(X, y, sample_weight=weights) for estimator in both(kind))
    assert_same_fit(theirs, ours, X)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_float32_stays(early_stopping):
    X, y, kind = rows("digits")
    theirs, ours = (
        estimator(random_state=0, max_iter=20, early_stopping=early_stopping).fit(X.astype(np.float32), y)
        for estimator in both(kind)
    )
    assert {part.dtype for part in ours.coefs_ + ours.intercepts_} == {np.dtype(np.float32)}
    assert ours.predict_proba(X.astype(np.float32)).dtype == np.float32
    # 100 steps of Adam in float32: each adds some 1e-7 of rounding, and divides it by a gradient as small.
    for one, other in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-3)


def test_the_convergence_warning_is_scikit_learns():
    X, y, kind = rows("iris")
    texts = []
    for estimator in both(kind):
        with pytest.warns(ConvergenceWarning) as caught:
            estimator(max_iter=3, random_state=0).fit(X, y)
        texts.append(str(caught[0].message))
    assert texts[0] == texts[1]
    assert caught[0].filename == __file__, "ours names the line that called fit"


@pytest.mark.parametrize("name", ["iris", "two classes", "numbers"])
def test_lbfgs_comes_as_far_as_scikit_learns(name):
    X, y, kind = rows(name)
    options = {"solver": "lbfgs", "hidden_layer_sizes": (), "alpha": 1.0, "max_iter": 5000, "tol": 1e-6}
    theirs, ours = (estimator(random_state=0, **options).fit(X, y) for estimator in both(kind))
    # A linear model has one minimum. Both end where a step lessens the loss by no larger share than 2e-9, which over
    # some hundred of steps of a flat valley is 1e-6.
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-6)
    assert ours.n_iter_ < 5000


def test_a_certain_and_wrong_prediction_costs_what_it_costs():
    # scikit-learn cuts probabilities to [2e-16, 1 - 2e-16], so that no row's loss is above 36; the gradient is not cut.
    X, y = np.array([[-100.0], [100.0]]), np.array([1, 0])
    options = {"hidden_layer_sizes": (), "random_state": 0, "max_iter": 1, "solver": "sgd", "alpha": 0.0}
    theirs, ours = (estimator(**options, learning_rate_init=0.1).fit(X, y) for estimator in both("MLPClassifier"))
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-8), "1 - p has few digits where p is nearly 1"
    for model in (theirs, ours):
        model.coefs_[0][:], model.intercepts_[0][:] = 1.0, 0.0
        model.partial_fit(X, y)
    assert theirs.loss_ == pytest.approx(36.04, abs=0.01)
    assert ours.loss_ == pytest.approx(100.0)
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-12)


def test_what_converged_warns_of_nothing():
    X, y, _ = rows("iris")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        fastmlp.sklearn.MLPClassifier(tol=0.1, random_state=0).fit(X, y)
        fastmlp.sklearn.MLPClassifier(solver="lbfgs", max_iter=1000, random_state=0).fit(X, y)


@pytest.mark.parametrize("n_jobs", [1, 2, 3])
def test_threads_change_no_bit(n_jobs):
    X, y, _ = rows("digits")
    expected = fastmlp.sklearn.MLPClassifier(random_state=0, max_iter=5).fit(X, y)
    model = fastmlp.sklearn.MLPClassifier(random_state=0, max_iter=5, n_jobs=n_jobs).fit(X, y)
    assert all(np.array_equal(*pair) for pair in zip(model.coefs_, expected.coefs_, strict=True))
