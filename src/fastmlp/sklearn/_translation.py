"""scikit-learn's settings in fastmlp's terms: the start, the order of the rows, the optimizer, its rate.

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

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from fastmlp import initialization
from fastmlp.optimizers import LBFGS, SGD, Adam, Optimizer
from fastmlp.schedules import Adaptive, RateSchedule

NEVER = 10**9  # epochs without an improvement, if n_iter_no_change is infinite
_MARK_EVERY = 32  # epochs, whose orders are soon drawn again
_MAX_MARKS = 64  # random states that are kept, of 2.5 KB
_LIMITS = {"sigmoid": 2.0}  # of the weights' squares, times the layer's inputs and outputs; else 6
OUTPUT_NAMES = {
    "sigmoid": "logistic",
    "exponential": "exp",
}  # scikit-learn's names of output activations; others are equal
AVERAGED = ("squared_error",)  # the losses that scikit-learn averages over the outputs; it sums all others


def activation_name(name: Any) -> Any:
    """Return fastmlp's name of an activation; anything that is not scikit-learn's is returned unchecked."""
    return "sigmoid" if isinstance(name, str) and name == "logistic" else name


def activation_names(activation: Any, layers: int) -> tuple[Any, ...]:
    """Return the hidden layers' activations by fastmlp's names, unchecked, of one name for all or one each."""
    each = activation if isinstance(activation, (list, tuple)) else (activation,) * layers
    return tuple(map(activation_name, each))


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
            limit = np.sqrt(_LIMITS.get(activation, 6.0) / (inputs + outputs))
            drawn += [random_state.uniform(-limit, limit, shape).ravel() for shape in ((inputs, outputs), outputs)]
        else:
            drawn.append(initialization.layer(init, random_state, inputs, outputs, outputs))
    return np.concatenate(drawn)


class Orders:
    """Draws scikit-learn's orders of so many rows from a random state: each epoch shuffles the order of the last."""

    ahead = True  # some epochs may be drawn together: they are drawn from a copy of the random state

    def __init__(self, random_state: np.random.RandomState, rows: int) -> None:
        self._shared, self._own = random_state, copy.deepcopy(random_state)
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
    if settings.solver == "sgd":
        nesterov = bool(settings.nesterovs_momentum) and settings.momentum > 0
        return SGD(momentum=settings.momentum, nesterov=nesterov, rate_in_velocity=True)
    if settings.solver == "adam":
        return Adam(settings.beta_1, settings.beta_2, settings.epsilon, epsilon_hat=True)
    if settings.solver == "lbfgs":
        return LBFGS(gradient_tolerance=settings.tol, most_looks=settings.max_fun)
    return others


def patience_of(settings: Any) -> int:
    return int(min(settings.n_iter_no_change, NEVER))


def rate_of(settings: Any, first_rate: float, monitor: str) -> RateSchedule:
    """Return an estimator's schedule: its own, or scikit-learn's rule, by which training ends or the rate drops.

    The rule acts when `monitor`, a loss, an accuracy or a metric, no longer improves.
    """
    if isinstance(settings.learning_rate, RateSchedule):
        return settings.learning_rate
    drops = settings.learning_rate == "adaptive" and settings.solver != "adam"
    return Adaptive(
        first_rate,
        divisor=5.0 if drops else None,
        patience=patience_of(settings),
        threshold=settings.tol,
        monitor=monitor,
    )


def inverse_scaling(first_rate: float, power: float, seen: int, rows: int) -> Callable[[Any], None]:
    """Return a callback that sets ``first_rate / (t + 1) ** power`` after every epoch, t the rows trained on so far."""

    def set_rate(state: Any) -> None:
        state.learning_rate = float(first_rate) / (seen + state.epoch * rows + 1) ** power

    return set_rate
