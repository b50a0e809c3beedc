"""Where users put the estimators: pipelines, searches, ensembles, frames, and arrays of every kind."""

# ruff: noqa: E402 (scikit-learn may be missing)
import warnings

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.7")
from joblib import Parallel, delayed, parallel_config
from sklearn import neural_network as theirs
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    learning_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from fastmlp import sklearn as ours

# A loss never falls by 1 here: every fit ends, converged, after n_iter_no_change + 2 epochs.
QUICK = {"hidden_layer_sizes": 6, "learning_rate_init": 0.02, "tol": 1.0, "n_iter_no_change": 12, "random_state": 0}
# Whole fits of some dozen steps agree with scikit-learn's to the errors of adding up in another order, which every
# step amplifies (1e-13 seen); probabilities and outputs are of the size of 1.
FIT = {"rtol": 1e-9, "atol": 1e-10}


@pytest.fixture(scope="module")
def labelled():
    """Rows of four numbers and their labels, two of three classes overlapping."""
    generator = np.random.default_rng(0)
    y = np.arange(120) % 3
    X = generator.standard_normal((120, 4)) + 1.5 * np.eye(4)[y]
    return X, np.array(["amber", "blue", "clear"])[y]


@pytest.fixture(scope="module")
def numbered():
    """Rows of four numbers and a number that depends on them."""
    X = np.random.default_rng(1).standard_normal((120, 4))
    return X, np.tanh(X[:, 0]) + X[:, 1] * X[:, 2] / 4


def classifier(module, **options):
    return module.MLPClassifier(**QUICK | options)


def regressor(module, **options):
    return module.MLPRegressor(**QUICK | options)


# ---- pipelines and frames ------------------------------------------------------------------------------------


def test_a_pipeline_sets_parameters_of_its_steps(labelled):
    X, y = labelled
    answers = []
    for module in (ours, theirs):
        pipe = Pipeline([("scale", StandardScaler()), ("net", classifier(module))])
        pipe.set_params(net__alpha=0.5, net__hidden_layer_sizes=(5, 3), scale__with_mean=False).fit(X * 100, y)
        assert pipe["net"].get_params()["alpha"] == pipe.get_params()["net__alpha"] == 0.5
        assert [w.shape for w in pipe["net"].coefs_] == [(4, 5), (5, 3), (3, 3)]
        answers.append(pipe.predict_proba(X * 100))
    np.testing.assert_allclose(*answers, **FIT)


def test_columns_of_a_frame(labelled):
    pandas = pytest.importorskip("pandas")
    X, y = labelled
    frame = pandas.DataFrame(X, columns=["a", "b", "c", "d"])
    frame["place"] = np.array(["north", "south"])[(X[:, 0] > 0).astype(int)]
    answers = []
    for module in (ours, theirs):
        columns = ColumnTransformer([("one", OneHotEncoder(), ["place"]), ("all", StandardScaler(), ["a", "b", "c"])])
        answers.append(make_pipeline(columns, classifier(module)).fit(frame, pandas.Series(y)).predict_proba(frame))
    np.testing.assert_allclose(*answers, **FIT)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("make", [classifier, regressor])
def test_names_of_columns_are_kept_and_checked(library, make, labelled, numbered):
    frames = pytest.importorskip(library)
    X, y = labelled if make is classifier else numbered
    frame, renamed = (frames.DataFrame(dict(zip(names, X.T, strict=True))) for names in ("abcd", "abce"))
    said = []
    for module in (ours, theirs):
        model = make(module).fit(frame, frames.Series(y))
        assert list(model.feature_names_in_) == list("abcd")
        with pytest.raises(ValueError, match="feature names should match") as error:
            model.predict(renamed)
        with pytest.warns(UserWarning, match="X does not have valid feature names") as warning:
            from_array = model.predict(X)
        np.testing.assert_array_equal(model.predict(frame), from_array)
        said.append((str(error.value), str(warning[0].message), from_array.shape))
    assert said[0] == said[1]
    np.testing.assert_array_equal(make(ours).fit(X, y).predict(X), make(ours).fit(frame, y).predict(frame))
    assert not hasattr(make(ours).fit(X, y), "feature_names_in_")


def test_a_frame_of_labels_in_columns(labelled):
    pandas = pytest.importorskip("pandas")
    X, y = labelled
    flags = pandas.DataFrame({"amber": y == "amber", "warm": X[:, 0] > 0}).astype(int)
    one, other = (classifier(module).fit(X, flags) for module in (ours, theirs))
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), **FIT)
    np.testing.assert_array_equal(one.predict(X), other.predict(X))


# ---- searches ------------------------------------------------------------------------------------------------

GRID = {"net__alpha": [1e-4, 3.0], "net__hidden_layer_sizes": [(3,), (6,)]}


