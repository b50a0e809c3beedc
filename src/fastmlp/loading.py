"""A network from a model file: what the file says is checked against what networks are.

Imports the network and the door; the package exports `load`, and the command line uses it.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from fastmlp import _validate
from fastmlp.losses import LOSSES, Loss, huber, quantile
from fastmlp.network import Network


def load(path: Any, *, backend: str | None = None) -> Network:
    """Read a network from a file that `Network.save` wrote.

    Safe on files from strangers: no code is run, everything is checked, and nothing is allocated past the file's own
    size.

    Parameters
    ----------
    path : str or path-like
        Where from.
    backend : str or None, default None
        As in `Network`.

    Returns
    -------
    Network
        The network, its `metadata` included.

    Raises
    ------
    ValueError
        If the file is not such a file; the message says what is wrong with it.
    OSError
        If the file cannot be read.
    """
    from fastmlp import _files  # as in `Network.save`

    parameters, known = _files.read(path)
    try:
        if len(known["sizes"]) < 2 or len(known["activations"]) != len(known["sizes"]) - 1:
            raise ValueError(f"sizes {known['sizes']} do not go with activations {known['activations']}")
        # Counted before a network is made: a description may claim more than the file holds.
        count = sum((a + known["bias"]) * b for a, b in zip(known["sizes"], known["sizes"][1:], strict=False))
        if count != len(parameters):
            raise ValueError(f"sizes {known['sizes']} need {count} parameters, the file holds {len(parameters)}")
        loss = _loss_of_file(known["loss"], known["loss_parameters"])
        task = _validate.task(loss, known["sizes"][-1], output=known["output"], classes=known["classes"])
        task = _refined(task, known["kind"], known["squeeze"], known["missing"])
        if known["activations"][-1] != known["output"]:
            raise ValueError(f"activations {known['activations']} do not end in the output {known['output']!r}")
        network = Network._for_task(
            known["sizes"][0], known["sizes"][1:-1], task, activation=known["activations"][:-1], bias=known["bias"],
            l1=known["l1"], l2=known["l2"], dropout=known["dropout"], seed=known["seed"], dtype=parameters.dtype,
            backend=None,
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"path: {os.fspath(path)} is no model file of fastmlp: {error}") from error
    network._use(backend)
    network.params = parameters
    network.metadata = known["metadata"]
    return network


def _loss_of_file(name: str, parameters: list[float]) -> Loss:
    """Find the loss that a file names, with its settings."""
    loss = LOSSES[_validate.choice(name, LOSSES, "loss")]
    if name == "quantile":
        return quantile(*parameters)
    if len(parameters) == 1 and name in ("cross_entropy", "binary_cross_entropy"):
        return loss.smoothed(parameters[0])
    if len(parameters) != len(loss.parameters):
        needed = "one parameter" if loss.parameters else "no parameters"
        raise ValueError(f"loss {name!r} has {needed}, the file has {parameters}")
    return huber(*parameters) if name == "huber" else loss


def _refined(task: _validate.Task, kind: str, squeeze: bool, missing: bool) -> _validate.Task:
    """Give a task the kind of targets and the shape of predictions that a file tells, if they go with it."""
    without_labels = {"real", "multilabel"} & set(task.loss.targets)
    fitting = without_labels if task.classes is None else {"labels", "one_hot", "soft"}
    if kind not in fitting:
        raise ValueError(f"targets of kind {kind!r} do not go with loss {task.loss.name!r} and labels {task.classes}")
    if squeeze and (kind != "real" or task.outputs != 1):
        raise ValueError(f"1-D predictions do not go with {task.outputs} outputs for targets of kind {kind!r}")
    return dataclasses.replace(task, kind=kind, squeeze=squeeze, missing=missing)
