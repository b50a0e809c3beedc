"""Network: topology, parameters and their views, training, prediction, files."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Any

import numpy as np

from fastmlp._checks import arrays, targets
from fastmlp._checks import options as checks
from fastmlp._checks.samples import Samples, checked_weights, split
from fastmlp._checks.sparse import SparseRows
from fastmlp._checks.task import task
from fastmlp._checks.topology import Topology, checked_seed, hidden_sizes
from fastmlp._checks.warn import warn_caller
from fastmlp._engine import derivatives
from fastmlp._engine.prediction import is_as_kernels_read
from fastmlp._spec.elsewhere import keywords
from fastmlp._spec.shown import Text, counted, table
from fastmlp._spec.values import shown, typed
from fastmlp._training import fit, model, watch
from fastmlp.activations import ACTIVATIONS
from fastmlp.callbacks import EpochState, Progress
from fastmlp.history import History
from fastmlp.losses import Loss
from fastmlp.metrics import METRICS, Metric
from fastmlp.optimizers import Optimizer
from fastmlp.schedules import RateSchedule
from fastmlp.stopping import EarlyStopping


def _forwarded(path: str, doc: str, *, assigned: str | None = None) -> Any:
    """Make a property that reads a part of a network; the model takes what is `assigned` under that name."""

    def assign(network: Network, value: Any) -> None:
        network._model.assign(assigned, value)

    return property(attrgetter(path), assign if assigned else None, doc=doc)


@keywords()
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
        The labels, one a class; None numbers them. A single one is predicted for every row.
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
    feature_names_in_ : ndarray of str
        The names of the columns of the data frame that was trained on first; not there if they had none.
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
        self,
        sizes: Sequence[int],
        *,
        activation: str | Sequence[str] = "relu",
        loss: str | Loss = "squared_error",
        output: str | None = None,
        label_smoothing: float = 0.0,
        bias: bool = True,
        l1: float = 0.0,
        l2: float = 0.0,
        dropout: float | Sequence[float] | Callable[[int], float | Sequence[float]] = 0.0,
        init: str | Any = "glorot_uniform",
        bias_init: float | None = None,
        classes: Any = None,
        missing_targets: str = "error",
        seed: int | None = None,
        dtype: Any = np.float64,
        backend: str | None = None,
    ) -> None:
        sizes = hidden_sizes(sizes, "sizes")
        if len(sizes) < 2:
            raise ValueError(f"sizes: got {sizes}; at least inputs and outputs are needed, such as (2, 3, 1)")
        known = task(
            loss,
            sizes[-1],
            output=output,
            classes=classes,
            label_smoothing=label_smoothing,
            missing_targets=missing_targets,
        )
        self._set_up(
            Topology(
                sizes[0],
                known,
                sizes[1:-1],
                activation=activation,
                bias=bias,
                l1=l1,
                l2=l2,
                dropout=dropout,
                seed=seed,
                dtype=dtype,
                backend=backend,
                init=init,
                bias_init=bias_init,
            )
        )

    @classmethod
    def _of(cls, topology: Topology, parameters: np.ndarray | None = None) -> Network:
        network = cls.__new__(cls)
        network._set_up(topology, parameters)
        return network

    def _set_up(self, topology: Topology, parameters: np.ndarray | None = None) -> None:
        self._model, self._record = model.Model(topology, parameters), fit.Record()
        self.metadata: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Copy the numbers between two kernel calls, if another thread trains the network."""
        with self._model.access.reading:
            return vars(self) | {"_model": copy.deepcopy(self._model), "_record": copy.deepcopy(self._record)}

    sizes: tuple[int, ...] = _forwarded("_model.sizes", "The layers' sizes, inputs first.")
    activations: tuple[str, ...] = _forwarded("_model.activations", "The activation of each layer, output last.")
    weights: tuple[np.ndarray, ...] = _forwarded(
        "_model.weights",
        "Views of `params`, shapes (in, out); read from another thread during training, they may show half a step.",
    )
    biases: tuple[np.ndarray, ...] = _forwarded(
        "_model.biases", "Views of `params`, shapes (out,); empty without biases."
    )
    l1: float = _forwarded(
        "_model.topology.l1", "The factor of the penalty on magnitudes; may be assigned.", assigned="l1"
    )
    l2: float = _forwarded(
        "_model.topology.l2", "The factor of the penalty on squares; may be assigned.", assigned="l2"
    )
    dtype: np.dtype = _forwarded("_model.dtype", "The dtype of parameters and arithmetic.")
    seed: int = _forwarded("_model.topology.seed", "The seed in use.")
    backend: str = _forwarded("_model.backend", "The build of the kernels that computes.")
    last_history: History = _forwarded("_record.last_history", "What happened in the last training run.")
    classes_: np.ndarray | None = _forwarded(
        "_model.task.classes", "The labels, one per class; None for regression and multi-label targets."
    )
    loss_name: str = _forwarded("_model.task.loss.name", "The name of the loss.")

    # What may be assigned in other types than it is read in has its two methods.

    @property
    def params(self) -> np.ndarray:
        """All parameters in one vector: W then b, layer by layer. What is assigned is copied into it."""
        return self._model.params

    @params.setter
    def params(self, values: Any) -> None:
        self._model.assign("params", values)

    @property
    def dropout(self) -> tuple[float, ...] | Callable[[int], float | Sequence[float]]:
        """The fraction of units that a step leaves out of each hidden layer, or the callable; may be assigned.

        A network is pickled with its callable, which pickle has to accept.
        """
        return self._model.topology.dropout

    @dropout.setter
    def dropout(self, fractions: float | Sequence[float] | Callable[[int], float | Sequence[float]]) -> None:
        self._model.assign("dropout", fractions)

    @property
    def feature_names_in_(self) -> np.ndarray:
        """The names of the columns of the data frame that was trained on first, as scikit-learn has them.

        From then on all methods refuse columns of other names or in another order, and warn if there are no names.
        """
        if not self._record.feature_names:
            raise AttributeError(
                "feature_names_in_: the network was not trained on a data frame whose columns have names"
            )
        return np.array(self._record.feature_names, object)

    @property
    def history(self) -> History:
        """What happened in all training runs so far."""
        return self._record.history

    @history.setter
    def history(self, history: History) -> None:
        if not isinstance(history, History):
            raise TypeError(f"history: got {typed(history)}; a History is accepted")
        self._record.histories = [history]

    def __repr__(self) -> str:
        return f"Network({self.sizes}, activations={self.activations}, loss={self.loss_name!r}, {self.dtype.name})"

    def _features(self, X: Any, windows: bool = False) -> Any:
        """Check rows, and the names of their columns."""
        names = self._record.feature_names
        return arrays.features(X, dtype=self.dtype, columns=self.sizes[0], names=names, windows=windows)

    def _checked(self, X: Any, y: Any, sample_weight: Any, windows: bool = False) -> tuple:
        """Check rows, targets and weights, and code the targets as the network knows them."""
        known, X = self._model.task, self._features(X, windows)
        values = targets.encode(y, len(X), self.dtype, known)
        return X, values, checked_weights(sample_weight, values, known)

    def _samples(self, X: Any, y: Any, sample_weight: Any, of_classes: np.ndarray | None = None) -> Samples:
        return Samples.weighted(*self._checked(X, y, sample_weight), of_classes)

    @keywords()
    def train(
        self,
        X: Any,
        y: Any,
        *,
        optimizer: str | Optimizer = "adam",
        learning_rate: float | RateSchedule | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        max_norm: float | None = None,
        batch_size: int | str = "auto",
        epochs: int = 200,
        shuffle: bool | Callable[[int], Any] = True,
        average: str = "rows",
        sample_weight: Any = None,
        class_weight: str | Mapping[Any, float] | None = None,
        validation: tuple | None = None,
        early_stopping: bool | EarlyStopping | None = None,
        metrics: Sequence[str | Metric | Callable[..., float]] = (),
        callbacks: Sequence[Callable[[EpochState], object]] = (),
        progress: bool | Callable[[Progress], None] | None = None,
        on_divergence: str = "warn",
        seed: int | None = None,
        n_threads: int | None = None,
    ) -> Network:
        """Train on from where the network stands.

        With the same optimizer and seed as before, two trainings one after the other give bit for bit what one of
        as many epochs gives. Another optimizer begins with a new state.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (rows, inputs)
            The features, as in `fastmlp.train`; not copied when C-contiguous and of the network's dtype.
        y : array-like, shape (rows,) or (rows, outputs)
            The targets, coded as the network knows them.
        optimizer, learning_rate, clip_norm, clip_value, max_norm, batch_size, epochs, shuffle, average
            As in `fastmlp.train`.
        sample_weight, class_weight, early_stopping, metrics, callbacks, progress, on_divergence, n_threads
            As in `fastmlp.train`.
        validation : tuple of (X, y) or of (X, y, weights), or None, default None
            Rows to validate on; their classes weigh as those of the training rows.
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
            If the training run diverges and that is to be an error; the last good weights have come back then.
        """
        rows = self._checked(X, y, sample_weight, windows=True)
        if validation is not None and not isinstance(validation, (tuple, list)):
            raise TypeError(
                f"validation: got {shown(validation)}; rows (X, y) are accepted, which no training run has seen"
            )
        seed = self.seed if seed is None else checked_seed(seed)
        names = self._record.feature_names
        names = arrays.column_names(X) if names is None else names
        samples, checked = split(validation, rows, self._model.task, seed, class_weight, names)
        options = checks.TrainingOptions(
            self._summary(samples, checked),
            optimizer=optimizer,
            learning_rate=learning_rate,
            clip_norm=clip_norm,
            clip_value=clip_value,
            max_norm=max_norm,
            batch_size=batch_size,
            epochs=epochs,
            shuffle=shuffle,
            average=average,
            early_stopping=early_stopping,
            metrics=metrics,
            callbacks=callbacks,
            progress=progress,
            on_divergence=on_divergence,
            seed=seed,
            n_threads=n_threads,
        )
        return self._fit(samples, checked, options, names)

    def _summary(self, samples: Samples, validation: Samples) -> checks.TrainingData:
        return checks.TrainingData(self._model.task, self.dtype, samples, validation, self.dropout)

    def _fit(
        self,
        samples: Samples,
        validation: Samples,
        options: checks.TrainingOptions,
        names: tuple[str, ...] = (),
    ) -> Network:
        fit.fit(self, samples, validation, options, names)
        return self

    def partial_train(
        self,
        X: Any,
        y: Any,
        *,
        optimizer: str | Optimizer | None = None,
        learning_rate: float | RateSchedule | None = None,
        batch_size: int | str = "auto",
        **options: Any,
    ) -> Network:
        """Train for one pass over a chunk of rows, for streams.

        The optimizer's state, the schedule of the rate and the history go on from chunk to chunk. N of the penalties is
        the number of the chunk's rows.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (rows, inputs)
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
        weighting = options.get("class_weight")
        if isinstance(weighting, str) and weighting == "balanced":
            raise ValueError(
                "class_weight: got 'balanced' for a chunk, whose fractions of the classes are not the stream's; a dict "
                "of label to weight is accepted"
            )
        before = self._record
        chosen = checks.optimizer((before.optimizer or "adam") if optimizer is None else optimizer)
        if learning_rate is None and chosen == before.optimizer and not chosen.searches_step:
            learning_rate = before.state.schedule
        return self.train(
            X, y, optimizer=chosen, learning_rate=learning_rate, batch_size=batch_size, epochs=1, **options
        )

    def _keep_schedule(self, and_rate: bool = False) -> None:
        """Let the next schedule go on with what this one's remembers of the epochs, and with the rate if that is so."""
        state = self._record.state
        if state is not None:
            state.remembered = (state.schedule, state.memory, and_rate)

    def reset_optimizer(self) -> None:
        """Let the next training begin with a new state of the optimizer, and with its schedule's first rate.

        The history and the number of epochs go on. Another optimizer begins with a new state by itself.

        Examples
        --------
        >>> Network((2, 3, 1)).reset_optimizer()
        """
        if self._record.state is not None:
            self._record.state.reset = True

    def _outputs(self, X: Any) -> np.ndarray:
        model, names = self._model, self._record.feature_names
        if not is_as_kernels_read(X, model.dtype, model.sizes[0]):
            X = self._features(X, windows=True)
        elif names:
            arrays.check_names(X, names)
        outputs = model.outputs(X)
        if outputs is None:
            arrays.features(X)  # says where X is not finite
        return outputs

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels or numbers.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (rows, inputs)
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
        known = self._model.task
        return known.predictions(known.decide(self._outputs(X)))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict probabilities.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (rows, inputs)
            The features.

        Returns
        -------
        ndarray of the network's dtype
            One column a class, in the order of `classes_` (of a single class 1); for multi-label targets one column an
            output.

        Raises
        ------
        TypeError, ValueError
            If `X` cannot be used, or the loss is not one of probabilities.
        """
        known = self._model.task
        if not known.loss.probabilities:
            raise ValueError(
                f"predict_proba: got a network trained with loss {self.loss_name!r}, whose outputs are not "
                "probabilities; 'cross_entropy' or 'binary_cross_entropy' is needed; forward(X)[-1] gives the outputs "
                "as they are"
            )
        outputs = self._outputs(X)
        if known.classes is None or known.output_per_class:
            return np.ones_like(outputs) if known.single_class else outputs
        return np.concatenate((1 - outputs, outputs), axis=1)

    def forward(self, X: Any) -> list[np.ndarray]:
        """Compute every layer's activations.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (rows, inputs)
            The features; a sparse matrix is made dense whole.

        Returns
        -------
        list of ndarray, shapes (rows, size of the layer)
            h = f(h_below W + b) of each layer, the output layer's last.

        Raises
        ------
        TypeError, ValueError
            If `X` cannot be used.
        """
        return self._layers(self._features(X))

    def _layers(self, X: np.ndarray) -> list[np.ndarray]:
        """Compute every layer's activations for checked rows."""
        layers = [X]
        for number, w in enumerate(self.weights[:-1]):
            h = np.empty((len(X), w.shape[1]), self.dtype)
            b = self.biases[number] if self.biases else None
            with self._model.access.reading:
                self._model.kernels.dense_forward(h, layers[-1], w, b, ACTIVATIONS[self.activations[number]].code)
            layers.append(h)
        return [*layers[1:], self._model.outputs(X)]

    def loss(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Compute the objective over rows, penalty included: what training differentiates.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (rows, inputs)
            The features; a sparse matrix is made dense whole.
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
        return self._model.evaluate(self._samples(X, y, sample_weight))[0]

    def gradient(self, X: Any, y: Any, sample_weight: Any = None) -> np.ndarray:
        """Compute the gradient of `loss` by every parameter.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (rows, inputs)
            The features; a sparse matrix is made dense whole.
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
        return self._model.differentiate(self._samples(X, y, sample_weight))[1]

    def input_gradient(self, X: Any) -> np.ndarray:
        """Compute the derivatives of the outputs by the inputs.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (rows, inputs)
            The features.

        Returns
        -------
        ndarray of the network's dtype, shape (rows, outputs, inputs)
            ∂h / ∂x of each row, h the output layer's activations, ``forward(X)[-1]``: of two classes with one output,
            the probability of ``classes_[1]``. At a kink, such as relu's at 0, it is the slope that training takes.

        Raises
        ------
        TypeError, ValueError
            If `X` cannot be used.

        Examples
        --------
        >>> net = Network((2, 3, 1), activation="tanh", seed=0)
        >>> X, step = np.array([[0.5, -1.0]]), np.array([1e-6, 0.0])
        >>> difference = (net.forward(X + step)[-1] - net.forward(X - step)[-1]) / 2e-6
        >>> bool(np.allclose(net.input_gradient(X)[:, :, 0], difference))
        True
        """
        return derivatives.input_gradient(self._model, self._features(X, windows=True))

    def score(
        self, X: Any, y: Any, sample_weight: Any = None, *, metric: str | Metric | Callable[..., float] | None = None
    ) -> float:
        """Measure accuracy, R² for regression, or what is asked for.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (rows, inputs)
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
        known = self._model.task
        X, values, row_weights = self._checked(X, y, sample_weight, windows=True)
        if metric is None and not known.is_regression:
            if not isinstance(X, SparseRows):
                return self._model.evaluate(Samples.weighted(X, values, row_weights))[1]
            metric = "accuracy"  # of what is predicted part by part
        if metric is None:
            # Several quantiles of one target are each measured against it.
            return float(METRICS["r2"].function(values, self._model.outputs(X), row_weights))
        data = checks.TrainingData(known, self.dtype, Samples(X, values, metric_weights=row_weights))
        (chosen,) = checks.metrics([metric], data, "metric")
        return watch.measured(chosen, values, self._model.outputs(X), row_weights, known)

    def summary(self) -> str:
        """Describe layers, parameters and the training so far in a few lines of text.

        Returns
        -------
        str
            Lines for people, which a prompt or a notebook shows as they are.

        Examples
        --------
        >>> print(Network((2, 3, 1), activation="tanh").summary().splitlines()[2])
          2 -> 3  tanh          9 parameters
        """
        first, *others = self._texts()
        layers = [f"  {sizes:<7} {name:<10} {count:>4} parameters" for sizes, name, count in self._layer_texts()]
        return Text("\n".join([first, "layers:", *layers, *others]))

    def _repr_html_(self) -> str:
        """Return the summary as a table, for notebooks."""
        return table("; ".join(self._texts()), ("layer", "activation", "parameters"), self._layer_texts())

    def _layer_texts(self) -> list[tuple[str, str, int]]:
        """Return the sizes, the activation and the number of parameters of each layer."""
        return [
            (f"{inputs} -> {outputs}", name, (inputs + bool(self.biases)) * outputs)
            for name, (inputs, outputs) in zip(self.activations, pairwise(self.sizes), strict=True)
        ]

    def _texts(self) -> tuple[str, str, str]:
        """Describe the task, the parameters and the training so far, in a line each."""
        known, history, trained = self._model.task, self.history, "not trained"
        kind = "regression" if known.is_regression else "multi-label" if known.is_multilabel else "classification"
        if len(history):
            accuracy = "" if history.accuracy is None else f", training accuracy {history.accuracy[-1]:.4g}"
            trained = (
                f"trained for {counted(len(history), 'epoch')} in {history.seconds.sum():.3g} s: "
                f"loss {history.loss[-1]:.4g}{accuracy}"
            )
        return (
            f"Network: {kind}, {self.loss_name}, {self.dtype.name}, backend {self.backend}",
            f"{len(self.params)} parameters in all" + ("" if self.biases else ", no biases"),
            trained,
        )

    def save(self, path: Any) -> None:
        """Write the network to a file.

        The file is a safetensors file: parameters and a description, nothing that could be run. The history and the
        optimizer's state are not saved; of a callable as `dropout` the fractions of the last epoch are. An existing
        file is replaced once the new one is whole.

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

        Warns
        -----
        UserWarning
            If `dropout` is a callable: to train on, assign it to the network that was loaded.
        """
        # here: only files need safetensors, a tenth of what importing fastmlp would take
        from fastmlp._files import model_file

        notes = self._notes()
        with self._model.access.reading:
            state, names = self._record.state, self._record.feature_names
            fractions = self._model.topology.fractions(0 if state is None else max(0, state.epoch - 1))
            params, description = self.params.copy(), model_file.Description.of(self._model, fractions, notes, names)
        model_file.write(path, params, description)
        if callable(self.dropout):
            warn_caller(  # in the same words each time, so that checkpoints warn once
                "dropout: got a callable, which a file does not keep; it has the fractions of the last epoch; to train "
                "on, assign the callable to the network that was loaded",
                UserWarning,
            )

    def _notes(self) -> dict[str, str]:
        """Check the metadata."""
        notes = self.metadata
        if not isinstance(notes, dict) or not all(isinstance(text, str) for pair in notes.items() for text in pair):
            raise TypeError(f"metadata: got {shown(notes)}; a dict of str to str is accepted")
        return notes

    def to_onnx(self, path: Any) -> None:
        """Write the network as an ONNX model, which ONNX Runtime and others predict with.

        The model has one input, ``"X"``, shape (rows, inputs), of the network's dtype, in which it computes. Its first
        output is ``"probabilities"``, those of `predict_proba`, or with a loss that has none ``"outputs"``, those of
        ``forward(X)[-1]``. The second one, if targets are classes or labels, is ``"label"``, what `predict` returns, as
        int64 or strings. `metadata` is the model's. An existing file is replaced once the new one is whole.

        Parameters
        ----------
        path : str or path-like
            Where to.

        Raises
        ------
        ImportError
            If the package onnx is missing: ``pip install "fastmlp[onnx]"``.
        TypeError
            If `metadata` is not a dict of str to str.
        ValueError
            If ONNX has no form for labels (numbers that are not whole), or the network is too large for such a file.
        OSError
            If the file cannot be written.

        Notes
        -----
        Of gelu ONNX Runtime computes erf in float32, also for float64.

        Examples
        --------
        >>> import fastmlp
        >>> import onnxruntime
        >>> X, y = fastmlp.datasets.moons(200, noise=0.1, seed=0)
        >>> net = fastmlp.train(X, y, hidden=16, epochs=20, dtype="float32", seed=0)
        >>> net.to_onnx("moons.onnx")
        >>> session = onnxruntime.InferenceSession("moons.onnx", providers=["CPUExecutionProvider"])
        >>> probabilities, label = session.run(None, {"X": X.astype("float32")})
        >>> bool(np.allclose(probabilities, net.predict_proba(X), atol=1e-6))
        True
        """
        from fastmlp._files import onnx, whole  # here: nothing else needs the package onnx

        notes = self._notes()
        with self._model.access.reading:
            content = onnx.model_bytes(self._model, notes)
        whole.write(path, content)
