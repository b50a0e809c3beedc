"""The state of a model: copies, coefficients that are replaced, random states."""

# ruff: noqa: E402 (scikit-learn may be missing)
import copy
import inspect
import operator
import pickle
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.7")
import joblib
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError
from sklearn.utils.validation import check_is_fitted
from sklearn_models import (
    FIT,
    LABELS,
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


@pytest.mark.parametrize("kind", PAIRS)
def test_pickles_of_another_version_are_read_with_a_warning(kind, monkeypatch):
    X, y = rows(kind)
    model = one(kind).fit(X, y)
    data = pickle.dumps(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(data)
        copy.copy(copy.deepcopy(model))
    assert not [name for name in vars(pickle.loads(data)) if "version" in name]
    monkeypatch.setattr("fastmlp.sklearn._fitted.__version__", "9.9")
    with pytest.warns(
        InconsistentVersionWarning, match=r"version fastmlp 0\S+ when using version fastmlp 9\.9"
    ) as caught:
        found = pickle.loads(data)
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(found.predict(X), model.predict(X))


def test_pickles_without_a_version_are_of_another():
    model = one("regressor").fit(*rows("regressor"))
    state = model.__getstate__()
    del state["_fastmlp_version"]
    with pytest.warns(InconsistentVersionWarning, match="from version fastmlp before 0.1 when"):
        ours.MLPRegressor().__setstate__(state)


# ---- fits that are refused -----------------------------------------------------------------------------------


def fail(state):
    raise RuntimeError("disk full")


def later_above_1(epoch):
    return 0.5 if epoch < 2 else 1.5


LONE = {"X_val": np.ones((9, 5)), "y_val": np.zeros(9, int)}
# What is refused -> parameters, arguments beside X and y: of rows, of parameters that are checked late, of a training.
REFUSED = {
    "negative weights": ({}, {"sample_weight": -np.ones(90)}),
    "weights of 0": ({}, {"sample_weight": np.zeros(90)}),
    "weights of some rows": ({}, {"sample_weight": np.ones(9)}),
    "rows that are not finite": ({}, {"X": np.full((90, 5), np.nan)}),
    "targets of some rows": ({}, {"y": np.zeros(9, int)}),
    "narrow validation rows": ({}, LONE | {"X_val": np.ones((9, 4))}),
    "few validation targets": ({}, LONE | {"y_val": np.zeros(8, int)}),
    "validation rows alone": ({}, {"X_val": LONE["X_val"]}),
    "negative validation weights": ({}, LONE | {"sample_weight_val": -np.ones(9)}),
    "no validation rows": ({"early_stopping": True, "validation_fraction": 0.0}, {}),
    "a parameter": ({"alpha": -1.0}, {}),
    "no units": ({"hidden_layer_sizes": 0}, {}),
    "no threads": ({"n_jobs": 0}, {}),
    "two bounds": ({"clip_norm": 1.0, "clip_value": 1.0}, {}),
    "no callbacks": ({"callbacks": [3]}, {}),
    "an unknown metric": ({"early_stopping": True, "stopping_metric": "f2"}, {}),
    "a rate that follows nothing": ({"learning_rate": fastmlp.schedules.OnPlateau(0.1, monitor="val_loss")}, {}),
    "batches of rprop": ({"solver": "rprop", "batch_size": 8}, {}),
    "a search with clipping": ({"solver": "lbfgs", "clip_norm": 1.0}, {}),
    "activations of other layers": ({"activation": ["gelu", "relu"]}, {}),
    "a dropout of text": ({"dropout": str}, {}),
    "a later dropout": ({"dropout": later_above_1}, {}),
    "an error of a callback": ({"callbacks": [fail]}, {}),
    "a divergence": ({}, {"X": np.full((90, 5), 1.7e308)}),
}
OF_CLASSIFIERS = {
    "an unknown validation label": ({}, LONE | {"y_val": np.full(9, 7)}),
    "numbers": ({}, {"y": np.linspace(0, 1, 90)}),
    "an unknown class weight": ({"class_weight": {7: 2.0}}, {}),
}
OF_REGRESSORS = {
    "negative counts": ({"loss": "poisson"}, {}),
    "a loss of labels": ({"loss": "hinge"}, {}),
}


def standing(kind, name):
    """A model and how it is fitted again."""
    X, y = rows(kind)
    model = one(kind, max_iter=3, random_state=np.random.RandomState(3))
    classes = {"classes": [0, 1, 2]} if kind == "classifier" else {}
    if name == "never fitted":
        return model, model.fit
    if name == "parts":
        return model.partial_fit(X, y, **classes).partial_fit(X, y), model.partial_fit
    if name == "fitted":
        return model.fit(X, y), model.fit
    if name == "set by hand":
        model.set_params(warm_start=True).fit(X, y)
        model.coefs_ = [part / 2 for part in model.coefs_]
        return model, model.fit
    model.set_params(warm_start=True, early_stopping=name == "past its best", learning_rate_init=1.0)
    return model.fit(X, y).fit(X, y), model.fit


@pytest.mark.parametrize("name", ["never fitted", "fitted", "warm", "past its best", "set by hand", "parts"])
@pytest.mark.parametrize(
    ("kind", "refused"),
    [("classifier", each) for each in (*REFUSED, *OF_CLASSIFIERS)]
    + [("regressor", each) for each in (*REFUSED, *OF_REGRESSORS)],
)
def test_a_fit_that_is_refused_changes_nothing(kind, refused, name):
    parameters, arguments = (REFUSED | OF_CLASSIFIERS | OF_REGRESSORS)[refused]
    X, y = rows(kind)
    model, fit = standing(kind, name)
    if name == "parts" and (set(arguments) - {"X", "y", "sample_weight"} or "early_stopping" in parameters):
        pytest.skip("partial_fit has no validation")
    if name == "past its best" and refused in ("a divergence", "a rate that follows nothing"):
        pytest.skip("it has validation rows, and its best weights to go back to")
    fit = getattr(model.set_params(**parameters), fit.__name__, None)
    if fit is None:
        pytest.skip("the solver takes no parts")
    before, kept = pickle.dumps(model), dict(vars(model))
    held = [*kept.get("coefs_", ())]
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        fit(**{"X": X, "y": y} | arguments)
    assert vars(model).keys() == kept.keys()
    assert all(vars(model)[key] is value for key, value in kept.items())
    assert all(map(operator.is_, kept.get("coefs_", ()), held))
    assert pickle.dumps(model) == before
    if name == "never fitted":
        with pytest.raises(NotFittedError):
            check_is_fitted(model)
        assert not [key for key in vars(model) if key.endswith("_")]


def test_a_first_part_that_is_refused_learns_no_classes():
    X, y = rows("classifier")
    model = one("classifier")
    with pytest.raises(ValueError, match="sample_weight"):
        model.partial_fit(X, y, -np.ones(90), classes=[0, 1, 2])
    assert not hasattr(model, "classes_")
    model.partial_fit(X, y + 5, classes=[5, 6, 7])
    np.testing.assert_array_equal(
        parameters(model), parameters(one("classifier").partial_fit(X, y + 5, classes=[5, 6, 7]))
    )


def test_an_error_of_a_callback_carries_what_was_trained():
    X, y = rows("regressor")
    model = one("regressor", warm_start=True).fit(X, y)
    before, seen = parameters(model), []

    def fail_later(state):
        seen.append(state.params.copy())
        if state.epoch == 3:
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full") as error:
        model.set_params(callbacks=[fail_later]).fit(X, y)
    np.testing.assert_array_equal(parameters(model), before)
    np.testing.assert_array_equal(error.value.network.params, seen[-1])
    assert (len(error.value.network.history), len(model.history_)) == (15, 12)


@pytest.mark.slow
def test_others_predict_on_while_fits_are_refused():
    X, y = rows("classifier")
    model = one("classifier").fit(X, y)
    expected, wrong, stop = model.predict_proba(X), [], threading.Event()

    def ask():
        while not stop.is_set():
            if not np.array_equal(model.predict_proba(X), expected):
                wrong.append(1)

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        for _ in range(100):
            for given in ({"sample_weight": -np.ones(90)}, LONE | {"sample_weight_val": -np.ones(9)}):
                with pytest.raises(ValueError, match="weight"):
                    model.fit(X[:, :5], y, **given)
            with pytest.raises(ValueError, match="X_val, y_val"):
                model.fit(X[:, :4], y, X_val=X[:, :4])
        stop.set()
        asked.result()
    assert not wrong


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


LINEAR = [np.array([[1, -1], [2, 3]])], [np.array([0, 1])]  # coefficients and intercepts of two inputs


@pytest.mark.parametrize("labels", ["strings", "yes and no", "floats", "one class"])
def test_a_classifier_may_be_set_by_hand_without_a_fit(labels):
    X, y = rows("classifier")
    y = LABELS[labels](y)
    fitted, model = one("classifier").fit(X, y), one("classifier")
    for name in ("coefs_", "intercepts_"):
        with pytest.raises(NotFittedError):
            model.predict(X)
        setattr(model, name, [part.copy() for part in getattr(fitted, name)])
    with pytest.raises(NotFittedError):
        model.predict(X)
    model.classes_ = fitted.classes_.tolist()
    for each in (model, pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(each.predict(X), fitted.predict(X))
        np.testing.assert_array_equal(each.predict_proba(X), fitted.predict_proba(X))
        assert each.score(X, y) == fitted.score(X, y)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("kind", PAIRS)
def test_what_was_set_by_hand_may_be_trained_on(kind, early_stopping):
    X, y = rows(kind)
    fitted, model = one(kind).fit(X, y), one(kind, warm_start=True, early_stopping=early_stopping)
    model.coefs_, model.intercepts_ = fitted.coefs_, fitted.intercepts_
    if kind == "classifier":  # in an order of its own
        model.classes_ = np.array([2, 0, 1])
        model.coefs_[1], model.intercepts_[1] = model.coefs_[1][:, [2, 0, 1]], model.intercepts_[1][[2, 0, 1]]
    before = model.score(X, y)
    assert before == one(kind).fit(X, y).score(X, y)
    model.fit(X, y)
    assert (model.n_iter_, len(model.loss_curve_)) == (12, 12)
    assert model.loss_curve_[0] < fitted.loss_curve_[0], "it did not begin anew"


def test_coefficients_of_whole_numbers_may_be_set_by_hand():
    X = np.array([[1.0, 2.0], [0.0, -3.0]])
    model = ours.MLPRegressor(hidden_layer_sizes=())
    model.coefs_, model.intercepts_ = LINEAR
    np.testing.assert_array_equal(model.predict(X), [[5.0, 6.0], [-6.0, -8.0]])
    assert model.predict(X).dtype == np.float64
    classifier = ours.MLPClassifier(())
    classifier.coefs_, classifier.intercepts_, classifier.classes_ = *LINEAR, ["no", "yes"]
    assert classifier.predict(X).tolist() == ["yes", "no"]


@pytest.mark.parametrize(
    ("coefs", "intercepts", "words"),
    [
        ([np.ones((2, 3)), np.ones((4, 1))], [np.ones(3), np.ones(1)], r"got shapes \[\(2, 3\), \(4, 1\)\] and"),
        ([np.ones((2, 3)), np.ones((3, 1))], [np.ones(3)], r"got shapes .* and \[\(3,\)\]; layer by layer"),
        ([np.ones((2, 3)), np.ones((3, 1))], [np.ones(1), np.ones(3)], r"got shapes .* and \[\(1,\), \(3,\)\]; layer"),
        ([np.ones(2)], [np.ones(1)], r"got shapes \[\(2,\)\] and"),
        ([], [], r"got shapes \[\] and \[\]"),
        ([np.full((2, 1), np.nan)], [np.ones(1)], "got nan; finite numbers"),
    ],
)
@pytest.mark.parametrize("kind", PAIRS)
def test_coefficients_that_do_not_go_together_are_named(kind, coefs, intercepts, words):
    model = one(kind)
    model.coefs_, model.intercepts_, model.classes_ = coefs, intercepts, [0, 1]
    with pytest.raises(ValueError, match=f"^coefs_, intercepts_: {words}"):
        model.predict([[1.0, 2.0]])


@pytest.mark.parametrize("labels", [["a"], ["a", "b", "c"]])
def test_labels_set_by_hand_are_as_many_as_outputs(labels):
    model = ours.MLPClassifier(())
    model.coefs_, model.intercepts_, model.classes_ = *LINEAR, labels
    with pytest.raises(ValueError, match=f"^classes_: got {len(labels)} labels with coefficients of 2 outputs"):
        model.predict([[1.0, 2.0]])


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


@pytest.mark.parametrize("setting", [{"alpha": -1}, {"activation": "none"}, {"loss": None}, {"dropout": 2}], ids=str)
@pytest.mark.parametrize("kind", PAIRS)
def test_the_history_is_there_whatever_parameters_are_set(kind, setting):
    model = one(kind).fit(*rows(kind)).set_params(**setting)
    assert len(model.history_) == model.n_iter_ == 12


def test_a_prediction_that_is_refused_changes_nothing():
    X, y = rows("regressor")
    model = one("regressor", early_stopping=True, warm_start=True).fit(X, y)
    kept, attributes = model.coefs_[0], dict(vars(model))
    model.coefs_[0] = np.ones((3, 3))
    with pytest.raises(ValueError, match="^coefs_, intercepts_: got shapes"):
        model.predict(X)
    model.coefs_[0] = kept
    assert vars(model).keys() == attributes.keys()
    assert all(vars(model)[name] is value for name, value in attributes.items())
