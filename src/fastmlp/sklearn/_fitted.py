"""What a fit leaves: a network, coefficients that are views of its parameters, and scikit-learn's attributes."""

import copy
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from operator import is_
from typing import Any, ClassVar

import numpy as np
from numpy.random import RandomState
from sklearn.exceptions import ConvergenceWarning, InconsistentVersionWarning
from sklearn.utils.validation import check_is_fitted

from fastmlp._checks.samples import Samples
from fastmlp._checks.warn import warn_caller as warn
from fastmlp._spec.values import renamed
from fastmlp._version import __version__
from fastmlp.exceptions import DivergenceError, DivergenceWarning
from fastmlp.history import History
from fastmlp.network import Network
from fastmlp.sklearn import _translation

_OF_NETWORK = ("activation", "l1", "alpha", "dropout", "loss", "label_smoothing", "missing_targets")  # parameters


class FittedState:
    """An estimator's network and fitted attributes.

    `coefs_` and `intercepts_` are views of the network's parameters. When they, or the settings that the network was
    made of, were replaced, a new network is made.

    `_standing` is where training stands if the coefficients are the best of early stopping: their checksum, and the
    weights to go on from if these are others.
    """

    _needed: ClassVar[set[str]] = {"coefs_", "intercepts_"}  # to predict
    _standing: tuple[int, np.ndarray | None] | None = None

    # ---- the network and its coefficients --------------------------------------------------------------------------

    def _make_network(self, sizes: tuple[int, ...], parameters: np.ndarray, dtype: Any) -> Network:
        with _translation.naming("dropout"):
            draws = (callable(self.dropout) or np.any(self.dropout)) and hasattr(self, "_random_state")
        with renamed(_translation.names(self) | {"init": "coefs_, intercepts_"}):
            network = Network(
                sizes,
                activation=_translation.activation_names(self.activation, len(sizes) - 2),
                l1=self.l1,
                l2=self.alpha,
                dropout=self.dropout,
                init=parameters,
                dtype=dtype,
                seed=int(self._random_state.randint(2**31 - 1)) if draws else 0,
                **self._network_options(sizes[-1]),
            )
        if network.loss_name == "squared_error":  # which scikit-learn averages over the outputs; it sums all others
            network._model.loss_fraction = 1 / sizes[-1]
        network._model.loss_growth = 0  # scikit-learn goes on as long as the loss is finite
        self._made_with = self._made_of()
        self.out_activation_ = _translation.OUTPUT_NAMES.get(network.activations[-1], network.activations[-1])
        return network

    def _made_of(self) -> tuple:
        """Return the parameters that a network is made of; they may be set between two fits."""
        return tuple(map(vars(self).get, _OF_NETWORK))

    def _link(self, network: Network) -> None:
        """Make the coefficients views of a network's parameters, within the lists that users may hold."""
        self.network_ = network
        for name, own in (("coefs_", network.weights), ("intercepts_", network.biases)):
            if isinstance(vars(self).get(name), list):
                vars(self)[name][:] = own
            else:
                setattr(self, name, list(own))

    def _is_linked(self) -> bool:
        """Return whether the coefficients are the network's, none of them replaced."""
        network, coefs, intercepts = vars(self).get("network_"), self.coefs_, self.intercepts_
        if network is None or not len(coefs) == len(intercepts) == len(network.weights):
            return False
        return all(map(is_, coefs, network.weights)) and all(map(is_, intercepts, network.biases))

    def _sizes(self) -> tuple[int, ...]:
        """Return the layers' sizes by the coefficients, or raise if these do not go together."""
        shapes, biases = [np.shape(weights) for weights in self.coefs_], [np.shape(each) for each in self.intercepts_]
        sizes = (*(shape[0] for shape in shapes if shape), *(shapes[-1][1:] if shapes else ()))
        if not shapes or shapes != list(pairwise(sizes)) or [*map(np.size, self.intercepts_)] != list(sizes[1:]):
            raise ValueError(
                f"coefs_, intercepts_: got shapes {shapes} and {biases}; layer by layer (inputs, outputs) and "
                "(outputs,) are accepted, with as many inputs as the layer before has outputs"
            )
        return sizes

    def _current_network(self) -> Network:
        """Return the network; a new one, which is not linked yet, if coefficients or parameters were replaced."""
        same_settings, linked = vars(self).get("_made_with") == self._made_of(), self._is_linked()
        if linked and same_settings:
            return self.network_
        sizes = self._sizes()
        parameters = np.concatenate(
            [np.ravel(part) for pair in zip(self.coefs_, self.intercepts_, strict=True) for part in pair]
        )
        before = vars(self).get("network_")
        if before is None or before.sizes != sizes:
            network = self._make_network(sizes, parameters, np.result_type(np.float32, *map(np.asarray, self.coefs_)))
        elif same_settings:
            network = copy.deepcopy(before)
            network.params = parameters
        else:
            network = self._make_network(sizes, parameters, before.dtype)
            network._record = copy.deepcopy(before)._record  # optimizer, its state, history
        if not linked:
            self._standing = None
        return network

    def _is_at_best(self, network: Network) -> bool:
        """Return whether the network has the best weights of earlier fits: not trained since, nor written into."""
        return self._standing is not None and self._standing[0] == zlib.crc32(network.params)

    def _take_standing(self, network: Network) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return the best weights, if the coefficients are these, and the weights to go on from if these are others."""
        found = (network.params.copy(), self._standing[1]) if self._is_at_best(network) else (None, None)
        self._standing = None
        return found

    def _leave_best(self, network: Network, best: np.ndarray | None, ended: BaseException | None) -> bool:
        """Leave the best weights of a training run, or the `best` before it; return whether there are any."""
        is_better = network.last_history.best_epoch is not None
        if not is_better and best is None:
            return False
        last = None if is_better or isinstance(ended, DivergenceError) else network.params.copy()
        if not is_better:
            network.params = best
        self._standing = zlib.crc32(network.params), last
        return True

    @contextmanager
    def _all_or_nothing(self, goes_on: bool) -> Iterator[Any]:
        """Yield a draft with the same attributes, and take back what is changed meanwhile if an exception ends it.

        That is this estimator's attributes, the random state and, if a fit `goes_on` with the network, what the network
        has learned and remembers. The exception keeps what was trained: a copy of the network.
        """
        attributes, draft = vars(self), object.__new__(type(self))
        vars(draft).update(attributes)
        state = self.random_state.get_state(legacy=False) if isinstance(self.random_state, RandomState) else {}
        network = attributes.get("network_") if goes_on else None
        if network is not None:
            params, record = network.params.copy(), network._record
            network._record = record.twin()
        try:
            yield draft
        except BaseException as error:
            self.__dict__ = attributes
            if state.get("bit_generator") == "MT19937":  # no other generator's state can be set
                self.random_state.set_state(state)
            if network is not None:
                try:
                    if getattr(error, "network", None) is network:
                        error.network = copy.deepcopy(network)
                finally:
                    network._record, network.params = record, params
            raise

    def __getstate__(self) -> dict[str, Any]:
        """Leave out linked coefficients: they would be stored twice."""
        state = super().__getstate__()
        left_out = ("coefs_", "intercepts_") if "coefs_" in state and self._is_linked() else ()
        kept = {name: value for name, value in state.items() if name not in left_out}
        return kept | {"_fastmlp_version": __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        written = state.pop("_fastmlp_version", "before 0.1")
        if written != __version__:
            warning = InconsistentVersionWarning(
                estimator_name=type(self).__name__,
                current_sklearn_version=f"fastmlp {__version__}",
                original_sklearn_version=f"fastmlp {written}",
            )
            warn(warning, UserWarning)
        super().__setstate__(state)
        if "network_" in state and "coefs_" not in state:
            self._link(self.network_)

    def __sklearn_is_fitted__(self) -> bool:
        return self._needed <= vars(self).keys()

    def _fitted_network(self) -> Network:
        """Return the network as it is now, or raise if there has been no fit."""
        if not self.__sklearn_is_fitted__():
            check_is_fitted(self)  # which raises
        network = self._current_network()
        if network is not vars(self).get("network_"):
            self._link(network)
        return network

    @property
    def history_(self) -> History:
        """What happened in all fits since the network was made: `fastmlp.History`."""
        network = vars(self).get("network_")
        if network is None or not self.__sklearn_is_fitted__() or not self._is_linked():
            network = self._fitted_network()
        return network.history  # the same with other settings, even with ones that no network can have

    # ---- scikit-learn's attributes and warnings, from what a training run left -------------------------------------

    def _record(self, run: Any, incremental: bool, ended: BaseException | None) -> None:
        """Set the attributes, then warn of what has `ended` the training run."""
        self.n_iter_ = len(run.network.last_history)
        if self._searches():
            self._record_search(run.network, run.samples, interrupted=ended is not None)
        else:
            self._record_epochs(run.network, len(run.samples), incremental)
        if isinstance(ended, DivergenceError):
            warn(str(ended), DivergenceWarning)
        elif ended is not None:
            warn("Training interrupted by user.", UserWarning)

    def _record_epochs(self, network: Network, rows: int, incremental: bool) -> None:
        """Set what epochs leave, and print why they ended, or warn that they reached max_iter."""
        history, memory = network.last_history, network._record.state.memory
        losses = history.loss.tolist()
        self.t_ += rows * len(losses)
        self.loss_curve_.extend(losses)
        self.loss_ = losses[-1] if losses else np.nan
        if not self.early_stopping:
            self.best_loss_ = float(np.nanmin([np.inf if self.best_loss_ is None else self.best_loss_, *losses]))
        self._record_scores(network)
        self._no_improvement_count = 0 if memory is None else memory.waited
        reason = f"{history.stopped}."
        if memory is not None and memory.ended:
            reason = self._why_it_ended() + (" Learning rate too small." if memory.rate <= 1e-6 else "")
        elif not history.stopped and self.n_iter_ == self.max_iter and not incremental:
            warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
            )
        if self.verbose and not isinstance(self.verbose, str) and history.stopped:
            print(f"{reason} Stopping.")

    def _record_search(self, network: Network, samples: Samples, interrupted: bool) -> None:
        history = network.last_history
        self.loss_ = network._model.evaluate(replace(samples, x=samples.x[:]))[0]  # of sparse rows, made dense
        self.loss_curve_ = [*history.loss.tolist()[1:], self.loss_]
        self.best_loss_ = min(self.loss_curve_)
        self._record_scores(network)
        reason = history.stopped.removeprefix("L-BFGS ended: ")
        # Without its own prefix, the reason is a callback's or a rule's.
        if interrupted or (reason and reason == history.stopped) or reason.startswith("convergence"):
            return
        advice = f"\nIncrease the number of iterations to improve the convergence (max_iter={self.max_iter})."
        warn(
            f"lbfgs failed to converge after {self.n_iter_} iteration(s):\n"
            f"{reason or 'the limit of iterations was reached'}\n{'' if reason else advice}\n"
            "You might also want to scale the data as shown in:\n"
            "    https://scikit-learn.org/stable/modules/preprocessing.html",
            ConvergenceWarning,
        )

    def _record_scores(self, network: Network) -> None:
        """Set what validation leaves."""
        history = network.last_history
        if history.val_loss is None:
            return
        self.validation_loss_curve_ = (self.validation_loss_curve_ or []) + history.val_loss.tolist()
        name, _, sign = self._metric()
        measured = {"val_loss": history.val_loss, "val_accuracy": history.val_accuracy} | history.metrics
        scores = (sign * np.where(np.isfinite(history.val_loss), measured[name], np.nan)).tolist()
        earlier = getattr(self, "validation_scores_", None) or []
        self.validation_scores_ = earlier + scores
        self.best_validation_score_ = float(np.nanmax([-np.inf, *self.validation_scores_]))

    def _why_it_ended(self) -> str:
        monitored = "Validation score" if self.early_stopping else "Training loss"
        return f"{monitored} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} consecutive epochs."
