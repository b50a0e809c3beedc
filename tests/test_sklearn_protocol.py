"""scikit-learn's protocol: parameters, fitted attributes, copies, fits that go on, targets, and what is added to it."""

# ruff: noqa: E402 (scikit-learn may be missing)
import copy
import importlib
import inspect
import numbers
import pickle
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.7")
import joblib
from scipy import sparse
from sklearn import neural_network as theirs
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags, shuffle
from sklearn.utils.class_weight import compute_sample_weight

import fastmlp
from fastmlp import _windows
from fastmlp import sklearn as ours
from fastmlp.metrics import METRICS, Metric
from fastmlp.sklearn import _base, _translation

# Most fits end at max_iter, long before they have converged.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# Some dozens to hundreds of steps: the errors of adding up in another order, which every step amplifies. 1e-13 seen.
FIT = {"rtol": 1e-9, "atol": 1e-10}
# One pass forward, or sums of some hundred terms, in another order: a hundred roundoffs.
ROUNDING = {"rtol": 1e-12, "atol": 1e-13}
PAIRS = {
    "classifier": (ours.MLPClassifier, theirs.MLPClassifier),
    "regressor": (ours.MLPRegressor, theirs.MLPRegressor),
}
SMALL = {"hidden_layer_sizes": 6, "max_iter": 12, "learning_rate_init": 0.02, "batch_size": 32, "random_state": 0}


