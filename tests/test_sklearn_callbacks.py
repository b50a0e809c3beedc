"""Callbacks: fastmlp's, and scikit-learn's own."""

# ruff: noqa: E402 (scikit-learn may be missing)
import importlib
import warnings

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.7")
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn_models import (
    PAIRS,
    one,
    parameters,
    rows,
)

from fastmlp import sklearn as ours

# Most fits end at max_iter, long before they have converged.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# ---- callbacks of fastmlp ------------------------------------------------------------------------------------


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


# ---- callbacks of scikit-learn -------------------------------------------------------------------------------


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
        ("begin", "epoch", 0),
        ("end", "epoch", 0),
        ("begin", "epoch", 1),
        ("end", "epoch", 1),
    ]
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
