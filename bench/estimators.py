"""Fit scikit-learn's MLP estimators and fastmlp's to the same data, with default parameters and the same seeds.

Run as sklearn.py. Every data set is cut into rows to fit and rows to score. For each seed both estimators fit, one
after the other, first the one and then the other first, each in a process of its own with all CPUs; both stop by the
same rule. In the same turns NumPy computes the matrix products of as many epochs and nothing else: less time than that
is only to be had by leaving terms out. Data is scikit-learn's own or made here from fixed seeds. Imported by the tests
only.
"""

from __future__ import annotations

import importlib
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from options import command, names, positive, record_parser
from records import Row, header, write
from timing import REST_SECONDS, process

from fastmlp import _backend

RIVALS = {"scikit-learn": "sklearn.neural_network", "fastmlp": "fastmlp.sklearn"}
PRODUCTS = "products"
HIDDEN, BATCH = 100, 200  # what both estimators take where nothing is said
TESTED = 0.2  # the share of the rows that is scored
# Scores are compared over the seeds: further apart than this, and than three standard errors, they are not the same.
SAME_SCORE = 0.002

Rows = tuple[np.ndarray, np.ndarray]


def of_scikit_learn(name: str, scale: float | None = None) -> Rows:
    """Load one of scikit-learn's data sets, its columns brought to mean 0 and deviation 1, or divided by `scale`."""
    datasets = importlib.import_module("sklearn.datasets")
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return (X / scale if scale else (X - X.mean(axis=0)) / X.std(axis=0)), y


def diabetes() -> Rows:
    """scikit-learn's diabetes data, the target brought to mean 0 and deviation 1 as well."""
    X, y = of_scikit_learn("diabetes")
    return X, (y - y.mean()) / y.std()


def letters() -> Rows:
    """A table of 26 classes: 16 columns, every class a cloud of two."""
    random = np.random.default_rng(0)
    centres = random.normal(0, 1.3, (26, 2, 16))
    y = random.integers(0, 26, 20_000)
    return centres[y, random.integers(0, 2, len(y))] + random.standard_normal((len(y), 16)), y


def regression() -> Rows:
    """A smooth function of 30 columns, and noise."""
    random = np.random.default_rng(0)
    X = random.standard_normal((50_000, 30))
    hidden = np.tanh(X @ random.normal(0, 0.4, (30, 8)))
    y = hidden @ random.standard_normal(8) + 0.1 * random.standard_normal(len(X))
    return X, (y - y.mean()) / y.std()


def images() -> Rows:
    """Images of 28×28 with as much black as handwritten digits have: scikit-learn's, made larger and moved about."""
    random = np.random.default_rng(0)
    X, y = of_scikit_learn("digits", 16)
    drawn = random.integers(0, len(X), 5_000)
    large = np.kron(X[drawn].reshape(-1, 8, 8), np.ones((1, 3, 3)))
    placed = np.zeros((len(drawn), 28, 28))
    for image, (down, right), one in zip(placed, random.integers(0, 5, (len(drawn), 2)), large, strict=True):
        image[down : down + 24, right : right + 24] = one
    return placed.reshape(len(drawn), -1), y[drawn]


def dense() -> Rows:
    """As many numbers, none of them zero: ten clouds in 784 dimensions."""
    random = np.random.default_rng(0)
    y = random.integers(0, 10, 5_000)
    return random.normal(0, 0.1, (10, 784))[y] + random.standard_normal((len(y), 784)), y


@dataclass(frozen=True)
class Dataset:
    """Data, and what is fitted to it.

    Parameters
    ----------
    make : callable
        Makes features and targets.
    estimator : str
        "MLPClassifier" or "MLPRegressor".
    """

    make: Callable[[], Rows]
    estimator: str = "MLPClassifier"


DATASETS: dict[str, Dataset] = {
    "iris": Dataset(lambda: of_scikit_learn("iris")),
    "wine": Dataset(lambda: of_scikit_learn("wine")),
    "diabetes": Dataset(diabetes, "MLPRegressor"),
    "breast cancer": Dataset(lambda: of_scikit_learn("breast_cancer")),
    "digits": Dataset(lambda: of_scikit_learn("digits", 16)),
    "letters": Dataset(letters),
    "regression": Dataset(regression, "MLPRegressor"),
    "images": Dataset(images),
    "dense": Dataset(dense),
}


def parts(name: str) -> tuple[Rows, Rows]:
    """Cut a data set.

    Parameters
    ----------
    name : str
        One of DATASETS.

    Returns
    -------
    (X, y), (X, y) : pairs of ndarray
        Rows to fit and rows to score, always the same.
    """
    X, y = DATASETS[name].make()
    order = np.random.default_rng(1).permutation(len(X))
    cut = round(TESTED * len(X))
    return (X[order[cut:]], y[order[cut:]]), (X[order[:cut]], y[order[:cut]])


