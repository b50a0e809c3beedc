"""Sparse features: SciPy's matrices and arrays are taken as their dense rows are, to the bit."""

import subprocess
import sys

import numpy as np
import pytest
from inside import places
from trained import assert_same

import fastmlp

sparse = pytest.importorskip("scipy.sparse")

FORMATS = [
    getattr(sparse, f"{name}_{kind}")
    for name in ("csr", "csc", "coo", "lil", "dok", "dia", "bsr")
    for kind in ("matrix", "array")
]
ROWS, COLUMNS = 60, 6


def features(dtype=np.float64):
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((ROWS, COLUMNS)) * (generator.random((ROWS, COLUMNS)) < 0.4)
    return rows.astype(dtype)


X, Y = features(), np.random.default_rng(1).integers(0, 3, ROWS)


@pytest.fixture(params=["whole", "windows"], name="size")
def _size(request, monkeypatch):
    """Whether dense rows fit in the memory, as they do here, or are read through windows of two batches."""
    if request.param == "windows":
        places.switch(
            monkeypatch, dense_bytes=lambda: 0, window_bytes=2 * 16 * COLUMNS * 8, block_bytes=7 * COLUMNS * 8
        )
    return request.param


def trained(X, **options):
    return fastmlp.train(X, Y, **{"hidden": 5, "epochs": 4, "batch_size": 16, "seed": 0} | options)


@pytest.mark.usefixtures("size")
@pytest.mark.parametrize("make", FORMATS, ids=lambda make: make.__name__)
def test_every_format_is_taken_everywhere(make):
    rows, given = X[:9], make(X[:9])
    dense, found = trained(X, validation=(X[:9], Y[:9])), trained(make(X), validation=(given, Y[:9]))
    assert_same(found, dense)
    np.testing.assert_array_equal(found.predict(given), dense.predict(rows))
    np.testing.assert_array_equal(found.predict_proba(given), dense.predict_proba(rows))
    np.testing.assert_array_equal(found.input_gradient(given), dense.input_gradient(rows))
    for one, other in zip(found.forward(given), dense.forward(rows), strict=True):
        np.testing.assert_array_equal(one, other)
    assert found.loss(given, Y[:9]) == dense.loss(rows, Y[:9])
    np.testing.assert_array_equal(found.gradient(given, Y[:9]), dense.gradient(rows, Y[:9]))
    for metric in (None, "f1"):
        assert found.score(given, Y[:9], metric=metric) == dense.score(rows, Y[:9], metric=metric)
    for net, part in ((dense, rows), (found, given)):
        net.partial_train(part, Y[:9]).train(part, Y[:9], epochs=2, validation=(part, Y[:9]))
    assert_same(found, dense)


OPTIONS = {
    "a fraction to validate on": {"validation": 0.2, "early_stopping": True, "metrics": ["accuracy"]},
    "weights": {"sample_weight": np.linspace(0, 2, ROWS), "validation": 0.3, "class_weight": "balanced"},
    "all rows at once": {"optimizer": "rprop", "batch_size": "auto"},
    "a search": {"optimizer": "lbfgs", "batch_size": "auto"},
    "no order": {"shuffle": False, "hidden": ()},
    "threads": {"n_threads": 2},
    "another dtype": {"dtype": "float32"},
}


@pytest.mark.usefixtures("size")
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_training_is_that_of_dense_rows(backend, options):
    assert_same(trained(sparse.csc_array(X), backend=backend, **options), trained(X, backend=backend, **options))


@pytest.mark.usefixtures("size")
def test_numbers_of_several_targets_have_the_same_score(backend):
    y, weights = X[:, :2] - 0.5 * X[:, 1:3], np.linspace(0, 1, ROWS)
    net = fastmlp.train(X, y, hidden=5, epochs=3, seed=0, backend=backend)
    # NumPy multiplies few rows otherwise than many, which the kernels do not: 1e-15 of numbers of order 1.
    assert net.score(sparse.coo_array(X), y, weights) == pytest.approx(net.score(X, y, weights), rel=0, abs=1e-13)


