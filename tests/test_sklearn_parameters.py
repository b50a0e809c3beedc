"""scikit-learn's protocol: parameters, fitted attributes, and what an import needs."""

# ruff: noqa: E402 (scikit-learn may be missing)
import inspect
import numbers
import re
import subprocess
import sys

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.7")
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import get_tags
from sklearn_models import (
    PAIRS,
    assert_equal_fits,
    both,
    one,
    refusal,
    rows,
)

import fastmlp
from fastmlp.metrics import Metric

# Most fits end at max_iter, long before they have converged.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


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
def test_a_subclass_has_parameters_of_its_own(kind):
    def own(estimator):
        class Own(estimator):
            def __init__(self, units=3, alpha=0.1, *, random_state=0):
                super().__init__(hidden_layer_sizes=(units,), alpha=alpha, max_iter=5, random_state=random_state)
                self.units = units

        return Own

    X, y = rows(kind)
    found, expected = (own(estimator)(units=2) for estimator in PAIRS[kind])
    assert found.get_params() == expected.get_params() == {"alpha": 0.1, "random_state": 0, "units": 2}
    for model in (found, sklearn.base.clone(found).set_params(units=2)):
        assert_equal_fits(model.fit(X, y), sklearn.base.clone(expected).fit(X, y))


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
    "hidden_layer_sizes": [0, -1, "ten", 2.5, None],
    "activation": ["swish", None, 3],
    "solver": ["newton", None, 1],
    "alpha": [-1, "a", None, float("nan")],
    "batch_size": ["all", 0, -1, 2.5, None],
    "learning_rate": ["fast", None, 0.1],
    "learning_rate_init": [0, -1, "a", None],
    "power_t": [-1, "a"],
    "max_iter": [0, -1, 2.5, "a", None],
    "shuffle": ["a", None, 2],
    "random_state": ["a", -1, 2.5],
    "tol": [-1, "a"],
    "verbose": [-1, "x", None, 2.5],
    "warm_start": ["a", None, 2],
    "momentum": [-0.1, 1.1, "a"],
    "nesterovs_momentum": ["a", None, 2],
    "early_stopping": ["a", None, 3],
    "validation_fraction": [-0.1, 1, 1.5, "a"],
    "beta_1": [-0.1, 1, "a"],
    "beta_2": [-0.1, 1, "a"],
    "epsilon": [0, -1, "a"],
    "n_iter_no_change": [0, -1, 2.5, "a", -np.inf],
    "max_fun": [0, -1, 2.5, "a"],
    "loss": ["squared", None, 3],
}
WIDER = ("activation", "solver", "learning_rate", "verbose", "loss")  # these may be more here


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
        ({"dropout": 1}, "'dropout' parameter"),
        ({"l1": -1}, "'l1' parameter"),
        ({"clip_norm": 0}, "'clip_norm'"),
        ({"init": "small"}, "'init' parameter"),
        ({"stopping_metric": "f2"}, "'stopping_metric' parameter"),
        ({"callbacks": print}, "'callbacks' parameter"),
        ({"n_jobs": 1.5}, "'n_jobs' parameter"),
        ({"activation": ["relu", "tanh"]}, "^activation: got 2 names for 1 hidden layers"),
        ({"activation": ["swish"]}, "swish"),
        ({"max_norm": -1}, "'max_norm' parameter"),
        ({"dropout": [0.5, [0.5]]}, "^dropout: setting an array element"),
    ],
    ids=str,
)
def test_what_is_added_is_checked(options, words):
    for kind in PAIRS:
        with pytest.raises(ValueError, match=words):
            one(kind, **options).fit(*rows(kind))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *(({"hidden_layer_sizes": sizes}, r"^hidden_layer_sizes(\[[01]\])?: got ") for sizes in (
            (3, 0), (3, -2), (2.5,), (3.0,), ("a",), ("5",), (None,), (float("nan"),), (True,), (3, True), True,
            [[3, 4]], {3, 4}, {"a": 3}, np.array([3.0]), np.array(["3"]),
        )),
        ({"solver": "rprop", "batch_size": 8}, "^batch_size: got 8 .*: 'auto' is accepted$"),
        ({"alpha": True}, "^alpha: got True"),
        ({"learning_rate_init": True}, "^learning_rate_init: got True"),
        ({"max_iter": 2**31}, "^max_iter: got 2147483648"),
        ({"tol": True}, "^tol: got True"),
        ({"tol": True, "solver": "lbfgs"}, "^tol: got True"),
        ({"tol": True, "learning_rate": fastmlp.schedules.Cosine(0.1)}, "^tol: got True"),
        ({"beta_1": False}, "^beta_1: got False"),
        ({"beta_2": False}, "^beta_2: got False"),
        ({"max_fun": True, "solver": "lbfgs"}, "^max_fun: got True"),
        ({"n_jobs": 5000}, "^n_jobs: got 5000"),
        ({"early_stopping": True, "validation_fraction": 0.0}, "^validation_fraction: got 0.0 with n_samples=90"),
        ({"early_stopping": True, "validation_fraction": 0}, "^validation_fraction: got 0 with n_samples=90"),
        ({"early_stopping": True, "validation_fraction": 0.999}, "^validation_fraction: got 0.999 with n_samples=90"),
        ({"early_stopping": True, "stopping_metric": Metric("epoch", max)}, "^stopping_metric: got a metric called"),
        ({"learning_rate": fastmlp.schedules.Adaptive(0.1, monitor="val_loss")}, "^learning_rate: .* X_val and y_val"),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("kind", PAIRS)
