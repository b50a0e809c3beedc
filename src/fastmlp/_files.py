"""Model files: parameters and a description, as safetensors with JSON in its metadata. Nothing in them can be run.

Knows nothing of networks: it writes and reads a vector and a dict, and checks every entry of the dict on the way in.
The network imports it; it imports nothing of fastmlp.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

_FORMAT = "fastmlp 1"
_FIELDS = {
    "sizes": list, "activations": list, "loss": str, "output": str, "bias": bool, "l1": (int, float),
    "l2": (int, float), "loss_parameters": list, "kind": str, "squeeze": bool, "classes": (dict, type(None)),
    "dropout": list, "missing": bool,
    "seed": int, "metadata": dict,
}
_LABEL_TYPES = {"bool": bool, "str": str, "object": str, "float32": float, "float64": float} | {
    f"{sign}int{bits}": int for sign in ("", "u") for bits in (8, 16, 32, 64)
}


def write(path: Any, parameters: np.ndarray, description: dict[str, Any]) -> None:
    """Write a model file; an existing one is replaced once the new one is whole.

    Parameters
    ----------
    path : str or path-like
        Where to.
    parameters : ndarray, shape (parameters,)
        The flat parameter vector.
    description : dict
        What JSON has a form for, and ``classes``, an ndarray or None.
    """
    path = Path(path)
    described = description | {"classes": _labels_out(description["classes"])}
    content = to_bytes({"parameters": parameters}, {"format": _FORMAT, "network": json.dumps(described)})
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _umask() -> int:
    """Ask for the mask that new files get; there is no way to ask but to set it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _labels_out(classes: np.ndarray | None) -> dict[str, Any] | None:
    if classes is None:
        return None
    name = "str" if classes.dtype.kind == "U" else classes.dtype.name
    if name not in _LABEL_TYPES:
        raise TypeError(
            f"save: got labels of dtype {classes.dtype}; integers, bools, float32, float64 and strings can be saved"
        )
    return {"dtype": name, "values": classes.tolist()}


def read(path: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """Read a model file and check what it says.

    Parameters
    ----------
    path : str or path-like
        Where from.

    Returns
    -------
    parameters : ndarray, shape (parameters,)
        The flat parameter vector, finite or not.
    description : dict
        As it was written; types are checked, ``classes`` is an ndarray or None.

    Raises
    ------
    ValueError
        If it is not such a file.
    OSError
        If it cannot be read.
    """
    if Path(path).is_dir():
        raise IsADirectoryError(f"path: {os.fspath(path)} is a folder; a model file is accepted")
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            notes = file.metadata() or {}
            if notes.get("format") != _FORMAT:
                raise _refusal(path, f"its format is {notes.get('format')!r}; {_FORMAT!r} is accepted")
            if list(file.keys()) != ["parameters"]:
                raise _refusal(path, "it does not hold one vector 'parameters'")
            parameters = file.get_tensor("parameters")
    except SafetensorError as error:
        raise _refusal(path, f"it is no safetensors file ({error})") from error
    if parameters.ndim != 1 or parameters.dtype not in (np.float32, np.float64):
        raise _refusal(path, f"its parameters are {parameters.dtype} of shape {parameters.shape}, no float vector")
    return np.array(parameters), _checked(path, notes.get("network", ""))


def _refusal(path: Any, reason: str) -> ValueError:
    return ValueError(f"path: {os.fspath(path)} is no model file of fastmlp: {reason}")


def _checked(path: Any, text: str) -> dict[str, Any]:
    """Parse a description and check the type of every field; values are checked where a network is made of them."""
    try:
        description = json.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        raise _refusal(path, f"its description is no JSON ({error})") from error
    if not isinstance(description, dict) or description.keys() != _FIELDS.keys():
        raise _refusal(path, f"its description does not have the fields {', '.join(_FIELDS)}")
    for name, kinds in _FIELDS.items():
        value = description[name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            raise _refusal(path, f"{name} is a {type(value).__name__}")
    if not all(type(size) is int and size > 0 for size in description["sizes"]):
        raise _refusal(path, "sizes are not whole numbers above 0")
    if not all(isinstance(name, str) for name in description["activations"]):
        raise _refusal(path, "activations are not names")
    if not all(type(value) is float for value in description["loss_parameters"]):
        raise _refusal(path, "loss_parameters are not numbers")
    if not all(type(value) is float for value in description["dropout"]):
        raise _refusal(path, "dropout is not a list of numbers")
    if not all(isinstance(note, str) for note in description["metadata"].values()):
        raise _refusal(path, "metadata is not text")
    return description | {"classes": _labels_in(path, description["classes"])}


def _labels_in(path: Any, classes: dict[str, Any] | None) -> np.ndarray | None:
    if classes is None:
        return None
    values, name = classes.get("values"), classes.get("dtype")
    if not isinstance(name, str) or name not in _LABEL_TYPES or not isinstance(values, list):
        raise _refusal(path, "its labels have no list of values of a known dtype")
    kind = _LABEL_TYPES[name]
    if not all(type(value) is kind for value in values):
        raise _refusal(path, f"its labels are not all {kind.__name__}")
    if kind is float and not all(math.isfinite(value) for value in values):
        raise _refusal(path, "one of its labels is not finite")
    try:
        return np.array(values, dtype=name)
    except OverflowError as error:
        raise _refusal(path, f"its labels do not fit their dtype ({error})") from error
