"""What both estimators have: scikit-learn's protocol around a `fastmlp.Network`, which does the training.

A fit checks its arguments as scikit-learn does, draws what scikit-learn would draw, and hands the rest over to
`Network.train`. `coefs_` and `intercepts_` are views of the network's parameters; where they have been replaced, they
are taken over before they are used. Imports the translation; `_estimators` imports it.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from joblib import effective_n_jobs
from joblib.parallel import get_active_backend
from scipy.sparse import issparse
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from fastmlp._windows import SparseRows
from fastmlp.activations import HIDDEN_ACTIVATIONS
from fastmlp.divergence import DivergenceError, DivergenceWarning, warn_caller
from fastmlp.history import History
from fastmlp.initialization import INITIALIZATIONS
from fastmlp.metrics import METRICS, Metric, metric
from fastmlp.network import Network
from fastmlp.optimizers import OPTIMIZERS, Optimizer
from fastmlp.schedules import RateSchedule
from fastmlp.sklearn import _translation
from fastmlp.stopping import EarlyStopping

try:  # scikit-learn 1.9 brought callbacks
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing: this scikit-learn has no callbacks."""

    def with_callbacks(method: Callable) -> Callable:
        """Leave a method as it is."""
        return method


_FLOATS = (np.float64, np.float32)
_SPARSE = ("csr", "csc")
_DENSE_SHARE = 4  # a sparse X is made dense where that takes no more than a fourth of the memory that is free,
_DENSE_BYTES = 1 << 30  # or no more than this where the system does not tell


def dense_bytes() -> int:
    """Say up to how many bytes a sparse X is made dense at once."""
    system = Path("/proc/meminfo")
    lines = system.read_text().splitlines() if system.exists() else []
    free = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return free[0] // _DENSE_SHARE if free else _DENSE_BYTES


