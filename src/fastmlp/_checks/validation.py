"""Rows to validate on: those that a user gives, or a fraction drawn from the rows to train on."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmlp._checks.arrays import features
from fastmlp._checks.coding import encode
from fastmlp._checks.samples import Samples
from fastmlp._checks.task import Task
from fastmlp._checks.weights import class_codes, row_weights, without_unobserved
from fastmlp._spec.values import number


def split(value: Any, rows: tuple, task: Task, seed: int) -> tuple[Samples, Samples]:
    """Return the samples to train on and those to validate on.

    `rows` are checked features, coded targets and weights (or None). `value` is a fraction of these rows, drawn at
    random by `seed`, of each class as many as of all; or rows of their own, (X, y) or (X, y, weights); or None.
    """
    X, values, weights = rows
    if value is None:
        return Samples.weighted(*rows), Samples()
    if isinstance(value, (tuple, list)):
        return Samples.weighted(*rows), _given(value, X, task)
    if isinstance(value, (bool, str)) or not np.isscalar(value):
        raise TypeError(f"validation: got {value!r}; a fraction such as 0.2, or rows (X, y), is accepted")
    chosen = _drawn(number(value, "validation", above=0.0, below=1.0), values, task, seed)
    if not 0 < chosen.sum() < len(X):
        raise ValueError(
            f"validation: got {value} of {len(X)} rows, which leaves {len(X) - chosen.sum()} to train on and "
            f"{chosen.sum()} to validate on; another fraction, or rows (X, y), is accepted"
        )
    parts = [(X[rows], values[rows], None if weights is None else weights[rows]) for rows in (~chosen, chosen)]
    if weights is not None and not all(part.any() for _, _, part in parts):
        raise ValueError(
            f"validation: got {value}, which leaves only rows of weight 0 in one part; another fraction or seed is "
            "accepted"
        )
    training, validation = (Samples.weighted(*part) for part in parts)
    return training, validation


def _given(value: tuple | list, X: np.ndarray, task: Task) -> Samples:
    """Check rows to validate on."""
    if len(value) not in (2, 3):
        raise ValueError(
            f"validation: got {len(value)} parts; a fraction such as 0.2, or rows (X, y) or (X, y, weights), is "
            "accepted"
        )
    rows = features(value[0], dtype=X.dtype, columns=X.shape[1], argument="validation X")
    coded = encode(value[1], len(rows), X.dtype, task)
    own = row_weights(value[2], len(rows)) if len(value) == 3 else None
    return Samples.weighted(rows, coded, without_unobserved(own, coded, task))


def _drawn(fraction: float, values: np.ndarray, task: Task, seed: int) -> np.ndarray:
    """Draw a fraction of the rows, of each class as nearly as rounding allows; True for each drawn row."""
    generator = np.random.Generator(np.random.PCG64([seed, 1]))  # another stream than the initial weights'
    order = generator.permutation(len(values))
    if task.classes is not None:
        codes = class_codes(values)
        # Stable: within a class the rows stay in their random order. Every 1 / fraction-th row of the classes in turn
        # is then an even part of each.
        order = order[np.argsort(codes[order], kind="stable")]
    places = np.arange(len(order))
    drawn = np.zeros(len(order), np.bool_)
    drawn[order[np.floor((places + 1) * fraction + 0.5) > np.floor(places * fraction + 0.5)]] = True
    return drawn
