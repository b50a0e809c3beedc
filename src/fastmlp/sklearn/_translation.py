"""scikit-learn's settings in fastmlp's terms: rows, the start, the order of the rows, the optimizer, its rate.

=========================================== ========================================================================
scikit-learn                                fastmlp
=========================================== ========================================================================
alpha, over the rows of each batch          ``l2=alpha, average="batch"``
momentum, nesterovs_momentum                ``SGD(momentum, nesterov, rate_in_velocity=True)``
beta_1, beta_2, epsilon                     ``Adam(beta1, beta2, epsilon, epsilon_hat=True)``
tol, n_iter_no_change                       ``Adaptive(threshold, patience)``, without a divisor if the rate stays
tol, max_fun of lbfgs                       ``LBFGS(gradient_tolerance, most_looks)``
squared error, the mean over outputs        the sum; ``loss_curve_`` has the mean, and the gradient is the sum's in both
log loss, of probabilities cut to [eps, 1-] of the outputs before the activation, not cut: the same up to 36
logistic                                    sigmoid
=========================================== ========================================================================
"""

import copy
import re
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from textwrap import shorten
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import column_or_1d

from fastmlp import initialization
from fastmlp._checks.sparse import dense, dense_or_windows  # noqa: F401  the estimators' way to them
from fastmlp.optimizers import LBFGS, SGD, Adam, Optimizer
from fastmlp.schedules import Adaptive, RateSchedule
from fastmlp.stopping import EarlyStopping

# What scikit-learn's checks of X and of targets are told.
ACCEPTED: dict[str, Any] = {"accept_sparse": ("csr", "csc"), "dtype": (np.float64, np.float32)}
ANY_TARGETS: dict[str, Any] = {"accept_sparse": "csr", "dtype": None, "ensure_2d": False}
_NEVER = 10**9  # epochs without an improvement, if n_iter_no_change is infinite
_MARK_EVERY = 32  # epochs, whose orders are soon drawn again
_MAX_MARKS = 64  # random states that are kept, of 2.5 KB
# scikit-learn's names of output activations; others are equal.
OUTPUT_NAMES = {"sigmoid": "logistic", "exponential": "exp"}
# The estimators' names of what `Network`, an optimizer or a schedule calls otherwise in its messages.
_NAMES = {
    "hidden": "hidden_layer_sizes",
    "sizes": "loss",  # how many outputs it needs; all else about sizes was checked
    "l2": "alpha",
    "rate": "learning_rate_init",
    "epochs": "max_iter",
    "threshold": "tol",
    "gradient_tolerance": "tol",
    "min_delta": "tol",
    "patience": "n_iter_no_change",
    "beta1": "beta_1",
    "beta2": "beta_2",
    "most_looks": "max_fun",
    "n_threads": "n_jobs",
    "metrics": "stopping_metric",
}
TO_VALIDATE = {"X": "X_val", "y": "y_val", "sample_weight": "sample_weight_val"}


class Rows(NamedTuple):
    """Checked rows: X, coded targets, and their weights without those of the rows' classes."""

    X: Any
    y: np.ndarray
    weights: np.ndarray | None


class Chosen(NamedTuple):
    """An optimizer and the parameters of its rates, which `partial_fit` keeps, whatever is set meanwhile."""

    optimizer: Optimizer
    solver: Any
    schedule: Any
    rate: float
    power: float


def names(settings: Any) -> dict[str, str]:
    """Return the estimators' names by those of messages; the first rate is a schedule's, or the estimator's own."""
    own_rate = {} if isinstance(settings.learning_rate, RateSchedule) else {"learning_rate": _NAMES["rate"]}
    return _NAMES | own_rate


