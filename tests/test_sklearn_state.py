"""The state of a model: copies, coefficients that are replaced, random states."""

# ruff: noqa: E402 (scikit-learn may be missing)
import copy
import inspect
import pickle
import subprocess
import sys

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.7")
import joblib
from sklearn.base import clone
from sklearn_models import (
    FIT,
    PAIRS,
    assert_equal_fits,
    both,
    one,
    parameters,
    rows,
)

import fastmlp
from fastmlp import sklearn as ours

# Most fits end at max_iter, long before they have converged.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# ---- copies --------------------------------------------------------------------------------------------------


def halfway(kind, name):
    """A model in the middle of what it is to learn, and how it goes on."""
    X, y = rows(kind)
    if name == "partial":
        model = one(kind, solver="sgd", learning_rate="invscaling", learning_rate_init=0.1, batch_size=10)
        for first in (0, 30):
            classes = {"classes": [0, 1, 2]} if kind == "classifier" else {}
            model.partial_fit(X[first : first + 30], y[first : first + 30], **classes)
        return model
    options = {
        "warm": {},
        "stopped early": {"early_stopping": True, "stopping_metric": "loss"},
        "lbfgs": {"solver": "lbfgs"},
        "wide": {"dropout": 0.2, "activation": ["gelu"], "solver": fastmlp.AdamW(), "l1": 1e-3},
    }[name]
    X = X.astype(np.float32) if name == "warm" else X
    return one(kind, warm_start=True, **options).fit(X, y)


def go_on(kind, name, model):
    X, y = rows(kind)
    X = X.astype(model.coefs_[0].dtype)
    answers = [model.predict(X), *([model.predict_proba(X)] if kind == "classifier" else [])]
    model = model.partial_fit(X[60:], y[60:]) if name == "partial" else model.fit(X, y)
    return [*answers, parameters(model), np.array(model.loss_curve_), model.predict(X)]


HALFWAY = ("partial", "warm", "stopped early", "lbfgs", "wide")


