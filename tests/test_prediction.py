"""Predictions: few rows and many, arrays that pass as they are and those that do not, threads, copies, refusals."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest
from inside import places

import fastmlp

# Outputs on both sides of a vector's end in every build, of one panel's and of several panels'; no hidden layer, and
# a network so small that its samples lie along the lanes.
SIZES = [(2, 10, 2), (5, 3), (64, 100, 10), (33, 16, 17), (40, 15, 33, 2), (1, 70, 70), (100, 49, 7), (3, 200, 3)]
FEW = (1, 2, 5, 8, 9)


def network(sizes, backend=None, dtype=np.float64, loss="cross_entropy", **settings):
    """A network that has seen no data."""
    return fastmlp.Network(sizes, loss=loss, dtype=dtype, backend=backend, seed=2, **settings)


# ---- few rows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "activation"), [("cross_entropy", "relu"), ("squared_error", "tanh"), ("binary_cross_entropy", "sigmoid")]
)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_few_rows_come_out_as_among_many(sizes, loss, activation, backend, dtype, normal, tolerance):
    net = network(sizes, backend, dtype, loss, activation=activation, bias=loss != "squared_error")
    X = normal(300, sizes[0], dtype=dtype)
    every = net.forward(X)[-1]
    for rows in FEW:
        few = net.forward(X[7 : 7 + rows])[-1]
        if backend == places.backend.REFERENCE:  # NumPy's products take another order for another number of rows
            np.testing.assert_allclose(few, every[7 : 7 + rows], atol=tolerance("forward", dtype) * np.abs(every).max())
        else:
            np.testing.assert_array_equal(few, every[7 : 7 + rows])


# ---- the short way in, and the long one ------------------------------------------------------------------


def misaligned(X):
    """The same numbers, one byte off."""
    memory = np.empty(X.nbytes + 1, np.uint8)
    array = memory[1:].view(X.dtype).reshape(X.shape)
    array[:] = X
    return array


FORMS = {
    "list": np.ndarray.tolist,
    "other dtype": lambda X: X.astype(np.longdouble),
    "by columns": np.asfortranarray,
    "every other row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "backwards": lambda X: X[::-1].copy()[::-1],
    "other byte order": lambda X: X.astype(X.dtype.newbyteorder()),
    "misaligned": misaligned,
    "subclass": lambda X: X.view(np.recarray),
    "read-only": lambda X: np.frombuffer(X.tobytes(), X.dtype).reshape(X.shape),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("rows", [1, 3, 300])
def test_the_form_of_the_rows_does_not_matter(form, rows, backend, dtype, normal):
    net, X = network((3, 40, 4), backend, dtype), normal(rows, 3, dtype=dtype)
    given = form(X)
    np.testing.assert_array_equal(net.predict_proba(given), net.predict_proba(X))
    np.testing.assert_array_equal(net.predict(given), net.predict(X))


@pytest.mark.parametrize(("rows", "row", "column"), [(1, 0, 0), (1, 0, 36), (3, 1, 20), (700, 699, 36), (700, 300, 3)])
def test_what_is_not_finite_is_refused_in_the_same_words(rows, row, column, backend, dtype, normal):
    net, X = network((37, 30, 4), backend, dtype), normal(rows, 37, dtype=dtype)
    good = net.predict_proba(X)
    for method, value in (("predict", np.nan), ("predict_proba", np.inf), ("forward", -np.inf)):
        spoilt = X.copy()
        spoilt[row, column] = value
        words = f"^X: got {value} at row {row}, column {column}; finite numbers are accepted; fill or leave out such"
        for given in (spoilt, spoilt.tolist()):
            with pytest.raises(ValueError, match=words):
                getattr(net, method)(given)
    np.testing.assert_array_equal(net.predict_proba(X), good)


def test_rows_whose_sum_overflows_are_finite(backend, dtype):
    largest = np.full((3, 40), np.finfo(dtype).max, dtype)
    net = network((40, 2), backend, dtype, activation="identity", loss="squared_error")
    net.params = np.zeros(len(net.params))
    np.testing.assert_array_equal(net.predict(largest), np.zeros((3, 2)))


@pytest.mark.parametrize("shape", [(0, 3), (3,), (1, 4), (1, 3, 1), (3, 1)], ids=str)
def test_another_shape_is_refused(shape, backend):
    with pytest.raises(ValueError, match="^X: got "):
        network((3, 4, 2), backend).predict(np.zeros(shape))


# ---- threads ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 400])
def test_threads_that_predict_at_once_do_not_meet(rows, backend, normal):
    threads, repeats = 4, 50 if rows == 1 else 10
    net = network((20, 60, 5), backend)
    given = [normal(rows, 20, seed=number) for number in range(threads)]
    expected = [net.predict_proba(X) for X in given]
    together, wrong = threading.Barrier(threads), []

    def predict(number):
        together.wait()
        for _ in range(repeats):
            if not np.array_equal(net.predict_proba(given[number]), expected[number]):
                wrong.append(number)

    workers = [threading.Thread(target=predict, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
    assert len(places.workspaces(net)) <= threads, "as many workspaces are kept as threads predicted at once"


# ---- networks that change --------------------------------------------------------------------------------


def test_a_prediction_follows_the_parameters(backend, normal):
    net, X = network((6, 30, 4), backend), normal(1, 6)
    first = net.predict_proba(X)
    net.params = net.params * 2
    second = net.predict_proba(X)
    net.weights[0][:] /= 2
    net.params[net.weights[0].size :] /= 2
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(net.predict_proba(X), first)
    twin = network((6, 30, 4), backend)
    twin.train(normal(50, 6), np.arange(50) % 4, epochs=3)
    net.train(normal(50, 6), np.arange(50) % 4, epochs=3)
    np.testing.assert_array_equal(net.predict_proba(X), twin.predict_proba(X))


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_predicts_on_its_own(make, backend, normal):
    net, X = network((6, 30, 4), backend), normal(1, 6)
    before = net.predict_proba(X)
    other = make(net)
    np.testing.assert_array_equal(other.predict_proba(X), before)
    assert places.workspaces(other) is not places.workspaces(net)
    other.params = np.zeros(len(net.params))
    np.testing.assert_array_equal(other.predict_proba(X), np.full((1, 4), 0.25))
    np.testing.assert_array_equal(net.predict_proba(X), before)


def test_another_backend_takes_over(backend, tmp_path, normal, tolerance):
    net, X = network((6, 30, 4), "reference"), normal(1, 6)
    net.save(tmp_path / "model")
    other = fastmlp.load(tmp_path / "model", backend=backend)
    assert other.backend == backend
    np.testing.assert_allclose(other.predict_proba(X), net.predict_proba(X), atol=tolerance("forward", "float64"))