def rows(kind, count=90):
    """Rows, and labels of three classes that overlap or numbers."""
    X = np.random.default_rng(0).standard_normal((count, 5))
    y = (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(int) + (X[:, 2] > 0)
    return X, y if kind == "classifier" else X[:, 0] - X[:, 1] * X[:, 2]


def both(kind, **options):
    return [estimator(**SMALL | options) for estimator in PAIRS[kind]]


def one(kind, **options):
    return PAIRS[kind][0](**SMALL | options)


def parameters(model):
    """All coefficients in one vector."""
    return np.concatenate([np.ravel(part) for part in (*model.coefs_, *model.intercepts_)])


def assert_equal_fits(model, other, limits=FIT):
    np.testing.assert_allclose(parameters(model), parameters(other), **limits)
    for name in ("n_iter_", "t_", "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"):
        if hasattr(other, name):
            found, expected = getattr(model, name), getattr(other, name)
            assert (found is None) == (expected is None), name
            if expected is not None:
                np.testing.assert_allclose(found, expected, **limits, err_msg=name)


# ---- parameters ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PAIRS)
def test_parameters_begin_with_scikit_learns(kind):
    found, expected = (list(inspect.signature(estimator).parameters.values()) for estimator in PAIRS[kind])
    described = [[(each.name, each.default, each.kind) for each in listed] for listed in (found, expected)]
    assert described[0][: len(expected)] == described[1]
    assert all(each.kind is each.KEYWORD_ONLY for each in found[len(expected) :])
    mine, scikit_learns = (estimator().get_params() for estimator in PAIRS[kind])
    assert mine == {each.name: each.default for each in found}
    assert scikit_learns.items() <= mine.items()


@pytest.mark.parametrize("kind", PAIRS)
def test_methods_are_there_and_take_the_same(kind):
    mine, scikit_learns = PAIRS[kind]
    for name in (name for name in dir(scikit_learns) if not name.startswith("_")):
        assert hasattr(mine, name), name
        if name.endswith("_request"):
            assert {*inspect.signature(getattr(scikit_learns, name)).parameters} <= {
                *inspect.signature(getattr(mine, name)).parameters
            }, name
        elif inspect.isfunction(getattr(scikit_learns, name)):
            arguments = [list(inspect.signature(getattr(each, name)).parameters) for each in (mine, scikit_learns)]
            assert arguments[0][: len(arguments[1])] == arguments[1], name
    assert get_tags(mine()) == get_tags(scikit_learns())


@pytest.mark.parametrize("kind", PAIRS)
def test_parameters_are_set_by_name(kind):
    model = one(kind)
    assert model.set_params(alpha=0.5, dropout=0.1) is model
    assert (model.alpha, model.get_params()["dropout"]) == (0.5, 0.1)
    with pytest.raises(ValueError, match="Invalid parameter 'alhpa'"):
        model.set_params(alhpa=1)


WRONG = {
    "hidden_layer_sizes": [0, -1, (3, 0), (3, -2), "ten", 2.5, None, (2.5,), ("a",)],
    "activation": ["swish", None, 3], "solver": ["newton", None, 1], "alpha": [-1, "a", None, float("nan")],
    "batch_size": ["all", 0, -1, 2.5, None], "learning_rate": ["fast", None, 0.1],
    "learning_rate_init": [0, -1, "a", None], "power_t": [-1, "a"], "max_iter": [0, -1, 2.5, "a", None],
    "shuffle": ["a", None, 2], "random_state": ["a", -1, 2.5], "tol": [-1, "a"], "verbose": [-1, "x", None, 2.5],
    "warm_start": ["a", None, 2], "momentum": [-0.1, 1.1, "a"], "nesterovs_momentum": ["a", None, 2],
    "early_stopping": ["a", None, 3], "validation_fraction": [-0.1, 1, 1.5, "a"], "beta_1": [-0.1, 1, "a"],
    "beta_2": [-0.1, 1, "a"], "epsilon": [0, -1, "a"], "n_iter_no_change": [0, -1, 2.5, "a", -np.inf],
    "max_fun": [0, -1, 2.5, "a"], "loss": ["squared", None, 3],
}  # fmt: skip
WIDER = ("activation", "solver", "learning_rate", "verbose", "loss")  # these may be more here


def refusal(model, X, y):
    with pytest.raises((TypeError, ValueError)) as error:
        model.fit(X, y)
    return type(error.value), str(error.value)


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in PAIRS for name in WRONG if (kind, name) != ("classifier", "loss")]
)
def test_wrong_parameters_are_refused_in_the_same_words(kind, name):
    X, y = rows(kind)
    for value in WRONG[name]:
        found, expected = (refusal(model, X, y) for model in both(kind, **{name: value}))
        if name in WIDER:
            found, expected = ((type_, re.sub("must be .*[.] Got", "Got", words)) for type_, words in (found, expected))
        assert found == expected, value


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dropout": 1}, "'dropout' parameter"), ({"l1": -1}, "'l1' parameter"), ({"clip_norm": 0}, "'clip_norm'"),
        ({"init": "small"}, "'init' parameter"), ({"stopping_metric": "f2"}, "'stopping_metric' parameter"),
        ({"callbacks": print}, "'callbacks' parameter"), ({"n_jobs": 1.5}, "'n_jobs' parameter"),
        ({"activation": ["relu", "tanh"]}, "^activation: got 2 names for 1 hidden layers"),
        ({"activation": ["swish"]}, "swish"), ({"max_norm": -1}, "'max_norm' parameter"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_added_is_checked(options, words):
    for kind in PAIRS:
        with pytest.raises(ValueError, match=words):
            one(kind, **options).fit(*rows(kind))


def test_parameters_are_checked_no_sooner_than_in_a_fit():
    model = one("classifier", alpha="wrong")
    assert model.alpha == "wrong"
    with pytest.raises(ValueError, match="^The 'alpha' parameter of MLPClassifier must be a float in the range"):
        model.fit(*rows("classifier"))


def test_parameters_are_not_checked_where_scikit_learn_is_told_not_to():
    with sklearn.config_context(skip_parameter_validation=True):  # of what adam has no use for
        fits = [model.fit(*rows("classifier")) for model in both("classifier", max_fun=2.5)]
    assert_equal_fits(*fits)


@pytest.mark.parametrize(
    "options",
    [{"hidden_layer_sizes": np.array([4, 3])}, {"hidden_layer_sizes": np.int64(4)}, {"hidden_layer_sizes": range(2, 4)},
     {"alpha": np.float32(0.1), "tol": np.float32(0.1)}, {"batch_size": np.int64(7), "max_iter": np.int32(3)},
     {"shuffle": np.False_}, {"early_stopping": np.True_}, {"verbose": np.False_}, {"verbose": np.int64(0)},
     {"random_state": np.int64(3), "n_iter_no_change": np.inf}, {"alpha": 0, "beta_1": 0}],
    ids=str,
)  # fmt: skip
def test_parameters_may_be_numpys(options):
    assert_equal_fits(*(model.fit(*rows("classifier")) for model in both("classifier", **options)))


# ---- fitted attributes ---------------------------------------------------------------------------------------


def form(value):
    """What kind of thing a value is, and its shape; numbers of Python and of NumPy are one kind."""
    if isinstance(value, list):
        return ["list", *map(form, value)]
    if isinstance(value, np.ndarray):
        return "array", value.dtype, value.shape
    if isinstance(value, numbers.Integral):
        return "integer"
    return "number" if isinstance(value, numbers.Real) else type(value)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("kind", PAIRS)
def test_every_fitted_attribute_is_there(kind, solver, early_stopping):
    model, other = (
        model.fit(*rows(kind)) for model in both(kind, solver=solver, early_stopping=early_stopping)
    )
    names = [name for name in vars(other) if name.endswith("_") and not name.startswith("_")]
    assert {"coefs_", "intercepts_", "n_iter_", "loss_", "out_activation_"} <= set(names)
    for name in names:
        assert form(getattr(model, name)) == form(getattr(other, name)), name
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(model, name) == getattr(other, name), name
    assert_equal_fits(model, other)
    assert len(model.history_) == model.n_iter_


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_the_limit_of_iterations_warns(solver):
    said = []
    for model in both("classifier", solver=solver, max_iter=3):
        with pytest.warns(ConvergenceWarning) as caught:
            model.fit(*rows("classifier"))
        said.append(str(caught[0].message))
        assert len(caught) == 1
    if solver == "lbfgs":  # what follows is SciPy's or the kernels'
        said = [(words[:44], re.search("Increase the number.*", words).group()) for words in said]
    assert said[0] == said[1]


@pytest.mark.parametrize(
    "options", [{}, {"early_stopping": True}, {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1}], ids=str
)
def test_lines_that_are_printed(options, capsys):
    printed = []
    for model in both("classifier", verbose=True, max_iter=60, n_iter_no_change=3, **options):
        model.fit(*rows("classifier"))
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "Iteration 2, loss = " in printed[0]
    assert len(printed[0].splitlines()) > 10


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
        "warm": {}, "stopped early": {"early_stopping": True, "stopping_metric": "loss"}, "lbfgs": {"solver": "lbfgs"},
        "wide": {"dropout": 0.2, "activation": ["gelu"], "solver": fastmlp.AdamW(), "l1": 1e-3},
    }[name]  # fmt: skip
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
        text=True, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
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