def test_models_go_on_in_another_process_as_they_would_have_here(tmp_path):
    models = {f"{kind} {name}": halfway(kind, name) for kind in PAIRS for name in HALFWAY}
    for name, model in models.items():
        with open(tmp_path / f"{name}.pickle", "wb") as file:
            pickle.dump(model, file)
        joblib.dump(model, tmp_path / f"{name}.joblib", compress=name.endswith("warm"))
    source = (
        "import pickle, sys, joblib, numpy as np\n"
        + "".join(inspect.getsource(each) for each in (rows, parameters, go_on))
        + "folder, *names = sys.argv[1:]\n"
        "for name in names:\n"
        "    for kind in ('pickle', 'joblib'):\n"
        "        path = f'{folder}/{name}.{kind}'\n"
        "        model = joblib.load(path) if kind == 'joblib' else pickle.load(open(path, 'rb'))\n"
        "        np.savez(path, *go_on(*name.split(' ', 1), model))\n"
        "print('sklearn.neural_network' in sys.modules, type(model).__module__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source, str(tmp_path), *models],
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False", "fastmlp.sklearn"]
    for name, model in models.items():
        expected = go_on(*name.split(" ", 1), model)
        for how in ("pickle", "joblib"):
            with np.load(tmp_path / f"{name}.{how}.npz") as found:
                assert len(found.files) == len(expected)
                for number, array in enumerate(expected):
                    np.testing.assert_array_equal(found[f"arr_{number}"], array, err_msg=f"{name}, {how}, {number}")


@pytest.mark.parametrize("name", HALFWAY)
@pytest.mark.parametrize("kind", PAIRS)
def test_deep_copies_go_their_own_way(kind, name):
    model = halfway(kind, name)
    before, twin = parameters(model), copy.deepcopy(model)
    expected = go_on(kind, name, twin)
    assert not np.array_equal(parameters(twin), before), "the copy learned"
    np.testing.assert_array_equal(parameters(model), before)
    for found, array in zip(go_on(kind, name, model), expected, strict=True):
        np.testing.assert_array_equal(found, array)


def test_shallow_copies_answer_alike():
    X, y = rows("classifier")
    model = one("classifier").fit(X, y)
    twin = copy.copy(model)
    np.testing.assert_array_equal(twin.predict_proba(X), model.predict_proba(X))
    expected = model.predict_proba(X)
    twin.coefs_ = [np.zeros_like(weights) for weights in twin.coefs_]
    assert np.ptp(twin.predict_proba(X), axis=0).max() == 0, "all rows alike"
    np.testing.assert_array_equal(model.predict_proba(X), expected)


@pytest.mark.parametrize("kind", PAIRS)
def test_a_clone_of_a_fitted_model_fits_as_it_did(kind):
    X, y = rows(kind)
    model = one(kind, warm_start=True).fit(X, y)
    np.testing.assert_array_equal(parameters(clone(model).fit(X, y)), parameters(model))
    assert not np.array_equal(parameters(clone(model.fit(X, y)).fit(X, y)), parameters(model)), "which went on"


# ---- coefficients that are replaced --------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["coefs_", "intercepts_"])
@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("kind", PAIRS)
def test_replaced_coefficients_are_those_that_answer(kind, where, layer):
    X, y = rows(kind)
    answers = []
    for model in both(kind, alpha=0.1):
        model.fit(X, y)
        given = getattr(model, where)
        given[layer] = given[layer] * 1.5 + 0.1
        replaced = model.predict_proba(X) if kind == "classifier" else model.predict(X)
        getattr(model, where)[layer].flat[0] -= 0.5  # in place
        answers.append([replaced, model.predict_proba(X) if kind == "classifier" else model.predict(X)])
    assert not np.allclose(*answers[0])
    np.testing.assert_allclose(*answers, **FIT)


def test_training_goes_on_from_replaced_coefficients():
    X, y = rows("classifier")
    for name in ("fit", "partial_fit"):
        fits = []
        for model in both("classifier", solver="sgd", warm_start=True):
            model.fit(X, y)
            model.coefs_[1] = model.coefs_[1] / 2
            fits.append(getattr(model, name)(X, y))
        assert_equal_fits(*fits)


def test_units_may_be_taken_out():
    X, y = rows("regressor")
    answers = []
    for model in both("regressor"):
        model.fit(X, y)
        model.coefs_ = [model.coefs_[0][:, :4], model.coefs_[1][:4]]
        model.intercepts_ = [model.intercepts_[0][:4], model.intercepts_[1]]
        answers.append(model.predict(X))
    np.testing.assert_allclose(*answers, **FIT)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_coefficients_that_were_kept_stay_those_of_their_fit(solver):
    X, y = rows("classifier")
    model, kept = ours.MLPClassifier(5, solver=solver, random_state=0, max_iter=5), []
    for alpha in (0.0, 1.0):
        model.set_params(alpha=alpha).fit(X, y)
        kept.append((model.coefs_, [part.copy() for part in model.coefs_]))
    for held, copied in kept:
        assert all(np.array_equal(*pair) for pair in zip(held, copied, strict=True))
    assert not np.array_equal(kept[0][0][0], kept[1][0][0])


# ---- random states -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("kind", PAIRS)
def test_a_random_state_is_left_as_scikit_learn_leaves_it(kind, solver, shuffle, early_stopping):
    X, y = rows(kind)
    for max_iter in (5, 80):  # the second ends by the rule
        states, fits = [], []
        for model in both(
            kind,
            solver=solver,
            shuffle=shuffle,
            early_stopping=early_stopping,
            n_iter_no_change=2,
            tol=0.05,
            max_iter=max_iter,
        ):
            state = np.random.RandomState(5)
            fits.append(model.set_params(random_state=state).fit(X, y))
            if solver != "lbfgs" and not early_stopping:
                model.partial_fit(X[:40], y[:40])
            states.append(state.get_state())
        assert_equal_fits(*fits)
        for found, expected in zip(*states, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_without_a_random_state_numpys_own_is_drawn_from():
    X, y = rows("classifier")
    fits = []
    for model in both("classifier", random_state=None):
        np.random.seed(3)  # noqa: NPY002 (scikit-learn's default)
        fits.append(model.fit(X, y))
    assert_equal_fits(*fits)
    assert not np.array_equal(parameters(fits[0]), parameters(one("classifier", random_state=None).fit(X, y)))