def searched(module, search, make, X, y, **options):
    pipe = Pipeline([("scale", StandardScaler()), ("net", make(module))])
    given = {"random_state": 0, "n_iter": 3} if search is RandomizedSearchCV else {}
    return search(pipe, GRID, cv=3, **given, **options).fit(X, y)


@pytest.mark.parametrize("search", [GridSearchCV, RandomizedSearchCV])
@pytest.mark.parametrize("make", [classifier, regressor])
def test_searches_find_what_scikit_learns_finds(search, make, labelled, numbered):
    X, y = labelled if make is classifier else numbered
    alone, at_once = (searched(ours, search, make, X, y, n_jobs=jobs) for jobs in (1, 2))
    other = searched(theirs, search, make, X, y)
    assert alone.best_params_ == at_once.best_params_ == other.best_params_
    # The same sums in the same order, however many tasks there are.
    np.testing.assert_array_equal(alone.cv_results_["mean_test_score"], at_once.cv_results_["mean_test_score"])
    np.testing.assert_allclose(alone.cv_results_["mean_test_score"], other.cv_results_["mean_test_score"], **FIT)
    assert len(set(other.cv_results_["mean_test_score"])) > 1, "a grid whose points are told apart"
    np.testing.assert_array_equal(at_once.predict(X), alone.best_estimator_.predict(X))


# ---- threads -------------------------------------------------------------------------------------------------


@pytest.fixture
def threads_of():
    """A function: model, X, y -> the number of threads that its fit asks the network for; None: as many as there are.

    It is no module's own, so that it is sent to other processes as it is.
    """

    def look(model, X, y):
        given = []

        class Watched(type(model)):
            def _make_network(self, *arguments):
                network = super()._make_network(*arguments)
                fit = network._fit
                network._fit = lambda *rows: (given.append(rows[-1].n_threads), fit(*rows))
                return network

        Watched(**model.get_params()).fit(X, y)
        return given

    return look


@pytest.mark.parametrize("place", ["loky", "threading"])
def test_within_a_task_training_takes_one_thread(place, threads_of, labelled):
    X, y = labelled
    look = delayed(threads_of)
    tasks = [classifier(ours), classifier(ours, n_jobs=2), classifier(ours, n_jobs=-1), classifier(ours)]
    found = Parallel(n_jobs=2, backend=place)(look(model, X, y) for model in tasks)
    assert found == [[1], [2], [None], [1]]


@pytest.mark.parametrize("place", ["loky", "threading"])
def test_a_search_trains_on_one_thread_a_task(place, threads_of, numbered):
    X, y = numbered

    def score(model, X, y):
        return threads_of(model, X, y)[0] or -1

    for jobs, expected in ((2, 1), (None, -1), (1, -1)):
        with parallel_config(place):
            search = GridSearchCV(regressor(ours), {"alpha": [0.1, 1.0]}, scoring=score, cv=2, n_jobs=jobs).fit(X, y)
        assert search.cv_results_["mean_test_score"].tolist() == [expected, expected]


def test_outside_of_tasks_training_is_not_limited(threads_of, labelled):
    X, y = labelled
    for jobs, expected in ((None, None), (-1, None), (1, 1), (3, 3)):
        assert threads_of(classifier(ours, n_jobs=jobs), X, y) == [expected]
    with parallel_config("loky", n_jobs=2):
        assert threads_of(classifier(ours), X, y) == [None], "no task has begun"
    assert Parallel(n_jobs=1)([delayed(threads_of)(classifier(ours), X, y)]) == [[None]], "nothing beside it"
    with pytest.raises(ValueError, match="n_jobs == 0"):
        classifier(ours, n_jobs=0).fit(X, y)


def test_threads_make_no_difference(labelled):
    X, y = labelled
    fits = [classifier(ours, n_jobs=jobs).fit(X, y) for jobs in (1, 2, 5, None)]
    for fit in fits[1:]:
        np.testing.assert_array_equal(fit.network_.params, fits[0].network_.params)


# ---- in other estimators -------------------------------------------------------------------------------------


def test_cross_validation(labelled, numbered):
    for (X, y), make in ((labelled, classifier), (numbered, regressor)):
        np.testing.assert_allclose(
            cross_val_score(make(ours), X, y, cv=4), cross_val_score(make(theirs), X, y, cv=4), **FIT
        )
    X, y = labelled
    for method in ("predict_proba", "predict_log_proba"):
        one, other = (cross_val_predict(classifier(m), X, y, cv=3, method=method) for m in (ours, theirs))
        np.testing.assert_allclose(one, other, **FIT)


