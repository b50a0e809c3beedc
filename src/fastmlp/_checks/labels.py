"""Labels: arrays of integers, bools or strings of one kind."""

from __future__ import annotations

from typing import Any

import numpy as np


def label_array(array: np.ndarray, argument: str) -> np.ndarray:
    """Check that an array holds numbers or labels; Python objects of one kind become its dtype."""
    if array.dtype.kind == "O" and array.ndim == 1:
        array = _labels_of_objects(array, argument)
    if array.dtype.kind in "biuf" or (array.dtype.kind in "OUST" and array.ndim == 1):
        return array
    raise TypeError(
        f"{argument}: got dtype {array.dtype}, shape {array.shape}; numbers, or labels (integers, bools, "
        "strings) of shape (rows,), are accepted"
    )


def _labels_of_objects(array: np.ndarray, argument: str) -> np.ndarray:
    """Bring a 1-D object array of strings, of bools or of integers to labels of that one kind."""
    for kinds, dtype in ((str, np.object_), ((bool, np.bool_), np.bool_), ((int, np.integer), np.int64)):
        other = next((row for row, label in enumerate(array) if not _is_label(label, kinds)), None)
        if other is None:
            return array.astype(dtype, copy=False)
        if other > 0:  # the first label is of this kind, this one is not
            break
    label = array[other]
    raise TypeError(
        f"{argument}: got {label!r} ({type(label).__name__}) at row {other}; labels of one kind "
        "(integers, bools or strings) are accepted; leave out rows without a label"
    )


def _is_label(label: Any, kinds: Any) -> bool:
    """Return whether an object is a label of these types; integers are not bools, and int64 holds them."""
    if kinds == (int, np.integer):
        return isinstance(label, kinds) and not isinstance(label, (bool, np.bool_)) and -(2**63) <= label < 2**63
    return isinstance(label, kinds)
