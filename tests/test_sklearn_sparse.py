"""Sparse rows are fitted and predicted as dense ones."""

# ruff: noqa: E402 (scikit-learn may be missing)

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.7")
from scipy import sparse
from sklearn_models import (
    PAIRS,
    one,
    parameters,
    sparse_rows,
)

# Most fits end at max_iter, long before they have converged.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


SPARSE = (sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, sparse.csc_array, sparse.coo_array)


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