class BaseMLP(CallbackSupportMixin, BaseEstimator, ABC):
    """The protocol; `MLPClassifier` and `MLPRegressor` say what their targets are."""

    _parameter_constraints: ClassVar[dict] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({*HIDDEN_ACTIVATIONS, "logistic"}), list, tuple],
        "solver": [StrOptions({*OPTIMIZERS}), Optimizer],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"}), RateSchedule],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose", StrOptions({"bar"})],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple],
        "l1": [Interval(Real, 0, None, closed="left")],
        "clip_norm": [None, Interval(Real, 0, None, closed="neither")],
        "clip_value": [None, Interval(Real, 0, None, closed="neither")],
        "max_norm": [None, Interval(Real, 0, None, closed="neither")],
        "init": [StrOptions({*INITIALIZATIONS})],
        "stopping_metric": [None, StrOptions({"loss", *METRICS}), Metric, callable],
        "callbacks": [None, list, tuple],
        "n_jobs": [None, Integral],
    }

    def _keep(self, given: dict[str, Any]) -> None:
        """Keep the parameters as they were given: __init__ calls it with its arguments."""
        for name in self._get_param_names():
            setattr(self, name, given[name])

    # ---- what the two estimators add -------------------------------------------------------------------------------

    @staticmethod
    def _targets(y: Any) -> np.ndarray:
        """Give targets as a dense array, a column as a row."""
        y = y.toarray() if issparse(y) else np.asarray(y)
        return column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    @abstractmethod
    def _check_rows(self, X: Any, y: Any, reset: bool, incremental: bool) -> tuple[Any, np.ndarray]:
        """Check rows and targets as scikit-learn does; the targets come back as `Network.train` takes them."""

    @abstractmethod
    def _code(self, y: Any, argument: str = "y") -> np.ndarray:
        """Turn targets whose kind is known into what `Network.train` takes."""

    @abstractmethod
    def _decode(self, y: np.ndarray) -> np.ndarray:
        """Turn them back."""

    @abstractmethod
    def _outputs_of(self, y: np.ndarray) -> int:
        """Count the output units that go with coded targets."""

    @abstractmethod
    def _network_options(self, outputs: int) -> dict[str, Any]:
        """Give the options of a `Network` that come of the targets: loss, classes, label smoothing."""

    @abstractmethod
    def _stratify(self, y: np.ndarray) -> np.ndarray | None:
        """Give what a split for early stopping is to keep the shares of, if anything."""

    def _weighted(self, y: np.ndarray, sample_weight: np.ndarray | None, learn: bool = False) -> np.ndarray | None:
        """Multiply the rows' weights with those of their classes, if there are any; `learn` these from the rows."""
        return sample_weight

    _score_metric: ClassVar[str]  # what early stopping looks at unless told otherwise
    _accuracies: ClassVar[bool]  # whether the kernels count what is classified rightly

    # ---- fitting ---------------------------------------------------------------------------------------------------

    @with_callbacks
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, X_val: Any = None, y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> BaseMLP:
        """Fit to rows and their targets.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (rows, features)
            The features, finite numbers; float32 stays float32, all else becomes float64. A sparse matrix is made
            dense, where it would take more than a fourth of the free memory a part at a time; rows to validate on, and
            for solvers that take all rows at once (lbfgs, rprop) all rows, are made dense whole.
        y : array-like, shape (rows,) or (rows, outputs)
            For a classifier labels of any kind, or rows of 0 and 1 with one column a label; for a regressor numbers.
        sample_weight : array-like, shape (rows,), or None, default None
            A weight a row.
        X_val, y_val, sample_weight_val : array-like or None, default None
            Rows to validate on after every epoch, which are not trained on. With `early_stopping` they take the place
            of the part that would be held out.

        Returns
        -------
        MLPClassifier or MLPRegressor
            The estimator itself.
        """
        return self._fit_rows(X, y, sample_weight, validation=(X_val, y_val, sample_weight_val))

    def _fit_rows(
        self, X: Any, y: Any, sample_weight: Any, *, incremental: bool = False, validation: tuple = (None, None, None)
    ) -> BaseMLP:
        """Fit, or take one pass over the rows."""
        if not get_config()["skip_parameter_validation"]:
            self._validate_params()
        hidden = self._hidden_sizes()
        first = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        raw_y = y
        X, y = self._check_rows(X, y, first, incremental)
        given = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        weights = self._weighted(y, given, learn=True)
        self._random_state = check_random_state(self.random_state)
        self.n_outputs_ = self._outputs_of(y)
        if first:
            self._begin(X, hidden)
        network = self._current_network()
        if not first and network.sizes[1:-1] != tuple(hidden):
            raise ValueError(
                f"hidden_layer_sizes: got {tuple(hidden)}, and what was fitted has {network.sizes[1:-1]}; with "
                "warm_start or partial_fit they stay"
            )
        network._remember_schedule()
        if not incremental:
            network.reset_optimizer()
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        rows, held_out = self._parts((X, y, weights, given), validation)
        if incremental or not hasattr(self, "_init_callback_context"):
            self._train(network, rows, held_out, incremental)
            return self
        context = self._init_callback_context(max_subtasks=self.max_iter)
        data = {"X": X, "y": raw_y, "metadata": _metadata(given)}
        context.call_on_fit_task_begin(estimator=self, **data)
        self._train(network, rows, held_out, incremental)
        context.call_on_fit_task_end(estimator=self, **data, reconstruction_attributes=dict)
        return self

    def _hidden_sizes(self) -> list[int]:
        """List the hidden layers' sizes."""
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if np.any(np.array(sizes) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return sizes

    def _begin(self, X: Any, hidden: list[int]) -> None:
        """Make the network and all that is counted from the first fit on."""
        sizes = (X.shape[1], *hidden, self.n_outputs_)
        activations = _translation.activation_names(self.activation, max(1, len(hidden)))
        drawn = _translation.initial_parameters(self._random_state, sizes, activations, self.init)
        self.coefs_, self.intercepts_ = [], []  # lists of their own: somebody may have kept those of the last fit
        self._link(self._make_network(sizes, drawn, X.dtype))
        self.n_layers_ = len(sizes)
        self.n_iter_ = self.t_ = 0
        self.validation_loss_curve_: list[float] | None = None
        if not self._searches():
            self.loss_curve_: list[float] = []
            self.best_loss_ = None if self.early_stopping else np.inf
            self.validation_scores_ = [] if self.early_stopping else None
            self.best_validation_score_ = -np.inf if self.early_stopping else None

    def _make_network(self, sizes: tuple[int, ...], parameters: np.ndarray, dtype: Any) -> Network:
        """Make a network of this estimator's settings with these parameters."""
        hidden, random_state = len(sizes) - 2, getattr(self, "_random_state", None)
        draws = random_state is not None and np.any(self.dropout)
        network = Network(
            sizes, activation=_translation.activation_names(self.activation, hidden), l1=self.l1, l2=self.alpha,
            dropout=self.dropout, init=parameters, dtype=dtype, **self._network_options(sizes[-1]),
            seed=int(random_state.randint(2**31 - 1)) if draws else 0,
        )  # fmt: skip
        if network.loss_name == "squared_error":
            network._loss_share = 1 / sizes[-1]
        self._made_with = self._made_of()
        names = {"sigmoid": "logistic", "exponential": "exp"}
        self.out_activation_ = names.get(network.activations[-1], network.activations[-1])
        return network

    def _made_of(self) -> tuple:
        """List the parameters that a network is made of; they may be set to others between two fits."""
        names = ("activation", "l1", "alpha", "dropout", "loss", "label_smoothing", "missing_targets")
        return tuple(getattr(self, name, None) for name in names)

    def _parts(self, all_rows: tuple, validation: tuple) -> tuple[tuple, tuple]:
        """Divide the rows into those that are trained on and those that are validated on, which may be none.

        Rows are X, coded y, their weights times those of their classes, and their weights as they were given.
        """
        X, y, *_ = all_rows
        X_val, y_val, weights_val = validation
        if X_val is not None or y_val is not None:
            if X_val is None or y_val is None:
                raise ValueError(f"X_val, y_val: got {'y_val' if X_val is None else 'X_val'} alone; both are needed")
            X_val = validate_data(self, X_val, accept_sparse=_SPARSE, dtype=_FLOATS, reset=False)
            if weights_val is not None:
                weights_val = _check_sample_weight(weights_val, X_val)
            y_val = self._code(y_val, "y_val")
            return all_rows, (X_val, y_val, self._weighted(y_val, weights_val), weights_val)
        if weights_val is not None:
            raise ValueError("sample_weight_val: got weights without X_val and y_val, which they belong to")
        if not self.early_stopping or self._searches():
            return all_rows, ()
        kept, held_out = train_test_split(
            np.arange(X.shape[0]), random_state=self._random_state, test_size=self.validation_fraction,
            stratify=self._stratify(y),
        )  # fmt: skip
        if len(held_out) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        return tuple(
            tuple(None if values is None else values[rows] for values in all_rows) for rows in (kept, held_out)
        )

    def _metric(self) -> tuple[str, tuple, int]:
        """Say what early stopping looks at: its name, what has to be measured for it, and 1 where it is to rise."""
        chosen = self._score_metric if self.stopping_metric is None else self.stopping_metric
        if isinstance(chosen, str) and chosen in ("loss", "accuracy"):
            if chosen == "accuracy" and not self._accuracies:
                raise ValueError("stopping_metric: got 'accuracy' for regression; 'r2', 'mse', 'mae' are accepted")
            return f"val_{chosen}", (), -1 if chosen == "loss" else 1
        chosen = replace(metric(chosen, "stopping_metric"), training=False)
        return f"val_{chosen.name}", (chosen,), 1 if chosen.rises else -1

    def _train(self, network: Network, rows: tuple, held_out: tuple, incremental: bool) -> None:
        """Hand the training over to the network, and take down what scikit-learn would have."""
        X, y, weights, given = rows
        searches = self._searches()
        count = X.shape[0]
        if self.batch_size != "auto" and self.batch_size > count and not searches:
            _warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", UserWarning)
        name, metrics, _ = self._metric()
        stops = self.early_stopping and not searches
        orders = _translation.Orders(self._random_state, count) if self.shuffle and not searches else False
        options: dict[str, Any] = {
            "optimizer": self._optimizer_for(incremental), "batch_size": "auto" if searches else self.batch_size,
            "epochs": 1 if incremental else self.max_iter, "shuffle": orders, "average": "batch",
            "sample_weight": weights, "clip_norm": self.clip_norm, "clip_value": self.clip_value,
            "max_norm": self.max_norm, "n_threads": self._threads(), "on_divergence": "raise",
            "metrics": metrics if held_out else (), "validation": self._dense_part(held_out, network) or None,
            "progress": self._shows_bar(),
        }  # fmt: skip
        before, last_history = network.params.copy() if stops else None, network.last_history
        if not searches:
            rate = _translation.rate_of(self, self._chosen_rate, name if stops else "loss")
            options["learning_rate"] = rate
            options["early_stopping"] = self._early_stopping(name, stops, rate)
        options["callbacks"] = self._callbacks(name if stops else None, X, y, given)
        X = self._dense_or_windows(X, network.dtype)
        diverged = self._run(network, X, y, options)
        if network.last_history is last_history:  # an interruption came before the first epoch
            return
        if orders and not isinstance(self.random_state, Integral):
            orders.leave_at(len(network.last_history))
        self._take_down(network, before, (X, y, weights), diverged, incremental)

    def _solver(self) -> Any:
        """Give the optimizer that a solver's name stands for, with its own settings; what is no name as it is."""
        return OPTIMIZERS.get(self.solver, self.solver) if isinstance(self.solver, str) else self.solver

    def _searches(self) -> bool:
        """Tell whether the solver finds the length of its steps itself, from all rows: lbfgs does."""
        return self._solver().searches_step

    def _shows_bar(self) -> bool:
        return isinstance(self.verbose, str)

    def _run(self, network: Network, X: Any, y: np.ndarray, options: dict[str, Any]) -> DivergenceError | None:
        """Train; an interruption leaves what was learned, and a divergence is told to the caller."""
        self._interrupted = False
        try:
            network.train(X, y, **options)
        except KeyboardInterrupt:
            self._interrupted = True
            _warn("Training interrupted by user.", UserWarning)
        except DivergenceError as error:
            return error
        return None

    def _optimizer_for(self, incremental: bool) -> Optimizer:
        """Translate the solver; partial_fit stays with the one that it began with, and with its rate."""
        chosen = getattr(self, "_chosen_optimizer", None)
        if not incremental or chosen is None or chosen.searches_step:
            self._chosen_optimizer = _translation.optimizer_of(self, self._solver())
            self._chosen_rate = self.learning_rate_init
        return self._chosen_optimizer

    def _early_stopping(self, name: str, stops: bool, rate: RateSchedule) -> EarlyStopping | None:
        """Say by which rule training ends, where that of the learning rate does not say it, and whether it goes back.

        scikit-learn's rule sits in the rate's schedule; what is left is to come back to the best weights.
        """
        if rate is not self.learning_rate:
            return EarlyStopping(name, patience=_translation.NEVER) if stops else None
        rule = {"patience": _translation.patience_of(self) + 1, "min_delta": self.tol}
        return EarlyStopping(name, **rule) if stops else EarlyStopping("loss", **rule, restore_best=False)

    def _threads(self) -> int | None:
        """Say on how many threads to train; None: as many as there is work for.

        Within a task of joblib one: the tasks already share the machine out.
        """
        if self.n_jobs is None:
            return None if get_active_backend()[0].nesting_level == 0 else 1
        return None if self.n_jobs == -1 else effective_n_jobs(self.n_jobs)

    def _dense_or_windows(self, X: Any, dtype: np.dtype) -> Any:
        """Make a sparse X dense, or let the training loop do so with a part of it at a time."""
        if not issparse(X):
            return X
        rows = SparseRows(X.tocsr(), dtype)
        return rows[:] if math.prod(rows.shape) * dtype.itemsize <= dense_bytes() else rows

    @staticmethod
    def _dense_part(part: tuple, network: Network) -> tuple:
        """Give rows to validate on as the network takes them."""
        if not part:
            return ()
        X, y, weights, _ = part
        X = SparseRows(X.tocsr(), network.dtype)[:] if issparse(X) else X
        return (X, y) if weights is None else (X, y, weights)

    def _callbacks(self, name: str | None, X: Any, y: np.ndarray, given: np.ndarray | None) -> list[Callable]:
        """List who looks at the end of every epoch."""
        found: list[Callable] = []
        if self.solver != "adam" and not self._searches() and self.learning_rate == "invscaling":
            found.append(_translation.InverseScaling(self._chosen_rate, self.power_t, self.t_, X.shape[0]))
        if self.verbose and not self._shows_bar():
            found.append(_Lines(name, self._why_it_ended() if self.learning_rate == "adaptive" else None))
        found.extend(self.callbacks or ())
        context = getattr(self, "_callback_fit_ctx", None)
        if context is not None and getattr(context, "_callbacks", ()):
            found.append(_Task(self, context, X, self._decode(y), given))
        return found

    # ---- what a fit leaves -----------------------------------------------------------------------------------------

    def _take_down(
        self, network: Network, before: np.ndarray | None, data: tuple, diverged: DivergenceError | None,
        incremental: bool,
    ) -> None:
        """Set scikit-learn's attributes from what happened."""
        history = network.last_history
        self.n_iter_ = len(history)
        if self._searches():
            self._take_down_search(network, data, history)
        else:
            self._take_down_epochs(network, data[0].shape[0], history, before, incremental)
        if diverged is not None and (before is None or not math.isfinite(self.best_validation_score_)):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
                f"preprocessed. ({diverged})"
            ) from diverged
        if diverged is not None:
            _warn(str(diverged), DivergenceWarning)

    def _take_down_epochs(
        self, network: Network, rows: int, history: History, before: np.ndarray | None, incremental: bool
    ) -> None:
        """Set what the epochs of sgd, adam and their like leave."""
        losses = history.loss.tolist()
        self.t_ += rows * len(history)
        self.loss_curve_.extend(losses)
        self.loss_ = losses[-1] if losses else math.nan
        if before is None:
            known = math.inf if self.best_loss_ is None else self.best_loss_
            self.best_loss_ = min((known, *(loss for loss in losses if not math.isnan(loss))))
        self._take_down_scores(network, history, before)
        memory = network._state.memory
        stopped = memory is not None and memory.ended
        self._no_improvement_count = 0 if memory is None else memory.waited
        if self.verbose and not self._shows_bar() and history.stopped:
            small = "Learning rate too small. " if memory is not None and memory.rate <= 1e-6 else ""
            print(f"{self._why_it_ended()} {small}Stopping." if stopped else f"{history.stopped}. Stopping.")
        if not stopped and not history.stopped and len(history) == self.max_iter and not incremental:
            _warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                "converged yet.", ConvergenceWarning,
            )  # fmt: skip

    def _take_down_scores(self, network: Network, history: History, before: np.ndarray | None) -> None:
        """Set what validation leaves; the best weights of an earlier fit stay where this one found none better."""
        if history.val_loss is None:
            return
        self.validation_loss_curve_ = (self.validation_loss_curve_ or []) + history.val_loss.tolist()
        name, metrics, sign = self._metric()
        if metrics:
            measured = history.metrics[name]
        else:
            measured = history.val_accuracy if name == "val_accuracy" else history.val_loss
        scores = (sign * np.where(np.isfinite(history.val_loss), measured, np.nan)).tolist()
        self.validation_scores_ = (getattr(self, "validation_scores_", None) or []) + scores
        best = max((score for score in scores if not math.isnan(score)), default=-math.inf)
        known = getattr(self, "best_validation_score_", None)
        known = -math.inf if known is None else known
        if before is not None and best <= known:
            network.params = before
        self.best_validation_score_ = max(known, best)

    def _take_down_search(self, network: Network, data: tuple, history: History) -> None:
        """Set what L-BFGS leaves."""
        X, y, weights = data
        self.loss_ = network.loss(X[:], y, weights)
        self.loss_curve_ = [*history.loss.tolist()[1:], self.loss_]
        self.best_loss_ = min(self.loss_curve_)
        self._take_down_scores(network, history, None)
        ended = history.stopped.removeprefix("L-BFGS ended: ")
        stopped_by_others = history.stopped and not history.stopped.startswith("L-BFGS")
        if self._interrupted or stopped_by_others or ended.startswith("convergence"):
            return
        advice = "" if ended else (
            f"\nIncrease the number of iterations to improve the convergence (max_iter={self.max_iter})."
        )  # fmt: skip
        _warn(
            f"lbfgs failed to converge after {self.n_iter_} iteration(s):\n"
            f"{ended or 'the limit of iterations was reached'}\n{advice}\n"
            "You might also want to scale the data as shown in:\n"
            "    https://scikit-learn.org/stable/modules/preprocessing.html",
            ConvergenceWarning,
        )

    def _why_it_ended(self) -> str:
        """Say it as scikit-learn does."""
        what = "Validation score" if self.early_stopping else "Training loss"
        return (
            f"{what} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} consecutive epochs."
        )

    @property
    def history_(self) -> History:
        """What happened in all fits since the network was made: `fastmlp.History`."""
        check_is_fitted(self)
        return self._current_network().history

    # ---- the network and the coefficients --------------------------------------------------------------------------

    def _link(self, network: Network) -> None:
        """Let `coefs_` and `intercepts_` be views of a network's parameters; lists that somebody holds stay theirs."""
        self.network_ = network
        for name, own in (("coefs_", network.weights), ("intercepts_", network.biases)):
            if isinstance(vars(self).get(name), list):
                vars(self)[name][:] = own
            else:
                setattr(self, name, list(own))

    def _is_linked(self) -> bool:
        """Tell whether they still are, none of them replaced."""
        network = vars(self).get("network_")
        return network is not None and all(
            len(given) == len(own) and all(one is other for one, other in zip(given, own, strict=True))
            for given, own in ((self.coefs_, network.weights), (self.intercepts_, network.biases))
        )

    def _current_network(self) -> Network:
        """Give the network; coefficients that were replaced, and other parameters, are taken over into a new one."""
        if self._is_linked() and self._made_with == self._made_of():
            return self.network_
        parameters = np.concatenate(
            [np.ravel(part) for pair in zip(self.coefs_, self.intercepts_, strict=True) for part in pair]
        )
        sizes = (*(len(weights) for weights in self.coefs_), np.shape(self.coefs_[-1])[1])
        before = vars(self).get("network_")
        if before is None or before.sizes != sizes:
            network = self._make_network(sizes, parameters, np.result_type(*self.coefs_))
        elif self._made_with == self._made_of():
            network = copy.deepcopy(before)
            network.params = parameters
        else:
            network = self._make_network(sizes, parameters, before.dtype)
            network._go_on_from(copy.deepcopy(before))
        self._link(network)
        return network

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the coefficients where the network has them: they would be stored twice."""
        state = super().__getstate__()
        if "coefs_" in state and self._is_linked():
            state = {name: value for name, value in state.items() if name not in ("coefs_", "intercepts_")}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make them views of the network's parameters again."""
        super().__setstate__(state)
        if "network_" in state and "coefs_" not in state:
            self._link(self.network_)

    def _predictions(self, X: Any, of: Callable[[Network, np.ndarray], np.ndarray]) -> np.ndarray:
        """Let the network answer for checked rows; those of a sparse X some at a time."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=_SPARSE, dtype=_FLOATS, reset=False)
        network = self._current_network()
        if not issparse(X):
            return of(network, X)
        return np.concatenate([of(network, block) for block in SparseRows(X.tocsr(), network.dtype).blocks()])

    def _takes_parts(self) -> bool:
        """Tell whether partial_fit is there: not for solvers that need all rows in every step."""
        solver = self._solver()
        if getattr(solver, "full_batch", False):
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers. "
                f"{getattr(solver, 'name', solver)} is not stochastic."
            )
        return True

    def __sklearn_tags__(self) -> Any:
        """Say that X may be sparse."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _warn(message: str, category: type[Warning]) -> None:
    """Warn of the line that called fit."""
    warn_caller(message, category, ("fastmlp", "sklearn"))


