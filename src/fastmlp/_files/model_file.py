"""Model files: parameters and a description, as safetensors with JSON in its metadata. Nothing in them can be run."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from fastmlp._checks.task import Task, task
from fastmlp._checks.topology import Topology
from fastmlp._files import whole
from fastmlp._spec.values import checked_path, choice
from fastmlp.losses import LOSSES, WITH_SETTINGS, Loss

_FORMAT = "fastmlp 1"
_LABEL_TYPES = {"bool": bool, "str": str, "object": str, "float32": float, "float64": float} | {
    f"{sign}int{bits}": int for sign in ("", "u") for bits in (8, 16, 32, 64)
}
# What JSON may hold for a field of each annotation.
_JSON_TYPES = {
    list: (list,),
    str: (str,),
    bool: (bool,),
    float: (int, float),
    int: (int,),
    dict: (dict,),
    list | None: (list, type(None)),
    dict | None: (dict, type(None)),
}


def write(path: Any, parameters: np.ndarray, description: "Description") -> None:
    """Write a model file; an existing one is replaced once the new one is whole."""
    whole.write(path, to_bytes({"parameters": parameters}, {"format": _FORMAT, "network": description.to_json()}))


def read(path: Any) -> tuple[np.ndarray, "Description"]:
    """Read a model file: the flat parameter vector, finite or not, and the description, whose types are checked.

    A file that is not such a file is a ValueError that says what is wrong with it.
    """
    if checked_path(path).is_dir():
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
    return ValueError(f"path: {os.fspath(path)} is not a model file of fastmlp: {reason}")


@dataclass(frozen=True)
class Description:
    """What a file says of its network besides the parameters; every value is data that JSON has a form for."""

    sizes: list
    activations: list
    loss: str
    output: str
    bias: bool
    l1: float
    l2: float
    loss_parameters: list
    kind: str
    squeeze: bool
    classes: dict | None
    dropout: list
    missing: bool
    seed: int
    metadata: dict
    feature_names: list | None

    @classmethod
    def of(
        cls, model: Any, dropout: Sequence[float], metadata: dict[str, str], feature_names: tuple[str, ...] | None
    ) -> "Description":
        topology, known = model.topology, model.task
        return cls(
            sizes=list(model.sizes),
            activations=list(model.activations),
            loss=known.loss.name,
            output=known.output,
            bias=topology.bias,
            l1=topology.l1,
            l2=topology.l2,
            loss_parameters=list(known.loss.parameters),
            kind=known.kind,
            squeeze=known.squeeze,
            classes=_labels_out(known.classes),
            dropout=list(dropout),
            missing=known.missing,
            seed=topology.seed,
            metadata=metadata,
            feature_names=None if feature_names is None else list(feature_names),
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Description":
        """Read a description, and check the type of every field; a ValueError says what is wrong."""
        try:
            given = json.loads(text)
        except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
            raise ValueError(f"its description is not JSON ({error})") from error
        if isinstance(given, dict):
            given.setdefault("feature_names", None)  # the first files have none
        names = [each.name for each in fields(cls)]
        if not isinstance(given, dict) or given.keys() != set(names):
            raise ValueError(f"its description does not have the fields {', '.join(names)}")
        for each in fields(cls):
            if type(given[each.name]) not in _JSON_TYPES[each.type]:
                raise ValueError(f"{each.name} is a {type(given[each.name]).__name__}")
        # What lists and dicts hold: JSON has no subclasses of these types.
        if not all(type(size) is int and size > 0 for size in given["sizes"]):
            raise ValueError("sizes are not whole numbers above 0")
        for name, values, kind, expected in (
            ("activations", given["activations"], str, "are not names"),
            ("loss_parameters", given["loss_parameters"], float, "are not numbers"),
            ("dropout", given["dropout"], float, "are not numbers"),
            ("metadata", given["metadata"].values(), str, "is not text"),
            ("feature_names", given["feature_names"] or (), str, "are not text"),
        ):
            if not all(type(value) is kind for value in values):
                raise ValueError(f"{name} {expected}")
        return cls(**given)

    def topology(self, parameters: np.ndarray) -> Topology:
        """Return what the network is made of, if the file's parameters go with it; a ValueError says why not."""
        if len(self.sizes) < 2 or len(self.activations) != len(self.sizes) - 1:
            raise ValueError(f"sizes {self.sizes} do not go with activations {self.activations}")
        # Counted before a network is made: a description may claim more than the file holds.
        count = sum((a + self.bias) * b for a, b in pairwise(self.sizes))
        if count != len(parameters):
            raise ValueError(f"sizes {self.sizes} need {count} parameters, the file holds {len(parameters)}")
        if self.feature_names and len(self.feature_names) != self.sizes[0]:
            raise ValueError(f"{len(self.feature_names)} names of columns do not go with sizes {self.sizes}")
        known = self._task()
        if self.activations[-1] != self.output:
            raise ValueError(f"activations {self.activations} do not end in the output {self.output!r}")
        return Topology(
            self.sizes[0],
            known,
            self.sizes[1:-1],
            activation=self.activations[:-1],
            bias=self.bias,
            l1=self.l1,
            l2=self.l2,
            dropout=self.dropout,
            seed=self.seed,
            dtype=parameters.dtype,
        )

    def _task(self) -> Task:
        """Return the task, with the kind of targets and the shape of predictions that the file tells."""
        loss = _loss_with(self.loss, self.loss_parameters)
        known = task(loss, self.sizes[-1], output=self.output, classes=_labels_in(self.classes))
        without_labels = {"real", "multilabel"} & set(loss.targets)
        if self.kind not in (without_labels if known.classes is None else {"labels", "one_hot", "soft"}):
            raise ValueError(
                f"targets of kind {self.kind!r} do not go with loss {loss.name!r} and labels {known.classes}"
            )
        if self.squeeze and (self.kind != "real" or known.outputs != 1):
            raise ValueError(
                f"1-D predictions do not go with {known.outputs} outputs for targets of kind {self.kind!r}"
            )
        return replace(known, kind=self.kind, squeeze=self.squeeze, missing=self.missing)


