"""The numbers of a network and what computes with them: parameters, their layout, a build of the kernels."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from fastmlp import initialization
from fastmlp._checks.samples import Samples
from fastmlp._checks.sparse import SparseRows
from fastmlp._checks.topology import Topology
from fastmlp._engine import backend, layout, prediction
from fastmlp._spec.values import as_array
from fastmlp._training.access import Access
from fastmlp.activations import ACTIVATIONS

LOSS_GROWTH = 1e6
_FORWARD_ROWS = 256  # rows that go through the layers together if there is no batch


class Model:
    """A network's parameters, the views of them, and the kernels that compute with them.

    `changes` counts the assignments that a training run under way has to take over. `loss_fraction` is the fraction of
    a loss that is written down: 1 / outputs if scikit-learn takes the mean over outputs. A training run in which a
    loss reaches `loss_growth` times the first one + 1 is over; 0: only if it is not finite, as with scikit-learn.
    """

    def __init__(self, topology: Topology, parameters: np.ndarray | None = None) -> None:
        self.topology, self.task = topology, topology.task
        self.sizes, self.activations, self.dtype = topology.sizes, topology.activations, topology.dtype
        self.loss_fraction, self.loss_growth, self.changes = 1.0, LOSS_GROWTH, 0
        self._make(topology.backend)
        init = topology.init if parameters is None else parameters
        if isinstance(init, str):
            generator = np.random.Generator(np.random.PCG64(topology.seed))
            init = np.concatenate(
                [
                    initialization.layer(init, generator, *weights.shape, weights.shape[1] if topology.bias else 0)
                    for weights in self.weights
                ]
            )
        self.params[:] = init
        if topology.bias_init is not None:
            for biases in self.biases:
                biases[:] = topology.bias_init

    def _make(self, build: str | None) -> None:
        """Make all that pickles leave out: parameters of its own, the views of them, and what computes."""
        self.access = Access()
        self._structure = self.sizes, tuple(ACTIVATIONS[name].code for name in self.activations), self.topology.bias
        self.layers = layout.network_layers(*self._structure)
        self.params = layout.aligned(np.zeros, self.topology.parameters, self.dtype)
        shapes = list(zip(self.layers, pairwise(self.sizes), strict=True))
        self.weights = tuple(self._view(layer["weights"], shape) for layer, shape in shapes)
        self.biases = tuple(self._view(layer["bias"], shape[1:]) for layer, shape in shapes if self.topology.bias)
        self.use(build)

    def _view(self, begin: int, shape: tuple[int, ...]) -> np.ndarray:
        return self.params[begin:][: math.prod(shape)].reshape(shape)

    def layers_of_steps(self, dropped: Sequence[int]) -> np.ndarray:
        """Return the layers as steps need them: those that units are left out of keep slopes."""
        if not any(dropped):
            return self.layers
        return layout.network_layers(*self._structure, tuple(part > 0 for part in dropped))

    def use(self, name: str | None) -> None:
        self.asked_backend, self.backend = name, name or backend.in_use()
        self.kernels = backend.kernels(self.dtype, name)
        self.predictor = prediction.Predictor()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this machine's build and to this process, and views, which would be copies."""
        own = ("kernels", "predictor", "access", "backend", "weights", "biases", "layers")
        return {name: value for name, value in vars(self).items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._make(self.asked_backend)
        self.params[:] = state["params"]

    def assign(self, name: str, value: Any) -> None:
        """Set params, dropout, l1 or l2; a training run under way takes it over at its next step."""
        self.access.check_assignment(name)
        if name == "params":
            self.params[:] = self._checked_params(as_array(value, "params"))
            return
        self.topology = replace(self.topology, **{name: value})
        self.changes += 1

    def _checked_params(self, values: np.ndarray) -> np.ndarray:
        accepted = f"finite numbers of shape {self.params.shape} are accepted"
        if values.dtype.kind not in "biuf":
            raise TypeError(f"params: got dtype {values.dtype}; {accepted}")
        if values.shape != self.params.shape:
            raise ValueError(f"params: got shape {values.shape}; {accepted}")
        with np.errstate(over="ignore"):  # what overflows is found below
            converted = values.astype(self.dtype)
        if not np.isfinite(converted).all():
            at = int(np.isfinite(converted).argmin())
            raise ValueError(f"params: got {values[at]!s} at place {at}, for {self.dtype}; {accepted}")
        return converted

    def outputs(self, X: np.ndarray | SparseRows) -> np.ndarray | None:
        """Compute the output layer's activations for checked rows; None if the rows are not finite."""
        if isinstance(X, SparseRows):
            return np.concatenate([self.outputs(block) for block in X.blocks()])
        return self.predictor.outputs(self, X)

    def settings(self, size: float) -> dict[str, float]:
        """Return the fields of SETTINGS that follow from the network; `size` is N of the objective."""
        return {
            "loss": self.task.loss.code,
            "metric": self.task.metric,
            "threshold": self.task.loss.threshold,
            "l1": self.topology.l1 / size,
            "l2": self.topology.l2 / size,
            "loss_share": self.loss_fraction,
        }

    def plan(self, rows: int, batch: int, size: float, dropped: Sequence[int] = (), **settings: float) -> layout.Plan:
        settings, layers = self.settings(size) | settings, self.layers_of_steps(dropped)
        return layout.plan(layers, self.kernels.sizes(), batch=batch, rows=rows, settings=settings)

    def evaluate(self, samples: Samples, parameters: np.ndarray | None = None) -> tuple[float, float]:
        """Compute the objective over samples, and the fraction of them that is classified correctly."""
        plan = self.plan(len(samples), min(len(samples), _FORWARD_ROWS), samples.size)
        arrays = layout.Arrays(
            self.params if parameters is None else parameters, loss_parameters=self.task.loss_parameters
        )
        with self.access.reading:
            return self.kernels.Run(plan, arrays, samples, Samples()).evaluate()

    def differentiate(self, samples: Samples, dropping: bool = False) -> tuple[float, np.ndarray]:
        """Compute the objective and its gradient; `dropping`: without the units that the first epoch leaves out."""
        dropped = layout.dropped(self.topology.fractions(0)) if dropping else ()
        plan = self.plan(len(samples), len(samples), samples.size, dropped, seed=self.topology.seed)
        gradient = np.empty_like(self.params)
        arrays = layout.Arrays(
            self.params,
            gradient=gradient,
            dropped=np.array(dropped, np.int64) if any(dropped) else None,
            loss_parameters=self.task.loss_parameters,
        )
        with self.access.reading:
            return self.kernels.Run(plan, arrays, samples, Samples()).differentiate(), gradient