def _metadata(weights: np.ndarray | None) -> dict[str, Any] | None:
    """Give rows' weights as scikit-learn's callbacks take them."""
    return None if weights is None else {"sample_weight": weights}


class _Lines:
    """A callback: prints a line an epoch, as scikit-learn does."""

    def __init__(self, score: str | None, why: str | None) -> None:
        self._score, self._why, self._rate = score, why, -np.inf

    def __call__(self, state: Any) -> None:
        """Print the epoch's loss, and its score where that is looked at; before them that the rate has dropped."""
        if self._why is not None and state.learning_rate < self._rate:
            print(f"{self._why} Setting learning rate to {state.learning_rate:f}")
        self._rate = state.learning_rate
        print(f"Iteration {state.epoch}, loss = {state.loss:.8f}")
        if self._score is not None:
            print(f"Validation score: {state.numbers()[self._score]:f}")


class _Task:
    """A callback: tells scikit-learn's own callbacks of every epoch, each of which is a task of theirs."""

    def __init__(self, estimator: BaseMLP, context: Any, X: Any, y: np.ndarray, weights: np.ndarray | None) -> None:
        self._estimator, self._context = estimator, context
        self._data = {"X": X, "y": y, "metadata": _metadata(weights)}
        self._begin()

    def _begin(self) -> None:
        self._epoch = self._context.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def _attributes(self) -> dict[str, Any]:
        """Copy what a fitted estimator would have if training ended here."""
        return {
            "coefs_": [weights.copy() for weights in self._estimator.network_.weights],
            "intercepts_": [biases.copy() for biases in self._estimator.network_.biases],
        }

    def __call__(self, state: Any) -> bool:
        """End the epoch's task, and begin the next one's; True where a callback wants training to end."""
        epoch, self._epoch = self._epoch, None
        ends = epoch.call_on_fit_task_end(
            estimator=self._estimator, **self._data, reconstruction_attributes=self._attributes
        )
        if not ends and state.epoch < state.epochs:
            self._begin()
        return bool(ends)

    def close(self) -> None:
        """End the task of an epoch that did not come, empty, as scikit-learn's own estimators do."""
        if self._epoch is not None:
            self._epoch.call_on_fit_task_end(estimator=self._estimator)