def fit(rival: str, name: str, seed: int) -> dict[str, Any]:
    """Fit one estimator, as a user would who changes nothing.

    Parameters
    ----------
    rival : str
        One of RIVALS.
    name : str
        One of DATASETS.
    seed : int
        The estimator's random_state.

    Returns
    -------
    dict
        Seconds of the fit, its epochs, and the score on the rows that it has not seen.
    """
    from sklearn.exceptions import ConvergenceWarning

    (X, y), tested = parts(name)
    model = getattr(importlib.import_module(RIVALS[rival]), DATASETS[name].estimator)(random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 200 epochs are what both stop after
        begun = time.perf_counter()
        model.fit(X, y)
        seconds = time.perf_counter() - begun
    return {"seconds": seconds, "epochs": model.n_iter_, "score": float(model.score(*tested))}


def products(name: str, epochs: int) -> dict[str, Any]:
    """Compute the products of a fit in NumPy, in double precision on all cores, batch by batch.

    Parameters
    ----------
    name : str
        One of DATASETS.
    epochs : int
        How many epochs.

    Returns
    -------
    dict
        Seconds, of a network with one hidden layer forward and back to the gradients of its weights, and the epochs.
    """
    (X, y), _ = parts(name)
    classes = len(np.unique(y)) if DATASETS[name].estimator == "MLPClassifier" else 1
    random = np.random.default_rng(0)
    sizes = X.shape[1], HIDDEN, classes if classes > 2 else 1
    first, second = (random.standard_normal(shape) for shape in ((sizes[0], sizes[1]), (sizes[1], sizes[2])))
    hidden, outputs = random.standard_normal((len(X), sizes[1])), random.standard_normal((len(X), sizes[2]))
    batches = [slice(begin, begin + BATCH) for begin in range(0, len(X), BATCH)]
    begun = time.perf_counter()
    for _ in range(epochs):
        for batch in batches:
            x, h, delta = X[batch], hidden[batch], outputs[batch]
            for left, right in ((x, first), (h, second), (delta, second.T), (h.T, delta), (x.T, h)):
                np.matmul(left, right)
    return {"seconds": time.perf_counter() - begun, "epochs": epochs}


def row(name: str, shape: str, rival: str, seed: int, found: dict[str, Any]) -> Row:
    """Write what was found as a row of the record; products have no score."""
    score = f"{found['score']:.5g}" if "score" in found else ""
    return {
        "dataset": name, "shape": shape, "rival": rival, "seed": str(seed), "seconds": f"{found['seconds']:.5g}",
        "epochs": str(found["epochs"]), "score": score,
    }  # fmt: skip


def measured(datasets: Sequence[str], seeds: int) -> list[Row]:
    """Fit both to every data set, in turns.

    Parameters
    ----------
    datasets : sequence of str
        Their names.
    seeds : int
        How many fits of each.

    Returns
    -------
    list of dict
        One fit a row.
    """
    rows: list[Row] = []
    cpus = _backend.usable_cpus()
    with process(cpus) as first, process(cpus) as second:
        calls = dict(zip(RIVALS, (first, second), strict=True))
        for name in datasets:
            X, y = DATASETS[name].make()
            shape = f"{len(X)}×{X.shape[1]}"
            for rival, call in calls.items():
                call(fit, rival, name, 0)  # what is loaded late is paid for here
            first(products, name, 1)
            for seed in range(seeds):
                for rival, call in list(calls.items())[:: 1 if seed % 2 else -1]:
                    time.sleep(REST_SECONDS)
                    found = call(fit, rival, name, seed)
                    rows.append(row(name, shape, rival, seed, found))
                time.sleep(REST_SECONDS)
                rows.append(row(name, shape, PRODUCTS, seed, first(products, name, found["epochs"])))
            print(line(rows, name), flush=True)
    return rows


def column(rows: Sequence[Row], dataset: str, rival: str, name: str) -> list[float]:
    """List a rival's numbers on a data set, one a seed."""
    chosen = [row for row in rows if row["dataset"] == dataset and row["rival"] == rival]
    return [float(row[name]) for row in sorted(chosen, key=lambda row: int(row["seed"]))]


def times_faster(rows: Sequence[Row], dataset: str) -> float:
    """Give the median, over the seeds, of how many times fastmlp's time scikit-learn's is."""
    theirs, ours = (column(rows, dataset, rival, "seconds") for rival in RIVALS)
    return statistics.median(their / our for their, our in zip(theirs, ours, strict=True))


def scores_differ(rows: Sequence[Row], dataset: str) -> bool:
    """Tell whether the mean scores are further apart than noise."""
    theirs, ours = (column(rows, dataset, rival, "score") for rival in RIVALS)
    differences = [our - their for their, our in zip(theirs, ours, strict=True)]
    error = statistics.stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else 0.0
    return abs(statistics.fmean(differences)) > max(SAME_SCORE, 3 * error)


def line(rows: Sequence[Row], dataset: str) -> str:
    """Write what was found on a data set."""
    seconds = {rival: statistics.median(column(rows, dataset, rival, "seconds")) for rival in (*RIVALS, PRODUCTS)}
    scores = {rival: statistics.fmean(column(rows, dataset, rival, "score")) for rival in RIVALS}
    return (
        f"{dataset:13s} " + "  ".join(f"{rival} {seconds[rival]:8.3g} s, score {scores[rival]:.4f}" for rival in RIVALS)
        + f"  {times_faster(rows, dataset):5.1f} times faster, products alone {seconds[PRODUCTS]:.3g} s"
        + ("  SCORES DIFFER" if scores_differ(rows, dataset) else "")
    )  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Measure and write the record.

    Parameters
    ----------
    arguments : sequence of str
        Without the program's name.

    Returns
    -------
    int
        0, or 1 if scores differ by more than noise.
    """
    options = record_parser("Fit scikit-learn's estimators and fastmlp's to the same data.")
    options.add_argument("--datasets", type=names(list(DATASETS)), default=list(DATASETS))
    options.add_argument("--seeds", type=positive(int), default=5, help="fits of each (default 5)")
    given = options.parse_args(arguments)
    rows = measured(given.datasets, given.seeds)
    sklearn = importlib.import_module("sklearn")
    timing = f"one fit a seed, {given.seeds} seeds, fits taken in turns"
    about = header(command("sklearn.py", arguments), timing, [f"scikit-learn {sklearn.__version__}"])
    write("estimators", about, rows, given.out)
    return int(any(scores_differ(rows, name) for name in given.datasets))