# ---- fits that go on -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize(
    "options",
    [{"solver": "adam"}, {"solver": "lbfgs"}, {"solver": "sgd"}, {"solver": "sgd", "learning_rate": "invscaling"},
     {"solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 0.01}],
    ids=lambda options: " ".join(map(str, options.values())),
)  # fmt: skip
@pytest.mark.parametrize("kind", PAIRS)
def test_warm_starts(kind, options, early_stopping):
    X, y = rows(kind)
    model, other = both(kind, warm_start=True, early_stopping=early_stopping, **options)
    for _ in range(3):
        assert_equal_fits(model.fit(X, y), other.fit(X, y))
        if early_stopping:
            # scikit-learn's best weights are those that it goes on training: the best of an earlier fit would be lost.
            other._best_coefs = [weights.copy() for weights in other._best_coefs]
            other._best_intercepts = [biases.copy() for biases in other._best_intercepts]


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
    [{"alpha": 1.0}, {"learning_rate_init": 0.2}, {"momentum": 0.5}, {"batch_size": 10}, {"activation": "tanh"},
     {"solver": "adam"}, {"max_iter": 3}, {"shuffle": False}, {"random_state": 9}, {"learning_rate": "invscaling"}],
    ids=str,
)  # fmt: skip
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
    said = [
        refusal(model.fit(X, y), X, np.minimum(y, 1)) for model in both("classifier", warm_start=True)
    ]
    assert said[0] == said[1]
    assert "warm_start can only be used where `y` has the same classes" in said[0][1]


@pytest.mark.parametrize("chunks", [(90,) * 6, (30, 30, 30) * 2, (1,) * 8, (7, 40, 13, 30)], ids=str)
@pytest.mark.parametrize(
    "options",
    [{"solver": "adam"}, {"solver": "sgd"}, {"solver": "sgd", "momentum": 0.0},
     {"solver": "sgd", "momentum": 0.5, "nesterovs_momentum": False},
     {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.3},
     {"solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 0.1}],
    ids=lambda options: " ".join(map(str, options.values())),
)  # fmt: skip
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
        [(np.array, {})], [(np.array, {"classes": [0, 1]})],
        [(np.array, {"classes": [0, 1, 2]}), (lambda y: y + 1, {})],
        [(np.array, {"classes": [0, 1, 2]}), (np.array, {"classes": [0, 1]})],
    ],
    ids=["none given", "too few", "a new one later", "others later"],
)  # fmt: skip
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
            kind, solver=solver, shuffle=shuffle, early_stopping=early_stopping, n_iter_no_change=2, tol=0.05,
            max_iter=max_iter,
        ):  # fmt: skip
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


# ---- sparse rows ---------------------------------------------------------------------------------------------

SPARSE = (sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, sparse.csc_array, sparse.coo_array)


def sparse_rows(kind):
    X, y = rows(kind)
    return X * (np.random.default_rng(1).random(X.shape) < 0.4), y


@pytest.mark.parametrize("make", SPARSE, ids=lambda make: make.__name__)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("kind", PAIRS)
def test_sparse_rows_are_dense_ones(kind, solver, make):
    X, y = sparse_rows(kind)
    for dtype in (np.float64, np.float32):
        dense, found = (one(kind, solver=solver).fit(given, y) for given in (X.astype(dtype), make(X.astype(dtype))))
        assert found.coefs_[0].dtype == dtype
        np.testing.assert_array_equal(parameters(found), parameters(dense))
        names = ("predict", "predict_proba", "predict_log_proba") if kind == "classifier" else ("predict",)
        for name in names:
            np.testing.assert_array_equal(getattr(found, name)(make(X)), getattr(dense, name)(X))
        assert found.score(make(X), y) == dense.score(X, y)


