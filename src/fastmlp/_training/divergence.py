"""What is said of a training run that diverges: where it began, and the likeliest cause."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastmlp._engine.reference import activations, training
from fastmlp._training.model import Model

TITLES = ("the loss stopped being finite", "the loss grew beyond use")
_BLOCK = 4096  # rows that are inspected together
_LARGE = 1e4  # of features and targets: such units have not been chosen on purpose


@dataclass
class Divergence:
    """Where the loss of a training run stopped being finite, or grew beyond use.

    `epoch` and `batch` count from 1, the epoch over all training runs of the network. `parameters` are the weights of
    that loss, `rows` the rows of that batch, `rate` the learning rate of the last update. `updates` counts those of
    this training run, `steps_back` those from the weights that came back to `parameters`; if those of the best epoch
    came back, `best_epoch` is that epoch. `state_lost`: the optimizer's state did not come back with the weights, and
    has to begin anew. `loss` is the loss, if it was finite and had grown beyond use. The weights of `usable_epochs` of
    this training run are usable.
    """

    epoch: int
    batch: int
    parameters: np.ndarray
    steps_back: int
    rows: Any
    rate: float
    state_lost: bool = False
    best_epoch: int | None = None
    updates: int = 0
    loss: float | None = None
    usable_epochs: float = math.inf

    @property
    def title(self) -> str:
        return TITLES[self.loss is not None]


def report(divergence: Divergence, model: Model, run: Any) -> str:
    """Write one line: what happened, where it began, and the likeliest cause."""
    back = "training was stopped there, and "
    if divergence.best_epoch is not None:
        back += f"the best weights so far came back, those of epoch {divergence.best_epoch}"
    elif divergence.updates == 0:
        back = "no step was taken, and the weights are those it began with"
    elif divergence.steps_back == 1:
        back += "the weights before the last step came back"
    else:
        back += f"the weights of {divergence.steps_back} steps before came back"
    reached = "" if divergence.loss is None else f", to {divergence.loss:.3g},"
    rows, targets = run.samples.x[divergence.rows], run.samples.y[divergence.rows]
    return (
        f"{divergence.title}{reached} in epoch {divergence.epoch}, batch {divergence.batch}; {back}; "
        f"{_where(divergence, model, rows)}; likeliest cause: {_cause(divergence, model, run, rows, targets)}"
    )


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Cut rows, so that inspecting many of them takes no more memory than a few."""
    return (rows[begin : begin + _BLOCK] for begin in range(0, len(rows), _BLOCK))


def _where(divergence: Divergence, model: Model, rows: np.ndarray) -> str:
    """Name the layer in which a number stopped being finite first."""
    network = training.layers_of(divergence.parameters, model.layers)
    for number, layer in enumerate(network, 1):
        broken = sum(int(np.sum(~np.isfinite(part))) for part in (layer.w, layer.b) if part is not None)
        if broken:
            return f"it began in layer {number}, {broken} of whose parameters overflowed"
    largest, first = 0.0, len(network) + 1
    for block in _blocks(rows):
        with np.errstate(all="ignore"):
            outputs = training.outputs_of_layers(network, block)[1:]
            outputs[-1] = activations.activate(outputs[-1], network[-1].activation)
        first = min([first, *(number for number, h in enumerate(outputs, 1) if not np.isfinite(h).all())])
        largest = max(largest, float(np.abs(outputs[-1]).max()))
    if first <= len(network):
        weights = np.abs(network[first - 1].w).max()
        return f"it began in layer {first}, whose outputs overflowed (its weights reach {weights:.3g})"
    return f"it began in the loss of layer {len(network)}'s outputs, which reach {largest:.3g}"


def _cause(divergence: Divergence, model: Model, run: Any, rows: np.ndarray, y: np.ndarray) -> str:
    """Name the likeliest cause, and what to change first."""
    options, optimizer, rate = run.options, run.options.optimizer, divergence.rate
    l2 = run.settings["l2"] / (len(rows) if run.settings["own_average"] else 1)
    features = max(float(np.abs(block).max()) for block in _blocks(rows))
    targets = max(float(np.abs(np.nan_to_num(block)).max()) for block in _blocks(y)) if y.dtype.kind == "f" else 0.0
    if not optimizer.searches_step and rate * l2 > 2:
        return f"learning_rate * l2 / N is {rate * l2:.3g}, and from 2 on steps overshoot; lower one"
    if features > _LARGE:
        return f"features reach {features:.3g}; scale them, such as to mean 0 and deviation 1"
    if targets > _LARGE:
        return f"targets reach {targets:.3g}; scale them, such as to mean 0 and deviation 1"
    exponential = "outputs grow as exp(z); " if model.task.output == "exponential" else ""
    if optimizer.searches_step:
        return f"{exponential}a step of the line search was too long; try scaled features, l2, or optimizer='adam'"
    if divergence.updates == 0:
        return f"{exponential}the weights that it began with; try smaller ones, or scaled features and targets"
    usual = optimizer.default_learning_rate
    # A tenth of a rate above 10 would not be one that works either.
    remedy = f"try {rate / 10 if rate <= 10 else usual:.3g}"
    if rate <= 10 * usual and not (options.clip_norm or options.clip_value):
        remedy += ", or clip_norm=1.0"
    return f"{exponential}a learning_rate of {rate:.3g}; {remedy}"
