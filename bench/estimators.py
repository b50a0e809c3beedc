"""Fit scikit-learn's MLP estimators and fastmlp's to the same data, with default parameters and the same seeds.

Run as sklearn.py. Every data set is cut into rows to fit and rows to score. For each seed both estimators fit, one
after the other, in alternating order, each in a process of its own with all CPUs; both stop by the same rule. In the
same turns NumPy computes the matrix products of as many epochs and nothing else: less time than that is only possible
by leaving terms out.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from harness import builds
from harness.datasets import DATASETS, REGRESSIONS, fit, parts
from harness.options import Script, add_list, add_number
from harness.records import ESTIMATORS, PRODUCTS, Record, Row, column, times_faster
from harness.rivals import version
from harness.timing import REST_SECONDS, process

HIDDEN, BATCH = 100, 200  # the defaults of both estimators
# Scores are compared over the seeds: further apart than this, and than three standard errors, they are not the same.
SAME_SCORE = 0.002


def products(name: str, epochs: int) -> dict[str, Any]:
    """Compute in NumPy the products of a fit: forward, and back to the weights' gradients, in double precision."""
    (X, y), _ = parts(name)
    classes = 1 if name in REGRESSIONS else len(np.unique(y))
    random = np.random.default_rng(0)
    width = classes if classes > 2 else 1
    shapes = (X.shape[1], HIDDEN), (HIDDEN, width), (len(X), HIDDEN), (len(X), width)
    first, second, hidden, outputs = map(random.standard_normal, shapes)
    batches = [slice(begin, begin + BATCH) for begin in range(0, len(X), BATCH)]
    begun = time.perf_counter()
    for _ in range(epochs):
        for batch in batches:
            x, h, delta = X[batch], hidden[batch], outputs[batch]
            for left, right in ((x, first), (h, second), (delta, second.T), (h.T, delta), (x.T, h)):
                np.matmul(left, right)
    return {"seconds": time.perf_counter() - begun, "epochs": epochs}


def row(name: str, shape: str, rival: str, seed: int, found: dict[str, Any]) -> Row:
    """Return the record's row of a fit, or of products, which have no score."""
    return {
        "dataset": name,
        "shape": shape,
        "rival": rival,
        "seed": str(seed),
        "seconds": f"{found['seconds']:.5g}",
        "epochs": str(found["epochs"]),
        "score": f"{found['score']:.5g}" if "score" in found else "",
    }


def measure(datasets: Sequence[str], seeds: int, rows: list[Row]) -> None:
    """Fit both estimators to every data set, in turns; add one row per fit."""
    with process(builds.usable_cpus()) as first, process(builds.usable_cpus()) as second:
        calls = dict(zip(ESTIMATORS, (first, second), strict=True))
        for name in datasets:
            X, _ = DATASETS[name]()
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


def scores_differ(rows: Sequence[Row], dataset: str) -> bool:
    """Return whether the mean scores are further apart than noise."""
    theirs, ours = (column(rows, dataset, rival, "score") for rival in ESTIMATORS)
    differences = [our - their for their, our in zip(theirs, ours, strict=True)]
    error = statistics.stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else 0.0
    return abs(statistics.fmean(differences)) > max(SAME_SCORE, 3 * error)


def line(rows: Sequence[Row], dataset: str) -> str:
    """Return what was found on a data set, in one line."""
    parts = []
    for rival in ESTIMATORS:
        seconds = statistics.median(column(rows, dataset, rival, "seconds"))
        score = statistics.fmean(column(rows, dataset, rival, "score"))
        parts.append(f"{rival} {seconds:8.3g} s, score {score:.4f}")
    alone = statistics.median(column(rows, dataset, PRODUCTS, "seconds"))
    parts.append(f"{times_faster(rows, dataset):5.1f} times faster, products alone {alone:.3g} s")
    parts.append("SCORES DIFFER" if scores_differ(rows, dataset) else "")
    return f"{dataset:13s} {'  '.join(parts)}".rstrip()


def options(parser: argparse.ArgumentParser) -> None:
    add_list(parser, "--datasets", list(DATASETS), list(DATASETS))
    add_number(parser, "--seeds", 5, "fits of each")


def run(given: argparse.Namespace, record: Record) -> int:
    """Measure; return 1 if scores differ by more than noise."""
    record.describe(f"one fit per seed, {given.seeds} seeds, fits taken in turns", [version("scikit-learn")])
    measure(given.datasets, given.seeds, record.rows)
    return int(any(scores_differ(record.rows, name) for name in given.datasets))


SCRIPT = Script(__doc__, run, "estimators", options=options)