@pytest.fixture
def windows(monkeypatch):
    """No sparse matrix is made dense as a whole: some batches at a time, and some rows where they are looked at."""
    monkeypatch.setattr(_base, "dense_bytes", lambda: 0)
    monkeypatch.setattr(_windows, "WINDOW_BYTES", 3 * 16 * 5 * 8)  # three batches of sixteen rows of five numbers
    monkeypatch.setattr(_windows, "_BLOCK_BYTES", 7 * 5 * 8)
    filled, fill = [], _windows.Window.fill
    monkeypatch.setattr(
        _windows.Window, "fill", lambda self, *arguments: (filled.append(len(self.x)), fill(self, *arguments))[1]
    )
    return filled


@pytest.mark.parametrize("options", [{}, {"early_stopping": True}, {"shuffle": False}], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("kind", PAIRS)
def test_sparse_rows_in_windows(kind, solver, weighted, options, windows):
    X, y = sparse_rows(kind)
    weights = np.random.default_rng(2).uniform(0, 2, len(y)) if weighted else None
    dense, found = (
        one(kind, solver=solver, batch_size=16, **options).fit(given, y, weights) for given in (X, sparse.csc_array(X))
    )
    assert len(windows) > found.n_iter_
    assert set(windows) == {48}
    # The same batches, in places of their own: products are the same, their order too but for the rest of a batch.
    assert_equal_fits(found, dense, ROUNDING)
    np.testing.assert_allclose(found.predict(sparse.csr_array(X)), dense.predict(X), **ROUNDING)


@pytest.mark.parametrize("kind", PAIRS)
def test_parts_in_windows(kind, windows):
    X, y = sparse_rows(kind)
    fits = [one(kind, solver="sgd", batch_size=16) for _ in range(2)]
    classes = {"classes": [0, 1, 2]} if kind == "classifier" else {}
    for part in (slice(0, 60), slice(60, 90), slice(10, 77)):
        for model, make in zip(fits, (np.asarray, sparse.csr_matrix), strict=True):
            model.partial_fit(make(X[part]), y[part], **classes)
    assert windows
    assert_equal_fits(*fits, ROUNDING)


@pytest.mark.usefixtures("windows")
def test_a_search_looks_at_all_sparse_rows_at_once():
    X, y = sparse_rows("regressor")
    dense, found = (one("regressor", solver="lbfgs").fit(given, y) for given in (X, sparse.csr_array(X)))
    assert_equal_fits(found, dense, ROUNDING)


# ---- targets of every kind -----------------------------------------------------------------------------------

LABELS = {
    "strings": lambda y: np.array(["b", "a", "c"])[y], "objects": lambda y: np.array(["b", "a", "c"], object)[y],
    "yes and no": lambda y: np.array(["yes", "no"], object)[np.minimum(y, 1)], "bool": lambda y: y > 0,
    "not from 0 on": lambda y: np.array([-5, 7, 100])[y], "floats": lambda y: np.array([1.0, 2.0, 4.0])[y],
    "small integers": lambda y: y.astype(np.int8), "one class": np.zeros_like, "one string": lambda y: ["x"] * len(y),
    "list": lambda y: y.tolist(), "flags": lambda y: np.c_[y > 0, y == 1, y == 2].astype(int),
    "two flags": lambda y: np.c_[y > 0, y == 1].astype(int), "bool flags": lambda y: np.c_[y > 0, y == 1],
    "a constant flag": lambda y: np.c_[np.ones_like(y), y == 1], "lists of flags": lambda y: np.eye(3)[y].tolist(),
}  # fmt: skip


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("labels", LABELS)
def test_labels_of_every_kind(labels, early_stopping):
    X, y = rows("classifier")
    y = LABELS[labels](y)
    model, other = (model.fit(X, y) for model in both("classifier", early_stopping=early_stopping))
    assert_equal_fits(model, other)
    assert (model.classes_.tolist(), model.classes_.dtype) == (other.classes_.tolist(), other.classes_.dtype)
    assert (model.n_outputs_, model.out_activation_) == (other.n_outputs_, other.out_activation_)
    for name in ("predict_proba", "predict_log_proba"):
        np.testing.assert_allclose(getattr(model, name)(X), getattr(other, name)(X), **FIT)
    found, expected = model.predict(X), other.predict(X)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    assert model.score(X, y) == other.score(X, y)


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_array])
def test_flags_may_be_sparse(make):
    X, y = rows("classifier")
    flags = LABELS["flags"](y)
    model, other = (model.fit(X, make(flags)) for model in both("classifier"))
    np.testing.assert_array_equal(parameters(model), parameters(one("classifier").fit(X, flags)))
    np.testing.assert_array_equal(model.predict(X), other.predict(X).toarray())
    assert model.score(X, make(flags)) == other.score(X, make(flags))


@pytest.mark.parametrize("early_stopping", [False, True])
def test_flags_through_the_other_solvers(early_stopping):
    X, y = rows("classifier")
    flags = LABELS["flags"](y)
    for solver in ("sgd", "lbfgs"):
        assert_equal_fits(
            *(model.fit(X, flags) for model in both("classifier", solver=solver, early_stopping=early_stopping))
        )
    fits = both("classifier")
    for model in fits:
        model.partial_fit(X, flags, classes=[0, 1, 2]).partial_fit(X, flags)
    assert_equal_fits(*fits)


