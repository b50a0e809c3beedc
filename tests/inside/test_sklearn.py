"""The estimators: sparse rows in windows, the order of the rows, histories of a stream."""

# ruff: noqa: E402 (scikit-learn may be missing)
import sys

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.7")
from inside import places
from scipy import sparse
from sklearn.utils import shuffle
from sklearn_models import PAIRS, ROUNDING, assert_equal_fits, one, rows, sparse_rows

import fastmlp
from fastmlp import sklearn as ours
from fastmlp.sklearn import _translation

# Most fits end at max_iter, long before they have converged.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def windows(monkeypatch):
    """No sparse matrix is made dense as a whole: some batches at a time, and some rows when they are measured."""
    filled, fill = [], places.given("window_fill")
    places.switch(
        monkeypatch,
        dense_bytes=lambda: 0,
        window_bytes=3 * 16 * 5 * 8,  # three batches of sixteen rows of five numbers
        block_bytes=7 * 5 * 8,
        window_fill=lambda self, *arguments: (filled.append(len(self.x)), fill(self, *arguments))[1],
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


@pytest.mark.parametrize("generator", [np.random.MT19937, np.random.PCG64])
@pytest.mark.parametrize("drawn", [1, 31, 32, 100, 2500])
def test_the_random_state_is_left_after_as_many_epochs_as_were_run(generator, drawn):
    def left(state):
        return state.randint(2**31, size=3).tolist()

    for epochs in sorted({0, 1, drawn // 2, drawn - 1, drawn}):
        mine, its = (np.random.RandomState(generator(3)) for _ in range(2))
        orders, expected = _translation.Orders(mine, 7, shared=True), np.arange(7)
        for epoch in range(drawn):
            order = orders(epoch).copy()
            if epoch < epochs:
                expected = shuffle(expected, random_state=its)
                np.testing.assert_array_equal(order, expected)
        orders.leave_at(epochs)
        assert left(mine) == left(its), epochs


def test_a_stream_keeps_few_histories(monkeypatch):
    places.switch(monkeypatch, unjoined_histories=5)
    X, y = rows("regressor")
    model = ours.MLPRegressor(hidden_layer_sizes=5, random_state=0)
    for _ in range(23):
        model.partial_fit(X, y)
        assert len(places.histories(model.network_)) <= 5
    assert len(model.loss_curve_) == len(model.history_) == 23
    np.testing.assert_array_equal(model.history_.loss, model.loss_curve_)


@pytest.mark.parametrize("kind", PAIRS)
def test_a_prediction_passes_through_few_functions_of_its_own(kind):
    X, y = rows(kind)
    model, row = one(kind).fit(X, y), X[:1].copy()

    def calls(function):
        """Count the calls of fastmlp's functions that a second call of a function makes."""
        count = 0

        def look(frame, event, _):
            nonlocal count
            count += event == "call" and frame.f_globals.get("__name__", "").startswith("fastmlp.")

        function(row)
        sys.setprofile(look)
        try:
            function(row)
        finally:
            sys.setprofile(None)
        return count

    # The network in use (is there one, are its coefficients or settings replaced), labels, scikit-learn's tags.
    assert calls(model.predict) - calls(model.network_.predict) <= 10


@pytest.mark.parametrize("fitted", [False, True])
def test_an_interruption_before_the_first_step_changes_nothing(fitted, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    X, y = rows("classifier")
    model = one("classifier", warm_start=True)
    before = dict(vars(model.fit(X, y) if fitted else model))
    monkeypatch.setattr(fastmlp.Network, "_fit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())