def _loss_with(name: str, parameters: list[float]) -> Loss:
    loss = LOSSES[choice(name, LOSSES, "loss")]
    if len(parameters) == 1 and loss.probabilities:
        return loss.smoothed(parameters[0])
    if len(parameters) != len(loss.parameters) and not loss.output_per_parameter:
        needed = "one parameter" if loss.parameters else "no parameters"
        raise ValueError(f"loss {name!r} has {needed}, the file has {list(parameters)}")
    return WITH_SETTINGS[name](*parameters) if name in WITH_SETTINGS else loss


def _labels_out(classes: np.ndarray | None) -> dict[str, Any] | None:
    if classes is None:
        return None
    name = "str" if classes.dtype.kind == "U" else classes.dtype.name
    if name not in _LABEL_TYPES:
        raise TypeError(
            f"save: got labels of dtype {classes.dtype}; integers, bools, float32, float64 and strings can be saved"
        )
    return {"dtype": name, "values": classes.tolist()}


def _labels_in(classes: dict[str, Any] | None) -> np.ndarray | None:
    if classes is None:
        return None
    values, name = classes.get("values"), classes.get("dtype")
    if not isinstance(name, str) or name not in _LABEL_TYPES or not isinstance(values, list):
        raise ValueError("its labels have no list of values of a known dtype")
    kind = _LABEL_TYPES[name]
    if not all(type(value) is kind for value in values):
        raise ValueError(f"its labels are not all {kind.__name__}")
    if kind is float and not np.isfinite(values).all():
        raise ValueError("one of its labels is not finite")
    try:
        return np.array(values, dtype=name)
    except OverflowError as error:
        raise ValueError(f"its labels do not fit their dtype ({error})") from error