def test_messages_name_parameters_as_they_were_written(kind, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        one(kind, **options).fit(*rows(kind))


@pytest.mark.parametrize("sizes", [5.0, "5", None, True, float("nan")])
def test_hidden_layers_are_checked_where_scikit_learn_checks_nothing(sizes):
    with (
        sklearn.config_context(skip_parameter_validation=True),
        pytest.raises(TypeError, match="^hidden_layer_sizes: got "),
    ):
        one("classifier", hidden_layer_sizes=sizes).fit(*rows("classifier"))


@pytest.mark.parametrize(
    ("kind", "loss"), [("regressor", "hinge"), ("regressor", "cross_entropy"), ("classifier", "huber")]
)
def test_losses_go_with_the_targets(kind, loss):
    with pytest.raises(ValueError, match=f"^loss: got '{loss}' for "):
        one(kind, loss=fastmlp.losses.LOSSES[loss]).fit(*rows(kind))


def test_a_rate_that_float32_cannot_hold_is_named():
    X, y = rows("regressor")
    for options, name in (
        ({"learning_rate_init": 1e39}, "learning_rate_init"),
        ({"learning_rate": fastmlp.schedules.Exponential(1e39, 0.5)}, "learning_rate"),
    ):
        with pytest.raises(ValueError, match=f"^{name}: got 1e[+]39"):
            one("regressor", **options).fit(X.astype(np.float32), y)


def test_parameters_that_are_set_after_a_fit_are_named_too():
    X, y = rows("classifier")
    model = one("classifier").fit(X, y).set_params(alpha=-1.0)
    with pytest.raises(ValueError, match="^alpha: got -1.0"):
        model.predict(X)
    model = one("regressor").fit(X, y).set_params(loss=fastmlp.losses.quantile(0.1, 0.9))
    with pytest.raises(ValueError, match="^loss: got 1 outputs with 2 quantiles"):
        model.predict(X)


def test_what_a_callback_raises_stays_as_it_is():
    def refuse(state):
        raise ValueError("epochs: those of the callback")

    with pytest.raises(ValueError, match="^epochs: those of the callback$"):
        one("classifier", callbacks=[refuse]).fit(*rows("classifier"))


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
    [
        {"hidden_layer_sizes": np.array([4, 3])},
        {"hidden_layer_sizes": np.int64(4)},
        {"hidden_layer_sizes": range(2, 4)},
        {"alpha": np.float32(0.1), "tol": np.float32(0.1)},
        {"batch_size": np.int64(7), "max_iter": np.int32(3)},
        {"shuffle": np.False_},
        {"early_stopping": np.True_},
        {"verbose": np.False_},
        {"verbose": np.int64(0)},
        {"random_state": np.int64(3), "n_iter_no_change": np.inf},
        {"alpha": 0, "beta_1": 0},
    ],
    ids=str,
)
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
    model, other = (model.fit(*rows(kind)) for model in both(kind, solver=solver, early_stopping=early_stopping))
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


# ---- imports -------------------------------------------------------------------------------------------------


def run(code):
    return subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, timeout=60, check=False)


