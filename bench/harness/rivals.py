"""The libraries that the benchmark times, each with the same small interface.

A rival trains a case as its users would at its best: the same parameters at the start, optimizer, batch size and
shuffling; the loss of each batch is computed; nothing else is done. Each rival imports its library only when it
prepares a case.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import builds
from harness.cases import Case, Layers

if TYPE_CHECKING:
    import fastmlp

Run = Callable[[], Layers]
"""Trains, and returns the trained parameters (arrays, or what np.asarray takes). Only this is timed."""

Begin = Callable[[int], Run]
"""Goes back to the start, prepares to train that many epochs, and returns the Run that does."""


class Rival:
    """A library that can train the cases."""

    packages: tuple[str, ...] = ()  # the distributions that it needs, whose versions are recorded
    sets_threads = True  # a library that cannot choose its number of threads is timed once, with all

    def note(self, case: Case) -> str:
        """Return in what its training differs from the case's; "" if in nothing."""
        return ""

    def build(self) -> str:
        """Return the version, or the build of the kernels, that is timed."""
        return ", ".join(map(version, self.packages))

    # Libraries that multiply through BLAS or OpenMP take the number of threads from the environment, which is set
    # before their process is started. None leaves the choice to fastmlp.
    def prepare(self, case: Case, X: np.ndarray, y: np.ndarray, start: Layers, threads: int | None) -> Begin:
        """Do once what a user does once: convert the data of `cases.data`, make the network of `cases.start`."""
        raise NotImplementedError


def version(package: str) -> str:
    """Return a distribution and its version, e.g. "numpy 2.4.6"; raise PackageNotFoundError if it is missing."""
    return f"{package} {importlib.metadata.version(package)}"


def present(package: str) -> bool:
    """Return whether a distribution is installed."""
    try:
        version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def scikit_learn(module: str) -> ModuleType:
    """Import a module of scikit-learn; a script of this folder has the package's name."""
    return importlib.import_module(f"sklearn.{module}")


@contextmanager
def stopped_on_purpose() -> Iterator[None]:
    """Ignore the warning of scikit-learn's estimators, and of fastmlp's, that a fit has reached its last epoch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scikit_learn("exceptions").ConvergenceWarning)
        yield


def network(case: Case, start: Layers, backend: str | None = None) -> fastmlp.Network:
    """Return fastmlp's network for a case, with given parameters; `backend` None is the build that fastmlp chooses."""
    import fastmlp

    net = fastmlp.Network(
        case.sizes,
        activation=case.activation,
        loss=case.loss,
        output=case.output,
        bias=case.bias,
        classes=np.arange(max(2, case.sizes[-1])) if case.labelled else None,
        seed=0,
        dtype=case.dtype,
        backend=backend,
    )
    for layer, (weights, biases) in enumerate(start):
        net.weights[layer][...] = weights
        if biases is not None:
            net.biases[layer][...] = biases
    return net


def train(net: fastmlp.Network, case: Case, X: np.ndarray, y: np.ndarray, epochs: int, threads: int | None) -> None:
    """Train fastmlp's network as the case demands; raise if it stops early, since its time would mean nothing."""
    before = len(net.history.loss)
    net.train(
        X,
        y,
        optimizer=case.optimizer,
        learning_rate=case.learning_rate,
        batch_size="full" if case.batch is None else case.batch,
        epochs=epochs,
        shuffle=case.batch is not None,
        seed=0,
        n_threads=threads,
    )
    if len(net.history.loss) < before + epochs:
        raise RuntimeError(f"{case.name}: stopped after {len(net.history.loss) - before} of {epochs} epochs")


class FastMLP(Rival):
    """fastmlp, in the build that it chooses, or in one that is forced."""

    def __init__(self, backend: str | None = None) -> None:
        self.backend = backend

    def build(self) -> str:
        return version("numpy") if self.backend == builds.REFERENCE else self.backend or builds.in_use()

    def prepare(self, case: Case, X: np.ndarray, y: np.ndarray, start: Layers, threads: int | None) -> Begin:
        def begin(epochs: int) -> Run:
            net = network(case, start, self.backend)

            def run() -> Layers:
                train(net, case, X, y, epochs, threads)
                return list(zip(net.weights, net.biases if case.bias else [None] * len(start), strict=True))

            return run

        return begin