WRAPPERS = {
    "calibrated": lambda net: CalibratedClassifierCV(net, cv=2),
    "bagging": lambda net: BaggingClassifier(net, n_estimators=3, max_samples=0.6, random_state=0),
    "voting": lambda net: VotingClassifier([("net", net), ("line", LogisticRegression())], voting="soft"),
    "stacking": lambda net: StackingClassifier([("net", net), ("line", LogisticRegression())], cv=2),
    "one against the rest": OneVsRestClassifier,
    "pipeline": lambda net: make_pipeline(MinMaxScaler(), net),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_classifiers_of_classifiers(wrapper, labelled):
    X, y = labelled
    wrap = WRAPPERS[wrapper]
    answers = [wrap(classifier(module)).fit(X, y).predict_proba(X) for module in (ours, theirs)]
    # Calibration and stacking fit a curve to the outputs, by a search that ends at a gradient of 1e-4 and may take one
    # step more or less.
    limits = {"rtol": 0, "atol": 1e-4} if wrapper in ("calibrated", "stacking") else FIT
    np.testing.assert_allclose(*answers, **limits)


def cubed(x):
    return x**3


@pytest.mark.parametrize(
    "wrap",
    [
        MultiOutputRegressor,
        lambda net: TransformedTargetRegressor(net, transformer=StandardScaler()),
        lambda net: TransformedTargetRegressor(make_pipeline(StandardScaler(), net), func=np.cbrt, inverse_func=cubed),
    ],
    ids=["each output", "scaled targets", "targets through a function"],
)
def test_regressors_of_regressors(wrap, numbered):
    X, y = numbered
    targets = np.c_[y, -y + X[:, 3]]
    one, other = (wrap(regressor(module)).fit(X, targets) for module in (ours, theirs))
    np.testing.assert_allclose(one.predict(X), other.predict(X), **FIT)
    assert one.score(X, targets) == pytest.approx(other.score(X, targets), rel=1e-9)


def test_learning_curves_and_importances(numbered):
    X, y = numbered
    curves = [learning_curve(regressor(module), X, y, cv=3, train_sizes=[0.3, 1.0]) for module in (ours, theirs)]
    for one, other in zip(*curves, strict=True):
        np.testing.assert_allclose(one, other, **FIT)
    one, other = (
        permutation_importance(regressor(module).fit(X, y), X, y, random_state=0) for module in (ours, theirs)
    )
    np.testing.assert_allclose(one.importances, other.importances, **FIT)
    assert one.importances_mean[0] > 10 * abs(one.importances_mean[3]), "the column that matters"


def test_learning_curves_by_parts(labelled):
    X, y = labelled
    curves = [
        learning_curve(classifier(module), X, y, cv=3, train_sizes=[0.4, 0.7, 1.0], exploit_incremental_learning=True)
        for module in (ours, theirs)
    ]
    for one, other in zip(*curves, strict=True):
        np.testing.assert_allclose(one, other, **FIT)


# ---- clones and texts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [classifier, regressor])
def test_a_clone_has_the_parameters_and_nothing_fitted(make, labelled, numbered):
    X, y = labelled if make is classifier else numbered
    model = make(ours, activation=["gelu"], dropout=[0.1], l1=1e-3, callbacks=[]).fit(X, y)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not [name for name in vars(copy) if name.endswith("_")]
    assert set(vars(copy)) == set(copy.get_params())
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        copy.predict(X)
    with pytest.raises(NotFittedError):
        copy.history_  # noqa: B018 (a property)
    np.testing.assert_array_equal(copy.fit(X, y).network_.params, model.network_.params)


def test_text_and_page_show_what_was_changed(labelled):
    model = ours.MLPClassifier(hidden_layer_sizes=(5,), alpha=0.1, dropout=0.2)
    assert repr(model) == "MLPClassifier(alpha=0.1, dropout=0.2, hidden_layer_sizes=(5,))"
    assert repr(ours.MLPRegressor()) == "MLPRegressor()"
    same = {"hidden_layer_sizes": (5,), "alpha": 0.1}
    assert repr(ours.MLPClassifier(**same)) == repr(theirs.MLPClassifier(**same))
    page = model._repr_html_()
    assert "MLPClassifier" in page
    assert "dropout" in page
    assert "not fitted" in page.lower()
    model.set_params(**QUICK).fit(*labelled)
    assert "not fitted" not in model._repr_html_().lower()
    assert "MLPRegressor" in make_pipeline(StandardScaler(), ours.MLPRegressor())._repr_html_()


# ---- metadata ------------------------------------------------------------------------------------------------


@pytest.fixture
def routing():
    """Metadata are routed."""
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.usefixtures("routing")
def test_weights_reach_a_fit_where_they_are_requested(labelled):
    X, y = labelled
    weights = np.random.default_rng(0).uniform(0, 3, len(y))
    answers = []
    for module in (ours, theirs):
        net = classifier(module).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        pipe = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), net)
        search = GridSearchCV(pipe, {"mlpclassifier__alpha": [1e-4, 3.0]}, cv=2).fit(X, y, sample_weight=weights)
        answers.append([search.cv_results_["mean_test_score"], search.predict_proba(X).ravel()])
        plain = clone(pipe).fit(X, y, sample_weight=None).predict_proba(X)
        assert np.abs(search.predict_proba(X) - plain).max() > 1e-3, "weights make a difference"
    for one, other in zip(*answers, strict=True):
        np.testing.assert_allclose(one, other, **FIT)


