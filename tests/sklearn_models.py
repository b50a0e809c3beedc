"""What the tests of the estimators share: rows, pairs of estimators, and how two fits are compared."""

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.7")
from sklearn import neural_network as theirs  # noqa: E402 (scikit-learn may be missing)

from fastmlp import sklearn as ours  # noqa: E402

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
    assert_equal_records(model, other, limits)


def assert_equal_records(model, other, limits=FIT):
    for name in ("n_iter_", "t_", "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"):
        if hasattr(other, name):
            found, expected = getattr(model, name), getattr(other, name)
            assert (found is None) == (expected is None), name
            if expected is not None:
                np.testing.assert_allclose(found, expected, **limits, err_msg=name)


def refusal(model, X, y):
    with pytest.raises((TypeError, ValueError)) as error:
        model.fit(X, y)
    return type(error.value), str(error.value)


def halves(kind):
    X, y = rows(kind)
    return X[:60], y[:60], X[60:], y[60:]


def sparse_rows(kind):
    X, y = rows(kind)
    return X * (np.random.default_rng(1).random(X.shape) < 0.4), y


LABELS = {
    "strings": lambda y: np.array(["b", "a", "c"])[y],
    "objects": lambda y: np.array(["b", "a", "c"], object)[y],
    "yes and no": lambda y: np.array(["yes", "no"], object)[np.minimum(y, 1)],
    "bool": lambda y: y > 0,
    "not from 0 on": lambda y: np.array([-5, 7, 100])[y],
    "floats": lambda y: np.array([1.0, 2.0, 4.0])[y],
    "small integers": lambda y: y.astype(np.int8),
    "one class": np.zeros_like,
    "one string": lambda y: ["x"] * len(y),
    "list": lambda y: y.tolist(),
    "flags": lambda y: np.c_[y > 0, y == 1, y == 2].astype(int),
    "two flags": lambda y: np.c_[y > 0, y == 1].astype(int),
    "bool flags": lambda y: np.c_[y > 0, y == 1],
    "a constant flag": lambda y: np.c_[np.ones_like(y), y == 1],
    "lists of flags": lambda y: np.eye(3)[y].tolist(),
}