@pytest.mark.parametrize(
    "targets",
    [lambda y: np.c_[y, y / 2, y**2], lambda y: np.round(y).astype(int), lambda y: y.astype(np.float32),
     lambda y: np.asfortranarray(np.c_[y, y**2]), lambda y: y.astype(object), lambda y: y > 0, list],
    ids=["three outputs", "integers", "float32", "Fortran order", "objects", "bool", "list"],
)  # fmt: skip
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_numbers_of_every_kind(targets, loss, solver):
    X, y = rows("regressor")
    y = targets(np.abs(y) if loss == "poisson" else y)
    model, other = (model.fit(X, y) for model in both("regressor", loss=loss, solver=solver))
    assert_equal_fits(model, other)
    np.testing.assert_allclose(model.predict(X), other.predict(X), **FIT)
    assert model.predict(X).dtype == other.predict(X).dtype
    assert model.loss_ == pytest.approx(other.loss_, rel=1e-9)
    assert model.score(X, y) == pytest.approx(other.score(X, y), rel=1e-9)


@pytest.mark.parametrize(
    "spoil",
    [lambda X, y: (X, np.where(y == 0, np.nan, y)), lambda X, y: (X, y[:-1]), lambda X, y: (X[:0], y[:0]),
     lambda X, y: (np.where(X > 2, np.nan, X), y), lambda X, y: (X[:, 0], y), lambda X, y: (X.astype(complex), y),
     lambda X, y: (X, np.c_[y, y]), lambda X, y: (X, y + X[:, 0]), lambda X, y: (X, None)],
    ids=["NaN in y", "fewer targets", "no rows", "NaN in X", "one dimension", "complex", "two columns of labels",
         "numbers for labels", "no targets"],
)  # fmt: skip
def test_wrong_data_are_refused_in_the_same_words(spoil):
    X, y = spoil(*rows("classifier"))
    found, expected = (refusal(model, X, y) for model in both("classifier"))
    assert found == expected


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("kind", PAIRS)
def test_without_hidden_layers(kind, activation):
    assert_equal_fits(
        *(model.fit(*rows(kind)) for model in both(kind, hidden_layer_sizes=(), activation=activation))
    )


def test_too_few_rows_to_hold_some_out():
    X, y = rows("classifier")
    found, expected = (refusal(model, X[:9], y[:9]) for model in both("classifier", early_stopping=True, batch_size=4))
    assert found == expected
    assert "The validation set is too small" in found[1]


def test_large_batches_are_cut_with_a_warning():
    fits, said = [], []
    for model in both("regressor", batch_size=1000):
        with pytest.warns(UserWarning, match="It is going to be clipped") as caught:
            fits.append(model.fit(*rows("regressor")))
        said.append(str(caught[0].message))
    assert said[0] == said[1]
    assert_equal_fits(*fits)


# ---- weights -------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 2: 0.5}, {0: 1, 1: 0, 2: 1}], ids=str)
def test_class_weights_are_row_weights(class_weight, early_stopping, weighted):
    X, y = rows("classifier")
    options = {"early_stopping": early_stopping}
    # Counts: "balanced" takes the shares of the weights, so that a row of weight 2 is two rows.
    counts = np.random.default_rng(4).integers(1, 3, 90) if weighted else np.ones(90, int)
    weights = counts * compute_sample_weight(class_weight, np.repeat(y, counts))[np.cumsum(counts) - 1]
    given = one("classifier", class_weight=class_weight, **options).fit(X, y, counts if weighted else None)
    for estimator in PAIRS["classifier"]:
        assert_equal_fits(given, estimator(**SMALL, **options).fit(X, y, sample_weight=weights))


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


# ---- validation ----------------------------------------------------------------------------------------------


def halves(kind):
    X, y = rows(kind)
    return X[:60], y[:60], X[60:], y[60:]


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
        ({"X_val": 0}, "^X_val, y_val: got X_val alone"), ({"y_val": 0}, "^X_val, y_val: got y_val alone"),
        ({"sample_weight_val": 0}, "^sample_weight_val: got weights without X_val"),
        ({"X_val": np.ones((4, 3)), "y_val": 0}, "expecting 5 features"),
        ({"X_val": 0, "y_val": [0, 1]}, "got 2 rows where X has 30"),
        ({"X_val": 0, "y_val": np.full(30, 7)}, "^y_val: got label (np.int64\\()?7"),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_validation_rows_are_refused(given, words):
    X, y, X_val, y_val = halves("classifier")
    whole = {"X_val": X_val, "y_val": y_val, "sample_weight_val": np.ones(30)}
    given = {name: whole[name] if np.ndim(value) == 0 else value for name, value in given.items()}
    with pytest.raises(ValueError, match=words):
        one("classifier").fit(X, y, **given)


def share_of_class_1(y, predicted):
    """A measure of one's own."""
    return float(np.mean(predicted == 1))


