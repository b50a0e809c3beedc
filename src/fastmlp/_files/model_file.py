"""Model files: parameters and a description, as safetensors with JSON in its metadata. Nothing in them can be run."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from fastmlp._files.description import Description

_FORMAT = "fastmlp 1"


def write(path: Any, parameters: np.ndarray, description: Description) -> None:
    """Write a model file; an existing one is replaced once the new one is whole."""
    path = Path(path)
    content = to_bytes({"parameters": parameters}, {"format": _FORMAT, "network": description.to_json()})
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


def read(path: Any) -> tuple[np.ndarray, Description]:
    """Read a model file: the flat parameter vector, finite or not, and the description, whose types are checked.

    A file that is not such a file is a ValueError that says what is wrong with it.
    """
    if Path(path).is_dir():
        raise IsADirectoryError(f"path: {os.fspath(path)} is a folder; a model file is accepted")
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            notes = file.metadata() or {}
            if notes.get("format") != _FORMAT:
                raise ValueError(f"its format is {notes.get('format')!r}; {_FORMAT!r} is accepted")
            if list(file.keys()) != ["parameters"]:
                raise ValueError("it does not hold one vector 'parameters'")
            parameters = file.get_tensor("parameters")
        if parameters.ndim != 1 or parameters.dtype not in (np.float32, np.float64):
            raise ValueError(f"its parameters are {parameters.dtype} of shape {parameters.shape}, not a float vector")
        return np.array(parameters), Description.from_json(notes.get("network", ""))
    except SafetensorError as error:
        raise refusal(path, f"it is not a safetensors file ({error})") from error
    except ValueError as error:
        raise refusal(path, error) from error


def refusal(path: Any, reason: object) -> ValueError:
    """Return the error of a file that cannot be used."""
    return ValueError(f"path: {os.fspath(path)} is not a model file of fastmlp: {reason}")
