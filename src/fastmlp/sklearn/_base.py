"""scikit-learn's protocol around a `fastmlp.Network`, which does the training.

A fit checks its arguments as scikit-learn does, draws what scikit-learn would draw, and hands the rest over to
`Network.train`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import joblib
import numpy as np
from scipy.sparse import issparse
from sklearn import get_config
from sklearn.base import BaseEstimator, is_classifier
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, InvalidParameterError, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, validate_data

from fastmlp import activations, initialization, losses, metrics, optimizers
from fastmlp._checks.options import TrainingOptions, why_no_value
from fastmlp._checks.samples import Samples
from fastmlp._checks.sparse import SparseRows
from fastmlp._checks.topology import hidden_sizes
from fastmlp._spec.elsewhere import keywords, plain
from fastmlp._spec.values import renamed
from fastmlp.activations import HIDDEN_ACTIVATIONS
from fastmlp.callbacks import EpochState
from fastmlp.exceptions import DivergenceError
from fastmlp.initialization import INITIALIZATIONS
from fastmlp.metrics import METRICS, Metric, metric
from fastmlp.network import Network
from fastmlp.optimizers import OPTIMIZERS, Optimizer
from fastmlp.schedules import RateSchedule
from fastmlp.sklearn import _translation
from fastmlp.sklearn._callbacks import CallbackSupportMixin, EpochTasks, Lines, task_data, with_callbacks
from fastmlp.sklearn._fitted import FittedState, warn
from fastmlp.sklearn._translation import ACCEPTED, ANY_TARGETS, Rows, naming

_ELSE = "another fraction is accepted, or other rows as X_val and y_val"


class Run(NamedTuple):
    """A training run of which all is checked."""

    network: Network
    rows: Rows  # to train on
    samples: Samples  # these rows, as the kernels read them
    validation: Samples
    options: TrainingOptions
    stops: bool  # whether the best weights are to come back
    tasks: EpochTasks | None


# What other libraries pass to fit, and here is the estimator's.
_OF_ESTIMATOR = {
    f"the estimator's {name}=": words
    for name, words in {
        "max_iter": "max_iter epochs n_epochs max_epochs",
        "batch_size": "batch_size",
        "learning_rate_init": "learning_rate_init learning_rate lr",
        "class_weight": "class_weight",
        "callbacks": "callbacks callback",
        "verbose": "verbose progress",
    }.items()
}
_fits: dict[tuple[int, int], object] = {}  # process and id of each estimator that is being fitted -> its call


def one_at_a_time(method: Callable) -> Callable:
    """Decorate a method that fits an estimator: one call at a time fits it, and errors name its parameters."""

    @functools.wraps(method)
    def alone(self: BaseMLP, *args: Any, **options: Any) -> BaseMLP:
        key, call = (os.getpid(), id(self)), object()
        try:
            # setdefault is atomic; a lock could be left locked in a forked child.
            if _fits.setdefault(key, call) is not call:
                raise RuntimeError(
                    f"{method.__name__}: got a call while another call fits this {type(self).__name__}, in another "
                    "thread or around this callback; one call at a time is accepted; fit an estimator of its own: "
                    "sklearn.base.clone(estimator), or copy.deepcopy(estimator) to go on from what was learned"
                )
            with renamed(_translation.names(self)):
                return method(self, *args, **options)
        finally:
            if _fits.get(key) is call:
                del _fits[key]

    return alone


class BaseMLP(CallbackSupportMixin, FittedState, BaseEstimator):
    """What `MLPClassifier` and `MLPRegressor` share. These add their targets, by methods that they both have.

    ``_check_rows(X, y, reset, incremental, classes)`` checks rows and targets as scikit-learn does, and returns X,
    coded targets and the number of output units. ``_code(y, argument)`` returns targets whose kind is known as
    `Network.train` takes them. ``_network_options(outputs)`` returns the options of a `Network` that follow from the
    targets: loss, classes, label smoothing.
    """

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
        "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple, callable],
        "l1": [Interval(Real, 0, None, closed="left")],
        "clip_norm": [None, Interval(Real, 0, None, closed="neither")],
        "clip_value": [None, Interval(Real, 0, None, closed="neither")],
        "max_norm": [None, Interval(Real, 0, None, closed="neither")],
        "init": [StrOptions({*INITIALIZATIONS})],
        "stopping_metric": [None, StrOptions({"loss", *METRICS}), Metric, callable],
        "callbacks": [None, list, tuple],
        "n_jobs": [None, Integral],
    }

    _elsewhere: ClassVar[Mapping[str, Mapping[str, list[str]]]] = {  # parameter -> what others call its names
        "activation": activations.ELSEWHERE,
        "solver": optimizers.ELSEWHERE,
        "loss": losses.ELSEWHERE,
        "init": initialization.ELSEWHERE,
        "stopping_metric": metrics.ELSEWHERE,
    }
    _score_metric: ClassVar[str]  # what early stopping monitors by default

    def _keep(self, given: dict[str, Any]) -> None:
        """Keep what `__init__` was given; a subclass may have other parameters than it hands on."""
        vars(self).update({name: value for name, value in given.items() if name != "self"})

    def _decode(self, y: np.ndarray) -> np.ndarray:
        return y

    def _class_weights(self, rows: Rows) -> Callable[[np.ndarray], np.ndarray | None]:
        """Return a function: coded targets -> the weight of each row's class, by these rows; None if there is none."""
        return lambda y: None

    def _validate_params(self) -> None:
        """Check the parameters in scikit-learn's words; a name from elsewhere is answered with the right one."""
        try:
            super()._validate_params()
        except InvalidParameterError as error:
            head, got, tail = str(error).partition(". Got ")
            name = head.split("'")[1]  # The 'solver' parameter of ...
            accepted = {
                each
                for constraint in self._parameter_constraints[name]
                if isinstance(constraint, StrOptions)
                for each in constraint.options
            }
            value, elsewhere = getattr(self, name), self._elsewhere.get(name, {})
            use = [each for each in elsewhere.get(plain(str(value)), ()) if each in accepted]
            hint = f"; use {' or '.join(map(repr, use))}" if use else ""
            raise InvalidParameterError(f"{head}{hint}{got}{tail}") from None

    # ---- fitting ---------------------------------------------------------------------------------------------------

    @one_at_a_time  # around the callbacks of scikit-learn, which a refused call must not touch
    @with_callbacks
    @keywords(X_val="validation_data val_data eval_set", **_OF_ESTIMATOR)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> BaseMLP:
        """Fit to rows and their targets.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (rows, features)
            The features, finite numbers; float32 stays float32, all else becomes float64. A sparse matrix that would
            take more than a fourth of the free memory is made dense part by part; rows to validate on, and all rows
            for solvers that take them at once (lbfgs, rprop), are made dense whole.
        y : array-like, shape (rows,) or (rows, outputs)
            For a classifier labels of any kind, or rows of 0 and 1 with one column per label; for a regressor numbers.
        sample_weight : array-like, shape (rows,), or None, default None
            One weight per row.
        X_val, y_val, sample_weight_val : array-like or None, default None
            Rows to validate on after every epoch, which are not trained on. With `early_stopping` they replace the
            fraction that would be held out.

        Returns
        -------
        MLPClassifier or MLPRegressor
            The estimator itself.

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data cannot be used, or if the loss stops being finite. The estimator is then as it
            was before the call, as after any other exception.
        RuntimeError
            If another call, from another thread or around a callback, is fitting this estimator.
        """
        return self._fit_rows(X, y, sample_weight, validation=(X_val, y_val, sample_weight_val))

    def _fit_rows(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        classes: Any = None,
        incremental: bool = False,
        validation: tuple = (None, None, None),
    ) -> BaseMLP:
        """Check all on a draft, put it in this estimator's place, and train; what is refused changes nothing."""
        if not get_config()["skip_parameter_validation"]:
            self._validate_params()
        hidden = hidden_sizes(np.asarray(self.hidden_layer_sizes, object).tolist(), "hidden_layer_sizes")
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        context = None
        if not incremental and hasattr(self, "_init_callback_context"):  # which scikit-learn has since 1.9
            context = self._init_callback_context(max_subtasks=self.max_iter)
        first = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        with self._all_or_nothing(goes_on=not first) as draft:
            X, coded, draft.n_outputs_ = draft._check_rows(X, y, first, incremental, classes)
            with naming("sample_weight"):
                given = None if sample_weight is None else _check_sample_weight(sample_weight, X)
            run = draft._prepared(Rows(X, coded, given), hidden, validation, first, incremental)
            self.__dict__ = vars(draft)  # at once, because callbacks and other threads may predict
            if context is not None:
                task = task_data(self, X, y, given)
                context.call_on_fit_task_begin(**task)
                if run.tasks is not None:
                    run.tasks.begin(task_data(self, run.rows.X, self._decode(run.rows.y), run.rows.weights))
            ended = self._train(run, incremental)
        self._record(run, incremental, ended)
        if context is not None:
            context.call_on_fit_task_end(**task, reconstruction_attributes=dict)
        return self

    def _network_to_train(self, X: Any, hidden: tuple[int, ...], first: bool) -> Network:
        """Return the network that a fit trains; the first fit makes it, and all that is counted from then on."""
        if first:
            sizes = (X.shape[1], *hidden, self.n_outputs_)
            activations = _translation.activation_names(self.activation, max(1, len(hidden)))
            drawn = _translation.initial_parameters(self._random_state, sizes, activations, self.init)
            network, self.n_layers_ = self._make_network(sizes, drawn, X.dtype), len(sizes)
        else:
            network = self._current_network()
            if network.sizes[1:-1] != hidden:
                raise ValueError(
                    f"hidden_layer_sizes: got {hidden}, and what was fitted has {network.sizes[1:-1]}; with "
                    "warm_start or partial_fit they stay"
                )
        if network is not vars(self).get("network_"):  # new lists, because a user may have kept those of the last fit
            vars(self).update(network_=network, coefs_=list(network.weights), intercepts_=list(network.biases))
        if first or not hasattr(self, "t_"):  # there was no fit if coefficients were set by hand
            self.n_iter_ = self.t_ = 0
            self.validation_loss_curve_: list[float] | None = None
            if not self._searches():
                stops = self.early_stopping
                self.loss_curve_: list[float] = []
                self.best_loss_ = None if stops else np.inf
                self.validation_scores_, self.best_validation_score_ = ([], -np.inf) if stops else (None, None)
        return network

    def _split(self, rows: Rows, X_val: Any, y_val: Any, weights_val: Any) -> tuple[Rows, Rows | None]:
        """Return the rows to train on and those to validate on, if any: given ones, or a held out fraction."""
        if X_val is not None and y_val is not None:
            return rows, self._checked_validation(X_val, y_val, weights_val)
        if X_val is not None or y_val is not None:
            raise ValueError(f"X_val, y_val: got {'y_val' if X_val is None else 'X_val'} alone; both are needed")
        if weights_val is not None:
            raise ValueError("sample_weight_val: got weights without X_val and y_val, which they belong to")
        return self._held_out(rows) if self.early_stopping and not self._searches() else (rows, None)

    def _held_out(self, rows: Rows) -> tuple[Rows, Rows]:
        """Return the rows that are left to train on, and the fraction that is held out to validate on."""
        count, stratified = rows.X.shape[0], is_classifier(self) and self.n_outputs_ == 1
        counted = ~np.isnan(rows.y).reshape(count, -1).all(axis=1)
        if rows.weights is not None:
            counted &= rows.weights != 0
        try:
            parts = train_test_split(
                np.arange(count),
                random_state=self._random_state,
                test_size=self.validation_fraction,
                # scikit-learn's rule, and its binarized labels
                stratify=rows.y.reshape(-1, 1).astype(bool) if stratified else None,
            )
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"validation_fraction: got {self.validation_fraction!r} with n_samples={count}, which leaves one part "
                f"without rows, or without a class ({' '.join(str(error).split())}); {_ELSE}"
            ) from error
        if len(parts[1]) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        if not all(counted[part].any() for part in parts):
            raise ValueError(
                f"validation_fraction: got {self.validation_fraction!r} with n_samples={count}, which leaves one part "
                f"without a row that has a weight above 0 and an observed target; {_ELSE}"
            )
        return tuple(Rows(*(None if values is None else values[part] for values in rows)) for part in parts)

    def _check_score(self, held_out: Rows | None) -> None:
        """Raise if what early stopping monitors is NaN for the rows to validate on, whatever is predicted."""
        if held_out is None or not self.early_stopping or self._searches():
            return
        for chosen in self._metric()[1]:
            reason = why_no_value(chosen, held_out.y, held_out.weights)
            if reason:
                raise ValueError(f"stopping_metric: got {chosen.name!r}{reason}")

    def _checked_validation(self, X_val: Any, y_val: Any, weights_val: Any) -> Rows:
        """Check rows to validate on as those to train on are checked."""
        with naming("X_val"):
            X_val = validate_data(self, X_val, **ACCEPTED, reset=False)
        y_val = self._checked_targets(y_val, "y_val")
        if y_val.shape[0] != X_val.shape[0]:
            raise ValueError(
                f"y_val: got {y_val.shape[0]} rows where X_val has {X_val.shape[0]}; one target per row is accepted"
            )
        if weights_val is not None:
            with naming("sample_weight_val"):
                weights_val = _check_sample_weight(weights_val, X_val)
        y_val = self._code(y_val, "y_val")
        return Rows(X_val, y_val, weights_val)

    def _checked_targets(self, y: Any, argument: str) -> Any:
        with naming(argument):
            return check_array(y, input_name=argument, estimator=self, **self._accepted_targets())

    def _accepted_targets(self) -> dict[str, Any]:
        """Return what scikit-learn's check of targets is told; gaps pass if they mean "not observed"."""
        gaps = getattr(self, "missing_targets", "error") == "mask"
        return ANY_TARGETS | {"ensure_all_finite": "allow-nan" if gaps else True}

    # ---- the training run ------------------------------------------------------------------------------------------

    def _prepared(self, rows: Rows, hidden: tuple[int, ...], validation: tuple, first: bool, incremental: bool) -> Run:
        """Draw what scikit-learn would draw before it trains, and check all that a training run is given."""
        self._random_state = check_random_state(self.random_state)
        network = self._network_to_train(rows.X, hidden, first)
        rows, held_out = self._split(rows, *validation)
        self._check_score(held_out)
        searches, count = self._searches(), rows.X.shape[0]
        if self.batch_size != "auto" and self.batch_size > count and not searches:
            warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", UserWarning)
        name, metrics, sign = self._metric()
        stops = self.early_stopping and not searches
        # A seed gives a fit a random state of its own, which need not be copied.
        shared = not isinstance(self.random_state, Integral)
        orders = _translation.Orders(self._random_state, count, shared) if self.shuffle and not searches else False
        options = self._options(network, incremental)
        if not searches:
            options |= _translation.schedule_of(self, self._chosen, name if stops else "loss", stops)
        best = getattr(self, "best_validation_score_", None)
        if stops and best is not None and np.isfinite(best) and self._is_at_best(network):
            options["best_so_far"] = sign * best
        context = getattr(self, "_callback_fit_ctx", None)
        tasks = EpochTasks(context) if getattr(context, "_callbacks", ()) else None
        names = {} if validation[0] is None else _translation.TO_VALIDATE
        samples, held_out_samples = self._samples(network, rows, held_out, names)
        checked = TrainingOptions(
            network._summary(samples, held_out_samples),
            shuffle=orders,
            metrics=metrics if held_out else (),
            callbacks=self._callbacks(name if stops else None, count, tasks),
            **options,
        )
        return Run(network, rows, samples, held_out_samples, checked, stops, tasks)

    def _train(self, run: Run, incremental: bool) -> BaseException | None:
        """Train from where the last fit ended, and leave the best weights; return what has ended the training run."""
        network, last_history, ended = run.network, run.network.last_history, None
        best, last = self._take_standing(network)
        network._keep_schedule(and_rate=incremental)
        if not incremental:
            network.reset_optimizer()
        if last is not None:
            network.params = last
        try:
            network._fit(run.samples, run.validation, run.options)
        except (KeyboardInterrupt, DivergenceError) as error:
            if network.last_history is last_history:  # nothing was trained
                raise
            ended = error
        if not (run.stops and self._leave_best(network, best, ended)) and isinstance(ended, DivergenceError):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need "
                f"to be preprocessed. ({ended})"
            ) from ended
        orders = run.options.shuffle
        if orders and not isinstance(self.random_state, Integral):
            orders.leave_at(len(network.last_history))
        return ended

    def _samples(
        self, network: Network, rows: Rows, held_out: Rows | None, names: Mapping[str, str]
    ) -> tuple[Samples, Samples]:
        """Return the rows as kernels read them; classes weigh in both parts what the rows to train on say.

        Messages on the rows to validate on have `names`.
        """
        of_classes = self._class_weights(rows)
        X = _translation.dense_or_windows(rows.X, network.dtype)
        samples = network._samples(X, rows.y, rows.weights, of_classes(rows.y))
        if held_out is None:
            return samples, Samples()
        X_val = _translation.dense(held_out.X, network.dtype)
        with renamed(names):
            return samples, network._samples(X_val, held_out.y, held_out.weights, of_classes(held_out.y))

    def _options(self, network: Network, incremental: bool) -> dict[str, Any]:
        """Return the options of a training run that follow from the parameters alone."""
        return {
            "optimizer": self._optimizer_for(incremental),
            "batch_size": "auto" if self._searches() else self.batch_size,
            "epochs": 1 if incremental else self.max_iter,
            "average": "batch",
            "seed": network.seed,
            "clip_norm": self.clip_norm,
            "clip_value": self.clip_value,
            "max_norm": self.max_norm,
            "n_threads": self._threads(),
            "on_divergence": "raise",
            "progress": isinstance(self.verbose, str),
        }

    def _metric(self) -> tuple[str, tuple, int]:
        """Return the name of what early stopping monitors, the metrics it needs, and 1 if it is to rise, else -1."""
        chosen = self._score_metric if self.stopping_metric is None else self.stopping_metric
        if isinstance(chosen, str) and chosen in ("loss", "accuracy"):
            if chosen == "accuracy" and self._score_metric != "accuracy":
                raise ValueError("stopping_metric: got 'accuracy' for regression; 'r2', 'mse', 'mae' are accepted")
            return f"val_{chosen}", (), -1 if chosen == "loss" else 1
        chosen = replace(metric(chosen, "stopping_metric"), training=False)
        return f"val_{chosen.name}", (chosen,), 1 if chosen.rises else -1

    def _callbacks(self, name: str | None, rows: int, tasks: EpochTasks | None) -> list[Callable]:
        """Return the callbacks of a training run; `name` is the score that early stopping monitors."""
        found: list[Callable] = []
        chosen = self._chosen
        if chosen.solver != "adam" and not self._searches() and chosen.schedule == "invscaling":

            def scale_inversely(state: EpochState) -> None:
                trained_on = self.t_ + state.epoch * rows
                state.learning_rate = float(chosen.rate) / (trained_on + 1) ** chosen.power

            found.append(scale_inversely)
        if self.verbose and not isinstance(self.verbose, str):
            found.append(Lines(name, self._why_it_ended() if chosen.schedule == "adaptive" else None))
        return [*found, *(self.callbacks or ()), *([] if tasks is None else [tasks])]

    def _solver(self) -> Any:
        return OPTIMIZERS.get(self.solver, self.solver) if isinstance(self.solver, str) else self.solver

    def _optimizer_for(self, incremental: bool) -> Optimizer:
        """Return the solver's optimizer; partial_fit keeps the first one, and its rates, as scikit-learn does."""
        kept = getattr(self, "_chosen", None)
        if not incremental or kept is None or kept.optimizer.searches_step:
            self._chosen = _translation.chosen_by(self, self._solver())
        elif any(isinstance(each, RateSchedule) for each in (kept.schedule, self.learning_rate)):
            self._chosen = kept._replace(schedule=self.learning_rate)  # scikit-learn has names alone
        return self._chosen.optimizer

    def _searches(self) -> bool:
        """Return whether the solver searches the length of its steps itself, from all rows: lbfgs does."""
        return self._solver().searches_step

    def _threads(self) -> int | None:
        """Return the number of threads; None for as many as there is work for, except within a task of joblib."""
        if self.n_jobs is None:  # tasks of joblib share the machine's CPUs already
            return None if joblib.parallel.get_active_backend()[0].nesting_level == 0 else 1
        return None if self.n_jobs == -1 else joblib.effective_n_jobs(self.n_jobs)

    # ---- the protocol ----------------------------------------------------------------------------------------------

    def _predictions(self, X: Any, of: Callable[[Network, np.ndarray], np.ndarray]) -> np.ndarray:
        """Return what the network predicts for checked rows; a sparse X is made dense part by part."""
        network = self._fitted_network()
        X = validate_data(self, X, **ACCEPTED, reset=False)
        if not issparse(X):
            return of(network, X)
        return np.concatenate([of(network, block) for block in SparseRows(X.tocsr(), network.dtype).blocks()])

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels or numbers.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (rows, features)
            The features.

        Returns
        -------
        ndarray, shape (rows,) or (rows, outputs)
            A classifier's labels, or rows of 0 and 1 with one column per label (a sparse matrix if those of the fit
            were one); a regressor's numbers, of the coefficients' dtype.
        """
        return self._decode(self._predictions(X, Network.predict))

    def _takes_parts(self) -> bool:
        """Raise if there is no partial_fit, because the solver needs all rows in every step."""
        solver = self._solver()
        if getattr(solver, "full_batch", False):
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers. "
                f"{getattr(solver, 'name', solver)} is not stochastic."
            )
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