@contextmanager
def naming(argument: str) -> Iterator[None]:
    """Let what scikit-learn refuses be one line that names the argument, if it names X, y or nothing itself."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        if re.search(rf"\b{argument}\b", str(error)):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(shorten(f"{argument}: {error}", 300)) from error


def target_array(y: Any) -> np.ndarray:
    """Return targets as a dense array, a column as a row."""
    y = y.toarray() if issparse(y) else np.asarray(y)
    return column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y


def activation_names(activation: Any, layers: int) -> tuple[Any, ...]:
    """Return the hidden layers' activations by fastmlp's names, unchecked, of one name for all or one each."""
    each = activation if isinstance(activation, (list, tuple)) else (activation,) * layers
    return tuple("sigmoid" if isinstance(name, str) and name == "logistic" else name for name in each)


def initial_parameters(
    random_state: np.random.RandomState, sizes: Sequence[int], activations: Sequence[str], init: str
) -> np.ndarray:
    """Draw the initial parameters, W then b, layer by layer, in scikit-learn's order and within its bounds.

    scikit-learn's own are those of "glorot_uniform": weights and biases uniform in ± sqrt(6 / (in + out)), of logistic
    layers sqrt(2 / (in + out)), and the output layer's as the last hidden layer's.
    """
    drawn = []
    for number, (inputs, outputs) in enumerate(pairwise(sizes)):
        if init == "glorot_uniform":
            activation = activations[min(number, len(activations) - 1)] if activations else "identity"
            limit = np.sqrt((2.0 if activation == "sigmoid" else 6.0) / (inputs + outputs))
            drawn += [random_state.uniform(-limit, limit, shape).ravel() for shape in ((inputs, outputs), outputs)]
        else:
            drawn.append(initialization.layer(init, random_state, inputs, outputs, outputs))
    return np.concatenate(drawn)


class Orders:
    """Draws scikit-learn's orders of so many rows from a random state: each epoch shuffles the order of the last."""

    ahead = True  # some epochs may be drawn together, of a shared random state from a copy

    def __init__(self, random_state: np.random.RandomState, rows: int, shared: bool) -> None:
        self._shared, self._own = random_state, copy.deepcopy(random_state) if shared else random_state
        self._order, self._drawn = np.arange(rows), 0
        self._marks = deque([self._mark()], _MAX_MARKS)

    def __call__(self, epoch: int) -> np.ndarray:
        """Draw the next epoch's order, in place: a caller that keeps it takes a copy."""
        self._own.shuffle(self._order)  # scikit-learn's order[shuffled places], in one
        self._drawn += 1
        if self._drawn % _MARK_EVERY == 0:
            self._marks.append(self._mark())
        return self._order

    def _mark(self) -> tuple[int, dict[str, Any]]:
        return self._drawn, self._own.get_state(legacy=False)

    def leave_at(self, epochs: int) -> None:
        """Leave the random state as scikit-learn does after so many epochs, however many were drawn here."""
        # No other generator's state can be set; its orders, and those before the oldest mark, are drawn once more.
        known = [
            (drawn, state)
            for drawn, state in (*self._marks, self._mark())
            if drawn <= epochs and state["bit_generator"] == "MT19937"
        ]
        drawn = 0
        if known:
            drawn, state = known[-1]
            self._shared.set_state(state)
        for _ in range(epochs - drawn):
            self._shared.shuffle(self._order)


def optimizer_of(settings: Any, others: Optimizer) -> Optimizer:
    """Return a solver's optimizer, with scikit-learn's formulas; `others` if scikit-learn has no such solver."""
    match settings.solver:
        case "sgd":
            nesterov = bool(settings.nesterovs_momentum) and settings.momentum > 0
            return SGD(momentum=settings.momentum, nesterov=nesterov, rate_in_velocity=True)
        case "adam":
            return Adam(settings.beta_1, settings.beta_2, settings.epsilon, epsilon_hat=True)
        case "lbfgs":
            return LBFGS(gradient_tolerance=settings.tol, most_looks=settings.max_fun)
    return others


def chosen_by(settings: Any, others: Optimizer) -> Chosen:
    """Return what parameters choose when an optimizer is made; `others` as for `optimizer_of`."""
    optimizer = optimizer_of(settings, others)
    return Chosen(
        optimizer, settings.solver, settings.learning_rate, settings.learning_rate_init, float(settings.power_t)
    )


def schedule_of(settings: Any, chosen: Chosen, monitor: str, restores: bool) -> dict[str, Any]:
    """Return the schedule and the rule of early stopping: both act when `monitor` no longer improves.

    scikit-learn's own rule, by which training ends or the rate drops, is part of its schedules: what is left to early
    stopping is to restore the best weights.
    """
    schedule, patience = chosen.schedule, int(min(settings.n_iter_no_change, _NEVER))
    if isinstance(schedule, RateSchedule):
        rule = EarlyStopping(monitor, patience=patience + 1, min_delta=settings.tol, restore_best=restores)
    else:
        divisor = 5.0 if schedule == "adaptive" and chosen.solver != "adam" else None
        schedule = Adaptive(chosen.rate, divisor=divisor, patience=patience, threshold=settings.tol, monitor=monitor)
        rule = EarlyStopping(monitor, patience=_NEVER) if restores else None
    return {"learning_rate": schedule, "early_stopping": rule}
