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


# Numbers some of which were not observed, one kind each; NaN stands where they are missing.
GAPS = {
    "floats": lambda y: y,
    "a column": lambda y: y[:, None],
    "float32": lambda y: y.astype(np.float32),
    "None": lambda y: np.where(np.isnan(y), None, y),
    "a list": lambda y: [None if np.isnan(value) else value for value in y],
    "sparse": lambda y: sparse.csr_array(y[:, None]),
}
FRAMES = {
    "pandas' NA in an array": lambda pandas, y: np.where(np.isnan(y), pandas.NA, y.astype(object)),
    "pandas' NA in a frame": lambda pandas, y: pandas.DataFrame({"y": np.where(np.isnan(y), pandas.NA, y)}),
    "Float64": lambda pandas, y: pandas.Series(np.where(np.isnan(y), pandas.NA, y), dtype="Float64"),
    "a frame of Float64": lambda pandas, y: pandas.DataFrame({"y": np.where(np.isnan(y), None, y)}, dtype="Float64"),
}


def with_gaps():
    X, y = rows("regressor")
    return X, np.where(np.arange(90) % 7 == 0, np.nan, y)


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
@pytest.mark.parametrize("kind", [*GAPS, *FRAMES])
def test_gaps_of_every_kind(kind):
    X, y = with_gaps()
    given = GAPS[kind](y) if kind in GAPS else FRAMES[kind](pytest.importorskip("pandas"), y)
    model, plain = (one("regressor", missing_targets="mask") for _ in range(2))
    # float32 rounds the numbers; nothing else changes them.
    limits = {"rtol": 1e-4, "atol": 1e-6} if kind == "float32" else {"rtol": 0, "atol": 0}
    np.testing.assert_allclose(parameters(model.fit(X, given)), parameters(plain.fit(X, y)), **limits)
    assert model.score(X, given) == pytest.approx(plain.score(X, y), rel=1e-4 if kind == "float32" else 1e-12)
    validated = model.fit(X, y, X_val=X, y_val=given).validation_scores_
    np.testing.assert_allclose(validated, plain.fit(X, y, X_val=X, y_val=y).validation_scores_, **limits)
    if kind in FRAMES:
        with pytest.raises((TypeError, ValueError)):
            one("regressor").fit(X, given)


def test_gaps_in_some_columns_of_a_frame():
    pandas = pytest.importorskip("pandas")
    X, y = with_gaps()
    frame = pandas.DataFrame({"a": pandas.Series(np.where(np.isnan(y), None, y), dtype="Float64"), "b": X[:, 0]})
    model, plain = (one("regressor", missing_targets="mask") for _ in range(2))
    np.testing.assert_array_equal(
        parameters(model.fit(X, frame)), parameters(plain.fit(X, np.c_[y, X[:, 0]])), "the same numbers"
    )


@pytest.mark.parametrize(
    "spoil",
    [
        lambda y: None,
        lambda y: y + 0j,
        lambda y: np.where(y > 1, 1j, y),
        lambda y: np.zeros((90, 0)),
        lambda y: np.zeros((90, 2, 2)),
        lambda y: y[:-1],
        lambda y: np.where(y > 1, np.inf, y),
        lambda y: "y",
        lambda y: 1.0,
        lambda y: [[1.0], [1.0, 2.0]] * 45,
    ],
    ids=["None", "complex", "some complex", "no columns", "3-D", "short", "infinity", "text", "number", "ragged"],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_with_gaps_other_targets_are_refused_as_without(method, spoil):
    X, y = rows("regressor")
    said = []
    for options in ({"missing_targets": "mask"}, {}):
        with pytest.raises((TypeError, ValueError)) as error:
            getattr(one("regressor", **options), method)(X, spoil(y))
        said.append((type(error.value), str(error.value)))
    assert said[0] == said[1]


@pytest.mark.parametrize("missing_targets", ["error", "mask"])
@pytest.mark.parametrize("dtype", ["M8[s]", "m8[s]", str, bytes])
def test_numbers_are_not_dates_or_text(dtype, missing_targets):
    X, y = rows("regressor")
    with pytest.raises(TypeError, match="^y: got dtype .*; numbers are accepted"):
        one("regressor", missing_targets=missing_targets).fit(X, np.round(y).astype(int).astype(dtype))


@pytest.mark.parametrize("columns", [1, 2])
def test_nothing_observed_is_an_error(columns):
    X, y = rows("regressor")
    y = y if columns == 1 else np.c_[y, y]
    model = one("regressor", missing_targets="mask")
    for method in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match="^y: got NaN in every place; at least one target must have been observed"):
            getattr(model, method)(X, y * np.nan)
    model = one("regressor", missing_targets="mask").partial_fit(X, y)
    before = parameters(model)
    with pytest.raises(ValueError, match="^y: got NaN in every place"):
        model.partial_fit(X, y * np.nan)
    np.testing.assert_array_equal(parameters(model), before)
    with pytest.raises(ValueError, match="^y_val: got NaN in every place"):
        model.fit(X, y, X_val=X, y_val=y * np.nan)


def test_nothing_observed_in_a_part_of_the_split_is_named():
    X, y = rows("regressor")
    y[3:] = np.nan
    with pytest.raises(ValueError, match="^validation_fraction: got 0.1 with n_samples=90, .* an observed target"):
        one("regressor", missing_targets="mask", early_stopping=True).fit(X, y)


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