def test_without_scikit_learn_the_import_says_what_to_install():
    done = run("import sys; sys.modules['sklearn'] = None; import fastmlp.sklearn")
    assert done.returncode == 1
    last = done.stderr.rstrip().splitlines()[-1]
    assert last == 'ImportError: fastmlp.sklearn needs scikit-learn: pip install "fastmlp[sklearn]"'


def test_an_old_scikit_learn_is_refused():
    done = run(
        "import sys, types; old = types.ModuleType('sklearn'); old.__version__ = '1.6.1'; "
        "sys.modules['sklearn'] = old; import fastmlp.sklearn"
    )
    assert done.returncode == 1
    last = done.stderr.rstrip().splitlines()[-1]
    assert "needs scikit-learn 1.7 or later, and 1.6.1 is installed" in last


def test_fastmlp_alone_does_not_import_scikit_learn():
    done = run("import sys, fastmlp; print({'sklearn', 'joblib', 'scipy', 'fastmlp.sklearn'} & set(sys.modules))")
    assert done.stdout.strip() == "set()", done.stderr


# ---- names that are not scikit-learn's -------------------------------------------------------------------


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize(
    ("keyword", "answer"),
    [
        ("lr", "use learning_rate_init="),
        ("epochs", "use max_iter="),
        ("batchsize", "use batch_size="),
        ("hidden", "use hidden_layer_sizes="),
        ("optimizer", "use solver="),
        ("seed", "use random_state="),
        ("l2", "use alpha= (alpha / 2n Σ W², n the rows of a batch)"),
        ("beta1", "use beta_1="),
        ("patience", "use n_iter_no_change="),
        ("validation_split", "use validation_fraction="),
        ("validation_data", "use fit(X, y, X_val=…, y_val=…)"),
        ("nesterov", "use nesterovs_momentum="),
    ],
)
def test_a_keyword_that_is_not_scikit_learns_is_answered_with_its_own(kind, keyword, answer):
    estimator = PAIRS[kind][0]
    with pytest.raises(TypeError, match=f"^{re.escape(f'{estimator.__name__}() got {keyword}=; {answer}')}$"):
        estimator(**{keyword: 1})


@pytest.mark.parametrize(
    ("kind", "name", "value", "answer"),
    [
        ("classifier", "loss", "bce", "'log_loss'"),
        ("classifier", "loss", "crossentropy", "'log_loss'"),
        ("classifier", "loss", "LogLoss", "'log_loss'"),
        ("classifier", "loss", "hinge_loss", "'hinge'"),
        ("classifier", "activation", "swish", "'silu'"),
        ("classifier", "solver", "SGD", "'sgd'"),
        ("regressor", "loss", "mse", "'squared_error'"),
        ("regressor", "init", "xavier", "'glorot_uniform' or 'glorot_normal'"),
        ("regressor", "stopping_metric", "mean_absolute_error", "'mae'"),
    ],
)
def test_a_value_from_elsewhere_is_answered_with_the_one_here(kind, name, value, answer):
    words = f"^The '{name}' parameter of .* must be .*; use {answer}[.] Got '{value}' instead[.]$"
    with pytest.raises(ValueError, match=words):
        one(kind, **{name: value}).fit(*rows(kind))


def test_what_does_not_go_with_an_estimator_is_not_advised():
    with pytest.raises(ValueError, match="^The 'loss' parameter ") as raised:
        one("regressor", loss="bce").fit(*rows("regressor"))
    assert "; use" not in str(raised.value)


def test_estimators_do_not_warn_of_targets():
    X = np.random.default_rng(0).standard_normal((60, 2))
    for y in (np.arange(60), np.arange(60) % 2.0):
        for kind in PAIRS:
            one(kind, max_iter=1, tol=1.0, solver="lbfgs").set_params(max_iter=500).fit(X, y)


@pytest.mark.parametrize(
    ("keyword", "answer"),
    [
        ("validation_data", "use X_val="),
        ("eval_set", "use X_val="),
        ("epochs", "use the estimator's max_iter="),
        ("verbose", "use the estimator's verbose="),
        ("sample_weights", "use sample_weight="),
    ],
)
def test_keywords_of_fit_from_elsewhere_are_answered(keyword, answer):
    X, y = np.zeros((4, 2)), np.arange(4) % 2
    with pytest.raises(TypeError, match=rf"fit\(\) got {keyword}=; {answer}$"):
        one("classifier").fit(X, y, **{keyword: 1})
