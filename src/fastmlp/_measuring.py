"""Metrics of a network at the end of an epoch: the functions of `metrics` on what the network gives for its rows.

Imports the metrics and the targets; the network imports it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastmlp import metrics
from fastmlp._targets import Task
from fastmlp.metrics import Metric


def codes_of(values: np.ndarray, task: Task) -> np.ndarray:
    """Turn coded targets into what metrics take: class codes, a 0/1 matrix, or numbers.

    Parameters
    ----------
    values : ndarray
        Targets as the kernels read them.
    task : Task
        What the network is trained for.

    Returns
    -------
    ndarray
        int64 of shape (rows,) for classes, 0 and 1 of shape (rows, outputs) for multi-label targets, else numbers of
        shape (rows, columns), NaN where they were not observed.
    """
    if task.kind == "real":
        return values[:, :: task.loss.outputs_per_target]
    if task.kind == "multilabel":
        return np.where(np.isnan(values), np.nan, values > 0.5)
    if values.ndim == 1:
        return values.astype(np.int64)
    return (values[:, 0] > 0).astype(np.int64) if values.shape[1] == 1 else values.argmax(axis=1)


def codes_of_outputs(outputs: np.ndarray, task: Task) -> np.ndarray:
    """Turn a network's outputs into the same: the class, the labels, or the numbers that it predicts."""
    bound = 0.0 if task.loss.name == "hinge" else 0.5
    if task.kind == "real":
        return outputs
    if task.kind == "multilabel":
        return (outputs > bound).astype(np.int64)
    return (outputs[:, 0] > bound).astype(np.int64) if task.outputs == 1 else outputs.argmax(axis=1)


def _scores(outputs: np.ndarray, task: Task) -> np.ndarray:
    """Give what ranks rows: of two classes one number a row, else a column an output."""
    if task.kind == "multilabel" or task.kind == "real" or task.outputs > 2:
        return outputs
    return outputs[:, 0] if task.outputs == 1 else outputs[:, 1] - outputs[:, 0]


def predictions(codes: np.ndarray, task: Task) -> np.ndarray:
    """Turn codes into what `Network.predict` gives, and what the user wrote.

    Parameters
    ----------
    codes : ndarray
        From `codes_of` or `codes_of_outputs`.
    task : Task
        What the network is trained for.

    Returns
    -------
    ndarray
        Labels, 0 and 1, or numbers.
    """
    if task.classes is not None:
        return task.classes[codes]
    return codes[:, 0] if task.squeeze else codes


def measured(
    metric: Metric, values: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None, task: Task
) -> float:
    """Measure.

    Parameters
    ----------
    metric : Metric
        The measure.
    values : ndarray
        Coded targets.
    outputs : ndarray, shape (rows, outputs)
        The network's.
    weights : ndarray, shape (rows,), or None
        The rows' weights.
    task : Task
        What the network is trained for.

    Returns
    -------
    float
        The number.
    """
    y, codes = codes_of(values, task), codes_of_outputs(outputs, task)
    given = {"codes": codes, "scores": _scores(outputs, task)}.get(metric.given)
    if given is None:
        y, given = predictions(y, task), predictions(codes, task)
    function: Callable[..., Any] = metric.function
    if function is metrics.f1 and task.classes is not None:
        function = functools.partial(function, classes=len(task.classes))
    further = {} if weights is None else {"sample_weight": weights}
    return float(function(y, given, **further))


def measure(
    chosen: Sequence[Metric], outputs_of: Callable[[np.ndarray], np.ndarray], parts: dict[str, Any], task: Task
) -> dict[str, float]:
    """Measure everything on every part of the rows.

    Parameters
    ----------
    chosen : sequence of Metric
        The measures.
    outputs_of : callable
        Takes rows and gives the network's outputs; where these cannot be used, such as of a network that diverges,
        metrics are NaN.
    parts : dict of str to Samples
        What the names of the numbers begin with, and the rows.
    task : Task
        What the network is trained for.

    Returns
    -------
    dict of str to float
        By name.
    """
    found = {}
    for prefix, samples in parts.items():
        looked_at = [metric for metric in chosen if prefix or metric.training]
        if not looked_at:
            continue
        outputs = outputs_of(samples.x)
        finite = bool(np.isfinite(outputs).all())
        for metric in looked_at:
            value = measured(metric, samples.y, outputs, samples.weights, task) if finite else math.nan
            found[f"{prefix}{metric.name}"] = value
    return found