class ScikitLearn(Rival):
    """scikit-learn's MLPClassifier and MLPRegressor, whose loop is in Python over NumPy."""

    packages = ("scikit-learn",)

    def note(self, case: Case) -> str:
        forced_output = not case.labelled and case.output != "identity"
        differences = {"identity output": forced_output, "with biases": not case.bias}
        return ", ".join(text for text, holds in differences.items() if holds)

    def prepare(self, case: Case, X: np.ndarray, y: np.ndarray, start: Layers, threads: int | None) -> Begin:
        name = "MLPClassifier" if case.labelled else "MLPRegressor"
        estimator: Any = getattr(scikit_learn("neural_network"), name)(
            hidden_layer_sizes=case.sizes[1:-1],
            activation={"sigmoid": "logistic"}.get(case.activation, case.activation),
            solver=case.optimizer,
            alpha=0.0,
            batch_size=case.batch_rows,
            learning_rate_init=case.learning_rate,
            momentum=0.0,
            nesterovs_momentum=False,
            shuffle=case.batch is not None,
            random_state=0,
            tol=0.0,
            n_iter_no_change=10**9,
            warm_start=True,  # from the given parameters
        )

        def fit(epochs: int, rows: int) -> None:
            estimator.max_iter = epochs
            with stopped_on_purpose():
                estimator.fit(X[:rows], y[:rows])

        # A first fit makes the parameters' lists. The first rows hold every class, and a batch must fit in.
        fit(1, max(case.sizes[-1], case.batch_rows))

        def begin(epochs: int) -> Run:
            estimator.coefs_ = [weights.copy() for weights, _ in start]
            estimator.intercepts_ = [
                np.zeros(weights.shape[1], weights.dtype) if biases is None else biases.copy()
                for weights, biases in start
            ]

            def run() -> Layers:
                fit(epochs, len(X))
                return list(zip(estimator.coefs_, estimator.intercepts_, strict=True))

            return run

        return begin


class PyTorch(Rival):
    """PyTorch's usual eager loop, with the optimizer's fused implementation."""

    packages = ("torch",)

    def prepare(self, case: Case, X: np.ndarray, y: np.ndarray, start: Layers, threads: int | None) -> Begin:
        import torch

        torch.set_num_threads(threads)
        X, y = torch.from_numpy(X), torch.from_numpy(y)
        if case.loss == "binary_cross_entropy":
            y = y.to(X.dtype).unsqueeze(1)
        model, loss_of = self.model(case, start), self.loss(case)
        optimizer_class = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[case.optimizer]

        def begin(epochs: int) -> Run:
            self.load(model, start)
            optimizer = optimizer_class(model.parameters(), lr=case.learning_rate, fused=True)

            def step(X: torch.Tensor, y: torch.Tensor) -> None:
                optimizer.zero_grad(set_to_none=True)
                loss_of(model(X), y).backward()
                optimizer.step()

            def run() -> Layers:
                for _ in range(epochs):
                    if case.batch is None:
                        step(X, y)
                    else:
                        for batch in torch.randperm(len(X)).split(case.batch):
                            # The same as X[batch], and up to six times as fast.
                            step(X.index_select(0, batch), y.index_select(0, batch))
                return self.layers(model)

            return run

        return begin

    @staticmethod
    def model(case: Case, start: Layers) -> Any:
        """Return the module of a case with given parameters."""
        import torch
        from torch import nn

        activation = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}[case.activation]
        modules: list[nn.Module] = []
        for weights, biases in start:
            linear = nn.Linear(*weights.shape, bias=biases is not None)
            modules += [linear.to(getattr(torch, case.dtype)), activation()]
        modules.pop()
        if case.own_sigmoid:
            modules.append(nn.Sigmoid())
        return nn.Sequential(*modules)

    @staticmethod
    def loss(case: Case) -> Callable[[Any, Any], Any]:
        """Return the mean loss of outputs and targets."""
        from torch.nn import functional

        if case.loss == "cross_entropy":
            return functional.cross_entropy
        if case.loss == "binary_cross_entropy":
            return functional.binary_cross_entropy_with_logits
        half_outputs = case.sizes[-1] / 2
        if half_outputs == 1:
            return functional.mse_loss
        return lambda outputs, y: functional.mse_loss(outputs, y) * half_outputs

    @staticmethod
    def layers(model: Any) -> Layers:
        """Return a module's parameters, which share its memory."""
        linears = [module for module in model if hasattr(module, "weight")]
        return [(m.weight.detach().T, None if m.bias is None else m.bias.detach()) for m in linears]

    @classmethod
    def load(cls, model: Any, start: Layers) -> None:
        """Copy parameters into a module."""
        import torch

        for (mine, my_biases), (weights, biases) in zip(cls.layers(model), start, strict=True):
            mine.copy_(torch.from_numpy(weights))
            if biases is not None:
                my_biases.copy_(torch.from_numpy(biases))


