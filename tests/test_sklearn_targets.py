"""Targets of every kind, and data that are refused."""

# ruff: noqa: E402 (scikit-learn may be missing)

import pickle

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.7")
from scipy import sparse
from sklearn_models import (
    FIT,
    LABELS,
    PAIRS,
    assert_equal_fits,
    both,
    one,
    parameters,
    refusal,
    rows,
)

# Most fits end at max_iter, long before they have converged.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


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


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_array, sparse.coo_array])
def test_flags_may_be_sparse(make):
    X, y = rows("classifier")
    flags = LABELS["flags"](y)
    model, other = (model.fit(X, make(flags)) for model in both("classifier"))
    np.testing.assert_array_equal(parameters(model), parameters(one("classifier").fit(X, flags)))
    found, expected = model.predict(X), other.predict(X)
    assert (type(found), found.dtype) == (type(expected), expected.dtype)
    np.testing.assert_array_equal(found.toarray(), expected.toarray())
    assert model.score(X, make(flags)) == other.score(X, make(flags)) == model.score(X, flags)
    assert isinstance(pickle.loads(pickle.dumps(model)).predict(X), type(expected))
    assert isinstance(model.fit(X, flags).predict(X), np.ndarray), "as the labels of the last fit were"
    parts = [
        model.partial_fit(X, make(flags), classes=[0, 1, 2]).partial_fit(X, make(flags)).predict(X)
        for model in both("classifier")
    ]
    assert type(parts[0]) is type(parts[1])
    np.testing.assert_array_equal(*(part.toarray() for part in parts))


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
    [
        lambda y: np.c_[y, y / 2, y**2],
        lambda y: np.round(y).astype(int),
        lambda y: y.astype(np.float32),
        lambda y: np.asfortranarray(np.c_[y, y**2]),
        lambda y: y.astype(object),
        lambda y: y > 0,
        list,
    ],
    ids=["three outputs", "integers", "float32", "Fortran order", "objects", "bool", "list"],
)
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
    [
        lambda X, y: (X, np.where(y == 0, np.nan, y)),
        lambda X, y: (X, y[:-1]),
        lambda X, y: (X[:0], y[:0]),
        lambda X, y: (np.where(X > 2, np.nan, X), y),
        lambda X, y: (X[:, 0], y),
        lambda X, y: (X.astype(complex), y),
        lambda X, y: (X, np.c_[y, y]),
        lambda X, y: (X, y + X[:, 0]),
        lambda X, y: (X, None),
    ],
    ids=[
        "NaN in y",
        "fewer targets",
        "no rows",
        "NaN in X",
        "one dimension",
        "complex",
        "two columns of labels",
        "numbers for labels",
        "no targets",
    ],
)
def test_wrong_data_are_refused_in_the_same_words(spoil):
    X, y = spoil(*rows("classifier"))
    found, expected = (refusal(model, X, y) for model in both("classifier"))
    assert found == expected


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("kind", PAIRS)
def test_without_hidden_layers(kind, activation):
    assert_equal_fits(*(model.fit(*rows(kind)) for model in both(kind, hidden_layer_sizes=(), activation=activation)))


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
