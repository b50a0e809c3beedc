"""Network: topology, parameters and their views, training, prediction, files; and `train`, which makes one to fit data.

Imports everything to its left: the door, the layout, the backend, the training loop. The article, the datasets'
examples, plotting and the command line import it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastmlp import _backend, _layout, _validate, initialization, training
from fastmlp.activations import ACTIVATIONS
from fastmlp.history import History
from fastmlp.losses import Loss
from fastmlp.optimizers import Optimizer
from fastmlp.schedules import RateSchedule
from fastmlp.stopping import EarlyStopping

_NO_METRIC, _LARGEST, _THRESHOLD = range(3)  # as the kernels number them
_FORWARD_ROWS = 256  # rows that go through the layers together where there is no batch
_FEW_ROWS = 8  # up to which a prediction has a plan of its own, whose workspace is small enough to be kept


class Network:
    """A multilayer perceptron: layers z = h W + b, h = f(z).

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden sizes, outputs: at least two numbers.
    activation : str or sequence of str, default "relu"
        The hidden layers' activation, one for all or one each: identity, sigmoid, tanh, relu,
        leaky_relu, elu, selu, softplus.
    loss : str or Loss, default "squared_error"
        As in `fastmlp.train`.
    output : str or None, default None
        The output activation; None takes the loss's own: identity, sigmoid, softmax, exponential.
    bias : bool, default True
        Whether layers have biases.
    l1, l2 : float, default 0.0
        The penalties' factors: the objective is
        (1/N) Σ_rows loss + (l2 / 2N) Σ W² + (l1 / N) Σ abs(W), N the number of rows, biases free.
    init : str or array-like, default "glorot_uniform"
        As in `fastmlp.train`.
    bias_init : float or None, default None
        As in `fastmlp.train`.
    classes : array-like or None, default None
        The labels, one a class; None numbers them.
    seed : int or None, default None
        Seed of the initial weights and of shuffling; None draws one.
    dtype : float32 or float64, default float64
        The dtype of parameters and arithmetic.
    backend : str or None, default None
        ``"reference"``, an instruction set, or None for the build in use.

    Attributes
    ----------
    sizes, activations : tuple
        The layers' sizes, inputs first; the activation of each layer, output last.
    params : ndarray, shape (parameters,)
        All parameters in one vector: W then b, layer by layer. Write into it to set them.
    weights, biases : tuple of ndarray, shapes (in, out) and (out,)
        Views of `params`; `biases` is empty without biases.
    classes_ : ndarray or None
        The labels, one a class; None for regression and multi-label targets.
    history : History
        What happened in all trainings so far.
    metadata : dict of str to str
        Notes that are saved with the network.
    seed : int
        The seed in use.

    Raises
    ------
    TypeError, ValueError
        If an argument cannot be used; the message names it, what came and what is accepted.

    Notes
    -----
    Biases start like weights, as scikit-learn's: at 0 a network of tanh would be an odd function, whose training often
    gets stuck where the classes are not odd.

    Examples
    --------
    >>> net = Network((2, 3, 1), activation="tanh", seed=0)
    >>> [w.shape for w in net.weights], len(net.params)
    ([(2, 3), (3, 1)], 13)
    """

    def __init__(
        self, sizes: Sequence[int], *, activation: str | Sequence[str] = "relu", loss: str | Loss = "squared_error",
        output: str | None = None, bias: bool = True, l1: float = 0.0, l2: float = 0.0,
        init: str | Any = "glorot_uniform", bias_init: float | None = None, classes: Any = None,
        seed: int | None = None, dtype: Any = np.float64, backend: str | None = None,
    ) -> None:
        sizes = _validate.hidden_sizes(sizes, "sizes")
        if len(sizes) < 2:
            raise ValueError(f"sizes: got {sizes}; inputs and outputs at least are needed, such as (2, 3, 1)")
        task = _validate.task(loss, sizes[-1], output=output, classes=classes)
        self._set_up(sizes[0], sizes[1:-1], task, activation, bias, l1, l2, seed, dtype, backend, init, bias_init)

    @classmethod
    def _for_task(
        cls, inputs: int, hidden: Any, task: _validate.Task, *, activation: Any, bias: Any, l1: Any, l2: Any,
        seed: Any, dtype: Any, backend: Any, init: Any = "glorot_uniform", bias_init: Any = None,
    ) -> Network:
        """Make a network for targets that have been looked at."""
        network = cls.__new__(cls)
        network._set_up(inputs, hidden, task, activation, bias, l1, l2, seed, dtype, backend, init, bias_init)
        return network

    def _set_up(
        self, inputs: int, hidden: Any, task: _validate.Task, activation: Any, bias: Any, l1: Any, l2: Any,
        seed: Any, dtype: Any, backend: Any, init: Any, bias_init: Any,
    ) -> None:
        if backend is not None:
            _backend.resolve(backend)
        hidden = _validate.hidden_sizes(hidden)
        self.sizes: tuple[int, ...] = (inputs, *hidden, task.outputs)
        self.activations: tuple[str, ...] = (*_validate.activations(activation, len(hidden)), task.output)
        self._task = task
        self._bias = _validate.flag(bias, "bias")
        self.l1, self.l2 = _validate.number(l1, "l1"), _validate.number(l2, "l2")
        self.dtype = _validate.floating(dtype) or np.dtype(np.float64)
        self.seed = _validate.seed(seed)
        self._lay_out()
        self._use(backend)
        self.history = History()
        self.metadata: dict[str, str] = {}
        self._optimizer: Optimizer | None = None
        self._state: training.OptimizerState | None = None
        self._initialize(init, bias_init)

    def _use(self, backend: str | None) -> None:
        """Compute with a backend: its kernels, and a plan that is laid out for them."""
        self._asked_backend = backend
        self._kernels = _backend.kernels(self.dtype, backend)
        self.backend = backend or _backend.in_use
        self._forward_plans: dict[int, _layout.Plan] = {}
        # Each prediction takes one and gives it back: pop and append are atomic, so no two threads share one.
        self._workspaces: list[np.ndarray] = []

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this machine's build, and views, which would come back as copies."""
        own = ("_kernels", "_forward_plans", "_workspaces", "_layers", "backend", "weights", "biases")
        return {name: value for name, value in vars(self).items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take parameters of one's own, and the kernels of this machine."""
        vars(self).update(state)
        self._lay_out(self._params)
        self._use(self._asked_backend)

    def _lay_out(self, values: np.ndarray | None = None) -> None:
        """Allocate the parameter vector and make the views of it."""
        self._layers = _layout.network_layers(self.sizes, [ACTIVATIONS[name] for name in self.activations], self._bias)
        self._params = training.aligned_zeros(_layout.parameter_count(self._layers), self.dtype)
        if values is not None:
            self._params[:] = values
        weights, biases = [], []
        for inputs, outputs, _, at, bias_at, *_ in self._layers.tolist():
            weights.append(self._params[at : at + inputs * outputs].reshape(inputs, outputs))
            if self._bias:
                biases.append(self._params[bias_at : bias_at + outputs])
        self.weights: tuple[np.ndarray, ...] = tuple(weights)
        self.biases: tuple[np.ndarray, ...] = tuple(biases)

    @property
    def params(self) -> np.ndarray:
        """All parameters in one vector: W then b, layer by layer. What is assigned is copied into it."""
        return self._params

    @params.setter
    def params(self, values: Any) -> None:
        values = np.asarray(values)
        if values.shape != self._params.shape:
            raise ValueError(f"params: got shape {values.shape}; {self._params.shape} is accepted")
        self._params[:] = values

    def _initialize(self, init: Any, bias_init: Any) -> None:
        init = initialization.checked(init, len(self._params), self.dtype)
        if bias_init is not None:
            bias_init = _validate.number(bias_init, "bias_init", minimum=-math.inf)
            if not self._bias:
                raise ValueError(f"bias_init: got {bias_init} with bias=False; leave it out, or take biases")
        if isinstance(init, np.ndarray):
            self._params[:] = init
        else:
            generator = np.random.Generator(np.random.PCG64(self.seed))
            for inputs, outputs, _, begin, *_ in self._layers.tolist():
                drawn = initialization.layer(init, generator, inputs, outputs, outputs if self._bias else 0)
                self._params[begin : begin + len(drawn)] = drawn
        if bias_init is not None:
            for biases in self.biases:
                biases[:] = bias_init

    @property
    def classes_(self) -> np.ndarray | None:
        """The labels, one a class; None for regression and multi-label targets."""
        return self._task.classes

    @property
    def loss_name(self) -> str:
        """The name of the loss."""
        return self._task.loss.name

    def __repr__(self) -> str:
        """Show sizes, activations and loss."""
        return f"Network({self.sizes}, activations={self.activations}, loss={self.loss_name!r}, {self.dtype.name})"

    def _metric(self) -> int:
        """Give the kernels' number of the measure of accuracy that goes with the targets."""
        if self._task.kind == "real":
            return _NO_METRIC
        if self._task.kind == "multilabel" or self._task.outputs == 1:
            return _THRESHOLD
        return _LARGEST

    def _settings(self, size: float) -> dict[str, float]:
        """List the fields of SETTINGS that come of the network; `size` is N of the objective."""
        return {
            "loss": self._task.loss.code, "metric": self._metric(), "l1": self.l1 / size, "l2": self.l2 / size,
        }

    def _plan(self, rows: int, batch: int, size: float) -> _layout.Plan:
        return _layout.plan(self._layers, self._kernels.sizes(), batch=batch, rows=rows, **self._settings(size))

    def _checked(self, X: Any, y: Any, sample_weight: Any, class_weight: Any = None) -> tuple:
        """Check rows, targets and weights, and code the targets as the network knows them."""
        X = _validate.features(X, dtype=self.dtype, columns=self.sizes[0])
        values = _validate.encode(y, len(X), self.dtype, self._task)
        return X, values, _validate.weights(sample_weight, class_weight, values, self._task)

    def train(
        self, X: Any, y: Any, *, optimizer: str | Optimizer = "adam",
        learning_rate: float | RateSchedule | None = None, batch_size: int | str = "auto", epochs: int = 200,
        shuffle: bool = True, sample_weight: Any = None, class_weight: str | Mapping[Any, float] | None = None,
        validation: tuple | None = None,
        early_stopping: bool | EarlyStopping | None = None,
        callbacks: Sequence[Callable[[training.EpochState], object]] = (),
        progress: Callable[[training.Progress], None] | None = None, seed: int | None = None,
        n_threads: int | None = None,
    ) -> Network:
        """Train on from where the network stands.

        With the same optimizer and seed as before, two trainings one after the other give bit for bit what one of
        as many epochs gives. Another optimizer begins with a new state.

        Parameters
        ----------
        X : array-like, shape (rows, inputs)
            The features; not copied when C-contiguous and of the network's dtype.
        y : array-like, shape (rows,) or (rows, outputs)
            The targets, coded as the network knows them.
        optimizer, learning_rate, batch_size, epochs, shuffle, early_stopping, callbacks, progress, n_threads
            As in `fastmlp.train`.
        sample_weight, class_weight
            As in `fastmlp.train`.
        validation : tuple of (X, y) or of (X, y, weights), or None, default None
            Rows to validate on.
        seed : int or None, default None
            Seed of shuffling; None takes the network's.

        Returns
        -------
        Network
            The network itself.

        Raises
        ------
        TypeError, ValueError
            If an argument cannot be used; nothing has been changed then.
        """
        X, values, weights = self._checked(X, y, sample_weight, class_weight)
        if validation is not None and not isinstance(validation, (tuple, list)):
            raise TypeError(f"validation: got {validation!r}; rows (X, y) are accepted, which no training has seen")
        seed = self.seed if seed is None else seed
        rows, validation = _validate.split(validation, X, values, weights, self._task, seed)
        optimizer, schedule = self._schedule(
            len(X), self.dtype, optimizer, learning_rate, batch_size, epochs, shuffle, progress, seed, n_threads,
            early_stopping=_validate.early_stopping(early_stopping, self._task, validation[0] is not None),
            callbacks=callbacks,
        )
        return self._fit(
            training.Samples.weighted(*rows), training.Samples.weighted(*validation), optimizer, schedule
        )

    @staticmethod
    def _schedule(
        rows: int, dtype: np.dtype, optimizer: Any, learning_rate: Any, batch_size: Any, epochs: Any, shuffle: Any,
        progress: Any, seed: Any, n_threads: Any, frames: Sequence[int] = (),
        early_stopping: EarlyStopping | None = None, callbacks: Any = (),
    ) -> tuple[Optimizer, training.Schedule]:
        """Check what a training is to do."""
        optimizer = _validate.optimizer(optimizer)
        if rows >= 2**31:
            raise ValueError(f"X: got {rows} rows; fewer than {2**31} are accepted; train on parts of them in turn")
        if progress is not None and not callable(progress):
            raise TypeError(f"progress: got {progress!r}; a callable that takes a fastmlp.Progress is accepted")
        if not isinstance(callbacks, (tuple, list)) or not all(map(callable, callbacks)):
            raise TypeError(f"callbacks: got {callbacks!r}; a list of callables that take a state is accepted")
        return optimizer, training.Schedule(
            epochs=_validate.whole(epochs, "epochs"),
            batch=_validate.batch_size(batch_size, rows, optimizer),
            shuffle=_validate.flag(shuffle, "shuffle"),
            seed=_validate.seed(seed),
            learning_rate=_validate.learning_rate(learning_rate, optimizer, dtype),
            n_threads=None if n_threads is None else _validate.whole(n_threads, "n_threads", maximum=1024),
            most_threads=_backend.default_threads(),
            progress=progress,
            frames=frames,
            early_stopping=early_stopping,
            callbacks=tuple(callbacks),
        )

    def _fit(
        self, samples: training.Samples, validation: training.Samples, optimizer: Optimizer,
        schedule: training.Schedule, **settings: float,
    ) -> Network:
        """Train on checked arrays; `settings` override fields of SETTINGS."""
        if self._state is None or optimizer != self._optimizer:
            before, self._optimizer = self._state, optimizer
            starts = optimizer.starts(schedule.learning_rate.rate)
            self._state = training.OptimizerState(np.repeat(np.array(starts, self.dtype), len(self.params)))
            if before is not None:
                self._state.position["epoch"] = before.position["epoch"]
        else:
            # A loss that was not finite ended the last training at that epoch's start; the next one begins there.
            for name in ("diverged", "batch", "loss_sum", "hits"):
                self._state.position[name] = 0
        # An optimizer's own settings bear the names of SETTINGS; those of another stay 0.
        fields = self._settings(samples.size) | optimizer.settings() | settings
        history = training.train(
            self._kernels, self.params, self._layers, self._state, samples, validation, schedule, fields,
            self._task.loss_parameters,
        )
        self.history = self.history.extended(history)
        training.warn_of_divergence(self._state, self.params)
        return self

    def _outputs(self, X: Any) -> np.ndarray:
        """Compute the output layer's activations, shape (rows, outputs)."""
        if not self._is_as_kernels_read(X):
            X = _validate.features(X, dtype=self.dtype, columns=self.sizes[0])
        rows = len(X)
        outputs = np.empty((rows, self.sizes[-1]), self.dtype)
        batch = _FEW_ROWS if rows <= _FEW_ROWS else _FORWARD_ROWS
        plan = self._forward_plans.get(batch) or self._forward_plans.setdefault(batch, self._plan(batch, batch, batch))
        workspaces = self._workspaces if batch == _FEW_ROWS else []
        try:
            workspace = workspaces.pop()
        except IndexError:
            workspace = training.aligned_empty(plan.workspace, self.dtype)
        if not self._kernels.forward(outputs, self._params, workspace, plan.layers, plan.settings, X, rows):
            _validate.features(X)  # says where it is not finite
        workspaces.append(workspace)
        return outputs

    def _is_as_kernels_read(self, X: Any) -> bool:
        """Tell whether X passes the door as it is, but for its numbers, whose finiteness the kernels look at."""
        if type(X) is not np.ndarray or X.dtype != self.dtype or X.ndim != 2:
            return False
        rows, columns = X.shape
        flags = X.flags
        return rows > 0 and columns == self.sizes[0] and flags.c_contiguous and flags.aligned

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels or numbers.

        Parameters
        ----------
        X : array-like, shape (rows, inputs)
            The features.

        Returns
        -------
        ndarray
            Labels, shape (rows,); or 0 and 1 of multi-label targets, int64, shape (rows, outputs); or numbers, shape
            (rows,) or (rows, outputs) as the targets were.

        Raises
        ------
        TypeError, ValueError
            If `X` cannot be used, such as with another number of columns.
        """
        outputs, task = self._outputs(X), self._task
        if task.classes is not None:
            chosen = (outputs[:, 0] > 0.5).astype(np.intp) if task.outputs == 1 else outputs.argmax(axis=1)
            return task.classes[chosen]
        if task.kind == "multilabel":
            return (outputs > 0.5).astype(np.int64)
        return outputs[:, 0] if task.squeeze else outputs

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict probabilities.

        Parameters
        ----------
        X : array-like, shape (rows, inputs)
            The features.

        Returns
        -------
        ndarray of the network's dtype
            One column a class, in the order of `classes_`; for multi-label targets one column an output.

        Raises
        ------
        TypeError, ValueError
            If `X` cannot be used, or the loss is not one of probabilities.
        """
        if self.loss_name not in ("binary_cross_entropy", "cross_entropy"):
            raise ValueError(
                f"predict_proba: got a network trained with loss {self.loss_name!r}, whose outputs are no "
                "probabilities; 'cross_entropy' or 'binary_cross_entropy' is needed; forward(X)[-1] gives the outputs "
                "as they are"
            )
        outputs = self._outputs(X)
        if self._task.outputs == 1 and self._task.classes is not None:
            return np.concatenate((1 - outputs, outputs), axis=1)
        return outputs

    def forward(self, X: Any) -> list[np.ndarray]:
        """Compute every layer's activations.

        Parameters
        ----------
        X : array-like, shape (rows, inputs)
            The features.

        Returns
        -------
        list of ndarray, shapes (rows, size of the layer)
            h = f(h_below W + b) of each layer, the output layer's last.

        Raises
        ------
        TypeError, ValueError
            If `X` cannot be used.
        """
        X = _validate.features(X, dtype=self.dtype, columns=self.sizes[0])
        below, activations = X, []
        for number in range(len(self.sizes) - 2):
            h = np.empty((len(X), self.sizes[number + 1]), self.dtype)
            bias = self.biases[number] if self._bias else None
            code = ACTIVATIONS[self.activations[number]]
            self._kernels.dense_forward(h, below, self.weights[number], bias, code, len(X), below.shape[1], h.shape[1])
            activations.append(h)
            below = h
        return [*activations, self._outputs(X)]

    def loss(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Compute the objective over rows, penalty included: what training differentiates.

        Parameters
        ----------
        X : array-like, shape (rows, inputs)
            The features.
        y : array-like, shape (rows,) or (rows, outputs)
            The targets.
        sample_weight : array-like, shape (rows,), or None, default None
            A weight a row; the loss of a row counts as often.

        Returns
        -------
        float
            (1/N) Σ_rows loss + (l2 / 2N) Σ W² + (l1 / N) Σ abs(W) with N the number of these rows, or
            the sum of their weights.

        Raises
        ------
        TypeError, ValueError
            If an argument cannot be used.
        """
        return self._evaluate(X, y, sample_weight)[0]

    def _evaluate(self, X: Any, y: Any, sample_weight: Any = None) -> tuple[float, float]:
        """Compute the objective and the fraction classified rightly."""
        samples = training.Samples.weighted(*self._checked(X, y, sample_weight))
        plan = self._plan(len(samples), min(len(samples), _FORWARD_ROWS), samples.size)
        return self._kernels.evaluate(
            self.params, np.zeros(plan.tallies), training.aligned_zeros(plan.workspace, self.dtype),
            plan.layers, plan.slabs, plan.settings, self._task.loss_parameters, samples.x, samples.y, samples.weights,
            len(samples),
        )

    def gradient(self, X: Any, y: Any, sample_weight: Any = None) -> np.ndarray:
        """Compute the gradient of `loss` by every parameter.

        Parameters
        ----------
        X : array-like, shape (rows, inputs)
            The features.
        y : array-like, shape (rows,) or (rows, outputs)
            The targets.
        sample_weight : array-like, shape (rows,), or None, default None
            A weight a row.

        Returns
        -------
        ndarray of the network's dtype, shape (parameters,)
            In the order of `params`.

        Raises
        ------
        TypeError, ValueError
            If an argument cannot be used.
        """
        samples = training.Samples.weighted(*self._checked(X, y, sample_weight))
        plan = self._plan(len(samples), len(samples), samples.size)
        gradient = np.empty_like(self.params)
        self._kernels.gradient(
            gradient, self.params, np.zeros(plan.tallies), training.aligned_zeros(plan.workspace, self.dtype),
            plan.layers, plan.slabs, plan.settings, self._task.loss_parameters, samples.x, samples.y, samples.weights,
            len(samples),
        )
        return gradient

    def score(self, X: Any, y: Any) -> float:
        """Measure accuracy, or R² for regression.

        Parameters
        ----------
        X : array-like, shape (rows, inputs)
            The features.
        y : array-like, shape (rows,) or (rows, outputs)
            The targets.

        Returns
        -------
        float
            The fraction of rows classified rightly (all labels of a row, for multi-label targets); or
            1 - Σ(y - h)² / Σ(y - mean y)², averaged over outputs; of an output that is constant, 1 if it is met
            exactly, else 0.

        Raises
        ------
        TypeError, ValueError
            If an argument cannot be used.
        """
        if self._metric() != _NO_METRIC:
            return self._evaluate(X, y)[1]
        outputs = self._outputs(X).astype(np.float64)
        y = _validate.encode(y, len(outputs), self.dtype, self._task).astype(np.float64)
        residual = ((y - outputs) ** 2).sum(axis=0)
        total = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
        constant = total == 0
        ratios = np.where(constant, (residual > 0).astype(float), residual / np.where(constant, 1, total))
        return float(np.mean(1 - ratios))

    def summary(self) -> str:
        """Describe layers, parameters and the training so far in a few lines of text.

        Returns
        -------
        str
            Lines for people; print it.

        Examples
        --------
        >>> print(Network((2, 3, 1), activation="tanh").summary().splitlines()[2])
          2 -> 3  tanh          9 parameters
        """
        kind = {"real": "regression", "multilabel": "multi-label"}.get(self._task.kind, "classification")
        lines = [f"Network: {kind}, {self.loss_name}, {self.dtype.name}, backend {self.backend}", "layers:"]
        for number, name in enumerate(self.activations):
            inputs, outputs = self.sizes[number : number + 2]
            count = inputs * outputs + (outputs if self._bias else 0)
            lines.append(f"  {f'{inputs} -> {outputs}':<7} {name:<10} {count:>4} parameters".rstrip())
        lines.append(f"{len(self.params)} parameters in all" + ("" if self._bias else ", no biases"))
        if len(self.history):
            accuracy = self.history.accuracy
            lines.append(
                f"trained for {len(self.history)} epochs in {self.history.seconds.sum():.3g} s: "
                f"loss {self.history.loss[-1]:.4g}"
                + ("" if accuracy is None else f", training accuracy {accuracy[-1]:.4g}")
            )
        else:
            lines.append("not trained")
        return "\n".join(lines)

    def save(self, path: Any) -> None:
        """Write the network to a file.

        The file is a safetensors file: parameters and a description, nothing that could be run. The history and the
        optimizer's state are not saved. An existing file is replaced once the new one is whole.

        Parameters
        ----------
        path : str or path-like
            Where to.

        Raises
        ------
        TypeError
            If `metadata` is not a dict of str to str, or labels are of a kind that JSON has no form for.
        OSError
            If the file cannot be written.
        """
        from fastmlp import _files  # here: only files need safetensors, a tenth of what importing fastmlp would take

        notes = self.metadata
        if not isinstance(notes, dict) or not all(isinstance(text, str) for pair in notes.items() for text in pair):
            raise TypeError(f"metadata: got {notes!r}; a dict of str to str is accepted")
        task = self._task
        description = {
            "sizes": list(self.sizes), "activations": list(self.activations), "loss": self.loss_name,
            "output": task.output, "bias": self._bias, "l1": self.l1, "l2": self.l2, "kind": task.kind,
            "loss_parameters": list(task.loss.parameters), "squeeze": task.squeeze, "classes": task.classes,
            "seed": self.seed, "metadata": self.metadata,
        }
        _files.write(path, self.params, description)


def train(
    X: Any, y: Any, *, hidden: int | Sequence[int] = (100,), activation: str | Sequence[str] = "relu",
    loss: str | Loss | None = None, output: str | None = None, optimizer: str | Optimizer = "adam",
    learning_rate: float | RateSchedule | None = None, l1: float = 0.0, l2: float = 0.0, bias: bool = True,
    init: str | Any = "glorot_uniform", bias_init: float | None = None, batch_size: int | str = "auto",
    epochs: int = 200, shuffle: bool = True,
    sample_weight: Any = None, class_weight: str | Mapping[Any, float] | None = None,
    validation: float | tuple | None = None, early_stopping: bool | EarlyStopping | None = None,
    callbacks: Sequence[Callable[[training.EpochState], object]] = (),
    progress: Callable[[training.Progress], None] | None = None, seed: int | None = None, dtype: Any = None,
    n_threads: int | None = None, backend: str | None = None,
) -> Network:
    """Train a multilayer perceptron.

    The objective is (1/N) Σ_rows loss + (l2 / 2N) Σ W² + (l1 / N) Σ abs(W) with N the number of rows; every step
    follows its gradient over a batch. A loss sums over outputs; squared error is ½ Σ (y - h)² a row.

    Parameters
    ----------
    X : array-like, shape (rows, inputs)
        The features, finite numbers. Not copied when C-contiguous and of the chosen dtype.
    y : array-like, shape (rows,) or (rows, outputs)
        Labels of any kind (integers, bools, strings), one-hot or multi-label rows of 0 and 1, or numbers (floats).
    hidden : int or sequence of int, default (100,)
        Sizes of the hidden layers; () makes a linear model.
    activation : str or sequence of str, default "relu"
        One for all hidden layers or one each: identity, sigmoid, tanh, relu,
        leaky_relu, elu, selu, softplus.
    loss : str, Loss or None, default None
        squared_error, absolute_error, huber, quantile, log_cosh, poisson, gamma, binary_cross_entropy or cross_entropy,
        or one with settings of its own, such as ``fastmlp.losses.quantile(0.1, 0.9)``. None takes cross-entropy for
        labels (one sigmoid output and binary cross-entropy for two classes and for multi-label rows), squared error
        for floats.
    output : str or None, default None
        The output activation; None takes the loss's own. squared_error allows sigmoid.
    optimizer : str or Optimizer, default "adam"
        The optimizer, such as ``fastmlp.SGD(momentum=0.9)``, or the name of one with its defaults: sgd, adam, amsgrad,
        adamw, nadam, rmsprop, adagrad, adadelta, lion, rprop.
    learning_rate : float, RateSchedule or None, default None
        A number, or a schedule such as ``fastmlp.schedules.Cosine(0.01)``. None takes the optimizer's own, such as
        0.001 for Adam and 0.01 for SGD.
    l1, l2 : float, default 0.0
        The penalties' factors.
    bias : bool, default True
        Whether layers have biases.
    init : str or array-like, default "glorot_uniform"
        What the weights start with: glorot_uniform, glorot_normal, he_uniform, he_normal, lecun_uniform, lecun_normal,
        orthogonal, article (`fastmlp.initialization` has the formulas), or all parameters in one vector.
    bias_init : float or None, default None
        What the biases start with; None draws them like the weights.
    batch_size : int, "full" or "auto", default "auto"
        Rows of a batch; "auto" is 200, or all rows where there are fewer. More than all rows means all.
    epochs : int, default 200
        Passes over the rows.
    shuffle : bool, default True
        Whether each epoch takes the rows in a new order. With one batch an epoch there is no order.
    sample_weight : array-like, shape (rows,), or None, default None
        A weight a row: its loss counts as often, in the training and in what is measured. The sum of the weights stands
        for N.
    class_weight : "balanced", mapping of label to weight, or None, default None
        A weight a class, 1 for those that are not named; "balanced" weighs all classes alike.
    validation : float, tuple of (X, y) or of (X, y, weights), or None, default None
        Rows to validate on after every epoch: rows of their own, or a share of these, such as 0.2, drawn at random, of
        every class as many as of all. Drawn rows are not trained on; both parts are then copies.
    early_stopping : bool, EarlyStopping or None, default None
        When to stop before the last epoch; True stops where the validation loss has not improved for 10 epochs, and
        goes back to the best weights.
    callbacks : sequence of callable, default ()
        Called after every epoch with a `training.EpochState`, in order; one that returns True stops the training.
    progress : callable or None, default None
        Called about twenty times a second with a `Progress`.
    seed : int or None, default None
        Seed of the initial weights and the order; None draws one, which ``net.seed`` tells.
    dtype : float32, float64 or None, default None
        None keeps float32 features and takes float64 for all others.
    n_threads : int or None, default None
        None uses the CPUs that this process may use, as far as the work is worth it, and at most FASTMLP_NUM_THREADS
        and OMP_NUM_THREADS; a number is taken as it is. The result does not depend on it, bit for bit.
    backend : str or None, default None
        ``"reference"`` (NumPy), an instruction set (see `show_config`), or None for the build in use.

    Returns
    -------
    Network
        The trained network; ``net.history`` tells what happened.

    Raises
    ------
    TypeError, ValueError
        If an argument cannot be used; the message names it, what came and what is accepted.

    Warns
    -----
    DivergenceWarning
        If the loss stops being finite: training ends there, and that step is not taken. The weights are those before
        it; the message says if the step before has overflowed already.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = fastmlp.datasets.moons(200, noise=0.1, seed=0)
    >>> net = fastmlp.train(X, y, hidden=16, learning_rate=0.01, epochs=300, seed=0)
    >>> net.score(X, y) > 0.98
    True
    """
    dtype = _validate.floating(dtype)
    X = _validate.features(X, dtype=dtype)
    targets = _validate.targets(y, len(X), X.dtype, loss=loss, output=output)
    seed = _validate.seed(seed)
    weights = _validate.weights(sample_weight, class_weight, targets.values, targets.task)
    rows, validation = _validate.split(validation, X, targets.values, weights, targets.task, seed)
    optimizer, schedule = Network._schedule(
        len(rows[0]), X.dtype, optimizer, learning_rate, batch_size, epochs, shuffle, progress, seed, n_threads,
        early_stopping=_validate.early_stopping(early_stopping, targets.task, validation[0] is not None),
        callbacks=callbacks,
    )
    network = Network._for_task(
        X.shape[1], hidden, targets.task, activation=activation, bias=bias, l1=l1, l2=l2,
        seed=seed, dtype=X.dtype, backend=backend, init=init, bias_init=bias_init,
    )
    return network._fit(
        training.Samples.weighted(*rows), training.Samples.weighted(*validation), optimizer, schedule
    )
