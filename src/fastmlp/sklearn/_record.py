"""scikit-learn's fitted attributes and warnings, from what a training run left."""

from __future__ import annotations

from functools import partial

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from fastmlp._checks.warn import warn_caller
from fastmlp.exceptions import DivergenceError, DivergenceWarning
from fastmlp.history import History
from fastmlp.network import Network
from fastmlp.sklearn._rows import Rows

warn = partial(warn_caller, inside=("fastmlp", "sklearn"))  # of the line that called fit


class FitRecord:
    """Sets an estimator's fitted attributes; `before` are the parameters that the best weights have to surpass."""

    def _record(
        self, network: Network, rows: Rows, before: np.ndarray | None, incremental: bool, ended: BaseException | None
    ) -> None:
        """Set the attributes, then raise or warn of a divergence if one has `ended` the training."""
        self.n_iter_ = len(network.last_history)
        if self._searches():
            self._record_search(network, rows, interrupted=isinstance(ended, KeyboardInterrupt))
        else:
            self._record_epochs(network, rows.X.shape[0], before)
            self._report_ending(network, incremental)
        if not isinstance(ended, DivergenceError):
            return
        if before is None or not np.isfinite(self.best_validation_score_):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
                f"preprocessed. ({ended})"
            ) from ended
        warn(str(ended), DivergenceWarning)

    def _record_epochs(self, network: Network, rows: int, before: np.ndarray | None) -> None:
        losses = network.last_history.loss.tolist()
        self.t_ += rows * len(losses)
        self.loss_curve_.extend(losses)
        self.loss_ = losses[-1] if losses else np.nan
        if before is None:
            self.best_loss_ = float(np.nanmin([np.inf if self.best_loss_ is None else self.best_loss_, *losses]))
        self._record_scores(network, before)
        memory = network._schedule_memory()
        self._no_improvement_count = 0 if memory is None else memory.waited

    def _report_ending(self, network: Network, incremental: bool) -> None:
        """Print why the epochs ended, or warn that they reached max_iter."""
        memory, stopped = network._schedule_memory(), network.last_history.stopped
        reason = f"{stopped}."
        if memory is not None and memory.ended:
            reason = self._why_it_ended() + (" Learning rate too small." if memory.rate <= 1e-6 else "")
        elif not stopped and self.n_iter_ == self.max_iter and not incremental:
            warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
            )
        if self.verbose and not isinstance(self.verbose, str) and stopped:
            print(f"{reason} Stopping.")

    def _record_scores(self, network: Network, before: np.ndarray | None) -> None:
        """Set what validation leaves; the best weights of an earlier fit stay if this one found none better."""
        history = network.last_history
        if history.val_loss is None:
            return
        self.validation_loss_curve_ = (self.validation_loss_curve_ or []) + history.val_loss.tolist()
        name, _, sign = self._metric()
        measured = {"val_loss": history.val_loss, "val_accuracy": history.val_accuracy} | history.metrics
        scores = (sign * np.where(np.isfinite(history.val_loss), measured[name], np.nan)).tolist()
        self.validation_scores_ = (getattr(self, "validation_scores_", None) or []) + scores
        known = getattr(self, "best_validation_score_", None)
        known = -np.inf if known is None else known
        best = float(np.nanmax([-np.inf, *scores]))
        if before is not None and best <= known:
            network.params = before
        self.best_validation_score_ = max(known, best)

    def _record_search(self, network: Network, rows: Rows, interrupted: bool) -> None:
        """Set what L-BFGS leaves, and warn if it did not converge."""
        history = network.last_history
        self.loss_ = network.loss(rows.X[:], rows.y, rows.weights)
        self.loss_curve_ = [*history.loss.tolist()[1:], self.loss_]
        self.best_loss_ = min(self.loss_curve_)
        self._record_scores(network, None)
        reason = history.stopped.removeprefix("L-BFGS ended: ")
        by_others = history.stopped and reason == history.stopped
        if interrupted or by_others or reason.startswith("convergence"):
            return
        advice = f"\nIncrease the number of iterations to improve the convergence (max_iter={self.max_iter})."
        warn(
            f"lbfgs failed to converge after {self.n_iter_} iteration(s):\n"
            f"{reason or 'the limit of iterations was reached'}\n{'' if reason else advice}\n"
            "You might also want to scale the data as shown in:\n"
            "    https://scikit-learn.org/stable/modules/preprocessing.html",
            ConvergenceWarning,
        )

    def _why_it_ended(self) -> str:
        monitored = "Validation score" if self.early_stopping else "Training loss"
        return f"{monitored} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} consecutive epochs."

    @property
    def history_(self) -> History:
        """What happened in all fits since the network was made: `fastmlp.History`."""
        check_is_fitted(self)
        return self._current_network().history
