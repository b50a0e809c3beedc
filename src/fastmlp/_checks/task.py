"""What a network is trained for: which loss, how targets are coded, and how outputs are read."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fastmlp import activations, losses
from fastmlp._checks.arrays import label_array, read_array
from fastmlp._spec.records import METRICS
from fastmlp._spec.values import choice, listing
from fastmlp.losses import LOSSES, OUTPUTS, WITH_SETTINGS, Loss


@dataclass(frozen=True, eq=False)
class Task:
    """What a network is trained for: how targets are coded, and how outputs are read.

    `classes` holds the labels, one per class (sorted, if they came from targets), or None for regression and
    multilabel targets. `kind` is how the targets came: "labels", "one_hot", "soft", "multilabel" or "real". `squeeze`
    says whether predictions are 1-D, and `missing` whether a float target may be NaN: not observed.
    """

    loss: Loss
    output: str
    outputs: int
    classes: np.ndarray | None
    kind: str
    squeeze: bool
    missing: bool = False

    @cached_property
    def loss_parameters(self) -> np.ndarray | None:
        """The loss's parameter of each output, as the kernels read it; None if the loss has no parameter."""
        return np.resize(self.loss.parameters, self.outputs) if self.loss.parameters else None

    @property
    def is_regression(self) -> bool:
        """Whether targets are numbers, so that there is no accuracy."""
        return self.kind == "real"

    @property
    def is_multilabel(self) -> bool:
        return self.kind == "multilabel"

    @cached_property
    def output_per_class(self) -> bool:
        """Whether the largest output decides; two classes may have a single output, above or below the threshold."""
        return self.classes is not None and self.outputs == len(self.classes)

    @cached_property
    def single_class(self) -> bool:
        """Whether there is one class only, which is certain."""
        return self.classes is not None and len(self.classes) == 1

    @property
    def metric(self) -> int:
        """The kernels' code of what counts as a hit."""
        if self.is_regression:
            return METRICS.index("no_metric")
        return METRICS.index("largest" if self.output_per_class else "threshold")

    def codes(self, values: np.ndarray) -> np.ndarray:
        """Return coded targets as metrics take them: class codes, a matrix of 0, 1 and NaN, or numbers."""
        if self.is_regression:
            return values[:, :: self.loss.outputs_per_target]
        if self.is_multilabel:
            return np.where(np.isnan(values), np.nan, values > self.loss.threshold)
        return class_codes(values, len(self.classes)).astype(np.int64)

    def decide(self, outputs: np.ndarray) -> np.ndarray:
        """Return the class, the labels or the numbers that a network's outputs predict."""
        if self.is_regression:
            return outputs
        if self.output_per_class:
            return outputs.argmax(axis=1)
        units = outputs if self.is_multilabel else outputs[:, 0]
        return (units > self.loss.threshold).astype(np.int64)

    def scores(self, outputs: np.ndarray) -> np.ndarray:
        """Return what ranks rows: one number per row for two classes, else one column per output."""
        if self.is_multilabel or self.is_regression or self.outputs > 2:
            return outputs
        return outputs[:, 0] if self.outputs == 1 else outputs[:, 1] - outputs[:, 0]

    def predictions(self, codes: np.ndarray) -> np.ndarray:
        """Return codes as the user wrote the targets: labels, 0 and 1, or numbers."""
        if self.classes is not None:
            return self.classes[codes]
        return codes[:, 0] if self.squeeze else codes


def class_codes(values: np.ndarray, classes: int) -> np.ndarray:
    """Return the class of every row from its coded target; 0 if the only target is NaN."""
    if values.ndim == 1:
        return values
    # A target of two classes is 0 and 1, or -1 and 1.
    return values.argmax(axis=1) if values.shape[1] == classes else (values[:, 0] > 0).astype(np.int32)


def task(
    loss: str | Loss,
    outputs: int,
    *,
    output: str | None = None,
    classes: Any = None,
    label_smoothing: float = 0.0,
    missing_targets: str = "error",
) -> Task:
    """Make the task of a network that has seen no targets yet.

    If `classes` is None, they are 0, 1, ... for cross-entropy and for binary cross-entropy and hinge with one output;
    these with several outputs are multilabel, and all other losses regression.
    """
    chosen = checked_loss(loss).smoothed(label_smoothing)
    missing = choice(missing_targets, ("error", "mask"), "missing_targets") == "mask"
    activation = checked_output(output, chosen)
    needed = 2 if chosen.one_output_of_two and outputs == 1 else outputs
    if classes is None and (needed > outputs or chosen.coding == "indices"):
        if needed < 2:
            raise ValueError(f"sizes: got 1 output with loss {chosen.name!r}; at least 2 are needed, one per class")
        classes = np.arange(needed)
    if outputs % chosen.outputs_per_target:
        raise ValueError(
            f"sizes: got {outputs} outputs with {chosen.outputs_per_target} quantiles; a multiple of these is accepted"
        )
    if classes is None:
        kind = "real" if "real" in chosen.targets else "multilabel"
        return Task(chosen, activation, outputs, None, kind, kind == "real" and outputs == 1, missing)
    if "labels" not in chosen.targets:
        raise ValueError(f"classes: got labels with loss {chosen.name!r}, which goes with numbers; leave them out")
    labels = label_array(read_array(classes, "classes"), "classes")
    if labels.ndim != 1 or len(set(labels.tolist())) != len(labels) or len(labels) not in (needed, outputs):
        raise ValueError(
            f"classes: got {listing(labels.ravel().tolist())}; {needed} different "
            f"{'label goes' if needed == 1 else 'labels go'} with {outputs} "
            f"{'output' if outputs == 1 else 'outputs'} and loss {chosen.name!r}"
        )
    return Task(chosen, activation, outputs, labels, "labels", False, missing)


def checked_loss(value: Any) -> Loss:
    if isinstance(value, Loss):
        return value
    if any(value is make for make in WITH_SETTINGS.values()):  # functions, which a user may forget to call
        raise TypeError(f"loss: got the function {value.__name__}; call it, such as {value.__name__}(0.5)")
    return LOSSES[choice(value, LOSSES, "loss", losses.ELSEWHERE)]


def checked_output(output: str | None, loss: Loss) -> str:
    if output is None:
        return loss.outputs[0]
    choice(output, OUTPUTS, "output", activations.ELSEWHERE)
    if output not in loss.outputs:
        raise ValueError(f"output: got {output!r}; loss {loss.name!r} goes with {listing(loss.outputs)}")
    return output
