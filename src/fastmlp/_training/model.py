"""The numbers of a network and what computes with them: parameters, their layout, a build of the kernels."""

import math
from itertools import pairwise
from typing import Any

import numpy as np

from fastmlp import initialization
from fastmlp._checks.samples import Samples
from fastmlp._checks.topology import Topology, checked_dropout
from fastmlp._engine import backend, layout, prediction
from fastmlp._spec.values import as_array, number
from fastmlp._training.access import Access
from fastmlp._training.sparse import SparseRows
from fastmlp.activations import ACTIVATIONS

_FORWARD_ROWS = 256  # rows that go through the layers together if there is no batch


class Model:
    """A network's parameters, the views of them, and the kernels that compute with them.

    `changes` counts the assignments that a training run under way has to take over. `loss_fraction` is the fraction of
    a loss that is written down: 1 / outputs if scikit-learn takes the mean over outputs.
    """

    def __init__(self, topology: Topology, parameters: np.ndarray | None = None) -> None:
        self.topology, self.task = topology, topology.task
        self.sizes, self.activations, self.dtype = topology.sizes, topology.activations, topology.dtype
        self.l1, self.l2, self.dropout = topology.l1, topology.l2, topology.dropout
        self.loss_fraction, self.changes = 1.0, 0
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
        self._lay_out_layers()
        self.params = layout.aligned(np.zeros, self.topology.parameters, self.dtype)
        shapes = list(zip(self.layers, pairwise(self.sizes), strict=True))
        self.weights = tuple(self._view(layer["weights"], shape) for layer, shape in shapes)
        self.biases = tuple(self._view(layer["bias"], shape[1:]) for layer, shape in shapes if self.topology.bias)
        self.use(build)

    def _view(self, begin: int, shape: tuple[int, ...]) -> np.ndarray:
        return self.params[begin:][: math.prod(shape)].reshape(shape)

    def _lay_out_layers(self) -> None:
        self.layers = layout.network_layers(
            self.sizes, tuple(ACTIVATIONS[name].code for name in self.activations), self.topology.bias, self.dropout
        )

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
        if name == "dropout":
            self.dropout = checked_dropout(value, len(self.sizes) - 2)
            self._lay_out_layers()
            self.predictor = prediction.Predictor()
        else:
            setattr(self, name, number(value, name))
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
            "l1": self.l1 / size,
            "l2": self.l2 / size,
            "loss_share": self.loss_fraction,
        }

    def plan(self, rows: int, batch: int, size: float, **settings: float) -> layout.Plan:
        settings = self.settings(size) | settings
        return layout.plan(self.layers, self.kernels.sizes(), batch=batch, rows=rows, settings=settings)

    def evaluate(self, samples: Samples) -> tuple[float, float]:
        """Compute the objective over samples, and the fraction of them that is classified correctly."""
        plan = self.plan(len(samples), min(len(samples), _FORWARD_ROWS), samples.size)
        arrays = layout.Arrays(self.params, loss_parameters=self.task.loss_parameters)
        with self.access.reading:
            return self.kernels.Run(plan, arrays, samples, Samples()).evaluate()

    def differentiate(self, samples: Samples, dropping: bool = False) -> tuple[float, np.ndarray]:
        """Compute the objective and its gradient; `dropping`: without the units that the first epoch leaves out."""
        plan = self.plan(len(samples), len(samples), samples.size, dropping=int(dropping), seed=self.topology.seed)
        gradient = np.empty_like(self.params)
        arrays = layout.Arrays(self.params, gradient=gradient, loss_parameters=self.task.loss_parameters)
        with self.access.reading:
            return self.kernels.Run(plan, arrays, samples, Samples()).differentiate(), gradient