@pytest.mark.parametrize(
    ("kind", "metric", "sign"),
    [
        ("classifier", "accuracy", 1), ("classifier", "balanced_accuracy", 1), ("classifier", "f1", 1),
        ("classifier", "roc_auc", 1), ("classifier", "loss", -1), ("classifier", share_of_class_1, 1),
        ("regressor", "r2", 1), ("regressor", "mse", -1), ("regressor", "mae", -1), ("regressor", "loss", -1),
        ("regressor", Metric("worst", lambda y, p: float(np.abs(y - p).max()), rises=False), -1),
    ],
    ids=str,
)  # fmt: skip
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
    [("regressor", "accuracy", "^stopping_metric: got 'accuracy' for regression"),
     ("regressor", "f1", "'f1'"), ("classifier", "r2", "'r2'")],
)  # fmt: skip
def test_metrics_go_with_the_targets(kind, metric, words):
    with pytest.raises(ValueError, match=words):
        one(kind, early_stopping=True, stopping_metric=metric).fit(*rows(kind))


def test_metrics_are_named_alike():
    assert set(METRICS) == {"accuracy", "balanced_accuracy", "f1", "roc_auc", "mse", "mae", "r2"}, "tested above"


# ---- what is added -------------------------------------------------------------------------------------------


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


def test_l1_makes_weights_small():
    X, y = rows("regressor")
    sizes = [np.abs(np.concatenate([w.ravel() for w in one("regressor", l1=l1, max_iter=60).fit(X, y).coefs_])).sum()
             for l1 in (0.0, 1.0, 5.0)]  # fmt: skip
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


def test_robust_losses():
    X, y = rows("regressor")
    spoiled = y.copy()
    spoiled[::15] += 100.0
    errors = {
        name: np.median(np.abs(y - one("regressor", loss=loss, max_iter=150).fit(X, spoiled).predict(X)))
        for name, loss in {
            "squares": "squared_error", "huber": "huber", "a smaller huber": fastmlp.losses.huber(0.5),
            "absolute": "absolute_error", "log_cosh": "log_cosh",
        }.items()
    }  # fmt: skip
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


def test_gaps_in_targets():
    X, y = rows("regressor")
    targets = np.c_[y, -y]
    targets[::2, 1] = np.nan
    with pytest.raises(ValueError, match="Input y contains NaN"):
        one("regressor").fit(X, targets)
    model = one("regressor", missing_targets="mask", max_iter=100).fit(X, targets)
    assert np.corrcoef(model.predict(X)[::2, 1], -y[::2])[0, 1] > 0.5, "what was not observed is predicted"


def test_callbacks_see_every_epoch_and_may_end_it():
    X, y = rows("classifier")
    seen = []

    def look(state):
        seen.append((state.epoch, state.loss))
        return state.epoch == 5

    model = one("classifier", callbacks=[look]).fit(X, y)
    assert seen == list(enumerate(model.loss_curve_, start=1))
    assert model.n_iter_ == 5
    assert model.history_.stopped == "look returned True"
    np.testing.assert_array_equal(parameters(model), parameters(one("classifier", max_iter=5).fit(X, y)))


def test_a_callback_that_ends_it_is_no_lack_of_convergence():
    model = one("classifier", callbacks=[lambda state: state.epoch == 11])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(*rows("classifier"))
    assert model.n_iter_ == 11


def test_a_bar_shows_how_far_it_is(capsys):
    pytest.importorskip("tqdm")
    model = one("classifier", verbose="bar").fit(*rows("classifier"))
    printed = capsys.readouterr()
    assert "12.0/12.0" in printed.err
    assert not printed.out
    np.testing.assert_array_equal(parameters(model), parameters(one("classifier").fit(*rows("classifier"))))


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


# ---- the order of the rows -----------------------------------------------------------------------------------


