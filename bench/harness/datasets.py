"""Data sets that an estimator is fitted to: scikit-learn's own, or drawn here from fixed seeds."""

import importlib
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from harness.rivals import scikit_learn, stopped_on_purpose

MODULES = {"scikit-learn": "sklearn.neural_network", "fastmlp": "fastmlp.sklearn"}
TESTED = 0.2  # the fraction of the rows that is scored

Rows = tuple[np.ndarray, np.ndarray]


def of_scikit_learn(name: str, scale: float | None = None) -> Rows:
    """Load one of scikit-learn's data sets, its columns standardised or divided by `scale`."""
    X, y = getattr(scikit_learn("datasets"), f"load_{name}")(return_X_y=True)
    return (X / scale if scale else (X - X.mean(axis=0)) / X.std(axis=0)), y


def diabetes() -> Rows:
    """Load scikit-learn's diabetes data, the target standardised as well."""
    X, y = of_scikit_learn("diabetes")
    return X, (y - y.mean()) / y.std()


def letters() -> Rows:
    """Draw a table of 26 classes: 16 columns, every class a cloud of two."""
    random = np.random.default_rng(0)
    centres = random.normal(0, 1.3, (26, 2, 16))
    y = random.integers(0, 26, 20_000)
    return centres[y, random.integers(0, 2, len(y))] + random.standard_normal((len(y), 16)), y


def regression() -> Rows:
    """Draw a smooth function of 30 columns, and noise."""
    random = np.random.default_rng(0)
    X = random.standard_normal((50_000, 30))
    hidden = np.tanh(X @ random.normal(0, 0.4, (30, 8)))
    y = hidden @ random.standard_normal(8) + 0.1 * random.standard_normal(len(X))
    return X, (y - y.mean()) / y.std()


def images() -> Rows:
    """Draw images of 28×28, as black as handwritten digits: scikit-learn's, made larger and moved about."""
    random = np.random.default_rng(0)
    X, y = of_scikit_learn("digits", 16)
    drawn = random.integers(0, len(X), 5_000)
    large = np.kron(X[drawn].reshape(-1, 8, 8), np.ones((1, 3, 3)))
    placed = np.zeros((len(drawn), 28, 28))
    for image, (down, right), one in zip(placed, random.integers(0, 5, (len(drawn), 2)), large, strict=True):
        image[down : down + 24, right : right + 24] = one
    return placed.reshape(len(drawn), -1), y[drawn]


def dense() -> Rows:
    """Draw as many numbers, none of them zero: ten clouds in 784 dimensions."""
    random = np.random.default_rng(0)
    y = random.integers(0, 10, 5_000)
    return random.normal(0, 0.1, (10, 784))[y] + random.standard_normal((len(y), 784)), y


# What draws or loads features and targets.
DATASETS: dict[str, Callable[[], Rows]] = {
    "iris": partial(of_scikit_learn, "iris"),
    "wine": partial(of_scikit_learn, "wine"),
    "diabetes": diabetes,
    "breast cancer": partial(of_scikit_learn, "breast_cancer"),
    "digits": partial(of_scikit_learn, "digits", 16),
    "letters": letters,
    "regression": regression,
    "images": images,
    "dense": dense,
}
REGRESSIONS = ("diabetes", "regression")  # the others' targets are classes


def parts(name: str) -> tuple[Rows, Rows]:
    """Return a data set's rows to fit and rows to score, always the same."""
    X, y = DATASETS[name]()
    order = np.random.default_rng(1).permutation(len(X))
    cut = round(TESTED * len(X))
    return (X[order[cut:]], y[order[cut:]]), (X[order[:cut]], y[order[:cut]])


def fit(rival: str, name: str, seed: int) -> dict[str, Any]:
    """Fit one estimator of `MODULES` with default parameters; return seconds, epochs and the score on unseen rows."""
    (X, y), tested = parts(name)
    estimator = "MLPRegressor" if name in REGRESSIONS else "MLPClassifier"
    model = getattr(importlib.import_module(MODULES[rival]), estimator)(random_state=seed)
    with stopped_on_purpose():
        begun = time.perf_counter()
        model.fit(X, y)
        seconds = time.perf_counter() - begun
    return {"seconds": seconds, "epochs": model.n_iter_, "score": float(model.score(*tested))}