@pytest.mark.usefixtures("routing")
def test_weights_that_nobody_asked_for_are_refused(labelled):
    X, y = labelled
    for module in (ours, theirs):
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match="sample_weight"):
            make_pipeline(StandardScaler(), classifier(module)).fit(X, y, sample_weight=np.ones(len(y)))


@pytest.mark.usefixtures("routing")
def test_validation_rows_come_through_a_pipeline(labelled):
    X, y = labelled
    given = {"X_val": X[80:], "y_val": y[80:], "sample_weight_val": np.arange(40.0)}
    net = classifier(ours).set_fit_request(**dict.fromkeys(given, True))
    pipe = make_pipeline(StandardScaler(), net, transform_input=["X_val"]).fit(X[:80], y[:80], **given)
    fitted = pipe[-1]
    assert len(fitted.validation_scores_) == fitted.n_iter_ > 1
    # One product of weights and rows, rounded as in `score`'s: shares of right answers, of few dozens.
    score = fitted.score(pipe[0].transform(given["X_val"]), given["y_val"], given["sample_weight_val"])
    # A share of weights, added up by each in its own order: within some dozen roundoffs.
    assert fitted.validation_scores_[-1] == pytest.approx(score, rel=1e-12)


# ---- arrays of every kind ------------------------------------------------------------------------------------


def memory_mapped(X, folder):
    kept = np.memmap(folder / "rows", X.dtype, "w+", shape=X.shape)
    kept[:] = X
    return kept


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


KINDS = {
    "float32": lambda X: X.astype(np.float32),
    "float16": lambda X: X.astype(np.float16),
    "int64": lambda X: np.round(3 * X).astype(np.int64),
    "uint8": lambda X: np.abs(np.round(3 * X)).astype(np.uint8),
    "bool": lambda X: X > 0,
    "object": lambda X: X.astype(object),
    "other byte order": lambda X: X.astype(">f8"),
    "Fortran order": np.asfortranarray,
    "every second column": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "upside down": lambda X: X[::-1],
    "read-only": read_only,
    "list": lambda X: X.tolist(),
}


@pytest.mark.parametrize("kind", [*KINDS, "memory-mapped"])
@pytest.mark.parametrize("make", [classifier, regressor])
def test_rows_of_every_kind(kind, make, labelled, numbered, tmp_path):
    X, y = labelled if make is classifier else numbered
    X = memory_mapped(X, tmp_path) if kind == "memory-mapped" else KINDS[kind](X)
    before = np.array(X)
    y = read_only(y)
    one, other = (make(module).fit(X, y) for module in (ours, theirs))
    single = kind == "float32"
    # In float32 the same hundreds of steps of rounding, each some 1e-7.
    limits = {"rtol": 1e-3, "atol": 1e-4} if single else FIT
    for ours_, theirs_ in zip([*one.coefs_, *one.intercepts_], [*other.coefs_, *other.intercepts_], strict=True):
        assert ours_.dtype == theirs_.dtype == (np.float32 if single else np.float64)
        np.testing.assert_allclose(ours_, theirs_, **limits)
    answer = one.predict(X)
    assert answer.dtype == other.predict(X).dtype
    np.testing.assert_array_equal(np.array(X), before, "rows that were given are not written to")
    np.testing.assert_array_equal(make(ours).fit(np.array(before, dtype=one.coefs_[0].dtype), y).predict(X), answer)


def test_a_column_of_targets_is_a_row_with_a_warning(labelled, numbered):
    for (X, y), make in ((labelled, classifier), (numbered, regressor)):
        said = []
        for module in (ours, theirs):
            with pytest.warns(sklearn.exceptions.DataConversionWarning) as warning:
                model = make(module).fit(X, y[:, None])
            said.append((len(warning), str(warning[0].message)))
            assert model.predict(X).shape == (len(y),)
        assert said[0] == said[1]


def test_warnings_point_at_the_line_that_called_fit(labelled):
    X, y = labelled
    for model in (classifier(ours, max_iter=2), make_pipeline(StandardScaler(), classifier(ours, max_iter=2))):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(X, y)
        assert [warning.filename for warning in caught] == [__file__]