@pytest.mark.parametrize("generator", [np.random.MT19937, np.random.PCG64])
@pytest.mark.parametrize("drawn", [1, 31, 32, 100, 2500])
def test_the_random_state_is_left_after_as_many_epochs_as_were_run(generator, drawn):
    def left(state):
        return state.randint(2**31, size=3).tolist()

    for epochs in sorted({0, 1, drawn // 2, drawn - 1, drawn}):
        mine, its = (np.random.RandomState(generator(3)) for _ in range(2))
        orders, expected = _translation.Orders(mine, 7), np.arange(7)
        for epoch in range(drawn):
            order = orders(epoch).copy()
            if epoch < epochs:
                expected = shuffle(expected, random_state=its)
                np.testing.assert_array_equal(order, expected)
        orders.leave_at(epochs)
        assert left(mine) == left(its), epochs


# ---- scikit-learn's own callbacks ----------------------------------------------------------------------------


class Notes:
    """Takes down every call; an epoch's end may want the training to end."""

    max_propagation_depth = None

    def __init__(self, last=None):
        self.calls, self.last = [], last

    def setup(self, estimator, context):
        self.calls.append(("setup", context.task_name))

    def teardown(self, estimator, context):
        self.calls.append(("teardown", context.task_name))

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        self.calls.append(("begin", context.task_name, context.task_id, len(X)))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        score = None if X is None else fitted_estimator.score(X, y)
        self.calls.append(("end", context.task_name, context.task_id, score))
        return context.task_name == "epoch" and context.task_id == self.last


@pytest.fixture
def callback():
    """scikit-learn's module of callbacks."""
    return pytest.importorskip("sklearn.callback")


@pytest.mark.usefixtures("callback")
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("kind", PAIRS)
def test_callbacks_of_scikit_learn_see_every_epoch(kind, solver):
    X, y = rows(kind)
    notes = Notes()
    model = one(kind, solver=solver, max_iter=3).set_callbacks(notes).fit(X, y)
    scores = [one(kind, solver=solver, max_iter=epochs).fit(X, y).score(X, y) for epochs in (1, 2, 3)]
    expected = [("setup", "fit"), ("begin", "fit", 0, 90)]
    for epoch, score in enumerate(scores):
        expected += [("begin", "epoch", epoch, 90), ("end", "epoch", epoch, score)]
    assert notes.calls == [*expected, ("end", "fit", 0, scores[-1]), ("teardown", "fit")]
    plain = one(kind, solver=solver, max_iter=3).fit(X, y)
    np.testing.assert_array_equal(parameters(model), parameters(plain))
    assert set(vars(model)) - set(vars(plain)) == {"_skl_callbacks"}


@pytest.mark.usefixtures("callback")
def test_tasks_end_where_training_ends_sooner():
    X, y = rows("classifier")
    notes = Notes()
    model = one("classifier", tol=1.0, n_iter_no_change=1, max_iter=50).set_callbacks(notes).fit(X, y)
    epochs = [call[:3] for call in notes.calls if call[1] == "epoch"]
    # One more is begun than comes, as scikit-learn's own estimators do, and ends with nothing.
    assert epochs == [(what, "epoch", number) for number in range(model.n_iter_ + 1) for what in ("begin", "end")]
    assert notes.calls[-3] == ("end", "epoch", model.n_iter_, None)


@pytest.mark.usefixtures("callback")
def test_callbacks_of_scikit_learn_may_end_it():
    X, y = rows("classifier")
    notes = Notes(last=2)
    model = one("classifier").set_callbacks(notes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y)
    assert model.n_iter_ == 3
    assert [call[0] for call in notes.calls[-3:]] == ["end", "end", "teardown"]


@pytest.mark.usefixtures("callback")
def test_callbacks_of_scikit_learn_are_torn_down_where_a_fit_fails():
    X, y = rows("classifier")
    notes = Notes()

    def fail(state):
        raise RuntimeError("disk full")

    model = one("classifier", callbacks=[fail]).set_callbacks(notes)
    with pytest.raises(RuntimeError, match="disk full"):
        model.fit(X, y)
    assert notes.calls[-1] == ("teardown", "fit")
    assert model.set_params(callbacks=None).fit(X, y).n_iter_ == 12
    with pytest.raises(TypeError, match="FitCallback"):
        model.set_callbacks(print)


@pytest.mark.usefixtures("callback")
def test_callbacks_go_through_a_pipeline():
    X, y = rows("classifier")
    pipe = make_pipeline(StandardScaler(), one("classifier", max_iter=2))
    notes = Notes()
    notes.on_fit_task_end = lambda estimator, context: notes.calls.append(("end", context.task_name, context.task_id))
    pipe.set_callbacks(notes).fit(X, y)
    assert [call[:3] for call in notes.calls if call[1] == "epoch"] == [
        ("begin", "epoch", 0), ("end", "epoch", 0), ("begin", "epoch", 1), ("end", "epoch", 1),
    ]  # fmt: skip
    assert [call[0] for call in notes.calls].count("setup") == 1
    np.testing.assert_array_equal(pipe.predict(X), clone(pipe).set_callbacks().fit(X, y).predict(X))


@pytest.mark.parametrize("kind", PAIRS)
def test_a_monitor_of_scores(kind, callback):
    X, y = rows(kind)
    names = ["accuracy", "neg_log_loss"] if kind == "classifier" else ["r2", "neg_mean_absolute_error"]
    monitor = callback.ScoringMonitor(scoring=names)
    model = one(kind).set_callbacks(monitor).fit(X, y)
    epochs = [line for line in monitor.get_logs().data if line["task_name"] == "epoch"]
    assert [line["task_id"] for line in epochs] == list(range(12))
    assert epochs[-1][names[0]] == model.score(X, y)
    for line, epoch in zip(epochs, range(1, 13), strict=True):
        assert line[names[0]] == one(kind, max_iter=epoch).fit(X, y).score(X, y)
    assert len({line[names[1]] for line in epochs}) == 12, "each epoch's own weights"


def test_a_monitor_weighs_rows(callback):
    X, y = rows("classifier")
    weights = np.arange(90.0)
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = one("classifier").set_callbacks(monitor).fit(X, y, weights)
    assert monitor.get_logs().data[-1]["accuracy"] == model.score(X, y, weights)


# ---- imports -------------------------------------------------------------------------------------------------


def run(code):
    return subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, timeout=60, check=False)


def test_without_scikit_learn_the_import_says_what_to_install():
    done = run("import sys; sys.modules['sklearn'] = None; import fastmlp.sklearn")
    assert done.returncode == 1
    last = done.stderr.rstrip().splitlines()[-1]
    assert last == 'ImportError: fastmlp.sklearn needs scikit-learn: pip install "fastmlp[sklearn]"'


def test_an_old_scikit_learn_is_refused():
    done = run("import sys, types; old = types.ModuleType('sklearn'); old.__version__ = '1.6.1'; "
               "sys.modules['sklearn'] = old; import fastmlp.sklearn")  # fmt: skip
    assert done.returncode == 1
    last = done.stderr.rstrip().splitlines()[-1]
    assert "needs scikit-learn 1.7 or later, and 1.6.1 is installed" in last


def test_fastmlp_alone_does_not_import_scikit_learn():
    done = run("import sys, fastmlp; print({'sklearn', 'joblib', 'scipy', 'fastmlp.sklearn'} & set(sys.modules))")
    assert done.stdout.strip() == "set()", done.stderr


# ---- what a later fit leaves alone -------------------------------------------------------------------------------


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


def test_a_schedule_that_looks_at_the_epochs_leaves_the_stop_to_tol():
    X, y = rows("classifier")
    rate = fastmlp.schedules.OnPlateau(0.01, patience=50)
    model = ours.MLPClassifier(5, learning_rate=rate, tol=0.5, n_iter_no_change=3, random_state=0).fit(X, y)
    assert model.n_iter_ < 30
    assert model.history_.stopped == "loss has not improved for 4 epochs"


def test_class_weights_may_name_classes_that_are_not_there():
    X, y = rows("classifier")
    X, y = X[y < 2], y[y < 2]
    named, plain = ({0: 1.0, 1: 5.0, 2: 10.0}, {0: 1.0, 1: 5.0})
    models = [ours.MLPClassifier(5, class_weight=weights, max_iter=5, random_state=0).fit(X, y)
              for weights in (named, plain)]  # fmt: skip
    np.testing.assert_array_equal(parameters(models[0]), parameters(models[1]))
    with pytest.raises(ValueError, match=r"The classes, \[1\], are not in class_weight"):
        ours.MLPClassifier(5, class_weight={0: 1.0, "one": 5.0}).fit(X, y)


def test_rows_to_validate_on_weigh_as_their_classes_do():
    X, y = rows("classifier")
    weights = np.array([1.0, 5.0, 0.5])
    options = {"max_iter": 4, "random_state": 0}
    model = ours.MLPClassifier(5, class_weight=dict(enumerate(weights)), **options)
    model.fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    twin = ours.MLPClassifier(5, **options).fit(
        X[:60], y[:60], weights[y[:60]], X_val=X[60:], y_val=y[60:], sample_weight_val=weights[y[60:]]
    )
    assert model.validation_loss_curve_ == twin.validation_loss_curve_
    assert model.validation_scores_ == twin.validation_scores_


def test_partial_fit_stays_with_its_first_rate():
    X, y = rows("regressor")
    options = {"hidden_layer_sizes": 5, "learning_rate_init": 0.01, "random_state": 0}
    models = [module.MLPRegressor(**options) for module in (ours, theirs)]
    for model in models:
        model.partial_fit(X, y).set_params(learning_rate_init=0.5).partial_fit(X, y)
    # Two steps of Adam: rounding alone.
    np.testing.assert_allclose(models[0].coefs_[0], models[1].coefs_[0], rtol=0, atol=1e-12)


def test_a_stream_keeps_few_histories(monkeypatch):
    monkeypatch.setattr(fastmlp.network, "_UNJOINED", 5)
    X, y = rows("regressor")
    model = ours.MLPRegressor(hidden_layer_sizes=5, random_state=0)
    for _ in range(23):
        model.partial_fit(X, y)
        assert len(model.network_._histories) <= 5
    assert len(model.loss_curve_) == len(model.history_) == 23
    np.testing.assert_array_equal(model.history_.loss, model.loss_curve_)


@pytest.mark.skipif(not hasattr(ours.MLPClassifier, "set_callbacks"), reason="this scikit-learn has no callbacks")
def test_a_task_of_an_epoch_has_the_weights_of_its_rows():
    callback = importlib.import_module("sklearn.callback")
    X, y = rows("classifier")
    weights = np.linspace(0.5, 2, len(y))
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = ours.MLPClassifier(5, early_stopping=True, max_iter=3, random_state=0).set_callbacks(monitor)
    model.fit(X, y, sample_weight=weights)
    scores = [entry["accuracy"] for entry in monitor.get_logs().data if "accuracy" in entry]
    assert len(scores) >= 3
    assert all(0 <= score <= 1 for score in scores)


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
