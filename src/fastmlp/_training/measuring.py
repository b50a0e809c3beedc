"""Metrics of a network at the end of an epoch: the functions of `metrics` on the network's outputs for its rows."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastmlp import metrics
from fastmlp._checks.options import TrainingOptions
from fastmlp._checks.samples import Samples
from fastmlp._checks.task import Task
from fastmlp._training.model import Model
from fastmlp._training.sparse import SparseRows
from fastmlp.metrics import Metric


def outputs_of(model: Model, x: np.ndarray | SparseRows) -> np.ndarray | None:
    """Compute the output layer's activations for checked rows; None if the rows are not finite."""
    if isinstance(x, SparseRows):
        return np.concatenate([model.outputs(block) for block in x.blocks()])
    return model.outputs(x)


def measured(metric: Metric, values: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None, task: Task) -> float:
    """Measure outputs of shape (rows, outputs) against coded targets."""
    y, codes = task.codes(values), task.decide(outputs)
    if metric.given == "codes":
        given = codes
    elif metric.given == "scores":
        given = task.scores(outputs)
    else:
        y, given = task.predictions(y), task.predictions(codes)
    function: Callable[..., Any] = metric.function
    if function is metrics.f1 and task.classes is not None:
        function = functools.partial(function, classes=len(task.classes))
    return float(function(y, given) if weights is None else function(y, given, sample_weight=weights))


def measure_of(
    model: Model, samples: Samples, validation: Samples, options: TrainingOptions
) -> Callable[[], dict[str, float]] | None:
    """Return what measures all metrics at the end of an epoch; None if there are none."""
    if not options.metrics:
        return None
    parts = {"": samples} | ({"val_": validation} if len(validation) else {})

    def measure() -> dict[str, float]:
        found = {}
        for prefix, rows in parts.items():
            chosen = [metric for metric in options.metrics if prefix or metric.training]
            outputs = outputs_of(model, rows.x) if chosen else None
            # Of a network that diverges, outputs are of no use.
            usable = outputs is not None and bool(np.isfinite(outputs).all())
            for metric in chosen:
                value = measured(metric, rows.y, outputs, rows.weights, model.task) if usable else math.nan
                found[f"{prefix}{metric.name}"] = value
        return found

    return measure
