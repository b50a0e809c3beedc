"""Network: topology, parameters and their views, training, prediction, files.

Imports everything to its left: the door, the layout, the backend, the training loop. `_interface`, the article,
diagnostics, plotting and the command line import it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastmlp import _backend, _layout, _measuring, _validate, divergence, initialization, lbfgs, training
from fastmlp._watch import EpochState, Progress
from fastmlp._windows import SparseRows
from fastmlp.activations import ACTIVATIONS, KEPT_ACTIVATIONS
from fastmlp.history import History
from fastmlp.losses import Loss
from fastmlp.metrics import METRICS, Metric
from fastmlp.optimizers import LBFGS, Optimizer
from fastmlp.schedules import RateSchedule
from fastmlp.stopping import EarlyStopping

_NO_METRIC, _LARGEST, _THRESHOLD, _SIGN = range(4)  # as the kernels number them
_FORWARD_ROWS = 256  # rows that go through the layers together where there is no batch
_SAMPLED_ROWS, _SAMPLED_NUMBERS = 256, 1 << 16  # of the training rows, that diagnostics look at the layers with
_UNJOINED = 1024  # histories of a stream's chunks that are kept apart
_FEW_ROWS = 8  # up to which a prediction has a plan of its own, whose workspace is small enough to be kept


class Network:
    """A multilayer perceptron: layers z = h W + b, h = f(z).

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden sizes, outputs: at least two numbers.
    activation : str or sequence of str, default "relu"
        The hidden layers' activation, one for all or one each, as in `fastmlp.train`.
    loss : str or Loss, default "squared_error"
        As in `fastmlp.train`.
    label_smoothing, dropout, missing_targets
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
        output: str | None = None, label_smoothing: float = 0.0, bias: bool = True, l1: float = 0.0, l2: float = 0.0,
        dropout: float | Sequence[float] = 0.0, init: str | Any = "glorot_uniform", bias_init: float | None = None,
        classes: Any = None, missing_targets: str = "error", seed: int | None = None, dtype: Any = np.float64,
        backend: str | None = None,
    ) -> None:
        sizes = _validate.hidden_sizes(sizes, "sizes")
        if len(sizes) < 2:
            raise ValueError(f"sizes: got {sizes}; inputs and outputs at least are needed, such as (2, 3, 1)")
        task = _validate.task(
            loss, sizes[-1], output=output, classes=classes, label_smoothing=label_smoothing,
            missing_targets=missing_targets,
        )
        self._set_up(
            sizes[0], sizes[1:-1], task, activation=activation, bias=bias, l1=l1, l2=l2, dropout=dropout, seed=seed,
            dtype=dtype, backend=backend, init=init, bias_init=bias_init,
        )

    @classmethod
    def _for_task(cls, inputs: int, hidden: Any, task: _validate.Task, **options: Any) -> Network:
        """Make a network for targets that have been looked at."""
        network = cls.__new__(cls)
        network._set_up(inputs, hidden, task, **options)
        return network

    def _set_up(
        self, inputs: int, hidden: Any, task: _validate.Task, *, activation: Any, bias: Any, l1: Any, l2: Any,
        dropout: Any, seed: Any, dtype: Any, backend: Any, init: Any = "glorot_uniform", bias_init: Any = None,
    ) -> None:
        if backend is not None:
            _backend.resolve(backend)
        hidden = _validate.hidden_sizes(hidden)
        self.sizes: tuple[int, ...] = (inputs, *hidden, task.outputs)
        self.activations: tuple[str, ...] = (*_validate.activations(activation, len(hidden)), task.output)
        self._task = task
        self._bias = _validate.flag(bias, "bias")
        self.l1, self.l2 = _validate.number(l1, "l1"), _validate.number(l2, "l2")
        self._dropout = _validate.dropout(dropout, len(hidden))
        self.dtype = _validate.floating(dtype) or np.dtype(np.float64)
        self.seed = _validate.seed(seed)
        self._lay_out()
        self._use(backend)
        self._histories: list[History] = [History()]
        self._last_history = History()
        self._sample: np.ndarray | None = None
        self._loss_share = 1.0  # of the loss that is written down: 1 / outputs where scikit-learn takes their mean
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
        own = ("_kernels", "_forward_plans", "_workspaces", "_layers", "_sample", "backend", "weights", "biases")
        return {name: value for name, value in vars(self).items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take parameters of one's own, and the kernels of this machine."""
        vars(self).update(state)
        self._sample = None
        self._lay_out(self._params)
        self._use(self._asked_backend)

    def _lay_out(self, values: np.ndarray | None = None) -> None:
        """Allocate the parameter vector and make the views of it."""
        self._layers = _layout.network_layers(
            self.sizes, [ACTIVATIONS[name] for name in self.activations], self._bias,
            [name in KEPT_ACTIVATIONS for name in self.activations[:-1]], self._dropout,
        )
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
    def dropout(self) -> tuple[float, ...]:
        """The share of units that a step leaves out of each hidden layer; may be set, as `fastmlp.train` takes it."""
        return self._dropout

    @dropout.setter
    def dropout(self, shares: float | Sequence[float]) -> None:
        self._dropout = _validate.dropout(shares, len(self.sizes) - 2)
        self._lay_out(self._params)
        self._use(self._asked_backend)

    @property
    def history(self) -> History:
        """What happened in all trainings so far."""
        self._join_histories()  # when somebody looks: a stream leaves thousands
        return self._histories[0]

    @history.setter
    def history(self, history: History) -> None:
        self._histories = [history]

    def _join_histories(self) -> None:
        if len(self._histories) > 1:
            self._histories[:] = [self._histories[0].extended(*self._histories[1:])]

    @property
    def last_history(self) -> History:
        """What happened in the last training."""
        return self._last_history

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
            return _SIGN if self.loss_name == "hinge" else _THRESHOLD
        return _LARGEST

    def _settings(self, size: float) -> dict[str, float]:
        """List the fields of SETTINGS that come of the network; `size` is N of the objective."""
        return {
            "loss": self._task.loss.code, "metric": self._metric(), "l1": self.l1 / size, "l2": self.l2 / size,
            "loss_share": self._loss_share,
        }

    def _plan(self, rows: int, batch: int, size: float, **settings: float) -> _layout.Plan:
        settings = self._settings(size) | settings
        return _layout.plan(self._layers, self._kernels.sizes(), batch=batch, rows=rows, **settings)

    def _checked(self, X: Any, y: Any, sample_weight: Any, class_weight: Any = None) -> tuple:
        """Check rows, targets and weights, and code the targets as the network knows them."""
        if not isinstance(X, SparseRows):  # which the estimators have checked
            X = _validate.features(X, dtype=self.dtype, columns=self.sizes[0])
        values = _validate.encode(y, len(X), self.dtype, self._task)
        return X, values, _validate.weights(sample_weight, class_weight, values, self._task)

    def train(
        self, X: Any, y: Any, *, optimizer: str | Optimizer = "adam",
        learning_rate: float | RateSchedule | None = None, clip_norm: float | None = None,
        clip_value: float | None = None, max_norm: float | None = None, batch_size: int | str = "auto",
        epochs: int = 200, shuffle: bool | Callable[[int], Any] = True, average: str = "rows",
        sample_weight: Any = None,
        class_weight: str | Mapping[Any, float] | None = None, validation: tuple | None = None,
        early_stopping: bool | EarlyStopping | None = None,
        metrics: Sequence[str | Metric | Callable[..., float]] = (),
        callbacks: Sequence[Callable[[EpochState], object]] = (),
        progress: bool | Callable[[Progress], None] | None = None, on_divergence: str = "warn",
        seed: int | None = None, n_threads: int | None = None,
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
        optimizer, learning_rate, clip_norm, clip_value, max_norm, batch_size, epochs, shuffle, average
            As in `fastmlp.train`.
        sample_weight, class_weight, early_stopping, metrics, callbacks, progress, on_divergence, n_threads
            As in `fastmlp.train`.
        validation : tuple of (X, y) or of (X, y, weights), or None, default None
            Rows to validate on.
        seed : int or None, default None
            Seed of shuffling and of dropout; None takes the network's.

        Returns
        -------
        Network
            The network itself.

        Raises
        ------
        TypeError, ValueError
            If an argument cannot be used; nothing has been changed then.
        DivergenceError
            If the loss stops being finite and that is to be an error; the last good weights have come back then.
        """
        X, values, weights = self._checked(X, y, sample_weight, class_weight)
        if validation is not None and not isinstance(validation, (tuple, list)):
            raise TypeError(f"validation: got {validation!r}; rows (X, y) are accepted, which no training has seen")
        seed = self.seed if seed is None else seed
        rows, validation = _validate.split(validation, X, values, weights, self._task, seed)
        samples, checked = (training.Samples.weighted(*part) for part in (rows, validation))
        optimizer, schedule, settings = self._arranged(
            self._task, self.dtype, self.dropout, samples, checked, optimizer=optimizer,
            learning_rate=learning_rate, clip_norm=clip_norm,
            clip_value=clip_value, max_norm=max_norm, batch_size=batch_size, epochs=epochs, shuffle=shuffle,
            average=average, early_stopping=early_stopping, metrics=metrics, callbacks=callbacks, progress=progress,
            seed=seed, n_threads=n_threads,
        )
        _validate.choice(on_divergence, ("warn", "raise"), "on_divergence")
        return self._fit(samples, checked, optimizer, schedule, on_divergence=on_divergence, **settings)

    def partial_train(
        self, X: Any, y: Any, *, optimizer: str | Optimizer | None = None,
        learning_rate: float | RateSchedule | None = None, batch_size: int | str = "auto", **options: Any,
    ) -> Network:
        """Train for one pass over a chunk of rows, for streams.

        The optimizer's state, the schedule of the rate and the history go on from chunk to chunk. N of the penalties is
        the number of the chunk's rows.

        Parameters
        ----------
        X : array-like, shape (rows, inputs)
            The chunk's features.
        y : array-like, shape (rows,) or (rows, outputs)
            Its targets. Classes must be known to the network: pass ``classes`` where it is made.
        optimizer : str, Optimizer or None, default None
            None takes the one that trained last, Adam at the beginning.
        learning_rate : float, RateSchedule or None, default None
            None takes the one that this optimizer had last, its own at the beginning.
        batch_size : int, "full" or "auto", default "auto"
            Rows of a step.
        **options
            As `train` takes them, but for ``epochs``; ``class_weight`` as a dict, since a chunk has not the classes'
            shares of the stream.

        Returns
        -------
        Network
            The network itself.

        Raises
        ------
        TypeError, ValueError
            If an argument cannot be used; nothing has been changed then.

        Examples
        --------
        >>> import fastmlp
        >>> X, y = fastmlp.datasets.moons(600, seed=0)
        >>> net = Network((2, 16, 1), loss="binary_cross_entropy", seed=0)
        >>> for first in range(0, 600, 100):
        ...     _ = net.partial_train(X[first : first + 100], y[first : first + 100], batch_size=20)
        >>> len(net.history), int(net.history.loss[-1] < net.history.loss[0])
        (6, 1)
        """
        if "epochs" in options:
            raise TypeError("epochs: got it for one pass over a chunk; leave it out, or call train")
        if options.get("class_weight") == "balanced":
            raise ValueError(
                "class_weight: got 'balanced' for a chunk, whose shares of the classes are not the stream's; a dict of "
                "label to weight is accepted"
            )
        chosen = _validate.optimizer((self._optimizer or "adam") if optimizer is None else optimizer)
        if learning_rate is None and chosen == self._optimizer and not chosen.searches_step:
            learning_rate = self._state.schedule
        return self.train(
            X, y, optimizer=chosen, learning_rate=learning_rate, batch_size=batch_size, epochs=1, **options
        )

    @staticmethod
    def _schedule(
        rows: int, dtype: np.dtype, optimizer: Any, learning_rate: Any, batch_size: Any, epochs: Any, shuffle: Any,
        progress: Any, seed: Any, n_threads: Any, **further: Any,
    ) -> tuple[Optimizer, training.Schedule]:
        """Check how a training is to run; `further` fields of the schedule have been checked."""
        optimizer = _validate.optimizer(optimizer)
        if optimizer.searches_step:
            lbfgs.minimizer()  # says what to install before anything is changed
        shuffled, orders = _validate.order(shuffle)
        if rows >= 2**31:
            raise ValueError(f"X: got {rows} rows; fewer than {2**31} are accepted; train on parts of them in turn")
        return optimizer, training.Schedule(
            epochs=_validate.whole(epochs, "epochs"),
            batch=_validate.batch_size(batch_size, rows, optimizer),
            shuffle=shuffled, orders=orders,
            seed=_validate.seed(seed),
            learning_rate=_validate.learning_rate(learning_rate, optimizer, dtype),
            n_threads=None if n_threads is None else _validate.whole(n_threads, "n_threads", maximum=1024),
            most_threads=_backend.default_threads(),
            progress=_validate.progress(progress),
            note_all=optimizer.searches_step,
            **further,
        )

    @staticmethod
    def _arranged(
        task: _validate.Task, dtype: np.dtype, dropout: tuple[float, ...], samples: training.Samples,
        validation: training.Samples, *, clip_norm: Any, clip_value: Any, max_norm: Any, early_stopping: Any,
        metrics: Any, callbacks: Any, average: Any, **running: Any,
    ) -> tuple[Optimizer, training.Schedule, dict[str, float]]:
        """Check how a training is to run and who looks at it; the last part are fields of SETTINGS."""
        weighted, validated = samples.weights is not None or validation.weights is not None, len(validation) > 0
        chosen = _validate.metrics(metrics, task, weighted)
        prefixes = ("", "val_") if validated else ("",)
        names = {
            f"{prefix}{metric.name}": metric.rises
            for prefix in prefixes for metric in chosen if prefix or metric.training
        }  # fmt: skip
        always = ("loss",) if task.kind == "real" else ("loss", "accuracy")
        measured = (*(f"{prefix}{name}" for prefix in prefixes for name in always), "gradient_norm", *names)
        optimizer, schedule = Network._schedule(
            len(samples), dtype, **running, metrics=chosen, metric_names=names,
            early_stopping=_validate.early_stopping(early_stopping, task, validated, chosen),
            callbacks=_validate.callbacks(callbacks, measured),
        )
        _validate.monitored(schedule.learning_rate, measured)
        settings = _validate.clipping(clip_norm, clip_value, max_norm, optimizer, dropout)
        own = _validate.choice(average, ("rows", "batch"), "average") == "batch"
        return optimizer, schedule, settings | {"own_average": own}

    def _fit(
        self, samples: training.Samples, validation: training.Samples, optimizer: Optimizer,
        schedule: training.Schedule, on_divergence: str = "warn", **settings: float,
    ) -> Network:
        """Train on checked arrays; `settings` override fields of SETTINGS."""
        if self._state is None or optimizer != self._optimizer or self._state.lost or self._state.reset:
            before, self._optimizer = self._state, optimizer
            starts = optimizer.starts(schedule.learning_rate.rate)
            self._state = training.OptimizerState(np.repeat(np.array(starts, self.dtype), len(self.params)))
            if before is not None:
                self._state.position["epoch"] = before.position["epoch"]
                self._state.remembered = before.remembered
        else:
            # A loss that was not finite ended the last training at that epoch's start; the next one begins there.
            for name in ("diverged", "batch", "loss_sum", "hits"):
                self._state.position[name] = 0
        schedule.network = self
        if schedule.metrics:
            parts = {"": samples} | ({"val_": validation} if len(validation) else {})
            schedule.measure = lambda: _measuring.measure(schedule.metrics, self._outputs, parts, self._task)
        # An optimizer's own settings bear the names of SETTINGS; those of another stay 0.
        own = settings.get("own_average", False)  # the batches' own weights are then what N stands for
        fields = self._settings(samples.size / len(samples) if own else samples.size) | optimizer.settings() | settings
        arguments = (
            self._kernels, self.params, self._layers, self._state, samples, validation, schedule, fields,
            self._task.loss_parameters,
        )
        last = self._histories[-1]
        try:
            if isinstance(optimizer, LBFGS):
                diverged = lbfgs.train(*arguments, histories=self._histories, optimizer=optimizer)
            else:
                diverged = training.train(*arguments, histories=self._histories)
        finally:
            if self._histories[-1] is not last:  # it has begun
                self._last_history = self._histories[-1]
        if len(self._histories) > _UNJOINED:
            self._join_histories()
        rows = max(1, min(len(samples), _SAMPLED_ROWS, _SAMPLED_NUMBERS // self.sizes[0]))
        self._sample = samples.x[:: len(samples) // rows][:rows].copy()
        if diverged is not None:
            self._state.lost = diverged.state_lost
            usual = optimizer.default_learning_rate
            why = divergence.explain(diverged, self._layers, fields, samples.x, samples.y, usual)
            divergence.announce(divergence.report(diverged, why), on_divergence, self)
        return self

    def _go_on_from(self, other: Network) -> None:
        """Take over where another network of the same sizes stands: optimizer, its state, history."""
        self._optimizer, self._state = other._optimizer, other._state
        self._histories, self._last_history = other._histories, other._last_history

    def _remember_schedule(self) -> None:
        """Let the next training's schedule go on with what this one's remembers of the epochs, but for the rate."""
        if self._state is not None:
            self._state.remembered = (self._state.schedule, self._state.memory)

    def reset_optimizer(self) -> None:
        """Let the next training begin with a new state of the optimizer, and with its schedule's first rate.

        The history and the number of epochs go on. Another optimizer begins with a new state by itself.

        Examples
        --------
        >>> Network((2, 3, 1)).reset_optimizer()
        """
        if self._state is not None:
            self._state.reset = True

    def _outputs(self, X: Any) -> np.ndarray:
        """Compute the output layer's activations, shape (rows, outputs)."""
        if isinstance(X, SparseRows):
            return np.concatenate([self._outputs(block) for block in X.blocks()])
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
        return _measuring.predictions(_measuring.codes_of_outputs(self._outputs(X), self._task), self._task)

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
            In the order of `params`; without dropout and clipping.

        Raises
        ------
        TypeError, ValueError
            If an argument cannot be used.
        """
        return self._objective_and_gradient(X, y, sample_weight)[1]

    def _objective_and_gradient(
        self, X: Any, y: Any, sample_weight: Any = None, dropping: bool = False
    ) -> tuple[float, np.ndarray]:
        """Compute the objective and its gradient; `dropping`: without the units that the first epoch leaves out."""
        samples = training.Samples.weighted(*self._checked(X, y, sample_weight))
        plan = self._plan(len(samples), len(samples), samples.size, dropping=int(dropping), seed=self.seed)
        gradient = np.empty_like(self.params)
        objective = self._kernels.gradient(
            gradient, self.params, np.zeros(plan.tallies), training.aligned_zeros(plan.workspace, self.dtype),
            plan.layers, plan.slabs, plan.settings, self._task.loss_parameters, samples.x, samples.y, samples.weights,
            len(samples),
        )
        return objective, gradient

    def score(
        self, X: Any, y: Any, sample_weight: Any = None, *, metric: str | Metric | Callable[..., float] | None = None
    ) -> float:
        """Measure accuracy, R² for regression, or what is asked for.

        Parameters
        ----------
        X : array-like, shape (rows, inputs)
            The features.
        y : array-like, shape (rows,) or (rows, outputs)
            The targets.
        sample_weight : array-like, shape (rows,), or None, default None
            A weight a row.
        metric : str, Metric, callable or None, default None
            A name of `fastmlp.metrics.METRICS` (accuracy, balanced_accuracy, f1, roc_auc, mse, mae, r2), a callable
            that takes the targets and what `predict` gives, or a `fastmlp.metrics.Metric`. None takes accuracy or r2.

        Returns
        -------
        float
            By default the fraction of rows classified rightly (all labels of a row, for multi-label targets); or
            1 - Σ(y - h)² / Σ(y - mean y)², averaged over outputs; of an output that is constant, 1 if it is met
            exactly, else 0.

        Raises
        ------
        TypeError, ValueError
            If an argument cannot be used.
        """
        if metric is None and self._metric() != _NO_METRIC:
            return self._evaluate(X, y, sample_weight)[1]
        X, values, weights = self._checked(X, y, sample_weight)
        if metric is None:
            chosen = METRICS["r2"]
            values = values[:, :: self._task.loss.outputs_per_target]
            values = np.repeat(values, self._task.loss.outputs_per_target, axis=1)
            return float(chosen.function(values, self._outputs(X), weights))
        (chosen,) = _validate.metrics([metric], self._task, weights is not None, "metric")
        return _measuring.measured(chosen, values, self._outputs(X), weights, self._task)

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
            "dropout": list(self.dropout), "missing": task.missing,
            "seed": self.seed, "metadata": self.metadata,
        }
        _files.write(path, self.params, description)