class JAX(Rival):
    """JAX with the whole training in one compiled scan over epochs, each a scan over batches; optax steps."""

    packages = ("jax", "optax")
    sets_threads = False

    def prepare(self, case: Case, X: np.ndarray, y: np.ndarray, start: Layers, threads: int | None) -> Begin:
        import jax

        jax.config.update("jax_enable_x64", case.dtype == "float64")
        if case.loss == "binary_cross_entropy":
            y = y.astype(X.dtype)[:, np.newaxis]
        X, y = jax.device_put(X), jax.device_put(y)
        initial_memory, training = self.training(case)
        compiled: dict[int, Any] = {}

        def begin(epochs: int) -> Run:
            layers = jax.tree.map(jax.numpy.array, start)  # copied, since the run overwrites it
            state = layers, initial_memory(layers)
            keys = jax.random.split(jax.random.key(0), epochs)
            if epochs not in compiled:
                compiled[epochs] = jax.jit(training, donate_argnums=0).lower(state, keys, X, y).compile()
            jax.block_until_ready(state)

            def run() -> Layers:
                (layers, _), _ = jax.block_until_ready(compiled[epochs](state, keys, X, y))
                return layers

            return run

        return begin

    @classmethod
    def training(cls, case: Case) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Return the functions that make the optimizer's first state and that train from layers and state."""
        import jax
        import optax
        from jax import lax

        optimizer = {"sgd": optax.sgd, "adam": optax.adam}[case.optimizer](case.learning_rate)
        loss_and_gradient = jax.value_and_grad(cls.objective(case))

        def step(state: Any, X: jax.Array, y: jax.Array) -> Any:
            layers, memory = state
            loss, gradient = loss_and_gradient(layers, X, y)
            updates, memory = optimizer.update(gradient, memory, layers)
            return (optax.apply_updates(layers, updates), memory), loss

        def training(state: Any, keys: jax.Array, X: jax.Array, y: jax.Array) -> Any:
            whole = len(X) // case.batch_rows * case.batch_rows

            def epoch(state: Any, key: jax.Array) -> Any:
                if case.batch is None:
                    return step(state, X, y)
                order = jax.random.permutation(key, len(X))
                batches = order[:whole].reshape(-1, case.batch_rows)
                state, losses = lax.scan(lambda state, rows: step(state, X[rows], y[rows]), state, batches)
                if whole < len(X):
                    state, _ = step(state, X[order[whole:]], y[order[whole:]])
                return state, losses.mean()

            return lax.scan(epoch, state, keys)

        return optimizer.init, training

    @staticmethod
    def objective(case: Case) -> Callable[..., Any]:
        """Return the mean loss as a function of the layers, X and y."""
        import jax
        import optax

        activation = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid, "tanh": jax.numpy.tanh}[case.activation]
        losses = {
            "cross_entropy": optax.softmax_cross_entropy_with_integer_labels,
            "binary_cross_entropy": optax.sigmoid_binary_cross_entropy,
            "squared_error": lambda outputs, y: ((outputs - y) ** 2).sum(axis=1) / 2,
        }[case.loss]

        def objective(layers: Any, X: jax.Array, y: jax.Array) -> jax.Array:
            for layer, (weights, biases) in enumerate(layers):
                X = (activation(X) if layer else X) @ weights
                X = X if biases is None else X + biases
            return losses(jax.nn.sigmoid(X) if case.own_sigmoid else X, y).mean()

        return objective


RIVALS: dict[str, Rival] = {
    "fastmlp": FastMLP(),
    "numpy": FastMLP(builds.REFERENCE),
    "scikit-learn": ScikitLearn(),
    "pytorch": PyTorch(),
    "jax": JAX(),
}


def forced(build: str) -> str:
    """Return the name by which `find` knows fastmlp with a build of its kernels that is forced."""
    return f"fastmlp:{build}"


def find(name: str) -> Rival:
    """Return a rival by its name, a key of `RIVALS` or what `forced` returns.

    >>> find(forced("baseline")).build()
    'baseline'
    """
    rival, _, build = name.partition(":")
    return FastMLP(build) if build else RIVALS[rival]


def installed(rival: Rival) -> bool:
    """Return whether a rival can be timed here."""
    return all(map(present, rival.packages))