@pytest.mark.parametrize("kept", ["float32", "float64", "int8", "bool", "uint16", "longdouble"])
def test_the_dtype_follows_the_numbers_as_of_dense_rows(kept):
    rows = np.abs(np.round(3 * X)).astype(kept)
    dense, found = trained(rows), trained(sparse.csr_array(rows))
    assert found.dtype == dense.dtype == ("float32" if kept == "float32" else "float64")
    assert_same(found, dense)


@pytest.mark.usefixtures("size")
def test_entries_that_are_stored_twice_are_added_up_and_the_matrix_is_left_as_it_is():
    values, columns, ends = np.array([1.0, 2.0, 3.0, 4.0]), np.array([4, 1, 1, 0]), np.array([0, 3] + [4] * (ROWS - 1))
    given = sparse.csr_matrix((values.copy(), columns.copy(), ends), shape=(ROWS, COLUMNS))
    found = trained(given)
    for kept, before in ((given.data, values), (given.indices, columns)):
        np.testing.assert_array_equal(kept, before)
    rows = np.zeros((ROWS, COLUMNS))
    rows[0, 1], rows[0, 4], rows[1, 0] = 5, 1, 4
    assert_same(found, trained(rows))


def spoiled(value, place=(7, 2)):
    rows = X.copy()
    rows[place] = value
    return rows


REFUSED = {
    "nan": (lambda: spoiled(np.nan), {}),
    "inf": (lambda: spoiled(np.inf, (0, 0)), {}),
    "-inf": (lambda: spoiled(-np.inf, (ROWS - 1, COLUMNS - 1)), {}),
    "too large": (lambda: spoiled(1e300), {"dtype": "float32"}),
    "complex": (lambda: X.astype(complex), {}),
    "no rows": (lambda: X[:0], {}),
    "no columns": (lambda: X[:, :0], {}),
}


@pytest.mark.usefixtures("size")
@pytest.mark.parametrize(
    "make", [sparse.csr_matrix, sparse.csc_array, sparse.coo_array], ids=lambda make: make.__name__
)
@pytest.mark.parametrize(("rows", "options"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_refused_in_the_words_for_dense_rows(rows, options, make):
    messages = []
    for given in (rows(), make(rows())):
        with pytest.raises((TypeError, ValueError), match="^X: got ") as raised:
            trained(given, **options)
        messages.append((type(raised.value), str(raised.value)))
    assert messages[0] == messages[1]


def test_other_shapes_are_refused():
    net = trained(X)
    with pytest.raises(ValueError, match=r"^X: got 3 columns \(shape \(60, 3\)\); the network takes 6$"):
        net.predict(sparse.csr_array(X[:, :3]))
    with pytest.raises(ValueError, match=r"^X: got shape \(60,\); a 2-D array"):
        net.predict(sparse.coo_array(X[:, 0]))
    with pytest.raises(ValueError, match="^validation X: got nan at row 7, column 2"):
        trained(X, validation=(sparse.csr_array(spoiled(np.nan)), Y))
    with pytest.raises(ValueError, match="^y: got 60 rows where X has 9"):
        net.loss(sparse.csr_array(X[:9]), Y)
    with pytest.raises(TypeError, match="^y: got a sparse csr_array; a dense array is accepted"):
        net.loss(X, sparse.csr_array(np.eye(3, dtype=int)[Y]))


def test_one_that_is_not_scipys_is_refused():
    class Other:
        def toarray(self):
            return X

    with pytest.raises(TypeError, match="^X: got a sparse Other; a dense array is accepted"):
        trained(Other())


def test_rows_without_names_of_columns_warn():
    net = trained(X)
    pandas = pytest.importorskip("pandas")
    net = trained(pandas.DataFrame(X, columns=list("abcdef")))
    with pytest.warns(UserWarning, match="^X: got no names of columns"):
        net.predict(sparse.csr_array(X))


def test_dense_rows_import_no_scipy():
    code = (
        "import sys, numpy, fastmlp; fastmlp.train(numpy.eye(4), [0, 1, 0, 1], epochs=1).predict([[1, 0, 0, 0]]); "
        "sys.exit(any(name.partition('.')[0] == 'scipy' for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
